//! Repositories in every state: empty, without the branch, rewritten, protected, guarded by hooks, moving, lying.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use landfall::daemon::{ATTEMPTS, ActionFailureCode, CycleOutcome, Step};
use landfall::plan::Gate;

use super::oracle::{at_most_one_commit, converges, judge, local_records};
use super::{apply, apps, only_dev, started};
use crate::support::git::{fsck, git, try_git};
use crate::support::trip::{Point, Reply, When, Where};
use crate::support::world::{BOT, GIT_PASSWORD, World};

const PUSH_BEGINS: Point = Point::on(Where::Git, "GET", "service=git-receive-pack", When::Before);
const PUSH_ANSWERED: Point = Point::on(Where::Git, "POST", "git-receive-pack", When::After);

/// Each action's error, `None` where it was done and verified.
fn results(report: &CycleOutcome) -> Vec<Option<(ActionFailureCode, String)>> {
    let result = |action: &landfall::daemon::ActionOutcome| match &action.step {
        Step::Done(done) => {
            assert!(done.verified, "{report:?}");
            None
        }
        Step::Failed(failure) => Some((failure.code, failure.message.clone())),
        Step::Planned { .. } => panic!("{report:?}"),
    };
    report.actions.iter().map(result).collect()
}

/// The only action was rejected; what was said.
fn rejected(report: &CycleOutcome) -> String {
    match results(report).as_slice() {
        [Some((ActionFailureCode::Refused, message))] => message.clone(),
        other => panic!("{other:?}"),
    }
}

/// Dev only, one app, and 1.1.0 is new.
fn one_update() -> World {
    let world = started(apps(&["web"]).policies(&only_dev()).no_forge(), &["web"]);
    world.push("acme/web", "1.1.0");
    world
}

/// From now on every connection breaks at this point; how often it has.
fn cut(world: &World, point: Point) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    world.wire.set(point, 0, usize::MAX, move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Reply::Broken
    });
    count
}

/// Once the hindrance is gone, the next cycle lands the update.
fn lands_after_all(world: &World, foreign: &[String]) {
    world.wire.clear();
    let config = world.config("state");
    converges(world, &config, 1);
    assert_eq!(world.tag("web", "dev"), "1.1.0");
    judge(world, foreign);
}

#[test]
fn a_repository_without_a_commit_or_without_the_branch_says_what_it_has() {
    let world = started(apps(&["web"]).no_forge(), &["web"]);
    git(&world.path("remotes"), &["init", "--quiet", "--bare", "empty.git"]);
    world.configure("deploys.git", "empty.git");
    let ran = apply(&world, "landfall.yaml").ends(2);
    let message = ran.report()["problems"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("has no branch `main`; it is empty: push a first commit"), "{message}");

    world.configure("empty.git", "deploys.git");
    world.configure("branch: main", "branch: trunk");
    let ran = apply(&world, "landfall.yaml").ends(2);
    let message = ran.report()["problems"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("has no branch `trunk`; it has main"), "{message}");
    // As soon as it is there, all is well.
    world.git(&["branch", "trunk", "main"]);
    apply(&world, "landfall.yaml").ends(0);
}

#[test]
fn a_branch_may_go_and_come_back() {
    let world = one_update();
    let mut bot = world.in_process("landfall.yaml");
    assert_eq!(results(&world.cycle(&mut bot).unwrap()), [None]);
    let tip = world.git(&["rev-parse", "main"]);
    world.git(&["update-ref", "-d", "refs/heads/main"]);
    let error = world.cycle(&mut bot).unwrap_err();
    assert!(error.contains("has no branch `main`"), "{error}");
    assert!(!try_git(&world.bare(), &["rev-parse", "--verify", "main"]).status.success(), "the bot made the branch");
    world.git(&["update-ref", "refs/heads/main", &tip]);
    world.push("acme/web", "1.2.0");
    assert_eq!(results(&world.cycle(&mut bot).unwrap()), [None]);
    assert_eq!(world.tag("web", "dev"), "1.2.0");
    fsck(&world.bare());
}

#[test]
fn a_rewritten_history_is_read_anew() {
    let world = one_update();
    let mut bot = world.in_process("landfall.yaml");
    let before = world.git(&["rev-parse", "main"]);
    world.cycle(&mut bot).unwrap();
    // A person forces the branch to where the update was never made: the new history has no record of it.
    world.git(&["update-ref", "refs/heads/main", &before]);
    let kept = world.write(&[("NOTE.md", "rewritten\n")]);
    assert_eq!(results(&world.cycle(&mut bot).unwrap()), [None]);
    assert_eq!(world.tag("web", "dev"), "1.1.0");
    assert_eq!(world.git(&["rev-parse", "main~1"]), kept);
    at_most_one_commit(&world.bare());
    // One that takes the update back and keeps its commit is a person's word.
    let path = "apps/web/overlays/dev/kustomization.yaml";
    let reverted = world.read("main", path).replace("1.1.0", "1.0.0") + "\n";
    world.write(&[(path, &reverted)]);
    let report = world.cycle(&mut bot).unwrap();
    assert!(report.actions.is_empty(), "{report:?}");
    assert_eq!(report.holds[0].gate, Gate::Hold);
    fsck(&world.bare());
}

#[test]
fn a_protected_branch_is_said_in_the_servers_words() {
    let world = one_update();
    let mut bot = world.in_process("landfall.yaml");
    world.hook("pre-receive", "echo 'GH006: Protected branch update failed' >&2; exit 1");
    let message = rejected(&world.cycle(&mut bot).unwrap());
    assert!(message.contains("GH006: Protected branch update failed"), "{message}");
    assert_eq!(world.tag("web", "dev"), "1.0.0");
    std::fs::remove_file(world.bare().join("hooks/pre-receive")).unwrap();
    drop(bot);
    lands_after_all(&world, &[]);
}

#[test]
fn a_rule_about_authors_is_said() {
    let world = one_update();
    let mut bot = world.in_process("landfall.yaml");
    let rule = format!(
        "test \"$(git log -1 --format=%ae $3)\" != {BOT} || {{ echo 'committer must be a member of acme' >&2; exit 1; }}"
    );
    world.hook("update", &rule);
    let message = rejected(&world.cycle(&mut bot).unwrap());
    assert!(message.contains("committer must be a member of acme"), "{message}");
    let person = world.write(&[("NOTE.md", "people may\n")]);
    rejected(&world.cycle(&mut bot).unwrap());
    std::fs::remove_file(world.bare().join("hooks/update")).unwrap();
    drop(bot);
    lands_after_all(&world, &[person]);
}

#[test]
fn a_rule_about_one_path_holds_up_no_other() {
    let names = ["api", "web", "worker"];
    let policies = only_dev().replace("write: commit", "write: commit\n    group: \"{app}\"");
    let world = started(apps(&names).policies(&policies).no_forge(), &names);
    world.hook(
        "update",
        "git diff --name-only $2 $3 | grep -q apps/web/ && { echo 'web is frozen' >&2; exit 1; }; exit 0",
    );
    let config = world.config("state");
    let mut bot = world.in_process(&config);
    for version in ["1.1.0", "1.2.0"] {
        for app in ["api", "web", "worker"] {
            world.push(&format!("acme/{app}"), version);
        }
        let report = world.cycle(&mut bot).unwrap();
        let failed: Vec<_> =
            report.actions.iter().zip(results(&report)).filter(|(_, result)| result.is_some()).collect();
        assert_eq!(failed.len(), 1, "{report:?}");
        assert_eq!(failed[0].0.action.group, "web");
        assert!(failed[0].1.as_ref().unwrap().1.contains("web is frozen"), "{report:?}");
        let declared = ["api", "web", "worker"].map(|app| world.tag(app, "dev"));
        assert_eq!(declared, [version, "1.0.0", version]);
    }
    std::fs::remove_file(world.bare().join("hooks/update")).unwrap();
    drop(bot);
    converges(&world, &config, 3);
    assert_eq!(world.tag("web", "dev"), "1.2.0");
    judge(&world, &[]);
}

#[test]
fn a_loud_hook_neither_floods_nor_leaks() {
    let world = started(apps(&["web"]).policies(&only_dev()).no_forge().over_http(), &["web"]);
    world.push("acme/web", "1.1.0");
    let script = format!(
        "printf 'token {GIT_PASSWORD} \\033[31mRED\\033[0m\\033]0;owned\\007 \\r\\n' >&2\n\
         i=0; while [ $i -lt 20000 ]; do echo '{GIT_PASSWORD} no no no no no no no no no no no no' >&2; i=$((i+1)); done; exit 1"
    );
    world.hook("pre-receive", &script);
    // That no secret is printed holds of every run of a world.
    let ran = apply(&world, "landfall.yaml").ends(2);
    let message = ran.report()["actions"][0]["result"]["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("RED"), "{message}");
    let all = ran.text();
    assert!(!all.contains('\u{1b}') && !all.contains("\\u001b"), "{all}");
    assert!(all.len() < 20_000, "{} bytes", all.len());
    let table = world.landfall(&["apply", "-o", "table"]);
    assert!(!table.text().contains('\u{1b}'), "{}", table.text());
    std::fs::remove_file(world.bare().join("hooks/pre-receive")).unwrap();
    lands_after_all(&world, &[]);
}

#[test]
fn a_pull_requests_branch_deleted_by_hand_is_made_again() {
    let world = started(apps(&["web"]), &["web"]);
    world.push("acme/web", "1.1.0");
    let config = world.config("state");
    let mut bot = world.in_process(&config);
    assert_eq!(results(&world.cycle(&mut bot).unwrap()), [None, None]);
    let heads = || world.git(&["for-each-ref", "--format=%(refname)", "refs/heads/landfall/"]);
    let head = heads();
    world.git(&["update-ref", "-d", &head]);
    assert_eq!(results(&world.cycle(&mut bot).unwrap()), [None]);
    assert_eq!(heads(), head);
    assert_eq!(local_records(&world.bare()).len(), 1);
    drop(bot);
    converges(&world, &config, 2);
    judge(&world, &[]);
}

#[test]
fn a_repository_that_always_moves_is_given_up_for_this_cycle() {
    let world = Arc::new(one_update());
    let mut bot = world.in_process("landfall.yaml");
    let foreign = Arc::new(Mutex::new(Vec::new()));
    let (mover, moved) = (Arc::downgrade(&world), foreign.clone());
    world.wire.set(PUSH_BEGINS, 0, usize::MAX, move || {
        let mut moved = moved.lock().unwrap();
        let note = format!("{}\n", moved.len());
        moved.push(mover.upgrade().unwrap().write(&[("NOTE.md", &note)]));
        Reply::GoesOn
    });
    let report = world.cycle(&mut bot).unwrap();
    let [Some((ActionFailureCode::LostRace, message))] = &results(&report)[..] else { panic!("{report:?}") };
    assert!(message.contains("moved 10 times"), "{message}");
    let foreign = foreign.lock().unwrap().clone();
    assert_eq!(foreign.len(), ATTEMPTS as usize);
    drop(bot);
    lands_after_all(&world, &foreign);
}

#[test]
fn a_push_whose_answer_was_lost_is_adopted() {
    let world = one_update();
    let mut bot = world.in_process("landfall.yaml");
    // Each time: curl sends a request again when a connection dies without an answer.
    let lost = cut(&world, PUSH_ANSWERED);
    assert_eq!(results(&world.cycle(&mut bot).unwrap()), [None]);
    assert!(lost.load(Ordering::Relaxed) > 0, "no answer was lost: the test tests nothing");
    assert_eq!(world.tag("web", "dev"), "1.1.0");
    drop(bot);
    lands_after_all(&world, &[]);
}

#[test]
fn a_push_that_never_arrived_is_not_done() {
    let world = one_update();
    let mut bot = world.in_process("landfall.yaml");
    cut(&world, Point { when: When::Before, ..PUSH_ANSWERED });
    let report = world.cycle(&mut bot).unwrap();
    assert!(matches!(results(&report).as_slice(), [Some(_)]), "{report:?}");
    drop(bot);
    lands_after_all(&world, &[]);
}

#[test]
fn a_server_that_says_yes_and_does_nothing_is_not_believed() {
    let world = one_update();
    let mut bot = world.in_process("landfall.yaml");
    world.hook("post-receive", "while read old new name; do git update-ref $name $old; done");
    let message = rejected(&world.cycle(&mut bot).unwrap());
    assert!(message.contains("accepted the push, but its branch does not have the commit"), "{message}");
    assert_eq!(world.tag("web", "dev"), "1.0.0");
    std::fs::remove_file(world.bare().join("hooks/post-receive")).unwrap();
    assert_eq!(results(&world.cycle(&mut bot).unwrap()), [None]);
    assert_eq!(world.tag("web", "dev"), "1.1.0");
    fsck(&world.bare());
    at_most_one_commit(&world.bare());
}
