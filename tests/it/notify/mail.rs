//! E-mail: threads, encryption, and servers that refuse.

use std::time::Duration;

use landfall::notify::{Pace, SinkSettings};

use super::scene::{Scene, dead, landed, quick, sink, stuck};
use super::smtp::{PASSWORD, Smtp, Speaks, USER};
use crate::support::skip;
use crate::tls::{certificate, has_openssl};

const WHO: &str = "from: 'Landfall <landfall@example.com>', to: [ops@example.com, 'Ada <ada@example.com>']";

fn mail_to(server: &Smtp, host: &str, more: &str, password: &str) -> SinkSettings {
    let keys = format!("kind: email, host: '{host}', port: {}, {WHO}, {more}", server.address.port());
    sink("mail", &keys, &[("PASSWORD", password)])
}

const LOGIN: &str = "credentials: { username: landfall, password: { env: PASSWORD } }";

/// A folder with a certificate for `localhost` and its authority's, if there is a program that makes one.
fn certified() -> Option<tempfile::TempDir> {
    if !has_openssl() {
        skip("openssl is not installed: mail servers with TLS are not tried");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "ca", &[]);
    let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    certificate(folder.path(), "server", &[&signed[..], &["-addext", "subjectAltName=DNS:localhost"]].concat());
    Some(folder)
}

#[tokio::test]
async fn the_mails_of_an_incident_are_a_thread() {
    let server = Smtp::start(Speaks::Plain, None, "250 ok").await;
    let mut scene = Scene::new(vec![mail_to(&server, "127.0.0.1", "encryption: none", "")]);
    let mut hostile = stuck("web");
    hostile.landing.cause.as_mut().unwrap().message = "x\r\n.\r\nBcc: all@example.com\r\n\r\n<b>é</b>".to_owned();
    scene.look(&[hostile]).await;
    scene.look(&[dead("web")]).await;
    scene.look(&[landed("web")]).await;
    let mails = server.mails();
    assert_eq!(mails.len(), 3, "{mails:?}");
    let first = mails[0].header("Message-ID").unwrap();
    for mail in &mails[1..] {
        assert_eq!(mail.header("In-Reply-To").as_ref(), Some(&first));
        assert_eq!(mail.header("References").as_ref(), Some(&first));
        assert_ne!(mail.header("Message-ID").as_ref(), Some(&first));
    }
    assert!(first.starts_with("<landfall-") && first.ends_with("@example.com>"), "{first}");
    assert_eq!(mails[0].header("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert_eq!(mails[0].header("Bcc"), None, "{}", mails[0].data);
    assert_eq!((mails[0].to.len(), mails[0].from.as_str()), (2, "MAIL FROM:<landfall@example.com>"));
    let text = mails[0].text();
    assert!(text.contains("Cause: x . Bcc: all@example.com <\u{2060}b>é"), "{text}");
    assert!(text.contains("Next: look at the pod") && text.contains(super::scene::PULL), "{text}");
}

#[tokio::test]
async fn it_logs_in_only_when_the_connection_is_encrypted() {
    let Some(folder) = certified() else { return };
    for (speaks, word) in [(Speaks::Tls, "tls"), (Speaks::Starttls, "starttls")] {
        let server = Smtp::start(speaks, Some(folder.path()), "250 ok").await;
        let more = format!("encryption: {word}, {LOGIN}");
        let mut trusting = mail_to(&server, "localhost", &more, PASSWORD);
        trusting.ca_pem = Some(std::fs::read(folder.path().join("ca.pem")).unwrap());
        let mut scene = Scene::new(vec![trusting]);
        scene.look(&[stuck("web")]).await;
        let mails = server.mails();
        assert!(mails.len() == 1 && mails[0].encrypted && mails[0].logged_in, "{word}: {mails:?}");
        // A certificate of nobody known.
        let mut scene = Scene::new(vec![mail_to(&server, "localhost", &more, PASSWORD)]);
        scene.cycle(&[stuck("web")]);
        scene.until("it fails", |scene| scene.health("mail").failing.is_some()).await;
        assert_eq!(server.mails().len(), 1);
        let error = scene.health("mail").failing.unwrap().error;
        assert!(error.contains("next:") && !error.contains(PASSWORD), "{error}");
    }
    // A server that offers no encryption is sent nothing.
    let server = Smtp::start(Speaks::Plain, None, "250 ok").await;
    let mut scene =
        Scene::new(vec![mail_to(&server, "127.0.0.1", &format!("encryption: starttls, {LOGIN}"), PASSWORD)]);
    scene.cycle(&[stuck("web")]);
    scene.until("it fails", |scene| scene.health("mail").failing.is_some()).await;
    assert_eq!(server.mails().len(), 0);
}

#[tokio::test]
async fn refusals_are_told_with_a_next_step_and_without_the_password() {
    let Some(folder) = certified() else { return };
    let server = Smtp::start(Speaks::Tls, Some(folder.path()), "250 ok").await;
    let mut wrong = mail_to(&server, "localhost", LOGIN, "wr0ng-s3cret");
    wrong.ca_pem = Some(std::fs::read(folder.path().join("ca.pem")).unwrap());
    let mut scene = Scene::new(vec![wrong]);
    scene.cycle(&[stuck("web")]);
    scene.until("it fails", |scene| scene.health("mail").failing.is_some()).await;
    let health = scene.health("mail");
    let error = health.failing.unwrap().error;
    assert!(error.contains("give it a valid username and password"), "{error}");
    use base64::Engine as _;
    let sent = base64::engine::general_purpose::STANDARD.encode(format!("\0{USER}\0wr0ng-s3cret"));
    assert!(!error.contains("wr0ng") && !error.contains(&sent), "{error}");
    assert_eq!((health.waiting, health.rejected), (1, 0), "it is tried again");

    let server = Smtp::start(Speaks::Plain, None, "550 5.1.1 no such user").await;
    let mut scene = Scene::new(vec![mail_to(&server, "127.0.0.1", "encryption: none", "")]);
    scene.cycle(&[stuck("web")]);
    scene.until("it fails", |scene| scene.health("mail").failing.is_some()).await;
    let error = scene.health("mail").failing.unwrap().error;
    assert!(error.contains("no such user") && error.contains("a recipient"), "{error}");
}

#[tokio::test]
async fn one_recipient_that_is_refused_keeps_nobody_else_from_being_told() {
    let server = Smtp::start(Speaks::Plain, None, "@ada 550 5.1.1 no such user").await;
    let mut scene = Scene::new(vec![mail_to(&server, "127.0.0.1", "encryption: none", "")]);
    scene.look(&[stuck("web")]).await;
    assert_eq!(server.mails().len(), 1);
    let health = scene.health("mail");
    let left_out = health.left_out.unwrap();
    assert!(left_out.contains("not sent to ada@example.com: 550 5.1.1 no such user"), "{left_out}");
    assert!(health.failing.is_none() && health.waiting == 0);
}

#[tokio::test]
async fn what_is_wrong_before_the_message_is_tried_again() {
    let server = Smtp::start(Speaks::Plain, None, "554 5.7.1 relay access denied").await;
    let mut scene = Scene::new(vec![mail_to(&server, "127.0.0.1", "encryption: none", "")]);
    scene.cycle(&[stuck("web")]);
    scene.until("it fails", |scene| scene.health("mail").failing.is_some()).await;
    let health = scene.health("mail");
    assert_eq!((health.waiting, health.rejected), (1, 0), "{health:?}");
}

#[tokio::test]
async fn a_server_that_does_not_say_good_bye_has_taken_the_mail() {
    let server = Smtp::start(Speaks::SilentQuit, None, "250 ok").await;
    let mut scene = Scene::new(vec![mail_to(&server, "127.0.0.1", "encryption: none", "")]);
    scene.look(&[stuck("web")]).await;
    scene.look(&[landed("web")]).await;
    assert_eq!(server.mails().len(), 2, "the alert and its end, each once");
    assert!(scene.health("mail").failing.is_none());
}

#[tokio::test]
async fn a_server_that_never_ends_its_line_is_left() {
    let server = Smtp::start(Speaks::Endless, None, "").await;
    let pace = Pace { request: Duration::from_secs(5), ..quick() };
    let mut scene = Scene::paced(vec![mail_to(&server, "127.0.0.1", "encryption: none", "")], pace);
    scene.cycle(&[stuck("web")]);
    scene.until("it fails", |scene| scene.health("mail").failing.is_some()).await;
    let error = scene.health("mail").failing.unwrap().error;
    assert!(error.contains("next:"), "{error}");
}
