//! `landfall run`: cycles by itself, wakes when the repository moves, takes up new secrets, ends when it is told to.

use std::fs;

use crate::support::process::Signal;
use crate::support::world::{World, kustomization, overlay};

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
