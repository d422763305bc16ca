//! What the compiler says to an author whose task is wrong. The messages are part of the product; after a change of
//! them, `TRYBUILD=overwrite cargo test -p guest-sdk --test ui` writes the new ones, to be reviewed as a diff.

#[test]
fn a_wrong_task_is_refused_at_its_place_with_what_would_be_right() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
