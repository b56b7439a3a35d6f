//! Locks of charts' dependencies, against what Helm 4.3.1 wrote (`helm dependency update`).

use super::{digest, path, show_skip, version};
use crate::model::{KeyPaths, PathPattern};
use crate::overlay::{FileChange, PinEdit, PinIndex, chart_lock_of, chart_of_lock, edit, lock_time, relock, scan_with};

/// With everything that Helm hashes: a condition, tags, an alias, values of both forms, a range, a repository that is only named.
const CHART: &str = r#"apiVersion: v2
name: app
version: 0.1.0
dependencies:
  - name: web
    version: 1.3.0
    repository: http://127.0.0.1:18765
    condition: web.enabled,global.web
    tags: [front, "a<b>&c"]
    alias: frontend
    import-values:
      - data
      - { parent: myimports, child: default.data }
  - name: api
    version: ">=2.0.0 <2.1"
    repository: "@r"
    enabled: true
  - name: web
    version: "1.2.3"
    repository: "http://127.0.0.1:18765"
"#;
const LOCK: &str = r#"dependencies:
- name: web
  repository: http://127.0.0.1:18765
  version: 1.3.0
- name: api
  repository: http://127.0.0.1:18765
  version: 2.0.0
- name: web
  repository: http://127.0.0.1:18765
  version: 1.2.3
digest: sha256:ce5b52fae53c9341089054a0406d396a60388a3a41b73174c9af607994be1882
generated: "2026-12-01T12:47:26.695627986Z"
"#;
const LATER: &str = "2026-12-01T12:48:43.153431403Z";

/// Where Helm 2 had them.
const REQUIREMENTS: &str = "dependencies:\n- name: web\n  version: 1.2.3\n  repository: http://127.0.0.1:18765\n";
const REQUIREMENTS_LOCK: &str = "dependencies:\n- name: web\n  repository: http://127.0.0.1:18765\n  version: 1.2.3\n\
    digest: sha256:451f1e6f7d53f7c96d371d95a48e5ec6b201cebaec860da15d18ae91f7a27cad\ngenerated: \"2026-12-01T12:47:27.006324609Z\"\n";

/// The chart's first dependency moved, and its range made a version.
fn moved(chart: &str) -> String {
    chart.replacen("version: 1.3.0", "version: 1.4.0+up2", 1).replace("\">=2.0.0 <2.1\"", "\"2.0.0\"")
}

fn again(before: &str, after: &str, lock: &str, time: &str) -> Result<String, String> {
    relock((before.as_bytes(), after.as_bytes()), lock.as_bytes(), time).map(|lock| String::from_utf8(lock).unwrap())
}

#[test]
fn a_lock_becomes_what_helm_would_write() {
    let after = LOCK
        .replacen("version: 1.3.0", "version: 1.4.0+up2", 1)
        .replace(
            "ce5b52fae53c9341089054a0406d396a60388a3a41b73174c9af607994be1882",
            "a414dddd1604655ea0379551f15c6548fdd4279bc1d184c9e17356ec6c60bc3c",
        )
        .replace("2026-12-01T12:47:26.695627986Z", LATER);
    assert_eq!(again(CHART, &moved(CHART), LOCK, LATER).unwrap(), after);
    // As it was written by hand: other line ends, comments, the order of the keys.
    let written = |text: &str| format!("# ours\n{text}").replace('\n', "\r\n");
    assert_eq!(again(&written(CHART), &written(&moved(CHART)), &written(LOCK), LATER).unwrap(), written(&after));
    let is = REQUIREMENTS.replace("1.2.3", "1.3.0");
    let after = REQUIREMENTS_LOCK.replace("1.2.3", "1.3.0").replace(
        "451f1e6f7d53f7c96d371d95a48e5ec6b201cebaec860da15d18ae91f7a27cad",
        "df0fb005ab2951188992cde410fbf4af569335ee4435e4f480f01f13018ee2f4",
    );
    let after = after.replace("2026-12-01T12:47:27.006324609Z", LATER);
    assert_eq!(again(REQUIREMENTS, &is, REQUIREMENTS_LOCK, LATER).unwrap(), after);
    assert_eq!(lock_time(after.as_bytes()).as_deref(), Some(LATER));
}

/// `{"dependencies":[{"name":"web","version":"1.2.3","repository":"http://127.0.0.1:18765"}]}`, as Helm 2 hashed it.
#[test]
fn a_lock_of_helm_2_fits_and_becomes_one_of_today() {
    let plain = REQUIREMENTS_LOCK
        .replace(
            "451f1e6f7d53f7c96d371d95a48e5ec6b201cebaec860da15d18ae91f7a27cad",
            "91c3dbd9aad96193a64e6ff3aa1a3bdf3b9cfb1c3f4f5e5b2a9b5a7d3c3f3d5e",
        )
        .replace("\"2026-12-01T12:47:27.006324609Z\"", "2018-12-01T12:47:27.006324609Z");
    assert!(again(REQUIREMENTS, REQUIREMENTS, &plain, LATER).is_err(), "a digest of something else");
    let fits = plain.replace("91c3dbd9aad96193a64e6ff3aa1a3bdf3b9cfb1c3f4f5e5b2a9b5a7d3c3f3d5e", HELM_2);
    let is = REQUIREMENTS.replace("1.2.3", "1.3.0");
    let new = again(REQUIREMENTS, &is, &fits, LATER).unwrap();
    assert!(new.contains("df0fb005ab2951188992cde410fbf4af569335ee4435e4f480f01f13018ee2f4"), "{new}");
    assert!(new.ends_with(&format!("generated: \"{LATER}\"\n")), "{new}");
}

const HELM_2: &str = "1fa48baaa07533c88ba837ae808230c48a6e1c0bf431b3bdaf32449db7f2902c";

#[test]
fn a_lock_that_does_not_fit_or_is_written_otherwise_is_left_alone() {
    let lock = |from: &str, to: &str| LOCK.replacen(from, to, 1);
    let long = "x".repeat(300_000);
    for (chart, lock, said) in [
        (CHART.to_owned(), lock("ce5b", "ce5c"), "its digest is of other dependencies"),
        (CHART.to_owned(), lock("version: 2.0.0", "version: 2.0.1"), "its digest is of other dependencies"),
        (CHART.to_owned(), lock("name: api", "name: app"), "it has other dependencies"),
        (CHART.replace("alias: frontend", "alias: front"), LOCK.to_owned(), "its digest is of other dependencies"),
        (CHART.replace("- name: api", "- name: more\n  - name: api"), LOCK.to_owned(), "it has other dependencies"),
        (CHART.to_owned(), lock("generated", "made"), "it is not written as Helm writes it"),
        (CHART.to_owned(), format!("{LOCK}more: 1\n"), "it is not written as Helm writes it"),
        (CHART.to_owned(), format!("{LOCK}---\n{LOCK}"), "it is not written as Helm writes it"),
        (
            CHART.to_owned(),
            lock("version: 1.3.0", "version: &v 1.3.0").replace("version: 1.2.3", "version: *v"),
            "it is not written",
        ),
        (CHART.to_owned(), lock("version: 1.3.0", "version: >-\n    1.3.0"), "it is not written as Helm writes it"),
        (CHART.to_owned(), lock("version: 1.3.0", "version: \"1.3\\u002e0\""), "it has escape sequences"),
        (CHART.to_owned(), "dependencies: [".to_owned(), "it is not valid YAML"),
        (CHART.to_owned(), String::new(), "it is not written as Helm writes it"),
        (CHART.replace("- data", "- 1.0"), LOCK.to_owned(), "`import-values` of a dependency are not texts"),
        (
            CHART.replace("- data", "- [[[[[[[[[a]]]]]]]]]"),
            LOCK.to_owned(),
            "`import-values` of a dependency are not texts",
        ),
        (CHART.replace("frontend", &long), LOCK.to_owned(), "the dependencies have more text than is read"),
        (format!("{CHART}---\na: 1\n"), LOCK.to_owned(), "the chart's file has several documents"),
    ] {
        let said_of = again(&chart, &moved(&chart), &lock, LATER).unwrap_err();
        assert!(said_of.starts_with(said), "{said_of} in place of {said}:\n{lock}");
    }
    assert!(relock((CHART.as_bytes(), CHART.as_bytes()), b"\xff", LATER).is_err());
}

#[test]
fn the_time_of_a_lock_is_a_time_and_nothing_else() {
    for (time, is_one) in [
        ("2026-12-01T12:47:26.695627986Z", true),
        ("2026-12-01T12:47:26+02:00", true),
        ("2026-12-01", false),
        ("2026-12-01T12:47:26Z[Europe/Berlin]", false),
        ("yesterday", false),
        ("", false),
    ] {
        let lock = LOCK.replace("2026-12-01T12:47:26.695627986Z", time);
        assert_eq!(lock_time(lock.as_bytes()).is_some(), is_one, "{time}");
    }
}

#[test]
fn versions_beside_a_lock_that_fits_are_pins_and_the_others_are_left_alone() {
    let file = |name: &str, text: &str| FileChange::File { path: path(name), bytes: text.as_bytes().to_vec() };
    let pinning = KeyPaths::default().pinning_ranges(vec![PathPattern::parse("**").unwrap()]);
    for (declared, chart, lock, text, count) in [
        (KeyPaths::default(), "x/Chart.yaml", "x/Chart.lock", (CHART, LOCK), 2),
        (KeyPaths::default(), "requirements.yaml", "requirements.lock", (REQUIREMENTS, REQUIREMENTS_LOCK), 1),
        (pinning, "x/Chart.yaml", "x/Chart.lock", (CHART, LOCK), 2),
    ] {
        let mut index = PinIndex::with(declared);
        let shown = |index: &PinIndex| {
            let found = index.pins(&|_| false);
            (found.pins.len(), found.skipped.iter().map(show_skip).collect::<Vec<_>>())
        };
        index.update(vec![file(chart, text.0), file(lock, text.1)]);
        assert_eq!(shown(&index).0, count, "{chart}: {:?}", shown(&index));
        for (change, why) in [
            (
                file(lock, &text.1.replacen("version: 1", "version: 8", 1)),
                "does not fit (its digest is of other dependencies)",
            ),
            (file(lock, "dependencies: []\n"), "does not fit (it is not written as Helm writes it)"),
            (
                FileChange::Special { path: lock.to_owned(), reason: crate::model::SkipReason::SymbolicLink },
                "does not fit (it is not read)",
            ),
        ] {
            index.update(vec![change]);
            let (pins, skipped) = shown(&index);
            assert_eq!(pins, 0);
            let said =
                skipped.iter().filter(|said| said.contains(why) && said.contains("helm dependency update")).count();
            assert_eq!(said, count, "{skipped:?}");
        }
        index.update(vec![FileChange::Gone { path: lock.to_owned() }]);
        assert_eq!(shown(&index).0, count);
    }
}

#[test]
fn an_edit_and_its_lock_fit_again() {
    let pinning = KeyPaths::default().pinning_ranges(vec![PathPattern::parse("**").unwrap()]);
    let name = path("Chart.yaml");
    // The repository of the middle one is only named, so it is no pin, and its range stays.
    let scan = scan_with(&pinning, &name, CHART.as_bytes());
    let edits: Vec<_> = scan.pins.iter().map(|pin| PinEdit { pin, to: version("1.5.0"), rename: None }).collect();
    assert_eq!(edits.len(), 2);
    let new = String::from_utf8(edit(&name, CHART.as_bytes(), &edits).unwrap()).unwrap();
    let lock = again(CHART, &new, LOCK, LATER).unwrap();
    assert_eq!(lock.matches("version: 1.5.0").count(), 2, "{lock}");
    assert!(lock.contains("version: 2.0.0"), "{lock}");
    assert!(again(&new, &new, &lock, LATER).is_ok_and(|same| same == lock), "it fits");
    assert!(again(CHART, &new, &lock, LATER).is_err(), "it does not fit what was before");
    let digested = crate::model::Version { digest: Some(digest('a')), ..version("1.5.0") };
    let edits: Vec<_> = scan.pins.iter().map(|pin| PinEdit { pin, to: digested.clone(), rename: None }).collect();
    assert!(edit(&name, CHART.as_bytes(), &edits).is_err(), "a chart's version has no digest");
}

#[test]
fn which_lock_is_whose() {
    let lock = |name: &str| chart_lock_of(&path(name)).map(|lock| lock.to_string());
    assert_eq!(lock("a/Chart.yaml").as_deref(), Some("a/Chart.lock"));
    assert_eq!(lock("requirements.yaml").as_deref(), Some("requirements.lock"));
    assert_eq!((lock("helmfile.yaml"), lock("a/values.yaml")), (None, None));
    let chart = |name: &str| chart_of_lock(&path(name)).map(|chart| chart.to_string());
    assert_eq!(chart("a/Chart.lock").as_deref(), Some("a/Chart.yaml"));
    assert_eq!((chart("helmfile.lock"), chart("a/Chart.yaml")), (None, None));
}
