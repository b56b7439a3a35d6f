//! The program as a process: run to its end, or left running, killed, frozen, and left without its children.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use super::git::command;
use super::world::no_secret;

/// How long anything may take, also where ten tests share a core.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// Writes files below a new folder.
pub(crate) fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// The program in a folder, with nothing in its environment but where programs and its home are.
pub(crate) fn landfall(folder: &Path, args: &[&str]) -> Command {
    let mut program = command(env!("CARGO_BIN_EXE_landfall"));
    program.current_dir(folder).args(args).env_clear();
    program.env("PATH", format!("{}/bin:/usr/local/bin:/usr/bin:/bin", folder.display())).env("HOME", folder);
    program
}

/// Runs the program in a folder to its end.
#[track_caller]
pub(crate) fn run(folder: &Path, args: &[&str]) -> Ran {
    Ran::of(landfall(folder, args), "")
}

/// What a run of the program printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `None` when it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ran {
    /// Runs a command to its end with this on its standard input.
    #[track_caller]
    pub(crate) fn of(program: Command, input: impl Into<Vec<u8>>) -> Self {
        let begin = Instant::now();
        let mut program = assert_cmd::Command::from_std(program);
        let output = program.write_stdin(input).timeout(PATIENCE).output().unwrap();
        Self::new(output.status, output.stdout, output.stderr, begin.elapsed())
    }

    fn new(status: ExitStatus, stdout: Vec<u8>, stderr: Vec<u8>, took: Duration) -> Self {
        let text = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(cut) if status.code().is_none() => String::from_utf8_lossy(cut.as_bytes()).into_owned(),
            Err(error) => panic!("it prints what is not UTF-8: {error}"),
        };
        let ran = Self { code: status.code(), stdout: text(stdout), stderr: text(stderr), took };
        no_secret("the output", &ran.text());
        ran
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The report of the first repository.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        self.json()["repositories"][0].clone()
    }

    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.text());
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "no `{text}` in {}", self.text());
        self
    }

    /// Everything said.
    pub(crate) fn text(&self) -> String {
        format!("{:?}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

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

impl Target {
    /// How much memory it and every process below it take of their own now.
    pub(crate) fn memory(self) -> Memory {
        let program = |id: i32| fs::read_link(format!("/proc/{id}/exe")).ok();
        let own = program(self.0);
        // A child that has not become another program yet shares all its memory.
        let below = descendants(self.0).into_iter().filter(|id| program(*id) != own);
        Memory { own: memory_of(self.0), below: below.map(memory_of).sum() }
    }
}

/// Memory in bytes, without what files are mapped to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Of the program.
    pub(crate) own: u64,
    /// Of the processes below it.
    pub(crate) below: u64,
}

impl Memory {
    pub(crate) fn all(self) -> u64 {
        self.own + self.below
    }
}

/// What cannot be taken away from a process but by ending it.
const OWN: [&str; 2] = ["RssAnon:", "RssShmem:"];

/// The memory of a process; nothing where it has ended.
fn memory_of(id: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let kibibytes = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    let lines = status.lines().filter(|line| OWN.iter().any(|name| line.starts_with(name)));
    lines.filter_map(kibibytes).sum::<u64>() << 10
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

/// Waits until no process works in this folder any more.
pub(crate) fn quiet(folder: &Path) {
    let marker = folder.to_str().unwrap();
    let begin = Instant::now();
    while super::git::command_lines().iter().any(|line| line.contains(marker)) {
        assert!(begin.elapsed() < PATIENCE, "a process never ends");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The running program; killed when dropped.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

static NUMBER: AtomicUsize = AtomicUsize::new(0);

impl Running {
    /// Its output goes to files in this folder, so that a child that outlives it holds no pipe of ours.
    pub(crate) fn start(mut program: Command, folder: &Path) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (folder.join(format!("out-{number}")), folder.join(format!("err-{number}")));
        program.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Self { child: program.spawn().unwrap(), out, err }
    }

    pub(crate) fn target(&self) -> Target {
        Target(i32::try_from(self.child.id()).unwrap())
    }

    /// Whether it has not ended yet.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has printed so far, errors last.
    pub(crate) fn printed(&self) -> String {
        let text = [&self.out, &self.err].map(|file| fs::read(file).unwrap()).concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        no_secret("the output", &text);
        text
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut() -> bool) {
        self.until_it(what, |_| done());
    }

    /// Waits until it has printed this.
    #[track_caller]
    pub(crate) fn until_said(&mut self, text: &str) {
        self.until_it(text, |running| running.printed().contains(text));
    }

    #[track_caller]
    fn until_it(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !done(self) {
            assert!(begin.elapsed() < PATIENCE, "never: {what}\n{}", self.printed());
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status} before: {what}\n{}", self.printed());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal and waits for the end, which must be its own.
    #[track_caller]
    pub(crate) fn stop(self, with: Signal) -> Ran {
        signal(self.target().0, with);
        self.finish().ends(0)
    }

    /// Waits for its end; one that goes on for too long is killed and fails the test.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Ran {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begin.elapsed() > PATIENCE {
                self.target().kill(Victims::All);
                panic!("the program did not end: {}", self.printed());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let read = |file: &Path| fs::read(file).unwrap();
        Ran::new(status, read(&self.out), read(&self.err), begin.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
        drop((fs::remove_file(&self.out), fs::remove_file(&self.err)));
    }
}
