//! The editor's own files, kept once for all workspaces of an image.
//!
//! Every editor loads the same megabytes of JavaScript from its own origin, so no browser shares
//! them, and each container read, compressed and sent them anew. They are the image's, not the
//! workspace's, so the gateway keeps them: [`manifest`] is the list by which an image vouches for
//! its files, [`cache`] holds what was seen to be on such a list, [`fill`] fetches what is missed,
//! [`answer`] gives it to a browser.
//!
//! What a container sends is never believed. The list counts only if its hash is the one on the
//! label of the container's image, which the orchestrator reads from the engine; a file counts only
//! if its hash is on the list. Files are kept by that hash, so that there is nothing that one
//! workspace could put in another's place.
//!
//! The client's own request goes to its workspace as ever when a file is missed; the gateway asks
//! for the file again by itself. So no header of the client's can shape what is kept, no client is
//! slowed down or waited for, and what is kept is never what a container compressed: bytes that
//! another decoder might read in another way.

pub mod answer;
pub mod cache;
pub mod fill;
pub mod manifest;

use std::sync::Arc;

use http::Method;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use kalpana_config::Site;
use kalpana_domain::address::Surface;
use kalpana_domain::clock::Clock;
use pingora_http::RequestHeader;

use crate::metrics::Metrics;
use crate::request::RequestContext;
use answer::Hit;
use cache::Cache;
use fill::{Filler, Job, Queue};
use manifest::Place;

/// Looks for the editor's files. Reads memory only.
#[derive(Debug)]
pub struct Assets {
    cache: Arc<Cache>,
    queue: Arc<Queue>,
    metrics: Metrics,
}

/// What was found for a request that may be answered from the cache.
#[derive(Debug)]
pub enum Found {
    /// The file.
    Hit(Hit),
    /// The file is not kept yet; its workspace is to be asked.
    Miss,
}

impl Assets {
    /// Makes a cache of so many bytes, and what fills it; `None` when it may have none.
    pub fn new(
        limit: u64,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Option<(Arc<Self>, Filler)> {
        if limit == 0 {
            return None;
        }
        let cache = Arc::new(Cache::new(limit));
        let (queue, filler) = fill::queue(Arc::clone(&cache), Arc::clone(clock), metrics.clone());
        let assets = Self {
            cache,
            queue,
            metrics: metrics.clone(),
        };
        Some((Arc::new(assets), filler))
    }

    /// Looks for what a request with a permit asks for, and has it fetched when it is missed.
    /// `None` when it asks for something else than a file that an image vouches for.
    pub fn look_up(
        &self,
        site: &Site,
        head: &RequestHeader,
        request: &RequestContext,
    ) -> Option<Found> {
        let permit = request.permit.as_ref()?;
        let manifest = permit.route().assets?;
        let has_body = head.headers.contains_key(CONTENT_LENGTH)
            || head.headers.contains_key(TRANSFER_ENCODING);
        if head.method != Method::GET || has_body || permit.surface() != Surface::Editor {
            return None;
        }
        let place = Place::parse(head.uri.path())?;
        if let Some(manifest) = self.cache.manifest(manifest) {
            let file = manifest.find(place)?;
            if let Some(asset) = self.cache.asset(file.hash) {
                let hit = Hit::new(asset, place.path, &head.headers)?;
                self.metrics.asset("hit");
                return Some(Found::Hit(hit));
            }
        }
        self.metrics.asset("miss");
        self.queue.ask(Job {
            bridge: permit.route().bridge(site)?,
            host: request.host().to_owned(),
            manifest,
            root: place.root.to_owned(),
            path: place.path.to_owned(),
        });
        Some(Found::Miss)
    }
}
