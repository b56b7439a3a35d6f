//! Versions for people: short, and how far apart two of them are.

use crate::model::Version;

/// A version, as short as possible while still distinguishable.
pub(super) fn short(version: &Version) -> String {
    match (&version.tag, &version.digest) {
        (Some(tag), Some(digest)) => format!("{tag}@{}", digest.short()),
        (Some(tag), None) => tag.to_string(),
        (None, Some(digest)) => format!("@{}", digest.short()),
        (None, None) => "-".to_owned(),
    }
}

/// How far the first is behind the second: `2 minor`. `None` if it is not behind, or their numbers cannot be compared.
pub(super) fn distance(behind: &Version, ahead: &Version) -> Option<String> {
    let (behind, ahead) = (numbers(behind)?, numbers(ahead)?);
    let (nth, (from, to)) = behind.iter().zip(&ahead).enumerate().find(|(_, (from, to))| from != to)?;
    let step = to.checked_sub(*from)?;
    ["major", "minor", "patch"].get(nth).map(|part| format!("{step} {part}"))
}

/// The three numbers of a version such as `v1.2.3`, with whatever follows them.
fn numbers(version: &Version) -> Option<[u64; 3]> {
    let tag = version.tag.as_ref()?.as_str();
    let mut parts = tag.strip_prefix('v').unwrap_or(tag).splitn(3, '.');
    let mut number = |last: bool| {
        let part = parts.next()?;
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        // A suffix is allowed only behind the last number.
        (last || end == part.len()).then(|| part[..end].parse().ok())?
    };
    Some([number(false)?, number(false)?, number(true)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tag;

    #[test]
    fn the_first_number_that_differs_counts() {
        let version = |tag: &str| Version { tag: Tag::parse(tag).ok(), digest: None };
        for (behind, ahead, apart) in [
            ("1.2.3", "1.2.5", Some("2 patch")),
            ("v1.2.3", "v1.4.0", Some("2 minor")),
            ("1.2.3", "3.0.0", Some("2 major")),
            ("1.2.3-rc.1", "1.2.4", Some("1 patch")),
            ("1.4.0", "1.2.3", None),
            ("1.2.3", "1.2.3", None),
            ("main-abc", "1.2.3", None),
            ("1.2", "1.3", None),
            ("1.2.99999999999999999999999", "1.3.0", None),
        ] {
            assert_eq!(distance(&version(behind), &version(ahead)).as_deref(), apart, "{behind} {ahead}");
        }
    }
}
