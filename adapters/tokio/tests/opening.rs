//! From nothing to an open socket: sources, names, TCP, TLS, the upgrade; and all that can go wrong there.

mod rig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use everlink::link::{Cause, State};
use everlink_cli::serve::ServeOptions;
use everlink_tokio::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use everlink_tokio::rustls::{ClientConfig, RootCertStore, ServerConfig};
use everlink_tokio::{Action, Failure, Message, Notice, Options, Status, Target};
use futures_util::StreamExt;
use rig::{Rig, SOON, Stage, ms, quick, serve, serve_at, soon};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn options() -> Options {
    Options { config: quick(), ..Options::default() }
}

async fn failure(rig: &mut Rig) -> Failure {
    rig.notice(|notice| match notice {
        Notice::Failed { failure, .. } => Some(*failure),
        _ => None,
    })
    .await
}

/// How long until the next attempt, as it was scheduled.
async fn delay(rig: &mut Rig) -> Duration {
    let before = rig.client.now();
    rig.action(|action| match action {
        Action::RetryScheduled { at, .. } => Some(*at - before),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn every_attempt_asks_the_source_anew() {
    let stage = Stage::new().await;
    let addr = stage.addr();
    let rig = Rig::from_source(
        move |attempt| async move {
            let target = Target::new(&format!("ws://{addr}/room?seat={attempt}"))?;
            Ok(target.bearer(&format!("fresh-{attempt}"))?.header("X-Seat", &attempt.to_string())?)
        },
        options(),
    );
    for attempt in 0..3 {
        let request = stage.http("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await.to_lowercase();
        assert!(request.starts_with(&format!("get /room?seat={attempt} http/1.1\r\n")), "{request}");
        assert!(request.contains(&format!("authorization: bearer fresh-{attempt}\r\n")), "{request}");
        assert!(request.contains(&format!("x-seat: {attempt}\r\n")), "{request}");
        assert!(request.contains(&format!("host: {addr}\r\n")), "{request}");
    }
    drop(rig);
}

#[tokio::test]
async fn a_source_that_fails_panics_or_never_returns_costs_an_attempt() {
    let (server, _events) = serve(ServeOptions::default()).await;
    let addr = server.local_addr();
    let mut options = options();
    options.config.open_timeout = ms(100);
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let mut rig = Rig::from_source(
        move |attempt| {
            counted.fetch_add(1, Ordering::SeqCst);
            assert_ne!(attempt, 1, "a panic before there is a future");
            async move {
                match attempt {
                    0 => Err("no token today".into()),
                    2 => panic!("a panic inside the future"),
                    3 => std::future::pending().await,
                    _ => Ok(Target::new(&format!("ws://{addr}"))?),
                }
            }
        },
        options,
    );
    let mut details = Vec::new();
    for _ in 0..3 {
        details.push(
            rig.notice(|notice| match notice {
                Notice::Failed { failure: Failure::Credentials, detail, .. } => Some(detail.clone()),
                _ => None,
            })
            .await,
        );
    }
    assert_eq!(details, ["no token today", "the source panicked", "the source panicked"]);
    let cause = rig
        .action(|action| match action {
            Action::RetryScheduled { cause, attempt: 4, .. } => Some(*cause),
            _ => None,
        })
        .await;
    assert_eq!(cause, Cause::OpenTimeout);
    rig.status(Status::Connected).await;
    assert_eq!(calls.load(Ordering::SeqCst), 5);
    assert_eq!(rig.client.report().counts.failed_opens.get(), 4);
}

#[tokio::test]
async fn a_source_that_never_returns_does_not_hold_up_a_close() {
    let rig = Rig::from_source(|_| std::future::pending(), options());
    rig.state(|state| state.status() == Status::Connecting).await;
    soon(rig.client.close(Duration::from_secs(3600))).await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_a_failure_of_dns() {
    let mut options = options();
    options.config.open_timeout = SOON;
    let mut rig = Rig::with("ws://nowhere.invalid/", options);
    assert_eq!(failure(&mut rig).await, Failure::Dns);
    delay(&mut rig).await;
}

#[tokio::test]
async fn a_refused_connection_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let mut rig = Rig::new(addr, quick());
    assert_eq!(failure(&mut rig).await, Failure::Connect);
    assert_eq!(failure(&mut rig).await, Failure::Connect);
    let (_server, _events) = serve_at(&addr.to_string(), ServeOptions::default()).await;
    rig.status(Status::Connected).await;
}

#[tokio::test]
async fn a_server_that_hangs_up_in_the_handshake_is_tried_again() {
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), quick());
    drop(stage.tcp().await);
    assert_eq!(failure(&mut rig).await, Failure::Connect);
    let _ws = stage.ws().await;
    rig.status(Status::Connected).await;
}

#[tokio::test]
async fn a_server_that_never_answers_runs_into_the_open_timeout() {
    let stage = Stage::new().await;
    let mut config = quick();
    config.open_timeout = ms(100);
    let mut rig = Rig::new(stage.addr(), config);
    let silent = stage.tcp().await;
    let abandoned = rig
        .action(|action| match action {
            Action::Abandon { epoch } => Some(epoch.get()),
            _ => None,
        })
        .await;
    assert_eq!(abandoned, 1);
    // Its socket is gone, too: after the request comes the end.
    let mut rest = Vec::new();
    let mut silent = silent;
    let _ = soon(tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut rest)).await;
    assert!(rest.ends_with(b"\r\n\r\n"));
}

#[tokio::test]
async fn retry_after_is_honoured_in_seconds_and_as_a_date() {
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), quick());
    stage.http("HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(
        failure(&mut rig).await,
        Failure::Http { status: 503, retry_after: Some(Duration::from_secs(1)) }
    );
    let asked = std::time::Instant::now();
    delay(&mut rig).await;
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
    stage.http(&format!("HTTP/1.1 429 Slow\r\nRetry-After: {date}\r\nContent-Length: 0\r\n\r\n")).await;
    assert!(asked.elapsed() >= ms(990), "it came back after {:?}", asked.elapsed());
    let Failure::Http { status: 429, retry_after: Some(after) } = failure(&mut rig).await else { panic!() };
    assert!(after > Duration::from_secs(80) && after <= Duration::from_secs(90), "{after:?}");
    assert!(delay(&mut rig).await > Duration::from_secs(80));
    // Who is waiting can still be told to try at once.
    rig.client.tell(everlink::link::Input::Start);
    let past = "Sun, 06 Nov 1994 08:49:37 GMT";
    stage.http(&format!("HTTP/1.1 503 Busy\r\nRetry-After: {past}\r\nContent-Length: 0\r\n\r\n")).await;
    assert_eq!(failure(&mut rig).await, Failure::Http { status: 503, retry_after: None });
}

#[tokio::test]
async fn refused_credentials_are_final_until_somebody_says_start() {
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), quick());
    stage.http("HTTP/1.1 401 Who?\r\nContent-Length: 0\r\n\r\n").await;
    rig.status(Status::Failed).await;
    let cause = Cause::Failure(Failure::Http { status: 401, retry_after: None });
    assert_eq!(rig.client.state(), State::Failed { cause });
    rig.client.tell(everlink::link::Input::Start);
    let _ws = stage.ws().await;
    rig.status(Status::Connected).await;
}

#[tokio::test]
async fn an_answer_that_is_no_upgrade_is_no_connection() {
    let stage = Stage::new().await;
    let mut rig = Rig::new(stage.addr(), quick());
    stage.http("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(failure(&mut rig).await, Failure::Http { status: 200, retry_after: None });
    for nonsense in [
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "\0\0\0\0",
    ] {
        stage.http(nonsense).await;
        let failed = failure(&mut rig).await;
        assert!(matches!(failed, Failure::Handshake | Failure::Connect), "{nonsense:?}: {failed:?}");
    }
    let endless = format!("HTTP/1.1 101 Ok\r\nX: {}", "y".repeat(1 << 20));
    let mut tcp = stage.tcp().await;
    let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, endless.as_bytes()).await;
    assert_eq!(failure(&mut rig).await, Failure::Handshake);
    assert_eq!(rig.client.report().counts.connects.get(), 0);
}

#[tokio::test]
async fn addresses_of_either_family_and_names() {
    let (six, _events) = serve_at("[::1]:0", ServeOptions::default()).await;
    let (four, _events) = serve(ServeOptions::default()).await;
    let (six, four) = (six.local_addr().port(), four.local_addr().port());
    // A query needs no path, and a name may have a first address where nobody listens.
    for url in [
        format!("ws://[::1]:{six}/"),
        format!("ws://localhost:{four}"),
        format!("ws://127.0.0.1:{four}?query=1"),
    ] {
        let mut rig = Rig::to(&url, quick());
        rig.client.send(Message::text("hello")).unwrap();
        assert_eq!(rig.text().await, "hello", "{url}");
    }
}

struct Tls {
    server: Arc<ServerConfig>,
    trusting: Arc<ClientConfig>,
}

fn tls(name: &str) -> Tls {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(everlink_tokio::rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let trusting = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Tls { server: Arc::new(server), trusting: Arc::new(trusting) }
}

async fn echo_over_tls(server: Arc<ServerConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = TlsAcceptor::from(server.clone());
            tokio::spawn(async move {
                let stream = acceptor.accept(tcp).await.ok()?;
                let ws = tokio_tungstenite::accept_async(stream).await.ok()?;
                let (write, read) = ws.split();
                read.forward(write).await.ok()
            });
        }
    });
    addr
}

#[tokio::test]
async fn messages_go_through_tls() {
    let Tls { server, trusting } = tls("localhost");
    let addr = echo_over_tls(server).await;
    let options = Options { config: quick(), tls: Some(trusting), ..Options::default() };
    let mut rig = Rig::with(&format!("wss://localhost:{}/", addr.port()), options);
    let long = "secret ".repeat(50_000);
    let receipt = rig.client.send_tracked(Message::text(long.clone())).unwrap();
    assert_eq!(rig.text().await, long);
    assert_eq!(soon(receipt).await, everlink_tokio::Outcome::Written);
    soon(rig.client.close(ms(0))).await;
}

#[tokio::test]
async fn a_certificate_of_nobody_knows_whom_is_final() {
    let addr = echo_over_tls(tls("localhost").server).await;
    let mut rig = Rig::to(&format!("wss://localhost:{}/", addr.port()), quick());
    assert_eq!(failure(&mut rig).await, Failure::Certificate);
    rig.status(Status::Failed).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_final() {
    let Tls { server, trusting } = tls("elsewhere.example");
    let addr = echo_over_tls(server).await;
    let options = Options { config: quick(), tls: Some(trusting), ..Options::default() };
    let mut rig = Rig::with(&format!("wss://localhost:{}/", addr.port()), options);
    assert_eq!(failure(&mut rig).await, Failure::Certificate);
    rig.status(Status::Failed).await;
}

#[tokio::test]
async fn a_server_without_tls_is_a_failure_of_tls_and_tried_again() {
    let stage = Stage::new().await;
    let mut rig = Rig::to(&format!("wss://localhost:{}/", stage.addr().port()), quick());
    let mut tcp = stage.tcp().await;
    tokio::io::AsyncWriteExt::write_all(&mut tcp, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    assert_eq!(failure(&mut rig).await, Failure::Tls);
    delay(&mut rig).await;
}
