//! `*` and other wildcards within one name, as in `.gitignore` and `CODEOWNERS`, matched by hand.
//!
//! Promise: nothing is compiled, so a pattern takes no more memory than its text; and each comparison is counted, so that
//! whoever matches many patterns of somebody else can stop.

/// How much matching may still be done: one step is about one comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    left: u64,
}

impl Steps {
    /// As many steps.
    #[must_use]
    pub fn new(left: u64) -> Self {
        Self { left }
    }

    /// Takes so many steps; `false` if they are not left.
    pub fn take(&mut self, steps: usize) -> bool {
        let left = self.left.checked_sub(u64::try_from(steps).unwrap_or(u64::MAX));
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// How many are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Whether there are none left: then what was not found may still be there.
    #[must_use]
    pub fn are_spent(&self) -> bool {
        self.left == 0
    }
}

/// What one element of a pattern stands for.
pub trait Wildcard {
    /// Whether it stands for any number of characters.
    fn is_star(&self) -> bool;

    /// Whether it stands for this one character.
    fn is_for(&self, c: char) -> bool;
}

/// Whether a pattern matches a whole name. It takes no more steps than the product of their lengths, and few where their
/// beginnings or ends differ; without steps it does not match.
pub fn matches<W: Wildcard>(pattern: &[W], name: &[char], steps: &mut Steps) -> bool {
    if !steps.take(1) {
        return false;
    }
    if let (Some(last), Some(end)) = (pattern.last(), name.last())
        && !last.is_star()
        && !last.is_for(*end)
    {
        return false;
    }
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(c) = name.get(n) {
        if !steps.take(1) {
            return false;
        }
        match pattern.get(p) {
            Some(element) if element.is_star() => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(element) if element.is_for(*c) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after, from)) = star else { return false };
                star = Some((after, from + 1));
                p = after;
                n = from + 1;
            }
        }
    }
    pattern.get(p..).is_none_or(|rest| rest.iter().all(Wildcard::is_star))
}

#[cfg(test)]
mod tests {
    use super::{Steps, Wildcard, matches};

    #[derive(Clone, Copy)]
    struct Is(char);

    impl Wildcard for Is {
        fn is_star(&self) -> bool {
            self.0 == '*'
        }

        fn is_for(&self, c: char) -> bool {
            self.0 == c
        }
    }

    #[test]
    fn stars_match_in_bounded_steps() {
        let matched = |pattern: &str, name: &str, steps: u64| {
            let (pattern, name): (Vec<Is>, Vec<char>) = (pattern.chars().map(Is).collect(), name.chars().collect());
            let mut steps = Steps::new(steps);
            (matches(&pattern, &name, &mut steps), steps.are_spent())
        };
        for (pattern, name, expected) in
            [("a*b*c", "axxbyyc", true), ("a*b*c", "axxcyyb", false), ("*", "", true), ("", "", true), ("a", "", false)]
        {
            assert_eq!(matched(pattern, name, 100), (expected, false), "{pattern} of {name}");
        }
        // One step where the end differs, the product of the lengths at most, and no match without steps.
        assert_eq!(matched("*a*a*b", &"a".repeat(1_000), 2), (false, false));
        assert_eq!(matched(&format!("{}c*", "*a*b".repeat(50)), &"ab".repeat(100), 200 * 202), (false, false));
        assert_eq!(matched("aaaa", "aaaa", 3), (false, true));
    }
}
