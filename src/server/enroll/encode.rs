//! From an enrollment to the answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};

use crate::clock::Timestamp;
use crate::enrollment::Enrollment;
use crate::protocol::enroll::EnrollResponse;
use crate::server::http::{answer, forbid_storing};

const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE-----\n";
const PEM_END: &str = "-----END CERTIFICATE-----\n";
/// Bytes that make one line of 64 characters (RFC 7468 §2).
const PEM_LINE_BYTES: usize = 48;

/// What the answer has beside certificates: member names, ids, times, names.
const FRAME_BYTES: usize = 1_024;

/// 200 with an [`EnrollResponse`]. The chain and the anchors come ready; only the leaf is encoded.
pub fn enrolled(enrollment: Enrollment, server_trust_anchors: &str, now: Timestamp) -> Response<Full<Bytes>> {
    let response = EnrollResponse {
        outcome: enrollment.outcome,
        component_id: enrollment.component_id.to_string(),
        component_name: enrollment.component_name,
        kind: enrollment.kind.to_string(),
        customer_id: enrollment.customer_id.to_string(),
        group_id: enrollment.group_id.to_string(),
        group_name: (*enrollment.group_name).to_owned(),
        certificate: certificate_pem(&enrollment.certificate_der),
        chain: (*enrollment.chain_pem).to_owned(),
        trust_anchors: (*enrollment.trust_anchors_pem).to_owned(),
        server_trust_anchors: server_trust_anchors.to_owned(),
        serial_number: enrollment.serial.to_string(),
        not_before: enrollment.not_before.to_string(),
        not_after: enrollment.not_after.to_string(),
        renew_after: enrollment.renew_after.to_string(),
        server_time: now.to_string(),
    };
    let texts = [&response.certificate, &response.chain, &response.trust_anchors, &response.server_trust_anchors];
    // A line's end takes two bytes in JSON instead of one, once in 65.
    let certificates_bytes: usize = texts.into_iter().map(|text| text.len() + text.len() / 32).sum();
    let mut body = Vec::with_capacity(FRAME_BYTES + certificates_bytes);
    serde_json::to_writer(&mut body, &response).expect("strings serialize, and a Vec takes all that is written");
    let mut answer = answer(StatusCode::OK, "application/json", body);
    forbid_storing(answer.headers_mut());
    answer
}

/// One PEM block with a final newline, in a text sized once.
fn certificate_pem(der: &[u8]) -> String {
    let body_bytes = der.len().div_ceil(3) * 4 + der.len().div_ceil(PEM_LINE_BYTES);
    let mut pem = String::with_capacity(PEM_BEGIN.len() + body_bytes + PEM_END.len());
    pem.push_str(PEM_BEGIN);
    for line in der.chunks(PEM_LINE_BYTES) {
        STANDARD.encode_string(line, &mut pem);
        pem.push('\n');
    }
    pem.push_str(PEM_END);
    pem
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn pem_is_read_back_at_every_line_length_and_fits_its_room() {
        for length in [1, 2, 3, 47, 48, 49, 95, 96, 97, 700] {
            let der = vec![0xa5; length];
            let pem = certificate_pem(&der);
            assert_eq!(pem.capacity(), pem.len(), "{length}");
            assert!(pem.lines().all(|line| line.len() <= 64));
            assert_eq!(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().as_ref(), der);
        }
    }
}
