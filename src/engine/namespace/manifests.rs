//! Reading and swapping the manifest of a namespace.

use bytes::Bytes;

use crate::{
    engine::{context::Context, manifest::Manifest},
    error::{Error, Result},
    storage::{Key, Object, StoreErrorKind, Tag, keys},
    types::NamespaceName,
};

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

/// Writes a manifest if the present one is `expected` (`None`: if there is none). Returns the tag
/// of ours if it is the one that stands now, also when a reply was lost.
pub(in crate::engine) async fn swap_manifest(
    context: &Context,
    name: &NamespaceName,
    expected: Option<&Tag>,
    manifest: &Manifest,
) -> Result<Option<Tag>> {
    let bytes = Bytes::from(manifest.encode().map_err(Error::internal)?);
    let key = keys::manifest(name);
    let mut maybe_sent = false;
    let mut tries = 1;
    loop {
        let written = match expected {
            None => context.store.put_if_absent(&key, bytes.clone()).await,
            Some(tag) => context.store.cas(&key, tag, bytes.clone()).await,
        };
        let error = match written {
            Ok(tag) => return Ok(Some(tag)),
            Err(error) => error,
        };
        maybe_sent |= !matches!(error.kind, StoreErrorKind::Unavailable | StoreErrorKind::Refused);
        if maybe_sent && let Some(ours) = standing(context, name, expected, manifest).await? {
            return Ok(ours);
        }
        let hopeless = error.kind == StoreErrorKind::Refused && !maybe_sent;
        if hopeless || tries >= context.retry.tries {
            return Err(error.into());
        }
        context.pause_after(tries).await;
        tries += 1;
    }
}

/// The tag of our manifest if it stands (`Some(Some)`), nothing if another than expected does
/// (`Some(None)`), or `None` while it is still the expected one.
async fn standing(
    context: &Context,
    name: &NamespaceName,
    expected: Option<&Tag>,
    ours: &Manifest,
) -> Result<Option<Option<Tag>>> {
    let standing = read_manifest(context, name).await.map_err(|error| Error::OutcomeUnknown {
        reason: format!("a manifest was put, but cannot be read back: {error}"),
    })?;
    Ok(match standing {
        Some((standing, tag)) if standing.nonce == ours.nonce => Some(Some(tag)),
        Some((_, tag)) if Some(&tag) == expected => None,
        None if expected.is_none() => None,
        _ => Some(None),
    })
}
