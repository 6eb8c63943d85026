//! What records, events and topics promise. The words are those of the documentation of the traits.

use super::{FAULTS, Promise};

pub(super) const PROMISES: &[Promise] = &[
    Promise::new(
        "ResumeTokens",
        "save, load, list, delete per stream",
        &[
            "resume_token.save.a_token_replaces_the_one_of_the_expected_version",
            "resume_token.load.it_shows_the_age_and_what_is_left",
            "resume_token.tokens.many_tokens_are_listed_in_pages",
            "resume_token.clear.a_holder_deletes_its_token",
        ],
    ),
    Promise::new(
        "ResumeTokens",
        "a write renews the TTL, a read does not",
        &[
            "resume_token.save.the_same_token_with_the_right_version_renews_it",
            "resume_token.load.a_read_does_not_renew_the_ttl",
        ],
    ),
    Promise::new(
        "ResumeTokens",
        "a save presents the fence and the expected token: many instances stand by, and none overwrites another",
        &[
            "resume_token.save.one_of_many_standbys_saves",
            "resume_token.save.an_older_fence_is_superseded_even_with_the_right_version",
            "resume_token.save.a_wrong_version_is_a_conflict_that_shows_the_current_token",
            "resume_token.take_over.from_then_on_no_earlier_holder_saves",
        ],
    )
    .and(&[FAULTS]),
    Promise::new(
        "Steps",
        "begin, finish, fail; output, attempts, times and errors are recorded",
        &[
            "step.begin.a_new_step_is_carried_out",
            "step.finish.its_output_and_times_are_recorded",
            "step.fail.its_error_and_times_are_recorded",
            "step.get.a_step_is_shown_with_its_output",
            "step.list.steps_are_listed_in_the_order_in_which_they_first_began",
            "step.sleep.its_end_is_recorded_once",
        ],
    ),
    Promise::new(
        "Steps",
        "a replayed step returns its first output",
        &["step.begin.a_finished_step_returns_its_first_output_to_every_attempt"],
    ),
    Promise::new(
        "Steps",
        "a superseded attempt cannot write",
        &["step.begin.an_earlier_attempt_is_refused", "step.finish.another_attempt_cannot_finish_it"],
    )
    .and(&[FAULTS]),
    Promise::new(
        "Steps",
        "for Temporal activities and for plain jobs",
        &[
            "step.begin.attempts_of_temporal_are_counted_for_each_step",
            "step.begin.attempts_of_other_runs_are_counted_for_the_run",
        ],
    ),
    Promise::new(
        "Retries",
        "attempts, last error, next time per operation",
        &[
            "retry.begin.the_next_attempt_waits_for_its_time",
            "retry.get.an_operation_shows_its_attempts_and_times",
            "retry.list.each_operation_of_the_service_is_listed",
            "retry.succeed.a_success_is_recorded",
            "retry.clear.a_cleared_operation_begins_again_under_a_higher_fence",
        ],
    ),
    Promise::new(
        "Retries",
        "fixed, linear and exponential waits, the last two with jitter",
        &[
            "retry.fail.a_retry_waits_as_the_policy_says",
            "retry.fail.a_linear_wait_grows_with_each_attempt",
            "retry.fail.an_exponential_wait_has_full_jitter",
        ],
    ),
    Promise::new(
        "Retries",
        "the kind of the error decides",
        &["retry.fail.the_kind_of_an_error_decides_whether_it_is_retried", "retry.fail.a_snooze_does_not_count"],
    ),
    Promise::new(
        "Runs, Sessions",
        "save, get, delete",
        &[
            "run.create.a_new_run_has_its_names_and_one_event",
            "run.create.of_two_creations_at_the_same_time_one_is_done",
            "run.get.payloads_stay_until_they_are_written_again",
            "run.delete.deletion_leaves_nothing",
            "run.clear.each_call_is_bounded_and_reports_what_is_left",
            "session.get.a_session_has_what_was_saved",
            "session.delete.the_deletion_of_a_session_leaves_nothing",
            "session.clear.each_call_is_bounded_and_reports_what_is_left",
        ],
    ),
    Promise::new(
        "Runs, Sessions",
        "lists by agent and session together, newest first, by cursor with the total",
        &[
            "run.list.by_agent_and_session_together",
            "run.list.the_newest_run_comes_first",
            "run.list.pages_follow_each_other_without_gaps_or_repetitions",
            "session.list.a_page_has_the_total_of_the_listing",
        ],
    ),
    Promise::new(
        "Runs, Sessions",
        "writes carry the expected version",
        &[
            "run.write.a_completion_never_overwrites_a_cancel",
            "run.write.of_two_resumes_one_wins",
            "session.save.of_two_saves_of_one_version_one_is_done",
        ],
    ),
    Promise::new(
        "run events",
        "appended with a sequence number, read from an offset; a read of removed events reports `truncated before n`",
        &[
            "run.events.an_append_at_a_taken_sequence_is_a_conflict",
            "run.events.a_read_continues_where_the_last_one_ended",
            "run.events.a_read_of_removed_events_reports_truncated_before",
        ],
    ),
    Promise::new(
        "run events",
        "a run, its events and its index entries share one TTL",
        &[
            "run.write.run_events_and_listings_expire_together",
            "run.sweep.expired_runs_leave_no_entry_after_bounded_sweeps",
            "session.sweep.expired_sessions_leave_no_entry_after_bounded_sweeps",
        ],
    ),
    Promise::new(
        "Broadcasts",
        "messages to the current listeners",
        &[
            "broadcast.publish.a_message_reaches_all_who_listen",
            "broadcast.listen.a_slow_listener_gets_a_gap_and_the_latest_messages",
        ],
    )
    .and(&["tests/conformance/tests/servers/broadcasts.rs", FAULTS]),
    Promise::new(
        "Topics",
        "durable events, with groups and acknowledgements",
        &[
            "topic.declare.the_first_declaration_determines_the_partitions",
            "topic.append.events_of_one_key_go_to_one_partition_in_order",
            "topic.read.each_group_reads_all_events",
            "topic.acknowledge.all_events_up_to_the_number_are_acknowledged",
            "topic.inspect.the_lag_of_each_group_is_exact",
            "topic.release.another_consumer_reads_immediately",
            "topic.remove_group.a_removed_group_is_gone_in_all_partitions",
        ],
    )
    .and(&[FAULTS]),
    Promise::new(
        "Topics",
        "events that a dead consumer held are delivered again",
        &["topic.read.when_a_consumer_dies_another_reads_its_events"],
    )
    .and(&["crates/twinstore/tests/topic_deaths.rs"]),
    Promise::new(
        "Topics",
        "replay from a point",
        &["topic.seek.a_group_is_moved_to_a_time", "topic.seek.a_group_is_moved_to_the_start_the_end_and_an_event"],
    ),
    Promise::new(
        "Topics",
        "bounded by age, number and bytes",
        &[
            "topic.append.events_above_the_age_are_removed",
            "topic.append.events_above_the_number_are_removed",
            "topic.append.events_above_the_bytes_are_removed",
        ],
    ),
    Promise::new(
        "Idempotency",
        "the key of a crashed owner is released; a finished request returns its response",
        &[
            "idempotency.begin.the_key_of_a_crashed_owner_is_free_in_time",
            "idempotency.begin.a_finished_request_answers_with_its_response",
            "idempotency.begin.another_content_is_a_mismatch_while_it_is_in_progress",
            "idempotency.prolong.a_prolonged_request_is_in_progress_from_then_on",
            "idempotency.finish.the_response_is_kept",
            "idempotency.abandon.a_request_gives_its_key_back",
        ],
    ),
    Promise::new(
        "Homes",
        "a commit writes all its parts or none; what lies elsewhere is delivered once",
        &[
            "home.commit.all_parts_are_written",
            "home.commit.is_refused_because_of_all_parts",
            "home.deliver.it_is_done_once_if_the_first_holder_is_late",
        ],
    )
    .and(&[FAULTS]),
    Promise::new(
        "Inventory",
        "queues, leases, pools and topics of all services by cursor",
        &[
            "inventory.queues.more_queues_than_one_step_shows_are_all_listed",
            "inventory.leases.the_leases_of_all_services_are_listed_with_their_scope",
            "inventory.pools.the_pools_of_all_services_are_listed_with_their_scope",
            "inventory.declared_topics.more_topics_than_one_step_shows_are_all_listed",
        ],
    ),
];
