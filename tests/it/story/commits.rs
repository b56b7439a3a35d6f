//! From a new tag to a verified commit and a pull request, for every kind of pin.

use serde_json::{Value, json};

use crate::support::git::fsck;
use crate::support::world::{Setup, World};

/// One image per kind of pin, and `web` in two apps.
const IMAGES: [&str; 6] = ["web", "api", "cache", "shop", "job", "worker"];

fn every_kind() -> Setup {
    let mut setup = World::setup();
    for environment in ["dev", "prod"] {
        let path = |app: &str, file: &str| format!("apps/{app}/overlays/{environment}/{file}");
        setup = setup
            .app("web", "1.2.3", &[environment])
            .file(
                &path("worker", "cronjob.yaml"),
                "# every night\napiVersion: batch/v1\nkind: CronJob\nmetadata: { name: worker }\nspec:\n  jobTemplate:\n    spec:\n      \
                 template:\n        spec:\n          containers:\n          - name: worker\n            image: 'REG/acme/worker:1.2.3'   # ours\n          \
                 - {name: proxy, image: REG/acme/web:1.2.3}\n",
            )
            .file(
                &path("api", "values.yaml"),
                "image:\n  repository: REG/acme/api\n  tag: \"1.2.3\"\r\n  pullPolicy: Always\n",
            )
            .file(
                &path("cache", "release.yaml"),
                "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: cache\nspec:\n  values:\n    image:\n      \
                 repository: REG/acme/cache\n      tag: 1.2.3\n",
            )
            .file(
                &path("shop", "application.yaml"),
                "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: shop\nspec:\n  source:\n    kustomize:\n      images:\n      \
                 - REG/acme/shop:1.2.3\n",
            )
            .file(
                &path("job", "config.yaml"),
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: job\ndata:\n  runner: REG/acme/job:1.2.3 # {\"$imagepolicy\": \"flux-system:job\"}",
            );
    }
    setup
}

#[test]
fn a_new_tag_becomes_one_commit_for_dev_and_pull_requests_for_prod() {
    let world = every_kind().over_http().start();
    for image in IMAGES {
        world.push_all(&format!("acme/{image}"), &["1.2.3", "1.3.0", "latest", "1.4.0-rc.1", "sha-1a2b3c4"]);
    }
    let before = world.tip("main");
    let report = world.apply();
    check_answer(&report, &before, &world);
    check_commit(&world, &before);
    check_pull_requests(&world);
    fsck(&world.bare());

    // Again: nothing is written, and everything is accounted for.
    let refs = world.refs();
    let again = world.apply();
    assert_eq!(again["actions"], json!([]), "{again:#}");
    assert_eq!(again["upToDate"], 7, "{again:#}");
    assert_eq!(again["problems"], json!([]), "{again:#}");
    let gates: Vec<&Value> = again["holds"].as_array().unwrap().iter().map(|hold| &hold["gate"]).collect();
    assert_eq!(gates, vec!["approval"; 7], "{again:#}");
    assert_eq!(world.refs(), refs);
}

/// The JSON of CLI.md, key by key.
fn check_answer(report: &Value, before: &str, world: &World) {
    assert_eq!(report["name"], "deploys");
    assert_eq!(report["revision"], before);
    assert_eq!(report["upToDate"], 0);
    assert_eq!((&report["holds"], &report["problems"]), (&json!([]), &json!([])));
    let actions = report["actions"].as_array().unwrap();
    assert_eq!(actions.iter().filter(|action| action["kind"] == "commit").count(), 1, "{report:#}");
    let commit = &actions[0];
    assert_eq!(
        (&commit["branch"], &commit["policy"], &commit["environment"]),
        (&json!("main"), &json!("dev"), &json!("dev"))
    );
    let done = json!({ "commit": world.tip("main"), "pullRequest": null, "verified": true });
    assert_eq!(commit["result"], done);
    let updates = commit["updates"].as_array().unwrap();
    assert_eq!(updates.len(), 7);
    let web = updates.iter().find(|update| update["app"] == "web").unwrap();
    assert_eq!(
        *web,
        json!({
            "id": web["id"], "app": "web", "environment": "dev", "policy": "dev", "overlay": "apps/web/overlays/dev",
            "image": world.text("REG/acme/web"), "from": { "tag": "1.2.3", "digest": null },
            "to": { "tag": "1.3.0", "digest": null }, "files": ["apps/web/overlays/dev/kustomization.yaml"],
        })
    );
    for pull in &actions[1..] {
        assert_eq!((&pull["kind"], &pull["policy"]), (&json!("pull-request"), &json!("prod")));
        assert!(pull["result"]["pullRequest"].as_str().unwrap().starts_with("local:deploys#"), "{pull:#}");
        assert_eq!(pull["result"]["verified"], true);
        assert_eq!(pull["result"]["commit"], world.tip(pull["head"].as_str().unwrap()));
    }
}

fn check_commit(world: &World, before: &str) {
    assert_eq!(world.git(&["rev-list", "--count", &format!("{before}..main")]), "1");
    assert_eq!(
        world.numstat("main"),
        [
            "1 1 apps/api/overlays/dev/values.yaml",
            "1 1 apps/cache/overlays/dev/release.yaml",
            "1 1 apps/job/overlays/dev/config.yaml",
            "1 1 apps/shop/overlays/dev/application.yaml",
            "1 1 apps/web/overlays/dev/kustomization.yaml",
            "2 2 apps/worker/overlays/dev/cronjob.yaml",
        ]
    );
    // Nothing but the tags: the old files with the tag replaced are the new files, byte by byte.
    for path in world.git(&["diff", "--name-only", before, "main"]).lines() {
        assert_eq!(world.read("main", path), world.read(before, path).replace("1.2.3", "1.3.0"), "{path}");
    }
    let who = world.git(&["log", "-1", "--format=%an <%ae>|%cn <%ce>|%s", "main"]);
    let landfall = "Landfall <landfall@example.com>";
    assert_eq!(who, format!("{landfall}|{landfall}|dev: bump api and 5 more to 1.3.0"));
    let trailers = world.trailers("main");
    let count = |key: &str| trailers.iter().filter(|(name, _)| name == key).count();
    // What is the same for all stands once.
    for (key, times) in
        [("Update", 7), ("Image", 7), ("Overlay", 7), ("From", 7), ("To", 7), ("Policy", 1), ("Environment", 1)]
    {
        assert_eq!(count(&format!("Landfall-{key}")), times, "{key}: {trailers:?}");
    }
    assert_eq!(count("Source-Commit-URL"), 7);
    let web =
        trailers.iter().position(|(key, value)| key == "Landfall-Overlay" && value == "apps/web/overlays/dev").unwrap();
    let record: Vec<(&str, &str)> = trailers[web - 2..web + 4].iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let image = world.text("REG/acme/web");
    assert_eq!(
        record[1..5],
        [
            ("Landfall-Image", image.as_str()),
            ("Landfall-Overlay", "apps/web/overlays/dev"),
            ("Landfall-From", "1.2.3"),
            ("Landfall-To", "1.3.0"),
        ]
    );
    assert!(record[5].1.starts_with("https://git.example.com/acme/web/commit/"), "{record:?}");
}

fn check_pull_requests(world: &World) {
    let pulls = world.landfall(&["pr", "list", "-o", "json"]).ends(0).json();
    let pulls = pulls["pullRequests"].as_array().unwrap();
    assert_eq!(pulls.len(), 6, "one per app");
    for pull in pulls {
        let head = pull["head"].as_str().unwrap();
        assert!(head.starts_with("landfall/prod/"), "{head}");
        assert_eq!((&pull["state"], &pull["base"]), (&json!("open"), &json!("main")));
        // Its branch begins where it was planned and carries one commit of prod's files.
        assert_eq!(world.git(&["rev-list", "--count", &format!("main..{head}")]), "1");
        let changed = world.numstat(head);
        assert!(changed.iter().all(|line| line.contains("/overlays/prod/")), "{changed:?}");
        assert_eq!(pull["headCommit"], world.tip(head));
    }
    let web = pulls.iter().find(|pull| pull["head"].as_str().unwrap().contains("/web-")).unwrap();
    assert_eq!(web["title"], "prod: bump web to 1.3.0");
    let body = web["body"].as_str().unwrap();
    let image = world.text("REG/acme/web");
    assert!(body.contains(&format!("| `{image}` | `apps/web/overlays/prod` | `1.2.3` | `1.3.0` |")), "{body}");
    assert!(body.contains("https://git.example.com/acme/web/commit/"), "{body}");
    assert!(body.contains("Asked for by policy `prod` for `prod` (`.landfall/policies.yaml:10`)"), "{body}");
    assert!(body.contains("<!-- landfall: "), "{body}");
    // What prod declares has not changed.
    assert_eq!(world.tag("web", "prod"), "1.2.3");
}

#[test]
fn an_idle_cycle_asks_each_repository_once() {
    // Twelve overlays, three images.
    let mut setup = World::setup().over_http().policies(
        "policies:\n  - name: all\n    paths: [\"apps/{app}/overlays/{env}/**\"]\n    write: commit\n    tags: { semver: \"*\" }\n",
    );
    for app in ["web", "api", "job"] {
        setup = setup.app(app, "1.2.3", &["dev", "test", "staging", "prod"]);
    }
    let world = setup.start();
    for app in ["web", "api", "job"] {
        world.push_all(&format!("acme/{app}"), &["1.2.3", "1.3.0"]);
    }
    assert_eq!(world.apply()["actions"].as_array().unwrap().len(), 4, "one commit per environment");
    world.apply();
    for _ in 0..2 {
        let (asked, log) = (world.registry.log().len(), world.server.as_ref().unwrap().requests());
        log.clear();
        let report = world.apply();
        assert_eq!(report["upToDate"], 12);
        assert_eq!(report["actions"], json!([]));
        let seen = world.registry.log()[asked..].to_vec();
        assert_eq!(seen.len(), 3, "{seen:#?}");
        assert!(seen.iter().all(|seen| seen.target.contains("/tags/list") && seen.status == 304), "{seen:#?}");
        // Once without the password, as Git does, and then one `ls-remote`.
        let git: Vec<String> = log.all().into_iter().map(|asked| format!("{} {}", asked.status, asked.path)).collect();
        let listings = git.iter().filter(|asked| asked.ends_with("/info/refs?service=git-upload-pack")).count();
        assert!(listings <= 2 && git.len() <= 3, "the refs and nothing else: {git:#?}");
    }
}

#[test]
fn people_read_what_was_done() {
    let world = World::web().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let plan = world.landfall(&["plan"]).ends(0);
    assert_eq!(plan.stderr, "");
    let lines: Vec<String> =
        plan.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let image = world.text("REG/acme/web");
    assert_eq!(
        lines,
        [
            "WRITE ENVIRONMENT APP IMAGE FROM TO OVERLAY".to_owned(),
            format!("commit dev web {image} 1.2.3 1.3.0 apps/web/overlays/dev"),
            format!("pull-request prod web {image} 1.2.3 1.3.0 apps/web/overlays/prod"),
            "2 to update, 0 up to date".to_owned(),
        ]
    );
    let done = world.landfall(&["apply"]).ends(0);
    let commit = &world.tip("main")[..7];
    assert_eq!(
        done.stdout,
        format!(
            "✔ committed dev: web 1.2.3 → 1.3.0 as {commit} to main, verified on the remote\n\
             ✔ pull request prod: web 1.2.3 → 1.3.0 into main: local:deploys#1\n\
             1 committed, 1 proposed, 0 up to date\n"
        )
    );
    let idle = world.landfall(&["run", "--once"]).ends(0);
    assert_eq!(
        idle.stdout,
        "⏸ waits for approval prod: web 1.2.3 → 1.3.0: pull request #1 waits to be merged: local:deploys#1\n\
         0 to update, 1 up to date, 1 held\n"
    );
}
