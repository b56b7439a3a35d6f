//! Token services that answer 200 with something else than a token: an error page, errors as JSON, nothing, a token that is none.
//! Every login says who answered so, and nothing of the answer; nothing of it is shown to a registry.

use aws_lc_rs::rsa::{KeyPair, KeySize};
use serde_json::{Value, json};

use super::logins::{basic, docker_file, folder, pem, tags};
use super::server::{Reply, Request, Server};

/// One login whose token service at this path answers so; all others answer as documented.
struct Case {
    what: &'static str,
    path: &'static str,
    /// Who is said to have answered.
    who: &'static str,
    credentials: &'static str,
    environment: &'static [(&'static str, &'static str)],
}

const APIS: [(&str, &str); 2] = [("AWS_ENDPOINT_URL_ECR", "OWN/ecr/"), ("AWS_ENDPOINT_URL_STS", "OWN/sts/")];

const CASES: [Case; 13] = [
    Case {
        what: "a bearer challenge",
        path: "/token",
        who: "token",
        credentials: "{ username: ann, password: { env: PASSWORD } }",
        environment: &[("PASSWORD", "right")],
    },
    Case {
        what: "an identity token",
        path: "/token",
        who: "token",
        credentials: "{ dockerConfig: { file: config.json } }",
        environment: &[],
    },
    Case {
        what: "ECR",
        path: "/ecr/",
        who: "ECR",
        credentials: "{ aws: { region: eu-central-1 } }",
        environment: &[APIS[0], ("AWS_ACCESS_KEY_ID", "AKIASTATIC"), ("AWS_SECRET_ACCESS_KEY", "s3cr3t")],
    },
    Case {
        what: "STS",
        path: "/sts/",
        who: "STS",
        credentials: "{ aws: { region: eu-central-1 } }",
        environment: &[
            APIS[0],
            APIS[1],
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pull"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "jwt"),
        ],
    },
    Case {
        what: "a container's credentials",
        path: "/container",
        who: "the container's credentials",
        credentials: "{ aws: { region: eu-central-1 } }",
        environment: &[APIS[0], ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "OWN/container")],
    },
    Case {
        what: "an instance's session",
        path: "/latest/api/token",
        who: "the instance's metadata service",
        credentials: "{ aws: { region: eu-central-1 } }",
        environment: &[APIS[0], ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "OWN")],
    },
    Case {
        what: "an instance's key",
        path: "/latest/meta-data/iam/security-credentials/node-role",
        who: "the instance's metadata service",
        credentials: "{ aws: { region: eu-central-1 } }",
        environment: &[APIS[0], ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "OWN")],
    },
    Case {
        what: "Google's metadata server",
        path: "/computeMetadata/v1/instance/service-accounts/default/token",
        who: "Google's metadata server",
        credentials: "{ google: {} }",
        environment: &[("GCE_METADATA_HOST", "HOST")],
    },
    Case {
        what: "a service account",
        path: "/oauth",
        who: "Google's token service",
        credentials: "{ google: {} }",
        environment: &[("GOOGLE_APPLICATION_CREDENTIALS", "account.json")],
    },
    Case {
        what: "workload identity federation",
        path: "/oauth",
        who: "Google's security token service",
        credentials: "{ google: {} }",
        environment: &[("GOOGLE_APPLICATION_CREDENTIALS", "federation.json")],
    },
    Case {
        what: "an impersonated service account",
        path: "/impersonate",
        who: "Google's service account impersonation",
        credentials: "{ google: {} }",
        environment: &[("GOOGLE_APPLICATION_CREDENTIALS", "federation.json")],
    },
    Case {
        what: "Entra ID",
        path: "/tenant-1/oauth2/v2.0/token",
        who: "Entra ID",
        credentials: "{ azure: {} }",
        environment: &APPLICATION,
    },
    Case {
        what: "the exchange of ACR",
        path: "/oauth2/exchange",
        who: "token exchange",
        credentials: "{ azure: {} }",
        environment: &APPLICATION,
    },
];

const APPLICATION: [(&str, &str); 4] = [
    ("AZURE_AUTHORITY_HOST", "OWN"),
    ("AZURE_TENANT_ID", "tenant-1"),
    ("AZURE_CLIENT_ID", "client-1"),
    ("AZURE_CLIENT_SECRET", "s3cr3t"),
];

/// The keys that hold a token in the answer of one of these services.
const KEYS: [&str; 8] = [
    "token",
    "access_token",
    "refresh_token",
    "accessToken",
    "AccessKeyId",
    "SecretAccessKey",
    "Token",
    "authorizationData",
];

/// The same value under every key.
fn all(value: &Value) -> String {
    let pairs = KEYS.iter().map(|key| ((*key).to_owned(), value.clone()));
    Value::Object(pairs.chain([("expires_in".to_owned(), json!(3600))]).collect()).to_string()
}

/// What is answered in place of a token.
fn answers() -> Vec<(&'static str, String)> {
    vec![
        ("a page", "<html><body>hunter2: please log in</body></html>\n".to_owned()),
        ("errors", json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "hunter2" }] }).to_string()),
        ("an error", json!({ "error": "hunter2 hunter2", "error_description": "hunter2" }).to_string()),
        ("nothing", String::new()),
        ("null", "null".to_owned()),
        ("a number", all(&json!(7))),
        ("an object", all(&json!({ "hunter2": "hunter2" }))),
        ("an empty token", all(&json!(""))),
        ("a token of several lines", all(&json!("hunter2\r\nx-more: hunter2"))),
    ]
}

/// The services of all logins, as documented.
fn sound(request: &Request) -> Reply {
    let temporary = json!({ "AccessKeyId": "ASIATEMP", "SecretAccessKey": "s3cr3t", "Token": "t", "Expiration": "2100-01-01T00:00:00Z" });
    match request.path() {
        "/latest/api/token" => Reply::new(200).body("session"),
        "/latest/meta-data/iam/security-credentials/" => Reply::new(200).body("node-role"),
        "/container" | "/latest/meta-data/iam/security-credentials/node-role" => Reply::json(&temporary),
        "/oauth" => Reply::json(&json!({ "access_token": "federated", "expires_in": 3599 })),
        "/tenant-1/oauth2/v2.0/token" => Reply::json(&json!({ "access_token": "entra", "expires_in": 3599 })),
        path if path.starts_with("/v2/") => {
            let realm = format!("Bearer realm=\"http://{}/token\",service=\"s\"", request.header("host").unwrap());
            Reply::new(401).header("www-authenticate", &realm).header("www-authenticate", "Basic realm=\"x\"")
        }
        _ => Reply::new(404),
    }
}

fn files(folder: &tempfile::TempDir, own: &str, host: &str) {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let account = json!({
        "type": "service_account", "client_email": "puller@acme.iam.gserviceaccount.com", "private_key_id": "k1",
        "private_key": pem(&key), "token_uri": format!("{own}/oauth"),
    });
    let federation = json!({
        "type": "external_account", "audience": "//iam.googleapis.com/pool", "token_url": format!("{own}/oauth"),
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "credential_source": { "file": "jwt" },
        "service_account_impersonation_url": format!("{own}/impersonate"),
    });
    for (name, text) in
        [("account.json", account.to_string()), ("federation.json", federation.to_string()), ("jwt", "jwt".to_owned())]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    docker_file(folder, &json!({ "auths": { host: { "identitytoken": "idt" } } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_told_by_who_gave_it_and_shown_to_nobody() {
    for case in CASES {
        for (answer, body) in answers() {
            // A session is a text, and this is one.
            if case.path == "/latest/api/token" && body == "null" {
                continue;
            }
            let path = case.path;
            let given = body.clone();
            let server = Server::start(move |request, _| match request.path() == path {
                true => Reply::new(200).header("content-type", "application/json").body(given.clone()),
                false => sound(request),
            })
            .await;
            let (host, own) = (server.host(), format!("http://{}", server.host()));
            let folder = folder(&server, case.credentials);
            files(&folder, &own, &host);
            let environment: Vec<(&str, String)> = case
                .environment
                .iter()
                .map(|(name, value)| (*name, value.replace("OWN", &own).replace("HOST", &host)))
                .collect();
            let environment: Vec<(&str, &str)> =
                environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let ran = tags(&server, &folder, "a", &environment).await;
            let (what, text) = (format!("{}: {answer}", case.what), ran.text());
            assert!(matches!(ran.code, Some(code) if code != 0 && code < 100), "{what}: {text}");
            assert!(text.contains(case.who), "{what}: {text}");
            assert!(text.contains("answer") || text.contains("its token"), "{what}: {text}");
            assert!(!text.contains("the configured credentials"), "{what}: they are not to blame: {text}");
            for secret in ["hunter2", "s3cr3t", "idt\"", "right"] {
                assert!(!text.contains(secret), "{what}: {text}");
            }
            let shown = server.seen().into_iter().filter(|request| request.path().starts_with("/v2/"));
            for request in shown {
                let login = request.header("authorization").unwrap_or_default().to_owned();
                assert!(login.is_empty() || login == basic("ann", "right"), "{what}: {login}");
            }
        }
    }
}
