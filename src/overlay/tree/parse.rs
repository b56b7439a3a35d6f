//! From a text's events to its tree, and which of its nodes are locked.

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};

use super::{Comment, Id, Lock, Node, NodeKind, Scalar, Tree, shown_key};

/// Maximum nesting of block collections and, separately, of flow collections.
const MAX_DEPTH: usize = 128;
/// Maximum number of values in one file, about eighty bytes each; 8 MB of ordinary manifests have about as many.
const MAX_NODES: usize = 1_000_000;

/// Maximum length of a YAML tag: one that `%TAG` abbreviates is as long wherever it is used.
const MAX_TAG: usize = 1_000;

/// From this number of bytes on, a text may have very many values.
const LARGE: usize = 1 << 20;

/// Why a text has no tree.
#[derive(Debug)]
pub(in crate::overlay) struct TreeError {
    /// The line, from 1.
    pub(in crate::overlay) line: usize,
    /// Why, for people.
    pub(in crate::overlay) reason: String,
}

/// The parser's settings. Comments cost time and are only requested if one of them may be a marker.
pub(in crate::overlay) fn options(comments: bool) -> Options {
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
        max_buffered_comment_events: 1_000_000,
    };
    options.set_emit_comments(comments);
    options
}

/// Parses all documents of a text; keeps comments that contain `marker`.
pub(in crate::overlay) fn parse<'a>(text: &'a str, marker: &str) -> Result<Tree<'a>, TreeError> {
    let mut builder = Builder::new(text);
    if text.len() > LARGE {
        // Unused reserved memory costs nothing, but a growing list is held twice while it moves.
        builder.tree.nodes.reserve_exact((text.len() / 2).min(MAX_NODES));
    }
    for next in Parser::new_from_str_with_options(text, options(text.contains(marker))) {
        let (event, span) =
            next.map_err(|error| TreeError { line: error.marker().line().max(1), reason: error.info() })?;
        if builder.tree.nodes.len() >= MAX_NODES {
            return Err(TreeError { line: span.start.line(), reason: format!("more than {MAX_NODES} values") });
        }
        if tag_of(&event).is_some_and(|tag| tag.handle().len() + tag.suffix().len() > MAX_TAG) {
            let reason = format!("a tag of more than {MAX_TAG} characters");
            return Err(TreeError { line: span.start.line(), reason });
        }
        match event {
            Event::Comment(text, _) if text.contains(marker) => {
                let start = small(span.start.byte_offset());
                builder.tree.comments.push(Comment { text, line: small(Some(span.start.line())), start });
            }
            event => builder.event(event, &span),
        }
    }
    Ok(builder.finish())
}

fn tag_of<'e>(event: &'e Event<'_>) -> Option<&'e Tag> {
    match event {
        Event::Scalar(_, _, _, tag) | Event::SequenceStart(_, _, tag) | Event::MappingStart(_, _, tag) => {
            tag.as_deref()
        }
        _ => None,
    }
}

/// Offsets fit: files above 16 MB are refused before they are parsed.
fn small(number: Option<usize>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or(u32::MAX)
}

/// The events so far.
struct Builder<'a> {
    tree: Tree<'a>,
    /// Open collections and the children each has so far.
    open: Vec<(Id, Vec<Id>)>,
    aliases: Vec<(usize, u32)>,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str) -> Self {
        let tree = Tree {
            text,
            nodes: Vec::new(),
            children: Vec::new(),
            roots: Vec::new(),
            comments: Vec::new(),
            anchors: HashMap::new(),
            locks: Vec::new(),
            doubled: HashMap::new(),
            locked: Vec::new(),
        };
        Self { tree, open: Vec::new(), aliases: Vec::new() }
    }

    fn event(&mut self, event: Event<'a>, span: &Span) {
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let one_line = span.start.line() == span.end.line()
                    && !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let tag = tag.filter(|tag| !is_text_tag(tag)).map(|tag| tag.to_string().into_boxed_str());
                self.push(NodeKind::Scalar(Scalar { value, style, one_line, tag }), anchor, span);
            }
            Event::Alias(anchor) => {
                self.aliases.push((anchor, small(Some(span.start.line()))));
                self.push(NodeKind::Alias(anchor), 0, span);
            }
            Event::SequenceStart(_, anchor, _) => self.enter(NodeKind::Sequence(0..0), anchor, span),
            Event::MappingStart(_, anchor, _) => self.enter(NodeKind::Mapping(0..0), anchor, span),
            Event::SequenceEnd | Event::MappingEnd => self.leave(span),
            _ => {}
        }
    }

    fn push(&mut self, kind: NodeKind<'a>, anchor: usize, span: &Span) -> Id {
        let id = small(Some(self.tree.nodes.len()));
        let (parent, slot) = match self.open.last_mut() {
            Some((parent, children)) => {
                children.push(id);
                (*parent, small(Some(children.len() - 1)))
            }
            None => {
                self.tree.roots.push(id);
                (id, 0)
            }
        };
        if anchor != 0 {
            self.tree.anchors.insert(anchor, id);
        }
        self.tree.nodes.push(Node {
            kind,
            start: small(span.start.byte_offset()),
            end: small(span.end.byte_offset()),
            line: small(Some(span.start.line())),
            column: small(Some(span.start.col())),
            parent,
            slot,
            last: id + 1,
        });
        id
    }

    fn enter(&mut self, kind: NodeKind<'a>, anchor: usize, span: &Span) {
        let id = self.push(kind, anchor, span);
        self.open.push((id, Vec::new()));
    }

    fn leave(&mut self, span: &Span) {
        let Some((id, children)) = self.open.pop() else { return };
        let last = small(Some(self.tree.nodes.len()));
        let from = small(Some(self.tree.children.len()));
        self.tree.children.extend(children);
        let range = from..small(Some(self.tree.children.len()));
        if let Some(node) = self.tree.nodes.get_mut(id as usize) {
            node.last = last;
            node.end = small(span.end.byte_offset());
            match &mut node.kind {
                NodeKind::Sequence(children) | NodeKind::Mapping(children) => *children = range,
                NodeKind::Scalar(_) | NodeKind::Alias(_) => {}
            }
        }
    }

    fn finish(mut self) -> Tree<'a> {
        let mut locks = self.shared();
        let odd = self.tree.odd_keys();
        // Whatever else they are locked for.
        self.tree.doubled = odd.iter().filter_map(|(id, lock)| Some((*id, lock.again()?))).collect();
        locks.extend(odd);
        self.tree.lock(locks);
        self.tree
    }

    fn shared(&self) -> Vec<(Id, Lock)> {
        let mut first: HashMap<usize, u32> = HashMap::new();
        for (anchor, line) in &self.aliases {
            first.entry(*anchor).or_insert(*line);
        }
        let mut locks = Vec::new();
        for (anchor, alias) in first {
            if let Some(id) = self.tree.anchors.get(&anchor) {
                locks.push((*id, Lock::Shared { anchor: self.tree.node(*id).line, alias }));
            }
        }
        locks
    }
}

fn is_text_tag(tag: &Tag) -> bool {
    tag.is_yaml_core_schema_tag("str")
}

impl Tree<'_> {
    /// Values of keys that occur more than once in their mapping, of which readers take one or the other; and keys that
    /// are collections.
    fn odd_keys(&self) -> Vec<(Id, Lock)> {
        let mut locks = Vec::new();
        let mut seen: HashMap<&str, (Id, bool)> = HashMap::new();
        for id in 0..small(Some(self.nodes.len())) {
            if !self.is_mapping(id) {
                continue;
            }
            seen.clear();
            for (key, value) in self.entries(id) {
                let Some(name) = self.scalar(key) else {
                    locks.push((key, Lock::Key));
                    continue;
                };
                if name.value == "<<" {
                    continue;
                }
                let line = self.node(key).line;
                if let Some((first, reported)) = seen.get_mut(name.value.as_ref()) {
                    let lock = Lock::Duplicate { key: shown_key(&name.value), line };
                    if !*reported {
                        locks.push((*first, lock.clone()));
                        *reported = true;
                    }
                    locks.push((value, lock));
                } else {
                    seen.insert(&name.value, (value, false));
                }
            }
        }
        locks
    }

    /// Extends locks to their subtrees; an outer lock takes precedence.
    fn lock(&mut self, mut locks: Vec<(Id, Lock)>) {
        if locks.is_empty() {
            return;
        }
        locks.sort_by_key(|(id, _)| *id);
        let mut locked = vec![0; self.nodes.len()];
        let mut done: Id = 0;
        for (id, lock) in locks {
            let last = self.node(id).last;
            if last <= done {
                continue;
            }
            self.locks.push(lock);
            let number = small(Some(self.locks.len()));
            for slot in locked.iter_mut().take(last as usize).skip(id as usize) {
                *slot = number;
            }
            done = last;
        }
        self.locked = locked;
    }
}
