//! The meaning of filters once more: slow, over trees, straight from the filter's JSON.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::Value;

/// Whether `filter`, a valid one, matches `metadata`.
pub fn matches(filter: &Value, metadata: &Value) -> bool {
    filter.as_object().unwrap().iter().all(|(name, value)| match name.as_str() {
        "$and" => value.as_array().unwrap().iter().all(|filter| matches(filter, metadata)),
        "$or" => value.as_array().unwrap().iter().any(|filter| matches(filter, metadata)),
        "$not" => !matches(value, metadata),
        path => {
            let parts: Vec<&str> = path.split('.').collect();
            let mut reached = Vec::new();
            reach(metadata, &parts, &mut reached);
            field(value, &reached)
        }
    })
}

fn reach<'a>(value: &'a Value, parts: &[&str], reached: &mut Vec<&'a Value>) {
    let [part, rest @ ..] = parts else { return reached.push(value) };
    match value {
        Value::Object(members) => {
            members.get(*part).into_iter().for_each(|value| reach(value, rest, reached))
        }
        Value::Array(elements) => {
            let place = part.parse::<usize>().ok().filter(|place| place.to_string() == *part);
            place
                .and_then(|place| elements.get(place))
                .into_iter()
                .for_each(|value| reach(value, rest, reached));
            elements
                .iter()
                .filter(|element| element.is_object())
                .for_each(|value| reach(value, parts, reached));
        }
        _ => {}
    }
}

fn field(condition: &Value, reached: &[&Value]) -> bool {
    match condition.as_object() {
        None => operator("$eq", condition, reached),
        Some(operators) => operators.iter().all(|(name, operand)| operator(name, operand, reached)),
    }
}

fn operator(name: &str, operand: &Value, reached: &[&Value]) -> bool {
    let list = || operand.as_array().unwrap().iter();
    match name {
        "$ne" => !operator("$eq", operand, reached),
        "$nin" => !operator("$in", operand, reached),
        "$not" => !field(operand, reached),
        "$exists" => operand.as_bool().unwrap() != reached.is_empty(),
        "$in" => list().any(|operand| operator("$eq", operand, reached)),
        "$eq" if operand.is_null() && reached.is_empty() => true,
        "$arrayContains" => arrays(reached).any(|array| has(array, operand)),
        "$arrayContainsAny" => arrays(reached).any(|array| list().any(|operand| has(array, operand))),
        "$arrayContainsAll" => arrays(reached).any(|array| list().all(|operand| has(array, operand))),
        _ => {
            let elements = reached.iter().filter_map(|value| value.as_array()).flatten();
            reached.iter().copied().chain(elements).any(|value| scalar(name, value, operand))
        }
    }
}

fn arrays<'a>(reached: &'a [&Value]) -> impl Iterator<Item = &'a Vec<Value>> {
    reached.iter().filter_map(|value| value.as_array())
}

fn has(array: &[Value], operand: &Value) -> bool {
    array.iter().any(|element| equal(element, operand))
}

fn scalar(name: &str, value: &Value, operand: &Value) -> bool {
    let text = || Some((value.as_str()?, operand.as_str()?));
    let texts = |test: fn(&str, &str) -> bool| text().is_some_and(|(value, operand)| test(value, operand));
    match name {
        "$eq" => equal(value, operand),
        "$gt" => order(value, operand).is_some_and(Ordering::is_gt),
        "$gte" => order(value, operand).is_some_and(Ordering::is_ge),
        "$lt" => order(value, operand).is_some_and(Ordering::is_lt),
        "$lte" => order(value, operand).is_some_and(Ordering::is_le),
        "$contains" => texts(|value, part| value.contains(part)),
        "$icontains" => texts(|value, part| value.to_lowercase().contains(&part.to_lowercase())),
        "$startsWith" => texts(|value, part| value.starts_with(part)),
        "$endsWith" => texts(|value, part| value.ends_with(part)),
        "$glob" => texts(|value, glob| tried(glob.as_bytes(), value.as_bytes())),
        "$regex" => texts(|value, pattern| regex::Regex::new(pattern).unwrap().is_match(value)),
        name => panic!("{name} has no meaning"),
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) => order(left, right) == Some(Ordering::Equal),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let same = |(key, value)| right.get(key).is_some_and(|other| equal(value, other));
            left.len() == right.len() && left.iter().all(same)
        }
        _ => left == right,
    }
}

fn order(value: &Value, bound: &Value) -> Option<Ordering> {
    if let (Some(value), Some(bound)) = (value.as_str(), bound.as_str()) {
        let time = |text: &str| text.parse::<Timestamp>().ok();
        return match time(bound) {
            Some(bound) => Some(time(value)?.cmp(&bound)),
            None => Some(value.cmp(bound)),
        };
    }
    let (value, bound) = (value.as_number()?, bound.as_number()?);
    match (value.as_i128(), bound.as_i128()) {
        (Some(value), Some(bound)) => Some(value.cmp(&bound)),
        // The floats of these tests are small, and floats of whole numbers are written in the same tests
        // as integers that are exact.
        _ => value.as_f64()?.partial_cmp(&bound.as_f64()?),
    }
}

/// Whether a glob fits a text, by trying all that its stars may stand for.
pub(in crate::types::filter) fn tried(glob: &[u8], text: &[u8]) -> bool {
    match (glob, text) {
        ([], _) => text.is_empty(),
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| tried(rest, &text[at..])),
        ([letter, rest @ ..], [first, others @ ..]) => {
            (*letter == b'?' || letter == first) && tried(rest, others)
        }
        _ => false,
    }
}
