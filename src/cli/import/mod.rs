//! `quiver import`: a file's rows into a namespace, or a whole bucket of another layout.
//!
//! A thread of its own reads and checks the file, row by row, into batches; several batches are
//! written at once. Memory is bounded by the batches under way, whatever the file's size.
//!
//! Invariant: of rows with the same id the last one in the file wins, as if they were written one
//! after the other: a batch waits while another that shares an id with it is being written.

mod classic;
mod columns;
mod json_value;
mod jsonl;
mod npy;
mod pipeline;
mod sink;
mod source;

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};

use self::{
    classic::{BucketImport, BucketOptions},
    pipeline::{Pipeline, Totals},
    sink::Sink,
    source::FileOptions,
};
use super::{
    ConfigOptions, Failure, block_on, node,
    node::{Access, Node},
    print,
};
use crate::{
    config::Loaded,
    types::{Distance, NamespaceName},
};

const AFTER: &str = "\x1b[1;4mFiles:\x1b[0m
  .npy              a 2-D array of f2, f4 or f8. Ids are row numbers, unless --ids or --id-field.
  .jsonl, .ndjson   a line a row: {\"id\", \"values\" or \"vector\", \"metadata\"?, \"ttl_seconds\"?}
                    Gzipped too (.jsonl.gz), as are the files of --metadata and --ids.
  .parquet, .arrow, .feather (IPC file), .arrows (IPC stream)
                    columns id, values (lists of floats), metadata (JSON text; without it all other
                    columns become its fields), ttl_seconds

\x1b[1;4mExamples:\x1b[0m
  quiver import articles vectors.npy --metadata articles.jsonl.gz --id-field id
  quiver import articles all.parquet --values-column embedding --metadata-columns title,year
  quiver import articles articles.jsonl --url http://127.0.0.1:7700
  quiver import old-data/ --from-layout json-objects --report not-imported.jsonl
  quiver import articles old-bucket.toml --from-layout json-objects

Rows are upserted: an import that broke off can simply be repeated. Without --url they are written
straight to the configured store, which is safe while servers run on it.";

/// Writes the rows of a file, or of a bucket in another layout, into namespaces. They are created if
/// there are none.
#[derive(Debug, Args)]
#[command(after_help = AFTER, allow_missing_positional = true)]
pub(super) struct Import {
    /// The namespace; with --from-layout the one to import, or all of the bucket if there is none
    namespace: Option<String>,
    /// The file; with --from-layout the bucket
    source: PathBuf,
    #[command(flatten)]
    options: FileOptions,
    #[command(flatten)]
    bucket: BucketOptions,
    /// The metric of the namespace, if this import creates it [default: cosine]
    #[arg(long, value_enum, help_heading = "Options")]
    distance: Option<Metric>,
    /// Import only the first rows
    #[arg(long, help_heading = "Options", value_name = "ROWS", conflicts_with = "from_layout")]
    limit: Option<u64>,
    /// Rows written at once (at most 8 MiB of them)
    #[arg(long, help_heading = "Options", value_name = "ROWS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    batch_rows: u32,
    /// Batches under way at once
    #[arg(long, help_heading = "Options", value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    in_flight: u32,
    /// Read and check everything, but write nothing
    #[arg(long, help_heading = "Options")]
    dry_run: bool,
    /// Write through this server instead of straight to the store
    #[arg(long, help_heading = "Options", value_name = "URL", env = "QUIVER_URL")]
    url: Option<String>,
    /// The API key for --url
    #[arg(
        long,
        help_heading = "Options",
        value_name = "KEY",
        env = "QUIVER_API_KEY",
        hide_env_values = true
    )]
    api_key: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Metric {
    Cosine,
    #[value(name = "dot_product", aliases = ["dot", "dot-product"])]
    DotProduct,
    #[value(alias = "l2")]
    Euclidean,
}

impl From<Metric> for Distance {
    fn from(metric: Metric) -> Self {
        match metric {
            Metric::Cosine => Self::Cosine,
            Metric::DotProduct => Self::DotProduct,
            Metric::Euclidean => Self::Euclidean,
        }
    }
}

impl Import {
    pub fn run(&self, config: &ConfigOptions) -> Result<(), Failure> {
        let loaded = config.load(&[])?;
        node::start_logging(&loaded, "warn")?;
        match self.bucket.from_layout {
            Some(classic::Layout::JsonObjects) => self.import_bucket(&loaded),
            None => self.import_file(&loaded),
        }
    }

    fn import_file(&self, loaded: &Loaded) -> Result<(), Failure> {
        let namespace = self.namespace.as_deref().ok_or_else(|| {
            Failure::usage("NAMESPACE is missing: rows of a file go into one")
                .hint("a whole bucket is imported with --from-layout")
        })?;
        let namespace =
            NamespaceName::parse(namespace, "NAMESPACE").map_err(|e| Failure::usage(e.to_string()))?;
        let limits = Arc::new(loaded.config.limits.clone());
        // Before anything is written: a file that cannot be read should leave nothing behind.
        let source = source::open(&self.source, &self.options)?;
        block_on(async {
            let sink = self.sink(loaded).await?;
            if let Some(distance) = self.distance {
                sink.create(&namespace, Some(distance.into())).await?;
            }
            let pipeline = Pipeline {
                limits,
                batch_rows: self.batch_rows as usize,
                in_flight: self.in_flight as usize,
                limit: self.limit.unwrap_or(u64::MAX),
            };
            let (totals, summary) = pipeline.run(source, &sink, &namespace).await?;
            print(&self.report(&namespace, &totals, &summary))
        })
    }

    fn import_bucket(&self, loaded: &Loaded) -> Result<(), Failure> {
        if let Some(flag) = self.options.first_given() {
            return Err(Failure::usage(format!("{flag} is not for --from-layout")));
        }
        let store = classic::open(&self.source)?;
        block_on(async {
            let import = BucketImport {
                store,
                sink: &self.sink(loaded).await?,
                limits: Arc::new(loaded.config.limits.clone()),
                distance: self.distance.map(Into::into),
                batch_rows: self.batch_rows as usize,
                in_flight: self.in_flight as usize,
            };
            let (into, report) = (self.bucket.into.as_deref(), self.bucket.report.as_deref());
            import.run(self.namespace.as_deref(), into, report).await
        })
    }

    async fn sink(&self, loaded: &Loaded) -> Result<Sink, Failure> {
        match &self.url {
            _ if self.dry_run => Ok(Sink::Nowhere),
            Some(url) => Sink::server(url, self.api_key.as_deref()),
            None => Ok(Sink::Engine(Node::open(loaded, Access::Write).await?.engine)),
        }
    }

    fn report(&self, namespace: &NamespaceName, totals: &Totals, summary: &str) -> String {
        let file = self.source.display();
        if self.dry_run {
            return format!("{file}: checked {summary}; nothing was written\n");
        }
        let new = totals.inserted.map_or(String::new(), |inserted| {
            let upserted = totals.upserted;
            format!(": {inserted} new, {} updated", upserted.saturating_sub(inserted))
        });
        format!("{file} -> {namespace}: {summary}{new}\n")
    }
}
