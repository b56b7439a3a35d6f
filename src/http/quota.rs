//! What a server says is left of a limit on requests. Pure.
//!
//! Four forms are in use, and what cannot be read counts as not said:
//! - Docker Hub (<https://docs.docker.com/docker-hub/usage/pulls/>): `ratelimit-limit: 100;w=21600` and
//!   `ratelimit-remaining: 76;w=21600`
//! - the IETF's drafts up to the seventh (draft-ietf-httpapi-ratelimit-headers-07): the same without or with `w`, and
//!   `ratelimit-reset` in seconds
//! - its later drafts: `ratelimit-policy: "default";q=100;w=60` and `ratelimit: "default";r=50;t=30`
//! - `x-ratelimit-limit`, `-remaining`, `-reset`, the last as seconds, or as seconds since 1970 (GitHub)

use std::time::Duration;

use http::HeaderMap;
use http::header::DATE;

use super::retry;
use crate::model::Quota;

/// The longest span that is believed.
const LONGEST: u64 = 7 * 24 * 3600;
/// From here on a number of seconds is a point in time: 2001-09-09.
const EPOCH: u64 = 1_000_000_000;

/// What the headers of an answer say.
#[must_use]
pub fn read(headers: &HeaderMap) -> Option<Quota> {
    fielded(headers).or_else(|| named(headers, "ratelimit")).or_else(|| named(headers, "x-ratelimit"))
}

/// Which of its limits a host speaks of, where it has several: GitHub's `x-ratelimit-resource`, as far as its words are known.
#[must_use]
pub fn resource(headers: &HeaderMap) -> &'static str {
    let said = text(headers, "x-ratelimit-resource").unwrap_or_default();
    ["core", "graphql", "search"].into_iter().find(|known| *known == said).unwrap_or_default()
}

/// `ratelimit` and `ratelimit-policy`. Of several policies the one with the least left counts.
fn fielded(headers: &HeaderMap) -> Option<Quota> {
    let items = |name| text(headers, name).into_iter().flat_map(|text| text.split(','));
    let (name, remaining, reset) = items("ratelimit")
        .filter_map(|item| Some((item.split(';').next()?.trim(), parameter(item, "r")?, parameter(item, "t"))))
        .min_by_key(|(_, remaining, _)| *remaining)?;
    let policy = items("ratelimit-policy").find(|item| item.split(';').next().is_some_and(|it| it.trim() == name));
    Some(Quota {
        remaining,
        limit: policy.and_then(|item| parameter(item, "q")),
        window: policy.and_then(|item| parameter(item, "w")).and_then(span),
        reset: reset.and_then(span),
    })
}

/// `PREFIX-limit`, `PREFIX-remaining` and `PREFIX-reset`.
fn named(headers: &HeaderMap, prefix: &str) -> Option<Quota> {
    let (remaining, limit) =
        (text(headers, &format!("{prefix}-remaining"))?, text(headers, &format!("{prefix}-limit")));
    // `100, 100;w=60`: the limit, and then the policies that it comes from.
    let window = [Some(remaining), limit].into_iter().flatten().find_map(|text| parameter(text, "w"));
    let reset = text(headers, &format!("{prefix}-reset")).and_then(number);
    let now =
        || text(headers, DATE.as_str()).and_then(retry::date).and_then(|date| u64::try_from(date.as_second()).ok());
    let reset = reset.and_then(|seconds| match seconds {
        EPOCH.. => now().map(|now| seconds.saturating_sub(now)),
        _ => Some(seconds),
    });
    Some(Quota {
        remaining: number(remaining)?,
        limit: limit.and_then(number),
        window: window.and_then(span),
        reset: reset.and_then(span),
    })
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().filter(|text| text.len() <= 512)
}

/// The number that a text begins with.
fn number(text: &str) -> Option<u64> {
    text.split([',', ';']).next()?.trim().parse().ok()
}

/// A parameter of an item, such as `w` of `100;w=60`.
fn parameter(text: &str, name: &str) -> Option<u64> {
    let value = |part: &str| part.trim().strip_prefix(name)?.strip_prefix('=')?.trim().parse().ok();
    text.split([';', ',']).skip(1).find_map(value)
}

fn span(seconds: u64) -> Option<Duration> {
    (seconds <= LONGEST).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    /// What is left, the limit, the window and the reset.
    type Said = (u64, Option<u64>, Option<u64>, Option<u64>);

    fn said(headers: &[(&str, &str)]) -> Option<Said> {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let quota = read(&headers.iter().map(pair).collect())?;
        let seconds = |span: Option<Duration>| span.map(|span| span.as_secs());
        Some((quota.remaining, quota.limit, seconds(quota.window), seconds(quota.reset)))
    }

    #[test]
    fn every_form_is_read() {
        let hub = [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "76;w=21600")];
        assert_eq!(said(&hub), Some((76, Some(100), Some(21600), None)));
        let draft =
            [("RateLimit-Limit", "10, 10;w=1, 50;w=60"), ("RateLimit-Remaining", "9"), ("RateLimit-Reset", "4")];
        assert_eq!(said(&draft), Some((9, Some(10), Some(1), Some(4))));
        let later = [
            ("ratelimit-policy", "\"burst\";q=100;w=60, \"daily\";q=1000;w=86400"),
            ("ratelimit", "\"burst\";r=50;t=30, \"daily\";r=7;t=3600"),
        ];
        assert_eq!(said(&later), Some((7, Some(1000), Some(86400), Some(3600))));
        let github = [
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", "4987"),
            ("x-ratelimit-reset", "784111787"),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ];
        assert_eq!(said(&github), Some((4987, Some(5000), None, None)), "a number of seconds that is too long");
        let github = [
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1774598460"),
            ("date", "Fri, 27 Mar 2026 08:00:00 GMT"),
        ];
        assert_eq!(said(&github), Some((0, Some(5000), None, Some(60))));
    }

    #[test]
    fn what_cannot_be_read_is_not_said() {
        for headers in [
            &[][..],
            &[("ratelimit-limit", "100")],
            &[("ratelimit-remaining", "many")],
            &[("ratelimit-remaining", "-1")],
            &[("ratelimit-remaining", "99999999999999999999999")],
            &[("ratelimit", "\"x\";t=3")],
            &[("ratelimit", ";;,,=")],
        ] {
            assert_eq!(said(headers), None, "{headers:?}");
        }
        let unknown = HeaderMap::from_iter([(
            HeaderName::from_static("x-ratelimit-resource"),
            HeaderValue::from_static("whatever a server likes"),
        )]);
        assert_eq!((resource(&unknown), resource(&HeaderMap::new())), ("", ""));
        let odd = [("x-ratelimit-remaining", "3"), ("x-ratelimit-limit", "x"), ("x-ratelimit-reset", "1774598460")];
        assert_eq!(said(&odd), Some((3, None, None, None)), "no date, so no time");
    }
}
