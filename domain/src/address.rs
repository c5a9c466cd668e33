//! Which part of which workspace a host name means.

use std::fmt;

use crate::id::WorkspaceId;

/// The lowest port of a workspace that may be reached from outside.
pub const LOWEST_PORT: u16 = 1024;

/// What of a workspace is being addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The editor, at `<id>.<domain>`.
    Editor,
    /// A port that a program in the workspace listens on, at `<port>-<id>.<domain>`.
    ///
    /// Its own origin, because a page served by the user's program must not be able to drive the
    /// editor.
    Port(u16),
}

/// The address of one surface of one workspace: the first label of a workspace host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WorkspaceAddress {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The part of it.
    pub surface: Surface,
}

impl WorkspaceAddress {
    /// Returns the address of a workspace's editor.
    pub fn editor(workspace: WorkspaceId) -> Self {
        Self {
            workspace,
            surface: Surface::Editor,
        }
    }

    /// Reads the first label of a host name, `<id>` or `<port>-<id>`.
    ///
    /// Ports are canonical decimals from [`LOWEST_PORT`] to 65535: no sign, no leading zero, ASCII
    /// digits only, so that one port has exactly one origin. Returns `None` for all else.
    pub fn parse_label(label: &str) -> Option<Self> {
        let Some((port, id)) = label.split_once('-') else {
            return Some(Self::editor(WorkspaceId::parse(label).ok()?));
        };
        let is_canonical = !port.starts_with('0')
            && (1..=5).contains(&port.len())
            && port.bytes().all(|byte| byte.is_ascii_digit());
        let port: u16 = if is_canonical {
            port.parse().ok()?
        } else {
            return None;
        };
        let workspace = WorkspaceId::parse(id).ok()?;
        (port >= LOWEST_PORT).then_some(Self {
            workspace,
            surface: Surface::Port(port),
        })
    }
}

/// Writes the label that [`WorkspaceAddress::parse_label`] reads.
impl fmt::Display for WorkspaceAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.surface {
            Surface::Editor => write!(formatter, "{}", self.workspace),
            Surface::Port(port) => write!(formatter, "{port}-{}", self.workspace),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn editor_and_port_labels_are_read() {
        let id = WorkspaceId::parse("abcdefghij01").expect("legal");
        assert_eq!(
            WorkspaceAddress::parse_label("abcdefghij01"),
            Some(WorkspaceAddress::editor(id))
        );
        assert_eq!(
            WorkspaceAddress::parse_label("3000-abcdefghij01"),
            Some(WorkspaceAddress {
                workspace: id,
                surface: Surface::Port(3000)
            })
        );
    }

    #[test]
    fn a_port_has_one_spelling_only() {
        for port in [
            "0080",
            "03000",
            "+3000",
            "3000.0",
            "65536",
            "-1",
            "80",
            "1023",
            "３０００",
            "",
        ] {
            let label = format!("{port}-abcdefghij01");
            assert_eq!(WorkspaceAddress::parse_label(&label), None, "{label}");
        }
    }

    proptest! {
        #[test]
        fn labels_are_read_back(random: [u8; 16], port in proptest::option::of(1024_u16..)) {
            let address = WorkspaceAddress {
                workspace: WorkspaceId::from_random(random),
                surface: port.map_or(Surface::Editor, Surface::Port),
            };
            prop_assert_eq!(WorkspaceAddress::parse_label(&address.to_string()), Some(address));
        }
    }
}
