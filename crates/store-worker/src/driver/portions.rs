//! Divides the free places of a worker among its queues.

use std::cmp::Ordering;

/// The places of one queue: how many jobs to claim from it.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) queue: usize,
    /// How many places it gets; at first those that it reserves.
    pub(super) jobs: usize,
    /// The most jobs that the queue's bound leaves room for.
    pub(super) room: usize,
    /// How many jobs of the queue the worker holds.
    pub(super) held: usize,
    pub(super) weight: usize,
    /// Among queues with the same load, the one with the lowest turn comes first.
    pub(super) turn: u64,
    /// How many places it gets in one step.
    pub(super) portion: usize,
}

impl Grant {
    /// Compares two queues by their jobs per weight, then by their turns.
    fn compare(&self, other: &Self) -> Ordering {
        // a/v < b/w without division
        let loads = ((self.held + self.jobs) * other.weight).cmp(&((other.held + other.jobs) * self.weight));
        loads.then(self.turn.cmp(&other.turn))
    }
}

/// Divides `free` places. In each step, the queue with the fewest jobs per weight gets a portion. If fewer places are left than the
/// next portion, they stay free: two claims of parts cost more than one later claim of the whole. A single queue gets all places.
pub(super) fn divide(grants: &mut [Grant], mut free: usize) {
    if let [only] = grants {
        only.jobs = (only.jobs + free).min(only.room);
        return;
    }
    let mut is_first = true;
    while free > 0 {
        let open = grants.iter_mut().filter(|grant| grant.jobs < grant.room);
        let Some(lightest) = open.min_by(|a, b| a.compare(b)) else { break };
        let places = lightest.portion.min(lightest.room - lightest.jobs);
        if places > free && !is_first {
            break;
        }
        lightest.jobs += places.min(free);
        free = free.saturating_sub(places);
        is_first = false;
    }
}

/// The turn after `turn` of a queue of this weight that has requested `jobs`.
pub(super) fn next_turn(turn: u64, jobs: usize, weight: usize) -> u64 {
    turn + (((jobs as u64) << 20) / weight as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(queue: usize, held: usize, weight: usize, portion: usize) -> Grant {
        Grant { queue, jobs: 0, room: 100, held, weight, turn: 0, portion }
    }

    fn divided(mut grants: Vec<Grant>, free: usize) -> Vec<usize> {
        divide(&mut grants, free);
        grants.iter().map(|grant| grant.jobs).collect()
    }

    #[test]
    fn single_places_go_to_the_queue_with_the_fewest_jobs_per_weight() {
        assert_eq!(divided(vec![grant(0, 0, 3, 1), grant(1, 0, 1, 1)], 20), [15, 5]);
        assert_eq!(divided(vec![grant(0, 4, 1, 1), grant(1, 0, 1, 1)], 6), [1, 5]);
        assert_eq!(divided(vec![grant(0, 0, 1, 1), grant(1, 0, 1, 1)], 0), [0, 0]);
    }

    #[test]
    fn a_queue_has_the_places_that_it_reserves() {
        let reserving = |jobs| Grant { jobs, ..grant(0, 0, 1, 1) };
        assert_eq!(divided(vec![reserving(2)], 0), [2]);
        assert_eq!(divided(vec![reserving(2), grant(1, 0, 1, 1)], 0), [2, 0]);
        assert_eq!(divided(vec![reserving(2), grant(1, 0, 1, 1)], 4), [3, 3]);
    }

    #[test]
    fn no_queue_gets_more_than_it_has_room_for() {
        let bounded = |queue| Grant { room: 3, ..grant(queue, 0, 1, 1) };
        assert_eq!(divided(vec![bounded(0)], 50), [3]);
        assert_eq!(divided(vec![bounded(0), grant(1, 0, 1, 1)], 50), [3, 47]);
        assert_eq!(divided(vec![bounded(0), bounded(1)], 50), [3, 3]);
    }

    #[test]
    fn portions_are_whole_unless_the_first_one_is_larger_than_all_places() {
        let many = || (0..4).map(|queue| grant(queue, 0, 1, 50)).collect::<Vec<_>>();
        assert_eq!(divided(many(), 100), [50, 50, 0, 0]);
        assert_eq!(divided(many(), 98), [50, 0, 0, 0]);
        assert_eq!(divided(many(), 30), [30, 0, 0, 0]);
        assert_eq!(divided(vec![grant(0, 0, 1, 11), grant(1, 0, 1, 50), grant(2, 0, 1, 11)], 80), [11, 50, 11]);
    }

    /// Each queue that always has jobs gets its share, however many queues there are.
    #[test]
    fn queues_take_turns() {
        for portion in [1, 50] {
            let (mut turns, mut jobs) = ([0; 12], [0; 12]);
            let weight = |queue: usize| if queue < 4 { 2 } else { 1 };
            for _ in 0..1600 {
                // All jobs of the last round have ended.
                let mut grants: Vec<_> = (0..12).map(|queue| grant(queue, 0, weight(queue), portion)).collect();
                grants.iter_mut().for_each(|grant| grant.turn = turns[grant.queue]);
                divide(&mut grants, portion);
                for grant in grants.iter().filter(|grant| grant.jobs > 0) {
                    turns[grant.queue] = next_turn(grant.turn, grant.jobs, grant.weight);
                    jobs[grant.queue] += grant.jobs;
                }
            }
            let expected: Vec<_> = (0..12).map(|queue| 100 * portion * weight(queue)).collect();
            assert!(
                jobs.iter().zip(&expected).all(|(jobs, expected)| jobs.abs_diff(*expected) <= 2 * portion),
                "{jobs:?}"
            );
        }
    }
}
