//! The job's ranks
//!
//! A distributed job is its launcher's: torchrun, mpirun, srun. It tells each process its rank in
//! environment variables, and s3dlio_world_detect reads them. It starts nothing and talks to nobody;
//! a program that knows its rank otherwise (MPI_Comm_rank) needs none of this.

use super::convert::*;
use super::guard;
use super::types::*;
use crate::checkpoint::World;
use crate::error::{Code, Error, Result};
use std::ffi::c_char;

/// What the launcher said.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct s3dlio_world {
    /// This process's place in the job, from 0.
    pub rank: u32,
    /// How many processes the job has.
    pub world_size: u32,
    /// This process's place among those of its host, from 0.
    pub local_rank: u32,
    /// How many processes of the job its host has.
    pub local_world_size: u32,
    /// Which one it was: "torchrun", "openmpi", "mpich", "slurm".
    pub launcher: [c_char; 32],
    /// What all ranks of this launch share and no other launch does, for s3dlio_checkpoint_params;
    /// "" where the launcher tells nothing of the kind.
    pub run_id: [c_char; 256],
}

// SAFETY: integers without padding.
unsafe impl Plain for s3dlio_world {}
const _: () = assert!(size_of::<s3dlio_world>() == 4 * 4 + 32 + 256);

/// A text of the launcher's in a field of fixed size, NUL-terminated.
fn field<const N: usize>(name: &str, text: &str) -> Result<[c_char; N]> {
    if text.len() >= N || text.contains('\0') {
        let message = format!("the launcher's {name} has {} bytes; there is room for {}", text.len(), N - 1);
        return Err(Error::new(Code::BufferTooSmall, message).with_detail("required", text.len() + 1));
    }
    let mut field = [0; N];
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = from.cast_signed() as c_char;
    }
    Ok(field)
}

/// Reads rank and world size from the launcher's variables: those of torchrun, of Open MPI, of MPICH
/// (PMI: Intel MPI and others too), of Slurm, in this order. `struct_size` is sizeof *world.
/// Errors: NOT_FOUND (no launcher's variables are set), INVALID_ARGUMENT (NULL; also a variable that is
/// missing beside the others or is no number, which is named), BUFFER_TOO_SMALL (a run id longer than
/// the field).
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn s3dlio_world_detect(
    world: *mut s3dlio_world,
    struct_size: usize,
    err: *mut *mut s3dlio_error,
) -> i32 {
    // SAFETY: the promise of the module `ffi`.
    unsafe {
        guard::call("s3dlio_world_detect", err, || {
            let out = OutStruct::new(world, struct_size, "world")?;
            let found = World::detect()?;
            out.set(&s3dlio_world {
                rank: found.rank,
                world_size: found.world_size,
                local_rank: found.local_rank,
                local_world_size: found.local_world_size,
                launcher: field("name", found.launcher)?,
                run_id: field("run id", found.run_id.as_deref().unwrap_or_default())?,
            });
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_holds_its_text_or_refuses_it() {
        let four: [c_char; 4] = field("run id", "abc").unwrap();
        assert_eq!(four.map(|c| c as u8), *b"abc\0");
        let error = field::<4>("run id", "abcd").unwrap_err();
        assert_eq!(error.code(), Code::BufferTooSmall);
        assert!(error.to_string().contains("has 4 bytes; there is room for 3"), "{error}");
    }
}
