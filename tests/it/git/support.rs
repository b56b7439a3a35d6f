//! Remotes and the mirrors that Landfall has of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use landfall::git::{
    Force, GitCredentials, Mirror, NewCommit, RefResult, RefUpdate, RemoteSettings, RemoteUrl, Stamp, create_bare,
};
use landfall::model::{BranchName, CommitId};

use crate::support::git::{file, git, rev, stamp};

pub(crate) const MAIN: &str = "refs/heads/main";

/// A temporary folder with bare repositories in `remotes/`.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
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

pub(crate) fn settings(url: &str) -> RemoteSettings {
    RemoteSettings {
        url: RemoteUrl::parse(url).unwrap(),
        credentials: GitCredentials::None,
        ca_file: None,
        client_certificate: None,
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
