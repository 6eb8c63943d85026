use std::time::Duration;

use testkit::{DEADLINE, Program, wait_until};

fn shell(script: &str) -> Program {
    Program::new("/bin/sh").args(["-c", script])
}

#[tokio::test]
async fn a_program_has_the_given_environment_and_input_only() {
    let exit = shell("cat; echo \"$GIVEN|$HOME\"; echo wrong >&2; exit 78")
        .env("GIVEN", "here")
        .input("line\n")
        .run()
        .await
        .unwrap();
    assert_eq!((exit.code, exit.signal), (Some(78), None));
    assert_eq!(exit.stdout, "line\nhere|\n");
    assert_eq!(exit.stderr, "wrong\n");
}

#[tokio::test]
async fn a_program_can_be_asked_to_end_and_be_killed() {
    let mut polite = shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do read -r x; done").start().unwrap();
    assert_eq!(polite.wait_line(|line| line.starts_with("rea")).await, "ready");
    polite.terminate().unwrap();
    let exit = polite.wait_exit(DEADLINE).await;
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(3), "ready\nbye\n"));
    assert!(polite.terminate().is_err());

    let mut stubborn = shell("trap '' TERM; echo ready; while :; do read -r x; done").start().unwrap();
    stubborn.wait_line(|line| line == "ready").await;
    assert_eq!(stubborn.kill().await.signal, Some(9));
}

#[tokio::test]
#[should_panic(expected = "started")]
async fn a_program_that_does_not_end_fails_the_test_with_its_output() {
    let mut endless = shell("echo started; while :; do read -r x; done").start().unwrap();
    endless.wait_line(|line| line == "started").await;
    endless.wait_exit(Duration::from_millis(10)).await;
}

#[tokio::test]
#[should_panic(expected = "not within 10ms: the moon is full")]
async fn a_condition_that_never_holds_fails_the_test_by_its_name() {
    wait_until("the moon is full", Duration::from_millis(10), async || false).await;
}

#[tokio::test]
async fn a_program_that_was_not_built_is_told_with_the_command_that_builds_it() {
    let error = Program::built("no-such-program").err().expect("it does not exist");
    assert!(error.to_string().contains("cargo build --package no-such-program"));
}
