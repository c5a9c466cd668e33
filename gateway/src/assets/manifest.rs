//! The list by which a workspace image vouches for the files that its editor serves to browsers.
//!
//! `images/workspace/assets.sh` writes it: first where the files are, `root /stable-<commit>/static/`,
//! then a line for each, `<sha256> <bytes> <path>`. Its own hash is a label of the image.

use std::collections::HashMap;
use std::fmt;

use aws_lc_rs::digest;

/// Where an editor serves the list, below its static root.
pub const PATH: &str = "out/kalpana-assets.txt";

/// Longest list that is read. code-server's has less than a megabyte.
pub const LIMIT_BYTES: u32 = 4 << 20;

/// Hexadecimal digits of the commit in a static root.
const COMMIT_DIGITS: usize = 40;

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Reads 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut bytes = [0; 32];
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }

    /// Returns the hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, bytes);
        Self(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({self})")
    }
}

/// A path below an editor's static root, in its two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// `/stable-<commit>/static/`.
    pub root: &'a str,
    /// The rest, as it was asked for: nothing is decoded or made shorter, so that what is not
    /// written exactly as on a list is not on it.
    pub path: &'a str,
}

impl<'a> Place<'a> {
    /// Takes a request's path apart. `None` when it is not below a static root.
    pub fn parse(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/stable-")?;
        let (commit, rest) = rest.split_at_checked(COMMIT_DIGITS)?;
        let is_commit = commit
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let below = rest.strip_prefix("/static/")?;
        let (root, path) = path.split_at(path.len() - below.len());
        is_commit.then_some(Self { root, path })
    }
}

/// What a list says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Its hash.
    pub hash: Digest,
    /// Its length.
    pub bytes: u32,
}

/// A list is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    /// It is not text.
    #[error("the list of files is not UTF-8")]
    Encoding,
    /// It does not begin with a static root.
    #[error("the list of files names no root")]
    Root,
    /// A line is none.
    #[error("line {number} of the list of files makes no sense")]
    Line {
        /// Which, from one.
        number: usize,
    },
}

/// A list.
#[derive(Debug)]
pub struct Manifest {
    root: Box<str>,
    files: HashMap<Box<str>, File>,
}

impl Manifest {
    /// Reads a list.
    ///
    /// # Errors
    /// [`InvalidManifest`].
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidManifest::Encoding)?;
        let mut lines = text.lines();
        let root = lines
            .next()
            .and_then(|line| line.strip_prefix("root "))
            .filter(|root| Place::parse(root).is_some_and(|place| place.path.is_empty()))
            .ok_or(InvalidManifest::Root)?;
        let mut files = HashMap::new();
        for (index, line) in lines.enumerate() {
            let invalid = || InvalidManifest::Line { number: index + 2 };
            let (hash, rest) = line.split_once(' ').ok_or_else(invalid)?;
            let (bytes, path) = rest.split_once(' ').ok_or_else(invalid)?;
            let file = File {
                hash: Digest::parse(hash).ok_or_else(invalid)?,
                bytes: bytes.parse().map_err(|_| invalid())?,
            };
            files.insert(Box::from(path), file);
        }
        Ok(Self {
            root: Box::from(root),
            files,
        })
    }

    /// Returns what the list says of a place.
    pub fn find(&self, place: Place<'_>) -> Option<File> {
        if place.root != &*self.root {
            return None;
        }
        self.files.get(place.path).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOT: &str = "/stable-53c2f3253bcf32886706fc023e794bbeb253c90f/static/";

    #[test]
    fn a_list_says_what_its_files_are() {
        let hash = Digest::of(b"alert(1)");
        let text = format!("root {ROOT}\n{hash} 8 out/a.js\n{hash} 8 out/b c.js\n");
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let find = |path: &str| manifest.find(Place { root: ROOT, path });
        assert_eq!(find("out/a.js"), Some(File { hash, bytes: 8 }));
        assert_eq!(find("out/b c.js"), Some(File { hash, bytes: 8 }));
        assert_eq!(find("out/../out/a.js"), None);
        let root = "/stable-00c2f3253bcf32886706fc023e794bbeb253c90f/static/";
        let path = "out/a.js";
        assert_eq!(manifest.find(Place { root, path }), None, "another commit");
    }

    #[test]
    fn a_list_that_makes_no_sense_says_where() {
        let parse = |text: &str| Manifest::parse(text.as_bytes()).unwrap_err();
        let hash = Digest::of(b"");
        assert_eq!(parse(""), InvalidManifest::Root);
        assert_eq!(parse("root /elsewhere/"), InvalidManifest::Root);
        assert_eq!(parse(&format!("root {ROOT}out/")), InvalidManifest::Root);
        for line in [
            String::new(),
            format!("{hash}"),
            format!("{hash} x out/a.js"),
            format!("{hash} 99999999999 out/a.js"),
            "00 8 out/a.js".to_owned(),
        ] {
            let text = format!("root {ROOT}\n{hash} 0 out/empty\n{line}\n");
            assert_eq!(
                parse(&text),
                InvalidManifest::Line { number: 3 },
                "{line:?}"
            );
        }
        let bytes = [b"root \xff".as_slice(), ROOT.as_bytes()].concat();
        assert_eq!(
            Manifest::parse(&bytes).unwrap_err(),
            InvalidManifest::Encoding
        );
    }

    #[test]
    fn only_what_is_below_a_static_root_is_a_place() {
        let path = format!("{ROOT}out/a.js");
        let expected = Place {
            root: ROOT,
            path: "out/a.js",
        };
        assert_eq!(Place::parse(&path), Some(expected));
        for other in [
            "/",
            "/stable-53c2/static/out/a.js",
            "/stable-53C2F3253BCF32886706FC023E794BBEB253C90F/static/out/a.js",
            "/stable-53c2f3253bcf32886706fc023e794bbeb253c90f/vscode-remote-resource",
            "/stable-53c2f3253bcf32886706fc023e794bbeb253c90é/static/a",
        ] {
            assert_eq!(Place::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_hash_is_written_as_it_is_read() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), text);
        assert_eq!(Digest::parse(text), Some(Digest::of(b"")));
        assert_eq!(Digest::parse(&text.to_uppercase()), None);
        assert_eq!(Digest::parse(&text[1..]), None);
    }

    proptest! {
        #[test]
        fn no_list_and_no_path_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), path in ".{0,80}") {
            let _ = Manifest::parse(&bytes);
            let text = format!("root {ROOT}\n{path}");
            let _ = Manifest::parse(text.as_bytes());
            let _ = Place::parse(&path);
            let _ = Place::parse(&format!("/stable-{path}"));
        }
    }
}
