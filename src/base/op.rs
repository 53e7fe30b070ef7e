//! The kinds of operations that logs and statistics tell apart.

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    Get,
    Put,
    Delete,
    List,
    /// Facts of an object: `STAT`, as warp calls it.
    Head,
}

impl Op {
    pub const ALL: [Op; 5] = [Op::Get, Op::Put, Op::Delete, Op::List, Op::Head];

    /// As it stands in a log.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Get => "GET",
            Op::Put => "PUT",
            Op::Delete => "DELETE",
            Op::List => "LIST",
            Op::Head => "STAT",
        }
    }

    /// Of a name in a log; also `HEAD`.
    pub fn parse(name: &str) -> Option<Op> {
        match name {
            "HEAD" => Some(Op::Head),
            name => Op::ALL.into_iter().find(|op| op.as_str() == name),
        }
    }
}
