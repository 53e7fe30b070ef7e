//! The portable store suite (SPEC S2, S4): one set of behaviours defines what a store is, and every
//! backend passes all of them. Where backends differ, the difference is a stated capability and the
//! behaviour asserts both sides of it.
//!
//! A new behaviour is a function in one of the modules and a line in [`behaviours`]; a new backend
//! is a line at the end of this file.

#[path = "../support/mod.rs"]
mod support;

mod conditions;
mod containers;
mod context;
mod keys;
mod lists;
mod many;
mod moves;
mod objects;
mod ranges;
mod uploads;

/// Calls `$each!(backend: behaviour...)` with every behaviour of the suite.
macro_rules! behaviours {
    ($each:ident, $backend:ident) => {
        $each! { $backend:
            objects::round_trip_of_many_sizes
            objects::empty_object
            objects::overwrite_replaces_bytes_and_size
            objects::overwrite_with_less_leaves_no_tail
            objects::get_of_a_missing_key_is_not_found
            objects::stat_tells_size_etag_and_time
            objects::stat_of_a_missing_key_is_not_found
            objects::etag_changes_with_the_bytes
            objects::exists_says_yes_and_no
            objects::delete_removes_and_is_idempotent
            objects::content_type_and_metadata_round_trip
            objects::overwrite_forgets_old_metadata
            objects::bad_metadata_is_refused_before_anything_is_stored
            objects::get_into_a_buffer_that_is_too_small_says_the_size
            objects::get_into_a_larger_buffer_leaves_the_rest
            objects::errors_name_operation_and_uri
            objects::put_reports_size_checksum_and_etag
            objects::stored_checksum_is_that_of_the_bytes
            ranges::at_the_start_the_middle_and_the_end
            ranges::across_the_end_is_shorter
            ranges::exactly_at_the_end_is_empty
            ranges::past_the_end_is_an_error
            ranges::of_an_empty_object
            ranges::of_no_bytes
            ranges::that_overflow_are_errors
            ranges::many_in_one_call_keep_their_order
            ranges::with_the_right_etag
            ranges::of_a_replaced_object_are_changed
            ranges::large_object_in_parallel_ranges
            ranges::one_byte_at_a_time
            keys::odd_characters
            keys::very_long
            keys::deep
            keys::empty_is_refused
            keys::nul_is_refused
            keys::too_long_is_refused
            keys::that_could_change_are_literal_or_refused
            keys::case_is_kept
            keys::with_common_beginnings_do_not_mix
            keys::of_other_roots_are_invisible
            lists::of_an_empty_prefix_is_empty
            lists::recursive_is_sorted
            lists::one_level_folds_folders
            lists::one_level_below_a_folder
            lists::prefix_is_a_string_prefix
            lists::prefix_that_is_a_whole_key
            lists::pages_join_without_gap_or_repeat
            lists::one_level_pages_join_without_gap_or_repeat
            lists::sorted_by_bytes_around_the_slash
            lists::odd_keys_come_back_unchanged
            lists::sizes_times_and_full_uris
            lists::ten_thousand_and_one_keys
            moves::copy_keeps_bytes_type_and_metadata
            moves::copy_replaces_the_destination
            moves::copy_of_a_missing_object_is_not_found
            moves::copy_onto_itself_keeps_the_object
            moves::copy_with_odd_keys
            moves::rename_moves
            moves::rename_of_a_missing_object_is_not_found
            moves::rename_replaces_the_destination
            moves::rename_onto_itself_keeps_the_object
            moves::delete_prefix_leaves_siblings
            moves::delete_prefix_of_nothing_is_zero
            moves::delete_prefix_of_everything_stays_below_the_root
            moves::delete_many_has_one_outcome_per_key
            conditions::create_only_creates_once
            conditions::create_only_race_has_one_winner
            conditions::create_only_race_of_equal_bytes_has_one_winner
            conditions::if_match_replaces_the_expected_object
            conditions::if_match_of_another_etag_fails
            conditions::if_match_of_a_missing_object_fails
            conditions::failed_condition_leaves_the_object
            containers::create_list_delete
            containers::create_twice_already_exists
            containers::delete_refuses_while_objects_are_left
            containers::missing_one_is_an_error_not_an_empty_list
            containers::missing_one_on_get_and_stat
            uploads::parts_become_one_object
            uploads::parts_in_any_order_and_again
            uploads::nothing_is_visible_before_complete
            uploads::abort_leaves_nothing
            uploads::abort_twice
            uploads::complete_replaces_an_object_at_once
            uploads::abort_keeps_the_old_object
            uploads::metadata_and_type
            uploads::create_only_upload_does_not_replace
            many::hundred_writers_to_different_keys
            many::two_writers_to_one_key_leave_one_of_both
            many::readers_during_overwrites_see_whole_objects
            many::get_many_keeps_order_and_single_errors
            many::validate_finds_a_flipped_byte
            many::validate_against_the_stored_checksum
        }
    };
}

macro_rules! tests_of {
    ($backend:ident: $($module:ident::$behaviour:ident)+) => {
        mod $backend {
            $(
                #[test]
                fn $behaviour() {
                    let context = crate::context::Context::$backend(stringify!($behaviour));
                    crate::$module::$behaviour(&context);
                }
            )+
        }
    };
}

behaviours!(tests_of, memory);
behaviours!(tests_of, file);
behaviours!(tests_of, direct);
behaviours!(tests_of, seaweed);
behaviours!(tests_of, s3b);
behaviours!(tests_of, azurite);
behaviours!(tests_of, faultd_s3);
behaviours!(tests_of, faultd_azure);
