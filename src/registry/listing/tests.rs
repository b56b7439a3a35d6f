//! Tests of the tag listing's parser; paging is tested against servers in `tests/it/registry.rs`.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn parsed(body: &str) -> Result<(Vec<String>, usize, Page), String> {
    let mut found = Found::new(1000);
    let page = parse(&mut found, body.as_bytes());
    match page {
        Ok(page) => Ok((found.tags.finish().iter().map(|tag| tag.to_string()).collect(), found.dropped, page)),
        Err(failure) => Err(format!("{:?}", failure.cause)),
    }
}

#[test]
fn listings_are_read_in_their_order_and_once() {
    for (body, tags, dropped) in [
        (r#"{"name":"a","tags":["b","a","c"]}"#, &["b", "a", "c"][..], 0),
        (r#"{"tags":["a","b","a"],"name":"a"}"#, &["a", "b"], 0),
        (r#"{"name":"a","tags":null}"#, &[], 0),
        (r#"{"name":"a","tags":[]}"#, &[], 0),
        (r#"{"name":"a"}"#, &[], 0),
        (r#"{"tags":["", ".x", "-x", "a b", "ok", "é", "a/b", "\n", "<script>"]}"#, &["ok"], 8),
        (r#"{"tags":["\u0061\u0062"]}"#, &["ab"], 0),
        (r#"{"child":[],"manifest":{"x":[1,2]},"tags":["a"]}"#, &["a"], 0),
    ] {
        let (found, bad, _) = parsed(body).unwrap();
        assert_eq!((found, bad), (tags.iter().map(ToString::to_string).collect::<Vec<_>>(), dropped), "{body}");
    }
    let (_, dropped, _) = parsed(&format!(r#"{{"tags":["{}"]}}"#, "a".repeat(129))).unwrap();
    assert_eq!(dropped, 1);
}

#[test]
fn what_is_no_listing_is_an_error_that_does_not_quote_it() {
    for body in [
        "",
        "hunter2",
        "null",
        "[]",
        "\"hunter2\"",
        r#"{"tags":["a","b""#,
        r#"{"tags":"hunter2"}"#,
        r#"{"tags":{"hunter2":1}}"#,
        r#"{"tags":["a",1]}"#,
        r#"{"tags":["a",null]}"#,
        r#"{"tags":["a"]} hunter2"#,
        "<html>hunter2</html>",
    ] {
        let error = parsed(body).unwrap_err();
        assert!(error.contains("not the JSON") && !error.contains("hunter2"), "{body}: {error}");
    }
    let deep = format!("{}{}", "{\"x\":".repeat(100_000), "}".repeat(100_000));
    assert!(parsed(&deep).unwrap_err().contains("not the JSON"));
}

#[test]
fn the_number_of_names_is_limited_whatever_they_are() {
    let mut found = Found::new(3);
    assert!(parse(&mut found, br#"{"tags":["a","a"]}"#).is_ok());
    assert!(parse(&mut found, br#"{"tags":["."]}"#).is_ok());
    let failure = parse(&mut found, br#"{"tags":["b","c"]}"#).unwrap_err();
    assert!(format!("{:?}", failure.cause).contains("more than 3 tags"));
}

#[test]
fn a_page_says_what_it_brought() {
    let mut found = Found::new(1000);
    let page = parse(&mut found, br#"{"tags":["a","b","/"]}"#).unwrap();
    assert_eq!(page, Page { names: 3, new: 3, last: "/".to_owned() });
    let page = parse(&mut found, br#"{"tags":["b","a"]}"#).unwrap();
    assert_eq!(page, Page { names: 2, new: 0, last: "a".to_owned() });
}

#[test]
fn a_fresh_modification_date_is_no_validator() {
    let now = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (modified, kept) in
        [("Sun, 06 Nov 1994 08:49:37 GMT", false), ("Sun, 06 Nov 1994 08:48:37 GMT", true), ("yesterday", false)]
    {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, HeaderValue::from_static(now));
        headers.insert(LAST_MODIFIED, HeaderValue::from_static(modified));
        assert_eq!(validators(&headers).is_some(), kept, "{modified}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ignored = parse(&mut Found::new(10), &body);
    }

    #[test]
    fn every_valid_tag_comes_back(tags in proptest::collection::hash_set("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", 0..50)) {
        let body = serde_json::json!({ "tags": tags }).to_string();
        let (found, dropped, page) = parsed(&body).unwrap();
        prop_assert_eq!(dropped, 0);
        prop_assert_eq!(page.names, tags.len());
        prop_assert_eq!(found.into_iter().collect::<std::collections::HashSet<_>>(), tags);
    }
}
