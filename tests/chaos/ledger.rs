//! The oracle: what one end sent, how it was said to end, and what the other end got.

use std::collections::HashMap;

use everlink::outbox::{MessageId, Outcome, Priority};

/// Who counts the ids: a link until its memory is lost, or one session of a server.
pub type Owner = u64;

#[derive(Clone, Debug)]
struct Sent {
    owner: Owner,
    id: MessageId,
    priority: Priority,
    /// A keyed message has the place of its older self.
    keyed: bool,
    end: Option<Outcome>,
    got: u32,
    memory: Memory,
}

/// Whether its sender still knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    Kept,
    /// Its process was killed, and nothing can be said of it but that it does not arrive twice.
    Lost,
    /// Its process was killed before it was stored: it never left.
    NeverStored,
}

/// All messages of one direction.
#[derive(Debug)]
pub struct Ledger {
    name: &'static str,
    sent: Vec<Sent>,
    ids: HashMap<(Owner, MessageId), usize>,
    /// The last one that arrived for the first time, of each owner and priority.
    last: HashMap<(Owner, Priority), usize>,
    /// Came behind one that was sent later; each with that one.
    late: Vec<(usize, usize)>,
    /// Whether a message may be in doubt by now.
    pub doubts: bool,
    /// Whether a message may arrive twice by now.
    pub repeats: bool,
}

pub type Broken = Result<(), String>;

impl Ledger {
    pub fn new(name: &'static str) -> Ledger {
        Ledger {
            name,
            sent: Vec::new(),
            ids: HashMap::new(),
            last: HashMap::new(),
            late: Vec::new(),
            doubts: false,
            repeats: false,
        }
    }

    /// The number of the next message.
    pub fn next(&self) -> usize {
        self.sent.len()
    }

    pub fn accepted(&mut self, owner: Owner, id: MessageId, priority: Priority, keyed: bool) -> Broken {
        let number = self.sent.len();
        self.sent.push(Sent { owner, id, priority, keyed, end: None, got: 0, memory: Memory::Kept });
        match self.ids.insert((owner, id), number) {
            Some(other) => Err(format!("{} {number} has the id {id}, as {other} has", self.name)),
            None => Ok(()),
        }
    }

    /// The end of a message; gives its number.
    pub fn settled(&mut self, owner: Owner, id: MessageId, outcome: Outcome) -> Result<usize, String> {
        let name = self.name;
        let number =
            *self.ids.get(&(owner, id)).ok_or(format!("{name}: nobody sent {id}, and it is {outcome:?}"))?;
        let sent = &mut self.sent[number];
        let wrong = match (sent.end.replace(outcome), outcome) {
            (Some(other), _) => format!("has two ends, {other:?} and {outcome:?}"),
            (None, Outcome::Acknowledged) if sent.got == 0 => "is acknowledged, and did not come".into(),
            (None, Outcome::InDoubt) if !self.doubts => "is in doubt, while both ends remember it".into(),
            (None, Outcome::Written) => "is said to be written, on a wire that acknowledges".into(),
            (None, _) if outcome.never_sent() && sent.got > 0 => format!("is {outcome:?}, and came"),
            (None, _) => return Ok(number),
        };
        Err(format!("{name} {number} {wrong}"))
    }

    /// Of the message with this id.
    pub fn number_of(&self, owner: Owner, id: MessageId) -> Result<usize, String> {
        self.ids.get(&(owner, id)).copied().ok_or(format!("{}: nobody sent {id}", self.name))
    }

    /// A message of this number came.
    pub fn got(&mut self, number: usize) -> Broken {
        let name = self.name;
        let sent = self.sent.get_mut(number).ok_or(format!("{name} {number} came, and nobody sent it"))?;
        sent.got += 1;
        if let Some(end) = sent.end.filter(|end| end.never_sent()) {
            return Err(format!("{name} {number} is {end:?}, and came"));
        }
        if sent.memory == Memory::NeverStored {
            return Err(format!("{name} {number} was not stored, and came"));
        }
        if sent.got > 1 {
            return if self.repeats { Ok(()) } else { Err(format!("{name} {number} came twice")) };
        }
        if sent.keyed {
            return Ok(());
        }
        let last = self.last.entry((sent.owner, sent.priority)).or_default();
        if *last > number {
            self.late.push((number, *last));
        }
        *last = number.max(*last);
        Ok(())
    }

    /// Both ends were looked at up to now. Only what is in doubt may come late: it was in flight in a session that is no more, and
    /// comes behind what another one brought.
    pub fn looked(&mut self) -> Broken {
        let wrong = self.late.drain(..).find(|(number, _)| self.sent[*number].end != Some(Outcome::InDoubt));
        match wrong {
            Some((number, before)) => Err(format!("{} {number} came after {before}", self.name)),
            None => Ok(()),
        }
    }

    // What a process that was killed and restored does not know of.

    pub fn undo_accepted(&mut self, number: usize) -> Broken {
        let sent = &mut self.sent[number];
        sent.memory = Memory::NeverStored;
        self.ids.remove(&(sent.owner, sent.id));
        if sent.got > 0 { Err(format!("{} {number} was not stored, and came", self.name)) } else { Ok(()) }
    }

    pub fn undo_settled(&mut self, number: usize) {
        self.sent[number].end = None;
    }

    pub fn undo_got(&mut self, number: usize) {
        let sent = &mut self.sent[number];
        sent.got -= 1;
        let (owner, priority) = (sent.owner, sent.priority);
        // They are undone from the last to the first.
        let before = (0..number).rev().find(|other| {
            let other = &self.sent[*other];
            other.got > 0 && !other.keyed && (other.owner, other.priority) == (owner, priority)
        });
        match before {
            Some(before) => drop(self.last.insert((owner, priority), before)),
            None => drop(self.last.remove(&(owner, priority))),
        }
    }

    /// All that this owner knew is lost.
    pub fn forget(&mut self, owner: Owner) {
        for sent in &mut self.sent {
            if sent.owner == owner && sent.end.is_none() {
                sent.memory = Memory::Lost;
            }
        }
    }

    /// When all is quiet: each message has an end.
    pub fn close(&self) -> Broken {
        let open = |sent: &Sent| sent.end.is_none() && sent.memory == Memory::Kept;
        match self.sent.iter().position(open) {
            Some(number) => Err(format!("{} {number} has no end", self.name)),
            None => Ok(()),
        }
    }

    pub fn count(&self, outcome: Outcome) -> u64 {
        self.sent.iter().filter(|sent| sent.end == Some(outcome)).count() as u64
    }

    /// How many ended in such a way.
    pub fn ended(&self, such: impl Fn(Outcome) -> bool) -> u64 {
        self.sent.iter().filter(|sent| sent.end.is_some_and(&such)).count() as u64
    }

    pub fn len(&self) -> u64 {
        self.sent.len() as u64
    }

    pub fn arrived(&self) -> u64 {
        self.sent.iter().filter(|sent| sent.got > 0).count() as u64
    }

    /// One that was accepted last and has no end yet.
    pub fn latest(&self, owner: Owner) -> Option<MessageId> {
        let open =
            |sent: &&Sent| sent.owner == owner && sent.end.is_none() && sent.memory != Memory::NeverStored;
        self.sent.iter().rev().find(open).map(|sent| sent.id)
    }
}
