//! Makes the directories ready before anything runs.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Uid};

use crate::settings::Settings;

/// Makes the editor's socket directory, and gives the roots of the volumes to the workspace's
/// user.
///
/// The bridge is root without the right to override permissions, and the editor is not root; both
/// must reach one socket that nobody else may. So the directory belongs to root and to the user's
/// group, closed to others, and the socket in it is open to all who get that far.
///
/// # Errors
/// If a directory is not what it should be and cannot be made so.
pub(super) fn directories(settings: &Settings) -> io::Result<()> {
    let editor = settings.editor_dir();
    directory(&settings.runtime_dir, 0o755)?;
    directory(&editor, 0o700)?;
    if !settings.keeps_user {
        let gid = settings.launch.gid;
        rustix::fs::chownat(
            CWD,
            &editor,
            None,
            Some(Gid::from_raw(gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        std::fs::set_permissions(&editor, Permissions::from_mode(0o770))?;
        give(&settings.root, settings)?;
        give(Path::new(&settings.launch.home), settings)?;
    }
    Ok(())
}

fn directory(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(named(path, &error));
        }
        _ => {}
    }
    let found = path.symlink_metadata()?;
    if found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "{} is not a directory of the bridge's own",
            path.display()
        )))
    }
}

/// Gives a directory to the workspace's user; not what is in it, which may be much and is theirs
/// already.
fn give(path: &Path, settings: &Settings) -> io::Result<()> {
    let (uid, gid) = (settings.launch.uid, settings.launch.gid);
    let found = path
        .symlink_metadata()
        .map_err(|error| named(path, &error))?;
    if !found.is_dir() {
        return Err(io::Error::other(format!(
            "{} is not a directory",
            path.display()
        )));
    }
    if found.uid() != uid {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| named(path, &error.into()))?;
    }
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
