//! Which addresses a registry may send us to: token realms and redirects. Pure.
//!
//! A registry is a stranger that may name other addresses. What is refused always: link-local, metadata-service and
//! unspecified addresses. Addresses of this machine or of a private network: only where the registry is itself at
//! such an address. Credentials go to a token realm only when it belongs to the registry: the same host, a sibling
//! below the same parent domain, or one that the configuration names. Trust is a pair of registry and realm; there is
//! no list of realms trusted for everybody.

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

/// Domains below which strangers are neighbours, so that a shared parent says nothing.
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

/// Scheme, host and port, for messages: paths and queries may hold secrets.
pub(super) fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or("no host");
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// Whether nothing that a registry is, or names, may be at this address.
pub(super) fn forbidden(address: IpAddr) -> bool {
    /// The metadata service of one cloud has an address that is otherwise a private one.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match plain(address) {
        IpAddr::V4(v4) => {
            // 100.100.100.200 is the metadata service of another cloud.
            v4.is_link_local()
                || v4.octets()[0] == 0
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.octets() == [100, 100, 100, 200]
        }
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast() || v6 == METADATA,
    }
}

/// Whether this address is of this machine or of a private network.
pub(super) fn internal(address: IpAddr) -> bool {
    match plain(address) {
        // 100.64.0.0/10 is shared by the customers of a carrier or cloud (RFC 6598).
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// Checks an address that a registry named, at `peer` if that is known. A host that is `vouched` for (the registry's own, or one
/// that the configuration names) may be in a private network in any case.
pub(super) fn check_target(url: &Url, plain_http: bool, vouched: bool, peer: Option<IpAddr>) -> Result<(), String> {
    match url.scheme() {
        "https" => {}
        "http" if plain_http => {}
        "http" => return Err(format!("{} is not https", origin(url))),
        other => return Err(format!("its scheme is `{}`", other.escape_default())),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{} carries a user name or password", origin(url)));
    }
    let inside = vouched || peer.is_some_and(internal);
    let Some(address) = literal(url) else {
        let local = url.host_str().is_some_and(|host| host == "localhost" || host.ends_with(".localhost"));
        return if local && !inside { Err(format!("{} is this machine itself", origin(url))) } else { Ok(()) };
    };
    if forbidden(address) {
        return Err(format!("{} is a link-local, metadata or unspecified address", origin(url)));
    }
    if internal(address) && !inside {
        return Err(format!("{} is an address of this machine or of a private network", origin(url)));
    }
    Ok(())
}

/// Whether a realm is the registry's own host, or one that the configuration names for it.
pub(super) fn vouched(registry: &Url, target: &Url, configured: &[String]) -> bool {
    let Some(host) = target.host_str() else { return false };
    let with_port = target.port().map(|port| format!("{host}:{port}"));
    let named = |name: &String| {
        name.eq_ignore_ascii_case(host) || with_port.as_deref().is_some_and(|full| name.eq_ignore_ascii_case(full))
    };
    registry.host_str() == Some(host) || configured.iter().any(named)
}

/// Whether the credentials of `registry` may be shown to `realm`.
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

/// The address in the URL, where its host is one and not a name.
pub(super) fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(v4) => Some(IpAddr::V4(v4)),
        Host::Ipv6(v6) => Some(IpAddr::V6(v6)),
    }
}

/// The domain above a host, where those below it can be taken to be one party.
fn parent(host: &str) -> Option<&str> {
    let (_, parent) = host.split_once('.')?;
    let mut labels = parent.rsplit('.');
    let (top, second) = (labels.next()?, labels.next()?);
    // `co.uk`, `com.au`: a two-letter country below which registrars sell names.
    let country = labels.next().is_none() && top.len() == 2 && second.len() <= 3;
    let shared = SHARED_PARENTS
        .iter()
        .any(|name| parent == *name || parent.strip_suffix(name).is_some_and(|front| front.ends_with('.')));
    (!country && !shared).then_some(parent)
}

/// IPv4 addresses that are written as IPv6 are what they are.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            // NAT64 and the deprecated compatible form reach the IPv4 address in their last four bytes.
            None if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
                let [.., a, b, c, d] = v6.octets();
                IpAddr::from([a, b, c, d])
            }
            None => address,
        },
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn dangerous_addresses_are_refused() {
        let public = Some(IpAddr::from([203, 0, 113, 9]));
        let private = Some(IpAddr::from([10, 0, 0, 9]));
        let loopback = Some(IpAddr::from([127, 0, 0, 1]));
        for (target, plain_http, peer, allowed) in [
            ("https://auth.example.com/token", false, public, true),
            ("https://203.0.113.10/token", false, public, true),
            ("http://auth.example.com/token", false, public, false),
            ("http://auth.example.com/token", true, public, true),
            ("ftp://auth.example.com/token", true, public, false),
            ("file:///etc/passwd", true, public, false),
            ("https://bot:pw@auth.example.com/token", false, public, false),
            ("https://bot@auth.example.com/token", false, public, false),
            ("https://169.254.169.254/latest", false, private, false),
            ("https://169.254.170.2/creds", false, loopback, false),
            ("https://[::ffff:169.254.169.254]/latest", false, private, false),
            ("https://[64:ff9b::a9fe:a9fe]/latest", false, private, false),
            ("https://[fd00:ec2::254]/latest", false, private, false),
            ("https://[fe80::1]/x", false, private, false),
            ("https://0.0.0.0/x", false, loopback, false),
            ("https://[::]/x", false, loopback, false),
            ("https://2852039166/x", false, private, false), // 169.254.169.254 as one number
            ("https://127.0.0.1/x", false, public, false),
            ("https://127.0.0.1/x", false, None, false),
            ("https://127.0.0.1/x", false, loopback, true),
            ("https://localhost/x", false, public, false),
            ("https://localhost/x", false, loopback, true),
            ("https://10.1.2.3/x", false, public, false),
            ("https://10.1.2.3/x", false, private, true),
            ("https://100.64.0.1/x", false, public, false),
            ("https://[fd12::1]/x", false, public, false),
            ("https://[::1]/x", false, private, true),
        ] {
            assert_eq!(check_target(&url(target), plain_http, false, peer).is_ok(), allowed, "{target} from {peer:?}");
        }
    }

    #[test]
    fn a_vouched_host_may_be_internal_but_not_dangerous() {
        for (target, allowed) in [
            ("https://10.1.2.3/x", true),
            ("https://localhost/x", true),
            ("https://169.254.169.254/x", false),
            ("http://10.1.2.3/x", false),
        ] {
            assert_eq!(check_target(&url(target), false, true, None).is_ok(), allowed, "{target}");
        }
    }

    #[test]
    fn refusals_show_no_secret() {
        let error =
            check_target(&url("https://bot:hunter2@auth.example.com/t?key=abc"), false, true, None).unwrap_err();
        assert!(!error.contains("hunter2") && !error.contains("abc") && error.contains("auth.example.com"), "{error}");
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
