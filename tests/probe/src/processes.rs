//! Other processes, other users, and more than one's share.

use libc::{c_int, c_long};

use crate::attempt::{Attempt, address, call, open_to_write, read, try_call};

/// `_LINUX_CAPABILITY_VERSION_3`. Source: `linux/capability.h`.
const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// `ADDR_NO_RANDOMIZE`. Source: `linux/personality.h`.
const WITHOUT_CHANCE: c_long = 0x4_0000;
/// `KCMP_FILES`. Source: `linux/kcmp.h`.
const FILES: c_long = 2;
/// Real time, in the number that `ioprio_set` takes. Source: `linux/ioprio.h`.
const REAL_TIME_DISK: c_long = 1 << 13;
const PTRACE_SEIZE: c_long = libc::PTRACE_SEIZE as c_long;

pub(crate) const ATTEMPTS: &[Attempt] = &[
    ("become root", || try_call(libc::SYS_setuid, [0])),
    ("become root, thrice", || {
        try_call(libc::SYS_setresuid, [0, 0, 0])
    }),
    ("become group root", || try_call(libc::SYS_setgid, [0])),
    ("join group root", || {
        try_call(libc::SYS_setgroups, [1, address(&[0_u32])])
    }),
    ("take all capabilities", || {
        let (header, all) = ([CAPABILITY_VERSION, 0], [u32::MAX; 6]);
        try_call(libc::SYS_capset, [address(&header), address(&all)])
    }),
    ("take an ambient capability", || {
        let (set, raise) = (libc::PR_CAP_AMBIENT.into(), libc::PR_CAP_AMBIENT_RAISE);
        try_call(libc::SYS_prctl, [set, raise.into(), 7, 0, 0])
    }),
    ("be given privileges again", || {
        try_call(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS.into(), 0])
    }),
    ("map root into oneself", || {
        std::fs::write("/proc/self/uid_map", "0 0 1")
            .map_err(|error| crate::attempt::number(&error))
    }),
    ("signal pid 1", || try_call(libc::SYS_kill, [1, 0])),
    ("trace pid 1", || {
        try_call(libc::SYS_ptrace, [PTRACE_SEIZE, 1, 0, 0])
    }),
    ("trace a child", || {
        // SAFETY: one thread, and the child only waits until it is killed.
        let child = unsafe { libc::fork() };
        if child == 0 {
            loop {
                // SAFETY: it waits for a signal.
                unsafe { libc::pause() };
            }
        }
        let result = try_call(libc::SYS_ptrace, [PTRACE_SEIZE, child.into(), 0, 0]);
        call(libc::SYS_kill, [child.into(), libc::SIGKILL.into()])?;
        result
    }),
    ("read the memory of pid 1", || copy_memory_of(1)),
    ("read one's own memory as another's", || {
        copy_memory_of(call(libc::SYS_getpid, [])?)
    }),
    ("open the memory of pid 1", || read("/proc/1/mem")),
    ("read the environment of pid 1", || read("/proc/1/environ")),
    ("follow the root of pid 1", || {
        read("/proc/1/root/etc/passwd")
    }),
    ("take a file of pid 1", || {
        let init = call(libc::SYS_pidfd_open, [1, 0])?;
        try_call(libc::SYS_pidfd_getfd, [init, 0, 0])
    }),
    ("compare with pid 1", || {
        let own = call(libc::SYS_getpid, [])?;
        try_call(libc::SYS_kcmp, [own, 1, FILES, 0, 0])
    }),
    ("advise the memory of pid 1", || {
        let init = call(libc::SYS_pidfd_open, [1, 0])?;
        try_call(libc::SYS_process_madvise, [init, 0, 0, 0, 0])
    }),
    ("give up chance in addresses", || {
        try_call(libc::SYS_personality, [WITHOUT_CHANCE])
    }),
    ("be killed last", || {
        std::fs::write("/proc/self/oom_score_adj", "-1000")
            .map_err(|error| crate::attempt::number(&error))
    }),
    ("be killed last, by open alone", || {
        open_to_write("/proc/1/oom_score_adj")
    }),
    ("have more files open", || raise(libc::RLIMIT_NOFILE)),
    ("write core files", || raise(libc::RLIMIT_CORE)),
    ("lock more memory", || raise(libc::RLIMIT_MEMLOCK)),
    ("take huge pages", || {
        let flags = c_long::from(libc::SHM_HUGETLB | libc::IPC_CREAT | 0o600);
        let private = libc::IPC_PRIVATE.into();
        let id = call(libc::SYS_shmget, [private, 2 << 20, flags])?;
        try_call(libc::SYS_shmctl, [id, libc::IPC_RMID.into(), 0])
    }),
    ("run before others", || {
        try_call(
            libc::SYS_setpriority,
            [libc::PRIO_PROCESS as c_long, 0, -20],
        )
    }),
    ("run in real time", || {
        let priority = 1_i32;
        let policy = libc::SCHED_FIFO.into();
        try_call(
            libc::SYS_sched_setscheduler,
            [0, policy, address(&priority)],
        )
    }),
    ("use disks in real time", || {
        try_call(libc::SYS_ioprio_set, [1, 0, REAL_TIME_DISK])
    }),
];

fn copy_memory_of(process: c_long) -> Result<(), c_int> {
    let (from, to) = ([1_u8; 8], [0_u8; 8]);
    // Address and length: `struct iovec`.
    let (theirs, ours) = ([address(&from), 8], [address(&to), 8]);
    try_call(
        libc::SYS_process_vm_readv,
        [process, address(&ours), 1, address(&theirs), 1, 0],
    )
}

/// Raises the hard limit by one.
fn raise(resource: libc::__rlimit_resource_t) -> Result<(), c_int> {
    let old = [0_u64; 2];
    let resource = c_long::from(resource);
    call(libc::SYS_prlimit64, [0, resource, 0, address(&old)])?;
    let more = old[1].saturating_add(1);
    try_call(
        libc::SYS_prlimit64,
        [0, resource, address(&[more, more]), 0],
    )
}
