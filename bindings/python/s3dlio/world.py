"""`World`: which rank of how many this process is."""

from ctypes import byref, sizeof
from typing import NamedTuple, Optional

from . import _ffi
from ._library import lib
from .errors import call


class World(NamedTuple):
    """A process's place in its job."""

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    #: "torchrun", "openmpi", "mpich", "slurm".
    launcher: str
    #: What all ranks of this launch share and no other launch does; None where the launcher tells nothing of the kind.
    run_id: Optional[str]

    @classmethod
    def detect(cls) -> "World":
        """From the variables of torchrun, Open MPI, MPICH or Slurm; `NotFoundError` where there are none."""
        world = _ffi.s3dlio_world()
        call(lib.s3dlio_world_detect, byref(world), sizeof(world))
        numbers = (world.rank, world.world_size, world.local_rank, world.local_world_size)
        return cls(*numbers, world.launcher.decode(), world.run_id.decode() or None)
