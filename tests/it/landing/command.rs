//! `landfall diagnose` itself: files, folders and pipes in, JSON, tables and exit codes out.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::corpus::cases;
use crate::docs;
use crate::support::process::{Ran, landfall};

fn diagnose(folder: &Path, args: &[&str], input: &str) -> Ran {
    Ran::of(landfall(folder, &[&["diagnose"], args].concat()), input)
}

/// The objects of a case as one JSON list.
fn list_of(name: &str) -> String {
    let case = cases().iter().find(|case| case.name == name).unwrap();
    json!({"apiVersion": "v1", "kind": "List", "items": case.values()}).to_string()
}

const IMAGE: &str = "ghcr.io/acme/web:1.4.0";

#[test]
fn the_answer_has_the_form_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let ran = diagnose(
        folder.path(),
        &["-f", "-", "--image", IMAGE, "-o", "json"],
        &list_of("pull-not-found-after-deadline"),
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let answer = ran.json();
    let deployment = &answer["objects"][0];
    for (key, expected) in [
        ("apiVersion", "apps/v1"),
        ("kind", "Deployment"),
        ("namespace", "web"),
        ("name", "web"),
        ("verdict", "failed"),
    ] {
        assert_eq!(deployment[key], expected, "{key}");
    }
    let cause = &deployment["cause"];
    assert_eq!(cause["code"], "image-not-found");
    assert!(cause["message"].is_string() && cause["next"].is_string());
    assert!(!cause["evidence"].as_array().unwrap().is_empty());
    assert_eq!(answer["landing"]["state"], "stuck");
    assert_eq!(answer["landing"]["rung"], "running");
    assert_eq!(answer["landing"]["cause"]["code"], "image-not-found");
    // Now is the newest time of the dump.
    assert_eq!(answer["now"], "2026-05-04T10:12:01Z");
}

#[test]
fn landed_has_no_rung_and_no_cause() {
    let folder = tempfile::tempdir().unwrap();
    let revision = "b".repeat(40);
    let args = ["-f", "-", "--image", IMAGE, "--revision", &revision, "-o", "json", "--exit-code"];
    let ran = diagnose(folder.path(), &args, &list_of("argo-landed"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(
        ran.json()["landing"],
        json!({"state": "landed", "rung": null, "cause": null, "live": ["1.4.0"], "notes": []})
    );
}

#[test]
fn without_an_image_there_is_no_landing() {
    let folder = tempfile::tempdir().unwrap();
    let ran = diagnose(folder.path(), &["-f", "-", "-o", "json"], &list_of("argo-landed"));
    assert_eq!(ran.json()["landing"], Value::Null);
}

#[test]
fn the_exit_code_tells_when_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    for (name, asked, code) in
        [("crash-loop", true, 1), ("crash-loop", false, 0), ("argo-landed", true, 0), ("argo-not-fetched", true, 0)]
    {
        let args: &[&str] = if asked { &["-f", "-", "--exit-code"] } else { &["-f", "-"] };
        assert_eq!(diagnose(folder.path(), args, &list_of(name)).code, Some(code), "{name}");
    }
}

#[test]
fn files_and_folders_are_read_and_what_is_broken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let pod = |name: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: web}}\nstatus: {{phase: Succeeded}}\n")
    };
    fs::create_dir_all(folder.path().join("dump/below")).unwrap();
    fs::write(folder.path().join("dump/a.yaml"), format!("{}---\nkind: [\n---\n{}", pod("a"), pod("b"))).unwrap();
    fs::write(folder.path().join("dump/below/c.yml"), pod("c")).unwrap();
    fs::write(folder.path().join("dump/readme.md"), "no objects").unwrap();
    fs::write(
        folder.path().join("d.json"),
        r#"{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"d"}}]}"#,
    )
    .unwrap();
    let ran = diagnose(folder.path(), &["-f", "dump", "-f", "d.json", "-o", "json"], "");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let answer = ran.json();
    let names: Vec<&str> = answer["objects"].as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(answer["problems"].as_array().unwrap().len(), 1);
    assert!(ran.stderr.contains("dump/a.yaml:6: it is not valid YAML"), "{}", ran.stderr);
}

#[test]
fn mistakes_are_errors_with_a_next_step() {
    let folder = tempfile::tempdir().unwrap();
    for (args, input, said) in [
        (&["-f", "missing.yaml"][..], "", "cannot read missing.yaml"),
        (&["-f", "-", "--image", "UPPER/x"], "", "--image is not an image reference"),
        (&["-f", "-", "--image", IMAGE, "--revision", "ab;c"], "", "is not a commit id"),
        (&["-f", "-", "--revision", "abcdef0"], "", "--image"),
        (&["-f", "-", "--now", "yesterday"], "", "yesterday"),
        (&["-f", "-"], "just text", "no object could be read"),
        (&[], "", "--filename"),
    ] {
        let ran = diagnose(folder.path(), args, input);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn the_table_says_what_where_why_and_what_next() {
    let folder = tempfile::tempdir().unwrap();
    let ran = diagnose(folder.path(), &["-f", "-", "--image", IMAGE], &list_of("pull-not-found-before-deadline"));
    for part in [
        "failed       Deployment",
        "web/web-7d9-aaaaa",
        "image-not-found",
        "    seen  ",
        "    next  push ghcr.io/acme/web:1.4.0 to its registry",
        "ghcr.io/acme/web:1.4.0: stuck, not yet running (image-not-found)",
    ] {
        assert!(ran.stdout.contains(part), "`{part}` is not in\n{}", ran.stdout);
    }
}

#[test]
fn the_sick_come_first_and_the_rest_is_shown_when_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let healthy = list_of("argo-landed").replace("\"web", "\"well");
    fs::write(folder.path().join("well.json"), healthy).unwrap();
    fs::write(folder.path().join("sick.json"), list_of("pull-not-found-before-deadline")).unwrap();
    let shown = |args: &[&str]| -> Vec<String> {
        let ran = diagnose(folder.path(), &[&["-f", "well.json", "-f", "sick.json"], args].concat(), "");
        let verdict = |line: &str| line.split("  ").next().unwrap_or_default().to_owned();
        ran.stdout.lines().skip(1).map(verdict).filter(|word| ["failed", "current"].contains(&word.as_str())).collect()
    };
    let (some, all) = (shown(&[]), shown(&["--all"]));
    assert!(!some.is_empty() && some.iter().all(|verdict| verdict == "failed"), "{some:?}");
    assert!(all.len() > some.len() && all.starts_with(&some), "{all:?}");
    assert!(all[some.len()..].iter().all(|verdict| verdict == "current"), "{all:?}");
}

/// The example of the documentation is what the program says.
#[test]
fn the_documentation_shows_a_real_answer() {
    let folder = tempfile::tempdir().unwrap();
    let ran = diagnose(folder.path(), &["-f", "-", "--image", IMAGE], &list_of("config-map-missing"));
    for block in docs::of(&["text", "diagnose"]) {
        assert_eq!(block.text, ran.stdout, "{}", block.place);
    }
}

#[test]
fn yaml_and_json_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let text = list_of("helm-remediated");
    let yaml = diagnose(folder.path(), &["-f", "-", "--image", IMAGE, "-o", "yaml"], &text);
    let json = diagnose(folder.path(), &["-f", "-", "--image", IMAGE, "-o", "json"], &text);
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml.stdout).unwrap(), json.json());
}
