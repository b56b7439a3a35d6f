//! All tags of a repository, page by page. A listing that fails halfway fails as a whole.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use http::header::{DATE, ETAG, LAST_MODIFIED, LINK};
use http::{HeaderMap, StatusCode};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use url::Url;

use super::error::Cause;
use super::exchange::{Ask, RegistryResponse, Session, said};
use super::host::Failure;
use super::settings::TagsAnswer;
use super::{link, retry};
use crate::model::{Pushed, TagListBuilder, TagRef, Validators};

/// The requested page size: the maximum that common registries grant; some refuse more, many grant less.
const PAGE: usize = 1000;
/// How many consecutive pages may contain nothing new. A registry whose tags are being deleted may send one; one that
/// invents a new cursor each time would never end.
const BARREN_PAGES: usize = 3;
/// Larger answers are parsed off the async threads.
const LARGE_BODY: usize = 1024 * 1024;
/// The minimum age of a `Last-Modified` date that is sent, so that it cannot hide a second change within the same
/// second (RFC 9110, section 8.8.2.2).
const SETTLED_SECONDS: i64 = 60;

/// Lists all tags.
pub(super) async fn tags(session: &Session<'_>, previous: Option<&Validators>) -> Result<TagsAnswer, Failure> {
    let previous = previous.filter(|known| known.etag.is_some() || known.last_modified.is_some());
    let first = session.url(&format!("tags/list?n={PAGE}"))?;
    let mut answer = page(session, &first, previous).await?;
    if answer.status == StatusCode::NOT_MODIFIED {
        return match previous {
            Some(_) => Ok(TagsAnswer::NotModified),
            None => Err(Failure::protocol("it says \"not modified\", but was not asked")),
        };
    }
    let mut asked = Some(PAGE);
    if matches!(answer.status, StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED) {
        // Some registries refuse page sizes beyond their own limit.
        asked = None;
        answer = page(session, &session.url("tags/list")?, None).await?;
    }
    let validators = validators(&answer.headers);
    // URLs are stored as hashes: they come from outside, and there may be many.
    let hasher = RandomState::new();
    let mut seen = HashSet::from([hasher.hash_one(&first)]);
    let mut found = Found::new(session.limits.max_tags);
    let mut barren = 0;
    for number in 1..=session.limits.max_pages {
        let (url, headers) = (answer.url.clone(), answer.headers.clone());
        // If only a later page is missing, the repository is not absent.
        if answer.status == StatusCode::NOT_FOUND && number == 1 {
            return Err(Cause::Absent(format!("{}: no such repository", said(&answer))).into());
        }
        let got = read(&mut found, answer).await?;
        let linked = next_link(&headers, &url)?;
        barren = if got.new == 0 { barren + 1 } else { 0 };
        let by_link = linked.is_some();
        let next = match linked {
            Some(next) if barren >= BARREN_PAGES => return Err(looping(&next)),
            Some(next) => Some(next),
            // No Link header, but exactly as many tags as requested: there may be more. A registry that ignores `n` and
            // `last` sends the same page again, which contains nothing new.
            None if asked == Some(got.names) && got.new > 0 => Some(after(session, &got)?),
            None => None,
        };
        let Some(next) = next else {
            let validators = validators.filter(|_| number == 1);
            return Ok(TagsAnswer::Fresh { tags: found.tags.finish(), dropped: found.dropped, validators });
        };
        if !seen.insert(hasher.hash_one(&next)) {
            if by_link {
                return Err(looping(&next));
            }
            return Err(Failure::protocol("its pages without a Link header do not advance"));
        }
        answer = page(session, &next, None).await.map_err(|failure| failure.at(&format!("page {}", number + 1)))?;
    }
    Err(Failure::protocol(format!("the listing has more than {} pages, the limit", session.limits.max_pages)))
}

async fn page(session: &Session<'_>, url: &Url, validators: Option<&Validators>) -> Result<RegistryResponse, Failure> {
    let ask = Ask::get(url.clone(), "application/json", session.limits.max_body);
    session.send(&Ask { validators, ..ask }).await
}

/// Adds a page's tags to the result.
async fn read(found: &mut Found, answer: RegistryResponse) -> Result<Page, Failure> {
    if answer.status != StatusCode::OK {
        return Err(Failure::protocol(format!("it answered {}", said(&answer))));
    }
    if answer.body.len() <= LARGE_BODY {
        return parse(found, &answer.body);
    }
    let mut moved = std::mem::replace(found, Found::new(0));
    let parsed = tokio::task::spawn_blocking(move || {
        let page = parse(&mut moved, &answer.body);
        (moved, page)
    });
    let (moved, page) = parsed.await.map_err(|_| Failure::protocol("its listing could not be read"))?;
    *found = moved;
    page
}

fn next_link(headers: &HeaderMap, page: &Url) -> Result<Option<Url>, Failure> {
    for header in headers.get_all(LINK) {
        let text = header.to_str().map_err(|_| Failure::protocol("the Link header cannot be read"))?;
        if let Some(target) = link::next(text).map_err(Failure::protocol)? {
            return link::resolve(page, target).map(Some).map_err(Failure::protocol);
        }
    }
    Ok(None)
}

fn after(session: &Session<'_>, page: &Page) -> Result<Url, Failure> {
    let mut url = session.url("tags/list")?;
    url.query_pairs_mut().append_pair("n", &PAGE.to_string()).append_pair("last", &page.last);
    Ok(url)
}

fn looping(next: &Url) -> Failure {
    Failure::protocol(format!("the Link header of {} leads back to an earlier page", crate::http::origin(next)))
}

pub(super) fn validators(headers: &HeaderMap) -> Option<Validators> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| text.len() <= 1024);
    let etag = text(ETAG).map(str::to_owned);
    let settled = |modified: &&str| {
        let dates = retry::date(modified).zip(text(DATE).and_then(retry::date));
        dates.is_some_and(|(modified, now)| now.as_second() - modified.as_second() >= SETTLED_SECONDS)
    };
    let last_modified = text(LAST_MODIFIED).filter(settled).map(str::to_owned);
    (etag.is_some() || last_modified.is_some()).then_some(Validators { etag, last_modified })
}

/// The result so far.
struct Found {
    tags: TagListBuilder,
    dropped: usize,
    names: usize,
    max: usize,
}

impl Found {
    fn new(max: usize) -> Self {
        Self { tags: TagListBuilder::default(), dropped: 0, names: 0, max }
    }
}

/// The result of one page.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    /// The number of names on it, valid or not.
    names: usize,
    /// Tags that were not on an earlier page, and names that are not tags.
    new: usize,
    /// The last name.
    last: String,
}

/// Parses the JSON straight into the list, so that a page of a million tags is stored only once.
fn parse(found: &mut Found, body: &[u8]) -> Result<Page, Failure> {
    let before = (found.names, found.tags.len() + found.dropped);
    let mut last = String::new();
    found.tags.reserve(body.len().saturating_sub(3 * body.iter().filter(|byte| **byte == b',').count()));
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Object { found, last: &mut last }.deserialize(&mut json).and_then(|()| json.end());
    if found.names > found.max {
        let text = format!("the repository has more than {} tags, the limit", found.max);
        return Err(Failure::protocol(text));
    }
    // The parser's error message may quote the answer, which comes from outside; line and column do not.
    read.map_err(|error| {
        let at = format!("line {} column {}", error.line(), error.column());
        Failure::protocol(format!("its answer is not the JSON of a tag listing ({at})"))
    })?;
    Ok(Page { names: found.names - before.0, new: found.tags.len() + found.dropped - before.1, last })
}

struct Object<'a> {
    found: &'a mut Found,
    last: &'a mut String,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if key == "tags" {
                map.next_value_seed(Names { found: &mut *self.found, last: &mut *self.last })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Names<'a> {
    found: &'a mut Found,
    last: &'a mut String,
}

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Names<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names, or null")
    }
    /// Some registries write `null` for an empty list.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<(), A::Error> {
        while names.next_element_seed(Name { found: &mut *self.found, last: &mut *self.last })?.is_some() {}
        Ok(())
    }
}

struct Name<'a> {
    found: &'a mut Found,
    last: &'a mut String,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        self.found.names += 1;
        if self.found.names > self.found.max {
            return Err(E::custom("too many tags"));
        }
        // No registry has a tag with a `+`.
        match TagRef::parse(name).ok().filter(|tag| !tag.has_metadata()).map(|tag| self.found.tags.push(tag)) {
            Some(Pushed::New | Pushed::Known) => {}
            Some(Pushed::Full) => return Err(E::custom("too many tags")),
            None => self.found.dropped += 1,
        }
        self.last.clear();
        self.last.push_str(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
