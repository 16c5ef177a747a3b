//! `POST /Bulk` (RFC 7644 §3.7): several operations in one request. Each operation is validated and dispatched
//! separately; the response has the result of each.

mod references;
mod step;

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use domain::outcome::Outcome;
use domain::ticket::Ticket;
use scim::{BulkRequest, Error, bulk_response, parse_json};
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, info_span};
use uuid::Uuid;

use self::references::{Maker, Makers, order};
use self::step::{Step, Target};
use super::context::{Asked, Received, RequestContext};
use super::kind::Method;
use super::resource_response::{operation_result, with_skipped};
use crate::http::response::{HandlerResult, Refusal, scim_json_of};
use crate::http::sent;

/// The time budget of a request: clients such as Okta give up at 60 s.
const TIME_LIMIT: Duration = Duration::from_secs(50);
/// An operation is not started with less time left than this.
const LEAST: Duration = Duration::from_secs(2);

/// Performs the operations in sequence and responds with 200, whatever their results. If the client disconnects, all
/// operations are still performed, and a repeated request receives their results.
///
/// # Errors
/// 400 for an invalid bulk request, 413 for too many operations or too large a body.
pub async fn perform(context: RequestContext, request: Request) -> HandlerResult {
    let until = Instant::now() + TIME_LIMIT;
    let Received { body, held, .. } = context.receive(request).await?;
    let request = BulkRequest::parse(&parse_json(&body)?)?;
    let (app, tenant) = (context.app.clone(), context.tenant.id);
    // Closed when this handler is dropped.
    let (client, _here) = oneshot::channel();
    let work = async move {
        let _held = held;
        Job::new(&context, until, request).run(&client).await
    };
    let results = app.detached.run(work).await?;
    let text = bulk_response(results).to_string();
    sent::hold(app.admission.count_answer(tenant, text.len()));
    Ok(scim_json_of(StatusCode::OK, text))
}

/// The waiting handler.
type Client = oneshot::Sender<()>;

/// A bulk request in progress. All lists are in the order of the request.
struct Job<'a> {
    context: &'a RequestContext,
    until: Instant,
    most_errors: usize,
    makers: Makers,
    operations: Vec<Operation>,
    /// The results of the performed operations.
    results: Vec<Option<Map<String, Value>>>,
    /// The commands whose verdicts the client has not received yet.
    undelivered: Vec<Ticket>,
}

/// An operation, parsed or invalid.
struct Operation {
    method: String,
    path: String,
    bulk_id: Option<String>,
    step: Result<Step, Error>,
}

impl Operation {
    /// The bulkId of the resource that the operation creates, and the resource's intended id.
    fn maker(&self) -> Option<(&str, Uuid)> {
        match (&self.bulk_id, &self.step) {
            (Some(bulk_id), Ok(Step { target: Target::New(id), .. })) => Some((bulk_id, *id)),
            _ => None,
        }
    }
}

impl<'a> Job<'a> {
    fn new(context: &'a RequestContext, until: Instant, request: BulkRequest) -> Self {
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
            results: vec![None; operations.len()],
            operations,
            undelivered: Vec::new(),
        }
    }

    /// Performs all operations and returns their results.
    async fn run(mut self, client: &Client) -> Vec<Value> {
        let mut errors = 0;
        for index in self.order() {
            errors += usize::from(!self.perform(index).await);
            if client.is_closed() && !self.undelivered.is_empty() {
                // The dispatch counted each verdict as received, since this job awaited it.
                let undelivered = std::mem::take(&mut self.undelivered);
                self.context.app.dispatcher.mark_undelivered(&undelivered).await;
            }
            if errors >= self.most_errors {
                break;
            }
        }
        self.results.into_iter().flatten().map(Value::Object).collect()
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

    /// Performs one operation. Returns whether it succeeded.
    async fn perform(&mut self, index: usize) -> bool {
        let operation = &self.operations[index];
        let taken = match &operation.step {
            Ok(step) => self.perform_step(step).await,
            Err(error) => Err(error.clone()),
        };
        self.undelivered.extend(taken.as_ref().ok().map(|(ticket, _)| ticket));
        let verdict = taken.map(|(_, outcome)| outcome);
        let mut result = self.describe(operation, &verdict);
        result.extend(operation.bulk_id.clone().map(|bulk_id| ("bulkId".to_owned(), Value::from(bulk_id))));
        if let Some((bulk_id, _)) = operation.maker() {
            let maker = match &verdict {
                Ok(Outcome::Created { record, .. }) => Maker::Made(record.id),
                _ => Maker::Failed,
            };
            self.makers.0.insert(bulk_id.to_owned(), maker);
        }
        self.results[index] = Some(result);
        verdict.is_ok()
    }

    /// Dispatches an operation.
    async fn perform_step(&self, step: &Step) -> Result<(Ticket, Outcome), Error> {
        let RequestContext { app, held, .. } = self.context;
        if app.detached.is_halting() {
            return Err(Error::too_many_requests(
                "the server is stopping; this operation was not started; try again",
            ));
        }
        let mut data = step.data.clone();
        self.makers.resolve(&mut data)?;
        let id = step.id(&self.makers)?;
        let (method, kind) = (step.method, step.kind);
        let change = method.change(kind, &self.context.tenant.types, &data)?;
        app.headcounts.admit(&app.pool, &self.context.tenant, &change).await?;
        let time_limit = self.until.saturating_duration_since(Instant::now());
        if time_limit < LEAST {
            return Err(Error::too_many_requests(
                "the request took too long; this operation was not started; try again",
            ));
        }
        let body = if method == Method::Delete { Vec::new() } else { data.to_string().into_bytes() };
        let if_match = step.version.as_deref();
        let held = held.clone();
        let change_request =
            self.context.change_request(Asked { method, kind, id, body: &body, if_match, change, held });
        // A separate span: the dispatch records fields of this operation, not of the whole request.
        let span = info_span!("operation", command = Empty, outcome = Empty);
        match app.dispatcher.submit_within(time_limit, change_request).instrument(span).await {
            Ok((_, Outcome::Rejected { error })) => Err(error),
            Ok(verdict) => Ok(verdict),
            Err(unanswered) => Err(Refusal::from(unanswered).into()),
        }
    }

    /// The result of an operation, as in the response.
    fn describe(&self, operation: &Operation, verdict: &Result<Outcome, Error>) -> Map<String, Value> {
        let RequestContext { base, tenant, .. } = self.context;
        let step = operation.step.as_ref().ok();
        let (mut location, version) = match (verdict, step) {
            (Ok(Outcome::Created { record, .. } | Outcome::Updated { record, .. }), Some(step)) => {
                let resource_type = step.kind.resource_type(&tenant.types);
                (Some(record.location(resource_type, base)), Some(record.etag()))
            }
            // A resource that was not created has no location.
            (_, Some(step)) if step.method != Method::Post => {
                let id = step.id(&self.makers).ok();
                (id.map(|id| format!("{base}{}/{id}", step.kind.endpoint())), None)
            }
            _ => (None, None),
        };
        let method = step.map_or(operation.method.as_str(), |step| step.method.as_str());
        if location.is_none() && method != Method::Post.as_str() && operation.path.starts_with('/') {
            // RFC 7644 §3.7 requires a location except for a failed POST.
            location = Some(format!("{base}{}", operation.path));
        }
        let result = operation_result(method, location, version, verdict.as_ref().map(Outcome::status));
        with_skipped(result, verdict.as_ref().ok())
    }
}
