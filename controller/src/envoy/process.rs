//! One Envoy process. It is in a process group of its own, so that Ctrl-C in a terminal reaches us alone, and on Linux
//! the kernel kills it when we die, however we die.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::{oneshot, watch};

use super::log_lines;

/// What Envoy is started with.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The binary.
    pub binary: PathBuf,
    /// The bootstrap configuration.
    pub bootstrap: PathBuf,
    /// Worker threads.
    pub workers: usize,
}

/// A process that was started. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    /// The process as long as it runs: nobody signals a number that may belong to another by now.
    running: Arc<Mutex<Option<Pid>>>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts Envoy. Its log becomes ours; its standard output, where the access log goes, is ours.
    pub async fn start(launch: &Launch) -> Result<Self> {
        let mut command = Command::new(&launch.binary);
        command
            .arg("--config-path")
            .arg(&launch.bootstrap)
            .args(["--concurrency", &launch.workers.to_string()])
            // Neither needs another Envoy's shared memory: several of us may run at a time.
            .arg("--disable-hot-restart")
            // Not at once: Envoy tells connections to end before its listeners are closed, and a client that comes
            // again in between loses its request. The end of the program is told when they are (`supervisor`).
            .args(["--drain-strategy", "gradual"])
            // Whoever reads the access log while trying requests sees them; by default Envoy keeps lines for 10 s.
            .args(["--file-flush-interval-msec", "200"])
            // What Envoy has against a configuration is told to us by ADS; its log would say it twice.
            .args(["--log-level", "warning", "--component-log-level", "config:error"])
            .args(["--log-format", log_lines::FORMAT])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        die_with_parent(&mut command);
        let (started, has_started) = oneshot::channel();
        let (ended, has_ended) = watch::channel(None);
        let running = Arc::new(Mutex::new(None));
        let guarded = Arc::clone(&running);
        // The kernel kills the child when the thread that started it ends. This one lives as long as the child.
        thread::Builder::new().name("envoy".into()).spawn(move || match command.spawn() {
            Ok(mut child) => {
                set(&guarded, pid(&child));
                let _ = started.send(Ok(child.stderr.take()));
                let _ = ended.send(Some(wait(child, &guarded)));
            }
            Err(error) => drop(started.send(Err(error))),
        })?;
        let stderr = has_started.await?.with_context(|| format!("start {}", launch.binary.display()))?;
        let stderr = stderr.ok_or_else(|| anyhow!("Envoy has no standard error"))?;
        tokio::spawn(log_lines::pass_on(tokio::process::ChildStderr::from_std(stderr)?));
        Ok(Self { running, ended: has_ended })
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> ExitStatus {
        match self.ended.wait_for(Option::is_some).await.map(|status| *status) {
            Ok(Some(status)) => status,
            // The thread ended without a word, which it does not.
            _ => ExitStatus::from_raw(0),
        }
    }

    /// Kills it. No request is spared.
    pub fn kill(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *running {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Process id, as long as it runs.
    pub fn id(&self) -> Option<i32> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).map(|pid| pid.as_raw_nonzero().get())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn set(running: &Mutex<Option<Pid>>, pid: Option<Pid>) {
    *running.lock().unwrap_or_else(PoisonError::into_inner) = pid;
}

/// Waits for the end, and gives the number back to the system only when nobody can signal it any more.
fn wait(mut child: Child, running: &Mutex<Option<Pid>>) -> ExitStatus {
    if let Some(pid) = pid(&child) {
        while waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).is_err_and(is_interrupt)
        {
        }
    }
    set(running, None);
    child.wait().unwrap_or_else(|_| ExitStatus::from_raw(0))
}

fn is_interrupt(error: rustix::io::Errno) -> bool {
    error == rustix::io::Errno::INTR
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let set = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before it was set.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
    };
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe functions may be
    // called. It makes two system calls and compares two numbers; it allocates nothing and takes no lock.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(set);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}
