//! Edits that race give nobody more than somebody who may gave them.

use std::collections::BTreeMap;

use serde_json::json;

use crate::api::support::{Client, id};
use crate::support::{Random, Service};

const PASSWORD: &str = "correct horse battery";
const ROLES: [&str; 3] = ["auditor", "operator", "admin"];

#[tokio::test(flavor = "multi_thread")]
async fn of_racing_edits_of_one_revision_one_is_made() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let made =
        client.make("administrators", &json!({ "username": "ada", "role": "auditor", "password": PASSWORD })).await;
    let path = format!("administrators/{}", id(&made));
    for round in 0..6 {
        let etag = client.get(&path).await.header("etag").expect("a revision").to_owned();
        let racing = ROLES.map(|role| {
            let body = json!({ "role": role, "description": format!("{role} in round {round}") }).to_string();
            let (client, path, etag) = (&client, &path, &etag);
            async move { client.send("PUT", path, body, &[("if-match", etag)]).await.status }
        });
        let [one, two, three] = racing;
        let statuses = tokio::join!(one, two, three);
        let statuses = [statuses.0, statuses.1, statuses.2];
        let winners: Vec<_> = ROLES.iter().zip(statuses).filter(|(_, status)| *status == 204).collect();
        assert_eq!((winners.len(), statuses.iter().filter(|status| **status == 412).count()), (1, 2), "{statuses:?}");
        let now = client.get(&path).await.json();
        assert_eq!(
            (&now["role"], &now["description"]),
            (&json!(winners[0].0), &json!(format!("{} in round {round}", winners[0].0)))
        );
    }
    service.assert_healthy();
}

/// An admin who is demoted while promoting others: what was refused did not happen, what was done was done while it might be.
#[tokio::test(flavor = "multi_thread")]
async fn a_demotion_that_was_answered_holds_for_every_request_after_it() {
    let service = Service::start();
    let client = Client::sign_in(&service).await;
    let mut random = Random::seeded();
    for round in 0..4 {
        let name = format!("admin-{round}");
        let made =
            client.make("administrators", &json!({ "username": name, "role": "admin", "password": PASSWORD })).await;
        let own = format!("administrators/{}", id(&made));
        let admin = Client::of(&service, client.customer()).signed_in(&name, PASSWORD).await;
        let mut friends = BTreeMap::new();
        for n in 0..8 {
            let friend = json!({ "username": format!("friend-{round}-{n}"), "role": "auditor", "password": PASSWORD });
            friends.insert(format!("administrators/{}", id(&client.make("administrators", &friend).await)), 0);
        }
        let demote_after = random.below(8) as usize;
        let mut demoted = false;
        for (n, (friend, status)) in friends.iter_mut().enumerate() {
            let (demote, promote) = (json!({ "role": "auditor" }), json!({ "role": "admin" }));
            if n == demote_after {
                let (demotion, promotion) = tokio::join!(client.put(&own, &demote), admin.put(friend, &promote));
                assert_eq!(demotion.status, 204, "{}", demotion.body);
                *status = promotion.status;
                demoted = true;
            } else {
                *status = admin.put(friend, &promote).await.status;
                assert_eq!(*status == 204, !demoted, "{friend}: {status}, demoted: {demoted}");
            }
        }
        for (friend, status) in friends {
            let role = client.get(&friend).await.json()["role"].clone();
            assert_eq!(role == "admin", status == 204, "{friend}: {status} {role}");
        }
        // Nor do they promote themselves, or anybody to an owner.
        for role in ["admin", "owner"] {
            let answer = admin.put(&own, &json!({ "role": role })).await;
            assert!(matches!(answer.status, 400 | 401 | 403), "{}", answer.body);
        }
    }
    service.assert_healthy();
}
