//! Decisions at the seams: what people do to the bot's branches, what stands where a file is expected, clocks that go back.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use landfall::config::{self, Environment};
use landfall::daemon::{self, Bot, Clock, CycleOutcome};
use landfall::forge::{LocalForge, PullError};
use landfall::model::{ImageName, PullRequest, PullState};
use landfall::plan::{Answers, RegistryQuery};

use crate::support::git::{git, try_git};
use crate::support::world::{DEV_PROD, World};

/// A world with one app in prod, and its bot in this process.
fn start() -> (World, Bot) {
    let world = World::setup().policies(DEV_PROD).app("web", "1.0.0", &["prod"]).start();
    world.push("acme/web", "1.0.0");
    let bot = world.in_process("landfall.yaml");
    (world, bot)
}

/// A person's clone of a branch.
fn clone_of(world: &World, branch: &str) -> PathBuf {
    let work = world.path("person");
    let bare = world.bare();
    git(&world.path(""), &["clone", "--quiet", "--branch", branch, bare.to_str().unwrap(), work.to_str().unwrap()]);
    work
}

/// Somebody merges the only pull request.
fn merge(world: &World, bot: &Bot) -> Result<PullRequest, PullError> {
    let forge: &LocalForge = bot.repositories[0].pulls().forge().local().unwrap();
    world.block_on(forge.merge(1, Timestamp::from_second(1_790_000_100).unwrap())).map(|(pull, _)| pull)
}

fn committed(report: &CycleOutcome) -> usize {
    report.actions.iter().filter(|action| action.is_done()).count()
}

#[test]
fn a_commit_of_the_bot_that_a_person_amended_is_left_alone() {
    let (world, mut bot) = start();
    world.push("acme/web", "1.1.0");
    assert_eq!(committed(&world.cycle(&mut bot).unwrap()), 1);
    let head = world.heads().concat();
    let work = clone_of(&world, &head);
    std::fs::write(work.join("note.txt"), "see above\n").unwrap();
    git(&work, &["add", "-A"]);
    git(&work, &["commit", "--quiet", "--amend", "--no-edit"]);
    git(&work, &["push", "--quiet", "--force", "origin", &format!("HEAD:{head}")]);
    let theirs = git(&work, &["rev-parse", "HEAD"]);
    world.push("acme/web", "1.2.0");
    let report = world.cycle(&mut bot).unwrap();
    assert!(report.holds[0].reason.contains("person@example.com"), "{:?}", report.holds);
    assert_eq!(git(&world.bare(), &["rev-parse", &head]), theirs);
}

#[test]
fn a_rewritten_base_does_not_make_the_bots_branch_a_persons() {
    let (world, mut bot) = start();
    let work = clone_of(&world, "main");
    for n in 0..3 {
        std::fs::write(work.join("README"), format!("{n}\n")).unwrap();
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "--quiet", "-m", "by hand"]);
    }
    git(&work, &["push", "--quiet", "origin", "HEAD:main"]);
    world.push("acme/web", "1.1.0");
    assert_eq!(committed(&world.cycle(&mut bot).unwrap()), 1);
    git(&work, &["commit", "--quiet", "--amend", "-m", "rewritten"]);
    git(&work, &["push", "--quiet", "--force", "origin", "HEAD:main"]);
    let report = world.cycle(&mut bot).unwrap();
    assert_eq!(report.holds.len(), 1);
    assert_eq!(report.holds[0].gate, landfall::plan::Gate::Approval, "{:?}", report.holds);
    world.push("acme/web", "1.2.0");
    assert_eq!(committed(&world.cycle(&mut bot).unwrap()), 1, "and a newer tag still goes into it");
}

#[test]
fn a_policy_file_that_becomes_a_link_stops_every_policy_and_says_so() {
    let (world, mut bot) = start();
    assert!(world.cycle(&mut bot).unwrap().problems.is_empty());
    let work = clone_of(&world, "main");
    std::fs::rename(work.join(".landfall/policies.yaml"), work.join("policies.yaml")).unwrap();
    std::os::unix::fs::symlink("../policies.yaml", work.join(".landfall/policies.yaml")).unwrap();
    git(&work, &["add", "-A"]);
    git(&work, &["commit", "--quiet", "-m", "share the policies"]);
    git(&work, &["push", "--quiet", "origin", "HEAD:main"]);
    world.push("acme/web", "1.1.0");
    let report = world.cycle(&mut bot).unwrap();
    assert!(report.actions.is_empty(), "{:?}", report.actions);
    let problem = report
        .problems
        .iter()
        .map(|it| &it.problem)
        .find(|problem| problem.path.as_deref() == Some(".landfall/policies.yaml"));
    assert!(problem.is_some_and(|problem| problem.message.contains("symbolic link")), "{:?}", report.problems);
    assert!(report.failed());
}

#[test]
fn a_merge_that_is_refused_keeps_its_branch() {
    let (world, mut bot) = start();
    world.push("acme/web", "1.1.0");
    assert_eq!(committed(&world.cycle(&mut bot).unwrap()), 1);
    let head = world.heads().concat();
    world.hook("update", "case $1 in refs/heads/main) echo closed for the holidays >&2; exit 1;; esac");
    let error = merge(&world, &bot).unwrap_err();
    assert!(error.message.contains("closed for the holidays"), "{error}");
    assert!(try_git(&world.bare(), &["rev-parse", "--verify", "--quiet", &head]).status.success());
    std::fs::remove_file(world.bare().join("hooks/update")).unwrap();
    let pull = merge(&world, &bot).unwrap();
    assert_eq!(pull.state, PullState::Merged);
    assert!(world.heads().is_empty(), "and then the branch goes");
}

#[test]
fn a_merge_that_was_cut_short_can_be_made_again() {
    let (world, mut bot) = start();
    world.push("acme/web", "1.1.0");
    assert_eq!(committed(&world.cycle(&mut bot).unwrap()), 1);
    world.hook("update", "case $1 in refs/landfall/*) exit 1;; esac");
    assert!(merge(&world, &bot).is_err());
    std::fs::remove_file(world.bare().join("hooks/update")).unwrap();
    let pull = merge(&world, &bot).unwrap();
    assert_eq!(pull.state, PullState::Merged);
    assert!(world.cycle(&mut bot).unwrap().holds.is_empty());
}

#[test]
fn a_clock_that_goes_back_does_not_make_old_answers_new() {
    let (world, _) = start();
    let seconds = Arc::new(AtomicI64::new(1_790_000_000));
    let turned = Arc::clone(&seconds);
    let clock = Clock::from_fn(move || Timestamp::from_second(turned.load(Ordering::SeqCst)).unwrap());
    let registries = config::load(&world.path("landfall.yaml")).unwrap().settings.registries;
    let lookup = daemon::lookup(&registries, &[], None, &Environment::from_fn(|_| None), clock.clone()).unwrap();
    let queries = BTreeSet::from([RegistryQuery::Listing(ImageName::parse(&world.text("REG/acme/web")).unwrap())]);
    let requests = || {
        world.block_on(lookup.answer(&queries, clock.now(), &mut Answers::default()));
        lookup.requests()
    };
    let seen = [requests(), requests()];
    assert_eq!(seen[0], seen[1], "one answer for one moment");
    seconds.fetch_sub(86_400, Ordering::SeqCst);
    let again = requests();
    assert!(again > seen[1], "an answer from tomorrow is not one of today: {again} after {seen:?}");
}
