//! How many live rows of an index have a text in each field, and its words in them.
//!
//! Counting looks at each row that is not live, and most searches ask for the live rows that the one before
//! asked for. So what was counted last is kept, with the rows that it is of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    file::{Damage, File},
    live::Live,
};

/// For each field: rows with a text, and words.
type Fields = Arc<[(u64, u64)]>;

/// What was counted last.
#[derive(Debug, Default)]
pub struct Totals {
    last: Mutex<Option<Counted>>,
}

#[derive(Debug)]
struct Counted {
    live: Box<[u64]>,
    fields: Fields,
}

impl Totals {
    /// Those of the live rows of an index, which is always the same.
    pub fn of(&self, file: &File, live: &Live<'_>) -> Result<Fields, Damage> {
        let Some(words) = live.words() else { return count(file, live) };
        if let Some(last) = self.last().as_ref().filter(|last| *last.live == *words) {
            return Ok(last.fields.clone());
        }
        let fields = count(file, live)?;
        *self.last() = Some(Counted { live: words.into(), fields: fields.clone() });
        Ok(fields)
    }

    fn last(&self) -> MutexGuard<'_, Option<Counted>> {
        // What is kept is whole at any time.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(file: &File, live: &Live<'_>) -> Result<Fields, Damage> {
    (0..file.fields()).map(|field| Ok(live.texts(&file.field(field)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::collection::{Texts, open, text},
        *,
    };
    use crate::{engine::index::Mask, types::text::FulltextParams};

    #[test]
    fn what_was_counted_serves_as_long_as_the_same_rows_are_live() {
        let rows = Texts((0..200).map(|row| text(&"word ".repeat(row % 5))).collect());
        let index = open(&rows, &FulltextParams::default());
        let count = |mask: Mask<'_>| index.totals.of(&index.file, &Live::new(mask, 200)).unwrap();
        let (one, other) = ([u64::MAX, 3, 0, 0], [u64::MAX, 0, 0, 0]);
        assert_eq!(*count(Mask::All), [(160, 400)]);
        let first = count(Mask::Bits(&one));
        assert_eq!(*first, [(52, 130)]);
        assert!(Arc::ptr_eq(&first, &count(Mask::Bits(&one.clone()))));
        assert_eq!(*count(Mask::Bits(&other)), [(51, 126)]);
        assert_eq!(*count(Mask::Bits(&one)), *first);
    }
}
