//! The bridge where it lives: PID 1 of a container with four capabilities, with the real editor.
//!
//! These tests need Docker and the workspace image (`make image`). The image brings everything but
//! the bridge, which is the one that was just built.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "support/support.rs"]
mod support;

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use kalpana_bridge_client::Bridge;
use kalpana_protocol::bridge::{LogLine, PhaseName, PhaseStatus, RepositoryWork};
use kalpana_protocol::launch::LaunchSettings;
use kalpana_protocol::preamble::{Audience, Target};

use support::{
    LIMIT, WORKSPACE_UID, bare_repository, dial, ended, eventually, get, launch, repository, rpc,
    status, write_launch,
};

const IMAGE: &str = "kalpana/workspace:dev";

/// A group that stands for the host's run group: its members reach the bridges' sockets.
const RUN_GROUP: u32 = 63_999;

const NO_CAPABILITIES: &str = "0000000000000000";

fn docker(args: &[&str]) -> Output {
    Command::new("docker")
        .args(args)
        .output()
        .expect("the docker command is installed")
}

/// Runs a docker command that must work, and returns what it printed.
fn done(args: &[&str]) -> String {
    let output = docker(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[expect(clippy::print_stderr, reason = "shown with a test that fails")]
fn echo(text: &str) {
    eprintln!("{text}");
}

/// Everything of one test: removed with it.
struct Site {
    name: String,
    directory: tempfile::TempDir,
    launch: LaunchSettings,
}

impl Site {
    fn new(test: &str) -> Self {
        let name = format!("kalpana-bridge-test-{test}-{}", std::process::id());
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::copy(
            env!("CARGO_BIN_EXE_bridge"),
            directory.path().join("bridge"),
        )
        .unwrap();
        let run = directory.path().join("run");
        std::fs::create_dir(&run).unwrap();
        std::os::unix::fs::chown(&run, None, Some(RUN_GROUP)).expect("this test is run by root");
        std::fs::set_permissions(&run, Permissions::from_mode(0o2770)).unwrap();
        let (home, root) = (Path::new("/home/dev"), Path::new("/workspace"));
        let launch = launch(home, root, WORKSPACE_UID, WORKSPACE_UID);
        let label = format!("kalpana.instance={name}");
        done(&["network", "create", "--internal", "--label", &label, &name]);
        for volume in ["workspace", "home"] {
            done(&[
                "volume",
                "create",
                "--label",
                &label,
                &format!("{name}-{volume}"),
            ]);
        }
        Self {
            name,
            directory,
            launch,
        }
    }

    fn run_dir(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    fn label(&self) -> String {
        format!("kalpana.instance={}", self.name)
    }

    /// Starts the workspace's container as the orchestrator does.
    fn start(&self, extra: &[&str]) {
        let run = self.run_dir();
        write_launch(&run, &self.launch);
        std::os::unix::fs::chown(run.join("launch.json"), None, Some(RUN_GROUP)).unwrap();
        let run = run.to_str().unwrap();
        let bridge = self.directory.path().join("bridge");
        let mount = |from: &str, to: &str| format!("{from}:{to}");
        let label = self.label();
        let args = [
            "run",
            "--detach",
            "--name",
            &self.name,
            "--label",
            &label,
            "--network",
            &self.name,
            "--cap-drop",
            "ALL",
            "--cap-add",
            "SETUID",
            "--cap-add",
            "SETGID",
            "--cap-add",
            "KILL",
            "--cap-add",
            "CHOWN",
            "--security-opt",
            "no-new-privileges:true",
            "--group-add",
            &RUN_GROUP.to_string(),
            "--tmpfs",
            "/tmp:rw,nosuid,nodev,size=1g",
            "--tmpfs",
            "/run:rw,nosuid,nodev,noexec,size=64m",
            "--pids-limit",
            "1024",
            "--memory",
            "2g",
            "--volume",
            &mount(run, run),
            "--volume",
            &format!("{}:/opt/kalpana/bridge:ro", bridge.display()),
            "--volume",
            &mount(&format!("{}-workspace", self.name), "/workspace"),
            "--volume",
            &mount(&format!("{}-home", self.name), "/home/dev"),
            "--env",
            &format!("KALPANA_RUN_DIR={run}"),
        ];
        done(&[&args[..], extra, &[IMAGE]].concat());
    }

    /// Stops and removes the container; the volumes stay.
    fn remove(&self) {
        done(&["rm", "--force", &self.name]);
    }

    fn gateway(&self) -> Bridge {
        dial(&self.run_dir(), Audience::Gateway, 0)
    }

    fn orchestrator(&self) -> Bridge {
        dial(&self.run_dir(), Audience::Orchestrator, 0)
    }

    /// Runs a command in the container.
    fn exec(&self, user: &str, argv: &[&str]) -> Output {
        docker(&[&["exec", "--user", user, &self.name][..], argv].concat())
    }

    /// Runs a command as the bridge's children run. The engine's own way to a user would leave the
    /// run group in place.
    fn as_user(&self, argv: &[&str]) -> Output {
        let user = [
            "setpriv",
            "--reuid=64000",
            "--regid=64000",
            "--clear-groups",
        ];
        self.exec("0", &[&user[..], argv].concat())
    }

    /// Returns the processes in the container, as this host numbers them, with their commands.
    fn processes(&self) -> Vec<(i32, String)> {
        let table = done(&["top", &self.name, "-o", "pid,args"]);
        let row = |line: &str| {
            let (pid, command) = line.trim_start().split_once(' ').unwrap();
            (pid.parse().unwrap(), command.trim().to_owned())
        };
        table.lines().skip(1).map(row).collect()
    }

    fn process(&self, command: &str) -> Option<i32> {
        let processes = self.processes();
        processes
            .into_iter()
            .find(|(_, found)| found.contains(command))
            .map(|(pid, _)| pid)
    }

    fn log(&self) -> String {
        done(&["logs", &self.name])
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = docker(&["logs", &self.name]);
            echo(&String::from_utf8_lossy(&log.stdout));
        }
        let filter = format!("label={}", self.label());
        let ids = |kind: &[&str]| {
            let output = docker(&[kind, &["--quiet", "--filter", &filter]].concat());
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        for (list, remove) in [
            (&["ps", "--all"][..], &["rm", "--force", "--volumes"][..]),
            (&["volume", "ls"], &["volume", "rm", "--force"]),
            (&["network", "ls"], &["network", "rm"]),
        ] {
            for id in ids(list) {
                docker(&[remove, &[&id]].concat());
            }
        }
    }
}

#[tokio::test]
async fn container_comes_up_with_two_root_processes_and_no_way_to_more() {
    let site = Site::new("hardened");
    // A volume root that another uid left: the bridge gives it to the workspace's user.
    let volume = format!("{}-workspace:/v", site.name);
    done(&[
        "run",
        "--rm",
        "--label",
        &site.label(),
        "--volume",
        &volume,
        "--entrypoint",
        "chown",
        IMAGE,
        "1000:1000",
        "/v",
    ]);
    site.start(&[]);
    let phase = ended(&site.orchestrator(), PhaseName::Editor).await;
    assert_eq!(phase.status, PhaseStatus::Done, "{phase:?}");

    // The first page starts the real work of the editor.
    let page = get(&site.gateway(), Target::Editor, "/?folder=/workspace").await;
    assert!(
        page.starts_with("HTTP/1.1 200"),
        "{}",
        &page[..page.len().min(500)]
    );
    assert!(page.contains("workbench"));

    let processes = site.processes();
    let (mut roots, mut users) = (Vec::new(), 0);
    for (pid, command) in &processes {
        assert_eq!(status(*pid, "NoNewPrivs"), "1", "{command}");
        assert_eq!(status(*pid, "Seccomp"), "2", "{command}");
        if status(*pid, "Uid") == "0 0 0 0" {
            roots.push(command.as_str());
            continue;
        }
        users += 1;
        let uid = WORKSPACE_UID;
        for field in ["Uid", "Gid"] {
            assert_eq!(
                status(*pid, field),
                format!("{uid} {uid} {uid} {uid}"),
                "{command}"
            );
        }
        assert_eq!(status(*pid, "Groups"), "", "{command}");
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
            assert_eq!(status(*pid, set), NO_CAPABILITIES, "{set} of {command}");
        }
    }
    assert_eq!(roots, ["/opt/kalpana/bridge init", "bridge serve"]);
    assert!(users > 0, "{processes:?}");

    let socket = std::fs::metadata(site.run_dir().join("bridge.sock")).unwrap();
    assert_eq!(
        (socket.uid(), socket.gid(), socket.mode() & 0o7777),
        (0, RUN_GROUP, 0o660)
    );
    let stat = |path: &str| {
        let output = site.exec("0", &["stat", "-c", "%u:%g %a", path]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(stat("/workspace"), "64000:64000 755");
    assert_eq!(stat("/home/dev"), "64000:64000 755");
    assert_eq!(stat("/run/kalpana/editor"), "0:64000 770");

    // The workspace's user reads neither the keys nor the bridge's memory, nor reaches its socket.
    let run = site.run_dir();
    for path in [
        run.join("launch.json"),
        run.join("bridge.sock"),
        "/proc/1/environ".into(),
        "/proc/1/mem".into(),
    ] {
        let output = site.as_user(&["cat", path.to_str().unwrap()]);
        assert!(!output.status.success(), "{}", path.display());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains("Permission denied"), "{errors}");
    }
    // It can do what it should.
    let output = site.as_user(&["touch", "/workspace/file", "/home/dev/file"]);
    assert!(output.status.success());

    let log = site.log();
    for key in [&site.launch.keys.gateway, &site.launch.keys.orchestrator] {
        assert!(!log.contains(&key.expose()));
    }
    for line in log.lines() {
        serde_json::from_str::<LogLine>(line).expect(line);
    }
}

#[tokio::test]
async fn bounding_set_of_children_is_empty_where_the_bridge_may_empty_it() {
    let site = Site::new("bounding");
    site.start(&["--cap-add", "SETPCAP"]);
    ended(&site.orchestrator(), PhaseName::Editor).await;
    let editor = site.process("code-server").unwrap();
    assert_eq!(status(editor, "CapBnd"), NO_CAPABILITIES);
}

#[tokio::test]
async fn killed_serve_comes_back_and_the_editor_stays() {
    let site = Site::new("restart");
    site.start(&[]);
    ended(&site.orchestrator(), PhaseName::Editor).await;
    let editor = site.process("code-server").unwrap();
    let serve = site.process("bridge serve").unwrap();
    assert!(
        site.exec("0", &["pkill", "-KILL", "-f", "^bridge serve$"])
            .status
            .success()
    );
    let successor = eventually("serve is back", || async {
        site.process("bridge serve").filter(|pid| *pid != serve)
    })
    .await;
    assert_ne!(successor, serve);
    let phase = ended(&site.orchestrator(), PhaseName::Editor).await;
    assert_eq!(phase.status, PhaseStatus::Done, "{phase:?}");
    assert_eq!(site.process("code-server"), Some(editor));
    let health = get(&site.gateway(), Target::Editor, "/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");

    // PID 1 collects what nobody else does: the parent of this sleep has gone when it ends.
    let output = site.as_user(&["sh", "-c", "(sleep 0.1 & echo $!)"]);
    let orphan = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    eventually("the orphan is reaped", || async {
        let look = site.exec("0", &["test", "-e", &format!("/proc/{orphan}")]);
        (look.status.code() == Some(1)).then_some(())
    })
    .await;

    // A program that ignores SIGTERM is killed, in less than what the engine waits.
    let stubborn = [
        "sh",
        "-c",
        "trap '' TERM; touch /tmp/ready; while :; do sleep 1; done",
    ];
    done(
        &[
            &["exec", "--detach", "--user", "64000:64000", &site.name][..],
            &stubborn,
        ]
        .concat(),
    );
    eventually("the stubborn program runs", || async {
        site.exec("0", &["test", "-e", "/tmp/ready"])
            .status
            .success()
            .then_some(())
    })
    .await;
    let before = Instant::now();
    done(&["stop", "--time", "20", &site.name]);
    assert!(
        before.elapsed() < Duration::from_secs(18),
        "{:?}",
        before.elapsed()
    );
    assert_eq!(
        done(&["inspect", "--format", "{{.State.ExitCode}}", &site.name]),
        "0"
    );
    let log = site.log();
    assert!(log.contains("the bridge stops: SIGTERM"), "{log}");
    assert!(
        log.trim_end()
            .ends_with("\"text\":\"the bridge has stopped\"}"),
        "{log}"
    );
}

#[tokio::test]
async fn repository_is_cloned_by_the_workspace_user_and_only_once() {
    let mut site = Site::new("clone");
    let served = site.directory.path().join("served");
    std::fs::create_dir(&served).unwrap();
    bare_repository(&served.join("project.git"));
    let server = format!("{}-git", site.name);
    let script = "const fs = require('fs'); require('http').createServer((request, response) => {\
        fs.readFile('/served' + request.url.split('?')[0], (error, body) => {\
        response.writeHead(error ? 404 : 200); response.end(body); }); }).listen(80);";
    done(&[
        "run",
        "--detach",
        "--name",
        &server,
        "--label",
        &site.label(),
        "--network",
        &site.name,
        "--volume",
        &format!("{}:/served:ro", served.display()),
        "--entrypoint",
        "/opt/kalpana/node/bin/node",
        IMAGE,
        "-e",
        script,
    ]);
    site.launch.repository = Some(repository(&format!("http://{server}/project.git"), None));
    site.start(&[]);
    let phase = ended(&site.orchestrator(), PhaseName::Clone).await;
    assert_eq!(phase.status, PhaseStatus::Done, "{phase:?}");
    let user = |argv: &[&str]| {
        let output = site.as_user(argv);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(user(&["cat", "/workspace/project/README"]), "first\n");
    assert_eq!(
        user(&["stat", "-c", "%u:%g", "/workspace/project/README"]),
        "64000:64000\n"
    );
    assert_eq!(user(&["ls", "-A", "/workspace"]), "project\n");
    assert_eq!(
        user(&["git", "-C", "/workspace/project", "status", "--short"]),
        ""
    );
    user(&["sh", "-c", "echo mine > /workspace/project/README"]);

    // Another start, and the repository is out of reach: the files are as they were left.
    site.remove();
    done(&["rm", "--force", &server]);
    site.start(&[]);
    let phase = ended(&site.orchestrator(), PhaseName::Editor).await;
    assert_eq!(phase.status, PhaseStatus::Done, "{phase:?}");
    assert_eq!(
        site.as_user(&["cat", "/workspace/project/README"]).stdout,
        b"mine\n"
    );
}

#[tokio::test]
async fn activity_is_seen_with_the_capabilities_that_there_are() {
    let site = Site::new("activity");
    site.start(&[]);
    ended(&site.orchestrator(), PhaseName::Editor).await;
    // The first page starts the real work of the editor.
    get(&site.gateway(), Target::Editor, "/?folder=/workspace").await;
    let (client, _notifications) = rpc(&site.orchestrator()).await;
    client.activity(LIMIT).await.unwrap();

    // Programs that live too briefly to be seen themselves, and write to the disk.
    let work = "while :; do head -c 9000000 /dev/zero >/workspace/file; sync /workspace/file; done";
    let script = format!(
        "setsid sh -c '{work}' >/dev/null 2>&1 & setsid /opt/kalpana/bridge keep-awake 2h -- sleep 1000 >/dev/null 2>&1 &"
    );
    assert!(site.as_user(&["sh", "-c", &script]).status.success());
    let command = format!("sh -c {}", &work[..60]);
    let activity = eventually("the work is seen", || async {
        let activity = client.activity(LIMIT).await.unwrap();
        let work = activity.busiest.iter().find(|process| {
            process.command.starts_with(&command) && process.disk_bytes_per_second > 0
        });
        (work.is_some() && !activity.keepers.is_empty()).then_some(activity)
    })
    .await;
    for process in &activity.busiest {
        assert!(!process.command.contains("code-server"), "{activity:?}");
    }
    let [keeper] = &activity.keepers[..] else {
        panic!("{activity:?}");
    };
    assert_eq!(keeper.command, "sleep 1000");
    assert!((7100..=7200).contains(&keeper.seconds_left), "{keeper:?}");
}

#[tokio::test]
async fn work_of_the_user_is_seen_by_a_program_of_the_users() {
    let site = Site::new("work");
    site.start(&[]);
    let (client, _notifications) = rpc(&site.orchestrator()).await;
    // The root of the container could not even look into this.
    let script = "umask 077 && cd /workspace && git init --quiet --initial-branch main project && \
        cd project && echo mine >notes && \
        printf '* filter=who\n' >.gitattributes && git add .gitattributes notes && \
        git config filter.who.clean 'cp /proc/self/status /workspace/seen; cat' && \
        echo more >notes";
    let output = site.as_user(&["sh", "-c", script]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let summary = client.work_summary(LIMIT).await.unwrap();
    let expected = RepositoryWork {
        path: "/workspace/project".into(),
        branch: Some("main".into()),
        uncommitted: 2,
        examples: vec![".gitattributes".into(), "notes".into()],
        ..RepositoryWork::default()
    };
    assert_eq!(summary.repositories, [expected]);
    assert!(!summary.is_cut);

    // Git, and so whatever the repository makes it run, has the user's rights and no others.
    let seen = site.as_user(&["cat", "/workspace/seen"]);
    let seen = String::from_utf8(seen.stdout).unwrap();
    let fields: Vec<Vec<_>> = seen
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let id = WORKSPACE_UID.to_string();
    for line in [
        ["Uid:", &id, &id, &id, &id].to_vec(),
        ["Gid:", &id, &id, &id, &id].to_vec(),
        ["Groups:"].to_vec(),
        ["CapEff:", NO_CAPABILITIES].to_vec(),
        ["CapPrm:", NO_CAPABILITIES].to_vec(),
        ["NoNewPrivs:", "1"].to_vec(),
    ] {
        assert!(fields.contains(&line), "{line:?} in {seen}");
    }
    // The names of files are for whoever asked, and not for the record.
    assert!(!site.log().contains("notes"));
}
