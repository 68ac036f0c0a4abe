//! What stands behind the management listener: the portal for people, the API for programs.

use async_trait::async_trait;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderMap};
use hyper::{Request, Response};

use super::api::Api;
use super::http::{Handler, Peer};
use super::portal::Portal;

/// Hands each request to the one it is for. Neither knows the other: API paths take only a Bearer token,
/// pages only the cookie.
pub struct AdminDoor {
    pub portal: Portal,
    pub api: Api,
}

#[async_trait]
impl Handler for AdminDoor {
    async fn handle(&self, request: Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        // Of what neither has, a person is told by a page and a program in JSON.
        let is_page = self.portal.has(path) || !self.api.has(path) && is_a_person(request.headers());
        if is_page { self.portal.handle(request, peer).await } else { self.api.handle(request, peer).await }
    }
}

fn is_a_person(headers: &HeaderMap) -> bool {
    let accepts_html =
        headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|types| types.contains("text/html"));
    accepts_html && !headers.contains_key(AUTHORIZATION)
}
