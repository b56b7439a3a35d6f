//! A world for whole stories: a bare repository, a registry, a forge, a configuration file, and the program itself.
//!
//! The judge of what Landfall did is plain `git`. Whatever the program prints is searched for the world's secrets on every
//! run (G5); in every text of a world `REG/` stands for the registry's host.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use jiff::Timestamp;
use landfall::config::{self, Environment};
use landfall::daemon::{self, Bot, Clock, CycleOutcome, Timing, Tracker};
use landfall::demo::git_http::{GitLogin, GitServer, RequestLog, router};
use landfall::demo::registry::{Auth, DemoImage, DemoRegistry, RegistryOptions};
use landfall::git::{Stamp, create_bare};
use landfall::model::{BranchName, Identity, Tag};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::forge_stub::{ForgeStub, Speech, StubMerge, TOKEN};
use super::git::{command, file, git, hook, try_git};
pub(crate) use super::process::Ran;
use super::process::{Running, landfall};
use super::server::Server;
use super::trip::{Tripwire, Where, proxy};

/// Git's password over HTTP.
pub(crate) const GIT_PASSWORD: &str = "git-Passw0rd/with+signs";
/// The registry's password.
pub(crate) const REGISTRY_PASSWORD: &str = "registry-Passw0rd-4711";
/// The bot's address in commits.
pub(crate) const BOT: &str = "landfall@example.com";

/// dev takes a commit, prod a pull request; any semantic version.
pub(crate) const DEV_PROD: &str = r#"policies:
  - name: dev
    paths: ["apps/{app}/overlays/dev/**"]
    environment: dev
    write: commit
    tags: { semver: "*" }
  - name: prod
    paths: ["apps/{app}/overlays/prod/**"]
    environment: prod
    write: pull-request
    tags: { semver: "*" }
"#;

/// What a world is made from.
pub(crate) struct Setup {
    /// Name and files of each repository.
    repositories: Vec<(&'static str, Vec<(String, String)>)>,
    http: bool,
    registry: RegistryOptions,
    github: Option<(Speech, &'static str)>,
    forge: &'static str,
    policies: &'static str,
    caps: &'static str,
    interval: &'static str,
    wired: bool,
}

impl Setup {
    pub(crate) fn file(mut self, path: &str, text: impl Into<String>) -> Self {
        let (_, files) = self.repositories.last_mut().unwrap();
        files.retain(|(there, _)| there != path);
        files.push((path.to_owned(), text.into()));
        self
    }

    /// Another repository, with the same policies; files named from here on are its own.
    pub(crate) fn beside(mut self, name: &'static str) -> Self {
        let policies = self.repositories[0].1.iter().filter(|(path, _)| path.starts_with(".landfall/"));
        self.repositories.push((name, policies.cloned().collect()));
        self
    }

    /// A kustomization with one image in each of these environments.
    pub(crate) fn app(mut self, app: &str, tag: &str, environments: &[&str]) -> Self {
        for environment in environments {
            self = self.file(&overlay(app, environment), kustomization(app, tag));
        }
        self
    }

    /// The repository's policy file.
    pub(crate) fn policies(self, text: &str) -> Self {
        self.file(".landfall/policies.yaml", text)
    }

    /// Git over HTTP, with a login.
    pub(crate) fn over_http(mut self) -> Self {
        self.http = true;
        self
    }

    /// The registry wants a name and a password.
    pub(crate) fn registry_login(mut self) -> Self {
        self.registry.auth = Auth::Basic { username: "puller".to_owned(), password: REGISTRY_PASSWORD.into() };
        self
    }

    /// The registry behaves like this.
    pub(crate) fn registry(mut self, options: RegistryOptions) -> Self {
        self.registry = options;
        self
    }

    /// GitHub in place of the local forge, its API below a path.
    pub(crate) fn github(mut self, prefix: &'static str) -> Self {
        self.github = Some((Speech::GitHub, prefix));
        self
    }

    /// The same, spoken to as another kind of forge.
    pub(crate) fn hosted(mut self, speech: Speech) -> Self {
        self.github = Some((speech, ""));
        self
    }

    pub(crate) fn no_forge(mut self) -> Self {
        self.forge = "{ kind: none }";
        self
    }

    /// Where the configuration says that policies are; `{ path: .landfall }` unless told otherwise.
    pub(crate) fn policies_at(mut self, place: &'static str) -> Self {
        self.policies = place;
        self
    }

    pub(crate) fn caps(mut self, caps: &'static str) -> Self {
        self.caps = caps;
        self
    }

    pub(crate) fn interval(mut self, interval: &'static str) -> Self {
        self.interval = interval;
        self
    }

    /// Puts the tripwire around the registry, GitHub, and Git, which is then reached over HTTP.
    pub(crate) fn wired(mut self) -> Self {
        self.wired = true;
        self
    }

    pub(crate) fn start(self) -> World {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let wire = Tripwire::default();
        let registry = runtime.block_on(DemoRegistry::start(self.registry.clone())).unwrap();
        let front = self.wired.then(|| {
            let routes = wire.around(Where::Registry, proxy(format!("http://{}", registry.host())));
            Server::start(routes)
        });
        let host =
            front.as_ref().map_or(registry.host(), |front| front.origin.trim_start_matches("http://")).to_owned();
        let root = dir.path().join("remotes");
        fs::create_dir(&root).unwrap();
        for (name, files) in &self.repositories {
            let text = |text: &str| text.replace("REG/", &format!("{host}/")).into_bytes();
            let files: Vec<_> = files.iter().map(|(path, body)| (file(path), text(body))).collect();
            let bare = root.join(format!("{name}.git"));
            create_bare(&bare, &BranchName::parse("main").unwrap(), &files, &ada()).unwrap();
            // A log of where each ref has been, for those who judge.
            git(&bare, &["config", "core.logAllRefUpdates", "always"]);
            git(&bare, &["config", "gc.auto", "0"]);
        }
        let server = (self.http || self.wired).then(|| {
            let login = GitLogin { username: "bot".to_owned(), password: GIT_PASSWORD.into() };
            let log = RequestLog::default();
            let routes = router(&root, self.http.then_some(login), log.clone());
            let routes = if self.wired { wire.around(Where::Git, routes) } else { routes };
            runtime.block_on(GitServer::serve(routes, log)).unwrap()
        });
        let github = self
            .github
            .map(|(speech, prefix)| github(speech, prefix, &root.join("deploys.git"), self.wired.then_some(&wire)));
        let config = self.config(&host, server.as_ref(), github.as_ref());
        fs::write(dir.path().join("landfall.yaml"), config).unwrap();
        World { dir, host, registry, wire, server, github, _front: front, runtime }
    }

    fn config(&self, host: &str, server: Option<&GitServer>, github: Option<&ForgeStub>) -> String {
        let forge = match github {
            Some(stub) => {
                let (kind, key, path) = match stub.speech() {
                    Speech::GitHub => ("github", "apiUrl", ""),
                    Speech::GitLab => ("gitlab", "url", ""),
                    Speech::Gitea => ("gitea", "url", ""),
                    Speech::Bitbucket => ("bitbucket", "apiUrl", "/2.0"),
                    Speech::BitbucketDc => ("bitbucket-dc", "url", ""),
                    Speech::Azure => ("azure-devops", "url", ""),
                };
                format!(
                    "{{ kind: {kind}, {key}: \"{}{path}\", repository: acme/deploys, token: {{ env: GITHUB_TOKEN }} }}",
                    stub.url()
                )
            }
            None => self.forge.to_owned(),
        };
        let credentials = match self.http {
            true => "\n    credentials: { username: bot, password: { env: GIT_PASSWORD } }",
            false => "",
        };
        let login = match self.registry.auth {
            Auth::Open => "",
            _ => "\n    credentials: { username: puller, password: { env: REGISTRY_PASSWORD } }",
        };
        let caps = if self.caps.is_empty() { String::new() } else { format!("\n    caps: {}", self.caps) };
        let entry = |name: &str| {
            let file = format!("{name}.git");
            let url = server.map_or(format!("remotes/{file}"), |server| server.url(&file));
            format!(
                "  - name: {name}\n    url: {url}\n    branch: main{credentials}\n    \
                 author: {{ name: Landfall, email: {BOT} }}\n    forge: {forge}\n    policies: {}{caps}\n",
                self.policies
            )
        };
        let repositories: String = self.repositories.iter().map(|(name, _)| entry(name)).collect();
        format!(
            "interval: {}\nstateDir: state\nrepositories:\n{repositories}registries:\n  - host: {host}\n    plainHttp: \
             true{login}\n",
            self.interval
        )
    }
}

/// A GitHub that knows the branches of a repository, and merges in it.
fn github(speech: Speech, prefix: &str, bare: &Path, wire: Option<&Tripwire>) -> ForgeStub {
    let stub = ForgeStub::speaking(speech, prefix, |routes| match wire {
        Some(wire) => wire.around(Where::Forge, routes),
        None => routes,
    });
    let known = bare.to_owned();
    stub.heads(move |branch| {
        let found = try_git(&known, &["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")]);
        found.status.success().then(|| String::from_utf8(found.stdout).unwrap().trim().to_owned())
    });
    let known = bare.to_owned();
    stub.commits(move |tip, base| {
        let range = format!("refs/heads/{base}..{tip}");
        let listed = try_git(&known, &["log", "--format=%H %B%x00", &range]);
        let text = String::from_utf8(listed.stdout).unwrap();
        let commits = text.split('\0').filter_map(|commit| commit.trim().split_once(' '));
        commits.map(|(sha, message)| (sha.to_owned(), message.to_owned())).collect()
    });
    let bare = bare.to_owned();
    stub.merger(move |merge| merge_by_git(&bare, merge));
    stub
}

/// A running world; everything in it ends and is removed when it is dropped.
pub(crate) struct World {
    dir: tempfile::TempDir,
    /// The registry's host, as images name it.
    pub(crate) host: String,
    pub(crate) registry: DemoRegistry,
    /// What may happen to requests of a world that is [`Setup::wired`].
    pub(crate) wire: Tripwire,
    pub(crate) server: Option<GitServer>,
    pub(crate) github: Option<ForgeStub>,
    _front: Option<Server>,
    runtime: tokio::runtime::Runtime,
}

impl World {
    /// A repository with [`DEV_PROD`] in a folder, the local forge, an open registry.
    pub(crate) fn setup() -> Setup {
        let setup = Setup {
            repositories: vec![("deploys", Vec::new())],
            http: false,
            registry: RegistryOptions::default(),
            github: None,
            forge: "{ kind: local }",
            policies: "{ path: .landfall }",
            caps: "",
            interval: "1m",
            wired: false,
        };
        setup.policies(DEV_PROD)
    }

    /// One app, `web` at 1.2.3 in dev and prod, both in the registry; nothing to do yet.
    pub(crate) fn web() -> Setup {
        Self::setup().app("web", "1.2.3", &["dev", "prod"])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn bare(&self) -> PathBuf {
        self.path("remotes/deploys.git")
    }

    pub(crate) fn github(&self) -> &ForgeStub {
        self.github.as_ref().unwrap()
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Changes the configuration.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        let path = self.path("landfall.yaml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// The name of a configuration file that differs only in its state folder.
    pub(crate) fn config(&self, state: &str) -> String {
        let name = format!("{}.yaml", state.replace('/', "-"));
        let text = fs::read_to_string(self.path("landfall.yaml")).unwrap();
        fs::write(self.path(&name), text.replacen("stateDir: state\n", &format!("stateDir: {state}\n"), 1)).unwrap();
        name
    }

    // The program.

    /// Runs the program in the world's folder with nothing in its environment but the secrets.
    #[track_caller]
    pub(crate) fn landfall(&self, args: &[&str]) -> Ran {
        self.landfall_with(args, &[])
    }

    #[track_caller]
    pub(crate) fn landfall_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Ran {
        self.start_with(args, environment).finish()
    }

    /// Starts the program and leaves it running.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        self.start_with(args, &[])
    }

    pub(crate) fn start_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Running {
        let mut program = landfall(self.dir.path(), args);
        program.envs(SECRETS).envs(environment.iter().copied());
        Running::start(program, self.dir.path())
    }

    /// `landfall apply -o json`, which must succeed.
    #[track_caller]
    pub(crate) fn apply(&self) -> Value {
        self.landfall(&["apply", "-o", "json"]).ends(0).report()
    }

    /// `landfall plan -o json`, which must succeed.
    #[track_caller]
    pub(crate) fn plan(&self) -> Value {
        self.landfall(&["plan", "-o", "json"]).ends(0).report()
    }

    // The same in this process.

    /// The bot of a configuration file.
    pub(crate) fn in_process(&self, config: &str) -> Bot {
        let settings = config::load(&self.path(config)).unwrap().settings;
        self.block_on(daemon::bot(&settings, &environment(), Clock::system())).unwrap()
    }

    /// The bot of the configuration at work, by this clock, until it is stopped.
    pub(crate) fn run_in_process(&self, clock: Clock) -> InProcess {
        let (settings, environment) = (config::load(&self.path("landfall.yaml")).unwrap().settings, environment());
        self.block_on(async {
            let bot = daemon::bot(&settings, &environment, clock.clone()).await.unwrap();
            let sinks = daemon::sinks(&settings, &environment).unwrap();
            let tracker = daemon::tracker(&settings, &environment, clock, Arc::clone(bot.lookup()), sinks).unwrap();
            let (stop, tracking) = (CancellationToken::new(), Arc::clone(&tracker));
            let token = stop.clone();
            let running = tokio::spawn(async move {
                bot.run(&settings.interval, &token, tracking, Arc::new(|_: &CycleOutcome| ())).await;
            });
            InProcess { tracker, stop, running }
        })
    }

    /// One cycle of its first repository; between lost races it waits hardly at all.
    pub(crate) fn cycle(&self, bot: &mut Bot) -> Result<CycleOutcome, String> {
        let now = Clock::system().now();
        let timing = Timing { now, since: now, pause: std::time::Duration::from_millis(2) };
        let lookup = Arc::clone(bot.lookup());
        let outcome = self.block_on(bot.repositories[0].apply(&lookup, timing));
        lookup.flush();
        outcome.map_err(|error| error.to_string())
    }

    // The registry.

    /// CI pushes an image; each tag is an image of its own.
    pub(crate) fn push(&self, repository: &str, tag: &str) -> String {
        let revision =
            format!("{:x<40}", tag.bytes().map(|b| format!("{b:02x}")).collect::<String>()).replace('x', "0");
        let image = DemoImage::new("2026-01-01T00:00:00Z".parse().unwrap())
            .annotation("org.opencontainers.image.source", &format!("https://git.example.com/{repository}"))
            .annotation("org.opencontainers.image.revision", &revision[..40]);
        self.push_image(repository, tag, &image)
    }

    /// CI pushes an image made at this time.
    pub(crate) fn push_made(&self, repository: &str, tag: &str, created: Timestamp) -> String {
        self.push_image(repository, tag, &DemoImage::new(created))
    }

    pub(crate) fn push_image(&self, repository: &str, tag: &str, image: &DemoImage) -> String {
        self.registry.push_image(repository, &Tag::parse(tag).unwrap(), image).unwrap().to_string()
    }

    pub(crate) fn push_all(&self, repository: &str, tags: &[&str]) {
        for tag in tags {
            self.push(repository, tag);
        }
    }

    pub(crate) fn delete(&self, repository: &str, tag: &str) {
        assert!(self.registry.delete_tag(repository, &Tag::parse(tag).unwrap()));
    }

    // Git, by plain `git`.

    /// `git` in the remote's folder.
    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.bare(), args)
    }

    pub(crate) fn tip(&self, branch: &str) -> String {
        self.git(&["rev-parse", &format!("refs/heads/{branch}")])
    }

    /// Every ref and its id.
    pub(crate) fn refs(&self) -> String {
        self.git(&["for-each-ref", "--format=%(refname) %(objectname)"])
    }

    /// The bot's branches.
    pub(crate) fn heads(&self) -> Vec<String> {
        let listed = self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/landfall/"]);
        listed.lines().map(str::to_owned).collect()
    }

    pub(crate) fn read(&self, revision: &str, path: &str) -> String {
        let output = try_git(&self.bare(), &["show", &format!("{revision}:{path}")]);
        assert!(output.status.success(), "{path} at {revision}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The tag of `newTag: …` in an overlay of `main`.
    pub(crate) fn tag(&self, app: &str, environment: &str) -> String {
        self.tag_at("main", app, environment)
    }

    pub(crate) fn tag_at(&self, revision: &str, app: &str, environment: &str) -> String {
        let text = self.read(revision, &overlay(app, environment));
        let line = text.lines().find_map(|line| line.trim().strip_prefix("newTag: ")).unwrap();
        let line = line.split_whitespace().next().unwrap();
        line.trim_matches(['"', '\'']).to_owned()
    }

    /// Subjects of a branch, newest first, as `author: subject`.
    pub(crate) fn log(&self, branch: &str) -> Vec<String> {
        self.git(&["log", "--format=%an: %s", branch]).lines().map(str::to_owned).collect()
    }

    /// `added removed path` of every file of a commit.
    pub(crate) fn numstat(&self, commit: &str) -> Vec<String> {
        let stat = self.git(&["diff", "--numstat", &format!("{commit}^"), commit]);
        stat.lines().map(|line| line.replace('\t', " ")).collect()
    }

    /// The trailers of a commit, as Git itself reads them.
    pub(crate) fn trailers(&self, commit: &str) -> Vec<(String, String)> {
        let script = "git log -1 --format=%B \"$1\" | git interpret-trailers --parse";
        let output = command("sh").args(["-c", script, "sh", commit]).current_dir(self.bare()).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.split_once(": ").unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    /// Gives the remote a hook.
    pub(crate) fn hook(&self, name: &str, script: &str) {
        hook(&self.bare(), name, script);
    }

    // People.

    /// Ada changes a file of a branch: `from` becomes `to`, committed and pushed.
    pub(crate) fn edit_on(&self, branch: &str, path: &str, from: &str, to: &str) -> String {
        self.work(branch, |folder| {
            let file = folder.join(path);
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(&file, text.replacen(from, &self.text(to), 1)).unwrap();
            commit_all(folder, &format!("{path}: by hand"));
        })
    }

    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) -> String {
        self.edit_on("main", path, from, to)
    }

    /// Ada writes files and pushes one commit.
    pub(crate) fn write(&self, files: &[(&str, &str)]) -> String {
        self.work("main", |folder| {
            for (path, text) in files {
                fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
                fs::write(folder.join(path), self.text(text)).unwrap();
            }
            commit_all(folder, "files by hand");
        })
    }

    /// Ada works in a clone of a branch, and pushes; the new tip.
    pub(crate) fn work(&self, branch: &str, change: impl FnOnce(&Path)) -> String {
        let clone = tempfile::tempdir_in(self.dir.path()).unwrap();
        let folder = clone.path();
        git(folder, &["clone", "--quiet", "--branch", branch, self.bare().to_str().unwrap(), "."]);
        git(folder, &["config", "user.name", "Ada"]);
        git(folder, &["config", "user.email", "ada@example.com"]);
        change(folder);
        git(folder, &["push", "--quiet", "origin", &format!("HEAD:refs/heads/{branch}")]);
        git(folder, &["rev-parse", "HEAD"])
    }

    /// A text of the world with the registry's host in it.
    pub(crate) fn text(&self, text: &str) -> String {
        text.replace("REG/", &format!("{}/", self.host))
    }
}

/// A bot that runs in this process.
pub(crate) struct InProcess {
    pub(crate) tracker: Arc<Tracker>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl InProcess {
    pub(crate) fn stop(self, world: &World) {
        self.stop.cancel();
        world.block_on(self.running).unwrap();
    }
}

fn environment() -> Environment {
    Environment::from_fn(|name| SECRETS.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into()))
}

/// What is in the program's environment.
const SECRETS: [(&str, &str); 3] =
    [("GIT_PASSWORD", GIT_PASSWORD), ("REGISTRY_PASSWORD", REGISTRY_PASSWORD), ("GITHUB_TOKEN", TOKEN)];

/// Every form in which a secret of the world could show itself.
pub(crate) fn secret_forms() -> Vec<String> {
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD_NO_PAD.encode(text);
    let mut forms = Vec::new();
    for (user, secret) in [("bot", GIT_PASSWORD), ("puller", REGISTRY_PASSWORD), ("x-access-token", TOKEN)] {
        let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        forms.extend([secret.to_owned(), base64(secret), base64(&format!("{user}:{secret}")), percent]);
    }
    forms
}

#[track_caller]
pub(crate) fn no_secret(what: &str, text: &str) {
    for form in secret_forms() {
        assert!(!text.contains(&form), "{what} holds a secret as {form}: {text}");
    }
}

/// A merge as the forge makes one; the branch stays.
fn merge_by_git(bare: &Path, merge: &StubMerge) -> Result<String, String> {
    let clone = tempfile::tempdir().unwrap();
    let folder = clone.path();
    git(folder, &["clone", "--quiet", "--branch", &merge.base, bare.to_str().unwrap(), "."]);
    git(folder, &["config", "user.name", "GitHub"]);
    git(folder, &["config", "user.email", "noreply@github.example.com"]);
    let head = format!("origin/{}", merge.head);
    let title =
        merge.title.clone().unwrap_or_else(|| format!("Merge pull request #{} from {}", merge.number, merge.head));
    let message = format!("{title}\n\n{}", merge.message.clone().unwrap_or_default());
    let steps: &[&[&str]] = match merge.method.as_str() {
        "squash" => &[&["merge", "--quiet", "--squash", &head], &["commit", "--quiet", "-m", &message]],
        "rebase" => &[&["cherry-pick", &head]],
        _ => &[&["merge", "--quiet", "--no-ff", "-m", &message, &head]],
    };
    for step in steps {
        let output = try_git(folder, step);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
    }
    git(folder, &["push", "--quiet", "origin", &format!("HEAD:refs/heads/{}", merge.base)]);
    Ok(git(folder, &["rev-parse", "HEAD"]))
}

fn commit_all(folder: &Path, message: &str) {
    git(folder, &["add", "--all"]);
    let output = command("git")
        .current_dir(folder)
        .args(["commit", "--quiet", "-m", message])
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn overlay(app: &str, environment: &str) -> String {
    format!("apps/{app}/overlays/{environment}/kustomization.yaml")
}

pub(crate) fn kustomization(app: &str, tag: &str) -> String {
    format!("resources:\n  - ../../base\nimages:\n  - name: {app}\n    newName: REG/acme/{app}\n    newTag: {tag}\n")
}

fn ada() -> Stamp {
    let identity = Identity { name: "Ada".to_owned(), email: "ada@example.com".to_owned() };
    Stamp { author: identity.clone(), committer: identity, time: Timestamp::from_second(1_790_000_000).unwrap() }
}
