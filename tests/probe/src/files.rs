//! Files of the host, of the kernel and of the platform.

use std::os::unix::net::UnixStream;

use libc::{c_int, c_long};

use crate::attempt::{Attempt, EMPTY, address, call, number, open_to_write, read, try_call};

const HERE: c_long = libc::AT_FDCWD as c_long;

pub(crate) const ATTEMPTS: &[Attempt] = &[
    ("make a disk's device", || {
        make_node(libc::S_IFBLK, libc::makedev(8, 0))
    }),
    ("make the memory's device", || {
        make_node(libc::S_IFCHR, libc::makedev(1, 1))
    }),
    ("/dev/mem", || read("/dev/mem")),
    ("/dev/port", || read("/dev/port")),
    ("/dev/kmsg", || read("/dev/kmsg")),
    ("/dev/vda", || read("/dev/vda")),
    ("/dev/sda", || read("/dev/sda")),
    ("/dev/kvm", || open_to_write("/dev/kvm")),
    ("/dev/fuse", || open_to_write("/dev/fuse")),
    ("/dev/net/tun", || open_to_write("/dev/net/tun")),
    ("/dev/loop-control", || open_to_write("/dev/loop-control")),
    ("/proc/kcore", || read("/proc/kcore")),
    ("/proc/kmsg", || read("/proc/kmsg")),
    ("/proc/keys", || read("/proc/keys")),
    ("/proc/timer_list", || read("/proc/timer_list")),
    ("/proc/sched_debug", || read("/proc/sched_debug")),
    ("/proc/acpi", || list("/proc/acpi")),
    ("/proc/scsi", || list("/proc/scsi")),
    ("/sys/firmware", || list("/sys/firmware")),
    ("/sys/kernel/debug", || list("/sys/kernel/debug")),
    ("/proc/sysrq-trigger", || {
        open_to_write("/proc/sysrq-trigger")
    }),
    ("core_pattern", || {
        open_to_write("/proc/sys/kernel/core_pattern")
    }),
    ("modprobe", || open_to_write("/proc/sys/kernel/modprobe")),
    ("binfmt_misc", || {
        open_to_write("/proc/sys/fs/binfmt_misc/register")
    }),
    ("nr_hugepages", || {
        open_to_write("/proc/sys/vm/nr_hugepages")
    }),
    ("ip_forward", || {
        open_to_write("/proc/sys/net/ipv4/ip_forward")
    }),
    ("/proc/irq", || {
        open_to_write("/proc/irq/default_smp_affinity")
    }),
    ("uevent_helper", || {
        open_to_write("/sys/kernel/uevent_helper")
    }),
    ("transparent huge pages", || {
        open_to_write("/sys/kernel/mm/transparent_hugepage/enabled")
    }),
    ("/sys/power/state", || open_to_write("/sys/power/state")),
    // The first is where cgroups of the first version have it.
    ("release_agent", || {
        first_there(&[
            "/sys/fs/cgroup/memory/release_agent",
            "/sys/fs/cgroup/release_agent",
        ])
    }),
    ("leave the cgroup", || {
        first_there(&[
            "/sys/fs/cgroup/memory/cgroup.procs",
            "/sys/fs/cgroup/cgroup.procs",
        ])
    }),
    ("raise the memory limit", || {
        first_there(&[
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory.max",
        ])
    }),
    ("the engine's socket", || connect("/var/run/docker.sock")),
    ("containerd's socket", || {
        connect("/run/containerd/containerd.sock")
    }),
    ("the host's processes", || connect("/run/systemd/private")),
    ("/etc/passwd", || open_to_write("/etc/passwd")),
    ("/etc/shadow", || read("/etc/shadow")),
    ("/etc/ld.so.preload", || create("/etc/ld.so.preload")),
    ("a file in the root", || create("/probe")),
    ("the bridge's program", || {
        open_to_write("/opt/kalpana/bridge")
    }),
    ("the bridge's keys", || {
        read(&in_run_directory("launch.json"))
    }),
    ("the bridge's socket", || {
        connect(&in_run_directory("bridge.sock"))
    }),
];

fn make_node(kind: libc::mode_t, device: libc::dev_t) -> Result<(), c_int> {
    let path = address(c"/tmp/probe-node");
    let (mode, device) = (c_long::from(kind | 0o600), device as c_long);
    call(libc::SYS_mknodat, [HERE, path, mode, device])?;
    try_call(libc::SYS_unlinkat, [HERE, path, 0])
}

fn list(path: &str) -> Result<(), c_int> {
    match std::fs::read_dir(path)
        .map_err(|error| number(&error))?
        .next()
    {
        Some(_) => Ok(()),
        None => Err(EMPTY),
    }
}

fn create(path: &str) -> Result<(), c_int> {
    std::fs::File::create(path).map_err(|error| number(&error))?;
    std::fs::remove_file(path).map_err(|error| number(&error))
}

fn connect(path: &str) -> Result<(), c_int> {
    UnixStream::connect(path)
        .map(|_| ())
        .map_err(|error| number(&error))
}

/// Opens the first of some files that is there, to write.
fn first_there(paths: &[&str]) -> Result<(), c_int> {
    let mut outcome = Err(libc::ENOENT);
    for path in paths {
        if outcome == Err(libc::ENOENT) {
            outcome = open_to_write(path);
        }
    }
    outcome
}

/// Returns a path in the run directory that the platform shares with the bridge.
fn in_run_directory(name: &str) -> String {
    let directory = std::env::var("KALPANA_RUN_DIR").unwrap_or_default();
    format!("{directory}/{name}")
}
