//! The corpus in `tests/samples/landing`: objects as the APIs have them → verdicts, cause, state, rung, next step.
//!
//! `base.yaml` holds objects of a world in which everything has landed. A case takes some, changes fields (`with` is a merge
//! patch, `set` writes single paths), asks, and says what must be answered. An object that a case says nothing about is not
//! looked at; a landing always is, where an image is asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use landfall::cluster::object;
use landfall::landing::{Contains, Git, QueryIndex, Question, RevisionFact, World, assess, judge};
use landfall::model::observation::{Object, ObjectKey};
use landfall::model::{Blame, Cause, CauseCode, ImageReference, Landing, Tag, Version};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The image that is asked for where a case names none.
const IMAGE: &str = "ghcr.io/acme/web:1.4.0";
/// The time of judging where a case names none: soon after everything in `base.yaml`.
const NOW: &str = "2026-05-04T10:05:00Z";

/// One situation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    /// Why the answer is what it is: the trap, or what the API really does.
    pub(super) because: String,
    objects: Vec<Value>,
    #[serde(default)]
    ask: Ask,
    expect: Expect,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Ask {
    image: Option<String>,
    revision: Option<String>,
    now: Option<Timestamp>,
    /// Revision → what Git says of it, as the daemon knows it.
    git: Option<BTreeMap<String, Fact>>,
    deadline: Option<Timestamp>,
    orphan_after: Option<Timestamp>,
    /// `Kind.group/namespace/name` of the controllers that watch the path.
    watchers: Option<Vec<String>>,
    /// The same, of objects whose own specification holds the pin.
    #[serde(default)]
    held: Vec<String>,
}

/// What Git says of a revision.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fact {
    contains: bool,
    declares: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    state: String,
    rung: Option<String>,
    cause: Option<String>,
    /// What the landing's next step must contain.
    next: Option<String>,
    /// What message or evidence must contain.
    seen: Option<String>,
    /// Whom the cause blames: `version` or `platform`.
    blame: Option<Blame>,
    /// What the next step must not contain.
    avoid: Option<String>,
    /// The one digest that the pods report.
    digest: Option<String>,
    /// `Kind/name` → `verdict` or `verdict cause`.
    #[serde(default)]
    objects: BTreeMap<String, String>,
}

/// All cases of all files.
pub(super) fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(read_cases)
}

fn read_cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/landing");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file() && path.file_name().is_some_and(|name| name != "base.yaml"));
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = names_in(&fs::read_to_string(&file).unwrap());
        let cases: Vec<Case> =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        all.extend(cases);
    }
    all
}

/// Commits and digests by their names.
fn names_in(text: &str) -> String {
    let digest = |c: &str| format!("sha256:{}", c.repeat(64));
    text.replace("$A", &"a".repeat(40))
        .replace("$B", &"b".repeat(40))
        .replace("$C", &"c".repeat(40))
        .replace("$D", &digest("d"))
        .replace("$E", &digest("e"))
}

fn base() -> &'static Map<String, Value> {
    static BASE: OnceLock<Map<String, Value>> = OnceLock::new();
    BASE.get_or_init(read_base)
}

fn read_base() -> Map<String, Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/landing/base.yaml");
    let Value::Object(map) = serde_saphyr::from_str(&names_in(&fs::read_to_string(path).unwrap())).unwrap() else {
        panic!("base.yaml is no mapping")
    };
    map
}

impl Case {
    /// The objects as JSON.
    pub(super) fn values(&self) -> Vec<Value> {
        let base = base();
        self.objects.iter().map(|object| build(object, base, &self.name)).collect()
    }

    /// What is asked.
    pub(super) fn question(&self) -> Question {
        let image = self.ask.image.as_deref().unwrap_or(IMAGE);
        let mut question = Question::new(ImageReference::parse_any(image).unwrap());
        if let Some(revision) = &self.ask.revision {
            question.git = Git::Commit(revision.clone());
        }
        if let Some(facts) = &self.ask.git {
            question.git = Git::Facts(facts.iter().map(|(revision, fact)| (revision.clone(), fact.known())).collect());
        }
        question.deadline = self.ask.deadline;
        question.orphan_after = self.ask.orphan_after;
        question.scope.controllers =
            self.ask.watchers.as_ref().map(|keys| keys.iter().map(|key| watcher(key)).collect());
        question.scope.held = self.ask.held.iter().map(|key| watcher(key)).collect();
        question
    }

    pub(super) fn now(&self) -> Timestamp {
        self.ask.now.unwrap_or(NOW.parse().unwrap())
    }

    pub(super) fn is_landed(&self) -> bool {
        self.expect.state == "landed"
    }

    /// Everything in which the answer differs from what is expected.
    fn differences(&self) -> Vec<String> {
        let objects: Vec<Object> = self.values().iter().map(|value| object::read(value).unwrap()).collect();
        let index = QueryIndex::of(objects.iter().cloned().map(Arc::new));
        let world = World::new(&index, self.now());
        let mut wrong = Vec::new();
        for (name, expected) in &self.expect.objects {
            let Some(object) = objects.iter().find(|o| format!("{}/{}", o.kind, o.name) == *name) else {
                wrong.push(format!("no object {name}"));
                continue;
            };
            let found = assess(&world, object);
            let code = found.cause.as_ref().map_or_else(String::new, |cause| format!(" {}", cause.code));
            let said = format!("{}{code}", found.verdict);
            if said != *expected {
                wrong.push(format!("{name}: expected `{expected}`, found `{said}`: {:?}", found.cause));
            }
        }
        let judgement = judge(&world, &self.question());
        let Landing { state, rung, cause } = judgement.landing;
        let expect = &self.expect;
        let digests: Vec<String> = judgement.digests.iter().map(ToString::to_string).collect();
        if expect.digest.as_ref().is_some_and(|digest| digests != std::slice::from_ref(digest)) {
            wrong.push(format!("the pods report {digests:?}"));
        }
        let mut compare = |what: &str, expected: Option<&str>, found: Option<String>| {
            if expected != found.as_deref() {
                wrong.push(format!("{what}: expected {expected:?}, found {found:?}: {cause:?}"));
            }
        };
        compare("state", Some(&expect.state), Some(state.to_string()));
        compare("rung", expect.rung.as_deref(), rung.map(|rung| rung.to_string()));
        compare("cause", expect.cause.as_deref(), cause.as_ref().map(|cause| cause.code.to_string()));
        if let Some(part) = &expect.next {
            let next = cause.as_ref().map_or("", |cause| cause.next.as_str());
            if !next.contains(part.as_str()) {
                wrong.push(format!("next step `{next}` does not contain `{part}`"));
            }
        }
        if expect.blame.is_some() && expect.blame != cause.as_ref().map(|cause| cause.blame) {
            wrong.push(format!("blame: expected {:?}: {cause:?}", expect.blame));
        }
        if let Some(part) = &expect.avoid {
            let next = cause.as_ref().map_or("", |cause| cause.next.as_str());
            if next.contains(part.as_str()) {
                wrong.push(format!("next step `{next}` contains `{part}`"));
            }
        }
        if let Some(part) = &expect.seen {
            let text = cause.as_ref().map_or_else(String::new, |c| format!("{} {}", c.message, c.evidence.join(" ")));
            if !text.contains(part.as_str()) {
                wrong.push(format!("`{part}` is not in `{text}`"));
            }
        }
        wrong
    }
}

impl Fact {
    fn known(&self) -> RevisionFact {
        let tag = self.declares.as_deref().map(|tag| Tag::parse(tag).unwrap());
        RevisionFact {
            contains: if self.contains { Contains::Yes } else { Contains::No },
            declares: tag.map(|tag| Version { tag: Some(tag), digest: None }),
        }
    }
}

fn watcher(key: &str) -> ObjectKey {
    let parts: Vec<&str> = key.split('/').collect();
    let (kind, group) = parts[0].split_once('.').unwrap();
    ObjectKey::new(group, kind, Some(parts[1]), parts[2])
}

/// An object of the corpus: a name of `base.yaml`, or a `use` with changes, or a whole object.
fn build(object: &Value, base: &Map<String, Value>, case: &str) -> Value {
    let from_base = |name: &str| {
        let found = base.get(name).unwrap_or_else(|| panic!("{case}: base.yaml has no `{name}`"));
        build(found, base, case)
    };
    if let Value::String(name) = object {
        return from_base(name);
    }
    let Some(used) = object.get("use").and_then(Value::as_str) else { return object.clone() };
    let mut built = from_base(used);
    if let Some(patch) = object.get("with") {
        merge(&mut built, patch);
    }
    if let Some(Value::Object(paths)) = object.get("set") {
        for (path, value) in paths {
            set(&mut built, path, value, case);
        }
    }
    built
}

/// A JSON merge patch: `null` removes, lists are replaced.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let map = into.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            map.shift_remove(key);
        } else {
            merge(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Writes one value at a path such as `status.conditions[0].reason`.
fn set(into: &mut Value, path: &str, value: &Value, case: &str) {
    let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    let place = into.pointer_mut(&pointer).unwrap_or_else(|| panic!("{case}: nothing is at `{path}`"));
    *place = value.clone();
}

#[test]
fn every_situation_is_judged_as_expected() {
    let mut wrong = Vec::new();
    for case in cases() {
        let found = case.differences();
        if !found.is_empty() {
            wrong.push(format!("{} ({})\n    {}", case.name, case.because, found.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_corpus_is_large_and_each_case_has_its_own_name() {
    let cases = cases();
    let mut names: Vec<_> = cases.iter().map(|case| case.name.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), cases.len(), "a name is there twice");
    assert!(cases.len() >= 120, "only {} cases", cases.len());
    assert!(cases.iter().all(|case| case.because.len() > 10));
}

/// What must stand in no next step: whoever pastes it would take away what works.
fn is_dangerous(next: &str) -> bool {
    let told = |words: &[&str]| words.iter().any(|word| next.contains(word));
    // A cause's text quotes commands like this; apostrophes do not begin any.
    let starts = ["'kubectl ", "'helm ", "'argocd ", "'flux "];
    let at = |start: &str| next.match_indices(start).map(|(at, _)| &next[at + 1..]).collect::<Vec<_>>();
    let rest = starts.into_iter().flat_map(at);
    let mut commands = rest.map(|rest| rest.split('\'').next().unwrap_or(rest));
    let kinds = [
        "application",
        "applications",
        "app",
        "kustomization",
        "ks",
        "helmrelease",
        "hr",
        "pvc",
        "persistentvolumeclaim",
        "pv",
        "statefulset",
        "sts",
        "deployment",
        "deploy",
        "daemonset",
        "namespace",
        "ns",
        "crd",
        "node",
        "service",
    ];
    let harms = |command: &str| {
        let words: Vec<&str> = command.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| matches!(*word, "delete" | "uninstall")) else { return false };
        // A kind and one name, without flags that widen it.
        let [kind, rest @ ..] = &words[at + 1..] else { return true };
        kinds.contains(&kind.to_lowercase().as_str())
            || rest.len() != 1
            || rest.iter().any(|word| word.starts_with('-') || word.contains(','))
    };
    commands.any(harms)
        || told(&["--force", "--grace-period=0", "--cascade", "--replace", "kubectl delete -f", "delete Application"])
        || told(&["delete Kustomization", "delete HelmRelease", "delete the namespace", "remove the finalizer "])
}

#[test]
fn no_next_step_is_dangerous_when_followed_to_the_letter() {
    for bad in [
        "go on: 'kubectl -n web delete pod web-0 web-1'",
        "the volume's claim: 'kubectl delete pvc data'",
        "'kubectl -n web delete pod web-0 --force'",
        "'kubectl -n web delete pod'",
    ] {
        assert!(is_dangerous(bad), "{bad}");
    }
    let mut dangerous = Vec::new();
    for case in cases() {
        let objects: Vec<Object> = case.values().iter().map(|value| object::read(value).unwrap()).collect();
        let index = QueryIndex::of(objects.iter().cloned().map(Arc::new));
        let world = World::new(&index, case.now());
        let of_objects = objects.iter().filter_map(|object| assess(&world, object).cause);
        for cause in of_objects.chain(judge(&world, &case.question()).landing.cause) {
            if is_dangerous(&cause.next) {
                dangerous.push(format!("{}: {}", case.name, cause.next));
            }
            // A pause by somebody else is not ended by hand.
            if cause.code == CauseCode::CanaryPaused && cause.next.contains("rollout resume") {
                dangerous.push(format!("{}: {}", case.name, cause.next));
            }
        }
    }
    assert!(dangerous.is_empty(), "{}", dangerous.join("\n"));
}

#[test]
fn every_cause_says_what_to_do_next() {
    let check = |case: &Case, cause: Option<Cause>| {
        if let Some(cause) = cause {
            assert!(!cause.message.is_empty() && cause.next.len() > 10, "{}: {cause:?}", case.name);
            assert!(cause.evidence.len() <= 12, "{}: {cause:?}", case.name);
        }
    };
    for case in cases() {
        let objects: Vec<Object> = case.values().iter().map(|value| object::read(value).unwrap()).collect();
        let index = QueryIndex::of(objects.iter().cloned().map(Arc::new));
        let world = World::new(&index, case.now());
        for object in &objects {
            check(case, assess(&world, object).cause);
        }
        check(case, judge(&world, &case.question()).landing.cause);
    }
}
