//! Version ranges as users of Cargo, npm and Masterminds/semver (Flux, Argo CD Image Updater, Helm) write them.
//!
//! Promise: a range that all of them read alike means the same here. Where they differ, the choice is listed below.
//! What none of them accepts is an error that points at the place.
//!
//! - `=1.2.3`, `==1.2.3` and plain `1.2.3` are that version only (npm, Masterminds; Cargo reads plain `1.2.3` as `^1.2.3`)
//! - `1.2`, `1.2.x`, `1.2.*`, `1.x`, `*` stand for every version that starts so; `=` before them changes nothing
//! - `>`, `>=`, `<`, `<=`, `!=` (also `=>`, `=<`) compare as many parts as are written: `>1.2` is 1.3.0 and up, `<=1.4`
//!   includes 1.4.9
//! - `^1.2.3` keeps the leftmost part that is not zero, `~1.2.3` and `~1.2` keep the minor, `~1` the major; `~>` is `~`
//! - `1.2 - 1.4` (with spaces) is `>=1.2 <=1.4`
//! - space or comma is "and", `||` is "or"; spaces after operators and a leading `v` do not matter; build metadata is
//!   ignored
//!
//! Prereleases match only if they are allowed (`prereleases`), if a comparator of the same alternative names a
//! prerelease of the same three numbers (npm), or if a lower bound ends in `-0` (Masterminds' way to request them:
//! `>=1.0.0-0`, `*-0`). An upper bound of fewer than three parts never includes a prerelease of the next version:
//! 2.0.0-rc.1 is in neither `^1.2` nor `<2`, but it is in `<2.0.0`, as precedence says.
//!
//! A range that is written for a chart is read as Helm reads it ([`VersionRange::of_chart`]).

use super::SelectError;
use super::version::{ParsedVersion, is_prerelease};

/// Ranges are written by people; longer ones are mistakes or attacks.
const MAX_LENGTH: usize = 2000;

/// A range of versions; see the rules above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange {
    text: String,
    any_of: Vec<All>,
    /// Another range in which a version must be, too.
    within: Option<Box<Within>>,
}

/// A second range, and whether prereleases match it without further conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Within {
    range: VersionRange,
    prereleases: bool,
}

/// Comparators that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct All {
    comparators: Vec<Comparator>,
    /// Whether a lower bound ends in `-0`.
    prereleases: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparator {
    operator: Operator,
    operand: Operand,
}

/// A version, as far as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Operand {
    /// Empty for `*`, three for a complete version.
    parts: Vec<String>,
    pre: Option<String>,
    /// Written with fewer than three parts, or with a wildcard, and `-0`.
    bare_zero: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Caret,
    Tilde,
}

/// What a range says about a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RangeMatch {
    // The least first: with two ranges, the lesser counts.
    Outside,
    /// It would match if prereleases were allowed.
    Prerelease,
    Inside,
}

impl VersionRange {
    /// Parses a range.
    ///
    /// # Errors
    /// If the text is empty or not a range; the offset points at the place.
    pub fn parse(text: &str) -> Result<Self, SelectError> {
        if text.len() > MAX_LENGTH {
            return Err(SelectError::at(MAX_LENGTH, format!("the range is longer than {MAX_LENGTH} characters")));
        }
        if text.trim().is_empty() {
            return Err(SelectError::at(0, "the range is empty; `*` stands for every version"));
        }
        let mut parser = Parser { text, at: 0 };
        let mut any_of = vec![parser.all()?];
        while parser.eat("||") {
            any_of.push(parser.all()?);
        }
        Ok(Self { text: text.to_owned(), any_of, within: None })
    }

    /// Parses a range of a chart's versions as Helm reads it (Masterminds/semver 3, "Working With Prerelease Versions"): an
    /// alternative that names any prerelease, `-0` among them, takes all prereleases; what is not written of a bound is zero, so that
    /// 2.0.0-rc.1 is in `>=1.0.0-0 <2`.
    ///
    /// # Errors
    /// As [`VersionRange::parse`].
    pub fn of_chart(text: &str) -> Result<Self, SelectError> {
        let mut range = Self::parse(text)?;
        for all in &mut range.any_of {
            all.prereleases = all.comparators.iter().any(|it| it.operand.pre.is_some() || it.operand.bare_zero);
            all.comparators = std::mem::take(&mut all.comparators).into_iter().flat_map(Comparator::filled).collect();
        }
        Ok(range)
    }

    /// The versions of it that are in another range, too; `prereleases`: that one takes them without further conditions.
    #[must_use]
    pub fn within(self, range: Self, prereleases: bool) -> Self {
        Self { within: Some(Box::new(Within { range, prereleases })), ..self }
    }

    /// The range as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the range says about a version; `allowed`: prereleases match without further conditions.
    pub(super) fn verdict(&self, version: &ParsedVersion<'_>, allowed: bool) -> RangeMatch {
        let own = self.own_verdict(version, allowed);
        let within = self.within.as_ref().map(|within| within.range.verdict(version, within.prereleases));
        within.map_or(own, |within| within.min(own))
    }

    fn own_verdict(&self, version: &ParsedVersion<'_>, allowed: bool) -> RangeMatch {
        let mut verdict = RangeMatch::Outside;
        for all in self.any_of.iter().filter(|all| all.comparators.iter().all(|c| c.holds(version))) {
            if allowed || !version.is_prerelease() || all.asks_for(version) {
                return RangeMatch::Inside;
            }
            verdict = RangeMatch::Prerelease;
        }
        verdict
    }
}

impl All {
    /// Whether the alternative itself asks for this prerelease.
    fn asks_for(&self, version: &ParsedVersion<'_>) -> bool {
        let named = |c: &Comparator| {
            c.operator != Operator::Unequal
                && c.operand.pre.is_some()
                && version.compare_parts(&c.operand.parts).is_eq()
        };
        self.prereleases || self.comparators.iter().any(named)
    }
}

impl Comparator {
    fn holds(&self, version: &ParsedVersion<'_>) -> bool {
        let Operand { parts, pre, .. } = &self.operand;
        let mut order = version.compare_parts(parts);
        if parts.len() == 3 {
            order = order.then_with(|| version.compare_pre(pre.as_deref()));
        }
        let keeps = |count: usize| version.compare_parts(&parts[..count.min(parts.len())]).is_eq();
        match self.operator {
            Operator::Equal => order.is_eq(),
            Operator::Unequal => order.is_ne(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Tilde => order.is_ge() && keeps(2),
            Operator::Caret => {
                let zeros = parts.iter().take_while(|part| part.bytes().all(|b| b == b'0')).count();
                order.is_ge() && keeps(zeros + 1)
            }
        }
    }

    /// The same with zeros for what is not written of a bound, as comparators that must all hold.
    fn filled(self) -> Vec<Self> {
        let mut parts = self.operand.parts.clone();
        if parts.len() == 3 {
            return vec![self];
        }
        parts.resize(3, "0".to_owned());
        let pre = self.operand.bare_zero.then(|| "0".to_owned());
        let operand = Operand { parts, pre, bare_zero: false };
        match self.operator {
            Operator::Less | Operator::GreaterOrEqual => vec![Self { operand, ..self }],
            // No version below its beginning, which a prerelease of that is.
            Operator::Equal | Operator::Tilde | Operator::Caret => {
                vec![Self { operator: Operator::GreaterOrEqual, operand }, self]
            }
            Operator::Greater | Operator::LessOrEqual | Operator::Unequal => vec![self],
        }
    }

    /// Whether a lower bound ends in `-0`.
    fn opens_prereleases(&self) -> bool {
        let lower = !matches!(self.operator, Operator::Unequal | Operator::Less | Operator::LessOrEqual);
        lower && (self.operand.bare_zero || self.operand.pre.as_deref() == Some("0"))
    }
}

/// A cursor over the text.
struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, SelectError> {
        Err(SelectError::at(self.at, message))
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// Consumes and returns the characters that `wanted` accepts.
    fn take(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let taken = rest[..rest.find(|c| !wanted(c)).unwrap_or(rest.len())].to_owned();
        self.at += taken.len();
        taken
    }

    fn spaces(&mut self) -> bool {
        !self.take(char::is_whitespace).is_empty()
    }

    fn at_end(&self) -> bool {
        self.rest().is_empty() || self.rest().starts_with("||")
    }

    /// One alternative.
    fn all(&mut self) -> Result<All, SelectError> {
        let mut comparators = Vec::new();
        self.spaces();
        if self.at_end() {
            return self.fail("an alternative is empty; `*` stands for every version");
        }
        while !self.at_end() {
            self.comparator(&mut comparators)?;
            self.spaces();
            if self.eat(",") {
                self.spaces();
                if self.at_end() {
                    return self.fail("nothing follows the comma");
                }
            }
        }
        let prereleases = comparators.iter().any(Comparator::opens_prereleases);
        Ok(All { comparators, prereleases })
    }

    fn comparator(&mut self, into: &mut Vec<Comparator>) -> Result<(), SelectError> {
        let start = self.at;
        let written = self.operator();
        self.spaces();
        let operand = self.operand()?;
        if written.is_none() && self.hyphen() {
            into.push(Comparator { operator: Operator::GreaterOrEqual, operand });
            let operand = self.operand()?;
            into.push(Comparator { operator: Operator::LessOrEqual, operand });
            return Ok(());
        }
        let operator = written.unwrap_or(Operator::Equal);
        let empty = matches!(operator, Operator::Unequal | Operator::Greater | Operator::Less);
        if empty && operand.parts.is_empty() {
            return Err(SelectError::at(start, "no version can match this"));
        }
        into.push(Comparator { operator, operand });
        Ok(())
    }

    fn operator(&mut self) -> Option<Operator> {
        const OPERATORS: [(&str, Operator); 12] = [
            (">=", Operator::GreaterOrEqual),
            ("=>", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            ("=<", Operator::LessOrEqual),
            ("!=", Operator::Unequal),
            ("==", Operator::Equal),
            ("~>", Operator::Tilde),
            (">", Operator::Greater),
            ("<", Operator::Less),
            ("=", Operator::Equal),
            ("~", Operator::Tilde),
            ("^", Operator::Caret),
        ];
        OPERATORS.into_iter().find(|(word, _)| self.eat(word)).map(|(_, operator)| operator)
    }

    /// Consumes a hyphen with spaces on both sides.
    fn hyphen(&mut self) -> bool {
        let start = self.at;
        let found = self.spaces() && self.eat("-") && self.spaces();
        if !found {
            self.at = start;
        }
        found
    }

    fn operand(&mut self) -> Result<Operand, SelectError> {
        if self.rest().starts_with(['v', 'V']) {
            self.at += 1;
        }
        let mut parts = Vec::new();
        let mut wildcard = false;
        for place in 0..3 {
            if place > 0 && !self.eat(".") {
                break;
            }
            if self.eat("*") || self.eat("x") || self.eat("X") {
                wildcard = true;
                continue;
            }
            let digits = self.take(|c| c.is_ascii_digit());
            if digits.is_empty() {
                return self.fail("a version such as 1.2.3 or a wildcard belongs here");
            }
            if wildcard {
                self.at -= digits.len();
                return self.fail("a number cannot follow a wildcard");
            }
            parts.push(digits);
        }
        if self.rest().starts_with('.') {
            return self.fail("a version has three parts");
        }
        let (pre, bare_zero) = self.prerelease(parts.len())?;
        self.build()?;
        self.end_of_operand()?;
        Ok(Operand { parts, pre, bare_zero })
    }

    fn prerelease(&mut self, parts: usize) -> Result<(Option<String>, bool), SelectError> {
        let start = self.at;
        if !self.eat("-") {
            return Ok((None, false));
        }
        let pre = self.take(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
        let message = if !is_prerelease(&pre) {
            "a prerelease is words of letters, digits and hyphens between dots"
        } else if parts < 3 && pre != "0" {
            "a prerelease needs all three parts before it; a range from one version to another has spaces around its hyphen"
        } else if parts < 3 {
            return Ok((None, true));
        } else {
            return Ok((Some(pre), false));
        };
        Err(SelectError::at(start, message))
    }

    fn build(&mut self) -> Result<(), SelectError> {
        if self.eat("+") || self.eat("_") {
            let build = self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
            if build.is_empty() {
                return self.fail("build metadata is missing");
            }
        }
        Ok(())
    }

    fn end_of_operand(&self) -> Result<(), SelectError> {
        match self.rest().chars().next() {
            None | Some(',' | '<' | '>' | '=' | '!' | '~' | '^') => Ok(()),
            Some(c) if c.is_whitespace() => Ok(()),
            Some('|') if self.at_end() => Ok(()),
            Some('|') => self.fail("alternatives are separated by `||`"),
            Some(c) => self.fail(format!("`{}` does not belong in a version", c.escape_debug())),
        }
    }
}
