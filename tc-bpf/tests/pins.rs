//! What stays in the kernel between one director and the next.
#![allow(clippy::unwrap_used)]

mod common;

use common::Sandbox;
use common::packet::{ACK, SYN, TCP, tcp};
use common::serve::{target, two, v4, way_of};
use wvs_tc_bpf::{Forwarder, Maps, Method, Target};

/// What was pinned survives the loader, and what does not fit is refused in words.
#[test]
fn pins_are_reused_or_refused() {
    let sandbox = Sandbox::enter();
    let forwarder = sandbox.load();
    two(forwarder.maps());
    assert_eq!(way_of(&forwarder, &v4(TCP), &tcp(1, 80, SYN, b"")), 9);
    drop(forwarder);
    let forwarder = sandbox.load();
    assert_eq!(way_of(&forwarder, &v4(TCP), &tcp(1, 80, ACK, b"")), 9);
    assert_eq!(Maps::open(&sandbox.pins()).unwrap().listeners().unwrap().len(), 4);
    drop(forwarder);

    let larger = wvs_tc_bpf::Sizes {
        flows4: 1 << 17,
        ..common::small()
    };
    let error = Forwarder::load(&sandbox.pins(), &larger).unwrap_err().to_string();
    assert!(error.contains("flows4 has room for 65536 entries, 131072 are configured"), "{error}");

    std::fs::create_dir(sandbox.pins().join("v0")).unwrap();
    let error = Forwarder::load(&sandbox.pins(), &common::small())
        .unwrap_err()
        .to_string();
    assert!(error.contains("wvs/v0 holds the state of a wvs with another layout"), "{error}");
    std::fs::remove_dir(sandbox.pins().join("v0")).unwrap();

    let plain = tempfile::tempdir().unwrap();
    let error = Forwarder::load(plain.path(), &common::small())
        .unwrap_err()
        .to_string();
    assert!(error.contains("is on no BPF file system: mount -t bpf bpf "), "{error}");

    let mut forwarder = sandbox.load();
    assert!(
        forwarder
            .attach("nowhere")
            .unwrap_err()
            .to_string()
            .contains("no interface nowhere")
    );
    forwarder.attach("lo").unwrap();
    let backend = target(Method::DirectRouting, "10.0.0.9", "");
    let error = forwarder
        .maps()
        .set_backend(300, &backend)
        .unwrap_err()
        .to_string();
    assert!(error.contains("backend 300 is beyond the 256"), "{error}");
    let error = forwarder
        .maps()
        .set_backend(3, &Target { way: None, ..backend })
        .unwrap_err()
        .to_string();
    assert!(error.contains("backend 3 has no way"), "{error}");
    Forwarder::teardown(&sandbox.pins()).unwrap();
    assert!(Forwarder::attachments(&sandbox.pins()).unwrap().is_empty());
    assert!(Maps::open(&sandbox.pins()).is_err());
}
