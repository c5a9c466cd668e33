//! System users, directories, and becoming somebody with fewer rights.
//!
//! Started by root, each role has its own user, and the groups below say who may meet where:
//! `kal-store` holds those who open the database, `kal-run` those who meet in the run directory.
//! The gateway is not in `kal-store`: what faces the outside cannot read the accounts.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};
use kalpana_config::{Config, Site};
use nix::unistd::{Gid, Group, Uid, User, chown, setgid, setgroups, setuid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::role::Role;

const STORE_GROUP: &str = "kal-store";
const RUN_GROUP: &str = "kal-run";

/// Tells whether this process is root's.
pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Resolves the site for this process.
///
/// # Errors
/// If its directories cannot be decided.
pub(crate) fn site(config: &Config) -> anyhow::Result<Site> {
    let home = std::env::var_os("HOME").map(std::path::PathBuf::from);
    Ok(Site::resolve(config, is_root(), home.as_deref())?)
}

/// Makes the system users and groups that are missing. Needs root.
///
/// # Errors
/// If `groupadd` or `useradd` fails.
pub(crate) fn ensure_users() -> anyhow::Result<()> {
    for group in [STORE_GROUP, RUN_GROUP] {
        if Group::from_name(group)?.is_none() {
            run("groupadd", &["--system", group])?;
        }
    }
    for role in Role::ALL {
        if User::from_name(role.user())?.is_none() {
            let arguments = ["--system", "--user-group", "--no-create-home", "--shell"];
            run(
                "useradd",
                &[&arguments[..], &["/usr/sbin/nologin", role.user()]].concat(),
            )?;
        }
    }
    Ok(())
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| {
            format!("cannot run {program}\nhint: install the Debian package passwd")
        })?;
    if !output.status.success() {
        bail!(
            "{program} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// A directory as the roles need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Whose it is.
    pub(crate) owner: Uid,
    /// Whose group it is.
    pub(crate) group: Gid,
    /// Who may do what in it.
    pub(crate) mode: u32,
}

/// Returns the site's directories, each before those below it.
///
/// # Errors
/// If a system user or group is missing, where this process is root's.
pub(crate) fn directories(site: &Site) -> anyhow::Result<Vec<Directory>> {
    let (own_user, own_group) = (Uid::effective(), Gid::effective());
    let user = |role: Role| {
        if is_root() {
            user_of(role).map(|user| user.uid)
        } else {
            Ok(own_user)
        }
    };
    let group = |name: &str| {
        if is_root() {
            group_named(name)
        } else {
            Ok(own_group)
        }
    };
    let store = site
        .store_path()
        .parent()
        .context("store.path names no directory")?
        .to_owned();
    let shared = if is_root() { 0o755 } else { 0o700 };
    let (gateway, web) = (user(Role::Gateway)?, user(Role::Web)?);
    let orchestrator = user(Role::Orchestrator)?;
    let (in_store, in_run) = (group(STORE_GROUP)?, group(RUN_GROUP)?);
    let public = site.data_dir.join("public");
    let all = [
        (site.data_dir.clone(), own_user, own_group, shared),
        (site.gateway_dir(), gateway, own_group, 0o700),
        (site.web_dir(), web, own_group, 0o700),
        (site.orchestrator_dir(), orchestrator, own_group, 0o700),
        (public, gateway, own_group, 0o755),
        (store, web, in_store, 0o2770),
        // Sticky: who may make a socket here may not replace another's.
        (site.run_dir.clone(), own_user, in_run, 0o3770),
        // Who may pass is decided by each workspace's own directory.
        (site.workspaces_run_dir(), orchestrator, in_run, 0o755),
    ];
    let all = all.into_iter();
    Ok(all
        .map(|(path, owner, group, mode)| Directory {
            path,
            owner,
            group,
            mode,
        })
        .collect())
}

/// Makes the site's directories, each with the owner and mode that the roles need.
///
/// # Errors
/// If one cannot be made, named with the setting that moves it.
pub(crate) fn prepare_directories(site: &Site) -> anyhow::Result<()> {
    for directory in directories(site)? {
        prepare(&directory)?;
    }
    Ok(())
}

fn prepare(directory: &Directory) -> anyhow::Result<()> {
    let Directory {
        path,
        owner,
        group,
        mode,
    } = directory;
    let failed = || {
        format!(
            "cannot prepare the directory {}\n\
             hint: make it writable for this user, or set server.data_dir (or KALPANA_SERVER__DATA_DIR) to one that is",
            path.display()
        )
    };
    std::fs::create_dir_all(path).with_context(failed)?;
    let now = std::fs::metadata(path).with_context(failed)?;
    if (now.uid(), now.gid()) != (owner.as_raw(), group.as_raw()) {
        chown(path, Some(*owner), Some(*group)).with_context(failed)?;
    }
    if now.permissions().mode() & 0o7777 != *mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode))
            .with_context(failed)?;
    }
    Ok(())
}

fn user_of(role: Role) -> anyhow::Result<User> {
    User::from_name(role.user())?
        .with_context(|| format!("there is no system user {}", role.user()))
}

fn group_named(name: &str) -> anyhow::Result<Gid> {
    let group = Group::from_name(name)?;
    Ok(group
        .with_context(|| format!("there is no system group {name}"))?
        .gid)
}

/// Returns the user id that a role's processes have: its own user's when this process started as
/// root or is one of the role users, else this process's own.
pub(crate) fn uid_of(role: Role) -> u32 {
    let own = Uid::effective();
    match user_of(role) {
        Ok(user) if has_role_users(own) => user.uid.as_raw(),
        _ => own.as_raw(),
    }
}

/// Tells whether roles are told apart by their users, which is the stronger check.
pub(crate) fn has_role_users(own: Uid) -> bool {
    own.is_root()
        || Role::ALL
            .into_iter()
            .any(|role| user_of(role).is_ok_and(|user| user.uid == own))
}

/// Returns the group whose members meet in the run directory: the container's root among them.
pub(crate) fn run_gid() -> u32 {
    match group_named(RUN_GROUP) {
        Ok(gid) if has_role_users(Uid::effective()) => gid.as_raw(),
        _ => Gid::effective().as_raw(),
    }
}

/// Becomes the role's user for good, when this process is root's. Must run before any thread.
///
/// # Errors
/// If the users are missing or the system refuses.
pub(crate) fn become_role(role: Role, config: &Config) -> anyhow::Result<()> {
    if !is_root() {
        return keep_from_packet_filter(role, config);
    }
    let user = user_of(role)?;
    let mut groups = vec![user.gid, group_named(RUN_GROUP)?];
    if role != Role::Gateway {
        groups.push(group_named(STORE_GROUP)?);
    }
    if role == Role::Orchestrator
        && let Ok(socket) = std::fs::metadata(&config.orchestrator.engine_socket)
    {
        // Whoever may talk to the engine is root in all but name; this role alone may.
        groups.push(Gid::from_raw(socket.gid()));
    }
    setgroups(&groups).context("cannot set the role's groups")?;
    setgid(user.gid).context("cannot set the role's group")?;
    let own = rustix::thread::capabilities(None).context("cannot read capabilities")?;
    let kept = match role {
        Role::Gateway => CapabilitySet::NET_BIND_SERVICE,
        // A root that lacks it, as in a container, starts the orchestrator all the same. Whoever may
        // use the engine is root in all but name, so this adds nothing to what the role could do.
        Role::Orchestrator if config.orchestrator.firewall != "off" => {
            own.permitted & CapabilitySet::NET_ADMIN
        }
        _ => CapabilitySet::empty(),
    };
    rustix::thread::set_keep_capabilities(!kept.is_empty()).context("cannot keep capabilities")?;
    setuid(user.uid).context("cannot become the role's user")?;
    // The packet filter is set by a program that the orchestrator runs, which has to inherit it.
    let passed_on = kept & CapabilitySet::NET_ADMIN;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: passed_on,
    };
    rustix::thread::set_capabilities(None, sets).context("cannot drop capabilities")?;
    if !passed_on.is_empty() {
        rustix::thread::configure_capability_in_ambient_set(passed_on, true)
            .context("cannot pass a capability on")?;
    }
    rustix::thread::set_no_new_privs(true).context("cannot forbid new privileges")
}

/// Takes the right to change the packet filter, which another user may have been given for the
/// orchestrator's sake, from every other role: they are children of one process, and inherit it.
fn keep_from_packet_filter(role: Role, config: &Config) -> anyhow::Result<()> {
    if role == Role::Orchestrator && config.orchestrator.firewall != "off" {
        return Ok(());
    }
    let own = rustix::thread::capabilities(None).context("cannot read capabilities")?;
    let without = CapabilitySets {
        effective: own.effective - CapabilitySet::NET_ADMIN,
        permitted: own.permitted - CapabilitySet::NET_ADMIN,
        // What is not inheritable is not ambient either.
        inheritable: own.inheritable - CapabilitySet::NET_ADMIN,
    };
    rustix::thread::set_capabilities(None, without).context("cannot drop a capability")
}

/// Makes the calling thread alone the role's, as sockets and files see it, when this process is
/// root's: its user, and the group of those who meet in the run directory. The other threads stay
/// what they are.
///
/// # Errors
/// If the users are missing or the system refuses.
pub(crate) fn lend_thread(role: Role) -> anyhow::Result<()> {
    use rustix::thread;
    if !is_root() {
        return Ok(());
    }
    let user = user_of(role)?;
    let uid = rustix::process::Uid::from_raw(user.uid.as_raw());
    let own_gid = rustix::process::Gid::from_raw(user.gid.as_raw());
    let run_gid = rustix::process::Gid::from_raw(group_named(RUN_GROUP)?.as_raw());
    thread::set_thread_groups(&[own_gid, run_gid]).context("cannot set a thread's groups")?;
    thread::set_thread_res_gid(own_gid, own_gid, own_gid).context("cannot set a thread's group")?;
    thread::set_thread_res_uid(uid, uid, uid).context("cannot set a thread's user")
}
