//! Sessions that outlive their process: stored when it ends, restored by the next one.

use core::time::Duration;

use crate::sessions::{Client, Server, at, connected, talk};
use everlink::outbox::{Message, Outcome};
use everlink::peer::{Config, RestoreError, Sessions};
use everlink::wire::native::code;

const AWAY: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);

/// A server that was told to restart, with a message in flight and one in the queue for Ann, who is away by then.
fn restarting(change: fn(&mut Config)) -> (Server, Client) {
    let (mut server, mut ann) = connected("ann", change);
    ann.queue("one");
    server.frame(1, &ann.write(1));
    server.send("ann", "two").unwrap();
    let now = server.now;
    server.sessions.part_with_all(now, code::RESTART, Duration::from_secs(1));
    server.drain();
    server.send("ann", "three").unwrap();
    ann.detach();
    server.seen();
    (server, ann)
}

#[test]
fn a_planned_restart_loses_nothing_and_repeats_nothing() {
    let (mut server, mut ann) = restarting(|_| ());
    let states = server.store();
    let mut server = server.reborn(|_| (), &states, AWAY);
    assert_eq!((server.sessions.len(), server.sessions.detached()), (1, 1));
    let id = server.id("ann");
    let peer = server.sessions.peer(id).unwrap();
    assert_eq!((peer.in_flight(), peer.queued()), (1, 1));
    server.send("ann", "four").unwrap();

    let number = server.connect(&mut ann);
    let seen = server.seen();
    assert_eq!(seen[0], "2: welcome resumed, received 1, from 0");
    talk(&mut server, number, &mut ann);
    assert_eq!(ann.inbox, ["two", "three", "four"]);
    assert_eq!(server.ended(Outcome::Acknowledged), 3);
    server.pass_until(1_000);
    talk(&mut server, number, &mut ann);
    assert!(ann.unacknowledged.is_empty(), "and the client knows that what it said had arrived");
    assert_eq!(server.sessions.counts().restored, 1);
}

#[test]
fn a_restored_session_is_as_closed_to_others_as_before() {
    let (mut server, ann) = restarting(|_| ());
    let states = server.store();
    let mut server = server.reborn(|_| (), &states, AWAY);
    let mut bob = Client::new("bob");
    bob.token = ann.token.clone();
    server.connect(&mut bob);
    assert_eq!(server.seen(), ["2: welcome new, received 0, from 0"]);
    assert_ne!(server.id("bob").seat(), server.id("ann").seat());
}

#[test]
fn time_goes_on_while_the_process_is_away() {
    let (mut server, mut ann) = restarting(|config| {
        config.acceptor.sessions.token_life = Duration::from_secs(600);
        config.acceptor.sessions.keep = Duration::from_secs(300);
    });
    let brief = Message::text(b"brief".to_vec()).with_ttl(MINUTE);
    server.send_message("ann", brief).unwrap();
    let states = server.store();
    let change = |config: &mut Config| {
        config.acceptor.sessions.token_life = Duration::from_secs(600);
        config.acceptor.sessions.keep = Duration::from_secs(300);
    };

    // A message that is too old by then, and one that has no limit but 60 s by default.
    let mut back = server.reborn(change, &states, MINUTE);
    back.tick();
    back.drain();
    assert_eq!(back.ended(Outcome::Expired), 2);
    let number = back.connect(&mut ann);
    talk(&mut back, number, &mut ann);
    assert_eq!(ann.inbox, ["two"]);

    // A token that has reached its end.
    let states = back.store();
    let mut late = back.reborn(change, &states, Duration::from_secs(600));
    ann.detach();
    late.connect(&mut ann);
    assert_eq!(late.seen(), ["3: welcome new, received 0, from 0"]);

    // And the session is kept for as long as ever.
    assert_eq!(late.sessions.deadline(), Some(at(300_017)));
    late.pass_until(300_017);
    assert_eq!(late.sessions.len(), 1);
}

#[test]
fn a_state_that_is_older_than_what_was_sent_begins_a_new_session_and_tells_what_is_in_doubt() {
    let (mut server, mut ann) = connected("ann", |config| config.delivery.window = 1);
    server.send("ann", "one").unwrap();
    server.send("ann", "two").unwrap();
    let states = server.store(); // and the process lives on
    talk(&mut server, 1, &mut ann);
    assert_eq!(ann.inbox, ["one", "two"]);
    ann.detach();

    let mut server = server.reborn(|_| (), &states, AWAY);
    server.settled.clear();
    server.send("ann", "three").unwrap();
    let number = server.connect(&mut ann);
    talk(&mut server, number, &mut ann);
    assert_eq!(ann.welcomes, [false, false]);
    assert_eq!(server.ended(Outcome::InDoubt), 2, "both may have been sent since, and were");
    assert_eq!(ann.inbox, ["one", "two", "three"], "nothing comes twice");
}

#[test]
fn who_never_comes_back_leaves_the_same_doubt() {
    let (mut server, mut ann) = restarting(|_| ());
    let states = server.store();
    ann.counts.detach();
    let mut server = server.reborn(|config| config.outbox.age = None, &states, Duration::ZERO);
    server.send("ann", "four").unwrap();
    server.pass_until(400_000);
    assert!(server.sessions.is_empty());
    assert_eq!(server.ended(Outcome::InDoubt) + server.ended(Outcome::Expired), 2);
    assert_eq!(server.ended(Outcome::Stopped), 1, "what was accepted since was certainly never sent");
}

#[test]
fn whatever_is_damaged_or_foreign_is_refused_and_changes_nothing() {
    let (mut server, _) = restarting(|_| ());
    let state = server.store().remove(0);
    let mut sessions = Sessions::<Vec<u8>>::new(Config::default(), 3, 64).unwrap();
    let mut refused = |state: &[u8], why: RestoreError| {
        assert_eq!(sessions.restore(at(0), state, AWAY), Err(why));
        assert_eq!((sessions.len(), sessions.room()), (0, 64));
    };
    for byte in 0..state.len() {
        let mut damaged = state.clone();
        damaged[byte] ^= 1;
        let why = if byte < 17 { RestoreError::Foreign } else { RestoreError::Damaged };
        refused(&damaged, why);
        let why = if byte < 17 { RestoreError::Foreign } else { RestoreError::Damaged };
        refused(&state[..byte], why);
    }
    let mut link = everlink::link::Link::<Vec<u8>>::new(everlink::link::Config::default(), 1).unwrap();
    link.send(at(0), Message::text(b"hello".to_vec()), |_, _| ()).unwrap();
    let mut foreign = Vec::new();
    link.store(at(0), |part| foreign.extend_from_slice(part));
    refused(&foreign, RestoreError::Foreign);
}

/// A state with something else at its end, in place of "subscribed to nothing", and the right sum.
fn ending(state: &[u8], end: &[u8]) -> Vec<u8> {
    let mut state = state[..state.len() - 8].to_vec();
    state.extend_from_slice(end);
    let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&state);
    state.extend_from_slice(&sum.to_le_bytes());
    state
}

#[test]
fn channels_that_cannot_be_are_damage() {
    let (mut server, _) = restarting(|_| ());
    let state = server.store().remove(0);
    let name = |name: &[u8]| [&1_u32.to_le_bytes(), &(name.len() as u32).to_le_bytes(), name].concat();
    let cases: [(&str, Vec<u8>, bool); 8] = [
        ("none", 0_u32.to_le_bytes().into(), true),
        ("one", name(b"ink"), true),
        ("the longest", name(&[b'n'; 255]), true),
        ("a longer one", name(&[b'n'; 256]), false),
        ("one without a name", name(b""), false),
        ("no text", name(&[0xFF]), false),
        ("that of everyone", name(b"system"), false),
        ("more than there are", u32::MAX.to_le_bytes().into(), false),
    ];
    for (what, end, good) in cases {
        let mut sessions = Sessions::<Vec<u8>>::new(Config::default(), 3, 64).unwrap();
        sessions.open_dialogues();
        let restored = sessions.restore(at(0), &ending(&state, &end), AWAY);
        assert_eq!(restored.is_ok(), good, "{what}: {restored:?}");
        assert_eq!(sessions.room() == 64, !good, "{what}");
    }
}

#[test]
fn what_has_no_room_is_refused_and_changes_nothing() {
    let (mut server, mut ann) = restarting(|_| ());
    let state = server.store().remove(0);
    // No room for its messages.
    let mut sessions = Sessions::<Vec<u8>>::new(Config::default(), 3, 1).unwrap();
    assert_eq!(sessions.restore(at(0), &state, AWAY), Err(RestoreError::Damaged));
    assert_eq!((sessions.len(), sessions.room()), (0, 1));
    // Twice, or another in its seat.
    let mut server = server.reborn(|_| (), core::slice::from_ref(&state), AWAY);
    assert_eq!(server.sessions.restore(at(20), &state, AWAY), Err(RestoreError::Damaged));
    assert_eq!((server.sessions.len(), server.sessions.room()), (1, 4094));
    let number = server.connect(&mut ann);
    talk(&mut server, number, &mut ann);
    assert_eq!(ann.inbox, ["two", "three"], "the first one is as it was");
}

#[test]
fn sessions_are_restored_in_any_order_and_others_come_beside_them() {
    let mut server = Server::new(|_| ());
    let mut clients: Vec<_> = (0..9).map(|n| Client::new(&format!("client {n}"))).collect();
    for client in &mut clients {
        let number = server.connect(client);
        talk(&mut server, number, client);
        let name = client.who.clone();
        server.send(&name, "in flight").unwrap();
    }
    // Some leave, so that seats and slots are free between the others.
    for gone in [7, 2, 3] {
        let id = server.id(&format!("client {gone}"));
        let now = server.now;
        server.sessions.peer(id).unwrap().end(now, code::NORMAL, Duration::ZERO);
        server.drain();
    }
    let mut states = server.store();
    states.rotate_left(3);
    states.swap(0, 2);
    let room = server.sessions.room();
    let mut server = server.reborn(|_| (), &states, Duration::ZERO);
    assert_eq!((server.sessions.len(), server.sessions.room()), (6, room));
    let mut late: Vec<_> = (0..5).map(|n| Client::new(&format!("late {n}"))).collect();
    for client in &mut late {
        let number = server.connect(client);
        talk(&mut server, number, client);
        let name = client.who.clone();
        server.send(&name, "new").unwrap();
        talk(&mut server, number, client);
        assert_eq!(client.inbox, ["new"]);
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.detach();
        let number = server.connect(client);
        talk(&mut server, number, client);
        let resumed = ![7, 2, 3].contains(&n);
        assert_eq!(client.welcomes, [false, resumed], "{n}");
        assert_eq!(client.inbox.len(), usize::from(resumed), "{n}");
    }
}
