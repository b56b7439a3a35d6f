//! Image names, tags, digests and references.
//!
//! Every string is parsed once, here, into its own type; none converts implicitly into another. The rules are those of
//! the OCI distribution specification (section "Pulling manifests") and of the reference grammar that container engines
//! share: if the first path component has a dot or a colon or is `localhost`, it is a registry host; otherwise the
//! image is on Docker Hub. Charts and other artifacts are named by their address, scheme included ([`Scheme`]).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Maximum length of a repository name, host included (OCI distribution specification, implementors' note).
const MAX_NAME: usize = 255;

/// The registry of a name without a host.
pub const DOCKER_HUB: &str = "docker.io";

/// Maximum length of the address of a Helm repository with a chart's name behind it.
const MAX_ADDRESS: usize = 1_000;

/// Maximum length of a range of versions: longer than any that a person writes.
const MAX_RANGE: usize = 200;

/// What kind of thing a name is about, and where its versions are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// A container image: written without a scheme.
    Image,
    /// `oci://`: an artifact in a container registry that is no image, such as a chart or a Flux artifact.
    Oci,
    /// `https://`: a chart in a Helm repository, whose `index.yaml` lists it.
    Https,
    /// The same over plain HTTP.
    Http,
}

impl Scheme {
    /// How it is written in front of a name.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Image => "",
            Self::Oci => "oci://",
            Self::Https => "https://",
            Self::Http => "http://",
        }
    }

    /// The scheme that a name is written with, and the rest of it.
    fn split(text: &str) -> (Self, &str) {
        let written = [Self::Oci, Self::Https, Self::Http].into_iter();
        written
            .filter_map(|scheme| Some((scheme, text.strip_prefix(scheme.prefix())?)))
            .next()
            .unwrap_or((Self::Image, text))
    }
}

/// A normalised name of something that has versions, without tag or digest: an image, or with a scheme a chart or
/// another artifact.
///
/// `nginx`, `library/nginx` and `index.docker.io/library/nginx` are all `docker.io/library/nginx`, so two spellings of
/// one repository compare equal and are queried once. A chart of a Helm repository is named by the repository's address
/// and the chart's name behind it: `https://charts.example.com/stable/web`; one in a container registry by its address
/// there: `oci://ghcr.io/acme/charts/web`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName {
    registry: String,
    repository: String,
    scheme: Scheme,
}

impl ImageName {
    /// Parses a name without tag or digest.
    ///
    /// # Errors
    /// When the text is not a repository name: empty, too long, templated, upper case in the path, odd characters.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let bad = |reason| ImageError { text: shorten(text), reason };
        let (scheme, rest) = Scheme::split(text);
        if rest.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.contains(['{', '}', '$', '(', ')']) {
            return Err(bad("it is a template"));
        }
        match scheme {
            Scheme::Image | Scheme::Oci if rest.len() > MAX_NAME => Err(bad("it is longer than 255 characters")),
            Scheme::Image => Self::in_registry(scheme, split_host(rest)).map_err(bad),
            // An address always starts with its host.
            Scheme::Oci => {
                let (host, path) = rest.split_once('/').ok_or_else(|| bad("it has a host and no path"))?;
                Self::in_registry(scheme, (Some(host), path)).map_err(bad)
            }
            Scheme::Https | Scheme::Http => Self::in_helm_repository(scheme, rest).map_err(bad),
        }
    }

    /// Parses the name of an image, which has no scheme.
    ///
    /// # Errors
    /// When the text is no name, or that of something else.
    pub fn image(text: &str) -> Result<Self, ImageError> {
        let name = Self::parse(text)?;
        match name.scheme {
            Scheme::Image => Ok(name),
            Scheme::Oci | Scheme::Https | Scheme::Http => {
                Err(ImageError { text: shorten(text), reason: "an image has no scheme" })
            }
        }
    }

    /// The chart of that name in a Helm repository, or below a path of a container registry, at this address.
    ///
    /// # Errors
    /// When the address or the chart's name is not valid, or the address is of another kind.
    pub fn chart(address: &str, chart: &str) -> Result<Self, ImageError> {
        let bad = |text, reason| ImageError { text: shorten(text), reason };
        if chart.is_empty() || chart.contains('/') {
            return Err(bad(chart, "a chart's name is not empty and has no slash"));
        }
        let name = Self::parse(&format!("{}/{chart}", address.trim_end_matches('/')))?;
        match name.scheme {
            Scheme::Image => Err(bad(address, "the address of a Helm repository starts with https:// or oci://")),
            Scheme::Oci | Scheme::Https | Scheme::Http => Ok(name),
        }
    }

    fn in_registry(scheme: Scheme, (host, path): (Option<&str>, &str)) -> Result<Self, &'static str> {
        let bad = |reason| reason;
        if let Some(host) = host
            && !valid_host(host)
        {
            return Err(bad("its registry host is not valid"));
        }
        if path.is_empty() || !path.split('/').all(valid_component) {
            return Err(bad("its repository path is not valid (lower case letters, digits, and separators . _ - /)"));
        }
        let registry = match host {
            None => DOCKER_HUB.to_owned(),
            Some(host) => canonical_host(host),
        };
        let repository =
            if registry == DOCKER_HUB && !path.contains('/') { format!("library/{path}") } else { path.to_owned() };
        Ok(Self { registry, repository, scheme })
    }

    fn in_helm_repository(scheme: Scheme, rest: &str) -> Result<Self, &'static str> {
        let (host, path) = rest.split_once('/').ok_or("it has a host and no path")?;
        if rest.len() > MAX_ADDRESS {
            return Err("it is longer than 1000 characters");
        }
        if host.contains('@') {
            return Err("its address has a user or a password, which do not belong there");
        }
        if !valid_host(host) {
            return Err("its host is not valid");
        }
        // Whoever compares names must see what a server sees, and servers differ in what they make of these.
        if path.contains('%') {
            return Err(
                "its path has a % in it, behind which is another path; write the address without (on GitLab, with the number of the project)",
            );
        }
        let plain = |part: &str| {
            !part.bytes().all(|b| b == b'.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+:@!,=&*'".contains(&b))
        };
        if !path.split('/').all(plain) {
            return Err("its path is not valid: an address without a query, and the chart's name behind it");
        }
        // The scheme's own port is the same place as none.
        let port = if scheme == Scheme::Http { ":80" } else { ":443" };
        let host = host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
        Ok(Self { registry: host, repository: path.to_owned(), scheme })
    }

    /// What kind of thing it is about.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The same kind of thing at another place, `host/path`.
    ///
    /// # Errors
    /// When there can be no such name.
    pub fn moved(&self, place: &str) -> Result<Self, ImageError> {
        Self::parse(&format!("{}{place}", self.scheme.prefix()))
    }

    /// `host/path`, without the scheme.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The address of the Helm repository that lists it, if one does: without the chart's name.
    #[must_use]
    pub fn helm_repository(&self) -> Option<String> {
        match self.scheme {
            Scheme::Image | Scheme::Oci => None,
            Scheme::Https | Scheme::Http => {
                let folder = self.repository.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("/{folder}"));
                Some(format!("{}{}{folder}", self.scheme.prefix(), self.registry))
            }
        }
    }

    /// The registry host with its port, lower case, e.g. `ghcr.io` or `localhost:5000`; Docker Hub is `docker.io`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository path on that registry, e.g. `library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The last component of the path, e.g. `nginx`.
    #[must_use]
    pub fn short(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }

    /// Whether a person may refer to it by this text: its full name, with or without its scheme, `docker.io/` and
    /// `library/`, or its last part.
    #[must_use]
    pub fn is_called(&self, text: &str) -> bool {
        text == self.short() || Self::parse(text).is_ok_and(|image| image == *self) || text == self.place()
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", self.scheme.prefix(), self.registry, self.repository)
    }
}

impl Serialize for ImageName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A tag of the OCI grammar, `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`, or the version of a chart, which may have one `+` before
/// build metadata (`1.2.0+up3.4.5`, Semantic Versioning, item 10).
///
/// No image has a tag with a `+`. Where a chart is in a container registry, its tag there has `_` instead, as Helm
/// does ([`Tag::in_registry`]).
///
/// Where a policy has ranges of versions replaced (`ranges: pin`), what is written before that is a range
/// ([`Tag::range`]): no registry has such a tag, and nothing is ever moved to one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    text: String,
    form: TagForm,
}

/// What the text of a [`Tag`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum TagForm {
    /// One version.
    Version,
    /// Any version in a range.
    Range,
}

/// The text of a [`Tag`], borrowed, for instance from a long list of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagRef<'t>(&'t str);

impl<'t> TagRef<'t> {
    /// Parses a tag.
    ///
    /// # Errors
    /// When the text is outside the OCI grammar.
    pub fn parse(text: &'t str) -> Result<Self, ImageError> {
        let bad = |reason| ImageError { text: shorten(text), reason };
        let mut bytes = text.bytes();
        match bytes.next() {
            None => return Err(bad("a tag is empty")),
            Some(first) if first.is_ascii_alphanumeric() || first == b'_' => {}
            Some(_) => return Err(bad("a tag starts with a letter, a digit or _")),
        }
        if text.len() > 128 {
            return Err(bad("a tag has at most 128 characters"));
        }
        if !bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'+')) {
            return Err(bad("a tag has only letters, digits and . _ -"));
        }
        if text.split('+').skip(1).enumerate().any(|(number, metadata)| number > 0 || metadata.is_empty()) {
            return Err(bad("a version has one + at most, and its build metadata behind it"));
        }
        Ok(Self(text))
    }

    /// Whether it has build metadata, which an image's tag never has.
    #[must_use]
    pub fn has_metadata(self) -> bool {
        self.0.contains('+')
    }

    /// The version of the chart that a container registry lists under this tag: with `+` where Helm writes `_`. A tag that
    /// would be no version stays as it is.
    #[must_use]
    pub fn of_chart(self) -> Option<Tag> {
        let (version, metadata) = self.0.split_once('_')?;
        let numbers = version.strip_prefix('v').unwrap_or(version).split('-').next().unwrap_or_default();
        let numbered = numbers.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        let plain = |text: &str| !text.is_empty() && !text.contains('_');
        (numbered && numbers.split('.').count() == 3 && plain(metadata))
            .then(|| Tag::version(format!("{version}+{metadata}")))
    }

    /// A tag from a list that contains only valid tags.
    pub(super) fn listed(text: &'t str) -> Self {
        Self(text)
    }

    /// The tag as written.
    #[must_use]
    pub fn as_str(self) -> &'t str {
        self.0
    }

    /// An owned copy of the tag.
    #[must_use]
    pub fn to_tag(self) -> Tag {
        Tag::version(self.0.to_owned())
    }
}

impl PartialEq<Tag> for TagRef<'_> {
    fn eq(&self, other: &Tag) -> bool {
        self.0 == other.text && !other.is_range()
    }
}

impl fmt::Display for TagRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Tag {
    /// Parses a tag.
    ///
    /// # Errors
    /// When the text is outside the OCI grammar.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        TagRef::parse(text).map(TagRef::to_tag)
    }

    fn version(text: String) -> Self {
        Self { text, form: TagForm::Version }
    }

    /// A range of versions that is written in place of one: `1.x`, `^1.2 || ~2.0.1`. Whether it is one that makes sense is for
    /// whoever compares versions with it.
    ///
    /// # Errors
    /// When the text is empty, longer than any real range, or has a character that no range has.
    pub fn range(text: &str) -> Result<Self, ImageError> {
        let bad = |reason| ImageError { text: shorten(text), reason };
        if text.trim().is_empty() || text.len() > MAX_RANGE {
            return Err(bad("a range of versions is not empty and has at most 200 characters"));
        }
        let known = |b: u8| b.is_ascii_alphanumeric() || b" .,-+_*<>=!~^|".contains(&b);
        if !text.bytes().all(known) {
            return Err(bad("a range has only versions, operators and spaces"));
        }
        Ok(Self { text: text.to_owned(), form: TagForm::Range })
    }

    /// Whether it stands for any version in a range, and not for one version.
    #[must_use]
    pub fn is_range(&self) -> bool {
        self.form == TagForm::Range
    }

    /// The tag as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The tag that a container registry has for it: with `_` for the `+` of a chart's version.
    #[must_use]
    pub fn in_registry(&self) -> Self {
        Self { text: self.text.replace('+', "_"), form: self.form }
    }

    /// The same tag, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> TagRef<'_> {
        TagRef(&self.text)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Tag {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// A content digest, `algorithm:hex`; `sha256` and `sha512` are checked for length.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Parses a digest.
    ///
    /// # Errors
    /// When the text is not `algorithm:hex` with the algorithm's length.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let bad = |reason| ImageError { text: shorten(text), reason };
        let (algorithm, hex) = text.split_once(':').ok_or_else(|| bad("a digest is algorithm:hex"))?;
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(bad("its digest algorithm is neither sha256 nor sha512")),
        };
        if hex.len() != length || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(bad("its digest has the wrong length or is not lower-case hexadecimal"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The digest as written, algorithm included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        let hex = self.0.split_once(':').map_or(self.0.as_str(), |(_, hex)| hex);
        hex.get(..12).unwrap_or(hex)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What fixes an image's content: a tag, a digest, or both. Either may be absent, depending on what is written in Git.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// The tag, where one is written.
    pub tag: Option<Tag>,
    /// The digest, where one is written.
    pub digest: Option<Digest>,
}

impl Version {
    /// Whether a range of versions is written in place of one.
    #[must_use]
    pub fn is_range(&self) -> bool {
        self.tag.as_ref().is_some_and(Tag::is_range)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.tag, &self.digest) {
            (Some(tag), Some(digest)) => write!(f, "{tag}@{digest}"),
            (Some(tag), None) => write!(f, "{tag}"),
            (None, Some(digest)) => write!(f, "@{digest}"),
            (None, None) => f.write_str("(none)"),
        }
    }
}

/// A full reference, `name[:tag][@digest]`, including how the name was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageReference {
    /// The name exactly as written, e.g. `nginx`.
    pub written: String,
    /// The same name, normalised.
    pub name: ImageName,
    /// Tag and digest.
    pub version: Version,
}

impl ImageReference {
    /// Parses `name[:tag][@digest]`.
    ///
    /// # Errors
    /// When name, tag or digest is not valid.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        // As a whole: a part of an address may be a secret.
        if text.contains("://") {
            return Err(ImageError { text: shorten(text), reason: "an image has no scheme" });
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        // A colon after the last slash starts the tag; one before it starts a port.
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (written, tag) = match rest[slash..].find(':') {
            Some(colon) => (&rest[..slash + colon], Some(Tag::parse(&rest[slash + colon + 1..])?)),
            None => (rest, None),
        };
        if tag.as_ref().is_some_and(|tag| tag.borrowed().has_metadata()) {
            return Err(ImageError { text: shorten(text), reason: "a tag has only letters, digits and . _ -" });
        }
        Ok(Self { written: written.to_owned(), name: ImageName::image(written)?, version: Version { tag, digest } })
    }
}

impl ImageReference {
    /// Parses a reference to an image, or to a chart or artifact with its scheme (`oci://ghcr.io/acme/charts/web:1.2.3`).
    ///
    /// # Errors
    /// When name, tag or digest is not valid.
    pub fn parse_any(text: &str) -> Result<Self, ImageError> {
        let (scheme, rest) = Scheme::split(text);
        if scheme == Scheme::Image {
            return Self::parse(text);
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (rest, None),
        };
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (written, tag) = match rest[slash..].split_once(':') {
            Some((name, tag)) => (&rest[..slash + name.len()], Some(Tag::parse(tag)?)),
            None => (rest, None),
        };
        let written = format!("{}{written}", scheme.prefix());
        Ok(Self { name: ImageName::parse(&written)?, written, version: Version { tag, digest } })
    }
}

/// Why a text is not an image name, tag, digest or reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct ImageError {
    /// The text, shortened for people.
    pub text: String,
    /// The rule it breaks.
    pub reason: &'static str,
}

impl<'de> Deserialize<'de> for ImageName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

fn split_host(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first.eq_ignore_ascii_case("localhost") => {
            (Some(first), rest)
        }
        _ => (None, text),
    }
}

fn canonical_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => DOCKER_HUB.to_owned(),
        _ => host,
    }
}

fn valid_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("ipv6", rest.strip_prefix(':')),
        Some(_) => return false,
        None => match host.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // What ends in a number is an address, in whatever way it is written (WHATWG, "URL", "ends in a number"): only the usual one is a
    // name of its own.
    let last = name.rsplit('.').next().unwrap_or(name);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let number = hex.map_or(last.bytes().all(|b| b.is_ascii_digit()), |hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    let known = !number || name.parse::<std::net::Ipv4Addr>().is_ok();
    known && name.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`: separators stand only between letters or digits.
fn valid_component(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !plain(first) || !plain(last) {
        return false;
    }
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    separators.into_iter().all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

/// A text for people. Where it is an address, or begins like one with a password, that is not shown.
fn shorten(text: &str) -> String {
    let has_user = || text.split('/').next().is_some_and(|first| first.len() < text.len() && first.contains('@'));
    let shown = if text.contains("://") || has_user() { super::shown_address(text) } else { text.to_owned() };
    let text = shown.as_str();
    let cut = text.char_indices().nth(80).map_or(text, |(end, _)| &text[..end]);
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{more}", super::visible(cut))
}

/// Whether a text is one whole version, `1.2.3[-pre][+build]` with or without a `v`, and not a range
/// (Semantic Versioning 2.0.0, sections 2, 9 and 10).
#[must_use]
pub fn is_exact_version(text: &str) -> bool {
    let version = text.strip_prefix('v').unwrap_or(text);
    let (version, metadata) = version.split_once('+').unwrap_or((version, "0"));
    let (numbers, pre) = version.split_once('-').unwrap_or((version, "0"));
    let identifiers = |text: &str| {
        text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
    };
    numbers.split('.').count() == 3
        && numbers.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
        && identifiers(pre)
        && identifiers(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        for (written, canonical) in [
            ("nginx", "docker.io/library/nginx"),
            ("library/nginx", "docker.io/library/nginx"),
            ("docker.io/nginx", "docker.io/library/nginx"),
            ("index.docker.io/acme/web", "docker.io/acme/web"),
            ("acme/web", "docker.io/acme/web"),
            ("ghcr.io/acme/web", "ghcr.io/acme/web"),
            ("GHCR.io/acme/web", "ghcr.io/acme/web"),
            ("localhost/web", "localhost/web"),
            ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c"),
            ("[::1]:5000/web", "[::1]:5000/web"),
            ("gcr.io/a__b/c---d.e", "gcr.io/a__b/c---d.e"),
        ] {
            assert_eq!(ImageName::parse(written).unwrap().to_string(), canonical, "{written}");
        }
    }

    #[test]
    fn bad_names_say_why() {
        for text in [
            "",
            "UPPER/x",
            "a//b",
            "/a",
            "a/",
            "{{ .Values.image }}",
            "$(IMAGE)",
            "a..b",
            "a b",
            "-a",
            "ghcr.io:0/a",
            "a:b/c",
        ] {
            assert!(ImageName::parse(text).is_err(), "{text}");
        }
        assert!(ImageName::parse(&"a".repeat(300)).is_err());
    }

    #[test]
    fn charts_are_named_by_their_address() {
        for (written, canonical, scheme, short) in [
            ("oci://GHCR.io/acme/charts/web", "oci://ghcr.io/acme/charts/web", Scheme::Oci, "web"),
            ("oci://registry-1.docker.io/acme/web", "oci://docker.io/acme/web", Scheme::Oci, "web"),
            ("oci://registry/web", "oci://registry/web", Scheme::Oci, "web"),
            ("https://Charts.example.com/web", "https://charts.example.com/web", Scheme::Https, "web"),
            ("https://example.com:8443/a/B~c/web", "https://example.com:8443/a/B~c/web", Scheme::Https, "web"),
            ("https://example.com:443/a/web", "https://example.com/a/web", Scheme::Https, "web"),
            ("http://example.com:80/a/web", "http://example.com/a/web", Scheme::Http, "web"),
            ("http://127.0.0.1:443/a/web", "http://127.0.0.1:443/a/web", Scheme::Http, "web"),
            ("https://[::1]:8443/a/web", "https://[::1]:8443/a/web", Scheme::Https, "web"),
            ("http://localhost/web", "http://localhost/web", Scheme::Http, "web"),
        ] {
            let name = ImageName::parse(written).unwrap();
            assert_eq!((name.to_string().as_str(), name.scheme(), name.short()), (canonical, scheme, short));
            assert_eq!(ImageName::parse(canonical).unwrap(), name);
        }
        for text in [
            "oci://",
            "oci://ghcr.io",
            "oci://ghcr.io/Acme/web",
            "https://charts.example.com",
            "https://charts.example.com/",
            "https://bot:secret@charts.example.com/web",
            "https://charts.example.com/web?token=x",
            "https://charts.example.com/../web",
            "https://charts.example.com/a/.../web",
            "https://charts.example.com/a/%2e%2e/web",
            "https://charts.example.com/a/.%2E/web",
            "https://charts.example.com/a%2f..%2fb/web",
            "https://charts.example.com/a%5c..%5cb/web",
            "https://charts.example.com/a%252e/web",
            "https://charts.example.com/a/..;/web",
            "https://charts.example.com/a\\..\\b/web",
            "https://charts.example.com/a/web#x",
            "https://charts.example.com./web",
            "https://charts.example.com:/web",
            "https://b\u{fc}cher.example/web",
            "https://2130706433/web",
            "https://0x7f.1/web",
            "https://0x7f000001/web",
            "https://127.1/web",
            "https://127.0.0.01/web",
            "https://charts.1/web",
            "oci://charts.example.com/a%2fb/web",
            "oci://0x7f.1/web",
            "https://charts.example.com//web",
            "https://{{ .host }}/web",
            "ftp://charts.example.com/web",
            "git://example.com/web",
        ] {
            assert!(ImageName::parse(text).is_err(), "{text}");
        }
        let chart = |address: &str, chart: &str| ImageName::chart(address, chart).map(|name| name.to_string()).ok();
        assert_eq!(chart("https://a.example/x/", "web").as_deref(), Some("https://a.example/x/web"));
        assert_eq!(chart("oci://ghcr.io/acme", "web").as_deref(), Some("oci://ghcr.io/acme/web"));
        for (address, name) in [("https://a.example", ""), ("https://a.example", "../web"), ("ghcr.io/acme", "web")] {
            assert_eq!(chart(address, name), None, "{address} {name}");
        }
        let name = ImageName::parse("https://a.example/x/web").unwrap();
        assert_eq!(name.helm_repository().as_deref(), Some("https://a.example/x"));
        assert!(name.is_called("web") && name.is_called("a.example/x/web") && !name.is_called("x/web"));
        assert!(ImageReference::parse("oci://ghcr.io/acme/web:1.0.0").is_err());
        let any = ImageReference::parse_any("https://a.example:8443/x/web:1.0.0+up2").unwrap();
        assert_eq!(
            (any.name.to_string().as_str(), any.version.to_string().as_str()),
            ("https://a.example:8443/x/web", "1.0.0+up2")
        );
        assert_eq!(ImageReference::parse_any("web:1.0.0").unwrap(), ImageReference::parse("web:1.0.0").unwrap());
    }

    #[test]
    fn charts_have_build_metadata_and_images_none() {
        let tag = Tag::parse("104.0.0+up0.15.0").unwrap();
        assert_eq!(tag.in_registry().as_str(), "104.0.0_up0.15.0");
        assert_eq!(tag.in_registry().borrowed().of_chart(), Some(tag));
        for text in ["1.0.0", "a_b", "1.0_b", "1.0.0_", "1.0.0_a_b", "1.x.0_a"] {
            assert_eq!(Tag::parse(text).unwrap().borrowed().of_chart(), None, "{text}");
        }
        for text in ["1.0.0+", "1.0.0+a+b", "+1"] {
            assert!(Tag::parse(text).is_err(), "{text}");
        }
        assert!(ImageReference::parse("web:1.0.0+a").is_err());
    }

    #[test]
    fn references_split_into_name_tag_and_digest() {
        let hex = "a".repeat(64);
        for (text, written, tag, digest) in [
            ("nginx:1.25".to_owned(), "nginx", Some("1.25"), false),
            ("localhost:5000/web".to_owned(), "localhost:5000/web", None, false),
            ("localhost:5000/web:v1".to_owned(), "localhost:5000/web", Some("v1"), false),
            (format!("ghcr.io/acme/web:1.0@sha256:{hex}"), "ghcr.io/acme/web", Some("1.0"), true),
            (format!("web@sha256:{hex}"), "web", None, true),
        ] {
            let parsed = ImageReference::parse(&text).unwrap();
            assert_eq!(parsed.written, written);
            assert_eq!(parsed.version.tag.as_ref().map(Tag::as_str), tag);
            assert_eq!(parsed.version.digest.is_some(), digest);
        }
        for text in ["web:", "web:-x", "web@sha256:abc", "web@", "web:1@md5:00", "web:a b"] {
            assert!(ImageReference::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tags_follow_the_oci_grammar() {
        assert!(Tag::parse(&"a".repeat(128)).is_ok());
        for text in ["", ".a", "-a", "a/b", "a\n", "ä", "a:b"] {
            assert!(Tag::parse(text).is_err(), "{text}");
        }
        assert!(Tag::parse(&"a".repeat(129)).is_err());
    }

    #[test]
    fn one_version_is_told_from_a_range() {
        for text in ["1.2.3", "v1.2.3", "1.2.3-rc.1", "104.0.0+up0.15.0", "1.2.3-a-b+c.d"] {
            assert!(is_exact_version(text), "{text}");
        }
        for text in [
            "",
            "*",
            "1",
            "1.2",
            "1.x",
            "1.2.x",
            "1.2.*",
            "^1.2.3",
            "~1.2.3",
            ">=1.2.3",
            "=1.2.3",
            "1.2.3 ",
            "1.2.3-",
            "1.2.3+",
            "1.2.3 - 1.2.5",
            "1.2.3.4",
            "main",
        ] {
            assert!(!is_exact_version(text), "{text}");
        }
    }
}
