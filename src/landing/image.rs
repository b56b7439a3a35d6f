//! Whether two image references mean the same image.

use crate::model::observation::Container;
use crate::model::{Digest, ImageReference, Version};

/// How a written reference relates to the wanted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SameImage {
    /// Another repository.
    Other,
    /// The same repository path on another registry: a mirror, if something rewrites hosts.
    Mirror,
    /// The same repository.
    Same,
}

/// Compares the names of two references; tags and digests do not count.
#[must_use]
pub fn same_image(wanted: &ImageReference, written: &str) -> SameImage {
    let Ok(written) = ImageReference::parse(written) else { return SameImage::Other };
    if written.name == wanted.name {
        SameImage::Same
    } else if is_mirror(written.name.repository(), wanted.name.repository()) {
        SameImage::Mirror
    } else {
        SameImage::Other
    }
}

/// Pull-through caches keep the path, sometimes below a project of their own: `mirror/ghcr.io/acme/web`,
/// `cache/acme/web`. A path of one component is too short to be recognised below others.
fn is_mirror(written: &str, wanted: &str) -> bool {
    let ends = |long: &str, short: &str| {
        short.contains('/') && long.strip_suffix(short).is_some_and(|before| before.ends_with('/'))
    };
    written == wanted || ends(written, wanted)
}

/// Whether a template with the version `live` carries the declared version `wanted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// The same digest, or the same tag if neither has a digest.
    Yes,
    /// The same tag, but only one of them has a digest.
    TagOnly,
    /// Something else.
    No,
}

/// Compares tags and digests. If both have a digest, it alone decides.
pub(super) fn carries(wanted: &Version, live: &Version) -> Carries {
    let same_tag = tag(wanted) == tag(live);
    match (&wanted.digest, &live.digest) {
        (Some(wanted), Some(live)) if wanted == live => Carries::Yes,
        (Some(_), Some(_)) => Carries::No,
        (None, None) if same_tag => Carries::Yes,
        // Git declares a tag, and the template has the same tag with a digest added.
        (None, Some(_)) if same_tag && wanted.tag.is_some() => Carries::Yes,
        (Some(_), None) if same_tag || wanted.tag.is_none() => Carries::TagOnly,
        _ => Carries::No,
    }
}

/// Without a tag and a digest, the tag is `latest`; a digest without a tag has none.
fn tag(version: &Version) -> Option<&str> {
    match (&version.tag, &version.digest) {
        (Some(tag), _) => Some(tag.as_str()),
        (None, None) => Some("latest"),
        (None, Some(_)) => None,
    }
}

/// The digest in a container status's `imageID`: `docker-pullable://repo@sha256:…`, `repo@sha256:…`, `sha256:…`. It may
/// be the digest of an index or of one platform's manifest, so a different digest disproves nothing.
pub(super) fn digest_of_id(image_id: &str) -> Option<Digest> {
    let text = image_id.rsplit_once('@').map_or(image_id, |(_, digest)| digest);
    Digest::parse(text.rsplit_once("//").map_or(text, |(_, digest)| digest)).ok()
}

/// Whether a pod's containers come from a template: each container of the template is there with its image. Hosts may
/// differ, because webhooks rewrite them in pods. Pods may have more containers, because sidecars are injected.
pub(super) fn is_of_template(pod: &[Container], template: &[Container]) -> bool {
    !template.is_empty()
        && template.iter().all(|wanted| {
            pod.iter()
                .filter(|container| container.name == wanted.name)
                .any(|container| container.image == wanted.image || same_reference(&container.image, &wanted.image))
        })
}

/// Whether a pod's containers may come from a template whose tags were replaced by digests on the way: no container has
/// the same image with a different tag.
pub(super) fn may_be_of_template(pod: &[Container], template: &[Container]) -> bool {
    let may_be = |found: &Container, wanted: &Container| {
        let (Ok(left), Ok(right)) = (ImageReference::parse(&found.image), ImageReference::parse(&wanted.image)) else {
            return found.image == wanted.image;
        };
        let by_digest = left.version.tag.is_none() && left.version.digest.is_some() && right.version.digest.is_none();
        same_image(&right, &found.image) != SameImage::Other && by_digest || same_reference(&found.image, &wanted.image)
    };
    !template.is_empty()
        && template.iter().all(|wanted| pod.iter().any(|found| found.name == wanted.name && may_be(found, wanted)))
}

/// Whether two references mean the same image in the same version, possibly through a mirror.
pub(super) fn same_reference(a: &str, b: &str) -> bool {
    let (Ok(left), Ok(right)) = (ImageReference::parse(a), ImageReference::parse(b)) else { return false };
    same_image(&right, a) != SameImage::Other && carries(&right.version, &left.version) != Carries::No
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_normalised() {
        let wanted = ImageReference::parse("nginx:1.25").unwrap();
        for (written, same) in [
            ("docker.io/library/nginx:1", SameImage::Same),
            ("index.docker.io/library/nginx", SameImage::Same),
            ("mirror.example/library/nginx:1.25", SameImage::Mirror),
            ("mirror.example/docker.io/library/nginx:1.25", SameImage::Mirror),
            ("mirror.example/nginx:1.25", SameImage::Other),
            ("nginx-debug:1.25", SameImage::Other),
            ("{{ .Values.image }}", SameImage::Other),
            ("", SameImage::Other),
        ] {
            assert_eq!(same_image(&wanted, written), same, "{written}");
        }
    }

    #[test]
    fn digests_decide_before_tags() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        for (wanted, live, expected) in [
            ("x:1".to_owned(), "x:1".to_owned(), Carries::Yes),
            ("x:1".to_owned(), "x:2".to_owned(), Carries::No),
            ("x".to_owned(), "x:latest".to_owned(), Carries::Yes),
            (format!("x:1@sha256:{a}"), format!("x:1@sha256:{a}"), Carries::Yes),
            (format!("x:1@sha256:{a}"), format!("x:1@sha256:{b}"), Carries::No),
            (format!("x:1@sha256:{a}"), format!("x@sha256:{a}"), Carries::Yes),
            ("x:1".to_owned(), format!("x:1@sha256:{a}"), Carries::Yes),
            ("x:1".to_owned(), format!("x@sha256:{a}"), Carries::No),
            (format!("x:1@sha256:{a}"), "x:1".to_owned(), Carries::TagOnly),
            (format!("x@sha256:{a}"), "x:1".to_owned(), Carries::TagOnly),
        ] {
            let version = |text: &str| ImageReference::parse(text).unwrap().version;
            assert_eq!(carries(&version(&wanted), &version(&live)), expected, "{wanted} {live}");
        }
    }

    #[test]
    fn digests_are_found_in_image_ids() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for id in [
            format!("docker-pullable://r/x@{digest}"),
            format!("r/x@{digest}"),
            digest.clone(),
            format!("docker://{digest}"),
        ] {
            assert_eq!(digest_of_id(&id).unwrap().as_str(), digest, "{id}");
        }
        assert!(digest_of_id("docker.io/library/x:1").is_none());
    }
}
