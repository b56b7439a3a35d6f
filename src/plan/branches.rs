//! The names of the bot's branches. They are deterministic, so that a repeated cycle, or the next process, finds the
//! bot's own work again.
//!
//! A group's branch is `landfall/…-HASH`. Two situations lead to another name, always one of the same series:
//!
//! - another branch is in the way (such as `landfall`, which leaves no room for `landfall/…`): the branch is
//!   `landfall-bot/…-HASH`
//! - the remote does not allow rewriting a branch: the new content goes onto the next one, `…-HASH-2`
//!
//! The last existing branch of the series is the group's. Each is one commit of the bot on the base, and is verified as
//! such before a merge; nothing is ever put on top of an existing one.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::model::{BranchName, CommitId};

use super::{Head, Snapshot};

/// The prefixes of the bot's branches: the first one, unless another branch is in the way.
pub const BRANCH_PREFIXES: [&str; 2] = ["landfall/", "landfall-bot/"];
/// What both prefixes start with.
pub const BRANCH_ROOT: &str = "landfall";

/// The highest number of a branch: a remote that allows neither rewriting nor deletion keeps them all.
const MAX_NUMBER: u32 = 99;

/// Number of hexadecimal digits at the end of a first name; a series number is shorter.
const HASH: usize = 6;

/// Whether a branch has a name that only the bot uses.
#[must_use]
pub fn is_own_branch(name: &str) -> bool {
    BRANCH_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a branch carries a rollback: its pull request was requested by a person, or lasts until a person has
/// answered it.
pub(super) fn is_of_rollback(head: &str) -> bool {
    head.contains("/rollback/")
}

/// The branch of a pull request, unless it needs another name.
///
/// Characters that Git or a forge would not accept become `-`; a short hash of base, policy, environment and group
/// distinguishes groups that would otherwise look the same.
#[must_use]
pub fn head_branch(base: &BranchName, policy: &str, environment: Option<&str>, group: &str) -> Option<BranchName> {
    let whole = [environment.unwrap_or(policy), group];
    let mut clean = Vec::new();
    for part in whole.iter().flat_map(|part| part.split('/')).filter(|part| !part.is_empty()) {
        let part: String = part
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
            .collect();
        let part = part.trim_matches(['.', '-']).replace("..", "-").replace(".lock", "-lock");
        if !part.is_empty() {
            clean.push(part);
        }
    }
    if clean.is_empty() {
        // Nothing of the names is left, and the prefix must stay, because it distinguishes the bot's branches from all
        // others.
        clean.push("update".to_owned());
    }
    // Two policies or two base branches may have the same environment and group.
    let key = format!("{base}\n{policy}\n{}\n{group}", environment.unwrap_or_default());
    let mut name = format!("{}{}", BRANCH_PREFIXES[0], clean.join("/"));
    name.truncate(180);
    BranchName::parse(&format!("{}-{}", name.trim_end_matches('/'), short_hash(&key))).ok()
}

/// The first hexadecimal digits of a text's hash.
fn short_hash(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(HASH / 2).map(|b| format!("{b:02x}")).collect()
}

/// The branch of a group on the remote as it is now: the last existing one of its series, or else the first one that
/// there is room for.
pub(super) fn group_head(
    snapshot: &Snapshot<'_>,
    policy: &str,
    environment: Option<&str>,
    group: &str,
) -> Option<BranchName> {
    let first = head_branch(snapshot.branch, policy, environment, group)?;
    let (stem, _) = series(first.as_str())?;
    match last_there(snapshot.heads, stem) {
        Some((_, there)) => BranchName::parse(there).ok(),
        None => with_room(snapshot.refs, stem, 1).or(Some(first)),
    }
}

/// The name under which a branch's content continues if the remote does not allow rewriting it.
pub(super) fn next_head(snapshot: &Snapshot<'_>, head: &BranchName) -> Option<BranchName> {
    let (stem, own) = series(head.as_str())?;
    let last = last_there(snapshot.heads, stem).map_or(own, |(number, _)| number.max(own));
    (last < MAX_NUMBER).then(|| with_room(snapshot.refs, stem, last + 1)).flatten()
}

/// Whether `later` is a branch that replaced `head`.
pub(super) fn replaces(later: &str, head: &str) -> bool {
    let (Some((stem, number)), Some((other, before))) = (series(later), series(head)) else { return false };
    stem == other && number > before
}

/// Whether two branches are, or were, those of one group.
pub(super) fn is_of_series(name: &str, other: &str) -> bool {
    matches!((series(name), series(other)), (Some((stem, _)), Some((of, _))) if stem == of)
}

/// Why a branch does not have its usual name, for people; `None` if it does.
#[must_use]
pub fn why_other_name(head: &BranchName) -> Option<String> {
    let (stem, number) = series(head.as_str())?;
    let first = format!("{}{stem}", BRANCH_PREFIXES[0]);
    match number {
        1 if first == head.as_str() => None,
        1 => Some(format!("on branch {head}, since another branch is in the way of {first}")),
        _ => Some(format!("on branch {head}, since the remote does not let the one before it be rewritten")),
    }
}

/// Whether a branch replaces one that could not be rewritten; most likely it cannot be rewritten either.
#[must_use]
pub fn is_in_place_of_another(head: &BranchName) -> bool {
    series(head.as_str()).is_some_and(|(_, number)| number > 1)
}

/// The common part of the names of one group's branches, and the number of this one.
fn series(name: &str) -> Option<(&str, u32)> {
    let rest = BRANCH_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let hash = |stem: &str| stem.rsplit('-').next().is_some_and(|end| end.len() == HASH);
    let numbered = rest.rsplit_once('-').filter(|(stem, number)| hash(stem) && number.len() < HASH);
    match numbered.and_then(|(stem, number)| Some((stem, number.parse().ok()?))) {
        Some((stem, number @ 2..=MAX_NUMBER)) => Some((stem, number)),
        _ => Some((rest, 1)),
    }
}

/// The branch of this series with the highest number.
fn last_there<'h>(heads: &'h BTreeMap<String, Head>, stem: &str) -> Option<(u32, &'h str)> {
    let all = BRANCH_PREFIXES.iter().flat_map(|prefix| {
        let first = format!("{prefix}{stem}");
        let from = (Bound::Included(first.as_str()), Bound::Unbounded);
        let there: Vec<&str> = heads
            .range::<str, _>(from)
            .map(|(name, _)| name.as_str())
            .take_while(|name| name.starts_with(&first))
            .collect();
        there
    });
    let numbers = all.filter_map(|name| series(name).filter(|(of, _)| *of == stem).map(|(_, number)| (number, name)));
    numbers.max_by_key(|(number, _)| *number)
}

/// The name with this number that no other branch is in the way of.
fn with_room(refs: &BTreeMap<String, CommitId>, stem: &str, number: u32) -> Option<BranchName> {
    let end = if number == 1 { String::new() } else { format!("-{number}") };
    let names = BRANCH_PREFIXES.iter().map(|prefix| format!("{prefix}{stem}{end}"));
    let mut free = names.filter(|name| !is_blocked(refs, &format!("refs/heads/{name}")));
    free.find_map(|name| BranchName::parse(&name).ok())
}

/// Whether a branch has the name of one of this one's parent folders, or is below it.
fn is_blocked(refs: &BTreeMap<String, CommitId>, name: &str) -> bool {
    let below = format!("{name}/");
    let from = (Bound::Included(below.as_str()), Bound::Unbounded);
    let mut folders = name.match_indices('/').map(|(at, _)| &name[..at]);
    folders.any(|folder| refs.contains_key(folder))
        || refs.range::<str, _>(from).next().is_some_and(|(other, _)| other.starts_with(&below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> CommitId {
        CommitId::parse(&"a".repeat(40)).unwrap()
    }

    fn refs(names: &[&str]) -> BTreeMap<String, CommitId> {
        names.iter().map(|name| (format!("refs/heads/{name}"), commit())).collect()
    }

    #[test]
    fn a_series_is_read_back_from_its_names() {
        for (name, expected) in [
            ("landfall/prod/web-abc123", Some(("prod/web-abc123", 1))),
            ("landfall/prod/web-abc123-2", Some(("prod/web-abc123", 2))),
            ("landfall-bot/prod/web-123456-99", Some(("prod/web-123456", 99))),
            // Not names that the bot gives: each is a series of its own.
            ("landfall/prod/web-abc123-1", Some(("prod/web-abc123-1", 1))),
            ("landfall/prod/web-abc123-100", Some(("prod/web-abc123-100", 1))),
            ("landfall/prod/web-2", Some(("prod/web-2", 1))),
            ("main", None),
        ] {
            assert_eq!(series(name), expected, "{name}");
        }
        assert!(replaces("landfall/web-abc123-3", "landfall/web-abc123"));
        assert!(replaces("landfall-bot/web-abc123-3", "landfall/web-abc123-2"));
        assert!(!replaces("landfall/web-abc123", "landfall/web-abc123-2"));
        assert!(!replaces("landfall/web-abc124-2", "landfall/web-abc123"));
        assert!(is_of_series("landfall-bot/web-abc123-3", "landfall/web-abc123"));
        assert!(!is_of_series("landfall/web-abc124-2", "landfall/web-abc123") && !is_of_series("main", "main"));
    }

    #[test]
    fn a_name_has_room_where_no_branch_is_above_or_below_it() {
        const STEM: &str = "prod/web-abc123";
        for (there, expected) in [
            (&[][..], Some("landfall/prod/web-abc123")),
            (&["landfall"], Some("landfall-bot/prod/web-abc123")),
            (&["landfall/prod"], Some("landfall-bot/prod/web-abc123")),
            (&["landfall/prod/web-abc123/x"], Some("landfall-bot/prod/web-abc123")),
            (&["landfall/prod/web-abc1234", "landfall/pro", "landfalls"], Some("landfall/prod/web-abc123")),
            (&["landfall", "landfall-bot"], None),
        ] {
            let name = with_room(&refs(there), STEM, 1);
            assert_eq!(name.as_ref().map(BranchName::as_str), expected, "{there:?}");
        }
    }

    #[test]
    fn the_last_of_a_series_is_the_branch() {
        let head = |name: &&str| ((*name).to_owned(), Head::merged(&commit()));
        let heads = |names: &[&str]| names.iter().map(head).collect::<BTreeMap<_, _>>();
        let others = ["landfall/prod/web-abc123-x", "landfall/prod/web-abc1234-7", "landfall/prod/web-abc123/y-3"];
        assert_eq!(last_there(&heads(&others), "prod/web-abc123"), None);
        let there = heads(&["landfall/prod/web-abc123", "landfall/prod/web-abc123-10", "landfall/prod/web-abc123-2"]);
        assert_eq!(last_there(&there, "prod/web-abc123"), Some((10, "landfall/prod/web-abc123-10")));
        let there = heads(&["landfall/prod/web-abc123", "landfall-bot/prod/web-abc123-2"]);
        assert_eq!(last_there(&there, "prod/web-abc123"), Some((2, "landfall-bot/prod/web-abc123-2")));
    }
}
