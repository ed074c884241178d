//! What a search finds and what it is worth: against a slow evaluation of the same query on the texts
//! themselves, against tantivy, however rows are spread over indexes, and whatever the bytes are.

mod agreement;
pub(super) mod collection;
mod damage;
mod highlights;
mod meanings;
mod peers;
mod reference;
