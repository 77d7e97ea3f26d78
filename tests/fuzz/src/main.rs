//! All targets in one program, because linking costs more than fuzzing starts: `TWINVEIL_FUZZ_TARGET` names the one that runs.
//! Everything else is libFuzzer's: folders to fuzz in, files to run again, `-help=1`.

#![no_main]

mod targets;

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<targets::Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("TWINVEIL_FUZZ_TARGET").unwrap_or_default();
        let known = targets::TARGETS.iter().find(|(target, _)| *target == name);
        known.unwrap_or_else(|| panic!("TWINVEIL_FUZZ_TARGET is `{name}`: no such target")).1
    })(data);
});
