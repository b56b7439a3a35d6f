//! The mirror, and how it follows its remote: listing and fetch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use gix::bstr::ByteSlice as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::model::{BranchName, CommitId, Fence, KeyPaths, NotHeld};
use crate::process::RunError;

use super::command::{CommandOutput, GitCommand, GitRunner, MEMORY_ALONE, Program};
use super::error::GitError;
use super::folder::{self, MirrorFolder};
use super::made::MakesCommits;
use super::output::{self, FailureKind};
use super::settings::{GitCredentials, NoToken, RemoteSettings};
use super::signature::CommitSigner;
use super::url::Transport;

/// The arguments of a listing.
const LISTING: [&str; 2] = ["--symref", "--quiet"];
const PATTERNS: [&str; 3] = ["HEAD", "refs/heads/*", "refs/landfall/*"];

/// How often a fetch starts over because a branch disappeared between the listing and the fetch.
const MAX_LISTINGS: usize = 3;

/// How often a failed fetch is retried while another process uses the same mirror.
const MAX_MEETINGS: usize = 8;

/// Held by a fetch that needs much memory.
static LARGE_FETCH: Semaphore = Semaphore::const_new(1);

/// How long such a fetch may take, so that a remote that drips does not keep all others from theirs.
const LARGE_FETCH_TIME: Duration = Duration::from_secs(120);

/// How long another waits for its turn.
const LARGE_FETCH_WAIT: Duration = Duration::from_secs(150);

/// A bare mirror of one remote. Cheap to clone; every clone is the same mirror.
///
/// The functions that are not `async` read and write files: call them where blocking is allowed.
#[derive(Debug, Clone)]
pub struct Mirror {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: MirrorFolder,
    runner: GitRunner,
    remote: RemoteSettings,
    /// One fetch at a time: two would wait for each other's ref locks and then fail.
    fetching: tokio::sync::Mutex<()>,
    /// Opened on first use and again after every fetch, which brings new packs.
    open: Mutex<Option<gix::ThreadSafeRepository>>,
    /// Every ref that was fetched and still exists, so that a recreated mirror is as complete as the old one.
    fetched: Mutex<BTreeSet<String>>,
    /// The branch that `HEAD` pointed to in the last listing.
    default_branch: Mutex<Option<BranchName>>,
    damaged: AtomicBool,
    /// What its commits are signed with.
    signer: OnceLock<CommitSigner>,
    /// Who makes its commits, if not the bot itself.
    maker: OnceLock<Arc<dyn MakesCommits>>,
    /// Asked before each push, with the repository's name; unset: nobody shares the work.
    fence: OnceLock<(Fence, String)>,
    /// Recreating the mirror did not help, and nothing was fetched since: the fault is on the remote's side.
    remake_useless: AtomicBool,
    /// What policies declare of its files.
    declared: Mutex<KeyPaths>,
}

/// Makes the server's side of a fetch take little memory, where that is a process of ours: one thread, and small windows.
const SERVED: &str = "--upload-pack=git -c pack.threads=1 -c pack.windowMemory=8m -c pack.deltaCacheSize=8m -c core.deltaBaseCacheLimit=8m upload-pack";

impl Mirror {
    /// Sets what policies declare of its files: from now on, they are read so.
    pub fn declares(&self, declared: KeyPaths) {
        let mut known = self.inner.declared.lock().unwrap_or_else(PoisonError::into_inner);
        // What is the same stays the same value, so that all who hold it compare it by its address.
        if *known != declared {
            *known = declared;
        }
    }

    /// What policies declare of its files.
    #[must_use]
    pub fn declared(&self) -> KeyPaths {
        self.inner.declared.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens the mirror of a remote below `dir`, or creates it. One that is damaged, or of another address, is
    /// recreated. Nothing is fetched.
    ///
    /// # Errors
    /// If the git program is missing or too old, the folder is not writable, or the settings contradict each other.
    pub async fn open(dir: &Path, remote: RemoteSettings) -> Result<Self, GitError> {
        Self::open_with(dir, remote, Program::inherited()).await
    }

    /// As [`Mirror::open`], with this git program.
    ///
    /// # Errors
    /// As there.
    pub async fn open_with(dir: &Path, mut remote: RemoteSettings, program: Program) -> Result<Self, GitError> {
        remote.check()?;
        if let Some(path) = remote.url.as_path() {
            let base = std::path::absolute(Path::new(".")).map_err(|error| GitError::disk(&path, &error))?;
            remote.url = remote.url.relative_to(&base);
        }
        program.check().await.map_err(|error| failed_to_run(&remote, remote.timeout, error))?;
        let (dir, address) = (dir.to_owned(), remote.url.to_string());
        let folder = tokio::task::spawn_blocking(move || MirrorFolder::open(&dir, &address))
            .await
            .map_err(|error| GitError::Program { message: error.to_string() })??;
        let runner = GitRunner { program, git_dir: folder.git_dir(), home: folder.home() };
        let inner = Inner {
            folder,
            runner,
            remote,
            fetching: tokio::sync::Mutex::default(),
            open: Mutex::default(),
            fetched: Mutex::default(),
            default_branch: Mutex::default(),
            damaged: AtomicBool::new(false),
            signer: OnceLock::new(),
            maker: OnceLock::new(),
            fence: OnceLock::new(),
            remake_useless: AtomicBool::new(false),
            declared: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Signs every commit that is made from now on; a second call changes nothing.
    #[must_use]
    pub fn signing(self, signer: Option<CommitSigner>) -> Self {
        if let Some(signer) = signer {
            self.inner.signer.get_or_init(|| signer);
        }
        self
    }

    pub(super) fn signer(&self) -> Option<&CommitSigner> {
        self.inner.signer.get()
    }

    /// Lets somebody make what [`Mirror::made`] gives from now on; a second call changes nothing.
    pub fn made_by(&self, maker: Option<Arc<dyn MakesCommits>>) {
        if let Some(maker) = maker {
            self.inner.maker.get_or_init(|| maker);
        }
    }

    /// Asks this right before each push, for the repository of this name; a second call changes nothing.
    pub fn fenced(&self, fence: Fence, repository: &str) {
        self.inner.fence.get_or_init(|| (fence, repository.to_owned()));
    }

    /// Whether a push may begin now.
    pub(super) fn may_write(&self) -> Result<(), GitError> {
        let Some((fence, repository)) = self.inner.fence.get() else { return Ok(()) };
        let refused = |NotHeld(reason)| GitError::Refused { what: "the push".to_owned(), reason };
        fence.check(repository).map_err(refused)
    }

    /// Whether somebody else makes what [`Mirror::made`] gives.
    #[must_use]
    pub fn has_maker(&self) -> bool {
        self.maker().is_some()
    }

    pub(super) fn maker(&self) -> Option<&Arc<dyn MakesCommits>> {
        self.inner.maker.get()
    }

    /// The remote and its credentials.
    pub(super) fn settings(&self) -> &RemoteSettings {
        &self.inner.remote
    }

    /// The remote's address, safe to show.
    #[must_use]
    pub fn remote(&self) -> &str {
        self.inner.remote.url.as_str()
    }

    /// The bare repository's folder.
    #[must_use]
    pub fn git_dir(&self) -> PathBuf {
        self.inner.runner.git_dir.clone()
    }

    /// The mirror's folder.
    pub(super) fn folder(&self) -> &Path {
        self.inner.folder.dir()
    }

    /// Lists the remote's branches and `refs/landfall/*`: full name → commit. One request; empty for an empty
    /// repository.
    ///
    /// # Errors
    /// If the remote does not give a complete answer.
    pub async fn ls_remote(&self) -> Result<BTreeMap<String, CommitId>, GitError> {
        let protocol = |message| GitError::Protocol { remote: self.remote().to_owned(), message };
        let done = self.invoke("ls-remote", &LISTING.map(str::to_owned), &PATTERNS.map(str::to_owned)).ended().await?;
        if !done.success {
            return Err(self.failed(&done.stderr));
        }
        let refs = output::listed(&done.stdout).map_err(protocol)?;
        *lock(&self.inner.default_branch) = output::default_branch(&done.stdout);
        if refs.is_empty() && !self.speaks_git().await? {
            return Err(protocol(
                "it does not speak Git's protocol; check that this is the repository's address".to_owned(),
            ));
        }
        Ok(refs)
    }

    /// The branch that the remote's `HEAD` points to, as of the last [`Mirror::ls_remote`]; `None` if the remote did
    /// not say.
    #[must_use]
    pub fn default_branch(&self) -> Option<BranchName> {
        lock(&self.inner.default_branch).clone()
    }

    /// Whether an empty listing comes from an empty repository: over HTTP, Git also accepts an empty page, which any
    /// proxy or web server may send. A Git server's answer has packets, and Git's trace shows them.
    async fn speaks_git(&self) -> Result<bool, GitError> {
        if !matches!(self.inner.remote.url.transport(), Transport::Http | Transport::Https) {
            return Ok(true);
        }
        let listing = self.invoke("ls-remote", &LISTING.map(str::to_owned), &PATTERNS.map(str::to_owned));
        let done = listing.traced().ended().await?;
        if !done.success {
            return Err(self.failed(&done.stderr));
        }
        Ok(output::has_packets(&done.stderr))
    }

    /// Updates these refs (full names) of the mirror to the remote's state, even if it was rewritten; local refs that
    /// the remote no longer has are dropped. A name that the remote does not have is not an error: [`Mirror::tip`] is
    /// `None` afterwards.
    ///
    /// # Errors
    /// If the remote does not answer, or the mirror is not writable.
    pub async fn fetch(&self, refs: &[String]) -> Result<(), GitError> {
        let listed = self.ls_remote().await?;
        self.fetch_listed(&listed, refs).await
    }

    /// As [`Mirror::fetch`], with a complete listing just taken by [`Mirror::ls_remote`]. Free if the mirror is already
    /// up to date.
    ///
    /// # Errors
    /// As there.
    pub async fn fetch_listed(&self, listed: &BTreeMap<String, CommitId>, refs: &[String]) -> Result<(), GitError> {
        if let Some(name) = refs.iter().find(|name| !output::is_full_name(name)) {
            return Err(GitError::refused(format!("fetching `{}`", name.escape_debug()), "it is not a full ref name"));
        }
        let _one_at_a_time = self.inner.fetching.lock().await;
        {
            let mut fetched = lock(&self.inner.fetched);
            fetched.extend(refs.iter().cloned());
            fetched.retain(|name| listed.contains_key(name));
        }
        if self.inner.damaged.load(Ordering::Acquire) {
            self.make_anew()?;
        }
        let mut listed = listed.clone();
        for _ in 0..MAX_LISTINGS {
            match self.fetch_once(&listed).await? {
                Fetched::Complete => return self.upkeep().await,
                Fetched::RefGone => listed = self.ls_remote().await?,
            }
        }
        let message = "its branches keep disappearing between the listing and the fetch".to_owned();
        Err(GitError::Protocol { remote: self.remote().to_owned(), message })
    }

    /// Fetches every ref requested so far that differs from the listing. Failures in the mirror itself are repaired:
    /// first by removing stale locks, then by recreating it.
    async fn fetch_once(&self, listed: &BTreeMap<String, CommitId>) -> Result<Fetched, GitError> {
        let mut outcome = self.try_fetch(listed).await;
        for _ in 0..MAX_MEETINGS {
            if !matches!(&outcome, Err(GitError::Protocol { .. } | GitError::Damaged { .. }))
                || !self.inner.folder.is_shared()
            {
                break;
            }
            // Another process that fetches the same refs holds their locks, and its objects must not be removed.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(50..200))).await;
            outcome = self.try_fetch(listed).await;
        }
        if matches!(&outcome, Err(GitError::Protocol { .. } | GitError::Damaged { .. })) {
            if self.inner.folder.clear_remains() {
                outcome = self.try_fetch(listed).await;
            }
            if let Err(error @ (GitError::Protocol { .. } | GitError::Damaged { .. })) = outcome {
                if self.inner.remake_useless.swap(true, Ordering::AcqRel) {
                    return Err(error);
                }
                tracing::warn!(remote = self.remote(), %error, "the mirror is recreated");
                self.make_anew()?;
                outcome = self.try_fetch(listed).await;
            }
        }
        if matches!(outcome, Ok(Fetched::Complete)) {
            self.inner.remake_useless.store(false, Ordering::Release);
        }
        outcome
    }

    async fn try_fetch(&self, listed: &BTreeMap<String, CommitId>) -> Result<Fetched, GitError> {
        self.drop_gone(listed)?;
        let wanted = lock(&self.inner.fetched).clone();
        let mut refspecs = Vec::new();
        for name in wanted {
            if let Some(id) = listed.get(&name)
                && self.tip(&name)?.as_ref() != Some(id)
            {
                refspecs.push(format!("+{name}:{name}"));
            }
        }
        if refspecs.is_empty() {
            return Ok(Fetched::Complete);
        }
        let options = [
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--quiet",
            // A remote may itself be a shallow clone: then the mirror is shallow, too, and records where its history
            // ends.
            "--update-shallow",
        ];
        // In a folder of this machine the server is our own process, within the same memory.
        let served = self.inner.remote.url.as_path().map(|_| SERVED.to_owned());
        let options: Vec<String> = options.map(str::to_owned).into_iter().chain(served).collect();
        let mut done = self.invoke("fetch", &options, &refspecs).ended().await?;
        if !done.success && self.failure(&done.stderr) == FailureKind::Memory {
            let _alone = turn(&LARGE_FETCH, LARGE_FETCH_WAIT).await.ok_or_else(|| self.no_turn())?;
            let command = self.invoke("fetch", &options, &refspecs).alone();
            done = command.ended_within(LARGE_FETCH_TIME).await?;
        }
        self.forget_open();
        if done.success {
            return Ok(Fetched::Complete);
        }
        if output::failure(&done.stderr) == FailureKind::RefGone {
            return Ok(Fetched::RefGone);
        }
        Err(self.failed(&done.stderr))
    }

    /// Fetches those of these objects that an earlier fetch left out because they are large, in one conversation. It waits for
    /// the remote: call it where blocking is allowed.
    ///
    /// # Errors
    /// If the remote does not answer.
    pub(super) fn complete(&self, ids: impl IntoIterator<Item = gix::ObjectId>) -> Result<(), GitError> {
        if !self.inner.remote.url.transport().filters() {
            return Ok(());
        }
        let mut missing: Vec<String> = self.lacking(ids)?.iter().map(ToString::to_string).collect();
        if missing.is_empty() || !self.inner.folder.is_partial() {
            return Ok(());
        }
        missing.sort_unstable();
        missing.dedup();
        tracing::debug!(remote = self.remote(), files = missing.len(), "large files are fetched to be read");
        let options =
            ["--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules", "--quiet"];
        let options: Vec<String> = options.into_iter().chain(["--stdin"]).map(str::to_owned).collect();
        let mut command = self.invoke("fetch", &options, &[]);
        command.invocation.reading(missing.join("\n").into_bytes());
        let done = apart(command.ended()).unwrap_or_else(|message| Err(GitError::Program { message }))?;
        self.forget_open();
        if done.success { Ok(()) } else { Err(self.failed(&done.stderr)) }
    }

    /// Whether an earlier fetch may have left out files.
    #[must_use]
    pub fn may_lack_files(&self) -> bool {
        self.inner.remote.url.transport().filters() && self.inner.folder.is_partial()
    }

    /// Those of these objects that the mirror does not have.
    ///
    /// # Errors
    /// If the mirror is damaged.
    pub(super) fn lacking(&self, ids: impl IntoIterator<Item = gix::ObjectId>) -> Result<Vec<gix::ObjectId>, GitError> {
        let repo = self.repo()?;
        Ok(ids.into_iter().filter(|id| !repo.has_object(*id)).collect())
    }

    /// The error of a large fetch whose turn did not come.
    fn no_turn(&self) -> GitError {
        let seconds = LARGE_FETCH_WAIT.as_secs();
        GitError::refused(
            format!("fetching from {}", self.remote()),
            format!(
                "it needs much memory, so it runs alone, and others ran for {seconds} s; it is tried again in the next cycle"
            ),
        )
    }

    /// Drops local refs that the remote no longer has; before the fetch, because `a` blocks `a/b`.
    fn drop_gone(&self, listed: &BTreeMap<String, CommitId>) -> Result<(), GitError> {
        use gix::refs::transaction::{Change, PreviousValue, RefEdit, RefLog};
        let repo = self.repo()?;
        let mut gone = Vec::new();
        for name in self.local_refs(&repo)? {
            if name.as_bstr().to_str().is_ok_and(|name| listed.contains_key(name)) {
                continue;
            }
            let change = Change::Delete { expected: PreviousValue::Any, log: RefLog::AndReference };
            gone.push(RefEdit { change, name, deref: false });
        }
        if !gone.is_empty() {
            // Usually a lock that a killed process left; the caller repairs it.
            let dir = self.git_dir();
            repo.edit_references(gone).map_err(|error| GitError::Damaged { dir, message: whole(&error) })?;
        }
        Ok(())
    }

    fn local_refs(&self, repo: &gix::Repository) -> Result<Vec<gix::refs::FullName>, GitError> {
        let platform = repo.references().map_err(|error| self.damage(&error))?;
        let all = platform.all().map_err(|error| self.damage(&error))?;
        all.map(|found| found.map(|found| found.name().to_owned()).map_err(|error| self.damage(&error))).collect()
    }

    /// Repacks a mirror after many fetches. A failure here does not fail the fetch.
    async fn upkeep(&self) -> Result<(), GitError> {
        if !self.inner.folder.needs_upkeep() {
            return Ok(());
        }
        // Objects younger than a day may belong to a commit that is being pushed.
        let gc = ["gc", "--quiet", "--prune=1.day.ago"];
        let command = GitCommand::local(&self.inner.runner.program, Some(&self.inner.runner.git_dir), gc);
        let limit = self.inner.remote.timeout.max(Duration::from_secs(600));
        match command.run(limit).await {
            Ok(done) if done.success => {}
            Ok(done) => tracing::warn!(remote = self.remote(), error = done.stderr, "cannot pack the mirror"),
            Err(error) => tracing::warn!(remote = self.remote(), ?error, "cannot pack the mirror"),
        }
        self.forget_open();
        Ok(())
    }

    /// `git name options … address names`, ready to run.
    pub(super) fn invoke(&self, name: &str, options: &[String], names: &[String]) -> RemoteCommand<'_> {
        let Inner { runner, remote, .. } = &*self.inner;
        let invocation = GitCommand::remote(runner, remote, (name, options), names);
        RemoteCommand { name: name.to_owned(), invocation, remote }
    }

    /// The kind of failure. In a folder of this machine the server is our own child, with what memory it is given.
    fn failure(&self, stderr: &str) -> FailureKind {
        let own = self.inner.remote.url.transport() == Transport::File;
        match own.then(|| output::failure(&output::server_text(stderr))) {
            Some(FailureKind::Memory) => FailureKind::Memory,
            _ => output::failure(stderr),
        }
    }

    /// The error described by standard error.
    pub(super) fn failed(&self, stderr: &str) -> GitError {
        let (remote, message) = (self.remote().to_owned(), output::summary(stderr));
        match self.failure(stderr) {
            FailureKind::Authentication => GitError::Authentication { remote, message },
            FailureKind::NotFound => GitError::NotFound { remote, message },
            FailureKind::RateLimited => GitError::RateLimited { remote, message },
            FailureKind::Server => GitError::Server { remote, message },
            FailureKind::Unreachable => GitError::Unreachable { remote, message },
            FailureKind::DiskFull => GitError::Disk { path: self.inner.runner.git_dir.clone(), message },
            FailureKind::Memory => GitError::refused(
                format!("fetching from {remote}"),
                format!(
                    "git would need more than {} MiB of memory for what was pushed there ({message}); next: look for files of \
                     very many megabytes, and take them out of its history",
                    MEMORY_ALONE >> 20
                ),
            ),
            FailureKind::RefGone | FailureKind::Other => GitError::Protocol { remote, message },
        }
    }

    fn make_anew(&self) -> Result<(), GitError> {
        self.forget_open();
        self.inner.folder.make_anew(self.remote())?;
        self.inner.damaged.store(false, Ordering::Release);
        Ok(())
    }

    fn forget_open(&self) {
        *lock(&self.inner.open) = None;
    }

    /// A handle for this thread.
    pub(super) fn repo(&self) -> Result<gix::Repository, GitError> {
        let mut open = lock(&self.inner.open);
        if let Some(shared) = &*open {
            let mut repo = shared.to_thread_local();
            repo.object_cache_size_if_unset(folder::OBJECT_CACHE);
            return Ok(repo);
        }
        let repo = folder::open(&self.inner.runner.git_dir).map_err(|message| self.damaged(message))?;
        *open = Some(repo.clone().into_sync());
        Ok(repo)
    }

    /// The error for an object or ref that should be readable but is not; a full disk and missing permissions are not
    /// damage.
    pub(super) fn damage(&self, error: &gix::Error) -> GitError {
        if error.classify().any(|class| class.io_kind().is_some_and(is_disk)) {
            return GitError::Disk { path: self.inner.runner.git_dir.clone(), message: whole(error) };
        }
        self.damaged(whole(error))
    }

    pub(super) fn damaged(&self, message: String) -> GitError {
        self.inner.damaged.store(true, Ordering::Release);
        self.inner.folder.mark_damaged();
        GitError::Damaged { dir: self.inner.runner.git_dir.clone(), message }
    }
}

/// A command to the remote, with the context for its error messages.
pub(super) struct RemoteCommand<'a> {
    name: String,
    invocation: GitCommand,
    remote: &'a RemoteSettings,
}

impl RemoteCommand<'_> {
    fn traced(mut self) -> Self {
        self.invocation.trace_packets();
        self
    }

    /// With the memory of one that is alone.
    fn alone(mut self) -> Self {
        self.invocation.alone();
        self
    }

    pub(super) async fn ended(self) -> Result<CommandOutput, GitError> {
        self.ended_within(Duration::MAX).await
    }

    /// Within this time, or the remote's own if that is shorter.
    async fn ended_within(self, limit: Duration) -> Result<CommandOutput, GitError> {
        let Self { name, mut invocation, remote } = self;
        let limit = limit.min(remote.timeout);
        if let GitCredentials::Lent(lender) = &remote.credentials {
            let token = lender.token().await.map_err(|error| not_lent(remote, error))?;
            invocation.lend(token);
        }
        let ended = invocation.run(limit).await;
        if let (GitCredentials::Lent(lender), Ok(output)) = (&remote.credentials, &ended)
            && !output.success
            && matches!(output::failure(&output.stderr), FailureKind::Authentication)
        {
            lender.refused().await;
        }
        crate::meter::git(remote.url.as_str(), &name, ended.as_ref().is_ok_and(|output| output.success));
        ended.map_err(|error| failed_to_run(remote, limit, error))
    }
}

/// Runs work that waits to its end, on a thread of its own: this one may belong to a runtime, which must not wait in it.
fn apart<T: Send>(work: impl Future<Output = T> + Send) -> Result<T, String> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map(|runtime| runtime.block_on(work)).map_err(|error| error.to_string())
    };
    let ended = std::thread::scope(|scope| scope.spawn(run).join());
    ended.unwrap_or_else(|_| Err("a fetch of files broke off".to_owned()))
}

fn not_lent(remote: &RemoteSettings, error: NoToken) -> GitError {
    let remote = remote.url.to_string();
    match error {
        NoToken::Refused(message) => GitError::Authentication { remote, message },
        NoToken::Unavailable(message) => GitError::Unreachable { remote, message },
    }
}

enum Fetched {
    Complete,
    RefGone,
}

/// An error with all its causes, in one line.
pub(super) fn whole(error: &gix::Error) -> String {
    let causes: Vec<String> = error.iter_errors().map(ToString::to_string).collect();
    output::clean(causes.join(": ").as_bytes(), &[])
}

fn is_disk(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | PermissionDenied | ReadOnlyFilesystem | FileTooLarge)
}

/// A turn, unless it does not come in this time.
async fn turn(of: &Semaphore, patience: Duration) -> Option<SemaphorePermit<'_>> {
    tokio::time::timeout(patience, of.acquire()).await.ok()?.ok()
}

fn failed_to_run(remote: &RemoteSettings, limit: Duration, error: RunError) -> GitError {
    let address = remote.url.to_string();
    match error {
        RunError::Start(message) => GitError::Program { message },
        RunError::Timeout => GitError::Timeout { remote: address, after: limit },
        RunError::TooMuch => {
            GitError::Protocol { remote: address, message: "its answer exceeds the size limit".to_owned() }
        }
        RunError::Io(error) => GitError::Program { message: error.to_string() },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic elsewhere leaves nothing half-done in these: each is replaced as a whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_that_does_not_come_is_given_up() {
        let one = Semaphore::new(1);
        let held = turn(&one, Duration::ZERO).await;
        assert!(held.is_some());
        assert!(turn(&one, Duration::from_millis(1)).await.is_none());
        drop(held);
        assert!(turn(&one, Duration::ZERO).await.is_some());
    }

    #[tokio::test]
    async fn in_a_folder_of_this_machine_the_server_has_the_memory_that_the_bot_gives() {
        let all = [
            "remote: fatal: inflateInit: out of memory (no message)\nfatal: git upload-pack: aborting",
            "remote: fatal: unable to create thread: Resource temporarily unavailable\nerror: git upload-pack: died",
        ];
        let folder = tempfile::tempdir().unwrap();
        let folders = folder.path().join("remote.git");
        for (url, kind) in
            [(folders.to_str().unwrap(), FailureKind::Memory), ("https://git.example/x.git", FailureKind::Other)]
        {
            let remote = RemoteSettings {
                url: super::super::RemoteUrl::parse(url).unwrap(),
                credentials: GitCredentials::None,
                ca_file: None,
                client_certificate: None,
                timeout: Duration::from_secs(1),
            };
            let mirror = Mirror::open(&folder.path().join(format!("{kind:?}")), remote).await.unwrap();
            for words in all {
                assert_eq!(mirror.failure(words), kind, "{url}: {words}");
            }
        }
    }

    #[tokio::test]
    async fn a_remote_that_never_ends_its_answer_has_its_turn_for_a_while_only() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let remote = RemoteSettings {
            url: super::super::RemoteUrl::parse(&format!("http://{}/x.git", listener.local_addr().unwrap())).unwrap(),
            credentials: super::super::GitCredentials::None,
            ca_file: None,
            client_certificate: None,
            timeout: Duration::from_secs(600),
        };
        let mirror = Mirror::open(folder.path(), remote).await.unwrap();
        let fetch = mirror.invoke("ls-remote", &[], &[]).alone().ended_within(Duration::from_millis(50)).await;
        assert!(matches!(fetch, Err(GitError::Timeout { after, .. }) if after == Duration::from_millis(50)));
    }
}
