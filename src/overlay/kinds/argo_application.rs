//! Argo CD `Application` and `ApplicationSet`: Helm and Kustomize settings of their sources, and the files
//! `.argocd-source.yaml` and `.argocd-source-APP.yaml` in a source's folder.
//!
//! Sources are at `spec.source`, in `spec.sources`, and in an ApplicationSet below any `template`. Helm values are
//! given as a mapping (`valuesObject`), as text (`values`, YAML in a block scalar) and as `parameters`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use granit_parser::ScalarStyle;

use super::helm_values::ends_in_image;
use super::{Claim, Document, Form, Recognizer, nothing_more};
use crate::model::{MissingKeys, PinKind, PinRole, SkipReason};
use crate::overlay::collector::{Collector, Draft, Frame, MAX_PLACES, Parts, ReferenceForm, Skip, is_empty};
use crate::overlay::literal::Literal;
use crate::overlay::tree::{self, Id, Spelling, is_same_in_any_case};

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind {
        name: "argo-application",
        summary: "Helm or Kustomize settings in an Argo CD Application, ApplicationSet or .argocd-source file",
        role: PinRole::Input,
    },
    document,
    file: nothing_more,
};

fn document(collector: &mut Collector<'_, '_>, document: &Document<'_>) -> Claim {
    match (document.form, document.group, document.kind) {
        (Form::Object, "argoproj.io", "Application") => collector.application(document.root),
        (Form::Object, "argoproj.io", "ApplicationSet") => collector.application_set(document.root),
        (Form::Mapping, ..) if is_source_file(collector.path.file_name()) => collector.source(document.root),
        _ => return Claim::Passed,
    }
    Claim::Taken
}

/// Whether a file overrides parameters of an Application's source (Argo CD: `.argocd-source[-<app>].yaml`).
pub(super) fn is_source_file(name: &str) -> bool {
    name.starts_with(".argocd-source") && (name.ends_with(".yaml") || name.ends_with(".yml"))
}

/// One helm parameter's value by its last component: `image.tag` is (`image`, `tag`).
type Parameters<'t> = BTreeMap<&'t str, BTreeMap<&'t str, Id>>;

impl Collector<'_, '_> {
    /// An Argo CD Application.
    pub(super) fn application(&mut self, root: Id) {
        if let Some(spec) = self.tree.get(root, "spec") {
            self.application_spec(spec);
        }
    }

    /// An Argo CD ApplicationSet: every `template` in it, including those of generators.
    pub(super) fn application_set(&mut self, root: Id) {
        let tree = self.tree;
        for id in root..tree.node(root).last {
            if tree.key(id) == Some("template")
                && let Some(spec) = tree.get(id, "spec")
            {
                self.application_spec(spec);
            }
        }
        let patch = tree.at(root, &["spec", "templatePatch"]);
        if let Some(patch) = patch
            && tree.scalar(patch).is_some_and(|scalar| scalar.value.contains("image"))
        {
            self.skip(patch, SkipReason::TemplatePatch);
        }
    }

    fn application_spec(&mut self, spec: Id) {
        for source in sources(self.tree, spec) {
            self.source(source);
        }
    }

    fn source(&mut self, source: Id) {
        self.argo_chart(source);
        if let Some(images) = self.tree.at(source, &["kustomize", "images"]) {
            for image in self.tree.items(images) {
                self.reference(KIND.kind, *image, ReferenceForm::Aliased);
            }
        }
        if let Some(helm) = self.tree.get(source, "helm") {
            self.helm(helm);
        }
    }

    fn helm(&mut self, helm: Id) {
        let tree = self.tree;
        if let Some(values) = tree.get(helm, "valuesObject") {
            self.helm_values(KIND.kind, values);
        }
        if let Some(values) = tree.get(helm, "values") {
            self.values_text(KIND.kind, values);
        }
        if let Some(parameters) = tree.get(helm, "parameters") {
            self.parameters(KIND.kind, parameters);
        }
    }

    /// Values as text. Only in a literal block scalar does each byte correspond to a byte of the file.
    pub(super) fn values_text(&mut self, kind: PinKind, node: Id) {
        let tree = self.tree;
        self.seen.insert(node);
        let Some(scalar) = tree.scalar(tree.target(node)) else { return };
        // In whatever case: charts have `Image` and `imageTag`, too.
        let lower = scalar.value.to_ascii_lowercase();
        if !["image", "tag", "repository"].iter().any(|word| lower.contains(word)) {
            return; // It cannot contain a pin.
        }
        if scalar.style != ScalarStyle::Literal || tree.scalar(node).is_none() || tree.lock_of(node).is_some() {
            self.skip(node, SkipReason::ValuesText);
            return;
        }
        let range: Range<usize> = tree.node(node).start as usize..tree.node(node).end as usize;
        let Some(literal) = Literal::new(tree.text, &range, &scalar.value) else {
            self.skip(node, SkipReason::ValuesTextIndent);
            return;
        };
        match tree::parse(&literal.text, "\0") {
            Ok(inner) => self.values_within(kind, node, (&literal, &inner)),
            Err(error) => {
                let line = self.line(node) + error.line - 1;
                self.skip(node, SkipReason::ValuesTextNotYaml { reason: error.reason, line });
            }
        }
    }

    fn values_within(&mut self, kind: PinKind, node: Id, (literal, inner): (&Literal, &tree::Tree<'_>)) {
        let key = match self.key(node) {
            Ok(key) => key,
            Err(reason) => return self.skip(node, reason),
        };
        let document = self.tree.document_of(node);
        let frame = Frame::Literal { literal, line: self.line(node), key: &key, document };
        let mut within = Collector::new(self.path, inner, frame);
        // Helm reads only the first document.
        if let Some(root) = inner.roots.first() {
            within.helm_values(kind, *root);
        }
        self.kept += within.kept;
        self.overflow |= within.overflow || self.kept > MAX_PLACES;
        // Nodes of the inner tree have no meaning in this one.
        self.skips.extend(within.skips.into_iter().map(|skip| Skip { node: None, ..skip }));
        let drafts = within.drafts.into_iter();
        self.drafts.extend(drafts.map(|draft| Draft { reference: None, tag: None, digest: None, ..draft }));
    }

    /// `helm.parameters`: `image.repository` and `image.tag` as pairs, `image` as a full reference.
    pub(super) fn parameters(&mut self, kind: PinKind, list: Id) {
        let tree = self.tree;
        let mut blocks: Parameters<'_> = BTreeMap::new();
        let mut unclear: BTreeSet<&str> = BTreeSet::new();
        for parameter in tree.items(list) {
            let (Some(name), Some(value)) = (tree.text_at(*parameter, "name"), tree.get(*parameter, "value")) else {
                continue;
            };
            if let Some(reason) = self.unclear(*parameter, &["name", "value"], Spelling::Exact) {
                self.skip(value, reason);
                unclear.extend(names_in(tree, *parameter).map(|name| name.rsplit_once('.').map_or("", |(block, _)| block)));
                continue;
            }
            let (block, last) = name.rsplit_once('.').unwrap_or(("", name));
            // Image Updater's `image.name` is a repository; in other blocks, a name may be anything.
            let last = if last == "name" && ends_in_image(block) { "repository" } else { last };
            if matches!(last, "registry" | "repository" | "tag" | "digest") {
                if blocks.entry(block).or_default().insert(last, value).is_some() {
                    self.skip(value, SkipReason::ParameterTwice { name: name.escape_debug().to_string() });
                    unclear.insert(block);
                }
            } else if ends_in_image(last) && !is_empty(tree, value) {
                self.reference(kind, value, ReferenceForm::Plain);
            }
        }
        for (block, of) in blocks.iter().filter(|(block, _)| !unclear.contains(*block)) {
            self.parameter_block(kind, block, of);
        }
    }

    fn parameter_block(&mut self, kind: PinKind, block: &str, of: &BTreeMap<&str, Id>) {
        let tree = self.tree;
        let (tag, digest) = (of.get("tag").copied(), of.get("digest").copied());
        let Some(version) = tag.or(digest) else { return };
        let text = |key| of.get(key).and_then(|node| tree.scalar(tree.target(*node))).map(|s| s.value.as_ref());
        let Some(repository) = text("repository") else {
            if ends_in_image(block) {
                self.skip(version, SkipReason::NoRepositoryParameter);
            }
            return;
        };
        if repository.contains("://") {
            return;
        }
        let image = match text("registry").filter(|registry| !registry.is_empty()) {
            Some(registry) => format!("{}/{repository}", registry.trim_end_matches('/')),
            None => repository.to_owned(),
        };
        let name = of.get("repository").copied().filter(|_| image == repository);
        let missing = MissingKeys::Refused;
        self.parts(kind, Parts { image: &image, name, tag, digest, alias: None, missing });
    }
}

/// Every name that a parameter has.
fn names_in<'t>(tree: &'t tree::Tree<'_>, parameter: Id) -> impl Iterator<Item = &'t str> {
    let is_name = |key: Id| tree.scalar(key).is_some_and(|key| is_same_in_any_case("name", &key.value));
    let own = tree.entries(parameter).filter(move |(key, _)| is_name(*key));
    let own = own.filter_map(|(_, value)| tree.scalar(tree.target(value))).map(|name| name.value.as_ref());
    own.chain(tree.text_at(parameter, "name"))
}

/// The sources of an Application's `spec`.
pub(in crate::overlay) fn sources(tree: &tree::Tree<'_>, spec: Id) -> Vec<Id> {
    let mut sources: Vec<Id> = tree.get(spec, "source").into_iter().collect();
    if let Some(list) = tree.get(spec, "sources") {
        sources.extend(tree.items(list));
    }
    sources
}
