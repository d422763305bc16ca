//! Hooks, before they are stored.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::schema::faults_of_arguments;
use super::{App, AppError, AppResult};
use crate::model::{HookCall, HookSettings, Task, TaskId, Timestamp};

impl App {
    /// Puts whole ids in the place of the names by which tasks are called, for hooks of the task `of` or of one of its schedules.
    ///
    /// That a hook leads back is seen as the tasks are configured now. What becomes a circle later stays harmless, because the job of a hook
    /// calls no hook itself.
    ///
    /// # Errors
    /// [`AppError::NotFound`] for a task that does not exist; [`AppError::Invalid`] where it does not take the argument that hooks get, or where
    /// its own hooks lead back to `of`.
    pub(super) async fn check_hooks(&self, hooks: &mut HookSettings, of: &TaskId) -> AppResult<()> {
        for name in hooks.tasks_mut() {
            let task = self.task_resolve(name.as_str()).await?.task;
            self.check_takes_hooks(&task)?;
            if let Some(way) = self.way_back(&task.id, of).await? {
                let way: Vec<String> = way.iter().map(|id| format!("`{id}`")).collect();
                let what = format!("the hooks would go round in a circle: {}", way.join(" calls "));
                return Err(AppError::invalid(what).with_hint("name a task whose own hooks do not lead back"));
            }
            *name = task.id;
        }
        Ok(())
    }

    fn check_takes_hooks(&self, task: &Task) -> AppResult<()> {
        // Registration has checked that the schema is JSON; without one nothing is known of the arguments.
        let schema = task.args_schema.as_ref().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let Some(schema) = schema else { return Ok(()) };
        let sample = HookCall::sample(self.next_job_id(), task.id.clone(), Timestamp::EPOCH);
        let faults = faults_of_arguments(&schema, &sample);
        if faults.is_empty() {
            return Ok(());
        }
        Err(AppError::Invalid {
            what: format!("the task `{}` does not take what a hook gets", task.id),
            causes: faults.iter().map(ToString::to_string).collect(),
            hint: Some("a hook gets one argument, `job`, an object that tells of the job that has ended".to_owned()),
        })
    }

    /// The tasks that call each other, from `of` over `first` and back to `of`, where there is such a way.
    async fn way_back(&self, first: &TaskId, of: &TaskId) -> AppResult<Option<Vec<TaskId>>> {
        let mut called_by: BTreeMap<TaskId, TaskId> = BTreeMap::from([(first.clone(), of.clone())]);
        let mut next = VecDeque::from([first.clone()]);
        while let Some(id) = next.pop_front() {
            if id == *of {
                let mut way = vec![of.clone()];
                let mut at = of;
                while let Some(caller) = called_by.get(at) {
                    way.push(caller.clone());
                    at = caller;
                    if at == of {
                        break;
                    }
                }
                way.reverse();
                return Ok(Some(way));
            }
            // One that is gone, or cannot be read, calls nothing.
            let Some(task) = super::plugins::readable(self.store.task_get(&id).await)? else { continue };
            for called in task.task.layered().hooks.resolve().tasks() {
                if !called_by.contains_key(called) {
                    called_by.insert(called.clone(), id.clone());
                    next.push_back(called.clone());
                }
            }
        }
        Ok(None)
    }
}
