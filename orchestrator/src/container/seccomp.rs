//! The system calls that programs in a workspace may make, as data that the engine reads.
//!
//! Whatever is not listed is refused. The list starts from what a container without capabilities
//! can do by the engine's own default, so that compilers, debuggers, interpreters and editors run
//! as elsewhere. It leaves out what no tool in a workspace needs and kernels have had to be mended
//! for again and again: `io_uring`, user namespaces, keyrings, eBPF, performance events, page faults
//! in user space, and socket families that reach past the network the workspace was given.
//!
//! The profile is our own because engines differ: what 20.10 lets through, later ones refuse. With
//! it a workspace is held alike by all of them.
//!
//! Debugging stays: `ptrace` and, under the same check of the kernel's, `process_vm_readv` and
//! `process_vm_writev` reach only processes of the same user that hold no more privileges, and
//! `gdb`, `strace`, Delve and sampling profilers are made of them. `pidfd_getfd` and `kcmp` are
//! refused: no debugger needs them.

mod allowed;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use serde::Serialize;

/// `EPERM`: what is refused without a word of its own.
const NOT_PERMITTED: u32 = 1;
/// `ENOSYS`: what is refused so that callers take the older way.
const NOT_IMPLEMENTED: u32 = 38;

/// Every flag of `clone` that makes a namespace: mount, cgroup, UTS, IPC, user, PID, network.
/// Source: `linux/sched.h`.
const CLONE_NAMESPACES: u64 =
    0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000;
/// The same for `unshare`, where the time namespace has a flag. In `clone` that bit is part of a
/// signal's number.
const UNSHARE_NAMESPACES: u64 = CLONE_NAMESPACES | 0x80;

/// Socket families that programs need: Unix, IPv4, IPv6. Netlink is below. Source:
/// `linux/socket.h`.
const FAMILIES: [u64; 3] = [1, 2, 10];
/// The one family that pairs of sockets come in.
const FAMILY_UNIX: u64 = 1;
const FAMILY_NETLINK: u64 = 16;
/// What netlink may be asked about: interfaces and addresses, sockets, devices, and generic
/// netlink. Not the packet filter, IPsec, audit or the kernel's cryptography. Source:
/// `linux/netlink.h`.
const NETLINK_PROTOCOLS: [u64; 4] = [0, 4, 15, 16];

/// What `personality` may be told: Linux, Linux of 32 bits, both with `uname` of 2.6, and the
/// question what it is now. Nothing that makes memory executable or addresses predictable.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The option by which the engine is given the profile.
static OPTION: LazyLock<String> = LazyLock::new(|| {
    let json = serde_json::to_string(&profile()).expect("plain data is always JSON");
    format!("seccomp={json}")
});

/// Returns the engine's option that carries the profile, text and all. Engines keep it as it is
/// and show it when asked.
pub(crate) fn option() -> &'static str {
    &OPTION
}

/// Which system calls are let through, as the engine reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    /// What happens to whatever no rule names.
    default_action: Action,
    /// The error number of that.
    default_errno_ret: u32,
    arch_map: Vec<Architecture>,
    syscalls: Vec<Rule>,
}

/// A kind of processor, and the narrower ones whose programs it runs too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Architecture {
    architecture: &'static str,
    sub_architectures: Vec<&'static str>,
}

/// What happens to some calls, if all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: Vec<&'static str>,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<u32>,
    /// All of them must hold. No two are about one argument: runtimes would take that for "or".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Condition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Action {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Refuse,
}

/// What an argument, counted from 0, must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    index: u32,
    /// The number it is compared with; for [`Comparison::Masked`] the bits that are looked at.
    value: u64,
    /// What those bits must be.
    value_two: u64,
    op: Comparison,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Comparison {
    /// All 64 bits are equal. A caller who sets bits that the kernel ignores is refused.
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    Masked,
}

impl Rule {
    fn allow(names: impl IntoIterator<Item = &'static str>, args: Vec<Condition>) -> Self {
        Self {
            names: names.into_iter().collect(),
            action: Action::Allow,
            errno_ret: None,
            args,
        }
    }
}

impl Condition {
    fn equal(index: u32, value: u64) -> Self {
        Self {
            index,
            value,
            value_two: 0,
            op: Comparison::Equal,
        }
    }

    fn has_none_of(index: u32, bits: u64) -> Self {
        Self {
            index,
            value: bits,
            value_two: 0,
            op: Comparison::Masked,
        }
    }
}

/// Builds the profile of a workspace.
fn profile() -> Profile {
    let mut always: Vec<&str> = allowed::ALWAYS.concat();
    always.sort_unstable();
    let mut rules = vec![
        Rule::allow(always, Vec::new()),
        Rule::allow(["clone"], vec![Condition::has_none_of(0, CLONE_NAMESPACES)]),
        Rule::allow(
            ["unshare"],
            vec![Condition::has_none_of(0, UNSHARE_NAMESPACES)],
        ),
        // Its flags are in memory, where a filter cannot look. Told that the kernel has no such
        // call, libraries use `clone`.
        Rule {
            names: vec!["clone3"],
            action: Action::Refuse,
            errno_ret: Some(NOT_IMPLEMENTED),
            args: Vec::new(),
        },
        Rule::allow(["socketpair"], vec![Condition::equal(0, FAMILY_UNIX)]),
    ];
    let families = FAMILIES.map(|family| vec![Condition::equal(0, family)]);
    let netlink = NETLINK_PROTOCOLS.map(|protocol| {
        vec![
            Condition::equal(0, FAMILY_NETLINK),
            Condition::equal(2, protocol),
        ]
    });
    let sockets = families.into_iter().chain(netlink);
    rules.extend(sockets.map(|args| Rule::allow(["socket"], args)));
    rules.extend(
        PERSONALITIES.map(|value| Rule::allow(["personality"], vec![Condition::equal(0, value)])),
    );
    Profile {
        default_action: Action::Refuse,
        default_errno_ret: NOT_PERMITTED,
        // Programs of 32 bits run too. Not those of x32, which no distribution has: it would be a
        // second set of numbers for the same calls.
        arch_map: vec![
            Architecture {
                architecture: "SCMP_ARCH_X86_64",
                sub_architectures: vec!["SCMP_ARCH_X86"],
            },
            Architecture {
                architecture: "SCMP_ARCH_AARCH64",
                sub_architectures: vec!["SCMP_ARCH_ARM"],
            },
        ],
        syscalls: rules,
    }
}
