//! Packets that the tc program reports, as events.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wvs_tc_bpf::layout::Event;

use super::engine::Engine;
use crate::api::{Happening, Sample};
use crate::kernel::tc::{Report, TcError, What};
use crate::scheduler::BackendId;

/// The pause between two looks at what was reported.
const LOOK: Duration = Duration::from_millis(50);
/// How many reports are taken in at a look. The program's ring holds a few thousand.
const MOST: usize = 2000;

fn unreported(events: &BTreeMap<Event, u64>) -> u64 {
    events.get(&Event::Unreported).copied().unwrap_or_default()
}

impl Engine {
    /// Has the program report packets while somebody listens, and tells what it reported. Says when to look again.
    pub fn take_samples(&mut self, now: Instant) -> Option<Instant> {
        let every = self.events.sampling().unwrap_or(0);
        if every != self.tc.sampling {
            match self.doors.tc.sample(every).and_then(|()| self.doors.tc.events()) {
                Ok(events) => {
                    self.tc.sampling = every;
                    self.tc.unreported = unreported(&events);
                }
                Err(error) => self.say_once(Err(error.into())),
            }
        }
        if every == 0 {
            return None;
        }
        if let Err(error) = self.look_at_samples(every) {
            self.say_once(Err(error.into()));
        }
        Some(now + LOOK)
    }

    fn look_at_samples(&mut self, every: u32) -> Result<(), TcError> {
        for report in self.doors.tc.reports(MOST)? {
            self.events.say(self.happening(report, every));
        }
        let now = unreported(&self.doors.tc.events()?);
        let packets = now.saturating_sub(self.tc.unreported);
        self.tc.unreported = now;
        if packets > 0 {
            self.events.say(Happening::Unreported { packets });
        }
        Ok(())
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
        let reason = |event: Event| event.name().to_owned();
        match report.what {
            What::Chosen => Happening::Scheduled(packet),
            What::Event(Event::NoBackend) => Happening::Refused(packet),
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
