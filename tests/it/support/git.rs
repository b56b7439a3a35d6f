//! Plain Git, people and hooks: everything that is not Landfall uses the `git` of the system.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use landfall::git::Stamp;
use landfall::model::{CommitId, Identity, RepoPath};

pub(crate) fn file(path: &str) -> RepoPath {
    RepoPath::parse(path).unwrap()
}

pub(crate) fn stamp() -> Stamp {
    let identity = Identity { name: "Landfall".to_owned(), email: "landfall@example.com".to_owned() };
    Stamp { author: identity.clone(), committer: identity, time: jiff::Timestamp::from_second(1_790_000_000).unwrap() }
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
        assert!(begin.elapsed() < super::process::PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
