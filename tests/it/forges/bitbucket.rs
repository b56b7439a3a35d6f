//! What only Bitbucket has.

use super::*;

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

#[test]
fn nobody_hides_anothers_objection_on_bitbucket_by_a_nickname() {
    on(&KINDS[4..5], async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.review(1, "Änn", "CHANGES_REQUESTED");
        scene.stub.review(1, "änn", "APPROVED");
        scene.stub.right("änn", "write");
        let reviews = scene.reviews().await;
        assert_eq!((reviews.objections(), reviews.approvals(&[tip])), (vec!["Änn {Änn}"], vec!["änn {änn}"]));
    });
}

#[test]
fn the_approval_of_an_account_that_is_gone_is_no_default_reviewers_on_bitbucket() {
    on(&KINDS[4..5], async |scene| {
        scene.stub.default_reviewers(&["gone", "ann"]);
        let (_, tip) = scene.open().await;
        assert_eq!(scene.stub.pull(1).reviewers, ["ann"], "who is gone is not asked");
        scene.stub.review(1, "gone", "APPROVED");
        let (reviews, of) = (scene.reviews().await, [tip]);
        assert_eq!(reviews.approvals(&of), Vec::<&str>::new());
        assert!(reviews.void(&of).concat().contains("the account was deleted"), "{reviews:?}");
    });
}
