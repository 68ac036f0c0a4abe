//! Checked records with sensible values; a test changes what it is about.

use std::num::NonZeroU32;

use muster::clock::Timestamp;
use muster::domain::certificate::SigningPurpose;
use muster::domain::component::DeviceDescription;
use muster::domain::key::KeyUsage;
use muster::domain::{
    AddressList, Administrator, ApiClient, Customer, Description, Fingerprint, Group, IssuedCertificate, KeyVersion,
    Kind, Name, ProvisioningKey, Revision, Role, SerialNumber, SigningCertificate,
};
use muster::id::{AdministratorId, ApiClientId, CustomerId, GroupId, Id, ProvisioningKeyId, SigningCertificateId};
use muster::secret::pepper::{KeyDigest, PepperNumber};

/// 2026-11-20T16:06:00Z.
pub const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_190_760);

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn customer(id: u64, named: &str) -> Customer {
    Customer {
        id: CustomerId::from_raw(id),
        name: name(named),
        enabled: true,
        created_at: NOW,
        modified_at: NOW,
        revision: Revision::FIRST,
    }
}

/// Its key pair's hash follows from its id.
pub fn signing_certificate(id: u64, customer_id: CustomerId, named: &str) -> SigningCertificate {
    let mut public_key_hash = [0x9a; 32];
    public_key_hash[..8].copy_from_slice(&id.to_be_bytes());
    SigningCertificate {
        id: SigningCertificateId::from_raw(id),
        customer_id,
        name: name(named),
        description: Description::default(),
        certificate: Some(vec![0x30, 1]),
        chain: vec![vec![0x30, 2], vec![0x30, 3, 3]],
        public_key_hash,
        sealed_private_key: Some(vec![7; 60]),
        csr: None,
        parent_id: None,
        allow_signing: true,
        lifetime_seconds: SigningCertificate::LIFETIME_SECONDS_DEFAULT,
        purpose: SigningPurpose::ZappClient,
        not_before: NOW,
        not_after: NOW.saturating_add(std::time::Duration::from_secs(86_400 * 3650)),
        created_at: NOW,
        modified_at: NOW,
        modified_by: Some(5),
        revision: Revision::FIRST,
    }
}

pub fn group(id: u64, signer: &SigningCertificate, kind: Kind, named: &str) -> Group {
    let mut attributes = serde_json::Map::new();
    attributes.insert("latitude".into(), "52.5".into());
    Group {
        id: GroupId::from_raw(id),
        customer_id: signer.customer_id,
        kind,
        name: name(named),
        description: Description::new("first\nsecond line").unwrap(),
        enabled: true,
        signing_certificate_id: signer.id,
        addresses: AddressList::parse(&["192.0.2.0/24", "2001:db8::/32"]).unwrap(),
        attributes,
        created_at: NOW,
        modified_at: NOW,
        modified_by: None,
        revision: Revision::FIRST,
    }
}

/// Its digest follows from its id.
pub fn key(id: u64, group: &Group, named: &str, maximum: Option<u32>) -> ProvisioningKey {
    let mut digest = [0xd1; KeyDigest::BYTES];
    digest[..8].copy_from_slice(&id.to_be_bytes());
    ProvisioningKey {
        id: ProvisioningKeyId::from_raw(id),
        customer_id: group.customer_id,
        kind: group.kind,
        group_id: group.id,
        signing_certificate_id: group.signing_certificate_id,
        name: name(named),
        description: Description::default(),
        maximum: maximum.map(|maximum| NonZeroU32::new(maximum).unwrap()),
        enabled: true,
        allow_re_enrollment: false,
        expires_at: None,
        addresses: AddressList::default(),
        version: KeyVersion::Bootstrap,
        hint: "3|localhost:8443|abcdefg...".into(),
        key_id: "abcdefghijklmnop".into(),
        digest: KeyDigest::from_bytes(digest),
        pepper: PepperNumber(1),
        sealed_string: Some(vec![9; 150]),
        managed_by: None,
        successor_id: None,
        ui_config: None,
        usage: KeyUsage::default(),
        created_at: NOW,
        created_by: Some(5),
        modified_at: NOW,
        modified_by: Some(5),
        revision: Revision::FIRST,
    }
}

pub fn administrator(id: u64, customer_id: CustomerId, username: &str) -> Administrator {
    Administrator {
        id: AdministratorId::from_raw(id),
        customer_id,
        username: name(username),
        description: Description::default(),
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
        role: if customer_id == CustomerId::SERVICE { Role::Owner } else { Role::Admin },
        enabled: true,
        last_sign_in_at: None,
        created_at: NOW,
        modified_at: NOW,
        modified_by: Some(5),
        revision: Revision::FIRST,
    }
}

pub fn api_client(id: u64, customer_id: CustomerId, named: &str, client_id: &str) -> ApiClient {
    ApiClient {
        id: ApiClientId::from_raw(id),
        customer_id,
        name: name(named),
        client_id: client_id.into(),
        secret_digest: KeyDigest::from_bytes([3; KeyDigest::BYTES]),
        pepper: PepperNumber(2),
        secret_generation: 0,
        role: Role::Operator,
        enabled: true,
        managing: Some(name("Terraform")),
        last_used_at: None,
        created_at: NOW,
        modified_at: NOW,
        modified_by: None,
        revision: Revision::FIRST,
    }
}

/// Of a device that tests call by name.
pub fn fingerprint(device: &str) -> Fingerprint {
    Fingerprint::new(&format!("{:=<44}", device.replace(' ', "."))).unwrap()
}

pub fn device() -> DeviceDescription {
    DeviceDescription {
        hostname: Some("edge-1.example".into()),
        platform: Some("linux/x86_64".into()),
        software_version: None,
    }
}

/// 600 bytes that no other certificate has, with a random serial.
pub fn certificate() -> IssuedCertificate {
    let serial = SerialNumber::random();
    let mut public_key_hash = [0x5a; 32];
    public_key_hash[..16].copy_from_slice(serial.as_bytes());
    IssuedCertificate {
        serial,
        der: serial.as_bytes().repeat(38)[..600].to_vec(),
        public_key_hash,
        issued_at: NOW,
        not_before: NOW.saturating_sub(std::time::Duration::from_secs(300)),
        not_after: NOW.saturating_add(std::time::Duration::from_secs(90 * 86_400)),
    }
}
