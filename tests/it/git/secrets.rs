//! No secret is seen (G5), and none goes to somebody else.

use std::fs;

use landfall::demo::git_http::{GitLogin, GitServer};
use landfall::git::{GitCredentials, GitError, Mirror, Program, RefResult, RemoteSettings};

use super::faults::{Fault, faulty, renamed};
use super::support::{Folder, change, fetched, forward, main_only, push_one, with_password};
use crate::support::git::{command_lines, hook, program};

const SECRET: &str = "hunter2-%&'\"$x";

fn login() -> GitLogin {
    GitLogin { username: "bot".to_owned(), password: SECRET.into() }
}

#[tokio::test]
async fn a_wrong_password_is_an_authentication_error_without_it() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let server = GitServer::start(&folder.root(), Some(login())).await.unwrap();
    let url = server.url("r.git");
    let token = RemoteSettings { credentials: GitCredentials::Token("wr0ng".into()), ..with_password(&url, "x") };
    let none = RemoteSettings { credentials: GitCredentials::None, ..with_password(&url, "x") };
    for (number, settings) in [with_password(&url, "wr0ng"), token, none].into_iter().enumerate() {
        assert!(!format!("{settings:?}").contains("wr0ng"));
        let mirror = Mirror::open(&folder.path(&format!("m{number}")), settings).await.unwrap();
        let error = mirror.fetch(&main_only()).await.unwrap_err();
        assert!(matches!(error, GitError::Authentication { .. }), "{error}");
        assert!(!format!("{error} {error:?} {mirror:?}").contains("wr0ng"), "{error:?}");
        assert!(error.to_string().contains(&url), "{error}");
    }
    drop(remote);
}

#[tokio::test]
async fn a_login_that_ends_between_fetch_and_push_is_told_apart_from_a_rejection() {
    let folder = Folder::new();
    folder.remote("r.git");
    let server = faulty(&folder.root(), None, "git-receive-pack", 0, Fault::Status(403)).await;
    let mirror = folder.mirror("m", &server.url("r.git")).await;
    let base = fetched(&mirror).await;
    let commit = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    let error = mirror.push(&[forward(&base, &commit)]).await.unwrap_err();
    assert!(matches!(error, GitError::Authentication { .. }), "{error}");
}

/// Looks at every process of the machine in the middle of a push, and at every file of the mirror afterwards.
#[tokio::test]
async fn a_secret_is_in_no_argument_and_no_file() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let (lines, args) = (folder.path("lines"), folder.path("args"));
    hook(&remote, "pre-receive", &format!("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' > '{}'", lines.display()));
    let spy = folder.path("git-spy");
    program(
        &spy,
        &format!(
            "echo \"$@\" >> '{}'; env -0 | tr '\\0\\n' '\\n ' >> '{}.env'; exec git \"$@\"",
            args.display(),
            args.display()
        ),
    );
    let server = GitServer::start(&folder.root(), Some(login())).await.unwrap();
    let settings = with_password(&server.url("r.git"), SECRET);
    let mirror = Mirror::open_with(&folder.path("m"), settings, Program::inherited().at(&spy)).await.unwrap();
    let base = fetched(&mirror).await;
    let commit = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    assert_eq!(push_one(&mirror, forward(&base, &commit)).await, RefResult::Updated);

    let seen = fs::read_to_string(&lines).unwrap();
    assert!(seen.contains("git-remote-http") || seen.contains("remote-http"), "the push was not seen: {seen}");
    assert!(!seen.contains("hunter2"));
    let seen = fs::read_to_string(&args).unwrap();
    assert!(seen.contains("push") && !seen.contains("hunter2"), "{seen}");
    assert!(command_lines().iter().all(|line| !line.contains("hunter2")));
    let found = crate::support::git::command("grep").args(["-rl", "hunter2"]).arg(folder.path("m")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");

    // The environment is ours alone: nothing but what is needed, and the user's own configuration is out of reach.
    let environment = fs::read_to_string(folder.path("args.env")).unwrap();
    for line in environment.lines().filter(|line| !line.is_empty()) {
        let name = line.split('=').next().unwrap();
        let known = ["PATH", "TMPDIR", "HOME", "LC_MESSAGES", "PWD", "OLDPWD", "SHLVL", "_", "SSH_AUTH_SOCK"];
        let proxy = name.to_ascii_lowercase().ends_with("_proxy");
        let ours = name.starts_with("GIT_") || name.starts_with("LANDFALL_GIT_");
        assert!(known.contains(&name) || ours || proxy, "{line}");
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_does_not_get_the_credentials() {
    let folder = Folder::new();
    folder.remote("r.git");
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let thief = axum::Router::new().fallback({
        let seen = seen.clone();
        move |request: axum::extract::Request| async move {
            seen.lock().unwrap().push(request.headers().clone());
            (http::StatusCode::UNAUTHORIZED, [("www-authenticate", "Basic realm=\"git\"")], "who are you?")
        }
    });
    let thief = GitServer::serve(thief, landfall::demo::git_http::RequestLog::default()).await.unwrap();
    let thief_url = thief.url("");
    for after in [0, 1] {
        // At once, and after the login was asked for and given.
        let fault = Fault::Redirect(thief_url.trim_end_matches('/').to_owned());
        let server = faulty(&folder.root(), Some(login()), "/", after, fault).await;
        let settings = with_password(&server.url("r.git"), SECRET);
        let mirror = Mirror::open(&folder.path(&format!("m{after}")), settings).await.unwrap();
        let error = mirror.ls_remote().await.unwrap_err();
        assert!(error.code().is_some(), "{error}");
    }
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty(), "the redirect was not followed: the test tests nothing");
    assert!(seen.iter().all(|headers| !headers.contains_key("authorization")), "{seen:?}");
}

/// Repositories are renamed; forges redirect to the new name.
#[tokio::test]
async fn a_redirect_on_the_same_host_is_followed() {
    let folder = Folder::new();
    let remote = folder.remote("new.git");
    let server = renamed(&folder.root(), login()).await;
    let mirror = Mirror::open(&folder.path("m"), with_password(&server.url("old.git"), SECRET)).await.unwrap();
    let base = fetched(&mirror).await;
    let commit = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    assert_eq!(push_one(&mirror, forward(&base, &commit)).await, RefResult::Updated);
    assert_eq!(crate::support::git::rev(&remote, super::support::MAIN), commit);
}

#[tokio::test]
async fn nothing_of_the_repository_runs_here() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let base = fetched(&mirror).await;
    let ran = folder.path("ran");
    for name in ["pre-push", "reference-transaction", "post-checkout", "pre-auto-gc", "fsmonitor-watchman"] {
        hook(&mirror.git_dir(), name, &format!("touch '{}'", ran.display()));
    }
    let commit = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    assert_eq!(push_one(&mirror, forward(&base, &commit)).await, RefResult::Updated);
    folder.person_commits(&remote, "apps/api/dev.yaml", "b\n");
    fetched(&mirror).await;
    assert!(!ran.exists());
}
