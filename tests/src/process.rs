//! A program that runs as long as its test: what it prints is kept, and it is ended when dropped.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::until::{POLL, until};

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
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Waits until `done` says so; fails when the program ends by itself first, or `limit` has passed.
    pub async fn until<F>(&self, what: &str, limit: Duration, done: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<bool>>,
    {
        let result = tokio::select! {
            result = until(what, limit, &done) => result,
            () = self.end() => {
                // The last lines may still be on their way.
                tokio::time::sleep(Duration::from_millis(100)).await;
                match done().await {
                    Ok(true) => Ok(()),
                    last => Err(anyhow!("{what}: the program has ended: {last:?}")),
                }
            }
        };
        result.map_err(|error| anyhow!("{error:#}; it printed:\n{}", self.output()))
    }

    /// Waits until the program has printed `text`.
    pub async fn until_printed(&self, text: &str, limit: Duration) -> Result<()> {
        let what = format!("{text:?} to be printed");
        self.until(&what, limit, async || Ok(self.output().contains(text))).await
    }

    /// Waits for the end of the program.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("still running after {limit:?}; it printed:\n{}", self.output()),
        }
    }

    /// Waits for an end that nobody waits for otherwise, and leaves its status to [`Process::wait`].
    async fn end(&self) {
        let Ok(pid) = self.pid() else { return std::future::pending().await };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while !matches!(waitid(WaitId::Pid(pid), options), Ok(Some(_))) {
            tokio::time::sleep(POLL).await;
        }
    }

    fn pid(&self) -> Result<Pid> {
        Pid::from_raw(i32::try_from(self.id()?)?).context("process id")
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
