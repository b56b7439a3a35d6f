//! One comment per pull request, created with its first landing or incident and kept up to date.

use std::collections::BTreeMap;

use http::StatusCode;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::model::{IncidentId, NoticeKind};

use super::{GitHubStatusSink, Id, Target};
use crate::notify::client::Failure;
use crate::notify::memory::{Comment, SinkMemory};
use crate::notify::sinks::Delivery;

/// The marker by which the comment is found again.
const MARKER: &str = "<!-- landfall: alerts -->";
/// Maximum size of a comment in bytes; GitHub accepts 65,536 characters.
const LIMIT: usize = 60_000;
/// Maximum number of comment pages searched.
const MAX_PAGES: usize = 10;
/// Comments per page.
const PAGE: usize = 100;

#[derive(Debug, Deserialize)]
struct Found {
    id: u64,
    body: Option<String>,
}

impl GitHubStatusSink {
    pub(super) async fn comment(
        &self,
        target: &Target,
        delivery: &Delivery<'_>,
        memory: &mut SinkMemory,
    ) -> Result<(), Failure> {
        let Some(url) = &delivery.notice.links.pull_request else { return Ok(()) };
        let Some(number) = number(url, &target.name) else { return Ok(()) };
        let known = memory.comments.get(url).cloned();
        // The end of an incident that was never posted here is not worth a comment.
        if delivery.notice.kind == NoticeKind::Resolved && known.is_none() {
            return Ok(());
        }
        let mut parts = known.as_ref().map(|comment| comment.parts.clone()).unwrap_or_default();
        parts.insert(delivery.id.clone(), delivery.texts.markdown.clone());
        let body = json!({ "body": text(&parts) });
        let mut id = match known {
            Some(comment) => Some(comment.id),
            None => self.find(target, number).await?,
        };
        if let Some(there) = id {
            match self.ask(target, Method::PATCH, &format!("/issues/comments/{there}"), Some(&body)).await {
                Ok(_) => {}
                // It was deleted, or belongs to somebody else.
                Err(failure) if matches!(failure.status, Some(StatusCode::NOT_FOUND | StatusCode::FORBIDDEN)) => {
                    id = None;
                }
                Err(failure) => return Err(failure),
            }
        }
        let id = match id {
            Some(id) => id,
            None => {
                let path = format!("/issues/{number}/comments");
                let answer = self.ask(target, Method::POST, &path, Some(&body)).await?;
                self.client.read::<Id>("the comment", &answer)?.id
            }
        };
        memory.comments.put(url, Comment { id, parts });
        Ok(())
    }

    async fn find(&self, target: &Target, number: u64) -> Result<Option<u64>, Failure> {
        for page in 1..=MAX_PAGES {
            let path = format!("/issues/{number}/comments?per_page={PAGE}&page={page}");
            let answer = self.ask(target, Method::GET, &path, None).await?;
            let comments: Vec<Found> = self.client.read("comments", &answer)?;
            let ours = |found: &&Found| found.body.as_deref().is_some_and(|body| body.starts_with(MARKER));
            if let Some(found) = comments.iter().find(ours) {
                return Ok(Some(found.id));
            }
            if comments.len() < PAGE {
                break;
            }
        }
        Ok(None)
    }
}

/// As many parts as there is room for.
fn text(parts: &BTreeMap<IncidentId, String>) -> String {
    let mut text = format!("{MARKER}\n");
    let mut left = 0;
    for part in parts.values() {
        if text.len() + part.len() < LIMIT {
            text.push_str(&format!("\n{part}"));
        } else {
            left += 1;
        }
    }
    if left > 0 {
        text.push_str(&format!("\n… and {left} more.\n"));
    }
    text
}

/// The number of a pull request of this repository: `https://github.com/acme/deploys/pull/7`.
fn number(url: &str, repository: &str) -> Option<u64> {
    let path = url::Url::parse(url).ok()?.path().to_owned();
    let (front, number) = path.rsplit_once("/pull/")?;
    front.trim_start_matches('/').eq_ignore_ascii_case(repository).then_some(())?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_of_this_repository() {
        for (url, expected) in [
            ("https://github.com/acme/deploys/pull/7", Some(7)),
            ("https://git.example.com/Acme/Deploys/pull/12", Some(12)),
            ("https://github.com/acme/other/pull/7", None),
            ("https://github.com/acme/deploys/pull/7/files", None),
            ("local:deploys#1", None),
        ] {
            assert_eq!(number(url, "acme/deploys"), expected, "{url}");
        }
    }
}
