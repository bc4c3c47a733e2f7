//! `everlink demo` as a process. Faults take the time that they take; upper bounds are generous.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(90);

/// A directory of this test's own.
fn directory(test: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("demo-{test}"));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

fn demo(directory: &Path, flags: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everlink"));
    command
        .arg("demo")
        .args(flags.split_whitespace())
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run(directory: &Path, flags: &str) -> Output {
    timeout(SOON, demo(directory, flags).output()).await.expect("it ends").unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The line that begins with `name`, without it.
#[track_caller]
fn row<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).split_whitespace().collect()
}

#[track_caller]
fn number(text: &str, name: &str) -> usize {
    row(text, name)[0].parse().unwrap()
}

/// Each accepted line is in exactly one row and one column, and nothing is there that may not be.
#[track_caller]
fn check_ledger(text: &str) {
    let counts = |name: &str| -> Vec<usize> {
        row(text, name).iter().filter_map(|number| number.parse().ok()).collect()
    };
    let total = counts("accepted in all");
    assert!(total[0] > 10, "{text}");
    assert_eq!(total[0], total[1..].iter().sum::<usize>(), "{text}");
    let table = text.lines().skip_while(|line| !line.starts_with("the client says")).skip(1);
    let rows = table.take_while(|line| !line.starts_with("accepted in all"));
    let mut sum = vec![0; 4];
    for line in rows {
        let numbers = line.split_whitespace().filter_map(|number| number.parse::<usize>().ok());
        sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        assert!(!line.starts_with("unsettled"), "{text}");
    }
    assert_eq!(sum, total, "{text}");
    assert_eq!(number(text, "received though reported never sent"), 0);
    assert_eq!(number(text, "received but never accepted"), 0);
    assert!(!text.contains("VIOLATION"), "{text}");
}

#[track_caller]
fn check_picture(path: &Path, contains: &str) {
    let svg = fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    assert!(svg.contains(contains), "{svg}");
}

#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("everlink: "), "{error}");
    for word in words {
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(text(&output.stdout), "");
}

#[tokio::test]
async fn a_run_ends_with_a_true_ledger_and_a_picture() {
    let directory = directory("run");
    let output = run(&directory, "--faults drop,restart").await;
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}\n{}", text(&output.stderr));
    check_ledger(&shown);
    assert!(number(&shown, "reconnects") >= 2);
    for name in ["drop  ", "server restart  "] {
        let times = row(&shown, name);
        assert!(times.iter().filter(|word| **word == "s").count() == 4, "{shown}");
    }
    assert!(shown.contains("heartbeat.interval"), "{shown}");
    assert!(!shown.contains('\x1b'), "no colours without a terminal");
    check_picture(&directory.join("everlink-demo.svg"), ">server restart</text>");
}

#[tokio::test]
async fn on_the_raw_wire_what_is_sent_into_a_black_hole_is_lost_and_in_the_ledger() {
    let directory = directory("black-hole");
    fs::write(directory.join("lines"), "one & \"two\"\nthree <four>\n").unwrap();
    let output = run(&directory, "--wire raw --faults black-hole --quiet --input lines --out hole.svg").await;
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}\n{}", text(&output.stderr));
    check_ledger(&shown);
    assert!(number(&shown, "written but never received") > 0, "{shown}");
    assert!(!shown.contains("heartbeat.interval"), "quiet: {shown}");
    check_picture(&directory.join("hole.svg"), ">silent black hole</text>");
}

#[tokio::test]
async fn on_the_native_wire_all_five_faults_lose_nothing_in_less_than_a_minute() {
    let begun = Instant::now();
    let output = run(&directory("all"), "--quiet").await;
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}\n{}", text(&output.stderr));
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    check_ledger(&shown);
    assert!(shown.contains("Lost: 0. Twice: 0. Out of order: 0. In doubt: 0."), "{shown}");
    assert_eq!(row(&shown, "acknowledged  ")[0], row(&shown, "accepted in all")[0], "{shown}");
    let suspended = if cfg!(unix) { "suspended process  " } else { "held driver  " };
    for name in ["drop  ", "server restart  ", "slow network  ", "silent black hole  ", suspended] {
        let times = row(&shown, name);
        assert!(times.iter().filter(|word| **word == "s").count() == 4, "{shown}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_suspended_client_keeps_its_connection_and_loses_nothing() {
    loses_nothing("suspend", "--faults suspend", "suspended process  ").await;
}

#[tokio::test]
async fn a_client_whose_driver_is_held_keeps_its_connection_and_loses_nothing() {
    loses_nothing("hold", "--faults suspend --hold", "held driver  ").await;
}

async fn loses_nothing(test: &str, flags: &str, name: &str) {
    let directory = directory(test);
    let output = run(&directory, flags).await;
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}\n{}", text(&output.stderr));
    check_ledger(&shown);
    assert_eq!(number(&shown, "reconnects"), 0, "{shown}");
    assert_eq!(number(&shown, "written but never received"), 0, "{shown}");
    assert_eq!(row(&shown, name).iter().filter(|word| **word == "s").count(), 4, "noticed: {shown}");
    assert!(shown.contains("is the server still there?"), "{shown}");
}

#[tokio::test]
async fn bad_arguments_are_refused_in_one_line_before_anything_runs() {
    let directory = directory("bad");
    fs::write(directory.join("empty"), "\n \n").unwrap();
    refused(&run(&directory, "--input missing").await, 1, &["cannot read missing"]);
    refused(&run(&directory, "--input empty").await, 1, &["empty"]);
    refused(&run(&directory, "--input .").await, 1, &["cannot read ."]);
    refused(&run(&directory, "--out nowhere/a.svg").await, 1, &["cannot write nowhere/a.svg"]);
    refused(&run(&directory, "--out .").await, 1, &["cannot write ."]);
    refused(&run(&directory, "--faults flood").await, 2, &["flood"]);
    assert!(!directory.join("everlink-demo.svg").exists(), "nothing is left behind");
}

/// Starts, and reads until a line has this word. Gives the rest of the lines as they come.
#[cfg(unix)]
async fn until(process: &mut Child, word: &str) -> tokio::io::Lines<BufReader<tokio::process::ChildStdout>> {
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let wait = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(word) {
                return;
            }
        }
        panic!("it ended before {word}");
    };
    timeout(SOON, wait).await.unwrap_or_else(|_| panic!("no {word}"));
    lines
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_ends_it_with_ledger_and_picture() {
    let directory = directory("ctrl-c");
    let mut process = demo(&directory, "--faults suspend").spawn().unwrap();
    let mut lines = until(&mut process, "FAULT").await;
    let pid = process.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let mut shown = String::new();
    while let Some(line) = timeout(SOON, lines.next_line()).await.expect("it goes on").unwrap() {
        shown += &line;
        shown.push('\n');
    }
    assert_eq!(process.wait().await.unwrap().code(), Some(130), "{shown}");
    check_ledger(&shown);
    check_picture(&directory.join("everlink-demo.svg"), "class=\"band\"");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_client_does_not_outlive_a_demonstration_that_is_killed() {
    let directory = directory("killed");
    let mut process = demo(&directory, "--faults suspend").spawn().unwrap();
    let parent = process.id().unwrap();
    let _lines = until(&mut process, "FAULT").await;
    let child = child_of(parent).expect("a client");
    process.kill().await.unwrap();
    let gone = async {
        while Path::new(&format!("/proc/{child}")).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, gone).await.expect("the client ends by itself");
}

/// The first process whose parent this is.
#[cfg(target_os = "linux")]
fn child_of(parent: u32) -> Option<u32> {
    fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // "pid (name) state ppid …", and the name may hold anything.
        let ppid = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
        (ppid == parent.to_string()).then_some(id)
    })
}
