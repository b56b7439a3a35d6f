//! What is kept from look to look is what a look from nothing would find.

use std::collections::BTreeMap;
use std::sync::Arc;

use landfall::cluster::object;
use landfall::landing::{Judgement, ObjectChange, QueryIndex, Question, Reads, World, judge};
use landfall::model::State;
use landfall::model::observation::{Body, Object, ObjectKey};
use proptest::prelude::*;
use serde_json::Value;

use super::corpus::{Case, cases};
use super::properties::{odd_value, paths};

/// What is remembered of a question: the answer, and what it was made from.
type Answer = (Judgement, Vec<ObjectKey>);

fn answer(world: &World<'_>, question: &Question) -> Answer {
    let judgement = judge(world, question);
    // As the daemon does: only what is not up is looked at closer.
    let closer = matches!(judgement.landing.state, State::Stuck | State::Pending);
    let workloads = judgement.workloads.iter().filter(|_| closer);
    let unwell = workloads.flat_map(|workload| world.unwell(workload)).map(Object::key).collect();
    (judgement, unwell)
}

/// Every version of every object of some situations, and some that are damaged.
fn pool(cases: &[&Case], damage: &[(prop::sample::Index, prop::sample::Index, Value)]) -> Vec<Arc<Object>> {
    let whole: Vec<Value> = cases.iter().flat_map(|case| case.values()).collect();
    let mut values = whole.clone();
    for (which, place, odd) in damage.iter().filter(|_| !whole.is_empty()) {
        let mut damaged = which.get(&whole).clone();
        let mut all = Vec::new();
        paths(&damaged, "", &mut all);
        if let Some(at) = damaged.pointer_mut(place.get(&all).as_str()) {
            *at = odd.clone();
            values.push(damaged);
        }
    }
    values.iter().filter_map(|value| object::read(value).ok()).map(Arc::new).collect()
}

/// The questions of the situations, asked of controllers by name as the daemon asks them: each alone, and all together.
fn questions(cases: &[&Case], pool: &[Arc<Object>]) -> Vec<Question> {
    let is_controller = |object: &&Arc<Object>| {
        matches!(object.body, Body::Application(_) | Body::Kustomization(_) | Body::HelmRelease(_))
    };
    let mut controllers: Vec<ObjectKey> = pool.iter().filter(is_controller).map(|object| object.key()).collect();
    controllers.sort();
    controllers.dedup();
    let alone = controllers.iter().map(|key| vec![key.clone()]).chain([controllers.clone()]);
    let scopes: Vec<Vec<ObjectKey>> = alone.filter(|keys| !keys.is_empty()).collect();
    let of = |case: &&Case| {
        let question = case.question();
        let scoped = scopes.iter().map(|keys| {
            let mut question = question.clone();
            question.scope.controllers = Some(keys.clone());
            question
        });
        scoped.chain([question.clone()]).collect::<Vec<_>>()
    };
    cases.iter().flat_map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Objects come, change and go in any order. After each step every question that no change touches still has its answer,
    /// and the kept objects answer all questions as new ones do.
    #[test]
    fn what_is_not_touched_is_not_otherwise(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), odd_value()), 0..12),
        steps in prop::collection::vec(prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8), 1..4), 1..40),
    ) {
        let cases: Vec<&Case> = picks.iter().map(|pick| pick.get(cases())).collect();
        let now = cases[0].now();
        let pool = pool(&cases, &damage);
        prop_assume!(!pool.is_empty());
        let questions = questions(&cases, &pool);
        let mut objects: BTreeMap<ObjectKey, Arc<Object>> = BTreeMap::new();
        let mut kept = QueryIndex::default();
        let mut known: Vec<Option<(Answer, Reads)>> = vec![None; questions.len()];
        for step in steps {
            let mut changes = Vec::new();
            for (pick, what) in step {
                let object = pick.get(&pool);
                // More come than go.
                if what == 0 {
                    objects.remove(&object.key());
                    changes.push(ObjectChange::Gone(object.key()));
                } else {
                    objects.insert(object.key(), Arc::clone(object));
                    changes.push(ObjectChange::Is(Arc::clone(object)));
                }
            }
            let touched = kept.update(changes);
            let fresh = QueryIndex::of(objects.values().cloned());
            let (world, anew) = (World::new(&kept, now), World::new(&fresh, now));
            for (question, known) in questions.iter().zip(&mut known) {
                let expected = answer(&anew, question);
                if let Some((answer, _)) = known.as_ref().filter(|(_, reads)| !touched.meets(reads)) {
                    prop_assert_eq!(answer, &expected, "an answer that was taken for good is not");
                }
                world.note();
                let found = answer(&world, question);
                prop_assert_eq!(&found, &expected, "what is kept answers otherwise than what is new");
                *known = Some((found, world.noted()));
            }
        }
    }
}

/// A change of one app's objects concerns that app and no other: otherwise nothing would be gained, however right it is.
#[test]
fn a_change_of_one_app_concerns_no_other() {
    let (mut concerned, mut apart) = (0, 0);
    for case in cases() {
        let values = case.values();
        let renamed: Vec<Value> = values.iter().map(of_another_app).collect();
        let read = |values: &[Value]| -> Vec<Arc<Object>> {
            values.iter().filter_map(|value| object::read(value).ok()).map(Arc::new).collect()
        };
        let (own, mut other) = (read(&values), read(&renamed));
        other.retain(|object| own.iter().all(|it| it.key() != object.key()));
        let mut question = case.question();
        let controllers =
            own.iter().filter(|object| matches!(object.body, Body::Application(_) | Body::Kustomization(_)));
        let controllers: Vec<ObjectKey> = controllers.map(|object| object.key()).collect();
        if controllers.is_empty() {
            continue;
        }
        question.scope.controllers = Some(controllers);
        let mut kept = QueryIndex::of(own.iter().chain(&other).cloned());
        let reads = {
            let world = World::new(&kept, case.now());
            world.note();
            let _answer = judge(&world, &question);
            world.noted()
        };
        let is_pod = |object: &&Arc<Object>| matches!(object.body, Body::Pod(_));
        for (pods, count) in [(&own, &mut concerned), (&other, &mut apart)] {
            for pod in pods.iter().filter(is_pod) {
                let changed = Object { generation: Some(99), ..Object::clone(pod) };
                let touched = kept.update([ObjectChange::Is(Arc::new(changed))]);
                *count += usize::from(touched.meets(&reads));
            }
        }
    }
    assert!(concerned >= 5, "{concerned}");
    assert_eq!(apart, 0, "of {concerned}");
}

/// The same object of another app.
fn of_another_app(value: &Value) -> Value {
    serde_json::from_str(&value.to_string().replace("web", "api")).unwrap()
}
