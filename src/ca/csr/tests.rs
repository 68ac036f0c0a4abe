use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use super::*;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/csr")
}

/// The text a client would send: files are text, but for `.der`, which stands in base64 there.
fn text_of(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "der") {
        STANDARD.encode(bytes)
    } else {
        String::from_utf8(bytes).unwrap()
    }
}

fn der_of(name: &str) -> Vec<u8> {
    decode(&text_of(&corpus().join(name))).unwrap()
}

/// (file, verdict) of every case.
fn index() -> Vec<(String, String)> {
    let index = fs::read_to_string(corpus().join("index.tsv")).unwrap();
    let line = |line: &str| {
        let (file, verdict) = line.split_once('\t').unwrap();
        (file.to_owned(), verdict.to_owned())
    };
    index.lines().map(line).collect()
}

#[test]
fn every_file_of_the_corpus_gets_its_verdict() {
    for (file, expected) in index() {
        let verdict = match VerifiedCsr::verify(&text_of(&corpus().join(&file))) {
            Ok(_) => "accept".to_owned(),
            Err(reason) => reason.to_string(),
        };
        assert_eq!(verdict, expected, "{file}");
    }
}

#[test]
fn the_index_names_every_file_and_the_corpus_holds_no_private_key() {
    let is_case = |name: &String| !matches!(name.as_str(), "index.tsv" | "make-corpus");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let files: BTreeSet<String> = fs::read_dir(corpus()).unwrap().map(name).filter(is_case).collect();
    let indexed: BTreeSet<String> = index().into_iter().map(|(file, _)| file).collect();
    assert_eq!(files, indexed);
    for file in files {
        let bytes = fs::read(corpus().join(&file)).unwrap();
        let needle = b"PRIVATE KEY";
        assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{file}");
    }
}

#[test]
fn refusals_repeat_no_control_character() {
    for (file, _) in index() {
        if let Err(reason) = VerifiedCsr::verify(&text_of(&corpus().join(&file))) {
            let text = reason.to_string();
            assert!(text.len() < 250 && !text.chars().any(char::is_control), "{file}: {text:?}");
        }
    }
}

/// x509-parser reads more leniently and verifies on its own: what passes here must pass there, with the same key.
#[test]
fn what_is_accepted_is_a_request_to_another_parser_too() {
    // These have a subject or attributes that are none; here they are stepped over unread. The last has no
    // attributes at all, which openssl takes and x509-parser does not.
    let unreadable = ["hostile-attributes.der", "hostile-subject-not-a-name.der", "no-attributes.der"];
    for (file, verdict) in index() {
        if verdict != "accept" || unreadable.contains(&file.as_str()) {
            continue;
        }
        let verified = VerifiedCsr::verify(&text_of(&corpus().join(&file))).unwrap();
        let der = der_of(&file);
        let (rest, request) = X509CertificationRequest::from_der(&der).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(rest.is_empty(), "{file}");
        request.verify_signature().unwrap_or_else(|e| panic!("{file}: {e}"));
        let spki = request.certification_request_info.subject_pki.raw;
        assert_eq!(verified.public_key_der(), spki, "{file}");
        let hash = ring::digest::digest(&ring::digest::SHA256, spki);
        assert_eq!(verified.public_key_hash(), hash.as_ref(), "{file}");
        assert_eq!(verified.public_key().key_identifier(), &hash.as_ref()[..20], "{file}");
    }
}

#[test]
fn text_length_at_its_bound() {
    let request = text_of(&corpus().join("p256-sha256.pem"));
    let padded = |length: usize| format!("{request}{}", " ".repeat(length - request.len()));
    assert!(VerifiedCsr::verify(&padded(VerifiedCsr::TEXT_BYTES_MAX - 1)).is_ok());
    assert!(VerifiedCsr::verify(&padded(VerifiedCsr::TEXT_BYTES_MAX)).is_ok());
    let found = VerifiedCsr::TEXT_BYTES_MAX + 1;
    assert_eq!(VerifiedCsr::verify(&padded(found)).unwrap_err(), CsrError::TooLong { found });
}

#[test]
fn every_cut_of_a_request_is_refused() {
    let der = der_of("p256-sha256.pem");
    for length in 0..der.len() {
        assert!(VerifiedCsr::verify(&STANDARD.encode(&der[..length])).is_err(), "{length} bytes");
    }
}

/// Each bit is covered by the signature or by the shape.
#[test]
fn every_flipped_bit_of_a_request_is_refused() {
    let der = der_of("ed25519.pem");
    for bit in 0..der.len() * 8 {
        let mut changed = der.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(VerifiedCsr::verify(&STANDARD.encode(&changed)).is_err(), "bit {bit}");
    }
}

proptest! {
    #[test]
    fn any_text_gives_an_answer(text in "\\PC{0,300}") {
        let _ = VerifiedCsr::verify(&text);
    }

    #[test]
    fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(VerifiedCsr::verify(&STANDARD.encode(bytes)).is_err());
    }

    /// Shapes near a real request: pieces replaced, doubled, left out.
    #[test]
    fn damaged_requests_are_refused_or_the_same(
        file in prop::sample::select(vec!["p256-sha256.pem", "rsa-2048-sha256.pem", "p384-sha384.pem"]),
        at in any::<prop::sample::Index>(),
        length in 0_usize..40,
        with in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let der = der_of(file);
        let from = at.index(der.len());
        let to = (from + length).min(der.len());
        let changed = [&der[..from], &with, &der[to..]].concat();
        let verdict = VerifiedCsr::verify(&STANDARD.encode(&changed));
        prop_assert_eq!(verdict.is_ok(), changed == der);
    }

    #[test]
    fn white_space_and_padding_do_not_matter_in_base64(
        at in proptest::collection::vec((any::<prop::sample::Index>(), "[ \t\r\n]{1,3}"), 0..20),
        padded: bool,
    ) {
        let mut text = STANDARD.encode(der_of("ed25519.pem"));
        if !padded {
            text.truncate(text.trim_end_matches('=').len());
        }
        for (index, space) in at {
            text.insert_str(index.index(text.len() + 1), &space);
        }
        prop_assert!(VerifiedCsr::verify(&text).is_ok());
    }
}

/// A request of the right shape with this subject, whose signature is worth nothing.
fn request_of(subject: impl FnOnce(&mut der::Writer)) -> String {
    let request = der::Writer::collect(|writer| {
        writer.nested(der::SEQUENCE, |request| {
            request.nested(der::SEQUENCE, |info| {
                info.element(der::INTEGER, &[0]);
                info.nested(der::SEQUENCE, subject);
                info.element(der::SEQUENCE, &[]);
                info.element(der::context_constructed(0), &[]);
            });
            request.nested(der::SEQUENCE, |algorithm| algorithm.element(der::OBJECT_IDENTIFIER, &[1]));
            request.bit_string(&[]);
        });
    });
    STANDARD.encode(request)
}

fn name(writer: &mut der::Writer, attributes: &[(u8, u8, &[u8])]) {
    writer.nested(der::SET, |set| {
        for (arc, tag, value) in attributes {
            set.nested(der::SEQUENCE, |attribute| {
                attribute.element(der::OBJECT_IDENTIFIER, &[0x55, 0x04, *arc]);
                attribute.element(*tag, value);
            });
        }
    });
}

#[test]
fn the_first_serial_number_of_a_subject_is_what_a_device_is_called() {
    const COMMON_NAME: u8 = 3;
    const SERIAL: u8 = 5;
    let of = |subject: &dyn Fn(&mut der::Writer)| claimed_serial_number(&request_of(subject));
    for tag in [der::PRINTABLE_STRING, der::UTF8_STRING, der::IA5_STRING] {
        let found = of(&|subject| {
            name(subject, &[(COMMON_NAME, der::UTF8_STRING, b"any")]);
            name(subject, &[(COMMON_NAME, der::UTF8_STRING, b"other"), (SERIAL, tag, b"S/N \xff 7")]);
            name(subject, &[(SERIAL, tag, b"second")]);
        });
        assert_eq!(found.as_deref(), Some(&b"S/N \xff 7"[..]), "{tag}");
    }
    assert_eq!(of(&|subject| name(subject, &[(SERIAL, der::PRINTABLE_STRING, b"")])), Some(vec![]));
    assert_eq!(of(&|subject| name(subject, &[(COMMON_NAME, der::PRINTABLE_STRING, b"any")])), None);
    assert_eq!(of(&|subject| name(subject, &[(SERIAL, 0x1e, b"\0S\0N")])), None, "a BMPString");
    assert_eq!(of(&|_| ()), None);
    assert_eq!(of(&|subject| subject.element(der::SEQUENCE, &[])), None);
    assert_eq!(claimed_serial_number("MIIB"), None);
    for (file, _) in index() {
        claimed_serial_number(&text_of(&corpus().join(file)));
    }
}
