//! Where a GitHub has its API, and where its pages.
//!
//! Source: GitHub's "Getting started with the REST API" and "About GitHub Enterprise Cloud with data residency": github.com, and
//! each `SUBDOMAIN.ghe.com`, have the API on a host of its own, an Enterprise Server below its pages.

/// The pages of GitHub itself.
const SITE: &str = "https://github.com";
/// Its API.
pub(super) const DEFAULT_API: &str = "https://api.github.com";
/// What the addresses of GitHub Enterprise Cloud with data residency end with.
const RESIDENCY: &str = ".ghe.com";

/// The API of the GitHub with these pages.
pub(super) fn api_of(site: &str) -> String {
    match site.strip_prefix("https://") {
        _ if site == SITE => DEFAULT_API.to_owned(),
        Some(host) if host.ends_with(RESIDENCY) => format!("https://api.{host}"),
        _ => format!("{site}/api/v3"),
    }
}

/// The pages of the GitHub with this API; `None`: they are unknown.
pub(super) fn pages_of(api: &str) -> Option<String> {
    if api == DEFAULT_API {
        return Some(SITE.to_owned());
    }
    if let Some(host) = api.strip_prefix("https://api.").filter(|host| host.ends_with(RESIDENCY)) {
        return Some(format!("https://{host}"));
    }
    api.strip_suffix("/api/v3").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_and_pages_belong_together() {
        for (site, api) in [
            ("https://github.com", "https://api.github.com"),
            ("https://acme.ghe.com", "https://api.acme.ghe.com"),
            ("https://git.example.com", "https://git.example.com/api/v3"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000/api/v3"),
        ] {
            assert_eq!((api_of(site), pages_of(api)), (api.to_owned(), Some(site.to_owned())));
        }
        assert_eq!(pages_of("https://api.example.com"), None);
    }
}
