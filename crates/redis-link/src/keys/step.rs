//! The keys of workflow runs. Their ids are any text.

use store_core::{Namespace, Scope, WorkflowRun};

use super::scoped;

/// `ns:service:{w.kind:id:id}:steps`, shared and of Temporal `ns:{w.kind:id:id}:steps`: hash: `run` (layout, end in ms, latest
/// attempt, number of steps), names, steps, outputs. `kind`: `t` Temporal (its namespace, workflow id, run id), `j` job (queue, id,
/// time of its push in ms), `n` named (name). TTL: the longest that a write has set. The kind and the ids are those of
/// the run's `Display`.
pub fn steps(namespace: &Namespace, scope: &Scope, run: &WorkflowRun) -> String {
    let scope = if run.is_temporal() { &Scope::Shared } else { scope };
    format!("{}:{{w.{run}}}:steps", scoped(namespace, scope))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use store_core::{JobId, Namespace, QueueName, Scope, ServiceName, Timestamp, WorkflowRun};

    use super::{super::tag_of, steps};

    fn key(run: &WorkflowRun) -> String {
        let scope = Scope::from(ServiceName::new("a:b").unwrap());
        steps(&Namespace::new("tw").unwrap(), &scope, run)
    }

    #[test]
    fn a_run_of_temporal_belongs_to_all_services() {
        let run = WorkflowRun::temporal("default", "order {7}: 50 %", "r\n\u{85}é").unwrap();
        assert_eq!(key(&run), "tw:{w.t:default:order %7B7%7D%3A 50 %25:r%0A%C2%85é}:steps");
        let job = WorkflowRun::of_job(
            &QueueName::new("mails:eu").unwrap(),
            &JobId::new("a:1").unwrap(),
            Timestamp::from_millis(9),
        );
        assert_eq!(key(&job), "tw:a:b:{w.j:mails%3Aeu:a%3A1:9}:steps");
        assert_eq!(key(&WorkflowRun::named("import").unwrap()), "tw:a:b:{w.n:import}:steps");
    }

    #[test]
    fn no_two_runs_share_a_key_and_the_tag_is_whole() {
        let texts = ["a", "a:b", "b", "%", "%25", "%3A", ":", "::", "{", "}", "{}", "a%3Ab", "a}:steps", "\0", "\u{1}"];
        let mut runs: Vec<WorkflowRun> = texts.iter().map(|text| WorkflowRun::named(text).unwrap()).collect();
        for (a, b) in texts.iter().flat_map(|a| texts.iter().map(move |b| (a, b))) {
            runs.extend(texts.iter().map(|c| WorkflowRun::temporal(a, b, c).unwrap()));
        }
        let keys: BTreeSet<String> = runs.iter().map(key).collect();
        assert_eq!(keys.len(), runs.len());
        for key in keys {
            let tag = String::from_utf8(tag_of(key.as_bytes()).to_vec()).unwrap();
            assert!(tag.starts_with("w.") && key.ends_with(&format!("{{{tag}}}:steps")), "{key}");
        }
    }
}
