//! A hundred thousand entries: more than a service of this size has, and still one file.

use super::support::{ask, enrolled, read, service, signer};
use crate::support::revoked::add_revoked;
use crate::support::{Device, Openssl, eventually};

const ENTRIES: u32 = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_crl_of_a_hundred_thousand_entries_is_made_and_served() {
    let (mut service, key) = service();
    service.keep_enroll_address();
    let connector = signer(&service, "Connector");
    let live = enrolled(&service, &key, &Device::new("live")).await;
    let revoked = enrolled(&service, &key, &Device::new("revoked")).await;
    service.cli_ok(&["component", "revoke", &revoked.text("componentId"), "--yes"]);
    assert!(service.stop().success());
    add_revoked(&service.data_dir(), &connector, ENTRIES);
    service.launch();
    let sample = format!("muster_crl_entries{{certificate=\"{connector}\"}}");
    let entries = || service.metric(&sample) as u32;
    eventually("a CRL with all of them", || (entries() == ENTRIES + 1).then_some(()));
    let path = format!("/crl/{connector}.crl");
    let whole = ask(&service.endpoint(), "GET", &path, "").await;
    assert!(whole.body.len() > 4_000_000, "{}", whole.body.len());
    let crl = read(&whole.body);
    assert_eq!(crl.entries.len(), ENTRIES as usize + 1);
    let serials: Vec<_> = crl.entries.iter().map(|(serial, _)| serial).collect();
    assert!(serials.contains(&&revoked.text("serialNumber")) && !serials.contains(&&live.text("serialNumber")));
    let openssl = Openssl::new();
    openssl.write("crl.der", &whole.body);
    openssl.write("root.pem", live.text("trustAnchors"));
    openssl.write("chain.pem", live.text("chain"));
    openssl.run("crl -inform DER -in @crl.der -out @crl.pem");
    for (leaf, is_accepted) in [(&live, true), (&revoked, false)] {
        openssl.write("leaf.pem", leaf.text("certificate"));
        let verified =
            openssl.output("verify -crl_check -CRLfile @crl.pem -CAfile @root.pem -untrusted @chain.pem @leaf.pem");
        assert_eq!(verified.status.success(), is_accepted);
    }
}
