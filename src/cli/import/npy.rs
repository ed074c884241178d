//! NumPy arrays: a matrix of vectors, with ids and metadata from elsewhere.

use std::{
    io::{BufReader, Read},
    path::Path,
    sync::Arc,
};

use half::f16;

use super::{
    jsonl::metadata_line,
    source::{CountedFile, FileOptions, Lines, ReadError, RowSource},
};
use crate::service::{RowsBuilder, compact_metadata};

/// The longest header that is read; NumPy's are a hundred bytes.
const MAX_HEADER_BYTES: usize = 1 << 20;

/// A 2-D array of floats in C order.
pub(super) struct Npy {
    reader: BufReader<CountedFile>,
    format: Format,
    rows: u64,
    done: u64,
    row: Vec<u8>,
    values: Vec<f32>,
    ids: Ids,
    metadata: Option<Lines>,
    id_field: Option<String>,
}

enum Ids {
    /// The prefix and the row number.
    Numbers(String),
    Lines(Lines),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    F2,
    F4,
    F8,
}

impl Format {
    fn bytes(self) -> usize {
        match self {
            Self::F2 => 2,
            Self::F4 => 4,
            Self::F8 => 8,
        }
    }
}

/// Opens an array and the files beside it.
pub(super) fn open(path: &Path, options: &FileOptions) -> Result<Npy, String> {
    let (file, length) = CountedFile::open(path)?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (header, header_bytes) = read_header(&mut reader)?;
    let Header { format, rows, dimension } = parse_header(&header)?;
    let expected =
        (dimension as u64).checked_mul(format.bytes() as u64).and_then(|row| row.checked_mul(rows));
    let expected =
        expected.and_then(|data| data.checked_add(header_bytes)).ok_or("the shape is impossible")?;
    if length != expected {
        return Err(format!(
            "an array of {rows} x {dimension} takes {expected} bytes, but the file has {length}: it is not complete, or damaged"
        ));
    }
    let beside = |path: &Option<std::path::PathBuf>| {
        let open =
            |path: &std::path::PathBuf| Lines::open(path).map_err(|e| format!("{}: {e}", path.display()));
        path.as_ref().map(open).transpose()
    };
    let ids = match beside(&options.ids)? {
        Some(lines) => Ids::Lines(lines),
        None => Ids::Numbers(options.id_prefix.clone().unwrap_or_default()),
    };
    Ok(Npy {
        reader,
        format,
        rows,
        done: 0,
        // The length of the file was checked, so this is no more than the file holds.
        row: if rows == 0 { Vec::new() } else { vec![0; dimension * format.bytes()] },
        values: Vec::new(),
        ids,
        metadata: beside(&options.metadata)?,
        id_field: options.id_field.clone(),
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Header {
    format: Format,
    rows: u64,
    dimension: usize,
}

/// The header's text, and the bytes up to the data.
fn read_header(reader: &mut impl Read) -> Result<(String, u64), String> {
    let short = |_| "is not a NumPy array: it ends in its header".to_owned();
    let mut start = [0; 8];
    reader.read_exact(&mut start).map_err(short)?;
    let [magic @ .., major, _minor] = &start;
    if magic != b"\x93NUMPY" {
        return Err("is not a NumPy array: it does not begin as one".into());
    }
    let (length, length_bytes) = if *major == 1 {
        let mut bytes = [0; 2];
        reader.read_exact(&mut bytes).map_err(short)?;
        (usize::from(u16::from_le_bytes(bytes)), 2)
    } else {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).map_err(short)?;
        (u32::from_le_bytes(bytes) as usize, 4)
    };
    if length > MAX_HEADER_BYTES {
        return Err(format!("is not a NumPy array: a header of {length} bytes"));
    }
    let mut header = vec![0; length];
    reader.read_exact(&mut header).map_err(short)?;
    let header = String::from_utf8(header).map_err(|_| "is not a NumPy array: its header is not text")?;
    Ok((header, (start.len() + length_bytes + length) as u64))
}

/// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }`.
fn parse_header(header: &str) -> Result<Header, String> {
    let value = |key: &str| {
        let (_, rest) = header.split_once(&format!("'{key}':")).ok_or(format!("the header lacks {key}"))?;
        Ok::<_, String>(rest.trim_start())
    };
    let descr = value("descr")?;
    let format =
        match descr.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map_or(descr, |(name, _)| name)
        {
            "<f2" => Format::F2,
            "<f4" => Format::F4,
            "<f8" => Format::F8,
            other => {
                return Err(format!(
                    "holds {other}, but vectors are <f2, <f4 or <f8; convert with .astype('<f4')"
                ));
            }
        };
    if !value("fortran_order")?.starts_with("False") {
        return Err("is in Fortran order; save numpy.ascontiguousarray(array)".into());
    }
    let shape = value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let (shape, _) = shape.ok_or("the header's shape is malformed")?;
    let axes: Vec<&str> = shape.split(',').map(str::trim).filter(|axis| !axis.is_empty()).collect();
    let [rows, dimension] = axes[..] else {
        return Err(format!(
            "has the shape ({shape}), but a file of vectors has two axes: rows and dimension"
        ));
    };
    let axis = |text: &str| {
        text.trim_end_matches('L').parse::<u64>().map_err(|_| format!("the axis {text:?} is no number"))
    };
    let (rows, dimension) = (axis(rows)?, axis(dimension)?);
    let dimension = usize::try_from(dimension).map_err(|_| "the shape is impossible")?;
    Ok(Header { format, rows, dimension })
}

impl Npy {
    fn read_values(&mut self) -> Result<(), ReadError> {
        self.reader.read_exact(&mut self.row)?;
        self.values.clear();
        // Chunks are as long as the type that is made of them.
        match self.format {
            Format::F2 => {
                let (chunks, _) = self.row.as_chunks();
                self.values.extend(chunks.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()));
            }
            Format::F4 => {
                let (chunks, _) = self.row.as_chunks();
                self.values.extend(chunks.iter().map(|&bytes| f32::from_le_bytes(bytes)));
            }
            Format::F8 => {
                let (chunks, _) = self.row.as_chunks();
                self.values.extend(chunks.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32));
            }
        }
        Ok(())
    }

    /// The row's metadata and, if it comes from there, its id.
    fn read_metadata(&mut self) -> Result<(Option<String>, Option<String>), ReadError> {
        let Some(lines) = &mut self.metadata else { return Ok((None, None)) };
        let Some(line) = lines.next_line().map_err(ReadError::File)? else {
            return Err(ReadError::File(format!(
                "--metadata has fewer lines than the array's {} rows",
                self.rows
            )));
        };
        let (metadata, id) = metadata_line(line, self.id_field.as_deref())?;
        Ok((Some(metadata), id))
    }

    fn read_id(&mut self) -> Result<String, ReadError> {
        match &mut self.ids {
            Ids::Numbers(prefix) => Ok(format!("{prefix}{}", self.done)),
            Ids::Lines(lines) => {
                let line = lines.next_line().map_err(ReadError::File)?;
                let line =
                    line.ok_or_else(|| format!("--ids has fewer lines than the array's {} rows", self.rows));
                let line = line.map_err(ReadError::File)?;
                let text = std::str::from_utf8(line);
                Ok(text.map_err(|_| ReadError::File("the id is not UTF-8".into()))?.to_owned())
            }
        }
    }

    /// Files that go on after the last row belong to another array.
    fn check_end(&mut self) -> Result<(), ReadError> {
        let ids = match &mut self.ids {
            Ids::Numbers(_) => None,
            Ids::Lines(lines) => Some(("--ids", lines)),
        };
        let metadata = self.metadata.as_mut().map(|lines| ("--metadata", lines));
        for (flag, lines) in [ids, metadata].into_iter().flatten() {
            if lines.next_line().map_err(ReadError::File)?.is_some() {
                return Err(ReadError::File(format!(
                    "{flag} has more lines than the array's {} rows",
                    self.rows
                )));
            }
        }
        Ok(())
    }
}

impl RowSource for Npy {
    fn next_row(&mut self, rows: &mut RowsBuilder<'_>) -> Result<Option<u64>, ReadError> {
        if self.done == self.rows {
            self.check_end()?;
            return Ok(None);
        }
        self.read_values()?;
        let (metadata, id) = self.read_metadata()?;
        let id = match id {
            Some(id) => id,
            None => self.read_id()?,
        };
        rows.begin_row()?;
        rows.push_values(&self.values)?;
        let check = |text: String| compact_metadata(rows.limits(), || rows.path("metadata"), &text);
        let metadata: Option<Arc<str>> = metadata.map(check).transpose()?;
        let bytes = self.values.len() * 4 + metadata.as_deref().map_or(0, str::len);
        rows.end_row(&id, metadata, None)?;
        self.done += 1;
        Ok(Some(bytes as u64))
    }

    fn place(&self) -> String {
        format!("row {}", self.done)
    }

    fn position(&self) -> u64 {
        self.done
    }

    fn total(&self) -> u64 {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_numpy_writes_them() {
        let header = |format, rows, dimension| Ok(Header { format, rows, dimension });
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }      \n";
        assert_eq!(parse_header(text), header(Format::F4, 3, 2));
        assert_eq!(parse_header(&text.replace("<f4", "<f2")), header(Format::F2, 3, 2));
        assert_eq!(
            parse_header("{'shape': (0,384),'fortran_order':False,'descr':'<f8'}"),
            header(Format::F8, 0, 384)
        );
    }

    #[test]
    fn what_is_no_matrix_of_floats_is_refused_with_a_way_out() {
        let text = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}")
        };
        for (header, part) in [
            (text("'<i4'", "False", "(3, 2)"), "astype"),
            (text("'>f4'", "False", "(3, 2)"), "astype"),
            (text("[('a', '<f4')]", "False", "(3, 2)"), "astype"),
            (text("'<f4'", "True", "(3, 2)"), "ascontiguousarray"),
            (text("'<f4'", "False", "(3,)"), "two axes"),
            (text("'<f4'", "False", "(3, 2, 1)"), "two axes"),
            (text("'<f4'", "False", "()"), "two axes"),
            (text("'<f4'", "False", "(3, -2)"), "no number"),
            (text("'<f4'", "False", "3, 2"), "malformed"),
            ("{}".into(), "lacks descr"),
        ] {
            let error = parse_header(&header).expect_err(&header);
            assert!(error.contains(part), "{header}: {error}");
        }
    }
}
