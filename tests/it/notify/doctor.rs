//! `landfall doctor` as people and scripts run it.

use std::fs;

use serde_json::Value;

use super::contracts::{alertmanager, pagerduty, slack_webhook};
use super::stub::{Seen, Stub, say};
use crate::support::process::{Ran, landfall};
use crate::support::world::World;

const SECRETS: [(&str, &str); 2] = [("PD_KEY", "0123456789abcdef0123456789abcdef"), ("WRONG", "wr0ng-s3cret")];

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(notify: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let policies = "policies:\n  - { name: all, paths: [\"apps/**\"], write: never }\n";
        fs::write(folder.0.path().join("policies.yaml"), policies).unwrap();
        let config = format!(
            "stateDir: state\nrepositories:\n  - name: deploys\n    url: ./deploys.git\n    policies: {{ file: policies.yaml }}\n{notify}"
        );
        fs::write(folder.0.path().join("landfall.yaml"), config).unwrap();
        folder
    }

    fn run(&self, args: &[&str], slack: &str) -> (i32, String) {
        let mut command = landfall(self.0.path(), args);
        command.envs(SECRETS).env("SLACK", slack);
        let ran = Ran::of(command, "");
        let said = ran.stdout + &ran.stderr;
        for secret in SECRETS.map(|(_, secret)| secret).into_iter().chain(["s3cret"]) {
            assert!(!said.contains(secret), "{said}");
        }
        (ran.code.unwrap(), said)
    }
}

fn kinds(stub: &Stub) -> Vec<Value> {
    stub.seen().iter().map(Seen::json).map(|event| event["event_action"].clone()).collect()
}

#[test]
fn a_test_message_reaches_every_receiver_or_the_named_one() {
    let (slack, pd, (am, _alerts)) = (slack_webhook(), pagerduty(), alertmanager());
    let folder = Folder::new(&format!(
        "notify:\n  - {{ name: team, kind: slack, webhookUrl: {{ env: SLACK }} }}\n  - {{ name: oncall, kind: pagerduty, url: {}, routingKey: {{ env: PD_KEY }} }}\n  - {{ name: am, kind: alertmanager, url: {} }}\n  - {{ name: lines, kind: log }}\n",
        pd.url(),
        am.url()
    ));
    let address = format!("{}/services/T0/B0/s3cret", slack.url());
    let (code, said) = folder.run(&["doctor", "--notify", "oncall"], &address);
    assert_eq!((code, slack.seen().len()), (0, 0), "{said}");
    assert_eq!(kinds(&pd), ["trigger", "resolve"], "a test leaves nobody paged");
    let (code, said) = folder.run(&["doctor", "--notify"], &address);
    assert_eq!((code, said.matches("accepted the test message").count()), (0, 4), "{said}");
    assert_eq!((slack.seen().len(), am.seen().len()), (1, 1));
    let (code, said) = folder.run(&["doctor", "--notify", "onkall"], &address);
    assert_eq!(code, 2);
    assert!(said.contains("no receiver `onkall`") && said.contains("team, oncall, am, lines"), "{said}");

    // One that fails, one that is refused.
    let (code, said) = folder.run(&["doctor", "--notify", "-o", "json"], &format!("{}/services/other", slack.url()));
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("\"status\": \"refused\"") && said.contains("no_service"), "{said}");
    pd.answer(|_| say(500, "oops"));
    let (code, said) = folder.run(&["doctor", "--notify", "oncall"], &address);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("answered 500 (oops)"), "{said}");
}

#[test]
fn without_receivers_it_says_so() {
    let (code, said) = Folder::new("").run(&["doctor", "--notify"], "");
    assert_eq!(code, 2);
    assert!(said.contains("nobody would be notified") && said.contains("next:"), "{said}");
    let folder = Folder::new("notify:\n  - { name: pd, kind: pagerduty, routingKey: { env: UNSET } }\n");
    let (code, said) = folder.run(&["doctor", "--notify"], "");
    assert_eq!(code, 2);
    assert!(said.contains("routing key of receiver pd") && said.contains("UNSET"), "{said}");
}

#[test]
fn repositories_and_registries_are_asked() {
    let world = World::web().start();
    world.push_all("acme/web", &["1.2.3"]);
    let report = world.landfall(&["doctor", "-o", "json"]).ends(0).json();
    let checks: Vec<_> =
        report["checks"].as_array().unwrap().iter().map(|c| format!("{} {}", c["kind"], c["status"])).collect();
    assert!(
        checks.contains(&"\"repository\" \"ok\"".to_owned()) && checks.contains(&"\"registry\" \"ok\"".to_owned()),
        "{checks:?}"
    );
    assert!(checks.contains(&"\"push\" \"ok\"".to_owned()), "{checks:?}");
    let (code, said) = Folder::new("").run(&["doctor"], "");
    assert_eq!(code, 4, "a repository that is not there may be one that may not be seen: {said}");
    assert!(said.contains("repository deploys") && said.contains("check the address"), "{said}");
}

#[test]
fn clusters_are_asked_about_every_kind_that_is_read() {
    use landfall::demo::kube::{Effect, KubeStub, Quirk};
    let world = crate::support::world::World::web().start();
    world.push("acme/web", "1.2.3");
    let stub = world.block_on(KubeStub::start()).unwrap();
    fs::write(world.path("kubeconfig"), stub.kubeconfig()).unwrap();
    let clusters = "clusters:\n  - { name: eu-1, kubeconfig: { file: kubeconfig } }\nregistries:";
    world.configure("registries:", clusters);
    let all = |report: &Value| {
        let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["kind"] == "cluster");
        checks.map(|check| (check["status"].clone(), check["message"].as_str().unwrap().to_owned())).collect::<Vec<_>>()
    };
    let report = world.landfall(&["doctor", "-o", "json"]).ends(0).json();
    assert!(
        all(&report).iter().any(|(status, said)| status == "ok" && said.contains("apps: deployments, replicasets")),
        "{report:#}"
    );
    stub.quirk(Quirk::new(Effect::Forbidden).resource("pods"));
    stub.quirk(Quirk::new(Effect::Forbidden).resource("deployments.apps"));
    let report = world.landfall(&["doctor", "-o", "json"]).ends(4).json();
    let checks = report["checks"].as_array().unwrap().iter();
    let refused: Vec<_> = checks.filter(|check| check["status"] == "refused").collect();
    let names: Vec<_> = refused.iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["eu-1 deployments.apps", "eu-1 pods"], "a row for each right that is missing: {report:#}");
    assert!(refused[1]["message"].as_str().unwrap().contains("resources: [\"pods\"]"), "{report:#}");
    let told = world.landfall(&["doctor"]).ends(4);
    let of_cluster = told.stdout.lines().skip_while(|line| !line.contains("cluster eu-1"));
    let widest = of_cluster.map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 130, "{widest}: {}", told.text());
}
