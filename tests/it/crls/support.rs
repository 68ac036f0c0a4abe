//! Fetching CRLs, and reading them with a parser that is not ours.

use muster::clock::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::ReasonCode;

use crate::support::device::connect;
use crate::support::{Answer, Device, Endpoint, Service, patiently};

pub const KIND: &str = "app-connector";

/// An answer with a body of bytes.
pub struct Fetched {
    pub status: u16,
    /// Header lines as they came.
    pub head: String,
    pub body: Vec<u8>,
}

impl Fetched {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// On a connection of its own; `headers` are whole lines, each with its end.
pub async fn ask(endpoint: &Endpoint, method: &str, path: &str, headers: &str) -> Fetched {
    ask_on(connect(endpoint).await.expect("a connection"), method, path, headers).await
}

/// The same on a connection that is there already.
pub async fn ask_on(mut stream: TlsStream<TcpStream>, method: &str, path: &str, headers: &str) -> Fetched {
    let fetched = async {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        answer
    };
    let answer = patiently("an answer", fetched).await;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an end of the head");
    let head = String::from_utf8(answer[..end].to_vec()).expect("a head in ASCII");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Fetched { status, head, body: answer[end + 4..].to_vec() }
}

/// A CRL as another parser reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    pub number: u64,
    pub this_update: Timestamp,
    pub next_update: Timestamp,
    /// Serial numbers in lower-case hexadecimal, with the reason; sorted.
    pub entries: Vec<(String, Option<u8>)>,
}

pub fn read(der: &[u8]) -> Read {
    let (rest, crl) = CertificateRevocationList::from_der(der).expect("a CRL");
    assert!(rest.is_empty());
    let number = crl.crl_number().expect("a number");
    let mut entries: Vec<_> = crl
        .iter_revoked_certificates()
        .map(|entry| {
            let serial = entry.raw_serial().iter().map(|octet| format!("{octet:02x}")).collect();
            (serial, entry.reason_code().map(|(_, ReasonCode(code))| code))
        })
        .collect();
    entries.sort();
    Read {
        number: number.try_into().expect("a number of 64 bits"),
        this_update: crl.last_update().to_datetime().into(),
        next_update: crl.next_update().expect("an end").to_datetime().into(),
        entries,
    }
}

/// The newest CRL of a signing certificate.
pub async fn fetch(endpoint: &Endpoint, signer: &str) -> Vec<u8> {
    let fetched = ask(endpoint, "GET", &format!("/crl/{signer}.crl"), "").await;
    assert_eq!(fetched.status, 200, "{}", fetched.head);
    fetched.body
}

/// Waits until there is a CRL of a signing certificate with these serial numbers, in any order.
pub async fn fetch_with(endpoint: &Endpoint, signer: &str, serials: &[&str]) -> Read {
    let mut expected: Vec<_> = serials.to_vec();
    expected.sort_unstable();
    patiently("a CRL with what was revoked", async {
        loop {
            let fetched = ask(endpoint, "GET", &format!("/crl/{signer}.crl"), "").await;
            if fetched.status == 200 {
                let crl = read(&fetched.body);
                if crl.entries.iter().map(|(serial, _)| serial.as_str()).eq(expected.iter().copied()) {
                    return crl;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await
}

/// The id of a signing certificate by its name.
pub fn signer(service: &Service, name: &str) -> String {
    let text = service.cli_ok(&["signing-cert", "show", "--json", name]);
    let found: Value = serde_json::from_str(&text).expect("JSON");
    found["id"].as_str().expect("an id").to_owned()
}

/// Enrolls, which must succeed.
pub async fn enrolled(service: &Service, key: &str, device: &Device) -> Answer {
    let answer = device.enroll(&service.endpoint(), key).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

/// A service that tells in certificates where it is reached, with the group `HQ` and the key `k` under which
/// hardware may enroll again.
pub fn service() -> (Service, String) {
    let mut service = Service::start();
    service.keep_enroll_address();
    assert!(service.stop().success());
    service.configure(&format!("[enroll]\npublic_url = \"https://localhost:{}\"\n", service.enroll.port()));
    service.launch();
    service.create_group(KIND, "HQ");
    let key = service.create_key(KIND, "HQ", "k", &["--max-uses", "50", "--allow-re-enrollment"]);
    (service, key)
}

/// The first address in the certificate at which a CRL is said to be.
pub fn distribution_point(certificate_pem: &str) -> Option<String> {
    let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).expect("PEM");
    let (_, certificate) = X509Certificate::from_der(&der).expect("a certificate");
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        x509_parser::extensions::ParsedExtension::CRLDistributionPoints(points) => {
            let Some(x509_parser::extensions::DistributionPointName::FullName(names)) =
                &points.points.first()?.distribution_point
            else {
                return None;
            };
            match names.first()? {
                x509_parser::extensions::GeneralName::URI(uri) => Some((*uri).to_owned()),
                _ => None,
            }
        }
        _ => None,
    })
}
