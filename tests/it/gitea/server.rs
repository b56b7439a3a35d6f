//! A Gitea of the test process's own: what `tests/gitea/run` has built, on a loopback port, with everything that it keeps in
//! a folder that goes with it. One serves all stories; each has its own organization, people and repository there.

#![allow(clippy::disallowed_methods, reason = "tests start processes and read the environment")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::registry::real::http;

/// How long it may take to come up.
const PATIENCE: Duration = Duration::from_secs(120);
/// The password of everybody.
pub(super) const PASSWORD: &str = "Every0ne-in-this-story";

/// The running server.
pub(super) struct Gitea {
    pub(super) url: String,
    /// The administrator's token, which may do everything.
    admin: String,
}

/// The one of this process.
pub(super) fn gitea() -> &'static Gitea {
    static GITEA: OnceLock<Gitea> = OnceLock::new();
    GITEA.get_or_init(start)
}

fn start() -> Gitea {
    let built = std::env::var_os("LANDFALL_GITEA").map(PathBuf::from);
    let built = built.expect("LANDFALL_GITEA names no folder with a built Gitea: run tests/gitea/run");
    let folder = tempfile::Builder::new().prefix("gitea-").tempdir().unwrap().keep();
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let program = built.join("gitea");
    let secret = |name: &str| ran(&program, &["generate", "secret", name]);
    let settings = settings(&folder, &built.join("source"), port, &secret("INTERNAL_TOKEN"), &secret("SECRET_KEY"));
    let config = folder.join("app.ini");
    fs::write(&config, settings).unwrap();
    // The shell ends it when this process ends, however it ends: then the pipe to its standard input closes.
    let script = r#""$1" --config "$2" web <&- >"$3/log" 2>&1 & child=$!; cat >/dev/null; kill $child; wait $child; rm -rf "$3""#;
    let shell = Command::new("sh")
        .args(["-c", script, "sh"])
        .args([&program, &config, &folder])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Not waited for: it lives as long as this process.
    std::mem::forget(shell);
    let began = Instant::now();
    while !answers(&url) {
        let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(began.elapsed() < PATIENCE, "Gitea did not come up: {}", log());
        std::thread::sleep(Duration::from_millis(100));
    }
    eprintln!("Gitea came up in {:?}", began.elapsed());
    let with = |arguments: &[&str]| {
        ran(&program, &[&["--config", config.to_str().unwrap(), "admin", "user"], arguments].concat())
    };
    let create = ["create", "--admin", "--username", "root-of-all", "--email", "root@example.com"];
    with(&[&create[..], &["--password", PASSWORD, "--must-change-password=false"]].concat());
    let token =
        ["generate-access-token", "--username", "root-of-all", "--token-name", "stories", "--scopes", "all", "--raw"];
    Gitea { url, admin: with(&token) }
}

fn settings(folder: &Path, source: &Path, port: u16, internal: &str, secret: &str) -> String {
    let (folder, source) = (folder.display(), source.display());
    format!(
        "APP_NAME = Stories\nRUN_MODE = prod\nWORK_PATH = {folder}\nI_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true\n\
         [server]\nPROTOCOL = http\nHTTP_ADDR = 127.0.0.1\nHTTP_PORT = {port}\nROOT_URL = http://127.0.0.1:{port}/\n\
         STATIC_ROOT_PATH = {source}\nAPP_DATA_PATH = {folder}/data\nOFFLINE_MODE = true\nDISABLE_SSH = true\n\
         LFS_START_SERVER = false\n\
         [database]\nDB_TYPE = sqlite3\nPATH = {folder}/gitea.db\nSQLITE_TIMEOUT = 20000\n\
         [repository]\nROOT = {folder}/repositories\nDEFAULT_BRANCH = main\n\
         [security]\nINSTALL_LOCK = true\nSECRET_KEY = {secret}\nINTERNAL_TOKEN = {internal}\nPASSWORD_HASH_ALGO = pbkdf2$1$50\n\
         [service]\nDISABLE_REGISTRATION = true\n\
         [webhook]\nALLOWED_HOST_LIST = loopback\nDELIVER_TIMEOUT = 10\n\
         [actions]\nENABLED = false\n[mailer]\nENABLED = false\n[session]\nPROVIDER = memory\n\
         [indexer]\nISSUE_INDEXER_TYPE = db\n\
         [log]\nMODE = console\nLEVEL = Warn\n"
    )
}

/// What a command of Gitea's prints.
fn ran(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap().trim().lines().last().unwrap_or_default().to_owned()
}

fn answers(url: &str) -> bool {
    blocking(async { http().get(format!("{url}/api/healthz")).send().await }).is_ok_and(|answer| answer.status() == 200)
}

/// Runs a future to its end.
pub(super) fn blocking<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// As whom the API is asked.
#[derive(Debug, Clone, Copy)]
pub(super) enum By<'a> {
    Admin,
    /// A person, by name and password.
    Person(&'a str),
}

impl Gitea {
    /// One call of the API: status and JSON, or the text where it is none.
    pub(super) fn call(&self, by: By<'_>, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let mut request = http().request(method, format!("{}/api/v1/{path}", self.url));
        request = match by {
            By::Admin => request.header("authorization", format!("token {}", self.admin)),
            By::Person(name) => request.basic_auth(name, Some(PASSWORD)),
        };
        if !body.is_null() {
            request = request.json(body);
        }
        blocking(async {
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
            (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
        })
    }

    /// The same, which must succeed.
    #[track_caller]
    pub(super) fn does(&self, by: By<'_>, method: Method, path: &str, body: &Value) -> Value {
        let what = format!("{method} {path}");
        let (status, answer) = self.call(by, method, path, body);
        assert!((200..300).contains(&status), "{what}: {status} {answer}");
        answer
    }

    #[track_caller]
    pub(super) fn get(&self, path: &str) -> Value {
        self.does(By::Admin, Method::GET, path, &Value::Null)
    }

    #[track_caller]
    pub(super) fn post(&self, path: &str, body: &Value) -> Value {
        self.does(By::Admin, Method::POST, path, body)
    }

    /// A new account.
    #[track_caller]
    pub(super) fn person(&self, name: &str) {
        let account = json!({ "username": name, "email": format!("{name}@example.com"), "password": PASSWORD,
            "must_change_password": false });
        self.post("admin/users", &account);
    }

    /// A token of somebody's with these scopes.
    #[track_caller]
    pub(super) fn token(&self, name: &str, scopes: &[&str]) -> String {
        let called = format!("story-{}", fastrand::u32(..));
        let token = json!({ "name": called, "scopes": scopes });
        let made = self.does(By::Person(name), Method::POST, &format!("users/{name}/tokens"), &token);
        made["sha1"].as_str().unwrap().to_owned()
    }

    /// The address of a repository for plain Git, by the administrator.
    pub(super) fn remote(&self, repository: &str) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        format!("{scheme}://root-of-all:{}@{rest}/{repository}.git", self.admin)
    }

    /// The login of the administrator for the registry.
    pub(super) fn basic(&self) -> String {
        use base64::Engine as _;
        let login = format!("root-of-all:{}", self.admin);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login))
    }

    /// The host and port.
    pub(super) fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }
}
