//! `POST /Bulk` (RFC 7644 §3.7): several operations in one request, each of which takes the road by itself.
//!
//! Before it: the caller's key. What can be refused without the database is refused operation by operation. After it: one
//! answer with what came of each.

mod references;
mod step;

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::{Map, Value};
use shared::outcome::Outcome;
use shared::scim::{BulkRequest, Error, bulk_response, parse_json};
use shared::ticket::Ticket;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, info_span};
use uuid::Uuid;

use self::references::{Maker, Makers, order};
use self::step::{Step, Target};
use super::context::{Asked, Context, Received};
use super::kind::Method;
use super::shown::{told, with_skipped};
use crate::http::answer::{Answer, Refusal, scim_json};

/// How long a client waits for an answer: Okta gives up at 60 s.
const PATIENCE: Duration = Duration::from_secs(50);
/// What an operation needs at the least: it is not begun with less time left.
const LEAST: Duration = Duration::from_secs(2);

/// Performs the operations one after the other and answers 200, whatever came of them. A client that hangs up changes nothing: all
/// operations are performed, and a repeated request is told what came of them.
///
/// # Errors
/// 400 for a body that is no bulk request, 413 for too many operations or too large a body.
pub async fn perform(context: Context, request: Request) -> Answer {
    let until = Instant::now() + PATIENCE;
    let Received { body, held, .. } = context.receive(request).await?;
    let request = BulkRequest::parse(&parse_json(&body)?)?;
    let app = context.app.clone();
    // Closed when this handler is dropped.
    let (client, _here) = oneshot::channel();
    let work = async move {
        let _held = held;
        Job::new(&context, until, request).run(&client).await
    };
    let told = app.detached.run(work).await?;
    Ok(scim_json(StatusCode::OK, &bulk_response(told)))
}

/// The handler that waits for the answer.
type Client = oneshot::Sender<()>;

/// A bulk request that is being performed. All lists are in the order of the request.
struct Job<'a> {
    context: &'a Context,
    until: Instant,
    most_errors: usize,
    makers: Makers,
    operations: Vec<Operation>,
    /// What came of those that have been performed.
    told: Vec<Option<Map<String, Value>>>,
    /// The commands whose verdicts the client has yet to be told.
    unheard: Vec<Ticket>,
}

/// An operation, or why it makes no sense.
struct Operation {
    method: String,
    path: String,
    bulk_id: Option<String>,
    step: Result<Step, Error>,
}

impl Operation {
    /// The bulkId under which others refer to the resource that it makes, and the id that it is to have.
    fn maker(&self) -> Option<(&str, Uuid)> {
        match (&self.bulk_id, &self.step) {
            (Some(bulk_id), Ok(Step { target: Target::New(id), .. })) => Some((bulk_id, *id)),
            _ => None,
        }
    }
}

impl<'a> Job<'a> {
    fn new(context: &'a Context, until: Instant, request: BulkRequest) -> Self {
        let (mut makers, mut operations) = (Makers::default(), Vec::with_capacity(request.operations.len()));
        for sent in request.operations {
            let (method, path, bulk_id) = (sent.method.clone(), sent.path.clone(), sent.bulk_id.clone());
            let mut operation = Operation { method, path, bulk_id, step: Step::of(sent, &context.base) };
            match operation.maker().map(|(bulk_id, id)| (bulk_id.to_owned(), id)) {
                Some((bulk_id, _)) if makers.0.contains_key(&bulk_id) => {
                    let detail = "another operation of this request has the same bulkId";
                    operation.step = Err(Error::invalid_value(detail));
                }
                Some((bulk_id, id)) => {
                    makers.0.insert(bulk_id, Maker::Stamped(id));
                }
                None => {}
            }
            operations.push(operation);
        }
        Self {
            context,
            until,
            most_errors: request.fail_on_errors.unwrap_or(usize::MAX),
            makers,
            told: vec![None; operations.len()],
            operations,
            unheard: Vec::new(),
        }
    }

    /// Performs all operations; returns what the client is told of each.
    async fn run(mut self, client: &Client) -> Vec<Value> {
        let mut errors = 0;
        for index in self.order() {
            errors += usize::from(!self.perform(index).await);
            if client.is_closed() && !self.unheard.is_empty() {
                // The road took this job for a client that heard each verdict.
                let unheard = std::mem::take(&mut self.unheard);
                self.context.app.road.leave_unheard(&unheard).await;
            }
            if errors >= self.most_errors {
                break;
            }
        }
        self.told.into_iter().flatten().map(Value::Object).collect()
    }

    /// The order in which the operations are performed.
    fn order(&self) -> Vec<usize> {
        let makers = self.operations.iter().enumerate();
        let makers: HashMap<&str, usize> =
            makers.filter_map(|(index, operation)| Some((operation.maker()?.0, index))).collect();
        let needs = self.operations.iter().map(|operation| {
            let references = operation.step.as_ref().map(Step::references).unwrap_or_default();
            references.iter().filter_map(|bulk_id| makers.get(bulk_id.as_str()).copied()).collect()
        });
        order(&needs.collect::<Vec<_>>())
    }

    /// Performs one operation; says whether it took effect.
    async fn perform(&mut self, index: usize) -> bool {
        let operation = &self.operations[index];
        let taken = match &operation.step {
            Ok(step) => self.take(step).await,
            Err(error) => Err(error.clone()),
        };
        self.unheard.extend(taken.as_ref().ok().map(|(ticket, _)| ticket));
        let verdict = taken.map(|(_, outcome)| outcome);
        let mut told = self.tell(operation, &verdict);
        told.extend(operation.bulk_id.clone().map(|bulk_id| ("bulkId".to_owned(), Value::from(bulk_id))));
        if let Some((bulk_id, _)) = operation.maker() {
            let maker = match &verdict {
                Ok(Outcome::Created { record, .. }) => Maker::Made(record.id),
                _ => Maker::Failed,
            };
            self.makers.0.insert(bulk_id.to_owned(), maker);
        }
        self.told[index] = Some(told);
        verdict.is_ok()
    }

    /// Takes an operation down the road.
    async fn take(&self, step: &Step) -> Result<(Ticket, Outcome), Error> {
        let Context { app, held, .. } = self.context;
        if app.detached.is_halting() {
            return Err(Error::too_many_requests(
                "the server is stopping: this operation was not begun; try again",
            ));
        }
        let mut data = step.data.clone();
        self.makers.resolve(&mut data)?;
        let id = step.id(&self.makers)?;
        let (method, kind) = (step.method, step.kind);
        let change = method.change(kind, &self.context.tenant.types, &data)?;
        let patience = self.until.saturating_duration_since(Instant::now());
        if patience < LEAST {
            return Err(Error::too_many_requests(
                "the request took too long: this operation was not begun; try again",
            ));
        }
        let body = if method == Method::Delete { Vec::new() } else { data.to_string().into_bytes() };
        let if_match = step.version.as_deref();
        let held = held.clone();
        let errand = self.context.errand(Asked { method, kind, id, body: &body, if_match, change, held });
        // A span of its own: what the road notes is about this operation, not about the whole request.
        let span = info_span!("operation", command = Empty, outcome = Empty);
        match app.road.travel_within(patience, errand).instrument(span).await {
            Ok((_, Outcome::Rejected { error })) => Err(error),
            Ok(verdict) => Ok(verdict),
            Err(unanswered) => Err(Refusal::from(unanswered).into()),
        }
    }

    /// What came of an operation, as the client is told.
    fn tell(&self, operation: &Operation, verdict: &Result<Outcome, Error>) -> Map<String, Value> {
        let Context { base, tenant, .. } = self.context;
        let step = operation.step.as_ref().ok();
        let (mut location, version) = match (verdict, step) {
            (Ok(Outcome::Created { record, .. } | Outcome::Updated { record, .. }), Some(step)) => {
                let resource_type = step.kind.resource_type(&tenant.types);
                (Some(record.location(resource_type, base)), Some(record.etag()))
            }
            // What was not made is nowhere.
            (_, Some(step)) if step.method != Method::Post => {
                let id = step.id(&self.makers).ok();
                (id.map(|id| format!("{base}{}/{id}", step.kind.endpoint())), None)
            }
            _ => (None, None),
        };
        let method = step.map_or(operation.method.as_str(), |step| step.method.as_str());
        if location.is_none() && method != Method::Post.as_str() && operation.path.starts_with('/') {
            // Where it would be (RFC 7644 §3.7: always there but for a failed POST).
            location = Some(format!("{base}{}", operation.path));
        }
        let told = told(method, location, version, verdict.as_ref().map(Outcome::status));
        with_skipped(told, verdict.as_ref().ok())
    }
}
