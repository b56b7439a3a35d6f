//! Decisions at the seams: what people do to the bot's branches, what stands where a file is expected, clocks that go back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use landfall::config::{self, Environment};
use landfall::daemon::{self, Bot, Clock, CycleOutcome};
use landfall::demo::registry::{DemoImage, DemoRegistry, RegistryOptions};
use landfall::forge::LocalForge;
use landfall::git::create_bare;
use landfall::model::{BranchName, ImageName, PullState, RepoPath, Tag};
use landfall::plan::{Answers, RegistryQuery};

use crate::support::git::{git, hook, stamp, try_git};

const POLICIES: &str = r#"policies:
  - name: prod
    paths: ["apps/{app}/prod/**"]
    environment: prod
    write: pull-request
    tags: { semver: "*" }
"#;

/// A registry, a repository with one app in prod, and a bot with the local forge.
struct World {
    dir: tempfile::TempDir,
    registry: DemoRegistry,
    bot: Bot,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = DemoRegistry::start(RegistryOptions::default()).await.unwrap();
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: web\n    image: {}/acme/web:1.0.0\n",
            registry.host()
        );
        let files = [("apps/web/prod/pod.yaml", pod.as_str()), (".landfall/policies.yaml", POLICIES)];
        let files: Vec<_> =
            files.iter().map(|(path, text)| (RepoPath::parse(path).unwrap(), text.as_bytes().to_vec())).collect();
        create_bare(&dir.path().join("r.git"), &BranchName::parse("main").unwrap(), &files, &stamp()).unwrap();
        let config = format!(
            "stateDir: state\nrepositories:\n  - name: deploys\n    url: r.git\n    forge: {{ kind: local }}\n    \
             author: {{ name: Landfall, email: landfall@example.com }}\nregistries:\n  - host: {}\n    plainHttp: true\n",
            registry.host()
        );
        let file = dir.path().join("landfall.yaml");
        std::fs::write(&file, config).unwrap();
        let settings = config::load(&file).unwrap().settings;
        let bot = daemon::bot(&settings, &Environment::from_fn(|_| None), Clock::system()).await.unwrap();
        let world = Self { dir, registry, bot };
        world.tag("1.0.0");
        world
    }

    fn tag(&self, tag: &str) {
        let image = DemoImage::new("2026-01-01T00:00:00Z".parse().unwrap());
        self.registry.push_image("acme/web", &Tag::parse(tag).unwrap(), &image).unwrap();
    }

    fn bare(&self) -> PathBuf {
        self.dir.path().join("r.git")
    }

    async fn apply(&mut self) -> CycleOutcome {
        self.bot.apply().await.remove(0)
    }

    fn local(&self) -> &LocalForge {
        self.bot.repositories[0].pulls().forge().local().unwrap()
    }

    /// The only branch of the bot.
    fn head(&self) -> String {
        git(&self.bare(), &["for-each-ref", "--format=%(refname:short)", "refs/heads/landfall/"])
    }

    /// A person's clone of a branch.
    fn clone_of(&self, branch: &str, name: &str) -> PathBuf {
        let work = self.dir.path().join(name);
        let (bare, to) = (self.bare(), work.clone());
        git(self.dir.path(), &["clone", "--quiet", "--branch", branch, path(&bare), path(&to)]);
        work
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn committed(report: &CycleOutcome) -> usize {
    report.actions.iter().filter(|action| action.is_done()).count()
}

#[tokio::test]
async fn a_commit_of_the_bot_that_a_person_amended_is_left_alone() {
    let mut world = World::new().await;
    world.tag("1.1.0");
    assert_eq!(committed(&world.apply().await), 1);
    let head = world.head();
    let work = world.clone_of(&head, "person");
    std::fs::write(work.join("note.txt"), "see above\n").unwrap();
    git(&work, &["add", "-A"]);
    git(&work, &["commit", "--quiet", "--amend", "--no-edit"]);
    git(&work, &["push", "--quiet", "--force", "origin", &format!("HEAD:{head}")]);
    let theirs = git(&work, &["rev-parse", "HEAD"]);
    world.tag("1.2.0");
    let report = world.apply().await;
    assert!(report.holds[0].reason.contains("person@example.com"), "{:?}", report.holds);
    assert_eq!(git(&world.bare(), &["rev-parse", &head]), theirs);
}

#[tokio::test]
async fn a_rewritten_base_does_not_make_the_bots_branch_a_persons() {
    let mut world = World::new().await;
    let work = world.clone_of("main", "person");
    for n in 0..3 {
        std::fs::write(work.join("README"), format!("{n}\n")).unwrap();
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "--quiet", "-m", "by hand"]);
    }
    git(&work, &["push", "--quiet", "origin", "HEAD:main"]);
    world.tag("1.1.0");
    assert_eq!(committed(&world.apply().await), 1);
    git(&work, &["commit", "--quiet", "--amend", "-m", "rewritten"]);
    git(&work, &["push", "--quiet", "--force", "origin", "HEAD:main"]);
    let report = world.apply().await;
    assert_eq!(report.holds.len(), 1);
    assert_eq!(report.holds[0].gate, landfall::plan::Gate::Approval, "{:?}", report.holds);
    world.tag("1.2.0");
    assert_eq!(committed(&world.apply().await), 1, "and a newer tag still goes into it");
}

#[tokio::test]
async fn a_policy_file_that_becomes_a_link_stops_every_policy_and_says_so() {
    let mut world = World::new().await;
    assert!(world.apply().await.problems.is_empty());
    let work = world.clone_of("main", "person");
    std::fs::rename(work.join(".landfall/policies.yaml"), work.join("policies.yaml")).unwrap();
    std::os::unix::fs::symlink("../policies.yaml", work.join(".landfall/policies.yaml")).unwrap();
    git(&work, &["add", "-A"]);
    git(&work, &["commit", "--quiet", "-m", "share the policies"]);
    git(&work, &["push", "--quiet", "origin", "HEAD:main"]);
    world.tag("1.1.0");
    let report = world.apply().await;
    assert!(report.actions.is_empty(), "{:?}", report.actions);
    let problem = report
        .problems
        .iter()
        .map(|it| &it.problem)
        .find(|problem| problem.path.as_deref() == Some(".landfall/policies.yaml"));
    assert!(problem.is_some_and(|problem| problem.message.contains("symbolic link")), "{:?}", report.problems);
    assert!(report.failed());
}

#[tokio::test]
async fn a_merge_that_is_refused_keeps_its_branch() {
    let mut world = World::new().await;
    world.tag("1.1.0");
    assert_eq!(committed(&world.apply().await), 1);
    let head = world.head();
    hook(&world.bare(), "update", "case $1 in refs/heads/main) echo closed for the holidays >&2; exit 1;; esac");
    let now = Timestamp::from_second(1_790_000_100).unwrap();
    let error = world.local().merge(1, now).await.unwrap_err();
    assert!(error.message.contains("closed for the holidays"), "{error}");
    assert!(try_git(&world.bare(), &["rev-parse", "--verify", "--quiet", &head]).status.success());
    std::fs::remove_file(world.bare().join("hooks/update")).unwrap();
    let (pull, _) = world.local().merge(1, now).await.unwrap();
    assert_eq!(pull.state, PullState::Merged);
    assert!(world.head().is_empty(), "and then the branch goes");
}

#[tokio::test]
async fn a_merge_that_was_cut_short_can_be_made_again() {
    let mut world = World::new().await;
    world.tag("1.1.0");
    assert_eq!(committed(&world.apply().await), 1);
    hook(&world.bare(), "update", "case $1 in refs/landfall/*) exit 1;; esac");
    let now = Timestamp::from_second(1_790_000_100).unwrap();
    assert!(world.local().merge(1, now).await.is_err());
    std::fs::remove_file(world.bare().join("hooks/update")).unwrap();
    let (pull, _) = world.local().merge(1, now).await.unwrap();
    assert_eq!(pull.state, PullState::Merged);
    assert!(world.apply().await.holds.is_empty());
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_make_old_answers_new() {
    let world = World::new().await;
    let seconds = Arc::new(AtomicI64::new(1_790_000_000));
    let clock = {
        let seconds = Arc::clone(&seconds);
        Clock::from_fn(move || Timestamp::from_second(seconds.load(Ordering::SeqCst)).unwrap())
    };
    let file = world.dir.path().join("landfall.yaml");
    let registries = config::load(&file).unwrap().settings.registries;
    let lookup = daemon::lookup(&registries, None, &Environment::from_fn(|_| None), clock.clone()).unwrap();
    let image = ImageName::parse(&format!("{}/acme/web", world.registry.host())).unwrap();
    let queries = BTreeSet::from([RegistryQuery::Listing(image)]);
    let seen = Mutex::new(Vec::new());
    let ask = async || {
        let mut answers = Answers::default();
        lookup.answer(&queries, clock.now(), &mut answers).await;
        seen.lock().unwrap().push(lookup.requests());
    };
    ask().await;
    ask().await;
    seconds.fetch_sub(86_400, Ordering::SeqCst);
    ask().await;
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen[0], seen[1], "one answer for one moment");
    assert!(seen[2] > seen[1], "an answer from tomorrow is not one of today: {seen:?}");
}
