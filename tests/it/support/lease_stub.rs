//! The part of a Kubernetes API server that keeps Leases, with its rules: a change is taken only of the newest version (409), a
//! name only once (409), and what is not there is not found (404).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::server::Server;

/// The namespace that it has.
pub(crate) const NAMESPACE: &str = "landfall";

/// A running server.
pub(crate) struct LeaseStub {
    state: Arc<Mutex<Leases>>,
    server: Server,
}

#[derive(Default)]
struct Leases {
    all: BTreeMap<String, Value>,
    version: u64,
    log: Vec<String>,
    /// Everything is answered with this status.
    down: Option<u16>,
}

type Shared = Arc<Mutex<Leases>>;

fn lock(state: &Shared) -> MutexGuard<'_, Leases> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LeaseStub {
    pub(crate) fn start() -> Self {
        let state = Shared::default();
        let root = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
        let router = Router::new()
            .route(&root, get(list).post(create))
            .route(&format!("{root}/{{name}}"), get(one).put(update))
            .fallback(|| async { refusal(404, "the server could not find the requested resource") })
            .with_state(Arc::clone(&state));
        Self { state, server: Server::start(router) }
    }

    /// A kubeconfig that leads to it.
    pub(crate) fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\nclusters:\n  - {{ name: here, cluster: {{ server: {} }} }}\n\
             users:\n  - {{ name: bot, user: {{ token: kube-t0ken }} }}\n\
             contexts:\n  - {{ name: here, context: {{ cluster: here, user: bot, namespace: {NAMESPACE} }} }}\n",
            self.server.origin
        )
    }

    /// From now on every answer has this status, as of an API server that is away; none: it is back.
    pub(crate) fn answer_all(&self, status: Option<u16>) {
        lock(&self.state).down = status;
    }

    /// Every Lease by name.
    pub(crate) fn all(&self) -> BTreeMap<String, Value> {
        lock(&self.state).all.clone()
    }

    /// Who holds the Leases of repositories, by the repository's name as far as it is part of theirs.
    pub(crate) fn holders(&self) -> BTreeMap<String, String> {
        let repository = |name: &str| Some(name.strip_prefix("landfall-repository-")?.rsplit_once('-')?.0.to_owned());
        let holder = |lease: &Value| lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        self.all().iter().filter_map(|(name, lease)| Some((repository(name)?, holder(lease)))).collect()
    }

    /// The living and former replicas' own Leases.
    pub(crate) fn slots(&self) -> Vec<Value> {
        let all = self.all().into_iter();
        all.filter(|(name, _)| name.starts_with("landfall-replica-")).map(|(_, lease)| lease).collect()
    }

    /// What it was asked, as `METHOD name status`.
    pub(crate) fn log(&self) -> Vec<String> {
        lock(&self.state).log.clone()
    }

    /// Somebody else labels a Lease.
    pub(crate) fn touch(&self, name: &str) {
        let mut state = lock(&self.state);
        state.version += 1;
        let version = state.version.to_string();
        let lease = state.all.get_mut(name).unwrap();
        lease["metadata"]["labels"]["touched"] = json!("by-hand");
        lease["metadata"]["resourceVersion"] = json!(version);
    }
}

impl Leases {
    fn answer(&mut self, method: &Method, name: &str, answer: Result<Value, (u16, String)>) -> Response {
        let answer = self.down.map_or(answer, |status| Err((status, "the API server is away".to_owned())));
        let (status, response) = match answer {
            Ok(value) => (200, axum::Json(value).into_response()),
            Err((status, message)) => (status, refusal(status, &message)),
        };
        self.log.push(format!("{method} {name} {status}"));
        response
    }

    /// Stores it at a new version.
    fn store(&mut self, name: &str, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        lease["metadata"]["namespace"] = json!(NAMESPACE);
        let uid =
            self.all.get(name).map_or(json!(format!("uid-{}", self.version)), |old| old["metadata"]["uid"].clone());
        lease["metadata"]["uid"] = uid;
        self.all.insert(name.to_owned(), lease.clone());
        lease
    }
}

fn refusal(code: u16, message: &str) -> Response {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code });
    (StatusCode::from_u16(code).unwrap(), axum::Json(status)).into_response()
}

/// What Kubernetes refuses of a Lease.
fn invalid(lease: &Value) -> Option<String> {
    let spec = &lease["spec"];
    let name = lease["metadata"]["name"].as_str().unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 253 || !name.chars().all(plain) {
        return Some(format!("metadata.name: Invalid value: {name}"));
    }
    if spec["leaseDurationSeconds"].as_i64().is_none_or(|seconds| seconds <= 0) {
        return Some("spec.leaseDurationSeconds: must be greater than 0".to_owned());
    }
    let micro = |time: &Value| time.as_str().is_none_or(|time| time.len() == "2026-05-04T10:00:00.000000Z".len());
    (!micro(&spec["renewTime"]) || !micro(&spec["acquireTime"])).then(|| "a time is no MicroTime".to_owned())
}

async fn list(State(state): State<Shared>, method: Method, uri: Uri) -> Response {
    let mut state = lock(&state);
    assert!(
        uri.query().unwrap_or_default().contains("labelSelector=app.kubernetes.io%2Fmanaged-by%3Dlandfall"),
        "{uri}"
    );
    let managed = |lease: &&Value| lease["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "landfall";
    let items: Vec<Value> = state.all.values().filter(managed).cloned().collect();
    let version = state.version.to_string();
    let page = json!({ "kind": "LeaseList", "metadata": { "resourceVersion": version }, "items": items });
    state.answer(&method, "", Ok(page))
}

async fn one(State(state): State<Shared>, method: Method, Path(name): Path<String>) -> Response {
    let mut state = lock(&state);
    let found = state.all.get(&name).cloned().ok_or((404, format!("leases \"{name}\" not found")));
    state.answer(&method, &name, found)
}

async fn create(State(state): State<Shared>, method: Method, axum::Json(lease): axum::Json<Value>) -> Response {
    let mut state = lock(&state);
    let name = lease["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let answer = match (state.down, invalid(&lease)) {
        (Some(_), _) => Ok(Value::Null),
        _ if state.all.contains_key(&name) => Err((409, format!("leases \"{name}\" already exists"))),
        (None, Some(reason)) => Err((422, reason)),
        (None, None) => Ok(state.store(&name, lease)),
    };
    state.answer(&method, &name, answer)
}

async fn update(
    State(state): State<Shared>,
    method: Method,
    Path(name): Path<String>,
    axum::Json(lease): axum::Json<Value>,
) -> Response {
    let mut state = lock(&state);
    let there = state.all.get(&name).map(|lease| lease["metadata"]["resourceVersion"].clone());
    let answer = match (state.down, there) {
        (Some(_), _) => Ok(Value::Null),
        (_, None) => Err((404, format!("leases \"{name}\" not found"))),
        (_, Some(version)) if version != lease["metadata"]["resourceVersion"] => {
            Err((409, "the object has been modified; please apply your changes to the latest version".to_owned()))
        }
        (_, Some(_)) => match invalid(&lease) {
            Some(reason) => Err((422, reason)),
            None => Ok(state.store(&name, lease)),
        },
    };
    state.answer(&method, &name, answer)
}
