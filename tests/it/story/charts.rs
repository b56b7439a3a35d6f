//! Charts, artifacts and packages go the same way as an image: chosen in their registry, edited byte for byte, committed or
//! requested, taken back. Never one of another type.

use serde_json::{Value, json};

use crate::registry::real::{CHART, FLUX, push_artifact};
use crate::support::git::fsck;
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
