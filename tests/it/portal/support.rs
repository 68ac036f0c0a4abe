//! Somebody at the portal without a browser: pages by GET, forms by POST, as a browser without scripts sends them.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;

use crate::support::device::{connect_to, read_answer};
use crate::support::{Answer, Service};

/// One session.
pub struct Visitor {
    address: SocketAddr,
    anchor_pem: String,
    cookie: String,
    csrf: String,
    /// The customer of the first start.
    pub customer: String,
}

impl Visitor {
    /// The owner of the first start.
    pub async fn owner(service: &Service) -> Self {
        let (username, password) = service.owner();
        Self::sign_in(service, &username, &password).await
    }

    /// An administrator of the first customer that is made for it.
    pub async fn with_role(service: &Service, role: &str) -> Self {
        let (username, password) = (format!("some-{role}"), "correct horse battery staple");
        let file = service.dir().join(format!("{role}.password"));
        std::fs::write(&file, password).expect("a file");
        let file = file.display().to_string();
        service.cli_ok(&["admin", "create", "--username", &username, "--role", role, "--password-file", &file]);
        Self::sign_in(service, &username, password).await
    }

    async fn sign_in(service: &Service, username: &str, password: &str) -> Self {
        let customer = service.api_client()["customerId"].as_str().expect("an id").to_owned();
        let (cookie, csrf) = (String::new(), String::new());
        let mut visitor =
            Self { address: service.admin, anchor_pem: service.trust_anchor_pem(), cookie, csrf, customer };
        let asked = visitor.get("/sign-in").await;
        visitor.remember(&asked, "__Host-muster-visit");
        let signed_in = visitor.post("/sign-in", &[("username", username), ("password", password)]).await;
        assert_eq!(signed_in.status, 303, "{}", signed_in.body);
        visitor.remember(&signed_in, "__Host-muster-session");
        let home = visitor.get(&format!("/c/{}", visitor.customer)).await;
        visitor.csrf = hidden(&home.body, "csrf");
        visitor
    }

    /// Takes the cookie of an answer, and the token of its form if it has one.
    fn remember(&mut self, answer: &Answer, cookie: &str) {
        let start = format!("set-cookie: {cookie}=");
        let found = answer.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&start.to_lowercase()));
        let value = found.and_then(|line| line.split_once(": ")?.1.split(';').next()).expect("a cookie");
        value.clone_into(&mut self.cookie);
        if answer.body.contains("name=\"csrf\"") {
            self.csrf = hidden(&answer.body, "csrf");
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await
    }

    /// A form of ours with these fields.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = format!("csrf={}", self.csrf);
        for (name, value) in fields {
            write!(form, "&{name}=").expect("a String takes everything");
            value.bytes().for_each(|byte| write!(form, "%{byte:02X}").expect("a String takes everything"));
        }
        self.send("POST", path, &form).await
    }

    async fn send(&self, method: &str, path: &str, form: &str) -> Answer {
        let mut stream = connect_to(self.address, &self.anchor_pem).await.expect("the listener accepts");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\norigin: https://localhost\r\ncookie: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{form}",
            self.cookie,
            form.len()
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        read_answer(&mut stream).await.expect("an answer")
    }
}

/// The value of a page's hidden field.
pub fn hidden(html: &str, name: &str) -> String {
    let (_, value) =
        html.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("no {name}: {html}"));
    value.split('"').next().expect("its end").to_owned()
}

/// The text in the element with this attribute, as one copies it.
pub fn copied(html: &str, attribute: &str) -> String {
    let (_, rest) = html.split_once(attribute).unwrap_or_else(|| panic!("no {attribute}: {html}"));
    let (_, rest) = rest.split_once('>').expect("the end of a tag");
    let end = ["</pre>", "</div>"].iter().filter_map(|tag| rest.find(tag)).min().expect("the end of the element");
    let parts = rest[..end].split('<').enumerate();
    let text: String = parts
        .map(|(index, part)| if index == 0 { part } else { part.split_once('>').expect("the end of a tag").1 })
        .collect();
    let entities = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    entities.iter().fold(text, |text, (entity, character)| text.replace(entity, character))
}
