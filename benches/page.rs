//! What the page costs: `cargo bench --bench page`.
//!
//! 2,000 apps in four environments. The limits of the design: 50 ms to the first byte (the matrix and its HTML are made before
//! it), 200 ms for the whole page, 100 ms from a verdict to an open page, of which [`LiveCells`] is what costs. Each figure is
//! the median of eleven runs, and in brackets least to greatest.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and a bench that fails may panic")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use landfall::model::{BranchName, ImageName, Landing, Rung, State, Tag, Tracked, UpdateId, Version};
use landfall::page::{Chronicle, Facts, LiveCells, RowFilter, html, matrix, timeline, updates, waits};

const APPS: [usize; 2] = [2_000, 8_000];
const RUNS: usize = 11;

fn main() {
    println!("{:<12} {:>28} {:>28}", "", "2,000 apps × 4", "8,000 apps × 4");
    let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
    let rows = APPS.map(|apps| rows(apps, now));
    let measured = |name: &str, work: &dyn Fn(&[Tracked])| {
        let figures = rows.each_ref().map(|rows| figure(&|| work(rows)));
        println!("{name:<12} {:>28} {:>28}", figures[0], figures[1]);
    };
    let (filter, one) = (RowFilter::default(), RowFilter { q: "app-0042".to_owned(), ..RowFilter::default() });
    measured("matrix", &|rows| with(rows, now, |facts| drop(black_box(matrix(facts, &filter)))));
    measured("page", &|rows| {
        with(rows, now, |facts| drop(black_box(html::matrix_page(facts, &matrix(facts, &filter), &filter))));
    });
    measured("search", &|rows| {
        with(rows, now, |facts| drop(black_box(html::matrix_page(facts, &matrix(facts, &one), &one))));
    });
    measured("live", &|rows| {
        with(rows, now, |facts| drop(black_box(LiveCells::default().take(facts, &matrix(facts, &filter)))));
    });
    measured("json", &|rows| {
        with(rows, now, |facts| drop(black_box(serde_json::to_string(&updates(facts, &filter)).unwrap())));
    });
    measured("lists", &|rows| {
        with(rows, now, |facts| drop(black_box((waits(facts, &filter), timeline(facts, &filter)))));
    });
    measured("chronicle", &|rows| {
        let mut chronicle = Chronicle::default();
        chronicle.observe(rows, now);
        chronicle.observe(black_box(rows), now);
    });
}

/// The rows of this many apps in four environments, some of them in trouble or waiting.
fn rows(apps: usize, now: Timestamp) -> Vec<Tracked> {
    let branch = BranchName::parse("main").unwrap();
    let mut rows = Vec::new();
    for app in 0..apps {
        for (nth, environment) in ["dev", "test", "staging", "prod"].into_iter().enumerate() {
            let name = format!("app-{app:04}");
            let image = ImageName::parse(&format!("registry.example.com/acme/{name}")).unwrap();
            let version = Version { tag: Tag::parse(&format!("1.{}.{}", app % 40, 9 - nth)).ok(), digest: None };
            let overlay = format!("apps/{name}/overlays/{environment}");
            let id = UpdateId::of(&branch, &overlay, environment, &image, &version);
            let (state, rung) = match (app * 4 + nth) % 7 {
                0 => (State::Pending, Some(Rung::Running)),
                1 => (State::Paused, Some(Rung::Committed)),
                _ => (State::Landed, None),
            };
            let landing = Landing { state, rung, cause: None };
            let mut row = Tracked::new(id, "deploys", &name, image, version, landing);
            (row.overlay, row.environment, row.cluster) =
                (overlay, Some(environment.to_owned()), Some("eu-1".to_owned()));
            (row.since, row.declared.since, row.declared.by) = (Some(now), Some(now), Some("Landfall".to_owned()));
            rows.push(row);
        }
    }
    rows
}

fn with<T>(rows: &[Tracked], now: Timestamp, work: impl FnOnce(&Facts<'_>) -> T) -> T {
    let chronicle = Chronicle::default();
    work(&Facts {
        now,
        judged: Some(now),
        rows,
        problems: &[],
        notes: &[],
        repositories: BTreeMap::new(),
        incidents: &[],
        chronicle: &chronicle,
        revision: 1,
    })
}

fn figure(work: &dyn Fn()) -> String {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let begin = Instant::now();
            work();
            begin.elapsed()
        })
        .collect();
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!("{:.1} ms [{:.1}–{:.1}]", ms(times[RUNS / 2]), ms(times[0]), ms(times[RUNS - 1]))
}
