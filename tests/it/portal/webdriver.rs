//! A browser as WebDriver (W3C) sees it: one `chromedriver`, one headless Chromium, one profile that is
//! gone afterwards. Commands are JSON over loopback; what they mean is [`super::browser`]'s.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// The member that holds an element's id (WebDriver §11).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// What driver and browser complain of.
const LOG: &str = "chromedriver.log";
/// Longer than any command takes on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// One session. Browser and driver end with it.
pub struct WebDriver {
    driver: Child,
    /// Open as long as the driver may write.
    _said: BufReader<ChildStdout>,
    port: u16,
    session: String,
    dir: tempfile::TempDir,
}

/// An element of the page that was open when it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element(String);

impl Element {
    /// As an argument of [`WebDriver::execute`].
    pub fn to_json(&self) -> Value {
        json!({ ELEMENT: self.0 })
    }
}

/// A command that the driver refused: `stale element reference`, `javascript error`…
#[derive(Debug)]
pub struct Refused {
    pub error: String,
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.error, self.message.lines().next().unwrap_or_default())
    }
}

impl WebDriver {
    /// Starts a browser that trusts `anchor` beside the public authorities, and runs the scripts of pages or not.
    pub fn start(anchor: &Path, has_scripts: bool) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("downloads")).expect("a directory");
        trust(anchor, dir.path());
        // It wants the port that it took of IPv4 from IPv6, too, where another test's may have it; then it ends.
        let (driver, said, port) =
            (0..DRIVERS_MAX).find_map(|_| start_driver(dir.path())).expect("chromedriver listens");
        let mut started = Self { driver, _said: said, port, session: String::new(), dir };
        let settings = capabilities(&started.downloads(), has_scripts);
        let session = started.exchange("POST", "/session", &settings).expect("a browser starts");
        started.session = session["sessionId"].as_str().expect("a session has an id").to_owned();
        started
    }

    /// Where the browser puts what is downloaded.
    pub fn downloads(&self) -> PathBuf {
        self.dir.path().join("downloads")
    }

    /// Opens an address and waits until it is loaded.
    pub fn navigate(&self, url: &str) {
        self.post("url", &json!({ "url": url })).unwrap_or_else(|refused| panic!("{url}: {refused}"));
    }

    /// The address of the page.
    pub fn url(&self) -> String {
        let url = self.command("GET", "url", &Value::Null);
        url.ok().and_then(|url| Some(url.as_str()?.to_owned())).unwrap_or_default()
    }

    /// Runs a function's body in the page, whatever its policy and whether or not it may run scripts of its
    /// own; waits for a promise.
    pub fn execute(&self, body: &str, arguments: &[Value]) -> Result<Value, Refused> {
        self.post("execute/sync", &json!({ "script": body, "args": arguments }))
    }

    /// What the elements are that [`Self::execute`] returned.
    pub fn elements(found: &Value) -> Vec<Element> {
        let id = |value: &Value| Some(Element(value[ELEMENT].as_str()?.to_owned()));
        found.as_array().map(|list| list.iter().filter_map(id).collect()).unwrap_or_default()
    }

    /// The accessible name, as a screen reader is told it, with single blanks between its words.
    pub fn label(&self, element: &Element) -> Result<String, Refused> {
        let label = self.command("GET", &format!("element/{}/computedlabel", element.0), &Value::Null)?;
        Ok(label.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// The element that has the focus.
    pub fn focused(&self) -> Result<Element, Refused> {
        let element = self.command("GET", "element/active", &Value::Null)?;
        Ok(Element(element[ELEMENT].as_str().unwrap_or_default().to_owned()))
    }

    /// Takes a cookie away.
    pub fn forget(&self, cookie: &str) {
        self.command("DELETE", &format!("cookie/{cookie}"), &Value::Null).unwrap_or_else(|refused| panic!("{refused}"));
    }

    pub fn click(&self, element: &Element) -> Result<(), Refused> {
        self.post(&format!("element/{}/click", element.0), &json!({})).map(drop)
    }

    /// Empties a field.
    pub fn clear(&self, element: &Element) -> Result<(), Refused> {
        self.post(&format!("element/{}/clear", element.0), &json!({})).map(drop)
    }

    /// Types into an element, as from a keyboard; for a file field the paths of files.
    pub fn type_into(&self, element: &Element, text: &str) -> Result<(), Refused> {
        self.post(&format!("element/{}/value", element.0), &json!({ "text": text })).map(drop)
    }

    /// Presses and releases a key wherever the focus is.
    pub fn press(&self, key: char) {
        let press = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": press }] });
        self.post("actions", &actions).unwrap_or_else(|refused| panic!("{refused}"));
    }

    /// A command of Chromium's own protocol.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
            .unwrap_or_else(|refused| panic!("{command}: {refused}"))
    }

    /// Allows the page something it would have to ask for, as `clipboard-read`.
    pub fn permit(&self, what: &str) {
        let permission = json!({ "descriptor": { "name": what }, "state": "granted" });
        self.post("permissions", &permission).unwrap_or_else(|refused| panic!("{what}: {refused}"));
    }

    /// What the console said since it was last read: `level`, `source`, `message`.
    pub fn console(&self) -> Vec<Value> {
        let read = self.post("se/log", &json!({ "type": "browser" })).expect("the console can be read");
        read.as_array().expect("a list").clone()
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        self.command("POST", path, body)
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Result<Value, Refused> {
        self.exchange(method, &format!("/session/{}/{path}", self.session), body)
    }

    fn exchange(&self, method: &str, path: &str, body: &Value) -> Result<Value, Refused> {
        let (status, answer) = http(self.port, method, path, body)
            .unwrap_or_else(|error| panic!("chromedriver on port {} does not answer: {error}", self.port));
        let value = answer["value"].clone();
        if status == 200 {
            return Ok(value);
        }
        let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
        Err(Refused { error: text("error"), message: text("message") })
    }
}

impl Drop for WebDriver {
    fn drop(&mut self) {
        // The browser first: it outlives a driver that is killed.
        if !self.session.is_empty() {
            let _ = http(self.port, "DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default();
            eprintln!("--- chromedriver on port {}\n{log}", self.port);
        }
    }
}

/// Makes `anchor` one of the authorities that a Chromium with this home directory trusts.
fn trust(anchor: &Path, home: &Path) {
    let database = home.join(".pki/nssdb");
    fs::create_dir_all(&database).expect("a directory");
    let database = format!("sql:{}", database.display());
    let certutil = |arguments: &[&str]| {
        let run = Command::new("certutil").args(["-d", &database]).args(arguments).output();
        let run = run.expect("certutil is needed (tests/run installs it)");
        assert!(run.status.success(), "certutil: {}", String::from_utf8_lossy(&run.stderr));
    };
    certutil(&["-N", "--empty-password"]);
    certutil(&["-A", "-n", "muster", "-t", "C,,", "-i", &anchor.display().to_string()]);
}

fn capabilities(downloads: &Path, has_scripts: bool) -> Value {
    let mut preferences = json!({
        "download.default_directory": downloads,
        "download.prompt_for_download": false,
        "credentials_enable_service": false,
    });
    if !has_scripts {
        preferences["profile.managed_default_content_settings.javascript"] = json!(2);
    }
    // Root, as in a container, has no sandbox; neither has it a large /dev/shm.
    let arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"];
    json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": chromium(), "args": arguments, "prefs": preferences },
        "goog:loggingPrefs": { "browser": "ALL" },
    } } })
}

/// The driver wants its whole path.
fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("chromium")).find(|program| program.is_file());
    found.expect("chromium is needed (tests/run installs it)")
}

/// How often it is tried to start a driver.
const DRIVERS_MAX: u32 = 5;

/// A driver, what it says, and its port; `None`: it ended before it listened.
fn start_driver(dir: &Path) -> Option<(Child, BufReader<ChildStdout>, u16)> {
    let log = File::options().create(true).append(true).open(dir.join(LOG)).expect("a log file");
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        // The browser looks for its trust anchors and keeps its settings below it.
        .env("HOME", dir)
        .env("TMPDIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("chromedriver is needed (tests/run installs it)");
    let mut said = BufReader::new(driver.stdout.take().expect("it is piped"));
    let Some(port) = port_said(&mut said) else {
        driver.wait().expect("it has ended");
        return None;
    };
    Some((driver, said, port))
}

/// The port that the driver took, from what it prints once it listens.
fn port_said(said: &mut impl BufRead) -> Option<u16> {
    let mut lines = said.lines().map_while(Result::ok);
    lines.find_map(|line| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok())
}

/// One exchange on a connection of its own: status and body.
fn http(port: u16, method: &str, path: &str, body: &Value) -> io::Result<(u16, Value)> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = BufReader::new(stream);
    let (mut status, mut length) = (String::new(), 0);
    answer.read_line(&mut status)?;
    loop {
        let mut line = String::new();
        answer.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body)?;
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("no status line"))?;
    Ok((status, serde_json::from_slice(&body)?))
}
