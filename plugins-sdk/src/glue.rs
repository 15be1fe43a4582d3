//! Between the generated bindings and a [`Scheduler`]: the one instance of the plugin.

use crate::bindings::{self, Description, ParamKind as WireKind, ParamSpec, Range};
use crate::{Backend, CountingScheduler, Dispatch, ParamKind, Params, Scheduler};

/// Where a plugin keeps its scheduler. `__slot!` implements it.
pub trait Slot {
    type Scheduler: Scheduler;
    fn with<R>(f: impl FnOnce(&mut Option<Self::Scheduler>) -> R) -> R;
}

#[doc(hidden)]
#[macro_export]
macro_rules! __slot {
    ($scheduler:ty) => {
        // Natively nothing calls it.
        #[allow(dead_code)]
        struct __WvsPlugin;

        impl $crate::glue::Slot for __WvsPlugin {
            type Scheduler = $scheduler;

            fn with<R>(f: impl FnOnce(&mut Option<$scheduler>) -> R) -> R {
                ::std::thread_local! {
                    static SCHEDULER: ::std::cell::RefCell<Option<$scheduler>> =
                        const { ::std::cell::RefCell::new(None) };
                }
                SCHEDULER.with(|slot| f(&mut slot.borrow_mut()))
            }
        }
    };
}

const NOT_CONFIGURED: &str = "called before configure";

fn describe<S: Scheduler>() -> Description {
    let about = S::ABOUT;
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
    let (scheduler, dispatch) = T::Scheduler::configure(&Params::new(params))?;
    T::with(|slot| *slot = Some(scheduler));
    Ok(dispatch)
}

fn with_scheduler<T: Slot, R>(f: impl FnOnce(&mut T::Scheduler) -> Result<R, String>) -> Result<R, String> {
    T::with(|slot| match slot {
        Some(scheduler) => f(scheduler),
        None => Err(NOT_CONFIGURED.into()),
    })
}

impl<T: Slot> bindings::table::exports::wvs::scheduler::policy::Guest for T {
    fn describe() -> Description {
        describe::<T::Scheduler>()
    }

    fn configure(params: Vec<bindings::Param>) -> Result<Dispatch, String> {
        configure::<T>(params)
    }

    fn update(backends: Vec<Backend>) -> Result<(), String> {
        with_scheduler::<T, _>(|scheduler| scheduler.update(&backends))
    }
}

impl<T: Slot> bindings::table::exports::wvs::scheduler::table::Guest for T {
    fn fill(slots: u32) -> Result<Vec<u32>, String> {
        with_scheduler::<T, _>(|scheduler| scheduler.fill(slots))
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
