//! The signature gate: what is asked, what passes, what is held, in which order.

use super::*;
use crate::model::{FailureCode, SignatureEvidence, SignatureProof, SignatureVerdict, SignedThing, Verification};

const VERIFY: &str = "verify: { cosign: { identity: ci@example.com, issuer: \"https://example.com\" } }";
const IMAGE: &str = "acme/web";

fn policies(more: &str) -> String {
    POLICIES.replacen("write: commit", &format!("write: commit\n    {VERIFY}\n    {more}"), 1)
}

fn world(more: &str, tags: &[&str]) -> World {
    World::new(&policies(more), &[("apps/web/dev/pod.yaml", "acme/web:1.0.0")]).tags(IMAGE, tags)
}

fn demand(world: &World) -> Arc<Verification> {
    let path = RepoPath::parse("apps/web/dev/pod.yaml").unwrap();
    let effective = world.policies.effective(&path, &name(IMAGE));
    Arc::clone(&effective.fields.verify.unwrap().value)
}

/// The digest of the tag at this place of the world's list.
fn of(at: usize) -> Digest {
    digest(u8::try_from(at + 16).unwrap())
}

fn evidence(digest: &Digest) -> SignatureEvidence {
    let proof = SignatureProof { what: SignedThing::Image, by: "ci".to_owned(), log_index: Some(7) };
    SignatureEvidence { digest: digest.clone(), proofs: vec![proof] }
}

fn verified(digest: &Digest) -> Answer<SignatureVerdict> {
    Answer::Known(SignatureVerdict::Verified(evidence(digest)))
}

fn refused(reason: &str) -> Answer<SignatureVerdict> {
    Answer::Known(SignatureVerdict::Refused { reason: reason.to_owned() })
}

fn answer(world: &mut World, at: usize, answer: Answer<SignatureVerdict>) {
    let key = (name(IMAGE), of(at), demand(world));
    drop(world.answers.signatures.insert(key, answer));
}

#[test]
fn nothing_is_written_before_the_answer_and_only_what_would_be_written_is_asked() {
    let world = world("", &["1.0.0", "1.1.0"]);
    let planned = plan(&world.snapshot());
    let asked = RegistryQuery::Signatures(name(IMAGE), of(1), demand(&world));
    assert_eq!(planned.queries.registry.iter().collect::<Vec<_>>(), [&asked]);
    assert!(planned.plan.actions.is_empty() && planned.plan.holds.is_empty());
    // What is declared already is not asked about.
    let current = self::world("", &["1.0.0"]);
    assert!(plan(&current.snapshot()).queries.is_empty());
}

#[test]
fn what_is_proved_passes_with_its_evidence_and_everything_else_is_held() {
    let down = Answer::Failed { message: "503".to_owned(), code: FailureCode::Server, last: None };
    // An answer about another digest, whatever the cache says, and evidence of an earlier day are no answers.
    let late = Answer::Failed {
        message: "503".to_owned(),
        code: FailureCode::Server,
        last: Some(SignatureVerdict::Verified(evidence(&of(1)))),
    };
    for (given, held, problems) in [
        (verified(&of(1)), None, 0),
        (refused("by somebody else"), Some("by somebody else (demanded by policies.yaml:"), 0),
        (Answer::Absent { message: "404".to_owned() }, Some("404"), 0),
        (verified(&of(0)), Some("the evidence is about"), 0),
        (down, Some("503"), 1),
        (late, Some("503"), 1),
    ] {
        for pin in ["", "pin: digest"] {
            let mut world = world(pin, &["1.0.0", "1.1.0"]);
            answer(&mut world, 1, given.clone());
            let plan = world.complete();
            assert_eq!(plan.problems.len(), problems, "{given:?}");
            match held {
                None => {
                    let update = &plan.actions[0].updates[0];
                    assert_eq!(
                        (update.verified.as_ref(), &update.passed[..]),
                        (Some(&evidence(&of(1))), &[Gate::Signature][..])
                    );
                }
                Some(words) => {
                    assert!(plan.actions.is_empty(), "{given:?}");
                    let hold = &plan.holds[0];
                    assert!(hold.gate == Gate::Signature && hold.reason.contains(words), "{given:?}: {}", hold.reason);
                }
            }
        }
    }
}

#[test]
fn older_versions_are_tried_when_the_newest_are_not_signed_but_not_without_end() {
    let tags = ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"];
    let mut signed = world("", &tags);
    for at in [2, 3, 4] {
        answer(&mut signed, at, if at == 2 { verified(&of(2)) } else { refused("no") });
    }
    assert_eq!(signed.complete().actions[0].updates[0].to.to_string(), "1.2.0");
    let mut unsigned = world("", &tags);
    for at in [2, 3, 4] {
        answer(&mut unsigned, at, refused("no"));
    }
    let plan = unsigned.complete();
    assert_eq!(
        (plan.actions.len(), plan.holds[0].update.to.to_string().as_str()),
        (0, "1.4.0"),
        "the fourth is not asked about"
    );
}

#[test]
fn a_cap_and_the_policy_demand_independently() {
    let cap = |world: &World| {
        let other = policies("").replace("ci@example.com", "operator@example.com");
        let set = PolicySet::new(parse_policies("landfall.yaml", &other).unwrap());
        let path = RepoPath::parse("apps/web/dev/pod.yaml").unwrap();
        let verify = set.effective(&path, &name(IMAGE)).fields.verify.unwrap();
        let cap = crate::policy::Cap {
            paths: vec![crate::policy::PathPattern::parse("**").unwrap()],
            write: vec![crate::policy::Write::Commit],
            automerge: true,
            approvals: 0,
            minimum_release_age: None,
            images: Vec::new(),
            registries: Vec::new(),
            promote_from: None,
            windows: None,
            rollback: true,
            verify: Some(verify.clone()),
            key_paths: false,
            origin: verify.origin.clone(),
        };
        (world.policies.clone().with_caps(vec![cap]), verify.value)
    };
    for (by_policy, by_cap, passes) in [(true, true, true), (true, false, false), (false, true, false)] {
        let mut world = world("", &["1.0.0", "1.1.0"]);
        let (set, of_cap) = cap(&world);
        let verdict = |good| if good { verified(&of(1)) } else { refused("no") };
        answer(&mut world, 1, verdict(by_policy));
        drop(world.answers.signatures.insert((name(IMAGE), of(1), of_cap), verdict(by_cap)));
        world.policies = set;
        assert_eq!(world.complete().actions.len(), usize::from(passes), "{by_policy} {by_cap}");
    }
}

#[test]
fn nobody_opens_it_by_hand() {
    let mut world = world("", &["1.0.0", "1.1.0"]);
    answer(&mut world, 1, refused("no"));
    world.request = Some(PromotionRequest {
        app: "web".to_owned(),
        environment: "dev".to_owned(),
        image: None,
        overrides: [Gate::Signature, Gate::Hold].into(),
        reason: "x".to_owned(),
        by: "Ada".to_owned(),
    });
    let plan = world.complete();
    assert!(plan.actions.is_empty() && plan.holds[0].gate == Gate::Signature, "{plan:?}");
}
