//! Schedulers that decide for each connection: the tc program asks, the director answers.

use std::time::Duration;

use anyhow::Result;
use wvs_tests::{Distribution, LabOptions, Service, Stage, Target, backend, backend6, wait_for};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn each_connection_is_decided_by_the_plugin() -> Result<()> {
    // lblc keeps a virtual address at one server as long as that has no more connections than its weight.
    let heavy = |address| Target::new(address).weight(1000);
    let web = Service::direct_of_both_families("dr")
        .scheduler("lblc")
        .only((1..=3).map(backend).chain((1..=3).map(backend6)).map(heavy));
    let mut stage = Stage::with(LabOptions::one_arm(), web)?;
    for vip in [stage.web(), stage.web6()] {
        let seen = stage.client().ask_many(vip, 20);
        let servers = ["rs1", "rs2", "rs3"].map(|name| seen.server(name));
        assert_eq!((seen.failed(), servers.iter().filter(|asked| **asked > 0).count()), (0, 1), "{seen}");
    }
    let status = stage.director.json(&["status"])?;
    let picks = |pool: usize| status["schedulers"][pool]["picks"].as_u64();
    assert_eq!([picks(0), picks(1)], [Some(20); 2], "{status}");
    assert_eq!(status["warnings"], serde_json::json!([]), "{status}");

    // Without a director the client's hash chooses, and nobody is refused.
    stage.director.kill9()?;
    wait_for("connections that nobody is asked for", SOON, || {
        stage.client().ask_many(stage.web(), 10).failed() == 0
    });
    stage.director.restart()?;
    wait_for("the plugin to be asked again", SOON, || {
        let seen: Distribution = stage.client().ask_many(stage.web(), 10);
        seen.failed() == 0 && ["rs1", "rs2", "rs3"].iter().any(|name| seen.server(name) == 10)
    });
    Ok(())
}
