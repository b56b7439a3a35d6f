//! What a small file may make of itself: bytes and items are counted, not seconds.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

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

/// A file of one shape with so many keys.
type Shape = (&'static str, &'static str, fn(&mut String, usize));

/// What there is around the keys of a shape: in front of them, and behind.
const OBJECT: &str = "apiVersion: x.io/v1\nkind: Foo\nspec:\n";
const APPLICATION: &str =
    "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: x}\nspec:\n  source:\n    helm:\n";

const SHAPES: &[Shape] = &[
    ("values.yaml", "", |text, n| writeln!(text, "a{n}Image: {{repository: x}}").unwrap()),
    ("values.yaml", "", |text, n| writeln!(text, "a{n}Image: x").unwrap()),
    ("values.yaml", "", |text, n| write!(text, "a{n}Image: x\na{n}ImageTag: '1'\n").unwrap()),
    ("values.yaml", "", |text, _| text.push_str("image: x\ntag: '1'\n")),
    ("values.yaml", "", |text, n| write!(text, "aImage: {{repository: x{n}}}\naImageTag: ''\n").unwrap()),
    ("values.yaml", "x: &x {repository: x}\ny: &y {<<: *x}\n", |text, n| {
        writeln!(text, "a{n}: {{image: {{<<: [*y, *y, *x, *x], tag: '1'}}}}").unwrap();
    }),
    ("values.yaml", "<<: {k: 1}\n", |text, n| write!(text, "a{n}Image: x\na{n}ImageTag: '1'\n").unwrap()),
    ("values.yaml", "", |text, n| write!(text, "a{n}: &a{n} {{image: 'r.io/x:1.{n}'}}\nb{n}: *a{n}\n").unwrap()),
    ("values.json", "{\"x\": 1", |text, n| write!(text, ", \"a{n}Image\": \"x{n}\"").unwrap()),
    ("o.yaml", OBJECT, |text, n| writeln!(text, "  a{n}Image: x{n}").unwrap()),
    ("o.yaml", OBJECT, |text, n| writeln!(text, "  a{n}: {{image: {{repository: r.io/x, tag: '1.2.{n}'}}}}").unwrap()),
    ("o.yaml", OBJECT, |text, n| write!(text, "  a{n}Version: '{n}.0'\n  a{n}Image: r.io/x:1.2.0-a\n").unwrap()),
    ("o.yaml", "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n", |text, n| {
        writeln!(text, "  - {{name: a{n}, image: 'r.io/x:1.2.{n}'}}").unwrap();
    }),
    ("o.yaml", "", |text, n| {
        write!(text, "---\napiVersion: v1\nkind: Pod\nspec: {{containers: [{{image: 'r.io/x:1.2.{n}'}}]}}\n").unwrap();
    }),
    ("o.yaml", "", |text, n| writeln!(text, "a{n}: r.io/x:1.2.{n} # {{\"$imagepolicy\": \"ns:p{n}\"}}").unwrap()),
    ("o.yaml", "", |text, n| writeln!(text, "a{n}: 1.2.{n} # {{\"$imagepolicy\": \"ns:p:tag\"}}").unwrap()),
    ("o.yaml", "", |text, n| {
        write!(text, "a{n}: 1.2.{n} # {{\"$imagepolicy\": \"ns:p{n}:tag\"}}\nb{n}: r.io/x # {{\"$imagepolicy\": \"ns:p{n}:name\"}}\n")
            .unwrap();
    }),
    ("compose.yaml", "services:\n", |text, n| writeln!(text, "  s{n}: {{image: 'r.io/x:${{T{n}:-1.0}}'}}").unwrap()),
    (
        "app.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {helm: {parameters: [",
        |text, n| {
            writeln!(text, "{{name: a{n}.image.tag, value: '1.{n}'}}, {{name: a{n}.image.repository, value: r.io/x}},")
                .unwrap();
        },
    ),
    ("app.yaml", APPLICATION, |text, n| {
        if n == 0 {
            text.push_str("      values: |\n");
        }
        write!(text, "        a{n}Image: r.io/x\n        a{n}ImageTag: 1.2.{n}\n").unwrap();
    }),
    ("cm.yaml", "apiVersion: v1\nkind: ConfigMap\ndata:\n  x: |\n", |text, n| {
        writeln!(text, "    image: r.io/x{n}:1.2.3").unwrap();
    }),
    ("cm.yaml", "apiVersion: v1\nkind: ConfigMap\ndata:\n  x: ", |text, n| write!(text, "r.io/x{n}:1.2.{n} ").unwrap()),
    ("kustomization.yaml", "images:\n", |text, n| writeln!(text, "- {{name: r.io/x{n}, newTag: '1.{n}'}}").unwrap()),
    ("kustomization.yaml", "images:\n- newTag: '1'\n", |text, n| writeln!(text, "  name: x{n}").unwrap()),
    ("helmfile.yaml", "releases:\n", |text, n| {
        writeln!(text, "- {{chart: r{n}/x, version: 1.2.{n}}}").unwrap();
    }),
    ("r.yaml", "", |text, n| {
        write!(text, "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {{name: r}}\nspec: {{url: 'https://h.example/{n}'}}\n").unwrap();
        write!(text, "---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: r}}\nspec: {{chart: {{spec: {{chart: x, version: 1.2.3, sourceRef: {{name: r}}}}}}}}\n").unwrap();
    }),
    ("m.tf", "locals {\n", |text, n| writeln!(text, " a{n}tag = \"1.{n}\"").unwrap()),
    ("m.tf", "locals {\n", |text, n| write!(text, " a{n}image = \"r.io/x\"\n a{n}tag = \"1.{n}\"\n").unwrap()),
    ("m.tf.json", "{\"locals\": {\"x\": 1", |text, _| text.push_str(", \"image\": \"r.io/x\", \"tag\": \"1\"")),
];

/// What closes what the text has open, in the order of its brackets.
fn closed(name: &str, mut text: String) -> String {
    text.push_str(match (name, text.starts_with('{')) {
        ("m.tf", _) => "}\n",
        ("m.tf.json", _) => "}}\n",
        ("app.yaml", _) if text.contains("parameters: [") => "]}}}\n",
        (_, true) => "}\n",
        _ => "\n",
    });
    text
}

#[test]
fn a_file_of_many_keys_is_read_in_the_time_of_its_length() {
    for (number, (name, before, key)) in SHAPES.iter().enumerate() {
        let mut text = (*before).to_owned();
        (0..8_000).for_each(|number| key(&mut text, number));
        if *name == "helmfile.yaml" {
            text.push_str("repositories:\n");
            (0..8_000).for_each(|n| writeln!(text, "- {{name: r{n}, url: 'https://h.example/{n}'}}").unwrap());
        }
        let text = closed(name, text);
        let start = Instant::now();
        let scan = scan_file(&path(name), text.as_bytes());
        // About a second without optimization; looking through all keys for each of them takes minutes.
        let took = start.elapsed();
        println!("shape {number} of {name}: {took:?}");
        assert!(took < Duration::from_secs(20), "shape {number} of {name}: {took:?}");
        let not_read = scan
            .skipped
            .iter()
            .find(|it| matches!(it.reason, SkipReason::NotYaml { .. } | SkipReason::NotParsed { .. }));
        assert!(not_read.is_none(), "shape {number} of {name}: {not_read:?}");
    }
}

#[test]
fn more_comparisons_of_versions_than_in_any_real_file_leave_it_alone_and_are_said() {
    let text = |keys: usize| {
        let keys = (0..keys).map(|n| format!("  a{n}Version: '{n}.0'\n  a{n}Image: r.io/x:1.2.0-a\n"));
        OBJECT.to_owned() + &keys.collect::<String>()
    };
    assert_eq!(scan_file(&path("o.yaml"), text(900).as_bytes()).pins.len(), 900);
    let scan = scan_file(&path("o.yaml"), text(3_000).as_bytes());
    assert!(scan.pins.is_empty() && scan.skipped.len() == 1, "{:?}", scan.skipped.len());
    assert_eq!(scan.skipped[0].reason, SkipReason::TooManyPins);
}
