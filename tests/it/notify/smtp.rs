//! A mail server that speaks SMTP as its standard says, with TLS from the first byte, after STARTTLS, or without.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(super) const USER: &str = "landfall";
pub(super) const PASSWORD: &str = "s3cret-mail";

/// A message as it was taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Mail {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) data: String,
    pub(super) encrypted: bool,
    pub(super) logged_in: bool,
}

impl Mail {
    /// A header, unfolded.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let head = self.data.split("\r\n\r\n").next()?.replace("\r\n ", " ");
        let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
        line.map(|line| line.trim().to_owned())
    }

    /// The text, decoded.
    pub(super) fn text(&self) -> String {
        let body = self.data.split_once("\r\n\r\n").unwrap().1;
        match self.header("Content-Transfer-Encoding").as_deref() {
            Some("base64") => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(body.replace("\r\n", "")).unwrap();
                String::from_utf8(bytes).unwrap()
            }
            _ => body.to_owned(),
        }
    }
}

/// How the server takes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    Plain,
    Starttls,
    Tls,
    /// Lines without end.
    Endless,
    /// Silent once the mail has been taken.
    SilentQuit,
}

/// What it answers to a recipient; with `@NAME ` before it, only to those of that name.
pub(super) type ToRecipient = &'static str;

pub(super) struct Smtp {
    pub(super) address: SocketAddr,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl Smtp {
    /// A server on a port of its own; with a certificate `server.pem` and its key in `folder`.
    pub(super) async fn start(speaks: Speaks, folder: Option<&Path>, recipient: ToRecipient) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let acceptor = folder.map(acceptor);
        let log = Arc::clone(&mails);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log) = (acceptor.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    match (speaks, acceptor) {
                        (Speaks::Tls, Some(acceptor)) => {
                            let stream = acceptor.accept(stream).await.ok()?;
                            talk(&mut BufReader::new(stream), Talk::encrypted(recipient), &log).await;
                        }
                        (Speaks::Starttls, Some(acceptor)) => {
                            let mut stream = BufReader::new(stream);
                            talk(&mut stream, Talk { offers_tls: true, ..Talk::plain(recipient) }, &log).await?;
                            let stream = acceptor.accept(stream.into_inner()).await.ok()?;
                            talk(
                                &mut BufReader::new(stream),
                                Talk { greeted: true, ..Talk::encrypted(recipient) },
                                &log,
                            )
                            .await;
                        }
                        (Speaks::Endless, _) => {
                            let mut stream = stream;
                            while stream.write_all(&[b'2'; 65_536]).await.is_ok() {}
                        }
                        (Speaks::SilentQuit, _) => {
                            let silent = Talk { silent_quit: true, ..Talk::plain(recipient) };
                            talk(&mut BufReader::new(stream), silent, &log).await?;
                        }
                        _ => drop(talk(&mut BufReader::new(stream), Talk::plain(recipient), &log).await),
                    }
                    Some(())
                });
            }
        });
        Self { address, mails }
    }

    pub(super) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let chain = CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    TlsAcceptor::from(Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

struct Talk {
    greeted: bool,
    encrypted: bool,
    offers_tls: bool,
    silent_quit: bool,
    recipient: ToRecipient,
}

impl Talk {
    fn plain(recipient: ToRecipient) -> Self {
        Self { greeted: false, encrypted: false, offers_tls: false, silent_quit: false, recipient }
    }

    fn encrypted(recipient: ToRecipient) -> Self {
        Self { encrypted: true, ..Self::plain(recipient) }
    }
}

/// One conversation; returns something if it is to go on under TLS.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    talk: Talk,
    log: &Mutex<Vec<Mail>>,
) -> Option<()> {
    let mut mail = Mail { encrypted: talk.encrypted, ..Mail::default() };
    if !talk.greeted {
        say(stream, "220 mail.example.com ESMTP").await?;
    }
    loop {
        let line = next_line(stream).await?;
        let word = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            "EHLO" => {
                let more = if talk.offers_tls { "250-STARTTLS\r\n" } else { "250-AUTH PLAIN LOGIN\r\n" };
                say(stream, &format!("250-mail.example.com\r\n{more}250 8BITMIME")).await?;
            }
            "STARTTLS" if talk.offers_tls => {
                say(stream, "220 go ahead").await?;
                return Some(());
            }
            // RFC 4954: not before the connection is encrypted.
            "AUTH" if !talk.encrypted => say(stream, "538 encryption required").await?,
            "AUTH" => {
                let sent = line.rsplit(' ').next().unwrap_or_default();
                let good = base64::engine::general_purpose::STANDARD.encode(format!("\0{USER}\0{PASSWORD}"));
                mail.logged_in = sent == good;
                let answer = if mail.logged_in { "235 welcome" } else { "535 5.7.8 authentication failed" };
                say(stream, &format!("{answer} {sent}")).await?;
            }
            "MAIL" => {
                mail.from = line.clone();
                say(stream, "250 ok").await?;
            }
            "RCPT" => {
                mail.to.push(line.clone());
                let answer = match talk.recipient.strip_prefix('@').and_then(|rule| rule.split_once(' ')) {
                    Some((name, answer)) if line.contains(name) => answer,
                    Some(_) => "250 ok",
                    None => talk.recipient,
                };
                say(stream, answer).await?;
            }
            "DATA" => {
                say(stream, "354 go on").await?;
                loop {
                    let line = next_line(stream).await?;
                    if line == "." {
                        break;
                    }
                    mail.data.push_str(line.strip_prefix('.').unwrap_or(&line));
                    mail.data.push_str("\r\n");
                }
                log.lock().unwrap().push(mail.clone());
                say(stream, "250 taken").await?;
            }
            "QUIT" if talk.silent_quit => std::future::pending().await,
            "QUIT" => {
                say(stream, "221 bye").await?;
                return None;
            }
            _ => say(stream, "250 ok").await?,
        }
    }
}

async fn next_line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut line = String::new();
    (stream.read_line(&mut line).await.ok()? > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
}

async fn say<S: AsyncWrite + AsyncRead + Unpin>(stream: &mut BufReader<S>, text: &str) -> Option<()> {
    stream.get_mut().write_all(format!("{text}\r\n").as_bytes()).await.ok()
}
