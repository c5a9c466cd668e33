//! Archives that `pack` would not make.

use kalpana_bridge::archive::pax;
use kalpana_bridge::archive::unpack::UnpackError;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tar::EntryType;

use super::support::{Forged, Volumes, names};

/// Unpacks what has to be refused, and returns why it is.
fn refusal(archive: &[u8]) -> String {
    let volumes = Volumes::new();
    let error = volumes.unpack(archive).unwrap_err();
    volumes.assert_outside_is_untouched();
    std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
        error.source()
    })
    .map(ToString::to_string)
    .collect::<Vec<_>>()
    .join(": ")
}

fn refused(name: &str, kind: EntryType, target: &str, data: &[u8]) -> String {
    refusal(&Forged::new().with(name, kind, target, data).end())
}

#[test]
fn forged_archive_without_malice_is_taken() {
    let archive = Forged::new()
        .with("workspace/made/for/it/file", EntryType::Regular, "", b"x")
        .with("home/link", EntryType::Link, "home/file", b"");
    // A further name needs a first.
    let error = refusal(&archive.end());
    assert_eq!(
        error,
        "cannot restore home/link: No such file or directory (os error 2)"
    );
    let archive = Forged::new()
        .with("workspace/made/for/it/file", EntryType::Regular, "", b"x")
        .with(
            "workspace/link",
            EntryType::Link,
            "workspace/made/for/it/file",
            b"",
        )
        .end();
    let volumes = Volumes::new();
    assert_eq!(volumes.unpack(&archive[..]).unwrap().files, 2);
    assert_eq!(std::fs::read(volumes.path("workspace/link")).unwrap(), b"x");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [
        "workspace/../outside/x",
        "workspace/a/../../outside/x",
        "workspace/..",
        "workspace/./x",
        "workspace//x",
        "workspace//",
        "home/../workspace/x",
    ] {
        let expected = format!("refused {name}: its name leads elsewhere");
        assert_eq!(refused(name, EntryType::Regular, "", b"x"), expected);
        assert_eq!(refused(name, EntryType::Directory, "", b""), expected);
    }
    for name in [
        "/etc/x",
        "/",
        "",
        "x",
        "../outside/x",
        "..",
        "workspacex/x",
        "outside/x",
    ] {
        let expected = format!("refused {name}: it is outside of the volumes");
        assert_eq!(refused(name, EntryType::Regular, "", b"x"), expected);
    }
    let expected = "refused workspace: a volume is a directory";
    assert_eq!(
        refused("workspace", EntryType::Symlink, "outside", b""),
        expected
    );
}

#[test]
fn nothing_goes_through_a_link() {
    for target in ["../outside", ".", "/", "../home"] {
        for (name, kind) in [
            ("home/l/x", EntryType::Regular),
            ("home/l", EntryType::Directory),
            ("home/l/x/", EntryType::Directory),
            ("home/l/x/y", EntryType::Fifo),
        ] {
            let archive = Forged::new().with("home/l", EntryType::Symlink, target, b"");
            let why = refusal(&archive.with(name, kind, "", b"").end());
            assert_eq!(
                why,
                format!("refused {name}: its name leads through something that is no directory")
            );
        }
        let archive = Forged::new().with("home/l", EntryType::Symlink, target, b"");
        let why = refusal(&archive.with("home/l", EntryType::Regular, "", b"x").end());
        assert_eq!(why, "refused home/l: there is another of that name");
    }
}

#[test]
fn further_names_stay_in_their_volume() {
    for target in [
        "outside/secret",
        "/etc/passwd",
        "home/../outside/secret",
        "../outside/secret",
        "",
        "workspace/x",
    ] {
        let why = refused("home/x", EntryType::Link, target, b"");
        assert_eq!(
            why, "refused home/x: it links to something outside of its volume",
            "{target}"
        );
    }
    let archive = Forged::new().with("home/l", EntryType::Symlink, "../outside", b"");
    let archive = archive.with("home/x", EntryType::Link, "home/l/secret", b"");
    let why = "refused home/x: its name leads through something that is no directory";
    assert_eq!(refusal(&archive.end()), why);
    let why = "refused home/x: it links to a volume itself";
    assert_eq!(refused("home/x", EntryType::Link, "home", b""), why);
    let archive = Forged::new().with("home/d", EntryType::Directory, "", b"");
    let archive = archive.with("home/x", EntryType::Link, "home/d", b"");
    assert_eq!(
        refusal(&archive.end()),
        "refused home/x: it links to a directory"
    );
    // A link to a link is another name of the link, and not of what that leads to.
    let volumes = Volumes::new();
    let archive = Forged::new().with("home/l", EntryType::Symlink, "../outside/secret", b"");
    let archive = archive.with("home/x", EntryType::Link, "home/l", b"");
    volumes.unpack(&archive.end()[..]).unwrap();
    assert!(volumes.path("home/x").is_symlink());
}

#[test]
fn kinds_and_records_that_are_never_packed_are_refused() {
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::GNUSparse,
        EntryType::XGlobalHeader,
        EntryType::Continuous,
    ] {
        let why = "the archive is not one of ours: an entry is of a kind that is never packed";
        assert_eq!(refused("home/x", kind, "", b""), why);
    }
    let record = |key: &str, value: &[u8]| {
        let mut record = Vec::new();
        pax::push_record(&mut record, key, value);
        record
    };
    for record in [
        record("path", b"/etc/passwd"),
        record("uid", b"1000"),
        record("size", b"1"),
        record("mtime", b"1.x"),
        record("SCHILY.xattr.trusted.x", b"x"),
        record("SCHILY.xattr.user.\0", b"x"),
        record("GNU.sparse.realsize", b"100"),
        b"1 x\n".to_vec(),
        b"99999999999999999999 x\n".to_vec(),
    ] {
        let archive = Forged::new().with("x", EntryType::XHeader, "", &record);
        let why = refusal(&archive.with("home/x", EntryType::Regular, "", b"x").end());
        let strange = "the archive is not one of ours: a record of an entry makes no sense";
        assert_eq!(why, strange, "{}", record.escape_ascii());
    }
    let why = refused("home/x", EntryType::Directory, "", b"x");
    let strange = "the archive is not one of ours: something is in an entry that is no file";
    assert_eq!(why, strange);
    let much = vec![b'x'; 2 << 20];
    let why = refused("x", EntryType::XHeader, "", &much);
    assert_eq!(
        why,
        "the archive is not one of ours: it says too much of one entry"
    );
}

#[test]
fn archive_says_at_its_end_what_is_in_it() {
    const NOT_WHOLE: &str = "the archive is not whole";
    let one = || Forged::new().with("home/x", EntryType::Regular, "", b"abc");
    let end = |files: u64, directories: u64, bytes: u64| {
        let counts = format!("\"files\":{files},\"directories\":{directories},\"bytes\":{bytes}");
        one().end_with(format!("{{{counts},\"skipped\":5}}").as_bytes())
    };
    let volumes = Volumes::new();
    assert_eq!(volumes.unpack(&end(1, 2, 3)[..]).unwrap().skipped, 5);
    for (files, directories, bytes) in [(0, 2, 3), (2, 2, 3), (1, 1, 3), (1, 2, 4)] {
        assert_eq!(refusal(&end(files, directories, bytes)), NOT_WHOLE);
    }
    for nonsense in [&b""[..], b"{}", b"null", &[b' '; 5000]] {
        let why = refusal(&one().end_with(nonsense));
        assert_eq!(why, "the archive is not one of ours: its end says nothing");
    }
    let nothing = Forged::default().end();
    assert_eq!(refusal(&nothing), NOT_WHOLE);
    let after = one().with(
        "kalpana-end",
        EntryType::Regular,
        "",
        b"{\"files\":1,\"directories\":2,\"bytes\":3,\"skipped\":0}",
    );
    let why = "the archive is not one of ours: something comes after its end";
    assert_eq!(refusal(&after.end()), why);
    let mut longer = one().end();
    longer.extend_from_slice(&[0; 10240]);
    assert!(Volumes::new().unpack(&longer[..]).is_ok());
    longer.push(1);
    assert_eq!(refusal(&longer), why);
}

/// An archive with everything in it, made by `pack`.
fn packed() -> Vec<u8> {
    let volumes = Volumes::new();
    volumes.write("workspace/a", "a".repeat(3000));
    volumes.write(&format!("workspace/{}", "n".repeat(200)), "long");
    std::fs::hard_link(volumes.path("workspace/a"), volumes.path("workspace/b")).unwrap();
    std::os::unix::fs::symlink("x".repeat(200), volumes.path("home/l")).unwrap();
    std::fs::create_dir_all(volumes.path("home/d/e")).unwrap();
    let sparse = std::fs::File::create(volumes.path("home/d/sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"x", 1 << 19).unwrap();
    volumes.pack().0
}

#[test]
fn archive_that_is_cut_off_anywhere_is_not_whole() {
    let archive = packed();
    let volumes = Volumes::new();
    let cuts = (0..archive.len()).step_by(512);
    for length in cuts.chain([1, 511, 513, archive.len() - 1]) {
        let error = volumes.unpack(&archive[..length]).unwrap_err();
        assert!(
            matches!(error, UnpackError::NotWhole),
            "{length}: {error:?}"
        );
    }
    volumes.assert_outside_is_untouched();
    volumes.unpack(&archive[..]).unwrap();
}

#[test]
fn nothing_that_is_no_archive_costs_what_was_there() {
    let volumes = Volumes::new();
    volumes.write("home/work", "work");
    for nothing in [&b""[..], b"nothing", &[0; 1024], &[b'x'; 4096]] {
        assert!(volumes.unpack(nothing).is_err());
        assert_eq!(names(&volumes.path("home")), ["work"]);
    }
}

#[test]
fn random_bytes_are_no_reason_to_panic() {
    let archive = packed();
    let volumes = Volumes::new();
    for seed in 0..300_u16 {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&seed.to_le_bytes());
        let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut broken = archive.clone();
        for _ in 0..=seed % 8 {
            let at = random.next_u32() as usize % broken.len();
            // Most changes are in headers, whose sums are made right again, so that they count.
            let block = at / 512 * 512;
            let within = random.next_u32() as usize % 345;
            broken[block + within] = random.next_u32() as u8;
            fix_sum(&mut broken[block..block + 512]);
        }
        // Whether it is refused depends on what was hit.
        let _ = volumes.unpack(&broken[..]);
        volumes.assert_outside_is_untouched();
        let mut noise = vec![0; 5000];
        random.fill_bytes(&mut noise);
        assert!(volumes.unpack(&noise[..]).is_err());
    }
}

/// Makes the sum of a header right, if it may be one.
fn fix_sum(block: &mut [u8]) {
    if &block[257..262] != b"ustar" {
        return;
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}
