//! Landfall: GitOps image automation that never loses an update silently.
//!
//! ```text
//! watch registries ─► select tag ─► gate ─► edit pins ─► commit + push | pull request ─► read again: verified
//!                     └──────────── plan (pure) ───────┘                                        │
//!         alert | resolve ◄── landing (pure): has it come to Running? ◄── observe clusters ◄────┘
//! ```
//!
//! # Map
//!
//! A pure core decides as data, edges act, and a thin shell runs the loop. CONTRIBUTING.md follows a tag through the modules:
//!
//! | module | duty |
//! |---|---|
//! | [`model`] | the words of the field as types: image names, tags, pins, revisions, answers |
//! | [`select`] | filter and order tags; say why each was rejected |
//! | [`policy`] | path → effective policy, with the place of each field; windows |
//! | [`overlay`] | find pins in YAML text; change exactly their bytes; what is built from which file |
//! | [`plan`] | snapshot → what would be done now, what waits, and why |
//! | [`init`] | pins → proposed configuration and policies for a repository that is new |
//! | [`landing`] | objects of a cluster → verdicts; who watches a file ([`landing::watchers`]); how far it has come; what becomes an incident ([`landing::incidents`]) |
//! | [`verify`] | what a registry holds of signatures → whether it proves what a policy demands |
//! | [`election`] | what Leases say → which of several replicas works for which repository |
//! | [`message`] | every sentence of commits, pull requests and alerts |
//! | [`page`] | what the bot knows → the web page, its JSON, badges |
//! | [`document`] | how our own YAML files are read: values with their places, kinds, secrets' sources |
//! | [`config`] | files → validated settings and policies |
//! | [`http`](mod@http) | below the edges: the one HTTP layer: clients, limits, retries, address rules |
//! | [`meter`] | below the edges: counts of what is asked outside |
//! | [`process`] | below the edges: other programs, run within bounds |
//! | [`registry`] | edge: OCI distribution client |
//! | [`git`] | edge: mirror, read, commit, push; a branch's past |
//! | [`forge`] | edge: pull requests |
//! | [`cluster`] | edge: Kubernetes watches; objects → observations |
//! | [`notify`] | edge: alert sinks and the heartbeat |
//! | [`webhooks`] | edge: what webhooks of registries and forges prove, and what they hint at |
//! | [`store`] | edge: a cache that may be deleted at any time |
//! | [`daemon`] | shell: each repository in a task of its own, with a reader, a session and an executor; the tracker of landings |
//! | [`server`] | shell: the web server of `landfall run`: the page and its API, webhooks, metrics, health |
//! | [`cli`] | shell: arguments → one call into the rest |
//! | [`demo`] | shell: a whole world in one process |
//!
//! # Invariants
//!
//! Pure modules do no I/O, read no clock and no environment. Edges never name each other, `plan` or `daemon`, but for `forge`,
//! whose local kind keeps its pull requests in Git. Each thing outside has one way in: one constructor for git commands, one
//! builder of HTTP clients, one clock. What a plan needs to know, it asks for as data ([`plan::Queries`]); what it decides is
//! data ([`plan::Plan`]). `tests/it/layers.rs` and `.clippy.toml` hold these.

pub mod model;

pub mod election;
pub mod init;
pub mod landing;
pub mod message;
pub mod overlay;
pub mod page;
pub mod plan;
pub mod policy;
pub mod select;
pub mod verify;

pub mod config;
pub mod document;

pub mod http;
pub mod meter;
pub mod process;

pub mod cluster;
pub mod forge;
pub mod git;
pub mod notify;
pub mod registry;
pub mod store;
pub mod webhooks;

pub mod cli;
pub mod daemon;
pub mod demo;
pub mod server;
