//! Servers of the demo on loopback ports.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A free port of 127.0.0.1, and its address.
pub(super) async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves a router in the running tokio runtime until it is stopped; open requests are then abandoned.
pub(super) fn serve<L>(listener: L, router: Router, what: &'static str, stop: &CancellationToken)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stopped.cancelled() => {}
            result = axum::serve(listener, router) => {
                if let Err(error) = result {
                    tracing::warn!(%error, "the demo's {what} stopped");
                }
            }
        }
    });
}
