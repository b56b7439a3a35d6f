//! Layouts of repositories as they are found, and what is proposed for them.

use std::fmt::Write as _;
use std::time::Instant;

use super::*;
use crate::config::{self, parse_policy_files};
use crate::model::{Pin, RepoPath};
use crate::overlay::{FileChange, PinIndex};

fn deployment(image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: a }}\nspec:\n  template:\n    spec:\n      containers:\n        - {{ name: a, image: \"{image}\" }}\n"
    )
}

fn pins(paths: &[&str], image: &str) -> Vec<Pin> {
    let mut index = PinIndex::new();
    let file =
        |path: &&str| FileChange::File { path: RepoPath::parse(path).unwrap(), bytes: deployment(image).into_bytes() };
    index.update(paths.iter().map(file).collect());
    let found = index.pins(&|_| true).pins;
    assert_eq!(found.len(), paths.len(), "{paths:?}");
    found
}

fn layout(paths: &[&str]) -> Vec<String> {
    let layout = Layout::of(&pins(paths, "ghcr.io/acme/web:1.0.0"));
    let mut rows: Vec<String> = layout
        .environments
        .iter()
        .flat_map(|environment| environment.patterns.iter().map(|pattern| format!("{} {pattern}", environment.name)))
        .collect();
    if layout.rest > 0 {
        rows.push(format!("rest {}", layout.rest));
    }
    rows
}

#[test]
fn environments_are_found_where_people_put_them() {
    for (paths, wanted) in [
        // Overlays below apps, with a base.
        (
            &[
                "apps/web/overlays/dev/a.yaml",
                "apps/web/overlays/prod/a.yaml",
                "apps/api/overlays/prod/a.yaml",
                "apps/web/base/a.yaml",
            ][..],
            &["dev apps/{app}/overlays/dev/**", "prod apps/{app}/overlays/prod/**", "rest 1"][..],
        ),
        // One app only: it is the folder in a folder of apps.
        (&["apps/web/overlays/prod/a.yaml"], &["prod apps/{app}/overlays/prod/**"]),
        // Clusters above apps.
        (
            &["clusters/staging/web/a.yaml", "clusters/production/web/a.yaml", "clusters/production/api/a.yaml"],
            &["staging clusters/staging/{app}/**", "production clusters/production/{app}/**"],
        ),
        (&["clusters/prod-eu/apps/web/a.yaml"], &["prod-eu clusters/prod-eu/*/{app}/**"]),
        // Environments at the root, with files of their own.
        (&["dev/web.yaml", "prod/web.yaml"], &["dev dev/**", "prod prod/**"]),
        // Values files.
        (
            &[
                "charts/web/values-dev.yaml",
                "charts/web/values-prod.yaml",
                "charts/api/values-prod.yaml",
                "charts/web/values.yaml",
            ],
            &["dev charts/{app}/values-dev.yaml", "prod charts/{app}/values-prod.yaml", "rest 1"],
        ),
        (&["apps/team/web/prod.yaml", "apps/team/api/prod.yaml"], &["prod apps/team/{app}/prod.yaml"]),
        // Tests are not an environment; a folder `test` beside `prod` is.
        (&["test/e2e/a.yaml", "apps/web/prod/a.yaml"], &["prod apps/{app}/prod/**", "rest 1"]),
        (&["apps/web/test/a.yaml", "apps/web/prod/a.yaml"], &["test apps/{app}/test/**", "prod apps/{app}/prod/**"]),
        // No environment at all.
        (&["kubernetes/apps/default/web/app/a.yaml", "kubernetes/apps/media/plex/app/a.yaml"], &["rest 2"]),
        // Names that mean something in a pattern.
        (&["apps/{web}/prod/a.yaml"], &["prod apps/{app}/prod/**"]),
        (&["x[1]/y/prod/a.yaml"], &["prod */y/prod/**"]),
    ] {
        assert_eq!(layout(paths), wanted, "{paths:?}");
    }
}

#[test]
fn many_apps_take_no_more_than_their_share() {
    let one = pins(&["a.yaml"], "ghcr.io/acme/web:1.0.0").remove(0);
    let time = |count: usize| {
        let path = |app: usize| RepoPath::parse(&format!("apps/a{app}/overlays/prod/a.yaml")).unwrap();
        let pins: Vec<Pin> = (0..count).map(|app| Pin { path: path(app), ..one.clone() }).collect();
        let start = Instant::now();
        assert_eq!(Layout::of(&pins).environments.len(), 1);
        start.elapsed()
    };
    // Sixteen times as many take sixteen times as long, not 256 times.
    let few = (0..3).map(|_| time(1_000)).max().unwrap();
    assert!(time(16_000) < few * 100, "1,000 took {few:?}");
}

fn proposal(paths: &[&str], image: &str, url: Option<&str>) -> Proposal {
    let origin = url.map(|url| Origin::parse(url, Some("main".to_owned())));
    let contexts = vec!["arn:aws:eks:eu-1:1:cluster/prod".to_owned(), "x\n  - evil".to_owned()];
    propose(&pins(paths, image), &Surroundings { origin, contexts, policies: PoliciesAt::Checkout, from: None })
}

/// Loads both files as the bot does.
fn loads(proposal: &Proposal) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("landfall.yaml");
    std::fs::write(&path, &proposal.config).unwrap();
    let loaded = config::load(&path).unwrap_or_else(|error| panic!("{}\n{}", error.render(false), proposal.config));
    assert_eq!(loaded.diagnostics, [], "{}", proposal.config);
    let (policies, diagnostics) = parse_policy_files([("policies.yaml", proposal.policies.as_str())]);
    assert!(diagnostics.is_empty() && !policies.is_empty(), "{diagnostics:?}\n{}", proposal.policies);
}

#[test]
fn what_is_proposed_loads_for_every_remote_and_name() {
    let paths = ["apps/a \"b\" #c/overlays/prod-eu/a.yaml", "apps/'{x}'/overlays/dev/a.yaml", "apps/web/base/a.yaml"];
    for url in [
        None,
        Some("https://github.com/acme/deploys.git"),
        Some("https://bot:hunter2@github.com/acme/deploys"),
        Some("git@github.com:acme/deploys.git"),
        Some("https://gitlab.com/acme/platform/deploys.git"),
        Some("ssh://git@gitlab.example.com:2222/acme/deploys.git"),
        Some("https://gitea.example.com:3000/acme/deploys"),
        Some("ssh://git@git.example.com:2222/acme/..deploys"),
        Some("https://bot@bitbucket.org/acme/deploys.git"),
        Some("https://bitbucket.example.com/scm/ops/deploys.git"),
        Some("https://acme@dev.azure.com/acme/Ops/_git/deploys"),
        Some("git@ssh.dev.azure.com:v3/acme/Ops/deploys"),
        Some("https://dev.azure.com/acme/My%20Ops/_git/deploys"),
        Some("/srv/git/deploys.git"),
        Some("../deploys"),
    ] {
        for image in [
            "ghcr.io/acme/web:1.0.0",
            "1.dkr.ecr.eu-1.amazonaws.com/web:1.0.0",
            "localhost:5000/web:1.0.0",
            "eu-docker.pkg.dev/a/b/web:1",
            "r.example.com/postgres:14.2.1",
            "postgres:14-alpine",
        ] {
            let proposal = proposal(&paths, image, url);
            if url != Some("../deploys") {
                loads(&proposal);
            }
            assert!(!proposal.config.contains("hunter2"), "{}", proposal.config);
        }
    }
}

#[test]
fn no_secret_of_an_address_is_written_down() {
    for (address, url, repository) in [
        ("HTTPS://bot:hunter2@github.com/acme/deploys.git", "https://github.com/acme/deploys.git", "acme/deploys"),
        ("https://bot:p@hunter2@git.example.com/a/b", "https://git.example.com/a/b", "a/b"),
        ("https://hunter2@gitlab.com/a/b.git", "https://gitlab.com/a/b.git", "a/b"),
        ("https://gitlab.com/a/b.git?private_token=hunter2", "https://gitlab.com/a/b.git", "a/b"),
        ("ssh://git:hunter2@git.example.com:2222/a/b.git", "ssh://git@git.example.com:2222/a/b.git", "a/b"),
        ("ssh://git@git.example.com/a/b@c", "ssh://git@git.example.com/a/b@c", "a/b@c"),
        ("git@github.com:acme/deploys.git", "git@github.com:acme/deploys.git", "acme/deploys"),
        ("/srv/git@home/a/b.git", "/srv/git@home/a/b.git", ""),
    ] {
        let origin = Origin::parse(address, None);
        assert_eq!(origin.url, url);
        assert!(repository.is_empty() || origin.repository == repository, "{address}: {}", origin.repository);
    }
}

#[test]
fn production_is_capped_and_nothing_but_what_is_tried_out_is_committed() {
    let paths = [
        "apps/web/overlays/dev/a.yaml",
        "apps/web/overlays/staging/a.yaml",
        "apps/web/overlays/prod/a.yaml",
        "apps/web/base/a.yaml",
    ];
    let proposal = proposal(&paths, "ghcr.io/acme/web:1.0.0", Some("https://github.com/acme/deploys"));
    assert!(
        proposal.config.contains("- paths: [\"apps/{app}/overlays/prod/**\"]\n        write: [pull-request, never]")
    );
    assert!(
        proposal.config.contains("forge: { kind: github, repository: \"acme/deploys\", token: { env: GITHUB_TOKEN } }")
    );
    let writes: Vec<&str> =
        proposal.policies.lines().filter(|line| line.trim().starts_with("write:")).map(str::trim).collect();
    assert_eq!(writes, ["write: pull-request", "write: commit", "write: pull-request", "write: pull-request"]);
    assert!(proposal.policies.contains("# promoteFrom: { environment: \"staging\", soakTime: 1d }"));
}

#[test]
fn a_database_stays_in_its_major_or_is_left_alone() {
    for (image, wanted) in [
        ("postgres:14.2.1", "tags: { semver: \"^14\" }"),
        ("postgres:14-alpine", "write: never"),
        ("quay.io/acme/mysql:v8.0.1", "tags: { semver: \"^8\" }"),
    ] {
        let proposal = proposal(&["a.yaml"], image, None);
        assert!(proposal.policies.contains(wanted), "{image}: {}", proposal.policies);
    }
}

#[test]
fn what_runs_nowhere_is_left_alone() {
    let paths = [
        "clusters/main/flux-system/gotk-components.yaml",
        "examples/web/a.yaml",
        "apps/web/prod/a.yaml",
        "apps/web/test/a.yaml",
    ];
    let ignore = proposal(&paths, "ghcr.io/acme/web:1.0.0", None).ignore.unwrap();
    let mut rules = String::new();
    ignore.lines().filter(|line| !line.starts_with('#')).for_each(|line| writeln!(rules, "{line}").unwrap());
    assert_eq!(rules, "gotk-components.yaml\nexamples/\n");
    assert_eq!(proposal(&["apps/web/prod/a.yaml"], "ghcr.io/acme/web:1.0.0", None).ignore, None);
}

#[test]
fn the_forge_is_known_by_its_address() {
    for (address, forge) in [
        (
            "https://bot@bitbucket.org/acme/deploys.git",
            Some("{ kind: bitbucket, repository: \"acme/deploys\", token: { env: BITBUCKET_TOKEN } }"),
        ),
        (
            "https://bitbucket.example.com/scm/ops/deploys.git",
            Some(
                "{ kind: bitbucket-dc, url: \"https://bitbucket.example.com\", repository: \"ops/deploys\", token: { env: BITBUCKET_TOKEN } }",
            ),
        ),
        (
            "ssh://git@bitbucket.example.com:7999/ops/deploys.git",
            Some(
                "{ kind: bitbucket-dc, url: \"https://bitbucket.example.com\", repository: \"ops/deploys\", token: { env: BITBUCKET_TOKEN } }",
            ),
        ),
        (
            "https://acme@dev.azure.com/acme/Ops/_git/deploys",
            Some(
                "{ kind: azure-devops, url: \"https://dev.azure.com/acme\", repository: \"Ops/deploys\", token: { env: AZURE_DEVOPS_TOKEN } }",
            ),
        ),
        (
            "https://dev.azure.com/acme/_git/deploys",
            Some(
                "{ kind: azure-devops, url: \"https://dev.azure.com/acme\", repository: \"deploys/deploys\", token: { env: AZURE_DEVOPS_TOKEN } }",
            ),
        ),
        (
            "git@ssh.dev.azure.com:v3/acme/Ops/deploys",
            Some(
                "{ kind: azure-devops, url: \"https://dev.azure.com/acme\", repository: \"Ops/deploys\", token: { env: AZURE_DEVOPS_TOKEN } }",
            ),
        ),
        ("https://dev.azure.com/acme/My%20Ops/_git/deploys", None),
    ] {
        let origin = Origin::parse(address, None);
        assert_eq!(origin.host.forge(&origin.repository).as_deref(), forge, "{address}");
    }
}
