//! What only Azure DevOps has.

use super::*;

#[test]
fn azure_devops_policies_are_waited_for_or_told() {
    for (word, waits) in [("queued", true), ("running", true), ("rejected", false), ("broken", false)] {
        on(&KINDS[6..], async |scene| {
            let (_, tip) = scene.open().await;
            scene.stub.merge_status(Some(word));
            match scene.merge(&tip, None).await.unwrap() {
                MergeOutcome::NotYet { reason } => {
                    assert!(waits && reason.contains("still running: Build"), "{reason}");
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
fn a_first_reading_of_what_ended_goes_on_where_it_broke_off() {
    on(&KINDS[6..], async |scene| {
        for number in 0..130 {
            scene.stub.close(scene.stub.open(&format!("landfall/app-{number}"), "main", None));
        }
        // Long after all others.
        scene.stub.edit(130, |pull| pull.updated = "2026-06-30T12:00:00Z");
        let within = Duration::from_secs(20);
        scene.stub.fault(Fault::on("GET", scene.second_page()).times(9).message(500, "Server Error"));
        text(&scene.forge.closed_pulls("landfall", now(), within).await.unwrap_err());
        scene.stub.no_faults();
        assert_eq!(scene.forge.closed_pulls("landfall", now(), within).await.unwrap().len(), 130);
    });
}

#[test]
fn of_a_commits_and_a_pull_requests_statuses_on_azure_devops_the_worse_counts() {
    on(&KINDS[6..], async |scene| {
        let (_, tip) = scene.open().await;
        for (name, word) in [("ci/one", "success"), ("ci/two", "error")] {
            scene.stub.status(HEAD, name, word);
        }
        let of = |id: u64, name: &str, state: &str| {
            format!(r#"{{"id":{id},"state":"{state}","context":{{"name":"{name}"}},"iterationId":1}}"#)
        };
        // Both lists count from one, and the newest of each name is not the last.
        let all = [of(9, "ci/one", "failed"), of(8, "ci/one", "succeeded"), of(7, "ci/two", "succeeded")].join(",");
        scene.stub.fault(Fault::on("GET", "/pullRequests/1/statuses").answer(
            200,
            &[],
            &format!(r#"{{"value":[{all}]}}"#),
        ));
        let checks = scene.checks(&tip).await;
        let all: Vec<(&str, &CheckState)> = checks.all().collect();
        assert_eq!(all, [("ci/one", &CheckState::Failed), ("ci/two", &CheckState::Failed)]);
    });
}
