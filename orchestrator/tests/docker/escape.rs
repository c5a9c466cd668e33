//! What somebody who is in a workspace can do to get out: nothing that is not in
//! `escape.standard.tsv`, which people have read.
//!
//! The probe (`tests/probe`) is built here, as a static executable, so that it runs in any image
//! and is always the one of this source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{Setup, World, run_to_its_end};

/// The probe's name, in its crate and where it is copied to.
const PROBE: &str = "escape-probe";

/// Files that a kernel may be built without, or an engine cover in another way. A refusal is as
/// good as another there.
const KERNEL_FILES: [&str; 31] = [
    "/dev/mem",
    "/dev/port",
    "/dev/kmsg",
    "/dev/vda",
    "/dev/sda",
    "/dev/kvm",
    "/dev/fuse",
    "/dev/net/tun",
    "/dev/loop-control",
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/acpi",
    "/proc/scsi",
    "/proc/irq",
    "/proc/sysrq-trigger",
    "/sys/firmware",
    "/sys/kernel/debug",
    "/sys/power/state",
    "core_pattern",
    "modprobe",
    "binfmt_misc",
    "nr_hugepages",
    "ip_forward",
    "uevent_helper",
    "transparent huge pages",
    "release_agent",
    "leave the cgroup",
    "raise the memory limit",
];
const REFUSALS: [&str; 6] = ["EACCES", "ENOENT", "ENXIO", "EPERM", "EROFS", "empty"];

/// Attempts whose refusal tells how the kernel was built or the engine makes networks, and what that
/// may be.
const BUILT_OTHERWISE: [(&str, &[&str]); 7] = [
    // An unknown kind of program is killed; a kernel without x32 may be asked first.
    ("io_uring by its x32 number", &["SIGSYS", "ENOSYS", "EPERM"]),
    (
        "io_uring as a program of 32 bits",
        &["EPERM", "ENOSYS", "SIGSEGV"],
    ),
    (
        "keyctl as a program of 32 bits",
        &["EPERM", "ENOSYS", "SIGSEGV"],
    ),
    (
        "socketcall as a program of 32 bits",
        &["EPERM", "ENOSYS", "SIGSEGV"],
    ),
    ("take huge pages", &["EPERM", "ENOMEM", "ENOSYS", "EINVAL"]),
    // By the engine's version a network without a way out has no route, or one that ends.
    (
        "the cloud's credentials",
        &["no answer", "EHOSTUNREACH", "ENETUNREACH"],
    ),
    (
        "the cloud's credentials, IPv6",
        &["EADDRNOTAVAIL", "ENETUNREACH", "EAFNOSUPPORT"],
    ),
];

/// What an ordinary container's root is allowed: without these the probe would look at nothing.
const ALLOWED_ELSEWHERE: [&str; 8] = [
    "/etc/passwd",
    "a file in the root",
    "become root",
    "chroot",
    "join group root",
    "make a disk's device",
    "mark packets",
    "socket for packets",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_nobody_gets_out_of_a_workspace() {
    let probe = build();
    let world = World::start(Setup::default()).await;
    let row = world.create(None).await;
    let row = world.wait_for(row.id, "running").await;
    let name = format!("kal-{}-g1", row.id);
    let run_dir = world.site.workspace_run_dir(row.id.as_str());
    std::fs::copy(&probe, run_dir.join(PROBE)).expect("copied");
    // As everything that a person starts in a workspace is started. The shell stays, because who
    // leads a group of processes cannot start a session.
    let command = format!(
        "cp \"$KALPANA_RUN_DIR/{PROBE}\" /tmp && chmod 0755 /tmp/{PROBE} \
         && /opt/kalpana/bridge exec 64000:64000 / /tmp/{PROBE} || exit"
    );
    let found = world.exec(&name, "0", &command).await;
    compare("standard", &found);

    let elsewhere = run_to_its_end(&world.instance, &probe).await;
    let elsewhere = outcomes(&elsewhere);
    for attempt in ALLOWED_ELSEWHERE {
        let outcome = elsewhere.get(attempt).copied();
        assert_eq!(outcome, Some("allowed"), "{attempt}: the probe is blunt");
    }
    world.end().await;
}

#[test]
fn only_refusals_are_taken_for_each_other() {
    assert!(is_built_otherwise("/proc/kcore", "ENOENT", "empty"));
    assert!(is_built_otherwise("take huge pages", "EPERM", "ENOMEM"));
    assert!(!is_built_otherwise("/proc/kcore", "ENOENT", "allowed"));
    assert!(!is_built_otherwise("/proc/kcore", "allowed", "EACCES"));
    assert!(!is_built_otherwise("io_uring", "EPERM", "ENOSYS"));
    for refusals in BUILT_OTHERWISE.map(|(_, refusals)| refusals) {
        assert!(!refusals.contains(&"allowed"), "{refusals:?}");
    }
    let committed = include_str!("escape.standard.tsv");
    let committed = outcomes(committed);
    let others = BUILT_OTHERWISE.map(|(attempt, _)| attempt);
    for name in KERNEL_FILES.iter().chain(&others) {
        assert!(committed.contains_key(name), "{name} is not attempted");
    }
    // What is allowed is meant to be: debugging one's own programs, and the network.
    let allowed: Vec<&str> = committed
        .iter()
        .filter(|(_, outcome)| **outcome == "allowed")
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(
        allowed,
        [
            "netlink of interfaces",
            "read one's own memory as another's",
            "socket for TCP",
            "trace a child",
        ]
    );
}

/// Compares what the probe found with the committed file of a profile.
fn compare(profile: &str, found: &str) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/docker/escape.{profile}.tsv"));
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, found).expect("written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let (wanted, found) = (outcomes(&committed), outcomes(found));
    let names: BTreeSet<&str> = wanted.keys().chain(found.keys()).copied().collect();
    let differences: Vec<String> = names
        .into_iter()
        .filter_map(|name| {
            let of = |side: &BTreeMap<&str, &str>| side.get(name).map(ToString::to_string);
            let (wanted, found) = (of(&wanted), of(&found));
            let is_same = match (&wanted, &found) {
                (Some(wanted), Some(found)) => {
                    wanted == found || is_built_otherwise(name, wanted, found)
                }
                _ => false,
            };
            let none = || "nothing".to_owned();
            (!is_same).then(|| {
                format!(
                    "{name}: {}, expected {}",
                    found.unwrap_or_else(none),
                    wanted.unwrap_or_else(none)
                )
            })
        })
        .collect();
    assert!(
        differences.is_empty(),
        "a workspace is not held as {} says:\n{}\nif that is meant, run this test with \
         UPDATE_GENERATED=1 and have the file read",
        path.display(),
        differences.join("\n")
    );
}

/// Tells whether two outcomes differ only by how a kernel was built. Neither may be `allowed`.
fn is_built_otherwise(name: &str, wanted: &str, found: &str) -> bool {
    let of_file = KERNEL_FILES.contains(&name).then_some(&REFUSALS[..]);
    let of_others = BUILT_OTHERWISE
        .iter()
        .find(|(attempt, _)| *attempt == name)
        .map(|(_, refusals)| *refusals);
    of_file
        .or(of_others)
        .is_some_and(|refusals| refusals.contains(&wanted) && refusals.contains(&found))
}

fn outcomes(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .collect()
}

/// Builds the probe and returns where it is. Its directory is its own: its flags would rebuild
/// everything else.
fn build() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--offline", "--quiet"])
        .args(["--package", "kalpana-test-probe", "--target", &target])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", &directory)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the probe is not built: {errors}");
    directory.join(target).join("debug").join(PROBE)
}
