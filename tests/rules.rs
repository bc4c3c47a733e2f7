//! The rules that the machine keeps, whatever is done to it and whenever it is drained.

use core::time::Duration;

use crate::harness::books::Books;
use crate::harness::random::{configs, histories, native_configs, native_histories, talking_histories};
use crate::harness::{Door, Script, at, epoch, ms};
use crate::law::proptest_config;
use everlink::link::{Event, Input, Link, State};
use everlink::outbox::{Kind, Message};
use everlink::time::Instant;
use proptest::prelude::*;

const REGRESSIONS: &str = "proptest-regressions/rules.txt";

#[expect(clippy::expect_used, reason = "a test may be blunt")]
fn books(config: everlink::link::Config, seed: u64) -> Books<Link<Vec<u8>>> {
    Books::new(Link::new(config, seed).expect("the generator makes configurations that work"))
}

proptest! {
    #![proptest_config(proptest_config(REGRESSIONS, 600))]

    /// No panic; draining ends; at most two sockets; after a tick at the deadline the next one is later; at rest is at
    /// rest; a message has at most one end, exactly one after the stop, and what has ended is never sent.
    // pain 9, pain 11, pain 15, pain 17
    #[test]
    fn no_history_breaks_a_rule(config in configs(), seed: u64, history in histories(120)) {
        let mut books = books(config, seed);
        for step in &history {
            books.apply(step);
        }
        books.wind_up();
    }

    /// The same on the native wire, whatever a server says on it.
    #[test]
    fn no_history_on_the_native_wire_breaks_a_rule(
        config in native_configs(), seed: u64, history in native_histories(80)
    ) {
        let mut books = books(config, seed);
        for step in &history {
            books.apply(step);
        }
        books.wind_up();
    }

    /// The same of a link that keeps a dialogue: and each request that was accepted ends exactly once, whatever a server says.
    #[test]
    fn no_history_of_a_dialogue_breaks_a_rule(
        config in native_configs(), seed: u64, history in talking_histories(30)
    ) {
        let mut books = books(config, seed);
        for step in &history {
            books.apply(step);
        }
        books.wind_up();
    }

    #[test]
    fn the_same_seed_and_operations_give_the_same_answers_on_the_native_wire(
        config in native_configs(), seed: u64, history in native_histories(60)
    ) {
        let (mut one, mut two) = (books(config.clone(), seed), books(config, seed));
        for step in &history {
            one.apply(step);
            two.apply(step);
        }
        prop_assert_eq!(one.answers, two.answers);
        prop_assert_eq!(one.link.report(one.now), two.link.report(two.now));
    }

    /// Same seed, same operations: the same answers at the same times.
    #[test]
    fn the_same_seed_and_operations_give_the_same_answers(
        config in configs(), seed: u64, history in histories(80)
    ) {
        let (mut one, mut two) = (books(config.clone(), seed), books(config, seed));
        for step in &history {
            one.apply(step);
            two.apply(step);
        }
        prop_assert_eq!(one.answers, two.answers);
        prop_assert_eq!(one.link.report(one.now), two.link.report(two.now));
    }

    /// An event of a socket that is not there does what a tick does, and counts.
    // pain 11
    #[test]
    fn a_stale_event_changes_nothing_but_its_counter(
        config in configs(), seed: u64, history in histories(80), places in proptest::collection::vec(0..80_usize, 1..10)
    ) {
        let (mut ticked, mut told) = (books(config.clone(), seed), books(config, seed));
        let mut stale = 0;
        for (place, step) in history.iter().enumerate() {
            ticked.apply(step);
            told.apply(step);
            if places.contains(&place) {
                let of = epoch(told.gone.get(place % 4).copied().unwrap_or(u32::MAX));
                for event in [
                    Event::Opened,
                    Event::Frame { kind: Kind::Text, data: b"late" },
                    Event::Written(u64::MAX),
                    Event::Violation(1002),
                    Event::Closed(crate::harness::closed(Some(1000))),
                ] {
                    ticked.handle(Input::Tick);
                    let mut deliveries = told.link.handle(told.now, Input::Socket(of, event));
                    prop_assert_eq!(deliveries.next(), None);
                    stale += 1;
                }
            }
        }
        ticked.wind_up();
        told.wind_up();
        let (mut want, got) = (ticked.link.report(ticked.now), told.link.report(told.now));
        want.counts.stale_inputs += stale;
        prop_assert_eq!(want, got);
        prop_assert_eq!(ticked.answers, told.answers);
    }

    /// Once all is well again, the link is connected within the longest delay between two attempts.
    #[test]
    fn a_healed_link_comes_back(config in configs(), seed: u64, history in histories(80)) {
        let mut books = books(config.clone(), seed);
        for step in &history {
            books.apply(step);
        }
        for input in [Input::Online, Input::Visible, Input::Start] {
            books.handle(input);
        }
        books.drain();
        let bound = books.now + Duration::from_secs(130);
        books.live_until(bound);
        prop_assert!(
            // Slow is no illness that the link could cure.
            matches!(books.link.state(), State::Connected | State::Slow),
            "{:?} at {:?}", books.link.state(), books.now
        );
    }
}

/// What happens at which millisecond in the life of a link whose driver is compared with another.
#[derive(Clone, Copy, Debug)]
enum Weather {
    Hole,
    Heal,
    Stall,
    Flow,
    Refuse,
    Drop,
    Offline,
    Online,
    Hidden,
    Visible,
    Send,
    Cancel,
    Speak,
    Stop,
    Start,
}

fn weather() -> impl Strategy<Value = Vec<(u64, Weather)>> {
    use Weather::{
        Cancel, Drop, Flow, Heal, Hidden, Hole, Offline, Online, Refuse, Send, Speak, Stall, Start, Stop,
        Visible,
    };
    let one = proptest::sample::select(vec![
        Hole, Heal, Stall, Flow, Refuse, Drop, Offline, Online, Hidden, Visible, Send, Send, Cancel, Speak,
        Stop, Start,
    ]);
    proptest::collection::vec((0..20_000_u64, one), 0..14).prop_map(|mut weather| {
        weather.sort_by_key(|(at, _)| *at);
        weather
    })
}

fn live(script: &mut Script, weather: &[(u64, Weather)]) {
    script.input(Input::Start);
    let mut last = None;
    for (at, what) in weather {
        script.until(*at);
        let newest = u32::try_from(script.opens().len()).unwrap_or(u32::MAX).max(1);
        match what {
            Weather::Hole => script.server.black_hole(),
            Weather::Heal => script.server.heal(),
            Weather::Stall => script.server.drains = false,
            Weather::Flow => script.server.drains = true,
            Weather::Refuse => script.server.door = Door::Refuses(everlink::link::Failure::Connect),
            Weather::Drop => script.close(newest, None),
            Weather::Offline => script.input(Input::Offline),
            Weather::Online => script.input(Input::Online),
            Weather::Hidden => script.input(Input::Hidden),
            Weather::Visible => script.input(Input::Visible),
            Weather::Send => {
                let message = Message::text(b"hello".to_vec()).with_ttl(ms(4_000));
                last = script.post(message).ok();
            }
            Weather::Cancel => {
                if let Some(id) = last {
                    script.link.cancel(id);
                    script.drain();
                }
            }
            Weather::Speak => script.text(newest, "news"),
            Weather::Stop => script.input(Input::Stop { linger: ms(3_000) }),
            Weather::Start => script.input(Input::Start),
        }
    }
    script.until(24_000);
}

proptest! {
    #![proptest_config(proptest_config(REGRESSIONS, 40))]

    /// A driver that sleeps exactly to the deadline sees what one sees that ticks every millisecond as well.
    // pain 17
    #[test]
    fn idle_ticks_change_nothing(config in configs(), seed: u64, weather in weather()) {
        let script = |chatty| {
            let config = config.clone();
            let mut script = Script::with_seed(seed, |fresh| *fresh = config);
            script.chatty = chatty;
            live(&mut script, &weather);
            script
        };
        let (sleeper, ticker) = (script(false), script(true));
        prop_assert_eq!(sleeper.actions, ticker.actions);
        prop_assert_eq!(sleeper.link.state(), ticker.link.state());
    }
}

proptest! {
    #![proptest_config(proptest_config(REGRESSIONS, 40))]

    #[test]
    fn idle_ticks_change_nothing_on_the_native_wire(config in native_configs(), seed: u64, weather in weather()) {
        let script = |chatty| {
            let config = config.clone();
            let mut script = Script::with_seed(seed, |fresh| *fresh = config);
            script.far = Some(crate::harness::far::Far::default());
            script.chatty = chatty;
            live(&mut script, &weather);
            script
        };
        let (sleeper, ticker) = (script(false), script(true));
        prop_assert_eq!(sleeper.actions, ticker.actions);
        prop_assert_eq!(sleeper.link.state(), ticker.link.state());
    }
}

#[test]
fn time_that_runs_backwards_counts_as_the_last_now() {
    let mut script = Script::connected(|_| {});
    script.input(Input::Tick);
    let deadline = script.link.deadline();
    script.link.handle(Instant::ORIGIN, Input::Tick);
    assert_eq!(script.link.deadline(), deadline);
    script.link.handle(Instant::ORIGIN, Input::Online);
    script.drain();
    script.sees("", "1000 ping 1 nonce 2");
    assert_eq!(script.link.deadline(), Some(at(3_000)), "the probe is due 2 s after the last now");
}

#[test]
fn two_inputs_may_be_handled_before_a_drain() {
    let mut script = Script::connected(|_| {});
    script.link.handle(script.now, Input::Socket(epoch(1), Event::Violation(1002)));
    script.link.handle(script.now, Input::Stop { linger: Duration::ZERO });
    script.drain();
    script.sees(
        "",
        "1000 close 1 1002
         1000 status disconnected
         1000 quality unknown",
    );
}
