//! One request to a forge.

use ::http::Method;
use serde_json::Value;

/// Whether a request may be sent again without checking first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::forge) enum Repeat {
    /// It changes nothing, or sets an absolute value.
    Harmless,
    /// It creates something.
    LookFirst,
}

/// What a path starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Repository,
    Api,
}

/// One request: `path` is below the repository (empty: the repository itself) or the API, query included.
#[derive(Debug)]
pub(in crate::forge) struct Ask {
    pub(super) method: Method,
    pub(super) start: Start,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    /// What the body is said to be, if not plain JSON.
    pub(super) content: Option<&'static str>,
    pub(super) repeat: Repeat,
}

impl Ask {
    fn new(method: Method, path: impl Into<String>, body: Option<Value>, repeat: Repeat) -> Self {
        Self { method, start: Start::Repository, path: path.into(), body, content: None, repeat }
    }

    pub(in crate::forge) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, None, Repeat::Harmless)
    }

    pub(in crate::forge) fn patch(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::PATCH, path, Some(body), Repeat::Harmless)
    }

    /// As [`Self::put_once`].
    pub(in crate::forge) fn patch_once(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::PATCH, path, Some(body), Repeat::LookFirst)
    }

    /// An absolute change.
    pub(in crate::forge) fn put(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::PUT, path, Some(body), Repeat::Harmless)
    }

    /// A request that the forge refuses if its target has changed since it was judged; it is never repeated without
    /// checking.
    pub(in crate::forge) fn put_once(path: impl Into<String>, body: Value) -> Self {
        Self::new(Method::PUT, path, Some(body), Repeat::LookFirst)
    }

    pub(in crate::forge) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path, None, Repeat::Harmless)
    }

    pub(in crate::forge) fn post(path: impl Into<String>, body: Value, repeat: Repeat) -> Self {
        Self::new(Method::POST, path, Some(body), repeat)
    }

    /// The same for what is not below the repository.
    pub(in crate::forge) fn of_api(mut self) -> Self {
        self.start = Start::Api;
        self
    }

    /// The same with this query, where it has none.
    pub(in crate::forge) fn with_query(mut self, query: &str) -> Self {
        self.path = format!("{}?{query}", self.path);
        self
    }

    /// The same with a body that is of this kind of JSON.
    pub(in crate::forge) fn said_to_be(mut self, content: &'static str) -> Self {
        self.content = Some(content);
        self
    }

    /// For error messages: the method and the path without its query.
    pub(super) fn label(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {}", self.method, if path.is_empty() { "the repository" } else { path })
    }
}
