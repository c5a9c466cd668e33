//! A whole bridge as processes of this machine: `init`, `serve`, a stand-in for the editor, Git.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "support/host.rs"]
mod process;
#[path = "support/support.rs"]
mod support;

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use kalpana_bridge_client::{CallError, ConnectError, Notification};
use kalpana_protocol::bridge::activity::BUSIEST_LIMIT;
use kalpana_protocol::bridge::{Activity, LogSource, Phase, PhaseName, PhaseStatus, RpcError};
use kalpana_protocol::preamble::{self, Audience, Denial, Preamble, Target};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};

use process::{Host, children, is_root, signal};
use support::{
    GENERATION, LIMIT, WORKSPACE, bare_repository, ended, eventually, get, open, repository, rpc,
    status,
};

fn started() -> Host {
    let mut host = Host::new();
    host.start();
    host
}

#[tokio::test]
async fn serve_may_die_and_the_editor_lives_on() {
    let host = started();
    assert_eq!(
        ended(&host.orchestrator(), PhaseName::Editor).await.status,
        PhaseStatus::Done
    );
    let editor = host.editor_pid();
    let serve = host.serve_pid(None).await;
    signal(serve, Signal::KILL);
    assert_ne!(host.serve_pid(Some(serve)).await, serve);
    assert_eq!(
        ended(&host.orchestrator(), PhaseName::Editor).await.status,
        PhaseStatus::Done
    );
    assert_eq!(host.editor_pid(), editor);
    // It is still followed: its end is noticed, and it is started again.
    signal(editor, Signal::KILL);
    host.logged(|line| line.text == "the editor ended with signal 9");
    eventually("the editor answers again", || async {
        open(&host.gateway(), Target::Editor).await.ok()
    })
    .await;
    assert_ne!(host.editor_pid(), editor);
}

#[tokio::test]
async fn orphans_are_reaped() {
    let host = started();
    ended(&host.orchestrator(), PhaseName::Editor).await;
    let response = get(&host.gateway(), Target::Editor, "/orphan").await;
    let orphan: i32 = response.lines().last().unwrap().parse().unwrap();
    // A zombie keeps its entry until it is reaped.
    let entry = format!("/proc/{orphan}");
    eventually("the orphan is reaped", || async {
        (!Path::new(&entry).exists()).then_some(())
    })
    .await;
    // Its parent may have been adopted too.
    eventually("only serve and the editor are left", || async {
        (children(host.init_pid()).len() == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sigterm_ends_everything() {
    let mut host = started();
    ended(&host.orchestrator(), PhaseName::Editor).await;
    let (editor, serve) = (host.editor_pid(), host.serve_pid(None).await);
    assert_eq!(host.stop(), 0);
    for pid in [editor, serve] {
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
    assert!(!host.path("run/bridge.sock").exists());
}

#[tokio::test]
async fn children_have_no_privileges_and_no_secrets() {
    let host = started();
    ended(&host.orchestrator(), PhaseName::Editor).await;
    let editor = host.editor_pid();
    let uid = host.launch.uid;
    assert_eq!(status(editor, "Uid"), format!("{uid} {uid} {uid} {uid}"));
    assert_eq!(status(editor, "NoNewPrivs"), "1");
    assert_eq!(status(editor, "CapEff"), "0000000000000000");
    if is_root() {
        assert_eq!(status(editor, "Groups"), "");
        for set in ["CapInh", "CapPrm", "CapBnd", "CapAmb"] {
            assert_eq!(status(editor, set), "0000000000000000", "{set}");
        }
    }
    let environment = get(&host.gateway(), Target::Editor, "/environment").await;
    assert!(
        environment.contains("\nVSCODE_PROXY_URI=https://{{port}}-"),
        "{environment}"
    );
    assert!(
        environment.contains("\n__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS=.kalpana.localhost\n"),
        "{environment}"
    );
    assert!(
        environment.contains(&format!("\nHOME={}\n", host.launch.home)),
        "{environment}"
    );
    for secret in ["KALPANA_", "canary", &host.launch.keys.gateway.expose()] {
        assert!(!environment.contains(secret), "{secret} in {environment}");
    }
}

#[tokio::test]
async fn ports_are_forwarded_both_ways_with_half_close() {
    let host = started();
    rpc(&host.orchestrator()).await;
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(address).await else {
            // A machine without IPv6 has nothing to forward to.
            assert_eq!(address, "[::1]:0");
            continue;
        };
        let port = listener.local_addr().unwrap().port().try_into().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut all = Vec::new();
            // Ends only when the client has closed its half.
            stream.read_to_end(&mut all).await.unwrap();
            stream.write_all(&all).await.unwrap();
        });
        let mut stream = open(&host.gateway(), Target::Port(port)).await.unwrap();
        let sent: Vec<u8> = (0..1_000_000u32).map(|number| number as u8).collect();
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
        server.await.unwrap();
        let outcome = open(&host.gateway(), Target::Port(port)).await;
        let Err(ConnectError::Refused { port: refused, .. }) = outcome else {
            panic!("nobody listens: {outcome:?}");
        };
        assert_eq!(refused, port);
    }
}

#[tokio::test]
async fn a_refusal_names_a_port_that_is_open() {
    let host = started();
    rpc(&host.orchestrator()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open_port = listener.local_addr().unwrap().port();
    let closed: NonZeroU16 = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port().try_into().unwrap()
    };
    let outcome = open(&host.gateway(), Target::Port(closed)).await;
    let Err(ConnectError::Refused { listening, .. }) = outcome else {
        panic!("nobody listens: {outcome:?}");
    };
    // Sixteen are named, and on this machine others may listen too.
    let named: Vec<u16> = listening.iter().collect();
    assert!(
        named.contains(&open_port) || named.len() == 16,
        "{open_port} in {named:?}"
    );
    assert!(!named.contains(&closed.get()));
}

/// Sends a line to the bridge and returns its answer, up to the end of the connection.
async fn answer(host: &Host, line: &[u8]) -> String {
    let mut stream = UnixStream::connect(host.path("run/bridge.sock"))
        .await
        .unwrap();
    stream.write_all(line).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

#[tokio::test]
async fn only_a_fresh_preamble_of_this_generation_opens_the_door() {
    let host = started();
    rpc(&host.orchestrator()).await;
    let keys = &host.launch.keys;
    let now = kalpana_bridge::clock::unix_seconds();
    let good = || Preamble {
        target: Target::Port(9.try_into().unwrap()),
        workspace: WORKSPACE.into(),
        generation: GENERATION,
        expires: now + 60,
        audience: Audience::Gateway,
        nonce: [1; 16],
    };
    let denied = preamble::answer(Err(Denial::Denied));
    let line = |preamble: Preamble| preamble.sign(&keys.gateway);
    let other = line(Preamble {
        workspace: "abcdefghijk2".into(),
        ..good()
    });
    assert_eq!(answer(&host, other.as_bytes()).await, denied);
    let rpc = line(Preamble {
        target: Target::Rpc,
        ..good()
    });
    assert_eq!(answer(&host, rpc.as_bytes()).await, denied);
    let forged = good().sign(&keys.orchestrator);
    assert_eq!(answer(&host, forged.as_bytes()).await, denied);
    let old = line(Preamble {
        generation: GENERATION - 1,
        ..good()
    });
    assert_eq!(
        answer(&host, old.as_bytes()).await,
        "error wrong_generation\n"
    );
    let late = line(Preamble {
        expires: now - 3600,
        ..good()
    });
    assert_eq!(answer(&host, late.as_bytes()).await, "error expired\n");
    for garbage in [
        &b"\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 600],
        &[b'x'; 512],
    ] {
        assert_eq!(answer(&host, garbage).await, "error malformed\n");
    }
    let early = format!("{}GET / HTTP/1.1\r\n\r\n", line(good()));
    assert_eq!(answer(&host, early.as_bytes()).await, "error malformed\n");
    // None of these has used the nonce up; the good line does.
    let refused = answer(&host, line(good()).as_bytes()).await;
    assert!(refused.starts_with("error refused"), "{refused}");
    assert_eq!(answer(&host, line(good()).as_bytes()).await, denied);
}

#[tokio::test]
async fn silent_dialler_is_hung_up_on() {
    let host = started();
    rpc(&host.orchestrator()).await;
    assert_eq!(answer(&host, b"kalpana/1 ").await, "error malformed\n");
}

#[tokio::test]
async fn repository_is_cloned_once_and_never_again() {
    let mut host = Host::new();
    let server = FileServer::start(&host, "repository.git").await;
    host.launch.repository = Some(repository(&server.url("repository.git"), Some("main")));
    // What an attempt left that was cut off.
    std::fs::create_dir(host.path("workspace/.kalpana-clone-1")).unwrap();
    give_workspace_to_user(&host);
    host.start();
    let phase = ended(&host.orchestrator(), PhaseName::Clone).await;
    assert_eq!(phase.status, PhaseStatus::Done, "{phase:?}");
    assert_eq!(
        phase.detail,
        Some(format!(
            "cloned {} (branch main)",
            server.url("repository.git")
        ))
    );
    let readme = host.path("workspace/project/README");
    assert_eq!(std::fs::read_to_string(&readme).unwrap(), "first\n");
    if is_root() {
        let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&readme).unwrap());
        assert_eq!(owner, host.launch.uid);
    }
    assert_eq!(names(&host.path("workspace")), ["project"]);
    assert_eq!(host.stop(), 0);

    // The user's work is there, and the repository is not: nothing may touch either.
    std::fs::write(&readme, "mine\n").unwrap();
    drop(server);
    host.start();
    let phase = ended(&host.orchestrator(), PhaseName::Clone).await;
    assert_eq!(
        (phase.status, phase.detail.as_deref()),
        (PhaseStatus::Done, Some("already there"))
    );
    assert_eq!(std::fs::read_to_string(&readme).unwrap(), "mine\n");
}

#[tokio::test]
async fn clone_that_fails_says_why_and_leaves_nothing() {
    let server_host = Host::new();
    let server = FileServer::start(&server_host, "repository.git").await;
    let good = server.url("repository.git");
    let missing = server.url("missing.git");
    for (url, branch, reason) in [
        (good.as_str(), Some("nowhere"), "has no branch \"nowhere\""),
        (missing.as_str(), None, "There is no repository at"),
        (
            "http://127.0.0.1:1/x.git",
            None,
            "cannot be reached from the workspace",
        ),
        (
            "http://nowhere.invalid/x.git",
            None,
            "is not known inside the workspace",
        ),
    ] {
        let mut host = Host::new();
        host.launch.repository = Some(repository(url, branch));
        host.start();
        let phase = ended(&host.orchestrator(), PhaseName::Clone).await;
        assert_eq!(
            (phase.status, phase.code.as_deref()),
            (PhaseStatus::Failed, Some(Phase::CLONE_FAILED))
        );
        let message = phase.message.unwrap();
        assert!(message.contains(reason), "{message}");
        assert_eq!(names(&host.path("workspace")), Vec::<String>::new());
        // Nobody is shown an editor without what it should show.
        let editor = open(&host.gateway(), Target::Editor).await;
        assert!(matches!(editor, Err(ConnectError::NotReady)), "{editor:?}");
        eventually("the editor is gone", || async {
            (children(host.init_pid()).len() == 1).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn clone_that_serve_did_not_survive_is_done_again() {
    let mut host = Host::new();
    // Accepts and never answers, so that Git waits.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x.git", listener.local_addr().unwrap());
    host.launch.repository = Some(repository(&url, None));
    host.start();
    let (first, _) = listener.accept().await.unwrap();
    let serve = host.serve_pid(None).await;
    signal(serve, Signal::KILL);
    let (second, _) = tokio::time::timeout(LIMIT, listener.accept())
        .await
        .unwrap()
        .unwrap();
    drop((first, second));
    drop(listener);
    let phase = ended(&host.orchestrator(), PhaseName::Clone).await;
    assert_eq!(phase.status, PhaseStatus::Failed);
    assert_eq!(names(&host.path("workspace")), Vec::<String>::new());
}

#[tokio::test]
async fn conversation_follows_its_rules() {
    let host = started();
    ended(&host.orchestrator(), PhaseName::Editor).await;
    let (client, _notifications) = rpc(&host.orchestrator()).await;
    let phases: Vec<_> = client
        .initialized()
        .phases
        .iter()
        .map(|phase| (phase.name, phase.status))
        .collect();
    assert_eq!(
        phases,
        [
            (PhaseName::Boot, PhaseStatus::Done),
            (PhaseName::Clone, PhaseStatus::Done),
            (PhaseName::Editor, PhaseStatus::Done),
        ]
    );
    let info = client.environment_info(LIMIT).await.unwrap();
    assert_eq!(
        (info.workspace.as_str(), info.generation),
        (WORKSPACE, GENERATION)
    );
    assert_eq!(
        (info.user.uid, info.user.home.as_str()),
        (host.launch.uid, host.launch.home.as_str())
    );
    let code = |outcome: Result<Value, CallError>| match outcome {
        Err(CallError::Rpc(error)) => error.code,
        other => panic!("{other:?}"),
    };
    let unknown = client.request("fs/read", &Value::Null, LIMIT).await;
    assert_eq!(code(unknown), RpcError::METHOD_NOT_FOUND);
    let again = client.request("initialize", &Value::Null, LIMIT).await;
    assert_eq!(code(again), RpcError::INVALID_REQUEST);
}

#[tokio::test]
async fn activity_names_busy_programs_and_not_the_editor() {
    let host = started();
    ended(&host.orchestrator(), PhaseName::Editor).await;
    let (client, _notifications) = rpc(&host.orchestrator()).await;
    let methods = &client.initialized().methods;
    assert_eq!(methods, &["activity", "env/info", "work/summary"]);
    let first = client.activity(LIMIT).await.unwrap();
    assert!(first.busiest.len() <= BUSIEST_LIMIT);
    let response = get(&host.gateway(), Target::Editor, "/busy").await;
    let busy: u32 = response.lines().last().unwrap().parse().unwrap();
    let is_busy = |activity: &Activity| {
        let found = activity.busiest.iter().find(|process| process.pid == busy);
        found.is_some_and(|process| process.cpu_millis > 50)
    };
    let activity = eventually("the busy program is seen", || async {
        Some(client.activity(LIMIT).await.unwrap()).filter(is_busy)
    })
    .await;
    assert!(activity.window_seconds > 0, "{activity:?}");
    let commands: Vec<_> = activity
        .busiest
        .iter()
        .map(|process| process.command.as_str())
        .collect();
    assert_eq!(commands[0], "perl -e alarm 60; 1 while 1 busy-work");
    // Nothing of this machine that is not the bridge's, and nothing of the editor's.
    assert_eq!(commands.len(), 1, "{commands:?}");
    assert_eq!(activity.cpu_millis, activity.busiest[0].cpu_millis);
}

/// Opens `rpc` by hand and sends `request` as the handshake.
async fn handshake(host: &Host, headers: &str) -> (String, UnixStream) {
    let orchestrator = host.orchestrator();
    let mut stream = open(&orchestrator, Target::Rpc).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: bridge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        response.push(stream.read_u8().await.unwrap());
    }
    (String::from_utf8(response).unwrap(), stream)
}

/// Wraps a text into a frame of a client; its mask is zero, so that the text stays as it is.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

#[tokio::test]
async fn browsers_and_other_protocols_are_refused() {
    let host = started();
    rpc(&host.orchestrator()).await;
    let ours = "Sec-WebSocket-Protocol: kalpana.bridge.v1\r\n";
    let (response, _) = handshake(&host, &format!("{ours}Origin: https://evil.example\r\n")).await;
    assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
    let (response, _) = handshake(&host, "Sec-WebSocket-Protocol: other\r\n").await;
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    let (response, _) = handshake(&host, ours).await;
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
}

#[tokio::test]
async fn bad_frames_are_answered_or_end_the_connection_and_nothing_else() {
    let host = started();
    rpc(&host.orchestrator()).await;
    let ours = "Sec-WebSocket-Protocol: kalpana.bridge.v1\r\n";
    for (sent, expected) in [
        ("nonsense".to_owned(), "-32700"),
        ("[]".to_owned(), "-32600"),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"env/info"}"#.to_owned(),
            r#""id":7,"error":{"code":-32002"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"initialize"}"#.to_owned(),
            "-32602",
        ),
        ("[".repeat(1000), "-32700"),
    ] {
        let (_, mut stream) = handshake(&host, ours).await;
        stream.write_all(&frame(&sent)).await.unwrap();
        let mut answer = vec![0; 2];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[0], 0x81, "a whole text frame");
        let mut body = vec![0; usize::from(answer[1])];
        stream.read_exact(&mut body).await.unwrap();
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains(expected), "{sent}: {body}");
    }
    // Longer than a frame may be: only the header is needed to know.
    let (_, mut stream) = handshake(&host, ours).await;
    stream
        .write_all(&frame(&"x".repeat(2 << 20))[..14])
        .await
        .unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection is closed");
    // The bridge is none the worse.
    rpc(&host.orchestrator())
        .await
        .0
        .environment_info(LIMIT)
        .await
        .unwrap();
}

#[tokio::test]
async fn client_that_does_not_read_is_dropped_and_nobody_else_waits() {
    let host = started();
    let gateway = host.gateway();
    ended(&host.orchestrator(), PhaseName::Editor).await;
    let ours = "Sec-WebSocket-Protocol: kalpana.bridge.v1\r\n";
    let (_, mut deaf) = handshake(&host, ours).await;
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocol":"kalpana.bridge.v1","client":"deaf"}}"#;
    deaf.write_all(&frame(hello)).await.unwrap();
    // Each answer that is not taken fills the socket, until the bridge has had enough.
    let ask = frame(r#"{"jsonrpc":"2.0","id":2,"method":"env/info"}"#);
    let flooding = async { while deaf.write_all(&ask).await.is_ok() {} };
    tokio::time::timeout(LIMIT, flooding)
        .await
        .expect("the bridge hangs up");
    assert!(
        get(&gateway, Target::Editor, "/")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn output_reaches_the_log_and_the_clients() {
    let mut host = Host::new();
    std::fs::write(
        host.path("editor"),
        "#!/bin/sh\necho a sentence\nexec sleep 0\n",
    )
    .unwrap();
    host.start();
    let (_client, mut notifications) = rpc(&host.orchestrator()).await;
    let line = host.logged(|line| line.source == LogSource::Editor);
    assert_eq!(line.text, "a sentence");
    let waiting = async {
        loop {
            match notifications.next().await {
                Some(Notification::Log(line)) if line.source == LogSource::Editor => return line,
                Some(_) => {}
                None => panic!("the bridge hung up"),
            }
        }
    };
    let line = tokio::time::timeout(LIMIT, waiting).await.unwrap();
    assert_eq!(line.text, "a sentence");
    // It ends again and again, which is a failure in the end.
    let phase = ended(&host.orchestrator(), PhaseName::Editor).await;
    assert_eq!(
        (phase.status, phase.code.as_deref()),
        (PhaseStatus::Failed, Some(Phase::EDITOR_FAILED))
    );
}

#[tokio::test]
async fn bridge_without_good_settings_says_so_in_one_line_and_ends() {
    let host = Host::new();
    for (file, expected) in [
        (None, "cannot read"),
        (Some("{}".to_owned()), "is not a launch file"),
        (
            Some(
                serde_json::to_string(&host.launch)
                    .unwrap()
                    .replace("\"version\":1", "\"version\":9"),
            ),
            "version 9",
        ),
    ] {
        if let Some(file) = file {
            let path = host.path("run/launch.json");
            std::fs::write(&path, file).unwrap();
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o640);
            std::fs::set_permissions(path, private).unwrap();
        }
        let output = host.command().output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: kalpana_protocol::bridge::LogLine = serde_json::from_str(&text).unwrap();
        assert!(line.text.contains(expected), "{}", line.text);
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = directory.read_dir().unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn give_workspace_to_user(host: &Host) {
    let workspace = host.path("workspace");
    let leftover = workspace.join(".kalpana-clone-1");
    for path in [leftover, workspace] {
        std::os::unix::fs::chown(path, Some(host.launch.uid), Some(host.launch.gid)).unwrap();
    }
}

/// Serves the files of a repository over HTTP, which is all that Git needs to clone it.
struct FileServer {
    address: std::net::SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl FileServer {
    async fn start(host: &Host, name: &str) -> Self {
        let root = host.path("served");
        std::fs::create_dir(&root).unwrap();
        bare_repository(&root.join(name));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve_file(stream, root.clone()));
            }
        });
        Self { address, task }
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve_file(mut stream: tokio::net::TcpStream, root: PathBuf) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            return;
        };
        request.push(byte);
    }
    let request = String::from_utf8(request).unwrap();
    let path = request
        .split(' ')
        .nth(1)
        .unwrap()
        .split('?')
        .next()
        .unwrap();
    let (status, body) = match std::fs::read(root.join(path.trim_start_matches('/'))) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.into_bytes(), body].concat()).await;
}
