//! A client that behaves as terraform-provider-zpa does: it keeps a state, reads it back after every change,
//! and plans by comparing it with the configuration, attribute by attribute.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::go::{AppConnectorGroup, Named, NotFound, ProvisioningKey, Sdk, ServiceEdgeGroup, SignIn};
use crate::support::tools::python;
use crate::support::{Device, Service};

/// How Terraform treats an attribute that the configuration does not have.
enum Mode {
    /// Read-only, or optional: whatever the service says is right.
    Computed,
    /// It must be this value, whoever set another.
    Default(Value),
    /// It must be empty (`""`, `false`).
    Optional,
    Required,
}

/// The attributes of a resource by the members that they travel in.
type Schema = Vec<(&'static str, Mode)>;

/// What stands in the configuration; members of other names are a mistake of the test.
type Configuration = Map<String, Value>;

/// A resource type of the provider, with the struct it is sent as.
trait Resource {
    type Body: Serialize + DeserializeOwned;

    fn schema() -> Schema;

    /// Where it is made and listed.
    fn path(&self) -> String;

    /// What the provider looks up before it makes one.
    async fn complete(&self, sdk: &mut Sdk<'_>, planned: &mut Configuration);

    async fn read(&self, sdk: &mut Sdk<'_>, id: &str) -> Result<Self::Body, NotFound> {
        sdk.get(&format!("{}/{id}", self.path())).await
    }

    /// What the provider does before it deletes one.
    async fn before_delete(&self, _sdk: &mut Sdk<'_>) {}
}

struct Key(&'static str);

impl Resource for Key {
    type Body = ProvisioningKey;

    fn schema() -> Schema {
        vec![
            ("appConnectorGroupId", Mode::Optional),
            ("appConnectorGroupName", Mode::Computed),
            ("enabled", Mode::Default(json!(true))),
            ("maxUsage", Mode::Required),
            ("name", Mode::Required),
            ("enrollmentCertId", Mode::Required),
            ("enrollmentCertName", Mode::Computed),
            ("uiConfig", Mode::Optional),
            ("usageCount", Mode::Computed),
            ("zcomponentId", Mode::Required),
            ("zcomponentName", Mode::Computed),
            ("provisioningKey", Mode::Computed),
            ("ipAcl", Mode::Optional),
            ("microtenantId", Mode::Computed),
        ]
    }

    fn path(&self) -> String {
        format!("associationType/{}/provisioningKey", self.0)
    }

    async fn complete(&self, _sdk: &mut Sdk<'_>, _planned: &mut Configuration) {}
}

struct ConnectorGroup;

impl Resource for ConnectorGroup {
    type Body = AppConnectorGroup;

    fn schema() -> Schema {
        let mut schema = group_schema();
        schema.extend([
            ("countryCode", Mode::Optional),
            ("dnsQueryType", Mode::Default(json!("IPV4_IPV6"))),
            ("lssAppConnectorGroup", Mode::Optional),
            ("overrideVersionProfile", Mode::Computed),
            ("praEnabled", Mode::Computed),
            ("tcpQuickAckApp", Mode::Computed),
            ("tcpQuickAckAssistant", Mode::Computed),
            ("tcpQuickAckReadAssistant", Mode::Computed),
            ("wafDisabled", Mode::Computed),
        ]);
        schema
    }

    fn path(&self) -> String {
        "appConnectorGroup".to_owned()
    }

    async fn complete(&self, sdk: &mut Sdk<'_>, planned: &mut Configuration) {
        look_up(sdk, "Connector", planned).await;
    }

    /// The whole list, for the sake of one member that the vendor gets wrong elsewhere.
    async fn read(&self, sdk: &mut Sdk<'_>, id: &str) -> Result<AppConnectorGroup, NotFound> {
        let all: Vec<AppConnectorGroup> = sdk.list("appConnectorGroup", None).await;
        all.into_iter().find(|group| group.id == id).ok_or(NotFound)
    }

    /// Detaches it from the rules of the access policy. Where there is no policy, there is nothing to do.
    async fn before_delete(&self, sdk: &mut Sdk<'_>) {
        let policy: Result<Named, NotFound> = sdk.get("policySet/policyType/ACCESS_POLICY").await;
        assert!(policy.is_err(), "with a policy set it would go on to its rules");
    }
}

struct EdgeGroup;

impl Resource for EdgeGroup {
    type Body = ServiceEdgeGroup;

    fn schema() -> Schema {
        let mut schema = group_schema();
        schema.extend([
            ("city", Mode::Optional),
            ("countryCode", Mode::Computed),
            ("exclusiveForBusinessContinuity", Mode::Optional),
            ("graceDistanceEnabled", Mode::Computed),
            ("graceDistanceValue", Mode::Computed),
            ("graceDistanceValueUnit", Mode::Computed),
            // A flag to Terraform, a word on the wire.
            ("isPublic", Mode::Default(json!("FALSE"))),
            ("overrideVersionProfile", Mode::Default(json!(true))),
            ("serviceEdges", Mode::Computed),
            ("trustedNetworks", Mode::Optional),
        ]);
        schema
    }

    fn path(&self) -> String {
        "serviceEdgeGroup".to_owned()
    }

    async fn complete(&self, sdk: &mut Sdk<'_>, planned: &mut Configuration) {
        look_up(sdk, "Service Edge", planned).await;
    }
}

fn group_schema() -> Schema {
    vec![
        ("name", Mode::Required),
        ("cityCountry", Mode::Optional),
        ("description", Mode::Optional),
        ("enabled", Mode::Default(json!(true))),
        ("latitude", Mode::Required),
        ("location", Mode::Required),
        ("longitude", Mode::Required),
        ("upgradeDay", Mode::Default(json!("SUNDAY"))),
        ("upgradeTimeInSecs", Mode::Default(json!("66600"))),
        ("useInDrMode", Mode::Computed),
        ("versionProfileId", Mode::Computed),
        ("versionProfileName", Mode::Computed),
        ("microtenantId", Mode::Computed),
        ("enrollmentCertId", Mode::Computed),
    ]
}

/// Ids for what the configuration names: the signing certificate always, the version profile if it does.
async fn look_up(sdk: &mut Sdk<'_>, certificate: &str, planned: &mut Configuration) {
    let profile = planned.get("versionProfileName").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (member, path, name) in [
        ("enrollmentCertId", "v2 enrollmentCert", certificate),
        ("versionProfileId", "visible/versionProfiles", profile.as_str()),
    ] {
        let is_set = planned.get(member).and_then(Value::as_str).is_some_and(|id| !id.is_empty());
        if is_set && member == "enrollmentCertId" || name.is_empty() {
            continue;
        }
        let found: Vec<Named> = sdk.list(path, Some(name)).await;
        let found = found.into_iter().find(|row| row.name.eq_ignore_ascii_case(name));
        planned.insert(member.to_owned(), json!(found.unwrap_or_else(|| panic!("no {name} in {path}")).id));
    }
}

/// One resource in the state file, and the configuration that it comes from.
struct Managed<R: Resource> {
    resource: R,
    configuration: Configuration,
    id: String,
    state: Configuration,
}

impl<R: Resource> Managed<R> {
    /// Apply, for a resource that is not in the state.
    async fn create(sdk: &mut Sdk<'_>, resource: R, configuration: Value) -> Self {
        let Value::Object(configuration) = configuration else { panic!("an object") };
        let mut planned = planned::<R>(&configuration, &Map::new());
        resource.complete(sdk, &mut planned).await;
        let made = sdk.create(&resource.path(), &body::<R>(&planned)).await;
        let id = to_state(&made)["id"].as_str().expect("an id").to_owned();
        let mut managed = Self { resource, configuration, id, state: Map::new() };
        managed.refresh(sdk).await;
        managed.assert_clean("after it was made");
        managed
    }

    /// What every plan begins with.
    async fn refresh(&mut self, sdk: &mut Sdk<'_>) {
        let Ok(read) = self.resource.read(sdk, &self.id).await else { panic!("{} is gone", self.id) };
        self.state = to_state(&read);
    }

    /// Plan and apply with `changes` to the configuration (`null` takes an attribute out of it), then plan
    /// again. A change that changes nothing sends nothing.
    async fn apply(&mut self, sdk: &mut Sdk<'_>, changes: Value) {
        let Value::Object(changes) = changes else { panic!("an object") };
        self.refresh(sdk).await;
        for (name, value) in &changes {
            match value {
                Value::Null => self.configuration.remove(name),
                value => self.configuration.insert(name.clone(), value.clone()),
            };
        }
        assert!(!self.differences().is_empty(), "{changes:?} is no change");
        let mut planned = planned::<R>(&self.configuration, &self.state);
        planned.insert("id".to_owned(), json!(self.id));
        self.resource.complete(sdk, &mut planned).await;
        let path = format!("{}/{}", self.resource.path(), self.id);
        let _: R::Body = sdk.get(&path).await.unwrap_or_else(|NotFound| panic!("{path} is gone"));
        sdk.update(&path, &body::<R>(&planned)).await;
        self.refresh(sdk).await;
        self.assert_clean(&format!("after {changes:?}"));
    }

    async fn destroy(self, sdk: &mut Sdk<'_>) {
        self.resource.before_delete(sdk).await;
        sdk.delete(&format!("{}/{}", self.resource.path(), self.id)).await;
        assert!(self.resource.read(sdk, &self.id).await.is_err(), "it is gone from the state");
    }

    fn assert_clean(&self, when: &str) {
        assert_eq!(self.differences(), BTreeMap::new(), "{}: {when}, what is and what should be", self.id);
    }

    /// What an apply would change: what is, and what should be.
    fn differences(&self) -> BTreeMap<&'static str, (Value, Value)> {
        let mut differences = BTreeMap::new();
        for (name, mode) in R::schema() {
            let wanted = match (self.configuration.get(name), mode) {
                (Some(value), _) => value.clone(),
                (None, Mode::Computed) => continue,
                (None, Mode::Default(value)) => value,
                (None, Mode::Optional) => Value::Null,
                (None, Mode::Required) => panic!("{name} is required"),
            };
            let found = self.state.get(name).cloned().unwrap_or_default();
            if !is_same(&found, &wanted) {
                differences.insert(name, (found, wanted));
            }
        }
        differences
    }

    fn text(&self, name: &str) -> &str {
        self.state[name].as_str().expect("a string")
    }
}

/// What is sent: the configuration, then defaults, then what the state knows.
fn planned<R: Resource>(configuration: &Configuration, state: &Configuration) -> Configuration {
    let schema = R::schema();
    let unknown = configuration.keys().find(|name| !schema.iter().any(|(known, _)| known == name));
    assert_eq!(unknown, None, "the provider has no such attribute");
    let value = |name: &str, mode: Mode| match (configuration.get(name), mode) {
        (Some(value), _) => Some(value.clone()),
        (None, Mode::Computed) => state.get(name).cloned(),
        (None, Mode::Default(value)) => Some(value),
        (None, Mode::Optional | Mode::Required) => None,
    };
    schema.into_iter().filter_map(|(name, mode)| Some((name.to_owned(), value(name, mode)?))).collect()
}

fn body<R: Resource>(planned: &Configuration) -> R::Body {
    serde_json::from_value(Value::Object(planned.clone())).expect("attributes have the types of their members")
}

fn to_state(body: &impl Serialize) -> Configuration {
    let Ok(Value::Object(members)) = serde_json::to_value(body) else { panic!("a struct is an object") };
    members
}

/// Nothing, empty and false are one and the same; lists are sets.
fn is_same(one: &Value, other: &Value) -> bool {
    let is_zero =
        |value: &Value| matches!(value, Value::Null | Value::Bool(false)) || value == "" || value == &json!([]);
    match (one.as_array(), other.as_array()) {
        (Some(one), Some(other)) => {
            let set = |list: &[Value]| list.iter().map(Value::to_string).collect::<BTreeSet<_>>();
            set(one) == set(other)
        }
        _ => one == other || is_zero(one) && is_zero(other),
    }
}

async fn code(service: &Service, key: &str, device: &str) -> String {
    let answer = Device::new(device).enroll(&service.endpoint(), key).await;
    if answer.status == 200 { answer.text("outcome") } else { answer.code() }
}

/// From the first apply to the destroy, as one directory of Terraform files lives.
async fn life(sign_in: SignIn) {
    let service = Service::start();
    let mut sdk = Sdk::new(&service, sign_in);
    let place = json!({ "latitude": "37.33874", "longitude": "-121.8852525", "location": "San Jose, CA, USA" });
    let with = |more: Value| {
        let mut configuration = place.clone();
        configuration.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        configuration
    };
    let hq = json!({ "name": "HQ", "description": "d", "countryCode": "US", "cityCountry": "San Jose, US" });
    let mut hq = Managed::create(&mut sdk, ConnectorGroup, with(hq)).await;
    let edges = json!({ "name": "Edges", "city": "San Jose", "overrideVersionProfile": true,
        "versionProfileName": "New Release" });
    let mut edges = Managed::create(&mut sdk, EdgeGroup, with(edges)).await;
    assert_eq!((edges.text("versionProfileId"), edges.text("isPublic")), ("2", "FALSE"));

    let certificate = hq.text("enrollmentCertId").to_owned();
    let configuration = json!({ "name": "k", "maxUsage": "2", "enrollmentCertId": certificate, "zcomponentId": hq.id,
        "ipAcl": ["192.0.2.0/24", "127.0.0.1"] });
    let mut key = Managed::create(&mut sdk, Key("CONNECTOR_GRP"), configuration).await;
    let string = key.text("provisioningKey").to_owned();
    let certificate = edges.text("enrollmentCertId").to_owned();
    let configuration = json!({ "name": "k", "maxUsage": "1", "enrollmentCertId": certificate, "zcomponentId": edges.id,
        "enabled": false });
    let mut edge_key = Managed::create(&mut sdk, Key("SERVICE_EDGE_GRP"), configuration).await;
    assert_eq!(code(&service, edge_key.text("provisioningKey"), "e").await, "key-disabled", "also when it is made");
    assert_eq!(sdk.assert_calm(), 1);

    // Another run of Terraform. Devices came meanwhile.
    assert_eq!(code(&service, &string, "first").await, "enrolled");
    let mut sdk = Sdk::new(&service, sign_in);
    key.refresh(&mut sdk).await;
    key.assert_clean("after an enrollment");
    key.apply(&mut sdk, json!({ "maxUsage": "3", "name": "k two" })).await;
    // It sends the count that it read before: nobody's use is taken back.
    let stale = key.state.clone();
    assert_eq!(code(&service, &string, "second").await, "enrolled");
    let path = format!("{}/{}", key.resource.path(), key.id);
    sdk.update(&path, &body::<Key>(&stale)).await;
    key.refresh(&mut sdk).await;
    assert_eq!((key.text("usageCount"), key.text("maxUsage")), ("2", "3"));
    assert_eq!(key.text("provisioningKey"), string);

    key.apply(&mut sdk, json!({ "enabled": false })).await;
    assert_eq!(code(&service, &string, "third").await, "key-disabled");
    key.apply(&mut sdk, json!({ "ipAcl": null })).await;
    assert_eq!(code(&service, &string, "third").await, "key-disabled", "the other change left it as it was");
    key.apply(&mut sdk, json!({ "enabled": true, "ipAcl": ["192.0.2.0/24"] })).await;
    assert_eq!(code(&service, &string, "third").await, "address-not-allowed");
    key.apply(&mut sdk, json!({ "ipAcl": null })).await;
    assert_eq!(code(&service, &string, "third").await, "enrolled");
    edge_key.apply(&mut sdk, json!({ "enabled": true, "maxUsage": "4" })).await;

    hq.apply(
        &mut sdk,
        json!({ "enabled": false, "description": "e", "tcpQuickAckApp": true,
        "tcpQuickAckAssistant": true, "tcpQuickAckReadAssistant": true }),
    )
    .await;
    assert_eq!(code(&service, &string, "fourth").await, "group-disabled");
    hq.apply(&mut sdk, json!({ "enabled": true, "cityCountry": null, "upgradeDay": "MONDAY" })).await;
    hq.apply(
        &mut sdk,
        json!({ "upgradeDay": null, "overrideVersionProfile": true, "versionProfileName": "Previous Default" }),
    )
    .await;
    edges.apply(&mut sdk, json!({ "isPublic": "TRUE", "latitude": "48", "versionProfileName": "Default" })).await;
    assert_eq!(sdk.assert_calm(), 1);

    // A run that finds everything in order changes nothing.
    let mut sdk = Sdk::new(&service, sign_in);
    for _ in 0..2 {
        hq.refresh(&mut sdk).await;
        hq.assert_clean("at rest");
        edges.refresh(&mut sdk).await;
        edges.assert_clean("at rest");
        edge_key.refresh(&mut sdk).await;
        edge_key.assert_clean("at rest");
    }
    edge_key.destroy(&mut sdk).await;
    edges.destroy(&mut sdk).await;
    key.destroy(&mut sdk).await;
    // The first group has components by now, which only their deletion would free.
    let spare = Managed::create(&mut sdk, ConnectorGroup, with(json!({ "name": "Spare" }))).await;
    spare.destroy(&mut sdk).await;
    assert_eq!(sdk.assert_calm(), 1);
    service.assert_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terraform_directory_lives_without_differences_with_the_legacy_sign_in() {
    life(SignIn::Legacy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terraform_directory_lives_without_differences_with_the_oneapi_sign_in() {
    life(SignIn::OneApi).await;
}

/// Go does not know where an id belongs and asks everywhere, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn terraform_imports_a_key_by_id_and_by_name() {
    let service = Service::start();
    service.create_group("network-connector", "N");
    service.create_key("network-connector", "N", "Odd Key", &[]);
    let id = service.key("network-connector", "Odd Key")["id"].as_str().expect("an id").to_owned();
    for sign_in in [SignIn::Legacy, SignIn::OneApi] {
        let mut sdk = Sdk::new(&service, sign_in);
        let mut found = Vec::new();
        for association in ["CONNECTOR_GRP", "SERVICE_EDGE_GRP", "NP_ASSISTANT_GRP"] {
            let keys = Key(association).path();
            let by_id: Result<ProvisioningKey, _> = sdk.get(&format!("{keys}/{id}")).await;
            let by_name: Vec<ProvisioningKey> = sdk.list(&keys, Some("odd KEY")).await;
            assert_eq!(by_id.is_ok(), by_name.iter().any(|key| key.id == id), "{association}");
            found.extend(by_id.ok().map(|key| (association, key.name)));
        }
        assert_eq!(found, [("NP_ASSISTANT_GRP", "Odd Key".to_owned())]);
        assert_eq!(sdk.assert_calm(), 1);
    }
}

/// The directory that ships as an example, as a parser of Terraform's language that is not ours reads it.
fn example() -> Value {
    let script = "import hcl2, json, sys; print(json.dumps(hcl2.load(open(sys.argv[1]))))";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/terraform/main.tf");
    let output = Command::new(python("packaging")).args(["-c", script, file]).output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What stands in one block, under the names of the API. Texts come in their quotes.
fn block(example: &Value, of: &str, kind: &str, name: &str) -> Configuration {
    let blocks = example[of].as_array().expect("blocks").iter();
    let block = blocks.map(|block| &block[format!("{kind:?}")][format!("{name:?}")]).find(|block| block.is_object());
    let attributes = block.unwrap_or_else(|| panic!("no {kind} {name}")).as_object().expect("attributes");
    let attributes = attributes.iter().filter(|(name, _)| !name.starts_with("__"));
    let plain = attributes.map(|(name, value)| {
        let value = match value.as_str() {
            Some(text) => json!(text.trim_matches('"')),
            None => value.clone(),
        };
        (camel_case(name), value)
    });
    plain.collect()
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| text + &word[..1].to_uppercase() + &word[1..])
}

/// What the shipped example describes is made, planned again without differences, and enrolls a connector.
#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_example_is_applied() {
    let service = Service::start();
    let mut sdk = Sdk::new(&service, SignIn::Legacy);
    let example = example();
    let certificate = block(&example, "data", "zpa_enrollment_cert", "connector");
    let name = certificate["name"].as_str().expect("a name").to_owned();
    let found: Vec<Named> = sdk.list("v2 enrollmentCert", Some(&name)).await;
    let certificate = found.into_iter().find(|row| row.name == name).expect("a signing certificate of that name");

    let group = block(&example, "resource", "zpa_app_connector_group", "headquarters");
    let mut group = Managed::create(&mut sdk, ConnectorGroup, Value::Object(group)).await;
    let mut key = block(&example, "resource", "zpa_provisioning_key", "headquarters");
    assert_eq!(key.remove("associationType"), Some(json!("CONNECTOR_GRP")));
    for (attribute, reference, id) in [
        ("enrollmentCertId", "${data.zpa_enrollment_cert.connector.id}", &certificate.id),
        ("zcomponentId", "${zpa_app_connector_group.headquarters.id}", &group.id),
    ] {
        assert_eq!(key.insert(attribute.to_owned(), json!(id)), Some(json!(reference)));
    }
    let key = Managed::create(&mut sdk, Key("CONNECTOR_GRP"), Value::Object(key)).await;
    group.refresh(&mut sdk).await;
    group.assert_clean("after its key was made");

    let user_data = example["output"][0]["\"user_data\""]["value"].as_str().expect("an expression");
    assert!(user_data.contains("../cloud-init/connector.yaml"), "{user_data}");
    assert!(user_data.contains("zpa_provisioning_key.headquarters.provisioning_key"), "{user_data}");
    assert_eq!(code(&service, key.text("provisioningKey"), "connector").await, "enrolled");
    // The group stays, as Terraform would be told: it has a component now.
    key.destroy(&mut sdk).await;
}
