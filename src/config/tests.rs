use std::path::PathBuf;

use super::*;
use crate::veil::crypto::sign::SignKey;
use crate::veil::demand::Role;
use crate::veil::demand::register::PERSONS_MAX;

const DID: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";

/// A folder of its own for one test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("twinveil-config-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("folder");
        let folder = Self(path);
        for (i, key) in ["sign", "handle", "store", "server.key"].iter().enumerate() {
            folder.write(key, &format!("{:064x}\n", i + 1), 0o600);
        }
        for file in ["server.pem", "ca.pem", "policy.cedar", "other.binpb", "other.proto"] {
            folder.write(file, "", 0o644);
        }
        folder
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
    }

    fn load_with(&self, text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        self.write("twinveil.toml", text, 0o644);
        let get = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::load_with(&self.0.join("twinveil.toml"), get).map_err(|error| error.to_string())
    }

    fn load(&self, text: &str) -> Result<Config, String> {
        self.load_with(text, &[])
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn good() -> String {
    format!(
        r#"origin = "gateway.example.org"
tls = {{ certificate = "server.pem", private_key = "server.key", client_ca = "ca.pem" }}
keys = {{ sign = "sign", handle = "handle", store = "store" }}
policy = {{ file = "policy.cedar", jurisdiction = "EU" }}
operator.keys = ["{DID}"]
limits.connections_max = 7
[[schema]]
message = "twinveil.sample.PatientFrame"
builtin = true
[[party]]
name = "hospital"
spiffe = "spiffe://example.org/source/hospital"
may = ["publish"]
key = "{DID}"
[[party]]
name = "clinician"
spiffe = "spiffe://example.org/recipient/clinician"
groups = ["clinical"]
may = ["subscribe"]
"#
    )
}

#[test]
fn a_written_configuration_is_read_and_the_rest_is_default() {
    let folder = Folder::new("good");
    let config = folder.load(&good()).expect("good");
    assert_eq!((config.listen.to_string(), config.health_listen.to_string()), ("127.0.0.1:7443".into(), "127.0.0.1:7444".into()));
    assert_eq!(config.limits, Limits { connections_max: 7, ..Limits::default() });
    assert_eq!((config.limits.frame_bytes_max, config.limits.queue_bytes_max), (1_048_576, 4_194_304));
    assert_eq!(
        (config.pseudonym.rotation_days, config.seal.clone()),
        (30, Seal { suite: Suite::ChaCha20Poly1305, epoch_ms_max: 3_600_000 })
    );
    assert_eq!(config.store_dir, folder.0.join("store"));
    assert!(matches!(&config.entry, Entry::Tls(files) if files.client_ca == folder.0.join("ca.pem")));
    assert_eq!((config.keys.sign.expose()[31], config.keys.store.expose()[31]), (1, 3));
    let hospital = config.party(&Spiffe::parse("spiffe://example.org/source/hospital").expect("id")).expect("known");
    assert_eq!((&*hospital.name, hospital.may.contains(&May::Publish), hospital.key), ("hospital", true, Did::parse(DID).ok()));
    assert!(config.party(&Spiffe::parse("spiffe://example.org/source/other").expect("id")).is_none());
    assert_eq!(config.party_named("clinician").map(|party| party.groups.len()), Some(1));
}

#[test]
fn the_environment_overrides_addresses_and_the_store_only() {
    let folder = Folder::new("environment");
    let environment = [
        ("TWINVEIL_LISTEN", "127.0.0.1:0"),
        ("TWINVEIL_HEALTH_LISTEN", "[::1]:9"),
        ("TWINVEIL_STORE_DIR", "/srv/x"),
        ("TWINVEIL_ORIGIN", "other"),
    ];
    let config = folder.load_with(&good(), &environment).expect("good");
    assert_eq!((config.listen.port(), config.health_listen.port(), config.store_dir), (0, 9, PathBuf::from("/srv/x")));
    assert_eq!(config.origin.as_str(), "gateway.example.org");
    let error = folder.load_with(&good(), &[("TWINVEIL_LISTEN", "somewhere")]).expect_err("no address");
    assert_eq!(error, "`TWINVEIL_LISTEN` is `somewhere`: must be an address and a port, such as `127.0.0.1:7443`");
}

#[test]
fn insecure_serves_one_party_on_loopback() {
    let folder = Folder::new("insecure");
    let plain = good().replace("tls = {", "insecure = true\ninsecure_party = \"hospital\"\n# {");
    let config = folder.load(&plain).expect("good");
    assert!(matches!(config.entry, Entry::Insecure(party) if &*party.name == "hospital"));
    for (from, to, says) in [
        ("insecure_party = \"hospital\"", "", "`insecure_party`: missing"),
        ("\"hospital\"\n#", "\"nobody\"\n#", "`insecure_party` is `nobody`: no `[[party]]` has this name"),
        (
            "insecure = true",
            "insecure = true\nlisten = \"0.0.0.0:7443\"",
            "`listen` is `0.0.0.0:7443`: `insecure = true` serves loopback addresses only",
        ),
        ("# {", "tls = {", "`tls`: not together with `insecure = true`"),
        ("insecure = true", "insecure = false", "`tls`: missing"),
    ] {
        let error = folder.load(&plain.replace(from, to)).expect_err(says);
        assert!(error.starts_with(says), "{error}");
    }
}

#[test]
fn every_refusal_names_the_key_and_the_value() {
    let folder = Folder::new("refusals");
    let cases: &[(&str, &str, &str)] = &[
        ("limits.connections_max = 7", "lisen = \"127.0.0.1:1\"", "`?`, line 6: unknown field `lisen`"),
        ("limits.connections_max = 7", "limits.frame_byte_max = 1", "`?`, line 6: unknown field `frame_byte_max`"),
        ("origin = \"gateway.example.org\"", "", "`?`, line 1: missing field `origin`"),
        ("gateway.example.org", "a b", "`origin` is `a b`: must be 1 to 255 bytes"),
        ("gateway.example.org", "a+b", "`origin` is `a+b`: must be 1 to 255 bytes"),
        ("limits.connections_max = 7", "listen = \"7443\"", "`listen` is `7443`: must be an address and a port"),
        ("limits.connections_max = 7", "health_listen = \"x\"", "`health_listen` is `x`: must be an address and a port"),
        ("limits.connections_max = 7", "insecure_party = \"hospital\"", "`insecure_party`: only with `insecure = true`"),
        ("tls = {", "# {", "`tls`: missing"),
        ("\"server.pem\"", "\"no.pem\"", "`tls.certificate` is `"),
        ("\"ca.pem\"", "\"no.pem\"", "`tls.client_ca` is `"),
        ("private_key = \"server.key\"", "private_key = \"no.key\"", "`tls.private_key` is `"),
        ("sign = \"sign\"", "sign = \"missing\"", "`keys.sign` is `"),
        ("sign = \"sign\"", "sign = \".\"", "`keys.sign` is `"),
        ("handle = \"handle\"", "handle = \"sign\"", "`keys`: two of the files hold the same key"),
        ("policy.cedar", "no.cedar", "`policy.file` is `"),
        ("\"EU\"", "\"Europe\"", "`policy.jurisdiction` is `Europe`: must be an ISO 3166 code"),
        ("builtin = true", "", "`schema.message` is `twinveil.sample.PatientFrame`: needs `descriptor` or `builtin = true`"),
        ("builtin = true", "builtin = true\ndescriptor = \"other.binpb\"", "`schema.descriptor` is `other.binpb`: not together with"),
        ("builtin = true", "descriptor = \"no.binpb\"", "`schema.descriptor` is `"),
        ("builtin = true", "descriptor = \"other.binpb\"\nproto_paths = [\".\"]", "`schema.proto_paths`: only where `descriptor` is a"),
        ("builtin = true", "descriptor = \"other.proto\"\nproto_paths = [\"none\"]", "`schema.proto_paths` is `"),
        ("builtin = true", "descriptor = \"other.proto\"\nproto_path = []", "`?`, line 10: unknown field `proto_path`"),
        ("limits.connections_max = 7", "limits.drain_ms_max = 600001", "`limits.drain_ms_max` is `600001`: must be 0 to 600000"),
        ("limits.connections_max = 7", "limits.keepalive_ms = 1", "`limits.keepalive_ms` is `1`: must be 1000 to 3600000"),
        ("limits.connections_max = 7", "limits.keepalive_timeout_ms = 1", "`limits.keepalive_timeout_ms` is `1`: must be 1000 to 600000"),
        ("limits.connections_max = 7", "traces.endpont = \"x\"", "`?`, line 6: unknown field `endpont`, expected `endpoint`"),
        (
            "limits.connections_max = 7",
            "traces.endpoint = \"http://10.0.0.1:4317\"",
            "`traces.endpoint` is `http://10.0.0.1:4317`: must be",
        ),
        ("limits.connections_max = 7", "traces.endpoint = \"127.0.0.1:4317\"", "`traces.endpoint` is `127.0.0.1:4317`: must be"),
        ("limits.connections_max = 7", "web.origin = []", "`?`, line 6: unknown field `origin`, expected `origins`"),
        ("limits.connections_max = 7", "web.origins = [\"*\"]", "`web.origins` is `*`: must be an origin in lower case"),
        ("limits.connections_max = 7", "web.origins = [\"https://a.org/\"]", "`web.origins` is `https://a.org/`: must be an origin"),
        ("builtin = true", "builtin = true\nside_file = \"no.toml\"", "`schema.side_file` is `"),
        ("sample.PatientFrame", "sample.Other", "`schema.message` is `twinveil.sample.Other`: not built in"),
        (
            "[[party]]\nname = \"hospital\"",
            "[[schema]]\nmessage = \"twinveil.sample.PatientFrame\"\nbuiltin = true\n[[party]]\nname = \"hospital\"",
            "`schema.message` is `twinveil.sample.PatientFrame`: named twice",
        ),
        ("\"clinician\"", "\"hospital\"", "`party.name` is `hospital`: two parties have this name"),
        ("\"clinician\"", "\"the clinician\"", "`party.name` is `the clinician`: must be 1 to 64 letters"),
        ("recipient/clinician", "source/hospital", "`party.spiffe` is `spiffe://example.org/source/hospital`: two parties have this id"),
        ("spiffe://example.org/recipient", "https://example.org", "`party.spiffe` is `https://example.org/clinician`: not a SPIFFE id"),
        ("[\"clinical\"]", "[\"\"]", "`party.groups` is ``: must be 1 to 64 letters"),
        ("[\"subscribe\"]", "[\"subscibe\"]", "`?`, line 19: unknown variant `subscibe`"),
        ("[\"publish\"]", "[\"submit\"]", "`party.key` is `hospital`: only a source countersigns"),
        ("key = \"did:key:", "key = \"did:web:", "`party.key` is `did:web:"),
        ("operator.keys = [\"did:key:z6Mk", "operator.keys = [\"did:key:z6LS", "`operator.keys` is `did:key:z6LS"),
        ("limits.connections_max = 7", "limits.connections_max = 0", "`limits.connections_max` is `0`: must be 1 to 65536"),
        ("limits.connections_max = 7", "limits.frame_bytes_max = 1023", "`limits.frame_bytes_max` is `1023`: must be 1024 to 67108864"),
        ("limits.connections_max = 7", "limits.batch_bytes_max = 4096", "`limits.batch_bytes_max` is `4096`: must be 1048576 to 268435456"),
        (
            "limits.connections_max = 7",
            "limits.queue_bytes_max = 4096",
            "`limits.queue_bytes_max` is `4096`: must be 1048576 to 1073741824",
        ),
        (
            "limits.connections_max = 7",
            "limits.lossless_stall_ms_max = 600001",
            "`limits.lossless_stall_ms_max` is `600001`: must be 0 to 600000",
        ),
        (
            "limits.connections_max = 7",
            "limits.streams_per_connection_max = 0",
            "`limits.streams_per_connection_max` is `0`: must be 1 to 65536",
        ),
        ("limits.connections_max = 7", "pseudonym.rotation_days = 0", "`pseudonym.rotation_days` is `0`: must be 1 to 3650"),
        ("limits.connections_max = 7", "seal.suite = \"ROT13\"", "`seal.suite` is `ROT13`: must be `CHACHA20_POLY1305` or"),
        ("limits.connections_max = 7", "seal.epoch_ms_max = 3600001", "`seal.epoch_ms_max` is `3600001`: must be 1000 to 3600000"),
    ];
    let path = folder.0.join("twinveil.toml").display().to_string();
    for (from, to, says) in cases {
        assert!(good().contains(from), "{from}");
        let error = folder.load(&good().replacen(from, to, 1)).err().unwrap_or_else(|| panic!("accepted: {to}"));
        assert!(error.replace(&path, "?").starts_with(says), "wanted {says}\n   got {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_slip_is_told_with_the_word_that_was_meant() {
    let folder = Folder::new("slip");
    let error = folder.load(&good().replace("limits.connections_max", "limits.conections_max")).expect_err("slip");
    assert!(error.ends_with("; did you mean `connections_max`?"), "{error}");
}

#[test]
fn a_schema_is_needed_and_parties_are_bounded() {
    let folder = Folder::new("bounds");
    let text = good();
    let (before, rest) = text.split_once("[[schema]]").expect("schema");
    let (_, parties) = rest.split_once("[[party]]").expect("party");
    assert!(folder.load(&format!("{before}[[party]]{parties}")).expect_err("no schema").starts_with("`schema`: missing"));
    let many = |count: usize| (0..count).map(|i| format!("[[party]]\nname = \"p{i}\"\nspiffe = \"spiffe://x/{i}\"\n")).collect::<String>();
    assert_eq!(folder.load(&format!("{text}{}", many(PARTIES_MAX - 2))).expect("at the limit").parties().len(), PARTIES_MAX);
    assert_eq!(
        folder.load(&format!("{text}{}", many(PARTIES_MAX - 1))).expect_err("one too many"),
        "`party` is `1001`: at most 1000 parties"
    );
}

#[test]
fn key_files_that_others_can_reach_are_refused() {
    let folder = Folder::new("modes");
    for mode in [0o640, 0o604, 0o620, 0o601] {
        folder.write("handle", &format!("{:064x}", 2), mode);
        let error = folder.load(&good()).expect_err("open to others");
        assert!(error.contains(&format!("others can reach the file (mode {mode:04o}); run `chmod 600")), "{error}");
    }
    folder.write("handle", &format!("{:064x}", 2), 0o400);
    assert!(folder.load(&good()).is_ok());
    folder.write("server.key", "", 0o644);
    assert!(folder.load(&good()).expect_err("open").starts_with("`tls.private_key` is"));
}

#[test]
fn a_key_file_that_is_none_is_refused_without_quoting_it() {
    let folder = Folder::new("content");
    for content in ["", "ab", &"AB".repeat(32), &"ab".repeat(33), &"zz".repeat(32)] {
        folder.write("store", content, 0o600);
        let error = folder.load(&good()).expect_err("no key");
        assert!(
            error.contains("`keys.store` is")
                && error.contains("not a key")
                && (content.is_empty() || !error.contains(&format!("`{content}`"))),
            "{error}"
        );
    }
}

#[test]
fn raising_the_frame_limit_raises_what_holds_frames() {
    let folder = Folder::new("raise");
    let config = folder.load(&good().replace("limits.connections_max = 7", "limits.frame_bytes_max = 8388608")).expect("good");
    assert_eq!((config.limits.batch_bytes_max, config.limits.queue_bytes_max), (8_388_608, 8_388_608));
}

#[test]
fn a_missing_file_says_how_to_get_one() {
    let error = Config::load(std::path::Path::new("/nonexistent/twinveil.toml")).expect_err("missing");
    assert_eq!(error.to_string(), "`/nonexistent/twinveil.toml` can't be read: entity not found; `twinveil init` makes one");
}

const OTHER_DID: &str = "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw";

fn with_persons(persons: &str) -> String {
    format!("{}{persons}", good())
}

#[test]
fn persons_have_keys_and_roles_and_are_one_however_many_keys_they_have() {
    let folder = Folder::new("persons");
    assert!(folder.load(&good()).expect("good").persons.is_empty());
    let text = format!("[[person]]\nname = \"ada\"\nkeys = [\"{DID}\", \"{OTHER_DID}\"]\nroles = [\"approver\", \"clerk\", \"clerk\"]\n");
    let config = folder.load(&with_persons(&text)).expect("good");
    let [ada] = config.persons.as_slice() else { panic!("one person") };
    assert_eq!((ada.keys.len(), ada.roles.iter().copied().collect::<Vec<_>>()), (2, vec![Role::Clerk, Role::Approver]));
}

#[test]
fn a_key_under_two_persons_is_refused_and_so_is_whatever_leaves_open_who_signs() {
    let folder = Folder::new("persons-refused");
    let person = |name: &str, keys: &str, roles: &str| format!("[[person]]\nname = \"{name}\"\nkeys = [{keys}]\nroles = [{roles}]\n");
    let key = format!("\"{DID}\"");
    let own = SignKey::from_seed(&Secret::take(&mut {
        let mut seed = [0; 32];
        seed[31] = 1;
        seed
    }));
    let cases = [
        (
            person("ada", &key, "\"clerk\"") + &person("ben", &key, "\"approver\""),
            format!("`person.keys` is `{DID}`: under two persons; whose it is has to be certain: delete one"),
        ),
        (person("ada", &format!("{key}, {key}"), "\"clerk\""), format!("`person.keys` is `{DID}`: named twice")),
        (person("ada", &key, "\"clerk\"") + &person("ada", "\"x\"", "\"clerk\""), "`person.name` is `ada`: two persons".into()),
        (person("ada", "", "\"clerk\""), "`person.keys` is `ada`: needs 1 to 16 keys".into()),
        (person("ada", &[key.as_str(); 17].join(","), "\"clerk\""), "`person.keys` is `ada`: needs 1 to 16 keys".into()),
        (person("ada", &key, "\"judge\""), "`person.roles` is `judge`: must be one of `clerk`, `counsel`, `analyst`, `approver`".into()),
        (person("ada", "\"did:web:x\"", "\"clerk\""), "`person.keys` is `did:web:x`".into()),
        (person("Ada Lovelace", &key, "\"clerk\""), "`person.name` is `Ada Lovelace`: must be 1 to 64 letters".into()),
        (person("ada", &format!("\"{}\"", own.did()), "\"clerk\""), format!("`person.keys` is `{}`: the gateway's own key", own.did())),
    ];
    for (text, says) in cases {
        let error = folder.load(&with_persons(&text)).expect_err(&says);
        assert!(error.starts_with(&says), "wanted {says}\n   got {error}");
    }
    assert!(folder.load(&with_persons(&person("ada", &key, ""))).expect("somebody who left").persons[0].roles.is_empty());
    let many = |count: usize| {
        let keys = (0..count)
            .map(|i| SignKey::from_seed(&Secret::take(&mut [[i as u8, (i >> 8) as u8 + 1]; 16].concat().try_into().expect("32"))).did());
        keys.enumerate().map(|(i, key)| person(&format!("p{i}"), &format!("\"{key}\""), "\"clerk\"")).collect::<String>()
    };
    assert_eq!(folder.load(&with_persons(&many(PERSONS_MAX))).expect("at the limit").persons.len(), PERSONS_MAX);
    assert_eq!(folder.load(&with_persons(&many(PERSONS_MAX + 1))).expect_err("one too many"), "`person` is `1001`: at most 1000 persons");
}
