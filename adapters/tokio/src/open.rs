//! From a target to a way for bytes: DNS, TCP, TLS; and what each failure means to the link.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use everlink::link::Failure;
use everlink::stream::ROOM;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::dial;
use crate::pipe::Duplex;
use crate::target::Target;

/// What went wrong: for the link, and in words.
pub(crate) type OpenError = (Failure, String);

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Gives the target of each attempt.
pub(crate) type Source =
    Box<dyn FnMut(u32) -> BoxFuture<Result<Target, Box<dyn std::error::Error + Send + Sync>>> + Send>;

/// What opening a way for bytes takes.
pub(crate) struct Opener {
    pub(crate) source: Source,
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
}

impl Opener {
    pub(crate) fn open(&mut self, attempt: u32) -> Opening {
        // The source may panic before it gives a future, too.
        let target = catch_unwind(AssertUnwindSafe(|| (self.source)(attempt)));
        let tls = self.tls.clone();
        Opening(tokio::spawn(async move {
            let target = target.map_err(|_| panicked())?.await;
            let target = target.map_err(|e| (Failure::Credentials, e.to_string()))?;
            Ok((open(&target, tls).await?, target))
        }))
    }
}

/// A way for bytes, and whither.
type Opened = (Box<dyn Duplex>, Target);

/// A task that opens a way; it ends when nobody wants the way any more.
pub(crate) struct Opening(JoinHandle<Result<Opened, OpenError>>);

impl Opening {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Opened, OpenError>> {
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

/// Opens a way. There is no deadline here: the link has one, and drops this.
pub(crate) async fn open(
    target: &Target,
    tls: Option<Arc<rustls::ClientConfig>>,
) -> Result<Box<dyn Duplex>, OpenError> {
    let (host, port) = (target.host(), target.port());
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|e| (Failure::Dns, e.to_string()))?;
    let tcp = dial::first(addresses.collect(), TcpStream::connect)
        .await
        .map_err(|e| (Failure::Connect, e.to_string()))?;
    prepare(&tcp);
    if !target.is_tls() {
        return Ok(Box::new(tcp));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|e| (Failure::Url, e.to_string()))?;
    let tls = tls.unwrap_or_else(|| DEFAULT_TLS.clone());
    let mut stream = TlsConnector::from(tls).connect(name, tcp).await.map_err(tls_failure)?;
    // What TLS holds back counts as written: let it be little.
    stream.get_mut().1.set_buffer_limit(Some(ROOM));
    Ok(Box::new(stream))
}

/// Small messages are to leave at once, and large ones not to stand in their way. An error here would only cost latency.
pub(crate) fn prepare(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    hold_back_little(tcp);
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
