//! What holds for every situation of the corpus, however its objects are damaged.

use std::sync::Arc;

use landfall::cluster::object;
use landfall::landing::{QueryIndex, World, assess, judge};
use landfall::model::observation::Object;
use landfall::model::{State, Verdict};
use proptest::prelude::*;
use serde_json::Value;

use super::corpus::{Case, cases};

/// Evidence that the API always writes; without it nothing but the name of a container is left.
const ALWAYS_THERE: &[&str] = &["restartCount"];

/// Situations in which the image is up, and only a controller's report says that a check of it failed: whether there is
/// such a check, nothing else tells.
const ONLY_REPORTED: &[&str] = &["argo-post-sync-hook-failed-with-the-image-live"];

/// Paths of everything below a value, as JSON pointers.
pub(super) fn paths(value: &Value, at: &str, into: &mut Vec<String>) {
    let mut below = |key: &str, value: &Value| {
        let path = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        into.push(path.clone());
        paths(value, &path, into);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(list) => list.iter().enumerate().for_each(|(at, value)| below(&at.to_string(), value)),
        _ => {}
    }
}

fn remove(value: &mut Value, path: &str) {
    let Some((parent, key)) = path.rsplit_once('/') else { return };
    let key = key.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) => drop(map.shift_remove(&key)),
        Some(Value::Array(list)) => {
            if let Some(at) = key.parse::<usize>().ok().filter(|at| *at < list.len()) {
                list.remove(at);
            }
        }
        _ => {}
    }
}

/// What comes of a case with these objects in place of its own. An object with a field that cannot be read is never
/// called fine, and of the same objects the same is said again.
fn judged(case: &Case, values: &[Value]) -> State {
    let objects: Vec<Object> = values.iter().filter_map(|value| object::read(value).ok()).collect();
    let index = QueryIndex::of(objects.iter().cloned().map(Arc::new));
    let world = World::new(&index, case.now());
    for object in &objects {
        let assessment = assess(&world, object);
        assert!(
            object.malformed.is_empty() || assessment.verdict != Verdict::Current,
            "{}: {} is fine in spite of {:?}",
            case.name,
            object.label(),
            object.malformed
        );
    }
    let judgement = judge(&world, &case.question());
    assert_eq!(judgement, judge(&World::new(&index, case.now()), &case.question()), "{}", case.name);
    judgement.landing.state
}

/// Every status field of a situation that has not landed is removed, one after the other: none makes it land. Removing what
/// cannot be read anyway is no removal of evidence.
#[test]
fn removing_evidence_never_makes_anything_land() {
    let mut wrong = Vec::new();
    for case in cases().iter().filter(|case| !case.is_landed() && !ONLY_REPORTED.contains(&case.name.as_str())) {
        let values = case.values();
        let mut objects: Vec<Arc<Object>> = values.iter().map(|value| Arc::new(object::read(value).unwrap())).collect();
        for (index, value) in values.iter().enumerate() {
            let mut all = Vec::new();
            if let Some(status) = value.get("status").filter(|_| objects[index].malformed.is_empty()) {
                all.push("/status".to_owned());
                paths(status, "/status", &mut all);
            }
            all.retain(|path| !ALWAYS_THERE.iter().any(|field| path.ends_with(field)));
            let whole = Arc::clone(&objects[index]);
            for path in all {
                let mut damaged = value.clone();
                remove(&mut damaged, &path);
                let damaged = object::read(&damaged).unwrap();
                if damaged == *whole {
                    // Nobody reads what was there.
                    continue;
                }
                objects[index] = Arc::new(damaged);
                let index = QueryIndex::of(objects.iter().cloned());
                let world = World::new(&index, case.now());
                if judge(&world, &case.question()).landing.state == State::Landed {
                    wrong.push(format!("{}: without {path} of {}", case.name, value["kind"]));
                }
            }
            objects[index] = whole;
        }
    }
    assert!(wrong.is_empty(), "{} landed:\n{}", wrong.len(), wrong.join("\n"));
}

/// What a hostile or broken API might put in place of a value.
pub(super) fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(Value::Bool(true)),
        Just(Value::Array(Vec::new())),
        Just(serde_json::json!({})),
        Just(serde_json::json!([[{}], null, "x"])),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        Just(Value::from("9999-99-99T99:99:99Z")),
        Just(Value::from("-009999-01-01T00:00:00Z")),
        Just(Value::from("\u{0}\u{202e}`@everyone` ".repeat(200))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    /// Values anywhere, replaced by others: a verdict comes out, and no field of the wrong type is called fine.
    #[test]
    fn damaged_objects_never_panic(pick in any::<prop::sample::Index>(), places in prop::collection::vec((any::<prop::sample::Index>(), odd_value()), 1..6)) {
        let case = pick.get(cases());
        let mut values = Value::Array(case.values());
        // Where a situation is about broken fields, to replace one may be to mend it.
        let mut only_evidence = case.values().iter().all(|value| object::read(value).unwrap().malformed.is_empty());
        for (place, odd) in places {
            let mut all = Vec::new();
            paths(&values, "", &mut all);
            if all.is_empty() {
                break;
            }
            let path = place.get(&all);
            if let Some(at) = values.pointer_mut(path) {
                // What counts as evidence, replaced by what cannot be evidence of anything.
                only_evidence &= path.split('/').nth(2) == Some("status")
                    && std::mem::discriminant(at) != std::mem::discriminant(&odd)
                    && !ALWAYS_THERE.iter().any(|field| path.ends_with(field));
                *at = odd;
            }
        }
        let Value::Array(values) = values else { return Ok(()) };
        let state = judged(case, &values);
        prop_assert!(case.is_landed() || !only_evidence || state != State::Landed, "{} landed", case.name);
    }

    /// The text of a dump, cut anywhere: whatever is left is read or named.
    #[test]
    fn cut_objects_never_panic(pick in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        let case = pick.get(cases());
        // In block style, most of a cut text still is YAML.
        let text = serde_saphyr::to_string(&case.values()).unwrap();
        let end = (0..=cut.index(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        if let Ok(Value::Array(values)) = serde_saphyr::from_str::<Value>(&text[..end]) {
            judged(case, &values);
        }
    }
}
