//! The portal of the real binary in a real browser: headless Chromium over TLS, verified against the
//! service's own anchor. Every browser fails its test when its console was not quiet. What needs no browser,
//! and what none would send, is sent by a [`visitor`].

mod access;
mod account;
mod audit;
mod browser;
mod components;
mod deploy;
mod forms;
mod groups;
mod home;
mod key_pages;
mod keyboard;
mod keys;
mod no_scripts;
mod outages;
mod pages;
mod people;
mod sign_in;
mod signing_certificates;
mod visitor;
mod webdriver;
mod wizard;

use std::io::Write as _;
use std::process::Stdio;

use crate::support::Service;
use crate::support::service::muster;

/// Whether a device of this name enrolls with a key, by `muster enroll`.
fn enroll(service: &Service, device: &str, key: &str) -> bool {
    let mut enroll = muster();
    enroll
        .args(["enroll", "--fingerprint", &format!("{device:-<16}"), "--key-file", "-", "--timeout", "0"])
        .args(["--connect", &service.enroll.to_string(), "--state-dir"])
        .arg(service.dir().join(device))
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut enroll = enroll.spawn().expect("the binary runs");
    enroll.stdin.take().expect("it is piped").write_all(key.as_bytes()).expect("it reads the key");
    enroll.wait().expect("it ends").success()
}
