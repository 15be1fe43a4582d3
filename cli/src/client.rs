//! The director's API, one function per request.

use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use wvs_core::api::{
    Applied, Apply, BackendView, Connections, Edit, Event, Explain, Explanation, Failure, PersistentClients,
    Program, Reload, ServiceView, Status, Torn,
};
use wvs_core::config::Config;

/// How long a director may take. Loading plugins is the slowest part of a change: seconds, when none is cached.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one that is followed may be silent.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// This process cannot make connections at all.
    #[error("cannot set up the connection to {}", socket.display())]
    Setup {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody answers at the socket.
    #[error("the director cannot be reached at {}", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The request was sent, and no answer came, or only a part of one.
    #[error("the director at {} did not answer {request}", socket.display())]
    Unanswered {
        /// The socket.
        socket: PathBuf,
        /// What was asked.
        request: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The director said no.
    #[error("{}", failure.error)]
    Refused {
        /// What it said.
        failure: Failure,
    },
    /// The director said no, but not in its own words.
    #[error("the answer to {request} was {status}: {text}")]
    Foreign {
        /// What was asked.
        request: String,
        /// The status.
        status: StatusCode,
        /// The beginning of the answer.
        text: String,
    },
    /// The answer makes no sense.
    #[error("the answer to {request} makes no sense")]
    Malformed {
        /// What was asked.
        request: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl ClientError {
    /// Whether there is no director at all, as opposed to one that does not talk to us.
    pub fn is_absent(&self) -> bool {
        matches!(self, ClientError::Unreachable { source, .. }
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused))
    }
}

/// A director to talk to.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    http: reqwest::Client,
    runtime: Runtime,
}

impl Client {
    /// A client for the director at a socket. Nothing is sent yet.
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        Self::with_patience(socket, PATIENCE)
    }

    fn with_patience(socket: &Path, patience: Duration) -> Result<Self, ClientError> {
        let setup = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Setup {
            socket: socket.to_owned(),
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| setup(error.into()))?;
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .timeout(patience)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("wvs/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| setup(error.into()))?;
        Ok(Client {
            socket: socket.to_owned(),
            http,
            runtime,
        })
    }

    /// How the director is.
    pub fn status(&self) -> Result<Status, ClientError> {
        self.get("status", &[])
    }

    /// All services.
    pub fn services(&self) -> Result<Vec<ServiceView>, ClientError> {
        self.get("services", &[])
    }

    /// All backends, or those of a service.
    pub fn backends(&self, service: Option<&str>) -> Result<Vec<BackendView>, ClientError> {
        let query: Vec<_> = service.map(|it| ("service", it)).into_iter().collect();
        self.get("backends", &query)
    }

    /// At most `limit` connections, of all services or of one.
    pub fn connections(&self, service: Option<&str>, limit: usize) -> Result<Connections, ClientError> {
        let limit = limit.to_string();
        let service = service.map(|it| ("service", it));
        let query: Vec<_> = service.into_iter().chain([("limit", limit.as_str())]).collect();
        self.get("connections", &query)
    }

    /// Where a packet would go, and why.
    pub fn explain(&self, packet: &Explain) -> Result<Explanation, ClientError> {
        self.post("explain", Some(packet))
    }

    /// The tc program as the kernel holds it.
    pub fn program(&self) -> Result<Program, ClientError> {
        self.get("tc", &[])
    }

    /// At most `limit` persistent clients, of all services or of one; or one client.
    pub fn persistence(
        &self,
        service: Option<&str>,
        client: Option<IpAddr>,
        limit: usize,
    ) -> Result<PersistentClients, ClientError> {
        let (limit, client) = (limit.to_string(), client.map(|it| it.to_string()));
        let service = service.map(|it| ("service", it));
        let client = client.as_deref().map(|it| ("client", it));
        let query: Vec<_> = service
            .into_iter()
            .chain(client)
            .chain([("limit", limit.as_str())])
            .collect();
        self.get("persistence", &query)
    }

    /// The last events, or with `follow` these and all that come, until `take` has had enough. With `sample`, one in
    /// so many packets is among them.
    pub fn events(
        &self,
        follow: bool,
        sample: Option<u32>,
        mut take: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let name = "GET /v1/events".to_owned();
        let (follow, sample) = (follow.to_string(), sample.map(|every| every.to_string()));
        let sample = sample.as_ref().map(|every| ("sample", every.as_str()));
        let query: Vec<_> = [("follow", follow.as_str())].into_iter().chain(sample).collect();
        let request = self
            .request(Method::GET, "events", &query)?
            // Nothing may happen for long.
            .timeout(if follow == "true" { FOREVER } else { PATIENCE });
        self.runtime.block_on(async {
            let failed = |error| self.transport(&name, error);
            let mut answer = request.send().await.map_err(failed)?;
            let status = answer.status();
            if !status.is_success() {
                let bytes = answer.bytes().await.map_err(failed)?;
                return Err(refusal(name.clone(), status, &bytes));
            }
            let mut waiting = Vec::new();
            while let Some(bytes) = answer.chunk().await.map_err(failed)? {
                waiting.extend_from_slice(&bytes);
                while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = waiting.drain(..=end).collect();
                    let event = serde_json::from_slice(&line).map_err(|source| ClientError::Malformed {
                        request: name.clone(),
                        source,
                    })?;
                    if take(event).is_break() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    /// The running configuration.
    pub fn config(&self) -> Result<Config, ClientError> {
        self.get("config", &[])
    }

    /// The ruleset as an nft script.
    pub fn ruleset(&self) -> Result<String, ClientError> {
        let (_, bytes) = self.send(Method::GET, "ruleset", &[], None::<&()>)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// All metrics, as OpenMetrics text.
    pub fn metrics(&self) -> Result<String, ClientError> {
        let (_, bytes) = self.send(Method::GET, "/metrics", &[], None::<&()>)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Gives the director a new configuration, or asks what it would change.
    pub fn apply(&self, apply: &Apply) -> Result<Applied, ClientError> {
        self.post("apply", Some(apply))
    }

    /// Lets the director read its file again, or asks what that would change.
    pub fn reload(&self, reload: Reload) -> Result<Applied, ClientError> {
        self.post("reload", Some(&reload))
    }

    /// Makes one change of the running configuration.
    pub fn edit(&self, edit: &Edit) -> Result<Applied, ClientError> {
        self.post("edit", Some(edit))
    }

    /// Removes everything from the kernel and stops the director.
    pub fn teardown(&self) -> Result<Torn, ClientError> {
        self.post("teardown", None::<&()>)
    }

    fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
        let (request, bytes) = self.send(Method::GET, path, query, None::<&()>)?;
        serde_json::from_slice(&bytes).map_err(|source| ClientError::Malformed { request, source })
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: Option<&impl Serialize>) -> Result<T, ClientError> {
        let (request, bytes) = self.send(Method::POST, path, &[], body)?;
        serde_json::from_slice(&bytes).map_err(|source| ClientError::Malformed { request, source })
    }

    /// Sends a request and says its name for messages, and the body of an answer that is no failure.
    fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&impl Serialize>,
    ) -> Result<(String, Vec<u8>), ClientError> {
        // A path of its own is not one of the API's versions'.
        let version = if path.starts_with('/') { "" } else { "/v1/" };
        let name = format!("{method} {version}{path}");
        let began = Instant::now();
        let mut request = self.request(method, path, query)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.runtime.block_on(async {
            let answer = request
                .send()
                .await
                .map_err(|error| self.transport(&name, error))?;
            let status = answer.status();
            let bytes = answer
                .bytes()
                .await
                .map_err(|error| self.transport(&name, error))?;
            Ok((status, bytes.to_vec()))
        });
        let (status, bytes) = answer?;
        tracing::debug!(request = name, %status, bytes = bytes.len(), took = ?began.elapsed(), "answered");
        if status.is_success() {
            Ok((name, bytes))
        } else {
            Err(refusal(name, status, &bytes))
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<RequestBuilder, ClientError> {
        // The host is never looked up: every connection goes to the socket.
        let mut url = Url::parse("http://wvs/v1/").and_then(|base| base.join(path));
        if let Ok(url) = &mut url
            && !query.is_empty()
        {
            url.query_pairs_mut().extend_pairs(query);
        }
        let url = url.map_err(|error| ClientError::Setup {
            socket: self.socket.clone(),
            source: error.into(),
        })?;
        Ok(self.http.request(method, url))
    }

    /// Tells a director that is not there from one that breaks off.
    fn transport(&self, request: &str, error: reqwest::Error) -> ClientError {
        let socket = self.socket.clone();
        match connect_error(&error) {
            Some(source) if error.is_connect() => ClientError::Unreachable { socket, source },
            _ => ClientError::Unanswered {
                socket,
                request: request.to_owned(),
                source: error,
            },
        }
    }
}

/// The system's word for why a connection could not be made.
fn connect_error(error: &reqwest::Error) -> Option<io::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<io::Error>() {
            return Some(match io.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(io.kind(), io.to_string()),
            });
        }
        cause = current.source();
    }
    None
}

/// What an answer with a failing status says.
fn refusal(request: String, status: StatusCode, bytes: &[u8]) -> ClientError {
    const LONGEST: usize = 200;
    match serde_json::from_slice(bytes) {
        Ok(failure) => ClientError::Refused { failure },
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            let first = text.lines().next().unwrap_or_default();
            ClientError::Foreign {
                request,
                status,
                text: first.chars().take(LONGEST).collect(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_director_that_never_answers_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("wvs.sock");
        // Bound and never accepted from: the connection is made by the kernel, and nothing follows.
        let _listener = UnixListener::bind(&socket).unwrap();
        let client = Client::with_patience(&socket, Duration::from_millis(50)).unwrap();
        let error = client.status().unwrap_err();
        assert!(
            matches!(&error, ClientError::Unanswered { source, .. } if source.is_timeout()),
            "{error:?}"
        );
        assert!(!error.is_absent());
    }

    #[test]
    fn a_director_that_breaks_off_is_not_taken_for_an_absent_one() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("wvs.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let director = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut request = [0; 16];
            connection.read_exact(&mut request).unwrap();
        });
        let error = Client::new(&socket).unwrap().teardown().unwrap_err();
        director.join().unwrap();
        assert!(matches!(error, ClientError::Unanswered { .. }), "{error:?}");
    }
}
