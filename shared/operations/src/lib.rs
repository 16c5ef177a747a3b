//! The operators' verbs, one module per noun. The CLI prints what they return; other programs may call them as well.
//!
//! A verb takes an [`Operator`], which holds the connections, and plain arguments. It returns plain data, which
//! serializes to the JSON that the CLI prints, or an [`Error`]. Nothing here prints, or parses a command line.

pub mod audit;
mod commands;
pub mod dead_letters;
mod error;
pub mod keys;
pub mod links;
pub mod mail;
mod moments;
mod operator;
pub mod overview;
pub mod pulls;
pub mod reports;
pub mod tenants;
pub mod users;

pub use error::Error;
pub use operator::Operator;

#[cfg(test)]
mod tests {
    use database::tenants::Tenant;

    use super::*;

    /// The futures can be sent between threads: a web server runs them as tasks. The compiler checks this.
    const _: fn(&Operator, &Tenant, &users::New, &pulls::Requested) = |operator, tenant, new, requested| {
        fn sent<T: Send>(_: T) {}
        let id = tenant.id;
        sent(operator.tenant("acme"));
        sent(tenants::add(operator, "acme"));
        sent(tenants::list(operator));
        sent(tenants::set(operator, tenant, &[]));
        sent(keys::add(operator, tenant, &[], keys::Lifetime::default(), &keys::Networks::default()));
        sent(keys::set_networks(operator, tenant, "", &keys::Networks::default()));
        sent(keys::list(operator, tenant));
        sent(keys::revoke(operator, tenant, ""));
        sent(users::add(operator, tenant, new));
        sent(users::set_role(operator, tenant, "", domain::command::Role::Learner));
        sent(users::show(operator, tenant, ""));
        sent(users::export(operator, tenant, ""));
        sent(users::erase(operator, tenant, ""));
        sent(tenants::remove(operator, tenant, |_| {}));
        sent(links::run(operator, tenant, Vec::new(), true, |_, _| {}));
        let (report, filter) = (domain::report::Report::Learners, domain::report::Filter::default());
        sent(reports::report(operator, None, report, filter));
        sent(reports::activity(operator, tenant, None, "7d"));
        sent(reports::pages(operator, &reports::unlinked(tenant), |_| true));
        sent(async {
            pulls::draft(operator, tenant, pulls::ConfigurationChanges::default())
                .await?
                .save(operator, None)
                .await
        });
        sent(pulls::unset(operator, tenant));
        sent(pulls::renew(operator));
        sent(pulls::status(operator, None));
        sent(pulls::request(operator, tenant));
        sent(pulls::confirm(operator, tenant, None));
        sent(pulls::follow(operator, requested, |_| {}));
        sent(mail::list(operator, &mail::Selection::default()));
        sent(mail::show(operator, id));
        sent(mail::resend(operator, id));
        sent(dead_letters::list(operator, 1));
        sent(dead_letters::show(operator, "", false));
        sent(dead_letters::redrive(operator, &dead_letters::Selection::All, |_| {}));
        sent(dead_letters::remove(operator, &dead_letters::Selection::All, |_| {}));
        sent(async { overview::Observer::default().look(operator).await });
    };
}
