//! Rates, bursts and storms.

use super::*;

const APPS: [(&str, &str); 3] = [
    ("apps/a/dev/pod.yaml", "acme/web:1.0.0"),
    ("apps/b/dev/pod.yaml", "acme/web:1.0.0"),
    ("apps/c/dev/pod.yaml", "acme/web:1.0.0"),
];

fn world(gate: &str) -> World {
    let policies = POLICIES.replacen("write: commit", &format!("write: commit\n    {gate}"), 1);
    World::new(&policies, &APPS).tags("acme/web", &["1.0.0", "1.1.0"])
}

fn done(world: &World, overlay: &str, at: i64) -> (Timestamp, String) {
    let message = format!(
        "x\n\nLandfall-Update: {}\nLandfall-Image: docker.io/acme/web\nLandfall-Overlay: {overlay}\nLandfall-Environment: dev\n",
        UpdateId::of(
            &world.branch,
            overlay,
            "dev",
            &name("acme/web"),
            &Version { tag: Some(tag(&format!("0.{at}"))), digest: None }
        )
    );
    (world.now - SignedDuration::from_mins(at), message)
}

#[test]
fn a_rate_counts_what_was_done_in_its_time() {
    let mut world = world("rate: { updates: 2, per: 1h }");
    let plan = world.complete();
    assert_eq!(plan.actions[0].updates.len(), 2);
    assert_eq!((plan.holds.len(), plan.holds[0].gate), (1, Gate::Rate));
    assert_eq!(plan.holds[0].until, Some(world.now + SignedDuration::from_hours(1)));

    let (at, message) = done(&world, "apps/z/dev", 30);
    world.ledger.record_unproven(&commit(5), at, &message);
    let (long_ago, message) = done(&world, "apps/z/dev", 90);
    world.ledger.record_unproven(&commit(6), long_ago, &message);
    let plan = world.complete();
    assert_eq!((plan.actions[0].updates.len(), plan.holds.len()), (1, 2));
    assert_eq!(plan.holds[0].until, Some(world.now + SignedDuration::from_mins(30)), "{}", plan.holds[0].reason);
    // A merge may bring a commit that is older than all that, after it.
    let (days_ago, message) = done(&world, "apps/y/dev", 3 * 1440);
    world.ledger.record_unproven(&commit(8), days_ago, &message);
    assert_eq!(world.complete().actions[0].updates.len(), 1);
    // One that the server refused has no claim on the only turn.
    let refused = BTreeSet::from([self::world("").id("acme/web", "apps/a/dev", "1.1.0")]);
    let planned = crate::plan::plan(&Snapshot { failed: Some(&refused), ..world.snapshot() });
    assert_eq!(planned.plan.actions[0].updates[0].overlay, "apps/b/dev");
    // What a clock ahead of ours made counts as made now, not as never.
    let mut ahead = self::world("rate: { updates: 1, per: 1h }");
    let (_, message) = done(&ahead, "apps/z/dev", 1);
    ahead.ledger.record_unproven(&commit(7), ahead.now + SignedDuration::from_hours(5), &message);
    assert!(ahead.complete().actions.is_empty());
    // A time in years is none, and spends nothing for ever.
    let mut never = self::world("rate: { updates: 1, per: 1h }");
    never.ledger.record_unproven(&commit(7), never.now + SignedDuration::from_hours(9_000), &message);
    assert_eq!(never.complete().actions[0].updates.len(), 1);
}

#[test]
fn a_branch_without_a_pull_request_counts_for_no_limit() {
    let mut world = world("rate: { updates: 1, per: 1h }");
    let carries = crate::plan::carried(&done(&world, "apps/z/dev", 5).1);
    let updates: Vec<UpdateId> = carries.iter().map(|update| update.id.clone()).collect();
    assert_eq!(updates.len(), 1);
    let since = Some(world.now - SignedDuration::from_mins(5));
    let head = Head { updates, carries, since, made: since, ..Head::merged(&commit(9)) };
    drop(world.heads.insert("landfall/zz".to_owned(), head));
    for (open, counts) in [(Vec::new(), false), (vec!["landfall/other"], false), (vec!["landfall/zz"], true)] {
        let pull = |head: &&str| super::pull(1, PullState::Open, &BranchName::parse(head).unwrap(), &[]);
        let open = open.iter().map(pull).collect();
        world.answers.open = Some(crate::model::Answer::Known(open));
        let plan = crate::plan::plan(&world.snapshot()).plan;
        assert_eq!(plan.actions.is_empty(), counts, "{:?}", plan.holds);
    }
    // Before that is known, and where the forge does not say, it counts.
    world.answers.open = None;
    let planned = crate::plan::plan(&world.snapshot());
    assert!(planned.plan.actions.is_empty() && planned.queries.forge.contains(&crate::plan::ForgeQuery::Open));
}

#[test]
fn a_burst_is_gathered_and_a_stream_does_not_delay_it_for_ever() {
    let world = world("debounce: 30s");
    let ids: Vec<UpdateId> =
        APPS.iter().map(|(path, _)| world.id("acme/web", path.trim_end_matches("/pod.yaml"), "1.1.0")).collect();
    let first = |seconds: [i64; 3]| -> BTreeMap<UpdateId, Gathered> {
        let at = |ago| {
            let at = world.now - SignedDuration::from_secs(ago);
            Gathered { at, first: at }
        };
        ids.iter().cloned().zip(seconds.map(at)).collect()
    };
    for (seconds, held) in
        [([0, 0, 0], true), ([29, 29, 29], true), ([30, 30, 30], false), ([100, 60, 5], true), ([150, 60, 5], false)]
    {
        let gathered = first(seconds);
        let planned = plan(&Snapshot { gathered: Some(&gathered), ..world.snapshot() });
        assert_eq!(planned.plan.actions.is_empty(), held, "{seconds:?}");
        assert_eq!(planned.plan.holds.len(), if held { 3 } else { 0 }, "{seconds:?}: all of them or none");
    }
    // A tag every few seconds takes the place of the one before, and the place has waited long enough.
    let stream = |first: i64| {
        let at = world.now - SignedDuration::from_secs(1);
        let first = world.now - SignedDuration::from_secs(first);
        ids.iter().cloned().map(|id| (id, Gathered { at, first })).collect::<BTreeMap<_, _>>()
    };
    for (first, held) in [(149, true), (150, false)] {
        let planned = plan(&Snapshot { gathered: Some(&stream(first)), ..world.snapshot() });
        assert_eq!(planned.plan.actions.is_empty(), held, "{first}");
    }
    assert_eq!(world.complete().holds.len(), 0, "one cycle alone does not wait");
}

/// A tag that is pushed again and again: the same one, on another digest each time.
fn again(world: &World, minute: i64) -> (Timestamp, String) {
    let (at, message) = done(world, "apps/a/dev", minute);
    let digest = format!("{minute:02}").repeat(32);
    (at, format!("{message}Landfall-To: stable@sha256:{digest}\n"))
}

#[test]
fn a_storm_is_stopped_and_told() {
    let mut world = world("landWithin: 1h");
    for minute in [58, 50, 40, 30, 20, 10] {
        let (at, message) = again(&world, minute);
        world.ledger.record_unproven(&commit(5), at, &message);
    }
    assert_eq!(world.complete().holds.len(), 0);
    let (at, message) = again(&world, 5);
    world.ledger.record_unproven(&commit(6), at, &message);
    let plan = world.complete();
    assert_eq!((plan.holds.len(), plan.holds[0].attention), (1, Attention::Incident));
    assert!(plan.holds[0].reason.contains("6 times within an hour"), "{}", plan.holds[0].reason);
    assert_eq!(plan.actions[0].updates.len(), 2, "the others go on");
}

#[test]
fn many_new_versions_are_no_storm() {
    let mut world = world("landWithin: 1h");
    for minute in 1..59 {
        let (at, message) = done(&world, "apps/a/dev", minute);
        world.ledger.record_unproven(&commit(5), at, &format!("{message}Landfall-To: 0.{}\n", 60 - minute));
    }
    assert_eq!(world.complete().holds.len(), 0);
}

#[test]
fn a_branch_that_is_brought_up_to_date_takes_no_turn_again() {
    let policies = POLICIES.replace("pullRequest: {", "rate: { updates: 1, per: 1h }\n    pullRequest: {");
    let files = [("apps/a/prod/p.yaml", "acme/web:1.0.0"), ("apps/b/prod/p.yaml", "acme/web:1.0.0")];
    for (proposed, expected) in [(2, &["b 1.1.0"][..]), (0, &[])] {
        let mut world = World::new(&policies, &files).tags("acme/web", &["1.0.0", "1.1.0"]);
        let id = world.id("acme/web", "apps/a/prod", "1.1.0");
        let of_a = head_branch(&world.branch, "prod", Some("prod"), "a").unwrap();
        world.answers.open = Some(Answer::Known(vec![pull(1, PullState::Open, &of_a, &[&id])]));
        for app in ["a", "b"] {
            let head = head_branch(&world.branch, "prod", Some("prod"), app).unwrap();
            let open = (app == "a").then(|| pull(1, PullState::Open, &head, &[&id]));
            drop(world.answers.pulls.insert(head.clone(), Answer::Known(open.into_iter().collect())));
            if app == "a" {
                let message = format!(
                    "Landfall-Update: {id}\nLandfall-Image: docker.io/acme/web\nLandfall-Overlay: apps/a/prod\nLandfall-To: 1.1.0\nLandfall-Policy: prod\nLandfall-Environment: prod\n"
                );
                let head_of_a = Head {
                    carries: carried(&message),
                    made: Some(world.now),
                    since: Some(world.now - SignedDuration::from_hours(proposed)),
                    ..branch(vec![id.clone()], None)
                };
                drop(world.heads.insert(head.to_string(), head_of_a));
            }
        }
        assert_eq!(targets(&world.complete()), expected, "proposed {proposed} hours ago");
    }
}

#[test]
fn what_a_person_has_answered_takes_nobody_elses_turn() {
    let policies =
        POLICIES.replace("pullRequest: {", "rate: { updates: 1, per: 1h }\n    debounce: 5m\n    pullRequest: {");
    let files = [("apps/a/prod/p.yaml", "acme/web:1.0.0"), ("apps/b/prod/p.yaml", "acme/web:1.0.0")];
    let mut world = World::new(&policies, &files).tags("acme/web", &["1.0.0", "1.1.0"]);
    let id = world.id("acme/web", "apps/a/prod", "1.1.0");
    for app in ["a", "b"] {
        let head = head_branch(&world.branch, "prod", Some("prod"), app).unwrap();
        let closed = (app == "a").then(|| pull(1, PullState::Closed, &head, &[&id]));
        drop(world.answers.pulls.insert(head, Answer::Known(closed.into_iter().collect())));
    }
    let plan = world.complete();
    assert_eq!((plan.holds.len(), plan.holds[0].gate), (1, Gate::Hold));
    assert_eq!(targets(&plan), ["b 1.1.0"]);
    // Nor is it gathered: its reason stays the same from cycle to cycle.
    let planned = crate::plan::plan(&Snapshot { gathered: Some(&BTreeMap::new()), ..world.snapshot() });
    let gates: Vec<Gate> = planned.plan.holds.iter().map(|hold| hold.gate).collect();
    assert_eq!(gates, [Gate::Hold, Gate::Rate]);
}
