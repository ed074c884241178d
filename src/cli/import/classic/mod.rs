//! `quiver import --from-layout json-objects`: a bucket with an object per vector, whole.
//!
//! Objects are read in key order, several at once, and go through the same batches as the rows of a
//! file. A bad object does not stop the rest: it is named, and the command fails at its end.
//!
//! Invariant: the command succeeds only if every object below `namespaces/` was imported, is a
//! leftover of a killed writer, or is Quiver's own.

mod findings;
mod layout;
mod row;
mod rows;
mod walk;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use clap::{Args, ValueEnum};
use tokio::sync::mpsc;

use self::{
    findings::{Counts, Findings},
    layout::{Meta, NAMESPACES},
    rows::ClassicRows,
    walk::{FoundIndex, walk},
};
use super::{
    pipeline::{Pipeline, Totals},
    sink::Sink,
};
use crate::{
    cli::{Failure, print, progress::say},
    config::{BackendConfig, Inputs, LimitsConfig, StorageConfig},
    storage::{ForeignKey, ForeignStore, StoreErrorKind},
    types::{Distance, NamespaceName},
};

/// Flags for whole buckets.
#[derive(Debug, Args)]
#[command(next_help_heading = "Bucket")]
pub(super) struct BucketOptions {
    /// SOURCE is a bucket in this layout: its folder, or a configuration file with its [storage.backend]
    #[arg(long, value_enum, value_name = "LAYOUT")]
    pub from_layout: Option<Layout>,
    /// Import NAMESPACE under this name
    #[arg(long, value_name = "NAME", requires_all = ["from_layout", "namespace"])]
    pub into: Option<String>,
    /// Write a JSON line for each object that was not imported, with its key and the reason
    #[arg(long, value_name = "FILE", requires = "from_layout")]
    pub report: Option<PathBuf>,
}

/// Layouts that other programs keep their vectors in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Layout {
    /// namespaces/<ns>/vectors/<id>.json, an object per vector, beside meta.json and indexes/<type>.bin
    JsonObjects,
}

/// What several tasks add to.
type SharedFindings = Arc<Mutex<Findings>>;

fn locked(findings: &SharedFindings) -> MutexGuard<'_, Findings> {
    findings.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the bucket: a folder, or what a configuration file says.
pub(super) fn open(source: &Path) -> Result<ForeignStore, Failure> {
    let config = if source.is_dir() {
        StorageConfig { backend: BackendConfig::Fs { root: source.to_owned() }, ..StorageConfig::default() }
    } else if source.is_file() {
        // The environment and the flags are about where rows go to.
        let inputs = Inputs { files: vec![source.to_owned()], flags: Vec::new() };
        inputs.load_with([])?.config.storage
    } else {
        let message = format!("{}: there is no such folder or file", source.display());
        return Err(Failure::new(message)
            .hint("SOURCE is the folder that holds `namespaces`, or a configuration file with the bucket's [storage.backend]"));
    };
    let opened = ForeignStore::open(&config, Arc::default());
    opened.map_err(|error| Failure::from(error).hint("SOURCE says where the bucket is"))
}

/// An import of a bucket.
pub(super) struct BucketImport<'a> {
    pub store: ForeignStore,
    pub sink: &'a Sink,
    pub limits: Arc<LimitsConfig>,
    pub distance: Option<Distance>,
    pub batch_rows: usize,
    pub in_flight: usize,
}

/// A namespace, as the bucket has it.
struct Found {
    namespace: String,
    target: NamespaceName,
    meta: Meta,
}

impl BucketImport<'_> {
    /// Imports one namespace, or all.
    pub async fn run(
        &self,
        namespace: Option<&str>,
        into: Option<&str>,
        report: Option<&Path>,
    ) -> Result<(), Failure> {
        let findings = Arc::new(Mutex::new(Findings::new(report)?));
        let done = match namespace {
            Some(namespace) => self.import_named(namespace, into, &findings).await,
            None => self.import_all(&findings).await,
        };
        // Nobody else holds them any more, unless a task hangs: then what it adds is lost to the report.
        let findings = std::mem::replace(&mut *locked(&findings), Findings::new(None)?);
        let bad = findings.finish()?;
        done?;
        if bad == 0 {
            return Ok(());
        }
        let failure = Failure::new(match (self.sink, bad) {
            (Sink::Nowhere, 1) => "1 object cannot be imported; everything else can".to_owned(),
            (Sink::Nowhere, _) => format!("{bad} objects cannot be imported; everything else can"),
            (_, 1) => "1 object was not imported; everything else was".to_owned(),
            _ => format!("{bad} objects were not imported; everything else was"),
        });
        Err(failure.hint(match report {
            Some(report) => format!("{} names all of them; repeating the import is safe", report.display()),
            None => "--report FILE names all of them; repeating the import is safe".to_owned(),
        }))
    }

    async fn import_named(
        &self,
        namespace: &str,
        into: Option<&str>,
        findings: &SharedFindings,
    ) -> Result<(), Failure> {
        let is_there = !namespace.is_empty() && !namespace.contains('/');
        if !is_there || !walk::has_classic(&self.store, namespace).await.map_err(Failure::new)? {
            let message = format!("there is no namespace {namespace:?} in {}", self.store.location());
            return Err(Failure::new(message).or_hint(self.hint_namespaces().await?));
        }
        let target = NamespaceName::parse(
            into.unwrap_or(namespace),
            if into.is_some() { "--into" } else { "NAMESPACE" },
        );
        let target =
            target.map_err(|error| Failure::usage(error.to_string()).hint("--into gives it another name"))?;
        let meta = match self.find_meta(namespace).await? {
            Some(key) => self.read_meta(&key, findings).await?,
            None => {
                let reason = "has no meta.json, so its server did not list it; imported because it was named";
                locked(findings).warn(&layout::prefix(namespace), reason);
                Meta::default()
            }
        };
        self.import(Found { namespace: namespace.to_owned(), target, meta }, findings).await
    }

    /// Imports every namespace. One that fails does not stop the others, unless they would as well.
    async fn import_all(&self, findings: &SharedFindings) -> Result<(), Failure> {
        let level = self.store.level(NAMESPACES).await?;
        for name in &level.objects {
            locked(findings).bad(&format!("{NAMESPACES}{name}"), "is nothing that the classic layout has");
        }
        let (mut imported, mut failed) = (0, Vec::new());
        for namespace in level.folders {
            let Some(found) = self.find(namespace, findings).await? else { continue };
            let name = found.target.clone();
            match self.import(found, findings).await {
                Ok(()) => imported += 1,
                Err(failure) if failure.is_passing() => return Err(failure),
                Err(failure) => {
                    let message = failure.into_message();
                    say(&format!("{name}: {message}"));
                    failed.push(name.to_string());
                }
            }
        }
        if !failed.is_empty() {
            let message = format!("not imported, or not whole: {}", failed.join(", "));
            return Err(
                Failure::new(message).hint("the reason of each is above; repeating the import is safe")
            );
        }
        if imported == 0 && locked(findings).is_clean() {
            let message = format!("there are no namespaces in {}", self.store.location());
            return Err(Failure::new(message).hint("SOURCE is the folder or prefix that holds `namespaces`"));
        }
        Ok(())
    }

    /// A namespace that is to be imported because the bucket has it. What keeps it from that is a finding.
    async fn find(&self, namespace: String, findings: &SharedFindings) -> Result<Option<Found>, Failure> {
        let prefix = layout::prefix(&namespace);
        let Some(key) = self.find_meta(&namespace).await? else {
            // Empty folders, and namespaces of Quiver's own.
            if walk::has_classic(&self.store, &namespace).await.map_err(Failure::new)? {
                let reason = "has no meta.json, so its server did not list it; name it to import it";
                locked(findings).bad(&prefix, reason);
            }
            return Ok(None);
        };
        let Ok(target) = NamespaceName::parse(&namespace, "NAMESPACE") else {
            let reason = "its name has other characters than A-Z a-z 0-9 . _ -; import it alone, with --into";
            locked(findings).bad(&prefix, reason);
            return Ok(None);
        };
        let meta = self.read_meta(&key, findings).await?;
        Ok(Some(Found { namespace, target, meta }))
    }

    async fn find_meta(&self, namespace: &str) -> Result<Option<ForeignKey>, Failure> {
        let key = format!("{}meta.json", layout::prefix(namespace));
        let listed = self.store.list(&key, None, 1).await?;
        Ok(listed.into_iter().map(|object| object.key).find(|found| found.as_str() == key))
    }

    /// Counters that cannot be read are a finding; the rows can be imported without.
    async fn read_meta(&self, key: &ForeignKey, findings: &SharedFindings) -> Result<Meta, Failure> {
        // What was met before belongs to no namespace, or to one that failed.
        locked(findings).take_counts();
        let content = match self.store.get(key).await {
            Err(error) if error.kind == StoreErrorKind::Unavailable => return Err(error.into()),
            Err(error) => Err(format!("cannot be read: {}", error.message)),
            Ok(content) => Meta::parse(&content),
        };
        Ok(content.unwrap_or_else(|reason| {
            locked(findings).bad(key.as_str(), &reason);
            Meta::default()
        }))
    }

    async fn import(&self, found: Found, findings: &SharedFindings) -> Result<(), Failure> {
        let Found { namespace, target, meta } = &found;
        if let Some(distance) = self.distance {
            self.sink.create(target, Some(distance)).await?;
        }
        let (sender, objects) = mpsc::channel(self.store.concurrency());
        let walking = tokio::spawn(walk(self.store.clone(), namespace.clone(), Arc::clone(findings), sender));
        let rows = ClassicRows {
            objects,
            findings: Arc::clone(findings),
            limits: Arc::clone(&self.limits),
            prefix: format!("{}vectors/", layout::prefix(namespace)),
            dimension: meta.dimension(),
            counted: meta.vector_count,
            done: 0,
            ids: Default::default(),
        };
        let pipeline = Pipeline {
            limits: Arc::clone(&self.limits),
            batch_rows: self.batch_rows,
            in_flight: self.in_flight,
            limit: u64::MAX,
        };
        let (totals, summary) = pipeline.run(Box::new(rows), self.sink, target).await?;
        let indexes = walking.await.map_err(|_| Failure::new("the bucket could not be walked to its end"))?;
        let index_count = self.import_indexes(&found, totals.rows, indexes, findings).await?;
        let counts = locked(findings).take_counts();
        warn(&found, &counts, findings);
        print(&self.line(&found, &totals, &summary, index_count, &counts))
    }

    async fn import_indexes(
        &self,
        found: &Found,
        rows: u64,
        indexes: Vec<FoundIndex>,
        findings: &SharedFindings,
    ) -> Result<usize, Failure> {
        if rows == 0 {
            // Rows would have created it.
            self.sink.create(&found.target, None).await?;
        }
        let mut imported = 0;
        for FoundIndex { index, object } in indexes {
            let (key, max) = (object.key, self.limits.index_blob_bytes.as_u64());
            if object.size > max {
                let reason = format!("{} is over the limit limits.index_blob_bytes = {max}", object.size);
                locked(findings).bad(key.as_str(), &reason);
                continue;
            }
            let put = match self.store.get(&key).await {
                Ok(bytes) => self.sink.put_index_blob(&found.target, index, bytes).await,
                Err(error) => Err(error.into()),
            };
            match put {
                Ok(()) => imported += 1,
                Err(failure) if failure.is_passing() => return Err(failure),
                Err(failure) => locked(findings).bad(key.as_str(), &failure.into_message()),
            }
        }
        Ok(imported)
    }

    fn line(&self, found: &Found, totals: &Totals, summary: &str, indexes: usize, counts: &Counts) -> String {
        let Found { namespace, target, .. } = found;
        let renamed = namespace != target.as_str();
        let name =
            if renamed { format!("{} -> {target}", findings::shown(namespace)) } else { target.to_string() };
        let mut line = match self.sink {
            Sink::Nowhere => format!("{name}: checked {summary}; nothing was written"),
            _ => match totals.inserted {
                Some(inserted) => {
                    let updated = totals.upserted.saturating_sub(inserted);
                    format!("{name}: {summary}: {inserted} new, {updated} updated")
                }
                None => format!("{name}: {summary}"),
            },
        };
        for (count, one, many) in [
            (indexes as u64, "index", "indexes"),
            (counts.leftovers, "leftover", "leftovers"),
            (counts.bad, "object NOT imported", "objects NOT imported"),
        ] {
            if count > 0 {
                line.push_str(&format!("; {count} {}", if count == 1 { one } else { many }));
            }
        }
        line.push('\n');
        line
    }

    async fn hint_namespaces(&self) -> Result<String, Failure> {
        let folders = self.store.level(NAMESPACES).await?.folders;
        let names: Vec<_> = folders.iter().take(20).map(|name| findings::shown(name)).collect();
        Ok(match names.as_slice() {
            [] => "there are none; SOURCE is the folder or prefix that holds `namespaces`".to_owned(),
            names => format!("there are: {}", names.join(", ")),
        })
    }
}

fn warn(found: &Found, counts: &Counts, findings: &SharedFindings) {
    let prefix = layout::prefix(&found.namespace);
    let mut findings = locked(findings);
    if let Some(counted) = found.meta.vector_count.filter(|counted| *counted != counts.vectors) {
        let reason = format!("meta.json counts {counted} vectors, but {} objects were found", counts.vectors);
        findings.warn(&prefix, &reason);
    }
    for (field, rows) in &counts.ignored {
        findings.warn(
            &prefix,
            &format!("the field {field:?} of {rows} vectors has no place in Quiver and stayed behind"),
        );
    }
}
