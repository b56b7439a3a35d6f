//! `landfall plan`, and the ways to choose a tag, as a user of policies meets them.

use jiff::{SignedDuration, Timestamp};
use landfall::demo::registry::DemoImage;
use serde_json::{Value, json};

use crate::support::trip::{Point, Reply, When, Where};
use crate::support::world::{Setup, World, overlay};

/// dev at one tag, with this policy for it.
pub(super) fn dev(tag: &str, policy: &str) -> Setup {
    let text = format!(
        "policies:\n  - name: dev\n    paths: [\"apps/{{app}}/overlays/dev/**\"]\n    environment: dev\n    write: commit\n{policy}"
    );
    World::setup().app("web", tag, &["dev"]).policies(&text)
}

fn hold(report: &Value) -> &Value {
    assert_eq!((&report["actions"], &report["problems"]), (&json!([]), &json!([])), "{report:#}");
    assert_eq!(report["holds"].as_array().unwrap().len(), 1, "{report:#}");
    &report["holds"][0]
}

#[expect(clippy::disallowed_methods, reason = "images are made now; the program reads the same clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[test]
fn a_plan_writes_nothing_and_apply_does_what_it_says() {
    let world = World::web().over_http().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let refs = world.refs();
    world.landfall(&["plan", "--exit-code"]).ends(1);
    let plan = world.plan();
    let yaml = world.landfall(&["plan", "-o", "yaml"]).ends(0);
    assert!(yaml.stdout.starts_with("repositories:\n") && yaml.stdout.contains("kind: pull-request"), "{yaml:?}");
    let diff = world.landfall(&["plan", "--diff"]).ends(0);
    let wanted = "--- a/apps/web/overlays/dev/kustomization.yaml\n+++ b/apps/web/overlays/dev/kustomization.yaml\n\
                  @@ -3,4 +3,4 @@\n images:\n   - name: web\n";
    assert!(diff.stdout.contains(wanted), "{}", diff.stdout);
    assert!(diff.stdout.contains("-    newTag: 1.2.3\n+    newTag: 1.3.0\n"), "{}", diff.stdout);
    assert_eq!(world.refs(), refs);
    let asked = world.server.as_ref().unwrap().requests().all();
    assert!(asked.iter().all(|asked| !asked.path.contains("receive-pack")), "{asked:#?}");
    let applied = world.apply();
    let strip = |report: &Value| {
        let mut actions = report["actions"].clone();
        for action in actions.as_array_mut().unwrap() {
            action["result"] = Value::Null;
        }
        actions
    };
    assert_eq!(strip(&plan), strip(&applied));
    assert!(plan["actions"].as_array().unwrap().iter().all(|action| action["result"].is_null()));
    world.landfall(&["plan", "--exit-code"]).ends(0);
    // The diff that was shown is what Git has.
    let in_git = world.git(&["diff", "main^", "main"]);
    let changed = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| line.starts_with(['+', '-']) && line.contains("/dev/") | line.contains("newTag"));
        lines.take(4).map(str::to_owned).collect()
    };
    assert_eq!(changed(&in_git), changed(&diff.stdout));
}

#[test]
fn a_pin_can_be_made_with_its_digest() {
    let world = dev("1.2.3", "    tags: { semver: \"*\" }\n    pin: digest\n").start();
    let old = world.push("acme/web", "1.2.3");
    // The same tag, now with its digest.
    let report = world.apply();
    assert_eq!(report["actions"][0]["updates"][0]["to"], json!({ "tag": "1.2.3", "digest": old }), "{report:#}");
    assert!(
        world.read("main", &overlay("web", "dev")).contains(&format!("1.2.3@{old}"))
            || world.read("main", &overlay("web", "dev")).contains(&format!("digest: {old}"))
    );
    assert_eq!(world.apply()["actions"], json!([]));
    // Tag and digest move together.
    let new = world.push("acme/web", "1.3.0");
    world.apply();
    let text = world.read("main", &overlay("web", "dev"));
    assert!(text.contains("1.3.0") && text.contains(&new) && !text.contains(&old), "{text}");
    let report = world.apply();
    assert_eq!((&report["actions"], &report["upToDate"]), (&json!([]), &json!(1)), "{report:#}");
}

#[test]
fn tag_and_digest_in_a_file_move_together() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let deployment = format!(
        "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n      - image: REG/acme/web:1.2.3@{digest} # both\n"
    );
    let world =
        dev("1.2.3", "    tags: { semver: \"*\" }\n").file("apps/web/overlays/dev/deployment.yaml", deployment).start();
    world.push("acme/web", "1.2.3");
    let new = world.push("acme/web", "1.3.0");
    let report = world.apply();
    let text = world.read("main", "apps/web/overlays/dev/deployment.yaml");
    assert!(text.ends_with(&world.text(&format!("- image: REG/acme/web:1.3.0@{new} # both\n"))), "{text}");
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    assert_eq!(world.git(&["rev-list", "--count", "main"]), "2", "{report:#}");
    assert_eq!(world.apply()["actions"], json!([]));
}

#[test]
fn a_moving_tag_is_followed_by_its_digest() {
    let world = dev("stable", "    tags: { digest: true }\n").start();
    let first = world.push_made("acme/web", "stable", "2026-01-01T00:00:00Z".parse().unwrap());
    world.push("acme/web", "1.2.3");
    world.apply();
    assert!(world.read("main", &overlay("web", "dev")).contains(&first));
    assert_eq!(world.apply()["upToDate"], 1);
    let second = world.push_made("acme/web", "stable", "2026-01-02T00:00:00Z".parse().unwrap());
    let report = world.apply();
    let update = &report["actions"][0]["updates"][0];
    assert_eq!((&update["from"]["digest"], &update["to"]["digest"]), (&json!(first), &json!(second)), "{report:#}");
    assert!(world.log("main")[0].starts_with("Landfall: dev: bump web to stable@"), "{:?}", world.log("main"));
    assert_eq!(world.numstat("main"), ["1 1 apps/web/overlays/dev/kustomization.yaml"]);
    // Back to what it was: the registry's doing, not a person's, so it is followed again.
    world.push_made("acme/web", "stable", "2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(world.apply()["actions"][0]["updates"][0]["to"]["digest"], json!(first));
    world.delete("acme/web", "stable");
    let report = world.landfall(&["apply", "-o", "json"]).report();
    assert_eq!(report["actions"], json!([]));
    assert!(report["problems"][0]["message"].as_str().unwrap().starts_with("the followed tag is gone"), "{report:#}");
}

#[test]
fn the_newest_build_is_the_one_made_last() {
    let world = dev("b-77", "    tags: { newestBuild: true, ignore: [latest] }\n").start();
    for (tag, day) in [("b-77", 3), ("a-99", 5), ("z-01", 1), ("c-10", 4), ("latest", 9)] {
        world.push_made("acme/web", tag, format!("2026-01-0{day}T00:00:00Z").parse().unwrap());
    }
    world.apply();
    assert_eq!(world.tag("web", "dev"), "a-99");
    world.push_made("acme/web", "zz-old", "2026-01-02T00:00:00Z".parse().unwrap());
    assert_eq!(world.apply()["actions"], json!([]));
    world.push_made("acme/web", "0-new", "2026-01-06T00:00:00Z".parse().unwrap());
    world.apply();
    assert_eq!(world.tag("web", "dev"), "0-new");
}

#[test]
fn filter_and_extract_choose_what_is_compared() {
    let tags = "    tags: { filter: \"^main-[0-9a-f]{7}-(?P<run>[0-9]+)$\", extract: \"$run\", numerical: asc }\n";
    let world = dev("main-aaaaaaa-9", tags).start();
    world.push_all("acme/web", &["main-aaaaaaa-9", "main-ffffff0-10", "main-0000000-8", "feature-1234567-99", "1000"]);
    world.apply();
    assert_eq!(world.tag("web", "dev"), "main-ffffff0-10");
}

#[test]
fn without_a_tag_policy_the_tag_keeps_its_shape() {
    let world = dev("v1.9-alpine", "").start();
    world.push_all(
        "acme/web",
        &["v1.9-alpine", "v1.10-alpine", "v1.11", "2.0-alpine", "v1.10.1-alpine", "v1.10-debian"],
    );
    world.apply();
    assert_eq!(world.tag("web", "dev"), "v1.10-alpine");
}

#[test]
fn a_tag_that_yaml_would_misread_is_quoted() {
    let world = dev("\"1.9\"", "").app("api", "1.9", &["dev"]).start();
    world.push_all("acme/web", &["1.9", "1.10"]);
    world.push_all("acme/api", &["1.9", "1.10"]);
    world.apply();
    for app in ["web", "api"] {
        let text = world.read("main", &overlay(app, "dev"));
        assert!(text.contains("newTag: \"1.10\"\n") || text.contains("newTag: '1.10'\n"), "{text}");
    }
}

#[test]
fn outside_its_window_an_update_waits() {
    // Open for one minute a year.
    let windows = "    tags: { semver: \"*\" }\n    windows: [{ cron: \"59 23 31 12 *\", duration: 1m, timeZone: Europe/Berlin }]\n";
    let world = dev("1.2.3", windows).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let report = world.apply();
    let hold = hold(&report);
    assert_eq!(hold["gate"], "window");
    let reason = hold["reason"].as_str().unwrap();
    assert!(reason.starts_with("outside the windows of .landfall/policies.yaml:7; they open on "), "{reason}");
    assert!(reason.ends_with("-12-31 23:59 Europe/Berlin"), "the window's own clock: {reason}");
    assert!(hold["until"].as_str().unwrap().ends_with("-12-31T22:59:00Z"), "{hold:#}");
    assert_eq!(hold["update"]["to"]["tag"], "1.3.0");
    world
        .landfall(&["plan", "--exit-code"])
        .ends(0)
        .says("⏸ waits for window dev: web 1.2.3 → 1.3.0: outside the windows");
    world.write(&[(
        ".landfall/policies.yaml",
        &world.read("main", ".landfall/policies.yaml").replace("59 23 31 12 *", "* * * * *"),
    )]);
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
}

#[test]
fn a_young_image_waits_for_its_age() {
    let world = dev("1.2.3", "    tags: { semver: \"*\" }\n    minimumReleaseAge: 3d\n").start();
    let made = now();
    world.push("acme/web", "1.2.3");
    world.push_made("acme/web", "1.4.0", made);
    let report = world.apply();
    let hold = hold(&report);
    assert_eq!((&hold["gate"], &hold["update"]["to"]["tag"]), (&json!("minimum-release-age"), &json!("1.4.0")));
    let until: Timestamp = hold["until"].as_str().unwrap().parse().unwrap();
    let since = until - SignedDuration::from_hours(72);
    assert!(since >= made - SignedDuration::from_secs(1) && since <= now(), "{hold}");
    let reason = hold["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("it was first seen in its registry at 20")
            && reason.ends_with("and .landfall/policies.yaml:7 requires an age of 3d"),
        "{reason}"
    );
    world
        .landfall(&["plan"])
        .ends(0)
        .says("⏸ waits for its minimum age dev: web 1.2.3 → 1.4.0: it was first seen in its registry");
}

pub(super) const RECORDS: &str = "refs/landfall/first-seen";

/// Puts every record of first sight so many hours back, as if that much time had passed.
pub(super) fn hours_pass(world: &World, hours: i64) {
    records_become(world, |records| {
        for times in records["images"].as_object_mut().unwrap().values_mut() {
            for at in times.as_object_mut().unwrap().values_mut() {
                let before: Timestamp = at.as_str().unwrap().parse().unwrap();
                *at = json!((before - SignedDuration::from_hours(hours)).to_string());
            }
        }
    });
}

/// Changes the records, as another bot would.
fn records_become(world: &World, change: impl FnOnce(&mut Value)) {
    let mut records: Value = serde_json::from_str(&world.read(RECORDS, "first-seen.json")).unwrap();
    change(&mut records);
    let file = world.path("first-seen.json");
    std::fs::write(&file, records.to_string()).unwrap();
    let blob = world.git(&["hash-object", "-w", file.to_str().unwrap()]);
    world.git(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},first-seen.json")]);
    let tree = world.git(&["write-tree"]);
    let commit = world.git(&["commit-tree", &tree, "-p", RECORDS, "-m", "time passes"]);
    world.git(&["update-ref", RECORDS, &commit]);
}

#[test]
fn what_an_image_says_of_its_age_makes_it_no_older() {
    let policy = "    tags: { semver: \"*\" }\n    minimumReleaseAge: 30d\n";
    for made in [now() - SignedDuration::from_hours(24 * 31), Timestamp::UNIX_EPOCH] {
        let world = dev("1.2.3", policy).start();
        world.push("acme/web", "1.2.3");
        world.push_made("acme/web", "1.4.0", made);
        // At the first look, at the second with the cache, and without the cache again.
        for look in 0..3 {
            if look == 2 {
                std::fs::remove_dir_all(world.path("state")).unwrap();
            }
            assert_eq!(hold(&world.apply())["gate"], "minimum-release-age", "look {look} at an image of {made}");
        }
        // A tag that the bot has known for long, pushed anew with another image.
        hours_pass(&world, 24 * 31);
        world.push_made("acme/web", "1.4.0", made - SignedDuration::from_hours(1));
        assert_eq!(hold(&world.apply())["gate"], "minimum-release-age", "pushed anew, {made}");
        assert_eq!(world.tag("web", "dev"), "1.2.3");
    }
}

#[test]
fn when_an_image_was_first_seen_outlives_the_state_folder() {
    let world = dev("1.2.3", "    tags: { semver: \"*\" }\n    minimumReleaseAge: 3d\n").start();
    world.push("acme/web", "1.2.3");
    world.push_made("acme/web", "1.4.0", now() - SignedDuration::from_hours(24 * 300));
    world.apply();
    let records = world.git(&["rev-parse", RECORDS]);
    world.apply();
    assert_eq!(world.git(&["rev-parse", RECORDS]), records, "written once");
    hours_pass(&world, 71);
    std::fs::remove_dir_all(world.path("state")).unwrap();
    assert_eq!(hold(&world.apply())["gate"], "minimum-release-age");
    hours_pass(&world, 2);
    std::fs::remove_dir_all(world.path("state")).unwrap();
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.4.0");
    let trailers = world.trailers("main");
    let age = trailers.iter().find(|(key, _)| key == "Landfall-Age").map(|(_, value)| value.as_str());
    assert!(age.is_some_and(|age| age.starts_with("first seen 20")), "{trailers:?}");
}

#[test]
fn records_that_cannot_be_fetched_are_not_taken_for_none() {
    let policy = "    tags: { semver: \"*\" }\n    onRetag: hold\n";
    let world = dev("1.2.3", policy).wired().start();
    world.git(&["config", "uploadpack.allowFilter", "true"]);
    world.push_made("acme/web", "1.2.3", now() - SignedDuration::from_hours(48));
    assert_eq!(world.apply()["holds"], json!([]), "the first look");
    world.push_made("acme/web", "1.2.3", now() - SignedDuration::from_hours(24));
    // So large that a mirror fetches the file on its own.
    let many = |number: usize| (format!("sha256:{number:064x}"), json!(now().to_string()));
    records_become(&world, |records| {
        records["images"]["ghcr.io/acme/other"] = (0..1_000).map(many).collect::<serde_json::Map<_, _>>().into();
    });
    let before = world.refs();
    std::fs::remove_dir_all(world.path("state")).unwrap();
    // The listing and the branches are answered, and then the server is away for a moment.
    let point = Point::on(Where::Git, "GET", "info/refs", When::Before);
    world.wire.set(point, 2, 1, || Reply::Status(503));
    let ran = world.landfall(&["apply"]);
    let text = ran.text();
    assert!(text.contains("503") && !text.contains("delete the ref"), "{text}");
    assert_eq!(world.refs(), before, "{text}");
    let report = world.apply();
    assert!(hold(&report)["reason"].as_str().unwrap().contains("was pushed again"), "{report:#}");
}

#[test]
fn a_ref_that_points_at_no_records_ends_nothing_and_is_told() {
    let world = dev("1.2.3", "    tags: { semver: \"*\" }\n").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let blob = world.git(&["rev-parse", &format!("main:{}", overlay("web", "dev"))]);
    world.git(&["update-ref", RECORDS, &blob]);
    let ran = world.landfall(&["apply"]).says(RECORDS).says("delete the ref on the remote");
    assert_eq!(world.tag("web", "dev"), "1.3.0", "{}", ran.text());
}

#[test]
fn a_remote_that_keeps_no_records_is_told() {
    let world = dev("1.2.3", "    tags: { semver: \"*\" }\n    minimumReleaseAge: 3d\n").start();
    world.hook("update", "case $1 in refs/landfall/*) echo not here >&2; exit 1;; esac");
    world.push("acme/web", "1.2.3");
    world.push("acme/web", "1.4.0");
    let ran = world.landfall(&["apply", "-o", "json"]);
    let problems = &ran.report()["problems"];
    let message = problems[0]["message"].as_str().unwrap_or_default();
    assert!(message.contains(RECORDS) && message.contains("minimumReleaseAge"), "{problems:#}");
}

#[test]
fn a_tag_that_is_pushed_again_is_an_event_that_outlives_the_state_folder() {
    let made = |day: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * (20_000 + day));
    for (rule, pinned) in [("alert", false), ("hold", true), ("follow", true)] {
        let policy = format!("    tags: {{ semver: \"*\" }}\n    onRetag: {rule}\n");
        let world = dev("1.2.3", &policy).start();
        let first = world.push_made("acme/web", "1.2.3", made(1));
        let mut expected = "1.2.3".to_owned();
        if pinned {
            let from = "    newTag: 1.2.3\n";
            world.edit(&overlay("web", "dev"), from, &format!("{from}    digest: {first}\n"));
            expected = first.clone();
        }
        assert_eq!(world.apply()["holds"], json!([]), "{rule}: the first look");
        let second = world.push_made("acme/web", "1.2.3", made(2));
        std::fs::remove_dir_all(world.path("state")).unwrap();
        let report = world.apply();
        let text = world.read("main", &overlay("web", "dev"));
        if rule == "follow" {
            assert!(text.contains(&second), "{text}");
            continue;
        }
        assert!(text.contains(&expected) && !text.contains(&second), "{rule}: {text}");
        let reason = hold(&report)["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("1.2.3 was pushed again as another image: "), "{reason}");
        std::fs::remove_dir_all(world.path("state")).unwrap();
        assert_eq!(hold(&world.apply())["reason"], reason.as_str(), "noticed once, and remembered");
        world.landfall(&["plan"]).ends(0).says("was pushed again");
        let status = world.landfall(&["status", "-o", "json"]).ends(0).json();
        let stuck = status["updates"].as_array().unwrap().iter().any(|row| row["state"] == "stuck");
        assert_eq!(stuck, rule == "alert", "{status:#}");
        world.landfall(&["release", "web", "--environment", "dev", "--reason", "wanted", "--by", "Ada"]).ends(0);
        assert_eq!(world.apply()["holds"], json!([]), "{rule}: somebody has accepted it");
        let text = world.read("main", &overlay("web", "dev"));
        assert_eq!(text.contains(&second), pinned, "{text}");
    }
}

#[test]
fn records_that_somebody_deletes_or_sets_back_are_written_again_from_the_state_folder() {
    let policy = "    tags: { semver: \"*\" }\n    minimumReleaseAge: 3d\n    onRetag: hold\n";
    for how in ["deleted", "set back", "made anew"] {
        let world = dev("1.2.3", policy).start();
        world.push("acme/web", "1.2.3");
        world.apply();
        let early = world.git(&["rev-parse", RECORDS]);
        world.push_made("acme/web", "1.4.0", now());
        world.apply();
        world.push_made("acme/web", "1.4.0", now() - SignedDuration::from_hours(1));
        assert!(hold(&world.apply())["reason"].as_str().unwrap().contains("was pushed again"), "{how}");
        let late = world.read(RECORDS, "first-seen.json");
        match how {
            "deleted" => drop(world.git(&["update-ref", "-d", RECORDS])),
            "set back" => drop(world.git(&["update-ref", RECORDS, &early])),
            _ => {
                let tree = world.git(&["rev-parse", &format!("{early}^{{tree}}")]);
                let commit = world.git(&["commit-tree", &tree, "-m", "anew"]);
                drop(world.git(&["update-ref", RECORDS, &commit]));
            }
        }
        let ran = world.landfall(&["apply", "-o", "json"]);
        assert!(ran.text().contains("lacks records that the state folder has"), "{how}: {}", ran.text());
        assert!(hold(&ran.report())["reason"].as_str().unwrap().contains("was pushed again"), "{how}: {}", ran.text());
        assert_eq!(world.read(RECORDS, "first-seen.json"), late, "{how}");
        let written = world.git(&["rev-parse", RECORDS]);
        let again = world.landfall(&["apply"]);
        assert!(!again.text().contains("lacks records"), "{how}: {}", again.text());
        assert_eq!(world.git(&["rev-parse", RECORDS]), written, "{how}: once");
    }
}

#[test]
fn platforms_are_waited_for() {
    let tags = "    tags: { semver: \"*\", platforms: [linux/amd64, linux/arm64] }\n";
    let world = dev("1.2.3", tags).start();
    let made = "2026-01-01T00:00:00Z".parse().unwrap();
    world.push("acme/web", "1.2.3");
    world.push_image("acme/web", "1.3.0", &DemoImage::new(made));
    let report = world.apply();
    let hold = hold(&report);
    assert_eq!(
        (&hold["gate"], &hold["reason"]),
        (&json!("platforms"), &json!("the image is not available for linux/arm64 yet"))
    );
    world.push_image("acme/web", "1.3.0", &DemoImage::new(made).platforms(&["linux/amd64", "linux/arm64"]));
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
}

#[test]
fn promotion_without_an_upstream_is_said() {
    let world =
        dev("1.2.3", "    tags: { semver: \"*\" }\n    promoteFrom: { environment: staging, soakTime: 1h }\n").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let report = world.apply();
    let message = report["problems"][0]["message"].as_str().unwrap();
    assert_eq!(
        message, "promoteFrom names environment `staging`, in which nothing is known to be declared",
        "{report:#}"
    );
    assert_eq!(world.tag("web", "dev"), "1.2.3");
}

#[test]
fn one_cause_is_one_line_however_many_it_holds() {
    let apps = |setup: crate::support::world::Setup| {
        (0..40).fold(setup, |setup, n| setup.app(&format!("app{n:02}"), "1.0.0", &["dev"]))
    };
    let world = apps(World::setup()).wired().start();
    for n in 0..40 {
        world.push_all(&format!("acme/app{n:02}"), &["1.0.0", "1.1.0"]);
    }
    world.landfall(&["freeze", "dev", "--reason", "holidays", "--by", "Ada"]).ends(0);
    let text = world.landfall(&["plan"]).ends(0).stdout;
    let said: Vec<&str> = text.lines().collect();
    assert_eq!(said.len(), 2, "{text}");
    assert!(
        said[0].contains("dev: 40 updates of app00, app01, app02 and 37 more") && said[0].contains("holidays"),
        "{text}"
    );
    assert_eq!(world.landfall(&["plan", "--all"]).ends(0).stdout.lines().count(), 41);
    world.wire.fail("/tags/list", 503);
    std::fs::remove_dir_all(world.path("state")).unwrap();
    let text = world.landfall(&["plan"]).ends(2).stdout;
    let said: Vec<&str> = text.lines().filter(|line| line.contains("problem")).collect();
    assert_eq!(said.len(), 2, "the line and the summary: {text}");
    assert!(said[0].contains(&format!("{} did not answer for 40 images", world.host)), "{text}");
}
