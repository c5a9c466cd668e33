//! Limits of the kernel that many editors reach, and its clock.

use rustix::process::{Resource, getrlimit};

use super::verdict::Verdict;

/// What editors of a full machine watch.
const WATCHES: u64 = 524_288;
/// Every program that watches files needs one, and workspaces share those of their user.
const INSTANCES: u64 = 1024;
/// Two for each connection of a visitor.
const OPEN_FILES: u64 = 8192;

/// Looks at the limits of files that are watched and open.
pub(super) fn look() -> Vec<Verdict> {
    let read = |name: &str| -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?;
        text.trim().parse().ok()
    };
    vec![
        judge_inotify(
            ("inotify_watches", "inotify_watches_low"),
            ("max_user_watches", WATCHES),
            read("max_user_watches"),
        ),
        judge_inotify(
            ("inotify_instances", "inotify_instances_low"),
            ("max_user_instances", INSTANCES),
            read("max_user_instances"),
        ),
        // Each role raises its own limit to what it may be.
        judge_open_files(getrlimit(Resource::Nofile).maximum),
    ]
}

fn judge_inotify(
    (check, code): (&'static str, &'static str),
    (name, needed): (&str, u64),
    found: Option<u64>,
) -> Verdict {
    let key = format!("fs.inotify.{name}");
    match found {
        None => Verdict::skipped(
            check,
            "not_readable",
            format!("{key} cannot be read here"),
            format!("`sysctl {key}` shows it on the host; {needed} or more is right."),
        ),
        Some(found) if found < needed => Verdict::warning(
            check,
            code,
            format!("{key} is {found}, and editors see no changes of files once it is used up"),
            format!(
                "Run: echo '{key} = {needed}' > /etc/sysctl.d/60-kalpana-{name}.conf && sysctl --system"
            ),
        ),
        Some(found) => Verdict::ok(check, format!("{key} is {found}")),
    }
}

/// `None` is without a limit.
fn judge_open_files(limit: Option<u64>) -> Verdict {
    let check = "open_files";
    match limit {
        Some(limit) if limit < OPEN_FILES => Verdict::warning(
            check,
            "open_files_low",
            format!(
                "a process may have {limit} files open, and a connection to a workspace is two"
            ),
            "Start Kalpana with more: LimitNOFILE=65536 in its systemd unit, or `ulimit -Hn 65536` \
             before `kalpana up`.",
        ),
        Some(limit) => Verdict::ok(check, format!("a process may have {limit} files open")),
        None => Verdict::ok(check, "a process may have any number of files open"),
    }
}

/// Asks the kernel whether somebody keeps its clock right.
pub(super) fn look_at_clock() -> Vec<Verdict> {
    vec![judge_clock(is_synchronised())]
}

#[expect(unsafe_code, reason = "no crate that we use asks the kernel for this")]
fn is_synchronised() -> Option<bool> {
    // SAFETY: an all-zero `timex` is a valid value of this struct of integers. Its `modes` of 0
    // asks and sets nothing, and the kernel writes into it alone.
    let (state, status) = unsafe {
        let mut asked: libc::timex = std::mem::zeroed();
        let state = libc::adjtimex(&raw mut asked);
        (state, asked.status)
    };
    let is_known = state >= 0;
    is_known.then_some(state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0)
}

fn judge_clock(is_synchronised: Option<bool>) -> Verdict {
    let check = "clock";
    match is_synchronised {
        Some(true) => Verdict::ok(check, "the clock is kept right by a time service"),
        Some(false) => Verdict::warning(
            check,
            "clock_unsynchronised",
            "nobody keeps this machine's clock right; once it is minutes off, certificates and \
             sessions are refused",
            "Install chrony, or run `timedatectl set-ntp true`. In a container, see to the host's \
             clock.",
        ),
        None => Verdict::skipped(
            check,
            "not_readable",
            "the kernel does not say whether its clock is kept right",
            "`timedatectl` or `chronyc tracking` shows it.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_is_said_with_the_line_that_raises_it() {
        let judge = |found| judge_inotify(("c", "low"), ("max_user_watches", WATCHES), found);
        assert_eq!(judge(Some(WATCHES)).code, None);
        let low = judge(Some(8192));
        assert!(low.is("low"));
        let next_step = low.next_step.unwrap_or_default();
        assert!(
            next_step.contains("fs.inotify.max_user_watches = 524288"),
            "{next_step}"
        );
        assert!(judge(None).is("not_readable"));
        assert!(judge_open_files(Some(1024)).is("open_files_low"));
        assert_eq!(judge_open_files(Some(OPEN_FILES)).code, None);
        assert_eq!(judge_open_files(None).code, None);
    }

    #[test]
    fn a_clock_that_nobody_keeps_right_is_said() {
        assert_eq!(judge_clock(Some(true)).code, None);
        assert!(judge_clock(Some(false)).is("clock_unsynchronised"));
        assert!(judge_clock(None).is("not_readable"));
        assert!(is_synchronised().is_some(), "Linux answers everybody");
    }
}
