//! What a webhook speaks of.

/// Longer names are no image's and no repository's.
const MAX_NAME: usize = 1024;

/// What may have changed. The texts are as they came: they may only be compared with what the configuration names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WebhookHint {
    /// An image was pushed.
    Image {
        /// The registry's host; `None`: the sender does not say.
        registry: Option<String>,
        /// The repository on it.
        repository: String,
    },
    /// Something happened in a Git repository: a push, a pull request, a review, a check.
    Repository {
        /// One of its addresses.
        address: String,
    },
}

impl WebhookHint {
    /// An image on a registry; nothing if a part is empty or too long.
    pub(super) fn image(registry: Option<&str>, repository: &str) -> Option<Self> {
        let fits = |text: &str| !text.is_empty() && text.len() <= MAX_NAME;
        let registry = registry.map(str::to_ascii_lowercase).filter(|host| fits(host));
        fits(repository).then(|| Self::Image { registry, repository: repository.to_owned() })
    }

    /// An image by its whole reference: `host/path`, with or without a tag and digest.
    pub(super) fn reference(text: &str) -> Option<Self> {
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        let name = text.split('@').next().unwrap_or(text);
        let slash = name.rfind('/').map_or(0, |at| at + 1);
        let name = name[slash..].find(':').map_or(name, |at| &name[..slash + at]);
        match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => Self::image(Some(host), path),
            Some(_) => Self::image(Some("docker.io"), name),
            None => Self::image(Some("docker.io"), &format!("library/{name}")),
        }
    }

    /// A Git repository.
    pub(super) fn repository(address: &str) -> Option<Self> {
        (!address.is_empty() && address.len() <= MAX_NAME).then(|| Self::Repository { address: address.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        for (text, registry, repository) in [
            ("ghcr.io/acme/web:1.2.3", "ghcr.io", "acme/web"),
            ("ghcr.io/acme/web@sha256:abc", "ghcr.io", "acme/web"),
            ("reg.example:5000/web:1@sha256:abc", "reg.example:5000", "web"),
            ("localhost/web", "localhost", "web"),
            ("acme/web:1", "docker.io", "acme/web"),
            ("nginx:1", "docker.io", "library/nginx"),
            ("https://Quay.io/acme/web", "quay.io", "acme/web"),
        ] {
            let registry = Some(registry.to_owned());
            let expected = WebhookHint::Image { registry, repository: repository.to_owned() };
            assert_eq!(WebhookHint::reference(text), Some(expected), "{text}");
        }
        assert_eq!(WebhookHint::reference(""), WebhookHint::image(Some("docker.io"), "library/"));
        assert_eq!(WebhookHint::image(None, &"x".repeat(2000)), None);
        assert_eq!(WebhookHint::repository(""), None);
    }
}
