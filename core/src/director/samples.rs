//! Packets that the tc program reports, as events.

use std::time::{Duration, Instant};

use super::engine::Engine;
use crate::api::{Happening, Sample};
use crate::kernel::tc::{Report, What};
use crate::scheduler::BackendId;

/// The pause between two looks at what was reported.
const LOOK: Duration = Duration::from_millis(50);
/// How many reports are taken in at a look. The program's ring holds a few thousand.
const MOST: usize = 2000;

impl Engine {
    /// Has the program report packets while somebody listens, and tells what it reported. Says when to look again.
    pub fn take_samples(&mut self, now: Instant) -> Option<Instant> {
        let every = self.events.sampling().unwrap_or(0);
        if every != self.tc.sampling {
            match self.doors.tc.sample(every) {
                Ok(()) => self.tc.sampling = every,
                Err(error) => self.say_once(Err(error.into())),
            }
        }
        if every == 0 {
            return None;
        }
        match self.doors.tc.reports(MOST) {
            Ok(reports) => reports
                .into_iter()
                .for_each(|report| self.events.say(self.happening(report, every))),
            Err(error) => self.say_once(Err(error.into())),
        }
        Some(now + LOOK)
    }

    fn happening(&self, report: Report, every: u32) -> Happening {
        let pool = report
            .service
            .and_then(|number| self.tc.numbers.pool(u32::from(number)));
        let backend = report.backend.and_then(|id| self.ids.whose(BackendId(id)));
        let packet = Sample {
            protocol: report.protocol,
            client: report.client,
            target: report.target,
            service: pool.map(|pool| pool.service.clone()),
            backend: backend.map(|(_, address)| address),
            interface: report.interface,
            mark: report.mark,
            length: report.length,
            one_in: every,
        };
        let reason = |event: wvs_tc_bpf::layout::Event| event.name().to_owned();
        match report.what {
            What::Chosen => Happening::Scheduled(packet),
            What::Event(wvs_tc_bpf::layout::Event::NoBackend) => Happening::Refused(packet),
            What::Event(event) if event.is_drop() => Happening::Dropped {
                reason: reason(event),
                packet,
            },
            What::Event(event) => Happening::Noticed {
                reason: reason(event),
                packet,
            },
        }
    }
}
