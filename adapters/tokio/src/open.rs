//! From a target to an open socket: DNS, TCP, TLS, the upgrade; and what each failure means to the link.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use everlink::link::Failure;
use http::{HeaderMap, Request, StatusCode};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::socket::{Counted, ROOM, Socket, Stream};
use crate::target::Target;

/// How long one address may take before the next one is tried beside it (RFC 8305, section 8).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// What went wrong: for the link, and in words.
pub(crate) type OpenError = (Failure, String);

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Gives the target of each attempt.
pub(crate) type Source =
    Box<dyn FnMut(u32) -> BoxFuture<Result<Target, Box<dyn std::error::Error + Send + Sync>>> + Send>;

/// The longest messages, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) inbound: usize,
    pub(crate) outbound: u32,
}

/// What opening a socket takes.
pub(crate) struct Opener {
    pub(crate) source: Source,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    pub(crate) limits: Limits,
}

impl Opener {
    pub(crate) fn open(&mut self, attempt: u32) -> Opening {
        // The source may panic before it gives a future, too.
        let target = catch_unwind(AssertUnwindSafe(|| (self.source)(attempt)));
        let (tls, limits) = (self.tls.clone(), self.limits);
        Opening(tokio::spawn(async move {
            let target = target.map_err(|_| panicked())?.await;
            open(target.map_err(|e| (Failure::Credentials, e.to_string()))?, tls, limits).await
        }))
    }
}

/// A task that opens a socket; it ends when nobody wants the socket any more.
pub(crate) struct Opening(JoinHandle<Result<Socket, OpenError>>);

impl Opening {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Socket, OpenError>> {
        Pin::new(&mut self.0).poll(cx).map(|opened| opened.unwrap_or_else(|_| Err(panicked())))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Not in the panic's own words, which may hold anything.
fn panicked() -> OpenError {
    (Failure::Credentials, "the source panicked".into())
}

/// Opens a socket. There is no deadline here: the link has one, and drops this.
async fn open(
    target: Target,
    tls: Option<Arc<rustls::ClientConfig>>,
    limits: Limits,
) -> Result<Socket, OpenError> {
    let (host, port) = (target.host(), target.port());
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|e| (Failure::Dns, e.to_string()))?;
    let tcp = connect(addresses.collect()).await.map_err(|e| (Failure::Connect, e.to_string()))?;
    // Small messages are to leave at once; an error here would only cost latency.
    let _ = tcp.set_nodelay(true);
    hold_back_little(&tcp);
    let stream: Stream = if target.is_tls() {
        let name = ServerName::try_from(host.to_owned()).map_err(|e| (Failure::Url, e.to_string()))?;
        let tls = tls.unwrap_or_else(|| DEFAULT_TLS.clone());
        let mut stream = TlsConnector::from(tls).connect(name, tcp).await.map_err(tls_failure)?;
        // What TLS holds back counts as written: let it be little.
        stream.get_mut().1.set_buffer_limit(Some(ROOM));
        Box::new(stream)
    } else {
        Box::new(tcp)
    };
    let limits = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(ROOM)
        // A message of ours always fits. What does not are the answers to a peer that pings and pings, and does not read.
        .max_write_buffer_size(ROOM.saturating_add(limits.outbound as usize).saturating_add(1 << 10))
        .max_message_size(Some(limits.inbound))
        .max_frame_size(Some(limits.inbound));
    let upgrade =
        tokio_tungstenite::client_async_with_config(request(&target), Counted::new(stream), Some(limits));
    let (ws, _) = upgrade.await.map_err(upgrade_failure)?;
    Ok(Socket::new(ws))
}

/// Lets the kernel hold back no more than a little beyond what the path can take at once. A ping waits behind all of it, on
/// a slow path for longer than its answer may take; and what the kernel holds counts as written. What is under way already
/// is not limited, and so neither is throughput.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn hold_back_little(tcp: &TcpStream) {
    // An error would only cost latency.
    let _ = socket2::SockRef::from(tcp).set_tcp_notsent_lowat(ROOM as u32);
}

/// Elsewhere it cannot be asked for.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn hold_back_little(_: &TcpStream) {}

/// Tries the addresses in order, each a little after the one before, and keeps the first that connects.
async fn connect(addresses: Vec<std::net::SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts = tokio::task::JoinSet::new();
    let mut rest = addresses.into_iter();
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut next = rest.next();
    loop {
        if let Some(address) = next.take() {
            attempts.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            done = attempts.join_next() => match done {
                None => return Err(error),
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(failed))) => error = failed,
                Some(Err(failed)) => error = io::Error::other(failed),
            },
            () = tokio::time::sleep(NEXT_ADDRESS), if rest.len() > 0 => {}
        }
        next = rest.next();
    }
}

fn request(target: &Target) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = target.uri.clone();
    let host = target.uri.authority().map_or("", |authority| authority.as_str());
    let own = [
        ("host", host),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", &generate_key()),
    ];
    let headers = request.headers_mut();
    *headers = target.headers.clone();
    for (name, value) in own {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    request
}

fn tls_failure(error: io::Error) -> OpenError {
    let failure = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Failure::Certificate
        }
        Some(_) => Failure::Tls,
        None => Failure::Connect,
    };
    (failure, error.to_string())
}

fn upgrade_failure(error: WsError) -> OpenError {
    let failure = match &error {
        WsError::Http(response) => {
            Failure::Http { status: response.status().as_u16(), retry_after: retry_after(response.headers()) }
        }
        WsError::Io(_)
        | WsError::ConnectionClosed
        | WsError::Protocol(ProtocolError::HandshakeIncomplete) => Failure::Connect,
        _ => Failure::Handshake,
    };
    let detail = match &error {
        WsError::Http(response) if response.status() == StatusCode::OK => "HTTP 200 instead of 101".into(),
        error => error.to_string(),
    };
    (failure, detail)
}

/// `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok(),
    }
}

/// Read when first needed.
static DEFAULT_TLS: LazyLock<Arc<rustls::ClientConfig>> = LazyLock::new(|| Arc::new(default_tls()));

/// A TLS configuration for `wss://` that trusts the roots of the operating system (or Mozilla's where it has none, as in a
/// bare container), and these besides. For [`Options::tls`](crate::Options::tls).
///
/// # Errors
/// If one of `roots` cannot be a root.
pub fn tls_with_roots(
    roots: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<rustls::ClientConfig, rustls::Error> {
    let mut trusted = rustls::RootCertStore::empty();
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if trusted.is_empty() {
        trusted.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in roots {
        trusted.add(root)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(trusted).with_no_client_auth())
}

fn default_tls() -> rustls::ClientConfig {
    match tls_with_roots([]) {
        Ok(config) => config,
        Err(error) => unreachable!("ring has cipher suites for the default versions: {error}"),
    }
}
