//! An administrator in front of the portal. What is done is named as a person would name it: the words of a
//! button, the label of a field. Names are the accessible ones that the browser computes, so a control that a
//! screen reader cannot name is not found.
//!
//! The page may still be on its way, so whatever is looked for is waited for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::slice;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::webdriver::{Element, Refused, WebDriver};
use crate::support::Service;

/// How long something may take to be on the page; it is there at once or it is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// What leads to a page, and what unfolds to show it.
const NAVIGATION: &str = ".nav summary, .nav a";

/// Whatever one can press.
const CONTROLS: &str = "a[href], button, summary, [role=button], input[type=submit]";
/// Whatever one can fill in, tick or choose.
const FIELDS: &str = "input:not([type=hidden]):not([type=submit]), textarea, select";

/// Keys as WebDriver names them (§17.4.2).
pub const TAB: char = '\u{e004}';
pub const ENTER: char = '\u{e007}';
pub const ESCAPE: char = '\u{e00c}';

/// Widths that the portal is made for: a desk and a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    Desk,
    Phone,
}

/// Whether the browser runs the scripts of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scripts {
    Off,
    On,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Dark,
    Light,
}

/// Which rules a page is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// WCAG 2.2 at A and AA, and good practice.
    All,
    /// Of those, the ones that ask for colors.
    Colors,
}

/// A browser of its own. It trusts the service's anchor and verifies what the service presents.
///
/// When it is dropped its console must have been quiet: no script error, no broken link to a style or script, no
/// violation of the policy. A refusal that the test expects is taken note of by [`Self::status`].
pub struct Browser {
    driver: WebDriver,
    pub has_scripts: bool,
    base: String,
    /// Addresses whose refusal was seen by the test.
    refused: RefCell<Vec<String>>,
}

/// One row of a table: column head → text.
pub type Row = BTreeMap<String, String>;

impl Browser {
    pub fn open(service: &Service, scripts: Scripts) -> Self {
        let has_scripts = scripts == Scripts::On;
        let driver = WebDriver::start(&service.data_dir().join("tls-trust-anchor.pem"), has_scripts);
        let base = format!("https://localhost:{}", service.admin.port());
        let browser = Self { driver, has_scripts, base, refused: RefCell::default() };
        browser.resize(Screen::Desk);
        browser.prefer(Theme::Light);
        browser
    }

    pub fn resize(&self, screen: Screen) {
        let (width, height) = match screen {
            Screen::Desk => (1440, 900),
            Screen::Phone => (390, 844),
        };
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.driver.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// What the system says that the person likes.
    pub fn prefer(&self, theme: Theme) {
        let theme = match theme {
            Theme::Dark => "dark",
            Theme::Light => "light",
        };
        let prefers = |what: &str, value: &str| json!({ "name": format!("prefers-{what}"), "value": value });
        // Without motion a new theme is there at once.
        let media = json!({ "features": [prefers("color-scheme", theme), prefers("reduced-motion", "reduce")] });
        self.driver.devtools("Emulation.setEmulatedMedia", &media);
    }

    /// Opens a page by the navigation: the section that holds it, and its own name.
    pub fn go(&self, section: &str, page: &str) {
        self.visit("/");
        for name in [section, page] {
            self.on(NAVIGATION, name, "", |element| self.driver.click(element));
        }
        self.sees_title(page);
    }

    /// Opens a path of the portal.
    pub fn visit(&self, path: &str) {
        self.driver.navigate(&format!("{}{path}", self.base));
    }

    /// With the owner of the first start signed in.
    pub fn signed_in(service: &Service, scripts: Scripts) -> Self {
        let browser = Self::open(service, scripts);
        browser.sign_in(service);
        browser
    }

    /// Signs in as the owner whom the first start made.
    pub fn sign_in(&self, service: &Service) {
        let (username, password) = service.owner();
        self.visit("/");
        self.fill("User name", &username);
        self.fill("Password", &password);
        self.click("Sign in");
        self.sees_title("Home");
    }

    pub fn sign_out(&self, service: &Service) {
        let (username, _) = service.owner();
        self.click(&format!("{username} Owner"));
        self.click("Sign out");
        self.sees("Sign in to Muster");
    }

    /// Presses the control with this name.
    pub fn click(&self, name: &str) {
        self.on(CONTROLS, name, "", |element| self.driver.click(element));
    }

    /// Presses the control with this name in the table's row with a link called `row`.
    pub fn click_in(&self, row: &str, name: &str) {
        self.on(CONTROLS, name, row, |element| self.driver.click(element));
    }

    /// Whether there is a control with this name now; in a row of the table or anywhere.
    pub fn has_control(&self, name: &str) -> bool {
        self.named(CONTROLS, name, "").is_ok_and(|found| !found.is_empty())
    }

    pub fn has_control_in(&self, row: &str, name: &str) -> bool {
        self.named(CONTROLS, name, row).is_ok_and(|found| !found.is_empty())
    }

    /// Whether the control is there and cannot be used, and says so to a screen reader.
    pub fn is_off_in(&self, row: &str, name: &str) -> bool {
        self.on(CONTROLS, name, row, |element| {
            let script =
                "const [it] = arguments; return it.ariaDisabled === 'true' && it.ariaDescribedByElements?.length > 0;";
            self.driver.execute(script, &[element.to_json()])
        }) == json!(true)
    }

    pub fn sees_control(&self, name: &str) {
        self.on(CONTROLS, name, "", |_| Ok(()));
    }

    /// Replaces what is in the field with this label.
    pub fn fill(&self, label: &str, text: &str) {
        self.on(FIELDS, label, "", |element| {
            self.driver.clear(element)?;
            self.driver.type_into(element, text)
        });
    }

    /// What stands in the field with this label; of a drop-down the chosen words.
    pub fn value(&self, label: &str) -> String {
        let script = "const [field] = arguments; return field.selectedOptions?.[0]?.textContent.trim() ?? field.value;";
        self.on(FIELDS, label, "", |element| Ok(text_of(&self.driver.execute(script, &[element.to_json()])?)))
    }

    /// Chooses from the drop-down with this label.
    pub fn choose(&self, label: &str, option: &str) {
        self.on(FIELDS, label, "", |element| {
            let script = "const [field, words] = arguments; \
                return [...field.options].filter(option => option.textContent.trim() === words);";
            let options = self.driver.execute(script, &[element.to_json(), json!(option)])?;
            let [option] = &WebDriver::elements(&options)[..] else { panic!("{label}: {option} is not offered once") };
            self.driver.click(option)
        });
    }

    /// Sets or takes away the tick of a box, or chooses one of several.
    pub fn tick(&self, label: &str, ticked: bool) {
        self.on(FIELDS, label, "", |element| {
            let is_ticked = self.driver.execute("return arguments[0].checked", &[element.to_json()])?;
            if is_ticked == json!(ticked) {
                return Ok(());
            }
            // One may press the label too; of a hidden box it is all there is.
            let script = "const [box] = arguments; return [box.offsetWidth > 1 ? box : box.labels[0]];";
            let target = self.driver.execute(script, &[element.to_json()])?;
            self.driver.click(&WebDriver::elements(&target)[0])
        });
    }

    /// Presses a key wherever the focus is.
    pub fn press(&self, key: char) {
        self.driver.press(key);
    }

    /// The accessible name of what has the focus.
    pub fn focused(&self) -> String {
        self.driver.focused().and_then(|element| self.driver.label(&element)).unwrap_or_default()
    }

    /// Takes the session away, as if its time were over.
    pub fn lose_session(&self) {
        self.driver.forget("__Host-muster-session");
    }

    /// Waits until the page says this.
    pub fn sees(&self, words: &str) {
        self.eventually(
            || if self.text().contains(words) { Ok(()) } else { Err(self.text()) },
            || format!("“{words}”"),
        );
    }

    /// Waits until something is so.
    pub fn until(&self, is_so: impl Fn() -> bool, what: &str) {
        self.eventually(|| is_so().then_some(()).ok_or_else(String::new), || what.to_owned());
    }

    /// What one can read on the page now.
    pub fn text(&self) -> String {
        text_of(&self.ask("return document.body.innerText.replace(/\\u00a0/g, ' ')"))
    }

    /// The page as it stands, in HTML.
    pub fn html(&self) -> String {
        text_of(&self.ask("return document.documentElement.outerHTML"))
    }

    /// Waits until the page with this title is there.
    pub fn sees_title(&self, title: &str) {
        let title = format!("{title} · Muster");
        let read = || text_of(&self.ask("return document.title"));
        self.eventually(|| if read() == title { Ok(()) } else { Err(read()) }, || title.clone());
    }

    /// Path and query of the page.
    pub fn path(&self) -> String {
        text_of(&self.ask("return location.pathname + location.search"))
    }

    /// The status that the page came with. One that is a refusal does not count as a fault of the console.
    pub fn status(&self) -> u16 {
        let status = self.ask("return performance.getEntriesByType('navigation')[0].responseStatus");
        let status = status.as_u64().and_then(|status| u16::try_from(status).ok()).expect("a page has a status");
        if status >= 400 {
            self.refused.borrow_mut().push(format!("{}{}", self.base, self.path()));
        }
        status
    }

    /// The column heads of the page's table.
    pub fn columns(&self) -> Vec<String> {
        let heads = self.ask(&format!("{TABLE} return heads"));
        heads.as_array().map(|heads| heads.iter().map(text_of).collect()).unwrap_or_default()
    }

    /// The rows of the page's table.
    pub fn rows(&self) -> Vec<Row> {
        let rows = self.ask(&format!("{TABLE} return rows"));
        serde_json::from_value(rows).expect("rows of texts")
    }

    /// Where the page's links lead inside the portal: paths with their queries, each once.
    pub fn links(&self) -> Vec<String> {
        let links = self.ask(
            "return [...new Set([...document.links].filter(link => link.origin === location.origin && !link.download)
                .map(link => link.pathname + link.search))]",
        );
        serde_json::from_value(links).expect("a list of paths")
    }

    /// Runs a function's body in the page.
    pub fn ask(&self, script: &str) -> Value {
        // A page that is just being replaced cannot be asked.
        self.eventually(
            || self.driver.execute(script, &[]).map_err(|refused| refused.to_string()),
            || script.to_owned(),
        )
    }

    /// The text in the clipboard.
    pub fn clipboard(&self) -> String {
        self.driver.permit("clipboard-read");
        text_of(&self.ask("return navigator.clipboard.readText()"))
    }

    /// What a person gets who selects the element with this accessible name, and copies it.
    pub fn selected(&self, name: &str) -> String {
        self.on("[aria-label], [role]", name, "", |element| {
            let script = "getSelection().selectAllChildren(arguments[0]); return getSelection().toString();";
            Ok(text_of(&self.driver.execute(script, &[element.to_json()])?))
        })
    }

    /// Waits until this file has been downloaded whole.
    pub fn downloaded(&self, name: &str) -> String {
        let path = self.driver.downloads().join(name);
        self.eventually(
            || fs::read_to_string(&path).map_err(|error| error.to_string()),
            || format!("the download {}", path.display()),
        )
    }

    /// The whole page as a picture, for people to look at, in the target directory's `portal-screens/`.
    pub fn screenshot(&self, name: &str) {
        let picture = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.driver.devtools("Page.captureScreenshot", &picture);
        let picture = STANDARD.decode(text_of(&picture["data"])).expect("base64");
        let dir = target().join("portal-screens");
        fs::create_dir_all(&dir).expect("a directory");
        let name = name.trim_matches('/').replace(['/', ' '], "_");
        fs::write(dir.join(format!("{name}.png")), picture).expect("a picture");
    }

    /// What axe-core finds wrong with the page: rule, reason, place.
    pub fn faults(&self, rules: Rules) -> Vec<String> {
        if self.ask("return typeof axe") == "undefined" {
            self.driver.execute(&axe(), &[]).expect("axe-core loads");
        }
        let tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
        let rules = match rules {
            Rules::All => json!({ "runOnly": tags, "rules": { "target-size": { "enabled": true } } }),
            Rules::Colors => {
                json!({ "runOnly": { "type": "rule", "values": ["color-contrast", "link-in-text-block"] } })
            }
        };
        let run = || self.driver.execute(AXE_RUN, slice::from_ref(&rules)).map_err(|refused| refused.to_string());
        let faults = self.eventually(run, || "axe-core".to_owned());
        faults.as_array().expect("a list").iter().map(text_of).collect()
    }

    /// Width of the page, and of its window, in pixels.
    pub fn widths(&self) -> (u64, u64) {
        let width = |of: &str| self.ask(&format!("return {of}")).as_u64().expect("a width");
        (width("document.scrollingElement.scrollWidth"), width("innerWidth"))
    }

    /// Does something to the one element with this accessible name, once it is there.
    fn on<T>(&self, selector: &str, name: &str, row: &str, act: impl Fn(&Element) -> Result<T, Refused>) -> T {
        let attempt = || match &self.named(selector, name, row)?[..] {
            [element] => act(element).map_err(|refused| refused.to_string()),
            found => Err(format!("{} have that name; there are {:?}", found.len(), self.names(selector, row))),
        };
        self.eventually(attempt, || format!("{name:?}"))
    }

    /// The elements with this accessible name that one can see and reach.
    fn named(&self, selector: &str, name: &str, row: &str) -> Result<Vec<Element>, String> {
        let found = self.driver.execute(REACHABLE, &[json!(selector), json!(name), json!(row)]);
        let mut elements = WebDriver::elements(&found.map_err(|refused| refused.to_string())?);
        let is_named =
            |label: String| label == name || label.strip_prefix(name).is_some_and(|rest| rest.starts_with(" optional"));
        elements.retain(|element| self.driver.label(element).is_ok_and(is_named));
        Ok(elements)
    }

    /// What a person could have meant instead.
    fn names(&self, selector: &str, row: &str) -> Vec<String> {
        let found = self.driver.execute(REACHABLE, &[json!(selector), json!(""), json!(row)]).unwrap_or_default();
        WebDriver::elements(&found).iter().filter_map(|element| self.driver.label(element).ok()).collect()
    }

    /// Asks until there is an answer. The browser runs beside us and does not say when it is done.
    fn eventually<T>(&self, ask: impl Fn() -> Result<T, String>, what: impl Fn() -> String) -> T {
        let started = Instant::now();
        loop {
            match ask() {
                Ok(answer) => return answer,
                Err(_) if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
                Err(reason) => panic!("{}: {}: {reason}", self.driver.url(), what()),
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let refused = self.refused.take();
        let is_expected = |entry: &Value| {
            let message = text_of(&entry["message"]);
            text_of(&entry["source"]) == "network" && refused.iter().any(|url| message.starts_with(&format!("{url} ")))
        };
        let mut console = self.driver.console();
        console.retain(|entry| entry["level"] == "SEVERE" && !is_expected(entry));
        if std::thread::panicking() {
            eprintln!("--- console of the browser\n{console:#?}");
        } else {
            assert!(console.is_empty(), "the console is not quiet: {console:#?}");
        }
    }
}

/// axe-core's own text, from the package that `tests/run` installs.
fn axe() -> String {
    let lib = target().join("python/portal/lib");
    let versions = fs::read_dir(&lib).into_iter().flatten().filter_map(Result::ok);
    let mut files = versions.map(|python| python.path().join("site-packages/axe_playwright_python/axe.min.js"));
    let file = files.find(|file| file.is_file());
    let file = file.unwrap_or_else(|| panic!("axe.min.js below {} is needed (tests/run installs it)", lib.display()));
    fs::read_to_string(file).expect("it can be read")
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory").to_owned()
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// (selector, name, row) → elements that may have the name, in a row or anywhere. An open dialog covers the
/// rest; what an open menu has is meant there, and what the content has is not meant in the navigation.
const REACHABLE: &str = "
const [selector, name, row] = arguments;
const flat = text => (text ?? '').replace(/\\s/g, '');
const is_reachable = element =>
    element.checkVisibility({ visibilityProperty: true }) && !element.closest('[aria-hidden=true], [inert]');
const texts = element => [
    element.getAttribute('aria-label'), element.title, element.textContent, element.value, element.placeholder,
    ...[...(element.labels ?? [])].map(label => label.textContent),
    ...(element.getAttribute('aria-labelledby') ?? '').split(' ').map(id => document.getElementById(id)?.textContent),
];
const candidates = root => [...root.querySelectorAll(selector)]
    .filter(element => is_reachable(element) && texts(element).some(text => flat(text).includes(flat(name))));
const dialog = document.querySelector('dialog:modal');
if (dialog) return candidates(dialog);
const main = document.querySelector('main') ?? document;
const is_of = name => row => [...row.querySelectorAll('a')].some(link => flat(link.textContent) === flat(name));
if (row) return [...main.querySelectorAll('tbody tr')].filter(is_of(row)).flatMap(candidates);
const menus = [...main.querySelectorAll('details.menu[open]')].flatMap(candidates);
const content = menus.length ? menus : candidates(main);
return content.length ? content : candidates(document);
";

/// Reads the first table of the content into `heads` and `rows`; cells without a head have no name.
const TABLE: &str = "
const flat = text => (text ?? '').replace(/\\s+/g, ' ').trim();
// A name that is cut in the middle is whole in its title.
const text = cell => [...cell.querySelectorAll('.cut')].reduce((all, cut) => all.replace(flat(cut.innerText), cut.title), flat(cell.innerText));
const table = document.querySelector('main table');
const heads = [...(table?.tHead?.rows[0]?.cells ?? [])].map(text);
const rows = [...(table?.tBodies ?? [])].flatMap(body => [...body.rows])
    .filter(row => row.cells.length === heads.length)
    .map(row => Object.fromEntries([...row.cells].map((cell, at) => [heads[at], text(cell)])));
";

/// One line per fault: rule, impact, what it says, and where.
const AXE_RUN: &str = "
return axe.run(document, { resultTypes: ['violations'], ...arguments[0] })
    .then(results => results.violations.flatMap(rule => rule.nodes.map(node =>
        `${rule.id} (${node.impact}): ${rule.help}\\n  ${node.target.join(' ')}\\n  ${node.failureSummary}`)));
";
