//! Time, processor time and memory of processes, and how they are printed.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// The program under test, built as it is released.
pub(crate) const LANDFALL: &str = env!("CARGO_BIN_EXE_landfall");

/// What one run cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// From start to end.
    pub(crate) wall: Duration,
    /// User and system time, of its children too, in seconds; 0 where it was not taken.
    pub(crate) cpu: f64,
    /// The largest process among it and its children, in mebibytes; 0 where it was not taken.
    pub(crate) peak: f64,
}

/// Runs a command to its end under `/usr/bin/time`; it must succeed. What it printed is given back.
pub(crate) async fn process<I, S>(folder: &Path, program: &str, arguments: I) -> anyhow::Result<(Run, String)>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = command("/usr/bin/time");
    command.args(["-q", "-f", "%U %S %M", program]).args(arguments).current_dir(folder).stdin(Stdio::null());
    let name = program.to_owned();
    tokio::task::spawn_blocking(move || {
        let begin = Instant::now();
        let output = command.output().context("/usr/bin/time (Debian package `time`) cannot be run")?;
        let wall = begin.elapsed();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::ensure!(output.status.success(), "{name} failed:\n{said}{}", String::from_utf8_lossy(&output.stdout));
        let figures: Vec<f64> = said.lines().last().unwrap_or_default().split(' ').flat_map(str::parse).collect();
        let [user, system, kibibytes] = figures[..] else { anyhow::bail!("/usr/bin/time printed no figures: {said}") };
        let run = Run { wall, cpu: user + system, peak: kibibytes / 1024.0 };
        Ok((run, String::from_utf8_lossy(&output.stdout).into_owned()))
    })
    .await?
}

/// Runs the program under test.
pub(crate) async fn landfall(folder: &Path, arguments: &[&str]) -> anyhow::Result<(Run, String)> {
    process(folder, LANDFALL, arguments).await
}

/// A command with nothing of git's configuration on this machine.
#[expect(clippy::disallowed_methods, reason = "a bench starts the program under test")]
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("NO_COLOR", "1")]);
    command
}

/// The time of something in this process.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> (Run, T) {
    let begin = Instant::now();
    let value = work.await;
    (Run { wall: begin.elapsed(), cpu: 0.0, peak: 0.0 }, value)
}

/// Prints a figure: the median run, and between which bounds the others were.
pub(crate) fn figure(name: &str, target: &str, runs: &[Run]) {
    let mut walls: Vec<Duration> = runs.iter().map(|run| run.wall).collect();
    walls.sort_unstable();
    let bounds = match (walls.first(), walls.last()) {
        (Some(least), Some(greatest)) => format!("{} to {}", shown(*least), shown(*greatest)),
        _ => String::new(),
    };
    let middle = walls.get(walls.len() / 2).copied().unwrap_or_default();
    let mut line = format!("{name:<58} {:>9}  ({bounds}, {} runs)", shown(middle), runs.len());
    let peak = median(runs.iter().map(|run| run.peak));
    if peak > 0.0 {
        line.push_str(&format!("  cpu {:.2} s  peak {peak:.0} MiB", median(runs.iter().map(|run| run.cpu))));
    }
    if !target.is_empty() {
        line.push_str(&format!("  target {target}"));
    }
    println!("{line}");
}

/// Prints a figure that is no time.
pub(crate) fn count(name: &str, value: impl std::fmt::Display) {
    println!("{name:<58} {value:>9}");
}

fn shown(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    if milliseconds < 1000.0 { format!("{milliseconds:.1} ms") } else { format!("{:.2} s", milliseconds / 1000.0) }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// A figure of this process in mebibytes.
pub(crate) fn memory(what: &str) -> anyhow::Result<u64> {
    memory_of("self", what)
}

/// A figure of a process in mebibytes.
pub(crate) fn memory_of(process: &str, what: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with(what)).context("no such figure")?;
    let kibibytes: u64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(kibibytes / 1024)
}
