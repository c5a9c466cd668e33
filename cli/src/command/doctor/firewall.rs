//! Whether the host's packet filter holds workspaces.

use kalpana_config::Config;
use kalpana_orchestrator::examine::{PacketFilter, examine_packet_filter};

use super::verdict::Verdict;

const CHECK: &str = "packet_filter";

/// Looks at the table.
pub(super) async fn look(config: &Config) -> Vec<Verdict> {
    let wanted = config.orchestrator.firewall.as_str();
    let found = examine_packet_filter().await;
    if wanted == "off" {
        return vec![judge_what_is_left_alone(&found)];
    }
    vec![judge(&found, wanted == "required")]
}

fn judge_what_is_left_alone(found: &PacketFilter) -> Verdict {
    match found {
        PacketFilter::InForce | PacketFilter::NotWhole => Verdict::warning(
            CHECK,
            "firewall_left_over",
            "orchestrator.firewall is off, and the table inet kalpana is there all the same: workspaces \
             started since reach no private name server and nothing of orchestrator.reachable",
            "If no other site on this host needs it: nft delete table inet kalpana.",
        ),
        _ => Verdict::skipped(
            CHECK,
            "firewall_off",
            "orchestrator.firewall is off: unless something else filters it, workspaces reach this host \
             and private networks",
            "Set it to auto or required, unless something else filters what workspaces reach.",
        ),
    }
}

fn judge(found: &PacketFilter, is_required: bool) -> Verdict {
    let (code, message, next_step) = match found {
        PacketFilter::InForce => {
            return Verdict::ok(CHECK, "the table inet kalpana is there, with all its rules");
        }
        PacketFilter::Forbidden => {
            return Verdict::skipped(
                CHECK,
                "not_allowed",
                "this user may not look at the packet filter",
                "Run this as root.",
            );
        }
        PacketFilter::Absent => (
            "firewall_absent",
            "there is no table inet kalpana: workspaces reach this host and private networks"
                .to_owned(),
            "The orchestrator makes it when it starts and each orchestrator.reconcile_interval. If it \
             runs, its log says what is in the way: it has to be started by root, or with \
             CAP_NET_ADMIN, in the host's own network namespace.",
        ),
        PacketFilter::NotWhole => (
            "firewall_changed",
            "the table inet kalpana is not what Kalpana made".to_owned(),
            "The orchestrator makes it anew within orchestrator.reconcile_interval. If it comes again, \
             something else on this host changes it.",
        ),
        PacketFilter::NoTool => (
            "firewall_tool_missing",
            "there is no nft on this machine, so workspaces reach this host and private networks"
                .to_owned(),
            "Install the Debian package nftables.",
        ),
        PacketFilter::Unreadable(cause) => (
            "firewall_unreadable",
            format!("the packet filter could not be looked at: {cause}"),
            "Look at `nft list table inet kalpana`.",
        ),
    };
    if is_required {
        Verdict::failed(CHECK, code, message, next_step)
    } else {
        Verdict::warning(CHECK, code, message, next_step)
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Status;
    use super::*;

    #[test]
    fn what_is_missing_fails_where_it_is_required_and_warns_elsewhere() {
        for (found, code) in [
            (PacketFilter::Absent, "firewall_absent"),
            (PacketFilter::NotWhole, "firewall_changed"),
            (PacketFilter::NoTool, "firewall_tool_missing"),
            (
                PacketFilter::Unreadable("x".to_owned()),
                "firewall_unreadable",
            ),
        ] {
            let (required, auto) = (judge(&found, true), judge(&found, false));
            assert!(required.is(code) && auto.is(code), "{found:?}");
            assert_eq!(required.status, Status::Failed);
            assert_eq!(auto.status, Status::Warning);
        }
        assert_eq!(judge(&PacketFilter::InForce, true).status, Status::Ok);
        let left = judge_what_is_left_alone(&PacketFilter::InForce);
        assert!(left.is("firewall_left_over") && left.status == Status::Warning);
        let off = judge_what_is_left_alone(&PacketFilter::Absent);
        assert!(off.is("firewall_off") && off.status == Status::Skipped);
        assert_eq!(
            judge(&PacketFilter::Forbidden, true).status,
            Status::Skipped
        );
    }
}
