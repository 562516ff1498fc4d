//! `/openapi.json`: OpenAPI 3.1, made from the types that are read and written.

use std::sync::LazyLock;

use bytes::Bytes;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::batch::{BatchStory, ITEMS, Taken};
use super::body::Body;
use super::pages::{BATCH, BATCHES, MESSAGE, MESSAGES, OPENAPI};
use super::problem::Page;
use super::submit::Receipt;
use crate::report::story::Story;

/// The document, made once.
pub fn document() -> Bytes {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec(&describe()).unwrap_or_default().into());
    DOCUMENT.clone()
}

fn describe() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut reads = settings.clone().into_generator();
    let message = reads.subschema_for::<Body<'_>>();
    let mut writes = settings.for_serialize().into_generator();
    let accepted = writes.subschema_for::<Receipt<'_>>();
    let story = writes.subschema_for::<Story>();
    let problem = writes.subschema_for::<Page<'_>>();
    let (taken, batch) = (writes.subschema_for::<Taken>(), writes.subschema_for::<BatchStory>());
    let mut schemas = writes.take_definitions(true);
    schemas.extend(reads.take_definitions(true));

    let refusals = |statuses: &[(u16, &str)]| -> Vec<(String, Value)> {
        let one = |(status, meaning): &(u16, &str)| {
            let content = json!({ "application/problem+json": { "schema": problem } });
            (status.to_string(), json!({ "description": meaning, "content": content }))
        };
        statuses.iter().map(one).collect()
    };
    let mut sent = refusals(&[
        (400, "Not readable: not JSON, a wrong type, an unknown field"),
        (401, "No valid key"),
        (403, "Not from this address"),
        (408, "The body did not arrive in time"),
        (409, "The first request with this key is in progress"),
        (413, "The body is too large"),
        (415, "Not application/json"),
        (422, "Readable, but not acceptable"),
        (429, "Too fast; see Retry-After"),
        (503, "Cannot take more now; see Retry-After"),
    ]);
    sent.push((
        "202".into(),
        json!({
            "description": "On disk. Location names the message; Idempotent-Replayed marks a first answer given again",
            "content": { "application/json": { "schema": accepted } },
        }),
    ));
    let mut flock = refusals(&[
        (400, "Not readable as a whole; an item that is not readable is an item rejected"),
        (401, "No valid key"),
        (403, "Not from this address, or the app is held"),
        (408, "The body did not arrive in time"),
        (409, "The first request with this key is in progress"),
        (413, "Too many messages, or too large; nothing was accepted"),
        (415, "Neither application/json nor application/x-ndjson"),
        (422, "No message was accepted, each for a reason of its own: see rejected"),
        (429, "No message was accepted, and the app's rate is used up; see Retry-After"),
        (503, "No message was accepted: cannot take more now; see Retry-After"),
    ]);
    flock.push((
        "202".into(),
        json!({
            "description": "What was accepted is on disk, all of it together; what was not is in rejected. Location \
                names the batch; Idempotent-Replayed marks a first answer given again",
            "content": { "application/json": { "schema": taken } },
        }),
    ));
    let mut counted =
        refusals(&[(401, "No valid key"), (403, "Not from this address"), (404, "No such batch of this app")]);
    counted.push((
        "200".into(),
        json!({ "description": "How far it is", "content": { "application/json": { "schema": batch } } }),
    ));
    let list = |items: &Value| json!({ "type": "array", "minItems": 1, "maxItems": ITEMS, "items": items });
    let bodies = json!({
        "application/json": { "schema": { "oneOf": [
            {
                "type": "object", "required": ["messages"], "additionalProperties": false,
                "properties": { "messages": list(&json!(message)) },
            },
            {
                "type": "object", "required": ["to"], "properties": { "to": list(&json!({ "type": "string" })) },
                "description": "The other fields are those of a message, and count for each number",
            },
        ] } },
        "application/x-ndjson": { "schema": { "type": "string", "description": "A message per line" } },
    });
    let ids = json!({
        "name": "ids", "in": "query", "required": false,
        "description": "false: leave the ids of the messages out of the answer", "schema": { "type": "boolean" },
    });
    let mut told =
        refusals(&[(401, "No valid key"), (403, "Not from this address"), (404, "No such message of this app")]);
    told.push((
        "200".into(),
        json!({ "description": "Its story", "content": { "application/json": { "schema": story } } }),
    ));

    let key = json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "description": "A repetition with the same key and body within 24 hours gets the first answer",
        "schema": { "type": "string", "minLength": 1, "maxLength": super::idempotency::KEY_LIMIT },
    });
    let id = json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Qiao", "version": env!("CARGO_PKG_VERSION") },
        "security": [{ "key": [] }],
        "paths": {
            MESSAGES: { "post": {
                "operationId": "send", "summary": "Send a message", "parameters": [key],
                "requestBody": { "required": true, "content": { "application/json": { "schema": message } } },
                "responses": Value::Object(sent.into_iter().collect()),
            } },
            MESSAGE: { "get": {
                "operationId": "message", "summary": "A message's story", "parameters": [id],
                "responses": Value::Object(told.into_iter().collect()),
            } },
            BATCHES: { "post": {
                "operationId": "sendBatch", "summary": "Send many messages", "parameters": [key, ids],
                "requestBody": { "required": true, "content": bodies },
                "responses": Value::Object(flock.into_iter().collect()),
            } },
            BATCH: { "get": {
                "operationId": "batch", "summary": "How far a batch is", "parameters": [id],
                "responses": Value::Object(counted.into_iter().collect()),
            } },
            OPENAPI: { "get": {
                "operationId": "description", "summary": "This document", "security": [],
                "responses": { "200": { "description": "OpenAPI 3.1", "content": { "application/json": {} } } },
            } },
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
        },
    })
}
