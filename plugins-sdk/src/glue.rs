//! Between the generated bindings and a [`Scheduler`]: the one instance of the plugin.

use crate::bindings::{self, Description, ParamKind as WireKind, ParamSpec, Range};
use crate::{
    About, Backend, CountingScheduler, Dispatch, Flow, FlowScheduler, LatencyScheduler, ParamKind, Params,
    Scheduler, TimedScheduler,
};

/// Where a plugin keeps its scheduler, and what every scheduler does. `__slot!` implements it.
pub trait Slot {
    type Scheduler: 'static;
    const ABOUT: About;
    fn with<R>(f: impl FnOnce(&mut Option<Self::Scheduler>) -> R) -> R;
    fn configure(params: &Params) -> Result<(Self::Scheduler, Dispatch), String>;
    fn update(scheduler: &mut Self::Scheduler, backends: &[Backend]) -> Result<(), String>;
}

/// What [`FlowScheduler::configure`] answers to the director.
pub fn per_flow<S: FlowScheduler>(params: &Params) -> Result<(S, Dispatch), String> {
    S::configure(params).map(|scheduler| (scheduler, Dispatch::PerFlow))
}

#[doc(hidden)]
#[macro_export]
macro_rules! __slot {
    ($scheduler:ty, $trait:ident, $configure:expr) => {
        // Natively nothing calls it.
        #[allow(dead_code)]
        struct __WvsPlugin;

        impl $crate::glue::Slot for __WvsPlugin {
            type Scheduler = $scheduler;

            const ABOUT: $crate::About = <$scheduler as $crate::$trait>::ABOUT;

            fn with<R>(f: impl FnOnce(&mut Option<$scheduler>) -> R) -> R {
                ::std::thread_local! {
                    static SCHEDULER: ::std::cell::RefCell<Option<$scheduler>> =
                        const { ::std::cell::RefCell::new(None) };
                }
                SCHEDULER.with(|slot| f(&mut slot.borrow_mut()))
            }

            fn configure(params: &$crate::Params) -> Result<($scheduler, $crate::Dispatch), String> {
                $configure(params)
            }

            fn update(scheduler: &mut $scheduler, backends: &[$crate::Backend]) -> Result<(), String> {
                $crate::$trait::update(scheduler, backends)
            }
        }

        #[cfg(target_arch = "wasm32")]
        $crate::bindings::policy::export_policy!(__WvsPlugin with_types_in $crate::bindings::policy);
    };
}

const NOT_CONFIGURED: &str = "called before configure";

fn describe(about: &About) -> Description {
    Description {
        name: about.name.into(),
        version: about.version.into(),
        summary: about.summary.into(),
        params: about
            .params
            .iter()
            .map(|param| ParamSpec {
                key: param.key.into(),
                kind: match param.kind {
                    ParamKind::Text => WireKind::Text,
                    ParamKind::Boolean => WireKind::Boolean,
                    ParamKind::Integer { min, max } => WireKind::Integer(Range { min, max }),
                    ParamKind::Choice(words) => {
                        WireKind::Choice(words.iter().map(|&word| word.into()).collect())
                    }
                },
                default: param.default.into(),
                help: param.help.into(),
            })
            .collect(),
    }
}

fn configure<T: Slot>(params: Vec<bindings::Param>) -> Result<Dispatch, String> {
    crate::host::log_panics();
    let (scheduler, dispatch) = T::configure(&Params::new(params))?;
    T::with(|slot| *slot = Some(scheduler));
    Ok(dispatch)
}

fn with_scheduler<T: Slot, R>(f: impl FnOnce(&mut T::Scheduler) -> Result<R, String>) -> Result<R, String> {
    T::with(|slot| match slot {
        Some(scheduler) => f(scheduler),
        None => Err(NOT_CONFIGURED.into()),
    })
}

impl<T: Slot> bindings::policy::exports::wvs::scheduler::policy::Guest for T {
    fn describe() -> Description {
        describe(&T::ABOUT)
    }

    fn configure(params: Vec<bindings::Param>) -> Result<Dispatch, String> {
        configure::<T>(params)
    }

    fn update(backends: Vec<Backend>) -> Result<(), String> {
        with_scheduler::<T, _>(|scheduler| T::update(scheduler, &backends))
    }
}

impl<T: Slot> bindings::table::exports::wvs::scheduler::table::Guest for T
where
    T::Scheduler: Scheduler,
{
    fn fill(slots: u32) -> Result<Vec<u32>, String> {
        with_scheduler::<T, _>(|scheduler| scheduler.fill(slots))
    }
}

impl<T: Slot> bindings::flows::exports::wvs::scheduler::flows::Guest for T
where
    T::Scheduler: FlowScheduler,
{
    fn pick(flow: Flow) -> Option<u32> {
        T::with(|slot| slot.as_mut()?.pick(&flow))
    }
}

impl<T: Slot> bindings::load::exports::wvs::scheduler::load::Guest for T
where
    T::Scheduler: CountingScheduler,
{
    fn observe(active: Vec<u32>, inactive: Vec<u32>) {
        T::with(|slot| {
            if let Some(scheduler) = slot {
                scheduler.observe(&active, &inactive);
            }
        });
    }
}

impl<T: Slot> bindings::timer::exports::wvs::scheduler::timer::Guest for T
where
    T::Scheduler: TimedScheduler,
{
    fn due() -> u32 {
        T::with(|slot| slot.as_ref().map_or(0, TimedScheduler::due))
    }
}

impl<T: Slot> bindings::latency::exports::wvs::scheduler::latency::Guest for T
where
    T::Scheduler: LatencyScheduler,
{
    fn interval() -> u32 {
        T::with(|slot| slot.as_ref().map_or(0, LatencyScheduler::interval))
    }

    fn observe_latency(micros: Vec<u32>) {
        T::with(|slot| {
            if let Some(scheduler) = slot {
                scheduler.observe_latency(&micros);
            }
        });
    }
}
