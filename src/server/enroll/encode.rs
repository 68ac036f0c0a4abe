//! From an enrollment to the answer.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use serde_json::value::RawValue;

use crate::ca::certificate_pem;
use crate::clock::Timestamp;
use crate::enrollment::Enrollment;
use crate::protocol::enroll::{EnrollResponse, PemText};
use crate::server::http::{answer, forbid_storing};

/// What the answer has beside certificates: member names, ids, times, names.
const FRAME_BYTES: usize = 1_024;

/// 200 with an [`EnrollResponse`]. The chain and the anchors come ready; only the leaf is encoded.
pub fn enrolled(enrollment: Enrollment, server_trust_anchors: &PemText, now: Timestamp) -> Response<Full<Bytes>> {
    let certificate = json_of_pem(&certificate_pem(&enrollment.certificate_der));
    let response = EnrollResponse {
        outcome: enrollment.outcome,
        component_id: enrollment.component_id.to_string(),
        component_name: enrollment.component_name,
        kind: enrollment.kind.to_string(),
        customer_id: enrollment.customer_id.to_string(),
        group_id: enrollment.group_id.to_string(),
        group_name: (*enrollment.group_name).to_owned(),
        certificate: &*certificate,
        chain: enrollment.chain_pem.json(),
        trust_anchors: enrollment.trust_anchors_pem.json(),
        server_trust_anchors: server_trust_anchors.json(),
        serial_number: enrollment.serial.to_string(),
        not_before: enrollment.not_before.to_string(),
        not_after: enrollment.not_after.to_string(),
        renew_after: enrollment.renew_after.to_string(),
        server_time: now.to_string(),
    };
    let texts = [response.certificate, response.chain, response.trust_anchors, response.server_trust_anchors];
    let texts_bytes: usize = texts.into_iter().map(|text| text.get().len()).sum();
    let mut body = Vec::with_capacity(FRAME_BYTES + texts_bytes);
    serde_json::to_writer(&mut body, &response).expect("strings serialize, and a Vec takes all that is written");
    let mut answer = answer(StatusCode::OK, "application/json", body);
    forbid_storing(answer.headers_mut());
    answer
}

/// What [`certificate_pem`] wrote as a JSON string. Of its characters JSON escapes the ends of lines, and no other.
fn json_of_pem(pem: &str) -> Box<RawValue> {
    let mut json = String::with_capacity(pem.len() + pem.len() / 32);
    json.push('"');
    for line in pem.lines() {
        json.push_str(line);
        json.push_str("\\n");
    }
    json.push('"');
    RawValue::from_string(json).expect("base64 and labels need no escape")
}
