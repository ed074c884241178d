//! Files of rows: which format a file has, and what every format provides.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::Args;
use flate2::bufread::MultiGzDecoder;

use super::{columns, jsonl, npy};
use crate::{cli::Failure, error::Error, service::RowsBuilder};

/// How to read the file.
#[derive(Debug, Args)]
#[command(next_help_heading = "File")]
pub(super) struct FileOptions {
    /// .npy: the ids, one a line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id_prefix", "id_field"])]
    pub ids: Option<PathBuf>,
    /// .npy: put this before the row number to make the id
    #[arg(long, value_name = "TEXT", conflicts_with = "id_field")]
    pub id_prefix: Option<String>,
    /// .npy: the metadata, one JSON object a row (.jsonl or .jsonl.gz)
    #[arg(long, value_name = "FILE")]
    pub metadata: Option<PathBuf>,
    /// .npy: take the id from this field of --metadata, and out of it
    #[arg(long, value_name = "FIELD", requires = "metadata")]
    pub id_field: Option<String>,
    /// Parquet, Arrow: the column of ids [default: id]
    #[arg(long, value_name = "COLUMN")]
    pub id_column: Option<String>,
    /// Parquet, Arrow: the column of vectors [default: values, vector or embedding]
    #[arg(long, value_name = "COLUMN")]
    pub values_column: Option<String>,
    /// Parquet, Arrow: the columns that become fields of the metadata [default: the column metadata, which
    /// holds JSON text; if there is none, every other column]
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub metadata_columns: Option<Vec<String>>,
}

impl FileOptions {
    /// A flag that was given, if any.
    pub fn first_given(&self) -> Option<&'static str> {
        self.first_for_npy().or_else(|| self.first_for_columns())
    }

    fn first_for_npy(&self) -> Option<&'static str> {
        let flags = [
            ("--ids", self.ids.is_some()),
            ("--id-prefix", self.id_prefix.is_some()),
            ("--metadata", self.metadata.is_some()),
        ];
        first(&flags)
    }

    fn first_for_columns(&self) -> Option<&'static str> {
        let flags = [
            ("--id-column", self.id_column.is_some()),
            ("--values-column", self.values_column.is_some()),
            ("--metadata-columns", self.metadata_columns.is_some()),
        ];
        first(&flags)
    }
}

fn first(flags: &[(&'static str, bool)]) -> Option<&'static str> {
    flags.iter().find(|(_, given)| *given).map(|(flag, _)| *flag)
}

/// A file of rows, read in order.
pub(super) trait RowSource: Send {
    /// Appends the next row to `rows` and returns its size in bytes; nothing after the last one.
    fn next_row(&mut self, rows: &mut RowsBuilder<'_>) -> Result<Option<u64>, ReadError>;

    /// Where the row that was read last stands, such as `line 7`.
    fn place(&self) -> String;

    /// How much of the file was read, in the unit of [`RowSource::total`].
    fn position(&self) -> u64;

    /// The size of the work: rows where the format tells, bytes elsewhere; 0 if nobody knows.
    fn total(&self) -> u64;
}

/// Why a row could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The row breaks a rule.
    Row(Error),
    /// The row, or the file from there on, is not what its format asks for.
    File(String),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Row(error)
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::File(error.to_string())
    }
}

/// Opens `path` in the format that its name tells.
pub(super) fn open(path: &Path, options: &FileOptions) -> Result<Box<dyn RowSource>, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    let format = plain.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_npy = format == "npy";
    for (given, fits) in
        [(options.first_for_npy(), is_npy), (options.first_for_columns(), is_columnar(format))]
    {
        if let Some(flag) = given.filter(|_| !fits) {
            return Err(Failure::usage(format!("{flag} is not for .{format} files")));
        }
    }
    if plain != name && !matches!(format, "jsonl" | "ndjson") {
        return Err(Failure::new(format!("{}: of compressed files only .jsonl.gz is read", path.display())));
    }
    let source: Result<Box<dyn RowSource>, String> = match format {
        "npy" => npy::open(path, options).map(|source| Box::new(source) as _),
        "jsonl" | "ndjson" => jsonl::Jsonl::open(path).map(|source| Box::new(source) as _),
        _ if is_columnar(format) => columns::open(path, options).map(|source| Box::new(source) as _),
        _ => {
            let message =
                format!("{}: the format is told by the name, and {format:?} is none", path.display());
            let known = "formats: .npy .jsonl .ndjson .jsonl.gz .ndjson.gz .parquet .arrow .feather .arrows";
            return Err(Failure::usage(message).hint(known));
        }
    };
    source.map_err(|message| Failure::new(format!("{}: {message}", path.display())))
}

fn is_columnar(format: &str) -> bool {
    matches!(format, "parquet" | "arrow" | "feather" | "arrows" | "ipc")
}

/// A file that tells how far it was read.
#[derive(Debug)]
pub(super) struct CountedFile {
    file: File,
    position: Arc<AtomicU64>,
}

impl CountedFile {
    /// Opens a file, and returns its length with it.
    pub fn open(path: &Path) -> Result<(Self, u64), String> {
        let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if metadata.is_dir() {
            return Err("is a directory".into());
        }
        Ok((Self { file, position: Arc::default() }, metadata.len()))
    }

    /// How far it was read, in bytes; follows the reader.
    pub fn position(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.position)
    }
}

impl Read for CountedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for CountedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = self.file.seek(to)?;
        self.position.store(position, Ordering::Relaxed);
        Ok(position)
    }
}

/// The longest line that is read: a vector of the largest dimension and its metadata are far shorter.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// The lines of a text file, which may be gzipped.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
    position: Arc<AtomicU64>,
    length: u64,
}

impl Lines {
    pub fn open(path: &Path) -> Result<Self, String> {
        let (file, length) = CountedFile::open(path)?;
        let position = file.position();
        let buffered = BufReader::with_capacity(1 << 20, file);
        let is_gzip = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
        let reader: Box<dyn BufRead + Send> = match is_gzip {
            true => Box::new(BufReader::with_capacity(1 << 20, MultiGzDecoder::new(buffered))),
            false => Box::new(buffered),
        };
        Ok(Self { reader, line: Vec::new(), number: 0, position, length })
    }

    /// The next line that is not blank; nothing after the last.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, String> {
        loop {
            self.line.clear();
            self.number += 1;
            let mut bounded = self.reader.by_ref().take(MAX_LINE_BYTES);
            let read = bounded.read_until(b'\n', &mut self.line).map_err(|error| error.to_string())?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == MAX_LINE_BYTES && self.line.last() != Some(&b'\n') {
                return Err(format!("line {} is longer than {} MiB", self.number, MAX_LINE_BYTES >> 20));
            }
            if !self.line.trim_ascii().is_empty() {
                // A byte order mark is what some editors begin a file with.
                let line = self.line.trim_ascii();
                return Ok(Some(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)));
            }
        }
    }

    /// The number of the line that was read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Bytes of the file that were read.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }
}
