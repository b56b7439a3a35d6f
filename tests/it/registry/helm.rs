//! Helm repositories: one request for all charts of an index, conditional, within bounds, and never half an answer.

use std::fmt::Write as _;

use landfall::model::{FailureCode, ImageName};
use landfall::registry::{RegistryClient, TagsAnswer, Validators};

use super::server::{Reply, Server};
use super::{client, login, names, plain, tag, text};

const INDEX: &str = "apiVersion: v1\nentries:\n  api:\n  - version: 2.0.0\n    digest: aa\n  web:\n  - version: 1.1.0+up3\n    created: 2026-01-02T03:04:05Z\n    digest: 99c76e403d752c84ead610644d4b1c2f2b453a74b921f422b9dcb8a7c8b559cd\n    sources:\n    - https://git.example.com/web\n  - version: 1.0.0\n  - version: not/a/tag\ngenerated: 2026-01-02T03:04:05Z\n";

fn chart(server: &Server, name: &str) -> ImageName {
    ImageName::parse(&format!("http://{}/stable/{name}", server.addr())).unwrap()
}

fn index(etag: &str) -> Reply {
    Reply::new(200).header("content-type", "text/yaml").header("etag", etag).body(INDEX)
}

#[tokio::test]
async fn all_charts_of_a_repository_cost_one_request() {
    let server = Server::start(|request, _| match (request.path(), request.header("if-none-match")) {
        ("/stable/index.yaml", Some("\"1\"")) => Reply::new(304),
        ("/stable/index.yaml", _) => index("\"1\""),
        _ => Reply::new(500),
    })
    .await;
    let client = client(plain(server.host()));
    let (web, api, gone) = (chart(&server, "web"), chart(&server, "api"), chart(&server, "gone"));
    let (one, two, three) = tokio::join!(client.tags(&web, None), client.tags(&api, None), client.tags(&gone, None));
    let Ok(TagsAnswer::Fresh { tags, dropped, validators }) = one else { panic!("{one:?}") };
    assert_eq!(
        (tags.iter().map(|tag| tag.to_string()).collect::<Vec<_>>(), dropped),
        (vec!["1.1.0+up3".into(), "1.0.0".into()], 1)
    );
    assert_eq!(names(two), ["2.0.0"]);
    let error = three.unwrap_err();
    assert!(error.is_absent() && text(&error).contains("has no chart gone"), "{error}");
    let manifest = client.manifest(&web, &tag("1.1.0+up3")).await.unwrap();
    assert_eq!(manifest.created.unwrap().to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(manifest.source_url(), Some("https://git.example.com/web"));
    assert!(manifest.artifact.as_deref().is_some_and(|artifact| artifact.contains("helm")), "{manifest:?}");
    assert_eq!(client.resolve(&web, &tag("1.1.0+up3")).await.unwrap(), manifest.digest);
    assert!(client.manifest(&web, &tag("9.9.9")).await.unwrap_err().is_absent());
    assert_eq!(server.seen().len(), 1, "{:?}", server.seen());

    // After a restart, whoever has the validators is told that nothing changed; whoever has none gets the list.
    let restarted = super::client(plain(server.host()));
    assert_eq!(restarted.tags(&web, validators.as_ref()).await.unwrap(), TagsAnswer::NotModified);
    assert_eq!(restarted.tags(&web, validators.as_ref()).await.unwrap(), TagsAnswer::NotModified);
    assert_eq!(server.seen().len(), 2);
    let old = Validators { etag: Some("\"0\"".to_owned()), last_modified: None };
    assert_eq!(names(restarted.tags(&api, Some(&old)).await), ["2.0.0"]);
}

#[tokio::test]
async fn an_index_in_another_form_is_read_as_a_whole() {
    let json = r#"{"apiVersion":"v1","entries":{"web":[{"version":"1.2.0"},{"version":"1.1.0"}]}}"#;
    let server = Server::start(move |_, _| Reply::new(200).body(json)).await;
    assert_eq!(names(client(plain(server.host())).tags(&chart(&server, "web"), None).await), ["1.2.0", "1.1.0"]);
}

#[tokio::test]
async fn half_an_index_or_none_is_no_answer() {
    let cut = INDEX.len() - 60;
    let long = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{}", &INDEX[..cut]);
    type Script = (Reply, FailureCode, &'static str);
    let scripts: Vec<Script> = vec![
        (Reply::new(200).body(&INDEX[..cut]), FailureCode::Protocol, "cut off"),
        (Reply::Raw(long(INDEX.len()).into_bytes()), FailureCode::Network, "cut off"),
        (Reply::new(200).body("<html>sign in</html>\n"), FailureCode::Protocol, "no `entries`"),
        (Reply::new(404), FailureCode::Protocol, "is this the address of a Helm repository"),
        (Reply::new(304), FailureCode::Protocol, "304"),
        (Reply::new(403), FailureCode::Authentication, "403"),
        (Reply::new(500), FailureCode::Server, "500"),
    ];
    for (reply, code, said) in scripts {
        let server = Server::start(move |_, _| reply.clone()).await;
        let client = client(plain(server.host()));
        let error = client.tags(&chart(&server, "web"), None).await.unwrap_err();
        assert!(error.code() == code && !error.is_absent() && text(&error).contains(said), "{error}");
    }
}

#[tokio::test]
async fn credentials_are_shown_to_the_repository_and_plain_http_is_asked_for() {
    let server = Server::start(|request, _| match request.header("authorization") {
        Some(_) => index("\"1\""),
        None => Reply::new(401).header("www-authenticate", "Basic realm=\"charts\""),
    })
    .await;
    assert_eq!(names(client(login(server.host())).tags(&chart(&server, "web"), None).await).len(), 2);
    let secure = landfall::registry::HostSettings::new(server.host());
    let client = RegistryClient::new(vec![secure], super::quick()).unwrap();
    let error = client.tags(&chart(&server, "web"), None).await.unwrap_err();
    assert!(text(&error).contains("plainHttp: true"), "{error}");
}

#[tokio::test]
async fn fifty_megabytes_are_read_as_they_arrive() {
    let mut large = String::from("apiVersion: v1\nentries:\n");
    for number in 0..200 {
        let _ = writeln!(large, "  chart-{number}:");
        for version in 0..50 {
            let _ = write!(
                large,
                "  - apiVersion: v2\n    description: |\n      {}\n    name: chart-{number}\n    version: 1.{version}.0\n",
                "a long text about the chart ".repeat(180)
            );
        }
    }
    large.push_str("generated: now\n");
    assert!(large.len() > 50_000_000, "{}", large.len());
    let server = Server::start(move |_, _| Reply::new(200).body(large.clone())).await;
    let client = client(plain(server.host()));
    let all = (0..200).map(|number| ImageName::parse(&format!("http://{}/chart-{number}", server.addr())).unwrap());
    let all: Vec<_> = all.collect();
    let answers = futures::future::join_all(all.iter().map(|chart| client.tags(chart, None))).await;
    assert!(answers.into_iter().all(|answer| names(answer).len() == 50));
    assert_eq!(server.seen().len(), 1);
}
