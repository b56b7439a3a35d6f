//! What a person sees of `landfall status`: grouped by cause, and no more lines than there is to say.

use super::cluster::{Cluster, tip};
use crate::support::world::{Setup, World};

/// Many apps at 1.2.3 in dev.
fn many(apps: usize) -> Setup {
    (0..apps).fold(World::setup(), |setup, nth| setup.app(&format!("app-{nth:02}"), "1.2.3", &["dev"]))
}

#[test]
fn without_clusters_it_is_one_line_whatever_there_is() {
    let world = many(40).start();
    for nth in 0..40 {
        world.push(&format!("acme/app-{nth:02}"), "1.2.3");
    }
    let text = world.landfall(&["status"]).ends(0).stdout;
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let [line, summary] = lines.as_slice() else { panic!("{text}") };
    assert!(
        line.starts_with("⚠ 40 images in dev unknown: unproven (app-00, app-01, app-02 and 37 more): no"),
        "{text}"
    );
    assert!(line.contains("no cluster is configured") && line.contains("`clusters`"), "{text}");
    assert_eq!(*summary, "40 unknown");
    let all = world.landfall(&["status", "--all"]).ends(0).stdout;
    assert!(all.contains("app-39  ⚠ 1.2.3 unknown: unproven"), "{all}");
    assert_eq!(all.matches("no cluster is configured").count(), 40, "{all}");
    assert_eq!(world.landfall(&["status", "-o", "json"]).ends(0).json()["updates"].as_array().unwrap().len(), 40);
}

#[test]
fn a_registry_that_does_not_answer_is_one_line_for_all_of_its_images() {
    let world = many(6).wired().start();
    world.wire.fail("/tags/list", 503);
    let text = world.landfall(&["status"]).ends(0).stdout;
    let said: Vec<&str> = text.lines().filter(|line| line.contains("fetch-failed")).collect();
    let [line] = said.as_slice() else { panic!("{text}") };
    assert!(line.starts_with("⚠ 6 images in dev unknown: fetch-failed (app-00, app-01, app-02 and 3 more)"), "{text}");
    assert!(line.contains(&format!("check that {} answers", world.host)), "{text}");
}

#[test]
fn a_repository_that_cannot_be_read_is_not_an_app() {
    let world = World::web().start();
    world.push("acme/web", "1.2.3");
    world.configure("registries:", "  - { name: gone, url: remotes/gone.git }\nregistries:");
    let ran = world.landfall(&["status", "--all"]).ends(2);
    assert!(!ran.stdout.lines().any(|line| line.starts_with("gone ")), "{ran:#?}");
    let told: Vec<&str> = ran.stdout.lines().filter(|line| line.contains("gone")).collect();
    assert!(told[0].starts_with("⚠ repository gone unknown: "), "{ran:#?}");
    assert!(!ran.stdout.contains("⚠ problem"), "what its row says is not said again: {ran:#?}");
    let ran = world.landfall(&["status", "-o", "json"]).ends(2);
    let things: Vec<(String, String)> =
        ran.json()["updates"].as_array().unwrap().iter().fold(Vec::new(), |mut all, row| {
            all.push((row["thing"].as_str().unwrap().to_owned(), row["app"].as_str().unwrap().to_owned()));
            all
        });
    assert!(things.contains(&("repository".to_owned(), "gone".to_owned())), "{things:?}");
    assert!(things.contains(&("image".to_owned(), "web".to_owned())), "{things:?}");
}

#[test]
fn a_name_that_is_not_there_says_what_was_meant() {
    let world = World::web().start();
    world.landfall(&["status", "wbe"]).ends(2).says("there is no app `wbe`").says("did you mean `web`?");
}

#[test]
fn a_cell_is_about_the_apps_own_image_and_names_any_other() {
    let overlay = "images:\n  - { name: agent, newName: REG/acme/agent, newTag: 1.0.0 }\n  \
                   - { name: web, newName: REG/acme/web, newTag: 1.2.3 }\n";
    let world = World::setup().file("apps/web/overlays/dev/kustomization.yaml", overlay).start();
    world.push("acme/web", "1.2.3");
    world.push("acme/agent", "1.0.0");
    let cluster = Cluster::start(&world);
    cluster.application(&world, "web", "dev", &tip(&world));
    cluster.workload("web", &format!("{}/acme/web:1.2.3", world.host), None);
    let text = world.landfall(&["status"]).ends(0).stdout;
    let row = text.lines().find(|line| line.starts_with("web ")).unwrap();
    assert!(row.contains(" agent 1.0.0 "), "the worst one is named: {text}");
    // Both are equally unknown where nothing is seen: the app's own image stands for it.
    world.configure("environments: [dev]", "environments: [qa]");
    let text = world.landfall(&["status", "--all"]).ends(0).stdout;
    let row = text.lines().find(|line| line.starts_with("web ")).unwrap();
    assert!(row.contains("⚠ 1.2.3 unknown: unproven +1"), "{text}");
}
