//! The decisions as tables, and replicas in a world of their own: an API server that compares versions, and clocks that
//! have nothing to do with each other.

use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const LEASE: Duration = Duration::from_secs(15);

fn units(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn held(name: &str, by: &str, renewed: u32) -> Lease {
    Lease {
        name: name.to_owned(),
        version: Some(renewed.to_string()),
        holder: Some(by.to_owned()).filter(|by| !by.is_empty()),
        duration: LEASE,
        renewed: Some(renewed.to_string()),
        ..Lease::default()
    }
}

#[test]
fn a_lease_may_be_taken_once_it_was_seen_unchanged_for_its_time() {
    // What was listed and when; then how it stands at a time.
    let theirs = || LeaseStanding::Theirs { by: "b".to_owned() };
    let lapsed = |since| LeaseStanding::Lapsed { by: "b".to_owned(), since: secs(since) };
    type Listed = Vec<(u64, Option<(&'static str, u32)>)>;
    let cases: Vec<(Listed, u64, LeaseStanding)> = vec![
        (vec![(3, None)], 9, LeaseStanding::Free { since: secs(3) }),
        (vec![(3, Some(("", 1)))], 9, LeaseStanding::Free { since: secs(3) }),
        (vec![(3, Some(("a", 1)))], 900, LeaseStanding::Mine),
        // However old it is when it is first seen, its holder gets the whole time.
        (vec![(3, Some(("b", 1)))], 17, theirs()),
        (vec![(3, Some(("b", 1)))], 18, lapsed(18)),
        (vec![(3, Some(("b", 1))), (17, Some(("b", 1)))], 18, lapsed(18)),
        (vec![(3, Some(("b", 1))), (17, Some(("b", 2)))], 31, theirs()),
        (vec![(3, Some(("b", 1))), (17, Some(("c", 1)))], 31, LeaseStanding::Theirs { by: "c".to_owned() }),
        // It was deleted and made again.
        (vec![(3, Some(("b", 1))), (4, None), (17, Some(("b", 1)))], 31, theirs()),
    ];
    for (listed, at, expected) in cases {
        let mut election = Election::new("a", LEASE, units(&["x"]));
        for (seen, lease) in &listed {
            election.observe(lease.map(|(by, renewed)| held("x", by, renewed)).into_iter().collect(), secs(*seen));
        }
        assert_eq!(election.standing("x", secs(at)), expected, "{listed:?} at {at}");
    }
}

#[test]
fn the_time_in_a_lease_is_its_holders_and_bounded() {
    for (duration, lapses) in [(5, 5), (60, 60), (0, 5), (86_400, 600)] {
        let mut election = Election::new("a", LEASE, units(&["x"]));
        election.observe(vec![Lease { duration: secs(duration), ..held("x", "b", 1) }], secs(0));
        let stands = |at| matches!(election.standing("x", at), LeaseStanding::Theirs { .. });
        assert!(stands(secs(lapses) - Duration::from_millis(1)) && !stands(secs(lapses)), "{duration}");
    }
}

/// The slots of these replicas, wanting what the election wants.
fn slots(election: &Election, names: &[&str]) -> Vec<Lease> {
    let slot = |(number, name): (u32, &&str)| Lease {
        annotations: [(WANTS.to_owned(), election.wants().to_owned())].into(),
        ..held(&slot_lease(number), name, 1)
    };
    (0..).zip(names).map(slot).collect()
}

#[test]
fn what_to_do_follows_from_who_is_alive_and_who_holds_what() {
    let (renew, take, leave) = (
        |n: &str| LeaseStep::Renew(n.to_owned()),
        |n: &str| LeaseStep::Take(n.to_owned()),
        |n: &str| LeaseStep::HandOver(n.to_owned()),
    );
    let all = ["p", "q", "r"];
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str], Vec<LeaseStep>);
    let cases: Vec<Case<'_>> = vec![
        (&["a"], &[], &[], vec![take("p"), take("q"), take("r")]),
        // Two from each: the first begins with the first, the second elsewhere.
        (&["a", "b"], &[], &[], vec![take("p"), take("q")]),
        (&["0", "a"], &[], &[], vec![take("r"), take("p")]),
        (&["a", "b"], &[("p", "a"), ("q", "b"), ("r", "b")], &[], vec![renew("p")]),
        (&["a", "b"], &[("p", "a"), ("q", ""), ("r", "b")], &[], vec![renew("p"), take("q")]),
        // It has its share: the other one will take it.
        (&["a", "b"], &[("p", "a"), ("q", "a"), ("r", "")], &[], vec![renew("p"), renew("q")]),
        // One more than its share: one that no cycle uses is handed over, and one only.
        (&["a", "b"], &[("p", "a"), ("q", "a"), ("r", "a")], &[], vec![renew("p"), renew("q"), leave("r")]),
        (&["a", "b", "c"], &[("p", "a"), ("q", "a"), ("r", "a")], &["r"], vec![renew("p"), leave("q"), renew("r")]),
        (&["a", "b"], &[("p", "a"), ("q", "a"), ("r", "a")], &all, vec![renew("p"), renew("q"), renew("r")]),
        (&["a"], &[("p", "a"), ("q", "a"), ("r", "a")], &[], vec![renew("p"), renew("q"), renew("r")]),
    ];
    for (alive, leases, busy, expected) in cases {
        let mut election = Election::new("a", LEASE, units(&all));
        let listed = |renewed: u32| {
            let slots = slots(&election, alive).into_iter();
            let slots = slots.map(|slot| Lease { renewed: Some(renewed.to_string()), ..slot });
            let held = leases.iter().map(|(name, by)| held(name, by, if by.is_empty() { 0 } else { renewed }));
            slots.chain(held).collect::<Vec<_>>()
        };
        let (first, later) = (listed(1), listed(2));
        election.observe(first, secs(0));
        election.observe(later, secs(15));
        let mut steps = election.steps(secs(15), &units(busy));
        assert!(matches!(steps.remove(0), LeaseStep::Renew(slot) if slot_of(&slot).is_some()), "{alive:?}");
        assert_eq!(steps, expected, "{alive:?} {leases:?} {busy:?}");
    }
}

#[test]
fn who_has_just_come_looks_around_first_and_hands_nothing_over_while_others_come_and_go() {
    let mut election = Election::new("a", LEASE, units(&["p", "q"]));
    election.observe(Vec::new(), secs(0));
    assert_eq!(election.steps(secs(0), &BTreeSet::new()), [LeaseStep::Take("landfall-replica-0".to_owned())]);
    election.observe(slots(&election, &["a"]), secs(1));
    assert_eq!(election.steps(secs(2), &BTreeSet::new()).len(), 1);
    assert_eq!(election.steps(secs(5), &BTreeSet::new()).len(), 3);
    let both = || vec![held("p", "a", 1), held("q", "a", 1)];
    election.observe(slots(&election, &["a", "b"]).into_iter().chain(both()).collect(), secs(20));
    let hands_over = |election: &Election, at| {
        election.steps(secs(at), &BTreeSet::new()).iter().any(|step| matches!(step, LeaseStep::HandOver(_)))
    };
    assert!(!hands_over(&election, 34), "b has only just come");
    let slots_of_both = slots(&election, &["a", "b"]).into_iter().map(|slot| Lease { renewed: None, ..slot });
    election.observe(slots_of_both.chain(both()).collect(), secs(34));
    assert!(hands_over(&election, 35));
}

#[test]
fn a_free_slot_is_used_again_before_another_one_is_made() {
    let take = |names: &[&str]| {
        let mut election = Election::new("a", LEASE, BTreeSet::new());
        election.observe(slots(&election, names), secs(0));
        election.steps(secs(1), &BTreeSet::new())
    };
    for (names, expected) in [(&["b", "", "c"][..], 1), (&["b", "c"], 2), (&[], 0)] {
        assert_eq!(take(names), [LeaseStep::Take(slot_lease(expected))], "{names:?}");
    }
}

#[test]
fn what_nobody_takes_is_taken_beyond_the_share_and_another_configuration_does_not_count() {
    let mut election = Election::new("a", LEASE, units(&["p", "q"]));
    let listed = |election: &Election, renewed: u32| {
        let mut slots = slots(election, &["a", "b"]);
        slots.iter_mut().for_each(|slot| slot.renewed = Some(renewed.to_string()));
        slots.push(held("p", "a", renewed));
        slots
    };
    for at in 0..30 {
        election.observe(listed(&election, at), secs(at.into()));
        assert!(!election.steps(secs(at.into()), &BTreeSet::new()).contains(&LeaseStep::Take("q".to_owned())), "{at}");
    }
    election.observe(listed(&election, 30), secs(30));
    assert!(election.steps(secs(30), &BTreeSet::new()).contains(&LeaseStep::Take("q".to_owned())));
    // A replica that is configured with other repositories will not take it, and is not waited for.
    let mut election = Election::new("a", LEASE, units(&["p", "q"]));
    let mut other = listed(&election, 1);
    other[1].annotations.insert(WANTS.to_owned(), "others".to_owned());
    election.observe(other.clone(), secs(0));
    assert!(election.steps(secs(5), &BTreeSet::new()).contains(&LeaseStep::Take("q".to_owned())));
}

#[test]
fn names_are_those_of_kubernetes_and_differ_where_the_repository_does() {
    let names = [
        repository_lease("deploys", "https://git.example.com/a"),
        repository_lease("deploys", "https://git.example.com/b"),
        repository_lease("Deploys", "https://git.example.com/a"),
        repository_lease("", ""),
        repository_lease("ä/…--", "x"),
        repository_lease(&"Very_Long.".repeat(30), "x"),
    ];
    for name in &names {
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.len() <= 63 && name.chars().all(valid) && !name.ends_with('-'), "{name}");
        assert_eq!(slot_of(name), None);
    }
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert_eq!(names[0], repository_lease("deploys", "https://git.example.com/a"), "the same in every process");
    assert!(names[0].starts_with("landfall-repository-deploys-"), "{}", names[0]);
    assert_eq!(slot_of(&slot_lease(7)), Some(7));
}

/// An API server that takes a change only of the newest version.
#[derive(Default)]
struct Server {
    leases: BTreeMap<String, Lease>,
    versions: u32,
}

impl Server {
    fn put(&mut self, lease: Lease) -> Option<Lease> {
        if self.leases.get(&lease.name).map(|there| there.version.clone())
            != lease.version.is_some().then(|| lease.version.clone())
        {
            return None;
        }
        self.versions += 1;
        let lease = Lease { version: Some(self.versions.to_string()), ..lease };
        self.leases.insert(lease.name.clone(), lease.clone());
        Some(lease)
    }
}

/// A replica with a clock of its own.
struct Replica {
    election: Election,
    behind: Duration,
    /// Until when it may write under each Lease, by everybody's true time.
    until: BTreeMap<String, Duration>,
    frozen: bool,
    /// What it decided before it was frozen, and does when it goes on.
    undone: Vec<LeaseStep>,
}

impl Replica {
    fn new(name: &str, behind: u64, all: &[&str]) -> Self {
        let election = Election::new(name, LEASE, units(all));
        Self { election, behind: secs(behind), until: BTreeMap::new(), frozen: false, undone: Vec::new() }
    }

    fn look(&mut self, server: &Server, now: Duration) {
        self.election.observe(server.leases.values().cloned().collect(), now + self.behind);
        self.undone = self.election.steps(now + self.behind, &BTreeSet::new());
    }

    fn act(&mut self, server: &mut Server, now: Duration) {
        for step in std::mem::take(&mut self.undone) {
            let (name, holder) = match step {
                LeaseStep::Renew(name) | LeaseStep::Take(name) => (name, Some(self.election.identity.clone())),
                LeaseStep::HandOver(name) => (name, None),
            };
            let before = self.election.lease(&name);
            let transitions = before.transitions + u32::from(before.holder != holder);
            let annotations = [(WANTS.to_owned(), self.election.wants().to_owned())].into();
            let renewed = Some(server.versions.to_string());
            let lease = Lease { holder: holder.clone(), duration: LEASE, transitions, annotations, renewed, ..before };
            let Some(written) = server.put(lease) else { continue };
            match holder {
                Some(_) => self.until.insert(name, now + LEASE),
                None => self.until.remove(&name),
            };
            self.election.wrote(written, now + self.behind);
        }
    }

    fn holds(&self, name: &str, now: Duration) -> bool {
        self.until.get(name).is_some_and(|until| now < *until)
    }
}

const NAMES: [&str; 5] = ["p", "q", "r", "s", "t"];

#[test]
fn replicas_that_are_frozen_killed_and_late_never_hold_the_same_repository_at_once() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut server = Server::default();
        let mut replicas: Vec<Replica> =
            (0..3).map(|n| Replica::new(&format!("replica-{n}"), n * 1000, &NAMES)).collect();
        for tick in 0..600 {
            let now = secs(tick);
            for replica in &mut replicas {
                if random.u32(..40) == 0 {
                    replica.frozen = !replica.frozen;
                }
                // What one process has decided, another may overtake before it is done.
                match random.u32(..3) {
                    _ if replica.frozen => {}
                    0 => replica.look(&server, now),
                    _ => replica.act(&mut server, now),
                }
            }
            for name in NAMES {
                let holders = replicas.iter().filter(|replica| replica.holds(name, now)).count();
                assert!(holders <= 1, "seed {seed} at {tick}: {name} has {holders}");
            }
        }
        assert!(server.leases.keys().filter(|name| slot_of(name).is_some()).count() <= 4, "slots are used again");
    }
}

#[test]
fn work_is_spread_stays_where_it_is_and_a_dead_replica_is_followed_within_the_lease() {
    let (mut server, mut replicas) =
        (Server::default(), vec![Replica::new("one", 7, &NAMES), Replica::new("two", 0, &NAMES)]);
    let spread = |replicas: &[Replica], now| {
        replicas.iter().map(|replica| NAMES.iter().filter(|name| replica.holds(name, now)).count()).collect::<Vec<_>>()
    };
    let mut run = |replicas: &mut Vec<Replica>, ticks: std::ops::Range<u64>| {
        for tick in ticks {
            for replica in replicas.iter_mut().filter(|replica| !replica.frozen) {
                replica.look(&server, secs(tick));
                replica.act(&mut server, secs(tick));
            }
        }
        server.leases.values().map(|lease| lease.transitions).sum::<u32>()
    };
    let begun = run(&mut replicas, 0..20);
    assert_eq!(spread(&replicas, secs(20)), [3, 2]);
    assert_eq!(run(&mut replicas, 20..200), begun, "nothing changes hands without a reason");
    replicas.push(Replica::new("three", 99, &NAMES));
    run(&mut replicas, 200..260);
    let mut even = spread(&replicas, secs(260));
    even.sort_unstable();
    assert_eq!(even, [1, 2, 2]);
    let settled = run(&mut replicas, 260..400);
    assert_eq!(run(&mut replicas, 400..500), settled);
    replicas[0].frozen = true;
    run(&mut replicas, 500..517);
    assert_eq!(spread(&replicas, secs(517))[1..].iter().sum::<usize>(), NAMES.len(), "all are held again");
}
