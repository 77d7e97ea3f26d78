//! `twinveil init`: a folder with everything that `serve` needs, to try the gateway with the sample twins.

use std::path::{Path, PathBuf};

use zeroize::Zeroize;

use super::{CliError, certs, say};
use crate::veil::crypto::hash::sha256;
use crate::veil::crypto::secret::Secret;
use crate::veil::crypto::sign::SignKey;
use crate::veil::merkle::note::VerifierKey;
use crate::veil::name::{Did, Spiffe};
use crate::world::entropy;

const CONFIG: &str = include_str!("assets/twinveil.toml");
const POLICY: &str = include_str!("assets/policy.cedar");
const NOTICE: &str = include_str!("assets/notice.md");
const TERMS: &str = include_str!("assets/terms.json");
const GATEWAY: &str = "spiffe://example.org/gateway";
/// The gateway's name in the template.
const ORIGIN: &str = "gateway.example.org/twins";
/// The parties of the template: certificate name and SPIFFE id.
const PARTIES: [(&str, &str); 9] = [
    ("hospital", "spiffe://example.org/source/hospital"),
    ("windfarm", "spiffe://example.org/source/windfarm"),
    ("clinician", "spiffe://example.org/recipient/clinician"),
    ("researcher", "spiffe://example.org/recipient/researcher"),
    ("renderer", "spiffe://example.org/recipient/renderer"),
    ("vendor", "spiffe://example.org/recipient/vendor"),
    ("advertiser", "spiffe://example.org/recipient/advertiser"),
    ("authority", "spiffe://example.org/recipient/authority"),
    ("portal", "spiffe://example.org/portal"),
];

/// Make a folder with a configuration, a policy, keys and development certificates, ready for `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  twinveil init demo
  twinveil serve --config demo/twinveil.toml

The folder gets twinveil.toml, policy.cedar, keys/ (readable by you only) and certs/ (development only); and, for wallets, \
notice.md and terms.json: what every consent says beside who gets what; and log.vkey: the key by which everybody checks the \
gateway's log. It must be new or empty.")]
pub struct Args {
    /// Folder to fill; made where it does not exist
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Fills the folder and says what comes next.
pub fn run(args: Args) -> Result<(), CliError> {
    let dir = &args.dir;
    let made = fill_folder(dir)?;
    for file in &made {
        say(file.display())?;
    }
    let shown = dir.display();
    say(format_args!(
        "\nThe certificates are for development only; the keys in `{shown}/keys` are real: keep them to yourself.\n\
         Next:\n  twinveil serve --config {shown}/twinveil.toml\n  twinveil wallet new patient.json\n  \
         twinveil wallet enrol --help\n  twinveil wallet grant --help"
    ))
}

/// Fills the folder and names every file made.
pub fn fill_folder(dir: &Path) -> Result<Vec<PathBuf>, CliError> {
    let broken = |path: &Path, error: std::io::Error| CliError::broken(format!("`{}`: {}", path.display(), error.kind()));
    match std::fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => return Err(CliError::broken(format!("`{}` is not empty and is left as it is; choose another folder", dir.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(broken(dir, error)),
    }
    let keys = dir.join("keys");
    std::fs::create_dir_all(&keys).map_err(|error| broken(&keys, error))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o700)).map_err(|error| broken(&keys, error))?;
    }

    let mut files = Vec::new();
    let mut key = |name: &str| {
        let file = keys.join(format!("{name}.key"));
        let did = write_key(&file)?;
        files.push(file);
        Ok::<Did, CliError>(did)
    };
    let sign = key("sign")?;
    for name in ["handle", "store"] {
        key(name)?;
    }
    let config = CONFIG
        .replace("@HOSPITAL@", &key("hospital")?.to_string())
        .replace("@WINDFARM@", &key("windfarm")?.to_string())
        .replace("@OPERATOR@", &key("operator")?.to_string());

    let log_key = VerifierKey::new(ORIGIN, sign).map_err(CliError::broken)?;
    let log_key = format!("{log_key}\n");
    let terms = TERMS.replace("@NOTICE@", &data_encoding::HEXLOWER.encode(&sha256(&[NOTICE.as_bytes()])));
    let named = |(name, id): &(&str, &str)| Spiffe::parse(id).map(|id| ((*name).to_owned(), id));
    let parties = PARTIES.iter().map(named).collect::<Result<Vec<_>, _>>().map_err(CliError::broken)?;
    files.extend(certs::write(&dir.join("certs"), &Spiffe::parse(GATEWAY).map_err(CliError::broken)?, &parties)?);
    for (name, text) in
        [("policy.cedar", POLICY), ("notice.md", NOTICE), ("terms.json", &terms), ("log.vkey", &log_key), ("twinveil.toml", &config)]
    {
        let file = dir.join(name);
        certs::create(&file, text.as_bytes(), 0o644)?;
        files.push(file);
    }
    Ok(files)
}

/// Writes a fresh key and returns its public half, for the keys that sign.
pub(super) fn write_key(file: &Path) -> Result<Did, CliError> {
    let secret = Secret::random(&mut entropy());
    let mut text = data_encoding::HEXLOWER.encode(secret.expose());
    text.push('\n');
    let written = certs::create(file, text.as_bytes(), 0o600);
    text.zeroize();
    written?;
    Ok(SignKey::from_seed(&secret).did())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Descriptor, Entry, May};
    use crate::gate::tls;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("twinveil-init-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn the_folder_is_ready_to_serve() {
        let dir = folder("ready");
        fill_folder(&dir).expect("made");
        let config = Config::load_with(&dir.join("twinveil.toml"), |_| None).expect("checked");
        let Entry::Tls(files) = &config.entry else { panic!("mutual TLS by default") };
        let (certificate, private_key, peer_ca) = (files.certificate.clone(), files.private_key.clone(), files.client_ca.clone());
        tls::server(&tls::PemFiles { certificate, private_key, peer_ca: peer_ca.clone() }).expect("server");
        assert_eq!(config.parties().len(), PARTIES.len());
        for (name, id) in PARTIES {
            let party = config.party(&Spiffe::parse(id).expect("id")).expect("in the template");
            assert_eq!(&*party.name, name);
            assert_eq!(party.key.is_some(), party.may.contains(&May::Publish));
            let (certificate, private_key) = (dir.join(format!("certs/{name}.pem")), dir.join(format!("certs/{name}.key")));
            tls::ClientTls::load(&tls::PemFiles { certificate, private_key, peer_ca: peer_ca.clone() }).expect("client");
        }
        let log_key = VerifierKey::parse(std::fs::read_to_string(dir.join("log.vkey")).expect("there").trim_end()).expect("a key");
        assert_eq!((log_key.name(), log_key.key()), (config.origin.as_str(), SignKey::from_seed(&config.keys.sign).did()));
        assert_eq!(config.schemas.len(), 2);
        assert!(config.schemas.iter().all(|schema| schema.descriptor == Descriptor::Builtin));
        let operator = crate::config::read_key("operator", &dir.join("keys/operator.key")).expect("key");
        assert_eq!(config.operators, [SignKey::from_seed(&operator).did()]);
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn a_folder_with_anything_in_it_is_left_alone() {
        let dir = folder("full");
        std::fs::create_dir_all(&dir).expect("folder");
        std::fs::write(dir.join("note.txt"), "mine").expect("file");
        let error = fill_folder(&dir).expect_err("not empty");
        assert!(error.to_string().contains("is not empty and is left as it is"), "{error}");
        assert_eq!(std::fs::read_dir(&dir).expect("folder").count(), 1);
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn two_folders_share_no_key() {
        let (one, other) = (folder("one"), folder("other"));
        for dir in [&one, &other] {
            fill_folder(dir).expect("made");
        }
        let mut keys: Vec<_> = [&one, &other]
            .iter()
            .flat_map(|dir| {
                std::fs::read_dir(dir.join("keys")).expect("keys").map(|file| std::fs::read(file.expect("file").path()).expect("key"))
            })
            .collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 12);
        for dir in [&one, &other] {
            std::fs::remove_dir_all(dir).expect("clean");
        }
    }

    #[test]
    fn the_gateway_takes_the_sample_policy() {
        let dir = folder("policy");
        fill_folder(&dir).expect("made");
        let config = Config::load_with(&dir.join("twinveil.toml"), |_| None).expect("checked");
        let groups = |groups: &[std::sync::Arc<str>]| groups.iter().map(ToString::to_string).collect();
        let recipients: Vec<_> = config.parties().iter().map(|party| (party.spiffe.clone(), groups(&party.groups))).collect();
        crate::veil::policy::floor::Policy::load(POLICY, &recipients).expect("taken");
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn the_terms_name_the_notice_beside_them() {
        let dir = folder("terms");
        fill_folder(&dir).expect("made");
        let read = |name: &str| std::fs::read(dir.join(name)).expect(name);
        let terms: serde_json::Value = serde_json::from_slice(&read("terms.json")).expect("JSON");
        assert_eq!(terms["notice"]["sha256"], data_encoding::HEXLOWER.encode(&sha256(&[&read("notice.md")])));
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn the_sample_policy_is_cedar_and_every_rule_has_an_id() {
        let policies: cedar_policy::PolicySet = POLICY.parse().expect("Cedar");
        assert!(policies.policies().count() >= 10);
        let mut ids: Vec<_> = policies.policies().map(|policy| policy.annotation("id").expect("@id").to_owned()).collect();
        ids.sort();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn the_sample_policy_names_purposes_and_categories_that_exist() {
        for (kind, known) in [
            ("Purpose::\"", (|word| crate::veil::terms::purpose(word).is_some()) as fn(&str) -> bool),
            ("Category::\"", |word| crate::veil::terms::Category::parse(word).is_some()),
            ("Sensitivity::\"", |word| crate::veil::terms::Sensitivity::parse(word).is_some()),
            ("Action::\"", |word| crate::veil::terms::Treatment::parse(word).is_some()),
        ] {
            let mut count = 0;
            for word in POLICY.split(kind).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(known(word), "{kind}{word}");
                count += 1;
            }
            assert!(count > 0, "{kind}");
        }
    }
}
