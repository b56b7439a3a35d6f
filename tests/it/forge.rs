//! GitHub as the forge: what must hold under crashes, repeats, races, faults and lies.
//!
//! Each scenario runs against the stub itself; those that stay inside what GitHub documents run again through prism, which
//! rejects any request or answer that is not as GitHub's OpenAPI description says.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use landfall::daemon::Pulls;
use landfall::forge::{Forge, ForgeError, GitHub, GitHubSettings};
use landfall::model::{Answer, BranchName, CommitId, FailureCode, PullRequest, PullRequestSpec, PullState};

use crate::support::forge_stub::{Fault, ForgeStub, TOKEN};
use crate::support::github_prism;
use crate::support::skip;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Runs a scenario against the stub, and again through prism.
fn checked(scenario: impl AsyncFn(ForgeStub)) {
    run(scenario(ForgeStub::start()));
    if let Some(stub) = github_prism::stub() {
        run(scenario(stub));
    }
}

/// Runs a scenario that leaves what GitHub documents.
fn direct(scenario: impl AsyncFn(ForgeStub)) {
    run(scenario(ForgeStub::start()));
}

fn settings(stub: &ForgeStub) -> GitHubSettings {
    GitHubSettings {
        api_url: stub.url(),
        owner: stub.owner(),
        repository: "deploys".to_owned(),
        token: TOKEN.into(),
        ca_pem: None,
        timeout: Duration::from_secs(20),
    }
}

/// A client as a new process would have it.
fn client(stub: &ForgeStub) -> GitHub {
    GitHub::new(settings(stub)).unwrap()
}

fn branch(name: &str) -> BranchName {
    BranchName::parse(name).unwrap()
}

fn spec(title: &str) -> PullRequestSpec {
    PullRequestSpec {
        title: title.to_owned(),
        body: format!("| image | to |\n|---|---|\n\n{title}\n\n<!-- landfall: 0123456789abcdef -->"),
        head: branch("landfall/prod"),
        base: branch("main"),
        labels: vec!["release".to_owned(), "needs review".to_owned()],
        reviewers: vec!["ann".to_owned(), "acme/sre".to_owned()],
        draft: false,
    }
}

/// One that needs nothing but itself.
fn bare(title: &str) -> PullRequestSpec {
    PullRequestSpec { labels: Vec::new(), reviewers: Vec::new(), ..spec(title) }
}

fn count(stub: &ForgeStub, what: &str) -> usize {
    stub.asked().iter().filter(|asked| *asked == what).count()
}

fn writes(stub: &ForgeStub) -> Vec<String> {
    stub.asked().into_iter().filter(|asked| !asked.starts_with("GET")).collect()
}

/// The error's text, after checking that it is one line without a secret.
fn text(error: &ForgeError) -> String {
    let text = format!("{error}");
    assert!(!format!("{error:?}{text}").contains(TOKEN), "{text}");
    assert!(!text.contains(char::is_control), "{text}");
    text
}

#[test]
fn a_pull_request_is_created_once_and_as_asked() {
    checked(async |stub| {
        let github = client(&stub);
        let (pull, warnings) = github.ensure(&spec("web to 1.2"), None).await.unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!((pull.number, pull.state, pull.draft), (1, PullState::Open, false));
        assert!(pull.url.ends_with("/deploys/pull/1"), "{}", pull.url);
        assert!(pull.head_commit.is_some());
        let kept = stub.pull(1);
        assert_eq!(kept.labels, ["release", "needs review"]);
        assert_eq!((kept.reviewers, kept.teams), (vec!["ann".to_owned()], vec!["sre".to_owned()]));
        assert_eq!(kept.body.unwrap(), spec("web to 1.2").body);
        assert_eq!((kept.head.as_str(), kept.base.as_str()), ("landfall/prod", "main"));

        stub.forget();
        let listed = github.open_pulls("landfall/").await.unwrap();
        assert_eq!(listed, [pull]);
        let (again, _) = github.ensure(&spec("web to 1.2"), Some(&listed[0])).await.unwrap();
        assert_eq!(again, listed[0]);
        assert_eq!(stub.asked(), ["GET pulls"], "a settled pull request costs no request");

        stub.forget();
        let (after_restart, _) = client(&stub).ensure(&spec("web to 1.2"), None).await.unwrap();
        assert_eq!(after_restart, listed[0]);
        assert_eq!(stub.asked(), ["GET pulls"]);
    });
}

#[test]
fn a_newer_tag_updates_the_same_pull_request() {
    checked(async |stub| {
        let github = client(&stub);
        let (first, _) = github.ensure(&spec("web to 1.2"), None).await.unwrap();
        let (second, _) = github.ensure(&spec("web to 1.3"), Some(&first)).await.unwrap();
        assert_eq!((second.number, second.title.as_str()), (1, "web to 1.3"));
        assert_eq!(second.labels, first.labels);
        assert_eq!(stub.pulls().len(), 1);
        assert_eq!((stub.pull(1).title.as_str(), stub.pull(1).body.unwrap()), ("web to 1.3", spec("web to 1.3").body));

        // GitHub's own changes of a text are no reason to write it again.
        stub.edit(1, |pull| pull.body = pull.body.take().map(|body| body.replace('\n', "\r\n") + "\r\n"));
        stub.forget();
        client(&stub).ensure(&spec("web to 1.3"), None).await.unwrap();
        assert_eq!(writes(&stub), Vec::<String>::new());
    });
}

#[test]
fn what_a_person_took_away_stays_away() {
    checked(async |stub| {
        client(&stub).ensure(&spec("web to 1.2"), None).await.unwrap();
        // The label is taken off; ann has reviewed, and GitHub waits for her no longer.
        stub.edit(1, |pull| {
            pull.labels.retain(|label| label != "release");
            pull.reviewers.clear();
        });
        stub.forget();
        let (pull, warnings) = client(&stub).ensure(&spec("web to 1.3"), None).await.unwrap();
        assert_eq!((pull.labels, warnings), (vec!["needs review".to_owned()], vec![]));
        assert_eq!(writes(&stub), ["PATCH pulls/1"]);
        assert_eq!(stub.pull(1).reviewers, Vec::<String>::new());
    });
}

#[test]
fn what_a_crash_left_undone_is_done_later() {
    checked(async |stub| {
        client(&stub).ensure(&bare("web to 1.2"), None).await.unwrap();
        let (pull, warnings) = client(&stub).ensure(&spec("web to 1.2"), None).await.unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        assert_eq!(pull.labels, spec("").labels);
        assert_eq!(
            (stub.pulls().len(), stub.pull(1).labels, stub.pull(1).reviewers),
            (1, spec("").labels, vec!["ann".to_owned()])
        );
    });
    direct(async |stub| {
        stub.fault(Fault::on("POST", "/labels").message(403, "Resource not accessible"));
        let github = client(&stub);
        let (pull, warnings) = github.ensure(&spec("web to 1.2"), None).await.unwrap();
        assert!(warnings.len() == 1 && warnings[0].starts_with("labels not added: "), "{warnings:?}");
        assert_eq!(pull.labels, Vec::<String>::new());
        let (pull, warnings) = github.ensure(&spec("web to 1.2"), Some(&pull)).await.unwrap();
        assert_eq!((warnings, pull.labels), (vec![], spec("").labels));
        assert_eq!(count(&stub, "POST pulls/1/requested_reviewers"), 1, "ann is not asked twice");
    });
}

#[test]
fn one_bad_label_keeps_no_other_away() {
    direct(async |stub| {
        let refusal =
            r#"{"message":"Validation Failed","errors":[{"resource":"Label","field":"name","code":"invalid"}]}"#;
        // The lot is refused for something in it.
        stub.fault(Fault::on("POST", "/labels").answer(422, &[], refusal));
        let github = client(&stub);
        let (pull, warnings) = github.ensure(&spec("web to 1.2"), None).await.unwrap();
        assert_eq!((warnings, &pull.labels), (vec![], &spec("").labels));
        assert_eq!(count(&stub, "POST issues/1/labels"), 3);
    });
}

#[test]
fn what_did_not_stick_is_tried_again_in_each_cycle() {
    direct(async |stub| {
        stub.fault(Fault::on("POST", "/labels").message(403, "Resource not accessible"));
        stub.fault(Fault::on("POST", "/labels").message(403, "Resource not accessible"));
        let mut pulls = Pulls::new(Forge::GitHub(client(&stub)), "deploys");
        let wanted = [(spec("web to 1.2"), CommitId::parse(&"a".repeat(40)).unwrap())];
        let at = |minute: i64| jiff::Timestamp::from_second(1_767_600_000 + 60 * minute).unwrap();
        let made = pulls.ensure(&wanted, at(0)).await.remove(0).unwrap();
        assert_eq!((made.1.len(), stub.pull(1).labels), (1, Vec::<String>::new()));
        for (minute, labels) in [(1, Vec::new()), (2, spec("").labels), (3, spec("").labels)] {
            stub.forget();
            pulls.begin();
            pulls.of_all([branch("landfall/prod")].iter(), &branch("main"), at(minute), at(minute)).await;
            pulls.settle(at(minute)).await;
            assert_eq!(stub.pull(1).labels, labels, "minute {minute}");
        }
        assert_eq!(writes(&stub), Vec::<String>::new(), "what sticks costs nothing");
    });
}

fn heads(count: usize) -> Vec<BranchName> {
    (0..count).map(|number| branch(&format!("landfall/prod-{number}"))).collect()
}

#[test]
fn a_list_that_cannot_be_had_is_asked_for_once_however_many_branches_wait_for_it() {
    let at = jiff::Timestamp::from_second(1_767_600_000).unwrap();
    for count in [2, 9] {
        direct(async |stub| {
            stub.fault(Fault::on("GET", "/pulls").times(1_000).message(502, "Bad Gateway"));
            let mut pulls = Pulls::new(Forge::GitHub(client(&stub)), "deploys");
            pulls.begin();
            let heads = heads(count);
            let answers = pulls.of_all(heads.iter(), &branch("main"), at, at).await;
            assert_eq!(answers.len(), count);
            for (_, answer) in &answers {
                assert!(matches!(answer, Answer::Failed { message, .. } if message.contains("502")), "{answer:?}");
            }
            assert_eq!(stub.asked().len(), 3, "one question, repeated: {:?}", stub.asked());
            stub.no_faults();
            pulls.begin();
            let answers = pulls.of_all(heads.iter(), &branch("main"), at, at).await;
            assert!(answers.iter().all(|(_, answer)| *answer == Answer::Known(Vec::new())), "{answers:?}");
        });
    }
}

#[test]
fn what_was_told_of_many_before_an_error_counts() {
    let at = jiff::Timestamp::from_second(1_767_600_000).unwrap();
    direct(async |stub| {
        stub.fault(Fault::on("POST", "/graphql").after(1).times(3).message(502, "Bad Gateway"));
        let mut pulls = Pulls::new(Forge::GitHub(client(&stub)), "deploys");
        pulls.begin();
        let answers = pulls.of_all(heads(105).iter(), &branch("main"), at, at).await;
        assert!(answers.iter().all(|(_, answer)| *answer == Answer::Known(Vec::new())), "{answers:?}");
        let alone = stub.requests().iter().filter(|asked| asked.target.contains("head=")).count();
        assert_eq!(alone, 5, "{:?}", stub.asked());
    });
}

#[test]
fn a_title_is_no_longer_than_github_takes() {
    direct(async |stub| {
        let (pull, _) = client(&stub).ensure(&bare(&"é".repeat(300)), None).await.unwrap();
        assert_eq!(pull.title.chars().count(), 256);
        stub.forget();
        client(&stub).ensure(&bare(&"é".repeat(300)), None).await.unwrap();
        assert_eq!(writes(&stub), Vec::<String>::new(), "the shortened title is the right one");
    });
}

#[test]
fn a_reviewer_who_is_none_fails_nobody_else() {
    checked(async |stub| {
        let github = client(&stub);
        let mut spec = spec("web to 1.2");
        spec.reviewers = vec!["ann".to_owned(), "ghost".to_owned(), "acme/sre".to_owned(), "ben".to_owned()];
        let (pull, warnings) = github.ensure(&spec, None).await.unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains("ghost"), "{warnings:?}");
        assert_eq!(
            (stub.pull(1).reviewers, stub.pull(1).teams),
            (vec!["ann".to_owned(), "ben".to_owned()], vec!["sre".to_owned()])
        );
        stub.forget();
        let (_, warnings) = github.ensure(&spec, Some(&pull)).await.unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains("ghost"), "{warnings:?}");
        assert_eq!(count(&stub, "POST pulls/1/requested_reviewers"), 1, "who is missing is asked for until it sticks");
    });
}

#[test]
fn a_draft_is_opened_as_one_where_there_are_drafts() {
    checked(async |stub| {
        let spec = PullRequestSpec { draft: true, ..bare("web to 1.2") };
        let (pull, warnings) = client(&stub).ensure(&spec, None).await.unwrap();
        assert!(pull.draft && warnings.is_empty());
        stub.close(1);
        stub.drafts(false);
        let (pull, warnings) = client(&stub).ensure(&spec, None).await.unwrap();
        assert!(!pull.draft && warnings.len() == 1, "{warnings:?}");
        assert_eq!(stub.pulls().len(), 2);
    });
}

/// Every way in which the answer to a creation can be lost; each ends with one pull request, created by one request.
#[test]
fn a_lost_answer_does_not_make_a_second_one() {
    for (what, fault) in [
        ("502", Fault::on("POST", "/pulls").done_but(502)),
        ("504", Fault::on("POST", "/pulls").done_but(504)),
        ("a false 409", Fault::on("POST", "/pulls").done_but(409)),
        ("no JSON", Fault::on("POST", "/pulls").done_but(201)),
        ("cut off", Fault::on("POST", "/pulls").cut()),
        ("too slow", Fault::on("POST", "/pulls").slow(Duration::from_secs(600))),
    ] {
        direct(async |stub| {
            stub.fault(fault.clone());
            let timeout = Duration::from_secs(if what == "too slow" { 2 } else { 30 });
            let github = GitHub::new(GitHubSettings { timeout, ..settings(&stub) }).unwrap();
            let (pull, _) =
                github.ensure(&bare("web to 1.2"), None).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((pull.number, stub.pulls().len(), count(&stub, "POST pulls")), (1, 1, 1), "{what}");
        });
    }
}

#[test]
fn a_creation_that_did_not_happen_is_tried_again() {
    direct(async |stub| {
        stub.fault(Fault::on("POST", "/pulls").times(2).message(502, "Server Error"));
        let (pull, _) = client(&stub).ensure(&bare("web to 1.2"), None).await.unwrap();
        assert_eq!((pull.number, stub.pulls().len(), count(&stub, "POST pulls")), (1, 1, 3));
        let looks: Vec<_> = stub.asked().chunks(2).map(|pair| pair[0].clone()).collect();
        assert_eq!(looks, ["GET pulls", "GET pulls", "GET pulls"], "it looks before every creation");
    });
    direct(async |stub| {
        stub.fault(Fault::on("POST", "/pulls").times(99).message(503, "Unavailable"));
        let error = client(&stub).ensure(&bare("web to 1.2"), None).await.unwrap_err();
        assert_eq!((error.code(), stub.pulls().len()), (FailureCode::Server, 0));
        assert!(count(&stub, "POST pulls") <= 4);
    });
}

#[test]
fn two_callers_at_once_make_one() {
    checked(async |stub| {
        let (one, spec) = (client(&stub), bare("web to 1.2"));
        let (a, b) = tokio::join!(one.ensure(&spec, None), one.ensure(&spec, None));
        assert_eq!((a.unwrap().0.number, b.unwrap().0.number, count(&stub, "POST pulls")), (1, 1, 1));
    });
    // Two processes: both look before either creates.
    direct(async |stub| {
        let (one, two, spec) = (client(&stub), client(&stub), bare("web to 1.2"));
        stub.fault(Fault::on("GET", "/pulls").times(2).answer(200, &[], "[]"));
        let (a, b) = tokio::join!(one.ensure(&spec, None), two.ensure(&spec, None));
        assert_eq!((a.unwrap().0.number, b.unwrap().0.number), (1, 1));
        assert_eq!((stub.pulls().len(), count(&stub, "POST pulls")), (1, 2));
    });
}

#[test]
fn an_existing_one_is_adopted_though_lists_lag() {
    direct(async |stub| {
        stub.open("landfall/prod", "main", None);
        stub.fault(Fault::on("GET", "/pulls").times(2).answer(200, &[], "[]"));
        let (pull, _) = client(&stub).ensure(&bare("web to 1.2"), None).await.unwrap();
        assert_eq!((pull.number, pull.title.as_str(), stub.pulls().len()), (1, "web to 1.2", 1));
    });
    direct(async |stub| {
        stub.open("landfall/prod", "main", None);
        stub.fault(Fault::on("GET", "/pulls").times(99).answer(200, &[], "[]"));
        let error = client(&stub).ensure(&bare("web to 1.2"), None).await.unwrap_err();
        assert!(text(&error).contains("already exists"), "{error}");
    });
}

#[test]
fn a_head_that_is_gone_is_said_so() {
    checked(async |stub| {
        stub.heads(|branch| (branch == "main").then(|| "a".repeat(40)));
        let error = client(&stub).ensure(&bare("web to 1.2"), None).await.unwrap_err();
        assert!(text(&error).contains("Validation Failed; head invalid"), "{error}");
        assert_eq!(stub.pulls().len(), 0);
    });
}

/// So many closed pull requests of the bot; those up to `old` have not changed for more than half a year at [`now`], and the last
/// one is the last that did.
fn closed(stub: &ForgeStub, count: u64, old: u64) {
    for number in 1..=count {
        assert_eq!(stub.open(&format!("landfall/{number}"), "main", None), number);
        stub.edit(number, |pull| {
            pull.state = "closed";
            pull.updated = match number {
                _ if number == count => "2026-06-30T12:00:00Z",
                _ if number <= old => "2026-01-01T00:00:00Z",
                _ => "2026-06-30T00:00:00Z",
            };
        });
    }
}

fn now() -> jiff::Timestamp {
    "2026-07-01T00:00:00Z".parse().unwrap()
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn closed_ones_are_read_back_for_half_a_year() {
    direct(async |stub| {
        closed(&stub, 350, 160);
        let found = client(&stub).closed_pulls("landfall/", now(), LONG).await.unwrap();
        assert_eq!((found.len(), count(&stub, "GET pulls")), (200, 2), "the second page has an old one");
    });
}

#[test]
fn closed_ones_are_read_back_for_thirty_pages() {
    direct(async |stub| {
        closed(&stub, 3_050, 0);
        let github = client(&stub);
        let found = github.closed_pulls("landfall/", now(), LONG).await.unwrap();
        assert_eq!((found.len(), count(&stub, "GET pulls")), (3_000, 30));
    });
}

#[test]
fn a_list_of_closed_ones_that_does_not_come_in_time_is_unknown_and_goes_on() {
    direct(async |stub| {
        closed(&stub, 350, 0);
        stub.fault(Fault::on("GET", "&page=3").slow(LONG));
        let github = client(&stub);
        let error = github.closed_pulls("landfall/", now(), Duration::from_secs(3)).await.unwrap_err();
        assert!(text(&error).contains("2 of at most 30 pages arrived within 3 s"), "{error}");
        stub.forget();
        assert_eq!(github.open_pulls("landfall/").await.unwrap(), [], "another question is answered");
        assert_eq!(github.closed_pulls("landfall/", now(), LONG).await.unwrap().len(), 350);
        let asked: Vec<String> = stub.requests().into_iter().map(|asked| asked.target).collect();
        let pages = [1, 3, 4].map(|page| asked.iter().filter(|it| it.contains(&format!("&page={page}&"))).count());
        assert_eq!((pages, asked.len()), ([1; 3], 4), "what was read is not read again: {asked:?}");
    });
}

#[test]
fn a_closed_one_stays_closed_and_is_seen() {
    checked(async |stub| {
        let github = client(&stub);
        let (head, base) = (branch("landfall/prod"), branch("main"));
        let (open, _) = github.ensure(&bare("web to 1.2"), None).await.unwrap();
        stub.close(1);

        // The caller's picture is a moment old: the person's decision wins.
        let (decided, _) = github.ensure(&bare("web to 1.3"), Some(&open)).await.unwrap();
        assert_eq!(
            (decided.state, stub.pulls().len(), stub.pull(1).title.as_str()),
            (PullState::Closed, 1, "web to 1.2")
        );
        let restarted = client(&stub).ensure(&bare("web to 1.3"), Some(&open)).await.unwrap().0;
        assert_eq!((restarted.state, stub.pulls().len()), (PullState::Closed, 1));

        let closed = github.pulls_of(&head, &base).await.unwrap();
        assert_eq!(closed.len(), 1);
        assert_eq!((closed[0].state, closed[0].closed_at.is_some()), (PullState::Closed, true));
        assert_eq!(github.open_pulls("landfall/").await.unwrap(), []);

        // Nobody believes it open any more, and another version is asked for.
        let (second, _) = github.ensure(&bare("web to 1.4"), None).await.unwrap();
        assert_eq!(second.number, 2);
        stub.merge(2);
        let states: Vec<_> = github.pulls_of(&head, &base).await.unwrap().iter().map(|p| (p.number, p.state)).collect();
        assert_eq!(states, [(2, PullState::Merged), (1, PullState::Closed)]);
        assert_eq!(github.pulls_of(&head, &branch("release")).await.unwrap(), []);
    });
}

#[test]
fn lists_are_read_to_the_end() {
    checked(async |stub| {
        for number in 0..250 {
            stub.open(&format!("landfall/app-{number}"), "main", None);
        }
        stub.open("feature", "main", None);
        stub.open("landfall", "main", None);
        let found = client(&stub).open_pulls("landfall/").await.unwrap();
        assert_eq!(found.len(), 250);
        assert!(found.windows(2).all(|pair| pair[0].number < pair[1].number));
        assert_eq!(stub.requests().len(), 3);
        assert!(stub.requests().iter().all(|request| request.target.contains("per_page=100")));
    });
}

#[test]
fn a_list_with_a_hole_is_no_list() {
    for (what, fault) in [
        ("a page fails", Fault::on("GET", "page=2").times(9).message(500, "Server Error")),
        ("a page is cut", Fault::on("GET", "page=2").times(9).cut()),
        ("a page is no list", Fault::on("GET", "page=2").answer(200, &[], r#"{"message":"hello"}"#)),
        ("a page is no JSON", Fault::on("GET", "page=2").answer(200, &[], "<html>")),
        (
            "a circle",
            Fault::on("GET", "page=2").times(999).answer(
                200,
                &[("link", "</repos/acme/deploys/pulls?page=2>; rel=\"next\"")],
                "[]",
            ),
        ),
        ("a broken Link", Fault::on("GET", "page=2").answer(200, &[("link", "next=3")], "[]")),
        (
            "a Link to elsewhere",
            Fault::on("GET", "page=2").answer(
                200,
                &[("link", "<https://evil.example.com/repos?page=3>; rel=\"next\"")],
                "[]",
            ),
        ),
        (
            "a Link out of the API",
            Fault::on("GET", "page=2").answer(200, &[("link", "</login?page=3>; rel=\"next\"")], "[]"),
        ),
    ] {
        direct(async |stub| {
            for number in 0..150 {
                stub.open(&format!("landfall/app-{number}"), "main", None);
            }
            stub.fault(fault.clone());
            let error = client(&stub).open_pulls("landfall/").await.expect_err(what);
            text(&error);
            assert!(stub.requests().len() < 10, "{what}");
        });
    }
}

#[test]
fn an_endless_list_ends() {
    direct(async |stub| {
        for page in 2..200 {
            let link = format!("</repositories/1/pulls?page={}>; rel=\"next\"", page + 1);
            let target = if page == 2 { "&page=2".to_owned() } else { format!("?page={page}") };
            let target: &'static str = Box::leak(target.into_boxed_str());
            stub.fault(Fault::on("GET", target).answer(200, &[("link", &link)], "[]"));
        }
        for number in 0..101 {
            stub.open(&format!("landfall/app-{number}"), "main", None);
        }
        let error = client(&stub).open_pulls("landfall/").await.unwrap_err();
        assert!(text(&error).contains("more than 100 pages"), "{error}");
    });
}

#[test]
fn no_request_leaves_the_host() {
    direct(async |stub| {
        let foreign = ForgeStub::start();
        let elsewhere = foreign.url().replace("127.0.0.1", "localhost");
        let link = format!("<{elsewhere}/repos/acme/deploys/pulls?page=2>; rel=\"next\"");
        stub.fault(Fault::on("GET", "/pulls").answer(200, &[("link", &link)], "[]"));
        let error = client(&stub).open_pulls("").await.unwrap_err();
        assert!(text(&error).contains("another host"), "{error}");
        for status in [301, 302, 307, 308] {
            let location = format!("{elsewhere}/repos/acme/gitops/pulls");
            stub.fault(Fault::on("", "/pulls").answer(status, &[("location", &location)], "{}"));
            let error = client(&stub).open_pulls("").await.unwrap_err();
            let text = text(&error);
            assert!(text.contains("has moved to") && text.contains("/repos/acme/gitops"), "{text}");
        }
        assert_eq!(foreign.requests().len(), 0);
    });
}

#[test]
fn an_enterprise_server_is_asked_below_its_path() {
    run(async {
        let stub = ForgeStub::start_at("/api/v3");
        for number in 0..120 {
            stub.open(&format!("landfall/app-{number}"), "main", None);
        }
        let github = GitHub::new(GitHubSettings { api_url: format!("{}/", stub.url()), ..settings(&stub) }).unwrap();
        github.check().await.unwrap();
        assert_eq!(github.open_pulls("landfall/").await.unwrap().len(), 120);
        let (pull, _) = github.ensure(&spec("web to 1.2"), None).await.unwrap();
        github.close(pull.number, None, Some("superseded")).await.unwrap();
        for request in stub.requests() {
            assert!(request.target.starts_with("/api/v3/rep"), "{}", request.target);
            let one = |name: &str| {
                let values: Vec<_> =
                    request.headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect();
                assert_eq!(values.len(), 1, "{name}: {values:?}");
                values[0].clone()
            };
            assert_eq!(one("authorization"), format!("Bearer {TOKEN}"));
            assert_eq!(one("user-agent"), landfall::http::USER_AGENT);
            assert_eq!(one("accept"), "application/vnd.github+json");
            one("x-github-api-version");
        }
    });
}

#[test]
fn pull_requests_from_forks_are_not_ours() {
    checked(async |stub| {
        stub.open("landfall/prod", "main", Some(("mallory", Some(9))));
        // A fork below the same owner passes GitHub's own filter.
        stub.open("landfall/prod", "main", Some((&stub.owner(), Some(10))));
        let github = client(&stub);
        assert_eq!(github.open_pulls("landfall/").await.unwrap(), []);
        assert_eq!(github.pulls_of(&branch("landfall/prod"), &branch("main")).await.unwrap(), []);
        let (pull, _) = github.ensure(&bare("web to 1.2"), None).await.unwrap();
        assert_eq!(pull.number, 3);
        assert!(stub.pulls()[..2].iter().all(|pull| pull.title == "by a person"));
        assert_eq!(github.open_pulls("landfall/").await.unwrap(), [pull]);
    });
    // A fork that was deleted: `repo` is null then, which GitHub's description leaves out.
    direct(async |stub| {
        stub.open("landfall/prod", "main", Some(("acme", None)));
        let github = client(&stub);
        assert_eq!(github.open_pulls("landfall/").await.unwrap(), []);
        assert_eq!(github.ensure(&bare("web to 1.2"), None).await.unwrap().0.number, 2);
    });
}

#[test]
fn a_renamed_repository_is_followed() {
    direct(async |stub| {
        let github = client(&stub);
        let (first, _) = github.ensure(&spec("web to 1.2"), None).await.unwrap();
        stub.rename("umbrella", "gitops");
        let (same, _) = github.ensure(&spec("web to 1.3"), Some(&first)).await.unwrap();
        assert_eq!((same.number, stub.pulls().len(), stub.pull(1).title.as_str()), (1, 1, "web to 1.3"));
        let fresh = GitHub::new(GitHubSettings { owner: "acme".to_owned(), ..settings(&stub) }).unwrap();
        fresh.check().await.unwrap();
        fresh.close(1, None, Some("bye")).await.unwrap();
        assert_eq!((stub.pull(1).state, stub.comments().len()), ("closed", 1));
    });
    // Round and round, and to nowhere.
    for location in ["/repos/acme/deploys/pulls", "/repositories/1/pulls", "/elsewhere", "http://[", ""] {
        direct(async |stub| {
            stub.fault(Fault::on("", "/rep").times(99).answer(301, &[("location", location)], "{}"));
            let error = client(&stub).open_pulls("").await.unwrap_err();
            text(&error);
            assert!(stub.requests().len() <= 5, "{location}");
        });
    }
}

#[test]
fn closing_says_why_once() {
    checked(async |stub| {
        let github = client(&stub);
        github.ensure(&bare("web to 1.2"), None).await.unwrap();
        github.close(1, None, Some("Superseded by #2.")).await.unwrap();
        github.close(1, None, Some("Superseded by #2.")).await.unwrap();
        assert_eq!((stub.pull(1).state, stub.comments()), ("closed", vec![(1, "Superseded by #2.".to_owned())]));
        let error = github.close(77, None, None).await.unwrap_err();
        assert!(text(&error).contains("not found or no permission"), "{error}");
    });
    direct(async |stub| {
        let github = client(&stub);
        github.ensure(&bare("web to 1.2"), None).await.unwrap();
        stub.fault(Fault::on("PATCH", "/pulls/1").done_but(502));
        stub.fault(Fault::on("POST", "/comments").done_but(502));
        // Both were done, and their answers lost: that is looked up, and nothing is said twice.
        github.close(1, None, Some("bye")).await.unwrap();
        github.close(1, None, Some("bye")).await.unwrap();
        assert_eq!((stub.pull(1).state, stub.comments().len()), ("closed", 1));
    });
}

#[test]
fn check_tells_what_is_missing() {
    checked(async |stub| {
        client(&stub).check().await.unwrap();
        stub.rights(false, false);
        assert!(text(&client(&stub).check().await.unwrap_err()).contains("may not push"));
        stub.rights(true, true);
        assert!(text(&client(&stub).check().await.unwrap_err()).contains("archived"));
    });
    direct(async |stub| {
        let elsewhere = GitHubSettings { repository: "other".to_owned(), ..settings(&stub) };
        let error = GitHub::new(elsewhere).unwrap().check().await.unwrap_err();
        assert!(text(&error).contains("GitHub acme/other: GET the repository: answered 404 (Not Found)"), "{error}");
        stub.fault(Fault::on("GET", "/pulls").message(404, "Not Found"));
        let error = client(&stub).check().await.unwrap_err();
        assert_eq!(error.code(), FailureCode::Authentication);
        assert!(text(&error).contains("the token needs Contents and Pull requests write"), "{error}");
        stub.token("ghp_other");
        assert_eq!(client(&stub).check().await.unwrap_err().code(), FailureCode::Authentication);
    });
}

#[test]
fn every_failure_has_its_code_its_place_and_a_next_step() {
    let leak = format!("Bearer {TOKEN}\u{1b}[31m\r\nfaked: line");
    for (status, headers, message, code, expected, tries) in [
        (401, &[][..], "Bad credentials", FailureCode::Authentication, "token refused or expired; next: ", 1),
        (
            403,
            &[],
            "Resource not accessible by personal access token",
            FailureCode::Authentication,
            "next: give the token",
            1,
        ),
        (404, &[], "Not Found", FailureCode::Authentication, "not found or no permission", 1),
        (403, &[], "You have exceeded a secondary rate limit", FailureCode::RateLimited, "retried in 60 s", 1),
        (
            403,
            &[("x-ratelimit-remaining", "0"), ("retry-after", "90")],
            "API rate limit exceeded",
            FailureCode::RateLimited,
            "in 90 s",
            1,
        ),
        (429, &[("retry-after", "7")], "Too many", FailureCode::RateLimited, "in 7 s", 1),
        (409, &[], "Conflict", FailureCode::Protocol, "answered 409: Conflict", 3),
        (410, &[], "Gone", FailureCode::Protocol, "answered 410: Gone", 1),
        (500, &[], "oops", FailureCode::Server, "answered 500 (oops)", 3),
        (503, &[], "Unavailable", FailureCode::Server, "answered 503", 3),
        (401, &[], &leak, FailureCode::Authentication, "Bearer *** [31m faked: line", 1),
        (500, &[], &leak, FailureCode::Server, "Bearer ***", 3),
    ] {
        direct(async |stub| {
            let body = serde_json::json!({ "message": message }).to_string();
            stub.fault(Fault::on("", "/").times(99).answer(status, headers, &body));
            let error = client(&stub).open_pulls("landfall/").await.unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            let text = text(&error);
            assert!(text.starts_with("GitHub acme/deploys: GET pulls: ") && text.contains(expected), "{text}");
            assert_eq!(stub.requests().len(), tries, "{text}");
            assert_eq!(error.retry_after().is_some(), code == FailureCode::RateLimited);
        });
    }
}

#[test]
fn after_a_limit_nothing_is_sent_until_it_is_over() {
    direct(async |stub| {
        stub.fault(Fault::on("GET", "/pulls").message(403, "You have exceeded a secondary rate limit"));
        let github = client(&stub);
        github.open_pulls("landfall/").await.unwrap_err();
        let error = github.ensure(&bare("web to 1.2"), None).await.unwrap_err();
        assert_eq!((error.code(), stub.requests().len()), (FailureCode::RateLimited, 1));
        assert!(error.retry_after().unwrap() > Duration::from_secs(50));
    });
    direct(async |stub| {
        stub.fault(Fault::on("GET", "/pulls").answer(429, &[("retry-after", "0")], "{}"));
        let github = client(&stub);
        github.open_pulls("landfall/").await.unwrap_err();
        github.open_pulls("landfall/").await.unwrap();
    });
}

#[test]
fn a_passing_fault_of_a_read_is_ridden_out() {
    direct(async |stub| {
        stub.open("landfall/prod", "main", None);
        stub.fault(Fault::on("GET", "/pulls").message(502, "Server Error"));
        stub.fault(Fault::on("GET", "/pulls").cut());
        assert_eq!(client(&stub).open_pulls("landfall/").await.unwrap().len(), 1);
        assert_eq!(stub.requests().len(), 3);
    });
}

#[test]
fn no_answer_is_an_error_in_time() {
    direct(async |stub| {
        stub.fault(Fault::on("", "/").times(99).slow(Duration::from_secs(60)));
        let timeout = Duration::from_millis(100);
        let github = GitHub::new(GitHubSettings { timeout, ..settings(&stub) }).unwrap();
        let error = github.open_pulls("landfall/").await.unwrap_err();
        assert_eq!(error.code(), FailureCode::Network);
        assert!(text(&error).contains("no complete answer"), "{error}");
    });
    run(async {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let stub = ForgeStub::start();
        let github = GitHub::new(GitHubSettings { api_url: format!("http://{free}"), ..settings(&stub) }).unwrap();
        let error = github.open_pulls("landfall/").await.unwrap_err();
        assert_eq!(error.code(), FailureCode::Network);
        assert!(text(&error).to_lowercase().contains("refused"), "{error}");
    });
}

#[test]
fn an_answer_without_end_is_refused() {
    direct(async |stub| {
        stub.fault(Fault::on("GET", "/pulls").answer(200, &[], &" ".repeat(33 << 20)));
        let error = client(&stub).open_pulls("landfall/").await.unwrap_err();
        assert_eq!(error.code(), FailureCode::Protocol);
        assert!(text(&error).contains("longer than 32 MiB"), "{error}");
    });
}

#[test]
fn hostile_words_pass_through_or_are_refused() {
    let words = "\u{1b}]0;x\u{7} @everyone <script> \u{202e} | [x](javascript:1) ${{ secrets.X }} \0 \u{feff}";
    checked(async |stub| {
        let number = stub.open("landfall/prod", "main", None);
        stub.edit(number, |pull| {
            words.clone_into(&mut pull.title);
            pull.body = None;
            pull.labels = vec![words.to_owned()];
        });
        let found = client(&stub).open_pulls("landfall/").await.unwrap();
        assert_eq!((found[0].title.as_str(), found[0].body.as_str()), (words, ""));
        let (pull, _) = client(&stub).ensure(&bare("web to 1.2"), None).await.unwrap();
        assert_eq!((pull.number, pull.title.as_str()), (1, "web to 1.2"));
    });
    for (from, to, expected) in [
        ("https://github.example.com/acme/deploys/pull/1\"", "javascript:alert(1)\"", "is not a web address"),
        ("https://github.example.com/acme/deploys/pull/1\"", "https://x/\\u001b[2J\"", "is not a web address"),
        ("\"open\"", "\"ajar\\u001b[2J\"", "has the state `ajar [2J`"),
        ("\"number\":1", "\"number\":-1", "invalid value"),
    ] {
        direct(async |stub| {
            stub.open("landfall/prod", "main", None);
            let good = good_list(&stub).await;
            assert!(good.contains(from), "{from} is not in {good}");
            stub.fault(Fault::on("GET", "/pulls").answer(200, &[], &good.replace(from, to)));
            let error = client(&stub).open_pulls("landfall/").await.unwrap_err();
            assert_eq!(error.code(), FailureCode::Protocol);
            assert!(text(&error).contains(expected), "{error}");
        });
    }
}

/// What the stub lists, as text.
async fn good_list(stub: &ForgeStub) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = stub.url().replace("http://", "");
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "GET /repos/acme/deploys/pulls HTTP/1.1\r\nHost: {address}\r\nUser-Agent: x\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn settings_that_cannot_work_are_refused_without_repeating_them() {
    let stub = ForgeStub::start();
    let good = || settings(&stub);
    for (what, settings, expected) in [
        ("owner", GitHubSettings { owner: "a/../b".to_owned(), ..good() }, "the owner is not a GitHub name"),
        ("dots", GitHubSettings { repository: "..".to_owned(), ..good() }, "the repository is not a GitHub name"),
        ("empty", GitHubSettings { repository: String::new(), ..good() }, "the repository is not a GitHub name"),
        ("url", GitHubSettings { api_url: "api.github.com".to_owned(), ..good() }, "the forge's address is not a URL"),
        (
            "user",
            GitHubSettings { api_url: format!("https://u:{TOKEN}@x"), ..good() },
            "the forge's address has a user",
        ),
        ("no token", GitHubSettings { token: "\n".into(), ..good() }, "the token is empty"),
        ("two lines", GitHubSettings { token: format!("{TOKEN}\nx: y").into(), ..good() }, "the token is empty or has"),
        ("ca", GitHubSettings { ca_pem: Some(b"nothing".to_vec()), ..good() }, "the CA file holds no certificate"),
    ] {
        let error = GitHub::new(settings).expect_err(what);
        assert!(text(&error).contains(expected), "{error}");
    }
    let token = format!("{TOKEN}\r\n").into();
    run(async { GitHub::new(GitHubSettings { token, ..good() }).unwrap().check().await.unwrap() });
}

/// `openssl` serves one closed pull request as a file, with a certificate of a private authority.
#[test]
#[expect(clippy::disallowed_methods, reason = "tests start processes and read the environment")]
fn a_private_authority_is_trusted_when_configured() {
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(&folder).stdin(Stdio::null()).stderr(Stdio::null());
        command
    };
    if !openssl(&["version"]).stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return skip("openssl is not installed (tests/install): TLS to a forge is not checked");
    }
    std::fs::write(folder.path().join("san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj"];
    for step in [
        [&["req", "-x509", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem"][..], &new_key, &["/CN=ca"]].concat(),
        [&["req", "-keyout", "key", "-out", "csr"][..], &new_key, &["/CN=127.0.0.1"]].concat(),
        "x509 -req -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out pem".split(' ').collect(),
    ] {
        assert!(openssl(&step).status().unwrap().success(), "openssl {step:?}");
    }
    let pull = serde_json::json!({
        "number": 1, "html_url": "https://github.example.com/acme/deploys/pull/1", "state": "closed", "title": "t",
        "head": { "ref": "landfall/prod", "sha": "a".repeat(40) }, "base": { "ref": "main", "sha": "b".repeat(40) },
    });
    std::fs::create_dir_all(folder.path().join("repos/acme/deploys/pulls")).unwrap();
    let answer = format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{pull}");
    std::fs::write(folder.path().join("repos/acme/deploys/pulls/1"), answer).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let accept = format!("127.0.0.1:{port}");
    let mut server = openssl(&["s_server", "-HTTP", "-accept", &accept, "-cert", "pem", "-key", "key"]);
    let mut server = server.stdout(Stdio::null()).spawn().unwrap();
    let ask = |ca_pem: Option<Vec<u8>>| {
        let settings = GitHubSettings { api_url: format!("https://{accept}"), ca_pem, ..settings(&ForgeStub::start()) };
        run(async { GitHub::new(settings).unwrap().close(1, None, None).await })
    };
    // The first requests may come before the server listens; the client asks three times within 1.5 s.
    let trusted = ask(Some(std::fs::read(folder.path().join("ca.pem")).unwrap()));
    let unknown = ask(None);
    server.kill().unwrap();
    server.wait().unwrap();
    trusted.unwrap();
    let error = unknown.unwrap_err();
    assert_eq!(error.code(), FailureCode::Network);
    assert!(text(&error).contains("certificate"), "{error}");
}

#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_log_holds_the_token() {
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // Other tests decide at the same time, for the whole process, which lines are of interest: it is done until those of the transport are.
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..20 {
            tracing::callsite::rebuild_interest_cache();
            direct(async |stub| {
                let github = client(&stub);
                github.ensure(&spec("web to 1.2"), None).await.unwrap();
                stub.fault(Fault::on("GET", "/pulls").message(500, TOKEN));
                github.open_pulls("landfall/").await.unwrap();
                tracing::info!(?github, settings = ?settings(&stub), "clients and settings may be printed");
            });
            if sink.text().contains("TRACE") {
                break;
            }
        }
    });
    let log = sink.text();
    // Of the client's own lines some may be missing: other tests decide at the same time, for the whole process, whether a
    // line is of interest. Those of the transport, which would hold the header, are there.
    assert!(log.contains("TRACE") && log.contains("clients and settings"), "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn what_is_listed_is_what_was_ensured() {
    checked(async |stub| {
        let github = client(&stub);
        let mut made: Vec<PullRequest> = Vec::new();
        for app in ["api", "web", "worker"] {
            let spec = PullRequestSpec { head: branch(&format!("landfall/{app}")), ..spec(app) };
            made.push(github.ensure(&spec, None).await.unwrap().0);
        }
        assert_eq!(github.open_pulls("landfall/").await.unwrap(), made);
        assert_eq!(github.open_pulls("landfall/w").await.unwrap(), made[1..]);
    });
}
