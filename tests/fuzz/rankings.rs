//! Rankings.

use quiver::types::{
    RankBy,
    rank_by::{Limits, OrderBy, Position},
};

use super::run::{Input, Target};

pub struct Rankings;

/// What a ranking says, printed; a position; and whether it is one of that order.
type Read = (String, String, bool);

impl Target for Rankings {
    type Value = Read;
    const NAME: &'static str = "rankings";
    const MUTATED: usize = 2;
    const IS_TEXT: bool = true;
    const IS_SEALED: bool = false;
    const REASONS: usize = 40;

    fn corpus(&self) -> Vec<Input> {
        let rankings = [
            r#"["ANN",[1,-0.5e3,0.25]]"#,
            r#"["vector","kNN",[3]]"#,
            r#"["BM25","żółw \u0141\n"]"#,
            r#"["a\\.b.c","BM25","x"]"#,
            r#"["Sum",[["ANN",[1,2]],["Product",0.5,["BM25","title","x"]],["Max",[["kNN",[1]],["text","BM25",""]]]]]"#,
            r#"["year","asc"]"#,
            r#"[["Sum","asc"]]"#,
            r#"[["genre","desc"],["o.n","asc"],["\\$x","desc"]]"#,
        ];
        let positions = [r#"[2000,"r1"]"#, r#"["novel",-1.5e3,null,"\u0141"]"#, r#"[{"a":[1,true]},"x"]"#];
        let pairs = rankings.iter().flat_map(|ranking| positions.iter().map(move |text| [*ranking, *text]));
        pairs.map(|pair| pair.map(|text| text.as_bytes().to_vec()).to_vec()).collect()
    }

    fn read(&self, objects: &Input) -> Result<Read, String> {
        let text = |part: usize| String::from_utf8(objects[part].clone()).map_err(|error| error.to_string());
        let (ranking, position) = (text(0)?, text(1)?);
        let text = ranking;
        let ranking =
            RankBy::parse(&text, "rank_by", &Limits::default()).map_err(|error| error.to_string())?;
        let order = OrderBy::parse_all(&text, "order_by", &Limits::default());
        let is_position = match &ranking {
            RankBy::Score(_) => false,
            RankBy::Order(by) => {
                assert_eq!(order.as_ref().ok(), Some(by), "{text} is another order by itself");
                let read = Position::parse(by, &position);
                let again = read.as_ref().map(|read| Position::parse(by, &read.to_string()));
                assert_eq!(again.unwrap_or_default(), read, "{position} is printed as another position");
                read.is_some()
            }
        };
        Ok((ranking.to_string(), position, is_position))
    }

    fn write(&self, (ranking, position, _): &Read) -> Option<Input> {
        Some(vec![ranking.clone().into_bytes(), position.clone().into_bytes()])
    }
}
