//! Indexes over metadata: whatever their bytes say, opening them fails, or what they know of a filter is of
//! rows that there are, and bounds that contain each other where the bytes are their own.

use quiver::{
    engine::index::{
        Table, VectorSource,
        attributes::{Attributes, build},
    },
    types::{Filter, filter::Limits},
};

use super::run::{Input, Target};

pub struct AttributeIndexes;

/// Metadata of several shapes; an input names one by its number.
struct Rows(u8);

impl Rows {
    fn text(&self, row: usize) -> String {
        match self.0 % 4 {
            0 => format!(r#"{{"n":{},"s":"{}","l":["x",{row}]}}"#, row % 7, "ab".repeat(row % 40)),
            1 => format!(
                r#"{{"o":{{"n":{row},"k{}":null}},"t":"2024-01-01T00:00:{:02}Z"}}"#,
                row % 5,
                row % 60
            ),
            2 => "{}".into(),
            _ => format!(r#"{{"l":[{{"n":{row}}},{{"n":true}}],"s":{row}.5}}"#),
        }
    }

    fn table(&self) -> Table {
        let rows = [90, 40, 1, 200][usize::from(self.0) % 4];
        Table::of_metadata((0..rows).map(|row| Some(self.text(row))).collect())
    }
}

const FILTERS: [&str; 7] = [
    r#"{"n":{"$gte":2,"$lt":5},"s":{"$ne":"ab"}}"#,
    r#"{"$or":[{"s":{"$regex":"b$"}},{"l":{"$arrayContainsAll":["x",3]}}]}"#,
    r#"{"o.n":{"$in":[1,2,3,null]},"t":{"$gt":"2024-01-01T00:00:30Z"}}"#,
    r#"{"$not":{"l.n":{"$exists":true}}}"#,
    r#"{"l.0.n":{"$lte":100},"s":{"$startsWith":"abababab"}}"#,
    r#"{"o":{"$eq":{"n":1}}}"#,
    r#"{"s":{"$gt":"ababababababababababababababababababababababababababababababababababababab"}}"#,
];

impl Target for AttributeIndexes {
    type Value = Vec<(u64, u64)>;
    const NAME: &'static str = "attribute_indexes";
    // The manifest has their checksum.
    const IS_SEALED: bool = false;
    const REASONS: usize = 3;
    const SHARE: u64 = 10;

    fn corpus(&self) -> Vec<Input> {
        (0..4).map(|number| vec![build(&Rows(number).table()).unwrap(), vec![number]]).collect()
    }

    fn read(&self, objects: &Input) -> std::result::Result<Self::Value, String> {
        let index = Attributes::open(objects[0].clone())?;
        if index.rows() != Rows(objects[1][0]).table().rows() {
            return Err("it is not of these rows".into());
        }
        let decide = |text: &&str| {
            let filter = Filter::parse(text, "filter", &Limits::default()).unwrap();
            let decided = index.decide(&filter);
            let (certain, possible) = (decided.certain(), decided.possible());
            let beyond = certain.iter().chain(possible.iter()).find(|row| *row as usize >= index.rows());
            assert_eq!(beyond, None, "a row that there is not");
            (certain.count(), possible.count())
        };
        Ok(FILTERS.iter().map(decide).collect())
    }
}
