//! A workspace's container, from what was asked to what the engine is told.
//!
//! Three steps, each pure. [`definition`] builds the one form that is ever asked for.
//! [`validate()`] stands in front of the engine and refuses what no workspace may have, whoever
//! built it. [`compare()`] reads back what the engine really did, because engines have been seen to
//! drop fields without a word.

mod compare;
pub(crate) mod seccomp;
mod validate;

pub(crate) use compare::{Mismatch, compare};
pub(crate) use validate::{ForbiddenDefinition, validate};

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use kalpana_domain::id::{Generation, WorkspaceId};
use kalpana_domain::workspace::{Egress, Workspace};
use kalpana_protocol::launch;
use sha2::{Digest, Sha256};

use crate::engine::Capabilities;
use crate::{labels, network, volume};

/// All that the container's root keeps: to become the workspace's user, to signal its processes,
/// to hand it its volumes on first use, and (`SETPCAP`) to empty the bounding set of what it
/// starts. Every other process has none, and can get none.
const CAPABILITIES: [&str; 5] = ["CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID"];

/// No program gains anything by being started, whatever bits its file has.
const NO_NEW_PRIVILEGES: &str = "no-new-privileges:true";

/// Files a process may have open. Not more, because an engine that was itself started with a lower
/// hard limit could not grant it; 20,000 is the lowest we met.
const OPEN_FILES: i64 = 16_384;

/// The platform's part of the image, whatever entry point the image itself names.
const ENTRYPOINT: [&str; 2] = ["/opt/kalpana/bridge", "init"];

const MIB: i64 = 1 << 20;

/// What of the host and the site goes into every definition.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// Value of the instance label.
    pub(crate) instance: String,
    /// The image.
    pub(crate) image: String,
    /// The runtime, when not the engine's default.
    pub(crate) runtime: Option<String>,
    /// How long a container may take to end by itself.
    pub(crate) stop_timeout: Duration,
    /// Groups of the container's root: one to make its socket in the run directory, one to read
    /// its launch file.
    pub(crate) groups: Vec<u32>,
    /// Whether the kernel knows IPv6, which is then turned off inside.
    pub(crate) has_ipv6: bool,
}

/// A container to be made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ContainerDefinition {
    /// Its name.
    pub(crate) name: String,
    /// Whose.
    pub(crate) workspace: WorkspaceId,
    /// The workspace's run directory on the host: the one path of the host it may see.
    pub(crate) run_dir: PathBuf,
    /// Hash of all the rest, kept as a label.
    pub(crate) spec_hash: String,
    /// What the engine is told.
    pub(crate) body: ContainerCreateBody,
}

/// Returns the name of the container of one generation of one workspace. There can be only one.
pub(crate) fn name(workspace: WorkspaceId, generation: Generation) -> String {
    format!("kal-{workspace}-g{generation}")
}

/// Returns the container that a workspace's current generation should have.
pub(crate) fn definition(
    host: &Host,
    capabilities: &Capabilities,
    workspace: &Workspace,
    run_dir: PathBuf,
) -> ContainerDefinition {
    let run_dir_text = run_dir.to_string_lossy().into_owned();
    let mut container_labels = labels::of(&host.instance, workspace.id);
    container_labels.insert(
        labels::GENERATION.to_owned(),
        workspace.generation.to_string(),
    );
    let mut body = ContainerCreateBody {
        hostname: Some(workspace.id.to_string()),
        user: Some("0:0".to_owned()),
        env: Some(vec![format!("{}={run_dir_text}", launch::RUN_DIR_VARIABLE)]),
        entrypoint: Some(ENTRYPOINT.map(str::to_owned).to_vec()),
        cmd: Some(Vec::new()),
        // An image's own health check would run as root.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..Default::default()
        }),
        image: Some(host.image.clone()),
        labels: None,
        stop_signal: Some("SIGTERM".to_owned()),
        stop_timeout: Some(i64::try_from(host.stop_timeout.as_secs()).unwrap_or(i64::MAX)),
        host_config: Some(host_config(host, capabilities, workspace, &run_dir_text)),
        ..Default::default()
    };
    let spec_hash = hash(&body);
    container_labels.insert(labels::SPEC_HASH.to_owned(), spec_hash.clone());
    body.labels = Some(container_labels);
    ContainerDefinition {
        name: name(workspace.id, workspace.generation),
        workspace: workspace.id,
        run_dir,
        spec_hash,
        body,
    }
}

/// Builds the `standard` profile.
fn host_config(
    host: &Host,
    capabilities: &Capabilities,
    workspace: &Workspace,
    run_dir: &str,
) -> HostConfig {
    let resources = workspace.spec.size.resources();
    let memory = signed(resources.memory_bytes);
    // The engine refuses more CPUs than there are.
    let cpu_millis = resources
        .cpu_millis
        .min(capabilities.cpus.saturating_mul(1000))
        .max(10);
    let ipv6 = ["all", "default"].map(|interfaces| {
        (
            format!("net.ipv6.conf.{interfaces}.disable_ipv6"),
            "1".to_owned(),
        )
    });
    HostConfig {
        privileged: Some(false),
        publish_all_ports: Some(false),
        readonly_rootfs: Some(false),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
        security_opt: Some(vec![
            NO_NEW_PRIVILEGES.to_owned(),
            seccomp::option().to_owned(),
        ]),
        group_add: Some(host.groups.iter().map(u32::to_string).collect()),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        network_mode: Some(network::name(workspace.id)),
        dns: (workspace.spec.egress == Egress::None).then(|| vec![network::NO_RESOLVER.to_owned()]),
        sysctls: host.has_ipv6.then(|| HashMap::from(ipv6)),
        runtime: host.runtime.clone(),
        memory: Some(memory),
        memory_swap: capabilities.limits_swap.then_some(memory),
        nano_cpus: Some(signed(cpu_millis.saturating_mul(1_000_000))),
        pids_limit: Some(signed(resources.pids)),
        oom_kill_disable: Some(false),
        oom_score_adj: Some(500),
        ulimits: Some(vec![
            ulimit("core", 0),
            ulimit("memlock", 64 << 10),
            ulimit("nofile", OPEN_FILES),
        ]),
        shm_size: Some(256 * MIB),
        tmpfs: Some(HashMap::from([
            // Builds run what they made in /tmp.
            (
                "/tmp".to_owned(),
                "rw,exec,nosuid,nodev,size=1g,mode=1777".to_owned(),
            ),
            (
                "/run".to_owned(),
                "rw,noexec,nosuid,nodev,size=64m,mode=755".to_owned(),
            ),
        ])),
        mounts: Some(vec![
            volume_mount(
                volume::workspace_volume(workspace.id),
                volume::WORKSPACE_TARGET,
            ),
            volume_mount(volume::home_volume(workspace.id), volume::HOME_TARGET),
            bind_mount(run_dir),
        ]),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), "10m".to_owned()),
                ("max-file".to_owned(), "3".to_owned()),
            ])),
        }),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        auto_remove: Some(false),
        init: Some(false),
        ..Default::default()
    }
}

fn volume_mount(name: String, target: &str) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name),
        target: Some(target.to_owned()),
        read_only: Some(false),
        ..Default::default()
    }
}

/// Mounts the run directory at its own path: the gateway's connection pool tells peers apart by
/// the path that the socket says it is bound to.
fn bind_mount(run_dir: &str) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(run_dir.to_owned()),
        target: Some(run_dir.to_owned()),
        read_only: Some(false),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn ulimit(name: &str, limit: i64) -> ResourcesUlimits {
    ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(limit),
        hard: Some(limit),
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns the hash of a definition, in 32 hexadecimal digits.
fn hash(body: &ContainerCreateBody) -> String {
    // Through a value, whose maps are sorted: the same definition has the same text.
    let value = serde_json::to_value(body).unwrap_or_default();
    digest(&value.to_string())
}

/// Returns the first 16 bytes of a text's SHA-256, in hexadecimal digits.
fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use kalpana_domain::workspace::Size;

    use super::*;
    use crate::testing::{capabilities, host, workspace};

    /// Returns a definition as every test starts from it.
    pub(crate) fn ordinary() -> ContainerDefinition {
        definition(
            &host(),
            &capabilities(),
            &workspace(),
            "/run/kalpana/w/abcdefghij01".into(),
        )
    }

    #[test]
    fn the_definition_is_what_people_reviewed() {
        let mut body = serde_json::to_value(ordinary().body).unwrap();
        body["Labels"]["kalpana.spec-hash"] = "…".into();
        let option = &mut body["HostConfig"]["SecurityOpt"][1];
        assert_eq!(option, seccomp::option(), "it has tests of its own");
        *option = "seccomp=…".into();
        insta::assert_json_snapshot!(body);
    }

    #[test]
    fn the_hash_changes_with_the_definition_and_with_nothing_else() {
        assert_eq!(ordinary().spec_hash, ordinary().spec_hash);
        let mut other = workspace();
        other.spec.size = Size::Medium;
        let other = definition(&host(), &capabilities(), &other, ordinary().run_dir);
        assert_ne!(ordinary().spec_hash, other.spec_hash);
    }

    #[test]
    fn a_small_host_gives_all_the_cpus_it_has() {
        let mut large = workspace();
        large.spec.size = Size::Large;
        let capabilities = Capabilities {
            cpus: 2,
            ..capabilities()
        };
        let definition = definition(&host(), &capabilities, &large, "/run/w".into());
        let host = definition.body.host_config.unwrap();
        assert_eq!(host.nano_cpus, Some(2_000_000_000));
        assert_eq!(host.memory, Some(8 << 30));
    }

    #[test]
    fn no_egress_means_no_resolver() {
        let mut closed = workspace();
        closed.spec.egress = Egress::None;
        let definition = definition(&host(), &capabilities(), &closed, "/run/w".into());
        assert_eq!(
            definition.body.host_config.unwrap().dns,
            Some(vec!["192.0.2.1".to_owned()])
        );
    }
}
