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
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, info_span};
use uuid::Uuid;

use self::references::{Maker, Makers, order};
use self::step::{Step, Target};
use super::context::{Asked, Context};
use super::kind::Method;
use super::shown::{told, with_skipped};
use crate::http::answer::{Answer, Refusal, scim_json};

/// How long a client waits for an answer: Okta gives up at 60 s.
const PATIENCE: Duration = Duration::from_secs(50);
/// What an operation needs at the least: it is not begun with less time left.
const LEAST: Duration = Duration::from_secs(2);

/// Performs the operations one after the other and answers 200, whatever came of them.
///
/// # Errors
/// 400 for a body that is no bulk request, 413 for too many operations or too large a body.
pub async fn perform(context: Context, request: Request) -> Answer {
    let until = Instant::now() + PATIENCE;
    let received = context.receive(request).await?;
    let request = BulkRequest::parse(&parse_json(&received.body)?)?;
    let most_errors = request.fail_on_errors.unwrap_or(usize::MAX);
    let mut job = Job::new(&context, until, request);
    let mut errors = 0;
    for index in job.order() {
        errors += usize::from(!job.perform(index).await);
        if errors >= most_errors {
            break;
        }
    }
    let told: Vec<Value> = job.told.into_iter().flatten().map(Value::Object).collect();
    Ok(scim_json(StatusCode::OK, &bulk_response(told)))
}

/// A bulk request that is being performed. All lists are in the order of the request.
struct Job<'a> {
    context: &'a Context,
    until: Instant,
    makers: Makers,
    operations: Vec<Operation>,
    /// What came of those that have been performed.
    told: Vec<Option<Map<String, Value>>>,
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
        Self { context, until, makers, told: vec![None; operations.len()], operations }
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
        let verdict = match &operation.step {
            Ok(step) => self.take(step).await,
            Err(error) => Err(error.clone()),
        };
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
    async fn take(&self, step: &Step) -> Result<Outcome, Error> {
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
        let errand = self.context.errand(Asked { method, kind, id, body: &body, if_match, change });
        // A span of its own: what the road notes is about this operation, not about the whole request.
        let span = info_span!("operation", command = Empty, outcome = Empty);
        match self.context.app.road.travel_within(patience, errand).instrument(span).await {
            Ok(Outcome::Rejected { error }) => Err(error),
            Ok(outcome) => Ok(outcome),
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
