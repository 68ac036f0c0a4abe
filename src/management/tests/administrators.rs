//! Administrators, API clients, customers: who may, what ends whose sessions, what is written down.

use std::future::poll_fn;
use std::net::IpAddr;
use std::task::Poll;

use serde_json::json;
use zeroize::Zeroizing;

use super::*;
use crate::domain::Administrator;
use crate::domain::administrator::NewPassword;
use crate::domain::audit::ChainVerifier;
use crate::id::AdministratorId;
use crate::management::administrators::{AdministratorInput, PasswordChange};
use crate::management::api_clients::ApiClientInput;
use crate::management::customers::CustomerInput;
use crate::management::sessions::{PORTAL_SESSION_LIFETIME, SignedIn};
use crate::management::{InvalidToken, Which};
use crate::store::{AuditQuery, Comparison, CustomerField, PageRequest};

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
const PASSWORD: &str = "correct horse battery";

fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn input(username: &str, role: Role) -> AdministratorInput {
    AdministratorInput {
        username: Input::Given(username.into()),
        role: Input::Given(role.as_str().into()),
        password: Input::Given(secret(PASSWORD)),
        ..AdministratorInput::default()
    }
}

fn client_input(name: &str, role: Role) -> ApiClientInput {
    let (name, role) = (Input::Given(name.into()), Input::Given(role.as_str().into()));
    ApiClientInput { name, role, ..ApiClientInput::default() }
}

impl Fixture {
    fn owner(&self) -> Actor {
        Actor { customer_id: CustomerId::SERVICE, ..self.actor(Role::Owner) }
    }

    pub(super) async fn administrator(&self, username: &str, role: Role) -> AdministratorId {
        let customer = if role == Role::Owner { CustomerId::SERVICE } else { self.customer() };
        let made = self.management.create_administrator(&self.owner(), customer, input(username, role)).await.unwrap();
        made.administrator.id
    }

    async fn sign_in(&self, username: &str, password: &str, from: IpAddr) -> Result<SignedIn, Error> {
        self.management.sign_in_administrator(username, secret(password), from, "tests\t/1", TOKEN_LIFETIME).await
    }

    /// With the password of [`input`].
    async fn signed_in(&self, username: &str) -> SignedIn {
        self.sign_in(username, PASSWORD, HOME).await.unwrap()
    }

    async fn is_good(&self, signed_in: &SignedIn) -> bool {
        match self.management.authenticate(&signed_in.token).await {
            Ok(_) => true,
            Err(Error::InvalidToken(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    async fn edit(&self, actor: &Actor, id: AdministratorId, change: AdministratorInput) -> Result<(), Error> {
        let customer = actor.customer_id;
        self.management.edit_administrator(actor, customer, id, None, &change).await.map(drop)
    }

    /// Actions in a customer's log, oldest first.
    async fn actions(&self, customer: CustomerId) -> Vec<String> {
        self.audit(customer).await.into_iter().map(|row| row.event.action).collect()
    }
}

fn is_credentials(result: &Result<SignedIn, Error>) -> bool {
    matches!(result, Err(Error::InvalidCredentials))
}

#[tokio::test]
async fn an_administrator_signs_in_until_something_ends_it() {
    let fixture = Fixture::new().await;
    let owner = fixture.sign_in("ADMIN", &fixture.first.password, HOME).await.unwrap();
    assert_eq!((owner.session.actor.role, owner.session.actor.customer_id), (Role::Owner, CustomerId::SERVICE));
    let session = fixture.management.authenticate(&owner.token).await.unwrap();
    assert_eq!((&session.actor, session.id()), (&owner.session.actor, owner.session.id()));
    assert_eq!((session.record.remote_address, session.record.user_agent.as_str()), (Some(HOME), "tests/1"));

    let (id, customer) = (fixture.administrator("ada", Role::Operator).await, fixture.customer());
    let (first, second) = (fixture.signed_in("ada").await, fixture.signed_in("ada").await);
    let stored = fixture.store.find_administrator("ada").await.unwrap().unwrap();
    assert_eq!(stored.last_sign_in_at, Some(NOW));
    fixture.management.sign_out(&first.session).await.unwrap();
    assert!(!fixture.is_good(&first).await && fixture.is_good(&second).await);

    let owner = &owner.session.actor;
    let disable = AdministratorInput { enabled: Input::Given(false), ..AdministratorInput::default() };
    fixture.management.edit_administrator(owner, customer, id, None, &disable).await.unwrap();
    assert!(!fixture.is_good(&second).await);
    assert!(is_credentials(&fixture.sign_in("ada", PASSWORD, HOME).await), "disabled");
    let enable = AdministratorInput { enabled: Input::Given(true), ..AdministratorInput::default() };
    fixture.management.edit_administrator(owner, customer, id, None, &enable).await.unwrap();
    assert!(!fixture.is_good(&second).await, "what was ended stays so");

    let third = fixture.signed_in("ada").await;
    let reset = AdministratorInput { password: Input::Given(secret("another password")), ..Default::default() };
    fixture.management.edit_administrator(owner, customer, id, None, &reset).await.unwrap();
    assert!(!fixture.is_good(&third).await);
    assert!(is_credentials(&fixture.sign_in("ada", PASSWORD, HOME).await));
    let fourth = fixture.sign_in("ada", "another password", HOME).await.unwrap();

    let off = CustomerInput { enabled: Input::Given(false), ..CustomerInput::default() };
    fixture.management.edit_customer(owner, customer, None, &off).await.unwrap();
    assert!(!fixture.is_good(&fourth).await);
    assert!(is_credentials(&fixture.sign_in("ada", "another password", HOME).await), "customer disabled");
    let on = CustomerInput { enabled: Input::Given(true), ..CustomerInput::default() };
    fixture.management.edit_customer(owner, customer, None, &on).await.unwrap();
    assert!(fixture.is_good(&fourth).await);

    fixture.management.delete_administrator(owner, customer, id, None).await.unwrap();
    assert!(!fixture.is_good(&fourth).await);
    assert!(is_credentials(&fixture.sign_in("ada", "another password", HOME).await), "deleted");
}

#[tokio::test]
async fn a_session_lasts_an_hour_and_needs_its_row() {
    let fixture = Fixture::new().await;
    fixture.administrator("ada", Role::Auditor).await;
    let signed_in = fixture.signed_in("ada").await;
    let parts = &fixture.management.parts;
    // Signed by us, and of no session that was ever begun.
    let forged = Claims::new("1", SubjectKind::Administrator, fixture.customer(), NOW, TOKEN_LIFETIME);
    let refused = fixture.management.authenticate(&parts.token_key.sign(&forged)).await;
    assert!(matches!(refused, Err(Error::InvalidToken(InvalidToken::NoSession))));
    // An API client's id of a token does not make it an administrator's.
    let other = Claims { kind: SubjectKind::ApiClient, jti: signed_in.session.id().to_owned(), ..forged };
    assert!(matches!(
        fixture.management.authenticate(&parts.token_key.sign(&other)).await,
        Err(Error::InvalidToken(_))
    ));

    fixture.clock.advance(Duration::from_secs(3_599));
    assert!(fixture.is_good(&signed_in).await);
    fixture.clock.advance(Duration::from_secs(1));
    assert!(!fixture.is_good(&signed_in).await);
}

#[tokio::test]
async fn a_session_of_the_portal_lasts_a_working_day() {
    let fixture = Fixture::new().await;
    fixture.administrator("ada", Role::Auditor).await;
    let management = &fixture.management;
    let sign_in = management.sign_in_administrator("ada", secret(PASSWORD), HOME, "tests/1", PORTAL_SESSION_LIFETIME);
    let signed_in = sign_in.await.unwrap();
    assert_eq!(signed_in.lifetime, PORTAL_SESSION_LIFETIME);
    let end = NOW.saturating_add(PORTAL_SESSION_LIFETIME);
    let claims = management.parts.token_key.verify(&signed_in.token, NOW).unwrap();
    assert_eq!((claims.exp, signed_in.session.record.expires_at), (end.unix_seconds(), end));
    let AuditRow { event, .. } = fixture.audit(fixture.customer()).await.pop().unwrap();
    let told = json!({ "remoteAddress": HOME, "userAgent": "tests/1" }).to_string();
    assert_eq!((event.action.as_str(), event.after), ("sign-in", Some(told)));
    fixture.advance(8 * 3_600 - 1);
    fixture.store.sweep().await.unwrap();
    assert!(fixture.is_good(&signed_in).await);
    fixture.advance(1);
    assert!(!fixture.is_good(&signed_in).await);
}

#[tokio::test]
async fn what_changes_while_a_password_is_hashed_is_looked_at() {
    let fixture = Fixture::new().await;
    let changes: [fn(&mut Administrator); 2] =
        [|changed| changed.enabled = false, |changed| changed.password_hash = "another's".into()];
    for (name, change) in ["ada", "eve"].into_iter().zip(changes) {
        fixture.administrator(name, Role::Admin).await;
        let mut sign_in = Box::pin(fixture.sign_in(name, PASSWORD, HOME));
        // Waits for its row, and then for the hash.
        for _ in 0..2 {
            assert!(poll_fn(|context| Poll::Ready(sign_in.as_mut().poll(context))).await.is_pending());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut changed = fixture.store.find_administrator(name).await.unwrap().unwrap();
        change(&mut changed);
        fixture.apply(Change::UpdateAdministrator(changed)).await;
        assert!(is_credentials(&sign_in.await), "{name}");
    }
}

/// Whoever guesses is slowed down; whoever knows is let in, from any other place.
#[tokio::test]
async fn guessing_locks_nobody_out() {
    let fixture = Fixture::new().await;
    fixture.administrator("ada", Role::Admin).await;
    let guess = async |name: &str| match fixture.sign_in(name, "wrong password", ELSEWHERE).await {
        Err(Error::InvalidCredentials) => None,
        Err(Error::TooManySignIns { retry_after }) => Some(retry_after),
        _ => panic!("a wrong password"),
    };
    for name in ["ada", "nobody"] {
        for n in 0..5 {
            assert_eq!(guess(name).await, None, "{name} {n}");
        }
        for _ in 0..20 {
            assert_eq!(guess(name).await, Some(Duration::from_secs(15)), "{name}: known or not, the same");
        }
    }
    // From there even the right one has to wait, as it would tell a guesser that it is right.
    let refused = fixture.sign_in("ada", PASSWORD, ELSEWHERE).await;
    assert!(matches!(refused, Err(Error::TooManySignIns { .. })));
    assert!(fixture.sign_in("ada", PASSWORD, HOME).await.is_ok(), "from another place at once");
    assert!(fixture.sign_in("admin", &fixture.first.password, ELSEWHERE).await.is_ok(), "and another one from there");
    fixture.clock.advance(Duration::from_secs(15));
    assert!(fixture.sign_in("ada", PASSWORD, ELSEWHERE).await.is_ok());
}

#[tokio::test]
async fn failed_sign_ins_of_known_users_are_written_down_a_few_times_an_hour() {
    let fixture = Fixture::new().await;
    let (id, customer) = (fixture.administrator("ada", Role::Admin).await, fixture.customer());
    let failed = async || {
        let rows = fixture.audit(customer).await;
        let of_failures = rows.into_iter().filter(|row| row.event.action == "sign-in-failed");
        of_failures.map(|row| (row.event.object_id, row.event.after.unwrap())).collect::<Vec<_>>()
    };
    let fail = async |name: &str| assert!(is_credentials(&fixture.sign_in(name, "wrong password", ELSEWHERE).await));
    let write = async |which| fixture.management.write_failed_sign_ins(which).await.unwrap();
    let before = fixture.audit(CustomerId::SERVICE).await.len();
    for _ in 0..3 {
        fail("ada").await;
        fail("nobody").await;
    }
    assert_eq!(failed().await, [], "no write while somebody guesses");
    write(Which::Due).await;
    let rows = failed().await;
    assert_eq!((rows.len(), rows[0].0.as_str()), (1, id.to_string().as_str()));
    let told: serde_json::Value = serde_json::from_str(&rows[0].1).unwrap();
    assert_eq!((&told["count"], &told["lastSource"]), (&serde_json::json!(3), &serde_json::json!("198.51.100.1/32")));
    assert_eq!(fixture.audit(CustomerId::SERVICE).await.len(), before, "nothing about nobody");

    fixture.clock.advance(Duration::from_secs(899));
    fail("ada").await;
    write(Which::Due).await;
    assert_eq!(failed().await.len(), 1, "of late one was written");
    fixture.clock.advance(Duration::from_secs(1));
    write(Which::Due).await;
    assert_eq!(failed().await.len(), 2);
    write(Which::All).await;
    assert_eq!(failed().await.len(), 2, "nothing is written twice");
    fail("ada").await;
    write(Which::All).await;
    assert_eq!(failed().await.len(), 3, "the last ones at the end");
}

#[tokio::test]
async fn a_failure_that_cannot_be_written_down_is_kept() {
    let fixture = Fixture::new().await;
    fixture.administrator("ada", Role::Admin).await;
    let fail = async || assert!(is_credentials(&fixture.sign_in("ada", "wrong password", ELSEWHERE).await));
    fail().await;
    let other = rusqlite::Connection::open(fixture.directory.path().join("muster.db")).unwrap();
    other
        .execute_batch("CREATE TRIGGER t BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'on purpose'); END")
        .unwrap();
    assert!(fixture.management.write_failed_sign_ins(Which::Due).await.is_err());
    fail().await;
    other.execute_batch("DROP TRIGGER t").unwrap();
    fixture.management.write_failed_sign_ins(Which::Due).await.unwrap();
    let event = fixture.audit(fixture.customer()).await.pop().unwrap().event;
    assert!(event.after.unwrap().contains(r#""count":2"#));
}

#[tokio::test]
async fn nobody_gives_a_role_above_their_own_or_of_another_place() {
    let fixture = Fixture::new().await;
    let (management, customer, service) = (&fixture.management, fixture.customer(), CustomerId::SERVICE);
    let (admin, owner) = (fixture.actor(Role::Admin), fixture.owner());
    for role in [Role::Auditor, Role::Operator] {
        let actor = fixture.actor(role);
        let refused = management.create_administrator(&actor, customer, input("eve", Role::Auditor)).await;
        assert!(matches!(refused, Err(Error::Forbidden { needed: Role::Admin, .. })), "{role}");
        let refused = management.create_api_client(&actor, customer, client_input("eve", Role::Auditor)).await;
        assert!(matches!(refused, Err(Error::Forbidden { needed: Role::Admin, .. })), "{role}");
    }
    let refused = management.create_administrator(&admin, customer, input("eve", Role::Owner)).await;
    assert!(matches!(refused, Err(Error::Forbidden { needed: Role::Owner, .. })));
    let refused = management.create_api_client(&admin, customer, client_input("eve", Role::Owner)).await;
    assert!(matches!(refused, Err(Error::Forbidden { needed: Role::Owner, .. })));
    let refused = management.create_administrator(&admin, service, input("eve", Role::Owner)).await;
    assert!(matches!(refused, Err(Error::NotFound { object: Object::Customer, .. })));
    // Owners stand in customer 0, and only they.
    for (whose, role) in [(customer, Role::Owner), (service, Role::Admin)] {
        assert_eq!(faults(management.create_administrator(&owner, whose, input("eve", role)).await), [Field::Role]);
        assert_eq!(faults(management.create_api_client(&owner, whose, client_input("eve", role)).await), [Field::Role]);
    }
    for role in [Role::Auditor, Role::Operator, Role::Admin] {
        let made = management.create_administrator(&admin, customer, input(&format!("an-{role}"), role)).await.unwrap();
        let raise = AdministratorInput { role: Input::Given("owner".into()), ..AdministratorInput::default() };
        let refused = fixture.edit(&admin, made.administrator.id, raise).await;
        assert!(matches!(refused, Err(Error::Forbidden { needed: Role::Owner, .. })), "{role}");
    }
    assert!(management.create_administrator(&owner, service, input("second", Role::Owner)).await.is_ok());
}

#[tokio::test]
async fn nobody_ends_or_demotes_themselves_and_an_owner_stays() {
    let fixture = Fixture::new().await;
    let management = &fixture.management;
    let id = fixture.administrator("ada", Role::Admin).await;
    let actor = fixture.signed_in("ada").await.session.actor;
    let refused = [
        AdministratorInput { enabled: Input::Given(false), ..AdministratorInput::default() },
        AdministratorInput { role: Input::Given("operator".into()), ..AdministratorInput::default() },
        AdministratorInput { password: Input::Given(secret("another password")), ..AdministratorInput::default() },
    ];
    for change in refused {
        assert!(matches!(fixture.edit(&actor, id, change).await, Err(Error::NobodyMay { .. })));
    }
    let deleted = management.delete_administrator(&actor, actor.customer_id, id, None).await;
    assert!(matches!(deleted, Err(Error::NobodyMay { .. })));
    let renamed = AdministratorInput { username: Input::Given("ada.l".into()), ..AdministratorInput::default() };
    fixture.edit(&actor, id, renamed).await.unwrap();
    assert!(fixture.sign_in("ada.l", PASSWORD, HOME).await.is_ok());

    // An owner that is no administrator: a program.
    let program = fixture.owner();
    let only = fixture.store.find_administrator("admin").await.unwrap().unwrap().id;
    let off = AdministratorInput { enabled: Input::Given(false), ..AdministratorInput::default() };
    assert!(matches!(fixture.edit(&program, only, off.clone()).await, Err(Error::LastOwner)));
    let deleted = management.delete_administrator(&program, CustomerId::SERVICE, only, None).await;
    assert!(matches!(deleted, Err(Error::LastOwner)));
    let second = fixture.administrator("second", Role::Owner).await;
    let (one, two) = tokio::join!(fixture.edit(&program, only, off.clone()), fixture.edit(&program, second, off));
    assert!(one.is_ok() != two.is_ok(), "of two that race one stays: {one:?} {two:?}");
    assert!(matches!(one.and(two), Err(Error::LastOwner)));

    let client =
        management.create_api_client(&program, fixture.customer(), client_input("c", Role::Admin)).await.unwrap();
    let signed_in =
        management.sign_in_client(&client.credentials.client_id, &client.credentials.client_secret).await.unwrap();
    let (actor, id) = (signed_in.session.actor, client.client.id);
    for change in [
        ApiClientInput { enabled: Input::Given(false), ..ApiClientInput::default() },
        ApiClientInput { role: Input::Given("auditor".into()), ..ApiClientInput::default() },
    ] {
        let refused = management.edit_api_client(&actor, actor.customer_id, id, None, &change).await;
        assert!(matches!(refused, Err(Error::NobodyMay { .. })));
    }
    let deleted = management.delete_api_client(&actor, actor.customer_id, id, None).await;
    assert!(matches!(deleted, Err(Error::NobodyMay { .. })));
}

#[tokio::test]
async fn faults_of_an_administrator_are_told_at_once() {
    let fixture = Fixture::new().await;
    let (management, customer, admin) = (&fixture.management, fixture.customer(), fixture.actor(Role::Admin));
    let create = |input| management.create_administrator(&admin, customer, input);
    assert_eq!(faults(create(AdministratorInput::default()).await), [Field::Username, Field::Role]);
    let wrong = AdministratorInput {
        username: Input::Given("a@b".into()),
        description: Input::Given("\0".into()),
        role: Input::Given("king".into()),
        enabled: Input::Malformed("must be true or false"),
        password: Input::Given(secret("short")),
    };
    let expected = [Field::Username, Field::Description, Field::Role, Field::Enabled, Field::Password];
    assert_eq!(faults(create(wrong).await), expected);
    for (length, accepted) in
        [(11, false), (12, true), (NewPassword::BYTES_MAX, true), (NewPassword::BYTES_MAX + 1, false)]
    {
        let password = Input::Given(secret(&"p".repeat(length)));
        let made = create(AdministratorInput { password, ..input(&format!("n{length}"), Role::Auditor) }).await;
        assert_eq!(made.is_ok(), accepted, "{length}");
    }
    let own_name =
        AdministratorInput { password: Input::Given(secret("Long.Username")), ..input("long.username", Role::Auditor) };
    assert_eq!(faults(create(own_name).await), [Field::Password]);

    let generated = AdministratorInput { password: Input::Absent, ..input("ada", Role::Auditor) };
    let made = create(generated).await.unwrap();
    let password = made.password.expect("shown once");
    assert!(fixture.sign_in("ada", &password, HOME).await.is_ok());
    assert!(create(input("bob", Role::Auditor)).await.unwrap().password.is_none(), "a given one is not told");
    let twice = create(input("ADMIN", Role::Auditor)).await;
    assert!(matches!(twice, Err(Error::DuplicateName { object: Object::Administrator, .. })), "an owner has it");
}

#[tokio::test]
async fn one_changes_ones_own_password_with_the_current_one() {
    let fixture = Fixture::new().await;
    let (management, customer) = (&fixture.management, fixture.customer());
    let (ada, eve) =
        (fixture.administrator("ada", Role::Auditor).await, fixture.administrator("eve", Role::Admin).await);
    let (one, other) = (fixture.signed_in("ada").await, fixture.signed_in("ada").await);
    let change = async |actor: &Actor, id, current: &str, new: &str| {
        let change = PasswordChange { current: Input::Given(secret(current)), new: Input::Given(secret(new)) };
        management.change_password(actor, customer, id, change, HOME).await
    };
    let actor = &one.session.actor;
    let empty = management.change_password(actor, customer, ada, PasswordChange::default(), HOME).await;
    assert_eq!(faults(empty), [Field::CurrentPassword, Field::NewPassword]);
    assert_eq!(faults(change(actor, ada, PASSWORD, "short").await), [Field::NewPassword]);
    assert_eq!(faults(change(actor, ada, "wrong password", "another password").await), [Field::CurrentPassword]);
    assert!(matches!(change(actor, eve, PASSWORD, "another password").await, Err(Error::NobodyMay { .. })));
    let admin = fixture.signed_in("eve").await.session.actor;
    assert!(matches!(change(&admin, ada, PASSWORD, "another password").await, Err(Error::NobodyMay { .. })));
    assert!(fixture.is_good(&one).await && fixture.is_good(&other).await);

    change(actor, ada, PASSWORD, "another password").await.unwrap();
    assert!(!fixture.is_good(&one).await && !fixture.is_good(&other).await, "all sessions end");
    assert!(is_credentials(&fixture.sign_in("ada", PASSWORD, HOME).await));
    let again = fixture.sign_in("ada", "another password", HOME).await.unwrap();
    assert_eq!(fixture.actions(customer).await.iter().filter(|action| *action == "change-password").count(), 1);
    // A session that somebody left open is no place to guess from.
    let mut slowed = false;
    for _ in 0..6 {
        slowed |= matches!(
            change(&again.session.actor, ada, "wrong password", "yet another one").await,
            Err(Error::TooManySignIns { .. })
        );
    }
    assert!(slowed);
}

#[tokio::test]
async fn sessions_are_ones_own_or_an_admins_to_end() {
    let fixture = Fixture::new().await;
    let (management, customer) = (&fixture.management, fixture.customer());
    let (ada, eve) =
        (fixture.administrator("ada", Role::Auditor).await, fixture.administrator("eve", Role::Operator).await);
    let (one, two, of_eve) =
        (fixture.signed_in("ada").await, fixture.signed_in("ada").await, fixture.signed_in("eve").await);
    let ids = async |actor: &Actor, id| {
        let page = management.list_sessions(actor, customer, id, PageRequest::first(10)).await?;
        Ok::<_, Error>(page.rows.into_iter().map(|row| row.id).collect::<Vec<_>>())
    };
    let actor = &one.session.actor;
    let listed = ids(actor, ada).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|id| [one.session.id(), two.session.id()].contains(&id.as_str())));
    assert!(matches!(ids(actor, eve).await, Err(Error::Forbidden { needed: Role::Admin, .. })));
    let end = |actor, id, session| management.end_session(actor, customer, id, session);
    let foreign = end(&of_eve.session.actor, ada, one.session.id()).await;
    assert!(matches!(foreign, Err(Error::Forbidden { needed: Role::Admin, .. })));
    let mixed = end(actor, ada, of_eve.session.id()).await;
    assert!(matches!(mixed, Err(Error::NotFound { object: Object::Session, .. })), "another's session is none of mine");
    end(actor, ada, two.session.id()).await.unwrap();
    assert!(!fixture.is_good(&two).await && fixture.is_good(&one).await);
    assert!(matches!(end(actor, ada, two.session.id()).await, Err(Error::NotFound { .. })), "it has ended");
    let admin = fixture.actor(Role::Admin);
    end(&admin, eve, of_eve.session.id()).await.unwrap();
    assert!(!fixture.is_good(&of_eve).await);
    let stranger = Actor { customer_id: CustomerId::from_raw(4_711), ..fixture.actor(Role::Admin) };
    assert!(matches!(
        end(&stranger, ada, one.session.id()).await,
        Err(Error::NotFound { object: Object::Customer, .. })
    ));
}

#[tokio::test]
async fn all_sessions_end_but_the_one_that_is_kept() {
    let fixture = Fixture::new().await;
    let (management, customer) = (&fixture.management, fixture.customer());
    let ada = fixture.administrator("ada", Role::Auditor).await;
    fixture.administrator("eve", Role::Auditor).await;
    let [kept, one, two, of_eve] = [
        fixture.signed_in("ada").await,
        fixture.signed_in("ada").await,
        fixture.signed_in("ada").await,
        fixture.signed_in("eve").await,
    ];
    let end = |actor| management.end_other_sessions(actor, customer, ada, kept.session.id());
    assert_eq!(end(&kept.session.actor).await.unwrap(), 2);
    assert!(fixture.is_good(&kept).await && fixture.is_good(&of_eve).await);
    assert!(!fixture.is_good(&one).await && !fixture.is_good(&two).await);
    assert_eq!(end(&kept.session.actor).await.unwrap(), 0);
    let stranger =
        management.end_other_sessions(&kept.session.actor, customer, AdministratorId::from_raw(99), "").await;
    assert!(matches!(stranger, Err(Error::Forbidden { needed: Role::Admin, .. })));
}

#[tokio::test]
async fn a_missing_customer_is_not_found_by_an_owner_either() {
    let fixture = Fixture::new().await;
    for (customer, is_there) in [(fixture.customer(), true), (CustomerId::from_raw(99), false)] {
        let allowed = fixture.management.authorise(&fixture.owner(), customer, Role::Owner).await;
        assert_eq!(allowed.is_ok(), is_there);
        assert!(is_there || matches!(allowed, Err(Error::NotFound { object: Object::Customer, .. })));
    }
}

/// An owner's stand in customer 0, whichever customer it looks at.
#[tokio::test]
async fn an_owner_sees_and_ends_its_own_sessions_and_changes_its_password() {
    let fixture = Fixture::new().await;
    let (management, service) = (&fixture.management, CustomerId::SERVICE);
    let id = fixture.administrator("second", Role::Owner).await;
    let (one, two) = (fixture.signed_in("second").await, fixture.signed_in("second").await);
    let actor = &one.session.actor;
    let page = management.list_sessions(actor, service, id, PageRequest::first(10)).await.unwrap();
    assert_eq!(page.total, 2);
    management.end_session(actor, service, id, two.session.id()).await.unwrap();
    assert!(!fixture.is_good(&two).await && fixture.is_good(&one).await);
    let elsewhere = management.list_sessions(actor, fixture.customer(), id, PageRequest::first(10)).await;
    assert!(matches!(elsewhere, Err(Error::NotFound { object: Object::Administrator, .. })));

    let change =
        PasswordChange { current: Input::Given(secret(PASSWORD)), new: Input::Given(secret("another password")) };
    management.change_password(actor, service, id, change, HOME).await.unwrap();
    assert!(!fixture.is_good(&one).await);
    assert!(fixture.sign_in("second", "another password", HOME).await.is_ok());
}

#[tokio::test]
async fn row_ids_are_told_by_name_to_whoever_reaches_the_customer() {
    let fixture = Fixture::new().await;
    let (management, customer) = (&fixture.management, fixture.customer());
    let id = fixture.administrator("ada", Role::Auditor).await;
    let ada = fixture.signed_in("ada").await.session.actor;
    let owner = fixture.store.find_administrator("admin").await.unwrap().unwrap().id;
    let client = fixture.store.find_api_client(&fixture.first.client_id).await.unwrap().unwrap();
    let names = management.name_actors(&ada, customer, &[id.raw(), owner.raw(), client.id.raw(), 77]).await.unwrap();
    assert_eq!((names.len(), names[&id.raw()].as_str(), names[&owner.raw()].as_str()), (3, "ada", "admin"));
    assert_eq!(names[&client.id.raw()], client.name);
    let elsewhere = management.name_actors(&ada, CustomerId::SERVICE, &[owner.raw()]).await;
    assert!(matches!(elsewhere, Err(Error::NotFound { object: Object::Customer, .. })));
}

#[tokio::test]
async fn a_new_secret_ends_the_old_one_and_its_tokens() {
    let fixture = Fixture::new().await;
    let (management, customer, admin) = (&fixture.management, fixture.customer(), fixture.actor(Role::Admin));
    let made = management.create_api_client(&admin, customer, client_input("tf", Role::Operator)).await.unwrap();
    let (id, client_id) = (made.client.id, made.client.client_id.clone());
    let sign_in = |secret: String| {
        let client_id = client_id.clone();
        async move { management.sign_in_client(&client_id, &secret).await }
    };
    let old = made.credentials.client_secret.to_string();
    let before = sign_in(old.clone()).await.unwrap();
    assert_eq!(management.find_api_client(&admin, customer, id).await.unwrap().last_used_at, Some(NOW));

    let replaced = management.replace_secret(&admin, customer, id, None).await.unwrap();
    assert_eq!(replaced.credentials.client_id, client_id);
    assert!(!fixture.is_good(&before).await, "in the same second");
    assert!(is_credentials(&sign_in(old).await));
    let after = sign_in(replaced.credentials.client_secret.to_string()).await.unwrap();
    assert!(fixture.is_good(&after).await);
    let stale = management.replace_secret(&admin, customer, id, Some(made.client.revision)).await;
    assert!(matches!(stale, Err(Error::Outdated { .. })));

    let edit = |change: ApiClientInput| {
        let admin = &admin;
        async move {
            management.edit_api_client(admin, customer, id, None, &change).await?;
            management.find_api_client(admin, customer, id).await
        }
    };
    let enabled = |on| ApiClientInput { enabled: Input::Given(on), ..ApiClientInput::default() };
    edit(enabled(false)).await.unwrap();
    assert!(!fixture.is_good(&after).await);
    let written = fixture.audit(customer).await.len();
    edit(enabled(false)).await.unwrap();
    assert_eq!(fixture.audit(customer).await.len(), written, "nothing new, nothing written");
    edit(enabled(true)).await.unwrap();
    assert!(fixture.is_good(&after).await);

    let managing = |on, label: Option<&str>| ApiClientInput {
        managing: Input::Given(on),
        label: label.map_or(Input::Absent, |label| Input::Given(label.into())),
        ..ApiClientInput::default()
    };
    let label = |client: ApiClient| client.managing.map(|label| label.as_str().to_owned());
    assert_eq!(label(edit(managing(true, None)).await.unwrap()).as_deref(), Some("tf"), "its name, if nothing else");
    assert_eq!(label(edit(managing(true, Some("Deception"))).await.unwrap()).as_deref(), Some("Deception"));
    assert_eq!(label(edit(enabled(true)).await.unwrap()).as_deref(), Some("Deception"));
    assert_eq!(faults(edit(managing(false, Some("x"))).await), [Field::Label]);
    assert_eq!(label(edit(managing(false, None)).await.unwrap()), None);

    management.delete_api_client(&admin, customer, id, None).await.unwrap();
    assert!(!fixture.is_good(&after).await);
    assert!(matches!(management.find_api_client(&admin, customer, id).await, Err(Error::NotFound { .. })));
    assert_eq!(
        faults(management.create_api_client(&admin, customer, ApiClientInput::default()).await),
        [Field::Name, Field::Role]
    );
    let taken = management.create_api_client(&admin, customer, client_input("FIRST-START", Role::Auditor)).await;
    assert!(matches!(taken, Err(Error::DuplicateName { object: Object::ApiClient, .. })));
}

#[tokio::test]
async fn an_owner_makes_customers_and_others_see_their_own() {
    let fixture = Fixture::new().await;
    let (management, owner, admin) = (&fixture.management, fixture.owner(), fixture.actor(Role::Admin));
    let named = |name: &str| CustomerInput { name: Input::Given(name.into()), ..CustomerInput::default() };
    let first = AdministratorInput { role: Input::Absent, ..input("ada", Role::Admin) };
    let made = management.create_customer(&owner, named("Acme"), Some(first)).await.unwrap();
    let id = made.customer.id;
    let signers = fixture.store.list_signing_certificates(id, &ListQuery::first(10)).await.unwrap();
    assert_eq!(signers.total, 6);
    let ada = fixture.signed_in("ada").await.session.actor;
    assert_eq!((ada.role, ada.customer_id), (Role::Admin, id));
    assert_eq!(management.find_customer(&ada, id).await.unwrap().name.as_str(), "Acme");
    assert!(matches!(management.find_customer(&ada, fixture.customer()).await, Err(Error::NotFound { .. })));
    let actions = fixture.actions(id).await;
    assert_eq!(actions, [&["create"; 8][..], &["sign-in"]].concat(), "customer, certificates, administrator");

    for actor in [&admin, &ada] {
        let refused = management.create_customer(actor, named("Other"), None).await;
        assert!(matches!(refused, Err(Error::Forbidden { needed: Role::Owner, .. })));
        let refused = management.list_customers(actor, &ListQuery::first(10)).await;
        assert!(matches!(refused, Err(Error::Forbidden { needed: Role::Owner, .. })));
        let refused = management.edit_customer(actor, actor.customer_id, None, &named("Mine")).await;
        assert!(matches!(refused, Err(Error::Forbidden { needed: Role::Owner, .. })));
    }
    let query = ListQuery::first_where(10, CustomerField::Name, Comparison::Contains, "acm");
    assert_eq!(management.list_customers(&owner, &query).await.unwrap().rows, std::slice::from_ref(&made.customer));

    let taken = management.create_customer(&owner, named("ACME"), None).await;
    assert!(matches!(taken, Err(Error::DuplicateName { object: Object::Customer, .. })));
    let taken = management.create_customer(&owner, named("New"), Some(input("ADA", Role::Admin))).await;
    assert!(matches!(taken, Err(Error::DuplicateName { object: Object::Administrator, .. })));
    let wrong = AdministratorInput { password: Input::Given(secret("short")), ..input("bob", Role::Owner) };
    let refused = management.create_customer(&owner, CustomerInput::default(), Some(wrong)).await;
    assert_eq!(faults(refused), [Field::Name, Field::Role, Field::Password]);
    let stale = management.edit_customer(&owner, id, Some(made.customer.revision.next()), &named("Acme 2")).await;
    assert!(matches!(stale, Err(Error::Outdated { .. })));
    let revision = management.edit_customer(&owner, id, None, &named("Acme 2")).await.unwrap();
    let renamed = management.find_customer(&owner, id).await.unwrap();
    assert_eq!(revision, renamed.revision);
    assert_eq!((renamed.name.as_str(), renamed.revision.0), ("Acme 2", 2));
    let missing = management.edit_customer(&owner, CustomerId::from_raw(99), None, &named("X")).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })));
    assert!(matches!(management.find_customer(&owner, CustomerId::SERVICE).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn racing_edits_of_an_administrator_keep_each_others_changes() {
    let fixture = Fixture::new().await;
    let (customer, admin) = (fixture.customer(), fixture.actor(Role::Admin));
    let id = fixture.administrator("ada", Role::Auditor).await;
    let describe = AdministratorInput { description: Input::Given("counts".into()), ..AdministratorInput::default() };
    let promote = AdministratorInput { role: Input::Given("operator".into()), ..AdministratorInput::default() };
    let (one, two) = tokio::join!(fixture.edit(&admin, id, describe), fixture.edit(&admin, id, promote));
    assert!(one.is_ok() && two.is_ok());
    let after = fixture.management.find_administrator(&admin, customer, id).await.unwrap();
    assert_eq!((after.description.as_str(), after.role, after.revision.0), ("counts", Role::Operator, 3));
}

/// A full run, and then every event of every chain is looked at.
#[tokio::test]
async fn the_audit_log_holds_no_secret_and_is_whole() {
    let fixture = Fixture::new().await;
    let (management, customer, owner) = (&fixture.management, fixture.customer(), fixture.owner());
    let mut secrets = vec![fixture.first.password.to_string(), fixture.first.client_secret.to_string()];
    let generated = AdministratorInput { password: Input::Absent, ..input("ada", Role::Admin) };
    let ada = management.create_administrator(&owner, customer, generated).await.unwrap();
    let password = ada.password.unwrap();
    let signed_in = fixture.sign_in("ada", &password, HOME).await.unwrap();
    assert!(is_credentials(&fixture.sign_in("ada", "a wrong password", HOME).await));
    management.write_failed_sign_ins(Which::All).await.unwrap();
    let change =
        PasswordChange { current: Input::Given(password.clone()), new: Input::Given(secret("a chosen password")) };
    let (id, actor) = (ada.administrator.id, signed_in.session.actor);
    management.change_password(&actor, customer, id, change, HOME).await.unwrap();
    let reset =
        AdministratorInput { password: Input::Given(secret("a password that was reset")), ..Default::default() };
    management.edit_administrator(&owner, customer, id, None, &reset).await.unwrap();
    let client = management.create_api_client(&owner, customer, client_input("tf", Role::Operator)).await.unwrap();
    let replaced = management.replace_secret(&owner, customer, client.client.id, None).await.unwrap();
    let program =
        management.sign_in_client(&client.client.client_id, &replaced.credentials.client_secret).await.unwrap();
    let group = fixture.group(Kind::AppConnector, "HQ").await;
    let key = management
        .create_key(&program.session.actor, customer, Kind::AppConnector, key_input("k", group))
        .await
        .unwrap();
    management.delete_key(&program.session.actor, customer, Kind::AppConnector, key.key.id, None, false).await.unwrap();
    management.sign_out(&program.session).await.unwrap();
    management.delete_api_client(&owner, customer, client.client.id, None).await.unwrap();
    management.delete_administrator(&owner, customer, id, None).await.unwrap();

    secrets.extend([password.to_string(), PASSWORD.to_owned()]);
    secrets.extend(["a wrong password", "a chosen password", "a password that was reset"].map(str::to_owned));
    secrets.extend([&client, &replaced].map(|made| made.credentials.client_secret.to_string()));
    secrets.extend([signed_in.token.to_string(), program.token.to_string(), "$argon2id".to_owned()]);
    secrets.push(key.string.unwrap().expose()[40..].to_owned());
    let mut seen = std::collections::BTreeSet::new();
    for customer in [CustomerId::SERVICE, customer] {
        let mut verifier = ChainVerifier::new(&management.parts.audit_key);
        for row in fixture.audit(customer).await {
            verifier.follow(&row).unwrap();
            let told = format!("{:?}", row.event);
            for secret in &secrets {
                assert!(!told.contains(secret.as_str()), "{}", row.event.action);
            }
            seen.insert(row.event.action);
        }
    }
    let expected = [
        "change-password",
        "create",
        "delete",
        "initialize",
        "replace-secret",
        "reset-password",
        "sign-in",
        "sign-in-failed",
        "sign-out",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn the_audit_log_is_read_by_those_of_its_customer() {
    let fixture = Fixture::new().await;
    let (management, customer) = (&fixture.management, fixture.customer());
    let query = AuditQuery { conditions: vec![], page: PageRequest::first(2) };
    let auditor = fixture.actor(Role::Auditor);
    let page = management.list_audit_events(&auditor, customer, &query).await.unwrap();
    assert_eq!((page.total, page.rows[0].sequence), (8, 8));
    let exported = management.export_audit_events(&auditor, customer, 3, 2).await.unwrap();
    assert_eq!(exported.iter().map(|row| row.sequence).collect::<Vec<_>>(), [4, 5]);
    for whose in [CustomerId::SERVICE, CustomerId::from_raw(99)] {
        let listed = management.list_audit_events(&auditor, whose, &query).await;
        assert!(matches!(listed, Err(Error::NotFound { object: Object::Customer, .. })));
        let exported = management.export_audit_events(&auditor, whose, 0, 10).await;
        assert!(matches!(exported, Err(Error::NotFound { object: Object::Customer, .. })));
    }
    assert_eq!(management.list_audit_events(&fixture.owner(), CustomerId::SERVICE, &query).await.unwrap().total, 2);
}
