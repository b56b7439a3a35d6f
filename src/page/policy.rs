//! The policy in force for a place, with the line of each file that says so.

use schemars::JsonSchema;
use serde::Serialize;

use crate::message::policy_fields;
use crate::model::{ImageName, RepoPath};
use crate::policy::PolicyMatch;

use super::facts::Facts;

/// The policy in force for a file and an image.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PolicyView {
    /// The repository.
    pub repository: String,
    /// The branch.
    pub branch: String,
    /// The file.
    pub path: String,
    /// The image; `null`: any.
    pub image: Option<String>,
    /// The deciding policy; `null` if none applies.
    pub policy: Option<String>,
    /// How updates are written.
    pub write: &'static str,
    /// Which cap of the bot's configuration has changed that, with its place.
    pub capped: Option<String>,
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: Option<String>,
    /// The overlay's folder.
    pub overlay: String,
    /// The fields in force.
    pub fields: Vec<PolicyFieldView>,
    /// Every policy, and why it applies or does not.
    pub policies: Vec<PolicyMatchView>,
}

/// A field in force.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PolicyFieldView {
    /// Its name in policy files.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// The file that sets it.
    pub file: String,
    /// The line.
    pub line: usize,
}

/// A policy, and why it applies or does not.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PolicyMatchView {
    /// Its name.
    pub name: String,
    /// Whether it applies.
    pub applies: bool,
    /// Why.
    pub reason: String,
    /// The file that it is in.
    pub file: String,
    /// The line.
    pub line: usize,
}

/// The policy in force on the branch that declares the file, or else on the main branch; `None` if the repository is unknown.
///
/// # Errors
/// When path or image cannot be such, for people.
pub fn policy_view(
    facts: &Facts<'_>,
    repository: &str,
    path: &str,
    image: Option<&str>,
) -> Result<Option<PolicyView>, String> {
    let path = RepoPath::parse(path).map_err(|error| error.to_string())?;
    let image = image.filter(|image| !image.is_empty()).map(ImageName::parse).transpose();
    let image = image.map_err(|error| error.to_string())?;
    let Some(it) = facts.repositories.get(repository) else { return Ok(None) };
    let declares = |branch: &&super::facts::BranchFacts<'_>| {
        branch.declared.iter().any(|declared| declared.pins.iter().any(|pin| pin.path == path))
    };
    let Some(branch) = it.branches.iter().find(declares).or_else(|| it.branches.first()) else { return Ok(None) };
    let effective = branch.policies.effective_for(&path, image.as_ref());
    let fields = policy_fields(&effective.fields).into_iter().map(|field| PolicyFieldView {
        name: field.name,
        value: field.value,
        file: field.origin.file.clone(),
        line: field.origin.line,
    });
    let policies =
        branch.policies.verdicts(&path, image.as_ref()).into_iter().map(|(policy, verdict)| PolicyMatchView {
            name: policy.name.value.clone(),
            applies: matches!(verdict, PolicyMatch::Matched { .. }),
            reason: match verdict {
                PolicyMatch::Matched { pattern } if image.is_none() && !policy.images.is_empty() => {
                    format!("path matches {pattern}; only for some images")
                }
                PolicyMatch::Matched { pattern } => format!("path matches {pattern}"),
                PolicyMatch::OtherPath => "no path matches".to_owned(),
                PolicyMatch::OtherImage => "the path matches, but no image pattern".to_owned(),
            },
            file: policy.name.origin.file.clone(),
            line: policy.name.origin.line,
        });
    let policies = policies.collect();
    let capped = effective.capped.as_ref().map(|capped| {
        let (asked, cap) = (capped.asked.as_str(), &capped.cap);
        format!("asked for {asked}, capped for {} at {}:{}", capped.paths.join(", "), cap.file, cap.line)
    });
    Ok(Some(PolicyView {
        repository: repository.to_owned(),
        branch: branch.name.to_string(),
        path: path.to_string(),
        image: image.map(|image| image.to_string()),
        write: effective.write.as_str(),
        capped,
        fields: fields.collect(),
        policies,
        app: effective.app.clone(),
        environment: effective.environment.clone(),
        overlay: effective.overlay.clone(),
        policy: effective.policy,
    }))
}
