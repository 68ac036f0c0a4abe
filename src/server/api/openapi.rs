//! `GET /openapi.json`: the table of routes as an OpenAPI 3.1 document.

use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::{Map, Value, json};

use super::answer::{Answer, JSON};
use super::refusal::Refusal;
use super::routes::{Endpoint, KIND_PARTS, ROUTES, Route, on_kind};
use super::schema::{Content, Shape, Takes, reference};
use super::wire::error::ERROR;
use super::wire::key;
use super::{Api, Call};
use crate::domain::Kind;

pub(super) async fn document(api: &Api, _call: &Call) -> Result<Answer, Refusal> {
    Ok(Answer::bytes(JSON, api.openapi.clone()))
}

/// The document's bytes.
pub(super) fn write() -> Bytes {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    declare(&ERROR, &mut schemas);
    for route in ROUTES {
        for operation in operations(route) {
            let entry = paths.entry(operation.path.clone()).or_insert_with(|| json!({}));
            entry[route.method.as_str().to_ascii_lowercase()] = operation.write();
        }
        for shape in route.success.content.shape().into_iter().chain(route.preview) {
            declare(shape, &mut schemas);
        }
        if let Some((name, schema)) = request_schema(route) {
            schemas.insert(name, schema);
        }
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Muster management API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
        },
        "servers": [{ "url": "/" }, { "url": "/zpa" }],
        "security": [{ "token": [] }, { "oauth2": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": headers(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "The access_token of POST /signin or POST /oauth2/v1/token." },
                "oauth2": { "type": "oauth2",
                    "flows": { "clientCredentials": { "tokenUrl": "/oauth2/v1/token", "scopes": {} } } },
            },
        },
    });
    document.to_string().into()
}

const DESCRIPTION: &str = "Ids, counters and instants are strings, booleans are booleans, and what is not there is \
    left out. Whatever parts a base URL puts in front of a path are ignored. Unknown members of requests and \
    queries are ignored.";

/// A row of the table on one path. Rows with a part that says the kind have one for each: side by side with
/// others such templates would be ambiguous (OpenAPI 3.1, Paths Object).
struct Operation {
    route: &'static Route,
    path: String,
    /// What tells the operation from others of its row.
    kind_word: Option<&'static str>,
}

fn operations(route: &'static Route) -> Vec<Operation> {
    let path = format!("/{}", route.pattern);
    let mut parts = KIND_PARTS.into_iter().filter(|(part, _)| *part != ASSOCIATION_TYPE);
    let Some((_, word_of)) = parts.find(|(part, _)| path.contains(part)) else {
        return vec![Operation { route, path, kind_word: None }];
    };
    let on = |kind| Operation { route, path: on_kind(&path, kind), kind_word: Some(word_of(kind)) };
    Kind::ALL.map(on).into()
}

/// Nothing else stands where this does, so it stays a parameter.
const ASSOCIATION_TYPE: &str = "{associationType}";

impl Operation {
    /// `groups.list.machineGroup`; where a handler stands on several paths, with what sets this one apart.
    fn id(&self) -> String {
        let mut id = self.route.handler.replace("::", ".");
        let first = ROUTES.iter().find(|route| route.handler == self.route.handler).unwrap_or(self.route);
        let own =
            self.route.pattern.split('/').find(|part| *part != "v1" && first.pattern.split('/').all(|p| p != *part));
        if let Some(own) = own {
            id = format!("{id}.{own}");
        }
        if let Some(word) = self.kind_word {
            id = format!("{id}.{word}");
        }
        if self.path.starts_with("/mgmtconfig/v2/") { format!("{id}.v2") } else { id }
    }

    fn write(&self) -> Value {
        let route = self.route;
        let room = route.handler.split("::").next().unwrap_or_default();
        let mut operation = json!({
            "operationId": self.id(),
            "summary": route.summary,
            "tags": [room.replace('_', " ")],
            "parameters": self.parameters(),
            "responses": self.responses(),
        });
        match route.endpoint {
            Endpoint::Authenticated { role, .. } => {
                let oneself = if route.of_oneself { ", and for whoever it is about" } else { "" };
                operation["description"] = json!(format!("For the role {role} and stronger ones{oneself}."));
            }
            Endpoint::Public(_) => operation["security"] = json!([]),
        }
        let content_type = match route.takes {
            Takes::Edit(_) | Takes::New(_) => Some(Content::JSON),
            Takes::Form(_) => Some("application/x-www-form-urlencoded"),
            Takes::Nothing => None,
        };
        if let (Some(content_type), Some((name, _))) = (content_type, request_schema(route)) {
            let content = json!({ content_type: { "schema": reference(&name) } });
            operation["requestBody"] = json!({ "required": route.needs_body(), "content": content });
        }
        operation
    }

    fn parameters(&self) -> Vec<Value> {
        let mut parameters = Vec::new();
        for part in self.path.split('/') {
            let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else { continue };
            let schema = match name {
                "associationType" => json!({ "type": "string", "enum": Kind::ALL.map(key::association) }),
                "sessionId" => json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]+$" }),
                _ => json!({ "type": "string", "pattern": "^[0-9]+$" }),
            };
            parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
        }
        for parameter in self.route.parameters {
            let (name, about) = (parameter.name, parameter.about);
            parameters.push(json!({ "name": name, "in": "query", "description": about, "schema": parameter.schema() }));
        }
        let mut header = |name: &str, about: &str| {
            let schema = json!({ "type": "string" });
            parameters.push(json!({ "name": name, "in": "header", "description": about, "schema": schema }));
        };
        if self.route.honours_if_match {
            header("If-Match", "An ETag of the object: it is changed in that revision only");
        }
        if self.route.honours_idempotency_key {
            header("Idempotency-Key", "Of one's choice: the same request is carried out once");
        }
        parameters
    }

    fn responses(&self) -> Map<String, Value> {
        let success = &self.route.success;
        let mut headers = Map::from_iter([header("X-Transaction-Id")]);
        if success.has_etag {
            headers.extend([header("ETag")]);
        }
        let about = success.status.canonical_reason().unwrap_or_default();
        let mut answer = json!({ "description": about, "headers": headers });
        if let (Some(content_type), Some(schema)) = (success.content.content_type(), success.content.schema()) {
            answer["content"] = json!({ content_type: { "schema": schema } });
        }
        let mut responses = Map::from_iter([(success.status.as_str().to_owned(), answer)]);
        if let Some(preview) = self.route.preview {
            let content = json!({ Content::JSON: { "schema": reference(preview.name) } });
            let about = "With dryRun: what would be done";
            let headers = Map::from_iter([header("X-Transaction-Id")]);
            responses.insert("200".to_owned(), json!({ "description": about, "headers": headers, "content": content }));
        }
        for (status, about) in self.route.refusals() {
            let mut headers = Map::from_iter([header("X-Transaction-Id")]);
            if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                headers.extend([header("Retry-After")]);
            }
            let content = json!({ Content::JSON: { "schema": reference(ERROR.name) } });
            let refusal = json!({ "description": about, "headers": headers, "content": content });
            responses.insert(status.as_str().to_owned(), refusal);
        }
        responses
    }
}

fn headers() -> Value {
    let header = |about: &str, schema: Value| json!({ "description": about, "required": true, "schema": schema });
    json!({
        "ETag": header("The object's revision in quotes", json!({ "type": "string", "pattern": "^\"[0-9]+\"$" })),
        "Retry-After": header("Seconds to wait", json!({ "type": "integer", "minimum": 0 })),
        "X-Transaction-Id": header("Leads to the log line", json!({ "type": "string" })),
    })
}

fn header(name: &str) -> (String, Value) {
    (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))
}

/// The schema of a shape's answers and of all within it.
fn declare(shape: &'static Shape, schemas: &mut Map<String, Value>) {
    schemas.insert(shape.name.to_owned(), shape.answer_schema());
    for nested in shape.nested() {
        declare(nested, schemas);
    }
}

/// The schema of what a request brings, and its name.
fn request_schema(route: &Route) -> Option<(String, Value)> {
    let (shape, use_of_it) = match route.takes {
        Takes::Edit(shape) => (shape, "Edit"),
        Takes::Form(shape) => (shape, "Form"),
        Takes::New(shape) => (shape, "New"),
        Takes::Nothing => return None,
    };
    Some((format!("{}.{use_of_it}", shape.name), shape.request_schema(use_of_it != "Edit")))
}
