//! Servers that apps are written with, each of which tells what it took a request for: one line,
//! `saw`, the method, the target and the body.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};

use crate::world::patient;

const NODE: &str = "
require('http').createServer((request, answer) => {
    let body = ''
    request.on('data', part => { body += part })
    request.on('end', () => answer.end(`saw ${request.method} ${request.url} ${body}\\n`))
}).listen(process.argv[1])
";

const UVICORN: &str = r"
async def app(scope, receive, send):
    body, more = b'', True
    while more:
        event = await receive()
        body, more = body + event.get('body', b''), event.get('more_body', False)
    target = scope['raw_path'] + (b'?' + scope['query_string'] if scope['query_string'] else b'')
    seen = b'saw %s %s %s\n' % (scope['method'].encode(), target, body)
    length = (b'content-length', str(len(seen)).encode())
    await send({'type': 'http.response.start', 'status': 200, 'headers': [length]})
    await send({'type': 'http.response.body', 'body': seen})
";

// A body is known to nginx only where it passes a request on, so it does: to itself.
const NGINX: &str = r#"
daemon off;
master_process off;
pid nginx.pid;
error_log stderr crit;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {
        listen unix:FOLDER/socket;
        location / {
            proxy_pass http://unix:FOLDER/inner:;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Body $request_body;
        }
    }
    server {
        listen unix:FOLDER/inner;
        location / { return 200 "saw $request_method $request_uri $http_x_body\n"; }
    }
}
"#;

const HAPROXY: &str = r#"
defaults
    mode http
    timeout client 30s
    timeout http-request 30s
    timeout http-keep-alive 30s
    option http-buffer-request
frontend front
    bind unix@FOLDER/socket
    http-request return status 200 content-type text/plain lf-string "saw %[method] %[pathq] %[req.body]\n"
"#;

/// A server, ended when dropped.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    folder: tempfile::TempDir,
    _process: Option<Child>,
}

impl Backend {
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub(crate) async fn hyper() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serve = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(echo));
                tokio::spawn(serve);
            }
        });
        Self {
            name: "hyper",
            folder,
            _process: None,
        }
    }

    pub(crate) async fn node() -> Self {
        Self::spawn("node", |folder| {
            let mut command = Command::new("node");
            command.args(["-e", NODE]).arg(folder.join("socket"));
            command
        })
        .await
    }

    pub(crate) async fn nginx() -> Self {
        Self::spawn("nginx", |folder| {
            let mut command = Command::new(installed("nginx-server"));
            command.arg("-p").arg(folder).arg("-c");
            command.arg(configuration(folder, NGINX));
            command
        })
        .await
    }

    pub(crate) async fn haproxy() -> Self {
        Self::spawn("haproxy", |folder| {
            let mut command = Command::new(installed("haproxy-server"));
            command.arg("-db").arg("-q").arg("-f");
            command.arg(configuration(folder, HAPROXY));
            command
        })
        .await
    }

    pub(crate) async fn uvicorn() -> Self {
        Self::spawn("uvicorn", |folder| {
            std::fs::write(folder.join("echo.py"), UVICORN).unwrap();
            let mut command = Command::new(installed("uvicorn"));
            command.arg("echo:app").arg("--app-dir").arg(folder);
            command.arg("--uds").arg(folder.join("socket"));
            command.args(["--http", "h11", "--log-level", "critical"]);
            command
        })
        .await
    }

    /// Has `serve` answer each connection, as bytes.
    pub(crate) fn wild<F>(serve: impl Fn(BufReader<UnixStream>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(BufReader::new(stream)));
            }
        });
        Self {
            name: "wild",
            folder,
            _process: None,
        }
    }

    async fn spawn(name: &'static str, command: impl FnOnce(&Path) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = command(folder.path());
        let process = command
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} (see scripts/backends): {error}"));
        let socket = folder.path().join("socket");
        let mut tries = tokio::time::interval(Duration::from_millis(20));
        patient(async {
            while UnixStream::connect(&socket).await.is_err() {
                tries.tick().await;
            }
        })
        .await;
        Self {
            name,
            folder,
            _process: Some(process),
        }
    }
}

/// Reads a request's head; `None` when there is no more.
pub(crate) async fn head(stream: &mut BufReader<UnixStream>) -> std::io::Result<Option<String>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let body = String::from_utf8_lossy(&body);
    let seen = format!("saw {} {} {body}\n", head.method, head.uri);
    Ok(Response::new(Full::from(seen)))
}

/// Returns where `scripts/backends` has put an executable.
pub(crate) fn installed(name: &str) -> PathBuf {
    let cache = std::env::var_os("KALPANA_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| {
        let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
        let usual = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        usual
            .unwrap_or_else(|| PathBuf::from(home).join(".cache"))
            .join("kalpana")
    });
    cache.join("backends/bin").join(name)
}

fn configuration(folder: &Path, template: &str) -> PathBuf {
    let path = folder.join("configuration");
    let text = template.replace("FOLDER", folder.to_str().unwrap());
    std::fs::write(&path, text).unwrap();
    path
}
