//! `--app`, `-e`, `--image` and `--repository` of `status`, `plan` and `history`; `--image` of `scan`.

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
    let asked: [(&[&str], &[&str], &[&str]); 9] = [
        (&[], &all, &all),
        // One commit brings both; what it would write is shown whole.
        (&["--app", "api"], &all[..1], &all[..2]),
        (&["--image", "api"], &all[..1], &all[..2]),
        (&["--image", &image], &all[..1], &all[..2]),
        (&["-e", "prod"], &all[2..3], &all[2..3]),
        (&["--environment", "prod"], &all[2..3], &all[2..3]),
        (&["--repository", "others"], &all[3..], &all[3..]),
        (&["--app", "web", "-e", "dev", "--repository", "deploys"], &all[1..2], &all[..2]),
        (&["--image", "i"], &[], &[]),
    ];
    for (filters, shown, planned) in asked {
        assert_eq!(status(&world, filters), shown, "status {filters:?}");
        assert_eq!(plan(&world, filters), planned, "plan {filters:?}");
    }
    world.landfall(&["plan", "--repository", "other"]).ends(2).says("there is no repository `other`").says("others");
    world.landfall(&["status", "--app", "wep"]).ends(2).says("there is no app `wep`").says("web");
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
    assert!(history(&["--repository", "others", "--image", "api"], 1).is_empty());
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
    assert_eq!(found(&["--image", "eb"]), 0);
}
