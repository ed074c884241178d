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

  quiver verify --repair              and tidy up

Reads the manifest, every segment and every log entry from the store, and checks checksums, sequence
numbers, the chain of hashes and dimensions. Reports what nothing refers to. It is safe while servers
run; without --repair nothing is written.
Exit code: 0 all is whole, 1 something is not.";

/// Namespaces that one listing asks for.
const LIST_PAGE: usize = 1000;

/// Checks that what the store holds is whole.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Verify {
    /// The namespace [default: every one]
    namespace: Option<String>,
    /// Also collect garbage (what is found now is removed by a run after `garbage.grace`) and mend the
    /// list of namespaces. Damaged objects are left as they are.
    #[arg(long, conflicts_with = "namespace")]
    repair: bool,
}

impl Verify {
    pub fn run(&self, config: &ConfigOptions) -> Result<(), Failure> {
        let loaded = config.load(&[])?;
        node::start_logging(&loaded, "warn")?;
        let one = self.namespace.as_deref().map(|name| NamespaceName::parse(name, "NAMESPACE")).transpose();
        let one = one.map_err(|error| Failure::usage(error.to_string()))?;
        block_on(async {
            let access = if self.repair { Access::Write } else { Access::Read };
            let engine = Node::open(&loaded, access).await?.engine;
            match one {
                Some(name) => {
                    let report = walk(&engine, &name).await?;
                    print(&describe(&report))?;
                    conclude(1, usize::from(!report.problems.is_empty()))
                }
                None => {
                    let verified = verify_all(&engine).await;
                    if self.repair {
                        repair(&engine).await?;
                    }
                    verified
                }
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

/// Collects garbage and mends the catalog.
async fn repair(engine: &Engine) -> Result<(), Failure> {
    use indicatif::{HumanBytes, HumanCount};
    let markers = engine.repair_markers().await?;
    let done = engine.collect_garbage().await?;
    let (removed, bytes) = (HumanCount(done.removed), HumanBytes(done.bytes));
    let mut text = format!("repair: removed {removed} objects ({bytes})");
    let mut add = |count: u64, what: &str| {
        if count > 0 {
            text.push_str(&format!("; {count} {what}"));
        }
    };
    add(done.marked, "namespaces have garbage, to be removed by a run after garbage.grace");
    add(done.failed, "namespaces could not be judged");
    add(markers.restored, "namespaces were missing in the list");
    add(markers.removed, "names in the list led nowhere");
    text.push('\n');
    print(&text)
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
    let VerifyReport { namespace, segments, problems, foreign, .. } = report;
    let (entries, rows) = (HumanCount(report.entries), HumanCount(report.rows));
    let bytes = HumanBytes(report.bytes);
    let verdict = match problems.len() {
        0 => "whole".to_owned(),
        1 => "1 problem".to_owned(),
        problems => format!("{problems} problems"),
    };
    let mut text =
        format!("{namespace}: {verdict}; {segments} segments, {entries} log entries ({bytes}), {rows} rows");
    if report.garbage_objects > 0 {
        let (objects, bytes) = (HumanCount(report.garbage_objects), HumanBytes(report.garbage_bytes));
        text.push_str(&format!("; {objects} objects ({bytes}) wait to be collected"));
    }
    text.push('\n');
    for key in foreign {
        text.push_str(&format!("  {key}: not one of ours; it is left alone\n"));
    }
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
