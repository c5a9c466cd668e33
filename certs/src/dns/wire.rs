//! One question to one name server, and its answer.
//!
//! Updates and questions go out one at a time and far between, so each has a socket of its own;
//! what a server says is kept as it said it, because that is what an operator needs to read.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long a server may take to answer in all.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// How long each attempt over UDP waits; after the last one TCP is tried.
const UDP_ATTEMPTS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// The largest answer over UDP that we ask for: it fits into a packet of any network, in bytes.
/// Source: DNS flag day 2020.
const UDP_PAYLOAD: u16 = 1232;

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("it did not answer within {} s", DEADLINE.as_secs())]
    Silent,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("its answer is not DNS ({0})")]
    Garbled(String),
}

/// Asks `server` for the records of `name`; with `recursive`, also for what it must ask others.
pub(crate) async fn ask(
    server: SocketAddr,
    name: &Name,
    record_type: RecordType,
    recursive: bool,
) -> Result<Message, WireError> {
    let mut message = Message::query();
    message.metadata.recursion_desired = recursive;
    message.add_query(Query::query(name.clone(), record_type));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD).set_version(0);
    message.set_edns(edns);
    let exchange = async {
        if let Some(answer) = by_udp(server, &message).await? {
            return Ok(answer);
        }
        Ok(by_tcp(server, &message).await?.0)
    };
    timeout(DEADLINE, exchange)
        .await
        .unwrap_or(Err(WireError::Silent))
}

/// Sends `message` over TCP; returns the answer, and its bytes for whoever checks a signature.
pub(crate) async fn tell(
    server: SocketAddr,
    message: &Message,
) -> Result<(Message, Vec<u8>), WireError> {
    timeout(DEADLINE, by_tcp(server, message))
        .await
        .unwrap_or(Err(WireError::Silent))
}

/// Returns `None` when the answer does not fit or does not come, so that TCP must be tried.
async fn by_udp(server: SocketAddr, message: &Message) -> Result<Option<Message>, WireError> {
    let here: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(here).await?;
    socket.connect(server).await?;
    let bytes = encoded(message)?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    for patience in UDP_ATTEMPTS {
        socket.send(&bytes).await?;
        let answer = async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                // Whatever is not the answer may have been sent by anybody: go on waiting.
                if let Ok(answer) = Message::from_vec(&buffer[..length])
                    && is_answer(message, &answer)
                {
                    return Ok::<_, WireError>(answer);
                }
            }
        };
        match timeout(patience, answer).await {
            Ok(Ok(answer)) if answer.truncation => return Ok(None),
            Ok(answer) => return answer.map(Some),
            Err(_) => {}
        }
    }
    Ok(None)
}

async fn by_tcp(server: SocketAddr, message: &Message) -> Result<(Message, Vec<u8>), WireError> {
    let mut stream = TcpStream::connect(server).await?;
    let bytes = encoded(message)?;
    let length = u16::try_from(bytes.len()).map_err(|_| garbled("it would be too long"))?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(&bytes);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    let answer = Message::from_vec(&bytes).map_err(garbled)?;
    if !is_answer(message, &answer) {
        return Err(garbled("it answers another question"));
    }
    Ok((answer, bytes))
}

fn encoded(message: &Message) -> Result<Vec<u8>, WireError> {
    message.to_vec().map_err(garbled)
}

fn garbled(error: impl std::fmt::Display) -> WireError {
    WireError::Garbled(error.to_string())
}

/// An error may come without the question; its number is what ties it to ours then.
fn is_answer(question: &Message, answer: &Message) -> bool {
    answer.id == question.id
        && answer.message_type == MessageType::Response
        && (answer.queries == question.queries
            || (answer.queries.is_empty() && answer.response_code != ResponseCode::NoError))
}
