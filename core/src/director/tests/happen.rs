//! What happens is told, and packets are sampled for those who want that.

use std::time::Duration;

use super::{Bench, DIRECT, set_weight, weighted};
use crate::api::Happening;
use crate::kernel::tc::{Report, What};
use crate::ruleset::Family;
use crate::scheduler::{BackendId, Load};

const CLIENT: &str = "192.0.2.7:40001";

#[test]
fn what_happens_is_told() {
    let mut bench = Bench::of(&weighted());
    bench.engine.edit(&set_weight(11, 3)).unwrap();
    {
        let mut kernel = bench.kernel.lock().unwrap();
        kernel.observed.generation += 1;
        kernel.observed.tables.get_mut(&Family::V4).unwrap().damage = Some("a foreign set".into());
    }
    bench.engine.repair().unwrap();
    let limited = weighted().replace("\"10.1.0.11:80\"", "\"10.1.0.11:80\", max_connections = 8");
    bench.apply(&limited).unwrap();
    for active in [8, 1] {
        let load = Load { active, inactive: 0 };
        bench.conntrack.0.lock().unwrap().insert(BackendId(1), load);
        let later = std::time::Instant::now() + Duration::from_secs(60);
        bench.engine.reschedule(later);
    }
    let told: Vec<_> = bench
        .engine
        .events
        .recent()
        .into_iter()
        .map(|it| it.what)
        .collect();
    let service = || "web".to_owned();
    let backend = "10.1.0.11:80".parse().unwrap();
    assert!(
        matches!(
            told[..4],
            [
                Happening::Applied {
                    edit: false,
                    changed: true,
                    ..
                },
                Happening::Applied { edit: true, .. },
                Happening::Repaired { steps: 1.. },
                Happening::Applied { edit: false, .. },
            ]
        ),
        "{told:?}"
    );
    let room = [
        Happening::BackendFull {
            service: service(),
            backend,
        },
        Happening::BackendFree {
            service: service(),
            backend,
        },
    ];
    assert_eq!(told[4..], room);
}

#[test]
fn what_is_not_applied_is_told_but_for_rehearsals() {
    let mut bench = Bench::new();
    let told = |bench: &Bench| bench.engine.events.recent().len();
    let before = told(&bench);
    bench
        .engine
        .apply_text("[[service]]", "wvs.toml", true)
        .unwrap_err();
    assert_eq!(told(&bench), before);
    bench
        .engine
        .apply_text("[[service]]", "wvs.toml", false)
        .unwrap_err();
    bench.engine.reload(false).unwrap_err();
    let told = bench.engine.events.recent().split_off(before);
    let why = |event: &crate::api::Event| match &event.what {
        Happening::NotApplied { why } => why.clone(),
        other => panic!("{other:?}"),
    };
    let told: Vec<_> = told.iter().map(why).collect();
    assert!(told.len() == 2 && told[0].starts_with("error: "), "{told:?}");
    assert!(told[1].starts_with("error: cannot read "), "{told:?}");
}

#[test]
fn packets_are_sampled_while_somebody_wants_them() {
    let mut bench = Bench::new();
    bench.apply(DIRECT).unwrap();
    let id = *bench.program().backends.keys().next().unwrap();
    let report = |what| Report {
        what,
        protocol: "tcp".into(),
        client: CLIENT.parse().unwrap(),
        target: "10.0.0.100:80".parse().unwrap(),
        service: Some(0),
        backend: Some(id.0),
        interface: "eth0".into(),
        mark: 0,
        length: 60,
    };
    let now = std::time::Instant::now();
    assert_eq!(bench.engine.take_samples(now), None);
    let stream = bench.engine.events.follow(Some(7));
    assert!(bench.engine.take_samples(now).is_some());
    assert_eq!(bench.tc.0.lock().unwrap().sampling, 7);
    bench.tc.0.lock().unwrap().reports = vec![
        report(What::Chosen),
        report(What::Event(wvs_tc_bpf::layout::Event::NoBackend)),
        report(What::Event(wvs_tc_bpf::layout::Event::TooBig)),
        report(What::Event(wvs_tc_bpf::layout::Event::Asked)),
    ];
    bench.engine.take_samples(now);
    bench.tc.0.lock().unwrap().unreported = 12;
    bench.engine.take_samples(now);
    bench.engine.take_samples(now);
    bench.engine.events.close();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let told: Vec<crate::api::Event> = runtime.block_on(tokio_stream::StreamExt::collect(stream));
    let samples: Vec<_> = told
        .iter()
        .map(|it| &it.what)
        .filter(|it| it.is_of_samples())
        .collect();
    let [
        Happening::Scheduled(packet),
        Happening::Refused(_),
        dropped,
        noticed,
        unreported,
    ] = samples[..]
    else {
        panic!("{samples:?}")
    };
    assert_eq!((packet.service.as_deref(), packet.one_in), (Some("web"), 7));
    assert_eq!(packet.backend.map(|it| it.to_string()).as_deref(), Some("10.0.0.11"));
    assert!(matches!(dropped, Happening::Dropped { reason, .. } if reason == "too-big"));
    assert!(matches!(noticed, Happening::Noticed { reason, .. } if reason == "asked"));
    assert_eq!(*unreported, Happening::Unreported { packets: 12 });
    // The stream has gone with its reader.
    assert_eq!(bench.engine.take_samples(now), None);
    assert_eq!(bench.tc.0.lock().unwrap().sampling, 0);
}
