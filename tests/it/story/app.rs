//! The bot comes as a GitHub App: its installation's tokens serve the API and Git, and nothing else is needed.

use std::fs;
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use landfall::demo::git_http::{GitLogin, RequestLog, router};
use serde_json::{Value, json};

use crate::support::forge_stub::{ForgeStub, TOKEN};
use crate::support::world::World;

/// What the app's endpoints saw and how they answer.
#[derive(Default)]
struct Seen {
    claims: Vec<Value>,
    bodies: Vec<Value>,
    /// Whether the app is installed on the repository.
    missing: bool,
    /// What the installation is allowed.
    permissions: Value,
}

/// A GitHub whose only accepted token is the one that the app is given, with Git at the same address.
fn github(world: &World, key: &Arc<KeyPair>, seen: &Arc<Mutex<Seen>>) -> ForgeStub {
    let login = GitLogin { username: "x-access-token".to_owned(), password: TOKEN.into() };
    let git = router(&world.path("remotes"), Some(login), RequestLog::default());
    let verified = |key: &KeyPair, headers: &HeaderMap| -> Option<Value> {
        let statement = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
        let (signed, signature) = statement.rsplit_once('.')?;
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split('.').nth(1)?).ok()?).ok()
    };
    // Long past, and far from the clock of the bot.
    let date = [("date", "Mon, 02 Mar 2020 10:00:00 GMT")];
    let (of_installation, of_token) = ((Arc::clone(key), Arc::clone(seen)), (Arc::clone(key), Arc::clone(seen)));
    let installation = get(move |headers: HeaderMap| async move {
        let (key, seen) = of_installation;
        match verified(&key, &headers) {
            None => {
                (StatusCode::UNAUTHORIZED, json!({ "message": "A JSON web token could not be decoded" }).to_string())
            }
            Some(_) if seen.lock().unwrap().missing => {
                (StatusCode::NOT_FOUND, json!({ "message": "Not Found" }).to_string())
            }
            Some(claims) => {
                seen.lock().unwrap().claims.push(claims);
                (StatusCode::OK, json!({ "id": 7 }).to_string())
            }
        }
    });
    let token = post(move |headers: HeaderMap, body: Bytes| async move {
        let (key, seen) = of_token;
        if verified(&key, &headers).is_none() {
            return (StatusCode::UNAUTHORIZED, String::new());
        }
        let mut seen = seen.lock().unwrap();
        seen.bodies.push(serde_json::from_slice(&body).unwrap());
        let mut token = json!({ "token": TOKEN, "expires_at": "2020-03-02T11:00:00Z" });
        if !seen.permissions.is_null() {
            token["permissions"] = seen.permissions.clone();
        }
        (StatusCode::CREATED, token.to_string())
    });
    ForgeStub::start_around("/api/v3", |api| {
        Router::new()
            .route("/api/v3/meta", get(move || std::future::ready((date, "{}").into_response())))
            .route("/api/v3/repos/acme/deploys/installation", installation)
            .route("/api/v3/app/installations/7/access_tokens", token)
            .nest("/git", git)
            .fallback_service(api)
    })
}

fn pem(key: &KeyPair) -> String {
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
}

/// The bot comes as an app, with this key, and Git has no credentials of its own.
fn as_app(world: &World, stub: &ForgeStub, key: &str) {
    fs::write(world.path("app.pem"), key).unwrap();
    let site = stub.url().replace("/api/v3", "");
    world.configure("    url: remotes/deploys.git\n", &format!("    url: {site}/git/deploys.git\n"));
    let forge = format!(
        "forge: {{ kind: github, apiUrl: \"{}\", repository: acme/deploys, app: {{ id: 12345, privateKey: {{ file: app.pem }} }} }}",
        stub.url()
    );
    world.configure("forge: { kind: none }", &forge);
}

#[test]
fn its_tokens_serve_the_api_and_git_whatever_the_clock_says() {
    let world = World::web().no_forge().start();
    let (key, seen) = (Arc::new(KeyPair::generate(KeySize::Rsa2048).unwrap()), Arc::new(Mutex::default()));
    let stub = github(&world, &key, &seen);
    as_app(&world, &stub, &pem(&key));
    let tip = world.tip("main");
    stub.heads(move |_| Some(tip.clone()));
    world.push("acme/web", "1.3.0");
    let ran = world.landfall(&["apply"]).ends(0);
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    assert_eq!(stub.pulls().len(), 1, "{}", ran.text());
    assert!(!ran.text().contains(TOKEN), "{}", ran.text());
    let seen = seen.lock().unwrap();
    // One for the API and one for Git, whatever was asked in between; dated by GitHub's clock.
    assert_eq!(seen.bodies, vec![json!({ "repositories": ["deploys"] }); 2]);
    for claims in &seen.claims {
        let (issued, ends) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
        assert_eq!((claims["iss"].as_str(), ends - issued), (Some("12345"), 600), "{claims}");
        assert_eq!(issued, 1_583_143_200 - 60, "{claims}");
    }
    drop(seen);
    world.landfall(&["doctor"]).ends(0);
}

#[test]
fn an_app_that_is_not_installed_or_has_another_key_is_told() {
    let world = World::web().no_forge().start();
    let (key, seen) = (Arc::new(KeyPair::generate(KeySize::Rsa2048).unwrap()), Arc::new(Mutex::default()));
    let stub = github(&world, &key, &seen);
    let other = KeyPair::generate(KeySize::Rsa2048).unwrap();
    as_app(&world, &stub, &pem(&other));
    world.landfall(&["plan"]).ends(4).says("check the app's id and private key");
    fs::write(world.path("app.pem"), pem(&key)).unwrap();
    seen.lock().unwrap().missing = true;
    world.landfall(&["plan"]).ends(4).says("install the app on the repository");
    fs::write(world.path("app.pem"), "hunter2").unwrap();
    let ran = world.landfall(&["plan"]).ends(2).says("`privateKey` is not an RSA key");
    assert!(!ran.text().contains("hunter2"), "{}", ran.text());
}

#[test]
fn a_permission_that_the_installation_lacks_is_told_by_its_name() {
    let world = World::web().no_forge().start();
    let (key, seen) = (Arc::new(KeyPair::generate(KeySize::Rsa2048).unwrap()), Arc::new(Mutex::<Seen>::default()));
    let stub = github(&world, &key, &seen);
    as_app(&world, &stub, &pem(&key));
    world.push("acme/web", "1.3.0");
    let all = json!({ "contents": "write", "pull_requests": "write", "metadata": "read", "checks": "read", "statuses": "write", "deployments": "write" });
    for (without, code, says) in [
        ("", 0, "0 open pull requests of ours"),
        ("pull_requests", 4, "the app's installation lacks the permission pull_requests: write"),
        ("statuses", 0, "the app does without statuses: write (statuses of landings, and those that merges wait for)"),
        ("checks", 0, "the app does without checks: read (check runs, also those that merges wait for)"),
    ] {
        let mut permissions = all.clone();
        permissions.as_object_mut().unwrap().remove(without);
        seen.lock().unwrap().permissions = permissions;
        let ran = world.landfall(&["doctor"]).ends(code).says(says);
        assert_eq!(ran.text().contains("does without"), says.contains("does without"), "{}", ran.text());
    }
}

#[test]
fn what_is_said_of_landings_goes_with_its_tokens() {
    let world = World::web().no_forge().start();
    let (key, seen) = (Arc::new(KeyPair::generate(KeySize::Rsa2048).unwrap()), Arc::new(Mutex::<Seen>::default()));
    let stub = github(&world, &key, &seen);
    as_app(&world, &stub, &pem(&key));
    world.configure(
        "repositories:\n",
        "notify:\n  - { name: hub, kind: github }\n  - { name: marks, kind: forge }\nrepositories:\n",
    );
    let ran = world.landfall(&["doctor", "--notify"]).ends(0);
    assert_eq!(ran.text().matches("accepted the test message").count(), 2, "{}", ran.text());
    let tried = stub.asked().iter().filter(|asked| asked.starts_with("POST statuses/00000")).count();
    assert_eq!(tried, 2);
    stub.lacks("statuses");
    let ran = world.landfall(&["doctor", "--notify"]).ends(4).says("it requires statuses=write");
    assert!(!ran.text().contains(TOKEN), "{}", ran.text());
    stub.lacks("deployments");
    world.landfall(&["doctor", "--notify", "hub"]).ends(4).says("it requires deployments=write");
    world.landfall(&["doctor", "--notify", "marks"]).ends(0);
}
