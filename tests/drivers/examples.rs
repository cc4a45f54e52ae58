//! What the READMEs of the examples for TLS, TCP and UDP have you type "On this machine", typed into a shell: the commands
//! as they stand there, on ports that are free.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use gatewasm_tests::echo::Echo;
use gatewasm_tests::tools;
use tempfile::TempDir;

/// Ends what the commands leave running, when they are through or after so long.
const SHELL: &str = "trap 'kill $(jobs -p) 2>/dev/null' EXIT\n";
const SECONDS: &str = "120";
/// Exit codes: the gateway did not serve in 30 s; and that of `timeout`.
const NOT_READY: i32 = 99;
const TIMED_OUT: i32 = 124;
/// Until the gateway serves.
const READY: &str =
    "for _ in $(seq 300); do [ -e ready.json ] && break; sleep 0.1; done; [ -e ready.json ] || exit 99\n";

/// The commands of an example, with a folder of their own in place of `/tmp` and of the repository.
struct Example {
    commands: String,
    work: TempDir,
    /// Texts that have others in their place, in the commands and in the manifests.
    replaced: Vec<(String, String)>,
}

impl Example {
    fn new(name: &str) -> Result<Self> {
        let folder = tools::repository().join("manifests/examples").join(name);
        let readme = fs::read_to_string(folder.join("README.md"))?;
        let (_, section) = readme.split_once("\n## On this machine\n").context("the section")?;
        let (section, _) = section.split_once("\n## ").context("the next section")?;
        let mut blocks = section.split("```sh\n").skip(1);
        let block = blocks.next().context("commands")?;
        ensure!(blocks.next().is_none(), "{name}: this test knows one block of commands");
        let (commands, _) = block.split_once("```").context("the end of the commands")?;
        let work = tempfile::tempdir()?;
        let copy = work.path().join("manifests/examples").join(name);
        fs::create_dir_all(&copy)?;
        for file in fs::read_dir(&folder)? {
            let file = file?;
            fs::copy(file.path(), copy.join(file.file_name()))?;
        }
        let replaced = vec![("/tmp/".to_owned(), format!("{}/", work.path().display()))];
        Ok(Self { commands: commands.to_owned(), work, replaced })
    }

    /// Another text in place of one that the README or the manifests have.
    fn replace(&mut self, text: &str, other: &str) -> Result<()> {
        let mut found = self.commands.contains(text);
        for folder in fs::read_dir(self.work.path().join("manifests/examples"))? {
            for file in fs::read_dir(folder?.path())? {
                let path = file?.path();
                let before = fs::read_to_string(&path)?;
                found |= before.contains(text);
                fs::write(&path, before.replace(text, other))?;
            }
        }
        ensure!(found, "nothing says {text:?}");
        self.replaced.push((text.to_owned(), other.to_owned()));
        Ok(())
    }

    fn port(&mut self, port: u16, other: u16) -> Result<()> {
        self.replace(&port.to_string(), &other.to_string())
    }

    /// Takes out the one line that begins like this: what it starts is there already.
    fn without(&mut self, begin: &str) -> Result<()> {
        let (out, rest): (Vec<&str>, Vec<&str>) =
            self.commands.lines().partition(|line| line.starts_with(begin));
        ensure!(out.len() == 1, "{} lines begin with {begin:?}", out.len());
        self.commands = rest.join("\n");
        Ok(())
    }

    /// Runs the commands, and returns what those behind `gatewasm run` print, and the exit code of the last.
    fn run(self) -> Result<(String, i32)> {
        // In two steps, because a new port may have another one's digits.
        let mut commands = self.commands;
        for (i, (text, _)) in self.replaced.iter().enumerate() {
            commands = commands.replace(text, &format!("<<{i}>>"));
        }
        for (i, (_, other)) in self.replaced.iter().enumerate() {
            commands = commands.replace(&format!("<<{i}>>"), other);
        }
        let (before, rest) = commands.split_once("\ngatewasm run ").context("gatewasm run")?;
        let (arguments, clients) = rest.split_once('\n').context("the clients' commands")?;
        let gateway = format!("gatewasm run --ready-file ready.json {arguments} >run.log 2>&1 &\n");
        let script = format!("{SHELL}{before}\n{gateway}{READY}exec 2>&1\n{clients}\nexit $?\n");
        let gatewasm = tools::gatewasm()?;
        let path = std::env::var("PATH")?;
        let path = format!("{}:{path}", gatewasm.parent().context("folder of gatewasm")?.display());
        let mut command = Command::new("timeout");
        command.args([SECONDS, "bash", "-uc", &script]).current_dir(self.work.path()).stdin(Stdio::null());
        command.env("PATH", path).env("ENVOY_PATH", tools::envoy()?).env("TMPDIR", self.work.path());
        let output = command.stderr(Stdio::null()).output()?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = fs::read_to_string(self.work.path().join("run.log")).unwrap_or_default();
        let code = output.status.code().filter(|code| ![NOT_READY, TIMED_OUT].contains(code));
        let code = code.with_context(|| format!("{script}\n{}\n{printed}\n{log}", output.status))?;
        Ok((printed, code))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_connections_reach_both_backends() -> Result<()> {
    let backends = [Echo::start("db-v1").await?, Echo::start("db-v2").await?];
    let mut example = Example::new("tcp")?;
    example.without("cargo run --release -p gatewasm-echo -- ")?;
    for (port, backend) in [9001, 9002].into_iter().zip(&backends) {
        example.port(port, backend.address.port())?;
    }
    example.port(5432, tools::free_port()?)?;
    let (printed, code) = tokio::task::spawn_blocking(|| example.run()).await??;
    let answers: Vec<&str> = printed.lines().collect();
    assert_eq!((answers.len(), code), (20, 0), "{printed}");
    let known = [r#""backend":"db-v1""#, r#""backend":"db-v2""#];
    assert!(answers.iter().all(|answer| known.contains(answer)), "{printed}");
    // It gets nine of ten.
    assert!(answers.contains(&known[0]), "{printed}");
    Ok(())
}

#[test]
fn udp_datagrams_are_answered() -> Result<()> {
    let mut example = Example::new("udp")?;
    for port in [9001, 9002, 5353] {
        example.port(port, tools::free_port()?)?;
    }
    // On 127.0.0.1 the test itself holds the ports.
    example.replace("127.0.0.1", "127.0.0.9")?;
    let class = "  gatewayClassName: gatewasm\n";
    example.replace(class, &format!("{class}  addresses: [{{value: 127.0.0.9}}]\n"))?;
    let (printed, code) = example.run()?;
    let answers: BTreeSet<&str> = printed.lines().collect();
    assert_eq!((printed.lines().count(), code), (20, 0), "{printed}");
    assert!(answers.is_subset(&["dns-v1", "dns-v2"].into()) && answers.contains("dns-v1"), "{printed}");
    Ok(())
}

#[test]
fn tls_passes_through_to_the_backends_own_certificate() -> Result<()> {
    let mut example = Example::new("tls-passthrough")?;
    for port in [9001, 8443] {
        example.port(port, tools::free_port()?)?;
    }
    let (printed, code) = example.run()?;
    let (vault, other) = printed.rsplit_once("Trying ").context("two connections")?;
    assert!(vault.contains("subject: CN=vault.example.com") && vault.contains("200 ok"), "{printed}");
    assert!(!other.contains("subject:") && code != 0, "{code}\n{printed}");
    Ok(())
}
