//! Check a Key: what a string is, and whether a device that presents it would be enrolled now.

use askama::Template;
use zeroize::Zeroizing;

use crate::domain::key_string::BOOTSTRAP_CHARACTERS;
use crate::domain::{KeySecret, Role};
use crate::id::CustomerId;
use crate::management::keys::check::{KeyCheck, KnownKey};
use crate::management::sessions::Session;
use crate::management::{Error, Field as Subject, Input};
use crate::server::portal::form::{Control, Faults, Field, Form};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::PageHead;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;
use crate::server::portal::words as say;
use crate::server::portal::{Portal, filters};

/// Its value never comes back, and is not kept when a session ends.
const KEY: &str = "key";

#[derive(Template)]
#[template(path = "check.html", config = "src/server/portal/askama.toml")]
struct CheckPage {
    frame: Frame,
    head: PageHead,
    form: Form,
    /// Of a role that may paste a key.
    may_check: bool,
    result: Option<Finding>,
}

/// What the string turned out to be.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// `note-ok`, `note-warn`, `note-bad`.
    class: &'static str,
    icon: &'static str,
    /// The key that it is.
    key: Option<(String, String)>,
    sentence: String,
    remarks: Vec<String>,
}

pub(in crate::server::portal) async fn show(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    Ok(Reply::ok(&page(portal, visit, session, &Faults::default(), None).await?))
}

pub(in crate::server::portal) async fn submit(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let customer = visit.customer()?;
    let text = visit.form.text(KEY);
    let string = match text.trim() {
        "" => Input::Absent,
        _ => Input::Given(KeySecret::from_text(Zeroizing::new(text.to_owned()))),
    };
    match portal.management().check_key(&session.actor, customer, string).await {
        Ok(check) => {
            let finding = Finding::new(customer, &check, text);
            Ok(Reply::ok(&page(portal, visit, session, &Faults::default(), Some(finding)).await?))
        }
        Err(error @ Error::Invalid(_)) => {
            let names = &[(Subject::KeyString, KEY, "The key")];
            let faults = Faults::of_error(error, names, &visit.form, "")?;
            Ok(Reply::unprocessable(&page(portal, visit, session, &faults, None).await?))
        }
        Err(error) => Err(error.into()),
    }
}

async fn page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    faults: &Faults,
    result: Option<Finding>,
) -> Result<CheckPage, Trouble> {
    let mut head = PageHead::new(Place::CheckKey.label());
    head.lead = "Paste a key string to see which key it is and whether a device that presents it would be enrolled \
                 now. It takes no use, and the string is neither kept nor shown again; that it was checked is \
                 written to the audit log."
        .to_owned();
    let field = Field::secret_area(KEY, "Provisioning key").hint("All of it: version|cloud|secret.");
    Ok(CheckPage {
        frame: Frame::around(portal, visit, session, visit.customer()?, Place::CheckKey, Place::CheckKey.label())
            .await?,
        head,
        form: Form::new(vec![field]).with_faults(faults),
        may_check: session.actor.role >= Role::Operator,
        result,
    })
}

impl Finding {
    fn new(customer: CustomerId, check: &KeyCheck, text: &str) -> Self {
        let bad = |sentence: String| Self { class: "note-bad", icon: "warn", key: None, sentence, remarks: Vec::new() };
        match check {
            KeyCheck::Damaged => bad(format!("Damaged: {}. Copy it again.", damage(text))),
            KeyCheck::Unknown => Self {
                remarks: vec![
                    "It is whole as far as can be told, and no key of this customer. It may be deleted, or belong to \
                     another service."
                        .to_owned(),
                ],
                ..bad("Unknown here.".to_owned())
            },
            KeyCheck::Known(key) => Self::of_known(customer, key),
        }
    }

    fn of_known(customer: CustomerId, key: &KnownKey) -> Self {
        let mut remarks = Vec::new();
        if key.addresses_restricted {
            remarks.push("The key or its group has an address list, so it depends on where the device is.".to_owned());
        }
        let (class, icon, sentence) = match key.refusal {
            None => ("note-ok", "okc", "would be accepted now.".to_owned()),
            Some(refusal) => {
                remarks.insert(0, format!("{}.", say::refusal(refusal)));
                ("note-warn", "warn", format!("would be refused now with {}.", refusal.code()))
            }
        };
        let address = format!("{}/{}", Place::Keys(key.kind).address(customer), key.id);
        Self { class, icon, key: Some((key.name.to_string(), address)), sentence, remarks }
    }
}

/// What can be told of a string that no device would use.
fn damage(text: &str) -> String {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let whole = BOOTSTRAP_CHARACTERS;
    let parts: Vec<_> = text.split('|').collect();
    match parts.as_slice() {
        _ if text.contains(|c: char| c.is_ascii_whitespace()) => "there is white space or a line end inside".to_owned(),
        ["3", _, secret] if secret.chars().count() < whole => {
            format!("the last characters are missing ({} of {whole})", secret.chars().count())
        }
        ["3", _, secret] if secret.chars().count() == whole => "a character is wrong".to_owned(),
        [_, _, _] => "it has a form that no key string has".to_owned(),
        _ => "it has not the three parts version|cloud|secret".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_apart() {
        let secret = "A".repeat(96);
        for (text, expected) in [
            (format!("3|id.example|{}\n", &secret[..91]), "the last characters are missing (91 of 96)"),
            (format!(" 3|id.example|{secret} "), "a character is wrong"),
            (format!("3|id.example|{} {}", &secret[..48], &secret[48..]), "there is white space or a line end inside"),
            (format!("3|id.example\n|{secret}"), "there is white space or a line end inside"),
            (format!("7|id.example|{secret}"), "it has a form that no key string has"),
            (secret, "it has not the three parts version|cloud|secret"),
        ] {
            assert_eq!(damage(&text), expected, "{text}");
        }
    }
}
