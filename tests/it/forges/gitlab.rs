//! What only GitLab has.

use super::*;

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

/// python-gitlab, which nobody here wrote, finds in the stand-in what it finds in a GitLab.
#[test]
fn python_gitlab_gets_along_with_the_stand_in() {
    judged_by("python3", "tests/python/gitlab_client.py", ("PYTHONPATH", "tests/.cache/python"), "gitlab");
}

/// The same for gitbeaker, which asks in other shapes.
#[test]
fn gitbeaker_gets_along_with_the_stand_in() {
    judged_by("node", "tests/node/gitlab-client.js", ("NODE_PATH", "tests/.cache/node/node_modules"), "@gitbeaker");
}

/// Runs a client's script against the stand-in. The client's library is looked for at this place, which a variable names.
#[expect(clippy::disallowed_methods, reason = "tests start processes")]
fn judged_by(program: &str, script: &str, (variable, place): (&str, &str), library: &str) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join(place).join(library).exists() {
        return without(&format!(
            "{library} is not installed (tests/install): the stand-in for GitLab is not judged by it"
        ));
    }
    let stub = ForgeStub::speaking(Speech::GitLab, "", |routes| routes);
    let mut client = std::process::Command::new(program);
    let ran =
        client.arg(root.join(script)).args([&stub.url(), TOKEN]).env(variable, root.join(place)).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
