//! Packages of Crossplane: `spec.package` of a `Provider`, a `Function` and a `Configuration`.
//!
//! A package is an image (Crossplane, xpkg specification) that the package manager fetches by its full reference. Since
//! version 2 a registry's host is required; before that, settings of Crossplane decide what a name without one is.

use super::{Claim, Document, Form, Recognizer, nothing_more};
use crate::model::{PinKind, PinRole, SkipReason};
use crate::overlay::collector::{Collector, ReferenceForm};

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind {
        name: "crossplane-package",
        summary: "the package of a Crossplane Provider, Function or Configuration",
        role: PinRole::Artifact,
    },
    document,
    file: nothing_more,
};

fn document(collector: &mut Collector<'_, '_>, document: &Document<'_>) -> Claim {
    let kinds = ["Provider", "Function", "Configuration"];
    if document.form != Form::Object || document.group != "pkg.crossplane.io" || !kinds.contains(&document.kind) {
        return Claim::Passed;
    }
    let Some(package) = collector.tree.at(document.root, &["spec", "package"]) else { return Claim::Taken };
    match collector.referenced(package, ReferenceForm::Plain) {
        Some(reference) if !names_host(&reference.written) => {
            collector.skip(package, SkipReason::CrossplanePackage);
        }
        _ => collector.reference(KIND.kind, package, ReferenceForm::Plain),
    }
    Claim::Taken
}

fn names_host(written: &str) -> bool {
    written.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost")
}
