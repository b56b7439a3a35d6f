//! `landfall github-app`: from one link to an app, its files and the configuration for it, with a browser played by hand.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use axum::Router;
use axum::extract::Path as Part;
use axum::http::StatusCode;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::github_prism;
use crate::support::process::{Ran, Running, landfall};
use crate::support::server::Server;
use crate::support::trip::proxy;

const CODE: &str = "a180b1a3d263c81bc6441d7b990bae27d4c10679";
const WEBHOOK_SECRET: &str = "hook-S3cret-of-the-app-0123456789";

fn pem() -> String {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
}

/// What GitHub answers for a code, in turn; then 404.
type Answers = Arc<Mutex<Vec<(u16, Value)>>>;

/// A GitHub Enterprise Server, as far as apps come to be there.
fn github(answers: &Answers) -> Server {
    let answers = Arc::clone(answers);
    let conversion = post(move |Part(code): Part<String>| async move {
        let gone = (404, json!({ "message": format!("Not Found: {code}") }));
        let next = answers.lock().unwrap();
        let (status, body) = if code == CODE { next.first().cloned().unwrap_or(gone) } else { gone };
        drop(next);
        let mut rest = answers.lock().unwrap();
        if !rest.is_empty() {
            rest.remove(0);
        }
        (StatusCode::from_u16(status).unwrap(), body.to_string())
    });
    let account = get(|Part(name): Part<String>| async move {
        assert_eq!(name, "landfall-acme[bot]");
        json!({ "id": 41_898_282, "login": name }).to_string()
    });
    let routes = Router::new()
        .route("/api/v3/app-manifests/{code}/conversions", conversion)
        .route("/api/v3/users/{name}", account);
    Server::start(routes)
}

/// The app as GitHub describes it.
fn app(origin: &str, pem: &str) -> Value {
    json!({
        "id": 123_456, "slug": "landfall-acme", "html_url": format!("{origin}/github-apps/landfall-acme"),
        "owner": { "login": "acme" }, "pem": pem, "webhook_secret": WEBHOOK_SECRET, "client_secret": "client-S3cret",
    })
}

/// Follows a link as a browser does: status and document.
fn follow(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

/// The program, waiting for the app: it, where its page is, and the page's path.
fn started(folder: &Path, origin: &str, more: &[&str]) -> (Running, String, String) {
    let args = ["github-app", "--org", "acme", "--repository", "acme/deploys", "--url", origin];
    let mut program = landfall(folder, &[&args[..], more].concat());
    program.env("NO_PROXY", "127.0.0.1");
    let mut running = Running::start(program, folder);
    running.until_said("Open this link");
    running.until_said("\n\n");
    let printed = running.printed();
    let (_, link) = printed.split_once("http://").unwrap();
    let (address, path) = link.lines().next().unwrap().split_once('/').unwrap();
    (running, address.to_owned(), format!("/{path}"))
}

/// What a form's field has, unescaped.
fn field(page: &str, before: &str) -> String {
    let (_, rest) = page.split_once(before).unwrap_or_else(|| panic!("no {before} in {page}"));
    rest.split('"').next().unwrap().replace("&quot;", "\"").replace("&amp;", "&")
}

fn no_secret(ran: &Ran, pem: &str) {
    for secret in [&pem[30..60], WEBHOOK_SECRET, "client-S3cret", CODE] {
        assert!(!ran.text().contains(secret), "{}", ran.text());
    }
}

#[test]
fn a_link_becomes_an_app_with_its_files_and_configuration() {
    let (folder, pem, answers) = (tempfile::tempdir().unwrap(), pem(), Answers::default());
    let github = github(&answers);
    // The first answer is lost on GitHub's side: the page can be loaded again.
    let lost = (502, json!({ "message": "Bad Gateway" }));
    answers.lock().unwrap().extend([lost, (201, app(&github.origin, &pem))]);
    let webhook = "https://landfall.example.com/webhooks/deploys";
    let (mut running, address, path) = started(folder.path(), &github.origin, &["--webhook", webhook]);
    let (status, page) = follow(&address, &path);
    assert_eq!(status, 200);
    let form = field(&page, "action=\"");
    let (target, state) = form.split_once("?state=").unwrap();
    assert_eq!(target, format!("{}/organizations/acme/settings/apps/new", github.origin));
    let manifest: Value = serde_json::from_str(&field(&page, "name=\"manifest\" value=\"")).unwrap();
    assert_eq!(manifest["name"], "landfall-acme");
    assert_eq!(manifest["redirect_url"], format!("http://{address}/created"));
    assert_eq!(manifest["hook_attributes"], json!({ "url": webhook, "active": true }));
    assert_eq!(manifest["default_permissions"]["contents"], "write");
    assert_eq!(manifest["public"], false);
    // Who guesses, or comes from another link, gets nowhere.
    assert_eq!(follow(&address, "/").0, 404);
    for state in ["", "0", &"0".repeat(state.len())] {
        assert_eq!(follow(&address, &format!("/created?code={CODE}&state={state}")).0, 400);
    }
    assert_eq!(answers.lock().unwrap().len(), 2, "nothing was asked of GitHub");
    let back = format!("/created?code={CODE}&state={state}");
    assert_eq!(follow(&address, &back).0, 502);
    running.until_said("next: load the page again");
    let (status, page) = follow(&address, &back);
    assert_eq!((status, page.contains("/github-apps/landfall-acme/installations/new")), (200, true), "{page}");
    let ran = running.finish().ends(0);
    no_secret(&ran, &pem);
    for (file, content) in [("github-app.pem", pem.trim_end()), ("github-app.webhook-secret", WEBHOOK_SECRET)] {
        let path = folder.path().join(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{content}\n"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    // What it prints can be used as it is.
    let (_, rest) = ran.stdout.split_once("landfall.yaml:\n\n").unwrap();
    let (configuration, _) = rest.split_once("\n\n").unwrap();
    fs::write(folder.path().join("landfall.yaml"), format!("{configuration}\n")).unwrap();
    Ran::of(landfall(folder.path(), &["check"]), "").ends(0);
    for line in [
        "author: { name: \"landfall-acme[bot]\", email: \"41898282+landfall-acme[bot]@users.noreply.127.0.0.1\" }",
        "app: { id: 123456, privateKey: { file: \"github-app.pem\" } }",
        "commits: api",
        "- { kind: github, name: \"deploys\", secret: { file: \"github-app.webhook-secret\" } }",
    ] {
        assert!(configuration.contains(line), "{configuration}");
    }
    assert!(ran.stdout.contains("/github-apps/landfall-acme/installations/new"), "{}", ran.text());
}

#[test]
fn what_is_in_the_way_stays_and_what_is_not_used_goes() {
    let (folder, answers) = (tempfile::tempdir().unwrap(), Answers::default());
    let github = github(&answers);
    let run = |args: &[&str]| {
        let args = [&["github-app", "--org", "acme", "--url", github.origin.as_str()], args].concat();
        Ran::of(landfall(folder.path(), &args), "")
    };
    fs::write(folder.path().join("github-app.pem"), "mine").unwrap();
    run(&[]).ends(2).says("cannot create github-app.pem").says("nothing is overwritten");
    assert_eq!(fs::read_to_string(folder.path().join("github-app.pem")).unwrap(), "mine");
    fs::write(folder.path().join("hook"), "mine").unwrap();
    let to_hook = ["--private-key", "key", "--webhook", "https://x.example/webhooks/a", "--webhook-secret", "hook"];
    run(&to_hook).ends(2).says("cannot create hook");
    run(&["--private-key", "key", "--timeout", "1s"]).ends(2).says("no app was created in time");
    assert!(!folder.path().join("key").exists());
    run(&["--private-key", "key", "--listen", "0.0.0.0:0"]).ends(2).says("loopback");
    for (args, says) in [
        (["--webhook", "https://x.example/hooks/a"], "write https://HOST/webhooks/NAME"),
        (["--webhook", "http://x.example/webhooks/a"], "write https://HOST/webhooks/NAME"),
        (["--repository", "deploys"], "write OWNER/NAME"),
        (["--repository", "https://github.com/acme/deploys"], "write OWNER/NAME"),
        (["--repository", "other/deploys"], "the app would belong to acme, and the repository belongs to other"),
        (["--private-key", "none/key"], "name a file in a folder that exists"),
    ] {
        run(&args).ends(2).says(says);
    }
    for site in ["github.com", "https://github.com/acme", "ftp://github.com"] {
        let args = ["github-app", "--url", site, "--private-key", "key"];
        Ran::of(landfall(folder.path(), &args), "").ends(2).says("write https://github.com or https://HOST");
    }
    let odd = ["github-app", "--org", "../x", "--private-key", "key"];
    Ran::of(landfall(folder.path(), &odd), "").ends(2).says("no organization has this name");
    assert!(!folder.path().join("key").exists());
}

#[test]
fn codes_and_answers_that_are_none_end_it_without_a_file() {
    let (pem, answers) = (pem(), Answers::default());
    let github = github(&answers);
    let with = |key: &str, value: Value| {
        let mut app = app(&github.origin, &pem);
        app[key] = value;
        app
    };
    for (code, answer, says) in [
        (CODE, None, "GitHub does not take the code (it answered 404: Not Found: ***)"),
        ("..%2F..%2Fx", None, "GitHub does not take the code (it is none)"),
        (CODE, Some(json!([1, 2])), "it has another shape"),
        (CODE, Some(with("pem", json!("hunter2-hunter2-hunter2-hunter2"))), "its private key is no RSA key"),
        (CODE, Some(with("html_url", json!("https://evil.example/x"))), "its page is on another host"),
        (CODE, Some(with("slug", json!("a/../b"))), "its name or owner is none"),
        (CODE, Some(with("id", json!("x"))), "it has another shape"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        answers.lock().unwrap().clear();
        answers.lock().unwrap().extend(answer.map(|answer| (201, answer)));
        let (running, address, path) = started(folder.path(), &github.origin, &[]);
        let form = field(&follow(&address, &path).1, "action=\"");
        let (_, state) = form.split_once("?state=").unwrap();
        let (status, page) = follow(&address, &format!("/created?code={code}&state={state}"));
        assert_eq!(status, 400, "{page}");
        let ran = running.finish().ends(2).says(says).says("next:");
        no_secret(&ran, &pem);
        assert!(!ran.text().contains("hunter2") && !page.contains("hunter2"), "{}", ran.text());
        assert!(!folder.path().join("github-app.pem").exists());
    }
}

#[test]
fn the_exchange_is_as_github_describes_it() {
    let Some(stub) = github_prism::stub() else { return };
    let (folder, pem) = (tempfile::tempdir().unwrap(), pem());
    let github = Server::start(Router::new().nest("/api/v3", proxy(stub.url())));
    stub.has_app(&app(&github.origin, &pem));
    let (running, address, path) = started(folder.path(), &github.origin, &[]);
    let form = field(&follow(&address, &path).1, "action=\"");
    let (_, state) = form.split_once("?state=").unwrap();
    let (status, page) = follow(&address, &format!("/created?code={}&state={state}", stub.owner()));
    assert_eq!(status, 200, "{page}");
    running.finish().ends(0).says("landfall-acme was created");
    assert_eq!(fs::read_to_string(folder.path().join("github-app.pem")).unwrap().trim_end(), pem.trim_end());
}
