//! The host's packet filter: what workspaces may reach of the host, of private networks and of each
//! other.
//!
//! Docker filters what is forwarded, and lets everything through to the host itself. So there is a
//! table of our own, `inet kalpana`, in front of Docker's rules. [`rules`] says what it holds and
//! [`listing`] reads what is there, both without I/O; [`nft`] speaks to the kernel, and [`keep`]
//! brings it to what it should be: at each look around, and before a workspace's network and its
//! container come to be.
//!
//! The rules match all interfaces named `kw…`, as the bridges of workspaces are, so they are in force
//! before a network is there, and for all sites on a host alike. What one workspace may reach besides
//! is in sets, by its interface. The table stays when the process ends: the workspaces do as well.

mod examine;
pub(crate) mod keep;
mod listing;
mod nft;
mod resolvers;
mod rules;

pub(crate) use examine::examine;
pub(crate) use keep::{Firewall, Hold, NotInForce};
