//! The messages of PostgreSQL's protocol (version 3.0) as far as it takes to tell them apart.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The first message of a connection, which has no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// To be answered by one byte: `S` or `G`, and what follows is encrypted; else another opening follows.
    Encryption,
    /// A cancellation, or an opening nobody knows: the server closes.
    Last,
    /// What follows has tags, in both directions.
    Startup,
}

impl Opening {
    /// Of a whole message.
    pub fn of(message: &[u8]) -> Self {
        const GSS_ENCRYPTION: u32 = 80_877_104;
        const SSL: u32 = 80_877_103;
        let code = message.get(4..8).and_then(|code| code.try_into().ok()).map_or(0, u32::from_be_bytes);
        match code {
            GSS_ENCRYPTION | SSL => Self::Encryption,
            code if code >> 16 == 3 => Self::Startup,
            _ => Self::Last,
        }
    }
}

/// Reads a message without a tag.
pub async fn read_opening(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    read::<4>(reader).await
}

/// Reads a message, of which the first byte is the tag.
pub async fn read_message(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    read::<5>(reader).await
}

/// `HEAD`: how many bytes there are up to the end of the length, which counts itself and what follows it. `None`:
/// nothing comes any more.
async fn read<const HEAD: usize>(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut message = vec![0; HEAD];
    if reader.read(&mut message[..1]).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut message[1..]).await?;
    let length = message[HEAD - 4..].try_into().map(u32::from_be_bytes).expect("four bytes");
    let rest = length.checked_sub(4).ok_or(io::ErrorKind::InvalidData)?;
    message.resize(HEAD + rest as usize, 0);
    reader.read_exact(&mut message[HEAD..]).await?;
    Ok(Some(message))
}
