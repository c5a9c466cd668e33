//! Whether the site's names lead to one place.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kalpana_config::Site;

use super::verdict::Verdict;
use crate::command::certs::check::MADE_UP;
use crate::command::certs::check::probe::resolve;

const CHECK: &str = "dns";

type Addresses = Result<BTreeSet<IpAddr>, String>;

/// Resolves the site's domain and a made-up workspace, which only a wildcard answers.
pub(super) async fn look(site: &Site) -> Vec<Verdict> {
    let workspace = format!("{MADE_UP}.{}", site.workspace_domain);
    let (domain, wildcard) = tokio::join!(
        addresses(&site.domain, site.port),
        addresses(&workspace, site.port)
    );
    judge(site, &domain, &wildcard)
}

async fn addresses(host: &str, port: u16) -> Addresses {
    let found = resolve(host, port)
        .await
        .map_err(|finding| finding.message)?;
    Ok(found.iter().map(std::net::SocketAddr::ip).collect())
}

fn judge(site: &Site, domain: &Addresses, wildcard: &Addresses) -> Vec<Verdict> {
    let is_local = |name: &str| name.ends_with(".localhost");
    if is_local(&site.domain) && is_local(&site.workspace_domain) {
        let message = "names below .localhost are this machine, and need no DNS";
        return vec![Verdict::ok(CHECK, message)];
    }
    let mut wrong = Vec::new();
    if let Err(why) = domain {
        wrong.push(Verdict::failed(
            CHECK,
            "domain_not_resolved",
            why,
            format!(
                "Add an A or AAAA record for {} to this machine.",
                site.domain
            ),
        ));
    }
    if let Err(why) = wildcard {
        wrong.push(Verdict::failed(
            CHECK,
            "wildcard_not_resolved",
            why,
            format!(
                "Add the record *.{} with the addresses of this machine: every workspace is a host \
                 below it.",
                site.workspace_domain
            ),
        ));
    }
    if let (Ok(domain), Ok(wildcard)) = (domain, wildcard)
        && domain != wildcard
    {
        wrong.push(Verdict::warning(
            CHECK,
            "wildcard_elsewhere",
            format!(
                "{} leads to {}, and workspaces to {}",
                site.domain,
                list(domain),
                list(wildcard)
            ),
            "Give both records the same addresses, unless the gateway answers at all of them.",
        ));
    }
    match (wrong.is_empty(), domain) {
        (true, Ok(domain)) => {
            let message = format!(
                "{} and its workspaces lead to {}",
                site.domain,
                list(domain)
            );
            vec![Verdict::ok(CHECK, message)]
        }
        _ => wrong,
    }
}

fn list(addresses: &BTreeSet<IpAddr>) -> String {
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    addresses.join(", ")
}

#[cfg(test)]
mod tests {
    use kalpana_config::Config;

    use super::*;

    fn codes(domain: &str, one: &Addresses, other: &Addresses) -> Vec<String> {
        let mut config = Config::default();
        config.server.data_dir = Some("/d".into());
        domain.clone_into(&mut config.server.domain);
        let site = Site::resolve(&config, false, None).expect("resolved");
        let verdicts = judge(&site, one, other).into_iter();
        verdicts
            .map(|verdict| {
                verdict
                    .code
                    .map_or("ok".to_owned(), |code| code.to_string())
            })
            .collect()
    }

    #[test]
    fn both_names_lead_to_the_same_place() {
        let at = |text: &str| -> Addresses { Ok([text.parse().expect("address")].into()) };
        let none: Addresses = Err("none".to_owned());
        let (here, there) = (at("192.0.2.1"), at("192.0.2.2"));
        let of = |one: &Addresses, other: &Addresses| codes("dev.example.com", one, other);
        assert_eq!(of(&here, &here), ["ok"]);
        assert_eq!(of(&here, &there), ["wildcard_elsewhere"]);
        assert_eq!(of(&here, &none), ["wildcard_not_resolved"]);
        assert_eq!(
            of(&none, &none),
            ["domain_not_resolved", "wildcard_not_resolved"]
        );
        assert_eq!(codes("kalpana.localhost", &none, &none), ["ok"]);
    }
}
