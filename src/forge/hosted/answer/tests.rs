//! Answers as forges give them, and as others might.

use proptest::prelude::*;

use super::*;
use crate::forge::github::DIALECT as GITHUB;
use crate::forge::gitlab::DIALECT as GITLAB;

const TOKEN: &str = "ghp_secret";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn problem(status: u16, pairs: &[(&'static str, &str)], body: &str) -> Problem {
    let reply = Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers(pairs),
        body: body.as_bytes().to_vec().into(),
    };
    problem_of(&reply, &GITHUB, &Secrets::new(vec![TOKEN.into()]), TOKEN).unwrap()
}

#[test]
fn every_status_says_what_and_what_next() {
    let sso = [("x-github-sso", "required; url=https://example.com")];
    let accepted = [("x-accepted-github-permissions", "pull_requests=write")];
    for (status, pairs, body, expected) in [
        (401, &[][..], r#"{"message":"Bad credentials"}"#, "answered 401 (Bad credentials): token refused or expired"),
        (403, &[], r#"{"message":"Resource not accessible"}"#, "give the token Contents and Pull requests write"),
        (403, &sso, "{}", "single sign-on"),
        (403, &accepted, "{}", "(GitHub requires pull_requests=write)"),
        (
            404,
            &[],
            r#"{"message":"Not Found"}"#,
            "not found or no permission: the token needs Contents and Pull requests write",
        ),
        (404, &accepted, "{}", "(GitHub requires pull_requests=write)"),
        (
            422,
            &[],
            r#"{"message":"Validation Failed","errors":[{"message":"A pull request already exists"}]}"#,
            "answered 422: Validation Failed; A pull request already exists",
        ),
        (
            422,
            &[],
            r#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","field":"head","code":"invalid"}]}"#,
            "head invalid",
        ),
        (422, &[], r#"{"message":"No","errors":["plain"]}"#, "answered 422: No; plain"),
        (422, &[], r#"{"message":"No","errors":null}"#, "answered 422: No"),
        (502, &[], "<html>Bad\nGateway", "answered 502 (<html>Bad Gateway): the forge has an internal error"),
        (500, &[], "", "answered 500 (Internal Server Error)"),
        (302, &[], "", "302 without a location"),
        (304, &[], "", "answered 304"),
        (999, &[], "", "status 999"),
    ] {
        let text = problem(status, pairs, body).to_string();
        assert!(text.contains(expected), "{status}: {text}");
    }
}

#[test]
fn limits_are_told_from_refusals() {
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    for (status, pairs, body, seconds) in [
        (429, &[("retry-after", "7")][..], "{}", Some(7)),
        (429, &[], "{}", Some(60)),
        (403, &[("retry-after", "30")], "{}", Some(30)),
        (403, &[], r#"{"message":"You have exceeded a secondary rate limit"}"#, Some(60)),
        (403, &[], r#"{"message":"You have triggered an abuse detection mechanism"}"#, Some(60)),
        (403, &[date, ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "784111787")], "{}", Some(11)),
        (429, &[date, ("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")], "{}", Some(60)),
        (429, &[("retry-after", "soon")], "{}", Some(60)),
        (429, &[date, ("retry-after", "Sun, 06 Nov 1990 08:50:37 GMT")], "{}", Some(60)),
        (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "-9223372036854775808"), date], "{}", Some(60)),
        (403, &[("x-ratelimit-remaining", "12")], r#"{"message":"Forbidden"}"#, None),
    ] {
        let after = match problem(status, pairs, body) {
            Problem::RateLimited { after, .. } => after.map(|after| after.as_secs()),
            _ => None,
        };
        assert_eq!(after, seconds, "{status} {pairs:?} {body}");
    }
}

#[test]
fn gitlab_says_what_a_token_lacks_and_when_its_quota_is_back() {
    let problem = |status: u16, pairs: &[(&'static str, &str)], body: &str| {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = Reply { status, headers: headers(pairs), body: body.as_bytes().to_vec().into() };
        problem_of(&reply, &GITLAB, &Secrets::new(vec![TOKEN.into()]), TOKEN).unwrap()
    };
    let expired = r#"{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization or token refresh."}"#;
    let scope = r#"{"error":"insufficient_scope","error_description":"higher privileges","scope":"api"}"#;
    for (status, body, expected) in [
        (401, expired, "invalid_token: Token is expired"),
        (403, scope, "next: make a token with the scope `api`"),
        (403, r#"{"message":"403 Forbidden"}"#, "at least the role Developer"),
        (404, r#"{"message":"404 Project Not Found"}"#, "the token needs the scope `api`"),
    ] {
        let text = problem(status, &[], body).to_string();
        assert!(text.contains(expected), "{text}");
    }
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let spent = [date, ("ratelimit-remaining", "0"), ("ratelimit-reset", "784111787")];
    let Problem::RateLimited { after, .. } = problem(429, &spent, "Retry later") else { panic!("no limit") };
    assert_eq!(after, Some(Duration::from_secs(11)));
}

#[test]
fn no_message_repeats_the_token_or_control_characters() {
    let echo = problem(301, &[("location", "https://x/ghp_secret")], "").to_string();
    assert!(!echo.contains(TOKEN), "{echo}");
    for status in [401, 403, 404, 409, 422, 429, 500] {
        for body in [
            r#"{"message":"Bearer ghp_secret\u001b[2J\r\nx"}"#,
            "Bearer ghp_secret\u{1b}[2J",
            r#"{"message":"x","errors":["ghp_secret"]}"#,
        ] {
            let text = problem(status, &[("x-accepted-github-permissions", "ghp_secret")], body).to_string();
            assert!(!text.contains(TOKEN) && !text.contains(char::is_control), "{text}");
        }
    }
}

#[test]
fn the_next_page_is_found_among_the_others() {
    for (value, expected) in [
        (
            r#"<https://api.github.com/repositories/1/pulls?page=2>; rel="next", <https://x/?page=9>; rel="last""#,
            Some("https://api.github.com/repositories/1/pulls?page=2"),
        ),
        (r#"<https://x/?page=1>; rel="prev",<https://x/?page=3>; rel=next"#, Some("https://x/?page=3")),
        (r#"<https://x/?a=1,2>; title="a, b"; rel="prev next""#, Some("https://x/?a=1,2")),
        (r#"</pulls?page=2>;REL="NEXT""#, Some("/pulls?page=2")),
        (r#"<https://x/?page=1>; rel="prev""#, None),
        ("", None),
    ] {
        assert_eq!(next_link(&headers(&[("link", value)])), Ok(expected.map(str::to_owned)), "{value}");
    }
    assert_eq!(next_link(&HeaderMap::new()), Ok(None));
    for value in ["https://x; rel=next", "<https://x", "nonsense"] {
        assert!(next_link(&headers(&[("link", value)])).is_err(), "{value}");
    }
}

proptest! {
    #[test]
    fn nothing_panics_on_any_answer(
        status in 100u16..=999,
        body in proptest::collection::vec(any::<u8>(), 0..600),
        link in "[ -~]{0,80}",
        after in "[ -~]{0,40}",
        reset in "-?[0-9]{0,20}",
    ) {
        let headers = headers(&[("link", &link), ("retry-after", &after), ("x-ratelimit-reset", &reset), ("x-ratelimit-remaining", "0"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")]);
        let reply = Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() };
        drop(next_link(&reply.headers));
        if let Some(problem) = problem_of(&reply, &GITHUB, &Secrets::new(vec![TOKEN.into()]), TOKEN) {
            let text = problem.to_string();
            prop_assert!(!text.contains(char::is_control), "{text}");
        }
    }
}
