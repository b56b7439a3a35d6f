//! The kinds of senders: one file per kind, and one line in the table below.
//!
//! A kind's file says how the sender presents its secret and turns a webhook into hints; the facts about its wire
//! format are in its documentation. Names, dispatch, keys, schema texts and the checks of `landfall check` follow from
//! the table. How to set each up is in docs/reference/webhooks.md.

use serde_json::Value;

use crate::document::check::Check;
use crate::document::fault::Mark;

use super::body::Told;
use super::keys::{SecretKeys, SenderProof, SourceKeys, TokenKeys};
use super::scheme::{RequestHead, Scheme};

mod acr;
mod artifactory;
mod azure_devops;
mod bitbucket;
mod cloudevents;
mod distribution;
mod docker_hub;
mod ecr;
mod gar;
mod generic;
mod gitea;
mod github;
mod gitlab;
mod harbor;
mod nexus;
mod quay;
#[cfg(test)]
mod tests;
mod zot;

/// Generates everything that depends on the kind from one line per kind.
macro_rules! sources {
    ($( #[doc = $text:literal] $name:literal => $Kind:ident($Keys:ty, $Sender:ty); )*) => {
        crate::document::kinds::kinds! {
            /// The keys of each kind, as written.
            enum SourceConfig, expecting "a source as a mapping with `name` and `kind`";
            $( #[doc = $text] $name => $Kind($Keys), )*
        }

        impl SourceConfig {
            /// Checks the keys and returns the kind and its proof if they are valid.
            pub(crate) fn check(&self, at: Mark, check: &mut Check<'_, '_>) -> Option<(SourceKind, SenderProof)> {
                match self {
                    $( Self::$Kind(keys) => keys.check(at, check).map(|proof| (SourceKind::$Kind, proof)), )*
                }
            }
        }

        /// The kind of sender.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum SourceKind {
            $( #[doc = $text] $Kind, )*
        }

        impl SourceKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$( Self::$Kind ),*];

            /// The word used in configurations.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $( Self::$Kind => $name, )*
                }
            }

            /// How its secret may be presented.
            pub(super) fn schemes(self) -> &'static [Scheme] {
                match self {
                    $( Self::$Kind => <$Sender as Sender>::SCHEMES, )*
                }
            }

            /// What a webhook tells.
            pub(super) fn read(self, head: RequestHead<'_>, body: &Value) -> Told {
                match self {
                    $( Self::$Kind => <$Sender as Sender>::read(head, body), )*
                }
            }

            /// The id that the sender repeats if it sends the same webhook again.
            pub(super) fn delivery(self, head: RequestHead<'_>, body: &Value) -> Option<String> {
                match self {
                    $( Self::$Kind => <$Sender as Sender>::delivery(head, body), )*
                }
            }
        }
    };
}

sources! {
    /// The distribution registry (docker-registry), by its notifications.
    "distribution" => Distribution(SecretKeys, distribution::Distribution);
    /// Docker Hub.
    "dockerhub" => DockerHub(SecretKeys, docker_hub::DockerHub);
    /// Quay.
    "quay" => Quay(SecretKeys, quay::Quay);
    /// Harbor, default payload or CloudEvents.
    "harbor" => Harbor(SecretKeys, harbor::Harbor);
    /// Azure Container Registry.
    "acr" => Acr(SecretKeys, acr::Acr);
    /// Google Artifact Registry, by a Pub/Sub push subscription.
    "gar" => Gar(TokenKeys, gar::Gar);
    /// Amazon ECR, by EventBridge, as it is or as CloudEvents.
    "ecr" => Ecr(SecretKeys, ecr::Ecr);
    /// Sonatype Nexus.
    "nexus" => Nexus(SecretKeys, nexus::Nexus);
    /// JFrog Artifactory.
    "artifactory" => Artifactory(SecretKeys, artifactory::Artifactory);
    /// Zot.
    "zot" => Zot(SecretKeys, zot::Zot);
    /// GitHub: pushes, pull requests, reviews, checks; images on ghcr.io.
    "github" => GitHub(SecretKeys, github::GitHub);
    /// GitLab: pushes, merge requests, pipelines.
    "gitlab" => GitLab(SecretKeys, gitlab::GitLab);
    /// Gitea and Forgejo: pushes, pull requests, reviews, statuses; images in their registry.
    "gitea" => Gitea(SecretKeys, gitea::Gitea);
    /// Bitbucket Cloud and Data Center.
    "bitbucket" => Bitbucket(SecretKeys, bitbucket::Bitbucket);
    /// Azure DevOps.
    "azure-devops" => AzureDevOps(SecretKeys, azure_devops::AzureDevOps);
    /// Anything that can send JSON and an HMAC, such as a CI job.
    "generic" => Generic(SecretKeys, generic::Generic);
    /// Anything that sends CloudEvents.
    "cloudevents" => CloudEvents(SecretKeys, cloudevents::CloudEvents);
}

/// One kind of sender.
pub(super) trait Sender {
    /// How its secret may be presented; any of these is enough.
    const SCHEMES: &'static [Scheme];

    /// What a webhook tells, from its headers and its parsed body.
    fn read(head: RequestHead<'_>, body: &Value) -> Told;

    /// The id that the sender repeats if it sends the same webhook again.
    fn delivery(_: RequestHead<'_>, _: &Value) -> Option<String> {
        None
    }
}
