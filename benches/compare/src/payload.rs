//! What is sent: a number, 64 bytes, a `String` of 64 bytes.
//!
//! A producer writes every byte of a message and a consumer reads every byte of it into a digest. The digests of a run are
//! added up and compared with what was sent, so no compiler may leave the reading out and no contender may lose a message.

/// Something that can be made from a number and read again.
pub trait Payload: Send + Sync + Sized + 'static {
    /// Bytes of a heap box that the payload owns: they are payload, not overhead.
    const HEAP_BYTES: usize = 0;
    fn make(n: u64) -> Self;
    /// Reads every byte.
    fn digest(&self) -> u64;
    /// Tells one consumer that a pass is over.
    fn pill() -> Self;
    fn is_pill(&self) -> bool;
    /// The digests of the messages `0..n`, added up.
    fn digest_of(n: u64) -> u64 {
        (0..n).fold(0, |sum, i| sum.wrapping_add(Self::make(i).digest()))
    }
}

impl Payload for u64 {
    #[inline(always)]
    fn make(n: u64) -> Self {
        n
    }
    #[inline(always)]
    fn digest(&self) -> u64 {
        *self
    }
    fn pill() -> Self {
        u64::MAX
    }
    #[inline(always)]
    fn is_pill(&self) -> bool {
        *self == u64::MAX
    }
}

impl Payload for [u64; 8] {
    #[inline(always)]
    fn make(n: u64) -> Self {
        std::array::from_fn(|i| n + i as u64)
    }
    #[inline(always)]
    fn digest(&self) -> u64 {
        self.iter().fold(0, |sum, word| sum.wrapping_add(*word))
    }
    fn pill() -> Self {
        [u64::MAX; 8]
    }
    #[inline(always)]
    fn is_pill(&self) -> bool {
        self[0] == u64::MAX
    }
}

impl Payload for String {
    const HEAP_BYTES: usize = 64;
    #[inline(always)]
    fn make(n: u64) -> Self {
        let mut text = *b"........ is the number of a message of sixty-four bytes in all..";
        for (i, byte) in text[..8].iter_mut().enumerate() {
            *byte = (n >> (7 * i)) as u8 & 0x7f;
        }
        // ASCII: checking it costs a few nanoseconds, the same for every contender.
        String::from(std::str::from_utf8(&text).expect("seven bits a byte"))
    }
    #[inline(always)]
    fn digest(&self) -> u64 {
        let (words, _) = self.as_bytes().as_chunks::<8>();
        words.iter().fold(0, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
    }
    fn pill() -> Self {
        String::new()
    }
    #[inline(always)]
    fn is_pill(&self) -> bool {
        self.is_empty()
    }
}

/// Which payload a cell sends: the part of [`Payload`] that the command line can name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    U64,
    Bytes64,
    String64,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::U64, Kind::Bytes64, Kind::String64];

    pub fn name(self) -> &'static str {
        match self {
            Kind::U64 => "u64",
            Kind::Bytes64 => "64b",
            Kind::String64 => "string",
        }
    }

    /// See [`Payload::digest_of`].
    pub fn digest_of(self, n: u64) -> u64 {
        match self {
            Kind::U64 => u64::digest_of(n),
            Kind::Bytes64 => <[u64; 8]>::digest_of(n),
            Kind::String64 => String::digest_of(n),
        }
    }
}
