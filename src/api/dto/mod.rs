//! What goes over the wire, with its documentation: the shapes of requests and responses.
//!
//! Field names follow Dakera's, so that its SDKs work. Requests refuse unknown fields by name.
//! Bounds in the schemas are those of the default configuration.

mod aggregate;
mod batch;
mod bulk;
mod condition;
mod cut;
mod documents;
mod error;
mod explain;
mod filter;
mod fulltext;
mod hybrid;
mod indexes;
mod multi;
mod namespaces;
mod object;
mod schema;
mod search;
mod system;
mod unified;
mod vectors;
mod whole;

pub(super) use self::{
    aggregate::{AggregateRequest, AggregateResponse},
    batch::{BatchAnswer, BatchItem, BatchRequest, BatchResponse},
    bulk::{BulkDeleteRequest, BulkDeleteResponse, BulkUpdateRequest, BulkUpdateResponse},
    condition::{Condition, ConditionParams, Mode, delete_condition},
    cut::GroupBy,
    documents::{IndexDocumentsRequest, IndexDocumentsResponse},
    error::{ErrorBody, ErrorDetails},
    explain::{ExplainResponse, RecallRequest, RecallResponse},
    filter::filter,
    fulltext::{FulltextSearchRequest, FulltextSearchResponse, FulltextStats},
    hybrid::{HybridRequest, HybridResponse},
    indexes::{Index, IndexBlob, IndexList, IndexParameters},
    multi::{MultiVectorRequest, MultiVectorResponse},
    namespaces::{
        CompactRequest, CompactResponse, CopyRequest, CreateNamespaceRequest, ListParams, Namespace,
        NamespaceList, PutNamespaceRequest, PutNamespaceResponse, WarmRequest, WarmResponse,
    },
    object::Object,
    schema::Binary,
    search::{
        BatchQueryRequest, BatchQueryResponse, Consistency, QueryRequest, QueryResponse, StalenessConfig,
    },
    system::{Capabilities, Check, Health, Readiness, limits},
    unified::{UnifiedQueryRequest, UnifiedQueryResponse},
    vectors::{
        CountRequest, CountResponse, DeleteRequest, DeleteResponse, DocumentIds, ExportRequest, FetchRequest,
        FetchResponse, PageParams, RowList, SampleRequest, UpsertColumnsRequest, UpsertRequest,
        UpsertResponse, Vector,
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

/// Results of a search that does not say how many it wants.
fn default_top_k() -> usize {
    10
}

fn yes() -> bool {
    true
}
