//! The demo's world: a registry, a GitOps repository behind HTTP, a cluster with its controllers, a receiver of alerts,
//! and a configuration file that refers to all of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;

use crate::daemon::Clock;
use crate::git::{
    Force, GitCredentials, Mirror, NewCommit, RefResult, RefUpdate, RemoteSettings, RemoteUrl, Stamp, create_bare,
};
use crate::model::{BranchName, Identity, RepoPath, Tag};

use super::files;
use super::git_http::{GitLogin, GitServer};
use super::receiver::Receiver;
use super::reconciler::Reconciler;
use super::registry::{DemoImage, DemoRegistry, RegistryOptions};

/// The demo's branch.
pub(super) const BRANCH: &str = "main";
/// The name of the cluster in the configuration.
pub(super) const CLUSTER: &str = "eu-1";

/// Everything that is running, and where it is.
#[derive(Debug)]
pub struct DemoWorld {
    /// The folder that holds everything.
    pub folder: PathBuf,
    /// The configuration file.
    pub config: PathBuf,
    /// The registry.
    pub registry: Arc<DemoRegistry>,
    /// The cluster.
    pub cluster: Reconciler,
    /// The receiver of alerts.
    pub receiver: Receiver,
    /// Stops when dropped.
    _git: GitServer,
    person: Mirror,
}

impl DemoWorld {
    /// Creates the world in an empty folder and starts its servers on loopback ports.
    ///
    /// # Errors
    /// When a file cannot be written or a server cannot be started.
    pub async fn create(folder: &Path, clock: &Clock) -> anyhow::Result<Self> {
        let registry =
            Arc::new(DemoRegistry::start(RegistryOptions::default()).await.context("the registry cannot start")?);
        let bare = folder.join("git").join("deploys.git");
        std::fs::create_dir_all(folder.join("git"))?;
        let branch = BranchName::parse(BRANCH)?;
        let mut first = Vec::new();
        for (path, text) in files::files(registry.host()) {
            first.push((RepoPath::parse(&path)?, text));
        }
        let ada = Stamp { author: ada(), committer: ada(), time: clock.now() };
        create_bare(&bare, &branch, &first, &ada).context("the repository cannot be made")?;
        let password = format!("{:016x}", fastrand::u64(..));
        let access = GitLogin { username: "landfall".to_owned(), password: password.clone().into() };
        let git = GitServer::start(&folder.join("git"), Some(access)).await.context("the Git server cannot start")?;
        std::fs::write(folder.join("git-password"), &password)?;
        let remote = RemoteSettings {
            url: RemoteUrl::parse(&bare.to_string_lossy())?,
            credentials: GitCredentials::None,
            ca_file: None,
            client_certificate: None,
            timeout: std::time::Duration::from_secs(30),
        };
        let person = Mirror::open(&folder.join("ada"), remote).await?;
        let url = git.url("deploys.git");
        let cluster = Reconciler::start(Arc::clone(&registry), person.clone(), url.clone(), clock.clone()).await?;
        std::fs::write(folder.join("kubeconfig"), cluster.kubeconfig())?;
        let receiver = Receiver::start().await.context("the receiver of alerts cannot start")?;
        let (folder, config) = (folder.to_owned(), folder.join("landfall.yaml"));
        let world = Self { folder, config, registry, cluster, receiver, _git: git, person };
        let login = "\n    credentials: { username: landfall, password: { file: git-password } }";
        let rest = format!(
            "clusters:\n  - name: {CLUSTER}\n    kubeconfig: {{ file: kubeconfig }}\nnotify:\n  - name: team\n    kind: webhook\n    url: {}\n",
            world.receiver.url()
        );
        world.write_config(&url, login, &rest)?;
        Ok(world)
    }

    /// Writes the configuration with this repository address and the given remaining sections.
    fn write_config(&self, url: &str, credentials: &str, rest: &str) -> anyhow::Result<()> {
        let text = format!(
            "interval: 10s\nstateDir: state\nrepositories:\n  - name: deploys\n    url: {url}\n    branch: {BRANCH}{credentials}\n    \
             author: {{ name: Landfall, email: landfall@example.com }}\n    forge: {{ kind: local }}\n    \
             policies: {{ path: .landfall }}\n    caps:\n      - {{ paths: [\"**/prod/**\"], write: [pull-request, never] }}\nregistries:\n  \
             - host: {}\n    plainHttp: true\n{rest}",
            self.registry.host()
        );
        std::fs::write(&self.config, text).with_context(|| format!("cannot write {}", self.config.display()))
    }

    /// Changes the configuration to use only what survives the process: the repository's folder, without the cluster
    /// and the receiver of alerts, so that commands still work after the servers have stopped.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn outlive(&self) -> anyhow::Result<()> {
        self.write_config("git/deploys.git", "", "")
    }

    /// CI pushes a new image.
    ///
    /// # Errors
    /// When name or tag is not valid.
    pub fn push(&self, app: &str, tag: &str, now: Timestamp) -> anyhow::Result<()> {
        let revision = format!("{:07x}{:09x}", fastrand::u32(..) >> 4, fastrand::u32(..));
        let image = DemoImage::new(now)
            .annotation("org.opencontainers.image.source", &format!("https://git.example.com/acme/{app}"))
            .annotation("org.opencontainers.image.revision", &revision);
        let _digest = self.registry.push_image(&format!("acme/{app}"), &Tag::parse(tag)?, &image)?;
        Ok(())
    }

    /// The registry loses a tag.
    ///
    /// # Errors
    /// When the tag is not valid.
    pub fn delete(&self, app: &str, tag: &str) -> anyhow::Result<bool> {
        Ok(self.registry.delete_tag(&format!("acme/{app}"), &Tag::parse(tag)?))
    }

    /// A person edits a file: replaces `from` by `to`, commits and pushes.
    ///
    /// # Errors
    /// If the file does not contain `from`, or somebody else pushed first five times.
    pub async fn edit(&self, path: &str, from: &str, to: &str, message: &str, now: Timestamp) -> anyhow::Result<()> {
        self.change(path, message, now, |before| {
            anyhow::ensure!(before.contains(from), "{path} does not contain {from}");
            Ok(before.replacen(from, to, 1))
        })
        .await
    }

    /// A person writes a whole file, commits and pushes.
    ///
    /// # Errors
    /// If somebody else pushed first five times.
    pub async fn write(&self, path: &str, text: &str, message: &str, now: Timestamp) -> anyhow::Result<()> {
        self.change(path, message, now, |_| Ok(text.to_owned())).await
    }

    /// A file at the branch's tip; empty if it does not exist.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub async fn read(&self, path: &str) -> anyhow::Result<String> {
        let name = BranchName::parse(BRANCH)?.full();
        self.person.fetch(std::slice::from_ref(&name)).await?;
        let tip = self.person.tip(&name)?.context("the branch is gone")?;
        let bytes = self.person.read(&tip, &RepoPath::parse(path)?)?.unwrap_or_default();
        Ok(String::from_utf8(bytes)?)
    }

    async fn change(
        &self,
        path: &str,
        message: &str,
        now: Timestamp,
        change: impl Fn(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        let file = RepoPath::parse(path)?;
        let name = BranchName::parse(BRANCH)?.full();
        for _ in 0..5 {
            let before = self.read(path).await?;
            let tip = self.person.tip(&name)?.context("the branch is gone")?;
            let commit = self.person.commit(&NewCommit {
                parents: vec![tip.clone()],
                base: tip.clone(),
                files: vec![(file.clone(), change(&before)?.into_bytes())],
                message: format!("{message}\n"),
                author: ada(),
                committer: ada(),
                time: now,
            })?;
            let update = RefUpdate { name: name.clone(), expected: Some(tip), new: Some(commit), force: Force::No };
            if let Some(RefResult::Updated) = self.person.push(&[update]).await?.first() {
                return Ok(());
            }
        }
        anyhow::bail!("the branch kept moving")
    }

    /// The last commits of the branch, newest first: short id, author, subject.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub async fn log(&self) -> anyhow::Result<Vec<String>> {
        let name = BranchName::parse(BRANCH)?.full();
        self.person.fetch(std::slice::from_ref(&name)).await?;
        let tip = self.person.tip(&name)?.context("the branch is gone")?;
        let entries = self.person.log(&tip, None, 30)?;
        Ok(entries
            .iter()
            .map(|entry| {
                let subject = entry.message.lines().next().unwrap_or_default();
                format!("{} {:<9} {subject}", entry.id.short(), entry.author.name)
            })
            .collect())
    }
}

fn ada() -> Identity {
    Identity { name: "Ada".to_owned(), email: "ada@example.com".to_owned() }
}
