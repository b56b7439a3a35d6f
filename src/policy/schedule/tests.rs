//! Windows at their edges and across clock changes.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(cron: &str, hours: u64, zone: &str) -> Window {
    let zone = TimeZone::get(zone).unwrap();
    Window {
        kind: WindowKind::Allow,
        opens: Schedule::parse(cron, zone).unwrap(),
        duration: Duration::from_secs(hours * 3600),
    }
}

fn open(until: &str) -> WindowState {
    WindowState::Open { until: at(until) }
}

fn closed(opens: &str) -> WindowState {
    WindowState::Closed { opens: Some(at(opens)) }
}

#[test]
fn a_window_is_open_from_its_first_moment_to_before_its_last() {
    // Monday to Friday, 9 to 16 in Berlin; 2026-01-05 is a Monday.
    let window = window("0 9 * * 1-5", 7, "Europe/Berlin");
    for (now, state) in [
        ("2026-01-05T07:59:59Z", closed("2026-01-05T08:00:00Z")),
        ("2026-01-05T08:00:00Z", open("2026-01-05T15:00:00Z")),
        ("2026-01-05T14:59:59.999Z", open("2026-01-05T15:00:00Z")),
        ("2026-01-05T15:00:00Z", closed("2026-01-06T08:00:00Z")),
        // A weekend.
        ("2026-01-09T15:00:00Z", closed("2026-01-12T08:00:00Z")),
        // Summer time.
        ("2026-07-06T07:30:00Z", open("2026-07-06T14:00:00Z")),
    ] {
        assert_eq!(window.state(at(now)), state, "{now}");
    }
}

#[test]
fn windows_end_at_their_time_of_day_when_clocks_change() {
    // Berlin: 2026-03-29 02:00 becomes 03:00; 2026-10-25 03:00 becomes 02:00.
    let night = window("30 2 * * *", 1, "Europe/Berlin");
    // 02:30 does not exist that day: it opens when the clock jumps.
    assert_eq!(night.state(at("2026-03-29T01:10:00Z")), open("2026-03-29T02:00:00Z"));
    // 02:30 is there twice that day: it opens once.
    assert_eq!(night.state(at("2026-10-25T00:40:00Z")), open("2026-10-25T02:30:00Z"));
    assert_eq!(night.state(at("2026-10-25T02:40:00Z")), closed("2026-10-26T01:30:00Z"));
    let long = window("0 22 * * 6", 12, "Europe/Berlin");
    assert_eq!(long.state(at("2026-03-29T00:00:00Z")), open("2026-03-29T08:00:00Z"));
    assert_eq!(long.state(at("2026-10-25T00:00:00Z")), open("2026-10-25T09:00:00Z"));
    // 02:30 in the hour that comes again, for a quarter of an hour: it is over after it, not before it has begun.
    let short = Window { duration: Duration::from_secs(900), ..window("* 2 * * *", 1, "Europe/Berlin") };
    assert!(
        matches!(short.state(at("2026-10-25T01:20:00Z")), WindowState::Open { until } if until > at("2026-10-25T01:20:00Z"))
    );
}

#[test]
fn windows_that_touch_or_overlap_are_one() {
    assert_eq!(window("0 9,11 * * *", 2, "UTC").state(at("2026-01-05T09:30:00Z")), open("2026-01-05T13:00:00Z"));
    assert_eq!(window("0 9,10 * * *", 2, "UTC").state(at("2026-01-05T09:30:00Z")), open("2026-01-05T12:00:00Z"));
    // Always open: there is an end, far enough away, and the search for it ends.
    let WindowState::Open { until } = window("* * * * *", 1, "UTC").state(at("2026-01-05T09:30:00Z")) else {
        panic!("closed")
    };
    assert!(until > at("2026-01-05T10:30:00Z"));
}

#[test]
fn one_open_window_of_several_is_enough() {
    let windows = [window("0 9 * * *", 1, "UTC"), window("0 20 * * *", 2, "UTC")];
    assert_eq!(windows_state(&windows, at("2026-01-05T20:30:00Z")), open("2026-01-05T22:00:00Z"));
    assert_eq!(windows_state(&windows, at("2026-01-05T12:00:00Z")), closed("2026-01-05T20:00:00Z"));
    assert_eq!(windows_state(&windows, at("2026-01-05T23:00:00Z")), closed("2026-01-06T09:00:00Z"));
    assert_eq!(windows_state(&[], at("2026-01-05T12:00:00Z")), WindowState::Open { until: Timestamp::MAX });
}

#[test]
fn the_ends_of_time_do_no_harm() {
    let window = window("0 9 * * *", 7, "UTC");
    for now in [Timestamp::MIN, Timestamp::MAX] {
        let _ = window.state(now);
    }
}

#[test]
fn weekdays_are_those_of_cron() {
    // 2026-01-02 is a Friday. The 13th or a Friday: either is enough.
    let schedule = Schedule::parse("0 0 13 * 5", TimeZone::UTC).unwrap();
    assert_eq!(schedule.next(at("2026-01-01T00:00:00Z")), Some(at("2026-01-02T00:00:00Z")));
    assert_eq!(schedule.next(at("2026-01-09T00:00:00Z")), Some(at("2026-01-13T00:00:00Z")));
    assert_eq!(schedule.previous(at("2026-01-13T00:00:00Z")), Some(at("2026-01-13T00:00:00Z")));
    let sunday = Schedule::parse("0 0 * * 7", TimeZone::UTC).unwrap();
    assert_eq!(sunday.next(at("2026-01-01T00:00:00Z")), Some(at("2026-01-04T00:00:00Z")));
}

#[test]
fn patterns_of_another_kind_are_refused() {
    for pattern in [
        "",
        "@",
        "@never",
        "* * * *",
        "0 * * * * *",
        "0 0 31 4 *",
        "x * * * *",
        "* * * * 8",
        "*/0 * * * *",
        "ä * * * *",
    ] {
        assert!(Schedule::parse(pattern, TimeZone::UTC).is_err(), "{pattern}");
    }
    for pattern in ["@daily", "*/2 * * * *", "0 9 * * MON-FRI", "0 0 L * *", " 0 0 29 2 * "] {
        assert!(Schedule::parse(pattern, TimeZone::UTC).is_ok(), "{pattern}");
    }
}

#[test]
fn one_window_that_denies_is_enough() {
    let allow = window("0 9 * * *", 8, "Europe/Berlin");
    let deny = Window { kind: WindowKind::Deny, ..window("0 12 * * *", 1, "Europe/Berlin") };
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let both = [allow.clone(), deny.clone()];
    for (now, expected) in [
        // 10:00 in Berlin: open until noon.
        ("2026-01-05T09:00:00Z", WindowState::Open { until: at("2026-01-05T11:00:00Z") }),
        // Noon: until one o'clock.
        ("2026-01-05T11:00:00Z", WindowState::Closed { opens: Some(at("2026-01-05T12:00:00Z")) }),
        ("2026-01-05T12:00:00Z", WindowState::Open { until: at("2026-01-05T16:00:00Z") }),
        // In the evening: until the morning, since nothing is denied then.
        ("2026-01-05T18:00:00Z", WindowState::Closed { opens: Some(at("2026-01-06T08:00:00Z")) }),
    ] {
        assert_eq!(windows_state(&both, at(now)), expected, "{now}");
    }
    // Alone it leaves everything else open.
    let until = at("2026-01-05T12:00:00Z");
    let alone = std::slice::from_ref(&deny);
    assert_eq!(windows_state(alone, at("2026-01-05T11:30:00Z")), WindowState::Closed { opens: Some(until) });
    assert!(matches!(windows_state(alone, until), WindowState::Open { .. }));
    // What always denies leaves nothing.
    let always = Window { kind: WindowKind::Deny, ..window("0 0 * * *", 25, "UTC") };
    assert_eq!(windows_state(&[allow, always], until), WindowState::Closed { opens: None });
}

#[test]
fn windows_keep_their_wall_clock_through_nights_of_clock_changes() {
    // From 22:00 to 06:00 on the wall in summer and winter; also on the nights of the change.
    for (zone, now, expected) in [
        ("Europe/Berlin", "2026-03-28T20:59:59Z", "2026-03-28T21:00:00Z"),
        ("Europe/Berlin", "2026-03-29T19:59:59Z", "2026-03-29T20:00:00Z"),
        ("Europe/Berlin", "2026-10-25T20:59:59Z", "2026-10-25T21:00:00Z"),
        ("America/New_York", "2026-03-08T01:30:00Z", "2026-03-08T03:00:00Z"),
        ("America/New_York", "2026-03-09T01:30:00Z", "2026-03-09T02:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T10:00:00Z", "2026-04-04T11:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-05T10:00:00Z", "2026-04-05T11:30:00Z"),
    ] {
        let night = window("0 22 * * *", 8, zone);
        let opens = WindowState::Closed { opens: Some(expected.parse().unwrap()) };
        assert_eq!(windows_state(&[night], now.parse().unwrap()), opens, "{zone} {now}");
    }
}
