//! Reports: their names, columns and filters. `database::reports` reads a report, and [`Format`] writes its rows. (The
//! activity log is written in the same formats, from [`since`] on.)

mod format;
mod since;

pub use format::Format;
pub use since::{RECENT, since};

/// A report over users who are not archived (`Unlinked`: over active accounts that no identity provider owns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// All users.
    Learners,
    /// All assignments.
    Assignments,
    /// Progress by location.
    Locations,
    /// Progress by business unit.
    BusinessUnits,
    /// Accounts that no identity provider created or linked.
    Unlinked,
}

/// A column: its name in the report, and the expression over the view.
pub type Column = (&'static str, &'static str);

/// A time in a report (RFC 3339, UTC).
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
    ("hireDate", "hire_date"),
    ("region", "region"),
    ("customFields", "custom_fields"),
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
    (
        "reason",
        "'created by hand, without an externalId, never changed by an identity provider: no identity provider is known to own it'",
    ),
    (
        "whatToDo",
        "'assign the user to the app in the identity provider under this userName, so that it finds and changes the \
          account, or set its externalId with rollcall link; until then deactivating the user there may have no effect here'",
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

    /// Its name, which is also that of its view in the schema `reporting`.
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

    /// The first column, which is unique within a tenant: rows are ordered by it.
    #[must_use]
    pub fn key(self) -> &'static str {
        self.columns().first().map_or("id", |(_, column)| column)
    }

    /// The relation that it is read from. Locations and business units are aggregated from the progress of all users,
    /// so that each can be filtered by the other.
    #[must_use]
    pub fn source(self) -> &'static str {
        match self {
            Self::Learners => "reporting_source.learners",
            Self::Assignments => "reporting_source.assignments",
            Self::Locations | Self::BusinessUnits => "reporting.progress",
            Self::Unlinked => "reporting_source.unlinked",
        }
    }
}

/// The statuses of an assignment, each with its condition on a row of `reporting_source.assignments`. They agree with
/// the view's column `status`; conditions let Postgres estimate how many rows to expect.
const STATUSES: [(&str, &str); 4] = [
    ("Completed", "completed_at is not null and not grade_pending"),
    ("Incomplete", "completed_at is null and (due_by is null or due_by >= now())"),
    ("Overdue", "completed_at is null and due_by < now()"),
    ("Grade Pending", "completed_at is not null and grade_pending"),
];

/// The filter of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this location.
    pub location: Option<String>,
    /// Only this business unit.
    pub business_unit: Option<String>,
    /// Only assignments with this status: `Completed`, `Incomplete`, `Overdue` or `Grade Pending`.
    pub status: Option<String>,
}

impl Filter {
    /// Checks the filter against a report.
    ///
    /// # Errors
    /// The filter that this report does not support, or whose value is invalid, and why.
    pub fn check(&self, report: Report) -> Result<(), String> {
        let given =
            [("location", &self.location), ("business_unit", &self.business_unit), ("status", &self.status)];
        for (name, value) in given {
            match value {
                Some(value) if value.is_empty() => return Err(format!("{name} must not be empty")),
                Some(value) if value.contains('\0') => return Err(format!("{name} must not contain U+0000")),
                _ => {}
            }
        }
        if self.status.is_none() {
            return Ok(());
        }
        if report != Report::Assignments {
            return Err(format!("status is only for the report assignments, not for {}", report.name()));
        }
        match self.status_condition() {
            Some(_) => Ok(()),
            None => Err(format!("status must be one of {}", STATUSES.map(|(status, _)| status).join(", "))),
        }
    }

    /// The condition of the status, if the status is known.
    #[must_use]
    pub fn status_condition(&self) -> Option<&'static str> {
        let status = self.status.as_deref()?;
        STATUSES.iter().find(|(known, _)| *known == status).map(|(_, condition)| *condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_filter_is_rejected_by_its_name() {
        let location = |location: &str| Filter { location: Some(location.to_owned()), ..Filter::default() };
        let status = |status: &str| Filter { status: Some(status.to_owned()), ..Filter::default() };
        for (filter, report, complaint) in [
            (location("Graz"), Report::Learners, None),
            (location("Graz"), Report::BusinessUnits, None),
            (location(""), Report::Learners, Some("location must not be empty")),
            (location("a\0"), Report::Learners, Some("location must not contain")),
            (status("Grade Pending"), Report::Assignments, None),
            (status("overdue"), Report::Assignments, Some("Incomplete")),
            (status("Overdue"), Report::Learners, Some("status is only for")),
        ] {
            let said = filter.check(report).err();
            let fits = match complaint {
                None => said.is_none(),
                Some(word) => said.as_ref().is_some_and(|said| said.contains(word)),
            };
            assert!(fits, "{report:?}: {said:?}");
        }
    }
}
