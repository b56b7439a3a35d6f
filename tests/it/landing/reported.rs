//! Cluster states after public bug reports, and recorded from real controllers: `cases.json` names for each what
//! `landfall diagnose` must answer, what it must say, what it must not say, and where it comes from.
//!
//! `want` is state, rung and cause of the landing: `a|b` either, `*` anything, `!x` anything but x, `null` none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use landfall::cluster::object;
use landfall::landing::{Assessment, Git, QueryIndex, Question, World, assess, judge};
use landfall::model::observation::Object;
use landfall::model::{Cause, ImageReference};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
struct Reported {
    name: String,
    image: Option<String>,
    revision: Option<String>,
    now: Timestamp,
    want: String,
    /// `Kind/name` → verdict and cause.
    objects: BTreeMap<String, String>,
    /// Each must be in what is said of the landing, or, without an image, of the objects that are named; `a|b` either.
    mentions: Vec<String>,
    /// None may be said anywhere.
    avoids: Vec<String>,
    about: String,
    why: String,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples/landing/reported")
}

fn objects(name: &str) -> Vec<Object> {
    let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    documents.iter().map(|value| object::read(value).unwrap()).collect()
}

/// Whether one of a case's patterns holds.
fn holds(pattern: &str, found: Option<&str>) -> bool {
    let found = found.unwrap_or("null");
    pattern == "*"
        || match pattern.strip_prefix('!') {
            Some(not) => found != not,
            None => pattern.split('|').any(|one| one == found),
        }
}

/// All that a cause says, in lower case.
fn said(cause: Option<&Cause>) -> String {
    cause.map_or_else(String::new, |cause| {
        format!("{}\n{}\n{}\n", cause.message, cause.evidence.join("\n"), cause.next).to_lowercase()
    })
}

impl Reported {
    fn differences(&self) -> Vec<String> {
        let objects = objects(&self.name);
        let catalogue = QueryIndex::of(objects.iter().cloned().map(Arc::new));
        let world = World::new(&catalogue, self.now);
        let mut wrong = Vec::new();
        let mut named = String::new();
        for (name, expected) in &self.objects {
            let object = objects.iter().find(|object| format!("{}/{}", object.kind, object.name) == *name).unwrap();
            let found = assess(&world, object);
            named.push_str(&said(found.cause.as_ref()));
            wrong.extend(differences(&found, expected).map(|pattern| format!("{name}: {pattern}, but {found:?}")));
        }
        let landing = self.image.as_ref().map(|image| {
            let mut question = Question::new(ImageReference::parse(image).unwrap());
            question.git = self.revision.clone().map_or(Git::Unknown, Git::Commit);
            judge(&world, &question).landing
        });
        if let Some(landing) = &landing {
            let code = landing.cause.as_ref().map(|cause| cause.code.to_string());
            let (state, rung) = (landing.state.to_string(), landing.rung.map(|rung| rung.to_string()));
            let found = [Some(state.as_str()), rung.as_deref(), code.as_deref()];
            let missed = self.want.split(' ').zip(found).filter(|(pattern, found)| !holds(pattern, *found));
            wrong.extend(missed.map(|(pattern, _)| format!("wanted {pattern}, found {landing:?}")));
        }
        let told = landing.map_or(named, |landing| said(landing.cause.as_ref()));
        let lacks = |part: &&String| !part.to_lowercase().split('|').any(|one| told.contains(one));
        wrong.extend(self.mentions.iter().filter(lacks).map(|part| format!("`{part}` is not said: {told}")));
        let all: String = objects.iter().map(|object| said(assess(&world, object).cause.as_ref())).collect();
        let has = |part: &&String| all.contains(&part.to_lowercase()) || told.contains(&part.to_lowercase());
        wrong.extend(self.avoids.iter().filter(has).map(|part| format!("`{part}` is said: {told}{all}")));
        wrong
    }
}

/// The patterns of an object's expectation that do not hold: verdict, then cause; or only what it must not be.
fn differences<'e>(found: &Assessment, expected: &'e str) -> impl Iterator<Item = &'e str> {
    let (verdict, code) = (found.verdict.to_string(), found.cause.as_ref().map(|cause| cause.code.to_string()));
    let patterns: Vec<&str> = expected.split(' ').collect();
    let only_not = patterns.iter().all(|pattern| pattern.starts_with('!'));
    let wrong: Vec<&str> = match patterns.as_slice() {
        all if only_not => {
            let is = |pattern: &&&str| !holds(pattern, Some(&verdict)) || !holds(pattern, code.as_deref());
            all.iter().filter(is).copied().collect()
        }
        all => {
            let found = [Some(verdict.as_str()), code.as_deref()];
            all.iter()
                .zip(found)
                .filter(|(pattern, found)| !holds(pattern, *found))
                .map(|(pattern, _)| *pattern)
                .collect()
        }
    };
    wrong.into_iter()
}

#[test]
fn every_reported_state_is_judged_as_it_should_be() {
    let text = std::fs::read_to_string(folder().join("cases.json")).unwrap();
    let cases: Vec<Reported> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 48, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let found = case.differences();
        if !found.is_empty() {
            wrong.push(format!("{}: {} ({})\n    {}", case.name, case.about, case.why, found.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
