//! The same stories on every forge: what must hold wherever pull requests are.
//!
//! Each runs against a stub that keeps real state and speaks as GitHub, GitLab, Gitea, Forgejo, a Bitbucket or Azure DevOps; the client is opened from a
//! configuration file, as the program does it. What only one of them has is told at the end.

mod azure;
mod bitbucket;
mod doctor;
mod faults;
mod gitea;
mod gitlab;
mod judged;
mod lost;
mod many;
mod merges;
mod pulls;

use std::time::Duration;

use jiff::Timestamp;
use landfall::config::{self, Environment};
use landfall::document::secret::ReadSecrets;
use landfall::forge::{Feature, Forge, Opening, PullError, Wanted};
use landfall::git::{GitCredentials, Mirror, RemoteSettings, RemoteUrl};
use landfall::model::{
    Answer, BranchName, CheckState, Checks, CommitId, DequeueOutcome, FailureCode, Merge, MergeMethod, MergeOutcome,
    PullRequest, PullRequestSpec, PullState, Reviews,
};

use crate::forge::Sink;
use crate::support::forge_stub::{Fault, ForgeStub, Speech, TOKEN};
use crate::support::without;

const HEAD: &str = "landfall/prod";
const MESSAGE: &str = "prod: bump web to 1.2\n\n- web\n\nLandfall-Update: 0123456789abcdef\nLandfall-To: 1.2\n";
const KINDS: [(&str, Speech); 7] = [
    ("github", Speech::GitHub),
    ("gitlab", Speech::GitLab),
    ("gitea", Speech::Gitea),
    ("forgejo", Speech::Gitea),
    ("bitbucket", Speech::Bitbucket),
    ("bitbucket-dc", Speech::BitbucketDc),
    ("azure-devops", Speech::Azure),
];

/// A forge of one kind, and what talks to it.
pub(super) struct Scene {
    kind: &'static str,
    stub: ForgeStub,
    forge: Forge,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new(kind: &'static str, speech: Speech) -> Self {
        let stub = ForgeStub::speaking(speech, "", |routes| routes);
        let folder = tempfile::tempdir().unwrap();
        let forge = opened(kind, &stub.url(), folder.path()).await;
        Self { kind, stub, forge, folder }
    }

    /// The same as a new process would see it.
    async fn restart(&mut self) {
        self.forge = opened(self.kind, &self.stub.url(), self.folder.path()).await;
    }

    async fn ensure(&self, spec: &PullRequestSpec, known: Option<&PullRequest>) -> (PullRequest, Vec<String>) {
        self.try_ensure(spec, known).await.unwrap_or_else(|error| panic!("{}: {error}", self.kind))
    }

    async fn try_ensure(
        &self,
        spec: &PullRequestSpec,
        known: Option<&PullRequest>,
    ) -> Result<(PullRequest, Vec<String>), PullError> {
        let wanted = Wanted { spec: spec.clone(), tip: commit('a'), known: known.cloned() };
        self.forge.ensure(&[wanted], now()).await.remove(0)
    }

    /// An open pull request, and its head's tip.
    async fn open(&self) -> (PullRequest, CommitId) {
        let (pull, _) = self.ensure(&bare("web to 1.2"), None).await;
        let tip = pull.head_commit.clone().unwrap();
        self.stub.forget();
        (pull, tip)
    }

    async fn merge(&self, tip: &CommitId, method: Option<MergeMethod>) -> Result<MergeOutcome, PullError> {
        let made = "2026-01-05T08:00:00Z".parse().unwrap();
        let merge =
            Merge { number: 1, base: branch("main"), tip: tip.clone(), made, method, message: MESSAGE.to_owned() };
        self.forge.merge(&merge, now()).await
    }

    async fn reviews(&self) -> Reviews {
        match self.forge.reviews(1).await {
            Answer::Known(reviews) => reviews,
            other => panic!("{}: {other:?}", self.kind),
        }
    }

    async fn checks(&self, commit: &CommitId) -> Checks {
        match self.forge.checks(commit).await {
            Answer::Known(checks) => checks,
            other => panic!("{}: {other:?}", self.kind),
        }
    }

    fn writes(&self) -> Vec<String> {
        let asked = self.stub.requests().into_iter();
        asked
            .filter(|it| it.method != "GET" && it.target != "/graphql")
            .map(|it| it.method + " " + &it.target)
            .collect()
    }

    fn creations(&self) -> usize {
        self.writes()
            .iter()
            .filter(|it| it.starts_with("POST ") && it.split('?').next().unwrap().ends_with(self.list()))
            .count()
    }

    /// The path below which pull requests are created and listed.
    fn list(&self) -> &'static str {
        match self.kind {
            "gitlab" => "/merge_requests",
            "bitbucket" => "/pullrequests",
            "bitbucket-dc" => "/pull-requests",
            "azure-devops" => "/pullrequests",
            _ => "/pulls",
        }
    }

    /// What the second page of a list has in its address.
    fn second_page(&self) -> &'static str {
        match self.kind {
            "bitbucket-dc" => "start=100",
            "azure-devops" => "skip=100",
            _ => "page=2",
        }
    }

    /// A page with nothing on it.
    fn nothing(&self) -> &'static str {
        match self.kind {
            "azure-devops" => r#"{"value":[]}"#,
            _ if self.has_labels() => "[]",
            _ => r#"{"values":[],"isLastPage":true}"#,
        }
    }

    fn has_labels(&self) -> bool {
        !self.kind.starts_with("bitbucket")
    }

    /// What it is called in errors.
    fn name(&self) -> &'static str {
        match self.kind {
            "bitbucket-dc" => "bitbucket data center",
            "azure-devops" => "azure devops",
            kind => kind,
        }
    }

    /// What goes wrong with a merge.
    fn merge_fault(&self) -> Fault {
        match self.kind {
            "azure-devops" => Fault::on("PATCH", "/pullRequests/1?"),
            _ => Fault::on("", "/1/merge"),
        }
    }
}

async fn opened(kind: &str, url: &str, folder: &std::path::Path) -> Forge {
    let address = if matches!(kind, "github" | "bitbucket") { "apiUrl" } else { "url" };
    let url = if kind == "bitbucket" { format!("{url}/2.0") } else { url.to_owned() };
    let text = format!(
        "repositories:\n  - name: deploys\n    url: https://git.example.com/acme/deploys.git\n    \
         author: {{ name: Landfall, email: landfall@example.com }}\n    forge: {{ kind: {kind}, \
         {address}: \"{url}\", repository: acme/deploys, token: {{ env: FORGE_TOKEN }} }}\n"
    );
    let file = folder.join("landfall.yaml");
    std::fs::write(&file, text).unwrap();
    let settings = config::load(&file).unwrap().settings.repositories.remove(0);
    let environment = Environment::from_fn(|_| Some(TOKEN.into()));
    let secrets = ReadSecrets::read(settings.forge.secrets(), &environment).map_err(|(_, error)| error).unwrap();
    let remote = RemoteSettings {
        url: RemoteUrl::parse(&settings.url).unwrap(),
        credentials: GitCredentials::None,
        ca_file: None,
        client_certificate: None,
        timeout: Duration::from_secs(5),
    };
    let mirror = Mirror::open(&folder.join("mirror"), remote).await.unwrap();
    let opening = Opening {
        repository: "deploys",
        secrets: &secrets,
        environment: &environment,
        ca_pem: None,
        identity_pem: None,
        timeout: Duration::from_secs(20),
        mirror: &mirror,
        author: &settings.author,
        committer: &settings.committer,
    };
    Forge::open(&settings.forge, &opening).unwrap()
}

/// Runs a story on every forge.
fn everywhere(story: impl AsyncFn(Scene)) {
    on(&KINDS, story);
}

fn on(kinds: &[(&'static str, Speech)], story: impl AsyncFn(Scene)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (kind, speech) in kinds {
        runtime.block_on(async { story(Scene::new(kind, *speech).await).await });
    }
}

fn gitlab(story: impl AsyncFn(Scene)) {
    on(&KINDS[1..2], story);
}

fn gitea(story: impl AsyncFn(Scene)) {
    on(&KINDS[2..4], story);
}

fn now() -> Timestamp {
    "2026-07-01T00:00:00Z".parse().unwrap()
}

fn commit(digit: char) -> CommitId {
    CommitId::parse(&digit.to_string().repeat(40)).unwrap()
}

fn branch(name: &str) -> BranchName {
    BranchName::parse(name).unwrap()
}

fn spec(title: &str) -> PullRequestSpec {
    PullRequestSpec {
        title: title.to_owned(),
        body: format!("| image | to |\n|---|---|\n\n{title}\n\n<!-- landfall: 0123456789abcdef -->"),
        head: branch(HEAD),
        base: branch("main"),
        labels: vec!["release".to_owned(), "needs review".to_owned()],
        reviewers: vec!["ann".to_owned(), "ben".to_owned()],
        draft: false,
    }
}

fn bare(title: &str) -> PullRequestSpec {
    PullRequestSpec { labels: Vec::new(), reviewers: Vec::new(), ..spec(title) }
}

fn refused(outcome: MergeOutcome) -> String {
    match outcome {
        MergeOutcome::Refused { reason } => reason,
        other => panic!("{other:?}"),
    }
}

/// The error's text, after checking that it is one line without a secret.
fn text(error: &PullError) -> String {
    assert!(!format!("{error:?}").contains(TOKEN), "{error}");
    assert!(!error.message.contains(char::is_control), "{error}");
    error.message.clone()
}

/// What the stub answers, as text.
async fn ask(scene: &Scene, url: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let auth = if scene.kind == "gitlab" { "PRIVATE-TOKEN: " } else { "Authorization: token " };
    let head = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n{auth}{TOKEN}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}
