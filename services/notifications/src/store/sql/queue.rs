//! Messages: which are due, who sends them, and what became of them.

macro_rules! queue {
    ($store:ident, $row:ty, $driver:ty, $skip:literal) => {
        mod queue {
            use async_trait::async_trait;
            use nexus_api::Namespace;
            use nexus_api::notifications::v1::DeliveryAttempt;
            use nexus_api::notifications::v1::delivery::{State, Suppression};
            use prost::Message;
            use sqlx::{QueryBuilder, Row};

            use super::$store;
            use crate::store::sql::read::{database, decode, notice, state, storable, suppression};
            use crate::store::{DeliveryRow, Filter, Finish, Queue, StoreError, Verdict, Waiting};

            /// Attempts that are kept of one message.
            const ATTEMPTS_KEPT: i64 = 20;

            fn delivery(row: &$row) -> Result<DeliveryRow, StoreError> {
                let number = |column: &str| row.try_get::<i64, _>(column).map_err(database);
                let text = |column: &str| row.try_get::<String, _>(column).map_err(database);
                let content: Vec<u8> = row.try_get("content").map_err(database)?;
                Ok(DeliveryRow {
                    id: text("id")?,
                    namespace: text("namespace")?,
                    rule: text("rule")?,
                    channel: text("channel")?,
                    state: state(number("state")?)?,
                    suppression: suppression(number("suppression")?)?,
                    grouped_into: text("grouped_into")?,
                    group_size: number("group_size")?,
                    due_at: number("due_at")?,
                    attempts: number("attempts")?,
                    tries: number("tries")?,
                    fence: number("fence")?,
                    problem: text("problem")?,
                    created_at: number("created_at")?,
                    finished_at: number("finished_at")?,
                    notice: notice(&content)?,
                })
            }

            impl $store {
                async fn try_claim(
                    &self,
                    namespace: &str,
                    channel: &str,
                    limit: u32,
                    micros: i64,
                ) -> Result<Vec<DeliveryRow>, StoreError> {
                    let mut transaction = self.database.begin().await?;
                    let now = Self::clock(&mut transaction).await?;
                    let take = concat!(
                        "UPDATE deliveries SET state = 2, due_at = $5, attempts = attempts + 1, tries = tries + 1,
                             fence = fence + 1
                         WHERE id IN (SELECT id FROM deliveries WHERE namespace = $1 AND channel = $2 AND finished_at = 0
                             AND due_at <= $3 ORDER BY due_at LIMIT $4",
                        $skip,
                        ") RETURNING *"
                    );
                    let rows = sqlx::query(take)
                        .bind(namespace)
                        .bind(channel)
                        .bind(now)
                        .bind(i64::from(limit))
                        .bind(now.saturating_add(micros))
                        .fetch_all(&mut *transaction)
                        .await
                        .map_err(database)?;
                    let claimed = rows.iter().map(delivery).collect::<Result<_, _>>()?;
                    self.commit(transaction).await?;
                    Ok(claimed)
                }

                async fn try_finish(&self, finish: &Finish) -> Result<bool, StoreError> {
                    let mut transaction = self.database.begin().await?;
                    let now = Self::clock(&mut transaction).await?;
                    let later = |micros: i64| now.saturating_add(micros);
                    let (state, why, due, over) = match finish.verdict {
                        Verdict::Delivered => (State::Delivered, Suppression::Unspecified, now, now),
                        Verdict::Dead => (State::Dead, Suppression::Unspecified, now, now),
                        Verdict::Suppressed(why) => (State::Suppressed, why, now, now),
                        Verdict::Again(micros) => (State::Retrying, Suppression::Unspecified, later(micros), 0),
                        Verdict::Wait(micros) => (State::Pending, Suppression::Unspecified, later(micros), 0),
                    };
                    // What was not tried is no attempt.
                    let untried = i64::from(finish.attempt.is_none() && finish.verdict != Verdict::Dead);
                    let row = sqlx::query(
                        "UPDATE deliveries SET state = $3, suppression = $4, due_at = $5, finished_at = $6, problem = $7,
                             attempts = attempts - $8, tries = tries - $8, group_until = 0
                         WHERE id = $1 AND fence = $2 AND state = 2 RETURNING attempts",
                    )
                    .bind(&finish.id)
                    .bind(finish.fence)
                    .bind(i64::from(i32::from(state)))
                    .bind(i64::from(i32::from(why)))
                    .bind(due)
                    .bind(over)
                    .bind(&finish.problem)
                    .bind(untried)
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(database)?;
                    let Some(row) = row else { return Ok(false) };
                    let number: i64 = row.try_get(0).map_err(database)?;
                    if let Some(attempt) = &finish.attempt {
                        let mut attempt = attempt.clone();
                        attempt.number = u32::try_from(number).unwrap_or(u32::MAX);
                        sqlx::query(
                            "INSERT INTO attempts (delivery, number, content) VALUES ($1, $2, $3)
                             ON CONFLICT (delivery, number) DO UPDATE SET content = excluded.content",
                        )
                        .bind(&finish.id)
                        .bind(number)
                        .bind(attempt.encode_to_vec())
                        .execute(&mut *transaction)
                        .await
                        .map_err(database)?;
                        sqlx::query("DELETE FROM attempts WHERE delivery = $1 AND number <= $2")
                            .bind(&finish.id)
                            .bind(number - ATTEMPTS_KEPT)
                            .execute(&mut *transaction)
                            .await
                            .map_err(database)?;
                    }
                    self.commit(transaction).await?;
                    Ok(true)
                }

                async fn try_pace(
                    &self,
                    namespace: &str,
                    channel: &str,
                    interval: i64,
                    burst: i64,
                ) -> Result<Option<i64>, StoreError> {
                    let mut transaction = self.database.begin().await?;
                    let now = Self::clock(&mut transaction).await?;
                    // Whoever comes second waits for whoever wrote first.
                    let row = sqlx::query(
                        "INSERT INTO paces AS p (namespace, channel, arrival) VALUES ($1, $2, $3)
                         ON CONFLICT (namespace, channel) DO UPDATE SET arrival =
                             CASE WHEN p.arrival > excluded.arrival THEN p.arrival ELSE excluded.arrival END
                         RETURNING arrival",
                    )
                    .bind(namespace)
                    .bind(channel)
                    .bind(now)
                    .fetch_one(&mut *transaction)
                    .await
                    .map_err(database)?;
                    let arrival: i64 = row.try_get(0).map_err(database)?;
                    let early = arrival - interval.saturating_mul(burst - 1) - now;
                    if early > 0 {
                        self.commit(transaction).await?;
                        return Ok(Some(early));
                    }
                    sqlx::query("UPDATE paces SET arrival = $3 WHERE namespace = $1 AND channel = $2")
                        .bind(namespace)
                        .bind(channel)
                        .bind(arrival.saturating_add(interval))
                        .execute(&mut *transaction)
                        .await
                        .map_err(database)?;
                    self.commit(transaction).await?;
                    Ok(None)
                }

                async fn try_redeliver(&self, namespace: &Namespace, id: &str) -> Result<bool, StoreError> {
                    let mut transaction = self.database.begin().await?;
                    let now = Self::clock(&mut transaction).await?;
                    let changed = sqlx::query(
                        "UPDATE deliveries SET state = 1, suppression = 0, due_at = $3, tries = 0, finished_at = 0,
                             group_until = 0, grouped_into = ''
                         WHERE namespace = $1 AND id = $2 AND state <> 2",
                    )
                    .bind(namespace.as_str())
                    .bind(id)
                    .bind(now)
                    .execute(&mut *transaction)
                    .await
                    .map_err(database)?;
                    if changed.rows_affected() == 0 {
                        return Ok(false);
                    }
                    self.tell(&mut transaction).await?;
                    self.commit(transaction).await?;
                    Ok(true)
                }

                async fn try_sweep(&self, older: i64, limit: u32) -> Result<u64, StoreError> {
                    let mut transaction = self.database.begin().await?;
                    let before = Self::clock(&mut transaction).await?.saturating_sub(older);
                    let rows = sqlx::query(concat!(
                        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries
                             WHERE finished_at > 0 AND finished_at < $1 ORDER BY finished_at LIMIT $2",
                        $skip,
                        ") RETURNING id"
                    ))
                    .bind(before)
                    .bind(i64::from(limit))
                    .fetch_all(&mut *transaction)
                    .await
                    .map_err(database)?;
                    for row in &rows {
                        let id: String = row.try_get(0).map_err(database)?;
                        sqlx::query("DELETE FROM attempts WHERE delivery = $1")
                            .bind(id)
                            .execute(&mut *transaction)
                            .await
                            .map_err(database)?;
                    }
                    sqlx::query("DELETE FROM requests WHERE created_at < $1")
                        .bind(before)
                        .execute(&mut *transaction)
                        .await
                        .map_err(database)?;
                    self.commit(transaction).await?;
                    Ok(rows.len() as u64)
                }
            }

            #[async_trait]
            impl Queue for $store {
                async fn due_channels(&self) -> Result<Vec<(String, String)>, StoreError> {
                    let mut connection = self.reader().acquire().await.map_err(database)?;
                    let now = Self::clock(&mut connection).await?;
                    // From channel to channel over the index, however many messages wait for each.
                    let rows = sqlx::query(
                        "WITH RECURSIVE channels(namespace, channel) AS (
                             SELECT * FROM (SELECT namespace, channel FROM deliveries WHERE finished_at = 0
                                 ORDER BY namespace, channel LIMIT 1) first
                             UNION ALL
                             SELECT d.namespace, d.channel FROM channels c JOIN deliveries d ON d.id = (
                                 SELECT n.id FROM deliveries n WHERE n.finished_at = 0
                                     AND (n.namespace, n.channel) > (c.namespace, c.channel)
                                 ORDER BY n.namespace, n.channel LIMIT 1))
                         SELECT namespace, channel FROM channels c WHERE EXISTS (
                             SELECT 1 FROM deliveries d WHERE d.namespace = c.namespace AND d.channel = c.channel
                                 AND d.finished_at = 0 AND d.due_at <= $1)
                         LIMIT 10000",
                    )
                    .bind(now)
                    .fetch_all(&mut *connection)
                    .await
                    .map_err(database)?;
                    let read = |row: &$row| Ok((row.try_get(0)?, row.try_get(1)?));
                    rows.iter().map(read).collect::<Result<_, _>>().map_err(database)
                }

                async fn claim(
                    &self,
                    namespace: &str,
                    channel: &str,
                    limit: u32,
                    micros: i64,
                ) -> Result<Vec<DeliveryRow>, StoreError> {
                    self.trying(|| self.try_claim(namespace, channel, limit, micros)).await
                }

                async fn pace(
                    &self,
                    namespace: &str,
                    channel: &str,
                    interval: i64,
                    burst: i64,
                ) -> Result<Option<i64>, StoreError> {
                    self.trying(|| self.try_pace(namespace, channel, interval, burst)).await
                }

                async fn finish(&self, finish: &Finish) -> Result<bool, StoreError> {
                    self.trying(|| self.try_finish(finish)).await
                }

                async fn members(&self, id: &str, limit: u32) -> Result<Vec<DeliveryRow>, StoreError> {
                    let rows = sqlx::query(
                        "SELECT * FROM deliveries WHERE grouped_into = $1 AND grouped_into <> ''
                         ORDER BY created_at LIMIT $2",
                    )
                    .bind(id)
                    .bind(i64::from(limit))
                    .fetch_all(self.reader())
                    .await
                    .map_err(database)?;
                    rows.iter().map(delivery).collect()
                }

                async fn deliveries(
                    &self,
                    namespace: &Namespace,
                    filter: &Filter,
                    before: Option<(i64, &str)>,
                    limit: u32,
                ) -> Result<Vec<DeliveryRow>, StoreError> {
                    let mut query =
                        QueryBuilder::<$driver>::new("SELECT * FROM deliveries WHERE namespace = ");
                    query.push_bind(namespace.as_str().to_owned());
                    let texts = [
                        (" AND channel = ", &filter.channel),
                        (" AND rule = ", &filter.rule),
                        (" AND execution = ", &filter.execution),
                    ];
                    for (condition, wanted) in texts {
                        if let Some(wanted) = wanted {
                            if !storable(wanted) {
                                return Ok(Vec::new());
                            }
                            query.push(condition).push_bind(wanted.clone());
                        }
                    }
                    if let Some(state) = filter.state {
                        query.push(" AND state = ").push_bind(state);
                    }
                    if let Some((at, id)) = before {
                        query.push(" AND (created_at, id) < (").push_bind(at);
                        query.push(", ").push_bind(id.to_owned()).push(")");
                    }
                    query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(i64::from(limit));
                    let rows = query.build().fetch_all(self.reader()).await.map_err(database)?;
                    rows.iter().map(delivery).collect()
                }

                async fn delivery(&self, namespace: &Namespace, id: &str) -> Result<Option<DeliveryRow>, StoreError> {
                    if !storable(id) {
                        return Ok(None);
                    }
                    let row = sqlx::query("SELECT * FROM deliveries WHERE namespace = $1 AND id = $2")
                        .bind(namespace.as_str())
                        .bind(id)
                        .fetch_optional(self.reader())
                        .await
                        .map_err(database)?;
                    row.as_ref().map(delivery).transpose()
                }

                async fn attempts(&self, id: &str) -> Result<Vec<DeliveryAttempt>, StoreError> {
                    let rows = sqlx::query("SELECT content FROM attempts WHERE delivery = $1 ORDER BY number")
                        .bind(id)
                        .fetch_all(self.reader())
                        .await
                        .map_err(database)?;
                    let read = |row: &$row| {
                        let content: Vec<u8> = row.try_get(0).map_err(database)?;
                        decode(&content)
                    };
                    rows.iter().map(read).collect()
                }

                async fn redeliver(&self, namespace: &Namespace, id: &str) -> Result<bool, StoreError> {
                    if !storable(id) {
                        return Ok(false);
                    }
                    self.trying(|| self.try_redeliver(namespace, id)).await
                }

                async fn waiting(&self) -> Result<Waiting, StoreError> {
                    let mut connection = self.reader().acquire().await.map_err(database)?;
                    let now = Self::clock(&mut connection).await?;
                    let row = sqlx::query("SELECT due_at FROM deliveries WHERE finished_at = 0 ORDER BY due_at LIMIT 1")
                        .fetch_optional(&mut *connection)
                        .await
                        .map_err(database)?;
                    let due: Option<i64> = row.map(|row| row.try_get(0)).transpose().map_err(database)?;
                    Ok(Waiting {
                        oldest: due.map_or(0, |due| now.saturating_sub(due).max(0)),
                        next: due.map(|due| due.saturating_sub(now)),
                    })
                }

                async fn sweep(&self, older: i64, limit: u32) -> Result<u64, StoreError> {
                    self.trying(|| self.try_sweep(older, limit)).await
                }
            }
        }
    };
}
pub(in crate::store) use queue;
