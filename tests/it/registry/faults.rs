//! Registries that are gone, slow, busy, broken, or lie.

use std::sync::Arc;
use std::time::{Duration, Instant};

use landfall::model::FailureCode;
use landfall::registry::{HostSettings, Limits, RegistryClient};
use serde_json::json;
use tokio::sync::watch;

use super::server::{Reply, Server};
use super::{client, client_with, image, names, plain, quick, tag, text};
use crate::support::process::PATIENCE;

/// A mebibyte of zeros, compressed.
const ZEROS: &str = "H4sIAAAAAAACA+3BMQEAAADCoPVPbQhfoAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAPgMc6jinAAAQAA==";

/// A loopback address where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn digest(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    format!("sha256:{}", hash.as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>())
}

#[tokio::test]
async fn an_unreachable_registry_is_a_network_failure() {
    let host = nobody();
    let client = client(plain(&host));
    let error = client.tags(&image(&host, "a"), None).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::Network);
    assert!(text(&error).starts_with(&format!("{host}/a: listing its tags: ")), "{error}");
    assert!(text(&error).contains("refused"), "{error}");
    assert_eq!(client.requests(), 3);
}

#[tokio::test]
async fn https_is_never_given_up_for_plain_http() {
    let server = Server::start(|_, _| Reply::tags(&["v1"])).await;
    // Neither side says a word, whatever time they have.
    let limits = Limits { connect_timeout: Duration::from_millis(300), ..quick() };
    let client = client_with(HostSettings::new(server.host()), limits);
    let error = client.tags(&image(server.addr(), "a"), None).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::Network);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn broken_answers_are_network_failures_and_asked_again() {
    for (what, bytes) in [
        ("truncated", "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"tags\":[\"a\""),
        ("no answer", ""),
        ("truncated head", "HTTP/1.1 200 OK\r\ncontent-le"),
        ("no http", "220 mail.example.com ESMTP\r\n"),
        ("truncated chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"tag\r\n"),
        ("bad chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"),
        ("bad gzip", "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello"),
    ] {
        let server = Server::start(move |_, _| Reply::Raw(bytes.into())).await;
        let error = client(plain(server.host())).tags(&image(server.addr(), "a"), None).await.unwrap_err();
        assert_eq!(error.code(), FailureCode::Network, "{what}: {error}");
        assert_eq!(server.seen().len(), 3, "{what}");
    }
}

#[tokio::test]
async fn an_answer_longer_than_it_says_is_not_a_listing() {
    let lying = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"tags\":[\"a\",\"b\"]}";
    let server = Server::start(move |_, _| Reply::Raw(lying.to_vec())).await;
    let error = client(plain(server.host())).tags(&image(server.addr(), "a"), None).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::Protocol, "{error}");
}

#[tokio::test]
async fn one_bad_answer_does_no_harm() {
    for first in
        [Reply::new(500), Reply::new(502), Reply::new(503), Reply::new(504), Reply::Raw(Vec::new()), Reply::new(429)]
    {
        let server =
            Server::start(move |_, number| if number == 0 { first.clone() } else { Reply::tags(&["v1"]) }).await;
        assert_eq!(names(client(plain(server.host())).tags(&image(server.addr(), "a"), None).await), ["v1"]);
    }
}

#[tokio::test]
async fn slow_registries_run_into_the_limits() {
    let drip = Reply::Stuck(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"tags\":[".to_vec());
    for reply in [Reply::Stuck(Vec::new()), Reply::Stuck(b"HTTP/1.1 200 OK\r\n".to_vec()), drip] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let limits = Limits { request_timeout: Duration::from_millis(250), ..quick() };
        let error = client_with(plain(server.host()), limits).tags(&image(server.addr(), "a"), None).await.unwrap_err();
        assert_eq!(error.code(), FailureCode::Network);
        assert!(text(&error).contains("250ms"), "{error}");
        assert_eq!(server.seen().len(), 3);
    }
    // Every page is quick, but there is no end: the whole operation has a limit.
    let server = Server::start(|_, number| {
        let page =
            Reply::tags(&[format!("v{number}").as_str()]).header("link", &format!("<?c={number}>; rel=\"next\""));
        Reply::Later(Duration::from_millis(20), Box::new(page))
    })
    .await;
    let limits = Limits { total_timeout: Duration::from_millis(300), ..quick() };
    let error = client_with(plain(server.host()), limits).tags(&image(server.addr(), "a"), None).await.unwrap_err();
    assert!(text(&error).contains("not complete within 300ms"), "{error}");
}

#[tokio::test]
async fn huge_answers_are_cut_short() {
    use base64::Engine as _;
    let zeros = base64::engine::general_purpose::STANDARD.decode(ZEROS).unwrap();
    let bomb = Reply::new(200).header("content-encoding", "gzip").body(zeros);
    let plain_body = Reply::new(200).body(vec![b' '; 600 * 1024]);
    let endless = Reply::Raw([b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b' '; 8 * 1024 * 1024]].concat());
    for reply in [bomb, plain_body, endless] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let limits = Limits { max_body: 512 * 1024, ..quick() };
        let client = client_with(plain(server.host()), limits);
        let error = client.tags(&image(server.addr(), "a"), None).await.unwrap_err();
        assert!(text(&error).contains("longer than 512 KiB"), "{error}");
        assert_eq!(error.code(), FailureCode::Protocol);
        assert_eq!(server.seen().len(), 1, "what is too large is not asked for again");
    }
}

#[tokio::test]
async fn statuses_have_their_kinds() {
    for (status, code, tries) in [
        (400, FailureCode::Protocol, 2),
        (404, FailureCode::Protocol, 1),
        (410, FailureCode::Protocol, 1),
        (418, FailureCode::Protocol, 1),
        (429, FailureCode::RateLimited, 3),
        (500, FailureCode::Server, 3),
        (503, FailureCode::Server, 3),
        (599, FailureCode::Server, 3),
    ] {
        let server = Server::start(move |_, _| Reply::new(status)).await;
        let error = client(plain(server.host())).tags(&image(server.addr(), "a"), None).await.unwrap_err();
        assert_eq!(error.code(), code, "{status}: {error}");
        assert_eq!(error.is_absent(), status == 404, "{status}");
        assert!(text(&error).contains(&status.to_string()), "{error}");
        assert_eq!(server.seen().len(), tries, "{status}");
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_in_both_forms() {
    let now = "Sun, 06 Nov 1994 08:49:37 GMT";
    let later = "Sun, 06 Nov 1994 08:49:38 GMT";
    let waits = [(429, "1"), (429, later), (503, "1"), (503, later)].map(async |(status, value)| {
        let server = Server::start(move |_, number| match number {
            0 => Reply::new(status).header("retry-after", value).header("date", now),
            _ => Reply::tags(&["v1"]),
        })
        .await;
        let begun = Instant::now();
        assert_eq!(names(client(plain(server.host())).tags(&image(server.addr(), "a"), None).await), ["v1"]);
        assert!(begun.elapsed() >= Duration::from_secs(1), "{status} {value}");
    });
    futures::future::join_all(waits).await;
}

#[tokio::test]
async fn what_is_left_of_a_limit_is_spread_for_the_kind_of_request_that_is_counted() {
    let server = Server::start(|request, _| match request.path().contains("/manifests/") {
        // In Docker Hub's words.
        true => Reply::new(200)
            .header("docker-content-digest", &format!("sha256:{}", "ab".repeat(32)))
            .header("ratelimit-limit", "100;w=21600")
            .header("ratelimit-remaining", "3;w=21600"),
        false => Reply::tags(&["v1"]),
    })
    .await;
    let (client, name) = (client(plain(server.host())), image(server.addr(), "a"));
    for _ in 0..2 {
        client.resolve(&name, &tag("v1")).await.unwrap();
    }
    let error = client.resolve(&name, &tag("v1")).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::RateLimited, "{error}");
    assert!(error.retry_after().unwrap() > Duration::from_secs(3000), "{error}");
    assert!(text(&error).contains("spread over the time until there are more (again in "), "{error}");
    assert_eq!(names(client.tags(&name, None).await), ["v1"], "lists are not counted, and the host is not sick");
    assert_eq!(server.seen().len(), 3);
    let left = client.quota(&name).unwrap();
    assert_eq!((left.remaining, left.limit), (3, Some(100)));
}

#[tokio::test]
async fn what_docker_hub_does_not_count_is_not_held_back() {
    let server = Server::start(|request, _| match request.path().contains("/manifests/") {
        true => Reply::new(200)
            .header("docker-content-digest", &format!("sha256:{}", "ab".repeat(32)))
            .header("docker-ratelimit-source", "192.0.2.1")
            .header("ratelimit-limit", "100;w=21600")
            .header("ratelimit-remaining", "0;w=21600"),
        false => Reply::tags(&["v1"]),
    })
    .await;
    let (client, name) = (client(plain(server.host())), image(server.addr(), "a"));
    for _ in 0..5 {
        client.resolve(&name, &tag("v1")).await.unwrap();
    }
    assert!(server.seen().iter().all(|asked| asked.method == "HEAD"), "{:?}", server.seen());
    assert_eq!(client.quota(&name).unwrap().remaining, 0, "what is left is known without a pull");
    let error = client.manifest(&name, &tag("v1")).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::RateLimited, "what is counted waits: {error}");
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn a_limit_that_says_when_there_is_more_is_waited_for() {
    for headers in [
        &[("x-ratelimit-remaining", "0"), ("x-ratelimit-limit", "60"), ("x-ratelimit-reset", "1")][..],
        &[("ratelimit", "\"default\";r=0;t=1"), ("ratelimit-policy", "\"default\";q=60;w=60")],
    ] {
        let server = Server::start(move |_, number| {
            let reply = if number == 0 { Reply::new(429) } else { Reply::tags(&["v1"]) };
            let said = if number == 0 { headers } else { &[] };
            said.iter().fold(reply, |reply, (name, value)| reply.header(name, value))
        })
        .await;
        let begun = Instant::now();
        assert_eq!(names(client(plain(server.host())).tags(&image(server.addr(), "a"), None).await), ["v1"]);
        assert!(begun.elapsed() >= Duration::from_secs(1), "{headers:?}");
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn a_long_retry_after_is_reported_and_the_host_left_alone() {
    let now = "Sun, 06 Nov 1994 08:49:37 GMT";
    let later = "Sun, 06 Nov 1994 08:59:37 GMT";
    for value in ["600", later] {
        let server = Server::start(move |_, _| Reply::new(429).header("retry-after", value).header("date", now)).await;
        let client = client(plain(server.host()));
        let error = client.tags(&image(server.addr(), "a"), None).await.unwrap_err();
        assert_eq!((error.code(), error.retry_after()), (FailureCode::RateLimited, Some(Duration::from_secs(600))));
        assert!(text(&error).contains("600 s") && text(&error).contains("raise the limit"), "{error}");
        for other in ["b", "c"] {
            let error = client.resolve(&image(server.addr(), other), &tag("v1")).await.unwrap_err();
            assert_eq!(error.code(), FailureCode::RateLimited);
            assert!(error.retry_after().unwrap() > Duration::from_secs(300));
        }
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_host_has_a_bounded_number_of_requests_in_flight() {
    // The first wait for the third, so that three are there at once; a fourth would come while the others take their time.
    let (third, came) = watch::channel(false);
    let server = Server::start(move |_, number| {
        third.send_if_modified(|came| number == 2 && !std::mem::replace(came, true));
        let answer = Reply::Later(Duration::from_millis(20), Box::new(Reply::tags(&["v1"])));
        Reply::Held(came.clone(), Box::new(answer))
    })
    .await;
    let client = Arc::new(client(HostSettings { max_requests: Some(3), ..plain(server.host()) }));
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..24 {
        let (client, name) = (Arc::clone(&client), image(server.addr(), &format!("app-{number}")));
        callers.spawn(async move { names(client.tags(&name, None).await) });
    }
    callers.join_all().await;
    assert_eq!((server.peak(), server.seen().len()), (3, 24));
}

#[tokio::test]
async fn a_dead_host_delays_no_other() {
    let dead = Server::start(|_, _| Reply::Stuck(Vec::new())).await;
    let healthy = Server::start(|_, _| Reply::tags(&["v1"])).await;
    let client = Arc::new(RegistryClient::new(vec![plain(dead.host()), plain(healthy.host())], quick()).unwrap());
    let (mut sick, mut well) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
    for number in 0..200 {
        let repository = format!("app-{number}");
        let (one, name) = (Arc::clone(&client), image(dead.addr(), &repository));
        sick.spawn(async move { one.tags(&name, None).await.unwrap_err() });
        let (one, name) = (Arc::clone(&client), image(healthy.addr(), &repository));
        well.spawn(async move { names(one.tags(&name, None).await) });
    }
    assert_eq!(well.join_all().await.len(), 200);
    assert!(sick.try_join_next().is_none(), "the healthy host waited for the dead one");
}

#[tokio::test]
async fn two_hundred_images_of_a_dead_host_cost_few_timeouts() {
    let dead = Server::start(|_, _| Reply::Stuck(Vec::new())).await;
    let limits = Limits { request_timeout: Duration::from_millis(250), ..quick() };
    let client = Arc::new(client_with(plain(dead.host()), limits));
    let ask = async |number: usize| client.tags(&image(dead.addr(), &format!("app-{number}")), None).await.unwrap_err();
    let errors = futures::future::join_all((0..200).map(ask)).await;
    assert!(errors.iter().all(|error| error.code() == FailureCode::Network));
    assert!(errors.iter().filter(|error| text(error).contains("left alone")).count() >= 180);
    // Three failures open the circuit; what was in flight by then, and its attempts, still arrives.
    assert!(dead.seen().len() <= 60, "{} of 600 possible requests", dead.seen().len());
}

#[tokio::test]
async fn a_sick_host_is_asked_again_after_its_pause() {
    let server =
        Server::start(|_, number| if number < 2 { Reply::Stuck(Vec::new()) } else { Reply::tags(&["v1"]) }).await;
    let request_timeout = Duration::from_millis(400);
    let limits = Limits { request_timeout, attempts: 1, sick_after: 2, sick_pause: Duration::from_secs(3), ..quick() };
    let client = client_with(plain(server.host()), limits);
    let name = image(server.addr(), "a");
    for _ in 0..5 {
        client.tags(&name, None).await.unwrap_err();
    }
    assert_eq!(server.seen().len(), 2);
    let asked_again = async {
        loop {
            match client.tags(&name, None).await {
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                found => return names(found),
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, asked_again).await.unwrap(), ["v1"]);
}

#[tokio::test]
async fn a_server_that_keeps_failing_is_asked_once_per_image() {
    let server = Server::start(|_, _| Reply::new(500)).await;
    let client = client(plain(server.host()));
    for number in 0..10 {
        client.tags(&image(server.addr(), &format!("app-{number}")), None).await.unwrap_err();
    }
    assert_eq!(server.seen().len(), 3 * 3 + 7);
}

#[tokio::test]
async fn digests_come_from_head_or_from_the_manifest_itself() {
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [] });
    let right = digest(manifest.to_string().as_bytes());
    let full = Reply::json(&manifest).header("docker-content-digest", &right);
    let bare = Reply::json(&manifest);
    let elsewhere = Reply::json(&manifest).header("docker-content-digest", &digest(b"other"));
    let odd = Reply::json(&manifest).header("docker-content-digest", "md5:00");
    for (head, get, expected) in [
        (full.clone(), Reply::new(500), Ok(())),
        (bare.clone(), full.clone(), Ok(())),
        (bare.clone(), bare.clone(), Ok(())),
        (Reply::new(405), full.clone(), Ok(())),
        (Reply::new(400), full.clone(), Ok(())),
        (Reply::new(405), elsewhere.clone(), Err("declared")),
        (odd.clone(), full.clone(), Err("not a digest")),
        (Reply::new(405), odd, Err("not a digest")),
        (bare.clone(), Reply::new(200).body("<html>log in</html>"), Err("not in the OCI")),
        (bare.clone(), Reply::json(&json!({ "schemaVersion": 1 })), Err("older")),
        (bare.clone(), Reply::new(404), Err("no such tag")),
    ] {
        let (for_head, for_get) = (head.clone(), get.clone());
        let server = Server::start(move |request, _| {
            let accept = request.header("accept").unwrap();
            assert_eq!(accept.split(',').count(), 4, "{accept}");
            if request.method == "HEAD" { for_head.clone() } else { for_get.clone() }
        })
        .await;
        let found = client(plain(server.host())).resolve(&image(server.addr(), "a"), &tag("v1")).await;
        match (found, expected) {
            (Ok(found), Ok(())) => assert_eq!(found.as_str(), right),
            (Err(error), Err(reason)) => assert!(text(&error).contains(reason), "{error}"),
            (found, expected) => panic!("{found:?}, not {expected:?} for {head:?} {get:?}"),
        }
    }
}

/// The answers of a registry with one image, each of which a test can replace.
#[derive(Clone)]
struct Answers {
    manifest: Reply,
    child: Reply,
    config: Reply,
}

impl Answers {
    async fn ask(&self, index: bool) -> Result<landfall::model::Manifest, landfall::registry::RegistryError> {
        let answers = self.clone();
        let server = Server::start(move |request, _| match request.path() {
            "/v2/a/manifests/v1" if index => answers.manifest.clone(),
            "/v2/a/manifests/v1" => answers.child.clone(),
            path if path.starts_with("/v2/a/manifests/") => answers.child.clone(),
            _ => answers.config.clone(),
        })
        .await;
        client(plain(server.host())).manifest(&image(server.addr(), "a"), &tag("v1")).await
    }
}

fn answers() -> Answers {
    let config = json!({ "created": "2026-03-01T12:00:00Z", "os": "linux", "architecture": "amd64" }).to_string();
    let child = json!({
        "schemaVersion": 2,
        "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest(config.as_bytes()), "size": 1 },
        "layers": [],
    })
    .to_string();
    let entry = |digest: &str, os: &str| {
        let media_type = "application/vnd.docker.distribution.manifest.v2+json";
        json!({ "mediaType": media_type, "digest": digest, "size": 1, "platform": { "os": os, "architecture": "amd64" } })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "manifests": [entry(&digest(child.as_bytes()), "linux"), entry(&digest(b"attestation"), "unknown")],
    });
    let kind = |name: &str| format!("application/vnd.docker.distribution.manifest.{name}v2+json");
    Answers {
        manifest: Reply::new(200).header("content-type", &kind("list.")).body(manifest.to_string()),
        child: Reply::new(200).header("content-type", &kind("")).body(child),
        config: Reply::new(200).body(config),
    }
}

#[tokio::test]
async fn manifests_are_checked_at_every_step() {
    let good = answers();
    for index in [false, true] {
        let found = good.ask(index).await.unwrap();
        assert!(found.created.is_some());
        assert_eq!(found.platforms, ["linux/amd64"]);
    }
    let with = |change: fn(&mut Answers)| {
        let mut changed = answers();
        change(&mut changed);
        changed
    };
    for (wrong, reason) in [
        (with(|w| w.config = Reply::new(200).body("{}")), "digest"),
        (with(|w| w.config = Reply::new(500)), "500"),
        (with(|w| w.config = Reply::new(401)), "401"),
        (with(|w| w.config = Reply::new(400)), "400"),
        (with(|w| w.config = Reply::new(200).body(vec![b' '; 5 * 1024 * 1024])), "longer"),
        (with(|w| w.child = Reply::new(200).body(r#"{"schemaVersion":2,"config":{},"layers":[]}"#)), "digest"),
        (with(|w| w.child = Reply::new(403)), "403"),
        (with(|w| w.manifest = Reply::new(200).body(r#"{"schemaVersion":2,"manifests":[{"digest":"x"}]}"#)), "form"),
        (with(|w| w.manifest = Reply::new(200).body("[".repeat(100_000))), "form"),
        (with(|w| w.manifest = Reply::new(429)), "429"),
    ] {
        let error = wrong.ask(true).await.unwrap_err();
        assert!(text(&error).contains(reason) && !error.is_absent(), "{error}");
    }
}

#[tokio::test]
async fn parts_that_are_gone_leave_the_time_unknown() {
    for index in [true, false] {
        let mut some = answers();
        some.config = Reply::new(404);
        let found = some.ask(index).await.unwrap();
        assert_eq!(found.created, None);
        assert_eq!(found.platforms.len(), usize::from(index));
    }
    // Nobody can pull an index of which no image is there, and once one is, it is read.
    let mut none = answers();
    none.child = Reply::new(404);
    let error = none.ask(true).await.unwrap_err();
    assert!(error.is_absent() && text(&error).contains("none of its images is there"), "{error}");
}

#[tokio::test]
async fn an_index_of_which_not_all_was_asked_for_is_there() {
    let entry = |number: usize, os: &str| {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let platform = json!({ "os": os, "architecture": format!("a{number}") });
        json!({ "mediaType": media_type, "digest": digest(format!("{number}").as_bytes()), "size": 1, "platform": platform })
    };
    for (images, attestations, is_absent) in [(4, 4, true), (5, 0, false)] {
        let mut none = answers();
        let entries: Vec<_> = (0..images)
            .map(|number| entry(number, "linux"))
            .chain((0..attestations).map(|number| entry(100 + number, "unknown")))
            .collect();
        none.manifest = Reply::new(200).body(json!({ "schemaVersion": 2, "manifests": entries }).to_string());
        none.child = Reply::new(404);
        match none.ask(true).await {
            Ok(found) => assert!(!is_absent && found.created.is_none() && found.platforms.len() == images),
            Err(error) => assert!(is_absent && error.is_absent(), "{images} images: {error}"),
        }
    }
}

#[tokio::test]
async fn an_index_without_a_platform_to_run_on_is_no_image() {
    let mut attested = answers();
    let Reply::Http { body, .. } = &attested.child else { panic!("a whole answer") };
    let child = digest(body);
    let entry = |platform: serde_json::Value| {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let entry = json!({ "mediaType": media_type, "digest": child, "size": 1, "platform": platform });
        json!({ "schemaVersion": 2, "manifests": [entry] }).to_string()
    };
    for (platform, artifact) in [
        (json!({ "os": "unknown", "architecture": "unknown" }), Some("an index without a platform to run on")),
        (json!({ "os": "linux", "architecture": "amd64" }), None),
        // One that says nothing may run.
        (json!(null), None),
    ] {
        attested.manifest = Reply::new(200).body(entry(platform.clone()));
        assert_eq!(attested.ask(true).await.unwrap().artifact.as_deref(), artifact, "{platform}");
    }
}

/// A list of so many bytes, or somewhat more.
fn long_list(bytes: usize) -> Vec<u8> {
    let names: Vec<String> = (0..bytes / 100).map(|number| format!("\"{number:0>97}\"")).collect();
    format!("{{\"name\":\"a\",\"tags\":[{}]}}", names.join(",")).into_bytes()
}

#[tokio::test]
async fn a_long_answer_that_comes_slowly_gives_way_to_others() {
    // Longer than the largest class begins, and then nothing any more.
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 30000000\r\n\r\n";
    let slow = Server::start(move |_, _| Reply::Stuck([&head[..], &long_list(9 << 20)].concat())).await;
    let healthy = Server::start(|_, _| Reply::new(200).body(long_list(9 << 20))).await;
    // Far more time than the test takes: only who waits for the place can end it.
    let limits = Limits { attempts: 1, request_timeout: Duration::from_secs(600), ..quick() };
    let client = Arc::new(RegistryClient::new(vec![plain(slow.host()), plain(healthy.host())], limits).unwrap());
    let (first, asked) = (Arc::clone(&client), image(slow.host(), "a"));
    let first = tokio::spawn(async move { first.tags(&asked, None).await });
    let listed = async {
        loop {
            let listed = client.tags(&image(healthy.host(), "a"), None).await;
            if first.is_finished() {
                return listed;
            }
        }
    };
    let listed = tokio::time::timeout(Duration::from_secs(60), listed).await.expect("the slow one keeps the room");
    assert_eq!(names(listed).len(), (9 << 20) / 100);
    let error = first.await.unwrap().unwrap_err();
    assert!(text(&error).contains("came so slowly"), "{error}");
}
