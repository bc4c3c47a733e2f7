//! Histories of a link against the rules of `tests/rules.rs`.

use core::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use everlink::link::{Config, Input, Link, State};
use everlink::wire::Wire;
use everlink::wire::native::Channel;

use crate::books::Books;
use crate::history::History;
use crate::steps::CHANNELS;

/// What is asked of the link when the history is over.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Question {
    /// Does every message come to an end once it is stopped?
    Ends,
    /// Would it do the same again?
    Repeats,
    /// Is it connected soon after all is well again?
    Heals,
}

fn live(history: &History) -> Books<Link<Vec<u8>>> {
    let link = Link::new(history.config.clone(), history.seed).expect("the configuration can work");
    let mut books = Books::new(link);
    for step in &history.steps {
        books.apply(step);
        let Config { requests, channels, .. } = &history.config;
        let (open, pending) = (books.open_requests(), requests.pending as usize);
        assert!(open <= pending, "{open} requests wait for an answer, of {pending}");
        let subscribed = |name: &&str| books.link.subscription_to(Channel::Name(name)).is_some();
        assert!(CHANNELS.iter().filter(|name| subscribed(name)).count() <= channels.subscriptions as usize);
    }
    books
}

/// What the bytes stand for.
///
/// # Errors
/// There are too few.
pub fn read(data: &[u8]) -> arbitrary::Result<(Question, History)> {
    let mut bytes = Unstructured::new(data);
    Ok((Question::arbitrary(&mut bytes)?, History::take_rest(&mut bytes)?))
}

/// A history of random operations, which breaks no rule.
pub fn link_ops(data: &[u8]) {
    let Ok((question, history)) = read(data) else { return };
    let mut books = live(&history);
    match question {
        Question::Ends => books.wind_up(),
        // The server that is all well speaks no native wire; it has tests of its own (`tests/native_promise.rs`).
        Question::Heals if matches!(history.config.wire, Wire::Native(_)) => books.wind_up(),
        Question::Repeats => {
            let again = live(&history);
            assert_eq!(books.answers, again.answers);
            assert_eq!(books.link.report(books.now), again.link.report(again.now));
        }
        Question::Heals => {
            for input in [Input::Online, Input::Visible, Input::Start] {
                books.handle(input);
            }
            books.drain();
            books.live_until(books.now + Duration::from_secs(130));
            let state = books.link.state();
            assert!(matches!(state, State::Connected | State::Slow), "{state:?} at {:?}", books.now);
        }
    }
}
