//! Merging the sources: defaults < files < environment < flags.
//!
//! Invariants: a key that is not a setting is an error that names it and where it stands; a
//! source that changes the backend's type starts that section anew, so that one backend's `root`
//! or `bucket` never leaks into another's.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use figment::{
    error::Kind as FigmentKind,
    value::{Dict, Tag, Value},
};

use super::{
    Config,
    schema::{BACKEND, Kind, Schema},
    source::{Setting, Source, from_environment, from_text, from_toml},
};

/// Files that are read if no other is named and they exist; the first one found.
const USUAL_FILES: [&str; 2] = ["quiver.toml", "config/quiver.toml"];

/// Why a configuration was refused: every problem, not just the first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct ConfigError {
    /// One sentence each; they never contain a secret.
    pub problems: Vec<String>,
}

/// What a configuration is made of, besides the defaults and the environment.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Files, later ones winning. Empty: the usual files.
    pub files: Vec<PathBuf>,
    /// Settings that were given as flags: path, text, name of the flag.
    pub flags: Vec<(String, String, String)>,
}

/// A configuration and where its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Who set what; settings that are missing here have their default.
    pub sources: BTreeMap<String, Source>,
}

impl Inputs {
    /// Reads, merges and validates, with this process's environment.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        self.load_with(std::env::vars_os().map(|(name, value)| (text(name), text(value))))
    }

    /// Reads, merges and validates, with these environment variables.
    pub fn load_with(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let schema = Schema::new();
        let mut merger = Merger { schema: &schema, settings: BTreeMap::new(), problems: Vec::new() };
        for file in self.files_to_read() {
            match std::fs::read_to_string(&file) {
                Ok(text) => merger.add(from_toml(&text, &file).map_err(|problem| vec![problem])),
                Err(error) => merger.problems.push(format!("{}: cannot be read: {error}", file.display())),
            }
        }
        merger.add_text(from_environment(&schema, environment));
        let flags = self.flags.iter().cloned().map(|(path, text, flag)| (path, text, Source::Flag(flag)));
        merger.add_text(from_text(&schema, flags.collect()));
        merger.finish()
    }

    fn files_to_read(&self) -> Vec<PathBuf> {
        if self.files.is_empty() {
            let usual = USUAL_FILES.iter().map(Path::new).find(|path| path.exists());
            return usual.map(Path::to_owned).into_iter().collect();
        }
        self.files.clone()
    }
}

struct Merger<'s> {
    schema: &'s Schema,
    settings: BTreeMap<String, Setting>,
    problems: Vec<String>,
}

impl Merger<'_> {
    fn add_text(&mut self, (settings, problems): (Vec<Setting>, Vec<String>)) {
        self.problems.extend(problems);
        self.add(Ok(settings));
    }

    fn add(&mut self, layer: Result<Vec<Setting>, Vec<String>>) {
        let layer = match layer {
            Ok(layer) => layer,
            Err(problems) => return self.problems.extend(problems),
        };
        if let Some(kind) = layer.iter().find(|setting| setting.path == "storage.backend.type") {
            let before = self.settings.get("storage.backend.type");
            if before.and_then(|before| before.value.as_str()).unwrap_or("fs")
                != kind.value.as_str().unwrap_or_default()
            {
                self.settings.retain(|path, _| !path.starts_with(BACKEND));
            }
        }
        for setting in layer {
            match self.check(&setting) {
                Ok(()) => drop(self.settings.insert(setting.path.clone(), setting)),
                Err(problem) => self.problems.push(problem),
            }
        }
    }

    fn check(&self, setting: &Setting) -> Result<(), String> {
        let Setting { path, value, source } = setting;
        match self.schema.kind(path) {
            Some(Kind::Secret) if value.as_str().is_none() => {
                Err(format!("{path} ({source}): expected a string"))
            }
            Some(Kind::List) => self.check_elements(setting),
            Some(_) => Ok(()),
            None if self.schema.is_section(path) => {
                Err(format!("{path} ({source}) is a section of settings, not a setting"))
            }
            None => Err(self.unknown(path, source)),
        }
    }

    fn check_elements(&self, Setting { path, value, source }: &Setting) -> Result<(), String> {
        let Some(elements) = value.as_array() else {
            return Err(format!("{path} ({source}): expected a list"));
        };
        let dicts = elements.iter().enumerate().filter_map(|(at, element)| Some((at, element.as_dict()?)));
        for (at, key) in dicts.flat_map(|(at, dict)| dict.keys().map(move |key| (at, key))) {
            if self.schema.kind(&format!("{path}[].{key}")).is_none() {
                return Err(self.unknown(&format!("{path}[{at}].{key}"), source));
            }
        }
        Ok(())
    }

    fn unknown(&self, path: &str, source: &Source) -> String {
        let mut problem = format!("{path} ({source}) is not a setting");
        if let Some(nearest) = self.schema.nearest(path) {
            problem.push_str("; did you mean ");
            problem.push_str(nearest);
            if matches!(source, Source::Environment(_)) {
                problem.push_str(&format!(" (QUIVER_{})", nearest.to_uppercase().replace('.', "__")));
            }
            problem.push('?');
        }
        problem
    }

    fn finish(mut self) -> Result<Loaded, ConfigError> {
        self.check_backend();
        if !self.problems.is_empty() {
            return Err(ConfigError { problems: self.problems });
        }
        let config = self.extract().map_err(|problem| ConfigError { problems: vec![problem] })?;
        let sources: BTreeMap<_, _> =
            self.settings.into_iter().map(|(path, setting)| (path, setting.source)).collect();
        // A problem inside of a list is at `list[3].field`.
        let source = |path: &str| sources.get(path.split('[').next().unwrap_or(path));
        let named = |(path, problem): (String, String)| match source(&path) {
            Some(source) => format!("{path} ({source}): {problem}"),
            None => format!("{path}: {problem}"),
        };
        let problems: Vec<_> = config.problems().into_iter().map(named).collect();
        if problems.is_empty() { Ok(Loaded { config, sources }) } else { Err(ConfigError { problems }) }
    }

    /// Settings of another backend than the chosen one.
    fn check_backend(&mut self) {
        let kind = self.settings.get("storage.backend.type").map(|setting| &setting.value);
        let kind = kind.map_or("fs", |value| value.as_str().unwrap_or_default());
        if !self.schema.backends().contains(&kind) {
            let known = self.schema.backends().join(", ");
            self.problems.push(format!("storage.backend.type: {kind:?} is not one of {known}"));
            return;
        }
        for (path, setting) in &self.settings {
            let owners = self.schema.backends_with(path);
            if path.starts_with(BACKEND) && !owners.contains(&kind) {
                let (source, owners) = (&setting.source, owners.join(", "));
                self.problems.push(format!(
                    "{path} ({source}) is a setting of {owners}, but storage.backend.type is {kind}"
                ));
            }
        }
    }

    fn extract(&self) -> Result<Config, String> {
        let mut root = Dict::new();
        for (path, setting) in &self.settings {
            insert(&mut root, path, setting.value.clone());
        }
        if let Some(Value::Dict(_, storage)) = root.get_mut("storage")
            && let Some(Value::Dict(_, backend)) = storage.get_mut("backend")
        {
            backend.entry("type".into()).or_insert_with(|| Value::from("fs"));
        }
        Value::from(root).deserialize::<Config>().map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &figment::Error) -> String {
        let path = error.path.join(".");
        let known =
            self.settings.iter().find(|(known, _)| path == **known || path.starts_with(&format!("{known}.")));
        let place = match known {
            Some((_, setting)) => format!("{path} ({})", setting.source),
            None => path.clone(),
        };
        match &error.kind {
            FigmentKind::MissingField(field) => format!("{path}.{field} is required and missing"),
            FigmentKind::InvalidType(actual, expected) => {
                format!("{place}: {actual} where {expected} is expected")
            }
            FigmentKind::InvalidValue(actual, expected) => {
                format!("{place}: {actual} where {expected} is expected")
            }
            FigmentKind::UnknownVariant(actual, known) => {
                format!("{place}: {actual:?} is not one of {}", known.join(", "))
            }
            kind => format!("{place}: {kind}"),
        }
    }
}

fn insert(dict: &mut Dict, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(dict.insert(path.into(), value)),
        Some((section, rest)) => {
            let entry = dict.entry(section.into()).or_insert_with(|| Value::Dict(Tag::Default, Dict::new()));
            if let Value::Dict(_, inner) = entry {
                insert(inner, rest, value);
            }
        }
    }
}
