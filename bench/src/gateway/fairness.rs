//! That every proxy judges as it is said to: a comparison with one that lets everybody in would be
//! worth nothing.

use std::sync::Arc;

use anyhow::ensure;
use rustls::ClientConfig;

use super::target::{Target, Visitor};
use super::{client, http1};

/// How much a proxy judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// That the session is genuine, for this workspace and of its owner.
    Whole,
    /// That it is genuine.
    Signature,
    /// Nothing.
    Nothing,
}

/// Sends requests that must be let in and requests that must not.
pub(crate) async fn check(config: &Arc<ClientConfig>, target: &Target) -> anyhow::Result<()> {
    let [own, other] = [&target.visitors[0], &target.visitors[1]];
    let name = target.name;
    visit(config, target).await?;
    let cases = [
        (foreign(own, other), Judgement::Whole, "another's session"),
        (altered(own), Judgement::Signature, "a forged session"),
    ];
    for (visitor, by, what) in cases {
        let is_refused = ask(config, target, &visitor).await? != 200;
        let must_be = target.judgement == Judgement::Whole || target.judgement == by;
        ensure!(
            is_refused == must_be,
            "{name} let {what} in: {}, which is not what it is set up for",
            !is_refused
        );
    }
    Ok(())
}

/// Sends a request that must be let in.
pub(crate) async fn visit(config: &Arc<ClientConfig>, target: &Target) -> anyhow::Result<()> {
    let status = ask(config, target, &target.visitors[0]).await?;
    ensure!(
        status == 200,
        "{} answered {status} to a visitor",
        target.name
    );
    Ok(())
}

async fn ask(
    config: &Arc<ClientConfig>,
    target: &Target,
    visitor: &Visitor,
) -> anyhow::Result<u16> {
    let mut stream = client::connect(config, target.address, visitor).await?;
    let request = visitor.request("GET", "/", "");
    Ok(http1::exchange(&mut stream, &request, &mut Vec::new()).await?)
}

/// Returns a visitor with the session of another.
fn foreign(own: &Visitor, other: &Visitor) -> Visitor {
    Visitor {
        cookie: other.cookie.clone(),
        ..own.clone()
    }
}

/// Returns a visitor whose session was altered in the middle of its signature.
fn altered(own: &Visitor) -> Visitor {
    let mut cookie = own.cookie.clone().into_bytes();
    let place = cookie.len() - 10;
    cookie[place] = if cookie[place] == b'A' { b'B' } else { b'A' };
    Visitor {
        cookie: String::from_utf8_lossy(&cookie).into_owned(),
        ..own.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_altered_session_differs_in_one_letter() {
        let address = "127.0.0.1:8443".parse().unwrap();
        let own = Visitor::new(1, address, |_| "session=AAAAAAAAAAAAAAAA".to_owned()).unwrap();
        assert_eq!(altered(&own).cookie, "session=AAAAAABAAAAAAAAA");
    }
}
