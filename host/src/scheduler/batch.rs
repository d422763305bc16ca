//! Calls to the store that carry many things at once, cut so that no single one of them can spoil the others.
//!
//! A call is bounded by number and by bytes. One that fails is cut in two, until the thing that fails alone is found.

use std::collections::VecDeque;
use std::future::Future;

use crate::store::record::BATCH_BYTES_MAX;
use crate::store::{Store, StoreError};

/// Most things that one call carries.
pub(super) const ITEMS_MAX: usize = 1_000;

/// Why a thing was not stored.
#[derive(Debug, Clone)]
pub(super) enum NotStored {
    /// The store takes nothing at the moment; nothing is said about the thing itself.
    Away(StoreError),
    /// The store is there, and did not take this one in a call of its own.
    Alone(StoreError),
}

/// Stores `items` by as few calls as bounds and failures allow, and answers for each what became of it, in no order.
///
/// `size` is about how many bytes a thing takes. `call` answers for each thing that it was given, in order.
pub(super) async fn store_each<T, A, F, R>(
    store: &dyn Store,
    items: Vec<T>,
    size: impl Fn(&T) -> usize,
    call: F,
) -> Vec<(T, Result<A, NotStored>)>
where
    T: Clone,
    F: Fn(Vec<T>) -> R,
    R: Future<Output = Result<Vec<A>, StoreError>>,
{
    let mut done = Vec::with_capacity(items.len());
    let mut groups = cut(items, size);
    while let Some(mut group) = groups.pop_front() {
        let error = match call(group.clone()).await {
            Ok(answers) => {
                done.extend(group.into_iter().zip(answers.into_iter().map(Ok)));
                continue;
            }
            Err(error) => error,
        };
        if is_away(store, &error).await {
            let left = group.into_iter().chain(groups.into_iter().flatten());
            done.extend(left.map(|item| (item, Err(NotStored::Away(error.clone())))));
            return done;
        }
        if group.len() == 1 {
            done.extend(group.into_iter().map(|item| (item, Err(NotStored::Alone(error.clone())))));
            continue;
        }
        let second = group.split_off(group.len() / 2);
        groups.push_front(second);
        groups.push_front(group);
    }
    done
}

/// Whether a failure says nothing about what the call carried, because the store would have failed any call.
pub(super) async fn is_away(store: &dyn Store, error: &StoreError) -> bool {
    match error {
        StoreError::Rejected { .. } => false,
        StoreError::Closed | StoreError::Unusable { .. } => true,
        _ => store.check().await.is_err(),
    }
}

/// Takes off what does not fit into one call, and answers that.
pub(super) fn cut_first<T>(items: &mut Vec<T>, size: impl Fn(&T) -> usize) -> Vec<T> {
    let mut groups = cut(std::mem::take(items), size);
    *items = groups.pop_front().unwrap_or_default();
    groups.into_iter().flatten().collect()
}

/// Cuts things into groups of at most [`ITEMS_MAX`] and [`BATCH_BYTES_MAX`]; one that is larger goes alone.
fn cut<T>(items: Vec<T>, size: impl Fn(&T) -> usize) -> VecDeque<Vec<T>> {
    let mut groups = VecDeque::new();
    let (mut group, mut bytes) = (Vec::new(), 0_usize);
    for item in items {
        let more = size(&item);
        if !group.is_empty() && (group.len() == ITEMS_MAX || bytes.saturating_add(more) > BATCH_BYTES_MAX) {
            groups.push_back(std::mem::take(&mut group));
            bytes = 0;
        }
        bytes = bytes.saturating_add(more);
        group.push(item);
    }
    if !group.is_empty() {
        groups.push_back(group);
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::store::Certainty;
    use crate::store::Housekeeping as _;
    use crate::store::memory::MemoryStore;

    fn failure(transient: bool) -> StoreError {
        let source = std::sync::Arc::new(std::io::Error::other("no"));
        StoreError::Backend { operation: "test", certainty: Certainty::NotApplied, transient, source }
    }

    /// Stores numbers by calls that fail when one of `bad` is among them. Answers the bad ones and the sizes of the calls.
    async fn store_numbers(count: u32, bad: &[u32], transient: bool) -> (Vec<u32>, Vec<usize>) {
        let calls = Mutex::new(Vec::new());
        let call = |group: Vec<u32>| {
            calls.lock().expect("not poisoned").push(group.len());
            let is_spoilt = group.iter().any(|number| bad.contains(number));
            async move { if is_spoilt { Err(failure(transient)) } else { Ok(group) } }
        };
        let done = store_each(&MemoryStore::new(), (0..count).collect(), |_| 1, call).await;
        assert_eq!(done.len(), count as usize, "each has an answer");
        let mut alone = Vec::new();
        for (number, answer) in done {
            match answer {
                Ok(answered) => assert_eq!(answered, number),
                Err(NotStored::Alone(_)) => alone.push(number),
                Err(NotStored::Away(error)) => panic!("{error}"),
            }
        }
        alone.sort_unstable();
        (alone, calls.into_inner().expect("not poisoned"))
    }

    #[tokio::test]
    async fn the_one_that_fails_alone_is_found_by_halving_and_every_other_is_stored() {
        for (bad, transient) in [(vec![0], true), (vec![199], false), (vec![77, 78, 150], true), (vec![], true)] {
            let (alone, calls) = store_numbers(200, &bad, transient).await;
            assert_eq!(alone, bad);
            assert!(calls.len() <= 1 + bad.len() * 16, "{calls:?}");
        }
    }

    #[tokio::test]
    async fn calls_are_bounded_by_number_and_by_bytes_and_a_large_one_goes_alone() {
        let (_, calls) = store_numbers(1_200, &[], true).await;
        assert_eq!(calls, [1_000, 200]);
        let sizes = [1, BATCH_BYTES_MAX - 1, 1, BATCH_BYTES_MAX * 3, 5];
        let groups: Vec<Vec<usize>> = cut(sizes.to_vec(), |size| *size).into();
        assert_eq!(groups, [vec![sizes[0], sizes[1]], vec![1], vec![sizes[3]], vec![5]]);
    }

    #[tokio::test]
    async fn a_store_that_takes_nothing_at_all_is_not_asked_for_each() {
        let store = MemoryStore::new();
        store.close().await;
        let calls = Mutex::new(0);
        let call = |_: Vec<u32>| {
            *calls.lock().expect("not poisoned") += 1;
            async { Err::<Vec<()>, _>(failure(true)) }
        };
        let done = store_each(&store, (0..1_000).collect(), |_| 1, call).await;
        assert!(done.len() == 1_000 && done.iter().all(|(_, answer)| matches!(answer, Err(NotStored::Away(_)))));
        assert_eq!(*calls.lock().expect("not poisoned"), 1);
    }
}
