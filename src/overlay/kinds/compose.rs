//! Compose files: `services.*.image`. Images with variables are read in [`compose`](super::super::compose).
//!
//! A service with `build` names the image that is built, not one that is pulled, so that is left alone.

use super::{Claim, Document, Form, Recognizer, nothing_more};
use crate::model::{PinKind, PinRole, SkipReason};
use crate::overlay::collector::{Collector, ReferenceForm, is_empty, unquoted};
use crate::overlay::compose::{Interpolated, MAX_IMAGE_TEXT, is_compose_file, too_long};
use crate::overlay::tree::Id;

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind {
        name: "compose",
        summary: "an image of a service in a Compose file, or a variable for it in the `.env` beside it",
        role: PinRole::Outside,
    },
    document,
    file: nothing_more,
};

fn document(collector: &mut Collector<'_, '_>, document: &Document<'_>) -> Claim {
    if document.form != Form::Mapping || !is_compose(collector, document.root) {
        return Claim::Passed;
    }
    let tree = collector.tree;
    let services = tree.get(document.root, "services").map(|services| tree.entries(services));
    for (_, service) in services.into_iter().flatten() {
        collector.service(service);
    }
    Claim::Taken
}

/// Whether a mapping is what Compose reads.
pub(super) fn is_compose(collector: &Collector<'_, '_>, root: Id) -> bool {
    let tree = collector.tree;
    is_compose_file(collector.path.file_name()) && tree.get(root, "services").is_some_and(|it| tree.is_mapping(it))
}

impl Collector<'_, '_> {
    fn service(&mut self, service: Id) {
        let tree = self.tree;
        // Its own, or one that it shares with others through an anchor.
        let image = tree.get(service, "image").or_else(|| tree.read(service, "image"));
        let image = image.filter(|image| !is_empty(tree, *image) && !self.seen.contains(image));
        let Some(image) = image else { return };
        if tree.read(service, "build").is_some() {
            let name = self.referenced(image, ReferenceForm::Plain).map(|reference| reference.name);
            return self.skip_image(image, SkipReason::BuiltHere, name);
        }
        match tree.scalar(image).filter(|scalar| scalar.value.contains('$')) {
            None => self.reference(KIND.kind, image, ReferenceForm::Plain),
            Some(_) => self.interpolated_image(image),
        }
    }

    /// An image with variables: what they come to is not known from this file alone.
    fn interpolated_image(&mut self, image: Id) {
        let fixed = self.unlocked(image).map(|_| ());
        let inner = unquoted(self.tree.raw(image));
        if self.tree.scalar(image).is_none_or(|scalar| inner != scalar.value) {
            return self.skip(image, SkipReason::Escaped);
        }
        let key = match self.key(image) {
            Ok(key) if inner.len() <= MAX_IMAGE_TEXT => key,
            Ok(_) => return self.skip(image, too_long()),
            Err(reason) => return self.skip(image, reason),
        };
        self.seen.insert(image);
        if !self.has_room(inner.len() + key.len()) {
            return;
        }
        let node = self.tree.node(image);
        let quote = usize::from(inner.len() < self.tree.raw(image).len());
        let found = Interpolated {
            text: inner.to_owned(),
            start: node.start as usize + quote,
            line: self.line(image),
            column: node.column as usize + quote + 1,
            document: self.tree.document_of(image),
            key,
            fixed,
        };
        self.interpolated.push(found);
    }
}
