//! The words that rules and requests are made of. A rule set uses few of them.

use super::{Options, Random};

/// Hostnames, each within others or beside them by one character.
const HOSTNAMES: &[&str] = &[
    "a.test",
    "b.a.test",
    "c.b.a.test",
    "ba.test",
    "b.test",
    "test",
    "*.test",
    "*.a.test",
    "*.b.a.test",
    "*.b.test",
];

/// Elements of paths.
const ELEMENTS: &[&str] =
    &["a", "b", "ab", "aa", "A", "c", "a;v=1", "a%20b", "a.b", "a:b", "~", "a.B", "C", "bar", "ba"];

/// Expressions for paths, and paths that they match.
const PATH_EXPRESSIONS: &[(&str, &[&str])] = &[
    ("/a.*", &["/a", "/ab", "/a/b"]),
    ("/a|/ab", &["/a", "/ab"]),
    ("/ab|/a", &["/a", "/ab"]),
    ("/(a|b)/.*", &["/a/", "/b/a"]),
    ("/[ab]+", &["/ab", "/a"]),
    (".*", &["/", "/c", "/a/b/c"]),
    ("/a/[^/]+/b", &["/a/c/b"]),
    ("[^/]*/b", &["/b"]),
    ("(?i)/a", &["/A", "/a"]),
    ("/a(/.*)?", &["/a", "/a/b"]),
    ("/a/b?", &["/a/", "/a/b"]),
    (r"/a\.b", &["/a.b"]),
    ("^/a$", &["/a"]),
    ("/(?:a|aa)(?:b|/b)", &["/ab", "/aa/b"]),
    ("/a{1,2}", &["/a", "/aa"]),
    ("/a.?b", &["/ab", "/a/b", "/a.b"]),
    ("|/a", &["/a"]),
    (r"/\w+", &["/ab", "/A"]),
    (r"/a/\d*", &["/a/", "/a/12"]),
    ("/a/b|/a/b/c", &["/a/b", "/a/b/c"]),
    ("(/a|/b)+", &["/a/b/a"]),
    ("/[^/]+/a", &["/c/a", "/a/a"]),
    ("/aa*", &["/a", "/aa"]),
    ("/(ab|a)(c|bcd)", &["/abcd", "/ac"]),
    ("/b.*|/c", &["/b/c", "/c"]),
    ("/a/.*/c", &["/a/b/c", "/a/b/b/c"]),
    ("/ab/.*", &["/ab/", "/ab/c"]),
    ("/.+/b", &["/a/b", "/a/b/b"]),
    ("(?s)/a/.", &["/a/b"]),
    ("/a/b/c", &["/a/b/c"]),
    ("/a.b", &["/a/b", "/a.b"]),
    ("/?a?", &["/", "/a"]),
];

/// Header names for conditions, with case.
const HEADERS: &[&str] = &["x", "X", "y", "Y", "x-env", "X-Env", "cookie", "content-type", "host", "accept"];

/// Names of query parameters.
const PARAMETERS: &[&str] = &["q", "Q", "a b", "q[]", "%", "\u{e4}", "a=b", "r"];

/// Values of headers and query parameters.
const VALUES: &[&str] = &["1", "2", "12", "a", "A", "1,2", "2,1", "a b", "a+b", "%31", "a&b", "1;2"];

/// Expressions for values, and values that they match.
const VALUE_EXPRESSIONS: &[(&str, &[&str])] = &[
    ("1", &["1"]),
    ("1|12", &["1", "12"]),
    ("[12]", &["1", "2"]),
    ("1.*", &["1", "12", "1,2"]),
    (".*", &["", "a"]),
    (".+", &["a", "1,2"]),
    ("1,2", &["1,2"]),
    ("(?i)a", &["a", "A"]),
    ("^1$", &["1"]),
    (r"\d+", &["12", "1"]),
    ("a.b", &["a b", "a+b"]),
    ("[^1]*", &["2", ""]),
    ("a|b|1", &["a", "1"]),
    ("(1|2)(,(1|2))*", &["1", "2,1"]),
    ("|1", &["", "1"]),
];

const SERVICES: &[&str] = &["a.B", "a.BB", "a", "b.B", "aa.B"];
const METHODS_OF_SERVICES: &[&str] = &["C", "D", "CC", "c"];
const SERVICE_EXPRESSIONS: &[(&str, &[&str])] = &[
    (r"a\..*", &["a.B", "a.BB"]),
    ("a|a.B", &["a", "a.B"]),
    (".*", &["a", "b.B"]),
    ("[ab].B", &["a.B", "b.B"]),
    ("a.B", &["a.B", "aaB"]),
];
const METHOD_EXPRESSIONS: &[(&str, &[&str])] =
    &[("C|CC", &["C", "CC"]), (".*", &["C", "D"]), ("(?i)c", &["C", "c"]), ("C+", &["CC"]), ("C", &["C"])];

const TIMES: &[Option<&str>] = &[
    None,
    Some("2026-01-01T00:00:00Z"),
    Some("2026-01-01T00:00:00Z"),
    Some("2026-01-01T00:00:01Z"),
    Some("2025-12-31T23:59:59Z"),
];

/// `-` and `.` stand before `/` in the alphabet.
const NAMESPACES: &[&str] = &["a", "a-b", "b", "a-a"];
const NAMES: &[&str] = &["r", "r-1", "r.1", "s", "a", "b"];

/// Some of the words.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) hostnames: Vec<&'static str>,
    pub(super) elements: Vec<&'static str>,
    pub(super) path_expressions: Vec<Expression>,
    pub(super) headers: Vec<&'static str>,
    pub(super) parameters: Vec<&'static str>,
    pub(super) values: Vec<&'static str>,
    pub(super) value_expressions: Vec<Expression>,
    pub(super) methods: Vec<&'static str>,
    pub(super) services: Vec<&'static str>,
    pub(super) service_methods: Vec<&'static str>,
    pub(super) times: Vec<Option<&'static str>>,
    pub(super) namespaces: Vec<&'static str>,
    pub(super) names: &'static [&'static str],
}

/// An expression, and what it matches.
pub(super) type Expression = (&'static str, &'static [&'static str]);

impl Words {
    pub(super) fn draw(random: &mut Random, options: Options) -> Self {
        let mut elements = few(random, ELEMENTS, 2, 4);
        if options.grpc && random.percent(50) {
            elements.extend(["a.B", "C"]);
        }
        Self {
            hostnames: few(random, HOSTNAMES, 2, 6),
            elements,
            path_expressions: few(random, PATH_EXPRESSIONS, 2, 6),
            headers: few(random, HEADERS, 2, 4),
            parameters: few(random, PARAMETERS, 1, 3),
            values: few(random, VALUES, 2, 4),
            value_expressions: few(random, VALUE_EXPRESSIONS, 2, 4),
            methods: few(random, &["GET", "POST", "OPTIONS", "PUT", "HEAD"], 2, 3),
            services: few(random, SERVICES, 2, 3),
            service_methods: few(random, METHODS_OF_SERVICES, 2, 3),
            times: few(random, TIMES, 1, 3),
            namespaces: few(random, NAMESPACES, 1, 3),
            names: NAMES,
        }
    }
}

fn few<T: Copy>(random: &mut Random, all: &[T], least: usize, most: usize) -> Vec<T> {
    let mut all = all.to_vec();
    random.shuffle(&mut all);
    all.truncate(random.between(least, most));
    all
}

/// A path or value that an expression for such matches.
pub(super) fn matched_by(random: &mut Random, expression: &str) -> Option<&'static str> {
    sample(random, &[PATH_EXPRESSIONS, VALUE_EXPRESSIONS], expression)
}

/// A service or method that an expression for such matches.
pub(super) fn called_by(random: &mut Random, expression: &str) -> Option<&'static str> {
    sample(random, &[SERVICE_EXPRESSIONS, METHOD_EXPRESSIONS], expression)
}

fn sample(random: &mut Random, tables: &[&[Expression]], expression: &str) -> Option<&'static str> {
    let all = tables.iter().copied().flatten().filter(|(text, _)| *text == expression);
    let samples: Vec<&'static str> = all.flat_map(|(_, samples)| samples.iter().copied()).collect();
    (!samples.is_empty()).then(|| random.any(&samples))
}

/// An expression for the service of a call, and one for the method.
pub(super) fn call_expressions(random: &mut Random) -> (&'static str, &'static str) {
    (random.any(SERVICE_EXPRESSIONS).0, random.any(METHOD_EXPRESSIONS).0)
}
