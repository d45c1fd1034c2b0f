//! A connection as an enemy uses it: frames over a plain socket, and a handshake whose steps can be left out.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::noise::{Claim, Noise, Session};

/// The longest wait for anything: a test fails then, it does not hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The longest frame after the handshake: header, payload, tag.
pub(crate) const MAX_FRAME_BYTES: usize = 8 + 12_288 + 16;

/// The longest frame before.
pub(crate) const MAX_GREETING_BYTES: usize = 1_024;

/// What begins a frame before the session: a Noise message, or a refusal.
pub(crate) const HANDSHAKE: u8 = 0;
pub(crate) const REFUSAL: u8 = 1;

/// One connection, as a stranger may use it.
pub(crate) struct Wire {
    pub(crate) socket: TcpStream,
}

impl Wire {
    /// A TCP connection, and nothing said on it.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// The same from another address of this machine.
    pub(crate) fn connect_from(here: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(here, 0).into())?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        Self::over(socket.into())
    }

    pub(crate) fn over(socket: TcpStream) -> io::Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Self { socket })
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// One frame with these bytes, whatever they are.
    pub(crate) fn frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.raw(&framed(bytes))
    }

    /// One frame of the handshake.
    pub(crate) fn greeting(&mut self, message: &[u8]) -> io::Result<()> {
        self.frame(&[&[HANDSHAKE], message].concat())
    }

    /// The next frame's bytes.
    pub(crate) fn read_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 2];
        self.socket.read_exact(&mut length)?;
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        self.socket.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The other side's next handshake message; a refusal is an error that says its code.
    pub(crate) fn read_greeting(&mut self) -> io::Result<Vec<u8>> {
        match self.read_frame()?.split_first() {
            Some((&HANDSHAKE, message)) => Ok(message.to_vec()),
            Some((&REFUSAL, code)) => Err(io::Error::other(format!("refused: {}", hex::encode(code)))),
            other => Err(io::Error::other(format!("neither greeting nor refusal: {other:?}"))),
        }
    }

    /// The whole handshake as the side that dials.
    pub(crate) fn greet(&mut self, claim: &Claim) -> io::Result<Session> {
        let mut noise = Noise::dial(claim);
        self.greeting(&noise.write())?;
        let answer = self.read_greeting()?;
        noise.read(&answer).map_err(io::Error::other)?;
        self.greeting(&noise.write())?;
        Ok(noise.finish())
    }

    /// The whole handshake as the side that was dialled; gives whom the dialler says it is, too.
    pub(crate) fn be_greeted(&mut self, claim: &Claim) -> io::Result<(Session, [u8; 32])> {
        let mut noise = Noise::answer(claim);
        let first = self.read_greeting()?;
        noise.read(&first).map_err(io::Error::other)?;
        self.greeting(&noise.write())?;
        let third = self.read_greeting()?;
        let proof = noise.read(&third).map_err(io::Error::other)?;
        let key = proof.first_chunk().copied().ok_or_else(|| io::Error::other("no key in the proof"))?;
        Ok((noise.finish(), key))
    }

    /// Reads until the other side closes; false when it still has not after [`PATIENCE`].
    pub(crate) fn is_closed_by_peer(&mut self) -> bool {
        let mut sink = [0; 16_384];
        loop {
            match self.socket.read(&mut sink) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                }
            }
        }
    }

    /// Whether it is closed already; what came before that is gone. It does not wait.
    pub(crate) fn is_closed_now(&self) -> bool {
        self.socket.set_nonblocking(true).expect("a socket");
        let mut sink = [0; 16_384];
        let seen = loop {
            match (&self.socket).read(&mut sink) {
                Ok(bytes) if bytes > 0 => {}
                end => break end,
            }
        };
        self.socket.set_nonblocking(false).expect("a socket");
        !matches!(seen, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// A frame: its length, then its bytes.
pub(crate) fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("one frame");
    [&length.to_be_bytes()[..], bytes].concat()
}
