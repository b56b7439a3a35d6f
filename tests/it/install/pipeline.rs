//! `deploy/ci/landfall-ci` as the action of GitHub and the component of GitLab run it, against a stand-in for the API of comments.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::{Path as Segments, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, patch};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{root, text, tool};
use crate::support::git::{command, git};
use crate::support::process::Ran;
use crate::support::server::Server;
use crate::support::skip;
use crate::support::world::World;

/// In no output, whatever goes wrong.
const TOKEN: &str = "comment-t0ken-0815";

/// The comments of pull request 7, as GitHub and GitLab keep them.
#[derive(Clone, Default)]
struct Comments(Arc<Mutex<Vec<Value>>>);

impl Comments {
    fn add(&self, author: &str, body: &str) {
        let mut all = self.0.lock().unwrap();
        let id = all.len() + 1;
        all.push(json!({ "id": id, "user": { "login": author }, "author": { "username": author }, "body": body }));
    }

    fn of(&self, author: &str) -> Vec<String> {
        let all = self.0.lock().unwrap();
        let own = all.iter().filter(|one| one["user"]["login"] == author);
        own.map(|one| one["body"].as_str().unwrap().to_owned()).collect()
    }
}

/// What the token may do.
#[derive(Clone, Copy)]
enum May {
    Write,
    /// As for the pull request of a fork.
    Read,
}

async fn list(State((comments, _)): State<(Comments, May)>, Query(page): Query<Value>) -> Json<Value> {
    let all = comments.0.lock().unwrap();
    let number = |key: &str| page[key].as_str().unwrap().parse::<usize>().unwrap();
    let size = number("per_page");
    Json(all.iter().skip((number("page") - 1) * size).take(size).cloned().collect())
}

async fn create(
    State((comments, may)): State<(Comments, May)>,
    headers: HeaderMap,
    Json(new): Json<Value>,
) -> Response {
    let May::Write = may else { return StatusCode::FORBIDDEN.into_response() };
    assert!(has_token(&headers));
    comments.add("github-actions[bot]", new["body"].as_str().unwrap());
    StatusCode::CREATED.into_response()
}

async fn replace(
    State((comments, _)): State<(Comments, May)>,
    Segments(id): Segments<usize>,
    headers: HeaderMap,
    Json(new): Json<Value>,
) -> Response {
    assert!(has_token(&headers));
    comments.0.lock().unwrap()[id - 1]["body"] = new["body"].clone();
    Json(json!({})).into_response()
}

fn has_token(headers: &HeaderMap) -> bool {
    let bearer =
        headers.get("authorization").is_some_and(|value| value.as_bytes() == format!("Bearer {TOKEN}").as_bytes());
    bearer || headers.get("private-token").is_some_and(|value| value.as_bytes() == TOKEN.as_bytes())
}

fn api(comments: &Comments, may: May) -> Server {
    // A token of a workflow may not ask who it is.
    let github = Router::new()
        .route("/user", get(|| async { StatusCode::FORBIDDEN }))
        .route("/repos/acme/deploys/issues/7/comments", get(list).post(create))
        .route("/repos/acme/deploys/issues/comments/{id}", patch(replace));
    let gitlab = Router::new()
        .route("/gitlab/user", get(|| async { Json(json!({ "username": "github-actions[bot]" })) }))
        .route("/gitlab/projects/42/merge_requests/7/notes", get(list).post(create))
        .route("/gitlab/projects/42/merge_requests/7/notes/{id}", axum::routing::put(replace));
    Server::start(github.merge(gitlab).with_state((comments.clone(), may)))
}

#[derive(Clone, Copy)]
enum Forge {
    GitHub,
    GitLab,
}

/// A checkout of a branch of Ada's, in a runner's environment.
struct Runner {
    checkout: tempfile::TempDir,
    forge: Forge,
    api: Server,
}

impl Runner {
    fn new(world: &World, forge: Forge, api: Server) -> Self {
        let checkout = tempfile::tempdir().unwrap();
        git(checkout.path(), &["clone", "--quiet", world.bare().to_str().unwrap(), "."]);
        Self { checkout, forge, api }
    }

    fn change(&self, path: &str, change: impl FnOnce(String) -> String) {
        let path = self.checkout.path().join(path);
        std::fs::write(&path, change(std::fs::read_to_string(&path).unwrap_or_default())).unwrap();
        git(self.checkout.path(), &["add", "--all"]);
        git(self.checkout.path(), &["commit", "--quiet", "-m", "a change"]);
    }

    fn run(&self, arguments: &[&str], more: &[(&str, &str)]) -> Ran {
        let origin = &self.api.origin;
        let own = Path::new(env!("CARGO_BIN_EXE_landfall")).parent().unwrap();
        let home = tempfile::tempdir().unwrap();
        let mut bash = command("bash");
        bash.env_clear().current_dir(self.checkout.path()).arg(root().join("deploy/ci/landfall-ci")).args(arguments);
        bash.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", own.display())).env("HOME", home.path());
        bash.env("LANDFALL_CI_TOKEN", TOKEN).env("NO_PROXY", "127.0.0.1");
        match self.forge {
            Forge::GitHub => bash.envs([
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_REF", "refs/pull/7/merge"),
                ("GITHUB_BASE_REF", "main"),
                ("GITHUB_API_URL", origin),
                ("GITHUB_REPOSITORY", "acme/deploys"),
            ]),
            Forge::GitLab => bash.env("CI_API_V4_URL", format!("{origin}/gitlab")).envs([
                ("GITLAB_CI", "true"),
                ("CI_PROJECT_ID", "42"),
                ("CI_MERGE_REQUEST_IID", "7"),
                ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main"),
            ]),
        };
        bash.envs(more.iter().copied());
        let ran = Ran::of(bash, "");
        assert!(!ran.text().contains(TOKEN), "{}", ran.text());
        ran
    }

    /// The configuration for reviews, on the base branch: the world's, with its repository where the script puts it.
    fn configured(world: &World) {
        let registry = format!("registries: [{{ host: \"{}\", plainHttp: true }}]", world.host);
        let text = format!(
            "repositories:\n  - name: deploys\n    url: checkout.git\n    forge: {{ kind: local }}\n    caps: [{{ paths: \
             [\"**/prod/**\"], write: [pull-request, never] }}]\n{registry}\n"
        );
        world.write(&[("review.yaml", &text)]);
    }
}

const CONFIG: (&str, &str) = ("LANDFALL_CI_CONFIG", "review.yaml");

fn ready() -> bool {
    let missing = ["bash", "curl", "jq"].into_iter().find(|name| tool(name).is_none());
    if let Some(name) = missing {
        skip(&format!("{name} is not installed"));
    }
    missing.is_none()
}

#[test]
fn one_comment_follows_the_pull_request() {
    if !ready() {
        return;
    }
    for forge in [Forge::GitHub, Forge::GitLab] {
        let world = World::web().start();
        world.push_all("acme/web", &["1.2.3", "1.3.0"]);
        Runner::configured(&world);
        let comments = Comments::default();
        (0..100).for_each(|number| comments.add("ada", &format!("comment {number}")));
        comments.add("mallory", "<!-- landfall-ci: landfall -->\nnothing to see here");
        let runner = Runner::new(&world, forge, api(&comments, May::Write));
        let before = world.refs();

        runner.run(&["review"], &[CONFIG]).ends(0);
        let first = comments.of("github-actions[bot]");
        let [body] = &first[..] else { panic!("{first:?}") };
        assert!(body.contains("the check passed") && body.contains("1.2.3  1.3.0  apps/web/overlays/dev"), "{body}");
        assert!(body.contains("+    newTag: 1.3.0"), "the diff of a file: {body}");

        // Ada's next commit breaks a policy: the same comment says so, and the job fails.
        runner.change(".landfall/policies.yaml", |text| text.replace("write: commit", "write: comit"));
        runner.run(&["review"], &[CONFIG]).ends(1);
        let second = comments.of("github-actions[bot]");
        let [body] = &second[..] else { panic!("{second:?}") };
        assert!(body.contains("found errors") && body.contains(".landfall/policies.yaml:5"), "{body}");
        assert!(!body.contains("1.3.0"), "no plan of policies that cannot be read: {body}");

        assert_eq!(comments.of("mallory"), ["<!-- landfall-ci: landfall -->\nnothing to see here"]);
        assert_eq!(world.refs(), before, "a review writes nothing");
    }
}

/// The pull request changes where credentials would go and lifts a cap; what counts is the base branch.
#[test]
fn the_configuration_is_that_of_the_base_branch() {
    if !ready() {
        return;
    }
    let world = World::web().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    Runner::configured(&world);
    let comments = Comments::default();
    let runner = Runner::new(&world, Forge::GitHub, api(&comments, May::Write));
    runner.change("review.yaml", |text| text.replace("caps:", "timeout: nonsense\n    caps:"));
    runner.change(".landfall/policies.yaml", |text| text.replace("write: pull-request", "write: commit"));
    let ran = runner.run(&["review"], &[CONFIG]);
    assert!(!ran.text().contains("nonsense"), "{}", ran.text());
    let body = comments.of("github-actions[bot]").concat();
    assert!(body.contains("beyond") || body.contains("cap"), "the cap still holds: {body}");
}

#[test]
fn what_cannot_be_known_or_written_is_said() {
    if !ready() {
        return;
    }
    let world = World::web().start();
    Runner::configured(&world);
    // Only the registry knows nothing of the image: exit code 2, and the comment has it.
    let comments = Comments::default();
    let runner = Runner::new(&world, Forge::GitHub, api(&comments, May::Write));
    runner.run(&["review"], &[CONFIG]).ends(2);
    let body = comments.of("github-actions[bot]").concat();
    assert!(body.contains("as far as it is known"), "{body}");

    // A fork's token may only read: a warning, and the verdict is in the log.
    let comments = Comments::default();
    let fork = Runner::new(&world, Forge::GitHub, api(&comments, May::Read));
    let ran = fork.run(&["review"], &[("LANDFALL_CI_PLAN", "false")]).ends(0);
    assert!(ran.stdout.contains("::warning title=Landfall::the comment cannot be written"), "{}", ran.text());
    assert!(ran.stdout.contains("0 errors"), "{}", ran.text());

    // What people decided is in the history.
    let shallow = tempfile::tempdir().unwrap();
    let url = format!("file://{}", world.bare().display());
    git(shallow.path(), &["clone", "--quiet", "--depth=1", &url, "."]);
    let runner = Runner { checkout: shallow, ..Runner::new(&world, Forge::GitHub, api(&comments, May::Write)) };
    runner.run(&["review"], &[]).ends(2).says("the checkout is shallow");
}

/// What the runner of GitHub would take for commands in the log is between two lines that turn them off and on again.
#[test]
fn nothing_in_a_pull_request_is_a_command_to_the_runner() {
    if !ready() {
        return;
    }
    let world = World::web().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    Runner::configured(&world);
    let runner = Runner::new(&world, Forge::GitHub, api(&Comments::default(), May::Write));
    // Lines of the context in a diff begin with a space, which the runner does not mind.
    let hostile = "# ##[add-matcher]evil.json\n";
    runner.change("apps/web/overlays/dev/kustomization.yaml", |text| {
        let (before, image) = text.split_once("    newTag:").unwrap();
        format!("{before}    {hostile}    newTag:{image}")
    });
    let ran = runner.run(&["review"], &[CONFIG]).ends(0);
    let mut stopped = None;
    let mut seen = 0;
    for line in ran.stdout.lines() {
        match &stopped {
            None => stopped = line.strip_prefix("::stop-commands::").map(|word| format!("::{word}::")),
            Some(word) if line == word => stopped = None,
            Some(_) => seen += usize::from(line.contains("##[add-matcher]")),
        }
        assert!(stopped.is_some() || !line.contains("##["), "{line} in {}", ran.text());
    }
    assert!(seen > 0 && stopped.is_none(), "{}", ran.text());
}

/// The one-shot, with what it did in the summary of the job.
#[test]
fn apply_is_one_cycle() {
    if !ready() {
        return;
    }
    let world = World::web().start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let runner = Runner::new(&world, Forge::GitHub, api(&Comments::default(), May::Read));
    let (config, summary) = (world.path("landfall.yaml"), world.path("summary.md"));
    let environment =
        [("LANDFALL_CI_CONFIG", config.to_str().unwrap()), ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap())];
    runner.run(&["apply"], &environment).ends(0);
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    assert!(std::fs::read_to_string(summary).unwrap().contains("web 1.2.3 → 1.3.0"));
}

#[test]
fn the_script_is_clean() {
    let Some(shellcheck) = tool("shellcheck") else { return skip("shellcheck is not installed") };
    let mut program = command(shellcheck.to_str().unwrap());
    program.current_dir(root()).args([
        "--severity=warning",
        "deploy/ci/landfall-ci",
        "tests/install",
        "tests/run",
        "tests/api-server",
        "tests/gitea/run",
    ]);
    Ran::of(program, "").ends(0);
}

/// The inputs of the action and the component are variables that the script reads, and never text of a command: a branch's
/// name must not become one.
#[test]
fn inputs_reach_the_script_as_variables() {
    let script = text("deploy/ci/landfall-ci");
    let known = |name: &str| script.contains(name);
    let action: Value = serde_saphyr::from_str(&text("deploy/github-action/action.yml")).unwrap();
    let mut passed = 0;
    for step in action["runs"]["steps"].as_array().unwrap() {
        let run = step["run"].as_str().unwrap_or_default();
        assert!(!run.contains("${{"), "{run}");
        for (name, _) in
            step["env"].as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("LANDFALL_CI_"))
        {
            assert!(known(name), "{name}");
            passed += 1;
        }
    }
    assert!(passed >= 7, "only {passed} variables");
    let component: Vec<Value> = serde_saphyr::from_multiple(&text("deploy/gitlab/landfall.yml")).unwrap();
    let [spec, jobs] = &component[..] else { panic!("a header and jobs") };
    assert!(spec["spec"]["inputs"]["image"].is_object());
    for (job, body) in jobs.as_object().unwrap() {
        for name in body["variables"].as_object().unwrap().keys().filter(|name| name.starts_with("LANDFALL_CI_")) {
            assert!(known(name), "{job}: {name}");
        }
        assert!(!body["script"].to_string().contains("$["), "{job}");
    }
}
