//! Running other programs: `git`, and the credential helpers of registries.
//!
//! Promise: a program that is run here ends within its time together with everything it started, brings back a bounded amount of
//! output, and blocks nobody with what it prints. What it may see of the environment is up to whoever starts it.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// Most of standard error that is kept; the rest is read and dropped, so that the process does not block.
const MAX_STDERR: usize = 64 << 10;

/// Prefixes of our environment variables that a program which provides credentials may see: where programs and their files
/// are, proxies and certificates, and what cloud CLIs need for logging in.
const SHOWN: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "LANG",
    "LC_",
    "TZ",
    "XDG_",
    "SSL_CERT_",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "DOCKER_CONFIG",
    "KUBE",
    "AWS_",
    "AZURE_",
    "GOOGLE_",
    "CLOUDSDK_",
];

/// Whether a program that provides credentials may see this variable. Our other secrets are none of its business.
#[must_use]
pub fn may_see(variable: &str) -> bool {
    SHOWN.iter().any(|shown| variable.starts_with(shown))
}

/// What a process may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Most time until it must have ended.
    pub time: Duration,
    /// Most bytes of standard output.
    pub output: usize,
    /// Most bytes of its own memory, on Linux; `None`: as much as there is.
    pub memory: Option<u64>,
}

/// What a finished process left.
#[derive(Debug)]
pub struct Finished {
    /// Whether its exit status was 0.
    pub success: bool,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// The beginning of its standard error, as it was printed.
    pub stderr: Vec<u8>,
}

/// Why a process did not finish.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Not started: missing, or not what it should be.
    #[error("cannot be started: {0}")]
    Start(String),
    /// Killed at the end of its time.
    #[error("took too long and was stopped")]
    Timeout,
    /// Killed because it printed without end.
    #[error("produced too much output and was stopped")]
    TooMuch,
    /// Its pipes broke.
    #[error("its pipes broke: {0}")]
    Io(std::io::Error),
}

/// Runs a command to its end, with `input` as its standard input.
///
/// It leads a process group of its own, which is killed as a whole at the end of its time and when the future is dropped.
///
/// # Errors
/// When it cannot be started, or does not end within its bounds.
pub async fn run(command: &mut Command, input: Option<&[u8]>, bounds: Bounds) -> Result<Finished, RunError> {
    command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn().map_err(|error| RunError::Start(error.to_string()))?;
    let mut group = ProcessGroup::of(child);
    if let Some(bytes) = bounds.memory {
        group.limit_memory(bytes);
    }
    let outcome = tokio::time::timeout(bounds.time, group.finish(input, bounds.output)).await;
    outcome.unwrap_or(Err(RunError::Timeout))
}

/// A running command with everything it started. Dropping it ends them all.
struct ProcessGroup {
    child: Child,
    /// The group's id while its leader has not been waited for, and so the id cannot be another's.
    id: Option<rustix::process::Pid>,
}

impl ProcessGroup {
    fn of(child: Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        Self { child, id }
    }

    /// Bounds what the process, and every one that it starts from now on, may allocate. Where the system cannot do that, the
    /// limits of time and output remain.
    #[cfg(target_os = "linux")]
    fn limit_memory(&self, bytes: u64) {
        use rustix::process::{Resource, Rlimit, prlimit};
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        if let Err(error) = prlimit(self.id, Resource::Data, limit) {
            tracing::debug!(%error, "cannot bound the memory of a process");
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn limit_memory(&self, _bytes: u64) {}

    async fn finish(&mut self, input: Option<&[u8]>, output: usize) -> Result<Finished, RunError> {
        let stdin = self.child.stdin.take();
        let stdout = self.child.stdout.take();
        let stderr = self.child.stderr.take();
        let write = async {
            if let (Some(mut pipe), Some(input)) = (stdin, input) {
                // One that does not read what it is told may still answer.
                let _closed = pipe.write_all(input).await;
            }
            Ok(())
        };
        // All to their end before waiting: the leader stays unreaped until then, and a grandchild that holds a pipe open
        // falls under the time limit.
        let ((), stdout, stderr) = tokio::try_join!(write, all_of(stdout, output), head_of(stderr))?;
        self.leader_ended().await;
        self.end();
        let status = self.child.wait().await.map_err(RunError::Io)?;
        Ok(Finished { success: status.success(), stdout, stderr })
    }
}

impl ProcessGroup {
    /// Waits until the leader has ended, without reaping it: as long as it is not reaped, the group's id is nobody else's.
    async fn leader_ended(&self) {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        let Some(id) = self.id else { return };
        let mut pause = Duration::from_millis(1);
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while let Ok(None) = waitid(WaitId::Pid(id), look) {
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(Duration::from_millis(50));
        }
    }

    /// Ends what is left of the group.
    fn end(&mut self) {
        if let Some(id) = self.id.take() {
            // Fails only when nothing of the group is left.
            let _ended = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.end();
    }
}

async fn all_of(pipe: Option<impl AsyncRead + Unpin>, limit: usize) -> Result<Vec<u8>, RunError> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit as u64 + 1).read_to_end(&mut bytes).await.map_err(RunError::Io)?;
    }
    if bytes.len() > limit { Err(RunError::TooMuch) } else { Ok(bytes) }
}

async fn head_of(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, RunError> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        let mut buffer = [0_u8; 8192];
        loop {
            let read = pipe.read(&mut buffer).await.map_err(RunError::Io)?;
            if read == 0 {
                break;
            }
            let room = MAX_STDERR.saturating_sub(kept.len()).min(read);
            kept.extend_from_slice(&buffer[..room]);
        }
    }
    Ok(kept)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the programs of the tests")]
mod tests {
    use super::*;

    async fn shell(script: &str, time: Duration) -> Result<Finished, RunError> {
        run(Command::new("sh").args(["-c", script]), None, Bounds { time, output: 1000, memory: None }).await
    }

    /// Waits for the end of the process whose id this file has, which nobody here reaps.
    async fn ends(file: &std::path::Path) {
        let id = std::fs::read_to_string(file).unwrap();
        let lives = || match std::fs::read_to_string(format!("/proc/{}/stat", id.trim())) {
            // What nobody reaps is a zombie at most.
            Ok(stat) => !stat.contains(") Z "),
            Err(_) => false,
        };
        let all = async {
            while lives() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("it ends");
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn what_a_program_leaves_behind_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("left");
        let leaves = format!("sleep 999 >/dev/null 2>&1 & echo $! > '{}'; echo done", left.display());
        let finished = shell(&leaves, Duration::from_secs(60)).await.unwrap();
        assert!(finished.success && finished.stdout == b"done\n", "{finished:?}");
        ends(&left).await;
        // One that holds the pipes open, and one that hangs itself.
        for hangs in ["sleep 999 & echo $! > 'LEFT'", "echo $$ > 'LEFT'; sleep 999; true"] {
            let hangs = hangs.replace("LEFT", &left.display().to_string());
            let ended = shell(&hangs, Duration::from_millis(300)).await;
            assert!(matches!(ended, Err(RunError::Timeout)), "{ended:?}");
            ends(&left).await;
        }
    }
}
