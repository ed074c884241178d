//! Where settings come from: TOML files, the environment, flags.
//!
//! Each source yields flat settings (`server.listen` → value), so that merging is one map insert a
//! setting and every value remembers where it came from.

use std::{fmt, path::PathBuf};

use figment::value::{Empty, Value};

use super::schema::{Kind, Schema};

/// Where a setting was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A TOML file.
    File(PathBuf),
    /// An environment variable, by name.
    Environment(String),
    /// A flag, such as `--listen`.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// One setting as given.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// Dotted path, such as `server.listen`.
    pub path: String,
    /// Its value.
    pub value: Value,
    /// Who gave it.
    pub source: Source,
}

/// The settings of a TOML text. The error names the line and never shows it: it may hold a secret.
pub(super) fn from_toml(text: &str, file: &std::path::Path) -> Result<Vec<Setting>, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let line = text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("{}:{line}: not TOML: {}", file.display(), error.message())
    })?;
    let value = Value::serialize(&table).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut settings = Vec::new();
    flatten(String::new(), value, &mut |path, value| {
        settings.push(Setting { path, value, source: Source::File(file.to_owned()) });
    });
    Ok(settings)
}

fn flatten(path: String, value: Value, emit: &mut impl FnMut(String, Value)) {
    match value {
        Value::Dict(_, dict) => {
            for (key, value) in dict {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(path, value, emit);
            }
        }
        value => emit(path, value),
    }
}

const PREFIX: &str = "QUIVER_";

/// Variables with our prefix that are no settings.
fn is_no_setting(rest: &str) -> bool {
    // Read by commands themselves.
    let ours = matches!(rest, "API_KEY" | "URL" | "CONFIG") || rest.starts_with("TEST_");
    // What Kubernetes sets in every container beside a Service named `quiver`.
    let kubernetes = matches!(rest, "PORT")
        || ["PORT_", "SERVICE_HOST", "SERVICE_PORT"].iter().any(|p| rest.starts_with(p));
    ours || (kubernetes && !rest.contains("__"))
}

/// The settings among environment variables: `QUIVER_SERVER__LISTEN` is `server.listen`. Empty
/// ones count as not set, because that is what `${NAME:-}` in a compose file makes of a missing one.
pub(super) fn from_environment(
    schema: &Schema,
    variables: impl IntoIterator<Item = (String, String)>,
) -> (Vec<Setting>, Vec<String>) {
    let setting = |(name, text): (String, String)| {
        let rest = name.strip_prefix(PREFIX)?;
        let path = rest.to_lowercase().replace("__", ".");
        (!text.is_empty() && !is_no_setting(rest)).then_some((path, text, Source::Environment(name)))
    };
    from_text(schema, variables.into_iter().filter_map(setting).collect())
}

/// Settings whose values are text, which the schema turns into what the setting needs.
pub(super) fn from_text(
    schema: &Schema,
    given: Vec<(String, String, Source)>,
) -> (Vec<Setting>, Vec<String>) {
    let (mut settings, mut problems) = (Vec::new(), Vec::new());
    for (path, text, source) in given {
        match parse_text(schema.kind(&path), &text) {
            Ok(value) => settings.push(Setting { path, value, source }),
            Err(expected) => problems.push(format!("{path} ({source}): expected {expected}")),
        }
    }
    (settings, problems)
}

fn parse_text(kind: Option<Kind>, text: &str) -> Result<Value, &'static str> {
    let trimmed = text.trim();
    match kind {
        // Unknown keys are reported as such, whatever their value is.
        None => Ok(Value::from(Empty::Unit)),
        Some(Kind::Text | Kind::Secret) => Ok(Value::from(text)),
        Some(Kind::Bool) => match trimmed {
            "true" | "1" => Ok(Value::from(true)),
            "false" | "0" => Ok(Value::from(false)),
            _ => Err("true or false"),
        },
        Some(Kind::Number) => {
            let digits = trimmed.replace('_', "");
            let integer = digits.parse::<u64>().map(Value::from).ok();
            let integer = integer.or_else(|| digits.parse::<i64>().map(Value::from).ok());
            integer.or_else(|| digits.parse::<f64>().map(Value::from).ok()).ok_or("a number")
        }
        Some(Kind::List) => parse_list(trimmed).ok_or("a list in TOML or JSON, such as [{name = \"ci\", …}]"),
    }
}

fn parse_list(text: &str) -> Option<Value> {
    let from_toml = toml::from_str::<toml::Table>(&format!("list = {text}")).ok();
    if let Some(list) = from_toml.as_ref().and_then(|table| table.get("list")) {
        return list.is_array().then(|| Value::serialize(list).ok()).flatten();
    }
    let list = serde_json::from_str::<Vec<serde_json::Value>>(text).ok()?;
    Value::serialize(list).ok()
}
