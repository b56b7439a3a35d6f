//! Documents with real signatures, held against what is demanded.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::model::{BesideSignature, COSIGN_SIGN, PredicateType, PublicKeyError, PublicKeys};

/// A key of any kind.
enum TestKey {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl TestKey {
    fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        Self::Ecdsa(EcdsaKeyPair::generate(algorithm).unwrap())
    }

    fn p256() -> Self {
        Self::ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)
    }

    fn pem(&self) -> String {
        let der = match self {
            Self::Ecdsa(key) => AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap(),
            Self::Ed25519(key) => AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap(),
            Self::Rsa(key) => AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap(),
        };
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
    }

    fn sign(&self, message: &[u8]) -> String {
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ecdsa(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        };
        STANDARD.encode(signature)
    }

    fn envelope(&self, payload: &str) -> Value {
        let kind = "application/vnd.in-toto+json";
        let message = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
        json!({ "payload": STANDARD.encode(payload), "payloadType": kind, "signatures": [{ "sig": self.sign(message.as_bytes()) }] })
    }

    fn bundle(&self, payload: &str) -> SignatureDocument {
        SignatureDocument::Bundle(json!({ "dsseEnvelope": self.envelope(payload) }).to_string().into_bytes())
    }

    fn simple(&self, payload: &str) -> SignatureDocument {
        let (payload, signature) = (payload.as_bytes().to_vec(), self.sign(payload.as_bytes()));
        SignatureDocument::Simple { payload, signature, beside: BesideSignature::default() }
    }
}

fn digest(of: char) -> Digest {
    Digest::parse(&format!("sha256:{}", of.to_string().repeat(64))).unwrap()
}

fn statement(digests: &[Digest], kind: &str) -> String {
    let hex = |digest: &Digest| json!({ "name": "x", "digest": { "sha256": digest.as_str()[7..] } });
    let subject: Vec<Value> = digests.iter().map(hex).collect();
    json!({ "_type": "https://in-toto.io/Statement/v0.1", "subject": subject, "predicateType": kind, "predicate": {} })
        .to_string()
}

fn payload(digest: &Digest) -> String {
    let image = json!({ "docker-manifest-digest": digest.as_str() });
    json!({ "critical": { "identity": {}, "image": image, "type": "cosign container image signature" } }).to_string()
}

fn by_keys(pem: &str, attestations: &[&str]) -> Verification {
    let mut wanted = vec![SignedThing::Image];
    wanted.extend(attestations.iter().map(|kind| SignedThing::Attestation(PredicateType::parse(kind).unwrap())));
    Verification { signer: Signer::Keys(PublicKeys::parse(pem).unwrap()), wanted }
}

fn verdict(demand: &Verification, documents: &[SignatureDocument]) -> SignatureVerdict {
    let digest = digest('a');
    let mut search = Search::new(&digest, demand, None);
    for document in documents {
        search.take(document);
    }
    search.verdict()
}

#[track_caller]
fn refused(demand: &Verification, documents: &[SignatureDocument]) -> String {
    match verdict(demand, documents) {
        SignatureVerdict::Refused { reason } => reason,
        SignatureVerdict::Verified(evidence) => panic!("{evidence:?}"),
    }
}

#[test]
fn keys_of_every_kind_verify_in_every_form() {
    let keys = [
        TestKey::p256(),
        TestKey::ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
        TestKey::Ed25519(Ed25519KeyPair::generate().unwrap()),
        TestKey::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
    ];
    let (right, wrong) = (digest('a'), digest('b'));
    for (number, key) in keys.iter().enumerate() {
        let demand = by_keys(&key.pem(), &[]);
        for document in
            [key.bundle(&statement(std::slice::from_ref(&right), COSIGN_SIGN)), key.simple(&payload(&right))]
        {
            let found = verdict(&demand, std::slice::from_ref(&document));
            assert!(
                matches!(&found, SignatureVerdict::Verified(it) if it.digest == right && it.proofs.len() == 1),
                "{number}: {found:?}"
            );
            let other = by_keys(&TestKey::p256().pem(), &[]);
            assert!(refused(&other, &[document]).contains("somebody else"), "{number}");
        }
        for document in
            [key.bundle(&statement(std::slice::from_ref(&wrong), COSIGN_SIGN)), key.simple(&payload(&wrong))]
        {
            assert!(refused(&demand, &[document]).contains("another image (sha256:bbbbbbbbbbbb…)"), "{number}");
        }
    }
}

#[test]
fn any_one_of_several_keys_may_have_signed() {
    let (former, present) = (TestKey::p256(), TestKey::p256());
    let demand = by_keys(&format!("# former\n{}{}", former.pem(), present.pem()), &[]);
    for key in [&former, &present] {
        assert!(matches!(verdict(&demand, &[key.simple(&payload(&digest('a')))]), SignatureVerdict::Verified(_)));
    }
    let why = refused(&demand, &[TestKey::p256().simple(&payload(&digest('a')))]);
    assert!(why.contains("one of the keys sha256:"), "{why}");
}

#[test]
fn everything_demanded_must_be_there() {
    const SLSA: &str = "https://slsa.dev/provenance/v1";
    let key = TestKey::p256();
    let about = |kind: &str| key.bundle(&statement(&[digest('a')], kind));
    let demand = by_keys(&key.pem(), &["slsaprovenance", "https://example.com/scan"]);
    let (signed, slsa, scan) = (about(COSIGN_SIGN), about(SLSA), about("https://example.com/scan"));
    assert!(refused(&demand, &[]).contains("not signed"));
    let why = refused(&demand, std::slice::from_ref(&signed));
    assert!(why.contains("has no attestation") && why.contains("none from anyone"), "{why}");
    assert!(!why.contains("not signed"), "{why}");
    let why = refused(&demand, &[signed.clone(), scan.clone(), about("https://example.com/else")]);
    assert!(why.contains("no attestation slsaprovenance by key") && why.contains("https://example.com/else"), "{why}");
    // An attestation is no signature, and a signature attests nothing.
    assert!(refused(&demand, &[slsa.clone(), scan.clone()]).contains("no signature"));
    let all = [scan, slsa, signed];
    let SignatureVerdict::Verified(evidence) = verdict(&demand, &all) else { panic!() };
    assert_eq!(evidence.proofs.len(), 3);
}

#[test]
fn a_payload_with_two_subjects_is_about_both_and_nothing_else() {
    let key = TestKey::p256();
    let demand = by_keys(&key.pem(), &[]);
    let both = key.bundle(&statement(&[digest('b'), digest('a')], COSIGN_SIGN));
    assert!(matches!(verdict(&demand, &[both]), SignatureVerdict::Verified(_)));
    let neither = key.bundle(&statement(&[digest('b'), digest('c')], COSIGN_SIGN));
    assert!(refused(&demand, &[neither]).contains("and 1 more"));
}

#[test]
fn hostile_documents_are_refused_one_by_one() {
    let (key, stranger) = (TestKey::p256(), TestKey::p256());
    let demand = by_keys(&key.pem(), &[]);
    let good = statement(&[digest('a')], COSIGN_SIGN);
    let bundle =
        |envelope: Value| SignatureDocument::Bundle(json!({ "dsseEnvelope": envelope }).to_string().into_bytes());
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut envelope = key.envelope(&good);
        change(&mut envelope);
        bundle(envelope)
    };
    let documents = [
        SignatureDocument::Bundle(Vec::new()),
        SignatureDocument::Bundle(b"{}".to_vec()),
        SignatureDocument::Bundle(vec![0xff; 100]),
        SignatureDocument::Bundle("{\"a\":".repeat(100_000).into_bytes()),
        SignatureDocument::Bundle(br#"{"messageSignature": {"signature": "AAAA"}}"#.to_vec()),
        changed(&|it| it["payloadType"] = json!("text/plain")),
        changed(&|it| it["payload"] = json!(STANDARD.encode(statement(&[digest('a')], "https://x/y")))),
        changed(&|it| it["payload"] = json!("*")),
        changed(&|it| it["signatures"] = json!([])),
        changed(&|it| it["signatures"] = json!([{ "sig": "" }])),
        changed(&|it| it["signatures"] = Value::Array(vec![it["signatures"][0].clone(); 9])),
        bundle(stranger.envelope(&good)),
        key.bundle("{}"),
        SignatureDocument::Simple {
            payload: payload(&digest('a')).into_bytes(),
            signature: String::new(),
            beside: BesideSignature::default(),
        },
        SignatureDocument::Unusable { reason: "it has more than 4 MiB".to_owned() },
    ];
    for document in &documents {
        let why = refused(&demand, std::slice::from_ref(document));
        assert!(why.contains("has no signature by key"), "{why}");
    }
    let why = refused(&demand, &documents);
    assert!(why.contains("more reasons") && why.len() < 1_500, "{why}");
    let with_good: Vec<SignatureDocument> = documents.into_iter().chain([key.bundle(&good)]).collect();
    assert!(matches!(verdict(&demand, &with_good), SignatureVerdict::Verified(_)), "none of them hides a good one");
    // The words of the signer of another document reach no message unescaped.
    let odd = key.bundle(&statement(&[digest('a')], "https://x/\u{1b}[2J\n@everyone"));
    let why = refused(&demand, &[odd]);
    assert!(!why.contains('\u{1b}') && !why.contains('\n'), "{why}");
}

#[test]
fn a_text_without_a_usable_key_is_refused() {
    let pem = TestKey::p256().pem();
    let broken = pem.replacen("MFkw", "MFkx", 1);
    let small = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n-----END PUBLIC KEY-----";
    for (text, error) in [
        ("", PublicKeyError::Missing),
        ("cosign.pub", PublicKeyError::Missing),
        ("-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----", PublicKeyError::Private),
        (broken.as_str(), PublicKeyError::Unreadable(1)),
        (small, PublicKeyError::Unreadable(1)),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", PublicKeyError::Unreadable(1)),
        ("-----BEGIN PUBLIC KEY-----\nAAAA", PublicKeyError::Unreadable(1)),
    ] {
        assert_eq!(PublicKeys::parse(text), Err(error), "{text}");
    }
    assert_eq!(PublicKeys::parse(&format!("{pem}{broken}")), Err(PublicKeyError::Unreadable(2)));
    assert_eq!(PublicKeys::parse(&pem.repeat(3)).unwrap().fingerprints().count(), 1, "the same key is one key");
}

/// Keyless signatures of authorities that exist nowhere else; `make.py` beside it made them.
fn keyless() -> Value {
    serde_json::from_str(include_str!("../../tests/samples/keyless/signatures.json")).unwrap()
}

fn judged(all: &Value, root: &TrustedRoot, who: (&str, &str), document: &SignatureDocument) -> SignatureVerdict {
    let digest = Digest::parse(all["digest"].as_str().unwrap()).unwrap();
    let signer = Signer::Identity { identity: who.0.to_owned(), issuer: who.1.to_owned() };
    let demand = Verification { signer, wanted: vec![SignedThing::Image] };
    let mut search = Search::new(&digest, &demand, Some(root));
    search.take(document);
    search.verdict()
}

#[test]
fn a_keyless_signature_counts_for_exactly_one_identity_issuer_and_digest() {
    let all = keyless();
    let root = TrustedRoot::parse(&all["trustedRoot"].to_string()).unwrap();
    let who = (all["identity"].as_str().unwrap(), all["issuer"].as_str().unwrap());
    let bundle = |name: &str| SignatureDocument::Bundle(all[name].to_string().into_bytes());
    let SignatureVerdict::Verified(evidence) = judged(&all, &root, who, &bundle("signed")) else {
        panic!("{:?}", judged(&all, &root, who, &bundle("signed")));
    };
    assert_eq!(evidence.proofs[0].log_index, Some(4711));
    assert_eq!(evidence.proofs[0].by, format!("{} ({})", who.0, who.1));
    let refused =
        |root: &TrustedRoot, who: (&str, &str), document: &SignatureDocument| match judged(&all, root, who, document) {
            SignatureVerdict::Refused { reason } => reason,
            SignatureVerdict::Verified(evidence) => panic!("{evidence:?}"),
        };
    for (name, words) in [
        ("attested", "says something else (https://slsa.dev/provenance/v1)"),
        ("ofAnotherImage", "another image"),
        ("byAnotherIdentity", "identity mismatch"),
        ("byAnotherIssuer", "issuer mismatch"),
        ("byAnotherAuthority", "cannot be used"),
    ] {
        let why = refused(&root, who, &bundle(name));
        assert!(why.contains(words), "{name}: {why}");
    }
    // Neither a part of the identity nor one without regard to case, and no other issuer.
    for other in [
        (&who.0[..who.0.len() - 1], who.1),
        (who.0, &who.1[..who.1.len() - 1]),
        ("", ""),
        (&who.0.to_uppercase(), who.1),
    ] {
        assert!(refused(&root, other, &bundle("signed")).contains("mismatch"), "{other:?}");
    }
    let public = TrustedRoot::public().unwrap();
    assert!(
        refused(&public, who, &bundle("signed")).contains("cannot be used"),
        "another root trusts other authorities"
    );
    assert_ne!(public.fingerprint(), root.fingerprint());
}

#[test]
fn what_was_signed_without_a_key_before_bundles_counts_too() {
    let all = keyless();
    let root = TrustedRoot::parse(&all["trustedRoot"].to_string()).unwrap();
    let who = (all["identity"].as_str().unwrap(), all["issuer"].as_str().unwrap());
    let annotation = |name: &str| all["simple"]["annotations"][name].as_str().unwrap().to_owned();
    let beside = BesideSignature {
        certificate: Some(annotation("dev.sigstore.cosign/certificate")),
        chain: Some(annotation("dev.sigstore.cosign/chain")),
        log: Some(annotation("dev.sigstore.cosign/bundle")),
    };
    let payload = all["simple"]["payload"].as_str().unwrap();
    let signature = annotation("dev.cosignproject.cosign/signature");
    let document = |payload: &str, beside: &BesideSignature| SignatureDocument::Simple {
        payload: payload.as_bytes().to_vec(),
        signature: signature.clone(),
        beside: beside.clone(),
    };
    let good = judged(&all, &root, who, &document(payload, &beside));
    assert!(matches!(&good, SignatureVerdict::Verified(it) if it.proofs[0].log_index == Some(4717)), "{good:?}");
    let later = beside.log.clone().map(|log| log.replace("4717", "4718"));
    for (what, document) in [
        ("another payload", document(&payload.replace("\"optional\"", "\"Optional\""), &beside)),
        ("no certificate", document(payload, &BesideSignature { certificate: None, ..beside.clone() })),
        ("no promise", document(payload, &BesideSignature { log: None, ..beside.clone() })),
        ("another number", document(payload, &BesideSignature { log: later, ..beside.clone() })),
    ] {
        let found = judged(&all, &root, who, &document);
        assert!(matches!(found, SignatureVerdict::Refused { .. }), "{what}: {found:?}");
    }
}

#[test]
fn parts_of_a_bundle_that_are_changed_or_missing_are_noticed() {
    let all = keyless();
    let root = TrustedRoot::parse(&all["trustedRoot"].to_string()).unwrap();
    let who = (all["identity"].as_str().unwrap(), all["issuer"].as_str().unwrap());
    let other = &all["attested"];
    for part in [
        "/verificationMaterial/certificate",
        "/verificationMaterial/tlogEntries",
        "/verificationMaterial/tlogEntries/0/inclusionPromise",
        "/verificationMaterial/tlogEntries/0/inclusionProof",
        "/verificationMaterial/tlogEntries/0/integratedTime",
        "/verificationMaterial/tlogEntries/0/logIndex",
        "/verificationMaterial/tlogEntries/0/canonicalizedBody",
        "/dsseEnvelope/payload",
        "/dsseEnvelope/signatures",
    ] {
        let mut missing = all["signed"].clone();
        let (parent, name) = part.rsplit_once('/').unwrap();
        missing.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        let mut swapped = all["signed"].clone();
        *swapped.pointer_mut(part).unwrap() = match part.ends_with("integratedTime") {
            true => json!("1767614460"),
            false => other.pointer(part).unwrap().clone(),
        };
        for bundle in [missing, swapped] {
            let found = judged(&all, &root, who, &SignatureDocument::Bundle(bundle.to_string().into_bytes()));
            assert!(matches!(found, SignatureVerdict::Refused { .. }), "{part}: {found:?}");
        }
    }
}

#[test]
fn what_is_no_trusted_root_is_refused() {
    let all = keyless();
    let mut without = all["trustedRoot"].clone();
    without["certificateAuthorities"] = json!([]);
    let mut broken = all["trustedRoot"].clone();
    broken["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] = json!("AAAA");
    for text in [String::new(), "{}".to_owned(), without.to_string(), broken.to_string(), "[".repeat(100_000)] {
        assert!(TrustedRoot::parse(&text).is_err(), "{text:.100}");
    }
}
