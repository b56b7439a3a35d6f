//! The credential helper of Amazon ECR, which nobody here wrote, between the program, Amazon's API and a registry.
//!
//! Both hosts are played behind a proxy that ends TLS for them: `GetAuthorizationToken` after the API's reference
//! (<https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html>).

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::logins::{basic, registry};
use super::server::{Reply, Server};
use crate::support::process::{Ran, landfall, tree};
use crate::support::skip;
use crate::tls::{acceptor_of, certificate, has_openssl, proxy};

const REGISTRY: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
const API: &str = "api.ecr.eu-central-1.amazonaws.com";

fn has_helper() -> bool {
    ["/usr/bin", "/usr/local/bin"]
        .iter()
        .any(|folder| std::path::Path::new(folder).join("docker-credential-ecr-login").exists())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_helper_of_amazon_logs_in_and_a_refusal_names_it() {
    if !has_helper() || !has_openssl() {
        return skip("docker-credential-ecr-login or openssl is not installed");
    }
    let images = Server::start(|request, _| registry(request, &basic("AWS", "right"))).await;
    let api = Server::start(|request, _| {
        let signed = request.header("authorization").is_some_and(|it| it.contains("Credential=AKIAEXAMPLE/"));
        let asked = request.header("x-amz-target");
        match asked.is_some_and(|it| it.ends_with(".GetAuthorizationToken")) && signed {
            true => Reply::json(&json!({ "authorizationData": [{
                "authorizationToken": STANDARD.encode("AWS:right"),
                "expiresAt": 4_102_444_800_u64,
                "proxyEndpoint": format!("https://{REGISTRY}"),
            }]})),
            false => {
                let error = json!({ "__type": "UnrecognizedClientException", "message": "hunter2" });
                Reply::new(400).header("content-type", "application/x-amz-json-1.1").body(error.to_string())
            }
        }
    })
    .await;
    let config = format!(
        "repositories:\n  - {{ name: deploys, url: /nowhere }}\nregistries:\n  - host: {REGISTRY}\n    caFile: ca.pem\n    credentials: {{ helper: ecr-login }}\n"
    );
    let folder = tree(&[("landfall.yaml", &config)]);
    certificate(folder.path(), "ca", &[]);
    let names = format!("subjectAltName=DNS:{REGISTRY},DNS:{API}");
    let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    certificate(folder.path(), "amazon", &[&signed[..], &["-addext", &names]].concat());
    let to = HashMap::from([(REGISTRY.to_owned(), images.addr()), (API.to_owned(), api.addr())]);
    let (proxy, asked) = proxy(to, acceptor_of(folder.path(), "amazon")).await;
    let proxy = format!("http://{proxy}");
    let ca = folder.path().join("ca.pem").display().to_string();
    let tags = async |key: &str| {
        let image = format!("{REGISTRY}/acme/web");
        let mut command = landfall(folder.path(), &["tags", &image, "--semver", "*", "-o", "json"]);
        let aws = [("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", "hidden"), ("AWS_CA_BUNDLE", ca.as_str())];
        command.envs(aws).envs([("HTTPS_PROXY", proxy.as_str()), ("NO_PROXY", "")]);
        tokio::task::spawn_blocking(move || Ran::of(command, "")).await.unwrap()
    };
    tags("AKIAEXAMPLE").await.ends(0).says("1.0.0");
    let mut seen = asked.lock().unwrap().split_off(0);
    seen.sort();
    seen.dedup();
    assert_eq!(seen, [REGISTRY, API]);

    let refused = tags("AKIAOTHER")
        .await
        .ends(4)
        .says("docker-credential-ecr-login has no credentials for it, or was refused them");
    assert!(!refused.text().contains("hunter2"), "{}", refused.text());
}
