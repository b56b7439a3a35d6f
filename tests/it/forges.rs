//! The same stories on every forge: what must hold wherever pull requests are.
//!
//! Each runs against a stub that keeps real state and speaks as GitHub, GitLab, Gitea, Forgejo, a Bitbucket or Azure DevOps; the client is opened from a
//! configuration file, as the program does it. What only one of them has is told at the end.

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
use crate::support::github_stub::{Fault, GitHubStub, Speech, TOKEN};
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
struct Scene {
    kind: &'static str,
    stub: GitHubStub,
    forge: Forge,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new(kind: &'static str, speech: Speech) -> Self {
        let stub = GitHubStub::speaking(speech, "", |routes| routes);
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
        let merge = Merge { number: 1, tip: tip.clone(), made, method, message: MESSAGE.to_owned() };
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
        ca_pem: None,
        identity_pem: None,
        timeout: Duration::from_secs(20),
        mirror: &mirror,
        author: &settings.author,
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

#[test]
fn a_pull_request_is_created_once_as_asked_and_updated_in_place() {
    everywhere(async |mut scene| {
        let kind = scene.kind;
        let (pull, warnings) = scene.ensure(&spec("web to 1.2"), None).await;
        assert_eq!((pull.number, pull.state, pull.draft, warnings), (1, PullState::Open, false, vec![]), "{kind}");
        let kept = scene.stub.pull(1);
        let labels = if scene.has_labels() { spec("").labels } else { Vec::new() };
        assert_eq!(kept.labels, labels, "{kind}");
        assert_eq!(kept.reviewers, ["ann", "ben"], "{kind}");
        assert_eq!((kept.head.as_str(), kept.base.as_str()), (HEAD, "main"));
        assert_eq!(kept.body.unwrap(), spec("web to 1.2").body);

        scene.stub.forget();
        let listed = scene.forge.open_pulls("landfall").await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&pull), "{kind}");
        scene.ensure(&spec("web to 1.2"), Some(&pull)).await;
        scene.restart().await;
        scene.ensure(&spec("web to 1.2"), None).await;
        assert_eq!(scene.writes(), Vec::<String>::new(), "{kind}: what is right is not written again");

        let (newer, _) = scene.ensure(&spec("web to 1.3"), Some(&pull)).await;
        assert_eq!((newer.number, newer.title.as_str(), scene.stub.pulls().len()), (1, "web to 1.3", 1), "{kind}");
        assert_eq!((scene.stub.pull(1).title.as_str(), newer.labels), ("web to 1.3", pull.labels), "{kind}");
    });
}

#[test]
fn a_creation_whose_answer_is_lost_makes_no_second_one() {
    type MakeFault = fn(&'static str) -> Fault;
    let faults: [(&str, MakeFault); 4] = [
        ("502", |list| Fault::on("POST", list).done_but(502)),
        ("no JSON", |list| Fault::on("POST", list).done_but(201)),
        ("cut off", |list| Fault::on("POST", list).cut()),
        ("not done", |list| Fault::on("POST", list).message(503, "Unavailable")),
    ];
    for (what, fault) in faults {
        everywhere(async |scene| {
            scene.stub.fault(fault(scene.list()));
            let (pull, _) = scene.ensure(&bare("web to 1.2"), None).await;
            let made = if what == "not done" { 2 } else { 1 };
            assert_eq!((pull.number, scene.stub.pulls().len()), (1, 1), "{} {what}", scene.kind);
            assert_eq!(scene.creations(), made, "{} {what}", scene.kind);
        });
    }
    // Two processes: both look before either creates.
    everywhere(async |scene| {
        let other = opened(scene.kind, &scene.stub.url(), tempfile::tempdir().unwrap().path()).await;
        scene.stub.fault(Fault::on("GET", scene.list()).times(2).answer(200, &[], scene.nothing()));
        let wanted = [Wanted { spec: bare("web to 1.2"), tip: commit('a'), known: None }];
        let (one, two) = tokio::join!(scene.forge.ensure(&wanted, now()), other.ensure(&wanted, now()));
        assert_eq!((one[0].as_ref().unwrap().0.number, two[0].as_ref().unwrap().0.number), (1, 1), "{}", scene.kind);
        assert_eq!((scene.stub.pulls().len(), scene.creations()), (1, 2), "{}", scene.kind);
    });
}

#[test]
fn labels_and_reviewers_are_added_once_and_until_they_stick() {
    everywhere(async |mut scene| {
        let kind = scene.kind;
        let (put, place) = if kind == "gitlab" { ("PUT", "/merge_requests/1") } else { ("POST", "/labels") };
        scene.stub.fault(Fault::on(put, place).message(403, "not today"));
        let (pull, warnings) = scene.ensure(&spec("web to 1.2"), None).await;
        let labels = if scene.has_labels() {
            assert!(warnings.len() == 1 && warnings[0].contains("labels not added"), "{kind}: {warnings:?}");
            spec("").labels
        } else {
            assert_eq!(warnings, Vec::<String>::new(), "{kind}: `check` has told it");
            Vec::new()
        };
        let (mut pull, warnings) = scene.ensure(&spec("web to 1.2"), Some(&pull)).await;
        pull.labels.sort_by_key(|label| !label.starts_with("release"));
        assert_eq!((warnings, pull.labels), (vec![], labels), "{kind}");

        // A person takes a label and a reviewer away: both stay away, also for a new process.
        scene.stub.edit(1, |pull| {
            pull.labels.retain(|label| label != "release");
            pull.reviewers.clear();
        });
        scene.restart().await;
        scene.ensure(&spec("web to 1.3"), None).await;
        assert_eq!(scene.stub.pull(1).reviewers, Vec::<String>::new(), "{kind}");
        if !scene.has_labels() {
            return;
        }
        assert_eq!(scene.stub.pull(1).labels, ["needs review"], "{kind}");
        scene.stub.edit(1, |pull| pull.labels = vec!["ship it/now".to_owned(), "other".to_owned()]);
        for _ in 0..2 {
            scene.forge.take_label(1, "ship it/now", now()).await.unwrap();
            assert_eq!(scene.stub.pull(1).labels, ["other"], "{kind}");
        }
    });
    everywhere(async |scene| {
        let wanted = PullRequestSpec { reviewers: vec!["ghost".to_owned(), "ann".to_owned()], ..bare("web to 1.2") };
        let (_, warnings) = scene.ensure(&wanted, None).await;
        assert!(
            warnings.len() == 1 && warnings[0].contains("not a reviewer here: ghost"),
            "{}: {warnings:?}",
            scene.kind
        );
        assert_eq!(scene.stub.pull(1).reviewers, ["ann"], "{}: who is none fails nobody else", scene.kind);
    });
}

#[test]
fn a_draft_stays_one_until_a_person_says_that_it_is_ready() {
    everywhere(async |scene| {
        let kind = scene.kind;
        let draft = |title| PullRequestSpec { draft: true, ..bare(title) };
        let (pull, _) = scene.ensure(&draft("web to 1.2"), None).await;
        assert_eq!((pull.draft, pull.title.as_str(), scene.stub.pull(1).draft), (true, "web to 1.2", true), "{kind}");
        let tip = pull.head_commit.clone().unwrap();
        let reason = refused(scene.merge(&tip, None).await.unwrap());
        assert!(reason.contains("draft") || reason.contains("Work in progress"), "{kind}: {reason}");
        assert_eq!(scene.stub.merges().len(), 0, "{kind}");
        let (pull, _) = scene.ensure(&draft("web to 1.3"), Some(&pull)).await;
        assert_eq!((pull.draft, scene.stub.pull(1).draft, pull.title.as_str()), (true, true, "web to 1.3"), "{kind}");
        scene.stub.edit(1, |pull| pull.draft = false);
        let (pull, _) = scene.ensure(&draft("web to 1.4"), None).await;
        assert_eq!((pull.draft, scene.stub.pull(1).draft), (false, false), "{kind}");
    });
}

#[test]
fn an_approval_counts_for_what_was_approved_by_those_who_may_and_did_not_push_it() {
    everywhere(async |scene| {
        let (_, tip) = scene.open().await;
        let at = std::slice::from_ref(&tip);
        for (by, word) in [
            ("ann", "APPROVED"),
            ("ann", "COMMENTED"),
            ("ben", "APPROVED"),
            ("mallory", "APPROVED"),
            ("carl", "APPROVED"),
            ("carl", "CHANGES_REQUESTED"),
        ] {
            scene.stub.review(1, by, word);
        }
        scene.stub.right("mallory", "read");
        scene.stub.right("carl", "write");
        scene.stub.pushed_by(HEAD, "ben");
        let reviews = scene.reviews().await;
        assert_eq!((reviews.approvals(at), reviews.objections()), (vec!["ann"], vec!["carl"]), "{}", scene.kind);
        let void = reviews.void(at).join("; ");
        assert!(void.contains("approval of ben does not count: they pushed this commit themselves"), "{void}");
        // Azure DevOps takes no votes of those who may not.
        assert!(scene.kind == "azure-devops" || void.contains("approval of mallory does not count: "), "{void}");

        // What is pushed afterwards, nobody has seen.
        scene.stub.heads(|_| Some("e".repeat(40)));
        assert_eq!(scene.reviews().await.approvals(&[commit('e')]), Vec::<&str>::new(), "{}", scene.kind);
    });
}

#[test]
fn the_latest_of_many_reviews_counts_and_an_old_push_is_found() {
    everywhere(async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.review(1, "ann", "APPROVED");
        scene.stub.review(1, "ben", "APPROVED");
        for _ in 0..120 {
            scene.stub.review(1, "carl", "COMMENTED");
        }
        scene.stub.review(1, "ann", "CHANGES_REQUESTED");
        let reviews = scene.reviews().await;
        assert_eq!((reviews.approvals(&[tip]), reviews.objections()), (vec!["ben"], vec!["ann"]), "{}", scene.kind);
    });
    gitea(async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.review(1, "ben", "APPROVED");
        for _ in 0..120 {
            scene.stub.pushed_by("feature", "ann");
        }
        scene.stub.pushed_by(HEAD, "ben");
        assert_eq!(scene.reviews().await.approvals(&[tip]), Vec::<&str>::new());
    });
}

#[test]
fn where_nobody_says_who_pushed_it_only_those_approve_who_surely_did_not_write_it() {
    for (writer, counted) in [("landfall-bot", true), ("ann", false), ("mallory", false)] {
        everywhere(async |scene| {
            let (_, tip) = scene.open().await;
            scene.stub.review(1, "ann", "APPROVED");
            scene.stub.written_by(writer);
            // The forge has forgotten it, or does not let the token see it.
            for places in [&[][..], &["/activity", "/events", "/activities"]] {
                if scene.kind == "bitbucket" && !places.is_empty() {
                    // It tells what was approved by the same means.
                    continue;
                }
                for place in places {
                    scene.stub.fault(Fault::on("GET", place).times(usize::MAX).message(403, "Forbidden"));
                }
                let reviews = scene.reviews().await;
                // These do not tell whose an address is, so that a stranger's may be anybody's.
                let tells = !["gitlab", "azure-devops"].contains(&scene.kind);
                let counts = counted || (writer == "mallory" && tells);
                let expected = if counts { vec!["ann"] } else { Vec::new() };
                let of = std::slice::from_ref(&tip);
                assert_eq!(reviews.approvals(of), expected, "{} {writer}: {:?}", scene.kind, reviews.void(of));
            }
            // Somebody else pushed it: then it does not matter whose it is.
            scene.stub.no_faults();
            scene.stub.pushed_by(HEAD, "ben");
            assert_eq!(scene.reviews().await.approvals(&[tip]), ["ann"], "{} {writer}", scene.kind);
        });
    }
}

#[test]
fn checks_are_failing_pending_or_passed() {
    everywhere(async |scene| {
        let (_, tip) = scene.open().await;
        assert!(scene.checks(&tip).await.is_empty(), "{}", scene.kind);
        for (context, word) in
            [("ci/old", "pending"), ("ci/old", "success"), ("ci/new", "pending"), ("ci/bad", "error")]
        {
            scene.stub.status(HEAD, context, word);
        }
        scene.stub.status(HEAD, "ci/odd", "sideways");
        let checks = scene.checks(&tip).await;
        let all: Vec<(&str, &CheckState)> = checks.all().collect();
        let odd = CheckState::Unknown("sideways".to_owned());
        let expected = [
            ("ci/bad", &CheckState::Failed),
            ("ci/new", &CheckState::Pending),
            ("ci/odd", &odd),
            ("ci/old", &CheckState::Passed),
        ];
        assert_eq!(all, expected, "{}", scene.kind);
        for number in 0..130 {
            scene.stub.status(HEAD, &format!("status-{number}"), "success");
        }
        assert_eq!(scene.checks(&tip).await.all().count(), 134, "{}: to the last page", scene.kind);
        assert!(scene.checks(&commit('9')).await.is_empty(), "{}: of this commit only", scene.kind);
    });
}

#[test]
fn a_merge_is_at_the_judged_commit_and_in_an_allowed_way() {
    for (preferred, forbidden, expected) in [
        (None, &[][..], "merge"),
        (Some(MergeMethod::Squash), &[], "squash"),
        (Some(MergeMethod::Merge), &["merge"], "squash"),
        (None, &["merge", "squash"], "rebase"),
    ] {
        everywhere(async |scene| {
            let (_, tip) = scene.open().await;
            scene.stub.forbid(forbidden);
            let outcome = scene.merge(&tip, preferred).await.unwrap();
            assert_eq!(outcome, MergeOutcome::Merged { commit: commit('d') }, "{}", scene.kind);
            let merged = scene.stub.merges().remove(0);
            assert_eq!(merged.method, expected, "{}", scene.kind);
            if expected == "squash" {
                assert!(merged.title.unwrap().starts_with("prod: bump web to 1.2"), "{}", scene.kind);
                let message = merged.message.unwrap();
                assert!(message.contains("\nLandfall-Update: 0123456789abcdef\n"), "{}: {message}", scene.kind);
            }
        });
    }
}

#[test]
fn a_head_that_moved_is_never_merged() {
    everywhere(async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.heads(|_| Some("e".repeat(40)));
        refused(scene.merge(&tip, None).await.unwrap());
        assert_eq!((scene.stub.merges().len(), scene.stub.pull(1).merged), (0, false), "{}", scene.kind);
    });
    on(&KINDS[6..], async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.slip_in(&"e".repeat(40));
        assert!(refused(scene.merge(&tip, None).await.unwrap()).contains("source branch has been modified"));
        assert_eq!(scene.stub.merges().len(), 0);
    });
    // It moves after the last look: the forge itself compares, or what was merged is looked at.
    on(&KINDS[4..6], async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.slip_in(&"e".repeat(40));
        match scene.merge(&tip, None).await {
            Ok(outcome) => {
                assert!(refused(outcome).contains("out-of-date information"));
                assert_eq!((scene.kind, scene.stub.merges().len()), ("bitbucket-dc", 0));
            }
            Err(error) => {
                assert_eq!((scene.kind, scene.stub.merges().len()), ("bitbucket", 1));
                assert!(text(&error).contains("somebody pushed to the branch while it was merged"), "{error}");
            }
        }
    });
    gitlab(async |scene| {
        let (_, tip) = scene.open().await;
        let stale = scene.stub.url();
        let seen = ask(&scene, &format!("{stale}/api/v4/projects/acme%2Fdeploys/merge_requests/1")).await;
        scene.stub.heads(|_| Some("e".repeat(40)));
        scene.stub.fault(Fault::on("GET", "/merge_requests/1").answer(200, &[], &seen));
        let reason = refused(scene.merge(&tip, None).await.unwrap());
        assert!(reason.contains("SHA does not match HEAD"), "{reason}");
        assert_eq!(scene.stub.merges().len(), 0);
    });
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

#[test]
fn a_refusal_of_the_forge_is_told_in_its_words() {
    for (status, words) in [(405, "Review required by a rule"), (409, "It conflicts"), (403, "No permission here")] {
        everywhere(async |scene| {
            let (_, tip) = scene.open().await;
            scene.stub.rule(Some((status, words)));
            let reason = match scene.merge(&tip, None).await.unwrap() {
                MergeOutcome::Refused { reason } => reason,
                // GitLab answers 405 also for what passes in a moment.
                MergeOutcome::NotYet { reason } if scene.kind == "gitlab" && status == 405 => reason,
                other => panic!("{}: {other:?}", scene.kind),
            };
            assert!(reason.contains(words), "{}: {reason}", scene.kind);
            assert_eq!(scene.stub.merges().len(), 0, "{}", scene.kind);
        });
    }
    everywhere(async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.close(1);
        refused(scene.merge(&tip, None).await.unwrap());
        assert_eq!(scene.stub.merges().len(), 0, "{}", scene.kind);
    });
}

#[test]
fn a_merge_whose_answer_is_lost_is_looked_up_and_made_once() {
    for what in ["502", "no JSON", "cut off"] {
        everywhere(async |scene| {
            let (_, tip) = scene.open().await;
            let fault = scene.merge_fault();
            scene.stub.fault(match what {
                "502" => fault.done_but(502),
                "no JSON" => fault.done_but(200),
                _ => fault.cut(),
            });
            let outcome = scene.merge(&tip, None).await.unwrap();
            assert_eq!(outcome, MergeOutcome::Merged { commit: commit('d') }, "{} {what}", scene.kind);
            assert_eq!(scene.stub.merges().len(), 1, "{} {what}", scene.kind);
        });
    }
    everywhere(async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.fault(scene.merge_fault().message(502, "Server Error"));
        let error = scene.merge(&tip, None).await.unwrap_err();
        assert_eq!((error.code, scene.stub.merges().len()), (FailureCode::Server, 0), "{}", scene.kind);
    });
}

#[test]
fn what_a_person_closed_is_a_no_and_what_the_bot_closes_says_why() {
    everywhere(async |mut scene| {
        let kind = scene.kind;
        let (open, _) = scene.open().await;
        scene.stub.close(1);
        // The caller's picture is a moment old: the person's decision wins.
        let (decided, _) = scene.ensure(&bare("web to 1.3"), Some(&open)).await;
        assert_eq!((decided.state, scene.stub.pulls().len()), (PullState::Closed, 1), "{kind}");
        scene.restart().await;
        let of = scene.forge.pulls_of(&branch(HEAD), &branch("main")).await.unwrap();
        assert_eq!(of.iter().map(|pull| pull.state).collect::<Vec<_>>(), [PullState::Closed], "{kind}");
        let closed = scene.forge.closed_pulls("landfall", now(), Duration::from_secs(20)).await.unwrap();
        assert_eq!(closed, of, "{kind}");

        let (second, _) = scene.ensure(&bare("web to 1.4"), None).await;
        assert_eq!(second.number, 2, "{kind}");
        scene.forge.close(2, "done <!-- landfall: -->", "1.5 is newer", now()).await.unwrap();
        scene.forge.close(2, "again", "again", now()).await.unwrap();
        let kept = scene.stub.pull(2);
        assert_eq!((kept.state, kept.body.as_deref()), ("closed", Some("done <!-- landfall: -->")), "{kind}");
        assert_eq!(scene.stub.comments(), [(2, "1.5 is newer".to_owned())], "{kind}");

        let (third, _) = scene.ensure(&bare("web to 1.5"), None).await;
        scene.stub.merge(third.number);
        let of = scene.forge.pulls_of(&branch(HEAD), &branch("main")).await.unwrap();
        let states: Vec<_> = of.iter().map(|pull| (pull.number, pull.state)).collect();
        assert_eq!(states, [(3, PullState::Merged), (2, PullState::Closed), (1, PullState::Closed)], "{kind}");
        let closed = scene.forge.closed_pulls("landfall", now(), Duration::from_secs(20)).await.unwrap();
        let ended: Vec<_> = closed.iter().map(|pull| (pull.number, pull.state)).collect();
        assert_eq!(ended, states, "{kind}");
        assert_eq!(scene.forge.open_pulls("landfall").await.unwrap(), [], "{kind}");
    });
}

#[test]
fn pull_requests_from_forks_are_not_ours() {
    everywhere(async |scene| {
        scene.stub.open(HEAD, "main", Some(("mallory", Some(9))));
        scene.stub.open(HEAD, "main", Some(("acme", None)));
        assert_eq!(scene.forge.open_pulls("landfall").await.unwrap(), [], "{}", scene.kind);
        assert_eq!(scene.forge.pulls_of(&branch(HEAD), &branch("main")).await.unwrap(), [], "{}", scene.kind);
        let (pull, _) = scene.ensure(&bare("web to 1.2"), None).await;
        assert_eq!(pull.number, 3, "{}", scene.kind);
    });
}

#[test]
fn lists_are_read_to_the_end_or_not_at_all() {
    everywhere(async |scene| {
        for number in 0..130 {
            scene.stub.open(&format!("landfall/app-{number}"), "main", None);
        }
        scene.stub.open("feature", "main", None);
        let found = scene.forge.open_pulls("landfall").await.unwrap();
        assert_eq!(found.len(), 130, "{}", scene.kind);
        let second = scene.second_page();
        let elsewhere = r#"{"values":[],"isLastPage":false,"next":"https://evil.example.com/2.0/x"}"#;
        for fault in [
            Fault::on("GET", second).times(9).message(500, "Server Error"),
            Fault::on("GET", second).answer(200, &[], r#"{"message":"hello"}"#),
            Fault::on("GET", second).answer(
                200,
                &[("link", "<https://evil.example.com/x?page=3>; rel=\"next\"")],
                if scene.has_labels() { "[]" } else { elsewhere },
            ),
        ] {
            scene.stub.fault(fault);
            text(&scene.forge.open_pulls("landfall").await.expect_err(scene.kind));
        }
    });
}

#[test]
fn a_comment_is_written_once() {
    everywhere(async |scene| {
        scene.open().await;
        let marker = "<!-- marker -->";
        assert_eq!(scene.forge.has_comment(1, marker).await, Answer::Known(false), "{}", scene.kind);
        for _ in 0..2 {
            scene.forge.comment_once(1, marker, "hello").await.unwrap();
        }
        assert_eq!(scene.stub.comments(), [(1, "<!-- marker -->\nhello".to_owned())], "{}", scene.kind);
    });
}

#[test]
fn a_branch_is_behind_only_where_that_keeps_it_from_being_merged() {
    // Azure DevOps merges what is behind.
    on(&KINDS[..6], async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.commits(|_, _| vec![("f".repeat(40), "on the base".to_owned())]);
        assert_eq!(scene.forge.is_behind(1, &tip).await, Answer::Known(false), "{}", scene.kind);
        scene.stub.strict();
        assert_eq!(scene.forge.is_behind(1, &tip).await, Answer::Known(true), "{}", scene.kind);
        assert_eq!(scene.forge.is_behind(1, &commit('9')).await, Answer::Known(false), "{}: another tip", scene.kind);
    });
}

#[test]
fn the_messages_of_a_merged_one_are_those_of_its_commits() {
    everywhere(async |scene| {
        let (pull, tip) = scene.open().await;
        scene.stub.commits(|_, _| vec![("f".repeat(40), "prod: bump\n\nLandfall-Update: x".to_owned())]);
        let said = vec!["prod: bump\n\nLandfall-Update: x".to_owned()];
        assert_eq!(scene.forge.messages(&pull).await, Answer::Known(said.clone()), "{}", scene.kind);
        scene.merge(&tip, None).await.unwrap();
        assert_eq!(scene.forge.merged_messages(1, &commit('d'), "landfall").await.unwrap(), said, "{}", scene.kind);
        let none: Vec<String> = Vec::new();
        for (number, at, prefix) in [(1, 'c', "landfall"), (1, 'd', "other"), (77, 'd', "landfall")] {
            assert_eq!(scene.forge.merged_messages(number, &commit(at), prefix).await.unwrap(), none, "{}", scene.kind);
        }
    });
}

#[test]
fn a_renamed_repository_is_followed() {
    // Bitbucket does not tell where it is now.
    on(&KINDS[..4], async |scene| {
        let (pull, tip) = scene.open().await;
        scene.stub.rename("umbrella", "gitops");
        let (same, _) = scene.ensure(&bare("web to 1.3"), Some(&pull)).await;
        assert_eq!((same.number, scene.stub.pull(1).title.as_str()), (1, "web to 1.3"), "{}", scene.kind);
        scene.merge(&tip, None).await.unwrap();
        assert!(scene.stub.pull(1).merged, "{}", scene.kind);
    });
}

#[test]
fn every_answer_of_a_wrong_shape_is_a_clear_error_and_never_a_wrong_write() {
    let calls = ["ensure", "open", "of", "closed", "merge", "reviews", "checks", "behind", "comment", "label", "close"];
    for body in ["[[1]]", r#"{"a":1}"#, "null", "<html>", "7", r#"[{"number":-1,"iid":-1}]"#] {
        everywhere(async |scene| {
            let (pull, tip) = scene.open().await;
            scene.stub.fault(Fault::on("GET", "").times(usize::MAX).answer(200, &[], body));
            for call in calls {
                let error = match call {
                    "ensure" => scene.try_ensure(&spec("web to 1.3"), Some(&pull)).await.err(),
                    "open" => scene.forge.open_pulls("landfall").await.err(),
                    "of" => scene.forge.pulls_of(&branch(HEAD), &branch("main")).await.err(),
                    "closed" => scene.forge.closed_pulls("landfall", now(), Duration::from_secs(9)).await.err(),
                    "merge" => scene.merge(&tip, None).await.err(),
                    "comment" => scene.forge.comment_once(1, "marker", "text").await.err(),
                    "label" => scene.forge.take_label(1, "release", now()).await.err(),
                    "close" => scene.forge.close(1, "body", "comment", now()).await.err(),
                    "reviews" => failed(scene.forge.reviews(1).await),
                    "checks" => failed(scene.forge.checks(&tip).await),
                    _ => failed(scene.forge.is_behind(1, &tip).await),
                };
                match error {
                    Some(error) => {
                        assert_eq!(error.code, FailureCode::Protocol, "{} {call} {body}: {error}", scene.kind);
                        text(&error);
                    }
                    // GitLab removes a label without a look, and Bitbucket has none.
                    None => {
                        assert!((scene.kind == "gitlab" || !scene.has_labels()) && call == "label", "{call} {body}");
                    }
                }
            }
            assert_eq!((scene.stub.pulls().len(), scene.stub.pull(1).state), (1, "open"), "{} {body}", scene.kind);
            assert_eq!((scene.stub.merges().len(), scene.stub.comments().len()), (0, 0), "{} {body}", scene.kind);
        });
    }
}

fn failed<T>(answer: Answer<T>) -> Option<PullError> {
    match answer {
        Answer::Failed { message, code, .. } => Some(PullError { message, code }),
        _ => None,
    }
}

#[test]
fn every_failure_has_its_code_and_shows_no_secret() {
    let leak = format!("Bearer {TOKEN}\u{1b}[31m\r\nfaked: line");
    for (status, headers, message, code) in [
        (401, &[][..], leak.as_str(), FailureCode::Authentication),
        (403, &[], "no", FailureCode::Authentication),
        (404, &[], "Not Found", FailureCode::Authentication),
        (429, &[("retry-after", "7")], "Too many", FailureCode::RateLimited),
        (502, &[], leak.as_str(), FailureCode::Server),
        (410, &[], "Gone", FailureCode::Protocol),
    ] {
        everywhere(async |scene| {
            scene.stub.fault(Fault::on("", "").times(usize::MAX).message(status, message));
            if let Some((name, value)) = headers.first() {
                scene.stub.fault_first(Fault::on("", "").times(usize::MAX).answer(status, &[(name, value)], "{}"));
            }
            let error = scene.forge.open_pulls("landfall").await.unwrap_err();
            assert_eq!(error.code, code, "{} {status}: {error}", scene.kind);
            assert!(text(&error).to_lowercase().starts_with(&format!("{} acme/deploys: ", scene.name())), "{error}");
            let asked = scene.stub.requests();
            assert!(asked.iter().all(|it| !it.target.contains(TOKEN)), "no secret is in an address");
        });
    }
}

#[test]
fn no_log_holds_a_token() {
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        everywhere(async |scene| {
            scene.ensure(&spec("web to 1.2"), None).await;
            scene.stub.fault(Fault::on("GET", "").message(500, TOKEN));
            scene.forge.open_pulls("landfall").await.unwrap();
            tracing::info!(forge = ?scene.forge, "a forge may be printed");
        });
    });
    let log = sink.text();
    assert!(log.contains("TRACE") && log.contains("a forge may be printed"), "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn doctor_names_what_is_missing() {
    everywhere(async |mut scene| {
        let kind = scene.kind;
        let good = scene.forge.doctor("landfall").await.unwrap().unwrap();
        assert!(good.starts_with("0 open pull requests of ours"), "{good}");
        assert_eq!(good.contains("the token expires on 2027-01-31"), kind == "gitlab", "{good}");
        if kind == "bitbucket" {
            return;
        }
        scene.stub.rights(false, false);
        let error = text(&scene.forge.doctor("landfall").await.unwrap_err());
        assert!(error.contains("may not push") && error.contains("next: give it"), "{kind}: {error}");
        scene.stub.rights(true, true);
        assert!(
            text(&scene.forge.doctor("landfall").await.unwrap_err()).contains(if kind == "azure-devops" {
                "disabled"
            } else {
                "archived"
            }),
            "{kind}"
        );
        scene.stub.rights(true, false);
        scene.stub.token("another");
        scene.restart().await;
        let error = scene.forge.doctor("landfall").await.unwrap_err();
        assert_eq!(error.code, FailureCode::Authentication, "{kind}");
        assert!(text(&error).contains("token refused or expired; next: "), "{kind}: {error}");
    });
    gitlab(async |scene| {
        scene.stub.protect();
        let words = scene.forge.doctor("landfall").await.unwrap().unwrap();
        assert!(words.contains("may not merge into main; for automerge, give it the role Maintainer (40)"), "{words}");
    });
    gitlab(async |scene| {
        scene.stub.scopes(&["read_api", "write_repository"]);
        let error = text(&scene.forge.doctor("landfall").await.unwrap_err());
        assert!(error.contains("the token has the scopes read_api, write_repository"), "{error}");
        assert!(error.contains("next: make a token with the scope `api`"), "{error}");
        let error = text(&scene.try_ensure(&bare("web to 1.2"), None).await.unwrap_err());
        assert!(error.contains("insufficient_scope") && error.contains("next: make a token"), "{error}");
    });
    gitea(async |scene| {
        scene.stub.scopes(&["read:repository"]);
        let error = text(&scene.try_ensure(&bare("web to 1.2"), None).await.unwrap_err());
        assert!(error.contains("required=[write:repository]"), "{error}");
    });
}

#[test]
fn doctor_names_what_a_token_of_bitbucket_lacks() {
    on(&KINDS[4..5], async |mut scene| {
        scene.stub.administers(false);
        let words = scene.forge.doctor("landfall").await.unwrap().unwrap();
        assert!(words.contains("only default reviewers' approvals count"), "{words}");
        scene.stub.scopes(&["pullrequest", "repository"]);
        let error = text(&scene.forge.doctor("landfall").await.unwrap_err());
        assert!(error.contains("the token has the scopes pullrequest, repository)"), "{error}");
        assert!(error.contains("next: make a token"), "{error}");
        let error = text(&scene.try_ensure(&bare("web to 1.2"), None).await.unwrap_err());
        assert!(error.contains("required scopes: pullrequest:write"), "{error}");
        scene.stub.token("another");
        scene.restart().await;
        let error = text(&scene.forge.doctor("landfall").await.unwrap_err());
        assert!(error.contains("token refused or expired; next: "), "{error}");
    });
}

#[test]
fn bitbuckets_default_reviewers_are_asked_and_theirs_are_approvals_that_count() {
    on(&KINDS[4..6], async |scene| {
        scene.stub.default_reviewers(&["ann"]);
        scene.open().await;
        assert_eq!(scene.stub.pull(1).reviewers, ["ann"], "{}", scene.kind);
        // They stay when the text changes.
        let wanted = PullRequestSpec { reviewers: vec!["ben".to_owned()], ..bare("web to 1.3") };
        scene.ensure(&wanted, None).await;
        assert_eq!(scene.stub.pull(1).reviewers, ["ann", "ben"], "{}", scene.kind);
        // One of them is none: then nobody is asked, and that is told.
        scene.stub.default_reviewers(&["ann", "ghost"]);
        let (_, warnings) = scene.ensure(&PullRequestSpec { head: branch("landfall/x"), ..bare("x") }, None).await;
        assert!(warnings.len() == 1 && warnings[0].contains("default reviewers are not asked"), "{warnings:?}");
    });
    on(&KINDS[4..5], async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.administers(false);
        scene.stub.default_reviewers(&["ann"]);
        scene.stub.review(1, "ann", "APPROVED");
        scene.stub.review(1, "ben", "APPROVED");
        let (reviews, of) = (scene.reviews().await, [tip]);
        assert_eq!(reviews.approvals(&of), ["ann"]);
        assert!(reviews.void(&of).concat().contains("the token may not read who may write"), "{reviews:?}");
    });
}

#[test]
fn bitbuckets_people_are_known_by_more_than_a_nickname() {
    on(&KINDS[4..5], async |scene| {
        for (at, name) in ["{ann}", "557058:ann", "Ann"].into_iter().enumerate() {
            let head = branch(&format!("landfall/{at}"));
            let wanted = PullRequestSpec { reviewers: vec![name.to_owned()], head, ..bare("web to 1.2") };
            let (pull, warnings) = scene.ensure(&wanted, None).await;
            assert_eq!((warnings, scene.stub.pull(pull.number).reviewers), (vec![], vec!["ann".to_owned()]), "{name}");
        }
        let teams = PullRequestSpec { reviewers: vec!["acme/sre".to_owned()], ..bare("x") };
        let (_, warnings) = scene.ensure(&teams, None).await;
        assert!(warnings[0].contains("Bitbucket has no groups as reviewers"), "{warnings:?}");
    });
}

/// The words of each row of the table in the documentation are words that it says.
#[test]
fn doctor_says_what_the_documentation_says() {
    let mut said: Vec<String> = Vec::new();
    let told = std::cell::RefCell::new(&mut said);
    let ask = async |forge: &Forge| {
        let words = match forge.doctor("landfall").await {
            Ok(words) => words.unwrap_or_default(),
            Err(error) => text(&error),
        };
        told.borrow_mut().push(words);
    };
    everywhere(async |mut scene| {
        ask(&scene.forge).await;
        scene.stub.protect();
        scene.stub.administers(false);
        ask(&scene.forge).await;
        scene.stub.rights(false, false);
        ask(&scene.forge).await;
        scene.stub.rights(true, false);
        scene.stub.votes(false);
        ask(&scene.forge).await;
        for scopes in [&["read_api"][..], &["pullrequest", "repository"]] {
            scene.stub.scopes(scopes);
            ask(&scene.forge).await;
        }
        scene.stub.fault(Fault::on("GET", "").times(9).message(404, "Not Found"));
        ask(&scene.forge).await;
        scene.stub.no_faults();
        scene.stub.fault(Fault::on("GET", "").answer(301, &[("location", "https://elsewhere.example.com/x")], "{}"));
        ask(&scene.forge).await;
        if scene.kind == "gitea" {
            let Err(error) = scene.try_ensure(&bare("x"), None).await else { panic!("it has no scope") };
            told.borrow_mut().push(text(&error));
        }
        scene.stub.token("another");
        scene.restart().await;
        ask(&scene.forge).await;
    });
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/how-to/forges.md")).unwrap();
    let (_, table) = page.split_once("| it says | it means |").unwrap();
    let rows: Vec<&str> = table.lines().skip(2).filter_map(|row| row.split('`').nth(1)).collect();
    assert!(rows.len() > 9, "{rows:?}");
    for row in rows {
        let parts: Vec<&str> = row.split('…').collect();
        let has_all = |words: &&String| {
            let mut rest = words.as_str();
            parts.iter().all(|part| rest.find(part).map(|at| rest = &rest[at + part.len()..]).is_some())
        };
        assert!(said.iter().any(|words| has_all(&words)), "nothing says `{row}`: {said:#?}");
    }
}

#[test]
fn azure_devops_policies_are_waited_for_or_told() {
    for (word, waits) in [("queued", true), ("running", true), ("rejected", false), ("broken", false)] {
        on(&KINDS[6..], async |scene| {
            let (_, tip) = scene.open().await;
            scene.stub.merge_status(Some(word));
            match scene.merge(&tip, None).await.unwrap() {
                MergeOutcome::NotYet { reason } => {
                    assert!(waits && reason.contains("still running: Build"), "{reason}")
                }
                MergeOutcome::Refused { reason } => assert!(!waits && reason.contains("not met: Build"), "{reason}"),
                other => panic!("{other:?}"),
            }
            assert_eq!(scene.writes(), Vec::<String>::new(), "{word}");
            scene.stub.merge_status(Some("approved"));
            assert!(matches!(scene.merge(&tip, None).await.unwrap(), MergeOutcome::Merged { .. }));
        });
    }
}

#[test]
fn azure_devops_takes_short_texts_and_tells_long_ones_in_full() {
    on(&KINDS[6..], async |mut scene| {
        let body = format!("{}<!-- landfall: 0123456789abcdef -->\n", "| image | to |\n".repeat(800));
        let long = PullRequestSpec { body, ..bare("web to 1.2") };
        let (pull, _) = scene.ensure(&long, None).await;
        assert!(pull.body.ends_with("<!-- landfall: 0123456789abcdef -->\n"), "the record is kept");
        scene.stub.forget();
        scene.restart().await;
        scene.ensure(&long, None).await;
        assert_eq!(scene.writes(), Vec::<String>::new(), "what is cut is not cut again");
        let said = format!("prod: bump\n\n{}", "Landfall-Update: 0123456789abcdef\n".repeat(9));
        let message = said.clone();
        scene.stub.commits(move |_, _| vec![("f".repeat(40), message.clone())]);
        assert_eq!(scene.forge.messages(&pull).await, Answer::Known(vec![said]));
    });
}

#[test]
fn azure_devops_is_asked_only_for_what_ended_since_and_what_is_opened_again_is_open() {
    on(&KINDS[6..], async |scene| {
        scene.open().await;
        scene.stub.close(1);
        let within = Duration::from_secs(9);
        for since in ["2026-01-02", "2026-01-0"] {
            scene.stub.forget();
            assert_eq!(scene.forge.closed_pulls("landfall", now(), within).await.unwrap().len(), 1);
            let asked = scene.stub.requests().remove(0).target;
            assert!(asked.contains(&format!("minTime={since}")), "{asked}");
        }
        scene.stub.edit(1, |pull| pull.state = "open");
        assert_eq!(scene.forge.open_pulls("landfall").await.unwrap().len(), 1);
        assert_eq!(scene.forge.closed_pulls("landfall", now(), within).await.unwrap(), []);
    });
}

#[test]
fn azure_devops_teams_are_asked_for_reviews_and_strangers_are_not() {
    on(&KINDS[6..], async |scene| {
        let reviewers = ["stranger@example.com", "acme/unheard-of"].map(str::to_owned).into();
        let (_, warnings) = scene.ensure(&PullRequestSpec { reviewers, ..bare("web to 1.2") }, None).await;
        assert!(
            warnings[0].contains("nobody in the project's teams has this name; next: write their id"),
            "{warnings:?}"
        );
        assert!(warnings[1].contains("the project has no such team"), "{warnings:?}");
        let teams = PullRequestSpec { reviewers: vec!["acme/sre".to_owned()], ..bare("web to 1.2") };
        drop(scene.ensure(&teams, None).await);
        let asked =
            scene.writes().into_iter().filter(|it| it.starts_with("PUT ") && it.contains("/reviewers/")).count();
        assert_eq!(asked, 1);
    });
}

#[test]
fn gitlab_is_waited_for_and_its_words_are_understood_or_told() {
    for (word, waits) in [
        ("checking", true),
        ("approvals_syncing", true),
        ("ci_still_running", true),
        ("a_word_of_tomorrow", true),
        ("ci_must_pass", false),
        ("not_approved", false),
        ("discussions_not_resolved", false),
        ("conflict", false),
        ("need_rebase", false),
    ] {
        gitlab(async |scene| {
            let (_, tip) = scene.open().await;
            scene.stub.merge_status(Some(word));
            match scene.merge(&tip, None).await.unwrap() {
                MergeOutcome::NotYet { reason } => assert!(waits && reason.contains(word), "{word}: {reason}"),
                MergeOutcome::Refused { reason } => assert!(!waits && reason.contains(word), "{word}: {reason}"),
                other => panic!("{other:?}"),
            }
            assert_eq!(scene.writes(), Vec::<String>::new(), "{word}");
            scene.stub.merge_status(None);
            assert!(matches!(scene.merge(&tip, None).await.unwrap(), MergeOutcome::Merged { .. }));
        });
    }
    gitlab(async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.rule(Some((401, "401 Unauthorized")));
        let reason = refused(scene.merge(&tip, None).await.unwrap());
        assert!(reason.contains("a role that may merge into this branch"), "{reason}");
    });
}

#[test]
fn an_older_gitlab_tells_the_time_of_an_approval_in_its_history_only() {
    gitlab(async |scene| {
        scene.stub.is_old();
        let (_, tip) = scene.open().await;
        scene.stub.review(1, "ann", "APPROVED");
        assert_eq!(scene.reviews().await.approvals(std::slice::from_ref(&tip)), ["ann"]);
        scene.stub.heads(|_| Some("e".repeat(40)));
        let reviews = scene.reviews().await;
        assert_eq!((reviews.approvals(&[commit('e')]).len(), reviews.approvals(&[tip])), (0, vec!["ann"]));
        // Where nothing tells when it was, it counts for nothing.
        scene.stub.fault(Fault::on("GET", "/notes").answer(200, &[], "[]"));
        assert_eq!(scene.reviews().await.approvals(&[commit('e')]).len(), 0);
    });
}

#[test]
fn gitlabs_latest_pipeline_is_a_check_of_its_own() {
    gitlab(async |scene| {
        let (_, tip) = scene.open().await;
        for (pipelines, expected) in [
            (&[(1, "failed"), (2, "success")][..], CheckState::Passed),
            (&[(2, "failed"), (1, "success")], CheckState::Failed),
            (&[(1, "manual")], CheckState::Pending),
            (&[(1, "sideways")], CheckState::Unknown("sideways".to_owned())),
        ] {
            scene.stub.pipelines(pipelines);
            assert_eq!(scene.checks(&tip).await.get("pipeline"), Some(&expected), "{pipelines:?}");
        }
        scene.stub.fault(Fault::on("GET", "/pipelines").message(403, "403 Forbidden"));
        assert!(scene.checks(&tip).await.is_empty(), "pipelines are switched off");
    });
}

#[test]
fn gitlabs_pipeline_of_merged_results_is_about_the_branch() {
    gitlab(async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.pipelines(&[]);
        for (word, expected) in
            [("failed", CheckState::Failed), ("running", CheckState::Pending), ("success", CheckState::Passed)]
        {
            scene.stub.merged_results("unit", word);
            let checks = scene.checks(&tip).await;
            assert_eq!((checks.get("pipeline"), checks.get("unit")), (Some(&expected), Some(&expected)), "{word}");
        }
        // It is about the tip only.
        assert!(scene.checks(&commit('9')).await.is_empty());
    });
}

#[test]
fn gitlabs_merge_train_merges_by_itself_and_what_left_it_is_not_added_again() {
    gitlab(async |mut scene| {
        let (_, tip) = scene.open().await;
        assert!(!scene.forge.is_queued(1).await.unwrap());
        scene.stub.queue();
        for _ in 0..2 {
            assert!(matches!(scene.merge(&tip, None).await.unwrap(), MergeOutcome::Queued { .. }));
        }
        assert!(scene.forge.is_queued(1).await.unwrap());
        assert_eq!((scene.stub.enqueued(), scene.stub.merges().len()), (vec![1], 0));
        assert_eq!(scene.forge.queue(&branch("main")).await, Answer::Known([1].into()));
        scene.stub.unqueue(1);
        for _ in 0..2 {
            assert!(refused(scene.merge(&tip, None).await.unwrap()).contains("merge train no longer has it"));
            scene.restart().await;
        }
        assert_eq!(scene.stub.enqueued(), [1]);
    });
}

#[test]
fn what_the_bot_takes_off_gitlabs_train_it_may_put_back_and_what_a_person_puts_back_stays() {
    gitlab(async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.queue();
        assert_eq!(scene.forge.dequeue(1, "a freeze").await.unwrap(), DequeueOutcome::NotThere);
        for _ in 0..2 {
            assert!(matches!(scene.merge(&tip, None).await.unwrap(), MergeOutcome::Queued { .. }));
            assert_eq!(scene.forge.dequeue(1, "a freeze").await.unwrap(), DequeueOutcome::Out);
            assert_eq!(scene.stub.queued(), Vec::<u64>::new());
        }
        assert_eq!(scene.stub.comments(), [(1, "a freeze".to_owned()), (1, "a freeze".to_owned())]);
        scene.stub.requeue(1, "ann");
        let put_back = DequeueOutcome::PutBack { by: "ann".to_owned() };
        assert_eq!(scene.forge.dequeue(1, "a freeze").await.unwrap(), put_back);
        assert_eq!(scene.stub.queued(), [1]);
    });
    on(&KINDS[2..3], async |scene| {
        assert!(matches!(scene.forge.queue(&branch("main")).await, Answer::Absent { .. }));
        assert_eq!(scene.forge.dequeue(1, "a freeze").await.unwrap(), DequeueOutcome::NotThere);
    });
}

#[test]
fn gitlabs_free_tier_takes_one_reviewer_and_teams_are_none() {
    gitlab(async |scene| {
        scene.stub.reviewer_limit(1);
        let (_, warnings) = scene.ensure(&spec("web to 1.2"), None).await;
        assert!(warnings.len() == 1 && warnings[0].contains("its free tier takes one"), "{warnings:?}");
        let teams = PullRequestSpec { reviewers: vec!["acme/sre".to_owned()], head: branch("landfall/x"), ..bare("x") };
        let (_, warnings) = scene.ensure(&teams, None).await;
        assert!(warnings[0].contains("GitLab has no groups as reviewers"), "{warnings:?}");
    });
}

#[test]
fn gitea_is_asked_again_for_what_it_has_not_computed_and_labels_must_exist_there() {
    gitea(async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.merge_status(Some("Please try again later"));
        let outcome = scene.merge(&tip, None).await.unwrap();
        assert!(
            matches!(&outcome, MergeOutcome::NotYet { reason } if reason.contains("try again later")),
            "{outcome:?}"
        );
        assert!(matches!(scene.merge(&tip, None).await.unwrap(), MergeOutcome::Merged { .. }));
    });
    gitea(async |scene| {
        let wanted = PullRequestSpec { labels: vec!["release".to_owned(), "unheard-of".to_owned()], ..bare("web") };
        let (pull, warnings) = scene.ensure(&wanted, None).await;
        assert!(warnings.len() == 1 && warnings[0].contains("`unheard-of` does not exist"), "{warnings:?}");
        assert_eq!(pull.labels, ["release"]);
    });
}

#[test]
fn a_gitea_branch_that_is_gone_is_still_known_by_its_name() {
    gitea(async |scene| {
        scene.open().await;
        scene.stub.close(1);
        scene.stub.heads(|branch| (branch == "main").then(|| "b".repeat(40)));
        let closed = scene.forge.closed_pulls("landfall", now(), Duration::from_secs(9)).await.unwrap();
        assert_eq!(closed.iter().map(|pull| pull.head.as_str()).collect::<Vec<_>>(), [HEAD]);
    });
}

/// python-gitlab, which nobody here wrote, finds in the stand-in what it finds in a GitLab.
#[test]
#[expect(clippy::disallowed_methods, reason = "tests start processes")]
fn a_foreign_client_of_gitlab_gets_along_with_the_stand_in() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = root.join("tests/.cache/python");
    if !library.join("gitlab").exists() {
        return without("python-gitlab is not installed (tests/install): the stand-in for GitLab is not judged by it");
    }
    let stub = GitHubStub::speaking(Speech::GitLab, "", |routes| routes);
    let script = root.join("tests/python/gitlab_client.py");
    let mut python = std::process::Command::new("python3");
    let ran = python.arg(script).args([&stub.url(), TOKEN]).env("PYTHONPATH", library).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn what_a_forge_has_not_is_known_beforehand() {
    let lacks = |forge: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("landfall.yaml");
        let text =
            format!("repositories:\n  - {{ name: deploys, url: https://x.example.com/a/b.git, forge: {forge} }}\n");
        std::fs::write(&file, text).unwrap();
        config::load(&file).unwrap().settings.repositories.remove(0).forge.lacks()
    };
    let hosted = "url: https://x.example.com, repository: a/b, token: { env: T }";
    assert_eq!(lacks(&format!("{{ kind: gitlab, {hosted} }}")), [Feature::TeamReviewers]);
    for kind in ["forgejo", "azure-devops"] {
        assert_eq!(lacks(&format!("{{ kind: {kind}, {hosted} }}")), []);
    }
    assert_eq!(lacks(&format!("{{ kind: bitbucket-dc, {hosted} }}")), [Feature::Labels, Feature::TeamReviewers]);
    let cloud = lacks("{ kind: bitbucket, repository: a/b, token: { env: T } }");
    assert_eq!(cloud, [Feature::Labels, Feature::TeamReviewers, Feature::MergeAtCommit]);
    assert!(lacks("{ kind: local }").contains(&Feature::Checks));
}
