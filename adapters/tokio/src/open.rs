//! From a target to an open socket: DNS, TCP, TLS, the upgrade; and what each failure means to the link.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use everlink::link::Failure;
use http::{HeaderMap, Request, StatusCode};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::socket::{Counted, Socket, Stream};
use crate::target::Target;

/// How long one address may take before the next one is tried beside it (RFC 8305, section 8).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// What went wrong: for the link, and in words.
pub(crate) type OpenError = (Failure, String);

/// Opens a socket. There is no deadline here: the link has one, and drops this.
pub(crate) async fn open(
    target: Target,
    tls: Arc<rustls::ClientConfig>,
    max_message: usize,
) -> Result<Socket, OpenError> {
    let (host, port) = (target.host(), target.port());
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|e| (Failure::Dns, e.to_string()))?;
    let tcp = connect(addresses.collect()).await.map_err(|e| (Failure::Connect, e.to_string()))?;
    // Small messages are to leave at once; an error here would only cost latency.
    let _ = tcp.set_nodelay(true);
    let stream: Stream = if target.is_tls() {
        let name = ServerName::try_from(host.to_owned()).map_err(|e| (Failure::Url, e.to_string()))?;
        Box::new(TlsConnector::from(tls).connect(name, tcp).await.map_err(tls_failure)?)
    } else {
        Box::new(tcp)
    };
    let limits = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    let upgrade =
        tokio_tungstenite::client_async_with_config(request(&target), Counted::new(stream), Some(limits));
    let (ws, _) = upgrade.await.map_err(upgrade_failure)?;
    Ok(Socket::new(ws))
}

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

pub(crate) fn default_tls() -> rustls::ClientConfig {
    match tls_with_roots([]) {
        Ok(config) => config,
        Err(error) => unreachable!("ring has cipher suites for the default versions: {error}"),
    }
}
