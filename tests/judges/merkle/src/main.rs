//! Reads proofs, a line each, and prints sigstore's verdict on each: `yes` or `no`.
//!
//! `included INDEX SIZE LEAF ROOT [HASH…]` and `extends OLDER SIZE ROOT ROOT [HASH…]`; hashes in hex.

use std::io::{BufRead, Write};

use sigstore_merkle::{verify_consistency_proof, verify_inclusion_proof};
use sigstore_types::Sha256Hash;

fn main() -> std::io::Result<()> {
    let (input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    for line in input.lines() {
        let line = line?;
        let verdict = judge(&line).ok_or_else(|| std::io::Error::other(format!("not a proof: {line}")))?;
        writeln!(output, "{}", if verdict { "yes" } else { "no" })?;
    }
    Ok(())
}

fn judge(line: &str) -> Option<bool> {
    let mut words = line.split(' ');
    let (kind, one, other) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let mut hash = || words.next().map(|word| Sha256Hash::from_hex(word).ok());
    let (first, second) = (hash()??, hash()??);
    let path = std::iter::from_fn(hash).collect::<Option<Vec<_>>>()?;
    match kind {
        "included" => Some(verify_inclusion_proof(&first, one, other, &path, &second).is_ok()),
        "extends" => Some(verify_consistency_proof(one, other, &path, &first, &second).is_ok()),
        _ => None,
    }
}
