//! A real Gitea as judge: whole stories of the program with a Gitea that `tests/gitea/run` builds, with people who use its API as
//! its pages do. Ignored elsewhere; what a story finds is held by an ordinary test on the corrected stand-in.

mod merges;
mod moves;
mod packages;
mod pulls;
mod rights;
mod server;
mod webhooks;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use landfall::demo::registry::{DemoImage, DemoRegistry, RegistryOptions};
use landfall::model::Tag;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::git::{git, try_git};
use crate::support::process::{Ran, Running, landfall};
use crate::support::world::{kustomization, overlay};
use server::{By, Gitea, gitea};

/// The scopes that the documentation names.
const SCOPES: [&str; 2] = ["write:repository", "write:issue"];

const PROD: &str = r#"policies:
  - name: prod
    paths: ["apps/{app}/overlays/prod/**"]
    environment: prod
    write: pull-request
    tags: { semver: "*" }
    pullRequest: { SETTINGS }
"#;

/// An organization with a repository, its people, the bot, and a registry of images.
struct Scene {
    gitea: &'static Gitea,
    /// The organization.
    owner: String,
    /// Who may write.
    ann: String,
    ben: String,
    bot: String,
    token: String,
    images: DemoRegistry,
    folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

static NUMBER: AtomicU32 = AtomicU32::new(1);

impl Scene {
    /// One app in prod, whose pull requests have these settings.
    fn prod(settings: &str) -> Self {
        Self::with(&PROD.replace("SETTINGS", settings), &["prod"])
    }

    /// One app, `web` at 1.2.3, in these environments. In the policies ANN, BEN and OWNER stand for the names.
    fn with(policies: &str, environments: &[&str]) -> Self {
        let scene = Self::new();
        let files = environments.iter().map(|environment| {
            let text = kustomization("web", "1.2.3").replace("REG/", &format!("{}/", scene.images.host()));
            (overlay("web", environment), text)
        });
        let policies = (".landfall/policies.yaml".to_owned(), scene.named(policies));
        scene.begin(&files.chain([policies]).collect::<Vec<_>>());
        scene.push("1.2.3");
        scene
    }

    /// With an empty repository.
    fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let gitea = gitea();
        let name = |who: &str| format!("{who}-{number}");
        let (owner, ann, ben, bot) = (name("acme"), name("ann"), name("ben"), name("bot"));
        for person in [&ann, &ben, &bot] {
            gitea.person(person);
        }
        gitea.post("orgs", &json!({ "username": owner, "visibility": "private" }));
        gitea.post(
            &format!("orgs/{owner}/repos"),
            &json!({ "name": "deploys", "private": true, "default_branch": "main" }),
        );
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let images = runtime.block_on(DemoRegistry::start(RegistryOptions::default())).unwrap();
        let token = gitea.token(&bot, &SCOPES);
        let folder = tempfile::tempdir().unwrap();
        let scene = Self { gitea, owner, ann, ben, bot, token, images, folder, _runtime: runtime };
        for person in [&scene.ann, &scene.ben, &scene.bot] {
            scene.may(person, "write");
        }
        scene.configure();
        scene
    }

    fn configure(&self) {
        let (url, owner) = (&self.gitea.url, &self.owner);
        let config = format!(
            "interval: 1h\nstateDir: state\nrepositories:\n  - name: deploys\n    url: {url}/{owner}/deploys.git\n    branch: main\n    \
             credentials: {{ token: {{ env: GITEA_TOKEN }} }}\n    author: {{ name: Landfall, email: landfall@example.com }}\n    \
             forge: {{ kind: gitea, url: \"{url}\", repository: {owner}/deploys, token: {{ env: GITEA_TOKEN }} }}\n    \
             policies: {{ path: .landfall }}\nregistries:\n  - host: {}\n    plainHttp: true\n",
            self.images.host()
        );
        fs::write(self.path("landfall.yaml"), config).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Changes the configuration.
    #[track_caller]
    fn reconfigure(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("landfall.yaml")).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(self.path("landfall.yaml"), text.replacen(from, to, 1)).unwrap();
    }

    fn named(&self, text: &str) -> String {
        text.replace("ANN", &self.ann).replace("BEN", &self.ben).replace("OWNER", &self.owner)
    }

    // The program.

    #[track_caller]
    fn landfall(&self, args: &[&str]) -> Ran {
        self.landfall_as(&self.token, args)
    }

    /// The program with another token.
    #[track_caller]
    fn landfall_as(&self, token: &str, args: &[&str]) -> Ran {
        let ran = Ran::of(self.program(token, args), "");
        assert!(!ran.text().contains(token), "{}", ran.text());
        ran
    }

    fn program(&self, token: &str, args: &[&str]) -> std::process::Command {
        let mut program = landfall(self.folder.path(), args);
        program.env("GITEA_TOKEN", token).env("HOOK_SECRET", webhooks::SECRET);
        program
    }

    fn start(&self, args: &[&str]) -> Running {
        Running::start(self.program(&self.token, args), self.folder.path())
    }

    #[track_caller]
    fn apply(&self) -> Value {
        self.landfall(&["apply", "-o", "json"]).ends(0).report()
    }

    /// A cycle that does one thing.
    #[track_caller]
    fn does(&self, kind: &str) -> Value {
        let report = self.apply();
        assert_eq!(report["actions"].as_array().map(Vec::len), Some(1), "{report:#}");
        assert_eq!(report["actions"][0]["kind"], kind, "{report:#}");
        report["actions"][0].clone()
    }

    /// A cycle that does nothing; why the only update waits. While Gitea computes something anew, it is asked again.
    #[track_caller]
    fn waits(&self) -> String {
        let mut said = String::new();
        until("Gitea has computed it", || {
            let report = self.apply();
            assert_eq!(report["actions"], json!([]), "{report:#}");
            let hold = &report["holds"][0];
            said = format!("{}: {}", hold["gate"].as_str().unwrap(), hold["reason"].as_str().unwrap());
            !said.contains("try again later")
        });
        said
    }

    /// Cycles until it is merged; while Gitea computes something anew, it is asked again.
    #[track_caller]
    fn merges(&self) -> Value {
        let mut merged = Value::Null;
        until("it is merged", || {
            let report = self.apply();
            merged = report["actions"][0].clone();
            let passing = ["try again later", "The head branch is behind the base branch"];
            let reason = report["holds"][0]["reason"].as_str();
            let waits = reason.is_some_and(|why| passing.iter().any(|words| why.contains(words)));
            assert!(merged["kind"] == "merge" || (waits && merged.is_null()), "{report:#}");
            merged["kind"] == "merge"
        });
        merged
    }

    /// What a cycle logs besides.
    #[track_caller]
    fn warns(&self, token: &str) -> String {
        self.landfall_as(token, &["apply", "--log-level", "warn"]).ends(0).stderr
    }

    // The registry.

    fn push(&self, tag: &str) {
        let image = DemoImage::new("2026-01-01T00:00:00Z".parse().unwrap());
        self.images.push_image("acme/web", &Tag::parse(tag).unwrap(), &image).unwrap();
    }

    // Gitea's API.

    fn repository(&self) -> String {
        format!("repos/{}/deploys", self.owner)
    }

    /// The administrator asks about the repository.
    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.gitea.get(&format!("{}/{path}", self.repository()))
    }

    /// The administrator changes something of the repository.
    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.gitea.post(&format!("{}/{path}", self.repository()), body)
    }

    #[track_caller]
    fn patch(&self, path: &str, body: &Value) -> Value {
        self.gitea.does(By::Admin, Method::PATCH, format!("{}/{path}", self.repository()).trim_end_matches('/'), body)
    }

    /// Somebody does something to the repository.
    #[track_caller]
    fn by(&self, who: &str, method: Method, path: &str, body: &Value) -> Value {
        self.gitea.does(By::Person(who), method, &format!("{}/{path}", self.repository()), body)
    }

    #[track_caller]
    fn may(&self, who: &str, permission: &str) {
        let path = format!("{}/collaborators/{who}", self.repository());
        self.gitea.does(By::Admin, Method::PUT, &path, &json!({ "permission": permission }));
    }

    /// Makes a team of the organization with these members, which may write to all its repositories and read its packages.
    fn team(&self, name: &str, members: &[&str]) {
        let units = ["repo.code", "repo.pulls", "repo.issues", "repo.packages"];
        let team = json!({ "name": name, "permission": "write", "includes_all_repositories": true, "units": units });
        let team = self.gitea.post(&format!("orgs/{}/teams", self.owner), &team);
        for member in members {
            let path = format!("teams/{}/members/{member}", team["id"]);
            self.gitea.does(By::Admin, Method::PUT, &path, &Value::Null);
        }
    }

    /// A label of the repository.
    fn label(&self, name: &str) {
        self.post("labels", &json!({ "name": name, "color": "#ededed" }));
    }

    fn pull(&self, number: u64) -> Value {
        self.get(&format!("pulls/{number}"))
    }

    fn pulls(&self) -> Vec<Value> {
        self.get("pulls?state=all&sort=oldest").as_array().unwrap().clone()
    }

    /// What was said about a pull request.
    fn comments(&self, number: u64) -> Vec<String> {
        let all = self.get(&format!("issues/{number}/comments"));
        all.as_array().unwrap().iter().map(|comment| comment["body"].as_str().unwrap().to_owned()).collect()
    }

    /// Somebody reviews a pull request.
    #[track_caller]
    fn review(&self, number: u64, who: &str, event: &str) {
        let review = json!({ "event": event, "body": "I have looked" });
        self.by(who, Method::POST, &format!("pulls/{number}/reviews"), &review);
    }

    /// A status of the tip of a pull request.
    #[track_caller]
    fn status(&self, number: u64, context: &str, state: &str) {
        let tip = self.pull(number)["head"]["sha"].as_str().unwrap().to_owned();
        self.post(&format!("statuses/{tip}"), &json!({ "context": context, "state": state }));
    }

    /// Waits until Gitea has looked whether a pull request can be merged.
    #[track_caller]
    fn computed(&self, number: u64) {
        until("it can be merged", || self.pull(number)["mergeable"] == true);
    }

    // Git.

    fn remote(&self) -> String {
        self.gitea.remote(&format!("{}/deploys", self.owner))
    }

    /// The first commit.
    fn begin(&self, files: &[(String, String)]) {
        let clone = tempfile::tempdir().unwrap();
        git(clone.path(), &["init", "--quiet", "."]);
        git(clone.path(), &["remote", "add", "origin", &self.remote()]);
        write(clone.path(), files);
        self.publish(clone.path(), "main");
        // It has no pull requests until Gitea has seen that it is no longer empty.
        until("the repository has something", || self.gitea.get(&self.repository())["empty"] == false);
    }

    /// Somebody works in a clone of a branch, and pushes.
    #[track_caller]
    fn work(&self, branch: &str, change: impl FnOnce(&Path)) {
        let clone = self.clone_of(branch);
        change(clone.path());
        self.publish(clone.path(), branch);
    }

    #[track_caller]
    fn clone_of(&self, branch: &str) -> tempfile::TempDir {
        let clone = tempfile::tempdir().unwrap();
        git(clone.path(), &["clone", "--quiet", "--branch", branch, &self.remote(), "."]);
        clone
    }

    #[track_caller]
    fn publish(&self, folder: &Path, branch: &str) {
        git(folder, &["add", "--all"]);
        let changed = !try_git(folder, &["diff", "--cached", "--quiet"]).status.success();
        if changed {
            git(
                folder,
                &["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "-m", "by hand"],
            );
        }
        git(folder, &["push", "--quiet", "origin", &format!("HEAD:refs/heads/{branch}")]);
    }

    /// Somebody writes files.
    #[track_caller]
    fn write(&self, files: &[(&str, &str)]) {
        let files: Vec<_> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        self.work("main", |folder| write(folder, &files));
    }

    /// The branches.
    fn heads(&self) -> Vec<String> {
        let listed = git(self.folder.path(), &["ls-remote", "--heads", &self.remote()]);
        listed.lines().map(|line| line.rsplit_once("refs/heads/").unwrap().1.to_owned()).collect()
    }

    /// The tip of a branch.
    fn tip(&self, branch: &str) -> String {
        let listed = git(self.folder.path(), &["ls-remote", &self.remote(), &format!("refs/heads/{branch}")]);
        listed.split_whitespace().next().unwrap_or_default().to_owned()
    }

    /// The tag in an overlay of `main`.
    fn tag(&self, app: &str, environment: &str) -> String {
        self.tag_at("main", app, environment)
    }

    fn tag_at(&self, branch: &str, app: &str, environment: &str) -> String {
        let clone = self.clone_of(branch);
        let text = fs::read_to_string(clone.path().join(overlay(app, environment))).unwrap();
        text.lines().find_map(|line| line.trim().strip_prefix("newTag: ")).unwrap().trim_matches('"').to_owned()
    }
}

/// Waits for what Gitea does after it has answered.
#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !done() {
        assert!(began.elapsed().as_secs() < 60, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn write(folder: &Path, files: &[(String, String)]) {
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}
