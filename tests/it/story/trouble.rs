//! Sick registries: unknown is a state of its own, and never a reason to write an empty or an older tag.

use serde_json::{Value, json};

use crate::support::world::{Ran, World, kustomization, overlay};

/// dev is at 1.3.0, the registry has been listed once, and then something goes wrong.
fn bumped() -> World {
    let world = World::setup().app("web", "1.2.3", &["dev"]).wired().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    world
}

fn problems(report: &Value) -> String {
    let problems = report["problems"].as_array().unwrap();
    problems.iter().map(|problem| format!("{}\n", problem["message"].as_str().unwrap())).collect()
}

fn apply(world: &World) -> Ran {
    world.landfall(&["apply", "-o", "json"])
}

#[test]
fn what_the_registry_does_not_say_is_not_known() {
    let world = bumped();
    world.push("acme/web", "1.4.0");
    let refs = world.refs();
    for (status, exit, code, words) in [
        (500, 2, "server", "500"),
        (502, 2, "server", "502"),
        (401, 4, "authentication", "401"),
        (403, 4, "authentication", "403"),
    ] {
        world.wire.fail("/tags/list", status);
        let ran = apply(&world).ends(exit);
        let report = ran.report();
        assert_eq!((&report["actions"], &report["holds"]), (&json!([]), &json!([])), "{report:#}");
        let problem = &report["problems"][0];
        assert_eq!(problem["code"], code, "{report:#}");
        let message = problem["message"].as_str().unwrap();
        // What, where, which answer is in force and how old it is; every run is a process of its own.
        assert!(message.contains(&world.text("REG/acme/web")) && message.contains(words), "{message}");
        assert!(message.contains("using the answer of 20"), "{message}");
        assert!(ran.stderr.starts_with("error: "), "{ran:?}");
        assert_eq!(world.landfall(&["plan", "--exit-code"]).code, Some(exit), "no answer is not \"no changes\"");
    }
    assert_eq!(world.refs(), refs);
    world.wire.clear();
    assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
    assert_eq!(world.tag("web", "dev"), "1.4.0");
}

#[test]
fn without_any_answer_nothing_is_written() {
    let world = World::setup().app("web", "1.2.3", &["dev"]).wired().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.wire.fail("", 503);
    let refs = world.refs();
    let report = apply(&world).ends(2).report();
    assert_eq!((&report["actions"], &report["upToDate"]), (&json!([]), &json!(0)), "{report:#}");
    let problem = &report["problems"][0];
    assert_eq!((&problem["path"], &problem["line"]), (&json!(overlay("web", "dev")), &json!(6)), "{report:#}");
    assert_eq!(world.refs(), refs);
    let text = world.landfall(&["apply"]).ends(2);
    assert!(text.stdout.contains("⚠ problem apps/web/overlays/dev/kustomization.yaml:6: "), "{text:?}");
    assert!(text.stdout.ends_with("0 to update, 0 up to date, 1 problem\n"), "{text:?}");
    assert_eq!(text.stderr, "error: not everything could be known; see the problems above\n");
}

#[test]
fn a_tag_whose_manifest_is_missing_is_waited_for() {
    let world = World::setup().app("web", "1.2.3", &["dev"]).wired().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.wire.fail("/manifests/1.3.0", 404);
    let report = world.apply();
    assert_eq!((&report["actions"], &report["problems"]), (&json!([]), &json!([])), "{report:#}");
    assert_eq!(report["holds"][0]["gate"], "platforms", "{report:#}");
    world.landfall(&["plan"]).ends(0).says("⏸ not usable dev: web 1.2.3 → 1.3.0: the tag is listed but");
    world.wire.clear();
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    // A fault while it is looked at is no reason to take an older one.
    world.push_all("acme/web", &["1.4.0", "1.3.5"]);
    world.wire.fail("/manifests/1.4.0", 500);
    let tip = world.tip("main");
    let report = apply(&world).ends(2).report();
    assert_eq!((&report["actions"], world.tip("main")), (&json!([]), tip), "{report:#}");
}

#[test]
fn a_deleted_tag_is_said_and_kept() {
    let world = bumped();
    world.delete("acme/web", "1.3.0");
    let tip = world.tip("main");
    let report = world.apply();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    let image = world.text("REG/acme/web");
    assert_eq!(
        problems(&report),
        format!("{image}:1.3.0 is not in the registry's list; it is kept, never replaced by an older one\n")
    );
    assert_eq!((world.tip("main"), world.tag("web", "dev")), (tip, "1.3.0".to_owned()));
    // A newer one ends it.
    world.push("acme/web", "1.3.1");
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.1");
}

#[test]
fn all_tags_gone_is_not_an_empty_tag() {
    let world = bumped();
    let before = world.read("main", &overlay("web", "dev"));
    for tag in ["1.2.3", "1.3.0"] {
        world.delete("acme/web", tag);
    }
    let report = apply(&world).report();
    assert_eq!((&report["actions"], &report["upToDate"]), (&json!([]), &json!(0)), "{report:#}");
    assert!(problems(&report).contains("lists no tag at all"), "{report:#}");
    assert_eq!(world.read("main", &overlay("web", "dev")), before);
    // Only tags that nobody asked for: none qualifies, and it says why.
    world.push_all("acme/web", &["latest", "nightly"]);
    let report = apply(&world).report();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    assert_eq!(world.read("main", &overlay("web", "dev")), before);
    assert!(!report["problems"].as_array().unwrap().is_empty(), "{report:#}");
}

#[test]
fn a_repository_that_is_not_there_is_a_problem() {
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    let report = apply(&world).report();
    assert_eq!(report["actions"], json!([]));
    assert!(problems(&report).contains("404"), "{report:#}");
    assert_eq!(world.tag("web", "dev"), "1.2.3");
}

#[test]
fn one_registry_is_down_and_the_other_goes_on() {
    // Nobody listens there any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let down = listener.local_addr().unwrap();
    drop(listener);
    let lost = kustomization("lost", "1.0.0").replace("REG/", &format!("{down}/"));
    let world = World::setup().app("web", "1.2.3", &["dev"]).file(&overlay("lost", "dev"), lost).start();
    world.configure("registries:\n", &format!("registries:\n  - {{ host: \"{down}\", plainHttp: true }}\n"));
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let report = apply(&world).ends(2).report();
    assert_eq!(report["actions"][0]["updates"][0]["app"], "web");
    assert_eq!(report["actions"][0]["result"]["verified"], true, "{report:#}");
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    assert_eq!(report["problems"].as_array().unwrap().len(), 1, "{report:#}");
    let problem = &report["problems"][0];
    assert_eq!(
        (&problem["path"], &problem["code"]),
        (&json!(overlay("lost", "dev")), &json!("network")),
        "{problem:#}"
    );
    assert!(problem["message"].as_str().unwrap().contains(&down.to_string()), "{problem:#}");
}

#[test]
fn the_last_good_list_serves_and_its_age_is_said() {
    let world = bumped();
    // Known from the last list; not asked for so far.
    world.write(&[(&overlay("shop", "dev"), &kustomization("web", "1.2.3"))]);
    world.wire.fail("/tags/list", 500);
    let report = apply(&world).ends(2).report();
    assert_eq!(report["actions"][0]["updates"][0]["to"]["tag"], "1.3.0", "{report:#}");
    assert!(problems(&report).contains("using the answer of 20"), "{report:#}");
    assert_eq!(world.tag("shop", "dev"), "1.3.0");
}
