//! Up to where the feed was read, and what follows from it.

macro_rules! progress {
    ($store:ident, $connection:ty, $row:ty, $driver:ty, $lock:literal) => {
        mod progress {
            use std::collections::BTreeMap;

            use async_trait::async_trait;
            use nexus_api::notifications::v1::delivery::{State, Suppression};
            use nexus_failpoint::kill_here;
            use prost::Message;
            use sqlx::{QueryBuilder, Row};

            use super::$store;
            use crate::store::sql::read::{database, durations, large, notice, small};
            use crate::store::{NewDelivery, OutcomeRow, Progress, Record, StoreError, Watch};

            /// Messages of one statement.
            const AT_ONCE: usize = 100;

            /// The open message that others of its rule join, and how many do.
            #[derive(Default)]
            struct Group {
                id: String,
                joined: i64,
            }

            fn watch(row: &$row) -> Result<Watch, StoreError> {
                let content: Vec<u8> = row.try_get("content").map_err(database)?;
                let read = || -> Result<Watch, sqlx::Error> {
                    Ok(Watch {
                        id: row.try_get("id")?,
                        namespace: row.try_get("namespace")?,
                        execution: row.try_get("execution")?,
                        rule: row.try_get("rule")?,
                        due_at: row.try_get("due_at")?,
                        notice: nexus_api::notifications::v1::Notice::default(),
                    })
                };
                Ok(Watch {
                    notice: notice(&content)?,
                    ..read().map_err(database)?
                })
            }

            impl $store {
                /// Makes messages; those that are there already stay as they are.
                async fn make(
                    connection: &mut $connection,
                    deliveries: &[NewDelivery],
                    now: i64,
                ) -> Result<(), StoreError> {
                    let mut groups: BTreeMap<(&str, &str, &str), Group> = BTreeMap::new();
                    let mut rows = Vec::with_capacity(deliveries.len());
                    for one in deliveries {
                        let mut into = String::new();
                        if one.group_until > 0 && one.suppression.is_none() {
                            let key = (one.namespace.as_str(), one.rule.as_str(), one.channel.as_str());
                            if !groups.contains_key(&key) {
                                groups.insert(key, Self::open_group(connection, one, now).await?);
                            }
                            let group = groups.entry(key).or_default();
                            if group.id.is_empty() {
                                group.id.clone_from(&one.id);
                            } else if group.id != one.id {
                                group.joined += 1;
                                into.clone_from(&group.id);
                            }
                        }
                        rows.push((one, into));
                    }
                    for rows in rows.chunks(AT_ONCE) {
                        Self::insert(connection, rows, now).await?;
                    }
                    for group in groups.values().filter(|group| group.joined > 0) {
                        sqlx::query("UPDATE deliveries SET group_size = group_size + $2 WHERE id = $1")
                            .bind(&group.id)
                            .bind(group.joined)
                            .execute(&mut *connection)
                            .await
                            .map_err(database)?;
                    }
                    Ok(())
                }

                /// The message that another one would join. Locked, so that it is not sent meanwhile.
                async fn open_group(connection: &mut $connection, one: &NewDelivery, now: i64) -> Result<Group, StoreError> {
                    let find = concat!(
                        "SELECT id FROM deliveries WHERE namespace = $1 AND rule = $2 AND channel = $3 AND group_until > $4
                             AND finished_at = 0 AND state = 1 ORDER BY group_until LIMIT 1",
                        $lock
                    );
                    let row = sqlx::query(find)
                        .bind(&one.namespace)
                        .bind(&one.rule)
                        .bind(&one.channel)
                        .bind(now)
                        .fetch_optional(connection)
                        .await
                        .map_err(database)?;
                    let id = row.map(|row| row.try_get(0)).transpose().map_err(database)?;
                    Ok(Group {
                        id: id.unwrap_or_default(),
                        joined: 0,
                    })
                }

                async fn insert(
                    connection: &mut $connection,
                    rows: &[(&NewDelivery, String)],
                    now: i64,
                ) -> Result<(), StoreError> {
                    let mut query = QueryBuilder::<$driver>::new(
                        "INSERT INTO deliveries (id, namespace, rule, channel, execution, state, suppression, grouped_into,
                             group_until, group_size, due_at, attempts, tries, fence, problem, created_at, finished_at,
                             content) ",
                    );
                    query.push_values(rows, |mut row, (one, into)| {
                        let suppression = match (one.suppression, into.is_empty()) {
                            (Some(why), _) => why,
                            (None, false) => Suppression::Grouped,
                            (None, true) => Suppression::Unspecified,
                        };
                        let over = suppression != Suppression::Unspecified;
                        let state = if over { State::Suppressed } else { State::Pending };
                        row.push_bind(one.id.clone())
                            .push_bind(one.namespace.clone())
                            .push_bind(one.rule.clone())
                            .push_bind(one.channel.clone())
                            .push_bind(one.notice.execution.clone())
                            .push_bind(i64::from(i32::from(state)))
                            .push_bind(i64::from(i32::from(suppression)))
                            .push_bind(into.clone())
                            .push_bind(if over { 0 } else { one.group_until })
                            .push_bind(1_i64)
                            .push_bind(one.due_at)
                            .push_bind(0_i64)
                            .push_bind(0_i64)
                            .push_bind(0_i64)
                            .push_bind(String::new())
                            .push_bind(now)
                            .push_bind(if over { now } else { 0 })
                            .push_bind(one.notice.encode_to_vec());
                    });
                    query.push(" ON CONFLICT (id) DO NOTHING");
                    query.build().execute(connection).await.map_err(database).map(drop)
                }

                async fn try_record(&self, record: &Record) -> Result<bool, StoreError> {
                    let mut transaction = self.database.begin().await?;
                    for (shard, found, next) in &record.positions {
                        let moved = sqlx::query("UPDATE positions SET position = $3 WHERE shard = $1 AND position = $2")
                            .bind(i64::from(*shard))
                            .bind(large(*found))
                            .bind(large(*next))
                            .execute(&mut *transaction)
                            .await
                            .map_err(database)?;
                        if moved.rows_affected() == 0 {
                            return Ok(false);
                        }
                    }
                    for watch in &record.watches {
                        sqlx::query(
                            "INSERT INTO watches (id, namespace, execution, rule, due_at, content)
                             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
                        )
                        .bind(&watch.id)
                        .bind(&watch.namespace)
                        .bind(&watch.execution)
                        .bind(&watch.rule)
                        .bind(watch.due_at)
                        .bind(watch.notice.encode_to_vec())
                        .execute(&mut *transaction)
                        .await
                        .map_err(database)?;
                    }
                    for execution in &record.finished {
                        sqlx::query("DELETE FROM watches WHERE execution = $1")
                            .bind(execution)
                            .execute(&mut *transaction)
                            .await
                            .map_err(database)?;
                    }
                    for outcome in &record.outcomes {
                        sqlx::query(
                            "INSERT INTO outcomes (namespace, workflow, failed, finished_at, durations)
                             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (namespace, workflow) DO UPDATE SET
                                 failed = excluded.failed, finished_at = excluded.finished_at,
                                 durations = excluded.durations",
                        )
                        .bind(&outcome.namespace)
                        .bind(&outcome.workflow)
                        .bind(i64::from(outcome.failed))
                        .bind(outcome.finished_at)
                        .bind(serde_json::to_string(&outcome.durations).unwrap_or_default())
                        .execute(&mut *transaction)
                        .await
                        .map_err(database)?;
                    }
                    let now = Self::clock(&mut transaction).await?;
                    Self::make(&mut transaction, &record.deliveries, now).await?;
                    kill_here("notifications::record::written");
                    self.commit(transaction).await?;
                    kill_here("notifications::record::done");
                    Ok(true)
                }

                async fn try_end_watch(&self, id: &str, deliveries: &[NewDelivery]) -> Result<bool, StoreError> {
                    let mut transaction = self.database.begin().await?;
                    let ended = sqlx::query("DELETE FROM watches WHERE id = $1")
                        .bind(id)
                        .execute(&mut *transaction)
                        .await
                        .map_err(database)?;
                    if ended.rows_affected() == 0 {
                        return Ok(false);
                    }
                    let now = Self::clock(&mut transaction).await?;
                    Self::make(&mut transaction, deliveries, now).await?;
                    self.commit(transaction).await?;
                    Ok(true)
                }

                async fn try_begin(&self, positions: &[(u32, u64)], replace: bool) -> Result<(), StoreError> {
                    let mut transaction = self.database.begin().await?;
                    let statement = match replace {
                        true => {
                            "INSERT INTO positions (shard, position) VALUES ($1, $2)
                             ON CONFLICT (shard) DO UPDATE SET position = excluded.position"
                        }
                        false => "INSERT INTO positions (shard, position) VALUES ($1, $2) ON CONFLICT (shard) DO NOTHING",
                    };
                    for (shard, position) in positions {
                        sqlx::query(statement)
                            .bind(i64::from(*shard))
                            .bind(large(*position))
                            .execute(&mut *transaction)
                            .await
                            .map_err(database)?;
                    }
                    self.commit(transaction).await
                }

                async fn try_lease(&self, name: &str, holder: &str, micros: i64) -> Result<bool, StoreError> {
                    let mut transaction = self.database.begin().await?;
                    let now = Self::clock(&mut transaction).await?;
                    let taken = sqlx::query(
                        "INSERT INTO leases AS l (name, holder, until) VALUES ($1, $2, $3)
                         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
                         WHERE l.holder = $2 OR l.until < $4",
                    )
                    .bind(name)
                    .bind(holder)
                    .bind(now.saturating_add(micros))
                    .bind(now)
                    .execute(&mut *transaction)
                    .await
                    .map_err(database)?;
                    self.commit(transaction).await?;
                    Ok(taken.rows_affected() > 0)
                }
            }

            #[async_trait]
            impl Progress for $store {
                async fn positions(&self) -> Result<Vec<(u32, u64)>, StoreError> {
                    let rows = sqlx::query("SELECT shard, position FROM positions ORDER BY shard")
                        .fetch_all(self.reader())
                        .await
                        .map_err(database)?;
                    let read = |row: &$row| {
                        let shard: i64 = row.try_get(0).map_err(database)?;
                        let position: i64 = row.try_get(1).map_err(database)?;
                        Ok((small(shard)?, u64::try_from(position).unwrap_or_default()))
                    };
                    rows.iter().map(read).collect()
                }

                async fn begin(&self, positions: &[(u32, u64)]) -> Result<(), StoreError> {
                    self.trying(|| self.try_begin(positions, false)).await
                }

                async fn jump(&self, shard: u32, position: u64) -> Result<(), StoreError> {
                    let position = [(shard, position)];
                    self.trying(|| self.try_begin(&position, true)).await
                }

                async fn outcomes(&self, workflows: &[(String, String)]) -> Result<Vec<OutcomeRow>, StoreError> {
                    let mut found = Vec::with_capacity(workflows.len());
                    for workflows in workflows.chunks(AT_ONCE) {
                        let mut query = QueryBuilder::<$driver>::new(
                            "SELECT namespace, workflow, failed, finished_at, durations FROM outcomes
                             WHERE (namespace, workflow) IN (",
                        );
                        query.push_values(workflows, |mut row, (namespace, workflow)| {
                            row.push_bind(namespace.clone()).push_bind(workflow.clone());
                        });
                        query.push(")");
                        let rows = query.build().fetch_all(self.reader()).await.map_err(database)?;
                        for row in &rows {
                            let texts: String = row.try_get("durations").map_err(database)?;
                            let failed: i64 = row.try_get("failed").map_err(database)?;
                            found.push(OutcomeRow {
                                namespace: row.try_get("namespace").map_err(database)?,
                                workflow: row.try_get("workflow").map_err(database)?,
                                failed: failed != 0,
                                finished_at: row.try_get("finished_at").map_err(database)?,
                                durations: durations(&texts)?,
                            });
                        }
                    }
                    Ok(found)
                }

                async fn record(&self, record: &Record) -> Result<bool, StoreError> {
                    self.trying(|| self.try_record(record)).await
                }

                async fn lease(&self, name: &str, holder: &str, micros: i64) -> Result<bool, StoreError> {
                    self.trying(|| self.try_lease(name, holder, micros)).await
                }

                async fn release(&self, name: &str, holder: &str) -> Result<(), StoreError> {
                    let mut transaction = self.database.begin().await?;
                    sqlx::query("DELETE FROM leases WHERE name = $1 AND holder = $2")
                        .bind(name)
                        .bind(holder)
                        .execute(&mut *transaction)
                        .await
                        .map_err(database)?;
                    self.commit(transaction).await
                }

                async fn due_watches(&self, limit: u32) -> Result<Vec<Watch>, StoreError> {
                    let mut connection = self.reader().acquire().await.map_err(database)?;
                    let now = Self::clock(&mut connection).await?;
                    let rows = sqlx::query("SELECT * FROM watches WHERE due_at <= $1 ORDER BY due_at LIMIT $2")
                        .bind(now)
                        .bind(i64::from(limit))
                        .fetch_all(&mut *connection)
                        .await
                        .map_err(database)?;
                    rows.iter().map(watch).collect()
                }

                async fn end_watch(&self, id: &str, deliveries: &[NewDelivery]) -> Result<bool, StoreError> {
                    self.trying(|| self.try_end_watch(id, deliveries)).await
                }
            }
        }
    };
}
pub(in crate::store) use progress;
