//! The API on its socket.

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Instant;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::sync::{Notify, oneshot};
use tokio_stream::StreamExt;

use super::engine::Engine;
use super::error::ApplyError;
use super::events::Events;
use super::explain::ExplainError;
use super::reading::{checked, compile_ahead, text_of};
use super::views::ViewError;
use crate::api::{Apply, Edit, Event, Explain, Failure, Reload};
use crate::config::Config;
use crate::scheduler::catalog::Catalog;

/// A step for the engine's thread.
pub type Step = Box<dyn FnOnce(&mut Engine) + Send>;

/// Lets requests reach the engine.
#[derive(Clone, Debug)]
pub struct Handle {
    steps: Sender<Step>,
    events: Events,
    torn_down: std::sync::Arc<Notify>,
}

/// Room for the largest configuration file, as a JSON string in which every byte may be escaped.
const LARGEST_BODY: usize = 8 * crate::config::read::LARGEST_FILE;
/// How many connections or clients are listed where nobody says.
const DEFAULT_LIMIT: usize = 1000;

impl Handle {
    /// A handle on the engine that works off `steps` and tells `events`. `torn_down` is told after a teardown.
    pub fn new(steps: Sender<Step>, events: Events, torn_down: std::sync::Arc<Notify>) -> Self {
        Handle {
            steps,
            events,
            torn_down,
        }
    }

    /// Runs one step on the engine's thread and waits for what it gives.
    pub async fn call<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (answer, answered) = oneshot::channel();
        let step: Step = Box::new(move |engine| {
            // Nobody waits any more if the client has gone; the step is done all the same.
            let _ = answer.send(step(engine));
        });
        self.steps.send(step).map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }
}

impl Handle {
    /// Compiles schedulers before the engine is asked to use them: on a thread of its own, with what the engine gives for it.
    async fn compile_ahead<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Engine) -> T + Send + 'static,
        compile: impl FnOnce(T, &Catalog) + Send + 'static,
    ) {
        // Where the engine has stopped the next call says so.
        if let Ok((catalog, asked)) = self.call(|it| (it.catalog.clone(), ask(it))).await {
            compile_ahead(catalog, move |catalog| compile(asked, catalog)).await;
        }
    }
}

/// The engine has stopped.
#[derive(Debug, thiserror::Error)]
#[error("the director is stopping")]
pub struct Stopped;

#[derive(Debug, Deserialize)]
struct Only {
    service: Option<String>,
    client: Option<IpAddr>,
    limit: Option<usize>,
}

/// The API's routes.
pub fn router(handle: Handle) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/services", get(services))
        .route("/v1/backends", get(backends))
        .route("/v1/connections", get(connections))
        .route("/v1/explain", post(explain))
        .route("/v1/tc", get(program))
        .route("/v1/events", get(events))
        .route("/v1/persistence", get(persistence))
        .route("/v1/config", get(config))
        .route("/v1/ruleset", get(ruleset))
        .route("/v1/apply", post(apply))
        .route("/v1/reload", post(reload))
        .route("/v1/edit", post(edit))
        .route("/v1/teardown", post(teardown))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(handle)
}

async fn status(State(engine): State<Handle>) -> Response {
    answer(engine.call(Engine::status).await.map(Ok::<_, ViewError>))
}

async fn services(State(engine): State<Handle>) -> Response {
    answer(engine.call(Engine::services).await)
}

async fn backends(State(engine): State<Handle>, Query(only): Query<Only>) -> Response {
    answer(engine.call(move |it| it.backends(only.service.as_deref())).await)
}

async fn connections(State(engine): State<Handle>, Query(only): Query<Only>) -> Response {
    let limit = only.limit.unwrap_or(DEFAULT_LIMIT);
    answer(
        engine
            .call(move |it| it.connections(only.service.as_deref(), limit))
            .await,
    )
}

async fn explain(State(engine): State<Handle>, Json(packet): Json<Explain>) -> Response {
    answer(engine.call(move |it| it.explain(&packet)).await)
}

async fn program(State(engine): State<Handle>) -> Response {
    answer(engine.call(Engine::program).await)
}

#[derive(Debug, Deserialize)]
struct Wanted {
    #[serde(default)]
    follow: bool,
    sample: Option<u32>,
}

async fn events(State(engine): State<Handle>, Query(wanted): Query<Wanted>) -> Response {
    let lines = match wanted.follow {
        false => Body::from(engine.events.recent().iter().map(line).collect::<String>()),
        true => {
            let followed = engine.events.follow(wanted.sample.filter(|every| *every > 0));
            // What happens from now on is told, samples too.
            let sampled = |engine: &mut Engine| engine.take_samples(Instant::now());
            if let Err(stopped) = engine.call(sampled).await {
                return refuse(StatusCode::SERVICE_UNAVAILABLE, &stopped, None);
            }
            Body::from_stream(followed.map(|event| Ok::<_, Infallible>(line(&event))))
        }
    };
    ([(CONTENT_TYPE, "application/x-ndjson")], lines).into_response()
}

/// An event on a line.
fn line(event: &Event) -> String {
    let json = serde_json::to_string(event).unwrap_or_else(|error| {
        // All of them can be written: there are neither maps nor floats in them.
        tracing::error!(%error, ?event, "an event cannot be written");
        "{}".to_owned()
    });
    json + "\n"
}

async fn persistence(State(engine): State<Handle>, Query(only): Query<Only>) -> Response {
    let limit = only.limit.unwrap_or(DEFAULT_LIMIT);
    let list = move |it: &mut Engine| match only.client {
        Some(client) => it.persistence_of(only.service.as_deref(), client),
        None => it.persistence(only.service.as_deref(), limit),
    };
    answer(engine.call(list).await)
}

async fn config(State(engine): State<Handle>) -> Response {
    answer(engine.call(|it| Ok::<Config, ViewError>(it.config.clone())).await)
}

async fn ruleset(State(engine): State<Handle>) -> Response {
    match engine.call(|it| it.ruleset_text()).await {
        Ok(text) => text.into_response(),
        Err(stopped) => refuse(StatusCode::SERVICE_UNAVAILABLE, &stopped, None),
    }
}

async fn apply(State(engine): State<Handle>, Json(apply): Json<Apply>) -> Response {
    let text = apply.text.clone();
    engine
        .compile_ahead(move |_| text, |text, catalog| drop(checked(&text, "", catalog)))
        .await;
    answer(
        engine
            .call(move |it| it.apply_text(&apply.text, &apply.name, apply.dry_run))
            .await,
    )
}

async fn reload(State(engine): State<Handle>, Json(reload): Json<Reload>) -> Response {
    let file = |it: &mut Engine| it.config_file.clone();
    let read = |file: PathBuf, catalog: &Catalog| {
        if let Ok(text) = text_of(&file) {
            drop(checked(&text, "", catalog));
        }
    };
    engine.compile_ahead(file, read).await;
    answer(engine.call(move |it| it.reload(reload.dry_run)).await)
}

async fn edit(State(engine): State<Handle>, Json(change): Json<Edit>) -> Response {
    if let Edit::AddService { service } = &change {
        let spec = service.scheduler.clone();
        let settings = |it: &mut Engine| it.config.director.clone();
        engine
            .compile_ahead(settings, move |settings, catalog| drop(catalog.plugin(&settings, &spec)))
            .await;
    }
    answer(engine.call(move |it| it.edit(&change)).await)
}

async fn teardown(State(engine): State<Handle>) -> Response {
    let torn = engine.call(Engine::teardown).await;
    if matches!(torn, Ok(Ok(_))) {
        engine.torn_down.notify_one();
    }
    answer(torn)
}

/// What a request's error says to the client.
trait Refusal: std::error::Error + Sized + 'static {
    fn status(&self) -> StatusCode;
    fn faults(&self) -> Option<String> {
        None
    }
}

impl Refusal for ApplyError {
    fn status(&self) -> StatusCode {
        match self {
            ApplyError::Faults(_)
            | ApplyError::Ids(_)
            | ApplyError::Scheduler(_)
            | ApplyError::Address(_)
            | ApplyError::Metrics(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ApplyError::Edit(_) => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn faults(&self) -> Option<String> {
        match self {
            ApplyError::Faults(rendered) => Some(rendered.clone()),
            _ => None,
        }
    }
}

impl Refusal for ViewError {
    fn status(&self) -> StatusCode {
        match self {
            ViewError::NoService(_) | ViewError::NoProgram => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Refusal for ExplainError {
    fn status(&self) -> StatusCode {
        match self {
            ExplainError::Senseless(_) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

fn answer<T: serde::Serialize, E: Refusal>(result: Result<Result<T, E>, Stopped>) -> Response {
    match result {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(error)) => refuse(error.status(), &error, error.faults()),
        Err(stopped) => refuse(StatusCode::SERVICE_UNAVAILABLE, &stopped, None),
    }
}

/// What went wrong, as an answer.
pub fn refuse(status: StatusCode, error: &dyn std::error::Error, faults: Option<String>) -> Response {
    let causes = std::iter::successors(error.source(), |cause| cause.source())
        .map(ToString::to_string)
        .collect();
    (
        status,
        Json(Failure {
            error: error.to_string(),
            causes,
            faults,
        }),
    )
        .into_response()
}
