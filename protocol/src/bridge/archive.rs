//! The end of an archive of a workspace's volumes, which says what has to be in it.

use serde::{Deserialize, Serialize};

/// The name of the last entry: a regular file with an [`ArchiveEnd`] in JSON. An archive without it
/// was cut off.
pub const END_NAME: &str = "kalpana-end";

/// What the entries before the last one are.
///
/// Not to be trusted more than the archive: it tells a whole one from a part, and nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveEnd {
    /// Entries that are no directories: regular files, symbolic links, further names of either, and
    /// fifos.
    pub files: u64,
    /// Directories, the two roots among them.
    pub directories: u64,
    /// Sizes of the regular files, holes included; further names of a file add nothing.
    pub bytes: u64,
    /// Entries that were there and are not in the archive, or not as they were, because they could
    /// not be read. A directory that could not be read counts once, whatever is in it.
    pub skipped: u64,
}
