//! Creating, deleting and listing namespaces.
//!
//! A namespace lives from the swap of a live manifest to the SEAL entry in its log (rule 12); the
//! tombstone and the removal of its catalog marker only follow. Whoever meets a sealed log finishes
//! that, so a crash in between is mended by the next node that looks.

use bytes::Bytes;

use super::{
    Engine, IfExists, NamespaceInfo, NamespaceSpec,
    manifest::{Manifest, NamespaceConfig, State as Life},
    namespace::{Namespace, Write, read_manifest, swap_manifest},
};
use crate::{
    error::{Error, Result},
    storage::{Tag, keys},
    types::NamespaceName,
};

/// How often a creation or deletion starts over because others changed the manifest meanwhile.
const MAX_ROUNDS: usize = 16;

impl Engine {
    /// Creates a namespace; returns it and whether this call created it.
    ///
    /// # Errors
    /// [`Error::NamespaceExists`] as `if_exists` says.
    pub async fn create_namespace(
        &self,
        name: &NamespaceName,
        spec: NamespaceSpec,
        if_exists: IfExists,
    ) -> Result<(NamespaceInfo, bool)> {
        let config =
            NamespaceConfig { dimension: spec.dimension, distance: spec.distance.unwrap_or_default() };
        for _ in 0..MAX_ROUNDS {
            match self.describe(name).await {
                Ok(existing) => return agree(existing, spec, if_exists).map(|info| (info, false)),
                Err(Error::NamespaceNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            if self.try_create(name, config).await? {
                return Ok((self.describe(name).await.map_err(too_late)?, true));
            }
        }
        Err(contended(name))
    }

    /// Deletes a namespace with everything in it.
    pub async fn delete_namespace(&self, name: &NamespaceName) -> Result<()> {
        let (sealed, _) = self.write_to(name, Write::Seal).await?;
        self.finish_delete(name, &sealed).await.map_err(too_late)
    }

    /// Names in order, after `after` and at most `limit`; and whether more follow.
    pub async fn list_namespaces(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<NamespaceName>, bool)> {
        let after = after.map(|name| format!("{}{name}", keys::CATALOG));
        let prefix = format!("{}{prefix}", keys::CATALOG);
        let listed = self.context.store.list(&prefix, after.as_deref(), limit.saturating_add(1)).await?;
        let more = listed.len() > limit;
        let names = listed
            .iter()
            .take(limit)
            .filter_map(|listed| listed.key.as_str().strip_prefix(keys::CATALOG))
            // What is no name was not put there by us.
            .filter_map(|name| NamespaceName::parse(name, "name").ok())
            .collect();
        Ok((names, more))
    }

    /// Swaps in the first manifest of a new incarnation, unless another writer was faster.
    async fn try_create(&self, name: &NamespaceName, config: NamespaceConfig) -> Result<bool> {
        let previous = read_manifest(&self.context, name).await?;
        if previous.as_ref().is_some_and(|(manifest, _)| manifest.state == Life::Live) {
            return Ok(false);
        }
        let now = self.context.clock.now().wall;
        let random = &self.context.random;
        let (previous, tag) = previous.unzip();
        let manifest = Manifest::create(previous.as_ref(), config, now, || random.uuid());
        self.publish(name, tag.as_ref(), &manifest).await
    }

    /// [`Error::NamespaceExists`] unless there is room for a namespace of that name.
    pub(super) async fn check_absent(&self, name: &NamespaceName) -> Result<()> {
        match read_manifest(&self.context, name).await? {
            Some((manifest, _)) if manifest.state == Life::Live => Err(exists(name)),
            _ => Ok(()),
        }
    }

    /// Swaps in the first manifest of an incarnation and lists it, unless another writer was faster.
    pub(super) async fn publish(
        &self,
        name: &NamespaceName,
        expected: Option<&Tag>,
        manifest: &Manifest,
    ) -> Result<bool> {
        // Before the manifest, so that there is no moment in which a namespace lives unlisted.
        self.put_marker(name).await?;
        if swap_manifest(&self.context, name, expected, manifest).await?.is_none() {
            return Ok(false);
        }
        // Whoever deleted the one before may have removed the marker since, and looked for a
        // successor before this one stood.
        self.put_marker(name).await.map_err(too_late)?;
        Ok(true)
    }

    /// Puts the tombstone behind an incarnation whose log is sealed, and takes it off the list.
    pub(super) async fn finish_delete(&self, name: &NamespaceName, sealed: &Namespace) -> Result<()> {
        for _ in 0..MAX_ROUNDS {
            let Some((manifest, tag)) = read_manifest(&self.context, name).await? else {
                return Ok(());
            };
            if manifest.state == Life::Deleted {
                return self.remove_marker(name).await;
            }
            if manifest.incarnation != sealed.incarnation() {
                return Ok(());
            }
            let tombstone = manifest.tombstone(self.context.random.uuid(), sealed.ring());
            if swap_manifest(&self.context, name, Some(&tag), &tombstone).await?.is_some() {
                return self.remove_marker(name).await;
            }
        }
        Err(contended(name))
    }

    pub(super) async fn put_marker(&self, name: &NamespaceName) -> Result<()> {
        let marker = Bytes::from(format!("{{\"namespace\":\"{name}\"}}\n"));
        Ok(self.context.store.put(&keys::catalog(name), marker).await?)
    }

    /// Removes the marker, and restores it if the namespace was created anew meanwhile: its
    /// creator may have put the marker before we removed it.
    pub(super) async fn remove_marker(&self, name: &NamespaceName) -> Result<()> {
        self.context.store.delete_many(&[keys::catalog(name)]).await?;
        match read_manifest(&self.context, name).await? {
            Some((manifest, _)) if manifest.state == Life::Live => self.put_marker(name).await,
            _ => Ok(()),
        }
    }
}

/// An existing namespace as the answer to a creation.
fn agree(existing: NamespaceInfo, spec: NamespaceSpec, if_exists: IfExists) -> Result<NamespaceInfo> {
    let exists = |detail: String| Error::NamespaceExists { namespace: existing.name.to_string(), detail };
    if if_exists == IfExists::Fail {
        return Err(exists(String::new()));
    }
    if let (Some(ours), Some(asked)) = (existing.dimension, spec.dimension)
        && ours != asked
    {
        return Err(exists(format!(" with dimension {ours}, not {asked}")));
    }
    match spec.distance {
        Some(asked) if asked != existing.distance => {
            Err(exists(format!(" with distance {}, not {}", existing.distance.as_str(), asked.as_str())))
        }
        _ => Ok(existing),
    }
}

/// What is said if something fails after the deed: nobody may hear that nothing was done.
fn too_late(error: Error) -> Error {
    match error {
        Error::Unavailable { reason, .. } | Error::StoreRefused { reason } => {
            Error::OutcomeUnknown { reason }
        }
        other => other,
    }
}

/// The name is taken.
pub(super) fn exists(name: &NamespaceName) -> Error {
    Error::NamespaceExists { namespace: name.to_string(), detail: String::new() }
}

fn contended(name: &NamespaceName) -> Error {
    Error::Unavailable {
        reason: format!("others keep creating and deleting namespace {:?}", name.as_str()),
        retry_after: std::time::Duration::from_secs(1),
    }
}
