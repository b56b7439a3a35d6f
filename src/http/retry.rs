//! When to retry. Pure, with jitter as an argument.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::Timestamp;

/// The longest pause that a server can impose with one header; after that we ask again.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long `Retry-After` asks us to wait: seconds, or a date, which is compared with the answer's own `Date` so that
/// neither clock needs to be right.
#[must_use]
pub fn after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // A number that does not fit is a long time.
        return Some(value.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let until = date(value)?;
    let now = date(headers.get(DATE)?.to_str().ok()?)?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default().min(LONGEST))
}

/// The pause before the next attempt after `tried` failed ones: it doubles each time, up to about `longest`. `jitter`,
/// at least 0 and below 1, keeps many clients from coming back at the same moment.
#[must_use]
pub fn backoff(base: Duration, longest: Duration, tried: u32, jitter: f64) -> Duration {
    let doubled = base.saturating_mul(2_u32.saturating_pow(tried.saturating_sub(1).min(16)));
    doubled.min(longest).mul_f64(0.5 + jitter)
}

/// An HTTP date (RFC 9110, section 5.6.7) in the only form that is still sent.
#[must_use]
pub fn date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_has_two_forms() {
        let now = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (value, date, expected) in [
            ("7", None, Some(7)),
            (" 0 ", None, Some(0)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(now), Some(10)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(now), Some(0)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", None, None),
            ("Sat, 06 Nov 2094 08:49:47 GMT", Some(now), Some(3600)),
            ("99999999999999999999999999", None, Some(3600)),
            ("86400", None, Some(3600)),
            ("-5", None, None),
            ("soon", Some(now), None),
            ("", None, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            if let Some(date) = date {
                headers.insert(DATE, HeaderValue::from_static(date));
            }
            assert_eq!(after(&headers), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(after(&HeaderMap::new()), None);
    }

    #[test]
    fn pauses_double_and_stay_bounded() {
        let (base, longest) = (Duration::from_millis(500), Duration::from_secs(30));
        let backoff = |tried, jitter| super::backoff(base, longest, tried, jitter);
        assert_eq!(backoff(1, 0.5), Duration::from_millis(500));
        assert_eq!(backoff(3, 0.5), Duration::from_millis(2000));
        assert_eq!(backoff(1, 0.0), Duration::from_millis(250));
        assert_eq!(backoff(u32::MAX, 0.999), longest.mul_f64(1.499));
        assert_eq!(backoff(0, 0.5), base);
    }
}
