//! E-mail, by SMTP: with TLS from the first byte, or after STARTTLS, which is then required. The messages of an incident
//! are one thread.
//!
//! A message's id follows from the notice, so that one sent again after its answer was lost is known as the same by
//! programs that look. The client is our own (`smtp`, `mime`): what it needs is small, and what a server may send is bounded.

mod mime;
mod smtp;

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::at::At;
use crate::document::check::Check;
use crate::document::fault::Mark;
use crate::document::secret::{CredentialSource, Credentials, SecretSource};
use crate::document::value;
use crate::http::Secrets;
use crate::notify::client::{Failure, FailureKind, Login, login_secrets};
use crate::notify::memory::{PostedMessage, SinkMemory};
use crate::notify::opening::{Opening, secrets_of};

use super::{Delivered, Delivery, LandingNews, Readers, Receiver};
use mime::{Head, Mailbox};
use smtp::{SmtpError, SmtpServer};

/// How many times as long as one request a whole conversation may take: it is several questions and answers.
const TURNS: u32 = 3;
/// Maximum length of the server's words in an error, in characters.
const MAX_WORDS: usize = 200;
/// Maximum number of recipients.
const MAX_RECIPIENTS: usize = 50;

/// E-mail's keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EmailConfig {
    /// The mail server's name.
    host: Option<At<String>>,
    /// Its port; default: 465 with `encryption: tls`, 587 with `starttls`, 25 with `none`.
    port: Option<At<u32>>,
    /// How the connection is protected; default `tls`.
    encryption: Option<At<Encryption>>,
    /// How to log in, as `username` and `password`.
    credentials: Option<At<Credentials>>,
    /// Who it is from: `Landfall <landfall@example.com>`.
    from: Option<At<String>>,
    /// Whom it is to.
    #[serde(default)]
    to: Vec<At<String>>,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Encryption {
    /// TLS from the first byte.
    Tls,
    /// TLS after STARTTLS, without which nothing is sent.
    Starttls,
    /// None, for a relay on this machine or in this pod; without credentials.
    None,
}

impl EmailConfig {
    pub(super) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<EmailSettings> {
        let host = check.required(at, "email", "host", self.host.as_ref());
        let host = host.and_then(|at| check.text(at, host_name));
        let encryption = self.encryption.as_ref().map_or(Encryption::Tls, |at| at.value);
        let port = match &self.port {
            None => Some(encryption.port()),
            Some(at) => {
                let port = u16::try_from(at.value).ok().filter(|port| *port > 0);
                if port.is_none() {
                    check.sink.error(at.mark, "a port is a number from 1 to 65535");
                }
                port
            }
        };
        let login = check.login(self.credentials.as_ref(), "a mail server");
        if let (Some(at), Some(CredentialSource::Token(_))) = (&self.credentials, &login) {
            check.sink.error(at.mark, "a mail server is logged in to with `username` and `password`");
        }
        if let (Some(at), Encryption::None) = (&self.credentials, encryption) {
            check.sink.error(at.mark, "with `encryption: none`, the password would be sent in the clear");
        }
        let from = check.required(at, "email", "from", self.from.as_ref());
        let from = from.and_then(|at| check.text(at, mailbox));
        if self.to.is_empty() || self.to.len() > MAX_RECIPIENTS {
            check.sink.absent(at, format!("`kind: email` needs `to`, a list of 1 to {MAX_RECIPIENTS} addresses"));
        }
        let to: Vec<Mailbox> = self.to.iter().filter_map(|at| check.text(at, mailbox)).collect();
        Some(EmailSettings { host: host?, port: port?, encryption, login, from: from?, to })
    }
}

impl Encryption {
    /// The port that is registered for it.
    fn port(self) -> u16 {
        match self {
            Self::Tls => 465,
            Self::Starttls => 587,
            Self::None => 25,
        }
    }
}

fn host_name(text: &str) -> Result<String, String> {
    let text = value::line(text)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if text.bytes().all(plain) || text.parse::<IpAddr>().is_ok() {
        return Ok(text);
    }
    Err("this is not the name or address of a mail server; its port goes into `port`".to_owned())
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let text = value::line(text)?;
    Mailbox::parse(&text).ok_or_else(|| "this is not an e-mail address, such as `Name <name@example.com>`".to_owned())
}

/// The mail server, and between whom it carries messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailSettings {
    host: String,
    port: u16,
    encryption: Encryption,
    login: Option<CredentialSource>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

pub(crate) struct EmailSink {
    server: SmtpServer,
    /// The server, as errors name it.
    place: String,
    secrets: Secrets,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl std::fmt::Debug for EmailSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmailSink").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Receiver for EmailSink {
    type Settings = EmailSettings;
    const LANDINGS: LandingNews = LandingNews::OnRequest;
    const READERS: Readers = Readers::People;

    fn secrets(settings: &EmailSettings) -> Vec<(&'static str, &SecretSource)> {
        secrets_of(None, settings.login.as_ref())
    }

    fn open(settings: &EmailSettings, opening: &Opening<'_>) -> Result<Self, Failure> {
        let EmailSettings { host, port, encryption, login, from, to } = settings;
        let login = opening.login(login.as_ref())?;
        let mut secrets = login_secrets(login.as_ref());
        let login = match login {
            Some(Login::Basic { username, password }) => {
                // As both ways of logging in carry it.
                secrets.push(smtp::plain_proof(&username, &password));
                secrets.push(smtp::login_proof(&password));
                Some((username, password))
            }
            Some(Login::Bearer(_)) | None => None,
        };
        let tls = smtp::connector(opening.ca_pem)
            .map_err(|why| Failure::new(FailureKind::Misplaced, format!("{why}; next: look at caFile")))?;
        let (hello, patience) = (from.domain().to_owned(), opening.timeout * TURNS);
        let (host, port, encryption) = (host.clone(), *port, *encryption);
        Ok(Self {
            place: format!("{host}:{port}"),
            server: SmtpServer { host, port, encryption, tls, login, hello, patience },
            secrets: Secrets::new(secrets),
            from: from.clone(),
            to: to.clone(),
        })
    }

    async fn deliver(&self, delivery: &Delivery<'_>, memory: &mut SinkMemory) -> Delivered {
        let id = self.message_id(delivery);
        let first = memory.posted(&delivery.id).cloned();
        let head = Head {
            from: &self.from,
            to: &self.to,
            subject: &format!("{} {}", delivery.sign(), delivery.texts.title),
            id: &id,
            follows: first.as_ref().map(|first| first.id.as_str()),
            date: delivery.now,
        };
        let message = mime::message(&head, &delivery.texts.plain);
        let to: Vec<&str> = self.to.iter().map(|one| one.address.as_str()).collect();
        let sent = self.server.send(&self.from.address, &to, &message).await;
        let left_out = sent.map_err(|error| self.failure(&error))?;
        memory.keep(delivery.notice, delivery.now, first.unwrap_or(PostedMessage { place: String::new(), id }));
        Ok(left_out.map(|text| self.secrets.clean(&text, MAX_WORDS)))
    }
}

impl EmailSink {
    fn message_id(&self, delivery: &Delivery<'_>) -> String {
        let notice = delivery.notice;
        let (kind, at) = (notice.kind.as_str(), notice.at.as_millisecond());
        format!("<{}.{kind}.{at}@{}>", delivery.id, self.from.domain())
    }

    /// What the server refused, by its code (RFC 5321 and RFC 4954), or why it did not answer.
    fn failure(&self, error: &SmtpError) -> Failure {
        let (kind, next) = match error {
            SmtpError::Refused { code: 530 | 534 | 535 | 538, .. } => {
                (FailureKind::Refused, "give it a valid username and password")
            }
            SmtpError::Refused { code: 400..=499, .. } | SmtpError::Content { code: 400..=499, .. } => {
                (FailureKind::Unavailable, "nothing to do, it will be sent again")
            }
            // What is wrong before the message itself is wrong for every message, and somebody mends it.
            SmtpError::Refused { .. } => (
                FailureKind::Refused,
                "look at what the server objects to: the sender, a recipient, or who may send from here",
            ),
            SmtpError::Content { .. } => {
                (FailureKind::Rejected, "this message is dropped; see what the server objects to")
            }
            SmtpError::Tls(_) => (FailureKind::Misplaced, "look at `encryption`, `port` and `caFile`"),
            SmtpError::NotOffered(_) => (FailureKind::Misplaced, "look at `encryption`, `port` and `credentials`"),
            SmtpError::Garbage(_) => (FailureKind::Misplaced, "check that `host` and `port` are a mail server's"),
            SmtpError::Connection(_) | SmtpError::Late => {
                (FailureKind::Unavailable, "check that the server can be reached from here")
            }
        };
        let said = self.secrets.clean(&error.to_string(), MAX_WORDS);
        Failure::new(kind, format!("{}: {said}; next: {next}", self.place))
    }
}
