//! Which approvals count, as far as that is the same on every forge.

use serde::Deserialize;

use crate::forge::error::{ForgeError, Problem};
use crate::model::{Review, ReviewState, Reviews, Weight};

/// The maximum number of people whose permissions are looked up; more approvals than this are enough anyway.
const WEIGHED: usize = 20;

/// Whether a review is an approval that counts, as far as is known by now.
pub(in crate::forge) fn counts(review: &Review) -> bool {
    review.state == ReviewState::Approved && review.weight == Weight::Counts
}

/// The approvals whose authors' permissions are to be looked up; those beyond a limit do not count.
pub(in crate::forge) fn to_weigh(reviews: &mut Reviews) -> Vec<&mut Review> {
    to_weigh_by_key(reviews).into_iter().map(|(_, review)| review).collect()
}

/// The same with whose each is.
pub(in crate::forge) fn to_weigh_by_key(reviews: &mut Reviews) -> Vec<(&str, &mut Review)> {
    let mut approvals: Vec<(&str, &mut Review)> = reviews.by_key_mut().filter(|(_, review)| counts(review)).collect();
    for (_, review) in approvals.iter_mut().skip(WEIGHED) {
        review.weight = Weight::DoesNotCount("there are more approvals than are checked".to_owned());
    }
    approvals.truncate(WEIGHED);
    approvals
}

/// A new tip of a branch, and who pushed it: by the name or key that their reviews have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::forge) struct PushedTip {
    pub(in crate::forge) tip: String,
    pub(in crate::forge) by: String,
}

/// Who wrote a commit: its author or its committer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::forge) enum Writer {
    /// Somebody with an account: by the name or key that their reviews have.
    Account(String),
    /// Somebody of whom the forge knows this e-mail address only.
    Address(String),
}

impl Writer {
    /// By the account if there is one.
    pub(in crate::forge) fn of(account: Option<String>, address: String) -> Self {
        account.filter(|name| !name.is_empty()).map_or(Self::Address(address), Self::Account)
    }
}

/// A commit in GitHub's JSON, and in that of others.
#[derive(Debug, Deserialize)]
pub(in crate::forge) struct WireWritten {
    commit: WireText,
    /// Their accounts: `null`, or without a name, if they have none.
    #[serde(default)]
    author: Option<WireAccount>,
    #[serde(default)]
    committer: Option<WireAccount>,
}

#[derive(Debug, Deserialize)]
struct WireText {
    #[serde(default)]
    message: String,
    #[serde(default)]
    author: Option<WireAddress>,
    #[serde(default)]
    committer: Option<WireAddress>,
}

#[derive(Debug, Deserialize)]
struct WireAddress {
    #[serde(default)]
    email: String,
}

#[derive(Debug, Deserialize)]
struct WireAccount {
    #[serde(default)]
    login: Option<String>,
}

impl WireWritten {
    pub(in crate::forge) fn message(self) -> String {
        self.commit.message
    }

    /// Its author and its committer.
    pub(in crate::forge) fn writers(self) -> [Writer; 2] {
        let Self { commit, author, committer } = self;
        let who = |account: Option<WireAccount>, address: Option<WireAddress>| {
            Writer::of(account.and_then(|it| it.login), address.map(|it| it.email).unwrap_or_default())
        };
        [who(author, commit.author), who(committer, commit.committer)]
    }
}

/// Nobody can approve what they pushed themselves. Where nothing says who pushed what was approved, nobody can approve
/// what they may have written: `writers` are those of all commits, and `own` are the addresses that the bot writes by.
pub(super) fn discount(reviews: &mut Reviews, pushes: &[PushedTip], writers: &[Writer], own: &[impl AsRef<str>]) {
    let is_own = |address: &str| own.iter().any(|own| own.as_ref().eq_ignore_ascii_case(address));
    for (key, review) in reviews.by_key_mut().filter(|(_, review)| counts(review)) {
        let Some(commit) = &review.commit else { continue };
        let mut pushed = pushes.iter().filter(|push| push.tip == commit.as_str()).peekable();
        let is_theirs = |name: &str| name == key || name.to_lowercase() == key;
        let reason = if pushed.peek().is_some() {
            pushed.any(|push| is_theirs(&push.by)).then_some("they pushed this commit themselves")
        } else if writers.iter().any(|writer| matches!(writer, Writer::Account(name) if is_theirs(name))) {
            Some("they wrote a commit of it, and the forge does not say who pushed it")
        } else {
            let is_unknown = |writer: &Writer| matches!(writer, Writer::Address(address) if !is_own(address));
            let unknown = writers.is_empty() || writers.iter().any(is_unknown);
            unknown.then_some("the forge says neither who pushed this commit nor whose it is")
        };
        if let Some(reason) = reason {
            review.weight = Weight::DoesNotCount(reason.to_owned());
        }
    }
}

/// Whether it is known who pushed each commit whose approval counts so far.
pub(in crate::forge) fn are_known(reviews: &Reviews, pushes: &[PushedTip]) -> bool {
    let mut approved = reviews.standing().filter(|review| counts(review)).filter_map(|review| review.commit.as_ref());
    approved.all(|commit| pushes.iter().any(|push| push.tip == commit.as_str()))
}

/// `None` for what is not there, or not to be seen.
pub(in crate::forge) fn may_be_unknown<T>(asked: Result<T, ForgeError>) -> Result<Option<T>, ForgeError> {
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.problem, Problem::NotFound { .. } | Problem::Forbidden { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CommitId;

    const OWN: [&str; 2] = ["landfall@example.com", "deploys@example.com"];

    fn approved(pushes: &[(&str, &str)], writers: &[Writer]) -> (usize, String) {
        let commit = CommitId::parse(&"a".repeat(40)).unwrap();
        let review = |by: &str| Review {
            by: by.to_owned(),
            state: ReviewState::Approved,
            commit: Some(commit.clone()),
            weight: Weight::Counts,
        };
        let mut reviews = Reviews::of([review("Ann")]);
        let pushes: Vec<PushedTip> =
            pushes.iter().map(|(tip, by)| PushedTip { tip: tip.repeat(40), by: (*by).to_owned() }).collect();
        discount(&mut reviews, &pushes, writers, &OWN);
        let of = [commit];
        (reviews.approvals(&of).len(), reviews.void(&of).join(""))
    }

    #[test]
    fn who_pushed_or_may_have_pushed_a_commit_cannot_approve_it() {
        let account = |name: &str| Writer::Account(name.to_owned());
        let address = |text: &str| Writer::Address(text.to_owned());
        for (what, pushes, writers, counted) in [
            ("another pushed it", &[("a", "ben")][..], vec![account("ann")], 1),
            ("they pushed it", &[("a", "ben"), ("a", "ann")], vec![account("bot")], 0),
            (
                "unknown, and the bot wrote it",
                &[("b", "ben")],
                vec![account("bot"), address("Landfall@example.com")],
                1,
            ),
            (
                "unknown, and the bot's committer is another",
                &[],
                vec![address("landfall@example.com"), address("deploys@example.com")],
                1,
            ),
            ("unknown, and nobody's address", &[], vec![address("")], 0),
            ("unknown, and they wrote it", &[], vec![account("bot"), account("ANN")], 0),
            ("unknown, and written by who knows whom", &[], vec![account("bot"), address("x@example.com")], 0),
            ("unknown, and nothing is known of its commits", &[], vec![], 0),
        ] {
            let (count, void) = approved(pushes, &writers);
            assert_eq!((count, void.is_empty()), (counted, counted == 1), "{what}: {void}");
        }
    }

    #[test]
    fn a_commit_names_accounts_or_else_addresses() {
        let written: WireWritten = serde_json::from_value(serde_json::json!({
            "author": {}, "committer": { "login": "web-flow" },
            "commit": { "message": "x", "author": { "email": "a@x" }, "committer": { "email": "c@x" } },
        }))
        .unwrap();
        assert_eq!(written.writers(), [Writer::Address("a@x".to_owned()), Writer::Account("web-flow".to_owned())]);
    }
}
