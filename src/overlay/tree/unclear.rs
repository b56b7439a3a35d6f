//! Whether all readers of YAML take the same value at a key.
//!
//! They do not where a key is written twice (most take the last one, some the first, others refuse the file), or in another spelling,
//! too: Go's JSON, through which Kustomize and Helm read their own files, takes a key in whatever case. And `<<` counts less than
//! the mapping's own keys in YAML, but where it stands after them, go-yaml 2, with which Helm reads values, takes what it merges in.

use super::{Id, Tree, shown_key};

/// How many mappings are merged in and how many keys of them, and over how many levels: what [`Tree::read`] follows.
const MERGED: usize = 4;
const MERGED_KEYS: usize = 100;
const LEVELS: u8 = 2;

/// How what reads a mapping spells its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::overlay) enum Spelling {
    /// As given: any other spelling may be the same to some readers.
    Exact,
    /// In any case, as charts do: one spelling is as good as another, but two are two keys.
    AnyCase,
}

/// Why another reader may take another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::overlay) enum Unclear {
    /// A key is written again, in this line.
    Twice { key: String, line: u32 },
    /// Another key, in this line, may count in its place.
    Other { key: String, other: String, line: u32 },
    /// The `<<` in this line merges in more than is followed.
    More { line: u32 },
}

/// The keys that are looked for, and the spelling that each has.
struct Wanted<'k> {
    keys: &'k [&'k str],
    spelled: Vec<Option<&'k str>>,
}

impl Tree<'_> {
    /// Why readers may not agree with [`get`](Tree::get) and [`read`](Tree::read) on what a mapping says at these keys (at most 32).
    pub(in crate::overlay) fn unclear(&self, mapping: Id, keys: &[&str], spelling: Spelling) -> Option<Unclear> {
        let spelled = keys.iter().map(|key| (spelling == Spelling::Exact).then_some(*key)).collect();
        self.unclear_in(self.target(mapping), (usize::MAX, LEVELS), &mut Wanted { keys, spelled }, 0)
    }

    /// The same for keys that a mapping has itself, of what `<<` merges in; `before` has the bits of those that stand before it.
    pub(in crate::overlay) fn unclear_below(&self, merge: (Id, Id), keys: &[&str], before: u32) -> Option<Unclear> {
        let spelled = keys.iter().map(|key| Some(*key)).collect();
        let wanted = &mut Wanted { keys, spelled };
        let found = self.unclear_bases(merge, LEVELS, wanted, before);
        // What is not followed can only count where it would be merged over them.
        found.filter(|unclear| before != 0 || !matches!(unclear, Unclear::More { .. }))
    }

    fn unclear_in<'k>(
        &'k self,
        mapping: Id,
        (limit, levels): (usize, u8),
        wanted: &mut Wanted<'k>,
        before: u32,
    ) -> Option<Unclear> {
        let (mut own, mut merge) = (before, None);
        for (key, value) in self.entries(mapping).take(limit) {
            let Some(name) = self.scalar(key).map(|key| key.value.as_ref()) else { continue };
            let line = self.node(key).line;
            if name == "<<" {
                if merge.is_some() {
                    return Some(Unclear::Twice { key: name.to_owned(), line });
                }
                merge = Some(((key, value), own));
                continue;
            }
            let Some(number) = wanted.keys.iter().position(|key| is_same_in_any_case(key, name)) else { continue };
            let spelled = *wanted.spelled.get_mut(number)?.get_or_insert(name);
            if let Some(line) = self.doubled.get(&value) {
                return Some(Unclear::Twice { key: shown_key(name), line: *line });
            }
            if spelled != name || before & (1 << number) != 0 {
                return Some(Unclear::Other { key: shown_key(spelled), other: shown_key(name), line });
            }
            own |= 1 << number;
        }
        if limit < usize::MAX && self.entries(mapping).nth(limit).is_some() {
            return Some(Unclear::More { line: self.node(mapping).line });
        }
        let (merge, own) = merge?;
        self.unclear_bases(merge, levels, wanted, own)
    }

    fn unclear_bases<'k>(
        &'k self,
        (key, value): (Id, Id),
        levels: u8,
        wanted: &mut Wanted<'k>,
        before: u32,
    ) -> Option<Unclear> {
        let merge = self.target(value);
        let bases = if self.is_mapping(merge) { std::slice::from_ref(&merge) } else { self.items(merge) };
        let Some(levels) = levels.checked_sub(1).filter(|_| bases.len() <= MERGED) else {
            return (!bases.is_empty()).then(|| Unclear::More { line: self.node(key).line });
        };
        let mut bases = bases.iter().map(|base| self.target(*base));
        bases.find_map(|base| self.unclear_in(base, (MERGED_KEYS, levels), wanted, before))
    }

    /// Every value that some reader takes at a key: the first, the last, and the one that is merged in over them.
    pub(in crate::overlay) fn either(&self, id: Id, key: &str) -> Vec<Id> {
        let is = |entry: &(Id, Id), key: &str| self.scalar(entry.0).is_some_and(|name| name.value == key);
        let of_key = || self.entries(id).filter(|entry| is(entry, key));
        let mut own: Vec<(Id, Id)> = of_key().next().into_iter().chain(of_key().last()).collect();
        own.dedup();
        let is_over = |merge: Id| own.first().is_none_or(|(first, _)| *first < merge);
        let is_merged = self.entries(id).any(|entry| is(&entry, "<<") && is_over(entry.0));
        let merged = is_merged.then(|| self.merged(id, usize::MAX, key, LEVELS)).flatten();
        own.iter().map(|(_, value)| self.target(*value)).chain(merged).collect()
    }

    /// The texts of these values.
    pub(in crate::overlay) fn texts(&self, ids: &[Id], key: &str) -> Vec<&str> {
        let values = ids.iter().flat_map(|id| self.either(*id, key));
        values.filter_map(|value| self.scalar(value)).map(|scalar| scalar.value.as_ref()).collect()
    }
}

/// Whether two keys are one for readers that do not tell case apart; for Go's JSON, two letters beyond ASCII are others' capitals.
pub(in crate::overlay) fn is_same_in_any_case(key: &str, other: &str) -> bool {
    if key.len() == other.len() && key.eq_ignore_ascii_case(other) {
        return true;
    }
    let folded = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    other.len() <= 3 * key.len() && !other.is_ascii() && key.chars().map(folded).eq(other.chars().map(folded))
}
