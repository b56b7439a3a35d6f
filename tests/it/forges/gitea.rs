//! What only Gitea and Forgejo have.

use super::*;

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
