//! Does a call through the gateway stay a call, and does nothing leave that should not?

mod calls;
mod refusals;
mod rights;

use bytes::Bytes;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::harness::ward::{self, Chart, Got, WardAsk};
use crate::harness::{Folder, Given, World, made_folder, raw_call};

const CARE: &str = "dpv:ServiceProvision";

/// A gateway in front of a ward's service: `clinician` calls, `hospital` answers.
async fn ward(route: &str) -> (World, Got) {
    let (address, got) = ward::serve().await;
    (at(&address.to_string(), route).await, got)
}

/// The same with the service at an address that is given.
async fn at(addresses: &str, route: &str) -> World {
    World::at(folder(addresses, route), Default::default()).await.unwrap_or_else(|error| panic!("{error}"))
}

/// What such a gateway starts from.
fn folder(addresses: &str, route: &str) -> Folder {
    let folder = made_folder();
    std::fs::write(folder.join("ward.binpb"), ward::descriptors()).unwrap();
    std::fs::write(folder.join("ward.fields.toml"), ward::SIDE).unwrap();
    let policy = folder.join("policy.cedar");
    let rule = "@id(\"ward\") permit (principal in Group::\"clinical\", action == Action::\"keep\", resource) when { resource.schema like \"ward.v1.*\" };\n";
    std::fs::write(&policy, std::fs::read_to_string(&policy).unwrap() + rule).unwrap();
    let file = folder.join("twinveil.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    // What the clinician's program sends is about patients, too: it countersigns whom its values mean.
    let key = text.lines().filter(|line| line.starts_with("key = \"did:")).nth(1).unwrap().to_owned();
    std::fs::copy(folder.join("keys/windfarm.key"), folder.join("keys/clinician.key")).unwrap();
    let calls = format!("groups = [\"clinical\"]\nmay = [\"subscribe\", \"call\"]\n{key}");
    let text = text.replace("groups = [\"clinical\"]\nmay = [\"subscribe\"]", &calls);
    let text = text.replace("may = [\"publish\"]\nkey = \"did:key", "may = [\"publish\"]\ngroups = [\"clinical\"]\nkey = \"did:key");
    let addresses: Vec<_> = addresses.split(',').map(|address| format!("{address:?}")).collect();
    let subject = if route.contains("subject") { "" } else { "subject = \"field\"" };
    let lines = format!(
        "[[upstream]]\nname = \"ward\"\naddresses = [{}]\nparty = \"hospital\"\ninsecure = true\n\
         [[route]]\nmethods = \"ward.v1.Ward\"\nupstream = \"ward\"\ndescriptor = \"ward.binpb\"\nside_file = \"ward.fields.toml\"\n\
         purpose = \"{CARE}\"\n{subject}\n{route}\n",
        addresses.join(", ")
    );
    std::fs::write(&file, format!("{text}\n{lines}")).unwrap();
    folder
}

/// A patient who lets the ward and the clinician have everything.
async fn patient(world: &World, id: &str) -> twinveil::client::wallet::Wallet {
    let person = world.patient(id).await;
    world.enrol("clinician", id, &person).await;
    world.grant(&person, &Given::to(world, &["clinician", "hospital"], CARE)).await;
    person
}

/// A call byte for byte.
async fn bare(channel: &Channel, path: &str, body: Vec<Bytes>) -> http::Response<tonic::body::Body> {
    raw_call(channel.clone(), path, "application/grpc", body, true).await.0
}

/// A client of the ward that knows nothing of the gateway.
struct Client(Grpc<Channel>);

impl Client {
    async fn of(world: &World) -> Self {
        Self(Grpc::new(world.channel("clinician").await))
    }

    async fn look(&mut self, ask: impl tonic::IntoRequest<WardAsk>) -> Result<Response<Chart>, Status> {
        self.0.ready().await.unwrap();
        self.0.unary(ask.into_request(), "/ward.v1.Ward/Look".parse().unwrap(), ProstCodec::default()).await
    }

    async fn watch(&mut self, ask: WardAsk) -> Result<Streaming<Chart>, Status> {
        self.0.ready().await.unwrap();
        let answer = self.0.server_streaming(Request::new(ask), "/ward.v1.Ward/Watch".parse().unwrap(), ProstCodec::default()).await;
        answer.map(Response::into_inner)
    }

    async fn record(&mut self, charts: Vec<Chart>) -> Result<WardAsk, Status> {
        self.0.ready().await.unwrap();
        let stream = tokio_stream::iter(charts);
        let answer = self.0.client_streaming(Request::new(stream), "/ward.v1.Ward/Record".parse().unwrap(), ProstCodec::default()).await;
        answer.map(Response::into_inner)
    }

    async fn talk(&mut self, charts: tokio::sync::mpsc::Receiver<Chart>) -> Result<Streaming<Chart>, Status> {
        self.0.ready().await.unwrap();
        let stream = tokio_stream::wrappers::ReceiverStream::new(charts);
        let answer = self.0.streaming(Request::new(stream), "/ward.v1.Ward/Talk".parse().unwrap(), ProstCodec::default()).await;
        answer.map(Response::into_inner)
    }
}

fn ask(patient: &str) -> WardAsk {
    WardAsk { patient: patient.into(), count: 3, word: String::new() }
}

fn asking(patient: &str, word: &str) -> WardAsk {
    WardAsk { word: word.into(), ..ask(patient) }
}
