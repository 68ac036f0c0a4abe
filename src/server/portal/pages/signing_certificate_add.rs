//! Another signing certificate, in one of three ways: made here, imported, or with a CSR that a CA elsewhere signs.

use askama::Template;
use zeroize::Zeroizing;

use crate::ca::{BELOW_LIFETIME_DAYS_DEFAULT, CertificateDescription, KeyAlgorithm, ROOT_LIFETIME_DAYS_DEFAULT};
use crate::domain::certificate::SigningState;
use crate::domain::{Role, SigningCertificate};
use crate::id::CustomerId;
use crate::management::certificate_uploads::{SigningCertificateImport, SigningCertificateRequest};
use crate::management::sessions::Session;
use crate::management::signing_certificates::{NewSigningCertificate, SigningCertificateView};
use crate::management::{Error, Field as Subject, Input};
use crate::server::portal::form::{Control, Faults, Field, Form, Names, chosen, number, text};
use crate::server::portal::frame::{Frame, Place};
use crate::server::portal::head::PageHead;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::{Fields, Visit};
use crate::server::portal::words as say;
use crate::server::portal::{Portal, filters};
use crate::store::{Comparison, Condition, ListQuery, SigningCertificateField, Sort};

const PLACE: Place = Place::SigningCertificates;
const TITLE: &str = "Add Signing Certificate";

#[derive(Template)]
#[template(path = "signing_certificate_add.html", config = "src/server/portal/askama.toml")]
struct AddPage {
    frame: Frame,
    head: PageHead,
    /// With the summary of all faults.
    first: Form,
    ways: Vec<Way>,
    /// What all ways have and few need.
    rest: Form,
    action: String,
    button: &'static str,
    cancel: String,
}

/// One of the radios, and the fields that belong to it.
struct Way {
    value: &'static str,
    label: &'static str,
    hint: &'static str,
    is_chosen: bool,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    Make,
    Import,
    Request,
}

impl Choice {
    /// The first when nothing was chosen.
    fn read(values: &Fields) -> Self {
        match values.text("way") {
            "import" => Self::Import,
            "request" => Self::Request,
            _ => Self::Make,
        }
    }

    /// Each way has its own fields, as an element's id stands once in a page.
    const fn names(self) -> &'static Names {
        match self {
            Self::Make => &[
                (Subject::Name, "name", "Name"),
                (Subject::Description, "description", "Description"),
                (Subject::ComponentLifetimeDays, "component_lifetime", "Lifetime of what it signs"),
                (Subject::Parent, "parent", "Issued by"),
                (Subject::KeyAlgorithm, "algorithm", "Key"),
                (Subject::LifetimeDays, "lifetime", "Lifetime"),
            ],
            Self::Import => &[
                (Subject::Name, "name", "Name"),
                (Subject::Description, "description", "Description"),
                (Subject::ComponentLifetimeDays, "component_lifetime", "Lifetime of what it signs"),
                (Subject::Certificate, "certificate", "Certificate"),
                (Subject::PrivateKey, "private_key", "Private key"),
                (Subject::Chain, "chain", "Chain"),
            ],
            Self::Request => &[
                (Subject::Name, "name", "Name"),
                (Subject::Description, "description", "Description"),
                (Subject::ComponentLifetimeDays, "component_lifetime", "Lifetime of what it signs"),
                (Subject::KeyAlgorithm, "csr_algorithm", "Key"),
                (Subject::CommonName, "common_name", "Common name"),
                (Subject::Organization, "organization", "Organization"),
                (Subject::OrganizationalUnit, "unit", "Organizational unit"),
                (Subject::Country, "country", "Country"),
            ],
        }
    }
}

pub(in crate::server::portal) async fn add(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let customer = visit.customer()?;
    let management = portal.management();
    management.authorise(&session.actor, customer, Role::Admin).await?;
    let organization = if customer == CustomerId::SERVICE {
        String::new()
    } else {
        management.find_customer(&session.actor, customer).await?.name.to_string()
    };
    let values = Fields::of([("organization", &organization)]);
    Ok(Reply::ok(&page(portal, visit, session, &values, &Faults::default()).await?))
}

pub(in crate::server::portal) async fn save(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let (customer, values) = (visit.customer()?, &visit.form);
    if visit.is_shown_again {
        return Ok(Reply::ok(&page(portal, visit, session, values, &Faults::default()).await?));
    }
    let choice = Choice::read(values);
    let view = match make(portal, session, customer, choice, values).await {
        Ok(view) => view,
        Err(error) => {
            let faults = Faults::of_error(error, choice.names(), values, "signing certificate")?;
            return Ok(Reply::unprocessable(&page(portal, visit, session, values, &faults).await?));
        }
    };
    let certificate = &view.certificate;
    let sentence = match choice {
        Choice::Make => format!("was made and can sign until {}.", say::day(certificate.not_after)),
        Choice::Import => format!("was imported and can sign until {}.", say::day(certificate.not_after)),
        Choice::Request => {
            "waits for its certificate: download the CSR, and upload what your CA makes of it.".to_owned()
        }
    };
    let address = format!("{}/{}", PLACE.address(customer), certificate.id);
    Ok(Reply::see_other(address).with_notice(certificate.name.as_str(), sentence))
}

async fn make(
    portal: &Portal,
    session: &Session,
    customer: CustomerId,
    choice: Choice,
    values: &Fields,
) -> Result<SigningCertificateView, Error> {
    let (management, actor) = (portal.management(), &session.actor);
    let given = |name: &str| values.text(name);
    let (name, description) = (text(given("name")), text(given("description")));
    let component_lifetime_days = number(given("component_lifetime"));
    match choice {
        Choice::Make => {
            let new = NewSigningCertificate {
                name,
                description,
                component_lifetime_days,
                algorithm: algorithm(given("algorithm")),
                lifetime_days: number(given("lifetime")),
                parent: chosen(given("parent")),
            };
            management.create_signing_certificate(actor, customer, new).await
        }
        Choice::Import => {
            let import = SigningCertificateImport {
                name,
                description,
                component_lifetime_days,
                certificate: text(given("certificate").trim()),
                chain: text(given("chain").trim()),
                private_key: match given("private_key").trim() {
                    "" => Input::Cleared,
                    key => Input::Given(Zeroizing::new(key.to_owned())),
                },
            };
            management.import_signing_certificate(actor, customer, import).await
        }
        Choice::Request => {
            let request = SigningCertificateRequest {
                name,
                description,
                component_lifetime_days,
                algorithm: algorithm(given("csr_algorithm")),
                common_name: text(given("common_name")),
                organization: text(given("organization")),
                organizational_unit: text(given("unit")),
                country: text(given("country")),
            };
            management.request_signing_certificate(actor, customer, request).await
        }
    }
}

/// Values and labels, the default first.
const ALGORITHMS: [(KeyAlgorithm, &str, &str); 3] = [
    (KeyAlgorithm::EcdsaP256, "ecdsa-p256", "ECDSA P-256"),
    (KeyAlgorithm::EcdsaP384, "ecdsa-p384", "ECDSA P-384"),
    (KeyAlgorithm::Ed25519, "ed25519", "Ed25519"),
];

fn algorithm(given: &str) -> Input<KeyAlgorithm> {
    if given.is_empty() {
        return Input::Absent;
    }
    let found = ALGORITHMS.into_iter().find(|(_, value, _)| *value == given);
    found.map_or(Input::Malformed("is none of those offered"), |(algorithm, ..)| Input::Given(algorithm))
}

async fn page(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
    values: &Fields,
    faults: &Faults,
) -> Result<AddPage, Trouble> {
    let customer = visit.customer()?;
    let parents = parents(portal, session, customer).await?;
    let choice = Choice::read(values);
    let mut head = PageHead::below_place(customer, PLACE, TITLE);
    "Before it is stored it signs a trial certificate of each kind, which another verifier checks."
        .clone_into(&mut head.lead);
    let first = Form::new(vec![Field::text("name", "Name", values)]).with_faults(faults);
    let rest = Form::default().with_more("Description, lifetime of what it signs", settings(values));
    // The summary stands on top, once.
    let rest = Form { faults: Vec::new(), ..rest.with_faults(faults) };
    let way = |of: Choice, value, label, hint, fields| Way {
        value,
        label,
        hint,
        is_chosen: of == choice,
        form: Form::new(fields).with_faults(faults),
    };
    let ways = vec![
        way(
            Choice::Make,
            "make",
            "Make it here",
            "Key and certificate are made by Muster: a root, or below one of yours.",
            fields_of_making(values, parents),
        ),
        way(
            Choice::Import,
            "import",
            "Import certificate and private key",
            "From a CA of yours. The private key is sealed and never comes out again.",
            fields_of_import(values),
        ),
        way(
            Choice::Request,
            "request",
            "Have a CSR signed by your CA",
            "The key is made and stays here. Download the CSR next, and upload the certificate that your CA makes of it.",
            fields_of_request(values),
        ),
    ];
    Ok(AddPage {
        frame: Frame::around(portal, visit, session, customer, PLACE, TITLE).await?,
        head,
        first,
        ways,
        rest,
        action: format!("{}/add", PLACE.address(customer)),
        button: TITLE,
        cancel: PLACE.address(customer),
    })
}

/// What every signing certificate has, however it came.
fn settings(values: &Fields) -> Vec<Field> {
    vec![
        Field::text("description", "Description", values).optional(),
        Field::number("component_lifetime", "Days that what it signs is valid for", values)
            .hint("1 to 3,650; the service’s default when empty.")
            .optional(),
    ]
}

fn algorithm_field(name: &'static str, values: &Fields) -> Field {
    let options = ALGORITHMS.map(|(_, value, label)| (value.to_owned(), label.to_owned()));
    Field::select(name, "Key", values, options)
}

fn fields_of_making(values: &Fields, parents: Vec<(String, String)>) -> Vec<Field> {
    let nobody = (String::new(), "Itself: a new root".to_owned());
    vec![
        Field::select("parent", "Issued by", values, std::iter::once(nobody).chain(parents))
            .hint("Devices trust the root. Below one that they know already, nothing has to be told to them."),
        algorithm_field("algorithm", values),
        Field::number("lifetime", "Days that it is valid for", values)
            .hint(format!(
                "1 to 18,250; {} for a root and {} below another when empty. It never outlives the one above it.",
                say::number(ROOT_LIFETIME_DAYS_DEFAULT),
                say::number(BELOW_LIFETIME_DAYS_DEFAULT),
            ))
            .optional(),
    ]
}

fn fields_of_import(values: &Fields) -> Vec<Field> {
    vec![
        Field::code("certificate", "Certificate", values, 8)
            .hint("PEM of the CA certificate; its issuers may follow it."),
        Field::secret_area("private_key", "Private key")
            .hint("PEM, unencrypted: PKCS#8, SEC 1 or PKCS#1. It is not shown again, not even after a mistake."),
        Field::code("chain", "Chain", values, 6)
            .hint("PEM of the issuers up to the root, where they do not follow the certificate.")
            .optional(),
    ]
}

fn fields_of_request(values: &Fields) -> Vec<Field> {
    vec![
        Field::text("common_name", "Common name", values).hint("Of the subject; the name above when empty.").optional(),
        Field::text("organization", "Organization", values).optional(),
        Field::text("unit", "Organizational unit", values).optional(),
        Field::text("country", "Country", values).hint("Two capital letters: DE.").optional(),
        algorithm_field("csr_algorithm", values),
    ]
}

/// Those that others can be made below, as far as lists know.
async fn parents(portal: &Portal, session: &Session, customer: CustomerId) -> Result<Vec<(String, String)>, Error> {
    let usable = Condition::new(SigningCertificateField::State, Comparison::Equals, SigningState::Active.as_str());
    let query = ListQuery {
        conditions: vec![usable],
        sort: Some(Sort { field: SigningCertificateField::Name, descending: false }),
        offset: 0,
        limit: ListQuery::<SigningCertificateField>::LIMIT_MAX,
    };
    let page = portal.management().list_signing_certificates(&session.actor, customer, &query).await?;
    let rows = page.rows.into_iter().map(|view| view.certificate).filter(may_stand_above);
    Ok(rows.map(|row| (row.id.to_string(), row.name.to_string())).collect())
}

/// As its own certificate says; the use case asks the whole chain.
fn may_stand_above(row: &SigningCertificate) -> bool {
    let description = row.certificate.as_deref().and_then(CertificateDescription::read);
    let authority = description.and_then(|description| description.authority);
    authority.is_some_and(|authority| authority.path_length != Some(0))
}
