//! What only real databases show: the schema as the migrations leave it, the plans of the hot statements, rows
//! that only a race leaves behind, content that cannot be read, clocks that are wrong, servers that fall silent, refusals as the
//! program tells them, disks that are full.
//!
//! `TEST_BACKENDS` chooses the databases, as for the conformance suite.

use std::process::ExitCode;

use anyhow::Result;
use tests::backends::{Backend, SmallDisk};
use tests::trials::{Cases, block_on, conclude, trial, trials};

mod ask;
mod clocks;
mod content;
mod disk;
mod fixture;
mod harness;
mod migrations;
mod places;
mod plans;
mod refusals;
mod schema;
mod silence;
mod tls;
mod trips;

/// The cases, and the databases that each is about.
const CASES: Cases = &[
    ("schema::is_the_reviewed_one", schema::is_the_reviewed_one, DATABASES),
    ("schema::has_the_tables_and_indexes_that_sqlite_has", schema::agrees_with_sqlite, SERVERS),
    ("schema::compares_whatever_is_indexed_by_its_bytes", schema::compares_by_bytes, DATABASES),
    ("schema::has_noted_every_migration_under_its_number", schema::has_noted_migrations, DATABASES),
    ("migrations::lead_to_the_schema_of_a_fresh_database", migrations::both_ways_lead_to_one_schema, DATABASES),
    ("migrations::keep_what_an_older_host_stored", migrations::keep_what_an_older_host_stored, DATABASES),
    ("migrations::leave_tables_of_other_programs_alone", migrations::leave_tables_of_other_programs_alone, DATABASES),
    ("migrations::go_on_where_they_were_cut_off", migrations::go_on_where_they_were_cut_off, &[Backend::Mysql]),
    ("migrations::refuse_another_text_of_their_version", migrations::refuse_another_text_of_their_version, SERVERS),
    ("places::are_what_the_jobs_say_whatever_callers_at_once_have_done", places::are_counted_rightly, DATABASES),
    ("places::that_are_counted_wrongly_are_mended_when_a_scheduler_starts", places::are_mended, DATABASES),
    ("fixture::of_version_2_is_read_as_it_was_meant", fixture::is_read_by_this_version, DATABASES),
    ("plans::hot_statements_use_their_index_however_old_the_statistics_are", plans::use_their_index, DATABASES),
    ("trips::to_end_jobs_and_to_take_the_next_ones_are_few_however_many_jobs", trips::are_few, DATABASES),
    ("content::a_job_that_cannot_be_read_ends_with_an_event_and_blocks_nobody", content::unreadable_job, DATABASES),
    ("content::jobs_of_a_newer_version_wait_as_they_were_and_block_nobody", content::newer_job, DATABASES),
    (
        "content::a_damaged_schedule_is_paused_with_an_event_and_one_of_a_newer_version_waits",
        content::unreadable_schedule,
        DATABASES,
    ),
    (
        "content::a_task_that_cannot_be_read_costs_no_other_job_an_attempt_or_a_fire",
        content::unreadable_task,
        DATABASES,
    ),
    (
        "content::every_command_works_beside_rows_that_cannot_be_read_and_tells_of_them",
        content::told_by_commands,
        DATABASES,
    ),
    ("content::a_fire_that_the_database_refuses_pauses_its_schedule_and_no_other", content::refused_fire, DATABASES),
    ("content::a_large_catch_up_is_stored_in_parts_and_holds_nobody_up", content::large_catch_up, DATABASES),
    ("clocks::a_scheduler_whose_clock_is_an_hour_wrong_does_no_harm", clocks::an_hour_wrong, SERVERS),
    (
        "silence::longer_than_leases_costs_no_job_an_attempt_and_no_schedule_a_fire_and_is_told_once",
        silence::longer_than_leases,
        SERVERS,
    ),
    (
        "silence::costs_no_job_an_attempt_and_no_schedule_a_fire_and_is_told_once",
        silence::costs_nothing_and_is_reported_once,
        SERVERS,
    ),
    ("silence::of_a_restart_costs_no_job_an_attempt_and_no_schedule_a_fire", silence::a_restart_costs_nothing, SERVERS),
    ("refusals::a_wrong_password_is_told_with_the_way_out_and_ends_with_5", refusals::wrong_password, SERVERS),
    ("refusals::a_missing_database_is_told_with_the_way_out_and_ends_with_5", refusals::missing_database, SERVERS),
    ("refusals::a_server_that_is_not_there_is_told_and_ends_with_5", refusals::no_server, SERVERS),
    (
        "refusals::a_table_of_another_program_by_a_name_of_ours_is_told_and_left_alone",
        refusals::foreign_table,
        &[Backend::Postgres],
    ),
    ("refusals::a_missing_schema_is_told_and_made_only_when_asked", refusals::no_schema, SERVERS),
    ("refusals::a_newer_schema_is_told_and_left_alone", refusals::newer_schema, SERVERS),
    ("tls::a_connection_is_protected_as_its_url_says", tls::protects_as_the_url_says, SERVERS),
    (
        "tls::a_server_that_has_none_is_refused_where_it_is_wanted",
        tls::is_not_given_up_where_the_server_has_none,
        SERVERS,
    ),
    (
        "tls::whoever_denies_it_in_the_servers_place_hears_no_password",
        tls::keeps_the_password_from_whoever_denies_it,
        SERVERS,
    ),
    (
        "refusals::a_database_that_cannot_hold_every_text_is_told_and_left_alone",
        refusals::narrow_encoding,
        &[Backend::Postgres],
    ),
    ("refusals::a_user_who_may_only_read_can_look_and_is_told_what_is_missing", refusals::no_rights, SERVERS),
];

/// The cases that fill a small disk.
const DISK_CASES: Cases = &[
    ("disk::a_full_one_is_told_with_the_way_out_and_loses_nothing", disk::sqlite_survives, &[Backend::Sqlite]),
    ("disk::a_full_one_is_told_with_the_way_out_and_loses_nothing", disk::server_survives, SERVERS),
    ("disk::a_full_one_under_the_servers_log_loses_nothing", disk::log_survives, &[Backend::Postgres]),
];

/// A case that is about no back end.
type HarnessCase = fn() -> Result<()>;

/// The cases about the trials themselves.
const HARNESS_CASES: [(&str, HarnessCase); 3] = [
    ("harness::a_server_whose_data_cannot_be_made_fails_one_case_and_is_not_tried_again", harness::data_cannot_be_made),
    ("harness::a_server_that_ends_at_its_start_fails_one_case_with_what_it_said", harness::server_ends),
    ("harness::a_server_that_is_not_installed_lets_no_case_pass_or_fail", harness::not_installed),
];

/// Every database.
const DATABASES: &[Backend] = &[Backend::Sqlite, Backend::Postgres, Backend::Mysql];

/// Those that are servers.
const SERVERS: &[Backend] = &[Backend::Postgres, Backend::Mysql];

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode> {
    let mut all = trials("", CASES)?;
    all.extend(HARNESS_CASES.into_iter().map(|(name, case)| trial(name.to_owned(), case)));
    // Mounting a disk takes rights that not everybody has who runs tests: then these say why they were not run.
    let refusal = SmallDisk::refusal();
    all.extend(trials("", DISK_CASES)?.into_iter().map(|trial| match &refusal {
        Some(why) => trial.with_kind(format!("no disk: {why}")).with_ignored_flag(true),
        None => trial,
    }));
    Ok(conclude(all))
}
