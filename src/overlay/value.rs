//! A value that a policy declares to be a version: a tag, `tag@digest`, a digest, or a whole reference.

use std::ops::Range;

use super::collector::{is_template, not_an_image, written_version};
use crate::model::{Digest, ImageName, ImageReference, SkipReason, Version};

/// What a value says, and which of its bytes say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadValue {
    /// The name as written, there or in the declaration.
    pub(super) image: String,
    pub(super) name: ImageName,
    pub(super) version: Version,
    /// The name's bytes, in a whole reference.
    pub(super) written_name: Option<Range<usize>>,
    /// The tag's bytes, with those of a digest behind it.
    pub(super) tag: Option<Range<usize>>,
    /// The digest's bytes, if there is no tag.
    pub(super) digest: Option<Range<usize>>,
}

/// Reads a value; `declared` is the image's name where the declaration has it.
///
/// # Errors
/// Why it is no version of that image.
pub(super) fn read_value(value: &str, declared: Option<&str>) -> Result<ReadValue, SkipReason> {
    if is_template(value) {
        return Err(SkipReason::Template);
    }
    let name = declared.map(ImageName::image).transpose().map_err(|error| not_an_image(&error))?;
    if let (Some(name), Some(image)) = (&name, declared)
        && ImageName::image(value).ok().as_ref() != Some(name)
    {
        let image = image.to_owned();
        if let Ok(version) = written_version(value) {
            let tag = Some(0..value.len());
            return Ok(ReadValue { image, name: name.clone(), version, written_name: None, tag, digest: None });
        }
        if let Ok(digest) = Digest::parse(value) {
            let version = Version { tag: None, digest: Some(digest) };
            let digest = Some(0..value.len());
            return Ok(ReadValue { image, name: name.clone(), version, written_name: None, tag: None, digest });
        }
    }
    let reference = ImageReference::parse(value).map_err(|error| not_an_image(&error))?;
    if let (Some(name), Some(declared)) = (&name, declared)
        && reference.name != *name
    {
        return Err(SkipReason::OtherImage { declared: declared.to_owned(), written: reference.written });
    }
    let start = reference.written.len();
    match (&reference.version.tag, &reference.version.digest) {
        (None, None) => return Err(SkipReason::NoVersion { image: reference.written }),
        // `:` and `@` are one byte each.
        _ if value.len() <= start + 1 || !value.starts_with(&reference.written) => return Err(SkipReason::Escaped),
        _ => {}
    }
    let end = Some(start + 1..value.len());
    let (tag, digest) = if reference.version.tag.is_some() { (end, None) } else { (None, end) };
    Ok(ReadValue {
        image: reference.written,
        name: reference.name,
        version: reference.version,
        written_name: Some(0..start),
        tag,
        digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_tag_a_digest_or_a_reference() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (value, declared, expected) in [
            ("1.2.3".to_owned(), Some("acme/web"), Ok(("acme/web", Some("1.2.3"), None))),
            (format!("1.2.3@{digest}"), Some("acme/web"), Ok(("acme/web", Some("1.2.3@"), None))),
            (digest.clone(), Some("acme/web"), Ok(("acme/web", None, Some("sha256:")))),
            ("acme/web:1".to_owned(), Some("docker.io/acme/web"), Ok(("acme/web", Some("1"), None))),
            ("localhost:5000/web:1".to_owned(), None, Ok(("localhost:5000/web", Some("1"), None))),
            (format!("acme/web:1@{digest}"), None, Ok(("acme/web", Some("1@"), None))),
            (format!("acme/web@{digest}"), None, Ok(("acme/web", None, Some("sha256:")))),
            ("acme/web:1".to_owned(), Some("acme/api"), Err("the file names acme/web, but the policy acme/api")),
            ("acme/web".to_owned(), None, Err("no tag or digest")),
            ("web".to_owned(), Some("web"), Err("no tag or digest")),
            ("${TAG}".to_owned(), Some("web"), Err("a template")),
            ("not a tag".to_owned(), Some("web"), Err("`not a tag` is not")),
            ("1.2".to_owned(), Some("Web"), Err("`Web` is not")),
            (String::new(), Some("web"), Err("`` is not")),
        ] {
            let read = read_value(&value, declared);
            let part = |range: Option<Range<usize>>| range.map(|range| value[range].to_owned());
            match (read, expected) {
                (Ok(read), Ok((image, tag, digest))) => {
                    assert_eq!(read.image, image, "{value}");
                    let starts = |part: Option<String>, start: Option<&str>| match (part, start) {
                        (Some(part), Some(start)) => part.starts_with(start),
                        (part, start) => part.is_none() && start.is_none(),
                    };
                    assert!(starts(part(read.tag), tag) && starts(part(read.digest), digest), "{value}");
                }
                (Err(reason), Err(start)) => assert!(reason.to_string().starts_with(start), "{value}: {reason}"),
                (read, _) => panic!("{value}: {read:?}"),
            }
        }
    }
}
