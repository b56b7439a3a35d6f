//! What policies name by key path or pattern goes the same way as any other pin: from a tag to a verified commit, a pull request, a
//! rollback.

use serde_json::{Value, json};

use crate::support::git::fsck;
use crate::support::world::{Setup, World};

const POLICIES: &str = r#"policies:
  - name: dev
    paths: ["versions.toml", "image-tags/{env}/{app}", "{app}/Dockerfile"]
    environment: dev
    write: commit
    tags: { semver: "*" }
    keyPaths:
      - { files: [versions.toml], path: images.web.tag, image: REG/acme/web }
      - { files: ["image-tags/{env}/{app}"], pattern: '\A(?P<tag>\S+)\s*\z', image: "REG/acme/{app}" }
      - { files: ["*/Dockerfile"], pattern: '^FROM (?P<image>REG/acme/\S+?):(?P<tag>[^\s@]+)', matches: every }
  - name: prod
    paths: ["image-tags/prod/{app}", "infra/{env}/*.tf"]
    environment: prod
    write: pull-request
    tags: { semver: "*" }
    keyPaths:
      - { files: ["infra/{env}/*.tf"], path: module.web.image }
"#;

const TOML: &str = "# what runs\n[images.web]\ntag = '1.2.3' # do not touch\n[other]\ntag = '1.2.3'\n";
const DOCKERFILE: &str = "FROM REG/acme/go:1.2.3 AS build\r\nFROM REG/acme/web:1.2.3\r\nCOPY --from=build /x /x\r\n";
const MODULE: &str = "module \"web\" {\n  source = \"./web\"\n  image  = \"REG/acme/web:1.2.3\"\n}\n";

fn setup() -> Setup {
    World::setup()
        .policies(POLICIES)
        .file("versions.toml", TOML)
        .file("image-tags/dev/web", "1.2.3\n")
        .file("image-tags/prod/web", "1.2.3")
        .file("web/Dockerfile", DOCKERFILE)
        .file("infra/prod/main.tf", MODULE)
}

fn kinds(report: &Value) -> Vec<&str> {
    report["actions"].as_array().unwrap().iter().map(|action| action["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_new_tag_reaches_a_toml_file_a_text_and_a_dockerfile() {
    let world = setup().start();
    for image in ["acme/web", "acme/go"] {
        world.push_all(image, &["1.2.3", "1.3.0"]);
    }
    let before = world.tip("main");
    let report = world.apply();
    assert_eq!(kinds(&report), ["commit", "pull-request", "pull-request"], "{report:#}");
    assert_eq!(report["problems"], json!([]), "{report:#}");
    let done = json!({ "commit": world.tip("main"), "pullRequest": null, "verified": true });
    assert_eq!(report["actions"][0]["result"], done, "{report:#}");
    assert_eq!(world.git(&["rev-list", "--count", &format!("{before}..main")]), "1");
    assert_eq!(world.numstat("main"), ["1 1 image-tags/dev/web", "1 1 versions.toml", "2 2 web/Dockerfile"]);
    let text = |text: &str| world.text(text);
    assert_eq!(world.read("main", "versions.toml"), TOML.replacen("1.2.3", "1.3.0", 1));
    assert_eq!(world.read("main", "image-tags/dev/web"), "1.3.0\n");
    assert_eq!(world.read("main", "web/Dockerfile"), text(&DOCKERFILE.replace("1.2.3", "1.3.0")));
    for (pull, path, expected) in [
        (&report["actions"][1], "infra/prod/main.tf", text(&MODULE.replace("1.2.3", "1.3.0"))),
        (&report["actions"][2], "image-tags/prod/web", "1.3.0".to_owned()),
    ] {
        assert_eq!(pull["result"]["verified"], true, "{report:#}");
        assert_eq!(world.read(pull["head"].as_str().unwrap(), path), expected);
    }
    fsck(&world.bare());

    // What was written is recognised: nothing more is, and the branch is still the bot's own.
    let refs = world.refs();
    let again = world.apply();
    assert_eq!((&again["actions"], &again["problems"]), (&json!([]), &json!([])), "{again:#}");
    assert_eq!(world.refs(), refs);
    let gates: Vec<&Value> = again["holds"].as_array().unwrap().iter().map(|hold| &hold["gate"]).collect();
    assert_eq!(gates, ["approval"; 2], "{again:#}");

    // And so it can be taken back.
    let history: Value = world.landfall(&["history", "-o", "json"]).json();
    assert!(history.to_string().contains("1.3.0"), "{history:#}");
    world.landfall(&["rollback", "web", "--environment", "dev", "--by", "Ada"]).ends(0);
    assert_eq!(world.read("main", "image-tags/dev/web"), "1.2.3\n");
}

#[test]
fn a_declaration_takes_effect_with_the_commit_that_brings_it_and_ends_with_it() {
    let none = "policies:\n  - { name: dev, paths: [\"**\"], write: commit, tags: { semver: \"*\" } }\n";
    let world = World::setup().policies(none).app("web", "1.2.3", &["dev"]).file("tag.txt", "1.2.3\n").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    assert_eq!(world.apply()["actions"][0]["updates"].as_array().unwrap().len(), 1);
    let declared = format!(
        "{}    keyPaths:\n      - {{ files: [tag.txt], pattern: '^(?P<tag>.+)$', image: REG/acme/web }}\n",
        none.replace(
            "{ name: dev, paths: [\"**\"], write: commit, tags: { semver: \"*\" } }",
            "name: dev\n    paths: [\"**\"]\n    write: commit\n    tags: { semver: \"*\" }"
        )
    );
    world.write(&[(".landfall/policies.yaml", &declared)]);
    world.apply();
    assert_eq!(world.read("main", "tag.txt"), "1.3.0\n");
    // More than it says: left alone, and said.
    world.write(&[("tag.txt", "1.3.0\n1.3.0\n")]);
    world.push_all("acme/web", &["1.4.0"]);
    let report = world.apply();
    assert_eq!((world.read("main", "tag.txt").as_str(), world.tag("web", "dev").as_str()), ("1.3.0\n1.3.0\n", "1.4.0"));
    let problem = &report["problems"][0];
    assert_eq!((&problem["path"], &problem["line"]), (&json!("tag.txt"), &json!(2)), "{report:#}");
    assert!(problem["message"].as_str().unwrap().contains("matches 2 times"), "{report:#}");
    world.write(&[(".landfall/policies.yaml", none)]);
    assert_eq!(world.apply()["problems"], json!([]));
}

#[test]
fn scan_and_set_image_know_what_the_policies_beside_them_declare() {
    let world = setup().start();
    let ran = world.work("main", |folder| {
        let scan: Value =
            world.landfall(&["scan", folder.to_str().unwrap(), "--kind", "key-path", "-o", "json"]).json();
        let places: Vec<String> =
            scan["pins"].as_array().unwrap().iter().map(|pin| pin["path"].as_str().unwrap().to_owned()).collect();
        assert_eq!(
            places,
            [
                "image-tags/dev/web",
                "image-tags/prod/web",
                "infra/prod/main.tf",
                "versions.toml",
                "web/Dockerfile",
                "web/Dockerfile"
            ]
        );
        // Below a folder, and a file by itself.
        for (path, pins) in [("image-tags/dev", 1), ("web", 2), ("web/Dockerfile", 2)] {
            let path = folder.join(path);
            let scan: Value = world.landfall(&["scan", path.to_str().unwrap(), "-o", "json"]).json();
            assert_eq!(scan["pins"].as_array().unwrap().len(), pins, "{scan:#}");
        }
        let image = world.text("REG/acme/web=:2.0.0");
        world.landfall(&["set-image", folder.to_str().unwrap(), &image]).ends(0).says("2.0.0");
        crate::support::git::git(folder, &["commit", "--quiet", "--all", "-m", "by hand"]);
    });
    assert_eq!(world.read(&ran, "versions.toml"), TOML.replacen("1.2.3", "2.0.0", 1));
    assert_eq!(world.read(&ran, "image-tags/dev/web"), "2.0.0\n");
    assert_eq!(world.read(&ran, "infra/prod/main.tf"), world.text(&MODULE.replace("1.2.3", "2.0.0")));
    world.landfall(&["explain", "image-tags/dev/web"]).ends(0).says("dev");
}

const COMPOSE: &str =
    "services:\n  web:\n    image: REG/acme/web:${TAG:-0.1.0}\n  go: { image: 'REG/acme/go:1.2.3' }\n";
const ENV: &str = "# set by release\nTAG=\"1.2.3\" # quoted\nTOKEN=1.2.3\n";

#[test]
fn compose_with_its_env_and_terraform_are_found_by_themselves() {
    let policies = r#"policies:
  - { name: dev, paths: ["stacks/dev/**", "infra/dev/**"], environment: dev, write: commit, tags: { semver: "*" } }
  - { name: prod, paths: ["stacks/prod/**"], environment: prod, write: pull-request, tags: { semver: "*" } }
  - { name: tf, paths: ["infra/test/*.tf"], environment: test, write: commit, tags: { semver: "*" } }
"#;
    let mut setup = World::setup().policies(policies);
    for environment in ["dev", "prod"] {
        setup = setup
            .file(&format!("stacks/{environment}/compose.yaml"), COMPOSE)
            .file(&format!("stacks/{environment}/.env"), ENV);
    }
    let world = setup.file("infra/dev/main.tf", MODULE).file("infra/test/main.tf", MODULE).start();
    for image in ["acme/web", "acme/go"] {
        world.push_all(image, &["1.2.3", "1.3.0"]);
    }
    let report = world.apply();
    // Terraform is reviewed, but where a policy names its files.
    let kinds: Vec<(&str, &str)> = report["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["kind"].as_str().unwrap(), it["environment"].as_str().unwrap()))
        .collect();
    assert_eq!(
        kinds.iter().filter(|it| it.0 == "commit").map(|it| it.1).collect::<Vec<_>>(),
        ["dev", "test"],
        "{report:#}"
    );
    assert!(kinds.contains(&("pull-request", "dev")) && kinds.contains(&("pull-request", "prod")), "{report:#}");
    assert_eq!(report["problems"], json!([]), "{report:#}");
    assert_eq!(world.read("main", "stacks/dev/.env"), ENV.replacen("1.2.3", "1.3.0", 1));
    assert_eq!(world.read("main", "stacks/dev/compose.yaml"), world.text(&COMPOSE.replace("1.2.3", "1.3.0")));
    assert_eq!(world.read("main", "infra/test/main.tf"), world.text(&MODULE.replace("1.2.3", "1.3.0")));
    assert_eq!(world.read("main", "infra/dev/main.tf"), world.text(MODULE));
    fsck(&world.bare());
    // The branches are the bot's own, and what was written is recognised.
    let refs = world.refs();
    let again = world.apply();
    assert_eq!((&again["actions"], &again["problems"]), (&json!([]), &json!([])), "{again:#}");
    let gates: Vec<&Value> = again["holds"].as_array().unwrap().iter().map(|hold| &hold["gate"]).collect();
    assert!(!gates.is_empty() && gates.iter().all(|gate| *gate == "approval"), "{again:#}");
    assert_eq!(world.refs(), refs);
    world.landfall(&["explain", "infra/dev/main.tf"]).ends(0).says("Terraform's changes are reviewed");
    world.work("main", |folder| {
        let scan: Value = world.landfall(&["scan", folder.to_str().unwrap(), "--kind", "compose", "-o", "json"]).json();
        let found = |pin: &Value| pin["path"] == "stacks/dev/.env" && pin["key"] == "TAG" && pin["tag"] == "1.3.0";
        assert!(scan["pins"].as_array().unwrap().iter().any(found), "{scan:#}");
        world
            .landfall(&["set-image", folder.to_str().unwrap(), &world.text("REG/acme/web=:2.0.0")])
            .ends(0)
            .says("2.0.0");
        assert!(std::fs::read_to_string(folder.join("stacks/prod/.env")).unwrap().contains("TAG=\"2.0.0\""));
    });
}
