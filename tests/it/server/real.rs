//! The notifications of a real docker-registry.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::registry::real::{http, push, start as start_registry};
use crate::support::process::Signal;
use crate::support::world::{World, overlay};

use super::support::{SECRET, get, source, started};

#[test]
fn docker_registry_notifies_and_the_commit_follows() {
    let world = World::web().interval("1h").start();
    world.push("acme/web", "1.2.3");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let notifications = format!(
        "notifications:\n  endpoints:\n    - name: landfall\n      url: http://127.0.0.1:{port}/webhooks/registry\n      \
         headers: {{ Authorization: [\"Bearer {SECRET}\"] }}\n      timeout: 5s\n      threshold: 5\n      backoff: 100ms\n"
    );
    let Some(registry) = start_registry(folder.path(), "", &notifications) else { return };
    let (client, base) = (http(), format!("http://{}", registry.host));
    let push = |tag: &str| drop(world.block_on(push(&client, &base, "acme/real", tag, None)));
    push("1.0.0");
    let image = format!("images:\n  - name: real\n    newName: {}/acme/real\n    newTag: 1.0.0\n", registry.host);
    world.write(&[(&overlay("real", "dev"), &image)]);
    let server = format!(
        "stateDir: state\nserver:\n  listen: 127.0.0.1:{port}\n  debounce: 1s\n  webhooks:\n{}",
        source("registry", "distribution")
    );
    world.configure("stateDir: state\n", &server);
    world.configure("registries:\n", &format!("registries:\n  - host: {}\n    plainHttp: true\n", registry.host));
    let (mut bot, address) = started(&world);
    bot.until("the end of the cycle", || get(&address, "/readyz").0 == 200);
    let mut best = Duration::MAX;
    for tag in ["1.1.0", "1.2.0", "1.3.0"] {
        let began = Instant::now();
        push(tag);
        bot.until("the commit", || world.tag("real", "dev") == tag);
        best = best.min(began.elapsed());
    }
    assert!(best <= Duration::from_secs(3), "two seconds and the debounce: {best:?}");
    let (_, metrics) = get(&address, "/metrics");
    assert!(metrics.contains("landfall_webhooks_total{source=\"registry\",outcome=\"accepted\"} "), "{metrics}");
    bot.stop(Signal::TERM);
}
