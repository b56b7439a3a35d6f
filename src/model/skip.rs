//! What a scan leaves alone, and why.
//!
//! Promise: a reason is a value until it is displayed. A new reason does not compile until its sentence
//! ([`Display`](fmt::Display)) and its weight ([`SkipReason::weight`]) exist.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{ImageName, SearchLimit};

/// Something that was examined and left alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Skipped {
    /// The file, relative to what was scanned; a path that is not valid UTF-8 is converted lossily.
    pub path: String,
    /// The line, if it is about one scalar rather than the whole file.
    pub line: Option<usize>,
    /// The image there, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageName>,
    /// Why.
    pub reason: SkipReason,
}

impl Skipped {
    /// A reason for a whole file.
    #[must_use]
    pub fn file(path: impl Into<String>, reason: SkipReason) -> Self {
        Self { path: path.into(), line: None, image: None, reason }
    }
}

/// What a reason means for updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipWeight {
    /// There is nothing to update there, or it must never be written to.
    Expected,
    /// There is an image that is not updated, because Landfall does not write to such a place.
    NotUpdated,
    /// The content is unknown, and may hide a pin.
    Hidden,
}

/// Why something is left alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant's sentence in `fmt` is its documentation")]
pub enum SkipReason {
    // Images without a version.
    EmptyTag,
    EmptyDigest,
    EmptyImage,
    NoVersion { image: String },
    DefaultVersion,
    // Places that are never written to by design.
    Template,
    TemplateFile,
    ChartTemplates { files: usize },
    CommentedMarkers { count: usize },
    Sops,
    SealedSecret,
    Ignored,
    SymbolicLink,
    Submodule,
    ForeignFile,
    // Whole files.
    TooLarge { megabytes: usize },
    TooLargeOutline { kilobytes: usize },
    TooLargeBlob { bytes: u64 },
    BudgetSpent { megabytes: usize },
    NoRoom { places: usize, others: usize },
    NotUtf8,
    NotYaml { reason: String },
    NotParsed { syntax: &'static str, reason: String },
    TooManyPins,
    LongKey { bytes: usize },
    LargeVariables { bytes: usize, lines: usize },
    LfsPointer,
    BadName { reason: String },
    Unreadable { reason: String },
    NotRegular,
    LooksLikeValues { pattern: String },
    ValuesNotNamed { reason: String },
    // `.landfallignore`.
    IgnoreUnusable { reason: String },
    // Single values.
    Alias { anchor: usize },
    SharedAnchor { anchor: usize, alias: usize },
    MappingKey,
    DuplicateKey { key: String, line: usize },
    OtherSpelling { key: String, other: String, line: usize },
    MergedMore { line: usize },
    NotSingle,
    YamlTag { tag: String },
    SeveralLines,
    Escaped,
    NotAnImage { reason: String },
    DigestTwice,
    ShaBeside,
    NotText,
    Heredoc,
    Expression,
    // What policies declare.
    NothingMatches { place: String, origin: String },
    SeveralMatch { place: String, origin: String, count: usize },
    NeedsPattern { origin: String },
    OtherImage { declared: String, written: String },
    NotSearched { place: String, origin: String, limit: SearchLimit },
    NotDeclarable { place: String, origin: String, cap: String },
    NotShown,
    DeclaredTwice,
    // Compose.
    BuiltHere,
    Variable { name: String },
    PutTogether,
    SharedVariable { name: String, file: String },
    VariableElsewhere { name: String, file: String },
    VariableIsNoImage { name: String },
    // Entries and blocks.
    ImagesAlias,
    NotAnEntry,
    EntryWithoutName,
    NoRepository,
    NoRepositoryParameter,
    ParameterTwice { name: String },
    TwoNames,
    TagElsewhere { key: String, line: usize },
    VersionRepeated { key: String, line: usize },
    // Setter markers.
    MarkerUnreadable,
    MarkerWithoutValue,
    MarkerBehindSeveral,
    MarkerDisagrees,
    MarkerWithoutImage { policy: String },
    // Images in places that are not written to.
    TextPatch,
    JsonPatch,
    TemplatePatch,
    ValuesText,
    ValuesTextIndent,
    ValuesTextNotYaml { reason: String, line: usize },
    InText,
    UnknownKey,
    HubAndTag,
    CrossplanePackage,
    OciRange,
    ChartRange,
    NoHelmRepository { name: String },
    HelmRepositories { name: String, one: String, other: String },
    HelmRepositoryOpen { name: String, folder: String },
    ChartWithoutSource,
    ChartInSource,
    LocalChart,
    ChartAlias { name: String },
    RepositoryTwice { name: String, one: String, other: String },
    LockBeside { lock: String },
    LockUnfit { lock: String, reason: &'static str },
}

impl SkipReason {
    /// What the reason means for updates.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one line for each reason; the compiler asks for all of them")]
    pub fn weight(&self) -> SkipWeight {
        match self {
            Self::EmptyTag
            | Self::EmptyDigest
            | Self::EmptyImage
            | Self::NoVersion { .. }
            | Self::DefaultVersion
            | Self::Template
            | Self::TemplateFile
            | Self::ChartTemplates { .. }
            | Self::CommentedMarkers { .. }
            | Self::Sops
            | Self::SealedSecret
            | Self::Ignored
            | Self::SymbolicLink
            | Self::Submodule
            | Self::ForeignFile
            | Self::BuiltHere
            | Self::Variable { .. }
            | Self::OciRange
            | Self::ChartRange
            | Self::ChartInSource
            | Self::LocalChart => SkipWeight::Expected,
            Self::LooksLikeValues { .. }
            | Self::PutTogether
            | Self::SharedVariable { .. }
            | Self::VariableElsewhere { .. }
            | Self::VariableIsNoImage { .. }
            | Self::TagElsewhere { .. }
            | Self::VersionRepeated { .. }
            | Self::TextPatch
            | Self::JsonPatch
            | Self::TemplatePatch
            | Self::InText
            | Self::UnknownKey
            | Self::HubAndTag
            | Self::CrossplanePackage
            | Self::NoHelmRepository { .. }
            | Self::HelmRepositories { .. }
            | Self::HelmRepositoryOpen { .. }
            | Self::ChartWithoutSource
            | Self::ChartAlias { .. }
            | Self::RepositoryTwice { .. }
            | Self::LockBeside { .. }
            | Self::LockUnfit { .. } => SkipWeight::NotUpdated,
            Self::TooLarge { .. }
            | Self::TooLargeOutline { .. }
            | Self::TooLargeBlob { .. }
            | Self::BudgetSpent { .. }
            | Self::NoRoom { .. }
            | Self::NotUtf8
            | Self::NotYaml { .. }
            | Self::NotParsed { .. }
            | Self::NotText
            | Self::Heredoc
            | Self::Expression
            | Self::NothingMatches { .. }
            | Self::SeveralMatch { .. }
            | Self::NeedsPattern { .. }
            | Self::OtherImage { .. }
            | Self::NotSearched { .. }
            | Self::NotDeclarable { .. }
            | Self::NotShown
            | Self::DeclaredTwice
            | Self::TooManyPins
            | Self::LongKey { .. }
            | Self::LargeVariables { .. }
            | Self::LfsPointer
            | Self::BadName { .. }
            | Self::Unreadable { .. }
            | Self::NotRegular
            | Self::IgnoreUnusable { .. }
            | Self::ValuesNotNamed { .. }
            | Self::Alias { .. }
            | Self::SharedAnchor { .. }
            | Self::MappingKey
            | Self::DuplicateKey { .. }
            | Self::OtherSpelling { .. }
            | Self::MergedMore { .. }
            | Self::NotSingle
            | Self::YamlTag { .. }
            | Self::SeveralLines
            | Self::Escaped
            | Self::NotAnImage { .. }
            | Self::DigestTwice
            | Self::ShaBeside
            | Self::ImagesAlias
            | Self::NotAnEntry
            | Self::EntryWithoutName
            | Self::NoRepository
            | Self::NoRepositoryParameter
            | Self::ParameterTwice { .. }
            | Self::TwoNames
            | Self::MarkerUnreadable
            | Self::MarkerWithoutValue
            | Self::MarkerBehindSeveral
            | Self::MarkerDisagrees
            | Self::MarkerWithoutImage { .. }
            | Self::ValuesText
            | Self::ValuesTextIndent
            | Self::ValuesTextNotYaml { .. } => SkipWeight::Hidden,
        }
    }

    /// Whether nothing is missed there, so that nobody needs to look at the file.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        self.weight() == SkipWeight::Expected
    }
}

impl fmt::Display for SkipReason {
    #[expect(clippy::too_many_lines, reason = "one sentence for each reason; the compiler asks for all of them")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyTag => f.write_str("no tag or digest: the tag is empty, so a default applies"),
            Self::EmptyDigest => f.write_str("no tag or digest: the digest is empty"),
            Self::EmptyImage => f.write_str("no tag or digest: the image is empty"),
            Self::NoVersion { image } => write!(f, "no tag or digest is written for the image {image}"),
            Self::DefaultVersion => f.write_str("no tag or digest next to the repository, so a default applies"),
            Self::Template => f.write_str("a template, not a fixed value"),
            Self::TemplateFile => {
                f.write_str("a template (Helm or another), not YAML as it stands; the whole file is left alone")
            }
            Self::ChartTemplates { files: 1 } => f.write_str("a template of a chart, which only Helm can read"),
            Self::ChartTemplates { files } => write!(f, "{files} templates of a chart, which only Helm can read"),
            Self::CommentedMarkers { count: 1 } => f.write_str("a setter marker behind a value that is commented out"),
            Self::CommentedMarkers { count } => {
                write!(f, "{count} setter markers behind values that are commented out")
            }
            Self::Sops => f.write_str("encrypted with SOPS, whose checksum an edit would break"),
            Self::SealedSecret => f.write_str("a SealedSecret: only its controller can read it"),
            Self::Ignored => f.write_str("matched by .landfallignore"),
            Self::SymbolicLink => f.write_str("a symbolic link, which is not followed"),
            Self::Submodule => f.write_str("a submodule, which is not entered"),
            Self::ForeignFile => {
                f.write_str("it names images, but is neither a Kubernetes object nor Helm values (CI, Compose, …)")
            }
            Self::TooLarge { megabytes } => write!(f, "larger than {megabytes} MB"),
            Self::TooLargeOutline { kilobytes } => write!(f, "larger than {kilobytes} KB; what its keys hold is not read"),
            Self::TooLargeBlob { bytes } => write!(f, "{bytes} bytes is too large to be read"),
            Self::BudgetSpent { megabytes } => {
                write!(f, "not read: the YAML of this repository is larger than {megabytes} MB altogether")
            }
            Self::NoRoom { places, others } => {
                write!(f, "not read: there is no room for more than the {places} images and other places of files before it")?;
                match others {
                    0 => Ok(()),
                    1 => f.write_str("; another file is not read, either"),
                    others => write!(f, "; {others} other files are not read, either"),
                }
            }
            Self::LongKey { bytes } => {
                write!(f, "the keys that lead here are longer than {bytes} bytes altogether")
            }
            Self::LargeVariables { bytes, lines } => {
                write!(f, "more than {bytes} bytes or {lines} lines of variables; none of them is read")
            }
            Self::NotUtf8 => f.write_str("not valid UTF-8; the whole file is left alone"),
            Self::NotParsed { syntax, reason } => {
                write!(f, "not valid {syntax}: {reason}; what its keys hold is not read")
            }
            Self::NotText => f.write_str("not a text between quotes, so no version is written there"),
            Self::Heredoc => f.write_str("a heredoc, not a text on one line"),
            Self::Expression => f.write_str("an expression, not a fixed value"),
            Self::NothingMatches { place, origin } => {
                write!(f, "`{}` matches nothing in this file; {origin} declares it", place.escape_debug())
            }
            Self::SeveralMatch { place, origin, count } => write!(
                f,
                "`{}` matches {count} times, and {origin} declares one place: make it more precise, or say that all are meant (`*` in a path, `matches: every` beside a pattern)",
                place.escape_debug()
            ),
            Self::NeedsPattern { origin } => write!(
                f,
                "there are no keys in a file of this name (YAML, JSON, TOML and HCL have them): in {origin}, write a `pattern` in place of the `path`"
            ),
            Self::OtherImage { declared, written } => {
                write!(f, "the file names {}, but the policy {}", written.escape_debug(), declared.escape_debug())
            }
            Self::NotDeclarable { place, origin, cap } => write!(
                f,
                "{origin} declares `{}` here, which the cap at {cap} does not allow: whoever runs the bot may set `keyPaths: true` there",
                place.escape_debug()
            ),
            Self::NotSearched { place, origin, limit } => write!(
                f,
                "`{}` is not looked for here, because {limit}; {origin} declares it",
                place.escape_debug()
            ),
            Self::NotShown => f.write_str(
                "no version of the image that the policy declares; the value is not shown, because it may be a secret",
            ),
            Self::BuiltHere => f.write_str("the image is built by this service, not pulled"),
            Self::Variable { name } => {
                write!(f, "it needs the variable `{name}`, which neither a `.env` beside the file nor a default sets")
            }
            Self::PutTogether => f.write_str("its tag is put together from several parts"),
            Self::SharedVariable { name, file } => {
                write!(f, "the variable `{name}` in {file} is the version of several images: give each one of its own")
            }
            Self::VariableElsewhere { name, file } => {
                write!(f, "set by the variable `{name}` in {file}: it is updated there if a Compose file with a default name uses it")
            }
            Self::VariableIsNoImage { name } => write!(f, "with the variable `{name}` it is no image with a version"),
            Self::DeclaredTwice => f.write_str("declared twice in policies, for different images or different parts of the value"),
            Self::NotYaml { reason } => write!(f, "not valid YAML: {reason}; the whole file is left alone"),
            Self::TooManyPins => f.write_str("too many images in one file"),
            Self::LfsPointer => f.write_str("kept in Git LFS: only a pointer to it is in the repository"),
            Self::BadName { reason } => write!(f, "its name cannot be used: {reason}"),
            Self::Unreadable { reason } => write!(f, "cannot be read: {reason}"),
            Self::NotRegular => f.write_str("not a regular file"),
            Self::LooksLikeValues { pattern } => {
                write!(f, "looks like Helm values, but nothing names it as such: write `{pattern}` in a policy's `paths`")
            }
            Self::ValuesNotNamed { reason } => {
                write!(f, "Helm values files that it names are not recognised by it: {reason}")
            }
            Self::IgnoreUnusable { reason } => f.write_str(reason),
            Self::Alias { anchor } => write!(f, "an alias: the value is at the anchor in line {anchor}"),
            Self::SharedAnchor { anchor, alias } => write!(
                f,
                "shared through the anchor in line {anchor}: a change would also affect its alias in line {alias}"
            ),
            Self::MappingKey => f.write_str("inside the key of a mapping"),
            Self::DuplicateKey { key, line } => {
                write!(f, "the key `{key}` occurs twice (again in line {line}), and YAML readers differ in which one counts")
            }
            Self::OtherSpelling { key, other, line } => write!(
                f,
                "`{other}` in line {line} may count in place of `{key}`: that depends on what reads the file, so remove one of the two"
            ),
            Self::MergedMore { line } => write!(
                f,
                "what names the image is merged in from more, or larger, mappings than are followed (line {line}): write it here"
            ),
            Self::NotSingle => f.write_str("not a single value"),
            Self::YamlTag { tag } => write!(f, "the value carries the YAML tag {tag}"),
            Self::SeveralLines => f.write_str("written over several lines or as a block scalar"),
            Self::Escaped => f.write_str("the tag is written with escape sequences"),
            Self::NotAnImage { reason } => f.write_str(reason),
            Self::DigestTwice => f.write_str("the digest is written twice: next to the tag and separately"),
            Self::ShaBeside => f.write_str("a digest is written as `sha`, which would not be updated"),
            Self::ImagesAlias => f.write_str("the list of images is an alias: a change would also affect its anchor"),
            Self::NotAnEntry => f.write_str("not an entry with a name and a tag of its own"),
            Self::EntryWithoutName => f.write_str("the entry names no image: it has neither `name` nor `newName`"),
            Self::NoRepository => {
                f.write_str("no repository next to the tag: nothing here says which image it belongs to")
            }
            Self::NoRepositoryParameter => {
                f.write_str("no `repository` parameter next to the tag: nothing here says which image it belongs to")
            }
            Self::ParameterTwice { name } => write!(f, "the parameter {name} occurs twice"),
            Self::TwoNames => {
                f.write_str("it has both `repository` and a second name: how the chart combines them is unknown")
            }
            Self::TagElsewhere { key, line } => {
                write!(f, "the image has no tag here, but `{key}` in line {line} may be its tag: update it by hand, or mark it with a setter marker")
            }
            Self::VersionRepeated { key, line } => {
                write!(f, "`{key}` in line {line} repeats the version: both must change together, so neither is changed")
            }
            Self::MarkerUnreadable => {
                f.write_str("a setter marker that cannot be read: it is `# {\"$imagepolicy\": \"namespace:policy[:tag]\"}`")
            }
            Self::MarkerWithoutValue => f.write_str("a setter marker without a value on its line"),
            Self::MarkerBehindSeveral => f.write_str("a setter marker behind more than one value on its line"),
            Self::MarkerDisagrees => {
                f.write_str("the setter marker and its surroundings disagree about what this value is")
            }
            Self::MarkerWithoutImage { policy } => write!(
                f,
                "a setter marker for a part of a reference, but no image: neither a name next to it nor a marker {policy}:name"
            ),
            Self::TextPatch => {
                f.write_str("a patch written as text sets an image: only images in YAML of its own are edited")
            }
            Self::JsonPatch => f.write_str("a JSON patch sets an image: only images in objects are edited"),
            Self::TemplatePatch => {
                f.write_str("a template patch written as text mentions an image: only images in YAML are edited")
            }
            Self::ValuesText => {
                f.write_str("values as text are edited only in a literal block scalar (`values: |`) of their own")
            }
            Self::ValuesTextIndent => {
                f.write_str("the block scalar's indentation does not map to bytes")
            }
            Self::ValuesTextNotYaml { reason, line } => {
                write!(f, "the values in it are not YAML: {reason} (line {line})")
            }
            Self::InText => f.write_str("text inside this value names an image: only images in YAML of its own are edited"),
            Self::UnknownKey => {
                f.write_str("looks like an image, but under a key that is not known to hold one: mark it with a setter marker, or name it in a policy's `keyPaths`, to have it updated")
            }
            Self::HubAndTag => f.write_str("a `hub` and a `tag` for several images: they are not named here"),
            Self::CrossplanePackage => f.write_str(
                "a Crossplane package without a registry's host, which Crossplane's settings decide: write it in full, such as xpkg.crossplane.io/acme/provider:v1.0.0",
            ),
            Self::ChartRange => {
                f.write_str("a range of versions of a chart: what reads it chooses the newest one in it (`ranges: pin` in a policy has the range replaced by that version)")
            }
            Self::NoHelmRepository { name } => write!(
                f,
                "no file declares the HelmRepository {name} that the chart comes from: put it into this repository to have the version updated"
            ),
            Self::HelmRepositories { name, one, other } => write!(
                f,
                "which HelmRepository {name} the chart comes from is not certain, for they have different addresses ({one}, {other}): write the namespace into both `sourceRef` and the HelmRepository"
            ),
            Self::HelmRepositoryOpen { name, folder } => write!(
                f,
                "the chart's HelmRepository {name} may be the one in {}, but nothing says so, for one of both has no namespace: write it into both `sourceRef` and the HelmRepository, or into a kustomization that lists the file",
                if folder.is_empty() { "the repository's root" } else { folder }
            ),
            Self::ChartWithoutSource => f.write_str(
                "the version of a chart without `chart` and `sourceRef` beside it, as in a patch: write it into the HelmRelease itself to have it updated",
            ),
            Self::LocalChart => f.write_str("a chart in a folder, which has its version in its own Chart.yaml"),
            Self::RepositoryTwice { name, one, other } => write!(
                f,
                "the repository {name} is declared at two different addresses ({one}, {other}): remove one of the two"
            ),
            Self::ChartAlias { name } => write!(
                f,
                "the chart's repository is only named here ({}), and nothing in this file says its address: write that",
                name.escape_debug()
            ),
            Self::LockBeside { lock } => write!(
                f,
                "the version is in {lock} beside it, too, with a checksum: update both with `helmfile deps`"
            ),
            Self::LockUnfit { lock, reason } => write!(
                f,
                "the version is in {lock} beside it, too, which does not fit ({reason}), so `helm dependency build` fails: make it anew with `helm dependency update`"
            ),
            Self::ChartInSource => f.write_str(
                "a chart from a Git repository or a bucket, which has its version in its own Chart.yaml: Flux ignores this one",
            ),
            Self::OciRange => {
                f.write_str("a range of versions of an OCI artifact: what reads it chooses the newest one in it")
            }
        }
    }
}

impl Serialize for SkipReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
