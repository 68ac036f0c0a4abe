//! The peppers as a store has them, sealed, and which of them are live.

use super::places;
use crate::secret::master::{MasterKeys, UnsealError};
use crate::secret::pepper::{PepperBytes, PepperNumber, Peppers};

/// Why a pepper could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PepperError {
    #[error("the pepper {name:?} does not open: {source}")]
    Unseal { name: String, source: UnsealError },
    #[error("the pepper {name:?} has a wrong length or name")]
    Damaged { name: String },
}

/// Opens the live ones, newest first: as many as may be, of the newest. `sealed` has each by its name, in any order.
///
/// # Errors
/// [`PepperError`]: whoever lacks one takes good keys for unknown.
pub fn open_peppers<'a>(
    sealed: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    master_keys: &MasterKeys,
) -> Result<Vec<(PepperNumber, PepperBytes)>, PepperError> {
    let mut live = Vec::new();
    for (name, sealed) in sealed {
        let number = name.parse().map(PepperNumber).map_err(|_| PepperError::Damaged { name: name.to_owned() })?;
        live.push((number, name, sealed));
    }
    live.sort_by_key(|(number, ..)| std::cmp::Reverse(*number));
    live.truncate(Peppers::LIVE_MAX);
    let open = |(number, name, sealed): (PepperNumber, &str, &[u8])| {
        let opened = master_keys.open(places::pepper(number).as_place(), sealed);
        let plain = opened.map_err(|source| PepperError::Unseal { name: name.to_owned(), source })?;
        let bytes = plain.as_slice().try_into().map_err(|_| PepperError::Damaged { name: name.to_owned() })?;
        Ok((number, PepperBytes::new(bytes)))
    };
    live.into_iter().map(open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_newest_are_live_by_number_and_not_by_name() {
        let master_keys = MasterKeys::parse(&MasterKeys::generate_text("1")).unwrap();
        let seal = |number: u32, bytes: &[u8]| {
            (number.to_string(), master_keys.seal(places::pepper(PepperNumber(number)).as_place(), bytes))
        };
        let open = |sealed: &[(String, Vec<u8>)]| {
            open_peppers(sealed.iter().map(|(name, sealed)| (name.as_str(), sealed.as_slice())), &master_keys)
        };
        let mut sealed = vec![seal(10, &[10; 32]), seal(8, &[8; 32]), seal(9, &[9; 32])];
        let live = open(&sealed).unwrap();
        let live: Vec<_> = live.iter().map(|(number, bytes)| (number.0, **bytes)).collect();
        assert_eq!(live, [(10, [10; 32]), (9, [9; 32])]);

        sealed.push(seal(11, &[11; 31]));
        assert!(matches!(open(&sealed), Err(PepperError::Damaged { name }) if name == "11"));
        sealed[3] = ("12".to_owned(), seal(11, &[11; 32]).1);
        assert!(matches!(open(&sealed), Err(PepperError::Unseal { name, .. }) if name == "12"), "each in its place");
        sealed[3].0 = "twelve".to_owned();
        assert!(matches!(open(&sealed), Err(PepperError::Damaged { .. })));
    }
}
