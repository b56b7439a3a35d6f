//! What a small file may make of itself: bytes and items are counted, not seconds.

use super::{path, show_skip};
use crate::model::{KeyPaths, SkipReason, Skipped};
use crate::overlay::{FileChange, FileScan, PinIndex, every_pin, pin_text, scan_file, skipped_text};

/// Bytes of text that a scan keeps.
fn kept(scan: &FileScan) -> usize {
    let pins = scan.pins.iter().chain(&scan.values).map(pin_text);
    let skipped = scan.skipped.iter().chain(&scan.values_skipped).map(skipped_text);
    let links = scan.links.links.iter().map(|link| link.to.len());
    pins.chain(skipped).chain(links).chain(scan.names_values.iter().map(String::len)).sum()
}

fn long(length: usize) -> String {
    "A".repeat(length)
}

#[test]
fn a_long_key_is_not_kept_with_each_pin_below_it() {
    let attributes: String = (0..300).map(|number| format!("a{number}_image = \"a/b:1\"\n")).collect();
    let blocks: String =
        (0..300).map(|number| format!("  a{number}: {{image: {{repository: a/b, tag: '1'}}}}\n")).collect();
    let cases = [
        ("main.tf", format!("resource \"{}\" \"x\" {{\n{attributes}}}\n", long(100_000)), 1),
        ("main.tf.json", format!("{{\"{key}\": {{\"{key}\": {{\"image\": \"a/b:1\"}}}}}}", key = long(600)), 1),
        ("values.yaml", format!("? \"{}\"\n:\n{blocks}", long(100_000)), 300),
        ("values.yaml", format!("{}:\n  {}: {{image: 'a/b:1'}}\n", long(600), long(600)), 1),
    ];
    for (name, text, left) in cases {
        let scan = scan_file(&path(name), text.as_bytes());
        assert!(scan.pins.is_empty() && scan.values.is_empty(), "{name}: {:.300}", format!("{scan:?}"));
        let skipped: Vec<&Skipped> = scan.skipped.iter().chain(&scan.values_skipped).collect();
        let told = |it: &&&Skipped| matches!(it.reason, SkipReason::LongKey { .. }) && it.line.is_some();
        assert_eq!(skipped.iter().filter(told).count(), left, "{name}: {:.300}", format!("{skipped:?}"));
        assert!(kept(&scan) < 60_000, "{name}: {}", kept(&scan));
    }
    // Others of the file are what they were, and long keys elsewhere are nobody's business.
    let text = format!("? {}\n: {{x: 1}}\nweb: {{image: {{repository: a/b, tag: '1'}}}}\n", long(5_000));
    assert_eq!(scan_file(&path("values.yaml"), text.as_bytes()).values.len(), 1);
    let text = format!("{}: {{image: 'a/b:1'}}\n", long(900));
    assert_eq!(scan_file(&path("values.yaml"), text.as_bytes()).values.len(), 1);
}

#[test]
fn a_long_text_that_many_places_repeat_takes_their_room() {
    let entries = "{name: *a, newName: b, newTag: '1'}, ".repeat(2_000);
    let named = format!("x: &a {}\nimages: [{entries}]\n", long(60_000));
    let below: String = (0..300).map(|number| format!("    a{number}: {{image: 'a/b:1'}}\n")).collect();
    let duplicate = format!("x:\n  ? {key}\n  :\n{below}  ? {key}\n  :\n{below}", key = long(60_000));
    let tags = format!("%TAG !e! tag:{}\n---\n{}", long(60_000), "- !e!x 'a/b:1'\n".repeat(300));
    let files = format!(
        "kind: Application\nspec:\n  source:\n    path: &p {}\n    helm: {{valueFiles: [{}]}}\n",
        long(60_000),
        "v.yaml, ".repeat(300)
    );
    let generated =
        format!("x: &a values{}\nconfigMapGenerator: [{{files: [{}]}}]\n", long(60_000), "*a, ".repeat(300));
    for (name, text) in [
        ("kustomization.yaml", named),
        ("values.yaml", duplicate),
        ("values.yaml", tags),
        ("app.yaml", files),
        ("kustomization.yaml", generated),
    ] {
        let scan = scan_file(&path(name), text.as_bytes());
        assert!(kept(&scan) < 300_000, "{name}, {:.30}: {}", text, kept(&scan));
    }
}

#[test]
fn files_whose_parsers_take_many_times_their_bytes_are_small() {
    let text = format!("locals {{\n  web_image = \"a/b:1\"\n}}\n#{}\n", "x".repeat(600_000));
    for (text, pins, said) in [(&*text, 0, "file: larger than 512 KB"), (&text[..500_000], 1, "")] {
        let scan = scan_file(&path("main.tf"), text.as_bytes());
        let skipped: String = scan.skipped.iter().map(show_skip).collect();
        assert!(scan.pins.len() == pins && skipped.starts_with(said), "{skipped}");
    }
}

#[test]
fn an_environment_has_a_bound_and_beyond_it_nothing_of_it_is_known() {
    let compose = "services: {web: {image: 'a/web:${TAG:-1.0}'}}\n";
    let file = |name: &str, text: &str| FileChange::File { path: path(name), bytes: text.as_bytes().to_vec() };
    for (text, pins) in [
        (format!("TAG=2\n{}", "A=\n".repeat(9_999)), 1),
        (format!("TAG=2\n{}", "A=\n".repeat(10_000)), 0),
        (format!("TAG=2\nA={}\n", "x".repeat(1_000_000)), 0),
    ] {
        let mut index = PinIndex::new();
        index.update(vec![file("compose.yaml", compose), file(".env", &text)]);
        let found = index.pins(&|_| false);
        assert_eq!(found.pins.len(), pins, "{:?}", found.skipped);
        let told = found.skipped.iter().any(|it| matches!(it.reason, SkipReason::LargeVariables { .. }));
        assert_eq!(told, pins == 0, "{:?}", found.skipped);
        let others = [(path("compose.yaml"), compose.as_bytes().to_vec())];
        assert_eq!(every_pin(&KeyPaths::default(), &path(".env"), text.as_bytes(), &others).len(), pins);
    }
}

#[test]
fn an_image_with_variables_is_no_longer_than_an_image_may_be() {
    let tree = |image: &str| {
        let compose = format!("services: {{web: {{image: '{image}'}}}}\n");
        let env = format!("TAG=1.2.3\nLONG={}\n", "x".repeat(390));
        let file = |name: &str, text: &str| FileChange::File { path: path(name), bytes: text.as_bytes().to_vec() };
        let mut index = PinIndex::new();
        index.update(vec![file("compose.yaml", &compose), file(".env", &env)]);
        let found = index.pins(&|_| false);
        (found.pins.len(), found.skipped.iter().map(show_skip).collect::<Vec<_>>())
    };
    assert_eq!(tree("a/b:${TAG}"), (1, Vec::new()));
    for (image, said) in [
        (format!("a/b{}:${{TAG}}", "x".repeat(1_000)), "longer than 1000 characters"),
        ("$LONG".repeat(3), "with the variable `LONG` it is no image"),
        ("$TAG".repeat(17), "a template"),
    ] {
        let (pins, skipped) = tree(&image);
        assert!(pins == 0 && skipped.len() == 1 && skipped[0].contains(said), "{skipped:?}");
    }
}

#[test]
fn a_chart_with_many_addresses_is_no_pin() {
    let text = |addresses: usize, charts: usize| {
        let repository = |number: usize| {
            format!(
                "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {{name: x}}\nspec: {{url: 'https://c{number}.example.com'}}\n"
            )
        };
        let release = |number: usize| {
            format!(
                "---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: r{number}}}\nspec: {{chart: {{spec: {{chart: c, version: 1.2.3, sourceRef: {{kind: HelmRepository, name: x}}}}}}}}\n"
            )
        };
        (0..addresses).map(repository).chain((0..charts).map(release)).collect::<String>()
    };
    for (addresses, pins, skipped) in [(0, 0, 20), (1, 20, 0), (4, 80, 0), (5, 0, 20), (100, 0, 20)] {
        let scan = scan_file(&path("a.yaml"), text(addresses, 20).as_bytes());
        assert_eq!((scan.pins.len(), scan.skipped.len()), (pins, skipped), "{addresses}");
    }
}

#[test]
fn secrets_in_addresses_are_not_shown() {
    let release = "---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: r}\nspec: {chart: {spec: {chart: c, version: 1.2.3, sourceRef: {kind: HelmRepository, name: x}}}}\n";
    let repository = |address: &str| {
        format!(
            "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {{name: x}}\nspec: {{url: '{address}'}}\n"
        )
    };
    for address in [
        "https://bot:hunter2@charts.example.com/stable",
        "https://hunter2@charts.example.com/stable",
        "https://charts.example.com/stable?token=hunter2",
        "https://charts.example.com/stable?token=a/hunter2:x",
        "oci://bot:hunter2@reg.example.com/charts",
        "bot:hunter2@reg.example.com/charts",
        "https://bot:hun/hunter2@charts.example.com/stable",
    ] {
        for (name, text) in [
            ("Chart.yaml", format!("dependencies: [{{name: c, version: 1.2.3, repository: '{address}'}}]\n")),
            ("a.yaml", repository(address) + release),
            ("a.yaml", repository(address) + &repository(&format!("{address}/2")) + release),
            (
                "app.yaml",
                format!(
                    "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: a}}\nspec: {{source: {{repoURL: '{address}', chart: c, targetRevision: 1.2.3}}}}\n"
                ),
            ),
            (
                "helmfile.yaml",
                format!(
                    "repositories: [{{name: r, url: '{address}'}}]\nreleases: [{{name: a, chart: r/c, version: 1.2.3}}]\n"
                ),
            ),
            (
                "pod.yaml",
                format!(
                    "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{name: a, image: '{address}'}}]}}\n"
                ),
            ),
        ] {
            let mut index = PinIndex::new();
            index.update(vec![FileChange::File { path: path(name), bytes: text.clone().into_bytes() }]);
            let found = index.pins(&|_| false);
            let alone = scan_file(&path(name), text.as_bytes());
            let skipped = found.skipped.iter().chain(&alone.skipped).map(show_skip).collect::<Vec<_>>();
            let pins = found.pins.iter().chain(&alone.pins).map(super::show).collect::<Vec<_>>();
            assert!(!format!("{skipped:?} {pins:?}").contains("hunter2"), "{name} {address}: {skipped:?} {pins:?}");
            assert!(!skipped.is_empty(), "{name} {address}");
        }
    }
}
