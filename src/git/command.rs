//! The only place that runs the `git` program.
//!
//! Promise: whatever a repository, a server or the machine's configuration says, a command run here
//!
//! - gets an argument vector, never a shell line, with names that were validated and `--end-of-options` before them
//! - reads no configuration but the mirror's own and the options below; runs no hook, no pager, no prompt, no filter
//! - speaks the one transport of its remote and no other, wherever a redirect points
//! - has a private, empty home (so no `.netrc`) and a clean environment; secrets are in that environment and not in the
//!   arguments, which every user of the machine can read
//! - ends within its time limit, with every process it started: it leads a process group, which is killed as a whole,
//!   even when the future is dropped
//! - returns a bounded amount of output, with secrets and control characters removed from what people see

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::process::{Child, Command};

use super::output;
use super::settings::{GitCredentials, RemoteSettings};
use super::url::Transport;
use crate::process::{self, Bounds, RunError};

/// The oldest Git that has every option used here (`GIT_CONFIG_GLOBAL` is the newest of them).
pub const MINIMUM_GIT: (u32, u32) = (2, 32);

/// The maximum size of standard output: a listing of 200,000 refs.
const MAX_STDOUT: usize = 16 << 20;

/// Maximum memory of a listing, which git keeps as a whole, and of a push.
const MEMORY_LISTING: u64 = 128 << 20;
/// Maximum memory of a fetch, which keeps the ids of all objects and some whole objects.
const MEMORY: u64 = 64 << 20;
/// Maximum memory of a fetch that needs more; only one of these runs at a time.
pub(super) const MEMORY_ALONE: u64 = 256 << 20;

/// The environment variables that a Git process may see.
const INHERITED: &[&str] = &[
    "PATH",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSH_AUTH_SOCK",
];

/// How Git names the remote of a mirror, so that it knows whom to ask for what a fetch left out.
const REMOTE: &str = "landfall";
/// What a fetch leaves out, and a read fetches (`git help rev-list`, `--filter`): of a long history what takes room is large
/// files, and what is asked of the past is about small ones. A server that knows no filters sends everything.
const LEFT_OUT: &str = "blob:limit=64k";

/// `git` with the part of the environment that it may see.
#[derive(Debug, Clone)]
pub struct Program {
    path: OsString,
    environment: BTreeMap<OsString, OsString>,
}

impl Program {
    /// `git` as found in `PATH`, with `PATH`, `TMPDIR`, the proxy variables and `SSH_AUTH_SOCK` of this process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "what a git process sees of our environment is decided here")]
    pub fn inherited() -> Self {
        let environment = INHERITED.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))).collect();
        Self { path: "git".into(), environment }
    }

    /// Uses another program instead of `git`.
    #[must_use]
    pub fn at(mut self, path: &Path) -> Self {
        self.path = path.as_os_str().to_owned();
        self
    }

    /// The first line of `git --version`, checked against [`MINIMUM_GIT`].
    pub(super) async fn check(&self) -> Result<(), RunError> {
        let command = GitCommand::local(self, None, ["--version"]);
        let done = command.run(Duration::from_secs(10)).await?;
        let told = String::from_utf8_lossy(&done.stdout);
        match output::version(&told) {
            Some(version) if version >= MINIMUM_GIT => Ok(()),
            _ => Err(RunError::Start(format!("`git --version` says `{}`", output::clean(told.as_bytes(), &[])))),
        }
    }

    /// `git http-backend`, the server's side of Git over HTTP, as a CGI program with these variables; its standard
    /// input, output and error are pipes.
    ///
    /// # Errors
    /// If it cannot be started.
    #[expect(clippy::disallowed_methods, reason = "the only place that runs git")]
    pub fn http_backend<'a>(&self, variables: impl IntoIterator<Item = (&'a str, OsString)>) -> std::io::Result<Child> {
        Command::new(&self.path)
            // Everybody whom the HTTP server lets in may push.
            .args(["-c", "http.receivepack=true", "-c", "safe.directory=*", "http-backend"])
            .env_clear()
            .envs(self.environment.iter().filter(|(name, _)| *name == "PATH" || *name == "TMPDIR"))
            .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("HOME", "/nonexistent")])
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

/// What a finished command left.
#[derive(Debug)]
pub(super) struct CommandOutput {
    pub(super) success: bool,
    pub(super) stdout: Vec<u8>,
    /// Cleaned for display.
    pub(super) stderr: String,
}

/// A command, ready to run.
pub(super) struct GitCommand {
    command: Command,
    secrets: Vec<String>,
    input: Option<Vec<u8>>,
    /// Maximum memory that the process may allocate.
    memory: u64,
}

impl GitCommand {
    /// A command that stays on this machine.
    pub(super) fn local<I, S>(program: &Program, git_dir: Option<&Path>, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = fenced(program, git_dir, None);
        // What was left out of a fetch is no damage.
        command.args(["-c", &format!("remote.{REMOTE}.promisor=true")]).args(arguments);
        Self { command, secrets: Vec::new(), input: None, memory: MEMORY_ALONE }
    }

    /// A command that contacts a remote: `git [sandbox options] name options --end-of-options address names`.
    pub(super) fn remote(
        runner: &GitRunner,
        remote: &RemoteSettings,
        (name, options): (&str, &[String]),
        names: &[String],
    ) -> Self {
        let transport = remote.url.transport();
        // A listing needs no repository, so it works even if the mirror is damaged.
        let git_dir = if name == "ls-remote" { &runner.home } else { &runner.git_dir };
        let mut command = fenced(&runner.program, Some(git_dir), Some(transport));
        command.env("HOME", &runner.home);
        admit(&mut command, remote);
        let patience = remote.timeout.as_secs().clamp(1, 60);
        command.args(["-c", "http.lowSpeedLimit=1", "-c", &format!("http.lowSpeedTime={patience}")]);
        let address = remote.url.as_str();
        let partial = transport.filters() && name != "ls-remote";
        if partial {
            for (key, value) in [("url", address), ("promisor", "true"), ("partialclonefilter", LEFT_OUT)] {
                command.args(["-c", &format!("remote.{REMOTE}.{key}={value}")]);
            }
        }
        let from = if partial && name == "fetch" { REMOTE } else { address };
        command.arg(name).args(options);
        // A repository may have more branches than fit into a command line.
        let input = (name == "fetch" && !names.is_empty()).then(|| names.join("\n").into_bytes());
        if input.is_some() {
            command.arg("--stdin");
        }
        command.arg("--end-of-options").arg(from).args(names.iter().filter(|_| input.is_none()));
        let mut secrets = remote.credentials.secrets();
        secrets.extend(proxy_secrets(&runner.program));
        let memory = if name == "fetch" { MEMORY } else { MEMORY_LISTING };
        Self { command, secrets, input, memory }
    }

    /// Gives it something to read, and has it ask for no more than that.
    pub(super) fn reading(&mut self, input: Vec<u8>) {
        self.input = Some(input);
    }

    /// Gives it a token that was lent for this one time.
    pub(super) fn lend(&mut self, token: SecretString) {
        let credentials = GitCredentials::Token(token);
        password(&mut self.command, &credentials);
        self.secrets.extend(credentials.secrets());
    }

    /// Allows it the memory of a fetch that runs alone.
    pub(super) fn alone(&mut self) {
        self.memory = MEMORY_ALONE;
    }

    /// Prints the packets exchanged, in Git's own framing, to standard error. They contain no headers and so no
    /// credentials.
    pub(super) fn trace_packets(&mut self) {
        self.command.env("GIT_TRACE_PACKET", "1");
    }

    /// Runs it until it ends or `limit` has passed.
    pub(super) async fn run(mut self, limit: Duration) -> Result<CommandOutput, RunError> {
        let bounds = Bounds { time: limit, output: MAX_STDOUT, memory: Some(self.memory) };
        let done = process::run(&mut self.command, self.input.as_deref(), bounds).await?;
        Ok(CommandOutput {
            success: done.success,
            stdout: done.stdout,
            stderr: output::clean(&done.stderr, &self.secrets),
        })
    }
}

/// Options given to every command, each with its reason.
const FENCE: &[&str] = &[
    // Never run a program named by a repository or a server.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "credential.helper=",
    "push.gpgSign=false",
    // Fetch and push only what was named.
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "push.recurseSubmodules=no",
    "push.followTags=false",
    "protocol.allow=never",
    "protocol.version=2",
    // Git follows a redirect of the first request only; credentials are bound to the address's origin.
    "http.followRedirects=initial",
    // Check received objects, except for what is common in old histories (old tools wrote authors, dates and modes in
    // their own way, and `git clone` accepts them all) and what only harms a work tree, which a mirror does not have:
    // such names are reported when the tree is read. Objects that are ambiguous (unsorted trees, NUL in a header,
    // missing parts) are still refused.
    "transfer.fsckObjects=true",
    "fetch.fsck.badDate=ignore",
    "fetch.fsck.badDateOverflow=ignore",
    "fetch.fsck.badEmail=ignore",
    "fetch.fsck.badName=ignore",
    "fetch.fsck.badFilemode=ignore",
    "fetch.fsck.duplicateEntries=ignore",
    "fetch.fsck.extraHeaderEntry=ignore",
    "fetch.fsck.badTagName=ignore",
    "fetch.fsck.missingEmail=ignore",
    "fetch.fsck.missingNameBeforeEmail=ignore",
    "fetch.fsck.missingSpaceBeforeEmail=ignore",
    "fetch.fsck.missingTaggerEntry=ignore",
    "fetch.fsck.multipleAuthors=ignore",
    "fetch.fsck.nulInCommit=ignore",
    "fetch.fsck.nullSha1=ignore",
    "fetch.fsck.zeroPaddedDate=ignore",
    "fetch.fsck.gitmodulesParse=ignore",
    "fetch.fsck.gitmodulesBlob=ignore",
    "fetch.fsck.gitmodulesLarge=ignore",
    "fetch.fsck.gitmodulesMissing=ignore",
    "fetch.fsck.gitattributesLarge=ignore",
    "fetch.fsck.gitattributesLineLength=ignore",
    "fetch.fsck.gitattributesBlob=ignore",
    "fetch.fsck.gitattributesMissing=ignore",
    "fetch.fsck.symlinkTargetLength=ignore",
    "fetch.fsck.symlinkTargetBlob=ignore",
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.hasDot=ignore",
    "fetch.fsck.hasDotdot=ignore",
    "fetch.fsck.hasDotgit=ignore",
    "fetch.fsck.gitmodulesName=ignore",
    "fetch.fsck.gitmodulesUrl=ignore",
    "fetch.fsck.gitmodulesPath=ignore",
    "fetch.fsck.gitmodulesUpdate=ignore",
    "fetch.fsck.gitmodulesSymlink=ignore",
    // Maintenance runs when we start it, not in a process that outlives its parent.
    "gc.auto=0",
    "gc.autoDetach=false",
    "maintenance.auto=false",
    "fetch.writeCommitGraph=false",
    // What is large is passed on as it comes, and neither held nor compared with others of its kind.
    "core.bigFileThreshold=1m",
    "core.deltaBaseCacheLimit=8m",
    "pack.threads=1",
    "pack.windowMemory=16m",
    "pack.deltaCacheSize=16m",
    "color.ui=false",
];

#[expect(clippy::disallowed_methods, reason = "the only place that runs git")]
fn fenced(program: &Program, git_dir: Option<&Path>, transport: Option<Transport>) -> Command {
    let mut command = Command::new(&program.path);
    command
        .env_clear()
        .envs(&program.environment)
        .env("HOME", "/nonexistent")
        // Messages in English; not LC_ALL, which would also change how paths are read.
        .env("LC_MESSAGES", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_PROTOCOL_FROM_USER", "0")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        // Other transports are refused even after a redirect.
        .env("GIT_ALLOW_PROTOCOL", transport.map_or("none", Transport::git_name));
    command.arg("--no-pager");
    for option in FENCE {
        command.args(["-c", option]);
    }
    if let Some(transport) = transport {
        command.arg("-c").arg(format!("protocol.{}.allow=always", transport.git_name()));
    }
    if let Some(git_dir) = git_dir {
        let mut argument = OsString::from("--git-dir=");
        argument.push(git_dir);
        command.arg(argument);
    }
    command
}

/// Prints user name and password from the environment. `printf` is a shell builtin, so no process has them as
/// arguments.
const HELPER: &str = r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$LANDFALL_GIT_USERNAME" "$LANDFALL_GIT_PASSWORD"; }; f"#;

/// User name and password for the helper that [`admit`] names. Git presents them only when it is asked to, which costs one
/// refused request: a look at the remote's branches takes three requests. Both ways to spare that one send the password on to wherever
/// the remote redirects: a header (`http.extraHeader`), and `http.proactiveAuth` (Git 2.46 to 2.55), with the request after
/// the redirect.
fn password(command: &mut Command, credentials: &GitCredentials) {
    if let Some((username, password)) = credentials.basic() {
        command.env("LANDFALL_GIT_USERNAME", username).env("LANDFALL_GIT_PASSWORD", password.expose_secret());
    }
}

/// Credentials, host keys and certificate authorities.
fn admit(command: &mut Command, remote: &RemoteSettings) {
    let lent = matches!(remote.credentials, GitCredentials::Lent(_));
    if let (true, Some(origin)) = (lent || remote.credentials.basic().is_some(), remote.url.origin()) {
        password(command, &remote.credentials);
        command.arg("-c").arg(format!("credential.{origin}.helper={HELPER}"));
    }
    if let Some(ca_file) = &remote.ca_file {
        command.env("GIT_SSL_CAINFO", ca_file);
    }
    if let Some(shown) = &remote.client_certificate {
        command.env("GIT_SSL_CERT", &shown.certificate).env("GIT_SSL_KEY", &shown.key.path);
    }
    if remote.url.transport() == Transport::Ssh {
        command.env("GIT_SSH_COMMAND", ssh_command(&remote.credentials)).env("GIT_SSH_VARIANT", "ssh");
    }
    if !matches!(remote.credentials, GitCredentials::None) {
        command.env_remove("SSH_AUTH_SOCK");
    }
}

/// Git hands this line to a shell: the two paths are quoted for it, and `"` keeps ssh from splitting them.
fn ssh_command(credentials: &GitCredentials) -> OsString {
    let mut line =
        String::from("ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o UpdateHostKeys=no -o ForwardAgent=no");
    if let GitCredentials::SshKey { key, known_hosts } = credentials {
        line.push_str(" -F none -o IdentitiesOnly=yes -o IdentityAgent=none -i ");
        line.push_str(&quoted(&key.path.to_string_lossy()));
        if let Some(known_hosts) = known_hosts {
            line.push_str(" -o GlobalKnownHostsFile=/dev/null -o ");
            line.push_str(&quoted(&format!("UserKnownHostsFile=\"{}\"", known_hosts.to_string_lossy())));
        }
    }
    line.into()
}

/// Quotes a word for a POSIX shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `user:password` of proxy variables, which an error message of curl might repeat.
fn proxy_secrets(program: &Program) -> Vec<String> {
    let values = program.environment.values().filter_map(|value| value.to_str());
    let user_information = values.filter_map(|value| {
        let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
        rest.rsplit_once('@').map(|(user_information, _)| user_information)
    });
    user_information
        .flat_map(|text| [Some(text), text.split_once(':').map(|(_, password)| password)])
        .flatten()
        .filter(|secret| !secret.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The program and folders of one mirror, so that callers only name the command.
#[derive(Debug, Clone)]
pub(super) struct GitRunner {
    pub(super) program: Program,
    pub(super) git_dir: PathBuf,
    pub(super) home: PathBuf,
}
