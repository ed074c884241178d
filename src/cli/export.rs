//! `quiver export`: a namespace's rows into a file.
//!
//! The file is written under a temporary name beside its place and takes its name when it is
//! complete and on disk: what has the name is whole.

mod arrow;
mod jsonl;

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{
    ConfigOptions, Failure, block_on, node,
    node::{Access, Node},
    progress::{Progress, say},
};
use crate::{
    clock::Timestamp,
    config::Loaded,
    engine::{Engine, Page, Projection},
    types::NamespaceName,
};

const AFTER: &str = "\x1b[1;4mExamples:\x1b[0m
  quiver export articles -o articles.arrow
  quiver export articles -o articles.jsonl.gz
  quiver export articles | head

Rows come in the order of their ids. Rows that are written or deleted meanwhile may or may not be in
the file. `quiver import` reads it back.";

/// Bytes of vectors in a page.
const PAGE_BYTES: usize = 8 << 20;

/// Writes the rows of a namespace to a file.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Export {
    /// The namespace
    namespace: String,
    /// The file; - is stdout
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// The format [default: told by the file's name, else jsonl]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line
    Jsonl,
    /// An Arrow IPC file (a stream on stdout and for .arrows)
    Arrow,
}

/// What pages of rows are written to.
trait RowWriter {
    /// Writes a page. `now` turns expiry into a time to live.
    fn write(&mut self, page: &Page, now: Timestamp) -> io::Result<()>;

    /// Ends the format, and hands everything on.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl Export {
    pub fn run(&self, config: &ConfigOptions) -> Result<(), Failure> {
        let loaded = config.load(&[])?;
        node::start_logging(&loaded, "warn")?;
        let namespace =
            NamespaceName::parse(&self.namespace, "NAMESPACE").map_err(|e| Failure::usage(e.to_string()))?;
        let target = Target::new(&self.output, self.format)?;
        block_on(async {
            let node = Node::open(&loaded, Access::Read).await?;
            let info = node.engine.describe(&namespace).await?;
            let output = target.create()?;
            let writer = target.writer(&output, info.dimension.unwrap_or(0));
            let writer = writer.map_err(|error| target.cannot_write(&error))?;
            let summary = self.copy(&node, &loaded, &namespace, &target, writer, info.dimension).await?;
            output.complete().map_err(|error| target.cannot_write(&error))?;
            say(&format!("{namespace} -> {}: {summary}", self.output.display()));
            Ok(())
        })
    }

    async fn copy(
        &self,
        node: &Node,
        loaded: &Loaded,
        namespace: &NamespaceName,
        target: &Target,
        mut writer: Box<dyn RowWriter>,
        dimension: Option<usize>,
    ) -> Result<String, Failure> {
        let dimension = dimension.unwrap_or(1).max(1);
        let page_rows = (PAGE_BYTES / (dimension * 4)).clamp(1, loaded.config.limits.page_rows);
        let mut progress = Progress::start("rows", None);
        let mut after = None;
        let mut position = 0;
        loop {
            let page = next_page(&node.engine, namespace, after.as_deref(), page_rows).await?;
            progress.set_total(page.total.max(position));
            match writer.write(&page, node.clock.now().wall) {
                // The reader of our stdout has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe && target.is_stdout() => {
                    return Ok(progress.finish());
                }
                written => written.map_err(|error| target.cannot_write(&error))?,
            }
            let rows = page.rows.len() as u64;
            position += rows;
            let bytes =
                page.rows.iter().map(|row| row.vector.as_ref().map_or(0, Vec::len) * 4).sum::<usize>();
            progress.advance(rows, bytes as u64, position);
            match page.next {
                Some(next) => after = Some(next.as_str().to_owned()),
                None => break,
            }
        }
        match writer.finish() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && target.is_stdout() => {}
            finished => finished.map_err(|error| target.cannot_write(&error))?,
        }
        Ok(progress.finish())
    }
}

async fn next_page(
    engine: &Engine,
    namespace: &NamespaceName,
    after: Option<&str>,
    rows: usize,
) -> Result<Page, Failure> {
    Ok(engine.page(namespace, after, rows, Projection { vectors: true, metadata: true }).await?)
}

/// Where rows go, and in which form.
struct Target {
    path: Option<PathBuf>,
    format: Format,
    is_stream: bool,
    is_gzip: bool,
}

impl Target {
    fn new(output: &Path, asked: Option<Format>) -> Result<Self, Failure> {
        let path = (output != Path::new("-")).then(|| output.to_owned());
        let name =
            path.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy().to_lowercase();
        let (plain, is_gzip) = name.strip_suffix(".gz").map_or((&*name, false), |plain| (plain, true));
        let told = match plain.rsplit_once('.').map(|(_, extension)| extension) {
            Some("jsonl" | "ndjson") => Some(Format::Jsonl),
            Some("arrow" | "feather" | "arrows") => Some(Format::Arrow),
            _ => None,
        };
        let usual = path.is_none().then_some(Format::Jsonl);
        let format = asked.or(told).or(usual).ok_or_else(|| {
            Failure::usage(format!("{}: the name does not tell the format", output.display()))
                .hint("end it in .jsonl, .jsonl.gz, .arrow or .arrows, or pass --format")
        })?;
        if is_gzip && format == Format::Arrow {
            return Err(Failure::usage("Arrow files are not gzipped; leave out .gz"));
        }
        Ok(Self { is_stream: path.is_none() || plain.ends_with(".arrows"), path, format, is_gzip })
    }

    fn is_stdout(&self) -> bool {
        self.path.is_none()
    }

    fn cannot_write(&self, error: &io::Error) -> Failure {
        let name = self.path.as_ref().map_or("stdout".to_owned(), |path| path.display().to_string());
        Failure::new(format!("cannot write {name}: {error}"))
    }

    fn create(&self) -> Result<Output, Failure> {
        let Some(path) = &self.path else { return Ok(Output::Stdout) };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        let file = File::create(&temporary).map_err(|error| self.cannot_write(&error))?;
        Ok(Output::File(PartialFile { file, temporary, path: path.clone(), is_complete: false }))
    }

    fn writer(&self, output: &Output, dimension: usize) -> io::Result<Box<dyn RowWriter>> {
        let out: Box<dyn Write> = match output {
            Output::Stdout => Box::new(BufWriter::with_capacity(1 << 20, io::stdout())),
            Output::File(partial) => Box::new(BufWriter::with_capacity(1 << 20, partial.file.try_clone()?)),
        };
        match self.format {
            Format::Jsonl => Ok(Box::new(jsonl::JsonlWriter::new(out, self.is_gzip))),
            Format::Arrow => Ok(Box::new(arrow::ArrowWriter::new(out, dimension, self.is_stream)?)),
        }
    }
}

enum Output {
    Stdout,
    File(PartialFile),
}

/// A file that is removed unless it is completed.
struct PartialFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    is_complete: bool,
}

impl Output {
    fn complete(self) -> io::Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(mut partial) => {
                partial.file.sync_all()?;
                std::fs::rename(&partial.temporary, &partial.path)?;
                partial.is_complete = true;
                Ok(())
            }
        }
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_complete {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Seconds that a row has left, from 1; nothing if it stays for ever.
fn ttl_seconds(expires_at: Option<Timestamp>, now: Timestamp) -> Option<u64> {
    let millis = expires_at?.0.saturating_sub(now.0).max(1);
    Some(millis.unsigned_abs().div_ceil(1000))
}
