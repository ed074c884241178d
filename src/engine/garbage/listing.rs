//! What lies in the store of one namespace.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::{
    clock::Timestamp,
    error::Result,
    storage::{Key, Listed, Part, Place, Store, keys, place},
    types::NamespaceName,
};

/// Objects that one listing request returns.
const LIST_PAGE: usize = 1000;

/// An object that was listed.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Found {
    pub key: Key,
    pub bytes: u64,
    pub modified: Option<Timestamp>,
    pub place: Place,
}

impl Found {
    /// Whether it was written more than this long before `now`, both by the store's clock. One of
    /// unknown age is young.
    pub fn is_older(&self, age: std::time::Duration, now: Timestamp) -> bool {
        // Many stores tell whole seconds.
        let millis = i64::try_from(age.as_millis()).unwrap_or(i64::MAX).saturating_add(1000);
        self.modified.is_some_and(|modified| now.0.saturating_sub(modified.0) > millis)
    }
}

/// Everything that a namespace consists of, but for its marker.
#[derive(Debug, Clone)]
pub(in crate::engine) struct Listing {
    pub namespace: NamespaceName,
    pub objects: Vec<Found>,
}

impl Listing {
    /// Lists a namespace.
    pub async fn of(store: &Store, namespace: &NamespaceName) -> Result<Self> {
        let objects = list(store, &keys::namespace(namespace)).await?;
        Ok(Self { namespace: namespace.clone(), objects })
    }

    /// Every incarnation that wrote something.
    pub fn incarnations(&self) -> BTreeSet<Uuid> {
        let incarnation = |found: &Found| match found.place {
            Place::Of(incarnation, _) => Some(incarnation),
            _ => None,
        };
        self.objects.iter().filter_map(incarnation).collect()
    }

    /// What an incarnation wrote.
    pub fn of_incarnation(&self, wanted: Uuid) -> impl Iterator<Item = (&Found, &Part)> {
        self.objects.iter().filter_map(move |found| match &found.place {
            Place::Of(incarnation, part) if *incarnation == wanted => Some((found, part)),
            _ => None,
        })
    }

    /// The marks.
    pub fn marks(&self) -> impl Iterator<Item = &Found> {
        self.objects.iter().filter(|found| matches!(found.place, Place::Mark(_)))
    }
}

/// Everything under a prefix of one namespace.
pub(super) async fn list(store: &Store, prefix: &str) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    let mut pages = Pages::new(store.clone(), prefix);
    while let Some(page) = pages.next().await? {
        found.extend(page.into_iter().filter_map(|listed| recognise(listed).map(|(_, found)| found)));
    }
    Ok(found)
}

/// A listed object and its namespace.
pub(super) fn recognise(listed: Listed) -> Option<(NamespaceName, Found)> {
    let (namespace, place) = place(&listed.key)?;
    let Listed { key, size: bytes, modified } = listed;
    Some((namespace, Found { key, bytes, modified, place }))
}

/// A listing, page by page.
pub(super) struct Pages {
    store: Store,
    prefix: String,
    after: Option<String>,
    ended: bool,
}

impl Pages {
    pub fn new(store: Store, prefix: &str) -> Self {
        Self { store, prefix: prefix.to_owned(), after: None, ended: false }
    }

    /// The next page; `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<Vec<Listed>>> {
        if self.ended {
            return Ok(None);
        }
        let page = self.store.list(&self.prefix, self.after.as_deref(), LIST_PAGE).await?;
        self.ended = page.len() < LIST_PAGE;
        self.after = page.last().map(|last| last.key.as_str().to_owned());
        Ok(Some(page))
    }
}
