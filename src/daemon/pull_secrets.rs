//! Pull secrets for the logins to registries, read from the configured clusters.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use secrecy::SecretString;

use crate::cluster::{Access, Now, Pace, PullSecretError, PullSecrets, Settings};
use crate::registry::{NoPullSecret, PullSecretName, PullSecretReader};

/// The clusters by name, and the one that the bot runs in.
pub(super) struct ClusterSecrets {
    named: BTreeMap<String, PullSecrets>,
    own: PullSecrets,
}

impl ClusterSecrets {
    /// Makes no connection.
    pub(super) fn new(clusters: Vec<Settings>, now: &Now) -> Self {
        let own = Settings {
            name: "that the bot runs in".to_owned(),
            access: Access::InCluster,
            context: None,
            environments: Vec::new(),
            namespaces: Vec::new(),
            pace: Pace::default(),
        };
        let named =
            clusters.into_iter().map(|settings| (settings.name.clone(), PullSecrets::new(settings, now.clone())));
        Self { named: named.collect(), own: PullSecrets::new(own, now.clone()) }
    }
}

impl PullSecretReader for ClusterSecrets {
    fn knows(&self, cluster: &str) -> bool {
        self.named.contains_key(cluster)
    }

    fn read<'a>(&'a self, secret: &'a PullSecretName) -> BoxFuture<'a, Result<SecretString, NoPullSecret>> {
        Box::pin(async move {
            let cluster = match &secret.cluster {
                None => &self.own,
                Some(name) => {
                    self.named.get(name).ok_or_else(|| NoPullSecret::Refused(format!("no cluster {name}")))?
                }
            };
            cluster.read(&secret.namespace, &secret.name).await.map_err(|error| match error {
                PullSecretError::Refused(reason) => NoPullSecret::Refused(reason),
                PullSecretError::Unavailable(reason) => NoPullSecret::Unavailable(reason),
            })
        })
    }
}
