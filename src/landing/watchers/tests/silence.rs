//! What is said when nobody watches, and when that cannot be told.

use super::super::{Coverage, FoundWatchers, KindCoverage, WATCHING};
use super::{app, ask, git_repository, kustomization, object, shown, source};

const FILE: &str = "apps/web/d.yaml";

fn seen(but: &[(&str, KindCoverage)]) -> Coverage {
    let all = WATCHING.iter().map(|kind| {
        let other = but.iter().find(|(name, _)| name == kind);
        (*kind, other.map_or(KindCoverage::Complete, |(_, sight)| sight.clone()))
    });
    Coverage::new(all)
}

#[test]
fn what_is_not_seen_is_never_nobody() {
    let forbidden = || KindCoverage::Partial("not permitted; add `list`".to_owned());
    let missing =
        |kinds: &[&'static str]| kinds.iter().map(|kind| (*kind, KindCoverage::NotInstalled)).collect::<Vec<_>>();
    for (what, coverage, expected) in [
        ("all seen", seen(&[]), "nobody: "),
        ("Applications forbidden", seen(&[("Application", forbidden())]), "cannot tell: Kind"),
        ("sources forbidden", seen(&[("GitRepository", forbidden())]), "cannot tell: Kind"),
        ("Flux alone", seen(&missing(&["Application"])), "nobody: "),
        ("Argo CD alone", seen(&missing(&["Kustomization", "HelmRelease", "GitRepository"])), "nobody: "),
        (
            "nothing installed",
            seen(&missing(&["Application", "Kustomization", "HelmRelease"])),
            "cannot tell: NoController",
        ),
        ("nothing asked for", Coverage::default(), "cannot tell: Kind, Kind, Kind, Kind, Kind, Kind"),
    ] {
        assert_eq!(shown(&ask(&[], &[], FILE, &coverage)), expected, "{what}");
    }
    let FoundWatchers::By { watchers, blind } =
        ask(&[], &[source("path: apps/web")], FILE, &seen(&[("Kustomization", forbidden())]))
    else {
        panic!("it is watched")
    };
    assert_eq!((watchers.len(), blind.len()), (1, 1), "that there may be more is said");
}

#[test]
fn what_cannot_be_read_is_never_nobody() {
    let broken: &[(&str, &str)] = &[("apps/web/kustomization.yaml", "resources: [")];
    let argo = |spec: &str| app(spec);
    for (what, tree, objects, expected) in [
        ("a broken kustomization", broken, vec![source("path: apps/web")], "cannot tell: Unreadable"),
        ("a broken one elsewhere", broken, vec![source("path: apps/api")], "nobody: web elsewhere apps/api"),
        ("a source of the wrong type", &[], vec![argo("{source: [1]}")], "cannot tell: Malformed"),
        (
            "a plugin of the same repository",
            &[],
            vec![source("path: tanka, plugin: {name: tk}")],
            "cannot tell: Plugin",
        ),
    ] {
        assert_eq!(shown(&ask(tree, &objects, FILE, &Coverage::complete())), expected, "{what}");
    }
}

#[test]
fn the_same_repository_by_another_host_is_named() {
    let it = app("{source: {repoURL: 'https://git.internal.example.com/acme/deploys', path: apps/web}}");
    let watch = ask(&[], &[it], FILE, &Coverage::complete());
    assert_eq!(shown(&watch), "nobody: web at https://git.internal.example.com/acme/deploys");
}

#[test]
fn a_declared_object_that_nobody_applies_is_named() {
    let text =
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: web, namespace: argocd}\nspec: {}\n";
    let watch = ask(&[(FILE, text)], &[app("{}")], FILE, &Coverage::complete());
    assert_eq!(shown(&watch), "nobody: web by hand");
}

#[test]
fn near_misses_and_reasons_are_sentences() {
    let pinned =
        app("{source: {repoURL: 'git@github.com:acme/deploys.git', path: apps/web, targetRevision: refs/tags/v1}}");
    let FoundWatchers::Orphan { near } = ask(&[], &[pinned], FILE, &Coverage::complete()) else { panic!("somebody") };
    assert_eq!(
        near[0].to_string(),
        "Application argocd/web has the right path but stays on the tag `v1`; move its revision to deploy the change"
    );
    let objects = [kustomization("path: ./apps")];
    let FoundWatchers::CannotTell { why, .. } = ask(&[], &objects, FILE, &Coverage::complete()) else { panic!("told") };
    assert_eq!(
        why[0].to_string(),
        "Kustomization flux-system/apps takes its files from GitRepository flux-system/deploys, which does not exist or is not visible; create it, or permit reading it"
    );
}

#[test]
fn hostile_text_is_escaped_and_short() {
    let revision = format!("\\u001b[31m{}", "x".repeat(5_000));
    let it = app(&format!(
        "{{source: {{repoURL: 'https://bot:hunter2@github.com/acme/deploys', path: apps/web, targetRevision: \"{revision}\"}}}}"
    ));
    let FoundWatchers::Orphan { near } = ask(&[], &[it], FILE, &Coverage::complete()) else { panic!("somebody") };
    let text = near[0].to_string();
    assert!(text.len() < 500 && !text.contains('\u{1b}') && !text.contains("hunter2"), "{text}");
}

/// What one snapshot costs; the limit is far above what it takes, and far below what a list per question would.
#[test]
fn thousands_of_controllers_are_found_by_key() {
    let named = |n: usize| {
        let spec = format!(
            "spec: {{source: {{repoURL: 'https://github.com/acme/deploys', targetRevision: main, path: apps/a{n}}}}}"
        );
        object("argoproj.io/v1alpha1", "Application", &format!("name: a{n}, namespace: argocd"), &spec)
    };
    let mut objects: Vec<_> = (0..2_000).map(named).collect();
    objects.push(git_repository(""));
    let watch = ask(&[], &objects, "apps/a1234/d.yaml", &Coverage::complete());
    assert_eq!(shown(&watch), "a1234[0] path");
}
