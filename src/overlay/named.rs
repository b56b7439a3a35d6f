//! Which files are named as Helm values by other files.
//!
//! The results are patterns over paths from the repository's root: a plain path, or a glob if there was a template. A
//! path may be relative to more than one folder. All interpretations are returned, because naming a file too many does
//! no harm: it only decides whether a file that holds images is read.

use super::collector::Collector;
use super::kinds::{is_helmfile, sources};
use super::tree::Id;

/// Maximum length of a path, which may stand in many places through an alias, and of the folder that it is relative to.
const MAX_TEXT: usize = 1_000;
/// Maximum number of names of one file.
const MAX_NAMES: usize = 10_000;

impl Collector<'_, '_> {
    /// Values files named by a document.
    pub(super) fn named_values(&self, root: Id, into: &mut Vec<String>) {
        let tree = self.tree;
        let kind = tree.text_at(root, "kind").unwrap_or("");
        match kind {
            "Application" => {
                if let Some(spec) = tree.get(root, "spec") {
                    self.named_by_application(spec, into);
                }
            }
            "ApplicationSet" => {
                for id in root..tree.node(root).last {
                    if tree.key(id) == Some("template")
                        && let Some(spec) = tree.get(id, "spec")
                    {
                        self.named_by_application(spec, into);
                    }
                }
            }
            "HelmRelease" => {
                for keys in [&["spec", "chart", "spec", "valuesFiles"][..], &["spec", "valuesFiles"]] {
                    self.files(tree.at(root, keys), "", into);
                }
                let one = tree.at(root, &["spec", "chart", "spec", "valuesFile"]);
                self.file(one, "", into);
            }
            _ if is_helmfile(self, root) => self.named_by_helmfile(root, into),
            _ => self.named_by_kustomization(root, into),
        }
    }

    fn named_by_application(&self, spec: Id, into: &mut Vec<String>) {
        for source in sources(self.tree, spec) {
            let folder = self.tree.text_at(source, "path").unwrap_or("");
            let files = self.tree.at(source, &["helm", "valueFiles"]);
            self.files(files, folder, into);
        }
    }

    /// `releases[].values` and `environments.*.values` of a helmfile, if they are files.
    fn named_by_helmfile(&self, root: Id, into: &mut Vec<String>) {
        let tree = self.tree;
        let releases = tree.get(root, "releases").map_or(&[][..], |releases| tree.items(releases));
        let environments: Option<Vec<Id>> =
            tree.get(root, "environments").map(|id| tree.entries(id).map(|(_, value)| value).collect());
        for holder in releases.iter().copied().chain(environments.unwrap_or_default()) {
            self.files(tree.get(holder, "values"), self.path.parent(), into);
        }
    }

    fn named_by_kustomization(&self, root: Id, into: &mut Vec<String>) {
        self.named_by_generators(root, into);
        let charts = self.tree.get(root, "helmCharts").map_or(&[][..], |charts| self.tree.items(charts));
        for chart in charts {
            self.file(self.tree.get(*chart, "valuesFile"), self.path.parent(), into);
            self.files(self.tree.get(*chart, "additionalValuesFiles"), self.path.parent(), into);
        }
    }

    /// Files in a ConfigMap or Secret under a values key, as `valuesFrom` of a HelmRelease expects them:
    /// `configMapGenerator[].files: [values.yaml=prod.yaml]`.
    fn named_by_generators(&self, root: Id, into: &mut Vec<String>) {
        let tree = self.tree;
        let generators = ["configMapGenerator", "secretGenerator"].into_iter().filter_map(|key| tree.get(root, key));
        for generator in generators.flat_map(|list| tree.items(list)) {
            let files = tree.get(*generator, "files").map_or(&[][..], |files| tree.items(files));
            for scalar in files.iter().filter_map(|file| tree.scalar(tree.target(*file))) {
                let text = scalar.value.as_ref();
                if text.len() > MAX_TEXT || into.len() >= MAX_NAMES {
                    continue;
                }
                let (key, file) = text.split_once('=').unwrap_or((text.rsplit('/').next().unwrap_or(text), text));
                if key.starts_with("values") || key.contains("values.y") {
                    into.extend(resolve(self.path.parent(), file));
                }
            }
        }
    }

    fn files(&self, list: Option<Id>, folder: &str, into: &mut Vec<String>) {
        for item in list.map_or(&[][..], |list| self.tree.items(list)) {
            self.file(Some(*item), folder, into);
        }
    }

    fn file(&self, node: Option<Id>, folder: &str, into: &mut Vec<String>) {
        let Some(scalar) = node.and_then(|node| self.tree.scalar(self.tree.target(node))) else { return };
        let text = scalar.value.as_ref();
        if text.len() > MAX_TEXT || folder.len() > MAX_TEXT || text.contains("://") || into.len() >= MAX_NAMES {
            return;
        }
        // Argo CD: `$ref/path` starts at the root of the source with that `ref`, `/path` at the repository's root.
        let from_root = text.strip_prefix('/').or_else(|| {
            let named = text.strip_prefix('$').filter(|rest| !rest.starts_with('{'))?;
            named.split_once('/').map(|(_, path)| path)
        });
        match from_root {
            Some(path) => into.extend(resolve("", path)),
            None => into.extend([folder, self.path.parent(), ""].iter().filter_map(|folder| resolve(folder, text))),
        }
    }
}

/// The path of `file` in `folder`, with `.` and `..` resolved and templates turned into `*`; `None` if it leaves the
/// root.
fn resolve(folder: &str, file: &str) -> Option<String> {
    let joined = untemplated(&format!("{folder}/{file}"));
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// `values-{{ .env }}.yaml` becomes `values-*.yaml`.
fn untemplated(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        plain.push_str(before);
        plain.push('*');
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn paths_are_resolved() {
        for (folder, file, path) in [
            ("charts/web", "values-prod.yaml", Some("charts/web/values-prod.yaml")),
            ("charts/web", "../../env/./prod.yaml", Some("env/prod.yaml")),
            ("charts/web", "../../../etc/x.yaml", None),
            ("", "values-{{env}}.yaml", Some("values-*.yaml")),
            ("{{ .path }}", "values.yaml", Some("*/values.yaml")),
            (".", ".", None),
        ] {
            assert_eq!(resolve(folder, file).as_deref(), path, "{folder} {file}");
        }
    }
}
