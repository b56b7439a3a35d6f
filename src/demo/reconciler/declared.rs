//! What Git declares: the image of each app in each environment, read as Landfall reads it.

use anyhow::Context as _;

use crate::demo::files::ENVIRONMENTS;
use crate::git::Mirror;
use crate::model::{CommitId, RepoPath};
use crate::overlay::scan_file;

/// One app in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeclaredTree {
    pub(super) environment: &'static str,
    /// With tag and digest, as a pod template has it.
    pub(super) image: String,
    pub(super) replicas: i64,
}

/// What a commit declares for an app. An overlay that is gone declares nothing.
pub(super) fn read(mirror: &Mirror, at: &CommitId, app: &str) -> anyhow::Result<Vec<DeclaredTree>> {
    let mut found = Vec::new();
    for environment in ENVIRONMENTS {
        let path = RepoPath::parse(&path(app, environment))?;
        let Some(bytes) = mirror.read(at, &path)? else { continue };
        let scan = scan_file(&path, &bytes);
        // The version of a chart's values counts as well: the Application names the file.
        let pin = scan.pins.into_iter().chain(scan.values).next();
        let pin = pin.with_context(|| format!("{path} declares no image"))?;
        let version = pin.version.to_string();
        let separator = if version.starts_with('@') { "" } else { ":" };
        let image = format!("{}{separator}{version}", pin.image);
        found.push(DeclaredTree { environment, image, replicas: replicas(&bytes) });
    }
    Ok(found)
}

/// The file that an app's version stands in.
pub(super) fn path(app: &str, environment: &str) -> String {
    let file = match app {
        "web" => "kustomization.yaml",
        "api" => "values.yaml",
        _ => "cronjob.yaml",
    };
    format!("apps/{app}/overlays/{environment}/{file}")
}

/// `replicaCount` of values; one where nobody says.
fn replicas(bytes: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(bytes);
    let said = text.lines().find_map(|line| line.strip_prefix("replicaCount:")?.trim().parse().ok());
    said.unwrap_or(1)
}
