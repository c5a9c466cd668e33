//! The volumes of the Docker engine, for the trash.

use std::collections::HashMap;

use async_trait::async_trait;
use bollard::Docker;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};

use super::{DockerEngine, LOOK, MAKE, absent_is_fine};
use crate::engine::{Call, EngineResult};
use crate::labels;
use crate::trash::{VolumeSeen, Volumes};
use crate::volume;

#[async_trait]
impl Volumes for DockerEngine {
    async fn volumes(&self) -> EngineResult<Vec<VolumeSeen>> {
        let options = ListVolumesOptions {
            filters: Some(HashMap::from([("label".to_owned(), vec![self.ours()])])),
        };
        let ask = |docker: Docker| async move { docker.list_volumes(Some(options)).await };
        let listed = self.call(Call::ListVolumes, LOOK, ask).await?;
        let seen = listed.volumes.unwrap_or_default().into_iter();
        // What bears our labels and another name was not made by us.
        Ok(seen
            .filter_map(|listed| {
                let workspace = labels::workspace(&listed.labels)?;
                let ours = volume::definitions(&self.instance, workspace);
                ours.iter()
                    .any(|volume| volume.name == listed.name)
                    .then_some(VolumeSeen {
                        name: listed.name,
                        workspace,
                    })
            })
            .collect())
    }

    async fn remove_volume(&self, name: &str) -> EngineResult<()> {
        let name = name.to_owned();
        let ask = |docker: Docker| async move {
            docker
                .remove_volume(&name, None::<RemoveVolumeOptions>)
                .await
        };
        absent_is_fine(self.call(Call::RemoveVolume, MAKE, ask).await)
    }
}
