//! The least that carrying bytes between two connections costs here: for each direction a thread that reads and writes, and looks at
//! nothing. What a proxy takes beyond that is its own; below it none can be.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use super::Failure;

/// As much as the gateway reads in a turn, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// Carries every connection to a port of this machine on to another one.
pub(super) fn relay(port: u16, upstream: u16) -> Result<(), Failure> {
    for front in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let (front, back) = (front?, TcpStream::connect(("127.0.0.1", upstream))?);
        for socket in [&front, &back] {
            socket.set_nodelay(true)?;
        }
        let (to, from) = (front.try_clone()?, back.try_clone()?);
        thread::spawn(move || carry(front, back));
        thread::spawn(move || carry(from, to));
    }
    Ok(())
}

/// Until one end is gone; then so is the other.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = vec![0; READ_BYTES];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if bytes.get(..count).is_none_or(|bytes| to.write_all(bytes).is_err()) {
            break;
        }
    }
    for socket in [from, to] {
        let _gone = socket.shutdown(Shutdown::Both);
    }
}
