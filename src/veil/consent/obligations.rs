//! What whoever receives takes upon itself: where the data may rest, for how long, and under whose law. The gateway can't enforce it
//! beyond itself, so it says it with the view, and who reads on accepts it.

use super::document::StorageDocument;

/// What a consent obliges its recipients to. Of several that hold, each holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obligations {
    /// Places, such as `DE`, sorted and each once.
    pub places: Vec<String>,
    /// An ISO 8601 duration.
    pub retention: String,
    /// Whose law applies, sorted and each once.
    pub jurisdiction: Vec<String>,
}

impl Obligations {
    /// Sorted, so that how a record lists them tells nothing.
    pub(super) fn new(storage: &StorageDocument, jurisdiction: &[String]) -> Self {
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list.dedup();
            list
        };
        Self { places: sorted(&storage.places), retention: storage.retention.clone(), jurisdiction: sorted(jurisdiction) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_in_which_a_record_lists_them_is_gone() {
        let of = |places: &[&str]| {
            let places: Vec<String> = places.iter().map(|place| (*place).to_owned()).collect();
            Obligations::new(&StorageDocument { places: places.clone(), retention: "P6M".into() }, &places)
        };
        assert_eq!(of(&["DE", "AT", "DE"]), of(&["AT", "DE"]));
        assert_ne!(of(&["DE"]), of(&["AT"]));
    }
}
