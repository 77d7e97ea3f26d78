//! Key files: 32 bytes as hexadecimal on one line, readable by their owner only.

use std::path::Path;

use zeroize::Zeroize;

use super::ConfigError;
use crate::veil::crypto::secret::Secret;

/// Refuses a file that anybody but its owner can read or write. `key` names the entry in messages.
pub fn check_private(key: &str, path: &Path) -> Result<(), ConfigError> {
    let shown = path.display();
    let meta = std::fs::metadata(path)
        .map_err(|error| ConfigError::value(key, &shown, format!("the file can't be read: {}; `twinveil init` makes one", error.kind())))?;
    if !meta.is_file() {
        return Err(ConfigError::value(key, &shown, "not a file; name the key file itself"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(ConfigError::value(key, &shown, format!("others can reach the file (mode {mode:04o}); run `chmod 600 {shown}`")));
        }
    }
    Ok(())
}

/// Reads a private key file of 64 lower-case hexadecimal digits. Nothing of its content is ever in the error.
pub fn read_key(key: &str, path: &Path) -> Result<Secret<32>, ConfigError> {
    check_private(key, path)?;
    let shown = path.display();
    let mut text =
        std::fs::read(path).map_err(|error| ConfigError::value(key, &shown, format!("the file can't be read: {}", error.kind())))?;
    let mut bytes = [0; 32];
    let digits = text.trim_ascii();
    // `decode_mut` wants to be told the right length beforehand.
    let whole = digits.len() == 64 && data_encoding::HEXLOWER.decode_mut(digits, &mut bytes) == Ok(32);
    text.zeroize();
    if whole {
        Ok(Secret::take(&mut bytes))
    } else {
        bytes.zeroize();
        Err(ConfigError::value(key, &shown, "not a key; a key file is one line of 64 lower-case hexadecimal digits (32 bytes)"))
    }
}
