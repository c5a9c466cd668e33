//! What is packed is what is unpacked.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kalpana_bridge::archive::entry::Modified;
use kalpana_protocol::bridge::ArchiveEnd;
use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, Mode, XattrFlags};

use super::support::{Volumes, is_root, names};

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

fn set_modified(path: &Path, seconds: i64, nanoseconds: u32) {
    let modified = Modified {
        seconds,
        nanoseconds,
    };
    let times = modified.timestamps();
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
}

/// Unpacks elsewhere, over something that was there, twice; each time that packs to the same.
fn assert_round_trip(volumes: &Volumes) -> Volumes {
    let (archive, end) = volumes.pack();
    let other = Volumes::new();
    other.write("workspace/old", "old");
    for _ in 0..2 {
        assert_eq!(other.unpack(&archive[..]).unwrap(), end);
        let (again, _) = other.pack();
        assert!(again == archive, "another archive");
    }
    other.assert_outside_is_untouched();
    other
}

#[test]
fn every_kind_of_entry_survives() {
    let volumes = Volumes::new();
    let name = OsStr::from_bytes(b"not \xff\xfe text\n");
    std::fs::write(volumes.path("workspace").join(name), "bytes").unwrap();
    let long = format!("workspace/{}", "a".repeat(200));
    std::fs::create_dir(volumes.path(&long)).unwrap();
    let long = format!("{long}/{}", "b".repeat(255));
    volumes.write(&long, "long");
    symlink("l".repeat(1000), volumes.path("workspace/long link")).unwrap();
    std::fs::hard_link(volumes.path(&long), volumes.path("workspace/z")).unwrap();
    std::fs::hard_link(volumes.path("workspace/z"), volumes.path("workspace/zz")).unwrap();
    symlink("../outside/secret", volumes.path("workspace/link")).unwrap();
    symlink("a//b/./../c/", volumes.path("home/strange link")).unwrap();
    symlink(volumes.path("outside"), volumes.path("home/directory link")).unwrap();
    make_fifo(&volumes.path("home/fifo"));
    std::fs::create_dir(volumes.path("home/empty")).unwrap();
    volumes.write("home/nothing", "");
    volumes.write("home/setuid", "s");
    set_mode(&volumes.path("home/setuid"), 0o4755);
    set_mode(&volumes.path("home"), 0o1700);
    std::fs::create_dir(volumes.path("home/setgid")).unwrap();
    set_mode(&volumes.path("home/setgid"), 0o2775);
    set_modified(&volumes.path("home/nothing"), -2, 500_000_000);
    set_modified(&volumes.path("home/strange link"), 4_000_000_000, 1);
    set_modified(&volumes.path("home/empty"), 1, 999_999_999);
    let socket = std::os::unix::net::UnixListener::bind(volumes.path("home/socket")).unwrap();

    let (_, end) = volumes.pack();
    let expected = ArchiveEnd {
        files: 11,
        directories: 5,
        bytes: 10,
        skipped: 0,
    };
    assert_eq!(end, expected);
    let other = assert_round_trip(&volumes);
    drop(socket);

    let stat = |name: &str| std::fs::symlink_metadata(other.path(name)).unwrap();
    assert_eq!(
        std::fs::read(other.path("workspace").join(name)).unwrap(),
        b"bytes"
    );
    assert_eq!(std::fs::read(other.path("workspace/zz")).unwrap(), b"long");
    assert_eq!(stat("workspace/z").ino(), stat(&long).ino());
    assert_eq!(stat("workspace/z").nlink(), 3);
    let target = |name: &str| std::fs::read_link(other.path(name)).unwrap();
    assert_eq!(target("workspace/link"), Path::new("../outside/secret"));
    let strange = target("home/strange link");
    assert_eq!(strange.as_os_str(), "a//b/./../c/");
    assert!(stat("home/fifo").file_type().is_fifo());
    assert_eq!(stat("home/fifo").mode() & 0o7777, 0o400);
    assert_eq!(stat("home/setuid").mode() & 0o7777, 0o4755);
    assert_eq!(stat("home/setgid").mode() & 0o7777, 0o2775);
    assert_eq!(stat("home").mode() & 0o7777, 0o1700);
    let modified = |name: &str| (stat(name).mtime(), stat(name).mtime_nsec());
    assert_eq!(modified("home/nothing"), (-2, 500_000_000));
    assert_eq!(modified("home/strange link"), (4_000_000_000, 1));
    assert_eq!(modified("home/empty"), (1, 999_999_999));
    assert!(!names(&other.path("home")).contains(&"socket".to_owned()));
}

#[test]
fn what_nobody_may_read_survives_or_is_counted() {
    let volumes = Volumes::new();
    volumes.write("home/closed", "closed");
    std::fs::create_dir(volumes.path("home/shut")).unwrap();
    set_mode(&volumes.path("home/closed"), 0);
    set_mode(&volumes.path("home/shut"), 0);
    let (archive, end) = volumes.pack();
    let expected = ArchiveEnd {
        files: u64::from(is_root()),
        directories: 3,
        bytes: if is_root() { 6 } else { 0 },
        skipped: if is_root() { 0 } else { 2 },
    };
    assert_eq!(end, expected);
    let other = Volumes::new();
    for _ in 0..2 {
        assert_eq!(other.unpack(&archive[..]).unwrap(), end);
    }
    let shut = std::fs::symlink_metadata(other.path("home/shut")).unwrap();
    assert_eq!(shut.mode() & 0o7777, 0);
    set_mode(&volumes.path("home/shut"), 0o700);
    set_mode(&other.path("home/shut"), 0o700);
}

#[test]
fn owners_survive_where_they_may_be_given() {
    if !is_root() {
        return;
    }
    let volumes = Volumes::new();
    volumes.write("workspace/program", "x");
    symlink("x", volumes.path("workspace/link")).unwrap();
    std::fs::create_dir(volumes.path("workspace/shared")).unwrap();
    for (name, user, group) in [
        ("workspace", 64000, 64001),
        ("workspace/program", 3_000_000, 4_294_967_294),
        ("workspace/link", 64000, 64000),
        ("workspace/shared", 64000, 64001),
    ] {
        std::os::unix::fs::lchown(volumes.path(name), Some(user), Some(group)).unwrap();
    }
    set_mode(&volumes.path("workspace/program"), 0o6755);
    set_mode(&volumes.path("workspace/shared"), 0o2770);
    let other = assert_round_trip(&volumes);
    let stat = |name: &str| {
        let stat = std::fs::symlink_metadata(other.path(name)).unwrap();
        (stat.uid(), stat.gid(), stat.mode() & 0o7777)
    };
    assert_eq!(
        stat("workspace/program"),
        (3_000_000, 4_294_967_294, 0o6755)
    );
    assert_eq!(stat("workspace/shared"), (64000, 64001, 0o2770));
    assert_eq!(stat("workspace/link").0, 64000);
}

#[test]
fn attributes_survive_where_there_are_any() {
    let volumes = Volumes::new();
    volumes.write("home/file", "x");
    let path = volumes.path("home/file");
    let set = |name: &str, value: &[u8]| {
        rustix::fs::setxattr(&path, name, value, XattrFlags::empty()).is_ok()
    };
    if !set("user.b", b"any\n=byte\0\xff") {
        return;
    }
    set("user.a", b"");
    let other = assert_round_trip(&volumes);
    let mut buffer = [0; 100];
    let length = rustix::fs::getxattr(other.path("home/file"), "user.b", &mut buffer[..]).unwrap();
    assert_eq!(&buffer[..length], b"any\n=byte\0\xff");
}

#[test]
fn holes_stay_holes() {
    let volumes = Volumes::new();
    let file = |name: &str| std::fs::File::create(volumes.path(name)).unwrap();
    let sparse = file("home/sparse");
    sparse.set_len(1 << 30).unwrap();
    sparse.write_all_at(b"middle", (1 << 29) + 1).unwrap();
    sparse.write_all_at(b"end", (1 << 30) - 3).unwrap();
    file("home/hole").set_len((1 << 30) + 5).unwrap();
    let tail = file("home/tail");
    tail.set_len(1 << 20).unwrap();
    tail.write_all_at(b"start", 0).unwrap();
    let (archive, end) = volumes.pack();
    assert!(archive.len() < 1 << 20, "{} bytes", archive.len());
    assert_eq!(end.bytes, (2 << 30) + 5 + (1 << 20));
    let other = assert_round_trip(&volumes);
    let stat = std::fs::metadata(other.path("home/sparse")).unwrap();
    assert_eq!(stat.len(), 1 << 30);
    assert!(stat.blocks() < 1000, "{} blocks", stat.blocks());
    let sparse = std::fs::File::open(other.path("home/sparse")).unwrap();
    let mut buffer = [9; 8];
    sparse.read_exact_at(&mut buffer, 1 << 29).unwrap();
    assert_eq!(&buffer, b"\0middle\0");
    sparse.read_exact_at(&mut buffer, (1 << 30) - 8).unwrap();
    assert_eq!(&buffer, b"\0\0\0\0\0end");
}

/// Makes directories in each other, deeper than a path may be long, and a file in the deepest.
fn make_deep(root: &Path, name: &str, depth: usize) {
    let mut directory = std::os::fd::OwnedFd::from(std::fs::File::open(root).unwrap());
    for _ in 0..depth {
        rustix::fs::mkdirat(&directory, name, Mode::RWXU).unwrap();
        let flags = rustix::fs::OFlags::RDONLY;
        directory = rustix::fs::openat(&directory, name, flags, Mode::empty()).unwrap();
    }
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE;
    rustix::fs::openat(&directory, "bottom", flags, Mode::RWXU).unwrap();
}

/// Empties a volume whose names are too long for everybody else.
fn empty(volumes: &Volumes) {
    let (archive, _) = Volumes::new().pack();
    volumes.unpack(&archive[..]).unwrap();
}

#[test]
fn trees_deeper_than_a_path_may_be_long_survive() {
    let volumes = Volumes::new();
    make_deep(&volumes.path("workspace"), "d", 2000);
    make_deep(&volumes.path("home"), "name of some length", 400);
    let (_, end) = volumes.pack();
    assert_eq!((end.files, end.directories, end.skipped), (2, 2402, 0));
    empty(&assert_round_trip(&volumes));
    empty(&volumes);
}

#[test]
fn trees_deeper_than_any_name_are_cut_and_counted() {
    let volumes = Volumes::new();
    make_deep(&volumes.path("workspace"), &"d".repeat(250), 100);
    let (archive, end) = volumes.pack();
    assert_eq!((end.directories, end.skipped), (2 + 65, 1));
    let other = Volumes::new();
    assert_eq!(other.unpack(&archive[..]).unwrap(), end);
    empty(&other);
    empty(&volumes);
}

#[test]
fn what_was_there_goes_and_what_it_links_to_stays() {
    let volumes = Volumes::new();
    volumes.write("workspace/file", "old");
    symlink("../outside", volumes.path("workspace/link")).unwrap();
    symlink("../outside/secret", volumes.path("home/link")).unwrap();
    std::fs::create_dir_all(volumes.path("home/a/b/c")).unwrap();
    set_mode(&volumes.path("home/a/b"), 0o500);
    empty(&volumes);
    assert_eq!(names(&volumes.path("workspace")), [""; 0]);
    assert_eq!(names(&volumes.path("home")), [""; 0]);
    volumes.assert_outside_is_untouched();
}

#[test]
fn other_programs_read_these_archives() {
    let volumes = Volumes::new();
    let long = format!("workspace/{}", "n".repeat(250));
    volumes.write(&long, "long");
    set_modified(&volumes.path(&long), 2, 500_000_000);
    let sparse = std::fs::File::create(volumes.path("home/sparse")).unwrap();
    sparse.set_len(1 << 26).unwrap();
    sparse.write_all_at(b"middle", 1 << 25).unwrap();
    let (archive, _) = volumes.pack();
    let other = Volumes::new();
    other.write("outside/archive", archive);
    let tar = Command::new("tar")
        .args(["-xf", "outside/archive"])
        .current_dir(other.path(""))
        .stderr(Stdio::piped())
        .output();
    // It is nobody's duty to have it.
    let Ok(tar) = tar else { return };
    assert_eq!(String::from_utf8_lossy(&tar.stderr), "");
    assert_eq!(std::fs::read(other.path(&long)).unwrap(), b"long");
    let read = std::fs::read(other.path("home/sparse")).unwrap();
    assert!(read == std::fs::read(volumes.path("home/sparse")).unwrap());
    assert_eq!(std::fs::metadata(other.path(&long)).unwrap().mtime(), 2);
}

#[test]
fn program_packs_and_unpacks_and_says_so() {
    let volumes = Volumes::new();
    volumes.write("home/file", "x".repeat(3 << 20));
    let bridge = |job: &str, volumes: &Volumes| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bridge"));
        command.arg(job);
        for (name, path) in ["workspace", "home"].iter().zip(&volumes.roots().0) {
            command
                .arg("--root")
                .arg(format!("{name}={}", path.display()));
        }
        command
    };
    let packed = bridge("pack", &volumes).output().unwrap();
    let length = packed.stdout.len();
    assert_eq!(
        String::from_utf8_lossy(&packed.stderr),
        format!(
            "packed 1 files and 2 directories, 3145728 bytes; skipped 0; {length} bytes of archive\n"
        )
    );
    assert!(packed.status.success());
    let other = Volumes::new();
    let run = |archive: &[u8]| {
        let file = other.path("outside/archive");
        std::fs::write(&file, archive).unwrap();
        let input = std::fs::File::open(&file).unwrap();
        let output = bridge("unpack", &other).stdin(input).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), stderr)
    };
    let cut = &packed.stdout[..packed.stdout.len() - 512];
    assert_eq!(run(cut), (1, "fatal: the archive is not whole\n".into()));
    let whole = run(&packed.stdout);
    assert_eq!(
        whole,
        (
            0,
            "unpacked 1 files and 2 directories, 3145728 bytes; 0 were skipped when it was packed\n"
                .into()
        )
    );
    let usage = bridge("pack", &volumes).arg("--exclude").output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    // Whoever reads the archive may go away.
    let mut child = bridge("pack", &volumes)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("fatal: cannot write the archive"),
        "{stderr}"
    );
}

/// Something to make in a tree, in a directory that is chosen from those made before.
#[derive(Debug, Clone)]
enum Made {
    Directory { mode: u32 },
    File { content: Vec<u8>, mode: u32 },
    Symlink { target: Vec<u8> },
    HardLink { to: prop::sample::Index },
    Fifo,
}

fn made() -> impl Strategy<Value = Made> {
    prop_oneof![
        3 => prop::sample::select(vec![0o700, 0o755, 0o1777, 0o2750])
            .prop_map(|mode| Made::Directory { mode }),
        4 => (
            prop_oneof![0..20_usize, 500..530_usize, 1000..5000_usize],
            any::<u8>(),
            prop::sample::select(vec![0o400, 0o644, 0o755, 0o4711]),
        )
            .prop_map(|(length, byte, mode)| Made::File { content: vec![byte; length], mode }),
        2 => prop::collection::vec(1..=255_u8, 1..300).prop_map(|target| Made::Symlink { target }),
        2 => any::<prop::sample::Index>().prop_map(|to| Made::HardLink { to }),
        1 => Just(Made::Fifo),
    ]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = (1..=255_u8).prop_filter("no slash", |&byte| byte != b'/');
    prop::collection::vec(byte, 1..130).prop_filter("a name", |name| name != b"." && name != b"..")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_trees_survive(
        entries in prop::collection::vec(
            (any::<prop::sample::Index>(), name(), made(), -5_i64..5_000_000_000, 0..1_000_000_000_u32),
            0..40,
        ),
    ) {
        let volumes = Volumes::new();
        let mut directories = vec![volumes.path("workspace"), volumes.path("home")];
        let mut links: Vec<PathBuf> = Vec::new();
        let mut times = Vec::new();
        for (parent, name, made, seconds, nanoseconds) in &entries {
            let path = parent.get(&directories).join(OsStr::from_bytes(name));
            if path.as_os_str().len() > 3000 || path.symlink_metadata().is_ok() {
                continue;
            }
            match made {
                Made::Directory { mode } => {
                    std::fs::create_dir(&path).unwrap();
                    set_mode(&path, *mode);
                    directories.push(path.clone());
                }
                Made::File { content, mode } => {
                    std::fs::write(&path, content).unwrap();
                    set_mode(&path, *mode);
                    links.push(path.clone());
                }
                Made::Symlink { target } => {
                    symlink(OsStr::from_bytes(target), &path).unwrap();
                    links.push(path.clone());
                }
                Made::Fifo => make_fifo(&path),
                Made::HardLink { to } => {
                    // Between volumes there are none.
                    let root = |path: &PathBuf| path.starts_with(volumes.path("home"));
                    if links.is_empty() || root(to.get(&links[..])) != root(&path) {
                        continue;
                    }
                    std::fs::hard_link(to.get(&links), &path).unwrap();
                }
            }
            times.push((path, *seconds, *nanoseconds));
        }
        for (path, seconds, nanoseconds) in times.iter().rev() {
            set_modified(path, *seconds, *nanoseconds);
        }
        assert_round_trip(&volumes);
    }
}
