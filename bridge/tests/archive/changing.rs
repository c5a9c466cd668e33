//! A workspace that is changed while it is packed, at a moment that the test chooses: when the header
//! of an entry comes out, which is before anything of that entry is read.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use kalpana_protocol::bridge::ArchiveEnd;

use super::support::{Volumes, is_root, names};

/// Takes an archive in, and does something once when an entry of that name begins.
struct Moment<F> {
    archive: Vec<u8>,
    name: &'static str,
    act: Option<F>,
}

impl<F: FnOnce()> Write for Moment<F> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let name = [self.name.as_bytes(), b"\0"].concat();
        if data.len() == 512 && data.starts_with(&name) {
            self.act.take().into_iter().for_each(|act| act());
        }
        self.archive.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Packs, acts when the entry `name` begins, and unpacks elsewhere.
fn pack_while(volumes: &Volumes, name: &'static str, act: impl FnOnce()) -> (Volumes, ArchiveEnd) {
    let mut moment = Moment {
        archive: Vec::new(),
        name,
        act: Some(act),
    };
    let end = volumes.pack_to(&mut moment).unwrap();
    assert!(moment.act.is_none(), "there was no {name}");
    let other = Volumes::new();
    assert_eq!(other.unpack(&moment.archive[..]).unwrap(), end);
    other.assert_outside_is_untouched();
    (other, end)
}

fn set_length(path: &Path, length: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

#[test]
fn file_that_shrinks_ends_with_zeros_and_one_that_grows_is_cut() {
    let volumes = Volumes::new();
    volumes.write("workspace/file", "x".repeat(1 << 20));
    volumes.write("workspace/next", "next");
    let file = volumes.path("workspace/file");
    let (other, end) = pack_while(&volumes, "workspace/file", || set_length(&file, 1000));
    let mut expected = "x".repeat(1000).into_bytes();
    expected.resize(1 << 20, 0);
    assert!(std::fs::read(other.path("workspace/file")).unwrap() == expected);
    assert_eq!(end.bytes, (1 << 20) + 4);

    let grow = || std::fs::write(&file, "y".repeat(5000)).unwrap();
    std::fs::write(&file, "x".repeat(1000)).unwrap();
    let (other, _) = pack_while(&volumes, "workspace/file", grow);
    let read = std::fs::read_to_string(other.path("workspace/file")).unwrap();
    assert_eq!(read, "y".repeat(1000));
    let next = std::fs::read_to_string(other.path("workspace/next")).unwrap();
    assert_eq!(next, "next");
}

#[test]
fn file_with_holes_that_changes_keeps_its_size() {
    let volumes = Volumes::new();
    let file = volumes.path("workspace/file");
    let path = file.clone();
    let fill = || {
        std::fs::write(&file, "").unwrap();
        set_length(&file, 1 << 20);
    };
    fill();
    let (other, end) = pack_while(&volumes, "workspace/file", move || set_length(&path, 7));
    assert_eq!(end.bytes, 1 << 20);
    let read = std::fs::read(other.path("workspace/file")).unwrap();
    assert!(read == vec![0; 1 << 20]);
}

#[test]
fn what_vanishes_is_not_missed_and_what_cannot_be_read_is_counted() {
    let volumes = Volumes::new();
    volumes.write("workspace/a", "a");
    volumes.write("workspace/b", "b");
    std::fs::create_dir(volumes.path("workspace/c")).unwrap();
    volumes.write("workspace/d", "d");
    let (other, end) = pack_while(&volumes, "workspace/a", || {
        std::fs::remove_file(volumes.path("workspace/b")).unwrap();
        std::fs::remove_dir(volumes.path("workspace/c")).unwrap();
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o0);
        std::fs::set_permissions(volumes.path("workspace/d"), closed).unwrap();
    });
    let (skipped, left) = match is_root() {
        true => (0, &["a", "d"][..]),
        false => (1, &["a"][..]),
    };
    assert_eq!(end.skipped, skipped);
    assert_eq!(names(&other.path("workspace")), left);
}

#[test]
fn directory_that_becomes_a_link_leads_nowhere() {
    let swapped = |name: &'static str| {
        let volumes = Volumes::new();
        volumes.write("workspace/a", "a");
        std::fs::create_dir(volumes.path("workspace/b")).unwrap();
        volumes.write("workspace/b/inside", "inside");
        let directory = volumes.path("workspace/b");
        let outside = volumes.path("outside");
        let swap = || {
            std::fs::rename(&directory, volumes.path("workspace/z")).unwrap();
            symlink(&outside, &directory).unwrap();
        };
        pack_while(&volumes, name, swap).0
    };
    // Before its turn has come it is a link like others.
    let other = swapped("workspace/a");
    assert!(other.path("workspace/b").is_symlink());
    // Afterwards it is what it was.
    let other = swapped("workspace/b/");
    assert!(!other.path("workspace/b").is_symlink());
    assert_eq!(names(&other.path("workspace/b")), ["inside"]);
}

#[test]
fn tree_that_is_moved_away_while_it_is_walked_leads_nowhere() {
    let volumes = Volumes::new();
    let deep = format!("workspace/t{}", "/d".repeat(100));
    std::fs::create_dir_all(volumes.path(&deep)).unwrap();
    // Names of a hundred bytes and more are not in the header alone: a file near the top is in time.
    let stop = format!("workspace/t{}/stop", "/d".repeat(30));
    volumes.write(&stop, "stop");
    volumes.write("workspace/t/z", "after");
    volumes.write("workspace/u", "after");
    let name: &'static str = Box::leak(format!("workspace/t{}/", "/d".repeat(40)).into_boxed_str());
    let (other, end) = pack_while(&volumes, name, || {
        let hidden = volumes.path("outside/t");
        std::fs::rename(volumes.path("workspace/t/d"), &hidden).unwrap();
        std::fs::write(volumes.path("outside/z"), "secret").unwrap();
    });
    assert_eq!(end.skipped, 0);
    // The way back to what stayed is found, and nothing beside what was moved.
    assert_eq!(names(&other.path("workspace")), ["t", "u"]);
    assert_eq!(names(&other.path("workspace/t")), ["d", "z"]);
}
