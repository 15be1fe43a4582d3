//! What engine tests have instead of a kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wvs_tc_bpf::layout::{BackendStats, Event};
use wvs_tc_bpf::{AttachError, Counts, PersistentEntry, Questions, Sweep, Timeouts};

use crate::kernel::queue::{Queue, QueueError, Queues, Verdict, Waiting};
use crate::kernel::tc::{Adopted, Answer, Inventory, Report, Tc, TcError, TcFlow, TcSettings};
use crate::kernel::{AddressError, Addresses, Conntrack, ConntrackError, Flow, MarkMask, Routes};
use crate::ruleset::{Family, Protocol};
use crate::scheduler::{BackendId, Load};
use crate::tc::{Route, Step, TcState};

/// Connections as a test wants them: how many each backend has, and what is listed.
#[derive(Clone, Default)]
pub struct FakeConntrack(pub Arc<Mutex<BTreeMap<BackendId, Load>>>, pub Arc<Mutex<Vec<Flow>>>);

impl Conntrack for FakeConntrack {
    fn loads(&mut self, _: MarkMask) -> Result<BTreeMap<BackendId, Load>, ConntrackError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn flow(
        &mut self,
        _: MarkMask,
        protocol: Protocol,
        client: SocketAddr,
        target: SocketAddr,
    ) -> Result<Option<Flow>, ConntrackError> {
        let flows = self.1.lock().unwrap();
        let is_it = |flow: &&Flow| (flow.protocol, flow.client, flow.target) == (protocol, client, target);
        Ok(flows.iter().find(is_it).cloned())
    }

    fn flows(&mut self, _: MarkMask, _: usize) -> Result<(Vec<Flow>, usize), ConntrackError> {
        let flows = self.1.lock().unwrap().clone();
        let total = flows.len();
        Ok((flows, total))
    }

    fn cut(&mut self, _: MarkMask, backends: &[BackendId]) -> Result<usize, ConntrackError> {
        let mut loads = self.0.lock().unwrap();
        Ok(backends
            .iter()
            .filter_map(|id| loads.remove(id))
            .map(|load| load.active as usize)
            .sum())
    }
}

/// Addresses as a test wants them. Interface `eth9` does not exist, `eth8` takes no address.
#[derive(Clone, Default)]
pub struct FakeAddresses(pub Arc<Mutex<BTreeMap<IpAddr, String>>>);

fn refused(address: IpAddr, interface: &str) -> AddressError {
    let source = std::io::ErrorKind::NotFound.into();
    AddressError {
        action: "bring up",
        address,
        interface: interface.into(),
        hint: String::new(),
        source,
    }
}

impl Addresses for FakeAddresses {
    fn ensure(&mut self, address: IpAddr, interface: &str) -> Result<bool, AddressError> {
        match interface {
            "eth8" => Err(refused(address, interface)),
            _ => Ok(self.0.lock().unwrap().insert(address, interface.into()).is_none()),
        }
    }

    fn remove(&mut self, address: IpAddr, _: &str) -> Result<bool, AddressError> {
        Ok(self.0.lock().unwrap().remove(&address).is_some())
    }

    fn interface(&mut self, address: IpAddr, interface: &str) -> Result<(), AddressError> {
        if interface == "eth9" {
            Err(refused(address, interface))
        } else {
            Ok(())
        }
    }

    fn unreachable(&mut self, _: IpAddr) -> Option<String> {
        None
    }

    fn routes(&mut self, hosts: &BTreeSet<IpAddr>) -> std::io::Result<Routes> {
        // Whoever has 66 in the last place is behind a router.
        let route = |host: &IpAddr| Route {
            local: false,
            interface: "eth0".into(),
            ifindex: 2,
            mtu: 1500,
            hardware: Some([2; 6]),
            gateway: host
                .to_string()
                .ends_with(".66")
                .then_some(IpAddr::from([10, 0, 0, 254])),
            source: Some([10, 0, 0, 1].into()),
            neighbour: Some([4; 6]),
            fresh: true,
        };
        Ok(hosts.iter().map(|host| (*host, Ok(route(host)))).collect())
    }

    fn make_sure(&mut self, _: u32, _: IpAddr) -> std::io::Result<()> {
        Ok(())
    }

    fn interface_names(&mut self) -> std::io::Result<BTreeSet<String>> {
        Ok(["lo", "eth0", "eth1", "eth7"].map(str::to_owned).into())
    }

    fn holders(&mut self, _: &BTreeSet<IpAddr>) -> std::io::Result<BTreeMap<IpAddr, BTreeSet<String>>> {
        Ok(BTreeMap::new())
    }

    fn forwards(&mut self, _: Family) -> bool {
        true
    }
}

/// A tc program as a test wants it: it holds what it is given. Attaching to `eth7` fails.
#[derive(Clone, Default)]
pub struct FakeTc(pub Arc<Mutex<FakeProgram>>);

#[derive(Default)]
pub struct FakeProgram {
    pub loaded: bool,
    pub unreported: u64,
    pub holds: TcState,
    pub connections: BTreeMap<BackendId, u32>,
    /// What it says of every packet.
    pub answer: Option<Answer>,
    pub flows: Vec<TcFlow>,
    pub kept: Vec<(PersistentEntry, Duration)>,
    pub position: u64,
    /// One in how many packets it reports, and what it has to report.
    pub sampling: u32,
    pub reports: Vec<Report>,
}

impl Tc for FakeTc {
    fn exists(&mut self, _: &TcSettings) -> bool {
        !self.0.lock().unwrap().holds.is_empty()
    }

    fn open(&mut self, _: &TcSettings) -> Result<Option<TcState>, TcError> {
        let mut program = self.0.lock().unwrap();
        let first = !std::mem::replace(&mut program.loaded, true);
        Ok(first.then(|| TcState {
            listeners: program.holds.listeners.clone(),
            backends: program.holds.backends.clone(),
            ..TcState::default()
        }))
    }

    fn make(&mut self, steps: &[Step], installed: &mut TcState) -> Result<(), TcError> {
        for step in steps {
            if *step == Step::Attach("eth7".into()) {
                let interface = "eth7".into();
                return Err(AttachError::NotEthernet { interface }.into());
            }
            installed.follow(step);
            self.0.lock().unwrap().holds.follow(step);
        }
        Ok(())
    }

    fn adopt(&mut self, _: &[Adopted]) -> Result<(), TcError> {
        Ok(())
    }

    fn attachments(&mut self) -> Result<Vec<String>, TcError> {
        Ok(self.0.lock().unwrap().holds.interfaces.iter().cloned().collect())
    }

    fn detach(&mut self, interface: &str) -> Result<(), TcError> {
        self.0.lock().unwrap().holds.interfaces.remove(interface);
        Ok(())
    }

    fn forget(&mut self, id: BackendId) -> Result<usize, TcError> {
        let mut program = self.0.lock().unwrap();
        program.holds.backends.remove(&id);
        Ok(program.connections.remove(&id).unwrap_or(0) as usize)
    }

    fn forget_clients(&mut self, _: BackendId) -> Result<usize, TcError> {
        Ok(0)
    }

    fn persistent(&mut self) -> Result<Vec<(PersistentEntry, Duration)>, TcError> {
        Ok(self.0.lock().unwrap().kept.clone())
    }

    fn renew_filter(&mut self) -> Result<(), TcError> {
        Ok(())
    }

    fn sweep(&mut self, _: &BTreeMap<u16, Timeouts>) -> Result<Sweep, TcError> {
        let mut sweep = Sweep::default();
        for (id, &active) in &self.0.lock().unwrap().connections {
            let counts = Counts { active, inactive: 0 };
            sweep.counts.insert((id.0, 0), counts);
        }
        Ok(sweep)
    }

    fn flows(&mut self) -> Result<Vec<TcFlow>, TcError> {
        Ok(self.0.lock().unwrap().flows.clone())
    }

    fn traffic(&mut self, _: &[BackendId]) -> Result<BTreeMap<BackendId, BackendStats>, TcError> {
        Ok(BTreeMap::new())
    }

    fn events(&mut self) -> Result<BTreeMap<Event, u64>, TcError> {
        Ok([(Event::Unreported, self.0.lock().unwrap().unreported)].into())
    }

    fn position(&mut self, _: u32) -> Result<u64, TcError> {
        Ok(self.0.lock().unwrap().position)
    }

    fn explain(&mut self, _: &[u8], _: u32) -> Result<Answer, TcError> {
        Ok(self.0.lock().unwrap().answer.unwrap_or(Answer::NotOurs))
    }

    fn refused(&mut self, services: &[u32]) -> Result<BTreeMap<u32, u64>, TcError> {
        Ok(services.iter().map(|service| (*service, 3)).collect())
    }

    fn sample(&mut self, every: u32) -> Result<(), TcError> {
        self.0.lock().unwrap().sampling = every;
        Ok(())
    }

    fn reports(&mut self, most: usize) -> Result<Vec<Report>, TcError> {
        let reports = &mut self.0.lock().unwrap().reports;
        let most = most.min(reports.len());
        Ok(reports.drain(..most).collect())
    }

    fn inventory(&mut self) -> Result<Option<Inventory>, TcError> {
        let program = self.0.lock().unwrap();
        let inventory = || Inventory {
            holds: program.holds.clone(),
            positions: program.holds.services.keys().map(|it| (*it, 42)).collect(),
            ..Inventory::default()
        };
        Ok(program.loaded.then(inventory))
    }

    fn questions(&mut self, _: Duration) -> Result<Option<Questions>, TcError> {
        Ok(None)
    }

    fn teardown(&mut self, _: &TcSettings) -> Result<bool, TcError> {
        *self.0.lock().unwrap() = FakeProgram::default();
        Ok(true)
    }
}

/// A queue as a test wants it: what waits in it, and what was decided. Somebody else may have it.
#[derive(Clone, Default)]
pub struct FakeQueues(pub Arc<Mutex<FakeQueue>>);

#[derive(Default)]
pub struct FakeQueue {
    pub taken: bool,
    pub waiting: Vec<Waiting>,
    pub decided: Vec<(u32, Verdict)>,
}

impl Queues for FakeQueues {
    fn take(&mut self, number: u16) -> Result<Box<dyn Queue>, QueueError> {
        let owner = "another program".to_owned();
        match self.0.lock().unwrap().taken {
            true => Err(QueueError::Taken { number, owner }),
            false => Ok(Box::new(self.clone())),
        }
    }
}

impl Queue for FakeQueues {
    fn wait(&mut self) -> Result<Vec<Waiting>, QueueError> {
        let waiting = std::mem::take(&mut self.0.lock().unwrap().waiting);
        if waiting.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(waiting)
    }

    fn decide(&mut self, verdicts: &[(u32, Verdict)]) -> Result<(), QueueError> {
        self.0.lock().unwrap().decided.extend(verdicts);
        Ok(())
    }

    fn close(&mut self) -> Result<(), QueueError> {
        Ok(())
    }
}
