//! What can be asked. A new method is a line in [`find`] and a function below it.

use std::pin::Pin;
use std::sync::Arc;

use kalpana_protocol::bridge::{
    EnvironmentInfo, FRAME_LIMIT, IN_FLIGHT_LIMIT, Initialized, Limits, Phase, RpcError,
    SUBPROTOCOL, method,
};
use serde::Serialize;
use serde_json::Value;

use super::Shared;
use crate::{environment, log};

/// Bytes of a client's name that are logged.
const NAME_LIMIT: usize = 100;

type Call = Pin<Box<dyn Future<Output = Result<Value, RpcError>> + Send>>;

/// A method's function.
pub(super) type Method = fn(Arc<Shared>, Value) -> Call;

/// Returns the function of a method.
pub(super) fn find(name: &str) -> Option<Method> {
    match name {
        method::ACTIVITY => {
            Some(|shared, _| Box::pin(async move { answer(&shared.activity.ask().await?) }))
        }
        method::ENVIRONMENT_INFO => {
            Some(|shared, _| Box::pin(async move { environment_info(&shared) }))
        }
        method::WORK_SUMMARY => {
            Some(|shared, _| Box::pin(async move { answer(&shared.repositories.ask().await?) }))
        }
        _ => None,
    }
}

/// Answers `initialize`.
pub(super) fn initialized(
    shared: &Shared,
    client: &str,
    phases: Vec<Phase>,
) -> Result<Value, RpcError> {
    let name = &client[..client.floor_char_boundary(NAME_LIMIT)];
    log::say_to_init(&format!("{name:?} is connected"));
    let launch = &shared.settings.launch;
    answer(&Initialized {
        protocol: SUBPROTOCOL.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        workspace: launch.workspace.clone(),
        generation: launch.generation,
        limits: Limits {
            frame_bytes: FRAME_LIMIT as u64,
            requests_in_flight: IN_FLIGHT_LIMIT as u32,
        },
        methods: [
            method::ACTIVITY,
            method::ENVIRONMENT_INFO,
            method::WORK_SUMMARY,
        ]
        .map(str::to_owned)
        .to_vec(),
        phases,
    })
}

fn environment_info(shared: &Shared) -> Result<Value, RpcError> {
    let launch = &shared.settings.launch;
    answer(&EnvironmentInfo {
        bridge_version: env!("CARGO_PKG_VERSION").to_owned(),
        workspace: launch.workspace.clone(),
        generation: launch.generation,
        folder: launch.folder.clone(),
        user: shared.user.clone(),
        system: environment::system(),
    })
}

fn answer(result: &impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(result)
        .map_err(|_| RpcError::new(RpcError::INTERNAL_ERROR, "the answer cannot be written"))
}
