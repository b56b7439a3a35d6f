//! Assessments of a change by people and machines: the reviews of a pull request, the checks of a commit.

use std::collections::BTreeMap;

use super::CommitId;

/// The result of a review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReviewState {
    /// Yes.
    Approved,
    /// No, not like this.
    ChangesRequested,
    /// Withdrawn by somebody who may do so.
    Dismissed,
    /// Neither yes nor no, or not submitted yet.
    Comment,
    /// An unknown word: never an approval.
    Unknown(String),
}

impl ReviewState {
    /// Parses a forge's word, in any case.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word.to_ascii_lowercase().replace('_', "-").as_str() {
            "approved" => Self::Approved,
            "changes-requested" => Self::ChangesRequested,
            "dismissed" => Self::Dismissed,
            "commented" | "pending" => Self::Comment,
            _ => Self::Unknown(super::one_line(word, 40)),
        }
    }
}

/// Whether an approval counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weight {
    /// The reviewer may write to the repository.
    Counts,
    /// The reviewer may not, or this is unknown: the reason, for people.
    DoesNotCount(String),
}

/// One review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Who wrote it.
    pub by: String,
    /// What it says.
    pub state: ReviewState,
    /// The reviewed commit.
    pub commit: Option<CommitId>,
    /// Whether it counts.
    pub weight: Weight,
}

/// The reviews of one pull request: the latest of each person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reviews {
    standing: BTreeMap<String, Review>,
}

impl Reviews {
    /// Keeps each person's latest review; `reviews` are in chronological order. A comment does not withdraw anything.
    #[must_use]
    pub fn of(reviews: impl IntoIterator<Item = Review>) -> Self {
        let mut standing = BTreeMap::new();
        for review in reviews.into_iter().filter(|review| review.state != ReviewState::Comment) {
            drop(standing.insert(review.by.to_lowercase(), review));
        }
        Self { standing }
    }

    /// The same where names are for showing only, as several people may have one: each review with the key of its person.
    #[must_use]
    pub fn by_key(reviews: impl IntoIterator<Item = (String, Review)>) -> Self {
        let reviews = reviews.into_iter().filter(|(_, review)| review.state != ReviewState::Comment);
        Self { standing: reviews.collect() }
    }

    /// Each person's latest review, ordered by name.
    pub fn standing(&self) -> impl Iterator<Item = &Review> {
        self.standing.values()
    }

    /// The same, for setting their weight.
    pub fn standing_mut(&mut self) -> impl Iterator<Item = &mut Review> {
        self.standing.values_mut()
    }

    /// The same, with whose each is: by name in lower case, or by key ([`Self::by_key`]).
    pub fn by_key_mut(&mut self) -> impl Iterator<Item = (&str, &mut Review)> {
        self.standing.iter_mut().map(|(key, review)| (key.as_str(), review))
    }

    /// Who approved one of these commits, which contain the same change; nobody has seen anything pushed afterwards.
    #[must_use]
    pub fn approvals(&self, of: &[CommitId]) -> Vec<&str> {
        let approves = |review: &&Review| {
            review.state == ReviewState::Approved
                && review.commit.as_ref().is_some_and(|commit| of.contains(commit))
                && review.weight == Weight::Counts
        };
        self.standing().filter(approves).map(|review| review.by.as_str()).collect()
    }

    /// Who requests changes, whatever was pushed since.
    #[must_use]
    pub fn objections(&self) -> Vec<&str> {
        let objects = |review: &&Review| review.state == ReviewState::ChangesRequested;
        self.standing().filter(objects).map(|review| review.by.as_str()).collect()
    }

    /// Whose review has an unknown result, and which.
    #[must_use]
    pub fn unknown<'a>(&'a self) -> Vec<(&'a str, &'a str)> {
        let unknown = |review: &'a Review| match &review.state {
            ReviewState::Unknown(word) => Some((review.by.as_str(), word.as_str())),
            _ => None,
        };
        self.standing().filter_map(unknown).collect()
    }

    /// Approvals that do not count, each with its reason: given for an earlier commit, or by somebody without
    /// permission.
    #[must_use]
    pub fn void(&self, of: &[CommitId]) -> Vec<String> {
        let approved = self.standing().filter(|review| review.state == ReviewState::Approved);
        let reason = |review: &Review| match &review.weight {
            Weight::DoesNotCount(reason) => Some(format!("the approval of {} does not count: {reason}", review.by)),
            Weight::Counts if !review.commit.as_ref().is_some_and(|commit| of.contains(commit)) => {
                Some(format!("{} approved an earlier commit", review.by))
            }
            Weight::Counts => None,
        };
        approved.filter_map(reason).collect()
    }
}

/// The state of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckState {
    /// It passed, was skipped, or has no objection.
    Passed,
    /// It has not finished.
    Pending,
    /// It did not pass.
    Failed,
    /// An unknown word: never a pass.
    Unknown(String),
}

impl CheckState {
    /// From best to worst.
    fn rank(&self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Pending => 1,
            Self::Unknown(_) => 2,
            Self::Failed => 3,
        }
    }
}

/// The checks of one commit by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    by_name: BTreeMap<String, CheckState>,
}

impl Checks {
    /// Adds a check; if two have the same name, the worse one counts.
    pub fn add(&mut self, name: &str, state: CheckState) {
        match self.by_name.get_mut(name) {
            Some(there) if there.rank() >= state.rank() => {}
            Some(there) => *there = state,
            None => drop(self.by_name.insert(name.to_owned(), state)),
        }
    }

    /// The state of a check; `None` if there is none with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&CheckState> {
        self.by_name.get(name)
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &CheckState)> {
        self.by_name.iter().map(|(name, state)| (name.as_str(), state))
    }

    /// Whether the forge reports no checks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(digit: char) -> CommitId {
        CommitId::parse(&digit.to_string().repeat(40)).unwrap()
    }

    fn review(by: &str, word: &str, at: char) -> Review {
        let state = ReviewState::parse(word);
        Review { by: by.to_owned(), state, commit: Some(commit(at)), weight: Weight::Counts }
    }

    #[test]
    fn the_last_word_of_each_person_stands() {
        for (what, given, approvals, objections) in [
            ("one", vec![review("ann", "APPROVED", 'a')], vec!["ann"], vec![]),
            (
                "a comment takes nothing back",
                vec![review("ann", "APPROVED", 'a'), review("ann", "COMMENTED", 'a')],
                vec!["ann"],
                vec![],
            ),
            (
                "nor does a draft",
                vec![review("ann", "APPROVED", 'a'), review("ann", "PENDING", 'a')],
                vec!["ann"],
                vec![],
            ),
            (
                "a change of mind",
                vec![review("ann", "APPROVED", 'a'), review("Ann", "CHANGES_REQUESTED", 'a')],
                vec![],
                vec!["Ann"],
            ),
            (
                "and back",
                vec![review("ann", "CHANGES_REQUESTED", 'b'), review("ann", "APPROVED", 'a')],
                vec!["ann"],
                vec![],
            ),
            ("dismissed", vec![review("ann", "APPROVED", 'a'), review("ann", "DISMISSED", 'a')], vec![], vec![]),
            ("of an earlier commit", vec![review("ann", "APPROVED", 'b')], vec![], vec![]),
            ("an objection outlives a push", vec![review("ann", "CHANGES_REQUESTED", 'b')], vec![], vec!["ann"]),
            (
                "two people",
                vec![review("ann", "approved", 'a'), review("ben", "changes-requested", 'a')],
                vec!["ann"],
                vec!["ben"],
            ),
            (
                "an unknown word",
                vec![review("ann", "APPROVED", 'a'), review("ann", "APPROVED_BY_MAGIC", 'a')],
                vec![],
                vec![],
            ),
        ] {
            let reviews = Reviews::of(given);
            assert_eq!((reviews.approvals(&[commit('a')]), reviews.objections()), (approvals, objections), "{what}");
        }
        let odd = Reviews::of([review("ann", "blessed\u{1b}", 'a')]);
        assert_eq!(odd.unknown().len(), 1);
        assert!(!odd.unknown()[0].1.contains('\u{1b}'));
    }

    #[test]
    fn an_approval_that_does_not_count_says_why() {
        let mut reviews = Reviews::of([review("ann", "APPROVED", 'b'), review("mallory", "APPROVED", 'a')]);
        let of = |reviews: &mut Reviews, by: &str, weight: Weight| {
            reviews.standing_mut().filter(|review| review.by == by).for_each(|review| review.weight = weight.clone());
        };
        of(&mut reviews, "mallory", Weight::DoesNotCount("they may only read".to_owned()));
        assert_eq!(reviews.approvals(&[commit('a')]), Vec::<&str>::new());
        assert_eq!(
            reviews.void(&[commit('a')]),
            ["ann approved an earlier commit", "the approval of mallory does not count: they may only read"]
        );
    }

    #[test]
    fn of_two_checks_of_one_name_the_worse_counts() {
        let mut checks = Checks::default();
        for state in [CheckState::Passed, CheckState::Failed, CheckState::Pending] {
            checks.add("build", state);
        }
        assert_eq!(checks.get("build"), Some(&CheckState::Failed));
        assert_eq!(checks.get("lint"), None);
    }
}
