//! `quiver keygen`

use std::fmt::Write;

use clap::{Args, ValueEnum};
use sha2::{Digest, Sha256};

use super::{Failure, print};

const AFTER: &str =
    "The key is shown once and kept nowhere: servers are configured with its SHA-256. Clients send it as
`Authorization: Bearer KEY`; `quiver import --url` takes it from QUIVER_API_KEY.";

/// Makes a random API key of 256 bits, and prints the configuration that makes it valid.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Keygen {
    /// A label for logs and metrics
    #[arg(long, default_value = "my-key")]
    name: String,
    /// What the key may do
    #[arg(long, value_enum, default_value = "admin")]
    scope: Scope,
    /// Namespaces it may do it to: a name or a glob with * and ?; may be repeated [default: all]
    #[arg(long, value_name = "GLOB")]
    namespace: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scope {
    /// Read and search
    Read,
    /// Also write rows and index blobs
    Write,
    /// Also create and delete namespaces
    Admin,
}

impl Keygen {
    pub fn run(&self) -> Result<(), Failure> {
        let key = format!("qv_{}", hex(&rand::random::<[u8; 32]>()));
        print(&self.describe(&key))
    }

    fn describe(&self, key: &str) -> String {
        let scope = match self.scope {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        };
        let text = |text: &str| toml::Value::from(text).to_string();
        let mut out =
            format!("# The key, shown only now. Clients send `Authorization: Bearer KEY`:\n# {key}\n\n");
        out.push_str("[[auth.keys]]\n");
        out.push_str(&format!("name = {}\n", text(&self.name)));
        out.push_str(&format!("sha256 = \"{}\"\n", hex(&Sha256::digest(key))));
        out.push_str(&format!("scope = \"{scope}\"\n"));
        if !self.namespace.is_empty() {
            let globs: Vec<_> = self.namespace.iter().map(|glob| text(glob)).collect();
            out.push_str(&format!("namespaces = [{}]\n", globs.join(", ")));
        }
        out
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
