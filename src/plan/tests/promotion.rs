//! What another environment proves, and what it does not.

use super::*;
use crate::model::{CauseCode, State};

const PROD: &str = r#"
policies:
  - name: prod
    paths: ["apps/{app}/prod/**"]
    environment: prod
    write: commit
    tags: { semver: "*" }
    promoteFrom: { environment: staging, soakTime: 24h }
"#;

/// What prod does about upstream.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It goes to this version.
    Takes(&'static str),
    /// It wants this one, and the reason has these words.
    Waits(&'static str, &'static str),
    /// There is nothing to take.
    Stays,
    /// It cannot be known, and somebody hears these words.
    Problem(&'static str),
}

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

fn now() -> Timestamp {
    World::dev("acme/web:1").now
}

fn ago(count: i64) -> Timestamp {
    now() - hours(count)
}

fn version(text: &str) -> Version {
    Version { tag: Some(tag(text)), digest: None }
}

/// A place in staging that has been well with this version for so many hours.
fn well(cluster: &str, text: &str, count: i64) -> SoakState {
    place("staging", cluster, text, SoakHealth::Healthy { since: ago(count) })
}

fn place(environment: &str, cluster: &str, text: &str, stand: SoakHealth) -> SoakState {
    SoakState {
        repository: "deploys".to_owned(),
        app: "web".to_owned(),
        environment: environment.to_owned(),
        overlay: format!("apps/web/{environment}"),
        image: name("acme/web"),
        cluster: Some(cluster.to_owned()).filter(|cluster| !cluster.is_empty()),
        id: UpdateId::parse("0123456789abcdef").unwrap(),
        version: version(text),
        commit: Some(commit(9)),
        committed: Some(ago(48)),
        stand,
        anew: None,
        digests: Vec::new(),
        before: Vec::new(),
    }
}

fn failing(cluster: &str, text: &str) -> SoakState {
    let stand = SoakHealth::Not {
        state: State::Stuck,
        cause: Some(CauseCode::CrashLoop),
        blame: crate::model::Blame::Version,
        message: "web crashes".to_owned(),
        since: Some(ago(1)),
    };
    place("staging", cluster, text, stand)
}

fn was(mut standing: SoakState, text: &str, from: i64, until: i64) -> SoakState {
    let (version, from, until) = (version(text), ago(from), ago(until));
    standing.before.push(PastSoak { version, from, until, commit: None, digests: Vec::new(), end: SoakEnd::MadeRoom });
    standing
}

/// The last version before failed at its end.
fn fell(mut standing: SoakState) -> SoakState {
    standing.before.last_mut().unwrap().end = SoakEnd::Failed;
    standing
}

fn world(policies: &str, image: &str, soaks: Vec<SoakState>) -> World {
    let mut world = World::new(policies, &[("apps/web/prod/pod.yaml", image)])
        .tags("acme/web", &["1.0.0", "1.1.0", "1.2.0", "1.3.0-rc.1", "1.3.0"]);
    world.soaks = SoakStates::new(soaks, world.now);
    world
}

fn outcome(world: &World) -> Outcome {
    let leaked = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let plan = world.complete();
    if let Some(action) = plan.actions.first() {
        return Outcome::Takes(leaked(&action.updates[0].to.to_string()));
    }
    if let Some(hold) = plan.holds.first() {
        assert_eq!(hold.gate, Gate::Promotion, "{}", hold.reason);
        return Outcome::Waits(leaked(&hold.update.to.to_string()), leaked(&hold.reason));
    }
    match plan.problems.first() {
        Some(problem) => Outcome::Problem(leaked(&problem.message)),
        None => Outcome::Stays,
    }
}

fn check(told: &str, world: &World, expected: &Outcome) {
    let found = outcome(world);
    let same = match (&found, expected) {
        (Outcome::Waits(to, why), Outcome::Waits(wanted, words)) => to == wanted && why.contains(words),
        (Outcome::Problem(why), Outcome::Problem(words)) => why.contains(words),
        (found, expected) => found == expected,
    };
    assert!(same, "{told}: {found:?} in place of {expected:?}");
}

#[test]
fn only_what_was_well_upstream_for_the_soak_goes_on() {
    use Outcome::{Problem, Stays, Takes, Waits};
    let eu = |text, count| well("eu-1", text, count);
    for (told, soaks, expected) in [
        ("soaked", vec![eu("1.1.0", 25)], Takes("1.1.0")),
        ("to the second", vec![eu("1.1.0", 24)], Takes("1.1.0")),
        ("not yet", vec![eu("1.1.0", 23)], Waits("1.1.0", "healthy in staging/eu-1 for 23h of 1d")),
        ("the registry has newer ones, which do not count", vec![eu("1.0.0", 99)], Stays),
        ("upstream is older", vec![eu("0.9.0", 99)], Stays),
        ("it fails there", vec![failing("eu-1", "1.1.0")], Waits("1.1.0", "stuck in staging/eu-1: web crashes")),
        ("one of two clusters lags", vec![eu("1.1.0", 25), well("us-1", "1.1.0", 2)], Waits("1.1.0", "us-1 for 2h")),
        ("one of two fails", vec![eu("1.1.0", 25), failing("us-1", "1.1.0")], Waits("1.1.0", "web crashes")),
        ("one of two has another", vec![eu("1.1.0", 25), well("us-1", "1.0.0", 90)], Waits("1.1.0", "declares 1.0.0")),
        (
            "one of two went back from it",
            vec![eu("1.1.0", 25), was(well("us-1", "1.0.0", 1), "1.1.0", 40, 1)],
            Waits("1.1.0", "staging/us-1 went back from 1.1.0 to 1.0.0"),
        ),
        ("proved, then superseded", vec![was(eu("1.2.0", 1), "1.1.0", 40, 1)], Takes("1.1.0")),
        ("superseded before it was proved", vec![was(eu("1.2.0", 1), "1.1.0", 3, 1)], Waits("1.2.0", "for 60m")),
        ("proved, then taken back upstream", vec![was(eu("1.0.0", 1), "1.1.0", 40, 1)], Stays),
        (
            "proved, then it failed, then superseded",
            vec![fell(was(eu("1.2.0", 1), "1.1.0", 40, 1))],
            Waits("1.2.0", "for 60m"),
        ),
        (
            "a newer one fails; the proved one goes on",
            vec![was(failing("eu-1", "1.2.0"), "1.1.0", 40, 2)],
            Takes("1.1.0"),
        ),
        ("not there", vec![], Problem("environment `staging`, in which nothing is known to be declared")),
        ("another app", vec![SoakState { app: "api".into(), ..eu("1.1.0", 25) }], Problem("app web is not in")),
        (
            "another image",
            vec![SoakState { image: name("acme/other"), ..eu("1.1.0", 25) }],
            Problem("has no image docker.io/acme/web in environment staging; it has docker.io/acme/other"),
        ),
        (
            "no cluster",
            vec![place(
                "staging",
                "",
                "1.1.0",
                SoakHealth::Not {
                    state: State::Unknown,
                    cause: None,
                    blame: crate::model::Blame::Version,
                    message: "no cluster is configured".into(),
                    since: None,
                },
            )],
            Waits("1.1.0", "`require: committed`"),
        ),
    ] {
        check(told, &world(PROD, "acme/web:1.0.0", soaks), &expected);
    }
}

#[test]
fn nobody_has_looked_is_not_nothing() {
    let mut world = world(PROD, "acme/web:1.0.0", vec![]);
    world.soaks = SoakStates::default();
    check("never looked", &world, &Outcome::Problem("not known yet"));
}

#[test]
fn an_old_look_or_a_blind_one_proves_nothing() {
    let mut old = world(PROD, "acme/web:1.0.0", vec![well("eu-1", "1.1.0", 25)]);
    old.now += SignedDuration::from_mins(11);
    check("nobody looks any more", &old, &Outcome::Problem("which is too long ago"));
    let mut blind = world(PROD, "acme/web:1.0.0", vec![well("eu-1", "1.1.0", 25)]);
    blind.soaks = blind.soaks.blind_to(["staging".to_owned()]);
    check("a repository cannot be read", &blind, &Outcome::Problem("cannot be read now"));
    // Upstream was taken back after the last look.
    let both = PROD.replace(
        "policies:",
        "policies:\n  - { name: staging, paths: [\"apps/{app}/staging/**\"], environment: staging, write: commit }",
    );
    let files = [("apps/web/prod/pod.yaml", "acme/web:1.0.0"), ("apps/web/staging/pod.yaml", "acme/web:1.0.5")];
    let mut moved = World::new(&both, &files).tags("acme/web", &["1.0.0", "1.0.5", "1.1.0"]);
    moved.soaks = SoakStates::new(vec![well("eu-1", "1.1.0", 25)], moved.now);
    let problems = moved.plan().plan.problems;
    assert!(
        problems.iter().any(|problem| problem.message.contains("another version since it was last read")),
        "{problems:?}"
    );
}

#[test]
fn a_hold_says_until_when() {
    let plan = world(PROD, "acme/web:1.0.0", vec![well("eu-1", "1.1.0", 23)]).complete();
    assert_eq!(plan.holds[0].until, Some(now() + hours(1)));
    let plan = world(PROD, "acme/web:1.0.0", vec![well("eu-1", "1.1.0", 23), failing("us-1", "1.1.0")]).complete();
    assert_eq!(plan.holds[0].until, None, "nobody knows when it will be mended");
}

#[test]
fn policies_say_what_proves() {
    use Outcome::{Stays, Takes, Waits};
    let of = |promote: &str| PROD.replace("{ environment: staging, soakTime: 24h }", promote);
    let in_qa = |count| place("qa", "qa-1", "1.1.0", SoakHealth::Healthy { since: ago(count) });
    let prod_eu = |text| place("prod-eu", "eu-9", text, SoakHealth::Healthy { since: ago(2) });
    let both = "environments: [staging, qa], soakTime: 24h";
    for (promote, soaks, expected) in [
        ("{ environment: staging, require: committed, soakTime: 24h }", vec![failing("eu-1", "1.1.0")], Takes("1.1.0")),
        (
            "{ environment: staging, require: committed, soakTime: 3d }",
            vec![failing("eu-1", "1.1.0")],
            Waits("1.1.0", "declared in staging/eu-1 for 2d of 3d"),
        ),
        (&format!("{{ {both} }}"), vec![well("eu-1", "1.1.0", 25), in_qa(2)], Waits("1.1.0", "qa/qa-1 for 2h")),
        (&format!("{{ {both}, of: any }}"), vec![well("eu-1", "1.1.0", 25), in_qa(2)], Takes("1.1.0")),
        (&format!("{{ {both}, of: any }}"), vec![well("eu-1", "1.1.0", 25)], Takes("1.1.0")),
        (
            "{ environment: staging, after: [prod-eu] }",
            vec![well("eu-1", "1.1.0", 1), prod_eu("1.0.0")],
            Waits("1.1.0", "prod-eu comes first: prod-eu/eu-9 declares 1.0.0"),
        ),
        (
            "{ environment: staging, after: [prod-eu] }",
            vec![well("eu-1", "1.1.0", 1), prod_eu("1.1.0")],
            Takes("1.1.0"),
        ),
        (
            "{ environment: staging, after: [prod-eu] }",
            vec![well("eu-1", "1.1.0", 1), was(prod_eu("1.0.0"), "1.1.0", 9, 2)],
            Waits("1.1.0", "prod-eu comes first: prod-eu/eu-9 went back from 1.1.0 to 1.0.0"),
        ),
        ("{ environment: staging, after: [eu-9] }", vec![well("eu-1", "1.1.0", 1), prod_eu("1.1.0")], Takes("1.1.0")),
        (
            "{ environment: staging, after: [prod-eu], afterSoakTime: 4h }",
            vec![well("eu-1", "1.1.0", 9), prod_eu("1.1.0")],
            Waits("1.1.0", "healthy in prod-eu/eu-9 for 2h of 4h"),
        ),
        (
            "{ environment: staging, after: [mars] }",
            vec![well("eu-1", "1.1.0", 9)],
            Waits("1.1.0", "must land in mars first, and nothing is known about it"),
        ),
        ("{ environment: staging }", vec![well("eu-1", "1.3.0-rc.1", 9)], Stays),
    ] {
        check(promote, &world(&of(promote), "acme/web:1.0.0", soaks), &expected);
    }
}

#[test]
fn it_is_the_very_digest_that_ran() {
    use Outcome::{Takes, Waits};
    // 1.1.0 is the second tag of the world: its digest is 17.
    let ran = |digests: Vec<Digest>| SoakState { digests, ..well("eu-1", "1.1.0", 25) };
    check("the same", &world(PROD, "acme/web:1.0.0", vec![ran(vec![digest(17)])]), &Takes("1.1.0"));
    let moved = world(PROD, "acme/web:1.0.0", vec![ran(vec![digest(99)])]);
    check("the tag was moved", &moved, &Waits("1.1.0", "is now a different image"));
    // One node has pulled the tag anew.
    let mixed = world(PROD, "acme/web:1.0.0", vec![ran(vec![digest(17), digest(99)])]);
    check("two images under one tag", &mixed, &Waits("1.1.0", "is now a different image"));
    // Nodes report the digest of their platform.
    let mut index = world(PROD, "acme/web:1.0.0", vec![ran(vec![digest(99)])]);
    let manifest = Manifest { images: vec![digest(98), digest(99)], ..manifest(17) };
    drop(index.answers.manifests.insert((name("acme/web"), tag("1.1.0")), Answer::Known(manifest)));
    check("one of its platforms", &index, &Takes("1.1.0"));
    let pinned = PROD.replace("write: commit", "write: commit\n    pin: digest");
    let plan = world(&pinned, "acme/web:1.0.0", vec![ran(vec![digest(17)])]).complete();
    assert_eq!(plan.actions[0].updates[0].to, Version { tag: Some(tag("1.1.0")), digest: Some(digest(17)) });
}

#[test]
fn checks_on_the_commit_upstream_must_have_passed() {
    use crate::model::{CheckState, Checks};
    use Outcome::{Takes, Waits};
    let checked = PROD.replace("soakTime: 24h", "soakTime: 24h, checks: [e2e]");
    let world = || world(&checked, "acme/web:1.0.0", vec![well("eu-1", "1.1.0", 25)]);
    assert_eq!(world().plan().queries, ForgeQuery::Checks(commit(9)).into());
    let with = |state: Option<CheckState>| {
        let mut world = world();
        let mut checks = Checks::default();
        checks.add("lint", CheckState::Failed);
        if let Some(state) = state {
            checks.add("e2e", state);
        }
        drop(world.answers.checks.insert(commit(9), Answer::Known(checks)));
        world
    };
    for (state, expected) in [
        (Some(CheckState::Passed), Takes("1.1.0")),
        (Some(CheckState::Pending), Waits("1.1.0", "has not finished")),
        (Some(CheckState::Failed), Waits("1.1.0", "did not pass")),
        (Some(CheckState::Unknown("odd".to_owned())), Waits("1.1.0", "`odd`")),
        (None, Waits("1.1.0", "does not exist")),
    ] {
        check(&format!("{state:?}"), &with(state), &expected);
    }
    let mut silent = world();
    let message = "no forge to ask".to_owned();
    drop(silent.answers.checks.insert(commit(9), Answer::Absent { message }));
    check("no forge", &silent, &Waits("1.1.0", "no forge to ask"));
}

#[test]
fn the_evidence_goes_with_the_update() {
    let plan = world(PROD, "acme/web:1.0.0", vec![well("eu-1", "1.1.0", 25)]).complete();
    let update = &plan.actions[0].updates[0];
    let proof = &update.promotion.as_ref().unwrap().places[0];
    assert_eq!((proof.cluster.as_deref(), proof.since, &proof.commit), (Some("eu-1"), ago(25), &Some(commit(9))));
    assert_eq!(update.passed, [Gate::Promotion]);
    assert_eq!(update.overridden, None);
}

#[test]
fn a_person_may_ask_for_it_and_open_a_gate() {
    let closed = PROD.replace("write: commit", "write: commit\n    windows: [{ cron: \"0 1 * * *\", duration: 1h }]");
    let mut world = world(&closed, "acme/web:1.0.0", vec![well("eu-1", "1.1.0", 3)]);
    let asked = |overrides: &[Gate]| PromotionRequest {
        app: "web".to_owned(),
        environment: "prod".to_owned(),
        image: None,
        overrides: overrides.iter().copied().collect(),
        reason: "the fix for the outage".to_owned(),
        by: "ada".to_owned(),
    };
    world.request = Some(asked(&[]));
    assert_eq!(world.complete().holds[0].gate, Gate::Promotion);
    world.request = Some(asked(&[Gate::Promotion]));
    assert_eq!(world.complete().holds[0].gate, Gate::Window);
    world.request = Some(asked(&[Gate::Promotion, Gate::Window]));
    let plan = world.complete();
    let opened = plan.actions[0].updates[0].overridden.as_ref().unwrap();
    assert_eq!((opened.gates.as_slice(), opened.by.as_str()), (&[Gate::Promotion, Gate::Window][..], "ada"));
    world.request = Some(PromotionRequest { app: "api".to_owned(), ..asked(&[]) });
    let plan = world.complete();
    assert!(plan.actions.is_empty() && plan.holds.is_empty(), "only what is asked for is planned");
}
