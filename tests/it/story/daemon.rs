//! `landfall run`: cycles by itself, wakes when the repository moves, takes up new secrets, ends when it is told to.

use std::fs;

use crate::support::process::Signal;
use crate::support::world::{DEV_PROD, World, kustomization, overlay};

fn listings(world: &World) -> usize {
    world.registry.log().iter().filter(|seen| seen.target.contains("/tags/list")).count()
}

#[test]
fn it_reacts_to_a_push_before_the_next_cycle() {
    let world = World::web().interval("20s").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let mut bot = world.start(&["run"]);
    bot.until("the first cycle's commit", || world.tag("web", "dev") == "1.3.0");
    bot.until("the pull request", || !world.heads().is_empty());
    let asked = listings(&world);
    assert_eq!(asked, 1);
    // An older pin of an image whose list is known: it is brought up to date without another question.
    world.write(&[(&overlay("shop", "dev"), &kustomization("web", "1.2.3"))]);
    bot.until("the new overlay's commit", || world.tag("shop", "dev") == "1.3.0");
    assert_eq!(listings(&world), asked, "the timer had its turn first");
    bot.until_said("deploys: ✔ committed dev: shop 1.2.3 → 1.3.0 as ");
    let text = bot.stop(Signal::TERM).text();
    assert_eq!(text.matches("✔ committed").count(), 2, "{text}");
    assert_eq!(text.matches("pull request #1 waits to be merged").count(), 1, "told once: {text}");
    assert!(!text.contains("problem") && !text.contains("error"), "{text}");
}

#[test]
fn it_cycles_at_its_interval_and_ends_on_ctrl_c() {
    let world = World::web().interval("1s").start();
    world.push("acme/web", "1.2.3");
    let mut bot = world.start(&["run"]);
    bot.until("three cycles", || listings(&world) >= 3);
    world.push("acme/web", "1.3.0");
    bot.until("a new tag's commit", || world.tag("web", "dev") == "1.3.0");
    bot.stop(Signal::INT);
}

#[test]
fn a_sick_registry_is_told_once_and_its_end_too() {
    let world = World::web().interval("1s").wired().start();
    world.push("acme/web", "1.2.3");
    world.wire.fail("/tags/list", 404);
    let mut bot = world.start(&["run"]);
    bot.until_said("⚠ problem");
    let asked = listings(&world);
    world.wire.clear();
    bot.until_said("deploys: over: ⚠ problem");
    assert!(listings(&world) > asked);
    world.push("acme/web", "1.3.0");
    bot.until("a commit", || world.tag("web", "dev") == "1.3.0");
    let text = bot.stop(Signal::TERM).text();
    assert_eq!(text.matches("deploys: ⚠ problem apps/web/overlays/dev").count(), 1, "{text}");
}

#[test]
fn its_events_are_structured_and_each_is_told_once() {
    let world = World::web().interval("1s").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.landfall(&["freeze", "dev", "--reason", "drill", "--by", "Ada"]).ends(0);
    let mut bot = world.start(&["run", "--log-format", "json"]);
    bot.until_said("\"event\":\"hold\"");
    let asked = listings(&world);
    bot.until("more cycles", || listings(&world) > asked + 2);
    world.landfall(&["unfreeze", "dev", "--reason", "over", "--by", "Ada"]).ends(0);
    bot.until("the commit", || world.tag("web", "dev") == "1.3.0");
    bot.until_said("\"event\":\"hold-over\"");
    let ran = bot.stop(Signal::TERM);
    let events: Vec<serde_json::Value> =
        ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let of = |kind: &str| -> Vec<&serde_json::Value> {
        let fields = events.iter().map(|event| &event["fields"]).filter(|fields| fields["event"] == kind);
        fields.filter(|fields| kind == "start" || fields["environment"] == "dev").collect()
    };
    let starts = of("start");
    assert_eq!(starts.len(), 1, "{events:#?}");
    assert!(starts[0]["message"].as_str().unwrap().starts_with("watching deploys (main) and "), "{starts:?}");
    for kind in ["hold", "hold-over"] {
        let told = of(kind);
        assert_eq!(told.len(), 1, "{events:#?}");
        assert_eq!(
            (&told[0]["app"], &told[0]["gate"], &told[0]["repository"]),
            (&"web".into(), &"freeze".into(), &"deploys".into())
        );
    }
}

#[test]
fn a_new_secret_on_disk_is_taken_up() {
    let world = World::web().over_http().interval("1s").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.configure("password: { env: GIT_PASSWORD }", "password: { file: git-password }");
    fs::write(world.path("git-password"), "not-this-one").unwrap();
    let mut bot = world.start(&["run"]);
    bot.until_said("⚠ problem");
    assert_eq!(world.tag("web", "dev"), "1.2.3");
    fs::write(world.path("git-password"), crate::support::world::GIT_PASSWORD).unwrap();
    bot.until("the commit", || world.tag("web", "dev") == "1.3.0");
    let text = bot.stop(Signal::TERM).text();
    assert!(!text.contains("not-this-one"), "{text}");
}

#[test]
fn a_secret_that_becomes_unusable_stops_nothing_and_is_told_once() {
    let world = World::web().interval("1s").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.configure("plainHttp: true", "plainHttp: true\n    credentials: { dockerConfig: { file: config.json } }");
    fs::write(world.path("config.json"), "{}").unwrap();
    let mut bot = world.start(&["run"]);
    bot.until("the first commit", || world.tag("web", "dev") == "1.3.0");
    fs::write(world.path("config.json"), "{ \"auths\": {").unwrap();
    bot.until_said("keeps running with the previous one");
    world.push("acme/web", "1.4.0");
    bot.until("the next commit", || world.tag("web", "dev") == "1.4.0");
    let text = bot.stop(Signal::TERM).text();
    assert_eq!(text.matches("keeps running with the previous one").count(), 1, "{text}");
    assert!(text.contains("the Docker configuration is not what it should be"), "{text}");
}

#[test]
fn one_bot_does_not_undo_what_another_has_read_since() {
    // The first one asks its registry only every hour.
    let world = World::setup().app("web", "1.2.3", &["dev", "prod"]).interval("1h").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.push_all("acme/shop", &["1.2.3", "1.3.0"]);
    let mut bot = world.start(&["run"]);
    bot.until("the first pull request", || !world.heads().is_empty());
    bot.until_said("#1");
    let branch = world.heads()[0].clone();
    world.push("acme/web", "1.4.0");
    // A second bot, with a memory of its own.
    let config = world.config("second");
    world.landfall(&["apply", "--config", &config]).ends(0);
    let newer = world.tip(&branch);
    assert_eq!((world.tag_at(&branch, "web", "prod").as_str(), world.tag("web", "dev").as_str()), ("1.4.0", "1.4.0"));
    // Something that the first one has to do makes it plan again.
    world.write(&[(&overlay("shop", "dev"), &kustomization("shop", "1.2.3"))]);
    bot.until("the new overlay's commit", || world.tag("shop", "dev") == "1.3.0");
    world.write(&[(&overlay("shop", "prod"), &kustomization("shop", "1.2.3"))]);
    bot.until("the new overlay's pull request", || world.heads().len() == 2);
    assert_eq!(world.tip(&branch), newer, "{}", bot.printed());
    let text = bot.stop(Signal::TERM).text();
    assert!(!text.contains("closed") && !text.contains("not in the registry's list"), "{text}");
    assert_eq!(
        world.landfall(&["apply", "--config", &config, "-o", "json"]).report()["actions"],
        serde_json::json!([])
    );
}

#[test]
fn one_bot_does_not_take_a_mutable_tag_back_to_what_it_was_when_it_asked() {
    let policies = DEV_PROD.replacen("semver: \"*\"", "digest: true", 1);
    let world = World::setup().app("web", "stable", &["dev"]).policies(&policies).interval("1h").start();
    let pushed = |day: &str| world.push_made("acme/web", "stable", format!("2026-01-{day}T00:00:00Z").parse().unwrap());
    let holds = |digest: &str| world.read("main", &overlay("web", "dev")).contains(digest);
    let first = pushed("01");
    world.push_all("acme/shop", &["1.2.3", "1.3.0"]);
    let mut bot = world.start(&["run"]);
    bot.until("the first digest", || holds(&first));
    let second = pushed("02");
    world.landfall(&["apply", "--config", &world.config("second")]).ends(0);
    assert!(holds(&second));
    // What the first one has to do now makes it plan again, with the answers that it has.
    let shop = overlay("shop", "prod");
    world.write(&[(&shop, &kustomization("shop", "1.2.3"))]);
    bot.until("the pull request", || !world.heads().is_empty());
    assert!(holds(&second), "{}", bot.printed());
    bot.stop(Signal::TERM);
}

#[test]
fn two_bots_at_once_make_everything_once() {
    let world = World::setup().app("web", "1.2.3", &["dev", "prod"]).app("shop", "1.2.3", &["dev", "prod"]).start();
    for app in ["web", "shop"] {
        world.push_all(&format!("acme/{app}"), &["1.2.3", "1.3.0"]);
    }
    // A second bot, with a memory of its own.
    let config = world.config("second");
    for round in ["1.3.0", "1.4.0"] {
        for app in ["web", "shop"] {
            world.push(&format!("acme/{app}"), round);
        }
        std::thread::scope(|scope| {
            let one = scope.spawn(|| world.landfall(&["apply", "-o", "json"]));
            let two = scope.spawn(|| world.landfall(&["apply", "--config", &config, "-o", "json"]));
            for ran in [one.join().unwrap(), two.join().unwrap()] {
                assert!(!ran.stdout.contains("push-rejected"), "{ran:?}");
            }
        });
        world.landfall(&["apply"]).ends(0);
        for app in ["web", "shop"] {
            assert_eq!(world.tag(app, "dev"), round);
        }
    }
    let pulls = world.landfall(&["pr", "list", "--all", "-o", "json"]).json();
    assert_eq!(pulls["pullRequests"].as_array().map(Vec::len), Some(2), "{pulls:#}");
    assert_eq!(
        world.git(&["rev-list", "--count", "main"]),
        "3",
        "a commit a round, and the first: {:?}",
        world.log("main")
    );
}
