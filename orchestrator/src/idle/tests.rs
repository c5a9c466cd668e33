//! When somebody is put to sleep, in minutes.

use kalpana_protocol::bridge::activity::{BusyProcess, Keeper};

use super::*;

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn timers() -> Timers {
    Timers {
        pause_after: Some(minutes(15)),
        stop_after: Some(minutes(120)),
        unattended: Some(minutes(720)),
    }
}

fn building() -> Activity {
    Activity {
        cpu_millis: 1930,
        window_seconds: 60,
        busiest: vec![BusyProcess {
            pid: 812,
            command: "cargo build".into(),
            cpu_millis: 970,
            disk_bytes_per_second: 0,
        }],
        ..Activity::default()
    }
}

fn kept_awake_for(seconds_left: u64) -> Activity {
    Activity {
        keepers: vec![Keeper {
            pid: 5,
            command: "make soak".into(),
            seconds_left,
        }],
        ..Activity::default()
    }
}

/// Returns why it is awake, in a word, and at which minute it is put to sleep.
fn verdict(signs: &Signs, now: Duration) -> (AwakeKind, Option<u64>) {
    let verdict = signs.judge(timers(), now);
    (verdict.kind, verdict.sleeps_at.map(|at| at.as_secs() / 60))
}

#[test]
fn an_open_tab_with_nobody_there_sleeps_on_time() {
    let mut signs = Signs::new(minutes(10));
    for minute in 11..25 {
        signs.activity(&Activity::default(), minutes(minute));
    }
    assert_eq!(verdict(&signs, minutes(24)), (AwakeKind::Started, Some(25)));
}

#[test]
fn a_person_puts_it_off_and_an_older_sign_of_one_does_not_put_it_back() {
    let mut signs = Signs::new(minutes(0));
    signs.person(AwakeKind::Typing, minutes(9));
    signs.person(AwakeKind::Visit, minutes(3));
    assert_eq!(verdict(&signs, minutes(10)), (AwakeKind::Typing, Some(24)));
    let typed = Activity {
        typed_seconds_ago: Some(30),
        ..Activity::default()
    };
    signs.activity(&typed, minutes(20));
    assert_eq!(verdict(&signs, minutes(20)), (AwakeKind::Typing, Some(34)));
}

#[test]
fn what_was_typed_before_it_slept_says_nothing() {
    let mut signs = Signs::new(minutes(100));
    let typed = Activity {
        typed_seconds_ago: Some(3600),
        ..Activity::default()
    };
    signs.activity(&typed, minutes(101));
    assert_eq!(
        verdict(&signs, minutes(101)),
        (AwakeKind::Started, Some(115))
    );
}

#[test]
fn a_build_that_nobody_watches_goes_on_and_its_end_is_when_idleness_begins() {
    let mut signs = Signs::new(minutes(0));
    for minute in 1..=300 {
        signs.activity(&building(), minutes(minute));
        let (kind, sleeps_at) = verdict(&signs, minutes(minute));
        assert_eq!(kind, AwakeKind::Busy);
        assert!(sleeps_at.unwrap() > minute, "put to sleep at {minute}");
    }
    let text = signs.judge(timers(), minutes(300)).text;
    assert_eq!(text, "`cargo build` (pid 812) uses 97 % of a CPU");
    signs.activity(&Activity::default(), minutes(301));
    assert_eq!(verdict(&signs, minutes(310)), (AwakeKind::Busy, Some(315)));
}

#[test]
fn a_program_that_only_ticks_keeps_nothing_awake() {
    let mut signs = Signs::new(minutes(0));
    let ticking = Activity {
        cpu_millis: BUSY_CPU_MILLIS - 1,
        disk_bytes_per_second: BUSY_DISK_BYTES - 1,
        ..building()
    };
    signs.activity(&ticking, minutes(14));
    assert_eq!(verdict(&signs, minutes(14)), (AwakeKind::Started, Some(15)));
}

#[test]
fn keep_awake_holds_until_its_time_is_over_or_it_ends() {
    let mut signs = Signs::new(minutes(0));
    signs.activity(&kept_awake_for(7200), minutes(1));
    assert_eq!(
        verdict(&signs, minutes(1)),
        (AwakeKind::KeepAwake, Some(121))
    );
    assert_eq!(
        signs.judge(timers(), minutes(1)).text,
        "`kalpana keep-awake` holds it for `make soak`"
    );
    signs.activity(&Activity::default(), minutes(40));
    assert_eq!(verdict(&signs, minutes(40)), (AwakeKind::Started, Some(15)));
}

#[test]
fn what_hangs_does_not_hold_it_awake_for_ever() {
    let mut signs = Signs::new(minutes(0));
    signs.person(AwakeKind::Visit, minutes(5));
    for minute in 6..=725 {
        signs.activity(&building(), minutes(minute));
        signs.activity(&kept_awake_for(86_400), minutes(minute));
    }
    assert_eq!(verdict(&signs, minutes(725)).1, Some(725));
    signs.person(AwakeKind::Visit, minutes(725));
    assert!(verdict(&signs, minutes(725)).1 > Some(730));
}

#[test]
fn without_a_timer_nobody_is_put_to_sleep() {
    let never = Timers {
        pause_after: None,
        ..timers()
    };
    let verdict = Signs::new(minutes(0)).judge(never, minutes(10_000));
    assert_eq!(verdict.sleeps_at, None);
}

#[test]
fn what_a_container_calls_its_programs_is_shown_as_harmless_text() {
    let mut hostile = building();
    hostile.busiest[0].command = "\u{1b}[31m`rm -rf`\n".repeat(50);
    let mut signs = Signs::new(minutes(0));
    signs.activity(&hostile, minutes(1));
    let text = signs.judge(timers(), minutes(1)).text;
    assert!(!text.contains('\u{1b}') && !text.contains('\n'), "{text:?}");
    assert_eq!(text.matches('`').count(), 2, "{text:?}");
    assert!(text.len() < 300, "{text:?}");
}
