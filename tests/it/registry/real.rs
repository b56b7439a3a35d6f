//! Debian's docker-registry: plain, with basic login, with TLS of an own CA, with tokens.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use landfall::model::{Digest, FailureCode};
use landfall::registry::{HostSettings, RegistryClient};
use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::{client, image, login, names, plain, quick, tag, text};
use crate::support::skip;

const BASIC: &str = "Basic Ym90Omh1bnRlcjI="; // bot:hunter2

#[expect(clippy::disallowed_methods, reason = "the tests' own client, to push with")]
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the tests' own processes")]
fn command(program: &str) -> Command {
    Command::new(program)
}

fn digest(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    format!("sha256:{}", hash.as_ref().iter().map(|b| format!("{b:02x}")).collect::<String>())
}

async fn sent(request: reqwest::RequestBuilder, authorization: Option<&str>) -> reqwest::Response {
    let request = match authorization {
        Some(value) => request.header("authorization", value),
        None => request,
    };
    let response = request.send().await.unwrap();
    assert!(response.status().is_success(), "{}: {}", response.url(), response.status());
    response
}

const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const CHART: &str = "application/vnd.cncf.helm.config.v1+json";
pub(crate) const FLUX: &str = "application/vnd.cncf.flux.config.v1+json";

/// Pushes a small image by the steps of the distribution specification; its digest.
pub(crate) async fn push(http: &reqwest::Client, base: &str, name: &str, tag: &str, login: Option<&str>) -> String {
    let layer = vec![0; 1024];
    let config = json!({
        "created": "2026-03-01T12:00:00Z", "os": "linux", "architecture": "amd64", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    });
    push_parts(http, base, (name, tag), login, (IMAGE, &config, (LAYER, &layer))).await
}

/// Pushes an artifact whose configuration has a media type of its own, as Helm and Flux do; its digest.
pub(crate) async fn push_artifact(base: &str, name: &str, tag: &str, kind: &str) -> String {
    let config = json!({ "name": name, "version": tag });
    push_parts(&http(), base, (name, tag), None, (kind, &config, (LAYER, tag.as_bytes()))).await
}

/// Pushes a chart as Helm does, with its archive; its digest.
pub(crate) async fn push_chart(base: &str, name: &str, tag: &str, archive: &[u8]) -> String {
    let config = json!({ "name": name, "version": tag });
    let content = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
    push_parts(&http(), base, (name, tag), None, (CHART, &config, (content, archive))).await
}

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

async fn push_parts(
    http: &reqwest::Client,
    base: &str,
    (name, tag): (&str, &str),
    login: Option<&str>,
    (kind, config, (layer_kind, layer)): (&str, &Value, (&str, &[u8])),
) -> String {
    let (layer, config) = (layer.to_vec(), config.to_string().into_bytes());
    for blob in [&layer, &config] {
        let begun = sent(http.post(format!("{base}/v2/{name}/blobs/uploads/")), login).await;
        let location = begun.headers()["location"].to_str().unwrap();
        let mut place = reqwest::Url::parse(base).unwrap().join(location).unwrap();
        let patched = sent(
            http.patch(place.clone()).header("content-type", "application/octet-stream").body(blob.clone()),
            login,
        )
        .await;
        place = place.join(patched.headers()["location"].to_str().unwrap()).unwrap();
        place.query_pairs_mut().append_pair("digest", &digest(blob));
        sent(http.put(place), login).await;
    }
    let part = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "size": bytes.len(), "digest": digest(bytes) });
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type,
        "config": part(kind, &config),
        "layers": [part(layer_kind, &layer)],
    });
    let manifest = manifest.to_string();
    let put = http.put(format!("{base}/v2/{name}/manifests/{tag}")).header("content-type", media_type);
    sent(put.body(manifest.clone()), login).await;
    digest(manifest.as_bytes())
}

/// A docker-registry of its own, stopped when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) host: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts docker-registry on a free port with more configuration than the least; `None` when it is not installed.
pub(crate) fn start(folder: &Path, http: &str, more: &str) -> Option<Daemon> {
    let program = "docker-registry";
    let config = folder.join("config.yml");
    let storage = "storage: { inmemory: {}, delete: { enabled: true } }";
    std::fs::write(&config, format!("version: 0.1\n{storage}\nhttp:\n  addr: 127.0.0.1:0\n{http}{more}")).unwrap();
    let spawned = command(program).arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skip("docker-registry is not installed");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    // It logs the port that it was given.
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut log = String::new();
    let host = loop {
        let Some(Ok(line)) = lines.next() else {
            child.wait().ok();
            panic!("docker-registry did not start:\n{log}");
        };
        if let Some(at) = line.find("listening on ") {
            let rest = &line[at + "listening on ".len()..];
            break rest.split([',', '"', ' ']).next().unwrap().to_owned();
        }
        log.push_str(&line);
        log.push('\n');
    };
    // Somebody must read on, or its log fills the pipe and it stops.
    std::thread::spawn(move || lines.for_each(drop));
    Some(Daemon { child, host })
}

#[tokio::test]
async fn plain_with_every_tag_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let Some(registry) = start(folder.path(), "", "") else { return };
    let (http, base) = (http(), format!("http://{}", registry.host));
    let pushed = push(&http, &base, "acme/web", "v1.0.0", None).await;
    let manifest = http.get(format!("{base}/v2/acme/web/manifests/v1.0.0"));
    let accept = "application/vnd.oci.image.manifest.v1+json";
    let manifest = sent(manifest.header("accept", accept), None).await.bytes().await.unwrap();
    // A full page, so that the client asks on and must see that n and last are ignored.
    for number in 1..1000 {
        let put = http.put(format!("{base}/v2/acme/web/manifests/v1.0.{number}")).header("content-type", accept);
        sent(put.body(manifest.clone()), None).await;
    }
    let client = client(plain(&registry.host));
    let name = image(&registry.host, "acme/web");
    let mut found = names(client.tags(&name, None).await);
    found.sort();
    let mut expected: Vec<String> = (0..1000).map(|n| format!("v1.0.{n}")).collect();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(client.requests(), 2);

    let expected = Digest::parse(&pushed).unwrap();
    assert_eq!(client.resolve(&name, &tag("v1.0.7")).await.unwrap(), expected);
    let manifest = client.manifest(&name, &tag("v1.0.7")).await.unwrap();
    assert_eq!((manifest.digest, manifest.platforms), (expected, vec!["linux/amd64".to_owned()]));
    assert_eq!(manifest.created, Some("2026-03-01T12:00:00Z".parse().unwrap()));

    for error in [
        client.tags(&image(&registry.host, "acme/nothing"), None).await.unwrap_err(),
        client.resolve(&name, &tag("gone")).await.unwrap_err(),
        client.manifest(&name, &tag("gone")).await.unwrap_err(),
    ] {
        assert!(error.is_absent(), "{error}");
    }
}

#[tokio::test]
async fn charts_and_artifacts() {
    let folder = tempfile::tempdir().unwrap();
    let Some(registry) = start(folder.path(), "", "") else { return };
    let base = format!("http://{}", registry.host);
    push_artifact(&base, "charts/web", "1.0.0", CHART).await;
    let pushed = push_artifact(&base, "charts/web", "1.1.0_up2.0", CHART).await;
    push_artifact(&base, "charts/web", "not_a_version", FLUX).await;
    let client = client(plain(&registry.host));
    // As Helm writes them: no tag of a registry has a `+`.
    let (chart, version) = (image(format!("oci://{}", registry.host), "charts/web"), tag("1.1.0+up2.0"));
    let mut found = names(client.tags(&chart, None).await);
    found.sort();
    assert_eq!(found, ["1.0.0", "1.1.0+up2.0", "not_a_version"]);
    assert_eq!(client.resolve(&chart, &version).await.unwrap().as_str(), pushed);
    let manifest = client.manifest(&chart, &version).await.unwrap();
    assert_eq!((manifest.digest.as_str(), manifest.artifact.as_deref()), (pushed.as_str(), Some(CHART)));
    let flux = client.manifest(&chart, &tag("not_a_version")).await.unwrap();
    assert_eq!(flux.artifact.as_deref(), Some(FLUX));
    // Under its name as an image, the tags are as they are.
    let mut found = names(client.tags(&image(&registry.host, "charts/web"), None).await);
    found.sort();
    assert_eq!(found, ["1.0.0", "1.1.0_up2.0", "not_a_version"]);
}

#[tokio::test]
async fn basic_login() {
    let folder = tempfile::tempdir().unwrap();
    let Ok(made) = command("htpasswd").args(["-Bbn", "bot", "hunter2"]).output() else {
        return skip("htpasswd is not installed");
    };
    let file = folder.path().join("htpasswd");
    std::fs::write(&file, made.stdout).unwrap();
    let auth = format!("auth: {{ htpasswd: {{ realm: r, path: {} }} }}\n", file.display());
    let Some(registry) = start(folder.path(), "", &auth) else { return };
    push(&http(), &format!("http://{}", registry.host), "acme/web", "v1", Some(BASIC)).await;
    let name = image(&registry.host, "acme/web");
    let client_of = client;
    let client = client_of(login(&registry.host));
    assert_eq!(names(client.tags(&name, None).await), ["v1"]);
    assert!(client.manifest(&name, &tag("v1")).await.is_ok());
    let wrong = HostSettings { login: Some(super::basic("bot", "s3cr3t")), ..plain(&registry.host) };
    for (settings, advice) in [(plain(&registry.host), "give credentials"), (wrong, "check the credentials")] {
        let error = client_of(settings).tags(&name, None).await.unwrap_err();
        assert_eq!(error.code(), FailureCode::Authentication);
        assert!(text(&error).contains(advice), "{error}");
    }
}

/// A key `NAME.key` and a certificate `NAME.pem` for it and 127.0.0.1; signed by itself unless `more` says otherwise.
fn certificate(folder: &Path, name: &str, more: &[&str]) {
    let made = command("openssl")
        .current_dir(folder)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
        .args(more)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn tls_with_an_own_ca() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    certificate(folder.path(), "ca", &[]);
    let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    certificate(folder.path(), "server", &signed);
    certificate(folder.path(), "alone", &["-addext", "basicConstraints=critical,CA:FALSE"]);
    let trusting = |host: &str, ca: &str| {
        let ca_pem = Some(std::fs::read(path(ca)).unwrap());
        RegistryClient::new(vec![HostSettings { ca_pem, ..HostSettings::new(host) }], quick()).unwrap()
    };
    for (server, ca, advice) in [
        ("server", "ca.pem", None),
        ("alone", "alone.pem", None),
        ("server", "alone.pem", Some("caFile")),
        ("ca", "ca.pem", Some("CA:FALSE")),
    ] {
        let (cert, key) = (path(&format!("{server}.pem")), path(&format!("{server}.key")));
        let tls = format!("  tls: {{ certificate: {}, key: {} }}\n", cert.display(), key.display());
        let Some(registry) = start(folder.path(), &tls, "") else { return };
        let name = image(&registry.host, "acme/web");
        let error = trusting(&registry.host, ca).tags(&name, None).await.unwrap_err();
        match advice {
            None => assert!(error.is_absent(), "trusted, and the repository is not there: {error}"),
            Some(advice) => {
                assert_eq!(error.code(), FailureCode::Network);
                assert!(text(&error).contains(advice), "{error}");
            }
        }
        let doubting = RegistryClient::new(vec![HostSettings::new(&registry.host)], quick()).unwrap();
        let error = doubting.tags(&name, None).await.unwrap_err();
        assert_eq!(error.code(), FailureCode::Network, "{error}");
        let plain = client(plain(&registry.host)).tags(&name, None).await.unwrap_err();
        assert_eq!(plain.code(), FailureCode::Protocol, "{plain}");
    }
}

#[tokio::test]
async fn bearer_tokens() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "token", &[]);
    let cert = std::fs::read_to_string(folder.path().join("token.pem")).unwrap();
    let der: String = cert.lines().filter(|line| !line.starts_with('-')).collect();
    let key: String = std::fs::read_to_string(folder.path().join("token.key")).unwrap();
    let key: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &STANDARD.decode(key).unwrap()).unwrap();
    let service = Server::start(move |request, _| {
        if request.header("authorization") != Some(BASIC) {
            return Reply::new(401);
        }
        let query = reqwest::Url::parse(&format!("http://x{}", request.target)).unwrap();
        let scope = query.query_pairs().find(|(name, _)| name == "scope").map(|(_, scope)| scope.into_owned());
        Reply::json(&json!({ "token": jwt(&key, &der, scope.as_deref()), "expires_in": 300 }))
    })
    .await;
    let auth = format!(
        "auth:\n  token: {{ realm: 'http://{}/token', service: s, issuer: i, rootcertbundle: {} }}\n",
        service.addr(),
        folder.path().join("token.pem").display()
    );
    let Some(registry) = start(folder.path(), "", &auth) else { return };
    let http = http();
    let grant = format!("http://{}/token?scope=repository:acme/web:pull,push", service.addr());
    let granted: Value = sent(http.get(grant), Some(BASIC)).await.json().await.unwrap();
    let bearer = format!("Bearer {}", granted["token"].as_str().unwrap());
    push(&http, &format!("http://{}", registry.host), "acme/web", "v1", Some(&bearer)).await;

    let name = image(&registry.host, "acme/web");
    let before = service.seen().len();
    let client_of = client;
    let client = client_of(login(&registry.host));
    assert_eq!(names(client.tags(&name, None).await), ["v1"]);
    assert_eq!(names(client.tags(&name, None).await), ["v1"]);
    assert!(client.manifest(&name, &tag("v1")).await.is_ok());
    assert_eq!(service.seen().len() - before, 1);
    let asked = &service.seen()[before].target;
    assert_eq!(asked, "/token?service=s&scope=repository%3Aacme%2Fweb%3Apull");
    let error = client_of(plain(&registry.host)).tags(&name, None).await.unwrap_err();
    assert_eq!(error.code(), FailureCode::Authentication);
    assert!(text(&error).contains("give credentials"), "{error}");
}

/// A token as docker-registry verifies it: signed by a key whose certificate is in its bundle.
fn jwt(key: &EcdsaKeyPair, der: &str, scope: Option<&str>) -> String {
    #[expect(clippy::disallowed_methods, reason = "docker-registry checks tokens against its clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let access: Vec<Value> = scope
        .map(|scope| {
            let parts: Vec<&str> = scope.split(':').collect();
            json!({ "type": parts[0], "name": parts[1], "actions": parts[2].split(',').collect::<Vec<_>>() })
        })
        .into_iter()
        .collect();
    let head = json!({ "typ": "JWT", "alg": "ES256", "x5c": [der] });
    let claims = json!({
        "iss": "i", "sub": "bot", "aud": "s", "exp": now + 300, "nbf": now - 10, "iat": now, "jti": "1", "access": access,
    });
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(head.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}
