//! One builder: from configuration to a backend.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use opendal::{HttpTransporter, Operator, services};
use opendal_http_transport_reqwest::ReqwestTransport;
use secrecy::{ExposeSecret, SecretString};

use super::{
    backend::{Backend, Memory, Remote},
    error::{Failure, StoreErrorKind},
    files::Files,
    layers::Hook,
    objects::Listing,
    parts::{Parts, Protocol},
    publish::Identity,
};
use crate::{
    clock::{SharedClock, SystemClock},
    config::{BackendConfig, StorageConfig},
};

/// A connection that takes longer is given up: nothing was sent yet, so that is a definite answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Things put beneath a store, under its retries and timeouts: for tests and for embedding.
#[derive(Clone, Default)]
pub struct Beneath {
    /// Called around every attempt on every backend.
    pub hook: Option<Hook>,
    /// Wraps the OpenDAL operator (every backend but fs, which does not use one).
    pub layer: Option<Arc<dyn Fn(Operator) -> Operator + Send + Sync>>,
    /// Sends the HTTP requests of the remote backends.
    pub transport: Option<HttpTransporter>,
    /// The clock of the memory backend; the machine's if none is given. Other stores have their own.
    pub clock: Option<SharedClock>,
}

impl fmt::Debug for Beneath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beneath")
            .field("hook", &self.hook.is_some())
            .field("layer", &self.layer.is_some())
            .field("transport", &self.transport.is_some())
            .field("clock", &self.clock.is_some())
            .finish()
    }
}

/// Builds the configured backend to read what something else wrote: touches nothing on fs either.
pub(super) fn build_foreign(config: &StorageConfig, beneath: &Beneath) -> Result<Backend, Failure> {
    match &config.backend {
        BackendConfig::Fs { root } => {
            let files = Files::open_foreign(root).map_err(|error| cannot_open(root, &error))?;
            Ok(Backend::Files(Arc::new(files)))
        }
        BackendConfig::Memory {} => {
            Err(Failure::new(StoreErrorKind::Refused, "the memory of a process cannot be read by another"))
        }
        BackendConfig::S3 { .. } | BackendConfig::Azblob { .. } | BackendConfig::Gcs { .. } => {
            build(config, beneath)
        }
    }
}

fn cannot_open(root: &Path, error: &io::Error) -> Failure {
    let failure = Failure::from_io(error);
    Failure { message: format!("cannot open {}: {}", root.display(), failure.message), ..failure }
}

/// Builds the configured backend. Creates the root directory on fs, contacts nothing elsewhere.
pub(super) fn build(config: &StorageConfig, beneath: &Beneath) -> Result<Backend, Failure> {
    let backend = match &config.backend {
        BackendConfig::Fs { root } => {
            let files = Files::open(root).map_err(|error| cannot_open(root, &error))?;
            return Ok(Backend::files(files));
        }
        BackendConfig::Memory {} => {
            let operator =
                Operator::new(services::Memory::default()).map_err(|error| misconfigured(&error))?;
            let clock = beneath.clock.clone().unwrap_or_else(SystemClock::shared);
            return Ok(Backend::Memory(Memory::new(layered(operator, beneath), clock)));
        }
        BackendConfig::S3 { .. } | BackendConfig::Azblob { .. } | BackendConfig::Gcs { .. } => {
            &config.backend
        }
    };
    let operator = remote_operator(backend).map_err(|error| misconfigured(&error))?;
    let transport = match &beneath.transport {
        Some(transport) => transport.clone(),
        None => default_transport()?,
    };
    let context = operator.base_context().with_http_transport(transport);
    let gcs = matches!(backend, BackendConfig::Gcs { .. });
    let listing = match backend {
        BackendConfig::Azblob { .. } => Listing::Ordered,
        _ => Listing::OrderedAfter,
    };
    Ok(Backend::Remote(Remote {
        operator: layered(operator.with_context(context), beneath),
        identity: if gcs { Identity::Generation } else { Identity::ETag },
        parts: Parts {
            protocol: if gcs { Protocol::Resumable } else { Protocol::Multipart },
            retry: config.retry.clone(),
            timeout: config.timeout(),
        },
        conditional_reads: !gcs,
        listing,
    }))
}

/// Where data lives, for people.
pub(super) fn location(config: &StorageConfig, backend: &Backend) -> String {
    let at = |endpoint: &Option<String>| match endpoint {
        Some(endpoint) => format!(" at {}", without_credentials(endpoint)),
        None => String::new(),
    };
    let under = |root: &str| match root.trim_matches('/') {
        "" => String::new(),
        root => format!(", prefix {root}"),
    };
    match &config.backend {
        BackendConfig::Fs { root } => {
            format!("fs at {}", backend.root().unwrap_or(root).display())
        }
        BackendConfig::Memory {} => "memory (gone when the server stops)".into(),
        BackendConfig::S3 { bucket, root, endpoint, .. } => {
            format!("s3 bucket {bucket}{}{}", at(endpoint), under(root))
        }
        BackendConfig::Azblob { container, root, endpoint, .. } => {
            format!("azblob container {container} at {}{}", without_credentials(endpoint), under(root))
        }
        BackendConfig::Gcs { bucket, root, endpoint, .. } => {
            format!("gcs bucket {bucket}{}{}", at(endpoint), under(root))
        }
    }
}

/// Drops a user, a password and a query, which an endpoint should not have.
fn without_credentials(endpoint: &str) -> String {
    let endpoint = endpoint.split(['?', '#']).next().unwrap_or_default();
    match endpoint.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        }
        None => endpoint.to_owned(),
    }
}

fn layered(operator: Operator, beneath: &Beneath) -> Operator {
    match &beneath.layer {
        Some(layer) => layer(operator),
        None => operator,
    }
}

fn remote_operator(backend: &BackendConfig) -> opendal::Result<Operator> {
    match backend {
        BackendConfig::S3 {
            bucket,
            root,
            endpoint,
            region,
            access_key_id,
            secret_access_key,
            session_token,
        } => {
            let mut builder = services::S3::default().bucket(bucket).root(root);
            if let Some(endpoint) = endpoint {
                builder = builder.endpoint(endpoint);
            }
            match (region, endpoint) {
                (Some(region), _) => builder = builder.region(region),
                // Anything but AWS signs with a region that nobody checks.
                (None, Some(_)) => builder = builder.region("us-east-1"),
                (None, None) => {}
            }
            builder = set(builder, access_key_id, services::S3::access_key_id);
            builder = set(builder, secret_access_key, services::S3::secret_access_key);
            builder = set(builder, session_token, services::S3::session_token);
            Operator::new(builder)
        }
        BackendConfig::Azblob { container, root, endpoint, account_name, account_key, sas_token } => {
            let mut builder = services::Azblob::default().container(container).root(root).endpoint(endpoint);
            if let Some(name) = account_name {
                builder = builder.account_name(name);
            }
            builder = set(builder, account_key, services::Azblob::account_key);
            builder = set(builder, sas_token, services::Azblob::sas_token);
            Operator::new(builder)
        }
        BackendConfig::Gcs { bucket, root, endpoint, credential, credential_path, anonymous } => {
            let mut builder = services::Gcs::default().bucket(bucket).root(root);
            if let Some(endpoint) = endpoint {
                builder = builder.endpoint(endpoint);
            }
            builder = set(builder, credential, services::Gcs::credential);
            if let Some(path) = credential_path {
                builder = builder.credential_path(&path.to_string_lossy());
            }
            if *anonymous {
                builder = builder.skip_signature();
            }
            Operator::new(builder)
        }
        BackendConfig::Fs { .. } | BackendConfig::Memory {} => {
            Err(opendal::Error::new(opendal::ErrorKind::Unsupported, "not a remote store"))
        }
    }
}

fn set<B>(builder: B, secret: &Option<SecretString>, setter: impl FnOnce(B, &str) -> B) -> B {
    match secret {
        Some(secret) => setter(builder, secret.expose_secret()),
        None => builder,
    }
}

/// The beginning of every HTTP client of this process: one that can speak TLS.
pub fn http_client() -> reqwest::ClientBuilder {
    // Fails if there is a provider already, which will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

fn default_transport() -> Result<HttpTransporter, Failure> {
    let client = http_client()
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .build()
        .map_err(|error| Failure::new(StoreErrorKind::Refused, format!("no HTTP client: {error}")))?;
    Ok(HttpTransporter::new(ReqwestTransport::new(client)))
}

/// Only the message: a configuration error's context may hold what was configured.
fn misconfigured(error: &opendal::Error) -> Failure {
    Failure::new(StoreErrorKind::Refused, format!("{}: {}", error.kind(), error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_show_no_credentials() {
        for (endpoint, shown) in [
            ("https://user:secret@host:9000/base?sig=secret", "https://host:9000/base"),
            ("http://127.0.0.1:10000/devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1"),
            ("s3.example.com", "s3.example.com"),
        ] {
            assert_eq!(without_credentials(endpoint), shown);
        }
    }
}
