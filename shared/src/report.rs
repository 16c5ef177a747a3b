//! Reports: their names, their columns, what each can be filtered by, and the forms in which their rows are written.
//!
//! Before it: whoever asks for one. After it: `postgres::reports`, which reads it. (The activity log is written in the same forms.)

use serde_json::{Map, Value};

/// A report over the living (or, of `Unlinked`, the active accounts that no identity provider owns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Everybody.
    Learners,
    /// What was assigned to whom.
    Assignments,
    /// By location.
    Locations,
    /// By business unit.
    BusinessUnits,
    /// Accounts that no identity provider made or linked.
    Unlinked,
}

/// A column: its name in the report, and the expression over the view.
pub type Column = (&'static str, &'static str);

/// A time as reports have it (RFC 3339, UTC).
macro_rules! moment {
    ($column:literal) => {
        concat!("to_char(", $column, " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
    };
}

const LEARNERS: &[Column] = &[
    ("id", "id"),
    ("userName", "user_name"),
    ("givenName", "given_name"),
    ("familyName", "family_name"),
    ("email", "email"),
    ("role", "role"),
    ("location", "location"),
    ("businessUnit", "business_unit"),
    ("department", "department"),
    ("jobTitle", "job_title"),
    ("managerName", "manager_name"),
    ("employeeNumber", "employee_number"),
    ("externalId", "external_id"),
    ("createdAt", moment!("created_at")),
];
const ASSIGNMENTS: &[Column] = &[
    ("id", "id"),
    ("userId", "user_id"),
    ("userName", "user_name"),
    ("givenName", "given_name"),
    ("familyName", "family_name"),
    ("email", "email"),
    ("location", "location"),
    ("businessUnit", "business_unit"),
    ("contentId", "content_id"),
    ("contentKind", "content_kind"),
    ("contentTitle", "content_title"),
    ("assignedAt", moment!("assigned_at")),
    ("dueBy", moment!("due_by")),
    ("status", "status"),
    ("completedAt", moment!("completed_at")),
    ("score", "score"),
];
const LOCATIONS: &[Column] = &[
    ("location", "location"),
    ("learners", "learners"),
    ("assigned", "assigned"),
    ("completed", "completed"),
    ("overdue", "overdue"),
];
const BUSINESS_UNITS: &[Column] = &[
    ("businessUnit", "business_unit"),
    ("learners", "learners"),
    ("assigned", "assigned"),
    ("completed", "completed"),
    ("overdue", "overdue"),
];
const UNLINKED: &[Column] = &[
    ("id", "id"),
    ("userName", "user_name"),
    ("email", "email"),
    ("location", "location"),
    ("businessUnit", "business_unit"),
    ("role", "role"),
    ("origin", "origin"),
    ("createdAt", moment!("created_at")),
    ("reason", "'made by hand, and never linked to an identity provider'"),
    (
        "whatToDo",
        "'assign the person to the app in the identity provider under this userName, which links the account, or link it with \
          rollcall link; until then deactivating the person there changes nothing here'",
    ),
];

impl Report {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Learners, Self::Assignments, Self::Locations, Self::BusinessUnits, Self::Unlinked];

    /// The report of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|report| report.name() == name)
    }

    /// Its name, and that of its view in the schema `reporting`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Learners => "learners",
            Self::Assignments => "assignments",
            Self::Locations => "locations",
            Self::BusinessUnits => "business_units",
            Self::Unlinked => "unlinked",
        }
    }

    /// Its columns, in order.
    #[must_use]
    pub fn columns(self) -> &'static [Column] {
        match self {
            Self::Learners => LEARNERS,
            Self::Assignments => ASSIGNMENTS,
            Self::Locations => LOCATIONS,
            Self::BusinessUnits => BUSINESS_UNITS,
            Self::Unlinked => UNLINKED,
        }
    }

    /// The first column, which no two rows of a tenant share: rows come in its order.
    #[must_use]
    pub fn key(self) -> &'static str {
        self.columns().first().map_or("id", |(_, column)| column)
    }

    fn has(self, column: &str) -> bool {
        self.columns().iter().any(|(name, _)| *name == column)
    }
}

/// What is left of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this location alone.
    pub location: Option<String>,
    /// Of this business unit alone.
    pub business_unit: Option<String>,
    /// With this status alone: `Completed`, `Incomplete` or `Overdue`.
    pub status: Option<String>,
}

/// What an assignment may have come to.
const STATUSES: [&str; 3] = ["Completed", "Incomplete", "Overdue"];

impl Filter {
    /// Holds it against a report.
    ///
    /// # Errors
    /// The name of what cannot be asked of this report, and why.
    pub fn check(&self, report: Report) -> Result<(), String> {
        let given = [
            ("location", "location", &self.location),
            ("business_unit", "businessUnit", &self.business_unit),
            ("status", "status", &self.status),
        ];
        for (name, column, value) in given {
            if value.is_some() && !report.has(column) {
                return Err(format!("{name}: the report {} has no such column", report.name()));
            }
        }
        match &self.status {
            Some(status) if !STATUSES.contains(&status.as_str()) => {
                Err(format!("status must be one of {}", STATUSES.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One array of objects.
    Json,
    /// RFC 4180, with the names of the columns in the first line.
    Csv,
}

impl Format {
    /// What comes before the rows.
    #[must_use]
    pub fn begin(self, columns: &[Column]) -> String {
        match self {
            Self::Json => "[".to_owned(),
            Self::Csv => line(columns.iter().map(|(name, _)| (*name).to_owned())),
        }
    }

    /// A row, which is a JSON object with these columns; the `nth`, from 0.
    #[must_use]
    pub fn row(self, columns: &[Column], nth: usize, row: &str) -> String {
        match self {
            Self::Json if nth == 0 => format!("\n{row}"),
            Self::Json => format!(",\n{row}"),
            Self::Csv => {
                let row: Map<String, Value> = serde_json::from_str(row).unwrap_or_default();
                line(columns.iter().map(|(name, _)| cell(row.get(*name))))
            }
        }
    }

    /// What comes after them.
    #[must_use]
    pub fn end(self) -> &'static str {
        match self {
            Self::Json => "\n]\n",
            Self::Csv => "",
        }
    }
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        // A spreadsheet would take it for a formula.
        Some(Value::String(text)) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // Writing into memory cannot fail.
    let _ = writer.write_record(cells);
    writer.into_inner().ok().and_then(|line| String::from_utf8(line).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_a_report_cannot_answer_is_named() {
        let location = Filter { location: Some("Graz".to_owned()), ..Filter::default() };
        let status = |status: &str| Filter { status: Some(status.to_owned()), ..Filter::default() };
        for (filter, report, complaint) in [
            (&location, Report::Learners, None),
            (&location, Report::BusinessUnits, Some("location")),
            (&status("Overdue"), Report::Assignments, None),
            (&status("overdue"), Report::Assignments, Some("Incomplete")),
            (&status("Overdue"), Report::Learners, Some("status")),
        ] {
            let said = filter.check(report).err();
            let fits = match complaint {
                None => said.is_none(),
                Some(word) => said.as_ref().is_some_and(|said| said.contains(word)),
            };
            assert!(fits, "{report:?}: {said:?}");
        }
    }

    #[test]
    fn rows_are_written_in_the_order_of_the_columns_and_harmless_to_spreadsheets() {
        let row =
            r#"{"location": "=1+1, \"x\"", "learners": 2, "assigned": 0, "completed": null, "overdue": 0}"#;
        let (csv, columns) = (Format::Csv, Report::Locations.columns());
        assert_eq!(csv.begin(columns), "location,learners,assigned,completed,overdue\r\n");
        assert_eq!(csv.row(columns, 0, row), "\"'=1+1, \"\"x\"\"\",2,0,,0\r\n");
        let json = Format::Json;
        let all = [json.begin(columns), json.row(columns, 0, row), json.row(columns, 1, row)];
        let all: Value = serde_json::from_str(&(all.concat() + json.end())).unwrap();
        assert_eq!(all.as_array().map(Vec::len), Some(2));
    }
}
