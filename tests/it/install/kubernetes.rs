//! `deploy/kubernetes`, as it is and with each of its components.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::manifest::Manifests;
use super::{root, text, tool};
use crate::support::git::command;
use crate::support::process::Ran;
use crate::support::without;

const FOLDER: &str = "deploy/kubernetes";
const COMPONENTS: [&str; 4] = ["git-only", "persistent-state", "replicas", "service-monitor"];

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn listed(kustomization: &Value) -> impl Iterator<Item = String> {
    let names = ["resources", "files"].into_iter().flat_map(|key| kustomization[key].as_array().into_iter().flatten());
    names.map(|name| name.as_str().unwrap().to_owned())
}

fn files_in(folder: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn every_file_is_in_its_kustomization() {
    let folders = COMPONENTS.map(|component| format!("{FOLDER}/components/{component}"));
    for folder in folders.iter().map(String::as_str).chain([FOLDER]) {
        let kustomization = yaml(&format!("{folder}/kustomization.yaml"));
        let generated = kustomization["configMapGenerator"].as_array().into_iter().flatten().flat_map(listed);
        let mut known: BTreeSet<String> = listed(&kustomization).chain(generated).collect();
        known.insert("kustomization.yaml".to_owned());
        assert_eq!(known, files_in(folder), "{folder}");
    }
}

/// A kustomization of one's own on top of the shipped one, as docs/how-to/kubernetes.md has it.
fn render(component: Option<&str>) -> Option<Manifests> {
    let (program, argument) = match (tool("kustomize"), tool("kubectl")) {
        (Some(kustomize), _) => (kustomize, "build"),
        (None, Some(kubectl)) => (kubectl, "kustomize"),
        (None, None) => {
            without("neither kustomize nor kubectl is installed (tests/install --charts)");
            return None;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let shipped = relative(folder.path(), &root().join(FOLDER));
    let mut own = format!("namespace: landfall\nresources: [{shipped}]\n");
    if let Some(component) = component {
        own += &format!("components: [{shipped}/components/{component}]\n");
    }
    std::fs::write(folder.path().join("kustomization.yaml"), own).unwrap();
    let mut command = command(program.to_str().unwrap());
    command.arg(argument).arg(folder.path());
    let rendered = Ran::of(command, "").ends(0);
    Some(Manifests::parse(component.unwrap_or(FOLDER), &rendered.stdout))
}

/// Kustomize takes no absolute paths.
fn relative(from: &Path, to: &Path) -> String {
    let up = from.canonicalize().unwrap().components().skip(1).map(|_| "..").collect::<Vec<_>>().join("/");
    format!("{up}{}", to.canonicalize().unwrap().display())
}

#[test]
fn the_manifests_and_each_component_hold_together() {
    for component in [None].into_iter().chain(COMPONENTS.map(Some)) {
        let Some(manifests) = render(component) else { return };
        manifests.check();
        let has = |kind: &str| manifests.of_kind(kind).next().is_some();
        assert_eq!(has("ClusterRole"), component != Some("git-only"), "{component:?}");
        assert_eq!(has("PersistentVolumeClaim"), component == Some("persistent-state"), "{component:?}");
        assert_eq!(has("ServiceMonitor"), component == Some("service-monitor"), "{component:?}");
    }
}

/// The rights of several replicas are those that the program asks for where one is missing, and the chart gives the same.
#[test]
fn replicas_may_do_with_leases_what_the_program_does() {
    let rule: Value = serde_saphyr::from_str(&landfall::cluster::leases_rule()).unwrap();
    let shipped = text(&format!("{FOLDER}/components/replicas/rbac.yaml"));
    let chart = Manifests::parse("replicas", &text("tests/samples/chart/replicas.yaml"));
    assert_eq!(Manifests::parse("rbac.yaml", &shipped).only("Role")["rules"], rule);
    assert_eq!(chart.only("Role")["rules"], rule);
}

/// The version of the program is the tag of the image, everywhere.
#[test]
fn the_image_is_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = yaml("deploy/chart/landfall/Chart.yaml");
    assert_eq!((&chart["version"], &chart["appVersion"]), (&version.into(), &version.into()));
    assert_eq!(yaml(&format!("{FOLDER}/kustomization.yaml"))["images"][0]["newTag"], version);
    let dockerfile = text("Dockerfile");
    assert!(dockerfile.contains(&format!("ARG VERSION={version}\n")));
    let rust =
        text("Cargo.toml").lines().find_map(|line| Some(line.strip_prefix("rust-version = ")?.to_owned())).unwrap();
    assert!(dockerfile.contains(&format!("ARG RUST_VERSION={}\n", rust.trim_matches('"'))), "{rust}");
}

/// The image runs as the user that the manifests ask for, and the builder sees only what is copied.
#[test]
fn the_image_is_what_the_manifests_expect() {
    let dockerfile = text("Dockerfile");
    let last = |instruction: &str| dockerfile.lines().filter_map(|line| line.strip_prefix(instruction)).next_back();
    assert_eq!(last("USER "), Some("65532:65532"));
    for needed in ["ca-certificates", "git", "openssh-client", "tini"] {
        assert!(dockerfile.contains(&format!(" {needed} ")), "{needed}");
    }
    let ignored = text(".dockerignore");
    let sent: BTreeSet<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let copied =
        dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.contains("--from="));
    let sources = copied.flat_map(|line| {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.starts_with("--")).collect();
        words[..words.len() - 1].to_vec()
    });
    assert_eq!(sent, sources.collect(), "what .dockerignore lets through, and what is copied");
    assert!(ignored.lines().any(|line| line == "*"), "everything else stays out");
}
