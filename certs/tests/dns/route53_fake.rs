//! What stands for Route 53: it keeps record sets, takes batches wholly or not at all, and checks
//! each signature by computing it anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::world::{Hosted, NAME};

pub(crate) const KEY_ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "canary-8d2f/wJalrXUtnFEMI";
pub(crate) const ZONE: &str = "Z1D633PJN98FT9";

/// What it takes for today.
const TODAY: &str = "20260601";

const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

pub(crate) struct Fake {
    pub(crate) hosted: Arc<Hosted>,
    /// Zones, as name and id, with whether they are private.
    pub(crate) zones: Mutex<Vec<(String, String, bool)>>,
    /// What somebody else adds right before the next batches.
    pub(crate) meanwhile: Mutex<Vec<String>>,
    pub(crate) batches: Mutex<Vec<String>>,
    /// What is in each set beside names and values, as XML.
    pub(crate) policy: Mutex<String>,
}

impl Fake {
    pub(crate) async fn start() -> (Arc<Self>, String) {
        let hosted = Hosted::start().await;
        let zone = ("example.test.".to_owned(), ZONE.to_owned(), false);
        let fake = Arc::new(Self {
            hosted: Arc::clone(&hosted),
            zones: Mutex::new(vec![zone]),
            meanwhile: Mutex::default(),
            batches: Mutex::default(),
            policy: Mutex::default(),
        });
        let router = Router::new()
            .route("/2013-04-01/hostedzonesbyname", get(zones))
            .route(
                "/2013-04-01/hostedzone/{zone}/rrset",
                get(list).post(change),
            )
            .with_state(Arc::clone(&fake))
            .layer(middleware::from_fn(check));
        let url = hosted.serve(router).await;
        (fake, url)
    }
}

fn xml(status: StatusCode, body: &str) -> Response {
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    (
        status,
        [("content-type", "text/xml")],
        format!("{head}{body}"),
    )
        .into_response()
}

pub(crate) fn problem(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>b25f48e8</RequestId></ErrorResponse>"
    )
}

/// Source: the description of Signature Version 4 in Amazon's IAM guide.
async fn check(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let refused = |code: &str, message: &str| xml(StatusCode::FORBIDDEN, &problem(code, message));
    let header = |name: &str| {
        let value = parts.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let authorization = header("authorization");
    if !authorization.contains(&format!("Credential={KEY_ID}/")) {
        let words = "The security token included in the request is invalid.";
        return refused("InvalidClientTokenId", words);
    }
    if !header("x-amz-date").starts_with(TODAY) {
        let words = "Signature expired: 20200101T000000Z is now earlier than 20260601T000000Z";
        return refused("SignatureDoesNotMatch", words);
    }
    let wanted = signature(&parts.method, &parts.uri, &parts.headers, &body);
    if !authorization.ends_with(&format!("Signature={wanted}")) {
        let words = "The request signature we calculated does not match.";
        return refused("SignatureDoesNotMatch", words);
    }
    next.run(Request::from_parts(parts, body.into())).await
}

fn signature(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> String {
    let value = |name: &str| headers[name].to_str().expect("text").to_owned();
    let (date, authorization) = (value("x-amz-date"), value("authorization"));
    let signed = authorization
        .split_once("SignedHeaders=")
        .expect("a list")
        .1;
    let signed = signed.split_once(',').expect("more behind it").0;
    assert!(signed.split(';').any(|name| name == "host"), "{signed}");
    let mut query: Vec<&str> = uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let lines: String = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", value(name).trim()))
        .collect();
    let canonical = format!(
        "{method}\n{}\n{}\n{lines}\n{signed}\n{}",
        uri.path(),
        query.join("&"),
        hex(&Sha256::digest(body)),
    );
    let day = &date[..8];
    let scope = format!("{day}/us-east-1/route53/aws4_request");
    let digest = hex(&Sha256::digest(canonical));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in [day, "us-east-1", "route53", "aws4_request"] {
        key = hmac(&key, part);
    }
    hex(&hmac(&key, &text))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One zone on a page, sorted by name as the real one sorts.
async fn zones(
    State(fake): State<Arc<Fake>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let mut zones = fake.zones.lock().expect("zones").clone();
    zones.sort();
    let name = format!("{}.", query["dnsname"].trim_end_matches('.'));
    let id = query.get("hostedzoneid").cloned().unwrap_or_default();
    let mut rest = zones
        .iter()
        .skip_while(|(zone, zone_id, _)| (zone, zone_id) < (&name, &id));
    let here = rest.next().map(|(name, id, is_private)| {
        format!(
            "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}</Name>\
             <CallerReference>x</CallerReference><Config><Comment/>\
             <PrivateZone>{is_private}</PrivateZone></Config>\
             <ResourceRecordSetCount>2</ResourceRecordSetCount></HostedZone>"
        )
    });
    let next = rest.next().map(|(name, id, _)| {
        format!(
            "<NextDNSName>{name}</NextDNSName><NextHostedZoneId>{id}</NextHostedZoneId>\
             <IsTruncated>true</IsTruncated>"
        )
    });
    let body = format!(
        "<ListHostedZonesByNameResponse xmlns=\"{NAMESPACE}\"><HostedZones>{}</HostedZones>{}\
         <MaxItems>1</MaxItems></ListHostedZonesByNameResponse>",
        here.unwrap_or_default(),
        next.unwrap_or("<IsTruncated>false</IsTruncated>".to_owned()),
    );
    xml(StatusCode::OK, &body)
}

/// Writes the set of a name, in the order in which the values came.
fn set(fake: &Fake, name: &str) -> String {
    let values: String = fake
        .hosted
        .ids(name)
        .iter()
        .map(|(_, value)| {
            format!("<ResourceRecord><Value>&quot;{value}&quot;</Value></ResourceRecord>")
        })
        .collect();
    if values.is_empty() {
        return String::new();
    }
    let policy = fake.policy.lock().expect("policy").clone();
    format!(
        "<ResourceRecordSet><Name>{name}.</Name><Type>TXT</Type>{policy}<TTL>60</TTL>\
         <ResourceRecords>{values}</ResourceRecords></ResourceRecordSet>"
    )
}

async fn list(
    State(fake): State<Arc<Fake>>,
    Path(zone): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    if zone != ZONE {
        let words = format!("No hosted zone found with ID: {zone}");
        return xml(StatusCode::NOT_FOUND, &problem("NoSuchHostedZone", &words));
    }
    assert_eq!(query["type"], "TXT");
    let mut sets = set(&fake, &query["name"]);
    if sets.is_empty() {
        // The list goes on with what comes after the name.
        sets = "<ResourceRecordSet><Name>www.example.test.</Name><Type>A</Type><TTL>60</TTL>\
                <ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord>\
                </ResourceRecords></ResourceRecordSet>"
            .to_owned();
    }
    let body = format!(
        "<ListResourceRecordSetsResponse xmlns=\"{NAMESPACE}\"><ResourceRecordSets>{sets}\
         </ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>1</MaxItems>\
         </ListResourceRecordSetsResponse>"
    );
    xml(StatusCode::OK, &body)
}

/// Takes a batch if what it deletes is what there is and what it creates is not there.
async fn change(State(fake): State<Arc<Fake>>, Path(zone): Path<String>, body: Bytes) -> Response {
    assert_eq!(zone, ZONE);
    let meanwhile = fake.meanwhile.lock().expect("meanwhile").pop();
    if let Some(value) = meanwhile {
        fake.hosted.add(NAME, &value).await;
    }
    let body = String::from_utf8(body.to_vec()).expect("text");
    fake.batches.lock().expect("batches").push(body.clone());
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for change in body.split("<Change>").skip(1) {
        let inside = |tag: &str| {
            let (_, rest) = change.split_once(&format!("<{tag}>")).expect("a tag");
            rest.split_once('<').expect("its end").0
        };
        assert_eq!(inside("Name"), format!("{NAME}."));
        let action = if inside("Action") == "DELETE" {
            "DELETE"
        } else {
            "CREATE"
        };
        let texts = change.split("<Value>").skip(1).map(|rest| {
            let text = rest.split_once('<').expect("its end").0;
            text.trim_start_matches("&quot;")
                .trim_end_matches("&quot;")
                .to_owned()
        });
        values.insert(action, texts.collect());
    }
    let held: Vec<String> = fake
        .hosted
        .ids(NAME)
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    let deleted = values.remove("DELETE").unwrap_or_default();
    if deleted != held {
        let words = "Tried to delete resource record set but the values provided do not match";
        let body = format!(
            "<InvalidChangeBatch xmlns=\"{NAMESPACE}\"><Messages><Message>{words}</Message>\
             </Messages><RequestId>b25f48e8</RequestId></InvalidChangeBatch>"
        );
        return xml(StatusCode::BAD_REQUEST, &body);
    }
    for (id, _) in fake.hosted.ids(NAME) {
        fake.hosted.remove(id).await;
    }
    for value in values.remove("CREATE").unwrap_or_default() {
        fake.hosted.add(NAME, &value).await;
    }
    let body = format!(
        "<ChangeResourceRecordSetsResponse xmlns=\"{NAMESPACE}\"><ChangeInfo>\
         <Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo>\
         </ChangeResourceRecordSetsResponse>"
    );
    xml(StatusCode::OK, &body)
}
