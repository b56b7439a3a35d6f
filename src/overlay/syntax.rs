//! How a file is written, by its name.

use super::kinds;
use crate::model::RepoPath;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// YAML, which JSON is a part of.
    Yaml,
    /// TOML.
    Toml,
    /// HCL: Terraform, OpenTofu, Nomad.
    Hcl,
    /// JSON as Terraform and OpenTofu read it.
    Json,
    /// Any other text.
    Text,
}

impl Syntax {
    /// How the file with this name is written.
    pub(super) fn of(path: &RepoPath) -> Self {
        let name = path.file_name();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        let is = |known: &[&str]| known.iter().any(|known| extension.eq_ignore_ascii_case(known));
        match () {
            () if path.is_terraform() && is(&["json"]) => Self::Json,
            () if is(&["yaml", "yml", "json"]) || kinds::is_kustomization_file(name) => Self::Yaml,
            () if is(&["toml"]) => Self::Toml,
            () if is(&["tf", "tfvars", "tofu", "hcl", "nomad"]) => Self::Hcl,
            () => Self::Text,
        }
    }

    /// Its name, for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Yaml => "YAML",
            Self::Toml => "TOML",
            Self::Hcl => "HCL",
            Self::Json => "JSON",
            Self::Text => "text",
        }
    }
}
