//! The effective configuration as TOML: secrets hidden, and behind each value who set it.

use std::fmt::Write;

use super::{Loaded, Source};

impl Loaded {
    /// TOML that names the source of every value which is not the default.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        // Plain structs serialise, and writing to a String cannot fail.
        if let Ok(toml::Value::Table(table)) = toml::Value::try_from(&self.config) {
            let _ = self.write_table(&mut out, "", &table);
        }
        out.trim_start().to_owned()
    }

    fn write_table(&self, out: &mut String, path: &str, table: &toml::Table) -> std::fmt::Result {
        let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        for (key, value) in table.iter().filter(|(_, value)| !is_section(value)) {
            write!(out, "{key} = {value}")?;
            match self.source(&join(key)) {
                Some(source) => writeln!(out, "  # {source}")?,
                None => writeln!(out)?,
            }
        }
        for (key, value) in table.iter().filter(|(_, value)| is_section(value)) {
            let path = join(key);
            match value {
                toml::Value::Table(table) => {
                    if table.values().any(|value| !is_section(value)) || table.is_empty() {
                        writeln!(out, "\n[{path}]")?;
                    }
                    self.write_table(out, &path, table)?;
                }
                toml::Value::Array(elements) => {
                    for element in elements.iter().filter_map(toml::Value::as_table) {
                        let source =
                            self.source(&path).map_or(String::new(), |source| format!("  # {source}"));
                        writeln!(out, "\n[[{path}]]{source}")?;
                        self.write_table(out, &path, element)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn source(&self, path: &str) -> Option<&Source> {
        self.sources.get(path)
    }
}

fn is_section(value: &toml::Value) -> bool {
    match value {
        toml::Value::Table(_) => true,
        toml::Value::Array(elements) => elements.first().is_some_and(toml::Value::is_table),
        _ => false,
    }
}
