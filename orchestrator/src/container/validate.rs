//! The last look before the engine is asked: what no workspace may have, whoever built it.

use std::path::Path;

use bollard::models::{HostConfig, Mount, MountBindOptionsPropagationEnum, MountType};

use super::{CAPABILITIES, ContainerDefinition, ENTRYPOINT, NO_NEW_PRIVILEGES, seccomp};
use crate::{labels, network, volume};

/// A definition asks for what no workspace may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} may not be {found}")]
pub(crate) struct ForbiddenDefinition {
    /// The field.
    pub(crate) field: &'static str,
    /// What it holds.
    pub(crate) found: String,
}

/// Checks a definition against what a workspace may have.
///
/// It lists what is allowed where that is short, and what is forbidden where it is not. It does
/// not know how definitions are built, so that a mistake there does not repeat itself here.
///
/// # Errors
/// The first [`ForbiddenDefinition`] found.
pub(crate) fn validate(definition: &ContainerDefinition) -> Result<(), ForbiddenDefinition> {
    let Some(host) = &definition.body.host_config else {
        return refuse("HostConfig", "absent");
    };
    privileges(host)?;
    namespaces(host, &network::name(definition.workspace))?;
    limits(host)?;
    paths(host, definition)?;
    let body = &definition.body;
    check(
        body.image.as_deref().is_some_and(is_image_name),
        "Image",
        &body.image,
    )?;
    check(is_plain(&definition.name), "name", &definition.name)?;
    check(
        is_empty(body.exposed_ports.as_ref()),
        "ExposedPorts",
        &body.exposed_ports,
    )?;
    check(is_empty(body.volumes.as_ref()), "Volumes", &body.volumes)?;
    check(body.user.as_deref() == Some("0:0"), "User", &body.user)?;
    check(
        body.hostname.as_deref().is_some_and(is_plain),
        "Hostname",
        &body.hostname,
    )?;
    // What the bridge drops privileges for is started by the bridge, or not at all.
    let starts_bridge = body
        .entrypoint
        .as_ref()
        .is_some_and(|program| *program == ENTRYPOINT);
    check(starts_bridge, "Entrypoint", &body.entrypoint)?;
    check(is_empty(body.cmd.as_ref()), "Cmd", &body.cmd)?;
    // A second place to name networks.
    check(
        body.networking_config.is_none(),
        "NetworkingConfig",
        &body.networking_config,
    )?;
    let owner = body.labels.as_ref().and_then(labels::workspace);
    check(owner == Some(definition.workspace), "Labels", &body.labels)?;
    let texts = body
        .labels
        .iter()
        .flatten()
        .flat_map(|(name, value)| [name, value]);
    for text in texts.chain(body.env.iter().flatten()) {
        check(is_one_line(text), "Labels or Env", text)?;
    }
    Ok(())
}

fn privileges(host: &HostConfig) -> Result<(), ForbiddenDefinition> {
    check(
        host.privileged != Some(true),
        "Privileged",
        &host.privileged,
    )?;
    let drops_all = host.cap_drop.as_deref().is_some_and(|caps| caps == ["ALL"]);
    check(drops_all, "CapDrop", &host.cap_drop)?;
    let adds_few = host
        .cap_add
        .iter()
        .flatten()
        .all(|cap| CAPABILITIES.contains(&cap.as_str()));
    check(adds_few, "CapAdd", &host.cap_add)?;
    // Both, and nothing else: an option more could only take something back.
    let mut options: Vec<&str> = host
        .security_opt
        .iter()
        .flatten()
        .map(String::as_str)
        .collect();
    options.sort_unstable();
    check(
        options == [NO_NEW_PRIVILEGES, seccomp::option()],
        "SecurityOpt",
        &host.security_opt,
    )?;
    check(is_empty(host.devices.as_ref()), "Devices", &host.devices)?;
    check(
        is_empty(host.device_requests.as_ref()),
        "DeviceRequests",
        &host.device_requests,
    )?;
    check(
        is_empty(host.device_cgroup_rules.as_ref()),
        "DeviceCgroupRules",
        &host.device_cgroup_rules,
    )?;
    check(
        host.masked_paths.is_none(),
        "MaskedPaths",
        &host.masked_paths,
    )?;
    check(
        host.readonly_paths.is_none(),
        "ReadonlyPaths",
        &host.readonly_paths,
    )?;
    let only_ipv6 = host.sysctls.iter().flatten().all(|(name, value)| {
        name.starts_with("net.ipv6.conf.") && name.ends_with(".disable_ipv6") && value == "1"
    });
    check(only_ipv6, "Sysctls", &host.sysctls)?;
    check(
        host.cgroup_parent.as_deref().unwrap_or_default().is_empty(),
        "CgroupParent",
        &host.cgroup_parent,
    )
}

fn namespaces(host: &HostConfig, network: &str) -> Result<(), ForbiddenDefinition> {
    check(
        host.network_mode.as_deref() == Some(network),
        "NetworkMode",
        &host.network_mode,
    )?;
    check(
        host.ipc_mode.as_deref() == Some("private"),
        "IpcMode",
        &host.ipc_mode,
    )?;
    check(
        host.cgroupns_mode
            .is_some_and(|mode| mode.as_ref() == "private"),
        "CgroupnsMode",
        &host.cgroupns_mode,
    )?;
    for (field, mode) in [
        ("PidMode", &host.pid_mode),
        ("UTSMode", &host.uts_mode),
        ("UsernsMode", &host.userns_mode),
        ("Cgroup", &host.cgroup),
    ] {
        check(mode.as_deref().unwrap_or_default().is_empty(), field, mode)?;
    }
    check(
        host.publish_all_ports != Some(true),
        "PublishAllPorts",
        &host.publish_all_ports,
    )?;
    check(
        host.port_bindings
            .as_ref()
            .is_none_or(|ports| ports.is_empty()),
        "PortBindings",
        &host.port_bindings,
    )?;
    check(
        is_empty(host.extra_hosts.as_ref()),
        "ExtraHosts",
        &host.extra_hosts,
    )?;
    check(is_empty(host.links.as_ref()), "Links", &host.links)
}

fn limits(host: &HostConfig) -> Result<(), ForbiddenDefinition> {
    let is_positive = |limit: Option<i64>| limit.is_some_and(|limit| limit > 0);
    check(is_positive(host.memory), "Memory", &host.memory)?;
    check(
        host.memory_swap.is_none() || host.memory_swap == host.memory,
        "MemorySwap",
        &host.memory_swap,
    )?;
    check(is_positive(host.nano_cpus), "NanoCpus", &host.nano_cpus)?;
    check(is_positive(host.pids_limit), "PidsLimit", &host.pids_limit)?;
    check(
        host.oom_kill_disable != Some(true),
        "OomKillDisable",
        &host.oom_kill_disable,
    )?;
    check(
        host.oom_score_adj.is_some_and(|score| score >= 0),
        "OomScoreAdj",
        &host.oom_score_adj,
    )?;
    let policy = host.restart_policy.as_ref().and_then(|policy| policy.name);
    check(
        policy.is_some_and(|name| name.as_ref() == "no"),
        "RestartPolicy",
        &policy,
    )?;
    // A container that removes itself takes its anonymous volumes along.
    check(
        host.auto_remove != Some(true),
        "AutoRemove",
        &host.auto_remove,
    )
}

fn paths(host: &HostConfig, definition: &ContainerDefinition) -> Result<(), ForbiddenDefinition> {
    check(is_empty(host.binds.as_ref()), "Binds", &host.binds)?;
    check(
        is_empty(host.volumes_from.as_ref()),
        "VolumesFrom",
        &host.volumes_from,
    )?;
    let mounts = host.mounts.as_deref().unwrap_or_default();
    for mount in mounts {
        check(is_allowed(mount, definition), "Mounts", mount)?;
    }
    check(mounts.len() == 3, "Mounts", &mounts.len())?;
    let is_confined = |options: &String| {
        let has = |wanted: &str| options.split(',').any(|option| option == wanted);
        has("nosuid") && has("nodev")
    };
    let are_confined =
        host.tmpfs.iter().flatten().all(|(path, options)| {
            matches!(path.as_str(), "/tmp" | "/run") && is_confined(options)
        });
    check(are_confined, "Tmpfs", &host.tmpfs)
}

/// Allows the workspace's own volumes at their places and its own run directory at its own path.
fn is_allowed(mount: &Mount, definition: &ContainerDefinition) -> bool {
    let (Some(source), Some(target)) = (mount.source.as_deref(), mount.target.as_deref()) else {
        return false;
    };
    match mount.typ {
        Some(MountType::VOLUME) => {
            let own = [
                (
                    volume::workspace_volume(definition.workspace),
                    volume::WORKSPACE_TARGET,
                ),
                (
                    volume::home_volume(definition.workspace),
                    volume::HOME_TARGET,
                ),
            ];
            // Options name drivers, and directories in a volume.
            mount.volume_options.is_none()
                && own
                    .iter()
                    .any(|(name, place)| name == source && *place == target)
        }
        Some(MountType::BIND) => {
            let propagation = mount
                .bind_options
                .as_ref()
                .and_then(|options| options.propagation);
            let run_dir: &Path = &definition.run_dir;
            source == target
                // As texts: paths are equal that only mean the same.
                && run_dir.as_os_str() == source
                && run_dir.is_absolute()
                && run_dir
                    .file_name()
                    .is_some_and(|name| name == definition.workspace.as_str())
                && !source.split('/').any(|part| part == "..")
                && propagation == Some(MountBindOptionsPropagationEnum::RPRIVATE)
        }
        _ => false,
    }
}

fn is_empty<T>(list: Option<&Vec<T>>) -> bool {
    list.is_none_or(Vec::is_empty)
}

/// Tells whether a text is letters, digits and `-`: nothing an engine could take for more.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_image_name(text: &str) -> bool {
    text.bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/@".contains(&byte))
}

fn is_one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn check(
    is_allowed: bool,
    field: &'static str,
    found: &(impl std::fmt::Debug + ?Sized),
) -> Result<(), ForbiddenDefinition> {
    if is_allowed {
        Ok(())
    } else {
        refuse(field, &format!("{found:?}"))
    }
}

fn refuse(field: &'static str, found: &str) -> Result<(), ForbiddenDefinition> {
    Err(ForbiddenDefinition {
        field,
        found: found.chars().take(200).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{
        DeviceMapping, HostConfigCgroupnsModeEnum, MountVolumeOptions, NetworkingConfig,
        PortBinding,
    };

    use super::*;
    use crate::container::tests::ordinary;

    fn refused(change: impl FnOnce(&mut ContainerDefinition)) -> &'static str {
        let mut definition = ordinary();
        change(&mut definition);
        validate(&definition)
            .expect_err("a forbidden definition")
            .field
    }

    fn with_host(change: impl FnOnce(&mut HostConfig)) -> &'static str {
        refused(|definition| change(definition.body.host_config.as_mut().unwrap()))
    }

    fn with_mount(mount: Mount) -> &'static str {
        with_host(|host| host.mounts.as_mut().unwrap()[2] = mount)
    }

    fn bind(source: &str, target: &str) -> Mount {
        let ordinary = ordinary()
            .body
            .host_config
            .unwrap()
            .mounts
            .unwrap()
            .remove(2);
        Mount {
            source: Some(source.into()),
            target: Some(target.into()),
            ..ordinary
        }
    }

    #[test]
    fn what_the_builder_makes_is_allowed() {
        assert_eq!(validate(&ordinary()), Ok(()));
    }

    #[test]
    fn privileges_are_refused() {
        let text = |text: &str| Some(vec![text.to_owned()]);
        assert_eq!(with_host(|h| h.privileged = Some(true)), "Privileged");
        for cap in [
            "SYS_ADMIN",
            "SYS_PTRACE",
            "NET_ADMIN",
            "SYS_MODULE",
            "DAC_READ_SEARCH",
            "ALL",
        ] {
            assert_eq!(with_host(|h| h.cap_add = text(cap)), "CapAdd", "{cap}");
        }
        assert_eq!(with_host(|h| h.cap_drop = None), "CapDrop");
        assert_eq!(with_host(|h| h.security_opt = None), "SecurityOpt");
        for option in [
            "seccomp=unconfined",
            "apparmor=unconfined",
            "label=disable",
            "no-new-privileges:false",
        ] {
            let change = |h: &mut HostConfig| h.security_opt.as_mut().unwrap().push(option.into());
            assert_eq!(with_host(change), "SecurityOpt", "{option}");
        }
        // Instead of ours, not only beside it.
        let ours = ordinary().body.host_config.unwrap().security_opt.unwrap();
        let wider = ours[1].replace("\"ptrace\"", "\"ptrace\",\"bpf\"");
        assert_ne!(wider, ours[1]);
        for profile in ["seccomp=unconfined", "seccomp=", "seccomp={}", &wider] {
            let options = vec![ours[0].clone(), profile.to_owned()];
            assert_eq!(with_host(|h| h.security_opt = Some(options)), "SecurityOpt");
        }
        for only in ours {
            assert_eq!(with_host(|h| h.security_opt = text(&only)), "SecurityOpt");
        }
        assert_eq!(
            with_host(|h| h.devices = Some(vec![DeviceMapping::default()])),
            "Devices"
        );
        assert_eq!(
            with_host(|h| h.masked_paths = Some(Vec::new())),
            "MaskedPaths"
        );
        let sysctls = HashMap::from([("kernel.msgmax".to_owned(), "1".to_owned())]);
        assert_eq!(with_host(|h| h.sysctls = Some(sysctls)), "Sysctls");
        assert_eq!(refused(|d| d.body.user = Some("dev".into())), "User");
    }

    #[test]
    fn namespaces_of_the_host_or_of_others_are_refused() {
        for network in [
            "host",
            "bridge",
            "container:abc",
            "kal-zzzzzzzzzz01",
            "none",
        ] {
            assert_eq!(
                with_host(|h| h.network_mode = Some(network.into())),
                "NetworkMode"
            );
        }
        assert_eq!(with_host(|h| h.pid_mode = Some("host".into())), "PidMode");
        assert_eq!(with_host(|h| h.ipc_mode = Some("host".into())), "IpcMode");
        assert_eq!(with_host(|h| h.uts_mode = Some("host".into())), "UTSMode");
        assert_eq!(
            with_host(|h| h.userns_mode = Some("host".into())),
            "UsernsMode"
        );
        let host_mode = Some(HostConfigCgroupnsModeEnum::HOST);
        assert_eq!(with_host(|h| h.cgroupns_mode = host_mode), "CgroupnsMode");
        let port = HashMap::from([("80/tcp".to_owned(), Some(vec![PortBinding::default()]))]);
        assert_eq!(with_host(|h| h.port_bindings = Some(port)), "PortBindings");
        assert_eq!(
            with_host(|h| h.extra_hosts = Some(vec!["a:host-gateway".into()])),
            "ExtraHosts"
        );
    }

    #[test]
    fn limits_cannot_be_left_out() {
        assert_eq!(with_host(|h| h.memory = None), "Memory");
        assert_eq!(with_host(|h| h.memory_swap = Some(-1)), "MemorySwap");
        assert_eq!(with_host(|h| h.pids_limit = Some(-1)), "PidsLimit");
        assert_eq!(with_host(|h| h.nano_cpus = Some(0)), "NanoCpus");
        assert_eq!(with_host(|h| h.oom_score_adj = Some(-500)), "OomScoreAdj");
        assert_eq!(with_host(|h| h.auto_remove = Some(true)), "AutoRemove");
    }

    #[test]
    fn paths_of_the_host_and_other_volumes_are_refused() {
        let own = "/run/kalpana/w/abcdefghij01";
        for (source, target) in [
            ("/var/run/docker.sock", "/var/run/docker.sock"),
            ("/", "/host"),
            ("/run/kalpana/w", "/run/kalpana/w"),
            ("/run/kalpana/w/zzzzzzzzzz01", "/run/kalpana/w/zzzzzzzzzz01"),
            (
                "/run/kalpana/w/abcdefghij01/../..",
                "/run/kalpana/w/abcdefghij01/../..",
            ),
            (own, "/elsewhere"),
        ] {
            assert_eq!(with_mount(bind(source, target)), "Mounts", "{source}");
        }
        let volume = |source: &str| Mount {
            typ: Some(MountType::VOLUME),
            source: Some(source.into()),
            target: Some("/workspace".into()),
            ..Default::default()
        };
        for name in [
            "kal-zzzzzzzzzz01-workspace",
            "../../etc",
            "/etc",
            "kal-abcdefghij01-workspace:ro",
            "kal-abcdefghij01-workspace,ro",
            "kal-abcdefghij01-workspace\n",
            "kal-abcdefghij01-workspace/../kal-zzzzzzzzzz01-workspace",
            "KAL-ABCDEFGHIJ01-WORKSPACE",
            "",
        ] {
            assert_eq!(with_mount(volume(name)), "Mounts", "{name}");
        }
        for target in ["/", "/workspace/..", "/etc", "/workspace,readonly", "/home"] {
            let elsewhere = Mount {
                target: Some(target.into()),
                ..volume("kal-abcdefghij01-workspace")
            };
            assert_eq!(with_mount(elsewhere), "Mounts", "{target}");
        }
        let part = Mount {
            volume_options: Some(MountVolumeOptions {
                subpath: Some("../../etc".into()),
                ..Default::default()
            }),
            ..volume("kal-abcdefghij01-workspace")
        };
        assert_eq!(with_mount(part), "Mounts");
        for options in [":ro", ",bind-propagation=shared", "\n", "/", "/."] {
            let more = format!("{own}{options}");
            assert_eq!(with_mount(bind(&more, &more)), "Mounts", "{options:?}");
            assert_eq!(with_mount(bind(&more, own)), "Mounts", "{options:?}");
        }
        let mut shared = bind(own, own);
        shared.bind_options.as_mut().unwrap().propagation =
            Some(MountBindOptionsPropagationEnum::SHARED);
        assert_eq!(with_mount(shared), "Mounts");
        assert_eq!(
            with_host(|h| h.binds = Some(vec!["/:/host".into()])),
            "Binds"
        );
        let tmpfs = HashMap::from([("/tmp".to_owned(), "rw,exec".to_owned())]);
        assert_eq!(with_host(|h| h.tmpfs = Some(tmpfs)), "Tmpfs");
    }

    #[test]
    fn texts_that_could_mean_more_are_refused() {
        for image in [
            "x --privileged",
            "",
            "-x",
            "--privileged",
            "a\nb",
            "a,b",
            "a;b",
            "a$(b)",
            "../a",
            "/a",
            "a\0",
            "ä",
        ] {
            assert_eq!(
                refused(|d| d.body.image = Some(image.into())),
                "Image",
                "{image:?}"
            );
        }
        for name in [
            "a/b", "..", "a,b", "a\n", "", "a:b", "a b", "a=b", "a.b", "ä", "a\0",
        ] {
            assert_eq!(refused(|d| d.name = name.into()), "name", "{name:?}");
            let hostname = |d: &mut ContainerDefinition| d.body.hostname = Some(name.into());
            assert_eq!(refused(hostname), "Hostname", "{name:?}");
        }
        for text in ["A=\nB=1", "A=\r", "A=\0", "A=\u{1b}[2J", "A=\u{85}"] {
            let env = |d: &mut ContainerDefinition| d.body.env.as_mut().unwrap().push(text.into());
            assert_eq!(refused(env), "Labels or Env", "{text:?}");
            let label = |name: &str, value: &str| {
                let (name, value) = (name.to_owned(), value.to_owned());
                refused(move |d| {
                    d.body.labels.as_mut().unwrap().insert(name, value);
                })
            };
            assert_eq!(label("a", text), "Labels or Env", "{text:?}");
            assert_eq!(label(text, "a"), "Labels or Env", "{text:?}");
        }
    }

    #[test]
    fn a_container_says_whose_it_is_and_starts_the_bridge() {
        let owner = |id: &str| {
            let id = id.to_owned();
            refused(move |d| {
                let labels = d.body.labels.as_mut().unwrap();
                labels.insert(labels::WORKSPACE.to_owned(), id);
            })
        };
        for id in ["zzzzzzzzzz01", "", "../abcdefghij01", "abcdefghij01,x"] {
            assert_eq!(owner(id), "Labels", "{id}");
        }
        assert_eq!(refused(|d| d.body.labels = None), "Labels");
        for program in [vec![], vec!["/bin/sh".to_owned()]] {
            let change = |d: &mut ContainerDefinition| d.body.entrypoint = Some(program);
            assert_eq!(refused(change), "Entrypoint");
        }
        assert_eq!(refused(|d| d.body.entrypoint = None), "Entrypoint");
        let cmd = Some(vec!["--as-root".to_owned()]);
        assert_eq!(refused(|d| d.body.cmd = cmd), "Cmd");
        let networks = Some(NetworkingConfig::default());
        assert_eq!(
            refused(|d| d.body.networking_config = networks),
            "NetworkingConfig"
        );
    }
}
