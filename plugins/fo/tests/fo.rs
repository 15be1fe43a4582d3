//! Weighted fail-over, natively.
#![allow(clippy::unwrap_used)]

use wvs_plugin::testing::{World, configure};
use wvs_plugin::{Backend, NO_BACKEND, Scheduler};
use wvs_plugin_fo::FailOver;

#[test]
fn before_the_first_update_there_is_nobody() {
    let (mut fo, _) = configure::<FailOver>(&[]).unwrap();
    assert_eq!(fo.fill(2).unwrap(), [NO_BACKEND; 2]);
}

#[test]
fn ten_thousand_services_have_one_backend_at_a_time() {
    for seed in 0..10_000 {
        let mut world = World::new(seed);
        let (mut fo, _) = configure::<FailOver>(&[]).unwrap();
        for _ in 0..6 {
            world.step();
            world.tell(&mut fo);
            // LVS: strictly heavier than the best so far.
            let mut best: Option<&Backend> = None;
            for backend in &world.backends {
                if backend.usable() && best.is_none_or(|best| backend.weight > best.weight) {
                    best = Some(backend);
                }
            }
            let expected = best.map_or(NO_BACKEND, |backend| backend.id);
            assert_eq!(fo.fill(5).unwrap(), [expected; 5], "{world:?}");
        }
    }
}
