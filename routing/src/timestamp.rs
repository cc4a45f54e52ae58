//! `metadata.creationTimestamp` as a value that can be compared. Nothing here reads a clock.

use std::fmt;

/// A point in time of RFC 3339 in UTC, to the nanosecond.
///
/// Comparable as it is: the fields stand in order of size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    nanosecond: u32,
}

impl Timestamp {
    /// Reads `2026-01-31T00:00:00Z`, with or without a fraction of at most nine digits; `None` for anything else.
    /// Kubernetes writes UTC with whole seconds (`metav1.Time`).
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let (time, fraction) =
            time.split_once('.').map_or((time, None), |(time, fraction)| (time, Some(fraction)));
        let mut date = date.splitn(3, '-');
        let year = number(date.next()?, 4)?;
        let (month, day) = (number(date.next()?, 2)?, number(date.next()?, 2)?);
        let mut time = time.splitn(3, ':');
        let (hour, minute) = (number(time.next()?, 2)?, number(time.next()?, 2)?);
        let second = number(time.next()?, 2)?;
        let nanosecond = match fraction {
            None => 0,
            Some(digits) if (1..=9).contains(&digits.len()) => number(&format!("{digits:0<9}"), 9)?,
            Some(_) => return None,
        };
        // RFC 3339 allows second 60 for a leap second.
        let valid = (1..=12).contains(&month)
            && (1..=days_of(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        valid.then_some(())?;
        Some(Self {
            year: year.try_into().ok()?,
            month: month.try_into().ok()?,
            day: day.try_into().ok()?,
            hour: hour.try_into().ok()?,
            minute: minute.try_into().ok()?,
            second: second.try_into().ok()?,
            nanosecond,
        })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, nanosecond } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if *nanosecond > 0 { write!(f, ".{nanosecond:09}Z") } else { f.write_str("Z") }
    }
}

fn number(digits: &str, length: usize) -> Option<u32> {
    let plain = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

fn days_of(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_is_less() {
        let ascending = [
            "2025-12-31T23:59:59Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.5Z",
            "2026-01-01T00:00:01Z",
            "2026-01-01T00:01:00Z",
            "2026-01-01T01:00:00Z",
            "2026-01-02T00:00:00Z",
            "2026-02-01T00:00:00Z",
        ];
        let parsed: Vec<_> = ascending.iter().map(|text| Timestamp::parse(text).unwrap()).collect();
        assert!(parsed.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn printed_as_it_was_read() {
        for text in ["2026-01-31T00:00:00Z", "0001-12-01T23:59:60.000000001Z"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn leap_days_and_leap_seconds() {
        for good in ["2024-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "2016-12-31T23:59:60Z"] {
            assert!(Timestamp::parse(good).is_some(), "{good}");
        }
        for bad in ["2025-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z"] {
            assert!(Timestamp::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "yesterday",
            "2026-01-01",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+01:00",
            "2026-1-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:+1Z",
        ] {
            assert!(Timestamp::parse(bad).is_none(), "{bad}");
        }
    }
}
