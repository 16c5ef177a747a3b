//! Configuration by environment variables. All problems are reported at once, by variable name.

mod servers_env;
mod variables;

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use crate::plaintext::{self, Allowed};
pub use servers_env::ServersEnv;

pub use variables::{Service, VARIABLES, Variable};

/// The environment of one service. Problems are collected; [`Env::finish`] returns them.
#[derive(Debug)]
pub struct Env {
    service: Service,
    values: HashMap<String, String>,
    problems: Vec<String>,
}

impl Env {
    /// The variables of this process.
    #[must_use]
    pub fn of_process(service: Service) -> Self {
        // A value that is not UTF-8 is converted lossily; its parser then rejects it by name.
        let values = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
            })
            .collect();
        Self::new(service, values)
    }

    /// The given variables.
    #[must_use]
    pub fn new(service: Service, values: HashMap<String, String>) -> Self {
        Self { service, values, problems: Vec::new() }
    }

    /// Adds the variables of `.run/servers.env` that the environment does not set, for the operator's CLI. Where the file
    /// has connection strings of the operator's users, they are used, unless `as_owner` is set. Returns whether it took
    /// one.
    pub fn add_servers_env(&mut self, file: &ServersEnv, as_owner: bool) -> bool {
        let mut took = false;
        for variable in VARIABLES.iter().filter(|v| v.used_by.contains(&self.service)) {
            let operators = format!("OPERATOR_{}", variable.name);
            let names = [Some(&*operators).filter(|_| !as_owner), Some(variable.name)];
            let Some(value) = names.into_iter().flatten().find_map(|name| file.get(name)) else { continue };
            if !self.is_set(variable.name) {
                self.values.insert(variable.name.to_owned(), value.to_owned());
                took = true;
            }
        }
        took
    }

    /// Whether the environment sets a variable.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.trim().is_empty())
    }

    /// The value of a variable of [`VARIABLES`], or its default; a placeholder if it is invalid.
    pub fn get<T: FromStr + Default>(&mut self, name: &'static str) -> T
    where
        T::Err: fmt::Display,
    {
        self.parse(name, |text| text.parse().map_err(|e: T::Err| e.to_string())).unwrap_or_default()
    }

    /// A whole number within bounds.
    pub fn number(&mut self, name: &'static str, bounds: std::ops::RangeInclusive<u32>) -> u32 {
        let least = *bounds.start();
        self.parse(name, |text| match text.parse::<u32>() {
            Ok(n) if bounds.contains(&n) => Ok(n),
            _ => Err(format!("must be a whole number from {least} to {}", bounds.end())),
        })
        .unwrap_or(least)
    }

    /// A number of seconds within bounds.
    pub fn seconds(&mut self, name: &'static str, bounds: std::ops::RangeInclusive<u32>) -> Duration {
        Duration::from_secs(self.number(name, bounds).into())
    }

    /// A URL with one of these schemes. It may contain a secret, so problems do not repeat it.
    pub fn url(&mut self, name: &'static str, schemes: &[&str]) -> String {
        let checked = self.parse(name, |text| match url::Url::parse(text) {
            Ok(url) if schemes.contains(&url.scheme()) => Ok(text.to_owned()),
            _ => Err(format!("must be a URL that begins with {}", schemes.join(":// or ") + "://")),
        });
        checked.unwrap_or_default()
    }

    /// The same with a further check.
    pub fn checked_url(
        &mut self,
        name: &'static str,
        schemes: &[&str],
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> String {
        let url = self.url(name, schemes);
        if !url.is_empty() {
            self.note(name, check(&url));
        }
        url
    }

    /// The URL of RabbitMQ, which is encrypted unless it names this machine or the operator allows otherwise.
    pub fn amqp_url(&mut self) -> String {
        let allowed = self.plaintext();
        self.checked_url("AMQP_URL", &["amqp", "amqps"], |url| allowed.check_amqp(url))
    }

    /// The same for a program that may do without.
    pub fn optional_amqp_url(&mut self) -> Option<String> {
        self.lookup("AMQP_URL")?;
        Some(self.amqp_url())
    }

    /// Checks the address to listen on: only this machine reaches it, unless the operator allows otherwise.
    pub fn check_listener(&mut self, address: IpAddr) {
        let checked = self.plaintext().check_listener(address);
        self.note("ROLLCALL_LISTEN", checked);
    }

    /// What may be unencrypted. [`Env::finish`] reports an invalid value.
    #[must_use]
    pub fn plaintext(&self) -> Allowed {
        self.lookup(plaintext::VARIABLE).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// A variable that may be unset.
    pub fn optional<T: FromStr>(&mut self, name: &'static str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        self.lookup(name)?;
        self.parse(name, |text| text.parse().map_err(|e: T::Err| e.to_string()))
    }

    /// Where a service without another HTTP port serves its health pages, if it does.
    pub fn health_address(&mut self) -> Option<SocketAddr> {
        let address: Option<IpAddr> = self
            .parse("ROLLCALL_LISTEN", |text| text.parse().map_err(|_| "must be an IP address".to_owned()));
        let port = self.number("ROLLCALL_HEALTH_PORT", 0..=65_535);
        let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
        self.check_listener(address?);
        Some(SocketAddr::new(address?, port))
    }

    /// The log filter.
    pub fn log_filter(&mut self) -> String {
        let filter =
            self.parse("ROLLCALL_LOG", |text| crate::log::check_filter(text).map(|()| text.to_owned()));
        filter.unwrap_or_default()
    }

    /// Adds a problem that the caller found.
    pub fn problem(&mut self, name: &'static str, what: impl fmt::Display) {
        self.problems.push(format!("{name} {what}"));
    }

    /// Finishes reading.
    ///
    /// # Errors
    /// Every problem, one per line.
    pub fn finish(mut self) -> Result<(), Problems> {
        self.optional::<Allowed>(plaintext::VARIABLE);
        if self.problems.is_empty() { Ok(()) } else { Err(Problems(self.problems)) }
    }

    fn note(&mut self, name: &'static str, checked: Result<(), String>) {
        if let Err(what) = checked {
            self.problem(name, what);
        }
    }

    fn parse<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match self.lookup(name) {
            None => {
                self.problem(name, "is not set");
                None
            }
            Some(text) => parse(&text).map_err(|what| self.problem(name, what)).ok(),
        }
    }

    fn lookup(&self, name: &'static str) -> Option<String> {
        let variable = VARIABLES
            .iter()
            .find(|v| v.name == name && v.used_by.contains(&self.service))
            .expect("a service reads only the variables that VARIABLES lists for it");
        let set = self.values.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        set.or(variable.default).map(str::to_owned)
    }
}

/// Every problem with the environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "invalid configuration (--help lists every variable):")?;
        self.0.iter().try_for_each(|problem| writeln!(f, "  {problem}"))
    }
}

/// The text of `--help`: what the service does, and every variable it reads.
#[must_use]
pub fn help(service: Service, about: &str) -> String {
    format!("{about}\n\nUsage: {} [--help]\n\n{}", service.name(), variables_help(service))
}

/// Every variable that a service reads, with its unit and default.
#[must_use]
pub fn variables_help(service: Service) -> String {
    let mut text = "Environment variables:\n".to_owned();
    for variable in VARIABLES.iter().filter(|v| v.used_by.contains(&service)) {
        let default = variable.default.map_or_else(|| "unset".to_owned(), |d| format!("default {d}"));
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "  {}  ({}; {default})\n      {}", variable.name, variable.unit, variable.what);
    }
    text
}

/// Prints the help for `--help`, and rejects other arguments. `None`: start the service.
#[must_use]
pub fn handle_arguments(service: Service, about: &str) -> Option<std::process::ExitCode> {
    match std::env::args().nth(1).as_deref() {
        None => None,
        Some("--help" | "-h" | "help") => {
            print!("{}", help(service, about));
            Some(std::process::ExitCode::SUCCESS)
        }
        Some(_) => {
            eprintln!(
                "{0} takes no arguments: it is configured by environment variables, see {0} --help",
                service.name()
            );
            Some(std::process::ExitCode::from(2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(values: &[(&str, &str)]) -> Env {
        Env::new(Service::Ingest, values.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn all_problems_are_reported_at_once_and_no_secret_is_repeated() {
        let mut env = env(&[("DATABASE_URL", "mysql://me:secret@x/y"), ("ROLLCALL_PORT", "99999")]);
        env.url("DATABASE_URL", &["postgres", "postgresql"]);
        env.url("AMQP_URL", &["amqp", "amqps"]);
        env.number("ROLLCALL_PORT", 1..=65_535);
        let text = env.finish().unwrap_err().to_string();
        for name in
            ["DATABASE_URL must be a URL", "AMQP_URL is not set", "ROLLCALL_PORT must be a whole number"]
        {
            assert!(text.contains(name), "{text}");
        }
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn unset_and_empty_variables_have_their_default() {
        let mut env = env(&[("ROLLCALL_PORT", " ")]);
        assert_eq!(env.number("ROLLCALL_PORT", 1..=65_535), 8080);
        assert_eq!(env.optional::<String>("ROLLCALL_PUBLIC_URL"), None);
        assert_eq!(env.finish(), Ok(()));
    }

    #[test]
    fn unencrypted_connections_are_problems_until_they_are_allowed() {
        let values = |allowed| {
            [
                ("AMQP_URL", "amqp://me:secret@mq.example"),
                ("ROLLCALL_LISTEN", "0.0.0.0"),
                ("ROLLCALL_HEALTH_PORT", "8081"),
                ("ROLLCALL_ALLOW_PLAINTEXT", allowed),
            ]
        };
        for (allowed, expected) in [
            ("", &["AMQP_URL would send", "ROLLCALL_LISTEN would serve"][..]),
            ("http", &["AMQP_URL would send"]),
            ("http,amqp", &[]),
            ("all", &["AMQP_URL would", "ROLLCALL_LISTEN would", "ROLLCALL_ALLOW_PLAINTEXT must be"]),
        ] {
            let mut env = Env { service: Service::Worker, ..env(&values(allowed)) };
            env.amqp_url();
            env.health_address();
            let problems = env.finish().err().map_or_else(Vec::new, |problems| problems.0);
            assert_eq!(problems.len(), expected.len(), "{problems:?}");
            for (problem, start) in problems.iter().zip(expected) {
                assert!(problem.starts_with(start) && !problem.contains("secret"), "{problem}");
            }
        }
    }

    #[test]
    fn help_shows_every_variable_of_the_service() {
        let text = help(Service::Notifier, "x");
        assert!(text.contains("ROLLCALL_MAIL_URL") && !text.contains("ROLLCALL_BODY_LIMIT"), "{text}");
    }

    #[test]
    fn the_operators_users_are_preferred_and_the_environment_wins() {
        let file = ServersEnv::of(
            "DATABASE_URL=postgres://owner\nOPERATOR_DATABASE_URL=postgres://operator\nAMQP_URL=amqp://all\n",
        );
        let cli = |values: &[(&str, &str)]| {
            let values = values.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            Env::new(Service::Cli, values)
        };
        let mut env = cli(&[]);
        assert!(env.add_servers_env(&file, false));
        assert_eq!(env.optional::<String>("DATABASE_URL").as_deref(), Some("postgres://operator"));
        assert_eq!(env.optional::<String>("AMQP_URL").as_deref(), Some("amqp://all"));
        let mut env = cli(&[("AMQP_URL", "amqp://mine")]);
        assert!(env.add_servers_env(&file, true));
        assert_eq!(env.optional::<String>("DATABASE_URL").as_deref(), Some("postgres://owner"));
        assert_eq!(env.optional::<String>("AMQP_URL").as_deref(), Some("amqp://mine"));
        let mut env = cli(&[("AMQP_URL", "amqp://mine"), ("DATABASE_URL", "postgres://mine")]);
        assert!(!env.add_servers_env(&file, false));
    }
}
