//! Which addresses a server may send us to. Pure.
//!
//! A server may name other addresses, in redirects and token realms, and a repository names servers. Link-local,
//! metadata-service and unspecified addresses are always refused. Addresses of this machine or of a private network are
//! allowed only if the server itself is at such an address. Names are checked where they are resolved (see
//! [`super::Reach`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::{Reach, origin};

/// Cloud metadata services at addresses that otherwise look ordinary.
const METADATA_V4: &[Ipv4Addr] = &[
    // Alibaba Cloud, Azure (the wire server), Oracle Cloud.
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: &[Ipv6Addr] = &[
    // Amazon: instances, and pods; Google.
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// The http(s) address that a setting or a variable of the environment names.
///
/// # Errors
/// If it is none; `what` names it.
pub fn named(text: &str, what: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| format!("{what} is not an address"))?;
    match url.scheme() {
        "https" | "http" if url.has_host() => Ok(url),
        _ => Err(format!("{what} is not an http(s) address")),
    }
}

/// Whether no server that is not configured may be at this address.
#[must_use]
pub fn forbidden(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(v4) => {
            v4.is_link_local()
                || v4.octets()[0] == 0
                // Multicast, reserved and broadcast.
                || v4.octets()[0] >= 224
                || METADATA_V4.contains(&v4)
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast() || METADATA_V6.contains(&v6)
        }
    }
}

/// Whether this address belongs to this machine or a private network.
#[must_use]
pub fn internal(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                // Shared by the customers of a carrier or cloud (RFC 6598), protocol assignments (RFC 6890), benchmarks
                // (RFC 2544).
                || (a == 100 && b & 0xc0 == 64)
                || (a, b, c) == (192, 0, 0)
                || (a == 198 && b & 0xfe == 18)
        }
        // Unique local addresses, their site-local predecessors, and locally used NAT64 prefixes (RFC 8215).
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unique_local()
                || v6.segments()[0] & 0xffc0 == 0xfec0
                || v6.segments()[..3] == [0x64, 0xff9b, 1]
        }
    }
}

/// Checks an address named by a server (which is itself at `peer`, if known), and returns how far a request to it may
/// reach. A `vouched` host (the server's own, or one that the configuration names) may be in a private network in any
/// case.
///
/// # Errors
/// The reason, if nothing may be sent there.
pub fn check_target(url: &Url, plain_http: bool, vouched: bool, peer: Option<IpAddr>) -> Result<Reach, String> {
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
        if local && !inside {
            return Err(format!("{} is this machine itself", origin(url)));
        }
        return Ok(if inside { Reach::Private } else { Reach::Public });
    };
    if forbidden(address) {
        return Err(format!("{} is a link-local, metadata or unspecified address", origin(url)));
    }
    if internal(address) && !inside {
        return Err(format!("{} is an address of this machine or of a private network", origin(url)));
    }
    Ok(if inside { Reach::Private } else { Reach::Public })
}

/// The IP address in the URL, if its host is one.
pub fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(v4) => Some(IpAddr::V4(v4)),
        Host::Ipv6(v6) => Some(IpAddr::V6(v6)),
    }
}

/// Converts IPv4 addresses written as IPv6 to IPv4.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let octets = v6.octets();
    let within = |at: usize| IpAddr::from([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => within(12),
        // The deprecated compatible form, except `::` and `::1`.
        [0, 0, 0, 0, 0, 0, high, low] if (high, low) != (0, 0) && (high, low) != (0, 1) => within(12),
        // 6to4.
        [0x2002, ..] => within(2),
        _ => address,
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
            ("https://[fd00:ec2::23]/v1/credentials", false, private, false),
            ("https://[fd20:ce::254]/latest", false, private, false),
            ("https://168.63.129.16/machine", false, private, false),
            ("https://100.100.100.200/latest", false, private, false),
            ("https://192.0.0.192/opc", false, private, false),
            ("https://[2002:a9fe:a9fe::1]/latest", false, private, false),
            ("https://[::a9fe:a9fe]/latest", false, private, false),
            ("https://[2002:a01:203::1]/x", false, public, false),
            ("https://[fec0::1]/x", false, public, false),
            ("https://198.18.0.1/x", false, public, false),
            ("https://255.255.255.255/x", false, private, false),
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
}
