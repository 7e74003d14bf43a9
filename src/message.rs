//! The words every room shares about a message: its id and its headers.
//!
//! Promises: an id has one spelling, and reading that spelling back gives the same id; headers keep the order they were
//! put in, hold a key once, and never print a value. How an id is chosen is left to the queue, how it lies on disk to
//! the journal.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// The identity of a message: the same over redelivery, restart and redrive, so it serves as an idempotency key.
///
/// Its 16 bytes are a random number of the opened queue and a running number within it. Ids are ordered by the one,
/// then the other, so that they can be keys of a map; that is not the order of sending.
///
/// Its text is 16 hexadecimal digits, a dash and a decimal number, made of characters that are safe in a header, a file
/// name and a URL. There is exactly one spelling of an id, so comparing texts is comparing ids.
///
/// ```
/// use redeliver::MessageId;
///
/// let id: MessageId = "1f3a9c0b5d2e7f10-42".parse()?;
/// assert_eq!(id.to_string(), "1f3a9c0b5d2e7f10-42");
///
/// // Another spelling of the same number is no id.
/// assert!("1F3A9C0B5D2E7F10-42".parse::<MessageId>().is_err());
/// assert!("1f3a9c0b5d2e7f10-042".parse::<MessageId>().is_err());
/// # Ok::<(), redeliver::ParseMessageIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    instance: u64,
    sequence: u64,
}

impl MessageId {
    /// The id of message number `sequence` of the opened queue that drew the random number `instance`.
    pub(crate) const fn new(instance: u64, sequence: u64) -> Self {
        Self { instance, sequence }
    }

    /// The random number of the opened queue.
    #[cfg(test)]
    pub(crate) const fn instance(self) -> u64 {
        self.instance
    }

    /// The running number within the opened queue.
    pub(crate) const fn sequence(self) -> u64 {
        self.sequence
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.instance, self.sequence)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

impl FromStr for MessageId {
    type Err = ParseMessageIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (instance, sequence) = text.split_once('-').ok_or(ParseMessageIdError(()))?;
        let instance = u64::from_str_radix(instance, 16).map_err(|_| ParseMessageIdError(()))?;
        let sequence = sequence.parse().map_err(|_| ParseMessageIdError(()))?;
        let id = Self::new(instance, sequence);
        // The integer parsers also take a plus sign, capitals and leading zeros. Only the spelling that we print counts.
        if id.to_string() == text { Ok(id) } else { Err(ParseMessageIdError(())) }
    }
}

/// A text that is no [`MessageId`].
///
/// It does not repeat the text: whatever stood in the header may not be ours to print.
///
/// ```
/// use redeliver::{MessageId, ParseMessageIdError};
///
/// let error: ParseMessageIdError = "order-991".parse::<MessageId>().unwrap_err();
/// assert!(error.to_string().contains("16 hexadecimal digits"));
/// assert!("1f3a9c0b5d2e7f10-42".parse::<MessageId>().is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseMessageIdError(());

impl fmt::Display for ParseMessageIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no message id: expected 16 hexadecimal digits in lower case, a dash and a decimal number \
             without leading zeros, as in 1f3a9c0b5d2e7f10-42",
        )
    }
}

impl Error for ParseMessageIdError {}

/// The headers of a message: names with bytes, in the order they were put in, each name once.
///
/// They are few, so a lookup walks over them. `Debug` prints the names and how many bytes each holds, never the bytes.
///
/// ```
/// use redeliver::Headers;
///
/// let headers = Headers::from_iter([("tenant", "north"), ("trace", "00-4bf9")]);
/// assert_eq!(headers.get("tenant"), Some(&b"north"[..]));
/// assert_eq!(headers.get_str("trace"), Some("00-4bf9"));
/// assert_eq!(headers.get("absent"), None);
/// assert_eq!(format!("{headers:?}"), r#"{"tenant": 5 bytes, "trace": 7 bytes}"#);
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Headers {
    entries: Vec<(String, Vec<u8>)>,
}

impl Headers {
    /// No headers. A constant, so that a message without headers allocates nothing.
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Puts `value` under `key`. An equal key keeps its place and loses its old value.
    pub(crate) fn insert(&mut self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        let (key, value) = (key.into(), value.into());
        match self.entries.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.entries.push((key, value)),
        }
    }

    /// The bytes under `key`.
    ///
    /// ```
    /// # use redeliver::Headers;
    /// let headers = Headers::from_iter([("digest", vec![0xff, 0x00])]);
    /// assert_eq!(headers.get("digest"), Some(&[0xff, 0x00][..]));
    /// assert_eq!(headers.get("Digest"), None); // names are compared to the letter
    /// ```
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.iter().find_map(|(known, value)| (known == key).then_some(value))
    }

    /// The text under `key`; `None` also if what is there is not UTF-8.
    ///
    /// ```
    /// # use redeliver::Headers;
    /// let headers = Headers::from_iter([("user", b"ada".to_vec()), ("digest", vec![0xff])]);
    /// assert_eq!(headers.get_str("user"), Some("ada"));
    /// assert_eq!(headers.get_str("digest"), None); // there, but no text
    /// ```
    #[must_use]
    pub fn get_str(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.get(key)?).ok()
    }

    /// All headers in the order they were put in.
    ///
    /// ```
    /// # use redeliver::Headers;
    /// let headers = Headers::from_iter([("b", "2"), ("a", "1"), ("b", "3")]);
    /// let all: Vec<_> = headers.iter().collect();
    /// assert_eq!(all, [("b", &b"3"[..]), ("a", &b"1"[..])]);
    /// assert_eq!(Headers::default().iter().next(), None);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value.as_slice()))
    }

    /// How many headers there are.
    ///
    /// ```
    /// # use redeliver::Headers;
    /// assert_eq!(Headers::from_iter([("a", "1"), ("a", "2")]).len(), 1);
    /// assert_eq!(Headers::default().len(), 0);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use redeliver::Headers;
    /// assert!(Headers::default().is_empty());
    /// assert!(!Headers::from_iter([("a", "")]).is_empty()); // an empty value is a value
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<K: Into<String>, V: Into<Vec<u8>>> FromIterator<(K, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut headers = Self::new();
        for (key, value) in entries {
            headers.insert(key, value);
        }
        headers
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (key, value) in self.iter() {
            map.entry(&key, &format_args!("{} bytes", value.len()));
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_ordered_by_instance_and_then_by_sequence() {
        assert!(MessageId::new(1, 9) < MessageId::new(2, 0));
        assert!(MessageId::new(1, 9) < MessageId::new(1, 10));
        assert_eq!(size_of::<MessageId>(), 16);
    }

    #[test]
    fn an_id_prints_its_zeros() {
        assert_eq!(MessageId::new(0x1f, 0).to_string(), "000000000000001f-0");
        assert_eq!(format!("{:?}", MessageId::new(0, 7)), "MessageId(0000000000000000-7)");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let wrong = [
            "",
            "-",
            "1f-1",
            "000000000000001f",
            "000000000000001f-",
            "000000000000001f--1",
            "000000000000001f-+1",
            "+00000000000001f-1",
            "000000000000001F-1",
            "000000000000001f-01",
            "000000000000001f-1 ",
            "0000000000000001f-1",
            "000000000000001f-18446744073709551616",
            "000000000000001\u{e9}-1",
        ];
        for text in wrong {
            assert_eq!(text.parse::<MessageId>(), Err(ParseMessageIdError(())), "{text:?}");
        }
    }

    #[test]
    fn headers_print_no_value() {
        let mut headers = Headers::new();
        headers.insert("authorization", "secret");
        headers.insert("authorization", "secrets");
        let text = format!("{headers:?} {headers:#?}");
        assert!(text.contains("authorization") && text.contains("7 bytes"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    proptest! {
        #[test]
        fn an_id_reads_back_as_itself(instance: u64, sequence: u64) {
            let id = MessageId::new(instance, sequence);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!((id.instance(), id.sequence()), (instance, sequence));
        }

        #[test]
        fn any_text_is_an_id_or_refused(text in "[0-9a-fA-F+-]{0,24}") {
            if let Ok(id) = text.parse::<MessageId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
