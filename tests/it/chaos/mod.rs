//! Whole cycles under faults: kills, competitors, refusals, damage, silence. After each run an oracle checks the
//! guarantees: at most one commit per update, no foreign commit lost, nothing changed but pins, and a last undisturbed
//! cycle converges.

mod oracle;

mod contents;
mod disks;
mod kills;
mod siege;
mod silence;
mod states;
mod writers;

use crate::support::git::{git, try_git};
use crate::support::process::Ran;
use crate::support::world::{DEV_PROD, Setup, World, overlay};

/// Commits for dev, and nothing for prod.
fn only_dev() -> String {
    DEV_PROD.replace("write: pull-request", "write: never")
}

/// A kustomization of the app at 1.0.0, with things around the tag that must survive.
fn kustomization(app: &str) -> String {
    format!(
        "# {app}\nresources:\n  - ../../base\nreplicas:\n  - {{ name: {app}, count: 2 }}\nimages:\n  - name: {app}\n    \
         newName: REG/acme/{app}\n    newTag: 1.0.0    # by Landfall\nlabels: []\n"
    )
}

/// Commits for dev, pull requests for prod; everything behind the tripwire.
fn empty() -> Setup {
    let labels = "write: pull-request\n    pullRequest: { labels: [release] }";
    World::setup().policies(&DEV_PROD.replace("write: pull-request", labels)).wired()
}

/// These apps are declared in dev and prod.
fn apps(apps: &[&str]) -> Setup {
    let places = apps.iter().flat_map(|app| [(app, "dev"), (app, "prod")]);
    places.fold(empty(), |setup, (app, environment)| setup.file(&overlay(app, environment), kustomization(app)))
}

/// A world in which the registry has what these apps declare.
fn started(setup: Setup, apps: &[&str]) -> World {
    let world = setup.start();
    for app in apps {
        world.push(&format!("acme/{app}"), "1.0.0");
    }
    world
}

/// One `apply` with a configuration.
fn apply(world: &World, config: &str) -> Ran {
    world.landfall(&["--config", config, "-o", "json", "apply"])
}

/// A person merges the open pull request on GitHub.
fn merge_open_pull(world: &World) {
    let open = world.github().pulls().into_iter().find(|pull| pull.state == "open").expect("a pull request is open");
    merge_by_hand(world, &open.head);
    world.github().merge(open.number);
}

/// A person merges a branch of the bot into `main` and deletes it, as a forge does.
fn merge_by_hand(world: &World, branch: &str) {
    let work = tempfile::tempdir_in(world.path("")).unwrap();
    let work = work.path();
    git(work, &["clone", "--quiet", world.bare().to_str().unwrap(), "."]);
    // A push of a killed instance may still be under way: whoever loses the race merges into what is there then.
    for attempt in 1.. {
        git(work, &["fetch", "--quiet", "origin"]);
        git(work, &["reset", "--quiet", "--hard", "origin/main"]);
        git(work, &["merge", "--quiet", "--no-ff", "-m", "merge", &format!("origin/{branch}")]);
        let delete = format!(":refs/heads/{branch}");
        let push = ["push", "--quiet", "--atomic", "origin", "HEAD:refs/heads/main", &delete];
        if try_git(work, &push).status.success() {
            return;
        }
        assert!(attempt < 10, "main moved ten times while {branch} was merged");
    }
}
