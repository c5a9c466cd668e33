//! Whether the container engine answers and can do what workspaces need.

use std::io;
use std::path::Path;

use kalpana_config::Config;
use kalpana_orchestrator::examine::{EngineFacts, EngineSilence, examine};

use super::verdict::Verdict;

const ENGINE: &str = "engine";
const CGROUP: &str = "engine_cgroup";
const STORAGE: &str = "engine_storage";
const RUNTIME: &str = "engine_runtime";
const IMAGE: &str = "workspace_image";

/// How long one question may take. Unit: seconds.
const LIMIT_SECONDS: u64 = 8;

/// Drivers that share what images have in common.
const SHARING_DRIVERS: [&str; 6] = [
    "overlay2",
    "overlayfs",
    "fuse-overlayfs",
    "btrfs",
    "zfs",
    "overlay",
];

/// Asks the engine.
pub(super) async fn look(config: &Config) -> Vec<Verdict> {
    let settings = &config.orchestrator;
    let socket = Path::new(&settings.engine_socket);
    match examine(socket, &settings.image, LIMIT_SECONDS).await {
        Ok(facts) => judge(&facts, &settings.image, settings.runtime.as_deref()),
        Err(silence) => vec![judge_silence(&silence)],
    }
}

fn judge_silence(silence: &EngineSilence) -> Verdict {
    let mut message = silence.to_string();
    if let Some(source) = std::error::Error::source(silence) {
        message = format!("{message}: {source}");
    }
    let is_forbidden = matches!(
        silence,
        EngineSilence::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied
    );
    if is_forbidden {
        return Verdict::failed(
            ENGINE,
            "engine_forbidden",
            message,
            "Run this as root; if Kalpana is not started by root, put its user into the group of \
             the socket.",
        );
    }
    Verdict::failed(
        ENGINE,
        "engine_unavailable",
        message,
        "`systemctl start docker` starts it; orchestrator.engine_socket names another. Running \
         workspaces go on.",
    )
}

fn judge(facts: &EngineFacts, image: &str, runtime: Option<&str>) -> Vec<Verdict> {
    let mut verdicts = vec![
        Verdict::ok(ENGINE, format!("version {} answers", facts.version)),
        judge_cgroup(facts.cgroup_version.as_deref()),
        judge_storage(facts.storage_driver.as_deref()),
    ];
    if let Some(runtime) = runtime {
        verdicts.push(if facts.runtimes.iter().any(|known| known == runtime) {
            Verdict::ok(RUNTIME, format!("{runtime} is known"))
        } else {
            Verdict::failed(
                RUNTIME,
                "runtime_missing",
                format!("the engine does not know the runtime {runtime}"),
                "Install it and name it in the engine's daemon.json, or correct \
                 orchestrator.runtime.",
            )
        });
    }
    verdicts.push(if facts.has_image {
        Verdict::ok(IMAGE, format!("{image} is there"))
    } else {
        Verdict::failed(
            IMAGE,
            "image_missing",
            format!("the workspace image {image} is not on this machine"),
            "`make image` builds it; orchestrator.image names another.",
        )
    });
    verdicts
}

fn judge_cgroup(version: Option<&str>) -> Verdict {
    match version {
        Some("2") => Verdict::ok(CGROUP, "version 2"),
        other => Verdict::warning(
            CGROUP,
            "cgroup_v1",
            format!("control groups are of version {}", other.unwrap_or("1")),
            "Boot with systemd.unified_cgroup_hierarchy=1: version 2 holds a workspace's memory \
             together and says which one ran out of it.",
        ),
    }
}

fn judge_storage(driver: Option<&str>) -> Verdict {
    let driver = driver.unwrap_or("unknown");
    if SHARING_DRIVERS.contains(&driver) {
        return Verdict::ok(STORAGE, driver);
    }
    Verdict::warning(
        STORAGE,
        "storage_driver_slow",
        format!(
            "the storage driver {driver} copies the whole image for each workspace, or is outdated"
        ),
        "Keep the engine's data on ext4 or xfs (ftype=1) and set storage-driver to overlay2 in its \
         daemon.json.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(facts: &EngineFacts, runtime: Option<&str>) -> Vec<String> {
        let verdicts = judge(facts, "image", runtime).into_iter();
        let codes = verdicts.filter_map(|verdict| verdict.code);
        codes.map(|code| code.to_string()).collect()
    }

    #[test]
    fn an_engine_is_judged_by_what_it_says() {
        let good = EngineFacts {
            version: "28".to_owned(),
            cgroup_version: Some("2".to_owned()),
            storage_driver: Some("overlay2".to_owned()),
            root_dir: None,
            runtimes: vec!["runsc".to_owned()],
            has_image: true,
        };
        assert!(codes(&good, Some("runsc")).is_empty());
        assert_eq!(codes(&good, Some("kata")), ["runtime_missing"]);
        let bad = EngineFacts {
            cgroup_version: Some("1".to_owned()),
            storage_driver: Some("vfs".to_owned()),
            has_image: false,
            ..good
        };
        let expected = ["cgroup_v1", "storage_driver_slow", "image_missing"];
        assert_eq!(codes(&bad, None), expected);
    }

    #[test]
    fn an_engine_that_may_not_be_asked_is_told_from_one_that_is_away() {
        let silence = |kind| {
            judge_silence(&EngineSilence::Unreachable {
                socket: "/s".into(),
                source: io::Error::from(kind),
            })
        };
        assert!(silence(io::ErrorKind::NotFound).is("engine_unavailable"));
        assert!(silence(io::ErrorKind::PermissionDenied).is("engine_forbidden"));
    }
}
