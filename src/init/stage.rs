//! The words by which people name environments.

/// How near an environment is to the people who use what runs there, nearest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Developers try things out.
    Development,
    /// Tests run.
    Test,
    /// Like production, without its users.
    Staging,
    /// What counts.
    Production,
}

/// A word, its stage, and whether it often names something else, too (a folder `test` may hold tests).
const WORDS: &[(&str, Stage, Certainty)] = {
    use Certainty::{Certain, Doubtful};
    use Stage::{Development, Production, Staging, Test};
    &[
        ("dev", Development, Certain),
        ("develop", Development, Certain),
        ("development", Development, Certain),
        ("sandbox", Development, Doubtful),
        ("sbox", Development, Doubtful),
        ("local", Development, Doubtful),
        ("preview", Development, Doubtful),
        ("tst", Test, Certain),
        ("qa", Test, Certain),
        ("test", Test, Doubtful),
        ("testing", Test, Doubtful),
        ("int", Test, Doubtful),
        ("integration", Test, Doubtful),
        ("ci", Test, Doubtful),
        ("stage", Staging, Certain),
        ("staging", Staging, Certain),
        ("stg", Staging, Certain),
        ("uat", Staging, Certain),
        ("preprod", Staging, Certain),
        ("preproduction", Staging, Certain),
        ("acceptance", Staging, Doubtful),
        ("acc", Staging, Doubtful),
        ("demo", Staging, Doubtful),
        ("ithc", Staging, Doubtful),
        ("prod", Production, Certain),
        ("production", Production, Certain),
        ("prd", Production, Certain),
        ("live", Production, Doubtful),
    ]
};

/// What else a name may hold besides the word: regions and cluster numbers.
const REGIONS: &[&str] = &[
    "eu",
    "us",
    "uk",
    "de",
    "fr",
    "ap",
    "asia",
    "sa",
    "ca",
    "af",
    "me",
    "global",
    "east",
    "west",
    "north",
    "south",
    "central",
    "northeast",
    "northwest",
    "southeast",
    "southwest",
    "cluster",
    "k8s",
    "eks",
    "gke",
    "aks",
    "blue",
    "green",
];

/// How sure a word is to name an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    Certain,
    /// It is one where others beside it are.
    Doubtful,
}

/// The stage that a folder's or file's name speaks of: the word itself, or with regions and numbers (`prod-eu-1`, `eu-west-prod`).
pub(super) fn stage_of(name: &str) -> Option<(Stage, Certainty)> {
    let lower = name.to_ascii_lowercase();
    let exact =
        |text: &str| WORDS.iter().find(|(word, ..)| *word == text).map(|(_, stage, certainty)| (*stage, *certainty));
    if let Some(found) = exact(&lower) {
        return Some(found);
    }
    // `pre-prod` is one word to people.
    if let Some(rest) = lower.strip_prefix("pre-prod").or_else(|| lower.strip_prefix("non-prod"))
        && (rest.is_empty() || rest.starts_with('-') || rest == "uction")
    {
        return Some((Stage::Staging, Certainty::Certain));
    }
    let mut found = None;
    for part in lower.split(['-', '_', '.']) {
        let plain = part.trim_end_matches(|c: char| c.is_ascii_digit());
        match exact(plain) {
            Some(stage) if found.is_none() => found = Some(stage),
            None if plain.is_empty() || REGIONS.contains(&plain) => {}
            // Two stages, or a word that says something else: it is the name of something else.
            _ => return None,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_speak_of_stages() {
        for (name, stage) in [
            ("dev", Some(Stage::Development)),
            ("Production", Some(Stage::Production)),
            ("prod-eu", Some(Stage::Production)),
            ("eu-west-1-prod", Some(Stage::Production)),
            ("prd01", Some(Stage::Production)),
            ("staging_us", Some(Stage::Staging)),
            ("pre-prod", Some(Stage::Staging)),
            ("pre-production", Some(Stage::Staging)),
            ("nonprod", None),
            ("dev-tools", None),
            ("dev-prod", None),
            ("product", None),
            ("development-guide", None),
            ("web", None),
            ("", None),
            ("1", None),
        ] {
            assert_eq!(stage_of(name).map(|(stage, _)| stage), stage, "{name}");
        }
    }
}
