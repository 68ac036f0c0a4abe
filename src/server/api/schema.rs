//! What the wire carries, declared.
//!
//! Each wire shape declares its members once, in [`wire`](super::wire) beside what writes and reads them.
//! The OpenAPI document is made from the declarations. So that they cannot lie, a build with debug
//! assertions holds every answer that is given and every member that is read to them, whatever test
//! makes the request; a release build spends nothing on it.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::management::keys::bulk::BULK_IDS_MAX;

/// The members of an object on the wire, in the order in which they are written.
pub struct Shape {
    /// Names its schemas. Shapes that are the same thing to a reader, once in answers and once in
    /// requests, share it.
    pub name: &'static str,
    members: &'static [Member],
    /// Members that only some objects of this shape have, by what sets them apart.
    variants: &'static [&'static [Member]],
}

/// One member. As it is made, it stands in every answer and is no request's to say.
pub struct Member {
    pub name: &'static str,
    pub form: Form,
    /// A phrase for people who read the OpenAPI document.
    pub about: &'static str,
    in_answers: Presence,
    in_requests: Presence,
    default: Option<Fallback>,
    /// Another name of the same.
    spelling: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Never,
    Sometimes,
    Always,
}

/// What an answer says where nothing was given.
#[derive(Clone, Copy)]
enum Fallback {
    Flag(bool),
    Text(&'static str),
}

/// How a value is written. In requests the looser spellings of the public clients are accepted too.
#[derive(Clone, Copy)]
pub enum Form {
    /// Whatever JSON there is.
    Any,
    /// A whole number, in a string.
    Counter,
    /// Seconds since the epoch, in a string.
    Epoch,
    Flag,
    /// A decimal string.
    Id,
    /// Decimal strings.
    Ids,
    /// The id of who changed something, or `-2` for the service itself.
    ModifiedBy,
    /// What people call an object.
    Name,
    /// Addresses and CIDR blocks.
    Networks,
    /// A JSON number: only where a standard asks for one.
    Number,
    Object(&'static Shape),
    Objects(&'static Shape),
    Text,
    Texts,
    /// One of these.
    Word(&'static [&'static str]),
}

impl Shape {
    pub const fn new(name: &'static str, members: &'static [Member]) -> Self {
        Self { name, members, variants: &[] }
    }

    pub const fn with_variants(mut self, variants: &'static [&'static [Member]]) -> Self {
        self.variants = variants;
        self
    }

    /// Each name once.
    pub fn members(&self) -> Vec<&'static Member> {
        let mut members: Vec<&'static Member> = Vec::new();
        for member in self.members.iter().chain(self.variants.iter().copied().flatten()) {
            if members.iter().all(|known| known.name != member.name) {
                members.push(member);
            }
        }
        members
    }

    fn member(&self, name: &str) -> Option<&'static Member> {
        self.members().into_iter().find(|member| member.name == name)
    }

    /// Whether requests may say `name` in a form that `reads`.
    pub fn takes(&self, name: &str, reads: impl Fn(Form) -> bool) -> bool {
        self.request_members().any(|member| member.name == name && reads(member.form))
    }

    /// The shape of a member that is an object.
    pub fn object(&self, name: &str) -> Option<&'static Self> {
        match self.member(name)?.form {
            Form::Object(shape) => Some(shape),
            _ => None,
        }
    }

    /// What requests may say.
    pub fn request_members(&self) -> impl Iterator<Item = &'static Member> {
        self.members().into_iter().filter(|member| member.in_requests != Presence::Never)
    }

    /// Whether a request that makes one must say anything.
    pub fn requires_something(&self) -> bool {
        self.members().iter().any(|member| member.in_requests == Presence::Always)
    }

    /// What an answer says that is not declared, or the other way round.
    pub fn contradiction(&self, answer: &Value) -> Option<String> {
        let Value::Object(answer) = answer else { return Some(format!("{} is no object", self.name)) };
        for (name, value) in answer {
            let Some(member) = self.member(name).filter(|member| member.in_answers != Presence::Never) else {
                return Some(format!("{}.{name} is not declared", self.name));
            };
            if let Some(why) = member.form.contradiction(value) {
                return Some(format!("{}.{name}: {why}", self.name));
            }
        }
        let missing = self
            .members()
            .into_iter()
            .find(|member| member.in_answers == Presence::Always && !answer.contains_key(member.name));
        missing.map(|member| format!("{}.{} is left out", self.name, member.name))
    }

    /// Shapes within this one.
    pub fn nested(&self) -> impl Iterator<Item = &'static Shape> {
        self.members().into_iter().filter_map(|member| match member.form {
            Form::Object(shape) | Form::Objects(shape) => Some(shape),
            _ => None,
        })
    }

    /// The JSON schema of answers. Nothing undeclared is in them.
    pub fn answer_schema(&self) -> Value {
        self.schema(
            |member| member.in_answers,
            |member| {
                let mut schema = member.form.answer_schema();
                if let Some(default) = member.default_value() {
                    schema["default"] = default;
                }
                schema
            },
            false,
        )
    }

    /// The JSON schema of requests. When something is made, what is required must be there; when it is
    /// edited, nothing must. What is not declared is ignored.
    pub fn request_schema(&self, makes: bool) -> Value {
        let presence = |member: &Member| match member.in_requests {
            Presence::Always if !makes => Presence::Sometimes,
            presence => presence,
        };
        self.schema(presence, |member| member.form.request_schema(presence(member) == Presence::Always), true)
    }

    fn schema(
        &self,
        presence: impl Fn(&Member) -> Presence,
        schema_of: impl Fn(&Member) -> Value,
        additional: bool,
    ) -> Value {
        let present = self.members().into_iter().filter(|member| presence(member) != Presence::Never);
        let present: Vec<_> = present.collect();
        let mut properties = Map::new();
        for member in &present {
            let mut schema = schema_of(member);
            schema["description"] = json!(member.about);
            properties.insert(member.name.to_owned(), schema);
        }
        let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": additional });
        let required = present.iter().filter(|member| presence(member) == Presence::Always);
        let (either, required): (Vec<&Member>, Vec<_>) =
            required.partition(|member| present.iter().any(|other| member.spelling == Some(other.name)));
        if !required.is_empty() {
            schema["required"] = required.iter().map(|member| member.name).collect();
        }
        if !either.is_empty() {
            let one_of_both = |member: &&Member| json!({ "anyOf": [{ "required": [member.name] }, { "required": [member.spelling] }] });
            schema["allOf"] = either.iter().map(one_of_both).collect();
        }
        schema
    }
}

impl Member {
    pub const fn new(name: &'static str, form: Form, about: &'static str) -> Self {
        Self {
            name,
            form,
            about,
            in_answers: Presence::Always,
            in_requests: Presence::Never,
            default: None,
            spelling: None,
        }
    }

    pub const fn counter(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Form::Counter, about)
    }

    pub const fn epoch(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Form::Epoch, about)
    }

    pub const fn flag(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Form::Flag, about)
    }

    pub const fn id(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Form::Id, about)
    }

    pub const fn name(about: &'static str) -> Self {
        Self::new("name", Form::Name, about)
    }

    pub const fn text(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Form::Text, about)
    }

    pub const fn texts(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Form::Texts, about)
    }

    pub const fn word(name: &'static str, words: &'static [&'static str], about: &'static str) -> Self {
        Self::new(name, Form::Word(words), about)
    }

    /// Left out of answers where there is nothing to say.
    pub const fn optional(mut self) -> Self {
        self.in_answers = Presence::Sometimes;
        self
    }

    /// Requests may say it.
    pub const fn writable(mut self) -> Self {
        self.in_requests = Presence::Sometimes;
        self
    }

    /// Requests may say it, and one that makes the object must.
    pub const fn required(mut self) -> Self {
        self.in_requests = Presence::Always;
        self
    }

    /// Where it is required, the member of this name does as well.
    pub const fn or_spelled(mut self, other: &'static str) -> Self {
        self.spelling = Some(other);
        self
    }

    /// Never in an answer.
    pub const fn write_only(mut self) -> Self {
        self.in_answers = Presence::Never;
        if matches!(self.in_requests, Presence::Never) {
            self.in_requests = Presence::Sometimes;
        }
        self
    }

    /// What is answered where nothing was given.
    pub const fn or_flag(mut self, default: bool) -> Self {
        self.default = Some(Fallback::Flag(default));
        self
    }

    /// What is answered where nothing was given.
    pub const fn or_text(mut self, default: &'static str) -> Self {
        self.default = Some(Fallback::Text(default));
        self
    }

    pub fn default_value(&self) -> Option<Value> {
        self.default.map(|default| match default {
            Fallback::Flag(flag) => json!(flag),
            Fallback::Text(text) => json!(text),
        })
    }
}

const DIGITS: &str = "^[0-9]+$";

/// As [`Name`](crate::domain::Name) has it.
const NAME: &str = "^[A-Za-z0-9._-]([A-Za-z0-9 ._-]{0,253}[A-Za-z0-9._-])?$";

impl Form {
    fn answer_schema(self) -> Value {
        match self {
            Self::Any => json!({}),
            Self::Counter | Self::Id => json!({ "type": "string", "pattern": DIGITS }),
            Self::Epoch => json!({ "type": "string", "pattern": "^-?[0-9]+$" }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::ModifiedBy => json!({ "type": "string", "pattern": "^(-2|[0-9]+)$" }),
            Self::Name => json!({ "type": "string", "pattern": NAME }),
            Self::Ids => json!({ "type": "array", "items": Self::Id.answer_schema() }),
            Self::Networks => json!({ "type": "array", "items": network() }),
            Self::Number => json!({ "type": "integer" }),
            Self::Object(shape) => reference(shape.name),
            Self::Objects(shape) => json!({ "type": "array", "items": reference(shape.name) }),
            Self::Text => json!({ "type": "string" }),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Word(words) => json!({ "type": "string", "enum": words }),
        }
    }

    /// `null` says "none", so it is no value where one is required.
    fn request_schema(self, required: bool) -> Value {
        let types = |types: &[&str]| {
            let null = if required { None } else { Some(&"null") };
            json!({ "type": types.iter().chain(null).collect::<Vec<_>>() })
        };
        match self {
            Self::Any => json!({}),
            Self::Counter | Self::Epoch | Self::Id | Self::ModifiedBy | Self::Number => {
                let mut schema = types(&["string", "integer"]);
                schema["pattern"] = json!("^(0|[1-9][0-9]*)?$");
                schema["minimum"] = json!(0);
                schema
            }
            Self::Flag => {
                let null = if required { None } else { Some(Value::Null) };
                let values = [json!(true), json!(false), json!("true"), json!("false")];
                json!({ "enum": values.into_iter().chain(null).collect::<Vec<_>>() })
            }
            Self::Ids => {
                let mut schema = types(&["array"]);
                schema["items"] = Self::Id.request_schema(true);
                schema["minItems"] = json!(1);
                schema["maxItems"] = json!(BULK_IDS_MAX);
                schema
            }
            Self::Name => {
                let mut schema = types(&["string"]);
                schema["pattern"] = json!(NAME);
                schema
            }
            Self::Networks => {
                let mut schema = types(&["array"]);
                schema["items"] = network();
                schema
            }
            Self::Object(shape) => shape.request_schema(true),
            Self::Objects(shape) => json!({ "type": "array", "items": shape.request_schema(true) }),
            Self::Text => types(&["string"]),
            Self::Texts => {
                let mut schema = types(&["array"]);
                schema["items"] = json!({ "type": "string" });
                schema
            }
            Self::Word(words) => {
                let null = if required { None } else { Some(Value::Null) };
                json!({ "enum": words.iter().map(|word| json!(word)).chain(null).collect::<Vec<_>>() })
            }
        }
    }

    fn contradiction(self, value: &Value) -> Option<String> {
        let text = value.as_str();
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let holds = match self {
            Self::Any => true,
            Self::Counter | Self::Id => text.is_some_and(is_number),
            Self::Epoch => text.is_some_and(|text| is_number(text.strip_prefix('-').unwrap_or(text))),
            Self::Flag => value.is_boolean(),
            Self::ModifiedBy => text.is_some_and(|text| text == "-2" || is_number(text)),
            Self::Ids => value.as_array().is_some_and(|list| list.iter().all(|id| id.as_str().is_some_and(is_number))),
            Self::Number => value.is_u64(),
            Self::Object(shape) => return shape.contradiction(value),
            Self::Objects(shape) => {
                let Some(list) = value.as_array() else { return Some("is no list".to_owned()) };
                return list.iter().find_map(|entry| shape.contradiction(entry));
            }
            Self::Name | Self::Text => text.is_some(),
            Self::Networks | Self::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            Self::Word(words) => text.is_some_and(|text| words.contains(&text)),
        };
        (!holds).then(|| format!("{} was declared", self.answer_schema()))
    }
}

fn network() -> Value {
    let block = json!({ "pattern": "^[0-9A-Fa-f:.]+/[0-9]{1,3}$" });
    json!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }, block] })
}

/// To the schema of a shape's answers.
pub fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A member of the query.
pub struct Parameter {
    pub name: &'static str,
    pub form: ParameterForm,
    pub about: &'static str,
}

#[derive(Clone, Copy)]
pub enum ParameterForm {
    Flag,
    /// A whole number; both ends are possible.
    Number(u64, u64),
    Text,
}

impl Parameter {
    pub const fn new(name: &'static str, form: ParameterForm, about: &'static str) -> Self {
        Self { name, form, about }
    }

    pub fn schema(&self) -> Value {
        match self.form {
            ParameterForm::Flag => json!({ "type": "boolean" }),
            ParameterForm::Number(first, last) => json!({ "type": "integer", "minimum": first, "maximum": last }),
            ParameterForm::Text => json!({ "type": "string" }),
        }
    }
}

/// The body that a request brings.
#[derive(Clone, Copy)]
pub enum Takes {
    /// One is accepted and not looked at.
    Nothing,
    Edit(&'static Shape),
    /// `application/x-www-form-urlencoded`.
    Form(&'static Shape),
    New(&'static Shape),
}

/// The body of a success.
#[derive(Clone, Copy)]
pub enum Content {
    /// A JSON object that describes itself.
    Document,
    /// One JSON object a line.
    Lines(&'static Shape),
    /// A JSON array.
    List(&'static Shape),
    Nothing,
    Object(&'static Shape),
    /// One page and two counters.
    Page(&'static Shape),
    /// Not JSON: its content type.
    Raw(&'static str),
}

/// What a request that succeeds is answered with.
#[derive(Clone, Copy)]
pub struct Success {
    pub status: StatusCode,
    pub content: Content,
    /// It carries the object's revision as `ETag`.
    pub has_etag: bool,
}

impl Content {
    pub const JSON: &'static str = "application/json";
    pub const LINES: &'static str = "application/x-ndjson";

    pub fn content_type(self) -> Option<&'static str> {
        match self {
            Self::Document | Self::List(_) | Self::Object(_) | Self::Page(_) => Some(Self::JSON),
            Self::Lines(_) => Some(Self::LINES),
            Self::Nothing => None,
            Self::Raw(content_type) => Some(content_type),
        }
    }

    pub fn shape(self) -> Option<&'static Shape> {
        match self {
            Self::Lines(shape) | Self::List(shape) | Self::Object(shape) | Self::Page(shape) => Some(shape),
            Self::Document | Self::Nothing | Self::Raw(_) => None,
        }
    }

    pub fn schema(self) -> Option<Value> {
        Some(match self {
            Self::Document => json!({ "type": "object" }),
            Self::Lines(_) | Self::Raw(_) => json!({ "type": "string" }),
            Self::List(shape) => json!({ "type": "array", "items": reference(shape.name) }),
            Self::Nothing => return None,
            Self::Object(shape) => reference(shape.name),
            Self::Page(shape) => {
                let counter = Form::Counter.answer_schema();
                json!({
                    "type": "object",
                    "properties": {
                        "totalPages": counter,
                        "totalCount": counter,
                        "list": { "type": "array", "items": reference(shape.name) },
                    },
                    "additionalProperties": false,
                    "required": ["totalPages", "totalCount", "list"],
                })
            }
        })
    }

    /// What a body says that is not declared, or the other way round.
    pub fn contradiction(self, body: &[u8]) -> Option<String> {
        let parse = |text: &[u8]| serde_json::from_slice::<Value>(text).map_err(|error| error.to_string());
        let hold = |shape: &'static Shape, text: &[u8]| match parse(text) {
            Ok(value) => shape.contradiction(&value),
            Err(why) => Some(why),
        };
        match self {
            Self::Document | Self::Raw(_) => None,
            Self::Lines(shape) => {
                body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).find_map(|line| hold(shape, line))
            }
            Self::List(shape) => match parse(body) {
                Ok(value) => Form::Objects(shape).contradiction(&value),
                Err(why) => Some(why),
            },
            Self::Nothing => (!body.is_empty()).then(|| "a body where none was declared".to_owned()),
            Self::Object(shape) => hold(shape, body),
            Self::Page(shape) => match parse(body) {
                Ok(mut page) => {
                    let counters = ["totalPages", "totalCount"];
                    let wrong = counters.into_iter().find_map(|name| Form::Counter.contradiction(&page[name]));
                    wrong.or_else(|| Form::Objects(shape).contradiction(&page["list"].take()))
                }
                Err(why) => Some(why),
            },
        }
    }
}
