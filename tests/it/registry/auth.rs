//! Where credentials go, and where they never go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use landfall::model::FailureCode;
use landfall::registry::{HostSettings, Limits};
use serde_json::json;

use super::server::{Reply, Request, Server};
use super::{client, client_with, image, login, names, plain, quick, text};
use crate::support::process::PATIENCE;

const BASIC: &str = "Basic Ym90Omh1bnRlcjI="; // bot:hunter2

fn wants(realm: &str) -> Reply {
    Reply::new(401)
        .header("www-authenticate", &format!("Bearer realm=\"{realm}\",service=\"s\",scope=\"repository:a:pull\""))
}

/// A registry with its token service at `/token`, which answers as told.
async fn with_token(token: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |request, number| {
        let host = request.header("host").unwrap().to_owned();
        match (request.path(), request.header("authorization")) {
            ("/token", _) => token(request, number),
            (_, Some(sent)) if sent.starts_with("Bearer good") => Reply::tags(&["v1"]),
            _ => wants(&format!("http://{host}/token")),
        }
    })
    .await
}

#[tokio::test]
async fn fifty_callers_fetch_one_token() {
    let fetched = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fetched);
    let server = with_token(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        let token = Reply::json(&json!({ "token": "good", "expires_in": 300 }));
        Reply::Later(Duration::from_millis(30), Box::new(token))
    })
    .await;
    let client = Arc::new(client(HostSettings { max_requests: Some(50), ..login(server.host()) }));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (client, name) = (Arc::clone(&client), image(server.addr(), "a"));
        callers.spawn(async move { names(client.tags(&name, None).await) });
    }
    assert!(callers.join_all().await.iter().all(|found| found == &["v1"]));
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    let token = server.seen().into_iter().find(|request| request.path() == "/token").unwrap();
    assert_eq!(token.target, "/token?service=s&scope=repository%3Aa%3Apull");
    assert_eq!(token.header("authorization"), Some(BASIC));
    // The password went to the token service and nowhere else.
    let leaked = server.seen().iter().any(|r| r.path() != "/token" && r.header("authorization") == Some(BASIC));
    assert!(!leaked);
}

#[tokio::test]
async fn fifty_callers_share_one_refusal() {
    let server = with_token(|_, _| Reply::Later(Duration::from_millis(30), Box::new(Reply::new(403)))).await;
    let client = Arc::new(client(HostSettings { max_requests: Some(50), ..login(server.host()) }));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (client, name) = (Arc::clone(&client), image(server.addr(), "a"));
        callers.spawn(async move { client.tags(&name, None).await.unwrap_err() });
    }
    for error in callers.join_all().await {
        assert_eq!(error.code(), FailureCode::Authentication);
        assert!(text(&error).contains("credentials for"), "{error}");
    }
    let fetched = server.targets().iter().filter(|target| target.starts_with("/token")).count();
    assert!(fetched <= 2, "{fetched}");
}

#[tokio::test]
async fn tokens_are_kept_by_repository_and_replaced_when_they_end() {
    // A token that says four seconds lives for three quarters of them.
    let server =
        with_token(|_, number| Reply::json(&json!({ "token": format!("good{number}"), "expires_in": 4 }))).await;
    let client = client(plain(server.host()));
    let fetched = || server.targets().iter().filter(|target| target.starts_with("/token")).count();
    for _ in 0..3 {
        names(client.tags(&image(server.addr(), "a"), None).await);
    }
    assert_eq!(fetched(), 1);
    names(client.tags(&image(server.addr(), "b"), None).await);
    assert_eq!(fetched(), 2);
    // The challenge is known: a token and the listing, without being refused first.
    let replaced = async {
        let mut cost = 0;
        while fetched() < 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let before = client.requests();
            names(client.tags(&image(server.addr(), "a"), None).await);
            cost = client.requests() - before;
        }
        cost
    };
    assert_eq!(tokio::time::timeout(PATIENCE, replaced).await.unwrap(), 2);
}

#[tokio::test]
async fn a_token_refused_early_is_replaced_once() {
    let server = Server::start(|request, number| {
        let host = request.header("host").unwrap().to_owned();
        match (request.path(), request.header("authorization")) {
            ("/token", _) => Reply::json(&json!({ "token": format!("t{number}"), "expires_in": 300 })),
            // The registry forgets the first token after one use.
            (_, Some("Bearer t1")) if number > 2 => wants(&format!("http://{host}/token")),
            (_, Some(_)) => Reply::tags(&["v1"]),
            (_, None) => wants(&format!("http://{host}/token")),
        }
    })
    .await;
    let client = client(plain(server.host()));
    names(client.tags(&image(server.addr(), "a"), None).await);
    names(client.tags(&image(server.addr(), "a"), None).await);
    assert_eq!(client.requests(), 6);
}

#[tokio::test]
async fn a_login_that_is_refused_ends_soon_and_says_what_to_do() {
    for status in [401, 403] {
        for challenge in ["Basic realm=\"x\"", "Bearer realm=\"http://HOST/token\"", "Digest realm=\"x\"", ""] {
            let server = Server::start(move |request, _| {
                let host = request.header("host").unwrap();
                match request.path() {
                    "/token" => Reply::json(&json!({ "token": "s3cr3t" })),
                    _ => Reply::new(if request.header("authorization").is_some() { status } else { 401 })
                        .header("www-authenticate", &challenge.replace("HOST", host))
                        .body(r#"{"errors":[{"code":"DENIED","message":"hunter2"}]}"#),
                }
            })
            .await;
            for (settings, advice) in
                [(login(server.host()), "check the credentials for"), (plain(server.host()), "give credentials for")]
            {
                let client = client(settings);
                let error = client.tags(&image(server.addr(), "a"), None).await.unwrap_err();
                assert_eq!(error.code(), FailureCode::Authentication, "{challenge}: {error}");
                let text = text(&error);
                assert!(
                    text.contains(advice) && text.contains("DENIED") && text.contains("no such repository, or"),
                    "{text}"
                );
                assert!(client.requests() <= 3, "{challenge} {}", client.requests());
            }
        }
    }
}

#[tokio::test]
async fn credentials_are_not_sent_unasked() {
    let server = Server::start(|_, _| Reply::tags(&["v1"])).await;
    names(client(login(server.host())).tags(&image(server.addr(), "a"), None).await);
    assert!(server.seen().iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn a_realm_elsewhere_never_sees_the_credentials() {
    let other = Server::start(|_, _| Reply::json(&json!({ "token": "good" }))).await;
    let port = other.addr().port();
    // The registry is at 127.0.0.1; `localhost` is another host by name.
    let elsewhere = format!("http://localhost:{port}/token");
    let registry = |realm: String| {
        Server::start(move |request, _| match request.header("authorization") {
            Some("Bearer good") => Reply::tags(&["v1"]),
            _ => wants(&realm),
        })
    };

    let server = registry(elsewhere.clone()).await;
    let error = client(login(server.host())).tags(&image(server.addr(), "a"), None).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::Authentication);
    assert!(text(&error).contains("tokenRealms: [localhost]"), "{error}");
    assert!(other.seen().is_empty());

    // Without credentials there is nothing to follow.
    names(client(plain(server.host())).tags(&image(server.addr(), "a"), None).await);
    assert_eq!(other.seen().len(), 1);
    assert_eq!(other.seen()[0].header("authorization"), None);

    // Named in the configuration, it gets them.
    let trusting = HostSettings { token_realms: vec!["localhost".to_owned()], ..login(server.host()) };
    names(client(trusting).tags(&image(server.addr(), "a"), None).await);
    assert_eq!(other.seen()[1].header("authorization"), Some(BASIC));
}

#[tokio::test]
async fn dangerous_realms_are_not_asked_at_all() {
    let other = Server::start(|_, _| Reply::json(&json!({ "token": "good" }))).await;
    let port = other.addr().port();
    for realm in [
        format!("http://bot:s3cr3t@127.0.0.1:{port}/token"),
        format!("http://bot@127.0.0.1:{port}/token"),
        "http://169.254.169.254/latest/api/token".to_owned(),
        "http://[::ffff:169.254.169.254]/latest".to_owned(),
        format!("http://0.0.0.0:{port}/token"),
        "http://[fe80::1]/token".to_owned(),
        format!("gopher://127.0.0.1:{port}/token"),
        "file:///etc/passwd".to_owned(),
        "/token".to_owned(),
        String::new(),
    ] {
        let challenge = realm.clone();
        let server = Server::start(move |_, _| wants(&challenge)).await;
        for settings in [plain(server.host()), login(server.host())] {
            let client = client(settings);
            let error = client.tags(&image(server.addr(), "a"), None).await.unwrap_err();
            assert_eq!(error.code(), FailureCode::Protocol, "{realm}: {error}");
            assert!(text(&error).contains("realm"), "{error}");
            assert_eq!(client.requests(), 1, "{realm}");
        }
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn token_services_that_fail_are_named() {
    let fine = json!({ "token": "good" }).to_string();
    for (reply, code, tries) in [
        (Reply::new(401), FailureCode::Authentication, 1),
        (Reply::new(403), FailureCode::Authentication, 1),
        (Reply::new(404), FailureCode::Protocol, 1),
        (Reply::new(429), FailureCode::RateLimited, 3),
        (Reply::new(503), FailureCode::Server, 3),
        (Reply::new(302).header("location", "/elsewhere").body(fine.clone()), FailureCode::Protocol, 1),
        (Reply::new(200).body("hunter2"), FailureCode::Protocol, 1),
        (Reply::json(&json!({ "token": "" })), FailureCode::Protocol, 1),
        (Reply::json(&json!({ "token": "s3cr3t\r\nX-Evil: 1" })), FailureCode::Protocol, 1),
        (Reply::new(200).body(vec![b' '; 2 * 1024 * 1024]), FailureCode::Protocol, 1),
        (Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"token\":".to_vec()), FailureCode::Network, 3),
        (Reply::Stuck(Vec::new()), FailureCode::Network, 3),
    ] {
        let scripted = reply.clone();
        let server = with_token(move |_, _| scripted.clone()).await;
        let seconds = if matches!(reply, Reply::Stuck(_)) { 1 } else { 30 };
        let limits = Limits { request_timeout: Duration::from_secs(seconds), ..quick() };
        let client = client_with(login(server.host()), limits);
        let error = client.tags(&image(server.addr(), "a"), None).await.unwrap_err();
        assert_eq!(error.code(), code, "{reply:?}: {error}");
        assert!(!error.is_absent(), "{error}");
        assert!(text(&error).contains("/a: listing its tags"), "{error}");
        let asked = server.targets().iter().filter(|target| target.starts_with("/token")).count();
        assert_eq!(asked, tries, "{reply:?}");
        assert!(!server.targets().iter().any(|target| target.contains("elsewhere")));
    }
}

#[tokio::test]
async fn redirects_lose_the_login_when_they_leave() {
    for kind in [301, 302, 303, 307, 308] {
        let cdn = Server::start(|_, _| Reply::tags(&["from-cdn"])).await;
        let location = format!("http://{}/blob?signature=s3cr3t", cdn.addr());
        let server = Server::start(move |request, _| match (request.header("authorization"), request.path()) {
            (None, _) => Reply::new(401).header("www-authenticate", "Basic realm=\"x\""),
            (Some(_), "/v2/a/tags/list") => Reply::new(kind).header("location", "/same/host"),
            (Some(_), _) => Reply::new(kind).header("location", &location),
        })
        .await;
        assert_eq!(names(client(login(server.host())).tags(&image(server.addr(), "a"), None).await), ["from-cdn"]);
        assert_eq!(cdn.seen()[0].target, "/blob?signature=s3cr3t");
        assert_eq!(cdn.seen()[0].header("authorization"), None);
    }
}

#[tokio::test]
async fn a_host_that_was_redirected_to_cannot_send_the_login_back_or_ask_for_it() {
    let cdn = Server::start(|request, _| match request.path() {
        "/login" => Reply::new(401).header("www-authenticate", "Basic realm=\"x\""),
        path => Reply::new(302).header("location", &format!("http://127.0.0.1:{}/back", path.trim_start_matches('/'))),
    })
    .await;
    let (addr, own) = (cdn.addr(), Arc::new(std::sync::OnceLock::new()));
    let port: Arc<std::sync::OnceLock<u16>> = Arc::clone(&own);
    let server = Server::start(move |request, _| match (request.header("authorization"), request.path()) {
        (_, "/back") => Reply::tags(&["v1"]),
        (None, _) => Reply::new(401).header("www-authenticate", "Basic realm=\"x\""),
        (Some(_), "/v2/a/tags/list") => {
            Reply::new(302).header("location", &format!("http://{addr}/{}", port.get().unwrap()))
        }
        (Some(_), _) => Reply::new(302).header("location", &format!("http://{addr}/login")),
    })
    .await;
    own.set(server.addr().port()).unwrap();
    let client = client(login(server.host()));
    names(client.tags(&image(server.addr(), "a"), None).await);
    let back = server.seen().into_iter().find(|request| request.path() == "/back").unwrap();
    assert_eq!(back.header("authorization"), None);
    let error = client.tags(&image(server.addr(), "b"), None).await.unwrap_err();
    assert!(text(&error).contains("requires a login of its own"), "{error}");
    assert!(cdn.seen().iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn redirects_to_dangerous_or_no_places_are_refused() {
    for (location, reason) in [
        ("http://169.254.169.254/latest", "link-local"),
        ("http://bot:s3cr3t@127.0.0.1:1/", "user name"),
        ("file:///etc/passwd", "scheme"),
        ("http://[", "an unreadable address"),
        ("/v2/a/tags/list", "more than 5 times"),
    ] {
        let server = Server::start(move |_, _| Reply::new(307).header("location", location)).await;
        let error = client(plain(server.host())).tags(&image(server.addr(), "a"), None).await.unwrap_err();
        assert_eq!(error.code(), FailureCode::Protocol);
        assert!(text(&error).contains(reason), "{error}");
        assert!(server.seen().len() <= 6);
    }
}

#[tokio::test]
async fn a_host_that_was_redirected_to_may_give_a_token_to_everybody() {
    let elsewhere = Server::start(|request, _| match (request.path(), request.header("authorization")) {
        ("/token", None) => Reply::new(200).body(r#"{"token":"for-everybody","expires_in":300}"#),
        ("/token", Some(_)) => Reply::new(400),
        (_, Some("Bearer for-everybody")) => Reply::tags(&["v1"]),
        _ => wants(&format!("http://{}/token", request.header("host").unwrap())),
    })
    .await;
    let to = elsewhere.addr();
    let server = Server::start(move |request, _| match request.header("authorization") {
        None => Reply::new(401).header("www-authenticate", "Basic realm=\"x\""),
        Some(_) => Reply::new(307).header("location", &format!("http://{to}/v2/a/tags/list?n=1000")),
    })
    .await;
    let client = client(login(server.host()));
    for _ in 0..2 {
        assert_eq!(names(client.tags(&image(server.addr(), "a"), None).await), ["v1"]);
    }
    let seen = elsewhere.seen();
    assert!(seen.iter().all(|request| !request.header("authorization").is_some_and(|sent| sent.starts_with("Basic"))));
    assert_eq!(seen.iter().filter(|request| request.path() == "/token").count(), 1, "the token is kept");
    assert!(server.seen().iter().all(|request| request.header("authorization") != Some("Bearer for-everybody")));
}
