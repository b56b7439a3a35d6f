//! Names of Helm values files that contain `*`, in place of templates or as written.
//!
//! Promise: nothing is compiled; a file that names more than any real one has none of its globs looked for, which is said
//! of that file; and where all files together name too many, those with the fewest come first, so that nobody's are lost
//! for somebody else's.

use std::collections::{HashMap, HashSet};

use super::ancestors;
use crate::model::{RepoPath, SkipReason};

/// Maximum number of globs of one file, and of all files of a tree.
const MAX_IN_FILE: usize = 1_000;
const MAX_IN_TREE: usize = 5_000;
/// Maximum number of `*` in a glob.
const MAX_STARS: usize = 8;
/// Maximum length of all names that one file gives.
const MAX_BYTES: usize = 1 << 20;

fn is_glob(name: &str) -> bool {
    name.contains('*')
}

/// Takes out of one file's names, sorted and without duplicates, what is more than is looked for, and says so.
pub(super) fn bound(names: &mut Vec<String>) -> Option<SkipReason> {
    let reason = |reason: String| Some(SkipReason::ValuesNotNamed { reason });
    if names.iter().map(String::len).sum::<usize>() > MAX_BYTES {
        names.clear();
        return reason(format!("their names are longer than {MAX_BYTES} bytes altogether"));
    }
    if names.iter().filter(|name| is_glob(name)).count() > MAX_IN_FILE {
        names.retain(|name| !is_glob(name));
        return reason(format!("more than {MAX_IN_FILE} of their names contain a template or `*`"));
    }
    let before = names.len();
    names.retain(|name| name.matches('*').count() <= MAX_STARS);
    if names.len() < before {
        return reason(format!("their names contain more than {MAX_STARS} templates or `*`"));
    }
    None
}

/// The names of values files that all files of a tree give.
#[derive(Debug, Default)]
pub(super) struct ValuesNames<'i> {
    plain: HashSet<&'i str>,
    /// Globs by the folder that all of what they match is in.
    globs: HashMap<&'i str, Vec<&'i str>>,
    /// Files whose globs are not looked for, because there are too many in all.
    refused: Vec<&'i RepoPath>,
}

impl<'i> ValuesNames<'i> {
    pub(super) fn of(files: impl Iterator<Item = (&'i RepoPath, &'i [String])>) -> Self {
        let mut names = Self::default();
        let mut with_globs: Vec<(&RepoPath, Vec<&str>)> = Vec::new();
        for (path, given) in files {
            let (globs, plain): (Vec<&str>, Vec<&str>) =
                given.iter().map(String::as_str).partition(|name| is_glob(name));
            names.plain.extend(plain);
            if !globs.is_empty() {
                with_globs.push((path, globs));
            }
        }
        with_globs.sort_by_key(|(path, globs)| (globs.len(), *path));
        let mut all: HashSet<&str> = HashSet::new();
        for (path, globs) in with_globs {
            let new: Vec<&str> = globs.into_iter().filter(|glob| !all.contains(glob)).collect();
            if all.len() + new.len() > MAX_IN_TREE {
                names.refused.push(path);
                continue;
            }
            for glob in new {
                all.insert(glob);
                let fixed = glob.split('*').next().unwrap_or_default();
                let folder = fixed.rsplit_once('/').map_or("", |(folder, _)| folder);
                names.globs.entry(folder).or_default().push(glob);
            }
        }
        names
    }

    pub(super) fn contains(&self, path: &RepoPath) -> bool {
        self.plain.contains(path.as_str())
            || ancestors(path.parent())
                .filter_map(|folder| self.globs.get(folder))
                .flatten()
                .any(|glob| matches(glob, path.as_str()))
    }

    /// Files whose globs are not looked for, and why.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&'i RepoPath, SkipReason)> {
        let reason = || {
            let reason = format!("files of this repository give more than {MAX_IN_TREE} names with a template or `*`");
            SkipReason::ValuesNotNamed { reason }
        };
        self.refused.iter().map(move |path| (*path, reason()))
    }
}

/// Whether a text is the pieces of a glob in their order, with anything between them; each piece is looked for once.
fn matches(glob: &str, text: &str) -> bool {
    let Some((first, rest)) = glob.split_once('*') else { return glob == text };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_prefix(first).and_then(|text| text.strip_suffix(last)) else { return false };
    middle.split('*').all(|piece| match text.find(piece) {
        Some(at) => {
            text = text.get(at + piece.len()..).unwrap_or_default();
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (glob, text, expected) in [
            ("env/*.yaml", "env/a/b.yaml", true),
            ("env/*.yaml", "env/.yaml", true),
            ("env/*.yaml", "envs/a.yaml", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*", "x", true),
            ("**x*", "ax", true),
            ("ab*ba", "aba", false),
            ("{a,b}*", "a1", false),
            ("[a]*", "[a]1", true),
        ] {
            assert_eq!(matches(glob, text), expected, "{glob} {text}");
        }
    }

    #[test]
    fn one_file_names_no_more_than_any_real_one() {
        let names = |count: usize, glob: &str| (0..count).map(|n| format!("{n}{glob}")).collect::<Vec<_>>();
        for (mut given, left, refused) in [
            (names(MAX_IN_FILE, "*"), MAX_IN_FILE, false),
            ([names(MAX_IN_FILE + 1, "*"), names(3, "")].concat(), 3, true),
            (vec!["*".repeat(MAX_STARS + 1), "*".repeat(MAX_STARS), "x".to_owned()], 2, true),
            (names(2, &"x".repeat(MAX_BYTES / 2)), 0, true),
        ] {
            let reason = bound(&mut given);
            assert_eq!((given.len(), reason.is_some()), (left, refused), "{reason:?}");
        }
    }

    #[test]
    fn those_that_name_most_are_refused() {
        let path = |name: &str| RepoPath::parse(name).unwrap();
        let many: Vec<_> = (0..6).map(|file| (0..MAX_IN_FILE).map(|n| format!("{file}/{n}-*")).collect()).collect();
        let few = vec!["env/*.yaml".to_owned(), "0/1-*".to_owned()];
        let mut files: Vec<(RepoPath, Vec<String>)> =
            many.into_iter().enumerate().map(|(n, names)| (path(&format!("a{n}.yaml")), names)).collect();
        files.push((path("z.yaml"), few));
        let names = ValuesNames::of(files.iter().map(|(path, names)| (path, names.as_slice())));
        assert!(
            names.contains(&path("env/prod.yaml")) && names.contains(&path("3/7-x")) && !names.contains(&path("5/7-x"))
        );
        let refused: Vec<String> = names.refused().map(|(path, reason)| format!("{path}: {reason}")).collect();
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(refused[0].starts_with("a4.yaml: ") && refused[0].contains("more than 5000 names"), "{refused:?}");
    }
}
