//! What holds for every page. The pages are found as a person finds them: from Home by links.

use std::collections::{BTreeMap, BTreeSet};

use super::browser::{Browser, Screen, Scripts, Theme};
use crate::support::Service;

/// Of pages that differ only in ids and values, so many are looked at.
const OF_ONE_SHAPE_MAX: usize = 2;

/// What of an address says which page it is: ids and the query's values are left out.
fn shape(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_id = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = path.split('/').map(|part| if is_id(&part) { "{id}" } else { part }).collect();
    let names: BTreeSet<&str> = query.split('&').filter_map(|pair| pair.split('=').next()).collect();
    format!("{} {}", parts.join("/"), names.into_iter().collect::<Vec<_>>().join(" "))
}

/// Walks through the portal and looks at each page. Gives their shapes, in which ids are `{id}`.
fn walk(browser: &Browser, mut look: impl FnMut(&str)) -> BTreeSet<String> {
    let mut shapes = BTreeMap::<String, usize>::new();
    let mut seen = BTreeSet::new();
    let mut ahead = vec![browser.path()];
    let mut dead = Vec::new();
    while let Some(path) = ahead.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let count = shapes.entry(shape(&path)).or_default();
        if *count == OF_ONE_SHAPE_MAX {
            continue;
        }
        *count += 1;
        browser.visit(&path);
        if browser.ask("return document.contentType") != "text/html" {
            continue;
        }
        if browser.status() != 200 {
            dead.push(path);
            continue;
        }
        look(&path);
        ahead.extend(browser.links());
    }
    assert!(dead.is_empty(), "links lead nowhere: {dead:#?}");
    shapes.into_keys().collect()
}

#[test]
fn pages_are_accessible_in_both_themes_at_both_widths() {
    let service = Service::start();
    let browser = Browser::open(&service, Scripts::On);
    browser.visit("/sign-in");
    assert_page_is_fair(&browser);
    browser.sign_in(&service);
    let pages = walk(&browser, |_| assert_page_is_fair(&browser));
    println!("{pages:#?}");
}

fn assert_page_is_fair(browser: &Browser) {
    for screen in [Screen::Desk, Screen::Phone] {
        browser.resize(screen);
        for theme in [Theme::Light, Theme::Dark] {
            browser.prefer(theme);
            browser.assert_accessible();
        }
        browser.assert_fits();
    }
    browser.resize(Screen::Desk);
    browser.prefer(Theme::Light);
}
