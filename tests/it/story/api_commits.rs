//! `commits: api`: GitHub makes and signs the bot's commits. Whatever it answers, a branch only gets what was planned, and
//! nobody's work is lost.

use std::os::unix::fs::PermissionsExt as _;

use landfall::daemon::{ActionFailureCode, Step};
use serde_json::{Value, json};

use crate::status::cluster::Cluster;
use crate::support::forge_stub::{APP, Fault, ForgeStub};
use crate::support::git::{command, fsck, git, try_git};
use crate::support::github_prism;
use crate::support::process::Signal;
use crate::support::world::{DEV_PROD, Setup, World, overlay};

const FORGE: &str = "token: { env: GITHUB_TOKEN } }";
const AUTHOR: &str = "author: { name: Landfall, email: landfall@example.com }";

/// The names that the bot's commits get.
fn named() -> String {
    format!(
        "author: {{ name: \"landfall-acme[bot]\", email: \"{APP}\" }}\n    committer: {{ name: GitHub, email: noreply@github.com }}"
    )
}

/// A world whose commits GitHub makes, with 1.2.3 in dev and prod and 1.3.0 in the registry.
fn started() -> World {
    started_from(World::web())
}

fn started_from(setup: Setup) -> World {
    let world = setup.github("").start();
    world.configure(FORGE, "token: { env: GITHUB_TOKEN }, commits: api }");
    world.configure(AUTHOR, &named());
    world.github().objects(&world.bare());
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world
}

/// Whether GitHub has made a commit: it has its signature and its names.
fn is_githubs(world: &World, commit: &str) -> bool {
    let names = world.git(&["log", "-1", "--format=%ae %ce", commit]);
    names == format!("{APP} noreply@github.com") && world.git(&["cat-file", "commit", commit]).contains("\ngpgsig ")
}

#[test]
fn what_the_bot_writes_is_made_and_signed_by_github() {
    let merged = "write: pull-request\n    pullRequest: { automerge: true, checks: [ci] }";
    let world = started_from(World::web().policies(&DEV_PROD.replace("write: pull-request", merged)));
    // A file that is a program stays one.
    world.work("main", |folder| {
        let path = folder.join(overlay("web", "dev"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        git(folder, &["commit", "--quiet", "--all", "-m", "a program"]);
    });
    let report = world.apply();
    assert_eq!(report["actions"][0]["result"]["commit"], world.tip("main"), "{report:#}");
    assert_eq!(report["actions"][0]["result"]["verified"], true, "{report:#}");
    let head = world.heads()[0].clone();
    assert!(is_githubs(&world, "main") && is_githubs(&world, &head));
    assert_eq!(world.numstat("main"), ["1 1 apps/web/overlays/dev/kustomization.yaml"]);
    assert!(world.git(&["ls-tree", "main", &overlay("web", "dev")]).starts_with("100755 "));
    assert!(world.trailers("main").iter().any(|(key, _)| key == "Landfall-Update"));
    // The bot knows its own: it merges the branch, and there is nothing left to do.
    world.github().status(&head, "ci", "success");
    let report = world.apply();
    assert_eq!(report["actions"][0]["kind"], "merge", "{report:#}");
    assert_eq!(world.tag("web", "prod"), "1.3.0");
    assert_eq!(world.apply()["actions"], json!([]));
    fsck(&world.bare());
}

#[test]
fn what_people_decide_is_made_by_github_and_known_again() {
    let world = started_from(World::setup().app("web", "1.2.3", &["dev"]));
    let update = world.apply()["actions"][0]["updates"][0]["id"].as_str().unwrap().to_owned();
    world.work("main", |folder| drop(git(folder, &["revert", "--no-edit", "HEAD"])));
    assert_eq!(world.apply()["holds"][0]["gate"], "hold");
    // A release that somebody wrote on the web page of GitHub has GitHub's committer, too, but not the bot's author.
    let forged = world.text(&format!(
        "release web\n\nLandfall-Release: {update}\nLandfall-Image: REG/acme/web\nLandfall-Overlay: apps/web/overlays/dev\n\
         Landfall-To: 1.3.0\nLandfall-Policy: dev\nLandfall-Environment: dev\n"
    ));
    world.work("main", |folder| {
        let web = ["-c", "user.name=GitHub", "-c", "user.email=noreply@github.com"];
        let ada = "--author=Ada <ada@example.com>";
        git(folder, &[&web[..], &["commit", "--allow-empty", "--quiet", ada, "-m", &forged]].concat());
    });
    assert_eq!(world.apply()["holds"][0]["gate"], "hold");
    world.landfall(&["release", "web", "--environment", "dev", "--reason", "fixed", "--by", "Ada"]).ends(0);
    assert!(is_githubs(&world, "main"));
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    world.landfall(&["rollback", "web", "--environment", "dev", "--reason", "x", "--by", "Ada"]).ends(0);
    assert_eq!(world.tag("web", "dev"), "1.2.3");
    assert!(is_githubs(&world, "main"), "{:?}", world.log("main"));
    assert_eq!(world.apply()["holds"][0]["gate"], "hold");
}

#[test]
fn holds_and_freezes_are_made_by_github_and_count() {
    let world = started_from(World::setup().app("web", "1.2.3", &["dev"]));
    let by = ["--reason", "it leaks", "--by", "Ada"];
    let said = |args: &[&str]| {
        world.landfall(&[args, &by].concat()).ends(0);
        assert!(is_githubs(&world, "main"), "{args:?}: {:?}", world.log("main"));
        fsck(&world.bare());
    };
    let gate = || world.apply()["holds"][0]["gate"].clone();
    said(&["freeze", "dev"]);
    assert_eq!(gate(), "freeze");
    said(&["unfreeze", "dev"]);
    said(&["hold", "web", "--environment", "dev", "--version", "1.3.0"]);
    assert_eq!((gate(), world.tag("web", "dev").as_str()), (json!("hold"), "1.2.3"));
    // What somebody else says at the same time is not lost: the decision is made again on top of it.
    world.write(&[("docs/note.md", "a note\n")]);
    said(&["release", "web", "--environment", "dev"]);
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    assert!(is_githubs(&world, "main"));
}

/// A version is promoted once the cluster has shown it upstream; the commit that promotes it is GitHub's.
#[test]
fn a_promotion_is_made_by_github() {
    let promoted = DEV_PROD.replace(
        "write: pull-request\n    tags: { semver: \"*\" }",
        "write: commit\n    tags: { semver: \"*\" }\n    promoteFrom: { environment: dev, soakTime: 1s }",
    );
    let world = started_from(World::web().policies(&promoted).interval("1s"));
    let cluster = Cluster::start(&world);
    world.apply();
    assert_eq!((world.tag("web", "dev").as_str(), world.tag("web", "prod").as_str()), ("1.3.0", "1.2.3"));
    assert!(is_githubs(&world, "main"));
    let (dev, image) = (world.tip("main"), format!("{}/acme/web:1.3.0", world.host));
    cluster.application(&world, "web", "dev", &dev);
    cluster.workload("web", &image, None);
    // The very image that the registry has.
    let (digest, objects) = (world.push("acme/web", "1.3.0"), cluster.stub.objects());
    let mut pod = Value::clone(objects.iter().find(|object| object["kind"] == "Pod").unwrap());
    pod["status"]["containerStatuses"][0]["imageID"] = json!(format!("{}/acme/web@{digest}", world.host));
    cluster.stub.load(pod).unwrap();
    let mut running = world.start(&["run"]);
    running.until("the promotion", || world.tag("web", "prod") == "1.3.0");
    running.stop(Signal::TERM);
    assert!(is_githubs(&world, "main") && world.tip("main") != dev, "{:?}", world.log("main"));
    assert_eq!(world.numstat("main"), ["1 1 apps/web/overlays/prod/kustomization.yaml"]);
    fsck(&world.bare());
}

/// How often something was asked to be made.
fn posted(world: &World, what: &str) -> usize {
    world.github().asked().iter().filter(|asked| **asked == format!("POST {what}")).count()
}

#[test]
fn a_commit_of_a_moment_ago_that_github_does_not_show_yet_is_no_matter_of_permissions() {
    let world = started_from(World::setup().app("web", "1.2.3", &["dev"]));
    let mut bot = world.in_process("landfall.yaml");
    world.cycle(&mut bot).unwrap();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    world.push("acme/web", "1.4.0");
    world.github().fault(Fault::on("POST", "/git/trees").message(404, "Not Found"));
    let outcome = world.cycle(&mut bot).unwrap();
    let Step::Failed(failure) = &outcome.actions[0].step else { panic!("{outcome:?}") };
    assert_eq!(failure.code, ActionFailureCode::FetchFailed, "{}", failure.message);
    assert!(failure.message.contains("asks again"), "{}", failure.message);
    world.cycle(&mut bot).unwrap();
    assert_eq!(world.tag("web", "dev"), "1.4.0");
    // Of a commit that somebody else made, it may be a matter of permissions.
    world.write(&[("docs/a.md", "a\n")]);
    world.push("acme/web", "1.5.0");
    world.github().fault(Fault::on("POST", "/git/trees").message(404, "Not Found"));
    let outcome = world.cycle(&mut bot).unwrap();
    let Step::Failed(failure) = &outcome.actions[0].step else { panic!("{outcome:?}") };
    assert_eq!(failure.code, ActionFailureCode::Authentication, "{}", failure.message);
}

#[test]
fn a_branch_that_is_rewritten_is_again_githubs() {
    let world = started();
    world.apply();
    let head = world.heads()[0].clone();
    let before = world.tip(&head);
    world.push("acme/web", "1.4.0");
    world.apply();
    assert_eq!(world.heads(), std::slice::from_ref(&head));
    assert_eq!(world.tag_at(&head, "web", "prod"), "1.4.0");
    assert!(is_githubs(&world, &head) && world.tip(&head) != before);
    assert_eq!(world.github().pulls().len(), 1);
    assert_eq!(world.git(&["rev-list", "--count", &format!("main~1..{head}")]), "1");
}

#[test]
fn a_merge_that_keeps_approvals_is_made_by_github() {
    let terms = "write: pull-request\n    pullRequest: { automerge: true, approvals: 1, checks: [ci] }";
    let setup = World::setup().app("web", "1.2.3", &["prod"]);
    let world = started_from(setup.policies(&DEV_PROD.replace("write: pull-request", terms)));
    world.apply();
    let head = world.heads()[0].clone();
    world.github().strict();
    world.github().review(1, "ann", "APPROVED");
    world.write(&[("docs/a.md", "a\n")]);
    world.github().run(&head, "ci", "completed", Some("success"));
    assert_eq!(world.apply()["actions"][0]["kind"], "update");
    let parents = world.git(&["log", "-1", "--format=%P", &head]);
    assert_eq!(parents.split(' ').count(), 2);
    assert!(is_githubs(&world, &head));
    assert_eq!(world.git(&["diff", "--name-only", "main", &head]), overlay("web", "prod"));
    world.github().run(&head, "ci", "completed", Some("success"));
    assert_eq!(world.apply()["actions"][0]["kind"], "merge");
    assert_eq!(world.tag("web", "prod"), "1.3.0");
}

#[test]
fn a_decision_that_would_count_as_older_than_the_branch_is_not_made() {
    let world = started();
    world.work("main", |folder| {
        let mut ada = command("git");
        ada.current_dir(folder).args(["commit", "--quiet", "--allow-empty", "-m", "from the future"]);
        assert!(ada.env("GIT_COMMITTER_DATE", "2099-01-01T00:00:00Z").status().unwrap().success());
    });
    let before = world.refs();
    let hold = ["hold", "web", "--environment", "dev", "--reason", "x", "--by", "Ada"];
    world
        .landfall(&hold)
        .ends(2)
        .says("ends with a commit of 2099-01-01T00:00:00Z")
        .says("next: repeat it after that time");
    assert_eq!(world.refs(), before);
}

#[test]
fn another_tree_than_planned_reaches_no_branch() {
    let world = started();
    let before = world.refs();
    let answer =
        json!({ "sha": "5".repeat(40), "url": "https://x.example", "truncated": false, "tree": [] }).to_string();
    world.github().fault(Fault::on("POST", "/git/trees").times(100).answer(201, &[], &answer));
    let ran = world.landfall(&["apply"]).ends(2).says("it has made the tree 5555").says("was planned");
    assert_eq!(world.refs(), before, "{}", ran.text());
    assert!(!world.github().asked().contains(&"POST git/commits".to_owned()));
}

#[test]
fn a_commit_that_is_another_one_reaches_no_branch() {
    let world = started();
    let before = world.refs();
    // Signed, and of the right names, but somebody else's message.
    let (tree, tip) = (world.git(&["rev-parse", "main^{tree}"]), world.tip("main"));
    let payload = format!(
        "tree {tree}\nparent {tip}\nauthor x <{APP}> 1 +0000\ncommitter GitHub <noreply@github.com> 1 +0000\n\nother"
    );
    let who = |email: &str| json!({ "name": "x", "email": email, "date": "2026-01-01T00:00:00Z" });
    let answer = json!({
        "sha": "6".repeat(40), "tree": { "sha": tree }, "author": who(APP), "committer": who("noreply@github.com"),
        "verification": { "verified": true, "reason": "valid", "payload": payload, "signature": "-----BEGIN PGP SIGNATURE-----" },
    });
    world.github().fault(Fault::on("POST", "/git/commits").times(100).answer(201, &[], &answer.to_string()));
    world.landfall(&["apply"]).ends(2).says("its parts make another commit").says("no branch has got it");
    assert_eq!(world.refs(), before);
}

#[test]
fn a_token_whose_commits_are_not_signed_and_another_app_are_told() {
    let world = started();
    let before = world.refs();
    world.landfall(&["doctor"]).ends(0).says("GitHub signs the bot's commits, as landfall-acme[bot]");
    assert_eq!(world.refs(), before, "what was tried out is on no branch");
    world.github().signs_nothing();
    world
        .landfall(&["apply"])
        .ends(2)
        .says("GitHub has not signed")
        .says("unsigned")
        .says("let the bot come as one (`app`)");
    world.landfall(&["doctor"]).ends(1).says("GitHub has not signed");
    assert_eq!(world.refs(), before);
    world.github().objects(&world.bare());
    world.configure(APP, "7+other[bot]@users.noreply.github.com");
    let says = format!("next: write `author: {{ name: \"landfall-acme[bot]\", email: \"{APP}\" }}`");
    world.github().forget();
    world.landfall(&["apply"]).ends(2).says(&says);
    assert_eq!(posted(&world, "git/commits"), 1, "what no commit gets is asked for once, not for each action");
    world.landfall(&["doctor"]).ends(1).says(&says);
    assert_eq!(world.refs(), before);
}

#[test]
fn lost_answers_make_no_second_commit_on_the_branch() {
    let world = started();
    for path in ["/git/trees", "/git/commits"] {
        world.github().fault(Fault::on("POST", path).done_but(502));
        world.github().fault(Fault::on("POST", path).after(1).cut());
    }
    world.apply();
    assert_eq!((world.tag("web", "dev").as_str(), world.log("main").len()), ("1.3.0", 2));
    assert_eq!(world.apply()["actions"], json!([]));
}

#[test]
fn while_the_api_is_down_or_refuses_nothing_moves() {
    let world = started();
    let before = world.refs();
    world.github().fault(Fault::on("POST", "/git/").times(100).message(503, "Service Unavailable"));
    world.landfall(&["apply"]).ends(2).says("503");
    let asked = world.github().asked().iter().filter(|asked| asked.starts_with("POST git/")).count();
    assert_eq!(asked, 6, "three tries for the commit and three for the branch of the pull request");
    assert_eq!(world.refs(), before);
    world.github().no_faults();
    // The token ends between the tree and the commit.
    world.github().fault(Fault::on("POST", "/git/commits").times(100).message(401, "Bad credentials"));
    world.landfall(&["apply"]).ends(4).says("token refused or expired");
    assert_eq!(world.refs(), before);
    world.github().no_faults();
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
}

#[test]
fn a_base_that_moves_in_between_loses_nothing() {
    let world = started();
    let (bare, tip) = (world.bare(), world.tip("main"));
    let tree = world.git(&["rev-parse", "main^{tree}"]);
    world.github().then(move || {
        let ada = git(&bare, &["commit-tree", "-p", &tip, "-m", "Ada was faster", &tree]);
        git(&bare, &["update-ref", "refs/heads/main", &ada]);
    });
    world.apply();
    let log = world.log("main");
    assert_eq!(log.len(), 3, "{log:?}");
    assert!(log[0].ends_with("bump web to 1.3.0") && log[1].ends_with("Ada was faster"), "{log:?}");
    assert!(is_githubs(&world, "main"));
}

#[test]
fn a_strangers_branch_of_the_same_name_stays_theirs() {
    let world = started_from(World::setup().app("web", "1.2.3", &["prod"]));
    let head = world.plan()["actions"][0]["head"].as_str().unwrap().to_owned();
    let (bare, tip, name) = (world.bare(), world.tip("main"), format!("refs/heads/{head}"));
    let tree = world.git(&["rev-parse", "main^{tree}"]);
    world.github().then(move || {
        let stranger = git(&bare, &["commit-tree", "-p", &tip, "-m", "a stranger's", &tree]);
        git(&bare, &["update-ref", &name, &stranger]);
    });
    world.landfall(&["apply"]).ends(2).says(&format!("{head} moved in the meantime"));
    assert_eq!(world.git(&["log", "-1", "--format=%s", &head]), "a stranger's");
    assert_eq!(world.github().pulls(), []);
    world.landfall(&["apply"]);
    assert_eq!(world.git(&["log", "-1", "--format=%s", &head]), "a stranger's");
}

#[test]
fn what_is_asked_and_answered_is_as_github_describes_it() {
    let Some(stub) = github_prism::stub() else { return };
    let world = World::web().no_forge().start();
    let forge = format!(
        "forge: {{ kind: github, apiUrl: \"{}\", repository: {}/deploys, token: {{ env: GITHUB_TOKEN }}, commits: api }}",
        stub.url(),
        stub.owner()
    );
    world.configure("forge: { kind: none }", &forge);
    world.configure(AUTHOR, &named());
    let heads = world.bare();
    stub.heads(move |branch| {
        let found = try_git(&heads, &["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")]);
        found.status.success().then(|| String::from_utf8(found.stdout).unwrap().trim().to_owned())
    });
    stub.objects(&world.bare());
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    asked(&stub, &["POST git/trees", "POST git/commits"]);
    stub.forget();
    world.landfall(&["doctor"]).ends(0);
    asked(&stub, &["GET commits/main", "POST git/commits"]);
}

fn asked(stub: &ForgeStub, wanted: &[&str]) {
    let asked = stub.asked();
    for one in wanted {
        assert!(asked.iter().any(|asked| asked == one), "{one}: {asked:?}");
    }
}

#[test]
fn the_key_is_checked_with_what_goes_with_it() {
    let world = started();
    world.configure(&named(), "branches: []");
    world.landfall(&["check"]).ends(1).says("`commits: api` needs the repository's `author`");
    world.configure("branches: []", &format!("signing: {{ sshKey: {{ file: key }} }}\n    {}", named()));
    world.landfall(&["check"]).ends(1).says("`signing` and `commits: api` are both set");
    world.configure("commits: api", "commits: rest");
    world.landfall(&["check"]).ends(1).says("`rest` is not one of git, api");
    world.configure("kind: github", "kind: gitea");
    world.landfall(&["check"]).ends(1).says("commits");
}
