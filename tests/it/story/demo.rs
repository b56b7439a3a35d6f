//! `landfall demo`: what a newcomer sees first, and what works on the folder it leaves.

use std::fs;
use std::path::Path;

use landfall::config::Environment;
use landfall::daemon::Clock;
use landfall::demo::{DemoWorld, StoryClock, Suspended, Tale, Teller, tell};
use serde_json::Value;

use crate::docs;
use crate::support::git::{fsck, git};
use crate::support::process::run as landfall;

/// What the short demo says, in this order.
const SHORT: &[&str] = &[
    "► A Git repository with three apps (Kustomize, Helm values, plain YAML) in dev, staging and prod.",
    "3 registry requests for 9 overlays",
    "► CI pushes web 1.3.0.",
    "✔ committed dev: web 1.2.3 → 1.3.0 as ",
    "✔ pull request prod: web 1.2.3 → 1.3.0 into main: local:deploys#1",
    "✔ landed   dev/eu-1: web 1.2.3 → 1.3.0 landed after 4",
    "Ada merges #1: prod: bump web to 1.3.0",
    "✔ landed   prod/eu-1: web 1.2.3 → 1.3.0 landed after 4",
    "► CI pushes api 2.1.0.",
    "✗ alert    dev/eu-1: api 2.1.0 is stuck before running: image-not-found",
    "next    push ",
    "► CI builds it again, as api 2.1.1.",
    "✔ resolved dev/eu-1: api 2.1.0 is over: superseded by 2.1.1",
    "✔ landed   dev/eu-1: api 2.1.0 → 2.1.1 landed after 4",
    "► web 1.3.0 leaks memory: Ada reverts it in staging",
    "⏸ held staging: web 1.2.3 → 1.3.0: 1.3.0 was written by ",
    "✔ landed   staging/eu-1: web ",
    "► Prod should only get what has run well in staging for a day",
    "✔ committed staging: web 1.2.3 → 1.4.0 as ",
    "⏸ waits for promotion prod: web 1.3.0 → 1.4.0: 1.4.0 has been healthy in staging/eu-1 for ",
    "► A day and an hour later.",
    "✔ pull request prod: web 1.3.0 → 1.4.0 into main: local:deploys#3",
    "landed in `staging/eu-1` at 20",
    "✔ landed   prod/eu-1: web 1.3.0 → 1.4.0 landed after 4",
    "► Where everything stands now: landfall status",
    "9 landed",
    "► Try it yourself:",
];

/// What the full one says.
const STORY: &[&str] = &[
    "► A Git repository with three apps (Kustomize, Helm values, plain YAML) in dev, staging and prod.",
    "3 registry requests for 9 overlays",
    "► CI pushes web 1.3.0.",
    "✔ committed dev: web 1.2.3 → 1.3.0 as ",
    "✔ committed staging: web 1.2.3 → 1.3.0 as ",
    "✔ pull request prod: web 1.2.3 → 1.3.0 into main: local:deploys#1",
    "✔ committed dev: api 2.0.0 → 2.1.0, web 1.3.0 → 1.3.1 as ",
    "✔ pull request prod: api 2.0.0 → 2.1.0 into main: local:deploys#2",
    "✔ pull request prod: web 1.2.3 → 1.3.1 into main: local:deploys#1",
    "None of them qualifies, so nothing is written",
    "► Ada rolls web back to 1.3.0 in staging",
    "⏸ held prod: api 2.0.0 → 2.1.0: pull request #2 was closed without a merge",
    "⏸ held staging: web 1.3.0 → 1.3.1: 1.3.1 was written by ",
    "► The registry loses api 2.1.0, which dev runs.",
    "acme/api:2.1.0 is not in the registry's list; it is kept, never replaced by an older one",
    "merged #1: prod: bump web to 1.3.1",
    "✔ committed dev: api 2.1.0 → 2.2.0 as ",
    "► What is in Git now",
    "Ada       staging: web back to 1.3.0, 1.3.1 leaks memory",
    "► The open pull request, #3: prod: bump api to 2.2.0",
    "► Did it land?",
    "✔ 2.2.0 landed",
    // An image lands.
    "► CI pushes web 1.4.0.",
    "✔ committed dev: web 1.3.1 → 1.4.0 as ",
    "✔ landed   dev/eu-1: web 1.3.1 → 1.4.0 landed after 4",
    "✔ landed   staging/eu-1: web 1.3.0 → 1.4.0 landed after 4",
    // One cannot be pulled.
    "► CI pushes api 2.2.1.",
    "✗ alert    dev/eu-1: api 2.2.1 is stuck before running: image-not-found",
    "cause   Deployment dev/api: Pod dev/api-",
    "acme/api:2.2.1 is not in the registry",
    "seen    the bot cannot find it in the registry either",
    "next    push ",
    "✗ alert    staging/eu-1: api 2.2.1 is stuck before running: image-not-found",
    "► CI builds it again, as api 2.2.2.",
    "✔ resolved dev/eu-1: api 2.2.1 is over: superseded by 2.2.2",
    "✔ resolved staging/eu-1: api 2.2.1 is over: superseded by 2.2.2",
    "✔ landed   dev/eu-1: api 2.2.1 → 2.2.2 landed after 4",
    // One is refused.
    "► Ada merges web 1.4.0 into prod.",
    "✗ alert    prod/eu-1: web 1.3.1 → 1.4.0 is stuck before being applied: admission-denied",
    "cause   Application argocd/web-prod: sync of ",
    "no signatures found",
    "next    ",
    "► Ada has the image signed",
    "✔ resolved prod/eu-1: web 1.3.1 → 1.4.0 has landed",
    // One is changed by hand: by whom and when.
    "kubectl -n prod set image deployment/prod-web",
    "► Six minutes later.",
    "⚠ alert    prod/eu-1: web 1.3.1 → 1.4.0 is changed by hand in the cluster",
    "cause   Deployment prod/prod-web runs 1.3.1, written by kubectl-set at 20",
    "next    revert the manual change, or commit it",
    "✔ resolved prod/eu-1: web 1.3.1 → 1.4.0 has landed",
    // One is paused.
    "► Ada runs `flux suspend kustomization worker-dev`",
    "⏸ v0.9.1 paused: suspended",
    "► A day later",
    "⚠ alert    dev/eu-1: worker v0.9.0 → v0.9.1 is paused: suspended",
    "next    resume it when it should go on: 'flux -n flux-system resume kustomization worker-dev'",
    "► Ada resumes it",
    "✔ resolved dev/eu-1: worker v0.9.0 → v0.9.1 has landed",
    // Prod gets what staging has proved, a freeze freezes, and what is rolled back stays away.
    "► Prod should only get what has run well in staging for a day",
    "✔ committed staging: web 1.4.0 → 1.5.0 as ",
    "✔ landed   staging/eu-1: web 1.4.0 → 1.5.0 landed after 4",
    "⏸ waits for promotion prod: web 1.4.0 → 1.5.0: 1.5.0 has been healthy in staging/eu-1 for ",
    "► Grace: landfall freeze prod",
    "⏸ waits (freeze) prod: web 1.4.0 → 1.5.0: prod was frozen by Grace: the audit",
    "► Grace: landfall unfreeze prod.",
    "✔ pull request prod: web 1.4.0 → 1.5.0 into main: local:deploys#6",
    "landed in `staging/eu-1` at 20",
    "✔ landed   prod/eu-1: web 1.4.0 → 1.5.0 landed after 4",
    "► It leaks memory under prod's load.",
    "✔ pull request prod: web 1.5.0 → 1.4.0 into main: local:deploys#7",
    "✔ landed   prod/eu-1: web 1.5.0 → 1.4.0 landed after 4",
    "⏸ held prod: web 1.4.0 → 1.5.0: 1.5.0 was rolled back by Grace in ",
    "► Where everything stands now: landfall status",
    "1 pending, 9 landed, 1 rejected, 1 paused",
    "► Try it yourself:",
];

/// A line without what differs from run to run: commits, ports, times, generated names.
fn timeless(line: &str) -> String {
    let parts = [
        (r"\b[0-9a-f]{7}\b", "COMMIT"),
        (r"127\.0\.0\.1:\d+", "HOST"),
        (r"\d{4}-\d\d-\d\dT[0-9:]+Z", "TIME"),
        (r"on \d{4}-\d\d-\d\d\b", "on DAY"),
        (r"after \d+s", "after SPAN"),
        (r"for \d+ min", "for SPAN"),
        (r"-[b-z2-9]{10}-[b-z2-9]{5}\b", "-POD"),
        // Whether the version before is known depends on what was seen first.
        (r"\S+ → (\S+ landed)", "$1"),
    ];
    parts.iter().fold(line.trim_end().to_owned(), |line, (pattern, word)| {
        regex::Regex::new(pattern).unwrap().replace_all(&line, *word).into_owned()
    })
}

/// What it printed is the story, in its order.
fn tells(story: &[&str], printed: &str) {
    let mut rest = printed;
    for line in story {
        let at = rest.find(line);
        let Some(at) = at else { panic!("no `{line}` (in this order) in\n{printed}") };
        rest = &rest[at + line.len()..];
    }
}

#[test]
fn it_tells_four_scenes_as_the_documentation_shows_them() {
    let home = tempfile::tempdir().unwrap();
    let ran = landfall(home.path(), &["demo", "--fast"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    let printed = ran.stdout.as_str();
    tells(SHORT, printed);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "it leaves nothing behind");
    let pauses = printed.matches("► ").count() - 2;
    // A reader has a second and a half for each scene; what is left of 20 seconds is for the machine.
    assert!((6..=9).contains(&pauses), "{pauses} pauses:\n{printed}");
    shows("demo", printed);
    the_recording_is_of(printed);
}

/// What the documentation's excerpts of this kind show is there, in their order.
fn shows(kind: &str, printed: &str) {
    for block in docs::of(&["text", kind]) {
        let mut lines = printed.lines().map(timeless);
        for line in block.text.lines().filter(|line| !line.is_empty()).map(timeless) {
            assert!(lines.any(|other| other == line), "{} shows `{line}` (in this order)\n{printed}", block.place);
        }
    }
}

/// docs/demo.svg shows these lines, in their order; what was too wide is cut off at `…`.
fn the_recording_is_of(printed: &str) {
    let svg = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/demo.svg")).unwrap();
    let mut real = printed.lines().map(timeless);
    let spans = regex::Regex::new("</?tspan[^>]*>").unwrap();
    let mut shown = 0;
    for line in svg.split("<text xml:space=\"preserve\"").skip(1) {
        let line = line.split_once('>').unwrap().1.split("</text>").next().unwrap();
        let line = spans.replace_all(line, "");
        let line = line
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#x27;", "'")
            .replace("&amp;", "&");
        // What varies may be longer or shorter, and is not where a line is cut.
        let cut = line.ends_with('…');
        let line = timeless(line.trim_end_matches('…'));
        let same = |other: &String| if cut { other.starts_with(&line[..line.len().min(60)]) } else { *other == line };
        assert!(
            real.any(|other| same(&other)),
            "docs/demo.svg shows `{line}`; make it anew with tests/recording\n{printed}"
        );
        shown += 1;
    }
    assert!(shown > 40, "only {shown} lines");
}

#[test]
fn it_tells_the_main_job_as_a_story_and_leaves_what_can_be_worked_on() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("world");
    let ran = landfall(home.path(), &["demo", "--full", "--fast", "--keep", "--folder", "world"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    tells(STORY, &ran.stdout);
    shows("demo-full", &ran.stdout);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "it writes nowhere else");
    let password = fs::read_to_string(folder.join("git-password")).unwrap();
    assert!(password.len() >= 16 && !ran.stdout.contains(&password), "{}", ran.stdout);
    fsck(&folder.join("git/deploys.git"));
    let list = landfall(&folder, &["pr", "list", "-o", "json"]).json();
    let numbers: Vec<&Value> = list["pullRequests"].as_array().unwrap().iter().map(|pull| &pull["number"]).collect();
    assert_eq!(numbers, [5, 3], "the newest first");
    let explained = landfall(&folder, &["explain", "apps/web/overlays/prod/kustomization.yaml"]).ends(0);
    explained.says("pull-request").says(".landfall/policies.yaml:");
    landfall(&folder, &["check"]).ends(0);
    git(&folder, &["clone", "--quiet", "git/deploys.git", "checkout"]);
    let scanned = landfall(&folder, &["scan", "checkout", "-o", "json"]).json();
    assert_eq!(scanned["pins"].as_array().unwrap().len(), 9, "{scanned:#}");
    // The registry has gone with the demo: the plan says so, and how old what it knows is.
    landfall(&folder, &["plan"]).ends(2).says("using the answer of 20");
    // So has the cluster: nothing is said to have landed any more.
    let status = landfall(&folder, &["status", "web", "-o", "json"]).json();
    // What Grace rolled back waits, cluster or not.
    let declared = |update: &&Value| update["state"] != "rejected" && update["state"] != "paused";
    for update in status["updates"].as_array().unwrap().iter().filter(declared) {
        assert_eq!((&update["state"], &update["cluster"]), (&"unknown".into(), &Value::Null), "{update:#}");
    }
    let merged = landfall(&folder, &["pr", "merge", "3"]);
    assert_eq!(merged.stdout, "✔ merged #3 into main\n", "{}", merged.stderr);
    // Never into a folder that is in use.
    let again = landfall(home.path(), &["demo", "--fast", "--folder", "world"]).ends(2);
    again.says("world is not empty").says("next: name a new folder");
}

/// App, environment, declared tag and state of everything that is followed in a cluster.
fn followed(folder: &Path) -> Vec<String> {
    let ran = landfall(folder, &["status", "-o", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    let status = ran.json();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let rows = status["updates"].as_array().unwrap().iter().filter(|row| row["cluster"] == "eu-1");
    rows.map(|row| {
        let words = [&row["app"], &row["environment"], &row["declared"]["tag"], &row["state"], &row["cause"]["code"]];
        words.map(text).join(" ")
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_sees_the_kept_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let clock = StoryClock::behind(Clock::system(), Tale::Full);
    let world = DemoWorld::create(folder.path(), &clock.reader()).await.unwrap();
    let teller = Teller {
        scene: &|_| {},
        line: &|_| {},
        report: &|_| {},
        alert: &|_, _| {},
        status: &|_, _| {},
        pause: std::time::Duration::ZERO,
    };
    tell(&world, &clock, &Environment::from_fn(|_| None), &teller, Tale::Full).await.unwrap();
    let now = || clock.reader().now();

    let rows = followed(folder.path());
    assert_eq!(rows.iter().filter(|row| row.contains(" landed ")).count(), 9, "{rows:#?}");
    // What a person does next with the kept world goes the way of the story.
    landfall(folder.path(), &["pr", "merge", "3"]).ends(0);
    let rows = followed(folder.path());
    assert!(rows.contains(&"api prod 2.2.2 pending not-fetched".to_owned()), "{rows:#?}");
    world.cluster.reconcile(now()).await.unwrap();
    let rows = followed(folder.path());
    assert!(rows.contains(&"api prod 2.2.2 landed -".to_owned()), "{rows:#?}");
    world.cluster.flux_suspend("worker-prod", Suspended::Yes).unwrap();
    landfall(folder.path(), &["pr", "merge", "5"]).ends(0);
    world.cluster.reconcile(now()).await.unwrap();
    let rows = followed(folder.path());
    assert!(rows.contains(&"worker prod v0.9.1 paused suspended".to_owned()), "{rows:#?}");
}
