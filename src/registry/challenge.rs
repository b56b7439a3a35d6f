//! Parses `WWW-Authenticate`. Pure.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use url::Url;

/// A way to log in that a registry offers and that is supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password, to the registry itself.
    Basic,
    /// A token from a token service.
    Bearer(Bearer),
}

/// Where to get a token, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bearer {
    /// The token service's URL, not yet checked.
    pub(super) realm: Url,
    /// The name by which the token service knows the registry.
    pub(super) service: Option<String>,
    /// What the registry wants the token to permit.
    pub(super) scope: Option<String>,
}

/// The challenges in an answer; unsupported schemes are left out.
///
/// # Errors
/// If a bearer challenge has no valid URL, or if nothing in the header can be parsed.
pub(super) fn parse(headers: &HeaderMap) -> Result<Vec<Challenge>, String> {
    let mut found = Vec::new();
    let mut unreadable = false;
    for header in headers.get_all(WWW_AUTHENTICATE).iter().filter(|header| !header.as_bytes().trim_ascii().is_empty()) {
        let Some(parsed) = header.to_str().ok().and_then(|text| http_auth::parse_challenges(text).ok()) else {
            unreadable = true;
            continue;
        };
        for challenge in parsed {
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                found.push(Challenge::Basic);
            } else if challenge.scheme.eq_ignore_ascii_case("bearer") {
                found.push(Challenge::Bearer(bearer(&challenge)?));
            }
        }
    }
    if found.is_empty() && unreadable {
        return Err("its WWW-Authenticate header cannot be read".to_owned());
    }
    Ok(found)
}

fn bearer(challenge: &http_auth::ChallengeRef<'_>) -> Result<Bearer, String> {
    let parameter = |name: &str| {
        let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped()).filter(|value| !value.is_empty() && value.len() <= 4096)
    };
    let realm = parameter("realm").ok_or("its WWW-Authenticate header names no token realm")?;
    let realm = Url::parse(&realm).map_err(|_| "the token realm in its WWW-Authenticate header is not an address")?;
    Ok(Bearer { realm, service: parameter("service"), scope: parameter("scope") })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn challenges_are_read() {
        let full = headers(&[
            "Bearer realm=\"https://auth.example.com/token\",service=\"r.example.com\",scope=\"repository:a/b:pull\"",
        ]);
        let expected = Bearer {
            realm: Url::parse("https://auth.example.com/token").unwrap(),
            service: Some("r.example.com".to_owned()),
            scope: Some("repository:a/b:pull".to_owned()),
        };
        assert_eq!(parse(&full), Ok(vec![Challenge::Bearer(expected)]));
        assert_eq!(parse(&headers(&["basic realm=\"x\""])), Ok(vec![Challenge::Basic]));
        assert_eq!(parse(&headers(&["Negotiate", "Basic realm=\"x\", charset=\"UTF-8\""])), Ok(vec![Challenge::Basic]));
        // A scheme with a bare token, which the parser does not know, does not hide the other header.
        assert_eq!(parse(&headers(&["Negotiate abc==", "Basic realm=\"x\""])), Ok(vec![Challenge::Basic]));
        assert_eq!(parse(&headers(&[])), Ok(vec![]));
        assert_eq!(parse(&headers(&[" "])), Ok(vec![]));
        assert_eq!(parse(&headers(&["Digest realm=\"x\", nonce=\"y\""])), Ok(vec![]));
    }

    #[test]
    fn unreadable_challenges_are_errors() {
        for value in
            ["Bearer", "Bearer service=\"x\"", "Bearer realm=\"/token\"", "Bearer realm=\"\"", ",,;", "Bearer realm"]
        {
            assert!(parse(&headers(&[value])).is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(value in "[ -~]{0,60}") {
            let _ignored = parse(&headers(&[&value]));
        }
    }
}
