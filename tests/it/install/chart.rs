//! The Helm chart. Each `tests/samples/chart/NAME.values.yaml` renders to `NAME.yaml` beside it, which is judged without Helm
//! too. To write them anew after a change:
//!
//! ```sh
//! cd tests/samples/chart
//! for values in *.values.yaml; do
//!   helm template landfall ../../../deploy/chart/landfall --namespace landfall --values "$values" >"${values%.values.yaml}.yaml"
//! done
//! ```

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::manifest::Manifests;
use super::{root, text, tool};
use crate::support::git::command;
use crate::support::process::Ran;
use crate::support::without;

const CHART: &str = "deploy/chart/landfall";
const SAMPLES: &str = "tests/samples/chart";

fn sets() -> Vec<String> {
    let files = std::fs::read_dir(root().join(SAMPLES)).unwrap().map(|entry| entry.unwrap().file_name());
    let names = files.filter_map(|name| Some(name.to_str()?.strip_suffix(".values.yaml")?.to_owned()));
    let mut sets: Vec<String> = names.collect();
    sets.sort();
    assert!(sets.len() >= 4, "{sets:?}");
    sets
}

fn rendered(set: &str) -> Manifests {
    Manifests::parse(set, &text(&format!("{SAMPLES}/{set}.yaml")))
}

fn helm() -> Option<PathBuf> {
    let found = tool("helm");
    if found.is_none() {
        without("helm is not installed (tests/install --charts): the chart is checked as it was rendered last");
    }
    found
}

fn run(helm: &Path, arguments: &[&str]) -> Ran {
    let mut command = command(helm.to_str().unwrap());
    command.current_dir(root()).args(arguments);
    Ran::of(command, "")
}

#[test]
fn what_each_set_of_values_renders_holds_together() {
    for set in sets() {
        rendered(&set).check();
    }
}

#[test]
fn helm_renders_exactly_that() {
    let Some(helm) = helm() else { return };
    for set in sets() {
        let values = format!("{SAMPLES}/{set}.values.yaml");
        run(&helm, &["lint", "--strict", CHART, "--values", &values]).ends(0);
        let ran = run(&helm, &["template", "landfall", CHART, "--namespace", "landfall", "--values", &values]).ends(0);
        assert_eq!(ran.stdout, text(&format!("{SAMPLES}/{set}.yaml")), "{set}");
    }
}

/// A mistake in the values is told before anything is installed.
#[test]
fn values_that_cannot_work_are_refused() {
    let Some(helm) = helm() else { return };
    let digest = "image.digest=sha256:abc";
    for (values, message) in [
        (&["config.interval=1m"][..], "image.repository"),
        (&["image.repository=r.example.com/landfall"], "give exactly one of config, existingConfigMap"),
        (&["image.repository=r", "config.interval=1m", "existingConfigMap=x"], "give exactly one of config"),
        (&["image.repository=r", "config.interval=1m", "image.tag=latest"], "tag"),
        (&["image.repository=r", "config.interval=1m", digest], "digest"),
        (&["image.repository=r", "config.interval=1m", "replicas=2"], "replicas"),
        (
            &["image.repository=r", "config.interval=1m", "leases.enabled=true", "state.persistent=true"],
            "each pod needs a state of its own",
        ),
        (&["image.repository=r", "config.interval=1m", "ingress.enabled=true"], "ingress.host"),
        (&["image.repository=r", "config.interval=1m", "serviceMonitor.enabled=true"], "serviceMonitor.tokenSecret"),
        (
            &["image.repository=r", "config.interval=1m", "server.enabled=false", "serviceMonitor.enabled=true"],
            "serviceMonitor.enabled needs server.enabled",
        ),
    ] {
        let mut arguments = vec!["template", "landfall", CHART];
        arguments.extend(values.iter().flat_map(|value| ["--set", value]));
        let ran = run(&helm, &arguments);
        assert_ne!(ran.code, Some(0), "{values:?}: {}", ran.text());
        assert!(ran.stderr.contains(message), "{values:?}: {}", ran.text());
    }
}

/// The rights of the chart are those of `deploy/kubernetes/rbac.yaml`, which a test compares with what is watched.
#[test]
fn the_chart_asks_for_the_same_rights() {
    let shipped = Manifests::parse("rbac.yaml", &text("deploy/kubernetes/rbac.yaml"));
    let mut roles = 0;
    for set in sets() {
        for role in rendered(&set).of_kind("ClusterRole") {
            assert_eq!(role["rules"], shipped.only("ClusterRole")["rules"], "{set}");
            roles += 1;
        }
    }
    assert!(roles > 1, "no set has a role");
}

/// Every value has its place in the schema and the other way round.
#[test]
fn the_schema_knows_every_value() {
    fn same(values: &Value, schema: &Value, at: &str) {
        let (Some(values), Some(known)) = (values.as_object(), schema["properties"].as_object()) else { return };
        for (key, value) in values {
            assert!(known.contains_key(key), "{at}{key} is not in the schema");
            same(value, &known[key], &format!("{at}{key}."));
        }
        for key in known.keys().filter(|key| *key != "global") {
            assert!(values.contains_key(key), "{at}{key} of the schema has no default");
        }
    }
    let values: Value = serde_saphyr::from_str(&text(&format!("{CHART}/values.yaml"))).unwrap();
    let schema: Value = serde_json::from_str(&text(&format!("{CHART}/values.schema.json"))).unwrap();
    same(&values, &schema, "");
}
