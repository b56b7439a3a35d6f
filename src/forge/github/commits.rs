//! Commits made through GitHub's API, which GitHub then signs as its own: they are shown as verified.
//!
//! Sources: GitHub's "Signature verification for bots" (signed is what an App makes without an author, committer or signature of
//! its own) and "REST API endpoints for Git trees" and "… for Git commits". A tree is made from its base and what changed
//! alone, so that rules about paths are asked about nothing else. What is made here belongs to no branch: the branch is moved by
//! a push with a lease, since the API can only move one without comparing what it was.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::addresses::{DEFAULT_API, pages_of};
use super::wire::{WireGitCommit, WireSha, WireSignature, WireTip, WireVerification};
use crate::forge::PullError;
use crate::forge::error::{ForgeError, Problem};
use crate::forge::hosted::{ApiClient, Ask, Repeat};
use crate::git::{CommitOrder, MadeCommit, MakesCommits, NotMade, OrderedChange};
use crate::model::{FailureCode, Identity, one_line};

/// How many bytes of text are sent within one tree; what is beyond, or is no text, is sent alone.
const INLINE: usize = 1 << 20;

/// How many of the last commits are known.
const RECENT: usize = 256;

/// How commits are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CommitWay {
    /// By the bot itself.
    Git,
    /// Through GitHub's API: GitHub signs the commits of an App. `author` is then the App as GitHub writes it.
    Api,
}

/// Makes the commits of one repository.
pub(super) struct CommitMaker {
    api: Arc<ApiClient>,
    author: Identity,
    committer: Identity,
    /// The last commits that it made, latest last.
    recent: Mutex<VecDeque<String>>,
}

impl fmt::Debug for CommitMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitMaker").field("author", &self.author).finish_non_exhaustive()
    }
}

/// As whom GitHub commits what it makes: on an Enterprise Server by an address of its own, unless that was changed there.
pub(super) fn committer(api_url: &str) -> Identity {
    let who = |name: &str, email: String| Identity { name: name.to_owned(), email };
    if api_url == DEFAULT_API {
        return who("GitHub", "noreply@github.com".to_owned());
    }
    let site = pages_of(api_url).unwrap_or_else(|| api_url.to_owned());
    let host = Url::parse(&site).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    who("GitHub Enterprise", format!("noreply@{host}"))
}

impl CommitMaker {
    pub(super) fn new(api: Arc<ApiClient>, author: Identity, committer: Identity) -> Self {
        Self { api, author, committer, recent: Mutex::default() }
    }

    /// For `landfall doctor`.
    pub(super) fn words(&self) -> String {
        format!("GitHub signs the bot's commits, as {}", self.author.name)
    }

    /// Makes a commit that no branch gets, on the tip of a branch and with its tree: whether commits can be made and are
    /// signed, and whose they are, shows only then.
    pub(super) async fn try_out(&self, branch: &str) -> Result<(), ForgeError> {
        let branch = form_urlencoded::byte_serialize(branch.as_bytes()).collect::<String>().replace('+', "%20");
        let tip: WireTip = self.api.ask(Ask::get(format!("commits/{branch}"))).await?;
        let body = json!({ "message": "landfall doctor", "tree": tip.commit.tree.sha, "parents": [tip.sha] });
        self.commit(body).await.map(drop)
    }

    async fn made(&self, order: &CommitOrder) -> Result<MadeCommit, ForgeError> {
        let tree = self.tree(order).await?;
        if tree != order.tree {
            let tree = one_line(&tree, 40);
            return Err(self.nonsense(&format!("it has made the tree {tree}, where {} was planned", order.tree)));
        }
        let body = json!({ "message": order.message, "tree": tree, "parents": order.parents });
        self.commit(body).await
    }

    /// The tree: its base with what changed.
    async fn tree(&self, order: &CommitOrder) -> Result<String, ForgeError> {
        if order.changes.is_empty() {
            return Ok(order.base.clone());
        }
        let (mut entries, mut inline) = (Vec::with_capacity(order.changes.len()), 0);
        for change in &order.changes {
            entries.push(self.entry(change, &mut inline).await?);
        }
        let body = json!({ "base_tree": order.base, "tree": entries });
        let made: WireSha = self.api.ask(Ask::post("git/trees", body, Repeat::Harmless)).await?;
        Ok(made.sha)
    }

    async fn entry(
        &self,
        OrderedChange { path, put }: &OrderedChange,
        inline: &mut usize,
    ) -> Result<Value, ForgeError> {
        let mut entry = json!({ "path": path.as_str(), "mode": "100644", "type": "blob" });
        let Some(file) = put else {
            entry["sha"] = Value::Null;
            return Ok(entry);
        };
        if file.executable {
            entry["mode"] = json!("100755");
        }
        match std::str::from_utf8(&file.content) {
            Ok(text) if inline.saturating_add(text.len()) <= INLINE && !text.contains('\0') => {
                *inline += text.len();
                entry["content"] = json!(text);
            }
            _ => {
                let body = json!({ "content": STANDARD.encode(&file.content), "encoding": "base64" });
                let blob: WireSha = self.api.ask(Ask::post("git/blobs", body, Repeat::Harmless)).await?;
                entry["sha"] = json!(blob.sha);
            }
        }
        Ok(entry)
    }

    /// The commit, signed, under the names that the configuration says. Nobody but GitHub may say whose it is: with a name
    /// of ours in it, it would not be signed.
    async fn commit(&self, body: Value) -> Result<MadeCommit, ForgeError> {
        let made: WireGitCommit = self.api.ask(Ask::post("git/commits", body, Repeat::Harmless)).await?;
        let WireVerification { verified, reason, payload, signature } = made.verification;
        let reason = one_line(&reason, 40);
        // What GitHub signs, it may fail to verify for a while.
        let is_signed = verified || reason.starts_with("gpgverify_");
        let (true, Some((payload, signature))) = (is_signed, payload.zip(signature)) else {
            return Err(self.wrong(&format!(
                "GitHub has not signed the commit that it made for the bot ({reason}): it signs those of a GitHub App; next: let the bot come as one (`app`), or leave out `commits: api`",
            )));
        };
        if made.author.email != self.author.email || made.committer.email != self.committer.email {
            let name = |who: &WireSignature| {
                format!("{{ name: \"{}\", email: \"{}\" }}", one_line(&who.name, 100), one_line(&who.email, 200))
            };
            return Err(self.wrong(&format!(
                "GitHub makes the bot's commits under other names than the configuration says, so that the bot would not know its own; next: write `author: {}` and `committer: {}` for this repository",
                name(&made.author),
                name(&made.committer),
            )));
        }
        Ok(MadeCommit { id: made.sha, payload, signature })
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit that was made a moment ago may not be known everywhere at GitHub: that is no matter of permissions.
    fn told(&self, error: ForgeError, order: &CommitOrder) -> ForgeError {
        let unknown = match &error.problem {
            Problem::NotFound { .. } => true,
            Problem::Rejected { status: 422, message } => message.contains("not exist"),
            _ => false,
        };
        let own = order.parents.iter().find(|parent| self.recent().iter().any(|made| made == parent.as_str()));
        match own.filter(|_| unknown) {
            Some(parent) => {
                let text = format!("GitHub does not show the commit {} yet, which it made for the bot", parent.short());
                self.api.error("POST git/trees or git/commits", Problem::NotYet(text))
            }
            None => error,
        }
    }

    fn wrong(&self, text: &str) -> ForgeError {
        self.api.error("POST git/commits", Problem::Settings(self.api.clean(text)))
    }

    fn nonsense(&self, text: &str) -> ForgeError {
        self.api.nonsense("POST git/trees", text)
    }
}

impl MakesCommits for CommitMaker {
    fn make<'a>(&'a self, order: &'a CommitOrder) -> BoxFuture<'a, Result<MadeCommit, NotMade>> {
        Box::pin(async move {
            let made = self.made(order).await.map_err(|error| self.told(error, order)).inspect(|made| {
                let mut recent = self.recent();
                recent.push_back(made.id.clone());
                if recent.len() > RECENT {
                    recent.pop_front();
                }
            });
            made.map_err(|error| {
                let settings = matches!(error.problem, Problem::Settings(_));
                let PullError { message, code } = error.into();
                NotMade { message, code: if settings { FailureCode::ConfigError } else { code } }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_commits_depends_on_where() {
        for (url, email) in [
            ("https://api.github.com", "noreply@github.com"),
            ("https://git.example.com/api/v3", "noreply@git.example.com"),
            ("https://api.acme.ghe.com", "noreply@acme.ghe.com"),
        ] {
            assert_eq!(committer(url).email, email);
        }
    }
}
