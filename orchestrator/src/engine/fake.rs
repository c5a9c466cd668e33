//! An engine in memory, for thousands of simulated runs: every call may fail before its effect,
//! lose its reply after it, or be the last thing the process sees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{MountPoint, MountType};
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
use crate::network::NetworkDefinition;
use crate::trash::{VolumeSeen, Volumes};
use crate::volume::VolumeDefinition;

/// What becomes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does as asked.
    Works,
    /// It fails and has no effect.
    Fails,
    /// It has its effect, but the reply is lost.
    LosesReply,
    /// The process dies before the call.
    CrashesBefore,
    /// The process dies after the call had its effect.
    CrashesAfter,
}

/// Decides what becomes of calls. Shared by everything outside the process under test.
pub(crate) trait Weather: std::fmt::Debug + Send {
    /// Returns the next call's fate.
    fn next(&mut self) -> Fate;
}

/// Weather that never changes.
#[derive(Debug)]
pub(crate) struct Calm;

impl Weather for Calm {
    fn next(&mut self) -> Fate {
        Fate::Works
    }
}

/// The outside world's mood, and whether the process under test is still alive.
#[derive(Debug, Clone)]
pub(crate) struct Sky(Arc<Mutex<(Box<dyn Weather>, bool)>>);

impl Sky {
    /// Makes a sky.
    pub(crate) fn new(weather: impl Weather + 'static) -> Self {
        Self(Arc::new(Mutex::new((Box::new(weather), false))))
    }

    /// Changes the weather.
    pub(crate) fn set(&self, weather: impl Weather + 'static) {
        self.0.lock().unwrap().0 = Box::new(weather);
    }

    /// Returns whether the process died, and lets the next one live.
    pub(crate) fn take_crash(&self) -> bool {
        std::mem::take(&mut self.0.lock().unwrap().1)
    }

    /// Runs an effect under the sky. `None` means that the caller gets an error.
    pub(crate) fn under<T>(&self, effect: impl FnOnce() -> T) -> Option<T> {
        let fate = {
            let mut sky = self.0.lock().unwrap();
            if sky.1 {
                return None; // The dead make no calls.
            }
            let fate = sky.0.next();
            sky.1 = matches!(fate, Fate::CrashesBefore | Fate::CrashesAfter);
            fate
        };
        match fate {
            Fate::Works => Some(effect()),
            Fate::Fails | Fate::CrashesBefore => None,
            Fate::LosesReply | Fate::CrashesAfter => {
                effect();
                None
            }
        }
    }
}

/// The engine's world, which outlives every process that talks to it.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) networks: BTreeMap<String, NetworkSeen>,
    pub(crate) volumes: BTreeSet<String>,
    pub(crate) has_image: bool,
    pub(crate) now: Timestamp,
    /// Says what an engine that drops fields does to what it was asked.
    pub(crate) drops: Option<fn(&mut Inspection)>,
    /// Whether no container can be frozen.
    pub(crate) cannot_freeze: bool,
    /// Whether no container can be thawed.
    pub(crate) cannot_thaw: bool,
    /// What containers wrote.
    pub(crate) log: Vec<u8>,
    next_id: u64,
}

/// A container of the fake.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) definition: ContainerDefinition,
    pub(crate) state: ContainerState,
    pub(crate) created_at: Timestamp,
    /// How often it was started.
    pub(crate) starts: u32,
}

/// An engine in memory.
#[derive(Debug, Clone)]
pub(crate) struct FakeEngine {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) sky: Sky,
}

impl FakeEngine {
    /// Makes an engine with nothing but the image.
    pub(crate) fn new(sky: Sky) -> Self {
        let world = World {
            has_image: true,
            ..World::default()
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            sky,
        }
    }

    fn ask<T>(
        &self,
        call: Call,
        effect: impl FnOnce(&mut World) -> EngineResult<T>,
    ) -> EngineResult<T> {
        let result = self.sky.under(|| effect(&mut self.world.lock().unwrap()));
        result.unwrap_or_else(|| {
            Err(EngineError::Unavailable {
                socket: PathBuf::from("/fake.sock"),
                source: format!("{call} under bad weather").into(),
            })
        })
    }
}

/// Returns what a faithful engine would report of a definition.
pub(crate) fn inspection_of(definition: &ContainerDefinition) -> Inspection {
    let host = definition.body.host_config.clone().unwrap();
    let mounts = host.mounts.iter().flatten().map(|mount| {
        let is_volume = mount.typ == Some(MountType::VOLUME);
        MountPoint {
            typ: mount.typ.as_ref().map(ToString::to_string),
            name: mount.source.clone().filter(|_| is_volume),
            source: mount.source.clone().filter(|_| !is_volume),
            destination: mount.target.clone(),
            ..Default::default()
        }
    });
    Inspection {
        mounts: mounts.collect(),
        user: definition.body.user.clone().unwrap_or_default(),
        networks: host.network_mode.iter().cloned().collect(),
        pid: None,
        host,
    }
}

fn not_found<T>(call: Call, what: &str) -> EngineResult<T> {
    Err(EngineError::NotFound {
        call,
        message: format!("no such thing: {what}"),
    })
}

fn refused<T>(call: Call) -> EngineResult<T> {
    Err(EngineError::Refused {
        call,
        status: 500,
        message: "the freezer is broken".to_owned(),
    })
}

#[async_trait]
impl Engine for FakeEngine {
    async fn capabilities(&self) -> EngineResult<Capabilities> {
        self.ask(Call::Info, |_| Ok(crate::testing::capabilities()))
    }

    async fn has_image(&self, _image: &str) -> EngineResult<bool> {
        self.ask(Call::InspectImage, |world| Ok(world.has_image))
    }

    async fn networks(&self) -> EngineResult<Vec<NetworkSeen>> {
        self.ask(Call::ListNetworks, |world| {
            Ok(world.networks.values().cloned().collect())
        })
    }

    async fn create_network(&self, definition: &NetworkDefinition) -> EngineResult<()> {
        let seen = NetworkSeen {
            id: format!("net-{}", definition.name),
            name: definition.name.clone(),
            workspace: labels::workspace(&definition.labels),
            subnets: vec![definition.subnet],
            is_internal: definition.is_internal,
            is_open_inside: false,
            created_at: Timestamp::default(),
        };
        self.ask(Call::CreateNetwork, |world| {
            let overlaps = world
                .networks
                .values()
                .any(|other| other.subnets == seen.subnets);
            if overlaps || world.networks.contains_key(&seen.id) {
                let message = "the pool overlaps".to_owned();
                return Err(EngineError::Conflict {
                    call: Call::CreateNetwork,
                    message,
                });
            }
            let created_at = world.now;
            world
                .networks
                .insert(seen.id.clone(), NetworkSeen { created_at, ..seen });
            Ok(())
        })
    }

    async fn remove_network(&self, id: &str) -> EngineResult<()> {
        self.ask(Call::RemoveNetwork, |world| {
            let name = world.networks.get(id).map(|network| network.name.clone());
            let is_used = world.containers.values().any(|container| {
                let host = container.definition.body.host_config.as_ref();
                matches!(
                    container.state,
                    ContainerState::Running | ContainerState::Paused
                ) && host.and_then(|host| host.network_mode.clone()) == name
            });
            if is_used {
                let message = "it has active endpoints".to_owned();
                return Err(EngineError::Conflict {
                    call: Call::RemoveNetwork,
                    message,
                });
            }
            world.networks.remove(id);
            Ok(())
        })
    }

    async fn create_volume(&self, definition: &VolumeDefinition) -> EngineResult<()> {
        self.ask(Call::CreateVolume, |world| {
            world.volumes.insert(definition.name.clone());
            Ok(())
        })
    }

    async fn containers(&self, of: Option<WorkspaceId>) -> EngineResult<Vec<ContainerSeen>> {
        self.ask(Call::ListContainers, |world| {
            let seen = world.containers.iter().map(|(id, container)| {
                let labels = container.definition.body.labels.clone().unwrap_or_default();
                ContainerSeen {
                    id: id.clone(),
                    name: container.definition.name.clone(),
                    workspace: labels::workspace(&labels),
                    generation: labels::generation(&labels),
                    spec_hash: labels.get(labels::SPEC_HASH).cloned(),
                    assets: labels::assets(&labels),
                    created_at: container.created_at,
                    state: container.state,
                }
            });
            Ok(seen
                .filter(|seen| of.is_none() || seen.workspace == of)
                .collect())
        })
    }

    async fn create_container(&self, definition: &ContainerDefinition) -> EngineResult<()> {
        validate(definition)?;
        self.ask(Call::CreateContainer, |world| {
            let is_taken = world
                .containers
                .values()
                .any(|other| other.definition.name == definition.name);
            if is_taken {
                let message = "the name is in use".to_owned();
                return Err(EngineError::Conflict {
                    call: Call::CreateContainer,
                    message,
                });
            }
            if !world.has_image {
                return Err(EngineError::ImageMissing {
                    image: "fake".to_owned(),
                });
            }
            let volumes = crate::volume::definitions("", definition.workspace);
            assert!(
                volumes
                    .iter()
                    .all(|volume| world.volumes.contains(&volume.name)),
                "a container must not make volumes of its own"
            );
            world.next_id += 1;
            let container = Container {
                definition: definition.clone(),
                state: ContainerState::Created,
                created_at: world.now,
                starts: 0,
            };
            world
                .containers
                .insert(format!("c{}", world.next_id), container);
            Ok(())
        })
    }

    async fn inspect_container(&self, id: &str) -> EngineResult<Inspection> {
        self.ask(Call::InspectContainer, |world| {
            let Some(container) = world.containers.get(id) else {
                return not_found(Call::InspectContainer, id);
            };
            let mut inspection = inspection_of(&container.definition);
            if let Some(drop) = world.drops {
                drop(&mut inspection);
            }
            Ok(inspection)
        })
    }

    async fn start_container(&self, id: &str) -> EngineResult<()> {
        self.ask(Call::StartContainer, |world| {
            let networks: BTreeSet<_> = world
                .networks
                .values()
                .map(|network| network.name.clone())
                .collect();
            let Some(container) = world.containers.get_mut(id) else {
                return not_found(Call::StartContainer, id);
            };
            let host = container.definition.body.host_config.as_ref();
            if !host
                .and_then(|h| h.network_mode.as_ref())
                .is_some_and(|n| networks.contains(n))
            {
                return not_found(Call::StartContainer, "network");
            }
            if container.state != ContainerState::Running {
                container.starts += 1;
            }
            container.state = ContainerState::Running;
            Ok(())
        })
    }

    async fn pause_container(&self, id: &str) -> EngineResult<()> {
        self.ask(Call::PauseContainer, |world| {
            if world.cannot_freeze {
                return refused(Call::PauseContainer);
            }
            let Some(container) = world.containers.get_mut(id) else {
                return not_found(Call::PauseContainer, id);
            };
            if container.state == ContainerState::Running {
                container.state = ContainerState::Paused;
            }
            Ok(())
        })
    }

    async fn unpause_container(&self, id: &str) -> EngineResult<()> {
        self.ask(Call::UnpauseContainer, |world| {
            if world.cannot_thaw {
                return refused(Call::UnpauseContainer);
            }
            let Some(container) = world.containers.get_mut(id) else {
                return not_found(Call::UnpauseContainer, id);
            };
            if container.state == ContainerState::Paused {
                container.state = ContainerState::Running;
            }
            Ok(())
        })
    }

    async fn stop_container(&self, id: &str, _grace: Duration) -> EngineResult<()> {
        self.ask(Call::StopContainer, |world| {
            if let Some(container) = world.containers.get_mut(id)
                && matches!(
                    container.state,
                    ContainerState::Running | ContainerState::Paused
                )
            {
                let death = Death {
                    code: 143,
                    is_out_of_memory: false,
                };
                container.state = ContainerState::Exited(death);
            }
            Ok(())
        })
    }

    async fn remove_container(&self, id: &str) -> EngineResult<()> {
        self.ask(Call::RemoveContainer, |world| {
            world.containers.remove(id);
            Ok(())
        })
    }

    fn logs(
        &self,
        _id: &str,
        _tail: usize,
        _follow: bool,
    ) -> BoxStream<'static, EngineResult<Bytes>> {
        let log = self.ask(Call::Logs, |world| Ok(Bytes::from(world.log.clone())));
        stream::iter([log]).boxed()
    }

    fn events(&self) -> BoxStream<'static, EngineResult<EngineEvent>> {
        stream::pending().boxed()
    }
}

/// Returns whose a volume is, by its name.
pub(crate) fn workspace_of(volume: &str) -> WorkspaceId {
    let id = volume.split('-').nth(1).unwrap();
    WorkspaceId::parse(id).unwrap()
}

#[async_trait]
impl Volumes for FakeEngine {
    async fn volumes(&self) -> EngineResult<Vec<VolumeSeen>> {
        self.ask(Call::ListVolumes, |world| {
            let seen = world.volumes.iter().map(|name| VolumeSeen {
                name: name.clone(),
                workspace: workspace_of(name),
            });
            Ok(seen.collect())
        })
    }

    async fn remove_volume(&self, name: &str) -> EngineResult<()> {
        self.ask(Call::RemoveVolume, |world| {
            let owner = workspace_of(name);
            let is_used = world
                .containers
                .values()
                .any(|container| container.definition.workspace == owner);
            if is_used {
                let message = "volume is in use".to_owned();
                return Err(EngineError::Conflict {
                    call: Call::RemoveVolume,
                    message,
                });
            }
            world.volumes.remove(name);
            Ok(())
        })
    }
}
