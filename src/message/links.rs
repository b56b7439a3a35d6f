//! Where to read more about an image: its registry page, its source, the commits between two versions.

use crate::model::{DOCKER_HUB, ImageName};
use crate::plan::Update;

/// The page of the image, for registries whose page addresses are known.
pub(super) fn registry_page(name: &ImageName) -> Option<String> {
    let path = name.repository();
    match name.registry() {
        DOCKER_HUB => Some(match path.strip_prefix("library/") {
            Some(official) => format!("https://hub.docker.com/_/{official}"),
            None => format!("https://hub.docker.com/r/{path}"),
        }),
        "quay.io" => Some(format!("https://quay.io/repository/{path}?tab=tags")),
        "ghcr.io" => {
            let (owner, package) = path.split_once('/')?;
            // A package's own page depends on the type of its owner; the list of all packages always works.
            Some(format!("https://github.com/{owner}?tab=packages&q={}", package.replace('/', "%2F")))
        }
        "gcr.io" | "eu.gcr.io" | "us.gcr.io" | "asia.gcr.io" => Some(format!("https://{name}")),
        host if host.ends_with("-docker.pkg.dev") => Some(format!("https://{name}")),
        "registry.k8s.io" => None,
        "mcr.microsoft.com" => Some(format!("https://mcr.microsoft.com/artifact/mar/{path}")),
        "public.ecr.aws" => Some(format!("https://gallery.ecr.aws/{path}")),
        _ => None,
    }
}

/// The source commit that the image was built from.
pub(super) fn source_commit(update: &Update) -> Option<String> {
    let base = source(update)?;
    let revision = update.source_revision.as_deref()?;
    let infix = if base.contains("gitlab") { "/-/commit/" } else { "/commit/" };
    Some(format!("{base}{infix}{revision}"))
}

/// The changes in the source between the two versions, if both images name their commit.
pub(super) fn compare(update: &Update) -> Option<String> {
    let base = source(update)?;
    let (from, to) = (update.from_revision.as_deref()?, update.source_revision.as_deref()?);
    let infix = if base.contains("gitlab") { "/-/compare/" } else { "/compare/" };
    (from != to).then(|| format!("{base}{infix}{from}...{to}"))
}

/// The release page; on GitHub, every tag has one.
pub(super) fn release(update: &Update) -> Option<String> {
    let base = source(update)?;
    let tag = update.to.tag.as_ref()?;
    base.starts_with("https://github.com/").then(|| format!("{base}/releases/tag/{tag}"))
}

/// The source repository, without `.git` and a trailing slash.
pub(super) fn source(update: &Update) -> Option<String> {
    let url = update.source_url.as_deref()?.trim_end_matches('/');
    Some(url.strip_suffix(".git").unwrap_or(url).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_where_registries_have_them() {
        for (image, page) in [
            ("nginx", Some("https://hub.docker.com/_/nginx")),
            ("acme/web", Some("https://hub.docker.com/r/acme/web")),
            ("quay.io/acme/web", Some("https://quay.io/repository/acme/web?tab=tags")),
            ("ghcr.io/acme/web", Some("https://github.com/acme?tab=packages&q=web")),
            ("registry.example.com/acme/web", None),
        ] {
            assert_eq!(registry_page(&ImageName::parse(image).unwrap()).as_deref(), page, "{image}");
        }
    }
}
