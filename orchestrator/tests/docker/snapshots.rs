//! Snapshots of workspaces, on the real engine.

use http::Method;
use kalpana_domain::id::WorkspaceId;
use kalpana_domain::workspace::Workspace;
use kalpana_protocol::orchestrator::{
    Intent, Snapshot, SnapshotOf, SnapshotState, Snapshots, TakeSnapshot,
};

use crate::world::{Setup, World};

impl World {
    async fn snapshots(&self, id: WorkspaceId) -> Vec<Snapshot> {
        let path = format!("/v1/workspaces/{id}/snapshots");
        let found: Snapshots = self.ask(Method::GET, &path, None::<&()>).await;
        found.snapshots
    }

    async fn settled(&self, id: WorkspaceId, snapshot: &str) -> Snapshot {
        self.until(async || {
            let found = self.snapshots(id).await;
            let found = found.into_iter().find(|found| found.id == snapshot)?;
            (found.state != SnapshotState::Making).then_some(found)
        })
        .await
    }

    async fn take(&self, id: WorkspaceId) -> Snapshot {
        let asked = TakeSnapshot {
            asker: self.asker(),
            note: "tried".into(),
        };
        let path = format!("/v1/workspaces/{id}/snapshots");
        let begun: Snapshot = self.ask(Method::POST, &path, Some(&asked)).await;
        assert_eq!(begun.state, SnapshotState::Making);
        let taken = self.settled(id, &begun.id).await;
        assert_eq!(taken.state, SnapshotState::Ready, "{taken:?}");
        taken
    }

    async fn restore(&self, id: WorkspaceId, snapshot: &str) -> Snapshot {
        let path = format!("/v1/workspaces/{id}/snapshots/{snapshot}/restore");
        let intent = Intent {
            asker: self.asker(),
        };
        let kept: Snapshot = self.ask(Method::POST, &path, Some(&intent)).await;
        let kept = self.settled(id, &kept.id).await;
        assert_eq!(kept.state, SnapshotState::Ready, "{kept:?}");
        kept
    }

    async fn stop(&self, id: WorkspaceId) {
        self.change(id, "stop").await;
        self.wait_for(id, "stopped").await;
    }
}

fn container(row: &Workspace) -> String {
    format!("kal-{}-g{}", row.id, row.generation)
}

const OWNER: &str = "64000";

/// Makes what a copy could lose, and prints all there is to know of it.
const MAKE: &str = "cd /workspace && mkdir -p 'a dir/empty' && echo one > 'a dir/file' && \
                    ln -s 'a dir/file' link && ln 'a dir/file' hard && chmod 640 hard && \
                    printf '#!/bin/sh\\n' > run && chmod 755 run && mkfifo pipe && \
                    touch -d @1000000000 run && echo home > ~/.profile-of-mine";
const TELL: &str = "cd / && find /workspace /home/dev/.profile-of-mine -printf '%p %y %m %U:%G %n %l ' \
                    \\( -path /workspace/run -printf '%T@' -o -true \\) -printf '\\n' | sort && \
                    cat '/workspace/hard' /home/dev/.profile-of-mine";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_files_come_back_as_they_were_and_those_before_are_kept() {
    let mut world = World::start(Setup::default()).await;
    let row = world.create(None).await;
    let row = world.wait_for(row.id, "running").await;
    world.exec(&container(&row), OWNER, MAKE).await;
    let before = world.exec(&container(&row), OWNER, TELL).await;
    // Of one that runs, and by a process that then ends.
    let taken = world.take(row.id).await;
    assert!(taken.files >= 6 && taken.skipped == 0, "{taken:?}");
    let ruin = "rm -rf /workspace/* ~/.profile-of-mine && echo later > /workspace/later";
    world.exec(&container(&row), OWNER, ruin).await;
    world.stop(row.id).await;
    world.stop_orchestrator().await;
    world.start_orchestrator().await;

    let kept = world.restore(row.id, &taken.id).await;
    let row = world.wait_for(row.id, "running").await;
    assert_eq!(row.filled_from, None);
    assert_eq!(world.exec(&container(&row), OWNER, TELL).await, before);

    // And back again, to what was kept before.
    world.stop(row.id).await;
    world.restore(row.id, &kept.id).await;
    let row = world.wait_for(row.id, "running").await;
    let now = world.exec(&container(&row), OWNER, "ls /workspace").await;
    assert_eq!(now.trim(), "later");
    assert_eq!(world.porters().await, 0, "nothing that carried is left");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_new_workspace_begins_with_the_files_of_another() {
    let world = World::start(Setup::default()).await;
    let row = world.create(None).await;
    let row = world.wait_for(row.id, "running").await;
    world.exec(&container(&row), OWNER, MAKE).await;
    let before = world.exec(&container(&row), OWNER, TELL).await;
    let taken = world.take(row.id).await;
    let of = SnapshotOf {
        workspace: row.id.to_string(),
        snapshot: taken.id.clone(),
    };
    let copy = world.create_from(of).await;
    let copy = world.wait_for(copy.id, "running").await;
    assert_eq!(world.exec(&container(&copy), OWNER, TELL).await, before);
    // Each has its own.
    world
        .exec(&container(&copy), OWNER, "rm -rf /workspace/*")
        .await;
    assert_eq!(world.exec(&container(&row), OWNER, TELL).await, before);
    world.end().await;
}
