//! Sync windows of an AppProject, evaluated here because a closed window leaves no trace in an Application's status.
//!
//! As in Argo CD: a window applies if one of its applications, namespaces or clusters matches (all of them with
//! `andOperator`). An active `deny` closes it; otherwise an active `allow` opens it. If there are `allow` windows and
//! none is active, it is closed.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::glob::{Glob, Separators};
use crate::model::observation::{Application, Body, Object, SyncWindow};
use crate::model::{Cause, CauseCode};
use crate::policy::{Schedule, Window, WindowKind, WindowState, windows_state};

use super::{World, cause};

/// Why automated sync is not allowed now, if a window forbids it.
pub(super) fn closed(world: &World<'_>, object: &Object, app: &Application) -> Option<Cause> {
    let name = app.project.as_deref().unwrap_or("default");
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let own = world.named("AppProject", namespace, name).next();
    let project = own.or_else(|| world.anywhere("AppProject", name).next())?;
    let Body::AppProject(it) = &project.body else { return None };
    let applied = it.sync_windows.iter().filter(|window| applies(window, object, app));
    let (written, windows): (Vec<&SyncWindow>, Vec<Window>) =
        applied.filter_map(|window| Some((window, read(window)?))).unzip();
    let WindowState::Closed { opens } = windows_state(&windows, world.now()) else { return None };
    let states = || written.iter().zip(&windows).map(|(written, window)| (*written, window, window.state(world.now())));
    let denying = states().find(|(_, window, state)| is_deny(window) && matches!(state, WindowState::Open { .. }));
    let allowing = || states().filter(|(_, window, _)| !is_deny(window)).min_by_key(|(.., state)| next_opening(state));
    let (window, ..) = denying.or_else(allowing)?;
    Some(explain(object, project, window, opens))
}

fn is_deny(window: &Window) -> bool {
    window.kind == WindowKind::Deny
}

fn next_opening(state: &WindowState) -> Timestamp {
    match state {
        WindowState::Closed { opens: Some(at) } => *at,
        _ => Timestamp::MAX,
    }
}

fn explain(object: &Object, project: &Object, window: &SyncWindow, opens: Option<Timestamp>) -> Cause {
    let zone = window.time_zone.as_deref().unwrap_or("UTC");
    let until = match opens {
        Some(at) => format!("is closed until {at:.0}"),
        None => "is closed and, as it is written, does not open".to_owned(),
    };
    let message = format!("{}: a sync window of {} {until}", object.label(), project.label());
    let evidence = vec![format!("{} window `{}` for {} ({zone})", window.kind, window.schedule, window.duration)];
    let next = if window.manual_sync {
        format!("sync by hand, which this window allows: `argocd app sync {}`", object.name)
    } else if opens.is_some() {
        "wait until it opens, or change the window in the project".to_owned()
    } else {
        format!("change the window in {}: waiting does not help", project.label())
    };
    cause::make(CauseCode::WindowClosed, message, evidence, next)
}

/// A window as written; Argo CD never applies one that cannot be parsed either.
fn read(window: &SyncWindow) -> Option<Window> {
    let kind = match window.kind.as_str() {
        "allow" => WindowKind::Allow,
        "deny" => WindowKind::Deny,
        _ => return None,
    };
    let zone = match window.time_zone.as_deref() {
        None | Some("") => TimeZone::UTC,
        Some(name) => TimeZone::get(name).ok()?,
    };
    let opens = Schedule::parse(&window.schedule, zone).ok()?;
    Some(Window { kind, opens, duration: go_duration(&window.duration)? })
}

/// A Go duration in whole units: `1h`, `90m`, `1h30m`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        let unit = &rest[digits..];
        let factor = match unit.as_bytes().first()? {
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(factor)?)?;
        rest = &unit[1..];
    }
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

fn applies(window: &SyncWindow, object: &Object, app: &Application) -> bool {
    let any = |patterns: &[String], values: &[Option<&str>]| {
        patterns.iter().any(|pattern| values.iter().flatten().any(|value| matches(pattern, value)))
    };
    let destination = &app.destination;
    let by_app = any(&window.applications, &[Some(&object.name)]);
    let by_namespace = any(&window.namespaces, &[destination.namespace.as_deref()]);
    let by_cluster = any(&window.clusters, &[destination.server.as_deref(), destination.name.as_deref()]);
    if !window.and {
        return by_app || by_namespace || by_cluster;
    }
    let lists = [(&window.applications, by_app), (&window.namespaces, by_namespace), (&window.clusters, by_cluster)];
    let mut given = lists.iter().filter(|(patterns, _)| !patterns.is_empty()).peekable();
    given.peek().is_some() && given.all(|(_, matched)| *matched)
}

fn matches(pattern: &str, value: &str) -> bool {
    Glob::new(pattern, Separators::Cross).is_ok_and(|glob| glob.is_match(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        for (text, seconds) in [("1h", 3600), ("90m", 5400), ("1h30m", 5400), ("30s", 30)] {
            assert_eq!(go_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "1", "1d", "-1h", "99999999999999999999h", "1.5h"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }
}
