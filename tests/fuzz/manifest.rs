//! Manifests.

use std::fmt::Write;

use quiver::{
    clock::Timestamp,
    engine::{
        format::hash,
        manifest::{Manifest, NamespaceConfig, RingEntry},
        segment::{Deletes, Owner, SegmentRef},
    },
    types::{Distance, NamespaceName},
};
use uuid::Uuid;

use super::{
    run::{Input, Target},
    segment::{reference, rows, segment},
};

pub struct Manifests;

impl Target for Manifests {
    type Value = Manifest;
    const NAME: &'static str = "manifests";
    const IS_TEXT: bool = true;
    const REASONS: usize = 60;

    fn corpus(&self) -> Vec<Input> {
        let mut number = 0;
        let config = NamespaceConfig { dimension: Some(3), distance: Distance::Cosine };
        let first = Manifest::create(None, config, Timestamp(1_700_000_000_000), || {
            number += 1;
            Uuid::from_u128(number)
        });
        let ring = |seq| RingEntry { seq, entry_id: Uuid::from_u128(100 + u128::from(seq)) };
        let (data, lookup) = segment(&rows(20));
        let own = reference(&data, &lookup);
        let owner =
            Owner { namespace: NamespaceName::parse("origin", "name").unwrap(), incarnation: Uuid::max() };
        let deletes =
            Deletes { id: Uuid::max(), seq: 8, rows: 3, blob: own.data, owner: Some(owner.clone()) };
        let shared = SegmentRef { deletes: Some(deletes), owner: Some(owner), ..own.clone() };
        let mut folded = first.with_segments(Uuid::from_u128(50), vec![own, shared]);
        (folded.folded, folded.folded_hash, folded.folded_at) = (9, 0xabc, Some(Timestamp(5)));
        folded.ring = (3..=9).map(ring).collect();
        let ended = folded.tombstone(Uuid::from_u128(60), vec![ring(10)]);
        [first, folded, ended].iter().map(|manifest| vec![body(manifest)]).collect()
    }

    fn seal(&self, content: &Input) -> Input {
        let mut text = String::from_utf8_lossy(&content[0]).into_owned();
        let (hash, bytes) = (hash(text.as_bytes()), text.len());
        writeln!(text, "\n{{\"xxh3_128\":\"{hash:032x}\",\"bytes\":{bytes}}}").unwrap();
        vec![text.into_bytes()]
    }

    fn read(&self, objects: &Input) -> Result<Manifest, String> {
        let manifest = Manifest::decode(&objects[0])?;
        for segment in &manifest.segments {
            assert!(segment.live() <= segment.rows && segment.bytes() >= segment.data.bytes);
        }
        Ok(manifest)
    }

    fn write(&self, manifest: &Manifest) -> Option<Input> {
        Some(vec![manifest.encode().expect("what was read can be written")])
    }
}

fn body(manifest: &Manifest) -> Vec<u8> {
    let object = manifest.encode().unwrap();
    object.split(|byte| *byte == b'\n').next().unwrap().to_vec()
}
