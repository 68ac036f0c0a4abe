//! Who comes in, and how.

use super::browser::{Browser, Scripts};
use crate::support::Service;

#[test]
fn the_owner_of_the_first_start_signs_in_and_out() {
    let service = Service::start();
    let browser = Browser::open(&service, Scripts::On);
    browser.sign_in(&service);
    browser.sign_out(&service);
    browser.visit("/");
    browser.sees("Sign in to Muster");
}

#[test]
fn a_wrong_password_keeps_the_name_and_says_neither_which() {
    let service = Service::start();
    let browser = Browser::open(&service, Scripts::On);
    let (username, _) = service.owner();
    browser.visit("/");
    browser.fill("User name", &username);
    browser.fill("Password", "not the password");
    browser.click("Sign in");
    browser.sees("Name and password do not match. Check both and try again.");
    assert_eq!(browser.status(), 401);
    assert_eq!(browser.value("User name"), username);
    assert_eq!(browser.value("Password"), "");
}
