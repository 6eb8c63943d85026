//! Checks without a container engine that the files that the Compose files name exist and fit together. Runs their scripts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use store_validation::{Environment, Severity, check_environment};
use testkit::{DEADLINE, RespConnection, free_port, wait_until};
use yaml_rust2::{Yaml, YamlLoader};

use crate::{deploy, read, root, sh};

const FILES: [&str; 2] = ["compose.yaml", "cluster.yaml"];

fn compose() -> Yaml {
    file("compose.yaml")
}

fn file(name: &str) -> Yaml {
    YamlLoader::load_from_str(&read(deploy("compose").join(name))).unwrap().remove(0)
}

fn services(compose: &Yaml) -> BTreeMap<String, Yaml> {
    let services = compose["services"].as_hash().unwrap().iter();
    services.map(|(name, service)| (name.as_str().unwrap().to_owned(), service.clone())).collect()
}

/// The texts of a list, which may be absent.
fn texts(list: &Yaml) -> Vec<String> {
    list.as_vec().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// Source and target of each secret of a service.
fn secrets(service: &Yaml) -> Vec<(String, String)> {
    let secret = |secret: &Yaml| match (secret.as_str(), secret["source"].as_str(), secret["target"].as_str()) {
        (Some(name), _, _) => (name.to_owned(), name.to_owned()),
        (_, Some(source), Some(target)) => (source.to_owned(), target.to_owned()),
        _ => panic!("{secret:?}"),
    };
    service["secrets"].as_vec().unwrap().iter().map(secret).collect()
}

/// The files that a service mounts: inside the container, and here.
fn mounts(service: &Yaml) -> BTreeMap<String, PathBuf> {
    let files = texts(&service["volumes"]).into_iter().filter(|volume| volume.starts_with('.'));
    files
        .map(|volume| match volume.split(':').collect::<Vec<_>>().as_slice() {
            [source, target, "ro"] => ((*target).to_owned(), deploy("compose").join(source)),
            _ => panic!("{volume}: mount files read-only"),
        })
        .collect()
}

/// The passwords as `secrets.sh` makes them.
fn made_secrets() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = sh(&deploy("compose/secrets.sh"), &[folder.path()]);
    assert!(made.status.success() && made.stdout.is_empty(), "{made:?}");
    folder
}

#[test]
fn all_that_is_named_exists() {
    for name in FILES {
        assert_named_exists(&file(name));
    }
}

fn assert_named_exists(compose: &Yaml) {
    let made = made_secrets();
    for (name, service) in services(compose) {
        let mounted = mounts(&service);
        for file in mounted.values() {
            assert!(file.is_file(), "{name}: {}", file.display());
        }
        for word in texts(&service["command"]).iter().filter(|word| word.starts_with('/')) {
            assert!(mounted.contains_key(word), "{name}: {word} is not mounted");
        }
        for (secret, _) in secrets(&service) {
            let file = compose["secrets"][secret.as_str()]["file"].as_str().unwrap();
            assert_eq!(Path::new(file), Path::new("./secrets").join(&secret), "{name}");
            assert_eq!(read(made.path().join(&secret)).len(), 64, "{name}: secrets.sh makes {secret}");
        }
        for volume in texts(&service["volumes"]).iter().filter(|volume| !volume.starts_with('.')) {
            let named = volume.split(':').next().unwrap();
            assert!(
                named.starts_with("state-") && !compose["volumes"].as_hash().unwrap().is_empty(),
                "{name}: {volume}"
            );
            assert!(
                compose["volumes"].as_hash().unwrap().contains_key(&Yaml::String(named.into())),
                "{name}: {volume}"
            );
        }
        let others = service["depends_on"].as_hash();
        for (other, condition) in others.into_iter().flatten() {
            let other = &compose["services"][other.as_str().unwrap()];
            match condition["condition"].as_str() {
                Some("service_completed_successfully") => {
                    assert!(other["restart"].is_badvalue(), "{name}: it must end")
                }
                condition => {
                    assert!(
                        !other["healthcheck"]["test"].is_badvalue(),
                        "{name} waits for a server without a health check"
                    );
                    assert_eq!(condition, Some("service_healthy"));
                }
            }
        }
    }
    let build = &compose["services"]["notifier"]["build"];
    let context = deploy("compose").join(build["context"].as_str().unwrap()).canonicalize().unwrap();
    assert_eq!(context, root().canonicalize().unwrap());
    let dockerfile = read(context.join(build["dockerfile"].as_str().unwrap()));
    assert!(dockerfile.contains("--package notifier") && read(context.join(".dockerignore")).contains("deploy\n"));
}

#[test]
fn no_port_is_published_images_have_a_version_and_memory_is_limited() {
    for name in FILES {
        assert_contained(&file(name));
    }
}

fn assert_contained(compose: &Yaml) {
    let dockerfile = read(deploy("compose/notifier.Dockerfile"));
    let built_from = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")).map(str::to_owned);
    let images = services(compose).into_values().filter_map(|service| service["image"].as_str().map(str::to_owned));
    for image in images.chain(built_from) {
        let tag =
            image.split_whitespace().next().unwrap().split_once(':').unwrap_or_else(|| panic!("{image} has no tag")).1;
        assert!(tag.split('.').count() >= 2 && tag.starts_with(|digit: char| digit.is_ascii_digit()), "{image}");
    }
    for (name, service) in services(compose) {
        assert!(service["ports"].is_badvalue() && service["network_mode"].is_badvalue(), "{name}");
        assert!(texts(&service["security_opt"]).contains(&"no-new-privileges:true".to_owned()), "{name}");
        let memory =
            service["mem_limit"].as_str().and_then(|limit| limit.strip_suffix('m')?.parse::<u64>().ok()).unwrap();
        let (role, percent) = match name.split('-').next() {
            Some("cache") => ("cache", 75),
            Some("state") => ("state", 60),
            _ => continue,
        };
        let conf = read(deploy(&format!("redis/{role}.conf")));
        let limit = conf.lines().find_map(|line| line.strip_prefix("maxmemory ")?.strip_suffix("gb")).unwrap();
        let of_memory = limit.parse::<u64>().unwrap() * 1024 * 100 / memory;
        assert_eq!(of_memory, percent - 1, "{name}: maxmemory in percent of mem_limit, rounded down");
    }
}

#[test]
fn the_service_starts_with_its_environment() {
    for (name, state) in
        [("compose.yaml", "redis://state:6379"), ("cluster.yaml", "redis-cluster://state-1,state-2,state-3")]
    {
        assert_starts(&file(name), state);
    }
}

fn assert_starts(compose: &Yaml, state: &str) {
    let service = &compose["services"]["notifier"];
    let made = made_secrets();
    let mounted: Vec<_> = secrets(service).into_iter().map(|(_, target)| format!("/run/secrets/{target}")).collect();
    let variables = service["environment"].as_hash().unwrap().iter().map(|(name, value)| {
        let (name, value) = (name.as_str().unwrap().to_owned(), value.as_str().unwrap().to_owned());
        assert!(!value.starts_with('/') || mounted.contains(&value), "{name}: {value} is not mounted");
        (name, value.replace("/run/secrets", made.path().to_str().unwrap()))
    });
    let report = check_environment(&Environment::from_variables(variables));
    let open = report.findings().iter().filter(|finding| !finding.allowed || finding.severity == Severity::Error);
    assert_eq!(open.collect::<Vec<_>>(), Vec::<&store_validation::Finding>::new());
    for (expected, variable) in [("redis://cache:6379", "REDIS_CONN_BASE_URL"), (state, "REDIS_WORKERCACHE_CONN_URL")] {
        let url = service["environment"][variable].as_str().unwrap();
        assert_eq!(url, expected, "the names of the services in the file");
    }
}

#[test]
fn a_password_is_random_and_made_once() {
    let (made, other) = (made_secrets(), made_secrets());
    let names = ["cache-admin", "cache-app", "state-admin", "state-app"].map(|name| format!("{name}-password"));
    let of = |folder: &Path| names.each_ref().map(|name| read(folder.join(name)));
    let before = of(made.path());
    assert!(sh(&deploy("compose/secrets.sh"), &[made.path()]).status.success());
    assert_eq!(of(made.path()), before);
    let mut all: Vec<_> = before.into_iter().chain(of(other.path())).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 8);
}

/// Runs the command and the health check of each server, with the paths of the container in a folder.
#[tokio::test]
async fn servers_start_and_become_healthy_by_their_commands() {
    let compose = compose();
    let made = made_secrets();
    for role in ["cache", "state"] {
        let service = &compose["services"][role];
        let container = tempfile::tempdir().unwrap();
        let inside = |path: &str| container.path().join(path.trim_start_matches('/'));
        for folder in ["/etc/twinstore", "/run/secrets", "/run/twinstore", "/data", "/bin"] {
            std::fs::create_dir_all(inside(folder)).unwrap();
        }
        let here = |text: &str| {
            ["/etc/twinstore", "/run/secrets", "/run/twinstore", "/data"]
                .iter()
                .fold(text.to_owned(), |text, folder| text.replace(folder, inside(folder).to_str().unwrap()))
        };
        for (target, source) in mounts(service) {
            std::fs::write(inside(&target), here(&read(source))).unwrap();
        }
        for (source, target) in secrets(service) {
            std::fs::copy(made.path().join(source), inside("/run/secrets").join(target)).unwrap();
        }
        let port = free_port().unwrap();
        program(&inside("/bin/docker-entrypoint.sh"), "exec \"$@\"");
        program(&inside("/bin/valkey-server"), &format!("exec redis-server \"$@\" --port {port}"));
        program(&inside("/bin/valkey-cli"), &format!("exec redis-cli -p {port} \"$@\""));
        let path = format!("{}:{}", inside("/bin").display(), std::env::var("PATH").unwrap());
        let command: Vec<_> = texts(&service["command"]).iter().map(|word| here(word)).collect();
        let mut server = Command::new(&command[0]);
        server.args(&command[1..]).env("PATH", &path).stdout(Stdio::null()).stdin(Stdio::null());
        let mut server = Ended(server.spawn().unwrap());
        let health = texts(&service["healthcheck"]["test"]);
        assert_eq!(health[0], "CMD-SHELL");
        let health = here(&health[1]).replace("$$", "$");
        let is_healthy =
            || Command::new("sh").args(["-c", &health]).env("PATH", &path).output().unwrap().status.success();
        wait_until("the server is healthy", DEADLINE, async || is_healthy()).await;
        let mut stranger = RespConnection::open(("127.0.0.1", port)).await.unwrap();
        assert!(stranger.command(&["PING"]).await.unwrap_err().to_string().contains("NOAUTH"));
        server.0.kill().unwrap();
        server.0.wait().unwrap();
        assert!(!is_healthy(), "a server that is gone");
    }
}

/// A process that ends with its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;

    std::fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
