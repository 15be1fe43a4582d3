//! The director under test: the real binary, in the director's namespace.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::lab::Lab;
use crate::namespace::Namespace;
use crate::wait::poll;

/// How long a director may take to answer after its start, and to end after SIGTERM. Compiling
/// plugins on a loaded machine takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to start a director.
#[derive(Clone, Debug, Default)]
pub struct DirectorOptions {
    /// The text of its configuration file.
    pub config: String,
    /// Arguments after `wvs run --config … --socket … --state-dir …`.
    pub arguments: Vec<OsString>,
    /// More environment for the director and for the commands.
    pub environment: Vec<(OsString, OsString)>,
    /// Another binary than `$WVS_BIN` or the one that was built beside the tests.
    pub binary: Option<PathBuf>,
}

/// A running director. Dropping it kills it and prints its stderr, which the test runner shows when the
/// test has failed.
///
/// What it has put in the kernel stays: it lives in the lab's namespace, not in the process.
///
/// ```no_run
/// # fn main() -> anyhow::Result<()> {
/// # use wvs_tests::{Director, Lab, LabOptions};
/// # let lab = Lab::new(LabOptions::default())?;
/// let mut director = Director::start(&lab, "[[service]] …")?;
/// let services = director.json(&["services"])?;
/// director.ok(&["weight", "web", "10.1.0.11:8080", "0"])?;
/// director.kill9()?;
/// director.restart()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Director {
    namespace: Namespace,
    options: DirectorOptions,
    binary: PathBuf,
    directory: TempDir,
    pin_dir: PathBuf,
    child: Option<Child>,
}

impl Director {
    /// Starts a director with this configuration and waits until its API answers.
    ///
    /// # Errors
    /// When it ends at once or does not answer; with what it wrote to stderr.
    pub fn start(lab: &Lab, config: &str) -> Result<Self> {
        Self::start_with(
            lab,
            DirectorOptions {
                config: config.to_owned(),
                ..Default::default()
            },
        )
    }

    /// As [`Director::start`], with more to say.
    ///
    /// # Errors
    /// As [`Director::start`].
    pub fn start_with(lab: &Lab, options: DirectorOptions) -> Result<Self> {
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => wvs_binary()?,
        };
        let directory = tempfile::Builder::new().prefix("wvs-lab-").tempdir()?;
        let namespace = lab.director_ns().clone();
        let mut director = Self {
            namespace,
            options,
            binary,
            directory,
            pin_dir: lab.pin_dir(),
            child: None,
        };
        std::fs::create_dir(director.state_dir())?;
        director.write_config(&director.options.config)?;
        director.restart()?;
        Ok(director)
    }

    /// Starts it again, with the same configuration file and state, after [`Director::kill9`] or
    /// [`Director::terminate`].
    ///
    /// # Errors
    /// As [`Director::start`], and when it still runs.
    pub fn restart(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_ready()
    }

    /// Starts the process without waiting for its API.
    ///
    /// # Errors
    /// When it still runs or cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the director still runs: end it first");
        let log = File::options().create(true).append(true).open(self.log())?;
        // Should this test be killed, nobody is left to end the director: the kernel then does.
        // It looks at the thread that started it, so a director belongs in the test's own thread.
        let mut command = self.namespace.command("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.binary)
            .arg("run");
        command
            .arg("--config")
            .arg(self.config())
            .arg("--socket")
            .arg(self.socket());
        command
            .arg("--state-dir")
            .arg(self.state_dir())
            .arg("--pin-dir")
            .arg(&self.pin_dir)
            .args(&self.options.arguments);
        command.envs(self.options.environment.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the API answers.
    ///
    /// # Errors
    /// When the director ends or stays silent; with what it wrote to stderr.
    pub fn wait_ready(&mut self) -> Result<()> {
        let socket = self.socket();
        let child = self.child.as_mut().context("the director was not started")?;
        let ready = poll(PATIENCE, || match child.try_wait() {
            Ok(Some(status)) => Some(Err(anyhow!("it ended with {status}"))),
            Ok(None) => answers(&socket).then_some(Ok(())),
            Err(error) => Some(Err(error.into())),
        });
        let ready = ready.unwrap_or_else(|| Err(anyhow!("no answer at its socket in {PATIENCE:?}")));
        if ready.is_err()
            && let Some(mut child) = self.child.take()
        {
            end(&mut child);
        }
        ready.with_context(|| format!("the director does not start; it says:\n{}", self.stderr()))
    }

    /// Kills it, as a crash would.
    ///
    /// # Errors
    /// When it did not run.
    pub fn kill9(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the director does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Asks it to end, as `systemctl stop` does, and waits for that.
    ///
    /// # Errors
    /// When it did not run, or does not end.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let mut child = self.child.take().context("the director does not run")?;
        match poll(PATIENCE, || child.try_wait().transpose()) {
            Some(status) => Ok(status?),
            None => {
                end(&mut child);
                bail!("the director did not end in {PATIENCE:?} after SIGTERM; it says:\n{}", self.stderr())
            }
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().context("the director does not run")?;
        Ok(kill(Pid::from_raw(pid.try_into()?), signal)?)
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Replaces the configuration file. The director hears of it by `wvs reload`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_config(&self, text: &str) -> Result<()> {
        std::fs::write(self.config(), text).context("cannot write the director's configuration")
    }

    /// Runs `wvs` against this director, in its namespace, whatever becomes of it.
    ///
    /// # Errors
    /// When the binary cannot be run. That it fails is no error: see its status.
    pub fn wvs(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::null());
        command
            .output()
            .with_context(|| format!("cannot run {}", self.binary.display()))
    }

    /// Runs `wvs` with something on its standard input.
    ///
    /// # Errors
    /// As [`Director::wvs`].
    pub fn wvs_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut command = self.command();
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run {}", self.binary.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that refuses its arguments does not read; its exit says so.
            let _ = stdin.write_all(input.as_bytes());
        }
        Ok(child.wait_with_output()?)
    }

    /// Runs `wvs`, which must succeed, and gives its standard output.
    ///
    /// # Errors
    /// With its stderr when it fails.
    pub fn ok(&self, arguments: &[&str]) -> Result<String> {
        let output = self.wvs(arguments)?;
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        ensure!(
            output.status.success(),
            "`wvs {}` failed with {}:\n{stderr}{stdout}",
            arguments.join(" "),
            output.status
        );
        Ok(stdout)
    }

    /// Runs `wvs … -o json`, which must succeed, and reads its output.
    ///
    /// # Errors
    /// When it fails or its output is not JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let arguments = [arguments, &["-o", "json"]].concat();
        let output = self.ok(&arguments)?;
        serde_json::from_str(&output)
            .with_context(|| format!("`wvs {}` does not print JSON:\n{output}", arguments.join(" ")))
    }

    /// A `wvs` command against this director, in its namespace, for what the others do not do.
    pub fn command(&self) -> Command {
        let mut command = self.namespace.command(&self.binary);
        command.arg("--socket").arg(self.socket());
        command.envs(self.options.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    /// What it has written to stdout and stderr since it was first started.
    pub fn stderr(&self) -> String {
        std::fs::read(self.log())
            .map(|bytes| text(&bytes))
            .unwrap_or_default()
    }

    /// The program.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("wvs.toml")
    }

    /// The socket of its API.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("wvs.sock")
    }

    /// Where it keeps its state.
    pub fn state_dir(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("stderr")
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            end(&mut child);
        }
        // Always: the test runner keeps the output of tests that pass to itself, and a test that
        // fails by returning an error does not panic.
        #[expect(clippy::print_stderr, reason = "shown to people, by the test runner")]
        {
            eprintln!("--- the director said:\n{}--- end of what it said", self.stderr());
        }
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself; then there is nothing to do.
    let _ = child.kill();
    let _ = child.wait();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether somebody speaks HTTP at the socket, whatever the status.
fn answers(socket: &Path) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: wvs\r\nConnection: close\r\n\r\n")?;
        let mut start = [0; 5];
        stream.read_exact(&mut start)?;
        Ok(&start == b"HTTP/")
    };
    ask().unwrap_or(false)
}

/// `$WVS_BIN`, else the `wvs` that lies where this test's executable was built:
/// `target/debug/deps/<test>` has it at `target/debug/wvs`.
///
/// # Errors
/// When it is not there.
pub fn wvs_binary() -> Result<PathBuf> {
    if let Some(binary) = std::env::var_os("WVS_BIN") {
        return Ok(binary.into());
    }
    let test = std::env::current_exe()?;
    let built = test.ancestors().skip(1).take(2).map(|folder| folder.join("wvs"));
    built.into_iter().find(|path| path.is_file()).with_context(|| {
        format!("no wvs beside {}: build it (`cargo build -p wvs`) or set WVS_BIN", test.display())
    })
}
