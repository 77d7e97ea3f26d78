//! A gateway in front of a ward's service, whoever calls it, and calls byte for byte.

use bytes::Bytes;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use twinveil::server::StartError;

use super::ward::{self, Chart, Got, WardAsk};
use super::{Folder, Given, World, made_folder, raw_call};

pub(crate) const CARE: &str = "dpv:ServiceProvision";

/// A gateway in front of a ward's service: `clinician` calls, `hospital` answers.
pub(crate) async fn ward(route: &str) -> (World, Got) {
    let (address, got) = ward::serve().await;
    (at(&address.to_string(), route).await, got)
}

/// The same with the service at an address that is given.
pub(crate) async fn at(addresses: &str, route: &str) -> World {
    started(addresses, route).await.unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) async fn started(addresses: &str, route: &str) -> Result<World, StartError> {
    started_with(addresses, route, &[]).await
}

/// With more files in its folder.
pub(crate) async fn started_with(addresses: &str, route: &str, files: &[(&str, &str)]) -> Result<World, StartError> {
    World::at(filled(addresses, route, files), Default::default()).await
}

/// What such a gateway starts from.
pub(crate) fn folder(addresses: &str, route: &str) -> Folder {
    filled(addresses, route, &[])
}

fn filled(addresses: &str, route: &str, files: &[(&str, &str)]) -> Folder {
    let folder = made_folder();
    std::fs::write(folder.join("ward.binpb"), ward::descriptors()).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    std::fs::write(folder.join("ward.fields.toml"), ward::SIDE).unwrap();
    let policy = folder.join("policy.cedar");
    let rule = "@id(\"ward\") permit (principal in Group::\"clinical\", action == Action::\"keep\", resource) when { resource.schema like \"ward.v1.*\" };\n";
    std::fs::write(&policy, std::fs::read_to_string(&policy).unwrap() + rule).unwrap();
    let file = folder.join("twinveil.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = calling(&folder, &text);
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

/// The sample configuration with a clinician who may call.
pub(crate) fn calling(folder: &Folder, text: &str) -> String {
    // What the clinician's program sends is about patients, too: it countersigns whom its values mean.
    let key = text.lines().filter(|line| line.starts_with("key = \"did:")).nth(1).unwrap().to_owned();
    std::fs::copy(folder.join("keys/windfarm.key"), folder.join("keys/clinician.key")).unwrap();
    let calls = format!("groups = [\"clinical\"]\nmay = [\"subscribe\", \"call\"]\n{key}");
    text.replace("groups = [\"clinical\"]\nmay = [\"subscribe\"]", &calls)
}

/// A patient who lets the ward and the clinician have everything.
pub(crate) async fn patient(world: &World, id: &str) -> twinveil::client::wallet::Wallet {
    let person = world.patient(id).await;
    world.enrol("clinician", id, &person).await;
    world.grant(&person, &Given::to(world, &["clinician", "hospital"], CARE)).await;
    person
}

/// A call byte for byte.
pub(crate) async fn bare(channel: &Channel, path: &str, body: Vec<Bytes>) -> http::Response<tonic::body::Body> {
    raw_call(channel.clone(), path, "application/grpc", body, true).await.0
}

/// A client of the ward that knows nothing of the gateway.
pub(crate) struct Client(pub Grpc<Channel>);

impl Client {
    pub(crate) async fn of(world: &World) -> Self {
        Self(Grpc::new(world.channel("clinician").await))
    }

    /// On a connection that is there.
    pub(crate) fn on(channel: Channel) -> Self {
        Self(Grpc::new(channel))
    }

    pub(crate) async fn look(&mut self, ask: impl tonic::IntoRequest<WardAsk>) -> Result<Response<Chart>, Status> {
        self.0.ready().await.unwrap();
        self.0.unary(ask.into_request(), "/ward.v1.Ward/Look".parse().unwrap(), ProstCodec::default()).await
    }

    pub(crate) async fn watch(&mut self, ask: WardAsk) -> Result<Streaming<Chart>, Status> {
        self.watch_until(Request::new(ask)).await
    }

    /// As [`Self::watch`], with a deadline.
    pub(crate) async fn watch_until(&mut self, ask: Request<WardAsk>) -> Result<Streaming<Chart>, Status> {
        self.0.ready().await.unwrap();
        let answer = self.0.server_streaming(ask, "/ward.v1.Ward/Watch".parse().unwrap(), ProstCodec::default()).await;
        answer.map(Response::into_inner)
    }

    pub(crate) async fn record(&mut self, charts: Vec<Chart>) -> Result<WardAsk, Status> {
        self.0.ready().await.unwrap();
        let stream = tokio_stream::iter(charts);
        let answer = self.0.client_streaming(Request::new(stream), "/ward.v1.Ward/Record".parse().unwrap(), ProstCodec::default()).await;
        answer.map(Response::into_inner)
    }

    /// As [`Self::record`], with charts as they come.
    pub(crate) async fn record_from(&mut self, charts: tokio::sync::mpsc::Receiver<Chart>) -> Result<WardAsk, Status> {
        self.0.ready().await.unwrap();
        let stream = tokio_stream::wrappers::ReceiverStream::new(charts);
        let answer = self.0.client_streaming(Request::new(stream), "/ward.v1.Ward/Record".parse().unwrap(), ProstCodec::default()).await;
        answer.map(Response::into_inner)
    }

    pub(crate) async fn talk(&mut self, charts: tokio::sync::mpsc::Receiver<Chart>) -> Result<Streaming<Chart>, Status> {
        self.0.ready().await.unwrap();
        let stream = tokio_stream::wrappers::ReceiverStream::new(charts);
        let answer = self.0.streaming(Request::new(stream), "/ward.v1.Ward/Talk".parse().unwrap(), ProstCodec::default()).await;
        answer.map(Response::into_inner)
    }
}

pub(crate) fn ask(patient: &str) -> WardAsk {
    WardAsk { patient: patient.into(), count: 3, word: String::new() }
}

pub(crate) fn asking(patient: &str, word: &str) -> WardAsk {
    WardAsk { word: word.into(), ..ask(patient) }
}
