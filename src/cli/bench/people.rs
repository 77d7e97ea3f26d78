//! Whoever has to agree, agrees: subjects are enrolled and sign, the operator signs its mandate.

use super::agreed::Agreed;
use super::place::{DESK, Made};
use crate::cli::connect::{Connection, refused};
use crate::cli::wallet::{Desk, unsigned};
use crate::cli::{CliError, now};
use crate::client::wallet::Wallet;
use crate::veil::consent::record::SignerRole;
use crate::veil::name::{Origin, Spiffe};
use crate::world::entropy;

/// Enrols these subjects with these sources and hands in what they and the operator sign for these recipients.
pub(super) async fn sign_all(
    connection: &Connection,
    origin: &Origin,
    made: &Made,
    agreed: &Agreed,
    subjects: &[String],
    (sources, recipients): (&[&Spiffe], &[&Spiffe]),
) -> Result<(), CliError> {
    let mut desk = Desk::open(connection, Some(DESK)).await?;
    if let Some(mandate) = agreed.sign(&made.operator, SignerRole::Operator, recipients)? {
        desk.submit(&mandate, String::new()).await.map_err(|status| refused(&status))?;
    }
    for subject in subjects {
        let wallet = Wallet::generate(&mut entropy());
        for source in sources {
            let half = wallet.enrol(source, subject, origin, now()?).map_err(|refusal| unsigned(&refusal))?;
            let both = made.house.countersign(&half, origin).map_err(|refusal| unsigned(&refusal))?;
            desk.submit(&both, String::new()).await.map_err(|status| refused(&status))?;
        }
        if let Some(grant) = agreed.sign(&wallet, SignerRole::Subject, recipients)? {
            desk.submit(&grant, String::new()).await.map_err(|status| refused(&status))?;
        }
    }
    Ok(())
}
