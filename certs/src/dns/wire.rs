//! Speaks with name servers, over TCP, one question for each connection.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use hickory_net::client::{Client, ClientHandle};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::tcp::TcpClientStream;
use hickory_net::xfer::{DnsHandle, DnsMultiplexer};
use hickory_net::{NetError, runtime::RuntimeProvider};
use hickory_proto::op::{DnsRequest, DnsResponse, Message};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigner};

/// Longest time of one question.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks `server` for records of one type.
pub(super) async fn ask(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
) -> Result<DnsResponse, NetError> {
    let mut client = connect(server, None).await?;
    let answer = client.query(name.clone(), DNSClass::IN, kind);
    within(answer).await
}

/// Sends an update, signed where there is a signer.
pub(super) async fn update(
    server: SocketAddr,
    message: Message,
    signer: Option<TSigner>,
) -> Result<DnsResponse, NetError> {
    let client = connect(server, signer).await?;
    let mut answers = client.send(DnsRequest::from(message));
    within(async move { answers.next().await.unwrap_or(Err(NetError::Timeout)) }).await
}

async fn within(
    answer: impl Future<Output = Result<DnsResponse, NetError>>,
) -> Result<DnsResponse, NetError> {
    let answer = tokio::time::timeout(LIMIT, answer).await;
    answer.unwrap_or(Err(NetError::Timeout))
}

async fn connect(
    server: SocketAddr,
    signer: Option<TSigner>,
) -> Result<Client<TokioRuntimeProvider>, NetError> {
    let provider = TokioRuntimeProvider::new();
    let mut handle = provider.create_handle();
    let (stream, sender) = TcpClientStream::new(server, None, Some(LIMIT), provider);
    let mut multiplexer = DnsMultiplexer::new(stream.await?, sender).with_timeout(LIMIT);
    if let Some(signer) = signer {
        multiplexer = multiplexer.with_signer(signer);
    }
    let (client, background) = Client::from_sender(multiplexer);
    hickory_net::runtime::Spawn::spawn_bg(&mut handle, async move {
        let _ = background.await;
    });
    Ok(client)
}

/// Returns the texts among records, each put together from its parts.
pub(super) fn texts(records: &[Record]) -> Vec<String> {
    let texts = records.iter().filter_map(|record| match &record.data {
        RData::TXT(text) => Some(text.txt_data.concat()),
        _ => None,
    });
    texts
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .collect()
}
