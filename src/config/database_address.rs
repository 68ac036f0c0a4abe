//! The address of a database as operators have it at hand, written for libpq, in the words of the client that
//! is used here.

use std::borrow::Cow;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// What is accepted in place of an address that cannot be used.
pub(super) const FORM: &str =
    "postgres://USER:PASSWORD@HOST[:PORT][,HOST…]/DATABASE, with sslmode and other parameters behind a ?";

const SSL_MODES: &str = "sslmode disable, prefer, require, verify-ca or verify-full";

/// libpq's word for the system's certificates.
const SYSTEM_ROOTS: &str = "system";

pub(super) struct DatabaseAddress {
    /// With the user's password, if it has one.
    pub url: Zeroizing<String>,
    /// Whose certificates the servers show, by `sslrootcert`.
    pub ca_file: Option<PathBuf>,
}

/// Takes out what libpq alone knows. `sslmode=verify-ca` and `verify-full` become `require`, as certificate and name
/// are always verified; other parameters stay as they are.
///
/// # Errors
/// What is accepted. The address may hold a password, so none of it is repeated.
pub(super) fn read(text: &str) -> Result<DatabaseAddress, &'static str> {
    let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme)).ok_or(FORM)?;
    // A password may have a ? in it.
    let authority = text.len() - rest.len() + rest.find('@').map_or(0, |at| at + 1);
    let Some(question) = text[authority..].find('?').map(|at| authority + at) else {
        return Ok(DatabaseAddress { url: Zeroizing::new(text.to_owned()), ca_file: None });
    };
    let mut url = Zeroizing::new(text[..question].to_owned());
    let mut ca_file = None;
    let mut separator = '?';
    for parameter in text[question + 1..].split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or(FORM)?;
        let value = match name {
            "sslmode" => match value {
                "disable" | "prefer" | "require" => value,
                "verify-ca" | "verify-full" => "require",
                _ => return Err(SSL_MODES),
            },
            "sslrootcert" => {
                let path: Cow<'_, str> = percent_decode_str(value).decode_utf8().map_err(|_| FORM)?;
                ca_file = (path != SYSTEM_ROOTS).then(|| PathBuf::from(&*path));
                continue;
            }
            _ => value,
        };
        url.extend([separator.encode_utf8(&mut [0; 4]), name, "=", value].iter().copied());
        separator = '&';
    }
    Ok(DatabaseAddress { url, ca_file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libpq_takes_is_translated() {
        for (given, url, ca_file) in [
            ("postgres://db/muster", "postgres://db/muster", None),
            ("postgresql://u:p@a,b:5433/muster", "postgresql://u:p@a,b:5433/muster", None),
            ("postgres://u@db/m?sslmode=verify-full", "postgres://u@db/m?sslmode=require", None),
            ("postgres://u@db/m?sslmode=verify-ca&", "postgres://u@db/m?sslmode=require", None),
            ("postgres://u@db?sslmode=disable", "postgres://u@db?sslmode=disable", None),
            (
                "postgres://u@db/m?connect_timeout=9&sslmode=prefer&sslrootcert=/etc/a%20b.pem&user=x%26y",
                "postgres://u@db/m?connect_timeout=9&sslmode=prefer&user=x%26y",
                Some("/etc/a b.pem"),
            ),
            ("postgres://u@db/m?sslrootcert=ca.pem", "postgres://u@db/m", Some("ca.pem")),
            ("postgres://u@db/m?sslrootcert=system", "postgres://u@db/m", None),
            ("postgres://u:p?sslmode=x@db/m?sslmode=require", "postgres://u:p?sslmode=x@db/m?sslmode=require", None),
        ] {
            let read = read(given).unwrap_or_else(|accepted| panic!("{given}: {accepted}"));
            assert_eq!((read.url.as_str(), read.ca_file), (url, ca_file.map(PathBuf::from)), "{given}");
        }
    }

    #[test]
    fn anything_else_says_what_is_accepted() {
        for given in ["", "db", "http://db", "host=db user=u", "postgres:/db", "postgres://u@db/m?sslmode"] {
            assert_eq!(read(given).err(), Some(FORM), "{given}");
        }
        for given in ["postgres://db?sslmode=allow", "postgres://db?sslmode=", "postgres://db?sslmode=Require"] {
            assert_eq!(read(given).err(), Some(SSL_MODES), "{given}");
        }
    }
}
