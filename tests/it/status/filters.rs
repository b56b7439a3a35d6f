//! `--app`, `-e`, `--image` and `--repository` of `status`, `plan` and `history`; all but the last of `scan`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::process::{run, tree};
use crate::support::world::World;

/// Two repositories; everywhere one update to do.
fn world() -> World {
    let setup = World::web().app("api", "1.2.3", &["dev"]);
    let world = setup.beside("others").app("web", "1.2.3", &["dev"]).start();
    for image in ["acme/web", "acme/api"] {
        world.push_all(image, &["1.2.3", "1.3.0"]);
    }
    world
}

/// Repository, app and environment of each item, in order and once each.
fn places<'v>(items: impl Iterator<Item = (&'v Value, &'v Value)>) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let place =
        |(repository, item): (&Value, &Value)| [repository, &item["app"], &item["environment"]].map(text).join(" ");
    items.map(place).collect::<BTreeSet<_>>().into_iter().collect()
}

fn status(world: &World, filters: &[&str]) -> Vec<String> {
    let report = world.landfall(&[&["status", "-o", "json"], filters].concat()).ends(0).json();
    places(report["updates"].as_array().unwrap().iter().map(|row| (&row["repository"], row)))
}

fn plan(world: &World, filters: &[&str]) -> Vec<String> {
    let report = world.landfall(&[&["plan", "-o", "json"], filters].concat()).ends(0).json();
    let mut all = Vec::new();
    for repository in report["repositories"].as_array().unwrap() {
        for action in repository["actions"].as_array().unwrap() {
            all.extend(action["updates"].as_array().unwrap().iter().map(|update| (&repository["name"], update)));
        }
    }
    places(all.into_iter())
}

#[test]
fn what_is_asked_for_is_shown_and_nothing_else() {
    let world = world();
    let all = ["deploys api dev", "deploys web dev", "deploys web prod", "others web dev"];
    let image = world.text("REG/acme/api");
    let asked: [(&[&str], &[&str], &[&str]); 8] = [
        (&[], &all, &all),
        // One commit brings both; what it would write is shown whole.
        (&["--app", "api"], &all[..1], &all[..2]),
        (&["--image", "api"], &all[..1], &all[..2]),
        (&["--image", &image], &all[..1], &all[..2]),
        (&["-e", "prod"], &all[2..3], &all[2..3]),
        (&["--environment", "prod"], &all[2..3], &all[2..3]),
        (&["--repository", "others"], &all[3..], &all[3..]),
        (&["--app", "web", "-e", "dev", "--repository", "deploys"], &all[1..2], &all[..2]),
    ];
    for (filters, shown, planned) in asked {
        assert_eq!(status(&world, filters), shown, "status {filters:?}");
        assert_eq!(plan(&world, filters), planned, "plan {filters:?}");
    }
    // Each name exists, and nothing has all of them.
    assert!(status(&world, &["--app", "api", "-e", "prod"]).is_empty());
    for command in ["status", "plan", "history"] {
        for (arguments, said, instead) in [
            (&["--app", "wep"][..], "there is no app `wep`", "did you mean `web`?"),
            (&["-e", "prdo"], "there is no environment `prdo`", "did you mean `prod`?"),
            (&["--image", "i"], "there is no image `i`", "there are api, web"),
            (&["--repository", "other"], "there is no repository `other`", "did you mean `others`?"),
            (&["--repository", "others", "--app", "api"], "there is no app `api`", "there is only web"),
        ] {
            world.landfall(&[&[command], arguments].concat()).ends(2).says(said).says(instead);
        }
    }
    world.landfall(&["history", "wbe"]).ends(2).says("there is no app `wbe`").says("did you mean `web`?");
    world
        .landfall(&["freeze", "dev", "--by", "Ada", "--reason", "x", "--repository", "other"])
        .ends(2)
        .says("did you mean `others`?");
}

#[test]
fn the_history_of_one_image_or_repository_is_that_and_no_more() {
    let world = world();
    world.apply();
    let history = |filters: &[&str], code: i32| {
        let arguments = [&["history", "-o", "json"], filters].concat();
        let report = world.landfall(&arguments).ends(code).json();
        let changes = report["history"].as_array().unwrap().clone();
        changes.into_iter().filter(|change| change["kind"] == "bump").map(|change| change["app"].clone()).collect()
    };
    let all: Vec<Value> = history(&[], 0);
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(history(&["--app", "web"], 0), ["web", "web"]);
    assert_eq!(history(&["--image", "api"], 0), ["api"]);
    assert_eq!(history(&["--repository", "others", "-e", "dev"], 0), ["web"]);
    assert!(history(&["--app", "api", "-e", "prod"], 1).is_empty());
}

#[test]
fn pins_of_one_image_are_found() {
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: {name} }}\nspec:\n  containers:\n    \
             - {{ name: {name}, image: \"ghcr.io/acme/{name}:1.2.3\" }}\n"
        )
    };
    let folder = tree(&[("web.yaml", &pod("web")), ("api.yaml", &pod("api"))]);
    let found = |arguments: &[&str]| {
        let report = run(folder.path(), &[&["scan", "-o", "json", "."], arguments].concat()).ends(0).json();
        report["pins"].as_array().unwrap().len()
    };
    assert_eq!([found(&[]), found(&["--image", "web"]), found(&["--image", "ghcr.io/acme/api"])], [2, 1, 1]);
    run(folder.path(), &["scan", ".", "--image", "eb"])
        .ends(2)
        .says("there is no image `eb`")
        .says("did you mean `web`?");
    run(folder.path(), &["scan", ".", "--app", "web"]).ends(2).says("there is no .landfall").says("--policies");
}

#[test]
fn pins_of_one_app_or_environment_are_found_with_what_was_left_alone_there() {
    let pod = |image: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: x }}\nspec:\n  containers:\n    - {{ name: x, image: {image} }}\n"
        )
    };
    let policies =
        "policies:\n  - { name: all, paths: [\"apps/{app}/{env}/**\"], environment: \"{env}\", write: commit }\n";
    let folder = tree(&[
        (".landfall/p.yaml", policies),
        ("apps/web/dev/a.yaml", &pod("acme/web:1.0.0")),
        ("apps/web/prod/a.yaml", &pod("acme/web:1.0.0")),
        ("apps/web/prod/b.yaml", &pod("acme/side")),
        ("apps/api/dev/a.yaml", &pod("acme/api:1.0.0")),
        ("apps/api/dev/b.yaml", &pod("acme/other")),
    ]);
    let counts = |path: &str, arguments: &[&str]| {
        let report = run(folder.path(), &[&["scan", "-o", "json", path], arguments].concat()).ends(0).json();
        ["pins", "skipped"].map(|key| report[key].as_array().unwrap().len())
    };
    assert_eq!(counts(".", &[]), [3, 2]);
    assert_eq!(counts(".", &["--app", "web"]), [2, 1]);
    assert_eq!(counts(".", &["--app", "web", "-e", "dev"]), [1, 0]);
    assert_eq!(counts("apps/web", &["-e", "prod"]), [1, 1], "a folder is read as part of its checkout");
    assert_eq!(counts(".", &["--app", "api", "--image", "side"]), [0, 0]);
    assert_eq!(counts(".", &["--image", "side"]), [0, 1], "an image that is left alone is one");
    assert_eq!(counts("apps", &["--policies", ".landfall/p.yaml", "--app", "api"]), [1, 1]);
    run(folder.path(), &["scan", ".", "--app", "wbe"]).ends(2).says("did you mean `web`?");
    run(folder.path(), &["scan", ".", "-e", "pord"]).ends(2).says("did you mean `prod`?");
}
