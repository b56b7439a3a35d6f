//! A registry, a GitOps repository behind HTTP, and a configuration that points at both.

use std::convert::identity;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use landfall::config::{self, Environment};
use landfall::daemon::{self, Bot, Clock, CycleOutcome};
use landfall::demo::git_http::{GitServer, RequestLog, router};
use landfall::demo::registry::{DemoImage, DemoRegistry, RegistryOptions};
use landfall::git::{Stamp, create_bare};
use landfall::model::{BranchName, Identity, RepoPath, Tag};

use crate::measure::command;

/// Everything is committed and pushed.
pub(crate) const COMMIT: &str = "policies:\n  - name: all\n    paths: [\"apps/{app}/overlays/{env}/**\"]\n    environment: \"{env}\"\n    \
     write: commit\n    tags: { semver: \"*\" }\n";

/// A world that lives as long as this value.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) registry: DemoRegistry,
    pub(crate) git: GitServer,
}

impl World {
    /// A world whose registry and repository are empty.
    pub(crate) async fn new() -> anyhow::Result<Self> {
        Self::behind(identity).await
    }

    /// The same, with something around its Git server.
    pub(crate) async fn behind(around: impl FnOnce(axum::Router) -> axum::Router) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("git");
        std::fs::create_dir(&root)?;
        let registry = DemoRegistry::start(RegistryOptions::default()).await?;
        let log = RequestLog::default();
        let git = GitServer::serve(around(router(&root, None, log.clone())), log).await?;
        Ok(Self { folder, registry, git })
    }

    /// The first commit of the repository: overlays at version 1.0.0 of these images, `overlays` of each.
    pub(crate) fn commit(&self, registry: &str, images: usize, overlays: usize, policies: &str) -> anyhow::Result<()> {
        self.commit_files(self::overlays(registry, images, overlays), policies)
    }

    /// The first commit of the repository: these files and policies.
    pub(crate) fn commit_files(
        &self,
        texts: impl Iterator<Item = (String, String)>,
        policies: &str,
    ) -> anyhow::Result<()> {
        let mut files = vec![(RepoPath::parse(".landfall/policies.yaml")?, policies.as_bytes().to_vec())];
        for (path, text) in texts {
            files.push((RepoPath::parse(&path)?, text.into_bytes()));
        }
        let who = Identity { name: "Ada".to_owned(), email: "ada@example.com".to_owned() };
        let stamp = Stamp { author: who.clone(), committer: who, time: Timestamp::from_second(1_790_000_000)? };
        create_bare(&self.bare(), &BranchName::parse("main")?, &files, &stamp)?;
        Ok(())
    }

    /// The repository's folder, as the server has it.
    pub(crate) fn bare(&self) -> PathBuf {
        self.folder.path().join("git").join("deploys.git")
    }

    /// CI pushes a tag of every image.
    pub(crate) fn push(&self, images: usize, tag: &str) -> anyhow::Result<()> {
        let image = DemoImage::new(Timestamp::from_second(1_790_000_000)?);
        let tag = Tag::parse(tag)?;
        for number in 0..images {
            let _digest = self.registry.push_image(&repository(number), &tag, &image)?;
        }
        Ok(())
    }

    /// A configuration file for this world, with a state folder of this name.
    pub(crate) fn config(&self, state: &str, forge: &str) -> anyhow::Result<PathBuf> {
        self.config_with(state, forge, self.registry.host(), &self.git.url("deploys.git"))
    }

    /// The same for another registry and address of the repository.
    pub(crate) fn config_with(&self, state: &str, forge: &str, registry: &str, url: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join(format!("{state}.yaml"));
        std::fs::write(&path, settings(state, forge, registry, url))?;
        Ok(path)
    }

    /// A bot in this process.
    pub(crate) async fn bot(&self, config: &Path) -> anyhow::Result<Bot> {
        let loaded = config::load(config).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(daemon::bot(&loaded.settings, &Environment::process(), Clock::system()).await?)
    }

    /// Commits on the branch.
    pub(crate) fn commits(&self) -> anyhow::Result<usize> {
        Ok(self.git(&["rev-list", "--count", "main"])?.trim().parse()?)
    }

    /// Runs plain git in the repository.
    pub(crate) fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = command("git").arg("--git-dir").arg(self.bare()).args(arguments).output()?;
        anyhow::ensure!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What git clients asked since the last call: listings of branches, fetches, pushes.
    pub(crate) fn asked(&self) -> Asked {
        let log = self.git.requests().all();
        self.git.requests().clear();
        let ends = |end: &str| log.iter().filter(|asked| asked.path.ends_with(end)).count();
        let conversations = ends("info/refs?service=git-upload-pack");
        // Each conversation begins with a GET; a fetch posts twice (listing, then objects), a listing once.
        let fetches = ends("/git-upload-pack").saturating_sub(conversations);
        Asked { listings: conversations - fetches, fetches, pushes: ends("/git-receive-pack") }
    }
}

/// What a Git server was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) listings: usize,
    pub(crate) fetches: usize,
    pub(crate) pushes: usize,
}

/// Path and text of overlays as people write them.
pub(crate) fn overlays(registry: &str, images: usize, overlays: usize) -> impl Iterator<Item = (String, String)> {
    (0..images).flat_map(move |number| {
        (0..overlays).map(move |overlay| {
            let name = repository(number);
            let path = format!("apps/app-{number:04}/overlays/env-{overlay}/kustomization.yaml");
            let text = format!(
                "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n\nresources:\n  - ../../base\n\nnamePrefix: \
                 env-{overlay}-\n\nlabels:\n  - pairs:\n      app.kubernetes.io/name: app-{number:04}\n\npatches:\n  - path: \
                 replicas.yaml\n\nimages:\n  - name: {registry}/{name}\n    newTag: 1.0.0   # written by the bot\n"
            );
            (path, text)
        })
    })
}

/// The repository of an image's number.
pub(crate) fn repository(number: usize) -> String {
    format!("acme/app-{number:04}")
}

/// The text of a configuration file.
pub(crate) fn settings(state: &str, forge: &str, registry: &str, url: &str) -> String {
    format!(
        "stateDir: {state}\nrepositories:\n  - name: deploys\n    url: {url}\n    branch: main\n    author: {{ name: Landfall, email: \
         landfall@example.com }}\n    forge: {{ kind: {forge} }}\n    policies: {{ path: .landfall }}\nregistries:\n  - host: \
         {registry}\n    plainHttp: true\n"
    )
}

/// The one repository's report; nothing of it may have failed.
pub(crate) fn only(mut reports: Vec<CycleOutcome>) -> anyhow::Result<CycleOutcome> {
    let report = reports.pop().context("there is no report")?;
    anyhow::ensure!(!report.failed(), "a cycle failed: {:?} {:?}", report.actions, report.problems);
    anyhow::ensure!(report.problems.is_empty(), "there are problems: {:?}", report.problems.first());
    Ok(report)
}
