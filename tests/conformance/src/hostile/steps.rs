//! Hostile texts as runs, steps, outputs and errors.

use std::time::Duration;

use store_core::{Durability, Fence, PageRequest, StepAttempt, StepBegun, StepName, WorkflowRun};

use super::Texts;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq, check_matches};

/// Every operation on steps. A second time, the steps have finished.
pub(super) async fn play(fixture: &Fixture, texts: &Texts) -> Verdict {
    let (steps, durability) = (fixture.state.steps(), Durability::Accepted);
    let namespace = fixture.text(texts.word(0));
    let runs = [
        WorkflowRun::temporal(&namespace, &texts.own(0), texts.word(1))?,
        WorkflowRun::named(fixture.text(&texts.own(1)))?,
    ];
    for run in runs {
        let attempt = |index| -> Result<_, store_core::NameError> {
            Ok(StepAttempt::new(run.clone(), StepName::new(texts.word(index))?, Fence::new(1)))
        };
        for index in 0..4 {
            let (attempt, output) = (attempt(index)?, texts.bytes(index + 1));
            match steps.begin(&attempt, durability).await?.value {
                StepBegun::Started => {
                    check!(steps.fail(&attempt, texts.word(index + 2), durability).await?.value);
                    check_eq!(steps.begin(&attempt, durability).await?.value, StepBegun::Started);
                    check!(steps.finish(&attempt, &output, durability).await?.value);
                }
                begun => check_eq!(begun, StepBegun::Finished(output.clone())),
            }
            let shown = steps.get(&run, &attempt.step).await?;
            let expected = (Some(output), Some(texts.word(index + 2).to_owned()));
            check_eq!(shown.map(|info| (info.output, info.last_error)), Some(expected));
        }
        let slept = steps.sleep(&attempt(4)?, Duration::from_secs(60), durability).await?.value;
        check_matches!(slept, StepBegun::Sleeping { .. });
        let listed = steps.list(&run, PageRequest::default()).await?.items;
        let names: Vec<_> = listed.iter().map(|info| info.step.as_str()).collect();
        check_eq!(names, (0..5).map(|index| texts.word(index)).collect::<Vec<_>>());
    }
    Ok(())
}
