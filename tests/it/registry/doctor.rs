//! What `landfall doctor` says of each login, where it works and where it does not, as docs/how-to/registries.md shows it.

use std::fs;

use aws_lc_rs::rsa::{KeyPair, KeySize};
use landfall::demo::kube::KubeStub;
use landfall::git::create_bare;
use landfall::model::{BranchName, RepoPath};
use serde_json::json;

use super::logins::{aws, azure, basic, docker_file, google, helper, pem, registry};
use super::server::{Reply, Request, Server};
use crate::support::git::stamp;
use crate::support::process::{Ran, landfall, tree};

/// A login in a good and in a bad set-up: what its registry answers, its credentials, and each environment.
struct Login {
    title: &'static str,
    answers: fn(&Request) -> Reply,
    credentials: &'static str,
    good: Vec<(&'static str, String)>,
    bad: Vec<(&'static str, String)>,
}

/// The answers of a registry in which the written tag is not looked for.
fn without_manifests(request: &Request, answers: fn(&Request) -> Reply) -> Reply {
    match answers(request) {
        Reply::Http { status: 200, .. } if request.path().contains("/manifests/") => Reply::new(404),
        reply => reply,
    }
}

fn password(request: &Request) -> Reply {
    registry(request, &basic("ann", "right"))
}

fn token(request: &Request) -> Reply {
    match registry(request, "Bearer right") {
        Reply::Http { status: 401, .. } => {
            Reply::new(401).header("www-authenticate", "Bearer realm=\"http://x/token\"")
        }
        reply => reply,
    }
}

/// Every login. `OWN` in an environment stands for the server's address, `HOST` for its host.
fn all() -> Vec<Login> {
    let of = |pairs: &[(&'static str, &str)]| pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let login = |title, answers, credentials, good: &[(&'static str, &str)], bad: &[(&'static str, &str)]| Login {
        title,
        answers,
        credentials,
        good: of(good),
        bad: of(bad),
    };
    let apis = [("AWS_ENDPOINT_URL_ECR", "OWN/ecr/"), ("AWS_ENDPOINT_URL_STS", "OWN/sts/")];
    let keys = |id| [&apis[..], &[("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", "s3cr3t")]].concat();
    let application = |secret| {
        vec![
            ("AZURE_AUTHORITY_HOST", "OWN"),
            ("AZURE_TENANT_ID", "tenant-1"),
            ("AZURE_CLIENT_ID", "client-1"),
            ("AZURE_CLIENT_SECRET", secret),
        ]
    };
    vec![
        login(
            "a name and a password",
            password,
            "{ username: ann, password: { env: PASSWORD } }",
            &[("PASSWORD", "right")],
            &[("PASSWORD", "wrong")],
        ),
        login("a token", token, "{ token: { env: TOKEN } }", &[("TOKEN", "right")], &[("TOKEN", "wrong")]),
        login(
            "Docker's configuration",
            password,
            "{ dockerConfig: { file: config.json } }",
            &[("CONFIG", "right")],
            &[("CONFIG", "wrong")],
        ),
        login("a credential helper", password, "{ helper: test }", &[("HELPER", "right")], &[("HELPER", "fails")]),
        login(
            "a pull secret",
            password,
            "{ pullSecret: { cluster: eu-1, namespace: landfall, name: pull } }",
            &[("SECRET", "there")],
            &[],
        ),
        login("Amazon ECR", aws, "{ aws: { region: eu-central-1 } }", &keys("AKIASTATIC"), &keys("AKIAWRONG")),
        login(
            "Google Artifact Registry",
            google,
            "{ google: {} }",
            &[("GCE_METADATA_HOST", "HOST")],
            &[("GOOGLE_APPLICATION_CREDENTIALS", "google.json")],
        ),
        login("Azure Container Registry", azure, "{ azure: {} }", &application("s3cr3t"), &application("wrong")),
    ]
}

/// A folder with a repository that pins an image of the registry.
fn folder(host: &str, credentials: &str) -> tempfile::TempDir {
    let config = format!(
        "stateDir: state\nrepositories:\n  - {{ name: deploys, url: deploys.git, branch: main }}\nclusters:\n  - {{ name: eu-1, \
         kubeconfig: {{ file: kubeconfig }} }}\nregistries:\n  - host: \"{host}\"\n    plainHttp: true\n    credentials: {credentials}\n"
    );
    let folder = tree(&[("landfall.yaml", &config), ("policies.yaml", "")]);
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{ name: web }}\nspec:\n  containers:\n    - {{ name: web, image: {host}/acme/web:1.0.0 }}\n"
    );
    let file = |path: &str| RepoPath::parse(path).unwrap();
    let policies = "policies:\n  - { name: all, paths: [\"{app}/**\"], write: commit }\n";
    let files =
        [(file(".landfall/policies.yaml"), policies.as_bytes().to_vec()), (file("web/pod.yaml"), pod.into_bytes())];
    create_bare(&folder.path().join("deploys.git"), &BranchName::parse("main").unwrap(), &files, &stamp()).unwrap();
    folder
}

/// The line that `doctor` says about the registry.
async fn line(login: &Login, environment: &[(&'static str, String)], stub: &KubeStub) -> String {
    let answers = login.answers;
    let server = Server::start(move |request, _| without_manifests(request, answers)).await;
    let (host, own) = (server.host(), format!("http://{}", server.host()));
    let folder = folder(&host, login.credentials);
    fs::write(folder.path().join("kubeconfig"), stub.kubeconfig()).unwrap();
    let value = |name: &str| environment.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str());
    let auths = |password: &str| json!({ "auths": { host.clone(): { "username": "ann", "password": password } } });
    if let Some(password) = value("CONFIG") {
        docker_file(&folder, &auths(password));
    }
    match value("HELPER") {
        Some("right") => helper(&folder, r#"echo '{"ServerURL":"x","Username":"ann","Secret":"right"}'"#),
        Some(_) => helper(&folder, "echo hunter2; exit 2"),
        None => {}
    }
    if value("GOOGLE_APPLICATION_CREDENTIALS").is_some() {
        // A key that the account does not have.
        let account = json!({
            "type": "service_account", "client_email": "puller@acme.iam.gserviceaccount.com", "private_key_id": "k1",
            "private_key": pem(&KeyPair::generate(KeySize::Rsa2048).unwrap()), "token_uri": format!("{own}/oauth"),
        });
        fs::write(folder.path().join("google.json"), account.to_string()).unwrap();
    }
    if value("SECRET").is_some() {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(auths("right").to_string());
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": { "namespace": "landfall", "name": "pull" }, "data": { ".dockerconfigjson": text },
        });
        stub.load(secret).unwrap();
    }
    let environment =
        environment.iter().map(|(name, value)| (*name, value.replace("OWN", &own).replace("HOST", &host)));
    let mut command = landfall(folder.path(), &["doctor"]);
    command.envs(environment);
    let ran = tokio::task::spawn_blocking(move || Ran::of(command, "")).await.unwrap();
    assert!(!ran.text().contains("hunter2") && !ran.text().contains("s3cr3t"), "{}", ran.text());
    let row = ran.stdout.lines().find(|line| line.contains(" registry ")).unwrap_or_else(|| panic!("{}", ran.text()));
    let row = row.split_whitespace().collect::<Vec<_>>().join(" ");
    row.replace(&host, "registry.example.com").replace(&folder.path().display().to_string(), "/etc/landfall")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_login_is_told_as_the_documentation_shows_it() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/how-to/registries.md");
    let page = fs::read_to_string(page).unwrap();
    let mut told = String::new();
    for login in all() {
        told.push_str(&format!("# {}\n", login.title));
        for environment in [&login.good, &login.bad] {
            let stub = KubeStub::start().await.unwrap();
            told.push_str(&line(&login, environment, &stub).await);
            told.push('\n');
        }
    }
    let shown = page.split("```text doctor\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    assert_eq!(shown, told, "the page shows what doctor says");
}
