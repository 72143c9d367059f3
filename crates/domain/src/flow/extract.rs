//! Typed extraction: what a customer's `extraction_schema` asks for, as far as the conversation's own values hold it. The rest
//! is left to a model, elsewhere.

use super::graph::VariableType;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A value that a customer wants after the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtractionField {
    /// Its name.
    pub name: String,
    /// Its type, as in a flow's variables.
    #[serde(rename = "type", default)]
    pub kind: VariableType,
    /// What it means, for a model.
    #[serde(default)]
    pub description: String,
}

/// The fields of `schema` that `values` hold, as their types; those that are missing or do not fit are left out.
///
/// Names are compared without case, `_`, `-` and spaces: a schema's `Appointment Date` takes a flow's `appointment_date`.
pub fn extract(values: &Map<String, Value>, schema: &[ExtractionField]) -> Map<String, Value> {
    let plain = |name: &str| {
        name.chars()
            .filter(|sign| sign.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    let mut found = Map::new();
    for field in schema {
        let exact = values.get(&field.name);
        let alike = || {
            values
                .iter()
                .find(|(name, _)| plain(name) == plain(&field.name))
                .map(|(_, value)| value)
        };
        if let Some(value) = exact.or_else(alike)
            && let Some(value) = super::template::as_type(value, field.kind, None)
        {
            found.insert(field.name.clone(), value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_filled_by_name_and_type() {
        let values = json!({
            "appointment_date": "2026-03-03T10:00:00+00:00", "party": "4", "coming": true, "comment": "fine", "empty": null
        });
        let schema: Vec<ExtractionField> = serde_json::from_value(json!([
            {"name": "Appointment Date", "type": "date"},
            {"name": "party", "type": "number"},
            {"name": "coming", "type": "text"},
            {"name": "comment", "type": "number"},
            {"name": "missing"},
            {"name": "empty", "type": "text"}
        ]))
        .expect("a schema");
        let found = extract(values.as_object().expect("an object"), &schema);
        assert_eq!(
            Value::Object(found),
            json!({"Appointment Date": "2026-03-03", "party": 4, "coming": "yes"})
        );
    }
}
