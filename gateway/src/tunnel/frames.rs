//! Where one WebSocket frame ends and the next begins. Pure.
//!
//! The gateway passes bytes, not messages; but it may add a frame of its own only between two of
//! the workspace's, and it wants to know a keystroke from a heartbeat. For both it reads frame
//! headers as they pass. Source of the layout: RFC 6455, section 5.2.

/// Largest payload of a control frame. Source: RFC 6455, section 5.5.
const CONTROL_LIMIT: usize = 125;

/// The longest header: two bytes, eight of length, four of mask.
const HEADER_LIMIT: usize = 14;

const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Follows the frames of one direction.
#[derive(Debug, Default)]
pub struct Frames {
    header: [u8; HEADER_LIMIT],
    /// How much of the header was seen.
    seen: u8,
    /// How much of the payload is still to come.
    payload: u64,
    is_closed: bool,
}

impl Frames {
    /// Follows `bytes`. Returns how many bytes of messages, rather than of control frames, began
    /// in them.
    pub fn follow(&mut self, mut bytes: &[u8]) -> u64 {
        let mut data = 0;
        while !bytes.is_empty() {
            if self.payload > 0 {
                let passed = (bytes.len() as u64).min(self.payload);
                self.payload -= passed;
                bytes = &bytes[passed as usize..];
                continue;
            }
            self.header[usize::from(self.seen)] = bytes[0];
            self.seen += 1;
            bytes = &bytes[1..];
            if let Some(length) = self.length() {
                match self.header[0] & 0xF {
                    CLOSE => self.is_closed = true,
                    PING | PONG => {}
                    _ => data += length,
                }
                self.payload = length;
                self.seen = 0;
            }
        }
        data
    }

    /// Tells whether a frame may be added here.
    pub fn is_between(&self) -> bool {
        self.seen == 0 && self.payload == 0 && !self.is_closed
    }

    /// Tells whether a close frame has begun: nothing may follow it.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Returns the length of the payload once the header is complete.
    fn length(&self) -> Option<u64> {
        let seen = usize::from(self.seen);
        if seen < 2 {
            return None;
        }
        let extended = match self.header[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        if seen < 2 + extended + mask {
            return None;
        }
        let number = self.header[2..2 + extended].iter();
        Some(match extended {
            0 => u64::from(self.header[1] & 0x7F),
            _ => number.fold(0, |number, byte| (number << 8) | u64::from(*byte)),
        })
    }
}

/// Makes a close frame as servers send it.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    let reason = &reason.as_bytes()[..reason.floor_char_boundary(CONTROL_LIMIT - 2)];
    let mut frame = vec![0x80 | CLOSE, 2 + reason.len() as u8];
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason);
    frame
}

/// What pings of ours carry, so that their answers can be told from answers to the workspace's.
const PING_PAYLOAD: &[u8; 8] = b"kalpana.";

/// Makes a ping frame as servers send it.
pub fn ping() -> Vec<u8> {
    let mut frame = vec![0x80 | PING, PING_PAYLOAD.len() as u8];
    frame.extend_from_slice(PING_PAYLOAD);
    frame
}

/// Takes the answers to our own pings out of what a client sends: the workspace never asked.
#[derive(Debug, Default)]
pub struct PongFilter {
    /// A frame that may be such an answer, as far as it has come.
    held: Vec<u8>,
}

/// A masked pong of our payload: two bytes, four of mask, the payload.
const PONG_LENGTH: usize = 2 + 4 + PING_PAYLOAD.len();

impl PongFilter {
    /// Looks at bytes that follow `frames`, and removes one answer to a ping from them. Returns
    /// what is to be passed on, and whether the answer was there.
    ///
    /// To be called only while an answer is expected. What may be the beginning of one is held
    /// until more comes.
    pub fn filter(&mut self, frames: &Frames, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut input = std::mem::take(&mut self.held);
        input.extend_from_slice(bytes);
        let mut passed = Vec::with_capacity(input.len());
        let mut ahead = frames.clone_state();
        let mut rest = input.as_slice();
        while !rest.is_empty() {
            if ahead.is_between() && rest[0] == 0x80 | PONG {
                if rest.len() < PONG_LENGTH && is_answer_so_far(rest) {
                    self.held = rest.to_vec();
                    return (passed, false);
                }
                if rest.len() >= PONG_LENGTH && is_answer_so_far(&rest[..PONG_LENGTH]) {
                    passed.extend_from_slice(&rest[PONG_LENGTH..]);
                    return (passed, true);
                }
            }
            // One frame, or what there is of it.
            let mut length = 0;
            while length < rest.len() {
                let step = if ahead.payload > 0 {
                    (ahead.payload.min((rest.len() - length) as u64)) as usize
                } else {
                    1
                };
                ahead.follow(&rest[length..length + step]);
                length += step;
                if ahead.is_between() {
                    break;
                }
            }
            passed.extend_from_slice(&rest[..length]);
            rest = &rest[length..];
        }
        (passed, false)
    }

    /// Returns what is held, when no answer is expected any more.
    pub fn release(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

impl Frames {
    fn clone_state(&self) -> Self {
        Self {
            header: self.header,
            seen: self.seen,
            payload: self.payload,
            is_closed: self.is_closed,
        }
    }
}

/// Tells whether bytes are the answer to a ping of ours, or its beginning.
fn is_answer_so_far(bytes: &[u8]) -> bool {
    let head = [0x80 | PONG, 0x80 | PING_PAYLOAD.len() as u8];
    if !head.starts_with(&bytes[..bytes.len().min(2)]) {
        return false;
    }
    let Some((mask, payload)) = bytes.get(2..).and_then(|rest| rest.split_at_checked(4)) else {
        return true;
    };
    let plain = payload
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask);
    plain
        .zip(PING_PAYLOAD)
        .all(|(byte, expected)| byte == *expected)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, is_masked: bool, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        let mask = if is_masked { 0x80 } else { 0 };
        match payload.len() {
            length @ 0..126 => frame.push(mask | length as u8),
            length @ 126..65536 => {
                frame.push(mask | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(mask | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        if is_masked {
            let key = [1, 2, 3, 4];
            frame.extend_from_slice(&key);
            frame.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
        } else {
            frame.extend_from_slice(payload);
        }
        frame
    }

    fn pong() -> Vec<u8> {
        frame(PONG, true, PING_PAYLOAD)
    }

    #[test]
    fn a_frame_may_be_added_only_between_two() {
        let text = frame(1, false, b"hello");
        let mut frames = Frames::default();
        assert!(frames.is_between());
        for end in 1..text.len() {
            frames.follow(&text[end - 1..end]);
            assert!(!frames.is_between(), "after {end} bytes");
        }
        frames.follow(&text[text.len() - 1..]);
        assert!(frames.is_between());
        frames.follow(&close(4401, "over"));
        assert!(frames.is_closed() && !frames.is_between());
    }

    #[test]
    fn an_answer_to_a_ping_of_ours_is_taken_out_and_no_other() {
        let frames = Frames::default();
        let mut filter = PongFilter::default();
        let mut bytes = frame(1, true, b"before");
        bytes.extend(frame(PONG, true, b"theirs"));
        bytes.extend(pong());
        bytes.extend(frame(1, true, b"after"));
        let (passed, found) = filter.filter(&frames, &bytes);
        let mut expected = frame(1, true, b"before");
        expected.extend(frame(PONG, true, b"theirs"));
        expected.extend(frame(1, true, b"after"));
        assert!(found && passed == expected);
        let (passed, found) = filter.filter(&frames, &frame(2, true, &pong()));
        assert!(!found, "an answer inside a message is the message's");
        assert_eq!(passed, frame(2, true, &pong()));
    }

    #[test]
    fn an_answer_that_comes_in_pieces_is_held_until_it_is_known() {
        let frames = Frames::default();
        let mut filter = PongFilter::default();
        let pong = pong();
        for byte in &pong[..pong.len() - 1] {
            assert_eq!(filter.filter(&frames, &[*byte]), (vec![], false));
        }
        let last = &pong[pong.len() - 1..];
        assert_eq!(filter.filter(&frames, last), (vec![], true));
        let other = frame(PONG, true, b"kalpanaX");
        let half = other.len() - 1;
        assert_eq!(filter.filter(&frames, &other[..half]), (vec![], false));
        assert_eq!(
            filter.filter(&frames, &other[half..]),
            (other.clone(), false)
        );
    }

    proptest! {
        #[test]
        fn frames_end_where_they_end_however_they_are_cut(
            payloads in proptest::collection::vec((0_u8..11, any::<bool>(), 0_usize..70_000), 1..5),
            cuts in proptest::collection::vec(1_usize..5000, 1..40),
        ) {
            let mut bytes = Vec::new();
            let mut data = 0;
            for (opcode, is_masked, length) in payloads {
                if opcode == CLOSE { continue; }
                if opcode < CLOSE { data += length as u64; }
                bytes.extend(frame(opcode, is_masked, &vec![0x8A; length]));
            }
            let mut frames = Frames::default();
            let mut counted = 0;
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                counted += frames.follow(piece);
                rest = after;
            }
            prop_assert!(frames.is_between());
            prop_assert_eq!(counted, data);
        }

        #[test]
        fn no_bytes_but_an_answer_are_ever_lost(bytes: Vec<u8>, cut in 0_usize..64) {
            let mut filter = PongFilter::default();
            let mut frames = Frames::default();
            let mut passed = Vec::new();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut answers = 0;
            for piece in [first, second] {
                let (through, found) = filter.filter(&frames, piece);
                frames.follow(&through);
                passed.extend(through);
                answers += usize::from(found);
            }
            passed.extend(filter.release());
            prop_assert_eq!(passed.len() + answers * PONG_LENGTH, bytes.len());
        }
    }
}
