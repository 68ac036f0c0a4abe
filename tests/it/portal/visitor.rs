//! Somebody at the portal without a browser: pages by GET, forms by POST as a browser without scripts sends them, and
//! what no browser would send. It keeps cookies, and holds every answer to what all answers must have.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;

use crate::support::device::{connect_to, read_answer};
use crate::support::{Answer, Service};

pub const SESSION: &str = "__Host-muster-session";
pub const VISIT: &str = "__Host-muster-visit";
pub const NOTICE: &str = "__Host-muster-notice";

/// On pages, files and redirections alike.
const HEADERS: [(&str, &str); 8] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action \
         'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("referrer-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cache-control", "no-store"),
];

/// Fails unless the answer has all that keeps others out. `headers` are names, in lower case, and values.
pub fn assert_protected<'a>(headers: impl Iterator<Item = (&'a str, &'a str)> + Clone, what: &str) {
    for (name, expected) in HEADERS {
        let found: Vec<_> = headers.clone().filter(|(found, _)| *found == name).map(|(_, value)| value).collect();
        assert_eq!(found, [expected], "{name} of {what}");
    }
    for (_, cookie) in headers.filter(|(name, _)| *name == "set-cookie") {
        let (pair, attributes) = cookie.split_once("; ").expect("a cookie has attributes");
        assert!([SESSION, VISIT, NOTICE].contains(&pair.split('=').next().expect("a name")), "{cookie}");
        let is_end = pair.ends_with('=');
        let expected = format!("Path=/; Secure; HttpOnly; SameSite=Lax{}", if is_end { "; Max-Age=0" } else { "" });
        assert_eq!(attributes, expected, "{what}");
    }
}

/// Form-encoded, every byte that needs it.
pub fn encoded(fields: &[(&str, &str)]) -> String {
    let text = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    fields.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect::<Vec<_>>().join("&")
}

/// Names and values of a page's hidden fields.
pub fn hidden_fields(page: &str) -> Vec<(String, String)> {
    let parts = page.split("<input type=\"hidden\" name=\"").skip(1).filter_map(|rest| rest.split_once("\" value=\""));
    parts.map(|(name, rest)| (read(name), read(rest.split('"').next().expect("an end")))).collect()
}

/// The value of a page's hidden field.
pub fn hidden(page: &str, name: &str) -> String {
    let field = hidden_fields(page).into_iter().find(|(found, _)| found == name);
    field.unwrap_or_else(|| panic!("no {name}: {page}")).1
}

/// The text in the element with this attribute, as one copies it.
pub fn copied(page: &str, attribute: &str) -> String {
    let (_, rest) = page.split_once(attribute).unwrap_or_else(|| panic!("no {attribute}: {page}"));
    let (_, rest) = rest.split_once('>').expect("the end of a tag");
    let end = ["</pre>", "</div>"].iter().filter_map(|tag| rest.find(tag)).min().expect("the end of the element");
    let parts = rest[..end].split('<').enumerate();
    let text: String = parts
        .map(|(index, part)| if index == 0 { part } else { part.split_once('>').expect("the end of a tag").1 })
        .collect();
    read(&text)
}

/// What escaped text says.
fn read(text: &str) -> String {
    let escapes = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    escapes.iter().fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

/// Where an answer leads.
pub fn led_to(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.body);
    answer.header("location").expect("a redirection has one").to_owned()
}

/// Somebody with a jar of cookies.
pub struct Visitor {
    address: SocketAddr,
    anchor_pem: String,
    pub cookies: BTreeMap<String, String>,
    /// Of the last page with a form.
    form_token: String,
    /// The customer of the first start.
    pub customer: String,
}

impl Visitor {
    /// Somebody who is not signed in.
    pub fn new(service: &Service) -> Self {
        Self {
            address: service.admin,
            anchor_pem: service.trust_anchor_pem(),
            cookies: BTreeMap::new(),
            form_token: String::new(),
            customer: service.api_client()["customerId"].as_str().expect("an id").to_owned(),
        }
    }

    /// The owner of the first start, signed in.
    pub async fn owner(service: &Service) -> Self {
        let (username, password) = service.owner();
        Self::signed_in(service, &username, &password).await
    }

    /// An administrator of the first customer, made for it and signed in.
    pub async fn with_role(service: &Service, role: &str) -> Self {
        let (username, password) = (format!("some-{role}"), "correct horse battery staple");
        let file = service.dir().join(format!("{role}.password"));
        std::fs::write(&file, password).expect("a file");
        let file = file.display().to_string();
        service.cli_ok(&["admin", "create", "--username", &username, "--role", role, "--password-file", &file]);
        Self::signed_in(service, &username, password).await
    }

    async fn signed_in(service: &Service, username: &str, password: &str) -> Self {
        let mut visitor = Self::new(service);
        assert_eq!(led_to(&visitor.sign_in(username, password).await), "/");
        visitor.page("/account").await;
        visitor
    }

    pub async fn sign_in(&mut self, username: &str, password: &str) -> Answer {
        self.page("/sign-in").await;
        self.post("/sign-in", &[("username", username), ("password", password)]).await
    }

    fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    /// A page that is there.
    pub async fn page(&mut self, path: &str) -> String {
        let page = self.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        page.body
    }

    /// As a browser sends a form from the last page: with its token, unless `csrf` is among the fields.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.form_token.clone();
        let is_given = fields.iter().any(|(name, _)| *name == "csrf");
        let fields = if is_given { fields.to_vec() } else { [&[("csrf", &*token)], fields].concat() };
        let origin = format!("https://{}", self.host());
        let headers = [("origin", &*origin), ("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &headers, encoded(&fields).as_bytes()).await
    }

    pub async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n", self.host(), body.len());
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            head += &format!("cookie: {}\r\n", cookies.join("; "));
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = connect_to(self.address, &self.anchor_pem).await.expect("a connection");
        stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.expect("a request");
        // The service may answer before it has read a body that is too large, and close.
        let _ = stream.write_all(body).await;
        let answer = read_answer(&mut stream).await.expect("an answer");
        let lines: Vec<_> = answer.head.lines().filter_map(|line| line.split_once(": ")).collect();
        assert_protected(lines.iter().copied(), &format!("{method} {path}"));
        for (_, cookie) in lines.iter().filter(|(name, _)| *name == "set-cookie") {
            let (name, value) = cookie.split(';').next().expect("a pair").split_once('=').expect("a pair");
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        if let Some((_, token)) = hidden_fields(&answer.body).into_iter().find(|(name, _)| name == "csrf") {
            self.form_token = token;
        }
        answer
    }
}
