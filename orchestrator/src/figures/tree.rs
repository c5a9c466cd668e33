//! Where the kernel counts what a container uses: its control groups, of version 1 or 2.
//!
//! A group is taken for a container's only if the container's id, which is long and random, is in its
//! path. So figures of another container or another host are never shown for it.

use std::io;
use std::path::{Path, PathBuf};

/// Shortest id that is believed to name one container only.
const ID_LENGTH: usize = 32;

/// What of the host is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    /// Where control groups are mounted.
    pub(crate) groups: PathBuf,
    /// Where processes are listed.
    pub(crate) processes: PathBuf,
    /// Where network interfaces are listed.
    pub(crate) interfaces: PathBuf,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            groups: "/sys/fs/cgroup".into(),
            processes: "/proc".into(),
            interfaces: "/sys/class/net".into(),
        }
    }
}

/// The control groups of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A group for each controller.
    V1 {
        /// Counts CPU time.
        cpuacct: PathBuf,
        /// Counts memory.
        memory: PathBuf,
        /// Limits CPU time.
        cpu: Option<PathBuf>,
        /// Counts processes.
        pids: Option<PathBuf>,
        /// Counts what is read from and written to disks.
        blkio: Option<PathBuf>,
    },
    /// One group for all.
    V2(PathBuf),
}

/// Why the groups of a container were not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// They are not on this host.
    Elsewhere,
    /// They may not be looked for.
    Forbidden,
}

impl Tree {
    /// Finds the groups of a container: where engines usually put them, or where its first process is.
    ///
    /// # Errors
    /// [`Missing`].
    pub(crate) fn find(&self, container: &str, pid: Option<u32>) -> Result<Place, Missing> {
        let is_id =
            container.len() >= ID_LENGTH && container.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_id {
            return Err(Missing::Elsewhere);
        }
        let listed = match pid {
            Some(pid) => Some(self.groups_of(pid)?),
            None => None,
        };
        let listed = listed.as_deref();
        if self.groups.join("cgroup.controllers").is_file() {
            return self.group("", "", container, listed).map(Place::V2);
        }
        let of = |controller: &str| self.group(controller, controller, container, listed);
        Ok(Place::V1 {
            cpuacct: of("cpuacct")?,
            memory: of("memory")?,
            cpu: of("cpu").ok(),
            pids: of("pids").ok(),
            blkio: of("blkio").ok(),
        })
    }

    /// Reads in which groups a process is.
    fn groups_of(&self, pid: u32) -> Result<String, Missing> {
        let file = self.processes.join(pid.to_string()).join("cgroup");
        std::fs::read_to_string(file).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Missing::Forbidden,
            _ => Missing::Elsewhere,
        })
    }

    /// Finds the group of one controller, mounted in `mount`.
    fn group(
        &self,
        mount: &str,
        controller: &str,
        container: &str,
        listed: Option<&str>,
    ) -> Result<PathBuf, Missing> {
        let mount = self.groups.join(mount);
        let usual = [
            format!("docker/{container}"),
            format!("system.slice/docker-{container}.scope"),
        ];
        let own = listed.and_then(|listed| path_in(listed, controller, container));
        let mut missing = Missing::Elsewhere;
        for path in usual.into_iter().chain(own).map(|path| mount.join(path)) {
            match std::fs::metadata(&path) {
                Ok(found) if found.is_dir() => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    missing = Missing::Forbidden;
                }
                _ => {}
            }
        }
        Err(missing)
    }
}

/// Reads the path of a container's group from the list of its process's, relative to the mount. What
/// the container made below its group belongs to it, so the path ends where its id is named.
fn path_in(listed: &str, controller: &str, container: &str) -> Option<String> {
    let path = listed.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let is_it = controllers.split(',').any(|one| one == controller);
        is_it.then_some(path)
    })?;
    let mut kept = Vec::new();
    for part in Path::new(path.strip_prefix('/')?).components() {
        // Outside of what we see: a group of a namespace above ours.
        let std::path::Component::Normal(part) = part else {
            return None;
        };
        let part = part.to_str()?;
        kept.push(part);
        if part.contains(container) {
            return Some(kept.join("/"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7a94fbdd4f50873d6e54ddb8a0de17d48b56b5698776e178b544a052d9ccc8e3";

    fn host(groups: &[&str], pid_lists: Option<&str>) -> (tempfile::TempDir, Tree) {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree {
            groups: directory.path().join("cgroup"),
            processes: directory.path().join("proc"),
            interfaces: directory.path().join("net"),
        };
        std::fs::create_dir_all(&tree.groups).unwrap();
        for group in groups {
            if group.ends_with("controllers") {
                std::fs::write(tree.groups.join(group), "cpu memory").unwrap();
            } else {
                std::fs::create_dir_all(tree.groups.join(group)).unwrap();
            }
        }
        if let Some(listed) = pid_lists {
            std::fs::create_dir_all(tree.processes.join("42")).unwrap();
            std::fs::write(tree.processes.join("42/cgroup"), listed).unwrap();
        }
        (directory, tree)
    }

    fn v1(tree: &Tree, path: &str) -> Place {
        let at = |controller: &str| tree.groups.join(controller).join(path);
        Place::V1 {
            cpuacct: at("cpuacct"),
            memory: at("memory"),
            cpu: Some(at("cpu")),
            pids: Some(at("pids")),
            blkio: Some(at("blkio")),
        }
    }

    const ALL: [&str; 5] = ["cpuacct", "memory", "cpu", "pids", "blkio"];

    #[test]
    fn groups_of_version_1_are_found_where_engines_put_them() {
        for path in [
            format!("docker/{ID}"),
            format!("system.slice/docker-{ID}.scope"),
        ] {
            let groups = ALL.map(|controller| format!("{controller}/{path}"));
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            let (_directory, tree) = host(&groups, None);
            assert_eq!(tree.find(ID, None), Ok(v1(&tree, &path)));
        }
    }

    #[test]
    fn groups_of_version_2_are_found_where_engines_put_them() {
        for path in [
            format!("docker/{ID}"),
            format!("system.slice/docker-{ID}.scope"),
        ] {
            let (_directory, tree) = host(&[&path, "cgroup.controllers"], None);
            let expected = Place::V2(tree.groups.join(&path));
            assert_eq!(tree.find(ID, None), Ok(expected));
        }
    }

    #[test]
    fn groups_elsewhere_are_found_by_the_first_process() {
        let path = format!("user.slice/app.slice/docker-{ID}.scope");
        let listed = format!("0::/{path}/init\n");
        let (_directory, tree) = host(&[&path, "cgroup.controllers"], Some(&listed));
        assert_eq!(tree.find(ID, None), Err(Missing::Elsewhere));
        assert_eq!(
            tree.find(ID, Some(42)),
            Ok(Place::V2(tree.groups.join(&path)))
        );

        let path = format!("sites/{ID}");
        let listed = ALL.map(|controller| format!("3:{controller},other:/{path}"));
        let groups = ALL.map(|controller| format!("{controller}/{path}"));
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let (_directory, tree) = host(&groups, Some(&listed.join("\n")));
        assert_eq!(tree.find(ID, Some(42)), Ok(v1(&tree, &path)));
    }

    #[test]
    fn groups_that_do_not_name_the_container_are_not_its() {
        for listed in [
            "0::/user.slice/session-1.scope\n".to_owned(),
            "0::/\n".to_owned(),
            format!("0::/../docker/{ID}\n"),
            "nonsense".to_owned(),
            String::new(),
        ] {
            let groups = ["user.slice/session-1.scope", "cgroup.controllers"];
            let (_directory, tree) = host(&groups, Some(&listed));
            assert_eq!(tree.find(ID, Some(42)), Err(Missing::Elsewhere), "{listed}");
        }
        let (_directory, tree) = host(&["cgroup.controllers"], None);
        for id in ["", "docker", "../../proc", "7a94fbdd4f50"] {
            assert_eq!(tree.find(id, Some(42)), Err(Missing::Elsewhere));
        }
    }
}
