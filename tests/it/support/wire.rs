//! A connection that breaks where it hurts.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Between device and service; passes bytes on, but some connections end within their answer.
pub struct Wire {
    pub address: SocketAddr,
}

impl Wire {
    pub fn that_loses_the_first_answer(service: SocketAddr) -> Self {
        Self::that_cuts(service, |n| (n == 0).then_some(0))
    }

    /// Of the `n`th connection's answer it passes so many bytes on, as they are on the wire, and then ends; `None`: all.
    pub fn that_cuts(service: SocketAddr, after: impl Fn(usize) -> Option<usize> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for (n, device) in listener.incoming().map_while(Result::ok).enumerate() {
                pass_on(&device, &TcpStream::connect(service).unwrap(), after(n));
            }
        });
        Self { address }
    }
}

/// A TLS 1.3 server sends its whole flight before the client's second, and nothing of its own until
/// it answers: what comes from it after the client has spoken twice is the answer.
fn pass_on(device: &TcpStream, service: &TcpStream, mut answer_bytes: Option<usize>) {
    let spoke_twice = Arc::new(AtomicBool::new(false));
    let heard = Arc::new(AtomicBool::new(false));
    let upwards = {
        let (mut device, mut service) = (device.try_clone().unwrap(), service.try_clone().unwrap());
        let (spoke_twice, heard) = (Arc::clone(&spoke_twice), Arc::clone(&heard));
        thread::spawn(move || {
            let mut bytes = [0; 16 * 1024];
            while let Ok(read @ 1..) = device.read(&mut bytes) {
                spoke_twice.fetch_or(heard.load(Ordering::SeqCst), Ordering::SeqCst);
                if service.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
            let _ = service.shutdown(Shutdown::Write);
        })
    };
    let (mut from, mut to) = (service, device);
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        let mut passed = read;
        if let Some(left) = &mut answer_bytes
            && spoke_twice.load(Ordering::SeqCst)
        {
            passed = read.min(*left);
            *left -= passed;
        }
        heard.store(true, Ordering::SeqCst);
        if to.write_all(&bytes[..passed]).is_err() || passed < read {
            break;
        }
    }
    let _ = device.shutdown(Shutdown::Both);
    let _ = service.shutdown(Shutdown::Both);
    let _ = upwards.join();
}
