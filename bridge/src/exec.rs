//! `bridge exec`: gives up every privilege, then becomes the program.
//!
//! It is an executable's own start instead of code between fork and exec, so that it may be
//! ordinary safe code in a process with a single thread, and so that it can check the result
//! before anything else runs.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{self, Gid, Uid};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// What to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// Who to become: user and group. `None` keeps both, which root may not.
    pub user: Option<(u32, u32)>,
    /// Where to start; `/` if that cannot be entered.
    pub cwd: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
}

/// A program could not be started without privileges, and so was not started.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The arguments are not those of [`Exec::to_args`].
    #[error("usage: bridge exec (UID:GID | keep) CWD PROGRAM [ARGUMENT...]")]
    Usage,
    /// Root must not hand root on.
    #[error("refusing to run {program:?} as root")]
    Root {
        /// The program.
        program: String,
    },
    /// A system call failed.
    #[error("cannot {action}")]
    System {
        /// What it was for.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: rustix::io::Errno,
    },
    /// The system calls succeeded and yet something was left.
    #[error("privileges are left after giving all up: {what}")]
    Left {
        /// What is left.
        what: &'static str,
    },
    /// The program could not be started.
    #[error("cannot start {program:?}")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Exec {
    /// Returns the arguments that [`Exec::parse`] reads, `exec` first.
    pub fn to_args(&self) -> Vec<String> {
        let user = match self.user {
            Some((uid, gid)) => format!("{uid}:{gid}"),
            None => "keep".to_owned(),
        };
        let mut args = vec!["exec".to_owned(), user, self.cwd.clone()];
        args.extend(self.argv.iter().cloned());
        args
    }

    /// Reads the arguments after `exec`.
    ///
    /// # Errors
    /// [`ExecError::Usage`].
    pub fn parse(args: &[String]) -> Result<Self, ExecError> {
        let [user, cwd, argv @ ..] = args else {
            return Err(ExecError::Usage);
        };
        let user = match user.as_str() {
            "keep" => None,
            pair => {
                let (uid, gid) = pair.split_once(':').ok_or(ExecError::Usage)?;
                let number = |text: &str| text.parse().map_err(|_| ExecError::Usage);
                Some((number(uid)?, number(gid)?))
            }
        };
        if argv.is_empty() {
            return Err(ExecError::Usage);
        }
        Ok(Self {
            user,
            cwd: cwd.clone(),
            argv: argv.to_vec(),
        })
    }

    /// Becomes the program.
    ///
    /// # Errors
    /// [`ExecError`] if a privilege could not be given up or the program could not be started.
    pub fn run(&self) -> Result<Infallible, ExecError> {
        let program = &self.argv[0];
        // A session and process group of its own, so that it can be ended with all its children.
        process::setsid().map_err(system("start a session"))?;
        process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        match self.user {
            Some((uid, gid)) if uid != 0 && gid != 0 => become_user(uid, gid)?,
            Some(_) => {
                return Err(ExecError::Root {
                    program: program.clone(),
                });
            }
            None if process::geteuid().is_root() || process::getuid().is_root() => {
                return Err(ExecError::Root {
                    program: program.clone(),
                });
            }
            None => {}
        }
        thread::set_no_new_privs(true).map_err(system("set no_new_privs"))?;
        // A home that was deleted by its owner must not keep the editor from starting.
        if std::env::set_current_dir(&self.cwd).is_err() {
            process::chdir("/").map_err(system("change to /"))?;
        }
        let source = Command::new(program).args(&self.argv[1..]).exec();
        Err(ExecError::Start {
            program: program.clone(),
            source,
        })
    }
}

fn become_user(uid: u32, gid: u32) -> Result<(), ExecError> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    empty_bounding_set()?;
    thread::set_thread_groups(&[]).map_err(system("leave all groups"))?;
    thread::set_thread_res_gid(group, group, group).map_err(system("change the group"))?;
    thread::set_thread_res_uid(user, user, user).map_err(system("change the user"))?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    thread::set_capabilities(None, none).map_err(system("give up capabilities"))?;
    thread::clear_ambient_capability_set().map_err(system("clear ambient capabilities"))?;
    check(uid, gid)
}

/// Empties the bounding set where the kernel lets us: that takes `CAP_SETPCAP`. Without it what
/// stays in the set cannot be gained, because `no_new_privs` keeps every exec from gaining.
fn empty_bounding_set() -> Result<(), ExecError> {
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        match thread::capability_is_in_bounding_set(capability) {
            Ok(true) => {}
            Ok(false) => continue,
            // Past the last capability of this kernel.
            Err(_) => break,
        }
        match thread::remove_capability_from_bounding_set(capability) {
            Ok(()) | Err(rustix::io::Errno::PERM) => {}
            Err(source) => return Err(system("empty the bounding set")(source)),
        }
    }
    Ok(())
}

fn check(uid: u32, gid: u32) -> Result<(), ExecError> {
    let is_user = process::getuid().as_raw() == uid && process::geteuid().as_raw() == uid;
    let is_group = process::getgid().as_raw() == gid && process::getegid().as_raw() == gid;
    let groups = process::getgroups().map_err(system("read groups"))?;
    let sets = thread::capabilities(None).map_err(system("read capabilities"))?;
    let all = sets.effective | sets.permitted | sets.inheritable;
    for (is_gone, what) in [
        (is_user, "user"),
        (is_group, "group"),
        (groups.is_empty(), "supplementary groups"),
        (all.is_empty(), "capabilities"),
        (
            thread::set_thread_uid(Uid::ROOT).is_err(),
            "the way back to root",
        ),
    ] {
        if !is_gone {
            return Err(ExecError::Left { what });
        }
    }
    Ok(())
}

fn system(action: &'static str) -> impl FnOnce(rustix::io::Errno) -> ExecError {
    move |source| ExecError::System { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_round_trip() {
        for user in [Some((64000, 64001)), None] {
            let argv = vec!["git".into(), "--".into(), "-x".into(), String::new()];
            let exec = Exec {
                user,
                cwd: "/workspace".into(),
                argv,
            };
            let args = exec.to_args();
            assert_eq!(args[0], "exec");
            assert_eq!(Exec::parse(&args[1..]).unwrap(), exec);
        }
        for args in [
            &[][..],
            &["keep"],
            &["keep", "/"],
            &["1", "/", "x"],
            &["a:b", "/", "x"],
        ] {
            let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
            assert!(
                matches!(Exec::parse(&args), Err(ExecError::Usage)),
                "{args:?}"
            );
        }
    }
}
