//! The table of sessions: who may resume which, with what, for how long, and who goes when there is no room; case by case, and
//! against a naive table that searches everything.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test may be blunt")]

use core::time::Duration;

use crate::law::proptest_config;
use everlink::acceptor::{
    Full, Principal, Seat, Secret, SessionId, SessionsConfig as Config, Table, TokenBytes,
};
use everlink::time::Instant;
use everlink::wire::native::Token;
use proptest::prelude::*;

const ANN: Principal = Principal::new(1);
const BOB: Principal = Principal::new(2);

fn at(seconds: u64) -> Instant {
    Instant::from_millis(1000 * seconds)
}

fn secret(number: u8) -> Secret {
    Secret::new([number; 16])
}

fn config() -> Config {
    Config { count: 4, per_principal: 2, keep: Duration::from_secs(300), ..Config::default() }
}

/// One session of Ann's at 0, with its token.
fn one() -> (Table<u32>, SessionId, TokenBytes) {
    let mut table = Table::with_capacity(4, 7);
    let id = table.enter(&config(), at(0), ANN, secret(1), |_| 11).unwrap();
    let token = table.token(id).unwrap();
    (table, id, token)
}

#[test]
fn a_principal_is_the_number_that_it_was_made_from() {
    for number in [Some(0), Some(1), Some(41), Some(u64::MAX - 1), None] {
        let principal = Principal::from(number);
        assert_eq!((principal.number(), Option::<u64>::from(principal)), (number, number));
    }
    assert_eq!(Full::Sessions.to_string(), "too many sessions");
    assert_eq!(Full::Principal.to_string(), "too many sessions of one principal");
}

#[test]
fn a_secret_is_not_shown() {
    assert!(!format!("{:?}", secret(7)).contains('7'));
    assert!(!format!("{:?}", secret(7)).is_empty());
}

#[test]
fn a_token_opens_the_session_of_its_principal_and_nothing_else() {
    let (table, id, token) = one();
    let find = |principal, token: Token<'_>| table.find(at(1), principal, token);
    assert_eq!(find(ANN, token.lend()), Some(id));
    assert_eq!(find(BOB, token.lend()), None, "someone else's");
    assert_eq!(find(Principal::ANYONE, token.lend()), None);
    for byte in 0..20 {
        for bit in 0..8 {
            let mut wrong: Vec<u8> = token.lend().reveal().to_vec();
            wrong[byte] ^= 1 << bit;
            assert_eq!(find(ANN, Token::new(&wrong)), None, "byte {byte}, bit {bit}");
        }
    }
    for len in (0..20).chain([21, 64]) {
        let mut wrong: Vec<u8> = token.lend().reveal().to_vec();
        wrong.resize(len, 0);
        assert_eq!(find(ANN, Token::new(&wrong)), None, "{len} bytes");
    }
}

#[test]
fn a_free_seat_opens_to_nobody() {
    let table = Table::<u32>::with_capacity(4, 7);
    for seat in [0_u32, 3, 4, u32::MAX] {
        let mut token = [0; 20];
        token[..4].copy_from_slice(&seat.to_le_bytes());
        assert_eq!(table.find(at(0), Principal::ANYONE, Token::new(&token)), None);
    }
}

#[test]
fn a_token_expires() {
    let (table, id, token) = one();
    let day = 24 * 3600;
    assert_eq!(table.find(at(day - 1), ANN, token.lend()), Some(id));
    assert_eq!(table.find(at(day), ANN, token.lend()), None);
}

#[test]
fn the_old_token_works_until_the_new_one_was_used() {
    let (mut table, id, old) = one();
    let half = 12 * 3600;
    assert!(!table.renew(&config(), at(half - 1), id, secret(2)), "it is not due");
    assert_eq!(table.renewal(&config(), id), Some(at(half)));
    assert!(table.renew(&config(), at(half), id, secret(2)));
    let new = table.token(id).unwrap();
    let finds = |table: &Table<u32>, seconds, token: &TokenBytes| {
        table.find(at(seconds), ANN, token.lend()).is_some()
    };
    assert!(finds(&table, half, &old) && finds(&table, half, &new));
    table.attach(id, old.lend());
    assert!(
        finds(&table, half, &old) && finds(&table, half, &new),
        "the new one may have been lost on its way"
    );
    table.attach(id, new.lend());
    assert!(!finds(&table, half, &old) && finds(&table, half, &new));
    assert!(finds(&table, 3 * half - 1, &new) && !finds(&table, 3 * half, &new));
}

#[test]
fn a_token_that_was_never_used_is_followed_by_another() {
    let (mut table, id, first) = one();
    let half = 12 * 3600;
    assert!(table.renew(&config(), at(half), id, secret(2)));
    let second = table.token(id).unwrap();
    assert!(!table.renew(&config(), at(2 * half - 1), id, secret(3)));
    assert!(table.renew(&config(), at(2 * half), id, secret(3)));
    let third = table.token(id).unwrap();
    let good = [first, second, third].map(|t| table.find(at(2 * half), ANN, t.lend()).is_some());
    assert_eq!(good, [false, true, true], "the first is at its end by then");
}

#[test]
fn a_session_on_no_socket_is_kept_for_its_time() {
    let (mut table, id, token) = one();
    assert_eq!(table.next_expiry(&config()), None, "it is on a socket");
    table.detach(at(10), id);
    table.detach(at(20), id);
    assert_eq!((table.detached(), table.next_expiry(&config())), (1, Some(at(310))));
    assert_eq!(table.expired(&config(), at(309)), None);
    table.attach(id, token.lend());
    assert_eq!((table.detached(), table.expired(&config(), at(1000))), (0, None));
    table.detach(at(400), id);
    assert_eq!(table.expired(&config(), at(700)), Some(id));
    assert_eq!(table.remove(id), Some(11));
    assert_eq!(table.find(at(700), ANN, token.lend()), None);
    assert_eq!((table.len(), table.get(id), table.token(id).is_none()), (0, None, true));
}

#[test]
fn a_name_is_not_used_again() {
    let (mut table, id, token) = one();
    table.remove(id);
    let other = table.enter(&config(), at(0), ANN, secret(2), |_| 12).unwrap();
    assert_ne!(other, id);
    assert_ne!(other.number(), id.number());
    assert_eq!((table.get(id), table.get(other)), (None, Some(&12)));
    table.detach(at(0), id);
    assert_eq!((table.remove(id), table.detached()), (None, 0), "of the old name nothing is left");
    assert_eq!(table.find(at(0), ANN, token.lend()), None);
}

#[test]
fn a_session_that_could_not_go_on_leaves_no_token_behind() {
    let (mut table, id, token) = one();
    table.detach(at(1), id);
    let new = table.replace(&config(), at(2), id, secret(9)).unwrap();
    assert_eq!((table.get(id), table.get(new), table.detached()), (None, Some(&11), 0));
    assert_eq!(table.find(at(2), ANN, token.lend()), None);
    assert_eq!(table.find(at(2), ANN, table.token(new).unwrap().lend()), Some(new));
}

#[test]
fn a_principal_gives_way_to_itself() {
    let (mut table, first, _) = one();
    let second = table.enter(&config(), at(0), ANN, secret(2), |_| 12).unwrap();
    assert_eq!(table.crowds(&config(), ANN), Err(Full::Principal), "both are on a socket");
    assert_eq!(table.enter(&config(), at(0), ANN, secret(3), |_| 13), None);
    assert_eq!(table.crowds(&config(), BOB), Ok(None));
    table.detach(at(1), second);
    table.detach(at(2), first);
    assert_eq!(table.crowds(&config(), ANN), Ok(Some(second)));
    assert_eq!(table.enter(&config(), at(2), ANN, secret(3), |_| 13), None, "not before it has gone");
    table.remove(second);
    assert!(table.enter(&config(), at(2), ANN, secret(3), |_| 13).is_some());
}

#[test]
fn a_full_table_parts_with_who_has_been_gone_for_longest() {
    let mut table = Table::with_capacity(9, 7);
    let ids: Vec<_> = (0..4)
        .map(|n| table.enter(&config(), at(0), Principal::new(n), secret(n as u8), |_| n).unwrap())
        .collect();
    assert_eq!(
        table.crowds(&config(), Principal::new(9)),
        Err(Full::Sessions),
        "the count is below the seats"
    );
    table.detach(at(1), ids[2]);
    table.detach(at(2), ids[0]);
    assert_eq!(table.crowds(&config(), Principal::new(9)), Ok(Some(ids[2])));
    assert_eq!(table.crowds(&config(), Principal::ANYONE), Ok(Some(ids[2])));
}

#[test]
fn too_many_on_no_socket_are_too_many() {
    let config = Config { detached: 1, ..config() };
    let (mut table, first, _) = one();
    let second = table.enter(&config, at(0), BOB, secret(2), |_| 12).unwrap();
    table.detach(at(1), first);
    assert_eq!(table.excess(&config), None);
    table.detach(at(2), second);
    assert_eq!(table.excess(&config), Some(first));
}

#[test]
fn what_is_over_opens_to_nobody_and_ends_first() {
    let (mut table, first, token) = one();
    let second = table.enter(&config(), at(0), BOB, secret(2), |_| 12).unwrap();
    table.detach(at(1), second);
    table.retire(at(2), first);
    assert_eq!(table.find(at(2), ANN, token.lend()), None);
    assert_eq!(table.next_expiry(&config()), Some(at(2)));
    assert_eq!(table.expired(&config(), at(2)), Some(first));
    assert_eq!(table.remove(first), Some(11));
    assert_eq!(table.expired(&config(), at(2)), None);
    table.retire(at(3), second);
    assert_eq!((table.detached(), table.expired(&config(), at(3))), (1, Some(second)));
}

#[test]
fn anyone_has_no_quota() {
    let mut table = Table::new([const { Seat::EMPTY }; 4], 7);
    for n in 0..4 {
        assert!(table.enter(&config(), at(0), Principal::ANYONE, secret(n), |_| n).is_some());
    }
    assert_eq!(table.crowds(&config(), Principal::ANYONE), Err(Full::Sessions));
}

#[test]
fn a_table_shows_no_secret() {
    let (table, id, token) = one();
    assert!(!table.is_empty());
    assert!(id.to_string().starts_with("0."), "its seat, and which session of it");
    assert_eq!(format!("{token:?}"), "Token(20 bytes)");
    for shown in
        [format!("{table:?}"), format!("{token:?}"), format!("{:?}", secret(1)), format!("{id:?} {id}")]
    {
        assert!(!shown.contains("1, 1, 1"), "{shown}");
        assert!(!shown.is_empty());
    }
}

/// A session as the naive table has it.
#[derive(Clone, Debug)]
struct Known {
    id: SessionId,
    principal: Principal,
    value: u32,
    /// Secret and time of issue, the one that the client surely has first.
    tokens: Vec<(TokenBytes, u64)>,
    since: Option<u64>,
    /// When it was retired.
    over: Option<u64>,
}

impl Known {
    /// When it is to end.
    fn ends(&self) -> Option<u64> {
        self.over.or(self.since.map(|since| since + 40))
    }

    /// Where it stands among those that may have to go: those that are over come first, whenever that was.
    fn rank(&self) -> Option<(bool, u64)> {
        Some(if self.over.is_some() { (false, 0) } else { (true, self.since?) })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Enter(u64),
    Attach(usize, bool),
    Detach(usize),
    Retire(usize),
    Renew(usize),
    Replace(usize),
    Remove(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0..8_usize;
    prop_oneof![
        (1..30_u64).prop_map(Step::Pass),
        (0..4_u64).prop_map(Step::Enter),
        (0..4_u64).prop_map(Step::Enter),
        (which(), any::<bool>()).prop_map(|(which, latest)| Step::Attach(which, latest)),
        which().prop_map(Step::Detach),
        which().prop_map(Step::Detach),
        which().prop_map(Step::Retire),
        which().prop_map(Step::Renew),
        which().prop_map(Step::Replace),
        which().prop_map(Step::Remove),
    ]
}

const LIFE: u64 = 100;

proptest! {
    #![proptest_config(proptest_config("proptest-regressions/acceptor_sessions.txt", 200))]

    #[test]
    fn it_answers_as_a_table_that_searches_everything(
        seed: u64, per_principal in 1..4_u32, count in 1..8_u32, steps in proptest::collection::vec(step(), 1..120)
    ) {
        let config = Config {
            count, per_principal, detached: 3, keep: Duration::from_secs(40), token_life: Duration::from_secs(LIFE),
        };
        let mut table = Table::with_capacity(6, seed);
        let (mut naive, mut gone): (Vec<Known>, Vec<Known>) = (Vec::new(), Vec::new());
        let (mut now, mut issued) = (0, 0_u8);
        let mut fresh = || { issued += 1; secret(issued) };
        for step in steps {
            match step {
                Step::Pass(seconds) => now += seconds,
                Step::Enter(who) => {
                    let principal = Principal::from(who.checked_sub(1));
                    let mut crowd: Vec<&Known> = naive.iter().filter(|k| k.principal == principal).collect();
                    let mut wanted = Ok(None);
                    let oldest = |of: &[&Known]| of.iter().filter(|k| k.rank().is_some())
                        .min_by_key(|k| k.rank()).map(|k| k.id);
                    if principal != Principal::ANYONE && crowd.len() >= per_principal as usize {
                        wanted = oldest(&crowd).map(Some).ok_or(Full::Principal);
                    } else if naive.len() >= count.min(6) as usize {
                        crowd = naive.iter().collect();
                        wanted = oldest(&crowd).map(Some).ok_or(Full::Sessions);
                    }
                    // Of those that went at the same instant, the first may be meant.
                    let told = table.crowds(&config, principal);
                    let rank = |id: SessionId| naive.iter().find(|k| k.id == id).unwrap().rank();
                    prop_assert_eq!(told.map(|id| id.map(rank)), wanted.map(|id| id.map(rank)));
                    let secret = fresh();
                    match table.enter(&config, at(now), principal, secret, |_| now as u32) {
                        Some(id) => {
                            prop_assert_eq!(wanted, Ok(None));
                            let tokens = vec![(table.token(id).unwrap(), now)];
                            naive.push(Known { id, principal, value: now as u32, tokens, since: None, over: None });
                        }
                        None => prop_assert_ne!(wanted, Ok(None)),
                    }
                }
                Step::Attach(which, latest) if which < naive.len() && naive[which].over.is_none() => {
                    let known = &mut naive[which];
                    let index = if latest { known.tokens.len() - 1 } else { 0 };
                    let (token, born) = known.tokens[index];
                    let found = table.find(at(now), known.principal, token.lend());
                    prop_assert_eq!(found.is_some(), now < born + LIFE);
                    if let Some(id) = found {
                        prop_assert_eq!(id, known.id);
                        table.attach(id, token.lend());
                        known.tokens.drain(..index);
                        known.since = None;
                    }
                }
                Step::Detach(which) if which < naive.len() => {
                    let known = &mut naive[which];
                    table.detach(at(now), known.id);
                    if known.over.is_none() {
                        known.since = known.since.or(Some(now));
                    }
                }
                Step::Retire(which) if which < naive.len() => {
                    table.retire(at(now), naive[which].id);
                    gone.push(naive[which].clone());
                    let known = &mut naive[which];
                    known.tokens.clear();
                    (known.since, known.over) = (Some(now), Some(now));
                }
                Step::Renew(which) if which < naive.len() && naive[which].over.is_none() => {
                    let known = &mut naive[which];
                    let due = known.tokens.last().unwrap().1 + LIFE / 2 <= now;
                    prop_assert_eq!(table.renew(&config, at(now), known.id, fresh()), due);
                    if due {
                        known.tokens.drain(..known.tokens.len() - 1);
                        known.tokens.push((table.token(known.id).unwrap(), now));
                    }
                }
                Step::Replace(which) if which < naive.len() && naive[which].over.is_none() => {
                    gone.push(naive[which].clone());
                    let known = &mut naive[which];
                    known.id = table.replace(&config, at(now), known.id, fresh()).unwrap();
                    known.tokens = vec![(table.token(known.id).unwrap(), now)];
                    known.since = None;
                }
                Step::Remove(which) if which < naive.len() => {
                    let known = naive.remove(which);
                    prop_assert_eq!(table.remove(known.id), Some(known.value));
                    gone.push(known);
                }
                Step::Attach(..) | Step::Detach(_) | Step::Retire(_) | Step::Renew(_) | Step::Replace(_) | Step::Remove(_) => {}
            }

            prop_assert_eq!(table.len() as usize, naive.len());
            let detached = naive.iter().filter(|known| known.since.is_some()).count();
            prop_assert_eq!(table.detached() as usize, detached);
            let first = naive.iter().filter(|known| known.rank().is_some()).min_by_key(|known| known.rank());
            let is_over = first.is_some_and(|first| first.over.is_some());
            if !is_over {
                prop_assert_eq!(table.next_expiry(&config), first.and_then(Known::ends).map(at));
            }
            let known = |id: SessionId| naive.iter().find(|known| known.id == id).unwrap();
            let rank = |id: Option<SessionId>| id.map(|id| known(id).rank());
            let first_ended = first.filter(|first| first.ends().is_some_and(|end| end <= now));
            prop_assert_eq!(rank(table.expired(&config, at(now))), first_ended.map(Known::rank));
            prop_assert_eq!(rank(table.excess(&config)), first.filter(|_| detached > 3).map(Known::rank));
            let mut ids: Vec<_> = naive.iter().map(|known| known.id).collect();
            ids.sort();
            prop_assert_eq!(table.ids().collect::<Vec<_>>(), ids);
            for known in &naive {
                prop_assert_eq!(table.get(known.id), Some(&known.value));
                prop_assert_eq!(table.principal(known.id), Some(known.principal));
                for (token, born) in &known.tokens {
                    let found = table.find(at(now), known.principal, token.lend());
                    prop_assert_eq!(found, (now < born + LIFE).then_some(known.id));
                    let other = Principal::new(99);
                    prop_assert_eq!(table.find(at(now), other, token.lend()), None);
                }
            }
            for known in &gone {
                prop_assert_eq!(table.get(known.id).is_some(), naive.iter().any(|k| k.id == known.id));
                for (token, _) in &known.tokens {
                    prop_assert_eq!(table.find(at(now), known.principal, token.lend()), None);
                }
            }
        }
    }
}
