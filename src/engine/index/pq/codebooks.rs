//! Sixteen centroids for each subspace of the residuals.
//!
//! Residuals are brought to length 1 before they are coded: what they were is in the factors of a
//! row, so one codebook serves lists that are wide and lists that are narrow.
//!
//! Invariant: the centroids follow from the residuals and their order, whatever the number of threads.

use rayon::prelude::*;

/// Centroids of a subspace: as many as half a byte tells apart.
pub const CENTROIDS: usize = 16;
/// Subspaces come in fours, as the scan adds up four lookups in a byte.
const MULTIPLE: usize = 4;
/// So many lookups do not overflow a sum.
const MAX_SUBSPACES: usize = 1024;
/// Rounds of Lloyd's algorithm.
const ROUNDS: usize = 12;

/// How values are divided among subspaces: equally, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// How many there are.
    pub subspaces: usize,
    /// Values in each.
    pub width: usize,
}

impl Shape {
    /// So many subspaces, if they divide the values.
    pub fn new(values: usize, subspaces: usize) -> Option<Self> {
        let fits = (MULTIPLE..=MAX_SUBSPACES).contains(&subspaces)
            && subspaces.is_multiple_of(MULTIPLE)
            && values.is_multiple_of(subspaces);
        fits.then(|| Self { subspaces, width: values / subspaces })
    }

    /// The most subspaces that divide the values, of those that are not more than wanted.
    pub fn nearest(values: usize, wanted: usize) -> Self {
        // Values are a multiple of 64, so four always divides them.
        let fitting =
            (MULTIPLE..=wanted.min(MAX_SUBSPACES)).rev().find_map(|subspaces| Self::new(values, subspaces));
        fitting.unwrap_or(Self { subspaces: MULTIPLE, width: values / MULTIPLE })
    }

    /// Values of all subspaces.
    pub fn values(self) -> usize {
        self.subspaces * self.width
    }

    /// Bytes of a code.
    pub fn code_bytes(self) -> usize {
        self.subspaces / 2
    }

    /// Bytes of all codebooks.
    pub fn codebook_bytes(self) -> usize {
        self.values() * CENTROIDS * size_of::<f32>()
    }
}

/// The centroids of all subspaces.
#[derive(Debug)]
pub struct Codebooks {
    shape: Shape,
    books: Vec<Book>,
}

/// The centroids of a subspace: of each of its values, that of all centroids side by side.
#[derive(Debug, Clone)]
struct Book {
    values: Vec<[f32; CENTROIDS]>,
    /// `‖centroid‖²/2`
    half_squares: [f32; CENTROIDS],
}

impl Codebooks {
    /// Trains on residuals of length 1, one after the other.
    pub fn train(shape: Shape, residuals: &[f32]) -> Self {
        let values = shape.values();
        let train = |subspace: usize| {
            let first = subspace * shape.width;
            let pieces = residuals.chunks_exact(values).flat_map(|row| &row[first..first + shape.width]);
            Book::train(shape.width, &pieces.copied().collect::<Vec<f32>>())
        };
        Self { shape, books: (0..shape.subspaces).into_par_iter().map(train).collect() }
    }

    /// The nearest centroid in each subspace.
    pub fn code(&self, residual: &[f32]) -> Vec<u8> {
        let pieces = residual.chunks_exact(self.shape.width);
        self.books.iter().zip(pieces).map(|(book, piece)| book.nearest(piece) as u8).collect()
    }

    /// The values that a code stands for.
    pub fn values<'a>(&'a self, code: &'a [u8]) -> impl Iterator<Item = f64> + 'a {
        let value = |centroid: u8| move |values: &[f32; CENTROIDS]| f64::from(values[centroid as usize]);
        self.books.iter().zip(code).flat_map(move |(book, centroid)| book.values.iter().map(value(*centroid)))
    }

    /// Subspace after subspace, its values in order, that of all centroids side by side.
    pub fn encode(&self) -> Vec<u8> {
        let values = self.books.iter().flat_map(|book| book.values.as_flattened());
        values.flat_map(|value| value.to_le_bytes()).collect()
    }
}

impl Book {
    /// Lloyd's algorithm from evenly spaced pieces; a centroid that is nobody's stays where it is.
    fn train(width: usize, pieces: &[f32]) -> Self {
        let count = pieces.len() / width;
        let mut values = vec![[0.0; CENTROIDS]; width];
        for centroid in 0..CENTROIDS.min(count) {
            let piece = &pieces[count * centroid / CENTROIDS * width..][..width];
            values.iter_mut().zip(piece).for_each(|(values, value)| values[centroid] = *value);
        }
        let mut book = Self::new(values);
        for _ in 0..ROUNDS {
            let mut sums = vec![[0.0_f32; CENTROIDS]; width];
            let mut counts = [0_u32; CENTROIDS];
            for piece in pieces.chunks_exact(width) {
                let centroid = book.nearest(piece);
                counts[centroid] += 1;
                sums.iter_mut().zip(piece).for_each(|(sums, value)| sums[centroid] += value);
            }
            for (values, sums) in book.values.iter_mut().zip(&sums) {
                for ((value, sum), count) in values.iter_mut().zip(sums).zip(counts) {
                    *value = if count > 0 { sum / count as f32 } else { *value };
                }
            }
            book = Self::new(book.values);
        }
        book
    }

    fn new(values: Vec<[f32; CENTROIDS]>) -> Self {
        let mut half_squares = [0.0; CENTROIDS];
        for values in &values {
            half_squares.iter_mut().zip(values).for_each(|(half, value)| *half += value * value / 2.0);
        }
        Self { values, half_squares }
    }

    /// The centroid nearest to a piece; of equally near ones the first.
    fn nearest(&self, piece: &[f32]) -> usize {
        let mut scores = self.half_squares.map(|half| -half);
        for (values, value) in self.values.iter().zip(piece) {
            scores.iter_mut().zip(values).for_each(|(score, centroid)| *score += value * centroid);
        }
        let mut nearest = 0;
        for centroid in 1..CENTROIDS {
            nearest = if scores[centroid] > scores[nearest] { centroid } else { nearest };
        }
        nearest
    }
}
