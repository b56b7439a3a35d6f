//! Pull requests that were closed without a merge: people's decisions, which outlive whatever is renamed.
//!
//! Promise: what changed last is read first and each time; what is older is read once. GitHub can only list all that are
//! closed, merged ones of everybody included, so a long list is read over several calls: where one breaks off or its time is
//! over, the next goes on.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::wire::{WirePull, WirePullCommit};
use super::{GitHub, query};
use crate::forge::error::ForgeError;
use crate::model::{PullRequest, PullState};

/// Pages that are read back in time; a decision beyond these 10,000 pull requests is known by its branch only.
const PAGES: u32 = 100;

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

impl GitHub {
    /// The pull requests of this repository that were closed without a merge, from branches whose names begin with
    /// `head_prefix`, the last that changed first.
    ///
    /// # Errors
    /// When they are not all known.
    pub async fn closed_pulls(&self, head_prefix: &str) -> Result<Vec<PullRequest>, ForgeError> {
        let mut closed = self.closed.lock().await;
        self.in_time("list closed pull requests", async {
            let known = closed.newest;
            let mut newest = known;
            // What is closed, or changes, while pages are read moves to the front: so nothing is passed over on the way back.
            for page in 1..=PAGES {
                let read = self.closed_page(page, head_prefix, &mut closed.found).await?;
                newest = newest.max(read.newest);
                if known.is_none() {
                    closed.next = read.more.then_some(page + 1);
                    break;
                }
                if !read.more || known > read.oldest {
                    break;
                }
            }
            closed.newest = newest;
            while let Some(page) = closed.next.filter(|page| *page <= PAGES) {
                let read = self.closed_page(page, head_prefix, &mut closed.found).await?;
                closed.next = read.more.then_some(page + 1);
            }
            closed.next = None;
            let mut all: Vec<PullRequest> = closed.found.values().cloned().collect();
            all.sort_by_key(|pull| std::cmp::Reverse((pull.closed_at, pull.number)));
            Ok(all)
        })
        .await
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
