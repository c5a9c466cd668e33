//! Makes figures of counters: what was used between two readings.

use std::time::Duration;

use kalpana_domain::Timestamp;
use kalpana_protocol::figures::{Limits, Sample};

use super::read::Counters;

/// Shortest time between two readings that a rate is made of: of less, chance makes the most.
const SHORTEST: Duration = Duration::from_millis(50);

/// Returns what a container may use.
pub(super) fn limits(counters: &Counters) -> Limits {
    Limits {
        cpu_cores: counters.cpu_limit_millis.map(|millis| cores(millis as f64)),
        memory_bytes: counters.memory_limit,
        processes: counters.processes_limit,
    }
}

/// Returns what a container used between two readings; rates are absent where there was none before, or
/// where a counter went back, which is another container's then.
pub(super) fn sample(earlier: Option<&Counters>, later: &Counters, at: Timestamp) -> Sample {
    let earlier = earlier.filter(|earlier| later.at >= earlier.at + SHORTEST);
    let passed = earlier.map(|earlier| later.at - earlier.at);
    let rate = |count: fn(&Counters) -> Option<u64>| {
        let more = count(later)?.checked_sub(count(earlier?)?)?;
        Some((more as f64 / passed?.as_secs_f64()).round() as u64)
    };
    let cpu = earlier.and_then(|earlier| later.cpu.checked_sub(earlier.cpu));
    let cpu_millis = cpu
        .zip(passed)
        .map(|(cpu, passed)| cpu.as_secs_f64() * 1000.0 / passed.as_secs_f64());
    Sample {
        at: at.to_string(),
        cpu_cores: cpu_millis.map(cores),
        memory_bytes: later.memory,
        processes: later.processes,
        received_per_second: rate(|counters| Some(counters.network?.0)),
        sent_per_second: rate(|counters| Some(counters.network?.1)),
        read_per_second: rate(|counters| Some(counters.disk?.0)),
        written_per_second: rate(|counters| Some(counters.disk?.1)),
        oom_kills: later.oom_kills,
    }
}

/// Returns what a container that is frozen uses: memory alone.
pub(super) fn frozen(counters: &Counters, at: Timestamp) -> Sample {
    Sample {
        cpu_cores: Some(0.0),
        received_per_second: counters.network.map(|_| 0),
        sent_per_second: counters.network.map(|_| 0),
        read_per_second: counters.disk.map(|_| 0),
        written_per_second: counters.disk.map(|_| 0),
        ..sample(None, counters, at)
    }
}

/// Returns cores, to a thousandth.
fn cores(millis: f64) -> f64 {
    millis.round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(seconds: u64, cpu_millis: u64, bytes: u64) -> Counters {
        Counters {
            at: Duration::from_secs(seconds),
            cpu: Duration::from_millis(cpu_millis),
            memory: 9,
            disk: Some((bytes, 0)),
            network: Some((bytes, 2 * bytes)),
            ..Counters::default()
        }
    }

    #[test]
    fn a_rate_is_what_was_counted_in_the_time_that_passed() {
        let (earlier, later) = (counters(10, 500, 1000), counters(12, 3501, 5000));
        let found = sample(Some(&earlier), &later, Timestamp::UNIX_EPOCH);
        let expected = Sample {
            at: "1970-01-01T00:00:00Z".into(),
            cpu_cores: Some(1.501),
            memory_bytes: 9,
            processes: None,
            received_per_second: Some(2000),
            sent_per_second: Some(4000),
            read_per_second: Some(2000),
            written_per_second: Some(0),
            oom_kills: 0,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_counter_that_went_back_gives_no_rate_and_no_wrong_one() {
        let (earlier, later) = (counters(10, 5000, 4000), counters(12, 10, 5));
        let found = sample(Some(&earlier), &later, Timestamp::UNIX_EPOCH);
        assert_eq!((found.cpu_cores, found.received_per_second), (None, None));
        assert_eq!((found.written_per_second, found.memory_bytes), (Some(0), 9));
    }

    #[test]
    fn nothing_before_or_no_time_between_gives_no_rate() {
        let later = counters(10, 500, 1000);
        for earlier in [None, Some(&later), Some(&counters(11, 0, 0))] {
            let found = sample(earlier, &later, Timestamp::UNIX_EPOCH);
            assert_eq!((found.cpu_cores, found.sent_per_second), (None, None));
        }
    }

    #[test]
    fn what_is_frozen_uses_memory_alone() {
        let found = frozen(&counters(10, 500, 1000), Timestamp::UNIX_EPOCH);
        assert_eq!(
            (found.cpu_cores, found.sent_per_second),
            (Some(0.0), Some(0))
        );
        assert_eq!(found.memory_bytes, 9);
    }
}
