//! How much room is left where the site writes.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kalpana_config::Site;

use super::runner::aside;
use super::verdict::Verdict;

const SPACE: &str = "disk_space";
const INODES: &str = "disk_inodes";

/// Below this share of a file system somebody should look. Unit: percent.
const LOW_PERCENT: u64 = 15;
/// Below this share writing will soon fail. Unit: percent.
const FULL_PERCENT: u64 = 5;
/// The same, in bytes: whichever is reached first counts.
const LOW_BYTES: u64 = 2 << 30;
const FULL_BYTES: u64 = 512 << 20;

/// A file system, as far as who is not root may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    bytes: u64,
    free_bytes: u64,
    /// 0 where there is no such limit.
    inodes: u64,
    free_inodes: u64,
}

/// Looks at the file systems of the data directory and of the store.
pub(super) async fn look(site: &Site) -> Vec<Verdict> {
    let places = [Some(site.data_dir.as_path()), site.store_path().parent()];
    let places: Vec<PathBuf> = places.into_iter().flatten().map(Path::to_owned).collect();
    let rooms = aside(move || measure(&places)).await.unwrap_or_default();
    if rooms.is_empty() {
        return vec![Verdict::skipped(
            SPACE,
            "data_directory_missing",
            "there is no directory to measure, or this user may not look",
            "See what is said of the directories.",
        )];
    }
    let judged = rooms.iter().flat_map(|(place, room)| judge(place, *room));
    judged.collect()
}

/// Measures each file system once.
fn measure(places: &[PathBuf]) -> Vec<(PathBuf, Room)> {
    let mut rooms = BTreeMap::new();
    for place in places {
        let (Ok(metadata), Ok(room)) = (std::fs::metadata(place), rustix::fs::statvfs(place))
        else {
            continue;
        };
        let room = Room {
            bytes: room.f_blocks.saturating_mul(room.f_frsize),
            free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
            inodes: room.f_files,
            free_inodes: room.f_favail,
        };
        rooms
            .entry(metadata.dev())
            .or_insert_with(|| (place.clone(), room));
    }
    rooms.into_values().collect()
}

fn judge(place: &Path, room: Room) -> [Verdict; 2] {
    [judge_space(place, room), judge_inodes(place, room)]
}

fn percent(part: u64, whole: u64) -> u64 {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    u64::try_from(percent).unwrap_or(100)
}

fn judge_space(place: &Path, room: Room) -> Verdict {
    let share = percent(room.free_bytes, room.bytes);
    let message = format!(
        "{} are free where {} is ({share} %)",
        human(room.free_bytes),
        place.display()
    );
    let next_step = "Free space (`docker system df` shows what old images and build caches hold), \
                     enlarge the file system, or move server.data_dir to a larger one.";
    if share < FULL_PERCENT || room.free_bytes < FULL_BYTES {
        Verdict::failed(SPACE, "disk_full", message, next_step)
    } else if share < LOW_PERCENT || room.free_bytes < LOW_BYTES {
        Verdict::warning(SPACE, "disk_space_low", message, next_step)
    } else {
        Verdict::ok(SPACE, message)
    }
}

fn judge_inodes(place: &Path, room: Room) -> Verdict {
    if room.inodes == 0 {
        let message = format!("the file system of {} needs none", place.display());
        return Verdict::ok(INODES, message);
    }
    let share = percent(room.free_inodes, room.inodes);
    let message = format!(
        "{} inodes are free where {} is ({share} %)",
        room.free_inodes,
        place.display()
    );
    let next_step = "Remove what consists of very many small files (old images, caches of package \
                     managers), or make the file system anew with more inodes.";
    if share < FULL_PERCENT {
        Verdict::failed(INODES, "disk_inodes_full", message, next_step)
    } else if share < LOW_PERCENT {
        Verdict::warning(INODES, "disk_inodes_low", message, next_step)
    } else {
        Verdict::ok(INODES, message)
    }
}

fn human(bytes: u64) -> String {
    if bytes >= 10 << 30 {
        format!("{} GiB", bytes >> 30)
    } else {
        format!("{} MiB", bytes >> 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn codes(free_bytes: u64, bytes: u64, free_inodes: u64, inodes: u64) -> [Option<String>; 2] {
        let room = Room {
            bytes,
            free_bytes,
            inodes,
            free_inodes,
        };
        judge(Path::new("/d"), room).map(|verdict| verdict.code.map(|code| code.to_string()))
    }

    #[test]
    fn whichever_bound_is_reached_first_counts() {
        let space = |free, all| codes(free, all, 1, 1)[0].clone();
        let (low, full) = (
            Some("disk_space_low".to_owned()),
            Some("disk_full".to_owned()),
        );
        assert_eq!(space(50 * GIB, 100 * GIB), None);
        assert_eq!(space(15 * GIB, 100 * GIB), None);
        assert_eq!(space(14 * GIB, 100 * GIB), low);
        assert_eq!(space(4 * GIB, 100 * GIB), full);
        assert_eq!(space(2 * GIB - 1, 3 * GIB), low);
        assert_eq!(space(GIB / 2 - 1, GIB), full);
        assert_eq!(space(0, 0), full);
    }

    #[test]
    fn inodes_count_where_there_is_a_limit() {
        let inodes = |free, all| codes(GIB, GIB, free, all)[1].clone();
        assert_eq!(inodes(0, 0), None);
        assert_eq!(inodes(15, 100), None);
        assert_eq!(inodes(14, 100), Some("disk_inodes_low".to_owned()));
        assert_eq!(inodes(4, 100), Some("disk_inodes_full".to_owned()));
    }
}
