//! Pull requests that were closed without a merge: people's decisions, which must survive renames.
//!
//! Promise: the latest changes are read first, every time; older ones are read once. Forges can only list all closed
//! pull requests, including everybody's merged ones, so the first read goes back a limited way, within its own time
//! limit: if it fails or runs out of time, nothing is known, and the next read of this process continues from there.
//! Where a forge cannot list the pull requests of one branch, they are found here, too.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Hosted;
use super::api::{Api, ForgePull};
use crate::forge::error::{ForgeError, Problem};
use crate::model::{BranchName, CommitId, PullRequest, PullState};

/// How many pull requests are read back; a decision beyond these is known by its branch only.
const LOOK_BACK: u32 = 3_000;

/// How far back they are read; the same limit applies to a decision on a pull request that has not changed for so long.
const AGE: SignedDuration = SignedDuration::from_hours(180 * 24);

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct ClosedPulls {
    /// What the branches' names begin with.
    prefix: String,
    found: BTreeMap<u64, PullRequest>,
    /// The time of the latest change seen, once a read from the newest on has reached the previous one.
    newest: Option<Timestamp>,
    /// What the first read has left; `None` once it is complete.
    rest: Option<Rest>,
}

/// Where a read goes on: pages are those of what ended `since` then.
#[derive(Debug, Clone, Copy)]
struct Rest {
    page: u32,
    since: Option<Timestamp>,
}

/// The content of one page.
struct ClosedPage {
    newest: Option<Timestamp>,
    oldest: Option<Timestamp>,
    /// Whether another page follows.
    more: bool,
}

impl ClosedPulls {
    /// How far the first read got in its time.
    fn progress(&self, pages: u32, within: Duration) -> String {
        let read = match (self.newest, self.rest) {
            (None, _) => 0,
            (Some(_), Some(rest)) => rest.page - 1,
            (Some(_), None) => {
                return format!("the changes since the last reading did not arrive within {} s", within.as_secs());
            }
        };
        format!(
            "{read} of at most {pages} pages arrived within {} s; `landfall run` continues from there, other commands start over",
            within.as_secs()
        )
    }
}

impl<A: Api> Hosted<A> {
    /// Forgets that these ended: they are open again.
    pub(super) async fn reopened(&self, open: impl Iterator<Item = u64>) {
        let mut closed = self.closed.lock().await;
        open.for_each(|number| drop(closed.found.remove(&number)));
    }

    /// How many pages are read back.
    const PAGES: u32 = LOOK_BACK / A::PAGE;

    /// The pull requests of this repository that were closed or merged, from branches whose names begin with
    /// `head_prefix`, the latest to end first: those among the last 3,000 of anybody's that changed in the last 180
    /// days.
    ///
    /// # Errors
    /// If not all of them are known `within` this time.
    pub async fn closed_pulls(
        &self,
        head_prefix: &str,
        now: Timestamp,
        within: Duration,
    ) -> Result<Vec<PullRequest>, ForgeError> {
        let mut closed = self.closed.lock().await;
        match tokio::time::timeout(within, self.read_closed(&mut closed, head_prefix, Some(now))).await {
            Ok(read) => read?,
            Err(_) => {
                let problem = Problem::NotYet(closed.progress(Self::PAGES, within));
                return Err(self.api.client().error("list closed pull requests", problem));
            }
        }
        let mut all: Vec<PullRequest> = closed.found.values().cloned().collect();
        all.sort_by_key(|pull| std::cmp::Reverse((pull.closed_at, pull.number)));
        Ok(all)
    }

    /// The pull requests from `head` into `base` that are no longer open, as far as they are read back.
    pub(super) async fn ended_of(&self, head: &BranchName, base: &BranchName) -> Result<Vec<PullRequest>, ForgeError> {
        let word = head.as_str().find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(head.as_str().len());
        let mut closed = self.closed.lock().await;
        self.read_closed(&mut closed, &head.as_str()[..word], None).await?;
        let of = closed.found.values().filter(|pull| pull.head == *head && pull.base == *base);
        Ok(of.cloned().collect())
    }

    /// Reads what changed since the last read, and what the first one has left.
    async fn read_closed(
        &self,
        closed: &mut ClosedPulls,
        head_prefix: &str,
        now: Option<Timestamp>,
    ) -> Result<(), ForgeError> {
        if closed.prefix != head_prefix {
            *closed = ClosedPulls { prefix: head_prefix.to_owned(), ..ClosedPulls::default() };
        }
        // By the forge's clock, if there is no other.
        let bound = |newest: Option<Timestamp>| {
            now.or(newest).and_then(|now| now.checked_sub(AGE).ok()).unwrap_or(Timestamp::MIN)
        };
        let further = |Rest { page, since }: Rest, newest: Option<Timestamp>, read: &ClosedPage| {
            let young = read.oldest.is_none_or(|oldest| oldest >= bound(newest));
            (page < Self::PAGES && read.more && young).then_some(Rest { page: page + 1, since })
        };
        let known = closed.newest;
        // What ended in the last minute may have come after what was seen.
        let since = match known {
            Some(known) => known.checked_sub(SignedDuration::from_mins(1)).ok(),
            None => now.and_then(|now| now.checked_sub(AGE).ok()),
        };
        let mut newest = known;
        // A pull request that is closed or changes while pages are read moves to the front, so reading back misses
        // nothing.
        for page in 1..=Self::PAGES {
            let read = self.closed_page(page, since, head_prefix, &mut closed.found).await?;
            newest = newest.max(read.newest);
            if known.is_none() {
                closed.rest = further(Rest { page, since }, newest, &read);
                break;
            }
            if !read.more || (A::CLOSED_IN_ORDER && known > read.oldest) {
                break;
            }
        }
        closed.newest = newest;
        while let Some(rest) = closed.rest {
            let read = self.closed_page(rest.page, rest.since, head_prefix, &mut closed.found).await?;
            closed.rest = further(rest, newest, &read);
        }
        Ok(())
    }

    /// The messages of the commits of a pull request.
    ///
    /// # Errors
    /// If they are not known.
    pub async fn messages(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        self.in_time("read a pull request's commits", self.api.messages(number)).await
    }

    /// The messages of a pull request's commits, if it was merged as this commit and its branch begins with
    /// `head_prefix`; otherwise none.
    ///
    /// # Errors
    /// If they are not known.
    pub async fn merged_messages(
        &self,
        number: u64,
        commit: &CommitId,
        head_prefix: &str,
    ) -> Result<Vec<String>, ForgeError> {
        match self.in_time("read a pull request", self.api.one(number)).await {
            Ok(pull)
                if pull.is_own()
                    && pull.head().starts_with(head_prefix)
                    && pull.merge_commits().any(|merged| merged == commit.as_str()) =>
            {
                self.messages(number).await
            }
            Ok(_) => Ok(Vec::new()),
            Err(error) if matches!(error.problem, Problem::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Reads one page, most recently changed first.
    async fn closed_page(
        &self,
        page: u32,
        since: Option<Timestamp>,
        head_prefix: &str,
        found: &mut BTreeMap<u64, PullRequest>,
    ) -> Result<ClosedPage, ForgeError> {
        let (pulls, more) = self.api.client().page::<A::Pull>(self.api.closed_path(page, since)).await?;
        let mut read = ClosedPage { newest: None, oldest: None, more };
        let mut ours = Vec::new();
        for pull in pulls {
            let updated = pull.updated_at();
            read.newest = read.newest.max(updated);
            // One without a time may be of any age: then the next page is read as well.
            read.oldest = updated.filter(|_| A::CLOSED_IN_ORDER).or(Some(Timestamp::MAX));
            if pull.is_own() && pull.head().starts_with(head_prefix) {
                ours.push(pull);
            }
        }
        for pull in self.api.completed(ours).await? {
            let pull = self.model(pull)?;
            match pull.state {
                PullState::Closed | PullState::Merged => drop(found.insert(pull.number, pull)),
                // Reopened.
                PullState::Open => drop(found.remove(&pull.number)),
            }
        }
        Ok(read)
    }
}
