//! Charts of classic Helm repositories: what their `index.yaml` says (helm.sh, "The Chart Repository Guide").
//!
//! Promise: however many charts of a repository are asked about at one time, its index is requested once, with the validators of the
//! last answer where the server gave some; it is read as it arrives, and what is kept of all indexes has a bound. An index that
//! breaks off or is none at all is no answer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;
use url::Url;

use super::error::Cause;
use super::exchange::{Ask, BodySink, RegistryResponse, Session, said};
use super::host::Failure;
use super::listing::validators;
use super::settings::TagsAnswer;
use crate::http::Body;
use crate::model::{Manifest, Pushed, Tag, TagListBuilder, TagRef, Validators};
use index::{ChartVersion, HelmIndex, IndexError, Reader};

mod archive;
mod index;
mod whole;

pub(super) use archive::{MAX_ARCHIVE, files};

/// What an index may have; the largest public ones have some 30 MB.
const MAX_INDEX: u64 = 64 << 20;
/// What may be held as a whole, where an index cannot be read as it arrives: what it becomes in memory is several times that.
const MAX_WHOLE: u64 = 4 << 20;
/// What is kept of all indexes together.
const MAX_KEPT: usize = 32 << 20;
/// Questions about a repository's charts come within one cycle; an answer so old answers all of them.
const SAME_CYCLE: Duration = Duration::from_secs(2);
/// What a version is, is asked after its index was read to find it.
const SAME_LIST: Duration = Duration::from_secs(60);
/// How the manifest of a chart in an OCI registry says what it is.
const CHART: &str = "application/vnd.cncf.helm.config.v1+json";

/// The indexes read lately, by the address of their repository.
#[derive(Debug, Default)]
pub(super) struct Indexes(Mutex<HashMap<String, Arc<IndexSlot>>>);

/// The place of one index.
#[derive(Debug, Default)]
struct IndexSlot {
    held: tokio::sync::Mutex<Held>,
    /// What the index in it takes up, also while somebody else has it locked.
    size: AtomicUsize,
}

/// What is known of one index.
#[derive(Debug, Default)]
struct Held {
    /// When the request began whose answer this is.
    asked: Option<Instant>,
    validators: Option<Validators>,
    /// `None` if the server only confirmed the validators, or if others needed the memory.
    index: Option<Arc<HelmIndex>>,
}

/// An answer about an index.
enum Current {
    /// What the validators stand for.
    Unchanged,
    Index(Arc<HelmIndex>, Option<Validators>),
}

/// A chart of a repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chart<'a> {
    /// The address of the repository.
    pub(super) repository: &'a str,
    /// The name of the chart.
    pub(super) name: &'a str,
}

/// All versions of a chart, of an index that was requested after the question was asked, or shortly before.
pub(super) async fn tags(
    (session, indexes): (&Session<'_>, &Indexes),
    chart: Chart<'_>,
    (previous, asked): (Option<&Validators>, Instant),
) -> Result<TagsAnswer, Failure> {
    let since = asked.checked_sub(SAME_CYCLE).unwrap_or(asked);
    let (index, validators) = match indexes.current(session, chart, previous, since).await? {
        Current::Unchanged => return Ok(TagsAnswer::NotModified),
        Current::Index(index, validators) => (index, validators),
    };
    let entries = index.chart(chart.name).ok_or_else(|| no_chart(chart))?;
    let (mut tags, mut dropped) = (TagListBuilder::default(), entries.dropped);
    for version in &entries.versions {
        match TagRef::parse(&version.version).map(|tag| tags.push(tag)) {
            Ok(Pushed::New | Pushed::Known) => {}
            Ok(Pushed::Full) => return Err(Failure::protocol("its index.yaml has too many versions of the chart")),
            Err(_) => dropped += 1,
        }
    }
    Ok(TagsAnswer::Fresh { tags: tags.finish(), dropped, validators })
}

/// One version of a chart.
pub(super) async fn manifest(
    (session, indexes): (&Session<'_>, &Indexes),
    chart: Chart<'_>,
    (tag, asked): (&Tag, Instant),
) -> Result<Manifest, Failure> {
    let since = asked.checked_sub(SAME_LIST).unwrap_or(asked);
    let Current::Index(index, _) = indexes.current(session, chart, None, since).await? else {
        return Err(Failure::protocol("it says \"not modified\", but was not asked"));
    };
    let version = index.version(chart.name, tag.as_str()).ok_or_else(|| no_version(chart, tag))?;
    described(chart, version).ok_or_else(|| Failure::protocol("its digest cannot be read"))
}

/// The archive of one version of a chart, from wherever the index says it is; inside, why it cannot be read.
///
/// # Errors
/// If the index cannot be read.
pub(super) async fn archive(
    (session, indexes): (&Session<'_>, &Indexes),
    chart: Chart<'_>,
    (tag, asked): (&Tag, Instant),
) -> Result<Result<Body, String>, Failure> {
    let since = asked.checked_sub(SAME_LIST).unwrap_or(asked);
    let Current::Index(index, _) = indexes.current(session, chart, None, since).await? else {
        return Err(Failure::protocol("it says \"not modified\", but was not asked"));
    };
    let version = index.version(chart.name, tag.as_str()).ok_or_else(|| no_version(chart, tag))?;
    let base = Url::parse(&format!("{}/", chart.repository.trim_end_matches('/'))).ok();
    let Some(url) = base.zip(version.archive.as_deref()).and_then(|(base, archive)| base.join(archive).ok()) else {
        return Ok(Err("the index does not say where its archive is".to_owned()));
    };
    let ask = Ask::get(url, "*/*", MAX_ARCHIVE.min(session.limits.max_body));
    let answer = match session.host.is_own(&ask.url) {
        true => session.send(&ask).await,
        false => session.elsewhere(&ask).await,
    };
    Ok(match answer {
        Ok(answer) if answer.status == StatusCode::OK => match version.digest {
            Some(digest) if aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &answer.body).as_ref() != digest => {
                Err("its archive has another digest than the index says".to_owned())
            }
            _ => Ok(answer.body),
        },
        Ok(answer) => {
            Err(format!("{} answered {} for its archive", answer.url.host_str().unwrap_or_default(), said(&answer)))
        }
        Err(mut failure) => Err(std::mem::take(failure.cause.text_mut())),
    })
}

fn described(chart: Chart<'_>, version: &ChartVersion) -> Option<Manifest> {
    let annotation = |key: &str, value: &Option<Box<str>>| {
        value.as_ref().map(|value| (format!("org.opencontainers.image.{key}"), value.to_string()))
    };
    Some(Manifest {
        digest: version.identity(chart.name)?,
        images: Vec::new(),
        platforms: Vec::new(),
        created: version.created,
        artifact: Some(CHART.to_owned()),
        annotations: BTreeMap::from_iter(annotation("source", &version.source)),
    })
}

fn no_chart(chart: Chart<'_>) -> Failure {
    Cause::Absent(format!("the index of {} has no chart {}", chart.repository, chart.name)).into()
}

fn no_version(chart: Chart<'_>, tag: &Tag) -> Failure {
    Cause::Absent(format!("the index of {} has no version {tag} of {}", chart.repository, chart.name)).into()
}

impl Indexes {
    /// The index as it was at this time or later. Whoever asks while another one waits for the answer gets the same.
    async fn current(
        &self,
        session: &Session<'_>,
        chart: Chart<'_>,
        previous: Option<&Validators>,
        since: Instant,
    ) -> Result<Current, Failure> {
        let slot = self.slot(chart.repository);
        let mut held = slot.held.lock().await;
        if held.asked.is_some_and(|at| at >= since)
            && let Some(current) = held.answer(previous)
        {
            return Ok(current);
        }
        let known = previous.or(held.validators.as_ref().filter(|_| held.index.is_some())).cloned();
        let began = Instant::now();
        match fetch(session, chart.repository, known.as_ref()).await? {
            // Only for those who have it is the index the one that these validators stand for.
            None if held.validators == known => held.asked = Some(began),
            None => *held = Held { asked: Some(began), validators: known, index: None },
            Some((index, validators)) => {
                *held = Held { asked: Some(began), validators, index: Some(Arc::new(index)) };
                slot.size.store(held.size(), Ordering::Relaxed);
            }
        }
        let answer = held.answer(previous);
        slot.size.store(held.size(), Ordering::Relaxed);
        if !self.make_room(chart.repository) {
            // All the others are in use at this moment.
            held.index = None;
            slot.size.store(0, Ordering::Relaxed);
        }
        answer.ok_or_else(|| Failure::protocol("it says \"not modified\", but was not asked"))
    }

    fn slot(&self, repository: &str) -> Arc<IndexSlot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(repository.to_owned()).or_default())
    }

    /// Drops the indexes of other repositories, the longest known first, until all together are within the bound; whether they are.
    fn make_room(&self, for_one: &str) -> bool {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total: usize = slots.values().map(|slot| slot.size.load(Ordering::Relaxed)).sum();
        let others = slots.iter().filter(|(repository, _)| *repository != for_one);
        // One that is asked for at this moment is left alone, and counts.
        let mut others: Vec<_> =
            others.filter_map(|(_, slot)| Some((slot.held.try_lock().ok()?, &slot.size))).collect();
        others.sort_by_key(|(held, _)| held.asked);
        for (held, size) in &mut others {
            if total <= MAX_KEPT {
                break;
            }
            held.index = None;
            total = total.saturating_sub(size.swap(0, Ordering::Relaxed));
        }
        total <= MAX_KEPT
    }

    /// Forgets every repository but these.
    pub(super) fn forget(&self, named: &HashSet<String>) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|repository, slot| named.contains(repository) || Arc::strong_count(slot) > 1);
    }
}

impl Held {
    fn answer(&self, previous: Option<&Validators>) -> Option<Current> {
        if previous.is_some() && previous == self.validators.as_ref() {
            return Some(Current::Unchanged);
        }
        self.index.as_ref().map(|index| Current::Index(Arc::clone(index), self.validators.clone()))
    }

    fn size(&self) -> usize {
        self.index.as_ref().map_or(0, |index| index.size())
    }
}

/// Requests an index; `None` if it has not changed.
async fn fetch(
    session: &Session<'_>,
    repository: &str,
    known: Option<&Validators>,
) -> Result<Option<(HelmIndex, Option<Validators>)>, Failure> {
    let url = address(session, repository)?;
    let sink = Arriving(Mutex::new(Ok(Reader::default())));
    let ask = Ask::get(url, "application/yaml, text/yaml, */*;q=0.8", MAX_INDEX.max(session.limits.max_body));
    let answer = session.send(&Ask { validators: known, sink: Some(&sink), ..ask.clone() }).await;
    let read = sink.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Ok(answer) = &answer
        && answer.status == StatusCode::NOT_MODIFIED
        && known.is_some()
    {
        return Ok(None);
    }
    let (headers, index) = match (answer, read.and_then(Reader::finish)) {
        // It is not written as Helm writes it: read as a whole.
        (_, Err(IndexError::Form { .. })) => {
            let limit = MAX_WHOLE.min(session.limits.max_body);
            let answer = ok(session.send(&Ask { limit, ..ask }).await?)?;
            let reading = tokio::task::spawn_blocking(move || (whole::whole(&answer.body), answer.headers)).await;
            let (index, headers) = reading.map_err(|_| Failure::protocol("reading its index.yaml failed"))?;
            (headers, index)
        }
        (answer, index) => (ok(answer?)?.headers, index),
    };
    let index = index.map_err(|error| Failure::protocol(format!("its index.yaml cannot be used: {error}")))?;
    Ok(Some((index, validators(&headers))))
}

fn ok(answer: RegistryResponse) -> Result<RegistryResponse, Failure> {
    match answer.status {
        StatusCode::OK => Ok(answer),
        StatusCode::NOT_FOUND => {
            let hint = "is this the address of a Helm repository, and not one of a registry (`oci://`)?";
            Err(Failure::protocol(format!("it answered {} for its index.yaml", said(&answer))).hint(hint))
        }
        _ => Err(Failure::protocol(format!("it answered {}", said(&answer)))),
    }
}

/// The address of a repository's index, which must be the host's own.
fn address(session: &Session<'_>, repository: &str) -> Result<Url, Failure> {
    let url = Url::parse(&format!("{}/index.yaml", repository.trim_end_matches('/')));
    let url = url.map_err(|_| Failure::protocol("its address cannot be read"))?;
    if url.scheme() == "http" && !session.host.plain_http {
        let hint = "to ask it unencrypted, set `plainHttp: true` for its host in `registries`";
        return Err(Failure::protocol("its address is one of plain HTTP").hint(hint));
    }
    if !session.host.is_own(&url) {
        let hint = format!("`registries` has `plainHttp: true` for {}, and its address says https", session.host.name);
        return Err(Failure::protocol("its address is not that of its host").hint(hint));
    }
    Ok(url)
}

/// An index that is read as it arrives.
struct Arriving(Mutex<Result<Reader, IndexError>>);

impl BodySink for Arriving {
    fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Ok(Reader::default());
    }

    fn take(&self, part: &[u8]) -> Result<usize, Failure> {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let error = match &mut *read {
            Ok(reader) => match reader.take(part) {
                Ok(()) => return Ok(reader.size()),
                Err(error) => error,
            },
            Err(error) => error.clone(),
        };
        *read = Err(error.clone());
        Err(Failure::protocol(format!("its index.yaml cannot be used: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index that takes up some megabytes.
    fn large() -> Arc<HelmIndex> {
        let mut index = HelmIndex::default();
        for number in 0..20_000 {
            let version = format!("1.0.{number}-{}", "x".repeat(280)).into();
            index.add(&format!("chart-{number}"), ChartVersion { version, ..ChartVersion::default() }).unwrap();
        }
        Arc::new(index)
    }

    #[tokio::test]
    async fn indexes_that_are_in_use_count_and_what_nothing_names_is_forgotten() {
        let (indexes, index) = (Indexes::default(), large());
        assert!(index.size() > 20_000 * (280 + size_of::<ChartVersion>()), "{}", index.size());
        let many = MAX_KEPT / index.size();
        let hold = |name: &str| {
            let slot = indexes.slot(name);
            slot.held.try_lock().unwrap().index = Some(Arc::clone(&index));
            slot.size.store(index.size(), Ordering::Relaxed);
            slot
        };
        let used: Vec<_> = (0..many).map(|number| hold(&format!("used {number}"))).collect();
        let locked: Vec<_> = used.iter().map(|slot| slot.held.try_lock().unwrap()).collect();
        assert!(indexes.make_room("used 0"));
        let idle = hold("idle");
        drop(hold("new"));
        assert!(!indexes.make_room("new"), "all others are in use, and so there is no room for it");
        assert!(idle.held.try_lock().unwrap().index.is_none());
        drop(locked);
        assert!(indexes.make_room("new"));
        let kept: usize = indexes.0.lock().unwrap().values().map(|slot| slot.size.load(Ordering::Relaxed)).sum();
        assert!(kept <= MAX_KEPT, "{kept}");
        drop((used, idle));
        indexes.forget(&HashSet::from(["new".to_owned()]));
        assert_eq!(indexes.0.lock().unwrap().keys().collect::<Vec<_>>(), ["new"]);
    }
}
