//! What a request asks for, in words that both services share.

use std::fmt;

/// The protocol that a listener speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Service {
    S3,
    Azure,
}

impl Service {
    pub const ALL: [Service; 2] = [Service::S3, Service::Azure];

    pub fn name(self) -> &'static str {
        match self {
            Service::S3 => "s3",
            Service::Azure => "azure",
        }
    }
}

macro_rules! ops {
    ($($name:ident = $text:literal, $s3:literal, $azure:literal;)+) => {
        /// An operation: its name in scripts and ledgers, and what it is called on S3 and on Azure.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        pub enum Op { $(#[doc = concat!("S3: ", $s3, "; Azure: ", $azure)] $name,)+ }

        impl Op {
            pub const ALL: &'static [Op] = &[$(Op::$name,)+];

            pub fn name(self) -> &'static str {
                match self { $(Op::$name => $text,)+ }
            }

            /// What the service calls it; empty where it has no such operation.
            pub fn title(self, service: Service) -> &'static str {
                match (self, service) {
                    $((Op::$name, Service::S3) => $s3, (Op::$name, Service::Azure) => $azure,)+
                }
            }
        }
    };
}

ops! {
    Connect = "connect", "a connection, before its first request", "a connection, before its first request";
    Get = "get", "GetObject", "Get Blob";
    Head = "head", "HeadObject", "Get Blob Properties";
    Put = "put", "PutObject", "Put Blob";
    Delete = "delete", "DeleteObject", "Delete Blob";
    DeleteMany = "delete_many", "DeleteObjects", "";
    Copy = "copy", "CopyObject", "Copy Blob";
    SetMetadata = "set_metadata", "", "Set Blob Metadata";
    CreateUpload = "create_upload", "CreateMultipartUpload", "";
    PutPart = "put_part", "UploadPart", "Put Block";
    CopyPart = "copy_part", "UploadPartCopy", "";
    CompleteUpload = "complete_upload", "CompleteMultipartUpload", "Put Block List";
    AbortUpload = "abort_upload", "AbortMultipartUpload", "";
    ListParts = "list_parts", "ListParts", "Get Block List";
    ListUploads = "list_uploads", "ListMultipartUploads", "";
    List = "list", "ListObjectsV2", "List Blobs";
    CreateContainer = "create_container", "CreateBucket", "Create Container";
    DeleteContainer = "delete_container", "DeleteBucket", "Delete Container";
    HeadContainer = "head_container", "HeadBucket", "Get Container Properties";
    ListContainers = "list_containers", "ListBuckets", "List Containers";
    Location = "location", "GetBucketLocation", "";
    Unknown = "unknown", "anything else", "anything else";
}

impl Op {
    pub fn from_name(name: &str) -> Option<Op> {
        Op::ALL.iter().copied().find(|op| op.name() == name)
    }

    /// Whether its request carries a body.
    pub fn sends_body(self, service: Service) -> bool {
        matches!(self, Op::Put | Op::PutPart | Op::CompleteUpload | Op::DeleteMany)
            || service == Service::S3 && self == Op::CreateContainer
    }

    /// Whether its answer, where it succeeds, carries a body.
    pub fn answers_with_body(self, service: Service) -> bool {
        match self {
            Op::Get | Op::List | Op::ListParts | Op::ListContainers => true,
            Op::DeleteMany | Op::Copy | Op::CreateUpload | Op::CopyPart | Op::CompleteUpload => {
                service == Service::S3
            }
            Op::ListUploads | Op::Location => true,
            _ => false,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One request, understood.
#[derive(Clone, Debug)]
pub struct Call {
    pub service: Service,
    pub op: Op,
    pub container: String,
    pub key: String,
    /// What tells this request from others but not from its own repetitions: target and range.
    pub identity: String,
}

impl Call {
    /// `container/key`, which key patterns are matched with.
    pub fn path(&self) -> String {
        match self.key.is_empty() {
            true => self.container.clone(),
            false => format!("{}/{}", self.container, self.key),
        }
    }
}
