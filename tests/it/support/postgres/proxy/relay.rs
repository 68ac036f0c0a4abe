//! One connection of a client, and the one to the server that it is forwarded to.

use std::io;
use std::sync::OnceLock;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::frames::{Opening, read_message, read_opening};
use super::{Cut, Orders};

/// How a connection ended.
pub enum End {
    /// As one of its ends wished.
    Closed,
    Cut,
}

/// How many answers reach the client before the one that is withheld, that to its startup included.
type Withheld = OnceLock<usize>;

/// Forwards until an end closes or the connection is to be cut.
pub async fn relay(client: &mut TcpStream, server: &mut TcpStream, orders: &Orders) -> io::Result<End> {
    let has_tags = open(client, server, orders).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    if !has_tags {
        return tokio::select! {
            end = pass_unread(&mut from_client, &mut to_server, orders) => end,
            end = pass_unread(&mut from_server, &mut to_client, orders) => end,
        };
    }
    let (withheld, answered) = (Withheld::new(), watch::Sender::new(0));
    tokio::select! {
        end = pass_requests(from_client, to_server, orders, &withheld, answered.subscribe()) => end,
        end = pass_answers(from_server, to_client, orders, &withheld, &answered) => end,
    }
}

/// Forwards openings up to the last. Whether what follows has tags; else nobody can tell.
async fn open(client: &mut TcpStream, server: &mut TcpStream, orders: &Orders) -> io::Result<bool> {
    while let Some(opening) = read_opening(client).await? {
        orders.not_stalled().await;
        server.write_all(&opening).await?;
        match Opening::of(&opening) {
            Opening::Encryption => {
                let answer = server.read_u8().await?;
                client.write_u8(answer).await?;
                if matches!(answer, b'G' | b'S') {
                    return Ok(false);
                }
            }
            Opening::Last => return Ok(false),
            Opening::Startup => return Ok(true),
        }
    }
    Ok(false)
}

async fn pass_unread(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    orders: &Orders,
) -> io::Result<End> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut bytes).await?;
        if read == 0 {
            return Ok(End::Closed);
        }
        orders.not_stalled().await;
        to.write_all(&bytes[..read]).await?;
    }
}

async fn pass_requests(
    client: impl AsyncRead + Unpin,
    mut server: impl AsyncWrite + Unpin,
    orders: &Orders,
    withheld: &Withheld,
    mut answered: watch::Receiver<usize>,
) -> io::Result<End> {
    let mut client = BufReader::new(client);
    let mut asked = 1;
    while let Some(message) = read_message(&mut client).await? {
        orders.not_stalled().await;
        let cut = orders.count(message[0]);
        if cut == Some(Cut::Before) {
            // A password is part of what is answered first.
            if message[0] != b'p' {
                answered.wait_for(|answered| *answered == asked).await.expect("the sender is the caller's");
            }
            return Ok(End::Cut);
        }
        if cut == Some(Cut::Answer) {
            withheld.get_or_init(|| asked);
        }
        // FunctionCall, Query and Sync are answered up to a ReadyForQuery each.
        asked += usize::from(matches!(message[0], b'F' | b'Q' | b'S'));
        server.write_all(&message).await?;
        if cut == Some(Cut::Behind) {
            return Ok(End::Cut);
        }
    }
    Ok(End::Closed)
}

async fn pass_answers(
    server: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
    orders: &Orders,
    withheld: &Withheld,
    answered: &watch::Sender<usize>,
) -> io::Result<End> {
    let mut server = BufReader::new(server);
    while let Some(message) = read_message(&mut server).await? {
        orders.not_stalled().await;
        let is_withheld = withheld.get().is_some_and(|before| *answered.borrow() >= *before);
        let is_last = message[0] == b'Z'; // ReadyForQuery
        if is_withheld && is_last {
            return Ok(End::Cut);
        }
        if !is_withheld {
            client.write_all(&message).await?;
            answered.send_modify(|answered| *answered += usize::from(is_last));
        }
    }
    Ok(End::Closed)
}
