//! The store's contract, case by case, against `Arc<dyn Store>`.
//!
//! [`hold_to_contract`] lists the cases once; every store runs all of them. What only the embedded
//! store can be asked (its files, its lock) is in `embedded`.

mod administrators;
mod answers;
mod attention;
mod audit;
mod changes;
mod clean_up;
mod components;
mod crls;
mod embedded;
mod enrollment;
mod feed;
mod hours;
mod import;
mod lists;
mod peppers;
mod postgres;
mod preferences;
mod re_enrollment;
mod renewal;
mod reopening;
mod rows;
mod sealed;
mod sequences;
mod webhooks;
mod world;

macro_rules! hold_to_contract {
    ($store:ident, $under_test:expr) => {
        mod $store {
            hold_to_contract! { @cases $under_test;
                administrators:
                    a_session_begins_with_the_password_that_was_checked,
                    actors_are_named_within_their_customer_and_the_service,
                    administrators_are_changed_listed_and_deleted,
                    an_api_client_that_manages_keys_stays,
                    api_clients_are_changed_listed_and_deleted,
                    expired_sessions_are_swept_and_signed_out_tokens_kept,
                    of_two_owners_who_end_each_other_one_stays,
                    sessions_end_one_by_one_or_all_at_once,
                    the_last_enabled_owner_stays;
                answers:
                    an_answer_is_remembered_once_in_its_day,
                    sweeping_lets_go_of_what_has_had_its_time,
                    what_a_repetition_would_make_is_not_made;
                attention:
                    a_key_that_fills_up_is_told_with_its_rate,
                    ends_are_told_while_they_are_near,
                    graver_things_come_first_and_all_are_counted,
                    refusals_make_news_of_what_is_off_or_used_up;
                audit:
                    a_search_is_answered_newest_first,
                    each_customer_has_a_chain_of_its_own,
                    events_are_written_with_their_changes_or_not_at_all,
                    pages_of_a_chain_follow_each_other;
                changes:
                    a_broken_rule_undoes_all_and_names_its_place,
                    a_component_in_a_group_keeps_the_group,
                    a_component_is_attached_to_another_key,
                    a_deleted_key_revokes_its_components_when_asked,
                    a_deletion_based_on_an_old_revision_is_refused,
                    a_deleted_key_leaves_its_components_and_ledger,
                    a_deleted_keys_name_and_digest_are_free_again,
                    a_group_with_keys_is_not_deleted,
                    a_replaced_signing_certificate_is_nobodys_any_more,
                    a_signing_certificate_of_a_key_managed_by_others_is_not_replaced,
                    a_signing_certificate_stays_until_what_it_signed_has_ended,
                    a_signing_certificate_that_something_refers_to_is_not_deleted,
                    an_update_based_on_an_old_revision_is_refused,
                    counters_in_an_update_are_ignored,
                    deleting_a_component_revokes_its_certificate,
                    deleting_twice_is_not_found,
                    names_are_unique_without_regard_to_case,
                    no_change_reaches_another_customer,
                    revoking_is_done_once,
                    two_keys_never_share_a_digest,
                    two_signing_certificates_never_share_a_key_pair,
                    unknown_references_are_refused;
                clean_up:
                    a_changed_component_or_schedule_is_not_cleaned_up,
                    a_customer_has_one_schedule_per_kind,
                    only_what_ended_and_is_current_is_scanned,
                    what_was_cleaned_up_is_on_no_page;
                components:
                    a_component_is_attached_within_its_group_only,
                    a_group_goes_with_all_it_has,
                    a_group_with_a_key_managed_by_others_stays,
                    an_attached_component_is_where_its_new_key_looks,
                    components_come_in_the_order_asked,
                    endings_based_on_an_old_revision_are_refused,
                    a_kind_is_counted,
                    certificates_end_in_the_order_of_their_ends,
                    groups_are_counted_and_their_components_listed,
                    racing_attachments_of_one_fingerprint_have_one_winner,
                    relations_come_in_the_order_asked;
                crls:
                    a_certificate_that_ends_is_on_one_more_crl,
                    a_crl_replaces_the_one_that_it_follows_and_no_other,
                    a_crl_tells_what_was_revoked_and_why,
                    of_many_entries_each_is_read_once,
                    what_is_revoked_while_a_crl_is_made_stays_news,
                    what_was_renewed_goes_with_its_component;
                enrollment:
                    a_changed_setting_makes_the_enrollment_outdated,
                    a_component_is_named_after_its_key_and_number,
                    a_lowered_maximum_exhausts_the_key,
                    a_released_use_can_be_taken_again,
                    a_reused_id_fails_alone,
                    a_taken_fingerprint_is_known_even_when_the_key_is_exhausted,
                    checks_are_made_in_order,
                    devices_of_different_keys_may_share_a_fingerprint,
                    expiry_is_judged_by_the_stores_clock,
                    ordinals_never_go_back,
                    racing_devices_get_exactly_what_is_left,
                    racing_devices_of_several_keys_take_uses_of_their_own,
                    racing_requests_of_one_device_take_one_use,
                    what_is_refused_writes_nothing;
                feed:
                    a_released_use_announces_the_key,
                    each_changed_object_has_one_row_per_transaction,
                    enrollments_are_not_announced,
                    sequences_follow_each_other_without_gaps;
                hours:
                    hours_are_told_to_their_customer_only,
                    refusals_are_summed_by_code_for_two_days,
                    refusals_have_their_hour_however_many_rows_are_kept,
                    what_happened_is_told_by_the_hour;
                lists:
                    a_component_is_not_given_a_name_that_another_bears,
                    a_kind_with_many_groups_is_paged_in_order_of_id,
                    administrators_and_api_clients_are_found_by_every_field,
                    a_renamed_component_is_found_by_its_new_name_only,
                    all_conditions_of_a_query_must_hold,
                    components_are_found_by_an_address_as_people_write_it,
                    components_are_found_by_every_field,
                    conditions_take_their_text_literally,
                    customers_are_found_by_every_field,
                    groups_and_signing_certificates_are_found_by_every_field,
                    keys_are_found_by_every_field,
                    a_digest_leads_to_its_key,
                    indexed_keys_are_found_many_at_a_time,
                    keys_of_a_group_are_in_order_of_id,
                    pages_are_in_order_of_id_and_tell_the_total,
                    pages_of_components_follow_every_change,
                    refusals_add_up_and_are_bounded,
                    scans_visit_every_customer_in_order_of_id,
                    the_components_of_a_deleted_group_are_on_no_page,
                    the_ledger_is_listed_newest_first;
                peppers:
                    a_clients_digest_moves_with_its_sign_in_and_with_a_new_secret,
                    a_digest_moves_only_as_it_was_read,
                    a_pepper_goes_when_nothing_is_under_it,
                    a_string_is_new_only_under_every_pepper,
                    of_those_who_move_a_digest_at_once_one_does,
                    what_is_given_up_with_a_pepper_is_refused_from_then_on;
                preferences:
                    preferences_are_replaced_page_by_page,
                    saved_filters_have_a_name_each_on_their_page,
                    what_an_administrator_keeps_goes_with_it,
                    what_an_administrator_keeps_is_bounded;
                re_enrollment:
                    a_components_re_enrollments_are_listed_newest_first,
                    a_disabled_or_ended_component_is_known,
                    a_new_certificate_supersedes_the_old_one,
                    only_the_current_serial_can_be_superseded,
                    racing_re_enrollments_have_one_winner,
                    recent_re_enrollments_are_counted;
                renewal:
                    a_certificate_is_known_with_its_component,
                    a_certificates_time_is_judged_by_the_stores_clock,
                    a_rekey_supersedes_whatever_had_the_old_key_pair,
                    a_renewal_beside_an_end_leaves_no_current_certificate,
                    a_renewal_needs_no_key,
                    a_renewal_replaces_the_current_certificate,
                    only_the_current_certificate_is_renewed,
                    racing_renewals_have_one_winner,
                    what_a_renewal_was_checked_against_must_hold;
                reopening:
                    a_closed_store_is_unavailable,
                    everything_answered_is_there_again,
                    ids_are_never_given_twice;
                rows:
                    a_secret_is_replaced_or_deleted_only_as_it_was_read,
                    a_setting_is_inserted_once,
                    every_row_comes_back_as_it_was_written,
                    rows_of_other_customers_are_not_found,
                    settings_and_secrets_are_replaced;
                sealed:
                    an_update_leaves_what_was_sealed_anew_meanwhile,
                    what_another_key_sealed_is_counted_listed_and_replaced,
                    what_another_key_sealed_is_refused;
                sequences:
                    random_sequences_agree_with_the_model;
                webhooks:
                    a_delivery_is_claimed_by_one,
                    ledgers_are_told_from_where_they_were_left,
                    marks_of_ledgers_go_with_their_keys,
                    of_what_is_over_the_last_are_kept_and_one_test_waits,
                    webhooks_are_changed_listed_and_deleted,
                    webhooks_take_turns_and_one_that_fails_pauses,
                    what_a_look_found_is_queued_by_one,
                    what_failed_before_an_edit_says_nothing_after_it;
            }
        }
    };
    (@cases $under_test:expr; $($theme:ident: $($case:ident),+;)+) => {
        $(mod $theme {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let world = crate::store::world::World::open($under_test).await;
                    crate::store::$theme::$case(world).await;
                }
            )+
        })+
    };
}

hold_to_contract!(embedded_store, crate::store::embedded::UnderTest::new());
hold_to_contract!(postgres_store, crate::store::postgres::UnderTest::new().await);
