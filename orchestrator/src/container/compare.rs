//! What the engine really did, against what it was asked.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{HostConfig, MountType};

use super::ContainerDefinition;
use crate::engine::Inspection;

/// The engine did not apply what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}, asked was {wanted}")]
pub(crate) struct Mismatch {
    /// The field.
    pub(crate) field: &'static str,
    /// What was asked.
    pub(crate) wanted: String,
    /// What is.
    pub(crate) found: String,
}

/// Compares a container with its definition, in all that isolates it.
///
/// # Errors
/// The first [`Mismatch`] found.
pub(crate) fn compare(
    definition: &ContainerDefinition,
    found: &Inspection,
) -> Result<(), Mismatch> {
    let default = HostConfig::default();
    let wanted = definition.body.host_config.as_ref().unwrap_or(&default);
    let host = &found.host;
    same("User", definition.body.user.as_ref(), Some(&found.user))?;
    same("Privileged", on(wanted.privileged), on(host.privileged))?;
    same(
        "CapAdd",
        capabilities(wanted.cap_add.as_ref()),
        capabilities(host.cap_add.as_ref()),
    )?;
    same(
        "CapDrop",
        capabilities(wanted.cap_drop.as_ref()),
        capabilities(host.cap_drop.as_ref()),
    )?;
    same(
        "SecurityOpt",
        security_options(wanted.security_opt.as_ref()),
        security_options(host.security_opt.as_ref()),
    )?;
    same(
        "GroupAdd",
        options(wanted.group_add.as_ref()),
        options(host.group_add.as_ref()),
    )?;
    same(
        "NetworkMode",
        text(&wanted.network_mode),
        text(&host.network_mode),
    )?;
    same(
        "Networks",
        &[text(&wanted.network_mode)][..],
        &found
            .networks
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()[..],
    )?;
    same("IpcMode", text(&wanted.ipc_mode), text(&host.ipc_mode))?;
    same("PidMode", text(&wanted.pid_mode), text(&host.pid_mode))?;
    same("UTSMode", text(&wanted.uts_mode), text(&host.uts_mode))?;
    same(
        "UsernsMode",
        text(&wanted.userns_mode),
        text(&host.userns_mode),
    )?;
    same("CgroupnsMode", wanted.cgroupns_mode, host.cgroupns_mode)?;
    if wanted.runtime.is_some() {
        same("Runtime", text(&wanted.runtime), text(&host.runtime))?;
    }
    same(
        "Dns",
        options(wanted.dns.as_ref()),
        options(host.dns.as_ref()),
    )?;
    same(
        "ExtraHosts",
        options(wanted.extra_hosts.as_ref()),
        options(host.extra_hosts.as_ref()),
    )?;
    same(
        "Sysctls",
        sorted(wanted.sysctls.as_ref()),
        sorted(host.sysctls.as_ref()),
    )?;
    same(
        "PublishAllPorts",
        on(wanted.publish_all_ports),
        on(host.publish_all_ports),
    )?;
    same(
        "PortBindings",
        0,
        host.port_bindings
            .as_ref()
            .map_or(0, std::collections::HashMap::len),
    )?;
    same("Devices", 0, host.devices.as_ref().map_or(0, Vec::len))?;
    same("Memory", wanted.memory, host.memory)?;
    if wanted.memory_swap.is_some() {
        same("MemorySwap", wanted.memory_swap, host.memory_swap)?;
    }
    same("NanoCpus", wanted.nano_cpus, host.nano_cpus)?;
    same("PidsLimit", wanted.pids_limit, host.pids_limit)?;
    same(
        "OomKillDisable",
        on(wanted.oom_kill_disable),
        on(host.oom_kill_disable),
    )?;
    same("OomScoreAdj", wanted.oom_score_adj, host.oom_score_adj)?;
    same("Ulimits", ulimits(wanted), ulimits(host))?;
    same("ShmSize", wanted.shm_size, host.shm_size)?;
    same(
        "Tmpfs",
        sorted(wanted.tmpfs.as_ref()),
        sorted(host.tmpfs.as_ref()),
    )?;
    mounts(wanted, found)
}

/// Compares what is mounted, so that an image's own `VOLUME` cannot add to it.
fn mounts(wanted: &HostConfig, found: &Inspection) -> Result<(), Mismatch> {
    let wanted: BTreeMap<&str, String> = wanted
        .mounts
        .iter()
        .flatten()
        .map(|mount| {
            let kind = mount
                .typ
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            (
                text(&mount.target),
                format!("{kind} {}", text(&mount.source)),
            )
        })
        .collect();
    let found: BTreeMap<&str, String> = found
        .mounts
        .iter()
        .map(|mount| {
            let kind = mount
                .typ
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            // A volume's source is a directory of the engine's; its name is what we asked for.
            let is_volume = kind == MountType::VOLUME.to_string();
            let source = if is_volume {
                text(&mount.name)
            } else {
                text(&mount.source)
            };
            (text(&mount.destination), format!("{kind} {source}"))
        })
        .filter(|(_, mount)| !mount.starts_with("tmpfs"))
        .collect();
    same("Mounts", wanted, found)
}

fn ulimits(host: &HostConfig) -> BTreeSet<(String, i64, i64)> {
    let limits = host.ulimits.iter().flatten();
    limits
        .map(|limit| {
            let name = limit.name.clone().unwrap_or_default();
            (name, limit.soft.unwrap_or(-1), limit.hard.unwrap_or(-1))
        })
        .collect()
}

/// Engines write capabilities with or without their prefix.
fn capabilities(list: Option<&Vec<String>>) -> BTreeSet<String> {
    let list = list.into_iter().flatten();
    list.map(|name| name.trim_start_matches("CAP_").to_uppercase())
        .collect()
}

/// A profile is a long text, whose hash says as well whether it is the one that was asked for, and
/// leaves room in the message for both.
fn security_options(list: Option<&Vec<String>>) -> BTreeSet<String> {
    let short = |option: &str| match option.split_once('=') {
        Some((name, profile)) if profile.starts_with('{') => {
            format!("{name}={}", super::digest(profile))
        }
        _ => option.to_owned(),
    };
    options(list).into_iter().map(short).collect()
}

fn options(list: Option<&Vec<String>>) -> BTreeSet<&str> {
    list.into_iter().flatten().map(String::as_str).collect()
}

fn sorted(map: Option<&std::collections::HashMap<String, String>>) -> BTreeMap<&str, &str> {
    map.into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

fn on(flag: Option<bool>) -> bool {
    flag.unwrap_or(false)
}

fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

fn same<T: PartialEq + std::fmt::Debug>(
    field: &'static str,
    wanted: T,
    found: T,
) -> Result<(), Mismatch> {
    if wanted == found {
        return Ok(());
    }
    let cut = |value: T| format!("{value:?}").chars().take(200).collect();
    Err(Mismatch {
        field,
        wanted: cut(wanted),
        found: cut(found),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::tests::ordinary;
    use crate::engine::fake::inspection_of;

    #[test]
    fn a_faithful_engine_matches() {
        assert_eq!(compare(&ordinary(), &inspection_of(&ordinary())), Ok(()));
    }

    #[test]
    fn prefixes_of_capabilities_make_no_difference() {
        let mut found = inspection_of(&ordinary());
        for cap in found.host.cap_add.as_mut().unwrap() {
            *cap = format!("CAP_{cap}");
        }
        assert_eq!(compare(&ordinary(), &found), Ok(()));
    }

    /// Each field that isolates, dropped by the engine, is noticed.
    #[test]
    fn every_dropped_field_is_noticed() {
        type Drop = fn(&mut Inspection);
        let drops: [(&str, Drop); 18] = [
            ("CapDrop", |i| i.host.cap_drop = None),
            ("CapAdd", |i| {
                i.host.cap_add.as_mut().unwrap().push("SYS_ADMIN".into());
            }),
            ("SecurityOpt", |i| i.host.security_opt = None),
            ("SecurityOpt", |i| {
                i.host.security_opt.as_mut().unwrap().pop();
            }),
            ("SecurityOpt", |i| {
                let profile = &mut i.host.security_opt.as_mut().unwrap()[1];
                *profile = profile.replace("\"ptrace\"", "\"ptrace\",\"bpf\"");
            }),
            ("PidsLimit", |i| i.host.pids_limit = None),
            ("Memory", |i| i.host.memory = Some(0)),
            ("MemorySwap", |i| i.host.memory_swap = Some(-1)),
            ("NanoCpus", |i| i.host.nano_cpus = None),
            ("Ulimits", |i| i.host.ulimits = None),
            ("IpcMode", |i| i.host.ipc_mode = Some("shareable".into())),
            ("CgroupnsMode", |i| i.host.cgroupns_mode = None),
            ("NetworkMode", |i| {
                i.host.network_mode = Some("bridge".into());
            }),
            ("Networks", |i| i.networks.push("bridge".into())),
            ("Tmpfs", |i| i.host.tmpfs = None),
            ("Sysctls", |i| i.host.sysctls = None),
            ("User", |i| i.user = "dev".into()),
            ("Mounts", |i| {
                let mut extra = i.mounts[0].clone();
                extra.destination = Some("/run/kalpana".into());
                i.mounts.push(extra);
            }),
        ];
        for (field, drop) in drops {
            let mut found = inspection_of(&ordinary());
            drop(&mut found);
            assert_eq!(compare(&ordinary(), &found).expect_err(field).field, field);
        }
    }

    #[test]
    fn a_changed_profile_is_told_by_its_hash() {
        let mut found = inspection_of(&ordinary());
        found.host.security_opt.as_mut().unwrap()[1] = "seccomp={}".into();
        let mismatch = compare(&ordinary(), &found).expect_err("another profile");
        assert_eq!(
            mismatch.found,
            r#"{"no-new-privileges:true", "seccomp=44136fa355b3678a1146ad16f7e8649e"}"#
        );
        assert_ne!(mismatch.wanted, mismatch.found);
    }
}
