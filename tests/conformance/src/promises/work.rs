//! What queues, schedules, leases, heartbeats and the pressure promise. The words are those of the documentation of the traits.

use super::{FAULTS, Promise};

pub(super) const PROMISES: &[Promise] = &[
    Promise::new(
        "Queue",
        "push of many, with delay, priority, retry policy, deadline, trace",
        &[
            "queue.push.a_batch_is_answered_job_by_job",
            "queue.push.a_delayed_job_waits_for_its_time",
            "queue.push.every_retry_policy_is_delivered_as_it_was_pushed",
            "queue.push.a_trace_is_delivered_with_its_state",
            "queue.push.a_job_is_delivered_as_it_was_pushed",
            "queue.claim.a_higher_priority_goes_first",
            "queue.claim.a_job_past_its_deadline_is_dead",
        ],
    ),
    Promise::new(
        "Queue",
        "a unique key has a chosen release point",
        &[
            "queue.push.a_unique_key_is_given_back_by_completion",
            "queue.push.a_unique_key_until_the_claim_is_given_back_by_it",
            "queue.push.a_unique_key_for_a_time_outlives_its_job",
        ],
    ),
    Promise::new(
        "Queue",
        "claim of up to n jobs under a lease, which can be extended",
        &[
            "queue.claim.no_more_are_claimed_than_asked",
            "queue.claim.a_lease_lasts_as_long_as_asked",
            "queue.extend.an_extended_lease_lasts_longer",
            "queue.wait.a_push_reaches_a_registered_waiter",
        ],
    ),
    Promise::new(
        "Queue",
        "settlement of many: complete with a result, retry at a time, snooze, dead with a reason, release",
        &[
            "queue.settle.a_batch_is_answered_in_order",
            "queue.settle.completion_keeps_a_result_for_a_time",
            "queue.settle.a_failed_job_waits_for_its_next_attempt",
            "queue.settle.a_snoozed_job_does_not_count_the_attempt",
            "queue.settle.a_dead_job_is_kept_with_its_reason",
            "queue.settle.a_released_job_does_not_count_the_attempt",
        ],
    ),
    Promise::new(
        "Queue",
        "delivery is at least once",
        &[
            "queue.claim.a_lease_that_ran_out_gives_the_job_back",
            "queue.claim.a_job_is_claimed_once_by_many_at_the_same_time",
        ],
    )
    .and(&[FAULTS]),
    Promise::new(
        "Queue",
        "completion is once, by the holder of the current lease",
        &["queue.settle.a_lost_lease_cannot_finish_a_job", "queue.settle.a_kept_completion_sent_again_is_done"],
    )
    .and(&[FAULTS]),
    Promise::new(
        "Queue",
        "an acknowledged write has reached the requested durability",
        &[
            "queue.push.a_push_and_a_settlement_can_wait_for_the_disk",
            "queue.push.a_push_and_a_settlement_can_wait_for_a_replica",
            "queue.push.a_level_that_is_not_reached_is_told_and_the_push_stands",
        ],
    )
    .and(&[FAULTS]),
    Promise::new(
        "Queue",
        "queues belong to the namespace: services share them",
        &["queue.claim.another_service_claims_and_settles_what_was_pushed"],
    ),
    Promise::new(
        "QueueInspect",
        "counts, lists by state and cursor, single jobs, progress",
        &[
            "queue.counts.every_state_is_counted",
            "queue.list.each_state_lists_its_own",
            "queue.list.ready_jobs_come_page_by_page",
            "queue.get.a_running_job_is_shown",
            "queue.extend.progress_is_stored",
        ],
    ),
    Promise::new(
        "QueueInspect",
        "an explanation why a job does not run",
        &[
            "queue.explain.a_ready_job_of_a_paused_queue_is_paused",
            "queue.explain.a_failed_job_is_scheduled_with_its_error",
            "queue.explain.a_dead_job_tells_its_reason",
        ],
    ),
    Promise::new(
        "QueueControl",
        "cancel, also while the job runs, from any process",
        &[
            "queue.cancel.a_ready_job_is_removed",
            "queue.cancel.the_worker_of_a_running_job_is_asked",
            "queue.cancel.another_service_cancels_a_job_that_is_running",
        ],
    ),
    Promise::new(
        "QueueControl",
        "replay of dead jobs, delete, promote, pause and resume",
        &[
            "queue.replay.a_dead_job_is_ready_again",
            "queue.delete.jobs_are_deleted_in_every_state_but_running",
            "queue.promote.a_scheduled_job_is_ready_at_once",
            "queue.claim.a_paused_queue_gives_nothing",
            "queue.pause.another_service_pauses_and_resumes_a_queue",
            "queue.resume.a_resumed_queue_gives_what_has_gathered",
        ],
    ),
    Promise::new(
        "Schedules",
        "each time fires once in the fleet, without a leader; missed times by policy",
        &[
            "schedule.advance.of_many_processes_one_fires",
            "schedule.advance.a_process_that_slept_fires_nothing_again",
            "schedule.advance.all_fires_the_last_up_to_its_number",
            "schedule.due.a_schedule_is_due_at_its_very_time",
        ],
    )
    .and(&[FAULTS]),
    Promise::new(
        "Schedules",
        "put, get, pause, resume, list, delete; a change is one write",
        &[
            "schedule.put.an_expected_version_is_compared",
            "schedule.get.the_next_times_and_the_last_firing_are_shown",
            "schedule.get.the_outcome_of_the_last_firing_is_that_of_its_job",
            "schedule.pause.a_paused_schedule_does_not_fire",
            "schedule.resume.what_passed_during_a_pause_is_not_missed",
            "schedule.list.schedules_are_listed_by_name_in_pages",
            "schedule.delete.a_deleted_schedule_fires_no_more",
        ],
    ),
    Promise::new(
        "Leases",
        "acquire, renew, release, inspect",
        &[
            "lease.acquire.one_of_many_takes_it",
            "lease.renew.a_renewed_lease_lasts_from_now",
            "lease.release.a_held_lease_is_given_back",
            "lease.inspect.a_held_lease_is_shown",
        ],
    ),
    Promise::new(
        "Leases",
        "the fencing token strictly increases per name, also across expiry, restart and failover",
        &[
            "lease.acquire.tokens_rise_across_releases",
            "lease.acquire.tokens_rise_across_expiry",
            "lease.acquire.tokens_rise_a_long_time_later",
            "lease.acquire.tokens_rise_when_the_store_is_opened_again",
        ],
    )
    .and(&["tests/conformance/tests/servers/restart.rs", FAULTS]),
    Promise::new(
        "Leadership",
        "campaign, watch, resign",
        &[
            "lease.acquire.one_candidate_leads_and_the_next_one_when_it_resigns",
            "lease.acquire.those_who_watch_see_the_election_and_the_resignation",
        ],
    ),
    Promise::new(
        "Leadership",
        "a leader steps down before its lease can have expired",
        &["lease.acquire.a_leader_that_cannot_renew_steps_down_before_its_lease_can_have_expired"],
    ),
    Promise::new(
        "Heartbeats",
        "beat with details, alive in a pool, lost since",
        &[
            "heartbeat.beat.details_are_replaced",
            "heartbeat.alive.a_member_is_alive_until_its_beat_ends",
            "heartbeat.lost.only_those_since_a_time_are_told",
            "heartbeat.leave.a_member_that_leaves_is_neither_alive_nor_lost",
        ],
    ),
    Promise::new(
        "Pressure",
        "memory, evictions and replication of the store as a watched value: normal, warning (80 %), critical (85 %)",
        &["link.probe.the_pressure_follows_from_the_memory_in_use", "link.probe.the_pressure_is_read_again"],
    )
    .and(&["crates/redis-link/tests/link/pressure.rs", "crates/twinstore/tests/full_store.rs"]),
];
