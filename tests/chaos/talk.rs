//! Requests, subscriptions and what is published, in a world that does its worst: what an oracle knows of them.
//!
//! A request ends once, whatever becomes of it. As long as its session is resumed it is never in doubt, and never done twice. What is
//! published on a channel comes in order and at most once; and when all is well again, it comes to who wants it, and to nobody else.

use std::collections::{BTreeMap, BTreeSet};

use everlink::channels::SubscriptionId;
use everlink::dialogue::{Ask, Content};
use everlink::requests::End as Ending;
use everlink::sim::{Said, Sim};

use super::host::Host;
use super::ledger::Broken;
use super::run::Done;

pub const CHANNELS: [&str; 3] = ["ink", "chat", "news"];

/// What is known of one request.
#[derive(Debug)]
struct Request {
    what: String,
    /// It may be done twice if its session is lost.
    again: bool,
    ends: Vec<How>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Answered,
    Refused(u32),
    None(Ending),
}

/// Those of one end.
#[derive(Debug, Default)]
struct Requests {
    /// By session (0 for the client's) and id.
    pending: BTreeMap<(u64, u32), Request>,
    count: u64,
}

impl Requests {
    fn ended(&mut self, key: (u64, u32), how: How) -> Broken {
        let request = self.pending.get_mut(&key).ok_or(format!("{how:?}, and nobody asked {key:?}"))?;
        request.ends.push(how);
        if request.ends.len() > 1 {
            return Err(format!("request {:?} has ended more than once: {:?}", request.what, request.ends));
        }
        Ok(())
    }

    /// Those that have ended were done at most once, unless they may be done again.
    fn looked(&mut self, done: &BTreeMap<String, u32>, lost: bool, resends: bool) -> Broken {
        for request in self.pending.values() {
            let times = done.get(&request.what).copied().unwrap_or(0);
            let Request { what, again, ends } = request;
            if times > 1 && !(lost && (*again || resends)) {
                return Err(format!("request {what:?} was done {times} times"));
            }
            match ends.first() {
                Some(How::None(Ending::InDoubt)) if !lost => {
                    return Err(format!("request {what:?} is in doubt, and its session goes on"));
                }
                Some(How::Answered) if times == 0 => {
                    return Err(format!("request {what:?} was answered, and nobody did it"));
                }
                Some(How::None(Ending::NeverSent(why))) if times > 0 => {
                    return Err(format!("request {what:?} was never sent ({why:?}), and was done"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Broken {
        match self.pending.values().find(|request| request.ends.is_empty()) {
            Some(request) => Err(format!("request {:?} has no end", request.what)),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Default)]
pub struct Talk {
    of_client: Requests,
    of_server: Requests,
    /// How often each was done at the other end.
    done: BTreeMap<String, u32>,
    wanted: BTreeMap<SubscriptionId, usize>,
    /// The last number that came on each channel, and the last that was published.
    came: [u64; CHANNELS.len()],
    published: u64,
    numbers: u64,
    /// Asked of the client, and not answered yet.
    owed: Vec<u32>,
    /// What came on channels lately.
    lately: BTreeSet<(usize, u64)>,
}

impl Talk {
    fn name(&mut self, end: &str) -> String {
        self.numbers += 1;
        format!("{end} {}", self.numbers)
    }

    /// The client asks something.
    pub fn ask(
        &mut self,
        sim: &mut Sim<Host>,
        again: bool,
        displaced: impl FnMut(everlink::outbox::Settlement),
    ) {
        let (what, mut displaced) = (self.name("client's"), displaced);
        let mut ask = Ask::command("do", &*what);
        ask.again = again;
        if let Ok(id) = sim.with_link(|link, now| link.request(now, &ask, |gone, _| displaced(gone))) {
            self.asked((0, id.get()), what, again);
        }
    }

    /// The server asks something of its client.
    pub fn ask_client(&mut self, sim: &mut Sim<Host>) {
        let what = self.name("server's");
        let asked = sim.with_server(|host, now, out| host.ask(now, &Ask::command("do", &*what), out));
        if let Some((session, id)) = asked {
            self.asked((session, id.get()), what, false);
        }
    }

    fn asked(&mut self, key: (u64, u32), what: String, again: bool) {
        // An id is free again when its request has ended.
        self.of(key.0).count += 1;
        self.of(key.0).pending.insert(key, Request { what, again, ends: Vec::new() });
    }

    fn of(&mut self, session: u64) -> &mut Requests {
        if session == 0 { &mut self.of_client } else { &mut self.of_server }
    }

    pub fn subscribe(&mut self, sim: &mut Sim<Host>, which: usize) {
        if let Ok(id) = sim.with_link(|link, now| link.subscribe(now, CHANNELS[which])) {
            self.wanted.insert(id, which);
        }
    }

    pub fn unsubscribe(&mut self, sim: &mut Sim<Host>, which: usize) -> Broken {
        let Some(id) = self.wanted.iter().find(|(_, other)| **other == which).map(|(id, _)| *id) else {
            return Ok(());
        };
        self.wanted.remove(&id);
        if sim.with_link(|link, now| link.unsubscribe(now, id)) {
            Ok(())
        } else {
            Err(format!("{id:?} is not known"))
        }
    }

    pub fn publish(&mut self, sim: &mut Sim<Host>, which: usize) {
        self.published += 1;
        let data = self.published.to_string();
        sim.with_server(|host, now, out| host.publish(now, CHANNELS[which], Content::Text(&data), out));
    }

    /// A request of either end (0 for the client) has ended.
    pub fn ended(&mut self, session: u64, id: u32, how: How) -> Broken {
        self.of(session).ended((session, id), how)
    }

    /// Another process does not know of it, and does it again when it comes again.
    pub fn undo_done(&mut self, what: &[u8]) {
        *self.done.entry(String::from_utf8_lossy(what).into_owned()).or_default() -= 1;
    }

    pub fn undo_came(&mut self, which: usize, before: u64) {
        self.came[which] = before;
    }

    pub fn done(&mut self, what: &[u8]) {
        *self.done.entry(String::from_utf8_lossy(what).into_owned()).or_default() += 1;
    }

    /// The client was told. Gives what another process would not know of.
    pub fn heard(&mut self, said: &Said) -> Result<Option<Done>, String> {
        match said {
            Said::Asked { id, data, .. } => {
                self.done(data);
                self.owed.push(*id);
                return Ok(Some(Done::Asked(data.clone())));
            }
            Said::Answered { id, .. } => self.ended(0, *id, How::Answered)?,
            Said::Refused { id, code } => self.ended(0, *id, How::Refused(*code))?,
            Said::Subscribed { .. } => {}
            Said::Unsubscribed { id, .. } => {
                return Err(format!("{id:?} was refused, and nobody refuses it"));
            }
            Said::Broadcast { subscription, data } => {
                let which = subscription.and_then(|id| self.wanted.get(&id).copied());
                let which = which.ok_or(format!("a broadcast of {subscription:?}, which nobody wants"))?;
                let number = str::from_utf8(data).ok().and_then(|text| text.parse().ok());
                let number: u64 = number.ok_or("a broadcast that nobody published")?;
                let before = core::mem::replace(&mut self.came[which], number);
                if number <= before {
                    return Err(format!("{number} came behind {before} on {}", CHANNELS[which]));
                }
                self.lately.insert((which, number));
                return Ok(Some(Done::Came(which, before)));
            }
        }
        Ok(None)
    }

    /// The client's application answers what it was asked; in a session that is gone nobody waits for it.
    pub fn answer(&mut self, sim: &mut Sim<Host>) -> Vec<everlink::outbox::Settlement> {
        let mut displaced = Vec::new();
        for id in self.owed.drain(..) {
            sim.with_link(|link, now| {
                let _ = link.respond(now, id, Content::Text("done"), |gone, _| displaced.push(gone));
            });
        }
        displaced
    }

    pub fn looked(&mut self, lost: bool, resends: bool) -> Broken {
        self.of_client.looked(&self.done, lost, resends)?;
        self.of_server.looked(&self.done, lost, resends)
    }

    /// The client's process forgot all; another one knows nothing of what the last one wanted.
    pub fn forget_client(&mut self) {
        self.of_client.pending.clear();
        self.owed.clear();
        self.wanted.clear();
    }

    /// The server's process forgot all.
    pub fn forget_server(&mut self) {
        self.of_server.pending.clear();
    }

    /// All is quiet.
    pub fn close(&mut self) -> Broken {
        self.of_client.close()?;
        self.of_server.close()
    }

    /// From now on something is published on each channel.
    pub fn begin_last(&mut self) {
        self.lately.clear();
    }

    /// It has come to who wants it.
    pub fn all_came(&self) -> Broken {
        let came: BTreeSet<usize> = self.lately.iter().map(|(which, _)| *which).collect();
        let wanted: BTreeSet<usize> = self.wanted.values().copied().collect();
        if came == wanted { Ok(()) } else { Err(format!("what is wanted: {wanted:?}; what came: {came:?}")) }
    }

    /// The server knows what its client wants, and nothing else: not what a process of before wanted, either.
    pub fn is_known(&self, host: &Host) -> Broken {
        let wanted = |which: usize| usize::from(self.wanted.values().any(|wanted| *wanted == which));
        let wrong = (0..CHANNELS.len()).find(|which| host.subscribers(CHANNELS[*which]) != wanted(*which));
        wrong.map_or(Ok(()), |which| {
            let subscribers = host.subscribers(CHANNELS[which]);
            Err(format!("{} has {subscribers} subscribers, and {} want it", CHANNELS[which], wanted(which)))
        })
    }

    /// How many requests there were.
    pub fn len(&self) -> u64 {
        self.of_client.count + self.of_server.count
    }
}
