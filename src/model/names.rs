//! Suggestions for mistyped names.

/// Maximum number of names that a message lists.
const SHOWN: usize = 20;
/// Longer words are not typing errors.
const LONGEST: usize = 60;

/// The known name that was probably meant: it differs only in case and separators or by a few letters, or the word is a
/// complete part of it (`web` of `prod-web`).
#[must_use]
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let plain = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let typed = plain(word);
    if typed.is_empty() || typed.len() > LONGEST {
        return None;
    }
    let part = |known: &str| known.split(['-', '_', '/', '.', ' ']).any(|part| part.eq_ignore_ascii_case(word));
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&typed, &plain(known)), known))
        .filter(|(distance, known)| (*distance <= known.len().div_ceil(3) && *distance < typed.len()) || part(known))
        .min()
        .map(|(_, known)| known)
}

/// What to suggest for an unknown name: the nearest one, or all of them.
#[must_use]
pub fn instead<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    if let Some(near) = nearest(word, known.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let more = known.len().saturating_sub(SHOWN);
    match (known.get(..SHOWN.min(known.len())), more) {
        (None | Some([]), _) => None,
        (Some([only]), _) => Some(format!("there is only {only}")),
        (Some(names), 0) => Some(format!("there are {}", names.join(", "))),
        (Some(names), _) => Some(format!("there are {} and {more} more", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_or_all_there_are() {
        let apps = ["api", "prod-web", "worker"];
        for (typed, expected) in [
            ("Api", "did you mean `api`?"),
            ("wroker", "did you mean `worker`?"),
            ("web", "did you mean `prod-web`?"),
            ("zzz", "there are api, prod-web, worker"),
        ] {
            assert_eq!(instead(typed, apps).as_deref(), Some(expected), "{typed}");
        }
        assert_eq!(instead("zzz", []), None);
        assert_eq!(instead("zzz", ["web"]).as_deref(), Some("there is only web"));
        let many: Vec<String> = (0..30).map(|n| format!("app-number-{n:02}")).collect();
        let said = instead("x", many.iter().map(String::as_str)).unwrap();
        assert!(said.ends_with("app-number-19 and 10 more"), "{said}");
    }
}
