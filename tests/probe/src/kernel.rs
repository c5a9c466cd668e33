//! The kernel itself: what it runs, what it tells, and its widest doors.

use libc::c_long;

use crate::attempt::{Attempt, address, call, try_call};

/// `UFFD_USER_MODE_ONLY`. Source: `linux/userfaultfd.h`.
const USER_MODE_ONLY: c_long = 1;
/// `KEYCTL_GET_KEYRING_ID` and the session's keyring. Source: `linux/keyctl.h`.
const GET_KEYRING: c_long = 0;
const SESSION_KEYRING: c_long = -3;
/// `BPF_MAP_CREATE`, an array. Source: `linux/bpf.h`.
const CREATE_MAP: c_long = 0;
const ARRAY: u32 = 2;
/// `SYSLOG_ACTION_SIZE_BUFFER`. Source: `syslog(2)`.
const LOG_SIZE: c_long = 10;
/// What `reboot` wants to hear first, and the command to leave the keyboard alone. Source:
/// `linux/reboot.h`.
const REBOOT_MAGIC: [c_long; 2] = [0xfee1_dead, 672_274_793];
const KEYBOARD_OFF: c_long = 0;
/// Set on numbers of the x32 calls. Source: `asm/unistd.h`.
#[cfg(target_arch = "x86_64")]
const X32: c_long = 0x4000_0000;
/// `keyctl` in 32-bit programs of x86.
#[cfg(target_arch = "x86_64")]
const KEYCTL_OF_32_BITS: u64 = 288;
/// `socketcall` in them.
#[cfg(target_arch = "x86_64")]
const SOCKETCALL_OF_32_BITS: u64 = 102;

pub(crate) const ATTEMPTS: &[Attempt] = &[
    ("io_uring", || {
        let parameters = [0_u64; 15];
        try_call(libc::SYS_io_uring_setup, [1, address(&parameters)])
    }),
    ("userfaultfd", || {
        try_call(libc::SYS_userfaultfd, [USER_MODE_ONLY])
    }),
    ("bpf", || {
        // Type, size of a key, size of a value, entries.
        let attributes = [ARRAY, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let size = c_long::try_from(size_of_val(&attributes)).unwrap_or(0);
        try_call(libc::SYS_bpf, [CREATE_MAP, address(&attributes), size])
    }),
    ("perf_event_open", || {
        // A software clock of this process: type 1, size 64, in `struct perf_event_attr`.
        let mut attributes = [0_u32; 16];
        attributes[0] = 1;
        attributes[1] = 64;
        try_call(
            libc::SYS_perf_event_open,
            [address(&attributes), 0, -1, -1, 0],
        )
    }),
    ("keyctl", || {
        try_call(libc::SYS_keyctl, [GET_KEYRING, SESSION_KEYRING, 0])
    }),
    ("add_key", || {
        let (kind, name) = (address(c"user"), address(c"probe"));
        let keyring = SESSION_KEYRING;
        try_call(libc::SYS_add_key, [kind, name, name, 1, keyring])
    }),
    ("request_key", || {
        let (kind, name) = (address(c"user"), address(c"probe"));
        try_call(libc::SYS_request_key, [kind, name, 0, 0])
    }),
    ("load a module", || {
        try_call(
            libc::SYS_init_module,
            [address(&[0_u8; 64]), 64, address(c"")],
        )
    }),
    ("load a module from a file", || {
        try_call(libc::SYS_finit_module, [-1, address(c""), 0])
    }),
    ("remove a module", || {
        try_call(libc::SYS_delete_module, [address(c"no_such_module"), 0])
    }),
    ("kexec_load", || {
        try_call(libc::SYS_kexec_load, [0, 0, 0, 0])
    }),
    ("reboot", || {
        let [first, second] = REBOOT_MAGIC;
        try_call(libc::SYS_reboot, [first, second, KEYBOARD_OFF])
    }),
    ("read the kernel's log", || {
        try_call(libc::SYS_syslog, [LOG_SIZE, 0, 0])
    }),
    ("swapon", || {
        try_call(libc::SYS_swapon, [address(c"/no-such-file"), 0])
    }),
    ("acct", || try_call(libc::SYS_acct, [0])),
    ("quotactl", || {
        try_call(libc::SYS_quotactl, [0, address(c"/dev/vda"), 0, 0])
    }),
    ("sethostname", || {
        try_call(libc::SYS_sethostname, [address(c"probe"), 5])
    }),
    ("setdomainname", || {
        try_call(libc::SYS_setdomainname, [address(c"probe"), 5])
    }),
    ("set the clock", || {
        let now = [0_i64; 2];
        let clock = libc::CLOCK_REALTIME.into();
        call(libc::SYS_clock_gettime, [clock, address(&now)])?;
        try_call(libc::SYS_clock_settime, [clock, address(&now)])
    }),
    ("watch a whole mount", || {
        try_call(libc::SYS_fanotify_init, [0, 0])
    }),
    ("open by handle", || {
        // Size of the handle, its kind, the handle: `struct file_handle`.
        let handle = [8_u32, 1, 2, 0];
        let here = libc::AT_FDCWD.into();
        try_call(libc::SYS_open_by_handle_at, [here, address(&handle), 0])
    }),
    ("say where memory lies", || {
        try_call(libc::SYS_set_mempolicy, [0, 0, 0])
    }),
    ("vhangup", || try_call(libc::SYS_vhangup, [])),
    #[cfg(target_arch = "x86_64")]
    ("io_uring by its x32 number", || {
        try_call(X32 | libc::SYS_io_uring_setup, [1, 0])
    }),
    #[cfg(target_arch = "x86_64")]
    ("io_uring as a program of 32 bits", || {
        interrupt(libc::SYS_io_uring_setup.unsigned_abs())
    }),
    #[cfg(target_arch = "x86_64")]
    ("keyctl as a program of 32 bits", || {
        interrupt(KEYCTL_OF_32_BITS)
    }),
    #[cfg(target_arch = "x86_64")]
    ("socketcall as a program of 32 bits", || {
        interrupt(SOCKETCALL_OF_32_BITS)
    }),
];

/// Makes a system call the way that 32-bit programs do, which a filter that knows only the numbers
/// of 64 bits would let through. Arguments are whatever they are: a filter judges before the kernel
/// reads them.
#[cfg(target_arch = "x86_64")]
fn interrupt(number: u64) -> Result<(), libc::c_int> {
    let result: u64;
    // SAFETY: the kernel keeps every register but the result, and touches no memory of ours unless
    // the call is let through, in which case this process ends at once all the same.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("rax") number => result,
            inlateout("rcx") 0_u64 => _,
            inlateout("rdx") 0_u64 => _,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    // An error is a small negative number, of 32 or of 64 bits.
    let result = result as u32 as i32;
    if (-4095..0).contains(&result) {
        Err(-result)
    } else {
        Ok(())
    }
}
