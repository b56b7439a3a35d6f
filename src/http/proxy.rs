//! The proxies that the environment names, and what of the rule about addresses is held before them.
//!
//! Promise: a proxy's own address is the operator's word, and is not judged. What is asked for behind one is judged as far as this
//! machine can resolve its name: if any address is out of reach, the proxy is not asked. A name that only the proxy can resolve is
//! for the proxy to judge, and so is what it resolves otherwise.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::time::timeout;
use url::Url;

use super::{Broken, BrokenKind, Reach, address};

/// Where nothing is: asked only whether there is a proxy for it.
const PROBES: [&str; 2] = ["http://landfall.invalid/", "https://landfall.invalid/"];

/// How long a name may take to be resolved here that the proxy resolves anyway: where there is a proxy, there may be no other way out.
const LOOKUP: Duration = Duration::from_secs(1);

/// The proxies of the environment, as the clients use them.
static SYSTEM: LazyLock<Proxies> = LazyLock::new(|| Proxies::of(Matcher::from_system()));

/// Which requests go through a proxy, and what the proxies are called.
pub(super) struct Proxies {
    matcher: Matcher,
    hosts: HashSet<String>,
}

impl Proxies {
    pub(super) fn system() -> &'static Self {
        &SYSTEM
    }

    fn of(matcher: Matcher) -> Self {
        let host = |probe: &'static str| {
            let intercept = matcher.intercept(&Uri::from_static(probe))?;
            Some(intercept.uri().host()?.to_ascii_lowercase())
        };
        let hosts = PROBES.into_iter().filter_map(host).collect();
        Self { matcher, hosts }
    }

    /// Whether this is what a proxy is called.
    pub(super) fn has(&self, host: &str) -> bool {
        self.hosts.contains(&host.to_ascii_lowercase())
    }

    fn stands_before(&self, url: &Url) -> bool {
        url.as_str().parse::<Uri>().is_ok_and(|uri| self.matcher.intercept(&uri).is_some())
    }

    /// Whether something may be asked for with this reach, where the resolver of a client does not decide that.
    ///
    /// # Errors
    /// When its name leads out of reach.
    async fn judge(
        &self,
        url: &Url,
        reach: Reach,
        lookup: impl AsyncFn(&str) -> std::io::Result<Vec<IpAddr>>,
    ) -> Result<(), Broken> {
        let Some(name) = url.host_str().filter(|_| address::literal(url).is_none()) else { return Ok(()) };
        // A proxy's own name is not judged where a client resolves it.
        if reach == Reach::Configured || !(self.has(name) || self.stands_before(url)) {
            return Ok(());
        }
        let found = timeout(LOOKUP, lookup(name)).await;
        let found = found.ok().and_then(Result::ok).unwrap_or_default();
        match found.iter().all(|ip| reach.allows(*ip)) {
            true => Ok(()),
            false => Err(Broken { kind: BrokenKind::Unreachable, text: reach.refusal().to_owned() }),
        }
    }
}

/// Whether something may be asked for with this reach, also where a proxy resolves its name.
///
/// # Errors
/// When its name leads out of reach.
pub async fn may_ask(url: &Url, reach: Reach) -> Result<(), Broken> {
    let lookup = async |name: &str| {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|found| found.ip()).collect())
    };
    Proxies::system().judge(url, reach, lookup).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(no: &str) -> Proxies {
        Proxies::of(Matcher::builder().all("http://Proxy.corp.example:3128").no(no).build())
    }

    /// What a machine may resolve by itself.
    async fn lookup(name: &str) -> std::io::Result<Vec<IpAddr>> {
        let ip = |text: &str| text.parse().unwrap();
        match name {
            "public.example" => Ok(vec![ip("203.0.113.9")]),
            "private.example" | "proxy.corp.example" => Ok(vec![ip("10.0.0.1")]),
            "both.example" => Ok(vec![ip("203.0.113.9"), ip("169.254.169.254")]),
            _ => Err(std::io::Error::other("no such name")),
        }
    }

    #[tokio::test]
    async fn behind_a_proxy_names_are_judged_that_can_be() {
        for (no, url, private, public) in [
            ("", "https://public.example/", true, true),
            ("", "https://private.example/", true, false),
            ("", "https://both.example/", false, false),
            ("", "https://known-to-the-proxy.example/", true, true),
            // What is asked for at the proxy itself is no word of the operator.
            ("", "https://proxy.corp.example:8443/", true, false),
            ("proxy.corp.example", "https://proxy.corp.example:8443/", true, false),
            // These are resolved by the client, which judges them.
            ("private.example", "https://private.example/", true, true),
        ] {
            let (proxies, url) = (proxies(no), Url::parse(url).unwrap());
            for (reach, allowed) in [(Reach::Private, private), (Reach::Public, public), (Reach::Configured, true)] {
                let judged = proxies.judge(&url, reach, lookup).await;
                assert_eq!(judged.is_ok(), allowed, "{url} {reach:?} but for {no:?}");
            }
        }
    }

    #[test]
    fn a_proxy_is_known_by_its_name() {
        assert!(proxies("").has("proxy.corp.example") && proxies("").has("PROXY.corp.example"));
        assert!(!proxies("").has("private.example"));
        assert!(!Proxies::of(Matcher::builder().build()).has("proxy.corp.example"));
    }
}
