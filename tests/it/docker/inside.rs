//! Programs that stories run inside a workspace.

use std::time::Duration;

use kalpana_tests::docker::{run_inside, start_inside};
use kalpana_tests::until;

/// A server that writes down every request line, header and WebSocket upgrade it gets, and answers
/// with what it got. Plain Node, because that is in the image.
const ECHO: &str = r#"
const http = require("http"), crypto = require("crypto"), fs = require("fs");
const note = (request) => {
  const heard = { method: request.method, url: request.url, headers: request.rawHeaders };
  fs.appendFileSync("/tmp/heard.log", JSON.stringify(heard) + "\n");
  return heard;
};
const server = http.createServer((request, response) => {
  const heard = note(request);
  if (request.url.startsWith("/sse")) {
    response.writeHead(200, { "content-type": "text/event-stream" });
    return void response.write("data: " + JSON.stringify(heard) + "\n\n");
  }
  if (request.url.startsWith("/die")) return void request.socket.destroy();
  const status = request.url.startsWith("/error") ? 500 : 200;
  response.writeHead(status, { "content-type": "application/json",
    "set-cookie": ["app=1; Path=/", "__Host-kws=forged; Secure; Path=/", "wide=1; Domain=kalpana.localhost"] });
  response.end(JSON.stringify(heard));
});
server.on("upgrade", (request, socket) => {
  const heard = note(request);
  const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const accept = crypto.createHash("sha1").update(key).digest("base64");
  socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    "Sec-WebSocket-Accept: " + accept + "\r\n\r\n");
  const text = Buffer.from(JSON.stringify(heard));
  const head = text.length < 126 ? Buffer.from([0x81, text.length])
    : Buffer.from([0x81, 126, text.length >> 8, text.length & 255]);
  socket.write(Buffer.concat([head, text]));
  socket.on("error", () => {});
  // Short text frames, one at a time, come back as they are.
  socket.on("data", (frame) => {
    if ((frame[0] & 15) !== 1) return;
    const length = frame[1] & 127, mask = frame.subarray(2, 6);
    const text = frame.subarray(6, 6 + length).map((byte, index) => byte ^ mask[index % 4]);
    socket.write(Buffer.concat([Buffer.from([0x81, length]), text]));
  });
});
server.listen(3000, "127.0.0.1", () => fs.writeFileSync("/tmp/listening", ""));
"#;

/// Starts the echo server on port 3000 and waits until it listens.
pub(crate) async fn start_echo_server(workspace: &str) -> anyhow::Result<()> {
    let quoted = ECHO.replace('\'', r"'\''");
    run_inside(
        workspace,
        &format!("rm -f /tmp/listening; printf %s '{quoted}' > /tmp/echo.js"),
    )
    .await?;
    start_inside(workspace, "exec node /tmp/echo.js").await?;
    until("the echo server", Duration::from_secs(20), async || {
        Ok(run_inside(workspace, "cat /tmp/listening").await.ok())
    })
    .await?;
    Ok(())
}

/// Returns everything the echo server has heard, a JSON object per line.
pub(crate) async fn heard(workspace: &str) -> anyhow::Result<String> {
    run_inside(workspace, "cat /tmp/heard.log 2>/dev/null || true").await
}
