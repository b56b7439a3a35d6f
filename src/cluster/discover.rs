//! Which version of a kind the server serves.
//!
//! Only a well-formed list without the kind proves that it is not installed. A bare 404 proves nothing: any proxy
//! returns it.

use kube::Client;
use kube::api::ApiResource;
use serde::Deserialize;

use super::WatchedKind;
use super::fault::ApiFault;
use super::kind::KindOrigin;
use super::requests::document;

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    preferred_version: Option<GroupVersion>,
    #[serde(default)]
    versions: Vec<GroupVersion>,
}

#[derive(Deserialize)]
struct GroupVersion {
    version: String,
}

#[derive(Deserialize)]
struct Kinds {
    #[serde(default)]
    resources: Vec<Plural>,
}

#[derive(Deserialize)]
struct Plural {
    name: String,
}

/// The kind as this server serves it, in the server's preferred version; `None` if it is not installed.
pub(super) async fn served(client: &Client, kind: WatchedKind) -> Result<Option<ApiResource>, ApiFault> {
    if kind.origin() == KindOrigin::BuiltIn {
        return Ok(Some(resource(kind, kind.default_version())));
    }
    let groups = match document::<Groups>(client, "/apis").await {
        // Discovery may be forbidden for an account that may still list; then the default version is tried.
        Err(ApiFault::Forbidden) => return Ok(Some(resource(kind, kind.default_version()))),
        Err(ApiFault::Missing) => return Err(no_api_server()),
        other => other?,
    };
    let Some(group) = groups.groups.into_iter().find(|group| group.name == kind.group()) else { return Ok(None) };
    let preferred = group.preferred_version.map(|preferred| preferred.version);
    let versions = group.versions.into_iter().map(|served| served.version);
    let mut tried: Vec<String> = Vec::new();
    // The preferred version of a group does not necessarily serve every kind: OCIRepository stayed at v1beta2 for
    // years.
    for version in preferred.into_iter().chain(versions) {
        if tried.contains(&version) {
            continue;
        }
        match document::<Kinds>(client, &format!("/apis/{}/{version}", kind.group())).await {
            Ok(list) if list.resources.iter().any(|served| served.name == kind.plural()) => {
                return Ok(Some(resource(kind, &version)));
            }
            // The definition may be deleted between the two requests.
            Ok(_) | Err(ApiFault::Missing) => {}
            Err(fault) => return Err(fault),
        }
        tried.push(version);
    }
    Ok(None)
}

/// A 404 for a path that every Kubernetes API server serves.
pub(super) fn no_api_server() -> ApiFault {
    ApiFault::failed("the server answered 404 for a path that every Kubernetes API server has: check its address")
}

fn resource(kind: WatchedKind, version: &str) -> ApiResource {
    let group = kind.group();
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.name().to_owned(),
        plural: kind.plural().to_owned(),
    }
}
