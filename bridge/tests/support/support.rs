//! What a bridge is launched with, and ways to look at it.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kalpana_bridge_client::{Bridge, ConnectError, Notification, Notifications, RpcClient};
use kalpana_protocol::bridge::{Phase, PhaseName, PhaseStatus};
use kalpana_protocol::launch::{
    ConnectKeys, EditorSettings, LaunchSettings, RepositorySettings, VERSION,
};
use kalpana_protocol::preamble::{Audience, ConnectKey, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Longest time that anything here may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) const WORKSPACE: &str = "abcdefghijk1";
pub(crate) const GENERATION: u64 = 4;
pub(crate) const WORKSPACE_UID: u32 = 64000;

/// What a bridge is launched with, whose directories are `home` and `root`.
pub(crate) fn launch(home: &Path, root: &Path, uid: u32, gid: u32) -> LaunchSettings {
    LaunchSettings {
        version: VERSION,
        workspace: WORKSPACE.into(),
        generation: GENERATION,
        keys: ConnectKeys {
            gateway: ConnectKey::from_bytes([1; 32]),
            orchestrator: ConnectKey::from_bytes([2; 32]),
        },
        repository: None,
        editor: EditorSettings {
            port_url_template: format!("https://{{{{port}}}}-{WORKSPACE}.kalpana.localhost:8443"),
            trusted_domain: "kalpana.localhost:8443".into(),
        },
        home: home.to_str().unwrap().into(),
        folder: root.to_str().unwrap().into(),
        uid,
        gid,
    }
}

pub(crate) fn repository(url: &str, branch: Option<&str>) -> RepositorySettings {
    let branch = branch.map(str::to_owned);
    RepositorySettings {
        url: url.into(),
        branch,
        directory: "project".into(),
    }
}

pub(crate) fn write_launch(run_dir: &Path, launch: &LaunchSettings) {
    let path = run_dir.join("launch.json");
    std::fs::write(&path, serde_json::to_vec(launch).unwrap()).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
}

/// Dials the bridge in `run_dir` as `audience`.
pub(crate) fn dial(run_dir: &Path, audience: Audience, peer_uid: u32) -> Bridge {
    let launch = launch(Path::new("/"), Path::new("/"), 1, 1);
    Bridge {
        socket: run_dir.join("bridge.sock"),
        peer_uid,
        workspace: WORKSPACE.into(),
        generation: GENERATION,
        audience,
        key: launch.keys.of(audience).clone(),
    }
}

/// Returns a field of `/proc/<pid>/status`.
pub(crate) fn status(pid: i32, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field}"))
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Waits until `find` finds something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut find: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = find().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Opens the conversation with a bridge, once it listens.
pub(crate) async fn rpc(bridge: &Bridge) -> (RpcClient, Notifications) {
    eventually("the bridge listens", || async {
        match bridge
            .rpc("test 1", kalpana_bridge::clock::now(), LIMIT)
            .await
        {
            Ok(opened) => Some(opened),
            Err(ConnectError::Unreachable { .. }) => None,
            Err(error) => panic!("{error:?}"),
        }
    })
    .await
}

/// Waits until a phase has ended, whether it had before or will.
pub(crate) async fn ended(bridge: &Bridge, name: PhaseName) -> Phase {
    let (client, mut notifications) = rpc(bridge).await;
    let is_it = |phase: &Phase| phase.name == name && phase.status != PhaseStatus::Running;
    if let Some(phase) = client
        .initialized()
        .phases
        .iter()
        .find(|phase| is_it(phase))
    {
        return phase.clone();
    }
    let waiting = async {
        loop {
            match notifications.next().await {
                Some(Notification::Phase(phase)) if is_it(&phase) => return phase,
                Some(_) => {}
                None => panic!("the bridge hung up"),
            }
        }
    };
    tokio::time::timeout(LIMIT, waiting)
        .await
        .expect("the phase ends")
}

/// Asks a server behind the bridge for a path and returns its whole response.
pub(crate) async fn get(bridge: &Bridge, target: Target, path: &str) -> String {
    let mut stream = open(bridge, target).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut response))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&response).into_owned()
}

pub(crate) async fn open(bridge: &Bridge, target: Target) -> Result<UnixStream, ConnectError> {
    bridge
        .connect(target, kalpana_bridge::clock::now(), LIMIT)
        .await
}

/// Makes a repository that a plain file server can serve, with one commit that holds `README`.
pub(crate) fn bare_repository(path: &Path) {
    let work = path.with_extension("work");
    let git = |args: &[&str], cwd: &Path| {
        let output = Command::new("git")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
            .args(["-c", "init.defaultBranch=main", "-c", "safe.directory=*"])
            .args(args)
            .current_dir(cwd)
            .output()
            .expect("git is installed");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    std::fs::create_dir_all(&work).unwrap();
    git(&["init", "--quiet"], &work);
    std::fs::write(work.join("README"), "first\n").unwrap();
    git(&["add", "README"], &work);
    git(&["commit", "--quiet", "-m", "first"], &work);
    git(
        &["clone", "--quiet", "--bare", ".", path.to_str().unwrap()],
        &work,
    );
    git(&["update-server-info"], path);
}
