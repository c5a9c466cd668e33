//! Call by call: what is let through, and what is not.

use std::collections::BTreeSet;

use super::*;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Allowed,
    Errno(u32),
}

use Outcome::{Allowed, Errno};

const EPERM: Outcome = Errno(1);
const ENOSYS: Outcome = Errno(38);

/// Judges a call as the kernel would by this profile: the first rule that names it and whose
/// conditions all hold. No two rules of ours contradict each other, which is tested below.
fn judge(profile: &Profile, name: &str, args: [u64; 3]) -> Outcome {
    let holds = |condition: &Condition| {
        let arg = args[usize::try_from(condition.index).unwrap()];
        match condition.op {
            Comparison::Equal => arg == condition.value,
            Comparison::Masked => arg & condition.value == condition.value_two,
        }
    };
    let rule = profile
        .syscalls
        .iter()
        .find(|rule| rule.names.contains(&name) && rule.args.iter().all(holds));
    let (action, errno) = rule.map_or(
        (profile.default_action, profile.default_errno_ret),
        |rule| {
            (
                rule.action,
                rule.errno_ret.unwrap_or(profile.default_errno_ret),
            )
        },
    );
    match action {
        Action::Allow => Allowed,
        Action::Refuse => Errno(errno),
    }
}

#[test]
fn these_calls_are_refused_whatever_their_arguments() {
    let profile = profile();
    for (why, names) in [
        (
            "mounts change what a path means",
            "mount umount umount2 pivot_root chroot mount_setattr move_mount open_tree \
             open_tree_attr fsopen fsconfig fsmount fspick",
        ),
        ("another namespace is another box", "setns"),
        (
            "a handle is a way around every directory",
            "open_by_handle_at",
        ),
        (
            "a wide way into the kernel, past every later filter",
            "io_uring_setup io_uring_enter io_uring_register",
        ),
        ("it stops the kernel where an attacker likes", "userfaultfd"),
        ("programs in the kernel", "bpf"),
        (
            "keyrings are not of the container",
            "keyctl add_key request_key",
        ),
        (
            "they measure the host and its other tenants",
            "perf_event_open lookup_dcookie",
        ),
        (
            "they look at other processes, and no debugger needs them",
            "pidfd_getfd kcmp process_madvise",
        ),
        (
            "they change the kernel",
            "init_module finit_module delete_module create_module query_module kexec_load \
             kexec_file_load reboot",
        ),
        ("the kernel's log is the host's", "syslog"),
        (
            "the host's clock",
            "settimeofday clock_settime clock_settime64 stime",
        ),
        (
            "the host's storage",
            "swapon swapoff quotactl quotactl_fd acct nfsservctl",
        ),
        (
            "the host's names and terminals",
            "sethostname setdomainname vhangup",
        ),
        ("ports of the machine", "iopl ioperm vm86 vm86old"),
        (
            "watching every file of a mount",
            "fanotify_init fanotify_mark",
        ),
        (
            "where memory lies, other processes' too",
            "mbind get_mempolicy set_mempolicy set_mempolicy_home_node migrate_pages move_pages",
        ),
        (
            "security modules are configured by the host",
            "lsm_get_self_attr lsm_set_self_attr lsm_list_modules",
        ),
        (
            "old, and in nobody's programs",
            "_sysctl sysfs uselib ustat afs_syscall vserver get_kernel_syms bdflush getpmsg \
             putpmsg security tuxcall epoll_ctl_old epoll_wait_old",
        ),
        ("sockets of any family, unseen", "socketcall"),
        ("not a call of Linux yet", "a_call_of_next_year"),
    ] {
        for name in names.split_whitespace() {
            for args in [[0; 3], [1, 1, 0], [2, 1, 0], [u64::MAX; 3]] {
                assert_eq!(judge(&profile, name, args), EPERM, "{name}{args:?}: {why}");
            }
        }
    }
}

#[test]
fn what_tools_are_made_of_is_let_through() {
    let profile = profile();
    for (who, names) in [
        (
            "a shell",
            "execve execveat fork vfork wait4 waitid pipe2 dup2 ioctl kill setpgid setsid chdir \
             getcwd umask readlink getdents64 newfstatat statx faccessat2 fchmodat2",
        ),
        (
            "Node and editors",
            "epoll_create1 epoll_ctl epoll_pwait eventfd2 inotify_init1 inotify_add_watch \
             pread64 pwrite64 copy_file_range futex membarrier pkey_alloc",
        ),
        (
            "the JVM and Go",
            "mmap mprotect madvise munmap mincore sched_getaffinity sched_yield tgkill \
             rt_sigaction rt_sigprocmask sigaltstack rseq set_robust_list timer_create \
             arch_prctl getrandom sysinfo prlimit64",
        ),
        (
            "compilers and package managers",
            "openat openat2 rename renameat2 link symlink unlinkat fchown utimensat flock \
             fallocate fsync sendfile splice memfd_create mknod getxattr setxattr statfs",
        ),
        (
            "debuggers",
            "ptrace process_vm_readv process_vm_writev pidfd_open pidfd_send_signal prctl",
        ),
        (
            "servers",
            "bind listen accept4 connect sendmsg recvmmsg setsockopt getsockopt shutdown",
        ),
        (
            "databases",
            "io_setup io_submit io_getevents shmget shmat semop mq_open msgget mlock",
        ),
        (
            "sandboxes of programs' own",
            "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self capset",
        ),
        (
            "the bridge, on its way to the workspace's user",
            "setgroups setresuid setresgid capget capset prctl chown lchown fchownat kill",
        ),
        (
            "programs of 32 bits",
            "mmap2 _llseek fcntl64 fstat64 chown32 setresuid32 clock_gettime64 futex_time64 \
             waitpid ugetrlimit set_thread_area ipc",
        ),
        (
            "x86 and ARM",
            "modify_ldt arch_prctl set_tls cacheflush breakpoint arm_fadvise64_64",
        ),
    ] {
        for name in names.split_whitespace() {
            for args in [[0; 3], [u64::MAX; 3]] {
                assert_eq!(judge(&profile, name, args), Allowed, "{name} for {who}");
            }
        }
    }
}

#[test]
fn processes_and_threads_are_made_but_no_namespace() {
    let profile = profile();
    // `CLONE_VM | CLONE_FS | … | CLONE_CHILD_CLEARTID`, as glibc makes a thread, and `SIGCHLD`,
    // as it makes a process.
    for flags in [0x003d_0f00, 17, 0x0120_0011] {
        assert_eq!(judge(&profile, "clone", [flags, 0, 0]), Allowed);
    }
    // `CLONE_FS`, `CLONE_FILES`, `CLONE_SYSVSEM`.
    for flags in [0x200, 0x400, 0x4_0000, 0] {
        assert_eq!(judge(&profile, "unshare", [flags, 0, 0]), Allowed);
    }
    for (namespace, flag) in [
        ("mount", 0x0002_0000),
        ("cgroup", 0x0200_0000),
        ("uts", 0x0400_0000),
        ("ipc", 0x0800_0000),
        ("user", 0x1000_0000),
        ("pid", 0x2000_0000),
        ("network", 0x4000_0000),
    ] {
        for flags in [flag, flag | 17, flag | 0x1000_0000, flag | 1 << 40] {
            assert_eq!(
                judge(&profile, "clone", [flags, 0, 0]),
                EPERM,
                "{namespace}"
            );
            assert_eq!(
                judge(&profile, "unshare", [flags, 0, 0]),
                EPERM,
                "{namespace}"
            );
        }
    }
    assert_eq!(judge(&profile, "unshare", [0x80, 0, 0]), EPERM, "time");
    assert_eq!(judge(&profile, "clone3", [0, 88, 0]), ENOSYS);
}

#[test]
fn sockets_are_of_a_few_families() {
    let profile = profile();
    let close_on_exec = 0o2_000_000;
    for family in [1, 2, 10] {
        let args = [family, 1 | close_on_exec, 0];
        assert_eq!(judge(&profile, "socket", args), Allowed, "{family}");
    }
    for (family, name) in [
        (0, "none"),
        (3, "AX.25"),
        (5, "AppleTalk"),
        (15, "PF_KEY"),
        (17, "packets"),
        (21, "RDS"),
        (29, "CAN"),
        (30, "TIPC"),
        (31, "Bluetooth"),
        (38, "the kernel's cryptography"),
        (39, "NFC"),
        (40, "virtual machines"),
        (44, "XDP"),
        (45, "MCTP"),
        (1 << 32 | 2, "IPv4 with a bit that the kernel ignores"),
        (u64::MAX, "all"),
    ] {
        assert_eq!(judge(&profile, "socket", [family, 3, 0]), EPERM, "{name}");
    }
    for protocol in 0..32 {
        let expected = if [0, 4, 15, 16].contains(&protocol) {
            Allowed
        } else {
            EPERM
        };
        assert_eq!(
            judge(&profile, "socket", [16, 3, protocol]),
            expected,
            "netlink {protocol}"
        );
    }
    assert_eq!(judge(&profile, "socketpair", [1, 1, 0]), Allowed);
    for family in [2, 16, 30] {
        assert_eq!(judge(&profile, "socketpair", [family, 1, 0]), EPERM);
    }
}

#[test]
fn a_personality_weakens_nothing() {
    let profile = profile();
    for value in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        assert_eq!(judge(&profile, "personality", [value, 0, 0]), Allowed);
    }
    // Addresses without chance, readable means executable, pages at zero, all of SVR4's, and -1
    // as 64 bits.
    for value in [0x4_0000, 0x40_0000, 0x10_0000, 0x410_0001, u64::MAX] {
        assert_eq!(judge(&profile, "personality", [value, 0, 0]), EPERM);
    }
}

/// What [`judge`] takes for granted, and runtimes too.
#[test]
fn no_two_rules_contradict_each_other() {
    let profile = profile();
    let mut unconditional = BTreeSet::new();
    for rule in profile.syscalls.iter().filter(|rule| rule.args.is_empty()) {
        for name in &rule.names {
            assert!(unconditional.insert(*name), "{name} is named twice");
        }
    }
    for rule in profile.syscalls.iter().filter(|rule| !rule.args.is_empty()) {
        assert_eq!(rule.action, Action::Allow, "{rule:?}");
        for name in &rule.names {
            assert!(!unconditional.contains(name), "{name} has no condition");
        }
        let indices: BTreeSet<u32> = rule.args.iter().map(|condition| condition.index).collect();
        assert_eq!(indices.len(), rule.args.len(), "{rule:?}");
    }
}

#[test]
fn the_text_is_what_engines_read() {
    let (name, json) = option().split_once('=').unwrap();
    assert_eq!(name, "seccomp");
    let mut found: serde_json::Value = serde_json::from_str(json).unwrap();
    let rules = found["syscalls"].as_array_mut().unwrap();
    assert_eq!(
        rules[0]["names"].as_array().map(Vec::len),
        Some(allowed::ALWAYS.iter().map(|names| names.len()).sum())
    );
    rules[0]["names"] = "…".into();
    insta::assert_json_snapshot!(found);
}
