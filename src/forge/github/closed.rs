//! Pull requests that were closed without a merge: people's decisions, which must survive renames.
//!
//! Promise: the latest changes are read first, every time; older ones are read once. GitHub can only list all closed
//! pull requests, including everybody's merged ones, so the first read goes back a limited way, within its own time
//! limit: if it fails or runs out of time, nothing is known, and the next read of this process continues from there.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::client::Ask;
use super::wire::{WirePull, WirePullCommit};
use super::{GitHub, query};
use crate::forge::error::{ForgeError, Problem};
use crate::model::{CommitId, PullRequest, PullState};

/// How many pages are read back; a decision beyond these 3,000 pull requests is known by its branch only.
const PAGES: u32 = 30;

/// How far back they are read; the same limit applies to a decision on a pull request that has not changed for so long.
const AGE: SignedDuration = SignedDuration::from_hours(180 * 24);

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct ClosedPulls {
    found: BTreeMap<u64, PullRequest>,
    /// The time of the latest change seen, once a read from the newest on has reached the previous one.
    newest: Option<Timestamp>,
    /// The next page of the first read; `None` once it is complete.
    next: Option<u32>,
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
    fn progress(&self, within: Duration) -> String {
        let read = match (self.newest, self.next) {
            (None, _) => 0,
            (Some(_), Some(next)) => next - 1,
            (Some(_), None) => {
                return format!("the changes since the last reading did not arrive within {} s", within.as_secs());
            }
        };
        format!(
            "{read} of at most {PAGES} pages arrived within {} s; `landfall run` continues from there, other commands start over",
            within.as_secs()
        )
    }
}

impl GitHub {
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
        match tokio::time::timeout(within, self.read_closed(&mut closed, head_prefix, now)).await {
            Ok(read) => read?,
            Err(_) => {
                return Err(self.api.error("list closed pull requests", Problem::Network(closed.progress(within))));
            }
        }
        let mut all: Vec<PullRequest> = closed.found.values().cloned().collect();
        all.sort_by_key(|pull| std::cmp::Reverse((pull.closed_at, pull.number)));
        Ok(all)
    }

    /// Reads what changed since the last read, and what the first one has left.
    async fn read_closed(&self, closed: &mut ClosedPulls, head_prefix: &str, now: Timestamp) -> Result<(), ForgeError> {
        let bound = now.checked_sub(AGE).unwrap_or(Timestamp::MIN);
        let further = |page: u32, read: &ClosedPage| {
            (page < PAGES && read.more && read.oldest.is_none_or(|oldest| oldest >= bound)).then_some(page + 1)
        };
        let known = closed.newest;
        let mut newest = known;
        // A pull request that is closed or changes while pages are read moves to the front, so reading back misses
        // nothing.
        for page in 1..=PAGES {
            let read = self.closed_page(page, head_prefix, &mut closed.found).await?;
            newest = newest.max(read.newest);
            if known.is_none() {
                closed.next = further(page, &read);
                break;
            }
            if !read.more || known > read.oldest {
                break;
            }
        }
        closed.newest = newest;
        while let Some(page) = closed.next {
            let read = self.closed_page(page, head_prefix, &mut closed.found).await?;
            closed.next = further(page, &read);
        }
        Ok(())
    }

    /// The messages of the commits of a pull request.
    ///
    /// # Errors
    /// If they are not known.
    pub async fn messages(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        self.in_time("read a pull request's commits", async {
            let commits = self.api.list::<WirePullCommit>(format!("pulls/{number}/commits?per_page=100")).await?;
            Ok(commits.into_iter().map(|commit| commit.commit.message).collect())
        })
        .await
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
        let pull = self.in_time("read a pull request", self.api.ask::<WirePull>(Ask::get(format!("pulls/{number}"))));
        match pull.await {
            Ok(pull)
                if pull.is_own()
                    && pull.head.name.starts_with(head_prefix)
                    && pull.merge_commit_sha.as_deref() == Some(commit.as_str()) =>
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
        head_prefix: &str,
        found: &mut BTreeMap<u64, PullRequest>,
    ) -> Result<ClosedPage, ForgeError> {
        let page = page.to_string();
        let path = query(&[("state", "closed"), ("sort", "updated"), ("direction", "desc"), ("page", &page)]);
        let (pulls, more) = self.api.page::<WirePull>(path).await?;
        let mut read = ClosedPage { newest: None, oldest: None, more };
        for pull in pulls {
            let updated = pull.updated_at();
            read.newest = read.newest.max(updated);
            // One without a time may be of any age: then the next page is read as well.
            read.oldest = updated.or(Some(Timestamp::MAX));
            if !(pull.is_own() && pull.head.name.starts_with(head_prefix)) {
                continue;
            }
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
