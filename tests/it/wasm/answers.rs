//! What a component answers can be read, or is an error that says where it cannot.

use host::executor::{PluginInspector as _, Verdict};
use host::model::ErrorKind;
use serde_json::{Value, json};

use super::{Ended, Run, Sandbox};
use crate::generated::{Encoding, Plugin, RESULT, composed, constant, result_of};

/// Registers a generated plugin and runs its task.
async fn run(plugin: &[u8]) -> Ended {
    let sandbox = Sandbox::new();
    let digest = sandbox.executor.inspect(plugin.to_vec(), &[]).await.expect("a sound plugin").digest;
    sandbox.run(Run::new(digest, "run", json!({}))).await
}

async fn answer(encoding: Encoding, document: &[u8]) -> Ended {
    run(&Plugin::returning(encoding, document).component()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_plugin_answers_in_either_encoding() {
    assert_eq!(answer(Encoding::Json, b" [1, {\"a\": null}] ").await.value(), json!([1, {"a": null}]));
    let cbor = answer(Encoding::Cbor, b"\x82\x01\x61x").await;
    assert!(matches!(&cbor.finished.verdict, Verdict::Success(payload) if &*payload.data == b"\x82\x01\x61x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_cannot_be_read_is_a_guests_error_with_a_code_and_the_place() {
    for (encoding, document, place) in [
        (Encoding::Json, &b""[..], "line 1 column 0"),
        (Encoding::Json, b"{\"a\":}", "line 1 column 6"),
        (Encoding::Json, b"1 2", "line 1 column 3"),
        (Encoding::Json, b"\"\xff\"", "line 1"),
        (Encoding::Json, b"\"\\ud800\"", "line 1"),
        (Encoding::Json, b"\xa1\x61a\x01", "line 1"),
        (Encoding::Cbor, b"{}", "too early, at byte 2"),
        (Encoding::Cbor, b"\x62\xc3\x28", "byte 0"),
        (Encoding::Cbor, b"\x82\x01", "too early, at byte 2"),
    ] {
        let ended = answer(encoding, document).await;
        let error = ended.error();
        assert_eq!(error.kind, ErrorKind::GuestError, "{document:?}: {error:?}");
        assert!(error.message.contains(place), "{document:?}: {}", error.message);
        assert_eq!(error.context, ["code: unreadable_result"], "{document:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_canonical_abi_is_a_trap_and_no_fault_of_the_host() {
    let somewhere = |address: i32| Plugin::running(constant(address));
    let answering = |result: Vec<u8>| Plugin { result, ..Plugin::running(constant(RESULT)) };
    let mut bad_variant = result_of(Encoding::Json, 0, 0);
    bad_variant[0] = 7;
    let mut bad_encoding = result_of(Encoding::Json, 0, 0);
    bad_encoding[8] = 9;
    // An error whose message is no text: the first case of the error, its message at an address with bytes that are no UTF-8.
    let mut bad_text = result_of(Encoding::Json, 0, 0);
    bad_text[0] = 1;
    bad_text[16..24].copy_from_slice(&[&(RESULT + 8).to_le_bytes()[..], &1_i32.to_le_bytes()].concat());
    bad_text[8] = 0xff;
    for (fault, plugin) in [
        ("unaligned", somewhere(RESULT + 1)),
        ("outside memory", somewhere(0x7fff_fff8)),
        ("at the end of memory", somewhere(4 * 65_536 - 8)),
        ("an address outside memory", answering(result_of(Encoding::Json, -8, 4))),
        ("a length outside memory", answering(result_of(Encoding::Json, RESULT, i32::MAX))),
        ("a variant that does not exist", answering(bad_variant)),
        ("an encoding that does not exist", answering(bad_encoding)),
        ("an error that does not exist", answering(bad_text)),
    ] {
        let ended = run(&plugin.component()).await;
        let error = ended.error();
        assert_eq!(error.kind, ErrorKind::Trap, "{fault}: {error:?}");
        assert!(!error.context.is_empty(), "{fault}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_composed_plugin_whose_parts_have_a_memory_each_registers_and_runs() {
    let sandbox = Sandbox::new();
    let inspection = sandbox.executor.inspect(composed(), &[]).await.expect("a sound plugin");
    assert_eq!(inspection.tasks.len(), 1);
    assert!(inspection.imports.iter().all(|import| import.interface.starts_with("jobs:plugin/")), "{inspection:?}");
    let ended = sandbox.run(Run::new(inspection.digest, "run", json!({}))).await;
    assert_eq!(ended.value(), Value::from("PING"));
    // Two memories of four pages each.
    assert_eq!(ended.finished.usage.peak_memory_bytes >> 16, 8);
}
