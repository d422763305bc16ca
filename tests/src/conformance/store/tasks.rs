//! Plugins and tasks.

use host::model::{Parallelism, PluginName, Settings, Task};
use host::store::{ActivatePlugin, Put, PutPlugin, StoreError};

use super::{Rig, cases};
use crate::factory::{plugin, t, task, task_id};

cases![
    a_new_task_is_added_and_read_back_as_it_was,
    the_same_task_again_changes_nothing,
    another_task_of_the_same_id_replaces_it,
    replacing_a_task_keeps_its_running_jobs_counted,
    a_removed_task_leaves_its_jobs_behind,
    tasks_are_listed_by_id,
    every_change_of_the_catalog_raises_its_revision,
    a_plugin_brings_its_bytes_and_tasks,
    the_same_plugin_again_changes_nothing,
    new_grants_for_the_same_bytes_are_a_change,
    a_new_version_takes_the_place_of_the_old_and_its_lost_tasks_go,
    a_new_version_keeps_what_was_configured,
    settings_given_with_a_version_are_laid_over_what_was_configured,
    an_older_version_can_be_made_current_again,
    a_version_that_was_never_registered_cannot_be_made_current,
    removing_a_plugin_removes_its_derived_tasks_too,
    a_component_larger_than_a_packet_is_stored_whole,
];

fn name() -> PluginName {
    PluginName::new("p").expect("valid")
}

async fn a_new_task_is_added_and_read_back_as_it_was(rig: Rig) {
    let task = Task { args_schema: Some("{}".into()), ..task("p:work", Some(3)) };
    assert_eq!(rig.a.task_put(task.clone()).await.expect("stored"), Put::Added);
    let row = rig.b.task_get(&task.id).await.expect("read").expect("there");
    assert_eq!((row.task, row.running_jobs), (task, 0));
}

async fn the_same_task_again_changes_nothing(rig: Rig) {
    rig.a.task_put(task("p:work", None)).await.expect("stored");
    let revision = rig.a.catalog_revision().await.expect("read");
    assert_eq!(rig.b.task_put(task("p:work", None)).await.expect("stored"), Put::Unchanged);
    assert_eq!(rig.a.catalog_revision().await.expect("read"), revision);
}

async fn another_task_of_the_same_id_replaces_it(rig: Rig) {
    rig.a.task_put(task("p:work", None)).await.expect("stored");
    assert_eq!(rig.b.task_put(task("p:work", Some(2))).await.expect("stored"), Put::Replaced);
    assert_eq!(rig.a.task_get(&task_id("p:work")).await.expect("read").expect("there").task, task("p:work", Some(2)));
}

async fn replacing_a_task_keeps_its_running_jobs_counted(rig: Rig) {
    rig.a.task_put(task("p:work", Some(5))).await.expect("stored");
    rig.add(rig.make.job("p:work")).await;
    rig.acquire(0, 1).await;
    rig.a.task_put(task("p:work", Some(1))).await.expect("stored");
    assert_eq!(rig.b.task_get(&task_id("p:work")).await.expect("read").expect("there").running_jobs, 1);
    rig.add(rig.make.job("p:work")).await;
    assert!(rig.acquire(1, 1).await.is_empty(), "the new limit counts the job that runs already");
}

async fn a_removed_task_leaves_its_jobs_behind(rig: Rig) {
    rig.a.task_put(task("p:work", Some(1))).await.expect("stored");
    let job = rig.add(rig.make.job("p:work")).await;
    assert!(rig.a.task_remove(&task_id("p:work")).await.expect("removed"));
    assert!(!rig.b.task_remove(&task_id("p:work")).await.expect("asked"));
    assert_eq!(
        rig.acquire(0, 1).await[0].spec.id,
        job.id,
        "a job without its task still runs, to fail with the reason"
    );
}

async fn tasks_are_listed_by_id(rig: Rig) {
    for id in ["p:b", "p:a", "q", "p:C"] {
        rig.a.task_put(task(id, None)).await.expect("stored");
    }
    let ids: Vec<String> =
        rig.b.task_list().await.expect("listed").rows.iter().map(|row| row.task.id.to_string()).collect();
    assert_eq!(ids, ["p:C", "p:a", "p:b", "q"]);
}

async fn every_change_of_the_catalog_raises_its_revision(rig: Rig) {
    let mut last = rig.a.catalog_revision().await.expect("read");
    for step in 0..4 {
        match step {
            0 => drop(rig.a.plugin_put(plugin(b"one", vec![task("p:work", None)])).await.expect("put")),
            1 => drop(rig.a.task_put(task("other", None)).await.expect("put")),
            2 => drop(rig.a.task_remove(&task_id("other")).await.expect("removed")),
            _ => drop(rig.a.plugin_remove(&name()).await.expect("removed")),
        }
        let now = rig.b.catalog_revision().await.expect("read");
        assert!(now > last, "step {step}");
        last = now;
    }
}

async fn a_plugin_brings_its_bytes_and_tasks(rig: Rig) {
    let put = plugin(b"\0wasm", vec![task("p:work", Some(1)), task("p:more", None)]);
    let done = rig.a.plugin_put(put.clone()).await.expect("put");
    assert_eq!((done.put, done.tasks_added.len()), (Put::Added, 2));
    assert_eq!(rig.b.plugin_get(&name()).await.expect("read"), Some(put.version.clone()));
    assert_eq!(rig.b.plugin_bytes(&put.version.digest).await.expect("read"), Some(b"\0wasm".to_vec()));
    assert_eq!(rig.b.task_get(&task_id("p:more")).await.expect("read").expect("there").task, task("p:more", None));
    assert_eq!(rig.b.plugin_list().await.expect("listed").rows, [put.version]);
}

async fn the_same_plugin_again_changes_nothing(rig: Rig) {
    let put = plugin(b"one", vec![task("p:work", None)]);
    rig.a.plugin_put(put.clone()).await.expect("put");
    let revision = rig.a.catalog_revision().await.expect("read");
    let mut later = put.clone();
    later.version.registered_at = t(100);
    assert_eq!(rig.b.plugin_put(later).await.expect("put").put, Put::Unchanged);
    assert_eq!(rig.a.catalog_revision().await.expect("read"), revision);
    assert_eq!(rig.a.plugin_get(&name()).await.expect("read"), Some(put.version));
}

async fn new_grants_for_the_same_bytes_are_a_change(rig: Rig) {
    let put = plugin(b"one", Vec::new());
    rig.a.plugin_put(put.clone()).await.expect("put");
    let mut granted = put;
    granted.version.grants = vec![host::model::Grant::Env { name: "HOME".into(), value: None }];
    assert_eq!(rig.a.plugin_put(granted.clone()).await.expect("put").put, Put::Replaced);
    assert_eq!(rig.b.plugin_get(&name()).await.expect("read"), Some(granted.version));
    assert_eq!(rig.b.plugin_history(&name()).await.expect("read").rows.len(), 1);
}

async fn a_new_version_takes_the_place_of_the_old_and_its_lost_tasks_go(rig: Rig) {
    let old = plugin(b"one", vec![task("p:gone", None), task("p:stays", None)]);
    rig.a.plugin_put(old.clone()).await.expect("put");
    rig.a.task_put(Task { id: task_id("mine"), ..task("p:gone", None) }).await.expect("put");
    let mut new = plugin(b"two", vec![task("p:stays", Some(4)), task("p:new", None)]);
    new.version.registered_at = t(5);
    let done = rig.b.plugin_put(new.clone()).await.expect("put");
    assert_eq!(done.put, Put::Replaced);
    assert_eq!(done.tasks_added, [task_id("p:new")]);
    assert_eq!(done.tasks_updated, [task_id("p:stays")]);
    assert_eq!(done.tasks_removed, [task_id("p:gone")]);
    assert!(rig.a.task_get(&task_id("p:gone")).await.expect("read").is_none());
    assert!(rig.a.task_get(&task_id("mine")).await.expect("read").is_some(), "a derived task is its maker's");
    assert_eq!(rig.a.plugin_history(&name()).await.expect("read").rows, [new.version, old.version]);
}

async fn a_new_version_keeps_what_was_configured(rig: Rig) {
    rig.a.plugin_put(plugin(b"one", vec![task("p:work", None)])).await.expect("put");
    rig.a.task_put(task("p:work", Some(7))).await.expect("configured");
    let declared = Settings { fuel: Some(5), ..Settings::default() };
    let offered = Task { configured: Settings::default(), declared: declared.clone(), ..task("p:work", None) };
    rig.a.plugin_put(plugin(b"two", vec![offered])).await.expect("put");
    let stored = rig.b.task_get(&task_id("p:work")).await.expect("read").expect("there").task;
    assert_eq!(stored.declared, declared);
    assert_eq!(stored.resolved().max_running_jobs, Parallelism::AtMost(7.try_into().expect("not zero")));
}

async fn settings_given_with_a_version_are_laid_over_what_was_configured(rig: Rig) {
    rig.a.plugin_put(plugin(b"one", vec![task("p:work", None)])).await.expect("put");
    rig.a.task_put(task("p:work", Some(7))).await.expect("configured");
    let configure = Settings { fuel: Some(9), ..Settings::default() };
    let offered = |id| Task { configured: Settings::default(), ..task(id, None) };
    let put = PutPlugin { configure, ..plugin(b"two", vec![offered("p:work"), offered("p:new")]) };
    rig.b.plugin_put(put).await.expect("put");
    let configured = async |id| rig.a.task_get(&task_id(id)).await.expect("read").expect("there").task.configured;
    let limit = Some(Parallelism::AtMost(7.try_into().expect("not zero")));
    assert_eq!(configured("p:work").await, Settings { fuel: Some(9), max_running_jobs: limit, ..Settings::default() });
    assert_eq!(configured("p:new").await, Settings { fuel: Some(9), ..Settings::default() });
}

async fn an_older_version_can_be_made_current_again(rig: Rig) {
    let old = plugin(b"one", vec![task("p:old", None)]);
    rig.a.plugin_put(old.clone()).await.expect("put");
    rig.a.plugin_put(plugin(b"two", vec![task("p:new", None)])).await.expect("put");
    let PutPlugin { version, tasks, .. } = old;
    let back = ActivatePlugin { name: name(), digest: version.digest, tasks, reviewed: None };
    assert_eq!(rig.a.plugin_activate(back.clone()).await.expect("activated").put, Put::Replaced);
    assert_eq!(rig.b.plugin_get(&name()).await.expect("read"), Some(version));
    assert!(rig.b.task_get(&task_id("p:new")).await.expect("read").is_none());
    assert_eq!(rig.b.plugin_activate(back).await.expect("activated").put, Put::Unchanged);
}

async fn a_version_that_was_never_registered_cannot_be_made_current(rig: Rig) {
    rig.a.plugin_put(plugin(b"one", vec![task("p:work", None)])).await.expect("put");
    let digest = plugin(b"two", Vec::new()).version.digest;
    let refused =
        rig.a.plugin_activate(ActivatePlugin { name: name(), digest, tasks: Vec::new(), reviewed: None }).await;
    assert!(matches!(refused, Err(StoreError::NotFound(_))), "{refused:?}");
    assert!(rig.b.task_get(&task_id("p:work")).await.expect("read").is_some());
}

async fn removing_a_plugin_removes_its_derived_tasks_too(rig: Rig) {
    let put = plugin(b"one", vec![task("p:work", None)]);
    rig.a.plugin_put(put.clone()).await.expect("put");
    rig.a.task_put(Task { id: task_id("mine"), ..task("p:work", None) }).await.expect("put");
    let mut removed = rig.a.plugin_remove(&name()).await.expect("removed").expect("was there");
    removed.sort();
    assert_eq!(removed, [task_id("mine"), task_id("p:work")]);
    assert_eq!(rig.b.plugin_remove(&name()).await.expect("asked"), None);
    assert_eq!(rig.b.plugin_bytes(&put.version.digest).await.expect("read"), None);
    assert!(rig.b.task_list().await.expect("listed").rows.is_empty());
}

async fn a_component_larger_than_a_packet_is_stored_whole(rig: Rig) {
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let put = plugin(&bytes, Vec::new());
    rig.a.plugin_put(put.clone()).await.expect("put");
    assert!(rig.b.plugin_bytes(&put.version.digest).await.expect("read") == Some(bytes));
}
