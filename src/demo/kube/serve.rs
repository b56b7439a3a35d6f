//! Turns one request into one answer: discovery, reading and writing.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, header, request};
use axum::response::Response;
use base64::Engine as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Shared;
use super::catalogue::{Served, StatusRule};
use super::quirk::{Effect, Moment, Verb};
use super::select::LabelSelection;
use super::status::{self, failure, json_answer};
use super::watch::{Watching, line};
use super::world::{ClusterState, Part, merge, place};

/// The resource and namespace of a request.
#[derive(Debug, Clone)]
pub(super) struct ServedScope {
    pub(super) resource: Arc<str>,
    pub(super) namespace: Option<String>,
    pub(super) kind: String,
    pub(super) api_version: String,
    bare_items: bool,
}

impl ServedScope {
    /// An object in the requested version.
    pub(super) fn versioned<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        if object["apiVersion"] == self.api_version.as_str() {
            return Cow::Borrowed(object);
        }
        let mut object = object.clone();
        object["apiVersion"] = self.api_version.as_str().into();
        Cow::Owned(object)
    }
}

/// A request about objects.
struct Call<'a> {
    shared: &'a Arc<Shared>,
    scope: ServedScope,
    served: Served,
    name: Option<String>,
    /// Whether the path ends in `/status`.
    status: bool,
    query: HashMap<String, String>,
}

pub(super) async fn respond(shared: &Arc<Shared>, head: &request::Parts, body: Bytes) -> Response {
    if let Some(token) = &shared.token {
        let sent = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if sent != Some(format!("Bearer {token}").as_str()) {
            return failure(401, "Unauthorized", "Unauthorized");
        }
    }
    let path: Vec<&str> = head.uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let (group, version, rest) = match path[..] {
        ["version"] => return json_answer(200, &json!({ "major": "1", "minor": "36", "gitVersion": "v1.36.0" }), &[]),
        ["healthz" | "livez" | "readyz"] => return status::answer(200, "text/plain", "ok", &[]),
        ["api"] => return json_answer(200, &json!({ "kind": "APIVersions", "versions": ["v1"] }), &[]),
        ["apis"] => return groups(&shared.lock()),
        ["apis", group] => return self::group(&shared.lock(), group),
        ["api", version] => return resources(&shared.lock(), "", version),
        ["apis", group, version] => return resources(&shared.lock(), group, version),
        ["api", version, ref rest @ ..] => ("", version, rest),
        ["apis", group, version, ref rest @ ..] => (group, version, rest),
        _ => return status::no_such_page(),
    };
    let (namespace, plural, rest) = match *rest {
        ["namespaces", namespace, plural, ref rest @ ..] => (Some(namespace.to_owned()), plural, rest),
        [plural, ref rest @ ..] => (None, plural, rest),
        [] => return status::no_such_page(),
    };
    let found = shared.lock().find(group, version, plural);
    let Some((resource, served)) = found else { return status::no_such_page() };
    let (name, status) = match *rest {
        [] => (None, false),
        [name] => (Some(name.to_owned()), false),
        [name, "status"] if served.status != StatusRule::Ordinary => (Some(name.to_owned()), true),
        _ => return status::no_such_page(),
    };
    let scope = ServedScope {
        resource,
        namespace,
        kind: served.kind.clone(),
        api_version: served.api_version(version),
        bare_items: served.bare_items(),
    };
    let pairs = url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
    let query = pairs.into_owned().collect();
    Call { shared, scope, served, name, status, query }.answer(head, &body).await
}

fn groups(world: &ClusterState) -> Response {
    let names: BTreeSet<&str> = world.served().map(|served| served.group.as_str()).filter(|g| !g.is_empty()).collect();
    let groups: Vec<Value> = names.into_iter().map(|name| group_object(world, name)).collect();
    json_answer(200, &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }), &[])
}

fn group(world: &ClusterState, name: &str) -> Response {
    if !world.served().any(|served| served.group == name) {
        return status::no_such_page();
    }
    let mut group = group_object(world, name);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    json_answer(200, &group, &[])
}

fn group_object(world: &ClusterState, name: &str) -> Value {
    let mut versions: Vec<&str> = Vec::new();
    for version in world.served().filter(|served| served.group == name).flat_map(|served| &served.versions) {
        if !versions.contains(&version.as_str()) {
            versions.push(version);
        }
    }
    let object = |version: &str| json!({ "groupVersion": format!("{name}/{version}"), "version": version });
    let preferred = versions.first().map_or(Value::Null, |version| object(version));
    let versions: Vec<Value> = versions.iter().map(|version| object(version)).collect();
    json!({ "name": name, "versions": versions, "preferredVersion": preferred })
}

fn resources(world: &ClusterState, group: &str, version: &str) -> Response {
    let mut resources = Vec::new();
    let kinds = world.served().filter(|served| served.group == group);
    for served in kinds.filter(|served| served.versions.iter().any(|known| known == version)) {
        let verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];
        resources.push(json!({
            "name": served.plural, "singularName": served.kind.to_lowercase(), "namespaced": true,
            "kind": served.kind, "verbs": verbs
        }));
        if served.status != StatusRule::Ordinary {
            resources.push(json!({
                "name": format!("{}/status", served.plural), "singularName": "", "namespaced": true,
                "kind": served.kind, "verbs": ["get", "patch", "update"]
            }));
        }
    }
    if resources.is_empty() {
        return status::no_such_page();
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let list =
        json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources });
    json_answer(200, &list, &[])
}

impl Call<'_> {
    async fn answer(self, head: &request::Parts, body: &[u8]) -> Response {
        let watches = self.query.get("watch").is_some_and(|value| matches!(value.as_str(), "true" | "1" | ""));
        let verb = match (&head.method, &self.name) {
            (&Method::GET, Some(_)) => Verb::Get,
            (&Method::GET, None) if watches => Verb::Watch,
            (&Method::GET, None) => Verb::List,
            (&Method::POST, None) => Verb::Create,
            (&Method::PUT, Some(_)) => Verb::Update,
            (&Method::PATCH, Some(_)) => Verb::Patch,
            (&Method::DELETE, Some(_)) => Verb::Delete,
            _ => {
                return failure(
                    405,
                    "MethodNotAllowed",
                    "the server does not allow this method on the requested resource",
                );
            }
        };
        if let Some(refusal) = self.strike(verb).await {
            return refusal;
        }
        match verb {
            Verb::Get => self.get(),
            Verb::List => self.list(),
            Verb::Watch => self.watch(),
            Verb::Create | Verb::Update | Verb::Patch => self.write(verb, head, body),
            Verb::Delete => self.delete(),
        }
    }

    /// Applies the fault for this request, if any.
    async fn strike(&self, verb: Verb) -> Option<Response> {
        let namespace = self.scope.namespace.as_deref();
        let strike = self.shared.lock().quirks.strike(Moment::Request, verb, &self.scope.resource, namespace);
        match strike? {
            Effect::Forbidden => Some(status::forbidden(verb, &self.served.plural, &self.served.group, namespace)),
            Effect::Unauthorized => Some(failure(401, "Unauthorized", "Unauthorized")),
            Effect::Gone | Effect::GoneInStream => Some(json_answer(410, &status::too_old(), &[])),
            Effect::TooManyRequests(seconds) => Some(status::too_many(seconds)),
            Effect::Status(code) => Some(failure(code, "InternalError", "etcdserver: request timed out")),
            Effect::Silent => std::future::pending().await,
            Effect::Cut => {
                let error = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                let broken = futures::stream::iter([Err::<Bytes, _>(error)]);
                Some(status::answer(200, "application/json", axum::body::Body::from_stream(broken), &[]))
            }
            Effect::Slow(time) => {
                tokio::time::sleep(time).await;
                None
            }
        }
    }

    fn selection(&self) -> Result<LabelSelection, Box<Response>> {
        let text = |key: &str| self.query.get(key).map(String::as_str);
        LabelSelection::parse(text("labelSelector"), text("fieldSelector")).ok_or_else(|| {
            let message = "unable to parse requirement: this selector is not understood here";
            Box::new(failure(400, "BadRequest", message))
        })
    }

    fn not_found(&self) -> Response {
        let name = self.name.as_deref().unwrap_or_default();
        failure(404, "NotFound", &format!("{} \"{name}\" not found", self.scope.resource))
    }

    fn get(&self) -> Response {
        let (namespace, name) = (self.scope.namespace.as_deref(), self.name.as_deref());
        let found =
            self.shared.lock().object(&self.scope.resource, namespace.unwrap_or("default"), name.unwrap_or_default());
        match found {
            Some(object) => json_answer(200, &self.scope.versioned(&object), &[]),
            None => self.not_found(),
        }
    }

    fn list(&self) -> Response {
        let selection = match self.selection() {
            Ok(selection) => selection,
            Err(refusal) => return *refusal,
        };
        let limit: usize =
            self.query.get("limit").and_then(|n| n.parse().ok()).filter(|n| *n > 0).unwrap_or(usize::MAX);
        let Some((asked_at, after)) = read_token(self.query.get("continue").map(String::as_str)) else {
            return failure(400, "BadRequest", "continue key is not valid");
        };
        let world = self.shared.lock();
        // All pages show the state of one revision; once that is compacted, the rest is gone.
        if asked_at.is_some_and(|asked_at| asked_at < world.oldest()) {
            let message = "The provided continue parameter is too old to display a consistent list result.";
            return json_answer(410, &status::object(410, "Expired", message), &[]);
        }
        let revision = asked_at.unwrap_or_else(|| world.revision());
        let after = after.as_ref().map(|(namespace, name)| (namespace.as_str(), name.as_str()));
        let mut items = String::new();
        let (mut count, mut last, mut more) = (0, None, false);
        for (place, object) in world.list(&self.scope.resource, after) {
            let elsewhere = self.scope.namespace.as_ref().is_some_and(|namespace| *namespace != place.namespace);
            if elsewhere || !selection.takes(object) {
                continue;
            }
            if count == limit {
                more = true;
                break;
            }
            if count > 0 {
                items.push(',');
            }
            self.push_item(&mut items, object);
            (count, last) = (count + 1, Some(place));
        }
        let token = last.filter(|_| more).map(|place| token(revision, &place.namespace, &place.name));
        let metadata = json!({ "resourceVersion": revision.to_string(), "continue": token.unwrap_or_default() });
        let (kind, api_version) = (&self.scope.kind, &self.scope.api_version);
        let body = format!(
            "{{\"kind\":\"{kind}List\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\"items\":[{items}]}}"
        );
        status::answer(200, "application/json", body, &[])
    }

    /// Adds an object to the items of a list, without what a real server omits there.
    fn push_item(&self, items: &mut String, object: &Value) {
        let Some(fields) = object.as_object().filter(|_| self.scope.bare_items) else {
            items.push_str(&self.scope.versioned(object).to_string());
            return;
        };
        items.push('{');
        let shown = fields.iter().filter(|(key, _)| !matches!(key.as_str(), "kind" | "apiVersion"));
        for (index, (key, value)) in shown.enumerate() {
            let comma = if index > 0 { "," } else { "" };
            items.push_str(&format!("{comma}\"{key}\":{value}"));
        }
        items.push('}');
    }

    fn watch(&self) -> Response {
        let selection = match self.selection() {
            Ok(selection) => selection,
            Err(refusal) => return *refusal,
        };
        let flag = |key: &str| self.query.get(key).is_some_and(|value| value == "true");
        let version: u64 = self.query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
        let seconds: Option<u64> = self.query.get("timeoutSeconds").and_then(|text| text.parse().ok());
        let initial = flag("sendInitialEvents");
        let world = self.shared.lock();
        let mut watching = Watching {
            shared: Arc::clone(self.shared),
            scope: self.scope.clone(),
            selection,
            cursor: if version == 0 || initial { world.revision() } else { version },
            first: String::new(),
            bookmarks: flag("allowWatchBookmarks"),
            bookmarks_sent: world.bookmarks(),
            ends: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            ended: false,
        };
        if version == 0 || initial {
            for (place, object) in world.list(&self.scope.resource, None) {
                let here = self.scope.namespace.as_ref().is_none_or(|namespace| *namespace == place.namespace);
                if here && watching.selection.takes(object) {
                    watching.first.push_str(&line("ADDED", &self.scope.versioned(object)));
                }
            }
            if initial && watching.bookmarks {
                let end = watching.bookmark(true);
                watching.first.push_str(&end);
            }
        }
        drop(world);
        watching.answer()
    }

    fn write(&self, verb: Verb, head: &request::Parts, body: &[u8]) -> Response {
        let Ok(sent) = serde_json::from_slice::<Value>(body) else {
            return failure(400, "BadRequest", "the body of the request is not JSON");
        };
        let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let merges = content_type.is_some_and(|kind| kind.contains("merge-patch+json"));
        if verb == Verb::Patch && !merges {
            return failure(415, "UnsupportedMediaType", "only merge patches are understood here");
        }
        let named = self.name.as_deref().or_else(|| sent["metadata"]["name"].as_str());
        let Some(name) = named.filter(|name| !name.is_empty()) else {
            return failure(422, "Invalid", "metadata.name: Required value: name or generateName is required");
        };
        let namespace = self.scope.namespace.as_deref().or_else(|| sent["metadata"]["namespace"].as_str());
        let place = place(Arc::clone(&self.scope.resource), namespace.unwrap_or("default"), name);
        let mut world = self.shared.lock();
        let old = world.object(&place.resource, &place.namespace, &place.name);
        let version = sent["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty());
        let object = match (&old, verb) {
            (Some(_), Verb::Create) => {
                return failure(409, "AlreadyExists", &format!("{} \"{name}\" already exists", place.resource));
            }
            (None, Verb::Update | Verb::Patch) => return self.not_found(),
            (Some(old), _) if version.is_some_and(|version| old["metadata"]["resourceVersion"] != version) => {
                let message =
                    "the object has been modified; please apply your changes to the latest version and try again";
                return failure(409, "Conflict", message);
            }
            (Some(old), Verb::Patch) => {
                let mut merged = Value::clone(old);
                merge(&mut merged, sent);
                merged
            }
            _ => sent,
        };
        let part = if self.status { Part::Status } else { Part::Main };
        let written = world.write(place, &self.served, object, part);
        drop(world);
        self.shared.ring();
        json_answer(if verb == Verb::Create { 201 } else { 200 }, &self.scope.versioned(&written), &[])
    }

    fn delete(&self) -> Response {
        let namespace = self.scope.namespace.as_deref().unwrap_or("default");
        let place = place(Arc::clone(&self.scope.resource), namespace, self.name.as_deref().unwrap_or_default());
        let deleted = self.shared.lock().delete(&place);
        self.shared.ring();
        match deleted {
            Some(_) => json_answer(200, &json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }), &[]),
            None => self.not_found(),
        }
    }
}

/// The position at which a list continues: revision, namespace and name of the last item.
fn token(revision: u64, namespace: &str, name: &str) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json!([revision, namespace, name]).to_string())
}

type After = (Option<u64>, Option<(String, String)>);

fn read_token(token: Option<&str>) -> Option<After> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Some((None, None)) };
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token).ok()?;
    let (revision, namespace, name) = serde_json::from_slice(&bytes).ok()?;
    Some((Some(revision), Some((namespace, name))))
}
