//! The oracle: what must hold of a repository after any run, whatever happened in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::apply;
use crate::support::git::{fsck, git, try_git};
use crate::support::process::quiet;
use crate::support::world::{BOT, World};

/// Checks a world's repository; `foreign` are commits that other writers have successfully pushed to `main`.
pub(crate) fn judge(world: &World, foreign: &[String]) {
    quiet(&world.path(""));
    let remote = world.bare();
    fsck(&remote);
    at_most_one_commit(&remote);
    only_forward(&remote);
    for commit in foreign {
        let found = try_git(&remote, &["merge-base", "--is-ancestor", commit, "refs/heads/main"]);
        assert!(found.status.success(), "commit {commit} of another writer is lost");
    }
    only_pins(&remote);
    one_pull_request_per_head(world);
}

/// I1: each update id stands in at most one commit of everything that can be reached, records and branches included.
pub(crate) fn at_most_one_commit(remote: &Path) {
    let log = git(remote, &["log", "--all", "--format=%x01%H%n%B"]);
    let mut made: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for commit in log.split('\u{1}').filter(|text| !text.is_empty()) {
        let hash = commit.lines().next().unwrap();
        for line in commit.lines() {
            if let Some(id) = line.strip_prefix("Landfall-Update: ") {
                made.entry(id).or_default().insert(hash);
            }
        }
    }
    let twice: Vec<_> = made.iter().filter(|(_, commits)| commits.len() > 1).collect();
    assert!(twice.is_empty(), "updates that were made more than once: {twice:?}");
}

/// I2: `main` has only ever moved forward.
fn only_forward(remote: &Path) {
    let Ok(log) = std::fs::read_to_string(remote.join("logs/refs/heads/main")) else {
        assert_eq!(git(remote, &["rev-list", "--count", "refs/heads/main"]), "1", "main has no log, and did move");
        return;
    };
    let mut steps = log.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>());
    let tips: BTreeSet<&str> = git_lines(remote, &["rev-list", "--first-parent", "refs/heads/main"]);
    let linear = steps.clone().all(|step| tips.contains(step[1]));
    // Cheap where all is linear; where people merged, each step is looked at.
    assert!(
        linear
            || steps.all(|step| {
                step[0].bytes().all(|b| b == b'0')
                    || try_git(remote, &["merge-base", "--is-ancestor", step[0], step[1]]).status.success()
            }),
        "main was rewritten:\n{log}"
    );
}

fn git_lines(remote: &Path, arguments: &[&str]) -> BTreeSet<&'static str> {
    let text: &'static str = git(remote, arguments).leak();
    text.lines().collect()
}

/// I3, and I1 once more by content: every commit of the bot changes lines only in their version, and gives no line of a
/// file the same value twice.
fn only_pins(remote: &Path) {
    let author = format!("--author={BOT}");
    let arguments = [
        "log",
        "--branches",
        "--no-merges",
        "-p",
        "-U0",
        "--no-renames",
        "--full-index",
        author.as_str(),
        "--format=%x01%H",
    ];
    let log = git(remote, &arguments);
    let mut values: BTreeSet<(String, String)> = BTreeSet::new();
    for commit in log.split('\u{1}').filter(|text| !text.trim().is_empty()) {
        let mut files = commit.split("\ndiff --git ");
        let hash = files.next().unwrap().trim();
        for file in files {
            let path = file.lines().next().unwrap();
            let strange = ["new file", "deleted file", "old mode", "Binary", "\\ No newline"];
            assert!(!file.lines().any(|line| strange.iter().any(|word| line.starts_with(word))), "{hash} {file}");
            let body = || file.lines().skip_while(|line| !line.starts_with("@@"));
            let of = |sign: char| body().filter_map(move |line| line.strip_prefix(sign)).collect::<Vec<_>>();
            let (old, new) = (of('-'), of('+'));
            assert_eq!(old.len(), new.len(), "{hash} changes more than pins: {file}");
            for (old, new) in old.iter().zip(&new) {
                assert_eq!(masked(old), masked(new), "{hash} changes more than a version in {path}");
                assert_ne!(old, new, "{hash} {path}");
                let once = values.insert((path.to_owned(), (*new).to_owned()));
                assert!(once, "{hash}: the bot gave {path} this value before: {new}");
            }
        }
    }
}

/// A line with `N.N.N` in the place of each version.
fn masked(line: &str) -> String {
    let version = regex::Regex::new(r"\b\d+\.\d+\.\d+\b").unwrap();
    // Hosts are versions with one part more.
    let host = regex::Regex::new(r"127\.0\.0\.1:\d+").unwrap();
    version.replace_all(&host.replace_all(line, "HOST"), "N.N.N").into_owned()
}

fn one_pull_request_per_head(world: &World) {
    let heads: Vec<String> = match &world.github {
        Some(github) => github.pulls().into_iter().filter(|pull| pull.state == "open").map(|pull| pull.head).collect(),
        None => local_records(&world.bare())
            .into_iter()
            .filter(|record| record["state"] == "open")
            .map(|record| record["head"].as_str().unwrap().to_owned())
            .collect(),
    };
    let unique: BTreeSet<&String> = heads.iter().collect();
    assert_eq!(unique.len(), heads.len(), "a head has two open pull requests: {heads:?}");
}

/// The local forge's records, as any reader of the repository finds them.
pub(crate) fn local_records(remote: &Path) -> Vec<serde_json::Value> {
    let name = "refs/landfall/pull-requests";
    if !try_git(remote, &["rev-parse", "--verify", "--quiet", name]).status.success() {
        return Vec::new();
    }
    let names = git(remote, &["ls-tree", "--name-only", name]);
    let read = |file: &str| serde_json::from_str(&git(remote, &["show", &format!("{name}:{file}")])).unwrap();
    names.lines().map(read).collect()
}

/// A last undisturbed cycle finishes everything: `overlays` images are then up to date or wait for a review.
pub(crate) fn converges(world: &World, config: &str, overlays: u64) {
    world.wire.clear();
    quiet(&world.path(""));
    apply(world, config).ends(0);
    let planned = world.landfall(&["--config", config, "-o", "json", "plan"]).ends(0);
    let report = planned.report();
    assert_eq!(report["actions"], serde_json::json!([]), "{}", planned.text());
    assert_eq!(report["problems"], serde_json::json!([]), "{}", planned.text());
    let holds = report["holds"].as_array().unwrap();
    assert!(holds.iter().all(|hold| hold["gate"] == "approval"), "{}", planned.text());
    assert_eq!(report["upToDate"].as_u64().unwrap() + holds.len() as u64, overlays, "{}", planned.text());
}
