//! From single values as text to their meaning: durations, names, hosts, remotes, time zones.
//!
//! Every function is total and says which rule a text breaks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::model::{ImageName, RepoPath, is_web_address};

/// Maximum duration: longer ones are mistakes, and sums with times stay in range.
const MAX_DAYS: u64 = 3650;
/// Maximum length of a name; names are used in commit trailers, branch names and metrics.
const MAX_NAME: usize = 63;

/// `30s`, `10m`, `24h`, `3d`, or several units with the larger one first: `1h30m`. Greater than zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let bad = |reason: &str| Err(format!("`{}` is not a duration: {reason}", short(text)));
    if text.is_empty() || text.len() > 40 {
        return bad("write a number and a unit, such as 30s, 10m, 24h or 3d");
    }
    if text.starts_with(['-', '+']) {
        return bad("it has a sign; durations must be greater than zero");
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return bad("it has no unit; write 30s, 10m, 24h or 3d");
    }
    let mut seconds: u64 = 0;
    let mut last = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let unit = match &rest[digits..unit_end] {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => return bad("weeks are not a unit here; write days, such as 7d"),
            "M" | "mo" | "month" | "months" | "y" | "year" | "years" => {
                return bad("months and years have no fixed length; write days, such as 30d");
            }
            _ => return bad("units are s, m, h and d, as in 30s, 10m, 24h, 3d or 1h30m"),
        };
        if unit >= last {
            return bad("write each unit once, the larger one first, as in 1h30m");
        }
        last = unit;
        let part = rest[..digits].parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        let Some(sum) = part.and_then(|part| seconds.checked_add(part)).filter(|sum| *sum <= MAX_DAYS * 86_400) else {
            return bad("write a number before each unit, ten years at most in all");
        };
        seconds = sum;
        rest = &rest[unit_end..];
    }
    if seconds == 0 { bad("it is zero") } else { Ok(Duration::from_secs(seconds)) }
}

/// The name of something in a file: letters, digits, `.`, `_` and `-`.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    // A name becomes part of branch names, where Git allows neither `..` nor a final dot or `.lock`.
    let branch = !text.contains("..") && !text.ends_with('.') && !text.to_ascii_lowercase().ends_with(".lock");
    if first && rest && branch && text.len() <= MAX_NAME {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{}` is not a name: up to {MAX_NAME} letters, digits, `.`, `_` and `-`, beginning with a letter or digit",
            short(text)
        ))
    }
}

/// An address that a controller may use for a repository. Nothing is fetched from it.
pub(crate) fn alias(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (authority, path) = match text.split_once("://") {
        Some(("https" | "http" | "ssh" | "git" | "oci", rest)) => rest.split_once('/').unwrap_or((rest, "")),
        Some(("file", rest)) => ("localhost", rest.trim_start_matches('/')),
        Some(_) => ("", ""),
        None if text.starts_with('/') => ("localhost", text.trim_start_matches('/')),
        None => text.split_once(':').unwrap_or(("", "")),
    };
    if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
        // It may contain a secret, so it is not repeated here.
        return Err("the address has a password in it; leave it out, since nothing is fetched from an alias".to_owned());
    }
    let plain = text.len() <= 2_048 && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    if plain && !authority.is_empty() && !path.trim_matches('/').is_empty() {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{}` is not the address of a repository: https, http, ssh, git or oci, the form `git@host:path`, or an absolute path",
            short(text)
        ))
    }
}

/// The name of a Kubernetes namespace (a DNS label, RFC 1123).
pub(crate) fn namespace(text: &str) -> Result<String, String> {
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = text.bytes().next().is_some_and(inside) && text.bytes().last().is_some_and(inside);
    if ends && text.len() <= 63 && text.bytes().all(|b| inside(b) || b == b'-') {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{}` is not the name of a namespace: up to 63 of a-z, 0-9 and `-`, no `-` at its ends",
            short(text)
        ))
    }
}

/// The name of a Kubernetes object such as a Secret (a DNS subdomain, RFC 1123).
pub(crate) fn object_name(text: &str) -> Result<String, String> {
    if text.len() <= 253 && text.split('.').all(|label| namespace(label).is_ok()) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not the name of a Kubernetes object: a-z, 0-9, `-` and `.`", short(text)))
    }
}

/// One line of text for people.
pub(crate) fn line(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
        return Err(
            "the text is empty, longer than 200 characters, or has line breaks or control characters".to_owned()
        );
    }
    Ok(text.to_owned())
}

/// The web address of instructions, in which `{code}` stands for a cause's code.
pub(crate) fn runbooks(text: &str) -> Result<String, String> {
    let text = line(text)?;
    if text.contains("{code}") && is_web_address(&text.replace("{code}", "x")) {
        return Ok(text);
    }
    Err(format!(
        "`{}` is not a web address with `{{code}}` in it, such as https://wiki.example.com/landfall#{{code}}",
        short(&text)
    ))
}

/// A label of a pull request that every forge accepts; GitHub's limit is the lowest.
pub(crate) fn label(text: &str) -> Result<String, String> {
    let label = line(text)?;
    match label.chars().count() {
        0..=50 => Ok(label),
        long => Err(format!("the label has {long} characters, and GitHub allows 50")),
    }
}

/// A name or address of a commit's author: one line without the characters that Git uses as delimiters.
pub(crate) fn identity(text: &str) -> Result<String, String> {
    let text = line(text)?;
    if text.contains(['<', '>']) { Err("the text has < or >, which Git cannot store".to_owned()) } else { Ok(text) }
}

/// A reviewer: `user` or `org/team`.
pub(crate) fn reviewer(text: &str) -> Result<String, String> {
    let valid = |part: &str| {
        !part.is_empty()
            && part.len() <= 100
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.[]".contains(&b))
    };
    let mut parts = text.split('/');
    let ok = parts.next().is_some_and(valid) && parts.next().is_none_or(valid) && parts.next().is_none();
    if ok { Ok(text.to_owned()) } else { Err(format!("`{}` is neither `user` nor `org/team`", short(text))) }
}

/// A platform: `os/arch` or `os/arch/variant`.
pub(crate) fn platform(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let word = |part: &&str| {
        !part.is_empty()
            && part.len() <= 32
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.')
    };
    if matches!(parts.len(), 2 | 3) && parts.iter().all(word) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not a platform such as linux/amd64 or linux/arm/v7", short(text)))
    }
}

/// A time zone by its IANA name.
pub(crate) fn time_zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text)
        .map_err(|_| format!("`{}` is not a time zone of the IANA database, such as Europe/Berlin or UTC", short(text)))
}

/// A registry host as it occurs in image names, in the spelling of [`ImageName`].
pub(crate) fn registry_host(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return Err(format!("`{}` is not a host: remove the scheme; `plainHttp: true` enables HTTP", short(text)));
    }
    let lower = text.to_ascii_lowercase();
    match ImageName::parse(&format!("{lower}/any/image")) {
        Ok(name) if name.repository() == "any/image" && !lower.contains('/') => Ok(name.registry().to_owned()),
        _ => Err(format!(
            "`{}` is not a registry host such as registry.example.com or localhost:5000 (a dot, a port or localhost makes a name a host)",
            short(text)
        )),
    }
}

/// A mirror as it occurs in image names: a registry host, optionally with a path.
pub(crate) fn mirror(text: &str) -> Result<String, String> {
    let lower = text.trim_end_matches('/').to_ascii_lowercase();
    let named = ImageName::parse(&format!("{lower}/any/image")).ok();
    let named = named.filter(|name| {
        lower.split('/').next().is_some_and(|host| registry_host(host).is_ok_and(|host| host == name.registry()))
    });
    let mirror = named.and_then(|name| name.to_string().strip_suffix("/any/image").map(str::to_owned));
    mirror.ok_or_else(|| {
        format!("`{}` is neither a registry host nor a host with a path, such as mirror.example.com/hub", short(text))
    })
}

/// `owner/name` of a repository on a forge.
pub(crate) fn owner_and_name(text: &str) -> Result<(String, String), String> {
    let valid = |part: &str| {
        !part.is_empty()
            && part.len() <= 100
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    match text.split_once('/') {
        Some((owner, name)) if valid(owner) && valid(name) => Ok((owner.to_owned(), name.to_owned())),
        _ => Err(format!("`{}` is not `owner/name`", short(text))),
    }
}

/// An http(s) URL without user, password, query or fragment; a final `/` is dropped.
pub(crate) fn http_url(text: &str) -> Result<String, String> {
    let bad = |reason: &str| Err(format!("not a usable address: {reason}"));
    let url = match url::Url::parse(text) {
        Ok(url) => url,
        Err(error) => return bad(&error.to_string()),
    };
    if !matches!(url.scheme(), "https" | "http") {
        return bad("it does not begin with https:// or http://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return bad("it has a user or password in it, which belong under their own keys");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return bad("it has a query or a fragment");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A Git remote: https, http, ssh, scp form, or a path (relative paths start at the configuration file's folder).
///
/// The transports are those that the sandboxed `git` allows; `ext::` and the like would run commands.
pub(crate) fn remote(text: &str, base: &Path) -> Result<String, String> {
    let bad = |reason: &str| Err(format!("not a usable remote: {reason}"));
    if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control) {
        return bad("it is empty, starts with - or has control characters");
    }
    if let Some((scheme, _)) = text.split_once("://") {
        let Ok(url) = url::Url::parse(text) else { return bad("it is not a valid address") };
        return match scheme.to_ascii_lowercase().as_str() {
            "https" | "http" => http_url(text).map_err(|error| error.replace("address", "remote")),
            "ssh" if url.password().is_some() => bad("it has a password in it; use `credentials`"),
            "ssh" if url.host_str().is_none_or(|host| host.is_empty() || host.starts_with('-')) => {
                bad("it has no usable host")
            }
            // A user name is not a secret, and usually `git`.
            "ssh" if url.username().starts_with('-') => bad("its user starts with -"),
            "ssh" => Ok(text.to_owned()),
            "file" => match url.to_file_path() {
                Ok(path) => Ok(path.to_string_lossy().into_owned()),
                Err(()) => bad("the file address has no path"),
            },
            _ => bad("the scheme is not https, http or ssh"),
        };
    }
    if text.contains("::") {
        return bad("transports with :: are not allowed");
    }
    if let Some((host, path)) = text.split_once(':')
        && !host.contains('/')
    {
        let scp = !host.is_empty() && !path.is_empty() && !host.contains(char::is_whitespace) && !path.starts_with('-');
        let dashed = host.split('@').any(|part| part.is_empty() || part.starts_with('-'));
        return if scp && !dashed { Ok(text.to_owned()) } else { bad("it is not of the form user@host:path") };
    }
    Ok(file_path(text, base)?.to_string_lossy().into_owned())
}

/// A path on this machine; relative paths start at the configuration file's folder.
pub(crate) fn file_path(text: &str, base: &Path) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("the path is empty or has a NUL character".to_owned());
    }
    if text.starts_with('~') {
        return Err(format!("`{}`: `~` is not expanded; write the whole path", short(text)));
    }
    Ok(base.join(text))
}

/// A folder in the repository.
pub(crate) fn repo_folder(text: &str) -> Result<RepoPath, String> {
    RepoPath::parse(text.trim_end_matches('/')).map_err(|error| error.to_string())
}

/// Whether a text can be the name of an environment variable.
pub(crate) fn is_variable(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn short(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests;
