//! What has been hinted at, and when who is woken: decided here, as values, by times that are arguments.
//!
//! Memory is bounded by what the repositories declare: an image or repository that nothing declares leaves no trace.
//! Until a repository was read for the first time it is not known what it declares; hints are then kept, and beyond
//! [`MOST`] of them everything is due.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::landing::watchers::Address;
use crate::model::ImageName;
use crate::webhooks::WebhookHint;

use super::budget::Budget;

/// How many hints are kept for repositories that have not been read yet.
const MOST: usize = 1000;
/// One registry is asked for this many images at once, and then for one in this time.
const REGISTRY: (u32, Duration) = (100, Duration::from_millis(200));
/// The same for one repository and its forge.
const REPOSITORY: (u32, Duration) = (10, Duration::from_secs(2));

/// What a hint was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Something that a repository declares, or a repository of the configuration.
    Known,
    /// Nothing of that.
    Unknown,
    /// Not known yet: no repository, or not all of them, has been read.
    Kept,
}

/// Everything that waits to be looked at.
#[derive(Debug)]
pub(super) struct WakeState {
    debounce: Duration,
    repositories: BTreeMap<String, Declares>,
    addresses: HashMap<Address, String>,
    /// The declared images by the path on their registry, and by that of their origin: (host, image).
    places: HashMap<String, BTreeSet<(String, ImageName)>>,
    images: BTreeMap<ImageName, Pending>,
    woken: BTreeMap<String, Pending>,
    /// Everything was hinted at. It is spread out when it is due and not before, so that a flood costs nothing for each.
    all: Option<Pending>,
    kept: BTreeSet<WebhookHint>,
    overflowed: bool,
    registries: BTreeMap<String, Budget>,
    forges: BTreeMap<String, Budget>,
}

/// The images of a repository, each with the name under which its registry is asked; `None` until it was read.
type Declares = Option<BTreeMap<ImageName, ImageName>>;

/// Something that is due soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pending {
    /// When it was last hinted at, by the machine's clock: answers must be newer.
    at: Timestamp,
    /// When it is due.
    due: Instant,
}

/// What is due now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DueNow {
    /// Images whose answers must be newer than this.
    pub(super) images: Vec<(ImageName, Timestamp)>,
    /// Repositories that must plan again, and if there is news from their forge, since when.
    pub(super) repositories: BTreeMap<String, Option<Timestamp>>,
    /// When something else is due.
    pub(super) next: Option<Instant>,
}

impl WakeState {
    /// Nothing has been hinted at, nothing read.
    pub(super) fn new(repositories: impl IntoIterator<Item = (String, Vec<Address>)>, debounce: Duration) -> Self {
        let (mut names, mut addresses) = (BTreeMap::new(), HashMap::new());
        for (name, own) in repositories {
            addresses.extend(own.into_iter().map(|address| (address, name.clone())));
            names.insert(name, None);
        }
        Self {
            debounce,
            repositories: names,
            addresses,
            places: HashMap::new(),
            images: BTreeMap::new(),
            woken: BTreeMap::new(),
            all: None,
            kept: BTreeSet::new(),
            overflowed: false,
            registries: BTreeMap::new(),
            forges: BTreeMap::new(),
        }
    }

    /// Takes a hint. Returns what it was about, and whether something new is pending.
    pub(super) fn hint(&mut self, hint: &WebhookHint, (at, now): (Timestamp, Instant)) -> (Heard, bool) {
        let pending = Pending { at, due: now + self.debounce };
        match hint {
            WebhookHint::Repository { address } => {
                let name = Address::parse(address).and_then(|address| self.addresses.get(&address));
                match name {
                    Some(name) => (Heard::Known, put(&mut self.woken, name, pending)),
                    None => (Heard::Unknown, false),
                }
            }
            WebhookHint::Image { registry, repository } => {
                let found = self.declared(registry.as_deref(), repository);
                let unread = self.repositories.values().any(Option::is_none);
                if unread {
                    self.keep(hint);
                }
                let known = !found.is_empty();
                let mut new = false;
                for image in found {
                    new |= put(&mut self.images, &image, pending);
                }
                let heard = match (known, unread) {
                    (true, _) => Heard::Known,
                    (false, true) => Heard::Kept,
                    (false, false) => Heard::Unknown,
                };
                (heard, new)
            }
        }
    }

    /// Everything may have changed: more came than could be looked at. Returns whether something new is pending.
    pub(super) fn everything(&mut self, (at, now): (Timestamp, Instant)) -> bool {
        let due = self.all.map_or(now + self.debounce, |all| all.due);
        let new = self.all.is_none();
        self.all = Some(Pending { at: self.all.map_or(at, |all| all.at.max(at)), due });
        self.overflowed |= new && self.repositories.values().any(Option::is_none);
        new
    }

    /// What is pending for everything is so for each.
    fn spread(&mut self, pending: Pending) {
        let images: BTreeSet<_> = self.repositories.values().flatten().flat_map(BTreeMap::keys).cloned().collect();
        for image in images {
            put(&mut self.images, &image, pending);
        }
        for name in self.repositories.keys() {
            put(&mut self.woken, name, pending);
        }
    }

    /// A repository was read, and declares these images, each with the name under which its registry is asked. Hints
    /// from before are looked at again.
    pub(super) fn declares(&mut self, name: &str, images: BTreeMap<ImageName, ImageName>, at: (Timestamp, Instant)) {
        let Some(known) = self.repositories.get_mut(name) else { return };
        let first = known.is_none();
        if known.as_ref() == Some(&images) {
            return;
        }
        *known = Some(images);
        self.places.clear();
        for (image, origin) in self.repositories.values().flatten().flatten() {
            for place in [image, origin] {
                let images = self.places.entry(place.repository().to_owned()).or_default();
                images.insert((place.registry().to_owned(), image.clone()));
            }
        }
        if first {
            for hint in self.kept.clone() {
                self.hint(&hint, at);
            }
            if self.overflowed {
                self.everything(at);
            }
            if self.repositories.values().all(Option::is_some) {
                self.kept.clear();
                self.overflowed = false;
            }
        }
    }

    /// What is due now; it is then no longer pending.
    pub(super) fn due(&mut self, now: Instant) -> DueNow {
        let mut due = DueNow::default();
        if let Some(all) = self.all.take_if(|all| all.due <= now) {
            self.spread(all);
        }
        due.next = self.all.map(|all| all.due);
        let mut later = |at: Instant| due.next = Some(due.next.map_or(at, |next| next.min(at)));
        let (mut images, mut woken) = (Vec::new(), Vec::new());
        // Whoever waits longest is first: what is hinted at again and again must not keep out the rest.
        let mut waiting: Vec<_> = self.images.iter().map(|(image, pending)| (pending.due, image.clone())).collect();
        waiting.sort();
        for (due, image) in waiting {
            let budget = self.registries.entry(image.registry().to_owned());
            let budget = budget.or_insert_with(|| Budget::new(REGISTRY.0, REGISTRY.1, now));
            match turn(due, budget, now) {
                Ok(()) => images.extend(self.images.remove_entry(&image).map(|(image, pending)| (image, pending.at))),
                Err(at) => later(at),
            }
        }
        self.woken.retain(|name, pending| {
            let budget = self.forges.entry(name.clone());
            let budget = budget.or_insert_with(|| Budget::new(REPOSITORY.0, REPOSITORY.1, now));
            turn(pending.due, budget, now).map_or_else(&mut later, |()| woken.push((name.clone(), pending.at)));
            woken.last().is_none_or(|(last, _)| last != name)
        });
        for (name, declares) in &self.repositories {
            let declares = declares.iter().any(|declares| images.iter().any(|(image, _)| declares.contains_key(image)));
            if declares {
                due.repositories.insert(name.clone(), None);
            }
        }
        due.repositories.extend(woken.into_iter().map(|(name, at)| (name, Some(at))));
        due.images = images;
        due
    }

    /// The declared images that a hint may be about.
    fn declared(&self, registry: Option<&str>, repository: &str) -> Vec<ImageName> {
        // The parser knows the other names of Docker Hub.
        let (host, path) = match registry {
            None => (None, repository.to_owned()),
            Some(host) => match ImageName::parse(&format!("{host}/{repository}")) {
                Ok(name) => (Some(name.registry().to_owned()), name.repository().to_owned()),
                Err(_) => return Vec::new(),
            },
        };
        let places = self.places.get(&path).into_iter().flatten();
        let here = places.filter(|(place, _)| host.as_ref().is_none_or(|host| host == place));
        let images: BTreeSet<&ImageName> = here.map(|(_, image)| image).collect();
        images.into_iter().cloned().collect()
    }

    fn keep(&mut self, hint: &WebhookHint) {
        if self.kept.len() < MOST || self.kept.contains(hint) {
            self.kept.insert(hint.clone());
        } else {
            self.overflowed = true;
        }
    }
}

/// Adds something pending; what is pending already keeps the time at which it is due. Returns whether it is new.
fn put<K: Ord + Clone>(all: &mut BTreeMap<K, Pending>, key: &K, pending: Pending) -> bool {
    match all.get_mut(key) {
        Some(known) => {
            known.at = known.at.max(pending.at);
            false
        }
        None => {
            all.insert(key.clone(), pending);
            true
        }
    }
}

/// Whether it is time and there is a turn left; otherwise, when.
fn turn(due: Instant, budget: &mut Budget, now: Instant) -> Result<(), Instant> {
    if due > now { Err(due) } else { budget.take(now) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBOUNCE: Duration = Duration::from_secs(1);

    fn image(name: &str) -> ImageName {
        ImageName::parse(name).unwrap()
    }

    fn hint(registry: Option<&str>, repository: &str) -> WebhookHint {
        WebhookHint::Image { registry: registry.map(str::to_owned), repository: repository.to_owned() }
    }

    fn images(names: &[&str]) -> BTreeMap<ImageName, ImageName> {
        names.iter().map(|name| (image(name), image(name))).collect()
    }

    fn names(due: &DueNow) -> (Vec<String>, Vec<&str>) {
        let images = due.images.iter().map(|(image, _)| image.to_string());
        (images.collect(), due.repositories.keys().map(String::as_str).collect())
    }

    struct Times {
        begin: Instant,
    }

    impl Times {
        fn at(&self, milliseconds: u64) -> (Timestamp, Instant) {
            let wall = Timestamp::from_millisecond(1_790_000_000_000 + i64::try_from(milliseconds).unwrap()).unwrap();
            (wall, self.begin + Duration::from_millis(milliseconds))
        }
    }

    fn state(repositories: &[&str]) -> (WakeState, Times) {
        let address = |name: &str| Address::parse(&format!("https://git.example/acme/{name}.git")).unwrap();
        let named = repositories.iter().map(|name| ((*name).to_owned(), vec![address(name)]));
        (WakeState::new(named, DEBOUNCE), Times { begin: Instant::now() })
    }

    #[test]
    fn a_hint_wakes_who_declares_its_image_once_and_after_the_debounce() {
        let (mut state, times) = state(&["a", "b", "c"]);
        for (name, declared) in [("a", &["ghcr.io/acme/web"][..]), ("b", &["ghcr.io/acme/web", "nginx"]), ("c", &[])] {
            state.declares(name, images(declared), times.at(0));
        }
        let web = hint(Some("ghcr.io"), "acme/web");
        assert_eq!(state.hint(&web, times.at(0)), (Heard::Known, true));
        assert_eq!(state.hint(&web, times.at(900)), (Heard::Known, false));
        assert_eq!(state.hint(&hint(Some("ghcr.io"), "acme/other"), times.at(0)), (Heard::Unknown, false));
        assert_eq!(state.hint(&hint(Some("evil.example"), "acme/web"), times.at(0)), (Heard::Unknown, false));
        let early = state.due(times.at(999).1);
        assert_eq!((names(&early), early.next), ((vec![], vec![]), Some(times.at(1000).1)));
        let due = state.due(times.at(1000).1);
        assert_eq!(names(&due), (vec!["ghcr.io/acme/web".to_owned()], vec!["a", "b"]));
        assert_eq!((due.images[0].1, due.next), (times.at(900).0, None), "answers must be newer than the last hint");
        assert_eq!(state.due(times.at(5000).1), DueNow::default(), "it is no longer pending");
        for (registry, path) in
            [(Some("index.docker.io"), "library/nginx"), (Some("docker.io"), "nginx"), (None, "library/nginx")]
        {
            assert_eq!(state.hint(&hint(registry, path), times.at(6000)).0, Heard::Known, "{registry:?} {path}");
        }
    }

    #[test]
    fn a_mirrored_image_is_woken_by_its_origin() {
        let (mut state, times) = state(&["a"]);
        let mirrored = BTreeMap::from([(image("mirror.example/hub/acme/web"), image("docker.io/acme/web"))]);
        state.declares("a", mirrored, times.at(0));
        assert_eq!(state.hint(&hint(Some("docker.io"), "acme/web"), times.at(0)).0, Heard::Known);
        assert_eq!(names(&state.due(times.at(1000).1)).0, ["mirror.example/hub/acme/web"]);
    }

    #[test]
    fn a_repository_is_woken_by_any_spelling_of_its_address() {
        let (mut state, times) = state(&["a"]);
        for address in ["https://git.example/acme/a", "git@git.example:acme/a.git", "ssh://git@git.example:2222/acme/a"]
        {
            let hint = WebhookHint::Repository { address: address.to_owned() };
            assert_eq!(state.hint(&hint, times.at(0)).0, Heard::Known, "{address}");
        }
        let other = WebhookHint::Repository { address: "https://git.example/acme/other".to_owned() };
        assert_eq!(state.hint(&other, times.at(0)), (Heard::Unknown, false));
        let due = state.due(times.at(1000).1);
        assert_eq!(due.repositories, BTreeMap::from([("a".to_owned(), Some(times.at(0).0))]));
    }

    #[test]
    fn what_comes_before_the_first_read_is_kept_within_bounds() {
        let (mut state, times) = state(&["a", "b"]);
        assert_eq!(state.hint(&hint(Some("ghcr.io"), "acme/web"), times.at(0)), (Heard::Kept, false));
        state.declares("a", images(&["ghcr.io/acme/web"]), times.at(100));
        assert_eq!(names(&state.due(times.at(1100).1)).1, ["a"]);
        for number in 0..3 * MOST {
            state.hint(&hint(None, &format!("acme/{number}")), times.at(2000));
        }
        assert_eq!(state.kept.len(), MOST);
        state.declares("b", images(&["ghcr.io/acme/db"]), times.at(3000));
        assert!(state.kept.is_empty() && !state.overflowed);
        let due = state.due(times.at(4000).1);
        let (images, repositories) = names(&due);
        assert_eq!((images.len(), repositories.len()), (2, 2), "what was not kept may have been any of them");
        state.hint(&hint(None, "acme/other"), times.at(5000));
        assert!(state.kept.is_empty(), "all repositories are read");
    }

    #[test]
    fn what_is_hinted_at_without_end_keeps_no_other_image_waiting() {
        let (mut state, times) = state(&["a"]);
        let all: Vec<String> = (0..200).map(|number| format!("ghcr.io/acme/app-{number:03}")).collect();
        state.declares("a", images(&all.iter().map(String::as_str).collect::<Vec<_>>()), times.at(0));
        let mut asked = BTreeSet::new();
        for step in 0..200 {
            for number in 0..200 {
                state.hint(&hint(Some("ghcr.io"), &format!("acme/app-{number:03}")), times.at(step * 200));
            }
            asked.extend(state.due(times.at(step * 200).1).images.into_iter().map(|(image, _)| image));
        }
        assert_eq!(asked.len(), all.len(), "in forty seconds each has had its turn");
    }

    #[test]
    fn a_flood_is_pending_once_and_spread_out_when_it_is_due() {
        let (mut state, times) = state(&["a"]);
        state.declares("a", images(&["ghcr.io/acme/web"]), times.at(0));
        assert_eq!([0, 500, 999].map(|at| state.everything(times.at(at))), [true, false, false]);
        assert!(state.images.is_empty() && state.woken.is_empty(), "no webhook of a flood goes through all images");
        assert_eq!(state.due(times.at(999).1).next, Some(times.at(1000).1));
        let due = state.due(times.at(1000).1);
        assert_eq!(due.images, [(image("ghcr.io/acme/web"), times.at(999).0)], "newer than the last of them");
        assert_eq!(due.repositories, BTreeMap::from([("a".to_owned(), Some(times.at(999).0))]));
        assert!(state.everything(times.at(1001)));
    }

    #[test]
    fn a_registry_is_asked_at_a_bounded_rate_and_no_image_is_forgotten() {
        let (mut state, times) = state(&["a"]);
        let all: Vec<String> = (0..250).map(|number| format!("ghcr.io/acme/app-{number}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).chain(["quay.io/acme/web"]).collect();
        state.declares("a", images(&all), times.at(0));
        assert!(state.everything(times.at(0)));
        let first = names(&state.due(times.at(1000).1)).0;
        assert_eq!(first.len(), 101, "another registry has turns of its own");
        let (mut asked, mut now) = (first.len(), 1000);
        while asked < all.len() {
            now += 200;
            let due = state.due(times.at(now).1);
            assert!(due.images.len() <= 1 && now < 60_000, "{due:?}");
            asked += due.images.len();
        }
        assert_eq!((now, state.due(times.at(100_000).1)), (31_000, DueNow::default()));
    }
}
