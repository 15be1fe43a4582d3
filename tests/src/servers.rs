//! Real servers: they say who they are, then echo.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as sync_mpsc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::addresses::served_directly;
use crate::connection::Answer;
use crate::namespace::{Namespace, Task};
use crate::wait::wait_for;

/// How long a server may take to do what it is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where real servers listen.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// TCP ports: the server sends `rs1 <peer> <local>\n` and then echoes.
    pub tcp: Vec<u16>,
    /// UDP ports: the server answers `rs1 <peer> <payload>`.
    pub udp: Vec<u16>,
    /// Addresses to listen at beside the server's own two, such as a VIP on its `lo`.
    pub also_at: Vec<IpAddr>,
}

impl Default for ServerOptions {
    /// TCP 8080 and 8081, UDP 5353.
    fn default() -> Self {
        Self {
            tcp: vec![8080, 8081],
            udp: vec![5353],
            also_at: Vec::new(),
        }
    }
}

impl ServerOptions {
    /// For clients that are answered directly: TCP 80 to 82 and UDP 53 more, also at the first two virtual addresses of
    /// each family.
    pub fn direct() -> Self {
        Self {
            tcp: vec![80, 81, 82, 8080, 8081],
            udp: vec![53, 5353],
            also_at: served_directly().into(),
        }
    }
}

/// A real server, on a thread of its own inside its namespace.
///
/// ```no_run
/// # fn main() -> anyhow::Result<()> {
/// # use wvs_tests::{Lab, LabOptions, ServerOptions};
/// # let lab = Lab::new(LabOptions::default())?;
/// let servers = lab.start_servers(&ServerOptions::default())?;
/// servers[0].stop_listening(); // new connections are refused, open ones go on
/// servers[0].listen()?;
/// let broken = servers[0].crash(); // closed, and every open connection is reset
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RealServer {
    name: String,
    orders: Option<mpsc::UnboundedSender<Order>>,
    resets: watch::Sender<()>,
    counters: Arc<Counters>,
    task: Option<Task<()>>,
}

#[derive(Debug, Default)]
struct Counters {
    accepted: AtomicUsize,
    active: AtomicUsize,
    datagrams: AtomicUsize,
}

/// What a server is told, with where to say that it is done.
#[derive(Debug)]
enum Order {
    Listen(sync_mpsc::Sender<io::Result<()>>),
    Stop(sync_mpsc::Sender<()>),
}

impl RealServer {
    pub(crate) fn start_in(
        namespace: &Namespace,
        name: &str,
        own: &[IpAddr],
        options: &ServerOptions,
    ) -> Result<Self> {
        let at = |ports: &[u16]| -> Vec<SocketAddr> {
            let addresses = own.iter().chain(&options.also_at);
            addresses
                .flat_map(|&address| ports.iter().map(move |&port| SocketAddr::new(address, port)))
                .collect()
        };
        let (orders, inbox) = mpsc::unbounded_channel();
        let (resets, reset) = watch::channel(());
        let counters = Arc::new(Counters::default());
        let service = Service {
            name: name.into(),
            counters: Arc::clone(&counters),
            reset,
        };
        let (tcp, udp) = (at(&options.tcp), at(&options.udp));
        let task = namespace.spawn(name, move || serve(service, tcp, udp, inbox));
        let server = Self {
            name: name.to_owned(),
            orders: Some(orders),
            resets,
            counters,
            task: Some(task),
        };
        server.listen()?;
        Ok(server)
    }

    /// Its name, `rs1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many connections it has accepted since it was made.
    pub fn accepted(&self) -> usize {
        self.counters.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    pub fn active(&self) -> usize {
        self.counters.active.load(Ordering::SeqCst)
    }

    /// How many datagrams it has answered since it was made.
    pub fn datagrams(&self) -> usize {
        self.counters.datagrams.load(Ordering::SeqCst)
    }

    /// Listens again; nothing happens when it does already.
    ///
    /// # Errors
    /// When an address or port cannot be had.
    pub fn listen(&self) -> Result<()> {
        self.order(Order::Listen)?
            .with_context(|| format!("{} cannot listen", self.name))
    }

    /// Closes the listening sockets: connections and datagrams are refused when this returns,
    /// open connections go on.
    pub fn stop_listening(&self) {
        self.order(Order::Stop)
            .expect("a real server stops within seconds");
    }

    /// Closes the listening sockets and resets every open connection; tells how many those were.
    pub fn crash(&self) -> usize {
        self.stop_listening();
        let open = self.active();
        self.resets.send_replace(());
        wait_for("a crashing server's connections to end", PATIENCE, || self.active() == 0);
        open
    }

    fn order<T>(&self, order: impl FnOnce(sync_mpsc::Sender<T>) -> Order) -> Result<T> {
        let (done, answer) = sync_mpsc::channel();
        let gone = || anyhow!("{}'s thread is gone", self.name);
        self.orders
            .as_ref()
            .ok_or_else(gone)?
            .send(order(done))
            .map_err(|_| gone())?;
        answer
            .recv_timeout(PATIENCE)
            .with_context(|| format!("{} does not answer", self.name))
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        // Without a sender the thread ends by itself, and its sockets with it.
        self.orders = None;
        if let Some(task) = self.task.take()
            && !std::thread::panicking()
        {
            task.join();
        }
    }
}

/// What every connection of one server shares.
#[derive(Clone)]
struct Service {
    name: Arc<str>,
    counters: Arc<Counters>,
    reset: watch::Receiver<()>,
}

/// The server's life: obeys orders until nobody can give any.
async fn serve(
    service: Service,
    tcp: Vec<SocketAddr>,
    udp: Vec<SocketAddr>,
    mut inbox: mpsc::UnboundedReceiver<Order>,
) {
    let mut listening = JoinSet::new();
    while let Some(order) = inbox.recv().await {
        match order {
            Order::Listen(done) => {
                let result = if listening.is_empty() {
                    listen(&service, &tcp, &udp, &mut listening)
                } else {
                    Ok(())
                };
                let _ = done.send(result);
            }
            Order::Stop(done) => {
                // Waits until the sockets are closed, not only until their tasks are told to end.
                listening.shutdown().await;
                let _ = done.send(());
            }
        }
    }
}

fn listen(
    service: &Service,
    tcp: &[SocketAddr],
    udp: &[SocketAddr],
    listening: &mut JoinSet<()>,
) -> io::Result<()> {
    let listeners = tcp
        .iter()
        .map(|&at| tcp_listener(at))
        .collect::<io::Result<Vec<_>>>()?;
    let sockets = udp
        .iter()
        .map(|&at| udp_socket(at))
        .collect::<io::Result<Vec<_>>>()?;
    for listener in listeners {
        listening.spawn(accept(service.clone(), listener));
    }
    for socket in sockets {
        listening.spawn(respond(service.clone(), socket));
    }
    Ok(())
}

fn at(address: SocketAddr) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{address}: {error}"))
}

fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // Listening again while old connections are in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address).map_err(at(address))?;
    socket.listen(4096)
}

fn udp_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address).map_err(at(address))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

async fn accept(service: Service, listener: TcpListener) {
    loop {
        // A connection that was reset before it was accepted is no reason to stop.
        let Ok((stream, peer)) = listener.accept().await else {
            continue;
        };
        service.counters.accepted.fetch_add(1, Ordering::SeqCst);
        service.counters.active.fetch_add(1, Ordering::SeqCst);
        let mut service = service.clone();
        // Here and not in the new task: a crash that comes before that has run is for it too.
        service.reset.mark_unchanged();
        tokio::spawn(hold(service, stream, peer));
    }
}

/// One connection, until either side ends it.
async fn hold(mut service: Service, mut stream: TcpStream, peer: SocketAddr) {
    tokio::select! {
        biased;
        // An error here means that the server is being dropped.
        _ = service.reset.changed() => {
            // Closing a socket that does not linger sends RST instead of FIN.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
        _ = echo(&service.name, &mut stream, peer) => {}
    }
    drop(stream);
    service.counters.active.fetch_sub(1, Ordering::SeqCst);
}

async fn echo(name: &str, stream: &mut TcpStream, peer: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let answer = Answer {
        server: name.to_owned(),
        peer,
        local: stream.local_addr()?,
    };
    stream.write_all(answer.greeting().as_bytes()).await?;
    let mut buffer = vec![0; 16_384];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}

async fn respond(service: Service, socket: UdpSocket) {
    let mut buffer = vec![0; 65_536];
    loop {
        // Errors are ICMP's, about earlier answers to ports that have closed meanwhile.
        let Ok((read, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let mut answer = format!("{} {peer} ", service.name).into_bytes();
        answer.extend_from_slice(&buffer[..read]);
        service.counters.datagrams.fetch_add(1, Ordering::SeqCst);
        let _ = socket.send_to(&answer, peer).await;
    }
}
