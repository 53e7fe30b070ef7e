//! What a disk may hold after a power cut.
//!
//! The weakest that POSIX allows: what was flushed is there; of the rest, any part, in any order. Each change of names
//! (a rename as a whole, as ext4, xfs and btrfs have it) is there or not, whatever came before or after it; a flushed
//! file does not bring its name, nor a flushed folder the bytes of its files. Bytes that were written and not flushed
//! are there, missing, zero, or there to their middle. A journal that keeps the order of names (ext4, xfs) gives some
//! of these states and no others.

use super::disk::{Disk, Event, Inode, Op, ROOT};
use faultd::Rng;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// So many pending changes of names are taken in all their subsets; of more, these many at random.
const EXHAUSTIVE: usize = 9;
const RANDOM: usize = 300;

/// Paths below the root; a folder has no bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tree(BTreeMap<String, Option<Vec<u8>>>);

impl Tree {
    pub fn write(&self, root: &Path) {
        for (path, bytes) in &self.0 {
            match bytes {
                None => std::fs::create_dir(root.join(path)).unwrap(),
                Some(bytes) => std::fs::write(root.join(path), bytes).unwrap(),
            }
        }
    }

    pub fn describe(&self) -> String {
        let one = |(path, bytes): (&String, &Option<Vec<u8>>)| match bytes {
            None => format!("{path}/"),
            Some(bytes) => format!("{path} ({} bytes)", bytes.len()),
        };
        self.0.iter().map(one).collect::<Vec<_>>().join("\n")
    }
}

/// What has become of the bytes of a file that were not flushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Loss {
    None,
    All,
    Zero,
    /// Of the operation with this number: lost, or its second half.
    One(usize),
    Half(usize),
}

/// Calls `visit` with every state that is not in `seen`, where only some flushes count, the number of the event before
/// which the power was cut, and what the process had said until then. Ends when `visit` says false.
pub fn visit(
    disk: &Disk,
    counted: &dyn Fn(usize, bool) -> bool,
    seed: u64,
    seen: &mut HashSet<u64>,
    visit: &mut dyn FnMut(&Tree, usize, &[&str]) -> bool,
) {
    let mut said: Vec<&str> = Vec::new();
    for cut in 0..=disk.events.len() {
        if let Some(Event::Said(line)) = cut.checked_sub(1).map(|before| &disk.events[before]) {
            said.push(line);
        }
        let durable = disk.durable(cut, counted);
        for tree in states(disk, &durable, &mut Rng::new(seed ^ cut as u64)) {
            let mut hasher = DefaultHasher::new();
            (&tree, &said).hash(&mut hasher);
            if seen.insert(hasher.finish()) && !visit(&tree, cut, &said) {
                return;
            }
        }
    }
}

fn states(disk: &Disk, durable: &[bool], rng: &mut Rng) -> Vec<Tree> {
    let is_name = |at: &usize| matches!(disk.events[*at], Event::Op(Op::Names(_), _));
    let pending: Vec<usize> = (0..durable.len()).filter(|at| !durable[*at] && is_name(at)).collect();
    let mut trees = Vec::new();
    let mut shapes = HashSet::new();
    for kept in subsets(pending.len(), rng) {
        let mut applied = durable.to_vec();
        for (at, kept) in pending.iter().zip(&kept) {
            applied[*at] = *kept;
        }
        let places = places(disk, &applied);
        if shapes.insert(places.clone()) {
            with_bytes(disk, durable, &places, &mut trees);
        }
    }
    trees
}

fn subsets(count: usize, rng: &mut Rng) -> Vec<Vec<bool>> {
    if count <= EXHAUSTIVE {
        return (0..1usize << count).map(|bits| (0..count).map(|at| bits >> at & 1 == 1).collect()).collect();
    }
    let mut subsets: Vec<Vec<bool>> = Vec::new();
    for one in 0..=count {
        subsets.push((0..count).map(|at| at < one).collect()); // in order
        subsets.push((0..count).map(|at| at >= one).collect());
        subsets.push((0..count).map(|at| at == one).collect());
        subsets.push((0..count).map(|at| at != one).collect());
    }
    let random = (0..RANDOM).map(|_| {
        let share = rng.below(100);
        (0..count).map(|_| rng.below(100) < share).collect()
    });
    subsets.extend(random.collect::<Vec<_>>());
    subsets
}

/// Every path that leads somewhere, with its inode.
fn places(disk: &Disk, applied: &[bool]) -> BTreeMap<String, Inode> {
    let mut names: HashMap<Inode, BTreeMap<&str, Inode>> = HashMap::new();
    for (event, applied) in disk.events.iter().zip(applied) {
        if let (Event::Op(Op::Names(changes), _), true) = (event, applied) {
            for (folder, name, inode) in changes {
                let folder = names.entry(*folder).or_default();
                match inode {
                    Some(inode) => drop(folder.insert(name, *inode)),
                    None => drop(folder.remove(&**name)),
                }
            }
        }
    }
    let (mut places, mut folders) = (BTreeMap::new(), vec![(String::new(), ROOT)]);
    while let Some((path, folder)) = folders.pop() {
        for (name, inode) in names.get(&folder).into_iter().flatten() {
            let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}/{name}") };
            if disk.is_folder[*inode] {
                folders.push((path.clone(), *inode));
            }
            places.insert(path, *inode);
        }
    }
    places
}

/// The trees of these names, with every fate of the bytes that were not flushed: of all files alike, and of each alone.
fn with_bytes(disk: &Disk, durable: &[bool], places: &BTreeMap<String, Inode>, trees: &mut Vec<Tree>) {
    let files: BTreeSet<Inode> = places.values().copied().filter(|inode| !disk.is_folder[*inode]).collect();
    let mut pending: BTreeMap<Inode, Vec<usize>> = BTreeMap::new();
    for (at, durable) in durable.iter().enumerate() {
        if let (Event::Op(Op::Write { file, .. } | Op::Size { file, .. }, _), false) =
            (&disk.events[at], durable)
            && files.contains(file)
        {
            pending.entry(*file).or_default().push(at);
        }
    }
    let mut fates: Vec<BTreeMap<Inode, Loss>> = vec![BTreeMap::new()];
    for loss in [Loss::All, Loss::Zero] {
        fates.push(pending.keys().map(|file| (*file, loss)).collect());
    }
    for (file, ops) in &pending {
        fates.extend([Loss::All, Loss::Zero].map(|loss| BTreeMap::from([(*file, loss)])));
        fates.extend(
            ops.iter()
                .flat_map(|op| [Loss::One(*op), Loss::Half(*op)])
                .map(|loss| BTreeMap::from([(*file, loss)])),
        );
    }
    if pending.is_empty() {
        fates.truncate(1);
    }
    for fate in fates {
        let content =
            |inode: Inode| bytes(disk, durable, inode, fate.get(&inode).copied().unwrap_or(Loss::None));
        let one =
            |(path, inode): (&String, &Inode)| (path.clone(), files.contains(inode).then(|| content(*inode)));
        trees.push(Tree(places.iter().map(one).collect()));
    }
}

fn bytes(disk: &Disk, durable: &[bool], inode: Inode, loss: Loss) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, event) in disk.events[..durable.len()].iter().enumerate() {
        let loss = if durable[at] { Loss::None } else { loss };
        match event {
            Event::Op(Op::Write { file, offset, data }, _) if *file == inode => {
                let kept = match loss {
                    Loss::All => continue,
                    Loss::Zero => 0,
                    Loss::One(one) if one == at => continue,
                    Loss::Half(one) if one == at => data.len() / 2,
                    _ => data.len(),
                };
                let (start, end) = (*offset as usize, *offset as usize + data.len());
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[start..end].fill(0);
                bytes[start..start + kept].copy_from_slice(&data[..kept]);
            }
            Event::Op(Op::Size { file, size }, _) if *file == inode => match loss {
                Loss::All => {}
                Loss::One(one) if one == at => {}
                _ => bytes.resize(*size as usize, 0),
            },
            _ => {}
        }
    }
    bytes
}
