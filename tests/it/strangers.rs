//! Do programs that nobody here wrote find the gateway in their way? Stock clients and servers on both sides of it, and what they
//! print. `tests/run` installs them; without one, the tests that need it skip by name.

mod curl;
mod etcd;
mod load;
mod python;
mod telemetry;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost_reflect::DescriptorPool;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;

use crate::harness::{Folder, World, made_folder};
use crate::proxy::calling;

/// No program takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program of the system; `None`, and said so, where it is not installed. On CI it must be.
pub(crate) fn program(name: &str) -> Option<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    let Some(found) = found else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "`{name}` is not installed, and this is CI");
        eprintln!("SKIPPED what is tried with `{name}`: it is not installed (tests/run installs it)");
        return None;
    };
    Some(Command::new(found))
}

/// A program that came with the pinned packages, at this place of the environment.
fn packaged(name: &str, place: impl FnOnce(PathBuf) -> PathBuf) -> Option<Command> {
    let python = crate::outsiders::python(&format!("what is tried with `{name}`"))?;
    let environment = PathBuf::from(python.get_program()).parent()?.parent()?.to_owned();
    let file = place(environment);
    assert!(file.is_file(), "`{}` is not there: tests/run installs it", file.display());
    Some(Command::new(file))
}

/// What a program said until it ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    /// What it printed, if it ended well.
    #[track_caller]
    fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

/// Runs a program to its end while the gateway goes on.
fn run(command: Command) -> Ended {
    run_with(command, "")
}

/// The same with this on standard input.
fn run_with(command: Command, input: &str) -> Ended {
    let what = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = async {
        let mut child = command.spawn().unwrap();
        let _it_may_not_read = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
        tokio::time::timeout(PATIENCE, child.wait_with_output()).await
    };
    let output = tokio::task::block_in_place(|| Handle::current().block_on(running));
    let output = output.unwrap_or_else(|_| panic!("{what} has not ended in {} s", PATIENCE.as_secs())).unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A program that runs beside the test, and ends with it.
struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
    what: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let what = format!("{command:?}");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::<Mutex<String>>::default();
        listen(child.stdout.take().unwrap(), &said);
        listen(child.stderr.take().unwrap(), &said);
        Self { child, said, what }
    }

    /// All it has said so far.
    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until what it said is enough.
    async fn heard<T>(&mut self, what: &str, enough: impl Fn(&str) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            if let Some(found) = enough(&said) {
                return found;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "waited for {what} of {}: {ended:?}, it said:\n{said}", self.what);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it takes connections.
    async fn listens(&mut self, at: SocketAddr) {
        self.heard("a listener", |_| TcpStream::connect(at).ok()).await;
    }
}

fn listen(from: impl Read + Send + 'static, said: &Arc<Mutex<String>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
        }
    });
}

impl Running {
    fn kill(&mut self) {
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address that nobody listens on, on which no other test does; whoever gets it binds it soon.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.7:0").unwrap().local_addr().unwrap()
}

/// A descriptor set of these files.
fn descriptors(files: &'static [(&'static str, &'static str)]) -> Vec<u8> {
    struct These(&'static [(&'static str, &'static str)]);
    impl protox::file::FileResolver for These {
        fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
            match self.0.iter().find(|(file, _)| *file == name) {
                Some((_, text)) => protox::file::File::from_source(name, text),
                None => Err(protox::Error::file_not_found(name)),
            }
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(These(files));
    compiler.open_files(files.iter().map(|(name, _)| name)).expect("compiles");
    compiler.encode_file_descriptor_set()
}

/// A side file that calls every field of a set public, but for those of which nothing is said.
fn everything_public(set: &[u8], but: &[&str]) -> String {
    let pool = DescriptorPool::decode(set).unwrap();
    let mut text = String::new();
    for message in pool.all_messages().filter(|message| !message.is_map_entry()) {
        text += &format!("[\"{}\"]\n", message.full_name());
        for field in message.fields().filter(|field| !but.contains(&field.full_name())) {
            // A message with fields is what its fields are; one without is judged as one.
            if field.is_map() || field.kind().as_message().is_none_or(|inner| inner.fields().len() == 0) {
                text += &format!("{} = {{ sensitivity = \"public\", category = \"operation\" }}\n", field.name());
            }
        }
    }
    text
}

/// A gateway on plain HTTP/2 whose every caller is `clinician`, with these files in its folder and these lines behind the sample
/// configuration.
async fn plain(files: &[(&str, &[u8])], lines: &str) -> World {
    let folder = made_folder();
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let text = std::fs::read_to_string(folder.join("twinveil.toml")).unwrap();
    let (before, behind) = text.split_once("\n[tls]\n").expect("the sample has TLS");
    let behind = &behind[behind.find("\n[keys]\n").expect("and keys")..];
    let text = format!("{before}\ninsecure = true\ninsecure_party = \"clinician\"\n\n{behind}");
    let text = calling(&folder, &text);
    std::fs::write(folder.join("twinveil.toml"), format!("{text}\n{lines}\n")).unwrap();
    World::at(folder, Default::default()).await.unwrap_or_else(|error| panic!("{error}"))
}

/// An upstream at a loopback address, and routes to services whose messages are about nobody.
fn routed(address: SocketAddr, services: &[&str], set: &str, side: &str, more: &str) -> String {
    let mut lines = format!("[[upstream]]\nname = \"behind\"\naddresses = [\"{address}\"]\nparty = \"hospital\"\ninsecure = true\n");
    for service in services {
        lines += &format!(
            "[[route]]\nmethods = \"{service}\"\nupstream = \"behind\"\ndescriptor = \"{set}\"\nside_file = \"{side}\"\n\
             purpose = \"dpv:ServiceProvision\"\nsubject = \"none\"\n{more}\n"
        );
    }
    lines
}

/// Stock stubs in Python of `ward.proto`.
fn ward_stubs() -> Option<Folder> {
    let mut protoc = crate::outsiders::python("a service in Python")?;
    let folder = Folder::new();
    std::fs::write(folder.join("ward.proto"), crate::harness::ward::PROTO).unwrap();
    protoc.current_dir(&folder.0).args(["-m", "grpc_tools.protoc", "-I.", "--python_out=.", "--grpc_python_out=.", "ward.proto"]);
    run(protoc).well();
    Some(folder)
}

/// A script of `tests/vectors`.
fn script(name: &str, args: &[&dyn AsRef<OsStr>]) -> Option<Command> {
    let mut command = crate::outsiders::python(name)?;
    command.arg(crate::manual::root().join("tests/vectors").join(name)).args(args.iter().map(|arg| arg.as_ref()));
    Some(command)
}
