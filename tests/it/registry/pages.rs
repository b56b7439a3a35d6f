//! Listings that end badly, or never, or are very large.

use landfall::model::FailureCode;
use landfall::registry::{Limits, TagsAnswer, Validators};
use serde_json::json;

use super::server::{Reply, Server};
use super::{client, client_with, image, login, names, plain, quick, text};

#[tokio::test]
async fn links_are_followed_verbatim() {
    let server = Server::start(|request, _| match request.target.as_str() {
        "/v2/a/tags/list?n=1000" => {
            Reply::tags(&["b"]).header("link", "</v2/a/tags/list?next_page=x%2By%3D&n=50>; rel=\"next\"")
        }
        "/v2/a/tags/list?next_page=x%2By%3D&n=50" => Reply::tags(&["a"]).header("link", "<?cursor=1>; rel=next"),
        "/v2/a/tags/list?cursor=1" => Reply::tags(&[]),
        _ => Reply::new(500),
    })
    .await;
    let client = client(plain(server.host()));
    assert_eq!(names(client.tags(&image(server.addr(), "a"), None).await), ["b", "a"]);
}

#[tokio::test]
async fn endless_listings_end() {
    // Each script is a registry that never comes to an end.
    let same: fn(&str, usize) -> Reply =
        |_, _| Reply::tags(&["a"]).header("link", "</v2/a/tags/list?n=1000>; rel=\"next\"");
    let turns = |_: &str, number: usize| {
        let page = if number.is_multiple_of(2) { "x" } else { "y" };
        Reply::tags(&[page]).header("link", &format!("<?page={page}>; rel=\"next\""))
    };
    let new_cursors =
        |_: &str, number: usize| Reply::tags(&["a"]).header("link", &format!("<?c={number}>; rel=\"next\""));
    let empty = |_: &str, number: usize| Reply::tags(&[]).header("link", &format!("<?c={number}>; rel=\"next\""));
    for script in [same, turns, new_cursors, empty] {
        let server = Server::start(move |request, number| script(&request.target, number)).await;
        let client = client(plain(server.host()));
        let error = client.tags(&image(server.addr(), "a"), None).await.unwrap_err();
        assert!(text(&error).contains("back to an earlier page"), "{error}");
        assert_eq!(error.code(), FailureCode::Protocol);
        assert!(server.seen().len() <= 5, "{}", server.seen().len());
    }
}

#[tokio::test]
async fn pages_that_always_bring_something_are_limited_in_number() {
    let server = Server::start(|_, number| {
        Reply::tags(&[format!("v{number}").as_str()]).header("link", &format!("<?c={number}>; rel=\"next\""))
    })
    .await;
    let client = client_with(plain(server.host()), Limits { max_pages: 10, ..quick() });
    let error = client.tags(&image(server.addr(), "a"), None).await.unwrap_err();
    assert!(text(&error).contains("more than 10 pages"), "{error}");
    assert!(server.seen().len() <= 11);
}

#[tokio::test]
async fn links_to_other_places_fail_the_listing_and_take_nothing_along() {
    let other = Server::start(|_, _| Reply::tags(&["evil"])).await;
    for target in [
        format!("http://{}/v2/a/tags/list", other.addr()),
        format!("//{}/x", other.addr()),
        format!("http://localhost:{}/x", other.addr().port()),
        format!("https://{}/x", other.addr()),
        "https://evil.example.com/x".to_owned(),
    ] {
        let link = format!("<{target}>; rel=\"next\"");
        let server = Server::start(move |request, _| match request.header("authorization") {
            None => Reply::new(401).header("www-authenticate", "Basic realm=\"x\""),
            Some(_) => Reply::tags(&["a"]).header("link", &link),
        })
        .await;
        let client = client(login(server.host()));
        let error = client.tags(&image(server.addr(), "a"), None).await.unwrap_err();
        assert!(text(&error).contains("leads to another host"), "{error}");
        assert_eq!(error.code(), FailureCode::Protocol);
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn an_unreadable_link_fails_the_listing() {
    for link in ["<>; rel=\"next\"", "nonsense", "<x; rel=\"next\"", "<http://[>; rel=next"] {
        let server = Server::start(move |_, _| Reply::tags(&["a"]).header("link", link)).await;
        let error = client(plain(server.host())).tags(&image(server.addr(), "a"), None).await.unwrap_err();
        assert!(text(&error).contains("Link"), "{error}");
    }
}

#[tokio::test]
async fn a_listing_fails_whole_when_one_page_does() {
    for (status, code) in [
        (500, FailureCode::Server),
        (503, FailureCode::Server),
        (404, FailureCode::Protocol),
        (403, FailureCode::Authentication),
        (401, FailureCode::Authentication),
        (429, FailureCode::RateLimited),
        (405, FailureCode::Protocol),
        (304, FailureCode::Protocol),
        (204, FailureCode::Protocol),
    ] {
        let server = Server::start(move |request, _| match request.target.contains("page=2") {
            false => Reply::tags(&["a"]).header("link", "<?page=2>; rel=\"next\""),
            true => Reply::new(status),
        })
        .await;
        let error = client(plain(server.host())).tags(&image(server.addr(), "a"), None).await.unwrap_err();
        assert_eq!(error.code(), code, "{status}: {error}");
        assert!(!error.is_absent(), "a repository with a first page is there: {error}");
        text(&error);
    }
}

#[tokio::test]
async fn a_registry_that_ignores_n_and_last_is_read_once_more_at_most() {
    // As docker-registry 2.8: everything at once, in no order, whatever is asked.
    for (count, requests) in [(999, 1), (1000, 2), (1500, 1)] {
        let tags: Vec<String> = (0..count).rev().map(|n| format!("v{n}")).collect();
        let body = json!({ "name": "a", "tags": tags });
        let server = Server::start(move |_, _| Reply::json(&body)).await;
        let client = client(plain(server.host()));
        assert_eq!(names(client.tags(&image(server.addr(), "a"), None).await), tags);
        assert_eq!(client.requests(), requests);
    }
}

#[tokio::test]
async fn a_registry_that_refuses_the_page_size_is_asked_without() {
    let server = Server::start(|request, _| match request.target.as_str() {
        "/v2/a/tags/list" => Reply::tags(&["a"]).header("link", "<?last=a>; rel=\"next\""),
        "/v2/a/tags/list?last=a" => Reply::tags(&["b"]),
        _ => Reply::new(400),
    })
    .await;
    assert_eq!(names(client(plain(server.host())).tags(&image(server.addr(), "a"), None).await), ["a", "b"]);
}

#[tokio::test]
async fn empty_lists_are_empty_and_bad_names_are_counted() {
    for (body, tags, bad) in [
        (r#"{"name":"a","tags":null}"#, 0, 0),
        (r#"{"name":"a","tags":[]}"#, 0, 0),
        (r#"{"name":"a"}"#, 0, 0),
        (r#"{"tags":["ok","../x","a b","-x","<script>","ok"]}"#, 1, 4),
    ] {
        let server = Server::start(move |_, _| Reply::new(200).body(body)).await;
        let answer = client(plain(server.host())).tags(&image(server.addr(), "a"), None).await.unwrap();
        let TagsAnswer::Fresh { tags: found, dropped, .. } = answer else { panic!() };
        assert_eq!((found.len(), dropped), (tags, bad), "{body}");
    }
}

#[tokio::test]
async fn a_million_tags_are_read_and_one_more_is_too_many() {
    let mut names = String::from("{\"tags\":[\"t0\"");
    for number in 1..1_000_000 {
        names.push_str(&format!(",\"t{number}\""));
    }
    let many = format!("{names}]}}").into_bytes();
    let too_many = format!("{names},\"x\"]}}").into_bytes();
    let server = Server::start(move |request, _| {
        Reply::new(200).body(if request.path().starts_with("/v2/many") { many.clone() } else { too_many.clone() })
    })
    .await;
    let limits = Limits { request_timeout: std::time::Duration::from_secs(30), ..Limits::default() };
    let client = client_with(plain(server.host()), limits);
    assert_eq!(super::names(client.tags(&image(server.addr(), "many"), None).await).len(), 1_000_000);
    let error = client.tags(&image(server.addr(), "more"), None).await.unwrap_err();
    assert!(text(&error).contains("more than 1000000 tags"), "{error}");
}

#[tokio::test]
async fn odd_validators_do_no_harm() {
    let server = Server::start(|request, _| match request.header("if-none-match") {
        None => Reply::tags(&["a"]),
        Some(_) => Reply::new(304),
    })
    .await;
    let client = client(plain(server.host()));
    let name = image(server.addr(), "a");
    for (etag, modified, fresh) in [
        (Some("\"x\""), None, false),
        (None, None, true),
        (Some("bad\r\nX-Evil: 1"), None, true),
        (None, Some("yesterday"), true),
    ] {
        let asked = Validators { etag: etag.map(str::to_owned), last_modified: modified.map(str::to_owned) };
        let answer = client.tags(&name, Some(&asked)).await.unwrap();
        assert_eq!(answer != TagsAnswer::NotModified, fresh, "{asked:?}");
    }
    assert!(server.seen().iter().all(|request| request.header("x-evil").is_none()));
}

#[tokio::test]
async fn a_link_from_behind_a_proxy_says_which_page_and_not_where() {
    let other = Server::start(|_, _| Reply::tags(&["evil"])).await;
    for base in [format!("http://{}/v2/a/tags/list", other.addr()), "/repository/docker/v2/a/tags/list".to_owned()] {
        let link = format!("<{base}?n=1000&last=a>; rel=\"next\"");
        let server = Server::start(move |request, _| match request.target.as_str() {
            "/v2/a/tags/list?n=1000&last=a" => Reply::tags(&["b"]),
            _ => Reply::tags(&["a"]).header("link", &link),
        })
        .await;
        assert_eq!(names(client(plain(server.host())).tags(&image(server.addr(), "a"), None).await), ["a", "b"]);
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_page_that_fails_is_named() {
    let server = Server::start(|request, _| match request.target.contains("last=a") {
        true => Reply::new(400),
        false => Reply::tags(&["a"]).header("link", "<?last=a>; rel=\"next\""),
    })
    .await;
    let error = client(plain(server.host())).tags(&image(server.addr(), "a"), None).await.unwrap_err();
    assert!(text(&error).contains("400"), "{error}");
}
