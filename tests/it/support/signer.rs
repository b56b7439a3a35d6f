//! Who signs images: real keys, made for each test, and signatures in every form in which cosign has stored them.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall::demo::registry::DemoRegistry;
use landfall::model::Tag;
use serde_json::{Value, json};

/// The type of cosign's own signatures.
pub(crate) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A key, and what it signs.
pub(crate) struct ImageSigner(EcdsaKeyPair);

impl ImageSigner {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn der(&self) -> Vec<u8> {
        AsDer::<PublicKeyX509Der<'_>>::as_der(self.0.public_key()).unwrap().as_ref().to_vec()
    }

    /// The public key in PEM, as `cosign public-key` writes it.
    pub(crate) fn pem(&self) -> String {
        let text = STANDARD.encode(self.der());
        let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// The same for a YAML file, as the value of a key at this indent.
    pub(crate) fn yaml(&self, indent: usize) -> String {
        self.pem()
            .lines()
            .map(|line| format!("\n{}{line}", " ".repeat(indent)))
            .fold("|".to_owned(), |all, line| all + &line)
    }

    pub(crate) fn fingerprint(&self) -> String {
        digest_of(&self.der())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        STANDARD.encode(self.0.sign(&SystemRandom::new(), message).unwrap())
    }

    /// A DSSE envelope around a statement.
    pub(crate) fn envelope(&self, statement: &str) -> Value {
        let kind = "application/vnd.in-toto+json";
        let message = format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len());
        json!({
            "payload": STANDARD.encode(statement),
            "payloadType": kind,
            "signatures": [{ "sig": self.sign(message.as_bytes()) }],
        })
    }

    /// A bundle around that, as cosign writes it with a key and without a log.
    pub(crate) fn bundle(&self, statement: &str) -> Vec<u8> {
        let bundle = json!({
            "mediaType": BUNDLE,
            "verificationMaterial": { "publicKey": { "hint": "x" }, "tlogEntries": [] },
            "dsseEnvelope": self.envelope(statement),
        });
        bundle.to_string().into_bytes()
    }

    /// Signs an image as cosign 3 does: a bundle that refers to it.
    pub(crate) fn sign_image(&self, registry: &DemoRegistry, repository: &str, digest: &str) {
        self.attest(registry, repository, digest, SIGN);
    }

    /// Attests something of this type, in the same way.
    pub(crate) fn attest(&self, registry: &DemoRegistry, repository: &str, digest: &str, kind: &str) {
        let bundle = self.bundle(&statement(&[digest], kind));
        push_referrer(registry, repository, digest, bundle);
    }

    /// Signs an image as cosign 2 did: a payload under a tag.
    pub(crate) fn sign_under_tag(&self, registry: &DemoRegistry, repository: &str, digest: &str) {
        let payload = payload(digest);
        let signature = self.sign(payload.as_bytes());
        let annotations = json!({ "dev.cosignproject.cosign/signature": signature });
        push_under_tag(registry, repository, (digest, "sig"), (SIMPLE, payload.into_bytes(), annotations));
    }

    /// Attests something as cosign 2 did: an envelope under a tag.
    pub(crate) fn attest_under_tag(&self, registry: &DemoRegistry, repository: &str, digest: &str, kind: &str) {
        let envelope = self.envelope(&statement(&[digest], kind)).to_string().into_bytes();
        let layer = ("application/vnd.dsse.envelope.v1+json", envelope, json!({ "predicateType": kind }));
        push_under_tag(registry, repository, (digest, "att"), layer);
    }
}

/// A statement about these digests.
pub(crate) fn statement(digests: &[&str], kind: &str) -> String {
    let subject = |digest: &&str| json!({ "name": "x", "digest": { "sha256": digest.trim_start_matches("sha256:") } });
    let subjects: Vec<Value> = digests.iter().map(subject).collect();
    json!({ "_type": "https://in-toto.io/Statement/v1", "subject": subjects, "predicateType": kind, "predicate": {} })
        .to_string()
}

/// cosign's payload from before bundles.
pub(crate) fn payload(digest: &str) -> String {
    let (identity, image) = (json!({ "docker-reference": "" }), json!({ "docker-manifest-digest": digest }));
    let kind = "cosign container image signature";
    json!({ "critical": { "identity": identity, "image": image, "type": kind }, "optional": null }).to_string()
}

/// Pushes a bundle that refers to an image, for registries with the referrers API.
pub(crate) fn push_referrer(registry: &DemoRegistry, repository: &str, digest: &str, bundle: Vec<u8>) -> String {
    let manifest = referrer(registry, repository, digest, bundle);
    registry.push_manifest(repository, None, MANIFEST, manifest.to_string().into_bytes())
}

/// The manifest of a bundle; its parts are pushed.
pub(crate) fn referrer(registry: &DemoRegistry, repository: &str, digest: &str, bundle: Vec<u8>) -> Value {
    let size = bundle.len();
    let config = registry.push_blob(repository, b"{}".to_vec());
    let layer = registry.push_blob(repository, bundle);
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": BUNDLE,
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": BUNDLE, "digest": layer, "size": size }],
        "subject": { "mediaType": MANIFEST, "digest": digest, "size": 1 },
    })
}

/// Pushes manifests as the index that stands in for the referrers API.
pub(crate) fn push_referrers_tag(registry: &DemoRegistry, repository: &str, digest: &str, manifests: &[&str]) {
    let entries: Vec<Value> = manifests
        .iter()
        .map(|own| json!({ "mediaType": MANIFEST, "digest": own, "size": 1, "artifactType": BUNDLE }))
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    let tag = Tag::parse(&digest.replace(':', "-")).unwrap();
    registry.push_manifest(repository, Some(&tag), INDEX, index.to_string().into_bytes());
}

/// Pushes a layer under `sha256-HEX.KIND`.
pub(crate) fn push_under_tag(
    registry: &DemoRegistry,
    repository: &str,
    (digest, kind): (&str, &str),
    (media_type, body, annotations): (&str, Vec<u8>, Value),
) {
    let size = body.len();
    let config = registry.push_blob(repository, b"{}".to_vec());
    let layer = registry.push_blob(repository, body);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": media_type, "digest": layer, "size": size, "annotations": annotations }],
    });
    let tag = Tag::parse(&format!("{}.{kind}", digest.replace(':', "-"))).unwrap();
    registry.push_manifest(repository, Some(&tag), MANIFEST, manifest.to_string().into_bytes());
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    format!("sha256:{}", hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
