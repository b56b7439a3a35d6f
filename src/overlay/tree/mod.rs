//! A file's YAML as a flat tree whose nodes know their bytes.
//!
//! Promise: a node's range is exactly the bytes of its value, including quotes, excluding tags and anchors. Invariants:
//! nodes are in document order, so a subtree is the half-open range `id..last`; nothing is expanded, so an alias costs
//! one node whatever it stands for; size, depth and number of nodes are bounded. Design: one pass over the events of
//! granit-parser, whose spans were found exact on ten thousand real files.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use granit_parser::ScalarStyle;

mod parse;
mod unclear;

pub(super) use parse::{options, parse};
pub(super) use unclear::{Spelling, Unclear, is_same_in_any_case};

/// Maximum length of the keys that lead to a value, in bytes: each pin has them, and a file may have many pins below one key.
pub(super) const MAX_KEY_PATH: usize = 1_000;
/// How much of a key is kept where only people read it.
const SHOWN_KEY: usize = 100;

/// The number of a node.
pub(super) type Id = u32;

/// One value.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// What it is.
    pub(super) kind: NodeKind<'a>,
    /// First byte.
    pub(super) start: u32,
    /// One past the last byte; meaningful for scalars only.
    pub(super) end: u32,
    /// Line of the first byte, from 1.
    pub(super) line: u32,
    /// Column of the first byte in characters, from 0.
    pub(super) column: u32,
    /// The collection that holds it; itself for a document's root.
    parent: Id,
    /// Its position among the parent's children; keys are even, values odd.
    slot: u32,
    /// One past the last node of its subtree.
    pub(super) last: Id,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum NodeKind<'a> {
    /// A scalar.
    Scalar(Scalar<'a>),
    /// A sequence; its children stand in `Tree::children`.
    Sequence(Range<u32>),
    /// A mapping: keys and values alternate.
    Mapping(Range<u32>),
    /// A reference to an anchored node, by the parser's number of the anchor.
    Alias(usize),
}

/// A scalar's text and how it is written.
#[derive(Debug)]
pub(super) struct Scalar<'a> {
    /// The decoded text.
    pub(super) value: Cow<'a, str>,
    /// How it is written.
    pub(super) style: ScalarStyle,
    /// Whether it starts and ends on one line.
    pub(super) one_line: bool,
    /// A tag other than `!!str`, in a form people recognise.
    pub(super) tag: Option<Box<str>>,
}

/// A comment that may be a marker.
#[derive(Debug)]
pub(super) struct Comment<'a> {
    /// The text after `#`.
    pub(super) text: Cow<'a, str>,
    /// Its line, from 1.
    pub(super) line: u32,
    /// First byte.
    pub(super) start: u32,
}

/// Why changing a node would change something else too.
#[derive(Debug, Clone)]
pub(super) enum Lock {
    /// Below an anchor that an alias on the given line repeats.
    Shared { anchor: u32, alias: u32 },
    /// Inside a mapping key, which no Kubernetes tool's YAML has.
    Key,
    /// Below a key that occurs twice in its mapping.
    Duplicate { key: String, line: u32 },
}

impl Lock {
    /// The line in which a key occurs again.
    fn again(&self) -> Option<u32> {
        match self {
            Self::Duplicate { line, .. } => Some(*line),
            Self::Shared { .. } | Self::Key => None,
        }
    }
}

/// All documents of a file.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    pub(super) text: &'a str,
    nodes: Vec<Node<'a>>,
    children: Vec<Id>,
    /// The root of each document.
    pub(super) roots: Vec<Id>,
    /// Comments that contain the requested word.
    pub(super) comments: Vec<Comment<'a>>,
    anchors: HashMap<usize, Id>,
    locks: Vec<Lock>,
    /// Values whose key occurs twice in its mapping, and the line in which it does again.
    doubled: HashMap<Id, u32>,
    /// For each node, its lock's index plus one; empty if nothing is locked.
    locked: Vec<u32>,
}

impl<'a> Tree<'a> {
    /// The node with an id from this tree.
    pub(super) fn node(&self, id: Id) -> &Node<'a> {
        &self.nodes[id as usize]
    }

    /// The scalar at a node, if it is one.
    pub(super) fn scalar(&self, id: Id) -> Option<&Scalar<'a>> {
        match &self.node(id).kind {
            NodeKind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The bytes of a scalar as written.
    pub(super) fn raw(&self, id: Id) -> &'a str {
        let node = self.node(id);
        self.text.get(node.start as usize..node.end as usize).unwrap_or("")
    }

    /// The node itself, or what its alias stands for; only for reading, never for changing.
    pub(super) fn target(&self, id: Id) -> Id {
        match self.node(id).kind {
            NodeKind::Alias(anchor) => self.anchors.get(&anchor).copied().unwrap_or(id),
            _ => id,
        }
    }

    /// A sequence's items.
    pub(super) fn items(&self, id: Id) -> &[Id] {
        match &self.node(id).kind {
            NodeKind::Sequence(range) => self.slice(range),
            _ => &[],
        }
    }

    /// A mapping's keys and values.
    pub(super) fn entries(&self, id: Id) -> impl Iterator<Item = (Id, Id)> {
        let children = match &self.node(id).kind {
            NodeKind::Mapping(range) => self.slice(range),
            _ => &[],
        };
        children.chunks_exact(2).map(|pair| (pair[0], pair[1]))
    }

    fn slice(&self, range: &Range<u32>) -> &[Id] {
        self.children.get(range.start as usize..range.end as usize).unwrap_or(&[])
    }

    /// Whether the node is a mapping.
    pub(super) fn is_mapping(&self, id: Id) -> bool {
        matches!(self.node(id).kind, NodeKind::Mapping(_))
    }

    /// The value of a key in the mapping itself.
    pub(super) fn get(&self, id: Id, key: &str) -> Option<Id> {
        self.entries(id).find(|(name, _)| self.scalar(*name).is_some_and(|name| name.value == key)).map(|pair| pair.1)
    }

    /// The value at the end of a path of keys.
    pub(super) fn at(&self, id: Id, keys: &[&str]) -> Option<Id> {
        keys.iter().try_fold(id, |id, key| self.get(id, key))
    }

    /// The value of a key, its own or merged in by `<<`; only for reading, never for changing. At most two levels of
    /// merging, four mappings per level and a hundred keys per mapping are followed: nobody uses more, and it would let
    /// a file cause endless work.
    pub(super) fn read(&self, id: Id, key: &str) -> Option<Id> {
        self.get(id, key).map(|own| self.target(own)).or_else(|| self.merged(id, usize::MAX, key, 2))
    }

    fn merged(&self, id: Id, keys: usize, key: &str, levels: u8) -> Option<Id> {
        let levels = levels.checked_sub(1)?;
        let is = |pair: &(Id, Id), key: &str| self.scalar(pair.0).is_some_and(|name| name.value == key);
        let merge = self.target(self.entries(id).take(keys).find(|pair| is(pair, "<<"))?.1);
        let bases = if self.is_mapping(merge) { std::slice::from_ref(&merge) } else { self.items(merge) };
        bases.iter().take(4).map(|base| self.target(*base)).find_map(|base| {
            let own = self.entries(base).take(100).find(|pair| is(pair, key));
            own.map(|pair| self.target(pair.1)).or_else(|| self.merged(base, 100, key, levels))
        })
    }

    /// A scalar's text at a key, its own or merged, following aliases.
    pub(super) fn text_at(&self, id: Id, key: &str) -> Option<&str> {
        self.scalar(self.read(id, key)?).map(|scalar| scalar.value.as_ref())
    }

    /// The collection that contains a node.
    pub(super) fn parent(&self, id: Id) -> Option<Id> {
        let parent = self.node(id).parent;
        (parent != id).then_some(parent)
    }

    /// The key of a value in its mapping.
    pub(super) fn key(&self, id: Id) -> Option<&str> {
        let node = self.node(id);
        let NodeKind::Mapping(range) = &self.node(self.parent(id)?).kind else { return None };
        if self.is_key(id) {
            return None;
        }
        let key = self.slice(range).get((node.slot as usize).checked_sub(1)?)?;
        self.scalar(*key).map(|key| key.value.as_ref())
    }

    /// Whether the node is a key of a mapping.
    pub(super) fn is_key(&self, id: Id) -> bool {
        self.parent(id).is_some_and(|parent| self.is_mapping(parent)) && self.node(id).slot.is_multiple_of(2)
    }

    /// The index of a node's document, from 0.
    pub(super) fn document_of(&self, id: Id) -> usize {
        self.roots.partition_point(|root| *root <= id).saturating_sub(1)
    }

    /// The key path of a node in its document, e.g. `images[0].newTag`; `None` if it is too long.
    pub(super) fn path(&self, id: Id) -> Option<String> {
        let mut parts = Vec::new();
        let mut at = id;
        let mut left = MAX_KEY_PATH;
        while let Some(parent) = self.parent(at) {
            match self.key(at) {
                Some(key) => {
                    left = left.checked_sub(key.len())?;
                    parts.push(key_part(key));
                }
                None if self.is_mapping(parent) => parts.push("[?]".to_owned()),
                None => parts.push(format!("[{}]", self.node(at).slot)),
            }
            at = parent;
        }
        let mut path = String::new();
        for part in parts.iter().rev() {
            if !path.is_empty() && !part.starts_with('[') {
                path.push('.');
            }
            path.push_str(part);
        }
        Some(path)
    }

    /// Why changing this node would change something else too, if there is a reason.
    pub(super) fn lock_of(&self, id: Id) -> Option<&Lock> {
        let lock = *self.locked.get(id as usize)?;
        self.locks.get((lock as usize).checked_sub(1)?)
    }
}

/// A key for people, shortened.
fn shown_key(key: &str) -> String {
    match key.char_indices().nth(SHOWN_KEY) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}

/// One component of a key path; anything but a plain word is quoted as in JSON.
pub(super) fn key_part(key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '$'));
    if plain { key.to_owned() } else { format!("[\"{}\"]", key.escape_debug()) }
}
