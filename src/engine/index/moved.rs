//! Where rows of an older table are in a newer one: some of them, in their order, side by side.
//!
//! A merge copies the live rows of each segment one after the other, so what is known of the older
//! segment's rows is known of the newer one's. Kept as a bit per row, and every 64 rows their rank
//! (Jacobson, "Space-efficient Static Trees and Graphs", FOCS 1989).

/// Rows of an older table, and where they are now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    first: u32,
    rows: u32,
    kept: Vec<u64>,
    /// Rows that were kept before each word.
    ranks: Vec<u32>,
    count: u32,
}

impl Moved {
    /// To row `first` and those that follow.
    pub fn to(first: u32) -> Self {
        Self { first, ..Self::default() }
    }

    /// Adds the next older row.
    pub fn push(&mut self, kept: bool) {
        let bit = self.rows % 64;
        if bit == 0 {
            self.kept.push(0);
            self.ranks.push(self.count);
        }
        if let Some(word) = self.kept.last_mut() {
            *word |= u64::from(kept) << bit;
        }
        self.rows += 1;
        self.count += u32::from(kept);
    }

    /// The row after the last one.
    pub fn end(&self) -> usize {
        self.first as usize + self.count as usize
    }

    /// How many older rows there are.
    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// How many rows were kept.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Where an older row is now; none if it was not kept, or if there was no such row.
    pub fn get(&self, row: u32) -> Option<u32> {
        let (place, bit) = (row as usize / 64, row % 64);
        let word = self.kept.get(place)?;
        let below = (word & ((1 << bit) - 1)).count_ones();
        (word >> bit & 1 == 1).then(|| self.first + self.ranks[place] + below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks() {
        let kept = |row: u32| row % 3 == 1 || (100..180).contains(&row);
        for rows in [0_u32, 1, 63, 64, 65, 200, 256] {
            let mut moved = Moved::to(7);
            (0..rows).for_each(|row| moved.push(kept(row)));
            let mut next = 7;
            for row in 0..rows {
                let expected = kept(row).then_some(next);
                next += u32::from(kept(row));
                assert_eq!(moved.get(row), expected, "{row} of {rows}");
            }
            assert_eq!((moved.rows(), moved.len()), (rows as usize, next as usize - 7));
            assert_eq!((moved.get(rows), moved.get(u32::MAX)), (None, None));
        }
    }
}
