//! The ports of a workspace that somebody listens on, as a refusal names them.

use std::fmt;
use std::num::NonZeroU16;

use super::Malformed;

/// Ports that one refusal names at most.
const LIMIT: usize = 16;

/// Up to sixteen ports, ascending; what is more is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Listening([u16; LIMIT]);

impl Listening {
    /// No port, or none that is known.
    pub const NONE: Self = Self([0; LIMIT]);

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0[0] == 0
    }

    /// Returns them in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.into_iter().take_while(|port| *port != 0)
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
        let mut ports = Self::NONE;
        let mut places = ports.0.iter_mut();
        for port in text.split(',') {
            let port = super::canonical_decimal(port)?;
            let port = u16::try_from(port).ok().filter(|port| *port != 0);
            *places.next().ok_or(Malformed)? = port.ok_or(Malformed)?;
        }
        Ok(ports)
    }
}

impl FromIterator<NonZeroU16> for Listening {
    fn from_iter<I: IntoIterator<Item = NonZeroU16>>(ports: I) -> Self {
        let sorted: std::collections::BTreeSet<NonZeroU16> = ports.into_iter().collect();
        let mut listening = Self::NONE;
        for (place, port) in listening.0.iter_mut().zip(sorted) {
            *place = port.get();
        }
        listening
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, port) in self.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(formatter, "{comma}{port}")?;
        }
        Ok(())
    }
}
