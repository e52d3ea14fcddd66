//! A revision made ready to run: tasks by position, edges both ways, expressions compiled. Built once per revision and
//! shared by all its executions.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use nexus_expr::{Condition, ExprError, Template};
use nexus_spec::model::{Delivery, Priority, Retry, TriggerRule, Workflow};
use nexus_spec::{InputTemplate, Span};

use crate::key::TaskKey;

/// A revision made ready to run.
#[derive(Debug)]
pub struct Plan {
    /// The namespace that the workflow belongs to, for expressions.
    pub namespace: Arc<str>,
    /// The workflow's name.
    pub workflow: String,
    /// The revision's number.
    pub revision: u32,
    /// The tasks, in the order of the file.
    pub tasks: Vec<TaskPlan>,
    /// Positions of the tasks by id.
    pub index: HashMap<String, u32>,
    /// Cancel everything else as soon as one task has failed for good.
    pub fail_fast: bool,
    /// The whole execution may take this long.
    pub timeout: Option<Span>,
    /// The workflow's output.
    pub output: Option<Template>,
}

/// One task made ready to run.
#[derive(Debug)]
pub struct TaskPlan {
    /// The task's id.
    pub id: String,
    /// The kind key.
    pub kind: &'static str,
    /// Positions of the tasks that it needs.
    pub needs: Vec<u32>,
    /// Positions of the tasks that need it.
    pub dependants: Vec<u32>,
    /// Positions of the tasks whose failure it handles; it needs all of them.
    pub handles: Vec<u32>,
    /// Positions of the tasks that handle its failure.
    pub handlers: Vec<u32>,
    /// How the needed tasks must have ended.
    pub rule: TriggerRule,
    /// `if`.
    pub condition: Option<Condition>,
    /// The kind's fields.
    pub input: InputTemplate,
    /// Time limit of one attempt.
    pub timeout: Span,
    /// Time limit from ready to leased.
    pub schedule_to_start: Option<Span>,
    /// Time limit over all attempts.
    pub total: Option<Span>,
    /// When to try again.
    pub retry: Retry,
    /// Queue that it is handed out from: as the file names it, or as a namespace makes of that.
    pub queue: String,
    /// Which tasks of a queue go first.
    pub priority: Priority,
    /// What happens when the worker is lost.
    pub delivery: Delivery,
    /// For how long its output is kept for executions whose task has the same input; not at all when nothing is said.
    pub cache: Option<Span>,
    /// The task's failure is no failure of the execution.
    pub continue_on_error: bool,
    /// Some expression looks at the task, so its output is needed as long as the execution lives.
    pub wanted: bool,
}

/// A workflow that cannot be made ready. Validation refuses such workflows, so this is seen only when a stored
/// document was made by other means.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// An expression does not compile.
    #[error("workflow {workflow}, task {task}: {source}")]
    Expression {
        /// The workflow's name.
        workflow: String,
        /// The task's id, or `output` for the workflow's output.
        task: String,
        /// What is wrong with it.
        #[source]
        source: Box<ExprError>,
    },
    /// A task needs one that is not there.
    #[error("workflow {workflow}: task {task} needs {needed}, which does not exist")]
    UnknownTask {
        /// The workflow's name.
        workflow: String,
        /// The task's id.
        task: String,
        /// The missing task's id.
        needed: String,
    },
    /// Some tasks wait for each other.
    #[error("workflow {workflow}: cycle between the tasks {tasks}")]
    Cycle {
        /// The workflow's name.
        workflow: String,
        /// Ids of tasks on or behind a cycle.
        tasks: String,
    },
}

impl Plan {
    /// What a task of an execution is by the plan. The key is one of the execution's; any other is a bug.
    #[must_use]
    pub fn task(&self, key: TaskKey) -> &TaskPlan {
        &self.tasks[key.node as usize]
    }

    /// The tasks that a task needs.
    pub fn needs(&self, key: TaskKey) -> impl Iterator<Item = TaskKey> + '_ {
        self.task(key).needs.iter().copied().map(TaskKey::of)
    }

    /// The tasks that need a task.
    pub fn dependants(&self, key: TaskKey) -> impl Iterator<Item = TaskKey> + '_ {
        self.task(key).dependants.iter().copied().map(TaskKey::of)
    }

    /// The tasks that handle a task's failure.
    pub fn handlers(&self, key: TaskKey) -> impl Iterator<Item = TaskKey> + '_ {
        self.task(key).handlers.iter().copied().map(TaskKey::of)
    }

    /// The task with an id; of several of one node the first.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<TaskKey> {
        self.index.get(id).copied().map(TaskKey::of)
    }

    /// Makes a workflow's revision ready to run in the namespace `default`.
    ///
    /// # Errors
    /// When an expression does not compile, a needed task does not exist, or tasks wait for each other.
    pub fn new(workflow: &Workflow, revision: u32) -> Result<Self, PlanError> {
        let index: HashMap<String, u32> = workflow.tasks.keys().cloned().zip(0..).collect();
        let mut tasks = Vec::with_capacity(workflow.tasks.len());
        for id in workflow.tasks.keys() {
            tasks.push(TaskPlan::new(workflow, id, &index)?);
        }
        for position in 0..tasks.len() {
            let number = u32::try_from(position).unwrap_or(u32::MAX);
            for needed in tasks[position].needs.clone() {
                tasks[needed as usize].dependants.push(number);
            }
            for handled in tasks[position].handles.clone() {
                tasks[handled as usize].handlers.push(number);
            }
        }
        let output = workflow
            .output
            .as_ref()
            .map(Template::compile)
            .transpose()
            .map_err(|source| PlanError::Expression {
                workflow: workflow.name.clone(),
                task: "output".into(),
                source: Box::new(source),
            })?;
        let mut plan = Self {
            namespace: Arc::from("default"),
            workflow: workflow.name.clone(),
            revision,
            tasks,
            index,
            fail_fast: workflow.fail_fast,
            timeout: workflow.timeout,
            output,
        };
        plan.refuse_cycles()?;
        plan.mark_wanted();
        Ok(plan)
    }

    /// The same in another namespace, whose queues are told from those of others by `queue`. Done once for a revision, so
    /// that handing a task out costs nothing more.
    #[must_use]
    pub fn in_namespace(mut self, namespace: Arc<str>, queue: impl Fn(&str) -> String) -> Self {
        self.namespace = namespace;
        for task in &mut self.tasks {
            task.queue = queue(&task.queue);
        }
        self
    }

    /// Marks the tasks that expressions refer to.
    fn mark_wanted(&mut self) {
        let mut wanted = BTreeSet::new();
        for task in &self.tasks {
            wanted.extend(task.input.references().tasks.iter().cloned());
            let condition = task
                .condition
                .iter()
                .flat_map(|condition| &condition.references().tasks);
            wanted.extend(condition.cloned());
        }
        wanted.extend(
            self.output
                .iter()
                .flat_map(|output| output.references().tasks.iter().cloned()),
        );
        for id in wanted {
            if let Some(position) = self.index.get(&id) {
                self.tasks[*position as usize].wanted = true;
            }
        }
    }

    /// Kahn's algorithm: whatever is left over stands on a cycle or behind one and would wait for ever.
    fn refuse_cycles(&self) -> Result<(), PlanError> {
        let mut missing: Vec<usize> = self.tasks.iter().map(|task| task.needs.len()).collect();
        let mut ready: Vec<usize> = (0..self.tasks.len()).filter(|task| missing[*task] == 0).collect();
        let mut seen = 0;
        while let Some(task) = ready.pop() {
            seen += 1;
            for dependant in &self.tasks[task].dependants {
                let dependant = *dependant as usize;
                missing[dependant] -= 1;
                if missing[dependant] == 0 {
                    ready.push(dependant);
                }
            }
        }
        if seen == self.tasks.len() {
            return Ok(());
        }
        let stuck: Vec<&str> = self
            .tasks
            .iter()
            .zip(&missing)
            .filter(|(_, n)| **n > 0)
            .map(|(task, _)| task.id.as_str())
            .take(10)
            .collect();
        Err(PlanError::Cycle {
            workflow: self.workflow.clone(),
            tasks: stuck.join(", "),
        })
    }
}

impl TaskPlan {
    fn new(workflow: &Workflow, id: &str, index: &HashMap<String, u32>) -> Result<Self, PlanError> {
        let task = &workflow.tasks[id];
        let wrong = |source| PlanError::Expression {
            workflow: workflow.name.clone(),
            task: id.to_owned(),
            source: Box::new(source),
        };
        let position_of = |needed: &String| {
            let position = index.get(needed).copied();
            position.ok_or_else(|| PlanError::UnknownTask {
                workflow: workflow.name.clone(),
                task: id.to_owned(),
                needed: needed.clone(),
            })
        };
        let needs = workflow
            .dependencies(id)
            .iter()
            .map(position_of)
            .collect::<Result<_, _>>()?;
        // What is named twice is handled once, and nothing handles itself: it waits for what it handles.
        let handled: BTreeSet<&String> = task.handled().iter().filter(|handled| *handled != id).collect();
        let handles = handled.into_iter().map(position_of).collect::<Result<_, _>>()?;
        let effective = workflow.effective(task);
        Ok(Self {
            id: id.to_owned(),
            kind: task.kind.key(),
            needs,
            dependants: Vec::new(),
            handles,
            handlers: Vec::new(),
            rule: task.rule(),
            condition: task
                .condition
                .as_deref()
                .map(Condition::compile)
                .transpose()
                .map_err(wrong)?,
            input: task.compile_input().map_err(wrong)?,
            timeout: effective.timeout,
            schedule_to_start: effective.schedule_to_start_timeout,
            total: effective.total_timeout,
            retry: effective.retry,
            queue: effective.queue,
            priority: effective.priority,
            delivery: task.delivery,
            cache: task.cache.map(|cache| cache.ttl),
            continue_on_error: task.continue_on_error,
            wanted: false,
        })
    }
}
