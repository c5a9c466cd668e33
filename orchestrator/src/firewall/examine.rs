//! Looks at the table without changing anything.

use super::listing::Listing;
use super::nft::{Filter as _, FilterError, Nft};
use super::rules;
use crate::examine::PacketFilter;
use crate::reconcile::describe;

/// Says how the packet filter's table is.
pub(crate) async fn examine() -> PacketFilter {
    match Nft.list().await {
        Ok(Some(text)) => judge(&text),
        Ok(None) => PacketFilter::Absent,
        Err(FilterError::Missing) => PacketFilter::NoTool,
        Err(FilterError::Forbidden) => PacketFilter::Forbidden,
        Err(error) => PacketFilter::Unreadable(describe(&error)),
    }
}

fn judge(text: &str) -> PacketFilter {
    match Listing::parse(text) {
        Ok(found) if found.rules == rules::rules_by_chain() && !found.is_strange => {
            PacketFilter::InForce
        }
        Ok(_) => PacketFilter::NotWhole,
        Err(error) => PacketFilter::Unreadable(describe(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_our_rules_is_not_whole() {
        let table = r#"{"nftables": [{"table": {"family": "inet", "name": "kalpana"}}]}"#;
        assert_eq!(judge(table), PacketFilter::NotWhole);
        assert!(matches!(judge("nonsense"), PacketFilter::Unreadable(_)));
    }
}
