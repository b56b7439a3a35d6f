//! Flux setter markers: `# {"$imagepolicy": "namespace:policy[:tag|:name|:digest]"}` behind a scalar.
//!
//! Rules: Flux, "Configure image update for custom resources": without a suffix the scalar is a full reference. A
//! marker says what a scalar is if nothing else does, and takes precedence over its surroundings. A tag's image is read
//! next to it, or from a `:name` marker of the same policy in the file.

use std::collections::{HashMap, HashSet};

use super::{Claim, Recognizer};
use crate::model::{MissingKeys, PinKind, PinRole, SkipReason};
use crate::overlay::collector::{Collector, Parts, ReferenceForm, is_empty};
use crate::overlay::tree::{Comment, Id, Spelling};

/// The text that makes a comment a marker.
pub(in crate::overlay) const WORD: &str = "$imagepolicy";

pub(super) const KIND: Recognizer = Recognizer {
    kind: PinKind {
        name: "setter",
        summary: "a value with a setter marker of Flux: `# {\"$imagepolicy\": …}`",
        role: PinRole::Input,
    },
    document: |_, _| Claim::Passed,
    file: |collector| collector.setters(),
};

/// What a marked scalar holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Field {
    Reference,
    Tag,
    Name,
    Digest,
}

/// A marker and its scalar.
#[derive(Debug)]
struct Marker {
    policy: String,
    field: Field,
    node: Id,
}

/// The image that a mapping names, and the scalar that contains only the name.
type NamedAround = Result<Option<(String, Option<Id>)>, SkipReason>;

/// All markers of a file, indexed for lookup.
#[derive(Debug, Default)]
struct Markers<'m> {
    /// By collection, policy and field: the marked scalar.
    beside: HashMap<(Id, &'m str, Field), Id>,
    /// By mapping with a marked tag or digest: the image that it names, and the scalar that contains only the name; or why that may be
    /// another one to another reader.
    around: HashMap<Id, NamedAround>,
    /// By policy: the name that all its `:name` markers agree on.
    names: HashMap<&'m str, Option<String>>,
}

impl Collector<'_, '_> {
    /// Reads the markers, after everything else was found.
    fn setters(&mut self) {
        let markers = self.markers();
        if markers.is_empty() {
            return;
        }
        let marked: HashSet<Id> = markers.iter().filter(|m| m.field != Field::Name).map(|m| m.node).collect();
        let index = self.index(&markers, &marked);
        let mut drafts: HashMap<Id, usize> = HashMap::new();
        for (at, draft) in self.drafts.iter().enumerate() {
            drafts.extend([draft.reference, draft.tag, draft.digest].into_iter().flatten().map(|node| (node, at)));
        }
        self.skips.retain(|skip| skip.node.is_none_or(|node| !marked.contains(&node)));
        let mut wrong = HashSet::new();
        for marker in markers.iter().filter(|marker| marker.field != Field::Name) {
            match drafts.get(&marker.node) {
                Some(at) if self.agree(*at, marker) => {}
                Some(at) => {
                    wrong.insert(*at);
                    self.skip(marker.node, SkipReason::MarkerDisagrees);
                }
                None if marker.field == Field::Reference => self.reference(KIND.kind, marker.node, ReferenceForm::Plain),
                None => self.setter_parts(&index, marker),
            }
        }
        let mut at = 0;
        self.drafts.retain(|_| {
            at += 1;
            !wrong.contains(&(at - 1))
        });
    }

    fn index<'m>(&mut self, markers: &'m [Marker], marked: &HashSet<Id>) -> Markers<'m> {
        let mut index = Markers::default();
        for marker in markers {
            let policy = marker.policy.as_str();
            if let Some(parent) = self.tree.parent(marker.node) {
                index.beside.entry((parent, policy, marker.field)).or_insert(marker.node);
                index.around.entry(parent).or_insert_with(|| {
                    let names = ["newName", "repository", "image", "name", "registry"];
                    let unclear = self.unclear(parent, &names, Spelling::Exact);
                    unclear.map_or_else(|| Ok(self.name_around(parent, marked)), Err)
                });
            }
            if marker.field == Field::Name {
                let text = self.name_text(marker.node).filter(|_| self.clear_key(marker.node).is_ok());
                let known = index.names.entry(policy).or_insert_with(|| text.clone());
                if *known != text {
                    *known = None;
                }
            }
        }
        index
    }

    /// Makes an existing draft a marker's, if both agree on the scalar.
    fn agree(&mut self, at: usize, marker: &Marker) -> bool {
        let Some(draft) = self.drafts.get_mut(at) else { return false };
        let field = if draft.reference == Some(marker.node) {
            Field::Reference
        } else if draft.tag == Some(marker.node) {
            Field::Tag
        } else {
            Field::Digest
        };
        if field == marker.field {
            // A chart stays one: its version is found in other ways than an image's.
            if draft.pin.kind.role != PinRole::Chart {
                draft.pin.kind = KIND.kind;
            }
            draft.values = false;
        }
        field == marker.field
    }

    fn markers(&mut self) -> Vec<Marker> {
        let tree = self.tree;
        if tree.comments.is_empty() {
            return Vec::new();
        }
        // A marker is about the only value that ends on its line.
        let mut on_line: HashMap<u32, Vec<Id>> = tree.comments.iter().map(|c| (c.line, Vec::new())).collect();
        for root in &tree.roots {
            for id in *root..tree.node(*root).last {
                if let Some(values) = on_line.get_mut(&tree.node(id).line)
                    && !tree.is_key(id)
                    && (tree.scalar(id).is_some() || tree.target(id) != id)
                {
                    values.push(id);
                }
            }
        }
        let (mut markers, mut commented) = (Vec::new(), Vec::new());
        for comment in &tree.comments {
            let values = on_line.get(&comment.line).map_or(&[][..], Vec::as_slice);
            let before: Vec<Id> = values.iter().copied().filter(|id| tree.node(*id).start < comment.start).collect();
            match self.marker(comment, &before) {
                Ok(marker) => markers.push(marker),
                Err(SkipReason::MarkerWithoutValue) if is_commented_out(&comment.text) => commented.push(comment.line),
                Err(reason) => self.broken_marker(comment.line, reason),
            }
        }
        if let Some(first) = commented.first() {
            self.broken_marker(*first, SkipReason::CommentedMarkers { count: commented.len() });
        }
        markers
    }

    fn marker(&self, comment: &Comment<'_>, values: &[Id]) -> Result<Marker, SkipReason> {
        let (policy, field) = parse_marker(&comment.text)?;
        match values {
            [node] => Ok(Marker { policy, field, node: *node }),
            [] => Err(SkipReason::MarkerWithoutValue),
            _ => Err(SkipReason::MarkerBehindSeveral),
        }
    }

    fn setter_parts(&mut self, index: &Markers<'_>, marker: &Marker) {
        let parent = self.tree.parent(marker.node);
        let beside = |field| index.beside.get(&(parent?, marker.policy.as_str(), field)).copied();
        let (tag, digest) = match marker.field {
            Field::Digest if beside(Field::Tag).is_some() => return, // Handled by the tag's marker.
            Field::Digest => (None, Some(marker.node)),
            // In a Kustomize entry, the digest belongs to the tag, marked or not.
            _ if self.tree.key(marker.node) == Some("newTag") => {
                let own = parent.and_then(|parent| self.tree.get(parent, "digest"));
                (Some(marker.node), beside(Field::Digest).or(own))
            }
            _ => (Some(marker.node), beside(Field::Digest)),
        };
        if let Err(reason) = self.clear_marked(index, marker, beside(Field::Name)) {
            return self.skip(marker.node, reason);
        }
        let Some((image, name)) = self.setter_name(index, marker, beside(Field::Name)) else {
            let policy = marker.policy.escape_debug().to_string();
            self.skip(marker.node, SkipReason::MarkerWithoutImage { policy });
            return;
        };
        // In a Kustomize entry, a digest has a key of its own.
        let missing = match self.tree.key(marker.node) {
            Some("newTag") => MissingKeys::KustomizeEntry,
            _ => MissingKeys::Refused,
        };
        self.parts(KIND.kind, Parts { image: &image, name, tag, digest, alias: None, missing });
    }

    /// Whether a marked value, and what names its image, are what they are to every reader.
    fn clear_marked(&mut self, index: &Markers<'_>, marker: &Marker, name: Option<Id>) -> Result<(), SkipReason> {
        match (name, self.tree.parent(marker.node).and_then(|parent| index.around.get(&parent))) {
            (Some(name), _) => self.clear_key(name)?,
            (None, Some(Err(reason))) => return Err(reason.clone()),
            (None, _) => {}
        }
        self.clear_key(marker.node)
    }

    /// The image of a marked tag or digest, and the scalar that contains only its name.
    fn setter_name(&self, index: &Markers<'_>, marker: &Marker, beside: Option<Id>) -> Option<(String, Option<Id>)> {
        if let Some(node) = beside {
            return Some((self.name_text(node)?, Some(node)));
        }
        let around = self.tree.parent(marker.node).and_then(|parent| index.around.get(&parent)?.clone().ok()?);
        around.or_else(|| index.names.get(marker.policy.as_str())?.clone().map(|name| (name, None)))
    }

    /// The image that a mapping names in the keys that charts and Kustomize use; a scalar that is marked as something
    /// else is not a name.
    fn name_around(&self, mapping: Id, marked: &HashSet<Id>) -> Option<(String, Option<Id>)> {
        let tree = self.tree;
        for key in ["newName", "repository", "image", "name"] {
            let node = tree.get(mapping, key).filter(|node| !marked.contains(node));
            let Some((node, name)) = node.and_then(|node| Some((node, self.name_text(node)?))) else { continue };
            let registry = tree.text_at(mapping, "registry").filter(|registry| !registry.is_empty());
            return Some(match registry.filter(|_| key != "newName") {
                Some(registry) => (format!("{}/{name}", registry.trim_end_matches('/')), None),
                // In a kustomization, an entry's `name` only selects, so it is not renamed.
                None => (name, (key != "name").then_some(node)),
            });
        }
        None
    }

    fn name_text(&self, node: Id) -> Option<String> {
        let node = self.tree.target(node);
        let scalar = self.tree.scalar(node)?;
        (!is_empty(self.tree, node)).then(|| scalar.value.to_string())
    }
}

/// Whether a comment contains a value and its marker: `# newTag: 1.2.3 # {"$imagepolicy": …}`.
fn is_commented_out(text: &str) -> bool {
    text.split_once('{').is_some_and(|(before, _)| !before.trim_matches([' ', '\t', '#']).is_empty())
}

/// The policy and the field of a marker's text.
fn parse_marker(text: &str) -> Result<(String, Field), SkipReason> {
    let bad = || SkipReason::MarkerUnreadable;
    let (start, end) = (text.find('{').ok_or_else(bad)?, text.rfind('}').ok_or_else(bad)?);
    let json: serde_json::Value = serde_json::from_str(text.get(start..=end).ok_or_else(bad)?).map_err(|_| bad())?;
    let value = json.get(WORD).and_then(serde_json::Value::as_str).ok_or_else(bad)?;
    let mut parts = value.split(':');
    let (Some(namespace), Some(name)) = (parts.next(), parts.next()) else { return Err(bad()) };
    let field = match parts.next() {
        None => Field::Reference,
        Some("tag") => Field::Tag,
        Some("name") => Field::Name,
        Some("digest") => Field::Digest,
        Some(_) => return Err(bad()),
    };
    if namespace.is_empty() || name.is_empty() || parts.next().is_some() {
        return Err(bad());
    }
    Ok((format!("{namespace}:{name}"), field))
}
