//! Cases of more records than one answer has room for come whole: clients take answers of 4 MiB.

use std::collections::BTreeSet;
use std::process::Command;

use prost::Message;
use serde_json::{Value, json};
use twinveil::proto::v1::{DemandRecord, DisclosedDemandsRequest, ShowDemandRequest};
use twinveil::veil::demand::{Period, Stage};
use twinveil::veil::name::{RecordId, UnixMs};

use super::{AsksDesk, DAY, House, id_of};
use crate::harness::soon;

/// More than an answer has, and what a record may be larger than that.
const ANSWER_BYTES: usize = (1 << 20) + (256 << 10);
const HOUR: i64 = 3_600_000;
/// As many answers to one question as a case keeps.
const STAGES: usize = 256;

impl House {
    /// A case in which counsel has changed its mind as often as one may, each time with as much evidence.
    async fn long_case(&self) -> RecordId {
        let demand = self.filed(&[], |said| said["everybody"] = true.into()).await;
        let evidence: Vec<_> = (0..64).map(|n| format!("{n:064x}")).collect();
        let mut before = None::<String>;
        for _ in 0..STAGES {
            let mut said = json!({"n": 2, "met": true, "risks": ["safety"], "reasoning_sha256": "cd".repeat(32), "evidence": evidence});
            if let Some(before) = before {
                said["replaces"] = before.into();
            }
            let taken = self.say::<Stage>(&self.counsel, demand, said).await.expect("counsel's");
            before = Some(id_of(&taken.record).to_string());
        }
        demand
    }

    /// The records of a case, answer by answer.
    async fn pages_of(&self, demand: RecordId) -> Vec<Vec<DemandRecord>> {
        let (mut pages, mut skip) = (Vec::new(), 0);
        loop {
            let query = self.query(&self.clerk, &AsksDesk::Show(demand));
            let page = soon("a case", self.desk().await.show(ShowDemandRequest { query, skip })).await.expect("a person").into_inner();
            assert!(page.encoded_len() <= ANSWER_BYTES && page.demand.is_some());
            skip += page.records.len() as u64;
            let is_last = skip == page.records_in_all;
            pages.push(page.records);
            if is_last {
                return pages;
            }
        }
    }
}

fn ids<'r>(records: impl IntoIterator<Item = &'r DemandRecord>) -> Vec<RecordId> {
    records.into_iter().map(|record| id_of(&record.record)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_of_more_than_one_answer_is_shown_and_disclosed_record_by_record() {
    let house = House::start().await;
    let short = house.filed(&[], |said| said["everybody"] = true.into()).await;
    let long = house.long_case().await;
    let last = house.filed(&[], |said| said["everybody"] = true.into()).await;
    let pages = house.pages_of(long).await;
    assert!(pages.len() > 1 && pages.iter().all(|page| !page.is_empty()), "{} records in {} answers", STAGES + 1, pages.len());
    let whole = ids(pages.iter().flatten());
    assert_eq!((whole.len(), whole.iter().collect::<BTreeSet<_>>().len(), whole[0]), (STAGES + 1, STAGES + 1, long));
    assert!(pages.iter().flatten().all(|record| record.receipt.is_some()));

    // To everybody: what does not fit begins the next answer, in the middle of a case.
    let period = Period { from: UnixMs(0), until: UnixMs(house.world.now().0 + DAY) };
    let (mut told, mut from, mut answers) = (Vec::<(RecordId, Vec<RecordId>)>::new(), (0, 0), 0);
    loop {
        let query = house.query(&house.analyst, &AsksDesk::Disclosed(period));
        let request = DisclosedDemandsRequest { query, skip: from.0, skip_records: from.1 };
        let page = soon("what is disclosed", house.desk().await.disclosed(request)).await.expect("a person").into_inner();
        assert!(page.encoded_len() <= ANSWER_BYTES);
        if page.demands.is_empty() {
            break;
        }
        answers += 1;
        for one in page.demands {
            let (demand, some) = (id_of(&one.demand), ids(&one.records));
            match told.last_mut().filter(|(before, _)| *before == demand) {
                Some((_, records)) => records.extend(some),
                None => told.push((demand, some)),
            }
            let came = told.last().unwrap().1.len() as u64;
            from = if came < one.records_in_all { (from.0, came) } else { (from.0 + 1, 0) };
        }
    }
    assert!(answers > 1);
    assert_eq!(told, [(short, vec![short]), (long, whole), (last, vec![last])]);

    // Whoever reads with the commands sees nothing of it.
    let folder = house.world.folder.0.clone();
    house.clerk.save(&folder.join("clerk.json")).unwrap();
    std::fs::write(folder.join("report.toml"), "[operator]\nname = 'A house'\n").unwrap();
    let gateway = house.world.gate.to_string();
    let run = |words: String| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinveil"));
        command.args(words.split_whitespace()).args(["--wallet", "clerk.json", "--gateway", &gateway]).current_dir(&folder);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let output = run(format!("demand show {long} --output json")).await.unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(shown["records"].as_array().unwrap().len(), STAGES + 1);
    let hour = |hours: i64| UnixMs(house.world.now().0 / HOUR * HOUR + hours * HOUR);
    let output = run(format!("report make --from {} --until {} --words report.toml --out report", hour(-2), hour(2))).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_dir(folder.join("report/disclosed")).unwrap().count(), STAGES + 3);
}
