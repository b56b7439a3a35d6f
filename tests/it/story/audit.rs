//! What a reviewer asks: who decided, who approved, what was proved, what was overridden.

use serde_json::{Value, json};

use crate::support::git::git;
use crate::support::world::World;

fn records(event: &Value, name: &str) -> Vec<String> {
    let all = event["records"].as_array().unwrap().iter().filter(|record| record["name"] == name);
    all.map(|record| record["value"].as_str().unwrap().to_owned()).collect()
}

fn audit(world: &World, more: &[&str]) -> Value {
    world.landfall(&[&["history", "--audit", "-o", "json"], more].concat()).ends(0).json()
}

#[test]
fn an_export_names_who_decided_who_approved_and_what_was_recorded() {
    let world = World::web().over_http().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    world.apply();
    world.landfall(&["pr", "approve", "1", "--by", "ann"]).ends(0);
    let head = format!("origin/{}", world.heads()[0]);
    world.work("main", |folder| {
        git(folder, &["merge", "-q", "--no-ff", "-m", "Merge pull request #1 from landfall/prod", &head]);
    });
    let merged = world.tip("main");
    world.landfall(&["freeze", "prod", "--reason", "incident 4711", "--by", "Ada"]).ends(0);
    let frozen = world.tip("main");

    let report = audit(&world, &[]);
    let events = report["events"].as_array().unwrap();
    let version = |environment: &str| {
        let is_it =
            |event: &&Value| event["change"]["environment"] == environment && event["change"]["to"]["tag"] == "1.3.0";
        events.iter().find(is_it).unwrap_or_else(|| panic!("{report:#}")).clone()
    };
    let (dev, prod) = (version("dev"), version("prod"));
    assert_eq!((&dev["event"], &dev["change"]["kind"]), (&json!("version"), &json!("bump")));
    assert_eq!(dev["author"]["name"], "Landfall", "{dev:#}");
    assert_eq!(
        (&dev["pullRequest"], &dev["reviews"], &dev["signedByLandfall"]),
        (&json!(null), &json!(null), &json!(null))
    );
    assert_eq!(records(&dev, "Landfall-Policy"), ["dev"], "{dev:#}");
    assert_eq!((&prod["arrived"], &prod["pullRequest"]), (&json!(merged), &json!(1)), "{prod:#}");
    assert_eq!(prod["reviews"][0]["by"], "ann", "{prod:#}");
    assert_eq!(prod["reviews"][0]["state"], "approved");
    assert_eq!(records(&prod, "Landfall-Update"), [prod["change"]["id"].as_str().unwrap()]);

    let rules = events.iter().find(|event| event["event"] == "rules" && event["commit"] == json!(frozen)).unwrap();
    assert_eq!(rules["files"], json!([{ "path": ".landfall/freezes/prod.yaml", "exists": true }]), "{rules:#}");
    assert_eq!(records(rules, "Landfall-Reason"), ["incident 4711"]);
    assert_eq!(report["branches"], json!([{ "repository": "deploys", "branch": "main", "tip": frozen }]));

    let only = audit(&world, &["--environment", "prod", "--limit", "1"]);
    assert_eq!(only["events"].as_array().unwrap().len(), 1);
    assert_eq!(only["events"][0]["change"]["environment"], "prod");
    let shown = world.landfall(&["history", "--audit"]).ends(0);
    let shown = shown.says("ann: approved").says(".landfall/freezes/prod.yaml").says(&frozen);
    assert!(!shown.stdout.contains("null"), "{}", shown.stdout);
}
