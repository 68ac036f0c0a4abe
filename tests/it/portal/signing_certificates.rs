//! Signing certificates in the portal: the three ways to one, what an edit and a deletion say, who may what.

use super::visitor::{Visitor, hidden, led_to};
use crate::api::signing_certificates::{CA, CA_MORE, Operator};
use crate::support::Service;

/// The page of what was made.
async fn made(visitor: &mut Visitor, fields: &[(&str, &str)]) -> String {
    led_to(&visitor.post(&format!("/c/{}/signing-certificates/add", visitor.customer), fields).await)
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_made_here_below_another_and_listed_with_its_end() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let list = format!("/c/{}/signing-certificates", visitor.customer);
    let add = visitor.page(&format!("{list}/add")).await;
    let (_, parents) = add.split_once("id=\"parent\"").expect("the field");
    let (parents, _) = parents.split_once("</select>").expect("its end");
    assert_eq!(count(parents, "<option"), 2, "itself and Root, as nothing stands below the others: {parents}");
    let root = parents.rsplit("<option value=\"").next().and_then(|rest| rest.split('"').next()).expect("its id");

    let soon = made(
        &mut visitor,
        &[("way", "make"), ("name", "Soon"), ("parent", root), ("algorithm", "ecdsa-p384"), ("lifetime", "20")],
    )
    .await;
    let soon = visitor.page(&soon).await;
    assert!(soon.contains("Expires in 20 days") || soon.contains("Expires in 19 days"), "{soon}");
    assert!(soon.contains("ECDSA P-384") && soon.contains(&format!("{list}/{root}\">Root</a>")), "{soon}");

    let listed = visitor.page(&format!("{list}?expires=soon")).await;
    assert!(listed.contains("1 signing certificate</b>, 7 without filters"), "{listed}");
    assert!(listed.contains("tag-warn"), "{listed}");
    let all = visitor.page(&list).await;
    assert!(all.contains("6 certificates below it"), "{all}");
    let active = visitor.page(&format!("{list}?status=expired")).await;
    assert!(active.contains("No signing certificates match these filters, 7 without filters."), "{active}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csr_is_signed_elsewhere_and_its_certificate_uploaded() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let operator = Operator::new();
    let path = made(
        &mut visitor,
        &[("way", "request"), ("name", "Outside"), ("common_name", "Devices"), ("country", "DE"), ("organization", "")],
    )
    .await;
    let waiting = visitor.page(&path).await;
    assert!(waiting.contains("Waiting for its certificate") && waiting.contains("/request.pem"), "{waiting}");
    let csr = visitor.get(&format!("{path}/request.pem")).await;
    assert!(csr.header("content-disposition").is_some_and(|value| value.contains("Outside.csr")), "{}", csr.head);
    operator.openssl.write("outside.csr", &csr.body);
    let subject = operator.openssl.run("req -in @outside.csr -noout -subject -verify");
    assert!(subject.contains("C = DE, CN = Devices"), "no organization, as it was cleared: {subject}");
    operator.sign("root", "outside", &format!("{CA},pathlen:0\n{CA_MORE}"), 20);

    let upload = format!("{path}/certificate");
    let revision = hidden(&visitor.page(&upload).await, "revision");
    let certificate = operator.chain(&["outside"]);
    for (certificate, fault) in [
        ("", "Certificate is missing."),
        ("nonsense", "Certificate is not PEM"),
        (&*certificate, "Certificate cannot be used"),
        (&*operator.chain(&["root"]), "Certificate has another public key"),
    ] {
        let refused = visitor.post(&upload, &[("revision", &revision), ("certificate", certificate)]).await;
        assert_eq!(refused.status, 422, "{fault}: {}", refused.body);
        assert_eq!(count(&refused.body, fault), 2, "on top and beside the field, {fault}: {}", refused.body);
    }
    let chain = operator.chain(&["root"]);
    let fields = [("revision", &*revision), ("certificate", &*certificate), ("chain", &*chain)];
    assert_eq!(led_to(&visitor.post(&upload, &fields).await), path);
    let complete = visitor.page(&path).await;
    assert!(complete.contains("root, from elsewhere,") && !complete.contains("Waiting"), "{complete}");
    let both = visitor.get(&format!("{path}/chain.pem")).await;
    assert_eq!(both.body.replace("\r\n", "\n"), format!("{certificate}{chain}"));
    let alone = visitor.get(&format!("{path}/certificate.pem")).await;
    assert_eq!(alone.body, certificate);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_tells_all_faults_at_once_and_its_private_key_never_comes_back() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let operator = Operator::new();
    operator.issuing("issuing");
    let (certificate, chain) = (operator.chain(&["issuing"]), operator.chain(&["root"]));
    let (key, foreign) = (operator.text("issuing.key"), operator.text("root.key"));
    let add = format!("/c/{}/signing-certificates/add", visitor.customer);
    let body_of = |key: &str| key.lines().nth(1).expect("a line of the key").to_owned();

    let fields = [("way", "import"), ("name", "a/b"), ("certificate", &*certificate), ("private_key", &*foreign)];
    let refused = visitor.post(&add, &fields).await;
    assert_eq!(refused.status, 422);
    for fault in ["A name cannot contain “/”. Try a-b.", "id=\"certificate-e\""] {
        assert!(refused.body.contains(fault), "{fault}: {}", refused.body);
    }
    assert!(refused.body.contains(&body_of(&certificate)), "the certificate stays: {}", refused.body);
    assert!(!refused.body.contains(&body_of(&foreign)), "the key does not");

    let import = |private_key| {
        [
            ("way", "import"),
            ("name", "Imported"),
            ("certificate", &*certificate),
            ("chain", &*chain),
            ("private_key", private_key),
        ]
    };
    let refused = visitor.post(&add, &import(&foreign)).await;
    assert!(refused.status == 422 && refused.body.contains("id=\"private_key-e\""), "{}", refused.body);
    let path = led_to(&visitor.post(&add, &import(&key)).await);
    for path in [path.clone(), format!("{path}/edit"), format!("{path}/chain.pem")] {
        assert!(!visitor.page(&path).await.contains(&body_of(&key)), "{path}");
    }
    let twice = visitor.post(&add, &import(&key)).await;
    assert!(twice.status == 422 && twice.body.contains("Imported"), "{}", twice.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_in_use_stays_and_another_goes_when_its_name_is_typed() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    service.create_group("app-connector", "HQ");
    service.create_key("app-connector", "HQ", "k1", &["--max-uses", "2"]);
    let list = visitor.page(&format!("/c/{}/signing-certificates?name==Connector", visitor.customer)).await;
    let (before, _) = list.split_once("/edit\" aria-label=\"Edit Connector\"").expect("its row");
    let used = before.rsplit("href=\"").next().expect("its address").to_owned();
    let shown = visitor.page(&used).await;
    assert!(shown.contains(">k1</a>") && shown.contains(">HQ</a>"), "{shown}");
    let question = visitor.page(&format!("{used}/delete")).await;
    assert!(question.contains("Connector is in use and stays") && question.contains("1 key signs with it."));
    assert!(!question.contains("btn-bad-solid"), "{question}");
    let revision = hidden(&question, "revision");
    let refused = visitor.post(&format!("{used}/delete"), &[("revision", &revision), ("confirm", "Connector")]).await;
    assert!(refused.status == 409 && refused.body.contains("is in use and stays"), "{}", refused.body);

    let path = made(&mut visitor, &[("way", "make"), ("name", "Spare")]).await;
    let delete = format!("{path}/delete");
    let revision = hidden(&visitor.page(&delete).await, "revision");
    let refused = visitor.post(&delete, &[("revision", &revision), ("confirm", "Spar")]).await;
    assert!(refused.status == 422 && refused.body.contains("This is not the name."), "{}", refused.body);
    led_to(&visitor.post(&delete, &[("revision", &revision), ("confirm", "Spare")]).await);
    assert_eq!(visitor.get(&path).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_was_overtaken_shows_both_versions() {
    let service = Service::start();
    let mut visitor = Visitor::owner(&service).await;
    let hostile = "<script>alert(1)</script>";
    let path = made(&mut visitor, &[("way", "make"), ("name", "Ours"), ("description", hostile)]).await;
    let shown = visitor.page(&path).await;
    assert!(!shown.contains(hostile) && shown.contains("&#60;script&#62;"), "{shown}");

    let edit = format!("{path}/edit");
    let revision = hidden(&visitor.page(&edit).await, "revision");
    let fields =
        |name, days| [("revision", &*revision), ("name", name), ("allow_signing", "on"), ("component_lifetime", days)];
    led_to(&visitor.post(&edit, &fields("Theirs", "30")).await);
    let conflict = visitor.post(&edit, &fields("Mine", "30")).await;
    assert_eq!(conflict.status, 409);
    for part in ["admin changed this signing certificate just now.", "Now saved: Theirs", "value=\"Mine\""] {
        assert!(conflict.body.contains(part), "{part}: {}", conflict.body);
    }
    assert_eq!(count(&conflict.body, "Now saved:"), 1, "the other fields are alike: {}", conflict.body);
    let newer = hidden(&conflict.body, "revision");
    let mine = [("revision", &*newer), ("name", "Mine"), ("component_lifetime", "0")];
    let refused = visitor.post(&edit, &mine).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("1 to 3650 are accepted"), "{}", refused.body);
    let mine = [("revision", &*newer), ("name", "Mine"), ("component_lifetime", "30")];
    led_to(&visitor.post(&edit, &mine).await);
    assert!(visitor.page(&path).await.contains("Not allowed to sign"), "the tick was off");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_replaced_for_all_its_keys_and_groups() {
    let service = Service::start();
    service.create_group("machine", "HQ");
    service.create_key("machine", "HQ", "k", &[]);
    let mut visitor = Visitor::owner(&service).await;
    let list = format!("/c/{}/signing-certificates", visitor.customer);
    let successor = made(&mut visitor, &[("way", "make"), ("name", "Next"), ("lifetime", "400")]).await;
    let successor = successor.rsplit('/').next().expect("its id").to_owned();
    let old = service.key("machine", "k")["enrollmentCertId"].as_str().expect("an id").to_owned();
    let path = format!("{list}/{old}");
    assert!(visitor.page(&path).await.contains(&format!("{path}/replace")));
    let asked = visitor.page(&format!("{path}/replace")).await;
    assert!(asked.contains("1 key and 1 group have it."), "{asked}");
    let (_, offered) = asked.split_once("id=\"successor\"").expect("the field");
    let (offered, _) = offered.split_once("</select>").expect("its end");
    assert!(offered.contains(&successor) && !offered.contains(&old), "{offered}");

    for wrong in ["", "7", old.as_str()] {
        let refused = visitor.post(&format!("{path}/replace"), &[("successor", wrong)]).await;
        assert_eq!(refused.status, 422, "{wrong:?}");
    }
    assert_eq!(service.key("machine", "k")["enrollmentCertId"], old.as_str());
    let done = visitor.post(&format!("{path}/replace"), &[("successor", &successor)]).await;
    let shown = visitor.page(&led_to(&done)).await;
    assert!(shown.contains("was replaced.") && !shown.contains(&format!("{path}/replace")), "{shown}");
    assert_eq!(service.key("machine", "k")["enrollmentCertId"], successor.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_reads_everything_and_changes_nothing() {
    let service = Service::start();
    let mut auditor = Visitor::with_role(&service, "auditor").await;
    let list = format!("/c/{}/signing-certificates", auditor.customer);
    let listed = auditor.page(&list).await;
    assert!(!listed.contains("Add Signing Certificate") && !listed.contains("/edit\""), "{listed}");
    let (_, rest) = listed.split_once(&format!("<a href=\"{list}/")).expect("a row");
    let path = format!("{list}/{}", rest.split('"').next().expect("its end"));
    let shown = auditor.page(&path).await;
    assert!(!shown.contains(&format!("{path}/delete")) && shown.contains("/certificate.pem"), "{shown}");
    auditor.page(&format!("{path}/certificate.pem")).await;
    for what in ["/edit", "/delete", "/certificate", "/replace"] {
        assert_eq!(auditor.get(&format!("{path}{what}")).await.status, 403, "{what}");
    }
    assert_eq!(auditor.get(&format!("{list}/add")).await.status, 403);
    let refused = auditor.post(&format!("{list}/add"), &[("way", "make"), ("name", "Mine")]).await;
    assert_eq!(refused.status, 403);
    assert_eq!(auditor.get("/c/0/signing-certificates").await.status, 404);
}
