//! What docs/webhooks.md shows a receiver, run as it stands there.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use muster::domain::WebhookEvent;
use ring::hmac;

use crate::support::guide::recipe;

const GUIDE: &str = include_str!("../../../docs/webhooks.md");
const ID: &str = "msg_7";
const BODY: &str = "{\"type\":\"webhook.test\"}\n";

/// A secret as it is shown, and what stands behind `v1,` for the body at this time.
fn signed(timestamp: &str) -> (String, String) {
    let secret = [7; 32];
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let signature = hmac::sign(&key, format!("{ID}.{timestamp}.{BODY}").as_bytes());
    (format!("whsec_{}", STANDARD.encode(secret)), STANDARD.encode(signature))
}

#[test]
fn the_commands_with_openssl_give_the_signature() {
    let (secret, signature) = signed("1795190760");
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("pager.secret"), secret).expect("a file");
    std::fs::write(dir.path().join("body"), BODY).expect("a file");
    let output = Command::new("/bin/sh")
        .args(["-eu", "-c", &recipe(GUIDE, "## Verify a message")])
        .current_dir(dir.path())
        .env("WEBHOOK_ID", ID)
        .env("WEBHOOK_TIMESTAMP", "1795190760")
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), signature);
}

#[test]
fn the_python_function_takes_what_is_signed_and_fresh_and_nothing_else() {
    let (_, block) = GUIDE.split_once("```python\n").expect("a function");
    let (function, _) = block.split_once("```\n").expect("its end");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    for (timestamp, body, expected) in [
        (now.to_string(), BODY.to_owned(), "True"),
        (now.to_string(), BODY.replace("test", "best"), "False"),
        ((now - 3_600).to_string(), BODY.to_owned(), "False"),
    ] {
        let (secret, signature) = signed(&timestamp);
        let call = format!(
            "headers = {{'webhook-id': '{ID}', 'webhook-timestamp': '{timestamp}',\n\
             'webhook-signature': 'v1a,x v1,AAAA v1,{signature}'}}\n\
             print(verify('{secret}', headers, {body:?}.encode()))\n"
        );
        let mut python = Command::new("python3")
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed (tests/run installs it)");
        let script = format!("{function}\n{call}");
        python.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("it reads");
        let output = python.wait_with_output().expect("an end");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{script}");
    }
}

#[test]
fn every_event_is_in_the_table() {
    for event in WebhookEvent::ALL.into_iter().chain([WebhookEvent::Test]) {
        assert!(GUIDE.contains(&format!("`{}`", event.as_str())), "{}", event.as_str());
    }
}
