//! Commits that the bot signs, judged by Git and ssh-keygen, and what its signature is worth.

use std::path::Path;

use serde_json::json;

use super::plans::{RECORDS, dev, hours_pass};
use crate::support::git::{git, try_git};
use crate::support::skip;
use crate::support::world::World;

/// A key of the tests, made by ssh-keygen and used nowhere else.
const KEY: &str = include_str!("../../../src/git/signature/key");
const PUBLIC: &str = include_str!("../../../src/git/signature/key.pub");

/// A world whose bot signs, with 1.2.3 in dev and 1.3.0 in the registry.
fn world() -> World {
    let world = World::setup().app("web", "1.2.3", &["dev"]).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    std::fs::write(world.path("key"), KEY).unwrap();
    world.configure("    url:", "    signing: { sshKey: { file: key } }\n    url:");
    world
}

/// Whether Git takes a commit for signed by the bot.
fn verifies(world: &World, commit: &str) -> bool {
    verifies_by(world, PUBLIC, commit)
}

fn verifies_by(world: &World, public: &str, commit: &str) -> bool {
    let signers = world.path("allowed_signers");
    std::fs::write(&signers, format!("landfall@example.com {public}")).unwrap();
    let signers = format!("gpg.ssh.allowedSignersFile={}", signers.display());
    let shown = try_git(&world.bare(), &["-c", &signers, "verify-commit", commit]);
    shown.status.success()
        && String::from_utf8_lossy(&shown.stderr).contains("Good \"git\" signature for landfall@example.com")
}

#[test]
fn commits_are_signed_as_git_verifies_them() {
    if !Path::new("/usr/bin/ssh-keygen").exists() {
        return skip("ssh-keygen is not installed: signatures are not held against Git");
    }
    let world = world();
    let unsigned = world.tip("main");
    assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
    assert_eq!(world.tag("web", "dev"), "1.3.0");
    assert!(verifies(&world, "main") && !verifies(&world, &unsigned));
    world.landfall(&["freeze", "dev", "--reason", "x", "--by", "Ada"]).ends(0);
    assert!(verifies(&world, "main"), "what people decide is committed by the bot");
}

#[test]
fn records_of_ages_that_somebody_else_wrote_do_not_count() {
    let policy = "    tags: { semver: \"*\" }\n    minimumReleaseAge: 3d\n";
    let world = dev("1.2.3", policy).start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    std::fs::write(world.path("key"), KEY).unwrap();
    world.configure("    url:", "    signing: { sshKey: { file: key } }\n    url:");
    world.apply();
    let ours = world.git(&["rev-parse", RECORDS]);
    // With and without a cache.
    for look in 0..2 {
        hours_pass(&world, 24 * 5);
        if look == 1 {
            std::fs::remove_dir_all(world.path("state")).unwrap();
        }
        let report = world.apply();
        assert_eq!(report["actions"], json!([]), "look {look}: {report:#}");
        assert_eq!(report["holds"][0]["gate"], "minimum-release-age", "look {look}: {report:#}");
    }
    // What was written over is written again, by the bot.
    let again = world.git(&["rev-parse", RECORDS]);
    assert_ne!(again, ours);
    let signed = world.git(&["cat-file", "commit", RECORDS]);
    assert!(signed.contains("gpgsig"), "{signed}");
}

/// A signing bot with 1.4.0 waiting for its age, which it has recorded, and the digest of 1.4.0.
fn waiting() -> (World, String) {
    let world = dev("1.2.3", "    tags: { semver: \"*\" }\n    minimumReleaseAge: 3d\n").start();
    world.push("acme/web", "1.2.3");
    let digest = world.push_made("acme/web", "1.4.0", "2026-01-01T00:00:00Z".parse().unwrap());
    std::fs::write(world.path("key"), KEY).unwrap();
    world.configure("    url:", "    signing: { sshKey: { file: key } }\n    url:");
    world.apply();
    (world, digest)
}

/// A cycle of a bot without its state folder after which 1.4.0 still waits, and the records are the bot's own again.
fn waits_on(world: &World, what: &str) {
    std::fs::remove_dir_all(world.path("state")).unwrap();
    let ran = world.landfall(&["apply", "-o", "json"]);
    let report = ran.report();
    assert_eq!(
        (&report["actions"], &report["holds"][0]["gate"]),
        (&json!([]), &json!("minimum-release-age")),
        "{what}"
    );
    assert!(ran.text().contains("first-seen does not count, and is written again"), "{what}: {}", ran.text());
    assert_eq!(world.git(&["rev-list", "--count", RECORDS]), "1", "{what}: what was there before is no part of it");
    assert_eq!(world.git(&["ls-tree", "-r", "--name-only", RECORDS]), "first-seen.json", "{what}");
    let records = world.read(RECORDS, "first-seen.json");
    assert!(records.contains("\"kind\": \"landfall/first-seen\"") && !records.contains("2020-"), "{what}: {records}");
}

#[test]
fn a_commit_that_the_bot_has_signed_for_something_else_is_no_record() {
    let (world, digest) = waiting();
    let own: serde_json::Value = serde_json::from_str(&world.read(RECORDS, "first-seen.json")).unwrap();
    let mut forged = own.clone();
    let images = forged["images"].as_object_mut().unwrap();
    images.values_mut().for_each(|times| times[&digest] = json!("2020-01-01T00:00:00Z"));
    // A file that looks harmless, on top of which the bot commits a decision.
    world.write(&[("first-seen.json", &forged.to_string())]);
    world.landfall(&["freeze", "dev", "--reason", "x", "--by", "Ada"]).ends(0);
    world.landfall(&["unfreeze", "dev", "--reason", "x", "--by", "Ada"]).ends(0);
    let commit = world.tip("main");
    assert!(world.git(&["cat-file", "commit", &commit]).contains("gpgsig"));
    world.git(&["update-ref", RECORDS, &commit]);
    waits_on(&world, "a decision");
    // Alone in the tree, too.
    world.work("main", |folder| {
        drop(git(folder, &["rm", "-r", "-q", "--", "apps", ".landfall"]));
        drop(git(folder, &["commit", "-q", "-m", "all gone"]));
    });
    let gone = world.tip("main");
    world.git(&["update-ref", RECORDS, &gone]);
    world.git(&["update-ref", "refs/heads/main", &commit]);
    waits_on(&world, "unsigned");
}

#[test]
fn records_of_another_repository_do_not_count() {
    let (world, _) = waiting();
    let first = world.git(&["rev-parse", RECORDS]);
    let other = world.path("other.git");
    git(world.path("").as_path(), &["clone", "-q", "--mirror", &world.bare().display().to_string(), "other.git"]);
    let (own, another) = ("url: remotes/deploys.git", "url: other.git");
    world.configure(own, another);
    let ran = world.landfall(&["apply"]).says("first-seen does not count, and is written again: it is of ");
    let now = git(&other, &["rev-parse", RECORDS]);
    assert_ne!(now, first, "{}", ran.text());
    assert_eq!(git(&other, &["rev-list", "--count", RECORDS]), "1");
    // Under its alias it is the same repository, and nothing is written.
    world.configure(another, &format!("aliases: [\"file://{}\"]\n    {own}", other.display()));
    world.git(&["fetch", "-q", &other.display().to_string(), &format!("+{RECORDS}:{RECORDS}")]);
    let ran = world.landfall(&["apply"]);
    assert!(!ran.text().contains("does not count"), "{}", ran.text());
    assert_eq!(world.git(&["rev-parse", RECORDS]), now);
}

#[test]
fn an_rsa_key_of_openssh_signs_as_git_verifies() {
    if !Path::new("/usr/bin/ssh-keygen").exists() {
        return skip("ssh-keygen is not installed: signatures are not held against Git");
    }
    let world = world();
    std::fs::write(world.path("key"), include_str!("../../../src/git/signature/rsa")).unwrap();
    assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
    assert!(
        verifies_by(&world, include_str!("../../../src/git/signature/rsa.pub"), "main") && !verifies(&world, "main")
    );
}

#[test]
fn where_the_bot_signs_a_release_without_its_signature_counts_for_nothing() {
    let world = world();
    let update = world.apply()["actions"][0]["updates"][0]["id"].as_str().unwrap().to_owned();
    world.work("main", |folder| drop(git(folder, &["revert", "--no-edit", "HEAD"])));
    assert_eq!(world.apply()["holds"][0]["gate"], "hold");
    // What `landfall release` would write, committed on the branch itself under the bot's name by who may push there.
    let forged = world.text(&format!(
        "release web\n\nLandfall-Release: {update}\nLandfall-Image: REG/acme/web\nLandfall-Overlay: apps/web/overlays/dev\n\
         Landfall-To: 1.3.0\nLandfall-Policy: dev\nLandfall-Environment: dev\n"
    ));
    world.work("main", |folder| {
        let bot = ["-c", "user.name=Landfall", "-c", "user.email=landfall@example.com"];
        git(folder, &[&bot[..], &["commit", "--allow-empty", "--quiet", "-m", &forged]].concat());
    });
    let report = world.apply();
    assert_eq!((&report["actions"], &report["holds"][0]["gate"]), (&json!([]), &json!("hold")), "{report:#}");
    world.landfall(&["release", "web", "--environment", "dev", "--reason", "fixed", "--by", "Ada"]).ends(0);
    assert_eq!(world.apply()["actions"][0]["updates"][0]["to"]["tag"], "1.3.0");
}

#[test]
fn a_key_that_cannot_sign_is_told_before_anything_is_written() {
    let world = world();
    let before = world.tip("main");
    std::fs::write(world.path("key"), include_str!("../../../src/git/signature/protected")).unwrap();
    world.landfall(&["apply"]).ends(2).says("signing key of repository deploys").says("passphrase");
    assert_eq!(world.tip("main"), before);
}

/// Whether Git takes a commit for signed by an OpenPGP key that this keyring has; `None` without GnuPG.
fn pgp_verifies(world: &World, public: &str, commit: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let (home, key) = (world.path("gnupg"), world.path("public.asc"));
    std::fs::create_dir_all(&home).unwrap();
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(&key, public).unwrap();
    let gpg = format!("gpg --homedir {} --batch --no-autostart --trust-model always", home.display());
    let program = world.path("gpg");
    std::fs::write(&program, format!("#!/bin/sh\nexec {gpg} \"$@\"\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the tests' own processes")]
    let imported = std::process::Command::new(&program).arg("--quiet").arg("--import").arg(&key).status().unwrap();
    assert!(imported.success());
    let with = format!("gpg.program={}", program.display());
    let shown = try_git(&world.bare(), &["-c", &with, "verify-commit", commit]);
    let text = String::from_utf8_lossy(&shown.stderr);
    shown.status.success() && text.contains("Good signature from")
}

#[test]
fn openpgp_signatures_are_good_to_git_and_gnupg() {
    if !Path::new("/usr/bin/gpg").exists() {
        return skip("gpg is not installed: OpenPGP signatures are not held against it");
    }
    for (private, public) in [
        (
            include_str!("../../../src/git/signature/pgp-rsa.asc"),
            include_str!("../../../src/git/signature/pgp-rsa.pub.asc"),
        ),
        (
            include_str!("../../../src/git/signature/pgp-key.asc"),
            include_str!("../../../src/git/signature/pgp-key.pub.asc"),
        ),
        (
            include_str!("../../../src/git/signature/pgp-subkey.asc"),
            include_str!("../../../src/git/signature/pgp-subkey.pub.asc"),
        ),
    ] {
        let world = World::setup().app("web", "1.2.3", &["dev"]).start();
        world.push_all("acme/web", &["1.2.3", "1.3.0"]);
        std::fs::write(world.path("key"), private).unwrap();
        let committer = "committer: { name: Bumps, email: bumps@example.com }";
        world.configure("    url:", &format!("    signing: {{ gpgKey: {{ file: key }} }}\n    {committer}\n    url:"));
        let unsigned = world.tip("main");
        assert_eq!(world.apply()["actions"][0]["result"]["verified"], true);
        assert!(pgp_verifies(&world, public, "main") && !pgp_verifies(&world, public, &unsigned));
        assert_eq!(world.git(&["log", "-1", "--format=%an %cn", "main"]), "Landfall Bumps");
        // The bot knows its own work again, by its committer and its signature.
        assert_eq!(world.apply()["actions"], json!([]));
        world.landfall(&["rollback", "web", "--environment", "dev", "--reason", "x", "--by", "Ada"]).ends(0);
        assert!(pgp_verifies(&world, public, "main"));
        assert_eq!(world.apply()["holds"][0]["gate"], "hold");
    }
}
