//! The files of the demo's GitOps repository: three apps in three environments, each declared in a different way.

/// The environments, in promotion order.
pub(super) const ENVIRONMENTS: [&str; 3] = ["dev", "staging", "prod"];

/// Every file of the first commit: path and content.
#[must_use]
pub(super) fn files(registry: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![
        (".landfall/policies.yaml".to_owned(), POLICIES.to_owned()),
        ("README.md".to_owned(), "# deploys\n\nWhat runs where. Landfall writes the image tags.\n".to_owned()),
        ("apps/web/base/deployment.yaml".to_owned(), deployment("web")),
        ("apps/web/base/kustomization.yaml".to_owned(), "resources:\n  - deployment.yaml\n".to_owned()),
    ];
    for environment in ENVIRONMENTS {
        files.push((
            format!("apps/web/overlays/{environment}/kustomization.yaml"),
            kustomization(registry, environment),
        ));
        files.push((format!("apps/api/overlays/{environment}/values.yaml"), values(registry, environment)));
        files.push((format!("apps/worker/overlays/{environment}/cronjob.yaml"), cronjob(registry)));
    }
    files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect()
}

const POLICIES: &str = r#"# What Landfall may do, and where. Later policies win, field by field.
policies:
  - name: everywhere
    paths: ["apps/{app}/overlays/{env}/**"]
    environment: "{env}"
    tags: { semver: ">=0.9.0" }

  - name: dev
    paths: ["apps/*/overlays/dev/**"]
    write: commit                 # dev takes every release at once

  - name: staging
    paths: ["apps/*/overlays/staging/**"]
    write: commit

  - name: prod
    paths: ["apps/*/overlays/prod/**"]
    write: pull-request           # prod asks a person first
    pullRequest: { labels: [release] }
"#;

fn deployment(app: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {app}\nspec:\n  selector:\n    matchLabels: {{ app: {app} }}\n  \
         template:\n    metadata:\n      labels: {{ app: {app} }}\n    spec:\n      containers:\n        - name: {app}\n          image: {app}\n"
    )
}

fn kustomization(registry: &str, environment: &str) -> String {
    format!(
        "resources:\n  - ../../base\n\nnamePrefix: {environment}-\n\nimages:\n  - name: web\n    newName: {registry}/acme/web\n    \
         newTag: 1.2.3            # written by Landfall\n"
    )
}

fn values(registry: &str, environment: &str) -> String {
    let replicas = if environment == "prod" { 3 } else { 1 };
    format!(
        "# Helm values of api in {environment}\nreplicaCount: {replicas}\n\nimage:\n  repository: {registry}/acme/api\n  tag: \"2.0.0\"\n  \
         pullPolicy: IfNotPresent\n"
    )
}

fn cronjob(registry: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: worker\nspec:\n  schedule: '*/10 * * * *'\n  jobTemplate:\n    \
         spec:\n      template:\n        spec:\n          restartPolicy: Never\n          containers:\n          - name: worker\n            \
         image: '{registry}/acme/worker:v0.9.0'\n"
    )
}
