//! What becomes of a pull request, from its creation to its end.

use super::*;

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
            warnings.len() == 1 && warnings[0].contains("cannot be a reviewer: ghost"),
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

/// Who locks a conversation wants to hear nothing there; closing and all else goes on. Others may not comment for another reason.
#[test]
fn a_locked_conversation_gets_no_comment_and_that_is_no_failure() {
    let locked = [
        (0, "Unable to create comment because issue is locked."),
        (2, "You cannot comment on a locked issue."),
        (3, "You cannot comment on a locked issue."),
    ];
    for (kind, message) in locked {
        on(&KINDS[kind..=kind], async |scene| {
            scene.open().await;
            let fault = || Fault::on("POST", "issues/1/comments").times(9).message(403, message);
            scene.stub.fault(fault());
            scene.forge.comment_once(1, "<!-- marker -->", "hello").await.unwrap();
            scene.forge.close(1, "body", "1.5 is newer", now()).await.unwrap();
            assert_eq!((scene.stub.comments(), scene.stub.pull(1).state), (vec![], "closed"), "{}", scene.kind);
        });
    }
    on(&KINDS[..1], async |scene| {
        scene.open().await;
        scene.stub.fault(Fault::on("POST", "issues/1/comments").times(9).message(403, "Resource not accessible"));
        scene.forge.comment_once(1, "<!-- marker -->", "hello").await.unwrap_err();
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
