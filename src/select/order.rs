//! Each order as a type whose greater values are better, and the one decision shared by all of them.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;

use super::number::{Decimal, Natural};
use super::range::{RangeMatch, VersionRange};
use super::shape::{Shape, is_hash, same_but_numbers};
use super::version::{ParsedVersion, not_a_version, strip_v};
use super::{Current, Direction, Keep, Named, Order, Rejections, Selected, Selection, TagPolicy};

pub(super) const PRERELEASE: &str = "a prerelease, which needs `prereleases`";

/// The position of the current tag in the order.
enum Standing<K> {
    /// There is no current tag.
    Absent,
    /// It has no position: any qualifying tag may replace it.
    Unordered,
    /// It has this position. `settled`: it is one of the policy's own tags, so an equal tag is no reason to update.
    At { rank: K, settled: bool },
    /// Its position is unknown: nothing may replace it.
    Unknown(&'static str),
}

/// A tag with its position.
struct Ranked<'n, K> {
    rank: K,
    named: &'n Named<'n>,
    is_current: bool,
}

/// Decides according to the policy's order.
pub(super) fn decide<'n>(
    policy: &TagPolicy,
    current: Option<&'n Current<'n>>,
    named: &'n [Named<'n>],
    rejections: Rejections,
) -> Selection {
    let field = Field { current, named };
    match &policy.order {
        Order::Semver(range) => field.semver(range, policy.prereleases, rejections),
        Order::Alphabetical(Direction::Ascending) => field.alphabetical(|key| key, rejections),
        Order::Alphabetical(Direction::Descending) => field.alphabetical(Reverse, rejections),
        Order::Numerical(Direction::Ascending) => field.numerical(|key| key, rejections),
        Order::Numerical(Direction::Descending) => field.numerical(Reverse, rejections),
        Order::NewestBuild => field.newest_build(rejections),
        Order::Digest => field.only_current(|_| "not the tag that is followed".to_owned(), rejections),
        Order::Shape => field.shape(policy.prereleases, rejections),
    }
}

/// The current tag and all tags that passed by name.
struct Field<'n> {
    current: Option<&'n Current<'n>>,
    named: &'n [Named<'n>],
}

/// How many ranked tags beyond the requested number are kept before the worst are dropped.
const SPARE: usize = 1024;

impl<'n> Field<'n> {
    fn semver(&self, range: &VersionRange, prereleases: bool, rejections: Rejections) -> Selection {
        let mut exact = None;
        let standing = self.standing(|current| {
            let key = current.key.as_deref()?;
            exact = ParsedVersion::parse(key);
            let rank =
                exact.or_else(|| ParsedVersion::loose(key)).or_else(|| ParsedVersion::loose(current.tag.as_str()))?;
            Some((rank, current.belongs && exact.is_some()))
        });
        // To semver, `7.2.4-alpine` is a prerelease of 7.2.4; to its user, `7.4.0` is another base system.
        let variant = self.current.and_then(|current| Shape::of(current.key.as_deref()?).ok()?.variant());
        let other_variant = |key: &str| {
            variant.filter(|mine| {
                !Shape::of(key).is_ok_and(|other| other.variant().is_some_and(|it| same_but_numbers(it, mine)))
            })
        };
        let now = match &standing {
            Standing::At { rank, .. } => Some(*rank),
            _ => None,
        };
        let mut selection = self.settle(&standing, rejections, |named| {
            let version =
                ParsedVersion::parse(&named.key).ok_or_else(|| self.unreadable(named, not_a_version(&named.key)))?;
            let onward = exact.is_some_and(|now| now.is_prerelease() && now.same_core(&version) && now <= version);
            match range.verdict(&version, prereleases || onward) {
                RangeMatch::Inside => {
                    match other_variant(&named.key).filter(|_| now.is_some_and(|now| version > now)) {
                        Some(variant) => Err(format!(
                            "another variant than the current tag's `{}`",
                            variant.trim_start_matches(['-', '_'])
                        )),
                        None => Ok(version),
                    }
                }
                RangeMatch::Outside => Err(format!("outside the range `{}`", range.as_str())),
                RangeMatch::Prerelease => Err(PRERELEASE.to_owned()),
            }
        });
        // `7.2.4-alpine` is formally a prerelease, and `rc10` is below `rc9`.
        if let Some((now, (_, suffix))) =
            exact.zip(self.current.and_then(|current| current.key.as_deref()?.split_once('-')))
        {
            let current = self.current.map_or("", |current| current.tag.as_str());
            self.overlooked(&mut selection, |key| {
                let Some(version) = ParsedVersion::parse(key) else { return false };
                let alike = key.split_once('-').is_some_and(|(_, other)| same_but_numbers(other, suffix));
                let newer = now < version && range.verdict(&version, true) == RangeMatch::Inside;
                alike && (newer || (now.same_core(&version) && Natural(current) < Natural(key)))
            });
        }
        selection
    }

    fn alphabetical<K: Ord>(&self, wrap: impl Fn(&'n str) -> K, rejections: Rejections) -> Selection {
        // Any two texts compare, so comparing with a tag that the filter excludes means nothing.
        let standing =
            self.standing(|current| Some((wrap(current.key.as_deref()?), true)).filter(|_| current.compares));
        self.settle(&standing, rejections, |named| Ok(wrap(&named.key)))
    }

    fn numerical<K: Ord>(&self, wrap: impl Fn(Decimal<'n>) -> K, rejections: Rejections) -> Selection {
        let standing = self.standing(|current| Some((wrap(Decimal::parse(current.key.as_deref()?)?), current.belongs)));
        self.settle(&standing, rejections, |named| match Decimal::parse(&named.key) {
            Some(number) => Ok(wrap(number)),
            None => Err(self.unreadable(named, "not a decimal number")),
        })
    }

    fn newest_build(&self, rejections: Rejections) -> Selection {
        let standing = match self.current {
            Some(current) if current.created.is_none() && current.belongs => {
                Standing::Unknown("its creation time is unknown")
            }
            _ => self.standing(|current| Some((current.created?, current.belongs))),
        };
        let mut selection = self.settle(&standing, rejections, |named| {
            named.created.ok_or_else(|| "its creation time is unknown".to_owned())
        });
        if let Some(selected) = &mut selection.selected {
            let listed = self.named.iter().find(|named| named.tag == selected.tag).and_then(|named| named.created);
            let created = listed.or_else(|| self.current.and_then(|current| current.created));
            selected.key = created.map_or_else(|| selected.key.clone(), |created| created.to_string());
        }
        selection
    }

    fn shape(&self, prereleases: bool, rejections: Rejections) -> Selection {
        let Some(current) = self.current else {
            return self
                .only_current(|_| "there is neither a policy nor a current tag to follow".to_owned(), rejections);
        };
        let key = current.key.as_deref();
        let shape = key.ok_or("does not match the filter").and_then(Shape::of);
        let hashes = shape.as_ref().map(|shape| self.hash_lengths(shape)).unwrap_or_default();
        let doubtful = |shape: &Shape<'_>| shape.lone_number().is_some_and(|number| hashes.contains(&number.len()));
        let shape = match shape {
            Ok(shape) if doubtful(&shape) => Err("may be a commit hash, as others of its length are"),
            shape => shape,
        };
        let shape = match shape {
            Ok(shape) => shape,
            Err(reason) => return self.unordered(reason, rejections),
        };
        if let Some(second) = shape.second_version() {
            let reason = format!(
                "holds two versions, `{}` and `{second}`, and it is unknown which of them counts",
                shape.numbers_text()
            );
            return self.unordered(&reason, rejections);
        }
        let other_scheme = self.other_scheme(&shape);
        let standing = Standing::At { rank: shape.clone(), settled: current.belongs };
        let mut selection = self.settle(&standing, rejections, |named| {
            let other = Shape::of(&named.key).map_err(str::to_owned)?;
            other.follows(&shape)?;
            if other_scheme.as_ref().is_some_and(|padded| other.compare_first(padded).is_ge()) {
                return Err("may belong to another scheme with padded numbers".to_owned());
            }
            if doubtful(&other) {
                return Err("may be a commit hash, as others of its length are".to_owned());
            }
            let onward = shape.is_prerelease() && other.same_numbers(&shape) && other >= shape;
            if other.is_prerelease() && !prereleases && !onward {
                return Err(PRERELEASE.to_owned());
            }
            Ok(other)
        });
        self.overlooked(&mut selection, |key| Shape::of(key).is_ok_and(|other| other.outruns(&shape)));
        selection
    }

    /// The least tag of a scheme with padded numbers, if the current tag's numbers are not padded and other tags' are:
    /// from its first number on, it is unknown which scheme a tag belongs to.
    fn other_scheme(&self, shape: &Shape<'n>) -> Option<Shape<'n>> {
        let padded = |key: &str| {
            key.as_bytes().windows(3).any(|at| !at[0].is_ascii_digit() && at[1] == b'0' && at[2].is_ascii_digit())
        };
        let others =
            self.named.iter().filter(|named| padded(&named.key)).filter_map(|named| Shape::of(&named.key).ok());
        others
            .filter(|other| other.pads_otherwise(shape) && other.compare_first(shape).is_gt())
            .min_by(Shape::compare_first)
    }

    /// Adds a note if the current tag stays although a tag looks newer and is only written differently:
    /// "up to date" would be an unchecked claim.
    fn overlooked(&self, selection: &mut Selection, outruns: impl Fn(&str) -> bool) {
        let stays = selection.selected.as_ref().zip(self.current).is_some_and(|(it, current)| it.tag == *current.tag);
        if !stays || selection.note.is_some() {
            return;
        }
        let newer = self.named.iter().filter(|named| !self.is_current(named) && outruns(&named.key));
        if let Some(best) = newer.max_by(|a, b| Natural(a.tag.as_str()).cmp(&Natural(b.tag.as_str()))) {
            selection.note = Some(format!(
                "{} looks newer, but it is written differently: the current tag stays until a tag policy says whether it counts",
                best.tag
            ));
        }
    }

    /// The lengths of the commit hashes that occur in place of the current tag's only number: a hash may happen to have
    /// no letters, and its neighbours give it away.
    fn hash_lengths(&self, shape: &Shape<'_>) -> BTreeSet<usize> {
        let Some(prefix) = shape.lone_prefix() else { return BTreeSet::new() };
        let words = self.named.iter().filter_map(|named| {
            let rest = named.key.strip_prefix(prefix)?;
            rest.split(|c: char| !c.is_ascii_alphanumeric()).next().filter(|word| is_hash(word))
        });
        words.map(str::len).collect()
    }

    /// The current tag stays, and all others are rejected.
    fn only_current(&self, reason: impl Fn(&Named<'_>) -> String, mut rejections: Rejections) -> Selection {
        let mut candidates = Vec::new();
        for named in self.named {
            match self.is_current(named) {
                true => candidates.push(named.tag.to_tag()),
                false => rejections.add(named.tag, reason(named)),
            }
        }
        let (rejected, commonest) = rejections.finish();
        let selected = self.current.map(Current::selected);
        Selection { selected, candidates, behind: Vec::new(), rejected, commonest, note: None, adopts: false }
    }

    fn unordered(&self, reason: &str, rejections: Rejections) -> Selection {
        let why = format!("the current tag {reason}");
        let reason = |named: &Named<'_>| match Shape::of(&named.key) {
            Err(own) => own.to_owned(),
            Ok(_) => format!("cannot be compared: {why}"),
        };
        let mut selection = self.only_current(reason, rejections);
        selection.note = Some(format!("{why}; the current tag stays, and a tag policy can say what should follow it"));
        selection
    }

    fn is_current(&self, named: &Named<'_>) -> bool {
        self.current.is_some_and(|current| named.tag == *current.tag)
    }

    fn standing<K>(&self, place: impl FnOnce(&'n Current<'n>) -> Option<(K, bool)>) -> Standing<K> {
        let Some(current) = self.current else { return Standing::Absent };
        place(current).map_or(Standing::Unordered, |(rank, settled)| Standing::At { rank, settled })
    }

    /// Mentions the key too, if it is not the tag.
    fn unreadable(&self, named: &Named<'_>, reason: &str) -> String {
        if named.key == named.tag.as_str() { reason.to_owned() } else { format!("its key `{}` is {reason}", named.key) }
    }

    /// Ranks, sorts and decides.
    fn settle<K: Ord>(
        &self,
        standing: &Standing<K>,
        mut rejections: Rejections,
        rank: impl Fn(&'n Named<'n>) -> Result<K, String>,
    ) -> Selection {
        let limit = match rejections.keep {
            Keep::All => usize::MAX,
            Keep::Best(count) => count.max(1),
        };
        let (mut candidates, mut behind) = (Vec::new(), Vec::new());
        for named in self.named {
            let ranked = match rank(named) {
                Ok(rank) => Ranked { rank, named, is_current: self.is_current(named) },
                Err(reason) => {
                    rejections.add(named.tag, reason);
                    continue;
                }
            };
            let place = if standing.admits(&ranked) { &mut candidates } else { &mut behind };
            place.push(ranked);
            if place.len() >= limit.saturating_add(SPARE) {
                self.keep_best(place, limit);
            }
        }
        self.keep_best(&mut candidates, limit);
        self.keep_best(&mut behind, limit);
        let selected = match (candidates.first(), behind.first()) {
            (None, None) => None,
            (Some(best), _) => {
                Some(Selected { tag: best.named.tag.to_tag(), key: best.named.key.clone().into_owned() })
            }
            (None, Some(_)) => self.current.map(Current::selected),
        };
        let note = selected.as_ref().and_then(|_| standing.note(candidates.is_empty()));
        let tags = |ranked: Vec<Ranked<'_, K>>| ranked.into_iter().map(|ranked| ranked.named.tag.to_tag()).collect();
        let (rejected, commonest) = rejections.finish();
        let adopts = self.current.is_some_and(|current| !current.belongs) && matches!(standing, Standing::Unordered);
        Selection { selected, candidates: tags(candidates), behind: tags(behind), rejected, commonest, note, adopts }
    }

    /// Sorts best first, and drops everything past the limit.
    fn keep_best<K: Ord>(&self, ranked: &mut Vec<Ranked<'n, K>>, limit: usize) {
        ranked.sort_unstable_by(|a, b| b.rank.cmp(&a.rank));
        self.break_ties(ranked);
        ranked.truncate(limit);
    }

    /// Sorts tags of equal rank, best first. Tags are parsed only here, because ties are rare in long listings.
    fn break_ties<K: Ord>(&self, ranked: &mut [Ranked<'n, K>]) {
        let shape = self.current.and_then(|current| Shape::of(current.tag.as_str()).ok());
        let like = |tag: &str| match &shape {
            Some(shape) => Shape::of(tag).is_ok_and(|other| other.like(shape)),
            None => false,
        };
        for tied in ranked.chunk_by_mut(|a, b| a.rank == b.rank).filter(|tied| tied.len() > 1) {
            tied.sort_by_cached_key(|ranked| {
                let tag = ranked.named.tag.as_str();
                let plain = strip_v(tag).len() == tag.len();
                Reverse((ranked.is_current, like(tag), plain, Natural(tag)))
            });
        }
    }
}

impl<K: Ord> Standing<K> {
    /// Whether a tag may be selected.
    fn admits(&self, ranked: &Ranked<'_, K>) -> bool {
        match self {
            Self::Absent | Self::Unordered => true,
            Self::Unknown(_) => ranked.is_current,
            Self::At { rank, settled } => match ranked.rank.cmp(rank) {
                Ordering::Greater => true,
                Ordering::Equal => ranked.is_current || !settled,
                Ordering::Less => false,
            },
        }
    }

    /// The note about the selection.
    fn note(&self, stays: bool) -> Option<String> {
        let text = match self {
            Self::Unordered => "the current tag has no order under this policy, so the best qualifying tag is selected",
            Self::Unknown(reason) => {
                return Some(format!("the current tag stays: {reason}, so nothing is known to be newer"));
            }
            Self::At { .. } if stays => {
                "the current tag stays: nothing newer qualifies (and it does not qualify either, or is not listed)"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}
