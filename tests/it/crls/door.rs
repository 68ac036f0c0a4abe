//! `GET /crl/{signingCertId}.crl`: what an HTTP client and a cache are told.

use super::support::{Fetched, ask, distribution_point, enrolled, fetch, fetch_with, read, service, signer};
use crate::support::Device;

#[tokio::test(flavor = "multi_thread")]
async fn a_crl_is_served_with_what_spares_a_download() {
    let (service, key) = service();
    let endpoint = service.endpoint();
    let connector = signer(&service, "Connector");
    let component = enrolled(&service, &key, &Device::new("d")).await;
    let uri = distribution_point(&component.text("certificate")).expect("a distribution point");
    let path = format!("/crl/{connector}.crl");
    assert_eq!(uri, format!("https://localhost:{}{path}", service.enroll.port()));

    let fetched = ask(&endpoint, "GET", &path, "").await;
    assert_eq!((fetched.status, fetched.header("content-type")), (200, Some("application/pkix-crl")));
    assert_eq!(fetched.header("content-length"), Some(&*fetched.body.len().to_string()));
    let crl = read(&fetched.body);
    assert_eq!(crl.entries, []);
    let tag = fetched.header("etag").expect("a tag").to_owned();
    assert_eq!(tag, format!("\"{}\"", crl.number));
    let modified = fetched.header("last-modified").expect("a date").to_owned();
    assert!(modified.ends_with(" GMT"), "{modified}");
    assert_eq!(fetched.header("cache-control"), Some("public, max-age=300"));
    assert!(fetched.header("expires").is_some_and(|expires| expires.ends_with(" GMT")));

    let head = ask(&endpoint, "HEAD", &path, "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["content-type", "content-length", "etag", "last-modified"] {
        assert_eq!(head.header(name), fetched.header(name), "{name}");
    }

    let is_sent = |answer: Fetched| {
        assert_eq!(answer.header("etag"), Some(&*tag));
        match answer.status {
            200 => !answer.body.is_empty(),
            304 => {
                assert!(answer.body.is_empty() && answer.header("cache-control").is_some());
                false
            }
            other => panic!("{other}: {}", answer.head),
        }
    };
    for (headers, expected) in [
        (format!("if-none-match: {tag}\r\n"), false),
        (format!("if-none-match: W/{tag}\r\n"), false),
        (format!("if-none-match: \"1\", {tag}\r\n"), false),
        ("if-none-match: *\r\n".to_owned(), false),
        ("if-none-match: \"1\"\r\n".to_owned(), true),
        (format!("if-modified-since: {modified}\r\n"), false),
        ("if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(), true),
        ("if-modified-since: yesterday\r\n".to_owned(), true),
        // The tag decides where there is one.
        (format!("if-none-match: \"1\"\r\nif-modified-since: {modified}\r\n"), true),
    ] {
        assert_eq!(is_sent(ask(&endpoint, "GET", &path, &headers).await), expected, "{headers}");
    }

    // A newer one is sent whatever the old one was called.
    service.cli_ok(&["component", "revoke", &component.text("componentId"), "--yes"]);
    fetch_with(&endpoint, &connector, &[&component.text("serialNumber")]).await;
    for header in [format!("if-none-match: {tag}\r\n"), format!("if-modified-since: {modified}\r\n")] {
        assert_eq!(ask(&endpoint, "GET", &path, &header).await.status, 200, "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_crl_is_not_found() {
    let (service, _) = service();
    let endpoint = service.endpoint();
    let root = signer(&service, "Root");
    assert_eq!(read(&fetch(&endpoint, &root).await).entries, [], "of a signing certificate that signed no component");
    for path in ["/crl/1.crl", "/crl/0.crl", "/crl/x.crl", "/crl/.crl", "/crl/", "/crl"] {
        assert_eq!(ask(&endpoint, "GET", path, "").await.status, 404, "{path}");
    }
    for path in
        [format!("/crl/{root}"), format!("/crl/0{root}.crl"), format!("/crl/{root}.crl/"), format!("/crl/{root}.CRL")]
    {
        assert_eq!(ask(&endpoint, "GET", &path, "").await.status, 404, "{path}");
    }
    let refused = ask(&endpoint, "POST", &format!("/crl/{root}.crl"), "content-length: 0\r\n").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
}
