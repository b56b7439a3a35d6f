//! What goes wrong with answers: clear errors, no wrong writes, no secrets.

use super::*;

#[test]
fn every_answer_of_a_wrong_shape_is_a_clear_error_and_never_a_wrong_write() {
    let calls = ["ensure", "open", "of", "closed", "merge", "reviews", "checks", "behind", "comment", "label", "close"];
    for body in ["[[1]]", r#"{"a":1}"#, "null", "<html>", "7", r#"[{"number":-1,"iid":-1}]"#] {
        everywhere(async |scene| {
            let (pull, tip) = scene.open().await;
            scene.stub.fault(Fault::on("GET", "").times(usize::MAX).answer(200, &[], body));
            for call in calls {
                let error = match call {
                    "ensure" => scene.try_ensure(&spec("web to 1.3"), Some(&pull)).await.err(),
                    "open" => scene.forge.open_pulls("landfall").await.err(),
                    "of" => scene.forge.pulls_of(&branch(HEAD), &branch("main")).await.err(),
                    "closed" => scene.forge.closed_pulls("landfall", now(), Duration::from_secs(9)).await.err(),
                    "merge" => scene.merge(&tip, None).await.err(),
                    "comment" => scene.forge.comment_once(1, "marker", "text").await.err(),
                    "label" => scene.forge.take_label(1, "release", now()).await.err(),
                    "close" => scene.forge.close(1, "body", "comment", now()).await.err(),
                    "reviews" => failed(scene.forge.reviews(1).await),
                    "checks" => failed(scene.forge.checks(&tip).await),
                    _ => failed(scene.forge.is_behind(1, &tip).await),
                };
                match error {
                    Some(error) => {
                        assert_eq!(error.code, FailureCode::Protocol, "{} {call} {body}: {error}", scene.kind);
                        text(&error);
                    }
                    // GitLab removes a label without a look, and Bitbucket has none.
                    None => {
                        assert!((scene.kind == "gitlab" || !scene.has_labels()) && call == "label", "{call} {body}");
                    }
                }
            }
            assert_eq!((scene.stub.pulls().len(), scene.stub.pull(1).state), (1, "open"), "{} {body}", scene.kind);
            assert_eq!((scene.stub.merges().len(), scene.stub.comments().len()), (0, 0), "{} {body}", scene.kind);
        });
    }
}

/// The first answer of a call is broken above; the later ones are the approvals, the pushes, the pipelines, the policies.
#[test]
fn one_answer_of_a_wrong_shape_among_good_ones_is_an_error_or_makes_no_difference() {
    for body in ["[[1]]", r#"{"a":1}"#, "null", "<html>"] {
        everywhere(async |scene| {
            let (_, tip) = scene.open().await;
            scene.stub.review(1, "ann", "APPROVED");
            scene.stub.review(1, "ben", "CHANGES_REQUESTED");
            let read = async |call: &str| match call {
                "open" => scene.forge.open_pulls("landfall").await.map(|it| format!("{it:?}")),
                "of" => scene.forge.pulls_of(&branch(HEAD), &branch("main")).await.map(|it| format!("{it:?}")),
                "closed" => scene
                    .forge
                    .closed_pulls("landfall", now(), Duration::from_secs(9))
                    .await
                    .map(|it| format!("{it:?}")),
                "reviews" => known(scene.forge.reviews(1).await),
                "checks" => known(scene.forge.checks(&tip).await),
                _ => known(scene.forge.is_behind(1, &tip).await),
            };
            for call in ["open", "of", "closed", "reviews", "checks", "behind"] {
                scene.stub.no_faults();
                let sound = read(call).await.unwrap();
                for nth in 0..40 {
                    scene.stub.no_faults();
                    scene.stub.forget();
                    scene.stub.fault(Fault::on("", "").after(nth).answer(200, &[], body));
                    let answer = read(call).await;
                    match answer {
                        Ok(answer) => assert_eq!(answer, sound, "{} {call} {nth} {body}", scene.kind),
                        Err(PullError { code, message }) => {
                            assert_eq!(code, FailureCode::Protocol, "{} {call} {nth} {body}: {message}", scene.kind);
                        }
                    }
                    if scene.stub.requests().len() <= nth {
                        break;
                    }
                }
            }
        });
    }
}

fn known<T: std::fmt::Debug>(answer: Answer<T>) -> Result<String, PullError> {
    match answer {
        Answer::Failed { message, code, .. } => Err(PullError { message, code }),
        answer => Ok(format!("{answer:?}")),
    }
}

fn failed<T>(answer: Answer<T>) -> Option<PullError> {
    match answer {
        Answer::Failed { message, code, .. } => Some(PullError { message, code }),
        _ => None,
    }
}

#[test]
fn every_failure_has_its_code_and_shows_no_secret() {
    let leak = format!("Bearer {TOKEN}\u{1b}[31m\r\nfaked: line");
    for (status, headers, message, code) in [
        (401, &[][..], leak.as_str(), FailureCode::Authentication),
        (403, &[], "no", FailureCode::Authentication),
        (404, &[], "Not Found", FailureCode::Authentication),
        (429, &[("retry-after", "7")], "Too many", FailureCode::RateLimited),
        (502, &[], leak.as_str(), FailureCode::Server),
        (410, &[], "Gone", FailureCode::Protocol),
    ] {
        everywhere(async |scene| {
            scene.stub.fault(Fault::on("", "").times(usize::MAX).message(status, message));
            if let Some((name, value)) = headers.first() {
                scene.stub.fault_first(Fault::on("", "").times(usize::MAX).answer(status, &[(name, value)], "{}"));
            }
            let error = scene.forge.open_pulls("landfall").await.unwrap_err();
            assert_eq!(error.code, code, "{} {status}: {error}", scene.kind);
            assert!(text(&error).to_lowercase().starts_with(&format!("{} acme/deploys: ", scene.name())), "{error}");
            let asked = scene.stub.requests();
            assert!(asked.iter().all(|it| !it.target.contains(TOKEN)), "no secret is in an address");
        });
    }
}

#[test]
fn no_log_holds_a_token() {
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        everywhere(async |scene| {
            scene.ensure(&spec("web to 1.2"), None).await;
            scene.stub.fault(Fault::on("GET", "").message(500, TOKEN));
            scene.forge.open_pulls("landfall").await.unwrap();
            tracing::info!(forge = ?scene.forge, "a forge may be printed");
        });
    });
    let log = sink.text();
    // What other threads have logged decides whether the libraries' own lines are kept.
    assert!(log.contains("a forge may be printed"), "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn the_long_body_of_an_error_is_not_read_and_its_status_says_what_it_is() {
    everywhere(async |scene| {
        drop(scene.open().await);
        let told = r#"{"message": "told by the forge", "errorMessages": ["told by the forge"], "error": {"message": "told by the forge"}}"#;
        let long = format!("{}{}", " ".repeat(100_000), told);
        for (body, said) in [(told.to_owned(), true), (long, false)] {
            scene.stub.no_faults();
            scene.stub.fault(Fault::on("GET", "").times(usize::MAX).answer(401, &[], &body));
            let error = scene.forge.open_pulls("landfall").await.unwrap_err();
            let quoted = text(&error).contains("told by the forge");
            assert!(!quoted || said, "{}: {error}", scene.kind);
        }
    });
}
