//! Whether the site's directories are there, and whose they are.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use kalpana_config::Site;
use nix::unistd::{Gid, Group, Uid, User};

use super::runner::aside;
use super::verdict::Verdict;
use crate::privilege::{self, Directory};

const CHECK: &str = "directories";

/// Where a site that root runs keeps everything.
const ROOTS_OWN: &str = "/var/lib/kalpana";

/// What was seen where a directory should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Missing,
    /// This process may not look.
    Hidden,
    /// Something else is there.
    NoDirectory,
    There {
        owner: Uid,
        group: Gid,
        mode: u32,
    },
    /// The disk failed.
    Unreadable,
}

/// Looks at every directory.
pub(super) async fn look(site: &Site) -> Vec<Verdict> {
    let wanted = match privilege::directories(site) {
        Ok(wanted) => wanted,
        Err(error) => {
            return vec![Verdict::failed(
                CHECK,
                "users_missing",
                format!("{error:#}"),
                "`kalpana up`, started by root, makes the system's users at its first start.",
            )];
        }
    };
    let seen = aside(move || {
        let seen = wanted.into_iter().map(|wanted| {
            let seen = see(&wanted.path);
            (wanted, seen)
        });
        seen.collect::<Vec<_>>()
    });
    let is_roots_here = !privilege::is_root() && Path::new(ROOTS_OWN).exists();
    judge(site, &seen.await.unwrap_or_default(), is_roots_here)
}

fn see(path: &Path) -> Seen {
    match std::fs::metadata(path) {
        Ok(now) if now.is_dir() => Seen::There {
            owner: Uid::from_raw(now.uid()),
            group: Gid::from_raw(now.gid()),
            mode: now.permissions().mode() & 0o7777,
        },
        Ok(_) => Seen::NoDirectory,
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound => Seen::Missing,
            std::io::ErrorKind::PermissionDenied => Seen::Hidden,
            std::io::ErrorKind::NotADirectory => Seen::NoDirectory,
            _ => Seen::Unreadable,
        },
    }
}

fn judge(site: &Site, all: &[(Directory, Seen)], is_roots_here: bool) -> Vec<Verdict> {
    let data = all.iter().find(|(wanted, _)| wanted.path == site.data_dir);
    if let Some((_, Seen::Missing)) = data {
        let next_step = if is_roots_here {
            format!(
                "Root runs a site in {ROOTS_OWN}: run this as root to look at that one. Otherwise \
                 `kalpana up` makes the directory."
            )
        } else {
            "`kalpana up` makes it. If there was a site before, server.data_dir (or the user that \
             this runs as) is another now."
                .to_owned()
        };
        let message = format!("there is no data directory {}", site.data_dir.display());
        return vec![Verdict::failed(
            CHECK,
            "data_directory_missing",
            message,
            next_step,
        )];
    }
    let wrong: Vec<Verdict> = all
        .iter()
        .filter_map(|(wanted, seen)| judge_one(wanted, *seen))
        .collect();
    if wrong.is_empty() {
        let message = format!(
            "{} and the {} below it belong to whom they should",
            site.data_dir.display(),
            all.len().saturating_sub(1)
        );
        return vec![Verdict::ok(CHECK, message)];
    }
    wrong
}

fn judge_one(wanted: &Directory, seen: Seen) -> Option<Verdict> {
    let path = wanted.path.display();
    let repairs = format!(
        "Start Kalpana anew, which puts it right, or: {}",
        command(wanted)
    );
    let (owner, group, mode) = match seen {
        Seen::There { owner, group, mode } => (owner, group, mode),
        Seen::Missing => {
            return Some(Verdict::failed(
                CHECK,
                "directory_missing",
                format!("{path} is missing"),
                "`kalpana up` makes it at its start; if it held something, restore it from a backup \
                 first.",
            ));
        }
        Seen::Hidden => {
            return Some(Verdict::skipped(
                CHECK,
                "not_allowed",
                format!("{path} cannot be looked at by this user"),
                "Run this as root, or as the user that runs Kalpana.",
            ));
        }
        Seen::NoDirectory => {
            return Some(Verdict::failed(
                CHECK,
                "not_a_directory",
                format!("{path} is no directory"),
                "Move away what is there, or set server.data_dir elsewhere.",
            ));
        }
        Seen::Unreadable => {
            return Some(Verdict::failed(
                CHECK,
                "directory_unreadable",
                format!("the disk does not give {path} back"),
                "Look at the system's log (`dmesg`) for errors of the disk.",
            ));
        }
    };
    if (owner, group) != (wanted.owner, wanted.group) {
        let message = format!(
            "{path} belongs to {}:{} instead of {}:{}",
            user_name(owner),
            group_name(group),
            user_name(wanted.owner),
            group_name(wanted.group)
        );
        return Some(Verdict::failed(CHECK, "directory_owner", message, repairs));
    }
    let message = format!(
        "{path} has the mode {mode:04o} instead of {:04o}",
        wanted.mode
    );
    if wanted.mode & !mode != 0 {
        return Some(Verdict::failed(CHECK, "directory_mode", message, repairs));
    }
    // Beyond what the roles need: nothing stops working, and somebody may read what they should not.
    (mode != wanted.mode).then(|| Verdict::warning(CHECK, "directory_exposed", message, repairs))
}

fn command(wanted: &Directory) -> String {
    format!(
        "chown {}:{} {path} && chmod {:04o} {path}",
        user_name(wanted.owner),
        group_name(wanted.group),
        wanted.mode,
        path = wanted.path.display()
    )
}

fn user_name(uid: Uid) -> String {
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

fn group_name(gid: Gid) -> String {
    let group = Group::from_gid(gid).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}

#[cfg(test)]
mod tests {
    use kalpana_config::Config;

    use super::*;
    use crate::command::doctor::verdict::Status;

    fn site() -> Site {
        let mut config = Config::default();
        config.server.data_dir = Some("/d".into());
        Site::resolve(&config, false, None).expect("resolved")
    }

    fn wanted(path: &str) -> Directory {
        Directory {
            path: path.into(),
            owner: Uid::from_raw(4_000_001),
            group: Gid::from_raw(4_000_002),
            mode: 0o700,
        }
    }

    fn there(owner: u32, group: u32, mode: u32) -> Seen {
        Seen::There {
            owner: Uid::from_raw(owner),
            group: Gid::from_raw(group),
            mode,
        }
    }

    fn judged(seen: Seen) -> (Status, Option<String>) {
        let data = (wanted("/d"), there(4_000_001, 4_000_002, 0o700));
        let verdicts = judge(&site(), &[data, (wanted("/d/web"), seen)], false);
        assert_eq!(verdicts.len(), 1, "{verdicts:?}");
        let code = verdicts[0].code.as_deref().map(ToOwned::to_owned);
        (verdicts[0].status, code)
    }

    #[test]
    fn a_directory_is_as_the_roles_need_it_or_it_is_said_what_is_not() {
        let right = judged(there(4_000_001, 4_000_002, 0o700));
        assert_eq!(right, (Status::Ok, None));
        for (seen, status, code) in [
            (Seen::Missing, Status::Failed, "directory_missing"),
            (Seen::Hidden, Status::Skipped, "not_allowed"),
            (Seen::NoDirectory, Status::Failed, "not_a_directory"),
            (Seen::Unreadable, Status::Failed, "directory_unreadable"),
            (
                there(0, 4_000_002, 0o700),
                Status::Failed,
                "directory_owner",
            ),
            (
                there(4_000_001, 0, 0o700),
                Status::Failed,
                "directory_owner",
            ),
            (
                there(4_000_001, 4_000_002, 0o500),
                Status::Failed,
                "directory_mode",
            ),
            (
                there(4_000_001, 4_000_002, 0o755),
                Status::Warning,
                "directory_exposed",
            ),
        ] {
            assert_eq!(judged(seen), (status, Some(code.to_owned())), "{seen:?}");
        }
    }

    #[test]
    fn the_command_that_repairs_it_is_said() {
        let wrong = judge_one(&wanted("/d/web"), there(4_000_001, 4_000_002, 0o755));
        let next_step = wrong.and_then(|verdict| verdict.next_step).expect("wrong");
        assert!(
            next_step.ends_with("chown 4000001:4000002 /d/web && chmod 0700 /d/web"),
            "{next_step}"
        );
    }

    #[test]
    fn a_missing_data_directory_is_said_once_and_roots_site_is_named() {
        let all = [
            (wanted("/d"), Seen::Missing),
            (wanted("/d/web"), Seen::Missing),
        ];
        let alone = judge(&site(), &all, false);
        assert_eq!(alone.len(), 1);
        assert!(alone[0].is("data_directory_missing"));
        let beside = judge(&site(), &all, true);
        let next_step = beside[0].next_step.as_deref().unwrap_or_default();
        assert!(next_step.contains("run this as root"), "{next_step}");
    }
}
