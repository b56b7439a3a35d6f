//! Exact comparison of numbers written as digits.
//!
//! Promise: no number is too long and none loses a digit. Tags contain dates, build numbers and timestamps of any
//! length. Machine integers overflow on them and floating point merges neighbours, so digits are compared as text.

use std::cmp::Ordering;

/// Compares two runs of ASCII digits by value; leading zeros do not count, and an empty run is zero.
pub(super) fn compare_digits(left: &str, right: &str) -> Ordering {
    if left.len() == right.len() {
        return left.cmp(right);
    }
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// Whether the text is one or more ASCII digits.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Compares texts naturally: runs of digits by value, the rest by bytes (`r9` before `r10`). A total order: different
/// texts never compare equal.
pub(super) fn compare_natural(left: &str, right: &str) -> Ordering {
    let (mut a, mut b) = (left, right);
    while !(a.is_empty() && b.is_empty()) {
        let (word_a, number_a, rest_a) = chunk(a);
        let (word_b, number_b, rest_b) = chunk(b);
        let order = word_a.cmp(word_b).then_with(|| compare_digits(number_a, number_b));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    left.cmp(right)
}

/// A text that orders naturally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Natural<'t>(pub(super) &'t str);

impl Ord for Natural<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_natural(self.0, other.0)
    }
}

impl PartialOrd for Natural<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The leading text without digits, the digits after it, the rest.
fn chunk(text: &str) -> (&str, &str, &str) {
    let word = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (word, rest) = text.split_at(word);
    let (number, rest) = split_digits(rest);
    (word, number, rest)
}

/// The leading digits and the rest.
pub(super) fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// A decimal number of any length, `[+-]digits[.digits]`, without insignificant zeros.
///
/// No exponents, hexadecimal, infinities or separators: `1e3` and `0x10` are more likely hashes than numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
}

impl<'t> Decimal<'t> {
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (digits, ""),
        };
        if !is_digits(whole) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Self { negative: negative && !zero, whole, fraction })
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without trailing zeros, fractions order as text: 0.5 > 0.25, and 0.2 < 0.25 because it is shorter.
        let size = || compare_digits(self.whole, other.whole).then_with(|| self.fraction.cmp(other.fraction));
        match (self.negative, other.negative) {
            (false, false) => size(),
            (true, true) => size().reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
