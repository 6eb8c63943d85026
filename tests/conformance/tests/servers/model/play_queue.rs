//! Carrying out a step on the queue of one engine.

use std::time::Duration;

use store_core::{
    Claim, ClaimRequest, ClaimedJob, Durability, Explanation, Extension, JobInfo, JobLease, JobState, Lease, NewJob,
    Outcome, PageRequest, Pushed, Result, Settlement,
};

use super::generate::{IDS, job_id};
use super::play::{World, from_end, holder};
use super::step::Step;

impl World {
    /// The outcome of a step on the queue; `None` for other steps.
    pub(super) async fn play_queue(&mut self, step: &Step) -> Result<Option<String>> {
        if let Step::Cancel(id) | Step::Delete(id) | Step::Promote(id) = step {
            self.may_be_early |= *id >= IDS;
        }
        if matches!(step, Step::Wait(_) | Step::StopWaiting { .. }) {
            return self.play_wait(step).await.map(Some);
        }
        let running = self.running_before(step).await?;
        let outcome = match step {
            Step::Claim(..) if self.waiting.is_some() => Some(String::new()),
            _ => self.play_call(step).await?,
        };
        Ok(match outcome {
            Some(outcome) if self.waiting.is_some() && step.may_hand_over() => {
                // A commit that is done has ended a lease.
                let ended = u64::from(matches!(step, Step::Commit(_)) && outcome.starts_with("Done"));
                Some(outcome + &self.handed_over(running.saturating_sub(ended)).await?)
            }
            outcome => outcome,
        })
    }

    async fn play_call(&mut self, step: &Step) -> Result<Option<String>> {
        let (state, queue) = (&self.stores.state, &self.queue);
        Ok(Some(match step {
            Step::Advance(_) => String::new(),
            Step::PushNew(jobs) => {
                let pushed = state.push(queue, jobs, Durability::Accepted).await?.value;
                for id in pushed.iter().filter(|pushed| pushed.is_new()).filter_map(Pushed::id) {
                    self.numbers.insert(id.to_string(), self.assigned.len());
                    self.assigned.push(id.clone());
                }
                format!("{pushed:?}")
            }
            Step::Push(jobs) if jobs.is_empty() => String::new(),
            Step::Push(jobs) => {
                let jobs: Vec<NewJob> = jobs.iter().map(|(_, job)| job.clone()).collect();
                format!("{:?}", state.push(queue, &jobs, Durability::Accepted).await?.value)
            }
            Step::Claim(max, lease) => {
                let mut claim = if self.is_ordered {
                    state.claim(&ClaimRequest::new(queue.clone(), holder(0), *max, *lease)).await?
                } else {
                    self.claim_all(*max, *lease).await?
                };
                let jobs = self.claimed(&mut claim.jobs, !self.is_ordered);
                let next = claim.next.map(|next| if self.may_be_early { Duration::ZERO } else { next });
                format!("{jobs} {next:?} {}", claim.paused)
            }
            Step::Extend(numbers, lasting, progress) => {
                let leases = numbers.iter().filter_map(|number| from_end(&self.claimed, *number));
                let leases: Vec<_> = leases.cloned().collect();
                self.hear(&leases).await?;
                let mut extensions: Vec<_> = leases.into_iter().map(Extension::new).collect();
                match extensions.first_mut() {
                    None => String::new(),
                    Some(first) => {
                        first.progress = progress.map(bytes::Bytes::from);
                        let extended = self.stores.state.extend(&self.queue, &extensions, *lasting).await?;
                        format!("{extended:?}")
                    }
                }
            }
            Step::Settle(outcomes) => return self.settle(outcomes).await.map(Some),
            Step::Commit(commit) => return self.commit(commit).await.map(Some),
            Step::Cancel(id) => format!("{:?}", state.cancel(queue, &self.id(*id)).await?),
            Step::Replay(id) => format!("{:?}", state.replay(queue, &[self.id(*id)]).await?),
            Step::Delete(id) => format!("{:?}", state.delete(queue, &[self.id(*id)]).await?),
            Step::Promote(id) => format!("{:?}", state.promote(queue, &[self.id(*id)]).await?),
            Step::Pause => format!("{:?}", state.pause(queue).await?),
            Step::Resume => format!("{:?}", state.resume(queue).await?),
            Step::Explain(id) => match state.explain(queue, &self.id(*id)).await? {
                // the number of jobs ahead is a bound, which may count cancelled jobs
                Explanation::WaitsForWorker { .. } => "WaitsForWorker".to_owned(),
                explanation => format!("{explanation:?}"),
            },
            Step::List(place, limit) => self.list(*place, *limit).await?,
            Step::LookAtAll => self.look_at_all().await?,
            _ => return Ok(None),
        }))
    }

    /// Claims until no job is ready.
    pub(super) async fn claim_all(&self, max: usize, lease: Duration) -> Result<Claim> {
        let (state, queue) = (&self.stores.state, &self.queue);
        let request = || ClaimRequest::new(queue.clone(), holder(0), max, lease);
        let mut claim = state.claim(&request()).await?;
        while !claim.jobs.is_empty() {
            let more = state.claim(&request()).await?;
            claim.next = more.next;
            if more.jobs.is_empty() && more.next != Some(Duration::ZERO) {
                break;
            }
            claim.jobs.extend(more.jobs);
        }
        Ok(claim)
    }

    /// Notes jobs that were leased, and returns them as a text, if their order `is_open` sorted by their ids.
    pub(super) fn claimed(&mut self, jobs: &mut [ClaimedJob], is_open: bool) -> String {
        if is_open {
            jobs.sort_by_cached_key(|job| self.named(job.id().as_str()));
            let assigned = jobs.iter().filter(|job| self.assigned.contains(job.id()));
            self.together.push(assigned.map(|job| job.lease.clone()).collect());
        }
        self.claimed.extend(jobs.iter().map(|job| job.lease.clone()));
        let shows_fences = self.is_ordered && !self.has_waited;
        format!("{:?}", jobs.iter().map(|job| show_claimed(job, shows_fences)).collect::<Vec<_>>())
    }

    /// A call that names a job with an assigned id may record that all jobs of its claim were heard: which of them share a batch
    /// is not defined. So before such a call, all of them are heard.
    async fn hear(&mut self, named: &[JobLease]) -> Result<()> {
        let is_named = |leases: &Vec<JobLease>| leases.iter().any(|lease| named.contains(lease));
        let (heard, unheard): (Vec<_>, Vec<_>) = std::mem::take(&mut self.together).into_iter().partition(is_named);
        self.together = unheard;
        let extensions: Vec<_> = heard.concat().into_iter().map(Extension::new).collect();
        if !extensions.is_empty() {
            self.stores.state.extend(&self.queue, &extensions, *Lease::RANGE.start()).await?;
        }
        Ok(())
    }

    /// Settles leases by their numbers. Leaves out what the contract does not define: a settled lease that would have expired,
    /// or whose result is over, and a second settlement of a job in a call.
    async fn settle(&mut self, outcomes: &[(usize, Outcome)]) -> Result<String> {
        let now = self.clock.now();
        let is_over = |lease: &JobLease| self.results.iter().any(|(of, end)| of == lease && *end <= now);
        let lease = |number: usize| {
            let lease = from_end(&self.claimed, number)?;
            let is_defined = lease.until > now && !is_over(lease) || !self.settled.contains(lease);
            is_defined.then_some(lease)
        };
        let mut settlements: Vec<Settlement> = Vec::new();
        for (number, outcome) in outcomes {
            let Some(lease) = lease(*number) else { continue };
            if !settlements.iter().any(|other| other.lease.job == lease.job) {
                settlements.push(Settlement::new(lease.clone(), outcome.clone()));
            }
        }
        if settlements.is_empty() {
            return Ok(String::new());
        }
        let leases: Vec<_> = settlements.iter().map(|settlement| settlement.lease.clone()).collect();
        self.hear(&leases).await?;
        let settled = self.stores.state.settle(&self.queue, &settlements, Durability::Accepted).await?.value;
        for settlement in &settlements {
            if let Outcome::Complete(Some(kept)) = &settlement.outcome {
                self.results.push((settlement.lease.clone(), now.after(kept.lasting)));
            }
        }
        self.settled.extend(settlements.into_iter().map(|settlement| settlement.lease));
        Ok(format!("{settled:?}"))
    }

    /// All pages of a state. The contract does not define whether a completed job is listed after its time.
    async fn list(&self, place: JobState, limit: u32) -> Result<String> {
        let (mut jobs, mut request) = (Vec::new(), PageRequest::first(limit));
        loop {
            let page = self.stores.state.list(&self.queue, place, request).await?;
            let is_over = |job: &JobInfo| place == JobState::Completed && job.at <= Some(self.clock.now());
            jobs.extend(page.items.into_iter().filter(|job| !is_over(job)));
            match page.next {
                Some(cursor) => request = PageRequest::first(limit).with_cursor(cursor),
                None => break,
            }
        }
        // The contract does not define the order of jobs whose leases expire at the same moment.
        if !self.is_ordered {
            jobs.sort_by_cached_key(|job| self.named(job.id.as_str()));
        } else if place == JobState::Running {
            jobs.sort_by_key(|job| (job.at, job.id.to_string()));
        }
        Ok(jobs.iter().map(show_info).collect::<Vec<_>>().join("; "))
    }

    async fn look_at_all(&self) -> Result<String> {
        let mut counts = self.stores.state.counts(&self.queue).await?;
        counts.completed = 0;
        let mut seen = vec![format!("{counts:?}"), self.look_at_homes().await?];
        for place in [JobState::Ready, JobState::Scheduled, JobState::Running, JobState::Completed, JobState::Dead] {
            seen.push(self.list(place, 1000).await?);
        }
        for id in (0..IDS).map(job_id).chain(self.assigned.iter().cloned()) {
            let job = self.stores.state.get(&self.queue, &id).await?;
            seen.push(job.as_ref().map(show_info).unwrap_or_default());
        }
        Ok(seen.join("\n"))
    }
}

fn show_claimed(job: &ClaimedJob, shows_fences: bool) -> String {
    let shown = match shows_fences {
        true => format!("{:?}", job.lease),
        // Each partition has fences of its own, and a hand-over, too.
        false => format!("{:?} {:?} {:?}", job.lease.job, job.lease.until, job.lease.unique),
    };
    let ClaimedJob { attempt, payload, priority, unique, retry, schema, pushed_at, claimed_at, .. } = job;
    format!(
        "{shown} {attempt} {payload:?} {priority:?} {unique:?} {retry:?} {schema} {pushed_at:?} {claimed_at:?} {:?}",
        job.last_error
    )
}

fn show_info(job: &JobInfo) -> String {
    let JobInfo { id, state, attempts, max_attempts, priority, pushed_at, at, worker, cancel_requested, .. } = job;
    format!(
        "{id} {state:?} {attempts}/{max_attempts} {priority:?} {pushed_at:?} {at:?} {worker:?} {cancel_requested} {:?} \
         {:?} {:?} {:?}",
        job.last_error, job.payload, job.progress, job.result
    )
}
