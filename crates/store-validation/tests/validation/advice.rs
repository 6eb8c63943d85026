//! The remedy of each finding that a setting or a right of a server causes, followed to the letter: it removes the
//! finding and causes no other. The commands are read from the remedy itself.

mod cases;
mod elsewhere;

use std::collections::BTreeSet;

use store_core::Role;
use store_validation::{
    Code, Environment, Finding, NumberRelease, ReleaseRequest, Report, check, check_environment, release_number,
    validate,
};
use testkit::{DEADLINE, RedisServer, RedisServerBuilder, wait_until};

use crate::environment;

const ADMIN: &str = "admin";

/// The password that a reader of the remedy chooses.
const NEW_PASSWORD: &str = "chosen";

/// The user that a reader of the remedy names.
const NEW_USER: &str = "fresh";

/// One service with both servers. As it is built, there is no finding; each case introduces one fault.
struct Setup {
    cache: RedisServerBuilder,
    state: RedisServerBuilder,
    cache_rules: String,
    state_rules: String,
    variables: Vec<(String, String)>,
}

/// The setup once its servers run.
struct Running {
    cache: RedisServer,
    state: RedisServer,
    /// Holds the password files.
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// The rules that the remedy of `default-user` recommends for a role.
fn recommended(role: Role) -> String {
    let report = check_environment(&environment("redis://127.0.0.1:1", "redis://127.0.0.1:2"));
    let is_it = |finding: &&Finding| finding.code == Code::DefaultUser && finding.role == Some(role);
    let finding = report.findings().iter().find(is_it).unwrap();
    let command = commands(finding).remove(0);
    command.split_once(&format!(">{NEW_PASSWORD} ")).unwrap().1.to_owned()
}

impl Setup {
    fn right() -> Self {
        Self {
            cache: RedisServer::cache(),
            state: RedisServer::state(),
            cache_rules: recommended(Role::Cache),
            state_rules: recommended(Role::State),
            variables: Vec::new(),
        }
    }

    fn of_cache(change: impl FnOnce(RedisServerBuilder) -> RedisServerBuilder) -> Self {
        let right = Self::right();
        Self { cache: change(right.cache), ..right }
    }

    fn of_state(change: impl FnOnce(RedisServerBuilder) -> RedisServerBuilder) -> Self {
        let right = Self::right();
        Self { state: change(right.state), ..right }
    }

    /// The correct rules, followed by these.
    fn state_user(mut self, rules: &str) -> Self {
        self.state_rules = format!("{} {rules}", self.state_rules);
        self
    }

    fn cache_user(mut self, rules: &str) -> Self {
        self.cache_rules = format!("{} {rules}", self.cache_rules);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    async fn start(self) -> Running {
        let start = async |builder: RedisServerBuilder, password: &str, rules: &str| {
            builder.password(ADMIN).acl_user("app", password, rules).start().await.unwrap()
        };
        let cache = start(self.cache, "of-cache", &self.cache_rules).await;
        let state = start(self.state, "of-state", &self.state_rules).await;
        let (cache_url, state_url) = (cache.user_url("app", "of-cache"), state.user_url("app", "of-state"));
        let variables = crate::variables(&cache_url, &state_url).into_iter().chain(self.variables).collect();
        Running { cache, state, folder: tempfile::tempdir().unwrap(), variables }
    }
}

impl Running {
    async fn check(&self) -> Report {
        check(&Environment::from_variables(self.variables.clone())).await
    }

    /// Follows the remedy of the first finding with this code until the finding is gone.
    async fn follow(&mut self, finding: &Finding) {
        for command in commands(finding) {
            match finding.role {
                Some(Role::Cache) => run(&self.cache, &command).await,
                Some(Role::State) => run(&self.state, &command).await,
                None if finding.code == Code::SharedCredential => run(&self.state, &command).await,
                None => {
                    run(&self.cache, &command).await;
                    run(&self.state, &command).await;
                }
            }
        }
        if finding.help.contains("_PASSWORD_FILE") && finding.help.contains("><password>") {
            let role = finding.role.unwrap_or(Role::State).name().to_uppercase();
            let file = self.folder.path().join(&role);
            std::fs::write(&file, NEW_PASSWORD).unwrap();
            let of_role = |part: &str| format!("REDIS_{role}_{part}");
            self.variables.push((of_role("PASSWORD_FILE"), file.display().to_string()));
            if finding.help.contains(&of_role("USERNAME")) {
                self.variables.push((of_role("USERNAME"), NEW_USER.to_owned()));
            }
        }
        wait_until("snapshots and rewrites have ended", DEADLINE, async || {
            let info = self.state.info("persistence").await.unwrap();
            let other = self.cache.info("persistence").await.unwrap();
            [info, other]
                .iter()
                .all(|info| info["rdb_bgsave_in_progress"] == "0" && info["aof_rewrite_in_progress"] == "0")
        })
        .await;
    }
}

/// The commands of a remedy, with the reader's choices filled in.
fn commands(finding: &Finding) -> Vec<String> {
    let quoted = finding.help.split('`').skip(1).step_by(2);
    let is_command =
        |text: &&str| text.split(' ').next().is_some_and(|word| word.chars().all(|letter| letter.is_ascii_uppercase()));
    let chosen = |text: &str| {
        let text = text.replace("<password>", NEW_PASSWORD).replace("<name>", NEW_USER).replace("<limit>", "100mb");
        // if it concerns both servers, each for its own user
        if finding.role.is_none() { text.replace("<user>", "app") } else { text }
    };
    let commands: Vec<_> = quoted.filter(is_command).map(chosen).collect();
    for command in &commands {
        assert!(!command.contains('<'), "something is not filled in: {}", finding.help);
    }
    commands
}

async fn run(server: &RedisServer, command: &str) {
    let words: Vec<_> = command.split(' ').map(|word| if word == "\"\"" { "" } else { word }).collect();
    server.command(&words).await.unwrap_or_else(|error| panic!("{command}: {error}"));
}

fn codes(report: &Report) -> BTreeSet<Code> {
    report.findings().iter().map(|finding| finding.code).collect()
}

/// Checks that the finding appears, follows its remedy, and checks again.
async fn assert_cured(code: Code, setup: Setup) {
    assert_running_cured(code, setup.start().await).await;
}

async fn assert_running_cured(code: Code, mut running: Running) {
    let before = running.check().await;
    let finding = before.findings().iter().find(|finding| finding.code == code);
    let finding = finding.unwrap_or_else(|| panic!("{code} is not found: {:#?}", before.findings())).clone();
    running.follow(&finding).await;
    let after = running.check().await;
    let of_role =
        |report: &Report| report.findings().iter().any(|other| other.code == code && other.role == finding.role);
    assert!(!of_role(&after), "{code} is still there after:\n{}\n{:#?}", finding.help, after.findings());
    let new: Vec<_> = codes(&after).difference(&codes(&before)).copied().collect();
    assert!(new.is_empty(), "{code}: the remedy brought {new:?}:\n{}\n{:#?}", finding.help, after.findings());
}

#[tokio::test]
async fn the_recommended_rules_cause_no_finding() {
    let running = Setup::right().variable("STORE_ENVIRONMENT", "production").start().await;
    let report = running.check().await;
    assert!(report.findings().is_empty(), "{:#?}", report.findings());
    let environment = Environment::from_variables(running.variables.clone());
    let validated = validate(&environment).await.unwrap();
    assert!(validated.warnings.is_empty(), "what a service claims needs no other right: {validated:#?}");
    assert!(validated.claims.refresh().await.is_empty());
    let force = ReleaseRequest::new().with_force(true);
    assert!(matches!(release_number(&environment, force).await.unwrap(), NumberRelease::Released { .. }));
}
