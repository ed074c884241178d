//! Catalog markers that do not fit: what a creation or deletion that stopped halfway leaves.

use std::collections::{BTreeMap, BTreeSet};

use super::listing::{Found, Pages, recognise};
use crate::{
    engine::{Engine, manifest::State as Life, namespace::read_manifest},
    error::Result,
    storage::{Listed, Place, Store, keys},
    types::NamespaceName,
};

/// What was done about markers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Markers {
    /// Namespaces that lived and were not listed.
    pub restored: u64,
    /// Names that were listed and did not live, for longer than the grace time.
    pub removed: u64,
}

impl Engine {
    /// Lists every namespace that lives, and no other.
    ///
    /// # Errors
    /// If the store cannot be read, or a manifest is damaged.
    pub async fn repair_markers(&self) -> Result<Markers> {
        let store = &self.context.store;
        let now = store.now().await?;
        let mut markers = listed(store).await?;
        let mut done = Markers::default();
        for name in self.names_with_objects().await? {
            let marker = markers.remove(&name);
            let manifest = read_manifest(&self.context, &name).await?;
            let lives = manifest.is_some_and(|(manifest, _)| manifest.state == Life::Live);
            if lives && marker.is_none() {
                self.put_marker(&name).await?;
                done.restored += 1;
            } else if !lives && let Some(marker) = marker {
                markers.insert(name, marker);
            }
        }
        // A young one may belong to a namespace that is being created.
        for (name, _) in markers.iter().filter(|(_, marker)| marker.is_older(self.context.garbage.grace, now))
        {
            self.remove_marker(name).await?;
            done.removed += 1;
        }
        Ok(done)
    }

    /// Puts the marker of a namespace that lives: whoever removed that of its predecessor may have been
    /// late.
    pub(super) async fn list_if_alive(&self, name: &NamespaceName) -> Result<()> {
        match read_manifest(&self.context, name).await? {
            Some((manifest, _)) if manifest.state == Life::Live => self.put_marker(name).await,
            _ => Ok(()),
        }
    }

    async fn names_with_objects(&self) -> Result<BTreeSet<NamespaceName>> {
        let mut names = BTreeSet::new();
        let mut pages = Pages::new(self.context.store.clone(), keys::NAMESPACES);
        while let Some(page) = pages.next().await? {
            names.extend(page.into_iter().filter_map(|listed| Some(recognise(listed)?.0)));
        }
        Ok(names)
    }
}

/// Every marker.
pub(super) async fn listed(store: &Store) -> Result<BTreeMap<NamespaceName, Found>> {
    let mut markers = BTreeMap::new();
    let mut pages = Pages::new(store.clone(), keys::CATALOG);
    while let Some(page) = pages.next().await? {
        markers.extend(page.into_iter().filter_map(marker));
    }
    Ok(markers)
}

/// A listed marker and its age.
fn marker(listed: Listed) -> Option<(NamespaceName, Found)> {
    let name = NamespaceName::parse(listed.key.as_str().strip_prefix(keys::CATALOG)?, "name").ok()?;
    let Listed { key, size: bytes, modified } = listed;
    Some((name, Found { key, bytes, modified, place: Place::Foreign }))
}
