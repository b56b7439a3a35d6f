//! What a plan costs: `cargo bench --bench plan`.
//!
//! 5,000 overlays (1,250 apps in four environments), and four times as many, under windows, ages, platforms, rates,
//! promotions with waves, freezes and holds, with every fact there. The limit of the design is 200 ms for one plan of 5,000
//! overlays. Each figure is the median of eleven runs, and in brackets least to greatest.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and a bench that fails may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use landfall::config::parse_policies;
use landfall::message::commit_message;
use landfall::model::{
    About, Answer, BranchName, CommitId, Decision, Digest, Held, ImageName, Listing, Manifest, MissingKeys, Pin,
    PinLocation, RepoPath, Span, Tag, TagList, UpdateId, Version,
};
use landfall::plan::{
    Answers, CommitProof, Decisions, HistoryQuery, Ledger, MovedPin, Origin, Plan, ReleaseAuthority, Snapshot,
    SoakHealth, SoakState, SoakStates, head_branch, plan,
};
use landfall::policy::PolicySet;

const APPS: [usize; 2] = [1_250, 5_000];
const ENVIRONMENTS: [&str; 4] = ["dev", "staging", "prod-eu", "prod-us"];
/// Tags of each image.
const TAGS: usize = 20;
const RUNS: usize = 11;

const POLICIES: &str = r#"
policies:
  - name: dev
    paths: ["apps/{app}/overlays/dev/**"]
    environment: dev
    write: commit
    tags: { semver: "*", platforms: [linux/amd64, linux/arm64] }
    landWithin: 10m
  - name: staging
    paths: ["apps/{app}/overlays/staging/**"]
    environment: staging
    write: commit
    tags: { semver: "*" }
    promoteFrom: { environment: dev, soakTime: 1h }
    debounce: 1m
  - name: prod
    paths: ["apps/{app}/overlays/prod-{region}/**"]
    write: pull-request
    tags: { semver: "*" }
    minimumReleaseAge: 1d
    windows:
      - { cron: "0 9 * * 1-5", duration: 8h, timeZone: Europe/Berlin }
      - { kind: deny, cron: "0 12 * * *", duration: 1h, timeZone: Europe/Berlin }
    rate: { updates: 50, per: 1h }
    pullRequest: { group: "{app}", reviewers: [acme/sre], labels: [release] }
  - name: prod-eu
    paths: ["apps/{app}/overlays/prod-eu/**"]
    environment: prod-eu
    promoteFrom: { environment: staging, soakTime: 24h }
  - name: prod-us
    paths: ["apps/{app}/overlays/prod-us/**"]
    environment: prod-us
    promoteFrom: { environment: staging, soakTime: 24h, after: [prod-eu], afterSoakTime: 2h }
"#;

/// What there is to do.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Everything is as new as it can be.
    Quiet,
    /// Every app has a newer version one environment further up.
    Busy,
}

struct World {
    branch: BranchName,
    revision: CommitId,
    policies: PolicySet,
    pins: Vec<Arc<Pin>>,
    answers: Answers,
    ledger: Ledger,
    soaks: SoakStates,
    decisions: Decisions,
    gathered: BTreeMap<UpdateId, landfall::plan::Gathered>,
    now: Timestamp,
}

fn main() {
    for (apps, state) in APPS.into_iter().flat_map(|apps| [(apps, State::Quiet), (apps, State::Busy)]) {
        let world = World::new(apps, state);
        let plan = world.plan();
        let updates: usize = plan.actions.iter().map(|action| action.updates.len()).sum();
        println!(
            "{state:?}: {} pins; {updates} updates in {} actions, {} holds, {} up to date, {} problems",
            world.pins.len(),
            plan.actions.len(),
            plan.holds.len(),
            plan.up_to_date,
            plan.problems.len()
        );
        let mut times: Vec<Duration> = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                let plan = world.plan();
                let took = start.elapsed();
                drop(plan);
                took
            })
            .collect();
        times.sort();
        println!("one plan: {:?} ({:?} to {:?})", times[RUNS / 2], times[0], times[RUNS - 1]);
    }
}

fn tag(patch: usize) -> Tag {
    Tag::parse(&format!("1.4.{patch}")).unwrap()
}

fn digest(app: usize, patch: usize) -> Digest {
    Digest::parse(&format!("sha256:{:064x}", app * 1_000 + patch)).unwrap()
}

fn overlay(app: usize, environment: &str) -> String {
    format!("apps/app-{app:04}/overlays/{environment}")
}

impl World {
    fn new(apps: usize, state: State) -> Self {
        // A Tuesday, within the windows.
        let now: Timestamp = "2026-03-03T09:30:00Z".parse().unwrap();
        let mut world = Self {
            branch: BranchName::parse("main").unwrap(),
            revision: CommitId::parse(&"a".repeat(40)).unwrap(),
            policies: PolicySet::new(parse_policies("policies.yaml", POLICIES).unwrap()),
            pins: Vec::new(),
            answers: Answers { closed: Some(Answer::Known(Vec::new())), ..Answers::default() },
            ledger: Ledger::default(),
            soaks: SoakStates::default(),
            decisions: decisions(now),
            gathered: BTreeMap::new(),
            now,
        };
        let mut soaks = Vec::new();
        for app in 0..apps {
            let name = ImageName::parse(&format!("registry.example.com/acme/app-{app:04}")).unwrap();
            world.listed(app, &name);
            for (at, environment) in ENVIRONMENTS.iter().enumerate() {
                let behind = match state {
                    State::Quiet => 0,
                    State::Busy => at + 1,
                };
                let version = Version { tag: Some(tag(TAGS - 1 - behind)), digest: None };
                let pin = pin(app, environment, &name, &version);
                drop(world.answers.origins.insert(HistoryQuery::from(&pin), Answer::Known(Origin::Older)));
                world.pins.push(Arc::new(pin));
                soaks.extend(standing(app, environment, &name, &version, now));
                let head = head_branch(&world.branch, "prod", Some(environment), &format!("app-{app:04}"));
                drop(world.answers.pulls.insert(head.unwrap(), Answer::Known(Vec::new())));
            }
        }
        world.pins.sort_by(|a, b| a.path.cmp(&b.path));
        world.soaks = SoakStates::new(soaks, now);
        world.remember();
        world
    }

    /// A registry's answers about one image.
    fn listed(&mut self, app: usize, name: &ImageName) {
        let born = |patch: usize| self.now - SignedDuration::from_hours(72 - i64::try_from(patch).unwrap());
        let tags: TagList = (0..TAGS).map(tag).collect();
        let mut appeared: Vec<_> = (0..TAGS).map(|patch| (tag(patch).to_string(), born(patch))).collect();
        appeared.sort();
        let listing = Listing { tags: Arc::new(tags.appearing(appeared)), dropped: 0, at: self.now };
        drop(self.answers.listings.insert(name.clone(), Answer::Known(listing)));
        for patch in 0..TAGS {
            let key = (name.clone(), tag(patch));
            let manifest = Manifest {
                digest: digest(app, patch),
                images: Vec::new(),
                platforms: vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()],
                created: Some(born(patch)),
                artifact: None,
                annotations: BTreeMap::new(),
            };
            self.answers.first_seen.insert((name.clone(), manifest.digest.clone()), born(patch));
            drop(self.answers.digests.insert(key.clone(), Answer::Known(manifest.digest.clone())));
            drop(self.answers.manifests.insert(key, Answer::Known(manifest)));
        }
    }

    /// A history in which the bot has done things like these before.
    fn remember(&mut self) {
        let plan = self.plan();
        for action in &plan.actions {
            let mut updates = action.updates.clone();
            for update in &mut updates {
                // Another version than the one that is planned now.
                let scope = update.environment.as_ref().unwrap_or(&update.policy);
                update.id = UpdateId::of(&self.branch, &update.overlay, scope, &update.name, &update.from);
            }
            let message = commit_message(&action.policy, action.environment.as_deref(), &updates);
            let pins = updates.iter().flat_map(|update| update.pins.iter().map(move |pin| (update, pin)));
            let moved = pins.map(|(update, pin)| MovedPin {
                path: pin.path.clone(),
                name: pin.name.clone(),
                from: None,
                to: update.from.clone(),
            });
            let proof = CommitProof { moved: moved.collect(), releases: ReleaseAuthority::Nobody };
            let at = self.now - SignedDuration::from_hours(30);
            self.ledger.record(&self.branch, &self.revision, (at, &message), &proof);
        }
    }

    fn plan(&self) -> Plan {
        let planned = plan(&Snapshot {
            repository: "deploys",
            skipped: &[],
            branch: &self.branch,
            revision: &self.revision,
            main: &self.branch,
            rules: &self.revision,
            pins: &self.pins,
            policies: &self.policies,
            answers: &self.answers,
            ledger: &self.ledger,
            refs: &BTreeMap::new(),
            heads: &BTreeMap::new(),
            soaks: &self.soaks,
            decisions: &self.decisions,
            request: None,
            gathered: Some(&self.gathered),
            failed: None,
            tags: None,
            filter_time: None,
            now: self.now,
        });
        assert!(planned.queries.is_empty(), "every answer is there, and it asks {:?}", planned.queries);
        planned.plan
    }
}

fn decisions(now: Timestamp) -> Decisions {
    let hold = |app: usize| Decision {
        file: format!(".landfall/holds/app-{app:04}.yaml"),
        about: About::Hold { of: Held::App(format!("app-{app:04}")), environment: None, version: None },
        reason: "load test".to_owned(),
        author: "Ada".to_owned(),
        since: now,
        until: Some(now + SignedDuration::from_hours(1)),
    };
    Decisions::new((0..20).map(|n| hold(n * 7)).collect(), Vec::new())
}

fn pin(app: usize, environment: &str, name: &ImageName, version: &Version) -> Pin {
    Pin {
        path: RepoPath::parse(&format!("{}/kustomization.yaml", overlay(app, environment))).unwrap(),
        line: 6,
        column: 12,
        kind: landfall::overlay::pin_kind("kustomize").unwrap(),
        document: 0,
        alias: None,
        key: "images[0].newTag".to_owned(),
        image: name.to_string(),
        name: name.clone(),
        version: version.clone(),
        location: PinLocation::Fields {
            name: None,
            tag: Some(Span { start: 80, end: 86 }),
            digest: None,
            missing: MissingKeys::KustomizeEntry,
        },
    }
}

/// One app in one environment, in two clusters.
fn standing(app: usize, environment: &str, name: &ImageName, version: &Version, now: Timestamp) -> Vec<SoakState> {
    let patch: usize = version.tag.as_ref().unwrap().as_str().trim_start_matches("1.4.").parse().unwrap();
    let since = now - SignedDuration::from_hours(if app.is_multiple_of(3) { 2 } else { 30 });
    let one = |cluster: usize| SoakState {
        repository: "deploys".to_owned(),
        app: format!("app-{app:04}"),
        environment: environment.to_owned(),
        overlay: overlay(app, environment),
        image: name.clone(),
        cluster: Some(format!("{environment}-{cluster}")),
        id: UpdateId::parse("0123456789abcdef").unwrap(),
        version: version.clone(),
        commit: None,
        committed: Some(since),
        anew: None,
        stand: SoakHealth::Healthy { since },
        digests: vec![digest(app, patch)],
        before: (1..4)
            .map(|back| landfall::plan::PastSoak {
                version: Version { tag: Some(tag(patch - back)), digest: None },
                from: since - SignedDuration::from_hours(i64::try_from(30 * back).unwrap()),
                until: since - SignedDuration::from_hours(i64::try_from(30 * back - 28).unwrap()),
                commit: None,
                digests: vec![digest(app, patch - back)],
                end: landfall::plan::SoakEnd::MadeRoom,
            })
            .collect(),
    };
    vec![one(0), one(1)]
}
