//! A file's documents to read, for those who look for other things than pins in it.

use super::tree::{self, Id, Tree};

/// All documents of a file, of which each value knows its line.
#[derive(Debug)]
pub struct Documents<'a>(Tree<'a>);

impl<'a> Documents<'a> {
    /// Reads a text within the bounds of every file that is scanned; `None` if it is no YAML.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        tree::parse(text, "\0").ok().map(Self)
    }

    /// The documents.
    pub fn iter(&self) -> impl Iterator<Item = Value<'_, 'a>> {
        self.0.roots.iter().map(|root| Value { tree: &self.0, id: *root })
    }
}

/// A value in a file.
#[derive(Debug, Clone, Copy)]
pub struct Value<'t, 'a> {
    tree: &'t Tree<'a>,
    id: Id,
}

impl<'t, 'a> Value<'t, 'a> {
    /// Its line, from 1.
    #[must_use]
    pub fn line(self) -> usize {
        usize::try_from(self.tree.node(self.id).line).unwrap_or(usize::MAX)
    }

    /// The value of a key, its own or merged in.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Self> {
        Some(Self { id: self.tree.read(self.id, key)?, ..self })
    }

    /// The value at the end of a path of keys.
    #[must_use]
    pub fn at(self, keys: &[&str]) -> Option<Self> {
        keys.iter().try_fold(self, |value, key| value.get(key))
    }

    /// Its text, if it is a scalar.
    #[must_use]
    pub fn text(self) -> Option<&'t str> {
        self.tree.scalar(self.tree.target(self.id)).map(|scalar| scalar.value.as_ref())
    }

    /// The text at the end of a path of keys.
    #[must_use]
    pub fn text_at(self, keys: &[&str]) -> Option<&'t str> {
        self.at(keys)?.text()
    }

    /// A list's items, and a scalar as a list of one.
    #[must_use]
    pub fn items(self) -> Vec<Self> {
        let id = self.tree.target(self.id);
        match self.tree.scalar(id) {
            Some(_) => vec![self],
            None => self.tree.items(id).iter().map(|id| Self { id: *id, ..self }).collect(),
        }
    }

    /// The items at a key; none where there is no such key.
    #[must_use]
    pub fn items_at(self, keys: &[&str]) -> Vec<Self> {
        self.at(keys).map(Self::items).unwrap_or_default()
    }

    /// A mapping's keys and values.
    #[must_use]
    pub fn entries(self) -> Vec<(&'t str, Self)> {
        let pairs = self.tree.entries(self.tree.target(self.id));
        pairs
            .filter_map(|(key, value)| Some((self.tree.scalar(key)?.value.as_ref(), Self { id: value, ..self })))
            .collect()
    }
}
