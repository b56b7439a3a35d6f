//! Patterns of key paths: regular expressions whose group `tag` is a version, looked for in texts that come from anybody.
//!
//! Promise: what a search costs is counted as it goes, in steps, and ends with an error where a text, or all of a repository in one cycle,
//! has cost what it may. Steps are the same on every machine, so the same text ends the same way everywhere.
//!
//! Design: a lazy automaton walks the text byte by byte to the end of a match, another one back to its start, and only within the match a
//! slower machine finds the groups. So each byte that is looked at is counted, however often, as is each state of the automatons that has to
//! be made, and within matches each of the pattern's own states for each byte. An expression can make a text expensive in all three
//! ways; a usual one costs little more than the text's length.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::hybrid::regex::Regex as Automatons;
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use schemars::JsonSchema;
use serde::Deserialize;

use super::key_path::{KeyPathError, MAX_TEXT, refused};

/// Maximum size of a compiled pattern in bytes.
const MAX_COMPILED: usize = 1 << 18;
/// Maximum size of an automaton while it searches, in bytes.
const MAX_CACHE: usize = 1 << 20;

/// Maximum size of a text that a pattern is looked for in, in bytes.
const MAX_SEARCHED: usize = 1_000_000;
/// Maximum number of matches in a text.
const MAX_MATCHES: usize = 100_000;
/// Maximum number of steps for one pattern in one text, and for all of a repository in one cycle. A step takes one to three nanoseconds.
const MAX_STEPS: u64 = 1 << 28;
const MAX_ALL_STEPS: u64 = 1 << 30;
/// After so many bytes at least, it is counted what the automaton has grown by.
const STRIDE: usize = 512;

/// How often a pattern may match in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Matches {
    /// Exactly once.
    One,
    /// Any number of times but never.
    Every,
}

/// Where a pattern's groups are in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextMatch {
    /// The group `tag`: a tag, `tag@digest`, or a whole reference.
    pub tag: Range<usize>,
    /// The group `digest`.
    pub digest: Option<Range<usize>>,
    /// The group `image`.
    pub image: Option<Range<usize>>,
}

/// Why a pattern is not looked for in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SearchLimit {
    /// The text is too large.
    Size,
    /// There are too many matches.
    Matches,
    /// Looking for it in this text takes too many steps.
    Steps,
    /// All patterns of the repository have taken as many steps as they may in one cycle.
    AllSteps,
}

impl fmt::Display for SearchLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size => write!(f, "the file is larger than {} MB", MAX_SEARCHED / 1_000_000),
            Self::Matches => f.write_str("it matches too often"),
            Self::Steps => f.write_str("that takes too long in a file like this; begin it with ^ and what stands there, and repeat less"),
            Self::AllSteps => f.write_str(
                "the patterns of this repository have taken as long as they may in one cycle; write fewer of them, for fewer and smaller `files`",
            ),
        }
    }
}

/// The steps that all searches of a repository may still take in a cycle. Clones share them.
#[derive(Debug, Clone)]
pub struct SearchBudget {
    /// What one pattern may take in one text, and all in a cycle.
    one: u64,
    all: u64,
    left: Arc<AtomicU64>,
}

impl Default for SearchBudget {
    fn default() -> Self {
        Self::of(MAX_STEPS, MAX_ALL_STEPS)
    }
}

impl SearchBudget {
    fn of(one: u64, all: u64) -> Self {
        Self { one, all, left: Arc::new(AtomicU64::new(all)) }
    }

    /// From now on there is all of it again.
    pub fn refill(&self) {
        self.left.store(self.all, Ordering::Relaxed);
    }

    /// How many steps are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    fn spend(&self, steps: u64) {
        let less = |left: u64| Some(left.saturating_sub(steps));
        // It never fails: there is always a next value.
        let _before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// A regular expression whose group `tag` is a value. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TextPattern {
    compiled: Arc<Compiled>,
    matches: Matches,
}

#[derive(Debug)]
struct Compiled {
    text: Box<str>,
    automatons: Automatons,
    groups: PikeVM,
    tag: usize,
    digest: Option<usize>,
    image: Option<usize>,
}

impl TextPattern {
    /// Compiles a pattern; `^` and `$` match at the start and end of each line.
    ///
    /// # Errors
    /// If it is not a regular expression, is too large, or has no group `tag`.
    pub fn parse(text: &str, matches: Matches) -> Result<Self, KeyPathError> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(refused(text, format!("is no pattern: it is empty or longer than {MAX_TEXT} characters")));
        }
        let wrong = |error: &dyn fmt::Display| {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default();
            refused(text, format!("is no regular expression: {}", last.trim_start_matches("error: ")))
        };
        let lines = syntax::Config::new().multi_line(true).crlf(true);
        // The parser's own error says what is wrong, and where.
        let mut parser = regex_syntax::ParserBuilder::new();
        parser.multi_line(true).crlf(true).build().parse(text).map_err(|error| wrong(&error))?;
        let sized = thompson::Config::new().nfa_size_limit(Some(MAX_COMPILED));
        let dfa = DFA::config().cache_capacity(MAX_CACHE).skip_cache_capacity_check(true).unicode_word_boundary(true);
        let large = |_| refused(text, "is too large when compiled: repeat less, and name fewer classes of characters");
        let automatons =
            Automatons::builder().syntax(lines).thompson(sized.clone()).dfa(dfa).build(text).map_err(|_| large(()))?;
        let groups = PikeVM::builder()
            .syntax(lines)
            .thompson(sized.which_captures(WhichCaptures::All))
            .build(text)
            .map_err(|_| large(()))?;
        let names: Vec<(usize, &str)> = groups
            .get_nfa()
            .group_info()
            .pattern_names(regex_automata::PatternID::ZERO)
            .enumerate()
            .filter_map(|(number, name)| Some((number, name?)))
            .collect();
        let group = |wanted| names.iter().find(|(_, name)| *name == wanted).map(|(number, _)| *number);
        let Some(tag) = group("tag") else {
            return Err(refused(text, "has no group `tag`: write `(?P<tag>…)` around what is to be updated"));
        };
        if let Some((_, other)) = names.iter().find(|(_, name)| !["tag", "digest", "image"].contains(name)) {
            return Err(refused(text, format!("has the group `{other}`; the groups are `tag`, `digest` and `image`")));
        }
        let (digest, image) = (group("digest"), group("image"));
        let compiled = Compiled { text: text.into(), automatons, groups, tag, digest, image };
        Ok(Self { compiled: Arc::new(compiled), matches })
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.compiled.text
    }

    /// How often it may match.
    #[must_use]
    pub fn matches(&self) -> Matches {
        self.matches
    }

    /// What it finds in a text; matches in which the group `tag` takes no part are not reported, but count for the bound.
    ///
    /// # Errors
    /// If the text is too large, it matches too often, or that takes too many steps.
    pub fn find(&self, text: &str, budget: &SearchBudget) -> Result<Vec<TextMatch>, SearchLimit> {
        if text.len() > MAX_SEARCHED {
            return Err(SearchLimit::Size);
        }
        let mut search = Search::new(&self.compiled, text, budget);
        let found = search.all();
        let grown = search.grown();
        let ended = search.spend(grown);
        found.and_then(|found| ended.map(|()| found))
    }
}

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str() && self.matches == other.matches
    }
}

impl Eq for TextPattern {}

impl Hash for TextPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
        self.matches.hash(state);
    }
}

/// One search through a text.
struct Search<'s> {
    pattern: &'s Compiled,
    text: &'s str,
    budget: &'s SearchBudget,
    /// Steps so far.
    steps: u64,
    forward: Cache,
    reverse: Cache,
    groups: Option<(pikevm::Cache, Captures)>,
    /// What was counted of the automatons' size.
    counted: u64,
}

/// A whole match, and its groups if `tag` is among them.
type Found = (Range<usize>, Option<TextMatch>);

/// Where a match ends, as far as the automaton can tell.
enum End {
    Nowhere,
    At(usize),
    /// It cannot, because of what `\b` means beside letters that are not ASCII.
    Unknown,
}

impl<'s> Search<'s> {
    fn new(pattern: &'s Compiled, text: &'s str, budget: &'s SearchBudget) -> Self {
        let forward = pattern.automatons.forward().create_cache();
        let reverse = pattern.automatons.reverse().create_cache();
        Self { pattern, text, budget, steps: 0, forward, reverse, groups: None, counted: 0 }
    }

    /// Whether so many steps more are allowed.
    fn afford(&self, steps: u64) -> Result<(), SearchLimit> {
        if self.steps.saturating_add(steps) > self.budget.one {
            return Err(SearchLimit::Steps);
        }
        if steps >= self.budget.left() { Err(SearchLimit::AllSteps) } else { Ok(()) }
    }

    fn spend(&mut self, steps: u64) -> Result<(), SearchLimit> {
        let may = self.afford(steps);
        self.steps = self.steps.saturating_add(steps);
        self.budget.spend(steps);
        may
    }

    /// What the automatons have grown by since the last time, in bytes: making a state takes about as long as it is large.
    fn grown(&mut self) -> u64 {
        let size = |cache: &Cache| (cache.clear_count() * MAX_CACHE + cache.memory_usage()) as u64;
        let now = size(&self.forward) + size(&self.reverse);
        let grown = now.saturating_sub(self.counted);
        self.counted = self.counted.max(now);
        grown
    }

    fn all(&mut self) -> Result<Vec<TextMatch>, SearchLimit> {
        let (mut found, mut count, mut at, mut last) = (Vec::new(), 0, 0, None);
        while at <= self.text.len() {
            let Some((whole, one)) = self.next(at)? else { break };
            at = if whole.is_empty() { self.behind(whole.end) } else { whole.end };
            // As for every engine, what is empty right behind a match is none.
            if whole.is_empty() && last == Some(whole.end) {
                continue;
            }
            last = Some(whole.end);
            count += 1;
            if count > MAX_MATCHES {
                return Err(SearchLimit::Matches);
            }
            found.extend(one);
        }
        Ok(found)
    }

    /// The start of the next character.
    fn behind(&self, at: usize) -> usize {
        let next = (at + 1..self.text.len()).find(|next| self.text.is_char_boundary(*next));
        next.unwrap_or(self.text.len().max(at + 1))
    }

    /// The first match from a place on, and its groups if `tag` is among them.
    fn next(&mut self, mut from: usize) -> Result<Option<Found>, SearchLimit> {
        loop {
            let end = match self.end(from)? {
                End::Nowhere => return Ok(None),
                End::At(end) => end,
                End::Unknown => return self.groups(from..self.text.len(), Anchored::No),
            };
            let Some(start) = self.start(from..end)? else {
                return self.groups(from..self.text.len(), Anchored::No);
            };
            // An empty match is between characters, not within one.
            if start == end && !self.text.is_char_boundary(end) {
                from = self.behind(end);
                continue;
            }
            return self.groups(start..end, Anchored::Yes);
        }
    }

    /// Where the first match from a place on ends.
    fn end(&mut self, from: usize) -> Result<End, SearchLimit> {
        let pattern = self.pattern;
        let dfa = pattern.automatons.forward();
        let input = Input::new(self.text).range(from..);
        let Ok(mut state) = dfa.start_state_forward(&mut self.forward, &input) else { return Ok(End::Unknown) };
        let (mut end, bytes) = (None, self.text.as_bytes());
        let mut at = from;
        while let Some(part) =
            bytes.get(at..).filter(|rest| !rest.is_empty()).map(|rest| &rest[..rest.len().min(STRIDE)])
        {
            let walked = walk(dfa, &mut self.forward, &mut state, part);
            let grown = self.grown();
            self.spend(part.len() as u64 + grown)?;
            match walked {
                Walked::Through(found) => end = found.map(|found| at + found).or(end),
                Walked::Dead(found) => return Ok(found.map(|found| at + found).or(end).map_or(End::Nowhere, End::At)),
                Walked::Lost => return Ok(End::Unknown),
            }
            at += part.len();
        }
        let last = dfa.next_eoi_state(&mut self.forward, state);
        let Ok(last) = last else { return Ok(End::Unknown) };
        if last.is_match() {
            end = Some(bytes.len());
        }
        Ok(end.map_or(End::Nowhere, End::At))
    }

    /// Where the match starts that ends at the end of a range; `None` if the automaton cannot tell.
    fn start(&mut self, within: Range<usize>) -> Result<Option<usize>, SearchLimit> {
        let length = within.len() as u64;
        let input = Input::new(self.text).range(within).anchored(Anchored::Yes);
        let dfa = self.pattern.automatons.reverse();
        let found = dfa.try_search_rev(&mut self.reverse, &input);
        let grown = self.grown();
        self.spend(length + grown)?;
        Ok(found.ok().flatten().map(|found| found.offset()))
    }

    /// The match within a range, by the machine that knows groups.
    fn groups(&mut self, within: Range<usize>, anchored: Anchored) -> Result<Option<Found>, SearchLimit> {
        let machine = &self.pattern.groups;
        let steps = (within.len() as u64 + 1) * machine.get_nfa().states().len() as u64;
        self.afford(steps)?;
        self.spend(steps)?;
        let (cache, captures) = self.groups.get_or_insert_with(|| (machine.create_cache(), machine.create_captures()));
        machine.captures(cache, Input::new(self.text).range(within).anchored(anchored), captures);
        let Some(whole) = captures.get_match() else { return Ok(None) };
        let group = |number: usize| captures.get_group(number).map(|span| span.range());
        let digest = self.pattern.digest.and_then(group);
        let image = self.pattern.image.and_then(group);
        Ok(Some((whole.range(), group(self.pattern.tag).map(|tag| TextMatch { tag, digest, image }))))
    }
}

/// What comes of walking a part of a text, with the end of the last match in it.
enum Walked {
    Through(Option<usize>),
    /// There can be no other match.
    Dead(Option<usize>),
    /// The automaton cannot go on.
    Lost,
}

/// Walks from a state through all of these bytes. That of a match is known one byte late.
fn walk(dfa: &DFA, cache: &mut Cache, state: &mut LazyStateID, bytes: &[u8]) -> Walked {
    let mut end = None;
    for (at, byte) in bytes.iter().enumerate() {
        let Ok(next) = dfa.next_state(cache, *state, *byte) else { return Walked::Lost };
        *state = next;
        if next.is_match() {
            end = Some(at);
        } else if next.is_dead() {
            return Walked::Dead(end);
        } else if next.is_quit() {
            return Walked::Lost;
        }
    }
    Walked::Through(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> TextPattern {
        TextPattern::parse(text, Matches::Every).unwrap()
    }

    fn find(text: &str, within: &str) -> Result<Vec<TextMatch>, SearchLimit> {
        pattern(text).find(within, &SearchBudget::default())
    }

    #[test]
    fn a_pattern_names_its_value() {
        let found = find(r"^FROM (?P<image>\S+?):(?P<tag>\S+)$", "FROM a:1\r\nFROM b:2\n").unwrap();
        assert_eq!(found.len(), 2, "line ends of both kinds");
        assert_eq!((found[0].tag.clone(), found[1].image.clone()), (7..8, Some(15..16)));
        assert_eq!(find("(?P<tag>x)|y", "y x").unwrap().len(), 1);
        let long = "x".repeat(MAX_TEXT);
        for text in
            ["", "x", "(?P<tag>", "(?P<tag>x)(?P<other>y)", "(?P<tag>(a{1000}){1000})", &format!("(?P<tag>{long})")]
        {
            assert!(TextPattern::parse(text, Matches::One).is_err(), "{text}");
        }
    }

    #[test]
    fn a_search_is_bounded_by_the_text_and_the_number_of_matches() {
        let large = "x".repeat(MAX_SEARCHED);
        assert_eq!(find("^(?P<tag>y)", &format!("{large}x")), Err(SearchLimit::Size));
        // None of the matches has the group.
        assert_eq!(find("(?P<tag>y)|", &large), Err(SearchLimit::Matches));
        assert_eq!(find("(?P<tag>1)", &"1\n".repeat(20_000)).map(|found| found.len()), Ok(20_000));
    }

    #[test]
    fn what_a_search_costs_is_counted_however_the_pattern_makes_it_expensive() {
        let mut number = 1_u32;
        let mut bit = || {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if number & 1 << 30 == 0 { 'a' } else { 'b' }
        };
        let noise: String = (0..100_000).map(|_| bit()).collect();
        let (one, all) = (1 << 21, 1 << 23);
        let budget = SearchBudget::of(one, all);
        for costly in [
            // A state of its own for each byte.
            "(?P<tag>a[ab]{180}c|b[ab]{200}d)",
            // A match at each byte that looks at the rest of the text.
            "(?P<tag>[ab])(?:[ab]*c)?",
            // The whole text as one match with hundreds of states.
            "(?s)(?P<tag>(?:[ab]?){200}.*)",
        ] {
            budget.refill();
            assert_eq!(pattern(costly).find(&noise, &budget), Err(SearchLimit::Steps), "{costly}");
            let spent = all - budget.left();
            assert!(spent < one + (one >> 1), "{costly}: {spent}");
            budget.spend(all);
            assert_eq!(pattern(costly).find(&noise, &budget), Err(SearchLimit::AllSteps), "{costly}");
        }
        // What people write costs little.
        let budget = SearchBudget::default();
        let usual = "image: ghcr.io/acme/web:1.2.3 # é\n".repeat(20_000);
        let found = pattern(r#"^image: (?P<image>[\w./-]+):(?P<tag>\S+)"#).find(&usual, &budget);
        assert_eq!(found.map(|found| found.len()), Ok(20_000));
        assert_eq!(pattern(r"\b(?P<tag>\d+\.\d+)\b").find("web 1.2\nünder 3.4\n", &budget).unwrap().len(), 2);
    }

    /// What the usual engine finds.
    fn expected(text: &str, within: &str) -> Vec<TextMatch> {
        let regex = regex::RegexBuilder::new(text).multi_line(true).crlf(true).build().unwrap();
        let one = |found: regex::Captures<'_>| {
            let group = |name| found.name(name).map(|group| group.range());
            group("tag").map(|tag| TextMatch { tag, digest: group("digest"), image: group("image") })
        };
        regex.captures_iter(within).filter_map(one).collect()
    }

    proptest! {
        #[test]
        fn matches_are_those_of_the_usual_engine(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("a"), Just("b*"), Just("(?:ab|a)"), Just("é?"), Just("[^b]"), Just("."), Just("$"), Just("^"), Just("\\b"),
                    Just("(?P<image>a+?)"), Just("(?P<digest>b|)"), Just("\\s*"), Just("(?:a|b){1,3}?"), Just("\\z"), Just("\\B"),
                ],
                0..5,
            ),
            tag in prop_oneof![Just("(?P<tag>a)"), Just("(?P<tag>[ab]+)"), Just("(?P<tag>.?)"), Just("(?:(?P<tag>b)|)")],
            at in 0..5_usize,
            text in "[abé \r\n]{0,24}",
        ) {
            let at = at.min(parts.len());
            let pattern_text = format!("{}{tag}{}", parts[..at].concat(), parts[at..].concat());
            prop_assume!(regex::Regex::new(&pattern_text).is_ok());
            let found = find(&pattern_text, &text).unwrap();
            prop_assert_eq!(found, expected(&pattern_text, &text), "{} in {:?}", pattern_text, text);
        }
    }
}
