//! `/livez`, `/readyz`, `/metrics`, and how the server starts and ends.

use std::net::TcpListener;
use std::time::Duration;

use axum::Router;
use axum::routing::get as get_route;

use crate::support::process::Signal;
use crate::support::server::Server;
use crate::support::world::{World, kustomization, overlay};

use super::support::{SECRET, exchange, get, metric, source, start};

#[test]
fn it_is_alive_at_once_and_ready_after_the_first_cycle() {
    let world = World::web().interval("1h").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    // The first cycle ends when its push may.
    world.hook("pre-receive", "while [ ! -e go ]; do sleep 0.02; done");
    let (mut bot, address) = start(&world, "");
    bot.until("it is alive", || get(&address, "/livez").0 == 200);
    assert_eq!(get(&address, "/readyz").0, 503);
    std::fs::write(world.bare().join("go"), "").unwrap();
    bot.until("it is ready", || get(&address, "/readyz").0 == 200);
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    let (status, text) = get(&address, "/metrics");
    assert_eq!(status, 200, "{text}");
    for part in [
        "content-type: text/plain; version=0.0.4",
        "landfall_build_info{version=\"",
        "landfall_cycles_total{repository=\"deploys\",result=\"good\"} 1",
        "landfall_cycle_duration_seconds_count{repository=\"deploys\"} 1",
        "landfall_repository_last_success_timestamp_seconds{repository=\"deploys\"} ",
        &format!("landfall_http_requests_total{{host=\"{}\",outcome=\"ok\"}} ", world.host.split(':').next().unwrap()),
        "landfall_git_operations_total{host=\"local\",operation=\"push\",result=\"ok\"} ",
        "landfall_host_last_success_timestamp_seconds{host=\"127.0.0.1\",operation=\"http\"} ",
        "landfall_actions_total{repository=\"deploys\",result=\"done\"} 2",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    bot.until("the rows", || {
        metric(&address, "landfall_updates{repository=\"deploys\",environment=\"dev\",cluster=\"\",state=\"pending\"}")
            > 0.0
            || get(&address, "/metrics").1.contains("landfall_updates{repository=\"deploys\",environment=\"dev\"")
    });
    assert_eq!(get(&address, "/nothing").0, 404);
    assert_eq!(get(&address, "/webhooks/ci").0, 405);
    let ran = bot.stop(Signal::TERM);
    assert!(ran.took < Duration::from_secs(120));
}

#[test]
fn what_a_registry_says_is_left_of_its_limit_is_told() {
    let limits = [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "97;w=21600")];
    let answer = move || std::future::ready((limits, "{\"name\":\"x\",\"tags\":[\"1.2.3\"]}"));
    let registry = Server::start(Router::new().route("/v2/{*rest}", get_route(answer)));
    let host = registry.origin.trim_start_matches("http://").to_owned();
    let limited = kustomization("limited", "1.2.3").replace("REG", &host);
    let world = World::web().file(&overlay("limited", "dev"), limited).interval("1h").start();
    world.configure("registries:\n", &format!("registries:\n  - {{ host: \"{host}\", plainHttp: true }}\n"));
    let told = world.landfall(&["status", "-o", "json"]).json()["budgets"].clone();
    assert_eq!(
        told,
        serde_json::json!([{ "host": "127.0.0.1", "resource": null, "remaining": 97, "limit": 100, "reset": null }])
    );
    let (mut bot, address) = start(&world, "");
    bot.until("the first cycle's end", || get(&address, "/readyz").0 == 200);
    let (_, text) = get(&address, "/metrics");
    for line in [
        "landfall_rate_limit_remaining{host=\"127.0.0.1\",resource=\"\"} 97",
        "landfall_rate_limit_max{host=\"127.0.0.1\",resource=\"\"} 100",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
}

#[test]
fn metrics_are_for_this_machine_or_for_whoever_has_the_token() {
    let world = World::web().interval("1h").start();
    let (mut bot, address) = start(&world, "");
    bot.until("the first cycle's end", || get(&address, "/readyz").0 == 200);
    let ask = |address: &str, more: &str| {
        exchange(address, format!("GET /metrics HTTP/1.1\r\nconnection: close\r\n{more}\r\n").as_bytes()).0
    };
    for (more, status) in [
        (format!("host: {address}\r\n"), 200),
        ("host: rebound.example\r\n".to_owned(), 401),
        (format!("host: {address}\r\nx-forwarded-for: 10.0.0.7\r\n"), 401),
    ] {
        assert_eq!(ask(&address, &more), status, "{more}");
    }
    drop(bot);
    let world = World::web().interval("1h").start();
    let (mut bot, address) = start(&world, "  token: { env: HOOK_SECRET }\n");
    bot.until("the first cycle's end", || get(&address, "/readyz").0 == 200);
    let token = SECRET;
    for (more, status) in [
        (format!("host: {address}\r\n"), 401),
        (format!("host: {address}\r\nauthorization: Bearer wrong\r\n"), 401),
        (format!("host: rebound.example\r\nauthorization: Bearer {token}\r\n"), 200),
    ] {
        assert_eq!(ask(&address, &more), status, "{more}");
    }
    let ran = bot.stop(Signal::TERM);
    assert!(!ran.text().contains(token), "{}", ran.text());
}

#[test]
fn a_port_in_use_and_a_secret_that_cannot_be_in_an_address_are_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let world = World::web().start();
    world.configure("stateDir: state\n", &format!("stateDir: state\nserver: {{ listen: \"127.0.0.1:{port}\" }}\n"));
    let ran = world.landfall(&["run"]).ends(2);
    ran.says("the web server cannot start")
        .says("another program listens already; next: stop it, or choose another port");
    world.configure(
        &format!("server: {{ listen: \"127.0.0.1:{port}\" }}\n"),
        "server: { listen: \"127.0.0.1:0\", webhooks: [{ name: hub, kind: dockerhub, secret: { env: HOOK_SECRET } }] }\n",
    );
    let ran = world.landfall_with(&["run"], &[("HOOK_SECRET", "short/secret")]).ends(2);
    assert!(!ran.text().contains("short/secret"), "{}", ran.text());
    ran.says("webhook source hub cannot be used").says("at least 16 letters, digits, `-` and `_`");
}

#[test]
fn doctor_says_where_webhooks_are_taken_and_which_secret_is_missing() {
    let world = World::web().start();
    world.push("acme/web", "1.2.3");
    let server = format!(
        "stateDir: state\nserver:\n  webhooks:\n{}{}    - {{ name: lost, kind: gitlab, secret: {{ env: LOST }} }}\n",
        source("hub", "dockerhub"),
        source("code", "github"),
    );
    world.configure("stateDir: state\n", &server);
    let ran = world.landfall_with(&["doctor"], &[("HOOK_SECRET", SECRET)]).ends(1);
    assert!(!ran.text().contains(SECRET), "{}", ran.text());
    let ran = ran.says("webhook (dockerhub) hub").says("takes it at http://127.0.0.1:8080/webhooks/hub/SECRET");
    ran.says("http://127.0.0.1:8080/webhooks/code").says("webhook (gitlab) lost").says("LOST");
}
