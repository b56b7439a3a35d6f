//! Whom Microsoft Entra ID takes the bot for, and the request for a token: by an application's secret, by the token of the cluster
//! that the bot runs in (workload identity), or by a managed identity.
//!
//! Sources: Microsoft's "OAuth 2.0 client credentials flow", "How managed identities for Azure resources work with Azure virtual
//! machines" (instance metadata service), and "How to use managed identities for App Service" (`IDENTITY_ENDPOINT`). Nothing is sent
//! here: each edge sends the request in its own way.

use std::time::Duration;

use ::http::HeaderValue;
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::address::named;

/// What the configuration says of an identity; what it leaves open, the environment says.
#[derive(Debug, Clone)]
pub struct EntraNames<'a> {
    /// The tenant.
    pub tenant: Option<&'a str>,
    /// The application or the managed identity.
    pub client: Option<&'a str>,
    /// The application's secret.
    pub secret: Option<SecretString>,
}

/// Whom Entra ID takes the bot for, and what its tokens are for. `Debug` shows no secret.
#[derive(Debug)]
pub struct EntraIdentity {
    kind: Kind,
    resource: &'static str,
}

#[derive(Debug)]
enum Kind {
    /// An application, by its secret or by the token of the cluster that it runs in.
    Application { token_url: Url, client: String, proof: ApplicationProof },
    /// A managed identity, at the instance's metadata service.
    Managed { url: Url },
    /// A managed identity where the platform names another service (App Service, Container Apps).
    Platform { url: Url, header: HeaderValue },
}

#[derive(Debug)]
enum ApplicationProof {
    Secret(SecretString),
    FederatedFile(String),
}

/// Where a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntraService {
    /// At a public service, through the proxies of the environment.
    Public,
    /// At a service within the machine, which no proxy reaches.
    Local,
}

impl EntraIdentity {
    /// The identity that the names and the variables of the environment describe, for tokens of this resource.
    ///
    /// # Errors
    /// What is missing or makes no sense.
    pub fn of(
        names: &EntraNames<'_>,
        resource: &'static str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let client = names.client.map(str::to_owned).or_else(|| variable("AZURE_CLIENT_ID"));
        let tenant = names.tenant.map(str::to_owned).or_else(|| variable("AZURE_TENANT_ID"));
        let secret = names.secret.clone().or_else(|| variable("AZURE_CLIENT_SECRET").map(SecretString::from));
        let proof = match secret {
            Some(secret) => Some(ApplicationProof::Secret(secret)),
            None => variable("AZURE_FEDERATED_TOKEN_FILE").map(ApplicationProof::FederatedFile),
        };
        let kind = match proof {
            Some(proof) => application(client, tenant, proof, &variable)?,
            None => managed(client.as_deref(), resource, &variable)?,
        };
        Ok(Self { kind, resource })
    }

    /// Where it asks for tokens.
    #[must_use]
    pub fn service(&self) -> EntraService {
        match self.kind {
            Kind::Application { .. } => EntraService::Public,
            Kind::Managed { .. } | Kind::Platform { .. } => EntraService::Local,
        }
    }

    /// The same in words.
    #[must_use]
    pub fn service_name(&self) -> &'static str {
        match self.kind {
            Kind::Application { .. } => "Entra ID",
            Kind::Managed { .. } => "the instance's metadata service",
            Kind::Platform { .. } => "the platform's identity service",
        }
    }

    /// The file with the cluster's token that a request takes, if it takes one: it is replaced while the bot runs.
    #[must_use]
    pub fn assertion_file(&self) -> Option<&str> {
        match &self.kind {
            Kind::Application { proof: ApplicationProof::FederatedFile(path), .. } => Some(path),
            Kind::Application { .. } | Kind::Managed { .. } | Kind::Platform { .. } => None,
        }
    }

    /// The request for a token, by a client that reaches its [`EntraService`]; `assertion` is what the
    /// [file](Self::assertion_file) has now.
    pub fn request(&self, client: &Client, assertion: Option<&SecretString>) -> RequestBuilder {
        match &self.kind {
            Kind::Application { token_url, client: id, proof } => {
                let scope = format!("{}/.default", self.resource);
                let mut form =
                    vec![("grant_type", "client_credentials"), ("client_id", id.as_str()), ("scope", &scope)];
                match proof {
                    ApplicationProof::Secret(secret) => form.push(("client_secret", secret.expose_secret())),
                    ApplicationProof::FederatedFile(_) => {
                        let token = assertion.map_or("", |token| token.expose_secret());
                        form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
                        form.push(("client_assertion", token));
                    }
                }
                client.post(token_url.clone()).form(&form)
            }
            Kind::Managed { url } => client.get(url.clone()).header("Metadata", "true"),
            Kind::Platform { url, header } => client.get(url.clone()).header("X-IDENTITY-HEADER", header.clone()),
        }
    }
}

fn application(
    client: Option<String>,
    tenant: Option<String>,
    proof: ApplicationProof,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Kind, String> {
    let (Some(client), Some(tenant)) = (client, tenant) else {
        return Err("Entra ID needs a tenant and a client: give `tenantId` and `clientId`, or set AZURE_TENANT_ID and AZURE_CLIENT_ID".to_owned());
    };
    if tenant.is_empty() || !tenant.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')) {
        return Err("the tenant is not an id such as 11111111-2222-3333-4444-555555555555".to_owned());
    }
    let authority = variable("AZURE_AUTHORITY_HOST").unwrap_or_else(|| "https://login.microsoftonline.com".to_owned());
    let token_url = format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/'));
    Ok(Kind::Application { token_url: named(&token_url, "AZURE_AUTHORITY_HOST")?, client, proof })
}

fn managed(client: Option<&str>, resource: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Kind, String> {
    let with = |mut url: Url, version: &str| {
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", resource);
        if let Some(client) = client {
            url.query_pairs_mut().append_pair("client_id", client);
        }
        url
    };
    if let (Some(endpoint), Some(header)) = (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER")) {
        let url = with(named(&endpoint, "IDENTITY_ENDPOINT")?, "2019-08-01");
        let mut header =
            HeaderValue::from_str(&header).map_err(|_| "IDENTITY_HEADER has characters that cannot be sent")?;
        header.set_sensitive(true);
        return Ok(Kind::Platform { url, header });
    }
    let host = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or_else(|| "http://169.254.169.254".to_owned());
    let url = format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/'));
    Ok(Kind::Managed { url: with(named(&url, "AZURE_POD_IDENTITY_AUTHORITY_HOST")?, "2018-02-01") })
}

/// A token of Entra ID.
#[derive(Debug, Deserialize)]
pub struct EntraToken {
    /// The token.
    #[serde(deserialize_with = "super::token")]
    pub access_token: SecretString,
    /// A number from Entra ID, a text of digits from the services within machines, or absent.
    #[serde(default)]
    expires_in: Value,
}

impl EntraToken {
    /// How long it is good for, if the answer says so.
    #[must_use]
    pub fn life(&self) -> Option<Duration> {
        let text = || self.expires_in.as_str()?.parse().ok();
        self.expires_in.as_u64().or_else(text).map(Duration::from_secs)
    }
}

/// The code of a refusal: `AADSTS700016` says more than `unauthorized_client`.
#[must_use]
pub fn refusal_code(body: &Value) -> Option<String> {
    let said = || body.get("error")?.as_str();
    let detail =
        || body.get("error_description")?.as_str()?.split(':').next().filter(|code| code.starts_with("AADSTS"));
    detail().or_else(said).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOBODY: EntraNames<'static> = EntraNames { tenant: None, client: None, secret: None };

    fn of(names: &EntraNames<'_>, variables: &[(&str, &str)]) -> Result<EntraIdentity, String> {
        let variable = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        EntraIdentity::of(names, "resource-1", variable)
    }

    #[test]
    fn what_the_configuration_leaves_open_the_environment_says() {
        let application = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")];
        let file = [("AZURE_FEDERATED_TOKEN_FILE", "f")];
        let secret = EntraNames { tenant: Some("t"), client: Some("c"), secret: Some("hunter2".into()) };
        let endpoint = [("IDENTITY_ENDPOINT", "http://localhost/x"), ("IDENTITY_HEADER", "h")];
        for (names, variables, service) in [
            (&NOBODY, [&application[..], &file].concat(), EntraService::Public),
            (&secret, Vec::new(), EntraService::Public),
            (&NOBODY, Vec::new(), EntraService::Local),
            (&NOBODY, endpoint.to_vec(), EntraService::Local),
        ] {
            let identity = of(names, &variables).unwrap();
            assert_eq!(identity.service(), service, "{variables:?}");
            assert!(!format!("{identity:?}").contains("hunter2"), "{identity:?}");
        }
        for (variables, said) in [
            (&file[..], "needs a tenant and a client"),
            (&[("AZURE_CLIENT_SECRET", "x"), ("AZURE_CLIENT_ID", "c"), ("AZURE_TENANT_ID", "a/b")], "not an id"),
            (&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "ftp://x")], "not an http(s) address"),
        ] {
            assert!(of(&NOBODY, variables).unwrap_err().contains(said), "{said}");
        }
    }

    #[test]
    fn a_token_says_how_long_it_is_good_for() {
        let life = |token: Value| serde_json::from_value::<EntraToken>(token).unwrap().life();
        let hour = Some(Duration::from_secs(3599));
        for (token, expected) in [
            (json!({ "access_token": "x", "expires_in": 3599 }), hour),
            (json!({ "access_token": "x", "expires_in": "3599" }), hour),
            (json!({ "access_token": "x", "expires_in": "soon" }), None),
            (json!({ "access_token": "x" }), None),
        ] {
            assert_eq!(life(token.clone()), expected, "{token}");
        }
        assert_eq!(refusal_code(&json!({ "error": "x", "error_description": "AADSTS1: y" })).unwrap(), "AADSTS1");
        assert_eq!(refusal_code(&json!({ "error": "x", "error_description": "no code" })).unwrap(), "x");
    }
}
