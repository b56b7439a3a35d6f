//! The two kinds of files as they are written (CONFIG.md). The JSON Schemas are generated from these types;
//! [`settings`](super::settings) and [`policies`](super::policies) check the values and give them meaning.
//!
//! Each field's doc comment is its description in the schema, with its default.

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;
use super::notify::{Heartbeat, ReceiverKeys};
use super::raw_policy::{PromoteFrom, Verify, Window};
use super::server::Server;
use crate::document::kinds::{Keyed, Nothing, Tagged};
use crate::document::secret::{Credentials, Secret};
use crate::document::word_or::WordOr;
use crate::forge::ForgeConfig;
use crate::notify::SinkConfig;
use crate::policy::Write;
use crate::registry::LoginConfig;

/// Where things are: the bot's own configuration, `landfall.yaml`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping with `repositories`")]
#[schemars(title = "Landfall configuration")]
pub(super) struct Config {
    /// Time between two cycles, such as `30s` or `1m`; default `1m`. Not together with `schedule`.
    pub(super) interval: Option<At<String>>,
    /// Cron pattern (five fields, UTC), instead of `interval`.
    pub(super) schedule: Option<At<String>>,
    /// Folder for the cache, deletable at any time; default: the user's state folder.
    pub(super) state_dir: Option<At<String>>,
    /// The GitOps repositories.
    pub(super) repositories: At<Vec<At<Repository>>>,
    /// Registries that need settings; others are used with the defaults.
    #[serde(default)]
    pub(super) registries: Vec<At<Registry>>,
    /// A Docker `config.json`, or the `.dockerconfigjson` of a pull secret: credentials for registries that have none in `registries`.
    pub(super) docker_config: Option<At<Secret>>,
    /// The only hosts, besides those in `registries`, that images may come from; default: every public one.
    pub(super) allowed_registries: Option<At<Vec<At<String>>>>,
    /// What signatures of images are checked against.
    pub(super) signatures: Option<At<Signatures>>,
    /// Clusters to watch.
    #[serde(default)]
    pub(super) clusters: Vec<At<Cluster>>,
    /// Several replicas of `landfall run` share the repositories by Leases of Kubernetes; default: there is one replica.
    pub(super) replicas: Option<At<Replicas>>,
    /// Where alerts go.
    #[serde(default)]
    pub(super) notify: Vec<At<Tagged<ReceiverKeys, SinkConfig>>>,
    /// Where the instructions for each cause are: a web address in which `{code}` stands for the cause's code. Alerts link to it.
    pub(super) runbooks: Option<At<String>>,
    /// The dead man's switch to ping after each good cycle, so that silence is an alarm too.
    pub(super) heartbeat: Option<At<Heartbeat>>,
    /// The web server of `landfall run`: webhooks, metrics, health; default: none.
    pub(super) server: Option<At<Server>>,
}

/// What signatures of images are checked against.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping with `trustedRoot`")]
pub(super) struct Signatures {
    /// The file with the authorities of keyless signatures (`trusted_root.json`); default: those of Sigstore's public instance, as they
    /// were when this version was built.
    pub(super) trusted_root: Option<At<String>>,
}

/// A GitOps repository.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a repository as a mapping with `name` and `url`")]
pub(super) struct Repository {
    /// A short name, unique in this file.
    pub(super) name: At<String>,
    /// https, http, ssh or scp form (`git@host:path`), or a path.
    pub(super) url: At<String>,
    /// Other addresses that controllers use for this repository: mirrors, internal hosts, artifacts made from it.
    #[serde(default)]
    pub(super) aliases: Vec<At<String>>,
    /// The branch that is read and written; default: the remote's `HEAD`.
    pub(super) branch: Option<At<String>>,
    /// How to log in; default: no login.
    pub(super) credentials: Option<At<Credentials>>,
    /// Certificates (PEM) to trust for this remote, besides the system's.
    pub(super) ca_file: Option<At<String>>,
    /// A certificate to show to this remote and its forge where they ask for one.
    pub(super) client_certificate: Option<At<ClientCertificate>>,
    /// Maximum time for one operation on this remote or its forge; default `10m`, and 30 seconds for a forge.
    pub(super) timeout: Option<At<String>>,
    /// Author of commits; default `Landfall <landfall@localhost>`.
    pub(super) author: Option<At<Author>>,
    /// Committer of commits, by whose address the bot knows its own; default: the author.
    pub(super) committer: Option<At<Author>>,
    /// What commits and pull requests say: `conventional`, or templates; default: the bot's own words.
    pub(super) messages: Option<At<WordOr<MessageStyle, Messages>>>,
    /// What the bot's commits are signed with; default: nothing.
    pub(super) signing: Option<At<Signing>>,
    /// Where pull requests are opened; default `{ kind: none }`.
    pub(super) forge: Option<At<Tagged<Nothing, ForgeConfig>>>,
    /// Where the policies are; default `{ path: .landfall }`.
    pub(super) policies: Option<At<Policies>>,
    /// Other branches that the repository's policies may name, such as one per environment; default: none.
    #[serde(default)]
    pub(super) branches: Vec<At<String>>,
    /// What the policies may never exceed.
    #[serde(default)]
    pub(super) caps: Vec<At<Cap>>,
}

/// A name and address for commits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an author as `{ name: …, email: … }`")]
pub(super) struct Author {
    /// The name.
    pub(super) name: At<String>,
    /// The e-mail address.
    pub(super) email: At<String>,
}

/// Messages in a known form.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum MessageStyle {
    /// Conventional Commits: `chore(prod): bump web to 1.4.0`.
    Conventional,
}

/// Templates with the fields `{scope}`, `{policy}`, `{environment}`, `{app}`, `{image}`, `{from}`, `{to}`, `{count}`, `{type}`,
/// `{action}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "`conventional`, or a mapping with `commit`, `title`, `body` or `signOff`"
)]
pub(super) struct Messages {
    /// Commit messages: the subject, and after an empty line the rest, also with `{changes}`. Trailers follow.
    pub(super) commit: Option<At<String>>,
    /// Titles of pull requests.
    pub(super) title: Option<At<String>>,
    /// Texts of pull requests, in Markdown, also with `{changes}`, and `{text}` for the bot's own text.
    pub(super) body: Option<At<String>>,
    /// Whether commits have a `Signed-off-by` of their author; default `false`.
    pub(super) sign_off: Option<At<bool>>,
}

/// Where a repository's policies are: exactly one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "`{ path: FOLDER }` (in the repository) or `{ file: PATH }` (next to this file)"
)]
pub(super) struct Policies {
    /// A folder in the repository; its `*.yaml` and `*.yml` files are read at the planned revision.
    pub(super) path: Option<At<String>>,
    /// A file, or a folder of files, next to this file.
    pub(super) file: Option<At<String>>,
}

/// What policies may never exceed below some paths.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a cap as a mapping with `paths` and `write`")]
pub(super) struct Cap {
    /// Globs from the repository's root.
    pub(super) paths: At<Vec<At<String>>>,
    /// What is allowed there; `never` always is.
    pub(super) write: At<Vec<Write>>,
    /// Whether the bot may merge its own pull requests there; default: only where `write` has `commit`.
    pub(super) automerge: Option<At<bool>>,
    /// The minimum number of approvals before the bot merges; a policy may require more.
    pub(super) approvals: Option<At<u32>>,
    /// The minimum age of an image, such as `1d`; a policy may require more.
    pub(super) minimum_release_age: Option<At<String>>,
    /// The only images that may be written there, as globs; default: every image.
    pub(super) images: Option<At<Vec<At<String>>>>,
    /// The only registries that images may come from, as hosts; default: every registry.
    pub(super) registries: Option<At<Vec<At<String>>>>,
    /// The proof that a version needs at least; a policy may require more.
    pub(super) promote_from: Option<At<PromoteFrom>>,
    /// The only times at which updates are written there; a policy's own windows must be open as well.
    pub(super) windows: Option<At<Vec<At<Window>>>>,
    /// Whether policies may enable automatic rollbacks there; default `true`.
    pub(super) rollback: Option<At<bool>>,
    /// The signatures that an image must have there; those that a policy demands must be there as well.
    pub(super) verify: Option<At<Verify>>,
    /// Whether the repository's own policies may declare what is a version there (`keyPaths`); default `false`.
    pub(super) key_paths: Option<At<bool>>,
}

/// Signatures of commits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping with `sshKey` or `gpgKey`")]
pub(super) struct Signing {
    /// A private Ed25519 or RSA key of OpenSSH, without a passphrase.
    pub(super) ssh_key: Option<At<Secret>>,
    /// A private Ed25519 or RSA key of OpenPGP, without a passphrase, as `gpg --armor --export-secret-keys` writes it; instead of `sshKey`.
    pub(super) gpg_key: Option<At<Secret>>,
    /// Public keys (`ssh-ed25519 AAAA…`, or as `gpg --armor --export` writes them) that the bot signed with before, whose signatures
    /// still count.
    #[serde(default)]
    pub(super) former_keys: Vec<At<String>>,
}

/// A certificate that says who the bot is (mTLS).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a certificate as `{ file: PATH, key: { file: PATH } }`"
)]
pub(super) struct ClientCertificate {
    /// The certificate with its chain (PEM).
    pub(super) file: At<String>,
    /// Its private key (PEM), without a passphrase.
    pub(super) key: At<Secret>,
}

/// A registry that needs settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a registry as a mapping with `host`")]
pub(super) struct Registry {
    /// The host, with a port if image names have one.
    pub(super) host: At<String>,
    /// Mirrors of it, as in image names: a host, or a host with the path below which it is mirrored. Tags of images
    /// pulled from there are read here.
    #[serde(default)]
    pub(super) mirrors: Vec<At<String>>,
    /// Use HTTP without TLS; default `false`.
    #[serde(default)]
    pub(super) plain_http: bool,
    /// Certificates (PEM) to trust for this host, besides the system's.
    pub(super) ca_file: Option<At<String>>,
    /// A certificate to show to this host where it asks for one.
    pub(super) client_certificate: Option<At<ClientCertificate>>,
    /// How to log in; default: anonymously.
    pub(super) credentials: Option<At<Keyed<LoginConfig>>>,
    /// Hosts, besides the registry's own, that may be sent the credentials in exchange for a token.
    #[serde(default)]
    pub(super) token_realms: Vec<At<String>>,
    /// Maximum number of concurrent requests, 1 to 256; default 8.
    pub(super) max_requests: Option<At<u32>>,
    /// Maximum time for one query, including its pages and retries; default `2m`.
    pub(super) timeout: Option<At<String>>,
}

/// The Leases by which several replicas share the repositories.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "the replicas' Leases as a mapping, such as `{ duration: 15s }`"
)]
pub(super) struct Replicas {
    /// The namespace of the Leases; default: the pod's, or that of the kubeconfig's context.
    pub(super) namespace: Option<At<String>>,
    /// How long a replica may be silent before others take its repositories, 5 seconds to 10 minutes; default `15s`.
    pub(super) duration: Option<At<String>>,
    /// The kubeconfig; default: none, the bot runs in this cluster and uses its pod's service account.
    pub(super) kubeconfig: Option<At<Secret>>,
    /// The context in the kubeconfig; default: its current one.
    pub(super) context: Option<At<String>>,
}

/// A cluster to watch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a cluster as a mapping with `name`")]
pub(super) struct Cluster {
    /// A short name, unique in this file.
    pub(super) name: At<String>,
    /// The kubeconfig; default: none, the bot runs in this cluster and uses its pod's service account.
    pub(super) kubeconfig: Option<At<Secret>>,
    /// The context of the kubeconfig; default: its current one.
    pub(super) context: Option<At<String>>,
    /// The environments that run there; default: any.
    #[serde(default)]
    pub(super) environments: Vec<At<String>>,
    /// The only namespaces to read, which must include Argo CD's and Flux's own; default: all.
    #[serde(default)]
    pub(super) namespaces: Vec<At<String>>,
}
