//! Reading a request's JSON object member by member, so that every fault is found and none hides
//! another.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::management::Input;
use crate::server::api::refusal::Refusal;

/// A JSON object that was sent. Of a member that is there twice the last one counts.
pub struct Members(Map<String, Value>);

impl Members {
    /// # Errors
    /// [`Refusal::NotAnObject`]: no JSON, nested too deep, or something else than an object.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        // serde_json's messages name a position and never repeat the text, which may hold a secret.
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Refusal::NotAnObject { detail: "something else was found".to_owned() }),
            Err(error) => Err(Refusal::NotAnObject { detail: error.to_string() }),
        }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn text(&self, name: &str) -> Input<String> {
        self.read(name, |value| match value {
            Value::String(text) => Input::Given(text.clone()),
            _ => Input::Malformed("must be a string"),
        })
    }

    /// A string, or a number for the digits it is written with.
    pub fn text_or_number(&self, name: &str) -> Input<String> {
        self.read(name, |value| match value {
            Value::String(text) => Input::Given(text.clone()),
            Value::Number(number) => Input::Given(number.to_string()),
            _ => Input::Malformed("must be a string"),
        })
    }

    /// A boolean, or `"true"` and `"false"` as the documented examples have it.
    pub fn flag(&self, name: &str) -> Input<bool> {
        self.read(name, |value| match value {
            Value::Bool(flag) => Input::Given(*flag),
            Value::String(text) if text == "true" => Input::Given(true),
            Value::String(text) if text == "false" => Input::Given(false),
            _ => Input::Malformed("must be true or false"),
        })
    }

    /// A whole number, as a number or in a string; an empty string is none.
    pub fn number(&self, name: &str) -> Input<u64> {
        self.read(name, |value| match value {
            Value::Number(number) => number.as_u64().map_or(Input::Malformed(WHOLE_NUMBER), Input::Given),
            Value::String(text) if text.is_empty() => Input::Cleared,
            Value::String(text) if is_canonical(text) => {
                text.parse().map_or(Input::Malformed(WHOLE_NUMBER), Input::Given)
            }
            _ => Input::Malformed(WHOLE_NUMBER),
        })
    }

    /// An id, as a string or a number; an empty string is none, as Go writes it.
    pub fn id<T: FromStr>(&self, name: &str) -> Input<T> {
        let parse =
            |text: &str| text.parse().map_or(Input::Malformed("is no id: a decimal string is expected"), Input::Given);
        self.read(name, |value| match value {
            Value::String(text) if text.is_empty() => Input::Absent,
            Value::String(text) => parse(text),
            Value::Number(number) => parse(&number.to_string()),
            _ => parse(""),
        })
    }

    /// Seconds since the epoch.
    pub fn instant(&self, name: &str) -> Input<Timestamp> {
        match self.number(name) {
            Input::Given(seconds) => match i64::try_from(seconds) {
                Ok(seconds) => Input::Given(Timestamp::from_unix_seconds(seconds)),
                Err(_) => Input::Malformed(WHOLE_NUMBER),
            },
            Input::Absent => Input::Absent,
            Input::Cleared => Input::Cleared,
            Input::Malformed(expected) => Input::Malformed(expected),
        }
    }

    /// A list of strings.
    pub fn texts(&self, name: &str) -> Input<Vec<String>> {
        self.read(name, |value| {
            let texts = value.as_array().and_then(|list| {
                list.iter().map(|entry| entry.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
            });
            texts.map_or(Input::Malformed("must be a list of strings"), Input::Given)
        })
    }

    fn read<T>(&self, name: &str, read: impl FnOnce(&Value) -> Input<T>) -> Input<T> {
        match self.0.get(name) {
            None => Input::Absent,
            Some(Value::Null) => Input::Cleared,
            Some(value) => read(value),
        }
    }
}

const WHOLE_NUMBER: &str = "must be a whole number";

fn is_canonical(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{GroupId, Id as _};

    fn members(json: &str) -> Members {
        Members::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_and_strings_are_the_same_number() {
        for json in [r#"{"n":12}"#, r#"{"n":"12"}"#] {
            assert_eq!(members(json).number("n"), Input::Given(12), "{json}");
            assert_eq!(members(json).id("n"), Input::Given(GroupId::from_raw(12)), "{json}");
        }
        assert_eq!(members(r#"{"n":""}"#).number("n"), Input::Cleared);
        assert_eq!(members(r#"{"n":""}"#).id::<GroupId>("n"), Input::Absent);
        assert_eq!(members(r#"{"n":null}"#).number("n"), Input::Cleared);
        assert_eq!(members("{}").number("n"), Input::Absent);
        for json in [r#"{"n":1.5}"#, r#"{"n":-1}"#, r#"{"n":"012"}"#, r#"{"n":"+1"}"#, r#"{"n":[1]}"#, r#"{"n":"1e3"}"#]
        {
            assert!(matches!(members(json).number("n"), Input::Malformed(_)), "{json}");
            assert!(matches!(members(json).id::<GroupId>("n"), Input::Malformed(_)), "{json}");
        }
    }

    #[test]
    fn flags_may_be_strings_but_not_numbers() {
        assert_eq!(members(r#"{"f":"true"}"#).flag("f"), Input::Given(true));
        assert_eq!(members(r#"{"f":false}"#).flag("f"), Input::Given(false));
        for json in [r#"{"f":1}"#, r#"{"f":"TRUE"}"#, r#"{"f":""}"#] {
            assert!(matches!(members(json).flag("f"), Input::Malformed(_)), "{json}");
        }
    }

    #[test]
    fn only_an_object_is_read() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for body in ["", "[]", "1", "{", "{}x", "\"text\"", &deep, "{\"a\":\"\u{0}\"}"] {
            assert!(matches!(Members::parse(body.as_bytes()), Err(Refusal::NotAnObject { .. })), "{body:.40}");
        }
        // Go ends bodies with a line break.
        assert!(Members::parse(b"{}\n").is_ok());
    }
}
