//! The tags of a repository, as its registry lists them.
//!
//! A listing may hold a million tags, so their text is stored once, in one piece, and is shared instead of copied.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Tag, TagRef};

/// All tags of one repository, as a complete answer from its registry. Never a partial one. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The tags.
    pub tags: Arc<TagList>,
    /// How many names were dropped because they are outside the OCI grammar.
    pub dropped: usize,
    /// When the answer was complete.
    pub at: Timestamp,
}

/// The tags of a listing, without duplicates, in the registry's order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TagList {
    /// All names, concatenated.
    names: Box<str>,
    /// Where each name ends.
    ends: Box<[u32]>,
    /// By position: tags that an earlier listing did not have, with the time in seconds at which they first appeared.
    appeared: Box<[(u32, i64)]>,
}

impl TagList {
    /// The number of tags.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no tags.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Its memory use in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.names.len() + size_of_val(&*self.ends) + size_of_val(&*self.appeared)
    }

    /// The tags in the registry's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TagRef<'_>> {
        (0..self.len()).map(|position| self.at(position))
    }

    /// Whether a tag is listed.
    #[must_use]
    pub fn contains(&self, tag: &Tag) -> bool {
        self.position(tag).is_some()
    }

    /// When a tag first appeared, if there was an earlier listing without it.
    #[must_use]
    pub fn appeared(&self, tag: &Tag) -> Option<Timestamp> {
        if self.appeared.is_empty() {
            return None;
        }
        self.appeared_at(u32::try_from(self.position(tag)?).ok()?)
    }

    /// Every tag whose first appearance is known, with that time.
    pub fn appearances(&self) -> impl Iterator<Item = (TagRef<'_>, Timestamp)> {
        let known = |(position, second): &(u32, i64)| {
            Some((self.at(usize::try_from(*position).ok()?), Timestamp::from_second(*second).ok()?))
        };
        self.appeared.iter().filter_map(known)
    }

    /// The same tags, where those not in `before` appeared at `now` and the others when they did in `before`.
    #[must_use]
    pub fn following(self, before: &Self, now: Timestamp) -> Self {
        let mut appeared = Vec::new();
        for found in self.compare(before) {
            match found {
                Compared::Here(position) => appeared.push((position, now.as_second())),
                Compared::Both(position, there) => {
                    appeared.extend(before.appeared_at(there).map(|at| (position, at.as_second())));
                }
                Compared::There => {}
            }
        }
        self.with_positions(appeared)
    }

    /// The same tags with the given first appearances, which are sorted by tag; those of unlisted tags are ignored.
    #[must_use]
    pub fn appearing(self, sorted: impl IntoIterator<Item = (String, Timestamp)>) -> Self {
        let mut sorted = sorted.into_iter().peekable();
        if sorted.peek().is_none() {
            return self;
        }
        let mut appeared = Vec::new();
        for position in self.sorted() {
            let tag = self.text(position);
            while sorted.next_if(|(other, _)| other.as_str() < tag).is_some() {}
            if let Some((_, at)) = sorted.next_if(|(other, _)| other == tag) {
                appeared.push((position, at.as_second()));
            }
        }
        self.with_positions(appeared)
    }

    /// Whether both list the same tags in the same order, whenever they appeared.
    #[must_use]
    pub fn same_names(&self, other: &Self) -> bool {
        self.names == other.names && self.ends == other.ends
    }

    /// The tags of this list that `other` lacks.
    #[must_use]
    pub fn without(&self, other: &Self) -> Vec<TagRef<'_>> {
        let lacking = self.compare(other).filter_map(|found| match found {
            Compared::Here(position) => Some(TagRef::listed(self.text(position))),
            Compared::There | Compared::Both(..) => None,
        });
        lacking.collect()
    }

    /// This list, followed by `more` tags, none of which it has.
    #[must_use]
    pub fn and(&self, more: &[&Tag]) -> Self {
        let mut names = self.names.to_string();
        let mut ends = self.ends.to_vec();
        for tag in more {
            names.push_str(tag.as_str());
            ends.extend(u32::try_from(names.len()));
        }
        Self { names: names.into(), ends: ends.into(), appeared: self.appeared.clone() }
    }

    fn with_positions(self, mut appeared: Vec<(u32, i64)>) -> Self {
        appeared.sort_unstable();
        Self { appeared: appeared.into_boxed_slice(), ..self }
    }

    fn appeared_at(&self, position: u32) -> Option<Timestamp> {
        let at = self.appeared.binary_search_by_key(&position, |(position, _)| *position).ok()?;
        Timestamp::from_second(self.appeared.get(at)?.1).ok()
    }

    fn position(&self, tag: &Tag) -> Option<usize> {
        self.iter().position(|listed| listed.as_str() == tag.as_str())
    }

    fn at(&self, position: usize) -> TagRef<'_> {
        let end = |position: usize| self.ends.get(position).map_or(0, |end| *end as usize);
        let start = position.checked_sub(1).map_or(0, end);
        TagRef::listed(self.names.get(start..end(position)).unwrap_or_default())
    }

    fn text(&self, position: u32) -> &str {
        self.at(position as usize).as_str()
    }

    /// The positions in alphabetical order. Registries mostly list in that order already.
    fn sorted(&self) -> Vec<u32> {
        let mut positions: Vec<u32> =
            (0..self.ends.len()).filter_map(|position| u32::try_from(position).ok()).collect();
        positions.sort_unstable_by(|a, b| self.text(*a).cmp(self.text(*b)));
        positions
    }

    /// Every tag of either list, with its positions, in alphabetical order.
    fn compare(&self, other: &Self) -> impl Iterator<Item = Compared> {
        let (mut mine, mut theirs) = (self.sorted().into_iter().peekable(), other.sorted().into_iter().peekable());
        std::iter::from_fn(move || {
            let order = match (mine.peek(), theirs.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(here), Some(there)) => self.text(*here).cmp(other.text(*there)),
            };
            match order {
                Ordering::Less => mine.next().map(Compared::Here),
                Ordering::Greater => theirs.next().map(|_| Compared::There),
                Ordering::Equal => Some(Compared::Both(mine.next()?, theirs.next()?)),
            }
        })
    }
}

/// Which of two lists a tag is in, and where.
enum Compared {
    Here(u32),
    There,
    Both(u32, u32),
}

impl fmt::Debug for TagList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(TagRef::as_str)).finish()
    }
}

impl<'t> FromIterator<TagRef<'t>> for TagList {
    fn from_iter<I: IntoIterator<Item = TagRef<'t>>>(tags: I) -> Self {
        let mut builder = TagListBuilder::default();
        for tag in tags {
            builder.push(tag);
        }
        builder.finish()
    }
}

impl FromIterator<Tag> for TagList {
    fn from_iter<I: IntoIterator<Item = Tag>>(tags: I) -> Self {
        let mut builder = TagListBuilder::default();
        for tag in tags {
            builder.push(tag.borrowed());
        }
        builder.finish()
    }
}

/// Builds a [`TagList`] tag by tag.
#[derive(Debug, Default)]
pub struct TagListBuilder {
    names: String,
    ends: Vec<u32>,
    hasher: RandomState,
    /// The position of the first tag with this hash; the hash is short, so that a million tags take little memory.
    known: HashMap<u32, u32>,
    /// Tags whose hash collides with another one's.
    colliding: HashSet<String>,
}

/// The result of adding a tag to a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was not listed yet.
    New,
    /// It is listed already.
    Known,
    /// The list is full.
    Full,
}

impl TagListBuilder {
    /// The number of tags.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no tags.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Adds a tag unless it is listed already.
    pub fn push(&mut self, tag: TagRef<'_>) -> Pushed {
        let text = tag.as_str();
        let (Ok(position), Ok(end)) = (u32::try_from(self.ends.len()), u32::try_from(self.names.len() + text.len()))
        else {
            return Pushed::Full;
        };
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
        let hash = self.hasher.hash_one(text) as u32;
        match self.known.get(&hash) {
            None => drop(self.known.insert(hash, position)),
            Some(first) if self.text(*first) == text => return Pushed::Known,
            Some(_) if !self.colliding.insert(text.to_owned()) => return Pushed::Known,
            Some(_) => {}
        }
        self.names.push_str(text);
        self.ends.push(end);
        Pushed::New
    }

    /// Adds tags, one per line, that are known to be distinct; `None` if a line is not a tag or there are too many.
    pub fn push_lines(&mut self, lines: &str) -> Option<()> {
        for line in lines.split('\n') {
            self.names.push_str(TagRef::parse(line).ok()?.as_str());
            self.ends.push(u32::try_from(self.names.len()).ok()?);
        }
        Some(())
    }

    /// Reserves room for names of this many bytes in total.
    pub fn reserve(&mut self, bytes: usize) {
        self.names.reserve(bytes);
    }

    /// The list.
    #[must_use]
    pub fn finish(self) -> TagList {
        TagList { names: self.names.into_boxed_str(), ends: self.ends.into_boxed_slice(), appeared: Box::default() }
    }

    fn text(&self, position: u32) -> &str {
        let position = position as usize;
        let start = position.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        let end = self.ends.get(position).map_or(start, |end| *end as usize);
        self.names.get(start..end).unwrap_or_default()
    }
}

/// The validators that a registry sent, for asking whether the listing has changed since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// The `ETag`, as sent.
    pub etag: Option<String>,
    /// The `Last-Modified` date, as sent.
    pub last_modified: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(tags: &[&str]) -> TagList {
        tags.iter().map(|tag| TagRef::parse(tag).unwrap()).collect()
    }

    fn names(list: &TagList) -> Vec<&str> {
        list.iter().map(TagRef::as_str).collect()
    }

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn appearances(list: &TagList) -> Vec<(&str, i64)> {
        list.appearances().map(|(tag, at)| (tag.as_str(), at.as_second())).collect()
    }

    #[test]
    fn a_tag_is_listed_once_and_in_its_place() {
        let list = list(&["b", "a", "b", "c", "a"]);
        assert_eq!(names(&list), ["b", "a", "c"]);
        assert!(list.contains(&Tag::parse("c").unwrap()) && !list.contains(&Tag::parse("d").unwrap()));
    }

    #[test]
    fn what_an_earlier_list_lacks_appeared_with_the_later_one() {
        let first = list(&["v1", "v0"]);
        let second_list = list(&["v1", "v2", "v0"]).following(&first, second(20));
        assert_eq!(appearances(&second_list), [("v2", 20)]);
        // What goes and comes back is new; what stays keeps its time.
        let third = list(&["v3", "v2", "v1"]).following(&second_list, second(30));
        assert_eq!(appearances(&third), [("v3", 30), ("v2", 20)]);
        let fourth = list(&["v0", "v2"]).following(&third, second(40));
        assert_eq!(appearances(&fourth), [("v0", 40), ("v2", 20)]);
        assert_eq!(fourth.appeared(&Tag::parse("v0").unwrap()), Some(second(40)));
        assert_eq!(fourth.appeared(&Tag::parse("v1").unwrap()), None);
    }

    proptest! {
        #[test]
        fn lists_are_compared_as_sets(mine in proptest::collection::vec("[ab]{1,3}", 0..20),
                                      theirs in proptest::collection::vec("[ab]{1,3}", 0..20)) {
            let set = |tags: &[String]| tags.iter().cloned().collect::<std::collections::BTreeSet<_>>();
            let of = |tags: &[String]| list(&tags.iter().map(String::as_str).collect::<Vec<_>>());
            let lacking: Vec<String> = set(&mine).difference(&set(&theirs)).cloned().collect();
            let (mine, theirs) = (of(&mine), of(&theirs));
            let found: Vec<String> = mine.without(&theirs).into_iter().map(|tag| tag.as_str().to_owned()).collect();
            prop_assert_eq!(&found, &lacking);
            // The same times, found by tag or by comparison.
            let followed = mine.clone().following(&theirs, second(7));
            let appearing = mine.appearing(lacking.into_iter().map(|tag| (tag, second(7))));
            prop_assert_eq!(followed, appearing);
        }
    }
}
