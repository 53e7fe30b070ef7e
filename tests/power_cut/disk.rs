//! Calls as operations on a disk: inodes, names, bytes, and what was flushed.

use super::trace::Call;
use std::collections::{BTreeMap, HashMap};

pub type Inode = usize;
pub const ROOT: Inode = 0;

/// One change of the disk. Names that change together do so in one rename.
#[derive(Debug, Clone)]
pub enum Op {
    Write { file: Inode, offset: u64, data: Vec<u8> },
    Size { file: Inode, size: u64 },
    Names(Vec<(Inode, String, Option<Inode>)>),
}

impl Op {
    /// Whether a flush of this inode makes it durable.
    fn touches(&self, inode: Inode) -> bool {
        match self {
            Op::Write { file, .. } | Op::Size { file, .. } => *file == inode,
            Op::Names(changes) => changes.iter().any(|(folder, _, _)| *folder == inode),
        }
    }
}

#[derive(Debug)]
pub enum Event {
    /// With the line at which it had returned.
    Op(Op, usize),
    /// A flush returned, of everything that had returned before the line at which it began.
    Flush { inode: Inode, begin: usize },
    /// The process wrote this line to its standard error.
    Said(String),
}

/// What processes did below one folder.
#[derive(Debug, Default)]
pub struct Disk {
    pub events: Vec<Event>,
    pub is_folder: Vec<bool>,
    names: HashMap<Inode, BTreeMap<String, Inode>>,
    open: HashMap<i64, Inode>,
    /// Added to the lines of the next record.
    line: usize,
}

impl Disk {
    /// An empty folder.
    pub fn new() -> Disk {
        Disk { is_folder: vec![true], ..Disk::default() }
    }

    /// Adds what a process did below `root`.
    pub fn record(&mut self, root: &str, calls: &[Call]) {
        self.open.clear();
        // A name may be seen before the call that makes it has returned, and a descriptor be given
        // again before the one that closes it has.
        let early = |call: &Call| {
            matches!(
                &*call.name,
                "close" | "mkdir" | "mkdirat" | "link" | "linkat" | "rename" | "renameat" | "renameat2"
            )
        };
        let at = |call: &Call| if early(call) { call.begin } else { call.end };
        let mut order: Vec<&Call> = calls.iter().collect();
        order.sort_by_key(|call| at(call));
        for call in order {
            self.one(root, call);
        }
        self.line += calls.iter().map(|call| call.end + 1).max().unwrap_or(0);
    }

    fn one(&mut self, root: &str, call: &Call) {
        match &*call.name {
            "open" | "creat" | "openat" | "openat2" => self.opened(root, call),
            "close" => drop(self.open.remove(&call.number(0))),
            "dup" | "dup2" | "dup3" => self.duplicated(call),
            "fcntl" if call.says(1, "F_DUPFD") || call.says(1, "F_DUPFD_CLOEXEC") => self.duplicated(call),
            "fcntl" => {}
            "write" if [1, 2].contains(&call.number(0)) => {
                if call.number(0) == 2 {
                    self.events.push(Event::Said(String::from_utf8_lossy(&call.bytes(1)).trim().to_owned()));
                }
            }
            "pwrite64" => {
                if let Some(file) = self.tracked(call, 0) {
                    let mut data = call.bytes(1);
                    data.truncate(call.result as usize);
                    self.did(Op::Write { file, offset: call.number(3) as u64, data }, call);
                }
            }
            "ftruncate" => {
                if let Some(file) = self.tracked(call, 0) {
                    self.did(Op::Size { file, size: call.number(1) as u64 }, call);
                }
            }
            "fsync" | "fdatasync" => {
                if let Some(inode) = self.tracked(call, 0) {
                    self.events.push(Event::Flush { inode, begin: self.line + call.begin });
                }
            }
            "mkdir" => self.made(self.at(root, None, &call.bytes(0)), call),
            "mkdirat" => self.made(self.at(root, call.folder(0), &call.bytes(1)), call),
            "linkat" => {
                let source = String::from_utf8(call.bytes(1)).unwrap();
                let file = match source.strip_prefix("/proc/self/fd/") {
                    Some(fd) => self.open.get(&fd.parse().unwrap()).copied(),
                    None => self.at(root, call.folder(0), source.as_bytes()).and_then(|at| self.find(&at)),
                };
                let to = self.at(root, call.folder(2), &call.bytes(3));
                if let (Some(file), Some((folder, name))) = (file, to) {
                    self.named(vec![(folder, name, Some(file))], call);
                }
            }
            "rename" => {
                let from = self.at(root, None, &call.bytes(0));
                self.renamed(from, self.at(root, None, &call.bytes(1)), call);
            }
            "renameat" | "renameat2" => {
                let from = self.at(root, call.folder(0), &call.bytes(1));
                self.renamed(from, self.at(root, call.folder(2), &call.bytes(3)), call);
            }
            "unlink" | "rmdir" => self.removed(self.at(root, None, &call.bytes(0)), call),
            "unlinkat" => self.removed(self.at(root, call.folder(0), &call.bytes(1)), call),
            // Anything else is not known to the model: it must not happen to what is watched.
            other => {
                let watched = other == "io_uring_setup"
                    || !matches!(other, "sync" | "syncfs") && self.tracked(call, 0).is_some();
                assert!(!watched, "the model does not know this call: {call:?}");
            }
        }
    }

    fn opened(&mut self, root: &str, call: &Call) {
        let (folder, path, flags) = match &*call.name {
            "openat" | "openat2" => (call.folder(0), call.bytes(1), 2),
            _ => (None, call.bytes(0), 1),
        };
        self.open.remove(&call.result);
        let Some(at) = self.at(root, folder, &path) else { return };
        let inode = if call.says(flags, "O_TMPFILE") {
            self.inode(false)
        } else if let Some(there) = self.find(&at) {
            if call.says(flags, "O_TRUNC") || call.name == "creat" {
                self.did(Op::Size { file: there, size: 0 }, call);
            }
            there
        } else {
            assert!(
                call.says(flags, "O_CREAT") || call.name == "creat",
                "what was opened is not known: {call:?}"
            );
            let file = self.inode(false);
            self.named(vec![(at.0, at.1, Some(file))], call);
            file
        };
        self.open.insert(call.result, inode);
    }

    fn duplicated(&mut self, call: &Call) {
        match self.open.get(&call.number(0)).copied() {
            Some(inode) => drop(self.open.insert(call.result, inode)),
            None => drop(self.open.remove(&call.result)),
        }
    }

    fn made(&mut self, at: Option<(Inode, String)>, call: &Call) {
        if let Some((folder, name)) = at {
            let inode = self.inode(true);
            self.named(vec![(folder, name, Some(inode))], call);
        }
    }

    fn renamed(&mut self, from: Option<(Inode, String)>, to: Option<(Inode, String)>, call: &Call) {
        if let (Some(from), Some(to)) = (from, to) {
            let file = self.find(&from).unwrap_or_else(|| panic!("what was renamed is not known: {call:?}"));
            self.named(vec![(from.0, from.1, None), (to.0, to.1, Some(file))], call);
        }
    }

    fn removed(&mut self, at: Option<(Inode, String)>, call: &Call) {
        if let Some((folder, name)) = at {
            self.named(vec![(folder, name, None)], call);
        }
    }

    fn named(&mut self, changes: Vec<(Inode, String, Option<Inode>)>, call: &Call) {
        for (folder, name, inode) in &changes {
            let names = self.names.entry(*folder).or_default();
            match inode {
                Some(inode) => drop(names.insert(name.clone(), *inode)),
                None => drop(names.remove(name)),
            }
        }
        self.did(Op::Names(changes), call);
    }

    fn did(&mut self, op: Op, call: &Call) {
        self.events.push(Event::Op(op, self.line + call.end));
    }

    fn inode(&mut self, is_folder: bool) -> Inode {
        self.is_folder.push(is_folder);
        self.is_folder.len() - 1
    }

    fn tracked(&self, call: &Call, index: usize) -> Option<Inode> {
        self.open.get(&call.number(index)).copied()
    }

    /// The folder and the name that a path means; an empty name is the folder itself. `None` where it is
    /// not below the root.
    fn at(&self, root: &str, folder: Option<i64>, path: &[u8]) -> Option<(Inode, String)> {
        let path = std::str::from_utf8(path).unwrap();
        let (start, path) = match path.strip_prefix('/') {
            Some(_) => {
                let below = path.strip_prefix(root)?;
                (ROOT, below.strip_prefix('/').or((below.is_empty()).then_some(""))?)
            }
            None => (*self.open.get(&folder?)?, path),
        };
        let mut names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        let last = names.pop().unwrap_or("");
        let folder =
            names.iter().try_fold(start, |folder, name| self.names.get(&folder)?.get(*name).copied());
        Some((folder.unwrap_or_else(|| panic!("a folder of {path} is not known")), last.to_owned()))
    }

    fn find(&self, (folder, name): &(Inode, String)) -> Option<Inode> {
        if name.is_empty() { Some(*folder) } else { self.names.get(folder)?.get(name).copied() }
    }

    /// Which operations among the first `cut` events are durable, where only the flushes in `counted` count.
    pub fn durable(&self, cut: usize, counted: &dyn Fn(usize, bool) -> bool) -> Vec<bool> {
        let mut durable = vec![false; cut];
        for (index, event) in self.events[..cut].iter().enumerate() {
            let Event::Flush { inode, begin } = event else { continue };
            if !counted(index, self.is_folder[*inode]) {
                continue;
            }
            for (at, event) in self.events[..index].iter().enumerate() {
                if let Event::Op(op, returned) = event {
                    durable[at] |= returned < begin && op.touches(*inode);
                }
            }
        }
        durable
    }
}
