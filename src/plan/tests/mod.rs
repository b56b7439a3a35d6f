//! The planner against small worlds: policies and files as a person writes them, registry answers as a table.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::config::parse_policies;
use crate::model::{Answer, Digest, Listing, Manifest, PullRequest, PullState, Tag};
use crate::overlay::scan_file;

mod histories;
mod pace;
mod promotion;
mod ranges;
mod retag;
mod signatures;

const POLICIES: &str = r#"
policies:
  - name: dev
    paths: ["apps/{app}/dev/**"]
    environment: dev
    write: commit
    tags: { semver: "*" }
  - name: prod
    paths: ["apps/{app}/prod/**"]
    environment: prod
    write: pull-request
    tags: { semver: "*" }
    pullRequest: { labels: [release], reviewers: [acme/sre] }
"#;

/// A small world and what is known of it.
struct World {
    branch: BranchName,
    revision: CommitId,
    pins: Vec<Arc<Pin>>,
    policies: PolicySet,
    answers: Answers,
    ledger: Ledger,
    skipped: Vec<crate::model::Skipped>,
    refs: BTreeMap<String, CommitId>,
    heads: BTreeMap<String, Head>,
    soaks: SoakStates,
    decisions: Decisions,
    request: Option<PromotionRequest>,
    tags: TagRecords,
    now: Timestamp,
}

fn name(image: &str) -> ImageName {
    ImageName::parse(image).unwrap()
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn digest(seed: u8) -> Digest {
    Digest::parse(&format!("sha256:{}", format!("{seed:02x}").repeat(32))).unwrap()
}

fn commit(seed: u8) -> CommitId {
    CommitId::parse(&format!("{seed:02x}").repeat(20)).unwrap()
}

fn manifest(seed: u8) -> Manifest {
    Manifest {
        digest: digest(seed),
        images: Vec::new(),
        platforms: vec!["linux/amd64".to_owned()],
        created: None,
        artifact: None,
        annotations: BTreeMap::new(),
    }
}

impl World {
    fn new(policies: &str, files: &[(&str, &str)]) -> Self {
        let mut pins = Vec::new();
        for (path, image) in files {
            let path = RepoPath::parse(path).unwrap();
            let text = format!("kind: Pod\napiVersion: v1\nspec:\n  containers:\n  - name: a\n    image: {image}\n");
            pins.extend(scan_file(&path, text.as_bytes()).pins.into_iter().map(Arc::new));
        }
        assert_eq!(pins.len(), files.len(), "every file has a pin");
        let older = |pin: &Arc<Pin>| (HistoryQuery::from(pin.as_ref()), Answer::Known(Origin::Older));
        let answers = Answers {
            origins: pins.iter().map(older).collect(),
            closed: Some(Answer::Known(Vec::new())),
            open: Some(Answer::Known(Vec::new())),
            ..Answers::default()
        };
        Self {
            branch: BranchName::parse("main").unwrap(),
            revision: commit(1),
            pins,
            policies: PolicySet::new(parse_policies("policies.yaml", policies).unwrap()),
            answers,
            ledger: Ledger::default(),
            skipped: Vec::new(),
            refs: BTreeMap::new(),
            heads: BTreeMap::new(),
            soaks: SoakStates::default(),
            decisions: Decisions::default(),
            request: None,
            tags: TagRecords::new(),
            now: "2026-01-05T12:00:00Z".parse().unwrap(),
        }
    }

    fn dev(image: &str) -> Self {
        Self::new(POLICIES, &[("apps/web/dev/pod.yaml", image)])
    }

    fn prod(image: &str) -> Self {
        Self::new(POLICIES, &[("apps/web/prod/pod.yaml", image)])
    }

    fn tags(mut self, image: &str, tags: &[&str]) -> Self {
        let listing = Listing { tags: Arc::new(tags.iter().map(|text| tag(text)).collect()), dropped: 0, at: self.now };
        drop(self.answers.listings.insert(name(image), Answer::Known(listing)));
        for (at, text) in tags.iter().enumerate() {
            let manifest = manifest(u8::try_from(at + 16).unwrap());
            // The bot knows them of old; what a test says of their creation decides.
            self.answers.first_seen.insert((name(image), manifest.digest.clone()), Timestamp::UNIX_EPOCH);
            drop(self.answers.digests.insert((name(image), tag(text)), Answer::Known(manifest.digest.clone())));
            drop(self.answers.manifests.insert((name(image), tag(text)), Answer::Known(manifest)));
        }
        self
    }

    fn pulls(mut self, pulls: Vec<PullRequest>) -> Self {
        drop(self.answers.pulls.insert(self.head(), Answer::Known(pulls)));
        self
    }

    fn head(&self) -> BranchName {
        head_branch(&self.branch, "prod", Some("prod"), "web").unwrap()
    }

    fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            repository: "deploys",
            branch: &self.branch,
            revision: &self.revision,
            main: &self.branch,
            rules: &self.revision,
            pins: &self.pins,
            policies: &self.policies,
            answers: &self.answers,
            ledger: &self.ledger,
            skipped: &self.skipped,
            refs: &self.refs,
            heads: &self.heads,
            soaks: &self.soaks,
            decisions: &self.decisions,
            request: self.request.as_ref(),
            gathered: None,
            failed: None,
            tags: Some(&self.tags),
            filter_time: None,
            now: self.now,
        }
    }

    fn plan(&self) -> Planned {
        plan(&self.snapshot())
    }

    /// The plan, which must be complete.
    fn complete(&self) -> Plan {
        let planned = self.plan();
        assert!(planned.queries.is_empty(), "queries {:?}", planned.queries);
        planned.plan
    }

    /// The id of an update in `apps/APP/ENVIRONMENT`.
    fn id(&self, image: &str, overlay: &str, to: &str) -> UpdateId {
        let environment = overlay.rsplit('/').next().unwrap();
        UpdateId::of(&self.branch, overlay, environment, &name(image), &Version { tag: Some(tag(to)), digest: None })
    }
}

fn pull(number: u64, state: PullState, head: &BranchName, ids: &[&UpdateId]) -> PullRequest {
    let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    PullRequest {
        number,
        url: format!("https://forge.example.com/{number}"),
        state,
        title: String::new(),
        body: format!("text\n<!-- landfall: {} -->", ids.join(" ")),
        head: head.clone(),
        base: BranchName::parse("main").unwrap(),
        head_commit: None,
        draft: false,
        labels: Vec::new(),
        closed_at: None,
        updated_at: None,
    }
}

/// A branch of the bot that carries these.
fn branch(updates: Vec<UpdateId>, foreign: Option<String>) -> Head {
    Head { updates, foreign, ..Head::merged(&commit(5)) }
}

fn targets(plan: &Plan) -> Vec<String> {
    plan.actions.iter().flat_map(|action| action.updates.iter().map(|u| format!("{} {}", u.app, u.to))).collect()
}

#[test]
fn questions_come_one_after_the_other() {
    let mut world = World::dev("acme/web:1.2.3");
    let first = world.plan();
    assert_eq!(first.queries, Queries::from(RegistryQuery::Listing(name("acme/web"))));
    assert!(first.plan.actions.is_empty() && first.plan.problems.is_empty());
    world = world.tags("acme/web", &["1.2.3", "1.4.0"]);
    world.answers.manifests.clear();
    assert_eq!(world.plan().queries, Queries::from(RegistryQuery::Manifest(name("acme/web"), tag("1.4.0"))));
    let world = world.tags("acme/web", &["1.2.3", "1.4.0"]);
    assert_eq!(targets(&world.complete()), ["web 1.4.0"]);
}

#[test]
fn the_same_image_is_asked_for_once() {
    let files = [
        ("apps/a/dev/p.yaml", "acme/web:1.0.0"),
        ("apps/b/dev/p.yaml", "docker.io/acme/web:1.0.0"),
        ("apps/c/prod/p.yaml", "acme/web:1.0.0"),
    ];
    assert_eq!(World::new(POLICIES, &files).plan().queries.registry.len(), 1);
}

#[test]
fn one_commit_for_a_policy_and_environment_and_one_pull_request_for_an_app() {
    let files = [
        ("apps/a/dev/p.yaml", "acme/web:1.0.0"),
        ("apps/b/dev/p.yaml", "acme/web:1.0.0"),
        ("apps/a/prod/p.yaml", "acme/web:1.0.0"),
        ("apps/b/prod/p.yaml", "acme/web:1.0.0"),
    ];
    let mut world = World::new(POLICIES, &files).tags("acme/web", &["1.0.0", "1.1.0"]);
    for app in ["a", "b"] {
        let head = head_branch(&world.branch, "prod", Some("prod"), app).unwrap();
        drop(world.answers.pulls.insert(head, Answer::Known(Vec::new())));
    }
    let plan = world.complete();
    let kinds: Vec<(bool, usize)> =
        plan.actions.iter().map(|action| (action.kind == ActionKind::Commit, action.updates.len())).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == (true, 2)).count(), 1);
    assert_eq!(kinds.iter().filter(|kind| **kind == (false, 1)).count(), 2);
}

#[test]
fn nothing_goes_back() {
    for (current, tags) in [("2.0.0", &["1.0.0", "1.9.0"][..]), ("1.2.3", &["1.2.3", "1.2.2"]), ("1.2.3", &["1.0.0"])] {
        let plan = World::dev(&format!("acme/web:{current}")).tags("acme/web", tags).complete();
        assert!(plan.actions.is_empty(), "{current} of {tags:?}: {:?}", plan.actions);
    }
}

#[test]
fn a_filter_that_takes_too_long_is_a_problem_at_its_place_and_the_others_go_on() {
    let policies = POLICIES.replacen("tags: { semver: \"*\" }", "tags: { semver: \"*\", filter: '^(.*,){9}$' }", 1);
    let files = [("apps/a/dev/p.yaml", "acme/web:1.0.0"), ("apps/b/prod/p.yaml", "acme/web:1.0.0")];
    let mut world = World::new(&policies, &files).tags("acme/web", &["1.0.0", "1.1.0"]);
    let head = head_branch(&world.branch, "prod", Some("prod"), "b").unwrap();
    drop(world.answers.pulls.insert(head, Answer::Known(Vec::new())));
    // The first filter is at work for three seconds, the second one for no time.
    let reads = std::sync::atomic::AtomicU64::new(0);
    let watch = move || match reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        0 => std::time::Duration::ZERO,
        _ => std::time::Duration::from_secs(3),
    };
    let time = FilterTime::new(watch);
    let plan = plan(&Snapshot { filter_time: Some(&time), ..world.snapshot() }).plan;
    let [problem] = &plan.problems[..] else { panic!("{:?}", plan.problems) };
    assert!(problem.message.contains("the tag policy at policies.yaml:7 takes too long on the 2 tags"), "{problem:?}");
    assert_eq!(problem.code, Some(FailureCode::ConfigError));
    assert_eq!(targets(&plan), ["b 1.1.0"]);
}

#[test]
fn a_deleted_current_tag_is_said_and_kept() {
    let plan = World::dev("acme/web:1.2.3").tags("acme/web", &["1.0.0"]).complete();
    assert!(plan.actions.is_empty());
    assert!(plan.problems.iter().any(|problem| problem.message.contains("not in the registry's list;")));
}

#[test]
fn an_empty_list_writes_nothing_and_is_a_problem() {
    let plan = World::dev("acme/web:1.2.3").tags("acme/web", &[]).complete();
    assert!(plan.actions.is_empty());
    assert!(plan.problems[0].message.contains("lists no tag at all"), "{:?}", plan.problems);
    assert_eq!(plan.up_to_date, 0, "unknown is not up to date");
}

#[test]
fn a_failed_listing_goes_by_the_last_good_one_and_says_so() {
    let mut world = World::dev("acme/web:1.2.3").tags("acme/web", &["1.2.3", "1.3.0"]);
    let last = world.answers.listings[&name("acme/web")].best().cloned();
    let failed = |last| Answer::Failed { message: "registry is down".to_owned(), code: FailureCode::Network, last };
    drop(world.answers.listings.insert(name("acme/web"), failed(last)));
    let plan = world.complete();
    assert_eq!(targets(&plan), ["web 1.3.0"]);
    assert!(plan.problems[0].message.contains("using the answer of 2026-01-05 12:00:00 UTC"));
    drop(world.answers.listings.insert(name("acme/web"), failed(None)));
    let plan = world.complete();
    assert!(plan.actions.is_empty() && plan.up_to_date == 0);
    assert_eq!(plan.problems[0].code, Some(FailureCode::Network));
}

#[test]
fn a_listed_tag_without_a_manifest_waits() {
    let mut world = World::dev("acme/web:1.2.3").tags("acme/web", &["1.2.3", "1.3.0"]);
    drop(
        world.answers.manifests.insert((name("acme/web"), tag("1.3.0")), Answer::Absent { message: "404".to_owned() }),
    );
    let plan = world.complete();
    assert_eq!(plan.holds.len(), 1);
    assert_eq!(plan.holds[0].gate, Gate::Platforms);
    assert!(plan.actions.is_empty());
}

#[test]
fn an_update_that_was_taken_back_is_held_until_a_newer_one() {
    let mut world = World::dev("acme/web:1.2.3").tags("acme/web", &["1.2.3", "1.3.0"]);
    let id = world.id("acme/web", "apps/web/dev", "1.3.0");
    world.ledger.record_unproven(
        &commit(7),
        Timestamp::UNIX_EPOCH,
        &format!("dev: bump web\n\nLandfall-Update: {id}\n"),
    );
    let plan = world.complete();
    assert!(plan.actions.is_empty());
    assert_eq!(plan.holds[0].gate, Gate::Hold);
    assert!(plan.holds[0].reason.contains("0707070"), "{}", plan.holds[0].reason);
    let plan = world.tags("acme/web", &["1.2.3", "1.3.0", "1.4.0"]).complete();
    assert_eq!(targets(&plan), ["web 1.4.0"]);
}

#[test]
fn a_closed_pull_request_holds_its_version_and_no_other() {
    let world = World::prod("acme/web:1.2.3").tags("acme/web", &["1.2.3", "1.3.0"]);
    let id = world.id("acme/web", "apps/web/prod", "1.3.0");
    let head = world.head();
    let world = world.pulls(vec![pull(4, PullState::Closed, &head, &[&id])]);
    let plan = world.complete();
    assert!(plan.actions.is_empty());
    assert!(plan.holds[0].reason.contains("#4 was closed"), "{}", plan.holds[0].reason);
    let plan = world.tags("acme/web", &["1.2.3", "1.3.0", "1.4.0"]).complete();
    assert_eq!(targets(&plan), ["web 1.4.0"]);
}

#[test]
fn an_open_pull_request_is_waited_for_and_a_newer_tag_goes_into_it() {
    let world = World::prod("acme/web:1.2.3").tags("acme/web", &["1.2.3", "1.3.0"]);
    let id = world.id("acme/web", "apps/web/prod", "1.3.0");
    let head = world.head();
    let mut world = world.pulls(vec![pull(4, PullState::Open, &head, &[&id])]);
    let branch = branch(vec![id.clone()], None);
    drop(world.heads.insert(head.to_string(), branch.clone()));
    let plan = world.complete();
    assert!(plan.actions.is_empty());
    assert_eq!(plan.holds[0].gate, Gate::Approval);

    drop(world.heads.insert(head.to_string(), Head { stale: true, ..branch.clone() }));
    let plan = world.complete();
    assert_eq!(plan.actions.len(), 1, "a branch that would conflict is made anew");

    drop(world.heads.insert(head.to_string(), branch));
    let plan = world.tags("acme/web", &["1.2.3", "1.3.0", "1.4.0"]).complete();
    let ActionKind::PullRequest(action) = &plan.actions[0].kind else { panic!("a pull request") };
    let open = action.open.as_ref().map(|open| open.number);
    assert_eq!((open, action.pushed, action.replaces.as_ref()), (Some(4), false, Some(&commit(5))));
    assert_eq!(action.reviewers, ["acme/sre"]);
}

#[test]
fn a_pushed_branch_without_a_pull_request_only_needs_the_pull_request() {
    let world = World::prod("acme/web:1.2.3").tags("acme/web", &["1.2.3", "1.3.0"]).pulls(Vec::new());
    let id = world.id("acme/web", "apps/web/prod", "1.3.0");
    let mut world = world;
    let head = world.head();
    drop(world.heads.insert(head.to_string(), branch(vec![id], None)));
    let plan = world.complete();
    let ActionKind::PullRequest(action) = &plan.actions[0].kind else { panic!("a pull request") };
    assert!(action.pushed && action.open.is_none());
}

#[test]
fn a_branch_with_a_persons_commit_is_left_alone() {
    let world = World::prod("acme/web:1.2.3").tags("acme/web", &["1.2.3", "1.3.0"]).pulls(Vec::new());
    let mut world = world;
    let head = world.head();
    let foreign = Some("Ada <ada@example.com>".to_owned());
    drop(world.heads.insert(head.to_string(), branch(Vec::new(), foreign)));
    let plan = world.complete();
    assert!(plan.actions.is_empty());
    assert!(plan.holds[0].reason.contains("Ada"), "{}", plan.holds[0].reason);
}

#[test]
fn tag_and_digest_move_together() {
    let current = format!("acme/web:1.2.3@{}", digest(9));
    let plan = World::dev(&current).tags("acme/web", &["1.2.3", "1.3.0"]).complete();
    assert_eq!(plan.actions[0].updates[0].to, Version { tag: Some(tag("1.3.0")), digest: Some(digest(17)) });
}

#[test]
fn a_digest_policy_follows_its_tag() {
    let policies = POLICIES.replacen("semver: \"*\"", "digest: true", 1);
    let current = format!("acme/web:stable@{}", digest(9));
    let mut world = World::new(&policies, &[("apps/web/dev/pod.yaml", &current)]);
    assert_eq!(world.plan().queries, Queries::from(RegistryQuery::Digest(name("acme/web"), tag("stable"))));
    drop(world.answers.digests.insert((name("acme/web"), tag("stable")), Answer::Known(digest(9))));
    assert_eq!(world.complete().up_to_date, 1);
    drop(world.answers.digests.insert((name("acme/web"), tag("stable")), Answer::Known(digest(10))));
    drop(world.answers.manifests.insert((name("acme/web"), tag("stable")), Answer::Known(manifest(10))));
    assert_eq!(world.complete().actions[0].updates[0].to.digest, Some(digest(10)));
    // What was said of it before it moved is not written.
    drop(world.answers.manifests.insert((name("acme/web"), tag("stable")), Answer::Known(manifest(11))));
    assert_eq!(targets(&world.complete()), Vec::<String>::new());
}

#[test]
fn pins_of_one_image_in_one_overlay_move_as_one_update() {
    let files = [("apps/web/dev/a.yaml", "acme/web:1.0.0"), ("apps/web/dev/b.yaml", "acme/web:1.1.0")];
    let plan = World::new(POLICIES, &files).tags("acme/web", &["1.0.0", "1.1.0", "1.2.0"]).complete();
    assert_eq!(plan.actions[0].updates.len(), 1);
    assert_eq!(plan.actions[0].updates[0].pins.len(), 2);
}

#[test]
fn gates_say_until_when() {
    let gated = |gate: &str| POLICIES.replacen("write: commit", &format!("write: commit\n    {gate}"), 1);
    let window = gated("windows: [{ cron: \"0 9 * * 1-5\", duration: 1h, timeZone: Europe/Berlin }]");
    let plan = World::new(&window, &[("apps/web/dev/p.yaml", "acme/web:1.0.0")])
        .tags("acme/web", &["1.0.0", "1.1.0"])
        .complete();
    assert_eq!(plan.holds[0].gate, Gate::Window);
    assert_eq!(plan.holds[0].until, Some("2026-01-06T08:00:00Z".parse().unwrap()));

    let age = gated("minimumReleaseAge: 3d");
    let mut world =
        World::new(&age, &[("apps/web/dev/p.yaml", "acme/web:1.0.0")]).tags("acme/web", &["1.0.0", "1.1.0"]);
    assert_eq!(world.complete().actions.len(), 1, "an unknown age never holds for ever");
    let born = world.now - SignedDuration::from_hours(24);
    let young = Manifest { created: Some(born), ..manifest(17) };
    drop(world.answers.manifests.insert((name("acme/web"), tag("1.1.0")), Answer::Known(young)));
    let plan = world.complete();
    assert_eq!(plan.holds[0].gate, Gate::MinimumReleaseAge);
    assert_eq!(plan.holds[0].until, Some(born + SignedDuration::from_hours(72)));

    let platforms = POLICIES.replacen("semver: \"*\"", "semver: \"*\", platforms: [linux/amd64, linux/arm64]", 1);
    let plan = World::new(&platforms, &[("apps/web/dev/p.yaml", "acme/web:1.0.0")])
        .tags("acme/web", &["1.0.0", "1.1.0"])
        .complete();
    assert!(plan.holds[0].reason.contains("linux/arm64") && !plan.holds[0].reason.contains("amd64"));
}

#[test]
fn what_no_policy_covers_is_counted_and_left_alone() {
    let plan = World::new(POLICIES, &[("other/p.yaml", "acme/web:1.0.0")]).complete();
    assert_eq!((plan.unmanaged, plan.actions.len()), (1, 0));
}

#[test]
fn newest_build_never_chooses_among_half_the_answers() {
    let policies = POLICIES.replacen("semver: \"*\"", "newestBuild: true", 1);
    let mut world = World::new(&policies, &[("apps/web/dev/p.yaml", "acme/web:a")]).tags("acme/web", &["a", "b", "c"]);
    assert_eq!(world.plan().queries.registry.len(), 3, "a creation time for each tag");
    let time = |hour: i64| Answer::Known(Some(Timestamp::from_second(hour * 3600).unwrap()));
    for (text, fact) in [("a", time(1)), ("b", time(3))] {
        drop(world.answers.created.insert((name("acme/web"), tag(text)), fact));
    }
    let failed = Answer::Failed { message: "429".to_owned(), code: FailureCode::RateLimited, last: None };
    drop(world.answers.created.insert((name("acme/web"), tag("c")), failed));
    let plan = world.complete();
    assert!(plan.actions.is_empty());
    assert_eq!(plan.problems[0].code, Some(FailureCode::RateLimited));
    drop(world.answers.created.insert((name("acme/web"), tag("c")), time(2)));
    assert_eq!(targets(&world.complete()), ["web b"]);
}

#[test]
fn branch_names_are_usable_and_keep_groups_apart() {
    let main = BranchName::parse("main").unwrap();
    let one = head_branch(&main, "prod", Some("prod"), "web").unwrap();
    assert!(one.as_str().starts_with("landfall/prod/web-"), "{one}");
    assert_ne!(one, head_branch(&main, "prod", Some("prod"), "web/").unwrap());
    assert_ne!(one, head_branch(&main, "other", Some("prod"), "web").unwrap());
    for group in ["", "..", "a b~^:?*[\\", "-x", "x.lock", "ä/ö", &"x".repeat(500)] {
        assert!(head_branch(&main, "p", None, group).is_some(), "{group}");
    }
}

#[test]
fn a_branch_in_the_way_of_another_leads_to_another_name() {
    let mut world = World::prod("acme/web:1.2.3").tags("acme/web", &["1.2.3", "1.3.0"]);
    let usual = world.head();
    drop(world.refs.insert("refs/heads/landfall".to_owned(), commit(7)));
    let other = BranchName::parse(&usual.as_str().replace("landfall/", "landfall-bot/")).unwrap();
    drop(world.answers.pulls.insert(other.clone(), Answer::Known(Vec::new())));
    let proposed = |world: &World| match &world.complete().actions[..] {
        [Action { kind: ActionKind::PullRequest(pull), .. }] => (pull.head.clone(), pull.next.clone()),
        actions => panic!("{actions:?}"),
    };
    let second = BranchName::parse(&format!("{other}-2")).unwrap();
    assert_eq!(proposed(&world), (other.clone(), Some(second)));
    // It is found again when nothing is in the way any more, and only then the usual name has its turn.
    let id = world.id("acme/web", "apps/web/prod", "1.3.0");
    drop(world.heads.insert(other.to_string(), branch(vec![id], None)));
    world.refs.clear();
    assert_eq!(proposed(&world).0, other);
    world.heads.clear();
    drop(world.answers.pulls.insert(usual.clone(), Answer::Known(Vec::new())));
    assert_eq!(proposed(&world).0, usual);
}

/// The message of the commit that carries a plan's only action.
fn message_of(plan: &Plan) -> String {
    let action = &plan.actions[0];
    crate::message::commit_message(&action.policy, action.environment.as_deref(), &action.updates)
}

#[test]
fn environments_that_share_a_folder_do_not_share_the_ledger() {
    let policies = r#"
policies:
  - { name: dev, paths: ["apps/*/dev-*.yaml"], environment: development, write: commit, tags: { semver: "*" } }
  - { name: prod, paths: ["apps/*/prod-*.yaml"], environment: production, write: commit, tags: { semver: "*" } }
"#;
    let files = [("apps/web/dev-web.yaml", "acme/web:1.0.0"), ("apps/web/prod-web.yaml", "acme/web:1.0.0")];
    let both = World::new(policies, &files).tags("acme/web", &["1.0.0", "1.1.0"]).complete();
    let ids: Vec<&UpdateId> = both.actions.iter().flat_map(|action| &action.updates).map(|u| &u.id).collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
    let files = [("apps/web/dev-web.yaml", "acme/web:1.1.0"), ("apps/web/prod-web.yaml", "acme/web:1.0.0")];
    let mut world = World::new(policies, &files).tags("acme/web", &["1.0.0", "1.1.0"]);
    world.ledger.record_unproven(
        &commit(7),
        Timestamp::UNIX_EPOCH,
        &format!("dev: bump web\n\nLandfall-Update: {}\n", ids[0]),
    );
    assert_eq!(targets(&world.complete()), ["web 1.1.0"], "development's commit says nothing about production");
}

#[test]
fn a_cap_holds_for_each_file_of_an_overlay() {
    let policies = r#"
policies:
  - { name: all, paths: ["apps/{app}/**"], write: commit, tags: { semver: "*" } }
"#;
    let files = [("apps/web/dev/a.yaml", "acme/web:1.0.0"), ("apps/web/prod/a.yaml", "acme/web:1.0.0")];
    let mut world = World::new(policies, &files).tags("acme/web", &["1.0.0", "1.1.0"]);
    let config = r#"
repositories:
  - { name: deploys, url: /srv/deploys.git, caps: [{ paths: ["**/prod/**"], write: [never, pull-request] }] }
"#;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("landfall.yaml");
    std::fs::write(&file, config).unwrap();
    let caps = crate::config::load(&file).unwrap().settings.repositories[0].caps.clone();
    world.policies = world.policies.with_caps(caps);
    let head = head_branch(&world.branch, "all", None, "web").unwrap();
    drop(world.answers.pulls.insert(head, Answer::Known(Vec::new())));
    let plan = world.complete();
    let written: Vec<(bool, Vec<&str>)> = plan
        .actions
        .iter()
        .map(|action| {
            let files = action.updates.iter().flat_map(|update| update.files()).map(RepoPath::as_str);
            (action.kind == ActionKind::Commit, files.collect())
        })
        .collect();
    assert_eq!(written, [(true, vec!["apps/web/dev/a.yaml"]), (false, vec!["apps/web/prod/a.yaml"])]);
    assert_ne!(plan.actions[0].updates[0].id, plan.actions[1].updates[0].id);
}

#[test]
fn a_digest_that_a_person_took_back_stays_back() {
    let policies = POLICIES.replacen("semver: \"*\"", "digest: true", 1);
    let before = format!("acme/web:stable@{}", digest(9));
    let mut world = World::new(&policies, &[("apps/web/dev/pod.yaml", &before)]);
    let serve = |world: &mut World, seed: u8| {
        let key = (name("acme/web"), tag("stable"));
        drop(world.answers.digests.insert(key.clone(), Answer::Known(digest(seed))));
        drop(world.answers.manifests.insert(key, Answer::Known(manifest(seed))));
    };
    serve(&mut world, 10);
    let first = world.complete();
    world.ledger.record_unproven(&commit(7), Timestamp::UNIX_EPOCH, &message_of(&first));
    let plan = world.complete();
    assert!(plan.actions.is_empty(), "the file says the old digest again, and nobody but a person did that");
    assert_eq!(plan.holds[0].gate, Gate::Hold);
    // The tag moves on, and then back to what it was: that is the registry's doing.
    serve(&mut world, 11);
    let second = world.complete();
    world.ledger.record_unproven(&commit(8), Timestamp::UNIX_EPOCH, &message_of(&second));
    let now = format!("acme/web:stable@{}", digest(11));
    let mut world = World { ledger: world.ledger, ..World::new(&policies, &[("apps/web/dev/pod.yaml", &now)]) };
    serve(&mut world, 10);
    assert_eq!(world.complete().actions[0].updates[0].to.digest, Some(digest(10)));
}

#[test]
fn a_pinning_that_a_person_took_back_is_not_repeated() {
    let policies = POLICIES.replacen("write: commit", "write: commit\n    pin: digest", 1);
    let mut world = World::new(&policies, &[("apps/web/dev/pod.yaml", "acme/web:1.2.3")]).tags("acme/web", &["1.2.3"]);
    let plan = world.complete();
    assert_eq!(plan.actions[0].updates[0].to.digest, Some(digest(16)));
    world.ledger.record_unproven(&commit(7), Timestamp::UNIX_EPOCH, &message_of(&plan));
    assert!(world.complete().actions.is_empty());
}

#[test]
fn a_merged_digest_may_come_back_after_another_one() {
    let policies = POLICIES.replace("semver: \"*\"", "digest: true");
    let id = |seed: u8| {
        let to = Version { tag: Some(tag("stable")), digest: Some(digest(seed)) };
        UpdateId::of(&BranchName::parse("main").unwrap(), "apps/web/prod", "prod", &name("acme/web"), &to)
    };
    let plan = |merged: &[u8]| {
        let now = format!("acme/web:stable@{}", digest(9));
        let mut world = World::new(&policies, &[("apps/web/prod/pod.yaml", &now)]);
        let key = (name("acme/web"), tag("stable"));
        drop(world.answers.digests.insert(key.clone(), Answer::Known(digest(10))));
        drop(world.answers.manifests.insert(key, Answer::Known(manifest(10))));
        let head = world.head();
        let numbered = merged.iter().zip((1..=9).rev());
        world.pulls(numbered.map(|(seed, n)| pull(n, PullState::Merged, &head, &[&id(*seed)])).collect()).complete()
    };
    assert_eq!(plan(&[10]).holds.len(), 1, "the last one merged was taken back");
    assert_eq!(plan(&[9, 10]).actions.len(), 1, "the tag went elsewhere and came back");
}

#[test]
fn a_platform_is_there_in_each_of_its_spellings() {
    let held = |wanted: &str, there: &str| {
        let policies = POLICIES.replacen("semver: \"*\"", &format!("semver: \"*\", platforms: [{wanted}]"), 1);
        let mut world =
            World::new(&policies, &[("apps/web/dev/p.yaml", "acme/web:1.0.0")]).tags("acme/web", &["1.0.0", "1.1.0"]);
        let key = (name("acme/web"), tag("1.1.0"));
        let manifest = Manifest { platforms: vec![there.to_owned()], ..manifest(17) };
        // The one of now is for the same.
        let now = (name("acme/web"), tag("1.0.0"));
        drop(world.answers.manifests.insert(now, Answer::Known(manifest.clone())));
        drop(world.answers.manifests.insert(key, Answer::Known(manifest)));
        !world.complete().holds.is_empty()
    };
    for (wanted, there, expected) in [
        ("linux/arm64", "linux/arm64/v8", false),
        ("linux/arm64/v8", "linux/arm64", false),
        ("linux/arm", "linux/arm/v6", false),
        ("linux/arm/v7", "linux/arm", false),
        ("linux/arm/v7", "linux/arm/v6", true),
        ("linux/arm", "linux/arm64", true),
        ("linux/amd64", "windows/amd64", true),
    ] {
        assert_eq!(held(wanted, there), expected, "{wanted} of {there}");
    }
}

#[test]
fn what_only_an_old_answer_says_is_not_called_up_to_date() {
    let mut world = World::dev("acme/web:1.3.0").tags("acme/web", &["1.2.3", "1.3.0"]);
    assert_eq!(world.complete().up_to_date, 1);
    let last = world.answers.listings[&name("acme/web")].best().cloned();
    let failed = Answer::Failed { message: "registry is down".to_owned(), code: FailureCode::Network, last };
    drop(world.answers.listings.insert(name("acme/web"), failed));
    let plan = world.complete();
    assert_eq!((plan.up_to_date, plan.problems.len()), (0, 1));
}

#[test]
fn an_image_that_is_too_young_does_not_hide_an_older_one_that_is_not() {
    let policies = POLICIES.replacen("write: commit", "write: commit\n    minimumReleaseAge: 3d", 1);
    let mut world = World::new(&policies, &[("apps/web/dev/p.yaml", "acme/web:1.0.0")])
        .tags("acme/web", &["1.0.0", "1.1.0", "1.2.0", "1.3.0"]);
    world.answers.first_seen.insert((name("acme/web"), digest(1)), Timestamp::UNIX_EPOCH);
    for (text, days) in [("1.1.0", 9), ("1.2.0", 4), ("1.3.0", 1)] {
        let created = Some(world.now - SignedDuration::from_hours(24 * days));
        drop(
            world
                .answers
                .manifests
                .insert((name("acme/web"), tag(text)), Answer::Known(Manifest { created, ..manifest(1) })),
        );
    }
    assert_eq!(targets(&world.complete()), ["web 1.2.0"]);
    drop(
        world.answers.manifests.insert((name("acme/web"), tag("1.3.0")), Answer::Absent { message: "404".to_owned() }),
    );
    assert_eq!(targets(&world.complete()), ["web 1.2.0"]);
}

#[test]
fn a_time_of_creation_ahead_of_the_clock_holds_nothing_for_ever() {
    let policies = POLICIES.replacen("write: commit", "write: commit\n    minimumReleaseAge: 3d", 1);
    let mut world =
        World::new(&policies, &[("apps/web/dev/p.yaml", "acme/web:1.0.0")]).tags("acme/web", &["1.0.0", "1.1.0"]);
    let key = (name("acme/web"), tag("1.1.0"));
    let odd = Manifest { created: Some("2099-01-01T00:00:00Z".parse().unwrap()), ..manifest(17) };
    drop(world.answers.manifests.insert(key, Answer::Known(odd)));
    assert_eq!(targets(&world.complete()), ["web 1.1.0"]);
}

#[test]
fn a_chart_among_an_images_tags_is_never_written() {
    let mut world = World::dev("acme/web:1.2.3").tags("acme/web", &["1.2.3", "1.3.0", "2.8.0", "2.9.0"]);
    let chart =
        |seed: u8| Manifest { artifact: Some("application/vnd.cncf.helm.config.v1+json".to_owned()), ..manifest(seed) };
    let put = |world: &mut World, text: &str, manifest: Manifest| {
        drop(world.answers.manifests.insert((name("acme/web"), tag(text)), Answer::Known(manifest)));
    };
    put(&mut world, "2.8.0", chart(18));
    put(&mut world, "2.9.0", chart(19));
    assert_eq!(targets(&world.complete()), ["web 1.3.0"]);
    // Nothing else is newer: it says why it stays.
    put(&mut world, "1.3.0", chart(17));
    let plan = world.complete();
    assert!(plan.actions.is_empty() && plan.holds[0].reason.contains("application/vnd.cncf.helm"), "{plan:#?}");
    assert_eq!(plan.holds[0].attention, Attention::Never, "nothing waits for it");
    // What stands there now is looked at only then, and a chart may follow a chart.
    world.answers.manifests.remove(&(name("acme/web"), tag("1.2.3")));
    assert_eq!(world.plan().queries, Queries::from(RegistryQuery::Manifest(name("acme/web"), tag("1.2.3"))));
    put(&mut world, "1.2.3", chart(16));
    assert_eq!(targets(&world.complete()), ["web 2.9.0"]);
}

#[test]
fn an_image_that_cannot_run_where_the_present_one_does_is_never_written() {
    let mut world = World::dev("acme/web:1.2.3").tags("acme/web", &["1.2.3", "1.3.0", "1.4.0"]);
    let of = |seed: u8, platforms: &[&str]| Manifest {
        platforms: platforms.iter().map(|it| (*it).to_owned()).collect(),
        ..manifest(seed)
    };
    let put = |world: &mut World, text: &str, manifest: Manifest| {
        drop(world.answers.manifests.insert((name("acme/web"), tag(text)), Answer::Known(manifest)));
    };
    let current = (name("acme/web"), tag("1.2.3"));
    world.answers.manifests.remove(&current);
    assert_eq!(world.plan().queries, Queries::from(RegistryQuery::Written(current.0.clone(), current.1.clone())));
    for (now, best, next, target) in [
        (&["linux/amd64"][..], &["linux/amd64"][..], &["linux/amd64"][..], "web 1.4.0"),
        (&["linux/amd64"], &["linux/arm64"], &["linux/amd64"], "web 1.3.0"),
        (&["linux/arm64"], &["linux/amd64"], &["linux/arm64/v8"], "web 1.3.0"),
        (&["linux/arm64/v8"], &["linux/arm64"], &["linux/amd64"], "web 1.4.0"),
        (&["linux/amd64"], &["linux/arm64", "linux/amd64"], &["linux/amd64"], "web 1.4.0"),
        // An index of fewer platforms.
        (&["linux/arm64/v8", "linux/amd64"], &["linux/amd64"], &["linux/amd64", "linux/arm64"], "web 1.3.0"),
        // What says nothing of itself is no evidence.
        (&[], &["linux/arm64"], &["linux/amd64"], "web 1.4.0"),
        (&["linux/amd64"], &[], &["linux/amd64"], "web 1.4.0"),
    ] {
        drop(world.answers.written.insert(current.clone(), Answer::Known(of(16, now))));
        put(&mut world, "1.4.0", of(18, best));
        put(&mut world, "1.3.0", of(17, next));
        assert_eq!(targets(&world.complete()), [target], "{now:?} to {best:?} or {next:?}");
    }
    drop(world.answers.written.insert(current.clone(), Answer::Known(of(16, &["linux/amd64"]))));
    put(&mut world, "1.4.0", of(18, &["linux/arm64"]));
    put(&mut world, "1.3.0", of(17, &["windows/amd64"]));
    let plan = world.complete();
    let reason = &plan.holds[0].reason;
    assert!(
        plan.actions.is_empty()
            && reason.starts_with(
                "1.4.0 is built only for linux/arm64; 1.2.3, which is written now, also supports linux/amd64"
            ),
        "{plan:#?}"
    );
    // The current one is gone, or older than anything that can be read.
    let (message, code) = ("schema 1".to_owned(), FailureCode::Protocol);
    for answer in [Answer::Absent { message: "404".to_owned() }, Answer::Failed { message, code, last: None }] {
        drop(world.answers.written.insert(current.clone(), answer));
        assert_eq!(targets(&world.complete()), ["web 1.4.0"]);
    }
    let (message, code) = ("down".to_owned(), FailureCode::Network);
    drop(world.answers.written.insert(current.clone(), Answer::Failed { message, code, last: None }));
    let plan = world.complete();
    assert!(plan.actions.is_empty() && plan.problems[0].message == "down", "{plan:#?}");
    // A policy that names platforms decides alone.
    let named = POLICIES.replace("tags: { semver: \"*\" }", "tags: { semver: \"*\", platforms: [linux/arm64] }");
    world.policies = PolicySet::new(parse_policies("policies.yaml", &named).unwrap());
    assert_eq!(targets(&world.complete()), ["web 1.4.0"]);
}

#[test]
fn an_image_made_long_ago_and_pushed_today_is_young() {
    let policies = POLICIES.replacen("write: commit", "write: commit\n    minimumReleaseAge: 3d", 1);
    let mut world =
        World::new(&policies, &[("apps/web/dev/p.yaml", "acme/web:1.0.0")]).tags("acme/web", &["1.0.0", "1.1.0"]);
    let old = Manifest { created: Some(world.now - SignedDuration::from_hours(24 * 300)), ..manifest(17) };
    drop(world.answers.manifests.insert((name("acme/web"), tag("1.1.0")), Answer::Known(old)));
    let seen = world.now - SignedDuration::from_hours(1);
    let key = (name("acme/web"), manifest(17).digest);
    world.answers.first_seen.insert(key.clone(), seen);
    let plan = world.complete();
    assert_eq!(plan.holds[0].until, Some(seen + SignedDuration::from_hours(72)));
    assert!(plan.holds[0].reason.contains("first seen in its registry at"), "{}", plan.holds[0].reason);
    // What the bot has no record of, it sees now: whatever the image says of itself.
    world.answers.first_seen.remove(&key);
    let plan = world.complete();
    assert_eq!(plan.holds[0].until, Some(world.now + SignedDuration::from_hours(72)));
    // A date of 1970 is no date; and a record of the time to come is as good as none.
    let undated = Manifest { created: None, ..manifest(17) };
    drop(world.answers.manifests.insert((name("acme/web"), tag("1.1.0")), Answer::Known(undated)));
    world.answers.first_seen.insert(key.clone(), world.now + SignedDuration::from_hours(9));
    assert_eq!(world.complete().holds[0].until, Some(world.now + SignedDuration::from_hours(72)));
    // Old enough, and the commit says by which clock.
    world.answers.first_seen.insert(key, world.now - SignedDuration::from_hours(73));
    let message = message_of(&world.complete());
    let since = world.now - SignedDuration::from_hours(73);
    assert!(message.contains(&format!("Landfall-Age: first seen {since:.0}\n")), "{message}");
}

#[test]
fn the_last_trailer_of_a_text_is_the_bots() {
    let id = UpdateId::parse("0123456789abcdef").unwrap();
    let text = format!("| `<!-- landfall: fedcba9876543210 -->` |\n\n<!-- landfall: {id} -->\n");
    assert_eq!(pull_requests::body_ids(&text), [id]);
}

#[test]
fn many_overlays_of_one_image_cost_one_choice() {
    let paths: Vec<String> = (0..2_000).map(|n| format!("apps/a{n}/dev/p.yaml")).collect();
    let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "acme/web:1.0.0")).collect();
    let took = |count: usize| {
        let mut world = World::new(POLICIES, &files);
        let tags = (0..count).map(|n| tag(&format!("1.0.{n}"))).collect();
        let listing = Listing { tags: Arc::new(tags), dropped: 0, at: world.now };
        drop(world.answers.listings.insert(name("acme/web"), Answer::Known(listing)));
        let newest = tag(&format!("1.0.{}", count - 1));
        drop(world.answers.manifests.insert((name("acme/web"), newest), Answer::Known(manifest(1))));
        drop(world.answers.written.insert((name("acme/web"), tag("1.0.0")), Answer::Known(manifest(2))));
        let begun = std::time::Instant::now();
        assert_eq!(world.complete().actions[0].updates.len(), 2_000);
        begun.elapsed()
    };
    let (few, many) = (took(50), took(5_000));
    // A choice of its own for each overlay would cost a hundred times as much.
    assert!(many < few * 10 + std::time::Duration::from_secs(1), "{many:?} after {few:?}");
}

#[test]
fn a_pull_request_of_thousands_of_updates_fits_into_a_forge() {
    let policies = POLICIES.replace("labels: [release]", "group: all, labels: [release]");
    let folder = "a-folder-with-a-rather-long-name/".repeat(6);
    let paths: Vec<String> = (0..2_500).map(|n| format!("apps/a{n}/prod/{folder}p.yaml")).collect();
    let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "ghcr.io/acme/web:1.0.0")).collect();
    let mut world = World::new(&policies, &files).tags("ghcr.io/acme/web", &["1.0.0", "1.1.0"]);
    let head = head_branch(&world.branch, "prod", Some("prod"), "all").unwrap();
    drop(world.answers.pulls.insert(head.clone(), Answer::Known(Vec::new())));
    let plan = world.complete();
    assert_eq!((plan.actions.len(), plan.actions[0].updates.len(), plan.holds.len()), (1, 2_000, 500));
    let body = crate::message::pull_body(&plan.actions[0].updates, None, &head);
    assert!(body.len() < 65_536, "{}", body.len());
    assert_eq!(pull_requests::body_ids(&body).len(), 2_000);
    assert!(body.contains("more updates; the commit's message lists all"));
}

mod automatic;
mod people;

#[test]
fn a_running_tag_that_the_policy_would_never_choose_is_held_unless_it_adopts() {
    let policy = |adopt: &str| {
        format!(
            "policies:\n  - {{ name: dev, paths: [\"apps/{{app}}/dev/**\"], environment: dev, write: commit, {adopt} tags: {{ filter: \
             '^prod-(\\d+)-', extract: '$1', numerical: asc }} }}\n"
        )
    };
    let world = |adopt: &str| {
        World::new(&policy(adopt), &[("apps/web/dev/pod.yaml", "acme/web:pr-1207-abc")])
            .tags("acme/web", &["pr-1207-abc", "prod-100-def", "prod-120-abe"])
    };
    let plan = world("").complete();
    assert!(plan.actions.is_empty() && plan.up_to_date == 0);
    assert_eq!((plan.holds.len(), plan.holds[0].gate), (1, Gate::Hold));
    assert!(plan.holds[0].reason.contains("adopt: true"), "{}", plan.holds[0].reason);
    // Nobody has rejected it or rolled it back.
    let told = crate::landing::pre_merge::held(&plan.holds[0]);
    assert_eq!(
        (told.state, told.cause.as_ref().unwrap().code),
        (crate::model::State::Paused, crate::model::CauseCode::Suspended)
    );
    assert!(told.cause.unwrap().next.contains("`adopt: true` in the policy dev"));
    assert_eq!(targets(&world("adopt: true,").complete()), ["web prod-120-abe"]);
}

#[test]
fn what_only_looks_up_to_date_is_a_problem() {
    let plan = World::dev("acme/web:1.27.1-alpine3.19")
        .tags("acme/web", &["1.27.1-alpine3.19", "1.28.0-alpine3.20"])
        .complete();
    assert!(plan.actions.is_empty());
    assert_eq!((plan.up_to_date, plan.problems.len()), (0, 1));
    assert!(plan.problems[0].message.contains("1.28.0-alpine3.20 looks newer"), "{}", plan.problems[0].message);
}
