//! The Docker engine, over its Unix socket.

mod heartbeat;
mod porter;
mod volumes;

pub(crate) use porter::DockerPorter;

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bollard::models::{
    ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum, EventMessage, Ipam,
    IpamConfig, Network, NetworkCreateRequest, SystemInfo, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, EventsOptions, InspectContainerOptions, ListContainersOptions,
    ListNetworksOptions, LogsOptions, RemoveContainerOptions, StartContainerOptions,
    StopContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use kalpana_domain::Timestamp;
use kalpana_domain::id::WorkspaceId;

use super::{
    Call, Capabilities, ContainerSeen, ContainerState, Death, Engine, EngineError, EngineEvent,
    EngineResult, Inspection, NetworkSeen,
};
use crate::container::{ContainerDefinition, validate};
use crate::labels;
use crate::metrics::Metrics;
use crate::network::{INTER_CONTAINER, NetworkDefinition, Subnet};
use crate::volume::VolumeDefinition;
use heartbeat::Heart;

/// Deadline of calls that only look.
const LOOK: Duration = Duration::from_secs(30);
/// Deadline of calls that make or start something.
const MAKE: Duration = Duration::from_secs(60);
/// What a stop may take beyond the container's own time.
const STOP_MARGIN: Duration = Duration::from_secs(15);
/// Longest message of the engine that is passed on, in characters.
const MESSAGE_LIMIT: usize = 300;
/// Deadline of a connection in the client itself: above every deadline of ours, so that ours are
/// the ones that are told.
const CLIENT_LIMIT: Duration = Duration::from_secs(600);

/// The Docker engine behind one socket. It need not answer when this is made.
#[derive(Debug, Clone)]
pub(crate) struct DockerEngine {
    socket: PathBuf,
    instance: String,
    metrics: Metrics,
    /// The client, once a version was agreed on. Dropped when the engine stops answering: another
    /// version may come back.
    client: Arc<Mutex<Option<Docker>>>,
    heart: Heart,
}

impl DockerEngine {
    /// Makes the engine behind `socket`, seeing only what is labelled with `instance`.
    pub(crate) fn new(socket: PathBuf, instance: String, metrics: Metrics) -> Self {
        Self {
            socket,
            instance,
            metrics,
            client: Arc::default(),
            heart: Heart::default(),
        }
    }

    /// Runs one call under its deadline, tells errors apart, and counts it.
    async fn call<T, F>(
        &self,
        call: Call,
        limit: Duration,
        ask: impl FnOnce(Docker) -> F + Send,
    ) -> EngineResult<T>
    where
        F: Future<Output = Result<T, bollard::errors::Error>> + Send,
    {
        let began = Instant::now();
        let asking = async {
            let client = self.client().await?;
            ask(client).await
        };
        let asking = self.heart.during(tokio::time::timeout(limit, asking));
        let result = match asking.await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(self.sort(call, error)),
            Ok(Err(_)) => Err(EngineError::TimedOut { call, limit }),
            Err(silence) => Err(EngineError::Unavailable {
                socket: self.socket.clone(),
                source: Box::new(silence),
            }),
        };
        if result.as_ref().is_err_and(EngineError::is_unavailable) {
            *self.lock() = None;
        }
        self.metrics.call(call, began.elapsed(), &result);
        result
    }

    async fn client(&self) -> Result<Docker, bollard::errors::Error> {
        if let Some(client) = self.lock().clone() {
            return Ok(client);
        }
        let client = self.connect()?.negotiate_version().await?;
        *self.lock() = Some(client.clone());
        Ok(client)
    }

    /// Makes a client. Nothing is asked yet.
    fn connect(&self) -> Result<Docker, bollard::errors::Error> {
        let socket = self.socket.to_string_lossy();
        Docker::connect_with_unix(&socket, CLIENT_LIMIT.as_secs(), API_DEFAULT_VERSION)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Docker>> {
        self.client.lock().expect("no holder panics")
    }

    fn sort(&self, call: Call, error: bollard::errors::Error) -> EngineError {
        use bollard::errors::Error;
        match error {
            Error::DockerResponseServerError {
                status_code,
                message,
            } => {
                let message = message.chars().take(MESSAGE_LIMIT).collect();
                match status_code {
                    404 => EngineError::NotFound { call, message },
                    // An address or a bridge's name in use is a 403 or a 500 with a sentence.
                    409 => EngineError::Conflict { call, message },
                    _ => EngineError::Refused {
                        call,
                        status: status_code,
                        message,
                    },
                }
            }
            error @ (Error::JsonDataError { .. }
            | Error::JsonSerdeError { .. }
            | Error::StrParseError { .. }
            | Error::DockerStreamError { .. }) => EngineError::Unreadable {
                call,
                source: Box::new(error),
            },
            error => EngineError::Unavailable {
                socket: self.socket.clone(),
                source: Box::new(error),
            },
        }
    }

    fn ours(&self) -> String {
        format!("{}={}", labels::INSTANCE, self.instance)
    }

    async fn seen(&self, summary: ContainerSummary) -> EngineResult<Option<ContainerSeen>> {
        let (Some(id), labels) = (summary.id, summary.labels.unwrap_or_default()) else {
            return Ok(None);
        };
        let state = match summary.state {
            Some(ContainerSummaryStateEnum::CREATED) => ContainerState::Created,
            Some(ContainerSummaryStateEnum::EXITED | ContainerSummaryStateEnum::DEAD) => {
                match self.death(&id).await {
                    Ok(state) => state,
                    Err(EngineError::NotFound { .. }) => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
            Some(ContainerSummaryStateEnum::PAUSED) => ContainerState::Paused,
            // Gone in a moment; naming it would only make us remove it twice.
            Some(ContainerSummaryStateEnum::REMOVING) => return Ok(None),
            _ => ContainerState::Running,
        };
        let name = summary
            .names
            .unwrap_or_default()
            .into_iter()
            .next()
            .unwrap_or_default();
        let created_at = summary
            .created
            .and_then(|at| Timestamp::from_second(at).ok());
        Ok(Some(ContainerSeen {
            id,
            name: name.trim_start_matches('/').to_owned(),
            workspace: labels::workspace(&labels),
            generation: labels::generation(&labels),
            spec_hash: labels.get(labels::SPEC_HASH).cloned(),
            assets: labels::assets(&labels),
            created_at: created_at.unwrap_or_default(),
            state,
        }))
    }

    /// Returns how a container ended, or that it runs again.
    async fn death(&self, id: &str) -> EngineResult<ContainerState> {
        let call = Call::InspectContainer;
        let found = self
            .call(call, LOOK, |docker| {
                let id = id.to_owned();
                async move {
                    docker
                        .inspect_container(&id, None::<InspectContainerOptions>)
                        .await
                }
            })
            .await?;
        let state = found.state.unwrap_or_default();
        if state.status == Some(ContainerStateStatusEnum::RUNNING) {
            return Ok(ContainerState::Running);
        }
        if state.status == Some(ContainerStateStatusEnum::PAUSED) {
            return Ok(ContainerState::Paused);
        }
        Ok(ContainerState::Exited(Death {
            code: state.exit_code.unwrap_or(-1),
            is_out_of_memory: state.oom_killed.unwrap_or(false),
        }))
    }
}

#[async_trait]
impl Engine for DockerEngine {
    async fn capabilities(&self) -> EngineResult<Capabilities> {
        let info = self
            .call(
                Call::Info,
                LOOK,
                |docker| async move { docker.info().await },
            )
            .await?;
        Ok(capabilities(&info))
    }

    async fn has_image(&self, image: &str) -> EngineResult<bool> {
        let image = image.to_owned();
        let ask = |docker: Docker| async move { docker.inspect_image(&image).await };
        match self.call(Call::InspectImage, LOOK, ask).await {
            Ok(_) => Ok(true),
            Err(EngineError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn networks(&self) -> EngineResult<Vec<NetworkSeen>> {
        let ask =
            |docker: Docker| async move { docker.list_networks(None::<ListNetworksOptions>).await };
        let networks = self.call(Call::ListNetworks, LOOK, ask).await?;
        Ok(networks
            .into_iter()
            .filter_map(|network| network_seen(network, &self.instance))
            .collect())
    }

    async fn create_network(&self, definition: &NetworkDefinition) -> EngineResult<()> {
        let request = NetworkCreateRequest {
            name: definition.name.clone(),
            driver: Some("bridge".to_owned()),
            internal: Some(definition.is_internal),
            attachable: Some(false),
            enable_ipv6: Some(false),
            ipam: Some(Ipam {
                driver: Some("default".to_owned()),
                config: Some(vec![IpamConfig {
                    subnet: Some(definition.subnet.to_string()),
                    gateway: Some(definition.subnet.gateway().to_string()),
                    ..Default::default()
                }]),
                options: None,
            }),
            options: Some(definition.options.clone()),
            labels: Some(definition.labels.clone()),
            ..Default::default()
        };
        let ask = |docker: Docker| async move { docker.create_network(request).await };
        self.call(Call::CreateNetwork, MAKE, ask).await.map(|_| ())
    }

    async fn remove_network(&self, id: &str) -> EngineResult<()> {
        let id = id.to_owned();
        let ask = |docker: Docker| async move { docker.remove_network(&id).await };
        absent_is_fine(self.call(Call::RemoveNetwork, MAKE, ask).await)
    }

    async fn create_volume(&self, definition: &VolumeDefinition) -> EngineResult<()> {
        let request = VolumeCreateRequest {
            name: Some(definition.name.clone()),
            driver: Some("local".to_owned()),
            labels: Some(definition.labels.clone()),
            ..Default::default()
        };
        let ask = |docker: Docker| async move { docker.create_volume(request).await };
        self.call(Call::CreateVolume, MAKE, ask).await.map(|_| ())
    }

    async fn containers(&self, of: Option<WorkspaceId>) -> EngineResult<Vec<ContainerSeen>> {
        let mut wanted = vec![self.ours()];
        wanted.extend(of.map(|workspace| format!("{}={workspace}", labels::WORKSPACE)));
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), wanted)])),
            ..Default::default()
        };
        let ask = |docker: Docker| async move { docker.list_containers(Some(options)).await };
        let summaries = self.call(Call::ListContainers, LOOK, ask).await?;
        let mut seen = Vec::with_capacity(summaries.len());
        for summary in summaries {
            seen.extend(self.seen(summary).await?);
        }
        Ok(seen)
    }

    async fn create_container(&self, definition: &ContainerDefinition) -> EngineResult<()> {
        validate(definition)?;
        let options = CreateContainerOptions {
            name: Some(definition.name.clone()),
            ..Default::default()
        };
        let body = definition.body.clone();
        let ask =
            |docker: Docker| async move { docker.create_container(Some(options), body).await };
        match self.call(Call::CreateContainer, MAKE, ask).await {
            Ok(created) => {
                for warning in created.warnings {
                    tracing::warn!(
                        container = definition.name,
                        warning,
                        "the engine warns about {}: {warning}",
                        definition.name
                    );
                }
                Ok(())
            }
            Err(EngineError::NotFound { message, .. }) if message.contains("image") => {
                let image = definition.body.image.clone().unwrap_or_default();
                Err(EngineError::ImageMissing { image })
            }
            Err(error) => Err(error),
        }
    }

    async fn inspect_container(&self, id: &str) -> EngineResult<Inspection> {
        let id = id.to_owned();
        let ask = |docker: Docker| async move {
            docker
                .inspect_container(&id, None::<InspectContainerOptions>)
                .await
        };
        let found = self.call(Call::InspectContainer, LOOK, ask).await?;
        let networks = found
            .network_settings
            .and_then(|settings| settings.networks);
        Ok(Inspection {
            host: found.host_config.unwrap_or_default(),
            mounts: found.mounts.unwrap_or_default(),
            user: found
                .config
                .and_then(|config| config.user)
                .unwrap_or_default(),
            networks: networks.unwrap_or_default().into_keys().collect(),
            pid: found
                .state
                .and_then(|state| u32::try_from(state.pid?).ok())
                .filter(|pid| *pid != 0),
        })
    }

    async fn start_container(&self, id: &str) -> EngineResult<()> {
        let id = id.to_owned();
        let ask = |docker: Docker| async move {
            docker
                .start_container(&id, None::<StartContainerOptions>)
                .await
        };
        self.call(Call::StartContainer, MAKE, ask).await
    }

    async fn pause_container(&self, id: &str) -> EngineResult<()> {
        let id = id.to_owned();
        let ask = |docker: Docker| async move { docker.pause_container(&id).await };
        already_so_is_fine(self.call(Call::PauseContainer, MAKE, ask).await)
    }

    async fn unpause_container(&self, id: &str) -> EngineResult<()> {
        let id = id.to_owned();
        let container = id.clone();
        let ask = |docker: Docker| async move { docker.unpause_container(&container).await };
        let outcome = self.call(Call::UnpauseContainer, MAKE, ask).await;
        // The engine and what runs containers may disagree: what it lists is what we go by.
        if outcome.is_err() && self.death(&id).await? == ContainerState::Paused {
            return outcome;
        }
        already_so_is_fine(outcome)
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> EngineResult<()> {
        let id = id.to_owned();
        let options = StopContainerOptions {
            t: Some(i32::try_from(grace.as_secs()).unwrap_or(i32::MAX)),
            ..Default::default()
        };
        let ask = |docker: Docker| async move { docker.stop_container(&id, Some(options)).await };
        absent_is_fine(
            self.call(Call::StopContainer, grace + STOP_MARGIN, ask)
                .await,
        )
    }

    async fn remove_container(&self, id: &str) -> EngineResult<()> {
        let id = id.to_owned();
        let options = RemoveContainerOptions {
            force: true,
            v: false,
            link: false,
        };
        let ask = |docker: Docker| async move { docker.remove_container(&id, Some(options)).await };
        match self.call(Call::RemoveContainer, MAKE, ask).await {
            // Somebody is removing it already, an earlier call of ours perhaps.
            Err(EngineError::Conflict { message, .. }) if message.contains("in progress") => Ok(()),
            other => absent_is_fine(other),
        }
    }

    fn logs(&self, id: &str, tail: usize, follow: bool) -> BoxStream<'static, EngineResult<Bytes>> {
        let (this, id) = (self.clone(), id.to_owned());
        let options = LogsOptions {
            follow,
            stdout: true,
            stderr: true,
            timestamps: true,
            tail: tail.to_string(),
            ..Default::default()
        };
        let opening = async move {
            let connecting = |docker: Docker| async move { Ok(docker) };
            match this.call(Call::Logs, LOOK, connecting).await {
                Ok(docker) => docker
                    .logs(&id, Some(options))
                    .map(move |chunk| match chunk {
                        Ok(output) => Ok(output.into_bytes()),
                        Err(error) => Err(this.sort(Call::Logs, error)),
                    })
                    .boxed(),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            }
        };
        stream::once(opening).flatten().boxed()
    }

    fn events(&self) -> BoxStream<'static, EngineResult<EngineEvent>> {
        let this = self.clone();
        let filters = HashMap::from([
            ("label".to_owned(), vec![self.ours()]),
            ("type".to_owned(), vec!["container".to_owned()]),
        ]);
        let options = EventsOptions {
            filters: Some(filters),
            ..Default::default()
        };
        let opening = async move {
            let connecting = |docker: Docker| async move { Ok(docker) };
            match this.call(Call::Events, LOOK, connecting).await {
                Ok(docker) => docker
                    .events(Some(options))
                    .map(move |event| match event {
                        Ok(event) => Ok(EngineEvent {
                            workspace: event_workspace(event),
                        }),
                        Err(error) => Err(this.sort(Call::Events, error)),
                    })
                    .boxed(),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            }
        };
        stream::once(opening).flatten().boxed()
    }
}

fn absent_is_fine(result: EngineResult<()>) -> EngineResult<()> {
    match result {
        Err(EngineError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

/// Takes it for done that a container is frozen, or not, as it was to become.
fn already_so_is_fine(result: EngineResult<()>) -> EngineResult<()> {
    match &result {
        // Engines say it by a conflict, older ones by an error of their own.
        Err(EngineError::Conflict { message, .. } | EngineError::Refused { message, .. })
            if message.contains("already paused") || message.contains("not paused") =>
        {
            Ok(())
        }
        _ => result,
    }
}

/// Reads what matters of an engine's own description.
fn capabilities(info: &SystemInfo) -> Capabilities {
    let options = info.security_options.as_deref().unwrap_or_default();
    let has = |name: &str| options.iter().any(|option| option.contains(name));
    let root_uid = if has("name=rootless") {
        rustix::process::geteuid().as_raw()
    } else if has("name=userns") {
        // With remapped users the data directory is named after the remapped root.
        let directory = info.docker_root_dir.as_deref().unwrap_or_default();
        let last = directory.rsplit('/').next().unwrap_or_default();
        last.split_once('.')
            .and_then(|(uid, _)| uid.parse().ok())
            .unwrap_or(0)
    } else {
        0
    };
    Capabilities {
        version: info.server_version.clone().unwrap_or_default(),
        cpus: info
            .ncpu
            .and_then(|cpus| u64::try_from(cpus).ok())
            .unwrap_or(1)
            .max(1),
        limits_swap: info.swap_limit.unwrap_or(false),
        root_uid,
    }
}

fn network_seen(network: Network, instance: &str) -> Option<NetworkSeen> {
    let labels = network.labels.unwrap_or_default();
    let is_ours = labels
        .get(labels::INSTANCE)
        .is_some_and(|found| found == instance);
    let config = network
        .ipam
        .and_then(|ipam| ipam.config)
        .unwrap_or_default();
    let options = network.options.unwrap_or_default();
    Some(NetworkSeen {
        id: network.id?,
        name: network.name?,
        workspace: if is_ours {
            labels::workspace(&labels)
        } else {
            None
        },
        subnets: config
            .iter()
            .filter_map(|one| Subnet::parse(one.subnet.as_deref()?))
            .collect(),
        is_internal: network.internal.unwrap_or(false),
        is_open_inside: options
            .get(INTER_CONTAINER)
            .is_none_or(|icc| icc != "false"),
        created_at: network
            .created
            .and_then(|at| at.parse().ok())
            .unwrap_or_default(),
    })
}

fn event_workspace(event: EventMessage) -> Option<WorkspaceId> {
    labels::workspace(&event.actor?.attributes?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uid_of_containers_roots_follows_from_how_the_engine_runs() {
        let info = |option: &str, directory: &str| SystemInfo {
            security_options: Some(vec!["name=seccomp,profile=default".into(), option.into()]),
            docker_root_dir: Some(directory.into()),
            ..Default::default()
        };
        assert_eq!(capabilities(&info("", "/var/lib/docker")).root_uid, 0);
        let remapped = info("name=userns", "/var/lib/docker/100000.100000");
        assert_eq!(capabilities(&remapped).root_uid, 100_000);
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(
            capabilities(&info("name=rootless", "/home/ada/docker")).root_uid,
            own
        );
    }

    #[test]
    fn networks_of_others_are_seen_but_are_not_ours() {
        let network = |instance: &str| Network {
            id: Some("1".into()),
            name: Some("kal-abcdefghij01".into()),
            labels: Some(labels::of(
                instance,
                WorkspaceId::parse("abcdefghij01").unwrap(),
            )),
            ipam: Some(Ipam {
                config: Some(vec![IpamConfig {
                    subnet: Some("10.0.0.0/28".into()),
                    ..Default::default()
                }]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let seen = |instance| network_seen(network(instance), "mine").unwrap();
        assert!(seen("mine").workspace.is_some());
        assert_eq!(seen("theirs").workspace, None);
        assert_eq!(
            seen("theirs").subnets,
            vec![Subnet::parse("10.0.0.0/28").unwrap()]
        );
        assert!(
            seen("mine").is_open_inside,
            "what is not said is the engine's default"
        );
    }
}
