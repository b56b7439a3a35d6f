//! A real API server of the test's own: `etcd` and `kube-apiserver` of a folder, on loopback ports, with everything that
//! they write in a folder that goes with them. No controller runs, as in envtest.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use landfall::cluster::WatchedKind;
use landfall::demo::kube::{Served, StatusRule};
use serde_json::{Value, json};

/// How long the server may take to come up.
const PATIENCE: Duration = Duration::from_secs(90);
/// Time between two looks whether it has.
const PAUSE: Duration = Duration::from_millis(100);
/// What comes before the point of a P-256 key in a SubjectPublicKeyInfo.
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A running server; it ends when dropped.
pub(super) struct Assets {
    folder: tempfile::TempDir,
    _server: Process,
    _etcd: Process,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Assets {
    pub(super) async fn start(programs: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [client, peer, secure] = ports();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let etcd = [
            format!("--data-dir={}", path("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--unsafe-no-fsync".to_owned(),
        ];
        let etcd = run(&programs.join("etcd"), &etcd, &folder.path().join("etcd.log"));
        keys(folder.path());
        let token = format!("{:032x}", fastrand::u128(..));
        std::fs::write(path("tokens"), format!("{token},admin,admin,\"system:masters\"\n")).unwrap();
        let server = [
            format!("--etcd-servers={client}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={secure}"),
            format!("--cert-dir={}", path("certificates")),
            format!("--token-auth-file={}", path("tokens")),
            "--authorization-mode=RBAC".to_owned(),
            format!("--service-account-key-file={}", path("service-account.pub")),
            format!("--service-account-signing-key-file={}", path("service-account.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ];
        let server = run(&programs.join("kube-apiserver"), &server, &folder.path().join("server.log"));
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: real\n\
             clusters:\n- name: real\n  cluster: {{ server: \"https://127.0.0.1:{secure}\", insecure-skip-tls-verify: true }}\n\
             users:\n- name: real\n  user: {{ token: \"{token}\" }}\n\
             contexts:\n- name: real\n  context: {{ cluster: real, user: real }}\n"
        );
        std::fs::write(path("kubeconfig"), kubeconfig).unwrap();
        let mut assets = Self { folder, _server: server, _etcd: etcd };
        assets.ready().await;
        assets
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Waits until the server says that it is ready.
    async fn ready(&mut self) {
        let config = kube::config::Kubeconfig::read_from(self.kubeconfig()).unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let ready = async {
            loop {
                let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
                if client.request_text(request).await.is_ok_and(|said| said == "ok") {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        if tokio::time::timeout(PATIENCE, ready).await.is_err() {
            let log = |name| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
            panic!("the API server is not ready:\n{}\n{}", log("etcd.log"), log("server.log"));
        }
    }

    /// Installs a kind with the least of a definition: any fields, and a status subresource where the real one has it.
    pub(super) async fn install(&self, client: &kube::Client, kind: WatchedKind) {
        let served = Served::all();
        let Some(served) = served.iter().find(|served| served.kind == kind.name() && served.group.contains('.')) else {
            return;
        };
        if served.group.ends_with(".k8s.io") || served.group.is_empty() {
            return;
        }
        let resource =
            ApiResource::from_gvk(&GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"));
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let object = serde_json::from_value(definition(served)).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }
}

/// The definition of a kind.
fn definition(served: &Served) -> Value {
    let any = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let mut status = any.clone();
    if served.status == StatusRule::SubresourceOfFlux {
        status["default"] = json!({ "observedGeneration": -1 });
    }
    let subresources = match served.status {
        StatusRule::Ordinary => json!({}),
        _ => json!({ "status": {} }),
    };
    let versions: Vec<Value> = served
        .versions
        .iter()
        .enumerate()
        .map(|(number, version)| {
            json!({
                "name": version, "served": true, "storage": number == 0, "subresources": subresources,
                "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": any, "status": status } } },
            })
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{}.{}", served.plural, served.group) },
        "spec": {
            "group": served.group, "scope": "Namespaced", "versions": versions,
            "names": {
                "kind": served.kind, "listKind": format!("{}List", served.kind), "plural": served.plural,
                "singular": served.kind.to_lowercase(),
            },
        },
    })
}

/// Ports that were free just now, each another one.
fn ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// The key pair that signs tokens of service accounts.
fn keys(folder: &Path) {
    let random = SystemRandom::new();
    let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private.as_ref()).unwrap();
    let public = [&SPKI[..], pair.public_key().as_ref()].concat();
    for (name, label, bytes) in
        [("service-account.key", "PRIVATE KEY", private.as_ref()), ("service-account.pub", "PUBLIC KEY", &public[..])]
    {
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
        std::fs::write(folder.join(name), pem).unwrap();
    }
}

fn run(program: &Path, arguments: &[String], log: &Path) -> Process {
    let log = std::fs::File::create(log).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the programs that the person who runs the tests names")]
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{} of KUBEBUILDER_ASSETS cannot be run: {error}", program.display()));
    Process(child)
}

#[test]
fn a_definition_keeps_any_field_and_has_a_status_only_where_the_real_one_has() {
    let of = |kind: &str| definition(Served::all().iter().find(|served| served.kind == kind).unwrap());
    let (argo, flux) = (of("Application"), of("Kustomization"));
    assert_eq!(argo["metadata"]["name"], "applications.argoproj.io");
    assert_eq!(argo["spec"]["versions"][0]["subresources"], json!({}));
    let version = &flux["spec"]["versions"][0];
    assert_eq!(version["subresources"], json!({ "status": {} }));
    let status = &version["schema"]["openAPIV3Schema"]["properties"]["status"];
    assert_eq!(status["default"]["observedGeneration"], -1);
    assert_eq!(status["x-kubernetes-preserve-unknown-fields"], true);
}

#[test]
fn the_keys_are_read_by_others() {
    let folder = tempfile::tempdir().unwrap();
    keys(folder.path());
    let text = std::fs::read_to_string(folder.path().join("service-account.pub")).unwrap();
    let inner: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(inner).unwrap();
    assert_eq!(der.len(), 91);
    aws_lc_rs::signature::ParsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1, &der[26..]).unwrap();
}
