//! Deliveries for a first look, where no input is named.

use std::fmt::Write as _;

/// How many deliveries the sample has.
const DELIVERIES: usize = 500;

/// Lines like a forge's webhooks: several repositories, several events, and each tenth delivery sent twice.
pub(crate) fn sample() -> String {
    let run = fastrand::u32(..);
    let mut lines = String::new();
    for number in 0..DELIVERIES {
        // Every tenth line repeats the one before it.
        let number = if number % 10 == 9 { number - 1 } else { number };
        let (event, action) = [("issues", "opened"), ("pull_request", "closed"), ("release", "published")][number % 3];
        let repository = ["harbour/crane", "harbour/quay", "harbour/tug"][number / 3 % 3];
        let _ = writeln!(
            lines,
            r#"{{"id":"sample-{run:08x}-{number}","event":"{event}","action":"{action}","payload":{{"sender":{{"login":"ann"}},"repository":{{"full_name":"{repository}"}}}}}}"#
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use crate::delivery::Deliveries;

    #[tokio::test]
    async fn every_line_of_the_sample_is_a_delivery() {
        let sample = super::sample();
        let mut deliveries = Deliveries::new(sample.as_bytes());
        let mut ids = std::collections::HashSet::new();
        let mut lines = 0;
        while let Some(delivery) = deliveries.next().await.unwrap() {
            ids.insert(delivery.unwrap().id);
            lines += 1;
        }
        assert_eq!((lines, ids.len()), (super::DELIVERIES, super::DELIVERIES * 9 / 10));
    }
}
