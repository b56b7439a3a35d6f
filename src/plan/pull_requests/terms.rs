//! The terms under which the bot merges a pull request, and whether they are met.
//!
//! Invariant: anything missing, unknown or unreadable is never "met"; each has its own message in the reason.

use jiff::{SignedDuration, Timestamp};

use crate::model::{Answer, CheckState, Checks, CommitId, FailureCode, MergeMethod, PullRequest, Reviews};
use crate::plan::{Answers, ForgeQuery, Head};
use crate::policy::Effective;

/// If no check is named, how long after the push the forge may still learn of checks; nothing is merged before that.
const SETTLE: SignedDuration = SignedDuration::from_mins(5);
/// Maximum number of names in one sentence.
const NAMES: usize = 5;

/// What is required before the bot merges; the strictest of all policies in the pull request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The preferred merge method.
    pub method: Option<MergeMethod>,
    /// How many people must approve.
    pub approvals: u32,
    /// Labels that must be on it.
    pub labels: Vec<String>,
    /// Checks that must pass; empty: all that the forge reports.
    pub checks: Vec<String>,
    /// Whether it is opened as a draft, which nobody but a person marks as ready for review.
    pub draft: bool,
}

/// The result of judging the terms.
#[derive(Debug)]
pub(super) enum TermsJudgement {
    /// Everything is met.
    Merge,
    /// Something is missing: what, and until when if known.
    Wait { reason: String, until: Option<Timestamp> },
    /// An answer is missing.
    Ask(ForgeQuery),
    /// The forge could not answer.
    Unknown { message: String, code: FailureCode },
}

impl Terms {
    /// The terms for a pull request whose updates have these policies; `None` if one of them does not let the bot
    /// merge.
    pub(super) fn of<'e>(all: impl IntoIterator<Item = &'e Effective>) -> Option<Self> {
        let mut terms: Option<Self> = None;
        for effective in all {
            let fields = &effective.fields.pull_request;
            if !fields.automerge.as_ref().is_some_and(|automerge| automerge.value) {
                return None;
            }
            let terms = terms.get_or_insert_default();
            terms.method = terms.method.or(fields.merge_method.as_ref().map(|method| method.value));
            terms.draft |= fields.draft.as_ref().is_some_and(|draft| draft.value);
            terms.approvals = terms.approvals.max(fields.approvals.as_ref().map_or(0, |count| count.value));
            for label in fields.approval_label.iter().map(|label| &label.value) {
                if !terms.labels.contains(label) {
                    terms.labels.push(label.clone());
                }
            }
            for check in fields.checks.iter().flat_map(|checks| &checks.value) {
                if !terms.checks.contains(check) {
                    terms.checks.push(check.clone());
                }
            }
        }
        terms
    }

    /// Judges the open pull request whose branch has been at `tip` since `made`. `own` are the labels that the bot
    /// adds.
    pub(super) fn judge(
        &self,
        answers: &Answers,
        open: &PullRequest,
        own: &[String],
        (branch, made): (&Head, Option<Timestamp>),
        now: Timestamp,
    ) -> TermsJudgement {
        let tip = &branch.tip;
        if let Some(reason) = self.of_itself(open, own, tip) {
            return TermsJudgement::Wait { reason, until: None };
        }
        let wait = match answers.reviews.get(&open.number) {
            None => return TermsJudgement::Ask(ForgeQuery::Reviews(open.number)),
            Some(Answer::Known(reviews)) => self.reviewed(reviews, &branch.same),
            Some(Answer::Absent { message }) if self.approvals > 0 => Some(message.clone()),
            Some(Answer::Absent { .. }) => None,
            Some(Answer::Failed { message, code, .. }) => {
                return TermsJudgement::Unknown { message: message.clone(), code: *code };
            }
        };
        if let Some(reason) = wait {
            return TermsJudgement::Wait { reason, until: None };
        }
        match answers.checks.get(tip) {
            None => TermsJudgement::Ask(ForgeQuery::Checks(tip.clone())),
            Some(Answer::Known(checks)) => self.checked(checks, made, now),
            Some(Answer::Absent { message }) if !self.checks.is_empty() => {
                let reason = format!("check {} cannot pass: {message}", names(&self.checks));
                TermsJudgement::Wait { reason, until: None }
            }
            Some(Answer::Absent { .. }) => TermsJudgement::Merge,
            Some(Answer::Failed { message, code, .. }) => {
                TermsJudgement::Unknown { message: message.clone(), code: *code }
            }
        }
    }

    /// What the pull request itself lacks.
    fn of_itself(&self, open: &PullRequest, own: &[String], tip: &CommitId) -> Option<String> {
        if open.draft {
            let why = if self.draft { ", as its policy asks (`draft: true`)" } else { "" };
            return Some(format!("it is a draft{why}; mark it as ready for review"));
        }
        if open.head_commit.as_ref() != Some(tip) {
            return Some("the forge does not show the last commit of its branch yet".to_owned());
        }
        let on = |labels: &[String], label: &str| labels.iter().any(|on| on.eq_ignore_ascii_case(label));
        let label = self.labels.iter().find(|label| !on(&open.labels, label) || on(own, label))?;
        Some(match on(own, label) {
            true => format!("label `{label}` does not count as approval: policies let the bot itself add it"),
            false => format!("nobody has added the label `{label}`"),
        })
    }

    fn reviewed(&self, reviews: &Reviews, same: &[CommitId]) -> Option<String> {
        let objections = reviews.objections();
        if !objections.is_empty() {
            return Some(format!("{} asked for changes", names(&objections)));
        }
        if let Some((by, word)) = reviews.unknown().first() {
            return Some(format!("the review of {by} says `{word}`, which is not a known state"));
        }
        let there = reviews.approvals(same);
        if there.len() >= usize::try_from(self.approvals).unwrap_or(usize::MAX) {
            return None;
        }
        let mut reason = format!("it has {} of {} approvals", there.len(), self.approvals);
        for void in reviews.void(same).iter().take(NAMES) {
            reason.push_str(&format!("; {void}"));
        }
        Some(reason)
    }

    fn checked(&self, checks: &Checks, made: Option<Timestamp>, now: Timestamp) -> TermsJudgement {
        let wait = |reason: String| TermsJudgement::Wait { reason, until: None };
        let named: Vec<(&str, Option<&CheckState>)> = match self.checks.is_empty() {
            true => checks.all().map(|(name, state)| (name, Some(state))).collect(),
            false => self.checks.iter().map(|name| (name.as_str(), checks.get(name))).collect(),
        };
        let of = |wanted: fn(Option<&CheckState>) -> bool| -> Vec<&str> {
            named.iter().filter(|(_, state)| wanted(*state)).map(|(name, _)| *name).collect()
        };
        let failed = of(|state| matches!(state, Some(CheckState::Failed)));
        if !failed.is_empty() {
            return wait(format!("check {} failed", names(&failed)));
        }
        for (name, state) in &named {
            if let Some(CheckState::Unknown(word)) = state {
                return wait(format!("check {name} says `{word}`, which is not a known state"));
            }
        }
        let running = of(|state| matches!(state, Some(CheckState::Pending)));
        if !running.is_empty() {
            return wait(format!("check {} has not finished", names(&running)));
        }
        let missing = of(|state| state.is_none());
        if !missing.is_empty() {
            return wait(format!("the forge shows no check {} yet", names(&missing)));
        }
        // A check that starts late must not be missed.
        let settled = made.and_then(|made| made.checked_add(SETTLE).ok()).filter(|_| self.checks.is_empty());
        match settled.filter(|settled| now < *settled) {
            Some(settled) => {
                let reason =
                    "it has just been pushed, and more checks may start; list those that count in `pullRequest.checks`";
                TermsJudgement::Wait { reason: reason.to_owned(), until: Some(settled) }
            }
            None => TermsJudgement::Merge,
        }
    }
}

fn names<T: AsRef<str>>(all: &[T]) -> String {
    let shown: Vec<&str> = all.iter().take(NAMES).map(AsRef::as_ref).collect();
    let more = all.len().saturating_sub(shown.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}
