//! A program that runs as long as its test: what it prints is kept, and it is ended when dropped.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Process {
    /// Starts `program` with `arguments`; standard output and error are kept together, line by line.
    pub fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts `command`.
    pub fn spawn(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let output = Arc::new(Mutex::new(String::new()));
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(keep(stdout, Arc::clone(&output)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(keep(stderr, Arc::clone(&output)));
        }
        Ok(Self { child, output })
    }

    /// Process id.
    pub fn id(&self) -> Result<u32> {
        self.child.id().context("the process has ended")
    }

    /// Everything printed so far.
    pub fn output(&self) -> String {
        self.output.lock().map(|text| text.clone()).unwrap_or_default()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.id()?)?).context("process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until `file` exists; fails when the program ends first or `limit` has passed.
    pub async fn wait_for_file(&mut self, file: &Path, limit: Duration) -> Result<()> {
        self.wait_until(&format!("{} to exist", file.display()), limit, || file.exists()).await
    }

    /// Waits until the program has printed `text`.
    pub async fn wait_for_output(&mut self, text: &str, limit: Duration) -> Result<()> {
        let output = Arc::clone(&self.output);
        let printed = move || output.lock().is_ok_and(|all| all.contains(text));
        self.wait_until(&format!("{text:?} to be printed"), limit, printed).await
    }

    /// Waits for the end of the program.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("still running after {limit:?}; it printed:\n{}", self.output()),
        }
    }

    async fn wait_until(&mut self, what: &str, limit: Duration, done: impl Fn() -> bool) -> Result<()> {
        let end = Instant::now() + limit;
        while !done() {
            if let Some(status) = self.child.try_wait()? {
                // The last lines may still be on their way.
                tokio::time::sleep(Duration::from_millis(100)).await;
                if done() {
                    return Ok(());
                }
                bail!("ended with {status} while waiting for {what}; it printed:\n{}", self.output());
            }
            if Instant::now() > end {
                bail!("waited {limit:?} for {what}; it printed:\n{}", self.output());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

async fn keep(stream: impl AsyncRead + Unpin, output: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(mut all) = output.lock() {
            all.push_str(&line);
            all.push('\n');
        }
    }
}
