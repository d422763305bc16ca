//! Texts and ids: what databases like to change behind one's back.

use host::model::{JobSpec, Metadata, Payload, Schedule, Task};

use super::{Rig, cases};
use crate::factory::{add, schedule, schedule_id, task, task_id};

cases![
    ids_that_differ_in_case_are_different,
    ids_that_differ_in_accents_or_form_are_different,
    the_longest_ids_are_kept_whole,
    emoji_and_right_to_left_text_come_back,
    quotes_and_percent_signs_are_only_characters,
    long_texts_come_back_whole,
    limits_tell_ids_apart_that_differ_in_case,
];

async fn ids_that_differ_in_case_are_different(rig: Rig) {
    rig.a.schedule_add(add(schedule("Nightly", 1))).await.expect("added");
    rig.a.schedule_add(add(schedule("nightly", 2))).await.expect("added");
    assert_eq!(rig.b.schedule_get(&schedule_id("Nightly")).await.expect("read"), Some(schedule("Nightly", 1)));
    assert_eq!(rig.b.schedule_get(&schedule_id("NIGHTLY")).await.expect("read"), None);
}

async fn ids_that_differ_in_accents_or_form_are_different(rig: Rig) {
    let ids = ["Köln", "Koln", "Ko\u{308}ln", "Kölñ", "ß", "ss", "İ", "i"];
    for (id, due) in ids.iter().zip(0..) {
        rig.a.schedule_add(add(schedule(id, due))).await.expect("added");
    }
    for (id, due) in ids.iter().zip(0..) {
        assert_eq!(rig.b.schedule_get(&schedule_id(id)).await.expect("read"), Some(schedule(id, due)));
    }
}

async fn the_longest_ids_are_kept_whole(rig: Rig) {
    let long = "ü".repeat(95);
    let other = format!("{}x", "ü".repeat(95));
    for id in [&long, &other] {
        rig.a.schedule_add(add(schedule(id, 1))).await.expect("added");
        rig.a.task_put(Task { id: task_id(id), ..task("p:work", None) }).await.expect("stored");
    }
    assert_eq!(rig.b.schedule_get(&schedule_id(&other)).await.expect("read"), Some(schedule(&other, 1)));
    assert_eq!(rig.b.task_list().await.expect("listed").rows.len(), 2);
}

async fn emoji_and_right_to_left_text_come_back(rig: Rig) {
    let text = "🦀 \u{202e}עברית 中文 \u{1f468}\u{200d}\u{1f469}";
    let metadata = serde_json::json!({ text: [text, "\u{0}"] });
    let metadata = Metadata(metadata.as_object().expect("an object").clone());
    let job = rig.make.job("p:work");
    let settings = host::model::JobSettings { metadata, ..job.settings.clone() };
    let spec = rig.add(JobSpec { settings, args: Payload::json(&serde_json::json!(text)), ..job }).await;
    assert_eq!(rig.job(spec.id).await.spec, spec);
    let described = Task { description: text.into(), ..task("p:work", None) };
    rig.a.task_put(described.clone()).await.expect("stored");
    assert_eq!(rig.b.task_get(&described.id).await.expect("read").expect("there").task, described);
}

async fn quotes_and_percent_signs_are_only_characters(rig: Rig) {
    let id = r#"'; DROP TABLE jobs; -- %_\" `?` $1"#;
    rig.a.schedule_add(add(schedule(id, 1))).await.expect("added");
    assert_eq!(rig.b.schedule_get(&schedule_id(id)).await.expect("read"), Some(schedule(id, 1)));
    assert_eq!(rig.b.schedule_remove(&schedule_id("%")).await.expect("asked"), None);
    assert_eq!(rig.b.job_counts().await.expect("counted").queued, 0);
}

async fn long_texts_come_back_whole(rig: Rig) {
    let long = Schedule { trigger_state: "x".repeat(200_000), ..schedule("s", 1) };
    rig.a.schedule_add(add(long.clone())).await.expect("added");
    assert!(rig.b.schedule_get(&long.id).await.expect("read") == Some(long));
}

async fn limits_tell_ids_apart_that_differ_in_case(rig: Rig) {
    rig.a.task_put(task("p:Work", Some(1))).await.expect("stored");
    rig.a.task_put(task("p:work", None)).await.expect("stored");
    for id in ["p:Work", "p:Work", "p:work", "p:work"] {
        rig.add(rig.make.job(id)).await;
    }
    let acquired = rig.acquire(0, 9).await;
    let of = |id: &str| acquired.iter().filter(|job| job.spec.task_id == task_id(id)).count();
    assert_eq!((of("p:Work"), of("p:work")), (1, 2));
}
