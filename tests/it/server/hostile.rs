//! What strangers send: too much, too slowly, too deep, too often. The bot goes on.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::process::Signal;
use crate::support::world::World;

use super::support::{exchange, get, hint, metric, post, read, request, signed, source, start};

#[test]
fn bodies_and_headers_of_any_size_and_shape() {
    let world = World::web().interval("1h").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let (mut bot, address) = start(&world, &format!("  webhooks:\n{}", source("ci", "generic")));
    bot.until("the end of the cycle", || get(&address, "/readyz").0 == 200);
    let before = bot.target().memory().own;
    // One that says nothing, and one that sends its headers a byte at a time, lose their connections below.
    let mut silent = TcpStream::connect(&address).unwrap();
    let mut slow = TcpStream::connect(&address).unwrap();
    slow.write_all(b"POST /webhooks/ci HTTP/1.1\r\nx-signature: sha256=").unwrap();
    let began = Instant::now();

    let claims = "x-signature: sha256=00\r\n";
    let head = |length: &str| format!("POST /webhooks/ci HTTP/1.1\r\nhost: a\r\n{claims}{length}\r\n\r\n");
    let mut announced = head("content-length: 104857600").into_bytes();
    announced.extend(vec![b'x'; 1 << 20]);
    assert_eq!(exchange(&address, &announced).0, 413, "100 MB");
    let mut endless = head("transfer-encoding: chunked").into_bytes();
    for _ in 0..100 {
        endless.extend_from_slice(b"100000\r\n");
        endless.extend(vec![b'x'; 1 << 20]);
        endless.extend_from_slice(b"\r\n");
    }
    let (status, text) = exchange(&address, &endless);
    assert!(matches!(status, 413 | 0), "cut off or refused: {text}");
    let unsigned = vec![b'x'; 4 << 20];
    let unsigned =
        [b"POST /webhooks/ci HTTP/1.1\r\nhost: a\r\ncontent-length: 104857600\r\n\r\n", &unsigned[..]].concat();
    assert!(matches!(exchange(&address, &unsigned).0, 401 | 0), "not read at all");

    let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "x".repeat(100 << 10));
    for headers in [&many, &long] {
        assert!(matches!(post(&address, "/webhooks/ci", headers, "{}").0, 431 | 0));
    }
    let nested = |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    for body in [
        nested("[", "]", 100_000),
        nested("{\"a\":", "}", 100_000),
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{\"image\": 1}".to_owned(),
        "{\"image\": {\"a\": []}}".to_owned(),
        "\u{0}".to_owned(),
    ] {
        let (status, text) = post(&address, "/webhooks/ci", &signed("x-signature", &body), &body);
        assert_eq!(status, 400, "{} …: {text}", &body[..body.len().min(40)]);
    }
    // Too much to be parsed, and from the sender: whatever it says, everything is checked.
    let body = format!("[{}0]", "0,".repeat(1_000_000));
    let (status, text) = post(&address, "/webhooks/ci", &signed("x-signature", &body), &body);
    assert!(status == 202 && text.contains("everything will be checked"), "{text}");
    let body = json!({ "image": "\u{1b}[31mred\nERROR forged line" }).to_string();
    assert_eq!(post(&address, "/webhooks/ci", &signed("x-signature", &body), &body).0, 202);
    for path in ["/webhooks/%2e%2e/ci", "/webhooks/", "/webhooks/ci/a/b", "/webhooks/%00", "//", "/webhooks/ci%2f"] {
        assert!(matches!(post(&address, path, claims, "{}").0, 401 | 404), "{path}");
    }
    assert_eq!(exchange(&address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS, by mistake\r\n\r\n").0, 400);

    // It goes on as if nothing had been.
    world.push("acme/web", "1.4.0");
    assert_eq!(hint(&address, &json!({ "image": world.text("REG/acme/web") })).0, 202);
    bot.until("the commit", || world.tag("web", "dev") == "1.4.0");
    let grown = bot.target().memory().own.saturating_sub(before);
    assert!(grown < 128 << 20, "{} MiB", grown >> 20);
    for stream in [&mut silent, &mut slow] {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (status, text) = read(stream);
        assert!(matches!(status, 408 | 0), "{text}");
    }
    assert!(began.elapsed() < Duration::from_secs(60), "they were closed by the server: {:?}", began.elapsed());
    let text = bot.stop(Signal::TERM).text();
    assert!(!text.contains("forged line") && !text.contains("panicked"), "{text}");
}

/// Sends webhooks about images that nobody declares, over some connections for some time, and in the midst of it pushes and
/// hints at an image that matters. Returns how many were sent; all of them must have been accepted.
fn flood(connections: usize, each: usize) {
    let world = World::web().interval("1h").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let (mut bot, address) = start(&world, &format!("  webhooks:\n{}", source("ci", "generic")));
    bot.until("the end of the cycle", || get(&address, "/readyz").0 == 200);
    let before = bot.target().memory().own;
    let noise = json!({ "images": (0..20).map(|n| format!("ghcr.io/acme/app-{n}")).collect::<Vec<_>>() }).to_string();
    let once = |connection: &str| request(&address, "/webhooks/ci", &signed("x-signature", &noise), &noise, connection);
    let send = || {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut reader = stream.try_clone().unwrap();
        let answers = std::thread::spawn(move || accepted(&mut reader));
        let again = once("keep-alive");
        for _ in 1..each {
            stream.write_all(&again).unwrap();
        }
        stream.write_all(&once("close")).unwrap();
        answers.join().unwrap()
    };
    let began = Instant::now();
    let accepted: usize = std::thread::scope(|scope| {
        let floods: Vec<_> = (0..connections).map(|_| scope.spawn(send)).collect();
        world.push("acme/web", "1.4.0");
        assert_eq!(hint(&address, &json!({ "image": world.text("REG/acme/web") })).0, 202);
        floods.into_iter().map(|flood| flood.join().unwrap()).sum()
    });
    let took = began.elapsed();
    assert_eq!(accepted, connections * each);
    bot.until("the commit", || world.tag("web", "dev") == "1.4.0");
    let grown = bot.target().memory().own.saturating_sub(before);
    eprintln!("{accepted} in {took:?}, {} MiB more", grown >> 20);
    assert!(grown < 64 << 20, "{} MiB", grown >> 20);
    let counted: f64 = ["unknown", "flood", "accepted"]
        .map(|outcome| metric(&address, &format!("landfall_webhooks_total{{source=\"ci\",outcome=\"{outcome}\"}}")))
        .into_iter()
        .sum();
    assert!((counted - (accepted + 1) as f64).abs() < 0.5, "{counted}");
    bot.stop(Signal::TERM);
}

/// How many answers say 202, read to the end without keeping them.
fn accepted(stream: &mut TcpStream) -> usize {
    use std::io::Read as _;
    const ACCEPTED: &[u8] = b"HTTP/1.1 202";
    let (mut count, mut kept, mut chunk) = (0, Vec::new(), vec![0; 1 << 16]);
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        kept.extend_from_slice(&chunk[..read]);
        count += kept.windows(ACCEPTED.len()).filter(|window| *window == ACCEPTED).count();
        kept.drain(..kept.len().saturating_sub(ACCEPTED.len() - 1));
    }
    count
}

#[test]
fn a_flood_takes_bounded_memory_and_loses_nothing() {
    flood(8, 1000);
}

#[test]
#[ignore = "it takes both cores for minutes; run by hand: cargo test --release --test it minute_of_flood -- --ignored --nocapture"]
fn a_minute_of_flood_at_ten_thousand_a_second() {
    flood(100, 6000);
}
