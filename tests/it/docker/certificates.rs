//! The certificates of a site that runs, as its operator and its administrators see them.

use kalpana_tests::World;
use serde_json::json;

#[tokio::test]
async fn operators_and_administrators_see_the_certificate_that_is_served() -> anyhow::Result<()> {
    let world = World::start(&[]).await?;
    let own = world.arguments();
    let certs = async |command: &[&str]| {
        let own = own.iter().map(String::as_str);
        let arguments: Vec<&str> = std::iter::once("certs")
            .chain(command.iter().copied())
            .chain(own)
            .collect();
        world.kalpana(&arguments, &[], "").await
    };
    let listed = certs(&["list", "--format", "json"]).await?;
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let listed = listed.json()?;
    let certificate = &listed["certificates"][0];
    let names = json!(["kalpana.localhost", "*.kalpana.localhost"]);
    assert_eq!(certificate["names"], names);
    assert_eq!(
        (&certificate["source"], &certificate["state"]),
        (&json!("local"), &json!("good"))
    );
    let text = certs(&["list"]).await?;
    assert!(text.stdout.contains("kalpana.localhost"), "{}", text.stdout);
    let shown = certs(&["show", "kalpana.localhost"]).await?;
    assert!(shown.stdout.contains("SHA-256"), "{}", shown.stdout);

    for (command, words) in [
        (["renew", "kalpana.localhost"], "certificate_local"),
        (["renew", "nobody.test"], "certificate_unknown"),
        (
            ["issue", "abcdefghij01.kalpana.localhost"],
            "certificate_covered",
        ),
    ] {
        let refused = certs(&command).await?;
        assert_eq!(refused.code, 1, "{command:?}: {}", refused.stdout);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    }
    let unasked = certs(&["revoke", "kalpana.localhost"]).await?;
    assert_eq!(unasked.code, 1, "{}", unasked.stdout);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);

    let exported = certs(&["export-ca"]).await?;
    let authority = std::fs::read_to_string(world.authority())?;
    assert_eq!(exported.stdout.trim(), authority.trim());

    // The page asks as another user than the gateway's, where roles have users of their own.
    let administrator = world.administrator().await?;
    let url = format!("{}/api/admin/certificates", world.base_url());
    let answer = administrator.get(&url).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.json()?;
    let fingerprint = &seen["certificates"][0]["served"]["fingerprint"];
    assert_eq!(fingerprint, &certificate["served"]["fingerprint"]);
    let renew = format!("{url}/kalpana.localhost/renew");
    let refused = administrator.post(&renew, &json!({})).await?;
    assert_eq!(refused.status, 409, "{refused:?}");
    world.tear_down().await
}
