//! Development servers on a private port: their page and its modules arrive, and so does what they
//! say over their WebSocket when a file is saved. Each is set as `docs/ports.md` says, and refuses
//! us without that, at a site whose name is not below `localhost`, which all of them let in.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use futures_util::StreamExt;
use http::header::{ACCEPT, COOKIE, ORIGIN, REFERER};
use kalpana_config::Config;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::net::{TcpStream, UnixListener};
use tokio_tungstenite::tungstenite::Message;

use crate::backend::installed;
use crate::bridge::Bridge;
use crate::client::{Answer, request, text, whole};
use crate::upgrade::{self, Socket};
use crate::world::{MINE, Options, World, patient};

const DOMAIN: &str = "kalpana.example";

/// Longest time for an answer: the first one waits until everything is compiled.
const COMPILING: Duration = Duration::from_secs(120);

/// A development server and its project, both gone when dropped.
struct Developer {
    process: Child,
    port: u16,
    project: tempfile::TempDir,
}

impl Developer {
    /// Starts `program`, one of those that scripts/backends has installed, on a port of its own
    /// choice, in a project of these files. Returns when it says where it listens.
    async fn start(program: &str, arguments: &[&str], files: &[(&str, &str)]) -> Self {
        let packages = installed("").with_file_name("npm");
        // Below the packages, which is where the project's imports are looked for.
        let project = tempfile::Builder::new()
            .prefix("project-")
            .tempdir_in(&packages)
            .unwrap_or_else(|error| panic!("no {program} (see scripts/backends): {error}"));
        for (path, content) in files {
            write(&project.path().join(path), content);
        }
        let (said, output) = std::io::pipe().unwrap();
        let process = Command::new("node")
            .arg(packages.join("node_modules").join(program))
            .args(arguments)
            .current_dir(project.path())
            // As every process of a workspace finds it.
            .env(
                "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS",
                format!(".{DOMAIN}"),
            )
            .env("NEXT_TELEMETRY_DISABLED", "1")
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut developer = Self {
            process,
            port: 0,
            project,
        };
        let mut said = pipe::Receiver::from_owned_fd(said.into()).unwrap();
        let mut log = String::new();
        developer.port = patient(async {
            loop {
                if let Some(port) = listens_on(&log) {
                    return port;
                }
                let mut part = [0; 4096];
                let length = said.read(&mut part).await.unwrap();
                assert!(length > 0, "it ended: {log}");
                log.push_str(&String::from_utf8_lossy(&part[..length]));
            }
        })
        .await;
        // Whatever else it says must go somewhere, or it would wait.
        tokio::spawn(async move { tokio::io::copy(&mut said, &mut tokio::io::sink()).await });
        developer
    }

    /// Listens at a socket, and passes on to the server what comes there.
    fn socket(&self) -> PathBuf {
        let path = self.project.path().join(".socket");
        let listener = UnixListener::bind(&path).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        tokio::spawn(async move {
            while let Ok((mut outside, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(address).await.unwrap();
                    // An ending connection is the tests' own doing.
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut server).await;
                });
            }
        });
        path
    }

    fn save(&self, path: &str, content: &str) {
        write(&self.project.path().join(path), content);
    }
}

impl Drop for Developer {
    fn drop(&mut self) {
        // Some have processes of their own.
        let group = Pid::from_child(&self.process);
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.process.wait();
    }
}

fn write(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
}

/// Finds the port that a server says it listens on.
fn listens_on(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once("http://127.0.0.1:")?;
    let end = rest.find(|after: char| !after.is_ascii_digit())?;
    rest[..end].parse().ok()
}

/// What stands between quotes behind `before`.
fn quoted<'a>(text: &'a str, before: &str) -> &'a str {
    let found = text.split_once(before).map(|(_, rest)| rest);
    let found = found.and_then(|rest| rest.split_once('"'));
    found.unwrap_or_else(|| panic!("no {before} in {text}")).0
}

/// A browser that has signed in to the server's port.
struct Browser {
    world: World,
    _bridge: Bridge,
    host: String,
    origin: String,
    session: String,
}

impl Browser {
    async fn before(developer: &Developer) -> Self {
        let world = World::with(Options {
            configure: |config: &mut Config| config.server.domain = DOMAIN.to_owned(),
            ..Options::default()
        })
        .await;
        let bridge = Bridge::before(&world, MINE, &developer.socket());
        world.run_mine().await;
        let label = format!("{}-{MINE}", developer.port);
        let session = world.sign_in(&label, 1).await;
        Self {
            host: world.host(&label),
            origin: world.origin(&label),
            world,
            _bridge: bridge,
            session,
        }
    }

    /// Opens the page, or loads anything else as a script of that page.
    async fn answer(&self, path: &str) -> Answer {
        let referrer = format!("{}/", self.origin);
        let mut headers = vec![(COOKIE.as_str(), self.session.as_str())];
        if path == "/" {
            headers.extend([
                ("sec-fetch-mode", "navigate"),
                (ACCEPT.as_str(), "text/html"),
            ]);
        } else {
            headers.extend([
                (REFERER.as_str(), referrer.as_str()),
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-mode", "no-cors"),
            ]);
        }
        let sent = request("GET", &self.host, path, &headers);
        let mut sender = self.world.h1(&self.host).await;
        let answer = tokio::time::timeout(COMPILING, sender.send_request(sent)).await;
        whole(answer.unwrap().unwrap()).await
    }

    async fn load(&self, path: &str) -> String {
        let answer = self.answer(path).await;
        assert_eq!(answer.status(), 200, "{path}: {}", text(&answer));
        text(&answer)
    }

    /// Opens a WebSocket as a script of the page does; the error is the status.
    async fn listen(&self, path: &str, subprotocol: &str) -> Result<Socket, u16> {
        let mut headers = vec![
            (COOKIE.as_str(), self.session.as_str()),
            (ORIGIN.as_str(), &self.origin),
        ];
        if !subprotocol.is_empty() {
            headers.push(("sec-websocket-protocol", subprotocol));
        }
        upgrade::open(&self.world, &self.host, path, &headers).await
    }
}

/// Reads messages until one has `words` in it, and returns that one.
async fn hear(socket: &mut Socket, words: &str) -> String {
    patient(async {
        loop {
            // Next.js sends rendered parts as bytes, which are not what is waited for.
            if let Message::Text(said) = socket.next().await.unwrap().unwrap()
                && said.contains(words)
            {
                return said.to_string();
            }
        }
    })
    .await
}

#[tokio::test]
async fn vite_replaces_a_module_without_any_setting() {
    let files = [
        (
            "index.html",
            "<!doctype html><script type=\"module\" src=\"/main.js\"></script>",
        ),
        (
            "main.js",
            "import { words } from './words.js'\n\
             document.body.textContent = words\n\
             import.meta.hot.accept('./words.js', next => { document.body.textContent = next.words })\n",
        ),
        ("words.js", "export const words = 'before'\n"),
    ];
    let arguments = ["--host", "127.0.0.1", "--port", "0"];
    let vite = Developer::start("vite/bin/vite.js", &arguments, &files).await;
    let browser = Browser::before(&vite).await;
    assert!(browser.load("/").await.contains("src=\"/@vite/client\""));
    let main = browser.load("/main.js").await;
    assert!(main.contains("from \"/words.js\""), "{main}");
    assert!(browser.load("/words.js").await.contains("before"));
    let client = browser.load("/@vite/client").await;
    let token = quoted(&client, "const wsToken = \"");
    let path = format!("/?token={token}");
    let mut socket = browser.listen(&path, "vite-hmr").await.unwrap();
    hear(&mut socket, "\"connected\"").await;

    vite.save("words.js", "export const words = 'after'\n");
    let update = hear(&mut socket, "\"update\"").await;
    let update: serde_json::Value = serde_json::from_str(&update).unwrap();
    let update = &update["updates"][0];
    assert_eq!(update["acceptedPath"], "/words.js");
    let changed = format!("/words.js?t={}", update["timestamp"]);
    assert!(browser.load(&changed).await.contains("after"));
}

const WEBPACK: &str = "webpack-cli/bin/cli.js";

const WEBPACK_ARGUMENTS: [&str; 7] = [
    "serve",
    "--mode",
    "development",
    "--host",
    "127.0.0.1",
    "--port",
    "0",
];

const WEBPACK_FILES: [(&str, &str); 3] = [
    ("public/index.html", "<script src=\"/main.js\"></script>"),
    (
        "src/index.js",
        "import { words } from './words.js'\n\
         document.body.textContent = words\n\
         module.hot.accept('./words.js', () => { document.body.textContent = words })\n",
    ),
    ("src/words.js", "export const words = 'before'\n"),
];

#[tokio::test]
async fn webpack_replaces_a_module_where_the_domain_is_allowed() {
    let allowed = ["--allowed-hosts", ".kalpana.example"];
    let arguments = [WEBPACK_ARGUMENTS.as_slice(), &allowed].concat();
    let webpack = Developer::start(WEBPACK, &arguments, &WEBPACK_FILES).await;
    let browser = Browser::before(&webpack).await;
    assert!(browser.load("/").await.contains("/main.js"));
    assert!(browser.load("/main.js").await.contains("before"));
    let mut socket = browser.listen("/ws", "").await.unwrap();
    let hash = hear(&mut socket, "\"hash\"").await;
    hear(&mut socket, "\"ok\"").await;

    webpack.save("src/words.js", "export const words = 'after'\n");
    hear(&mut socket, "\"invalid\"").await;
    let next = hear(&mut socket, "\"hash\"").await;
    assert_ne!(hash, next);
    hear(&mut socket, "\"ok\"").await;
    // What changed since is named by what the page has.
    let hash = quoted(&hash, "\"data\":\"");
    let list = browser.load(&format!("/main.{hash}.hot-update.json")).await;
    assert!(list.contains("\"main\""), "{list}");
    let module = browser.load(&format!("/main.{hash}.hot-update.js")).await;
    assert!(module.contains("after"), "{module}");
}

#[tokio::test]
async fn webpack_refuses_the_domain_where_it_is_not_allowed() {
    let webpack = Developer::start(WEBPACK, &WEBPACK_ARGUMENTS, &WEBPACK_FILES).await;
    let browser = Browser::before(&webpack).await;
    let answer = browser.answer("/main.js").await;
    assert_eq!(answer.status(), 403);
    assert_eq!(text(&answer), "Invalid Host header");
}

const NEXT: &str = "next/dist/bin/next";
const NEXT_ARGUMENTS: [&str; 5] = ["dev", "-H", "127.0.0.1", "-p", "0"];
const NEXT_PAGE: &str = "export default function Page() { return <p>before</p> }\n";
const NEXT_LAYOUT: &str = "export default function Layout({ children }) { return <html><body>{children}</body></html> }\n";

#[tokio::test]
async fn next_renders_a_page_anew_where_the_domain_is_allowed() {
    let files = [
        ("app/layout.js", NEXT_LAYOUT),
        ("app/page.js", NEXT_PAGE),
        (
            "next.config.js",
            "module.exports = { allowedDevOrigins: ['*.kalpana.example'] }\n",
        ),
    ];
    let next = Developer::start(NEXT, &NEXT_ARGUMENTS, &files).await;
    let browser = Browser::before(&next).await;
    let page = browser.load("/").await;
    assert!(page.contains("<p>before</p>"), "{page}");
    let script = quoted(&page, "<script src=\"");
    browser.load(script).await;
    let id = quoted(&page, "self.__next_r=\"");
    let path = format!("/_next/hmr?id={id}");
    let mut socket = browser.listen(&path, "").await.unwrap();
    hear(&mut socket, "\"sync\"").await;

    next.save("app/page.js", &NEXT_PAGE.replace("before", "after"));
    hear(&mut socket, "\"serverComponentChanges\"").await;
    let page = browser.load("/").await;
    assert!(page.contains("<p>after</p>"), "{page}");
}

#[tokio::test]
async fn next_shows_its_page_but_refuses_the_socket_where_the_domain_is_not_allowed() {
    let files = [("app/layout.js", NEXT_LAYOUT), ("app/page.js", NEXT_PAGE)];
    let next = Developer::start(NEXT, &NEXT_ARGUMENTS, &files).await;
    let browser = Browser::before(&next).await;
    assert!(browser.load("/").await.contains("<p>before</p>"));
    // It answers with something that is no HTTP.
    let refused = browser.listen("/_next/hmr?id=any", "").await;
    assert_eq!(refused.unwrap_err(), 502);
}
