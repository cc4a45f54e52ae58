//! What is asked, and what can be seen of an answer from outside. Nothing here knows how it came about.

use std::collections::BTreeMap;
use std::fmt;

/// A request as the filter gets it, with everything that a decision about it depends on.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// Where it came in (`x-gw-listener`).
    pub entry: String,
    /// `:method`.
    pub method: String,
    /// `:authority`.
    pub authority: Vec<u8>,
    /// `:path`, with the query string.
    pub path: Vec<u8>,
    /// Header lines in order, names in lower case.
    pub headers: Vec<Line>,
    /// Chooses by weight.
    pub random: u64,
    /// Header lines of the answer that a backend would give.
    pub answer: Vec<Line>,
}

/// A header line.
pub type Line = (String, Vec<u8>);

/// Headers by name, the values of each in their order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub BTreeMap<String, Vec<Vec<u8>>>);

/// What is to be seen of a decision.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The listener that the request belongs to.
    pub listener: Option<String>,
    /// The match that took it.
    pub taken: Option<Taken>,
    /// What happens to it.
    pub action: Action,
    /// The headers of [`Question::answer`] as they reach the client; of an answer to a preflight request, all there is.
    pub answer: Headers,
}

/// Which match took a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// `HTTPRoute namespace/name`.
    pub route: String,
    /// Index of the rule in the route.
    pub rule: usize,
    /// Index of the match in the rule, 0 where it has none.
    pub match_index: usize,
}

/// What happens to a request.
#[derive(Clone, PartialEq, Eq)]
pub enum Action {
    /// It is sent to a cluster.
    Forward {
        /// The cluster.
        cluster: String,
        /// The policy that it is sent under.
        policy: Option<String>,
        /// What the backend sees.
        upstream: Upstream,
    },
    /// The client is sent elsewhere.
    Redirect {
        /// Status.
        status: u16,
        /// Location.
        location: String,
    },
    /// It is answered without a backend.
    Respond {
        /// Status.
        status: u16,
        /// The gRPC status that takes its place for a gRPC client.
        grpc_status: Option<u32>,
    },
    /// A preflight request is answered (CORS protocol).
    Preflight {
        /// Status.
        status: u16,
    },
}

/// A request as a backend sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `:authority`.
    pub authority: Vec<u8>,
    /// `:path`, with the query string.
    pub path: Vec<u8>,
    /// Headers but pseudo-headers.
    pub headers: Headers,
}

impl Headers {
    /// Of lines; pseudo-headers are left out.
    pub fn of(lines: &[Line]) -> Self {
        let mut headers = Self::default();
        for (name, value) in lines.iter().filter(|line| !line.0.starts_with(':')) {
            headers.add(name, value);
        }
        headers
    }

    /// One more line.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        self.0.entry(name.to_ascii_lowercase()).or_default().push(value.to_vec());
    }

    /// One line in place of all.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.0.insert(name.to_ascii_lowercase(), vec![value.to_vec()]);
    }

    /// No line.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(&name.to_ascii_lowercase());
    }

    /// The values as one, joined by `,` (RFC 9110, 5.3).
    pub fn joined(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).map(|values| values.join(&b','))
    }
}

impl Question {
    /// The first line with this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|line| line.0 == name).map(|line| line.1.as_slice())
    }
}

impl Outcome {
    /// What kind of outcome it is, so that one sees that each happens.
    pub fn kind(&self) -> String {
        let grpc = self.taken.as_ref().is_some_and(|taken| taken.route.starts_with("GRPCRoute"));
        let by = if grpc { "GRPCRoute" } else { "HTTPRoute" };
        match &self.action {
            Action::Forward { policy: None, .. } => format!("{by}: forwarded"),
            Action::Forward { policy: Some(_), .. } => format!("{by}: forwarded under a policy"),
            Action::Redirect { status, .. } => format!("{by}: redirected with {status}"),
            Action::Preflight { status } => format!("{by}: preflight answered with {status}"),
            Action::Respond { status, grpc_status } => {
                let who = if self.taken.is_some() { by } else { "no rule" };
                let grpc = grpc_status.map_or_else(String::new, |status| format!(", grpc-status {status}"));
                let listener = if self.listener.is_none() { ", no listener" } else { "" };
                format!("{who}: answered with {status}{grpc}{listener}")
            }
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

fn show_lines(f: &mut fmt::Formatter<'_>, lines: &[Line]) -> fmt::Result {
    let mut list = f.debug_list();
    for (name, value) in lines {
        list.entry(&format_args!("{name}: {}", shown(value)));
    }
    list.finish()
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "entry   {}", self.entry)?;
        writeln!(f, "request {} {} of {}", self.method, shown(&self.path), shown(&self.authority))?;
        write!(f, "headers ")?;
        show_lines(f, &self.headers)?;
        write!(f, "\nanswer  ")?;
        show_lines(f, &self.answer)?;
        write!(f, "\nrandom  {}", self.random)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, values) in &self.0 {
            let values: Vec<_> = values.iter().map(|value| shown(value)).collect();
            map.entry(&format_args!("{name}"), &format_args!("[{}]", values.join(", ")));
        }
        map.finish()
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Forward { cluster, policy, upstream } => {
                writeln!(f, "to {cluster}, policy {policy:?}")?;
                writeln!(
                    f,
                    "as {} of {} {:?}",
                    shown(&upstream.path),
                    shown(&upstream.authority),
                    upstream.headers
                )?;
            }
            Action::Redirect { status, location } => writeln!(f, "{status} to {location}")?,
            Action::Respond { status, grpc_status } => writeln!(f, "{status}, grpc {grpc_status:?}")?,
            Action::Preflight { status } => writeln!(f, "preflight {status}")?,
        }
        writeln!(f, "by {:?} of {:?}", self.taken, self.listener)?;
        write!(f, "answer {:?}", self.answer)
    }
}
