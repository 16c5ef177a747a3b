//! Reads reports page by page, so that no connection waits for a slow reader and memory use is constant. A report
//! reads only the schemas `reporting_source` and `reporting`.

use diesel::QueryableByName;
use diesel::sql_types::{Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

use super::Error;
use domain::report::{Column, Filter, Report};

/// The maximum number of rows on a page.
pub(super) const PAGE: i64 = 1_000;
/// The maximum total size of the rows on a page, in bytes, unless there is only one.
pub const PAGE_BYTES: usize = 1 << 20;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub struct ReportRow {
    /// A JSON object with the report's columns.
    #[diesel(sql_type = Text)]
    pub object: String,
    /// Its key: the next page starts after it.
    #[diesel(sql_type = Text)]
    pub key: String,
    /// Whether rows may follow it that are not on its page, if it is the last one.
    #[diesel(sql_type = Bool)]
    pub goes_on: bool,
}

/// Data that is read page by page, in the order of a key.
pub trait Paged: Send + Sync {
    /// Its columns.
    fn columns(&self) -> &'static [Column];

    /// A page of rows after the one with this key. [`goes_on`] tells whether more may follow.
    ///
    /// # Errors
    /// See [`Error`].
    fn page(
        &self,
        connection: &mut AsyncPgConnection,
        after: Option<&str>,
    ) -> impl Future<Output = Result<Vec<ReportRow>, Error>> + Send;
}

/// The key after which the next page starts; `None` after the last page.
#[must_use]
pub fn goes_on(page: &[ReportRow]) -> Option<&str> {
    page.last().filter(|row| row.goes_on).map(|row| row.key.as_str())
}

/// The SQL of a page of `rows`, which have the columns `object`, `key` and, to order by, `position`: the first
/// [`PAGE_BYTES`] of them.
pub(super) fn page_of(rows: &str) -> String {
    format!(
        "select object, key, found = {PAGE} or nth < found as goes_on from (\
         select r.*, sum(octet_length(object)) over w as reached, row_number() over w as nth, count(*) over () as found \
         from ({rows} limit {PAGE}) r window w as (order by position rows unbounded preceding)) r \
         where nth = 1 or reached <= {PAGE_BYTES} order by nth"
    )
}

/// The SQL of a row with these columns, as a JSON object.
pub(super) fn object(columns: &[Column]) -> String {
    let members: Vec<String> = columns.iter().map(|(name, column)| format!("'{name}', {column}")).collect();
    format!("json_build_object({})::text as object", members.join(", "))
}

/// A tenant's report.
#[derive(Debug, Clone)]
pub struct ReportOf {
    /// The tenant.
    pub tenant: Uuid,
    /// The report.
    pub report: Report,
    /// The filter, already checked against the report.
    pub filter: Filter,
}

impl Paged for ReportOf {
    fn columns(&self) -> &'static [Column] {
        self.report.columns()
    }

    async fn page(
        &self,
        connection: &mut AsyncPgConnection,
        after: Option<&str>,
    ) -> Result<Vec<ReportRow>, Error> {
        let Self { tenant, report, filter } = self;
        let query = diesel::sql_query(statement(*report, filter, after.is_some()))
            .bind::<SqlUuid, _>(tenant)
            .bind::<Nullable<Text>, _>(after)
            .bind::<Nullable<Text>, _>(filter.location.as_deref())
            .bind::<Nullable<Text>, _>(filter.business_unit.as_deref());
        Ok(query.load(connection).await?)
    }
}

/// Contains only our own constants; requested values are bound.
fn statement(report: Report, filter: &Filter, is_later: bool) -> String {
    let key = report.key();
    let is_added_up = matches!(report, Report::Locations | Report::BusinessUnits);
    let kind = if matches!(report, Report::Learners | Report::Unlinked) { "uuid" } else { "text" };
    let condition = |column: &str, nth: u8, value: &Option<String>| match value {
        Some(_) => format!("{column} = ${nth}"),
        // A statement must have as many parameters as are bound.
        None => format!("${nth}::text is null"),
    };
    let conditions = [
        // A separate statement for each case, so that the index finds the start of the page.
        if is_later { format!("{key} > $2::{kind}") } else { "$2::text is null".to_owned() },
        condition("location", 3, &filter.location),
        condition("business_unit", 4, &filter.business_unit),
        filter.status_condition().unwrap_or("true").to_owned(),
    ];
    let rows = format!("from {} where tenant_id = $1 and {}", report.source(), conditions.join(" and "));
    let rows = if is_added_up {
        format!(
            "from (select {key}, count(*) as learners, sum(assigned)::bigint as assigned, sum(completed)::bigint as completed, \
             sum(overdue)::bigint as overdue {rows} and {key} is not null group by {key}) r"
        )
    } else {
        rows
    };
    page_of(&format!(
        "select {}, {key}::text as key, {key} as position {rows} order by {key}",
        object(report.columns())
    ))
}
