//! The tracker step by step, over clusters that are written down here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cluster_view::WatchedCluster;
use super::memory::{ROWS, RowMemory};
use super::state::{Depth, PassInput, Passed, TrackerState};
use super::view::{BranchView, View};
use super::{Rows, Tracker, TrackerSetup};
use crate::cluster::{Snapshot, WatchedKind};
use crate::daemon::clock::Clock;
use crate::daemon::outcome::CycleOutcome;
use crate::daemon::queries::Lookup;
use crate::git::{GitCredentials, Mirror, RemoteSettings, RemoteUrl};
use crate::landing::incidents::Rules;
use crate::landing::watchers::RepositoryAddresses;
use crate::model::{BranchName, CommitId, FailureCode, RepoPath, State};
use crate::overlay::{FileChange, PinIndex};
use crate::plan::{Problem, declared};
use crate::policy::PolicySet;
use crate::registry::{Limits, RegistryClient};
use crate::store::Store;

/// A branch on which each of these apps pins one image.
pub(super) fn branch(name: &str, apps: &[&str]) -> BranchView {
    let name = BranchName::parse(name).unwrap();
    let file = |app: &&str| FileChange::File {
        path: RepoPath::parse(&format!("apps/{app}/kustomization.yaml")).unwrap(),
        bytes: format!("images:\n  - name: ghcr.io/acme/{app}\n    newTag: 1.2.3\n").into_bytes(),
    };
    let mut index = PinIndex::new();
    index.update(apps.iter().map(file).collect());
    let pins = index.pins(&|_| false).pins;
    let shared: Vec<_> = pins.iter().cloned().map(Arc::new).collect();
    BranchView {
        tip: CommitId::parse(&"a".repeat(40)).unwrap(),
        declared: Arc::new(declared(&name, &shared, &PolicySet::new(Vec::new()))),
        pins: Arc::new(pins),
        source_ignore: "".into(),
        reach: Arc::new(index.reach().clone()),
        name,
    }
}

const APPS: [&str; 3] = ["api", "jobs", "web"];
const REMOTE: &str = "https://git.example.com/acme/deploys.git";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

/// A repository after a cycle. Its mirror is empty, so that nothing is known of its history.
async fn view(folder: &std::path::Path) -> View {
    let url = RemoteUrl::parse(REMOTE).unwrap();
    let remote = RemoteSettings {
        url,
        credentials: GitCredentials::None,
        ca_file: None,
        client_certificate: None,
        timeout: Duration::from_secs(5),
    };
    let branch = branch("main", &APPS);
    let mut outcome = CycleOutcome::new("deploys");
    outcome.revision = Some(branch.tip.clone());
    View {
        name: "deploys".to_owned(),
        repository: Arc::new(RepositoryAddresses::new([REMOTE], BranchName::parse("main").ok())),
        address: REMOTE.to_owned(),
        mirror: Mirror::open(folder, remote).await.unwrap(),
        branches: vec![branch],
        outcome,
        heads: HashMap::new(),
        pulls: Arc::default(),
        at: at(0),
    }
}

fn application(app: &str, path: &str) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": { "name": app, "namespace": "argocd" },
        "spec": {
            "project": "default",
            "source": { "repoURL": REMOTE, "path": path, "targetRevision": "main" },
            "destination": { "server": "https://kubernetes.default.svc", "namespace": app },
        },
        "status": {
            "sync": { "status": "Synced", "revision": "a".repeat(40) },
            "health": { "status": "Healthy" },
            "resources": [{ "group": "apps", "kind": "Deployment", "namespace": app, "name": app, "status": "Synced" }],
        },
    })
}

fn deployment(app: &str, tag: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": app, "namespace": app, "generation": 1 },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": app } },
            "template": {
                "metadata": { "labels": { "app": app } },
                "spec": { "containers": [{ "name": app, "image": format!("ghcr.io/acme/{app}:{tag}") }] },
            },
        },
        "status": { "observedGeneration": 1, "replicas": 0 },
    })
}

/// The cluster with everything in its place, in order of the apps.
fn manifests() -> Vec<Value> {
    let of = |app: &&str| [application(app, &format!("apps/{app}")), deployment(app, "1.2.3")];
    APPS.iter().flat_map(of).collect()
}

struct Stage {
    state: TrackerState,
    memory: RowMemory,
    now: i64,
}

impl Stage {
    fn new() -> Self {
        let cluster = WatchedCluster { name: "eu-1".to_owned(), environments: Vec::new() };
        Self { state: TrackerState::new(vec![cluster]), memory: RowMemory::default(), now: 0 }
    }

    fn pass(&mut self, manifests: &[Value], views: Vec<View>, depth: Depth) -> Option<Passed> {
        self.now += 1;
        let clusters = vec![(Snapshot::of_manifests("eu-1", manifests), Vec::new())];
        let input = PassInput { clusters, views, stalled: BTreeSet::new(), depth, now: at(self.now) };
        self.state.pass(input, &mut self.memory)
    }
}

/// What each app's row says runs.
fn live(rows: &Rows) -> Vec<String> {
    let line = |row: &crate::model::Tracked| {
        format!("{} {}", row.app, row.live.first().map(ToString::to_string).unwrap_or_default())
    };
    rows.rows.iter().map(line).collect()
}

#[tokio::test]
async fn only_what_changed_is_judged_and_where_nothing_did_there_is_nothing_new() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, mut manifests) = (Stage::new(), manifests());
    let view = view(folder.path()).await;
    let passed = stage.pass(&manifests, vec![view.clone()], Depth::Changes).unwrap();
    assert_eq!(live(&passed.rows), ["api 1.2.3", "jobs 1.2.3", "web 1.2.3"]);
    assert!(stage.pass(&manifests, Vec::new(), Depth::Changes).is_none(), "nothing is new");
    manifests[5] = deployment("web", "1.2.4");
    let passed = stage.pass(&manifests, Vec::new(), Depth::Changes).unwrap();
    assert_eq!(live(&passed.rows), ["api 1.2.3", "jobs 1.2.3", "web 1.2.4"]);
    // A controller that reads something else from now on leaves its image to nobody.
    manifests[0] = application("api", "apps/other");
    let passed = stage.pass(&manifests, Vec::new(), Depth::Changes).unwrap();
    assert_eq!(live(&passed.rows), ["jobs 1.2.3", "web 1.2.4"], "no policy covers it, so that nobody misses it");
}

#[tokio::test]
async fn a_panic_at_one_image_is_told_of_that_image_and_the_others_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, mut manifests) = (Stage::new(), manifests());
    stage.state.poisoned = Some(1);
    let states = |passed: Passed| -> Vec<String> {
        let said = |row: &crate::model::Tracked| {
            let broke = row.landing.cause.as_ref().is_some_and(|cause| cause.message.contains("a bug in the bot"));
            format!("{} {broke}", row.app)
        };
        passed.rows.rows.iter().map(said).collect()
    };
    let passed = stage.pass(&manifests, vec![view(folder.path()).await], Depth::Changes).unwrap();
    assert_eq!(states(passed), ["api false", "jobs true", "web false"]);
    manifests[5] = deployment("web", "1.2.4");
    let passed = stage.pass(&manifests, Vec::new(), Depth::Changes).unwrap();
    assert_eq!(live(&passed.rows)[2], "web 1.2.4");
    stage.state.poisoned = None;
    let passed = stage.pass(&manifests, Vec::new(), Depth::Everything).unwrap();
    assert_eq!(states(passed), ["api false", "jobs false", "web false"]);
}

/// `app state: message` of each row.
fn told(passed: &Passed) -> Vec<String> {
    let said = |row: &crate::model::Tracked| {
        let cause = row.landing.cause.as_ref().map(|cause| format!("{} {}", cause.message, cause.evidence.join(" ")));
        format!("{} {:?}: {}", row.app, row.landing.state, cause.unwrap_or_default())
    };
    passed.rows.rows.iter().map(said).collect()
}

#[tokio::test]
async fn an_object_at_which_the_index_breaks_off_is_named_and_the_others_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, mut manifests) = (Stage::new(), manifests());
    let mut broken = deployment("web", "1.2.3");
    broken["metadata"]["name"] = "breaks-the-index".into();
    manifests.push(broken);
    for (depth, tag) in [(Depth::Everything, "1.2.3"), (Depth::Changes, "1.2.4")] {
        manifests[1] = deployment("api", tag);
        let views = if depth == Depth::Everything { vec![view(folder.path()).await] } else { Vec::new() };
        let passed = stage.pass(&manifests, views, depth).unwrap();
        assert_eq!(live(&passed.rows)[..2], [format!("api {tag}"), "jobs 1.2.3".to_owned()]);
        let [problem] = &passed.rows.problems[..] else { panic!("{:?}", passed.rows.problems) };
        assert!(
            problem.contains("Deployment web/breaks-the-index")
                && problem.contains("because of a bug in the bot: on purpose")
        );
        // What stands beside it may be what it does.
        assert!(told(&passed)[2].contains("breaks-the-index cannot be read"), "{:?}", told(&passed));
    }
    manifests.pop();
    let passed = stage.pass(&manifests, Vec::new(), Depth::Changes).unwrap();
    assert_eq!((live(&passed.rows)[2].as_str(), passed.rows.problems.len()), ("web 1.2.3", 0));
}

/// A branch with a long chain of overlays, each of which sets the versions of many images anew.
fn chain(overlays: usize, images: usize) -> BranchView {
    let name = BranchName::parse("main").unwrap();
    let images: String = (0..images).map(|n| format!("  - {{ name: ghcr.io/acme/i{n}, newTag: 1.0.0 }}\n")).collect();
    let file = |n: usize| FileChange::File {
        path: RepoPath::parse(&format!("o/{n}/kustomization.yaml")).unwrap(),
        bytes: format!("resources: [../{}]\nimages:\n{images}", n.saturating_sub(1)).into_bytes(),
    };
    let mut index = PinIndex::new();
    index.update((0..overlays).map(file).collect());
    let pins = index.pins(&|_| false).pins;
    let shared: Vec<_> = pins.iter().cloned().map(Arc::new).collect();
    let policy = "policies:\n  - { name: all, paths: [\"**\"], write: commit }\n";
    let (policies, wrong) = crate::config::parse_policy_files([("p.yaml", policy)]);
    assert_eq!(wrong, []);
    BranchView {
        declared: Arc::new(declared(&name, &shared, &PolicySet::new(policies))),
        pins: Arc::new(pins),
        reach: Arc::new(index.reach().clone()),
        ..branch("main", &[])
    }
}

#[tokio::test]
async fn a_repository_whose_kustomizations_build_too_much_is_named_and_the_others_are_judged() {
    const OVERLAYS: usize = 400;
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, mut manifests) = (Stage::new(), manifests());
    manifests.push(application("all", &format!("o/{}", OVERLAYS - 1)));
    let deploys = view(folder.path()).await;
    let chains = View { name: "chains".to_owned(), branches: vec![chain(OVERLAYS, 25)], ..deploys.clone() };
    let passed = stage.pass(&manifests, vec![chains, deploys], Depth::Changes).unwrap();
    let (of_chains, of_deploys): (Vec<_>, Vec<_>) =
        passed.rows.rows.iter().cloned().partition(|row| row.repository == "chains");
    let of_deploys = Rows { rows: of_deploys, problems: Vec::new(), at: at(0) };
    assert_eq!(live(&of_deploys), ["api 1.2.3", "jobs 1.2.3", "web 1.2.3"]);
    let [problem] = &passed.rows.problems[..] else { panic!("{:?}", passed.rows.problems) };
    assert!(problem.starts_with("chains: branch main: ") && problem.contains("next: "), "{problem}");
    let unknown = |row: &&crate::model::Tracked| {
        let said = |cause: &crate::model::Cause| cause.evidence.iter().any(|said| said.contains("does not trace"));
        row.landing.state == State::Unknown && row.landing.cause.as_ref().is_some_and(said)
    };
    let (before, all) = (of_chains.iter().filter(unknown).count(), of_chains.len());
    assert!(before > 1_000, "{before} of {all}");
    // Those whose turn it is are not known for a while.
    let passed = stage.pass(&manifests, Vec::new(), Depth::Slice(OVERLAYS * 25)).unwrap();
    assert_eq!(passed.rows.rows.iter().filter(unknown).count(), before);
    assert_eq!(passed.rows.problems.len(), 1);
}

#[tokio::test]
async fn a_cluster_that_cannot_be_taken_in_is_told_and_tried_again_after_growing_pauses() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, good) = (Stage::new(), manifests());
    let mut bad = good.clone();
    for mut object in [deployment("web", "1.2.3"), application("web", "apps/none")] {
        object["metadata"]["name"] = "breaks-together".into();
        bad.push(object);
    }
    drop(stage.pass(&good, vec![view(folder.path()).await], Depth::Everything));
    let rows = told(&stage.pass(&bad, Vec::new(), Depth::Changes).unwrap());
    assert!(
        rows.iter()
            .any(|row| row.starts_with("eu-1 Unknown") && row.contains("because of a bug in the bot: on purpose")),
        "{rows:?}"
    );
    // It is well again, and nothing is tried before the pause is over.
    let tries = |stage: &mut Stage, seconds: i64, manifests: &[Value]| {
        stage.now += seconds;
        stage.pass(manifests, Vec::new(), Depth::Everything).unwrap().rows.rows.iter().all(|row| row.app != "eu-1")
    };
    assert!(!tries(&mut stage, 2, &good) && !tries(&mut stage, 3, &bad), "five seconds, and then ten");
    assert!(!tries(&mut stage, 7, &good) && tries(&mut stage, 3, &good));
    let passed = stage.pass(&good, Vec::new(), Depth::Everything).unwrap();
    assert_eq!((live(&passed.rows)[2].as_str(), passed.rows.problems.len()), ("web 1.2.3", 0));
}

#[tokio::test]
async fn where_the_watchers_break_off_at_one_controller_the_others_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, mut manifests) = (Stage::new(), manifests());
    let mut broken = application("web", "apps/web");
    broken["metadata"]["name"] = "breaks-the-watchers".into();
    manifests[4] = broken;
    let passed = stage.pass(&manifests, vec![view(folder.path()).await], Depth::Everything).unwrap();
    assert_eq!(live(&passed.rows)[..2], ["api 1.2.3", "jobs 1.2.3"], "{:?}", told(&passed));
}

#[tokio::test]
async fn all_images_take_their_turn_whatever_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, manifests) = (Stage::new(), manifests());
    drop(stage.pass(&manifests, vec![view(folder.path()).await], Depth::Changes));
    // What a mistake of the dirty set would leave behind.
    for image in 0..APPS.len() {
        stage.state.forget_rows_of(image);
    }
    let mut seen = Vec::new();
    for _ in 0..APPS.len() {
        seen.push(live(&stage.pass(&manifests, Vec::new(), Depth::Slice(1)).unwrap().rows).len());
    }
    assert_eq!(seen, [1, 2, 3]);
}

#[tokio::test]
async fn a_cluster_that_is_lost_is_one_row_and_what_is_unknown_for_that_is_no_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, manifests) = (Stage::new(), manifests());
    drop(stage.pass(&manifests, vec![view(folder.path()).await], Depth::Changes));
    let mut snapshot = Snapshot::of_manifests("eu-1", &manifests);
    for status in snapshot.kinds.values_mut() {
        let message = "connection refused".to_owned();
        status.state = crate::cluster::KindState::Disconnected { since: at(5), message };
    }
    let input = PassInput {
        clusters: vec![(snapshot, Vec::new())],
        views: Vec::new(),
        stalled: BTreeSet::new(),
        depth: Depth::Changes,
        now: at(10),
    };
    let rows = stage.state.pass(input, &mut stage.memory).unwrap().rows.rows;
    let (unseen, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.unseen);
    assert_eq!(unseen.len(), 3, "{rows:#?}");
    assert_eq!(
        others.iter().map(|row| (row.app.as_str(), row.landing.state)).collect::<Vec<_>>(),
        [("eu-1", State::Unknown)]
    );
    let evidence = &others[0].landing.cause.as_ref().unwrap().evidence;
    assert_eq!(evidence, &["unknown for that: 3 images (api, jobs, web)"]);
    // Receivers of their environments hear of it.
    assert_eq!(others[0].affects, unseen.iter().map(|row| crate::model::Affected::of(row)).collect());
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_named_and_puts_only_its_own_namespace_in_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, manifests) = (Stage::new(), manifests());
    drop(stage.pass(&manifests, vec![view(folder.path()).await], Depth::Changes));
    let mut snapshot = Snapshot::of_manifests("eu-1", &manifests);
    let deployments = snapshot.kinds.get_mut(&WatchedKind::Deployment).unwrap();
    let large = |name: &str| (name.to_owned(), "it is larger than 4 MiB".to_owned());
    deployments.unreadable = ["api/big", "team-a/a", "team-a/b", "team-a/c", "team-a/d"].map(large).into();
    let input = PassInput {
        clusters: vec![(snapshot, Vec::new())],
        views: Vec::new(),
        stalled: BTreeSet::new(),
        depth: Depth::Changes,
        now: at(10),
    };
    let passed = stage.state.pass(input, &mut stage.memory).unwrap();
    let said = |row: &crate::model::Tracked| {
        let doubted = row.landing.cause.as_ref().is_some_and(|cause| cause.message.contains("api/big cannot be read"));
        format!("{} {doubted}", row.app)
    };
    let said: Vec<String> = passed.rows.rows.iter().map(said).collect();
    assert_eq!(said, ["api true", "jobs false", "web false"], "{:#?}", passed.rows.rows);
    assert_eq!(
        passed.rows.problems,
        [
            "cluster eu-1: Deployment api/big cannot be read, so its state is unknown: it is larger than 4 MiB",
            "cluster eu-1: Deployment team-a/a, team-a/b, team-a/c and 1 more cannot be read, so its state is unknown: it is larger than 4 MiB",
        ]
    );
}

/// A tracker without clusters, which answers as the actor does.
#[tokio::test]
async fn the_actor_answers_in_the_order_of_its_messages() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::from_fn(|| at(0));
    let client = RegistryClient::new(Vec::new(), Limits::default()).unwrap();
    let lookup = Arc::new(Lookup::new(client, Store::in_memory().unwrap(), clock.clone()));
    let rules = Rules::new(Duration::from_secs(60));
    let (clusters, sinks) = (Vec::new(), Vec::new());
    let setup = TrackerSetup { clusters, sinks, heartbeat: None, rules, lookup, clock, state: None, replicas: None };
    let tracker = Tracker::start(setup);
    assert!(tracker.look().await.is_none(), "no cycle has said anything");
    let mut broken = view(folder.path()).await;
    broken.outcome.revision = None;
    let message = "the remote is silent".to_owned();
    broken.outcome.add_blocking([Problem {
        path: None,
        image: None,
        line: None,
        message,
        code: Some(FailureCode::Network),
    }]);
    tracker.publish(broken);
    let rows = tracker.look().await.unwrap();
    assert_eq!(rows.problems, ["deploys: the remote is silent"]);
    assert_eq!(rows.rows.len(), 1, "{:#?}", rows.rows);
    tracker.publish(view(folder.path()).await);
    assert_eq!(tracker.look().await.unwrap().rows.len(), 0, "no policy covers what it declares");
}

#[tokio::test]
async fn what_the_owner_of_the_cache_remembers_is_known_to_a_command_beside_it() {
    let (state, mirror) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let shared = crate::store::SharedMemory::in_folder(Some(state.path()));
    let mut stage = Stage::new();
    drop(stage.pass(&manifests(), vec![view(mirror.path()).await], Depth::Changes));
    let owned = Store::open(&state.path().join("cache.redb")).unwrap();
    shared.write(&owned, &stage.memory);
    let beside: RowMemory = shared.read(&Store::in_memory().unwrap(), ROWS);
    assert_eq!(serde_json::to_value(&beside).unwrap(), serde_json::to_value(&stage.memory).unwrap());
    assert_ne!(serde_json::to_value(&beside).unwrap(), serde_json::to_value(RowMemory::default()).unwrap());
    // Whoever has the cache trusts only that, and whoever has not writes nothing.
    assert_eq!(shared.read::<RowMemory>(&owned, ROWS), RowMemory::default());
    shared.write(&Store::in_memory().unwrap(), &RowMemory::default());
    assert_eq!(shared.read::<RowMemory>(&Store::in_memory().unwrap(), ROWS), beside);
}
