//! Filters and the metadata they are asked about.

use quiver::types::{Filter, filter::Limits};

use super::run::{Input, Target};

pub struct Filters;

/// What a filter says, printed; the metadata; and whether it matches.
type Read = (String, String, bool);

impl Target for Filters {
    type Value = Read;
    const NAME: &'static str = "filters";
    const MUTATED: usize = 2;
    const IS_TEXT: bool = true;
    const IS_SEALED: bool = false;
    const REASONS: usize = 100;

    fn corpus(&self) -> Vec<Input> {
        let filters = [
            "{}",
            r#"{"n":1,"t":"żółw","b":true,"z":null,"l":["x",{"y":-0.5e3}]}"#,
            r#"{"n":{"$gte":1,"$lt":18446744073709551615},"o.p":{"$ne":2},"l.0":{"$in":["x",2,null]}}"#,
            r#"{"$or":[{"t":{"$contains":"a"}},{"t":{"$icontains":"\u0141"}},{"t":{"$regex":"^(?i)[a-z]+\\d{1,9}$"}}]}"#,
            r#"{"$and":[{"t":{"$startsWith":"ż"}},{"$not":{"t":{"$endsWith":"w"}}}],"t":{"$glob":"*\\*?w"}}"#,
            r#"{"l":{"$arrayContains":"x"},"l.y":{"$exists":false},"o":{"$not":{"$nin":[{"p":2}]}}}"#,
            r#"{"l":{"$arrayContainsAll":["x",1]},"o\\.p":{"$arrayContainsAny":[]},"\\$d":{"$eq":{}}}"#,
            r#"{"at":{"$gt":"2024-01-01T00:00:00.5+01:00","$lte":"2025"}}"#,
        ];
        let metadata = [
            r#"{"n":1,"t":"żółw","b":true,"z":null,"l":["x",{"y":-500}],"o":{"p":2}}"#,
            r#"{"n":9007199254740993,"t":"\u0141\"\\b*aw","l":["x",1.0,[]],"o.p":[],"$d":{}}"#,
            r#"{"at":["2024-01-01T00:00:00Z","2024-12-31 23:59:60.25z"],"n":1,"n":2}"#,
        ];
        let pairs = filters.iter().flat_map(|filter| metadata.iter().map(move |text| [*filter, *text]));
        pairs.map(|pair| pair.map(|text| text.as_bytes().to_vec()).to_vec()).collect()
    }

    fn read(&self, objects: &Input) -> Result<Read, String> {
        let text = |part: usize| String::from_utf8(objects[part].clone()).map_err(|error| error.to_string());
        let (filter, metadata) = (text(0)?, text(1)?);
        let parse = |text: &str| Filter::parse(text, "filter", &Limits::default());
        let filter = parse(&filter).map_err(|error| error.to_string())?;
        let is_match = filter.matches(Some(&metadata));
        // Depth may be at its limit, but for this corpus it never is.
        let negated = parse(&format!(r#"{{"$not":{filter}}}"#)).map_err(|error| error.to_string())?;
        let is_other = negated.matches(Some(&metadata));
        assert!(!(is_match && is_other), "both {filter} and its negation match {metadata}");
        let is_json =
            serde_json::from_str::<serde_json::Value>(&metadata).is_ok_and(|value| value.is_object());
        assert!(!is_json || is_match || is_other, "neither {filter} nor its negation matches {metadata}");
        Ok((filter.to_string(), metadata, is_match))
    }

    fn write(&self, (filter, metadata, _): &Read) -> Option<Input> {
        Some(vec![filter.clone().into_bytes(), metadata.clone().into_bytes()])
    }
}
