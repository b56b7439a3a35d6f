//! Logins that have to be found or fetched first, through the program itself: Docker's files, credential helpers, and clouds.
//!
//! The clouds' services are played after their documentation (the sources are named in `src/registry/login`).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use landfall::demo::kube::{Effect, KubeStub, Quirk};
use serde_json::json;

use super::server::{Reply, Request, Server};
use crate::support::process::{Ran, landfall, tree};

const NO_SUCH: u16 = 404;

pub(super) fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

/// A registry that lets in who shows this header, and asks others for `Basic`.
pub(super) fn registry(request: &Request, wanted: &str) -> Reply {
    match request.header("authorization") {
        Some(shown) if shown == wanted => Reply::tags(&["1.0.0"]),
        _ => Reply::new(401).header("www-authenticate", "Basic realm=\"x\""),
    }
}

/// A folder with a configuration for the registry at this server, with these credentials.
pub(super) fn folder(server: &Server, credentials: &str) -> tempfile::TempDir {
    let config = format!(
        "repositories:\n  - {{ name: deploys, url: /nowhere }}\nregistries:\n  - host: \"{}\"\n    plainHttp: true\n    credentials: {credentials}\n",
        server.host()
    );
    tree(&[("landfall.yaml", &config)])
}

/// Runs `landfall tags` for a repository there, with this in its environment.
pub(super) async fn tags(
    server: &Server,
    folder: &tempfile::TempDir,
    repository: &str,
    environment: &[(&str, &str)],
) -> Ran {
    let image = format!("{}/{repository}", server.host());
    let mut command = landfall(folder.path(), &["tags", &image, "--semver", "*", "-o", "json"]);
    command.envs(environment.iter().copied());
    tokio::task::spawn_blocking(move || Ran::of(command, "")).await.unwrap()
}

/// The same, and it is let in.
async fn lets_in(server: &Server, folder: &tempfile::TempDir, environment: &[(&str, &str)]) {
    tags(server, folder, "a", environment).await.ends(0).says("1.0.0");
}

pub(super) fn docker_file(folder: &tempfile::TempDir, text: &serde_json::Value) {
    fs::write(folder.path().join("config.json"), text.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_docker_configuration_all_entries_that_match_are_tried() {
    let server = Server::start(|request, _| registry(request, &basic("ann", "right"))).await;
    let folder = folder(&server, "{ dockerConfig: { file: config.json } }");
    let (host, entry) =
        (server.host(), |username: &str, password: &str| json!({ "username": username, "password": password }));
    docker_file(
        &folder,
        &json!({ "auths": {
            format!("{host}/a"): entry("bob", "wrong"),
            format!("http://{host}"): entry("ann", "right"),
            format!("{host}/b"): entry("eve", "other"),
        }}),
    );
    lets_in(&server, &folder, &[]).await;
    let shown: Vec<_> = server.seen().iter().filter_map(|r| r.header("authorization").map(str::to_owned)).collect();
    assert_eq!(shown, [basic("bob", "wrong"), basic("ann", "right")]);

    docker_file(&folder, &json!({ "auths": { format!("{host}/b"): entry("ann", "right") } }));
    tags(&server, &folder, "a", &[]).await.ends(4).says("credentials");
    docker_file(&folder, &json!({ "auths": { host: { "auth": "hunter2" } } }));
    tags(&server, &folder, "a", &[]).await.ends(4).says("`auth`").says("credentials");
    docker_file(&folder, &json!([]));
    tags(&server, &folder, "a", &[]).await.ends(2).says("line 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_configuration_serves_registries_that_have_no_credentials_of_their_own() {
    let server = Server::start(|request, _| registry(request, &basic("ann", "right"))).await;
    let host = server.host();
    let config = format!(
        "repositories:\n  - {{ name: deploys, url: /nowhere }}\ndockerConfig: {{ file: config.json }}\nregistries:\n  - {{ host: \"{host}\", plainHttp: true }}\n"
    );
    let folder = tree(&[("landfall.yaml", &config)]);
    docker_file(&folder, &json!({ "auths": { host: { "username": "ann", "password": "right" } } }));
    lets_in(&server, &folder, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_token_is_exchanged_and_a_registry_token_is_not() {
    let server = Server::start(|request, _| {
        let realm = format!("http://{}/token", request.header("host").unwrap());
        match (request.method.as_str(), request.path(), request.header("authorization")) {
            ("POST", "/token", None)
                if request.field("grant_type").as_deref() == Some("refresh_token")
                    && request.field("refresh_token").as_deref() == Some("idt")
                    && request.field("service").as_deref() == Some("s")
                    && request.field("scope").as_deref() == Some("repository:a:pull") =>
            {
                Reply::json(&json!({ "access_token": "good", "expires_in": 300 }))
            }
            (_, "/token", _) => Reply::new(401),
            (_, _, Some("Bearer good" | "Bearer ready")) => Reply::tags(&["1.0.0"]),
            _ => Reply::new(401).header("www-authenticate", &format!("Bearer realm=\"{realm}\",service=\"s\"")),
        }
    })
    .await;
    let folder = folder(&server, "{ dockerConfig: { file: config.json } }");
    for entry in [json!({ "identitytoken": "idt" }), json!({ "registrytoken": "ready" })] {
        docker_file(&folder, &json!({ "auths": { server.host(): entry } }));
        lets_in(&server, &folder, &[]).await;
    }
    let exchanged = server.seen().iter().filter(|request| request.method == "POST").count();
    assert_eq!(exchanged, 1);
}

pub(super) fn helper(folder: &tempfile::TempDir, script: &str) {
    let path = folder.path().join("bin/docker-credential-test");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_helper_is_asked_once_and_shown_nothing_of_ours() {
    let server = Server::start(|request, _| registry(request, &basic("ann", "right"))).await;
    let folder = folder(&server, "{ helper: test }");
    let answer = r#"echo "$(cat) $1 ${OTHER_SECRET:-none} $AWS_REGION" >> asked; echo '{"ServerURL":"x","Username":"ann","Secret":"right"}'"#;
    helper(&folder, answer);
    lets_in(&server, &folder, &[("OTHER_SECRET", "hunter2"), ("AWS_REGION", "eu-1")]).await;
    let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
    assert_eq!(asked, format!("{} get none eu-1\n", server.host()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_knows_nothing_fails_or_talks_nonsense_is_told_without_its_words() {
    let server = Server::start(|request, _| match request.path() {
        "/v2/open/tags/list" => Reply::tags(&["1.0.0"]),
        _ => registry(request, "nobody"),
    })
    .await;
    let folder = folder(&server, "{ helper: test }");
    helper(&folder, "echo 'credentials not found in native keychain'; exit 1");
    tags(&server, &folder, "open", &[]).await.ends(0);
    tags(&server, &folder, "a", &[]).await.ends(4).says("docker-credential-test has no credentials for it");
    for (script, said) in [
        ("echo hunter2; echo hunter2 >&2; exit 1", "docker-credential-test failed"),
        ("echo hunter2", "printed something else"),
        ("while :; do echo hunter2hunter2hunter2; done", "too much output"),
    ] {
        helper(&folder, script);
        tags(&server, &folder, "a", &[]).await.ends(4).says(said);
    }
    fs::remove_file(folder.path().join("bin/docker-credential-test")).unwrap();
    tags(&server, &folder, "a", &[]).await.ends(4).says("cannot be started");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_fails_hides_neither_the_other_entries_nor_what_is_open_to_all() {
    let server = Server::start(|request, _| {
        let realm = format!("http://{}/token", request.header("host").unwrap());
        match (request.path(), request.header("authorization")) {
            ("/token", None) => Reply::json(&json!({ "token": "everybody" })),
            ("/v2/public/tags/list", Some("Bearer everybody")) => Reply::tags(&["1.0.0"]),
            ("/v2/public/tags/list", _) => {
                Reply::new(401).header("www-authenticate", &format!("Bearer realm=\"{realm}\",service=\"s\""))
            }
            _ => registry(request, &basic("ann", "right")),
        }
    })
    .await;
    let folder = folder(&server, "{ dockerConfig: { file: config.json } }");
    let host = server.host();
    let pair = json!({ "username": "ann", "password": "right" });
    docker_file(&folder, &json!({ "credsStore": "desktop", "auths": { format!("{host}/a"): pair } }));
    tags(&server, &folder, "a", &[]).await.ends(0).says("1.0.0").says("docker-credential-desktop cannot be started");
    tags(&server, &folder, "public", &[]).await.ends(0).says("1.0.0");
    tags(&server, &folder, "b", &[]).await.ends(4).says("echo").says("docker-credential-desktop get");
}

const ECR_TOKEN: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";

/// ECR's API as `GetAuthorizationToken` documents it: who signs with this key gets a password.
fn ecr(request: &Request, key: &str) -> Reply {
    let signed = request.header("authorization").is_some_and(|shown| {
        shown.starts_with(&format!("AWS4-HMAC-SHA256 Credential={key}/"))
            && shown.contains("/eu-central-1/ecr/aws4_request")
    });
    if request.header("x-amz-target") != Some(ECR_TOKEN) || request.body != "{}" {
        return Reply::new(NO_SUCH);
    }
    if !signed {
        let body = json!({ "__type": "com.amazon#UnrecognizedClientException", "message": "hunter2" });
        return Reply::new(400).body(body.to_string());
    }
    let token = STANDARD.encode("AWS:pw");
    Reply::json(
        &json!({ "authorizationData": [{ "authorizationToken": token, "expiresAt": 4e9, "proxyEndpoint": "x" }] }),
    )
}

/// A registry at ECR together with its API and the services that say who the bot is.
pub(super) fn aws(request: &Request) -> Reply {
    let temporary = json!({ "AccessKeyId": "ASIATEMP", "SecretAccessKey": "s3cr3t", "Token": "t", "Expiration": "2100-01-01T00:00:00Z" });
    let session = request.header("x-aws-ec2-metadata-token") == Some("session");
    match (request.method.as_str(), request.path()) {
        ("POST", "/ecr/") => match request.header("x-amz-security-token") {
            Some("t") => ecr(request, "ASIATEMP"),
            _ => ecr(request, "AKIASTATIC"),
        },
        ("POST", "/sts/") if request.field("WebIdentityToken").as_deref() == Some("jwt") => {
            assert_eq!(request.field("RoleArn").as_deref(), Some("arn:aws:iam::1:role/pull"));
            Reply::new(200).body(
                "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                 <AccessKeyId>ASIATEMP</AccessKeyId><SecretAccessKey>s3cr3t</SecretAccessKey><SessionToken>t</SessionToken>\
                 <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
            )
        }
        ("POST", "/sts/") => {
            Reply::new(400).body("<ErrorResponse><Error><Code>ExpiredTokenException</Code><Message>hunter2</Message></Error></ErrorResponse>")
        }
        ("GET", "/container") if request.header("authorization") == Some("agent-token") => Reply::json(&temporary),
        ("PUT", "/latest/api/token") => Reply::new(200).body("session"),
        ("GET", "/latest/meta-data/iam/security-credentials/") if session => Reply::new(200).body("node-role\n"),
        ("GET", "/latest/meta-data/iam/security-credentials/node-role") if session => Reply::json(&temporary),
        ("GET", path) if path.starts_with("/v2/") => registry(request, &basic("AWS", "pw")),
        _ => Reply::new(NO_SUCH),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ecr_is_logged_in_to_by_every_identity_that_aws_gives() {
    let server = Server::start(|request, _| aws(request)).await;
    let own = format!("http://{}", server.host());
    let (ecr, sts, container) = (format!("{own}/ecr/"), format!("{own}/sts/"), format!("{own}/container"));
    let base = [("AWS_ENDPOINT_URL_ECR", ecr.as_str()), ("AWS_ENDPOINT_URL_STS", sts.as_str())];
    let ambient = folder(&server, "{ aws: { region: eu-central-1 } }");
    fs::write(ambient.path().join("token"), "jwt\n").unwrap();
    fs::write(ambient.path().join("agent"), "agent-token\n").unwrap();
    let identities: [&[(&str, &str)]; 4] = [
        &[("AWS_ACCESS_KEY_ID", "AKIASTATIC"), ("AWS_SECRET_ACCESS_KEY", "s3cr3t")],
        &[("AWS_ROLE_ARN", "arn:aws:iam::1:role/pull"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "token")],
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "agent")],
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &own)],
    ];
    for identity in identities {
        lets_in(&server, &ambient, &[&base, identity].concat()).await;
    }
    let given =
        folder(&server, "{ aws: { region: eu-central-1, accessKeyId: { env: ID }, secretAccessKey: { env: KEY } } }");
    lets_in(&server, &given, &[&base[..], &[("ID", "AKIASTATIC"), ("KEY", "s3cr3t")]].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_refuses_is_told_by_its_code_with_what_is_needed() {
    let server = Server::start(|request, _| aws(request)).await;
    let own = format!("http://{}", server.host());
    let base = [("AWS_ENDPOINT_URL_ECR", format!("{own}/ecr/")), ("AWS_ENDPOINT_URL_STS", format!("{own}/sts/"))];
    let base: Vec<(&str, &str)> = base.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let folder = folder(&server, "{ aws: { region: eu-central-1 } }");
    fs::write(folder.path().join("token"), "old").unwrap();
    for (identity, said) in [
        (
            &[("AWS_ACCESS_KEY_ID", "AKIAWRONG"), ("AWS_SECRET_ACCESS_KEY", "s3cr3t")][..],
            "(UnrecognizedClientException)",
        ),
        (&[("AWS_ACCESS_KEY_ID", "AKIAWRONG"), ("AWS_SECRET_ACCESS_KEY", "s3cr3t")], "`ecr:GetAuthorizationToken`"),
        (
            &[("AWS_ROLE_ARN", "arn:aws:iam::1:role/pull"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "token")],
            "(ExpiredTokenException)",
        ),
        (&[("AWS_ROLE_ARN", "arn:aws:iam::1:role/pull"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "gone")], "cannot be read"),
    ] {
        tags(&server, &folder, "a", &[&base[..], identity].concat()).await.ends(4).says(said);
    }
    let elsewhere = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://203.0.113.9/x")];
    tags(&server, &folder, "a", &elsewhere).await.ends(2).says("plain http to another host");
    let nowhere = [("AWS_EC2_METADATA_DISABLED", "true")];
    tags(&server, &folder, "a", &nowhere).await.ends(2).says("no AWS identity");
}

/// A registry of Google's together with the services that give tokens.
pub(super) fn google(request: &Request) -> Reply {
    let token =
        |token: &str| Reply::json(&json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" }));
    match (request.method.as_str(), request.path()) {
        ("GET", "/computeMetadata/v1/instance/service-accounts/default/token")
            if request.header("metadata-flavor") == Some("Google") =>
        {
            token("ya29")
        }
        ("POST", "/oauth") => match request.field("grant_type").as_deref() {
            Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
                let assertion = request.field("assertion").unwrap();
                let parts: Vec<&str> = assertion.split('.').collect();
                let read = |part: &str| {
                    serde_json::from_slice::<serde_json::Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
                };
                assert_eq!(
                    (read(parts[0])["alg"].as_str(), read(parts[0])["kid"].as_str()),
                    (Some("RS256"), Some("k1"))
                );
                assert_eq!(read(parts[1])["iss"], "puller@acme.iam.gserviceaccount.com");
                let signed = format!("{}.{}", parts[0], parts[1]);
                match verifies(&signed, &URL_SAFE_NO_PAD.decode(parts[2]).unwrap()) {
                    true => token("ya29"),
                    false => Reply::new(400)
                        .body(json!({ "error": "invalid_grant", "error_description": "hunter2" }).to_string()),
                }
            }
            Some("urn:ietf:params:oauth:grant-type:token-exchange") => {
                assert_eq!(request.field("subject_token").as_deref(), Some("jwt"));
                assert_eq!(request.field("audience").as_deref(), Some("//iam.googleapis.com/pool"));
                token("federated")
            }
            Some("refresh_token") if request.field("refresh_token").as_deref() == Some("s3cr3t") => token("ya29"),
            _ => Reply::new(400),
        },
        ("POST", "/impersonate") if request.header("authorization") == Some("Bearer federated") => {
            Reply::json(&json!({ "accessToken": "ya29", "expireTime": "2100-01-01T00:00:00Z" }))
        }
        ("GET", path) if path.starts_with("/v2/") => registry(request, &basic("oauth2accesstoken", "ya29")),
        _ => Reply::new(NO_SUCH),
    }
}

/// A key pair of this run.
fn key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate(KeySize::Rsa2048).unwrap())
}

fn private_key() -> String {
    pem(key())
}

pub(super) fn pem(key: &KeyPair) -> String {
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
}

fn verifies(signed: &str, signature: &[u8]) -> bool {
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key().public_key().as_ref());
    public.verify(signed.as_bytes(), signature).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_registries_are_logged_in_to_by_every_identity_that_google_gives() {
    let server = Server::start(|request, _| google(request)).await;
    let (host, own) = (server.host(), format!("http://{}", server.host()));
    let ambient = folder(&server, "{ google: {} }");
    lets_in(&server, &ambient, &[("GCE_METADATA_HOST", &host)]).await;

    let account = json!({
        "type": "service_account", "client_email": "puller@acme.iam.gserviceaccount.com", "private_key_id": "k1",
        "private_key": private_key(), "token_uri": format!("{own}/oauth"),
    });
    let federation = json!({
        "type": "external_account", "audience": "//iam.googleapis.com/pool", "token_url": format!("{own}/oauth"),
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "service_account_impersonation_url": format!("{own}/impersonate"),
        "credential_source": { "file": "token", "format": { "type": "json", "subject_token_field_name": "id_token" } },
    });
    let user = json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "s3cr3t", "token_uri": format!("{own}/oauth"),
    });
    let given = folder(&server, "{ google: { credentials: { file: google.json } } }");
    for text in [account, federation, user] {
        for folder in [&ambient, &given] {
            fs::write(folder.path().join("google.json"), text.to_string()).unwrap();
            fs::write(folder.path().join("token"), r#"{"id_token":"jwt"}"#).unwrap();
            lets_in(&server, folder, &[("GOOGLE_APPLICATION_CREDENTIALS", "google.json")]).await;
        }
    }
    for (text, said) in [
        ("hunter2", "not what they should be"),
        (r#"{"type":"gdch_service_account"}"#, "not supported"),
        (r#"{"type":"service_account","client_email":"x","private_key":"hunter2"}"#, "not an RSA key"),
    ] {
        fs::write(given.path().join("google.json"), text).unwrap();
        tags(&server, &given, "a", &[]).await.ends(2).says(said);
    }
}

/// A registry of Azure's together with Entra ID and the services of an instance.
pub(super) fn azure(request: &Request) -> Reply {
    let token = || Reply::json(&json!({ "access_token": "entra", "expires_in": 3599 }));
    let resource = request.target.contains("resource=https%3A%2F%2Fcontainerregistry.azure.net");
    match (request.method.as_str(), request.path()) {
        ("POST", "/tenant-1/oauth2/v2.0/token") => {
            assert_eq!(request.field("scope").as_deref(), Some("https://containerregistry.azure.net/.default"));
            let secret = request.field("client_secret").as_deref() == Some("s3cr3t");
            let federated = request.field("client_assertion").as_deref() == Some("jwt");
            match secret || federated {
                true => token(),
                false => Reply::new(401).body(
                    json!({ "error": "invalid_client", "error_description": "AADSTS7000215: hunter2" }).to_string(),
                ),
            }
        }
        ("GET", "/metadata/identity/oauth2/token") if resource && request.header("metadata") == Some("true") => token(),
        ("GET", "/platform") if resource && request.header("x-identity-header") == Some("header-1") => token(),
        // A GET is not answered: Azure/acr#166.
        ("POST", "/oauth2/exchange") if request.field("access_token").as_deref() == Some("entra") => {
            assert_eq!(request.field("service").as_deref(), request.header("host"));
            Reply::json(&json!({ "refresh_token": "refresh" }))
        }
        ("GET", path) if path.starts_with("/v2/") => {
            registry(request, &basic("00000000-0000-0000-0000-000000000000", "refresh"))
        }
        _ => Reply::new(NO_SUCH),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acr_is_logged_in_to_by_every_identity_that_azure_gives() {
    let server = Server::start(|request, _| azure(request)).await;
    let own = format!("http://{}", server.host());
    let platform = format!("{own}/platform");
    let ambient = folder(&server, "{ azure: {} }");
    fs::write(ambient.path().join("token"), "jwt").unwrap();
    let application =
        [("AZURE_AUTHORITY_HOST", own.as_str()), ("AZURE_TENANT_ID", "tenant-1"), ("AZURE_CLIENT_ID", "client-1")];
    let identities: [Vec<(&str, &str)>; 4] = [
        [&application[..], &[("AZURE_CLIENT_SECRET", "s3cr3t")]].concat(),
        [&application[..], &[("AZURE_FEDERATED_TOKEN_FILE", "token")]].concat(),
        vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", &own)],
        vec![("IDENTITY_ENDPOINT", &platform), ("IDENTITY_HEADER", "header-1")],
    ];
    for identity in &identities {
        lets_in(&server, &ambient, identity).await;
    }
    let given = folder(&server, "{ azure: { tenantId: tenant-1, clientId: client-1, clientSecret: { env: SECRET } } }");
    lets_in(&server, &given, &[("AZURE_AUTHORITY_HOST", &own), ("SECRET", "s3cr3t")]).await;
    let wrong = [("AZURE_AUTHORITY_HOST", own.as_str()), ("SECRET", "wrong")];
    tags(&server, &given, "a", &wrong).await.ends(4).says("(AADSTS7000215)");
    let half = [("AZURE_CLIENT_SECRET", "s3cr3t")];
    tags(&server, &ambient, "a", &half).await.ends(2).says("needs a tenant and a client");
}

#[test]
fn mistakes_in_credentials_are_named_with_their_place() {
    for (credentials, said) in [
        ("{ aws: { region: EU } }", "not the name of a region"),
        ("{ aws: { accessKeyId: { env: ID } } }", "go together"),
        ("{ helper: ../x }", "not the name of a credential helper"),
        ("{ azure: { tenantId: a/b } }", "not an id"),
        ("{ google: { key: 1 } }", "unknown key"),
        ("{ aws: {}, google: {} }", "landfall.yaml:6"),
    ] {
        let config = format!(
            "repositories:\n  - {{ name: deploys, url: /nowhere }}\nregistries:\n  - host: r.example.com\n    plainHttp: false\n    credentials: {credentials}\n"
        );
        let folder = tree(&[("landfall.yaml", &config)]);
        crate::support::process::run(folder.path(), &["check", "landfall.yaml"])
            .ends(1)
            .says(said)
            .says("landfall.yaml:6");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_secret_is_read_from_a_cluster_and_what_is_missing_is_said() {
    let server = Server::start(|request, _| registry(request, &basic("ann", "right"))).await;
    let stub = KubeStub::start().await.unwrap();
    let folder = folder(&server, "{ pullSecret: { cluster: eu-1, namespace: landfall, name: pull } }");
    let config = fs::read_to_string(folder.path().join("landfall.yaml")).unwrap();
    tags(&server, &folder, "a", &[]).await.ends(2).says("names the cluster eu-1");
    let clusters = "clusters:\n  - { name: eu-1, kubeconfig: { file: kubeconfig }, environments: [dev] }\n";
    fs::write(folder.path().join("landfall.yaml"), format!("{config}{clusters}")).unwrap();
    fs::write(folder.path().join("kubeconfig"), stub.kubeconfig()).unwrap();
    tags(&server, &folder, "a", &[]).await.ends(4).says("landfall/pull of cluster eu-1 does not exist");
    let login = json!({ "auths": { server.host(): { "username": "ann", "password": "right" } } }).to_string();
    let secret = |kind: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind,
            "metadata": { "namespace": "landfall", "name": "pull" },
            "data": { ".dockerconfigjson": STANDARD.encode(&login) },
        })
    };
    stub.load(secret("Opaque")).unwrap();
    tags(&server, &folder, "a", &[]).await.ends(4).says("of the type Opaque");
    stub.load(secret("kubernetes.io/dockerconfigjson")).unwrap();
    lets_in(&server, &folder, &[]).await;
    stub.quirk(Quirk::new(Effect::Forbidden).resource("secrets"));
    tags(&server, &folder, "a", &[]).await.ends(4).says(r#"resourceNames: ["pull"], verbs: [get]"#);
}
