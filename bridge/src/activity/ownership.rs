//! Tells the person's own programs from the bridge and the editor.
//!
//! It goes by command lines, because the bridge may not see what a process executes, and because
//! that would not tell: the editor and the person's own servers run on the same Node. An editor's
//! process is one whose program came with the editor, or a Node whose script did; what the editor
//! starts besides, a shell in a terminal above all, is the person's. Somebody who dresses a program
//! up as the editor's only gets it put to sleep.

use std::path::{Path, PathBuf};

use super::processes::{Process, Sample};

/// The number of the process that everything in a container descends from.
const PID_1: u32 = 1;

/// What is not the person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    init: u32,
    serve: u32,
    editor_program: PathBuf,
    /// Everything that came with the editor.
    editor_folder: PathBuf,
}

impl Ownership {
    /// Describes a container by the numbers of `bridge init` and `bridge serve` and by the editor's
    /// program. All that is in the folder around the program's `bin` came with the editor; of a
    /// program that is in no `bin`, the file alone.
    pub fn new(init: u32, serve: u32, editor_program: &Path) -> Self {
        let folder = editor_program
            .parent()
            .filter(|folder| folder.ends_with("bin"));
        let folder = folder.and_then(Path::parent).unwrap_or(editor_program);
        Self {
            init,
            serve,
            editor_program: editor_program.to_owned(),
            editor_folder: folder.to_owned(),
        }
    }

    /// Returns whether a process of a sample is the person's.
    ///
    /// Where `init` is not PID 1 there is no container around it, and only its descendants count.
    pub fn is_persons(&self, pid: u32, sample: &Sample) -> bool {
        let Some((pid, process)) = with_command_line(pid, sample) else {
            return false;
        };
        let is_ours = pid == self.init || pid == self.serve;
        let is_inside = self.init == PID_1 || self.descends(process, sample);
        !is_ours && is_inside && !self.is_editors(process)
    }

    fn is_editors(&self, process: &Process) -> bool {
        let mut arguments = process.argv.iter().map(Path::new);
        let Some(program) = arguments.next() else {
            return false;
        };
        let Some(script) = arguments.find(|argument| !starts_with_dash(argument)) else {
            return program.starts_with(&self.editor_folder);
        };
        // The editor's files are arguments of the person's programs too: of a shell, whose prompt
        // is set up by one.
        program.starts_with(&self.editor_folder)
            || script == self.editor_program
            || (program.ends_with("node") && script.starts_with(&self.editor_folder))
    }

    fn descends(&self, process: &Process, sample: &Sample) -> bool {
        let mut parent = process.parent;
        // As many steps as there are processes: numbers that were given away again could make a ring.
        for _ in &sample.processes {
            if parent == self.init {
                return true;
            }
            match sample.processes.get(&parent) {
                Some(process) => parent = process.parent,
                None => return false,
            }
        }
        false
    }
}

fn starts_with_dash(argument: &Path) -> bool {
    argument.as_os_str().as_encoded_bytes().starts_with(b"-")
}

/// Returns a process, or for one that has ended and does not say any more what it was, the nearest
/// ancestor that does: it counts as its parent does.
fn with_command_line(mut pid: u32, sample: &Sample) -> Option<(u32, &Process)> {
    for _ in &sample.processes {
        let process = sample.processes.get(&pid)?;
        if !process.argv.is_empty() {
            return Some((pid, process));
        }
        pid = process.parent;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const EDITOR: &str = "/opt/kalpana/code-server/bin/code-server";
    const TREE: &str = "/opt/kalpana/code-server/lib/node_modules/code-server";

    fn sample(processes: &[(u32, u32, &str)]) -> Sample {
        let process = |&(pid, parent, argv): &(u32, u32, &str)| {
            let argv = argv.replace("TREE", TREE);
            let process = Process {
                parent,
                argv: argv.split_whitespace().map(str::to_owned).collect(),
                ..Process::default()
            };
            (pid, process)
        };
        Sample {
            at: Instant::now(),
            uptime: Duration::ZERO,
            processes: processes.iter().map(process).collect(),
        }
    }

    fn persons(ownership: &Ownership, sample: &Sample) -> Vec<u32> {
        let pids = sample.processes.keys().copied();
        pids.filter(|&pid| ownership.is_persons(pid, sample))
            .collect()
    }

    #[test]
    fn shells_and_what_they_start_are_the_persons_and_the_editor_is_not() {
        let ownership = Ownership::new(1, 7, Path::new(EDITOR));
        let node = "/opt/kalpana/node/bin/node";
        let sample = sample(&[
            (1, 0, "/opt/kalpana/bridge init"),
            (7, 1, "bridge serve"),
            (10, 1, &format!("/bin/sh {EDITOR} --auth none")),
            (11, 1, &format!("{node} TREE/out/node/entry.js --auth none")),
            (12, 11, &format!("{node} TREE/out/node/entry")),
            (
                13,
                12,
                &format!(
                    "{node} --dns-result-order=ipv4first TREE/lib/vscode/out/bootstrap-fork --type=ptyHost"
                ),
            ),
            (
                14,
                12,
                &format!("{node} TREE/lib/vscode/out/bootstrap-fork --type=extensionHost"),
            ),
            (
                15,
                14,
                "TREE/lib/vscode/node_modules/@vscode/ripgrep/bin/rg --files",
            ),
            (
                16,
                14,
                &format!(
                    "{node} --max-old-space-size=3072 TREE/lib/vscode/extensions/node_modules/typescript/lib/tsserver.js"
                ),
            ),
            // The person's own, wherever they come from.
            (
                20,
                13,
                "/bin/bash --init-file TREE/lib/vscode/out/shellIntegration-bash.sh",
            ),
            (21, 20, "node server.js"),
            (22, 20, "make -j8"),
            (23, 22, ""),
            (
                24,
                14,
                &format!("{node} /home/dev/.local/share/code-server/extensions/x/server.js"),
            ),
            (25, 1, "sleep 1000"),
            (26, 0, "sh"),
            (27, 20, "code-server --help"),
            // The editor's, ended.
            (28, 14, ""),
            (29, 28, ""),
        ]);
        assert_eq!(
            persons(&ownership, &sample),
            [20, 21, 22, 23, 24, 25, 26, 27]
        );
    }

    #[test]
    fn without_a_container_only_descendants_count() {
        let ownership = Ownership::new(100, 101, Path::new("/tmp/site/editor"));
        let sample = sample(&[
            (1, 0, "init"),
            (50, 1, "make"),
            (100, 50, "bridge init"),
            (101, 100, "bridge serve"),
            (102, 100, "/usr/bin/perl /tmp/site/editor --auth none"),
            (103, 102, "perl -e busy"),
            (104, 103, "sleep 1"),
            // Numbers that were given away again while the sample was taken.
            (200, 201, "a"),
            (201, 200, "b"),
        ]);
        assert_eq!(persons(&ownership, &sample), [103, 104]);
    }
}
