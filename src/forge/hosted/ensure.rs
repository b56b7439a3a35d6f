//! Find or create: one pull request for each branch, in the requested state.
//!
//! The steps, each safe to repeat: look it up; create it if there is none; title and text; labels; reviewers. Labels
//! and reviewers are added once: what a person has removed since stays removed, and a reviewer who has answered (whom
//! a forge may then no longer list) is not requested again. The pull request's own history shows this.

use std::sync::PoisonError;
use std::time::Duration;

use super::Hosted;
use super::api::{Api, ForgePull, History, States};
use crate::forge::Feature;
use crate::forge::error::{ForgeError, Problem};
use crate::model::{PullRequest, PullRequestSpec, PullState};

/// The pauses before each try of a creation or lookup: a new pull request may take a moment to appear in lists.
const WAITS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(2)];
/// Above this many remembered pull requests all are forgotten; each then costs a few requests again.
const REMEMBERED: usize = 10_000;

/// What this process has already done to one pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settled {
    labels: Vec<String>,
    reviewers: Vec<String>,
}

impl Settled {
    fn of(spec: &PullRequestSpec) -> Self {
        Self { labels: spec.labels.clone(), reviewers: spec.reviewers.clone() }
    }
}

impl<A: Api> Hosted<A> {
    /// Finds or creates the open pull request from `spec.head` into `spec.base`, and brings title, text, labels and
    /// reviewers up to `spec`. Returns its state afterwards, and warnings about what could not be done.
    ///
    /// `existing` is what the caller knows about it. This saves requests if nothing changed, and protects a decision:
    /// if that pull request has been closed or merged in the meantime, it is returned in that state and no new one is
    /// created. Whether it is a draft is decided only on creation.
    ///
    /// # Errors
    /// If it may not exist at the end. The same call may be repeated at any time.
    pub async fn ensure(
        &self,
        spec: &PullRequestSpec,
        existing: Option<&PullRequest>,
    ) -> Result<(PullRequest, Vec<String>), ForgeError> {
        // Texts are limited where they are written.
        let title = crate::model::one_line(&spec.title, A::MAX_TITLE - 1);
        let spec = &PullRequestSpec { title, body: fitting(&spec.body, A::MAX_BODY), ..spec.clone() };
        if let Some(existing) = existing.filter(|existing| self.is_settled(spec, existing)) {
            return Ok((existing.clone(), Vec::new()));
        }
        let _turn = self.writing.lock().await;
        self.in_time("ensure a pull request", async {
            let mut warnings = Vec::new();
            let (found, is_new) = match self.find(spec).await? {
                Some(found) => (found, false),
                None => {
                    if let Some(decided) = self.decided_meanwhile(existing).await? {
                        return Ok((decided, warnings));
                    }
                    self.create(spec, &mut warnings).await?
                }
            };
            let pull = self.bring_up(spec, found, is_new, &mut warnings).await?;
            Ok((pull, warnings))
        })
        .await
    }

    fn is_settled(&self, spec: &PullRequestSpec, existing: &PullRequest) -> bool {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        existing.state == PullState::Open
            && (&existing.head, &existing.base) == (&spec.head, &spec.base)
            && is_same_text(spec, existing)
            && settled.get(&existing.number) == Some(&Settled::of(spec))
    }

    fn settle(&self, number: u64, spec: &PullRequestSpec) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if settled.len() >= REMEMBERED {
            settled.clear();
        }
        settled.insert(number, Settled::of(spec));
    }

    async fn find(&self, spec: &PullRequestSpec) -> Result<Option<A::Pull>, ForgeError> {
        Ok(self.list_of(&spec.head, &spec.base, States::Open).await?.into_iter().next())
    }

    /// The pull request that the caller believes to be open, if it is not.
    async fn decided_meanwhile(&self, existing: Option<&PullRequest>) -> Result<Option<PullRequest>, ForgeError> {
        let Some(existing) = existing.filter(|existing| existing.state == PullState::Open) else { return Ok(None) };
        let now = self.one(existing.number).await?;
        Ok((now.state != PullState::Open).then_some(now))
    }

    /// Creates it; if the answer is lost or says that it already exists, looks it up before sending anything again.
    /// Returns whether it is certainly new.
    async fn create(&self, spec: &PullRequestSpec, warnings: &mut Vec<String>) -> Result<(A::Pull, bool), ForgeError> {
        let mut draft = spec.draft;
        let mut defaults = self.api.default_reviewers(spec).await.unwrap_or_else(|error| {
            warnings.push(format!("the repository's default reviewers are not asked: {error}"));
            Vec::new()
        });
        let mut waits = WAITS.into_iter();
        loop {
            let error = match self.api.client().ask::<A::Pull>(self.api.creating(spec, draft, &defaults)).await {
                Ok(pull) if pull.head() == spec.head.as_str() && pull.base() == spec.base.as_str() => {
                    return Ok((self.completed(pull).await?, true));
                }
                Ok(_) => {
                    return Err(self.api.client().nonsense("POST pulls", "it is a pull request of other branches"));
                }
                Err(error) => error,
            };
            match &error.problem {
                problem if !defaults.is_empty() && problem.names_reviewers() => {
                    warnings.push(format!("the repository's default reviewers are not asked: {error}"));
                    defaults.clear();
                    continue;
                }
                problem if A::exists(problem) => {
                    return self.adopt(spec).await?.map(|found| (found, false)).ok_or(error);
                }
                Problem::Rejected { status: 422, message } if draft && message.to_lowercase().contains("draft") => {
                    warnings.push("this repository has no draft pull requests; opened as an ordinary one".to_owned());
                    draft = false;
                    continue;
                }
                // An unreadable answer counts as well: the creation itself may have succeeded.
                Problem::Protocol(_) => {
                    return self.adopt(spec).await?.map(|found| (found, false)).ok_or(error);
                }
                problem if !problem.may_pass() => return Err(error),
                _ => {}
            }
            let Some(wait) = waits.next() else { return Err(error) };
            tokio::time::sleep(wait).await;
            if let Some(found) = self.find(spec).await? {
                return Ok((found, false));
            }
        }
    }

    async fn completed(&self, pull: A::Pull) -> Result<A::Pull, ForgeError> {
        let gone = || self.api.client().nonsense("GET pulls", "it is gone");
        self.api.completed(vec![pull]).await?.pop().ok_or_else(gone)
    }

    /// Looks a few times for a pull request that should exist.
    async fn adopt(&self, spec: &PullRequestSpec) -> Result<Option<A::Pull>, ForgeError> {
        for wait in WAITS {
            tokio::time::sleep(wait).await;
            if let Some(found) = self.find(spec).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Title and text, then labels and reviewers. Failures of the latter two become warnings: the caller must know that
    /// the pull request exists and is right.
    async fn bring_up(
        &self,
        spec: &PullRequestSpec,
        found: A::Pull,
        is_new: bool,
        warnings: &mut Vec<String>,
    ) -> Result<PullRequest, ForgeError> {
        let waiting: Vec<&String> = spec.reviewers.iter().filter(|reviewer| !found.waits_for(reviewer)).collect();
        let mut pull = self.model(found.clone())?;
        if !is_same_text(spec, &pull) {
            let ask = self.api.rewriting(&found, &spec.title, &spec.body);
            let now = self.api.client().ask::<A::Pull>(ask).await?;
            pull = self.model(self.completed(now).await?)?;
        }
        // A forge without labels gets none; `landfall check` has said so.
        let has_labels = !A::LACKS.contains(&Feature::Labels);
        let lacks = |label: &&String| has_labels && !pull.labels.iter().any(|has| has.eq_ignore_ascii_case(label));
        let labels: Vec<&String> = spec.labels.iter().filter(lacks).collect();
        let before = warnings.len();
        if !(labels.is_empty() && waiting.is_empty()) {
            // Nothing was ever added to one that has just been created.
            let history = if is_new { Ok(History::default()) } else { self.api.history(pull.number).await };
            match history {
                Err(error) => warnings.push(format!("labels and reviewers unchanged: {error}")),
                Ok(history) => {
                    let labels: Vec<_> = labels.into_iter().filter(|l| !history.had_label(l)).cloned().collect();
                    let reviewers: Vec<_> = waiting.into_iter().filter(|r| !history.had_reviewer(r)).collect();
                    if !labels.is_empty() {
                        pull.labels.extend(self.api.add_labels(pull.number, &labels, warnings).await);
                    }
                    if !reviewers.is_empty() {
                        self.api.request(pull.number, &reviewers, warnings).await;
                    }
                }
            }
        }
        if warnings.len() == before {
            self.settle(pull.number, spec);
        }
        Ok(pull)
    }
}

/// A text that has no more characters than that: what is cut is in the middle, as the record at its end must stay.
pub(super) fn fitting(body: &str, most: usize) -> String {
    const CUT: &str = "\n\n(The forge takes no longer text; the commit's message has all.)\n\n";
    let length = body.chars().count();
    let (text, end) = body.rfind("<!-- landfall:").map_or((body, ""), |at| body.split_at(at));
    let rest = end.chars().count() + CUT.chars().count();
    if length <= most || rest >= most {
        return body.to_owned();
    }
    let begin: String = text.chars().take(most - rest).collect();
    let begin = begin.rfind('\n').map_or(begin.as_str(), |line| &begin[..line]);
    format!("{begin}{CUT}{end}")
}

/// What a forge says of a label is about the label, not about branches.
pub(in crate::forge) fn label_warning(labels: &[String], error: &ForgeError) -> String {
    match &error.problem {
        Problem::Rejected { status: 422, message } => bad_label_warning(labels, message),
        _ => format!("labels not added: {}: {error}", quoted(labels)),
    }
}

/// Labels that this forge cannot have.
pub(in crate::forge) fn bad_label_warning(labels: &[String], reason: &str) -> String {
    format!("the forge rejects label {} ({reason}); next: correct `pullRequest.labels` in the policy", quoted(labels))
}

fn quoted(labels: &[String]) -> String {
    labels.iter().map(|label| format!("`{}`", label.escape_debug())).collect::<Vec<_>>().join(", ")
}

pub(in crate::forge) fn reviewer_warning(reviewer: &str, error: &ForgeError) -> String {
    let refused = matches!(error.problem, Problem::NoReviewer(_) | Problem::Rejected { status: 422, .. })
        || error.problem.names_reviewers();
    let reason = if refused { "cannot be a reviewer:" } else { "review not requested:" };
    format!("{reason} {}: {error}", reviewer.escape_debug())
}

/// Whether title and text are as requested.
fn is_same_text(spec: &PullRequestSpec, pull: &PullRequest) -> bool {
    is_same(&spec.title, &pull.title) && is_same(&spec.body, &pull.body)
}

/// Whether two texts are the same but for what forges themselves change: outer spaces and line ends.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.replace("\r\n", "\n").trim().to_owned();
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn a_text_is_cut_where_the_record_is_not() {
        let long = format!("{}<!-- landfall: 0123 -->\n", "| é | row |\n".repeat(500));
        let cut = fitting(&long, 4000);
        assert!(cut.chars().count() <= 4000 && cut.ends_with("\n\n<!-- landfall: 0123 -->\n"), "{cut}");
        assert!(cut.starts_with("| é | row |\n") && cut.contains("| é | row |\n\n(The forge"), "{cut}");
        assert_eq!(fitting(&cut, 4000), cut);
        // A record that is too long by itself is for the forge to refuse.
        let record = format!("<!-- landfall: {} -->", "0123 ".repeat(1000));
        assert_eq!((fitting(&record, 4000), fitting("short", usize::MAX)), (record.clone(), "short".to_owned()));
    }
}
