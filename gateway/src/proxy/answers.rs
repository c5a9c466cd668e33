//! What is answered to a request that goes no further, or went further in vain.

use bytes::Bytes;
use http::Method;
use http::header::VARY;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;

use super::Proxy;
use crate::assets::answer::Hit;
use crate::authorize::cors;
use crate::judge;
use crate::request::{Kind, RequestContext};
use crate::respond::Reply;

impl Proxy {
    /// Says what a failed upstream means to whoever asked. `None` when there is nobody to tell.
    pub(super) fn explain(&self, error: &Error, request: &RequestContext) -> Option<Reply> {
        if let ErrorType::HTTPStatus(code) = error.etype() {
            return Some(match code {
                401 => judge::unauthenticated(request),
                408 => Reply::RequestTimeout,
                413 => Reply::BodyTooLarge,
                400..500 => Reply::BadRequest,
                _ => Reply::Internal,
            });
        }
        match error.esource() {
            ErrorSource::Downstream => match error.etype() {
                ErrorType::WriteError | ErrorType::ReadError | ErrorType::ConnectionClosed => None,
                ErrorType::ReadTimedout => Some(Reply::RequestTimeout),
                _ => Some(Reply::BadRequest),
            },
            ErrorSource::Upstream => Some(match request.kind {
                Kind::Workspace(address) => {
                    if request.was_given_up() {
                        Reply::WorkspaceSilent
                    } else {
                        let failure = request.dial_failure.lock().expect("no holder panics");
                        let is_owner = request.is_owners();
                        self.judge
                            .explain_unreachable(failure.as_ref(), address, is_owner)
                    }
                }
                Kind::App | Kind::Unknown => Reply::ControlPlaneAway,
            }),
            ErrorSource::Internal | ErrorSource::Unset => Some(Reply::Internal),
        }
    }

    /// Answers with what we say ourselves.
    pub(super) async fn answer(
        &self,
        session: &mut Session,
        request: &mut RequestContext,
        reply: &Reply,
    ) -> Result<()> {
        let head = session.req_header();
        let is_head = head.method == Method::HEAD;
        let (mut answer, body) = reply.write(
            &self.judge.policies,
            &request.id,
            judge::is_for_people(head),
        )?;
        if let (Some(origin), false) = (&request.sibling, matches!(reply, Reply::Preflight(_))) {
            // So that a page can tell its user that the other port asks to be signed in to.
            cors::open_to(&mut answer, origin)?;
            answer.append_header(VARY, "Origin")?;
        }
        if reply.status() >= 400 && !session.as_downstream_mut().is_body_empty() {
            // What the client is still sending is not worth reading.
            session.as_downstream_mut().set_keepalive(None);
        }
        request.status = Some(reply.status());
        let is_bare = is_head || body.is_empty();
        session
            .write_response_header(Box::new(answer), is_bare)
            .await?;
        if !is_bare {
            session
                .write_response_body(Some(Bytes::from(body)), true)
                .await?;
        }
        Ok(())
    }

    /// Answers with a file of the editor.
    pub(super) async fn give(
        &self,
        session: &mut Session,
        request: &mut RequestContext,
        hit: Hit,
    ) -> Result<()> {
        let mut answer = hit.head()?;
        self.judge
            .policies
            .from_workspace(&mut answer, &request.id)?;
        let is_bare = hit.is_known || hit.asset.body.is_empty();
        session
            .write_response_header(Box::new(answer), is_bare)
            .await?;
        if !is_bare {
            session
                .write_response_body(Some(hit.asset.body), true)
                .await?;
        }
        Ok(())
    }
}
