//! No bytes make an index panic or find a row that is not there.

use bytes::Bytes;

use super::super::*;
use super::fixture::*;
use crate::types::Distance;

const DIMENSION: usize = 10;
const ROWS: usize = 900;

/// Opens bytes, and searches in them if they can be opened.
fn open_and_search(kind: &Kind, built: &Built, bytes: Vec<u8>) -> bool {
    let Ok(index) = open_bytes(kind, Bytes::from(bytes)) else { return false };
    let built = Built { index, ..built.clone() };
    let distance = Distance::Cosine;
    let query = Query::new(distance, &[0.5; DIMENSION]);
    let words = vec![0x1111_0000_ffff_0001; ROWS.div_ceil(64)];
    for effort in [0.0, 0.4, 1.0] {
        for mask in [Mask::All, Mask::Bits(&words), Mask::Only(&|row| row % 3 > 0)] {
            let request = Request {
                query: &query,
                rows: &built.rows,
                mask,
                effort: Effort::new(effort),
                stop: &|| false,
            };
            // What is found is right, whatever is missing. A refusal is fine, too.
            if let Ok((found, _)) = best_of(&*built.index, &request, 20) {
                built.check(&found, &query, &mask, found.len());
            }
        }
        let effort = built.index.effort_for(effort, 10);
        assert!((0.0..=1.0).contains(&effort.value()));
    }
    true
}

#[test]
fn truncated_bytes() {
    for kind in TYPES {
        let built = Built::new(kind, table(DIMENSION, ROWS, 13), Distance::Cosine);
        let all = built.bytes.len();
        for len in (0..600.min(all)).chain((0..all).step_by(997)).chain(all.saturating_sub(300)..all) {
            open_and_search(kind, &built, built.bytes[..len].to_vec());
        }
        open_and_search(kind, &built, [&built.bytes[..], &[0; 3]].concat());
        assert!(open_and_search(kind, &built, built.bytes.to_vec()));
    }
}

#[test]
fn flipped_bits() {
    for kind in TYPES {
        let built = Built::new(kind, table(DIMENSION, ROWS, 14), Distance::Cosine);
        let mut next = numbers(15);
        let all = built.bytes.len();
        let head = (0..400.min(all)).flat_map(|at| [0x01, 0x80, 0xff].map(|flip| (at, flip)));
        let anywhere: Vec<(usize, u8)> =
            (0..800).map(|_| ((next() * all as f32) as usize % all, 1 << (next() * 8.0) as u8)).collect();
        for (at, flip) in head.chain(anywhere) {
            let mut bytes = built.bytes.to_vec();
            bytes[at] ^= flip;
            open_and_search(kind, &built, bytes);
        }
    }
}

/// Everything but the head replaced: lists that lead anywhere, scales that are no numbers.
#[test]
fn noise() {
    for kind in TYPES {
        let built = Built::new(kind, table(DIMENSION, ROWS, 16), Distance::Cosine);
        let mut next = numbers(17);
        for round in 0..60 {
            let head = [0, 64, 128, 256, 1024][round % 5];
            let share = [0.001, 0.1, 1.0][round % 3];
            let mut bytes = built.bytes.to_vec();
            for byte in bytes.iter_mut().skip(head) {
                if next() < share {
                    *byte = (next() * 256.0) as u8;
                }
            }
            open_and_search(kind, &built, bytes);
        }
    }
}
