//! A request as a fuzzer writes it: text of lines, so that seeds can be read and halves of two inputs make a third.

use gatewasm_request_table::Case;
use gatewasm_routing::Request;

/// A request and everything else that its decision depends on, with any bytes in any part.
///
/// ```text
/// <number of the table> <number of the entry> <random number>
/// <method>
/// <host>
/// <path>
/// <name>: <value>      as many lines as there are headers
/// ```
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Which of several configs it is for.
    pub table: usize,
    /// Which of the config's entries it comes in by; one beyond the last is an entry that nobody knows.
    pub entry: usize,
    /// Chooses by weight.
    pub random: u64,
    /// Method.
    pub method: Vec<u8>,
    /// Host.
    pub authority: Vec<u8>,
    /// Path with the query string.
    pub path: Vec<u8>,
    /// Headers in their order.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Incoming {
    /// Reads any bytes; what is missing is empty.
    pub fn read(bytes: &[u8]) -> Self {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let mut numbers = first.split(' ').map(|number| number.parse::<u64>().unwrap_or_default());
        let mut number = || numbers.next().unwrap_or_default();
        let (table, entry, random) = (number() as usize, number() as usize, number());
        let mut line = || lines.next().unwrap_or_default().to_vec();
        let (method, authority, path) = (line(), line(), line());
        let headers = lines
            .filter(|line| !line.is_empty())
            .map(|line| {
                let colon = line.windows(2).position(|two| two == b": ");
                let (name, value) = colon.map_or((line, [].as_slice()), |at| (&line[..at], &line[at + 2..]));
                (name.to_ascii_lowercase(), value.to_vec())
            })
            .collect();
        Self { table, entry, random, method, authority, path, headers }
    }

    /// A case of the request table, by its place there.
    pub fn of_case(table: usize, entry: usize, case: &Case) -> Self {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let headers = case.request.headers.iter();
        Self {
            table,
            entry,
            random: case.random,
            method: bytes(&case.request.method),
            authority: bytes(&case.request.host),
            path: bytes(&case.request.path),
            headers: headers.map(|(name, value)| (bytes(name), bytes(value))).collect(),
        }
    }

    /// The text that reads as this.
    pub fn write(&self) -> Vec<u8> {
        let mut text = format!("{} {} {}", self.table, self.entry, self.random).into_bytes();
        for line in [&self.method, &self.authority, &self.path] {
            text.push(b'\n');
            text.extend(line);
        }
        for (name, value) in &self.headers {
            text.extend([b"\n", name.as_slice(), b": ", value].concat());
        }
        text
    }

    /// The request as the engine takes it.
    pub fn with<T>(&self, look: impl FnOnce(&Request<'_>) -> T) -> T {
        let headers: Vec<(&[u8], &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        look(&Request {
            method: &self.method,
            authority: &self.authority,
            path: &self.path,
            headers: &headers,
        })
    }
}
