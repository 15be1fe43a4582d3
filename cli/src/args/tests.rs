use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

/// All commands that do something, with the words that lead to them.
fn leaves(command: &clap::Command) -> Vec<&clap::Command> {
    if command.has_subcommands() {
        command.get_subcommands().flat_map(leaves).collect()
    } else {
        vec![command]
    }
}

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples_and_they_parse() {
    let cli = Cli::command();
    for command in leaves(&cli) {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let examples: Vec<_> = help.lines().filter(|line| line.starts_with("  wvs ")).collect();
        assert!(!examples.is_empty(), "{} has no example", command.get_name());
        for example in examples {
            assert!(example.contains(&format!(" {}", command.get_name())), "{example}");
            // Help is wrapped at 100 columns where there is no terminal, and a wrapped example cannot be copied.
            assert!(example.len() < 100, "{example}");
            parse(example).unwrap_or_else(|error| panic!("{example}: {error}"));
        }
    }
}

#[test]
fn help_lists_all_exit_codes() {
    let help = Cli::command().render_help().to_string();
    for code in 0..=5 {
        assert!(help.contains(&format!("\n  {code}  ")), "{code}: {help}");
    }
}

#[test]
fn global_options_stand_anywhere() {
    for line in [
        "wvs -o json --socket /s services",
        "wvs services --socket /s -o json",
    ] {
        let cli = parse(line).unwrap();
        assert_eq!((cli.global.output, cli.global.socket.as_path()), (Format::Json, "/s".as_ref()));
    }
    assert!(parse("wvs -q -v services").is_err());
    assert_eq!(parse("wvs services -vv").unwrap().global.verbose, 2);
}

fn service(line: &str) -> wvs_core::config::Service {
    match parse(line).unwrap().command {
        Command::Add(Add::Service(args)) => args.service().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_service_is_described_in_full() {
    let described = service(
        "wvs add service web --listen tcp://10.0.0.100:80,443 --listen fwmark:7 --forward full-nat \
         --source 10.0.0.1-10.0.0.8 --scheduler sh --param a=b=c --param d= --slots 512 --manage-vip eth0 \
         --reject-other-ports --backend 10.1.0.11:8080,weight=3,forward=nat --backend [2001:db8::1]:80,drain",
    );
    // The same as a file, so that the two ways to say it cannot mean different things.
    let written: wvs_core::config::Service = serde_json::from_value(serde_json::json!({
        "name": "web",
        "listen": ["tcp://10.0.0.100:80,443", "fwmark:7"],
        "forward": "full-nat",
        "source": ["10.0.0.1-10.0.0.8"],
        "scheduler": { "plugin": "sh", "params": { "a": "b=c", "d": "" } },
        "slots": 512,
        "manage_vip": { "interface": "eth0", "reject_other_ports": true },
        "backend": [
            { "address": "10.1.0.11:8080", "weight": 3, "forward": "nat" },
            { "address": "[2001:db8::1]:80", "drain": true },
        ],
    }))
    .unwrap();
    assert_eq!(described, written);
}

#[test]
fn direct_routing_is_described_in_full() {
    let described = service(
        "wvs add service web --listen udp://10.0.0.100:53 --forward dr --persistence 6m --mask 24 --mask6 64 \
         --one-packet --tunnel gue:6081+checksum \
         --backend 10.1.0.11,forward=tun,tunnel=gre,max-connections=10,min-connections=5",
    );
    let written: wvs_core::config::Service = serde_json::from_value(serde_json::json!({
        "name": "web",
        "listen": ["udp://10.0.0.100:53"],
        "forward": "dr",
        "persistence": { "timeout": "6m", "mask": 24, "mask6": 64 },
        "one_packet": true,
        "tunnel": { "type": "gue", "port": 6081, "checksum": true },
        "backend": [{
            "address": "10.1.0.11",
            "forward": "tun",
            "tunnel": "gre",
            "max_connections": 10,
            "min_connections": 5,
        }],
    }))
    .unwrap();
    assert_eq!(described, written);
}

#[test]
fn a_backend_is_described_in_full() {
    let line = "wvs add backend web 10.1.0.11 --weight 3 --forward tun --tunnel ipip --max-connections 10 \
                --min-connections 5";
    let Command::Add(Add::Backend(args)) = parse(line).unwrap().command else {
        panic!("{line}")
    };
    let written = serde_json::json!({
        "address": "10.1.0.11",
        "weight": 3,
        "forward": "tun",
        "tunnel": "ipip",
        "max_connections": 10,
        "min_connections": 5,
    });
    assert_eq!(args.backend(), serde_json::from_value(written).unwrap());
}

#[test]
fn what_is_left_out_is_as_in_a_file() {
    let described = service("wvs add service web --listen tcp://10.0.0.100:80");
    let written = serde_json::json!({ "name": "web", "listen": ["tcp://10.0.0.100:80"] });
    assert_eq!(described, serde_json::from_value(written).unwrap());
}

#[test]
fn a_parameter_given_twice_is_a_mistake() {
    let line = "wvs add service web --listen fwmark:1 --param a=1 --param a=2";
    let Command::Add(Add::Service(args)) = parse(line).unwrap().command else {
        panic!("{line}")
    };
    assert_eq!(args.service().unwrap_err(), "the parameter `a` is given twice");
}

#[test]
fn values_are_checked_before_anything_is_sent() {
    for (line, said) in [
        ("wvs add service web", "--listen"),
        ("wvs add service web --listen http://10.0.0.1:80", "`http` is not a protocol"),
        (
            "wvs add service web --listen fwmark:1 --forward masq",
            "`masq` is not a forwarding method",
        ),
        ("wvs add service web --listen fwmark:1 --param novalue", "a parameter is KEY=VALUE"),
        ("wvs add service web --listen fwmark:1 --reject-other-ports", "--manage-vip"),
        (
            "wvs add service web --listen fwmark:1 --backend 10.1.0.1,weight=x",
            "a weight is a number",
        ),
        ("wvs add service web --listen fwmark:1 --backend 10.1.0.1,height=1", "`height=1` is not"),
        ("wvs add service web --listen fwmark:1 --backend web1:80", "`web1` is not an IP address"),
        ("wvs add service web --listen fwmark:1 --persistence 6", "`6` has no unit"),
        ("wvs add service web --listen fwmark:1 --mask 24", "--persistence"),
        ("wvs add service web --listen fwmark:1 --tunnel vxlan", "`vxlan` is not a kind of tunnel"),
        (
            "wvs add service web --listen fwmark:1 --backend 10.1.0.1,max-connections=x",
            "a number of connections is",
        ),
        ("wvs add backend web 10.1.0.11 --min-connections 5", "--max-connections"),
        ("wvs weight web 10.1.0.11:8080 2147483648", "a weight is a number from 0 to 2147483647"),
        ("wvs weight web 10.1.0.11:0 1", "port `0` is out of range"),
        ("wvs weight web 10.1.0.11 -1", "unexpected argument '-1'"),
        ("wvs connections --limit many", "'many'"),
        ("wvs frobnicate", "unrecognized subcommand"),
    ] {
        let error = parse(line).unwrap_err();
        assert!(error.to_string().contains(said), "{line}: {error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}
