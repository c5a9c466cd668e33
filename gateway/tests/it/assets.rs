//! The editor's own files, kept for all workspaces of an image.

use std::fmt::Write as _;
use std::io::Read as _;

use kalpana_domain::id::UserId;
use kalpana_gateway::assets::manifest::Digest;

use crate::bridge::Bridge;
use crate::client::{Answer, code, get, request};
use crate::world::{FOREIGN, MINE, Options, World, patient};

const ROOT: &str = "/stable-53c2f3253bcf32886706fc023e794bbeb253c90f/static/";
const SCRIPT: &str = "out/workbench.js";
const BRANDED: &str = "x-branded-by-the-container";

/// An image's editor: its files, and the list that vouches for them.
struct Image {
    files: Vec<(&'static str, Vec<u8>)>,
    list: String,
}

impl Image {
    fn new(script: &str) -> Self {
        let files = vec![
            (SCRIPT, script.repeat(200).into_bytes()),
            ("out/icon.png", vec![7; 64]),
        ];
        let mut list = format!("root {ROOT}\n");
        for (path, bytes) in &files {
            writeln!(list, "{} {} {path}", Digest::of(bytes), bytes.len()).unwrap();
        }
        Self { files, list }
    }

    fn hash(&self) -> String {
        Digest::of(self.list.as_bytes()).to_string()
    }

    /// Has a workspace of this image serve it.
    fn install(&self, bridge: &Bridge) {
        let mut served = bridge.files.lock().unwrap();
        for (path, bytes) in &self.files {
            served.insert(format!("{ROOT}{path}"), bytes.clone());
        }
        let list = format!("{ROOT}out/kalpana-assets.txt");
        served.insert(list, self.list.clone().into_bytes());
    }

    fn script(&self) -> &[u8] {
        &self.files[0].1
    }
}

/// A world in which somebody owns two workspaces, of which nobody has asked anything yet.
struct Two {
    world: World,
    bridges: [Bridge; 2],
    cookies: [String; 2],
}

impl Two {
    /// Both run, from the images whose lists have these hashes.
    async fn start(hashes: [String; 2], options: Options) -> Self {
        let world = World::with(options).await;
        let [mine, other] = hashes;
        for (workspace, hash) in [(MINE, mine), (FOREIGN, other)] {
            let target = world.running_from(workspace, 1, Some(hash));
            world.route(workspace, world.user, 1, target).await;
        }
        let bridges = [MINE, FOREIGN].map(|workspace| Bridge::start(&world, workspace, 1));
        let cookies = [
            world.sign_in(MINE, 1).await,
            world.sign_in(FOREIGN, 1).await,
        ];
        Self {
            world,
            bridges,
            cookies,
        }
    }

    /// Both run from `image`, and serve it.
    async fn of(image: &Image) -> Self {
        let two = Self::start([image.hash(), image.hash()], Options::default()).await;
        two.bridges.iter().for_each(|bridge| image.install(bridge));
        two
    }

    /// Asks the first or the second workspace as a browser does.
    async fn ask(&self, which: usize, path: &str) -> Answer {
        let host = self.world.host([MINE, FOREIGN][which]);
        let headers = [
            ("cookie", self.cookies[which].as_str()),
            ("accept-encoding", "gzip, deflate, br, zstd"),
            ("x-secret", BRANDED),
        ];
        let path = format!("{ROOT}{path}");
        self.world
            .send(request("GET", &host, &path, &headers))
            .await
    }

    /// Asks the first workspace until a file is given from memory.
    async fn until_kept(&self, path: &str) -> Answer {
        let asking = async {
            loop {
                let answer = self.ask(0, path).await;
                assert_eq!(answer.status(), 200);
                if answer.headers().contains_key("etag") {
                    return answer;
                }
            }
        };
        patient(asking).await
    }

    /// Asks a workspace until so many fetched files came to this.
    async fn until_filled(&self, which: usize, outcome: &str) {
        let asking = async {
            while self.fills(outcome) == 0.0 {
                let answer = self.ask(which, SCRIPT).await;
                assert!(!answer.headers().contains_key("etag"), "{answer:?}");
            }
        };
        patient(asking).await;
    }

    fn fills(&self, outcome: &str) -> f64 {
        self.world
            .metric("kalpana_gateway_asset_fills_total", outcome)
    }

    /// Whether a workspace was asked for anything since it was started.
    fn was_asked(&self, which: usize) -> bool {
        !self.bridges[which].text().is_empty()
    }
}

fn unpacked(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.headers()["content-encoding"], "br");
    let mut bytes = Vec::new();
    brotli::Decompressor::new(&**answer.body(), 4096)
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

#[tokio::test]
async fn a_second_workspace_is_given_the_editor_without_a_byte_from_its_container() {
    let image = Image::new("console.log('workbench');\n");
    let two = Two::of(&image).await;
    two.until_kept(SCRIPT).await;
    two.until_kept("out/icon.png").await;

    let script = two.ask(1, SCRIPT).await;
    assert_eq!(script.status(), 200);
    assert_eq!(unpacked(&script), image.script());
    let icon = two.ask(1, "out/icon.png?size=16").await;
    assert_eq!(&**icon.body(), image.files[1].1);
    assert!(!icon.headers().contains_key("content-encoding"));
    assert!(!two.was_asked(1), "{}", two.bridges[1].text());

    let header = |name: &str| script.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        header("cache-control"),
        "private, max-age=31536000, immutable"
    );
    assert_eq!(header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("vary"), "Accept-Encoding");
    assert!(header("content-security-policy").starts_with("frame-ancestors 'self'"));
    assert!(!header("x-request-id").is_empty());
    assert!(two.world.metric("kalpana_gateway_assets_total", "hit") >= 4.0);
    assert!(two.world.metric("kalpana_gateway_asset_cache_bytes", "") > 0.0);
    let heard = two.bridges[0].text();
    let own: Vec<_> = heard
        .split("\r\n\r\n")
        .filter(|head| head.contains("accept-encoding: identity"))
        .collect();
    assert_eq!(own.len(), 3, "the list and each file once: {heard}");
    for head in own {
        assert!(
            !head.contains("x-secret") && !head.contains("cookie"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn over_http2_a_kept_file_is_given_and_not_sent_to_who_has_it() {
    let image = Image::new("console.log('two');\n");
    let two = Two::of(&image).await;
    let kept = two.until_kept(SCRIPT).await;
    let host = two.world.host(FOREIGN);
    let mut h2 = two.world.h2(&host).await;
    let ask = |known: &str| {
        http::Request::get(format!("https://{host}{ROOT}{SCRIPT}"))
            .header("cookie", &two.cookies[1])
            .header("accept-encoding", "br")
            .header("if-none-match", known)
            .body(http_body_util::Full::<bytes::Bytes>::default())
            .unwrap()
    };
    let answer = patient(h2.send_request(ask("\"other\""))).await.unwrap();
    let answer = crate::client::whole(answer).await;
    assert_eq!(unpacked(&answer), image.script());
    let etag = kept.headers()["etag"].to_str().unwrap();
    let answer = patient(h2.send_request(ask(etag))).await.unwrap();
    let answer = crate::client::whole(answer).await;
    assert_eq!((answer.status().as_u16(), answer.body().len()), (304, 0));
    assert!(!two.was_asked(1));
}

#[tokio::test]
async fn what_a_container_tampered_with_is_its_own_users_only() {
    let image = Image::new("console.log('honest');\n");
    let two = Two::of(&image).await;
    let path = format!("{ROOT}{SCRIPT}");
    // As long as the honest one, so that only the hash tells.
    let mut evil = image.script().to_vec();
    evil[0] = b'C';
    two.bridges[0]
        .files
        .lock()
        .unwrap()
        .insert(path, evil.clone());
    two.until_filled(0, "unfit").await;
    assert_eq!(&**two.ask(0, SCRIPT).await.body(), evil);

    assert_eq!(&**two.ask(1, SCRIPT).await.body(), image.script());
    assert!(two.was_asked(1), "nothing was kept");
    // The other workspace is believed all the same.
    let asking = async { while !two.ask(1, SCRIPT).await.headers().contains_key("etag") {} };
    patient(asking).await;
    assert_eq!(unpacked(&two.ask(0, SCRIPT).await), image.script());
}

#[tokio::test]
async fn a_list_that_the_image_does_not_vouch_for_is_refused() {
    let (honest, evil) = (Image::new("honest();\n"), Image::new("evil();\n"));
    let two = Two::of(&honest).await;
    // The container serves another editor, and a list that fits it.
    evil.install(&two.bridges[0]);
    two.until_filled(0, "unfit").await;
    assert_eq!(two.fills("kept"), 0.0);
    assert_eq!(&**two.ask(1, SCRIPT).await.body(), honest.script());
}

#[tokio::test]
async fn another_image_is_given_only_what_it_vouches_for_itself() {
    let (one, other) = (Image::new("one();\n"), Image::new("other();\n"));
    let two = Two::start([one.hash(), other.hash()], Options::default()).await;
    one.install(&two.bridges[0]);
    other.install(&two.bridges[1]);
    two.until_kept(SCRIPT).await;
    let asking = async {
        loop {
            let answer = two.ask(1, SCRIPT).await;
            if answer.headers().contains_key("etag") {
                return unpacked(&answer);
            }
            assert_eq!(&**answer.body(), other.script());
        }
    };
    assert_eq!(patient(asking).await, other.script());
    assert_eq!(unpacked(&two.ask(0, SCRIPT).await), one.script());
}

#[tokio::test]
async fn nobody_is_given_a_kept_file_without_a_permit() {
    let image = Image::new("console.log('mine');\n");
    let two = Two::of(&image).await;
    two.until_kept(SCRIPT).await;
    let world = &two.world;
    let path = format!("{ROOT}{SCRIPT}");
    let host = world.host(FOREIGN);
    let brotli = ("accept-encoding", "br");
    let stranger = world.send(request("GET", &host, &path, &[brotli])).await;
    assert_eq!(
        (stranger.status().as_u16(), code(&stranger)),
        (401, "unauthenticated".to_owned())
    );
    // The session of one host is none at another.
    let confused = [("cookie", two.cookies[0].as_str()), brotli];
    let confused = world.send(request("GET", &host, &path, &confused)).await;
    assert_eq!(confused.status(), 401);

    world.revoke(world.session).await;
    for which in [0, 1] {
        let answer = two.ask(which, SCRIPT).await;
        assert_eq!(answer.status(), 401, "signed out");
    }
    assert!(!two.was_asked(1));
}

#[tokio::test]
async fn a_stopped_workspace_and_a_port_have_no_kept_files() {
    let image = Image::new("console.log('mine');\n");
    let two = Two::of(&image).await;
    two.until_kept(SCRIPT).await;
    let world = &two.world;
    let port = format!("3000-{FOREIGN}");
    let cookie = world.sign_in(&port, 1).await;
    let path = format!("{ROOT}{SCRIPT}");
    let headers = [("cookie", cookie.as_str()), ("accept-encoding", "br")];
    let answer = world
        .send(request("GET", &world.host(&port), &path, &headers))
        .await;
    assert_eq!(&**answer.body(), image.script(), "by the app on that port");
    assert!(!answer.headers().contains_key("etag"));

    let target = kalpana_protocol::routes::Target::Stopped;
    world.route(MINE, world.user, 1, target).await;
    assert_eq!(two.ask(0, SCRIPT).await.status(), 503);
    let somebody = UserId::generate();
    let target = world.running_from(MINE, 1, Some(image.hash()));
    world.route(MINE, somebody, 1, target).await;
    assert_eq!(two.ask(0, SCRIPT).await.status(), 401, "another's now");
}

#[tokio::test]
async fn what_the_cache_does_not_have_comes_from_the_container_as_before() {
    let image = Image::new("console.log('mine');\n");
    let options = Options {
        configure: |config| config.gateway.asset_cache = kalpana_config::ByteSize(0),
        ..Options::default()
    };
    let off = Two::start([image.hash(), image.hash()], options).await;
    image.install(&off.bridges[0]);
    for _ in 0..3 {
        assert_eq!(&**off.ask(0, SCRIPT).await.body(), image.script());
    }
    assert!(!off.bridges[0].text().contains("identity"), "it is off");

    let two = Two::of(&image).await;
    two.until_kept(SCRIPT).await;
    let host = two.world.host(FOREIGN);
    let path = format!("{ROOT}{SCRIPT}");
    // Kept compressed only, so whoever takes no Brotli asks the container.
    let plain = two.world.send(get(&host, &path, &two.cookies[1])).await;
    assert_eq!(&**plain.body(), image.script());
    let head = [
        ("cookie", two.cookies[1].as_str()),
        ("accept-encoding", "br"),
    ];
    let head = two.world.send(request("HEAD", &host, &path, &head)).await;
    assert!(!head.headers().contains_key("etag"));
    let unlisted = two.ask(1, "out/unlisted.js").await;
    assert!(crate::client::text(&unlisted).contains("GET"), "echoed");
}
