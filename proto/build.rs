//! Compiles the protobuf contracts without `protoc`: Rust types, tonic services (feature `gateway`), and descriptor
//! sets that keep custom options (`protox::compile` would drop them).

use std::error::Error;
use std::path::{Path, PathBuf};

const CONTRACT: [&str; 5] = [
    "intoto/envelope.proto",
    "twinveil/v1/sensitivity.proto",
    "twinveil/v1/frames.proto",
    "twinveil/v1/consent.proto",
    "twinveil/v1/demand.proto",
];
const SAMPLES: [&str; 2] = ["twinveil/sample/patient.proto", "twinveil/sample/turbine.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let root = Path::new("proto");
    println!("cargo:rerun-if-changed=proto");
    for (files, name) in [(&CONTRACT[..], "contract.binpb"), (&SAMPLES[..], "samples.binpb")] {
        let mut compiler = protox::Compiler::new([root])?;
        compiler.include_imports(true).include_source_info(false);
        for file in files {
            compiler.open_file(root.join(file))?;
        }
        std::fs::write(out.join(name), compiler.encode_file_descriptor_set())?;
    }
    let all = protox::compile(CONTRACT.iter().chain(&SAMPLES).map(|file| root.join(file)), [root])?;
    generate(all)
}

#[cfg(feature = "gateway")]
fn generate(all: prost_types::FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    tonic_prost_build::configure().bytes(".").compile_fds(all)?;
    Ok(())
}

#[cfg(not(feature = "gateway"))]
fn generate(all: prost_types::FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    prost_build::Config::new().bytes(["."]).compile_fds(all)?;
    Ok(())
}
