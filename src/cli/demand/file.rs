//! `twinveil demand file`: a demand as it arrives.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::wallet::unsigned;
use super::super::{CliError, now};
use super::{PeriodArgs, Signer, digest, field, set, tell};
use crate::veil::name::{Did, Spiffe};
use crate::world::entropy;

/// File a demand that has arrived, as a clerk.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The record holds a commitment to whom the demand is about, and neither names nor how many they are. The list itself goes to the \
desk and rests sealed.

Examples:
  twinveil demand file --dir demo --wallet clerk.json --kind court --jurisdiction DE --home --authority 'Amtsgericht Sample' \\
      --document order.pdf --process 'court order' --statute 'StPO § 100a' --asks live-data --content \\
      --field twinveil.sample.PatientFrame:vitals --about spiffe://example.org/source/hospital=p-17 \\
      --from 2026-03-01T00:00:00Z --until 2026-04-01T00:00:00Z --gag 'StPO § 101' --gag-until 2026-05-01T00:00:00Z
  twinveil demand file --dir demo --wallet clerk.json --kind intelligence --jurisdiction DE --authority 'An agency' \\
      --document letter.pdf --process letter --statute none --asks redesign-backdoor")]
pub(super) struct Args {
    /// Who demands: court, police, intelligence, international-organisation, other-government or civil
    #[arg(long, value_name = "KIND")]
    kind: String,
    /// Under whose law: a code of ISO 3166, such as DE or US-CA
    #[arg(long, value_name = "CODE")]
    jurisdiction: String,
    /// That is where the operator is at home
    #[arg(long)]
    home: bool,
    /// The authority's name
    #[arg(long, value_name = "NAME")]
    authority: String,
    /// The document that came; its hash goes into the record
    #[arg(long, value_name = "FILE")]
    document: PathBuf,
    /// Which legal process, such as `search warrant`
    #[arg(long, value_name = "TEXT")]
    process: String,
    /// Under which statute
    #[arg(long, value_name = "TEXT")]
    statute: String,
    /// When it arrived (RFC 3339); now where absent
    #[arg(long, value_name = "INSTANT")]
    received: Option<jiff::Timestamp>,
    /// What is demanded: stored-data, live-data, redesign-instance, redesign-backdoor, redesign-identity, content-removal or other
    #[arg(long, value_name = "WHAT")]
    asks: String,
    /// Content is demanded, and not only metadata
    #[arg(long)]
    content: bool,
    /// Whom it is about, as a source calls them or by did:key; may be repeated
    #[arg(long, value_name = "SOURCE=VALUE|DID", value_parser = whom, conflicts_with = "everybody")]
    about: Vec<Whom>,
    /// It is about everybody
    #[arg(long)]
    everybody: bool,
    /// A field, and all below it; may be repeated
    #[arg(long, value_name = "SCHEMA:PATH", value_parser = field)]
    field: Vec<Value>,
    #[command(flatten)]
    period: PeriodArgs,
    /// It says that it cannot wait
    #[arg(long)]
    emergency: bool,
    /// Nobody may be told, by this law
    #[arg(long, value_name = "LAW")]
    gag: Option<String>,
    /// Until when nobody may be told (RFC 3339)
    #[arg(long, value_name = "INSTANT", requires = "gag")]
    gag_until: Option<jiff::Timestamp>,
    #[command(flatten)]
    signer: Signer,
}

/// Somebody whom a demand is about.
#[derive(Clone, Debug)]
enum Whom {
    Did(Did),
    Value(Spiffe, String),
}

fn whom(text: &str) -> Result<Whom, String> {
    if text.starts_with("did:") {
        return Did::parse(text).map(Whom::Did).map_err(|bad| bad.to_string());
    }
    let (source, value) =
        text.split_once('=').ok_or("write `SOURCE=VALUE`, such as `spiffe://example.org/source/hospital=p-17`, or a did:key")?;
    let source = Spiffe::parse(source).map_err(|bad| bad.to_string())?;
    if value.is_empty() { Err("the value is empty".to_owned()) } else { Ok(Whom::Value(source, value.to_owned())) }
}

pub(super) async fn run(args: &Args) -> Result<(), CliError> {
    let said = args.said()?;
    let mut desk = args.signer.desk().await?;
    let mut subjects = BTreeSet::new();
    let mut values = Vec::new();
    for whom in &args.about {
        match whom {
            Whom::Did(did) => drop(subjects.insert(*did)),
            Whom::Value(source, value) => values.push((source.clone(), value.clone())),
        }
    }
    if !values.is_empty() {
        subjects.extend(desk.whom(values).await?);
    }
    let filed = desk.wallet.file_demand(&said, subjects, &desk.origin, now()?, &mut entropy());
    let (record, about) = filed.map_err(|refusal| unsigned(&refusal))?;
    tell(&desk.file(&record, about).await?, args.signer.output)
}

impl Args {
    fn said(&self) -> Result<Value, CliError> {
        let received = match self.received {
            Some(received) => received.to_string(),
            None => now()?.to_string(),
        };
        let mut said = json!({
            "received": received,
            "source": {
                "kind": self.kind, "jurisdiction": self.jurisdiction, "home": self.home, "authority": self.authority,
                "document_sha256": digest(&self.document)?, "process": self.process, "statute": self.statute,
            },
            "asks": self.asks, "content": self.content, "everybody": self.everybody, "emergency": self.emergency,
        });
        if !self.field.is_empty() {
            set(&mut said, "fields", Some(self.field.clone()));
        }
        set(&mut said, "period", self.period.document());
        if let Some(basis) = &self.gag {
            let mut gag = json!({"basis": basis});
            set(&mut gag, "until", self.gag_until.map(|until| until.to_string()));
            set(&mut said, "gag", Some(gag));
        }
        Ok(said)
    }
}
