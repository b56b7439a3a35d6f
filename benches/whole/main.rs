//! Benches of the whole program against real wires: Git over HTTP, a registry over HTTP, the release binary.
//!
//! `cargo bench --bench whole` runs them all, `cargo bench --bench whole -- idle many` only those named. Each prints the
//! median of its runs with the least and the greatest, and fails when a count (requests, commits, pushes) is not what it
//! must be; times are for a person to judge, since they are a machine's. `benches/README.md` has the figures.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod clusters;
mod cold;
mod cycles;
mod dark;
mod fleet;
mod hooks;
mod landing;
mod large;
mod measure;
mod monorepo;
mod registries;
mod scans;
mod seed;
mod starts;
mod world;

use std::future::Future;
use std::pin::Pin;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Bench = fn() -> Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// Every bench by its name.
const BENCHES: &[(&str, Bench)] = &[
    ("start", || Box::pin(starts::start())),
    ("tags", || Box::pin(starts::tags())),
    ("folder", || Box::pin(scans::folder())),
    ("mirror", || Box::pin(scans::mirror())),
    ("cold", || Box::pin(cold::cold())),
    ("dark", || Box::pin(dark::dark())),
    ("many", || Box::pin(cycles::many())),
    ("idle", || Box::pin(cycles::idle())),
    ("release", || Box::pin(cycles::release())),
    ("pull-requests", || Box::pin(cycles::pull_requests())),
    ("newest-build", || Box::pin(registries::newest_build())),
    ("million", || Box::pin(registries::million())),
    ("sweep", || Box::pin(registries::sweep())),
    ("sweep-short", || Box::pin(registries::sweep_short())),
    ("sweep-long", || Box::pin(registries::sweep_long())),
    ("webhook", || Box::pin(hooks::webhook())),
    ("flood", || Box::pin(hooks::flood())),
    ("cluster", || Box::pin(clusters::clusters())),
    ("landing", || Box::pin(landing::landing())),
    ("large", || Box::pin(large::large())),
    ("monorepo", || Box::pin(monorepo::monorepo())),
];

/// A size as it is measured, or the small one where `LANDFALL_BENCH_SMALL` is set: to see whether a bench works.
#[expect(clippy::disallowed_methods, reason = "how large a bench is, is no configuration of the program")]
pub(crate) fn sized(usual: usize, small: usize) -> usize {
    if std::env::var_os("LANDFALL_BENCH_SMALL").is_some() { small } else { usual }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo says so when it benches; when it only tests, there is nothing to do.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let named: Vec<&str> = arguments.iter().map(String::as_str).filter(|name| *name != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if let ["seed", rest @ ..] = named.as_slice() {
            return seed::seed(rest).await;
        }
        if let ["api-server", rest @ ..] = named.as_slice() {
            return fleet::api_server(rest).await;
        }
        for name in &named {
            anyhow::ensure!(BENCHES.iter().any(|(known, _)| known == name), "there is no bench `{name}`");
        }
        for (_, bench) in BENCHES.iter().filter(|(name, _)| named.is_empty() || named.contains(name)) {
            bench().await?;
        }
        Ok(())
    })
}
