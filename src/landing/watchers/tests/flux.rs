//! Flux Kustomizations, HelmReleases and their sources; objects that hold pins themselves.

use super::super::{Address, Coverage, FoundWatchers, RepositoryAddresses, WatchedFile, WatcherIndex, watchers};
use super::{Case, URL, app, ask, check, files, git_repository, kustomization, object, shown};
use crate::model::{BranchName, RepoPath};
use crate::overlay::scan_file;

const TREE: &[(&str, &str)] = &[
    ("clusters/prod/apps.yaml", "kind: x"),
    ("apps/web/base/kustomization.yaml", "resources: [d.yaml]"),
    ("apps/web/prod/kustomization.yaml", "resources: [../base]"),
    ("plain/a/x.yaml", "kind: x"),
    ("charts/web/Chart.yaml", "name: web"),
];

fn release(spec: &str) -> crate::model::observation::Object {
    object("helm.toolkit.fluxcd.io/v2", "HelmRelease", "name: web, namespace: flux-system", &format!("spec: {spec}"))
}

#[test]
fn kustomizations() {
    let of = |fields: &str| vec![git_repository(""), kustomization(fields)];
    let from = |source: &str| vec![git_repository(source), kustomization("path: ./plain")];
    let cases: &[Case<'_>] = &[
        ("a folder without a kustomization, at any depth", TREE, of("path: ./plain"), "plain/a/x.yaml", "apps path"),
        ("the whole repository", TREE, of(""), "plain/a/x.yaml", "apps path"),
        ("./", TREE, of("path: ./"), "plain/a/x.yaml", "apps path"),
        ("another folder", TREE, of("path: ./clusters"), "plain/a/x.yaml", "nobody: apps elsewhere clusters"),
        (
            "an overlay",
            TREE,
            of("path: ./apps/web/prod"),
            "apps/web/prod/kustomization.yaml",
            "apps kustomization apps/web/prod",
        ),
        (
            "a base",
            TREE,
            of("path: apps/web/prod/"),
            "apps/web/base/d.yaml",
            "apps kustomization apps/web/prod resources",
        ),
        (
            "a generated kustomization names folders with one of their own",
            TREE,
            of("path: ./apps"),
            "apps/web/base/d.yaml",
            "apps kustomization apps/web/base resources",
        ),
        (
            "but not what those leave out",
            TREE,
            of("path: ./apps"),
            "apps/web/base/forgotten.yaml",
            "nobody: apps not reached from apps/web/base",
        ),
        (
            "a component of the object",
            &[("parts/tls/kustomization.yaml", "kind: Component\nresources: [t.yaml]")],
            of("path: ./plain, components: [../parts/tls]"),
            "parts/tls/t.yaml",
            "apps kustomization parts/tls resources",
        ),
        ("a suspended one watches", TREE, of("path: ./plain, suspend: true"), "plain/a/x.yaml", "apps path"),
        ("ignored", TREE, from(r#"ignore: "/*\n!/apps\n""#), "plain/a/x.yaml", "nobody: apps ignored"),
        ("not ignored", TREE, from("ignore: '*.tf'"), "plain/a/x.yaml", "apps path"),
        ("in the repository's .sourceignore", TREE, of("path: ./ignored"), "ignored/x.yaml", "nobody: apps ignored"),
        ("brought back by the source", TREE, from("ignore: '!/plain'"), "plain/a/x.yaml", "apps path"),
        (".. stops at the root", TREE, of("path: ../../plain"), "plain/a/x.yaml", "apps path"),
        ("sparse", TREE, from("sparseCheckout: [apps, clusters]"), "plain/a/x.yaml", "nobody: apps not checked out"),
        ("sparse, and in", TREE, from("sparseCheckout: [./plain/]"), "plain/a/x.yaml", "apps path"),
        (
            "an included repository",
            TREE,
            from("include: [{repository: {name: x}}]"),
            "other/x.yaml",
            "cannot tell: Include",
        ),
        ("no source", TREE, vec![kustomization("path: ./plain")], "plain/a/x.yaml", "cannot tell: NoSource"),
        ("no source, and another path", TREE, vec![kustomization("path: ./apps")], "plain/a/x.yaml", "nobody: "),
        (
            "a source of another namespace",
            TREE,
            vec![
                git_repository(""),
                object(
                    "kustomize.toolkit.fluxcd.io/v1",
                    "Kustomization",
                    "name: apps, namespace: team",
                    "spec: {path: ./plain, sourceRef: {kind: GitRepository, name: deploys, namespace: flux-system}}",
                ),
            ],
            "plain/a/x.yaml",
            "apps path",
        ),
    ];
    check(cases);
}

#[test]
fn references() {
    for (reference, expected) in [
        ("{branch: main}", "apps path"),
        ("{branch: release}", "nobody: apps reads the branch `release`"),
        ("{}", "nobody: apps reads the branch `master`"),
        ("{name: refs/heads/main, branch: release}", "apps path"),
        ("{name: refs/pull/1/head, branch: main}", "nobody: apps reads `refs/pull/1/head`"),
        ("{tag: v1, branch: main}", "nobody: apps pinned to the tag `v1`"),
        ("{semver: '1.x', tag: v1, branch: main}", "apps path Versions(\"1.x\")"),
        (
            "{commit: 0123456789abcdef0123456789abcdef01234567, branch: main}",
            "nobody: apps pinned to the commit `0123456789abcdef0123456789abcdef01234567`",
        ),
    ] {
        let spec = format!("spec: {{url: 'ssh://git@github.com/acme/deploys', ref: {reference}}}");
        let metadata = "name: deploys, namespace: flux-system";
        let source = object("source.toolkit.fluxcd.io/v1", "GitRepository", metadata, &spec);
        let watch = ask(TREE, &[source, kustomization("path: ./plain")], "plain/a/x.yaml", &Coverage::complete());
        assert_eq!(shown(&watch), expected, "{reference}");
    }
}

#[test]
fn artifacts_are_not_taken_for_another_repository() {
    let source = object(
        "source.toolkit.fluxcd.io/v1",
        "OCIRepository",
        "name: deploys, namespace: flux-system",
        "spec: {url: 'oci://ghcr.io/acme/manifests', ref: {tag: latest}}",
    );
    let it = object(
        "kustomize.toolkit.fluxcd.io/v1",
        "Kustomization",
        "name: apps, namespace: flux-system",
        "spec: {path: ./plain, sourceRef: {kind: OCIRepository, name: deploys}}",
    );
    let objects = [source, it];
    let seen = Coverage::complete();
    assert_eq!(shown(&ask(TREE, &objects, "plain/a/x.yaml", &seen)), "cannot tell: Artifact");
    let repository = RepositoryAddresses::new([URL, "oci://ghcr.io/acme/manifests/"], None);
    let watch = super::ask_of(&repository, TREE, &objects, "plain/a/x.yaml", &seen);
    assert_eq!(shown(&watch), "apps path Artifact");
    let mut other = RepositoryAddresses::new([URL], None);
    other.others.push(Address::parse("oci://ghcr.io/acme/manifests").unwrap());
    assert_eq!(shown(&super::ask_of(&other, TREE, &objects, "plain/a/x.yaml", &seen)), "nobody: ");
}

#[test]
fn charts_of_releases() {
    let chart = |fields: &str| {
        release(&format!(
            "{{chart: {{spec: {{chart: ./charts/web, sourceRef: {{kind: GitRepository, name: deploys}}, {fields}}}}}}}"
        ))
    };
    let named = release("{chart: {spec: {chart: web, sourceRef: {kind: HelmRepository, name: deploys}}}}");
    let by_ref = release("{chartRef: {kind: HelmChart, name: web}}");
    let helm_chart = object(
        "source.toolkit.fluxcd.io/v1",
        "HelmChart",
        "name: web, namespace: flux-system",
        "spec: {chart: charts/web, sourceRef: {kind: GitRepository, name: deploys}}",
    );
    let cases: &[Case<'_>] = &[
        ("its values", TREE, vec![git_repository(""), chart("")], "charts/web/values.yaml", "web chart charts/web"),
        (
            "named values take their place",
            TREE,
            vec![git_repository(""), chart("valuesFiles: [envs/prod.yaml]")],
            "charts/web/values.yaml",
            "nobody: web not named by charts/web",
        ),
        (
            "named values, from the root",
            TREE,
            vec![git_repository(""), chart("valuesFiles: [envs/prod.yaml]")],
            "envs/prod.yaml",
            "web values",
        ),
        ("of a Helm repository nothing", TREE, vec![git_repository(""), named], "charts/web/values.yaml", "nobody: "),
        (
            "through chartRef",
            TREE,
            vec![git_repository(""), helm_chart, by_ref],
            "charts/web/templates/d.yaml",
            "web chart charts/web",
        ),
    ];
    check(cases);
}

/// The place of the only pin of a file, and what its watchers hold: declared, and what became of it.
fn held(text: &str, objects: &[crate::model::observation::Object]) -> Vec<String> {
    let path = RepoPath::parse("apps/web.yaml").unwrap();
    let pin = scan_file(&path, text.as_bytes()).pins.pop().unwrap();
    let (files, branch) = (files(&[("apps/web.yaml", text)]), BranchName::parse("main").unwrap());
    let repository = RepositoryAddresses::new([URL], None);
    let place = WatchedFile::of(&repository, &branch, files.reach(), &pin);
    let FoundWatchers::By { watchers, .. } = watchers(&place, &WatcherIndex::build(objects, &Coverage::complete()))
    else {
        panic!("nobody watches")
    };
    let one = |held: &super::super::HeldObject| {
        let became: Vec<String> = held.objects.iter().map(ToString::to_string).collect();
        format!("{} -> {}", held.declared, became.join(" "))
    };
    watchers.iter().flat_map(|watcher| watcher.holds.iter().map(one)).collect()
}

#[test]
fn objects_that_hold_the_pin_are_named() {
    let parent = || app(&format!("{{source: {{repoURL: '{URL}', path: apps}}}}"));
    let child = |metadata: &str| object("argoproj.io/v1alpha1", "Application", metadata, "spec: {}");
    let declared = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: shop, namespace: argocd}\n\
                    spec: {source: {kustomize: {images: ['acme/shop:v1']}}}\n";
    let second = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: shop}}\n---\n{declared}");
    for (what, text, objects, expected) in [
        ("not made yet", declared, vec![parent()], "Application argocd/shop -> "),
        (
            "made",
            declared,
            vec![parent(), child("name: shop, namespace: argocd"), child("name: shop, namespace: elsewhere")],
            "Application argocd/shop -> Application argocd/shop",
        ),
        (
            "put elsewhere by its parent",
            declared,
            vec![
                parent(),
                child("name: shop, namespace: argocd"),
                child(
                    "name: shop, namespace: team, annotations: {argocd.argoproj.io/tracking-id: 'web:argoproj.io/Application:team/shop'}",
                ),
            ],
            "Application argocd/shop -> Application team/shop",
        ),
        ("in the second document", &second, vec![parent()], "Application argocd/shop -> "),
        (
            "a release of a Kustomization",
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web}\n\
             spec: {values: {image: {repository: acme/web, tag: v1}}}\n",
            vec![git_repository(""), kustomization("path: ./apps"), release("{}")],
            "HelmRelease web -> HelmRelease flux-system/web",
        ),
        (
            "the Applications of a set",
            "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nmetadata: {name: shops, namespace: argocd}\n\
             spec: {template: {spec: {source: {kustomize: {images: ['acme/shop:v1']}}}}}\n",
            vec![
                parent(),
                object("argoproj.io/v1alpha1", "ApplicationSet", "name: shops, namespace: argocd", "spec: {}"),
                child(
                    "name: shop-eu, namespace: argocd, ownerReferences: [{kind: ApplicationSet, name: shops, uid: u}]",
                ),
                child("name: other, namespace: argocd"),
            ],
            "ApplicationSet argocd/shops -> Application argocd/shop-eu",
        ),
    ] {
        assert_eq!(held(text, &objects), [expected], "{what}");
    }
}
