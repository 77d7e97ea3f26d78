//! Key announcements that a recipient missed.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::carrier;
use crate::config::May;
use crate::ledger::Ledger;
use crate::proto::v1::keys_server::Keys;
use crate::proto::v1::{AnnouncedRequest, AnnouncedResponse};
use crate::status::Refuse;
use crate::veil::name::ViewId;

/// The service.
#[derive(Clone, Debug)]
pub struct KeyDesk {
    ledger: Arc<Ledger>,
}

impl KeyDesk {
    /// A desk over the ledger's announcements.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }
}

#[tonic::async_trait]
impl Keys for KeyDesk {
    async fn announced(&self, request: Request<AnnouncedRequest>) -> Result<Response<AnnouncedResponse>, Status> {
        let party = carrier(&request, May::Subscribe)?;
        let wanted = request.into_inner();
        let view = ViewId(wanted.view_id[..].try_into().map_err(|_| Refuse::Malformed)?);
        let keys = self.ledger.announced().find(view, wanted.epoch, &party.spiffe).ok_or(Refuse::NotAnnounced)?;
        Ok(Response::new(AnnouncedResponse { keys }))
    }
}
