//! A customer with keys, and devices that enroll with them, for the benches of the stores.

use std::net::IpAddr;
use std::time::Duration;

use muster::clock::Timestamp;
use muster::domain::audit::AuditKey;
use muster::domain::certificate::SigningPurpose;
use muster::domain::component::DeviceDescription;
use muster::domain::key::KeyUsage;
use muster::domain::{
    AddressList, Customer, Description, Fingerprint, Group, IssuedCertificate, KeyVersion, Kind, Name, ProvisioningKey,
    Revision, SerialNumber, SigningCertificate,
};
use muster::id::{ComponentId, CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};
use muster::secret::pepper::{KeyDigest, PepperNumber};
use muster::store::{Change, EnrollmentCommit, EnrollmentIntent, SeenRevisions, Store};

pub const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_190_760);
const CUSTOMER: u64 = 1;
const SIGNER: u64 = 2;
const GROUP: u64 = 3;
const FIRST_KEY: u64 = 1_000;
const FIRST_COMPONENT: u64 = 1 << 32;
/// Of a P-256 leaf with our extensions.
const CERTIFICATE_BYTES: usize = 620;

/// Puts the customer with so many keys into an empty store.
pub async fn fill(store: &dyn Store, keys: u64) {
    let (customer, signer, group) = rows();
    let mut changes = vec![
        Change::InsertCustomer(customer),
        Change::InsertSigningCertificate(signer),
        Change::InsertGroup(group.clone()),
    ];
    let audit_key = AuditKey::new(&[1; 32]);
    for number in 0..keys {
        changes.push(Change::InsertKey(key(number, &group)));
        if changes.len() >= 50_000 || number + 1 == keys {
            store.commit_changes(std::mem::take(&mut changes), vec![], &audit_key).await.expect("the rows");
        }
    }
}

/// What the device of this number asks for; `keys` are used in turn.
pub fn commit(number: u64, keys: u64) -> EnrollmentCommit {
    let serial = SerialNumber::random();
    // As spread as a hash is, and never the same twice.
    let fingerprint = format!("{}{number:012}", SerialNumber::random());
    EnrollmentCommit {
        seen: SeenRevisions {
            customer: (CustomerId::from_raw(CUSTOMER), Revision::FIRST),
            group: (GroupId::from_raw(GROUP), Revision::FIRST),
            signing_certificate: (SigningCertificateId::from_raw(SIGNER), Revision::FIRST),
            key: (ProvisioningKeyId::from_raw(FIRST_KEY + number * 7_919 % keys), Revision::FIRST),
        },
        fingerprint: Fingerprint::new(&fingerprint).expect("44 hex digits"),
        device: DeviceDescription {
            hostname: Some("edge-1.branch.example".into()),
            platform: Some("linux/x86_64".into()),
            software_version: Some("muster 0.1.0".into()),
        },
        remote_address: IpAddr::from([192, 0, 2, 1]),
        certificate: IssuedCertificate {
            serial,
            der: serial.as_bytes().iter().copied().cycle().take(CERTIFICATE_BYTES).collect(),
            public_key_hash: [7; 32],
            issued_at: NOW,
            not_before: NOW,
            not_after: NOW.saturating_add(Duration::from_secs(90 * 86_400)),
        },
        intent: EnrollmentIntent::Enroll { component: ComponentId::from_raw(FIRST_COMPONENT + number) },
    }
}

fn rows() -> (Customer, SigningCertificate, Group) {
    let name = |text| Name::new(text).expect("a name");
    let customer = Customer {
        id: CustomerId::from_raw(CUSTOMER),
        name: name("Acme"),
        enabled: true,
        created_at: NOW,
        modified_at: NOW,
        revision: Revision::FIRST,
    };
    let signer = SigningCertificate {
        id: SigningCertificateId::from_raw(SIGNER),
        customer_id: customer.id,
        name: name("Client"),
        description: Description::default(),
        certificate: Some(vec![0x30; 500]),
        chain: vec![vec![0x30; 500]],
        public_key_hash: [0; 32],
        sealed_private_key: Some(vec![1; 200]),
        csr: None,
        parent_id: None,
        allow_signing: true,
        lifetime_seconds: SigningCertificate::LIFETIME_SECONDS_DEFAULT,
        purpose: SigningPurpose::None,
        not_before: NOW,
        not_after: NOW,
        created_at: NOW,
        modified_at: NOW,
        modified_by: None,
        revision: Revision::FIRST,
    };
    let group = Group {
        id: GroupId::from_raw(GROUP),
        customer_id: customer.id,
        kind: Kind::Machine,
        name: name("HQ"),
        description: Description::default(),
        enabled: true,
        signing_certificate_id: signer.id,
        addresses: AddressList::default(),
        attributes: serde_json::Map::new(),
        created_at: NOW,
        modified_at: NOW,
        modified_by: None,
        revision: Revision::FIRST,
    };
    (customer, signer, group)
}

fn key(number: u64, group: &Group) -> ProvisioningKey {
    let mut digest = [0xd1; KeyDigest::BYTES];
    // Spread over the tree, as digests are.
    digest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    ProvisioningKey {
        id: ProvisioningKeyId::from_raw(FIRST_KEY + number),
        customer_id: group.customer_id,
        kind: group.kind,
        group_id: group.id,
        signing_certificate_id: group.signing_certificate_id,
        name: Name::new(&format!("key {number}")).expect("a name"),
        description: Description::default(),
        maximum: None,
        enabled: true,
        allow_re_enrollment: false,
        expires_at: None,
        addresses: AddressList::default(),
        version: KeyVersion::Bootstrap,
        hint: "3|localhost:8443|abcdefg...".into(),
        key_id: "abcdefghijklmnop".into(),
        digest: KeyDigest::from_bytes(digest),
        pepper: PepperNumber(1),
        sealed_string: Some(vec![9; 180]),
        managed_by: None,
        successor_id: None,
        ui_config: None,
        usage: KeyUsage::default(),
        created_at: NOW,
        created_by: None,
        modified_at: NOW,
        modified_by: None,
        revision: Revision::FIRST,
    }
}
