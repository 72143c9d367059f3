//! Templates and conditions over variables (`minijinja`), and the types of variables.
//!
//! The language is cut down to what a spoken sentence needs: `if` and `for`, expressions, and a short list of filters.
//! Assignments, macros and the filters that can multiply text are left out, and the work is bounded by fuel, so that no template
//! can take the machine's time or memory.

use super::grammar::{Speech, SpokenAs};
use super::graph::VariableType;
use jiff::civil::{Date, Time};
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Longest template.
pub(super) const SOURCE_BYTES_MAX: usize = 4_000;
/// Longest text that is ever spoken at once.
pub(super) const TEXT_CHARS_MAX: usize = 2_000;
const FUEL: u64 = 20_000;
const TAGS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];

/// Renders templates and reads conditions in one language.
#[derive(Clone)]
pub(super) struct Templates {
    environment: Environment<'static>,
}

/// A rendered text and what was odd about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) text: String,
    /// What to tell the author: variables that are not there, errors.
    pub(super) notes: Vec<String>,
}

impl Templates {
    pub(super) fn new(speech: &'static dyn Speech) -> Self {
        let mut environment = Environment::empty();
        environment.set_fuel(Some(FUEL));
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_recursion_limit(50);
        {
            use minijinja::{filters, tests};
            environment.add_filter("upper", filters::upper);
            environment.add_filter("lower", filters::lower);
            environment.add_filter("title", filters::title);
            environment.add_filter("capitalize", filters::capitalize);
            environment.add_filter("trim", filters::trim);
            environment.add_filter("default", filters::default);
            environment.add_filter("length", filters::length);
            environment.add_filter("first", filters::first);
            environment.add_filter("last", filters::last);
            environment.add_filter("int", filters::int);
            environment.add_filter("float", filters::float);
            environment.add_filter("round", filters::round);
            environment.add_filter("abs", filters::abs);
            environment.add_test("defined", tests::is_defined);
            environment.add_test("undefined", tests::is_undefined);
            environment.add_test("none", tests::is_none);
            environment.add_test("number", tests::is_number);
            environment.add_test("string", tests::is_string);
            environment.add_test("odd", tests::is_odd);
            environment.add_test("even", tests::is_even);
        }
        let filter = move |how: SpokenAs| {
            move |value: minijinja::Value, options: Kwargs| -> Result<String, Error> {
                let currency: Option<String> = options.get("currency")?;
                let how = match options.get::<Option<String>>("as")?.as_deref() {
                    None => how,
                    Some("digits") => SpokenAs::Digits,
                    Some("ordinal") => SpokenAs::Ordinal,
                    Some("date") => SpokenAs::Date,
                    Some("time") => SpokenAs::Time,
                    Some("amount") => SpokenAs::Amount,
                    Some(other) => {
                        return Err(Error::new(
                            ErrorKind::InvalidOperation,
                            format!("`{other}` is no way to speak; use digits, ordinal, date, time or amount"),
                        ));
                    }
                };
                options.assert_all_used()?;
                if value.is_undefined() {
                    return Ok(String::new());
                }
                Ok(speech.speak_as(&to_json(&value), how, currency.as_deref()))
            }
        };
        environment.add_filter("spoken", filter(SpokenAs::Shape));
        environment.add_filter("spoken_digits", filter(SpokenAs::Digits));
        environment.add_filter("spoken_date", filter(SpokenAs::Date));
        environment.add_filter("spoken_time", filter(SpokenAs::Time));
        environment.add_filter("spoken_amount", filter(SpokenAs::Amount));
        environment.add_filter("ordinal", filter(SpokenAs::Ordinal));
        // What nobody says as it is written is spoken even without a filter: amounts, days, times, `true`.
        environment.set_formatter(move |out, _, value| {
            if value.is_undefined() || value.is_none() {
                return Ok(());
            }
            let json = to_json(value);
            let text = match &json {
                Value::String(text) if !is_timely(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                other => speech.speak(other),
            };
            out.write_str(&text).map_err(Error::from)
        });
        Self { environment }
    }

    /// The text of a template. What cannot be rendered falls back to its words without the expressions.
    pub(super) fn render(&self, source: &str, variables: &Map<String, Value>) -> Rendered {
        let mut rendered = Rendered::default();
        match self.names(source) {
            Ok(names) => {
                let missing = names.into_iter().filter(|name| !variables.contains_key(name));
                rendered
                    .notes
                    .extend(missing.map(|name| format!("variable `{name}` is not there")));
            }
            Err(problem) => {
                rendered.notes.push(problem);
                rendered.text = tidy(&without_expressions(source));
                return rendered;
            }
        }
        match self.environment.render_str(source, variables) {
            Ok(text) => rendered.text = tidy(&text),
            Err(error) => {
                rendered.notes.push(describe(&error));
                rendered.text = tidy(&without_expressions(source));
            }
        }
        rendered
    }

    /// The variables that a template uses.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub(super) fn names(&self, source: &str) -> Result<BTreeSet<String>, String> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(format!(
                "the template has more than {SOURCE_BYTES_MAX} bytes; cut it into several nodes"
            ));
        }
        if let Some(tag) = forbidden_tag(source) {
            return Err(format!(
                "`{tag}` is not allowed in a template; use `if` and `for`, or a `set` node"
            ));
        }
        let template = self
            .environment
            .template_from_str(source)
            .map_err(|error| describe(&error))?;
        Ok(template
            .undeclared_variables(false)
            .into_iter()
            .filter(|name| name != "loop")
            .collect())
    }

    /// The variables that a condition uses.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn expression_names(&self, source: &str) -> Result<BTreeSet<String>, String> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(format!("the condition has more than {SOURCE_BYTES_MAX} bytes"));
        }
        let expression = self
            .environment
            .compile_expression(source)
            .map_err(|error| describe(&error))?;
        Ok(expression.undeclared_variables(false).into_iter().collect())
    }

    /// What an expression comes to.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn evaluate(&self, source: &str, variables: &Map<String, Value>) -> Result<Value, String> {
        self.expression_names(source)?;
        let expression = self
            .environment
            .compile_expression(source)
            .map_err(|error| describe(&error))?;
        expression
            .eval(variables)
            .map(|value| to_json(&value))
            .map_err(|error| describe(&error))
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn holds(&self, source: &str, variables: &Map<String, Value>) -> Result<bool, String> {
        self.expression_names(source)?;
        let expression = self
            .environment
            .compile_expression(source)
            .map_err(|error| describe(&error))?;
        expression
            .eval(variables)
            .map(|value| value.is_true())
            .map_err(|error| describe(&error))
    }
}

fn to_json(value: &minijinja::Value) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

fn describe(error: &Error) -> String {
    let line = error
        .line()
        .filter(|line| *line > 1)
        .map(|line| format!(" in line {line}"))
        .unwrap_or_default();
    match error.detail() {
        Some(detail) => format!("{}: {detail}{line}", error.kind()),
        None => format!("{}{line}", error.kind()),
    }
}

fn forbidden_tag(source: &str) -> Option<String> {
    source.split("{%").skip(1).find_map(|after| {
        let name: String = after
            .trim_start_matches(['-', '+'])
            .trim_start()
            .chars()
            .take_while(|sign| sign.is_alphanumeric() || *sign == '_')
            .collect();
        (!TAGS.contains(&name.as_str())).then_some(name)
    })
}

fn without_expressions(source: &str) -> String {
    let mut text = String::new();
    let mut rest = source;
    while let Some(start) = rest
        .find("{{")
        .into_iter()
        .chain(rest.find("{%"))
        .chain(rest.find("{#"))
        .min()
    {
        text.push_str(rest.get(..start).unwrap_or(""));
        let close = match rest.get(start..start + 2) {
            Some("{{") => "}}",
            Some("{%") => "%}",
            _ => "#}",
        };
        let after = rest.get(start..).unwrap_or("");
        rest = after.find(close).and_then(|end| after.get(end + 2..)).unwrap_or("");
    }
    text.push_str(rest);
    text
}

/// One line, no doubled spaces, no space before a stop, not longer than anybody listens.
fn tidy(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for stop in [",", ".", "!", "?", ";", ":"] {
        line = line.replace(&format!(" {stop}"), stop);
    }
    // "At ten a.m.", and then the sentence's own stop.
    for half in ["a.m.", "p.m."] {
        line = line.replace(&format!("{half}."), half);
    }
    if line.chars().count() > TEXT_CHARS_MAX {
        line = line.chars().take(TEXT_CHARS_MAX).collect();
    }
    // Marks alone cannot be spoken.
    if line.chars().any(char::is_alphanumeric) {
        line
    } else {
        String::new()
    }
}

fn is_timely(text: &str) -> bool {
    let bytes = text.as_bytes();
    let day = text.len() >= 10
        && bytes.get(4) == Some(&b'-')
        && text.get(..10).is_some_and(|day| day.parse::<Date>().is_ok());
    let clock = matches!(text.len(), 5 | 8) && bytes.get(2) == Some(&b':') && text.parse::<Time>().is_ok();
    (day && (text.len() == 10 || bytes.get(10) == Some(&b'T'))) || clock
}

/// A value as a type, if it is one or its text can be read as one.
pub(super) fn as_type(value: &Value, kind: VariableType, currency: Option<&str>) -> Option<Value> {
    let text = value.as_str().map(str::trim);
    match kind {
        VariableType::Any => Some(value.clone()),
        VariableType::Text => match value {
            Value::String(_) => Some(value.clone()),
            Value::Number(number) => Some(json!(number.to_string())),
            Value::Bool(yes) => Some(json!(if *yes { "yes" } else { "no" })),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        },
        VariableType::Number => match (value, text) {
            (Value::Number(_), _) => Some(value.clone()),
            (_, Some(text)) => {
                let number: f64 = text.replace(',', "").parse().ok()?;
                number.is_finite().then(|| super::answer::number_json(number))
            }
            _ => None,
        },
        VariableType::YesNo => match (value, text.map(str::to_lowercase).as_deref()) {
            (Value::Bool(_), _) => Some(value.clone()),
            (_, Some("yes" | "true" | "y" | "1")) => Some(json!(true)),
            (_, Some("no" | "false" | "n" | "0")) => Some(json!(false)),
            _ => None,
        },
        VariableType::Digits => {
            let text = text
                .map(str::to_owned)
                .or_else(|| value.as_u64().map(|number| number.to_string()))?;
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            (!digits.is_empty()).then(|| json!(digits))
        }
        VariableType::Amount => amount(value, currency),
        VariableType::Date => {
            let text = text?.get(..10)?;
            text.parse::<Date>().ok().map(|day| json!(day.to_string()))
        }
        VariableType::Time => {
            let time: Time = text?.parse().ok()?;
            Some(json!(time.strftime("%H:%M").to_string()))
        }
        VariableType::DateTime => {
            let text = text?;
            (text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::DateTime>().is_ok())
                .then(|| json!(text))
        }
    }
}

fn amount(value: &Value, currency: Option<&str>) -> Option<Value> {
    if let Some(fields) = value.as_object() {
        let minor = fields.get("minor")?.as_i64()?;
        let code = fields.get("currency").and_then(Value::as_str).or(currency)?;
        return Some(json!({"minor": minor, "currency": code}));
    }
    let code = currency?;
    let units = value
        .as_f64()
        .or_else(|| value.as_str()?.trim().replace(',', "").parse().ok())?;
    let minor = super::english::minor_units(units, code)?;
    Some(json!({"minor": minor, "currency": code}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::grammar::speech;
    use crate::language::Language;

    fn render(source: &str) -> Rendered {
        let variables = json!({
            "name": "Anna", "count": 3, "amount": {"minor": 1250, "currency": "USD"}, "day": "2026-03-03", "at": "17:00", "code": "4270",
            "many": ["a", "b", "c"], "yes": true, "nothing": null
        });
        let templates = Templates::new(speech(&Language::english()).expect("English"));
        templates.render(source, variables.as_object().expect("an object"))
    }

    #[test]
    fn values_are_spoken_in_templates() {
        let rows = [
            ("Hello {{ name }}!", "Hello Anna!"),
            ("{{ amount }}", "twelve dollars and fifty cents"),
            ("{{ amount | spoken }}", "twelve dollars and fifty cents"),
            ("on {{ day }} at {{ at }}", "on Tuesday the third of March at five p.m."),
            ("{{ code | spoken_digits }}", "four two seven zero"),
            ("{{ code | spoken(as='digits') }}", "four two seven zero"),
            (
                "{{ 12.5 | spoken_amount(currency='EUR') }}",
                "twelve euros and fifty cents",
            ),
            ("the {{ count | ordinal }}", "the third"),
            ("{{ many | spoken }}", "a, b and c"),
            ("{% if yes %}Good{% else %}Bad{% endif %} .", "Good."),
            (
                "{% for one in many %}{{ one }}{% if not loop.last %}, {% endif %}{% endfor %}",
                "a, b, c",
            ),
            ("{{ nothing }}Hello", "Hello"),
            ("{{ nobody | default('you') }}", "you"),
            ("  two\n lines ", "two lines"),
            ("?!", ""),
        ];
        for (source, expected) in rows {
            assert_eq!(render(source).text, expected, "{source}");
        }
    }

    #[test]
    fn what_cannot_be_rendered_falls_back_to_its_words_and_a_note() {
        let rows = [
            ("Hello {{ nobody }}!", "Hello!"),
            ("Hello {{ nobody.name.first }}!", "Hello!"),
            ("Hello {{ name | shout }}!", "Hello!"),
            ("Hello {{ name", "Hello"),
            ("{% set x = 1 %}Hello", "Hello"),
            ("{% include 'file' %}Hello", "Hello"),
            (
                "Hello {% for a in many %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
                "Hello x",
            ),
            ("Hi {{ name | spoken(as='song') }}", "Hi"),
        ];
        for (source, expected) in rows {
            let rendered = render(source);
            assert_eq!(rendered.text, expected, "{source}");
            assert!(!rendered.notes.is_empty(), "{source}");
        }
    }

    #[test]
    fn work_and_length_are_bounded() {
        let loops = "{% for a in many %}".repeat(12) + "x" + &"{% endfor %}".repeat(12);
        assert!(
            render(&loops).notes.iter().any(|note| note.contains("fuel")),
            "{:?}",
            render(&loops).notes
        );
        assert!(render("{{ 'word ' * 20000 }}").text.chars().count() <= TEXT_CHARS_MAX);
        assert!(!render(&"a".repeat(SOURCE_BYTES_MAX + 1)).notes.is_empty());
        assert!(!render(&("{{".to_owned() + &"(".repeat(3000) + "}}")).notes.is_empty());
    }

    #[test]
    fn what_a_call_carries_is_read_as_its_type() {
        let rows = [
            (json!("1,250"), VariableType::Number, Some(json!(1250))),
            (json!("old"), VariableType::Number, None),
            (json!("yes"), VariableType::YesNo, Some(json!(true))),
            (
                json!(12.5),
                VariableType::Amount,
                Some(json!({"minor": 1250, "currency": "USD"})),
            ),
            (
                json!("12.50"),
                VariableType::Amount,
                Some(json!({"minor": 1250, "currency": "USD"})),
            ),
            (json!("2026-03-03"), VariableType::Date, Some(json!("2026-03-03"))),
            (json!("soon"), VariableType::Date, None),
            (json!("9:30"), VariableType::Time, None),
            (json!("09:30"), VariableType::Time, Some(json!("09:30"))),
            (
                json!("2026-03-03T10:00:00+00:00"),
                VariableType::DateTime,
                Some(json!("2026-03-03T10:00:00+00:00")),
            ),
            (json!(42), VariableType::Text, Some(json!("42"))),
            (json!("00 42"), VariableType::Digits, Some(json!("0042"))),
        ];
        for (value, kind, expected) in rows {
            assert_eq!(as_type(&value, kind, Some("USD")), expected, "{value} {kind:?}");
        }
    }
}
