//! What is told to Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use super::swap::{Stage, TURNS, first};
use super::{ApplyError, Bench, DIRECT, WEB, set_weight};
use crate::api::Edit;
use crate::director::metrics::{names, reference};
use crate::kernel::{BackendTraffic, Traffic};
use crate::scheduler::{BackendId, Load};

impl Bench {
    fn metrics(&mut self) -> String {
        self.engine.scrape().unwrap().text()
    }

    /// The value of a line, by all that stands before it.
    fn metric(&mut self, name: &str) -> Option<f64> {
        let text = self.metrics();
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        let mut found = lines.filter(|(what, _)| *what == name);
        found.next().map(|(_, value)| value.parse().unwrap())
    }
}

/// The text without what is another at each run.
fn steady(text: &str) -> String {
    let line = |line: &str| match line.rsplit_once(' ') {
        Some((what, _))
            if what.starts_with("wvs_start_time")
                || what.contains("_timestamp_")
                || what.contains("_duration_") =>
        {
            format!("{what} …\n")
        }
        _ if line.starts_with("wvs_build_info") => line.replace(env!("CARGO_PKG_VERSION"), "VERSION") + "\n",
        _ => format!("{line}\n"),
    };
    let steady = |it: &str| {
        if it.starts_with('#') {
            format!("{it}\n")
        } else {
            line(it)
        }
    };
    text.lines().map(steady).collect()
}

fn traffic(connections: u64) -> BackendTraffic {
    let of = |factor| Traffic {
        packets: connections * factor,
        bytes: connections * factor * 100,
    };
    BackendTraffic {
        connections,
        chosen: 0,
        sent: of(5),
        received: of(7),
    }
}

/// A service whose scheduler is `mine`, as it is told.
fn faulty(fault: &str) -> String {
    format!(
        "\n[[service]]\nname = \"{fault}\"\nlisten = [\"tcp://10.0.0.9:80\"]\n\
         scheduler = {{ plugin = \"mine\", params = {{ fault = \"{fault}\", call = \"fill\" }} }}\n\
         backend = [{{ address = \"10.1.0.13:80\" }}]\n"
    )
}

#[test]
fn a_scrape_tells_all_there_is() {
    let mut stage = Stage::new(TURNS);
    let direct = DIRECT
        .replace("name = \"web\"", "name = \"direct\"")
        .replace("0.100:80", "0.101:80");
    let text = stage.text("mine") + &faulty("trap") + &direct;
    let bench = &mut stage.bench;
    bench.apply(&text).unwrap();
    let drain = Edit::Drain {
        service: "web".into(),
        backend: "10.1.0.11:80".parse().unwrap(),
        drain: true,
    };
    bench.engine.edit(&drain).unwrap();
    let id = |service: &str, backend: &str| bench.engine.ids.get(service, backend.parse().unwrap()).unwrap();
    let (one, two) = (id("web", "10.1.0.11:80"), id("web", "10.1.0.12:80"));
    bench.kernel.lock().unwrap().traffic = [(one, traffic(3)), (two, traffic(4))].into();
    let load = Load {
        active: 2,
        inactive: 1,
    };
    *bench.conntrack.0.lock().unwrap() = [(two, load)].into();
    insta::assert_snapshot!(steady(&bench.metrics()));
}

#[test]
fn failures_are_counted_by_kind_and_the_api_has_their_sum() {
    let faults = [
        ("trap", "trap"),
        ("deep", "trap"),
        ("loop", "deadline"),
        ("memory", "memory"),
        ("wrong-id", "contract"),
    ];
    for (fault, kind) in faults {
        let mut stage = Stage::new(TURNS);
        let text = stage.text("mine") + &faulty(fault);
        stage.bench.apply(&text).unwrap();
        let text = stage.bench.metrics();
        let of = format!(
            "wvs_scheduler_failures_total{{service=\"{fault}\",family=\"v4\",plugin=\"mine\",kind=\""
        );
        let counted: BTreeMap<_, _> = text
            .lines()
            .filter_map(|line| line.strip_prefix(&*of)?.split_once("\"} "))
            .map(|(kind, count)| (kind, count.parse::<u64>().unwrap()))
            .collect();
        // Tried again at once, and then later.
        assert_eq!((counted.len(), counted[kind]), (6, 2), "{fault}: {counted:?}");
        let status = stage.bench.engine.status();
        let view = status.schedulers.iter().find(|it| it.service == fault).unwrap();
        assert_eq!(view.failures, counted.values().sum::<u64>());
        let fallback = format!("wvs_scheduler_fallback{{service=\"{fault}\",family=\"v4\",plugin=\"mine\"}}");
        assert_eq!(stage.bench.metric(&fallback), Some(1.0));
    }
}

#[test]
fn an_exchanged_plugin_goes_on_counting() {
    let mut stage = Stage::new(TURNS);
    let text = stage.text("mine").replace(
        "scheduler = \"mine\"",
        "scheduler = { plugin = \"mine\", params = { fault = \"trap\", after = \"7\" } }",
    );
    stage.bench.apply(&text).unwrap();
    // The eighth table is for a weight of 8.
    for weight in 2..=8 {
        stage.bench.engine.edit(&set_weight(11, weight)).unwrap();
    }
    let labels = "service=\"web\",family=\"v4\",plugin=\"mine\"";
    let failures = format!("wvs_scheduler_failures_total{{{labels},kind=\"trap\"}}");
    let calls = format!("wvs_scheduler_calls_total{{{labels}}}");
    let refused = format!("wvs_scheduler_version_refused{{{labels}}}");
    let before = (stage.bench.metric(&failures), stage.bench.metric(&calls));
    assert_eq!((before.0, stage.bench.metric(&refused)), (Some(1.0), Some(0.0)));
    stage.write("mine", "not a plugin");
    stage.until("the refusal", |stage| {
        let view = stage.bench.engine.pools.first_key_value().unwrap();
        view.1.view(view.0).refused.is_some()
    });
    assert_eq!(stage.bench.metric(&refused), Some(1.0));
    stage.write("mine", &first());
    stage.until("the new version", |stage| stage.slots() == [1, 1, 1, 1]);
    assert_eq!((stage.bench.metric(&failures), stage.bench.metric(&calls)), before);
    assert_eq!(stage.bench.metric(&refused), Some(0.0));
}

#[test]
fn a_services_counters_do_not_fall_with_its_backends() {
    let mut bench = Bench::new();
    let counters = [(BackendId(1), traffic(30)), (BackendId(2), traffic(12))];
    bench.kernel.lock().unwrap().traffic = counters.into();
    let (web, packets) = (
        "wvs_service_connections_total{service=\"web\"}",
        "wvs_service_packets_total{service=\"web\",direction=\"received\"}",
    );
    assert_eq!((bench.metric(web), bench.metric(packets)), (Some(42.0), Some(294.0)));
    let gone = WEB.replace("{ address = \"10.1.0.11:80\" }, ", "");
    bench.apply(&gone).unwrap();
    bench.kernel.lock().unwrap().traffic.remove(&BackendId(1));
    assert_eq!((bench.metric(web), bench.metric(packets)), (Some(42.0), Some(294.0)));
    bench.apply(WEB).unwrap();
    bench
        .kernel
        .lock()
        .unwrap()
        .traffic
        .insert(BackendId(1), traffic(1));
    assert_eq!((bench.metric(web), bench.metric(packets)), (Some(43.0), Some(301.0)));
    // What its ids counted stays its own when others are handed them.
    let narrow = "[director]\nct_mark_mask = \"0xff000000\"\n";
    for net in 1..=3 {
        let backends = (1..=120).map(|n| format!("{{ address = \"10.2.{net}.{n}\" }},"));
        let backends: String = backends.collect();
        let many = format!(
            "\n[[service]]\nname = \"a\"\nlisten = [\"tcp://10.0.0.9:80\"]\nbackend = [{backends}]\n"
        );
        bench.apply(&format!("{narrow}{gone}{many}")).unwrap();
    }
    assert_ne!(bench.engine.ids.whose(BackendId(1)).unwrap().0, "web");
    bench
        .kernel
        .lock()
        .unwrap()
        .traffic
        .insert(BackendId(1), traffic(5));
    assert_eq!(bench.metric(web), Some(43.0));
}

#[test]
fn the_last_reload_is_told_and_questions_are_none() {
    let mut bench = Bench::new();
    let last = "wvs_config_last_reload_successful";
    assert_eq!(bench.metric(last), Some(1.0));
    bench.engine.apply_text("faulty", "wvs.toml", true).unwrap_err();
    assert_eq!(bench.metric(last), Some(1.0));
    bench.apply("faulty").unwrap_err();
    assert_eq!(bench.metric(last), Some(0.0));
    assert!(bench.metric("wvs_config_last_reload_success_timestamp_seconds") > Some(1.7e9));
    bench.apply(WEB).unwrap();
    assert_eq!(bench.metric(last), Some(1.0));
}

#[test]
fn an_address_that_cannot_be_had_refuses_the_whole_change() {
    let mut bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = |address: SocketAddr| format!("[director]\nmetrics = \"{address}\"\n");
    let other = WEB.replace("12:80", "13:80");
    let before = bench.engine.desired.clone();
    for dry_run in [true, false] {
        let text = at(taken.local_addr().unwrap()) + &other;
        let error = bench.engine.apply_text(&text, "wvs.toml", dry_run).unwrap_err();
        assert!(matches!(error, ApplyError::Metrics(_)), "{error}");
        let said = crate::chain(&error);
        assert!(said.contains("director.metrics") && said.contains("choose another port"), "{said}");
    }
    assert_eq!((bench.commits(), &bench.engine.desired), (1, &before));
    assert_eq!(bench.engine.config.director.metrics, None);
    // What fails for another reason leaves nobody listening.
    let free = taken.local_addr().unwrap();
    drop(taken);
    bench.kernel.lock().unwrap().refuse = true;
    bench.apply(&(at(free) + &other)).unwrap_err();
    drop(TcpListener::bind(free).unwrap());
    bench.kernel.lock().unwrap().refuse = false;
    // Schedulers do not notice where metrics are told.
    let calls = |bench: &Bench| {
        bench
            .engine
            .pools
            .first_key_value()
            .unwrap()
            .1
            .scheduler
            .status()
            .calls
    };
    let before = calls(&bench);
    bench.apply(&(at(free) + WEB)).unwrap();
    assert_eq!(calls(&bench), before);
    assert!(TcpListener::bind(free).is_err());
    bench.apply(WEB).unwrap();
    drop(TcpListener::bind(free).unwrap());
}

#[test]
fn labels_hold_whatever_is_in_a_path() {
    let mut stage = Stage::new(TURNS);
    stage.write("o\"d\\d", TURNS);
    let text = stage.text("mine").replace("\"mine\"", "'o\"d\\d'");
    stage.bench.apply(&text).unwrap();
    let calls = r#"wvs_scheduler_calls_total{service="web",family="v4",plugin="o\"d\\d"}"#;
    assert_eq!(stage.bench.metric(calls), Some(1.0));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn names_are_as_prometheus_wants_them() {
    let names: Vec<_> = names().collect();
    let all: BTreeSet<_> = names.iter().map(|(name, _)| name).collect();
    assert_eq!(all.len(), names.len());
    for (name, is_counter) in &names {
        assert!(
            name.starts_with("wvs_") && name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_'),
            "{name}"
        );
        assert_eq!(name.ends_with("_total"), *is_counter, "{name}");
    }
}

#[test]
fn the_book_has_every_metric() {
    let path = root().join("docs/book/src/metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- metrics: begin -->\n", "<!-- metrics: end -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (table, after) = rest.split_once(end).unwrap();
    if table != reference() && std::env::var_os("UPDATE_METRICS_TABLE").is_some() {
        std::fs::write(&path, format!("{before}{begin}{}{end}{after}", reference())).unwrap();
        return;
    }
    assert_eq!(table, reference(), "run this test with UPDATE_METRICS_TABLE=1");
}

/// No alert and no panel asks for a metric that there is not.
#[test]
fn alerts_and_panels_are_about_metrics_that_there_are() {
    let names: BTreeSet<_> = names().map(|(name, _)| name).collect();
    let page = root().join("docs/book/src/metrics.md");
    let panels = root().join("contrib/grafana/wvs.json");
    for (path, least) in [
        (root().join("contrib/prometheus/rules.yml"), 8),
        (panels, 12),
        (page, 30),
    ] {
        // A histogram's name is that of its buckets without the last part.
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace("_seconds_bucket", "_seconds");
        let words = text.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
        let asked: BTreeSet<_> = words
            .filter(|it| it.starts_with("wvs_"))
            .map(str::to_owned)
            .collect();
        assert!(asked.len() >= least, "{}", path.display());
        assert_eq!(asked.difference(&names).collect::<Vec<_>>(), Vec::<&String>::new(), "{}", path.display());
    }
}
