//! What gateways share is passed to the store and back, by who saw the latest.

use http::{Method, StatusCode};
use kalpana_link::{CallError, Client};
use kalpana_protocol::copies::{CONTENTS_LIMIT, Copies, SealedContents, Written};
use kalpana_test_mongodb::Database;
use serde::de::DeserializeOwned;

use crate::support::Site;

async fn call<T: DeserializeOwned>(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&SealedContents>,
) -> Result<T, StatusCode> {
    let path = format!("/v1/copies{path}");
    match client.call(method, &path, None, body).await {
        Ok(answer) => Ok(answer),
        Err(CallError::Refused { status, .. }) => Err(status),
        Err(error) => panic!("{error}"),
    }
}

fn sealed(version: u64, contents: &str) -> SealedContents {
    SealedContents {
        version,
        contents: contents.to_owned(),
    }
}

async fn copies_are_kept(site: &Site) {
    let token = Some(site.token.clone());
    let client = Client::new("web", site.site.web_internal_socket(), token);
    let name = "/certificates/_.example.test/copy";
    let missing = call::<SealedContents>(&client, Method::GET, name, None).await;
    assert_eq!(missing.err(), Some(StatusCode::NOT_FOUND));
    let put = async |version, contents: &str| {
        let given = sealed(version, contents);
        call::<Written>(&client, Method::PUT, name, Some(&given)).await
    };
    let first = put(0, "AAEC").await.expect("written").version;
    assert_eq!(put(0, "AAEC").await.err(), Some(StatusCode::CONFLICT));
    let second = put(first, "/+8=").await.expect("written").version;
    let read: SealedContents = call(&client, Method::GET, name, None).await.expect("read");
    assert_eq!((read.version, read.contents.as_str()), (second, "/+8="));
    let list = async |prefix: &str| -> Vec<(String, u64)> {
        let path = format!("?prefix={prefix}");
        let all: Copies = call(&client, Method::GET, &path, None)
            .await
            .expect("listed");
        let copies = all.copies.into_iter();
        copies.map(|copy| (copy.name, copy.version)).collect()
    };
    assert_eq!(
        list("certificates/").await,
        [(name[1..].to_owned(), second)]
    );
    assert_eq!(list("account/").await, []);

    let too_large = "A".repeat(CONTENTS_LIMIT / 3 * 4 + 8);
    for wrong in ["not base64", &too_large] {
        let refused = put(second, wrong).await.err();
        assert_eq!(refused, Some(StatusCode::UNPROCESSABLE_ENTITY));
    }
    let long = format!("/{}", "n".repeat(600));
    let refused = call::<Written>(&client, Method::PUT, &long, Some(&sealed(0, ""))).await;
    assert_eq!(refused.err(), Some(StatusCode::UNPROCESSABLE_ENTITY));

    let remove = async |version: u64| {
        let path = format!("{name}?version={version}");
        call::<()>(&client, Method::DELETE, &path, None).await
    };
    assert_eq!(remove(first).await, Err(StatusCode::CONFLICT));
    assert_eq!(remove(second).await, Ok(()));
    assert_eq!(list("").await, []);
}

#[tokio::test]
async fn gateways_share_over_sqlite() {
    copies_are_kept(&Site::start().await).await;
}

#[tokio::test]
async fn gateways_share_over_mongodb() {
    let database = Database::fresh().await.expect("a MongoDB server");
    copies_are_kept(&Site::start_on(&database).await).await;
}

#[tokio::test]
async fn nobody_without_the_internal_token_sees_what_gateways_share() {
    let site = Site::start().await;
    let client = Client::new("web", site.site.web_internal_socket(), None);
    for (method, body) in [
        (Method::GET, None),
        (Method::PUT, Some(sealed(0, "AAEC"))),
        (Method::DELETE, None),
    ] {
        let refused = call::<()>(&client, method, "/a?version=1", body.as_ref()).await;
        assert_eq!(refused, Err(StatusCode::UNAUTHORIZED));
    }
}
