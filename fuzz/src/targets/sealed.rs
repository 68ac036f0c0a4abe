//! The master key file, and sealed values as rows hold them.

use std::sync::OnceLock;

use muster::secret::master::{MasterKeys, Place};

use super::chosen_by;

const PLACE: Place<'_> = Place { purpose: "key-string", customer: 7, table: "provisioning_keys", record: "9" };

/// By the first byte: a master key file as text; a sealed value; where a good one is bent, and how.
///
/// Holds: a file that is read seals and opens; nothing opens that was not sealed here, at another place, or bent in one bit.
pub fn run(bytes: &[u8]) {
    let (choice, rest) = chosen_by(bytes);
    match choice % 3 {
        0 => {
            let Ok(keys) = MasterKeys::parse(&String::from_utf8_lossy(rest)) else { return };
            let opened = keys.open(PLACE, &keys.seal(PLACE, rest)).expect("its own");
            assert_eq!(&**opened, rest);
        }
        1 => assert!(keys().open(PLACE, rest).is_err(), "a forgery"),
        _ => {
            let [at, bits, plain @ ..] = rest else { return };
            let sealed = keys().seal(PLACE, plain);
            assert!(keys().open(Place { customer: PLACE.customer + 1, ..PLACE }, &sealed).is_err());
            assert!(keys().open(Place { record: "", ..PLACE }, &sealed).is_err());
            assert!(keys().open(PLACE, &sealed[..sealed.len() - 1]).is_err());
            let mut bent = sealed.clone();
            bent[usize::from(*at) % sealed.len()] ^= bits;
            assert_eq!(keys().open(PLACE, &bent).is_ok(), *bits == 0);
        }
    }
}

fn keys() -> &'static MasterKeys {
    static KEYS: OnceLock<MasterKeys> = OnceLock::new();
    KEYS.get_or_init(|| MasterKeys::parse(&format!("m {}\nn {}", "5a".repeat(32), "a5".repeat(32))).expect("two keys"))
}

pub fn seeds() -> Vec<Vec<u8>> {
    let file = format!("\0# two keys\nm {}\n\nn {}\n", "5a".repeat(32), "A5".repeat(32)).into_bytes();
    // Sealed by nobody: format, id and nonce are in order, and behind them stands no tag of these keys.
    let forged = [&[1, 1, 1, b'm'], &[0; 40][..]].concat();
    vec![file, forged, vec![2, 3, 1, b'x'], vec![2, 200, 128, b'x', b'y']]
}
