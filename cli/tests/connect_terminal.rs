//! `everlink connect` at a terminal: the status line, and `NO_COLOR`.
#![cfg(unix)]

mod connect_process;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use connect_process::{EVERLINK, Echo, QUICK, SOON};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout, timeout_at};

/// A terminal of 24 rows, and all that was shown on it.
struct Terminal {
    keyboard: File,
    shown: UnboundedReceiver<Vec<u8>>,
    text: String,
}

impl Terminal {
    /// The terminal, and the side that programs see.
    fn new(columns: u16) -> (Terminal, File) {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        let no_control = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
        let program = OpenOptions::new().read(true).write(true).custom_flags(no_control).open(name).unwrap();
        tcsetwinsize(&program, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let keyboard = File::from(keyboard);
        let mut screen = keyboard.try_clone().unwrap();
        let (sender, shown) = unbounded_channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error is its end: no program has it any more.
            while let Ok(len @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        (Terminal { keyboard, shown, text: String::new() }, program)
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown after what was waited for before; gives what came with it.
    async fn shows(&mut self, wanted: &str) -> String {
        let until = Instant::now() + SOON;
        loop {
            if let Some(at) = self.text.find(wanted) {
                let rest = self.text.split_off(at + wanted.len());
                return std::mem::replace(&mut self.text, rest);
            }
            let more = timeout_at(until, self.shown.recv()).await;
            match more.unwrap_or_else(|_| panic!("no {wanted:?} in {:?}", self.text)) {
                Some(more) => self.text.push_str(&String::from_utf8_lossy(&more)),
                None => panic!("it ended without {wanted:?}: {:?}", self.text),
            }
        }
    }

    async fn rest(mut self) -> String {
        while let Some(more) = timeout(SOON, self.shown.recv()).await.expect("it ends") {
            self.text.push_str(&String::from_utf8_lossy(&more));
        }
        self.text
    }
}

fn connect(url: &str, stdin: Stdio, stdout: Stdio, stderr: File, no_color: &str) -> Child {
    Command::new(EVERLINK)
        .args(["connect", url])
        .args(QUICK.split_whitespace())
        .env("TERM", "xterm")
        .env("NO_COLOR", no_color)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn code(mut process: Child) -> Option<i32> {
    timeout(SOON, process.wait()).await.expect("it ends").unwrap().code()
}

#[tokio::test]
async fn the_status_line_is_redrawn_in_its_place_and_gone_at_the_end() {
    let echo = Echo::start().await;
    let addr = echo.server.local_addr();
    let (mut terminal, program) = Terminal::new(120);
    let mut process = connect(&echo.url(), Stdio::piped(), Stdio::null(), program, "");
    let shown = terminal.shows("\r\x1b[2K\x1b[32m● connected\x1b[0m").await;
    assert!(!shown.contains('\n'), "it moves: {shown:?}");
    let Echo { server, events } = echo;
    server.kill().await;
    drop(events);
    terminal.shows("\r\x1b[2K\x1b[31m○ disconnected\x1b[0m").await;
    terminal.shows("  retry ").await;
    terminal.shows("  queue 0 (0 B)  sent 0  received 0  lost 1×").await;
    let _echo = Echo::again(addr).await;
    terminal.shows("\r\x1b[2K\x1b[32m● connected\x1b[0m").await;
    drop(process.stdin.take());
    assert_eq!(code(process).await, Some(0));
    let rest = terminal.rest().await;
    let last = rest.rsplit("\x1b[2K").next().unwrap_or_default();
    assert!(!last.contains("connected"), "the status line is left: {rest:?}");
}

#[tokio::test]
async fn without_colours_the_words_are_the_same() {
    let echo = Echo::start().await;
    let (mut terminal, program) = Terminal::new(120);
    let mut process = connect(&echo.url(), Stdio::piped(), Stdio::null(), program, "1");
    let before = terminal.shows("\r\x1b[2K● connected  ").await;
    drop(process.stdin.take());
    assert_eq!(code(process).await, Some(0));
    let shown = before + &terminal.rest().await;
    assert!(!shown.contains("\x1b[3"), "colours: {shown:?}");
}

#[tokio::test]
async fn what_is_typed_scrolls_above_the_status_line() {
    let echo = Echo::start().await;
    let (mut terminal, program) = Terminal::new(40);
    let other = || Stdio::from(program.try_clone().unwrap());
    let process = connect(&echo.url(), other(), other(), program.try_clone().unwrap(), "1");
    drop(program);
    terminal.shows("\x1b[1;23r").await;
    terminal.shows("\x1b7\x1b[24;1H\x1b[2K● connected").await;
    let line = terminal.shows("\x1b8").await;
    let width = "● connected".chars().count() + line.chars().count() - "\x1b8".len();
    assert!(width < 40, "wider than the terminal: {line:?}");
    terminal.types("hello\n");
    terminal.shows("hello\r\n").await;
    terminal.shows("hello\r\n").await;
    terminal.types("\x04");
    assert_eq!(code(process).await, Some(0));
    let rest = terminal.rest().await;
    assert!(rest.contains("\x1b[24;1H\x1b[2K\x1b[r\x1b8"), "the terminal is left as it is: {rest:?}");
}
