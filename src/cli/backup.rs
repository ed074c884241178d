//! `quiver backup` and `quiver restore`: namespaces between two stores.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{
    ConfigOptions, Failure, block_on, node,
    node::{Access, Node},
    progress::{Progress, say},
};
use crate::{
    config::{BackendConfig, Inputs, Loaded},
    engine::Engine,
    types::NamespaceName,
};

const BACKUP: &str = "\x1b[1;4mExamples:\x1b[0m
  quiver backup --to /backups/2026-11-25              every namespace, to a folder
  quiver backup articles --to config/offsite.toml     one, to the bucket that the file names

What is written is a Quiver store: it can be verified, served, and read with Arrow's tools. It holds
each namespace as it was at one moment, with every write acknowledged before. Servers go on meanwhile.
A namespace that the other store has already is an error: back up to a new folder or prefix.";

const RESTORE: &str = "\x1b[1;4mExamples:\x1b[0m
  quiver restore --from /backups/2026-11-25
  quiver restore articles --from /backups/2026-11-25 --into articles-before

A namespace that exists is an error: delete it first, or restore --into another name.";

/// Names that one listing asks for.
const LIST_PAGE: usize = 1000;

/// Writes namespaces to another store.
#[derive(Debug, Args)]
#[command(after_help = BACKUP)]
pub(super) struct Backup {
    /// The namespaces [default: every one]
    namespaces: Vec<String>,
    /// A folder, or a configuration file with the [storage.backend] of the other store
    #[arg(long, value_name = "FOLDER|FILE")]
    to: PathBuf,
}

/// Reads namespaces from another store.
#[derive(Debug, Args)]
#[command(after_help = RESTORE)]
pub(super) struct Restore {
    /// The namespaces [default: every one]
    namespaces: Vec<String>,
    /// A folder, or a configuration file with the [storage.backend] of the other store
    #[arg(long, value_name = "FOLDER|FILE")]
    from: PathBuf,
    /// Restore the one namespace under this name
    #[arg(long, value_name = "NAME", requires = "namespaces")]
    into: Option<String>,
}

impl Backup {
    pub fn run(&self, config: &ConfigOptions) -> Result<(), Failure> {
        let here = config.load(&[])?;
        node::start_logging(&here, "warn")?;
        let there = other(&here, &self.to)?;
        block_on(async {
            let source = Node::open(&here, Access::Read).await?.engine;
            let target = Node::open(&there, Access::Write).await?.engine;
            transfer_all(&source, &target, &self.namespaces, None).await
        })
    }
}

impl Restore {
    pub fn run(&self, config: &ConfigOptions) -> Result<(), Failure> {
        if self.into.is_some() && self.namespaces.len() != 1 {
            return Err(Failure::usage("--into needs exactly one namespace"));
        }
        let here = config.load(&[])?;
        node::start_logging(&here, "warn")?;
        if !self.from.exists() {
            let message = format!("{}: there is no such folder or file", self.from.display());
            return Err(Failure::usage(message));
        }
        let there = other(&here, &self.from)?;
        block_on(async {
            let source = Node::open(&there, Access::Read).await?.engine;
            let target = Node::open(&here, Access::Write).await?.engine;
            transfer_all(&source, &target, &self.namespaces, self.into.as_deref()).await
        })
    }
}

/// The configuration of the other store: ours, but for where data lies.
fn other(here: &Loaded, place: &Path) -> Result<Loaded, Failure> {
    let mut there = here.clone();
    // Neither the environment nor the flags are about the other store.
    there.config.storage = if place.is_file() {
        let inputs = Inputs { files: vec![place.to_owned()], flags: Vec::new() };
        inputs.load_with([])?.config.storage
    } else {
        let mut storage = here.config.storage.clone();
        storage.backend = BackendConfig::Fs { root: place.to_owned() };
        storage
    };
    // Nothing is read twice there.
    there.config.cache.disk_path = None;
    Ok(there)
}

async fn transfer_all(
    source: &Engine,
    target: &Engine,
    namespaces: &[String],
    into: Option<&str>,
) -> Result<(), Failure> {
    if source.store().location() == target.store().location() {
        return Err(Failure::usage("both stores are the same; POST /namespaces/{ns}/copy copies within one"));
    }
    let parse = |name: &str, field| {
        NamespaceName::parse(name, field).map_err(|error| Failure::usage(error.to_string()))
    };
    let names = match namespaces {
        [] => every_name(source).await?,
        names => names.iter().map(|name| parse(name, "NAMESPACE")).collect::<Result<_, _>>()?,
    };
    let into = into.map(|name| parse(name, "--into")).transpose()?;
    let mut failed = 0;
    for name in &names {
        let to = into.as_ref().unwrap_or(name);
        if let Err(error) = transfer(source, target, name, to).await {
            failed += 1;
            say(&format!("{name}: {error}"));
        }
    }
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::new(format!("{failed} of {} namespaces were not transferred", names.len())))
}

async fn transfer(
    source: &Engine,
    target: &Engine,
    name: &NamespaceName,
    to: &NamespaceName,
) -> Result<(), crate::error::Error> {
    let mut progress = Progress::start("rows", None);
    let mut before = 0;
    let moved = |done: u64, total: u64| {
        progress.set_total(total);
        progress.advance(0, done - before, done);
        before = done;
    };
    let done = source.transfer(name, target, to, moved).await?;
    progress.advance(done.rows, 0, done.bytes);
    say(&format!("{name}: {} to {}", progress.finish(), target.store().location()));
    Ok(())
}

async fn every_name(engine: &Engine) -> Result<Vec<NamespaceName>, Failure> {
    let mut names: Vec<NamespaceName> = Vec::new();
    loop {
        let after = names.last().map(NamespaceName::as_str);
        let (page, more) = engine.list_namespaces("", after, LIST_PAGE).await?;
        let ended = page.is_empty() || !more;
        names.extend(page);
        if ended {
            return Ok(names);
        }
    }
}
