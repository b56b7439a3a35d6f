//! The bot's own Leases: the only objects of a cluster that it writes.
//!
//! Promise: a change is accepted only of the version that it was decided on, and it leaves alone what others wrote into the
//! metadata. No answer is waited for longer than the caller says, and no more of it is read than a page.
//!
//! A Lease is updated as a whole (`PUT` with `resourceVersion`), as Kubernetes' own components do: a patch would go through
//! without that comparison.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::ApiClient;
use super::fault::ApiFault;
use super::kind::rule;
use super::requests::answered;
use super::settings::Settings;
use super::snapshot::Now;
use super::watch::within;
use crate::model::Lease;

/// How many Leases a page of a list has; with the longest annotations it stays within the limit of an answer.
const PAGE: u32 = 40;
/// The most pages: beyond it something is wrong with the namespace.
const PAGES: u32 = 250;

/// Why the Leases cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// RBAC does not permit it.
    #[error(
        "not permitted to {verb} Leases in namespace {namespace}; next: add this rule to a Role of the bot's account there:\n{rule}"
    )]
    Forbidden {
        /// What was tried.
        verb: &'static str,
        /// Where.
        namespace: String,
        /// The RBAC rule to add, as YAML.
        rule: String,
    },
    /// The server could not be reached, or did not answer properly.
    #[error("Leases in namespace {namespace} cannot be {done}: {message}")]
    Failed {
        /// What was tried.
        done: &'static str,
        /// Where.
        namespace: String,
        /// What went wrong.
        message: String,
    },
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseWrite {
    /// It is as the server has it now.
    Written(Box<Lease>),
    /// Somebody has changed, created or deleted it since; nothing was written.
    Overtaken,
}

/// The Leases of one namespace.
pub struct Leases {
    client: ApiClient,
    namespace: Option<String>,
}

/// What is done, for errors.
#[derive(Clone, Copy)]
enum Doing {
    List,
    Create,
    Update,
}

impl Leases {
    /// Prepares the client; makes no connection. Without a namespace, it is that of the kubeconfig's context or of the pod.
    #[must_use]
    pub fn new(settings: &Settings, namespace: Option<String>, now: Now) -> Self {
        Self { client: ApiClient::new(settings, now), namespace }
    }

    /// All Leases with these labels.
    ///
    /// # Errors
    /// If not all of them are known in time.
    pub async fn list(&self, selector: &str, time: Duration) -> Result<Vec<Lease>, LeaseError> {
        let list = async {
            let (client, mut found, mut next) = (self.client.client().await?, Vec::new(), None::<String>);
            for _ in 0..PAGES {
                let (path, query) = (self.path(&client, None), query(selector, next.as_deref()));
                let request = http::Request::get(format!("{path}?{query}")).body(Vec::new());
                let page: WireList = parsed(&read(&client, request).await?)?;
                // One that cannot be read counts as missing; it cannot be created, so nobody takes it.
                found.extend(page.items.into_iter().filter_map(|item| Lease::try_from(item).ok()));
                next = page.metadata.next.filter(|next| !next.is_empty());
                if next.is_none() {
                    return Ok(found);
                }
            }
            Err(ApiFault::failed("there are too many of them"))
        };
        within(time, list).await.map_err(|fault| self.failed(Doing::List, fault))
    }

    /// Creates a Lease that has no version, or replaces the one of its version.
    ///
    /// # Errors
    /// If it is unknown whether that was done.
    pub async fn write(&self, lease: &Lease, time: Duration) -> Result<LeaseWrite, LeaseError> {
        let doing = if lease.version.is_some() { Doing::Update } else { Doing::Create };
        let write = async {
            let client = self.client.client().await?;
            let text = serde_json::to_vec(&WireLease::of(lease, &self.namespace(&client)));
            let text = text.map_err(|_| ApiFault::failed("the request could not be built"))?;
            let request = match doing {
                Doing::Update => http::Request::put(self.path(&client, Some(&lease.name))),
                Doing::Create | Doing::List => http::Request::post(self.path(&client, None)),
            };
            let request = request.header(http::header::CONTENT_TYPE, "application/json").body(text);
            let request = request.map_err(|_| ApiFault::failed("the request could not be built"))?;
            match answered(&client, request).await? {
                (409, _) => Ok(LeaseWrite::Overtaken),
                // Deleted in the meantime; of a new one it is the namespace that is not there.
                (404, _) if lease.version.is_some() => Ok(LeaseWrite::Overtaken),
                (200..=299, text) => {
                    let written = Lease::try_from(parsed::<Value>(&text)?);
                    written
                        .map(|lease| LeaseWrite::Written(Box::new(lease)))
                        .map_err(|()| ApiFault::failed("the answer is not a Lease"))
                }
                (status, text) => Err(ApiFault::of_answer(status, &text)),
            }
        };
        within(time, write).await.map_err(|fault| self.failed(doing, fault))
    }

    fn namespace(&self, client: &Client) -> String {
        self.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned())
    }

    fn path(&self, client: &Client, name: Option<&str>) -> String {
        let name = name.map(|name| format!("/{name}")).unwrap_or_default();
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases{name}", self.namespace(client))
    }

    fn failed(&self, doing: Doing, fault: ApiFault) -> LeaseError {
        let namespace = self.namespace.clone().unwrap_or_else(|| "of the bot".to_owned());
        let (verb, done) = match doing {
            Doing::List => ("list", "listed"),
            Doing::Create => ("create", "created"),
            Doing::Update => ("update", "renewed"),
        };
        let message = match fault {
            ApiFault::Forbidden => return LeaseError::Forbidden { verb, namespace, rule: leases_rule() },
            ApiFault::Unauthorized(message) => {
                self.client.renew();
                message
            }
            ApiFault::Failed { message, .. } => message,
            ApiFault::Missing => "the namespace does not exist".to_owned(),
            ApiFault::Expired => "the list changed while it was read".to_owned(),
        };
        LeaseError::Failed { done, namespace, message }
    }
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leases").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// The RBAC rule needed for Leases.
#[must_use]
pub fn leases_rule() -> String {
    rule("coordination.k8s.io", "leases", &["get", "list", "create", "update"])
}

fn query(selector: &str, next: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("labelSelector", selector).append_pair("limit", &PAGE.to_string());
    if let Some(next) = next {
        query.append_pair("continue", next);
    }
    query.finish()
}

async fn read(client: &Client, request: Result<http::Request<Vec<u8>>, http::Error>) -> Result<Vec<u8>, ApiFault> {
    let request = request.map_err(|_| ApiFault::failed("the list request could not be built"))?;
    match answered(client, request).await? {
        (200..=299, text) => Ok(text),
        (status, text) => Err(ApiFault::of_answer(status, &text)),
    }
}

fn parsed<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, ApiFault> {
    serde_json::from_slice(text).map_err(|error| ApiFault::from(kube::Error::SerdeError(error)))
}

#[derive(Deserialize)]
struct WireList {
    metadata: WireListMeta,
    items: Vec<Value>,
}

#[derive(Deserialize)]
struct WireListMeta {
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLease {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: WireMeta,
    #[serde(default)]
    spec: WireSpec,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct WireSpec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<i64>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    lease_transitions: Option<i64>,
}

impl WireLease {
    fn of(lease: &Lease, namespace: &str) -> Self {
        Self {
            api_version: Some("coordination.k8s.io/v1".to_owned()),
            kind: Some("Lease".to_owned()),
            metadata: WireMeta {
                name: lease.name.clone(),
                namespace: Some(namespace.to_owned()),
                resource_version: lease.version.clone(),
                labels: lease.labels.clone(),
                annotations: lease.annotations.clone(),
                rest: lease.rest.clone(),
            },
            spec: WireSpec {
                holder_identity: lease.holder.clone(),
                lease_duration_seconds: i64::try_from(lease.duration.as_secs()).ok(),
                acquire_time: lease.acquired.clone(),
                renew_time: lease.renewed.clone(),
                lease_transitions: Some(lease.transitions.into()),
            },
        }
    }
}

impl TryFrom<Value> for Lease {
    type Error = ();

    /// A Lease as the server sent it; one without a version cannot be changed, and is none.
    fn try_from(value: Value) -> Result<Self, ()> {
        let WireLease { metadata, spec, .. } = serde_json::from_value(value).map_err(|_| ())?;
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
        Ok(Self {
            name: metadata.name,
            version: Some(metadata.resource_version.ok_or(())?),
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: Duration::from_secs(seconds),
            acquired: spec.acquire_time,
            renewed: spec.renew_time,
            transitions: spec.lease_transitions.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            labels: metadata.labels,
            annotations: metadata.annotations,
            rest: metadata.rest,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_wrote_into_a_lease_stays_in_it() {
        let sent = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "x", "namespace": "landfall", "resourceVersion": "7", "labels": { "a": "b" },
                "annotations": {}, "uid": "u-1", "finalizers": ["acme/keep"],
            },
            "spec": {
                "holderIdentity": "pod-1", "leaseDurationSeconds": 15, "acquireTime": "2026-05-04T10:00:00.000000Z",
                "renewTime": "2026-05-04T10:00:03.000000Z", "leaseTransitions": 3,
            },
        });
        let lease = Lease::try_from(sent.clone()).unwrap();
        assert_eq!((lease.holder.as_deref(), lease.transitions, lease.duration.as_secs()), (Some("pod-1"), 3, 15));
        assert_eq!(serde_json::to_value(WireLease::of(&lease, "landfall")).unwrap(), sent);
    }

    #[test]
    fn odd_leases_are_free_or_none_and_never_a_panic() {
        let of = |value: Value| Lease::try_from(value);
        let meta = json!({ "name": "x", "resourceVersion": "1" });
        let bare = of(json!({ "metadata": meta })).unwrap();
        assert_eq!((bare.holder, bare.duration, bare.transitions), (None, Duration::ZERO, 0));
        let odd = json!({ "holderIdentity": "", "leaseDurationSeconds": -4, "leaseTransitions": i64::MAX });
        let odd = of(json!({ "metadata": meta, "spec": odd })).unwrap();
        assert_eq!((odd.holder, odd.duration, odd.transitions), (None, Duration::ZERO, 0));
        assert!(of(json!({ "metadata": { "name": "x" } })).is_err());
        assert!(of(json!("x")).is_err());
    }
}
