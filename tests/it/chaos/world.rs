//! A world for whole cycles under faults: a registry, a Git server and a GitHub, each behind a tripwire; a bare GitOps
//! repository; the program itself. Everything that is not Landfall uses the plain `git`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use jiff::Timestamp;
use landfall::config::{self, Environment};
use landfall::daemon::{self, Clock, CycleOutcome, Lookup, Repository, Timing};
use landfall::demo::git_http::{GitServer, RequestLog, router};
use landfall::demo::registry::{DemoImage, DemoRegistry, RegistryOptions};
use landfall::model::Tag;

use super::process::{Ran, Running};
use super::trip::{Tripwire, Where};
use crate::support::git::{git, try_git};
use crate::support::github_stub::{GitHubStub, Server, TOKEN, World as GitHubWorld};

/// The bot's address in commits.
pub(crate) const BOT: &str = "landfall@example.com";

/// Commits for dev, pull requests for prod.
pub(crate) const POLICIES: &str = r#"policies:
  - { name: all, paths: ["apps/{app}/overlays/{env}/**"], environment: "{env}", tags: { semver: "*" } }
  - { name: dev, paths: ["apps/*/overlays/dev/**"], write: commit }
  - { name: prod, paths: ["apps/*/overlays/prod/**"], write: pull-request, pullRequest: { labels: [release] } }
"#;

/// Which forge the repository has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForgeKind {
    None,
    Local,
    GitHub,
}

/// Everything, on loopback and below one temporary folder.
pub(crate) struct World {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) wire: Tripwire,
    pub(crate) registry: DemoRegistry,
    pub(crate) host: String,
    pub(crate) github: Option<GitHubStub>,
    pub(crate) forge: ForgeKind,
    git: GitServer,
    _front: Server,
    _api: Option<Server>,
    dir: tempfile::TempDir,
}

impl World {
    /// A world whose repository has a README and [`POLICIES`].
    pub(crate) fn new(forge: ForgeKind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let wire = Tripwire::default();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let registry = runtime.block_on(DemoRegistry::start(RegistryOptions::default())).unwrap();
        let front = Server::start(wire.around(Where::Registry, proxy(&format!("http://{}", registry.host()))));
        let host = front.origin.trim_start_matches("http://").to_owned();
        let remotes = dir.path().join("remotes");
        fs::create_dir(&remotes).unwrap();
        let log = RequestLog::default();
        let routes = wire.around(Where::Git, router(&remotes, None, log.clone()));
        let git = runtime.block_on(GitServer::serve(routes, log)).unwrap();
        let (github, api) = if forge == ForgeKind::GitHub { behind(&wire) } else { (None, None) };
        if let Some(github) = &github {
            let remote = remotes.join("deploys.git");
            github.heads(move |branch| {
                let name = format!("refs/heads/{branch}");
                let out = crate::support::git::try_git(&remote, &["rev-parse", "--verify", "--quiet", &name]);
                out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
            });
        }
        fs::write(dir.path().join("token"), TOKEN).unwrap();
        let world = Self { runtime, wire, registry, host, github, forge, git, _front: front, _api: api, dir };
        world.bare("deploys");
        world.commit(
            "deploys",
            &[(".landfall/policies.yaml", POLICIES.to_owned()), ("README.md", "# deploys\n".to_owned())],
        );
        world
    }

    /// A world in which these apps are declared in dev and prod, at 1.0.0, which the registry has.
    pub(crate) fn with_apps(forge: ForgeKind, apps: &[&str]) -> Self {
        let world = Self::new(forge);
        let mut files = Vec::new();
        for app in apps {
            world.push_tag(app, "1.0.0");
            for environment in ["dev", "prod"] {
                files.push((format!("apps/{app}/overlays/{environment}/kustomization.yaml"), world.overlay(app)));
            }
        }
        let files: Vec<(&str, String)> = files.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
        world.commit("deploys", &files);
        world
    }

    /// A kustomization of the app at 1.0.0, with things around the tag that must survive.
    pub(crate) fn overlay(&self, app: &str) -> String {
        format!(
            "# {app}\nresources:\n  - ../../base\nreplicas:\n  - {{ name: {app}, count: 2 }}\nimages:\n  - name: {app}\n    \
             newName: {}/acme/{app}\n    newTag: 1.0.0    # by Landfall\nlabels: []\n",
            self.host
        )
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn remote(&self) -> PathBuf {
        self.path("remotes/deploys.git")
    }

    /// A bare repository that keeps a log of where each of its refs has been.
    pub(crate) fn bare(&self, name: &str) -> PathBuf {
        let dir = self.path(&format!("remotes/{name}.git"));
        git(self.dir.path(), &["init", "--quiet", "--bare", "-b", "main", dir.to_str().unwrap()]);
        git(&dir, &["config", "core.logAllRefUpdates", "always"]);
        git(&dir, &["config", "gc.auto", "0"]);
        dir
    }

    /// Somebody commits files to `main` and pushes.
    pub(crate) fn commit(&self, name: &str, files: &[(&str, String)]) -> String {
        let remote = self.path(&format!("remotes/{name}.git"));
        let work = tempfile::tempdir_in(self.dir.path()).unwrap();
        let work = work.path();
        git(work, &["clone", "--quiet", remote.to_str().unwrap(), "."]);
        for (path, text) in files {
            fs::create_dir_all(work.join(path).parent().unwrap()).unwrap();
            fs::write(work.join(path), text).unwrap();
        }
        git(work, &["add", "-A"]);
        git(work, &["commit", "--quiet", "-m", "by hand"]);
        git(work, &["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
        git(work, &["rev-parse", "HEAD"])
    }

    /// A person merges the open pull request on GitHub.
    pub(crate) fn merge_open_pull(&self) {
        let github = self.github.as_ref().unwrap();
        let open = github.pulls().into_iter().find(|pull| pull.state == "open").expect("a pull request is open");
        self.merge_by_hand(&open.head);
        github.merge(open.number);
    }

    /// A person merges a branch of the bot into `main` and deletes it, as a forge does.
    pub(crate) fn merge_by_hand(&self, branch: &str) {
        let work = tempfile::tempdir_in(self.dir.path()).unwrap();
        let work = work.path();
        git(work, &["clone", "--quiet", self.remote().to_str().unwrap(), "."]);
        // A push of a killed instance may still be under way: whoever loses the race merges into what is there then.
        for attempt in 1.. {
            git(work, &["fetch", "--quiet", "origin"]);
            git(work, &["reset", "--quiet", "--hard", "origin/main"]);
            git(work, &["merge", "--quiet", "--no-ff", "-m", "merge", &format!("origin/{branch}")]);
            let delete = format!(":refs/heads/{branch}");
            let push = ["push", "--quiet", "--atomic", "origin", "HEAD:refs/heads/main", &delete];
            if try_git(work, &push).status.success() {
                return;
            }
            assert!(attempt < 10, "main moved ten times while {branch} was merged");
        }
    }

    /// The content of a file on `main`.
    pub(crate) fn show(&self, path: &str) -> String {
        git(&self.remote(), &["show", &format!("main:{path}")])
    }

    /// The content of an app's overlay on `main`.
    pub(crate) fn declared(&self, app: &str, environment: &str) -> String {
        let text = self.show(&format!("apps/{app}/overlays/{environment}/kustomization.yaml"));
        let line = text.lines().find(|line| line.trim_start().starts_with("newTag:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().to_owned()
    }

    /// CI pushes an image.
    pub(crate) fn push_tag(&self, app: &str, tag: &str) {
        let image = DemoImage::new(Timestamp::from_second(1_790_000_000).unwrap()).label("tag", tag);
        self.registry.push_image(&format!("acme/{app}"), &Tag::parse(tag).unwrap(), &image).unwrap();
    }

    pub(crate) fn url(&self, name: &str) -> String {
        self.git.url(&format!("{name}.git"))
    }

    /// A configuration of the one repository over HTTP, with this state folder.
    pub(crate) fn config(&self, state: &str) -> PathBuf {
        self.config_of(state, &self.repository("deploys", &self.url("deploys")), "")
    }

    /// One entry of `repositories`.
    pub(crate) fn repository(&self, name: &str, url: &str) -> String {
        let forge = match (self.forge, &self.github) {
            (ForgeKind::Local, _) => "{ kind: local }".to_owned(),
            (ForgeKind::GitHub, Some(github)) => {
                format!(
                    "{{ kind: github, apiUrl: {}, repository: acme/deploys, token: {{ file: token }} }}",
                    github.url()
                )
            }
            _ => "{ kind: none }".to_owned(),
        };
        format!(
            "  - name: {name}\n    url: {url}\n    author: {{ name: Landfall, email: {BOT} }}\n    forge: {forge}\n"
        )
    }

    /// A configuration with these `repositories`, and more `registries`.
    pub(crate) fn config_of(&self, state: &str, repositories: &str, registries: &str) -> PathBuf {
        let path = self.path(&format!("{}.yaml", state.replace('/', "-")));
        let text = format!(
            "stateDir: {state}\nrepositories:\n{repositories}registries:\n  - {{ host: \"{}\", plainHttp: true }}\n{registries}",
            self.host
        );
        fs::write(&path, text).unwrap();
        path
    }

    /// Starts the program with this configuration.
    pub(crate) fn start(&self, config: &Path, arguments: &[&str]) -> Running {
        Running::start(self.dir.path(), config, arguments)
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, config: &Path, arguments: &[&str]) -> Ran {
        self.start(config, arguments).finish(Duration::from_secs(120))
    }

    /// One undisturbed `apply`.
    pub(crate) fn apply(&self, config: &Path) -> Ran {
        self.run(config, &["apply"])
    }

    /// The same as the program has, in this process: one repository and its door to registries.
    pub(crate) fn in_process(&self, config: &Path) -> (Repository, Lookup) {
        let loaded = config::load(config).unwrap();
        let environment = Environment::from_fn(|_| None);
        let state = loaded.settings.state_dir.clone().unwrap();
        let clock = Clock::system();
        let lookup = daemon::lookup(&loaded.settings.registries, Some(&state), &environment, clock).unwrap();
        let repository = daemon::repository(&loaded.settings.repositories[0], &state, &environment);
        (self.runtime.block_on(repository).unwrap(), lookup)
    }

    /// One cycle in this process; between lost races it waits hardly at all.
    pub(crate) fn cycle(&self, (repository, lookup): &mut (Repository, Lookup)) -> Result<CycleOutcome, String> {
        let now = Clock::system().now();
        let timing = Timing { now, since: now, pause: Duration::from_millis(2) };
        self.runtime.block_on(repository.apply(lookup, timing)).map_err(|error| error.to_string())
    }

    /// Waits until no process works in this world any more.
    pub(crate) fn quiet(&self) {
        let marker = self.dir.path().to_str().unwrap();
        let begin = std::time::Instant::now();
        while crate::support::git::command_lines().iter().any(|line| line.contains(marker)) {
            assert!(begin.elapsed() < Duration::from_secs(30), "a process never ends");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn behind(wire: &Tripwire) -> (Option<GitHubStub>, Option<Server>) {
    let world = GitHubWorld::new("acme", "deploys");
    let served = world.clone();
    let routes = Router::new().fallback(move |request| served.clone().serve(request, String::new()));
    let server = Server::start(wire.around(Where::Forge, routes));
    let stub = GitHubStub::behind(world, &server.origin);
    (Some(stub), Some(server))
}

/// Hands every request on to `to`.
fn proxy(to: &str) -> Router {
    let to = Arc::new(to.to_owned());
    #[allow(clippy::disallowed_methods, reason = "a test's proxy is not one of the edges")]
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    Router::new().fallback(move |request: Request| {
        let (to, client) = (Arc::clone(&to), client.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let target = format!("{to}{}", parts.uri.path_and_query().map_or("/", |path| path.as_str()));
            let answer = client.request(parts.method, target).headers(parts.headers).body(body).send().await.unwrap();
            let mut response = Response::builder().status(answer.status());
            *response.headers_mut().unwrap() = answer.headers().clone();
            response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
        }
    })
}
