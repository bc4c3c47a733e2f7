//! A WebSocket client for a server of test cases: asks how many there are, sends back whatever each sends, and has the report
//! written at the end. `cargo run -p everlink-tokio --example ws_echo_client ws://127.0.0.1:9001`.

use everlink_tokio::Target;
use everlink_tokio::ws::{Event, Options, connect};

type Error = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).ok_or("usage: ws_echo_client URL")?;
    let url = url.trim_end_matches('/');
    let mut socket = connect(&Target::new(&format!("{url}/getCaseCount"))?, None, Options::default()).await?;
    let mut count: u32 = 0;
    while let Some(event) = socket.next().await {
        if let Event::Message { data, .. } = event {
            count = std::str::from_utf8(data)?.trim().parse()?;
        }
    }
    for case in 1..=count {
        eprintln!("case {case} of {count}");
        if let Err(error) = echo(&format!("{url}/runCase?case={case}&agent=everlink")).await {
            eprintln!("case {case}: {error}");
        }
    }
    let target = Target::new(&format!("{url}/updateReports?agent=everlink"))?;
    connect(&target, None, Options::default()).await?.end().await;
    Ok(())
}

async fn echo(url: &str) -> Result<(), Error> {
    let mut options = Options::default();
    options.limits.deflate = Some(Default::default());
    let mut socket = connect(&Target::new(url)?, None, options).await?;
    while let Some((event, mut reply)) = socket.next_with_reply().await {
        match event {
            Event::Message { kind, data } => reply.send(kind, data)?,
            Event::Failed(error) => eprintln!("{error}"),
            _ => {}
        }
    }
    Ok(())
}
