//! The life of pull requests as tables: what is merged, what waits and for what, what ends.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::*;
use crate::config::parse_policies;
use crate::model::{
    CheckState, Checks, Digest, ImageName, Listing, Manifest, Pin, RepoPath, Review, ReviewState, Reviews, SkipReason,
    Skipped, Tag, Version, Weight,
};
use crate::overlay::scan_file;
use crate::plan::{
    Answers, Decisions, HistoryQuery, Ledger, Origin, Plan, Planned, PromotionRequest, Queries, RegistryQuery,
    SoakStates, plan,
};
use crate::policy::PolicySet;

const POLICIES: &str = r#"
policies:
  - name: prod
    paths: ["apps/{app}/prod/**"]
    environment: prod
    write: pull-request
    tags: { semver: "*" }
    reviewWithin: 2d
    pullRequest: { labels: [release], reviewers: [acme/sre], automerge: true, approvals: 1, checks: [ci] }
"#;

const WEB: &str = "apps/web/prod/pod.yaml";
const API: &str = "apps/api/prod/pod.yaml";

struct World {
    pins: Vec<Arc<Pin>>,
    skipped: Vec<Skipped>,
    policies: PolicySet,
    answers: Answers,
    heads: BTreeMap<String, Head>,
    request: Option<PromotionRequest>,
    now: Timestamp,
}

fn commit(digit: char) -> CommitId {
    CommitId::parse(&digit.to_string().repeat(40)).unwrap()
}

fn main_branch() -> BranchName {
    BranchName::parse("main").unwrap()
}

fn name(image: &str) -> ImageName {
    ImageName::parse(image).unwrap()
}

fn pins(files: &[(&str, &str)]) -> Vec<Arc<Pin>> {
    let mut pins = Vec::new();
    for (path, image) in files {
        let path = RepoPath::parse(path).unwrap();
        let text = format!("kind: Pod\napiVersion: v1\nspec:\n  containers:\n  - name: a\n    image: {image}\n");
        pins.extend(scan_file(&path, text.as_bytes()).pins.into_iter().map(Arc::new));
    }
    pins
}

fn policy_set(text: &str) -> PolicySet {
    PolicySet::new(parse_policies("policies.yaml", text).unwrap())
}

fn head_of(app: &str) -> BranchName {
    crate::plan::head_branch(&main_branch(), "prod", Some("prod"), app).unwrap()
}

/// Nobody knows who wrote what is there: it is older than the history.
fn origins(pins: &[Arc<Pin>]) -> std::collections::HashMap<HistoryQuery, Answer<Origin>> {
    pins.iter().map(|pin| (HistoryQuery::from(pin.as_ref()), Answer::Known(Origin::Older))).collect()
}

impl World {
    /// One app at 1.0.0; nothing is known but that 1.1.0 is there.
    fn new(policies: &str, files: &[(&str, &str)]) -> Self {
        let now = "2026-01-05T12:00:00Z".parse().unwrap();
        let mut world = Self {
            pins: pins(files),
            skipped: Vec::new(),
            policies: policy_set(policies),
            answers: Answers { origins: origins(&pins(files)), ..Answers::default() },
            heads: BTreeMap::new(),
            request: None,
            now,
        };
        for image in ["acme/web", "acme/api"] {
            world.tags(image, &["1.0.0", "1.1.0"]);
        }
        world.answers.queue = Some(Answer::Absent { message: "no queue".to_owned() });
        world.answers.open = Some(Answer::Known(Vec::new()));
        world.answers.closed = Some(Answer::Known(Vec::new()));
        for app in ["web", "api", "all"] {
            drop(world.answers.pulls.insert(head_of(app), Answer::Known(Vec::new())));
        }
        world
    }

    fn tags(&mut self, image: &str, tags: &[&str]) {
        let tag = |text: &&str| Tag::parse(text).unwrap();
        let listing = Listing { tags: Arc::new(tags.iter().map(tag).collect()), dropped: 0, at: self.now };
        drop(self.answers.listings.insert(name(image), Answer::Known(listing)));
        for ((_, tag), answer) in self.answers.manifests.iter_mut().filter(|((of, _), _)| *of == name(image)) {
            if !tags.contains(&tag.as_str()) {
                *answer = Answer::Absent { message: "manifest unknown".to_owned() };
            }
        }
        let digest = Digest::parse(&format!("sha256:{}", "ab".repeat(32))).unwrap();
        for text in tags {
            let manifest = Manifest {
                digest: digest.clone(),
                images: Vec::new(),
                platforms: vec!["linux/amd64".to_owned()],
                created: None,
                artifact: None,
                annotations: BTreeMap::new(),
            };
            drop(self.answers.digests.insert((name(image), tag(text)), Answer::Known(digest.clone())));
            drop(self.answers.manifests.insert((name(image), tag(text)), Answer::Known(manifest)));
        }
    }

    fn planned(&self) -> Planned {
        let mut answers = self.answers.clone();
        // Nobody has ever decided anything about what is written.
        let older = || Answer::Known(crate::plan::Origin::Older);
        for pin in &self.pins {
            answers.origins.entry(HistoryQuery::from(pin.as_ref())).or_insert_with(older);
        }
        plan(&Snapshot {
            repository: "deploys",
            branch: &main_branch(),
            revision: &commit('1'),
            main: &main_branch(),
            rules: &commit('1'),
            pins: &self.pins,
            policies: &self.policies,
            answers: &answers,
            ledger: &Ledger::default(),
            skipped: &self.skipped,
            refs: &BTreeMap::new(),
            heads: &self.heads,
            soaks: &SoakStates::default(),
            decisions: &Decisions::default(),
            request: self.request.as_ref(),
            gathered: None,
            failed: None,
            tags: None,
            filter_time: None,
            now: self.now,
        })
    }

    fn plan(&self) -> Plan {
        let planned = self.planned();
        assert!(planned.queries.is_empty(), "queries {:?}", planned.queries);
        planned.plan
    }

    /// Does what the plan says: every proposed branch is there, with its pull request, made a day ago.
    fn proposed(mut self) -> Self {
        let actions = self.plan().actions;
        assert!(!actions.is_empty(), "nothing to propose");
        for (at, action) in actions.iter().enumerate() {
            let ActionKind::PullRequest(pull) = &action.kind else { panic!("{action:?}") };
            let number = u64::try_from(at).unwrap() + 1;
            let message =
                crate::message::commit_message(&action.policy, action.environment.as_deref(), &action.updates);
            let body = crate::message::pull_body(&action.updates, pull.automerge.as_ref(), &pull.head);
            let head = Head {
                updates: ids_of(&action.updates),
                carries: carried(&message),
                made: Some(self.now - SignedDuration::from_hours(24)),
                since: Some(self.now - SignedDuration::from_hours(24)),
                ..Head::merged(&commit('5'))
            };
            drop(self.heads.insert(pull.head.to_string(), head));
            let open = PullRequest {
                number,
                url: format!("https://github.example.com/pull/{number}"),
                state: PullState::Open,
                title: String::new(),
                body,
                head: pull.head.clone(),
                base: main_branch(),
                head_commit: Some(commit('5')),
                draft: false,
                labels: pull.labels.clone(),
                closed_at: None,
                updated_at: None,
            };
            self.open_list().push(open.clone());
            drop(self.answers.pulls.insert(pull.head.clone(), Answer::Known(vec![open])));
        }
        self
    }

    fn open_list(&mut self) -> &mut Vec<PullRequest> {
        match &mut self.answers.open {
            Some(Answer::Known(open)) => open,
            other => panic!("{other:?}"),
        }
    }

    /// Changes the pull request of an app.
    fn pull(&mut self, app: &str, change: impl Fn(&mut PullRequest)) {
        let head = head_of(app);
        if let Some(Answer::Known(pulls)) = self.answers.pulls.get_mut(&head) {
            pulls.iter_mut().for_each(&change);
        }
        self.open_list().iter_mut().filter(|pull| pull.head == head).for_each(&change);
    }

    fn reviews(&mut self, number: u64, reviews: &[(&str, &str, char)]) {
        let review = |(by, word, at): &(&str, &str, char)| Review {
            by: (*by).to_owned(),
            state: ReviewState::parse(word),
            commit: Some(commit(*at)),
            weight: Weight::Counts,
        };
        drop(self.answers.reviews.insert(number, Answer::Known(Reviews::of(reviews.iter().map(review)))));
    }

    fn checks(&mut self, checks: &[(&str, CheckState)]) {
        let mut all = Checks::default();
        checks.iter().for_each(|(name, state)| all.add(name, state.clone()));
        drop(self.answers.checks.insert(commit('5'), Answer::Known(all)));
    }

    /// A pull request of web that has all it needs.
    fn ready(policies: &str) -> Self {
        let mut world = Self::new(policies, &[(WEB, "acme/web:1.0.0")]).proposed();
        world.reviews(1, &[("ann", "APPROVED", '5')]);
        world.checks(&[("ci", CheckState::Passed)]);
        world
    }
}

/// What the plan does about open pull requests, in words.
fn done(plan: &Plan) -> Vec<String> {
    let word = |action: &Action| match &action.kind {
        ActionKind::Commit => "commit".to_owned(),
        ActionKind::PullRequest(pull) => format!("propose {}", pull.head),
        ActionKind::Merge(merge) => format!("merge #{} at {}", merge.pull.number, merge.pull.tip.short()),
        ActionKind::Close(close) => format!("close #{}: {}", close.pull.number, close.reasons.join("; ")),
        ActionKind::Remind(remind) => format!("remind of #{}", remind.pull.number),
        ActionKind::Dequeue(dequeue) => format!("dequeue #{}: {}", dequeue.pull.number, dequeue.reason),
        ActionKind::Update(update) => format!("update #{} ({:?})", update.pull.number, update.way),
    };
    plan.actions.iter().map(word).collect()
}

fn waits(plan: &Plan) -> Vec<String> {
    plan.holds.iter().map(|hold| format!("{}: {}", hold.gate.as_str(), hold.reason)).collect()
}

#[test]
fn it_is_merged_when_all_is_there() {
    let world = World::ready(POLICIES);
    let plan = world.plan();
    assert_eq!((done(&plan), waits(&plan)), (vec!["merge #1 at 5555555".to_owned()], vec![]));
    let ActionKind::Merge(merge) = &plan.actions[0].kind else { panic!("{plan:?}") };
    assert_eq!((plan.actions[0].updates.len(), &merge.pull.head), (1, &head_of("web")));
    assert_eq!(merge.review_within, Some(Duration::from_secs(172_800)), "a refusal is a review that waits");
}

/// Each thing that is missing, or not known, keeps it open and says so.
#[test]
fn it_waits_for_exactly_what_is_missing() {
    type Change = fn(&mut World);
    let table: &[(&str, Change)] = &[
        ("it is a draft", |world| world.pull("web", |pull| pull.draft = true)),
        ("does not show the last commit", |world| world.pull("web", |pull| pull.head_commit = None)),
        ("does not show the last commit", |world| world.pull("web", |pull| pull.head_commit = Some(commit('6')))),
        ("it has 0 of 1 approvals", |world| world.reviews(1, &[])),
        ("it has 0 of 1 approvals; ann approved an earlier commit", |world| {
            world.reviews(1, &[("ann", "APPROVED", '4')]);
        }),
        ("it has 0 of 1 approvals", |world| world.reviews(1, &[("ann", "APPROVED", '5'), ("ann", "DISMISSED", '5')])),
        ("ben asked for changes", |world| {
            world.reviews(1, &[("ann", "APPROVED", '5'), ("ben", "CHANGES_REQUESTED", '4')]);
        }),
        ("the review of ben says `BLESSED`, which is not a known state", |world| {
            world.reviews(1, &[("ann", "APPROVED", '5'), ("ben", "BLESSED", '5')]);
        }),
        ("check ci has not finished", |world| world.checks(&[("ci", CheckState::Pending)])),
        ("check ci failed", |world| world.checks(&[("ci", CheckState::Failed)])),
        ("check ci says `odd`, which is not a known state", |world| {
            world.checks(&[("ci", CheckState::Unknown("odd".into()))]);
        }),
        ("the forge shows no check ci yet", |world| world.checks(&[("lint", CheckState::Passed)])),
        ("check ci cannot pass: no checks here", |world| {
            let absent = Answer::Absent { message: "no checks here".to_owned() };
            drop(world.answers.checks.insert(commit('5'), absent));
        }),
        ("no reviews here", |world| {
            drop(world.answers.reviews.insert(1, Answer::Absent { message: "no reviews here".to_owned() }));
        }),
        ("nobody has added the label `ship it`", |world| {
            world.policies = policy_set(&POLICIES.replace("approvals: 1", "approvals: 1, approvalLabel: ship it"));
        }),
        ("label `release` does not count as approval", |world| {
            let layer = "  - name: later\n    paths: [\"**\"]\n    pullRequest: { approvalLabel: Release }\n";
            world.policies = policy_set(&format!("{POLICIES}{layer}"));
        }),
    ];
    for (expected, change) in table {
        let mut world = World::ready(POLICIES);
        change(&mut world);
        let plan = world.plan();
        assert_eq!(done(&plan), Vec::<String>::new(), "{expected}");
        assert_eq!(plan.holds[0].gate, Gate::Approval, "{expected}");
        assert!(
            plan.holds[0].reason.to_lowercase().contains(&expected.to_lowercase()),
            "{expected}: {:?}",
            waits(&plan)
        );
        assert!(plan.holds[0].pull.is_some() && plan.problems.is_empty(), "{expected}");
    }
}

#[test]
fn an_answer_that_failed_is_a_problem_and_merges_nothing() {
    let failed = || FailureCode::Server;
    for nth in 0..2 {
        let mut world = World::ready(POLICIES);
        let message = "answered 502".to_owned();
        match nth {
            0 => drop(world.answers.reviews.insert(1, Answer::Failed { message, code: failed(), last: None })),
            _ => drop(world.answers.checks.insert(commit('5'), Answer::Failed { message, code: failed(), last: None })),
        }
        let plan = world.plan();
        assert_eq!((done(&plan), plan.problems.len()), (vec![], 1));
        assert!(waits(&plan)[0].contains("it is unknown whether it may be merged: answered 502"), "{:?}", waits(&plan));
    }
}

#[test]
fn questions_are_asked_one_after_the_other_and_only_where_they_matter() {
    let mut world = World::ready(POLICIES);
    world.answers.reviews.clear();
    world.answers.checks.clear();
    let queries = |world: &World| world.planned().queries;
    assert_eq!(queries(&world), ForgeQuery::Reviews(1).into());
    world.reviews(1, &[]);
    assert_eq!(queries(&world), Queries::default(), "without an approval the checks do not matter");
    world.reviews(1, &[("ann", "APPROVED", '5')]);
    assert_eq!(queries(&world), ForgeQuery::Checks(commit('5')).into());
    world.pull("web", |pull| pull.draft = true);
    world.answers.reviews.clear();
    assert_eq!(queries(&world), Queries::default());
    assert!(waits(&world.plan())[0].contains("waits: it is a draft; mark it as ready for review"));
    world.policies = policy_set(&POLICIES.replace("automerge: true", "draft: true, automerge: true"));
    assert!(waits(&world.plan())[0].contains("waits: it is a draft, as its policy asks (`draft: true`); mark it"));
    world.policies = policy_set(&POLICIES.replace("automerge: true", "automerge: false"));
    let plan = world.plan();
    assert_eq!(waits(&plan), ["approval: pull request #1 waits to be merged: https://github.example.com/pull/1"]);
}

#[test]
fn without_names_every_check_counts_and_late_ones_are_waited_for() {
    let policies = POLICIES.replace(", checks: [ci]", "");
    let mut world = World::ready(&policies);
    world.checks(&[("ci", CheckState::Passed), ("lint", CheckState::Failed)]);
    assert!(waits(&world.plan())[0].contains("check lint failed"));
    world.checks(&[]);
    assert_eq!(done(&world.plan()), ["merge #1 at 5555555"], "after a day no check will come");
    let pushed = world.now - SignedDuration::from_mins(4);
    world.heads.values_mut().for_each(|head| head.made = Some(pushed));
    for checks in [&[][..], &[("ci", CheckState::Passed)]] {
        world.checks(checks);
        let plan = world.plan();
        assert_eq!(plan.holds[0].until, Some(pushed + SignedDuration::from_mins(5)), "{:?}", waits(&plan));
    }
    drop(world.answers.checks.insert(commit('5'), Answer::Absent { message: "none".to_owned() }));
    assert_eq!(done(&world.plan()), ["merge #1 at 5555555"], "a forge without checks has none to come");
}

#[test]
fn a_base_that_moves_all_the_time_brings_no_updates_without_end() {
    let merge = POLICIES.to_owned();
    let anew = merge.replace("approvals: 1, ", "");
    let person = merge.replace("automerge: true", "automerge: false");
    let known = |state: CheckState| {
        let mut checks = Checks::default();
        checks.add("ci", state);
        Answer::Known(checks)
    };
    let passed = || known(CheckState::Passed);
    let failed = || Answer::Failed { message: "down".to_owned(), code: FailureCode::Network, last: None };
    for (policies, merges, hours, checks, expected) in [
        (&anew, 0, 0, passed(), "update #1 (Anew)"),
        (&anew, 40, 0, passed(), "merge #1 at 5555555"),
        (&merge, 0, 0, passed(), "update #1 (Merge)"),
        (&merge, 19, 0, passed(), "update #1 (Merge)"),
        (&merge, 20, 0, passed(), "update #1 (Anew)"),
        (&merge, 40, 0, passed(), "merge #1 at 5555555"),
        (&person, 0, 0, passed(), "update #1 (Merge)"),
        (&person, 1, 23, passed(), ""),
        (&person, 1, 24, passed(), "update #1 (Merge)"),
        (&person, 20, 99, passed(), ""),
        (&person, 0, 99, failed(), ""),
        (&person, 0, 99, Answer::Absent { message: "none".to_owned() }, ""),
        (&person, 0, 99, known(CheckState::Pending), ""),
    ] {
        let mut world = World::ready(policies);
        let made = world.now - SignedDuration::from_hours(hours);
        world.heads.values_mut().for_each(|head| {
            (head.behind, head.made) = (true, Some(made));
            head.same.extend(std::iter::repeat_n(commit('7'), merges));
        });
        drop(world.answers.behind.insert(1, Answer::Known(true)));
        drop(world.answers.checks.insert(commit('5'), checks));
        assert_eq!(done(&world.plan()).join(", "), expected, "{merges} merges, {hours} hours, {policies}");
    }
}

#[test]
fn a_forge_that_fails_holds_only_commits_that_a_branch_proposed() {
    for (branch, expected) in [(true, vec![]), (false, vec!["commit"])] {
        let mut world = World::ready(POLICIES);
        if !branch {
            world.heads.clear();
        }
        world.open_list().clear();
        world.policies = policy_set(&POLICIES.replace("write: pull-request", "write: commit"));
        let (message, code) = ("the forge is down".to_owned(), FailureCode::Network);
        world.answers.closed = Some(Answer::Failed { message, code, last: None });
        let plan = world.plan();
        assert_eq!(done(&plan), expected, "{:?}", waits(&plan));
        assert_eq!(plan.problems.len(), 1, "{:?}", plan.problems);
        assert!(plan.problems[0].message.contains("the forge is down"));
        assert_eq!(branch, waits(&plan).iter().any(|why| why.contains("it is unknown whether somebody has closed")));
    }
}

#[test]
fn a_closed_window_keeps_the_pull_request_and_its_content() {
    // 2026-01-05 is a Monday.
    let window = |cron: &str| format!("reviewWithin: 2d\n    windows: [{{ cron: \"{cron}\", duration: 8h }}]");
    let closed = POLICIES.replace("reviewWithin: 2d", &window("0 9 * * 2"));
    let mut world = World::ready(POLICIES);
    world.policies = policy_set(&closed);
    let plan = world.plan();
    assert_eq!(done(&plan), Vec::<String>::new());
    assert_eq!((plan.holds.len(), plan.holds[0].gate), (1, Gate::Window), "{:?}", waits(&plan));
    assert_eq!(plan.holds[0].pull.as_ref().map(|pull| pull.state), Some(PullState::Open), "it stays open");
    world.policies = policy_set(&POLICIES.replace("reviewWithin: 2d", &window("0 9 * * 1")));
    assert_eq!(done(&world.plan()), ["merge #1 at 5555555"]);
}

#[test]
fn one_update_that_is_held_holds_the_merge_of_all() {
    let grouped = POLICIES.replace("automerge: true", "group: all, automerge: true");
    let files = [(API, "acme/api:1.0.0"), (WEB, "acme/web:1.0.0")];
    let mut world = World::new(&grouped, &files).proposed();
    world.reviews(1, &[("ann", "APPROVED", '5')]);
    world.checks(&[("ci", CheckState::Passed)]);
    assert_eq!(done(&world.plan()), ["merge #1 at 5555555"]);
    let layer = "  - name: slow\n    paths: [\"apps/api/**\"]\n    windows: [{ cron: \"0 9 * * 2\", duration: 1h }]\n";
    world.policies = policy_set(&format!("{grouped}{layer}"));
    let plan = world.plan();
    assert_eq!(done(&plan), Vec::<String>::new(), "neither merged nor rewritten");
    let waits = waits(&plan);
    assert!(waits[0].starts_with("window: "), "{waits:?}");
    assert!(waits[1].contains("waits: api in apps/api/prod is held (window)"), "{waits:?}");
    // A newer tag of the other one is proposed without losing the one that is held.
    world.tags("acme/web", &["1.0.0", "1.1.0", "1.2.0"]);
    let plan = world.plan();
    assert_eq!((done(&plan).len(), plan.actions[0].updates.len()), (1, 2), "{:?}", done(&plan));
    assert_eq!(plan.holds.len(), 1);
}

#[test]
fn a_missing_answer_takes_nothing_out_of_a_pull_request() {
    let grouped = POLICIES.replace("automerge: true", "group: all, automerge: true");
    let files = [(API, "acme/api:1.0.0"), (WEB, "acme/web:1.0.0")];
    let mut world = World::new(&grouped, &files).proposed();
    let message = "registry is down".to_owned();
    let down = Answer::Failed { message, code: FailureCode::Network, last: None };
    drop(world.answers.listings.insert(name("acme/api"), down));
    let plan = world.plan();
    assert_eq!((done(&plan), plan.problems.len()), (vec![], 1));
    assert!(waits(&plan)[0].contains("whether docker.io/acme/api in apps/api/prod still goes to 1.1.0 is unknown"));
    // What is new does not wait for a sick registry.
    world.tags("acme/web", &["1.0.0", "1.1.0", "1.2.0"]);
    assert_eq!(done(&world.plan()), [format!("propose {}", head_of("all"))]);
}

#[test]
fn a_policy_that_says_no_merges_nothing_of_the_group() {
    let grouped = POLICIES.replace("automerge: true", "group: all, automerge: true");
    let layer = "  - name: careful\n    paths: [\"apps/api/**\"]\n    pullRequest: { automerge: false }\n";
    let files = [(API, "acme/api:1.0.0"), (WEB, "acme/web:1.0.0")];
    let mut world = World::new(&format!("{grouped}{layer}"), &files).proposed();
    world.reviews(1, &[("ann", "APPROVED", '5')]);
    world.checks(&[("ci", CheckState::Passed)]);
    assert_eq!(done(&world.plan()), Vec::<String>::new());
    let stricter =
        "  - name: careful\n    paths: [\"apps/api/**\"]\n    pullRequest: { approvals: 2, checks: [smoke] }\n";
    world.policies = policy_set(&format!("{grouped}{stricter}"));
    assert!(waits(&world.plan())[0].contains("1 of 2 approvals"), "the strictest counts");
}

#[test]
fn what_approves_is_taken_off_before_the_content_changes() {
    let labelled = POLICIES.replace("approvals: 1", "approvalLabel: ship it");
    let mut world = World::new(&labelled, &[(WEB, "acme/web:1.0.0")]).proposed();
    world.reviews(1, &[]);
    world.checks(&[("ci", CheckState::Passed)]);
    world.pull("web", |pull| pull.labels.push("Ship it".to_owned()));
    assert_eq!(done(&world.plan()), ["merge #1 at 5555555"]);
    world.tags("acme/web", &["1.0.0", "1.1.0", "1.2.0"]);
    let plan = world.plan();
    let ActionKind::PullRequest(pull) = &plan.actions[0].kind else { panic!("{plan:?}") };
    assert_eq!(
        (pull.open.as_ref().map(|open| open.number), pull.pushed, pull.withdraw.as_slice()),
        (Some(1), false, &["ship it".to_owned()][..])
    );
}

#[test]
fn a_limit_says_for_which_ones_the_others_wait() {
    let limited = POLICIES.replace("automerge: true", "limit: 1, automerge: true");
    let files = [(API, "acme/api:1.0.0"), (WEB, "acme/web:1.0.0")];
    let mut world = World::new(&limited, &files);
    world.answers.open = None;
    assert_eq!(world.planned().queries, ForgeQuery::Open.into());
    world.answers.open = Some(Answer::Known(Vec::new()));
    let plan = world.plan();
    assert_eq!(done(&plan), [format!("propose {}", head_of("api"))]);
    assert_eq!(
        waits(&plan),
        ["rate: policy prod has reached its limit of open pull requests (1): 1 of this cycle; merge or close one"]
    );

    // What is open goes on; what is new waits for it by number.
    let world = World::new(&limited, &files[1..]).proposed();
    let mut both = World { pins: pins(&files), ..world };
    both.answers.origins = origins(&both.pins);
    both.reviews(1, &[]);
    let plan = both.plan();
    assert_eq!(done(&plan), Vec::<String>::new());
    assert!(waits(&plan)[0].starts_with("rate: ") && waits(&plan)[0].contains("(1): #1;"), "{:?}", waits(&plan));
    // One of another policy, or into another branch, takes no place.
    both.open_list()[0].base = BranchName::parse("release").unwrap();
    assert_eq!(done(&both.plan()), [format!("propose {}", head_of("api"))]);
}

#[test]
fn reviewers_are_reminded_once_and_not_too_early() {
    let reminding = POLICIES.replace("automerge: true", "remindAfter: 3d, automerge: true");
    let mut world = World::new(&reminding, &[(WEB, "acme/web:1.0.0")]).proposed();
    world.reviews(1, &[]);
    assert_eq!(done(&world.plan()), Vec::<String>::new());
    world.now += SignedDuration::from_hours(48);
    // It has been brought up to date just now, which nobody has to look at.
    let now = world.now;
    world.heads.values_mut().for_each(|head| head.made = Some(now));
    assert_eq!(world.planned().queries, ForgeQuery::Reminded(1).into());
    drop(world.answers.reminded.insert(1, Answer::Known(false)));
    let plan = world.plan();
    assert_eq!((done(&plan), plan.holds.len()), (vec!["remind of #1".to_owned()], 1));
    let ActionKind::Remind(remind) = &plan.actions[0].kind else { panic!("{plan:?}") };
    assert_eq!(
        (remind.reviewers.as_slice(), remind.reason.as_str()),
        (&["acme/sre".to_owned()][..], "it has 0 of 1 approvals")
    );
    let text = crate::message::reminder(remind, world.now);
    assert!(text.starts_with("@acme/sre: this pull request has been waiting for 3 days."), "{text}");
    for answer in [Answer::Known(true), Answer::Absent { message: String::new() }] {
        drop(world.answers.reminded.insert(1, answer));
        assert_eq!(done(&world.plan()), Vec::<String>::new());
    }
}

#[test]
fn what_has_nothing_left_to_do_is_closed_with_the_reason() {
    type Change = fn(&mut World);
    let table: &[(&str, Change, &[&str])] = &[
        (
            "done by hand",
            |world| world.pins = pins(&[(WEB, "acme/web:1.1.0")]),
            &["close #1: web 1.1.0: apps/web/prod has it already"],
        ),
        (
            "newer by hand",
            |world| {
                world.tags("acme/web", &["1.0.0", "1.1.0", "1.5.0"]);
                world.pins = pins(&[(WEB, "acme/web:1.5.0")]);
            },
            &["close #1: web 1.1.0: apps/web/prod has 1.5.0, and nothing newer is requested"],
        ),
        (
            "the registry took it back",
            |world| world.tags("acme/web", &["1.0.0"]),
            &[
                "close #1: web 1.1.0: apps/web/prod has 1.0.0, and nothing newer is requested, and its registry does not list that any more",
            ],
        ),
        (
            "the policy takes it no more",
            |world| world.policies = policy_set(&POLICIES.replace("semver: \"*\"", "semver: \"1.0.x\"")),
            &["close #1: web 1.1.0: apps/web/prod has 1.0.0, and nothing newer is requested"],
        ),
        (
            "no policy writes there",
            |world| world.policies = policy_set(&POLICIES.replace("write: pull-request", "write: never")),
            &["close #1: web 1.1.0: no policy requests it any more"],
        ),
        (
            "it is committed by now",
            |world| world.policies = policy_set(&POLICIES.replace("write: pull-request", "write: commit")),
            &["commit", "close #1: web 1.1.0: apps/web/prod is now written without a pull request"],
        ),
        (
            "the app is gone",
            |world| world.pins = pins(&[(API, "acme/api:1.1.0")]),
            &["close #1: web 1.1.0: apps/web/prod has no such image any more"],
        ),
    ];
    for (what, change, expected) in table {
        let mut world = World::ready(POLICIES);
        change(&mut world);
        assert_eq!(done(&world.plan()), *expected, "{what}");
    }
}

#[test]
fn nothing_is_closed_that_is_a_persons_or_about_which_something_is_not_known() {
    type Change = fn(&mut World);
    let table: &[(&str, Change)] = &[
        ("the policies are gone or unreadable", |world| world.policies = PolicySet::new(Vec::new())),
        ("the file cannot be read", |world| {
            world.pins.clear();
            world.skipped = vec![Skipped::file(WEB, SkipReason::Unreadable { reason: "broken".to_owned() })];
        }),
        ("the registry is down", |world| {
            let message = "registry is down".to_owned();
            let fact = Answer::Failed { message, code: FailureCode::Network, last: None };
            drop(world.answers.listings.insert(name("acme/web"), fact));
        }),
        ("only an old answer says that nothing is newer", |world| {
            world.tags("acme/web", &["1.0.0"]);
            let last = world.answers.listings.get(&name("acme/web")).and_then(|fact| fact.best().cloned());
            let fact = Answer::Failed { message: "down".to_owned(), code: FailureCode::Network, last };
            drop(world.answers.listings.insert(name("acme/web"), fact));
        }),
        ("somebody pushed to it", |world| {
            world.pins = pins(&[(WEB, "acme/web:1.1.0")]);
            world.heads.values_mut().for_each(|head| head.foreign = Some("Ada".to_owned()));
        }),
        ("the forge shows another commit", |world| {
            world.pins = pins(&[(WEB, "acme/web:1.1.0")]);
            world.pull("web", |pull| pull.head_commit = Some(commit('7')));
        }),
        ("what is open cannot be read", |world| {
            world.pins = pins(&[(WEB, "acme/web:1.1.0")]);
            let message = "answered 502".to_owned();
            world.answers.open = Some(Answer::Failed { message, code: FailureCode::Server, last: None });
        }),
        ("somebody asks for something else", |world| {
            world.pins = pins(&[(WEB, "acme/web:1.1.0")]);
            world.request = Some(PromotionRequest {
                app: "api".to_owned(),
                environment: "prod".to_owned(),
                image: None,
                overrides: std::collections::BTreeSet::new(),
                reason: String::new(),
                by: String::new(),
            });
        }),
        ("it is a rollback", |world| {
            world.pins = pins(&[(WEB, "acme/web:1.1.0")]);
            let rollback = BranchName::parse("landfall/rollback/web").unwrap();
            world.heads =
                std::mem::take(&mut world.heads).into_values().map(|head| (rollback.to_string(), head)).collect();
            world.open_list().iter_mut().for_each(|pull| pull.head = rollback.clone());
        }),
    ];
    for (what, change) in table {
        let mut world = World::ready(POLICIES);
        change(&mut world);
        assert_eq!(done(&world.plan()), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn a_renamed_group_ends_its_old_pull_request() {
    let mut world = World::ready(POLICIES);
    world.policies = policy_set(&POLICIES.replace("automerge: true", "group: all, automerge: true"));
    let plan = world.plan();
    assert_eq!(
        done(&plan),
        [
            format!("propose {}", head_of("all")),
            "close #1: web 1.1.0: another pull request moves apps/web/prod to 1.1.0".to_owned()
        ]
    );
}

/// The world of a pull request that could not be rewritten and goes on as #2, both of them still open.
fn replaced() -> World {
    let mut world = World::ready(POLICIES);
    let next = BranchName::parse(&format!("{}-2", head_of("web"))).unwrap();
    let head = Head { tip: commit('6'), same: vec![commit('6')], ..world.heads[head_of("web").as_str()].clone() };
    drop(world.heads.insert(next.to_string(), head));
    let (url, head_commit) = ("https://github.example.com/pull/2".to_owned(), Some(commit('6')));
    let later = PullRequest { number: 2, url, head: next.clone(), head_commit, ..world.open_list()[0].clone() };
    world.open_list().push(later.clone());
    drop(world.answers.pulls.insert(next, Answer::Known(vec![later])));
    world.reviews(2, &[]);
    world
}

#[test]
fn the_last_branch_of_a_series_is_the_one_that_goes_on() {
    let mut world = replaced();
    let plan = world.plan();
    let (url, old) = ("https://github.example.com/pull/2", head_of("web"));
    let close = format!("close #1: pull request {url} replaces it, because the remote does not allow rewriting {old}");
    assert_eq!(done(&plan), [close]);
    let [waits] = &waits(&plan)[..] else { panic!("{plan:?}") };
    assert!(waits.starts_with("approval: pull request #2 waits: it has 0 of 1 approvals"), "{waits}");
    let why = format!("(on branch {old}-2, since the remote does not let the one before it be rewritten)");
    assert!(waits.ends_with(&why), "{waits}");

    // A branch that somebody else has made by that name takes no place.
    let next = format!("{old}-2");
    world.heads.get_mut(&next).unwrap().foreign = Some("Eve <eve@example.com>".to_owned());
    let plan = world.plan();
    assert_eq!(done(&plan), Vec::<String>::new());
    assert_eq!(plan.holds[0].gate, Gate::Hold, "{plan:?}");
}

#[test]
fn a_rejection_of_either_of_two_pull_requests_counts() {
    for number in [1, 2] {
        let mut world = replaced();
        let mut closed = world.open_list().remove(number - 1);
        closed.state = PullState::Closed;
        closed.closed_at = Some(world.now);
        let of_branch = vec![closed.clone()];
        drop(world.answers.pulls.insert(closed.head.clone(), Answer::Known(of_branch)));
        world.answers.closed = Some(Answer::Known(vec![closed]));
        // Approved and checked: nothing but the rejection is in the way.
        world.reviews(2, &[("ann", "APPROVED", '6')]);
        let mut checks = Checks::default();
        checks.add("ci", CheckState::Passed);
        drop(world.answers.checks.insert(commit('6'), Answer::Known(checks)));
        let plan = world.plan();
        assert_eq!(done(&plan), Vec::<String>::new(), "#{number}");
        assert_eq!(plan.holds[0].gate, Gate::Hold, "#{number}: {plan:?}");
        assert!(plan.holds[0].reason.contains(&format!("#{number} was closed without a merge")), "{plan:?}");
    }
}

#[test]
fn what_the_bot_closed_holds_no_version() {
    let mut world = World::ready(POLICIES);
    let reasons = vec!["web 1.1.0: no policy requests it any more".to_owned()];
    world.pull("web", |pull| {
        pull.state = PullState::Closed;
        pull.body = crate::message::closed_body(&pull.body, &reasons);
    });
    world.heads.clear();
    assert_eq!(done(&world.plan()), [format!("propose {}", head_of("web"))], "asked for again, proposed again");
    world.pull("web", |pull| pull.body = "<!-- landfall: 0123456789abcdef -->".to_owned());
    let Some(Answer::Known(pulls)) = world.answers.pulls.get_mut(&head_of("web")) else { panic!("known") };
    let id = UpdateId::of(
        &main_branch(),
        "apps/web/prod",
        "prod",
        &name("acme/web"),
        &Version { tag: Tag::parse("1.1.0").ok(), digest: None },
    );
    pulls[0].body = format!("<!-- landfall: {id} -->");
    assert_eq!(world.plan().holds[0].gate, Gate::Hold, "a person's closing does");
}

/// A pull request of other names, which somebody has closed, and what its commit says that it was about.
struct ClosedOnce {
    pull: PullRequest,
    carried: Answer<Vec<CarriedUpdate>>,
}

impl ClosedOnce {
    /// About web 1.1.0 in prod, by a branch that no group has any more and in words that tell nothing.
    fn new() -> Self {
        let message = "x\n\nLandfall-Update: 00000000000000aa\nLandfall-Image: docker.io/acme/web\n\
                       Landfall-Overlay: apps/web/prod\nLandfall-To: 1.1.0\nLandfall-Policy: prod\n\
                       Landfall-Environment: prod\n";
        let mut pull = World::ready(POLICIES).open_list()[0].clone();
        pull.number = 9;
        (pull.title, pull.body) = ("not this".to_owned(), "We talked about it.".to_owned());
        (pull.state, pull.closed_at) = (PullState::Closed, Some("2026-01-05T10:00:00Z".parse().unwrap()));
        (pull.head, pull.head_commit) = (BranchName::parse("landfall/of-old").unwrap(), Some(commit('9')));
        Self { pull, carried: Answer::Known(carried(message)) }
    }

    fn about(mut self, change: impl FnOnce(&mut CarriedUpdate)) -> Self {
        if let Answer::Known(carried) = &mut self.carried {
            change(&mut carried[0]);
        }
        self
    }

    fn pull(mut self, change: impl FnOnce(&mut PullRequest)) -> Self {
        change(&mut self.pull);
        self
    }
}

/// The place is an hour old.
fn since_yesterday(world: &mut World) {
    let brought = crate::plan::Brought {
        commit: commit('8'),
        by: "Ada".to_owned(),
        at: "2026-01-05T11:00:00Z".parse().unwrap(),
        before: None,
        writer: crate::plan::Writer::Person,
        former: Vec::new(),
        appeared: Some("2026-01-05T11:00:00Z".parse().unwrap()),
    };
    let origin = Answer::Known(Origin::Commit(brought));
    drop(world.answers.origins.insert(HistoryQuery::from(world.pins[0].as_ref()), origin));
}

fn beside(world: &mut World) {
    since_yesterday(world);
    world.pins.extend(pins(&[(API, "acme/web:1.1.0")]));
}

fn nothing(_: &mut World) {}

type Recognised = (&'static str, ClosedOnce, fn(&mut World), Option<&'static str>);

/// What the pull request was, what else is so, and the words of the hold.
fn recognised() -> Vec<Recognised> {
    let old = ClosedOnce::new;
    let unreadable = || ClosedOnce {
        carried: Answer::Failed { message: "answered 404".to_owned(), code: FailureCode::Protocol, last: None },
        ..old()
    };
    let base = |name: &str| BranchName::parse(name).unwrap();
    vec![
        ("the same", old(), nothing, Some("under other names")),
        (
            "another environment, which is gone",
            old().about(|it| it.environment = Some("live".to_owned())),
            nothing,
            Some("other names"),
        ),
        ("no environment then", old().about(|it| it.environment = None), nothing, Some("other names")),
        (
            "a digest then",
            old().about(|it| it.to = format!("1.1.0@sha256:{}", "cd".repeat(32))),
            nothing,
            Some("other names"),
        ),
        ("another version", old().about(|it| it.to = "1.0.9".to_owned()), nothing, None),
        (
            "from another registry",
            old().about(|it| it.image = "ghcr.io/acme/web".to_owned()),
            nothing,
            Some("other names"),
        ),
        ("another image", old().about(|it| it.image = "docker.io/acme/api".to_owned()), nothing, None),
        ("another folder, and this one is old", old().about(|it| it.overlay = "old/web".to_owned()), nothing, None),
        (
            "another folder, and this one is new",
            old().about(|it| it.overlay = "old/web".to_owned()),
            since_yesterday,
            Some("other names"),
        ),
        ("another folder that is still there", old().about(|it| it.overlay = "apps/api/prod".to_owned()), beside, None),
        (
            "into a branch that has another name now",
            old().pull(|pull| pull.base = base("master")),
            nothing,
            Some("other names"),
        ),
        (
            "into the branch of another environment",
            old().pull(|pull| pull.base = base("stage")).about(|it| it.environment = Some("stage".to_owned())),
            nothing,
            None,
        ),
        ("a rollback", old().pull(|pull| pull.head = base("landfall/rollback/web")), nothing, None),
        ("closed by the bot", old().pull(|pull| pull.body = "done\n<!-- landfall: -->\n".to_owned()), nothing, None),
        (
            "unreadable, in words that fit",
            unreadable().pull(|pull| pull.title = "web to 1.1.0".to_owned()),
            nothing,
            Some("cannot be read"),
        ),
        ("unreadable, in words that do not", unreadable(), nothing, None),
    ]
}

#[test]
fn what_a_closed_pull_request_was_about_is_recognised_under_other_names() {
    for (what, ClosedOnce { pull, carried }, change, expected) in recognised() {
        let mut world = World::new(&POLICIES.replace("approvals: 1, ", ""), &[(WEB, "acme/web:1.0.0")]);
        world.answers.closed = Some(Answer::Known(vec![pull]));
        change(&mut world);
        if expected.is_some() || what.starts_with("another") {
            let asked = world.planned().queries.forge;
            assert!(asked.is_empty() || asked == [ForgeQuery::Carried(9)].into(), "{what}: {asked:?}");
        }
        drop(world.answers.carried.insert(9, carried));
        let plan = world.plan();
        let holds: Vec<&Hold> = plan.holds.iter().filter(|hold| hold.update.name == name("acme/web")).collect();
        match expected {
            None => assert!(done(&plan).contains(&format!("propose {}", head_of("web"))), "{what}: {:?}", waits(&plan)),
            Some(words) => {
                assert_eq!((done(&plan), holds.len(), holds[0].gate), (vec![], 1, Gate::Hold), "{what}");
                assert!(
                    holds[0].reason.contains("pull request #9") && holds[0].reason.contains(words),
                    "{what}: {}",
                    holds[0].reason
                );
            }
        }
    }
}

#[test]
fn a_no_to_another_pull_request_holds_the_merge() {
    let mut world = World::ready(POLICIES);
    let ClosedOnce { pull, carried } = ClosedOnce::new();
    world.answers.closed = None;
    assert_eq!(world.planned().queries, ForgeQuery::Closed.into(), "asked for before anything is merged");
    world.answers.closed = Some(Answer::Known(vec![pull]));
    drop(world.answers.carried.insert(9, carried));
    let plan = world.plan();
    assert_eq!(done(&plan), Vec::<String>::new());
    assert!(waits(&plan)[0].starts_with("hold: pull request #9"), "{:?}", waits(&plan));
}

#[test]
fn a_list_older_than_a_branch_takes_nothing_back() {
    // Another bot has proposed 1.2.0, which the list of a minute ago does not have.
    let mut world = World::new(POLICIES, &[(WEB, "acme/web:1.0.0")]);
    world.tags("acme/web", &["1.0.0", "1.1.0", "1.2.0"]);
    let mut world = world.proposed();
    let listed = world.now - SignedDuration::from_mins(1);
    let list = |world: &mut World, tags: &[&str], at: Timestamp| {
        world.tags("acme/web", tags);
        let Some(Answer::Known(listing)) = world.answers.listings.get_mut(&name("acme/web")) else { panic!("known") };
        listing.at = at;
    };
    let proposed = (name("acme/web"), Tag::parse("1.2.0").unwrap());
    let served = world.answers.manifests.get(&proposed).cloned().unwrap();
    for tags in [&["1.0.0", "1.1.0"][..], &["1.0.0"]] {
        let seen = world.now - SignedDuration::from_secs(10);
        world.heads.values_mut().for_each(|head| head.since = Some(seen));
        list(&mut world, tags, listed);
        let planned = world.planned();
        assert_eq!(planned.queries, RegistryQuery::Relisting(name("acme/web"), seen).into(), "{tags:?}");
        assert_eq!(done(&planned.plan), Vec::<String>::new(), "{tags:?}: neither another version nor an end");
        // One that is younger is evidence if the registry does not serve the tag either: some of its hosts may never list
        // what others do.
        let now = world.now;
        list(&mut world, tags, now);
        drop(world.answers.manifests.remove(&proposed));
        let planned = world.planned();
        assert_eq!(planned.queries, RegistryQuery::Manifest(proposed.0.clone(), proposed.1.clone()).into(), "{tags:?}");
        assert_eq!(done(&planned.plan), Vec::<String>::new(), "{tags:?}");
        let (message, code) = ("registry is down".to_owned(), FailureCode::Network);
        drop(world.answers.manifests.insert(proposed.clone(), Answer::Failed { message, code, last: None }));
        let plan = world.plan();
        assert_eq!((done(&plan), plan.problems.len()), (vec![], 1), "{tags:?}");
        drop(world.answers.manifests.insert(proposed.clone(), served.clone()));
        let planned = world.planned();
        assert_eq!(
            planned.queries,
            ForgeQuery::Reviews(1).into(),
            "{tags:?}: it is there, so its pull request goes on"
        );
        assert_eq!(done(&planned.plan), Vec::<String>::new(), "{tags:?}");
        list(&mut world, tags, now);
        let plan = world.plan();
        assert_eq!(done(&plan).len(), 1, "{tags:?}: {:?}", done(&plan));
        // Of a registry that does not answer nothing is known.
        let last = world.answers.listings.get(&name("acme/web")).and_then(|fact| fact.best().cloned());
        let last = last.map(|last| Listing { at: listed, ..last });
        let (message, code) = ("registry is down".to_owned(), FailureCode::Network);
        drop(world.answers.listings.insert(name("acme/web"), Answer::Failed { message, code, last }));
        let plan = world.plan();
        assert_eq!((done(&plan), plan.problems.len()), (vec![], 1), "{tags:?}");
    }
}

#[test]
fn only_what_is_held_now_leaves_a_queue() {
    let windows = "windows: [{ cron: \"0 0 1 1 *\", duration: 1h }]\n    pullRequest: {";
    let closed = POLICIES.replace("pullRequest: {", windows);
    let older = POLICIES.replace("pullRequest: {", "minimumReleaseAge: 900d\n    pullRequest: {");
    for (what, policies, newer, expected) in [
        ("nothing", POLICIES, false, false),
        ("a window", closed.as_str(), false, true),
        ("a window, and a newer version", closed.as_str(), true, true),
        ("an age, which the queue may finish", older.as_str(), false, false),
    ] {
        let mut world = World::ready(POLICIES);
        world.policies = policy_set(policies);
        if newer {
            world.tags("acme/web", &["1.0.0", "1.1.0", "1.2.0"]);
        }
        world.answers.queue = Some(Answer::Known(BTreeSet::from([1])));
        let left =
            |world: &World| done(&world.plan()).iter().any(|done| done.starts_with("dequeue #1: web in apps/web/prod"));
        assert_eq!(left(&world), expected, "{what}");
        if expected {
            world.answers.queue = None;
            assert_eq!(world.planned().queries, ForgeQuery::Queue.into(), "{what}");
            world.answers.queue = Some(Answer::Known(BTreeSet::from([2])));
            assert!(!left(&world), "{what}: it is in no queue");
            let (message, code) = ("down".to_owned(), FailureCode::Network);
            world.answers.queue = Some(Answer::Failed { message, code, last: None });
            assert!(world.plan().problems[0].message.contains("in a merge queue: down"), "{what}");
        }
    }
}
