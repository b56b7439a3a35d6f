//! `landfall github-app`: a GitHub App for the bot, by its manifest: one link to open, two files, and what to configure.
//!
//! Promise: no secret is printed, and none overwrites a file: both files are made, for this user alone, before the link is
//! shown, so that the key, which GitHub shows once, has a place. The page is served on the loopback interface only, below an
//! address that nobody can guess; what comes back counts only with the state that was sent.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use maud::{DOCTYPE, Markup, html};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use url::Url;

use crate::config::decisions::duration;
use crate::forge::github::{AppError, AppManifest, AppSite, NewApp};

use super::run::stopped;
use super::{CliError, Context, Exit, bot};

/// How long GitHub may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long the last page may take to reach the browser.
const LAST_PAGE: Duration = Duration::from_secs(2);
/// GitHub's limit for names of apps.
const MAX_NAME: usize = 34;

/// Arguments of `landfall github-app`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  landfall github-app --org acme --repository acme/deploys
  landfall github-app --repository ada/deploys             for a personal account
  landfall github-app --org acme --url https://github.example.com

It prints a link to this machine. The page there leads to GitHub, which shows the app that is
about to be created; whoever opens it must be allowed to create apps there. If your browser is on
another machine, choose a port with --listen and forward it (`ssh -L`).

Exit codes:
  0 done · 2 error, such as a file in the way or a code that GitHub does not take")]
pub(in crate::cli) struct GithubAppArgs {
    /// The organization that owns the app; default: the person who opens the link.
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// The repository, as OWNER/NAME, for the configuration that is printed.
    #[arg(long, value_name = "OWNER/NAME", value_parser = repository)]
    repository: Option<String>,
    /// The app's name, unique on GitHub; it can be changed on GitHub's page. Default: landfall-OWNER.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The address of GitHub or of a GitHub Enterprise Server.
    #[arg(long, value_name = "URL", default_value = "https://github.com")]
    url: String,
    /// Where GitHub can reach the bot's webhooks: https://HOST/webhooks/NAME. Default: no webhooks.
    #[arg(long, value_name = "URL", value_parser = Webhook::parse)]
    webhook: Option<Webhook>,
    /// The file for the private key.
    #[arg(long, value_name = "FILE", default_value = "github-app.pem")]
    private_key: PathBuf,
    /// The file for the secret of webhooks, with --webhook.
    #[arg(long, value_name = "FILE", default_value = "github-app.webhook-secret")]
    webhook_secret: PathBuf,
    /// Certificates (PEM) to trust for that address, besides the system's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Where the page is served: an address of this machine's own loopback.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How long to wait for the app.
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration)]
    timeout: Duration,
}

/// Where GitHub sends its webhooks: an address of the bot, `https://HOST/webhooks/NAME`.
#[derive(Debug, Clone)]
struct Webhook {
    url: String,
    name: String,
}

impl Webhook {
    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.query().is_none());
        let name = url.as_ref().and_then(|url| url.path().rsplit_once("/webhooks/")).map(|(_, name)| name);
        let plain =
            |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        match name.filter(plain) {
            Some(name) => Ok(Self { url: text.to_owned(), name: name.to_owned() }),
            None => Err("this is not an address of the bot's webhooks; write https://HOST/webhooks/NAME".to_owned()),
        }
    }
}

/// `OWNER/NAME`, as in the address of the repository's page.
fn repository(text: &str) -> Result<String, String> {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    match text.split_once('/') {
        Some((owner, name)) if plain(owner) && plain(name) => Ok(text.to_owned()),
        _ => Err("this is not the name of a repository; write OWNER/NAME".to_owned()),
    }
}

/// What came of it. No secret is in it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    app_id: u32,
    name: String,
    /// Its page.
    page: String,
    /// Where it is installed on repositories: the next step.
    install: String,
    private_key: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<PathBuf>,
    /// What to add to the configuration.
    configuration: String,
}

/// A file that was made for a secret, and that goes away again if there is none.
#[derive(Debug)]
struct SecretFile {
    path: PathBuf,
    file: File,
    is_written: bool,
}

impl SecretFile {
    fn create(path: &Path) -> Result<Self, CliError> {
        let file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
            let failed = CliError::caused(format!("cannot create {}", path.display()), &error);
            match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    failed.hint("nothing is overwritten: move it away, or name another file")
                }
                _ => failed.hint("name a file in a folder that exists and that you may write to"),
            }
        })?;
        Ok(Self { path: path.to_owned(), file, is_written: false })
    }

    fn write(&mut self, secret: &SecretString) -> io::Result<()> {
        self.is_written = true;
        self.file.write_all(secret.expose_secret().trim_end().as_bytes())?;
        self.file.write_all(b"\n")?;
        self.file.sync_all()
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.is_written {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// What the page's handlers share.
#[derive(Debug)]
struct Site {
    github: Arc<AppSite>,
    manifest: AppManifest,
    form: String,
    state: String,
    /// One exchange at a time: a code is good once.
    exchanging: Mutex<()>,
    told: mpsc::Sender<Result<NewApp, AppError>>,
}

#[derive(Debug, Deserialize)]
struct Returned {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
}

pub(super) fn run(args: &GithubAppArgs, context: &Context) -> Result<Exit, CliError> {
    if !args.listen.ip().is_loopback() {
        return Err(CliError::new(format!("{} is not an address of the loopback interface", args.listen))
            .hint("nobody else may see this page: write --listen 127.0.0.1:PORT, and forward the port if you must"));
    }
    let owner = args.repository.as_deref().and_then(|name| name.split('/').next());
    if let (Some(org), Some(owner)) = (args.org.as_deref(), owner)
        && !org.eq_ignore_ascii_case(owner)
    {
        let text = format!("the app would belong to {org}, and the repository belongs to {owner}");
        return Err(
            CliError::new(text).hint(format!("give --org {owner}, or no --org where {owner} is a personal account"))
        );
    }
    let ca_pem = args.ca_file.as_deref().map(fs::read).transpose();
    let ca_pem = ca_pem.map_err(|error| CliError::caused("cannot read the file of --ca-file", &error))?;
    let github = Arc::new(AppSite::new(&args.url, ca_pem.as_deref(), TIMEOUT).map_err(|error| failed(&error))?);
    let mut key = SecretFile::create(&args.private_key)?;
    let mut secret = args.webhook.as_ref().map(|_| SecretFile::create(&args.webhook_secret)).transpose()?;
    let (app, address) = bot::block_on(async {
        let app = tokio::select! {
            app = create(args, &github, context, |app| {
                write(&mut key, &app.private_key, app)?;
                match (&mut secret, &app.webhook_secret) {
                    (Some(file), Some(secret)) => write(file, secret, app),
                    _ => Ok(()),
                }
            }) => app?,
            () = tokio::time::sleep(args.timeout) => {
                return Err(CliError::new("no app was created in time").hint("run this again, or give it longer with --timeout"));
            }
            () = stopped() => {
                return Err(CliError::new("it was stopped before GitHub had given a key")
                    .hint("if an app was created meanwhile, delete it on its page, or make a private key there"));
            }
        };
        let address = github.address_of(&app).await;
        Ok((app, address))
    })?;
    let webhook_secret = secret.as_ref().filter(|file| file.is_written).map(|file| file.path.clone());
    let report = Report {
        app_id: app.id,
        install: format!("{}/installations/new", app.page),
        configuration: configuration((args, &github), &app, address.as_deref(), webhook_secret.as_deref()),
        name: app.slug,
        page: app.page,
        private_key: args.private_key.clone(),
        webhook_secret,
    };
    context.output.data(&report, text)?;
    Ok(Exit::Done)
}

fn write(file: &mut SecretFile, secret: &SecretString, app: &NewApp) -> Result<(), CliError> {
    file.write(secret).map_err(|error| {
        CliError::caused(format!("cannot write {}", file.path.display()), &error)
            .hint(format!("the app was created: make a new private key on its page, {}", app.page))
    })
}

fn failed(error: &AppError) -> CliError {
    CliError::new(error.to_string())
}

/// A word that nobody can guess.
fn random_word() -> Result<String, CliError> {
    let mut bytes = [0; 24];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CliError::new("there is no randomness on this machine"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Serves the page until GitHub has given an app, or has said that there will be none.
/// What is secret is kept at once: whatever happens next, nothing can be asked for twice.
async fn create(
    args: &GithubAppArgs,
    github: &Arc<AppSite>,
    context: &Context,
    mut keep: impl FnMut(&NewApp) -> Result<(), CliError>,
) -> Result<NewApp, CliError> {
    let cannot = |error: io::Error| {
        CliError::caused(format!("cannot listen on {}", args.listen), &error)
            .hint("name another port with --listen 127.0.0.1:PORT, or leave it out")
    };
    let listener = TcpListener::bind(args.listen).await.map_err(cannot)?;
    let here = listener.local_addr().map_err(cannot)?;
    let (path, state) = (random_word()?, random_word()?);
    let owner = args.repository.as_deref().and_then(|name| name.split('/').next()).or(args.org.as_deref());
    let name = args.name.clone().unwrap_or_else(|| format!("landfall-{}", owner.unwrap_or("bot")));
    let manifest = AppManifest {
        name: name.chars().take(MAX_NAME).collect(),
        organization: args.org.clone(),
        homepage: format!("{}/{}", github.site(), args.repository.as_deref().or(owner).unwrap_or_default()),
        redirect: format!("http://{here}/created"),
        webhook: args.webhook.as_ref().map(|webhook| webhook.url.clone()),
    };
    let form = github.form(&manifest, &state).map_err(|error| failed(&error))?;
    let (told, mut answers) = mpsc::channel(4);
    let github = Arc::clone(github);
    let site = Arc::new(Site { github, manifest, form, state, exchanging: Mutex::default(), told });
    let routes = Router::new().route(&format!("/{path}"), get(start)).route("/created", get(created)).with_state(site);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = axum::serve(listener, routes).with_graceful_shutdown(async { drop(stopped.await) });
    let mut serving = tokio::spawn(async { serving.await });
    context.output.message(&format!("Open this link in a browser on this machine:\n\n  http://{here}/{path}\n"));
    let app = loop {
        match answers.recv().await {
            Some(Ok(app)) => break keep(&app).map(|()| app),
            Some(Err(error @ AppError::Unavailable(_))) => context.output.message(&format!("warning: {error}")),
            Some(Err(error)) => break Err(failed(&error)),
            None => break Err(CliError::new("the page is no longer served")),
        }
    };
    let _nobody_waits = stop.send(());
    if tokio::time::timeout(LAST_PAGE, &mut serving).await.is_err() {
        serving.abort();
    }
    app
}

/// The page with the form: only whoever has the link sees the state.
async fn start(State(site): State<Arc<Site>>) -> Response {
    let manifest = site.manifest.json().to_string();
    let content = html! {
        h1 { "A GitHub App for Landfall" }
        p { "GitHub will show the app " strong { (site.manifest.name) } " with the permissions that the bot needs. Create it there, and you come back here." }
        form method="post" action=(site.form) {
            input type="hidden" name="manifest" value=(manifest);
            button type="submit" { "Go to GitHub" }
        }
    };
    page(StatusCode::OK, &content)
}

/// GitHub sends the person back with a code.
async fn created(State(site): State<Arc<Site>>, Query(returned): Query<Returned>) -> Response {
    if verify_slices_are_equal(returned.state.as_bytes(), site.state.as_bytes()).is_err() {
        let text = "This does not belong to the link that was opened last: its state is another one. Open the link in the terminal again.";
        return page(StatusCode::BAD_REQUEST, &html! { h1 { "Not this one" } p { (text) } });
    }
    let _turn = site.exchanging.lock().await;
    let exchanged = site.github.exchange(&returned.code).await;
    let answer = match &exchanged {
        Ok(app) => page(
            StatusCode::OK,
            &html! {
                h1 { "The app was created" }
                p { "Next: " a href=(format!("{}/installations/new", app.page)) { "install it on the repository" } ". The terminal says what to configure." }
            },
        ),
        Err(error) => {
            let status = match error {
                AppError::Unavailable(_) => StatusCode::BAD_GATEWAY,
                _ => StatusCode::BAD_REQUEST,
            };
            page(status, &html! { h1 { "There is no app yet" } p { (error.to_string()) } })
        }
    };
    // Nobody listens any more once there is an app.
    drop(site.told.send(exchanged).await);
    answer
}

fn page(status: StatusCode, content: &Markup) -> Response {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { "Landfall" } meta name="viewport" content="width=device-width"; }
            body { (content) }
        }
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
        // The address has the secret word of the page.
        (header::REFERRER_POLICY, "origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, document.into_string()).into_response()
}

/// What to add to the configuration.
fn configuration(
    (args, github): (&GithubAppArgs, &AppSite),
    app: &NewApp,
    address: Option<&str>,
    secret: Option<&Path>,
) -> String {
    let repository = args.repository.clone().unwrap_or_else(|| format!("{}/REPOSITORY", app.owner));
    let name = repository.rsplit('/').next().unwrap_or_default().to_lowercase();
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let file = |path: &Path| quoted(&path.display().to_string());
    let address_of = quoted(&format!("{}/{repository}.git", github.site()));
    let mut text = format!("repositories:\n  - name: {name}\n    url: {address_of}\n");
    if let Some(address) = address {
        let author = quoted(&format!("{}[bot]", app.slug));
        text.push_str(&format!("    author: {{ name: {author}, email: {} }}\n", quoted(address)));
    }
    text.push_str("    forge:\n      kind: github\n");
    if let Some(api) = github.api_url() {
        text.push_str(&format!("      apiUrl: {}\n", quoted(&api)));
    }
    text.push_str(&format!(
        "      repository: {}\n      app: {{ id: {}, privateKey: {{ file: {} }} }}\n",
        quoted(&repository),
        app.id,
        file(&args.private_key)
    ));
    if address.is_some() {
        text.push_str("      commits: api\n");
    }
    if let (Some(path), Some(Webhook { name, .. })) = (secret, &args.webhook) {
        text.push_str(&format!(
            "server:\n  webhooks:\n    - {{ kind: github, name: {}, secret: {{ file: {} }} }}\n",
            quoted(name),
            file(path)
        ));
    }
    text
}

fn text(report: &Report) -> String {
    let mut text = format!("✔ {} was created: {}\n", report.name, report.page);
    text.push_str(&format!("  its private key is in {}\n", report.private_key.display()));
    if let Some(path) = &report.webhook_secret {
        text.push_str(&format!("  the secret of its webhooks is in {}\n", path.display()));
    }
    text.push_str(&format!(
        "\nNext:\n  1. install it on the repository: {}\n  2. add to landfall.yaml:\n\n{}\n  3. run `landfall doctor`\n",
        report.install, report.configuration
    ));
    text
}
