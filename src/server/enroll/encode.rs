//! From an enrollment to the answer.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};

use crate::ca::certificate_pem;
use crate::clock::Timestamp;
use crate::enrollment::Enrollment;
use crate::protocol::enroll::{EnrollResponse, PemText};
use crate::server::http::{answer, forbid_storing};

/// What the answer has beside certificates: member names, ids, times, names.
const FRAME_BYTES: usize = 1_024;

/// 200 with an [`EnrollResponse`]. The chain and the anchors come ready; only the leaf is encoded.
pub fn enrolled(enrollment: Enrollment, server_trust_anchors: PemText, now: Timestamp) -> Response<Full<Bytes>> {
    let response = EnrollResponse {
        outcome: enrollment.outcome,
        component_id: enrollment.component_id.to_string(),
        component_name: enrollment.component_name,
        kind: enrollment.kind.to_string(),
        customer_id: enrollment.customer_id.to_string(),
        group_id: enrollment.group_id.to_string(),
        group_name: (*enrollment.group_name).to_owned(),
        certificate: certificate_pem(&enrollment.certificate_der),
        chain: enrollment.chain_pem,
        trust_anchors: enrollment.trust_anchors_pem,
        server_trust_anchors,
        serial_number: enrollment.serial.to_string(),
        not_before: enrollment.not_before.to_string(),
        not_after: enrollment.not_after.to_string(),
        renew_after: enrollment.renew_after.to_string(),
        server_time: now.to_string(),
    };
    let ready = [&response.chain, &response.trust_anchors, &response.server_trust_anchors];
    // A line's end takes two bytes in JSON instead of one, once in 65.
    let leaf_bytes = response.certificate.len() + response.certificate.len() / 32;
    let ready_bytes: usize = ready.into_iter().map(PemText::json_len).sum();
    let mut body = Vec::with_capacity(FRAME_BYTES + leaf_bytes + ready_bytes);
    serde_json::to_writer(&mut body, &response).expect("strings serialize, and a Vec takes all that is written");
    let mut answer = answer(StatusCode::OK, "application/json", body);
    forbid_storing(answer.headers_mut());
    answer
}
