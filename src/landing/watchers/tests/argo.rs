//! Argo CD Applications.

use super::super::{Coverage, RepositoryAddresses};
use super::{Case, URL, app, ask, ask_of, check, object, shown, source};

const BASE: &[(&str, &str)] = &[
    ("apps/web/base/kustomization.yaml", "resources: [deployment.yaml]"),
    ("apps/web/overlays/prod/kustomization.yaml", "resources: [../../base]\nimages: [{name: web, newTag: v1}]"),
    ("apps/web/overlays/dev/kustomization.yaml", "resources: [../../base]"),
];
const CHART: &[(&str, &str)] = &[("charts/web/Chart.yaml", "name: web"), ("charts/web/values.yaml", "image: {}")];
const PLAIN: &[(&str, &str)] = &[("apps/web/d.yaml", "kind: x")];

#[test]
fn folders() {
    let cases: &[Case<'_>] = &[
        ("a plain directory", PLAIN, vec![source("path: apps/web")], "apps/web/d.yaml", "web[0] path"),
        ("./ and /", PLAIN, vec![source("path: ./apps/web/")], "apps/web/d.yaml", "web[0] path"),
        ("from the root", PLAIN, vec![source("path: /apps/web")], "apps/web/d.yaml", "web[0] path"),
        ("the root, direct", PLAIN, vec![source("path: .")], "d.yaml", "web[0] path"),
        ("no path is the root", PLAIN, vec![source("")], "d.yaml", "web[0] path"),
        ("whole components", PLAIN, vec![source("path: apps/we")], "apps/web/d.yaml", "nobody: web elsewhere apps/we"),
        ("below", PLAIN, vec![source("path: apps")], "apps/web/d.yaml", "nobody: web not recursive"),
        (
            "below, recursive",
            PLAIN,
            vec![source("path: apps, directory: {recurse: true}")],
            "apps/web/d.yaml",
            "web[0] path",
        ),
        (
            "excluded",
            PLAIN,
            vec![source("path: apps, directory: {recurse: true, exclude: '*/d.yaml'}")],
            "apps/web/d.yaml",
            "nobody: web filtered by exclude",
        ),
        (
            "included",
            PLAIN,
            vec![source("path: apps, directory: {recurse: true, include: '{*.yml,*.yaml}'}")],
            "apps/web/d.yaml",
            "web[0] path",
        ),
        (
            "not included",
            PLAIN,
            vec![source("path: apps/web, directory: {include: 'x*'}")],
            "apps/web/d.yaml",
            "nobody: web filtered by include",
        ),
        (
            "an include that cannot be read includes nothing",
            PLAIN,
            vec![source("path: apps/web, directory: {include: '[z'}")],
            "apps/web/d.yaml",
            "nobody: web filtered by include",
        ),
        ("no manifest", PLAIN, vec![source("path: apps/web")], "apps/web/x.tf", "nobody: web no manifest"),
    ];
    check(cases);
}

#[test]
fn kustomizations_charts_and_plugins() {
    let cases: &[Case<'_>] = &[
        (
            "an overlay",
            BASE,
            vec![source("path: apps/web/overlays/prod")],
            "apps/web/overlays/prod/kustomization.yaml",
            "web[0] kustomization apps/web/overlays/prod",
        ),
        (
            "a base through an overlay",
            BASE,
            vec![source("path: apps/web/overlays/prod")],
            "apps/web/base/deployment.yaml",
            "web[0] kustomization apps/web/overlays/prod resources",
        ),
        (
            "another overlay is elsewhere",
            BASE,
            vec![source("path: apps/web/overlays/dev")],
            "apps/web/overlays/prod/kustomization.yaml",
            "nobody: web elsewhere apps/web/overlays/dev",
        ),
        (
            "a file that its kustomization does not name, recursive or not",
            BASE,
            vec![source("path: apps/web/base, directory: {recurse: true}")],
            "apps/web/base/forgotten.yaml",
            "nobody: web not reached from apps/web/base",
        ),
        ("a chart", CHART, vec![source("path: charts/web")], "charts/web/values.yaml", "web[0] chart charts/web"),
        (
            "values nobody names",
            CHART,
            vec![source("path: charts/web")],
            "charts/web/values-prod.yaml",
            "nobody: web not named by charts/web",
        ),
        (
            "a chart in a folder above",
            CHART,
            vec![source("path: charts, directory: {recurse: true}")],
            "charts/web/x.yaml",
            "web[0] path",
        ),
        (
            "an umbrella chart",
            &[
                ("charts/web/Chart.yaml", "name: web"),
                ("envs/prod/Chart.yaml", "dependencies: [{repository: 'file://../../charts/web'}]"),
            ],
            vec![source("path: envs/prod")],
            "charts/web/values.yaml",
            "web[0] chart envs/prod dependencies",
        ),
        ("a plugin", PLAIN, vec![source("path: apps, plugin: {name: cue}")], "apps/web/d.yaml", "web[0] path Plugin"),
        ("a path out of the repository", PLAIN, vec![source("path: ../../apps/web")], "apps/web/d.yaml", "nobody: "),
    ];
    check(cases);
}

#[test]
fn value_files() {
    let values = |files: &str| source(&format!("path: charts/web, helm: {{valueFiles: {files}}}"));
    let cases: &[Case<'_>] = &[
        ("relative", CHART, vec![values("[values-prod.yaml]")], "charts/web/values-prod.yaml", "web[0] values"),
        ("up", CHART, vec![values("[../../envs/prod.yaml]")], "envs/prod.yaml", "web[0] values"),
        (
            "out of the repository",
            CHART,
            vec![values("[../../../p.yaml]")],
            "p.yaml",
            "nobody: web elsewhere charts/web",
        ),
        ("from the root", CHART, vec![values("[/envs/prod.yaml]")], "envs/prod.yaml", "web[0] values"),
        (
            "from somewhere else",
            CHART,
            vec![values("['https://example.com/envs/prod.yaml']")],
            "envs/prod.yaml",
            "nobody: web elsewhere charts/web",
        ),
        (
            "with the application's name",
            CHART,
            vec![values("['/envs/$ARGOCD_APP_NAME.yaml', '/x/${ARGOCD_APP_NAME}/v.yaml']")],
            "x/web/v.yaml",
            "web[0] values",
        ),
    ];
    check(cases);
}

#[test]
fn several_sources() {
    let with_ref = |file: &str, revision: &str| {
        app(&format!(
            "{{sources: [{{repoURL: 'https://charts.example.com', chart: web, targetRevision: 1.2.3, helm: {{valueFiles: ['{file}']}}}}, \
             {{repoURL: '{URL}', targetRevision: {revision}, ref: values}}]}}"
        ))
    };
    let cases: &[Case<'_>] = &[
        (
            "of another source",
            CHART,
            vec![with_ref("$values/envs/prod.yaml", "main")],
            "envs/prod.yaml",
            "web[1] values $values",
        ),
        (
            "of another source at another revision",
            CHART,
            vec![with_ref("$values/envs/prod.yaml", "v1.2.3")],
            "envs/prod.yaml",
            "nobody: web reads the branch or tag `v1.2.3`",
        ),
        ("of an unknown source", CHART, vec![with_ref("$other/envs/prod.yaml", "main")], "envs/prod.yaml", "nobody: "),
        (
            "a source with ref alone reads nothing",
            CHART,
            vec![with_ref("$values/a.yaml", "main")],
            "b.yaml",
            "nobody: ",
        ),
        (
            "a parameter from a file",
            CHART,
            vec![source("path: charts/web, helm: {fileParameters: [{name: x, path: x.json}]}")],
            "charts/web/x.json",
            "web[0] parameter",
        ),
        (
            "the second of two sources",
            PLAIN,
            vec![app(&format!("{{sources: [{{repoURL: '{URL}', path: x}}, {{repoURL: '{URL}', path: apps/web}}]}}"))],
            "apps/web/d.yaml",
            "web[1] path DefaultBranch",
        ),
        (
            "sources win over source",
            PLAIN,
            vec![app(&format!(
                "{{source: {{repoURL: '{URL}', path: apps/web}}, sources: [{{repoURL: 'https://x.example.com/r', path: x}}]}}"
            ))],
            "apps/web/d.yaml",
            "nobody: ",
        ),
        (
            "a hydrator's dry source",
            PLAIN,
            vec![app(&format!(
                "{{sourceHydrator: {{drySource: {{repoURL: '{URL}', targetRevision: main, path: apps/web}}, \
                 syncSource: {{targetBranch: env/prod, path: web}}}}}}"
            ))],
            "apps/web/d.yaml",
            "web path Hydrated",
        ),
    ];
    check(cases);
}

#[test]
fn revisions() {
    for (revision, expected) in [
        ("main", "web[0] path"),
        ("refs/heads/main", "web[0] path"),
        ("HEAD", "web[0] path DefaultBranch"),
        ("''", "web[0] path DefaultBranch"),
        ("release", "nobody: web reads the branch or tag `release`"),
        ("refs/heads/release", "nobody: web reads the branch `release`"),
        ("refs/tags/v1", "nobody: web pinned to the tag `v1`"),
        ("refs/pull/1/head", "nobody: web reads `refs/pull/1/head`"),
        ("v1.2.3", "nobody: web reads the branch or tag `v1.2.3`"),
        (
            "0123456789abcdef0123456789abcdef01234567",
            "nobody: web pinned to the commit `0123456789abcdef0123456789abcdef01234567`",
        ),
        ("0a1b2c3", "nobody: web pinned to the commit `0a1b2c3`"),
        ("'^1.2'", "web[0] path Versions(\"^1.2\")"),
        ("1.x", "web[0] path Versions(\"1.x\")"),
        ("'>=1 <2'", "web[0] path Versions(\">=1 <2\")"),
    ] {
        let it = app(&format!("{{source: {{repoURL: '{URL}', path: apps/web, targetRevision: {revision}}}}}"));
        let watch = ask(PLAIN, &[it], "apps/web/d.yaml", &Coverage::complete());
        assert_eq!(shown(&watch), expected, "{revision}");
    }
}

#[test]
fn head_is_the_default_branch_where_that_is_known() {
    let it = app(&format!("{{source: {{repoURL: '{URL}', path: apps/web}}}}"));
    let branch = |name: &str| crate::model::BranchName::parse(name).unwrap();
    for (default, expected) in [
        (Some(branch("main")), "web[0] path DefaultBranch"),
        (Some(branch("trunk")), "nobody: web reads the default branch"),
        (None, "web[0] path AssumedDefault"),
    ] {
        let repository = RepositoryAddresses::new([URL], default);
        let watch = ask_of(&repository, PLAIN, std::slice::from_ref(&it), "apps/web/d.yaml", &Coverage::complete());
        assert_eq!(shown(&watch), expected);
    }
}

#[test]
fn what_generate_paths_leave_out_is_noted() {
    for (paths, expected) in [
        ("", "web[0] path"),
        (".", "web[0] path"),
        ("/apps/web", "web[0] path"),
        ("../shared;d.yaml", "web[0] path"),
        ("/apps/*/d.yaml", "web[0] path"),
        ("/apps/web/d", "web[0] path OutsideGeneratePaths"),
        ("../shared", "web[0] path OutsideGeneratePaths"),
    ] {
        let metadata = format!(
            "name: web, namespace: argocd, annotations: {{argocd.argoproj.io/manifest-generate-paths: '{paths}'}}"
        );
        let spec = format!("spec: {{source: {{repoURL: '{URL}', targetRevision: main, path: apps/web}}}}");
        let it = object("argoproj.io/v1alpha1", "Application", &metadata, &spec);
        assert_eq!(shown(&ask(PLAIN, &[it], "apps/web/d.yaml", &Coverage::complete())), expected, "{paths}");
    }
}

#[test]
fn one_file_feeds_several_and_each_is_told_once() {
    let named = |name: &str, fields: &str| {
        let spec = format!("spec: {{source: {{repoURL: '{URL}', targetRevision: main, {fields}}}}}");
        object("argoproj.io/v1alpha1", "Application", &format!("name: {name}, namespace: argocd"), &spec)
    };
    let objects = [
        named("prod", "path: apps/web/overlays/prod"),
        named("dev", "path: apps/web/overlays/dev"),
        named("values", "path: apps/web/base, helm: {valueFiles: [deployment.yaml]}"),
        named("other", "path: apps/api"),
    ];
    let watch = ask(BASE, &objects, "apps/web/base/deployment.yaml", &Coverage::complete());
    let names = "dev[0] kustomization apps/web/overlays/dev resources, prod[0] kustomization apps/web/overlays/prod resources, values[0] values";
    assert_eq!(shown(&watch), names);
    assert_eq!(watch.controllers().map(|keys| keys.len()), Some(3));
}
