//! Texts that very many objects of a cluster have in common, kept once.

use std::collections::HashSet;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Maximum number of different texts that are shared, and the length of each in bytes: a cluster has some hundred words and as
/// many namespaces. What comes beyond, from whoever writes objects there, is kept by the object that has it.
const MAX: (usize, usize) = (10_000, 64);

static KNOWN: LazyLock<Mutex<HashSet<Arc<str>>>> = LazyLock::new(Mutex::default);

/// A word such as the type or the reason of a condition. Equal ones of different objects take memory once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SharedText(Arc<str>);

impl SharedText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SharedText {
    fn from(text: &str) -> Self {
        if text.len() > MAX.1 {
            return Self(text.into());
        }
        // A panic elsewhere leaves a set of texts, whatever was added to it.
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(text) {
            return Self(Arc::clone(known));
        }
        let new: Arc<str> = text.into();
        if known.len() < MAX.0 {
            known.insert(Arc::clone(&new));
        }
        Self(new)
    }
}

impl Deref for SharedText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for SharedText {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for SharedText {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for SharedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_words_are_kept_once_and_long_texts_as_they_are() {
        let [one, other] = [SharedText::from("Ready"), SharedText::from("Ready")];
        assert!(Arc::ptr_eq(&one.0, &other.0));
        let long = "x".repeat(MAX.1 + 1);
        let [one, other] = [SharedText::from(long.as_str()), SharedText::from(long.as_str())];
        assert!(one == other && !Arc::ptr_eq(&one.0, &other.0));
    }
}
