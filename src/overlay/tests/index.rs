//! The index of a tree of files.

use super::{path, show, show_skip};
use crate::model::{KeyPaths, SkipReason};
use crate::overlay::{FileChange, PinIndex, scan_file, scan_with};

fn file(name: &str, text: &str) -> FileChange {
    FileChange::File { path: path(name), bytes: text.as_bytes().to_vec() }
}

fn shown(index: &PinIndex, named: &str) -> (Vec<String>, Vec<String>) {
    let found = index.pins(&|path| path.as_str() == named);
    let pins = found.pins.iter().map(|pin| format!("{} {}", pin.path, show(pin))).collect();
    (pins, found.skipped.iter().map(|skipped| format!("{} {}", skipped.path, show_skip(skipped))).collect())
}

#[test]
fn changes_are_taken_in() {
    let mut index = PinIndex::new();
    index.update(vec![
        file("b/kustomization.yaml", "images: [{name: a, newTag: v1}]"),
        file("a/kustomization.yaml", "images: [{name: a, newTag: v2}]"),
        FileChange::Special { path: "link.yaml".to_owned(), reason: SkipReason::SymbolicLink },
        file("README.md", "images: ["),
    ]);
    let b = "b/kustomization.yaml 1:28 kustomize images[0].newTag a v1".to_owned();
    let a = "a/kustomization.yaml 1:28 kustomize images[0].newTag a v2".to_owned();
    assert_eq!(
        shown(&index, ""),
        (vec![a.clone(), b], vec!["link.yaml file: a symbolic link, which is not followed".to_owned()])
    );
    index.update(vec![
        file("b/kustomization.yaml", "images: [{name: a, newTag: v3}]"),
        FileChange::Gone { path: "link.yaml".to_owned() },
    ]);
    let b = "b/kustomization.yaml 1:28 kustomize images[0].newTag a v3".to_owned();
    assert_eq!(shown(&index, ""), (vec![a, b.clone()], vec![]));
    index.update(vec![FileChange::Special { path: "a/kustomization.yaml".to_owned(), reason: SkipReason::Submodule }]);
    assert_eq!(
        shown(&index, ""),
        (vec![b], vec!["a/kustomization.yaml file: a submodule, which is not entered".to_owned()])
    );
}

#[test]
fn ignored_files_are_reported_and_come_back() {
    let mut index = PinIndex::new();
    index.update(vec![
        file("vendor/kustomization.yaml", "images: [{name: a, newTag: v1}]"),
        file(".landfallignore", "vendor/\n[z-a]\n"),
    ]);
    let (pins, skipped) = shown(&index, "");
    assert!(pins.is_empty());
    assert_eq!(skipped.len(), 2, "{skipped:?}");
    assert_eq!(skipped[1], "vendor/kustomization.yaml file: matched by .landfallignore");
    index.update(vec![file("vendor/x/kustomization.yaml", "images: [{name: a, newTag: v1}]")]);
    assert_eq!(shown(&index, "").0.len(), 0);
    index.update(vec![FileChange::Gone { path: ".landfallignore".to_owned() }]);
    assert_eq!(shown(&index, "").0.len(), 2);
    assert_eq!(shown(&index, "").1.len(), 0);
}

#[test]
fn values_count_when_something_says_that_they_are() {
    let values = "image: a/b:1\nimageless: {image: {tag: v1}}\n";
    let application = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {path: charts/x, helm: {valueFiles: [env/eu.yaml]}}}\n";
    for (name, others, named, counts) in [
        ("web/values.yaml", vec![], "", true),
        ("web/values-prod.yaml", vec![], "", true),
        ("web/prod-values.yml", vec![], "", true),
        ("web/web.values.yaml", vec![], "", true),
        ("web/values/prod.yaml", vec![], "", true),
        ("web/prod.yaml", vec![], "", false),
        ("web/prod.yaml", vec![], "web/prod.yaml", true),
        ("web/prod.yaml", vec![file("web/Chart.yaml", "name: web\napiVersion: v2\n")], "", true),
        ("prod.yaml", vec![file("Chart.yaml", "name: web\n")], "", true),
        (".gitlab-ci.yml", vec![file("Chart.yaml", "name: web\n")], "", false),
        ("docker-compose.yml", vec![file("Chart.yaml", "name: web\n")], "", false),
        ("web/x/prod.yaml", vec![file("web/Chart.yaml", "name: web\n")], "", false),
        ("charts/x/env/eu.yaml", vec![file("app.yaml", application)], "", true),
        ("charts/x/env/us.yaml", vec![file("app.yaml", application)], "", false),
        ("env/any.yaml", vec![file("app.yaml", &application.replace("env/eu.yaml", "'/env/{{x}}.yaml'"))], "", true),
    ] {
        let mut index = PinIndex::new();
        index.update(others);
        index.update(vec![file(name, values)]);
        let (pins, skipped) = shown(&index, named);
        // What nothing names as values is said in one line.
        assert_eq!((pins.len(), skipped.len()), (usize::from(counts), 1), "{name} {pins:?} {skipped:?}");
        let foreign = skipped[0].contains("looks like Helm values") || skipped[0].contains("it names images, but");
        assert_eq!(foreign, !counts, "{name} {skipped:?}");
    }
    let mut index = PinIndex::new();
    index.update(vec![file(
        "values.yaml",
        "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: a:1}]}\nimage: b:1\n",
    )]);
    // Whatever its name, an object is one, and its images are not those of values.
    let pins = ["values.yaml 3:31 container spec.containers[0].image a 1", "values.yaml 4:10 container image b 1"];
    assert_eq!(shown(&index, "").0, pins);
}

#[test]
fn images_of_files_that_are_nothing_known_are_said_where_nothing_could_be_written() {
    let mut index = PinIndex::new();
    index.update(vec![
        file("eck.yaml", "beats: {podTemplate: {initContainers: [{name: get, image: curlimages/curl}]}}\n"),
        file("cloudbuild.yaml", "steps:\n- name: gcr.io/k8s-skaffold/skaffold:v2.16.1\n"),
        file(
            ".github/workflows/ci.yml",
            "jobs: {a: {steps: [{run: \"act -P ubuntu=ghcr.io/acme/ubuntu:act-22.04\"}]}}\n",
        ),
        file(".github/actions/x/action.yml", "runs:\n  using: docker\n  image: docker://prom/prometheus:v3.9.1\n"),
        file("mkdocs.yml", "theme: {logo: {image: assets/logo.png}}\n"),
    ]);
    let (pins, skipped) = shown(&index, "");
    assert!(pins.is_empty(), "{pins:?}");
    let said = [
        ".github/actions/x/action.yml file: it names images, but",
        ".github/workflows/ci.yml file: it names images, but",
        "cloudbuild.yaml 2: looks like an image, but under a key that is not known",
        "eck.yaml 1: no tag or digest is written for the image curlimages/curl",
    ];
    assert_eq!(skipped.len(), said.len(), "{skipped:?}");
    assert!(skipped.iter().zip(said).all(|(found, said)| found.starts_with(said)), "{skipped:?}");
}

#[test]
fn templates_of_a_chart_are_one_line_whether_they_are_yaml_or_not() {
    let pod = |image: &str| format!("apiVersion: v1\nkind: Pod\nspec: {{containers: [{{image: {image}}}]}}\n");
    let template = pod("\"{{ .Values.image }}\"");
    let mut index = PinIndex::new();
    index.update(vec![
        file("web/Chart.yaml", "name: web\n"),
        file("web/templates/a.yaml", "{{ if .Values.on }}\nkind: Pod\n{{ end }}\n"),
        file("web/templates/b.yaml", &template),
        file("web/templates/sub/c.yaml", &format!("{template}---\n{template}")),
        file("web/templates/d.yaml", &format!("{template}---\n{}", pod("busybox:1.36"))),
        file("other/templates/e.yaml", &template),
    ]);
    let (pins, skipped) = shown(&index, "");
    assert_eq!(pins, ["web/templates/d.yaml 7:37 container [1].spec.containers[0].image busybox 1.36"]);
    let alone = "3: a template, not a fixed value";
    let grouped = "web/templates file: 3 templates of a chart, which only Helm can read".to_owned();
    assert_eq!(skipped, [format!("other/templates/e.yaml {alone}"), grouped, format!("web/templates/d.yaml {alone}")]);
}

#[test]
fn a_large_update_is_the_same_as_many_small_ones() {
    let files = |from: usize| {
        (from..from + 500).map(|n| {
            let padding = "# padding\n".repeat(40);
            file(&format!("a{n:04}/kustomization.yaml"), &format!("{padding}images: [{{name: a, newTag: v{n}}}]"))
        })
    };
    let mut large = PinIndex::new();
    large.update(files(0).chain(files(500)).collect());
    let mut small = PinIndex::new();
    for change in files(0).chain(files(500)) {
        small.update(vec![change]);
    }
    assert_eq!(large.pins(&|_| false), small.pins(&|_| false));
    assert_eq!(large.pins(&|_| false).pins.len(), 1_000);
}

#[test]
fn what_one_file_names_costs_no_other_file_its_values() {
    let application = |files: &str| {
        let start =
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {source: {path: x, helm: {valueFiles: [";
        format!("{start}{files}]}}}}}}\n")
    };
    let braces = format!("\"*{}{}\"", "{a,".repeat(300), "}".repeat(300));
    let slow: String = (0..1_500).map(|n| format!("'/*a?b*a??b*a?*b???{n}*z', ")).collect();
    let stars = format!("'{}'", "*a".repeat(400));
    for (evil, refused) in [(braces, None), (slow, Some("more than 1000")), (stars, Some("more than 8"))] {
        let mut index = PinIndex::new();
        index.update(vec![
            file("a/evil.yaml", &application(&evil)),
            file("app.yaml", &application("'/env/{{x}}.yaml', '/other/eu.yaml'")),
            file("env/eu.yaml", "image: {repository: a, tag: v1}"),
            file("other/eu.yaml", "image: {repository: b, tag: v1}"),
        ]);
        let (pins, skipped) = shown(&index, "");
        assert_eq!(pins.len(), 2, "{pins:?} {skipped:?}");
        let said = skipped.iter().find(|line| line.contains("are not recognised by it"));
        assert_eq!(said.is_some(), refused.is_some(), "{skipped:?}");
        assert!(said.is_none_or(|line| line.starts_with("a/evil.yaml") && line.contains(refused.unwrap())), "{said:?}");
    }
}

#[test]
fn where_there_is_no_room_files_are_not_read_and_reported() {
    let many = |name: &str, count: usize| file(name, &format!("images: [{}]", "{name: a, newTag: v1}, ".repeat(count)));
    let names: Vec<String> = (0..100).map(|n| format!("a{n:02}/kustomization.yaml")).collect();
    let mut index = PinIndex::new();
    index.set_room(50);
    // Each takes eleven places: four have room, and of those that have none, twenty are named.
    index.update(names.iter().map(|name| many(name, 10)).collect());
    let (pins, skipped) = shown(&index, "");
    assert_eq!((pins.len(), skipped.len(), index.places(), index.is_short()), (40, 20, 44, true));
    assert!(skipped[0].starts_with("a04/") && skipped[0].contains("76 other files are not read"), "{skipped:?}");
    // One that would outgrow the room is no longer there; one that goes makes room.
    index.update(vec![many("a00/kustomization.yaml", 30)]);
    assert_eq!((index.places(), index.has_room()), (33, true));
    index.update(vec![
        FileChange::Gone { path: "a01/kustomization.yaml".to_owned() },
        many("a02/kustomization.yaml", 1),
    ]);
    assert_eq!((index.places(), shown(&index, "").0.len()), (13, 11));
    index.update(vec![FileChange::Unread { path: "a03/kustomization.yaml".to_owned() }, file("b.yaml", "a: 1")]);
    assert_eq!((index.places(), shown(&index, "").0.len()), (3, 1));
}

#[test]
fn a_place_with_a_long_text_counts_as_several() {
    let places = |folder: usize| {
        let path = path(&format!("{}kustomization.yaml", "a/".repeat(folder)));
        scan_file(&path, b"images: [{name: a, newTag: v1}]").places()
    };
    assert_eq!((places(1), places(1_000)), (2, 5));
}

#[test]
fn what_has_no_room_is_not_scanned() {
    // A slice at a time: of a thousand names of one text, those after the first slice are not parsed.
    let text = format!("# {}\nimages: [{{name: a, newTag: v1}}]", "x".repeat(20_000));
    let mut index = PinIndex::new();
    index.set_room(2);
    index.update((0..1_000).map(|n| file(&format!("{n}/kustomization.yaml"), &text)).collect());
    assert_eq!((index.places(), index.has_room(), shown(&index, "").0.len()), (2, false, 1));
    index.update(vec![file(".landfallignore", "0/\n")]);
    assert_eq!(shown(&index, "").0.len(), 0, "what is left alone is read all the same");
}

fn release(name: &str, more: &str) -> FileChange {
    let text = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\nspec: {chart: {spec: {version: 1.2.3, chart: web, sourceRef: {name: stable";
    file(name, &format!("{text}{more}}}}}}}}}\n"))
}

fn source(name: &str, metadata: &str, url: &str) -> FileChange {
    let kind = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\n";
    file(name, &format!("{kind}metadata: {{{metadata}}}\nspec: {{url: '{url}'}}\n"))
}

const A: &str = "https://a.example.com/charts";
const B: &str = "oci://b.example.com/charts";
const FLUX: &str = "name: stable, namespace: flux";
const OPEN: &str = "one of both has no namespace";

fn found() -> String {
    format!("{A}/web 1.2.3")
}

fn uncertain(name: &str) -> String {
    format!(
        "which HelmRepository {name} the chart comes from is not certain, for they have different addresses ({A}, {B})"
    )
}

/// What comes of a release in `m/hr.yaml` beside other files, in whatever order they are read.
fn comes_to(namespace: &str, others: &[FileChange], expected: &str) {
    for reversed in [false, true] {
        let mut changes = vec![release("m/hr.yaml", namespace)];
        changes.extend(others.to_vec());
        if reversed {
            changes.reverse();
        }
        let mut index = PinIndex::new();
        changes.into_iter().for_each(|change| index.update(vec![change]));
        let (pins, skipped) = shown(&index, "");
        let found = pins.iter().chain(skipped.iter().filter(|skipped| skipped.starts_with("m/hr")));
        let found: Vec<&String> = found.collect();
        assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {pins:?} {skipped:?}");
    }
}

#[test]
fn a_chart_s_repository_is_found_in_any_file_where_its_namespace_is_certain() {
    let ignore = |name: &str| file(".landfallignore", name);
    for (namespace, others, expected) in [
        ("", vec![source("m/s.yaml", "name: stable", A)], found()),
        ("", vec![source("m/s.yaml", FLUX, A)], found()),
        (", namespace: flux", vec![source("m/s.yaml", "name: stable", A)], found()),
        (", namespace: flux", vec![source("z/s.yaml", FLUX, B)], format!("{B}/web 1.2.3")),
        // Anybody may declare a name in a folder of their own.
        ("", vec![source("z/s.yaml", "name: stable", A)], OPEN.to_owned()),
        ("", vec![source("z/s.yaml", FLUX, A)], OPEN.to_owned()),
        (", namespace: flux", vec![source("z/s.yaml", "name: stable", A)], OPEN.to_owned()),
        (
            ", namespace: flux",
            vec![source("a.yaml", FLUX, A), source("z.yaml", "name: stable", B)],
            uncertain("flux/stable"),
        ),
        (
            ", namespace: flux",
            vec![source("a.yaml", FLUX, A), source("z.yaml", "name: stable, namespace: x", B)],
            found(),
        ),
        // One for each cluster, with the same address, whatever its end.
        (
            ", namespace: flux",
            vec![source("a.yaml", FLUX, A), source("z.yaml", "name: stable", &format!("{A}/"))],
            found(),
        ),
        ("", vec![source("m/a.yaml", "name: stable", A), source("z.yaml", "name: stable", B)], uncertain("stable")),
        (
            ", namespace: flux",
            vec![source("a.yaml", "name: stable, namespace: x", A)],
            "no file declares the HelmRepository flux/stable".to_owned(),
        ),
        ("", vec![], "no file declares the HelmRepository stable".to_owned()),
        (
            "",
            vec![source("m/a.yaml", "name: stable", A), ignore("m/a.yaml")],
            "no file declares the HelmRepository stable".to_owned(),
        ),
    ] {
        comes_to(namespace, &others, &expected);
    }
}

#[test]
fn a_kustomization_says_the_namespace_of_what_it_lists() {
    let kustomization = |name: &str, text: &str| file(&format!("{name}/kustomization.yaml"), text);
    for (namespace, others, expected) in [
        // Directly, or by their folders.
        (
            ", namespace: flux",
            vec![
                source("s/s.yaml", "name: stable", A),
                kustomization("s", "resources: [s.yaml]\n"),
                kustomization("top", "namespace: flux\nresources: [../s]\n"),
            ],
            found(),
        ),
        (
            ", namespace: flux",
            vec![
                source("s/s.yaml", "name: stable", A),
                kustomization("s", "namespace: flux\nresources: [s.yaml]\n"),
                source("z/s.yaml", FLUX, B),
            ],
            uncertain("flux/stable"),
        ),
        ("", vec![source("z/s.yaml", FLUX, A), kustomization("m", "namespace: flux\nresources: [hr.yaml]\n")], found()),
        (
            ", namespace: flux",
            vec![source("s/s.yaml", "name: stable", A), kustomization("s", "namespace: flux\nresources: []\n")],
            OPEN.to_owned(),
        ),
        (
            ", namespace: flux",
            vec![
                source("s/s.yaml", "name: stable", A),
                kustomization("p", "namespace: flux\nresources: [../s/s.yaml]\n"),
                kustomization("q", "namespace: other\nresources: [../s/s.yaml]\n"),
            ],
            OPEN.to_owned(),
        ),
        // One of those that are built from it leaves it where it is.
        (
            ", namespace: flux",
            vec![
                source("s/s.yaml", "name: stable", A),
                kustomization("p", "namespace: flux\nresources: [../s/s.yaml]\n"),
                kustomization("q", "resources: [../s/s.yaml]\n"),
            ],
            OPEN.to_owned(),
        ),
        // The outer one counts.
        (
            ", namespace: flux",
            vec![
                source("s/s.yaml", "name: stable", A),
                kustomization("s", "namespace: other\nresources: [s.yaml]\n"),
                kustomization("top", "namespace: flux\nresources: [../s]\n"),
            ],
            found(),
        ),
    ] {
        comes_to(namespace, &others, &expected);
    }
}

#[test]
fn a_repository_s_change_changes_the_charts_of_other_files() {
    let mut index = PinIndex::new();
    index.update(vec![release("hr.yaml", ""), source("s.yaml", "name: stable", "https://a.example.com")]);
    assert!(shown(&index, "").0[0].ends_with("https://a.example.com/web 1.2.3"));
    index.update(vec![source("s.yaml", "name: stable", "oci://b.example.com/x")]);
    assert!(shown(&index, "").0[0].ends_with("oci://b.example.com/x/web 1.2.3"));
    index.update(vec![FileChange::Gone { path: "s.yaml".to_owned() }]);
    assert_eq!(shown(&index, "").0.len(), 0);
}

#[test]
fn a_file_alone_has_each_pin_that_it_may_have() {
    let FileChange::File { path, bytes } = release("hr.yaml", "") else { return };
    let mut index = PinIndex::new();
    index.update(vec![source("a.yaml", "name: stable", "https://a.example.com")]);
    let names = |index: &PinIndex| -> Vec<String> {
        let known = KeyPaths::default().knowing(index.repositories());
        scan_with(&known, &path, &bytes).pins.iter().map(|pin| pin.name.to_string()).collect()
    };
    assert_eq!(names(&index), ["https://a.example.com/web"]);
    index.update(vec![source("b/b.yaml", "name: stable", "https://b.example.com")]);
    assert_eq!(names(&index), ["https://a.example.com/web", "https://b.example.com/web"]);
    let alone = scan_file(&path, &bytes);
    assert!(alone.pins.is_empty() && alone.skipped.len() == 1, "{alone:?}");
}

#[test]
fn a_chart_that_a_lock_repeats_is_left_alone() {
    for (name, lock, text) in [
        (
            "x/Chart.yaml",
            "x/Chart.lock",
            "apiVersion: v2\ndependencies: [{name: a, version: 1.2.3, repository: 'https://c.example.com'}]\n",
        ),
        ("helmfile.yaml", "helmfile.lock", "releases: [{name: a, chart: 'oci://ghcr.io/x/a', version: 1.2.3}]\n"),
    ] {
        let mut index = PinIndex::new();
        index.update(vec![file(name, text), file("y/Chart.lock", "")]);
        assert_eq!(shown(&index, "").0.len(), 1, "{name}");
        index.update(vec![file(lock, "dependencies: []\n")]);
        let (pins, skipped) = shown(&index, "");
        assert!(pins.is_empty() && skipped.len() == 1 && skipped[0].contains("beside it, too"), "{pins:?} {skipped:?}");
        index.update(vec![FileChange::Gone { path: lock.to_owned() }]);
        assert_eq!(shown(&index, "").0.len(), 1, "{name}");
    }
}
