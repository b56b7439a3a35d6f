//! The program as a process that can be killed, frozen, and left without its children.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::git::command;

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victims {
    /// The program and every process below it.
    All,
    /// The program alone; its git goes on.
    Alone,
}

/// A process id that signals may be sent to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target(i32);

impl Target {
    /// kill -9.
    pub(crate) fn kill(self, victims: Victims) {
        let below = if victims == Victims::All { descendants(self.0) } else { Vec::new() };
        for id in std::iter::once(self.0).chain(below) {
            signal(id, Signal::KILL);
        }
    }

    /// Stops it and every process below it, until [`Target::thaw`].
    pub(crate) fn freeze(self) {
        signal(self.0, Signal::STOP);
        descendants(self.0).into_iter().for_each(|id| signal(id, Signal::STOP));
    }

    pub(crate) fn thaw(self) {
        descendants(self.0).into_iter().for_each(|id| signal(id, Signal::CONT));
        signal(self.0, Signal::CONT);
    }
}

fn signal(id: i32, signal: Signal) {
    // Fails only when the process has ended by itself.
    let _ended = kill_process(Pid::from_raw(id).unwrap(), signal);
}

/// Every process below `id`.
fn descendants(id: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // `pid (name) state ppid …`; the name may hold anything.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut found = vec![id];
    let mut at = 0;
    while let Some(parent) = found.get(at) {
        found.extend(children.get(parent).into_iter().flatten().copied().collect::<Vec<_>>());
        at += 1;
    }
    found.split_off(1)
}

/// The running program.
pub(crate) struct Running {
    child: Child,
    out: std::path::PathBuf,
    err: std::path::PathBuf,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }

    /// The first repository's report.
    pub(crate) fn report(&self) -> Value {
        self.json()["repositories"][0].clone()
    }

    /// Everything said.
    pub(crate) fn text(&self) -> String {
        format!("{:?}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

impl Running {
    /// `landfall --config CONFIG -o json ARGUMENTS` with an empty environment; its output goes to files, so that a child
    /// that outlives it holds no pipe of ours.
    pub(crate) fn start(dir: &Path, config: &Path, arguments: &[&str]) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (dir.join(format!("out-{number}")), dir.join(format!("err-{number}")));
        #[allow(clippy::disallowed_methods, reason = "the program finds git where the test does")]
        let path = std::env::var_os("PATH").unwrap();
        let child = command(env!("CARGO_BIN_EXE_landfall"))
            .arg("--config")
            .arg(config)
            .args(["-o", "json"])
            .args(arguments)
            .current_dir(dir)
            .env_clear()
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Self { child, out, err }
    }

    pub(crate) fn target(&self) -> Target {
        Target(i32::try_from(self.child.id()).unwrap())
    }

    /// Whether it has not ended yet.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; one that goes on for longer is killed and fails the test.
    pub(crate) fn finish(mut self, limit: Duration) -> Ran {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > limit {
                self.target().kill(Victims::All);
                self.child.wait().unwrap();
                panic!("the program did not end within {limit:?}: {}", fs::read_to_string(&self.err).unwrap());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = begin.elapsed();
        let (stdout, stderr) = (fs::read(&self.out).unwrap(), fs::read(&self.err).unwrap());
        drop((fs::remove_file(&self.out), fs::remove_file(&self.err)));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr), took }
    }
}
