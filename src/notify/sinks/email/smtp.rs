//! SMTP as a client that submits mail (RFC 5321, RFC 3207 for STARTTLS, RFC 4954 for logging in).
//!
//! Promise: a conversation ends within its time and reads a bounded number of bytes, whatever the server sends. A password
//! is sent only over TLS. Where STARTTLS is asked for and not offered, nothing is sent.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Encryption;

/// Maximum length of one line of an answer; the standard's limit is 512.
const MAX_LINE: u64 = 1_000;
/// Maximum number of lines of one answer.
const MAX_LINES: usize = 100;

/// A mail server.
pub(super) struct SmtpServer {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
    pub(super) tls: TlsConnector,
    /// Name and password.
    pub(super) login: Option<(String, SecretString)>,
    /// The name by which this side introduces itself.
    pub(super) hello: String,
    /// Maximum time for the whole conversation.
    pub(super) patience: Duration,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SmtpError {
    /// No connection, or it was cut off.
    #[error("{0}")]
    Connection(#[from] std::io::Error),
    /// The conversation took too long.
    #[error("it took too long")]
    Late,
    /// TLS failed: no certificate that is trusted, or no TLS at all.
    #[error("TLS: {0}")]
    Tls(std::io::Error),
    /// The server offers no way to do what the settings ask for.
    #[error("the server offers no {0}")]
    NotOffered(&'static str),
    /// The server said no.
    #[error("answered {code} {words}")]
    Refused {
        /// The reply code.
        code: u16,
        /// The server's words.
        words: String,
    },
    /// The server took the envelope and refused the message itself.
    #[error("refused the message: {code} {words}")]
    Content {
        /// The code.
        code: u16,
        /// The server's words.
        words: String,
    },
    /// What the server says is no SMTP.
    #[error("unexpected answer: {0}")]
    Garbage(&'static str),
}

/// How long the server may take to say good-bye.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a connection runs over.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// What TLS trusts: the system's certificates, and these.
///
/// # Errors
/// In one line, why these certificates cannot be used.
pub(super) fn connector(ca_pem: Option<&[u8]>) -> Result<TlsConnector, String> {
    let provider = Arc::new(default_provider());
    let own: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(ca_pem.unwrap_or_default()).collect();
    let own = own.ok().filter(|own| ca_pem.is_none() || !own.is_empty());
    let own = own.ok_or("the CA file holds no certificate in PEM format")?;
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(own, Arc::clone(&provider));
    let verifier = verifier.map_err(|error| format!("no certificates can be trusted: {error}"))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("no TLS: {error}"))?
        // The platform's own judgement, as everywhere else.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A login as `AUTH PLAIN` carries it: as secret as the password.
pub(super) fn plain_proof(username: &str, password: &SecretString) -> SecretString {
    SecretString::from(STANDARD.encode(format!("\0{username}\0{}", password.expose_secret())))
}

/// A password as `AUTH LOGIN` carries it.
pub(super) fn login_proof(password: &SecretString) -> SecretString {
    SecretString::from(STANDARD.encode(password.expose_secret()))
}

impl SmtpServer {
    /// Submits a message; it has been taken by the server if there is no error. Returns to whom it was not sent, with the
    /// server's words, if not to all: nobody's alert waits for somebody who has left.
    pub(super) async fn send(&self, from: &str, to: &[&str], message: &str) -> Result<Option<String>, SmtpError> {
        let submitted = tokio::time::timeout(self.patience, self.submit(from, to, message)).await;
        let (mut talk, left_out) = submitted.unwrap_or(Err(SmtpError::Late))?;
        // It has been taken; how the connection ends changes nothing.
        drop(tokio::time::timeout(FAREWELL, talk.command("QUIT", 221)).await);
        Ok(left_out)
    }

    async fn submit(&self, from: &str, to: &[&str], message: &str) -> Result<(Talk, Option<String>), SmtpError> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let mut talk = match self.encryption {
            Encryption::Tls => Talk::over(self.encrypted(tcp).await?),
            Encryption::Starttls | Encryption::None => Talk::over(tcp),
        };
        talk.reply(220).await?;
        let mut offers = talk.greet(&self.hello).await?;
        if self.encryption == Encryption::Starttls {
            if !offers.iter().any(|offer| offer == "STARTTLS") {
                return Err(SmtpError::NotOffered("STARTTLS"));
            }
            talk.command("STARTTLS", 220).await?;
            // What came in the clear after that is somebody else's.
            if !talk.wire.buffer().is_empty() {
                return Err(SmtpError::Garbage("more than an answer to STARTTLS"));
            }
            talk = Talk::over(self.encrypted(talk.wire.into_inner()).await?);
            offers = talk.greet(&self.hello).await?;
        }
        if let Some((username, password)) = &self.login {
            talk.log_in(&offers, username, password).await?;
        }
        talk.command(&format!("MAIL FROM:<{from}>"), 250).await?;
        let left_out = talk.address(to).await?;
        talk.command("DATA", 354).await?;
        talk.command(&format!("{}\r\n.", stuffed(message)), 250).await.map_err(|error| match error {
            SmtpError::Refused { code, words } => SmtpError::Content { code, words },
            error => error,
        })?;
        Ok((talk, left_out))
    }

    async fn encrypted(&self, wire: impl Wire + 'static) -> Result<impl Wire + 'static, SmtpError> {
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| SmtpError::Tls(std::io::Error::other("the host's name cannot be in a certificate")))?;
        self.tls.connect(name, wire).await.map_err(SmtpError::Tls)
    }
}

/// Commands and replies.
struct Talk {
    wire: BufReader<Box<dyn Wire>>,
}

impl Talk {
    fn over(wire: impl Wire + 'static) -> Self {
        Self { wire: BufReader::new(Box::new(wire)) }
    }

    /// Introduces itself; returns what the server offers, in capitals.
    async fn greet(&mut self, name: &str) -> Result<Vec<String>, SmtpError> {
        let offers = self.command(&format!("EHLO {name}"), 250).await?;
        Ok(offers.iter().map(|offer| offer.to_ascii_uppercase()).collect())
    }

    async fn log_in(&mut self, offers: &[String], username: &str, password: &SecretString) -> Result<(), SmtpError> {
        let ways: Vec<&str> =
            offers.iter().filter_map(|offer| offer.strip_prefix("AUTH ")).flat_map(str::split_whitespace).collect();
        if ways.contains(&"PLAIN") {
            let proof = plain_proof(username, password);
            self.command(&format!("AUTH PLAIN {}", proof.expose_secret()), 235).await?;
        } else if ways.contains(&"LOGIN") {
            self.command("AUTH LOGIN", 334).await?;
            self.command(&STANDARD.encode(username), 334).await?;
            self.command(login_proof(password).expose_secret(), 235).await?;
        } else {
            return Err(SmtpError::NotOffered("login by PLAIN or LOGIN"));
        }
        Ok(())
    }

    /// Names the recipients; returns those that were refused, unless all were.
    async fn address(&mut self, to: &[&str]) -> Result<Option<String>, SmtpError> {
        let (mut left_out, mut last) = (Vec::new(), None);
        for to in to {
            match self.command(&format!("RCPT TO:<{to}>"), 250).await {
                Ok(_) => {}
                Err(SmtpError::Refused { code, words }) => {
                    left_out.push(format!("{to}: {code} {words}"));
                    last = Some(SmtpError::Refused { code, words });
                }
                Err(error) => return Err(error),
            }
        }
        match last {
            Some(error) if left_out.len() == to.len() => Err(error),
            _ => Ok((!left_out.is_empty()).then(|| format!("not sent to {}", left_out.join("; ")))),
        }
    }

    async fn command(&mut self, command: &str, good: u16) -> Result<Vec<String>, SmtpError> {
        self.wire.write_all(format!("{command}\r\n").as_bytes()).await?;
        self.wire.flush().await?;
        self.reply(good).await
    }

    /// Reads a reply, which must have this code (or, where a mail is passed on, 251); returns the text of its lines.
    async fn reply(&mut self, good: u16) -> Result<Vec<String>, SmtpError> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            (&mut self.wire).take(MAX_LINE).read_until(b'\n', &mut line).await?;
            if line.is_empty() {
                return Err(SmtpError::Connection(std::io::ErrorKind::UnexpectedEof.into()));
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let whole = line.ends_with(b"\n");
            let code = text.get(..3).and_then(|code| code.parse::<u16>().ok());
            let Some(code) = code.filter(|_| whole) else { return Err(SmtpError::Garbage("no reply of SMTP")) };
            let more = text.get(3..4) == Some("-");
            lines.push(text.get(4..).unwrap_or_default().to_owned());
            if lines.len() > MAX_LINES {
                return Err(SmtpError::Garbage("a reply without end"));
            }
            if !more {
                let same = code == good || (good == 250 && code == 251);
                return if same { Ok(lines) } else { Err(SmtpError::Refused { code, words: lines.join(" ") }) };
            }
        }
    }
}

/// A message whose lines cannot end it: a dot at the beginning of a line is doubled (RFC 5321, 4.5.2).
fn stuffed(message: &str) -> String {
    let lines = message.trim_end_matches("\r\n").split("\r\n");
    let stuffed = lines.map(|line| if line.starts_with('.') { format!(".{line}") } else { line.to_owned() });
    stuffed.collect::<Vec<_>>().join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_ends_the_message() {
        assert_eq!(stuffed("a: b\r\n\r\n.\r\n..x\r\n"), "a: b\r\n\r\n..\r\n...x");
    }
}
