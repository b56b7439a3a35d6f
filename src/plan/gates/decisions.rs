//! Freezes and holds that people have written into the repository: which of them holds an update; and releases, which
//! end earlier decisions.
//!
//! Promise: a decision is in force until it ends or its file is removed. An unreadable file holds whatever its name
//! refers to, or everything if the name is not recognised: its author wanted something to stop.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::{About, Decision, Held, ImageName, Version};

use crate::plan::ledger::Releases;
use crate::plan::{Gate, Problem};

/// All decisions of people for a repository, as on its main branch.
#[derive(Debug, Clone, Default)]
pub struct Decisions {
    read: Vec<Decision>,
    unreadable: Vec<Unreadable>,
    /// What the main branch's history releases on other branches.
    releases: Releases,
    /// The names that exist, for interpreting file names; `None` if they were not read.
    known: Option<KnownNames>,
}

/// A decision file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The file.
    pub file: String,
    /// Whether it should be a freeze or a hold.
    pub kind: Gate,
    /// What is wrong, for people.
    pub problem: Problem,
    /// What it holds while it cannot be read.
    pub holds: Assumed,
}

/// What an unreadable file holds: everything its name may refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assumed {
    /// Everything: its name is not recognised.
    Everything,
    /// These environments.
    Environments(BTreeSet<String>),
    /// These apps, or images with these short names; only in the environment, if the name includes one.
    Subjects(BTreeSet<(String, Option<String>)>),
}

/// What a repository's files declare, for interpreting the name of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownNames {
    /// Environments.
    pub environments: BTreeSet<String>,
    /// Apps.
    pub apps: BTreeSet<String>,
    /// Images.
    pub images: BTreeSet<ImageName>,
}

impl KnownNames {
    /// Adds the names of another repository.
    pub fn add(&mut self, other: Self) {
        self.environments.extend(other.environments);
        self.apps.extend(other.apps);
        self.images.extend(other.images);
    }
}

/// What a decision may be about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The app.
    pub app: &'a str,
    /// The image.
    pub image: &'a ImageName,
    /// The environment.
    pub environment: Option<&'a str>,
    /// The target version.
    pub to: &'a Version,
}

impl Decisions {
    /// Decisions as they were read.
    #[must_use]
    pub fn new(read: Vec<Decision>, unreadable: Vec<Unreadable>) -> Self {
        Self { read, unreadable, releases: Releases::default(), known: None }
    }

    /// The same, with what the main branch's history releases.
    #[must_use]
    pub fn with_releases(mut self, releases: Releases) -> Self {
        self.releases = releases;
        self
    }

    /// The same, with the names that exist. A decision about something that no longer exists is about whatever it was
    /// renamed to, which may be anything.
    #[must_use]
    pub fn with_known(mut self, known: KnownNames) -> Self {
        self.known = Some(known);
        self
    }

    /// The same without these files, as it would be once they are removed.
    #[must_use]
    pub fn without(mut self, files: &BTreeSet<String>) -> Self {
        self.read.retain(|decision| !files.contains(&decision.file));
        self.unreadable.retain(|unreadable| !files.contains(&unreadable.file));
        self
    }

    /// The decisions that could be read.
    #[must_use]
    pub fn read(&self) -> &[Decision] {
        &self.read
    }

    /// The files that could not be read.
    #[must_use]
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// Whether a file releases this, decided no earlier than `since` and no later than now.
    #[must_use]
    pub fn releasing(&self, subject: &Subject<'_>, (since, now): (Timestamp, Timestamp)) -> bool {
        self.read.iter().any(|decision| {
            matches!(decision.about, About::Release { .. })
                && !decision.is_over(now)
                && (since.as_second()..=now.as_second()).contains(&decision.since.as_second())
                && is_about(decision, subject)
        })
    }

    /// What the main branch's history releases.
    pub(in crate::plan) fn releases(&self) -> &Releases {
        &self.releases
    }

    /// Every unreadable file, as a problem.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let told = |unreadable: &Unreadable| Problem {
            message: format!("{}; {} until this is fixed", unreadable.problem.message, unreadable.holds),
            ..unreadable.problem.clone()
        };
        self.unreadable.iter().map(told).collect()
    }

    /// Why freezes, or holds, hold this, and until when; of several, the one that ends last.
    #[must_use]
    pub fn holding(&self, gate: Gate, subject: &Subject<'_>, now: Timestamp) -> Option<(String, Option<Timestamp>)> {
        let doubts = |unreadable: &&Unreadable| unreadable.kind == gate && unreadable.holds.is_about(subject);
        if let Some(unreadable) = self.unreadable.iter().find(doubts) {
            return Some((format!("{} cannot be read: {}", unreadable.file, unreadable.problem.message), None));
        }
        let about = |decision: &Decision| is_about(decision, subject) || self.lost(decision, subject).is_some();
        let counts =
            |decision: &&Decision| gate_of(decision) == Some(gate) && !decision.is_over(now) && about(decision);
        let mut all: Vec<&Decision> = self.read.iter().filter(counts).collect();
        all.sort_by_key(|decision| std::cmp::Reverse(decision.until.unwrap_or(Timestamp::MAX)));
        let first = *all.first()?;
        let more = match all.len() {
            1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let lost = self.lost(first, subject).filter(|_| !is_about(first, subject));
        let lost = lost.map_or(String::new(), |what| {
            format!("; {what} no longer exists, so it may be about this: name the current one instead, or end it")
        });
        Some((format!("{}{more}{lost}", told(first)), first.until))
    }

    /// The name in a decision that no longer exists, if everything else in it matches.
    fn lost(&self, decision: &Decision, subject: &Subject<'_>) -> Option<String> {
        let known = self.known.as_ref()?;
        let here =
            |environment: &Option<String>| environment.is_none() || environment.as_deref() == subject.environment;
        let gone = |environment: &Option<String>| {
            let name = environment.as_ref().filter(|name| !known.environments.contains(*name))?;
            Some(format!("environment `{name}`"))
        };
        match &decision.about {
            About::Freeze { environment } => gone(environment),
            About::Hold { of, environment, version } => {
                if !version.as_ref().is_none_or(|version| is_version(version, subject.to)) {
                    return None;
                }
                let (named, lost) = match of {
                    Held::App(app) => (app == subject.app, !known.apps.contains(app)),
                    Held::Image(image) => (image == subject.image, !known.images.contains(image)),
                };
                match (gone(environment), lost) {
                    (Some(environment), _) if named || lost => Some(environment),
                    (None, true) if here(environment) => Some(format!("`{of}`")),
                    _ => None,
                }
            }
            About::Release { .. } => None,
        }
    }

    /// Files whose decision has ended, so that they can be removed.
    #[must_use]
    pub fn over(&self, now: Timestamp) -> Vec<&Decision> {
        self.read.iter().filter(|decision| decision.is_over(now)).collect()
    }
}

/// The gate that a decision closes.
fn gate_of(decision: &Decision) -> Option<Gate> {
    match decision.about {
        About::Freeze { .. } => Some(Gate::Freeze),
        About::Hold { .. } => Some(Gate::Hold),
        About::Release { .. } => None,
    }
}

/// `prod was frozen by Ada: REASON (.landfall/freezes/prod.yaml)`.
fn told(decision: &Decision) -> String {
    let Decision { file, author, reason, .. } = decision;
    match &decision.about {
        About::Freeze { environment } => {
            let what = environment.as_deref().unwrap_or("every environment");
            let end = environment.as_deref().unwrap_or("'*'");
            format!("{what} was frozen by {author}: {reason} ({file}; `landfall unfreeze {end}` ends it)")
        }
        About::Hold { of, version, .. } | About::Release { of, version, .. } => {
            let version = version.as_ref().map_or(String::new(), |version| format!(" {version}"));
            format!("{of}{version} was held by {author}: {reason} ({file}; `landfall release {of}` ends it)")
        }
    }
}

fn is_about(decision: &Decision, subject: &Subject<'_>) -> bool {
    let here = |environment: &Option<String>| environment.is_none() || environment.as_deref() == subject.environment;
    match &decision.about {
        About::Freeze { environment } => here(environment),
        About::Hold { of, environment, version } | About::Release { of, environment, version } => {
            let of = match of {
                Held::App(app) => app == subject.app,
                Held::Image(image) => image == subject.image,
            };
            of && here(environment) && version.as_ref().is_none_or(|version| is_version(version, subject.to))
        }
    }
}

/// Whether `to` is the version that a person gave: its tag, its digest, or both.
fn is_version(named: &Version, to: &Version) -> bool {
    let tag = named.tag.is_none() || named.tag == to.tag;
    // A version without a digest may have any digest; if the tag is given too, that is enough.
    let digest = match (&named.digest, &to.digest) {
        (None, _) => true,
        (Some(named), Some(to)) => named == to,
        (Some(_), None) => true,
    };
    tag && digest
}

/// What a decision that cannot be understood mentions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mentions {
    /// These words.
    Words(BTreeSet<String>),
    /// More than are kept.
    TooMany,
}

impl Default for Mentions {
    fn default() -> Self {
        Self::Words(BTreeSet::new())
    }
}

impl Mentions {
    /// Those of a file's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut words = BTreeSet::new();
        for word in tokens(text).filter(|word| word.len() <= MAX_WORD) {
            if !words.contains(word) && words.len() == MAX_WORDS {
                return Self::TooMany;
            }
            words.insert(word.to_owned());
        }
        Self::Words(words)
    }
}

/// Most words of a file that are kept: a decision has some dozens.
const MAX_WORDS: usize = 1_000;
/// Nothing has a longer name, in bytes.
const MAX_WORD: usize = 300;

/// The words of a text, as names are written.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    text.split(move |c| !is_part(c)).filter(|word| !word.is_empty())
}

impl Assumed {
    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::Subjects(BTreeSet::new())
    }

    /// Interprets the name of a file, as produced by [`decision_file_name`]. `web-api.yaml` is not about `web`; but
    /// `web.prod.yaml` is about `web` in `prod` and about an app `web.prod`, if both exist.
    #[must_use]
    pub fn of(kind: Gate, stem: &str, known: &KnownNames) -> Self {
        let environments = |text: &str| -> BTreeSet<String> {
            known.environments.iter().filter(|name| rest(text, name).is_some()).cloned().collect()
        };
        if kind == Gate::Freeze {
            let named = environments(stem);
            return if named.is_empty() { Self::Everything } else { Self::Environments(named) };
        }
        let names = known.apps.iter().map(String::as_str).chain(known.images.iter().map(ImageName::short));
        let mut subjects = BTreeSet::new();
        for (name, rest) in names.filter_map(|name| Some((name, rest(stem, name)?))) {
            let named = environments(rest);
            if named.is_empty() {
                subjects.insert((name.to_owned(), None));
            }
            subjects.extend(named.into_iter().map(|environment| (name.to_owned(), Some(environment))));
        }
        if subjects.is_empty() { Self::Everything } else { Self::Subjects(subjects) }
    }

    /// Adds what the file itself mentions: its name says what somebody meant, its text what they wrote.
    #[must_use]
    pub fn and_of(self, kind: Gate, mentions: &Mentions, known: &KnownNames) -> Self {
        let Mentions::Words(words) = mentions else { return Self::Everything };
        let is_named = |name: &str| !name.is_empty() && tokens(name).all(|token| words.contains(token));
        match self {
            Self::Environments(mut names) if kind == Gate::Freeze => {
                names.extend(known.environments.iter().filter(|name| is_named(name)).cloned());
                Self::Environments(names)
            }
            Self::Subjects(mut subjects) if kind == Gate::Hold => {
                let apps = known.apps.iter().map(String::as_str).filter(|name| is_named(name));
                let images =
                    known.images.iter().filter(|image| is_named(&image.to_string()) || is_named(image.short()));
                subjects.extend(apps.map(|app| (app.to_owned(), None)));
                subjects.extend(images.map(|image| (image.short().to_owned(), None)));
                Self::Subjects(subjects)
            }
            other => other,
        }
    }

    fn is_about(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Everything => true,
            Self::Environments(names) => subject.environment.is_some_and(|environment| names.contains(environment)),
            Self::Subjects(subjects) => subjects.iter().any(|(name, environment)| {
                (subject.app == name || subject.image.short() == name)
                    && environment.as_ref().is_none_or(|environment| subject.environment == Some(environment))
            }),
        }
    }
}

impl std::fmt::Display for Assumed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = match self {
            Self::Everything => return f.write_str("everything of the repository is held"),
            Self::Environments(names) => names.iter().map(|name| format!("{name} is frozen")).collect(),
            Self::Subjects(subjects) if subjects.is_empty() => return f.write_str("it releases nothing"),
            Self::Subjects(subjects) => subjects
                .iter()
                .map(|(name, environment)| match environment {
                    None => format!("{name} is held"),
                    Some(environment) => format!("{name} is held in {environment}"),
                })
                .collect(),
        };
        f.write_str(&all.join(" and "))
    }
}

/// What follows a name at the start of the text: nothing, or the text after a dot.
fn rest<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    match text.strip_prefix(&clean(name))? {
        "" => Some(""),
        rest => rest.strip_prefix('.'),
    }
}

/// A name as used in file names.
fn clean(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let text: String = text.chars().map(safe).take(80).collect();
    let text = text.trim_matches(['.', '-']).to_owned();
    if text.is_empty() { "all".to_owned() } else { text }
}

/// The name of a file for a new decision, without `.yaml`: what it is about, plus a number if that name is taken by
/// another decision. Two people who make the same decision at the same time choose the same name, and the second to
/// push takes the next one.
#[must_use]
pub fn decision_file_name(about: &About, taken: &BTreeMap<String, bool>) -> String {
    let stem = match about {
        About::Freeze { environment: None } => "all".to_owned(),
        About::Freeze { environment: Some(environment) } => clean(environment),
        About::Hold { of, environment, version } | About::Release { of, environment, version } => {
            let name = match of {
                Held::App(app) => app.as_str(),
                Held::Image(image) => image.short(),
            };
            let version =
                version.as_ref().map(|v| v.tag.as_ref().map_or_else(|| "digest".to_owned(), ToString::to_string));
            let parts = [Some(clean(name)), environment.as_deref().map(clean), version.as_deref().map(clean)];
            parts.into_iter().flatten().collect::<Vec<_>>().join(".")
        }
    };
    // A name that is taken by the same decision may be reused.
    let free = |name: &String| taken.get(name).copied().unwrap_or(true);
    let numbered = (2..).map(|n: u32| format!("{stem}.{n}"));
    std::iter::once(stem.clone()).chain(numbered).find(free).unwrap_or(stem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tag;

    fn image(text: &str) -> ImageName {
        ImageName::parse(text).unwrap()
    }

    fn version(tag: &str) -> Version {
        Version { tag: Some(Tag::parse(tag).unwrap()), digest: None }
    }

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + hour * 3600).unwrap()
    }

    fn decision(about: About, until: Option<i64>) -> Decision {
        let file = ".landfall/x.yaml".to_owned();
        let (reason, author) = ("release week".to_owned(), "Ada".to_owned());
        Decision { file, about, reason, author, since: at(0), until: until.map(at) }
    }

    fn freeze(environment: Option<&str>, until: Option<i64>) -> Decision {
        decision(About::Freeze { environment: environment.map(str::to_owned) }, until)
    }

    fn hold(of: Held, environment: Option<&str>, tag: Option<&str>) -> Decision {
        decision(About::Hold { of, environment: environment.map(str::to_owned), version: tag.map(version) }, None)
    }

    #[test]
    fn what_a_decision_holds() {
        let web = || Held::App("web".to_owned());
        let picture = || Held::Image(image("ghcr.io/acme/web"));
        let prod = Some("prod");
        for (decision, gate, environment, app, name, to) in [
            (freeze(prod, None), Some(Gate::Freeze), prod, "web", "ghcr.io/acme/web", "2.0.0"),
            (freeze(prod, None), None, Some("dev"), "web", "ghcr.io/acme/web", "2.0.0"),
            (freeze(prod, None), None, None, "web", "ghcr.io/acme/web", "2.0.0"),
            (freeze(None, None), Some(Gate::Freeze), None, "web", "ghcr.io/acme/web", "2.0.0"),
            (freeze(prod, Some(10)), Some(Gate::Freeze), prod, "web", "ghcr.io/acme/web", "2.0.0"),
            (freeze(prod, Some(5)), None, prod, "web", "ghcr.io/acme/web", "2.0.0"),
            (hold(web(), None, None), Some(Gate::Hold), prod, "web", "nginx", "2.0.0"),
            (hold(web(), None, None), None, prod, "api", "ghcr.io/acme/web", "2.0.0"),
            (hold(web(), prod, None), None, Some("dev"), "web", "nginx", "2.0.0"),
            (hold(picture(), None, None), Some(Gate::Hold), prod, "api", "ghcr.io/acme/web", "2.0.0"),
            (hold(picture(), None, None), None, prod, "web", "ghcr.io/other/web", "2.0.0"),
            (hold(web(), None, Some("2.0.0")), Some(Gate::Hold), prod, "web", "nginx", "2.0.0"),
            (hold(web(), None, Some("2.0.0")), None, prod, "web", "nginx", "2.0.1"),
        ] {
            let (name, to) = (image(name), version(to));
            let subject = Subject { app, image: &name, environment, to: &to };
            let decisions = Decisions::new(vec![decision.clone()], Vec::new());
            for of in [Gate::Freeze, Gate::Hold] {
                let held = decisions.holding(of, &subject, at(5));
                assert_eq!(held.is_some(), gate == Some(of), "{decision:?} {subject:?}");
                if let Some((reason, until)) = held {
                    assert_eq!(until, decision.until);
                    assert!(reason.contains("by Ada: release week (.landfall/x.yaml"), "{reason}");
                }
            }
        }
    }

    #[test]
    fn what_was_renamed_is_held_in_doubt() {
        let known = KnownNames {
            environments: ["live", "dev"].map(str::to_owned).into(),
            apps: ["shop"].map(str::to_owned).into(),
            images: [image("mirror.example.com/acme/web")].into(),
        };
        let (name, to) = (image("mirror.example.com/acme/web"), version("2.0.0"));
        let subject = Subject { app: "shop", image: &name, environment: Some("live"), to: &to };
        let app = |name: &str| Held::App(name.to_owned());
        for (decision, lost) in [
            (freeze(Some("prod"), None), Some("environment `prod`")),
            (freeze(Some("dev"), None), None),
            (freeze(Some("prod"), Some(2)), None),
            (hold(app("web"), None, None), Some("`web`")),
            (hold(app("web"), Some("dev"), None), None),
            (hold(app("web"), Some("prod"), None), Some("environment `prod`")),
            (hold(app("shop"), Some("prod"), None), Some("environment `prod`")),
            (hold(Held::Image(image("ghcr.io/acme/web")), None, Some("2.0.0")), Some("`ghcr.io/acme/web`")),
            (hold(Held::Image(image("ghcr.io/acme/web")), None, Some("1.0.0")), None),
        ] {
            let gate = gate_of(&decision).unwrap();
            let blind = Decisions::new(vec![decision.clone()], Vec::new());
            assert_eq!(blind.holding(gate, &subject, at(5)), None, "{decision:?}");
            let held = blind.with_known(known.clone()).holding(gate, &subject, at(5));
            assert_eq!(held.is_some(), lost.is_some(), "{decision:?}");
            if let (Some((reason, _)), Some(lost)) = (held, lost) {
                assert!(reason.contains(&format!("{lost} no longer exists")), "{reason}");
            }
        }
    }

    #[test]
    fn of_several_the_last_end_counts() {
        let (name, to) = (image("nginx"), version("2.0.0"));
        let subject = Subject { app: "web", image: &name, environment: Some("prod"), to: &to };
        let frozen = vec![freeze(Some("prod"), Some(9)), freeze(None, Some(12))];
        let held =
            |decisions: Vec<Decision>| Decisions::new(decisions, Vec::new()).holding(Gate::Freeze, &subject, at(5));
        let (reason, until) = held(frozen.clone()).unwrap();
        assert_eq!(until, Some(at(12)));
        assert!(reason.starts_with("every environment was frozen") && reason.ends_with("(and 1 more)"), "{reason}");
        let endless = [frozen, vec![freeze(Some("prod"), None)]].concat();
        assert_eq!(held(endless).unwrap().1, None);
    }

    #[test]
    fn an_unreadable_file_holds_what_its_name_says() {
        let known = KnownNames {
            environments: ["prod", "prod-eu", "prod.eu"].map(str::to_owned).into(),
            apps: ["web", "web-api", "a.b", "pay", "pay.prod", "team blue", "team-blue"].map(str::to_owned).into(),
            images: [image("ghcr.io/acme/shop")].into(),
        };
        let environments =
            |names: &[&str]| Assumed::Environments(names.iter().map(|name| (*name).to_owned()).collect());
        let subjects = |all: &[(&str, Option<&str>)]| {
            let owned =
                |(name, environment): &(&str, Option<&str>)| ((*name).to_owned(), environment.map(str::to_owned));
            Assumed::Subjects(all.iter().map(owned).collect())
        };
        let subject = |name: &str, environment: Option<&str>| subjects(&[(name, environment)]);
        for (kind, stem, expected) in [
            (Gate::Freeze, "prod", environments(&["prod"])),
            (Gate::Freeze, "prod-eu.2", environments(&["prod-eu"])),
            (Gate::Freeze, "production", Assumed::Everything),
            (Gate::Freeze, "all", Assumed::Everything),
            (Gate::Hold, "web", subject("web", None)),
            (Gate::Hold, "web-api.prod", subject("web-api", Some("prod"))),
            (Gate::Hold, "web.prod.1.4.0", subject("web", Some("prod"))),
            (Gate::Hold, "web.1.4.0", subject("web", None)),
            (Gate::Hold, "a.b.prod", subject("a.b", Some("prod"))),
            (Gate::Hold, "shop", subject("shop", None)),
            (Gate::Hold, "webshop", Assumed::Everything),
            // Two names, one file name: in doubt both.
            (Gate::Hold, "pay.prod", subjects(&[("pay", Some("prod")), ("pay.prod", None)])),
            (Gate::Hold, "team-blue.2", subjects(&[("team blue", None), ("team-blue", None)])),
            (Gate::Freeze, "prod.eu", environments(&["prod", "prod.eu"])),
            (Gate::Hold, "", Assumed::Everything),
        ] {
            assert_eq!(Assumed::of(kind, stem, &known), expected, "{stem}");
        }
    }

    #[test]
    fn an_unreadable_file_holds_what_it_mentions_as_well() {
        let known = KnownNames {
            environments: ["dev", "prod"].map(str::to_owned).into(),
            apps: ["web", "web-api", "team blue"].map(str::to_owned).into(),
            images: [image("ghcr.io/acme/shop")].into(),
        };
        let holds =
            |kind, stem: &str, text: &str| Assumed::of(kind, stem, &known).and_of(kind, &Mentions::of(text), &known);
        let both = Assumed::Environments(["dev", "prod"].map(str::to_owned).into());
        assert_eq!(holds(Gate::Freeze, "dev", "environment: dev\n---\nenvironment: \"prod\"\n"), both);
        assert_eq!(holds(Gate::Freeze, "dev", "reason: production, not prod-like"), holds(Gate::Freeze, "dev", ""));
        let text = "app: web\nimage: ghcr.io/acme/shop\nreason: of team blue";
        let subjects = ["web", "shop", "team blue"].map(|name| (name.to_owned(), None));
        assert_eq!(holds(Gate::Hold, "web", text), Assumed::Subjects(subjects.into()));
        let many: String = (0..=MAX_WORDS).map(|word| format!("w{word} ")).collect();
        assert_eq!(holds(Gate::Freeze, "dev", &many), Assumed::Everything);
    }

    #[test]
    fn names_of_files_say_what_they_are_about() {
        let taken = BTreeMap::from([("prod".to_owned(), false), ("web".to_owned(), true)]);
        for (about, name) in [
            (freeze(Some("prod"), None).about, "prod.2"),
            (freeze(None, None).about, "all"),
            (hold(Held::App("web".to_owned()), None, None).about, "web"),
            (hold(Held::App("ä/b".to_owned()), None, None).about, "b"),
            (hold(Held::Image(image("ghcr.io/acme/web")), Some("prod"), Some("1.4.0")).about, "web.prod.1.4.0"),
        ] {
            assert_eq!(decision_file_name(&about, &taken), name);
        }
    }
}
