//! Where the objects of a segment lie: under the incarnation that wrote them, which for a copy is
//! another one than that whose manifest names them.

use super::{IndexRef, Owner, SegmentRef};
use crate::storage::{Key, keys};

impl Owner {
    /// The key of a segment's rows.
    pub fn data_key(&self, segment: uuid::Uuid) -> Key {
        keys::segment_data(&self.namespace, self.incarnation, segment)
    }

    /// The key of what makes a segment's rows findable.
    pub fn lookup_key(&self, segment: uuid::Uuid) -> Key {
        keys::segment_lookup(&self.namespace, self.incarnation, segment)
    }

    /// The key of deleted rows of a segment.
    pub fn deletes_key(&self, segment: uuid::Uuid, deletes: uuid::Uuid) -> Key {
        keys::segment_deletes(&self.namespace, self.incarnation, segment, deletes)
    }

    /// The key of an index over a segment.
    pub fn index_key(&self, segment: uuid::Uuid, index: &IndexRef) -> Key {
        keys::segment_index(&self.namespace, self.incarnation, segment, index.spec.index_type(), index.id)
    }
}

impl SegmentRef {
    /// The objects of a segment that a manifest of `home` names, and whose they are.
    pub fn objects(&self, home: &Owner) -> Vec<(Owner, Key)> {
        let owner = self.owner.as_ref().unwrap_or(home);
        let mut objects =
            vec![(owner.clone(), owner.data_key(self.id)), (owner.clone(), owner.lookup_key(self.id))];
        if let Some(deletes) = &self.deletes {
            let owner = deletes.owner.as_ref().unwrap_or(home);
            objects.push((owner.clone(), owner.deletes_key(self.id, deletes.id)));
        }
        for index in &self.indexes {
            let owner = index.owner.as_ref().unwrap_or(home);
            objects.push((owner.clone(), owner.index_key(self.id, index)));
        }
        objects
    }

    /// The same segment as the manifest of another incarnation names it, when that of `home` does so
    /// like this.
    pub fn shared_from(&self, home: &Owner) -> Self {
        let mut shared = self.clone();
        shared.owner.get_or_insert_with(|| home.clone());
        if let Some(deletes) = &mut shared.deletes {
            deletes.owner.get_or_insert_with(|| home.clone());
        }
        for index in &mut shared.indexes {
            index.owner.get_or_insert_with(|| home.clone());
        }
        shared
    }
}
