//! What an archive says of one entry besides its name and what is in it.

use rustix::fs::{Stat, Timespec, Timestamps, UTIME_OMIT};

/// The bits of a mode that are kept: permissions, setuid, setgid, sticky.
pub const MODE_BITS: u32 = 0o7777;

/// An entry's owner, mode, time and attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The permissions, within [`MODE_BITS`].
    pub mode: u32,
    /// The user it belongs to.
    pub uid: u32,
    /// The group it belongs to.
    pub gid: u32,
    /// When its contents changed last.
    pub modified: Modified,
    /// Extended attributes `user.*`, by name.
    pub attributes: Vec<(String, Vec<u8>)>,
}

/// A moment as file systems have them: before 1970 too, and to the nanosecond.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Modified {
    /// Whole seconds since 1970, rounded down.
    pub seconds: i64,
    /// What comes on top of them, less than a second.
    pub nanoseconds: u32,
}

impl Meta {
    /// Returns what the kernel says, without attributes.
    pub fn of(stat: &Stat) -> Self {
        Self {
            mode: stat.st_mode & MODE_BITS,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: Modified {
                seconds: stat.st_mtime,
                nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or_default(),
            },
            attributes: Vec::new(),
        }
    }
}

impl Modified {
    /// Returns what sets this time, and leaves the time of the last access alone.
    pub fn timestamps(self) -> Timestamps {
        Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: self.seconds,
                tv_nsec: self.nanoseconds.into(),
            },
        }
    }
}
