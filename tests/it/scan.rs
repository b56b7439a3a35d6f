//! `landfall scan` as the program: what it walks, what it prints, how it ends.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::process::{Ran, landfall, run, tree};

fn scan(folder: &Path, arguments: &[&str]) -> Value {
    run(folder, &[&["scan", "-o", "json"], arguments].concat()).ends(0).json()
}

const DEV: &str = "images:\n- name: web\n  newName: ghcr.io/acme/web\n  newTag: 1.2.3\n";

#[test]
fn pins_and_what_is_left_alone_are_printed_as_the_contract_says() {
    let folder = tree(&[
        ("apps/web/overlays/dev/kustomization.yaml", DEV),
        ("secrets.enc.yaml", "a: ENC[AES256_GCM,data:x]\nsops: {mac: x}\n"),
        ("charts/web/templates/x.yaml", "{{- if .x }}\nimage: a:1\n{{- end }}\n"),
    ]);
    let report = scan(folder.path(), &["."]);
    assert_eq!(
        report,
        json!({
            "pins": [{"path": "apps/web/overlays/dev/kustomization.yaml", "line": 4, "column": 11, "kind": "kustomize",
                      "key": "images[0].newTag", "image": "ghcr.io/acme/web", "tag": "1.2.3", "digest": null}],
            "skipped": [
                {"path": "charts/web/templates/x.yaml", "line": 1,
                 "reason": "a template (Helm or another), not YAML as it stands; the whole file is left alone"},
                {"path": "secrets.enc.yaml", "line": null, "reason": "encrypted with SOPS, whose checksum an edit would break"}]
        })
    );
}

#[test]
fn paths_are_relative_to_the_folder_named_and_as_named_for_files() {
    let folder = tree(&[("apps/dev/kustomization.yaml", DEV), ("apps/dev/eu.yaml", "image: a/b:1\n")]);
    let paths = |arguments: &[&str]| {
        let report = scan(folder.path(), arguments);
        report["pins"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pin| pin["path"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(paths(&["apps"]), ["dev/kustomization.yaml"]);
    assert_eq!(paths(&["./apps/dev/kustomization.yaml"]), ["./apps/dev/kustomization.yaml"]);
    // A file that is named by hand may be a Helm values file of any name.
    assert_eq!(paths(&["apps/dev/eu.yaml", "apps/dev"]), ["apps/dev/eu.yaml", "kustomization.yaml"]);
}

#[test]
fn a_kind_can_be_asked_for() {
    let folder = tree(&[("kustomization.yaml", DEV), ("values.yaml", "image: a/b:1\n")]);
    for (kind, count) in [("kustomize", 1), ("helm-values", 1), ("setter", 0)] {
        assert_eq!(scan(folder.path(), &[".", "--kind", kind])["pins"].as_array().unwrap().len(), count, "{kind}");
    }
    let both = scan(folder.path(), &[".", "--kind", "kustomize", "--kind", "helm-values"]);
    assert_eq!(both["pins"].as_array().unwrap().len(), 2);
    run(folder.path(), &["scan", ".", "--kind", "x"]).ends(2).says("helm-release");
}

#[test]
fn what_is_no_plain_file_is_reported() {
    let folder = tree(&[
        ("real/kustomization.yaml", DEV),
        (".hidden/kustomization.yaml", DEV),
        (".git/kustomization.yaml", DEV),
        ("vendor/a/kustomization.yaml", DEV),
        ("vendor/b.md", "x"),
        ("generated.yaml", "a: 1\n"),
        (".landfallignore", "vendor/\ngenerated.yaml\n"),
        ("huge.yaml", ""),
    ]);
    let root = folder.path();
    symlink("kustomization.yaml", root.join("real/link.yaml")).unwrap();
    symlink("real", root.join("linked")).unwrap();
    symlink("nowhere", root.join("broken.json")).unwrap();
    symlink("vendor/b.md", root.join("readme")).unwrap();
    fs::File::options().write(true).open(root.join("huge.yaml")).unwrap().set_len(20_000_000).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket.yaml")).unwrap();
    let report = scan(root, &["."]);
    let pins: Vec<_> = report["pins"].as_array().unwrap().iter().map(|pin| pin["path"].as_str().unwrap()).collect();
    assert_eq!(pins, [".hidden/kustomization.yaml", "real/kustomization.yaml"]);
    let skipped: Vec<_> = report["skipped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|skipped| (skipped["path"].as_str().unwrap(), skipped["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        skipped,
        [
            ("broken.json", "a symbolic link, which is not followed"),
            ("generated.yaml", "matched by .landfallignore"),
            ("huge.yaml", "larger than 16 MB"),
            ("linked", "a symbolic link, which is not followed"),
            ("real/link.yaml", "a symbolic link, which is not followed"),
            ("socket.yaml", "not a regular file"),
            ("vendor", "matched by .landfallignore"),
        ]
    );
}

#[test]
fn odd_names_are_reported() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tree(&[("ok.yaml", "a: 1\n")]);
    fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"odd-\xff.yaml")), DEV).unwrap();
    fs::create_dir(folder.path().join(".GIT")).unwrap();
    let report = scan(folder.path(), &["."]);
    let skipped = report["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 2, "{skipped:#?}");
    assert!(skipped.iter().all(|one| one["reason"].as_str().unwrap().starts_with("its name")));
}

#[test]
fn an_unreadable_file_is_reported_and_the_others_are_read() {
    let folder = tree(&[("a/kustomization.yaml", DEV), ("b/kustomization.yaml", DEV)]);
    fs::set_permissions(folder.path().join("a/kustomization.yaml"), fs::Permissions::from_mode(0o000)).unwrap();
    let mut program = landfall(folder.path(), &["scan", "-o", "json", "."]);
    if fs::read(folder.path().join("a/kustomization.yaml")).is_ok() {
        // This is root, who may read everything: the program runs as nobody.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        program.uid(65534);
    }
    let report = Ran::of(program, "").ends(0).json();
    assert_eq!(report["pins"].as_array().unwrap().len(), 1);
    assert!(report["skipped"][0]["reason"].as_str().unwrap().starts_with("cannot be read"));
}

#[test]
fn a_path_that_is_not_there_is_an_error() {
    let folder = tree(&[]);
    let ran = run(folder.path(), &["scan", "nowhere"]).ends(2);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("cannot read nowhere"), "{ran:?}");
    run(folder.path(), &["scan"]).ends(2);
    fs::write(folder.path().join("notes.md"), DEV).unwrap();
    run(folder.path(), &["scan", "notes.md"]).ends(2);
    assert_eq!(run(folder.path(), &["scan", "."]).ends(0).stdout, "no pins found\n");
}

#[test]
fn a_table_names_places_as_editors_do() {
    let folder = tree(&[("kustomization.yaml", DEV), ("x.yaml", "a: b: c\n"), ("\u{1b}[31m.yaml", "a: b: c\n")]);
    let text = run(folder.path(), &["scan", "."]).stdout;
    assert!(text.contains("kustomization.yaml:4:11"), "{text}");
    assert!(text.contains("ghcr.io/acme/web"), "{text}");
    assert!(text.contains("x.yaml:1"), "{text}");
    assert!(!text.contains('\u{1b}'), "a file's name does not steer the terminal");
}
