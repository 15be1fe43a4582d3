//! Metrics over HTTP: at the control socket with all else, and alone on TCP.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use super::Moves;
use crate::director::engine::Engine;
use crate::director::server::{Handle, refuse};

/// So many connections are served on TCP at a time, so that nobody takes the director's file descriptors or memory.
const MOST: usize = 16;
/// So long a scrape may take, its answer's way included.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many times what a scrape took the pause after it is: however many come, four fifths of the engine's time are for
/// all else.
const RESPITE: u32 = 4;

#[derive(Clone)]
struct Scrapes {
    engine: Handle,
    /// When the next scrape may begin. They come one after the other, and in between the engine does all else that
    /// waits, such as connections that schedulers are asked for.
    turn: Arc<Mutex<Option<Instant>>>,
}

/// `GET /metrics`.
pub fn routes(engine: Handle) -> Router {
    let turn = Arc::default();
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(Scrapes { engine, turn })
}

async fn metrics(State(Scrapes { engine, turn }): State<Scrapes>) -> Response {
    let step = |engine: &mut Engine| {
        let begun = Instant::now();
        let scrape = engine.scrape();
        (scrape, begun.elapsed())
    };
    let mut not_before = turn.lock().await;
    if let Some(time) = *not_before {
        tokio::time::sleep_until(time).await;
    }
    let scrape = match engine.call(step).await {
        Ok((scrape, took)) => {
            tracing::debug!(?took, "scraped");
            *not_before = Some(Instant::now() + took * RESPITE);
            scrape
        }
        Err(stopped) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &stopped, None),
    };
    drop(not_before);
    let scrape = match scrape {
        Ok(scrape) => scrape,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, &error, None),
    };
    // Megabytes, where there are thousands of backends.
    match tokio::task::spawn_blocking(|| scrape.text()).await {
        Ok(text) => ([(CONTENT_TYPE, super::CONTENT_TYPE)], text).into_response(),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error, None),
    }
}

/// Scrapes are far apart: nobody is to keep a connection for the next one.
async fn closing(mut answer: Response) -> Response {
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(CONNECTION, close);
    answer
}

/// Serves where it is told to, and nowhere else any more.
pub async fn serve(mut moves: Moves, routes: Router) {
    let routes = routes.layer(map_response(closing));
    let mut current: Option<Arc<Notify>> = None;
    while let Some(listener) = moves.recv().await {
        if let Some(before) = current.take() {
            before.notify_one();
        }
        let Some(listener) = listener else {
            continue;
        };
        let listener = match Bounded::new(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "cannot tell metrics on TCP");
                continue;
            }
        };
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        current = Some(stop);
        let server = axum::serve(listener, routes.clone())
            .with_graceful_shutdown(async move { stopped.notified().await });
        tokio::spawn(server.into_future());
    }
}

/// A listener that serves so many at a time, for so long.
struct Bounded {
    listener: tokio::net::TcpListener,
    room: Arc<Semaphore>,
}

impl Bounded {
    fn new(listener: TcpListener) -> io::Result<Self> {
        Ok(Bounded {
            listener: tokio::net::TcpListener::from_std(listener)?,
            room: Arc::new(Semaphore::new(MOST)),
        })
    }
}

impl Listener for Bounded {
    type Io = Guest;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guest, SocketAddr) {
        let permit = self.room.clone().acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let guest = Guest {
            stream,
            until: Box::pin(tokio::time::sleep(PATIENCE)),
            _permit: permit,
        };
        (guest, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends after a while, whatever the other side does.
struct Guest {
    stream: TcpStream,
    until: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Guest {
    /// What becomes of what cannot be done yet.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.until.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.wait(context),
            done => done,
        }
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.wait(context),
            done => done,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
