//! What is signed: in-toto statements, and payloads of simple signing.
//!
//! Both are JSON that serde reads into structs, which refuses a key that is given twice.

use serde::Deserialize;

use super::Refusal;
use crate::model::{COSIGN_SIGN, Digest, visible};

/// The payload type of a DSSE envelope that holds an in-toto statement.
pub(super) const IN_TOTO: &str = "application/vnd.in-toto+json";
/// What `critical.type` says in cosign's payloads.
const COSIGN_TYPE: &str = "cosign container image signature";
/// How many subjects a statement may have: a build has some.
const MAX_SUBJECTS: usize = 1_000;
/// Longest text from outside in a message.
const MAX_SHOWN: usize = 120;

/// What a signature says: about which images, and what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    kind: ClaimKind,
    /// The digests that it is about.
    digests: Vec<Digest>,
}

#[derive(Debug, PartialEq, Eq)]
enum ClaimKind {
    /// cosign's payload from before bundles.
    Simple,
    /// A statement with this predicate type.
    Statement(String),
}

impl Claim {
    /// Reads an in-toto statement.
    pub(super) fn statement(payload: &[u8]) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Statement {
            #[serde(rename = "_type")]
            kind: String,
            subject: Vec<Subject>,
            #[serde(rename = "predicateType")]
            predicate_type: String,
        }
        #[derive(Deserialize)]
        struct Subject {
            digest: Digests,
        }
        #[derive(Deserialize)]
        struct Digests {
            sha256: Option<String>,
            sha512: Option<String>,
        }
        let statement: Statement = serde_json::from_slice(payload)
            .map_err(|error| Refusal::Broken(format!("its statement cannot be read: {}", short(&error.to_string()))))?;
        if !matches!(statement.kind.as_str(), "https://in-toto.io/Statement/v0.1" | "https://in-toto.io/Statement/v1") {
            return Err(Refusal::Broken(format!("its statement is of the unknown type {}", short(&statement.kind))));
        }
        if statement.subject.len() > MAX_SUBJECTS {
            return Err(Refusal::Broken(format!("its statement has more than {MAX_SUBJECTS} subjects")));
        }
        let mut digests = Vec::new();
        for Subject { digest: Digests { sha256, sha512 } } in statement.subject {
            let named = [sha256.map(|hex| format!("sha256:{hex}")), sha512.map(|hex| format!("sha512:{hex}"))];
            digests.extend(named.into_iter().flatten().filter_map(|text| Digest::parse(&text).ok()));
        }
        Ok(Self { kind: ClaimKind::Statement(statement.predicate_type), digests })
    }

    /// Reads a payload of simple signing.
    pub(super) fn simple(payload: &[u8]) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Payload {
            critical: Critical,
        }
        #[derive(Deserialize)]
        struct Critical {
            image: Image,
            #[serde(rename = "type")]
            kind: String,
        }
        #[derive(Deserialize)]
        struct Image {
            #[serde(rename = "docker-manifest-digest")]
            digest: String,
        }
        let Payload { critical } = serde_json::from_slice(payload)
            .map_err(|error| Refusal::Broken(format!("its payload cannot be read: {}", short(&error.to_string()))))?;
        if critical.kind != COSIGN_TYPE {
            return Err(Refusal::Broken(format!(
                "its payload is of the type `{}`, not cosign's",
                short(&critical.kind)
            )));
        }
        let digest = Digest::parse(&critical.image.digest)
            .map_err(|_| Refusal::Broken("its payload names something that is not a digest".to_owned()))?;
        Ok(Self { kind: ClaimKind::Simple, digests: vec![digest] })
    }

    /// Refuses it unless it is about this very digest.
    pub(super) fn is_about(&self, digest: &Digest) -> Result<(), Refusal> {
        if self.digests.contains(digest) {
            return Ok(());
        }
        Err(Refusal::OtherDigest(match self.digests.as_slice() {
            [] => "it names no digest".to_owned(),
            [one] => format!("{}:{}…", algorithm(one), one.short()),
            [one, rest @ ..] => format!("{}:{}… and {} more", algorithm(one), one.short(), rest.len()),
        }))
    }

    /// Whether it says no more than that the signer has signed.
    pub(super) fn is_signature(&self) -> bool {
        match &self.kind {
            ClaimKind::Simple => true,
            ClaimKind::Statement(kind) => kind == COSIGN_SIGN,
        }
    }

    /// The type of a statement; empty for other payloads.
    pub(super) fn predicate_type(&self) -> &str {
        match &self.kind {
            ClaimKind::Simple => "",
            ClaimKind::Statement(kind) => kind,
        }
    }

    /// What it says, for people.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            ClaimKind::Statement(kind) if kind != COSIGN_SIGN => short(kind),
            _ => "a signature alone".to_owned(),
        }
    }
}

fn algorithm(digest: &Digest) -> &str {
    digest.as_str().split(':').next().unwrap_or_default()
}

/// Text from outside, as it may stand in a message.
pub(super) fn short(text: &str) -> String {
    let shown: String = text.chars().take(MAX_SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{}{more}", visible(&shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(of: char) -> Digest {
        Digest::parse(&format!("sha256:{}", of.to_string().repeat(64))).unwrap()
    }

    fn subject(of: char) -> String {
        format!(r#"{{"name": "x", "digest": {{"sha256": "{}"}}}}"#, of.to_string().repeat(64))
    }

    fn statement(subjects: &str) -> String {
        format!(
            r#"{{"_type": "https://in-toto.io/Statement/v1", "subject": [{subjects}], "predicateType": "https://a/b", "predicate": {{"subject": 1}}}}"#
        )
    }

    #[test]
    fn a_statement_is_about_its_subjects_alone() {
        let two = Claim::statement(statement(&format!("{}, {}", subject('a'), subject('b'))).as_bytes()).unwrap();
        assert!(two.is_about(&digest('a')).is_ok() && two.is_about(&digest('b')).is_ok());
        assert!(matches!(two.is_about(&digest('c')), Err(Refusal::OtherDigest(text)) if text.contains("1 more")));
        let none = Claim::statement(statement("").as_bytes()).unwrap();
        assert!(none.is_about(&digest('a')).is_err());
    }

    #[test]
    fn what_two_readers_may_read_differently_is_refused() {
        let good = statement(&subject('a'));
        assert!(Claim::statement(good.as_bytes()).is_ok());
        let (a, b) = (subject('a'), subject('b'));
        for text in [
            good.replace(r#""predicateType""#, r#""subject": [], "predicateType""#),
            good.replace(r#""predicate":"#, r#""predicateType": "https://c/d", "predicate":"#),
            statement(&a.replace(r#""sha256":"#, &format!(r#""sha256": "{}", "sha256":"#, "b".repeat(64)))),
            statement(&format!(r#"{{"digest": {{}}, {}"#, &b[1..])),
            good.replace("Statement/v1", "Statement/v2"),
            good[..good.len() - 1].to_owned(),
            format!("{good}{good}"),
            statement(&[a.as_str(); MAX_SUBJECTS + 1].join(",")),
        ] {
            assert!(matches!(Claim::statement(text.as_bytes()), Err(Refusal::Broken(_))), "{text:.300}");
        }
        // Upper case is another text for the same number, which Digest does not take.
        let upper = Claim::statement(statement(&subject('A')).as_bytes()).unwrap();
        assert!(upper.is_about(&digest('a')).is_err());
    }

    #[test]
    fn a_payload_is_about_its_manifest_digest() {
        let text = |kind: &str, digest: &str| {
            format!(
                r#"{{"critical": {{"identity": {{"docker-reference": "r/a"}}, "image": {{"docker-manifest-digest": "{digest}"}}, "type": "{kind}"}}, "optional": null}}"#
            )
        };
        let good = text(COSIGN_TYPE, digest('a').as_str());
        let claim = Claim::simple(good.as_bytes()).unwrap();
        assert!(claim.is_signature() && claim.is_about(&digest('a')).is_ok() && claim.is_about(&digest('b')).is_err());
        for text in [
            text("atomic container signature", digest('a').as_str()),
            text(COSIGN_TYPE, "latest"),
            good.replace(r#""optional": null"#, r#""critical": {}"#),
            good.replace(r#""type":"#, r#""type": "x", "type":"#),
            "{}".to_owned(),
            "[".repeat(100_000),
        ] {
            assert!(matches!(Claim::simple(text.as_bytes()), Err(Refusal::Broken(_))), "{text:.300}");
        }
    }
}
