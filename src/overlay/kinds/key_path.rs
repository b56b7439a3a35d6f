//! Values that a policy declares, in YAML and JSON by their keys; other files and patterns are read in [`text`](super::super::text).
//!
//! A declaration says what a value is where the file does not: it takes precedence over what other kinds make of the same image, and
//! is refused where the file names another one.

use std::collections::{HashMap, HashSet};

use super::{Claim, Recognizer};
use crate::model::{DeclaredValue, ImageName, KeyPlace, MissingKeys, PathStep, PinKind, PinRole, SkipReason, ValuePath};
use crate::overlay::collector::{Collector, Draft, Parts, ReferenceForm};
use crate::overlay::secrets::Secrets;
use crate::overlay::tree::{Id, NodeKind};

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind { name: "key-path", summary: "a value that a policy's `keyPaths` names", role: PinRole::Named },
    document: |_, _| Claim::Passed,
    file: |collector| {
        if !collector.declared.is_empty() {
            collector.key_paths();
        }
    },
};

/// What is known of the values that are declared.
struct Known {
    secrets: Secrets,
    /// The pin that a value is part of: its index.
    pins: HashMap<Id, usize>,
    /// How many pins and reasons are those of other kinds.
    others: (usize, usize),
    /// Values that are pins because they are declared.
    taken: HashSet<Id>,
    /// Values of which a declaration says more than other kinds.
    told: HashSet<Id>,
}

fn parts(draft: &Draft) -> impl Iterator<Item = Id> {
    [draft.reference, draft.tag, draft.digest].into_iter().flatten()
}

impl Collector<'_, '_> {
    fn key_paths(&mut self) {
        let pins = self.drafts.iter().enumerate().flat_map(|(number, draft)| parts(draft).map(move |id| (id, number)));
        let mut known = Known {
            secrets: Secrets::of_tree(self.tree),
            pins: pins.collect(),
            others: (self.drafts.len(), self.skips.len()),
            taken: HashSet::new(),
            told: HashSet::new(),
        };
        for declared in self.declared {
            if let KeyPlace::Path(keys) = &declared.key_path.place {
                self.key_path(&mut known, declared, keys);
            }
        }
        let (mut drafts, mut skips) = known.others;
        let is_other = |left: &mut usize| {
            let other = *left > 0;
            *left = left.saturating_sub(1);
            other
        };
        self.drafts.retain(|draft| !is_other(&mut drafts) || !parts(draft).any(|id| known.taken.contains(&id)));
        self.skips.retain(|skip| !is_other(&mut skips) || skip.node.is_none_or(|id| !known.told.contains(&id)));
    }

    fn key_path(&mut self, known: &mut Known, declared: &DeclaredValue<'_>, keys: &ValuePath) {
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
            self.declared_value(known, node, image.as_deref());
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

    fn declared_value(&mut self, known: &mut Known, node: Id, image: Option<&str>) {
        let secrecy = known.secrets.at(self.tree.node(node).start as usize);
        let read = self.changeable(node).and_then(|scalar| secrecy.read(&scalar.value, image));
        let declared = image.and_then(|image| ImageName::parse(image).ok());
        let other = known.pins.get(&node).and_then(|number| self.drafts.get(*number));
        // A chart whose repository is in another file has no name of its own here.
        if let Some(other) = other.filter(|draft| draft.of.is_none()).map(|draft| &draft.pin) {
            let name = read.as_ref().ok().map(|read| &read.name).or(declared.as_ref());
            let is_same = name.is_none_or(|name| *name == other.name);
            match other.kind == KIND.kind {
                true if is_same => return,
                true => return self.broken_declaration(node, SkipReason::DeclaredTwice),
                false if is_same => {}
                false => {
                    let of_value = read.as_ref().ok().map(|read| read.image.as_str());
                    let declared = of_value.or(image).unwrap_or_default().to_owned();
                    let reason = SkipReason::OtherImage { declared, written: other.image.clone() };
                    return self.broken_declaration(node, reason);
                }
            }
        }
        known.told.insert(node);
        let before = self.drafts.len();
        match read {
            Err(reason) => self.skip_image(node, reason, declared),
            Ok(read) if read.written_name.is_some() => self.reference(KIND.kind, node, ReferenceForm::Plain),
            Ok(read) => {
                let (tag, digest) = if read.tag.is_some() { (Some(node), None) } else { (None, Some(node)) };
                let missing = MissingKeys::Refused;
                self.parts(KIND.kind, Parts { image: &read.image, name: None, tag, digest, alias: None, missing });
            }
        }
        if self.drafts.len() > before {
            known.taken.insert(node);
            known.pins.insert(node, before);
        }
    }
}
