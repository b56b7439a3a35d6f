//! Proxies, certificates of an own CA, and certificates of the client: for Git, the forge and the registry alike.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::skip;
use crate::support::world::World;

const NAMES: [&str; 3] = ["git.example.test", "forge.example.test", "registry.example.test"];

/// Whether certificates can be made here.
pub(crate) fn has_openssl() -> bool {
    Path::new("/usr/bin/openssl").exists()
}

/// A key `NAME.key` and a certificate `NAME.pem` for it.
pub(crate) fn certificate(folder: &Path, name: &str, more: &[&str]) {
    #[expect(clippy::disallowed_methods, reason = "the tests' own processes")]
    let made = std::process::Command::new("openssl")
        .current_dir(folder)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}"), "-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
        .args(more)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What a server of these names shows, and demands.
fn acceptor(folder: &Path) -> TlsAcceptor {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let chain = |name: &str| CertificateDer::pem_file_iter(folder.join(name)).unwrap().map(Result::unwrap);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(chain("ca.pem"));
    let verifier = WebPkiClientVerifier::builder(roots.into()).build().unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    TlsAcceptor::from(Arc::new(config.with_single_cert(chain("server.pem").collect(), key).unwrap()))
}

/// What a server shows that has `NAME.pem` and demands nothing.
pub(crate) fn acceptor_of(folder: &Path, name: &str) -> TlsAcceptor {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let chain =
        CertificateDer::pem_file_iter(folder.join(format!("{name}.pem"))).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A server of this name with TLS before one that speaks without; where it is.
pub(crate) async fn front(folder: &Path, name: &str, to: SocketAddr) -> SocketAddr {
    let (acceptor, listener) = (acceptor_of(folder, name), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut back = TcpStream::connect(to).await.ok()?;
                let mut front = acceptor.accept(stream).await.ok()?;
                tokio::io::copy_bidirectional(&mut front, &mut back).await.ok()
            });
        }
    });
    address
}

/// A proxy behind which every name is a server with TLS; what was asked of it.
pub(crate) async fn proxy(
    to: HashMap<String, SocketAddr>,
    acceptor: TlsAcceptor,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (to, acceptor, log) = (to.clone(), acceptor.clone(), Arc::clone(&log));
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut first = String::new();
                stream.read_line(&mut first).await.ok()?;
                let host = first.strip_prefix("CONNECT ")?.split(':').next()?.to_owned();
                let mut line = String::new();
                while stream.read_line(&mut line).await.ok()? > 2 {
                    line.clear();
                }
                log.lock().unwrap().push(host.clone());
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
                let mut back = TcpStream::connect(to.get(&host)?).await.ok()?;
                let mut front = acceptor.accept(stream).await.ok()?;
                tokio::io::copy_bidirectional(&mut front, &mut back).await.ok()
            });
        }
    });
    (address, asked)
}

/// The address of a server on this machine.
pub(crate) fn address(url: &str) -> SocketAddr {
    let url = reqwest::Url::parse(url).unwrap();
    format!("127.0.0.1:{}", url.port().unwrap()).parse().unwrap()
}

#[test]
fn one_proxy_and_one_certificate_serve_git_forge_and_registry() {
    if !has_openssl() {
        return skip("openssl is not installed: certificates of clients are not tried");
    }
    let world = World::web().over_http().github("").start();
    world.push_all("acme/web", &["1.2.3", "1.3.0"]);
    let folder = world.path("");
    certificate(&folder, "ca", &[]);
    let names = NAMES.map(|name| format!("DNS:{name}")).join(",");
    let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    certificate(&folder, "server", &[&signed[..], &["-addext", &format!("subjectAltName={names}")]].concat());
    certificate(&folder, "client", &signed);
    let git = world.server.as_ref().unwrap().url("deploys.git");
    let (forge, registry) = (world.github().url(), format!("http://{}", world.host));
    let to = NAMES.map(str::to_owned).into_iter().zip([address(&git), address(&forge), address(&registry)]).collect();
    let (proxy, asked) = world.block_on(proxy(to, acceptor(&folder)));
    let shown = "caFile: ca.pem\n    clientCertificate: { file: client.pem, key: { env: CLIENT_KEY } }";
    world.configure(&git, &format!("https://git.example.test/deploys.git\n    {shown}"));
    world.configure(&forge, "https://forge.example.test");
    world.configure(
        &format!("- host: {}\n    plainHttp: true", world.host),
        &format!("- host: registry.example.test\n    mirrors: [\"{}\"]\n    {shown}", world.host),
    );
    world.landfall(&["check"]).ends(0);
    let (proxy, key) = (format!("http://{proxy}"), std::fs::read_to_string(world.path("client.key")).unwrap());
    let with = |no_proxy: &'static str| {
        let proxies = [("HTTPS_PROXY", proxy.as_str()), ("NO_PROXY", no_proxy), ("CLIENT_KEY", key.as_str())];
        world.landfall_with(&["apply", "-o", "json"], &proxies)
    };
    let report = with("").ends(0).report();
    assert_eq!(world.tag("web", "dev"), "1.3.0", "{report:#}");
    assert_eq!((world.github().pulls().len(), &report["problems"]), (1, &json!([])), "{report:#}");
    let mut seen = asked.lock().unwrap().split_off(0);
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["forge.example.test", "git.example.test", "registry.example.test"]);

    // What is excepted is not asked through the proxy, and these names lead nowhere else.
    let text = with("registry.example.test").text();
    assert!(text.contains("registry.example.test") && text.contains("cannot be resolved"), "{text}");
    assert!(!asked.lock().unwrap().split_off(0).iter().any(|host| host == "registry.example.test"));
    let text = with(".example.test").text();
    assert!(text.contains("git.example.test"), "{text}");
    assert_eq!(*asked.lock().unwrap(), [""; 0]);

    // Without the certificate nobody answers, and what is missing is said.
    let config = std::fs::read_to_string(world.path("landfall.yaml")).unwrap();
    let (before, after) = config.rsplit_once(shown).unwrap();
    std::fs::write(world.path("landfall.yaml"), format!("{before}caFile: ca.pem{after}")).unwrap();
    let text = with("").text();
    assert!(text.contains("clientCertificate"), "{text}");
}
