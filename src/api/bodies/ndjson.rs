//! NDJSON: one row a line, parsed as the body arrives.
//!
//! Never more of the text is held than one line and one piece of the body. The rows are still one
//! atomic batch: nothing is committed before the last line was read.

use super::json_rows::RowReader;
use crate::{config::LimitsConfig, error::Result, types::Rows};

/// Lines on their way into columns.
pub(super) struct Lines<'l> {
    reader: RowReader<'l>,
    /// A line that has begun.
    partial: Vec<u8>,
}

impl<'l> Lines<'l> {
    pub fn new(limits: &'l LimitsConfig) -> Self {
        Self { reader: RowReader::new(limits, "lines"), partial: Vec::new() }
    }

    /// Takes the next piece of the body, which may end anywhere.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<()> {
        while let Some(end) = piece.iter().position(|&byte| byte == b'\n') {
            let (line, rest) = piece.split_at(end);
            if self.partial.is_empty() {
                read_line(&mut self.reader, line)?;
            } else {
                self.partial.extend_from_slice(line);
                read_line(&mut self.reader, &self.partial)?;
                self.partial.clear();
            }
            piece = &rest[1..];
        }
        self.partial.extend_from_slice(piece);
        Ok(())
    }

    /// Reads the last line, which needs no newline.
    pub fn finish(mut self) -> Result<Rows> {
        read_line(&mut self.reader, &self.partial)?;
        Ok(self.reader.builder.finish())
    }
}

/// Empty lines are allowed, and do not count.
fn read_line(reader: &mut RowReader<'_>, line: &[u8]) -> Result<()> {
    if line.trim_ascii().is_empty() { Ok(()) } else { reader.read_row(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\"id\":\"a\",\"values\":[1,2]}\n\n{\"id\":\"é\",\"values\":[3,4]}\r\n{\"values\":[5,6],\"id\":\"c\"}";

    fn parse(pieces: &[&[u8]]) -> Result<Rows> {
        let limits = LimitsConfig { batch_rows: 3, ..LimitsConfig::default() };
        let mut lines = Lines::new(&limits);
        pieces.iter().try_for_each(|piece| lines.push(piece))?;
        lines.finish()
    }

    #[test]
    fn the_same_rows_wherever_the_body_is_cut() {
        let whole = parse(&[TEXT.as_bytes()]).unwrap();
        assert_eq!((whole.len(), whole.dimension), (3, 2));
        for cut in 0..=TEXT.len() {
            let (head, tail) = TEXT.as_bytes().split_at(cut);
            assert_eq!(parse(&[head, tail]).unwrap(), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = TEXT.as_bytes().chunks(1).collect();
        assert_eq!(parse(&bytes).unwrap(), whole);
    }

    #[test]
    fn errors_name_the_line_among_the_rows() {
        let error = parse(&[TEXT.as_bytes(), b"\n", TEXT.as_bytes()]).unwrap_err();
        assert_eq!(error.to_string(), "lines: 4 is over the limit limits.batch_rows = 3");
        let error = parse(&[b"{\"id\":\"a\",\"values\":[1]}\n{\"id\":\"b\",\"values\":[1e99]}"]).unwrap_err();
        assert!(error.to_string().starts_with("lines[1].values[0]: must be a finite"), "{error}");
        let error = parse(&[b"{\"id\":\"a\",\"values\":[1]}\n{\"id\":"]).unwrap_err();
        assert!(error.to_string().starts_with("body: malformed JSON"), "{error}");
    }
}
