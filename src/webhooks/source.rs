//! A configured source of webhooks, with its secret read.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::body::{Extent, extent};
use super::deliveries::Deliveries;
use super::hint::WebhookHint;
use super::jwks::Issuer;
use super::jwt::{Expected, Token};
use super::keys::SenderProof;
use super::scheme::{HeaderProof, RequestHead, Scheme};
use super::sources::SourceKind;

/// The shortest secret: 16 random letters and digits have 95 bits.
const SHORTEST: usize = 16;

/// Maximum number of hints that are looked at one by one: registries send their events in batches of some dozens.
const MAX_HINTS: usize = 1000;

/// A source as configured, with its secret not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    /// Its short name, which is part of its address.
    pub name: String,
    /// Who sends.
    pub kind: SourceKind,
    /// How senders prove who they are.
    pub proof: SenderProof,
    /// The registry that its images are on, whatever the webhook says.
    pub registry: Option<String>,
}

/// Why a source cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The secret can be guessed.
    #[error(
        "its secret has fewer than {SHORTEST} bytes; next: make one with `openssl rand -hex 32`, and give it to the sender too"
    )]
    Short,
    /// The secret does not fit into an address.
    #[error(
        "its secret is part of the address, and must have at least {SHORTEST} letters, digits, `-` and `_`; next: make one \
         with `openssl rand -hex 32`"
    )]
    Secret,
    /// No client for the issuer's keys.
    #[error("the public keys at `keysUrl` cannot be asked for: {0}")]
    Keys(String),
    /// The secret was not read.
    #[error("its secret was not read")]
    Unread,
}

/// A source that takes webhooks.
#[derive(Debug)]
pub struct WebhookSource {
    name: String,
    kind: SourceKind,
    registry: Option<String>,
    proof: Opened,
    deliveries: Mutex<Deliveries>,
}

#[derive(Debug)]
enum Opened {
    Secret(SecretString),
    Token { issuer: Issuer, audience: String, email: String },
}

/// Whether a request may send a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The headers prove who sends it.
    Proved,
    /// It claims to be signed; its body will tell.
    Claimed,
    /// It is not from the sender.
    Refused,
}

/// What came of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// What may have changed; at least one.
    Hints(Vec<WebhookHint>),
    /// More may have changed than is looked at one by one.
    Everything,
    /// It is about something else.
    Nothing,
    /// It was received before.
    Repeated,
    /// It is not what such a sender sends.
    Unreadable,
}

impl WebhookSource {
    /// Opens a source with its secret, if it has one; nothing is asked yet.
    ///
    /// # Errors
    /// If the secret cannot be used.
    pub fn open(settings: &SourceSettings, secret: Option<SecretString>) -> Result<Self, SourceError> {
        let proof = match &settings.proof {
            SenderProof::Secret(_) => Opened::Secret(secret.ok_or(SourceError::Unread)?),
            SenderProof::Token { audience, email, keys } => Opened::Token {
                issuer: Issuer::new(keys).map_err(SourceError::Keys)?,
                audience: audience.clone(),
                email: email.clone(),
            },
        };
        if let Opened::Secret(secret) = &proof {
            let (secret, address) = (secret.expose_secret(), settings.kind.schemes().contains(&Scheme::Address));
            let plain = secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            let short = secret.len() < SHORTEST;
            if address && (short || !plain) {
                return Err(SourceError::Secret);
            }
            if short {
                return Err(SourceError::Short);
            }
        }
        Ok(Self {
            name: settings.name.clone(),
            kind: settings.kind,
            registry: settings.registry.clone(),
            proof,
            deliveries: Mutex::default(),
        })
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path at which it takes webhooks; a secret in it is not shown.
    #[must_use]
    pub fn address(&self) -> String {
        let secret = if self.kind.schemes().contains(&Scheme::Address) { "/SECRET" } else { "" };
        format!("/webhooks/{}{secret}", self.name)
    }

    /// What the headers and the last part of the address say; no body has been read yet.
    pub async fn admit(&self, headers: &HeaderMap, secret: Option<&str>, now: Timestamp) -> Admission {
        let head = RequestHead { headers, secret };
        match &self.proof {
            Opened::Secret(expected) => {
                let shown = self.kind.schemes().iter().map(|scheme| scheme.look(head, expected, now));
                shown.fold(Admission::Refused, |so_far, shown| match (so_far, shown) {
                    (Admission::Proved, _) | (_, HeaderProof::Proved) => Admission::Proved,
                    (Admission::Claimed, _) | (_, HeaderProof::Claimed) => Admission::Claimed,
                    (Admission::Refused, HeaderProof::Refused) => Admission::Refused,
                })
            }
            Opened::Token { issuer, audience, email } => {
                let Some(token) = Token::parse(head.header("authorization")) else { return Admission::Refused };
                let keys = issuer.keys(&token.key).await;
                match token.proves(&keys, Expected { audience, email, now }) {
                    true => Admission::Proved,
                    false => Admission::Refused,
                }
            }
        }
    }

    /// Whether an admitted request is from the sender, now that its body is known.
    #[must_use]
    pub fn verify(&self, admission: Admission, headers: &HeaderMap, body: &[u8], now: Timestamp) -> bool {
        let head = RequestHead { headers, secret: None };
        match (admission, &self.proof) {
            (Admission::Proved, _) => true,
            (Admission::Claimed, Opened::Secret(secret)) => {
                let claimed = |scheme: &&Scheme| scheme.look(head, secret, now) == HeaderProof::Claimed;
                self.kind.schemes().iter().filter(claimed).any(|scheme| scheme.verify(head, body, secret))
            }
            (Admission::Claimed, Opened::Token { .. }) | (Admission::Refused, _) => false,
        }
    }

    /// What a verified webhook tells. Its delivery then counts as received.
    #[must_use]
    pub fn read(&self, headers: &HeaderMap, body: &[u8]) -> Received {
        let head = RequestHead { headers, secret: None };
        match extent(body) {
            Extent::Modest => {}
            Extent::Many => return Received::Everything,
            Extent::Deep => return Received::Unreadable,
        }
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return Received::Unreadable };
        let Ok(hints) = self.kind.read(head, &body) else { return Received::Unreadable };
        if hints.is_empty() {
            return Received::Nothing;
        }
        if let Some(id) = self.kind.delivery(head, &body)
            && !self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).is_new(&id)
        {
            return Received::Repeated;
        }
        let hints: BTreeSet<_> = hints.into_iter().map(|hint| self.placed(hint)).collect();
        match hints.len() > MAX_HINTS {
            true => Received::Everything,
            false => Received::Hints(hints.into_iter().collect()),
        }
    }

    /// A hint about an image, on the configured registry if there is one.
    fn placed(&self, hint: WebhookHint) -> WebhookHint {
        match (hint, &self.registry) {
            (WebhookHint::Image { repository, .. }, Some(host)) => {
                WebhookHint::Image { registry: Some(host.clone()), repository }
            }
            (hint, _) => hint,
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::HeaderName;
    use serde_json::json;
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::document::secret::SecretSource;
    use crate::webhooks::jwt::tests::{issuer, token};

    const SECRET: &str = "Hook-5ecret-0123456789";

    fn settings(kind: SourceKind) -> SourceSettings {
        let proof = SenderProof::Secret(SecretSource::Env("S".to_owned()));
        SourceSettings { name: "it".to_owned(), kind, proof, registry: None }
    }

    fn open(kind: SourceKind) -> WebhookSource {
        WebhookSource::open(&settings(kind), Some(SECRET.into())).unwrap()
    }

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn signature(algorithm: hmac::Algorithm, body: &str) -> String {
        let tag = hmac::sign(&hmac::Key::new(algorithm, SECRET.as_bytes()), body.as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_790_000_000).unwrap()
    }

    async fn takes(source: &WebhookSource, headers: &HeaderMap, secret: Option<&str>, body: &str) -> bool {
        let admission = source.admit(headers, secret, now()).await;
        source.verify(admission, headers, body.as_bytes(), now())
    }

    #[tokio::test]
    async fn each_kind_takes_what_its_sender_presents_and_nothing_else() {
        let body = "{\"a\": 1}";
        let sha256 = signature(hmac::HMAC_SHA256, body);
        let basic = format!("Basic {}", STANDARD.encode(format!("landfall:{SECRET}")));
        let prefixed = format!("sha256={sha256}");
        let all: &[(SourceKind, &str, String)] = &[
            (SourceKind::Distribution, "authorization", format!("Bearer {SECRET}")),
            (SourceKind::Harbor, "authorization", SECRET.to_owned()),
            (SourceKind::Acr, "x-webhook-secret", SECRET.to_owned()),
            (SourceKind::Ecr, "x-webhook-secret", SECRET.to_owned()),
            (SourceKind::Nexus, "x-nexus-webhook-signature", signature(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, body)),
            (SourceKind::Artifactory, "x-jfrog-event-auth", sha256.clone()),
            (SourceKind::Artifactory, "x-jfrog-event-auth", SECRET.to_owned()),
            (SourceKind::Zot, "authorization", basic.clone()),
            (SourceKind::GitHub, "x-hub-signature-256", prefixed.clone()),
            (SourceKind::GitLab, "x-gitlab-token", SECRET.to_owned()),
            (SourceKind::Gitea, "x-gitea-signature", sha256.clone()),
            (SourceKind::Gitea, "x-forgejo-signature", sha256.clone()),
            (SourceKind::Gitea, "x-hub-signature-256", prefixed.clone()),
            (SourceKind::Bitbucket, "x-hub-signature", prefixed.clone()),
            (SourceKind::AzureDevOps, "authorization", basic),
            (SourceKind::Generic, "x-signature", prefixed),
            (SourceKind::Generic, "x-signature", format!("sha512={}", signature(hmac::HMAC_SHA512, body))),
            (SourceKind::CloudEvents, "authorization", format!("Bearer {SECRET}")),
        ];
        for (kind, name, value) in all {
            let (source, what) = (open(*kind), format!("{} {name}: {value}", kind.as_str()));
            let name: HeaderName = name.parse().unwrap();
            let sent = HeaderMap::from_iter([(name.clone(), value.parse().unwrap())]);
            assert!(takes(&source, &sent, None, body).await, "{what}");
            assert!(!takes(&source, &HeaderMap::new(), None, body).await, "{what}: nothing");
            assert!(!takes(&source, &HeaderMap::new(), Some(SECRET), body).await, "{what}: in the address");
            let wrong = HeaderMap::from_iter([(name, format!("{value}0").parse().unwrap())]);
            assert!(!takes(&source, &wrong, None, body).await, "{what}: wrong");
            if source.admit(&sent, None, now()).await == Admission::Claimed {
                assert!(!takes(&source, &sent, None, "{}").await, "{what}: another body");
            }
        }
        for kind in [SourceKind::DockerHub, SourceKind::Quay] {
            let source = open(kind);
            let header = headers(&[("authorization", SECRET.to_owned())]);
            assert!(takes(&source, &HeaderMap::new(), Some(SECRET), body).await);
            assert!(!takes(&source, &header, None, body).await && !takes(&source, &header, Some("x"), body).await);
            for secret in ["", "short", "with/slashes/and-some-more", "with spaces and some more"] {
                let opened = WebhookSource::open(&settings(kind), Some(secret.into()));
                assert_eq!(opened.unwrap_err(), SourceError::Secret, "{secret}");
            }
        }
        assert!(!format!("{:?}", open(SourceKind::GitHub)).contains(SECRET));
    }

    #[tokio::test]
    async fn tokens_are_checked_with_keys_that_are_fetched_once() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let (pair, keys) = issuer();
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_bytes(keys);
        Mock::given(path("/certs")).respond_with(answer).expect(1).mount(&server).await;
        let proof = SenderProof::Token {
            audience: "landfall".to_owned(),
            email: "push@acme.iam.gserviceaccount.com".to_owned(),
            keys: format!("{}/certs", server.uri()),
        };
        let settings = SourceSettings { proof, ..settings(SourceKind::Gar) };
        let source = WebhookSource::open(&settings, None).unwrap();
        let claims = json!({ "iss": "https://accounts.google.com", "aud": "landfall", "exp": now().as_second() + 60,
            "email": "push@acme.iam.gserviceaccount.com", "email_verified": true });
        let admit_at = async |key: &str, now: Timestamp| {
            let token = token(&pair, &json!({ "alg": "RS256", "kid": key }), &claims);
            source.admit(&headers(&[("authorization", token)]), None, now).await
        };
        let admit = async |key: &str| admit_at(key, now()).await;
        for _ in 0..3 {
            assert_eq!(admit("k1").await, Admission::Proved);
            // The issuer is not asked again for each key that somebody makes up.
            assert_eq!(admit("unknown").await, Admission::Refused);
        }
        assert_eq!(source.admit(&HeaderMap::new(), None, now()).await, Admission::Refused);
        // One that is sent again an hour later is over.
        let later = Timestamp::from_second(now().as_second() + 3600).unwrap();
        assert_eq!(admit_at("k1", later).await, Admission::Refused);
    }

    /// Kinds that number their deliveries, with a webhook of the number `id`.
    fn numbered(kind: SourceKind, id: &str) -> Option<(Vec<(&'static str, String)>, Value)> {
        let repository = json!({ "clone_url": "https://git.example/acme/deploys.git" });
        let page = json!({ "html": { "href": "https://bitbucket.org/acme/deploys" } });
        let pushed = json!({ "repository": "acme/web", "tag": "1.2.3", "digest": "sha256:1" });
        let image = json!({ "image": "ghcr.io/acme/web:1.2.3" });
        let header =
            |pairs: &[(&'static str, &str)]| pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Some(match kind {
            SourceKind::Distribution => (
                Vec::new(),
                json!({ "events": [{ "id": id, "action": "push", "target": pushed, "request": { "host": "reg.example" } }] }),
            ),
            SourceKind::Acr => (
                Vec::new(),
                json!({ "id": id, "action": "push", "target": pushed, "request": { "host": "acme.azurecr.io" } }),
            ),
            SourceKind::Gar => {
                let told = json!({ "action": "INSERT", "tag": "europe-docker.pkg.dev/acme/apps/web:1.2.3" });
                (Vec::new(), json!({ "message": { "data": STANDARD.encode(told.to_string()), "messageId": id } }))
            }
            SourceKind::Ecr => {
                let detail = json!({ "result": "SUCCESS", "repository-name": "acme/web", "action-type": "PUSH", "image-tag": "1" });
                let body = json!({ "id": id, "detail-type": "ECR Image Action", "source": "aws.ecr", "account": "123456789012",
                    "region": "eu-central-1", "detail": detail });
                (Vec::new(), body)
            }
            SourceKind::Harbor => {
                let data = json!({ "resources": [{ "tag": "1.2.3", "resource_url": "harbor.example/acme/web:1.2.3" }],
                    "repository": { "repo_full_name": "acme/web" } });
                (
                    Vec::new(),
                    json!({ "specversion": "1.0", "id": id, "source": "/projects/1", "type": "harbor.artifact.pushed", "data": data }),
                )
            }
            SourceKind::Nexus => {
                let component = json!({ "format": "docker", "name": "acme/web", "version": "1.2.3" });
                let body = json!({ "repositoryName": "docker-hosted", "action": "CREATED", "component": component });
                (header(&[("x-nexus-webhook-delivery", id)]), body)
            }
            SourceKind::Zot => {
                let data = json!({ "name": "acme/web", "reference": "1.2.3" });
                (
                    Vec::new(),
                    json!({ "specversion": "1.0", "id": id, "source": "zot", "type": "zotregistry.image.updated", "data": data }),
                )
            }
            SourceKind::GitHub => {
                (header(&[("x-github-event", "push"), ("x-github-delivery", id)]), json!({ "repository": repository }))
            }
            SourceKind::GitLab => {
                let project = json!({ "git_http_url": "https://gitlab.example/acme/deploys.git" });
                (
                    header(&[("x-gitlab-event", "Push Hook"), ("idempotency-key", id)]),
                    json!({ "object_kind": "push", "project": project }),
                )
            }
            SourceKind::Gitea => {
                (header(&[("x-gitea-event", "push"), ("x-gitea-delivery", id)]), json!({ "repository": repository }))
            }
            SourceKind::Bitbucket => (
                header(&[("x-event-key", "repo:push"), ("x-request-uuid", id)]),
                json!({ "repository": { "links": page } }),
            ),
            SourceKind::AzureDevOps => {
                let remote = json!({ "remoteUrl": "https://dev.azure.com/acme/ops/_git/deploys" });
                (Vec::new(), json!({ "id": id, "eventType": "git.push", "resource": { "repository": remote } }))
            }
            SourceKind::CloudEvents => (
                Vec::new(),
                json!({ "specversion": "1.0", "id": id, "source": "ci", "type": "com.example.pushed", "data": image }),
            ),
            SourceKind::DockerHub | SourceKind::Quay | SourceKind::Artifactory | SourceKind::Generic => return None,
        })
    }

    #[test]
    fn of_each_kind_that_numbers_its_deliveries_one_that_is_repeated_counts_once() {
        let mut counted = 0;
        for kind in SourceKind::ALL {
            let source = open(*kind);
            let read = |id: &str| {
                let (pairs, body) = numbered(*kind, id)?;
                Some(source.read(&headers(&pairs), body.to_string().as_bytes()))
            };
            let Some(first) = read("1") else { continue };
            counted += 1;
            assert!(matches!(first, Received::Hints(_)), "{}: {first:?}", kind.as_str());
            assert_eq!(read("1"), Some(Received::Repeated), "{}", kind.as_str());
            assert_eq!(read("2"), Some(first), "{}", kind.as_str());
            assert_eq!(
                [read("1"), read("2")],
                [Some(Received::Repeated), Some(Received::Repeated)],
                "{}",
                kind.as_str()
            );
        }
        assert_eq!(counted, 13);
    }

    /// GitLab's signature covers the id and the time: what was heard on the way is good for nothing.
    #[tokio::test]
    async fn a_signed_webhook_that_is_sent_again_later_or_under_another_number_is_refused() {
        let (source, began) = (open(SourceKind::GitLab), now());
        let body =
            json!({ "object_kind": "push", "project": { "git_http_url": "https://gitlab.example/acme/deploys.git" } });
        let body = body.to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let tag = hmac::sign(&key, format!("msg-1.{}.{body}", began.as_second()).as_bytes());
        let sent = |id: &str, time: i64| {
            headers(&[
                ("x-gitlab-event", "Push Hook".to_owned()),
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", time.to_string()),
                ("webhook-signature", format!("v1,{}", STANDARD.encode(tag.as_ref()))),
            ])
        };
        let source = &source;
        let takes = async |headers: &HeaderMap, after: i64| {
            let later = Timestamp::from_second(began.as_second() + after).unwrap();
            let admission = source.admit(headers, None, later).await;
            source.verify(admission, headers, body.as_bytes(), later)
        };
        let as_sent = sent("msg-1", began.as_second());
        assert!(takes(&as_sent, 0).await);
        assert!(matches!(source.read(&as_sent, body.as_bytes()), Received::Hints(_)));
        // Within the five minutes it is known, and after them too old.
        assert!(takes(&as_sent, 299).await);
        assert_eq!(source.read(&as_sent, body.as_bytes()), Received::Repeated);
        assert!(!takes(&as_sent, 301).await);
        assert!(!takes(&sent("msg-2", began.as_second()), 0).await, "another number");
        assert!(!takes(&sent("msg-1", began.as_second() + 600), 600).await, "another time");
    }

    #[test]
    fn a_repeated_delivery_tells_nothing_new_and_a_configured_registry_is_where_images_are() {
        let placed = SourceSettings { registry: Some("reg.example".to_owned()), ..settings(SourceKind::Gitea) };
        let source = WebhookSource::open(&placed, Some(SECRET.into())).unwrap();
        let package = json!({ "action": "created", "package": { "owner": { "login": "acme" }, "type": "container", "name": "web",
            "html_url": "https://git.example/acme" } });
        let read = |delivery: &str| {
            let headers =
                headers(&[("x-gitea-event", "package".to_owned()), ("x-gitea-delivery", delivery.to_owned())]);
            source.read(&headers, package.to_string().as_bytes())
        };
        let hints = Received::Hints(WebhookHint::image(Some("reg.example"), "acme/web").into_iter().collect());
        assert_eq!([read("1"), read("1"), read("2")], [hints.clone(), Received::Repeated, hints]);
        assert_eq!(source.read(&HeaderMap::new(), b"{"), Received::Unreadable);
        let ci = open(SourceKind::Generic);
        for (count, everything) in [(MAX_HINTS, false), (MAX_HINTS + 1, true)] {
            let images: Vec<_> = (0..count).map(|number| format!("ghcr.io/acme/app-{number}")).collect();
            let read = ci.read(&HeaderMap::new(), json!({ "images": images }).to_string().as_bytes());
            assert_eq!(read == Received::Everything, everything, "none beyond the first {MAX_HINTS} is forgotten");
        }
        assert_eq!(source.read(&HeaderMap::new(), "[".repeat(100_000).as_bytes()), Received::Unreadable);
    }
}
