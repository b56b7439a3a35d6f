//! The whole way over every transport, and what remotes answer when they do not help.

use std::fs;
use std::path::Path;
use std::time::Duration;

use landfall::demo::git_http::{GitLogin, GitServer, RequestLog};
use landfall::git::{
    Force, GitCredentials, GitError, KeyFile, Mirror, RefResult, RefUpdate, RemoteSettings, RemoteUrl, create_bare,
};
use landfall::model::{BranchName, FailureCode};

use super::faults::{Fault, faulty};
use super::support::{Folder, MAIN, change, fetched, forward, main_only, push_one, settings, with_password};
use crate::support::git::{command, file, fsck, git, program, rev, stamp, try_git};
use crate::support::process::PATIENCE;
use crate::support::skip;

/// Fetch, read, commit, push, verify; then somebody else's commit comes in.
async fn whole_way(folder: &Folder, remote: &Path, settings: RemoteSettings) {
    let mirror = Mirror::open(&folder.path("mirror"), settings).await.unwrap();
    let base = fetched(&mirror).await;
    assert_eq!(mirror.read(&base, &file("apps/web/dev.yaml")).unwrap().unwrap(), b"tag: v1\n");

    let commit = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    assert_eq!(push_one(&mirror, forward(&base, &commit)).await, RefResult::Updated);
    assert_eq!(mirror.ls_remote().await.unwrap()[MAIN], commit);
    assert_eq!(push_one(&mirror, forward(&base, &commit)).await, RefResult::UpToDate);

    fsck(remote);
    fsck(&mirror.git_dir());
    let clone = folder.clone_of(remote, "clone");
    assert_eq!(fs::read_to_string(clone.join("apps/web/dev.yaml")).unwrap(), "tag: v2\n");
    let changed = git(&clone, &["diff", "--name-status", base.as_str(), "HEAD"]);
    assert_eq!(changed, "M\tapps/web/dev.yaml");
    let told = git(&clone, &["log", "-1", "--format=%an <%ae> %cn %at %ct %(trailers:key=Landfall-Update,valueonly)"]);
    assert_eq!(told, "Landfall <landfall@example.com> Landfall 1790000000 1790000000 0123456789abcdef");

    let theirs = folder.person_commits(remote, "apps/api/dev.yaml", "b\n");
    assert_eq!(fetched(&mirror).await, theirs);
    assert!(mirror.is_ancestor(&commit, &theirs).unwrap());
}

#[tokio::test]
async fn over_a_path() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    whole_way(&folder, &remote, settings(remote.to_str().unwrap())).await;
}

#[tokio::test]
async fn over_a_file_address() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    whole_way(&folder, &remote, settings(&format!("file://{}", remote.display()))).await;
}

#[tokio::test]
async fn over_http_with_a_password() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let login = GitLogin { username: "bot".to_owned(), password: "p%40 ss'\"$(id)".into() };
    let server = GitServer::start(&folder.root(), Some(login)).await.unwrap();
    whole_way(&folder, &remote, with_password(&server.url("r.git"), "p%40 ss'\"$(id)")).await;
}

#[tokio::test]
async fn over_http_with_a_token() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let login = GitLogin { username: "x-access-token".to_owned(), password: "t0ken".into() };
    let server = GitServer::start(&folder.root(), Some(login)).await.unwrap();
    let credentials = GitCredentials::Token("t0ken".into());
    whole_way(&folder, &remote, RemoteSettings { credentials, ..settings(&server.url("r.git")) }).await;
}

/// An ssh server of this test, ended with it.
struct Sshd(std::process::Child);

impl Drop for Sshd {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Starts sshd on loopback; `None`, said aloud, where it is not installed.
async fn sshd(folder: &Folder) -> Option<(Sshd, u16)> {
    let sshd = Path::new("/usr/sbin/sshd");
    if !sshd.exists() {
        skip("sshd is not installed: ssh remotes are not tested");
        return None;
    }
    for name in ["host", "user"] {
        let path = folder.path(name);
        let made = command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap();
        assert!(made.success());
    }
    fs::copy(folder.path("user.pub"), folder.path("authorized")).unwrap();
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let at = |name: &str| folder.path(name).display().to_string();
    let config = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
         PasswordAuthentication no\nPermitRootLogin prohibit-password\n",
        at("host"),
        at("authorized")
    );
    fs::write(folder.path("sshd.conf"), config).unwrap();
    fs::create_dir_all("/run/sshd").ok();
    let log = fs::File::create(folder.path("sshd.log")).unwrap();
    let child = command("/usr/sbin/sshd").args(["-D", "-e", "-f"]).arg(folder.path("sshd.conf")).stderr(log).spawn();
    let mut server = Sshd(child.unwrap());
    let begin = std::time::Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        let ended = server.0.try_wait().unwrap();
        let log = || fs::read_to_string(folder.path("sshd.log")).unwrap();
        assert!(ended.is_none() && begin.elapsed() < PATIENCE, "sshd: {}", log());
        tokio::task::yield_now().await;
    }
    Some((server, port))
}

#[tokio::test]
async fn over_ssh_with_a_key_and_only_to_a_known_host() {
    let folder = Folder::new();
    let Some((_server, port)) = sshd(&folder).await else { return };
    let remote = folder.remote("r.git");
    let user = String::from_utf8(command("id").arg("-un").output().unwrap().stdout).unwrap();
    let url = format!("ssh://{}@127.0.0.1:{port}{}", user.trim(), remote.display());
    let known = fs::read_to_string(folder.path("host.pub")).unwrap();
    fs::write(folder.path("known hosts"), format!("[127.0.0.1]:{port} {known}")).unwrap();
    fs::write(folder.path("nobody"), "").unwrap();
    let with = |known_hosts: &str| RemoteSettings {
        credentials: GitCredentials::SshKey {
            key: folder.path("user").into(),
            known_hosts: Some(folder.path(known_hosts)),
        },
        ..settings(&url)
    };

    whole_way(&folder, &remote, with("known hosts")).await;

    // A key that is in no folder: ssh reads it where we hold it.
    let text = fs::read_to_string(folder.path("user")).unwrap();
    let key = KeyFile::holding(&text.as_str().into()).unwrap();
    let credentials = GitCredentials::SshKey { key, known_hosts: Some(folder.path("known hosts")) };
    let held = Mirror::open(&folder.path("held"), RemoteSettings { credentials, ..settings(&url) }).await.unwrap();
    assert!(!held.ls_remote().await.unwrap().is_empty());

    let stranger = Mirror::open(&folder.path("stranger"), with("nobody")).await.unwrap();
    let error = stranger.ls_remote().await.unwrap_err();
    assert!(matches!(error, GitError::Authentication { .. }), "{error}");
    assert!(error.to_string().contains("Host key verification failed"), "{error}");
}

#[tokio::test]
async fn an_empty_repository_and_a_branch_that_is_not_there() {
    let folder = Folder::new();
    let remote = folder.root().join("empty.git");
    create_bare(&remote, &BranchName::parse("main").unwrap(), &[], &stamp()).unwrap();
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    assert!(mirror.ls_remote().await.unwrap().is_empty());
    mirror.fetch(&main_only()).await.unwrap();
    assert_eq!(mirror.tip(MAIN).unwrap(), None);

    let first = folder.person_commits(&remote, "a/b.yaml", "x\n");
    assert_eq!(fetched(&mirror).await, first);
    mirror.fetch(&["refs/heads/nope".to_owned()]).await.unwrap();
    assert_eq!(mirror.tip("refs/heads/nope").unwrap(), None);
    assert_eq!(mirror.tip(MAIN).unwrap(), Some(first));
}

#[tokio::test]
async fn the_mirror_follows_force_pushes_deletions_and_renamed_folders_of_branches() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let first = fetched(&mirror).await;
    let second = folder.person_commits(&remote, "x/y.yaml", "1\n");
    assert_eq!(fetched(&mirror).await, second);

    git(&remote, &["update-ref", MAIN, first.as_str()]);
    let third = folder.person_commits(&remote, "x/y.yaml", "2\n");
    assert_eq!(fetched(&mirror).await, third);
    assert!(!mirror.is_ancestor(&second, &third).unwrap());

    let names = |names: &[&str]| names.iter().map(|name| format!("refs/heads/{name}")).collect::<Vec<_>>();
    git(&remote, &["branch", "a", "main"]);
    mirror.fetch(&names(&["a"])).await.unwrap();
    assert_eq!(mirror.tip("refs/heads/a").unwrap(), Some(third.clone()));
    git(&remote, &["branch", "-D", "a"]);
    git(&remote, &["branch", "a/b", "main"]);
    mirror.fetch(&names(&["a", "a/b"])).await.unwrap();
    assert_eq!(mirror.tip("refs/heads/a").unwrap(), None);
    assert_eq!(mirror.tip("refs/heads/a/b").unwrap(), Some(third));

    git(&remote, &["update-ref", "-d", MAIN]);
    mirror.fetch(&main_only()).await.unwrap();
    assert_eq!(mirror.tip(MAIN).unwrap(), None);
}

#[tokio::test]
async fn what_was_pushed_is_not_fetched() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let server = GitServer::start(&folder.root(), None).await.unwrap();
    let mirror = folder.mirror("m", &server.url("r.git")).await;
    let base = fetched(&mirror).await;
    let one = mirror.commit(&change(&base, "apps/web/dev.yaml", "tag: v2\n")).unwrap();
    assert_eq!(push_one(&mirror, forward(&base, &one)).await, RefResult::Updated);
    assert_eq!(mirror.tip(MAIN).unwrap(), Some(one.clone()));

    let listed = mirror.ls_remote().await.unwrap();
    server.requests().clear();
    mirror.fetch_listed(&listed, &main_only()).await.unwrap();
    assert_eq!(server.requests().all(), []);

    // A remote that went back on its word is followed.
    git(&remote, &["update-ref", MAIN, base.as_str()]);
    assert_eq!(fetched(&mirror).await, base);
    // A lost race moves nothing.
    let other = mirror.commit(&change(&one, "apps/web/dev.yaml", "tag: v3\n")).unwrap();
    assert!(matches!(push_one(&mirror, forward(&one, &other)).await, RefResult::LostRace { .. }));
    assert_eq!(mirror.tip(MAIN).unwrap(), Some(base));
}

#[tokio::test]
async fn a_listing_just_taken_saves_the_fetch() {
    let folder = Folder::new();
    folder.remote("r.git");
    let server = GitServer::start(&folder.root(), None).await.unwrap();
    let mirror = folder.mirror("m", &server.url("r.git")).await;
    fetched(&mirror).await;
    server.requests().clear();
    let listed = mirror.ls_remote().await.unwrap();
    mirror.fetch_listed(&listed, &main_only()).await.unwrap();
    let asked = server.requests().all();
    // One ls-remote is the advertisement and one command of protocol version 2.
    assert_eq!(asked.len(), 2, "{asked:?}");
}

#[tokio::test]
async fn what_a_remote_answers_decides_the_error() {
    let folder = Folder::new();
    folder.remote("r.git");
    for (status, code) in [
        (401, FailureCode::Authentication),
        (403, FailureCode::Authentication),
        (404, FailureCode::Authentication),
        (429, FailureCode::RateLimited),
        (500, FailureCode::Server),
        (503, FailureCode::Server),
    ] {
        let server = faulty(&folder.root(), None, "/", 0, Fault::Status(status)).await;
        let mirror = folder.mirror(&format!("m{status}"), &server.url("r.git")).await;
        let error = mirror.ls_remote().await.unwrap_err();
        assert_eq!(error.code(), Some(code), "{status}: {error}");
        assert!(error.to_string().contains(&server.url("r.git")), "{error}");
    }
    let missing = folder.mirror("missing", folder.root().join("no.git").to_str().unwrap()).await;
    let error = missing.fetch(&main_only()).await.unwrap_err();
    assert!(matches!(error, GitError::NotFound { .. }), "{error}");
    // A port that was just free and is not listened on.
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let gone = folder.mirror("gone", &format!("http://127.0.0.1:{port}/r.git")).await;
    let error = gone.ls_remote().await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }) && error.is_transient(), "{error}");
}

/// Git takes some of these for an empty repository, and "no branches" would be a lie.
#[tokio::test]
async fn a_page_that_is_no_git_server_is_an_error() {
    let folder = Folder::new();
    for (number, page) in
        ["", "<html>Welcome</html>", "<html>\nWelcome\n</html>\n", "001e# service=git-upload"].iter().enumerate()
    {
        let page = axum::Router::new().fallback(async || *page);
        let server = GitServer::serve(page, RequestLog::default()).await.unwrap();
        let mirror = folder.mirror(&format!("m{number}"), &server.url("r.git")).await;
        let error = mirror.ls_remote().await.unwrap_err();
        assert!(matches!(error, GitError::NotFound { .. } | GitError::Protocol { .. }), "{error}");
    }
    let empty = folder.root().join("empty.git");
    create_bare(&empty, &BranchName::parse("main").unwrap(), &[], &stamp()).unwrap();
    let server = GitServer::start(&folder.root(), None).await.unwrap();
    let mirror = folder.mirror("m", &server.url("empty.git")).await;
    assert!(mirror.ls_remote().await.unwrap().is_empty());
}

#[tokio::test]
async fn records_of_our_own_refs_come_and_go() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    fetched(&mirror).await;
    let name = "refs/landfall/pulls/1";
    let new = landfall::git::NewTree {
        parents: Vec::new(),
        files: vec![(file("pull.json"), b"{}".to_vec()), (file("a/b"), b"x".to_vec())],
        message: "Open pull request 1".to_owned(),
        stamp: stamp(),
    };
    let record = mirror.commit_tree(&new).unwrap();
    let update = |expected, new| RefUpdate { name: name.to_owned(), expected, new, force: Force::WithLease };
    assert_eq!(push_one(&mirror, update(None, Some(record.clone()))).await, RefResult::Updated);
    fsck(&remote);
    assert_eq!(rev(&remote, name), record);
    let other = folder.mirror("other", remote.to_str().unwrap()).await;
    assert_eq!(other.ls_remote().await.unwrap()[name], record);
    other.fetch(&[name.to_owned()]).await.unwrap();
    assert_eq!(other.read(&record, &file("pull.json")).unwrap().unwrap(), b"{}");

    assert_eq!(push_one(&mirror, update(Some(record), None)).await, RefResult::Updated);
    assert!(!mirror.ls_remote().await.unwrap().contains_key(name));
}

#[tokio::test]
async fn a_silent_remote_ends_with_its_process() {
    let folder = Folder::new();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/silent.git");
    // Accepts, and never says a word.
    let held = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok(connection) = listener.accept().await {
            connections.push(connection);
        }
    });
    let settings = RemoteSettings { timeout: Duration::from_secs(1), ..settings(&url) };
    let mirror = Mirror::open(&folder.path("m"), settings).await.unwrap();
    let error = mirror.ls_remote().await.unwrap_err();
    // Whichever limit is first: ours on the whole, or curl's on a silent connection.
    assert!(matches!(error, GitError::Timeout { .. } | GitError::Unreachable { .. }), "{error}");
    crate::support::git::until("git is gone", || {
        !crate::support::git::command_lines().iter().any(|line| line.contains(&url))
    })
    .await;
    held.abort();
}

#[tokio::test]
async fn a_git_that_is_missing_or_too_old_is_said() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let old = folder.path("old-git");
    program(&old, "echo git version 2.20.1");
    for (path, expected) in [(folder.path("no-git"), "No such file"), (old, "2.20.1")] {
        let open = async || {
            let program = landfall::git::Program::inherited().at(&path);
            Mirror::open_with(&folder.path("m"), settings(remote.to_str().unwrap()), program).await.unwrap_err()
        };
        let mut error = open().await;
        // A child that another test starts at this moment may still have the script open.
        while error.to_string().contains("Text file busy") {
            error = open().await;
        }
        assert!(matches!(error, GitError::Program { .. }), "{error}");
        assert!(error.to_string().contains(expected) && error.to_string().contains("2.32"), "{error}");
    }
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    let folder = Folder::new();
    let url = |text: &str| RemoteUrl::parse(text).unwrap();
    let key = || GitCredentials::SshKey { key: "/k".into(), known_hosts: None };
    let token = |text: &str| GitCredentials::Token(text.to_owned().into());
    for (url, credentials) in [
        (url("https://git.example.com/r.git"), key()),
        (url("git@git.example.com:r.git"), token("t")),
        (url("/srv/r.git"), token("t")),
        (url("https://git.example.com/r.git"), token("t\nhost=evil.example.com")),
        (url("https://git.example.com/r.git"), token("")),
        (
            url("git@git.example.com:r.git"),
            GitCredentials::SshKey { key: "/k\" -o ProxyCommand=x".into(), known_hosts: None },
        ),
    ] {
        let settings = RemoteSettings {
            url,
            credentials,
            ca_file: None,
            client_certificate: None,
            timeout: Duration::from_secs(1),
        };
        let error = Mirror::open(&folder.path("m"), settings).await.unwrap_err();
        assert!(matches!(error, GitError::Refused { .. }), "{error}");
        assert!(!error.to_string().contains("evil"), "{error}");
    }
}

#[tokio::test]
async fn many_fetches_in_one_process() {
    let folder = Folder::new();
    let remote = folder.remote("r.git");
    let mirror = folder.mirror("m", remote.to_str().unwrap()).await;
    let mut tip = fetched(&mirror).await;
    for round in 0..60 {
        // A fetch of 100 objects or more stays a pack; the bare repository commits without a work tree.
        let mut input =
            format!("commit {MAIN}\ncommitter A <a@b> {} +0000\ndata 1\nx\nfrom {tip}\n", 1_800_000_000 + round);
        for number in 0..110 {
            let text = format!("{round} {number}");
            input.push_str(&format!("M 644 inline f/{number}\ndata {}\n{text}\n", text.len()));
        }
        let path = folder.path("import");
        fs::write(&path, input).unwrap();
        let script = format!("git -C '{}' fast-import --quiet --force < '{}'", remote.display(), path.display());
        assert!(command("sh").args(["-c", &script]).status().unwrap().success());
        tip = fetched(&mirror).await;
        assert_eq!(tip, rev(&remote, MAIN));
        let text = mirror.read(&tip, &file("f/7")).unwrap().unwrap();
        assert_eq!(text, format!("{round} 7").as_bytes());
    }
    let packs = fs::read_dir(mirror.git_dir().join("objects/pack")).unwrap().count();
    assert!(packs < 120, "{packs} files: the mirror was never packed");
    assert!(try_git(&mirror.git_dir(), &["fsck", "--full"]).status.success());
}
