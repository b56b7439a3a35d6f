//! What scanning and editing cost: `cargo bench --bench overlay`.
//!
//! Prints one figure a line. The limits of the design: 10,000 overlays scanned cold in 2 s and after a change of one
//! file in 50 ms, both on two cores; edits at 20 MB/s or more.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and a bench that fails may panic")]

use std::fs;
use std::time::{Duration, Instant};

use landfall::model::{RepoPath, Tag, Version};
use landfall::overlay::{FileChange, PinEdit, PinIndex, edit, scan_file};

const OVERLAYS: usize = 10_000;

fn main() {
    scan();
    // Above a million values, which 10 MB of this text have, a file is not read.
    for megabytes in [1, 8] {
        throughput(megabytes);
    }
}

/// A kustomization as it looks in real repositories: comments, patches, several entries.
fn overlay(n: usize, tag: &str) -> (RepoPath, Vec<u8>) {
    let path = RepoPath::parse(&format!("apps/app{n}/overlays/prod/kustomization.yaml")).unwrap();
    let text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: app{n}\nresources:\n  - ../../base\n  - ingress.yaml\n\
         commonLabels:\n  app.kubernetes.io/part-of: app{n} # who owns it\nimages:\n  - name: web\n    newName: registry.example.com/acme/app{n}\n    \
         newTag: \"{tag}\"\n  - name: sidecar\n    newName: registry.example.com/acme/sidecar\n    newTag: 2.0.1\npatches:\n  - path: \
         replicas.yaml\n    target: {{kind: Deployment, name: web}}\nconfigMapGenerator:\n  - name: settings\n    literals:\n      - LOG_LEVEL=info\n"
    );
    (path, text.into_bytes())
}

fn scan() {
    let changes = |tag: &str| -> Vec<FileChange> {
        (0..OVERLAYS).map(|n| overlay(n, tag)).map(|(path, bytes)| FileChange::File { path, bytes }).collect()
    };
    let (files, mut index) = (changes("1.0.0"), PinIndex::new());
    let cold = timed(|| {
        index.update(files);
        assert_eq!(index.pins(&|_| false).pins.len(), 2 * OVERLAYS);
    });
    println!("scan {OVERLAYS} overlays from memory, cold: {cold:?}");
    let warm = best(20, |n| {
        let (path, bytes) = overlay(n, "1.0.1");
        index.update(vec![FileChange::File { path, bytes }]);
        assert_eq!(index.pins(&|_| false).pins.len(), 2 * OVERLAYS);
    });
    println!("scan {OVERLAYS} overlays after a change of one file: {warm:?}");
    println!("scan {OVERLAYS} overlays with the program, from disk: {:?}", from_disk());
}

/// The program itself, walk and output included.
fn from_disk() -> Duration {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..OVERLAYS {
        let (path, bytes) = overlay(n, "1.0.0");
        let path = folder.path().join(path.as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    best(3, |_| {
        #[allow(clippy::disallowed_methods, reason = "the bench runs the program, as a person would")]
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_landfall"));
        let output = program.args(["scan", "-o", "json"]).arg(folder.path()).output().unwrap();
        assert!(output.status.success());
    })
}

/// One file of many manifests, every tag edited.
fn throughput(megabytes: usize) {
    let path = RepoPath::parse("all.yaml").unwrap();
    let mut text = String::new();
    for n in 0.. {
        text.push_str(&format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web{n}\n  labels:\n    app: web # why\nspec:\n  replicas: 2\n  template:\n    \
             spec:\n      containers:\n        - name: web\n          image: registry.example.com/acme/web:1.0.{n}\n          env:\n            - {{name: \
             LOG_LEVEL, value: info}}\n          ports:\n            - containerPort: 8080\n"
        ));
        if text.len() >= megabytes * 1_000_000 {
            break;
        }
    }
    let bytes = text.as_bytes();
    let scan = best(3, |_| drop(scan_file(&path, bytes)));
    let pins = scan_file(&path, bytes).pins;
    assert!(!pins.is_empty(), "{:?}", scan_file(&path, bytes).skipped);
    let to = Version { tag: Some(Tag::parse("2.0.0").unwrap()), digest: None };
    let edits: Vec<_> = pins.iter().map(|pin| PinEdit { pin, to: to.clone(), rename: None }).collect();
    let edited = best(3, |_| drop(edit(&path, bytes, &edits).unwrap()));
    let rate = |time: Duration| bytes.len() as f64 / 1e6 / time.as_secs_f64();
    println!("scan {megabytes} MB in one file: {scan:?}, {:.0} MB/s", rate(scan));
    println!("edit {} pins of {megabytes} MB and prove it: {edited:?}, {:.0} MB/s", pins.len(), rate(edited));
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn best(times: usize, mut work: impl FnMut(usize)) -> Duration {
    (0..times).map(|n| timed(|| work(n))).min().unwrap()
}
