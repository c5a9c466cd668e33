//! Carries files with containers that live for one archive: they have the workspace's two volumes, no
//! network and no other files to write, and run the bridge's `pack` or `unpack`.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    Mount, MountType, MountVolumeOptions,
};
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, ListContainersOptions, StartContainerOptions,
    WaitContainerOptions,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use kalpana_domain::id::WorkspaceId;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::{DockerEngine, LOOK, MAKE};
use crate::container::{Host, seccomp};
use crate::engine::{Call, Engine as _, EngineError, EngineResult};
use crate::snapshot::porter::{Packed, Porter, PorterError, PorterResult};
use crate::{labels, volume};

/// The bridge, in the platform's part of the image.
const BRIDGE: &str = "/opt/kalpana/bridge";

/// What it needs to read and restore files of every owner and mode, and nothing else.
const CAPABILITIES: [&str; 4] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"];

/// Memory of such a container, in bytes: the bridge holds a few buffers.
const MEMORY: i64 = 256 << 20;

/// Last bytes that are kept of what it says.
const WORDS: usize = 4096;

/// Longest that carrying one archive may take.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// Longest that nothing of an archive may come.
const SILENCE: Duration = Duration::from_secs(600);

/// Largest archive, in bytes before it is compressed. A file may say of itself that it is larger than
/// any disk, and must not keep others from their snapshots.
const LARGEST: u64 = 256 << 30;

/// How long a container that is being removed is waited for.
const REMOVAL: Duration = Duration::from_secs(30);

/// Between two looks at whether it is gone.
const GLANCE: Duration = Duration::from_millis(100);

/// Carries files through the Docker engine.
#[derive(Debug, Clone)]
pub(crate) struct DockerPorter {
    engine: DockerEngine,
    host: Host,
    /// This process, told from those before it by chance.
    process: String,
}

impl DockerPorter {
    /// Carries files of the site that `host` is about.
    pub(crate) fn new(engine: DockerEngine, host: Host) -> Self {
        Self {
            engine,
            host,
            process: format!("{:016x}", rand::random::<u64>()),
        }
    }
}

#[async_trait]
impl Porter for DockerPorter {
    async fn pack(&self, workspace: WorkspaceId, to: mpsc::Sender<Bytes>) -> PorterResult<Packed> {
        let (words, bytes) = self.carry(Call::Pack, workspace, None, Some(to)).await?;
        // An engine that ends early what it passes on says nothing of it.
        let packed = packed(&words, bytes).ok_or_else(|| {
            let text = format!("the archive is not whole: {bytes} bytes of it arrived");
            PorterError::Failed(text)
        })?;
        if packed.skipped > 0 {
            tracing::warn!(
                workspace.id = %workspace, skipped = packed.skipped, words,
                "{} files of {workspace} are not in its archive", packed.skipped
            );
        }
        Ok(packed)
    }

    async fn unpack(
        &self,
        workspace: WorkspaceId,
        from: mpsc::Receiver<Bytes>,
    ) -> PorterResult<()> {
        // Two that write to one volume would leave a mixture.
        self.end(Some(workspace)).await?;
        let carried = self.carry(Call::Unpack, workspace, Some(from), None);
        carried.await.map(drop)
    }

    async fn clear(&self) -> PorterResult<()> {
        Ok(self.end(None).await?)
    }
}

impl DockerPorter {
    /// Runs a container from its creation to its removal. Returns its words, and how much it wrote.
    async fn carry(
        &self,
        call: Call,
        workspace: WorkspaceId,
        from: Option<mpsc::Receiver<Bytes>>,
        to: Option<mpsc::Sender<Bytes>>,
    ) -> PorterResult<(String, u64)> {
        let name = format!("kal-{workspace}-{call}-{:08x}", rand::random::<u32>());
        let mut body = definition(&self.host, call, workspace);
        let process = (labels::PORTER_PROCESS.to_owned(), self.process.clone());
        body.labels.get_or_insert_default().extend([process]);
        let options = CreateContainerOptions {
            name: Some(name.clone()),
            ..Default::default()
        };
        let made = self.engine.call(call, MAKE, |docker: Docker| async move {
            docker.create_container(Some(options), body).await
        });
        let container = Container {
            id: Some(made.await?.id),
            engine: self.engine.clone(),
        };
        let run = self.run(call, container.id(), from, to);
        let done = tokio::time::timeout(LONGEST, run).await;
        container.remove().await;
        done.unwrap_or_else(|_| {
            let hours = LONGEST.as_secs() / 3600;
            let text = format!("the files were not carried within {hours} hours");
            Err(PorterError::Failed(text))
        })
    }

    async fn run(
        &self,
        call: Call,
        id: &str,
        from: Option<mpsc::Receiver<Bytes>>,
        to: Option<mpsc::Sender<Bytes>>,
    ) -> PorterResult<(String, u64)> {
        let options = AttachContainerOptions {
            stream: true,
            stdin: from.is_some(),
            stdout: true,
            stderr: true,
            ..Default::default()
        };
        let (attached, started) = (id.to_owned(), id.to_owned());
        let attach =
            |docker: Docker| async move { docker.attach_container(&attached, Some(options)).await };
        let AttachContainerResults { output, input } = self.engine.call(call, MAKE, attach).await?;
        let start = |docker: Docker| async move {
            let options = None::<StartContainerOptions>;
            docker.start_container(&started, options).await
        };
        self.engine.call(call, MAKE, start).await?;
        let feed = feed(input, from);
        tokio::pin!(feed);
        let drain = drain(output, to);
        tokio::pin!(drain);
        let mut is_fed = false;
        let drained = loop {
            tokio::select! {
                drained = &mut drain => break drained,
                () = &mut feed, if !is_fed => is_fed = true,
            }
        };
        let (words, bytes) = match drained {
            Ok(drained) => drained,
            Err(Broken::Engine(error)) => return Err(self.engine.sort(call, error).into()),
            Err(Broken::Porter(error)) => return Err(error),
        };
        match self.exit_code(id).await? {
            0 => Ok((words, bytes)),
            code => {
                let last = words.lines().rev().find(|line| !line.trim().is_empty());
                let text = last.map_or_else(
                    || format!("the files were not carried: exit code {code}"),
                    str::to_owned,
                );
                Err(PorterError::Failed(text))
            }
        }
    }

    async fn exit_code(&self, id: &str) -> EngineResult<i64> {
        let id = id.to_owned();
        let wait = |docker: Docker| async move {
            let mut ended = docker.wait_container(&id, None::<WaitContainerOptions>);
            match ended.next().await {
                Some(Ok(ended)) => Ok(ended.status_code),
                Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => {
                    Ok(code)
                }
                Some(Err(error)) => Err(error),
                None => Ok(-1),
            }
        };
        self.engine.call(Call::InspectContainer, LOOK, wait).await
    }

    /// Removes the containers that carry files: of one workspace, or those of earlier processes.
    async fn end(&self, of: Option<WorkspaceId>) -> EngineResult<()> {
        let ended = async {
            loop {
                let found = self.list(of).await?;
                if found.is_empty() {
                    return Ok(());
                }
                for id in found {
                    match self.engine.remove_container(&id).await {
                        // It is being removed already.
                        Ok(()) | Err(EngineError::Conflict { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                tokio::time::sleep(GLANCE).await;
            }
        };
        let call = Call::RemoveContainer;
        tokio::time::timeout(REMOVAL, ended)
            .await
            .unwrap_or(Err(EngineError::TimedOut {
                call,
                limit: REMOVAL,
            }))
    }

    async fn list(&self, of: Option<WorkspaceId>) -> EngineResult<Vec<String>> {
        let mut wanted = vec![format!("{}={}", labels::PORTER, self.host.instance)];
        wanted.extend(of.map(|workspace| format!("{}={workspace}", labels::PORTER_OF)));
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), wanted)])),
            ..Default::default()
        };
        let ask = |docker: Docker| async move { docker.list_containers(Some(options)).await };
        let listed = self.engine.call(Call::ListContainers, LOOK, ask).await?;
        let is_own = |labels: &Option<HashMap<String, String>>| {
            let process = labels
                .as_ref()
                .and_then(|all| all.get(labels::PORTER_PROCESS));
            process == Some(&self.process)
        };
        Ok(listed
            .into_iter()
            .filter(|seen| of.is_some() || !is_own(&seen.labels))
            .filter_map(|seen| seen.id)
            .collect())
    }
}

/// A container that is removed with this value.
struct Container {
    engine: DockerEngine,
    /// Its id, until it is removed.
    id: Option<String>,
}

impl Container {
    fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }

    async fn remove(mut self) {
        if let Some(id) = self.id.clone() {
            remove(&self.engine, &id).await;
            self.id = None;
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            let engine = self.engine.clone();
            tokio::spawn(async move { remove(&engine, &id).await });
        }
    }
}

async fn remove(engine: &DockerEngine, id: &str) {
    if let Err(error) = engine.remove_container(id).await {
        tracing::warn!(
            container = id, %error,
            "could not remove the container {id}, which carried files; the next start of the \
             orchestrator does: {error}"
        );
    }
}

/// Hands what comes to a container, then the end of it. A container that has ended takes no more,
/// which its exit code explains.
async fn feed(mut input: Pin<Box<dyn AsyncWrite + Send>>, from: Option<mpsc::Receiver<Bytes>>) {
    let Some(mut from) = from else { return };
    while let Some(bytes) = from.recv().await {
        if input.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = input.shutdown().await;
}

/// Why nothing more is passed on.
enum Broken {
    Engine(bollard::errors::Error),
    Porter(PorterError),
}

/// Passes on what a container writes, and keeps the end of what it says, until it has ended. Returns
/// the latter, and how much it wrote.
async fn drain(
    mut output: Pin<
        Box<dyn futures_util::Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>,
    >,
    to: Option<mpsc::Sender<Bytes>>,
) -> Result<(String, u64), Broken> {
    let (mut words, mut bytes) = (Vec::new(), 0_u64);
    loop {
        // Who packs always has something to write; who unpacks says nothing until the end.
        let next = output.next();
        let read = if to.is_some() {
            let Ok(read) = tokio::time::timeout(SILENCE, next).await else {
                let minutes = SILENCE.as_secs() / 60;
                let text = format!("no file could be read for {minutes} minutes");
                return Err(Broken::Porter(PorterError::Failed(text)));
            };
            read
        } else {
            next.await
        };
        let Some(read) = read else {
            break;
        };
        match read {
            Ok(LogOutput::StdOut { message }) => {
                bytes = bytes.saturating_add(u64::try_from(message.len()).unwrap_or(u64::MAX));
                if bytes > LARGEST {
                    let gibibytes = LARGEST >> 30;
                    let text = format!("the files are larger than {gibibytes} GiB, holes included");
                    return Err(Broken::Porter(PorterError::Failed(text)));
                }
                if let Some(to) = &to
                    && to.send(message).await.is_err()
                {
                    return Err(Broken::Porter(PorterError::Unwanted));
                }
            }
            Ok(LogOutput::StdErr { message }) => {
                words.extend_from_slice(&message);
                let excess = words.len().saturating_sub(WORDS);
                words.drain(..excess);
            }
            Ok(_) => {}
            Err(error) => return Err(Broken::Engine(error)),
        }
    }
    Ok((String::from_utf8_lossy(&words).into_owned(), bytes))
}

/// Reads the numbers off the last line of `pack`: files, directories, bytes, files left out, and bytes
/// of archive. `None` unless those are as many as arrived.
fn packed(words: &str, arrived: u64) -> Option<Packed> {
    let last = words.lines().next_back()?.strip_prefix("packed ")?;
    let last = last.strip_suffix(" bytes of archive")?;
    let numbers: Vec<u64> = last
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect();
    let [files, _, _, skipped, written] = numbers[..] else {
        return None;
    };
    (written == arrived).then_some(Packed { files, skipped })
}

/// Returns the container that carries a workspace's files.
fn definition(host: &Host, call: Call, workspace: WorkspaceId) -> ContainerCreateBody {
    let mount = |source: String, target: &str| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(source),
        target: Some(target.to_owned()),
        read_only: Some(call == Call::Pack),
        // What the image has there is none of the workspace's files.
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    };
    let host_config = HostConfig {
        privileged: Some(false),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
        security_opt: Some(vec![
            "no-new-privileges:true".to_owned(),
            seccomp::option().to_owned(),
        ]),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        network_mode: Some("none".to_owned()),
        runtime: host.runtime.clone(),
        memory: Some(MEMORY),
        pids_limit: Some(64),
        oom_score_adj: Some(500),
        mounts: Some(vec![
            mount(
                volume::workspace_volume(workspace),
                volume::WORKSPACE_TARGET,
            ),
            mount(volume::home_volume(workspace), volume::HOME_TARGET),
        ]),
        // The archive is not to be written twice.
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        auto_remove: Some(false),
        init: Some(false),
        ..Default::default()
    };
    let is_fed = call == Call::Unpack;
    ContainerCreateBody {
        hostname: Some(workspace.to_string()),
        user: Some("0:0".to_owned()),
        working_dir: Some("/".to_owned()),
        entrypoint: Some(vec![BRIDGE.to_owned(), call.as_str().to_owned()]),
        cmd: Some(Vec::new()),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..Default::default()
        }),
        image: Some(host.image.clone()),
        labels: Some(HashMap::from([
            (labels::PORTER.to_owned(), host.instance.clone()),
            (labels::PORTER_OF.to_owned(), workspace.to_string()),
        ])),
        attach_stdin: Some(is_fed),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(is_fed),
        stdin_once: Some(is_fed),
        tty: Some(false),
        host_config: Some(host_config),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{host, workspace};

    #[test]
    fn the_bridge_says_how_many_files_there_were() {
        let words = "skipped a 1: b\npacked 12 files and 3 directories, 4567 bytes; skipped 1; \
                     10240 bytes of archive\n";
        let expected = Packed {
            files: 12,
            skipped: 1,
        };
        assert_eq!(packed(words, 10_240), Some(expected));
        // What did not arrive as a whole is none.
        assert_eq!(packed(words, 10_239), None);
        for cut in 0..words.len() - 1 {
            assert_eq!(packed(&words[..cut], 10_240), None, "{cut}");
        }
    }

    #[test]
    fn the_definition_is_what_people_reviewed() {
        let pack = definition(&host(), Call::Pack, workspace().id);
        let mut shown = serde_json::to_value(&pack).unwrap();
        shown["HostConfig"]["SecurityOpt"][1] = "seccomp=…".into();
        insta::assert_json_snapshot!(shown);
        let unpack = definition(&host(), Call::Unpack, workspace().id);
        let is_read_only = |body: &ContainerCreateBody| {
            let mounts = body
                .host_config
                .as_ref()
                .and_then(|host| host.mounts.clone());
            mounts
                .unwrap()
                .iter()
                .all(|mount| mount.read_only == Some(true))
        };
        assert!(is_read_only(&pack) && !is_read_only(&unpack));
        assert_eq!(
            unpack.entrypoint.unwrap(),
            ["/opt/kalpana/bridge", "unpack"]
        );
    }
}
