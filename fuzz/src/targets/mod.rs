//! The targets, one a file. Each takes bytes as they come from outside, and asserts more than that nothing panics.

mod answer;
mod bodies;
mod config;
mod crl;
mod csr;
mod device_door;
mod key_string;
mod management_door;
mod pem;
mod presented;
mod private_key;
mod proxy;
mod rows;
mod sealed;
mod search;
mod state;
mod uploaded;
mod values;

/// What is fuzzed by itself.
pub struct Target {
    pub name: &'static str,
    /// Longest input that is made up; longer ones of a corpus are run all the same.
    pub bytes_max: usize,
    pub run: fn(&[u8]),
    /// Inputs to begin with that follow from keys or layouts in here; texts are files in `seeds/`.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

impl Target {
    const fn new(name: &'static str, bytes_max: usize, run: fn(&[u8])) -> Self {
        Self { name, bytes_max, run, seeds: Vec::new }
    }

    const fn with_seeds(self, seeds: fn() -> Vec<Vec<u8>>) -> Self {
        Self { seeds, ..self }
    }
}

/// Alphabetical.
pub static TARGETS: &[Target] = &[
    Target::new("answer", 8_192, answer::run).with_seeds(answer::seeds),
    Target::new("config", 4_096, config::run),
    Target::new("crl", 2_048, crl::run).with_seeds(crl::seeds),
    Target::new("csr", 4_096, csr::run_any).with_seeds(csr::seeds_of_any),
    Target::new("csr-signed", 4_096, csr::run_signed).with_seeds(csr::seeds_of_signed),
    Target::new("device-door", 8_192, device_door::run).with_seeds(device_door::seeds),
    Target::new("enroll-body", 4_096, bodies::run_enrollment),
    Target::new("key-string", 2_304, key_string::run),
    Target::new("management-door", 4_096, management_door::run).with_seeds(management_door::seeds),
    Target::new("pem", 4_096, pem::run).with_seeds(pem::seeds),
    Target::new("presented", 2_048, presented::run).with_seeds(presented::seeds),
    Target::new("private-key", 2_048, private_key::run).with_seeds(private_key::seeds),
    Target::new("proxy", 4_096, proxy::run),
    Target::new("renew-body", 4_096, bodies::run_renewal),
    Target::new("rows", 1_024, rows::run).with_seeds(rows::seeds),
    Target::new("sealed", 512, sealed::run).with_seeds(sealed::seeds),
    Target::new("search", 512, search::run),
    Target::new("state", 4_096, state::run).with_seeds(state::seeds),
    Target::new("uploaded", 4_096, uploaded::run).with_seeds(uploaded::seeds),
    Target::new("values", 512, values::run),
];

/// Splits off the first byte, which chooses something; of no bytes that is 0.
fn chosen_by(bytes: &[u8]) -> (u8, &[u8]) {
    bytes.split_first().map_or((0, &[]), |(choice, rest)| (*choice, rest))
}

/// Takes bytes apart in pieces, each behind its length in two bytes; the last may be cut.
fn pieces(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (piece, after) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        pieces.push(piece);
        bytes = after;
    }
    pieces
}

/// What [`pieces`] takes apart.
fn in_pieces(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.iter().flat_map(|piece| [&(piece.len() as u16).to_be_bytes(), *piece].concat()).collect()
}
