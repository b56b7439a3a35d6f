//! The registry client against registries: the demo's, a scripted one that misbehaves, and Debian's docker-registry.

use std::time::Duration;

use landfall::model::{ImageName, Tag};
use landfall::registry::{BasicLogin, HostSettings, Limits, RegistryClient, RegistryError, RegistryLogin, TagsAnswer};
use secrecy::SecretString;

mod server;

mod auth;
mod doctor;
mod ecr_helper;
mod error_pages;
mod faults;
mod healthy;
mod helm;
mod logins;
mod pages;
pub(crate) mod real;
mod signatures;

/// The usual limits, which a busy machine does not meet; pauses are short, not absent.
fn quick() -> Limits {
    Limits { backoff: Duration::from_millis(2), ..Limits::default() }
}

fn plain(host: impl Into<String>) -> HostSettings {
    HostSettings { plain_http: true, ..HostSettings::new(host) }
}

fn login(host: impl Into<String>) -> HostSettings {
    HostSettings { login: Some(basic("bot", "hunter2")), ..plain(host) }
}

fn basic(username: &str, password: &str) -> RegistryLogin {
    RegistryLogin::Basic(BasicLogin { username: username.to_owned(), password: SecretString::from(password) })
}

fn client(host: HostSettings) -> RegistryClient {
    client_with(host, quick())
}

fn client_with(host: HostSettings, limits: Limits) -> RegistryClient {
    RegistryClient::new(vec![host], limits).unwrap()
}

fn image(host: impl std::fmt::Display, repository: &str) -> ImageName {
    ImageName::parse(&format!("{host}/{repository}")).unwrap()
}

fn tag(name: &str) -> Tag {
    Tag::parse(name).unwrap()
}

/// The names of a fresh listing.
fn names(answer: Result<TagsAnswer, RegistryError>) -> Vec<String> {
    match answer.unwrap() {
        TagsAnswer::Fresh { tags, .. } => tags.iter().map(|tag| tag.to_string()).collect(),
        TagsAnswer::NotModified => panic!("not modified"),
    }
}

/// An error's text, checked to be fit for a log: no secret of these tests in it, and it names the repository.
fn text(error: &RegistryError) -> String {
    let text = error.to_string();
    let debug = format!("{error:?}");
    for secret in ["hunter2", "Ym90Omh1bnRlcjI", "s3cr3t"] {
        assert!(!text.contains(secret) && !debug.contains(secret), "{debug}");
    }
    text
}
