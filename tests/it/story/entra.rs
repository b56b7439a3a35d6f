//! The bot comes as an identity of Entra ID: its tokens serve Azure DevOps' API and Git, and nothing else is needed.

use std::fs;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::{get, post};
use landfall::demo::git_http::{GitLogin, RequestLog, router};
use serde_json::json;

use crate::support::forge_stub::{ForgeStub, Speech};
use crate::support::skip;
use crate::support::world::World;
use crate::tls::{address, certificate, front, has_openssl};

const TOKEN: &str = "eyJ0eXAiOiJKV1QifQ.eyJzdHViIjoxfQ.c2lnbmF0dXJl";
const RESOURCE: &str = "499b84ac-1321-427f-aa17-267ca6975798";

/// Azure DevOps with Git, Entra ID, and an instance's metadata service, all at one address; and how tokens were asked for.
fn azure(world: &World) -> (ForgeStub, Arc<Mutex<Vec<&'static str>>>) {
    let login = GitLogin { username: "x-access-token".to_owned(), password: TOKEN.into() };
    let git = router(&world.path("remotes"), Some(login), RequestLog::default());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let given = || (StatusCode::OK, json!({ "access_token": TOKEN, "expires_in": 3599 }).to_string());
    let (by_application, by_instance) = (Arc::clone(&asked), Arc::clone(&asked));
    let application = post(move |body: Bytes| async move {
        let form: std::collections::BTreeMap<_, _> = url::form_urlencoded::parse(&body).into_owned().collect();
        assert_eq!(form["scope"], format!("{RESOURCE}/.default"));
        let has = |key: &str, value: &str| form.get(key).is_some_and(|given| given == value);
        let how = match (has("client_secret", "s3cr3t-0f-cl1ent"), has("client_assertion", "of-the-cluster")) {
            (true, _) => "secret",
            (_, true) => "federated",
            _ => {
                let said = json!({ "error": "invalid_client", "error_description": "AADSTS7000215: hunter2" });
                return (StatusCode::UNAUTHORIZED, said.to_string());
            }
        };
        by_application.lock().unwrap().push(how);
        given()
    });
    let instance = get(move |headers: HeaderMap, uri: Uri| async move {
        assert!(headers.contains_key("metadata") && uri.query().unwrap().contains(&format!("resource={RESOURCE}")));
        by_instance.lock().unwrap().push("managed");
        given()
    });
    let stub = ForgeStub::speaking(Speech::Azure, "", |api| {
        Router::new()
            .route("/tenant-1/oauth2/v2.0/token", application)
            .route("/metadata/identity/oauth2/token", instance)
            .nest("/git", git)
            .fallback_service(api)
    });
    stub.token(TOKEN);
    (stub, asked)
}

/// A world whose bot has these keys under `entra`, and no other login.
fn world(entra: &str) -> (World, ForgeStub, Arc<Mutex<Vec<&'static str>>>) {
    let world = World::web().no_forge().start();
    let (stub, asked) = azure(&world);
    let site = stub.url();
    world.configure("    url: remotes/deploys.git\n", &format!("    url: {site}/git/deploys.git\n"));
    let forge = format!("forge: {{ kind: azure-devops, url: \"{site}\", repository: acme/deploys, entra: {entra} }}");
    world.configure("forge: { kind: none }", &forge);
    let tip = world.tip("main");
    stub.heads(move |_| Some(tip.clone()));
    world.push("acme/web", "1.3.0");
    (world, stub, asked)
}

#[test]
fn every_identity_that_azure_gives_serves_the_api_and_git() {
    let given = "{ tenantId: tenant-1, clientId: client-1, clientSecret: { env: SECRET } }";
    for (how, entra) in [("secret", given), ("federated", "{}"), ("managed", "{}")] {
        let (world, stub, asked) = world(entra);
        fs::write(world.path("token"), "of-the-cluster\n").unwrap();
        let site = stub.url();
        let variables = match how {
            "secret" => vec![("AZURE_AUTHORITY_HOST", site.as_str()), ("SECRET", "s3cr3t-0f-cl1ent")],
            "federated" => vec![
                ("AZURE_AUTHORITY_HOST", site.as_str()),
                ("AZURE_TENANT_ID", "tenant-1"),
                ("AZURE_CLIENT_ID", "client-1"),
                ("AZURE_FEDERATED_TOKEN_FILE", "token"),
            ],
            _ => vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", site.as_str())],
        };
        let ran = world.landfall_with(&["apply"], &variables).ends(0);
        assert_eq!((world.tag("web", "dev").as_str(), stub.pulls().len()), ("1.3.0", 1), "{how}: {}", ran.text());
        for secret in [TOKEN, "s3cr3t-0f-cl1ent", "of-the-cluster"] {
            assert!(!ran.text().contains(secret), "{how}: {}", ran.text());
        }
        // One for the API and one for Git, whatever was asked in between.
        assert_eq!(*asked.lock().unwrap(), [how; 2]);
        world.landfall_with(&["doctor"], &variables).ends(0);
    }
}

/// Entra ID behind a proxy of the house that opens TLS: its certificate is from an own CA, which `SSL_CERT_FILE` names for all
/// that the configuration does not name.
#[test]
fn the_certificates_of_the_environment_are_those_of_entra_id() {
    if !has_openssl() {
        return skip("openssl is not installed: the certificates of Entra ID are not tried");
    }
    let (world, stub, _) = world("{ tenantId: tenant-1, clientId: client-1, clientSecret: { env: SECRET } }");
    let folder = world.path("");
    certificate(&folder, "ca", &[]);
    let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    certificate(&folder, "localhost", &[&signed[..], &["-addext", "subjectAltName=DNS:localhost"]].concat());
    let front = world.block_on(front(&folder, "localhost", address(&stub.url())));
    let authority = format!("https://localhost:{}", front.port());
    let ca = world.path("ca.pem");
    let variables = [("AZURE_AUTHORITY_HOST", authority.as_str()), ("SECRET", "s3cr3t-0f-cl1ent")];
    let trusted = [&variables[..], &[("SSL_CERT_FILE", ca.to_str().unwrap())]].concat();
    let text = world.landfall_with(&["plan"], &variables).text();
    assert!(text.contains("Entra ID") && text.contains("certificate") && text.contains("SSL_CERT_FILE"), "{text}");
    world.landfall_with(&["apply"], &trusted).ends(0);
    assert_eq!((world.tag("web", "dev").as_str(), stub.pulls().len()), ("1.3.0", 1));
}

#[test]
fn an_identity_that_is_refused_or_incomplete_is_told() {
    let (world, stub, _) = world("{ tenantId: tenant-1, clientId: client-1, clientSecret: { env: SECRET } }");
    let site = stub.url();
    let variables = [("AZURE_AUTHORITY_HOST", site.as_str()), ("SECRET", "wr0ng-s3cr3t")];
    let ran = world.landfall_with(&["plan"], &variables).ends(4).says("Entra ID: it answered 401 (AADSTS7000215)");
    assert!(!ran.text().contains("hunter2") && !ran.text().contains("wr0ng"), "{}", ran.text());
    let entra = "entra: { tenantId: tenant-1, clientId: client-1, clientSecret: { env: SECRET } }";
    world.configure(entra, "entra: {}");
    let half = [("AZURE_CLIENT_SECRET", "x")];
    world.landfall_with(&["plan"], &half).ends(2).says("needs a tenant and a client");
    world.configure("entra: {}", "entra: {}, token: { env: GITHUB_TOKEN }");
    world.landfall(&["check"]).ends(1).says("`entra` and `token` are both set");
}
