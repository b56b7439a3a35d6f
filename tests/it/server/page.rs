//! The web page of a running bot, its JSON and its badges: every link, every header, who may read, what is live.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::config::conforms;
use crate::support::process::{Running, Signal};
use crate::support::world::World;

use super::support::{SECRET, exchange, get, post, read, some, start};

/// A world in which nothing is to be done.
fn world() -> World {
    let world = World::web().interval("1h").start();
    world.push("acme/web", "1.2.3");
    world
}

/// A world in which the bot commits in one environment, and is held by a freeze in the other.
fn frozen(reason: &str) -> World {
    let world = world();
    world.push("acme/web", "1.3.0");
    let frozen = world.landfall(&["freeze", "prod", "--by", "Ada", "--reason", reason]);
    assert_eq!(frozen.code, Some(0), "{frozen:?}");
    world
}

/// Waits until the page shows the bot's own commit, too.
fn committed(bot: &mut Running, address: &str) {
    ready(bot, address);
    bot.until("its commit", || json(address, "/api/v1/updates?environment=dev").to_string().contains("1.3.0"));
}

fn ready(bot: &mut Running, address: &str) {
    bot.until("the first cycle's end", || get(address, "/readyz").0 == 200);
    bot.until("its page", || get(address, "/apps/deploys/web").0 == 200);
}

fn ask(address: &str, method: &str, path: &str, headers: &str) -> (u16, String) {
    exchange(
        address,
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n").as_bytes(),
    )
}

fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").unwrap().1
}

/// Bodies may come in chunks.
fn json(address: &str, path: &str) -> Value {
    let (status, text) = get(address, path);
    let mut rest = body(&text);
    let mut whole = String::new();
    if text.to_lowercase().contains("transfer-encoding: chunked") {
        while let Some((length, more)) = rest.split_once("\r\n") {
            let length = usize::from_str_radix(length, 16).unwrap();
            whole.push_str(&more[..length]);
            rest = more[length..].trim_start_matches("\r\n");
        }
    } else {
        whole.push_str(rest);
    }
    assert!(text.to_lowercase().contains("content-type: application/json"), "{path}: {text}");
    serde_json::from_str(&whole).unwrap_or_else(|error| panic!("{path}: {status} {error}: {whole}"))
}

/// What a page refers to.
fn references(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for attribute in ["href", "src", "action"] {
        let begin = format!(" {attribute}=\"");
        let values = page.split(begin.as_str()).skip(1).filter_map(|rest| rest.split('"').next());
        found.extend(values.map(|value| value.replace("&amp;", "&")));
    }
    found
}

#[test]
fn every_link_of_the_page_leads_somewhere_and_none_leads_out() {
    let world = frozen("load <b>test</b>");
    let (mut bot, address) = start(&world, "");
    committed(&mut bot, &address);
    let (mut seen, mut left) = (BTreeSet::new(), VecDeque::from(["/".to_owned()]));
    let mut pages = 0;
    while let Some(path) = left.pop_front() {
        let path = path.split('#').next().unwrap().to_owned();
        if path.is_empty() || !seen.insert(path.clone()) {
            continue;
        }
        let (status, text) = get(&address, &path);
        assert_eq!(status, 200, "{path}: {text}");
        let head = text.split("\r\n\r\n").next().unwrap().to_lowercase();
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
             base-uri 'none'; form-action 'self'; frame-ancestors 'none'\r",
            "x-content-type-options: nosniff\r",
            "referrer-policy: no-referrer\r",
        ] {
            assert!(format!("{head}\r").contains(header), "{path} lacks {header}: {head}");
        }
        if !head.contains("content-type: text/html") {
            continue;
        }
        pages += 1;
        assert!(head.contains("cache-control: no-store"), "{head}");
        let page = body(&text);
        for wrong in [" style=\"", " onclick=", " onload=", "<style", "javascript:", "load <b>"] {
            assert!(!page.contains(wrong), "{path} has {wrong}");
        }
        assert_eq!(page.matches("<script").count(), 1, "{path} has a script of its own");
        for part in ["<main id=\"main\"", "<h1", "<nav aria-label=\"Pages\"", "lang=\"en\"", "aria-live=\"polite\""] {
            assert!(page.contains(part), "{path} lacks {part}");
        }
        for reference in references(page) {
            assert!(reference.starts_with('/') || reference.starts_with('#'), "{path} refers to {reference}");
            assert!(!reference.starts_with("//"), "{path} refers to {reference}");
            left.push_back(reference);
        }
    }
    assert!(pages >= 10, "{seen:?}");
    let index = get(&address, "/").1;
    assert!(index.contains("Frozen: ") && index.contains("load &lt;b&gt;test&lt;/b&gt;"), "{index}");
    // What is not there says so; what is no address of the page neither.
    assert_eq!(get(&address, "/apps/deploys/nothing").0, 404);
    assert_eq!(get(&address, "/apps/%22%3E%3Cscript%3E/x").0, 404);
    assert!(!get(&address, "/apps/%22%3E%3Cscript%3E/x").1.contains("<script>"));
    assert_eq!(get(&address, "/policy?repository=deploys&path=../x").0, 400);
    assert_eq!(get(&address, "/policy?repository=deploys").0, 400);
    assert_eq!(get(&address, "/policy?repository=nothing&path=x").0, 404);
    assert_eq!(get(&address, "/?q=%ff").0, 200);
    assert_eq!(get(&address, "/static/page.css").0, 404);
    // A file of the page is named after its content, and need not be sent again.
    let style = references(&index).into_iter().find(|it| it.ends_with(".css")).unwrap();
    let known = format!("if-none-match: \"{}\"\r\n", style.trim_start_matches("/static/"));
    assert_eq!(ask(&address, "GET", &style, &known).0, 304);
    bot.stop(Signal::TERM);
}

#[test]
fn the_page_is_read_and_nothing_else() {
    let world = world();
    let (mut bot, address) = start(&world, "");
    ready(&mut bot, &address);
    for path in ["/", "/apps/deploys/web", "/waiting", "/events", "/api/v1/apps", "/badges/deploys/web/dev.svg"] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            assert_eq!(ask(&address, method, path, "content-length: 0\r\n").0, 405, "{method} {path}");
        }
    }
    let (status, text) = ask(&address, "HEAD", "/", "");
    assert_eq!((status, body(&text)), (200, ""));
    assert_eq!(post(&address, "/", "", "x=1").0, 405);
    bot.stop(Signal::TERM);
}

#[test]
fn the_page_is_for_this_machine_for_whoever_has_the_token_or_for_whom_the_proxy_names() {
    let world = world();
    let (mut bot, address) = start(&world, "");
    ready(&mut bot, &address);
    let all = [
        "/",
        "/apps/deploys/web",
        "/sources",
        "/policy",
        "/events",
        "/api/v1/updates",
        "/api/v1/openapi.json",
        "/badges/deploys/web/dev.svg",
    ];
    let status = |path: &str, headers: &str| {
        exchange(&address, format!("HEAD {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n").as_bytes()).0
    };
    for path in all {
        assert_eq!(status(path, "host: rebound.example\r\n"), 401, "{path}");
        assert_eq!(status(path, &format!("host: {address}\r\nx-forwarded-for: 10.0.0.7\r\n")), 401, "{path}");
    }
    bot.stop(Signal::TERM);
    let server = "  token: { env: HOOK_SECRET }\n  trustedProxy: { header: X-Forwarded-User, addresses: [127.0.0.0/8] }\n  badges: public\n";
    let world = self::world();
    let (mut bot, address) = start(&world, server);
    bot.until("the first cycle's end", || get(&address, "/readyz").0 == 200);
    let basic = |password: &str| format!("authorization: Basic {}\r\n", STANDARD.encode(format!("ada:{password}")));
    for (headers, expected) in [
        (String::new(), 401),
        (basic("wrong"), 401),
        ("authorization: Bearer wrong\r\n".to_owned(), 401),
        ("x-forwarded-user: \r\n".to_owned(), 401),
        ("x-forwarded-user: ada\r\nx-forwarded-user: eve\r\n".to_owned(), 401),
        (basic(SECRET), 200),
        (format!("authorization: Bearer {SECRET}\r\n"), 200),
        ("x-forwarded-user: ada\r\n".to_owned(), 200),
    ] {
        assert_eq!(ask(&address, "GET", "/", &headers).0, expected, "{headers}");
        assert_eq!(ask(&address, "GET", "/api/v1/apps", &headers).0, expected, "{headers}");
    }
    let refused = ask(&address, "GET", "/", "").1.to_lowercase();
    assert!(
        refused.contains("www-authenticate: basic realm=\"landfall\"") && refused.contains("www-authenticate: bearer"),
        "{refused}"
    );
    assert_eq!(get(&address, "/badges/deploys/web/dev.svg").0, 200, "badges are for everybody here");
    let ran = bot.stop(Signal::TERM);
    assert!(!ran.text().contains(SECRET), "{}", ran.text());
}

/// The commands in an answer of the API.
fn offered(answer: &Value) -> Vec<String> {
    match answer {
        Value::String(text) if text.starts_with("landfall ") => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(offered).collect(),
        Value::Object(fields) => fields.values().flat_map(offered).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn what_the_api_answers_is_what_its_description_says() {
    let world = frozen("load test");
    let (mut bot, address) = start(&world, "");
    committed(&mut bot, &address);
    let description = json(&address, "/api/v1/openapi.json");
    assert_eq!(description["openapi"], "3.1.0");
    let file = "apps/web/overlays/dev/kustomization.yaml";
    let examples = BTreeMap::from([
        ("/api/v1/apps/{repository}/{app}", "/api/v1/apps/deploys/web".to_owned()),
        ("/api/v1/policy", format!("/api/v1/policy?repository=deploys&path={file}")),
    ]);
    let mut commands = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        let responses = &item["get"]["responses"];
        let schema = |status: &str| &responses[status]["content"]["application/json"]["schema"];
        let asked = examples.get(path.as_str()).unwrap_or(path);
        let answer = json(&address, asked);
        conforms(schema("200"), &description, &answer, path).unwrap();
        commands.extend(offered(&answer));
        let text = answer.to_string();
        assert!(path.contains("incidents") || text.contains("deploys"), "{path}: {text}");
        if path.contains('{') || path.contains("policy") {
            let nothing = asked.replace("deploys", "nothing");
            let error = json(&address, &nothing);
            conforms(schema("404"), &description, &error, path).unwrap();
            assert_eq!(get(&address, &nothing).0, 404);
        }
    }
    // Every command that is offered is one that the program understands.
    for word in ["status", "history", "hold", "release", "rollback", "promote", "explain", "unfreeze"] {
        assert!(
            commands.iter().any(|command| command.starts_with(&format!("landfall {word} "))),
            "{word}: {commands:?}"
        );
    }
    for command in &commands {
        let words = command.replace('\'', "");
        let arguments: Vec<&str> = words.split(' ').skip(1).chain(["--help"]).collect();
        let ran = world.landfall(&arguments);
        assert_eq!(ran.code, Some(0), "{command}: {ran:?}");
    }
    let updates = json(&address, "/api/v1/updates?environment=dev")["updates"].clone();
    let updates = updates.as_array().unwrap();
    assert!(!updates.is_empty() && updates.iter().all(|update| update["environment"] == "dev"), "{updates:?}");
    assert_eq!(json(&address, "/api/v1/updates?app=nothing")["updates"], Value::Array(Vec::new()));
    assert!(json(&address, "/api/v1/policy?repository=deploys&path=")["error"].is_string());
    let (status, badge) = get(&address, "/badges/deploys/web/dev.svg");
    assert!(status == 200 && badge.contains("image/svg+xml") && badge.contains("1.3.0"), "{badge}");
    let (status, badge) = get(&address, "/badges/deploys/nothing/%3Cscript%3E.svg");
    assert!(status == 404 && badge.contains("unknown") && !badge.contains("<script"), "{badge}");
    bot.stop(Signal::TERM);
}

#[test]
fn an_open_page_is_told_what_changes() {
    let world = world();
    let (mut bot, address) = start(&world, "");
    ready(&mut bot, &address);
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
    let mut text = String::new();
    let mut until = |word: &str| {
        let mut chunk = [0; 4096];
        let began = Instant::now();
        while !text.contains(word) {
            assert!(began.elapsed() < Duration::from_secs(90), "no {word} in {text}");
            let count = some(&mut stream, &mut chunk).unwrap();
            assert!(count > 0, "the stream ended: {text}");
            text.push_str(&String::from_utf8_lossy(&chunk[..count]));
        }
        text.clone()
    };
    let begun = until("event: hello");
    assert!(begun.contains("text/event-stream") && begun.contains("no-store"), "{begun}");
    // A person writes another version; the bot sees that its repository moved.
    world.edit("apps/web/overlays/dev/kustomization.yaml", "1.2.3", "1.2.0");
    let told = until("web in dev: 1.2.0");
    assert!(told.contains("event: change") && told.contains("cell-deploys/web/dev"), "{told}");
    let ran = bot.stop(Signal::TERM);
    assert!(ran.took < Duration::from_secs(10), "a stream holds up nothing: {:?}", ran.took);
}

#[test]
fn pages_that_nobody_reads_and_streams_without_end_keep_nobody_out() {
    let world = world();
    let (mut bot, address) = start(&world, "");
    ready(&mut bot, &address);
    let before = bot.target().memory().own;
    // As many as one address may have, but for the probes'.
    let open: Vec<TcpStream> = (0..250)
        .map(|number| {
            let mut stream = TcpStream::connect(&address).unwrap();
            let path = if number % 2 == 0 { "/events" } else { "/" };
            write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").unwrap();
            stream
        })
        .collect();
    assert_eq!(get(&address, "/livez").0, 200);
    assert_eq!(get(&address, "/readyz").0, 200);
    bot.until("a page for who reads it", || get(&address, "/").0 == 200);
    let grown = bot.target().memory().own.saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    let mut more: Vec<TcpStream> = (0..300).filter_map(|_| TcpStream::connect(&address).ok()).collect();
    if let Some(last) = more.last_mut() {
        last.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(read(last).0, 0, "there is no place left for this address");
    }
    drop((open, more));
    bot.until("its places back", || get(&address, "/").0 == 200);
    bot.stop(Signal::TERM);
}
