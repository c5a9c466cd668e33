//! The orchestrator against the real Docker engine, the real workspace image and its real bridge.
//!
//! Needs `make image`. Every test has an instance label and an address pool of its own, and
//! removes what it made.

#[path = "docker/cis.rs"]
mod cis;
#[path = "docker/escape.rs"]
mod escape;
#[path = "docker/figures.rs"]
mod figures;
#[path = "docker/firewall.rs"]
mod firewall;
#[path = "docker/hanging.rs"]
mod hanging;
#[path = "docker/sleep.rs"]
mod sleep;
#[path = "docker/snapshots.rs"]
mod snapshots;
#[path = "docker/world.rs"]
mod world;

use std::time::Duration;

use kalpana_domain::lifecycle::{FailureCode, Lifecycle};
use kalpana_protocol::routes::Target;
use world::{Setup, World, inspect, labels};

/// From nothing to an editor that answers, and what the engine was told on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_workspace_runs_hardened_and_its_files_outlive_its_containers() {
    let world = World::start(Setup::default()).await;
    let row = world.create(None).await;
    let row = world.wait_for(row.id, "running").await;
    let name = format!("kal-{}-g1", row.id);
    assert_eq!(world.containers().await, std::slice::from_ref(&name));

    let found = inspect(&name).await;
    assert_eq!(found["Config"]["User"], "0:0");
    let host = &found["HostConfig"];
    assert_eq!(host["Privileged"], false);
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!(
        host["CapAdd"],
        serde_json::json!(["CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID"])
    );
    let options = host["SecurityOpt"].as_array().expect("options");
    assert_eq!(options.len(), 2);
    assert_eq!(options[0], "no-new-privileges:true");
    assert_eq!(host["Memory"], 2_147_483_648_u64);
    assert_eq!(host["MemorySwap"], host["Memory"]);
    assert_eq!(host["NanoCpus"], 1_000_000_000);
    assert_eq!(host["PidsLimit"], 1024);
    assert_eq!(host["OomScoreAdj"], 500);
    assert_eq!(host["IpcMode"], "private");
    assert_eq!(host["ShmSize"], 268_435_456);
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    assert_eq!(
        host["LogConfig"]["Config"],
        serde_json::json!({"max-file": "3", "max-size": "10m"})
    );
    assert_eq!(host["PortBindings"], serde_json::Value::Null);
    assert_eq!(found["Mounts"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        cis::failures(&found, &world::engine().await),
        Vec::<String>::new()
    );
    cis::assert_each_check_can_fail(&found);
    // What the kernel says, not what the engine remembers.
    let status = world.exec(&name, "64000", "cat /proc/self/status").await;
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    let ipv6 = world
        .exec(
            &name,
            "64000",
            "cat /proc/sys/net/ipv6/conf/all/disable_ipv6",
        )
        .await;
    assert_eq!(ipv6.trim(), "1");

    let network = world
        .network(&format!("kal-{}", row.id))
        .await
        .expect("a network");
    assert_eq!(network["Internal"], true);
    assert_eq!(network["EnableIPv6"], false);
    assert_eq!(
        network["Options"]["com.docker.network.bridge.enable_icc"],
        "false"
    );
    let bridge = &network["Options"]["com.docker.network.bridge.name"];
    assert_eq!(bridge, &format!("kw{}", row.id));
    let addresses = &network["IPAM"]["Config"][0];
    assert_eq!(addresses["Subnet"], format!("{}.0/28", world.pool));
    assert_eq!(addresses["Gateway"], format!("{}.1", world.pool));

    assert_eq!(world.healthz(row.id).await, 200);
    let log = world.log(row.id).await;
    assert!(
        log.iter()
            .any(|line| line.source == "kalpana" && line.text == "running"),
        "{log:?}"
    );
    assert!(log.iter().any(|line| line.source == "bridge"), "{log:?}");

    world
        .exec(
            &name,
            "64000",
            "echo precious > /workspace/kept && echo home > ~dev/kept",
        )
        .await;
    world.change(row.id, "stop").await;
    world.wait_for(row.id, "stopped").await;
    assert_eq!(world.containers().await, Vec::<String>::new());
    assert!(world.network(&format!("kal-{}", row.id)).await.is_none());
    assert!(!world.site.workspace_run_dir(row.id.as_str()).exists());
    let volumes = [
        format!("kal-{}-home", row.id),
        format!("kal-{}-workspace", row.id),
    ];
    assert_eq!(world.volumes().await, volumes);

    world.change(row.id, "start").await;
    let row = world.wait_for(row.id, "running").await;
    let name = format!("kal-{}-g2", row.id);
    assert_eq!(world.containers().await, std::slice::from_ref(&name));
    assert_eq!(
        world
            .exec(&name, "64000", "cat /workspace/kept ~dev/kept")
            .await,
        "precious\nhome\n"
    );
    assert_eq!(world.healthz(row.id).await, 200);

    world.change(row.id, "delete").await;
    world.wait_until_gone(row.id).await;
    assert_eq!(world.containers().await, Vec::<String>::new());
    assert_eq!(world.routes().await, vec![]);
    assert_eq!(world.volumes().await, volumes, "a deletion keeps the files");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_repository_is_cloned_or_the_failure_says_why() {
    let mut world = World::start(Setup::default()).await;
    let server = world.git_server();
    let row = world.create(Some(&format!("{server}/project.git"))).await;
    let row = world.wait_for(row.id, "running").await;
    let name = format!("kal-{}-g1", row.id);
    assert_eq!(
        world
            .exec(&name, "64000", "cat /workspace/project/README")
            .await,
        "cloned\n"
    );
    world.change(row.id, "delete").await;
    world.wait_until_gone(row.id).await;

    let row = world.create(Some(&format!("{server}/absent.git"))).await;
    let row = world.wait_for(row.id, "failed").await;
    let Lifecycle::Failed { reason, .. } = &row.lifecycle else {
        panic!("{row:?}")
    };
    assert_eq!(reason.code, FailureCode::CloneFailed, "{reason:?}");
    world.wait_for_containers(&[]).await;
    assert_eq!(
        world.volumes().await.len(),
        4,
        "both workspaces' volumes are kept"
    );
    let log = world.log(row.id).await;
    assert!(
        log.iter().any(|line| line.text.starts_with("failed:")),
        "{log:?}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_restarted_orchestrator_adopts_what_runs_and_fails_what_died() {
    let mut world = World::start(Setup::default()).await;
    let row = world.create(None).await;
    let row = world.wait_for(row.id, "running").await;
    let name = format!("kal-{}-g1", row.id);
    let before = inspect(&name).await;

    world.stop_orchestrator().await;
    world.start_orchestrator().await;
    // The first snapshot already has the route: nobody is cut off.
    let routes = world.routes().await;
    assert!(
        matches!(routes[0].target, Target::Running { .. }),
        "{routes:?}"
    );
    let after = inspect(&name).await;
    assert_eq!(
        (&before["Id"], &before["State"]["Pid"]),
        (&after["Id"], &after["State"]["Pid"])
    );
    assert_eq!(world.healthz(row.id).await, 200);

    world.kill(&name).await;
    let failed = world.wait_for(row.id, "failed").await;
    let Lifecycle::Failed { reason, .. } = &failed.lifecycle else {
        panic!("{failed:?}")
    };
    assert_eq!(reason.code, FailureCode::ContainerDied);
    assert!(
        reason.message.contains("exit code 137"),
        "{}",
        reason.message
    );
    world.wait_for_containers(&[]).await;

    // Died while nobody looked.
    world.change(row.id, "start").await;
    world.wait_for(row.id, "running").await;
    world.stop_orchestrator().await;
    world.remove(&format!("kal-{}-g2", row.id)).await;
    world.start_orchestrator().await;
    let failed = world.wait_for(row.id, "failed").await;
    let Lifecycle::Failed { reason, .. } = &failed.lifecycle else {
        panic!("{failed:?}")
    };
    assert_eq!(reason.code, FailureCode::ContainerDied);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_orphans_of_ours_go_and_those_of_others_stay() {
    // Ten minutes ahead, so that what is made now is past its grace.
    let mut world = World::prepare(Setup {
        ahead: Duration::from_secs(600),
        ..Setup::default()
    })
    .await;
    let mine = labels(&world.instance, "orphanaaaa01");
    let others = labels(&format!("{}-b", world.instance), "orphanaaaa02");
    world.make("kal-orphanaaaa01", mine.clone()).await;
    world.make("kal-orphanaaaa02", others).await;
    world.start_orchestrator().await;
    world.wait_for_containers(&[]).await;
    world.wait_for_no_network("kal-orphanaaaa01").await;
    assert_eq!(
        world.volumes().await,
        ["kal-orphanaaaa01"],
        "volumes are nobody's to remove"
    );
    assert_eq!(
        inspect("kal-orphanaaaa02").await["State"]["Status"],
        "created"
    );
    assert!(world.network("kal-orphanaaaa02").await.is_some());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_a_missing_image_is_named_and_nothing_is_half_made() {
    let world = World::start(Setup {
        image: Some("kalpana/absent:none"),
        ..Setup::default()
    })
    .await;
    let row = world.create(None).await;
    let row = world.wait_for(row.id, "failed").await;
    let Lifecycle::Failed { reason, .. } = &row.lifecycle else {
        panic!("{row:?}")
    };
    assert_eq!(reason.code, FailureCode::ImageMissing);
    assert!(reason.message.contains("make image"), "{}", reason.message);
    assert_eq!(world.containers().await, Vec::<String>::new());
    assert_eq!(world.volumes().await, Vec::<String>::new());
    // Taken away in the pass after the one that gave up.
    world.wait_for_no_network(&format!("kal-{}", row.id)).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_an_absent_engine_is_no_reason_not_to_serve() {
    let world = World::start(Setup {
        engine_socket: Some("/tmp/no-such-engine.sock"),
        start_timeout: Duration::from_secs(1),
        ..Setup::default()
    })
    .await;
    let row = world.create(None).await;
    assert!(
        matches!(row.lifecycle, Lifecycle::Starting { .. }),
        "the intent is kept"
    );
    let row = world.wait_for(row.id, "failed").await;
    let Lifecycle::Failed { reason, .. } = &row.lifecycle else {
        panic!("{row:?}")
    };
    assert_eq!(reason.code, FailureCode::EngineUnavailable);
    assert!(
        reason.message.contains("/tmp/no-such-engine.sock"),
        "{}",
        reason.message
    );
    assert!(world.metrics().contains("kalpana_orchestrator_engine_up 0"));
    assert!(*world.ready.borrow(), "still ready");
    world.end().await;
}
