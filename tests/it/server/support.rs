//! A bot with a web server, and a client that sends exactly what a test says.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::Value;

use crate::support::process::Running;
use crate::support::world::World;

/// The secret of all sources.
pub(crate) const SECRET: &str = "Hook-5ecret-0123456789";

/// Adds a server with these further lines to a world's configuration, and starts its bot.
pub(crate) fn start(world: &World, more: &str) -> (Running, String) {
    world.configure("stateDir: state\n", &format!("stateDir: state\nserver:\n  listen: 127.0.0.1:0\n{more}"));
    started(world)
}

/// Starts the bot of a world that has a server; where that listens.
pub(crate) fn started(world: &World) -> (Running, String) {
    let mut bot = world.start_with(&["run", "--log-level", "info"], &[("HOOK_SECRET", SECRET)]);
    bot.until_said("the web server listens on http://");
    let printed = bot.printed();
    let (_, rest) = printed.split_once("listens on http://").unwrap();
    let address: String = rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
    (bot, address)
}

/// A source of any kind, with the secret.
pub(crate) fn source(name: &str, kind: &str) -> String {
    format!("    - {{ name: {name}, kind: {kind}, secret: {{ env: HOOK_SECRET }} }}\n")
}

/// Sends this text, and reads until the other side ends: status and text. Where nothing comes, the status is 0.
pub(crate) fn exchange(address: &str, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // It may be refused before all of it is sent.
    stream.write_all(request).ok();
    read(&mut stream)
}

pub(crate) fn read(stream: &mut TcpStream) -> (u16, String) {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = some(stream, &mut chunk) {
        text.extend_from_slice(&chunk[..count]);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text)
}

/// Reads what there is. The end of another test's child may interrupt it: with a timeout, a read is not begun again by itself.
pub(crate) fn some(stream: &mut TcpStream, chunk: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match stream.read(chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    exchange(address, format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())
}

/// Posts a body with these header lines.
pub(crate) fn post(address: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    exchange(address, &request(address, path, headers, body, "close"))
}

pub(crate) fn request(address: &str, path: &str, headers: &str, body: &str, connection: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: {connection}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// The header line of a body's signature.
pub(crate) fn signed(header: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let hex: String = hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{header}: sha256={hex}\r\n")
}

/// Posts what a CI job would, signed.
pub(crate) fn hint(address: &str, body: &Value) -> (u16, String) {
    let body = body.to_string();
    post(address, "/webhooks/ci", &signed("x-signature", &body), &body)
}

/// How often tags were listed.
pub(crate) fn listings(world: &World) -> usize {
    world.registry.log().iter().filter(|seen| seen.target.contains("/tags/list")).count()
}

/// The value of a metric's sample.
#[track_caller]
pub(crate) fn metric(address: &str, sample: &str) -> f64 {
    let (status, text) = get(address, "/metrics");
    assert_eq!(status, 200, "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}
