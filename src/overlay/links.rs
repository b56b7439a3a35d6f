//! What a file refers to and declares: the lists of a kustomization, a chart's dependencies, objects that hold pins of
//! their own.
//!
//! Sources: the fields of `kustomize.config.k8s.io` (kustomize: `api/types/kustomization.go`), `dependencies` of a
//! `Chart.yaml` (Helm: a `file://` repository is a folder beside the chart).

use super::collector::Collector;
use super::kinds::is_kustomization_file;
use super::tree::Id;
use crate::model::observation::{ObjectKey, group_of};

/// Maximum number of links, and of remembered objects, of one file.
const MAX_LINKS: usize = 20_000;
const MAX_DECLARED: usize = 2_000;
/// Longer than any path that Git or a file system accepts.
const MAX_TEXT: usize = 1_000;

/// Links of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    /// What a kustomization or a chart is built from, as paths from the repository's root.
    pub links: Vec<Link>,
    /// Addresses outside the repository that it is built from; these are not followed.
    pub remote: Vec<String>,
    /// Objects that may hold pins in their own specification.
    pub declares: Vec<Declares>,
    /// The namespace that a kustomization sets.
    pub namespace: Option<String>,
}

/// One reference to a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The file or folder; empty for the repository's root.
    pub to: String,
    /// Where it is written.
    pub field: LinkField,
}

/// The field of a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are those of the fields")]
pub enum LinkField {
    Resources,
    Bases,
    Components,
    Crds,
    Patches,
    Replacements,
    Configurations,
    Generators,
    Transformers,
    Validators,
    ConfigMapGenerator,
    SecretGenerator,
    OpenApi,
    /// `helmCharts[].valuesFile` and `additionalValuesFiles`.
    HelmValues,
    /// A chart in the repository that `helmCharts` inflates.
    HelmChart,
    /// `dependencies[].repository: file://…` of a `Chart.yaml`.
    ChartDependency,
}

impl LinkField {
    /// The field's name in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resources => "resources",
            Self::Bases => "bases",
            Self::Components => "components",
            Self::Crds => "crds",
            Self::Patches => "patches",
            Self::Replacements => "replacements",
            Self::Configurations => "configurations",
            Self::Generators => "generators",
            Self::Transformers => "transformers",
            Self::Validators => "validators",
            Self::ConfigMapGenerator => "configMapGenerator",
            Self::SecretGenerator => "secretGenerator",
            Self::OpenApi => "openapi",
            Self::HelmValues => "helmCharts.valuesFile",
            Self::HelmChart => "helmCharts",
            Self::ChartDependency => "dependencies",
        }
    }
}

/// An object in a file whose own specification may hold pins: Application, ApplicationSet, HelmRelease, or a Flux
/// Kustomization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declares {
    /// The document of the file, from 0.
    pub document: usize,
    /// The object; its namespace is empty if the file does not set it.
    pub object: ObjectKey,
}

/// Lists whose items are paths of files or folders.
const LISTS: [(&str, LinkField); 8] = [
    ("resources", LinkField::Resources),
    ("bases", LinkField::Bases),
    ("components", LinkField::Components),
    ("crds", LinkField::Crds),
    ("configurations", LinkField::Configurations),
    ("generators", LinkField::Generators),
    ("transformers", LinkField::Transformers),
    ("validators", LinkField::Validators),
];

impl Collector<'_, '_> {
    /// The links of one document.
    pub(super) fn links(&self, number: usize, root: Id, into: &mut Links) {
        if is_kustomization_file(self.path.file_name()) {
            self.kustomization_links(root, into);
        } else if self.path.file_name() == "Chart.yaml" {
            for dependency in self.list(root, "dependencies") {
                let repository = self.tree.text_at(*dependency, "repository").unwrap_or("");
                if let Some(folder) = repository.strip_prefix("file://") {
                    self.link(Some(folder), LinkField::ChartDependency, into);
                }
            }
        } else {
            self.declared(number, root, into);
        }
    }

    fn list(&self, root: Id, key: &str) -> &[Id] {
        self.tree.read(root, key).map_or(&[], |list| self.tree.items(list))
    }

    fn text(&self, node: Id) -> Option<&str> {
        self.tree.scalar(self.tree.target(node)).map(|scalar| scalar.value.as_ref())
    }

    fn kustomization_links(&self, root: Id, into: &mut Links) {
        let namespace = self.tree.text_at(root, "namespace").filter(|it| !it.is_empty() && it.len() <= MAX_TEXT);
        into.namespace = into.namespace.take().or_else(|| namespace.map(str::to_owned));
        for (key, field) in LISTS {
            for item in self.list(root, key) {
                self.link(self.text(*item), field, into);
            }
        }
        for key in ["patches", "patchesJson6902", "patchesStrategicMerge"] {
            for item in self.list(root, key) {
                // An item of `patchesStrategicMerge` is a file or the patch itself.
                let plain = self.text(*item).filter(|text| !text.contains('\n') && !text.contains(": "));
                self.link(self.tree.text_at(*item, "path").or(plain), LinkField::Patches, into);
            }
        }
        for item in self.list(root, "replacements") {
            self.link(self.tree.text_at(*item, "path"), LinkField::Replacements, into);
        }
        if let Some(open_api) = self.tree.read(root, "openapi") {
            self.link(self.tree.text_at(open_api, "path"), LinkField::OpenApi, into);
        }
        for (key, field) in
            [("configMapGenerator", LinkField::ConfigMapGenerator), ("secretGenerator", LinkField::SecretGenerator)]
        {
            for generator in self.list(root, key) {
                self.generator_links(*generator, field, into);
            }
        }
        self.helm_links(root, into);
    }

    fn generator_links(&self, generator: Id, field: LinkField, into: &mut Links) {
        for item in self.list(generator, "files") {
            // `key=file`, or only the file.
            let file = self.text(*item).map(|text| text.split_once('=').map_or(text, |(_, file)| file));
            self.link(file, field, into);
        }
        for item in self.list(generator, "envs") {
            self.link(self.text(*item), field, into);
        }
        self.link(self.tree.text_at(generator, "env"), field, into);
    }

    fn helm_links(&self, root: Id, into: &mut Links) {
        let globals = self.tree.read(root, "helmGlobals");
        let home = globals.and_then(|globals| self.tree.text_at(globals, "chartHome")).unwrap_or("charts");
        for chart in self.list(root, "helmCharts") {
            self.link(self.tree.text_at(*chart, "valuesFile"), LinkField::HelmValues, into);
            for file in self.list(*chart, "additionalValuesFiles") {
                self.link(self.text(*file), LinkField::HelmValues, into);
            }
            if let Some(name) = self.tree.text_at(*chart, "name") {
                self.link(Some(&format!("{home}/{name}")), LinkField::HelmChart, into);
            }
        }
    }

    fn link(&self, text: Option<&str>, field: LinkField, into: &mut Links) {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty() && text.len() <= MAX_TEXT) else { return };
        if into.links.len() + into.remote.len() >= MAX_LINKS {
            return;
        }
        if is_remote(text) {
            into.remote.push(text.to_owned());
        } else if let Some(to) = join(self.path.parent(), text) {
            into.links.push(Link { to, field });
        }
    }

    fn declared(&self, number: usize, root: Id, into: &mut Links) {
        let tree = self.tree;
        let kind = tree.text_at(root, "kind").unwrap_or("");
        for item in self.list(root, "items").iter().filter(|_| kind.ends_with("List")) {
            self.declared_one(number, *item, into);
        }
        self.declared_one(number, root, into);
    }

    fn declared_one(&self, number: usize, root: Id, into: &mut Links) {
        let tree = self.tree;
        let group = group_of(tree.text_at(root, "apiVersion").unwrap_or(""));
        let kind = tree.text_at(root, "kind").unwrap_or("");
        let wanted = matches!(
            (group, kind),
            ("argoproj.io", "Application" | "ApplicationSet")
                | ("helm.toolkit.fluxcd.io", "HelmRelease")
                | ("source.toolkit.fluxcd.io", "OCIRepository" | "HelmChart")
                | ("pkg.crossplane.io", "Provider" | "Function" | "Configuration")
                | ("kustomize.toolkit.fluxcd.io", "Kustomization")
        );
        let Some(metadata) = tree.read(root, "metadata").filter(|_| wanted) else { return };
        if let Some(name) = tree.text_at(metadata, "name")
            && name.len() <= MAX_TEXT
            && into.declares.len() < MAX_DECLARED
        {
            let namespace = tree.text_at(metadata, "namespace").filter(|namespace| namespace.len() <= MAX_TEXT);
            let object = ObjectKey::new(group, kind, namespace, name);
            into.declares.push(Declares { document: number, object });
        }
    }
}

/// Whether kustomize would fetch it: it has a scheme, the scp form, or the `//` and `?ref=` of kustomize's own
/// addresses.
fn is_remote(text: &str) -> bool {
    let first = text.split('/').next().unwrap_or(text);
    text.contains("://")
        || text.starts_with("git::")
        || text.contains("?ref=")
        || text.get(1..).is_some_and(|rest| rest.contains("//") && !text.starts_with('.'))
        || first.contains('@') && first.contains(':')
}

/// The path `to` relative to a folder, with `.` and `..` resolved; `None` if it is absolute or leaves the repository.
pub(super) fn join(folder: &str, to: &str) -> Option<String> {
    if to.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
