//! Whom AWS takes the bot for, and the key that proves it.
//!
//! In the order of AWS's own programs: a key of the configuration, a key of the environment, a web identity (IRSA), a container's
//! (Pod Identity, ECS), an instance's (IMDSv2).

use std::time::Duration;

use ::http::header::AUTHORIZATION;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::http::{self, address};
use crate::registry::error::Cause;
use crate::registry::host::Failure;

use super::super::LoginOpening;
use super::super::tools::{self, CloudAnswer, LoginTools};
use super::AccessKey;

/// A key that ends sooner than this is fetched anew.
const MARGIN: Duration = Duration::from_secs(300);

/// What a request is signed with.
#[derive(Debug, Clone)]
pub(super) struct SigningKey {
    pub(super) id: SecretString,
    pub(super) secret: SecretString,
    pub(super) token: Option<SecretString>,
}

/// Whom AWS takes the bot for.
#[derive(Debug)]
pub(super) struct Identity {
    source: IdentitySource,
    kept: Mutex<Option<(SigningKey, Timestamp)>>,
}

#[derive(Debug)]
enum IdentitySource {
    Key(SigningKey),
    WebIdentity { role: String, session: String, token_file: String },
    Container { url: Url, authorization: Option<ContainerToken> },
    Instance { endpoint: Url },
}

#[derive(Debug)]
enum ContainerToken {
    Given(SecretString),
    File(String),
}

/// A key as AWS's services within the machine give it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TemporaryKey {
    #[serde(deserialize_with = "http::token")]
    access_key_id: SecretString,
    #[serde(deserialize_with = "http::token")]
    secret_access_key: SecretString,
    #[serde(deserialize_with = "http::token")]
    token: SecretString,
    expiration: Option<Timestamp>,
}

impl Identity {
    /// The identity that the configuration gives, or that the environment says the bot has.
    pub(super) fn of(key: Option<&AccessKey>, opening: &LoginOpening<'_>) -> Result<Self, String> {
        let source = match key {
            Some(AccessKey { id, secret, token }) => IdentitySource::Key(SigningKey {
                id: opening.secret(id)?,
                secret: opening.secret(secret)?,
                token: token.as_ref().map(|token| opening.secret(token)).transpose()?,
            }),
            None => ambient(opening)?,
        };
        Ok(Self { source, kept: Mutex::default() })
    }

    /// All that it consists of: only who has all of it may share its credentials.
    pub(super) fn parts(&self) -> Vec<&str> {
        match &self.source {
            IdentitySource::Key(SigningKey { id, secret, token }) => {
                let token = token.as_ref().map_or("", |token| token.expose_secret());
                vec!["key", id.expose_secret(), secret.expose_secret(), token]
            }
            IdentitySource::WebIdentity { role, session, token_file } => {
                vec!["web identity", role, session, token_file]
            }
            IdentitySource::Container { url, authorization } => {
                let mut parts = vec!["container", url.as_str()];
                parts.extend(match authorization {
                    None => ["none", ""],
                    Some(ContainerToken::Given(token)) => ["given", token.expose_secret()],
                    Some(ContainerToken::File(path)) => ["file", path],
                });
                parts
            }
            IdentitySource::Instance { endpoint } => vec!["instance", endpoint.as_str()],
        }
    }

    /// Drops the key that was fetched, which was refused.
    pub(super) async fn forget(&self) {
        *self.kept.lock().await = None;
    }

    /// Who it is, in words.
    pub(super) fn who(&self) -> String {
        match &self.source {
            IdentitySource::Key(key) => format!("the access key {}", shortened(key.id.expose_secret())),
            IdentitySource::WebIdentity { role, .. } => format!("the role {role}"),
            IdentitySource::Container { .. } => "the container's role".to_owned(),
            IdentitySource::Instance { .. } => "the instance's role".to_owned(),
        }
    }

    /// A key that is good for some minutes.
    pub(super) async fn key(&self, tools: &LoginTools, region: &str, sts: &Url) -> Result<SigningKey, Failure> {
        if let IdentitySource::Key(key) = &self.source {
            return Ok(key.clone());
        }
        let mut kept = self.kept.lock().await;
        let now = tools.now();
        if let Some((key, end)) = kept.as_ref()
            && now + MARGIN < *end
        {
            return Ok(key.clone());
        }
        let fetched = match &self.source {
            IdentitySource::Key(key) => return Ok(key.clone()),
            IdentitySource::WebIdentity { role, session, token_file } => {
                assume(tools, sts, role, session, token_file).await.map_err(|failure| hinted(failure, region))
            }
            IdentitySource::Container { url, authorization } => container(tools, url, authorization.as_ref()).await,
            IdentitySource::Instance { endpoint } => instance(tools, endpoint).await,
        };
        let TemporaryKey { access_key_id, secret_access_key, token, expiration } = fetched?;
        let key = SigningKey { id: access_key_id, secret: secret_access_key, token: Some(token) };
        *kept = Some((key.clone(), expiration.unwrap_or(now)));
        Ok(key)
    }
}

/// The end of an access key's id, which is enough to tell it from others.
fn shortened(id: &str) -> String {
    let tail: String = id.chars().rev().take(4).collect();
    format!("…{}", tail.chars().rev().collect::<String>())
}

fn hinted(failure: Failure, region: &str) -> Failure {
    failure.hint(format!("check the role's trust policy, and that STS is active in {region}"))
}

fn ambient(opening: &LoginOpening<'_>) -> Result<IdentitySource, String> {
    let variable = |name: &str| opening.variable(name);
    if let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        let token = variable("AWS_SESSION_TOKEN").map(SecretString::from);
        return Ok(IdentitySource::Key(SigningKey { id: id.into(), secret: secret.into(), token }));
    }
    if let (Some(role), Some(token_file)) = (variable("AWS_ROLE_ARN"), variable("AWS_WEB_IDENTITY_TOKEN_FILE")) {
        let session = variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "landfall".to_owned());
        return Ok(IdentitySource::WebIdentity { role, session, token_file });
    }
    let full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("http://169.254.170.2{path}"));
    if let Some(text) = relative.or(full) {
        let url = tools::address(&text, "AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
        if url.scheme() == "http" && !may_be_plain(&url) {
            return Err(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI is plain http to another host than this machine's own".to_owned()
            );
        }
        let file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(ContainerToken::File);
        let given = || variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(|token| ContainerToken::Given(token.into()));
        return Ok(IdentitySource::Container { url, authorization: file.or_else(given) });
    }
    if variable("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(
            "there is no AWS identity in the environment, and AWS_EC2_METADATA_DISABLED forbids to ask the instance"
                .to_owned(),
        );
    }
    let endpoint = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| "http://169.254.169.254".to_owned());
    tools::address(&endpoint, "AWS_EC2_METADATA_SERVICE_ENDPOINT").map(|endpoint| IdentitySource::Instance { endpoint })
}

/// Where AWS's programs speak plain http: this machine, and the agents of ECS and EKS (`config/resolve_credentials.go` of aws-sdk-go-v2).
fn may_be_plain(url: &Url) -> bool {
    let Some(ip) = address::literal(url) else { return url.host_str() == Some("localhost") };
    ip.is_loopback() || ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"].iter().any(|known| known.parse() == Ok(ip))
}

/// `AssumeRoleWithWebIdentity` of STS, which needs no signature. It answers in XML, of which four values are wanted.
async fn assume(
    tools: &LoginTools,
    sts: &Url,
    role: &str,
    session: &str,
    token_file: &str,
) -> Result<TemporaryKey, Failure> {
    let token = tools::token_file(token_file, "the web identity token of AWS_WEB_IDENTITY_TOKEN_FILE").await?;
    let form = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("WebIdentityToken", token.expose_secret()),
    ];
    let answer = tools::ask(tools.public()?.post(sts.clone()).form(&form), "STS").await?;
    let text = String::from_utf8_lossy(&answer.body);
    if !answer.status.is_success() {
        return Err(answer.refused(element(&text, "Code")));
    }
    let read = |name: &str| element(&text, name).filter(|value| http::is_token(value)).map(SecretString::from);
    let found = (read("AccessKeyId"), read("SecretAccessKey"), read("SessionToken"));
    let (Some(access_key_id), Some(secret_access_key), Some(token)) = found else {
        return Err(Failure::protocol("STS answered without a key"));
    };
    let expiration = element(&text, "Expiration").and_then(|time| time.parse().ok());
    Ok(TemporaryKey { access_key_id, secret_access_key, token, expiration })
}

/// The text of the first element of this name. Values of STS have no entities in them but `&amp;` and the like, which no key has.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let rest = xml.split_once(&format!("<{name}>"))?.1;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim())
}

async fn container(
    tools: &LoginTools,
    url: &Url,
    authorization: Option<&ContainerToken>,
) -> Result<TemporaryKey, Failure> {
    let token = match authorization {
        None => None,
        Some(ContainerToken::Given(token)) => Some(token.clone()),
        Some(ContainerToken::File(path)) => {
            Some(tools::token_file(path, "the token of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").await?)
        }
    };
    let client = if url.scheme() == "http" { tools.direct()? } else { tools.public()? };
    let mut request = client.get(url.clone());
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, super::super::secret_text(token.expose_secret())?);
    }
    let answer = tools::ask(request, "the container's credentials").await?;
    answer.json(|body| body.get("code")?.as_str().map(str::to_owned))
}

/// IMDSv2: a session token first, then the role's name, then its key.
async fn instance(tools: &LoginTools, endpoint: &Url) -> Result<TemporaryKey, Failure> {
    const SERVICE: &str = "the instance's metadata service";
    let hint = |failure: Failure| {
        failure.hint("in a pod the answer of IMDSv2 needs a hop limit of 2; or give the pod an identity (IRSA, Pod Identity), or `aws` a key")
    };
    let address = |path: &str| endpoint.join(path).map_err(|_| Failure::protocol("the address cannot be formed"));
    let client = tools.direct()?;
    let text = |answer: CloudAnswer| match answer.status.is_success() {
        true => Ok(String::from_utf8_lossy(&answer.body).trim().to_owned()),
        false => Err(answer.refused(None)),
    };
    let session = client.put(address("latest/api/token")?).header("x-aws-ec2-metadata-token-ttl-seconds", "300");
    let session = tools::ask(session, SERVICE).await.and_then(text).map_err(hint)?;
    // Base64, unlike a page or JSON.
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=-_".contains(&b);
    if session.is_empty() || !session.bytes().all(is_base64) {
        return Err(Failure::protocol(format!("{SERVICE} answered with a session token that is none")));
    }
    let session = super::super::secret_text(&session)?;
    let get =
        |path: &str| Ok::<_, Failure>(client.get(address(path)?).header("x-aws-ec2-metadata-token", session.clone()));
    let roles =
        tools::ask(get("latest/meta-data/iam/security-credentials/")?, SERVICE).await.and_then(text).map_err(hint)?;
    let role = roles.lines().next().filter(|role| !role.is_empty());
    let none = || Failure::from(Cause::Authentication("the instance has no role".to_owned()));
    let role: String = url::form_urlencoded::byte_serialize(role.ok_or_else(none)?.as_bytes()).collect();
    let answer = tools::ask(get(&format!("latest/meta-data/iam/security-credentials/{role}"))?, SERVICE).await?;
    answer.json(|body| body.get("Code")?.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_the_machines_own_agents_only() {
        for (url, plain) in [
            ("http://127.0.0.1:1234/x", true),
            ("http://[::1]/x", true),
            ("http://localhost/x", true),
            ("http://169.254.170.2/x", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://169.254.169.254/x", false),
            ("http://10.0.0.1/x", false),
            ("http://credentials.example.com/x", false),
        ] {
            assert_eq!(may_be_plain(&Url::parse(url).unwrap()), plain, "{url}");
        }
    }

    #[test]
    fn elements_are_found_in_what_sts_answers() {
        let xml = "<R><Credentials>\n <AccessKeyId> ASIA1 </AccessKeyId><Expiration>2026-11-30T12:00:00Z</Expiration></Credentials></R>";
        assert_eq!(element(xml, "AccessKeyId"), Some("ASIA1"));
        assert_eq!(element(xml, "SessionToken"), None);
        assert_eq!(element("<Code>A", "Code"), None);
    }
}
