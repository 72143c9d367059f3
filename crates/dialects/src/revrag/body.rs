//! Reads RevRag's request bodies: what fits the schema, or every place that does not.

use super::errors::{INVALID_PLACES_MAX, Invalid, RevragError};
use carillon_domain::agent::Variables;
use serde_json::{Map, Value, json};

/// Most records in one push. Not documented by them; ours.
pub(super) const RECORDS_PER_PUSH_MAX: usize = 10_000;

/// A record of a push, its number not yet read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PushRecord {
    pub(super) phone_number: String,
    pub(super) variables: Variables,
    pub(super) app_user_id: Option<String>,
    pub(super) app_session_id: Option<String>,
}

/// The body of `trigger/single`, its ids and numbers not yet read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TriggerSingle {
    pub(super) agent_id: String,
    pub(super) to_phone_number: String,
    pub(super) variable_fields: Option<Variables>,
    pub(super) custom_metadata: Option<Variables>,
}

/// Reads the body of `push-bulk`.
pub(super) fn push_bulk(body: &[u8]) -> Result<Vec<PushRecord>, RevragError> {
    let mut places = Places::default();
    let mut body = object(json(body)?)?;
    let at = || vec![json!("body"), json!("records")];
    let records = match body.remove("records") {
        None => {
            places.add("missing", at(), "Field required", &Value::Object(body));
            Vec::new()
        }
        Some(Value::Array(records)) if records.is_empty() => {
            let msg = "List should have at least 1 item after validation, not 0";
            places.add("too_short", at(), msg, &json!([]));
            records
        }
        Some(Value::Array(records)) if records.len() > RECORDS_PER_PUSH_MAX => {
            let count = records.len();
            let msg = format!("List should have at most {RECORDS_PER_PUSH_MAX} items after validation, not {count}");
            places.add("too_long", at(), msg, &Value::Null);
            Vec::new()
        }
        Some(Value::Array(records)) => records,
        Some(other) => {
            places.add("list_type", at(), "Input should be a valid list", &other);
            Vec::new()
        }
    };
    let mut read = Vec::with_capacity(records.len());
    for (index, record) in records.into_iter().enumerate() {
        let loc = vec![json!("body"), json!("records"), json!(index)];
        read.extend(push_record(record, loc, &mut places));
    }
    places.or(read)
}

/// Reads the body of the one-record push of an earlier generation of their API.
pub(super) fn push_one(body: &[u8]) -> Result<PushRecord, RevragError> {
    let mut places = Places::default();
    let record = push_record(json(body)?, vec![json!("body")], &mut places);
    places.or(record)?.ok_or(RevragError::Internal)
}

/// Reads the body of `trigger/single`.
pub(super) fn trigger_single(body: &[u8]) -> Result<TriggerSingle, RevragError> {
    let mut places = Places::default();
    let body = object(json(body)?)?;
    let loc = [json!("body")];
    let mut fields = Fields {
        fields: body,
        loc: &loc,
        places: &mut places,
    };
    fields.check("agent_id", Need::String);
    fields.check("to_phone_number", Need::String);
    fields.check("variable_fields", Need::MaybeObject);
    fields.check("custom_metadata", Need::MaybeObject);
    let read = TriggerSingle {
        agent_id: fields.string("agent_id").unwrap_or_default(),
        to_phone_number: fields.string("to_phone_number").unwrap_or_default(),
        variable_fields: fields.object("variable_fields"),
        custom_metadata: fields.object("custom_metadata"),
    };
    places.or(read)
}

fn push_record(record: Value, loc: Vec<Value>, places: &mut Places) -> Option<PushRecord> {
    let record = match record {
        Value::Object(record) => record,
        other => {
            places.add("model_attributes_type", loc, NOT_AN_OBJECT, &other);
            return None;
        }
    };
    let mut fields = Fields {
        fields: record,
        loc: &loc,
        places,
    };
    let before = fields.places.count;
    fields.check("phone_number", Need::String);
    fields.check("variables", Need::MaybeObject);
    fields.check("app_user_id", Need::MaybeString);
    fields.check("app_session_id", Need::MaybeString);
    if fields.places.count > before {
        return None;
    }
    Some(PushRecord {
        phone_number: fields.string("phone_number")?,
        variables: fields.object("variables").unwrap_or_default(),
        app_user_id: fields.string("app_user_id"),
        app_session_id: fields.string("app_session_id"),
    })
}

const NOT_AN_OBJECT: &str = "Input should be a valid dictionary or object to extract fields from";

fn json(body: &[u8]) -> Result<Value, RevragError> {
    if body.is_empty() {
        let place = Invalid::new("missing", vec![json!("body")], "Field required", &Value::Null);
        return Err(RevragError::Invalid(vec![place]));
    }
    serde_json::from_slice(body).map_err(|error| {
        let loc = vec![
            json!("body"),
            json!(format!("line {} column {}", error.line(), error.column())),
        ];
        RevragError::Invalid(vec![Invalid::new(
            "json_invalid",
            loc,
            format!("JSON decode error: {error}"),
            &json!({}),
        )])
    })
}

fn object(body: Value) -> Result<Map<String, Value>, RevragError> {
    match body {
        Value::Object(fields) => Ok(fields),
        other => {
            let place = Invalid::new("model_attributes_type", vec![json!("body")], NOT_AN_OBJECT, &other);
            Err(RevragError::Invalid(vec![place]))
        }
    }
}

/// A body that is not declared as JSON is not read as JSON.
pub(super) fn not_json() -> RevragError {
    let place = Invalid::new(
        "model_attributes_type",
        vec![json!("body")],
        NOT_AN_OBJECT,
        &Value::Null,
    );
    RevragError::Invalid(vec![place])
}

/// Places that do not fit: all are counted, the first ones kept.
#[derive(Default)]
struct Places {
    kept: Vec<Invalid>,
    count: usize,
}

impl Places {
    fn add(&mut self, kind: &'static str, loc: Vec<Value>, msg: impl Into<String>, input: &Value) {
        self.count += 1;
        if self.kept.len() < INVALID_PLACES_MAX {
            self.kept.push(Invalid::new(kind, loc, msg, input));
        }
    }

    fn or<T>(self, read: T) -> Result<T, RevragError> {
        if self.kept.is_empty() {
            Ok(read)
        } else {
            Err(RevragError::Invalid(self.kept))
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    String,
    MaybeString,
    MaybeObject,
}

/// Fields of one object, checked first and then taken out. Unknown ones are ignored.
struct Fields<'a> {
    fields: Map<String, Value>,
    loc: &'a [Value],
    places: &'a mut Places,
}

impl Fields<'_> {
    fn check(&mut self, name: &str, need: Need) {
        let problem = match (self.fields.get(name), need) {
            (None, Need::String) => {
                let whole = Value::Object(self.fields.clone());
                return self.places.add("missing", self.at(name), "Field required", &whole);
            }
            (None | Some(Value::Null), Need::MaybeString | Need::MaybeObject)
            | (Some(Value::String(_)), Need::String | Need::MaybeString)
            | (Some(Value::Object(_)), Need::MaybeObject) => return,
            (Some(_), Need::String | Need::MaybeString) => ("string_type", "Input should be a valid string"),
            (Some(_), Need::MaybeObject) => ("dict_type", "Input should be a valid dictionary"),
        };
        let at = self.at(name);
        if let Some(input) = self.fields.get(name) {
            self.places.add(problem.0, at, problem.1, input);
        }
    }

    fn at(&self, name: &str) -> Vec<Value> {
        self.loc.iter().cloned().chain([json!(name)]).collect()
    }

    fn string(&mut self, name: &str) -> Option<String> {
        match self.fields.swap_remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.fields.swap_remove(name) {
            Some(Value::Object(fields)) => Some(fields),
            _ => None,
        }
    }
}
