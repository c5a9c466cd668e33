//! The runtime checks of the CIS Docker Benchmark, chapter 5, as assertions over what the engine
//! says of a container.
//!
//! The numbers are those of benchmark 1.6 as `docker-bench-security` counts them. Left out are the
//! checks that are not about one container's definition: what runs inside (5.7), the image's tag
//! and age (5.28), and what people do at a shell of the host (5.23, 5.24).

use serde_json::Value;

/// One check of the benchmark.
struct Check {
    number: &'static str,
    /// What holds where it passes.
    meaning: &'static str,
    passes: fn(&Value, &Engine) -> bool,
}

/// What the engine says of itself, as far as checks depend on it.
pub(crate) struct Engine {
    pub(crate) has_apparmor: bool,
    pub(crate) has_selinux: bool,
}

/// Directories of the host that no container may see, nor anything above or below them.
const HOST_DIRECTORIES: [&str; 8] = [
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/proc",
    "/sys",
    "/usr",
    "/var/lib/docker",
];

const CHECKS: &[Check] = &[
    Check {
        number: "5.2",
        meaning: "where the engine has AppArmor, a profile is in force",
        passes: |found, engine| {
            let profile = text(&found["AppArmorProfile"]);
            !engine.has_apparmor || !matches!(profile, "" | "unconfined")
        },
    },
    Check {
        number: "5.3",
        meaning: "where the engine has SELinux, its labels are not switched off",
        passes: |found, engine| {
            !engine.has_selinux
                || !options(found)
                    .any(|option| option.contains("label") && option.contains("disable"))
        },
    },
    Check {
        number: "5.4",
        meaning: "all capabilities are dropped but those the bridge needs to become the user",
        passes: |found, _| {
            let host = &found["HostConfig"];
            host["CapDrop"] == serde_json::json!(["ALL"])
                && host["CapAdd"]
                    == serde_json::json!(["CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID"])
        },
    },
    Check {
        number: "5.5",
        meaning: "the container is not privileged",
        passes: |found, _| found["HostConfig"]["Privileged"] == false,
    },
    Check {
        number: "5.6",
        meaning: "no directory of the host's system is mounted",
        passes: |found, _| {
            binds(found).all(|source| {
                source != "/"
                    && !HOST_DIRECTORIES
                        .iter()
                        .any(|directory| std::path::Path::new(source).starts_with(directory))
            })
        },
    },
    Check {
        number: "5.8",
        meaning: "no privileged port of the host is mapped, because none is",
        passes: |found, _| is_empty(&found["HostConfig"]["PortBindings"]),
    },
    Check {
        number: "5.9",
        meaning: "only needed ports are open: none",
        passes: |found, _| {
            found["HostConfig"]["PublishAllPorts"] == false
                && found["NetworkSettings"]["Ports"]
                    .as_object()
                    .is_none_or(|ports| ports.values().all(Value::is_null))
        },
    },
    Check {
        number: "5.10",
        meaning: "the network is not the host's",
        passes: |found, _| {
            let mode = text(&found["HostConfig"]["NetworkMode"]);
            !mode.is_empty() && mode != "host" && !mode.starts_with("container:")
        },
    },
    Check {
        number: "5.11",
        meaning: "memory is limited, swap included where the kernel can",
        passes: |found, _| {
            let host = &found["HostConfig"];
            let swap = host["MemorySwap"].as_i64().unwrap_or_default();
            is_positive(&host["Memory"]) && (swap == 0 || host["MemorySwap"] == host["Memory"])
        },
    },
    Check {
        number: "5.12",
        meaning: "processor time is limited",
        passes: |found, _| is_positive(&found["HostConfig"]["NanoCpus"]),
    },
    Check {
        number: "5.13",
        // The benchmark wants a read-only root. A workspace is where people install things; what
        // they write is a layer of this container's, gone with it.
        meaning: "the root file system is the container's own layer, and no temporary file system \
                  brings programs with bits or devices",
        passes: |found, _| {
            let tmpfs = found["HostConfig"]["Tmpfs"].as_object();
            tmpfs.is_some_and(|tmpfs| {
                tmpfs.values().map(text).all(|options| {
                    let has = |wanted| options.split(',').any(|option| option == wanted);
                    has("nosuid") && has("nodev")
                })
            })
        },
    },
    Check {
        number: "5.14",
        meaning: "nothing comes in by any interface of the host",
        passes: |found, _| is_empty(&found["HostConfig"]["PortBindings"]),
    },
    Check {
        number: "5.15",
        meaning: "the engine restarts it five times at most: never",
        passes: |found, _| {
            let policy = &found["HostConfig"]["RestartPolicy"];
            policy["Name"] == "no" && policy["MaximumRetryCount"].as_i64().unwrap_or(0) == 0
        },
    },
    Check {
        number: "5.16",
        meaning: "the host's processes are not shared",
        passes: |found, _| text(&found["HostConfig"]["PidMode"]).is_empty(),
    },
    Check {
        number: "5.17",
        meaning: "the host's shared memory is not shared",
        passes: |found, _| found["HostConfig"]["IpcMode"] == "private",
    },
    Check {
        number: "5.18",
        meaning: "no device of the host is there",
        passes: |found, _| {
            let host = &found["HostConfig"];
            ["Devices", "DeviceRequests", "DeviceCgroupRules"]
                .iter()
                .all(|field| is_empty(&host[*field]))
        },
    },
    Check {
        number: "5.19",
        meaning: "limits are its own, not whatever the engine was started with",
        passes: |found, _| {
            let limits = found["HostConfig"]["Ulimits"].as_array();
            ["core", "memlock", "nofile"].iter().all(|name| {
                limits
                    .into_iter()
                    .flatten()
                    .any(|limit| limit["Name"] == *name && limit["Hard"].is_i64())
            })
        },
    },
    Check {
        number: "5.20",
        meaning: "no mount is passed on between host and container",
        passes: |found, _| {
            mounts(found)
                .all(|mount| matches!(text(&mount["Propagation"]), "" | "rprivate" | "private"))
        },
    },
    Check {
        number: "5.21",
        meaning: "the host's name is not shared",
        passes: |found, _| text(&found["HostConfig"]["UTSMode"]).is_empty(),
    },
    Check {
        number: "5.22",
        meaning: "system calls are filtered by our profile, which refuses what it does not name",
        passes: |found, _| {
            let profiles: Vec<Value> = options(found)
                .filter_map(|option| option.strip_prefix("seccomp="))
                .map(|profile| serde_json::from_str(profile).unwrap_or_default())
                .collect();
            profiles.len() == 1 && profiles[0]["defaultAction"] == "SCMP_ACT_ERRNO"
        },
    },
    Check {
        number: "5.25",
        meaning: "it is in the engine's own cgroup, in a namespace of its own",
        passes: |found, _| {
            let host = &found["HostConfig"];
            text(&host["CgroupParent"]).is_empty()
                && text(&host["Cgroup"]).is_empty()
                && host["CgroupnsMode"] == "private"
        },
    },
    Check {
        number: "5.26",
        meaning: "no program gains privileges",
        passes: |found, _| options(found).any(|option| option == "no-new-privileges:true"),
    },
    Check {
        number: "5.27",
        // The benchmark wants a health check of the image's, which would run as root inside. The
        // orchestrator asks the bridge instead.
        meaning: "health is asked of the bridge, and the image's own check is off",
        passes: |found, _| found["Config"]["Healthcheck"]["Test"] == serde_json::json!(["NONE"]),
    },
    Check {
        number: "5.29",
        meaning: "the number of processes is limited",
        passes: |found, _| is_positive(&found["HostConfig"]["PidsLimit"]),
    },
    Check {
        number: "5.30",
        meaning: "it is in one network, its own, and not in the engine's default one",
        passes: |found, _| {
            let networks = found["NetworkSettings"]["Networks"].as_object();
            let mode = text(&found["HostConfig"]["NetworkMode"]);
            !matches!(mode, "bridge" | "default")
                && networks.is_some_and(|all| all.len() == 1 && all.contains_key(mode))
        },
    },
    Check {
        number: "5.31",
        meaning: "where the engine remaps users, the container is not taken out of that",
        passes: |found, _| text(&found["HostConfig"]["UsernsMode"]).is_empty(),
    },
    Check {
        number: "5.32",
        meaning: "the engine's socket is not inside, nor a directory that holds it",
        passes: |found, _| {
            binds(found).all(|source| {
                !source.contains("docker.sock") && !matches!(source, "/" | "/run" | "/var/run")
            })
        },
    },
];

/// Returns what a container fails, each by its number and meaning.
pub(crate) fn failures(found: &Value, engine: &Engine) -> Vec<String> {
    let failed = CHECKS.iter().filter(|check| !(check.passes)(found, engine));
    failed
        .map(|check| format!("{} {}", check.number, check.meaning))
        .collect()
}

/// Spoils what was found of a sound container in one way per check and asserts that this check, by
/// its number, notices: a check that cannot fail is none.
pub(crate) fn assert_each_check_can_fail(sound: &Value) {
    let strict = Engine {
        has_apparmor: true,
        has_selinux: true,
    };
    let mut sound = sound.clone();
    sound["AppArmorProfile"] = "docker-default".into();
    let pointers: [(&str, &str, Value); 30] = [
        ("5.2", "/AppArmorProfile", "unconfined".into()),
        ("5.3", "/HostConfig/SecurityOpt/0", "label=disable".into()),
        ("5.4", "/HostConfig/CapAdd/0", "SYS_ADMIN".into()),
        ("5.4", "/HostConfig/CapDrop", Value::Null),
        ("5.5", "/HostConfig/Privileged", true.into()),
        ("5.6", "/Mounts/0", bind("/etc/ssl")),
        ("5.6", "/Mounts/0", bind("/")),
        ("5.8", "/HostConfig/PortBindings", port()),
        ("5.9", "/NetworkSettings/Ports", port()),
        ("5.10", "/HostConfig/NetworkMode", "host".into()),
        ("5.11", "/HostConfig/Memory", 0.into()),
        ("5.11", "/HostConfig/MemorySwap", (-1).into()),
        ("5.12", "/HostConfig/NanoCpus", 0.into()),
        (
            "5.13",
            "/HostConfig/Tmpfs",
            serde_json::json!({"/tmp": "rw"}),
        ),
        ("5.14", "/HostConfig/PortBindings", port()),
        ("5.15", "/HostConfig/RestartPolicy/Name", "always".into()),
        ("5.16", "/HostConfig/PidMode", "host".into()),
        ("5.17", "/HostConfig/IpcMode", "host".into()),
        ("5.18", "/HostConfig/Devices", serde_json::json!([{}])),
        ("5.19", "/HostConfig/Ulimits", Value::Null),
        ("5.20", "/Mounts/0/Propagation", "shared".into()),
        ("5.21", "/HostConfig/UTSMode", "host".into()),
        (
            "5.22",
            "/HostConfig/SecurityOpt/1",
            "seccomp=unconfined".into(),
        ),
        ("5.25", "/HostConfig/CgroupParent", "/system.slice".into()),
        ("5.26", "/HostConfig/SecurityOpt/0", "x".into()),
        (
            "5.27",
            "/Config/Healthcheck/Test",
            serde_json::json!(["CMD", "x"]),
        ),
        ("5.29", "/HostConfig/PidsLimit", Value::Null),
        ("5.30", "/HostConfig/NetworkMode", "bridge".into()),
        ("5.31", "/HostConfig/UsernsMode", "host".into()),
        ("5.32", "/Mounts/0", bind("/var/run/docker.sock")),
    ];
    for check in CHECKS {
        let is_spoilt = pointers.iter().any(|(number, ..)| *number == check.number);
        assert!(is_spoilt, "nothing spoils {}", check.number);
    }
    for (number, pointer, value) in pointers {
        let mut spoilt = sound.clone();
        set(&mut spoilt, pointer, value);
        let failed = failures(&spoilt, &strict);
        let prefix = format!("{number} ");
        assert!(
            failed.iter().any(|failure| failure.starts_with(&prefix)),
            "{pointer} was not noticed by {number}: {failed:?}"
        );
    }
}

fn set(found: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
    match found.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.insert(key.to_owned(), value);
        }
        Some(Value::Array(items)) => items[key.parse::<usize>().unwrap_or_default()] = value,
        other => panic!("{pointer}: {other:?}"),
    }
}

fn bind(source: &str) -> Value {
    serde_json::json!({"Type": "bind", "Source": source, "Propagation": "rprivate"})
}

fn port() -> Value {
    serde_json::json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]})
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn options(found: &Value) -> impl Iterator<Item = &str> {
    let options = found["HostConfig"]["SecurityOpt"].as_array();
    options.into_iter().flatten().map(text)
}

fn mounts(found: &Value) -> impl Iterator<Item = &Value> {
    found["Mounts"].as_array().into_iter().flatten()
}

fn binds(found: &Value) -> impl Iterator<Item = &str> {
    mounts(found)
        .filter(|mount| mount["Type"] == "bind")
        .map(|mount| text(&mount["Source"]))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn is_positive(value: &Value) -> bool {
    value.as_i64().is_some_and(|number| number > 0)
}
