"""C4: what several ranks of torch.distributed.checkpoint do together."""

from pathlib import Path

import s3dlio
from s3dlio.checkpoint import Checkpoint
from torchrun import Job


def test_background_processes_save_and_one_rank_that_fails_fails_all(tmp_path):
    uri = f"file://{tmp_path}/checkpoints"
    job = Job(2, "file", Path(__file__).with_name("two_saves.py"), uri)
    job.finish()
    ends = [facts for facts in job.said if "of" in facts]
    assert sorted(facts["of"] for facts in ends) == [0, 1]
    for facts in ends:
        assert facts["right"] and facts["failure"] == {"1": "rank 1 has no such tensor"} and facts["steps"] == [1]
    checkpoint = Checkpoint.open(uri)
    checkpoint.validate(deep=True)
    assert checkpoint.info.world_size == 2 and checkpoint.entries["same"].parts == 1
    # Nothing is left of the failed save but what rank 0's abort says for the others.
    left = [info.key for info in s3dlio.Store(uri).list("shards/000000000002-") if info.key.endswith(".safetensors")]
    assert left == []
