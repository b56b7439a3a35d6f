//! JSON of one's own to any address, for receivers that have no kind here: a template with fields and without logic.
//!
//! The template is read as JSON once, and fields are filled into its texts alone. Whatever a value holds, the body is
//! JSON of the same shape: escaping is the writer's, not the template's.

use http::header::CONTENT_TYPE;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{Address, CredentialSource, Credentials, Secret, SecretSource};
use crate::http::SecretUrl;
use crate::model::{NoticeKind, break_mentions};
use crate::notify::client::{Failure, Login, SinkClient, address, login_secrets, with_login};
use crate::notify::memory::SinkMemory;
use crate::notify::opening::{Opening, secrets_of};

use super::webhook::signature;
use super::{Delivered, Delivery, LandingNews, Readers, Receiver};

/// Maximum size of a template, in bytes.
const MAX_TEMPLATE: usize = 16_384;
/// Maximum length of one field's value, in characters.
const MAX_VALUE: usize = 8_000;

/// The keys of a template.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TemplateConfig {
    /// The URL, if it is not a secret.
    url: Option<At<String>>,
    /// The URL, if it is a secret.
    webhook_url: Option<At<Secret>>,
    /// How to log in, as `username` and `password`, or `token`.
    credentials: Option<At<Credentials>>,
    /// The key for signing bodies (HMAC-SHA256).
    signing_key: Option<At<Secret>>,
    /// The body: JSON, in whose texts fields such as `{title}` are filled in.
    body: Option<At<String>>,
}

impl TemplateConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<TemplateSettings> {
        let url = check.address(at, self.url.as_ref(), self.webhook_url.as_ref());
        let login = check.login(self.credentials.as_ref(), "a receiver");
        let signing_key = self.signing_key.as_ref().and_then(|at| check.secret(at));
        let body = check.required(at, "template", "body", self.body.as_ref());
        let body = body.and_then(|at| check.text(at, Node::parse));
        Some(TemplateSettings { url: url?, login, signing_key, body: body? })
    }
}

/// An HTTP address, and what is posted to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSettings {
    url: Address,
    login: Option<CredentialSource>,
    signing_key: Option<SecretSource>,
    body: Node,
}

#[derive(Debug)]
pub(crate) struct TemplateSink {
    client: SinkClient,
    url: SecretUrl,
    login: Option<Login>,
    signing_key: Option<SecretString>,
    body: Node,
}

impl Receiver for TemplateSink {
    type Settings = TemplateSettings;
    const LANDINGS: LandingNews = LandingNews::OnRequest;
    const READERS: Readers = Readers::People;

    fn secrets(settings: &TemplateSettings) -> Vec<(&'static str, &SecretSource)> {
        let mut secrets = secrets_of(Some(&settings.url), settings.login.as_ref());
        secrets.extend(settings.signing_key.as_ref().map(|key| ("signing key", key)));
        secrets
    }

    fn open(settings: &TemplateSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let url = opening.address(&settings.url)?;
        let login = opening.login(settings.login.as_ref())?;
        let signing_key = settings.signing_key.as_ref().map(|key| opening.secret(key)).transpose()?;
        let mut secrets = login_secrets(login.as_ref());
        secrets.push(url.clone());
        secrets.extend(signing_key.clone());
        Ok(Self {
            client: SinkClient::new(opening.ca_pem, opening.timeout, secrets)?,
            url: SecretUrl(address(url.expose_secret())?),
            login,
            signing_key,
            body: settings.body.clone(),
        })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, _: &mut SinkMemory) -> Delivered {
        let body = self.body.fill(&|field| field.value(delivery)).to_string().into_bytes();
        let mut request = self.client.http().post(self.url.0.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.signing_key {
            request = request.header("X-Landfall-Signature-256", signature(key, &body));
        }
        self.client.send(with_login(request, self.login.as_ref()).body(body)).await.map(|_| None)
    }
}

/// One value of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    /// A number, `true`, `false` or `null`.
    Literal(Value),
    Text(Vec<Part>),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Field(Field),
}

impl Node {
    /// Reads a template.
    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEMPLATE {
            return Err(format!("the template is longer than {MAX_TEMPLATE} bytes"));
        }
        let json: Value = serde_json::from_str(text).map_err(|error| {
            format!("the template is not JSON ({error}); fields stand within texts, as in {{\"text\": \"{{title}}\"}}")
        })?;
        match json {
            Value::Object(_) | Value::Array(_) => Self::of(json),
            _ => Err("the template is not an object or a list".to_owned()),
        }
    }

    fn of(json: Value) -> Result<Self, String> {
        Ok(match json {
            Value::String(text) => Self::Text(parts(&text)?),
            Value::Array(items) => Self::List(items.into_iter().map(Self::of).collect::<Result<_, _>>()?),
            Value::Object(entries) => {
                let entries = entries.into_iter().map(|(key, value)| Ok((key, Self::of(value)?)));
                Self::Object(entries.collect::<Result<_, String>>()?)
            }
            literal => Self::Literal(literal),
        })
    }

    fn fill(&self, value: &impl Fn(Field) -> String) -> Value {
        match self {
            Self::Literal(literal) => literal.clone(),
            Self::Text(parts) => {
                let part = |part: &Part| match part {
                    Part::Literal(text) => text.clone(),
                    Part::Field(field) => value(*field),
                };
                Value::String(parts.iter().map(part).collect())
            }
            Self::List(items) => items.iter().map(|item| item.fill(value)).collect(),
            Self::Object(entries) => {
                let entries = entries.iter().map(|(key, node)| (key.clone(), node.fill(value)));
                Value::Object(entries.collect())
            }
        }
    }
}

/// The parts of a text: `{field}` is a field, `{{` and `}}` are braces.
fn parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix(brace) {
            literal.push_str(brace);
            rest = after;
            continue;
        }
        let named = (brace == "{").then(|| after.split_once('}')).flatten();
        let Some((name, after)) = named else {
            return Err(format!("a `{brace}` stands alone; a field is written {{title}}, a brace twice"));
        };
        let field = Field::ALL.into_iter().find(|field| field.as_str() == name).ok_or_else(|| {
            let known: Vec<String> = Field::ALL.iter().map(|field| format!("{{{}}}", field.as_str())).collect();
            format!("`{{{}}}` is not a field; known are {}", name.escape_debug(), known.join(", "))
        })?;
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(Part::Field(field));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

/// Makes the fields from one line per field: its name, and its value.
macro_rules! fields {
    (|$delivery:ident| $( $name:literal => $Field:ident: $value:expr; )*) => {
        /// What a template can say.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Field {
            $( $Field, )*
        }

        impl Field {
            const ALL: [Self; [$( $name ),*].len()] = [$( Self::$Field ),*];

            fn as_str(self) -> &'static str {
                match self {
                    $( Self::$Field => $name, )*
                }
            }

            /// Its value as text; empty where there is none. People are not mentioned by what comes from outside.
            fn value(self, $delivery: &Delivery<'_>) -> String {
                let value: Option<String> = match self {
                    $( Self::$Field => $value, )*
                };
                break_mentions(&value.unwrap_or_default()).chars().take(MAX_VALUE).collect()
            }
        }
    };
}

fields! { |delivery|
    "title" => Title: Some(delivery.texts.title.clone());
    "text" => Text: Some(delivery.texts.plain.clone());
    "markdown" => Markdown: Some(delivery.texts.markdown.clone());
    "sign" => Sign: Some(delivery.sign().to_owned());
    "kind" => Kind: Some(delivery.notice.kind.as_str().to_owned());
    "status" => Status: Some(status(delivery).to_owned());
    "id" => Id: Some(delivery.id.to_string());
    "severity" => Severity: Some(delivery.notice.incident.severity.to_string());
    "state" => State: Some(delivery.notice.incident.state.to_string());
    "code" => Code: delivery.notice.incident.code.map(|code| code.to_string());
    "cause" => Cause: Some(delivery.notice.cause.clone());
    "next" => Next: Some(delivery.notice.next.clone());
    "evidence" => Evidence: Some(delivery.texts.evidence.join("\n"));
    "resolution" => Resolution: delivery.notice.resolution.as_ref().map(|over| over.as_str().to_owned());
    "app" => App: Some(delivery.notice.incident.key.app.clone());
    "environment" => Environment: delivery.notice.incident.key.environment.clone();
    "cluster" => Cluster: delivery.notice.incident.key.cluster.clone();
    "image" => Image: Some(delivery.notice.incident.key.image.clone());
    "from" => From: Some(delivery.notice.from.join(", "));
    "to" => To: Some(delivery.notice.incident.key.version.clone());
    "repository" => Repository: Some(delivery.notice.incident.repository.clone());
    "overlay" => Overlay: Some(delivery.notice.incident.overlay.clone());
    "policy" => Policy: delivery.notice.incident.policy.clone();
    "commit" => Commit: delivery.notice.incident.commit.clone();
    "at" => At: Some(delivery.notice.at.to_string());
    "since" => Since: Some(delivery.notice.incident.since.to_string());
    "deadline" => Deadline: delivery.notice.incident.deadline.map(|at| at.to_string());
    "pullRequest" => PullRequest: delivery.notice.links.pull_request.clone();
    "commitPage" => CommitPage: delivery.notice.links.commit.clone();
    "runbook" => Runbook: delivery.notice.links.runbook.clone();
}

/// Whether something is wrong, in the words of most receivers.
fn status(delivery: &Delivery<'_>) -> &'static str {
    match delivery.notice.kind {
        NoticeKind::Raised | NoticeKind::Escalated | NoticeKind::Reminder => "firing",
        NoticeKind::Resolved => "resolved",
        NoticeKind::Landed => "landed",
        NoticeKind::Test => "test",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_by_construction() {
        let template = Node::parse(
            r#"{"text": "{sign} {title}", "raw": "{{title}}", "n": 3, "on": true, "list": ["{app}", null]}"#,
        )
        .unwrap();
        let hostile = "\"}, \"admin\": true, {\\ \u{1} {title}";
        let body =
            template.fill(&|field| if field == Field::Title { hostile.to_owned() } else { field.as_str().to_owned() });
        let read: Value = serde_json::from_str(&body.to_string()).unwrap();
        let expected = serde_json::json!({
            "text": format!("sign {hostile}"), "raw": "{title}", "n": 3, "on": true, "list": ["app", null],
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn a_template_that_cannot_work_is_refused() {
        for (text, words) in [
            ("{title}", "is not JSON"),
            ("\"{title}\"", "not an object or a list"),
            (r#"{"a": "{titel}"}"#, "`{titel}` is not a field; known are {title}, {text}"),
            (r#"{"a": ["{title"]}"#, "a `{` stands alone"),
            (r#"{"a": "b}"}"#, "a `}` stands alone"),
            (r#"{"a": "{"#, "is not JSON"),
        ] {
            let error = Node::parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(Node::parse(&format!("[\"{}\"]", "a".repeat(MAX_TEMPLATE))).is_err());
        assert!(Node::parse(&format!("{}{}", "[".repeat(8_000), "]".repeat(8_000))).is_err(), "too deep");
    }

    #[test]
    fn every_field_is_in_the_reference() {
        let page = include_str!("../../../docs/how-to/alerts.md");
        for field in Field::ALL {
            assert!(page.contains(&format!("`{{{}}}`", field.as_str())), "{field:?}");
        }
    }
}
