//! Repositories, people and hooks for the tests of the Git edge: everything that is not Landfall uses the plain `git`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use landfall::git::{
    Force, GitCredentials, Mirror, NewCommit, RefResult, RefUpdate, RemoteSettings, RemoteUrl, Stamp, create_bare,
};
use landfall::model::{BranchName, CommitId, Identity, RepoPath};

pub(crate) const MAIN: &str = "refs/heads/main";

/// A temporary folder with bare repositories in `remotes/`.
pub(crate) struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("remotes")).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("remotes")
    }

    /// A bare repository with three overlays and a program.
    pub(crate) fn remote(&self, name: &str) -> PathBuf {
        let files =
            [("apps/web/dev.yaml", "tag: v1\n"), ("apps/web/prod.yaml", "tag: v1\n"), ("apps/api/dev.yaml", "a\n")];
        let files: Vec<_> = files.into_iter().map(|(path, text)| (file(path), text.as_bytes().to_vec())).collect();
        let dir = self.root().join(name);
        create_bare(&dir, &BranchName::parse("main").unwrap(), &files, &stamp()).unwrap();
        dir
    }

    pub(crate) async fn mirror(&self, name: &str, url: &str) -> Mirror {
        Mirror::open(&self.path(name), settings(url)).await.unwrap()
    }

    /// A plain clone for a person to work in.
    pub(crate) fn clone_of(&self, remote: &Path, name: &str) -> PathBuf {
        let dir = self.path(name);
        git(&self.path(""), &["clone", "--quiet", remote.to_str().unwrap(), dir.to_str().unwrap()]);
        dir
    }

    /// Somebody else commits to `main` and pushes.
    pub(crate) fn person_commits(&self, remote: &Path, path: &str, text: &str) -> CommitId {
        let clone = tempfile::tempdir_in(self.dir.path()).unwrap();
        let work = clone.path();
        git(work, &["clone", "--quiet", remote.to_str().unwrap(), "."]);
        fs::create_dir_all(work.join(path).parent().unwrap()).unwrap();
        fs::write(work.join(path), text).unwrap();
        git(work, &["add", "-A"]);
        git(work, &["commit", "--quiet", "-m", "by hand"]);
        git(work, &["push", "--quiet", "origin", "HEAD:main"]);
        rev(work, "HEAD")
    }
}

pub(crate) fn file(path: &str) -> RepoPath {
    RepoPath::parse(path).unwrap()
}

pub(crate) fn stamp() -> Stamp {
    let identity = Identity { name: "Landfall".to_owned(), email: "landfall@example.com".to_owned() };
    Stamp { author: identity.clone(), committer: identity, time: jiff::Timestamp::from_second(1_790_000_000).unwrap() }
}

pub(crate) fn settings(url: &str) -> RemoteSettings {
    RemoteSettings {
        url: RemoteUrl::parse(url).unwrap(),
        credentials: GitCredentials::None,
        ca_file: None,
        timeout: Duration::from_secs(60),
    }
}

pub(crate) fn with_password(url: &str, password: &str) -> RemoteSettings {
    let credentials = GitCredentials::Basic { username: "bot".to_owned(), password: password.into() };
    RemoteSettings { credentials, ..settings(url) }
}

pub(crate) fn main_only() -> Vec<String> {
    vec![MAIN.to_owned()]
}

pub(crate) fn change(base: &CommitId, path: &str, text: &str) -> NewCommit {
    let Stamp { author, committer, time } = stamp();
    NewCommit {
        parents: vec![base.clone()],
        base: base.clone(),
        files: vec![(file(path), text.as_bytes().to_vec())],
        message: format!("bump {path}\n\nLandfall-Update: 0123456789abcdef\n"),
        author,
        committer,
        time,
    }
}

/// Forward only, from `expected` to `new`.
pub(crate) fn forward(expected: &CommitId, new: &CommitId) -> RefUpdate {
    RefUpdate { name: MAIN.to_owned(), expected: Some(expected.clone()), new: Some(new.clone()), force: Force::No }
}

pub(crate) async fn push_one(mirror: &Mirror, update: RefUpdate) -> RefResult {
    mirror.push(&[update]).await.unwrap().remove(0)
}

/// Fetches `main` and says where it is.
pub(crate) async fn fetched(mirror: &Mirror) -> CommitId {
    mirror.fetch(&main_only()).await.unwrap();
    mirror.tip(MAIN).unwrap().expect("main is there")
}

#[expect(clippy::disallowed_methods, reason = "the judge is a git that Landfall did not start")]
pub(crate) fn command(program: &str) -> Command {
    Command::new(program)
}

pub(crate) fn try_git(dir: &Path, arguments: &[&str]) -> Output {
    command("git")
        .current_dir(dir)
        .args(["-c", "user.name=A Person", "-c", "user.email=person@example.com", "-c", "init.defaultBranch=main"])
        .args(["-c", "protocol.file.allow=always", "-c", "safe.directory=*"])
        .args(arguments)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub(crate) fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = try_git(dir, arguments);
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

pub(crate) fn rev(dir: &Path, name: &str) -> CommitId {
    CommitId::parse(&git(dir, &["rev-parse", name])).unwrap()
}

/// The judge of every push: nothing broken, nothing strange.
pub(crate) fn fsck(dir: &Path) {
    let output = try_git(dir, &["fsck", "--full", "--strict", "--no-dangling"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !text.contains("error") && !text.contains("warning"), "{text}");
}

pub(crate) fn hook(remote: &Path, name: &str, script: &str) {
    let path = remote.join("hooks").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    program(&path, script);
}

pub(crate) fn program(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The command lines of every process of this machine.
pub(crate) fn command_lines() -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

/// Waits for something that another process is about to do.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
