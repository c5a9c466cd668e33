//! What a workspace reaches by packets: of this host, of a cloud's metadata address, of other
//! workspaces, and what was named as reachable.
//!
//! Who is not to be reached answers all the same, so that silence is the filter's doing: a listener on
//! each of the host's addresses, and a network namespace of the test's own that has an address of the
//! metadata's network. Only the host's table `inet kalpana` is ever taken away, never Docker's.

use std::os::fd::AsFd as _;
use std::process::Command;
use std::time::Duration;

use kalpana_domain::id::WorkspaceId;
use tokio::net::TcpListener;

use crate::world::{Setup, World};

/// What the namespace stands for: the metadata's network, a private one that was named, and one that
/// was not. Not the address that clouds use themselves: the machine of the tests may need that one.
const METADATA: &str = "169.254.213.7";
const NAMED: &str = "10.215.77.1";
const NOT_NAMED: &str = "10.215.78.1";

/// Long, so that what is put right at once is not put right by the look around.
const LOOK_INTERVAL: Duration = Duration::from_secs(20);

/// Where the namespace's server listens.
const PORT: u16 = 9418;

/// A network namespace behind a pair of interfaces, in which somebody listens on all addresses.
struct Beyond {
    name: String,
    /// The kernel takes connections, and nobody ever takes them from it.
    listener: Option<std::net::TcpListener>,
}

impl Beyond {
    /// Makes it, with a route of the host to each of its addresses and to nothing else.
    fn make() -> Self {
        let name = format!("kfw{}", std::process::id());
        let mut beyond = Self {
            name: name.clone(),
            listener: None,
        };
        let (ours, theirs) = (format!("{name}a"), format!("{name}b"));
        ip(&["netns", "add", &name]);
        ip(&[
            "link", "add", &ours, "type", "veth", "peer", "name", &theirs,
        ]);
        ip(&["link", "set", &theirs, "netns", &name]);
        ip(&["addr", "add", "10.215.79.1/30", "dev", &ours]);
        ip(&["link", "set", &ours, "up"]);
        let inside = |args: &[&str]| ip(&[&["-n", name.as_str()][..], args].concat());
        inside(&["addr", "add", "10.215.79.2/30", "dev", &theirs]);
        inside(&["link", "set", &theirs, "up"]);
        inside(&["link", "set", "lo", "up"]);
        inside(&["route", "add", "default", "via", "10.215.79.1"]);
        for address in [METADATA, NAMED, NOT_NAMED] {
            inside(&["addr", "add", &format!("{address}/32"), "dev", "lo"]);
            ip(&["route", "add", address, "via", "10.215.79.2"]);
        }
        // A socket stays in the namespace of the thread that made it.
        let listener = std::thread::spawn(move || {
            let namespace = std::fs::File::open(format!("/run/netns/{name}")).expect("it is there");
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).expect("entered");
            std::net::TcpListener::bind(("0.0.0.0", PORT)).expect("bound")
        });
        beyond.listener = Some(listener.join().expect("a listener"));
        beyond
    }
}

impl Drop for Beyond {
    fn drop(&mut self) {
        drop(self.listener.take());
        // The pair of interfaces and the routes go with it; a panic here would hide the test's own.
        let (name, interface) = (self.name.as_str(), format!("{}a", self.name));
        for arguments in [["link", "del", interface.as_str()], ["netns", "del", name]] {
            let _ = Command::new("/usr/sbin/ip").args(arguments).status();
        }
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("/usr/sbin/ip").args(arguments).status();
    assert!(status.expect("ip runs").success(), "ip {arguments:?}");
}

fn nft(arguments: &[&str]) -> String {
    let output = Command::new("/usr/sbin/nft").args(arguments).output();
    let output = output.expect("nft runs");
    assert!(output.status.success(), "nft {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn table() -> Option<String> {
    let arguments = ["-a", "list", "table", "inet", "kalpana"];
    let output = Command::new("/usr/sbin/nft").args(arguments).output();
    let output = output.expect("nft runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

/// Returns how many packets a counter of the table has seen.
fn dropped(counter: &str) -> u64 {
    let text = nft(&["-j", "list", "counter", "inet", "kalpana", counter]);
    let listed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let counters = listed["nftables"].as_array().expect("a list");
    let packets = counters
        .iter()
        .find_map(|one| one["counter"]["packets"].as_u64());
    packets.expect("a counter")
}

/// Tells whether a TCP connection from a workspace is answered, by whatever.
async fn reaches(world: &World, container: &str, address: &str, port: u16) -> bool {
    let command = format!(
        "if timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/{port}' 2>/dev/null; then echo yes; \
         else echo no; fi"
    );
    world.exec(container, "64000", &command).await.trim() == "yes"
}

async fn listen(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind((address, 0)).await.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// Returns an address of this host that is not of its Docker networks.
fn other_host_address() -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // Sends nothing: it asks the kernel from which address it would.
    socket.connect(("192.0.2.1", 9)).expect("a route");
    socket.local_addr().expect("an address").ip().to_string()
}

fn container(id: WorkspaceId) -> String {
    format!("kal-{id}-g1")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_open_egress_reaches_neither_host_nor_metadata_nor_neighbours_but_what_is_named() {
    let _beyond = Beyond::make();
    let world = World::start(Setup {
        egress: "open",
        firewall: "required",
        reachable: vec![NAMED.to_owned()],
        look_interval: LOOK_INTERVAL,
        ..Setup::default()
    })
    .await;
    let (first, second) = (world.create(None).await, world.create(None).await);
    let first = world.wait_for(first.id, "running").await;
    let second = world.wait_for(second.id, "running").await;
    let (ours, theirs) = (container(first.id), container(second.id));
    // Networks are given out in the order in which the two came to it.
    let own_bridge = world.gateway_of(first.id).await;
    let named_bridge = format!("{}.1", world.pool);
    let elsewhere = other_host_address();
    let (_named, named_port) = listen(&named_bridge).await;
    let (_other, other_port) = listen(&elsewhere).await;
    let their_address = world.address_of(&theirs).await;

    // A workspace may not listen where others reach it, were it not for the filter.
    let serve = "nohup node -e 'require(\"net\").createServer(s => s.end()).listen(4000, \"0.0.0.0\")' \
                 >/dev/null 2>&1 & for i in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/4000) \
                 2>/dev/null && exit; sleep 0.1; done; exit 1";
    let serve = format!("bash -c {}", shell_quoted(serve));
    world.exec(&theirs, "64000", &serve).await;

    let all_as_it_should_be = async || {
        for (address, port) in [(named_bridge.as_str(), named_port), (NAMED, PORT)] {
            let is_open = reaches(&world, &ours, address, port).await;
            assert!(is_open, "{address}:{port} was named\n{:?}", table());
        }
        for (address, port, counter) in [
            (elsewhere.as_str(), other_port, "to_host"),
            (METADATA, PORT, "to_nowhere"),
            (NOT_NAMED, PORT, "to_private"),
            (their_address.as_str(), 4000, "to_workspaces"),
        ] {
            let before = dropped(counter);
            let is_open = reaches(&world, &ours, address, port).await;
            assert!(!is_open, "{address}:{port}\n{:?}", table());
            assert!(dropped(counter) > before, "{counter} did not drop it");
        }
    };
    all_as_it_should_be().await;
    // The second workspace's own bridge is this host, too, and was not named.
    let bridges = [own_bridge, world.gateway_of(second.id).await];
    let unnamed = bridges.iter().find(|bridge| **bridge != named_bridge);
    let (_bridge, bridge_port) = listen(unnamed.expect("one of two")).await;
    for from in [&ours, &theirs] {
        let found = reaches(&world, from, unnamed.expect("one of two"), bridge_port).await;
        assert!(!found, "{from} reaches a bridge");
    }
    assert!(
        world
            .metrics()
            .contains("kalpana_orchestrator_firewall_active 1")
    );

    // What is removed comes back: the table, and a single rule.
    // A look around may come between the two.
    let mut was_the_filter = false;
    for _ in 0..5 {
        if !was_the_filter && table().is_some() {
            nft(&["delete", "table", "inet", "kalpana"]);
            was_the_filter = reaches(&world, &ours, &elsewhere, other_port).await;
        }
    }
    assert!(was_the_filter, "something else keeps it away");
    // The rules are back before what this site's workspaces may reach besides, if another site was first.
    let own = format!("kw{}", first.id);
    let with_own = async || table().filter(|text| text.contains(&own));
    world.until(with_own).await;
    all_as_it_should_be().await;
    let text = table().expect("a table");
    let rule = text
        .lines()
        .find(|line| line.contains("counter name \"to_host\" drop"))
        .and_then(|line| line.split("# handle ").nth(1))
        .expect("a rule");
    let chain = "from_workspace_to_host";
    nft(&[
        "delete",
        "rule",
        "inet",
        "kalpana",
        chain,
        "handle",
        rule.trim(),
    ]);
    world
        .until(async || table().filter(|text| text.contains("counter name \"to_host\" drop")))
        .await;
    assert!(!reaches(&world, &ours, &elsewhere, other_port).await);
    let metrics = world.metrics();
    let repairs = metrics
        .lines()
        .find_map(|line| line.strip_prefix("kalpana_orchestrator_firewall_repairs_total "));
    let repairs: f64 = repairs.expect("a count").parse().expect("a number");
    assert!(repairs >= 1.0, "{repairs}");

    // Before a start it is there again, without waiting for a look around; names of workspaces that
    // are gone are not.
    world.change(second.id, "stop").await;
    world.wait_for(second.id, "stopped").await;
    nft(&["delete", "table", "inet", "kalpana"]);
    world.change(second.id, "start").await;
    world.wait_for(second.id, "running").await;
    let interface = format!("kw{}", second.id);
    assert!(table().expect("a table").contains(&interface));
    world.change(second.id, "delete").await;
    world.wait_until_gone(second.id).await;
    world
        .until(async || table().filter(|text| !text.contains(&interface)))
        .await;
    world.until(with_own).await;
    all_but_neighbours_still_holds(&world, &ours, &elsewhere, other_port).await;
    world.end().await;
    a_workspace_without_egress_reaches_no_service_of_the_host().await;
}

async fn all_but_neighbours_still_holds(world: &World, ours: &str, host: &str, port: u16) {
    assert!(reaches(world, ours, NAMED, PORT).await);
    assert!(!reaches(world, ours, host, port).await);
    assert!(!reaches(world, ours, METADATA, PORT).await);
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Part of the one test, which takes the table away from the whole host.
async fn a_workspace_without_egress_reaches_no_service_of_the_host() {
    let world = World::start(Setup::default()).await;
    // The first takes the network whose address is named for tests.
    let first = world.create(None).await;
    world.wait_for(first.id, "running").await;
    let row = world.create(None).await;
    let row = world.wait_for(row.id, "running").await;
    let bridge = world.gateway_of(row.id).await;
    let (_listener, port) = listen(&bridge).await;
    assert!(!reaches(&world, &container(row.id), &bridge, port).await);
    world.end().await;
}
