//! Pins: the places in files that fix an image's version.

use serde::Serialize;

use super::{ImageName, RepoPath, Version};

/// What kind of place a pin is (CLI.md, `scan`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinKind {
    /// An entry of `images:` in a kustomization.
    Kustomize,
    /// `image:` of a container in an object with a pod template.
    Container,
    /// A block or string in a Helm values file.
    HelmValues,
    /// Values inside a Flux `HelmRelease`.
    HelmRelease,
    /// Helm or Kustomize settings inside an Argo CD `Application` or `ApplicationSet`.
    ArgoApplication,
    /// A scalar marked with `# {"$imagepolicy": …}`.
    Setter,
}

impl PinKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Kustomize, Self::Container, Self::HelmValues, Self::HelmRelease, Self::ArgoApplication, Self::Setter];

    /// The word used in JSON and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kustomize => "kustomize",
            Self::Container => "container",
            Self::HelmValues => "helm-values",
            Self::HelmRelease => "helm-release",
            Self::ArgoApplication => "argo-application",
            Self::Setter => "setter",
        }
    }
}

/// A half-open range of bytes in a file, quotes of a scalar included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Which scalars of the file make up the pin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PinLocation {
    /// One scalar holds `name[:tag][@digest]`.
    Reference(Span),
    /// Separate scalars; a tag scalar may itself hold `tag@digest`.
    Fields {
        /// The scalar with the name (`newName`, `repository`), where there is one that may be changed.
        name: Option<Span>,
        /// The scalar with the tag.
        tag: Option<Span>,
        /// The scalar with the digest.
        digest: Option<Span>,
    },
}

/// One place in a file that fixes an image's version.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    /// The file.
    pub path: RepoPath,
    /// Line of the first character of the tag or digest, from 1.
    pub line: usize,
    /// Column of that character, in characters, from 1.
    pub column: usize,
    /// The kind of place.
    pub kind: PinKind,
    /// The key path within its document, e.g. `images[0].newTag`; documents after the first are prefixed `[n].` with
    /// `n` counted from 0.
    pub key: String,
    /// The repository as written, after `newName`.
    pub image: String,
    /// The same, normalised.
    pub name: ImageName,
    /// What is written now.
    pub version: Version,
    /// Where it is written.
    pub location: PinLocation,
}

/// Something that was looked at and left alone, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Skipped {
    /// The file, relative to what was scanned; may be a path that is not valid UTF-8 shown lossily.
    pub path: String,
    /// The line, where one scalar is meant and not the whole file.
    pub line: Option<usize>,
    /// Why, in words for a person.
    pub reason: String,
}
