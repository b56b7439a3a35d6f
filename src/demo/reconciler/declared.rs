//! What Git declares: the image of each app in each environment, found in the same way as Landfall finds it.

use anyhow::Context as _;

use crate::demo::files::ENVIRONMENTS;
use crate::git::Mirror;
use crate::model::{CommitId, RepoPath};
use crate::overlay::scan_file;

/// What is declared for one app in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeclaredTree {
    pub(super) environment: &'static str,
    /// With tag and digest, as in a pod template.
    pub(super) image: String,
    pub(super) replicas: i64,
}

/// What a commit declares for an app. A removed overlay declares nothing.
pub(super) fn read(mirror: &Mirror, at: &CommitId, app: &str) -> anyhow::Result<Vec<DeclaredTree>> {
    let mut found = Vec::new();
    for environment in ENVIRONMENTS {
        let path = RepoPath::parse(&path(app, environment))?;
        let Some(bytes) = mirror.read(at, &path)? else { continue };
        let scan = scan_file(&path, &bytes);
        // Pins in the chart's values count as well, because the Application names the file.
        let pin = scan.pins.into_iter().chain(scan.values).next();
        let pin = pin.with_context(|| format!("{path} declares no image"))?;
        let version = pin.version.to_string();
        let separator = if version.starts_with('@') { "" } else { ":" };
        let image = format!("{}{separator}{version}", pin.image);
        found.push(DeclaredTree { environment, image, replicas: replicas(&bytes) });
    }
    Ok(found)
}

/// The file with an app's version.
pub(super) fn path(app: &str, environment: &str) -> String {
    let file = match app {
        "web" => "kustomization.yaml",
        "api" => "values.yaml",
        _ => "cronjob.yaml",
    };
    format!("apps/{app}/overlays/{environment}/{file}")
}

/// `replicaCount` in the values; 1 by default.
fn replicas(bytes: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(bytes);
    let said = text.lines().find_map(|line| line.strip_prefix("replicaCount:")?.trim().parse().ok());
    said.unwrap_or(1)
}
