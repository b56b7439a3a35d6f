//! Values one by one, right and wrong.

use proptest::prelude::*;

use super::*;

#[test]
fn durations() {
    for (text, seconds) in
        [("30s", 30), ("10m", 600), ("24h", 86_400), ("3d", 259_200), ("1h30m", 5_400), ("1d1s", 86_401), ("0h5s", 5)]
    {
        assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
    }
    for text in [
        "",
        "90",
        "-5m",
        "+5m",
        "1mo",
        "1M",
        "1y",
        "1w",
        "m",
        "5",
        "5 m",
        "1m1h",
        "1h1h",
        "0s",
        "1.5h",
        "1h30",
        "PT5M",
        "99999999999999999999s",
        "99999999999999d",
        "4000d",
        "5ms",
        "٣s",
    ] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn names_fit_branches_and_trailers() {
    for text in ["dev", "a.b_c-1", "1"] {
        assert!(name(text).is_ok(), "{text}");
    }
    for text in ["", "-a", ".a", "a b", "a/b", "a..b", "a.", "a.lock", "ä", "a\nb", &"a".repeat(64)] {
        assert!(name(text).is_err(), "{text}");
    }
}

#[test]
fn hosts_are_those_of_image_names() {
    for (text, host) in [
        ("registry.example.com", "registry.example.com"),
        ("Registry.Example.com:5000", "registry.example.com:5000"),
        ("localhost", "localhost"),
        ("index.docker.io", "docker.io"),
        ("[::1]:5000", "[::1]:5000"),
    ] {
        assert_eq!(registry_host(text).as_deref(), Ok(host), "{text}");
    }
    for text in
        ["", "registry", "registry.example.com/path", "http://a.example.com", "a.example.com:0", "a b.com", "${X}.com"]
    {
        assert!(registry_host(text).is_err(), "{text}");
    }
}

#[test]
fn remotes() {
    let base = Path::new("/etc/landfall");
    for (text, remote) in [
        ("https://git.example.com/a.git", "https://git.example.com/a.git"),
        ("http://localhost:8080/a", "http://localhost:8080/a"),
        ("ssh://git@git.example.com:2222/a.git", "ssh://git@git.example.com:2222/a.git"),
        ("git@git.example.com:acme/a.git", "git@git.example.com:acme/a.git"),
        ("../repo.git", "/etc/landfall/../repo.git"),
        ("/srv/repo.git", "/srv/repo.git"),
        ("file:///srv/repo.git", "/srv/repo.git"),
        ("./with:colon", "/etc/landfall/./with:colon"),
    ] {
        assert_eq!(self::remote(text, base).as_deref(), Ok(remote), "{text}");
    }
    for text in [
        "",
        "-x",
        "https://user@git.example.com/a",
        "https://git.example.com/a?token=x",
        "ssh://git:pw@git.example.com/a",
        "ssh://-oProxyCommand=x/a",
        "ssh://-l@git.example.com/a",
        "git://git.example.com/a",
        "ext::sh -c x",
        "-oProxyCommand=x:a",
        "git@-x:a",
        "host:",
        ":path",
        "host:-x",
        "a\nb",
        "~/repo",
        "https://",
    ] {
        assert!(self::remote(text, base).is_err(), "{text}");
    }
}

#[test]
fn small_things() {
    assert_eq!(owner_and_name("acme/deploys"), Ok(("acme".to_owned(), "deploys".to_owned())));
    assert!(["acme", "a/b/c", "/b", "a/", "../b", "a/.b", "a b/c"].iter().all(|text| owner_and_name(text).is_err()));
    assert!(["alice", "acme/sre", "dependabot[bot]"].iter().all(|text| reviewer(text).is_ok()));
    assert!(["", "/", "a/b/c", "a b", "@alice"].iter().all(|text| reviewer(text).is_err()));
    assert!(["linux/amd64", "linux/arm/v7"].iter().all(|text| platform(text).is_ok()));
    assert!(["linux", "linux/", "a/b/c/d", "Linux/amd64"].iter().all(|text| platform(text).is_err()));
    assert!(["A", "_a1"].iter().all(|text| is_variable(text)));
    assert!(["", "1A", "A-B", "A=B"].iter().all(|text| !is_variable(text)));
    assert_eq!(http_url("https://github.example.com/api/v3/").as_deref(), Ok("https://github.example.com/api/v3"));
    assert!(identity("A <b>").is_err() && identity("a\nb").is_err() && identity(" ").is_err());
    assert!(time_zone("Europe/Berlin").is_ok() && time_zone("UTC").is_ok() && time_zone("../../etc/passwd").is_err());
}

proptest! {
    #[test]
    fn nothing_panics(text in r"\PC{0,40}") {
        let base = Path::new("/");
        drop((duration(&text), name(&text), line(&text), reviewer(&text), platform(&text), registry_host(&text)));
        drop((owner_and_name(&text), http_url(&text), remote(&text, base), file_path(&text, base), repo_folder(&text)));
    }

    /// What looks like durations, in and out of order.
    #[test]
    fn durations_do_not_overflow(text in "([0-9]{1,22}[smhd]){1,4}") {
        if let Ok(duration) = duration(&text) {
            prop_assert!(duration.as_secs() > 0 && duration.as_secs() <= MAX_DAYS * 86_400);
        }
    }
}

#[test]
fn a_label_is_no_longer_than_github_takes() {
    assert_eq!(label(&"é".repeat(50)), Ok("é".repeat(50)));
    assert!(label(&"é".repeat(51)).unwrap_err().contains("51 characters, and GitHub allows 50"));
}
