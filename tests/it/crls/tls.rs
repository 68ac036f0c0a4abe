//! A relying service on rustls with our CRL.

use std::fs;
use std::sync::Arc;

use muster::tls_provider::provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::support::{enrolled, fetch, fetch_with, service, signer};
use crate::support::{Answer, Device, Pki};

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("PEM")
}

fn roots(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).expect("a root");
    }
    roots
}

/// Whether a server that has these CRLs lets the device in.
async fn is_let_in(pki: &Pki, crls: &[Vec<u8>], device: &Device, enrolled: &Answer) -> Result<(), String> {
    let crls = crls.iter().map(|der| CertificateRevocationListDer::from(der.clone()));
    let verifier = WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots(certificates(&enrolled.text("trustAnchors")))),
        provider(),
    )
    .with_crls(crls)
    .enforce_revocation_expiration()
    .build()
    .expect("a verifier");
    let dir = tempfile::tempdir().expect("a directory");
    pki.write(dir.path());
    let chain = certificates(&fs::read_to_string(dir.path().join("chain.pem")).expect("a chain"));
    let key = PrivateKeyDer::from_pem_file(dir.path().join("key.pem")).expect("a key");
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .expect("a server");
    let key = PrivateKeyDer::try_from(device.key_pair.serialize_der()).expect("a key");
    let shown = certificates(&format!("{}{}", enrolled.text("certificate"), enrolled.text("chain")));
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots(certificates(&pki.anchor_pem)))
        .with_client_auth_cert(shown, key)
        .expect("a client");
    let (near, far) = tokio::io::duplex(64 * 1024);
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let connector = TlsConnector::from(Arc::new(client));
    let name = ServerName::try_from("localhost").expect("a name");
    let (accepted, _) = tokio::join!(
        async {
            let mut stream = acceptor.accept(near).await.map_err(|error| error.to_string())?;
            stream.write_all(b"in").await.map_err(|error| error.to_string())?;
            stream.shutdown().await.map_err(|error| error.to_string())
        },
        async {
            let mut stream = connector.connect(name, far).await?;
            stream.read_to_end(&mut Vec::new()).await
        }
    );
    accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rustls_server_with_the_crl_refuses_a_revoked_leaf_and_takes_a_live_one() {
    let (service, key) = service();
    let (connector, root) = (signer(&service, "Connector"), signer(&service, "Root"));
    let endpoint = service.endpoint();
    let pki = Pki::new();
    let (live, revoked) = (Device::new("live"), Device::new("revoked"));
    let of_live = enrolled(&service, &key, &live).await;
    let of_revoked = enrolled(&service, &key, &revoked).await;
    let crls = [fetch(&endpoint, &connector).await, fetch(&endpoint, &root).await];
    for (device, enrolled) in [(&live, &of_live), (&revoked, &of_revoked)] {
        assert_eq!(is_let_in(&pki, &crls, device, enrolled).await, Ok(()));
    }

    service.cli_ok(&["component", "revoke", &of_revoked.text("componentId"), "--yes"]);
    fetch_with(&endpoint, &connector, &[&of_revoked.text("serialNumber")]).await;
    let crls = [fetch(&endpoint, &connector).await, fetch(&endpoint, &root).await];
    assert_eq!(is_let_in(&pki, &crls, &live, &of_live).await, Ok(()));
    let refused = is_let_in(&pki, &crls, &revoked, &of_revoked).await.unwrap_err();
    assert!(refused.contains("Revoked"), "{refused}");
    // Without the CRL of its issuer nothing is known of a leaf.
    let unknown = is_let_in(&pki, &crls[1..], &live, &of_live).await.unwrap_err();
    assert!(unknown.contains("UnknownRevocationStatus"), "{unknown}");
}
