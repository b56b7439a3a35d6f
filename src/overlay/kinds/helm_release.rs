//! Values inside a Flux `HelmRelease` or a `HelmChart` of k3s, and the images of a release's Kustomize post-renderers.

use super::{Claim, Document, Form, Recognizer, nothing_more};
use crate::model::{PinKind, PinRole};
use crate::overlay::collector::Collector;
use crate::overlay::tree::Id;

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind {
        name: "helm-release",
        summary: "values inside a Flux HelmRelease or a HelmChart of k3s",
        role: PinRole::Input,
    },
    document,
    file: nothing_more,
};

fn document(collector: &mut Collector<'_, '_>, document: &Document<'_>) -> Claim {
    match (document.form, document.group, document.kind) {
        (Form::Object, "helm.toolkit.fluxcd.io" | "helm.fluxcd.io", "HelmRelease") => {
            collector.helm_release(document.root);
            Claim::Taken
        }
        (Form::Object, "helm.cattle.io", "HelmChart" | "HelmChartConfig") => {
            let tree = collector.tree;
            if let Some(values) = tree.at(document.root, &["spec", "valuesContent"]) {
                collector.values_text(KIND.kind, values);
            }
            // The images of the controller's own jobs are like those of any object.
            collector.object_images(document.root);
            Claim::Taken
        }
        _ => Claim::Passed,
    }
}

impl Collector<'_, '_> {
    fn helm_release(&mut self, root: Id) {
        let tree = self.tree;
        if let Some(spec) = tree.at(root, &["spec", "chart", "spec"]) {
            self.flux_chart(root, spec);
        }
        if let Some(values) = tree.at(root, &["spec", "values"]) {
            self.helm_values(KIND.kind, values);
        }
        let renderers = tree.at(root, &["spec", "postRenderers"]).map_or(&[][..], |list| tree.items(list));
        for renderer in renderers {
            if let Some(images) = tree.at(*renderer, &["kustomize", "images"]) {
                self.kustomize_images(images);
            }
        }
    }
}
