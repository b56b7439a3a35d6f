//! The outside of a history: registries, a repository with its past, clusters, pull requests, a clock.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::oracle::Memory;
use super::rules::{ENVIRONMENTS, Rule, Rules, minutes};
use crate::model::{
    Answer, BranchName, CommitId, Decision, Digest, FailureCode, ImageName, Listing, Manifest, Pin, PinLocation,
    PullRequest, PullState, RepoPath, Span, Tag, TagList, UpdateId, Version,
};
use crate::plan::{Answers, Brought, HistoryQuery, Ledger, Origin, Writer, body_ids, carried, head_branch, update_ids};

/// The apps; each has an image of its own name.
pub(super) const APPS: [&str; 2] = ["api", "web"];

/// A version as its numbers; a release comes after its pre-releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ver(pub(super) [u32; 3], pub(super) u32);

impl Ver {
    pub(super) const RELEASE: u32 = u32::MAX;

    /// The numbers of a tag.
    pub(super) fn of(tag: &Tag) -> Self {
        let (numbers, rc) = tag.as_str().split_once("-rc.").unwrap_or((tag.as_str(), ""));
        let mut numbers = numbers.split('.').map(|part| part.parse().unwrap());
        let numbers = [numbers.next().unwrap(), numbers.next().unwrap(), numbers.next().unwrap()];
        Self(numbers, rc.parse().unwrap_or(Self::RELEASE))
    }

    pub(super) fn is_release(self) -> bool {
        self.1 == Self::RELEASE
    }

    pub(super) fn tag(self) -> Tag {
        Tag::parse(&self.to_string()).unwrap()
    }
}

impl fmt::Display for Ver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")?;
        if self.is_release() { Ok(()) } else { write!(f, "-rc.{}", self.1) }
    }
}

/// One image of a registry.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) ver: Ver,
    pub(super) digest: Digest,
    pub(super) pushed: Timestamp,
    pub(super) deleted: bool,
}

/// The repository of one app.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) name: ImageName,
    pub(super) images: Vec<Image>,
    pub(super) up: bool,
}

/// What a cluster says of what is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Well(Timestamp),
    Moving,
    Failing,
    Silent,
}

/// A version that was well for a time.
#[derive(Debug, Clone)]
pub(super) struct Good {
    pub(super) version: Version,
    pub(super) digest: Digest,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// An app in one cluster.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) cluster: String,
    pub(super) seen: Seen,
    pub(super) digest: Option<Digest>,
    /// What the bot remembers of the versions before.
    pub(super) before: Vec<Good>,
    /// Everything that ever happened here: when, the tag, its digest, and whether it was well.
    pub(super) journal: Vec<(Timestamp, Ver, Option<Digest>, bool)>,
}

/// An app in an environment: an overlay.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) app: usize,
    pub(super) environment: usize,
    pub(super) overlay: String,
    pub(super) pins: Vec<Arc<Pin>>,
    pub(super) changed: Timestamp,
    pub(super) sites: Vec<Site>,
}

impl Spot {
    pub(super) fn version(&self) -> &Version {
        &self.pins[0].version
    }

    pub(super) fn ver(&self) -> Ver {
        Ver::of(self.version().tag.as_ref().unwrap())
    }
}

/// One pin goes from one version to another.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) spot: usize,
    pub(super) pin: usize,
    pub(super) from: Version,
    pub(super) to: Version,
}

/// A commit of the base branch.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) id: CommitId,
    pub(super) at: Timestamp,
    pub(super) message: String,
    /// Whether the bot made it, or its pull request.
    pub(super) bot: bool,
    pub(super) changes: Vec<Change>,
}

/// A branch of the bot.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) tip: CommitId,
    pub(super) made: Timestamp,
    pub(super) message: String,
    pub(super) changes: Vec<Change>,
    pub(super) updates: Vec<(usize, Version, UpdateId)>,
    pub(super) foreign: bool,
    /// Whether its tip is part of the base.
    pub(super) merged: bool,
}

/// Everything.
pub(super) struct World {
    pub(super) rules: &'static [Rules],
    pub(super) variation: usize,
    pub(super) now: Timestamp,
    pub(super) base: BranchName,
    pub(super) tip: CommitId,
    serial: u64,
    pub(super) spots: Vec<Spot>,
    pub(super) log: Vec<Commit>,
    pub(super) registries: Vec<Registry>,
    pub(super) branches: BTreeMap<BranchName, Branch>,
    pub(super) pulls: Vec<PullRequest>,
    /// Freezes and holds as they stand in the repository.
    pub(super) decisions: Vec<Decision>,
    pub(super) answers: Answers,
    pub(super) ledger: Ledger,
    pub(super) gathered: BTreeMap<UpdateId, crate::plan::Gathered>,
    /// Whether the clusters have been looked at since the bot began.
    pub(super) looked: bool,
    pub(super) memory: Memory,
    /// Whether what is planned is printed.
    pub(super) traced: bool,
}

impl World {
    pub(super) fn new(rules: &'static [Rules], (apps, copies, clusters): (usize, usize, usize)) -> Self {
        let now = "2026-03-02T07:00:00Z".parse().unwrap();
        let base = BranchName::parse("main").unwrap();
        let mut world = Self {
            rules,
            variation: 0,
            now,
            base,
            tip: CommitId::parse(&"0".repeat(40)).unwrap(),
            serial: 0,
            spots: Vec::new(),
            log: Vec::new(),
            registries: Vec::new(),
            branches: BTreeMap::new(),
            pulls: Vec::new(),
            decisions: Vec::new(),
            answers: Answers::default(),
            ledger: Ledger::default(),
            gathered: BTreeMap::new(),
            looked: true,
            memory: Memory::default(),
            traced: false,
        };
        for (app, short) in APPS.iter().take(apps).enumerate() {
            let name = ImageName::parse(&format!("ghcr.io/acme/{short}")).unwrap();
            world.registries.push(Registry { name, images: Vec::new(), up: true });
            let begun = now - minutes(3 * 1440);
            let images = [0, 1].map(|patch| world.image(Ver([1, 0, patch], Ver::RELEASE), begun));
            world.registries[app].images.extend(images);
            for environment in 0..ENVIRONMENTS.len() {
                let spot = world.spot(app, environment, copies, clusters, begun);
                world.spots.push(spot);
            }
            world.registry_changed(app);
        }
        (world.answers.open, world.answers.closed) = (Some(Answer::Known(Vec::new())), Some(Answer::Known(Vec::new())));
        world.answers.queue = Some(Answer::Absent { message: "no queue".to_owned() });
        for pin in world.spots.iter().flat_map(|spot| &spot.pins) {
            drop(world.answers.origins.insert(HistoryQuery::from(pin.as_ref()), Answer::Known(Origin::Older)));
        }
        for head in world.heads_of_all() {
            drop(world.answers.pulls.insert(head, Answer::Known(Vec::new())));
        }
        world
    }

    fn spot(&self, app: usize, environment: usize, copies: usize, clusters: usize, begun: Timestamp) -> Spot {
        let image = &self.registries[app].images[0];
        let overlay = format!("apps/{}/{}", APPS[app], ENVIRONMENTS[environment]);
        let version = Version { tag: Some(image.ver.tag()), digest: None };
        let pin = |copy: usize| {
            Arc::new(Pin {
                path: RepoPath::parse(&format!("{overlay}/{copy}.yaml")).unwrap(),
                line: 6,
                column: 12,
                kind: crate::overlay::pin_kind("container").unwrap(),
                document: 0,
                alias: None,
                key: "spec.containers[0].image".to_owned(),
                image: self.registries[app].name.to_string(),
                name: self.registries[app].name.clone(),
                version: version.clone(),
                location: PinLocation::Reference(Span { start: 0, end: 0 }),
            })
        };
        let site = |n: usize| Site {
            cluster: format!("{}-{n}", ENVIRONMENTS[environment]),
            seen: Seen::Well(begun),
            digest: Some(image.digest.clone()),
            before: Vec::new(),
            journal: vec![(begun, image.ver, Some(image.digest.clone()), true)],
        };
        Spot {
            app,
            environment,
            pins: (0..copies).map(pin).collect(),
            sites: (0..clusters).map(site).collect(),
            overlay,
            changed: begun,
        }
    }

    /// A new image, with a digest of its own.
    pub(super) fn image(&mut self, ver: Ver, pushed: Timestamp) -> Image {
        self.serial += 1;
        let digest = Digest::parse(&format!("sha256:{:064x}", self.serial)).unwrap();
        Image { ver, digest, pushed, deleted: false }
    }

    pub(super) fn commit_id(&mut self) -> CommitId {
        self.serial += 1;
        CommitId::parse(&format!("{:040x}", self.serial)).unwrap()
    }

    pub(super) fn rule(&self, spot: usize) -> &Rule {
        &self.rules[self.variation].of[self.spots[spot].environment]
    }

    /// The place of an app in an environment.
    pub(super) fn at(&self, app: usize, environment: usize) -> usize {
        app * ENVIRONMENTS.len() + environment
    }

    /// The branch of the pull request about a place.
    pub(super) fn head_of(&self, spot: usize) -> BranchName {
        let (group, name) = (self.rule(spot).one_group, ENVIRONMENTS[self.spots[spot].environment]);
        let group = if group { "all" } else { APPS[self.spots[spot].app] };
        head_branch(&self.base, name, Some(name), group).unwrap()
    }

    fn heads_of_all(&self) -> Vec<BranchName> {
        (0..self.spots.len()).map(|spot| self.head_of(spot)).collect()
    }

    /// The newest release of an app that is there.
    pub(super) fn newest(&self, app: usize) -> Option<Ver> {
        let there = self.registries[app].images.iter().filter(|image| !image.deleted && image.ver.is_release());
        there.map(|image| image.ver).max()
    }

    /// What a tag resolves to now.
    pub(super) fn served(&self, app: usize, ver: Ver) -> Option<&Image> {
        self.registries[app].images.iter().find(|image| image.ver == ver && !image.deleted)
    }

    /// Tells the bot what a registry says now.
    pub(super) fn registry_changed(&mut self, app: usize) {
        let Registry { name, images, up } = &self.registries[app];
        let failed = || ("the registry is down".to_owned(), FailureCode::Network);
        if !up {
            let last = self.answers.listings.get(name).and_then(|fact| fact.best()).cloned();
            let (message, code) = failed();
            drop(self.answers.listings.insert(name.clone(), Answer::Failed { message, code, last }));
        } else {
            let there = images.iter().filter(|image| !image.deleted);
            let tags: TagList = there.clone().map(|image| image.ver.tag()).collect();
            let mut pushed: Vec<_> = there.map(|image| (image.ver.tag().to_string(), image.pushed)).collect();
            pushed.sort();
            let listing = Listing { tags: Arc::new(tags.appearing(pushed)), dropped: 0, at: self.now };
            drop(self.answers.listings.insert(name.clone(), Answer::Known(listing)));
        }
        for image in images {
            let key = (name.clone(), image.ver.tag());
            let manifest = Manifest {
                digest: image.digest.clone(),
                images: Vec::new(),
                platforms: Vec::new(),
                created: Some(image.pushed),
                artifact: None,
                annotations: BTreeMap::new(),
            };
            let (message, code) = failed();
            let (digest, manifest) = match (up, image.deleted) {
                (false, _) => (
                    Answer::Failed { message: message.clone(), code, last: None },
                    Answer::Failed { message, code, last: None },
                ),
                (true, true) => {
                    let message = "404".to_owned();
                    (Answer::Absent { message: message.clone() }, Answer::Absent { message })
                }
                (true, false) => (Answer::Known(image.digest.clone()), Answer::Known(manifest)),
            };
            drop(self.answers.digests.insert(key.clone(), digest));
            self.answers.first_seen.insert((name.clone(), image.digest.clone()), image.pushed);
            drop(self.answers.manifests.insert(key.clone(), manifest));
            drop(self.answers.created.insert(key, Answer::Known(Some(image.pushed))));
        }
    }

    /// Tells the bot what the forge says now.
    pub(super) fn pulls_changed(&mut self) {
        for head in self.heads_of_all() {
            let own = self.pulls.iter().rev().filter(|pull| pull.head == head).cloned().collect();
            drop(self.answers.pulls.insert(head, Answer::Known(own)));
        }
        let closed = self.pulls.iter().rev().filter(|pull| pull.state == PullState::Closed);
        let closed: Vec<PullRequest> = closed.cloned().collect();
        for pull in &closed {
            // Nothing is renamed here, so that ids tell everything.
            let lines: Vec<String> = body_ids(&pull.body).iter().map(|id| format!("Landfall-Update: {id}")).collect();
            drop(self.answers.carried.insert(pull.number, Answer::Known(carried(&lines.join("\n")))));
        }
        self.answers.closed = Some(Answer::Known(closed));
        let open = self.pulls.iter().filter(|pull| pull.state == PullState::Open);
        self.answers.open = Some(Answer::Known(open.cloned().collect()));
    }

    /// Puts a commit on the base.
    pub(super) fn commit(&mut self, at: Timestamp, message: String, bot: bool, changes: Vec<Change>) {
        let id = self.commit_id();
        let writer = if update_ids(&message).is_empty() { Writer::Person } else { Writer::Bot };
        for change in &changes {
            let brought = Brought {
                commit: id.clone(),
                by: "Ada".to_owned(),
                at: self.now,
                before: Some(change.from.clone()),
                writer,
                former: Vec::new(),
                appeared: None,
            };
            let place = HistoryQuery::from(self.spots[change.spot].pins[change.pin].as_ref());
            drop(self.answers.origins.insert(place, Answer::Known(Origin::Commit(brought))));
            let spot = &mut self.spots[change.spot];
            let pin = Pin { version: change.to.clone(), ..Pin::clone(&spot.pins[change.pin]) };
            spot.pins[change.pin] = Arc::new(pin);
            if change.pin == 0 {
                spot.changed = self.now;
                let ver = spot.ver();
                for site in &mut spot.sites {
                    site.moves(&change.from, ver, self.now);
                }
            }
        }
        self.tip = id.clone();
        self.ledger.record_unproven(&id, at, &message);
        self.log.push(Commit { id, at, message, bot, changes });
    }

    /// A cluster reports something new about what is declared.
    pub(super) fn report(&mut self, spot: usize, site: usize, well: bool, silent: bool) {
        let Spot { app, .. } = self.spots[spot];
        let (version, ver) = (self.spots[spot].version().clone(), self.spots[spot].ver());
        let served = self.served(app, ver).map(|image| image.digest.clone());
        let site = &mut self.spots[spot].sites[site];
        let digest = version.digest.clone().or_else(|| site.digest.clone()).or(served);
        match (silent, digest.filter(|_| well)) {
            (true, _) => site.ends(&version, ver, self.now, Seen::Silent),
            (false, None) => site.ends(&version, ver, self.now, Seen::Failing),
            (false, Some(_)) if matches!(site.seen, Seen::Well(_)) => {}
            (false, Some(digest)) => {
                site.seen = Seen::Well(self.now);
                site.digest = Some(digest.clone());
                site.journal.push((self.now, ver, Some(digest), true));
            }
        }
    }
}

impl Site {
    /// Another version is declared.
    fn moves(&mut self, from: &Version, to: Ver, now: Timestamp) {
        self.ends(from, to, now, Seen::Moving);
        self.digest = None;
    }

    /// A good time, where there is one, is over.
    fn ends(&mut self, version: &Version, ver: Ver, now: Timestamp, seen: Seen) {
        if let (Seen::Well(from), Some(digest)) = (self.seen, &self.digest) {
            self.before.push(Good { version: version.clone(), digest: digest.clone(), from, until: now });
        }
        self.seen = seen;
        self.journal.push((now, ver, None, false));
    }
}
