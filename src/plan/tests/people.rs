//! What people have decided about versions, as their history tells it (G8).

use super::*;
use crate::model::About;
use crate::model::{Decision, Held};

/// Who brought the version of now.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Bot,
    Person,
    Rollback,
}

/// What the bot has done here before.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Did {
    Nothing,
    /// It wrote this version.
    Wrote(&'static str),
    /// And then somebody released this one.
    Released(&'static str, &'static str),
}

const NAME: &str = "acme/web";
const DEV: &str = "apps/web/dev";

fn trailers(key: &str, id: &UpdateId) -> String {
    format!(
        "\n{key}: {id}\nLandfall-Image: {}\nLandfall-Overlay: {DEV}\nLandfall-Policy: dev\nLandfall-Environment: dev\n",
        name(NAME)
    )
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// dev holds `current`, which came in the place of `before` on 1 January.
fn world(policies: &str, (before, current): (Option<&str>, &str), by: By, did: Did) -> World {
    let image = format!("{NAME}:{current}");
    let mut world = World::new(policies, &[("apps/web/dev/pod.yaml", &image)])
        .tags(NAME, &["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"]);
    let version = |text: &str| Version { tag: Some(tag(text)), digest: None };
    let writer = if by == By::Person { Writer::Person } else { Writer::Bot };
    let brought = Brought {
        commit: commit(9),
        by: "Ada".to_owned(),
        at: at("2026-01-01T00:00:00Z"),
        before: before.map(version),
        writer,
        former: Vec::new(),
        appeared: None,
    };
    let place = HistoryQuery::from(world.pins[0].as_ref());
    drop(world.answers.origins.insert(place, Answer::Known(Origin::Commit(brought))));
    if let Did::Wrote(wrote) | Did::Released(wrote, _) = did {
        let id = world.id(NAME, DEV, wrote);
        world.ledger.record_unproven(
            &commit(7),
            at("2025-12-01T00:00:00Z"),
            &format!("x\n{}", trailers("Landfall-Update", &id)),
        );
    }
    if by == By::Rollback {
        let (id, bad) = (world.id(NAME, DEV, current), world.id(NAME, DEV, before.unwrap()));
        let message = format!("x\n{}Landfall-Rollback: {bad}\nLandfall-By: Ada\n", trailers("Landfall-Update", &id));
        world.ledger.record_unproven(&commit(9), at("2026-01-01T00:00:00Z"), &message);
    }
    if let Did::Released(_, released) = did {
        let id = world.id(NAME, DEV, released);
        world.ledger.record_unproven(
            &commit(8),
            at("2026-01-02T00:00:00Z"),
            &format!("x\n{}", trailers("Landfall-Release", &id)),
        );
    }
    // Every image was made on its day of January; those up to 1.3.0 before the person chose.
    for (tag_, made) in [("1.3.0", "2025-12-31T00:00:00Z"), ("1.4.0", "2026-01-04T00:00:00Z")] {
        drop(world.answers.created.insert((name(NAME), tag(tag_)), Answer::Known(Some(at(made)))));
    }
    world
}

fn only(world: World, tags: &[&str]) -> World {
    world.tags(NAME, tags)
}

const TO_1_3: &[&str] = &["1.0.0", "1.1.0", "1.2.0", "1.3.0"];
const TO_1_4: &[&str] = &["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"];

/// What it is about; before and now; who brought that; what the bot did before; what is listed; the words of the hold.
type Row = (&'static str, (Option<&'static str>, &'static str), By, Did, &'static [&'static str], Option<&'static str>);

const ROWS: &[Row] = &[
    ("taken over as it is", (None, "1.0.0"), By::Person, Did::Nothing, TO_1_4, None),
    ("set by hand where the bot never wrote", (Some("1.0.0"), "1.1.0"), By::Person, Did::Nothing, TO_1_4, None),
    ("the bot's own bump", (Some("1.0.0"), "1.1.0"), By::Bot, Did::Wrote("1.1.0"), TO_1_4, None),
    (
        "a revert",
        (Some("1.3.0"), "1.2.0"),
        By::Person,
        Did::Wrote("1.3.0"),
        TO_1_3,
        Some("has since been reverted, by Ada in 0909090 on 2026-01-01"),
    ),
    ("a revert, and something newer", (Some("1.3.0"), "1.2.0"), By::Person, Did::Wrote("1.3.0"), TO_1_4, None),
    ("a revert, released", (Some("1.3.0"), "1.2.0"), By::Person, Did::Released("1.3.0", "1.3.0"), TO_1_3, None),
    (
        "a downgrade of what the bot never wrote",
        (Some("1.3.0"), "1.1.0"),
        By::Person,
        Did::Nothing,
        TO_1_3,
        Some("1.3.0 was reverted to 1.1.0 by Ada in 0909090 on 2026-01-01"),
    ),
    (
        "below the version that was left",
        (Some("1.3.0"), "1.1.0"),
        By::Person,
        Did::Nothing,
        &["1.1.0", "1.2.0"],
        Some("1.3.0 was reverted to 1.1.0"),
    ),
    ("a downgrade, and something newer", (Some("1.3.0"), "1.1.0"), By::Person, Did::Nothing, TO_1_4, None),
    (
        "a downgrade from what is no version of the policy",
        (Some("2.0.0-rc.1"), "1.1.0"),
        By::Person,
        Did::Nothing,
        TO_1_4,
        Some("2.0.0-rc.1 was reverted"),
    ),
    (
        "a downgrade, released for its place",
        (Some("1.3.0"), "1.1.0"),
        By::Person,
        Did::Released("1.0.0", "1.2.0"),
        TO_1_3,
        None,
    ),
    (
        "chosen by hand when 1.3.0 was there",
        (Some("1.0.0"), "1.2.0"),
        By::Person,
        Did::Wrote("1.0.0"),
        TO_1_3,
        Some("1.0.0 was set by hand to 1.2.0 by Ada in 0909090 on 2026-01-01, when 1.3.0 was already available"),
    ),
    ("chosen by hand before 1.4.0 was there", (Some("1.0.0"), "1.2.0"), By::Person, Did::Wrote("1.0.0"), TO_1_4, None),
    ("chosen by hand, released", (Some("1.0.0"), "1.2.0"), By::Person, Did::Released("1.0.0", "1.3.0"), TO_1_3, None),
    ("the place was not there before", (None, "1.2.0"), By::Person, Did::Wrote("1.0.0"), TO_1_3, None),
    (
        "rolled back",
        (Some("1.3.0"), "1.2.0"),
        By::Rollback,
        Did::Wrote("1.3.0"),
        TO_1_3,
        Some("1.3.0 was rolled back by Ada in 0909090 on 2026-01-01"),
    ),
    (
        "rolled back further, what is between",
        (Some("1.3.0"), "1.0.0"),
        By::Rollback,
        Did::Wrote("1.3.0"),
        &["1.0.0", "1.1.0"],
        Some("1.3.0 was rolled back to 1.0.0 by Ada"),
    ),
    ("rolled back, and something newer", (Some("1.3.0"), "1.2.0"), By::Rollback, Did::Wrote("1.3.0"), TO_1_4, None),
    ("rolled back, released", (Some("1.3.0"), "1.2.0"), By::Rollback, Did::Released("1.3.0", "1.3.0"), TO_1_3, None),
];

#[test]
fn what_people_decided_holds_until_something_newer_or_a_release() {
    for (case, value, by, did, tags, held) in ROWS.iter().copied() {
        let plan = only(world(POLICIES, value, by, did), tags).complete();
        match held {
            None => assert!(plan.holds.is_empty() && plan.actions.len() == 1, "{case}: {plan:#?}"),
            Some(words) => {
                assert!(plan.actions.is_empty() && plan.holds.len() == 1, "{case}: {plan:#?}");
                let hold = &plan.holds[0];
                assert_eq!((hold.gate, hold.until), (Gate::Hold, None), "{case}");
                let reason = &hold.reason;
                assert!(reason.contains(words), "{case}: {reason}");
                assert!(
                    reason.ends_with(
                        "held until a newer version appears or someone runs `landfall release web --environment dev`"
                    ),
                    "{case}: {reason}"
                );
            }
        }
    }
}

#[test]
fn with_resume_manual_a_newer_version_waits_for_a_release() {
    let policies = POLICIES.replacen("write: commit", "write: commit\n    resume: manual", 1);
    let value = (Some("1.3.0"), "1.2.0");
    let plan = world(&policies, value, By::Person, Did::Wrote("1.3.0")).complete();
    assert!(plan.actions.is_empty());
    let reason = &plan.holds[0].reason;
    assert!(
        reason.contains("`landfall release web --environment dev` (policies.yaml:7 says `resume: manual`)"),
        "{reason}"
    );
    let plan = world(&policies, value, By::Person, Did::Released("1.3.0", "1.4.0")).complete();
    assert_eq!((plan.holds.len(), plan.actions.len()), (0, 1));
    // Nobody decided anything: then there is nothing to release.
    let plan = world(&policies, value, By::Bot, Did::Wrote("1.2.0")).complete();
    assert_eq!((plan.holds.len(), plan.actions.len()), (0, 1));
}

#[test]
fn an_image_of_unknown_age_is_held_where_a_person_chose() {
    let mut world =
        only(world(POLICIES, (Some("1.0.0"), "1.2.0"), By::Person, Did::Wrote("1.0.0")), &["1.2.0", "1.4.0"]);
    let key = (name(NAME), tag("1.4.0"));
    drop(world.answers.created.remove(&key));
    assert_eq!(world.plan().queries, Queries::from(RegistryQuery::Created(key.0.clone(), key.1.clone())));
    drop(world.answers.created.insert(key, Answer::Known(None)));
    let plan = world.complete();
    assert!(plan.holds[0].reason.contains("the age of 1.4.0 is unknown"), "{plan:#?}");
}

#[test]
fn nothing_is_written_before_the_history_has_told_or_where_it_cannot() {
    let mut world = world(POLICIES, (None, "1.0.0"), By::Person, Did::Nothing);
    let place = HistoryQuery::from(world.pins[0].as_ref());
    drop(world.answers.origins.remove(&place));
    let planned = world.plan();
    assert_eq!(planned.queries, Queries::from(place.clone()));
    assert!(planned.plan.actions.is_empty() && planned.plan.holds.is_empty());
    let failed =
        Answer::Failed { message: "object gone".to_owned(), code: crate::model::FailureCode::Protocol, last: None };
    drop(world.answers.origins.insert(place, failed));
    let plan = world.complete();
    assert!(plan.actions.is_empty());
    assert!(plan.holds[0].reason.contains("object gone"), "{plan:#?}");
}

/// A merged pull request of the bot that had this update.
fn pull_of(world: &World, id: &UpdateId) -> PullRequest {
    PullRequest {
        number: 1,
        url: "u".to_owned(),
        state: PullState::Merged,
        title: String::new(),
        body: format!("<!-- landfall: {id} -->"),
        head: world.head(),
        base: world.branch.clone(),
        head_commit: None,
        draft: false,
        labels: Vec::new(),
        closed_at: None,
        updated_at: None,
    }
}

#[test]
fn a_squash_merge_that_lost_its_trailers_is_no_choice_by_hand() {
    let made = |merged: bool, number: &str| {
        let mut world = world(POLICIES, (Some("1.0.0"), "1.2.0"), By::Person, Did::Nothing);
        let image = format!("{NAME}:1.2.0");
        let prod = World::new(POLICIES, &[("apps/web/prod/pod.yaml", &image)]);
        let brought = world.answers.origins.values().next().unwrap().clone();
        world.pins = prod.pins;
        drop(world.answers.origins.insert(HistoryQuery::from(world.pins[0].as_ref()), brought));
        let id = world.id(NAME, "apps/web/prod", "1.0.0");
        let place =
            format!("Landfall-Image: {}\nLandfall-Overlay: apps/web/prod\nLandfall-Environment: prod\n", name(NAME));
        world.ledger.record_unproven(
            &commit(7),
            at("2025-12-01T00:00:00Z"),
            &format!("x\n\nLandfall-Update: {id}\n{place}"),
        );
        let world = only(world, &["1.0.0", "1.2.0", "1.3.0"]);
        let id = world.id(NAME, "apps/web/prod", if merged { "1.2.0" } else { "1.1.0" });
        let pull = PullRequest { closed_at: Some(at("2026-01-01T00:00:00Z")), ..pull_of(&world, &id) };
        if number.is_empty() {
            return world.pulls(vec![pull]).complete();
        }
        // Its branch, which continued one that could not be rewritten, is gone with its number.
        let mut world = world.pulls(Vec::new());
        let head = BranchName::parse(&format!("{}{number}", world.head())).unwrap();
        world.answers.closed = None;
        assert_eq!(world.plan().queries, ForgeQuery::Closed.into());
        world.answers.closed = Some(Answer::Known(vec![PullRequest { head, ..pull }]));
        world.complete()
    };
    for number in ["", "-2", "-7"] {
        let (ours, other) = (made(true, number), made(false, number));
        assert_eq!((ours.actions.len(), ours.holds.len()), (1, 0), "{number}: {ours:#?}");
        assert_eq!((other.actions.len(), other.holds.len()), (0, 1), "{number}: {other:#?}");
    }
}

#[test]
fn what_a_person_took_back_is_held_by_the_pull_request_of_any_name_of_its_branch() {
    let mut world = World::prod("acme/web:1.0.0").tags("acme/web", &["1.0.0", "1.2.0"]).pulls(Vec::new());
    let id = world.id(NAME, "apps/web/prod", "1.2.0");
    for (head, held) in [("landfall-bot/", true), ("landfall/", false)] {
        let stem = world.head().as_str().trim_start_matches("landfall/").to_owned();
        let name = if held { format!("{head}{stem}-3") } else { format!("{head}{stem}x-3") };
        let head = BranchName::parse(&name).unwrap();
        world.answers.closed = Some(Answer::Known(vec![PullRequest { head, ..pull_of(&world, &id) }]));
        let plan = world.complete();
        assert_eq!(plan.holds.len(), usize::from(held), "{name}: {plan:#?}");
        assert!(!held || plan.holds[0].reason.contains("pull request #1 was merged and reverted since"));
    }
}

#[test]
fn a_file_in_the_repository_comes_first() {
    let mut world = world(POLICIES, (Some("1.3.0"), "1.2.0"), By::Bot, Did::Nothing);
    let decision = Decision {
        file: ".landfall/holds/web.yaml".to_owned(),
        about: About::Hold { of: Held::App("web".to_owned()), environment: None, version: None },
        reason: "load test".to_owned(),
        author: "Grace".to_owned(),
        since: world.now,
        until: Some(at("2026-01-06T00:00:00Z")),
    };
    world.decisions = Decisions::new(vec![decision], Vec::new());
    let plan = world.complete();
    assert!(plan.actions.is_empty());
    let hold = &plan.holds[0];
    assert_eq!((hold.gate, hold.until), (Gate::Hold, Some(at("2026-01-06T00:00:00Z"))));
    assert!(hold.reason.contains("web was held by Grace: load test (.landfall/holds/web.yaml"), "{}", hold.reason);
    world.now = at("2026-01-06T00:00:00Z");
    assert_eq!(world.complete().actions.len(), 1);
}

#[test]
fn the_digest_of_a_tag_that_was_chosen_by_hand_is_added() {
    let policies = POLICIES.replacen("write: commit", "write: commit\n    pin: digest", 1);
    let world = only(world(&policies, (Some("1.0.0"), "1.3.0"), By::Person, Did::Wrote("1.0.0")), &["1.3.0"]);
    let plan = world.complete();
    assert!(plan.holds.is_empty(), "{plan:#?}");
    assert!(plan.actions[0].updates[0].to.digest.is_some());
}

#[test]
fn with_resume_manual_a_closed_pull_request_holds_newer_versions_too() {
    let policies = POLICIES.replacen("write: pull-request", "write: pull-request\n    resume: manual", 1);
    let made = |policies: &str, release: bool| {
        let mut world = World::new(policies, &[("apps/web/prod/pod.yaml", "acme/web:1.0.0")])
            .tags(NAME, &["1.0.0", "1.1.0", "1.2.0"]);
        let id = world.id(NAME, "apps/web/prod", "1.1.0");
        let pull = PullRequest {
            state: PullState::Closed,
            closed_at: Some(at("2026-01-01T00:00:00Z")),
            updated_at: None,
            ..pull_of(&world, &id)
        };
        if release {
            let place = format!(
                "Landfall-Image: {}\nLandfall-Overlay: apps/web/prod\nLandfall-Environment: prod\n",
                name(NAME)
            );
            let message = format!("x\n\nLandfall-Release: {id}\n{place}");
            world.ledger.record_unproven(&commit(8), at("2026-01-02T00:00:00Z"), &message);
        }
        world.pulls(vec![pull]).complete()
    };
    let held = made(&policies, false);
    assert!(held.actions.is_empty());
    let reason = &held.holds[0].reason;
    assert!(
        reason.ends_with("someone runs `landfall release web` (policies.yaml:12 says `resume: manual`)"),
        "{reason}"
    );
    assert_eq!(made(POLICIES, false).actions.len(), 1, "a newer version opens a new one");
    assert_eq!(made(&policies, true).actions.len(), 1);
}
