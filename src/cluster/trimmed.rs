//! The type that lists and watches are read into: each object is trimmed as soon as it is parsed.
//!
//! Promise: of the JSON of an object nothing survives but its [`Object`], its name and its version; one object that
//! makes no sense is told and skipped, and the others of its list are read.

use std::borrow::Cow;
use std::future::Future;

use kube::api::{ApiResource, ObjectMeta};
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::object;
use super::snapshot::Name;
use crate::model::observation::Object;

tokio::task_local! {
    /// What is being read. Items of a list of built-in kinds do not say what they are, and serde has no other way to
    /// tell a `Deserialize`.
    static READING: ApiResource;
}

/// An object of a list or a watch.
#[derive(Debug, Clone)]
pub(super) struct TrimmedObject {
    pub(super) name: Name,
    pub(super) version: String,
    pub(super) object: Result<Box<Object>, String>,
    meta: ObjectMeta,
}

/// Runs what reads objects of this kind.
pub(super) async fn reading<T>(resource: ApiResource, work: impl Future<Output = T>) -> T {
    READING.scope(resource, work).await
}

impl<'de> Deserialize<'de> for TrimmedObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = |key: &str| value["metadata"][key].as_str().unwrap_or_default().to_owned();
        let read = READING.try_with(|resource| object::read_as(&resource.api_version, &resource.kind, &value));
        let object = match read {
            Ok(Ok(object)) => Ok(Box::new(object)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it was read outside of a watch".to_owned()),
        };
        let name = (text("namespace").into(), text("name").into());
        Ok(Self { name, version: text("resourceVersion"), object, meta: ObjectMeta::default() })
    }
}

impl kube::Resource for TrimmedObject {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use kube::core::ObjectList;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn one_bad_object_does_not_spoil_its_list() {
        let resource = ApiResource {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            plural: "deployments".to_owned(),
        };
        let item =
            |name: Value| json!({ "metadata": { "namespace": "web", "name": name }, "spec": { "replicas": "no" } });
        let list = json!({
            "kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": { "resourceVersion": "7" },
            "items": [item(json!("api")), item(Value::Null), "a text", null, item(json!("web"))]
        });
        let list: ObjectList<TrimmedObject> =
            reading(resource, async { serde_json::from_str(&list.to_string()) }).await.unwrap();
        let read: Vec<String> = list
            .items
            .iter()
            .map(|item| match &item.object {
                Ok(object) => format!("{} {} {:?}", object.api_version, object.label(), object.malformed),
                Err(reason) => reason.clone(),
            })
            .collect();
        assert_eq!(
            read,
            [
                "apps/v1 Deployment web/api [\"spec.replicas\"]",
                "its metadata.name is absent or no text",
                "it is no object",
                "it is no object",
                "apps/v1 Deployment web/web [\"spec.replicas\"]",
            ]
        );
    }
}
