//! Reading a request's JSON object member by member, so that every fault is found and none hides
//! another.

use std::str::FromStr;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::management::Input;
use crate::server::api::refusal::Refusal;
use crate::server::api::schema::{Form, Shape};

/// A JSON object that was sent. Of a member that is there twice the last one counts.
pub struct Members {
    members: Map<String, Value>,
    declared_by: Option<&'static Shape>,
}

impl Members {
    /// # Errors
    /// [`Refusal::NotAnObject`]: no JSON, nested too deep, or something else than an object.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        // serde_json's messages name a position and never repeat the text, which may hold a secret.
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self { members, declared_by: None }),
            Ok(_) => Err(Refusal::NotAnObject { detail: "something else was found".to_owned() }),
            Err(error) => Err(Refusal::NotAnObject { detail: error.to_string() }),
        }
    }

    /// Holds all that is read to what the document says of the request.
    pub fn declared_by(self, shape: Option<&'static Shape>) -> Self {
        Self { declared_by: shape, ..self }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.read(name, |_| true, |_| Input::Given(())) == Input::Given(())
    }

    pub fn text(&self, name: &str) -> Input<String> {
        self.read(
            name,
            |form| matches!(form, Form::Name | Form::Text | Form::Word(_)),
            |value| match value {
                Value::String(text) => Input::Given(text.clone()),
                _ => Input::Malformed("must be a string"),
            },
        )
    }

    /// A string that is a secret. It is taken out, so that its one copy here is the receiver's, which
    /// wipes it. (The parser's own buffer is not wiped.)
    pub fn take_secret(&mut self, name: &str) -> Input<Zeroizing<String>> {
        let is_there = self.read(name, |form| matches!(form, Form::Text), |_| Input::Given(()));
        match (is_there, self.members.remove(name)) {
            (Input::Cleared, _) => Input::Cleared,
            (_, None) => Input::Absent,
            (_, Some(Value::String(text))) => Input::Given(Zeroizing::new(text)),
            (_, Some(_)) => Input::Malformed("must be a string"),
        }
    }

    /// A string, or a number for the digits it is written with.
    pub fn text_or_number(&self, name: &str) -> Input<String> {
        self.read(
            name,
            |form| matches!(form, Form::Counter | Form::Text),
            |value| match value {
                Value::String(text) => Input::Given(text.clone()),
                Value::Number(number) => Input::Given(number.to_string()),
                _ => Input::Malformed("must be a string"),
            },
        )
    }

    /// A word, or a boolean in either spelling of [`flag`](Self::flag) for `TRUE` and `FALSE`.
    pub fn text_or_flag(&self, name: &str) -> Input<String> {
        self.read(
            name,
            |form| matches!(form, Form::Word(_)),
            |value| match value {
                Value::String(text) if text == "true" || text == "false" => Input::Given(text.to_ascii_uppercase()),
                Value::String(text) => Input::Given(text.clone()),
                Value::Bool(flag) => Input::Given(flag.to_string().to_ascii_uppercase()),
                _ => Input::Malformed("must be a string or a boolean"),
            },
        )
    }

    /// A boolean, or `"true"` and `"false"` as the documented examples have it.
    pub fn flag(&self, name: &str) -> Input<bool> {
        self.read(
            name,
            |form| matches!(form, Form::Flag),
            |value| match value {
                Value::Bool(flag) => Input::Given(*flag),
                Value::String(text) if text == "true" => Input::Given(true),
                Value::String(text) if text == "false" => Input::Given(false),
                _ => Input::Malformed("must be true or false"),
            },
        )
    }

    /// A whole number, as a number or in a string; an empty string is none.
    pub fn number(&self, name: &str) -> Input<u64> {
        self.read(
            name,
            |form| matches!(form, Form::Counter | Form::Epoch | Form::Word(_)),
            |value| match value {
                Value::Number(number) => number.as_u64().map_or(Input::Malformed(WHOLE_NUMBER), Input::Given),
                Value::String(text) if text.is_empty() => Input::Cleared,
                Value::String(text) if is_canonical(text) => {
                    text.parse().map_or(Input::Malformed(WHOLE_NUMBER), Input::Given)
                }
                _ => Input::Malformed(WHOLE_NUMBER),
            },
        )
    }

    /// An id, as a string or a number; an empty string is none, as Go writes it.
    pub fn id<T: FromStr>(&self, name: &str) -> Input<T> {
        self.read(
            name,
            |form| matches!(form, Form::Id),
            |value| match value {
                Value::String(text) if text.is_empty() => Input::Absent,
                value => {
                    parse_id(value).map_or(Input::Malformed("is no id: a decimal string is expected"), Input::Given)
                }
            },
        )
    }

    /// A list of ids, strings or numbers.
    pub fn ids<T: FromStr>(&self, name: &str) -> Input<Vec<T>> {
        self.read(
            name,
            |form| matches!(form, Form::Ids),
            |value| {
                let ids = value.as_array().and_then(|list| list.iter().map(parse_id).collect());
                ids.map_or(Input::Malformed("must be a list of ids: decimal strings are expected"), Input::Given)
            },
        )
    }

    /// Seconds since the epoch. Milliseconds are past the last year and so refused.
    pub fn instant(&self, name: &str) -> Input<Timestamp> {
        self.number(name).and_then(|seconds| {
            let at = i64::try_from(seconds).ok().and_then(Timestamp::checked_from_unix_seconds);
            at.map_or(Input::Malformed("must be seconds since 1970, up to the year 9999"), Input::Given)
        })
    }

    /// A list of strings.
    pub fn texts(&self, name: &str) -> Input<Vec<String>> {
        self.read(
            name,
            |form| matches!(form, Form::Networks | Form::Texts),
            |value| {
                let texts = value.as_array().and_then(|list| {
                    list.iter().map(|entry| entry.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
                });
                texts.map_or(Input::Malformed("must be a list of strings"), Input::Given)
            },
        )
    }

    /// An object of its own, taken out as it may hold a secret; none when it is not there.
    ///
    /// # Errors
    /// [`Refusal::Query`] when something else stands there.
    pub fn take_object(&mut self, name: &'static str) -> Result<Option<Self>, Refusal> {
        let declared_by = self.declared_by.and_then(|shape| shape.object(name));
        self.read(name, |form| matches!(form, Form::Object(_)), |_| Input::Given(()));
        match self.members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Self { members, declared_by })),
            Some(_) => Err(Refusal::Query { member: name, detail: "must be an object".to_owned() }),
        }
    }

    fn read<T>(&self, name: &str, reads: impl Fn(Form) -> bool, read: impl FnOnce(&Value) -> Input<T>) -> Input<T> {
        if let Some(shape) = self.declared_by {
            debug_assert!(shape.takes(name, reads), "{}.{name} is not declared like this", shape.name);
        }
        #[cfg(test)]
        tests::READ.with_borrow_mut(|names| names.insert(name.to_owned()));
        match self.members.get(name) {
            None => Input::Absent,
            Some(Value::Null) => Input::Cleared,
            Some(value) => read(value),
        }
    }
}

fn parse_id<T: FromStr>(value: &Value) -> Option<T> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

const WHOLE_NUMBER: &str = "must be a whole number";

fn is_canonical(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

#[cfg(test)]
pub(in crate::server::api) mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;
    use crate::id::{GroupId, Id as _};

    thread_local! {
        /// Names of the members that were read on this thread.
        pub static READ: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    }

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
    fn an_instant_is_in_seconds_and_has_a_last_one() {
        let instant = |seconds: u64| members(&format!(r#"{{"n":"{seconds}"}}"#)).instant("n");
        for seconds in [0, 1_800_000_000, 253_402_300_798, 253_402_300_799] {
            assert_eq!(instant(seconds), Input::Given(Timestamp::from_unix_seconds(seconds as i64)), "{seconds}");
        }
        for seconds in [253_402_300_800, 1_800_000_000_000, u64::MAX] {
            assert!(matches!(instant(seconds), Input::Malformed(_)), "{seconds}");
        }
        assert_eq!(members(r#"{"n":null}"#).instant("n"), Input::Cleared);
    }

    #[test]
    fn lists_of_ids_take_strings_and_numbers_and_nothing_else() {
        let ids = |json| members(json).ids::<GroupId>("n");
        assert_eq!(ids(r#"{"n":["1",2]}"#), Input::Given(vec![GroupId::from_raw(1), GroupId::from_raw(2)]));
        assert_eq!(ids(r#"{"n":[]}"#), Input::Given(vec![]));
        for json in [r#"{"n":"1"}"#, r#"{"n":[""]}"#, r#"{"n":["1",null]}"#, r#"{"n":[-1]}"#, r#"{"n":[0]}"#] {
            assert!(matches!(ids(json), Input::Malformed(_)), "{json}");
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
