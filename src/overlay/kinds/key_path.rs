//! Values that a policy declares, in YAML and JSON by their keys; other files and patterns are read in [`text`](super::super::text).
//!
//! A declaration says what a value is, and takes precedence over what other kinds make of it.

use super::{Claim, Recognizer};
use crate::model::{DeclaredValue, ImageName, KeyPlace, MissingKeys, PathStep, PinKind, PinRole, SkipReason, ValuePath};
use crate::overlay::collector::{Collector, Parts, ReferenceForm};
use crate::overlay::tree::{Id, NodeKind};
use crate::overlay::value::read_value;

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind { name: "key-path", summary: "a value that a policy's `keyPaths` names", role: PinRole::Named },
    document: |_, _| Claim::Passed,
    file: |collector| {
        for declared in collector.declared {
            if let KeyPlace::Path(keys) = &declared.key_path.place {
                collector.key_path(declared, keys);
            }
        }
    },
};

impl Collector<'_, '_> {
    fn key_path(&mut self, declared: &DeclaredValue<'_>, keys: &ValuePath) {
        let mut found = self.tree.roots.clone();
        for step in keys.steps() {
            found = found.iter().flat_map(|id| self.children(*id, step)).collect();
        }
        let (origin, place) = (declared.key_path.origin.to_string(), keys.as_str().to_owned());
        match found.as_slice() {
            [] => return self.skip_file(SkipReason::NothingMatches { place, origin }),
            [_, second, ..] if !keys.is_for_several() => {
                let reason = SkipReason::SeveralMatch { place, origin, count: found.len() };
                return self.broken_declaration(*second, reason);
            }
            _ => {}
        }
        let image = declared.image(self.path);
        for node in found {
            self.declared_value(node, image.as_deref());
        }
    }

    fn children(&self, id: Id, step: &PathStep) -> Vec<Id> {
        let tree = self.tree;
        match &tree.node(id).kind {
            NodeKind::Mapping(_) => {
                let takes = |key: Id| tree.scalar(key).is_some_and(|key| step.takes_key(&key.value));
                tree.entries(id).filter(|(key, _)| takes(*key)).map(|(_, value)| value).collect()
            }
            NodeKind::Sequence(_) => {
                let items = tree.items(id).iter().enumerate();
                items.filter(|(number, _)| step.takes_item(*number)).map(|(_, item)| *item).collect()
            }
            // What an alias stands for is changed at its anchor, if at all.
            NodeKind::Alias(_) | NodeKind::Scalar(_) => Vec::new(),
        }
    }

    fn declared_value(&mut self, node: Id, image: Option<&str>) {
        let holds = |ids: [Option<Id>; 3]| ids.contains(&Some(node));
        let twice = self.drafts.iter().find(|draft| draft.pin.kind == KIND.kind && holds([draft.reference, draft.tag, draft.digest]));
        if let Some(other) = twice {
            let name = image.and_then(|image| ImageName::parse(image).ok());
            if name.is_some_and(|name| name != other.pin.name) {
                self.broken_declaration(node, SkipReason::DeclaredTwice);
            }
            return;
        }
        self.drafts.retain(|draft| !holds([draft.reference, draft.tag, draft.digest]));
        self.skips.retain(|skip| skip.node != Some(node));
        let read = self.changeable(node).and_then(|scalar| read_value(&scalar.value, image));
        match read {
            Err(reason) => self.skip_image(node, reason, image.and_then(|image| ImageName::parse(image).ok())),
            Ok(read) if read.written_name.is_some() => self.reference(KIND.kind, node, ReferenceForm::Plain),
            Ok(read) => {
                let (tag, digest) = if read.tag.is_some() { (Some(node), None) } else { (None, Some(node)) };
                let missing = MissingKeys::Refused;
                self.parts(KIND.kind, Parts { image: &read.image, name: None, tag, digest, alias: None, missing });
            }
        }
    }
}
