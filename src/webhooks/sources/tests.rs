//! What each kind of sender's documented webhooks are read as.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};

use super::*;
use crate::webhooks::body::UnknownShape;
use crate::webhooks::hint::WebhookHint;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

/// What a webhook is read as: `HOST/PATH` of images (`*` where no host is known), addresses of repositories.
fn told(kind: SourceKind, pairs: &[(&'static str, &str)], body: &Value) -> Result<Vec<String>, UnknownShape> {
    let headers = headers(pairs);
    let hints = kind.read(RequestHead { headers: &headers, secret: None }, body)?;
    let written = |hint| match hint {
        WebhookHint::Image { registry, repository } => {
            format!("{}/{repository}", registry.unwrap_or_else(|| "*".to_owned()))
        }
        WebhookHint::Repository { address } => address,
    };
    Ok(hints.into_iter().map(written).collect())
}

fn with(mut value: Value, path: &str, to: Value) -> Value {
    *value.pointer_mut(path).unwrap() = to;
    value
}

#[track_caller]
fn tells(kind: SourceKind, pairs: &[(&'static str, &str)], body: &Value, expected: &[&str]) {
    assert_eq!(told(kind, pairs, body).unwrap(), expected, "{body}");
}

#[test]
fn distribution_by_tags_and_not_by_blobs() {
    let event = |action: &str, name: &str, tag: Option<&str>| {
        let target = match tag {
            Some(tag) => json!({ "repository": name, "tag": tag, "digest": "sha256:1",
                "mediaType": "application/vnd.oci.image.manifest.v1+json" }),
            None => json!({ "repository": name, "digest": "sha256:2", "mediaType": "application/octet-stream" }),
        };
        json!({ "id": format!("{action}-{name}"), "action": action, "target": target, "request": { "host": "Reg.example:5000" } })
    };
    let body = json!({ "events": [event("push", "acme/web", None), event("pull", "acme/api", Some("1")),
        event("push", "acme/web", Some("1.2.3")), event("push", "acme/web", Some("latest")), event("push", "acme/db", Some("1"))] });
    let kind = SourceKind::Distribution;
    tells(kind, &[], &body, &["reg.example:5000/acme/web", "reg.example:5000/acme/db"]);
    tells(kind, &[], &json!({ "events": [] }), &[]);
    let headers = HeaderMap::new();
    let head = RequestHead { headers: &headers, secret: None };
    let once = kind.delivery(head, &body);
    assert_eq!(once, kind.delivery(head, &body));
    assert_ne!(once, kind.delivery(head, &json!({ "events": [event("push", "acme/db", Some("1"))] })));
}

#[test]
fn docker_hub_and_quay_with_all_tags() {
    let hub = |name: &str| {
        json!({ "callback_url": "https://evil.example/", "push_data": { "tag": "1.2.3", "pusher": "ada" },
            "repository": { "repo_name": name, "name": "web", "namespace": "acme" } })
    };
    tells(SourceKind::DockerHub, &[], &hub("acme/web"), &["docker.io/acme/web"]);
    tells(SourceKind::DockerHub, &[], &hub("nginx"), &["docker.io/library/nginx"]);
    let quay = json!({ "name": "web", "namespace": "acme", "repository": "acme/web", "docker_url": "quay.example/acme/web",
        "homepage": "https://quay.example/repository/acme/web", "updated_tags": ["latest", "1.2.3"] });
    tells(SourceKind::Quay, &[], &quay, &["quay.example/acme/web"]);
    tells(SourceKind::Quay, &[], &with(quay, "/updated_tags", json!([])), &[]);
}

#[test]
fn harbor_in_both_forms_with_all_resources() {
    let data = json!({
        "resources": [
            { "digest": "sha256:1", "tag": "sha256:1", "resource_url": "harbor.example/acme/web@sha256:1" },
            { "digest": "sha256:2", "tag": "1.2.3", "resource_url": "harbor.example/acme/web:1.2.3" },
        ],
        "repository": { "name": "web", "namespace": "acme", "repo_full_name": "acme/web", "repo_type": "private" },
    });
    let default =
        json!({ "type": "PUSH_ARTIFACT", "occur_at": 1_790_000_000, "operator": "ada", "event_data": data.clone() });
    tells(SourceKind::Harbor, &[], &default, &["harbor.example/acme/web"]);
    tells(SourceKind::Harbor, &[], &with(default.clone(), "/type", json!("PULL_ARTIFACT")), &[]);
    tells(SourceKind::Harbor, &[], &with(default, "/event_data/resources", json!(null)), &["*/acme/web"]);
    for kind in ["harbor.artifact.pushed", "harbor.tag.created"] {
        let event = json!({ "specversion": "1.0", "id": "1", "source": "/projects/1/webhook/policies/1", "type": kind,
            "datacontenttype": "application/json", "data": data.clone(), "operator": "ada" });
        tells(SourceKind::Harbor, &[], &event, &["harbor.example/acme/web"]);
        let binary = [("ce-type", kind), ("ce-id", "1"), ("ce-source", "/projects/1")];
        tells(SourceKind::Harbor, &binary, &data, &["harbor.example/acme/web"]);
    }
}

#[test]
fn clouds() {
    let acr = json!({ "id": "cb8c3971", "timestamp": "2026-01-01T00:00:00Z", "action": "push",
        "target": { "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "digest": "sha256:1", "repository": "acme/web",
            "tag": "1.2.3" },
        "request": { "id": "3cbb6949", "host": "acme.azurecr.io", "method": "PUT", "useragent": "docker/27" } });
    tells(SourceKind::Acr, &[], &acr, &["acme.azurecr.io/acme/web"]);
    tells(SourceKind::Acr, &[], &with(acr, "/action", json!("delete")), &[]);
    tells(SourceKind::Acr, &[], &json!({ "id": "1", "action": "ping" }), &[]);

    let gar = |data: &Value| {
        json!({ "message": { "data": STANDARD.encode(data.to_string()), "messageId": "136969346945" },
            "subscription": "projects/acme/subscriptions/landfall" })
    };
    let tag = "europe-docker.pkg.dev/acme/apps/web:1.2.3";
    let digest = "europe-docker.pkg.dev/acme/apps/web@sha256:1";
    let pushed = gar(&json!({ "action": "INSERT", "digest": digest, "tag": tag }));
    tells(SourceKind::Gar, &[], &pushed, &["europe-docker.pkg.dev/acme/apps/web"]);
    tells(SourceKind::Gar, &[], &gar(&json!({ "action": "INSERT", "digest": digest })), &[]);
    tells(SourceKind::Gar, &[], &gar(&json!({ "action": "DELETE", "tag": tag })), &[]);

    let ecr = json!({ "version": "0", "id": "13cde686", "detail-type": "ECR Image Action", "source": "aws.ecr", "account": "123456789012",
        "region": "cn-north-1", "detail": { "result": "SUCCESS", "repository-name": "acme/web", "image-digest": "sha256:1",
            "action-type": "PUSH", "image-tag": "1.2.3" } });
    tells(SourceKind::Ecr, &[], &ecr, &["123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/acme/web"]);
    tells(SourceKind::Ecr, &[], &with(ecr.clone(), "/detail/action-type", json!("DELETE")), &[]);
    tells(SourceKind::Ecr, &[], &with(ecr, "/detail/result", json!("FAILURE")), &[]);
    let event = json!({ "specversion": "1.0", "id": "1", "type": "com.amazon.ecr.image.push", "source": "urn:aws:ecr:eu-central-1",
        "data": { "repositoryName": "acme/web", "imageTag": "1", "registryId": "123456789012", "region": "eu-central-1" } });
    tells(SourceKind::Ecr, &[], &event, &["123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme/web"]);
}

#[test]
fn registries_that_do_not_say_where_they_are() {
    let component = json!({ "timestamp": "2026-01-01T00:00:00.000+0000", "nodeId": "1", "initiator": "ada/127.0.0.1",
        "repositoryName": "docker-hosted", "action": "CREATED",
        "component": { "id": "1", "componentId": "2", "format": "docker", "name": "acme/web", "group": null, "version": "1.2.3" } });
    tells(SourceKind::Nexus, &[], &component, &["*/acme/web", "*/docker-hosted/acme/web"]);
    tells(SourceKind::Nexus, &[], &with(component.clone(), "/component/format", json!("maven2")), &[]);
    tells(SourceKind::Nexus, &[], &with(component, "/action", json!("DELETED")), &[]);
    let asset = |name: &str| json!({ "repositoryName": "docker-hosted", "action": "UPDATED", "asset": { "format": "docker", "name": name } });
    tells(SourceKind::Nexus, &[], &asset("/v2/acme/web/manifests/1"), &["*/acme/web", "*/docker-hosted/acme/web"]);
    tells(SourceKind::Nexus, &[], &asset("v2/-/blobs/sha256:1"), &[]);

    let artifactory = json!({ "domain": "docker", "event_type": "pushed", "data": { "repo_key": "docker-local", "image_name": "acme/web",
        "tag": "1.2.3", "path": "acme/web/1.2.3/manifest.json" }, "subscription_key": "landfall", "jpd_origin": "https://acme.jfrog.io" });
    let expected = ["acme.jfrog.io/docker-local/acme/web", "docker-local.acme.jfrog.io/acme/web"];
    tells(SourceKind::Artifactory, &[], &artifactory, &expected);
    tells(SourceKind::Artifactory, &[], &with(artifactory, "/event_type", json!("deleted")), &[]);

    let data = json!({ "name": "acme/web", "reference": "1.2.3", "digest": "sha256:1", "mediaType": "application/vnd.oci.image.manifest.v1+json" });
    let zot = json!({ "specversion": "1.0", "id": "1", "source": "zot", "type": "zotregistry.image.updated", "data": data.clone() });
    tells(SourceKind::Zot, &[], &zot, &["*/acme/web"]);
    tells(SourceKind::Zot, &[], &with(zot, "/type", json!("zotregistry.image.deleted")), &[]);
    tells(SourceKind::Zot, &[("ce-type", "zotregistry.image.updated")], &data, &["*/acme/web"]);
}

#[test]
fn github_with_both_names_of_a_package_and_without_its_tag() {
    let package = |event: &str, url: &str| {
        let package = json!({ "name": "Web", "namespace": "acme", "package_type": "CONTAINER", "owner": { "login": "Acme" },
            "package_version": { "package_url": url, "container_metadata": { "tag": { "name": "", "digest": "sha256:1" } } } });
        json!({ "action": "published", event: package, "repository": { "clone_url": "https://github.com/acme/web.git" } })
    };
    for event in ["package", "registry_package"] {
        let headers = [("x-github-event", event)];
        tells(SourceKind::GitHub, &headers, &package(event, "ghcr.io/acme/web:"), &["ghcr.io/acme/web"]);
        tells(SourceKind::GitHub, &headers, &package(event, "evil.example/other:"), &["ghcr.io/acme/web"]);
        tells(
            SourceKind::GitHub,
            &headers,
            &package(event, "containers.ghe.example/acme/web:1"),
            &["containers.ghe.example/acme/web"],
        );
        let npm = with(package(event, ""), &format!("/{event}/package_type"), json!("npm"));
        tells(SourceKind::GitHub, &headers, &npm, &[]);
    }
    let repository = json!({ "repository": { "full_name": "acme/deploys", "clone_url": "https://github.com/acme/deploys.git",
        "ssh_url": "git@github.com:acme/deploys.git", "html_url": "https://github.com/acme/deploys" } });
    let all =
        ["https://github.com/acme/deploys.git", "git@github.com:acme/deploys.git", "https://github.com/acme/deploys"];
    for event in ["push", "pull_request", "pull_request_review", "check_run", "check_suite", "status", "merge_group"] {
        tells(SourceKind::GitHub, &[("x-github-event", event)], &repository, &all);
    }
    tells(SourceKind::GitHub, &[("x-github-event", "ping")], &repository, &[]);
    assert_eq!(told(SourceKind::GitHub, &[], &repository), Err(UnknownShape));
}

#[test]
fn gitlab_gitea_bitbucket_and_azure_devops() {
    let gitlab = json!({ "object_kind": "push", "project": { "git_http_url": "https://gitlab.example/acme/deploys.git",
        "git_ssh_url": "git@gitlab.example:acme/deploys.git", "web_url": "https://gitlab.example/acme/deploys" } });
    for event in ["Push Hook", "Merge Request Hook", "Pipeline Hook", "Note Hook"] {
        let told = told(SourceKind::GitLab, &[("x-gitlab-event", event)], &gitlab).unwrap();
        assert_eq!(told.len(), 3, "{event}: {told:?}");
    }
    tells(SourceKind::GitLab, &[("x-gitlab-event", "Wiki Page Hook")], &gitlab, &[]);
    tells(SourceKind::GitLab, &[("x-gitlab-event", "System Hook")], &json!({ "event_name": "user_create" }), &[]);

    let gitea = json!({ "action": "created", "package": { "id": 1, "owner": { "login": "Acme" }, "type": "container", "name": "web",
        "version": "1.2.3", "html_url": "https://git.example:3000/Acme/-/packages/container/web/1.2.3" } });
    for header in ["x-gitea-event", "x-forgejo-event"] {
        tells(SourceKind::Gitea, &[(header, "package")], &gitea, &["git.example:3000/acme/web"]);
        let push = json!({ "repository": { "clone_url": "https://git.example/acme/deploys.git" } });
        for event in ["push", "pull_request", "pull_request_approved", "pull_request_comment", "status"] {
            tells(SourceKind::Gitea, &[(header, event)], &push, &["https://git.example/acme/deploys.git"]);
        }
        tells(SourceKind::Gitea, &[(header, "issues")], &push, &[]);
    }

    let cloud = json!({ "repository": { "full_name": "acme/deploys", "links": { "html": { "href": "https://bitbucket.org/acme/deploys" } } } });
    for event in ["repo:push", "pullrequest:fulfilled", "repo:commit_status_updated"] {
        tells(SourceKind::Bitbucket, &[("x-event-key", event)], &cloud, &["https://bitbucket.org/acme/deploys"]);
    }
    let own = json!({ "slug": "deploys", "project": { "key": "OPS" },
        "links": { "self": [{ "href": "https://bitbucket.example/projects/OPS/repos/deploys/browse" }] } });
    let expected = [
        "https://bitbucket.example/projects/OPS/repos/deploys/browse",
        "https://bitbucket.example/scm/ops/deploys",
        "https://bitbucket.example/ops/deploys",
    ];
    tells(
        SourceKind::Bitbucket,
        &[("x-event-key", "repo:refs_changed")],
        &json!({ "repository": own.clone() }),
        &expected,
    );
    let merged = json!({ "pullRequest": { "toRef": { "repository": own } } });
    tells(SourceKind::Bitbucket, &[("x-event-key", "pr:merged")], &merged, &expected);

    let azure = json!({ "id": "1", "eventType": "git.push", "publisherId": "tfs",
        "resource": { "repository": { "remoteUrl": "https://dev.azure.com/acme/ops/_git/deploys" } } });
    for event in ["git.push", "git.pullrequest.merged", "git.pullrequest.updated"] {
        let body = with(azure.clone(), "/eventType", json!(event));
        tells(SourceKind::AzureDevOps, &[], &body, &["https://dev.azure.com/acme/ops/_git/deploys"]);
    }
    tells(SourceKind::AzureDevOps, &[], &with(azure, "/eventType", json!("workitem.updated")), &[]);
    let mut build = json!({ "id": "1", "eventType": "build.complete", "resource": { "id": 2_727_068, "result": "succeeded",
        "repository": { "id": "0", "type": "TfsGit", "name": "deploys", "url": "https://dev.azure.com/acme/ops/_git/deploys" } } });
    tells(SourceKind::AzureDevOps, &[], &build, &["https://dev.azure.com/acme/ops/_git/deploys"]);
    build["resource"].as_object_mut().unwrap().remove("repository");
    tells(SourceKind::AzureDevOps, &[], &build, &[]);
}

#[test]
fn anything_else_by_its_own_words() {
    let body = json!({ "image": "ghcr.io/acme/web:1.2.3", "images": ["nginx", 7], "repository": "https://git.example/acme/deploys.git" });
    let expected = ["ghcr.io/acme/web", "docker.io/library/nginx", "https://git.example/acme/deploys.git"];
    tells(SourceKind::Generic, &[], &body, &expected);
    assert_eq!(told(SourceKind::Generic, &[], &json!({})), Err(UnknownShape));
    let event =
        json!({ "specversion": "1.0", "id": "1", "source": "ci", "type": "com.example.pushed", "data": body.clone() });
    tells(SourceKind::CloudEvents, &[], &event, &expected);
    tells(SourceKind::CloudEvents, &[("ce-type", "com.example.pushed")], &body, &expected);
    assert_eq!(told(SourceKind::CloudEvents, &[], &body), Err(UnknownShape), "no type");
}

/// Bodies of any shape, under every event name, for every kind: an answer and no panic.
#[test]
fn no_shape_is_too_odd() {
    let odd = [
        json!(null),
        json!([]),
        json!("text"),
        json!(1e308),
        json!({ "events": [null, 1, {}] }),
        json!({ "repository": [] }),
        json!({ "action": {}, "package": [], "component": 1, "asset": null }),
        json!({ "type": "PUSH_ARTIFACT", "event_data": 1 }),
        json!({ "message": { "data": "%%%" } }),
        json!({ "message": { "data": STANDARD.encode("[") } }),
        json!({ "repository": { "clone_url": "x".repeat(10_000) } }),
    ];
    let names = ["x-github-event", "x-gitlab-event", "x-gitea-event", "x-event-key", "ce-type"];
    for kind in SourceKind::ALL {
        for body in &odd {
            for event in
                ["", "push", "package", "Push Hook", "repo:push", "harbor.artifact.pushed", "com.amazon.ecr.image.push"]
            {
                let pairs: Vec<_> = names.iter().filter(|_| !event.is_empty()).map(|name| (*name, event)).collect();
                let hints = told(*kind, &pairs, body).unwrap_or_default();
                assert!(hints.is_empty(), "{}: {body}: {hints:?}", kind.as_str());
            }
        }
    }
}
