//! Amazon ECR, private and public: a password that is good for twelve hours, for every registry that an identity may read.
//!
//! `GetAuthorizationToken` (API reference of ECR and of ECR Public) is asked with a signed request; `registryIds` is deprecated, and one
//! token serves all registries of a region. A public registry also serves who shows nothing, but refuses who shows what has expired.

mod identity;
mod sign;

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CONTENT_TYPE, HeaderName};
use base64::Engine as _;
use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use crate::document::at::At;
use crate::document::check::{Check, optional};
use crate::document::secret::{Secret, SecretSource};
use crate::document::value;
use crate::http;
use crate::registry::error::Cause;
use crate::registry::exchange::Session;
use crate::registry::host::Failure;

use super::renewed::{Fetched, Renewed, Shown};
use super::tools::{self, LoginTools};
use super::{LoginOpening, LogsIn, Proof};
use identity::Identity;
use sign::Signing;

/// The host of ECR Public, whose tokens come from one region.
const PUBLIC: &str = "public.ecr.aws";
const PUBLIC_REGION: &str = "us-east-1";
/// How long a token is used that says nothing; the documented life is twelve hours.
const LIFE: Duration = Duration::from_secs(6 * 3600);

/// The keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AwsConfig {
    /// Amazon ECR: `{}` for the identity that the bot runs with (IRSA, Pod Identity, ECS, instance profile, or `AWS_…` variables).
    aws: At<AwsKeys>,
}

/// What may be said besides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping, `{}` for the identity that the bot runs with"
)]
pub(crate) struct AwsKeys {
    /// The region; default: the one in the registry's host.
    region: Option<At<String>>,
    /// An access key, in place of the identity that the bot runs with.
    access_key_id: Option<At<Secret>>,
    /// Its secret.
    secret_access_key: Option<At<Secret>>,
    /// The session token of a temporary key.
    session_token: Option<At<Secret>>,
}

impl AwsConfig {
    pub(super) fn check(&self, check: &mut Check<'_, '_>) -> Option<AwsSettings> {
        let keys = &self.aws.value;
        let region = optional(keys.region.as_ref(), |at| check.text(at, region));
        let mut secret = |at: &Option<At<Secret>>| at.as_ref().map(|at| check.secret(at));
        let (id, key, token) =
            (secret(&keys.access_key_id), secret(&keys.secret_access_key), secret(&keys.session_token));
        let key = match (id, key) {
            (Some(id), Some(secret)) => Some(AccessKey { id: id?, secret: secret?, token: token.flatten() }),
            (None, None) if token.is_none() => None,
            _ => {
                check.sink.error(self.aws.mark, "`accessKeyId` and `secretAccessKey` go together");
                return None;
            }
        };
        Some(AwsSettings { region: region?, key })
    }
}

/// A region's name, which becomes part of an address.
fn region(text: &str) -> Result<String, String> {
    let fits = (4..=40).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits { value::line(text) } else { Err("this is not the name of a region such as eu-central-1".to_owned()) }
}

/// How to log in to ECR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsSettings {
    region: Option<String>,
    key: Option<AccessKey>,
}

/// Where an access key is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AccessKey {
    id: SecretSource,
    secret: SecretSource,
    token: Option<SecretSource>,
}

/// A login to ECR.
#[derive(Debug, Clone)]
pub struct AwsLogin {
    endpoint: Endpoint,
    identity: Arc<Identity>,
    tools: LoginTools,
    kept: Arc<Renewed>,
}

/// Which ECR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Private,
    Public,
}

/// Where a token comes from.
#[derive(Debug, Clone)]
struct Endpoint {
    kind: Kind,
    region: String,
    url: Url,
    /// Where identities of this partition are exchanged.
    sts: Url,
}

impl Endpoint {
    /// The endpoint for a registry's host. The environment may name others (`AWS_ENDPOINT_URL_…`, as AWS's own programs read them).
    fn of(host: &str, region: Option<&str>, opening: &LoginOpening<'_>) -> Result<Self, String> {
        let ecr = EcrHost::parse(host);
        let kind = if host == PUBLIC { Kind::Public } else { Kind::Private };
        let region = match (kind, region, &ecr) {
            (Kind::Public, ..) => PUBLIC_REGION.to_owned(),
            (Kind::Private, Some(region), _) => region.to_owned(),
            (Kind::Private, None, Some(ecr)) => ecr.region.clone(),
            (Kind::Private, None, None) => {
                return Err(format!(
                    "{host} is no host of ECR (ACCOUNT.dkr.ecr.REGION.amazonaws.com), so `aws` needs a `region`"
                ));
            }
        };
        let suffix = ecr.as_ref().map_or("amazonaws.com", |ecr| ecr.suffix.as_str());
        let own = match (kind, &ecr) {
            (Kind::Public, _) => format!("https://api.ecr-public.{region}.amazonaws.com"),
            (Kind::Private, Some(ecr)) if ecr.dual_stack => format!("https://ecr{}.{region}.api.aws", ecr.fips()),
            (Kind::Private, Some(ecr)) if ecr.fips => format!("https://ecr-fips.{region}.{suffix}"),
            (Kind::Private, _) => format!("https://api.ecr.{region}.{suffix}"),
        };
        let given = |service: &str| {
            opening.variable(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| opening.variable("AWS_ENDPOINT_URL"))
        };
        let service = if kind == Kind::Public { "ECR_PUBLIC" } else { "ECR" };
        let url = tools::address(&given(service).unwrap_or(own), "the endpoint of ECR")?;
        let sts = given("STS").unwrap_or_else(|| format!("https://sts.{region}.{suffix}"));
        Ok(Self { kind, region, url, sts: tools::address(&sts, "the endpoint of STS")? })
    }
}

/// A private registry's host: `ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com[.cn]`, or `ACCOUNT.dkr-ecr[-fips].REGION.on.aws`.
#[derive(Debug, PartialEq, Eq)]
struct EcrHost {
    region: String,
    suffix: String,
    fips: bool,
    dual_stack: bool,
}

impl EcrHost {
    fn parse(host: &str) -> Option<Self> {
        let (account, rest) = host.split_once('.')?;
        if account.is_empty() || !account.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let rest = rest.strip_prefix("dkr.ecr").or_else(|| rest.strip_prefix("dkr-ecr"))?;
        let (fips, rest) = rest.strip_prefix("-fips").map_or((false, rest), |rest| (true, rest));
        let (region, suffix) = rest.strip_prefix('.')?.split_once('.')?;
        let known = matches!(suffix, "amazonaws.com" | "amazonaws.com.cn" | "amazonaws.eu" | "on.aws")
            || suffix.ends_with(".gov")
            || suffix.starts_with("c2s.")
            || suffix.starts_with("sc2s.");
        let region = self::region(region).ok().filter(|_| known)?;
        let dual_stack = suffix == "on.aws";
        let suffix = if dual_stack { "amazonaws.com" } else { suffix }.to_owned();
        Some(Self { region, suffix, fips, dual_stack })
    }

    fn fips(&self) -> &'static str {
        if self.fips { "-fips" } else { "" }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: SecretString,
    /// Seconds since 1970, with a fraction.
    expires_at: Option<f64>,
}

/// ECR answers with a list, ECR Public with one.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Authorization>),
    One(Authorization),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    authorization_data: OneOrMany,
}

impl AwsLogin {
    async fn fetch(&self) -> Result<Fetched, Failure> {
        let Endpoint { kind, region, url, sts } = &self.endpoint;
        let key = self.identity.key(&self.tools, region, sts).await?;
        let (service, target) = match kind {
            Kind::Private => ("ecr", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"),
            Kind::Public => ("ecr-public", "SpencerFrontendService.GetAuthorizationToken"),
        };
        let headers = [(CONTENT_TYPE, "application/x-amz-json-1.1"), (HeaderName::from_static("x-amz-target"), target)];
        let now = self.tools.now();
        let signing = Signing { key: &key, region, service, now };
        let request = signing.post(self.tools.public()?, url, &headers, "{}")?;
        let answer = tools::ask(request, &format!("ECR's GetAuthorizationToken in {region}")).await?;
        let header = answer.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let tokens = answer.json(|body| {
            let said = header.or_else(|| body.get("__type")?.as_str().map(str::to_owned))?;
            // `namespace#Code`, or `Code:address`.
            let code = said.rsplit('#').next()?.split(':').next()?;
            Some(code.to_owned())
        });
        let tokens: Tokens = match tokens {
            Err(failure) if matches!(failure.cause, Cause::Authentication(_)) => {
                // The key may have been revoked before its end.
                self.identity.forget().await;
                let who = self.identity.who();
                return Err(failure.hint(format!("{who} needs `ecr:GetAuthorizationToken`")));
            }
            tokens => tokens?,
        };
        let found = match tokens.authorization_data {
            OneOrMany::Many(list) => list.into_iter().next(),
            OneOrMany::One(one) => Some(one),
        };
        let found = found.ok_or_else(|| Failure::protocol("ECR answered without a token"))?;
        read(&found, now)
    }
}

/// The name and the password in a token, and how long they are good.
fn read(found: &Authorization, now: Timestamp) -> Result<Fetched, Failure> {
    let pair = base64::engine::general_purpose::STANDARD.decode(found.authorization_token.expose_secret());
    let pair = pair.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
    let pair = pair.filter(|(username, password)| http::is_token(username) && http::is_token(password));
    let (username, password) = pair.ok_or_else(|| Failure::protocol("ECR answered with a token that is none"))?;
    let left = found.expires_at.map(|end| end - now.as_second() as f64);
    let life = left.map_or(LIFE, |left| Duration::from_secs(left.clamp(60.0, 12.0 * 3600.0) as u64));
    let shown = Shown::Pair { username: username.to_owned(), password: password.into() };
    Ok(Fetched { shown: Some(shown), life })
}

impl LogsIn for AwsLogin {
    type Settings = AwsSettings;

    fn secrets(settings: &AwsSettings) -> Vec<(&'static str, &SecretSource)> {
        let Some(key) = &settings.key else { return Vec::new() };
        let token = key.token.iter().map(|token| ("session token", token));
        [("access key", &key.id), ("secret access key", &key.secret)].into_iter().chain(token).collect()
    }

    fn open(settings: &AwsSettings, opening: &LoginOpening<'_>) -> Result<Self, String> {
        let endpoint = Endpoint::of(opening.host, settings.region.as_deref(), opening)?;
        let identity = Identity::of(settings.key.as_ref(), opening)?;
        let kind = if endpoint.kind == Kind::Public { "ecr-public" } else { "ecr" };
        let mut parts = vec![kind, endpoint.url.as_str(), &endpoint.region, endpoint.sts.as_str()];
        parts.extend(identity.parts());
        let kept = opening.tools.credential(&parts);
        Ok(Self { endpoint, identity: Arc::new(identity), tools: opening.tools.clone(), kept })
    }

    fn who(settings: &AwsSettings) -> String {
        match settings.key {
            Some(_) => "by an access key of AWS".to_owned(),
            None => "by the AWS identity that the bot runs with".to_owned(),
        }
    }

    async fn proofs(&self, session: &Session<'_>) -> Result<Vec<Proof>, Failure> {
        let own = self.kept.proofs(session, self.fetch()).await;
        match (own, self.endpoint.kind) {
            // It also serves everybody.
            (Err(failure), Kind::Public) => Ok(vec![Proof::Unavailable(failure)]),
            (Ok(own), Kind::Public) => Ok(own.into_iter().chain([Proof::Anonymous]).collect()),
            (own, Kind::Private) => own,
        }
    }

    async fn forget(&self, session: &Session<'_>) -> bool {
        self.kept.forget(session).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::{header, header_regex, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::super::tools::tests::NoClusters;
    use super::*;
    use crate::document::secret::{Environment, ReadSecrets};

    /// ECR Public's API, and the agent that gives a container its role's key; the token service answers with `body`.
    async fn public(body: impl Into<Vec<u8>>) -> MockServer {
        let server = MockServer::start().await;
        let key = json!({ "AccessKeyId": "ASIATEMP", "SecretAccessKey": "s3cr3t", "Token": "t", "Expiration": "2100-01-01T00:00:00Z" });
        let agent =
            Mock::given(method("GET")).and(path("/v2/credentials/7")).and(header("authorization", "agent-token"));
        agent.respond_with(ResponseTemplate::new(200).set_body_json(key)).mount(&server).await;
        Mock::given(method("POST"))
            .and(path("/"))
            .and(header("x-amz-target", "SpencerFrontendService.GetAuthorizationToken"))
            .and(header("x-amz-security-token", "t"))
            .and(header_regex("authorization", "Credential=ASIATEMP/[0-9]{8}/us-east-1/ecr-public/aws4_request"))
            .respond_with(ResponseTemplate::new(200).set_body_bytes(body))
            .mount(&server)
            .await;
        server
    }

    fn opened(variables: Vec<(&'static str, String)>) -> AwsLogin {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let find = move |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| value.clone());
        let (environment, secrets) = (Environment::from_fn(find), ReadSecrets::default());
        let tools = LoginTools::new(|| Timestamp::from_second(1_000_000).unwrap(), NoClusters);
        let opening = LoginOpening { host: PUBLIC, secrets: &secrets, environment: &environment, tools: &tools };
        AwsLogin::open(&AwsSettings { region: None, key: None }, &opening).unwrap()
    }

    /// A task of ECS, and a pod with Pod Identity: their role's key signs for the one region that gives ECR Public's tokens.
    #[tokio::test]
    async fn ecr_public_is_logged_in_to_by_a_containers_role() {
        let token = json!({ "authorizationData": { "authorizationToken": "QVdTOnB3", "expiresAt": 1_003_600.25 } });
        let server = public(token.to_string()).await;
        let login = |server: &MockServer| {
            opened(vec![
                ("AWS_REGION", "eu-central-1".to_owned()),
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/v2/credentials/7", server.uri())),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "agent-token".to_owned()),
                ("AWS_ENDPOINT_URL_ECR_PUBLIC", format!("{}/", server.uri())),
            ])
        };
        let fetched = login(&server).fetch().await.unwrap();
        let Some(Shown::Pair { username, password }) = fetched.shown else { panic!("no pair") };
        assert_eq!((username.as_str(), password.expose_secret(), fetched.life.as_secs()), ("AWS", "pw", 3600));
        // What is no token of it is told, and not shown.
        for body in [
            "<html>hunter2</html>".to_owned(),
            String::new(),
            "null".to_owned(),
            json!({ "errors": [{ "message": "hunter2" }] }).to_string(),
            json!({ "authorizationData": [] }).to_string(),
            json!({ "authorizationData": { "authorizationToken": 7 } }).to_string(),
            json!({ "authorizationData": { "authorizationToken": "QVdTOg==" } }).to_string(),
            json!({ "authorizationData": { "authorizationToken": "hunter2" } }).to_string(),
        ] {
            let server = public(body.clone()).await;
            let failure = login(&server).fetch().await.unwrap_err();
            let text = format!("{failure:?}");
            assert!(text.contains("ECR") && text.contains("answered") && !text.contains("hunter2"), "{body}: {text}");
        }
        // ECS gives the path alone: the agent's address is always the same.
        let task = opened(vec![("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/7".to_owned())]);
        assert_eq!(task.identity.parts()[..2], ["container", "http://169.254.170.2/v2/credentials/7"]);
        assert_eq!(task.endpoint.url.as_str(), "https://api.ecr-public.us-east-1.amazonaws.com/");
    }

    #[test]
    fn hosts_of_ecr_say_their_region() {
        for (host, found) in [
            ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", Some(("eu-central-1", "amazonaws.com", false, false))),
            (
                "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                Some(("us-gov-west-1", "amazonaws.com", true, false)),
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
                Some(("cn-north-1", "amazonaws.com.cn", false, false)),
            ),
            ("123456789012.dkr-ecr.us-west-2.on.aws", Some(("us-west-2", "amazonaws.com", false, true))),
            ("123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example", None),
            ("123456789012.dkr.ecr.a/b.amazonaws.com", None),
            ("acme.dkr.ecr.eu-central-1.amazonaws.com", None),
            ("ghcr.io", None),
        ] {
            let parsed = EcrHost::parse(host);
            let parsed =
                parsed.as_ref().map(|ecr| (ecr.region.as_str(), ecr.suffix.as_str(), ecr.fips, ecr.dual_stack));
            assert_eq!(parsed, found, "{host}");
        }
    }

    #[test]
    fn a_token_is_a_name_and_a_password_until_its_end() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let token = |text: &str, end: Option<f64>| Authorization {
            authorization_token: text.to_owned().into(),
            expires_at: end,
        };
        let fetched = read(&token("QVdTOnB3OjE=", Some(1_003_600.25)), now).unwrap();
        let Some(Shown::Pair { username, password }) = fetched.shown else { panic!("no pair") };
        assert_eq!((username.as_str(), password.expose_secret(), fetched.life.as_secs()), ("AWS", "pw:1", 3600));
        assert_eq!(read(&token("QVdTOnB3", None), now).unwrap().life, LIFE);
        for broken in ["", "!", "bm8gY29sb24=", "QVdTOg==", "OnB3"] {
            assert!(read(&token(broken, None), now).is_err(), "{broken}");
        }
    }
}
