//! Charts, artifacts and packages go the same way as an image: chosen in their registry, edited byte for byte, committed or
//! requested, taken back. Never one of another type.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};

use crate::registry::real::{CHART, FLUX, push_artifact, push_chart};
use crate::support::git::{fsck, git};
use crate::support::server::Server;
use crate::support::world::{Setup, World};

const POLICIES: &str = r#"policies:
  - { name: dev, paths: ["apps/*/dev/**"], environment: dev, write: commit, tags: { semver: "*" } }
  - { name: prod, paths: ["apps/*/prod/**"], environment: prod, write: pull-request, tags: { semver: "*" } }
"#;

const APPLICATION: &str = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: web}\nspec:\n  source:\n    \
    repoURL: REG/charts # ours\n    chart: web\n    targetRevision: \"1.2.3\" # keep\n";
const ARTIFACT: &str = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: deploy}\nspec:\n  \
    url: oci://REG/deploy/web\n  ref:\n    tag: 1.2.3\n";
const PROVIDER: &str = "apiVersion: pkg.crossplane.io/v1\nkind: Provider\nmetadata: {name: sql}\nspec:\n  package: \
    REG/acme/provider-sql:v1.2.3\n";

fn setup() -> Setup {
    World::setup()
        .policies(POLICIES)
        .file("apps/web/dev/application.yaml", APPLICATION)
        .file("apps/web/prod/application.yaml", APPLICATION)
        .file("apps/web/dev/artifact.yaml", ARTIFACT)
        .file("apps/web/dev/provider.yaml", PROVIDER)
}

fn push(world: &World, repository: &str, tag: &str, kind: &str) {
    let base = world.text("http://REG/").trim_end_matches('/').to_owned();
    world.block_on(push_artifact(&base, repository, tag, kind));
}

fn start() -> World {
    let world = setup().start();
    for tag in ["1.2.3", "1.3.0", "1.4.0_up2"] {
        push(&world, "charts/web", tag, CHART);
        push(&world, "deploy/web", tag, FLUX);
    }
    world.push_all("acme/provider-sql", &["v1.2.3", "v1.3.0"]);
    world
}

#[test]
fn new_versions_reach_an_application_an_oci_repository_and_a_provider() {
    let world = start();
    let report = world.apply();
    let kinds: Vec<&Value> = report["actions"].as_array().unwrap().iter().map(|action| &action["kind"]).collect();
    assert_eq!(kinds, ["commit", "pull-request"], "{report:#}");
    assert_eq!(report["problems"], json!([]), "{report:#}");
    let read = |path: &str| world.read("main", path);
    // A chart's version has its build metadata behind a +; a tag that Flux asks for has it behind a _.
    assert_eq!(
        read("apps/web/dev/application.yaml"),
        world.text(&APPLICATION.replace("1.2.3", "1.4.0+up2")),
        "{report:#}"
    );
    assert_eq!(read("apps/web/dev/artifact.yaml"), world.text(&ARTIFACT.replace("1.2.3", "1.4.0_up2")));
    assert_eq!(read("apps/web/dev/provider.yaml"), world.text(&PROVIDER.replace("1.2.3", "1.3.0")));
    let head = report["actions"][1]["head"].as_str().unwrap();
    assert_eq!(
        world.read(head, "apps/web/prod/application.yaml"),
        world.text(&APPLICATION.replace("1.2.3", "1.4.0+up2"))
    );
    fsck(&world.bare());

    let refs = world.refs();
    let again = world.apply();
    assert_eq!((&again["actions"], &again["problems"]), (&json!([]), &json!([])), "{again:#}");
    assert_eq!(world.refs(), refs);

    let chart = world.text("oci://REG/charts/web");
    world.landfall(&["rollback", &chart, "--environment", "dev", "--by", "Ada"]).ends(0);
    assert_eq!(read("apps/web/dev/application.yaml"), world.text(APPLICATION));
    assert_eq!(world.apply()["actions"], json!([]), "a person's decision holds");
}

#[test]
fn a_chart_never_becomes_something_else() {
    let world = setup().start();
    world.push_all("acme/provider-sql", &["v1.2.3"]);
    push(&world, "charts/web", "1.2.3", CHART);
    push(&world, "deploy/web", "1.2.3", FLUX);
    push(&world, "charts/web", "2.0.0", FLUX);
    world.push_all("charts/web", &["2.1.0"]);
    push(&world, "deploy/web", "2.0.0", CHART);
    let report = world.apply();
    let text = world.read("main", "apps/web/dev/application.yaml") + &world.read("main", "apps/web/dev/artifact.yaml");
    assert_eq!(text, world.text(&format!("{APPLICATION}{ARTIFACT}")), "{report:#}");
    assert_eq!(report["actions"], json!([]), "{report:#}");
    let said = report["holds"].to_string();
    assert!(said.contains("2.1.0 is a container image") && said.contains("2.0.0 is `"), "{report:#}");
}

/// A Helm repository over HTTP, with these versions of the chart `web`.
struct Index {
    versions: Arc<Mutex<Vec<&'static str>>>,
    server: Server,
}

impl Index {
    fn start(versions: &[&'static str]) -> Self {
        let versions = Arc::new(Mutex::new(versions.to_vec()));
        let listed = Arc::clone(&versions);
        let index = move || {
            let entry = |version: &&str| format!("  - {{ version: {version}, digest: {} }}\n", "ab".repeat(32));
            let entries: String = listed.lock().unwrap().iter().map(entry).collect();
            std::future::ready(format!("apiVersion: v1\nentries:\n  web:\n{entries}"))
        };
        Self { versions, server: Server::start(Router::new().route("/stable/index.yaml", get(index))) }
    }

    /// The same with archives of 1.2.3 and 1.3.0, one of them at an address of its own.
    fn with_archives([old, new]: [Vec<u8>; 2]) -> Self {
        let digest = |archive: &[u8]| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, archive);
            digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let text = format!(
            "apiVersion: v1\nentries:\n  web:\n  - version: 1.3.0\n    digest: {}\n    urls:\n    - /files/web.tgz\n  - urls: [web-1.2.3.tgz]\n    \
             digest: {}\n    version: 1.2.3\n",
            digest(&new),
            digest(&old)
        );
        let router = Router::new()
            .route("/stable/index.yaml", get(move || std::future::ready(text.clone())))
            .route("/stable/web-1.2.3.tgz", get(move || std::future::ready(old.clone())))
            .route("/files/web.tgz", get(move || std::future::ready(new.clone())));
        Self { versions: Arc::default(), server: Server::start(router) }
    }

    /// A world whose charts come from it: each HelmRelease names a repository that is in another file.
    fn world(&self) -> World {
        self.world_with(POLICIES, RELEASE)
    }

    fn world_with(&self, policies: &str, release: &str) -> World {
        self.start_with(World::setup().policies(policies), release)
    }

    fn start_with(&self, setup: Setup, release: &str) -> World {
        let source = format!("{SOURCE}  url: {}/stable\n", self.server.origin);
        let world = setup
            .file("apps/web/dev/release.yaml", release)
            .file("apps/web/prod/release.yaml", release)
            .file("clusters/sources.yaml", source)
            .start();
        let host = self.server.origin.trim_start_matches("http://");
        world.configure("registries:\n", &format!("registries:\n  - {{ host: \"{host}\", plainHttp: true }}\n"));
        world
    }
}

const SOURCE: &str = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: stable, namespace: flux-system}\nspec:\n";
const RELEASE: &str = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web, namespace: apps}\nspec:\n  chart:\n    \
    spec:\n      chart: web\n      version: '1.2.3' # keep\n      sourceRef: {kind: HelmRepository, name: stable, namespace: flux-system}\n";

#[test]
fn a_new_version_reaches_a_helm_release_whose_repository_is_in_another_file() {
    let index = Index::start(&["1.2.3", "1.3.0"]);
    let world = index.world();
    let report = world.apply();
    let kinds: Vec<&Value> = report["actions"].as_array().unwrap().iter().map(|action| &action["kind"]).collect();
    assert_eq!(kinds, ["commit", "pull-request"], "{report:#}");
    assert_eq!(report["problems"], json!([]), "{report:#}");
    assert_eq!(world.read("main", "apps/web/dev/release.yaml"), RELEASE.replace("1.2.3", "1.3.0"));
    assert_eq!(world.numstat("main"), ["1 1 apps/web/dev/release.yaml"]);
    let head = report["actions"][1]["head"].as_str().unwrap();
    assert_eq!(world.read(head, "apps/web/prod/release.yaml"), RELEASE.replace("1.2.3", "1.3.0"));
    fsck(&world.bare());

    let refs = world.refs();
    let again = world.apply();
    assert_eq!((&again["actions"], &again["problems"]), (&json!([]), &json!([])), "{again:#}");
    assert_eq!(world.refs(), refs);
    let history: Value = world.landfall(&["history", "-o", "json"]).json();
    assert!(history.to_string().contains("/stable/web"), "{history:#}");

    // The pull request is its own: it goes on to the next version, and so does the branch.
    index.versions.lock().unwrap().push("1.4.0");
    let report = world.apply();
    assert_eq!(report["problems"], json!([]), "{report:#}");
    assert_eq!(world.read("main", "apps/web/dev/release.yaml"), RELEASE.replace("1.2.3", "1.4.0"));
    let heads = world.heads().into_iter().filter(|head| head.starts_with("landfall/")).collect::<Vec<_>>();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert_eq!(world.read(&heads[0], "apps/web/prod/release.yaml"), RELEASE.replace("1.2.3", "1.4.0"));
}

#[test]
fn a_reverted_chart_of_a_helm_release_is_held_until_a_newer_one_appears() {
    let index = Index::start(&["1.2.3", "1.3.0"]);
    let world = index.world();
    world.apply();
    world.work("main", |folder| drop(git(folder, &["revert", "--no-edit", "HEAD"])));
    for _ in 0..2 {
        let report = world.apply();
        assert_eq!(report["actions"], json!([]), "{report:#}");
        let held = report["holds"].as_array().unwrap().iter().find(|hold| hold["gate"] == "hold");
        assert!(held.is_some_and(|hold| hold["reason"].as_str().unwrap().contains("reverted")), "{report:#}");
        assert_eq!(world.read("main", "apps/web/dev/release.yaml"), RELEASE);
        // Without the cache the answer is the same.
        std::fs::remove_dir_all(world.path("state")).unwrap();
    }
    index.versions.lock().unwrap().push("1.4.0");
    world.apply();
    assert_eq!(world.read("main", "apps/web/dev/release.yaml"), RELEASE.replace("1.2.3", "1.4.0"));
}

#[test]
fn a_chart_without_its_repository_is_said_and_left_alone() {
    let index = Index::start(&["1.2.3", "1.3.0"]);
    let world = index.world();
    world.write(&[("clusters/sources.yaml", "{}\n")]);
    let report = world.apply();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    assert!(
        report["problems"].to_string().contains("no file declares the HelmRepository flux-system/stable"),
        "{report:#}"
    );
    assert_eq!(world.read("main", "apps/web/dev/release.yaml"), RELEASE);
}

#[test]
fn a_range_is_pinned_where_a_policy_says_so_and_is_an_ordinary_version_from_then_on() {
    let index = Index::start(&["1.2.3", "1.3.0+up2", "1.4.0-rc.1", "2.0.0"]);
    let ranged = RELEASE.replace("'1.2.3'", "'>=1.2 <2'");
    let world = index.world_with(&POLICIES.replace("semver: \"*\" }", "semver: \"*\" }, ranges: pin"), &ranged);
    let report = world.apply();
    let kinds: Vec<&Value> = report["actions"].as_array().unwrap().iter().map(|action| &action["kind"]).collect();
    assert_eq!(kinds, ["commit", "pull-request"], "{report:#}");
    assert_eq!(report["problems"], json!([]), "{report:#}");
    let pinned = RELEASE.replace("1.2.3", "1.3.0+up2");
    assert_eq!(world.read("main", "apps/web/dev/release.yaml"), pinned);
    assert!(
        world
            .git(&["log", "-1", "--format=%B", "main"])
            .contains("\nLandfall-From: >=1.2 <2\nLandfall-To: 1.3.0+up2\n"),
        "{}",
        world.git(&["log", "-1", "--format=%B", "main"])
    );
    let head = report["actions"][1]["head"].as_str().unwrap().to_owned();
    assert_eq!(world.read(&head, "apps/web/prod/release.yaml"), pinned);

    // The pull request is the bot's own the next time. What the range bounded, the policy bounds from now on.
    let again = world.apply();
    assert_eq!(again["problems"], json!([]), "{again:#}");
    assert_eq!(again["actions"][0]["updates"][0]["to"]["tag"], json!("2.0.0"), "{again:#}");
    assert_eq!(world.read(&head, "apps/web/prod/release.yaml"), pinned, "in prod the range still says what is wanted");

    // A rollback goes to a version, never to the range before it.
    let name = format!("{}/stable/web", index.server.origin);
    world.landfall(&["rollback", &name, "--environment", "dev", "--by", "Ada"]).ends(0);
    assert_eq!(world.read("main", "apps/web/dev/release.yaml"), pinned);
    let none = world.landfall(&["rollback", &name, "--environment", "dev", "--by", "Ada"]);
    assert!(none.code != Some(0), "{}{}", none.stdout, none.stderr);
    assert_eq!(world.read("main", "apps/web/dev/release.yaml"), pinned);
}

#[test]
fn a_range_that_nobody_said_anything_of_stays_and_is_told_with_the_way_out() {
    let index = Index::start(&["1.2.3", "1.3.0"]);
    let ranged = RELEASE.replace("'1.2.3'", "1.x");
    let world = index.world_with(POLICIES, &ranged);
    let report = world.apply();
    assert_eq!((&report["actions"], &report["problems"]), (&json!([]), &json!([])), "{report:#}");
    assert_eq!(world.read("main", "apps/web/dev/release.yaml"), ranged);
    git(&world.path(""), &["clone", "--quiet", world.bare().to_str().unwrap(), "clone"]);
    let scan = world.landfall(&["scan", "-o", "json", "clone"]);
    assert!(scan.stdout.contains("`ranges: pin` in a policy"), "{}{}", scan.stdout, scan.stderr);
}

/// A chart that depends on `web` of that repository, and the lock that Helm writes beside it (`HashReq`).
fn locked_chart(origin: &str, version: &str, time: &str) -> (String, String) {
    let address = format!("{origin}/stable");
    let chart = format!(
        "apiVersion: v2\nname: app\nversion: 0.1.0\ndependencies:\n- name: web\n  version: {version} # keep\n  repository: {address}\n"
    );
    let dependency = format!("{{\"name\":\"web\",\"version\":\"{version}\",\"repository\":\"{address}\"}}");
    let json = format!("[[{dependency}],[{dependency}]]");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, json.as_bytes());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let lock = format!(
        "dependencies:\n- name: web\n  repository: {address}\n  version: {version}\ndigest: sha256:{digest}\ngenerated: \"{time}\"\n"
    );
    (chart, lock)
}

#[test]
fn the_lock_of_a_chart_s_dependencies_is_kept_true_in_the_same_commit() {
    let index = Index::start(&["1.2.3", "1.3.0"]);
    let origin = index.server.origin.clone();
    let world = index.world_with(POLICIES, "{}\n");
    let (chart, lock) = locked_chart(&origin, "1.2.3", "2024-01-02T03:04:05.123456789+01:00");
    world.write(&[
        ("apps/web/dev/Chart.yaml", &chart),
        ("apps/web/dev/Chart.lock", &lock),
        ("apps/web/prod/Chart.yaml", &chart),
        ("apps/web/prod/Chart.lock", &lock),
    ]);
    let time = |revision: &str, folder: &str| {
        let lock = world.read(revision, &format!("{folder}/Chart.lock"));
        lock.split('"').nth(1).unwrap().to_owned()
    };
    let both = |revision: &str, folder: &str| {
        let read = |name: &str| world.read(revision, &format!("{folder}/{name}"));
        (read("Chart.yaml"), read("Chart.lock"))
    };
    let diff = world.landfall(&["plan", "--diff"]);
    assert!(diff.stdout.contains("+digest: sha256:"), "{}{}", diff.stdout, diff.stderr);
    let report = world.apply();
    assert_eq!(report["problems"], json!([]), "{report:#}");
    let head = report["actions"][1]["head"].as_str().unwrap().to_owned();
    for (revision, folder) in [("main", "apps/web/dev"), (&head, "apps/web/prod")] {
        let new = time(revision, folder);
        assert!(!new.starts_with("2024"), "{new}");
        assert_eq!(both(revision, folder), locked_chart(&origin, "1.3.0", &new), "{revision}");
        assert_eq!(world.numstat(revision).len(), 2, "{:?}", world.numstat(revision));
    }
    fsck(&world.bare());

    // The branch is the bot's own, lock and all: nothing is written again, and the next version replaces it.
    let refs = world.refs();
    let again = world.apply();
    assert_eq!((&again["actions"], &again["problems"]), (&json!([]), &json!([])), "{again:#}");
    assert_eq!(world.refs(), refs);
    index.versions.lock().unwrap().push("1.4.0");
    assert_eq!(world.apply()["problems"], json!([]));
    assert_eq!(both(&head, "apps/web/prod"), locked_chart(&origin, "1.4.0", &time(&head, "apps/web/prod")));

    // A rollback takes the lock back, too.
    let name = format!("{origin}/stable/web");
    world.landfall(&["rollback", &name, "--environment", "dev", "--by", "Ada"]).ends(0);
    assert_eq!(both("main", "apps/web/dev"), locked_chart(&origin, "1.3.0", &time("main", "apps/web/dev")));

    // A lock that somebody changes makes the branch theirs, whatever name they use.
    world.work(&head, |folder| {
        let path = folder.join("apps/web/prod/Chart.lock");
        let lock = std::fs::read_to_string(&path).unwrap();
        let digest = lock.lines().find(|line| line.starts_with("digest:")).unwrap();
        std::fs::write(&path, lock.replace(digest, &format!("digest: sha256:{}", "0".repeat(64)))).unwrap();
        let name = ["-c", "user.name=Landfall", "-c", "user.email=landfall@example.com"];
        git(folder, &[&name[..], &["commit", "--quiet", "--all", "--amend", "--no-edit"]].concat());
        git(folder, &["push", "--quiet", "--force", "origin", &format!("HEAD:refs/heads/{head}")]);
    });
    index.versions.lock().unwrap().push("1.5.0");
    let report = world.apply();
    let said = "apps/web/prod/Chart.lock has changes that the bot did not write";
    assert!(report["holds"].to_string().contains(said), "{report:#}");
}

#[test]
fn versions_beside_a_lock_that_does_not_fit_are_left_alone_and_said() {
    let index = Index::start(&["1.2.3", "1.3.0"]);
    let world = index.world_with(POLICIES, "{}\n");
    let (chart, lock) = locked_chart(&index.server.origin, "1.2.3", "2024-01-02T03:04:05Z");
    let stale = lock.replace("version: 1.2.3", "version: 1.2.2");
    world.write(&[("apps/web/dev/Chart.yaml", &chart), ("apps/web/dev/Chart.lock", &stale)]);
    let report = world.apply();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    assert!(report["problems"].to_string().contains("Chart.lock beside it, too, which does not fit"), "{report:#}");
    assert_eq!(world.read("main", "apps/web/dev/Chart.yaml"), chart);
}

/// The archive of a chart as Helm packages it.
fn archive(chart: &str, values: &str) -> Vec<u8> {
    let entry = |path: &str, content: &str| {
        let mut head = [0_u8; 512];
        head[..path.len()].copy_from_slice(path.as_bytes());
        head[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        head[156] = b'0';
        head[257..262].copy_from_slice(b"ustar");
        let mut all = head.to_vec();
        all.extend_from_slice(content.as_bytes());
        all.resize(all.len().next_multiple_of(512), 0);
        all
    };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for part in [entry("web/Chart.yaml", chart), entry("web/values.yaml", values), vec![0; 1024]] {
        std::io::Write::write_all(&mut encoder, &part).unwrap();
    }
    encoder.finish().unwrap()
}

const OLD_CHART: &str = "name: web\nversion: 1.2.3\nappVersion: 2.0.0\n";
const NEW_CHART: &str = "name: web\nversion: 1.3.0\nappVersion: \"2.1.0|@everyone\"\nhome: https://web.example.com/)(\nannotations:\n  \
    artifacthub.io/changes: |\n    - kind: removed\n      description: \"`tag` and <!-- more\"\n";
const OLD_VALUES: &str = "image: {tag: '1', pullPolicy: Always}\nlegacy: {mode: x}\nkept: 1\n";
const NEW_VALUES: &str = "image: {tag: '2'}\nkept: 1\n";

/// The text of the pull request for prod, and its update in the report.
fn told(world: &World) -> (String, Value) {
    let report = world.apply();
    assert_eq!(report["problems"], json!([]), "{report:#}");
    let action = report["actions"].as_array().unwrap().iter().find(|action| action["kind"] == "pull-request");
    (world.github().pull(1).body.unwrap(), action.unwrap()["updates"][0].clone())
}

fn check_told(text: &str, update: &Value) {
    for said in [
        "**Chart**",
        "- `web` `1.3.0`: its application goes from `2.0.0` to `2.1.0\\|@everyone`, [`home`](https://web.example.com/%29%28)",
        "  - `removed: 'tag' and <!-- more`",
        "  - **values that `apps/web/prod` sets and the chart no longer has**: `image.pullPolicy`, `legacy.mode`",
    ] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
    assert_eq!(update["chart"]["setInVain"], json!(["image.pullPolicy", "legacy.mode"]), "{update:#}");
    assert_eq!(update["chart"]["appVersionFrom"], json!("2.0.0"));
}

const VALUES_SET: &str = "image: {pullPolicy: Never}, legacy: {mode: y}, kept: 2, own: 1";

#[test]
fn a_pull_request_tells_what_changes_in_a_chart_of_a_registry() {
    let helm = format!("    helm: {{valuesObject: {{{VALUES_SET}}}}}\n");
    let world = World::setup()
        .policies(POLICIES)
        .file("apps/web/prod/application.yaml", format!("{APPLICATION}{helm}"))
        .github("")
        .start();
    let base = world.text("http://REG/").trim_end_matches('/').to_owned();
    for (tag, archive) in [("1.2.3", archive(OLD_CHART, OLD_VALUES)), ("1.3.0", archive(NEW_CHART, NEW_VALUES))] {
        world.block_on(push_chart(&base, "charts/web", tag, &archive));
    }
    let (text, update) = told(&world);
    check_told(&text, &update);
}

#[test]
fn a_pull_request_tells_what_changes_in_a_chart_of_an_index_and_what_it_could_not_read() {
    let index = Index::start(&["1.2.3", "1.3.0"]);
    let release = format!("{RELEASE}  values: {{{VALUES_SET}}}\n");
    let start = |index: &Index| index.start_with(World::setup().policies(POLICIES).github(""), &release);
    let world = start(&index);
    // Without archives, that is all there is to say, and nothing waits for it.
    let (text, update) = told(&world);
    assert!(
        text.contains("`web` `1.3.0`: what changes in it could not be read: `1.2.3: the index does not say"),
        "{text}"
    );
    assert_eq!(update["chart"]["setInVain"], json!([]), "{update:#}");
    for (archives, said) in [
        ([archive(OLD_CHART, OLD_VALUES), archive(NEW_CHART, NEW_VALUES)], None),
        (
            [archive(OLD_CHART, OLD_VALUES), b"no archive".to_vec()],
            Some("1.3.0: it is no gzip archive, or a damaged one"),
        ),
        ([archive(OLD_CHART, OLD_VALUES), archive("", "")], Some("1.3.0: it has no Chart.yaml")),
    ] {
        let index = Index::with_archives(archives);
        let world = start(&index);
        let (text, update) = told(&world);
        match said {
            None => check_told(&text, &update),
            Some(said) => assert!(text.contains(said), "{said} is not in\n{text}"),
        }
        assert_eq!(
            world.read("main", "apps/web/dev/release.yaml"),
            release.replace("1.2.3", "1.3.0"),
            "it is no reason to wait"
        );
    }
}
