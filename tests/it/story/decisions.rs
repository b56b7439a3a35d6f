//! What people decide on the command line stands in Git, and holds: freezes, holds, releases.

use serde_json::{Value, json};

use crate::support::git::{fsck, git};
use crate::support::world::{Ran, World, overlay};

/// web at 1.2.3 in dev and prod, 1.3.0 in the registry.
fn due() -> World {
    let world = World::web().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world
}

#[track_caller]
fn decide(world: &World, args: &[&str]) -> Value {
    let all: Vec<&str> = args.iter().copied().chain(["--by", "Ada", "-o", "json"]).collect();
    world.landfall(&all).ends(0).json()
}

/// The hold of an environment in a report.
fn hold_of(report: &Value, environment: &str) -> Value {
    let holds = report["holds"].as_array().unwrap();
    let found = holds.iter().find(|hold| hold["update"]["environment"] == environment);
    found.unwrap_or_else(|| panic!("{report:#}")).clone()
}

fn contains(value: &Value, text: &str) -> bool {
    value.as_str().is_some_and(|value| value.contains(text))
}

#[test]
fn a_freeze_freezes_until_it_is_taken_back() {
    let world = due();
    let before = world.tip("main");
    let frozen = decide(&world, &["freeze", "dev", "--until", "4h", "--reason", "incident 4711"]);
    let commit = world.tip("main");
    assert_eq!((&frozen["commit"], &frozen["verified"]), (&json!(commit), &json!(true)), "{frozen:#}");
    assert_eq!(frozen["files"], json!([".landfall/freezes/dev.yaml"]));
    assert_eq!(world.git(&["rev-parse", "main^"]), before);
    assert_eq!(world.log("main")[0], "Ada: freeze dev: incident 4711");
    let trailers = world.trailers("main");
    for (key, value) in [
        ("Landfall-Decision", "freeze"),
        ("Landfall-Environment", "dev"),
        ("Landfall-By", "Ada"),
        ("Landfall-Reason", "incident 4711"),
    ] {
        assert!(trailers.contains(&(key.to_owned(), value.to_owned())), "{trailers:?}");
    }
    for _ in 0..2 {
        let report = world.apply();
        let hold = hold_of(&report, "dev");
        assert_eq!(hold["gate"], "freeze", "{report:#}");
        assert!(
            contains(&hold["reason"], "dev was frozen by Ada: incident 4711 (.landfall/freezes/dev.yaml"),
            "{hold:#}"
        );
        assert!(!hold["until"].is_null());
        assert_eq!(report["problems"], json!([]));
    }
    assert_eq!(world.tag("web", "dev"), "1.2.3");
    let free = decide(&world, &["unfreeze", "dev", "--reason", "it is over"]);
    assert_eq!(free["removed"], json!([".landfall/freezes/dev.yaml"]));
    assert_eq!(world.git(&["ls-tree", "-r", "--name-only", "main", ".landfall/freezes"]), "");
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    world.landfall(&["unfreeze", "dev", "--reason", "again", "--by", "Ada"]).ends(1).says("dev is not frozen");
    fsck(&world.bare());
}

#[test]
fn everything_freezes_at_once_and_two_people_do_not_meet() {
    let world = due();
    decide(&world, &["freeze", "*", "--reason", "nobody is here"]);
    world.landfall(&["freeze", "*", "--reason", "fire drill", "--by", "Grace"]).ends(0);
    let again = decide(&world, &["freeze", "*", "--reason", "still nobody", "--until", "2100-01-01T00:00:00Z"]);
    assert_eq!(again["files"], json!([".landfall/freezes/all.yaml"]), "one's own word is brought up to date");
    assert_eq!(
        world.git(&["ls-tree", "-r", "--name-only", "main", ".landfall/freezes"]).lines().collect::<Vec<_>>(),
        [".landfall/freezes/all.2.yaml", ".landfall/freezes/all.yaml"]
    );
    let report = world.apply();
    assert_eq!(report["actions"], json!([]));
    assert!(contains(&hold_of(&report, "prod")["reason"], "(and 1 more)"), "{report:#}");
    assert_eq!(hold_of(&report, "dev")["until"], json!(null), "Grace has named no end");
    let free = decide(&world, &["unfreeze", "*", "--reason", "over"]);
    assert_eq!(free["removed"].as_array().unwrap().len(), 2);
    assert_eq!(world.apply()["holds"], json!([]));
}

#[test]
fn a_hold_is_for_what_it_names() {
    let world = due();
    let held = decide(
        &world,
        &["hold", "web", "--environment", "dev", "--version", "1.3.0", "--reason", "it leaks: \"see\" #1"],
    );
    assert_eq!(held["files"], json!([".landfall/holds/web.dev.1.3.0.yaml"]));
    let report = world.apply();
    let hold = hold_of(&report, "dev");
    assert_eq!((&hold["gate"], &hold["until"]), (&json!("hold"), &json!(null)));
    assert!(contains(&hold["reason"], "web 1.3.0 was held by Ada: it leaks: \"see\" #1"), "{hold:#}");
    assert!(report["actions"][0]["result"]["pullRequest"].is_string(), "prod goes on: {report:#}");
    world.push("acme/web", "1.3.1");
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.1", "another version is not meant");
}

#[test]
fn a_hold_of_an_image_ends_by_release() {
    let world = due();
    let image = world.text("REG/acme/web");
    let held = decide(&world, &["hold", &image, "--reason", "not before the migration"]);
    assert_eq!(held["files"], json!([".landfall/holds/web.yaml"]));
    assert_eq!(world.apply()["actions"], json!([]));
    let free = decide(&world, &["release", &image]);
    assert_eq!((&free["removed"], &free["stillHeld"]), (&json!([".landfall/holds/web.yaml"]), &json!([])), "{free:#}");
    assert_eq!(world.apply()["actions"].as_array().unwrap().len(), 2);
    world.landfall(&["release", "web", "--by", "Ada"]).ends(1).says("no person's decision holds web");
}

#[test]
fn what_is_over_holds_nothing() {
    let world = due();
    let text = "environment: dev\nreason: r\nauthor: Ada\nsince: 2026-01-01T00:00:00Z\nuntil: 2026-01-02T00:00:00Z\n";
    world.write(&[(".landfall/freezes/dev.yaml", text)]);
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    world.landfall(&["check"]).ends(0).says(".landfall/freezes/dev.yaml").says("ended at 2026-01-02T00:00:00Z");
}

#[test]
fn a_freeze_is_a_freeze_however_its_file_is_called() {
    for path in ["freezes/dev", "freezes/dev.json", "Freezes/dev.YAML", "freeze/dev.yml", "freezes/team/dev.yaml"] {
        let world = due();
        let text = r#"{"environment": "dev", "author": "Ada", "reason": "stop", "since": "2026-01-01T00:00:00Z"}"#;
        world.write(&[(&format!(".landfall/{path}"), text)]);
        let report = world.apply();
        assert_eq!(hold_of(&report, "dev")["gate"], "freeze", "{path}");
        assert_eq!(report["problems"], json!([]), "{path}");
    }
    let world = due();
    world.write(&[(".landfall/freezes/.gitkeep", ""), (".landfall/freezes/README.md", "environment: dev\n")]);
    assert_eq!(world.apply()["actions"][0]["kind"], "commit");
    // Of two documents, neither is obeyed alone.
    let world = due();
    let two = "environment: prod\nreason: x\n---\nenvironment: dev\nreason: x\n";
    world.write(&[(".landfall/freezes/prod.yaml", two)]);
    let report = world.landfall(&["plan", "-o", "json"]).report();
    assert_eq!(hold_of(&report, "dev")["gate"], "freeze");
    assert_eq!(hold_of(&report, "prod")["gate"], "freeze");
}

#[test]
fn an_unreadable_file_holds_what_its_name_says() {
    for (file, dev, prod) in [
        // Its text mentions prod.
        (".landfall/freezes/dev.yaml", true, true),
        (".landfall/freezes/prod.yaml", false, true),
        (".landfall/freezes/everybody.yaml", true, true),
        (".landfall/holds/web.prod.yaml", false, true),
        (".landfall/holds/web.yaml", true, true),
        (".landfall/holds/shop.yaml", true, true),
        (".landfall/holds/notes.md", false, false),
        (".landfall/holds/deeper/web.yaml", true, true),
        (".landfall/freezes/DEV.YAML", true, true),
    ] {
        let world = due();
        world.write(&[(file, "environment: prod\nraeson: typo\n")]);
        let report = world.landfall(&["plan", "-o", "json"]).report();
        for (environment, held) in [("dev", dev), ("prod", prod)] {
            let holds = report["holds"].as_array().unwrap();
            let found = holds.iter().find(|hold| hold["update"]["environment"] == environment);
            assert_eq!(found.is_some(), held, "{file} {environment}: {report:#}");
        }
        let problem = &report["problems"][0];
        assert_eq!(problem["path"].as_str(), (dev || prod).then_some(file), "{report:#}");
        if dev || prod {
            assert_eq!(problem["line"], 2, "{report:#}");
            assert!(contains(&problem["message"], "column 1: unknown key `raeson`"), "{report:#}");
            world.landfall(&["check"]).ends(1).says(file);
        }
    }
}

#[test]
fn a_link_in_place_of_the_folder_of_freezes_holds_everything_and_a_folder_of_patterns_stops_all() {
    let world = due();
    world.work("main", |folder| {
        let at = folder.join(".landfall");
        std::fs::create_dir_all(at.join("elsewhere")).unwrap();
        std::fs::write(
            at.join("elsewhere/dev.yaml"),
            "environment: dev\nauthor: Ada\nreason: r\nsince: 2026-01-01T00:00:00Z\n",
        )
        .unwrap();
        std::os::unix::fs::symlink("elsewhere", at.join("freezes")).unwrap();
        git(folder, &["add", "-A"]);
        git(folder, &["commit", "--quiet", "-m", "a link"]);
    });
    let report = world.landfall(&["plan", "-o", "json"]).report();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    assert!(contains(&report["problems"][0]["path"], ".landfall/freezes"), "{report:#}");

    let world = due();
    world.write(&[(".landfall/freezes/a\nb.yaml", "environment: dev\n")]);
    let report = world.landfall(&["plan", "-o", "json"]).report();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    assert!(contains(&report["problems"][0]["message"], "its name cannot be used"), "{report:#}");

    let world = due();
    world.write(&[(".landfallignore/x", "apps/\n")]);
    let report = world.landfall(&["plan", "-o", "json"]).report();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    assert!(contains(&report["problems"][0]["message"], ".landfallignore is a folder"), "{report:#}");

    let world = due();
    world.work("main", |folder| {
        std::os::unix::fs::symlink("elsewhere", folder.join(".landfallignore")).unwrap();
        git(folder, &["add", "-A"]);
        git(folder, &["commit", "--quiet", "-m", "a link"]);
    });
    let report = world.landfall(&["plan", "-o", "json"]).report();
    assert_eq!(report["actions"], json!([]), "{report:#}");
    assert!(contains(&report["problems"][0]["message"], "a symbolic link"), "{report:#}");
}

#[test]
fn a_folder_in_place_of_the_ignore_file_holds_everything_until_it_is_gone() {
    for inside in ["x", "a\nb"] {
        let world = due();
        world.write(&[(&format!(".landfallignore/{inside}"), "apps/\n")]);
        let mut bot = world.in_process("landfall.yaml");
        let outcome = world.cycle(&mut bot).unwrap();
        assert!(outcome.actions.is_empty() && !outcome.problems.is_empty(), "{inside:?}: {outcome:?}");
        // As long as there is anything left of it.
        world.write(&[(".landfallignore/y", "apps/\n")]);
        world.work("main", |folder| {
            git(folder, &["rm", "--quiet", &format!(".landfallignore/{inside}")]);
            git(folder, &["commit", "--quiet", "-m", "less of it"]);
        });
        assert!(world.cycle(&mut bot).unwrap().actions.is_empty(), "{inside:?}");
        world.work("main", |folder| {
            git(folder, &["rm", "--quiet", "-r", ".landfallignore"]);
            git(folder, &["commit", "--quiet", "-m", "no more"]);
        });
        world.cycle(&mut bot).unwrap();
        assert_eq!(world.tag("web", "dev"), "1.3.0", "{inside:?}");
    }
}

#[test]
fn a_release_lets_a_reverted_version_pass_once() {
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    let revert = |world: &World| {
        world.work("main", |folder| drop(git(folder, &["revert", "--no-edit", "HEAD"])));
        assert_eq!(world.tag("web", "dev"), "1.2.3");
    };
    revert(&world);
    let hold = hold_of(&world.apply(), "dev");
    let by = format!("by {}", world.git(&["log", "-1", "--format=%an in %H", "main"]));
    assert!(contains(&hold["reason"], &by[..by.len() - 33]), "{by} {hold:#}");
    let free = decide(&world, &["release", "web", "--environment", "dev", "--reason", "it was the database"]);
    assert_eq!(free["released"][0]["id"], hold["update"]["id"], "{free:#}");
    assert_eq!((&free["files"], &free["stillHeld"]), (&json!([]), &json!([])));
    let id = hold["update"]["id"].as_str().unwrap().to_owned();
    assert!(world.trailers("main").contains(&("Landfall-Release".to_owned(), id)));
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    revert(&world);
    let report = world.apply();
    assert_eq!(
        (&report["actions"], &hold_of(&report, "dev")["gate"]),
        (&json!([]), &json!("hold")),
        "a new word: {report:#}"
    );
}

#[test]
fn a_release_opens_a_closed_pull_request_again() {
    let world = World::setup().app("web", "1.2.3", &["prod"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    world.landfall(&["pr", "close", "1"]).ends(0);
    assert!(contains(&hold_of(&world.apply(), "prod")["reason"], "#1 was closed"));
    let free = decide(&world, &["release", "web"]);
    assert_eq!(free["stillHeld"], json!([]), "{free:#}");
    let report = world.apply();
    assert!(report["actions"][0]["result"]["pullRequest"].is_string(), "{report:#}");
}

#[test]
fn a_downgrade_of_what_the_bot_never_wrote_is_a_decision() {
    let world = World::setup().app("web", "1.3.0", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    assert_eq!(world.apply()["upToDate"], 1);
    world.edit(&overlay("web", "dev"), "1.3.0", "1.2.3");
    let by = format!("1.3.0 was reverted to 1.2.3 by Ada in {}", &world.tip("main")[..7]);
    let hold = hold_of(&world.apply(), "dev");
    assert!(contains(&hold["reason"], &by), "{hold:#}");
    world.push("acme/web", "1.4.0");
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.4.0");
}

#[test]
fn what_cannot_be_decided_says_what_can() {
    let world = due();
    let tip = world.tip("main");
    let ran = |args: &[&str]| -> Ran { world.landfall(&[args, &["--by", "Ada"]].concat()) };
    ran(&["freeze", "staging", "--reason", "r"]).ends(2).says("no environment `staging`; there are dev, prod");
    ran(&["hold", "shop", "--reason", "r"]).ends(2).says("no app or image `shop`; there is only web");
    ran(&["release", "shop"]).ends(2).says("no app or image `shop`");
    ran(&["hold", "web", "--environment", "qa", "--reason", "r"]).ends(2).says("no environment `qa`");
    ran(&["freeze", "dev", "--reason", " "]).ends(2).says("--reason");
    ran(&["freeze", "dev", "--reason", "r", "--until", "2020-01-01T00:00:00Z"]).ends(2).says("is in the past");
    ran(&["freeze", "dev", "--reason", "r", "--until", "soon"]).ends(2).says("write a time such as");
    ran(&["freeze", "dev", "--reason", "r", "--repository", "x"]).ends(2).says("there is only deploys");
    world.landfall(&["freeze", "dev", "--reason", "r"]).ends(2).says("--by NAME");
    world.landfall(&["freeze", "dev", "--reason", "r", "--by", "a <b>"]).ends(2).says("--by");
    assert_eq!(world.tip("main"), tip);
}

#[test]
fn a_branch_that_may_not_be_pushed_to_says_what_to_do() {
    let world = due();
    world.hook("update", "echo 'protected branch' >&2; exit 1");
    let ran = world.landfall(&["freeze", "dev", "--reason", "r", "--by", "Ada"]).ends(2);
    ran.says("refuses the commit to main")
        .says("protected branch")
        .says("commit .landfall/freezes/dev.yaml with this text:");
}

#[test]
fn what_a_release_would_have_written_can_be_committed_as_a_file() {
    let world = due();
    world.apply();
    world.work("main", |folder| drop(git(folder, &["revert", "--no-edit", "HEAD"])));
    assert_eq!(hold_of(&world.apply(), "dev")["gate"], "hold");
    world.hook("update", "echo 'protected branch' >&2; exit 1");
    let ran = world.landfall(&["release", "web", "--environment", "dev", "--by", "Ada"]).ends(2);
    let ran = ran.says("commit .landfall/releases/web.dev.yaml with this text:");
    let printed = format!("{}{}", ran.stdout, ran.stderr);
    assert!(!printed.contains("Landfall-Release"), "{printed}");
    let text: Vec<&str> = printed.lines().skip_while(|line| !line.starts_with("app: ")).take(5).collect();
    assert_eq!(
        text.iter().map(|line| line.split(':').next().unwrap()).collect::<Vec<_>>(),
        ["app", "environment", "reason", "author", "since"],
        "{printed}"
    );
    std::fs::remove_file(world.bare().join("hooks/update")).unwrap();
    world.write(&[(".landfall/releases/web.dev.yaml", &format!("{}\n", text.join("\n")))]);
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0", "a file is content");
    world.landfall(&["check", "--remote"]).ends(0);
    // It ends what was decided before, and nothing later.
    world.work("main", |folder| drop(git(folder, &["revert", "--no-edit", "HEAD"])));
    let older = [&text[..4], &["since: 2020-01-01T00:00:00Z"]].concat().join("\n");
    world.write(&[(".landfall/releases/web.dev.yaml", &older)]);
    let report = world.apply();
    assert_eq!(
        (&hold_of(&report, "dev")["gate"], world.tag("web", "dev").as_str()),
        (&json!("hold"), "1.2.3"),
        "{report:#}"
    );
    // One that cannot be read releases nothing, and says so.
    world.write(&[(".landfall/releases/web.dev.yaml", "app: web\n")]);
    let report = world.landfall(&["plan", "-o", "json"]).ends(2).report();
    assert_eq!(hold_of(&report, "dev")["gate"], "hold");
    assert!(report["problems"].to_string().contains("it releases nothing until this is fixed"), "{report:#}");
}

#[test]
fn policies_beside_the_configuration_leave_decisions_in_the_usual_folder() {
    let world = World::web().policies_at("{ file: policies.yaml }").start();
    std::fs::write(world.path("policies.yaml"), crate::support::world::DEV_PROD).unwrap();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    decide(&world, &["freeze", "*", "--reason", "r"]);
    assert_eq!(world.apply()["actions"], json!([]));
}

#[test]
fn two_people_and_the_bot_at_once_lose_nothing() {
    let world = due();
    let ran = |args: &'static [&'static str]| {
        let world = &world;
        move || world.landfall(&[args, &["--by", "Ada"]].concat()).ends(0)
    };
    std::thread::scope(|scope| {
        let one = scope.spawn(ran(&["freeze", "prod", "--reason", "one"]));
        let two = scope.spawn(ran(&["hold", "web", "--environment", "dev", "--version", "9.9.9", "--reason", "two"]));
        let bot = scope.spawn(|| world.landfall(&["apply"]));
        one.join().unwrap();
        two.join().unwrap();
        bot.join().unwrap().ends(0);
    });
    let files = world.git(&["ls-tree", "-r", "--name-only", "main", ".landfall"]);
    assert!(files.contains("freezes/prod.yaml") && files.contains("holds/web.dev.9.9.9.yaml"), "{files}");
    let report = world.apply();
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    assert_eq!(world.git(&["rev-list", "--count", "--grep", "Landfall-Update", "main"]), "1", "{report:#}");
    fsck(&world.bare());
}

#[test]
fn a_revert_that_races_a_newer_tag_holds_what_it_reverts() {
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    world.work("main", |folder| drop(git(folder, &["revert", "--no-edit", "HEAD"])));
    world.push("acme/web", "1.4.0");
    world.apply();
    assert_eq!(world.tag("web", "dev"), "1.4.0");
    // 1.4.0 goes back as well: by two commits of one person, past what was there before.
    world.edit(&overlay("web", "dev"), "1.4.0", "1.3.0");
    world.edit(&overlay("web", "dev"), "1.3.0", "1.2.3");
    let report = world.apply();
    assert_eq!((&report["actions"], world.tag("web", "dev").as_str()), (&json!([]), "1.2.3"), "{report:#}");
}

#[test]
fn a_rewritten_history_and_merges_are_read_as_they_are_now() {
    let world = World::setup().app("web", "1.3.0", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let start = world.tip("main");
    // A downgrade that comes by a merge is its writer's.
    world.work("main", |folder| {
        git(folder, &["checkout", "--quiet", "-b", "side"]);
        let file = folder.join(overlay("web", "dev"));
        let text = std::fs::read_to_string(&file).unwrap().replace("1.3.0", "1.2.3");
        std::fs::write(&file, text).unwrap();
        git(folder, &["commit", "--quiet", "--all", "-m", "back"]);
        git(folder, &["checkout", "--quiet", "main"]);
        git(folder, &["merge", "--quiet", "--no-ff", "-m", "merge", "side"]);
    });
    let hold = hold_of(&world.apply(), "dev");
    let wrote = world.git(&["rev-parse", "main^2"]);
    assert!(contains(&hold["reason"], &wrote[..7]), "{hold:#}");
    // Without that history there was no decision.
    world.git(&["update-ref", "refs/heads/main", &start]);
    world.edit(&overlay("web", "dev"), "newTag: 1.3.0", "newTag: 1.3.0 # kept");
    assert_eq!(world.apply()["holds"], json!([]));
}

#[test]
fn the_main_branchs_decisions_hold_on_every_branch() {
    let policies = r#"policies:
  - name: dev
    paths: ["apps/{app}/overlays/dev/**"]
    environment: dev
    write: commit
    tags: { semver: "*" }
  - name: prod
    paths: ["apps/{app}/overlays/dev/**"]
    branch: env/prod
    environment: prod
    write: commit
    tags: { semver: "*" }
"#;
    let world = World::setup().policies(policies).app("web", "1.2.3", &["dev"]).start();
    world.git(&["branch", "env/prod", "main"]);
    world.configure("    branch: main", "    branch: main\n    branches: [env/prod]");
    let file = format!("env/prod:{}", overlay("web", "dev"));
    let prod = |tag: &str| assert!(world.git(&["show", &file]).contains(&format!("newTag: {tag}")));
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    decide(&world, &["freeze", "prod", "--reason", "r"]);
    assert_eq!(hold_of(&world.apply(), "prod")["gate"], "freeze");
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    prod("1.2.3");
    decide(&world, &["unfreeze", "prod", "--reason", "r"]);
    world.apply();
    prod("1.3.0");
    // Reverted there, released on the main branch.
    world.work("env/prod", |folder| drop(git(folder, &["revert", "--no-edit", "HEAD"])));
    assert_eq!(hold_of(&world.apply(), "prod")["gate"], "hold");
    prod("1.2.3");
    let free = decide(&world, &["release", "web", "--environment", "prod"]);
    assert_eq!(free["stillHeld"], json!([]), "{free:#}");
    world.apply();
    prod("1.3.0");
}

#[test]
fn an_end_without_a_time_zone_says_which_one_it_took() {
    let world = World::web().start();
    let freeze = |until: &str| {
        let args = ["freeze", "prod", "--reason", "holidays", "--by", "Ada", "--until", until];
        world.landfall_with(&args, &[("TZ", "Europe/Berlin")])
    };
    freeze("2199-12-27T06:00").ends(0).says("has no time zone, so it is read in Europe/Berlin: 2199-12-27T05:00:00Z");
    let files = world.git(&["ls-tree", "-r", "--name-only", "main", ".landfall/freezes"]);
    let text = world.read("main", files.lines().next().unwrap());
    assert!(text.contains("2199-12-27T05:00:00Z"), "{text}");
    let ran = freeze("2199-12-28T06:00:00Z").ends(0);
    assert!(!ran.stderr.contains("time zone"), "{ran:#?}");
    freeze("tomorrow").ends(2).says("such as 2026-01-05T08:00");
}
