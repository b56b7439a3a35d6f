//! The executor against a remote that is played in memory.

mod played;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use self::played::{MAIN, Meets, Played, PlayedPulls};
use super::{Attempt, Executor, FileChanges, Remote as _, retry_on_lost_race};
use crate::config::{PolicySource, RepositorySettings};
use crate::daemon::outcome::{ActionFailureCode, ActionOutcome, Step};
use crate::git::{ATTEMPTS, RefResult};
use crate::model::{
    BranchName, CommitId, FailureCode, Identity, PullRequest, PullState, RepoPath, Tag, UpdateId, Version,
};
use crate::overlay::scan_file;
use crate::plan::{
    Action, ActionKind, CloseAction, Gate, MergeAction, OpenPull, Plan, PullAction, Terms, Update, UpdateAction,
    UpdateWay,
};

type TestExecutor = Executor<Played, PlayedPulls>;

const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

fn world() -> (Played, TestExecutor) {
    let remote = Played::default();
    let files: Vec<(String, String)> = ["dev", "stage", "prod"].map(|name| (path(name), text("1.0.0"))).into();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let first = remote.commit_by("ann", &[], &files, "first");
    remote.set(MAIN, &first);
    let pulls = PlayedPulls { remote: remote.clone(), down: false, queued: None, then: None };
    (remote.clone(), Executor::new(Arc::new(settings("deploys")), remote, pulls))
}

/// The settings of a repository that is nowhere.
pub(in crate::daemon) fn settings(name: &str) -> RepositorySettings {
    RepositorySettings {
        messages: crate::policy::MessageTemplates::default(),
        signing: None,
        name: name.to_owned(),
        url: "https://git.example.com/deploys.git".to_owned(),
        aliases: Vec::new(),
        branch: branch("main"),
        branch_given: true,
        branches: std::collections::BTreeSet::new(),
        credentials: None,
        ca_file: None,
        client_certificate: None,
        timeout: None,
        author: Identity { name: "Landfall".to_owned(), email: "landfall@example.com".to_owned() },
        committer: Identity { name: "Landfall".to_owned(), email: "landfall@example.com".to_owned() },
        forge: Default::default(),
        policies: PolicySource::InRepository { path: RepoPath::parse(".landfall").unwrap() },
        caps: Vec::new(),
    }
}

fn branch(name: &str) -> BranchName {
    BranchName::parse(name).unwrap()
}

fn path(environment: &str) -> String {
    format!("web/{environment}/kustomization.yaml")
}

fn text(tag: &str) -> String {
    format!("images:\n  - name: ghcr.io/acme/web\n    newTag: {tag}\n")
}

/// The update of an environment from 1.0.0 to 1.1.0.
fn update(environment: &str) -> Update {
    let path = RepoPath::parse(&path(environment)).unwrap();
    let pin = scan_file(&path, text("1.0.0").as_bytes()).pins.pop().unwrap();
    let to = Version { tag: Some(Tag::parse("1.1.0").unwrap()), digest: None };
    let overlay = format!("web/{environment}");
    Update {
        id: UpdateId::of(&branch("main"), &overlay, environment, &pin.name, &to),
        app: "web".to_owned(),
        environment: Some(environment.to_owned()),
        policy: environment.to_owned(),
        policy_origin: None,
        overlay,
        image: pin.name.to_string(),
        name: pin.name.clone(),
        from: pin.version.clone(),
        to,
        pins: vec![Arc::new(pin)],
        source_url: None,
        source_revision: None,
        from_revision: None,
        land_within: None,
        promotion: None,
        passed: Vec::new(),
        age: None,
        verified: None,
        overridden: None,
        rollback: None,
        chart: None,
    }
}

/// An action of this kind that updates an environment.
pub(in crate::daemon) fn action(kind: ActionKind, environment: &str) -> Action {
    let (policy, group) = (environment.to_owned(), environment.to_owned());
    Action { kind, policy, environment: Some(environment.to_owned()), group, updates: vec![update(environment)] }
}

fn plan(remote: &Played, actions: Vec<Action>) -> Plan {
    let revision = remote.at(MAIN).unwrap();
    let rules = revision.clone();
    let (holds, problems) = (Vec::new(), Vec::new());
    Plan {
        branch: branch("main"),
        revision,
        main: branch("main"),
        rules,
        actions,
        holds,
        up_to_date: 0,
        unmanaged: 0,
        problems,
        sightings: BTreeSet::new(),
    }
}

fn commits(remote: &Played, environments: &[&str]) -> Plan {
    plan(remote, environments.iter().map(|environment| action(ActionKind::Commit, environment)).collect())
}

fn pull(environment: &str) -> PullAction {
    PullAction {
        head: branch(&format!("landfall/{environment}")),
        replaces: None,
        pushed: false,
        next: None,
        open: None,
        labels: Vec::new(),
        reviewers: Vec::new(),
        code_owners: false,
        draft: false,
        withdraw: Vec::new(),
        automerge: None,
    }
}

fn pulls(remote: &Played, environments: &[&str]) -> Plan {
    let action = |environment: &&str| action(ActionKind::PullRequest(pull(environment)), environment);
    plan(remote, environments.iter().map(action).collect())
}

/// Carries out the commits of a plan, which lose no race.
async fn done(executor: &TestExecutor, plan: &Plan) -> Vec<ActionOutcome> {
    let pushed = executor.commits(plan, NOW).await;
    assert_eq!(pushed.lost, None);
    pushed.outcomes
}

/// Carries them out as one attempt of several.
async fn attempt(executor: &TestExecutor, plan: &Plan) -> Result<Attempt<Vec<ActionOutcome>>, ()> {
    let pushed = executor.commits(plan, NOW).await;
    Ok(pushed.lost.map_or(Attempt::Over(pushed.outcomes), Attempt::LostRace))
}

/// How each action ended: `done`, or the kind of failure and what is said of it.
fn ends(outcomes: &[ActionOutcome]) -> Vec<(String, Option<ActionFailureCode>, String)> {
    let end = |outcome: &ActionOutcome| {
        let (code, said) = match &outcome.step {
            Step::Done(done) => (None, if done.verified { "verified" } else { "done" }.to_owned()),
            Step::Failed(failure) => (Some(failure.code), failure.message.clone()),
            Step::Planned { .. } => (None, "planned".to_owned()),
        };
        (outcome.action.group.clone(), code, said)
    };
    outcomes.iter().map(end).collect()
}

fn verified(environment: &str) -> (String, Option<ActionFailureCode>, String) {
    (environment.to_owned(), None, "verified".to_owned())
}

#[tokio::test]
async fn commits_stand_one_on_another_and_go_out_together() {
    let (remote, executor) = world();
    let plan = commits(&remote, &["dev", "prod"]);
    let outcomes = done(&executor, &plan).await;
    assert_eq!(ends(&outcomes), [verified("dev"), verified("prod")]);
    assert_eq!(remote.authors(MAIN), ["Landfall", "Landfall", "ann"]);
    let tip = remote.at(MAIN).unwrap();
    assert_eq!(
        outcomes.last().map(|last| &last.step),
        Some(&Step::Done(crate::daemon::outcome::Done { commit: tip.clone(), pull_request: None, verified: true }))
    );
    let texts = ["dev", "stage", "prod"].map(|environment| remote.text(&tip, &path(environment)));
    assert_eq!(texts, [text("1.1.0"), text("1.0.0"), text("1.1.0")]);
    assert_eq!(remote.world().events, ["push main"]);
}

/// Decisions are on the main branch: what is pushed to another one does not fail because that has moved.
#[tokio::test]
async fn a_decision_on_main_is_heard_before_another_branch_is_written() {
    let (remote, executor) = world();
    let main = remote.at(MAIN).unwrap();
    let there = remote.commit_by("ann", &[&main], &[], "production");
    remote.set("refs/heads/production", &there);
    let plan = Plan { branch: branch("production"), revision: there.clone(), ..commits(&remote, &["prod"]) };
    // The last but one: a file, or a link, in place of the folder.
    for (file, heard) in
        [(".landfall/freezes/prod.yaml", true), ("README.md", false), (".landfall", true), (".landfallish/x", false)]
    {
        remote.set(MAIN, &remote.commit_by("ann", &[&main], &[(file, "reason: stop\n")], "x"));
        remote.set("refs/heads/production", &there);
        let pushed = executor.commits(&plan, NOW).await;
        assert_eq!(pushed.lost.is_some(), heard, "{file}: {:?}", pushed.lost);
        assert_eq!(remote.at("refs/heads/production").as_ref() == Some(&there), heard, "{file}");
    }
}

#[tokio::test]
async fn after_a_lost_race_the_next_attempt_keeps_what_was_faster() {
    let (remote, executor) = world();
    let foreign = remote.commit_by("ben", &[&remote.at(MAIN).unwrap()], &[("README.md", "hello")], "faster");
    remote.world().meets.push_back(Meets::Race { name: MAIN.to_owned(), to: foreign.clone() });
    let raced =
        retry_on_lost_race(std::time::Duration::ZERO, async |_| attempt(&executor, &commits(&remote, &["dev"])).await);
    assert_eq!(ends(&raced.await.unwrap().unwrap()), [verified("dev")]);
    assert_eq!(remote.authors(MAIN), ["Landfall", "ben", "ann"]);
    assert_eq!(remote.world().events, ["push main", "push main"]);

    for _ in 0..ATTEMPTS {
        let faster = remote.commit_by("ben", &[&foreign], &[], "faster");
        remote.world().meets.push_back(Meets::Race { name: MAIN.to_owned(), to: faster });
    }
    remote.set(MAIN, &foreign);
    let raced =
        retry_on_lost_race(std::time::Duration::ZERO, async |_| attempt(&executor, &commits(&remote, &["dev"])).await);
    assert!(raced.await.unwrap().is_err(), "whoever is always faster is left alone");
    assert_eq!(remote.authors(MAIN), ["ben", "ben", "ann"]);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_and_not_tried_again() {
    let (remote, executor) = world();
    let before = remote.at(MAIN);
    remote.world().closed = Some(("web/prod/kustomization.yaml", "GH006: ask Dana first"));
    let [(_, code, said)] = &ends(&done(&executor, &commits(&remote, &["prod"])).await)[..] else { panic!() };
    assert_eq!(*code, Some(ActionFailureCode::Refused));
    assert!(said.contains("GH006: ask Dana first") && said.contains("main"), "{said}");
    assert_eq!((remote.at(MAIN), remote.world().events.len()), (before, 1));
}

#[tokio::test]
async fn one_commit_that_is_refused_holds_up_no_other() {
    let (remote, executor) = world();
    remote.world().closed = Some(("web/stage/kustomization.yaml", "stage is closed"));
    let outcomes = done(&executor, &commits(&remote, &["dev", "stage", "prod"])).await;
    let ends = ends(&outcomes);
    assert_eq!([&ends[0], &ends[2]], [&verified("dev"), &verified("prod")]);
    assert_eq!(ends[1].1, Some(ActionFailureCode::Refused));
    let tip = remote.at(MAIN).unwrap();
    let texts = ["dev", "stage", "prod"].map(|environment| remote.text(&tip, &path(environment)));
    assert_eq!(texts, [text("1.1.0"), text("1.0.0"), text("1.1.0")]);
}

#[tokio::test]
async fn what_no_commit_would_get_is_asked_for_once() {
    let (remote, mut executor) = world();
    for (code, asked_again) in
        [(FailureCode::Authentication, 1), (FailureCode::RateLimited, 1), (FailureCode::ConfigError, 0)]
    {
        remote.world().unmade = Some(code);
        remote.world().asked = 0;
        let outcomes = done(&executor, &commits(&remote, &["dev", "stage", "prod"])).await;
        assert_eq!(outcomes.iter().filter(|outcome| !outcome.is_done()).count(), 3);
        assert_eq!(remote.world().asked, 1, "{code:?}: three commits");
        let carried = executor.pull_requests(&pulls(&remote, &["dev", "prod"]), NOW).await;
        assert_eq!(carried.actions.iter().filter(|outcome| !outcome.is_done()).count(), 2);
        assert_eq!(remote.world().asked, 1 + asked_again, "{code:?}: two branches");
    }
    // What is wrong in the configuration is so for a while, and then it may have been put right.
    remote.world().unmade = None;
    let plan = commits(&remote, &["dev"]);
    for (minutes, is_done) in [(1, false), (11, true)] {
        let pushed = executor.commits(&plan, NOW + SignedDuration::from_mins(minutes)).await;
        assert_eq!(pushed.outcomes[0].is_done(), is_done, "after {minutes} min");
    }
}

#[tokio::test]
async fn what_is_refused_is_made_once_again_at_most() {
    let (remote, executor) = world();
    remote.world().has_maker = true;
    remote.world().closed = Some(("web/dev/kustomization.yaml", "dev is closed"));
    let plan = commits(&remote, &["dev", "stage", "prod"]);
    let ended = ends(&done(&executor, &plan).await);
    assert_eq!([&ended[1], &ended[2]], [&verified("stage"), &verified("prod")]);
    assert_eq!(remote.world().asked, 5, "the first stays, the others are made on other parents");
    // In the next cycles it is told, and neither made nor pushed.
    let pushes = remote.world().events.len();
    for (minutes, asked) in [(1, 5), (9, 5), (11, 6)] {
        let plan = commits(&remote, &["dev"]);
        let pushed = executor.commits(&plan, NOW + SignedDuration::from_mins(minutes)).await;
        let [(_, code, said)] = &ends(&pushed.outcomes)[..] else { panic!() };
        assert_eq!((*code, said.contains("dev is closed")), (Some(ActionFailureCode::Refused), true));
        assert_eq!(remote.world().asked, asked, "after {minutes} min");
        assert_eq!(remote.world().events.len(), pushes + asked - 5);
    }
}

#[tokio::test]
async fn one_by_one_what_is_made_already_is_not_made_again() {
    let (remote, executor) = world();
    remote.world().closed = Some(("web/prod/kustomization.yaml", "prod is closed"));
    let ended = ends(&done(&executor, &commits(&remote, &["dev", "stage", "prod"])).await);
    assert_eq!([&ended[0], &ended[1]], [&verified("dev"), &verified("stage")]);
    assert_eq!(remote.world().asked, 3);
}

#[tokio::test]
async fn one_by_one_a_lost_race_ends_it() {
    for meets in ["race", "nobody"] {
        let (remote, executor) = world();
        remote.world().closed = Some(("web/stage/kustomization.yaml", "stage is closed"));
        let plan = commits(&remote, &["dev", "stage", "prod"]);
        let foreign = remote.commit_by("ben", &[&plan.revision], &[], "faster");
        // The whole is refused, and then somebody is faster than the first one, or nobody answers.
        remote.world().meets.push_back(Meets::Race { name: "refs/heads/other".to_owned(), to: foreign.clone() });
        remote.world().meets.push_back(match meets {
            "race" => Meets::Race { name: MAIN.to_owned(), to: foreign },
            _ => Meets::Nobody,
        });
        let ended = ends(&executor.commits(&plan, NOW).await.outcomes);
        let code = if meets == "race" { ActionFailureCode::LostRace } else { ActionFailureCode::FetchFailed };
        assert_eq!(ended.iter().map(|(_, failed, _)| *failed).collect::<Vec<_>>(), [Some(code); 3], "{meets}");
        assert_eq!(remote.world().events.len(), 2, "{meets}");
        assert_eq!(remote.world().asked, 3, "{meets}");
    }
}

#[tokio::test]
async fn what_takes_long_to_make_is_pushed_in_parts_or_waits_for_the_next_cycle() {
    let (remote, mut executor) = world();
    executor.pace.before_push = Duration::ZERO;
    let outcomes = done(&executor, &commits(&remote, &["dev", "stage", "prod"])).await;
    assert_eq!(ends(&outcomes), [verified("dev"), verified("stage"), verified("prod")]);
    assert_eq!(remote.world().events, ["push main", "push main", "push main"]);
    assert_eq!(remote.authors(MAIN), ["Landfall", "Landfall", "Landfall", "ann"]);

    let (remote, mut executor) = world();
    remote.world().hangs = true;
    executor.pace.for_one = Duration::from_millis(1);
    let ended = ends(&done(&executor, &commits(&remote, &["dev", "stage"])).await);
    assert_eq!(ended.iter().map(|(_, code, _)| *code).collect::<Vec<_>>(), [Some(ActionFailureCode::FetchFailed); 2]);
    assert!(ended[0].2.contains("has not made a commit within 1ms"), "{ended:?}");
    assert_eq!(remote.world().asked, 1);
}

#[tokio::test]
async fn the_remotes_ref_and_not_the_answer_says_whether_it_is_done() {
    // The push landed, its answer was lost.
    let (remote, executor) = world();
    remote.world().meets.push_back(Meets::LostAnswer);
    assert_eq!(ends(&done(&executor, &commits(&remote, &["dev"])).await), [verified("dev")]);

    // Nothing landed: not done, and not refused either.
    let (remote, executor) = world();
    let before = remote.at(MAIN);
    remote.world().meets.push_back(Meets::Nobody);
    let ended = ends(&done(&executor, &commits(&remote, &["dev"])).await);
    assert_eq!((ended[0].1, remote.at(MAIN)), (Some(ActionFailureCode::FetchFailed), before));

    // The server says yes, and its branch does not have the commit.
    let (remote, executor) = world();
    remote.world().meets.push_back(Meets::Lie);
    assert_eq!(ends(&done(&executor, &commits(&remote, &["dev"])).await)[0].1, Some(ActionFailureCode::Refused));

    // The server says yes, and somebody's commit stands there instead: a lost race.
    let (remote, executor) = world();
    let foreign = remote.commit_by("ben", &[&remote.at(MAIN).unwrap()], &[], "faster");
    let plan = commits(&remote, &["dev"]);
    remote.set(MAIN, &foreign);
    remote.world().meets.push_back(Meets::Lie);
    assert!(executor.commits(&plan, NOW).await.lost.is_some());
}

#[tokio::test]
async fn a_lost_race_tells_of_every_commit_and_keeps_what_cannot_be_edited() {
    let (remote, executor) = world();
    let changed = remote.commit_by("ben", &[&remote.at(MAIN).unwrap()], &[(&path("dev"), &text("0.9.0"))], "by hand");
    remote.set(MAIN, &changed);
    let to = remote.commit_by("ben", &[&changed], &[], "faster");
    remote.world().meets.push_back(Meets::Race { name: MAIN.to_owned(), to });
    let pushed = executor.commits(&commits(&remote, &["dev", "stage", "prod"]), NOW).await;
    assert!(pushed.lost.is_some());
    let codes: Vec<_> = ends(&pushed.outcomes).into_iter().map(|(group, code, _)| (group, code)).collect();
    let expected = [
        ("dev", ActionFailureCode::NotAsPlanned),
        ("stage", ActionFailureCode::LostRace),
        ("prod", ActionFailureCode::LostRace),
    ];
    assert_eq!(codes, expected.map(|(group, code)| (group.to_owned(), Some(code))));
}

#[tokio::test]
async fn what_a_file_has_become_is_not_overwritten() {
    let (remote, executor) = world();
    let changed = [(path("dev"), text("0.9.0"))];
    let changed: Vec<(&str, &str)> = changed.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let by_hand = remote.commit_by("ben", &[&remote.at(MAIN).unwrap()], &changed, "by hand");
    remote.set(MAIN, &by_hand);
    let ended = ends(&done(&executor, &commits(&remote, &["dev", "prod"])).await);
    assert!(ended.contains(&verified("prod")), "{ended:?}");
    assert!(ended.iter().any(|(group, code, _)| group == "dev" && *code == Some(ActionFailureCode::NotAsPlanned)));
    assert_eq!(remote.text(&remote.at(MAIN).unwrap(), &path("dev")), text("0.9.0"));
}

#[tokio::test]
async fn a_pull_request_is_opened_when_its_branch_is_there() {
    let (remote, mut executor) = world();
    let carried = executor.pull_requests(&pulls(&remote, &["dev", "prod"]), NOW).await;
    assert_eq!(ends(&carried.actions), [verified("dev"), verified("prod")]);
    let events = ["push landfall/dev landfall/prod", "open landfall/dev", "open landfall/prod"];
    assert_eq!(remote.world().events, events);
    let tips: Vec<Option<CommitId>> = carried.pushed.iter().map(|pushed| remote.at(&pushed.head.full())).collect();
    assert_eq!(tips, carried.pushed.iter().map(|pushed| Some(pushed.tip.clone())).collect::<Vec<_>>());
    assert_eq!(remote.authors(MAIN), ["ann"], "the base has not moved");
}

#[tokio::test]
async fn a_forge_that_fails_leaves_the_branch_and_says_so() {
    let (remote, mut executor) = world();
    executor.pulls_mut().down = true;
    let carried = executor.pull_requests(&pulls(&remote, &["dev"]), NOW).await;
    let [(_, code, said)] = &ends(&carried.actions)[..] else { panic!() };
    assert_eq!((*code, said.as_str()), (Some(ActionFailureCode::FetchFailed), "HTTP 502"));
    assert_eq!(carried.pushed.len(), 1, "the session knows of the branch");
    // The next cycle finds the branch as it should be and only opens the pull request.
    executor.pulls_mut().down = false;
    let mut again = pulls(&remote, &["dev"]);
    let ActionKind::PullRequest(pull) = &mut again.actions[0].kind else { panic!() };
    (pull.replaces, pull.pushed) = (remote.at("refs/heads/landfall/dev"), true);
    assert_eq!(ends(&executor.pull_requests(&again, NOW).await.actions), [verified("dev")]);
    assert_eq!(remote.world().events, ["push landfall/dev", "open landfall/dev", "open landfall/dev"]);
}

#[tokio::test]
async fn no_pull_request_is_opened_for_a_branch_that_is_somebody_elses() {
    let (remote, mut executor) = world();
    let plan = pulls(&remote, &["dev"]);
    let foreign = remote.commit_by("ben", &[&remote.at(MAIN).unwrap()], &[], "mine");
    remote.set("refs/heads/landfall/dev", &foreign);
    let carried = executor.pull_requests(&plan, NOW).await;
    assert_eq!(ends(&carried.actions)[0].1, Some(ActionFailureCode::LostRace));
    assert_eq!(remote.world().events, ["push landfall/dev"]);
    assert_eq!((remote.at("refs/heads/landfall/dev"), carried.pushed), (Some(foreign), Vec::new()));
}

/// The pull request of `dev`.
fn opened() -> PullRequest {
    PullRequest {
        number: 7,
        url: "https://forge.example.com/7".to_owned(),
        state: PullState::Open,
        title: String::new(),
        body: String::new(),
        head: branch("landfall/dev"),
        base: branch("main"),
        head_commit: None,
        draft: false,
        labels: Vec::new(),
        closed_at: None,
        updated_at: None,
    }
}

#[tokio::test]
async fn what_cannot_be_rewritten_goes_on_under_the_next_name() {
    const NEXT: &str = "refs/heads/landfall/dev-2";
    let (remote, mut executor) = world();
    let before = remote.commit_by("Landfall", &[&remote.at(MAIN).unwrap()], &[(&path("dev"), &text("1.0.1"))], "old");
    remote.set("refs/heads/landfall/dev", &before);
    remote.world().no_rewrites = true;
    let mut plan = pulls(&remote, &["dev", "prod"]);
    let ActionKind::PullRequest(pull) = &mut plan.actions[0].kind else { panic!() };
    (pull.replaces, pull.next) = (Some(before.clone()), Some(branch("landfall/dev-2")));
    (pull.open, pull.withdraw) = (Some(Box::new(opened())), vec!["lgtm".to_owned()]);

    // Without a forge the branch is there, and the next cycle finds it; the old pull request stays until then.
    executor.pulls_mut().down = true;
    let mut unlabelled = plan.clone();
    let ActionKind::PullRequest(pull) = &mut unlabelled.actions[0].kind else { panic!() };
    pull.withdraw.clear();
    let carried = executor.pull_requests(&unlabelled, NOW).await;
    let [_, (_, code, said)] = &ends(&carried.actions)[..] else { panic!("{:?}", carried.actions) };
    assert_eq!(*code, Some(ActionFailureCode::FetchFailed));
    assert!(said.contains("landfall/dev: non-fast-forward; and then: HTTP 502"), "{said}");
    assert_eq!(remote.at("refs/heads/landfall/dev"), Some(before));
    assert!(remote.at(NEXT).is_some());
    remote.world().refs.remove(NEXT);
    remote.world().refs.remove("refs/heads/landfall/prod");
    remote.world().events.clear();

    executor.pulls_mut().down = false;
    let carried = executor.pull_requests(&plan, NOW).await;
    let heads: Vec<_> = carried.actions.iter().map(|done| (done.action.kind.as_str(), done.is_done())).collect();
    assert_eq!(heads, [("pull-request", true), ("pull-request", true), ("close", true)]);
    let events = [
        "take lgtm off #7",
        "push landfall/dev landfall/prod",
        "open landfall/prod",
        "push landfall/dev-2",
        "open landfall/dev-2",
        "close #7",
        "push landfall/dev",
    ];
    assert_eq!(remote.world().events, events);
    let tip = remote.at(NEXT).unwrap();
    assert_eq!(remote.log(&tip, None, 1).unwrap()[0].parents, [remote.at(MAIN).unwrap()], "one commit on the base");
    assert_eq!(remote.at("refs/heads/landfall/dev"), None);
}

#[tokio::test]
async fn approving_labels_are_off_before_the_branch_moves() {
    let (remote, mut executor) = world();
    let labelled = |remote: &Played| {
        let mut plan = pulls(remote, &["dev"]);
        let ActionKind::PullRequest(pull) = &mut plan.actions[0].kind else { panic!() };
        (pull.open, pull.withdraw) = (Some(Box::new(opened())), vec!["lgtm".to_owned()]);
        plan
    };
    executor.pulls_mut().down = true;
    let carried = executor.pull_requests(&labelled(&remote), NOW).await;
    assert_eq!(ends(&carried.actions)[0].1, Some(ActionFailureCode::FetchFailed));
    assert_eq!(remote.at("refs/heads/landfall/dev"), None, "it would be approved by its label");
    executor.pulls_mut().down = false;
    assert_eq!(ends(&executor.pull_requests(&labelled(&remote), NOW).await.actions), [verified("dev")]);
    let events = ["take lgtm off #7", "take lgtm off #7", "push landfall/dev", "open landfall/dev"];
    assert_eq!(remote.world().events, events);
}

#[tokio::test]
async fn what_was_merged_meanwhile_is_not_opened_again() {
    let (remote, mut executor) = world();
    let plan = pulls(&remote, &["dev"]);
    let merged = [(path("dev"), text("1.1.0"))];
    let merged: Vec<(&str, &str)> = merged.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let merged = remote.commit_by("other bot", &[&remote.at(MAIN).unwrap()], &merged, "merged");
    remote.set(MAIN, &merged);
    let carried = executor.pull_requests(&plan, NOW).await;
    assert_eq!(ends(&carried.actions)[0].1, Some(ActionFailureCode::LostRace));
    assert_eq!(remote.at("refs/heads/landfall/dev"), None, "the branch is taken back");
    assert_eq!(remote.world().events, ["push landfall/dev", "push landfall/dev"]);
}

/// A remote with the open pull request of `dev`, and the plan that merges it.
async fn proposed() -> (Played, TestExecutor, Plan) {
    let (remote, mut executor) = world();
    let carried = executor.pull_requests(&pulls(&remote, &["dev"]), NOW).await;
    assert_eq!(ends(&carried.actions), [verified("dev")]);
    remote.world().events.clear();
    let plan = merging(&remote);
    (remote, executor, plan)
}

fn open(remote: &Played) -> OpenPull {
    let head = branch("landfall/dev");
    let tip = remote.at(&head.full()).unwrap();
    OpenPull { number: 7, url: "https://forge.example.com/7".to_owned(), body: String::new(), head, tip }
}

fn merging(remote: &Played) -> Plan {
    let terms = Terms { method: None, approvals: 0, labels: Vec::new(), checks: Vec::new(), draft: false };
    let merge = MergeAction { pull: open(remote), terms, review_within: None };
    plan(remote, vec![action(ActionKind::Merge(merge), "dev")])
}

#[tokio::test]
async fn a_merge_is_seen_on_the_base_and_its_branch_goes() {
    let (remote, mut executor, plan) = proposed().await;
    let carried = executor.pull_requests(&plan, NOW).await;
    assert_eq!(ends(&carried.actions), [verified("dev")]);
    assert_eq!(remote.text(&remote.at(MAIN).unwrap(), &path("dev")), text("1.1.0"));
    assert_eq!(remote.at("refs/heads/landfall/dev"), None);
    assert_eq!(remote.world().events, ["merge #7", "push landfall/dev"]);
}

#[tokio::test]
async fn only_what_the_bot_writes_is_merged() {
    const HEAD: &str = "refs/heads/landfall/dev";
    type Tamper = fn(&Played, &CommitId, &CommitId, &str) -> CommitId;
    let tampers: [(&str, Tamper); 4] = [
        ("x has changes that the bot did not write", |remote, base, _, message| {
            remote.commit_by("Landfall", &[base], &[(&path("dev"), &text("1.1.0")), ("x", "x")], message)
        }),
        ("it has 0 parents", |remote, base, tip, message| {
            let other = remote.commit_by("eve", &[base], &[], "other");
            remote.commit_by("Landfall", &[base, &other], &[(&path("dev"), &remote.text(tip, &path("dev")))], message)
        }),
        ("other commits below its own", |remote, base, _, message| {
            let below = remote.commit_by("eve", &[base], &[("x", "x")], "below");
            remote.commit_by("Landfall", &[&below], &[(&path("dev"), &text("1.1.0"))], message)
        }),
        ("records something else", |remote, base, _, message| {
            let message = format!("{message}Landfall-Release: 0123456789abcdef\n");
            remote.commit_by("Landfall", &[base], &[(&path("dev"), &text("1.1.0"))], &message)
        }),
    ];
    for (why, tamper) in tampers {
        let (remote, mut executor, plan) = proposed().await;
        let (base, tip) = (plan.revision, remote.at(HEAD).unwrap());
        let message = remote.log(&tip, None, 1).unwrap().remove(0).message;
        remote.set(HEAD, &tamper(&remote, &base, &tip, &message));
        let carried = executor.pull_requests(&merging(&remote), NOW).await;
        let [hold] = &carried.holds[..] else { panic!("{why}: {:?}", carried.actions) };
        assert!(hold.gate == Gate::Approval && hold.reason.contains(why), "{why}: {}", hold.reason);
        assert_eq!(remote.world().events, [""; 0], "{why}: the forge is not asked, the branch stays");
    }
}

#[tokio::test]
async fn nothing_is_merged_over_what_has_changed_since() {
    let by_hand = text("1.0.5");
    for (file, text, merged) in [
        (path("dev"), by_hand.as_str(), false),
        (".landfall/policies.yaml".to_owned(), "policies: []", false),
        (".landfall/freezes/all.yaml".to_owned(), "reason: x", false),
        (path("prod"), by_hand.as_str(), true),
    ] {
        let (remote, mut executor, plan) = proposed().await;
        let moved = remote.commit_by("ben", &[&plan.revision], &[(&file, text)], "by hand");
        remote.set(MAIN, &moved);
        let carried = executor.pull_requests(&plan, NOW).await;
        assert_eq!((carried.actions.len(), carried.holds.len()), if merged { (1, 0) } else { (0, 1) }, "{file}");
        assert_eq!(remote.world().events.contains(&"merge #7".to_owned()), merged, "{file}");
    }
}

#[tokio::test]
async fn a_branch_with_somebodys_commit_is_not_deleted() {
    const HEAD: &str = "refs/heads/landfall/dev";
    let (remote, mut executor, plan) = proposed().await;
    let pushed = remote.commit_by("ben", &[&remote.at(HEAD).unwrap()], &[("x", "x")], "one more");
    executor.pulls_mut().then = Some((HEAD.to_owned(), pushed.clone()));
    let carried = executor.pull_requests(&plan, NOW).await;
    assert_eq!((ends(&carried.actions), remote.at(HEAD)), (vec![verified("dev")], Some(pushed)));

    // A pull request whose branch somebody has pushed to is theirs: it is not even closed.
    let (remote, mut executor, _) = proposed().await;
    let close = CloseAction { pull: open(&remote), reasons: vec!["it is obsolete".to_owned()] };
    let plan = plan_of_close(&remote, close);
    let pushed = remote.commit_by("ben", &[&remote.at(HEAD).unwrap()], &[("x", "x")], "one more");
    remote.set(HEAD, &pushed);
    let carried = executor.pull_requests(&plan, NOW).await;
    assert_eq!((carried.actions.len(), remote.at(HEAD)), (0, Some(pushed)));
    assert_eq!(remote.world().events, [""; 0]);
}

fn plan_of_close(remote: &Played, close: CloseAction) -> Plan {
    plan(remote, vec![action(ActionKind::Close(close), "dev")])
}

#[tokio::test]
async fn a_closing_is_done_when_the_branch_is_gone() {
    const HEAD: &str = "refs/heads/landfall/dev";
    for (meets, end) in [(None, "verified"), (Some(Meets::Nobody), "done")] {
        let (remote, mut executor, _) = proposed().await;
        let close = CloseAction { pull: open(&remote), reasons: vec!["it is obsolete".to_owned()] };
        let plan = plan_of_close(&remote, close);
        remote.world().meets.extend(meets);
        let carried = executor.pull_requests(&plan, NOW).await;
        assert_eq!(ends(&carried.actions), [("dev".to_owned(), None, end.to_owned())]);
        assert_eq!(remote.at(HEAD).is_none(), end == "verified");
    }
}

#[tokio::test]
async fn a_decision_is_its_persons_commit_and_no_older_than_the_tip() {
    let (remote, executor) = world();
    let put = [(RepoPath::parse(".landfall/freezes/all.yaml").unwrap(), b"reason: x\n".to_vec())];
    let change = FileChanges { put: &put, remove: &[], message: "freeze all" };
    let tip = remote.at(MAIN).unwrap();
    let (commit, pushed) = executor.write((&branch("main"), &tip), ("dana", NOW), change).await.unwrap();
    assert_eq!((pushed, remote.at(MAIN)), (RefResult::Updated, Some(commit.clone())));
    let (next, pushed) = executor
        .write((&branch("main"), &commit), ("ann", Timestamp::UNIX_EPOCH), FileChanges { put: &[], ..change })
        .await
        .unwrap();
    assert_eq!(pushed, RefResult::Updated);
    let [first, second] = [&commit, &next].map(|commit| remote.log(commit, None, 1).unwrap().remove(0));
    assert_eq!((first.author.name.as_str(), first.committer.name.as_str(), first.time), ("dana", "Landfall", NOW));
    assert_eq!((second.author.name.as_str(), second.time), ("ann", NOW), "decided later, dated later");
    let stale = executor.write((&branch("main"), &tip), ("ben", NOW), change).await.unwrap().1;
    assert!(matches!(stale, RefResult::LostRace { .. }) && remote.at(MAIN) == Some(next), "{stale:?}");
}

#[tokio::test]
async fn a_branch_gets_what_its_base_has_unless_somebody_is_faster_or_it_is_in_a_queue() {
    for (way, parents) in [(UpdateWay::Anew, 1), (UpdateWay::Merge, 2)] {
        let (remote, mut executor, _) = proposed().await;
        let base = remote.commit_by("ann", &[&remote.at(MAIN).unwrap()], &[("README.md", "hello")], "moved");
        remote.set(MAIN, &base);
        let plan = |remote: &Played| {
            let update = UpdateAction { pull: open(remote), way };
            plan(remote, vec![action(ActionKind::Update(update), "dev")])
        };
        let planned = plan(&remote);
        executor.pulls_mut().queued = Some(7);
        let carried = executor.pull_requests(&planned, NOW).await;
        assert_eq!((carried.actions.len(), carried.holds.len()), (0, 1));
        executor.pulls_mut().queued = None;
        let before = remote.at("refs/heads/landfall/dev").unwrap();
        let theirs = remote.commit_by("ben", &[&before], &[("x", "y")], "mine");
        remote.world().meets.push_back(Meets::Race { name: "refs/heads/landfall/dev".to_owned(), to: theirs.clone() });
        let carried = executor.pull_requests(&planned, NOW).await;
        assert_eq!(ends(&carried.actions)[0].1, Some(ActionFailureCode::LostRace));
        assert_eq!(remote.at("refs/heads/landfall/dev"), Some(theirs));
        remote.set("refs/heads/landfall/dev", &before);
        let carried = executor.pull_requests(&planned, NOW).await;
        assert_eq!(ends(&carried.actions), [verified("dev")]);
        let tip = remote.at("refs/heads/landfall/dev").unwrap();
        assert_eq!(remote.log(&tip, None, 1).unwrap()[0].parents.len(), parents);
        let texts = [path("dev"), "README.md".to_owned()].map(|path| remote.text(&tip, &path));
        assert_eq!(texts, [text("1.1.0"), "hello".to_owned()]);
        // And that is what the proof before a merge takes.
        let carried = executor.pull_requests(&merging(&remote), NOW).await;
        assert_eq!(ends(&carried.actions), [verified("dev")]);
    }
}
