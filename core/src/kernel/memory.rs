//! What this process may do with its memory.

use std::io;

/// From linux/prctl.h; Linux 6.3.
const PR_SET_MDWE: libc::c_int = 65;
const PR_MDWE_REFUSE_EXEC_GAIN: libc::c_ulong = 1;

/// Has the kernel refuse, for the rest of this process's life, to make memory executable that is or was writable.
/// Says whether it does: older kernels do not know of it.
///
/// # Errors
/// If the kernel refuses this for another reason.
pub fn deny_writable_code() -> io::Result<bool> {
    let unused: libc::c_ulong = 0;
    // SAFETY: the call takes numbers only, and those behind the first must be 0.
    let result = unsafe { libc::prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, unused, unused, unused) };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EINVAL) => Ok(false),
        _ => Err(error),
    }
}
