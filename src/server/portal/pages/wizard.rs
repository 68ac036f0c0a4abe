//! "Add … Provisioning Key": five steps from a signing certificate to a key on a device.
//!
//! What was answered travels in the form's own fields, so Back and the steps at the side lose nothing, and nothing is
//! stored before *Save*, which makes the key, or group and key, in one transaction. Going forward checks the steps
//! that are left behind; *Save* checks all of them. What was saved is shown again when the answer to *Save* is
//! loaded again: a random text in the form makes it one request.

mod answers;
mod ask;
mod finish;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use self::answers::{Answers, CERTIFICATE, FOR, GROUP, GROUP_NAME, GROUP_NAMES, KEY_NAMES, NAME, NONCE, ON, Step};
use crate::domain::Kind;
use crate::domain::{Group, KeySecret, Name, ProvisioningKey, Role, SigningCertificate};
use crate::id::{CustomerId, GroupId, ProvisioningKeyId, SigningCertificateId};
use crate::management::keys::KeyView;
use crate::management::keys::with_group::KeyWithGroup;
use crate::management::once::{Outcome, Repeatable, Repeated, Request};
use crate::management::sessions::Session;
use crate::management::{Error, Object};
use crate::secret::random_bytes;
use crate::server::portal::Portal;
use crate::server::portal::form::{Faults, name_taken};
use crate::server::portal::frame::Place;
use crate::server::portal::kinds::words;
use crate::server::portal::reply::{Reply, Trouble};
use crate::server::portal::visit::Visit;
use crate::server::portal::window::RailStep;
use crate::server::portal::words as say;
use crate::store::{GroupField, ListQuery, SigningCertificateField, Sort};

pub(super) use self::answers::COMPONENT;
pub(super) use self::ask::chooser;
pub(super) use self::finish::Way;

/// Most entries of a drop-down.
pub(super) const OFFERED_MAX: u32 = ListQuery::<GroupField>::LIMIT_MAX;

/// One visit to the wizard.
struct Wizard<'a> {
    portal: &'a Portal,
    visit: &'a Visit,
    session: &'a Session,
    customer: CustomerId,
    kind: Kind,
    /// By name.
    certificates: Vec<SigningCertificate>,
    answers: Answers,
}

/// The first step.
pub(in crate::server::portal) async fn start(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let mut wizard = Wizard::new(portal, visit, session).await?;
    wizard.answers = wizard.first_answers().await?;
    wizard.show(Step::Certificate, &Faults::default()).await
}

/// From one step to another, and *Save*.
pub(in crate::server::portal) async fn go_on(
    portal: &Portal,
    visit: &Visit,
    session: &Session,
) -> Result<Reply, Trouble> {
    let mut wizard = Wizard::new(portal, visit, session).await?;
    let (form, nothing) = (&visit.form, Faults::default());
    let here = Step::of_value(form.text("step")).filter(|step| *step != Step::Details).unwrap_or(Step::Certificate);
    if visit.is_shown_again {
        return wizard.show(here, &nothing).await;
    }
    let go = form.text("go");
    if let Some(field) = go.strip_prefix("clear-") {
        wizard.answers = wizard.answers.without(field);
        return wizard.show(here, &nothing).await;
    }
    match Step::of_value(go).unwrap_or(here.next()) {
        Step::Details => wizard.save().await,
        wanted if wanted <= here => wizard.show(wanted, &nothing).await,
        wanted => {
            let mut faults = wizard.faults().await?;
            faults.0.retain(|(name, _)| Step::of_field(name) < wanted);
            if faults.is_empty() { wizard.show(wanted, &nothing).await } else { wizard.refuse(&faults).await }
        }
    }
}

impl<'a> Wizard<'a> {
    /// With the answers that were sent.
    async fn new(portal: &'a Portal, visit: &'a Visit, session: &'a Session) -> Result<Self, Trouble> {
        let (customer, kind) = (visit.customer()?, visit.kind());
        portal.management().authorise(&session.actor, customer, Role::Operator).await?;
        let sort = Some(Sort { field: SigningCertificateField::Name, descending: false });
        let query = ListQuery { sort, ..ListQuery::first(OFFERED_MAX) };
        let certificates = portal.management().list_signing_certificates(&session.actor, customer, &query).await?.rows;
        let certificates = certificates.into_iter().map(|view| view.certificate).collect();
        let answers = Answers::of_form(&visit.form);
        Ok(Self { portal, visit, session, customer, kind, certificates, answers })
    }

    /// Of somebody who comes to make a key, of a certain group perhaps.
    async fn first_answers(&self) -> Result<Answers, Trouble> {
        let query = &self.visit.query;
        let group = match query.text(GROUP).parse().ok() {
            Some(id) => self.group(id).await?,
            None => None,
        };
        let certificate = match &group {
            Some(group) => self.certificate(group.signing_certificate_id),
            None => self.default_certificate(),
        };
        let certificate = certificate.filter(|certificate| certificate.is_usable(self.portal.now()));
        let purpose = Some(query.text(FOR)).filter(|purpose| *purpose == COMPONENT).unwrap_or_default();
        let on = || ON.to_owned();
        Ok(Answers::of_pairs([
            (FOR, purpose.to_owned()),
            (NONCE, URL_SAFE_NO_PAD.encode(*random_bytes::<16>())),
            (CERTIFICATE, certificate.map_or_else(String::new, |certificate| certificate.id.to_string())),
            (GROUP, group.map_or_else(String::new, |group| group.id.to_string())),
            ("group-enabled", on()),
            ("view", on()),
            ("enabled", on()),
        ]))
    }

    /// The kind's default, whether it can sign or not.
    fn default_certificate(&self) -> Option<&SigningCertificate> {
        let name = self.kind.default_signing_certificate();
        self.certificates.iter().find(|certificate| certificate.name.as_str().eq_ignore_ascii_case(name))
    }

    fn certificate(&self, id: SigningCertificateId) -> Option<&SigningCertificate> {
        self.certificates.iter().find(|certificate| certificate.id == id)
    }

    /// The one that was chosen, if it is there.
    fn chosen_certificate(&self) -> Option<&SigningCertificate> {
        self.certificate(self.answers.text(CERTIFICATE).parse().ok()?)
    }

    /// `None`: there is none of this kind.
    async fn group(&self, id: GroupId) -> Result<Option<Group>, Trouble> {
        match self.portal.management().find_group(&self.session.actor, self.customer, self.kind, id).await {
            Ok(view) => Ok(Some(view.group)),
            Err(Error::NotFound { object: Object::Group, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The one that was selected, if it is there.
    async fn selected_group(&self) -> Result<Option<Group>, Trouble> {
        match self.answers.text(GROUP).parse().ok() {
            Some(id) => self.group(id).await,
            None => Ok(None),
        }
    }

    /// All that *Save* would refuse now, the first step first.
    async fn faults(&self) -> Result<Faults, Trouble> {
        let (management, actor) = (self.portal.management(), &self.session.actor);
        let (answers, customer, kind) = (&self.answers, self.customer, self.kind);
        let checked = if answers.creates_group() {
            management.check_key_in_new_group(actor, customer, kind, answers.group(), answers.key()).await
        } else {
            management.check_key_input(actor, customer, kind, answers.key()).await
        };
        let mut faults = match checked {
            Ok(()) => Faults::default(),
            Err(error) => self.faults_of(error)?,
        };
        // A key without one would get its group's default, which nobody has seen here.
        if !answers.is_on(CERTIFICATE) {
            faults.0.retain(|(name, _)| *name != CERTIFICATE);
            faults.0.push((CERTIFICATE, self.certificate_fault()));
        }
        faults.0.sort_by_key(|(name, _)| Step::of_field(name));
        Ok(faults)
    }

    /// # Errors
    /// [`Trouble::UseCase`]: nothing that other answers would help.
    fn faults_of(&self, error: Error) -> Result<Faults, Trouble> {
        let values = &self.answers.0;
        let object = words(self.kind);
        let of_name = |field: &str| match field {
            GROUP_NAME => name_taken(object.group, values.text(GROUP_NAME)),
            _ => name_taken(&format!("{} key", object.component), values.text(NAME)),
        };
        let faults = match &error {
            Error::InvalidWithGroup { group, key } => {
                let group = group.as_ref().map(|errors| Faults::of_fields(errors, GROUP_NAMES, values));
                let key = key.as_ref().map(|errors| Faults::of_fields(errors, KEY_NAMES, values));
                // Of its certificate, which the group shares with the key, the key's faults tell.
                let group = group.into_iter().flat_map(|faults| faults.0).filter(|(name, _)| !name.is_empty());
                Faults(group.chain(key.into_iter().flat_map(|faults| faults.0)).collect())
            }
            Error::DuplicateName { object: Object::Group, .. } => Faults::of(GROUP_NAME, of_name(GROUP_NAME)),
            Error::DuplicateName { .. } => Faults::of(NAME, of_name(NAME)),
            _ => Faults::of_error(error, KEY_NAMES, values, object.key)?,
        };
        let better = |(name, sentence): (&'static str, String)| {
            let is_good_name = || Name::new(values.text(name)).is_ok();
            let sentence = match name {
                CERTIFICATE => self.certificate_fault(),
                GROUP if values.text(GROUP).is_empty() => "No group is selected. Select one.".to_owned(),
                GROUP => "This group is no longer there. Select another one.".to_owned(),
                NAME | GROUP_NAME if is_good_name() => of_name(name),
                _ => sentence,
            };
            (name, sentence)
        };
        Ok(Faults(faults.0.into_iter().map(better).collect()))
    }

    fn certificate_fault(&self) -> String {
        match self.chosen_certificate() {
            Some(certificate) => cannot_sign(certificate, self.portal),
            None if self.answers.is_on(CERTIFICATE) => {
                "This signing certificate is no longer there. Choose another one.".to_owned()
            }
            None => "No signing certificate is chosen. Choose one.".to_owned(),
        }
    }

    /// The first step at fault, with what is wrong in it.
    async fn refuse(&self, faults: &Faults) -> Result<Reply, Trouble> {
        let step = faults.0.iter().map(|(name, _)| Step::of_field(name)).min().unwrap_or(Step::Review);
        let of_step = faults.0.iter().filter(|(name, _)| Step::of_field(name) == step).cloned();
        self.show(step, &Faults(of_step.collect())).await
    }

    async fn save(&self) -> Result<Reply, Trouble> {
        let management = self.portal.management();
        let request = self.answers.as_request(self.customer, self.kind);
        let repeatable = Repeatable::new(&self.session.actor, &request, &[]);
        if let Some(repeated) = management.find_repeated(&repeatable).await? {
            return self.show_again(&repeated).await;
        }
        let faults = self.faults().await?;
        if !faults.is_empty() {
            return self.refuse(&faults).await;
        }
        match self.make(&repeatable).await {
            Ok(made) => {
                let group = made.group_name.as_ref().map_or("–", Name::as_str).to_owned();
                self.show_details(&made.key, group, made.string).await
            }
            // The same form may have been sent twice, and the other one have come first.
            Err(error) => match management.find_repeated(&repeatable).await? {
                Some(repeated) => self.show_again(&repeated).await,
                None => self.refuse(&self.faults_of(error)?).await,
            },
        }
    }

    async fn make(&self, repeatable: &Repeatable) -> Result<KeyView, Error> {
        let (management, actor) = (self.portal.management(), &self.session.actor);
        let (answers, customer, kind) = (&self.answers, self.customer, self.kind);
        if answers.creates_group() {
            let encode = |made: &KeyWithGroup| outcome(&made.key.key, made.key.string.as_ref());
            let request = Request::new(actor, Some(repeatable), &encode);
            let (group, key) = (answers.group(), answers.key());
            Ok(management.create_key_in_new_group(request, customer, kind, group, key).await?.key)
        } else {
            let encode = |made: &KeyView| outcome(&made.key, made.string.as_ref());
            management.create_key(Request::new(actor, Some(repeatable), &encode), customer, kind, answers.key()).await
        }
    }

    /// What was made before.
    async fn show_again(&self, repeated: &Repeated) -> Result<Reply, Trouble> {
        let (id, string) = made_before(repeated)
            .ok_or_else(|| Error::Internal { detail: "a remembered key has another shape".to_owned() })?;
        let found = self.portal.management().find_key(&self.session.actor, self.customer, self.kind, id).await?;
        let group = found.group_name.as_ref().map_or("–", Name::as_str).to_owned();
        self.show_details(&found.key, group, found.string.or(string)).await
    }

    async fn show_details(
        &self,
        key: &ProvisioningKey,
        group: String,
        string: Option<KeySecret>,
    ) -> Result<Reply, Trouble> {
        let certificate = self.certificate(key.signing_certificate_id);
        let choices = [
            certificate.map_or_else(String::new, |certificate| certificate.name.to_string()),
            group.clone(),
            key_choice(key.name.as_str(), key.maximum.map(|maximum| u64::from(maximum.get()))),
            format!("Saved {}", say::time_of_day(key.created_at)),
        ];
        let choices = choices.into_iter().chain([String::new()]);
        let rail = Step::ALL.into_iter().zip(choices);
        let steps =
            rail.map(|(step, choice)| RailStep::new(step.title(), step.number(), Step::Details.number(), choice));
        let way = Way {
            title: self.title(),
            steps: steps.collect(),
            state: "is saved. It",
            another: self.add_address(),
            done: self.list(),
        };
        way.end(self.portal, self.visit, self.session, key, group, string).await
    }

    fn title(&self) -> String {
        let words = words(self.kind);
        format!("Add {}", if self.answers.is_for_component() { words.component } else { words.key })
    }

    /// Where one came from and goes back to.
    fn list(&self) -> String {
        self.place().address(self.customer)
    }

    fn place(&self) -> Place {
        if self.answers.is_for_component() { Place::Components(self.kind) } else { Place::Keys(self.kind) }
    }

    fn add_address(&self) -> String {
        format!("{}/add", self.list())
    }
}

fn cannot_sign(certificate: &SigningCertificate, portal: &Portal) -> String {
    let (name, now) = (&certificate.name, portal.now());
    let why = if certificate.certificate.is_none() {
        "waits for its certificate".to_owned()
    } else if certificate.sealed_private_key.is_none() {
        "has no private key".to_owned()
    } else if !certificate.allow_signing {
        "has no leave to sign".to_owned()
    } else if now < certificate.not_before {
        format!("begins on {}", say::day(certificate.not_before))
    } else {
        format!("expired on {}", say::day(certificate.not_after))
    };
    format!("{name} {why} and cannot sign. Choose another one.")
}

/// `eu-warehouse-duisburg, 40 uses`.
fn key_choice(name: &str, maximum: Option<u64>) -> String {
    match maximum {
        Some(maximum) => format!("{name}, {}", say::counted(maximum, "use", "uses").replace(' ', "\u{a0}")),
        None => name.to_owned(),
    }
}

/// What a save is remembered by: the key's id, and for [`BRIEF`](crate::management::once::BRIEF) a string that is
/// not kept, behind a line end.
fn outcome(key: &ProvisioningKey, string: Option<&KeySecret>) -> Outcome {
    let id = key.id.to_string();
    let brief = string.filter(|_| !key.is_exportable()).map(|string| {
        let string = string.expose();
        let mut text = Zeroizing::new(Vec::with_capacity(id.len() + 1 + string.len()));
        for part in [id.as_str(), "\n", string] {
            text.extend_from_slice(part.as_bytes());
        }
        text
    });
    Outcome { lasting: Zeroizing::new(id.into_bytes()), brief }
}

fn made_before(Repeated(answer): &Repeated) -> Option<(ProvisioningKeyId, Option<KeySecret>)> {
    let text = std::str::from_utf8(answer).ok()?;
    let (id, string) = match text.split_once('\n') {
        Some((id, string)) => (id, Some(KeySecret::from_text(Zeroizing::new(string.to_owned())))),
        None => (text, None),
    };
    Some((id.parse().ok()?, string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_remembered_by_id_and_a_string_that_is_not_kept_beside_it() {
        let repeated = |text: &str| made_before(&Repeated(Zeroizing::new(text.as_bytes().to_vec())));
        let (id, string) = repeated("65539").unwrap();
        assert_eq!((id.to_string().as_str(), string.is_none()), ("65539", true));
        let (id, string) = repeated("65539\n3|cloud|secret").unwrap();
        assert_eq!((id.to_string().as_str(), string.unwrap().expose()), ("65539", "3|cloud|secret"));
        assert!(repeated("").is_none());
    }
}
