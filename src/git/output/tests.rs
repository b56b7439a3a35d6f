//! Captured output of Git, and what it must be read as.

use super::*;

#[test]
fn porcelain_lines_become_values() {
    // Printed by git 2.39 against repositories set up for each case.
    let text = "To http://127.0.0.1:1/r.git\n\
        *\trefs/heads/new:refs/heads/new\t[new branch]\n \t8d3c2bd:refs/heads/main\t2c5d6f1..8d3c2bd\n\
        +\t8d3c2bd:refs/heads/bot\t2c5d6f1...8d3c2bd (forced update)\n-\t:refs/heads/old\t[deleted]\n\
        =\t8d3c2bd:refs/heads/same\t[up to date]\n\
        !\t8d3c2bd:refs/heads/a\t[rejected] (stale info)\n\
        !\t8d3c2bd:refs/heads/b\t[remote rejected] (pre-receive hook declined)\n\
        !\t8d3c2bd:refs/heads/c\t[remote failure] (remote failed to report status)\nDone\n";
    let expected = [
        ("refs/heads/new", PushStatus::Updated),
        ("refs/heads/main", PushStatus::Updated),
        ("refs/heads/bot", PushStatus::Updated),
        ("refs/heads/old", PushStatus::Updated),
        ("refs/heads/same", PushStatus::UpToDate),
        ("refs/heads/a", PushStatus::LeaseBroken("stale info".to_owned())),
        ("refs/heads/b", PushStatus::Refused("pre-receive hook declined".to_owned())),
        ("refs/heads/c", PushStatus::Unreported),
    ];
    let expected: Vec<PushLine> =
        expected.into_iter().map(|(name, status)| PushLine { name: name.to_owned(), status }).collect();
    assert_eq!(pushed(text), expected);
}

#[test]
fn lines_that_are_no_porcelain_are_passed_over() {
    for text in ["", "Done", "Everything up-to-date", "!\tx", "?\ta:b\tc", "!\tno colon\t[rejected]", "\t\t\t"] {
        assert_eq!(pushed(text), [], "{text:?}");
    }
}

#[test]
fn a_listing_is_complete_or_an_error() {
    let id = "2c5d6f1b1e4b4f3a9d8c7b6a5f4e3d2c1b0a9f8e";
    let text = format!("{id}\trefs/heads/main\n{id}\trefs/landfall/pulls\n{id}\trefs/x/refs/heads/y\n{id}\tHEAD\n");
    let refs = listed(text.as_bytes()).unwrap();
    assert_eq!(refs.keys().collect::<Vec<_>>(), ["refs/heads/main", "refs/landfall/pulls"]);
    assert!(listed(b"").unwrap().is_empty());
    assert!(listed(b"2c5d6f1\trefs/heads/main\n").is_err());
    assert!(listed(b"<html>\n").is_err());
    assert!(listed(format!("{id}{}\trefs/heads/main\n", &id[..24]).as_bytes()).unwrap_err().contains("SHA-256"));
    let odd = [id.as_bytes(), b"\trefs/heads/\xff\n", id.as_bytes(), b"\trefs/heads/-x\n"].concat();
    assert!(listed(&odd).unwrap().is_empty());
}

#[test]
fn the_default_branch_is_what_head_stands_for() {
    let id = "2c5d6f1b1e4b4f3a9d8c7b6a5f4e3d2c1b0a9f8e";
    for (head, expected) in [
        ("ref: refs/heads/trunk\tHEAD\n", Some("trunk")),
        // Detached, of another folder, of another name: the remote does not say.
        ("", None),
        ("ref: refs/tags/v1\tHEAD\n", None),
        ("ref: refs/heads/trunk\trefs/heads/HEAD\n", None),
        ("ref: refs/heads/-x\tHEAD\n", None),
    ] {
        let text = format!("{head}{id}\tHEAD\n{id}\trefs/heads/main\n");
        let found = default_branch(text.as_bytes());
        assert_eq!(found.as_ref().map(crate::model::BranchName::as_str), expected, "{head:?}");
        assert_eq!(listed(text.as_bytes()).unwrap().len(), 1, "{head:?}");
    }
}

#[test]
fn full_names_are_branches_or_our_own() {
    for name in ["refs/heads/main", "refs/heads/landfall/dev", "refs/landfall/pulls/1"] {
        assert!(is_full_name(name), "{name}");
    }
    for name in [
        "main",
        "refs/tags/v1",
        "refs/heads/",
        "refs/heads/-x",
        "refs/heads/a..b",
        "refs/heads/a:b",
        "HEAD",
        "+refs/heads/x",
    ] {
        assert!(!is_full_name(name), "{name}");
    }
}

#[test]
fn failures_are_sorted_by_their_words() {
    use FailureKind::{Authentication, DiskFull, NotFound, Other, RateLimited, RefGone, Server, Unreachable};
    for (text, expected) in [
        ("fatal: couldn't find remote ref refs/heads/x", RefGone),
        ("fatal: Authentication failed for 'https://git.example.com/r.git/'", Authentication),
        ("fatal: could not read Username for 'http://127.0.0.1:1': terminal prompts disabled", Authentication),
        (
            "git@git.example.com: Permission denied (publickey).\nfatal: Could not read from remote repository.",
            Authentication,
        ),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", Authentication),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 403", Authentication),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 429", RateLimited),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 503", Server),
        ("fatal: repository 'https://x/r.git/' not found", NotFound),
        ("fatal: '/srv/r.git' does not appear to be a git repository", NotFound),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", Unreachable),
        (
            "ssh: connect to host x port 22: Connection refused\nfatal: Could not read from remote repository.",
            Unreachable,
        ),
        ("error: RPC failed; curl 18 transfer closed with outstanding read data remaining", Unreachable),
        ("fatal: the remote end hung up unexpectedly", Unreachable),
        ("fatal: unable to access 'https://x/': SSL certificate problem: self signed certificate", Unreachable),
        ("error: file write error: No space left on device\nfatal: unpack-objects failed", DiskFull),
        ("remote: fatal: No space left on device\nerror: remote unpack failed", Other),
        ("fatal: bad object refs/heads/main", Other),
        ("", Other),
    ] {
        assert_eq!(failure(text), expected, "{text}");
    }
}

#[test]
fn packets_show_that_the_other_side_speaks_git() {
    assert!(has_packets("08:29:10.454936 pkt-line.c:80           packet:          git< version 2"));
    assert!(!has_packets("08:29:10.455056 pkt-line.c:80           packet:    ls-remote> command=ls-refs"));
    assert!(!has_packets("") && !has_packets("<html>"));
}

#[test]
fn versions_of_several_vendors() {
    assert_eq!(version("git version 2.39.5\n"), Some((2, 39)));
    assert_eq!(version("git version 2.39.5 (Apple Git-154)\n"), Some((2, 39)));
    assert_eq!(version("git version 2.47.1.windows.1\n"), Some((2, 47)));
    assert_eq!(version("hub 1.0\n"), None);
    assert_eq!(version(""), None);
}

#[test]
fn text_from_outside_is_harmless() {
    let secrets = ["hunter2".to_owned()];
    for (bytes, expected) in [
        (&b"remote: \x1b[31mred\x1b[0m text\x07"[..], "remote: red text"),
        (b"\x1b]0;title\x07shown", "shown"),
        (b"\x1b]0;title\x1b\\shown", "shown"),
        (b"a\rb\n\n\nc", "a\nb\nc"),
        (b"token hunter2 leaked, hun\x1b[0mter2 too", "token *** leaked, *** too"),
        (b"not \xff UTF-8", "not \u{fffd} UTF-8"),
        ("\u{202e}txt.exe \u{2066}x\u{2069}".as_bytes(), "txt.exe x"),
        (b"\x1b", ""),
        (b"\x1b[", ""),
        (b"\x9b31mx", "\u{fffd}31mx"),
        ("\u{9b}31mx".as_bytes(), "31mx"),
    ] {
        assert_eq!(clean(bytes, &secrets), expected, "{bytes:?}");
    }
    let long = clean("line\n".repeat(100_000).as_bytes(), &[]);
    assert_eq!(long.lines().count(), MESSAGE_LINES);
    assert!(clean("x".repeat(1 << 20).as_bytes(), &[]).len() <= MESSAGE_CHARS);
}

#[test]
fn what_a_server_says_is_kept_apart_from_what_git_says() {
    let text = "remote: error: commits must be signed        \nremote: \nremote: see the handbook\n\
        To http://x/r.git\nerror: failed to push some refs to 'http://x/r.git'";
    assert_eq!(server_text(text), "error: commits must be signed\nsee the handbook");
    assert_eq!(summary("To http://x/r.git\nfatal: it broke\nhint: try"), "fatal: it broke");
    assert_eq!(summary("it broke"), "it broke");
    assert_eq!(summary(""), "it gave no reason");
}

proptest::proptest! {
    #[test]
    fn no_output_of_git_makes_a_reader_fail(bytes: Vec<u8>) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let shown = clean(&bytes, &["s3cret".to_owned()]);
        proptest::prop_assert!(shown.chars().all(|c| c == '\n' || !c.is_control()));
        let _values = (pushed(&text), listed(&bytes), failure(&text), server_text(&text), summary(&text), version(&text));
    }
}

#[test]
fn only_words_about_rewriting_say_that_a_branch_may_not_be_rewritten() {
    for (reason, said, expected) in [
        ("non-fast-forward", "", true),
        (
            "protected branch hook declined",
            "GH006: Protected branch update failed\nCannot force-push to this branch",
            true,
        ),
        ("push declined due to repository rule violations", "GH013: ...\n- Cannot force-push to this branch", true),
        ("pre-receive hook declined", "GitLab: You are not allowed to force push code to a protected branch", true),
        ("pre-receive hook declined", "Gitea: branch landfall/prod is protected from force push", true),
        ("pre-receive hook declined", "commits must be signed", false),
        (
            "push declined due to repository rule violations",
            "GH013: ...\n- Commits must have verified signatures",
            false,
        ),
        ("failed to update ref", "", false),
        // Said of another branch of the same push.
        ("cannot lock ref", "Cannot force-push to this branch", false),
        ("Internal Server Error", "", false),
    ] {
        assert_eq!(is_about_rewriting(reason, said), expected, "{reason}: {said}");
    }
}
