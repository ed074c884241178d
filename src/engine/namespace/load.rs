//! From nothing to a loaded namespace: the manifest, then the log.

use std::sync::{Arc, Mutex, RwLock, atomic::AtomicU64};

use super::{Namespace, queue::Queue, refresh::Refresh, state::State};
use crate::{
    clock::Instant,
    engine::{
        context::Context,
        manifest::{Manifest, State as Life},
    },
    error::{Error, Result},
    storage::{Key, Object, StoreErrorKind, Tag, keys},
    types::NamespaceName,
};

impl Namespace {
    /// Reads the namespace as it is now: every write acknowledged before this call is in it.
    /// Its log may turn out to be sealed.
    pub async fn load(context: Arc<Context>, name: NamespaceName) -> Result<Arc<Self>> {
        let read_at = context.clock.now();
        let (manifest, tag) = match read_manifest(&context, &name).await? {
            Some((manifest, tag)) if manifest.state == Life::Live => (manifest, tag),
            _ => return Err(Error::NamespaceNotFound { namespace: name.to_string() }),
        };
        let namespace = Self::from_manifest(context, name, manifest, tag, read_at)?;
        if let Err(error) = namespace.catch_up().await
            && !matches!(error, Error::Corrupt { .. } | Error::NamespaceNotFound { .. })
        {
            return Err(error);
        }
        // A damaged log is loaded up to the damage: the namespace is read-only from there.
        Ok(namespace)
    }

    fn from_manifest(
        context: Arc<Context>,
        name: NamespaceName,
        manifest: Manifest,
        tag: Tag,
        read_at: Instant,
    ) -> Result<Arc<Self>> {
        if manifest.folded > 0 {
            return Err(Error::Corrupt {
                object: keys::manifest(&name).to_string(),
                reason: "it refers to segments, which this version cannot read".into(),
            });
        }
        context.metrics.log.namespaces_loaded.inc();
        Ok(Arc::new(Self {
            incarnation: manifest.incarnation,
            state: RwLock::new(State::new(manifest, tag, read_at)),
            refresh: Refresh::default(),
            queue: Mutex::new(Queue::default()),
            held: AtomicU64::new(0),
            name,
            context,
        }))
    }
}

/// The manifest of a namespace, live or not, if there is one.
pub(in crate::engine) async fn read_manifest(
    context: &Context,
    name: &NamespaceName,
) -> Result<Option<(Manifest, Tag)>> {
    let key = keys::manifest(name);
    match context.store.get(&key).await {
        Ok(object) => decode_manifest(context, &key, object).map(Some),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(in crate::engine) fn decode_manifest(
    context: &Context,
    key: &Key,
    object: Object,
) -> Result<(Manifest, Tag)> {
    match Manifest::decode(&object.bytes) {
        Ok(manifest) => Ok((manifest, object.tag)),
        Err(reason) => Err(corrupt(context, key, reason)),
    }
}

/// The error for a damaged object, counted and logged.
pub(in crate::engine) fn corrupt(context: &Context, key: &Key, reason: String) -> Error {
    context.metrics.log.corruptions.inc();
    tracing::error!(object = %key, reason, "corrupt object");
    Error::Corrupt { object: key.to_string(), reason }
}
