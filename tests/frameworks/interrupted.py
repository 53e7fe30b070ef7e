"""Training loops that are interrupted in the middle: what test_torch_data.py starts and sends SIGINT to.

usage: interrupted.py URI {map|iterable}:WORKERS:{none|fork|spawn}...
Every loop but the last one is left, as in a notebook, and no process of its workers may stay.

Items are bytes: an interrupt on the way of a tensor between processes, torch's own, may end with a socket unclosed or
in "terminate called without an active exception" (pytorch#22924), whatever the dataset is.
"""

import multiprocessing
import sys

from torch.utils.data import DataLoader

from s3dlio.torch import S3dlioIterableDataset, S3dlioMapDataset
from say import say


def loop(uri, cell):
    kind, workers, method = cell.split(":")
    dataset = {"map": S3dlioMapDataset, "iterable": S3dlioIterableDataset}[kind](uri, transform=bytes)
    loader = DataLoader(
        dataset, batch_size=4, num_workers=int(workers), multiprocessing_context=None if method == "none" else method,
        persistent_workers=int(workers) > 0, collate_fn=list,
    )
    turn = 0
    while True:
        for _ in loader:
            turn += 1
            if turn == 5:
                say(running=cell)


def main():
    uri, *cells, last = sys.argv[1:]
    for cell in cells:
        try:
            loop(uri, cell)
        except KeyboardInterrupt:
            pass
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):  # torch's, where it hears first that a worker was interrupted
                raise
        for child in multiprocessing.active_children():
            child.join(30)
            assert not child.is_alive(), f"{cell}: a worker lives on"
    loop(uri, last)


if __name__ == "__main__":
    main()
