//! One attempt, in a process of its own, so that what succeeds does not help the next.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use libc::{c_int, c_long};

/// An attempt's name and what it does: nothing if it was let through, or why it was not.
pub(crate) type Attempt = (&'static str, fn() -> Result<(), c_int>);

/// Not an error number of Linux, which end at 133: a file opens and is empty.
pub(crate) const EMPTY: c_int = 200;
/// Not one either: nobody answered in time.
pub(crate) const NO_ANSWER: c_int = 201;
/// Nor this: the attempt could not be made.
const NOT_MADE: c_int = 202;
/// How long an attempt may take, in seconds.
const PATIENCE: u32 = 10;

/// Makes an attempt in a child process and returns how it went, in a word.
pub(crate) fn isolated(attempt: fn() -> Result<(), c_int>) -> String {
    // SAFETY: this process has a single thread, so its child may do anything.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: neither touches memory. The alarm ends an attempt that hangs.
        unsafe {
            libc::alarm(PATIENCE);
            libc::_exit(attempt().err().unwrap_or(0));
        }
    }
    let mut status = 0;
    // SAFETY: `status` is a place for an integer.
    if child < 0 || unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
        return name(NOT_MADE);
    }
    if libc::WIFSIGNALED(status) {
        return match libc::WTERMSIG(status) {
            libc::SIGSYS => "SIGSYS".to_owned(),
            libc::SIGSEGV => "SIGSEGV".to_owned(),
            libc::SIGALRM => name(NO_ANSWER),
            signal => format!("signal {signal}"),
        };
    }
    name(libc::WEXITSTATUS(status))
}

/// Makes a system call. Arguments that it does not have are 0.
pub(crate) fn call<const N: usize>(number: c_long, given: [c_long; N]) -> Result<c_long, c_int> {
    let mut args = [0; 6];
    args[..N].copy_from_slice(&given);
    let [a, b, c, d, e, f] = args;
    // SAFETY: callers pass numbers, null, and addresses of memory that outlives the call and is as
    // large as the call wants.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result >= 0 {
        Ok(result)
    } else {
        Err(std::io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(NOT_MADE))
    }
}

/// Makes a system call whose result is of no interest.
pub(crate) fn try_call<const N: usize>(number: c_long, args: [c_long; N]) -> Result<(), c_int> {
    call(number, args).map(|_| ())
}

/// Returns the address of something, as an argument.
pub(crate) fn address<T: ?Sized>(thing: &T) -> c_long {
    std::ptr::from_ref(thing).cast::<u8>() as c_long
}

/// Opens a file for writing and writes nothing.
pub(crate) fn open_to_write(path: &str) -> Result<(), c_int> {
    let options = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    options.map(|_| ()).map_err(|error| number(&error))
}

/// Reads a byte of a file.
pub(crate) fn read(path: &str) -> Result<(), c_int> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    let mut file = options.open(path).map_err(|error| number(&error))?;
    match file.read(&mut [0]) {
        Ok(0) => Err(EMPTY),
        Ok(_) => Ok(()),
        Err(error) => Err(number(&error)),
    }
}

/// Returns the number of an error.
pub(crate) fn number(error: &std::io::Error) -> c_int {
    error.raw_os_error().unwrap_or(NOT_MADE)
}

fn name(outcome: c_int) -> String {
    let name = match outcome {
        0 => "allowed",
        EMPTY => "empty",
        NO_ANSWER => "no answer",
        NOT_MADE => "not made",
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::ESRCH => "ESRCH",
        libc::EIO => "EIO",
        libc::ENXIO => "ENXIO",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::ENODEV => "ENODEV",
        libc::ENOTDIR => "ENOTDIR",
        libc::EINVAL => "EINVAL",
        libc::EROFS => "EROFS",
        libc::ENOSYS => "ENOSYS",
        libc::ENOEXEC => "ENOEXEC",
        libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::EADDRNOTAVAIL => "EADDRNOTAVAIL",
        libc::ENETUNREACH => "ENETUNREACH",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::EHOSTUNREACH => "EHOSTUNREACH",
        other => return format!("error {other}"),
    };
    name.to_owned()
}
