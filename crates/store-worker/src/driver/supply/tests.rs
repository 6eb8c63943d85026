use store_core::{HolderName, QueueName};

use super::*;

const LEASE: Duration = Duration::from_secs(15);

fn request() -> ClaimRequest {
    let (queue, worker) = (QueueName::new("email").unwrap(), HolderName::new("worker").unwrap());
    ClaimRequest::new(queue, worker, 8, LEASE)
}

fn heard(jobs: usize) -> Heard {
    Heard { jobs, bytes: 0, has_more: false, due: None }
}

/// A supply whose claim of 8 jobs found `jobs`.
fn claimed(jobs: usize, now: Instant) -> Supply {
    let mut supply = Supply::new(LEASE);
    supply.claim_sent(8, 4, 0, now);
    supply.claim_heard(heard(jobs), now);
    supply
}

#[test]
fn a_claim_that_finds_fewer_jobs_than_it_wants_registers_the_worker() {
    let now = Instant::now();
    assert!(claimed(8, now).is_wanted());
    let supply = claimed(0, now);
    assert!(supply.is_registered());
    assert_eq!(supply.claims_at(), Some(now + REGISTRATION));
}

#[test]
fn a_claim_under_way_counts_as_the_jobs_that_it_may_return() {
    let now = Instant::now();
    let mut supply = Supply::new(LEASE);
    supply.claim_sent(8, 4, 0, now);
    assert_eq!((supply.claiming(), supply.expected(), supply.is_wanted()), (8, 8, false));
    supply.claim_failed();
    assert_eq!((supply.claiming(), supply.is_wanted(), supply.is_notified()), (0, true, false));
}

#[test]
fn a_registration_ends_by_a_notification_a_hand_over_a_due_job_and_its_time() {
    let now = Instant::now();
    let mut supply = claimed(0, now);
    supply.notified();
    assert!(supply.is_notified());

    let mut supply = claimed(0, now);
    supply.handed_over(false, Duration::ZERO, now + LEASE);
    assert!(supply.is_wanted() && !supply.is_notified());

    let mut supply = claimed(0, now);
    assert!(!supply.check(now + Duration::from_secs(9)) && supply.is_registered());
    assert!(supply.check(now + REGISTRATION) && supply.is_wanted());
    assert!(supply.has_waited_in_vain());

    let mut supply = Supply::new(LEASE);
    supply.claim_sent(8, 4, 0, now);
    let due = now + Duration::from_secs(1);
    supply.claim_heard(Heard { due: Some(due), ..heard(0) }, now);
    assert!(supply.check(due) && !supply.has_waited_in_vain());
}

#[test]
fn what_arrives_during_a_claim_is_not_lost() {
    let now = Instant::now();
    for (is_notified, jobs) in [(true, 0), (false, 0), (true, 3)] {
        let mut supply = Supply::new(LEASE);
        supply.claim_sent(8, 4, 0, now);
        if is_notified {
            supply.notified()
        } else {
            supply.want()
        }
        supply.want();
        supply.claim_heard(heard(jobs), now);
        assert_eq!((supply.is_wanted(), supply.is_notified()), (true, is_notified));
    }
}

#[test]
fn a_notification_survives_a_claim_that_was_not_executed() {
    let now = Instant::now();
    let mut supply = claimed(0, now);
    supply.notified();
    supply.claim_sent(8, 4, 0, now);
    supply.claim_failed();
    assert!(supply.is_notified());
}

#[test]
fn a_claim_that_passes_a_notification_on_does_not_register() {
    let now = Instant::now();
    let mut supply = Supply::new(LEASE);
    supply.notified();
    supply.pass_on_sent(now);
    assert!(supply.claim_heard(heard(0), now).passes_on);
    assert!(supply.is_wanted() && !supply.is_notified());
}

#[test]
fn a_claim_whose_reply_was_lost_is_repeated_at_once_and_later_when_calls_may_be_sent() {
    let now = Instant::now();
    let mut supply = Supply::new(LEASE);
    supply.claim_sent(8, 4, 0, now);
    let first = request();
    supply.claim_lost(first.clone());
    assert_eq!((supply.claiming(), supply.is_wanted()), (8, false));
    let (repeated, reserve) = supply.repeat(false).unwrap();
    assert_eq!((repeated.request, repeated.is_repeat, reserve), (first.request, true, Some(4)));
    assert_eq!(repeated.max_bytes, MOST_BYTES / 2);
    supply.claim_lost(repeated);
    assert!(supply.repeat(false).is_none() && supply.is_unheard());
    assert!(supply.repeat(true).is_some());
    let terms = supply.claim_heard(heard(2), now + Duration::from_secs(3));
    assert_eq!(terms.first_sent, now, "the leases began when the first copy was executed");
    assert!(supply.is_wanted(), "there may be jobs that the first copy did not claim");
}

#[test]
fn a_lost_claim_is_given_up_when_its_leases_have_ended_or_the_worker_ends() {
    let now = Instant::now();
    let lost_twice = || {
        let mut supply = Supply::new(LEASE);
        supply.claim_sent(8, 4, 0, now);
        supply.claim_lost(request());
        supply.give_up_repeat(LEASE, true, now);
        let (repeated, _) = supply.repeat(false).expect("also a worker that ends sends it once more");
        supply.claim_lost(repeated);
        supply
    };
    let mut supply = lost_twice();
    supply.give_up_repeat(LEASE, false, now);
    assert!(supply.is_unheard());
    supply.give_up_repeat(LEASE, false, now + LEASE);
    assert!(supply.is_wanted());
    let mut supply = lost_twice();
    supply.give_up_repeat(LEASE, true, now);
    assert_eq!(supply.claiming(), 0);
}

#[test]
fn claims_have_half_the_bytes_after_a_lost_reply_and_slowly_more_after_full_ones() {
    let now = Instant::now();
    let mut supply = Supply::new(LEASE);
    for _ in 0..9 {
        supply.claim_sent(8, 4, 0, now);
        supply.claim_lost(request());
        supply.repeat(true);
        supply.claim_heard(heard(8), now);
    }
    assert_eq!(supply.max_bytes(), FEWEST_BYTES);
    let mut full_claims = 0;
    while supply.max_bytes() < MOST_BYTES {
        supply.claim_sent(8, 4, 0, now);
        supply.claim_heard(Heard { bytes: supply.max_bytes(), ..heard(8) }, now);
        full_claims += 1;
    }
    assert!((40..60).contains(&full_claims), "{full_claims}");
}

#[test]
fn a_registration_for_short_leases_is_renewed_earlier() {
    let now = Instant::now();
    let mut supply = Supply::new(Duration::from_secs(3));
    supply.claim_sent(8, 4, 0, now);
    supply.claim_heard(heard(0), now);
    assert_eq!(supply.claims_at(), Some(now + Duration::from_secs(2)));
    assert!(supply.can_reserve() && !Supply::new(Duration::from_millis(1300)).can_reserve());
}

#[test]
fn the_claim_after_a_hand_over_waits_for_the_settlement_and_for_nothing_else() {
    let now = Instant::now();
    let patience = Duration::from_millis(1);
    let handed_over = || {
        let mut supply = claimed(0, now);
        supply.handed_over(false, patience, now);
        assert_eq!((supply.is_wanted(), supply.waits_until()), (true, Some(now + patience)));
        supply
    };
    let mut supply = handed_over();
    supply.wait_no_longer();
    assert_eq!(supply.waits_until(), None);
    let mut supply = handed_over();
    supply.notified();
    assert_eq!(supply.waits_until(), None);
    let mut supply = handed_over();
    supply.handed_over(false, patience, now);
    assert_eq!(supply.waits_until(), None, "there are more jobs than registrations");
}

#[test]
fn a_worker_stays_registered_for_the_rest_of_its_reserve() {
    let now = Instant::now();
    let mut supply = claimed(0, now);
    supply.handed_over(true, Duration::ZERO, now);
    assert!(supply.is_registered());
    supply.handed_over(false, Duration::ZERO, now);
    assert!(supply.is_wanted());
}

#[test]
fn a_claim_takes_the_places_of_the_reservation() {
    let now = Instant::now();
    let mut supply = claimed(0, now);
    supply.set_reserved(4);
    assert_eq!((supply.claiming(), supply.expected()), (0, 4));
    supply.want();
    assert_eq!(supply.expected(), 4, "the store may still hand jobs over");
    for (max, expected) in [(2, 4), (8, 8)] {
        supply.claim_sent(max, 1, 0, now);
        assert_eq!(supply.expected(), expected);
        supply.claim_failed();
    }
}

#[test]
fn a_reservation_is_recalled_once_even_if_a_hand_over_has_used_it() {
    let now = Instant::now();
    let mut supply = claimed(0, now);
    assert!(!supply.can_be_recalled(), "it reserves nothing");
    supply.set_reserved(4);
    assert!(supply.can_be_recalled());
    supply.want();
    supply.claim_sent(4, 1, 0, now);
    assert!(!supply.can_be_recalled());
    supply.claim_heard(heard(0), now);
    assert!(!supply.can_be_recalled(), "its message will arrive");
    supply.set_reserved(1);
    assert!(supply.can_be_recalled());
}

#[test]
fn after_a_notification_it_asks_for_a_few_more_jobs_than_the_queue_usually_has() {
    let now = Instant::now();
    let mut supply = Supply::new(LEASE);
    assert_eq!(supply.may_have(), NewJob::MAX_BATCH, "nothing is known");
    let mut claim = |jobs| {
        supply.claim_sent(8, 4, 0, now);
        supply.claim_heard(heard(jobs), now);
        let may_have = supply.may_have();
        supply.want();
        may_have
    };
    assert_eq!(claim(8), NewJob::MAX_BATCH, "it has more");
    assert_eq!(claim(2), 8 + 2 + 1);
    assert_eq!(claim(0), 8 + 2 + 1);
    assert_eq!(claim(1), 10 / 2 + 1, "it forgets slowly");
}
