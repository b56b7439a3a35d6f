//! Lists, read to their ends: each kind of forge says in its own way where a list goes on.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded::{self, Serializer};

use super::answer::{Reply, next_link};
use super::ask::Ask;
use super::client::ApiClient;
use crate::forge::error::{ForgeError, Problem};

/// All pages together; 10,000 pull requests with texts of typical length take about half of it.
const LIST_LIMIT: usize = 512 << 20;
/// 10,000 pull requests, a hundred a page.
const PAGE_LIMIT: usize = 100;

/// How a list says where it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::forge) enum Pages {
    /// By the header `Link`; the page itself is the list.
    Link,
    /// By the address in `next`; the list is in `values`.
    Next,
    /// By `nextPageStart`, until `isLastPage`; the list is in `values`.
    Start,
    /// Not at all: a page that is as long as `$top` asks may have another one after it, at `$skip`. The list is in `value`.
    Skip,
}

/// A page that has its list in it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::forge) struct Listed<T> {
    /// Never absent: what has none is no list.
    #[serde(alias = "value")]
    pub(in crate::forge) values: Vec<T>,
    next: Option<String>,
    is_last_page: Option<bool>,
    next_page_start: Option<u64>,
}

impl ApiClient {
    /// Reads all pages of a list, or fails.
    pub(in crate::forge) async fn list<T: DeserializeOwned>(&self, path: String) -> Result<Vec<T>, ForgeError> {
        self.walk(Ask::get(path), |label, reply, route| self.page_of(label, reply, route)).await
    }

    /// The beginning of a list: so many pages at most.
    pub(in crate::forge) async fn some_of<T: DeserializeOwned>(
        &self,
        path: String,
        pages: usize,
    ) -> Result<Vec<T>, ForgeError> {
        let ask = Ask::get(path);
        let (mut reply, mut route) = (self.reply(&ask).await?, self.route(&ask));
        let mut some = Vec::new();
        for read in 1.. {
            let (page, next) = self.page_of(&ask.label(), &reply, &route)?;
            some.extend(page);
            let Some(next) = next.filter(|_| read < pages) else { break };
            reply = self.follow(&ask.label(), reply, &next).await?;
            route = next;
        }
        Ok(some)
    }

    /// The same for a list that is not below the repository.
    pub(in crate::forge) async fn list_of_api<T: DeserializeOwned>(&self, path: String) -> Result<Vec<T>, ForgeError> {
        self.walk(Ask::get(path).of_api(), |label, reply, route| self.page_of(label, reply, route)).await
    }

    /// As [`Self::list`], for pages that are objects with a list in them, and a `Link`.
    pub(in crate::forge) async fn pages<P: DeserializeOwned, T>(
        &self,
        path: String,
        of_page: impl Fn(P) -> Vec<T>,
    ) -> Result<Vec<T>, ForgeError> {
        let read = |label: &str, reply: &Reply, _: &str| {
            Ok((of_page(self.read::<P>(label, reply)?), self.linked(label, reply)?))
        };
        self.walk(Ask::get(path), read).await
    }

    /// Reads one page of a list, and whether another one follows.
    pub(in crate::forge) async fn page<T: DeserializeOwned>(&self, path: String) -> Result<(Vec<T>, bool), ForgeError> {
        let ask = Ask::get(path);
        let reply = self.reply(&ask).await?;
        let (page, next) = self.page_of(&ask.label(), &reply, &self.route(&ask))?;
        Ok((page, next.is_some()))
    }

    /// The entries of all pages, checked against the total that each page announces.
    pub(in crate::forge) fn whole<T>(&self, call: &str, pages: Vec<(usize, Vec<T>)>) -> Result<Vec<T>, ForgeError> {
        let total = pages.iter().map(|(count, _)| *count).max().unwrap_or_default();
        let all: Vec<T> = pages.into_iter().flat_map(|(_, page)| page).collect();
        if all.len() >= total {
            return Ok(all);
        }
        Err(self.nonsense(call, &format!("it announces {total} but lists {}", all.len())))
    }

    /// Follows the pages; `read` gives the entries of one, and the route of the next.
    async fn walk<T>(
        &self,
        first: Ask,
        read: impl Fn(&str, &Reply, &str) -> Result<(Vec<T>, Option<String>), ForgeError>,
    ) -> Result<Vec<T>, ForgeError> {
        let label = first.label();
        let mut reply = self.reply(&first).await?;
        let mut route = self.route(&first);
        let mut all: Vec<T> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut size = 0;
        for _ in 0..PAGE_LIMIT {
            size += reply.body.len();
            if size > LIST_LIMIT {
                return Err(self.error(&label, Problem::Protocol(format!("it is longer than {} MB", LIST_LIMIT >> 20))));
            }
            let (page, next) = read(&label, &reply, &route)?;
            all.extend(page);
            let Some(next) = next else { return Ok(all) };
            if !seen.insert(next.clone()) {
                let text = "its pages link back to an earlier page".to_owned();
                return Err(self.error(&label, Problem::Protocol(text)));
            }
            reply = self.follow(&label, reply, &next).await?;
            route = next;
        }
        Err(self.error(&label, Problem::Protocol(format!("it has more than {PAGE_LIMIT} pages"))))
    }

    /// The next page, in place of one that has been read: a body that waits for room must not be held up by the one before it.
    async fn follow(&self, label: &str, read: Reply, next: &str) -> Result<Reply, ForgeError> {
        drop(read);
        self.persist(&Ask::get(""), next).await.map_err(|problem| self.error(label, problem))
    }

    /// The entries of a page, and the route of the next one.
    fn page_of<T: DeserializeOwned>(
        &self,
        label: &str,
        reply: &Reply,
        route: &str,
    ) -> Result<(Vec<T>, Option<String>), ForgeError> {
        let pages = self.dialect().pages;
        if pages == Pages::Link {
            return Ok((self.read(label, reply)?, self.linked(label, reply)?));
        }
        let page: Listed<T> = self.read(label, reply)?;
        let next = match (pages, page.is_last_page, page.next_page_start) {
            (Pages::Next | Pages::Link, ..) => {
                let next = page.next.map(|next| self.local(&next)).transpose();
                next.map_err(|problem| self.error(label, problem))?
            }
            (Pages::Start, Some(true), _) => None,
            (Pages::Start, Some(false), Some(start)) => Some(with(route, "start", &start.to_string())),
            (Pages::Skip, ..) => {
                let top = number_in(route, "$top");
                let next = number_in(route, "$skip").unwrap_or(0) + page.values.len();
                let full = top.is_some_and(|top| top > 0 && page.values.len() >= top);
                full.then(|| with(route, "$skip", &next.to_string()))
            }
            (Pages::Start, ..) => return Err(self.nonsense(label, "it does not say where it goes on")),
        };
        Ok((page.values, next))
    }

    fn linked(&self, label: &str, reply: &Reply) -> Result<Option<String>, ForgeError> {
        let next = next_link(&reply.headers).and_then(|link| link.map(|link| self.local(&link)).transpose());
        next.map_err(|problem| self.error(label, problem))
    }
}

/// A route whose query has this value, in place of another one.
fn with(route: &str, key: &str, value: &str) -> String {
    let (path, query) = route.split_once('?').unwrap_or((route, ""));
    let others = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != key);
    let query = Serializer::new(String::new()).extend_pairs(others).append_pair(key, value).finish();
    format!("{path}?{query}")
}

/// A number in a route's query.
fn number_in(route: &str, key: &str) -> Option<usize> {
    let (_, query) = route.split_once('?')?;
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == key)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_query_is_set() {
        for (route, expected) in [("/a", "/a?start=25"), ("/a?limit=5&start=0", "/a?limit=5&start=25")] {
            assert_eq!(with(route, "start", "25"), expected);
        }
        assert_eq!(number_in("/a?%24top=100&x=1", "$top"), Some(100));
        assert_eq!(with("/a?at=refs%2Fheads%2Fx", "start", "1"), "/a?at=refs%2Fheads%2Fx&start=1");
    }
}
