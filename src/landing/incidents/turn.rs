//! One key's turn in a step: from its rows and what was notified before to what is notified now.

use jiff::Timestamp;

use crate::model::{
    Counts, Incident, Links, Notice, NoticeKind, Resolution, Severity, State, Tracked, Version, one_line,
};

use super::severity::{IncidentStanding, judge};
use super::{Open, Record, Rules, elapsed, resolve, worst};

/// Maximum number of versions named as running.
const MAX_VERSIONS: usize = 5;

/// Everything needed for one key's turn.
pub(super) struct Turn<'a> {
    pub(super) record: Record,
    pub(super) rules: &'a Rules,
    pub(super) now: Timestamp,
    /// The time of the last step; `None` the first time ever.
    pub(super) looked: Option<Timestamp>,
    pub(super) notices: &'a mut Vec<Notice>,
}

impl Turn<'_> {
    pub(super) fn take(&mut self, rows: &[&Tracked]) {
        let Some((row, standing)) = worst(rows, |row| judge(row, self.since(row), self.rules, self.now)) else {
            return;
        };
        let since = self.since(row);
        let overlays = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        self.record.told.missing = None;
        self.forget_old_raises();
        let back = self.is_just_back(row);
        match standing {
            IncidentStanding::Trouble(_) if back && row.landing.state == State::Stuck => {}
            IncidentStanding::Trouble(severity) => self.trouble(row, since, overlays, severity),
            IncidentStanding::RolledBack if self.stays_rolled_back() => {
                self.trouble(row, since, overlays, Severity::Error);
            }
            IncidentStanding::RolledBack => self.over(row, since, Resolution::RolledBack),
            IncidentStanding::Landed => self.over(row, since, Resolution::Landed),
            IncidentStanding::Superseded => self.over(row, since, Resolution::Superseded { by: None }),
            IncidentStanding::Rejected => self.over(row, since, Resolution::Rejected),
            IncidentStanding::Moving if elapsed(since, self.now) >= self.rules.settle => {
                self.over(row, since, Resolution::Released);
            }
            IncidentStanding::Moving | IncidentStanding::Quiet => {}
        }
        self.landing(row, since);
        self.look(row, since);
    }

    /// Whether its state was unknown until a moment ago. An update whose controllers were away may be late because of
    /// that, and their return is no reason for an alert.
    fn is_just_back(&mut self, row: &Tracked) -> bool {
        let (told, now) = (&mut self.record.told, self.now);
        let unknown = row.landing.state == State::Unknown;
        if std::mem::replace(&mut told.unknown, unknown) && !unknown {
            told.seen_again = Some(now);
        }
        told.seen_again = told.seen_again.filter(|at| elapsed(*at, now) < self.rules.settle);
        told.seen_again.is_some()
    }

    /// When the row's state began, as far as is known.
    fn since(&self, row: &Tracked) -> Timestamp {
        let seen = self.record.state.filter(|(state, _)| *state == row.landing.state).map(|(_, at)| at);
        row.since.or(seen).unwrap_or(self.now).min(self.now)
    }

    fn forget_old_raises(&mut self) {
        let (now, window) = (self.now, self.rules.flap_window);
        self.record.told.raises.retain(|at| elapsed(*at, now) < window);
    }

    /// A rollback resolves an incident that was reported as stuck. A rollback of something that was never reported is
    /// itself an incident, until Git changes.
    fn stays_rolled_back(&self) -> bool {
        match &self.record.told.open {
            Some(open) => open.notice.incident.state == State::RolledBack,
            None => self.record.told.ended != Some(Resolution::RolledBack),
        }
    }

    fn trouble(&mut self, row: &Tracked, since: Timestamp, overlays: u32, severity: Severity) {
        let mut notice = self.notice(NoticeKind::Raised, row, since, severity);
        notice.counts.overlays = overlays;
        match self.record.told.open.take() {
            None => self.raise(notice),
            Some(open) => self.go_on(open, notice),
        }
    }

    fn raise(&mut self, mut notice: Notice) {
        notice.counts.told = 1;
        let codes = [notice.incident.code].into();
        self.record.told.raises.push(self.now);
        self.record.told.ended = None;
        self.record.told.open = Some(Open { last: self.now, codes, notice: notice.clone() });
        self.notices.push(notice);
    }

    /// The incident was already open: it got worse, is due for a reminder, or neither.
    fn go_on(&mut self, mut open: Open, mut notice: Notice) {
        let before = &open.notice;
        let worse = notice.incident.severity > before.incident.severity;
        let other = notice.incident.code != before.incident.code;
        let new = !open.codes.contains(&notice.incident.code);
        let due = self.rules.reminder.is_some_and(|reminder| elapsed(open.last, self.now) >= reminder);
        let kind = match before.oscillating {
            _ if worse => Some(NoticeKind::Escalated),
            false if new => Some(NoticeKind::Escalated),
            _ if due => Some(NoticeKind::Reminder),
            _ => None,
        };
        notice.incident.severity = notice.incident.severity.max(before.incident.severity);
        notice.incident.since = before.incident.since;
        notice.oscillating = before.oscillating;
        notice.counts.told = before.counts.told + u32::from(kind.is_some());
        notice.counts.suppressed = before.counts.suppressed + u32::from(kind.is_none() && other);
        notice.at = if kind.is_some() { self.now } else { before.at };
        if notice.from.is_empty() {
            notice.from.clone_from(&before.from);
        }
        open.codes.insert(notice.incident.code);
        if let Some(kind) = kind {
            open.last = self.now;
            self.notices.push(Notice { kind, ..notice.clone() });
        }
        open.notice = notice;
        self.record.told.open = Some(open);
    }

    fn over(&mut self, row: &Tracked, since: Timestamp, resolution: Resolution) {
        let back_and_forth = matches!(resolution, Resolution::Landed | Resolution::RolledBack);
        let often = self.record.told.raises.len() >= self.rules.flap_limit;
        let Some(open) = &mut self.record.told.open else { return };
        let quiet = elapsed(since, self.now) >= self.rules.flap_quiet;
        if back_and_forth && (often || open.notice.oscillating) && !quiet {
            return self.oscillate();
        }
        open.notice.incident.state = row.landing.state;
        open.notice.incident.rung = row.landing.rung;
        self.notices.extend(resolve(&mut self.record.told, resolution, self.now));
    }

    /// Healthy again, after flapping: not trusted before it has lasted, and notified once.
    fn oscillate(&mut self) {
        let Some(open) = &mut self.record.told.open else { return };
        if open.notice.oscillating {
            return;
        }
        open.notice.oscillating = true;
        open.notice.counts.told += 1;
        open.notice.at = self.now;
        open.last = self.now;
        self.notices.push(Notice { kind: NoticeKind::Escalated, ..open.notice.clone() });
    }

    /// Notifies a landing once, if the row was seen on its way or landed since the last step.
    fn landing(&mut self, row: &Tracked, since: Timestamp) {
        if row.landing.state != State::Landed {
            return;
        }
        let commit = row.declared.commit.as_ref().map(ToString::to_string);
        let before = std::mem::replace(&mut self.record.told.landed_with, commit);
        let same = before.is_none() || before == self.record.told.landed_with;
        if std::mem::replace(&mut self.record.told.landed, true) && same {
            return;
        }
        let since_looked = self.looked.is_some_and(|looked| row.since.is_some() && since > looked);
        if !self.record.moving && !since_looked {
            return;
        }
        let began = row.declared.since.unwrap_or(since).min(since);
        let mut notice = self.notice(NoticeKind::Landed, row, began, Severity::Info);
        notice.from.clone_from(&self.record.before);
        notice.counts = Counts { overlays: 1, told: 1, suppressed: 0 };
        self.notices.push(notice);
    }

    /// Keeps what the next turn needs to know about the row.
    fn look(&mut self, row: &Tracked, since: Timestamp) {
        let state = row.landing.state;
        let seen = self.record.state.filter(|(before, _)| *before == state).map_or(since, |(_, at)| at);
        self.record.state = Some((state, seen));
        self.record.moving = match state {
            State::Pending | State::Stuck => true,
            State::Unknown | State::Paused => self.record.moving,
            _ => false,
        };
        let others = others(row);
        if matches!(state, State::Pending | State::Stuck | State::Paused) && !others.is_empty() {
            self.record.before = others;
        }
    }

    fn notice(&self, kind: NoticeKind, row: &Tracked, since: Timestamp, severity: Severity) -> Notice {
        let cause = row.landing.cause.as_ref();
        let code = cause.map(|cause| cause.code);
        let commit = row.declared.commit.as_ref().map(ToString::to_string);
        let base = self.rules.commit_urls.get(&row.repository);
        let runbook = self.rules.runbook.as_ref().zip(code);
        Notice {
            kind,
            at: self.now,
            links: Links {
                pull_request: row.pull_request.clone(),
                commit: base.zip(commit.as_ref()).map(|(base, commit)| format!("{base}{commit}")),
                controller: None,
                runbook: runbook.map(|(url, code)| url.replace("{code}", &code.to_string())),
            },
            incident: Incident {
                key: self.record.told.key.clone(),
                repository: row.repository.clone(),
                overlay: one_line(&row.overlay, 400),
                policy: row.policy.clone(),
                commit,
                state: row.landing.state,
                rung: row.landing.rung,
                code,
                severity,
                since,
                deadline: row.deadline,
                affects: row.affects.clone(),
            },
            resolution: None,
            from: others(row),
            cause: cause.map(|cause| cause.message.clone()).unwrap_or_default(),
            evidence: cause.map(|cause| cause.evidence.clone()).unwrap_or_default(),
            next: cause.map(|cause| cause.next.clone()).unwrap_or_default(),
            counts: Counts { overlays: 1, told: 0, suppressed: 0 },
            oscillating: false,
            flapping: row.flapping,
        }
        .clean()
    }
}

/// Running versions other than the declared one. A declared tag that runs by its digest is the same version.
fn others(row: &Tracked) -> Vec<String> {
    let declared = &row.declared.version;
    let same = |live: &&Version| {
        let tag = declared.tag.is_some() && live.tag == declared.tag;
        let digest = declared.digest.is_some() && live.digest == declared.digest;
        match (&declared.digest, &live.digest) {
            (Some(_), Some(_)) => digest,
            _ => tag || digest,
        }
    };
    row.live.iter().filter(|live| !same(live)).take(MAX_VERSIONS).map(ToString::to_string).collect()
}
