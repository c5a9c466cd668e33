//! Which snapshots are due, and which have been kept long enough. Pure.

use std::time::Duration;

use jiff::SignedDuration;
use kalpana_domain::Timestamp;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::snapshot::{SnapshotKind, SnapshotRef};
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::orchestrator::SnapshotState;

use super::shelf::Record;

/// Snapshots that were taken before a restore are kept for a workspace: so many restores can be taken
/// back.
pub(super) const BEFORE_RESTORE_KEPT: usize = 3;

/// Tells whether a workspace is to have a snapshot taken by itself: its last whole one is `every` old,
/// and it was in use since. One that was never in use since then has nothing new, and one that is on
/// its way waits.
pub(super) fn is_due(row: &Workspace, taken: &[Record], every: Duration, now: Timestamp) -> bool {
    let (is_in_use, since) = match &row.lifecycle {
        Lifecycle::Running { .. } | Lifecycle::Paused { .. } => (true, row.updated_at),
        Lifecycle::Stopped | Lifecycle::Failed { .. } => (false, row.updated_at),
        Lifecycle::Starting { .. } | Lifecycle::Stopping { .. } | Lifecycle::Deleting { .. } => {
            return false;
        }
    };
    if row.filled_from.is_some() {
        return false;
    }
    // What is of a time to come was taken while the clock was wrong.
    let past = taken.iter().filter(|record| record.created_at <= now);
    // A failed attempt counts too, or a full disk would be written to at every look.
    let tried = past.clone().map(|record| record.created_at).max();
    let whole = past.filter(|record| record.state == SnapshotState::Ready);
    let last = whole.map(|record| record.created_at).max();
    let from = tried.unwrap_or(row.created_at);
    let every = SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX);
    let has_news = is_in_use || last.is_none_or(|last| since > last);
    has_news && now.duration_since(from) >= every
}

/// Tells whether a workspace is to be archived by itself: it was stopped `after` ago, nothing about it
/// was changed since, and nor was it tried in vain.
pub(super) fn is_archive_due(
    row: &Workspace,
    taken: &[Record],
    after: Duration,
    now: Timestamp,
) -> bool {
    let is_whole = matches!(row.lifecycle, Lifecycle::Stopped) && row.filled_from.is_none();
    let tried = taken
        .iter()
        .filter(|record| record.kind == SnapshotKind::Archive && record.created_at <= now)
        .map(|record| record.created_at)
        .max();
    let since = tried.map_or(row.updated_at, |tried| tried.max(row.updated_at));
    let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
    is_whole && now.duration_since(since) >= after
}

/// Returns the archives that are to go, `newest` first in `taken`: those whose files were put back, once
/// there is a newer whole snapshot, and all but the newest of those that came to nothing. An archive
/// that was never put back stays, whatever the rows say: they may be older than it, as after their
/// database was restored from a backup.
pub(super) fn spent_archives(taken: &[Record], needed: &[SnapshotRef]) -> Vec<SnapshotRef> {
    let is_whole =
        |record: &&Record| record.state == SnapshotState::Ready && record.failure.is_none();
    let newest = taken.iter().find(is_whole).map(Record::reference);
    let mut in_vain = 0;
    let archives = taken
        .iter()
        .filter(|record| record.kind == SnapshotKind::Archive);
    archives
        .filter(|record| match record.state {
            SnapshotState::Making => false,
            SnapshotState::Ready if record.failure.is_none() => {
                record.filled_at.is_some() && newest != Some(record.reference())
            }
            SnapshotState::Ready | SnapshotState::Failed => {
                in_vain += 1;
                in_vain > 1
            }
        })
        .map(Record::reference)
        .filter(|of| !needed.contains(of))
        .collect()
}

/// Returns what is to go of the snapshots of a kind, `newest` first in `taken`: all but the newest
/// `keep` that are whole, and no one of `needed`. Of those that failed the newest is kept, to be seen.
pub(super) fn excess(
    taken: &[Record],
    kind: SnapshotKind,
    keep: usize,
    needed: &[SnapshotRef],
) -> Vec<SnapshotRef> {
    let of_kind = taken.iter().filter(|record| record.kind == kind);
    let (mut whole, mut failed) = (0, 0);
    of_kind
        .filter(|record| match record.state {
            SnapshotState::Making => false,
            SnapshotState::Ready => {
                whole += 1;
                whole > keep && !needed.contains(&record.reference())
            }
            SnapshotState::Failed => {
                failed += 1;
                failed > 1
            }
        })
        .map(Record::reference)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::shelf::tests::record;
    use super::*;
    use crate::testing::workspace;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(hours * 3600).unwrap()
    }

    fn taken(hours: i64, kind: SnapshotKind, state: SnapshotState) -> Record {
        Record {
            kind,
            state,
            created_at: at(hours),
            ..record()
        }
    }

    #[test]
    fn a_workspace_in_use_is_due_a_day_after_its_last_snapshot() {
        let mut row = workspace();
        row.lifecycle = Lifecycle::Running { since: at(1) };
        assert!(!is_due(&row, &[], DAY, at(23)));
        assert!(is_due(&row, &[], DAY, at(24)));
        for state in [SnapshotState::Ready, SnapshotState::Failed] {
            let last = [taken(24, SnapshotKind::Manual, state)];
            assert!(!is_due(&row, &last, DAY, at(47)));
            assert!(is_due(&row, &last, DAY, at(48)));
        }
        row.filled_from = Some(record().reference());
        assert!(
            !is_due(&row, &[], DAY, at(24)),
            "its files are on their way"
        );
    }

    #[test]
    fn one_that_was_not_in_use_since_has_nothing_new() {
        let last = [taken(24, SnapshotKind::Scheduled, SnapshotState::Ready)];
        let mut row = workspace();
        row.lifecycle = Lifecycle::Stopped;
        row.updated_at = at(20);
        assert!(!is_due(&row, &last, DAY, at(500)));
        row.updated_at = at(30);
        assert!(is_due(&row, &last, DAY, at(500)));
        // What could not be taken is tried again the next day.
        let mut failed = last.to_vec();
        failed.push(taken(40, SnapshotKind::Scheduled, SnapshotState::Failed));
        assert!(!is_due(&row, &failed, DAY, at(63)));
        assert!(is_due(&row, &failed, DAY, at(64)));
        // One from a time when the clock was wrong keeps nothing from being taken.
        failed.push(taken(90_000, SnapshotKind::Scheduled, SnapshotState::Ready));
        assert!(is_due(&row, &failed, DAY, at(64)));
        row.lifecycle = Lifecycle::Stopping { since: at(30) };
        assert!(!is_due(&row, &last, DAY, at(500)), "it is on its way");
    }

    #[test]
    fn one_that_is_stopped_is_archived_in_time_and_a_vain_attempt_is_repeated_as_late() {
        let mut row = workspace();
        row.lifecycle = Lifecycle::Stopped;
        row.updated_at = at(10);
        assert!(!is_archive_due(&row, &[], DAY, at(33)));
        assert!(is_archive_due(&row, &[], DAY, at(34)));
        let other = [taken(34, SnapshotKind::Scheduled, SnapshotState::Ready)];
        assert!(is_archive_due(&row, &other, DAY, at(34)));
        for state in [SnapshotState::Failed, SnapshotState::Ready] {
            let tried = [taken(34, SnapshotKind::Archive, state)];
            assert!(!is_archive_due(&row, &tried, DAY, at(57)));
            assert!(is_archive_due(&row, &tried, DAY, at(58)));
        }
        // An archive of the time before it was last in use says nothing.
        let before = [taken(5, SnapshotKind::Archive, SnapshotState::Ready)];
        assert!(is_archive_due(&row, &before, DAY, at(34)));
        row.filled_from = Some(record().reference());
        assert!(!is_archive_due(&row, &[], DAY, at(500)), "it is already");
        row.filled_from = None;
        row.lifecycle = Lifecycle::Paused { since: at(10) };
        assert!(!is_archive_due(&row, &[], DAY, at(500)), "it sleeps only");
    }

    #[test]
    fn an_archive_goes_only_when_it_was_put_back_and_there_is_something_newer() {
        use SnapshotState::{Failed, Making, Ready};
        let put_away = taken(3, SnapshotKind::Archive, Ready);
        let put_back = Record {
            filled_at: Some(at(4)),
            ..put_away.clone()
        };
        let newer = |state| taken(5, SnapshotKind::Scheduled, state);
        let goes = |others: &[Record], archive: &Record, needed: &[SnapshotRef]| {
            let all: Vec<_> = others.iter().cloned().chain([archive.clone()]).collect();
            spent_archives(&all, needed).contains(&archive.reference())
        };
        for state in [Ready, Failed, Making] {
            assert!(!goes(&[newer(state)], &put_away, &[]), "its only copy");
            assert_eq!(goes(&[newer(state)], &put_back, &[]), state == Ready);
        }
        assert!(!goes(&[], &put_back, &[]));
        assert!(!goes(&[newer(Ready)], &put_back, &[put_back.reference()]));
        // What came to nothing is no newer copy, and is there to be read once.
        let in_vain = |hours, state| Record {
            failure: Some("no".into()),
            ..taken(hours, SnapshotKind::Archive, state)
        };
        assert!(!goes(&[in_vain(5, Ready)], &put_back, &[]));
        let vain = [in_vain(9, Failed), in_vain(8, Ready), in_vain(7, Failed)];
        let gone = spent_archives(&vain, &[]);
        assert_eq!(gone, [vain[1].reference(), vain[2].reference()]);
    }

    #[test]
    fn the_newest_whole_ones_of_a_kind_are_kept_and_what_is_needed() {
        use SnapshotKind::{Manual, Scheduled};
        use SnapshotState::{Failed, Making, Ready};
        let kept = [
            taken(9, Scheduled, Making),
            taken(8, Scheduled, Failed),
            taken(7, Scheduled, Failed),
            taken(6, Manual, Ready),
            taken(5, Scheduled, Ready),
            taken(4, Scheduled, Ready),
            taken(3, Scheduled, Ready),
        ];
        let goes = |keep, needed: &[SnapshotRef]| -> Vec<usize> {
            let excess = excess(&kept, Scheduled, keep, needed);
            let place = |of: &SnapshotRef| kept.iter().position(|r| r.reference() == *of);
            excess.iter().filter_map(place).collect()
        };
        assert_eq!(goes(3, &[]), [2]);
        assert_eq!(goes(1, &[]), [2, 5, 6]);
        assert_eq!(goes(1, &[kept[5].reference()]), [2, 6]);
        assert_eq!(goes(0, &[]), [2, 4, 5, 6]);
    }
}
