//! Flows to begin with. They are files, so that a server can offer them as they are.

/// Name and JSON of each example.
pub const EXAMPLES: [(&str, &str); 3] = [
    ("appointment", include_str!("examples/appointment.json")),
    ("payment", include_str!("examples/payment.json")),
    ("survey", include_str!("examples/survey.json")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Flow, lint};

    #[test]
    fn examples_are_read_and_have_no_findings() {
        for (name, json) in EXAMPLES {
            let flow: Flow = serde_json::from_str(json).expect(name);
            assert_eq!(lint(&flow), [], "{name}");
        }
    }

    #[test]
    fn what_is_stored_is_read_again() {
        for (name, json) in EXAMPLES {
            let flow: Flow = serde_json::from_str(json).expect(name);
            let stored = serde_json::to_string(&flow).expect("JSON");
            assert_eq!(serde_json::from_str::<Flow>(&stored).expect(name), flow, "{name}");
        }
    }
}
