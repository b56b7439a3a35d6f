//! GitHub's Git database, over a real repository: blobs, trees from a base and changes, and commits, which it signs for an app.
//!
//! What it makes belongs to no ref. A signature stands where GitHub puts one, and ends as GitHub's do; it is none that
//! could be verified.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall::daemon::Clock;
use serde_json::{Value, json};

use super::{Answer, ForgeStub, State, refuse};
use crate::support::git::{command, git, try_git};
use crate::support::github_shape::pull_commit;

/// As whom it makes the commits of the bot.
pub(crate) const APP: &str = "41898282+landfall-acme[bot]@users.noreply.github.com";
const COMMITTER: &str = "noreply@github.com";
const ARMOUR: &str = "-----BEGIN PGP SIGNATURE-----\n\nwsBcBAABCAAQBQJLandfall\n=Stub\n-----END PGP SIGNATURE-----\n";

/// The repository, and how it is treated.
pub(super) struct Objects {
    bare: PathBuf,
    signs: bool,
    then: Option<Box<dyn FnOnce() + Send>>,
}

impl ForgeStub {
    /// Makes objects in this repository when asked to, and signs commits.
    pub(crate) fn objects(&self, bare: &Path) {
        self.state.lock().objects = Some(Objects { bare: bare.to_owned(), signs: true, then: None });
    }

    /// Signs nothing: the token is none of an app.
    pub(crate) fn signs_nothing(&self) {
        self.state.lock().objects.as_mut().unwrap().signs = false;
    }

    /// What happens right after the next commit was made.
    pub(crate) fn then(&self, then: impl FnOnce() + Send + 'static) {
        self.state.lock().objects.as_mut().unwrap().then = Some(Box::new(then));
    }
}

impl State {
    pub(super) fn git_database(&mut self, method: &str, rest: &[&str], body: &Value) -> Answer {
        let Some(objects) = &mut self.objects else { return refuse(404, "Not Found") };
        let url = |kind: &str, sha: &str| format!("{}/git/{kind}/{sha}", self.shape.repository_url());
        match (method, rest) {
            ("POST", ["blobs"]) => {
                let content = STANDARD.decode(body["content"].as_str().unwrap()).unwrap();
                let sha = objects.write("blob", &content);
                (201, Vec::new(), json!({ "sha": sha, "url": url("blobs", &sha) }))
            }
            ("POST", ["trees"]) => match objects.tree(body) {
                Ok(sha) => {
                    let answer = json!({ "sha": sha, "url": url("trees", &sha), "truncated": false, "tree": [] });
                    (201, Vec::new(), answer)
                }
                Err(message) => refuse(422, &message),
            },
            ("POST", ["commits"]) => {
                let (sha, signature) = objects.commit(body);
                let then = objects.then.take();
                let answer = objects.shown(&sha, signature.as_deref(), &url);
                if let Some(then) = then {
                    then();
                }
                (201, Vec::new(), answer)
            }
            _ => refuse(404, "Not Found"),
        }
    }
}

impl State {
    /// The commit at the tip of a branch.
    pub(super) fn commit_at(&self, branch: &str) -> Answer {
        let Some(Objects { bare, .. }) = &self.objects else { return refuse(404, "Not Found") };
        let found = try_git(bare, &["log", "-1", "--format=%H %T", &format!("refs/heads/{branch}")]);
        if !found.status.success() {
            return refuse(422, &format!("No commit found for SHA: {branch}"));
        }
        let found = String::from_utf8(found.stdout).unwrap();
        let (sha, tree) = found.trim().split_once(' ').unwrap();
        let mut commit = pull_commit(&self.shape, sha, "the tip", super::BOT, "landfall@example.com");
        commit["commit"]["tree"]["sha"] = json!(tree);
        (200, Vec::new(), commit)
    }
}

impl Objects {
    fn write(&self, kind: &str, content: &[u8]) -> String {
        self.piped(&["hash-object", "-w", "-t", kind, "--stdin"], content)
    }

    fn piped(&self, arguments: &[&str], input: &[u8]) -> String {
        let mut program = command("git");
        program.current_dir(&self.bare).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        program.env("GIT_INDEX_FILE", self.bare.join("stub-index"));
        let mut child = program.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A base with entries in place of its own.
    fn tree(&self, body: &Value) -> Result<String, String> {
        let base = body["base_tree"].as_str().unwrap();
        if !try_git(&self.bare, &["cat-file", "-e", &format!("{base}^{{tree}}")]).status.success() {
            return Err("base_tree is not a valid tree oid".to_owned());
        }
        self.piped(&["read-tree", base], b"");
        let mut index = String::new();
        for entry in body["tree"].as_array().unwrap() {
            let (path, mode) = (entry["path"].as_str().unwrap(), entry["mode"].as_str().unwrap());
            let sha = match (&entry["content"], &entry["sha"]) {
                (Value::String(text), Value::Null) => self.write("blob", text.as_bytes()),
                (Value::Null, Value::String(sha)) => sha.clone(),
                _ => {
                    index.push_str(&format!("0 {}\t{path}\n", "0".repeat(40)));
                    continue;
                }
            };
            index.push_str(&format!("{mode} {sha}\t{path}\n"));
        }
        self.piped(&["update-index", "--index-info"], index.as_bytes());
        Ok(self.piped(&["write-tree"], b""))
    }

    /// A commit and its signature. With an author of its own, it is not signed.
    fn commit(&self, body: &Value) -> (String, Option<String>) {
        let now = Clock::system().now().as_second();
        let mut head = format!("tree {}\n", body["tree"].as_str().unwrap());
        for parent in body["parents"].as_array().unwrap() {
            head.push_str(&format!("parent {}\n", parent.as_str().unwrap()));
        }
        head.push_str(&format!("author landfall-acme[bot] <{APP}> {now} +0000\n"));
        head.push_str(&format!("committer GitHub <{COMMITTER}> {now} +0000\n"));
        let signs = self.signs && body["author"].is_null() && body["committer"].is_null();
        if signs {
            head.push_str(&format!("gpgsig {}\n", ARMOUR.replace('\n', "\n ")));
        }
        let object = format!("{head}\n{}", body["message"].as_str().unwrap());
        (self.write("commit", object.as_bytes()), signs.then(|| ARMOUR.to_owned()))
    }

    /// A commit as the API shows it.
    fn shown(&self, sha: &str, signature: Option<&str>, url: &dyn Fn(&str, &str) -> String) -> Value {
        let show = |format: &str| git(&self.bare, &["log", "-1", &format!("--format={format}"), sha]);
        let who = |of: char| json!({ "name": show(&format!("%{of}n")), "email": show(&format!("%{of}e")), "date": show(&format!("%{of}I")) });
        let raw = String::from_utf8(try_git(&self.bare, &["cat-file", "commit", sha]).stdout).unwrap();
        let (head, message) = raw.split_once("\n\n").unwrap();
        let payload = signature.map(|armour| {
            let header = format!("\ngpgsig {}", armour.replace('\n', "\n "));
            format!("{}\n\n{message}", head.replace(header.trim_end_matches(' '), "").trim_end())
        });
        let tree = show("%T");
        let parents: Vec<Value> = show("%P")
            .split_whitespace()
            .map(|sha| json!({ "sha": sha, "url": url("commits", sha), "html_url": url("commits", sha) }))
            .collect();
        json!({
            "sha": sha, "node_id": "C_1", "url": url("commits", sha), "html_url": url("commits", sha),
            "author": who('a'), "committer": who('c'), "message": message,
            "tree": { "sha": tree, "url": url("trees", &tree) }, "parents": parents,
            "verification": {
                "verified": signature.is_some(), "reason": if signature.is_some() { "valid" } else { "unsigned" },
                "signature": signature, "payload": payload, "verified_at": null,
            },
        })
    }
}
