//! The driver: one object, step by step. Everything that decides is pure and in the steps; everything that waits comes
//! back by a trigger or by the time that each pass returns.

pub mod dereference;
pub mod tls_secrets;
pub mod validate;
pub mod nodes;
pub mod observe;
pub mod plan;
pub mod apply;
pub mod lost;
pub mod volume;
pub mod update_status;
pub mod cleanup;

pub mod memory;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::{
    Client, ResourceExt as _,
    runtime::{controller::Action, events::Recorder, reflector::ObjectRef},
};
use redissync_syncer::causes::chain;
use tracing::{debug, error};

use self::{
    apply::ApplyError,
    cleanup::{Cleanup, CleanupError},
    dereference::{DereferenceError, Dereferenced, SecretCache},
    memory::Memory,
    observe::{Observed, Stores},
    plan::{Circumstances, Plan, PodStep},
    update_status::UpdateStatusError,
    validate::{Invalid, ValidatedSync},
};
use crate::{
    build::{self, SyncerImage},
    crd::RedisSync,
    events,
    metrics::Metrics,
    report_client::ReportAddress,
    report_watch::ReportView,
    rollout::{Mark, Rollout, Wish},
    status::{self, Evidence},
    watches::Watches,
};

/// Numbers of one object are written at most this often.
const REFRESH_MIN: Duration = Duration::from_secs(5);
/// Of many objects, so rarely that all of them together make at most ten writes a second.
const REFRESH_PER_OBJECT: Duration = Duration::from_millis(100);
/// What a human has to put right is looked at again after this time: Secrets are not watched.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The first pause after an error; it doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_DOUBLINGS_MAX: u32 = 6;

/// What every pass needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Sends events.
    pub recorder: Recorder,
    /// What the operator was told about syncers.
    pub image: SyncerImage,
    /// What the watches have seen.
    pub stores: Stores,
    /// The tasks of the objects.
    pub watches: Watches,
    /// Who may be restarted by an upgrade.
    pub rollout: Arc<Rollout>,
    /// The Secrets that were read last.
    pub secrets: SecretCache,
    /// What each object's passes left behind.
    pub memory: Memory,
    /// Counts.
    pub metrics: Metrics,
    /// Where nodes cannot be seen, the operator's rights may end with the namespace: no finalizer then.
    pub may_hold: bool,
    /// The operator's own namespace.
    pub own_namespace: String,
    /// Asks one address for the reports of all syncers. For tests of many objects without pods.
    pub report_stand_in: Option<SocketAddr>,
}

/// Which step failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Step 1.
    #[error(transparent)]
    Dereference(#[from] DereferenceError),
    /// Step 6.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Step 7.
    #[error(transparent)]
    UpdateStatus(#[from] UpdateStatusError),
    /// Instead of all of them, for an object that is deleted.
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
}

/// One pass over one object.
pub async fn reconcile(
    object: Arc<RedisSync>,
    ctx: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let started = Instant::now();
    let outcome = pass(&object, &ctx).await;
    ctx.metrics.passed(outcome.is_ok(), started.elapsed());
    ctx.metrics.set_objects(ctx.watches.len());
    if outcome.is_ok() {
        ctx.memory.passed(&ObjectRef::from_obj(&*object));
    }
    outcome
}

async fn pass(object: &RedisSync, ctx: &Context) -> Result<Action, ReconcileError> {
    let reference = ObjectRef::from_obj(object);
    if object.metadata.deletion_timestamp.is_some() {
        return remove(object, &reference, ctx).await;
    }
    if ctx.may_hold && object.namespace().as_deref() != Some(&ctx.own_namespace) {
        cleanup::hold(&ctx.client, object).await?;
    }
    let address = ReportAddress::of(object, &ctx.stores.pods, ctx.report_stand_in);
    let is_asked = address.is_some();
    let report = ctx.watches.report(&reference, &object.uid().unwrap_or_default(), address);
    let dereferenced = dereference(object, &report, ctx).await?;
    let validated = validate::validate(object, &dereferenced);
    let observed = observe(object, validated.as_ref().ok(), &dereferenced, report, ctx);
    let now = Timestamp::now();
    let (invalid, (plan, applied)) = match &validated {
        Ok(sync) => (None, act(sync, &observed, &reference, now, ctx).await),
        Err(invalid) => (Some(invalid), act_on_lost(object, &observed, now, ctx).await),
    };
    // What could not be applied is told before it is tried again.
    let failure = applied.as_ref().err().map(|err| chain(err));
    if is_asked && awaits_first_word(object, &observed, &plan) {
        applied?;
        return Ok(Action::requeue(REFRESH_MIN));
    }
    let failure = failure.as_deref();
    let status = status::status(Evidence {
        object,
        invalid,
        observed: &observed,
        plan: &plan,
        failure,
        now,
    });
    let told = ctx.memory.recall(&reference).status.or_else(|| object.status.clone());
    let events = events::events(told.as_ref(), &status, &plan);
    update_status::update_status(&ctx.client, &ctx.recorder, object, &status, events).await?;
    // Only now: what could not be written is told by the next pass.
    ctx.memory.told(&reference, status);
    applied?;
    Ok(Action::requeue(ctx.look_again(invalid, &plan)))
}

/// Whether an operator that has just started has asked the syncer and has no answer yet. It comes, or fails, within
/// seconds and asks for a pass; till then the status that is there tells more than "nobody was heard" would.
fn awaits_first_word(object: &RedisSync, observed: &Observed, plan: &Plan) -> bool {
    let is_answered = observed.report.report.is_some() || observed.report.failure.is_some();
    object.status.is_some() && !is_answered && plan.pod != PodStep::ForceDelete
}

/// Step 1. What a server refuses is read anew at once: the password may have been rotated.
async fn dereference(
    object: &RedisSync,
    view: &ReportView,
    ctx: &Context,
) -> Result<Dereferenced, ReconcileError> {
    let reference = &ObjectRef::from_obj(object);
    let waits =
        view.report.iter().flat_map(|report| report.waits.iter().chain(&report.waiting_for));
    let is_refused = waits.into_iter().any(|wait| wait.reason.is_refused_secret())
        || object.spec.sites.iter().any(|site| ctx.watches.site(reference, &site.name).is_refused);
    let namespace = object.namespace().unwrap_or_default();
    Ok(dereference::dereference(&ctx.client, &ctx.secrets, &namespace, &object.spec, is_refused)
        .await?)
}

/// Step 3: the site watches are told what is wanted, then everything is read.
fn observe(
    object: &RedisSync,
    sync: Option<&ValidatedSync>,
    dereferenced: &Dereferenced,
    report: ReportView,
    ctx: &Context,
) -> Observed {
    let reference = &ObjectRef::from_obj(object);
    if let Some(sync) = sync {
        let logins = [&sync.source, &sync.target].map(|site| validate::logins(site, dereferenced));
        ctx.watches.update(reference, sync, logins);
    }
    let sites = match validate::flow(&object.spec) {
        Ok((source, target)) => {
            [source, target].map(|site| ctx.watches.site(reference, &site.name))
        }
        Err(_) => Default::default(),
    };
    let namespace = object.namespace().unwrap_or_default();
    Observed::read(&ctx.stores, &namespace, &object.name_any(), report, sites)
}

/// Step 4 to 6 for an object that can be acted on: the plan, as far as it was carried out.
async fn act(
    sync: &ValidatedSync,
    observed: &Observed,
    reference: &ObjectRef<RedisSync>,
    now: Timestamp,
    ctx: &Context,
) -> (Plan, Result<(), ApplyError>) {
    let mut resources = build::build(sync, &ctx.image);
    let applied_generation = ctx.memory.recall(reference).applied_generation;
    let wish = Wish {
        namespace: &sync.namespace,
        sync: &sync.name,
        is_upgrade: plan::is_upgrade(observed, &resources.stateful_set),
        is_crashing: observed.pod.as_ref().is_some_and(|pod| pod.is_crashing),
    };
    let leave = ctx.rollout.ask(wish, Instant::now());
    Mark::put(leave.mark, &mut resources.stateful_set);
    let plan = plan::plan(
        sync,
        Circumstances {
            observed,
            wanted: &resources.stateful_set,
            applied_generation,
            has_turn: leave.has_turn,
            now,
        },
    );
    match apply::apply(&ctx.client, ctx.stores.nodes.as_ref(), sync, &resources, &plan, observed)
        .await
    {
        Ok(applied) => {
            if let Some(generation) = applied.generation {
                ctx.memory.applied(reference, generation);
            }
            (plan.once_applied(applied.is_pod_deleted), Ok(()))
        }
        Err(err) => (plan.once_applied(false), Err(err)),
    }
}

/// Step 5 and 6 for an object that cannot be acted on: what runs is left alone.
async fn act_on_lost(
    object: &RedisSync,
    observed: &Observed,
    now: Timestamp,
    ctx: &Context,
) -> (Plan, Result<(), ApplyError>) {
    let plan = plan::plan_invalid(observed, now);
    let namespace = object.namespace().unwrap_or_default();
    let (nodes, name) = (ctx.stores.nodes.as_ref(), object.name_any());
    match lost::apply(&ctx.client, nodes, &namespace, &name, &plan, observed).await {
        Ok(is_pod_deleted) => (plan.once_applied(is_pod_deleted), Ok(())),
        Err(err) => (plan.once_applied(false), Err(err.into())),
    }
}

async fn remove(
    object: &RedisSync,
    reference: &ObjectRef<RedisSync>,
    ctx: &Context,
) -> Result<Action, ReconcileError> {
    let namespace = object.namespace().unwrap_or_default();
    let observed = Observed::read(
        &ctx.stores,
        &namespace,
        &object.name_any(),
        Default::default(),
        Default::default(),
    );
    match cleanup::cleanup(&ctx.client, object, &observed, Timestamp::now()).await? {
        Cleanup::Draining(wait) => Ok(Action::requeue(wait)),
        Cleanup::Done => {
            ctx.watches.forget(reference);
            ctx.memory.forget(reference);
            Ok(Action::await_change())
        }
    }
}

impl Context {
    fn look_again(&self, invalid: Option<&Invalid>, plan: &Plan) -> Duration {
        let numbers = REFRESH_MIN
            .max(REFRESH_PER_OBJECT * u32::try_from(self.watches.len()).unwrap_or(u32::MAX));
        match (invalid, plan.workload) {
            (Some(_), _) => LOOK_AGAIN,
            (None, plan::WorkloadStep::AwaitTurn | plan::WorkloadStep::AwaitRemoval) => REFRESH_MIN,
            (None, _) => numbers,
        }
    }
}

/// When a failed pass is done again: with growing pauses, each object for itself.
pub fn error_policy(object: Arc<RedisSync>, err: &ReconcileError, ctx: Arc<Context>) -> Action {
    let reference = ObjectRef::from_obj(&*object);
    let failures = ctx.memory.failed(&reference);
    let pause = BACKOFF_MIN * 2_u32.pow(failures.min(BACKOFF_DOUBLINGS_MAX));
    let error = chain(err);
    error!(object = %reference, error, pause = pause.as_secs(), "a pass failed, it is done again");
    Action::requeue(pause)
}

/// An object that is gone for good: nothing of it may stay in memory.
pub fn forget(reference: &ObjectRef<RedisSync>, ctx: &Context) {
    debug!(object = %reference, "the object is gone");
    ctx.watches.forget(reference);
    ctx.memory.forget(reference);
}
