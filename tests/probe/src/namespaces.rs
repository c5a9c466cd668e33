//! Mounts and namespaces: another view of the same machine.

use libc::{c_int, c_long};

use crate::attempt::{Attempt, address, call, try_call};

/// `OPEN_TREE_CLONE`. Source: `linux/mount.h`.
const CLONE_TREE: c_long = 1;
/// `CLONE_NEWTIME`. Source: `linux/sched.h`.
const NEW_TIME: c_int = 0x80;
const HERE: c_long = libc::AT_FDCWD as c_long;

pub(crate) const ATTEMPTS: &[Attempt] = &[
    ("mount a file system", || {
        let (source, target, kind) = (address(c"none"), address(c"/mnt"), address(c"tmpfs"));
        try_call(libc::SYS_mount, [source, target, kind, 0, 0])
    }),
    ("mount proc anew", || {
        let (source, target) = (address(c"proc"), address(c"/mnt"));
        try_call(libc::SYS_mount, [source, target, source, 0, 0])
    }),
    ("mount a directory elsewhere", || {
        let (source, target) = (address(c"/etc"), address(c"/mnt"));
        try_call(
            libc::SYS_mount,
            [source, target, 0, libc::MS_BIND as c_long, 0],
        )
    }),
    ("make /proc/sys writable", || {
        let flags = (libc::MS_REMOUNT | libc::MS_BIND) as c_long;
        try_call(libc::SYS_mount, [0, address(c"/proc/sys"), 0, flags, 0])
    }),
    ("unmount what covers /proc/kcore", || {
        let flags = libc::MNT_DETACH.into();
        try_call(libc::SYS_umount2, [address(c"/proc/kcore"), flags])
    }),
    ("pivot_root", || {
        try_call(libc::SYS_pivot_root, [address(c"/tmp"), address(c"/tmp")])
    }),
    ("chroot", || try_call(libc::SYS_chroot, [address(c"/")])),
    ("fsopen", || {
        try_call(libc::SYS_fsopen, [address(c"tmpfs"), 0])
    }),
    ("open_tree", || {
        try_call(libc::SYS_open_tree, [HERE, address(c"/"), CLONE_TREE])
    }),
    ("move_mount", || {
        let path = address(c"/tmp");
        try_call(libc::SYS_move_mount, [HERE, path, HERE, path, 0])
    }),
    ("unshare user", || unshare(libc::CLONE_NEWUSER)),
    ("unshare mount", || unshare(libc::CLONE_NEWNS)),
    ("unshare pid", || unshare(libc::CLONE_NEWPID)),
    ("unshare network", || unshare(libc::CLONE_NEWNET)),
    ("unshare uts", || unshare(libc::CLONE_NEWUTS)),
    ("unshare ipc", || unshare(libc::CLONE_NEWIPC)),
    ("unshare cgroup", || unshare(libc::CLONE_NEWCGROUP)),
    ("unshare time", || unshare(NEW_TIME)),
    ("clone into a user namespace", || {
        let flags = c_long::from(libc::CLONE_NEWUSER | libc::SIGCHLD);
        try_call(libc::SYS_clone, [flags, 0, 0, 0, 0])
    }),
    ("clone3 into a user namespace", || {
        // Flags, descriptors, signal, stack: `struct clone_args` as it first was.
        let mut args = [0_u64; 8];
        args[0] = libc::CLONE_NEWUSER as u64;
        args[4] = libc::SIGCHLD as u64;
        let size = c_long::try_from(size_of_val(&args)).unwrap_or(0);
        try_call(libc::SYS_clone3, [address(&args), size])
    }),
    ("enter the namespaces of pid 1", || {
        let init = call(libc::SYS_pidfd_open, [1, 0])?;
        try_call(libc::SYS_setns, [init, libc::CLONE_NEWNS.into()])
    }),
    ("enter one's own mount namespace", || {
        let path = address(c"/proc/self/ns/mnt");
        let own = call(libc::SYS_openat, [HERE, path, 0])?;
        try_call(libc::SYS_setns, [own, 0])
    }),
];

fn unshare(flags: c_int) -> Result<(), c_int> {
    try_call(libc::SYS_unshare, [flags.into()])
}
