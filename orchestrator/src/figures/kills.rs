//! Processes that the kernel ended because a workspace's memory was used up.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use kalpana_domain::Timestamp;
use kalpana_domain::id::WorkspaceId;
use rustix::fs::OFlags;

/// The kernel's log.
pub(crate) const KERNEL_LOG: &str = "/dev/kmsg";
/// Longest record of it, in bytes: what the kernel itself allows, and some.
const RECORD_LIMIT: usize = 16 << 10;
/// Most records that are read of it.
const RECORDS: usize = 100_000;
/// Most processes that are named in one sentence.
const NAMED: usize = 5;

/// Remembers how many there were, so that each is told once, whoever reads first.
#[derive(Debug)]
pub(crate) struct Kills {
    /// What was ended before this is an earlier process's to tell.
    began: Timestamp,
    known: Mutex<HashMap<WorkspaceId, (String, u64)>>,
}

impl Kills {
    /// Remembers none.
    pub(crate) fn new(began: Timestamp) -> Self {
        Self {
            began,
            known: Mutex::default(),
        }
    }

    /// Takes what was counted of a container, and returns how many more that are.
    pub(crate) fn rose(
        &self,
        workspace: WorkspaceId,
        container: &str,
        created_at: Timestamp,
        count: u64,
    ) -> u64 {
        let mut known = self.lock();
        let before = match known.get(&workspace) {
            Some((of, before)) if of == container => *before,
            _ if created_at >= self.began => 0,
            _ => count,
        };
        // Two who read at once may come in the other order.
        known.insert(workspace, (container.to_owned(), count.max(before)));
        count.saturating_sub(before)
    }

    /// Forgets all but what is still there.
    pub(crate) fn retain(&self, is_there: impl Fn(WorkspaceId) -> bool) {
        self.lock().retain(|id, _| is_there(*id));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, (String, u64)>> {
        self.known.lock().expect("no holder panics")
    }
}

/// Says that processes were ended. Their names are a container's words: hostile, and shown as text.
pub(crate) fn sentence(count: u64, names: &[String]) -> String {
    let what = match count {
        1 => "a process".to_owned(),
        count => format!("{count} processes"),
    };
    let which = if names.is_empty() {
        "; which, the kernel's log does not say".to_owned()
    } else {
        format!(": {}", names.join(", "))
    };
    format!("the kernel ended {what} because memory was used up{which}")
}

/// Reads from the kernel's log the names of the last `count` processes of a container that were ended.
/// Of those that it does not name, or that cannot be read, there are none.
pub(crate) fn named(log: &Path, container: &str, count: u64) -> Vec<String> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(log);
    let Ok(mut log) = opened else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut buffer = vec![0; RECORD_LIMIT];
    for _ in 0..RECORDS {
        match log.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                found.extend(text.lines().filter_map(|line| victim(line, container)));
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {} // Some were written over.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let wanted = usize::try_from(count).unwrap_or(NAMED).min(NAMED);
    found.split_off(found.len().saturating_sub(wanted))
}

/// Returns the name of the process that a line of the kernel's log says was ended, if it was of the
/// container: `oom-kill:constraint=…,task_memcg=/docker/<id>,task=<name>,pid=1,uid=0`.
fn victim(line: &str, container: &str) -> Option<String> {
    let (_, rest) = line.split_once("oom-kill:constraint=")?;
    let (_, rest) = rest.split_once(",task_memcg=")?;
    let (group, rest) = rest.split_once(",task=")?;
    let (name, _) = rest.rsplit_once(",pid=")?;
    let name = crate::logs::printable(name.trim());
    (group.contains(container) && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7a94fbdd4f50873d6e54ddb8a0de17d48b56b5698776e178b544a052d9ccc8e3";

    fn workspace() -> WorkspaceId {
        WorkspaceId::parse("abcdefghij01").unwrap()
    }

    #[test]
    fn each_is_told_once_and_those_before_this_process_never() {
        let began = Timestamp::from_second(100).unwrap();
        let kills = Kills::new(began);
        let rose = |container: &str, created: i64, count: u64| {
            let created = Timestamp::from_second(created).unwrap();
            kills.rose(workspace(), container, created, count)
        };
        assert_eq!(rose("old", 50, 3), 0);
        assert_eq!(rose("old", 50, 3), 0);
        assert_eq!(rose("old", 50, 5), 2);
        assert_eq!(rose("new", 150, 1), 1);
        assert_eq!(rose("new", 150, 1), 0);
        kills.retain(|_| false);
        assert_eq!(kills.lock().len(), 0);
    }

    #[test]
    fn processes_are_named_by_the_kernels_log_and_no_other_containers() {
        let line = |id: &str, task: &str| {
            format!(
                "6,12,345,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=docker,mems_allowed=0,oom_memcg=/docker/{id},task_memcg=/docker/{id},task={task},pid=7,uid=1000\n SUBSYSTEM=x\n"
            )
        };
        let other = ID.replace('7', "8");
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("kmsg");
        let text = [
            line(ID, "node"),
            line(&other, "other"),
            line(ID, "python3"),
            line(ID, "a,pid=1,task=\u{1b}"),
            "6,1,1,-;oom-kill:constraint=,task=,pid=\n".to_owned(),
        ];
        std::fs::write(&log, text.concat()).unwrap();
        assert_eq!(named(&log, ID, 2), ["python3", "a,pid=1,task=\u{fffd}"]);
        assert_eq!(named(&log, ID, 50).len(), 3);
        assert_eq!(named(&directory.path().join("none"), ID, 1), [""; 0]);
    }

    #[test]
    fn the_sentence_says_what_is_known() {
        assert_eq!(
            sentence(1, &["python3".into()]),
            "the kernel ended a process because memory was used up: python3"
        );
        assert_eq!(
            sentence(2, &[]),
            "the kernel ended 2 processes because memory was used up; which, the kernel's log does \
             not say"
        );
    }
}
