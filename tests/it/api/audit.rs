//! The audit log as it is read and exported, and as an export is checked.

use std::fs;

use serde_json::{Value, json};

use super::support::{Client, id};
use crate::support::Service;

async fn export(client: &Client, query: &str) -> Vec<String> {
    let answer = client.get(&format!("auditEvents/export{query}")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")), "{}", answer.body);
    answer.body.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_read_newest_first() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let group = client.make_group("appConnectorGroup", "HQ").await;
    client.edit(&format!("appConnectorGroup/{group}"), &json!({ "name": "Head office" })).await;
    let page = client.get("auditEvents?pagesize=2").await.json();
    let [newest, before] = page["list"].as_array().expect("a list").as_slice() else { panic!("{page}") };
    assert_eq!(
        (&newest["action"], &newest["objectType"], &newest["objectId"]),
        (&json!("update"), &json!("group"), &json!(group))
    );
    assert_eq!((&newest["before"]["name"], &newest["after"]["name"]), (&json!("HQ"), &json!("Head office")));
    assert_eq!(
        (&newest["actorType"], &before["action"], before.get("before")),
        (&json!("api-client"), &json!("create"), None)
    );
    assert_eq!(newest["sequence"], page["totalCount"]);
    let count = async |query: &str| client.get(&format!("auditEvents?{query}")).await.json()["totalCount"].clone();
    assert_eq!(count("search=action+EQ+sign-in").await, "1");
    assert_eq!(count(&format!("search=objectType+EQ+group+AND+objectId+EQ+{group}")).await, "2");
    assert_eq!(count("search=head").await, "1", "a plain word: names of objects");
    assert_eq!(count("search=actorName+EQ+system").await, "8", "what the first start made");
    assert_eq!(count("from=2000-01-01T00:00:00Z&to=4102444800").await, page["totalCount"]);
    assert_eq!(count("to=2000-01-01T00:00:00Z").await, "0");
    for (wrong, member) in
        [("search=color+EQ+red", "search"), ("from=yesterday", "from"), ("to=x", "to"), ("page=0", "page")]
    {
        let refused = client.get(&format!("auditEvents?{wrong}")).await;
        assert_eq!((refused.status, &refused.json()["params"]), (400, &json!([member])), "{wrong}");
    }
    // Auditors read it, too; and owners customer 0's.
    client
        .make("administrators", &json!({ "username": "ada", "role": "auditor", "password": "correct horse battery" }))
        .await;
    let auditor = Client::of(&service, client.customer()).signed_in("ada", "correct horse battery").await;
    assert_eq!(auditor.get("auditEvents").await.status, 200);
    assert!(!export(&auditor, "").await.is_empty());
    let owner = Client::owner(&service).await;
    assert_eq!(owner.get("auditEvents?search=action+EQ+initialize").await.json()["totalCount"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_checked_with_the_key() {
    let mut service = Service::start();
    let client = Client::sign_in(&service).await;
    for n in 0..5 {
        client.make_group("machineGroup", &format!("g{n}")).await;
    }
    let whole = export(&client, "").await;
    assert_eq!(whole.len(), 8 + 1 + 5);
    let mut pieces = Vec::new();
    loop {
        let after = pieces.last().map_or_else(
            || "0".to_owned(),
            |line: &String| {
                let line: Value = serde_json::from_str(line).expect("JSON");
                line["sequence"].as_str().expect("a number in a string").to_owned()
            },
        );
        let piece = export(&client, &format!("?after={after}&limit=4")).await;
        assert!(piece.len() <= 4);
        if piece.is_empty() {
            break;
        }
        pieces.extend(piece);
    }
    assert_eq!(pieces, whole, "in pieces as at once");
    for (wrong, member) in [("after=-1", "after"), ("limit=0", "limit"), ("limit=5001", "limit")] {
        let refused = client.get(&format!("auditEvents/export?{wrong}")).await;
        assert_eq!((refused.status, &refused.json()["params"]), (400, &json!([member])), "{wrong}");
    }
    assert_eq!(export(&client, "?limit=5000&after=9223372036854775807").await.len(), 0);

    let file = service.dir().join("export.jsonl");
    let verify = |lines: &[String]| {
        fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).expect("a file");
        let output = service.cli(&["audit", "verify", "--file", file.to_str().expect("UTF-8")]);
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
        (output.status.code(), text)
    };
    let (code, text) = verify(&whole);
    assert_eq!((code, text.contains("rows 1 to 14 are whole")), (Some(0), true), "{text}");
    let (code, text) = verify(&whole[3..]);
    assert_eq!((code, text.contains("rows 4 to 14 are whole")), (Some(0), true), "{text}");

    let mut changed = whole.clone();
    changed[10] = changed[10].replace("\"g1\"", "\"gX\"");
    assert_ne!(changed, whole);
    let mut missing = whole.clone();
    missing.remove(4);
    let mut reordered = whole.clone();
    reordered.swap(6, 7);
    let mut cut = whole.clone();
    cut[2].truncate(40);
    let mut endless = whole.clone();
    endless[3] = " ".repeat((4 << 20) + 1 - whole[3].len()) + &whole[3];
    let mut longest = endless.clone();
    longest[3].remove(0);
    let (code, text) = verify(&longest);
    assert_eq!((code, text.contains("rows 1 to 14 are whole")), (Some(0), true), "{text}");
    for (lines, expected) in [
        (changed, "row 11 was changed"),
        (missing, "row 5 is missing"),
        (reordered, "row 7 is missing"),
        (cut, "line 3 is none of an export"),
        (endless, "line 4 is none of an export: it is longer than 4194304 bytes"),
    ] {
        let (code, text) = verify(&lines);
        assert_eq!((code, text.contains(expected)), (Some(1), true), "{expected}: {text}");
    }

    // The store itself, beside the service and without it.
    assert!(service.cli(&["audit", "verify"]).status.success());
    let database = rusqlite::Connection::open(service.data_dir().join("muster.db")).expect("the database");
    let break_it = |sql: &str| assert!(database.execute(sql, []).expect("the statement") > 0, "{sql}");
    break_it("UPDATE audit_events SET after = replace(after, 'g3', 'gX') WHERE after LIKE '%\"g3\"%'");
    for is_serving in [true, false] {
        if !is_serving {
            assert!(service.stop().success());
        }
        let output = service.cli(&["audit", "verify"]);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(
            (output.status.code(), text.contains("row 13 was changed")),
            (Some(1), true),
            "{is_serving}: {text}"
        );
    }
    break_it("DELETE FROM audit_events WHERE sequence = 9 AND customer_id <> 0");
    let output = service.cli(&["audit", "verify", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(report["broken"][0].as_str().expect("a sentence").contains("row 9 is missing"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_and_what_they_did_are_written_down() {
    let mut service = Service::start();
    let client = Client::sign_in(&service).await;
    let made = client
        .make("administrators", &json!({ "username": "ada", "role": "admin", "password": "correct horse battery" }))
        .await;
    let anybody = Client::of(&service, client.customer());
    for password in ["wrong password", "another wrong one"] {
        assert_eq!(anybody.sign_in_as("ada", password).await.status, 401);
    }
    let ada = anybody.signed_in("ada", "correct horse battery").await;
    assert_eq!(ada.send("POST", "/signout", "", &[]).await.status, 204);
    // What was counted is written at the end, at the latest.
    assert!(service.stop().success());
    service.launch();
    let client = Client::sign_in(&service).await;
    let of = async |search: &str| client.get(&format!("auditEvents?search={search}")).await.json()["list"].clone();
    let failed = of("action+EQ+sign-in-failed").await;
    assert_eq!((&failed[0]["objectId"], &failed[0]["after"]["count"]), (&json!(id(&made)), &json!(2)));
    assert_eq!(failed[0]["after"]["lastSource"], "127.0.0.1/32");
    let signed_in = of("actorName+EQ+ada+AND+action+EQ+sign-in").await;
    assert_eq!(
        (&signed_in[0]["after"]["remoteAddress"], &signed_in[0]["after"]["userAgent"]),
        (&json!("127.0.0.1"), &json!("tests/1"))
    );
    assert_eq!(of("actorName+EQ+ada+AND+action+EQ+sign-out").await.as_array().expect("a list").len(), 1);
    service.assert_healthy();
}
