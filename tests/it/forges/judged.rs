//! What merges are judged by: approvals, checks, whether a branch is behind.

use super::*;

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
