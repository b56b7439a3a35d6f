//! Which token realms belong to a registry. Pure.
//!
//! Credentials go to a token realm only if it belongs to the registry: the same host, a sibling below the same parent
//! domain, or one that the configuration names. Trust is a pair of registry and realm; no realm is trusted for every
//! registry.

use url::Url;

use crate::http::address::literal;

/// Domains below which unrelated parties are neighbours, so that a shared parent means nothing.
const SHARED_PARENTS: &[&str] = &[
    "amazonaws.com",
    "azurecr.io",
    "azurewebsites.net",
    "cloudfront.net",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "googleapis.com",
    "herokuapp.com",
    "netlify.app",
    "pages.dev",
    "pkg.dev",
    "run.app",
    "vercel.app",
    "workers.dev",
];

/// Whether a realm is the registry's own host, or one that the configuration names for it.
pub(super) fn vouched(registry: &Url, target: &Url, configured: &[String]) -> bool {
    let Some(host) = target.host_str() else { return false };
    let with_port = target.port().map(|port| format!("{host}:{port}"));
    let named = |name: &String| {
        name.eq_ignore_ascii_case(host) || with_port.as_deref().is_some_and(|full| name.eq_ignore_ascii_case(full))
    };
    registry.host_str() == Some(host) || configured.iter().any(named)
}

/// Whether the credentials of `registry` may be sent to `realm`.
pub(super) fn trusted_realm(registry: &Url, realm: &Url, configured: &[String]) -> bool {
    if vouched(registry, realm, configured) {
        return true;
    }
    let (Some(registry_host), Some(realm_host)) = (registry.host_str(), realm.host_str()) else { return false };
    if literal(registry).is_some() || literal(realm).is_some() {
        return false;
    }
    parent(registry_host).is_some_and(|parent| {
        realm_host == parent || realm_host.strip_suffix(parent).is_some_and(|front| front.ends_with('.'))
    })
}

/// The domain above a host, if everything below it can be assumed to belong to one party.
fn parent(host: &str) -> Option<&str> {
    let (_, parent) = host.split_once('.')?;
    let mut labels = parent.rsplit('.');
    let (top, second) = (labels.next()?, labels.next()?);
    // `co.uk`, `com.au`: a two-letter country domain below which registrars sell names.
    let country = labels.next().is_none() && top.len() == 2 && second.len() <= 3;
    let shared = SHARED_PARENTS
        .iter()
        .any(|name| parent == *name || parent.strip_suffix(name).is_some_and(|front| front.ends_with('.')));
    (!country && !shared).then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn realms_are_trusted_in_pairs() {
        for (registry, realm, trusted) in [
            ("https://registry-1.docker.io", "https://auth.docker.io/token", true),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true),
            ("https://registry.example.com:5000", "https://registry.example.com:5001/auth", true),
            ("https://r.example.com", "https://auth.evil.com/token", false),
            ("https://r.example.com", "https://evilexample.com/token", false),
            ("https://r.example.com", "https://example.com.evil.net/token", false),
            ("https://example.com", "https://evil.com/token", false),
            ("https://acme.co.uk", "https://evil.co.uk/token", false),
            ("https://acme.azurecr.io", "https://evil.azurecr.io/token", false),
            ("https://a.dkr.ecr.eu-west-1.amazonaws.com", "https://evil.eu-west-1.amazonaws.com/t", false),
            ("http://127.0.0.1:5000", "http://localhost:5000/token", false),
            ("http://10.0.0.1", "http://11.0.0.1/token", false),
            ("https://registry", "https://auth/token", false),
        ] {
            assert_eq!(trusted_realm(&url(registry), &url(realm), &[]), trusted, "{registry} {realm}");
        }
        let configured = ["login.partner.example".to_owned(), "sso.partner.example:8443".to_owned()];
        let registry = url("https://r.example.com");
        for (realm, trusted) in [
            ("https://login.partner.example/token", true),
            ("https://login.partner.example:444/token", true),
            ("https://sso.partner.example:8443/token", true),
            ("https://sso.partner.example/token", false),
            ("https://partner.example/token", false),
        ] {
            assert_eq!(trusted_realm(&registry, &url(realm), &configured), trusted, "{realm}");
        }
    }
}
