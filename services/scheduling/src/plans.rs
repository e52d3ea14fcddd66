//! Stored schedules as what they say. Pure.

use nexus_schedule::Plan;

use crate::store::{Definition, ScheduleRow, StoreError};

/// What a schedule says.
pub(crate) fn read(row: &ScheduleRow) -> Result<(Definition, Plan), StoreError> {
    let wrong = |problem: String| StoreError::Inconsistent(problem);
    let definition: Definition =
        serde_json::from_str(&row.definition).map_err(|error| wrong(format!("a definition: {error}")))?;
    let plan = Plan::of(&definition.spec).map_err(|error| wrong(error.to_string()))?;
    Ok((definition, plan))
}
