//! Which approvals count, as far as that is the same on every forge.

use crate::forge::error::{ForgeError, Problem};
use crate::model::{CommitId, Review, ReviewState, Reviews, Weight};

/// The maximum number of people whose permissions are looked up; more approvals than this are enough anyway.
const WEIGHED: usize = 20;

/// Whether a review is an approval that counts, as far as is known by now.
pub(in crate::forge) fn counts(review: &Review) -> bool {
    review.state == ReviewState::Approved && review.weight == Weight::Counts
}

/// The approvals whose authors' permissions are to be looked up; those beyond a limit do not count.
pub(in crate::forge) fn to_weigh(reviews: &mut Reviews) -> Vec<&mut Review> {
    let mut approvals: Vec<&mut Review> = reviews.standing_mut().filter(|review| counts(review)).collect();
    for review in approvals.iter_mut().skip(WEIGHED) {
        review.weight = Weight::DoesNotCount("there are more approvals than are checked".to_owned());
    }
    approvals.truncate(WEIGHED);
    approvals
}

/// Nobody can approve what they pushed themselves; `pushes` are new tips and who pushed them.
pub(in crate::forge) fn discount(reviews: &mut Reviews, pushes: &[(String, String)]) {
    for review in reviews.standing_mut().filter(|review| counts(review)) {
        let commit = review.commit.as_ref().map(CommitId::as_str);
        let own = |(tip, by): &(String, String)| commit == Some(tip.as_str()) && by.eq_ignore_ascii_case(&review.by);
        if pushes.iter().any(own) {
            review.weight = Weight::DoesNotCount("they pushed this commit themselves".to_owned());
        }
    }
}

/// Whether it is known who pushed each commit whose approval counts so far.
pub(in crate::forge) fn are_known(reviews: &Reviews, pushes: &[(String, String)]) -> bool {
    let mut approved = reviews.standing().filter(|review| counts(review)).filter_map(|review| review.commit.as_ref());
    approved.all(|commit| pushes.iter().any(|(tip, _)| tip == commit.as_str()))
}

/// `None` for what is not there, or not to be seen.
pub(in crate::forge) fn may_be_unknown<T>(asked: Result<T, ForgeError>) -> Result<Option<T>, ForgeError> {
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.problem, Problem::NotFound { .. } | Problem::Forbidden { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
