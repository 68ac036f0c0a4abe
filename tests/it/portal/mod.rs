//! The portal of the real binary in a real browser: headless Chromium over TLS, verified against the
//! service's own anchor. Every browser fails its test when its console was not quiet.

mod browser;
mod pages;
mod sign_in;
mod webdriver;
