//! Puts the gateway together, and runs it.

mod parts;

use std::sync::Arc;

use kalpana_certs::Certs;
use kalpana_link::feed::follow;
use kalpana_link::{Client, PeerPolicy};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::assets::Assets;
use crate::assets::fill::Filler;
use crate::error::Error;
use crate::handover::{self, Estate, Offer, Predecessor};
use crate::judge::Judge;
use crate::listener::{self, Ending, Service};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::newcomers::Newcomers;
use crate::plain::{self, Plain};
use crate::rate::{self, Rates};
use crate::routes::{Keeper, Routes};
use crate::seal::Seal;
use crate::sessions::Sessions;
use crate::ticketer::Ticketer;
use crate::upstream::connections::Upstreams;
use crate::{Bound, Dependencies, control, reporter};

/// What the key that seals the table on disk is derived for.
const ROUTES_PURPOSE: &str = "kalpana routes";

/// How long the routes and ended sessions may take to be heard before another process is relieved.
const TAKE_OVER_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Runs the gateway until `shutdown`, then drains.
///
/// Runs inside the Tokio runtime that it is called in.
///
/// # Errors
/// [`Error`] when it cannot start: a port is taken, a directory cannot be written, a certificate
/// cannot be used.
pub async fn run(mut deps: Dependencies, shutdown: CancellationToken) -> Result<(), Error> {
    // The first thing in every main already; here for whoever embeds the gateway without one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();

    let metrics = Metrics::register(&deps.registry).map_err(Error::Metrics)?;
    let (estate, predecessor) = listeners(&mut deps).await?;
    let keys = parts::session_keys(&deps)?;
    let certs = Arc::new(parts::certificates(&deps, estate.plain.is_some(), &keys)?);
    let ticketer = Arc::new(Ticketer::new(estate.ticket_keys, Arc::clone(&deps.clock)));
    let server_config = listener::server_config(certs.resolver(), Arc::clone(&ticketer))?;

    let live = Arc::new(Live::default());
    let routes = Arc::new(Routes::new(
        deps.site.clone(),
        Arc::clone(&live),
        metrics.clone(),
    ));
    let keeper = Keeper::new(
        deps.site.gateway_dir().join("routes.sealed"),
        Seal::new(keys.derive(ROUTES_PURPOSE)),
        Arc::clone(&deps.clock),
    );
    keeper.recall(&routes);
    let sessions = Arc::new(Sessions::new(
        Arc::clone(&live),
        metrics.clone(),
        Arc::clone(&deps.clock),
        deps.config.revocation_lease.0,
    ));
    let rates = Arc::new(Rates::new(
        deps.config.requests_per_address,
        deps.config.requests_per_user,
        deps.config.requests_per_workspace,
    ));
    let judge = Arc::new(parts::judge(
        &deps, &certs, keys, live, &routes, &sessions, &rates, &metrics,
    ));
    let (assets, filler) = Assets::new(deps.config.asset_cache.0, &deps.clock, &metrics).unzip();
    let upstreams = Arc::<Upstreams>::default();
    let is_awaited = certs.is_on_demand() || certs.answers().has_others();
    let newcomers = || Newcomers::new(Arc::clone(&certs), judge.hosts.clone(), Arc::clone(&routes));
    let service = Service {
        newcomers: is_awaited.then(newcomers),
        ..parts::service(&deps, server_config, &judge, &upstreams, assets, metrics)
    };
    let service = Arc::new(service);
    let ending = Ending {
        shutdown: shutdown.clone(),
        left: deps.left.clone(),
    };

    // The feeds are followed until the last connection has ended: a session that ends while we
    // drain must still be cut.
    let drained = CancellationToken::new();
    let background = async {
        tokio::join!(
            keep_certificates(&deps, &certs, Arc::new(newcomers()), &ending),
            follow_routes(&deps, &routes, &drained),
            follow_sessions(&deps, &sessions, &drained),
            keeper.keep(&routes, &drained, &deps.left),
            sweep(&rates, &drained),
            fill(filler, &drained),
            sessions.watch(&drained),
            tell_presence(&deps, &judge, &drained),
            upstreams.watch(deps.config.response_header_timeout.0, &drained),
        );
    };
    let foreground = async {
        let served = async {
            if let Some(predecessor) = predecessor {
                take_over(predecessor, &routes, &sessions, &judge).await?;
            }
            let (tls, plain) = (estate.tls, estate.plain);
            let offer = Offer::new(&deps.site.handover_socket(), &tls, plain.as_ref());
            announce(&deps, &tls, plain.as_ref());
            let redirect = async {
                if let Some(plain) = plain {
                    let site = Arc::new(Plain::new(deps.site.clone(), certs.answers()));
                    plain::serve(plain, site, ending.clone()).await;
                }
            };
            tokio::join!(
                listener::serve(tls, service, ending.clone()),
                redirect,
                tell_ready(&deps.ready, &routes, &sessions, &ending),
                offer_until(offer, &ticketer, &judge, &ending),
            );
            Ok(())
        };
        let served = served.await;
        drained.cancel();
        served
    };
    let ((), served) = tokio::join!(background, foreground);
    served
}

/// Takes the listening sockets of the process before, or those that were opened for us, or opens
/// them.
async fn listeners(deps: &mut Dependencies) -> Result<(Estate, Option<Predecessor>), Error> {
    if deps.takes_over {
        let (estate, predecessor) = handover::take(&deps.site.handover_socket()).await?;
        return Ok((estate, Some(predecessor)));
    }
    let inherited = &mut deps.inherited;
    let tls = listener::inherit_or_bind(inherited, deps.config.listen, "gateway.listen")?;
    let plain = deps
        .config
        .listen_http
        .map(|address| listener::inherit_or_bind(inherited, address, "gateway.listen_http"));
    let estate = Estate {
        tls,
        plain: plain.transpose()?,
        ticket_keys: Vec::new(),
    };
    for unused in inherited.drain(..) {
        let address = unused.local_addr().map(|address| address.to_string());
        tracing::warn!(
            "a socket was opened for us on {}, which neither gateway.listen nor \
             gateway.listen_http names; it is closed",
            address.unwrap_or_default()
        );
    }
    Ok((estate, None))
}

/// Waits until workspaces can be served, then has the other process stop accepting.
async fn take_over(
    predecessor: Predecessor,
    routes: &Routes,
    sessions: &Sessions,
    judge: &Judge,
) -> Result<(), Error> {
    tokio::time::timeout(TAKE_OVER_LIMIT, both_heard(routes, sessions))
        .await
        .map_err(|_| Error::NotReady {
            seconds: TAKE_OVER_LIMIT.as_secs(),
        })?;
    judge.used.remember(predecessor.release().await?);
    tracing::info!("took over from the gateway before");
    Ok(())
}

/// Offers to be taken over until the gateway ends or was.
async fn offer_until(
    offer: std::io::Result<Offer>,
    ticketer: &Ticketer,
    judge: &Judge,
    ending: &Ending,
) {
    let offer = match offer {
        Ok(offer) => offer,
        Err(error) => {
            tracing::error!(%error, "cannot be upgraded without a restart: {error}");
            return;
        }
    };
    let leave = || {
        ending.left.cancel();
        judge.used.list(judge.clock.now())
    };
    tokio::select! {
        () = ending.shutdown.cancelled() => {}
        () = offer.wait(|| ticketer.keys(), leave) => {}
    }
}

fn announce(deps: &Dependencies, tls: &TcpListener, plain: Option<&TcpListener>) {
    let bound = Bound {
        tls: tls.local_addr().unwrap_or(deps.config.listen),
        plain: plain.and_then(|plain| plain.local_addr().ok()),
    };
    tracing::info!(
        listen.tls = %bound.tls,
        "serving {} on {}",
        deps.site.base_url(),
        bound.tls
    );
    if deps.site.is_single_domain() && !deps.site.domain.ends_with(".localhost") {
        tracing::warn!(
            "workspaces are below the control plane's own domain, so a hostile workspace can \
             disturb its cookies; server.workspace_domain names a second domain"
        );
    }
    deps.bound.send_replace(Some(bound));
}

async fn follow_routes(deps: &Dependencies, routes: &Arc<Routes>, until: &CancellationToken) {
    let client = parts::orchestrator(deps);
    follow(client, "/v1/routes", &reader(), &**routes, until.clone()).await;
}

async fn tell_presence(deps: &Dependencies, judge: &Judge, until: &CancellationToken) {
    let client = parts::orchestrator(deps);
    judge.presence.tell(&judge.live, &client, until).await;
}

async fn follow_sessions(deps: &Dependencies, sessions: &Arc<Sessions>, until: &CancellationToken) {
    let socket = deps.site.web_internal_socket();
    let client = Client::new("web", socket, deps.peers.token.clone());
    follow(
        client,
        "/v1/sessions",
        &reader(),
        &**sessions,
        until.clone(),
    )
    .await;
}

/// Fetches the editor's files that were missed, where any are kept.
async fn fill(filler: Option<Filler>, until: &CancellationToken) {
    if let Some(filler) = filler {
        filler.run(until.clone()).await;
    }
}

/// Orders and renews certificates, and answers who asks about them, until this process ends or
/// another has taken over.
async fn keep_certificates(
    deps: &Dependencies,
    certs: &Arc<Certs>,
    newcomers: Arc<Newcomers>,
    ending: &Ending,
) {
    let policy = PeerPolicy {
        allowed_uids: [rustix::process::geteuid().as_raw()]
            .into_iter()
            .chain(deps.peers.control_uids.iter().copied())
            .collect(),
        token: None,
    };
    let until = CancellationToken::new();
    let (socket, exists) = (deps.site.gateway_control_socket(), |host: &str| {
        newcomers.exists(host)
    });
    let web = parts::web(deps);
    tokio::join!(
        certs.keep(&exists, until.clone()),
        reporter::report(certs.journal(), &web, &until),
        control::serve(&socket, policy, Arc::clone(&newcomers), until.clone()),
        async {
            ending.begun().await;
            until.cancel();
        }
    );
}

/// Keeps the memory of who asked how often small.
async fn sweep(rates: &Rates, until: &CancellationToken) {
    while tokio::time::timeout(rate::SWEEP, until.cancelled())
        .await
        .is_err()
    {
        rates.sweep();
    }
}

/// Names this process among a feed's readers.
fn reader() -> String {
    format!("gateway-{:08x}", rand::random::<u32>())
}

/// Waits until there is something to judge by. What was kept on disk will do for routes.
async fn both_known(routes: &Routes, sessions: &Sessions) {
    if routes.is_known() {
        let _ = sessions.heard().wait_for(|heard| *heard).await;
    } else {
        both_heard(routes, sessions).await;
    }
}

async fn both_heard(routes: &Routes, sessions: &Sessions) {
    let (mut routes, mut sessions) = (routes.heard(), sessions.heard());
    let _ = routes.wait_for(|heard| *heard).await;
    let _ = sessions.wait_for(|heard| *heard).await;
}

/// Says that workspaces can be served once there is something to judge by, and that they cannot any more
/// when the gateway stops.
async fn tell_ready(
    ready: &watch::Sender<bool>,
    routes: &Routes,
    sessions: &Sessions,
    ending: &Ending,
) {
    tokio::select! {
        () = ending.begun() => return,
        () = both_known(routes, sessions) => {}
    }
    ready.send_replace(true);
    ending.begun().await;
    ready.send_replace(false);
}
