//! The one-way import order of the modules: read from the source, so that it holds for code that no
//! other test compiles. Every path that begins with `crate`, `super` or `self` counts, in `use` lines
//! and elsewhere, in tests too. A relative path can only lead downwards and needs no check.

#[path = "architecture/paths.rs"]
mod paths;

use paths::{Found, paths_of};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Lowest first. A module may use those in the rows above its own; those in one row do not see each
/// other. `engine` stands for what lies in `engine/` and is not named on its own.
const ORDER: &[&[&str]] = &[
    &["error", "clock", "planted", "random", "telemetry"],
    &["types"],
    &["config"],
    &["storage"],
    &["cache"],
    &["engine/format"],
    &["engine/log", "engine/index"],
    &["engine/segment"],
    &["engine/manifest", "engine/contents"],
    &["engine/query", "engine/compaction"],
    &["engine"],
    &["service"],
    &["api"],
    &["cli"],
];

#[test]
fn no_module_imports_upwards() {
    let mut breaches = Vec::new();
    let mut checked = 0;
    for (file, module) in modules() {
        for found in paths_of(&read(&file), &module) {
            checked += 1;
            if let Some(breach) = breach(&module, &found) {
                breaches.push(format!("{}:{}: {breach}", file.display(), found.line));
            }
        }
    }
    assert!(checked > 200, "only {checked} paths were found: the reader misses most of them");
    assert!(breaches.is_empty(), "imports against the order of the modules:\n{}", breaches.join("\n"));
}

#[test]
fn every_module_has_a_place_in_the_order() {
    let known: BTreeSet<&str> = ORDER.iter().flat_map(|row| row.iter().copied()).collect();
    let strangers: BTreeSet<String> = modules()
        .iter()
        .filter_map(|(_, module)| module.first().cloned())
        .filter(|top| !known.contains(top.as_str()))
        .collect();
    assert!(strangers.is_empty(), "give these a row in ORDER: {strangers:?}");
}

/// A check that finds nothing proves nothing: each of these must be found.
#[test]
fn a_planted_import_is_found() {
    for (module, source) in [
        ("types::row", "use crate::engine::Engine;"),
        ("types::row", "use crate::{clock::Clock, api::ApiError};"),
        ("error", "use crate::telemetry::Telemetry;"),
        ("telemetry::http", "use super::super::clock::Clock;"),
        ("storage", "fn f() -> crate::service::Limits { todo!() }"),
        ("storage", "macro_rules! m { () => { $crate::cli::run() } }"),
        ("storage", "#[cfg(test)] mod tests { use super::super::api; }"),
        ("engine::log", "use super::index::Flat;"),
        ("engine::log::tail", "use super::super::{format::Entry, Engine};"),
        ("engine::format", "use super::*;"),
        ("engine::segment", "use crate::engine::{\n    format::Entry,\n    manifest::Manifest,\n};"),
        ("engine::query", "use crate::engine::compaction::fold as f;"),
        ("engine::context", "use crate::service;"),
        ("config", "use crate::*;"),
    ] {
        assert_eq!(breaches(module, source), 1, "in {module}: {source}");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (module, source) in [
        ("engine::log::tail", "use super::chunk::Chunk; use crate::{clock::Clock, engine::format::Entry};"),
        ("engine::context", "use super::{log::Tail, query, registry::Registry, Engine};"),
        ("engine", "use self::format::Entry; use crate::engine::index;"),
        ("config", "pub(in crate::config) fn f() {} pub(crate) fn g() {} pub(super) fn h() {}"),
        (
            "types",
            "// use crate::api::X;\n/* crate::api /* nested */ crate::cli */ const S: &str = \"crate::api\";",
        ),
        (
            "types",
            "/// See [`crate::api`].\nconst R: &str = r#\"\"crate::api\"#; const C: char = '\"'; use crate::error::Error;",
        ),
        ("types", "mod tests { use super::*; fn f<'a>(x: &'a str) -> &'a str { x } }"),
    ] {
        assert_eq!(breaches(module, source), 0, "in {module}: {source}");
    }
}

fn breaches(module: &str, source: &str) -> usize {
    let module: Vec<String> = module.split("::").map(String::from).collect();
    paths_of(source, &module).iter().filter(|found| breach(&module, found).is_some()).count()
}

fn breach(module: &[String], found: &Found) -> Option<String> {
    let from = unit(module);
    let to = unit(&found.path);
    let allowed = from == to || matches!((row(&from), row(&to)), (Some(from), Some(to)) if to < from);
    (!allowed).then(|| format!("{from} may not use {} (crate::{})", name(&to), found.path.join("::")))
}

/// The name of what a path leads into, as in [`ORDER`].
fn unit(path: &[String]) -> String {
    let inner = path.get(1).map(|second| format!("{}/{second}", path[0]));
    inner.filter(|inner| row(inner).is_some()).unwrap_or_else(|| path.first().cloned().unwrap_or_default())
}

fn row(unit: &str) -> Option<usize> {
    ORDER.iter().position(|row| row.contains(&unit))
}

fn name(unit: &str) -> &str {
    if unit.is_empty() { "the root of the crate" } else { unit }
}

/// Every source file with its module. The crate's roots are left out: they see everything.
fn modules() -> Vec<(PathBuf, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files
        .into_iter()
        .filter(|file| ![root.join("lib.rs"), root.join("main.rs")].contains(file))
        .map(|file| {
            let inside = file.strip_prefix(&root).expect("was found below it").with_extension("");
            let mut module: Vec<String> =
                inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if module.last().is_some_and(|last| last == "mod") {
                module.pop();
            }
            (file, module)
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry of a folder that can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
