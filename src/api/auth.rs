//! Who may do what: decided from a request's header alone, before a byte of its body is read.
//!
//! What an operation needs is declared once, as the `security` of its OpenAPI operation; [`AccessTable`]
//! reads it from the document that the router was built with, so that the documentation and the
//! enforcement cannot differ. An operation that declares nothing needs the highest scope.
//!
//! Keys are compared as SHA-256 digests, against every configured key and in constant time, so
//! that the time of an answer tells nothing about any of them.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{RawPathParams, Request, State, rejection::RawPathParamsRejection},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::Response,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Gate, middleware::route_of};
use crate::{
    config::{AuthConfig, Scope},
    error::{Error, Result},
};

/// The configured keys.
#[derive(Debug)]
pub(super) struct ApiKeys {
    keys: Vec<ApiKey>,
}

#[derive(Debug)]
struct ApiKey {
    digest: [u8; 32],
    caller: Caller,
}

/// Who sent a request, and what they may do.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The key's label; never the key.
    name: Arc<str>,
    scope: Scope,
    namespaces: Arc<[String]>,
}

impl ApiKeys {
    /// Reads the configured digests.
    pub fn new(config: &AuthConfig) -> Result<Self> {
        let key = |(index, key): (usize, &crate::config::ApiKeyConfig)| {
            let field = format!("auth.keys[{index}].sha256");
            let digest = parse_digest(&key.sha256)
                .ok_or_else(|| Error::invalid(field, "must be 64 hexadecimal digits (SHA-256 of the key)"))?;
            let (name, namespaces) = (key.name.as_str().into(), key.namespaces.clone().into());
            Ok(ApiKey { digest, caller: Caller { name, scope: key.scope, namespaces } })
        };
        let keys = config.keys.iter().enumerate().map(key).collect::<Result<_>>()?;
        Ok(Self { keys })
    }

    /// The sender of a request with these headers. Without configured keys, everyone may do everything.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Caller> {
        if self.keys.is_empty() {
            return Ok(Caller::anyone());
        }
        let key = presented_key(headers).ok_or(Error::Unauthenticated {
            message: "this server needs an API key: send Authorization: Bearer <key> or X-API-Key: <key>",
        })?;
        let digest: [u8; 32] = Sha256::digest(key).into();
        let mut found = None;
        for key in &self.keys {
            // No early end: every key is compared, whichever one matches.
            if bool::from(key.digest.ct_eq(&digest)) {
                found = Some(&key.caller);
            }
        }
        found.cloned().ok_or(Error::InvalidApiKey)
    }
}

impl Caller {
    fn anyone() -> Self {
        Self { name: "anyone".into(), scope: Scope::Admin, namespaces: Arc::new(["*".into()]) }
    }

    /// The key's label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this caller may touch a namespace at all.
    pub fn covers(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|glob| matches_glob(glob.as_bytes(), namespace.as_bytes()))
    }

    /// [`Error::NamespaceDenied`] unless the caller may touch the namespace.
    pub fn check_namespace(&self, namespace: &str) -> Result<()> {
        if self.covers(namespace) {
            return Ok(());
        }
        Err(Error::NamespaceDenied { namespace: namespace.into() })
    }

    fn check_scope(&self, needed: Scope, resource: &str) -> Result<()> {
        if self.scope >= needed {
            return Ok(());
        }
        Err(Error::Forbidden { needed: scope_name(needed), resource: resource.into() })
    }
}

fn parse_digest(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    for (byte, &[high, low]) in digest.iter_mut().zip(pairs) {
        *byte = u8::try_from(nibble(high)? * 16 + nibble(low)?).ok()?;
    }
    Some(digest)
}

fn presented_key(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
    });
    bearer.or_else(|| headers.get("x-api-key").map(|value| value.as_bytes()))
}

/// Matches `*` (any run of bytes) and `?` (any one byte), in linear space and without recursion.
fn matches_glob(glob: &[u8], name: &[u8]) -> bool {
    let (mut at, mut glob_at, mut retry) = (0, 0, None);
    while at < name.len() {
        match glob.get(glob_at) {
            Some(b'*') => {
                retry = Some((glob_at, at));
                glob_at += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[at] => {
                at += 1;
                glob_at += 1;
            }
            _ => match &mut retry {
                Some((star, from)) => {
                    *from += 1;
                    (glob_at, at) = (*star + 1, *from);
                }
                None => return false,
            },
        }
    }
    glob[glob_at..].iter().all(|&byte| byte == b'*')
}

/// What an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing: it tells nothing about data.
    Public,
    /// A key with this scope.
    Needs(Scope),
}

/// What each operation needs, by route template and method.
#[derive(Debug)]
pub(super) struct AccessTable(HashMap<String, HashMap<Method, Access>>);

impl AccessTable {
    /// Reads the `security` of every operation in the document.
    pub fn read(document: &utoipa::openapi::OpenApi) -> Self {
        let json = serde_json::to_value(document).unwrap_or_default();
        let operation = |(method, operation): (&String, &serde_json::Value)| {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok()?;
            Some((method, declared(&operation["security"])))
        };
        let route = |(path, item): (&String, &serde_json::Value)| {
            let operations = item.as_object().into_iter().flatten().filter_map(operation).collect();
            (path.clone(), operations)
        };
        Self(json["paths"].as_object().into_iter().flatten().map(route).collect())
    }

    /// What a request needs. Where no route matches, any valid key may learn so; a method that the
    /// route does not document needs the highest scope.
    pub fn of(&self, method: &Method, route: Option<&str>) -> Access {
        let Some(route) = route else { return Access::Needs(Scope::Read) };
        let operations = self.0.get(route);
        let find = |method| operations.and_then(|operations| operations.get(method)).copied();
        let found = find(method).or_else(|| find(&Method::GET).filter(|_| *method == Method::HEAD));
        found.unwrap_or(Access::Needs(Scope::Admin))
    }
}

fn declared(security: &serde_json::Value) -> Access {
    let Some(requirements) = security.as_array() else { return Access::Needs(Scope::Admin) };
    let scopes = requirements.iter().filter_map(serde_json::Value::as_object);
    let scope = scopes.flat_map(|requirement| requirement.values()).find_map(|scopes| scopes[0].as_str());
    match scope {
        Some("read") => Access::Needs(Scope::Read),
        Some("write") => Access::Needs(Scope::Write),
        None if requirements.iter().all(|one| one.as_object().is_some_and(|one| one.is_empty())) => {
            Access::Public
        }
        _ => Access::Needs(Scope::Admin),
    }
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Write => "write",
        Scope::Admin => "admin",
    }
}

/// Middleware: refuses a request that its sender may not make, and tells the handler who sent it.
pub(super) async fn authorize(
    State(gate): State<Arc<Gate>>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Result<Response> {
    if let Access::Needs(scope) = gate.access.of(request.method(), route_of(&request)) {
        let caller = gate.state.keys.authenticate(request.headers())?;
        let namespace = params.iter().flatten().find_map(|(name, value)| (name == "ns").then_some(value));
        caller.check_scope(scope, namespace.unwrap_or_else(|| request.uri().path()))?;
        if let Some(namespace) = namespace {
            caller.check_namespace(namespace)?;
        }
        tracing::Span::current().record("caller", caller.name());
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ApiKeyConfig;

    fn sha256(key: &str) -> String {
        Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn keys(list: &[(&str, Scope, &[&str])]) -> ApiKeys {
        let key = |(key, scope, namespaces): &(&str, Scope, &[&str])| ApiKeyConfig {
            name: (*key).into(),
            sha256: sha256(key),
            scope: *scope,
            namespaces: namespaces.iter().map(|glob| (*glob).into()).collect(),
        };
        ApiKeys::new(&AuthConfig { keys: list.iter().map(key).collect() }).unwrap()
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn several_keys_are_active_at_once_and_both_headers_carry_one() {
        let keys = keys(&[("old", Scope::Read, &["*"]), ("new", Scope::Admin, &["a-*"])]);
        for (name, value) in
            [("authorization", "Bearer new"), ("authorization", "bearer  new"), ("x-api-key", "new")]
        {
            assert_eq!(keys.authenticate(&headers(name, value)).unwrap().name(), "new");
        }
        assert_eq!(keys.authenticate(&headers("x-api-key", "old")).unwrap().scope, Scope::Read);
    }

    #[test]
    fn no_key_and_a_wrong_key_are_told_apart_and_neither_is_let_in() {
        let keys = keys(&[("k", Scope::Read, &["*"])]);
        for absent in
            [HeaderMap::new(), headers("authorization", "Basic az=="), headers("authorization", "k")]
        {
            assert!(matches!(keys.authenticate(&absent), Err(Error::Unauthenticated { .. })), "{absent:?}");
        }
        for wrong in ["Bearer K", "Bearer kk", "Bearer "] {
            let result = keys.authenticate(&headers("authorization", wrong));
            assert!(matches!(result, Err(Error::InvalidApiKey)), "{wrong:?}");
        }
    }

    #[test]
    fn without_keys_everyone_may_do_everything() {
        let caller = keys(&[]).authenticate(&HeaderMap::new()).unwrap();
        assert!(caller.check_scope(Scope::Admin, "x").is_ok() && caller.covers("anything"));
    }

    #[test]
    fn a_scope_includes_the_ones_before_it() {
        let scopes = [Scope::Read, Scope::Write, Scope::Admin];
        for (held, rank) in scopes.into_iter().zip(0..) {
            let caller = Caller { name: "k".into(), scope: held, namespaces: Arc::new([]) };
            for (needed, needed_rank) in scopes.into_iter().zip(0..) {
                assert_eq!(caller.check_scope(needed, "x").is_ok(), rank >= needed_rank);
            }
        }
    }

    #[test]
    fn globs() {
        for (glob, name, expected) in [
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "aXbYbZc", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("abcd", "abc", false),
            ("team-a-*", "team-b-x", false),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches_glob(glob.as_bytes(), name.as_bytes()), expected, "{glob} {name}");
        }
    }

    #[test]
    fn a_digest_is_64_hexadecimal_digits() {
        assert!(parse_digest(&"a0".repeat(32)).is_some());
        for bad in
            ["", "a0", &"a0".repeat(31), &"a0".repeat(33), &"g0".repeat(32), &format!("{}a", "a0".repeat(32))]
        {
            assert!(parse_digest(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_operation_without_a_declaration_needs_the_highest_scope() {
        use serde_json::json;
        assert_eq!(declared(&json!(null)), Access::Needs(Scope::Admin));
        assert_eq!(declared(&json!([{}])), Access::Public);
        assert_eq!(declared(&json!([{"bearer": ["read"]}, {"key": ["read"]}])), Access::Needs(Scope::Read));
        assert_eq!(declared(&json!([{"bearer": ["write"]}])), Access::Needs(Scope::Write));
        assert_eq!(declared(&json!([{"bearer": ["everything"]}])), Access::Needs(Scope::Admin));
        assert_eq!(declared(&json!([{"bearer": []}])), Access::Needs(Scope::Admin));
    }
}
