//! Programs that a kubeconfig names to provide credentials (`exec`: `aws eks get-token`, `gke-gcloud-auth-plugin`, `kubelogin`, …).
//!
//! The protocol is client-go's
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>): what is asked is
//! in the variable `KUBERNETES_EXEC_INFO`, and an `ExecCredential` with a token or a certificate is printed.
//!
//! Promise: a program ends within its time with everything it started, and takes a bounded amount of memory. It sees only the
//! part of our environment that it may need, and nobody to talk to; nothing that it prints is shown, since it may be a secret.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::config::{AuthInfo, ExecAuthCluster, ExecConfig, Kubeconfig};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

use super::fault::ApiFault;
use crate::model::visible;
use crate::process::{self, Bounds};

/// What a program that runs may take.
const BOUNDS: Bounds = Bounds { time: Duration::from_secs(30), output: 256 << 10, memory: Some(1 << 30) };

#[derive(Deserialize)]
struct Printed {
    status: Option<Provided>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provided {
    token: Option<SecretString>,
    client_certificate_data: Option<String>,
    client_key_data: Option<SecretString>,
    expiration_timestamp: Option<String>,
}

/// Puts the credentials that the program of the context's user provides in place of the program. Returns when they expire, if
/// there is such a program and it says so.
pub(super) async fn provide(
    kubeconfig: &mut Kubeconfig,
    context: Option<&str>,
    bounds: Option<Bounds>,
) -> Result<Option<Timestamp>, ApiFault> {
    let name = context.or(kubeconfig.current_context.as_deref());
    let named = kubeconfig.contexts.iter().find(|it| Some(it.name.as_str()) == name);
    let Some(context) = named.and_then(|it| it.context.clone()) else { return Ok(None) };
    let of_context = |user: &&mut kube::config::NamedAuthInfo| Some(&user.name) == context.user.as_ref();
    let cluster = kubeconfig.clusters.iter().find(|it| it.name == context.cluster).and_then(|it| it.cluster.as_ref());
    let cluster = cluster.and_then(|cluster| ExecAuthCluster::try_from(cluster).ok());
    let user = kubeconfig.auth_infos.iter_mut().find(of_context).and_then(|user| user.auth_info.as_mut());
    let Some((user, plugin)) = user.and_then(|user| user.exec.take().map(|plugin| (user, plugin))) else {
        return Ok(None);
    };
    let failed = |why: &str| {
        let program = plugin.command.as_deref().unwrap_or_default();
        let program = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        ApiFault::Unauthorized(format!(
            "no credentials for the server are available: the program {} of the kubeconfig {why}; run it as the bot's user, with its \
             environment",
            visible(&program)
        ))
    };
    let mut command = command(&plugin, cluster.as_ref()).ok_or_else(|| failed("has no name"))?;
    let done = process::run(&mut command, None, bounds.unwrap_or(BOUNDS)).await;
    let done = done.map_err(|error| failed(&error.to_string()))?;
    if !done.success {
        return Err(failed("failed"));
    }
    let printed: Printed =
        serde_json::from_slice(&done.stdout).map_err(|_| failed("printed something else than credentials"))?;
    let provided = printed.status.ok_or_else(|| failed("printed no credentials"))?;
    let expires = provided.expiration_timestamp.as_deref().and_then(|time| time.parse().ok());
    put(user, provided).ok_or_else(|| failed("printed no credentials"))?;
    Ok(expires)
}

/// The program with what it may see; `None` if it has no name.
fn command(plugin: &ExecConfig, cluster: Option<&ExecAuthCluster>) -> Option<Command> {
    #[expect(clippy::disallowed_methods, reason = "what a credential program sees of our environment is decided here")]
    let environment = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(process::may_see));
    let pair =
        |variable: &HashMap<String, String>| Some((variable.get("name")?.clone(), variable.get("value")?.clone()));
    let given = plugin.env.iter().flatten().filter_map(pair);
    let mut spec = json!({ "interactive": false });
    if let Some(cluster) = cluster.filter(|_| plugin.provide_cluster_info) {
        spec["cluster"] = serde_json::to_value(cluster).ok()?;
    }
    let asked = json!({ "apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec });
    #[expect(clippy::disallowed_methods, reason = "the one place where credential programs of kubeconfigs are started")]
    let mut command = Command::new(plugin.command.as_deref().filter(|name| !name.is_empty())?);
    command.args(plugin.args.iter().flatten()).env_clear().envs(environment).envs(given);
    command.env("KUBERNETES_EXEC_INFO", asked.to_string());
    Some(command)
}

/// Gives a user these credentials; `None` if there are none.
fn put(user: &mut AuthInfo, provided: Provided) -> Option<()> {
    let certificate = provided.client_certificate_data.zip(provided.client_key_data);
    if provided.token.is_none() && certificate.is_none() {
        return None;
    }
    if let Some(token) = provided.token {
        user.token = Some(token);
    }
    if let Some((certificate, key)) = certificate {
        user.client_certificate_data = Some(STANDARD.encode(certificate));
        user.client_key_data = Some(STANDARD.encode(key.expose_secret()).into());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kubeconfig whose user has this shell script, and what comes of it in at most two seconds.
    async fn provided(script: &str, more: &str) -> (Kubeconfig, Result<Option<Timestamp>, ApiFault>) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{ name: c, context: {{ cluster: c, user: u }} }}]\n\
             clusters: [{{ name: c, cluster: {{ server: 'http://127.0.0.1:1' }} }}]\nusers:\n  - name: other\n    user: {{ exec: {{ command: \
             nothing }} }}\n  - name: u\n    user:\n      exec:\n        apiVersion: client.authentication.k8s.io/v1\n        command: \
             sh\n        env: [{{ name: GIVEN, value: given }}]\n        args: ['-c', {}]\n{more}",
            serde_json::to_string(script).unwrap()
        );
        let mut kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
        let bounds = Bounds { time: Duration::from_secs(2), ..BOUNDS };
        let found = provide(&mut kubeconfig, None, Some(bounds)).await;
        (kubeconfig, found)
    }

    fn why(found: Result<Option<Timestamp>, ApiFault>) -> String {
        match found {
            Err(ApiFault::Unauthorized(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_token_is_put_in_place_of_its_program() {
        let script = r#"echo '{"kind":"ExecCredential","status":{"token":"hunter2","expirationTimestamp":"2026-05-04T10:00:00Z"}}'"#;
        let (kubeconfig, found) = provided(script, "").await;
        assert_eq!(found, Ok(Some("2026-05-04T10:00:00Z".parse().unwrap())));
        let user = kubeconfig.auth_infos[1].auth_info.as_ref().unwrap();
        assert_eq!(user.token.as_ref().unwrap().expose_secret(), "hunter2");
        assert!(user.exec.is_none(), "{user:?}");
    }

    #[tokio::test]
    async fn a_certificate_is_what_a_kubeconfig_has() {
        let script = r#"echo '{"status":{"clientCertificateData":"CERT","clientKeyData":"KEY"}}'"#;
        let (kubeconfig, found) = provided(script, "").await;
        assert_eq!(found, Ok(None));
        let user = kubeconfig.auth_infos[1].auth_info.as_ref().unwrap();
        assert_eq!(user.client_certificate_data.as_deref(), Some("Q0VSVA=="));
        assert_eq!(user.client_key_data.as_ref().unwrap().expose_secret(), "S0VZ");
    }

    #[tokio::test]
    async fn a_program_ends_in_time_takes_little_and_is_not_quoted() {
        for (script, said) in [
            ("sleep 60", "took too long and was stopped"),
            ("exec yes hunter2", "produced too much output and was stopped"),
            ("echo hunter2; echo hunter2 >&2; exit 1", "the program sh of the kubeconfig failed"),
            ("echo hunter2", "printed something else than credentials"),
            ("echo '{}'", "printed no credentials"),
            (r#"echo '{"status":{"clientKeyData":"hunter2"}}'"#, "printed no credentials"),
        ] {
            let why = why(provided(script, "").await.1);
            assert!(why.contains(said) && !why.contains("hunter2"), "{script}: {why}");
        }
    }

    #[tokio::test]
    async fn a_credential_program_sees_only_what_it_needs() {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let script = format!("env > {}; exit 1", seen.display());
        why(provided(&script, "        provideClusterInfo: true\n").await.1);
        let seen = std::fs::read_to_string(seen).unwrap();
        let names: Vec<&str> = seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        assert!(names.contains(&"PATH") && names.contains(&"GIVEN"), "{names:?}");
        let info = seen.lines().find_map(|line| line.strip_prefix("KUBERNETES_EXEC_INFO=")).unwrap();
        let info: serde_json::Value = serde_json::from_str(info).unwrap();
        assert_eq!(info["apiVersion"], "client.authentication.k8s.io/v1");
        assert_eq!(
            (&info["spec"]["interactive"], &info["spec"]["cluster"]["server"]),
            (&json!(false), &json!("http://127.0.0.1:1"))
        );
        // What the shell sets by itself.
        let own = ["PWD", "OLDPWD", "SHLVL", "_", "GIVEN", "KUBERNETES_EXEC_INFO"];
        let odd = |name: &&&str| !own.contains(name) && !process::may_see(name);
        assert_eq!(names.iter().find(odd), None);
    }
}
