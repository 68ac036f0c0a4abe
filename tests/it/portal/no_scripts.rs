//! Every page is complete without scripts: the same flows in a browser that runs none.

use super::browser::{Browser, Scripts};
use super::{keys, wizard};
use crate::support::Service;

#[test]
fn the_wizard_makes_a_key_of_each_kind_that_enrolls_a_device() {
    let service = Service::start();
    wizard::makes_a_key_of_each_kind(&service, &Browser::signed_in(&service, Scripts::Off));
}

#[test]
fn a_copied_key_enrolls_until_it_is_exhausted_and_again_when_the_maximum_is_raised() {
    let service = keys::service_with(&[]);
    keys::lives_from_copy_to_exhaustion_and_back(&service, &Browser::signed_in(&service, Scripts::Off));
}

#[test]
fn a_saved_filter_is_there_in_the_next_session() {
    let service = keys::service_with(&["eu-one", "eu-two", "us-one"]);
    keys::saves_a_filter_for_the_next_session(&service, Scripts::Off);
}

#[test]
fn columns_downloads_and_deletion() {
    let service = keys::service_with(&["doomed", "kept"]);
    let browser = Browser::signed_in(&service, Scripts::Off);
    keys::chooses_columns_and_opens_all_rows(&browser);
    keys::deletes(&service, &browser);
    keys::downloads(&service, &browser);
}
