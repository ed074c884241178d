//! What goes over the wire, with its documentation: the shapes of requests and responses.
//!
//! Field names follow Dakera's, so that its SDKs work. Requests refuse unknown fields by name.
//! Bounds in the schemas are those of the default configuration.

mod error;
mod explain;
mod indexes;
mod namespaces;
mod object;
mod schema;
mod search;
mod system;
mod vectors;
mod whole;

pub(super) use self::{
    error::{ErrorBody, ErrorDetails},
    explain::{ExplainResponse, RecallRequest, RecallResponse},
    indexes::{Index, IndexBlob, IndexList, IndexParameters},
    namespaces::{
        CompactResponse, CopyRequest, CreateNamespaceRequest, ListParams, Namespace, NamespaceList,
        PutNamespaceRequest, PutNamespaceResponse, WarmRequest, WarmResponse,
    },
    object::Object,
    schema::Binary,
    search::{
        BatchQueryRequest, BatchQueryResponse, Consistency, QueryRequest, QueryResponse, StalenessConfig,
    },
    system::{Capabilities, Check, Health, Readiness, limits},
    vectors::{
        CountRequest, CountResponse, DeleteRequest, DeleteResponse, ExportRequest, FetchRequest,
        FetchResponse, PageParams, RowList, UpsertColumnsRequest, UpsertRequest, UpsertResponse, Vector,
    },
    whole::{Whole, optional},
};

use std::sync::Arc;

use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

/// Writes metadata, which is the text of a JSON object, as that object.
fn raw_json<S: Serializer>(text: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(text) = text else { return serializer.serialize_none() };
    let raw: &RawValue = serde_json::from_str(text).map_err(S::Error::custom)?;
    raw.serialize(serializer)
}

/// A field whose value must be null or left out. Anything else is kept as "present".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reserved {
    present: bool,
}

impl<'de> serde::Deserialize<'de> for Reserved {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let present = Option::<serde::de::IgnoredAny>::deserialize(deserializer)?.is_some();
        Ok(Self { present })
    }
}

impl Reserved {
    /// An error that names the field, if it has a value. Ignoring it would give a wrong answer.
    pub fn refuse(self, field: impl Into<String>) -> crate::error::Result<()> {
        if self.present {
            return Err(crate::error::Error::invalid(field, "filters are not supported by this version"));
        }
        Ok(())
    }
}

fn yes() -> bool {
    true
}
