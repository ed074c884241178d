//! What a block of postings can score at most, whatever k1, b and the average length are.
//!
//! A score grows with the count of a term and falls with the length of the text. So the shortest text
//! for each count bounds it (Ding and Suel, "Faster Top-k Document Retrieval Using Block-Max Indexes",
//! 2011, keep the score itself, which holds for one average only).

/// Counts that have a bound of their own; the last one is for all beyond as well.
const COUNTS: usize = 4;

/// The shortest texts of a block, and the largest count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The byte of the shortest length for counts of 1, 2, 3 and more; 0 if there is none.
    shortest: [u8; COUNTS],
    /// 255 stands for any count.
    largest: u8,
}

impl Bounds {
    /// Takes a posting in.
    pub fn add(&mut self, count: u32, length: u8) {
        let shortest = &mut self.shortest[(count.max(1) as usize).min(COUNTS) - 1];
        if *shortest == 0 || length < *shortest {
            *shortest = length;
        }
        self.largest = self.largest.max(count.min(255) as u8);
    }

    /// The pairs of count and length byte one of which scores at least as much as any posting.
    pub fn best(&self) -> impl Iterator<Item = (f32, u8)> + use<> {
        let Self { shortest, largest } = *self;
        let largest = if largest == 255 { u32::MAX as f32 } else { f32::from(largest) };
        let pairs = shortest.into_iter().enumerate();
        pairs.filter(|(_, length)| *length > 0).map(move |(place, length)| {
            (if place + 1 == COUNTS { largest } else { (place + 1) as f32 }, length)
        })
    }

    /// Five bytes.
    pub fn to_bytes(self) -> [u8; 5] {
        let [one, two, three, more] = self.shortest;
        [one, two, three, more, self.largest]
    }

    /// What [`Bounds::to_bytes`] made.
    pub fn from_bytes([one, two, three, more, largest]: [u8; 5]) -> Self {
        Self { shortest: [one, two, three, more], largest }
    }
}
