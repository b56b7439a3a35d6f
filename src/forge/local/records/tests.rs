//! Records in, records out.

use proptest::prelude::*;

use super::*;

fn spec(head: &str, title: &str) -> PullRequestSpec {
    PullRequestSpec {
        title: title.to_owned(),
        body: format!("{title}\n\n<!-- landfall -->\n"),
        head: BranchName::parse(head).unwrap(),
        base: BranchName::parse("main").unwrap(),
        labels: vec!["release".to_owned()],
        reviewers: vec!["acme/sre".to_owned()],
        draft: false,
    }
}

fn commit(digit: char) -> CommitId {
    CommitId::parse(&digit.to_string().repeat(40)).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn file(name: &str, text: &str) -> (String, Vec<u8>) {
    (name.to_owned(), text.as_bytes().to_vec())
}

fn again(pulls: &LocalPulls) -> LocalPulls {
    LocalPulls::parse(&pulls.to_files()).unwrap().named("deploys")
}

const MINIMAL: &str = r#"{"number":3,"state":"open","title":"t","head":"landfall/prod","base":"main","createdAt":"2026-01-05T08:00:00Z"}"#;

#[test]
fn one_branch_has_one_open_pull_request() {
    let mut pulls = LocalPulls::default().named("deploys");
    let first = pulls.ensure(&spec("landfall/prod", "web to 1.2"), &commit('a'), at(0));
    assert_eq!((first.number, first.url.as_str(), first.state), (1, "local:deploys#1", PullState::Open));
    let files = pulls.to_files();

    let mut pulls = again(&pulls);
    assert_eq!(pulls.ensure(&spec("landfall/prod", "web to 1.2"), &commit('a'), at(99)), first);
    assert_eq!(pulls.to_files(), files, "the same again changes no byte");

    let newer = pulls.ensure(&spec("landfall/prod", "web to 1.3"), &commit('b'), at(100));
    assert_eq!((newer.number, newer.title.as_str(), newer.head_commit), (1, "web to 1.3", Some(commit('b'))));
    assert_eq!(pulls.ensure(&spec("landfall/staging", "x"), &commit('c'), at(101)).number, 2);
    assert_eq!(pulls.open_pulls("landfall/p").len(), 1);
    assert_eq!(pulls.open_pulls("landfall/").len(), 2);
    assert_eq!(again(&pulls), pulls);
}

#[test]
fn labels_and_reviewers_are_added_to_what_people_put_there() {
    let mut pulls =
        LocalPulls::parse(&[file("3.json", &MINIMAL.replace('}', r#","labels":["mine"],"reviewers":["ann"]}"#))])
            .unwrap();
    let pull = pulls.ensure(&spec("landfall/prod", "t2"), &commit('a'), at(0));
    assert_eq!((pull.number, pull.labels), (3, vec!["mine".to_owned(), "release".to_owned()]));
    let text = String::from_utf8(pulls.to_files().remove(0).1).unwrap();
    assert!(text.contains("ann") && text.contains("acme/sre"), "{text}");
}

#[test]
fn an_ended_one_stays_ended_and_the_next_has_a_new_number() {
    let mut pulls = LocalPulls::default();
    let spec = spec("landfall/prod", "t");
    pulls.ensure(&spec, &commit('a'), at(0));
    let closed = pulls.close(1, None, at(5)).unwrap();
    assert_eq!((closed.state, closed.closed_at), (PullState::Closed, Some(at(5))));
    assert_eq!(pulls.close(1, None, at(6)), Err(LocalError::NotOpen(1)));
    assert_eq!(pulls.merged(1, &commit('b'), at(6)), Err(LocalError::NotOpen(1)));
    assert_eq!(pulls.close(9, None, at(6)), Err(LocalError::Missing(9)));

    assert_eq!(pulls.ensure(&spec, &commit('a'), at(7)).number, 2);
    let merged = pulls.merged(2, &commit('b'), at(8)).unwrap();
    assert_eq!((merged.state, merged.closed_at), (PullState::Merged, Some(at(8))));
    let history: Vec<_> = again(&pulls).pulls_of(&spec.head, &spec.base).iter().map(|p| (p.number, p.state)).collect();
    assert_eq!(history, [(2, PullState::Merged), (1, PullState::Closed)]);
    assert_eq!((pulls.all().len(), pulls.get(2).unwrap().state, pulls.get(3)), (2, PullState::Merged, None));
}

#[test]
fn what_is_not_understood_is_kept() {
    let text = MINIMAL.replace('}', r#","reactions":{"+1":2}}"#);
    let mut pulls =
        LocalPulls::parse(&[file("3.json", &text), file("README.md", "# x"), file("03.json", "?")]).unwrap();
    pulls.ensure(&spec("landfall/prod", "new"), &commit('a'), at(0));
    let files: BTreeMap<_, _> = pulls.to_files().into_iter().collect();
    assert_eq!(files["README.md"], b"# x");
    assert_eq!(files["03.json"], b"?");
    assert!(String::from_utf8_lossy(&files["3.json"]).contains(r#""+1": 2"#));
}

#[test]
fn a_record_that_cannot_be_read_is_named_and_stops_everything() {
    for (name, text, reason) in [
        ("1.json", "", "EOF"),
        ("2.json", "{", "EOF"),
        ("4.json", MINIMAL, "it says that it is number 3"),
        ("3.json", &MINIMAL.replace("open", "paused"), "paused"),
        ("3.json", &MINIMAL.replace("landfall/prod", "-f"), "is not a branch name"),
        ("3.json", &MINIMAL.replace("main", "a..b"), "is not a branch name"),
        ("3.json", &MINIMAL.replace("2026-01-05", "yesterday"), "at line 1"),
        ("3.json", &format!("{{\"x\":{}", "[".repeat(100_000)), "recursion"),
        ("3.json", &" ".repeat(RECORD_LIMIT + 1), "larger than 1 MB"),
    ] {
        let error = LocalPulls::parse(&[file("7.json", &MINIMAL.replace(":3", ":7")), file(name, text)]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(name) && message.contains(reason) && !message.contains("7.json"), "{message}");
    }
    let many: Vec<_> = (1..=9).map(|n| file(&format!("{n}.json"), "x")).collect();
    assert!(LocalPulls::parse(&many).unwrap_err().to_string().contains("and 4 more"));
}

#[test]
fn a_full_number_space_does_not_overflow() {
    let text = MINIMAL.replace(":3", &format!(":{}", u64::MAX));
    let mut pulls = LocalPulls::parse(&[file(&format!("{}.json", u64::MAX), &text)]).unwrap();
    assert_eq!(pulls.ensure(&spec("landfall/other", "t"), &commit('a'), at(0)).number, 1);
    assert_eq!(pulls.all().len(), 2);
}

proptest! {
    #[test]
    fn any_text_survives_the_way_through_a_file(title in any::<String>(), body in any::<String>(), label in any::<String>()) {
        let mut pulls = LocalPulls::default().named("deploys");
        let spec = PullRequestSpec { title, body, labels: vec![label], ..spec("landfall/prod", "t") };
        let pull = pulls.ensure(&spec, &commit('a'), at(0));
        prop_assert_eq!(&pull.title, &spec.title);
        prop_assert_eq!(again(&pulls).all(), vec![pull]);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(LocalPulls::parse(&[("1.json".to_owned(), bytes)]));
    }
}

#[test]
fn reviews_that_make_no_sense_approve_of_nothing_and_stay_as_they_are() {
    let with = |reviews: &str| MINIMAL.replace('}', &format!(r#","reviews":{reviews}}}"#));
    for (reviews, unknown) in [
        ("null", 0),
        ("[]", 0),
        (r#"[{"by":"ann","state":"aproved"}]"#, 1),
        (r#"[{"state":"approved"},7,"yes"]"#, 1),
        (r#""approved""#, 1),
        (r#"{"ann":"approved"}"#, 1),
    ] {
        let mut pulls = LocalPulls::parse(&[file("3.json", &with(reviews))]).unwrap();
        let read = pulls.reviews(3).unwrap();
        assert_eq!((read.approvals(&[commit('a')]), read.unknown().len()), (vec![], unknown), "{reviews}");
        pulls.approve(3, "Ben", &commit('a'), at(1)).unwrap();
        let read = again(&pulls).reviews(3).unwrap();
        assert_eq!(read.approvals(&[commit('a')]), ["Ben"], "{reviews}");
        assert_eq!(read.approvals(&[commit('b')]), Vec::<&str>::new(), "only of what was there");
        assert_eq!(read.unknown().len(), unknown, "{reviews}");
    }
    let mut pulls = LocalPulls::parse(&[file("3.json", MINIMAL)]).unwrap();
    assert_eq!(pulls.approve(9, "ann", &commit('a'), at(1)), Err(LocalError::Missing(9)));
    pulls.close(3, Some("over"), at(2)).unwrap();
    assert_eq!(pulls.approve(3, "ann", &commit('a'), at(3)), Err(LocalError::NotOpen(3)));
    assert_eq!(again(&pulls).get(3).unwrap().body, "over");
}
