//! What happened: every request, every connection.

use crate::call::{Op, Service};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// How an exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It is under way.
    Open,
    /// The answer went out and the connection stays.
    Answered,
    /// This server closed the connection, with or without an answer.
    Closed,
    /// This server reset it.
    Reset,
    /// The client was gone before all was done.
    ClientLeft,
}

impl End {
    pub fn name(self) -> &'static str {
        match self {
            End::Open => "open",
            End::Answered => "answered",
            End::Closed => "closed",
            End::Reset => "reset",
            End::ClientLeft => "client_left",
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Entry {
    pub service: Service,
    /// Counts from 1.
    pub connection: u64,
    pub op: Op,
    /// `container/key`.
    pub path: String,
    pub method: String,
    pub target: String,
    /// The Range header.
    pub range: Option<String>,
    /// The status of the answer, if a head was sent.
    pub status: Option<u16>,
    /// The fault with its parameters, as a script names it.
    pub fault: Option<String>,
    /// See `sign::Signature::name`.
    pub signature: String,
    /// Whether the operation was carried out.
    pub acted: bool,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// After the server's start.
    pub at: Duration,
    pub took: Duration,
    pub end: End,
}

/// All of it at one moment.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub entries: Vec<Entry>,
    /// Connections that were ever accepted.
    pub connections: u64,
    pub open_connections: u64,
    pub most_open_connections: u64,
    /// S3: uploads that are neither completed nor aborted.
    pub open_uploads: usize,
    /// Azure: blocks that no object was made of.
    pub staged_blocks: usize,
    pub objects: usize,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Ledger {
    /// Requests of this operation.
    pub fn of(&self, op: Op) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.op == op)
    }

    /// Requests that were answered with success and without a fault.
    pub fn useful(&self) -> usize {
        let good = |entry: &&Entry| entry.fault.is_none() && entry.status.is_some_and(|s| s < 300);
        self.entries.iter().filter(good).count()
    }

    /// Requests that met a fault.
    pub fn faults(&self) -> usize {
        self.entries.iter().filter(|entry| entry.fault.is_some()).count()
    }

    /// What `/_faultd/ledger` answers.
    pub fn to_json(&self) -> Value {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for entry in &self.entries {
            *counts.entry(entry.op.name()).or_default() += 1;
        }
        let entries: Vec<Value> = self.entries.iter().map(Entry::to_json).collect();
        json!({
            "requests": entries,
            "count": self.entries.len(),
            "useful": self.useful(),
            "faults": self.faults(),
            "by_operation": counts,
            "connections": self.connections,
            "open_connections": self.open_connections,
            "most_open_connections": self.most_open_connections,
            "open_uploads": self.open_uploads,
            "staged_blocks": self.staged_blocks,
            "objects": self.objects,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        })
    }
}

impl Entry {
    fn to_json(&self) -> Value {
        json!({
            "service": self.service.name(),
            "connection": self.connection,
            "op": self.op.name(),
            "path": self.path,
            "method": self.method,
            "target": self.target,
            "range": self.range,
            "status": self.status,
            "fault": self.fault,
            "signature": self.signature,
            "acted": self.acted,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "at_ms": self.at.as_secs_f64() * 1e3,
            "took_ms": self.took.as_secs_f64() * 1e3,
            "end": self.end.name(),
        })
    }
}
