//! A WebSocket server that sends back what it gets: `cargo run -p everlink-tokio --example ws_echo_server 127.0.0.1:9001`.

use everlink_tokio::ws::{Event, Options, accept};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: ws_echo_server ADDR")?;
    let listener = TcpListener::bind(&address).await?;
    println!("ws://{}", listener.local_addr()?);
    loop {
        let (tcp, peer) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = echo(tcp).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

async fn echo(tcp: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
    tcp.set_nodelay(true)?;
    let mut options = Options::default();
    options.limits.deflate = Some(Default::default());
    let mut socket = accept(tcp, options).await?.agree(&Default::default())?;
    while let Some((event, mut reply)) = socket.next_with_reply().await {
        match event {
            Event::Message { kind, data } => reply.send(kind, data)?,
            Event::Failed(error) => eprintln!("{error}"),
            _ => {}
        }
    }
    Ok(())
}
