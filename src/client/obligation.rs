//! Obligations as they are told to recipients.

use crate::proto::v1;
use crate::veil::consent::obligations::Obligations;

impl From<&Obligations> for v1::Obligation {
    fn from(obligations: &Obligations) -> Self {
        Self {
            places: obligations.places.clone(),
            retention: obligations.retention.clone(),
            jurisdictions: obligations.jurisdiction.clone(),
        }
    }
}
