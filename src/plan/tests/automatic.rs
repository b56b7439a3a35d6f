//! What goes back by itself, and what does not.

use super::*;
use crate::model::{Blame, CauseCode, State};

const NAME: &str = "acme/web";
const DEV: &str = "apps/web/dev";

fn at(minute: i64) -> Timestamp {
    let noon: Timestamp = "2026-01-05T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_mins(minute)
}

fn version(text: &str) -> Version {
    Version { tag: Some(tag(text)), digest: None }
}

/// dev is at 1.1.0, which the bot has brought and which has been stuck for half an hour; 1.0.0 ran there before.
fn world(rollback: &str) -> World {
    let policies = POLICIES.replacen("write: commit", &format!("write: commit\n    rollback: {rollback}"), 1);
    let mut world =
        World::new(&policies, &[("apps/web/dev/pod.yaml", "acme/web:1.1.0")]).tags(NAME, &["1.0.0", "1.1.0"]);
    let id = world.id(NAME, DEV, "1.1.0");
    let trailers = format!("Landfall-Image: {}\nLandfall-Overlay: {DEV}\nLandfall-Environment: dev\n", name(NAME));
    world.ledger.record_unproven(&commit(7), at(-60), &format!("x\n\nLandfall-Update: {id}\n{trailers}"));
    world.soaks = soaks(&world, |_| {});
    world
}

fn soaks(world: &World, change: impl FnOnce(&mut SoakState)) -> SoakStates {
    let stuck = SoakHealth::Not {
        state: State::Stuck,
        cause: Some(CauseCode::CrashLoop),
        blame: Blame::Version,
        message: "exit code 1".to_owned(),
        since: Some(at(-30)),
    };
    let ran = PastSoak {
        version: version("1.0.0"),
        from: at(-600),
        until: at(-60),
        commit: None,
        digests: Vec::new(),
        end: crate::plan::SoakEnd::MadeRoom,
    };
    let mut standing = SoakState {
        repository: "deploys".to_owned(),
        app: "web".to_owned(),
        environment: "dev".to_owned(),
        overlay: DEV.to_owned(),
        image: name(NAME),
        cluster: Some("eu-1".to_owned()),
        id: world.id(NAME, DEV, "1.1.0"),
        version: version("1.1.0"),
        commit: None,
        committed: None,
        stand: stuck,
        anew: None,
        digests: Vec::new(),
        before: vec![ran],
    };
    change(&mut standing);
    SoakStates::new([standing], at(0))
}

#[test]
fn what_is_stuck_for_long_goes_back_once() {
    let mut world = world("{ after: 30m }");
    let plan = world.complete();
    assert_eq!(targets(&plan), ["web 1.0.0"]);
    let action = &plan.actions[0];
    assert_eq!((&action.kind, action.group.as_str()), (&ActionKind::Commit, "rollback/web"));
    let message = message_of(&plan);
    for words in [
        "dev: roll web back to 1.0.0\n\nRolled back by the bot itself: stuck in eu-1 since 2026-01-05 11:30 UTC (crash-loop: exit code 1) (policies.yaml:7)",
        "1.0.0 ran there from 2026-01-05T02:00:00Z to 2026-01-05T11:00:00Z",
        &format!("Landfall-Rollback: {}\n", world.id(NAME, DEV, "1.1.0")),
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    // It is written; then somebody releases the bad one, and it fails again: that is theirs to decide.
    world.ledger.record_unproven(&commit(8), at(0), &message);
    assert!(world.ledger.rolled_back(&world.id(NAME, DEV, "1.1.0")).is_some());
    assert!(world.complete().actions.is_empty());
}

#[test]
fn what_does_not_go_back() {
    type Change = fn(&mut World);
    let cases: [(&str, &str, Change); 10] = [
        ("not long enough", "{ after: 31m }", |_| {}),
        ("nobody has looked since", "{ after: 30m }", |world| {
            let places: Vec<SoakState> = world.soaks.all().map(|place| place.as_ref().clone()).collect();
            world.soaks = SoakStates::new(places, at(-1));
        }),
        ("it waits for what no version can change", "{ after: 30m }", |world| {
            world.soaks = soaks(world, |it| {
                let (state, cause, message) = (State::Stuck, Some(CauseCode::Unschedulable), String::new());
                let blame = cause.map_or(Blame::Platform, CauseCode::blame);
                it.stand = SoakHealth::Not { state, cause, blame, message, since: Some(at(-90)) };
            });
        }),
        ("a node is lost, which is no version's fault", "{ after: 30m }", |world| {
            world.soaks = soaks(world, |it| {
                let (state, cause, blame) = (State::Stuck, Some(CauseCode::NotReady), Blame::Platform);
                it.stand = SoakHealth::Not { state, cause, blame, message: String::new(), since: Some(at(-90)) };
            });
        }),
        ("it still moves", "{ after: 30m }", |world| {
            world.soaks = soaks(world, |it| {
                let (state, cause, message) = (State::Pending, Some(CauseCode::NotReady), String::new());
                let blame = cause.map_or(Blame::Platform, CauseCode::blame);
                it.stand = SoakHealth::Not { state, cause, blame, message, since: Some(at(-90)) };
            });
        }),
        ("another repository's", "{ after: 30m }", |world| {
            world.soaks = soaks(world, |it| "other".clone_into(&mut it.repository));
        }),
        ("another version's", "{ after: 30m }", |world| {
            world.soaks = soaks(world, |it| it.version = version("1.0.9"));
        }),
        ("a person brought it", "{ after: 30m }", |world| world.ledger = Ledger::default()),
        ("nothing ran there before", "{ after: 30m }", |world| {
            world.soaks = soaks(world, |it| it.before.clear());
        }),
        ("it is frozen", "{ after: 30m }", |world| {
            let decision = crate::model::Decision {
                file: ".landfall/freezes/dev.yaml".to_owned(),
                about: crate::model::About::Freeze { environment: Some("dev".to_owned()) },
                reason: "r".to_owned(),
                author: "Ada".to_owned(),
                since: at(0),
                until: None,
            };
            world.decisions = Decisions::new(vec![decision], Vec::new());
        }),
    ];
    for (case, rollback, change) in cases {
        let mut world = world(rollback);
        change(&mut world);
        let plan = world.complete();
        assert!(plan.actions.is_empty(), "{case}: {plan:#?}");
        assert_eq!(plan.problems.len(), usize::from(case.starts_with("nothing ran")), "{case}: {plan:#?}");
        assert_eq!(plan.holds.len(), usize::from(case.ends_with("frozen")), "{case}: {plan:#?}");
    }
    // Something newer is better than something older.
    let world = world("{ after: 30m }").tags(NAME, &["1.0.0", "1.1.0", "1.2.0"]);
    assert_eq!(targets(&world.complete()), ["web 1.2.0"]);
}

#[test]
fn a_rollback_may_ask_for_a_review_and_never_exceeds_a_cap() {
    let wants_pull = |world: &World| {
        let queries = world.plan().queries;
        queries.forge.iter().any(
            |want| matches!(want, ForgeQuery::Pulls(head) if head.as_str().starts_with("landfall/dev/rollback/web")),
        )
    };
    assert!(wants_pull(&world("{ after: 30m, write: pull-request }")));
    let mut capped = world("{ after: 30m }");
    let cap = crate::policy::Cap {
        paths: vec![crate::policy::PathPattern::parse("apps/**").unwrap()],
        write: vec![crate::policy::Write::PullRequest],
        automerge: false,
        approvals: 0,
        minimum_release_age: None,
        images: Vec::new(),
        registries: Vec::new(),
        promote_from: None,
        windows: None,
        rollback: true,
        verify: None,
        key_paths: false,
        origin: crate::policy::SourceLocation { file: "landfall.yaml".to_owned(), line: 1, column: 1 },
    };
    capped.policies = capped.policies.with_caps(vec![cap]);
    assert!(wants_pull(&capped));
}
