//! The states of a server's sessions in one file, for the durable mode: each is appended when it changes, and now and then the
//! file is written anew without what was superseded.
//!
//! ```text
//!   magic │ length, check sum, session, state │ length, check sum, session, state │ …       an empty state: the session is no more
//! ```

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use everlink::acceptor::SessionId;

use super::hub::Hub;
use crate::state::{Lock, create, replace, sync_directory};

const MAGIC: &[u8] = b"everlink sessions 1\n";
/// Length and check sum, and the session's number.
const HEAD: usize = 16;
/// A file below this is not written anew.
const SMALL: u64 = 1 << 20;
/// How much is appended at a time.
const BATCH: usize = 4 << 20;
/// How long after a failure it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

static CHECK: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// What happened to a session.
enum Order {
    Store { session: SessionId, version: u64, state: Vec<u8> },
    Forget(SessionId),
}

/// The way to the thread that writes the file.
pub(super) struct Journal {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

/// A file that was read, and is to be gone on with.
pub(super) struct Opened {
    lock: Lock,
    log: Log,
    /// The last state of each session, and how long ago the last of all was stored.
    pub(super) states: Vec<Vec<u8>>,
    pub(super) away: Duration,
}

/// Reads what is there; a file that is not there is empty.
pub(super) fn open(path: PathBuf) -> io::Result<Opened> {
    let lock = Lock::take(&path)?;
    let (bytes, away) = match fs::read(&path) {
        Ok(bytes) => {
            let stored = fs::metadata(&path)?.modified()?;
            // A clock that was set back says nothing.
            (bytes, SystemTime::now().duration_since(stored).unwrap_or_default())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (MAGIC.to_vec(), Duration::ZERO),
        Err(error) => return Err(error),
    };
    let states = read(&bytes)?;
    let log = Log::anew(path, &states)?;
    Ok(Opened { lock, log, states: states.into_iter().map(|(_, state)| state.to_vec()).collect(), away })
}

impl Opened {
    /// Goes on with the file, and tells the hub what is stored.
    pub(super) fn write(self, hub: Weak<Hub>) -> io::Result<Journal> {
        let (orders, received) = channel();
        let Opened { lock, mut log, .. } = self;
        let thread = thread::Builder::new().name("everlink-state".to_owned()).spawn(move || {
            log.run(&received, &hub);
            drop(lock);
        })?;
        Ok(Journal { orders: Some(orders), thread: Some(thread) })
    }
}

impl Journal {
    pub(super) fn store(&self, session: SessionId, version: u64, state: Vec<u8>) {
        self.order(Order::Store { session, version, state });
    }

    pub(super) fn forget(&self, session: SessionId) {
        self.order(Order::Forget(session));
    }

    fn order(&self, order: Order) {
        // The thread ends after this.
        let _ = self.orders.as_ref().map(|orders| orders.send(order));
    }

    /// Nothing more will come. Gives the thread that writes the rest.
    pub(super) fn finish(&mut self) -> Option<JoinHandle<()>> {
        self.orders = None;
        self.thread.take()
    }
}

/// The last state of each session, in the order of the sessions' numbers. The end may be torn: nothing depends on it.
fn read(bytes: &[u8]) -> io::Result<Vec<(u64, &[u8])>> {
    let damaged = |at: usize| {
        let words = format!("the states are damaged at byte {at}");
        io::Error::new(io::ErrorKind::InvalidData, words)
    };
    let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged(0))?;
    let mut states = HashMap::new();
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let Some((head, body)) = rest.split_first_chunk::<HEAD>() else { break };
        let [length, check] = [0, 4].map(|from| u32_at(head, from));
        let Some((state, others)) = body.split_at_checked(length as usize) else { break };
        if check != check_sum(&head[8..], state) {
            // A tail that was being written when power was lost may hold anything, but nothing follows.
            if others.is_empty() || rest.iter().all(|byte| *byte == 0) {
                break;
            }
            return Err(damaged(at));
        }
        let session = u64::from_le_bytes(head[8..].try_into().expect("8 bytes"));
        if state.is_empty() {
            states.remove(&session);
        } else {
            states.insert(session, state);
        }
        rest = others;
    }
    let mut states: Vec<_> = states.into_iter().collect();
    states.sort_unstable();
    Ok(states)
}

fn u32_at(head: &[u8; HEAD], from: usize) -> u32 {
    u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]])
}

fn check_sum(session: &[u8], state: &[u8]) -> u32 {
    let mut digest = CHECK.digest();
    digest.update(session);
    digest.update(state);
    digest.finalize()
}

fn put(buffer: &mut Vec<u8>, session: u64, state: &[u8]) {
    let session = session.to_le_bytes();
    // A state is as long as a session's queue, at most: far from 4 GiB.
    buffer.extend_from_slice(&(state.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&check_sum(&session, state).to_le_bytes());
    buffer.extend_from_slice(&session);
    buffer.extend_from_slice(state);
}

/// The file.
struct Log {
    path: PathBuf,
    /// `None` if it has to be looked which file is there.
    file: Option<File>,
    /// How much of it is good.
    len: u64,
    /// How long the last state of each session is.
    live: HashMap<u64, u64>,
}

impl Log {
    /// A file of just these states takes the place of what is there.
    fn anew(path: PathBuf, states: &[(u64, &[u8])]) -> io::Result<Log> {
        let mut whole = MAGIC.to_vec();
        states.iter().for_each(|(session, state)| put(&mut whole, *session, state));
        if !path.exists() {
            create(&path)?;
            sync_directory(&path)?;
        }
        replace(&path, &whole)?;
        let live = states.iter().map(|(session, state)| (*session, state.len() as u64)).collect();
        let mut log = Log { path, file: None, len: 0, live };
        log.file()?;
        Ok(log)
    }

    /// All of what is there is good.
    fn file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let mut file = fs::OpenOptions::new().write(true).open(&self.path)?;
            self.len = file.seek(SeekFrom::End(0))?;
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn run(&mut self, orders: &Receiver<Order>, hub: &Weak<Hub>) {
        while let Ok(first) = orders.recv() {
            let (mut buffer, mut done) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(order) = next {
                match order {
                    Order::Store { session, version, state } => {
                        put(&mut buffer, session.number(), &state);
                        self.live.insert(session.number(), state.len() as u64);
                        done.push((session, version));
                    }
                    Order::Forget(session) => {
                        // One of which nothing was stored need not be forgotten.
                        if self.live.remove(&session.number()).is_some() {
                            put(&mut buffer, session.number(), &[]);
                        }
                    }
                }
                next = if buffer.len() < BATCH { orders.try_recv().ok() } else { None };
            }
            // Whatever depends on it waits; a full disk may have room again.
            while self.append(&buffer).is_err() {
                if hub.strong_count() == 0 {
                    return;
                }
                thread::sleep(PAUSE);
            }
            if let Some(hub) = hub.upgrade() {
                hub.stored(&done);
            }
            self.shrink();
        }
    }

    fn append(&mut self, buffer: &[u8]) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let file = self.file()?;
        let written = file.write_all(buffer).and_then(|()| file.sync_data());
        if written.is_err() {
            // The next attempt begins where this one did.
            let len = self.len;
            let file = self.file()?;
            file.set_len(len)?;
            file.seek(SeekFrom::Start(len))?;
            return written;
        }
        self.len += buffer.len() as u64;
        Ok(())
    }

    /// Writes the file anew when most of it was superseded. If that fails, it grows.
    fn shrink(&mut self) {
        let live: u64 = self.live.values().map(|len| len + HEAD as u64).sum();
        if self.len < SMALL || self.len / 4 < live {
            return;
        }
        let anew = fs::read(&self.path).and_then(|bytes| Log::anew(self.path.clone(), &read(&bytes)?));
        match anew {
            Ok(log) => *self = log,
            // It may have taken its place for all that.
            Err(_) => self.file = None,
        }
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}
