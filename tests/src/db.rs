//! Read access to the tables: every row as JSON.

use database::{Error, Pool};
use diesel::sql_types::{BigInt, Jsonb};
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl;
use serde_json::Value;
use uuid::Uuid;

/// A database.
pub struct Db(Pool);

#[derive(QueryableByName)]
struct JsonRow {
    #[diesel(sql_type = Jsonb)]
    row: Value,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl Db {
    /// The database at a URL.
    ///
    /// # Panics
    /// If the URL is invalid.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self(Pool::new(url, 2).expect("deploy/servers writes a good URL"))
    }

    /// The rows of a query.
    ///
    /// # Panics
    /// If Postgres rejects it.
    pub async fn rows(&self, query: &str) -> Vec<Value> {
        let wrapped = format!("select to_jsonb(t) as row from ({query}) t");
        let read = async |c: &mut _| Ok::<Vec<JsonRow>, Error>(sql_query(&wrapped).load(c).await?);
        let rows = self.0.bounded(read).await.unwrap_or_else(|e| panic!("{query}: {e}"));
        rows.into_iter().map(|row| row.row).collect()
    }

    /// The only row of a query.
    ///
    /// # Panics
    /// If there is none, or more than one.
    pub async fn one(&self, query: &str) -> Value {
        let mut rows = self.rows(query).await;
        assert_eq!(rows.len(), 1, "rows of {query}");
        rows.remove(0)
    }

    /// The number of rows of a query.
    ///
    /// # Panics
    /// If Postgres rejects it.
    pub async fn count(&self, query: &str) -> i64 {
        let wrapped = format!("select count(*) as count from ({query}) t");
        let read = async |c: &mut _| Ok::<Count, Error>(sql_query(&wrapped).get_result(c).await?);
        self.0.bounded(read).await.unwrap_or_else(|e| panic!("{query}: {e}")).count
    }

    /// Runs a statement.
    ///
    /// # Panics
    /// If Postgres rejects it.
    pub async fn execute(&self, statement: &str) {
        let run = async |c: &mut _| Ok::<usize, Error>(sql_query(statement).execute(c).await?);
        self.0.bounded(run).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }

    /// The error if Postgres rejects a query.
    pub async fn refusal(&self, query: &str) -> Option<String> {
        let run = async |c: &mut _| Ok::<usize, Error>(sql_query(query).execute(c).await?);
        self.0.bounded(run).await.err().map(|error| error.to_string())
    }

    /// A user's row.
    pub async fn user(&self, id: &str) -> Option<Value> {
        let id: Uuid = id.parse().expect("our ids are UUIDs");
        self.rows(&format!("select * from users where id = '{id}'")).await.pop()
    }

    /// The user's rows in the mail ledger, oldest first.
    pub async fn ledger(&self, user: &str) -> Vec<Value> {
        let user: Uuid = user.parse().expect("our ids are UUIDs");
        self.rows(&format!("select * from notifications where user_id = '{user}' order by decided_at, id"))
            .await
    }
}
