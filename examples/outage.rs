//! An outage of half a minute, played in virtual time: what a link notices, says and asks for.
//!
//! Run it with `cargo run --example outage`. There is no socket and no clock here: the inputs are made up.

use core::time::Duration;

use everlink::link::{Action, Config, Epoch, Event, Failure, Input, Link, Next};
use everlink::outbox::Message;
use everlink::time::Instant;

/// From here on, nothing gets through; the socket itself says nothing about it.
const HOLE: Instant = Instant::from_millis(20_000);
const HEALED: Instant = Instant::from_millis(50_000);
const END: Instant = Instant::from_millis(65_000);
const ROUND_TRIP: Duration = Duration::from_millis(40);

fn main() {
    let mut link = Link::<Vec<u8>>::new(Config::default(), 7).expect("the default configuration works");
    let mut now = Instant::ORIGIN;
    let mut inputs: Vec<(Instant, Input<'static>)> = vec![(now, Input::Start)];
    let mut strokes = (1..).map(|n| (Instant::from_millis(n * 3_000), format!("stroke {n}"))).peekable();
    let mut written = 0;

    while now < END {
        match link.poll() {
            Next::Do(action) => {
                println!("{now:>10.1?}  {action:?}");
                perform(action, now, &mut link, &mut inputs, &mut written);
            }
            Next::Wait(_) | Next::Idle => {
                // The earliest of: a stroke, something that happens, the deadline.
                let stroke = strokes.peek().map(|(at, _)| *at);
                let input = inputs.iter().map(|(at, _)| *at).min();
                now = [stroke, input, link.deadline()].into_iter().flatten().min().unwrap_or(END).max(now);
                if let Some((_, text)) = strokes.next_if(|(at, _)| *at <= now) {
                    println!("{now:>10.1?}  the user draws {text}");
                    let sent =
                        link.send(now, Message::text(text.into_bytes()), |gone, _| println!("{gone:?}"));
                    sent.expect("the default queue takes more than this");
                } else if let Some(index) = inputs.iter().position(|(at, _)| *at <= now) {
                    link.handle(now, inputs.swap_remove(index).1).for_each(drop);
                } else {
                    link.handle(now, Input::Tick).for_each(drop);
                }
            }
        }
    }
    println!("{:#?}", link.report(now).counts);
}

/// A network that answers after a round trip, except during the hole.
fn perform(
    action: Action,
    now: Instant,
    link: &mut Link<Vec<u8>>,
    inputs: &mut Vec<(Instant, Input<'static>)>,
    written: &mut u64,
) {
    let works = !(HOLE..HEALED).contains(&now);
    let mut later = |epoch: Epoch, event| inputs.push((now + ROUND_TRIP, Input::Socket(epoch, event)));
    match action {
        Action::Open { epoch, .. } => {
            *written = 0;
            later(epoch, if works { Event::Opened } else { Event::Failed(Failure::Connect) });
        }
        Action::Ping { epoch, nonce } if works => {
            later(epoch, Event::Pong(nonce.to_be_bytes().to_vec().leak()));
        }
        Action::Flush { epoch } => {
            while let Some(frame) = link.pull(epoch) {
                *written += frame.len() as u64;
            }
            // A dead socket takes bytes, too: that is why "written" is not "delivered".
            link.handle(now, Input::Socket(epoch, Event::Written(*written))).for_each(drop);
        }
        Action::Ping { .. }
        | Action::Pong { .. }
        | Action::Abandon { .. }
        | Action::Close { .. }
        | Action::Status { .. }
        | Action::RetryScheduled { .. }
        | Action::Quality { .. }
        | Action::Store { .. }
        | Action::Settled(_)
        | Action::Ended(_) => {}
    }
}
