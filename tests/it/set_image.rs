//! `landfall set-image` as the program: what it writes, what it refuses, how it ends.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::json;

use crate::support::process::{Ran, run, tree};

fn set(folder: &Path, arguments: &[&str]) -> Ran {
    run(folder, &[&["set-image", "-o", "json"], arguments].concat())
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

fn hex(c: char) -> String {
    format!("sha256:{}", c.to_string().repeat(64))
}

#[test]
fn every_pin_of_the_image_changes_and_nothing_else() {
    let kustomization = "# head\r\nimages:\r\n- name: web # c\r\n  newName: ghcr.io/acme/web\r\n  newTag:   '1.2.3'  \r\n- {name: api, newTag: v1}";
    let folder = tree(&[
        ("dev/kustomization.yaml", kustomization),
        ("prod/values.yaml", "image:\n  repository: ghcr.io/acme/web\n  tag: 1.2.3 # keep\n"),
        ("other/kustomization.yaml", "images: [{name: x, newTag: v1}]\n"),
    ]);
    let root = folder.path();
    fs::set_permissions(root.join("dev/kustomization.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(root.join("other/kustomization.yaml")).unwrap().modified().unwrap();

    let dry = set(root, &[".", "ghcr.io/acme/web=:1.10", "--dry-run"]);
    assert_eq!(dry.code, Some(0));
    assert_eq!(read(root, "dev/kustomization.yaml"), kustomization);

    let output = set(root, &[".", "ghcr.io/acme/web=:1.10"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stdout, dry.stdout);
    assert_eq!(read(root, "dev/kustomization.yaml"), kustomization.replace("1.2.3", "1.10"));
    assert_eq!(read(root, "prod/values.yaml"), "image:\n  repository: ghcr.io/acme/web\n  tag: \"1.10\" # keep\n");
    let report = output.json();
    assert_eq!(
        report["pins"][0],
        json!({"path": "dev/kustomization.yaml", "line": 5, "column": 14, "kind": "kustomize", "key": "images[0].newTag",
               "image": "ghcr.io/acme/web", "tag": "1.10", "digest": null,
               "from": {"tag": "1.2.3", "digest": null}, "to": {"tag": "1.10", "digest": null}})
    );
    assert_eq!(report["pins"].as_array().unwrap().len(), 2);
    let mode = fs::metadata(root.join("dev/kustomization.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(fs::metadata(root.join("other/kustomization.yaml")).unwrap().modified().unwrap(), before);
    let left: Vec<_> = fs::read_dir(root.join("dev")).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file stays");
}

#[test]
fn images_match_however_docker_hub_is_spelled() {
    for (written, asked) in [
        ("nginx", "docker.io/library/nginx"),
        ("docker.io/library/nginx", "nginx"),
        ("library/nginx", "docker.io/nginx"),
        ("docker.io/acme/web", "acme/web"),
    ] {
        let folder = tree(&[("values.yaml", &format!("image: {written}:1\n"))]);
        let output = set(folder.path(), &["values.yaml", &format!("{asked}=:2")]);
        assert_eq!(output.code, Some(0), "{written} {asked}");
        assert_eq!(read(folder.path(), "values.yaml"), format!("image: {written}:2\n"));
    }
}

#[test]
fn an_image_that_is_named_by_its_last_part_is_asked_for_in_full() {
    let text = "image: registry.example.com/acme/web:1\nsidecar: {image: ghcr.io/acme/webs:1}\n";
    let folder = tree(&[("values.yaml", text)]);
    let ran = set(folder.path(), &[".", "web=:2"]).ends(1).says("did you mean registry.example.com/acme/web?");
    assert!(!ran.text().contains("webs"), "{}", ran.text());
    assert_eq!(read(folder.path(), "values.yaml"), text);
}

#[test]
fn exactly_what_was_asked_for_is_written() {
    let (a, b) = (hex('a'), hex('b'));
    for (before, what, after) in [
        (format!("image: x:1@{a}"), ":2".to_owned(), "image: x:2".to_owned()),
        (format!("image: x:1@{a}"), format!(":2@{b}"), format!("image: x:2@{b}")),
        ("image: x:1".to_owned(), format!("@{b}"), format!("image: x@{b}")),
        ("image: x:1".to_owned(), "y/z:2".to_owned(), "image: y/z:2".to_owned()),
        (format!("image: x:1@{a}"), "y/z".to_owned(), format!("image: y/z:1@{a}")),
        (
            format!("image: {{repository: x, tag: '1', digest: {a}}}"),
            ":2".to_owned(),
            "image: {repository: x, tag: '2', digest: \"\"}".to_owned(),
        ),
    ] {
        let folder = tree(&[("values.yaml", &before)]);
        let output = set(folder.path(), &[".", &format!("x={what}")]);
        assert_eq!(output.code, Some(0), "{before} {what}: {}", output.stderr);
        assert_eq!(read(folder.path(), "values.yaml"), after);
    }
}

#[test]
fn several_paths_and_images_at_once() {
    let text = "images: [{name: a, newTag: v1}, {name: b, newTag: v1}]\n";
    let folder =
        tree(&[("x/kustomization.yaml", text), ("y/kustomization.yaml", text), ("z/kustomization.yaml", text)]);
    let output = set(folder.path(), &["x", "y", "./x/kustomization.yaml", "a=:v2", "b=:v3"]);
    assert_eq!(output.code, Some(0));
    let report = output.json();
    assert_eq!(report["pins"].as_array().unwrap().len(), 4, "a file below two paths counts once");
    let after = "images: [{name: a, newTag: v2}, {name: b, newTag: v3}]\n";
    assert_eq!(
        (read(folder.path(), "x/kustomization.yaml"), read(folder.path(), "y/kustomization.yaml")),
        (after.into(), after.into())
    );
    assert_eq!(read(folder.path(), "z/kustomization.yaml"), text);
}

#[test]
fn one_refused_edit_leaves_every_file_as_it_was() {
    let digest_only = format!("image: {{repository: x, digest: {}}}\n", hex('a'));
    let folder = tree(&[("a/values.yaml", "image: x:1\n"), ("b/values.yaml", &digest_only)]);
    let output = set(folder.path(), &[".", "x=:2"]);
    assert_eq!(output.code, Some(2));
    let error = output.stderr;
    assert!(error.contains("b/values.yaml:1: x: only a digest is written here"), "{error}");
    assert_eq!(
        (read(folder.path(), "a/values.yaml"), read(folder.path(), "b/values.yaml")),
        ("image: x:1\n".into(), digest_only)
    );
}

#[test]
fn no_match_is_a_negative_answer_and_bad_arguments_are_errors() {
    let folder = tree(&[("values.yaml", "image: x:1\n")]);
    let none = set(folder.path(), &[".", "y=:2"]);
    assert_eq!(none.code, Some(1));
    assert_eq!(none.json(), json!({"pins": []}));
    for arguments in [
        &["."][..],
        &["x=:2"],
        &["nowhere", "x=:2"],
        &[".", "x="],
        &[".", "x=2"],
        &[".", "x=:a b"],
        &[".", "x=:1", "x=:2"],
        &[],
    ] {
        let output = set(folder.path(), arguments);
        assert_eq!(output.code, Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    assert_eq!(read(folder.path(), "values.yaml"), "image: x:1\n");
}

#[test]
fn symlinks_are_never_written_through() {
    let folder = tree(&[("real/file.yaml", "image: x:1\n"), ("repo/note.txt", "")]);
    symlink("../real/file.yaml", folder.path().join("repo/values.yaml")).unwrap();
    symlink("../real", folder.path().join("repo/values")).unwrap();
    assert_eq!(set(folder.path(), &["repo", "x=:2"]).code, Some(1));
    assert_eq!(set(folder.path(), &["repo/values.yaml", "x=:2"]).code, Some(2));
    assert_eq!(read(folder.path(), "real/file.yaml"), "image: x:1\n");
}

#[test]
fn a_single_file_is_read_with_what_decides_beside_it() {
    let compose = "services:\n  web:\n    image: ghcr.io/acme/web:${WEB_TAG}\n";
    let chart = "name: web\nversion: 0.1.0\ndependencies:\n- name: redis\n  version: 19.6.4\n  repository: https://charts.example.com/stable\n";
    let folder = tree(&[
        ("compose.yaml", compose),
        (".env", "# tags\nWEB_TAG=1.2.3\n"),
        ("chart/Chart.yaml", chart),
        ("chart/Chart.lock", "dependencies: []\n"),
    ]);
    let root = folder.path();

    // The version is in the file beside it, and nothing else was named.
    let compose_only = set(root, &["compose.yaml", "ghcr.io/acme/web=:1.3.0"]);
    assert_ne!(compose_only.code, Some(0));
    let said = format!("{}{}", compose_only.stdout, compose_only.stderr);
    assert!(said.contains("set by the variable `WEB_TAG` in .env"), "{said}");
    assert_eq!(
        (read(root, "compose.yaml").as_str(), read(root, ".env").as_str()),
        (compose, "# tags\nWEB_TAG=1.2.3\n")
    );

    let variable = set(root, &[".env", "ghcr.io/acme/web=:1.3.0"]);
    assert_eq!(variable.code, Some(0), "{}", variable.stderr);
    assert_eq!(read(root, ".env"), "# tags\nWEB_TAG=1.3.0\n");

    // The same version stands in the lock with a checksum, which does not fit.
    let locked = set(root, &["chart/Chart.yaml", "https://charts.example.com/stable/redis=:19.7.0"]);
    assert_ne!(locked.code, Some(0));
    let said = format!("{}{}", locked.stdout, locked.stderr);
    assert!(said.contains("Chart.lock beside it"), "{said}");
    assert_eq!(read(root, "chart/Chart.yaml"), chart);

    // As Helm 4.3.1 writes it.
    let lock = |version: &str, digest: &str, time: &str| {
        format!(
            "dependencies:\n- name: redis\n  repository: https://charts.example.com/stable\n  version: {version}\n\
             digest: sha256:{digest}\ngenerated: \"{time}\"\n"
        )
    };
    let (before, after) = (
        "48ee2dc1a76ae1186b9128b0465a356806f00688634f8c04adb6cab4b9e63174",
        "c418798e35db861c196b926d91f664c6beefe50b10bd6767b4bf17e6a3461aa0",
    );
    let path = root.join("chart/Chart.lock");
    std::fs::write(&path, lock("19.6.4", before, "2024-08-01T10:00:00.123456789+02:00")).unwrap();
    let done = set(root, &["chart/Chart.yaml", "https://charts.example.com/stable/redis=:19.7.0"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(read(root, "chart/Chart.yaml"), chart.replace("19.6.4", "19.7.0"));
    let written = read(root, "chart/Chart.lock");
    let time = written.split('"').nth(1).unwrap().to_owned();
    assert!(!time.starts_with("2024") && time.ends_with('Z'), "{time}");
    assert_eq!(written, lock("19.7.0", after, &time));
}
