//! Parsing what `git` printed: pure, total, and the only place that knows its wording.
//!
//! Success and rejection of a push are read from `--porcelain` lines; the wording of standard error only decides
//! between kinds of failure, where a wrong guess costs a worse message and never a wrong fact.

use std::collections::BTreeMap;

use crate::model::{BranchName, CommitId};

/// The maximum of lines and characters kept of a server's message; the rest is dropped.
const MESSAGE_LINES: usize = 30;
const MESSAGE_CHARS: usize = 2000;

/// One line of `git push --porcelain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PushLine {
    /// The ref on the remote.
    pub(super) name: String,
    /// Its outcome.
    pub(super) status: PushStatus,
}

/// What `git push` reports for one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PushStatus {
    /// The remote confirmed the change.
    Updated,
    /// It already had this value.
    UpToDate,
    /// Not sent: Git's own check found that the ref differs from the lease. With the reason in parentheses.
    LeaseBroken(String),
    /// Not changed because another ref of the same atomic push failed.
    WithOthers(String),
    /// The remote refuses it.
    Refused(String),
    /// The remote accepted the push but did not report the outcome.
    Unreported,
}

/// Parses the lines about refs; everything else (`To …`, `Done`) is skipped.
pub(super) fn pushed(stdout: &str) -> Vec<PushLine> {
    stdout.lines().filter_map(pushed_line).collect()
}

fn pushed_line(line: &str) -> Option<PushLine> {
    let mut fields = line.splitn(3, '\t');
    let (flag, refs, summary) = (fields.next()?, fields.next()?, fields.next()?);
    let (_, name) = refs.rsplit_once(':')?;
    let status = match flag {
        " " | "+" | "*" | "-" => PushStatus::Updated,
        "=" => PushStatus::UpToDate,
        "!" if summary.starts_with("[remote failure]") => PushStatus::Unreported,
        "!" if reason(summary).contains("atomic") => PushStatus::WithOthers(reason(summary)),
        "!" if summary.starts_with("[rejected]") => PushStatus::LeaseBroken(reason(summary)),
        "!" => PushStatus::Refused(reason(summary)),
        _ => return None,
    };
    Some(PushLine { name: name.to_owned(), status })
}

/// `[remote rejected] (pre-receive hook declined)` → `pre-receive hook declined`
fn reason(summary: &str) -> String {
    let inner = summary.split_once('(').and_then(|(_, rest)| rest.trim_end().strip_suffix(')'));
    inner.unwrap_or(summary).trim().to_owned()
}

/// Whether a refusal's reason is one of the fixed phrases by which Git reports a decision of a hook or a setting: a
/// retry will change nothing. Only a hint for how often to try.
pub(super) fn is_a_decision(reason: &str) -> bool {
    ["declined", "prohibited", "deny", "non-fast-forward", "protected"].iter().any(|word| reason.contains(word))
}

/// Whether a refusal is about a branch being rewritten: in Git's own words (`receive.denyNonFastForwards`), or, where a
/// hook has decided, in those of the server, such as GitHub's `Cannot force-push to this branch`, GitLab's `You are not
/// allowed to force push code to a protected branch`, Gitea's `protected from force push`, Bitbucket's `rewriting history`
/// and Azure DevOps' `ForcePush` permission.
pub(super) fn is_about_rewriting(reason: &str, said: &str) -> bool {
    let says = |text: &str| {
        let text: String = text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        ["nonfastforward", "forcepush", "rewritinghistory", "historyrewrit"].iter().any(|words| text.contains(words))
    };
    says(reason) || (is_a_decision(reason) && says(said))
}

/// Whether Git accepts `name` as a ref of one of the kinds that Landfall uses: branches and its own `refs/landfall/…`.
pub(super) fn is_full_name(name: &str) -> bool {
    ["refs/heads/", "refs/landfall/"]
        .iter()
        .filter_map(|prefix| name.strip_prefix(prefix))
        .any(|rest| BranchName::parse(rest).is_ok())
}

/// The branch that `HEAD` points to, from the lines of `git ls-remote --symref`.
pub(super) fn default_branch(stdout: &[u8]) -> Option<BranchName> {
    let lines = stdout.split(|b| *b == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let mut heads = lines.filter_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"));
    BranchName::parse(heads.next()?.strip_prefix("refs/heads/")?).ok()
}

/// Parses the lines of `git ls-remote --symref`. Names outside the two folders, names that nobody could write into a
/// configuration (not UTF-8), and peeled refs are skipped.
pub(super) fn listed(stdout: &[u8]) -> Result<BTreeMap<String, CommitId>, String> {
    let mut refs = BTreeMap::new();
    for line in stdout.split(|b| *b == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"ref: ")) {
        let Some(tab) = line.iter().position(|b| *b == b'\t') else {
            return Err("a line of its list of branches has no tab".to_owned());
        };
        let id = String::from_utf8_lossy(&line[..tab]);
        if id.len() == 64 {
            return Err("it has SHA-256 object ids, which are not supported".to_owned());
        }
        let id = CommitId::parse(&id).map_err(|_| "its list of branches has a malformed object id".to_owned())?;
        if let Ok(name) = std::str::from_utf8(&line[tab + 1..])
            && is_full_name(name)
        {
            refs.insert(name.to_owned(), id);
        }
    }
    Ok(refs)
}

/// Whether a trace (`GIT_TRACE_PACKET`) shows a packet from the remote.
pub(super) fn has_packets(stderr: &str) -> bool {
    stderr.lines().any(|line| line.split_once(" packet: ").is_some_and(|(_, packet)| packet.contains("< ")))
}

/// Major and minor of `git version 2.39.5 (Apple Git-154)`.
pub(super) fn version(stdout: &str) -> Option<(u32, u32)> {
    let number = stdout.strip_prefix("git version ")?.split_whitespace().next()?;
    let mut parts = number.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The kind of failure that standard error describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    Authentication,
    NotFound,
    /// `couldn't find remote ref`: a branch that existed a moment ago.
    RefGone,
    RateLimited,
    Server,
    Unreachable,
    /// Our own disk; a full disk of the server is reported with the prefix `remote:`.
    DiskFull,
    /// More memory than it is given.
    Memory,
    Other,
}

/// Phrases, in lower case, in order of precedence: the first group that matches decides.
const WORDS: &[(FailureKind, &[&str])] = &[
    (FailureKind::RefGone, &["couldn't find remote ref"]),
    // A thread whose stack does not fit in is not made.
    (FailureKind::Memory, &["out of memory", "cannot allocate memory", "unable to create thread"]),
    (FailureKind::DiskFull, &["no space left on device", "disk quota exceeded", "read-only file system"]),
    (
        FailureKind::Authentication,
        &[
            "authentication failed",
            "could not read username",
            "could not read password",
            "permission denied",
            "host key verification failed",
            "requested url returned error: 401",
            "requested url returned error: 403",
            "dubious ownership",
            "too many authentication failures",
            "load key",
        ],
    ),
    (FailureKind::RateLimited, &["requested url returned error: 429"]),
    (FailureKind::Server, &["requested url returned error: 5", "rpc failed; http 5"]),
    (
        FailureKind::NotFound,
        &[
            "requested url returned error: 404",
            "does not appear to be a git repository",
            "repository not found",
            "' not found",
            "does not exist",
        ],
    ),
    (
        FailureKind::Unreachable,
        &[
            "could not resolve",
            "couldn't connect",
            "failed to connect",
            "connection refused",
            "connection reset",
            "connection closed",
            "connection timed out",
            "timed out",
            "operation too slow",
            "network is unreachable",
            "no route to host",
            "hung up unexpectedly",
            "unexpected disconnect",
            "early eof",
            "empty reply from server",
            "transfer closed",
            "ssl ",
            "tls",
            "certificate",
            "rpc failed; curl",
            "unable to access",
        ],
    ),
];

/// Classifies a failed command by its output.
pub(super) fn failure(stderr: &str) -> FailureKind {
    let text: String =
        stderr.lines().filter(|line| !line.starts_with("remote:")).collect::<Vec<_>>().join("\n").to_ascii_lowercase();
    WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|word| text.contains(word)))
        .map_or(FailureKind::Other, |(failure, _)| *failure)
}

/// The `remote: …` lines of standard error without their prefix: what a server's hook wrote for people.
pub(super) fn server_text(stderr: &str) -> String {
    let lines: Vec<&str> = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("remote:"))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("\n")
}

/// One line for an error message: what Git, ssh and the server reported, without hints and boilerplate.
pub(super) fn summary(stderr: &str) -> String {
    const NOISE: &[&str] = &["hint:", "To ", "From ", "Please make sure you have", "and the repository exists."];
    let telling = |line: &&str| !line.is_empty() && !NOISE.iter().any(|noise| line.starts_with(noise));
    let text: Vec<&str> = stderr.lines().map(str::trim).filter(telling).take(5).collect();
    if text.is_empty() { "it gave no reason".to_owned() } else { text.join("; ") }
}

/// Makes external text safe to show: no escape sequence, no control or direction-changing character, no secret, limited
/// length. Line breaks stay; a carriage return (progress) counts as one.
pub(super) fn clean(bytes: &[u8], secrets: &[String]) -> String {
    let mut text = without_escapes(&String::from_utf8_lossy(bytes));
    for secret in secrets {
        text = text.replace(secret.as_str(), "***");
    }
    let text: String = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .take(MESSAGE_LINES)
        .collect::<Vec<_>>()
        .join("\n")
        .chars()
        .take(MESSAGE_CHARS)
        .collect();
    text
}

fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\r' => out.push('\n'),
            '\t' => out.push(' '),
            '\u{1b}' => skip_escape(&mut chars),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Skips the rest of an ANSI sequence: `[` parameters letter, or `]` text up to BEL or ESC, or one character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            while chars.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
            chars.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
        }
        Some(']') => while chars.next_if(|c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')).is_some() {},
        Some(c) if !c.is_control() => {
            chars.next();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
