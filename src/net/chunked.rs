//! The chunked transfer coding, decoded as it comes and strictly: a size that two readers could
//! understand differently is an error, not a guess.

use super::head::Malformed;

/// The line of a chunk's size, or all trailers, may be this long; nothing reads more of them than the size.
const MAX_IGNORED: u32 = 16 << 10;

/// Decodes one body.
#[derive(Clone, Debug, Default)]
pub struct Chunked {
    state: State,
    /// Bytes of this size's line, or of the trailers, so far.
    ignored: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// At the first digit of a size.
    #[default]
    Start,
    Size(u64),
    /// In what follows the size's semicolon.
    Extension(u64),
    SizeLf(u64),
    /// So many bytes of the chunk are to come; never 0.
    Data(u64),
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk.
    Trailer,
    TrailerText,
    TrailerLf,
    LastLf,
    Done,
}

/// What [`Chunked::decode`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// So many bytes of the input are used up.
    pub consumed: usize,
    /// So many bytes of the output are filled.
    pub produced: usize,
}

impl Chunked {
    /// Moves data from `input` to `out` until the input ends, or the output is full and more data
    /// follows, or the body is over.
    pub fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Malformed> {
        let (mut consumed, mut produced) = (0, 0);
        while consumed < input.len() && self.state != State::Done {
            if let State::Data(left) = self.state {
                let n = usize::try_from(left).unwrap_or(usize::MAX);
                let n = n.min(input.len() - consumed).min(out.len() - produced);
                if n == 0 {
                    break;
                }
                out[produced..produced + n].copy_from_slice(&input[consumed..consumed + n]);
                consumed += n;
                produced += n;
                self.took(n);
                continue;
            }
            self.state = self.next(input[consumed])?;
            consumed += 1;
        }
        Ok(Step { consumed, produced })
    }

    /// So many bytes of data come next, with nothing else between them: they may be received past
    /// the decoder, which is told with [`Chunked::took`].
    pub fn data_ahead(&self) -> u64 {
        match self.state {
            State::Data(left) => left,
            _ => 0,
        }
    }

    /// Says that `n` of [`Chunked::data_ahead`] were received.
    pub fn took(&mut self, n: usize) {
        if let State::Data(left) = self.state {
            self.state = match left.saturating_sub(n as u64) {
                0 => State::DataCr,
                left => State::Data(left),
            };
        }
    }

    /// Whether the body was there to its end, trailers included.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The state after a byte outside of data.
    fn next(&mut self, byte: u8) -> Result<State, Malformed> {
        Ok(match (self.state, byte) {
            (State::Start, _) => State::Size(digit(byte)?),
            (State::Size(size), b'\r') => State::SizeLf(size),
            (State::Size(size), b';') => State::Extension(size),
            (State::Size(size), _) => {
                let digit = digit(byte)?;
                if size >> 60 != 0 {
                    return Err(Malformed("the size of a chunk does not fit 64 bits".into()));
                }
                self.ignore(byte, State::Size(size << 4 | digit))? // zeros may lead
            }
            (State::Extension(size), b'\r') => State::SizeLf(size),
            (state @ State::Extension(_), _) => self.ignore(byte, state)?,
            (State::SizeLf(size), b'\n') => {
                self.ignored = 0;
                if size == 0 { State::Trailer } else { State::Data(size) }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Start,
            (State::Trailer, b'\r') => State::LastLf,
            (State::Trailer, _) => self.ignore(byte, State::TrailerText)?,
            (State::TrailerText, b'\r') => State::TrailerLf,
            (State::TrailerText, _) => self.ignore(byte, State::TrailerText)?,
            (State::TrailerLf, b'\n') => State::Trailer,
            (State::LastLf, b'\n') => State::Done,
            (State::DataCr | State::DataLf, _) => {
                return Err(Malformed("a chunk is longer than its size says".into()));
            }
            _ => return Err(Malformed("a line of the chunked body does not end in CR LF".into())),
        })
    }

    fn ignore(&mut self, byte: u8, next: State) -> Result<State, Malformed> {
        self.ignored += 1;
        match byte {
            b'\n' | 0 => Err(Malformed("a line of the chunked body does not end in CR LF".into())),
            _ if self.ignored > MAX_IGNORED => {
                Err(Malformed("a chunked body's extensions or trailers are too long".into()))
            }
            _ => Ok(next),
        }
    }
}

fn digit(byte: u8) -> Result<u64, Malformed> {
    char::from(byte)
        .to_digit(16)
        .map(u64::from)
        .ok_or_else(|| Malformed(format!("the size of a chunk has {:?} for a digit", char::from(byte))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes with pieces of `cut` bytes into pieces of `room` bytes; gives data and unused input.
    fn decode(input: &[u8], cut: usize, room: usize) -> Result<(Vec<u8>, usize, bool), Malformed> {
        let (mut decoder, mut data, mut at) = (Chunked::default(), Vec::new(), 0);
        while at < input.len() && !decoder.is_done() {
            let mut out = vec![0; room];
            let step = decoder.decode(&input[at..input.len().min(at + cut)], &mut out)?;
            data.extend_from_slice(&out[..step.produced]);
            at += step.consumed;
        }
        Ok((data, input.len() - at, decoder.is_done()))
    }

    #[test]
    fn bodies_decode_however_they_are_cut() {
        let input = b"3\r\nabc\r\n0A;name=\"v\"\r\n0123456789\r\n00\r\nX-Sum: 1\r\n\r\nNEXT";
        for cut in 1..=input.len() {
            for room in [1, 2, 3, 7, 64] {
                let (data, left, done) = decode(input, cut, room).unwrap();
                assert_eq!((&data[..], left, done), (&b"abc0123456789"[..], 4, true), "{cut} {room}");
            }
        }
        for end in 0..input.len() - 4 {
            assert!(!decode(&input[..end], 64, 64).unwrap().2, "{end}");
        }
    }

    #[test]
    fn the_end_is_seen_with_a_full_output() {
        let mut decoder = Chunked::default();
        let mut out = [0; 3];
        let step = decoder.decode(b"3\r\nabc\r\n0\r\n\r\n", &mut out).unwrap();
        assert_eq!((step, decoder.is_done()), (Step { consumed: 13, produced: 3 }, true));
    }

    #[test]
    fn data_may_be_received_past_the_decoder() {
        let mut decoder = Chunked::default();
        assert_eq!(decoder.decode(b"10\r\nab", &mut [0; 2]).unwrap().consumed, 6);
        assert_eq!(decoder.data_ahead(), 14);
        decoder.took(13);
        assert_eq!(decoder.data_ahead(), 1);
        decoder.took(1);
        assert_eq!(decoder.data_ahead(), 0);
        decoder.decode(b"\r\n0\r\n\r\n", &mut []).unwrap();
        assert!(decoder.is_done());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let long = format!("1;{}\r\n", "e".repeat(MAX_IGNORED as usize + 1));
        let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(5000));
        let zeros = "0".repeat(MAX_IGNORED as usize + 2);
        let bad: &[&[u8]] = &[
            zeros.as_bytes(),
            b"\r\n",
            b";\r\n",
            b"x\r\n",
            b"0x1\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b" 1\r\n",
            b"1 \r\n",
            b"1\n",
            b"1\rx",
            b"1\r\nab\r\n",
            b"1\r\na\n",
            b"1\r\na\rx",
            b"10000000000000000\r\n",
            b"0\r\nA: b\n",
            b"0\r\n\rx",
            b"1;a\nb",
            b"0\r\n\n",
            b"1;\0",
            long.as_bytes(),
            trailers.as_bytes(),
        ];
        for input in bad {
            assert!(
                decode(input, 64, 64).is_err(),
                "{:?}",
                String::from_utf8_lossy(&input[..input.len().min(40)])
            );
        }
        assert!(decode(b"ffffffffffffffff\r\n", 64, 64).is_ok());
    }
}
