//! From settings to clusters that can be watched.

use crate::cluster::{Access, Pace, Settings};
use crate::config::{ClusterSettings, Environment, SecretSource};

use super::setup::{SetupError, secret};

/// What the cluster edge needs for each configured cluster. A kubeconfig file is not read yet: if it is unreadable,
/// that affects only its cluster.
///
/// # Errors
/// If the environment variable of a kubeconfig is not set.
pub fn clusters(settings: &[ClusterSettings], environment: &Environment) -> Result<Vec<Settings>, SetupError> {
    settings.iter().map(|settings| cluster(settings, environment)).collect()
}

pub(super) fn cluster(settings: &ClusterSettings, environment: &Environment) -> Result<Settings, SetupError> {
    let access = match &settings.kubeconfig {
        None => Access::InCluster,
        Some(SecretSource::File(path)) => Access::File(path.clone()),
        Some(source @ SecretSource::Env(_)) => {
            Access::Text(secret(source, &format!("kubeconfig of cluster {}", settings.name), environment)?)
        }
    };
    Ok(Settings {
        name: settings.name.clone(),
        access,
        context: settings.context.clone(),
        environments: settings.environments.clone(),
        namespaces: settings.namespaces.clone(),
        pace: Pace::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_of_a_kubeconfig_has_its_access() {
        let settings = |kubeconfig| ClusterSettings {
            name: "eu-1".to_owned(),
            kubeconfig,
            context: Some("admin".to_owned()),
            environments: vec!["prod".to_owned()],
            namespaces: vec!["web".to_owned()],
        };
        let given = Environment::from_fn(|name| (name == "KUBE").then(|| "token: hunter2".to_owned()));
        let all = [
            settings(None),
            settings(Some(SecretSource::File("kubeconfig".into()))),
            settings(Some(SecretSource::Env("KUBE".to_owned()))),
        ];
        let made = clusters(&all, &given).unwrap();
        assert!(matches!(made[0].access, Access::InCluster));
        assert!(matches!(&made[1].access, Access::File(path) if path == std::path::Path::new("kubeconfig")));
        assert!(matches!(made[2].access, Access::Text(_)));
        assert_eq!((made[0].context.as_deref(), &made[0].namespaces[..]), (Some("admin"), &["web".to_owned()][..]));
        assert!(!format!("{made:?}").contains("hunter2"));
        let error = clusters(&all, &Environment::from_fn(|_| None)).unwrap_err();
        assert!(error.to_string().contains("kubeconfig of cluster eu-1"), "{error}");
    }
}
