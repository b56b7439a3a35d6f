//! What the tasks of repositories see of Leases, without an API server.

use super::*;

fn replicas() -> Arc<Replicas> {
    Replicas::new("a".to_owned(), Duration::from_secs(15), [("p", "https://git.example.com/p"), ("q", "x")])
}

fn hold(replicas: &Replicas, repository: &str, until: Instant, term: u32) {
    let mut table = replicas.table();
    let unit = table.units.get_mut(repository).unwrap();
    (unit.until, unit.term, unit.standing) = (Some(until), Some(term), Some(LeaseStanding::Mine));
    drop(table);
    replicas.tell_of_changes();
}

#[test]
fn a_write_is_refused_as_soon_as_the_time_is_over_whoever_was_told() {
    let replicas = replicas();
    let fence = replicas.fence();
    assert!(fence.check("p").is_err() && replicas.begin("p").is_none());
    hold(&replicas, "p", Instant::now() + Duration::from_secs(10), 1);
    assert!(fence.check("p").is_ok() && fence.check("q").is_err());
    // Nobody is told that the time is over.
    replicas.table().units.get_mut("p").unwrap().until = Some(Instant::now());
    let NotHeld(said) = fence.check("p").unwrap_err();
    assert!(said.contains("could not be renewed in time"), "{said}");
    assert_eq!(replicas.holding("p"), Holding::Lapsed);
    hold(&replicas, "p", Instant::now() + Duration::from_secs(10), 1);
    assert!(fence.check("p").is_ok(), "it goes on in the same term");
}

#[test]
fn what_is_being_handed_over_is_not_begun_and_what_runs_is_not_handed_over() {
    let replicas = replicas();
    hold(&replicas, "p", Instant::now() + Duration::from_secs(10), 1);
    let busy = replicas.begin("p").unwrap();
    let lease = repository_lease("p", "https://git.example.com/p");
    assert_eq!(replicas.busy(), [lease].into());
    drop(busy);
    assert!(replicas.busy().is_empty());
    replicas.table().units.get_mut("p").unwrap().leaving = true;
    assert!(replicas.begin("p").is_none() && replicas.fence().check("p").is_err());
}

#[test]
fn what_was_told_is_given_once_and_all_is_well_only_if_everybody_is() {
    let replicas = replicas();
    hold(&replicas, "p", Instant::now() + Duration::from_secs(10), 4);
    replicas.table().units.get_mut("p").unwrap().told = Some("{}".to_owned());
    assert_eq!((replicas.adopt("p", 4), replicas.adopt("p", 4)), (Some("{}".to_owned()), None));
    assert!(!replicas.others_are_good(), "nobody holds q");
    let member = |good| Member { name: "b".to_owned(), good, same: true };
    replicas.table().units.get_mut("q").unwrap().standing = Some(LeaseStanding::Theirs { by: "b".to_owned() });
    for good in [true, false] {
        replicas.table().members = vec![member(good)];
        assert_eq!(replicas.others_are_good(), good);
    }
    assert_eq!(replicas.view().holders["q"], Holder::Other("b".to_owned()));
    assert_eq!(replicas.view().holders["p"], Holder::This { since: None });
}
