//! Places in which people keep images, after public reports: each is a pin or is said to be left alone, with the reason.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::process::{run, tree};

fn samples(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/tags").join(case)
}

/// Pins as `file:line kind image tag`, and what is left alone as `file:line reason`.
fn scan(folder: &Path, path: &str) -> (Vec<String>, Vec<String>) {
    let report = run(folder, &["scan", "-o", "json", path]).ends(0).json();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let list = |key: &str, line: &dyn Fn(&Value) -> String| -> Vec<String> {
        report[key].as_array().unwrap().iter().map(line).collect()
    };
    let place = |it: &Value| format!("{}:{}", text(&it["path"]), it["line"].as_u64().unwrap_or(0));
    let pins = list("pins", &|pin| {
        format!("{} {} {} {}", place(pin), text(&pin["kind"]), text(&pin["image"]), text(&pin["tag"]))
    });
    (pins, list("skipped", &|skipped| format!("{} {}", place(skipped), text(&skipped["reason"]))))
}

/// Checks every pin, and that each expected reason is there and no other.
#[track_caller]
fn check(case: &str, pins: &[&str], said: &[&str]) {
    let (found, left) = scan(&samples(case), "files");
    let found: Vec<String> = found.iter().map(|pin| pin.replace("registry.example.com/acme/", "")).collect();
    assert_eq!(found, pins, "{case}: {left:#?}");
    let all = left.len() == said.len() && said.iter().zip(&left).all(|(said, left)| left.starts_with(said));
    assert!(all, "{case}: {left:#?}, expected {said:#?}");
}

#[test]
fn images_of_custom_resources() {
    check("crd-cnpg-imageName", &["cluster.yaml:6 container ghcr.io/acme/postgresql 16.4"], &[]);
    check("crd-cron-workflow", &["wf.yaml:9 container job 1.2.3"], &[]);
    check(
        "crd-workflow-template",
        &[
            "wf.yaml:9 container job 1.2.3",
            "wf.yaml:13 container cache 7.2.0",
            "wf.yaml:16 container kubectl 1.30.1",
            "wf.yaml:24 container a 0.1.0",
        ],
        &[],
    );
    check(
        "crd-tekton-steps",
        &[
            "task.yaml:5 container base 1.0.0",
            "task.yaml:8 container builder 1.2.3",
            "task.yaml:11 container dind 27.0.1",
            "task.yaml:22 container y 0.1.0",
        ],
        &["task.yaml:26 looks like an image, but under a key"],
    );
    check(
        "crd-prometheus-image",
        &["prom.yaml:9 container quay.io/thanos/thanos v0.36.0", "prom.yaml:12 container proxy 1.2.3"],
        &["prom.yaml:5 `version` in line 6 repeats the version"],
    );
    check("pod-image-volume", &["deploy.yaml:9 container web 1.2.3", "deploy.yaml:14 container model 0.4.0"], &[]);
}

#[test]
fn images_of_many_operators() {
    check(
        "crd-many-operators",
        &[
            "cronjob-list.yaml:7 container c 1.0.0",
            "eck.yaml:11 container init 1.0.0",
            "k3s-helmchart.yaml:9 helm-release web 1.2.3",
            "knative.yaml:5 container k 1.0.0",
            "kserve.yaml:5 container sklearn 0.13.0",
            "kubevirt.yaml:9 container disk 1.0.0",
            "minio.yaml:5 container quay.io/minio/minio RELEASE.2024-08-03T04-33-23Z",
            "otel.yaml:5 container otel/opentelemetry-collector-contrib 0.110.0",
            "rabbit.yaml:5 container rabbitmq 3.13.6-management",
            "rabbit.yaml:6 container x 1.0.0",
            "rook.yaml:5 container quay.io/ceph/ceph v18.2.4",
            "scaledjob.yaml:5 container w 1.0.0",
            "strimzi.yaml:6 container connect 1.4.0",
            "vm.yaml:5 container vmagent v1.102.0",
        ],
        &[
            "eck.yaml:6 `version` in line 5 repeats",
            "istio.yaml:6 a `hub` and a `tag`",
            "plan.yaml:6 `version` in line 5 repeats",
        ],
    );
}

#[test]
fn packages_and_artifacts_are_pins() {
    check(
        "crossplane-silent",
        &[
            "x.yaml:5 crossplane-package xpkg.example.com/acme/provider-aws v1.2.3",
            "x.yaml:11 crossplane-package xpkg.example.com/acme/function-kcl v0.9.0",
        ],
        &[],
    );
    check("ocirepository-silent", &["oci.yaml:7 oci-artifact oci://ghcr.io/acme/charts/cilium 1.18.6"], &[]);
}

#[test]
fn images_in_other_tools_files() {
    check("argo-parameter-image-name", &["app.yaml:9 argo-application web 1.2.3"], &[]);
    check(
        "argocd-source-kustomize",
        &[
            ".argocd-source-web.yaml:3 argo-application web 1.2.3",
            ".argocd-source-web.yaml:4 argo-application api 2.0.0",
        ],
        &[],
    );
    check("kustomize-image-transformer", &["img.yaml:6 kustomize web 1.2.3"], &[]);
    check(
        "helmfile-values",
        &["helmfile.yaml:11 helm-values web 1.2.3", "web-prod.yaml:3 helm-values web 1.2.4"],
        &[
            "helmfile.yaml:4 the chart's repository is only named here",
            "helmfile.yaml:7 no `repository` parameter next to the tag",
        ],
    );
}

#[test]
fn values_by_other_ways() {
    let chart = "hr.yaml:5 no file declares the HelmRepository x that the chart comes from";
    check("values-by-generator", &["prod.yaml:3 helm-values web 1.2.3"], &[chart]);
    check("values-in-configmap", &[], &["cm.yaml:8 text inside this value names an image", chart]);
    check(
        "values-imagename-imagetag",
        &[
            "values.yaml:2 helm-values web 1.2.3",
            "values.yaml:12 helm-values job 4.0.0",
            "values.yaml:15 helm-values cron 5.0.0",
        ],
        &[
            "values.yaml:5 looks like an image, but under a key",
            "values.yaml:8 the image has no tag here, but `imageTag` in line 9",
            "values.yaml:17 the image has no tag here, but `version` in line 18",
            "values.yaml:20 the image has no tag here, but `version` in line 20",
        ],
    );
}

#[test]
fn a_folder_says_what_a_file_would_find() {
    let folder = samples("scan-folder-and-file-differ");
    let (pins, said) = scan(&folder, "config/ingress__common.yaml");
    assert_eq!((pins.len(), said.len()), (1, 0));
    let (pins, said) = scan(&folder, ".");
    assert!(pins.is_empty());
    assert_eq!(
        said,
        [
            "config/ingress__common.yaml:0 looks like Helm values, but nothing names it as such: write `config/{app}.yaml` in \
          a policy's `paths`"
        ]
    );
    run(&folder, &["check", "."]).says("config/{app}.yaml");
}

#[test]
fn set_image_tells_what_it_left_of_the_image_it_was_asked_for() {
    let read = |name: &str| fs::read_to_string(samples("set-image-half-done").join("files").join(name)).unwrap();
    let script = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\ndata:\n  run.sh: |\n    docker run registry.example.com/acme/web:1.2.3\n";
    let folder =
        tree(&[("deploy.yaml", &read("deploy.yaml")), ("migrate.yaml", &read("migrate.yaml")), ("cm.yaml", script)]);
    let said = run(folder.path(), &["set-image", ".", "registry.example.com/acme/web=:1.3.0"]).ends(0).stderr;
    for name in ["deploy.yaml", "migrate.yaml"] {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(text.contains("registry.example.com/acme/web:1.3.0"), "{text}");
    }
    assert!(said.contains("left alone: 1") && said.contains("cm.yaml:6: text inside this value"), "{said}");
}

#[test]
fn set_image_names_the_image_behind_an_entrys_name() {
    let ran = run(&samples("alias-name-hint"), &["set-image", "--dry-run", ".", "my-image=:v3.2.0"]);
    let said = ran.ends(1).stderr;
    assert!(said.contains("kustomization.yaml:2") && said.contains("registry.example.com/acme/web"), "{said}");
}

#[test]
fn tags_of_two_orders_and_of_other_schemes() {
    for (case, current, selected, note) in [
        ("tags-k3s-counter", "v1.30.4-k3s1", "v1.30.6-k3s2", ""),
        ("tags-composite-release", "9.4-1214.1726694543", "9.4-1227.1726800000", ""),
        ("tags-padded-scheme", "5.1.4", "5.2.3", ""),
        ("tags-second-version-behind", "18-jammy-full-v0.13.4", "18-jammy-full-v0.13.4", "holds two versions"),
        ("tags-unknown-prerelease-word", "0.1.0-unstable0001", "0.1.0-unstable0001", "0.1.0-unstable0002 looks newer"),
    ] {
        let arguments = ["tags", "--tags-file", "tags.txt", "--current", current, "-o", "json"];
        let ran = run(&samples(case), &arguments);
        let report = ran.json();
        assert_eq!(report["selected"]["tag"], selected, "{case}");
        let said = report["note"].as_str().unwrap_or("").to_owned() + &ran.stderr;
        assert!(said.contains(note), "{case}: {said}");
    }
}
