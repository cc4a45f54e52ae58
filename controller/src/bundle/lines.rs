//! JSON for people and for `diff`: one line per item, with everything below it on that line.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Writes `value` indented down to `depth` levels of objects and lists; what lies deeper stands on one line.
pub(super) fn to_string(value: &impl Serialize, depth: usize) -> String {
    let mut bytes = Vec::new();
    let lines = Lines { depth, level: 0, is_empty: true };
    // Every map of ours has strings as keys, and a Vec takes every byte.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut bytes, lines));
    bytes.push(b'\n');
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Lines {
    depth: usize,
    level: usize,
    /// Whether nothing was written since the last bracket was opened.
    is_empty: bool,
}

impl Lines {
    fn open<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.level += 1;
        self.is_empty = true;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        let broken = self.level <= self.depth && !self.is_empty;
        self.level -= 1;
        self.is_empty = false;
        if broken {
            self.line(writer)?;
        }
        writer.write_all(bracket)
    }

    fn item<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.is_empty = false;
        if !first {
            writer.write_all(b",")?;
        }
        if self.level <= self.depth {
            self.line(writer)?;
        } else if !first {
            writer.write_all(b" ")?;
        }
        Ok(())
    }

    fn line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.level).try_for_each(|_| writer.write_all(b" "))
    }
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.item(writer, first)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.item(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn items_stand_on_lines_of_their_own_down_to_the_depth() {
        let value = json!({"a": [{"b": [1, 2], "c": {}}, {}], "d": []});
        let expected = "{\n \"a\": [\n  {\"b\": [1, 2], \"c\": {}},\n  {}\n ],\n \"d\": []\n}\n";
        assert_eq!(to_string(&value, 2), expected);
        assert_eq!(to_string(&value, 0), "{\"a\": [{\"b\": [1, 2], \"c\": {}}, {}], \"d\": []}\n");
        for depth in 0..6 {
            assert_eq!(serde_json::from_str::<serde_json::Value>(&to_string(&value, depth)).unwrap(), value);
        }
    }
}
