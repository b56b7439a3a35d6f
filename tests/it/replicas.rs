//! Several replicas of `landfall run` on one repository and forge: each update is written and told once, whoever dies, freezes,
//! stops, or loses the API server.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use serde_json::Value;

use crate::server::support::{get, hint, listings, metric, source};
use crate::status::cluster::{Cluster, tip};
use crate::support::lease_stub::LeaseStub;
use crate::support::process::{PATIENCE, Running, Signal, Target, Victims};
use crate::support::server::Server;
use crate::support::trip::{Point, Reply, When, Where};
use crate::support::world::{BOT, Setup, World};

/// A world whose configuration says that replicas share its repositories.
fn shared(setup: Setup, duration: &str) -> (World, LeaseStub) {
    let (world, leases) = (setup.start(), LeaseStub::start());
    fs::write(world.path("leases-kubeconfig"), leases.kubeconfig()).unwrap();
    let replicas = format!("replicas: {{ kubeconfig: {{ file: leases-kubeconfig }}, duration: {duration} }}");
    world.configure("stateDir: state\n", &format!("stateDir: state\n{replicas}\n"));
    (world, leases)
}

/// A replica with a state folder of its own, and its name.
struct Replica {
    running: Running,
    name: String,
}

impl Replica {
    fn start(world: &World, state: &str) -> Self {
        let config = world.config(state);
        let mut running = world.start(&["run", "--log-level", "info", "--config", &config]);
        running.until_said("sharing the repositories with other replicas");
        let printed = plain(&running.printed());
        let name = printed.split("replica=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        Self { running, name }
    }

    /// Waits until it holds this repository.
    #[track_caller]
    fn holds(&mut self, leases: &LeaseStub, repository: &str) {
        let name = self.name.clone();
        self.running.until("it holds the Lease", || leases.holders().get(repository) == Some(&name));
    }
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A text without what colours it.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split('\u{1b}');
    plain.extend(parts.next());
    plain.extend(parts.map(|part| part.split_once('m').map_or("", |(_, rest)| rest)));
    plain
}

/// The bot's commits on main that took `web` in dev to each version, as subjects.
fn bumps(world: &World) -> Vec<String> {
    let log = world.git(&["log", "--format=%ce %s", "main"]);
    log.lines().filter(|line| line.starts_with(BOT)).map(str::to_owned).collect()
}

/// A receiver of alarms that keeps the kind and repository of what it is sent.
fn receiver(world: &World) -> (Server, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&told);
    let server = Server::start(Router::new().fallback(move |body: axum::body::Bytes| {
        let notice: Value = serde_json::from_slice(&body).unwrap();
        keep.lock().unwrap().push(notice["kind"].as_str().unwrap().to_owned());
        async { http::StatusCode::NO_CONTENT }
    }));
    let hook = format!(
        "notify:\n  - {{ name: hook, kind: webhook, url: \"{}/hook\", landings: false }}\nregistries:",
        server.origin
    );
    world.configure("registries:", &hook);
    (server, told)
}

#[test]
fn a_killed_replica_is_followed_within_its_lease_and_nothing_is_done_twice() {
    let (world, leases) = shared(World::web().github("").interval("1s"), "5s");
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    leases.answer_all(Some(403));
    let refused = world.landfall(&["doctor"]).ends(4);
    assert!(refused.stdout.contains("not permitted to list Leases"), "{}", refused.text());
    assert!(refused.stdout.contains("verbs: [\"get\", \"list\", \"create\", \"update\"]"), "{}", refused.text());
    leases.answer_all(None);
    world.landfall(&["doctor"]).says("0 can be listed, of which 0 are held");
    let mut first = Replica::start(&world, "a");
    first.holds(&leases, "deploys");
    let mut second = Replica::start(&world, "b");
    first.running.until("the commit", || world.tag("web", "dev") == "1.3.0");
    first.running.until("the pull request", || !world.github().pulls().is_empty());
    second.running.until("both are alive", || leases.slots().len() == 2);
    // Somebody's label makes a new version of the Lease, and costs no more than a round.
    let name = leases.all().into_keys().find(|name| name.contains("repository")).unwrap();
    leases.touch(&name);
    let (refused, renewed) = (format!("PUT {name} 409"), format!("PUT {name} 200"));
    first.running.until("it renews what was labelled", || {
        let log = leases.log();
        log.iter().position(|line| *line == refused).is_some_and(|at| log[at..].contains(&renewed))
    });
    assert_eq!(leases.all()[&name]["metadata"]["labels"]["touched"], "by-hand");
    world.push("acme/web", "1.4.0");
    first.running.until("the next commit", || world.tag("web", "dev") == "1.4.0");

    first.running.target().kill(Victims::All);
    let died = Instant::now();
    world.push("acme/web", "1.5.0");
    second.holds(&leases, "deploys");
    // The other one saw it alive a round (1 s) after its last sign at most, and looks each second.
    assert!(died.elapsed() < Duration::from_secs(20), "{:?}", died.elapsed());
    second.running.until("the commit of the other one", || world.tag("web", "dev") == "1.5.0");
    let head = world.heads().pop().unwrap();
    second.running.until("the pull request is brought up", || world.tag_at(&head, "web", "prod") == "1.5.0");

    assert_eq!(bumps(&world).len(), 3, "{:?}", bumps(&world));
    assert_eq!(world.github().pulls().len(), 1);
    let text = second.running.stop(Signal::TERM).text();
    assert_eq!(text.matches("✔ committed").count(), 1, "only what it wrote itself is told: {text}");
    let lease = leases.all().into_iter().find(|(name, _)| name.contains("repository")).unwrap().1;
    assert_eq!((&lease["spec"]["holderIdentity"], &lease["spec"]["leaseTransitions"]), (&Value::Null, &2.into()));
}

/// The holder stops at a request, and goes on when another replica has written what it was about to write.
fn frozen_at(point: Point) {
    let (world, leases) = shared(World::web().github("").over_http().wired().interval("1s"), "5s");
    world.push("acme/web", "1.2.3");
    let (_server, told) = receiver(&world);
    let mut first = Replica::start(&world, "a");
    first.holds(&leases, "deploys");
    first.running.until("it has looked", || listings(&world) > 0);
    let mut second = Replica::start(&world, "b");
    second.running.until("both are alive", || leases.slots().len() == 2);
    let who: Arc<OnceLock<Target>> = Arc::new(OnceLock::new());
    who.set(first.running.target()).ok();
    let frozen = Arc::clone(&who);
    world.wire.set(point, 0, 1, move || {
        frozen.wait().freeze();
        Reply::GoesOn
    });
    world.push("acme/web", "1.3.0");
    second.holds(&leases, "deploys");
    second.running.until("the commit", || world.tag("web", "dev") == "1.3.0");
    second.running.until("the pull request", || !world.heads().is_empty() && world.github().pulls().len() == 1);
    let (refs, asked) = (world.refs(), world.github().requests().len());
    first.running.target().thaw();
    first.running.until_said("another replica has taken the repository's Lease");
    let looked = leases.log().len();
    first.running.until("both go on", || leases.log().len() > looked + 12);
    let changes = world.github().requests().split_off(asked);
    let changes: Vec<_> = changes.iter().filter(|request| request.method != "GET").collect();
    assert!(changes.is_empty(), "{changes:?}");
    assert_eq!((world.refs(), bumps(&world).len()), (refs, 1), "{:?}", bumps(&world));
    assert_eq!(world.github().pulls().len(), 1);
    assert_eq!(leases.holders()["deploys"], second.name);
    // What comes next is written by the one that holds it.
    world.push("acme/web", "1.4.0");
    second.running.until("the next commit", || world.tag("web", "dev") == "1.4.0");
    assert_eq!(bumps(&world).len(), 2);
    assert!(told.lock().unwrap().is_empty(), "{told:?}");
    first.running.stop(Signal::TERM);
    second.running.stop(Signal::TERM);
}

#[test]
fn a_replica_frozen_before_its_push_writes_nothing_when_it_goes_on() {
    frozen_at(Point::on(Where::Git, "GET", "service=git-receive-pack", When::Before));
}

#[test]
fn a_replica_frozen_while_it_asks_writes_nothing_when_it_goes_on() {
    frozen_at(Point::on(Where::Registry, "GET", "/tags/list", When::Before));
}

#[test]
fn an_incident_is_told_once_by_whoever_holds_the_repository_and_its_end_too() {
    let (world, leases) = shared(World::web().interval("1s"), "5s");
    world.push("acme/web", "1.2.3");
    let cluster = Cluster::start(&world);
    let (_server, told) = receiver(&world);
    let kinds = || told.lock().unwrap().clone();
    let image = format!("{}/acme/web:1.2.3", world.host);
    cluster.application(&world, "web", "dev", &tip(&world));
    cluster.workload("web", &image, Some(("ImagePullBackOff", "pull access denied, unauthorized")));
    let mut first = Replica::start(&world, "a");
    first.holds(&leases, "deploys");
    first.running.until("somebody is told", || kinds() == ["raised"]);
    let mut second = Replica::start(&world, "b");
    second.running.until("both are alive", || leases.slots().len() == 2);
    let carried = || {
        let lease =
            leases.all().into_values().find(|lease| lease["metadata"]["annotations"]["landfall/told"].is_string());
        lease.is_some_and(|lease| {
            let text = lease["metadata"]["annotations"]["landfall/told"].as_str().unwrap();
            serde_json::from_str::<Value>(text).unwrap()["receivers"]["hook"]["known"]
                .as_array()
                .is_some_and(|it| it.len() == 1)
        })
    };
    first.running.until("its Lease says so", carried);
    first.running.target().kill(Victims::All);
    second.holds(&leases, "deploys");
    let looked = cluster.stub.log().len();
    second
        .running
        .until("it has judged", || second_has_cycled(&leases, &second.name) && cluster.stub.log().len() >= looked);
    // A third one comes, and the second one leaves in order.
    let mut third = Replica::start(&world, "c");
    third.running.until("it is alive", || {
        leases.slots().iter().any(|slot| slot["spec"]["holderIdentity"] == third.name.as_str())
    });
    second.running.stop(Signal::TERM);
    third.holds(&leases, "deploys");
    cluster.workload("web", &image, None);
    third.running.until("its end is told", || kinds().contains(&"resolved".to_owned()));
    third.running.stop(Signal::TERM);
    assert_eq!(kinds(), ["raised", "resolved"]);
}

/// Whether a replica has said, after a cycle, what is told of a repository.
fn second_has_cycled(leases: &LeaseStub, name: &str) -> bool {
    let slots = leases.slots();
    let slot = slots.iter().find(|slot| slot["spec"]["holderIdentity"] == name);
    slot.is_some_and(|slot| slot["metadata"]["annotations"]["landfall/cycles"] == "good")
}

#[test]
fn three_repositories_are_spread_and_a_replica_that_stops_hands_over_at_once() {
    let setup = World::web().interval("1s").beside("second").app("web", "1.2.3", &["dev"]);
    let (world, leases) = shared(setup.beside("third").app("web", "1.2.3", &["dev"]), "20s");
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let mut one = Replica::start(&world, "a");
    let mut two = Replica::start(&world, "b");
    let count = |name: &str| leases.holders().values().filter(|holder| *holder == name).count();
    let (first, second) = (one.name.clone(), two.name.clone());
    one.running.until("they are spread", || BTreeSet::from([count(&first), count(&second)]) == BTreeSet::from([1, 2]));
    let bumped = |name: &str| {
        let text =
            crate::support::git::git(&world.path(&format!("remotes/{name}.git")), &["log", "--format=%ce", "main"]);
        text.lines().filter(|line| *line == BOT).count()
    };
    one.running.until("each is written", || ["deploys", "second", "third"].iter().all(|name| bumped(name) == 1));
    let text = |replica: &Replica| replica.running.printed().matches("✔ committed").count();
    until("each tells of its own", || (text(&one), text(&two)) == (count(&first), count(&second)));
    let slots = leases.slots();
    assert_eq!(slots.len(), 2, "{slots:?}");
    let stopped = Instant::now();
    one.running.stop(Signal::TERM);
    assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
    two.running.until("it has them all", || count(&second) == 3);
    assert!(
        stopped.elapsed() < Duration::from_secs(18),
        "not only when the Leases have lapsed: {:?}",
        stopped.elapsed()
    );
    world.push("acme/web", "1.4.0");
    two.running.until("each is written", || ["deploys", "second", "third"].iter().all(|name| bumped(name) == 2));
    two.running.stop(Signal::TERM);
    assert!(leases.holders().values().all(String::is_empty), "{:?}", leases.holders());
}

#[test]
fn without_the_api_server_nothing_is_written_and_it_is_said() {
    let (world, leases) = shared(World::web().interval("1s"), "5s");
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.configure("stateDir: state\n", "stateDir: state\nserver: { listen: \"127.0.0.1:0\" }\n");
    let mut bot = Replica::start(&world, "a");
    let printed = plain(&bot.running.printed());
    let address = printed.split("listens on http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    bot.running.until("the commit", || world.tag("web", "dev") == "1.3.0");
    let held = || metric(&address, "landfall_lease_held{repository=\"deploys\"}");
    assert_eq!((held(), metric(&address, "landfall_replicas")), (1.0, 1.0));
    bot.running.until("it is ready", || get(&address, "/readyz").0 == 200);

    leases.answer_all(Some(503));
    bot.running.until("its time is over", || held() == 0.0);
    world.push("acme/web", "1.4.0");
    let tries = leases.log().len();
    bot.running.until("it goes on trying", || leases.log().len() > tries + 6);
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    let (status, text) = get(&address, "/readyz");
    assert_eq!(status, 503, "{text}");
    let (_, page) = get(&address, "/");
    assert!(page.contains("This replica writes nothing, because it cannot keep its Leases"), "{page}");
    assert_eq!(get(&address, "/livez").0, 200);

    leases.answer_all(None);
    bot.running.until("it goes on", || world.tag("web", "dev") == "1.4.0");
    bot.running.until("it is ready again", || get(&address, "/readyz").0 == 200);
    let text = bot.running.stop(Signal::TERM).text();
    assert_eq!(text.matches("the Leases cannot be kept").count(), 1, "told once: {text}");
    assert!(text.contains("can be read and written again"), "{text}");
    assert_eq!(bumps(&world).len(), 2);
}

#[test]
fn what_another_replica_holds_is_shown_as_that_and_a_hint_at_it_is_passed_on() {
    let (world, leases) = shared(World::web().interval("1h"), "5s");
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let hooks = source("ci", "generic");
    world.configure(
        "stateDir: state\n",
        &format!("stateDir: state\nserver:\n  listen: 127.0.0.1:0\n  webhooks:\n{hooks}"),
    );
    let start = |state: &str| {
        let config = world.config(state);
        let mut running = world.start_with(
            &["run", "--log-level", "info", "--config", &config],
            &[("HOOK_SECRET", crate::server::support::SECRET)],
        );
        running.until_said("sharing the repositories with other replicas");
        let printed = plain(&running.printed());
        let part = |after: &str| {
            let rest = printed.split(after).nth(1).unwrap();
            rest.split(|c: char| c == '"' || c.is_whitespace()).next().unwrap().to_owned()
        };
        (Replica { name: part("replica=\""), running }, part("listens on http://"))
    };
    let (mut first, _) = start("a");
    first.holds(&leases, "deploys");
    first.running.until("the commit", || world.tag("web", "dev") == "1.3.0");
    let (mut second, address) = start("b");
    let works = format!("Replica {} works for deploys", first.name);
    second.running.until("its page says who works", || get(&address, "/").1.contains(&works));
    // What Git declares is current there all the same.
    second.running.until("it has read Git", || get(&address, "/").1.contains("1.3.0"));
    second.running.until("it is ready", || get(&address, "/readyz").0 == 200);
    assert_eq!(metric(&address, "landfall_replicas"), 2.0);
    let asked = listings(&world);
    world.push("acme/web", "1.4.0");
    let body = serde_json::json!({ "image": format!("{}/acme/web:1.4.0", world.host) });
    assert!((200..300).contains(&hint(&address, &body).0));
    first.running.until("the holder hears of it", || world.tag("web", "dev") == "1.4.0");
    assert!(listings(&world) > asked);
    assert_eq!(bumps(&world).len(), 2);
    first.running.stop(Signal::TERM);
    second.running.stop(Signal::TERM);
}
