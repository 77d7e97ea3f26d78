//! Assessments for a report, as `twinveil risk` prints them.

use std::path::{Path, PathBuf};

use super::super::{CliError, plain, read_text};
use crate::veil::risk::{Document, Published, RiskError, compare};

/// What of them may be published. `before`: earlier ones, each of the same as one of them.
pub(super) fn read(files: &[PathBuf], before: &[PathBuf], gateway: &str) -> Result<Vec<Published>, CliError> {
    let documents = files.iter().map(|file| document(file, gateway)).collect::<Result<Vec<_>, _>>()?;
    let mut earlier: Vec<Option<Document>> = vec![None; documents.len()];
    for file in before {
        let one = document(file, gateway)?;
        let fits = |(at, document): &(usize, &Document)| earlier.get(*at).is_some_and(Option::is_none) && compare(&one, document).is_ok();
        let at = documents.iter().enumerate().find(fits).map(|(at, _)| at);
        match at.and_then(|at| earlier.get_mut(at)) {
            Some(place) => *place = Some(one),
            None => {
                return Err(CliError::broken(format!(
                    "`{}` is an earlier assessment of none of those given with --risk: give one of the same agreements, schemas, recipients and purposes",
                    file.display()
                )));
            }
        }
    }
    let published = documents.iter().zip(&earlier).zip(files);
    published.map(|((document, before), file)| Published::of(document, before.as_ref()).map_err(|error| coded(file, &error))).collect()
}

fn document(file: &Path, gateway: &str) -> Result<Document, CliError> {
    let document = Document::parse(&read_text(file)?).map_err(|error| coded(file, &error))?;
    if document.gateway != gateway {
        let theirs = plain(&document.gateway);
        return Err(CliError::broken(format!("`{}` is of the gateway `{theirs}`, and not of `{gateway}`", file.display())));
    }
    Ok(document)
}

fn coded(file: &Path, error: &RiskError) -> CliError {
    CliError::broken(format!("{}: `{}`: {error}", error.code(), file.display()))
}
