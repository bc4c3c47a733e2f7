//! Resume tokens: what a wrong one reveals, how they are renewed in band, when they expire; and credentials that are renewed.

use core::time::Duration;

use crate::sessions::{Client, connected, encode, talk};
use everlink::wire::native::{Credentials, Envelope, Token, code};

const NEW: &str = "welcome new, received 0, from 0";

#[test]
fn a_token_that_is_wrong_or_someone_else_s_reveals_nothing_and_resumes_nothing() {
    let (mut server, mut ann) = connected("ann", |_| ());
    server.send("ann", "for ann only").unwrap();
    server.seen();
    let good = ann.token.clone();
    let none = {
        let number = server.connect(&mut Client::new("bob"));
        server.seen();
        server.fetch(number)
    };
    let wrong_secret: Vec<u8> = good[..good.len() - 1].iter().copied().chain([0xFF]).collect();
    let mut wrong_seat = good.clone();
    wrong_seat[0] = 9;
    for (who, token) in [
        ("bob", good.clone()),
        ("anyone", good.clone()),
        ("ann", wrong_secret),
        ("ann", wrong_seat),
        ("ann", vec![0; 20]),
        ("ann", vec![1; 64]),
        ("ann", vec![1]),
    ] {
        let mut thief = Client::new(who);
        thief.token = token;
        let number = server.connect(&mut thief);
        assert_eq!(server.seen(), [format!("{number}: {NEW}")], "{who}");
        let frames = server.fetch(number);
        assert_eq!(frames[0].len(), none[0].len(), "the answer is as long as that to no token at all");
        let mut fresh = Client::new(who);
        fresh.read(frames);
        assert_ne!(fresh.token, good);
    }
    assert_eq!(server.sessions.counts().resumed, 0);
    talk(&mut server, 1, &mut ann);
    assert_eq!(ann.inbox, ["for ann only"], "and the one it belongs to has noticed nothing");
}

#[test]
fn who_is_not_authenticated_resumes_nothing() {
    let (mut server, ann) = connected("ann", |_| ());
    let mut mallory = Client::new("mallory");
    mallory.token = ann.token.clone();
    server.connect(&mut mallory);
    assert_eq!(server.seen(), ["2: goodbye 4001, retry 0, attempt 0, \"go away\"", "2: close 4001"]);
    assert_eq!(server.sessions.len(), 1);
}

#[test]
fn a_session_is_its_principal_s() {
    let (mut server, _ann) = connected("ann", |_| ());
    let (id, ann) = (server.id("ann"), server.principal("ann"));
    assert_eq!(server.sessions.peer(id).unwrap().principal(), Some(ann));
}

#[test]
fn a_token_is_renewed_in_band_at_half_its_life() {
    let (mut server, mut client) = connected("ann", |config| {
        config.acceptor.sessions.token_life = Duration::from_secs(100);
        config.heartbeat.quiet = Duration::from_secs(1_000);
    });
    let first = client.token.clone();
    server.pass_until(49_999);
    assert_eq!(server.seen(), [""; 0]);
    server.pass_until(50_000);
    assert_eq!(server.seen(), ["1: renewal"]);
    let frames = server.fetch(1);
    let second = {
        let mut later = Client::new("ann");
        later.counts = client.counts.clone();
        later.read(frames);
        later.token
    };
    assert_ne!(first, second);

    // The renewal is lost with its socket: the old one is still good, and the welcome says the new one again.
    server.drop_socket(1);
    client.detach();
    let number = server.connect(&mut client);
    assert_eq!(server.seen(), ["2: welcome resumed, received 0, from 0"]);
    let frames = server.fetch(number);
    client.read(frames);
    assert_eq!(client.token, second);

    // Used once, the new one is the only one.
    let number = server.connect(&mut client);
    talk(&mut server, number, &mut client);
    server.seen();
    let mut old = Client::new("ann");
    (old.token, old.counts) = (first, client.counts.clone());
    let number = server.connect(&mut old);
    assert_eq!(server.seen(), [format!("{number}: {NEW}")]);
}

#[test]
fn renewals_go_on_for_as_long_as_the_socket_lives() {
    let (mut server, mut client) = connected("ann", |config| {
        config.acceptor.sessions.token_life = Duration::from_secs(100);
        config.heartbeat.quiet = Duration::from_secs(10_000);
    });
    server.pass_until(1_000_000);
    assert_eq!(server.seen(), ["1: renewal"; 20]);
    let frames = server.fetch(1);
    client.read(frames);
    assert_eq!(client.tokens.len(), 21);
    client.detach();
    server.drop_socket(1);
    server.connect(&mut client);
    assert_eq!(server.seen(), ["2: welcome resumed, received 0, from 0"]);
}

#[test]
fn an_expired_token_opens_nothing() {
    let (mut server, mut client) = connected("ann", |config| {
        config.acceptor.sessions.token_life = Duration::from_secs(100);
        config.acceptor.sessions.keep = Duration::from_secs(1_000);
    });
    server.drop_socket(1);
    client.detach();
    server.pass_until(100_000);
    server.connect(&mut client);
    assert_eq!(server.seen(), [format!("2: {NEW}")]);
}

#[test]
fn a_secret_that_does_not_come_is_asked_for_once_and_changes_nothing() {
    let (mut server, mut client) = connected("ann", |config| {
        config.acceptor.sessions.token_life = Duration::from_secs(100);
        config.heartbeat.quiet = Duration::from_secs(1_000);
    });
    server.renews = false;
    server.pass_until(99_000);
    assert_eq!(server.seen(), ["wants a secret"]);
    server.renews = true;
    let number = server.connect(&mut client);
    talk(&mut server, number, &mut client);
    assert_eq!(client.welcomes, [false, true]);
    assert_eq!(client.tokens.len(), 2);
    assert_ne!(client.tokens[0], client.tokens[1], "the next welcome brings what was due");
}

#[test]
fn a_secret_that_nobody_asked_for_changes_nothing() {
    let (mut server, client) = connected("ann", |_| ());
    let id = server.id("ann");
    server.sessions.renew(server.now, id, everlink::acceptor::Secret::new([3; 16]));
    assert_eq!(server.seen(), [""; 0]);
    let mut again = Client::new("ann");
    (again.token, again.counts) = (client.token.clone(), client.counts.clone());
    server.connect(&mut again);
    assert!(server.seen().contains(&"2: welcome resumed, received 0, from 0".into()));
}

#[test]
fn a_client_may_show_other_credentials_and_be_let_go() {
    let (mut server, _) = connected("ann", |_| ());
    let renewal = Envelope::Renewal { token: Token::NONE, credentials: Credentials::new(b"ann, again") };
    server.frame(1, &encode(&[renewal]));
    assert_eq!(server.seen(), ["ann: Credentials(Credentials(10 bytes))"]);
    let id = server.id("ann");
    server.sessions.peer(id).unwrap().end(server.now, code::EXPIRED, Duration::ZERO);
    assert_eq!(
        server.seen(),
        ["1: goodbye 4104, retry 0, attempt 0, \"credentials have expired\"", "1: close 4104", "ann ends"]
    );
}

#[test]
fn nothing_that_debug_shows_holds_a_secret() {
    let (server, client) = connected("ann", |_| ());
    let shown = format!("{:?}", server.sessions);
    assert!(!shown.contains("165, 165"), "the filling of every secret: {shown}");
    assert!(!shown.contains(&format!("{:?}", &client.token[4..8])));
}
