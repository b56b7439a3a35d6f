//! Addresses.

use proptest::prelude::*;

use super::super::Address;

#[test]
fn spellings_of_one_repository_are_one() {
    for (one, spellings) in [
        (
            "https://github.com/acme/deploys",
            &[
                "https://github.com/acme/deploys.git",
                "https://github.com/acme/deploys/",
                "https://github.com/acme/deploys.git/",
                "HTTPS://GitHub.com/Acme/Deploys",
                "http://github.com:80/acme/deploys",
                "https://github.com:443/acme//deploys",
                "https://bot:token@github.com/acme/deploys",
                "git@github.com:acme/deploys.git",
                "git@github.com:/acme/deploys.git",
                "github.com:acme/deploys",
                "ssh://git@github.com/acme/deploys.git",
                "ssh://git@github.com:22/acme/deploys",
                "ssh://git@ssh.github.com:443/acme/deploys.git",
                "git+ssh://git@github.com/acme/deploys",
                "git://github.com/acme/deploys",
                "github.com/acme/deploys",
                "  https://github.com/acme/deploys?x=1#y  ",
            ][..],
        ),
        (
            "https://dev.azure.com/org/project/_git/repo",
            &[
                "https://org@dev.azure.com/org/project/_git/repo",
                "git@ssh.dev.azure.com:v3/org/project/repo",
                "https://org.visualstudio.com/project/_git/repo",
                "https://org.visualstudio.com/DefaultCollection/project/_git/repo",
            ],
        ),
        (
            "https://git.example.com/Team/Repo",
            &["ssh://git@git.example.com:2222/Team/Repo.git", "git@GIT.example.com:Team/Repo"],
        ),
        ("https://git.example.com:8443/r", &["https://git.example.com:8443/r.git", "git.example.com:8443/r"]),
        ("https://gitlab.example.com/group/sub/repo", &["git@gitlab.example.com:Group/Sub/Repo.git"]),
        ("https://[::1]:3000/r", &["http://[::1]:3000/r.git"]),
        ("oci://ghcr.io/acme/manifests", &["oci://GHCR.io/acme/manifests/"]),
        ("file:///srv/git/deploys", &["/srv/git/deploys.git", "file:///srv/git//deploys/", "/srv/git/deploys/.git"]),
    ] {
        for spelling in spellings {
            assert_eq!(Address::parse(spelling).map(|it| it.to_string()).as_deref(), Some(one), "{spelling}");
        }
    }
}

#[test]
fn different_repositories_stay_different() {
    for (one, other) in [
        ("https://github.com/acme/deploys", "https://github.com/acme/deploys-2"),
        ("https://github.com/acme/deploys", "https://gitlab.com/acme/deploys"),
        ("https://git.example.com/Team/repo", "https://git.example.com/team/repo"),
        ("https://git.example.com:8443/r", "https://git.example.com/r"),
        ("https://ghcr.io/acme/manifests", "oci://ghcr.io/acme/manifests"),
    ] {
        assert_ne!(Address::parse(one), Address::parse(other), "{one}");
    }
    for none in
        ["", " ", "deploys", "../deploys", "https://", "https:///x", "https://github.com", "s3://bucket/x", "a\nb", "/"]
    {
        assert_eq!(Address::parse(none), None, "{none:?}");
    }
}

proptest! {
    #[test]
    fn normalising_twice_is_normalising_once(text in r"(https?|ssh|git|oci|file|[a-z]{1,5})?(://|:)?([A-Za-z0-9._@:/\[\]%~ -]|\PC){0,60}") {
        if let Some(address) = Address::parse(&text) {
            prop_assert_eq!(Address::parse(address.as_str()), Some(address.clone()), "{}", text);
        }
    }

    #[test]
    fn user_information_is_never_kept(user in "[a-z]{1,8}", host in "[a-z]{1,8}\\.[a-z]{2,3}") {
        for text in [format!("https://{user}:SECRETS@{host}/a/b"), format!("ssh://SECRETS@{host}/a/b"), format!("SECRETS@{host}:a/b")] {
            let address = Address::parse(&text).map(|it| it.to_string()).unwrap_or_default();
            prop_assert!(!address.to_lowercase().contains("secrets"), "{}", address);
        }
    }

    #[test]
    fn hostile_text_never_panics(text in any::<String>()) {
        drop(Address::parse(&text));
        drop(crate::overlay::normal_folder(&text));
    }
}
