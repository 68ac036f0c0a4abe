//! The client types that every customer has.

use serde::{Serialize, Serializer};

use crate::server::api::schema::{Member, Shape};

/// One flat object: a client type's word, and its name for people. Typed clients expect every one of them.
pub struct ClientTypes;

const NAMES: [(&str, &str); 12] = [
    ("zpn_client_type_branch_connector", "Branch Connector"),
    ("zpn_client_type_browser_isolation", "Cloud Browser"),
    ("zpn_client_type_edge_connector", "Cloud Connector"),
    ("zpn_client_type_exporter", "Web Browser"),
    ("zpn_client_type_exporter_noauth", "Web Browser Unauthenticated"),
    ("zpn_client_type_ip_anchoring", "ZIA Service Edge"),
    ("zpn_client_type_machine_tunnel", "Machine Tunnel"),
    ("zpn_client_type_slogger", "ZPA LSS"),
    ("zpn_client_type_vdi", "Client Connector for VDI"),
    ("zpn_client_type_zapp", "Client Connector"),
    ("zpn_client_type_zapp_partner", "Client Connector Partner"),
    ("zpn_client_type_zia_inspection", "ZIA Inspection"),
];

pub static CLIENT_TYPES: Shape = Shape::new(
    "ClientTypes",
    &[
        client_type("zpn_client_type_branch_connector"),
        client_type("zpn_client_type_browser_isolation"),
        client_type("zpn_client_type_edge_connector"),
        client_type("zpn_client_type_exporter"),
        client_type("zpn_client_type_exporter_noauth"),
        client_type("zpn_client_type_ip_anchoring"),
        client_type("zpn_client_type_machine_tunnel"),
        client_type("zpn_client_type_slogger"),
        client_type("zpn_client_type_vdi"),
        client_type("zpn_client_type_zapp"),
        client_type("zpn_client_type_zapp_partner"),
        client_type("zpn_client_type_zia_inspection"),
    ],
);

const fn client_type(word: &'static str) -> Member {
    Member::text(word, "Its name for people")
}

impl Serialize for ClientTypes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(NAMES)
    }
}
