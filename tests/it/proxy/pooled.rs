//! Callers who put together all that they got of calls: messages, announcements in band, headers and trailers. What two have in common
//! about one person, and not about everybody, must be what the service said and both may see.

use std::collections::BTreeSet;

use http_body_util::BodyExt;
use prost::Message;
use tonic::transport::Channel;
use twinveil::proto::intoto;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::wrap::OpenKey;
use twinveil::veil::schema::{ANNOUNCEMENT_FIELD, SEALED_FIELD};
use twinveil::veil::wire::{Reader, Value};

use super::{CARE, ask, bare, folder};
use crate::gateway::leaks::pooled::{Token, announced, joins, tokens};
use crate::harness::ward::{self, Chart, chart};
use crate::harness::{Given, World, permit, permit_all, prefixed, sealed_for_recipient};

const OTHER: &str = "dpv:ImproveHealthcare";
const PEOPLE: [&str; 3] = ["p-1", "p-2", "p-3"];

/// Everything of an answer: what it said, and the sizes of it.
async fn got(channel: &Channel, path: &str, person: &str, found: &mut BTreeSet<Token>) -> Vec<usize> {
    let body = prefixed(0, &ask(person).encode_to_vec());
    let (head, body) = bare(channel, path, vec![body]).await.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    for (name, value) in head.headers.iter().chain(&trailers) {
        found.insert(Token::Bytes([name.as_str().as_bytes(), b": ", value.as_bytes()].concat()));
    }
    let (mut rest, mut sizes) = (body.to_bytes(), Vec::new());
    while rest.len() >= 5 {
        let len = u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize;
        let message = rest.slice(5..5 + len);
        rest = rest.slice(5 + len..);
        sizes.push(message.len());
        tokens(&message, found);
        for record in Reader::new(&message).map(Result::unwrap) {
            if let (ANNOUNCEMENT_FIELD, Value::Len(key)) = (record.number, record.value) {
                let key = announced(&intoto::Envelope::decode(key).unwrap(), found);
                assert_eq!((key.epoch, key.slot), (1, 0), "epochs count within the view");
            }
        }
        assert!(Reader::new(&message).flatten().any(|record| record.number == SEALED_FIELD), "the note is sealed");
    }
    sizes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_pool_their_answers_share_what_the_service_said_and_nothing_else() {
    let (address, _) = ward::serve().await;
    let folder = folder(&address.to_string(), "");
    // A second caller, and the same service for another purpose.
    let file = folder.join("twinveil.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let key = text.lines().filter(|line| line.starts_with("key = \"did:")).nth(1).unwrap().to_owned();
    let text = text.replace(
        "groups = [\"rendering\"]\nmay = [\"subscribe\"]",
        &format!("groups = [\"rendering\", \"clinical\"]\nmay = [\"call\"]\n{key}"),
    );
    std::fs::copy(folder.join("keys/windfarm.key"), folder.join("keys/renderer.key")).unwrap();
    let (before, route) = text.rsplit_once("[[route]]").unwrap();
    let look = route.replace("methods = \"ward.v1.Ward\"", "methods = \"ward.v1.Ward/Look\"").replace(CARE, OTHER);
    let watch = route.replace("methods = \"ward.v1.Ward\"", "methods = \"ward.v1.Ward/Watch\"");
    std::fs::write(&file, format!("{before}[[route]]{look}\n[[route]]{watch}")).unwrap();
    let world = World::at(folder, Default::default()).await.unwrap_or_else(|error| panic!("{error}"));

    let holder = OpenKey::from_seed(&Secret::take(&mut [9; 32])).unwrap();
    for value in PEOPLE {
        let person = world.patient(value).await;
        for caller in ["clinician", "renderer"] {
            world.enrol(caller, value, &person).await;
        }
        let rules: Vec<_> = permit_all().into_iter().chain([permit("patient", "pseudonymize"), sealed_for_recipient("note")]).collect();
        let given = Given::to(&world, &["clinician", "renderer"], CARE).purposes(&[CARE, OTHER]);
        world.grant(&person, &given.rules(rules).key(holder.seal_key())).await;
        world.grant(&person, &Given::to(&world, &["hospital"], CARE).purposes(&[CARE, OTHER])).await;
    }
    // Two callers, and one of them for two purposes.
    let mut came = Vec::new();
    for (caller, path) in [
        ("clinician", "/ward.v1.Ward/Watch"),
        ("renderer", "/ward.v1.Ward/Watch"),
        ("clinician", "/ward.v1.Ward/Look"),
        ("clinician", "/ward.v1.Ward/Watch"),
    ] {
        let channel = world.channel(caller).await;
        let (mut of_all, mut sizes) = (Vec::new(), BTreeSet::new());
        for person in PEOPLE {
            let (mut found, mut of_person) = (BTreeSet::new(), Vec::new());
            for _ in 0..3 {
                of_person.extend(got(&channel, path, person, &mut found).await);
            }
            // With the announcement, which comes first.
            assert!(of_person[0] > 2 * of_person[1], "{of_person:?}");
            sizes.insert(of_person);
            of_all.push(found);
        }
        // The counter of groups takes a byte more from eight on, for everybody.
        assert_eq!(sizes.len(), 1, "answers about one person are as long as about another: {sizes:?}");
        came.push(of_all);
    }
    let mut permitted = BTreeSet::new();
    (0..3).for_each(|number| {
        tokens(&Chart { patient: String::new(), note: String::new(), ..chart("", number) }.encode_to_vec(), &mut permitted)
    });
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        for (person, value) in PEOPLE.iter().enumerate() {
            let found = joins(&came[one], &came[other], person);
            let not_theirs: Vec<_> = found.iter().filter(|token| !permitted.contains(token)).collect();
            assert!(not_theirs.is_empty(), "{one} and {other} know `{value}` by {not_theirs:x?}");
        }
    }
    // The same caller for the same purpose may know people again: the comparison finds it.
    assert!((0..PEOPLE.len()).all(|person| !joins(&came[0], &came[3], person).is_empty()));
}
