//! What commits and pull requests say where a repository has its own templates: the words are its own, the record is not.

use super::merges::{does, prod};
use crate::support::world::{DEV_PROD, World};

#[test]
fn conventional_commits_are_one_word() {
    let world = World::web().policies(DEV_PROD).github("").start();
    world.configure("    url:", "    messages: conventional\n    url:");
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    assert_eq!(world.git(&["log", "-1", "--format=%s", "main"]), "chore(dev): bump web to 1.3.0");
    let pull = world.github().pull(1);
    assert_eq!(pull.title, "chore(prod): bump web to 1.3.0");
    assert_eq!(world.git(&["log", "-1", "--format=%s", &pull.head]), pull.title);
    let said = world.git(&["log", "-1", "--format=%B", "main"]);
    assert!(said.contains("\n\n- apps/web/overlays/dev: ") && said.contains("\nLandfall-To: 1.3.0"), "{said}");
    // The record is read back as ever.
    assert_eq!(world.apply()["actions"].as_array().map(Vec::len), Some(0));
}

#[test]
fn templates_say_what_they_like_and_the_bot_merges_its_own_work() {
    let world = prod("automerge: true, mergeMethod: squash, checks: [ci]").github("").start();
    let messages = "    messages: { commit: \"[{app}] {from} to {to}\\n\\nSee the {scope} runbook.\", title: \"{app} {to} ({count})\", \
                    body: \"## {app}\\n\\n{text}\", signOff: true }\n    url:";
    world.configure("    url:", messages);
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    does(&world, "pull-request");
    let github = world.github();
    let pull = github.pull(1);
    assert_eq!(pull.title, "web 1.3.0 (1)");
    let body = pull.body.unwrap();
    assert!(body.starts_with("## `web`\n\n| image |") && body.contains("What happens next"), "{body}");
    assert!(body.trim_end().ends_with("-->"), "{body}");
    let said = world.git(&["log", "-1", "--format=%B", &pull.head]);
    assert!(said.starts_with("[web] 1.2.3 to 1.3.0\n\nSee the prod runbook.\n\nLandfall-Update: "), "{said}");
    assert!(said.trim_end().ends_with("\nSigned-off-by: Landfall <landfall@example.com>"), "{said}");
    github.run(&pull.head, "ci", "completed", Some("success"));
    does(&world, "merge");
    assert_eq!(world.git(&["log", "-1", "--format=%s", "main"]), "[web] 1.2.3 to 1.3.0 (#1)");
    let history = world.landfall(&["history", "web", "-o", "json"]).ends(0).json();
    assert_eq!(history["history"][0]["kind"], "bump", "{history:#}");
    // Another wording is no other content: what is open stays as it is pushed.
    assert_eq!(world.apply()["upToDate"], 1);
}
