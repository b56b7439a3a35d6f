//! GitHub's reviews, checks and merges: what counts, what never does, and what a merge may not do.

use std::time::Duration;

use landfall::forge::{GitHub, GitHubSettings};
use landfall::model::{
    BranchName, CheckState, CommitId, FailureCode, Merge, MergeMethod, MergeOutcome, PullRequest, PullRequestSpec,
    PullState,
};

use crate::support::forge_stub::{BOT, Fault, ForgeStub, TOKEN};
use crate::support::github_prism;

const HEAD: &str = "landfall/prod";
const MESSAGE: &str = "prod: bump web to 1.2\n\n- web\n\nLandfall-Update: 0123456789abcdef\nLandfall-To: 1.2\n";

/// Runs a scenario against the stub, and again through prism.
fn checked(scenario: impl AsyncFn(ForgeStub)) {
    direct(&scenario);
    if let Some(stub) = github_prism::stub() {
        run(scenario(stub));
    }
}

/// Runs a scenario that leaves what GitHub documents.
fn direct(scenario: impl AsyncFn(ForgeStub)) {
    run(scenario(ForgeStub::start()));
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn client(stub: &ForgeStub) -> GitHub {
    GitHub::new(GitHubSettings {
        api_url: stub.url(),
        owner: stub.owner(),
        repository: "deploys".to_owned(),
        token: TOKEN.into(),
        ca_pem: None,
        timeout: Duration::from_secs(20),
    })
    .unwrap()
}

/// An open pull request, and its head's tip.
async fn opened(stub: &ForgeStub, github: &GitHub) -> (PullRequest, CommitId) {
    let branch = |name: &str| BranchName::parse(name).unwrap();
    let spec = PullRequestSpec {
        title: "web to 1.2".to_owned(),
        body: "<!-- landfall: 0123456789abcdef -->".to_owned(),
        head: branch(HEAD),
        base: BranchName::parse("main").unwrap(),
        labels: Vec::new(),
        reviewers: Vec::new(),
        draft: false,
    };
    let (pull, _) = github.ensure(&spec, None).await.unwrap();
    let tip = pull.head_commit.clone().unwrap();
    stub.forget();
    (pull, tip)
}

fn merge(tip: &CommitId, method: Option<MergeMethod>) -> Merge {
    let made = "2026-01-05T08:00:00Z".parse().unwrap();
    Merge {
        number: 1,
        base: BranchName::parse("main").unwrap(),
        tip: tip.clone(),
        made,
        method,
        message: MESSAGE.to_owned(),
    }
}

fn refused(outcome: MergeOutcome) -> String {
    match outcome {
        MergeOutcome::Refused { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_persons_last_word_counts_where_they_may_write() {
    checked(async |stub| {
        let github = client(&stub);
        let (_, tip) = opened(&stub, &github).await;
        for (by, word) in [
            ("ann", "APPROVED"),
            ("ann", "COMMENTED"),
            ("ben", "APPROVED"),
            ("ben", "DISMISSED"),
            ("carl", "CHANGES_REQUESTED"),
            ("mallory", "APPROVED"),
        ] {
            stub.review(1, by, word);
        }
        stub.right("mallory", "read");
        stub.pushed_by("landfall/prod", BOT);
        let reviews = github.reviews(1).await.unwrap();
        assert_eq!((reviews.approvals(std::slice::from_ref(&tip)), reviews.objections()), (vec!["ann"], vec!["carl"]));
        assert_eq!(
            reviews.void(std::slice::from_ref(&tip)),
            ["the approval of mallory does not count: they may not write to the repository"]
        );
        let asked = stub.asked();
        assert_eq!(
            asked,
            [
                "GET pulls/1/reviews",
                "GET collaborators/ann/permission",
                "GET collaborators/mallory/permission",
                // Who pushed the head, and so cannot approve it.
                "GET pulls/1",
                "GET activity"
            ]
        );
    });
}

#[test]
fn an_approval_that_cannot_be_weighed_does_not_count() {
    checked(async |stub| {
        let github = client(&stub);
        let (_, tip) = opened(&stub, &github).await;
        stub.review(1, "stranger", "APPROVED");
        let reviews = github.reviews(1).await.unwrap();
        assert_eq!(reviews.approvals(std::slice::from_ref(&tip)), Vec::<&str>::new());
        assert!(
            reviews.void(std::slice::from_ref(&tip))[0].contains("it is unknown whether they may write"),
            "{reviews:?}"
        );
    });
    direct(async |stub| {
        let github = client(&stub);
        let (_, tip) = opened(&stub, &github).await;
        stub.review(1, "robot[bot]", "APPROVED");
        stub.review(1, "ann", "SOMETHING_NEW");
        stub.right("ben", "custom");
        stub.review(1, "ben", "APPROVED");
        let reviews = github.reviews(1).await.unwrap();
        assert_eq!(
            (reviews.approvals(std::slice::from_ref(&tip)), reviews.unknown()),
            (vec![], vec![("ann", "SOMETHING_NEW")])
        );
        assert_eq!(reviews.void(std::slice::from_ref(&tip)).len(), 2, "{reviews:?}");
        assert!(!stub.asked().iter().any(|asked| asked.contains("robot")), "{:?}", stub.asked());
        // A fault is a fault, not a "no".
        stub.fault(Fault::on("GET", "/permission").times(9).message(502, "Server Error"));
        assert_eq!(github.reviews(1).await.unwrap_err().code(), FailureCode::Server);
    });
    direct(async |stub| {
        opened(&stub, &client(&stub)).await;
        let sha = "a".repeat(40);
        let ghost = format!(r#"[{{"user":null,"state":"APPROVED","commit_id":"{sha}"}}]"#);
        stub.fault(Fault::on("GET", "/reviews").answer(200, &[], &ghost));
        let reviews = client(&stub).reviews(1).await.unwrap();
        assert_eq!(reviews.approvals(&[CommitId::parse(&sha).unwrap()]), Vec::<&str>::new());
    });
}

#[test]
fn statuses_and_check_runs_are_one_list_and_the_latest_counts() {
    checked(async |stub| {
        let github = client(&stub);
        let (_, tip) = opened(&stub, &github).await;
        assert!(github.checks(&tip).await.unwrap().is_empty());
        stub.status(HEAD, "ci/old", "pending");
        stub.status(HEAD, "ci/old", "success");
        stub.status(HEAD, "ci/broken", "error");
        for (name, status, conclusion) in [
            ("build", "completed", Some("failure")),
            ("build", "completed", Some("success")),
            ("lint", "completed", Some("skipped")),
            ("e2e", "completed", Some("success")),
            ("e2e", "in_progress", None),
            ("late", "completed", Some("timed_out")),
        ] {
            stub.run(HEAD, name, status, conclusion);
        }
        let checks = github.checks(&tip).await.unwrap();
        let all: Vec<(&str, &CheckState)> = checks.all().collect();
        assert_eq!(
            all,
            [
                ("build", &CheckState::Passed),
                ("ci/broken", &CheckState::Failed),
                ("ci/old", &CheckState::Passed),
                ("e2e", &CheckState::Pending),
                ("late", &CheckState::Failed),
                ("lint", &CheckState::Passed),
            ]
        );
    });
}

#[test]
fn checks_are_read_to_the_end_and_unknown_words_are_no_pass() {
    direct(async |stub| {
        let github = client(&stub);
        let (_, tip) = opened(&stub, &github).await;
        for number in 0..130 {
            stub.run(HEAD, &format!("job-{number}"), "completed", Some("success"));
            stub.status(HEAD, &format!("status-{number}"), "success");
        }
        stub.run(HEAD, "job-0", "completed", Some("sideways"));
        let checks = github.checks(&tip).await.unwrap();
        assert_eq!(checks.all().count(), 260);
        assert_eq!(checks.get("job-0"), Some(&CheckState::Unknown("sideways".to_owned())));
        // A page that is missing could have the one that failed.
        stub.fault(Fault::on("GET", "check-runs").answer(200, &[], r#"{"total_count":2,"check_runs":[]}"#));
        let error = github.checks(&tip).await.unwrap_err();
        assert!(error.to_string().contains("it announces 2 but lists 0"), "{error}");
    });
}

#[test]
fn what_many_are_judged_by_does_not_hang_on_who_pushed() {
    direct(async |stub| {
        let github = client(&stub);
        opened(&stub, &github).await;
        stub.review(1, "ann", "APPROVED");
        stub.right("ann", "write");
        stub.status(HEAD, "ci", "success");
        stub.fault(Fault::on("GET", "/activity").times(50).message(502, "Bad Gateway"));
        let judged = github.judged(&[1]).await.unwrap();
        assert_eq!((judged.len(), &judged[0].reviews), (1, &None), "whether the approval counts is asked for alone");
        assert!(judged[0].checks.is_some());
    });
}

#[test]
fn a_merge_is_at_the_judged_commit_and_in_an_allowed_way() {
    for (preferred, forbidden, expected) in [
        (None, &[][..], "merge"),
        (Some(MergeMethod::Rebase), &[], "rebase"),
        (Some(MergeMethod::Merge), &["merge"], "squash"),
        (None, &["merge", "squash"], "rebase"),
    ] {
        checked(async |stub| {
            let github = client(&stub);
            let (_, tip) = opened(&stub, &github).await;
            stub.forbid(forbidden);
            let outcome = github.merge(&merge(&tip, preferred)).await.unwrap();
            assert_eq!(outcome, MergeOutcome::Merged { commit: CommitId::parse(&"d".repeat(40)).unwrap() });
            let merged = stub.merges().remove(0);
            assert_eq!(merged.method, expected);
            if expected == "squash" {
                assert_eq!(merged.title.unwrap(), "prod: bump web to 1.2 (#1)");
                assert!(
                    merged.message.unwrap().contains("\nLandfall-Update: 0123456789abcdef\n"),
                    "the record is kept"
                );
            }
        });
    }
    checked(async |stub| {
        let github = client(&stub);
        let (_, tip) = opened(&stub, &github).await;
        stub.forbid(&["merge", "squash", "rebase"]);
        assert!(refused(github.merge(&merge(&tip, None)).await.unwrap()).contains("allows no merge method"));
        assert!(stub.asked().iter().all(|asked| asked.starts_with("GET ")), "{:?}", stub.asked());
    });
}

#[test]
fn what_github_refuses_is_told_in_its_words_and_is_no_error() {
    type Change = fn(&ForgeStub);
    let table: &[(&str, Change)] = &[
        ("At least 1 approving review is required", |stub| {
            stub.rule(Some((405, "At least 1 approving review is required by reviewers with write access.")));
        }),
        ("approving review", |stub| stub.rule(Some((405, "At least 1 approving review is required")))),
        ("Resource not accessible", |stub| stub.rule(Some((403, "Resource not accessible by integration")))),
        ("Pull Request is not mergeable", |stub| stub.close(1)),
        ("Pull Request is still a draft", |stub| stub.edit(1, |pull| pull.draft = true)),
        ("Head branch was modified", |stub| stub.heads(|_| Some("e".repeat(40)))),
    ];
    for (words, change) in table {
        direct(async |stub| {
            let github = client(&stub);
            let (_, tip) = opened(&stub, &github).await;
            change(&stub);
            let reason = refused(github.merge(&merge(&tip, None)).await.unwrap());
            assert!(reason.contains(words), "{words}: {reason}");
            let puts = stub.asked().iter().filter(|asked| asked.starts_with("PUT")).count();
            assert_eq!(puts, 1, "{words}: a refusal is not tried again at once");
            assert!(!stub.pull(1).merged);
        });
    }
}

#[test]
fn a_lost_answer_is_looked_up_and_no_second_merge_is_made() {
    for fault in [
        Fault::on("PUT", "/merge").done_but(502),
        Fault::on("PUT", "/merge").done_but(200),
        Fault::on("PUT", "/merge").cut(),
    ] {
        direct(async |stub| {
            let github = client(&stub);
            let (_, tip) = opened(&stub, &github).await;
            stub.fault(fault.clone());
            let outcome = github.merge(&merge(&tip, None)).await.unwrap();
            assert!(matches!(outcome, MergeOutcome::Merged { .. }), "{outcome:?}");
            assert_eq!(stub.merges().len(), 1);
        });
    }
    direct(async |stub| {
        let github = client(&stub);
        let (_, tip) = opened(&stub, &github).await;
        stub.fault(Fault::on("PUT", "/merge").message(502, "Server Error"));
        let error = github.merge(&merge(&tip, None)).await.unwrap_err();
        assert_eq!((error.code(), stub.merges().len()), (FailureCode::Server, 0));
        stub.fault(Fault::on("PUT", "/merge").message(403, "You have exceeded a secondary rate limit"));
        assert_eq!(github.merge(&merge(&tip, None)).await.unwrap_err().code(), FailureCode::RateLimited);
    });
}

#[test]
fn a_comment_is_written_once_and_a_label_taken_off() {
    checked(async |stub| {
        let github = client(&stub);
        opened(&stub, &github).await;
        let marker = "<!-- marker -->";
        assert!(!github.has_comment(1, marker).await.unwrap());
        for _ in 0..2 {
            github.comment_once(1, marker, "hello").await.unwrap();
        }
        assert_eq!(stub.comments(), [(1, "<!-- marker -->\nhello".to_owned())]);
        stub.edit(1, |pull| pull.labels = vec!["ship it/now".to_owned(), "other".to_owned()]);
        github.take_label(1, "ship it/now").await.unwrap();
        assert_eq!(stub.pull(1).labels, ["other"]);
        github.take_label(1, "ship it/now").await.unwrap();
    });
    direct(async |stub| {
        let github = client(&stub);
        opened(&stub, &github).await;
        stub.edit(1, |pull| pull.labels = vec!["ship".to_owned()]);
        stub.fault(Fault::on("DELETE", "/labels").message(404, "Not Found"));
        github.take_label(1, "ship").await.unwrap_err();
        stub.forget();
        github.take_label(1, "..").await.unwrap_err();
        assert_eq!((stub.asked(), stub.pull(1).labels.len()), (vec![], 1), "dots would mean all labels");
    });
}

#[test]
fn a_closing_changes_the_text_in_the_same_step() {
    checked(async |stub| {
        let github = client(&stub);
        let (pull, _) = opened(&stub, &github).await;
        github.close(pull.number, Some("done <!-- landfall: -->"), Some("why")).await.unwrap();
        let kept = stub.pull(1);
        assert_eq!((kept.state, kept.body.as_deref()), ("closed", Some("done <!-- landfall: -->")));
        assert_eq!(stub.comments(), [(1, "why".to_owned())]);
        assert_eq!(github.pulls_of(&pull.head, &pull.base).await.unwrap()[0].state, PullState::Closed);
    });
}

#[test]
fn what_left_the_queue_is_put_in_again_with_another_commit_only() {
    direct(async |stub| {
        let (_, tip) = opened(&stub, &client(&stub)).await;
        stub.queue();
        let put = |made: &str| {
            let asked = Merge { made: made.parse().unwrap(), ..merge(&tip, None) };
            // Each time another process, which remembers nothing.
            let github = client(&stub);
            async move { github.merge(&asked).await.unwrap() }
        };
        assert!(matches!(put("2026-01-05T08:00:00Z").await, MergeOutcome::Queued { .. }));
        stub.unqueue(1);
        assert!(refused(put("2026-01-05T08:00:00Z").await).contains("no longer has it"));
        // Without force no event tells that the branch has moved; the commit's time does.
        assert!(matches!(put("9999-01-05T08:00:00Z").await, MergeOutcome::Queued { .. }));
        assert_eq!(stub.enqueued(), [1, 1]);
    });
}
