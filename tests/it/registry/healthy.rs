//! Against the demo's registry: what works, and how few requests it takes.

use jiff::Timestamp;
use landfall::demo::registry::{Auth, DemoImage, DemoRegistry, LinkStyle, RegistryOptions};
use landfall::model::Digest;
use landfall::registry::{HostSettings, RegistryLogin, TagsAnswer, TokenLogin};
use secrecy::SecretString;

use super::server::{Reply, Server};
use super::{basic, client, image, names, plain, tag, text};

fn made() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

async fn registry(options: RegistryOptions, tags: usize) -> DemoRegistry {
    let registry = DemoRegistry::start(options).await.unwrap();
    for number in 0..tags {
        registry.push_image("acme/web", &tag(&format!("v{number:04}")), &DemoImage::new(made())).unwrap();
    }
    registry
}

#[tokio::test]
async fn all_pages_are_read_however_they_are_linked() {
    for links in [LinkStyle::Relative, LinkStyle::Absolute] {
        // An even number: the last page is full, and the page before has the last link.
        for (tags, requests) in [(0, 1), (6, 1), (7, 1), (8, 2), (14, 2), (23, 4)] {
            let registry =
                registry(RegistryOptions { page_size: 7, links, ..RegistryOptions::default() }, tags.max(1)).await;
            if tags == 0 {
                registry.delete_tag("acme/web", &tag("v0000"));
            }
            let client = client(plain(registry.host()));
            let found = names(client.tags(&image(registry.host(), "acme/web"), None).await);
            assert_eq!(found, (0..tags).map(|n| format!("v{n:04}")).collect::<Vec<_>>(), "{links:?}");
            assert_eq!((client.requests(), registry.requests()), (requests, requests), "{links:?} {tags}");
        }
    }
}

#[tokio::test]
async fn without_links_a_full_page_is_asked_on() {
    for (tags, requests) in [(999, 1), (1000, 2), (1001, 2), (2000, 3)] {
        let registry =
            registry(RegistryOptions { links: LinkStyle::Missing, ..RegistryOptions::default() }, tags).await;
        let client = client(plain(registry.host()));
        let found = names(client.tags(&image(registry.host(), "acme/web"), None).await);
        assert_eq!((found.len(), client.requests()), (tags, requests));
    }
}

#[tokio::test]
async fn an_unchanged_listing_is_not_sent_again() {
    let registry = registry(RegistryOptions::default(), 3).await;
    let client = client(plain(registry.host()));
    let name = image(registry.host(), "acme/web");
    let TagsAnswer::Fresh { validators, .. } = client.tags(&name, None).await.unwrap() else { panic!() };
    let validators = validators.unwrap();
    assert_eq!(client.tags(&name, Some(&validators)).await.unwrap(), TagsAnswer::NotModified);
    registry.push_image("acme/web", &tag("v9"), &DemoImage::new(made())).unwrap();
    assert_eq!(names(client.tags(&name, Some(&validators)).await).len(), 4);
    assert_eq!(registry.log().iter().map(|seen| seen.status).collect::<Vec<_>>(), [200, 304, 200]);
}

#[tokio::test]
async fn a_listing_of_several_pages_has_no_validators() {
    // The first page's ETag says nothing about the others.
    let registry = registry(RegistryOptions { page_size: 2, ..RegistryOptions::default() }, 3).await;
    let client = client(plain(registry.host()));
    let answer = client.tags(&image(registry.host(), "acme/web"), None).await.unwrap();
    assert!(matches!(answer, TagsAnswer::Fresh { validators: None, .. }), "{answer:?}");
}

#[tokio::test]
async fn what_is_no_image_says_what_it_is() {
    const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
    const HELM: &str = "application/vnd.cncf.helm.config.v1+json";
    const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    let zero = format!("sha256:{}", "0".repeat(64));
    let manifest = |config: &str, more: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",{more}
                "config":{{"mediaType":"{config}","digest":"{zero}","size":2}},"layers":[]}}"#
        )
    };
    let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    for (body, kind) in [
        (manifest(IMAGE, ""), None),
        (manifest("application/vnd.docker.container.image.v1+json", ""), None),
        (manifest(HELM, ""), Some(HELM)),
        (manifest(EMPTY, r#""artifactType":"application/spdx+json","#), Some("application/spdx+json")),
        (manifest(EMPTY, r#""artifactType":"","#), Some(EMPTY)),
        (index.to_owned(), Some("an index without an image")),
    ] {
        let served = body.clone();
        let server = Server::start(move |request, _| match request.path().contains("/manifests/") {
            true => Reply::new(200).body(served.clone()),
            // An absent configuration makes no artifact of an image.
            false => Reply::new(404),
        })
        .await;
        let found = client(plain(server.host())).manifest(&image(server.addr(), "a"), &tag("v1")).await.unwrap();
        assert_eq!(found.artifact.as_deref(), kind, "{body}");
    }
}

#[tokio::test]
async fn manifests_tell_digest_platforms_time_and_annotations() {
    let registry = DemoRegistry::start(RegistryOptions::default()).await.unwrap();
    let source = "org.opencontainers.image.source";
    let version = "org.opencontainers.image.version";
    let revision = "org.opencontainers.image.revision";
    let single = DemoImage::new(made())
        .label(source, "https://label.example.com")
        .label(version, "1.2.3")
        .label("maintainer", "somebody")
        .annotation(source, "https://annotation.example.com")
        .annotation(revision, "0123456789abcdef");
    let index = single.clone().platforms(&["linux/arm64", "linux/arm/v7", "linux/amd64"]);
    let digest = registry.push_image("acme/web", &tag("one"), &single).unwrap();
    let index_digest = registry.push_image("acme/web", &tag("many"), &index).unwrap();
    let client = client(plain(registry.host()));
    let name = image(registry.host(), "acme/web");

    let found = client.manifest(&name, &tag("one")).await.unwrap();
    assert_eq!((found.digest.clone(), found.created), (digest, Some(made())));
    assert_eq!(found.platforms, ["linux/amd64"]);
    assert_eq!(found.source_url(), Some("https://annotation.example.com"));
    assert_eq!(found.annotations.keys().collect::<Vec<_>>(), [revision, source, version]);
    assert_eq!(client.resolve(&name, &tag("one")).await.unwrap(), found.digest);

    let found = client.manifest(&name, &tag("many")).await.unwrap();
    assert_eq!((found.digest.clone(), found.created), (index_digest, Some(made())));
    assert_eq!(found.platforms, ["linux/arm64", "linux/arm/v7", "linux/amd64"]);
    assert_eq!((found.source_revision(), found.annotations[version].as_str()), (Some("0123456789abcdef"), "1.2.3"));
    assert_eq!(client.resolve(&name, &tag("many")).await.unwrap(), found.digest);
}

#[tokio::test]
async fn times_of_reproducible_builds_are_unknown() {
    let registry = DemoRegistry::start(RegistryOptions::default()).await.unwrap();
    registry.push_image("a", &tag("epoch"), &DemoImage::new(Timestamp::UNIX_EPOCH)).unwrap();
    let annotated =
        DemoImage::new(Timestamp::UNIX_EPOCH).annotation("org.opencontainers.image.created", "2026-03-01T12:00:00Z");
    registry.push_image("a", &tag("annotated"), &annotated).unwrap();
    let client = client(plain(registry.host()));
    let name = image(registry.host(), "a");
    assert_eq!(client.manifest(&name, &tag("epoch")).await.unwrap().created, None);
    assert_eq!(client.manifest(&name, &tag("annotated")).await.unwrap().created, Some(made()));
}

#[tokio::test]
async fn what_is_not_there_is_absent_and_not_a_failure() {
    let registry = registry(RegistryOptions::default(), 1).await;
    let client = client(plain(registry.host()));
    let (here, nowhere) = (image(registry.host(), "acme/web"), image(registry.host(), "acme/nothing"));
    for error in [
        client.tags(&nowhere, None).await.unwrap_err(),
        client.resolve(&nowhere, &tag("v1")).await.unwrap_err(),
        client.manifest(&nowhere, &tag("v1")).await.unwrap_err(),
        client.resolve(&here, &tag("gone")).await.unwrap_err(),
        client.manifest(&here, &tag("gone")).await.unwrap_err(),
    ] {
        assert!(error.is_absent(), "{error}");
        assert!(text(&error).contains("acme/") && text(&error).contains("no such"), "{error}");
    }
}

#[tokio::test]
async fn logins_of_both_kinds_work_and_are_remembered() {
    let password = || SecretString::from("hunter2");
    let basic_auth = Auth::Basic { username: "bot".to_owned(), password: password() };
    let life = std::time::Duration::from_secs(300);
    let token_auth = Auth::Token { login: Some(("bot".to_owned(), password())), life };
    let open_token = Auth::Token { login: None, life };
    // Requests for the first listing, and for the second.
    for (auth, login, first, second) in [
        (basic_auth, Some(basic("bot", "hunter2")), 2, 1),
        (token_auth, Some(basic("bot", "hunter2")), 3, 1),
        (open_token, None, 3, 1),
    ] {
        let registry = registry(RegistryOptions { auth, ..RegistryOptions::default() }, 2).await;
        let client = client(HostSettings { login, ..plain(registry.host()) });
        let name = image(registry.host(), "acme/web");
        assert_eq!(names(client.tags(&name, None).await).len(), 2);
        assert_eq!(client.requests(), first);
        assert_eq!(names(client.tags(&name, None).await).len(), 2);
        assert_eq!(client.requests(), first + second);
        assert!(client.resolve(&name, &tag("v0001")).await.is_ok());
        assert!(client.manifest(&name, &tag("v0001")).await.is_ok());
        assert_eq!(client.requests(), first + second + 3);
    }
}

#[tokio::test]
async fn a_ready_token_goes_to_the_registry_as_it_is() {
    let life = std::time::Duration::from_secs(300);
    let registry =
        registry(RegistryOptions { auth: Auth::Token { login: None, life }, ..RegistryOptions::default() }, 2).await;
    let name = image(registry.host(), "acme/web");
    // Somebody else gets a token; the demo's tokens are numbered.
    names(client(plain(registry.host())).tags(&name, None).await);
    let ready = |token: &str| {
        let login = Some(RegistryLogin::Token(TokenLogin { token: SecretString::from(token) }));
        client(HostSettings { login, ..plain(registry.host()) })
    };
    let good = ready("demo-token-1");
    assert_eq!(names(good.tags(&name, None).await).len(), 2);
    assert_eq!(names(good.tags(&name, None).await).len(), 2);
    assert_eq!(good.requests(), 3);
    let error = ready("s3cr3t").tags(&name, None).await.unwrap_err();
    assert!(text(&error).contains("check the credentials"), "{error}");
}

#[tokio::test]
async fn an_idle_cycle_is_one_request_per_repository() {
    let registry = DemoRegistry::start(RegistryOptions::default()).await.unwrap();
    let client = std::sync::Arc::new(client(plain(registry.host())));
    let mut known = Vec::new();
    for number in 0..200 {
        let repository = format!("acme/app-{number}");
        registry.push_image(&repository, &tag("v1"), &DemoImage::new(made())).unwrap();
        let name = image(registry.host(), &repository);
        let TagsAnswer::Fresh { validators, .. } = client.tags(&name, None).await.unwrap() else { panic!() };
        known.push((name, validators));
    }
    assert_eq!(client.requests(), 200);
    let mut cycle = tokio::task::JoinSet::new();
    for (name, validators) in known {
        let client = std::sync::Arc::clone(&client);
        cycle.spawn(async move { client.tags(&name, validators.as_ref()).await.unwrap() });
    }
    assert!(cycle.join_all().await.iter().all(|answer| *answer == TagsAnswer::NotModified));
    assert_eq!((client.requests(), registry.requests()), (400, 400));
}

/// Ordinary clients push to the demo's registry; its parts are checked as real registries do.
#[tokio::test]
async fn the_demo_takes_what_clients_push() {
    let registry = DemoRegistry::start(RegistryOptions::default()).await.unwrap();
    let http = super::real::http();
    let base = format!("http://{}", registry.host());
    let digest = super::real::push(&http, &base, "acme/pushed", "v1", None).await;
    let client = client(plain(registry.host()));
    let name = image(registry.host(), "acme/pushed");
    assert_eq!(names(client.tags(&name, None).await), ["v1"]);
    let manifest = client.manifest(&name, &tag("v1")).await.unwrap();
    assert_eq!(manifest.digest, Digest::parse(&digest).unwrap());
    assert_eq!(manifest.platforms, ["linux/amd64"]);

    let put = |path: &str, body: &'static str| http.put(format!("{base}{path}")).body(body).send();
    let status = |response: Result<reqwest::Response, reqwest::Error>| response.unwrap().status().as_u16();
    let unknown = r#"{"schemaVersion":2,"config":{"digest":"sha256:00"},"layers":[]}"#;
    assert_eq!(status(put("/v2/acme/pushed/manifests/v2", unknown).await), 400);
    assert_eq!(status(put("/v2/acme/pushed/manifests/v2", "{}").await), 400);
    assert_eq!(status(put("/v2/acme/pushed/manifests/.bad", "{}").await), 400);
    assert_eq!(status(put("/v2/acme/pushed/blobs/uploads/none?digest=sha256:00", "x").await), 404);
    assert_eq!(status(http.post(format!("{base}/v2/a/blobs/uploads/?digest=sha256:00")).body("x").send().await), 400);
    assert_eq!(status(http.delete(format!("{base}/v2/acme/pushed/manifests/v1")).send().await), 202);
    assert_eq!(names(client.tags(&name, None).await), [""; 0]);
    assert_eq!(status(http.delete(format!("{base}/v2/acme/pushed/manifests/{digest}")).send().await), 202);
    assert_eq!(status(http.get(format!("{base}/v2/acme/pushed/manifests/{digest}")).send().await), 404);
}
