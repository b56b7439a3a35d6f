//! Looking for signatures in registries that misbehave: what is handed on, what is an error, and what it costs.

use landfall::model::{Digest, Interest, SignatureDocument};
use landfall::registry::{RegistryError, SoughtDocuments};
use serde_json::{Value, json};

use super::server::{Reply, Request, Server};
use super::{client, image, plain};
use crate::support::signer::{BUNDLE, INDEX, MANIFEST, digest_of};

fn subject() -> Digest {
    Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap()
}

/// A bundle that says nothing but its number, and the manifest that holds it.
fn bundle(number: usize) -> String {
    format!("{{\"number\": {number}}}")
}

fn manifest(number: usize) -> String {
    let body = bundle(number);
    let layer = json!({ "mediaType": BUNDLE, "digest": digest_of(body.as_bytes()), "size": body.len() });
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer] }).to_string()
}

fn index(numbers: impl IntoIterator<Item = usize>) -> Value {
    let entry = |number| json!({ "mediaType": MANIFEST, "digest": digest_of(manifest(number).as_bytes()), "size": 1, "artifactType": BUNDLE });
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": numbers.into_iter().map(entry).collect::<Vec<_>>() })
}

/// The answer of a registry with a hundred of them: whatever is asked for by its digest, and nothing else.
fn stored(request: &Request) -> Reply {
    let reference = request.path().rsplit('/').next().unwrap();
    for number in 0..100 {
        for body in [manifest(number), bundle(number)] {
            if digest_of(body.as_bytes()) == reference {
                return Reply::new(200).header("content-type", MANIFEST).body(body);
            }
        }
    }
    Reply::new(404)
}

fn is_for(request: &Request, what: &str) -> bool {
    request.path().contains(what)
}

async fn look(server: &Server, enough: usize) -> (Result<(), RegistryError>, Vec<SignatureDocument>) {
    let client = client(plain(server.addr().to_string()));
    let mut found = Vec::new();
    let mut take = |document: &SignatureDocument| {
        found.push(document.clone());
        if found.len() >= enough { Interest::Enough } else { Interest::More }
    };
    let sought = (&subject(), SoughtDocuments::SignaturesAndAttestations);
    let looked = client.signatures(&image(server.addr(), "acme/web"), sought, &mut take).await;
    (looked, found)
}

fn numbers(found: &[SignatureDocument]) -> Vec<u64> {
    let number = |document: &SignatureDocument| match document {
        SignatureDocument::Bundle(body) => serde_json::from_slice::<Value>(body).unwrap()["number"].as_u64(),
        _ => None,
    };
    found.iter().filter_map(number).collect()
}

fn unusable(found: &[SignatureDocument]) -> Vec<&str> {
    fn reason(document: &SignatureDocument) -> Option<&str> {
        match document {
            SignatureDocument::Unusable { reason } => Some(reason),
            _ => None,
        }
    }
    found.iter().filter_map(reason).collect()
}

#[tokio::test]
async fn all_pages_of_referrers_are_read_up_to_a_limit() {
    let pages = Server::start(|request, _| match request.target.as_str() {
        target if is_for(request, "/referrers/") && target.contains("page=2") => Reply::json(&index([2])),
        _ if is_for(request, "/referrers/") => {
            Reply::json(&index([1])).header("link", &format!("<{}?page=2>; rel=\"next\"", request.path()))
        }
        _ => stored(request),
    })
    .await;
    let (looked, found) = look(&pages, 9).await;
    assert!(looked.is_ok() && numbers(&found) == [1, 2], "{looked:?} {found:?}");
    let endless = Server::start(|request, number| match is_for(request, "/referrers/") {
        true => {
            Reply::json(&index([number])).header("link", &format!("<{}?page={number}>; rel=\"next\"", request.path()))
        }
        false => stored(request),
    })
    .await;
    let (looked, found) = look(&endless, 99).await;
    assert!(looked.unwrap_err().to_string().contains("more than 4 pages") && found.len() == 4);
}

#[tokio::test]
async fn many_referrers_are_not_all_looked_into() {
    let server = Server::start(|request, _| match is_for(request, "/referrers/") {
        true => Reply::json(&index(0..100)),
        false => stored(request),
    })
    .await;
    let (looked, found) = look(&server, 999).await;
    assert!(looked.is_ok() && numbers(&found).len() == 32, "{looked:?}");
    assert!(unusable(&found)[0].contains("more than 32 manifests"), "{found:?}");
    let (looked, found) = look(&server, 2).await;
    assert!(looked.is_ok() && found.len() == 2, "enough is enough");
}

#[tokio::test]
async fn a_registry_without_the_api_may_answer_anything_in_its_place() {
    for answer in [
        Reply::new(404),
        Reply::new(400),
        Reply::new(405),
        Reply::new(200).header("content-type", "text/html").body("<html>"),
        Reply::json(&json!({ "manifests": null })),
    ] {
        let server = Server::start(move |request, _| match request.path().rsplit('/').next().unwrap() {
            _ if is_for(request, "/referrers/") => answer.clone(),
            tag if tag == subject().as_str().replace(':', "-") => {
                Reply::json(&index([7])).header("content-type", INDEX)
            }
            _ => stored(request),
        })
        .await;
        let (looked, found) = look(&server, 9).await;
        assert!(looked.is_ok() && numbers(&found) == [7], "{looked:?} {found:?}");
    }
}

#[tokio::test]
async fn what_is_broken_in_itself_hides_nothing_else() {
    let server = Server::start(|request, _| {
        let asked = |body: String| request.path().ends_with(&digest_of(body.as_bytes()));
        match () {
            () if is_for(request, "/referrers/") => Reply::json(&index([1, 2, 3, 4])),
            // Other content than the digest says, a manifest that is none, and content without end.
            () if asked(bundle(1)) => Reply::new(200).body(bundle(9)),
            () if asked(manifest(2)) => Reply::new(200).body("{}"),
            () if asked(bundle(3)) => Reply::new(200).body("x".repeat(1 << 20)),
            () => stored(request),
        }
    })
    .await;
    let (looked, found) = look(&server, 99).await;
    assert!(looked.is_ok() && numbers(&found) == [4] && unusable(&found).len() == 3, "{looked:?} {found:?}");
}

#[tokio::test]
async fn what_says_that_it_is_too_large_is_not_asked_for() {
    let large = json!({ "schemaVersion": 2, "layers": [{ "mediaType": BUNDLE, "digest": subject().as_str(), "size": 5 << 20 }] }).to_string();
    let own = digest_of(large.as_bytes());
    let listed = json!({ "manifests": [{ "mediaType": MANIFEST, "digest": own, "size": 1, "artifactType": "" }] });
    let server = Server::start(move |request, _| match () {
        () if is_for(request, "/referrers/") => Reply::json(&listed),
        () if request.path().ends_with(&own) => Reply::new(200).body(large.clone()),
        () => Reply::new(404),
    })
    .await;
    let (looked, found) = look(&server, 9).await;
    assert!(looked.is_ok() && unusable(&found)[0].contains("more than 4 MiB"), "{found:?}");
    assert!(!server.seen().iter().any(|request| is_for(request, "/blobs/")), "nothing of it is transferred");
}

#[tokio::test]
async fn silence_about_one_place_is_an_error_unless_another_has_enough() {
    let script = |request: &Request, _: usize| match request.path().rsplit('/').next().unwrap() {
        _ if is_for(request, "/referrers/") => Reply::new(503),
        tag if tag == subject().as_str().replace(':', "-") => Reply::json(&index([7])),
        _ => stored(request),
    };
    let server = Server::start(script).await;
    let (looked, found) = look(&server, 9).await;
    assert!(looked.unwrap_err().to_string().contains("503") && numbers(&found) == [7]);
    let (looked, found) = look(&server, 1).await;
    assert!(looked.is_ok() && numbers(&found) == [7]);
    // Access that is refused is no "there are none" either.
    let closed = Server::start(|_, _| Reply::new(403)).await;
    assert!(look(&closed, 1).await.0.is_err());
}
