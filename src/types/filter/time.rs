//! RFC 3339 times inside strings.
//!
//! Stricter than ISO 8601, so that no other text is taken for a time by accident: date, time and
//! offset are all there. Written out because it runs for every row that a time is compared with.

/// An instant: seconds from 1970-01-01T00:00:00Z, and nanoseconds. Orders by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    seconds: i64,
    nanoseconds: u32,
}

impl Time {
    /// Seconds from 1970-01-01T00:00:00Z, and nanoseconds from there on.
    pub fn since_1970(self) -> (i64, u32) {
        (self.seconds, self.nanoseconds)
    }

    /// Reads `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)`; none if `text` is anything else.
    ///
    /// `t`, `z` and a space instead of the `T` are taken as well, as RFC 3339 section 5.6 allows.
    /// Digits after the ninth of the fraction are not looked at. A leap second is the second after it.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, rest) = text.as_bytes().split_at_checked(19)?;
        let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        if separators.iter().any(|(at, byte)| head[*at] != *byte) || !matches!(head[10], b'T' | b't' | b' ') {
            return None;
        }
        let part = |from: usize, to: usize, most: i64| digits(&head[from..to]).filter(|part| *part <= most);
        let (year, month, day) = (part(0, 4, 9999)?, part(5, 7, 12)?, part(8, 10, 31)?);
        let (hour, minute, second) = (part(11, 13, 23)?, part(14, 16, 59)?, part(17, 19, 60)?);
        if month < 1 || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        let (nanoseconds, rest) = fraction(rest)?;
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset(rest)?;
        Some(Self { seconds, nanoseconds })
    }
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

/// Nanoseconds, and what follows.
fn fraction(rest: &[u8]) -> Option<(u32, &[u8])> {
    let Some(fraction) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) = fraction.split_at(length);
    let digit = |at: usize| fraction.get(at).map_or(0, |byte| u32::from(byte - b'0'));
    let nanoseconds = (0..9).fold(0, |number, at| number * 10 + digit(at));
    (length > 0).then_some((nanoseconds, rest))
}

/// Seconds that local time is ahead.
fn offset(rest: &[u8]) -> Option<i64> {
    let ([sign, h1, h2, b':', m1, m2], false) = (rest, rest.is_empty()) else {
        return matches!(rest, b"Z" | b"z").then_some(0);
    };
    let hours = digits(&[*h1, *h2]).filter(|hours| *hours <= 23)?;
    let minutes = digits(&[*m1, *m2]).filter(|minutes| *minutes <= 59)?;
    let seconds = hours * 3600 + minutes * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the
/// leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_whole_rfc_3339_times_are_times() {
        for good in [
            "2024-02-29T23:59:59Z",
            "2024-02-29t23:59:59z",
            "2024-02-29 23:59:59.123456789012+05:30",
            "0000-01-01T00:00:00-23:59",
            "2016-12-31T23:59:60Z",
        ] {
            assert!(Time::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "2024-02-29",
            "2024-02-29T23:59:59",
            "2024-02-29T23:59Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-04-31T00:00:00Z",
            "2024-04-00T00:00:00Z",
            "2024-04-01T24:00:00Z",
            "2024-04-01T00:60:00Z",
            "2024-04-01T00:00:61Z",
            "2024-04-01T00:00:00.Z",
            "2024-04-01T00:00:00+0530",
            "2024-04-01T00:00:00+05",
            "2024-04-01T00:00:00+24:00",
            "2024-04-01T00:00:00+05:60",
            "2024-04-01T00:00:00*05:30",
            "2024-04-01T00:00:00Zz",
            "2024-04-01T00:00:00Z ",
            "+024-04-01T00:00:00Z",
            "2024-04-01_00:00:00Z",
            "２024-04-01T00:00:00Z",
            "2024-04-01T00:00:00é",
        ] {
            assert_eq!(Time::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_instant_may_be_written_in_several_ways() {
        let time = |text| Time::parse(text).unwrap();
        assert_eq!(time("2024-03-01T00:30:00+01:00"), time("2024-02-29T23:30:00.000Z"));
        assert_eq!(time("2016-12-31T23:59:60Z"), time("2017-01-01T00:00:00Z"));
        assert!(time("2024-01-01T00:00:00.000000002Z") > time("2024-01-01T00:00:00.000000001Z"));
        assert!(time("1969-12-31T23:59:59.9Z") < time("1970-01-01T00:00:00Z"));
    }

    proptest! {
        #[test]
        fn times_are_those_of_jiff(seconds in -62_135_596_800_i64..253_402_207_200, nanoseconds in 0..1_000_000_000_i32) {
            let text = Timestamp::new(seconds, nanoseconds).unwrap().to_string();
            let jiff: Timestamp = text.parse().unwrap();
            let time = Time::parse(&text).unwrap();
            let total = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
            prop_assert_eq!(total, jiff.as_nanosecond(), "{}", text);
        }

        #[test]
        fn no_text_panics(text in "[0-9TZ:.+-]{0,30}|\\PC*") {
            let _ = Time::parse(&text);
        }
    }
}
