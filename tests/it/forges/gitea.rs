//! What only Gitea and Forgejo have.

use super::*;
use crate::support::forge_stub::DELETED;

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
fn a_team_that_gitea_would_not_ask_or_take_for_another_is_told() {
    gitea(async |scene| {
        let wanted =
            PullRequestSpec { reviewers: vec!["umbrella/sre".to_owned(), "acme/sre".to_owned()], ..bare("web") };
        let (_, warnings) = scene.ensure(&wanted, None).await;
        assert!(
            warnings.len() == 1 && warnings[0].contains("umbrella/sre: it is not a team of the repository's owner"),
            "{warnings:?}"
        );
        assert_eq!(scene.stub.pull(1).teams, ["sre"]);
    });
    gitea(async |scene| {
        scene.stub.collaborators(&["ann"]);
        let wanted = PullRequestSpec { reviewers: vec!["acme/sre".to_owned()], ..bare("web") };
        let (_, warnings) = scene.ensure(&wanted, None).await;
        assert!(warnings.len() == 1 && warnings[0].contains("asked nobody"), "{warnings:?}");
    });
}

/// A history ends with a page that is `null` and no empty list.
#[test]
fn gitea_is_asked_for_what_was_ever_added_by_a_bot_that_remembers_nothing() {
    gitea(async |mut scene| {
        let wanted = PullRequestSpec { labels: vec!["release".to_owned()], ..bare("web to 1.2") };
        scene.ensure(&wanted, None).await;
        scene.stub.edit(1, |pull| pull.labels.clear());
        scene.restart().await;
        let more = PullRequestSpec { labels: vec!["release".to_owned(), "other".to_owned()], ..bare("web to 1.3") };
        let (pull, warnings) = scene.ensure(&more, None).await;
        assert_eq!((pull.labels, warnings), (vec!["other".to_owned()], Vec::new()), "what a person removed stays away");
    });
}

#[test]
fn labels_of_an_organization_are_found_or_the_scope_for_them_is_named() {
    gitea(async |scene| {
        let wanted = PullRequestSpec { labels: vec!["everywhere".to_owned()], ..bare("web to 1.2") };
        let (_, warnings) = scene.ensure(&wanted, None).await;
        assert!(warnings.len() == 1 && warnings[0].contains("the scope `read:organization`"), "{warnings:?}");
        scene.stub.scopes(&["write:repository", "write:issue", "read:organization"]);
        let (pull, warnings) = scene.ensure(&wanted, None).await;
        assert_eq!((pull.labels, warnings), (vec!["everywhere".to_owned()], Vec::new()));
    });
}

/// An account that is deleted leaves a `null` among those who were asked, and one in their reviews.
#[test]
fn who_was_asked_for_a_review_and_is_deleted_stops_nothing() {
    gitea(async |mut scene| {
        let (pull, tip) = scene.open().await;
        scene.stub.edit(1, |pull| pull.reviewers = vec![DELETED.to_owned(), "ann".to_owned()]);
        scene.restart().await;
        assert_eq!(scene.forge.open_pulls("landfall").await.unwrap(), std::slice::from_ref(&pull));
        let (_, warnings) =
            scene.ensure(&PullRequestSpec { reviewers: vec!["ann".to_owned()], ..bare("web to 1.2") }, None).await;
        assert_eq!(warnings, Vec::<String>::new());
        assert!(matches!(scene.merge(&tip, None).await.unwrap(), MergeOutcome::Merged { .. }));
    });
}

#[test]
fn a_merge_that_gitea_refuses_says_what_is_in_the_way() {
    gitea(async |scene| {
        let (_, tip) = scene.open().await;
        scene.stub.merger(|_| Err("conflict".to_owned()));
        let reason = refused(scene.merge(&tip, None).await.unwrap());
        assert!(reason.contains("conflict: ") && reason.contains("Merge conflict in apps/web"), "{reason}");
        assert!(!reason.contains('{'), "{reason}");
        // Somebody closes it in the moment of the merge.
        scene.stub.close(1);
        assert!(refused(scene.merge(&tip, None).await.unwrap()).contains("it has been closed"));
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
