//! Merges: at the judged commit, in an allowed way, once.

use super::*;

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

/// Whoever may edit a pull request may change into which branch it goes.
#[test]
fn what_was_judged_for_one_branch_is_not_merged_into_another() {
    everywhere(async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.edit(1, |pull| pull.base = "production".to_owned());
        let reason = refused(scene.merge(&tip, None).await.unwrap());
        assert!(reason.contains("its base is now production, but it was judged for main"), "{}: {reason}", scene.kind);
        assert_eq!((scene.stub.merges().len(), scene.stub.pull(1).merged), (0, false), "{}", scene.kind);
    });
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
    // It does not help that the answer is lost.
    for status in [200, 502] {
        on(&KINDS[4..5], async |scene| {
            let (_, tip) = scene.open().await;
            scene.stub.slip_in(&"e".repeat(40));
            scene.stub.fault(scene.merge_fault().done_but(status));
            let error = scene.merge(&tip, None).await.unwrap_err();
            assert!(text(&error).contains("somebody pushed to the branch while it was merged"), "{error}");
        });
    }
    gitlab(async |scene| {
        let (_, tip) = scene.open().await;
        let stale = scene.stub.url();
        let seen = ask(&scene, &format!("{stale}/api/v4/projects/acme%2Fdeploys/merge_requests/1")).await;
        scene.stub.heads(|_| Some("e".repeat(40)));
        scene.stub.fault(Fault::on("GET", "/merge_requests/1").times(2).answer(200, &[], &seen));
        let reason = refused(scene.merge(&tip, None).await.unwrap());
        assert!(reason.contains("SHA does not match HEAD"), "{reason}");
        assert_eq!(scene.stub.merges().len(), 0);
    });
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
