//! JSON lines, as `quiver import` and the API's NDJSON bodies take them.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{RowWriter, ttl_seconds};
use crate::{clock::Timestamp, engine::Page};

/// One row a line, perhaps gzipped.
pub(super) enum JsonlWriter {
    Plain(Box<dyn Write>),
    Gzip(Box<GzEncoder<Box<dyn Write>>>),
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    /// Null for a row without a vector.
    values: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<u64>,
}

impl JsonlWriter {
    pub fn new(out: Box<dyn Write>, is_gzip: bool) -> Self {
        if is_gzip {
            Self::Gzip(Box::new(GzEncoder::new(out, Compression::default())))
        } else {
            Self::Plain(out)
        }
    }

    fn out(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(out) => out,
            Self::Gzip(out) => out,
        }
    }
}

impl RowWriter for JsonlWriter {
    fn write(&mut self, page: &Page, now: Timestamp) -> io::Result<()> {
        for row in &page.rows {
            let line = Line {
                id: row.id.as_str(),
                values: row.vector.as_deref(),
                metadata: row.metadata.as_deref().map(serde_json::from_str).transpose()?,
                ttl_seconds: ttl_seconds(row.expires_at, now),
            };
            serde_json::to_writer(self.out(), &line)?;
            self.out().write_all(b"\n")?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        match *self {
            Self::Plain(mut out) => out.flush(),
            Self::Gzip(out) => out.finish()?.flush(),
        }
    }
}
