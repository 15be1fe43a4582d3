//! Hosts that `wvs real-server setup` has made real servers of, under real traffic.

use std::process::Stdio;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use wvs_tests::{
    Director, Distribution, Lab, LabOptions, ServerOptions, Service, client_source, client_source6,
    wvs_binary,
};

/// Where the lab's real servers listen.
const VIPS: [&str; 4] = ["10.0.0.100", "10.0.0.101", "fd00:a::100", "fd00:a::101"];

/// Two hosts that know nothing of virtual addresses.
struct Hosts {
    // Dropped before the namespaces.
    dir: TempDir,
    lab: Lab,
}

impl Hosts {
    fn new() -> Result<Self> {
        let lab = Lab::new(LabOptions {
            backends: 2,
            ..LabOptions::one_arm()
        })?;
        for n in 1..=2 {
            let host = lab.backend_ns(n);
            for vip in VIPS {
                let length = if vip.contains(':') { 128 } else { 32 };
                host.ip(&format!("addr del {vip}/{length} dev lo"))?;
            }
            host.sysctl("net/ipv4/conf/all/arp_ignore", "0")?;
            host.sysctl("net/ipv4/conf/all/arp_announce", "0")?;
        }
        Ok(Self {
            dir: tempfile::tempdir()?,
            lab,
        })
    }

    /// Runs `wvs real-server …` on both, which must succeed.
    fn run(&self, arguments: &[&str]) -> Result<()> {
        for n in 1..=2 {
            let own = self.dir.path().join(format!("rs{n}"));
            let mut command = self.lab.backend_ns(n).command(wvs_binary()?);
            command.arg("real-server").args(arguments);
            command.arg("--state-dir").arg(own.join("state"));
            command.arg("--root").arg(own.join("root"));
            command
                .arg("--pin-dir")
                .arg(self.lab.pin_dir().with_file_name(format!("real{n}")));
            let output = command.stdin(Stdio::null()).output()?;
            ensure!(output.status.success(), "{arguments:?} on rs{n}: {output:?}");
        }
        Ok(())
    }

    /// What the hosts hold of virtual addresses, and of what hides them.
    fn state(&self) -> Result<String> {
        let mut text = String::new();
        for n in 1..=2 {
            let host = self.lab.backend_ns(n);
            text += &host.ip("-o addr show")?;
            for key in [
                "all/arp_ignore",
                "all/arp_announce",
                "lo/arp_ignore",
                "eth0/arp_ignore",
            ] {
                let path = format!("/proc/sys/net/ipv4/conf/{key}");
                text += &host.run(|| std::fs::read_to_string(&path))?;
            }
        }
        Ok(text)
    }
}

#[test]
fn hosts_become_real_servers_and_are_hosts_again() -> Result<()> {
    let vips = VIPS.join(",");
    for mode in ["dr", "tun"] {
        let hosts = Hosts::new()?;
        let before = hosts.state()?;
        hosts.run(&["setup", "--vip", &vips, "--mode", mode, "--interface", "eth0"])?;
        let servers = hosts.lab.start_servers(&ServerOptions::direct())?;
        let only_two = |service: Service| {
            service.only((1..=2).flat_map(|n| [wvs_tests::backend(n), wvs_tests::backend6(n)]))
        };
        let web = only_two(Service::direct_of_both_families(mode));
        let director = Director::start(&hosts.lab, &web.to_string())?;
        let client = hosts.lab.client();
        for (to, from) in [
            (hosts.lab.vip(80), client_source()),
            (hosts.lab.vip6(80), client_source6()),
        ] {
            assert_eq!(client.ask_many(to, 20), Distribution::even(2, 10), "{mode} {to}");
            let answer = client.ask(to)?;
            assert_eq!((answer.peer.ip(), answer.local), (from, to), "{mode}");
            client.transfer(to, 4 << 20)?;
        }
        drop((director, servers));
        hosts.run(&["undo"])?;
        assert_eq!(hosts.state()?, before, "{mode}");
    }
    Ok(())
}
