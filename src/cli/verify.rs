//! `quiver verify`

use clap::Args;

use super::{
    ConfigOptions, Failure, block_on, node,
    node::{Access, Node},
    print,
    progress::Progress,
};
use crate::{
    engine::{Engine, VerifyReport},
    error::Error,
    types::NamespaceName,
};

const AFTER: &str = "\x1b[1;4mExamples:\x1b[0m
  quiver verify                       every namespace
  quiver verify articles --config config/s3.toml

Reads the manifest and every log entry from the store, and checks checksums, sequence numbers, the
chain of hashes and dimensions. Nothing is written; it is safe while servers run.
Exit code: 0 all is whole, 1 something is not.";

/// Namespaces that one listing asks for.
const LIST_PAGE: usize = 1000;

/// Checks that what the store holds is whole.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Verify {
    /// The namespace [default: every one]
    namespace: Option<String>,
}

impl Verify {
    pub fn run(&self, config: &ConfigOptions) -> Result<(), Failure> {
        let loaded = config.load(&[])?;
        node::start_logging(&loaded, "warn")?;
        let one = self.namespace.as_deref().map(|name| NamespaceName::parse(name, "NAMESPACE")).transpose();
        let one = one.map_err(|error| Failure::usage(error.to_string()))?;
        block_on(async {
            let engine = Node::open(&loaded, Access::Read).await?.engine;
            match one {
                Some(name) => {
                    let report = walk(&engine, &name).await?;
                    print(&describe(&report))?;
                    conclude(1, usize::from(!report.problems.is_empty()))
                }
                None => verify_all(&engine).await,
            }
        })
    }
}

async fn verify_all(engine: &Engine) -> Result<(), Failure> {
    let (mut checked, mut broken) = (0, 0);
    let mut after: Option<NamespaceName> = None;
    loop {
        let page = engine.list_namespaces("", after.as_ref().map(NamespaceName::as_str), LIST_PAGE).await?;
        let (names, more) = page;
        for name in &names {
            match walk(engine, name).await {
                Ok(report) => {
                    checked += 1;
                    broken += usize::from(!report.problems.is_empty());
                    print(&describe(&report))?;
                }
                // Deleted since it was listed, or not yet created in full.
                Err(Error::NamespaceNotFound { .. }) => {}
                Err(error) => {
                    checked += 1;
                    broken += 1;
                    print(&format!("{name}: cannot be checked: {error}\n"))?;
                }
            }
        }
        after = names.last().cloned();
        if !more || after.is_none() {
            return conclude(checked, broken);
        }
    }
}

async fn walk(engine: &Engine, name: &NamespaceName) -> Result<VerifyReport, Error> {
    let mut progress = Progress::start("entries", None);
    let mut before = 0;
    let report = engine
        .verify(name, |entries| {
            progress.advance(entries - before, 0, entries);
            before = entries;
        })
        .await;
    drop(progress.finish());
    report
}

fn describe(report: &VerifyReport) -> String {
    use indicatif::{HumanBytes, HumanCount};
    let VerifyReport { namespace, entries, bytes, rows, problems } = report;
    let (entries, bytes, rows) = (HumanCount(*entries), HumanBytes(*bytes), HumanCount(*rows));
    let verdict = match problems.len() {
        0 => "whole".to_owned(),
        1 => "1 problem".to_owned(),
        problems => format!("{problems} problems"),
    };
    let mut text = format!("{namespace}: {verdict}; {entries} log entries ({bytes}), {rows} rows\n");
    for problem in problems {
        text.push_str(&format!("  {}: {}\n", problem.object, problem.reason));
    }
    text
}

fn conclude(checked: usize, broken: usize) -> Result<(), Failure> {
    if broken == 0 {
        return Ok(());
    }
    Err(Failure::new(format!("{broken} of {checked} namespaces are damaged"))
        .hint("a damaged namespace is read-only; the others are not affected"))
}
