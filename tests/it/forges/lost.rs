//! Answers that are lost after the forge has done what was asked: nothing is done twice, and nothing is taken for a failure.

use super::*;

type MakeFault = fn(&'static str, &'static str) -> Fault;

/// Each: done, and then the answer is an error page, no JSON, or breaks off.
const LOST: [(&str, MakeFault); 3] = [
    ("502", |method, path| Fault::on(method, path).done_but(502)),
    ("no JSON", |method, path| Fault::on(method, path).done_but(201)),
    ("cut off", |method, path| Fault::on(method, path).cut()),
];

/// The request that closes a pull request.
fn closing(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "gitlab" => ("PUT", "/merge_requests/1"),
        "bitbucket" | "bitbucket-dc" => ("POST", "/decline"),
        "azure-devops" => ("PATCH", "/pullRequests/1?"),
        _ => ("PATCH", "/pulls/1"),
    }
}

/// Where comments are posted.
fn commenting(kind: &str) -> &'static str {
    match kind {
        "gitlab" => "/notes",
        "azure-devops" => "/threads",
        _ => "/comments",
    }
}

#[test]
fn a_pull_request_that_was_closed_is_closed_once_and_says_why_once() {
    for (what, fault) in LOST {
        everywhere(async |scene| {
            let (kind, body) = (scene.kind, "done <!-- landfall: 0123456789abcdef -->");
            scene.open().await;
            let (method, path) = closing(kind);
            scene.stub.fault(fault(method, path));
            scene
                .forge
                .close(1, body, "1.5 is newer", now())
                .await
                .unwrap_or_else(|error| panic!("{kind} {what}: {error}"));
            let kept = scene.stub.pull(1);
            assert_eq!((kept.state, kept.body.as_deref()), ("closed", Some(body)), "{kind} {what}");
            assert_eq!(scene.stub.comments(), [(1, "1.5 is newer".to_owned())], "{kind} {what}");
            // A cycle that crashed in between does it again.
            scene.forge.close(1, body, "1.5 is newer", now()).await.unwrap();
            assert_eq!(scene.stub.comments().len(), 1, "{kind} {what}");
        });
    }
}

#[test]
fn what_was_merged_while_it_was_closed_gets_no_comment() {
    everywhere(async |scene| {
        let kind = scene.kind;
        scene.open().await;
        let (method, path) = closing(kind);
        scene.stub.fault(Fault::on(method, path).times(usize::MAX).merged_first(409));
        let closed = scene.forge.close(1, "body", "1.5 is newer", now()).await;
        closed.unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!((scene.stub.pull(1).merged, scene.stub.comments()), (true, vec![]), "{kind}");
    });
}

#[test]
fn a_comment_that_was_posted_is_not_posted_again() {
    for (what, fault) in LOST {
        everywhere(async |scene| {
            let (kind, place) = (scene.kind, commenting(scene.kind));
            scene.open().await;
            scene.stub.fault(fault("POST", place));
            scene
                .forge
                .close(1, "body", "1.5 is newer", now())
                .await
                .unwrap_or_else(|error| panic!("{kind} {what}: {error}"));
            assert_eq!(scene.stub.comments(), [(1, "1.5 is newer".to_owned())], "{kind} {what}");
            let marker = "<!-- marker -->";
            scene.stub.no_faults();
            scene.stub.fault(fault("POST", place));
            for _ in 0..2 {
                scene
                    .forge
                    .comment_once(1, marker, "hello")
                    .await
                    .unwrap_or_else(|error| panic!("{kind} {what}: {error}"));
            }
            assert_eq!(scene.stub.comments().len(), 2, "{kind} {what}");
        });
    }
}

#[test]
fn what_was_not_done_is_an_error_and_can_be_repeated() {
    everywhere(async |scene| {
        let kind = scene.kind;
        scene.open().await;
        let (method, path) = closing(kind);
        scene.stub.fault(Fault::on(method, path).times(usize::MAX).message(503, "Unavailable"));
        text(&scene.forge.close(1, "body", "1.5 is newer", now()).await.expect_err(kind));
        assert_eq!((scene.stub.pull(1).state, scene.stub.comments().len()), ("open", 0), "{kind}");
        scene.stub.no_faults();
        scene.stub.fault(Fault::on("POST", commenting(kind)).message(503, "Unavailable"));
        text(&scene.forge.close(1, "body", "1.5 is newer", now()).await.expect_err(kind));
        assert_eq!((scene.stub.pull(1).state, scene.stub.comments().len()), ("closed", 0), "{kind}");
        scene.stub.fault(Fault::on("POST", commenting(kind)).message(503, "Unavailable"));
        text(&scene.forge.comment_once(1, "<!-- marker -->", "hello").await.expect_err(kind));
        scene.forge.comment_once(1, "<!-- marker -->", "hello").await.unwrap();
        assert_eq!(scene.stub.comments().len(), 1, "{kind}");
    });
}
