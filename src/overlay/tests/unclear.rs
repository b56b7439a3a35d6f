//! Names and versions that readers of one file take from different places: nothing of them is a pin, whatever the kind.

use super::{check, path, show, show_skip};
use crate::overlay::{FileChange, PinIndex};

/// A file with a pin of an image `web` and one of an image `other`, and lines that the first is read from.
struct Case {
    file: &'static str,
    text: &'static str,
    /// What may be written neither twice nor in another case beside it.
    any_case: &'static [&'static str],
    /// What may not be written twice; in another case, it is another key to all readers.
    twice: &'static [&'static str],
}

const POD: &str =
    "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: o\nspec:\n  containers:\n  - image: acme/other:1.0.0\n";

const CASES: &[Case] = &[
    Case {
        file: "kustomization.yaml",
        text: "images:\n- name: web\n  newName: ghcr.io/acme/web\n  newTag: 1.2.3\n- name: other\n  newTag: 1.0.0\n",
        any_case: &["name: web", "newName: ghcr.io/acme/web", "newTag: 1.2.3"],
        twice: &[],
    },
    Case {
        file: "kustomization.yaml",
        text: "images:\n- name: web\n  newName: ''\n  digest: ''\n  newTag: 1.2.3\n- name: other\n  newTag: 1.0.0\n",
        any_case: &["newName: ''", "digest: ''"],
        twice: &[],
    },
    Case {
        file: "kustomization.yaml",
        text: "helmCharts:\n- name: web\n  repo: https://good.example/x\n  version: 1.2.3\nimages:\n- name: other\n  newTag: 1.0.0\n",
        any_case: &["name: web", "repo: ", "version: "],
        twice: &[],
    },
    Case {
        file: "flux.yaml",
        text: "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec:\n  images:\n  - name: x\n    newName: acme/web\n    newTag: 1.2.3\n",
        any_case: &["apiVersion: kust", "kind: Kust", "newName: ", "newTag: "],
        twice: &[],
    },
    Case {
        file: "values.yaml",
        text: "web:\n  image:\n    registry: ghcr.io\n    repository: acme/web\n    tag: 1.2.3\n    digest: ''\n    sha: ''\n    name: ''\nother:\n  image:\n    repository: acme/other\n    tag: 1.0.0\n",
        any_case: &["registry: ", "repository: acme/web", "tag: 1.2.3", "digest: ", "sha: ", "name: "],
        twice: &[],
    },
    Case {
        file: "values.yaml",
        text: "web:\n  image: acme/web\n  tag: 1.2.3\nother:\n  image: acme/other:1.0.0\n",
        any_case: &["image: acme/web", "tag: "],
        twice: &[],
    },
    Case {
        file: "values.yaml",
        text: "webImage: acme/web\nwebImageTag: 1.2.3\nwebImageDigest: ''\notherImage: acme/other\notherImageTag: 1.0.0\n",
        any_case: &["webImage: ", "webImageTag: ", "webImageDigest: "],
        twice: &[],
    },
    Case {
        file: "o.yaml",
        text: "apiVersion: x.io/v1\nkind: Foo\nspec:\n  image:\n    repository: acme/web\n    tag: 1.2.3\n",
        any_case: &["apiVersion: x", "kind: Foo", "repository: ", "tag: "],
        twice: &[],
    },
    Case {
        file: "o.yaml",
        text: "apiVersion: x.io/v1\nkind: Foo\nspec:\n  baseImage: acme/web\n  tag: 1.2.3\n",
        any_case: &["baseImage: ", "tag: "],
        twice: &[],
    },
    Case {
        file: "pod.yaml",
        text: "apiVersion: x.io/v1\nkind: Foo\nspec:\n  containers:\n  - name: w\n    image: acme/web:1.2.3\n",
        any_case: &["kind: Foo"],
        twice: &["image: acme/web"],
    },
    Case {
        file: "hr.yaml",
        text: "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata:\n  name: r\n  namespace: n\nspec:\n  url: https://good.example/x\n---\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: a\n  namespace: n\nspec:\n  chart:\n    spec:\n      chart: web\n      version: 1.2.3\n      sourceRef:\n        kind: HelmRepository\n        name: r\n",
        any_case: &["namespace: n", "chart: web", "version: ", "kind: HelmRepository", "name: r", "kind: HelmRelease"],
        twice: &["url: "],
    },
    Case {
        file: "hc.yaml",
        text: "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: r, namespace: n}\nspec:\n  url: https://good.example/x\n---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmChart\nmetadata: {name: a, namespace: n}\nspec:\n  chart: web\n  version: 1.2.3\n  sourceRef: {kind: HelmRepository, name: r}\n",
        any_case: &["metadata: {name: a", "chart: ", "version: ", "sourceRef: "],
        twice: &["url: "],
    },
    Case {
        file: "oci.yaml",
        text: "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata:\n  name: a\nspec:\n  url: oci://good.example/web\n  ref:\n    tag: 1.2.3\n    digest: ''\n",
        any_case: &["url: ", "tag: ", "digest: "],
        twice: &[],
    },
    Case {
        file: "app.yaml",
        text: "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: a\nspec:\n  source:\n    repoURL: https://good.example/x\n    chart: web\n    targetRevision: 1.2.3\n",
        any_case: &["kind: Application", "repoURL: ", "chart: ", "targetRevision: "],
        twice: &[],
    },
    Case {
        file: "app.yaml",
        text: "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: a\nspec:\n  source:\n    repoURL: oci://good.example/web\n    targetRevision: 1.2.3\n",
        any_case: &["repoURL: ", "targetRevision: "],
        twice: &[],
    },
    Case {
        file: "app.yaml",
        text: "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: a\nspec:\n  source:\n    helm:\n      parameters:\n      - name: image.repository\n        value: acme/web\n      - name: image.tag\n        value: 1.2.3\n",
        any_case: &["name: image.repository", "value: acme/web", "name: image.tag", "value: 1.2.3"],
        twice: &[],
    },
    Case {
        file: "app.yaml",
        text: "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata:\n  name: a\nspec:\n  source:\n    helm:\n      values: |\n        image:\n          repository: acme/web\n          tag: 1.2.3\n",
        any_case: &["repository: ", "tag: "],
        twice: &[],
    },
    Case {
        file: "Chart.yaml",
        text: "apiVersion: v2\nname: x\nversion: 0.1.0\ndependencies:\n- name: web\n  repository: https://good.example/x\n  version: 1.2.3\n- name: other\n  repository: https://other.example/x\n  version: 1.0.0\n",
        any_case: &["name: web", "repository: https://good", "version: 1.2.3"],
        twice: &[],
    },
    Case {
        file: "helmfile.yaml",
        text: "repositories:\n- name: r\n  url: https://good.example/x\n- name: s\n  url: https://other.example/x\nreleases:\n- name: a\n  chart: r/web\n  version: 1.2.3\n- name: b\n  chart: s/other\n  version: 1.0.0\n",
        any_case: &["name: r", "url: https://good", "chart: r/web", "version: 1.2.3"],
        twice: &[],
    },
    Case {
        file: "any.yaml",
        text: "apiVersion: x.io/v1\nkind: Foo\nspec:\n  name: acme/web\n  registry: ghcr.io\n  at: 1.2.3 # {\"$imagepolicy\": \"ns:web:tag\"}\n",
        any_case: &["name: acme/web", "registry: ", "at: 1.2.3"],
        twice: &[],
    },
    Case {
        file: "any.yaml",
        text: "apiVersion: x.io/v1\nkind: Foo\nspec:\n  of: acme/web # {\"$imagepolicy\": \"ns:web:name\"}\n  at: 1.2.3 # {\"$imagepolicy\": \"ns:web:tag\"}\n",
        any_case: &["of: acme/web", "at: 1.2.3"],
        twice: &[],
    },
    Case {
        file: "compose.yaml",
        text: "services:\n  web:\n    image: acme/web:1.2.3\n  other:\n    image: acme/other:1.0.0\n",
        any_case: &[],
        twice: &["image: acme/web"],
    },
    Case {
        file: "provider.yaml",
        text: "apiVersion: pkg.crossplane.io/v1\nkind: Provider\nmetadata:\n  name: p\nspec:\n  package: xpkg.crossplane.io/acme/web:v1.2.3\n",
        any_case: &["kind: Provider"],
        twice: &["package: "],
    },
    Case {
        file: "m.tf",
        text: "locals {\n  web_registry = \"ghcr.io\"\n  web_repository = \"acme/web\"\n  web_tag = \"1.2.3\"\n  web_digest = \"\"\n  other_image = \"acme/other:1.0.0\"\n}\n",
        any_case: &["web_registry = ", "web_repository = ", "web_tag = ", "web_digest = "],
        twice: &[],
    },
];

/// The pins of the file, and what is left alone in it, each in one line.
fn found(file: &str, text: &str) -> (Vec<String>, Vec<String>) {
    let mut index = PinIndex::new();
    index.update(vec![FileChange::File { path: path(file), bytes: text.as_bytes().to_vec() }]);
    let found = index.pins(&|_| true);
    (found.pins.iter().map(show).collect(), found.skipped.iter().map(show_skip).collect())
}

/// The file where the last line that begins so has its key again, in that spelling, with another value, in front or behind.
fn with_another(text: &str, line: &str, spelled: fn(&str) -> String, in_front: bool) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = lines.iter().rposition(|it| it.trim_start_matches([' ', '-']).starts_with(line)).expect(line);
    let written = lines[at].clone();
    let (before, key) = written.split_at(written.find(line).unwrap());
    let another = match line.split_once(" = ") {
        Some((key, _)) => format!("{} = \"evil.example/x\"", spelled(key)),
        None => format!("{}: evil.example/x", spelled(line.split_once(':').unwrap().0)),
    };
    // An item of a list starts with its first key.
    let below = before.replace('-', " ");
    let (first, second) = if in_front { (&*another, key) } else { (key, &*another) };
    lines.splice(at..=at, [format!("{before}{first}"), format!("{below}{second}")]);
    lines.join("\n") + "\n"
}

fn as_it_is(key: &str) -> String {
    key.to_owned()
}

/// The key with its first letter in the other case.
fn in_another_case(key: &str) -> String {
    let first = &key[..1];
    let other =
        if first == first.to_ascii_lowercase() { first.to_ascii_uppercase() } else { first.to_ascii_lowercase() };
    other + &key[1..]
}

#[test]
fn what_is_written_twice_names_nothing() {
    for case in CASES {
        let is_object = case.text.contains("apiVersion") && case.file != "Chart.yaml";
        let text = if is_object { format!("{}{POD}", case.text) } else { case.text.to_owned() };
        let (pins, skipped) = found(case.file, &text);
        let others = |pins: &[String]| pins.iter().filter(|pin| pin.contains("other")).count();
        let is_whole = pins.len() == 2 && others(&pins) == 1 && skipped.is_empty();
        assert!(is_whole, "{}:\n{text}{pins:#?}\n{skipped:#?}", case.file);
        let twice = case.any_case.iter().chain(case.twice).map(|line| (line, as_it_is as fn(&str) -> String));
        let spelled = case.any_case.iter().map(|line| (line, in_another_case as fn(&str) -> String));
        for ((line, spelled), in_front) in twice.chain(spelled).flat_map(|it| [(it, false), (it, true)]) {
            let text = with_another(&text, line, spelled, in_front);
            let (pins, skipped) = found(case.file, &text);
            // HCL refuses a whole file for one key that is written twice.
            let is_refused = skipped.iter().any(|skipped| skipped.contains("not valid HCL"));
            let left = pins.len() == 1 && others(&pins) == 1;
            assert!(left || (is_refused && pins.is_empty()), "{}:\n{text}{pins:#?}\n{skipped:#?}", case.file);
            let says = |skipped: &String| {
                ["occurs twice", "may count in place of", "different addresses", "not valid HCL"]
                    .iter()
                    .any(|it| skipped.contains(it))
            };
            assert!(skipped.iter().any(says), "{}:\n{text}{skipped:#?}", case.file);
        }
    }
}

#[test]
fn a_helmfile_with_two_repositories_of_one_name() {
    let text = |second: &str| {
        format!(
            "repositories: [{{name: r, url: 'https://a.example/x'}}, {{name: r, url: '{second}'}}]\nreleases: [{{chart: r/c, version: 1.2.3}}]\n"
        )
    };
    assert_eq!(found("helmfile.yaml", &text("https://a.example/x")).0.len(), 1);
    let (pins, skipped) = found("helmfile.yaml", &text("https://b.example/x"));
    assert!(pins.is_empty() && skipped.len() == 1 && skipped[0].contains("b.example"), "{pins:?} {skipped:?}");
}

#[test]
fn a_parameter_given_twice() {
    let text = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: a}\nspec:\n  source:\n    helm:\n      parameters:\n      - {name: image.tag, value: 1.2.3}\n      - {name: image.repository, value: acme/web}\n      - {name: image.repository, value: evil/web}\n      - {name: x.image.repository, value: acme/x}\n      - {name: x.image.tag, value: '1'}\n";
    let (pins, skipped) = found("app.yaml", text);
    assert!(pins.len() == 1 && pins[0].contains("acme/x"), "{pins:?}");
    assert!(
        skipped.len() == 1 && skipped[0].starts_with("10: the parameter image.repository occurs twice"),
        "{skipped:?}"
    );
}

#[test]
fn what_is_merged_in_may_name_another_image() {
    let base = "x: &x\n  repository: evil/web\n";
    let values = |rest: &str| format!("{base}a:\n  image:\n{rest}");
    for (rest, pins, left) in [
        // As everybody writes it: the mapping's own keys count.
        (
            "    <<: *x\n    repository: acme/web\n    tag: '1'\n",
            &["7:11 helm-values a.image.tag acme/web 1"][..],
            &[][..],
        ),
        ("    <<: *x\n    tag: '1'\n", &["6:11 helm-values a.image.tag evil/web 1"], &[]),
        (
            "    repository: acme/web\n    <<: *x\n    tag: '1'\n",
            &[],
            &["7: `repository` in line 2 may count in place of `repository`"],
        ),
        (
            "    <<: *x\n    Repository: acme/web\n    tag: '1'\n",
            &[],
            &["7: `repository` in line 2 may count in place of `Repository`"],
        ),
        ("    <<: *x\n    <<: *x\n    tag: '1'\n", &[], &["7: the key `<<` occurs twice"]),
    ] {
        check("values.yaml", &values(rest), pins, left);
    }
    let keys: String = (0..101).map(|number| format!("  k{number}: 1\n")).collect();
    let text = format!("x: &x\n{keys}  newName: evil/web\nimages:\n- <<: *x\n  name: acme/web\n  newTag: '1'\n");
    check("kustomization.yaml", &text, &[], &["107: what names the image is merged in from more"]);
    let pair = |rest: &str| format!("x: &x\n  webImage: evil/web\na:\n{rest}");
    check(
        "values.yaml",
        &pair("  <<: *x\n  webImage: acme/web\n  webImageTag: '1'\n"),
        &["6:17 helm-values a.webImageTag acme/web 1"],
        &["2: shared through the anchor"],
    );
    let left = &["2: shared through the anchor", "4: `webImage` in line 2 may count"];
    check("values.yaml", &pair("  webImage: acme/web\n  webImageTag: '1'\n  <<: *x\n"), &[], left);
}

#[test]
fn another_spelling_alone_is_one_only_where_readers_do_not_differ() {
    check(
        "values.yaml",
        "a:\n  image:\n    Repository: acme/web\n    Tag: '1'\n    pullPolicy: a\n    pullPolicy: b\n",
        &["4:11 helm-values a.image.Tag acme/web 1"],
        &[],
    );
    check(
        "kustomization.yaml",
        "images:\n- name: acme/web\n  newname: evil/web\n  newTag: '1'\n- name: acme/web\n  dige\u{17f}t: x\n  newTag: '1'\n",
        &[],
        &[
            "4: `newname` in line 3 may count in place of `newName`",
            "7: `dige\u{17f}t` in line 6 may count in place of `digest`",
        ],
    );
    check(
        "m.tf.json",
        r#"{"locals": {"web_repository": "acme/web", "web_repository": "evil/web", "web_tag": "1"}}"#,
        &[],
        &["1: the key `locals.web_repository` occurs twice"],
    );
    check(
        "m.tf",
        "locals {\n  registry = \"evil.io\"\n  image_registry = \"ghcr.io\"\n  repository = \"acme/web\"\n  tag = \"1\"\n}\n",
        &[],
        &["5: `locals[0].registry` in line 2 may count in place of `locals[0].image_registry`"],
    );
}
