//! Tags that are pushed again as another image, under each rule.

use super::*;

const RULE: &str = "write: commit\n    onRetag: ";

/// A world in which the written tag was recorded as one image and stands for another.
fn world(image: &str, rule: &str) -> World {
    let policies = POLICIES.replacen("write: commit", &format!("{RULE}{rule}"), 1);
    let mut world = World::new(&policies, &[("apps/web/dev/pod.yaml", image)]).tags("acme/web", &["1.0.0"]);
    let record = TagRecord { digest: digest(1), seen: world.now - SignedDuration::from_hours(9), again: Vec::new() };
    world.tags = TagRecords::from([(name("acme/web"), [(tag("1.0.0"), record)].into())]);
    world
}

fn written(seed: u8) -> String {
    format!("acme/web:1.0.0@{}", digest(seed))
}

/// Records what the plan saw, as a cycle does.
fn record(world: &mut World, plan: &Plan) {
    for sighting in &plan.sightings {
        let of = world.tags.entry(sighting.image.clone()).or_default();
        let mut known = of.remove(&sighting.tag);
        sighting.add_to(&mut known, world.now);
        of.insert(sighting.tag.clone(), known.unwrap());
    }
}

#[test]
fn nobody_looks_without_a_rule() {
    let mut world = World::dev(&written(1)).tags("acme/web", &["1.0.0"]);
    world.answers.digests.clear();
    let plan = world.complete();
    assert_eq!((plan.up_to_date, plan.sightings.len()), (1, 0));
}

#[test]
fn a_written_digest_follows_only_if_the_rule_says_so() {
    for (rule, attention) in
        [("follow", None), ("hold", Some(Attention::Expected)), ("alert", Some(Attention::PushedAgain))]
    {
        let mut world = world(&written(1), rule);
        let plan = world.complete();
        match attention {
            None => assert_eq!(plan.actions[0].updates[0].to.digest, Some(digest(16)), "{rule}"),
            Some(attention) => {
                let hold = &plan.holds[0];
                assert_eq!((plan.actions.len(), hold.gate, hold.attention), (0, Gate::Hold, attention), "{rule}");
                assert!(hold.reason.contains("pushed again") && hold.reason.contains(rule), "{}", hold.reason);
            }
        }
        record(&mut world, &plan);
        assert_eq!(world.tags[&name("acme/web")][&tag("1.0.0")].again.len(), 1, "{rule}");
    }
}

#[test]
fn a_tag_without_a_digest_is_compared_with_its_record_and_the_event_stays() {
    let mut world = world("acme/web:1.0.0", "alert");
    let first = world.complete();
    assert_eq!((first.actions.len(), first.holds.len()), (0, 1));
    let noticed = world.now;
    record(&mut world, &first);
    // Another process, a day later, which knows only the records.
    world.now += SignedDuration::from_hours(24);
    let later = world.complete();
    assert!(later.holds[0].reason.contains(&format!("noticed at {noticed:.0}")), "{}", later.holds[0].reason);
    assert_eq!(later.holds[0].update.id, first.holds[0].update.id, "one event, one alert");
    record(&mut world, &later);
    assert_eq!(world.tags[&name("acme/web")][&tag("1.0.0")].again.len(), 1, "it is recorded once");
}

#[test]
fn following_a_tag_without_a_digest_writes_nothing_and_records_it() {
    let mut world = world("acme/web:1.0.0", "follow");
    let plan = world.complete();
    assert_eq!((plan.actions.len(), plan.holds.len(), plan.up_to_date), (0, 0, 1));
    record(&mut world, &plan);
    assert_eq!(*world.tags[&name("acme/web")][&tag("1.0.0")].latest(), digest(16));
}

#[test]
fn a_tag_is_met_before_it_can_be_pushed_again() {
    let mut world = world("acme/web:1.0.0", "alert");
    world.tags.clear();
    let plan = world.complete();
    assert_eq!((plan.holds.len(), plan.sightings.len()), (0, 1));
    record(&mut world, &plan);
    assert_eq!(world.complete().holds.len(), 0);
}

#[test]
fn a_candidate_that_was_pushed_again_before_it_was_written_is_held() {
    let mut world = world("acme/web:0.9.0", "hold").tags("acme/web", &["1.0.0", "0.9.0"]);
    let plan = world.complete();
    assert_eq!((plan.actions.len(), plan.holds[0].update.to.tag.clone()), (0, Some(tag("1.0.0"))));
    record(&mut world, &plan);
    assert_eq!(world.complete().holds.len(), 1, "it stays held");
}

#[test]
fn the_written_tag_is_compared_even_while_a_newer_one_waits() {
    let mut world = world("acme/web:1.0.0", "alert").tags("acme/web", &["1.0.0", "1.1.0"]);
    let plan = world.complete();
    assert_eq!((plan.actions.len(), plan.holds.len()), (1, 1), "the newer one is written");
    assert_eq!(plan.holds[0].attention, Attention::PushedAgain);
    let told = crate::landing::pre_merge::held(&plan.holds[0]);
    assert_eq!(told.cause.map(|cause| cause.code), Some(crate::model::CauseCode::Retagged));
    world.answers.digests.clear();
    assert!(!world.plan().queries.is_empty(), "it is asked for");
}

#[test]
fn what_cannot_be_compared_is_unknown() {
    let mut world = world(&written(1), "follow");
    for answer in [
        Answer::Absent { message: "404".to_owned() },
        Answer::Failed { message: "down".to_owned(), code: FailureCode::Network, last: None },
    ] {
        drop(world.answers.digests.insert((name("acme/web"), tag("1.0.0")), answer));
        let plan = world.complete();
        assert_eq!((plan.up_to_date, plan.problems.len()), (0, 1));
    }
}
