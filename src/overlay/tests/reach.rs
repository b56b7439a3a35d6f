//! Which kustomizations and charts are built from a file.

use super::path;
use crate::model::SkipReason;
use crate::overlay::{FileChange, MAX_ROOTS, PinIndex, normal_folder};

fn index(files: &[(&str, &str)]) -> PinIndex {
    let mut index = PinIndex::new();
    let file = |(name, text): &(&str, &str)| FileChange::File { path: path(name), bytes: text.as_bytes().to_vec() };
    index.update(files.iter().map(file).collect());
    index
}

/// Kustomizations, then charts after a `|`, each with the field that leads there.
fn shown(index: &PinIndex, file: &str) -> String {
    let file = path(file);
    let reached = index.reach().of(&file);
    let list = |roots: &[crate::overlay::BuildRoot<'_>]| {
        let mut roots: Vec<String> = roots
            .iter()
            .map(|root| match root.field {
                Some(field) => format!("{}:{}", root.folder, field.as_str()),
                None => root.folder.to_owned(),
            })
            .collect();
        roots.sort();
        roots.join(" ")
    };
    format!("{}|{}", list(&reached.kustomizations), list(&reached.charts))
}

/// What it shows, the files, the one asked for, and what is built from it.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

const CASES: &[Case] = &[
    ("its own", &[("a/kustomization.yaml", "images: []")], "a/kustomization.yaml", "a|"),
    ("yml", &[("a/kustomization.yml", "images: []")], "a/kustomization.yml", "a|"),
    ("no extension", &[("a/Kustomization", "resources: [x.yaml]")], "a/x.yaml", "a:resources|"),
    ("a resource", &[("a/kustomization.yaml", "resources: [x.yaml]")], "a/x.yaml", "a:resources|"),
    ("./ and sub folders", &[("a/kustomization.yaml", "resources: [./b/x.yaml]")], "a/b/x.yaml", "a:resources|"),
    ("not named", &[("a/kustomization.yaml", "resources: [x.yaml]")], "a/y.yaml", "|"),
    ("at the root", &[("kustomization.yaml", "resources: [apps/x.yaml]")], "apps/x.yaml", ":resources|"),
    ("up", &[("a/b/kustomization.yaml", "resources: [../x.yaml]")], "a/x.yaml", "a/b:resources|"),
    ("out of the repository", &[("a/kustomization.yaml", "resources: [../../x.yaml]")], "x.yaml", "|"),
    ("absolute", &[("a/kustomization.yaml", "resources: [/x.yaml]")], "x.yaml", "|"),
    (
        "a base",
        &[("base/kustomization.yaml", "resources: [d.yaml]"), ("prod/kustomization.yaml", "resources: [../base]")],
        "base/d.yaml",
        "base:resources prod:resources|",
    ),
    (
        "a base with a slash, old field",
        &[("base/kustomization.yaml", "resources: [d.yaml]"), ("prod/kustomization.yaml", "bases: [../base/]")],
        "base/d.yaml",
        "base:resources prod:bases|",
    ),
    (
        "through two bases",
        &[
            ("a/kustomization.yaml", "resources: [d.yaml]"),
            ("b/kustomization.yaml", "resources: [../a]"),
            ("c/kustomization.yaml", "resources: [../b]"),
        ],
        "a/kustomization.yaml",
        "a b:resources c:resources|",
    ),
    (
        "a component",
        &[
            ("parts/tls/kustomization.yaml", "kind: Component\npatches: [{path: tls.yaml}]"),
            ("prod/kustomization.yaml", "components: [../parts/tls]"),
        ],
        "parts/tls/tls.yaml",
        "parts/tls:patches prod:components|",
    ),
    (
        "one base of two overlays",
        &[
            ("base/kustomization.yaml", "images: []"),
            ("o/dev/kustomization.yaml", "resources: [../../base]"),
            ("o/prod/kustomization.yaml", "resources: [../../base]"),
        ],
        "base/kustomization.yaml",
        "base o/dev:resources o/prod:resources|",
    ),
    (
        "a cycle",
        &[("a/kustomization.yaml", "resources: [../b, x.yaml]"), ("b/kustomization.yaml", "resources: [../a]")],
        "a/x.yaml",
        "a:resources b:resources|",
    ),
    ("itself", &[("a/kustomization.yaml", "resources: [., x.yaml]")], "a/x.yaml", "a:resources|"),
    ("a patch", &[("a/kustomization.yaml", "patches: [{path: p.yaml}]")], "a/p.yaml", "a:patches|"),
    ("an old patch", &[("a/kustomization.yaml", "patchesStrategicMerge: [p.yaml]")], "a/p.yaml", "a:patches|"),
    (
        "a patch that is text",
        &[("a/kustomization.yaml", "patchesStrategicMerge:\n- |-\n  kind: x.yaml\n")],
        "a/x.yaml",
        "|",
    ),
    ("a JSON patch", &[("a/kustomization.yaml", "patchesJson6902: [{path: p.yaml}]")], "a/p.yaml", "a:patches|"),
    (
        "a generator's file",
        &[("a/kustomization.yaml", "configMapGenerator: [{name: v, files: [values.yaml=v/prod.yaml]}]")],
        "a/v/prod.yaml",
        "a:configMapGenerator|",
    ),
    (
        "a secret's file",
        &[("a/kustomization.yaml", "secretGenerator: [{files: [s.yaml]}]")],
        "a/s.yaml",
        "a:secretGenerator|",
    ),
    (
        "a values file",
        &[("a/kustomization.yaml", "helmCharts: [{name: web, valuesFile: ../v.yaml}]")],
        "v.yaml",
        "a:helmCharts.valuesFile|",
    ),
    (
        "more values files",
        &[("a/kustomization.yaml", "helmCharts: [{name: web, additionalValuesFiles: [v.yaml]}]")],
        "a/v.yaml",
        "a:helmCharts.valuesFile|",
    ),
    (
        "a local chart",
        &[
            ("a/kustomization.yaml", "helmGlobals: {chartHome: ../charts}\nhelmCharts: [{name: web}]"),
            ("charts/web/Chart.yaml", "name: web"),
        ],
        "charts/web/values.yaml",
        "a:helmCharts|charts/web",
    ),
    ("a transformer", &[("a/kustomization.yaml", "transformers: [t.yaml]")], "a/t.yaml", "a:transformers|"),
    ("replacements", &[("a/kustomization.yaml", "replacements: [{path: r.yaml}]")], "a/r.yaml", "a:replacements|"),
    ("configurations", &[("a/kustomization.yaml", "configurations: [c.yaml]")], "a/c.yaml", "a:configurations|"),
    ("crds and openapi", &[("a/kustomization.yaml", "openapi: {path: s.json}")], "a/s.json", "a:openapi|"),
    (
        "of a remote base nothing",
        &[("a/kustomization.yaml", "resources: ['https://example.com/r//base?ref=v1', 'git@example.com:r.git']")],
        "base/x.yaml",
        "|",
    ),
    ("a chart's own values", &[("c/Chart.yaml", "name: c")], "c/values.yaml", "|c"),
    ("other values of a chart", &[("c/Chart.yaml", "name: c")], "c/values-prod.yaml", "|"),
    ("a template of a chart", &[("c/Chart.yaml", "name: c")], "c/templates/d.yaml", "|c"),
    (
        "a chart in a chart",
        &[("c/Chart.yaml", "name: c"), ("c/charts/d/Chart.yaml", "name: d")],
        "c/charts/d/values.yaml",
        "|c c/charts/d",
    ),
    (
        "an umbrella chart",
        &[
            ("charts/web/Chart.yaml", "name: web"),
            ("envs/prod/Chart.yaml", "dependencies: [{name: web, repository: 'file://../../charts/web'}]"),
        ],
        "charts/web/values.yaml",
        "|charts/web envs/prod:dependencies",
    ),
    (
        "a dependency from a registry",
        &[("p/Chart.yaml", "dependencies: [{name: web, repository: 'https://charts.example.com'}]")],
        "web/values.yaml",
        "|",
    ),
    (
        "hostile kustomizations",
        &[("a/kustomization.yaml", "resources: {a: b}\npatches: 3\nhelmCharts: [7, [x]]\nconfigMapGenerator: x")],
        "a/x.yaml",
        "|",
    ),
];

#[test]
fn files_are_traced_to_what_is_built_from_them() {
    for (what, files, file, expected) in CASES {
        assert_eq!(shown(&index(files), file), *expected, "{what}");
    }
}

#[test]
fn changes_are_taken_in() {
    let mut index = index(&[("a/kustomization.yaml", "resources: [x.yaml]"), ("c/Chart.yaml", "name: c")]);
    let change = |name: &str, text: &str| FileChange::File { path: path(name), bytes: text.as_bytes().to_vec() };
    index.update(vec![change("a/kustomization.yaml", "resources: [y.yaml]")]);
    assert_eq!((shown(&index, "a/x.yaml"), shown(&index, "a/y.yaml")), ("|".to_owned(), "a:resources|".to_owned()));
    index.update(vec![
        FileChange::Gone { path: "a/kustomization.yaml".to_owned() },
        FileChange::Special { path: "c/Chart.yaml".to_owned(), reason: SkipReason::SymbolicLink },
    ]);
    assert_eq!((shown(&index, "a/y.yaml"), shown(&index, "c/values.yaml")), ("|".to_owned(), "|".to_owned()));
    assert!(!index.reach().has_kustomization("a") && !index.reach().has_chart("c"));
}

#[test]
fn what_is_not_known_is_said() {
    let index = index(&[
        ("broken/kustomization.yaml", "resources: ["),
        ("a/kustomization.yaml", "resources: ['https://example.com/r//base?ref=v1']"),
        ("empty/kustomization.yaml", "namePrefix: x-"),
        ("skips/kustomization.yaml", "resources: [x.yaml]\nimages: [{name: a}]"),
    ]);
    let reach = index.reach();
    let unreadable = ["broken", "a", "empty", "skips"].map(|folder| reach.is_unreadable(folder));
    assert_eq!(unreadable, [true, false, false, false]);
    assert_eq!(reach.remote("a"), ["https://example.com/r//base?ref=v1"]);
}

#[test]
fn declared_objects_are_found() {
    let index = index(&[(
        "apps.yaml",
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: web, namespace: argocd}\n---\napiVersion: v1\nkind: ConfigMap\n\
         metadata: {name: x}\n---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: api}\n",
    )]);
    let declared = index.reach().declares(&path("apps.yaml")).iter();
    let declared: Vec<_> = declared.map(|it| (it.document, it.object.to_string())).collect();
    assert_eq!(declared, [(0, "Application argocd/web".to_owned()), (2, "HelmRelease api".to_owned())]);
}

#[test]
fn a_huge_graph_is_answered_in_part() {
    let overlays: Vec<(String, String)> =
        (0..=MAX_ROOTS).map(|n| (format!("o/{n}/kustomization.yaml"), "resources: [../../base]".to_owned())).collect();
    let files: Vec<(&str, &str)> = overlays.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let mut index = index(&files);
    let base = FileChange::File { path: path("base/kustomization.yaml"), bytes: b"resources: [d.yaml]".to_vec() };
    index.update(vec![base]);
    let file = path("base/d.yaml");
    let reached = index.reach().of(&file);
    assert!(reached.truncated);
    assert_eq!(reached.kustomizations.len(), MAX_ROOTS);
}

#[test]
fn folders_are_normalised() {
    for (text, expected) in [
        ("./apps/web/", Some("apps/web")),
        ("/", Some("")),
        (".", Some("")),
        ("", Some("")),
        ("/apps//web/.", Some("apps/web")),
        ("apps/../web", Some("web")),
        ("../web", None),
    ] {
        assert_eq!(normal_folder(text).as_deref(), expected, "{text:?}");
    }
}
