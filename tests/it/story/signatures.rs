//! Images whose signatures are demanded: what passes, what is held and with which words, and what stands in Git of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use landfall::demo::registry::{DemoImage, RegistryOptions};
use serde_json::{Value, json};

use crate::support::signer::{
    ImageSigner, MANIFEST, push_referrer, push_referrers_tag, push_under_tag, referrer, statement,
};
use crate::support::trip::{Point, Reply, When, Where};
use crate::support::world::{Setup, World};

const REPOSITORY: &str = "acme/web";

/// A policy for dev that demands a signature of this signer, written as a commit with these further lines.
fn policy(signer: &ImageSigner, more: &str) -> String {
    format!(
        "policies:\n  - name: dev\n    paths: [\"apps/{{app}}/overlays/dev/**\"]\n    environment: dev\n    write: commit\n    \
         tags: {{ semver: \"*\" }}\n    verify:\n      cosign:\n        key: {}\n{more}",
        signer.yaml(10)
    )
}

fn demanding(signer: &ImageSigner, more: &str) -> Setup {
    World::setup().app("web", "1.2.3", &["dev"]).policies(&policy(signer, more))
}

/// A world in which digests are written, and with 1.3.0 beside the 1.2.3 that is declared; the digest of 1.3.0.
fn pinned(signer: &ImageSigner) -> (World, String) {
    let world = demanding(signer, "    pin: digest\n").start();
    let digest = pushed(&world);
    (world, digest)
}

fn pushed(world: &World) -> String {
    world.push(REPOSITORY, "1.2.3");
    world.push(REPOSITORY, "1.3.0")
}

/// The only hold of a cycle that wrote nothing.
#[track_caller]
fn hold(report: &Value) -> &Value {
    assert_eq!((&report["actions"], report["holds"].as_array().map(Vec::len)), (&json!([]), Some(1)), "{report:#}");
    assert_eq!(report["holds"][0]["gate"], "signature", "{report:#}");
    &report["holds"][0]
}

/// Why nothing was written.
#[track_caller]
fn reason(report: &Value) -> &str {
    hold(report)["reason"].as_str().unwrap()
}

fn trailer(world: &World, name: &str) -> Option<String> {
    world.trailers("main").into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

#[test]
fn a_signed_image_is_written_with_its_evidence() {
    let signer = ImageSigner::new();
    let (world, digest) = pinned(&signer);
    signer.sign_image(&world.registry, REPOSITORY, &digest);
    let report = world.apply();
    let update = &report["actions"][0]["updates"][0];
    let by = format!("key {}", signer.fingerprint());
    assert_eq!(
        update["signatures"],
        json!({ "digest": digest, "proofs": [{ "attestation": null, "by": by, "logIndex": null }] }),
        "{report:#}"
    );
    assert!(world.read("main", "apps/web/overlays/dev/kustomization.yaml").contains(&digest));
    assert_eq!(trailer(&world, "Landfall-Verified"), Some(format!("{digest}; signature by {by}")));
    assert!(trailer(&world, "Landfall-Gates").unwrap().contains("signature"));
    assert_eq!(world.apply()["actions"], json!([]), "and there is nothing left to do");
}

#[test]
fn what_is_not_signed_waits_until_it_is() {
    let (signer, stranger) = (ImageSigner::new(), ImageSigner::new());
    let (world, digest) = pinned(&signer);
    let before = world.tip("main");
    assert!(reason(&world.apply()).contains(&format!("{digest} is not signed")), "{}", world.apply());
    let shown = world.landfall(&["plan"]).ends(0).stdout;
    assert!(shown.contains("signature not proved"), "{shown}");
    // Somebody else's, and one of the right signer for another image, in the same repository.
    stranger.sign_image(&world.registry, REPOSITORY, &digest);
    let why = reason(&world.apply()).to_owned();
    assert!(why.contains("by somebody else") && why.contains(&signer.fingerprint()), "{why}");
    let other = world.registry.resolve(REPOSITORY, "1.2.3").unwrap();
    push_referrer(
        &world.registry,
        REPOSITORY,
        &digest,
        signer.bundle(&statement(&[&other], crate::support::signer::SIGN)),
    );
    let why = reason(&world.apply()).to_owned();
    assert!(why.contains("about another image") && why.contains(&other[7..19]), "{why}");
    assert_eq!(world.tip("main"), before, "nothing was written");
    signer.sign_image(&world.registry, REPOSITORY, &digest);
    assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
    assert_eq!(world.tag("web", "dev"), "1.3.0");
}

#[test]
fn every_place_in_which_signatures_have_been_stored_is_looked_at() {
    for place in ["referrers", "index", "tag"] {
        let signer = ImageSigner::new();
        let options = RegistryOptions { referrers: place == "referrers", ..RegistryOptions::default() };
        let world = demanding(&signer, "    pin: digest\n").registry(options).start();
        let digest = pushed(&world);
        let registry = &world.registry;
        match place {
            "referrers" => signer.sign_image(registry, REPOSITORY, &digest),
            "index" => {
                let bundle = signer.bundle(&statement(&[&digest], crate::support::signer::SIGN));
                let own = push_referrer(registry, REPOSITORY, &digest, bundle);
                push_referrers_tag(registry, REPOSITORY, &digest, &[&own]);
            }
            _ => signer.sign_under_tag(registry, REPOSITORY, &digest),
        }
        assert_eq!(world.apply()["actions"][0]["result"]["verified"], true, "{place}");
        assert_eq!(world.apply()["actions"], json!([]), "{place}");
    }
}

#[test]
fn an_image_of_several_platforms_is_signed_as_a_whole() {
    let signer = ImageSigner::new();
    let world = demanding(&signer, "    pin: digest\n").start();
    let image = DemoImage::new("2026-01-01T00:00:00Z".parse().unwrap()).platforms(&["linux/amd64", "linux/arm64"]);
    world.push_image(REPOSITORY, "1.2.3", &image);
    let index = world.push_image(REPOSITORY, "1.3.0", &image.clone().annotation("x", "y"));
    // One of its images alone is not what is written.
    let only = image.clone().platforms(&["linux/amd64"]);
    let one = world.push_image("acme/other", "1", &only);
    signer.sign_image(&world.registry, REPOSITORY, &one);
    let named = push_referrer(
        &world.registry,
        REPOSITORY,
        &index,
        signer.bundle(&statement(&[&one], crate::support::signer::SIGN)),
    );
    assert!(named.starts_with("sha256:") && reason(&world.apply()).contains("another image"));
    signer.sign_image(&world.registry, REPOSITORY, &index);
    assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
}

#[test]
fn attestations_are_demanded_of_the_same_signer() {
    const SLSA: &str = "https://slsa.dev/provenance/v1";
    let (signer, stranger) = (ImageSigner::new(), ImageSigner::new());
    let more = "      attestations: [slsaprovenance]\n    pin: digest\n";
    let world = demanding(&signer, more).start();
    let digest = pushed(&world);
    let registry = &world.registry;
    signer.sign_image(registry, REPOSITORY, &digest);
    stranger.attest(registry, REPOSITORY, &digest, SLSA);
    signer.attest(registry, REPOSITORY, &digest, "https://example.com/sbom");
    let why = reason(&world.apply()).to_owned();
    assert!(why.contains("attestation slsaprovenance") && why.contains("by somebody else"), "{why}");
    signer.attest_under_tag(registry, REPOSITORY, &digest, SLSA);
    let report = world.apply();
    let proofs = report["actions"][0]["updates"][0]["signatures"]["proofs"].as_array().unwrap();
    assert_eq!((proofs.len(), &proofs[1]["attestation"]), (2, &json!("slsaprovenance")), "{report:#}");
    assert!(trailer(&world, "Landfall-Verified").unwrap().contains("attestation slsaprovenance by key"));
}

#[test]
fn a_registry_that_does_not_tell_of_signatures_holds_and_says_so() {
    let signer = ImageSigner::new();
    let world = demanding(&signer, "    pin: digest\n").wired().start();
    let digest = pushed(&world);
    signer.sign_image(&world.registry, REPOSITORY, &digest);
    let before = world.tip("main");
    world.wire.fail("/referrers/", 503);
    let report = world.landfall(&["apply", "-o", "json"]).ends(2).report();
    let why = reason(&report);
    assert!(why.contains("it is unknown since 20") && why.contains("503") && !why.contains("not signed:"), "{why}");
    let problem = &report["problems"][0];
    assert_eq!(
        (&problem["code"], problem["message"].as_str()),
        (&json!("server"), Some(&why[..why.find(" (demanded").unwrap()]))
    );
    assert_eq!(world.tip("main"), before);
    world.wire.clear();
    assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
}

#[test]
fn what_is_verified_is_not_asked_about_again() {
    let signer = ImageSigner::new();
    // Never open.
    let more = "    pin: digest\n    windows: [{ cron: \"* * * * *\", duration: 1h, kind: deny }]\n";
    let world = demanding(&signer, more).start();
    let digest = pushed(&world);
    signer.sign_image(&world.registry, REPOSITORY, &digest);
    let asked = |world: &World| {
        assert_eq!(world.apply()["holds"][0]["gate"], "window");
        world.registry.log().iter().filter(|request| request.target.contains("/referrers/")).count()
    };
    assert_eq!((asked(&world), asked(&world)), (1, 1), "the next process knows, too");
}

#[test]
fn an_older_version_that_is_signed_goes_before_a_newer_one_that_is_not() {
    let signer = ImageSigner::new();
    let (world, digest) = pinned(&signer);
    world.push_all(REPOSITORY, &["1.4.0", "1.5.0"]);
    signer.sign_image(&world.registry, REPOSITORY, &digest);
    assert_eq!(world.apply()["actions"][0]["updates"][0]["to"]["tag"], "1.3.0");
    assert!(reason(&world.apply()).contains("is not signed"));
    assert_eq!(world.tag("web", "dev"), "1.3.0");
}

#[test]
fn what_a_cap_demands_no_policy_can_do_without() {
    let (operator, team) = (ImageSigner::new(), ImageSigner::new());
    let world = World::setup().app("web", "1.2.3", &["dev"]).policies(&policy(&team, "    pin: digest\n")).start();
    let digest = pushed(&world);
    let cap = format!(
        "    caps:\n      - paths: [\"**\"]\n        write: [commit]\n        verify:\n          cosign:\n            key: {}\n",
        operator.yaml(14)
    );
    world.configure("registries:", &format!("{cap}registries:"));
    team.sign_image(&world.registry, REPOSITORY, &digest);
    let why = reason(&world.apply()).to_owned();
    assert!(why.contains("landfall.yaml") && why.contains(&operator.fingerprint()), "{why}");
    operator.sign_image(&world.registry, REPOSITORY, &digest);
    assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
    let verified = trailer(&world, "Landfall-Verified").unwrap();
    assert!(verified.contains(&team.fingerprint()) && verified.contains(&operator.fingerprint()), "{verified}");
    // A policy that demands nothing gets the cap's all the same.
    let plain = "policies:\n  - name: dev\n    paths: [\"apps/{app}/overlays/dev/**\"]\n    environment: dev\n    write: commit\n    tags: { semver: \"*\" }\n";
    world.write(&[(".landfall/policies.yaml", plain)]);
    world.push(REPOSITORY, "1.4.0");
    assert!(reason(&world.apply()).contains(&operator.fingerprint()) || reason(&world.apply()).contains("not signed"));
    let explained = world.landfall(&["explain", "apps/web/overlays/dev/kustomization.yaml"]).ends(0).stdout;
    assert!(explained.contains("verify of a cap") && explained.contains(&operator.fingerprint()), "{explained}");
}

/// Moves a tag to a manifest that is there, as a client of the registry does.
fn move_tag(host: &str, tag: &str, manifest: &[u8]) {
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "PUT /v2/{REPOSITORY}/manifests/{tag} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {MANIFEST}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        manifest.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(manifest).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[test]
fn a_tag_that_moves_between_the_verification_and_the_write_is_not_written() {
    let signer = ImageSigner::new();
    let world = demanding(&signer, "").wired().start();
    let digest = pushed(&world);
    signer.sign_image(&world.registry, REPOSITORY, &digest);
    let before = world.tip("main");
    // What the tag will stand for is in the registry already, under another one.
    world.push(REPOSITORY, "other");
    let (host, other) = (world.registry.host().to_owned(), manifest_of(&world, "other"));
    world.wire.set(Point::on(Where::Registry, "GET", "/referrers/", When::After), 0, 1, move || {
        move_tag(&host, "1.3.0", &other);
        Reply::GoesOn
    });
    let why = reason(&world.apply()).to_owned();
    assert!(why.contains(&format!("was verified as {digest} but is now sha256:")), "{why}");
    assert_eq!(world.tip("main"), before);
    assert!(reason(&world.apply()).contains("is not signed"), "and the next cycle looks at what the tag is now");
    let moved = world.registry.resolve(REPOSITORY, "1.3.0").unwrap();
    signer.sign_image(&world.registry, REPOSITORY, &moved);
    assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
    assert!(
        trailer(&world, "Landfall-Verified").unwrap().starts_with(&moved),
        "the digest is known without being written"
    );
}

/// The bytes of a manifest, as a client gets them.
fn manifest_of(world: &World, tag: &str) -> Vec<u8> {
    let host = world.registry.host();
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "GET /v2/{REPOSITORY}/manifests/{tag} HTTP/1.1\r\nHost: {host}\r\nAccept: {MANIFEST}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    answer.split_off(body)
}

#[test]
fn a_pull_request_tells_who_signed() {
    let signer = ImageSigner::new();
    let text = policy(&signer, "    pin: digest\n").replace("write: commit", "write: pull-request");
    let world = World::setup().app("web", "1.2.3", &["dev"]).policies(&text).github("").start();
    let digest = pushed(&world);
    assert!(reason(&world.apply()).contains("is not signed"));
    assert!(world.heads().is_empty(), "no branch either");
    signer.sign_image(&world.registry, REPOSITORY, &digest);
    assert_eq!(world.apply()["actions"][0]["kind"], "pull-request");
    let body = world.github().pulls()[0].body.clone().unwrap();
    assert!(
        body.contains("**Signatures**") && body.contains(&digest) && body.contains(&signer.fingerprint()),
        "{body}"
    );
}

#[test]
fn nobody_opens_the_gate_by_hand_and_a_rollback_passes_it_too() {
    let signer = ImageSigner::new();
    let (world, digest) = pinned(&signer);
    let refused =
        world.landfall(&["promote", "web", "--to", "dev", "--override", "signature", "--reason", "x"]).ends(2);
    assert!(refused.stderr.contains("gates are"), "{}", refused.stderr);
    signer.sign_image(&world.registry, REPOSITORY, &digest);
    assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
    let before = world.tip("main");
    let back = ["rollback", "web", "--environment", "dev", "--reason", "slow", "--by", "Ada"];
    let ran = world.landfall(&back).ends(1);
    assert!(ran.stderr.contains("is not signed") && ran.stderr.contains("by hand"), "{}", ran.stderr);
    assert_eq!(world.tip("main"), before);
    signer.sign_image(&world.registry, REPOSITORY, &world.registry.resolve(REPOSITORY, "1.2.3").unwrap());
    world.landfall(&back).ends(0);
    assert!(trailer(&world, "Landfall-Verified").is_some() && world.tag("web", "dev") == "1.2.3");
}

#[test]
fn documents_that_are_no_signatures_neither_pass_nor_hide_one() {
    let (signer, stranger) = (ImageSigner::new(), ImageSigner::new());
    let (world, digest) = pinned(&signer);
    let registry = &world.registry;
    let push = |bundle: Vec<u8>| drop(push_referrer(registry, REPOSITORY, &digest, bundle));
    let good = String::from_utf8(signer.bundle(&statement(&[&digest], crate::support::signer::SIGN))).unwrap();
    let forged = String::from_utf8(stranger.bundle(&statement(&[&digest], crate::support::signer::SIGN))).unwrap();
    let statement_of = |bundle: &str| serde_json::from_str::<Value>(bundle).unwrap()["dsseEnvelope"].clone();
    push(b"not JSON".to_vec());
    push("[".repeat(200_000).into_bytes());
    push(vec![b' '; 5 << 20]);
    // The same key twice: one reader sees the first, another the last.
    push(format!("{{\"dsseEnvelope\": {}, {}", statement_of(&forged), &forged[1..]).into_bytes());
    // The signature of the right signer under another payload type, and under another payload.
    push(good.replace("vnd.in-toto+json", "json").into_bytes());
    let other = stranger.bundle(&statement(&[&digest], "https://example.com/other"));
    let mut swapped: Value = serde_json::from_slice(&other).unwrap();
    swapped["dsseEnvelope"]["signatures"] = statement_of(&good)["signatures"].clone();
    push(swapped.to_string().into_bytes());
    // A manifest without its layer, and one whose layer is promised smaller than it is.
    let mut missing = referrer(registry, REPOSITORY, &digest, good.clone().into_bytes());
    missing["layers"][0]["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    registry.push_manifest(REPOSITORY, None, MANIFEST, missing.to_string().into_bytes());
    let mut small = referrer(registry, REPOSITORY, &digest, forged.clone().into_bytes());
    small["layers"][0]["size"] = json!(3);
    registry.push_manifest(REPOSITORY, None, MANIFEST, small.to_string().into_bytes());
    push_under_tag(
        registry,
        REPOSITORY,
        (&digest, "sig"),
        ("application/vnd.dev.cosign.simplesigning.v1+json", b"{}".to_vec(), json!({})),
    );
    let report = world.apply();
    let why = reason(&report);
    assert!(
        why.contains("by somebody else") && why.contains("cannot be used") && why.contains("more reasons"),
        "{why}"
    );
    assert_eq!(report["problems"], json!([]), "each on its own is no failure of the registry: {report:#}");
    push(good.into_bytes());
    assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
}

#[test]
fn a_keyless_signature_counts_by_the_operators_root_alone() {
    let all: Value = serde_json::from_str(include_str!("../../samples/keyless/signatures.json")).unwrap();
    let text = |name: &str| all[name].as_str().unwrap();
    let policy = format!(
        "policies:\n  - name: dev\n    paths: [\"apps/{{app}}/overlays/dev/**\"]\n    environment: dev\n    write: commit\n    \
         tags: {{ semver: \"*\" }}\n    pin: digest\n    verify:\n      cosign:\n        identity: {}\n        issuer: {}\n      \
         attestations: [slsaprovenance1]\n",
        text("identity"),
        text("issuer")
    );
    let world = World::setup().app("web", "1.2.3", &["dev"]).policies(&policy).start();
    world.push(REPOSITORY, "1.2.3");
    let registry = &world.registry;
    registry.push_blob(REPOSITORY, text("config").into());
    let tag = landfall::model::Tag::parse("1.3.0").unwrap();
    let digest = registry.push_manifest(REPOSITORY, Some(&tag), MANIFEST, text("manifest").into());
    assert_eq!(digest, text("digest"));
    let push = |name: &str| drop(push_referrer(registry, REPOSITORY, &digest, all[name].to_string().into_bytes()));
    push("signed");
    push("attested");
    let why = reason(&world.apply()).to_owned();
    assert!(why.contains("cannot be used"), "by Sigstore's own authorities it is nobody's: {why}");
    std::fs::write(world.path("root.json"), all["trustedRoot"].to_string()).unwrap();
    world.configure("stateDir: state\n", "stateDir: state\nsignatures: { trustedRoot: root.json }\n");
    let doctor = world.landfall(&["doctor"]).ends(1).stdout;
    assert!(
        doctor.contains("root.json") && doctor.contains("would not be written today"),
        "1.2.3 is not signed: {doctor}"
    );
    assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
    let verified = trailer(&world, "Landfall-Verified").unwrap();
    assert!(
        verified.contains("signature (log index 4711) and attestation slsaprovenance1 (log index 4712) by https://"),
        "{verified}"
    );
    let doctor = world.landfall(&["doctor"]).ends(0).stdout;
    assert!(doctor.contains("attestation slsaprovenance1 by"), "{doctor}");
    std::fs::write(world.path("root.json"), "{}").unwrap();
    let refused = world.landfall(&["apply"]).ends(2).stderr;
    assert!(refused.contains("root.json") && refused.contains("trusted root"), "{refused}");
}

#[test]
fn what_a_cosign_of_before_signed_without_a_key_is_found_under_its_tag() {
    let all: Value = serde_json::from_str(include_str!("../../samples/keyless/signatures.json")).unwrap();
    let text = |name: &str| all[name].as_str().unwrap();
    let cap = format!(
        "    caps:\n      - {{ paths: [\"**\"], write: [commit], verify: {{ cosign: {{ identity: \"{}\", issuer: \"{}\" }} }} }}\n",
        text("identity"),
        text("issuer")
    );
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    world.push(REPOSITORY, "1.2.3");
    std::fs::write(world.path("root.json"), all["trustedRoot"].to_string()).unwrap();
    world.configure("registries:", &format!("{cap}signatures: {{ trustedRoot: root.json }}\nregistries:"));
    world.registry.push_blob(REPOSITORY, text("config").into());
    let tag = landfall::model::Tag::parse("1.3.0").unwrap();
    let digest = world.registry.push_manifest(REPOSITORY, Some(&tag), MANIFEST, text("manifest").into());
    assert!(reason(&world.apply()).contains("is not signed"));
    let layer = (all["simple"]["payload"].as_str().unwrap().as_bytes().to_vec(), all["simple"]["annotations"].clone());
    push_under_tag(
        &world.registry,
        REPOSITORY,
        (&digest, "sig"),
        ("application/vnd.dev.cosign.simplesigning.v1+json", layer.0, layer.1),
    );
    assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
    assert!(trailer(&world, "Landfall-Verified").unwrap().contains("log index 4717"));
}
