//! What an HTTP answer of a forge means: pure functions of status, headers and body.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use super::client::WORDS;
use super::dialect::Dialect;
use crate::forge::error::Problem;
use crate::http::{Body, Secrets, link, retry};

/// GitHub asks to wait at least a minute if a secondary limit states no time.
const UNSAID: Duration = Duration::from_secs(60);

/// The headers of what is left of a quota, and of when it begins anew: GitHub's and GitLab's.
const QUOTAS: [(&str, &str); 2] =
    [("x-ratelimit-remaining", "x-ratelimit-reset"), ("ratelimit-remaining", "ratelimit-reset")];

/// A complete answer.
#[derive(Debug)]
pub(in crate::forge) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// The problem with an answer; `None` for a success.
pub(super) fn problem_of(reply: &Reply, dialect: &Dialect, secrets: &Secrets, token: &str) -> Option<Problem> {
    // Azure DevOps answers a token that is none with a page to sign in.
    let asks_to_sign_in = || Some(Problem::Token { message: "it asks to sign in".to_owned() });
    if reply.status == StatusCode::NON_AUTHORITATIVE_INFORMATION {
        return asks_to_sign_in();
    }
    if reply.status.is_success() {
        return None;
    }
    let status = reply.status.as_u16();
    let message = message_of(reply, dialect, secrets);
    let clean = |text: String| secrets.clean(&text, WORDS);
    Some(match status {
        301 | 302 | 307 | 308 => match word(&reply.headers, header::LOCATION.as_str()) {
            Some(location) if location.contains("/_signin") => return asks_to_sign_in(),
            Some(location) if location.contains(token) => Problem::Protocol("it redirects to the token".to_owned()),
            Some(location) => Problem::Redirect(location.to_owned()),
            None => Problem::Protocol(format!("{status} without a location")),
        },
        403 | 429 if is_limit(reply, &message) => {
            Problem::RateLimited { status, after: Some(wait_of(&reply.headers).unwrap_or(UNSAID)), message }
        }
        401 => Problem::Token { message },
        403 => Problem::Forbidden { next: clean((dialect.next)(&reply.headers, &message)), message },
        404 => {
            let accepted = secrets.clean(&(dialect.accepted)(&reply.headers), WORDS);
            let accepted = if accepted.is_empty() { accepted } else { format!(" {accepted}") };
            Problem::NotFound { message, needs: dialect.needs, accepted }
        }
        500..=599 => Problem::Server { status, message },
        300..=499 => Problem::Rejected { status, message },
        _ => Problem::Protocol(format!("status {status}")),
    })
}

fn message_of(reply: &Reply, dialect: &Dialect, secrets: &Secrets) -> String {
    let told = serde_json::from_slice(&reply.body).map(dialect.message).unwrap_or_default();
    // A proxy's error page has other keys or is not JSON; its beginning is still better than nothing.
    let text = if told.is_empty() {
        String::from_utf8_lossy(&reply.body[..reply.body.len().min(2000)]).into_owned()
    } else {
        told
    };
    let text = secrets.clean(&text, WORDS);
    if text.is_empty() { reply.status.canonical_reason().unwrap_or("no message").to_owned() } else { text }
}

/// A 403 is a rate limit if its headers or its message say so.
fn is_limit(reply: &Reply, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    reply.status == StatusCode::TOO_MANY_REQUESTS
        || reply.headers.contains_key(header::RETRY_AFTER)
        || is_spent(&reply.headers)
        || message.contains("rate limit")
        || message.contains("abuse detection")
}

fn is_spent(headers: &HeaderMap) -> bool {
    QUOTAS.iter().any(|(remaining, _)| word(headers, remaining) == Some("0"))
}

/// How long to wait: `retry-after`, else the reset of the quota, compared with the answer's own `date`, so that neither
/// side's clock matters.
fn wait_of(headers: &HeaderMap) -> Option<Duration> {
    let reset = || {
        let now = retry::date(word(headers, header::DATE.as_str())?)?;
        let reset = QUOTAS.iter().find_map(|(_, reset)| word(headers, reset))?;
        until(reset.parse().ok()?, now.as_second())
    };
    // A date in the past is ignored.
    let said = |after: &Duration| !after.is_zero() || word(headers, header::RETRY_AFTER.as_str()) == Some("0");
    retry::after(headers).filter(said).or_else(|| is_spent(headers).then(reset).flatten())
}

/// The second after `then` is the first that is certainly past it.
fn until(then: i64, now: i64) -> Option<Duration> {
    u64::try_from(then.checked_sub(now)?).ok().map(|seconds| Duration::from_secs(seconds.saturating_add(1)))
}

pub(in crate::forge) fn word<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The address of the next page.
///
/// # Errors
/// If there is a `Link` that cannot be parsed: stopping there would silently cut the list short.
pub(super) fn next_link(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    for value in headers.get_all(header::LINK) {
        let text = value.to_str().map_err(|_| Problem::Protocol("the Link header cannot be read".to_owned()))?;
        if let Some(next) = link::next(text).map_err(|reason| Problem::Protocol(reason.to_owned()))? {
            return Ok(Some(next.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
