//! Integration tests: one binary, one file per subject; each runs the real thing (Git, HTTP, the program itself).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that panics is a test that fails; skips are said aloud"
)]

mod chaos;
mod check;
mod cluster;
mod config;
mod costs;
mod docs;
mod forge;
mod forge_judge;
mod forges;
mod git;
mod gitea;
mod github_app;
mod init;
mod install;
mod landing;
mod layers;
mod notify;
mod observed;
mod places;
mod promotion;
mod registry;
mod replicas;
mod review;
mod scan;
mod server;
mod set_image;
mod status;
mod store;
mod story;
mod support;
mod tags;
mod tls;
mod version;
