//! Pull requests that were closed without a merge: people's decisions, which outlive whatever is renamed.
//!
//! Promise: what changed last is read first and each time; what is older is read once. GitHub can only list all that are
//! closed, merged ones of everybody included, so the first reading goes back a bounded way, within a time of its own: where one
//! breaks off or its time is over, nothing is known, and the next of this process goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::client::Ask;
use super::wire::{WirePull, WirePullCommit};
use super::{GitHub, query};
use crate::forge::error::{ForgeError, Problem};
use crate::model::{CommitId, PullRequest, PullState};

/// Pages that are read back in time; a decision beyond these 3,000 pull requests is known by its branch only.
const PAGES: u32 = 30;

/// How far back in time they are read; so is a decision on a pull request to which nothing has happened for so long.
const AGE: SignedDuration = SignedDuration::from_hours(180 * 24);

/// What was heard so far.
#[derive(Debug, Default)]
pub(super) struct ClosedPulls {
    found: BTreeMap<u64, PullRequest>,
    /// The last change of any that was heard of, once a reading from the newest on has come as far as the one before.
    newest: Option<Timestamp>,
    /// The page of the first reading that comes next; `None` where it is through.
    next: Option<u32>,
}

/// What one page told.
struct ClosedPage {
    newest: Option<Timestamp>,
    oldest: Option<Timestamp>,
    /// Whether another page follows.
    more: bool,
}

impl ClosedPulls {
    /// How far the first reading has come in its time.
    fn progress(&self, within: Duration) -> String {
        let read = match (self.newest, self.next) {
            (None, _) => 0,
            (Some(_), Some(next)) => next - 1,
            (Some(_), None) => {
                return format!("what changed since the last reading did not come within {} s", within.as_secs());
            }
        };
        format!(
            "{read} of at most {PAGES} pages came within {} s; `landfall run` goes on from there, another command begins anew",
            within.as_secs()
        )
    }
}

impl GitHub {
    /// The pull requests of this repository that were closed without a merge, from branches whose names begin with
    /// `head_prefix`, the last that changed first: those among the last 3,000 of anybody that changed in the last 180 days.
    ///
    /// # Errors
    /// When they are not all known `within` this time.
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

    /// Reads what changed since the last reading, and what the first one has left.
    async fn read_closed(&self, closed: &mut ClosedPulls, head_prefix: &str, now: Timestamp) -> Result<(), ForgeError> {
        let bound = now.checked_sub(AGE).unwrap_or(Timestamp::MIN);
        let further = |page: u32, read: &ClosedPage| {
            (page < PAGES && read.more && read.oldest.is_none_or(|oldest| oldest >= bound)).then_some(page + 1)
        };
        let known = closed.newest;
        let mut newest = known;
        // What is closed, or changes, while pages are read moves to the front: so nothing is passed over on the way back.
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
    /// When they are not known.
    pub async fn messages(&self, number: u64) -> Result<Vec<String>, ForgeError> {
        self.in_time("read a pull request's commits", async {
            let commits = self.api.list::<WirePullCommit>(format!("pulls/{number}/commits?per_page=100")).await?;
            Ok(commits.into_iter().map(|commit| commit.commit.message).collect())
        })
        .await
    }

    /// The messages of a pull request's commits, where this commit is what it was merged as and its branch is one of
    /// `head_prefix`; none where it is another one's number.
    ///
    /// # Errors
    /// When they are not known.
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

    /// Reads one page, the last that changed first.
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
            // One without a time may be from any: then the next page is read as well.
            read.oldest = updated.or(Some(Timestamp::MAX));
            if !(pull.is_own() && pull.head.name.starts_with(head_prefix)) {
                continue;
            }
            let pull = self.model(pull)?;
            match pull.state {
                PullState::Closed => drop(found.insert(pull.number, pull)),
                // Opened again and merged since.
                PullState::Merged | PullState::Open => drop(found.remove(&pull.number)),
            }
        }
        Ok(read)
    }
}
