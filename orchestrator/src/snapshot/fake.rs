//! Volumes in memory, and who carries files in and out of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use kalpana_domain::id::WorkspaceId;
use tokio::sync::{Semaphore, mpsc};

use super::porter::{Packed, Porter, PorterError, PorterResult};

/// Carries between memory and archives. Clones share the volumes.
#[derive(Debug, Clone)]
pub(crate) struct FakePorter {
    /// What is in the volumes of each workspace.
    pub(crate) volumes: Arc<Mutex<BTreeMap<WorkspaceId, Bytes>>>,
    /// Why nothing can be read, if so.
    pub(crate) failure: Arc<Mutex<Option<String>>>,
    /// How many files cannot be read.
    pub(crate) skipped: Arc<AtomicU64>,
    /// Packing waits for a permit of these.
    pub(crate) gate: Arc<Semaphore>,
}

impl Default for FakePorter {
    fn default() -> Self {
        Self {
            volumes: Arc::default(),
            failure: Arc::default(),
            skipped: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }
}

#[async_trait]
impl Porter for FakePorter {
    async fn pack(&self, workspace: WorkspaceId, to: mpsc::Sender<Bytes>) -> PorterResult<Packed> {
        let _permit = self.gate.acquire().await.unwrap();
        let content = self.volumes.lock().unwrap().get(&workspace).cloned();
        let content = content.unwrap_or_default();
        for part in content.chunks(1000) {
            let sent = to.send(Bytes::copy_from_slice(part)).await;
            sent.map_err(|_| PorterError::Unwanted)?;
        }
        match self.failure.lock().unwrap().clone() {
            Some(failure) => Err(PorterError::Failed(failure)),
            None => Ok(Packed {
                files: 7,
                skipped: self.skipped.load(Ordering::Relaxed),
            }),
        }
    }

    async fn unpack(
        &self,
        workspace: WorkspaceId,
        mut from: mpsc::Receiver<Bytes>,
    ) -> PorterResult<()> {
        let mut content = BytesMut::new();
        while let Some(part) = from.recv().await {
            content.extend_from_slice(&part);
        }
        let mut volumes = self.volumes.lock().unwrap();
        volumes.insert(workspace, content.freeze());
        Ok(())
    }

    async fn clear(&self) -> PorterResult<()> {
        Ok(())
    }
}
