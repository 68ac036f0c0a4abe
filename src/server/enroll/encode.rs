//! From an enrollment to the answer.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};

use crate::ca::certificate_pem;
use crate::clock::Timestamp;
use crate::enrollment::Enrollment;
use crate::protocol::enroll::EnrollResponse;
use crate::server::http::{answer, forbid_storing};

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
