//! What other tools were told, as policies, and what is said of the rest.

use super::*;
use crate::config::parse_policy_files;
use crate::overlay::{FileChange, PinIndex};

use super::super::{PoliciesAt, Surroundings, propose};

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  template:
    spec:
      containers:
        - name: web
          image: IMAGE
";

fn deployment(image: &str) -> String {
    DEPLOYMENT.replace("IMAGE", image)
}

/// What a tool's files become: each policy on a line, then each note.
fn translated(tool: &str, files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(RepoPath, Vec<u8>)> =
        files.iter().map(|(path, text)| (RepoPath::parse(path).unwrap(), text.as_bytes().to_vec())).collect();
    let mut index = PinIndex::new();
    let change = |(path, bytes): &(RepoPath, Vec<u8>)| FileChange::File { path: path.clone(), bytes: bytes.clone() };
    index.update(files.iter().map(change).collect());
    let pins = index.pins(&|_| true).pins;
    let translation = Tool::named(tool).unwrap().translate(&files, &pins);
    // What is proposed with it can be read.
    let around = Surroundings {
        origin: None,
        contexts: Vec::new(),
        policies: PoliciesAt::Repository,
        from: Some(translation.clone()),
    };
    let proposal = propose(&pins, &around);
    let (_, wrong) = parse_policy_files([("p.yaml", proposal.policies.as_str())]);
    assert!(wrong.is_empty(), "{wrong:?}\n{}", proposal.policies);
    let join = |texts: &BTreeSet<String>| texts.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let policies = translation.policies.iter().map(|policy| {
        let fields: Vec<String> = policy.fields.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        format!("{} | {} | {} | {}", policy.name, join(&policy.paths), join(&policy.images), fields.join("; "))
    });
    let notes = translation.notes.iter().filter_map(|note| match &note.fate {
        Fate::Translated(_) => None,
        Fate::Left(reason) => Some(format!("{}:{} {}: {reason}", note.path, note.line, note.what)),
    });
    policies.chain(notes).collect()
}

const FLUX: &str = "\
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: { name: web, namespace: flux-system }
spec:
  image: ghcr.io/acme/web
  secretRef: { name: ghcr }
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: { name: web, namespace: flux-system }
spec:
  imageRepositoryRef: { name: web }
  filterTags: { pattern: '^main-[a-f0-9]+-(?P<ts>[0-9]+)', extract: '$ts' }
  policy: { numerical: { order: asc } }
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: { name: old, namespace: flux-system }
spec:
  imageRepositoryRef: { name: web }
  policy: { semver: { range: '>=1.0.0-0' } }
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: { name: dev, namespace: flux-system }
spec:
  interval: 5m
  git: { checkout: { ref: { branch: main } }, push: { branch: main } }
  update: { path: ./apps/dev, strategy: Setters }
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: { name: prod, namespace: flux-system }
spec:
  git: { checkout: { ref: { branch: main } }, push: { branch: updates } }
  update: { path: ./apps/prod/ }
";

#[test]
fn flux() {
    let marked = |tag: &str, policy: &str| {
        deployment(&format!("ghcr.io/acme/web:{tag} # {{\"$imagepolicy\": \"flux-system:{policy}\"}}"))
    };
    let (dev, prod, gone) = (marked("main-a1-1", "web"), marked("main-a1-1", "web"), marked("main-a1-1", "gone"));
    let files = [
        ("clusters/flux.yaml", FLUX),
        ("apps/dev/web.yaml", &dev),
        ("apps/prod/web.yaml", &prod),
        ("apps/prod/gone.yaml", &gone),
        ("other/web.yaml", &prod),
        ("apps/dev/unmarked.yaml", &deployment("ghcr.io/acme/api:1.0.0")),
    ];
    let tags = r#"tags: { numerical: asc, filter: "^main-[a-f0-9]+-(?P<ts>[0-9]+)", extract: "$ts" }"#;
    assert_eq!(
        translated("flux", &files),
        [
            &format!("flux-flux-system-web | apps/dev/web.yaml | ghcr.io/acme/web | write: commit; {tags}"),
            &format!("flux-flux-system-web-2 | apps/prod/web.yaml | ghcr.io/acme/web | write: pull-request; {tags}"),
            "clusters/flux.yaml:6 ImageRepository web: secretRef: the login is configured under `registries` in landfall.yaml; it may read the same Secret",
            "clusters/flux.yaml:27 ImageUpdateAutomation dev: interval: one `interval` in landfall.yaml holds for all",
            "clusters/flux.yaml:16 ImagePolicy flux-system/old: no marker names it, so that nothing follows it",
            "other/web.yaml:9 marker of web: no ImageUpdateAutomation writes it",
            "apps/prod/gone.yaml:9 marker flux-system:gone: there is no ImagePolicy of this name in the repository",
        ]
    );
}

#[test]
fn annotations_of_argocd_image_updater() {
    let application = "\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: web
  annotations:
    argocd-image-updater.argoproj.io/image-list: web=ghcr.io/acme/web:~1.2, ghcr.io:443/acme/side
    argocd-image-updater.argoproj.io/web.allow-tags: regexp:^1\\.[0-9.]+$
    argocd-image-updater.argoproj.io/web.ignore-tags: latest, '*-rc'
    argocd-image-updater.argoproj.io/web.helm.image-tag: image.tag
    argocd-image-updater.argoproj.io/web.pull-secret: pullsecret:argocd/ghcr
    argocd-image-updater.argoproj.io/update-strategy: newest-build
    argocd-image-updater.argoproj.io/web.update-strategy: semver
    argocd-image-updater.argoproj.io/write-back-method: git:secret:argocd/git
    argocd-image-updater.argoproj.io/git-branch: main:updates-{{ .SHA256 }}
    argocd-image-updater.argoproj.io/what-is-this: x
spec:
  source: { repoURL: https://git.example.com/acme/deploys, path: apps/web/prod }
";
    let web = deployment("ghcr.io/acme/web:1.2.0");
    assert_eq!(
        translated("argocd-image-updater", &[("argocd/web.yaml", application), ("apps/web/prod/web.yaml", &web)]),
        [
            r#"argocd-web-web | apps/web/prod/** argocd/web.yaml | ghcr.io/acme/web | write: pull-request; tags: { semver: "~1.2", filter: "^1\\.[0-9.]+$", ignore: ["latest", "'*-rc'"] }"#,
            "argocd-web-side | apps/web/prod/** argocd/web.yaml | ghcr.io:443/acme/side | write: pull-request; tags: { newestBuild: true }",
            "argocd/web.yaml:6 web: ghcr.io:443/acme/side: the policy selects nothing yet: no file names this image; write its first version by hand",
            "argocd/web.yaml:10 web.pull-secret: the login is configured under `registries` in landfall.yaml; it may read the same Secret",
            "argocd/web.yaml:15 what-is-this: it is not known",
        ]
    );
}

#[test]
fn objects_of_argocd_image_updater() {
    let updater = "\
apiVersion: argocd-image-updater.argoproj.io/v1alpha1
kind: ImageUpdater
metadata: { name: all, namespace: argocd }
spec:
  commonUpdateSettings: { updateStrategy: semver, ignoreTags: ['*-beta'] }
  writeBackConfig: { method: git, gitConfig: { branch: main } }
  applicationRefs:
    - namePattern: 'web-*'
      images:
        - { alias: web, imageName: 'ghcr.io/acme/web:1.x' }
        - { alias: api, imageName: ghcr.io/acme/api, commonUpdateSettings: { updateStrategy: digest } }
    - namePattern: nobody
      images: [{ alias: x, imageName: x/y }]
";
    let application = "apiVersion: argoproj.io/v1alpha1\nkind: ApplicationSet\nspec:\n  template:\n    metadata: { name: 'web-{{name}}' }\n    spec: { source: { path: 'apps/{{name}}/web' } }\n";
    let web = deployment("ghcr.io/acme/web:1.2.0");
    let api = deployment("ghcr.io/acme/api:1");
    assert_eq!(
        translated(
            "argocd-image-updater",
            &[
                ("argocd/set.yaml", application),
                ("argocd/updater.yaml", updater),
                ("apps/dev/web/web.yaml", &web),
                ("apps/dev/web/api.yaml", &api)
            ]
        ),
        [
            r#"argocd-web-web | apps/*/web/** argocd/set.yaml | ghcr.io/acme/web | write: commit; tags: { semver: "1.x", ignore: ["*-beta"] }"#,
            r#"argocd-web-api | apps/*/web/** argocd/set.yaml | ghcr.io/acme/api | write: commit; tags: { digest: true, ignore: ["*-beta"] }"#,
            "argocd/updater.yaml:12 applicationRefs nobody: no Application of this name is in the repository",
        ]
    );
}

#[test]
fn renovate() {
    let config = r#"{
  // What we do.
  "extends": ["config:recommended", ":semanticCommits", "group:monorepos"],
  'labels': ["renovate"],
  kubernetes: { managerFilePatterns: ["/^apps/.+\\.ya?ml$/"] },
  "argocd": { "fileMatch": ["^argocd/"] },
  "ignorePaths": ["apps/old"],
  "ignoreDeps": ["ghcr.io/acme/legacy"], /* until
  it goes */
  "packageRules": [
    { "matchDatasources": ["npm"], "automerge": true },
    { "matchPackageNames": ["postgres"], "allowedVersions": "<16" },
    { "matchPackagePatterns": ["^ghcr\\.io/acme/"], "automerge": true, "minimumReleaseAge": "3 days", "groupName": "ours", "schedule": ["before 4am"] },
    { "description": "No majors", "matchUpdateTypes": ["major"], "enabled": false },
    { "matchPackageNames": ["!ghcr.io/acme/web", "ghcr.io/**"], "matchFileNames": ["apps/prod/**"], "enabled": false },
    { "matchPackageNames": ["/nothing/"], "enabled": false },
  ],
}
"#;
    let files = [
        (".github/renovate.json5", config),
        ("apps/prod/web.yaml", &deployment("ghcr.io/acme/web:1.2.0")),
        ("apps/prod/api.yaml", &deployment("ghcr.io/acme/api:1.2.0")),
        ("apps/old/api.yaml", &deployment("ghcr.io/acme/legacy:1.2.0")),
        ("apps/prod/db.yaml", &deployment("postgres:15.1")),
        ("elsewhere/db.yaml", &deployment("postgres:15.1")),
    ];
    assert_eq!(
        translated("renovate", &files),
        [
            r#"renovate | apps/** |  | write: pull-request; pullRequest: { labels: ["renovate"] }"#,
            r#"renovate-1 | ** | docker.io/library/postgres | tags: { semver: "<16" }"#,
            r#"renovate-2 | ** | ghcr.io/acme/api ghcr.io/acme/legacy ghcr.io/acme/web | pullRequest: { automerge: true, group: "ours" }; minimumReleaseAge: 3d"#,
            "renovate-3 | apps/prod/** | ghcr.io/acme/api ghcr.io/acme/legacy | write: never",
            "renovate-ignored-paths | apps/old/** |  | write: never",
            "renovate-ignored-images | ** | ghcr.io/acme/legacy | write: never",
            ".github/renovate.json5:3 group:monorepos: the preset is not read: translate what it does by hand",
            ".github/renovate.json5:11 packageRules: npm: it is not about container images",
            ".github/renovate.json5:13 schedule: write `windows` with a cron pattern",
            ".github/renovate.json5:14 packageRules: No majors: matchUpdateTypes: policies do not distinguish major from minor updates: give the images a `semver` range",
            ".github/renovate.json5:16 packageRules: /nothing/: it selects no image of this repository",
        ]
    );
}

#[test]
fn odd_files_are_no_panic() {
    for text in [
        "",
        "{",
        "[]",
        "{\"packageRules\": {\"a\": [\"((((\"]}}",
        "{\"packageRules\":[{\"matchPackagePatterns\":[\"((((\"],\"enabled\":false}]}",
        "/* never closed",
        "\"\\",
    ] {
        drop(translated("renovate", &[("renovate.json", text), ("apps/a.yaml", &deployment("a:1"))]));
    }
    for text in [
        "kind: ImagePolicy",
        "kind: ImageUpdateAutomation\nspec: []",
        "kind: List\nitems: [{kind: ImagePolicy}]",
        "a: 1 # {\"$imagepolicy\": \"x\"}",
        "a: 1 # {\"$imagepolicy\": \"",
    ] {
        drop(translated("flux", &[("a.yaml", text)]));
        drop(translated("argocd-image-updater", &[("a.yaml", &text.replace("ImagePolicy", "ImageUpdater"))]));
    }
}
