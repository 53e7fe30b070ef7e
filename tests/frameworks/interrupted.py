"""A training loop that is interrupted in the middle: what test_torch_data.py starts and sends SIGINT to.

usage: interrupted.py URI {map|iterable} {fork|spawn}
"""

import sys

from torch.utils.data import DataLoader

from s3dlio.torch import S3dlioIterableDataset, S3dlioMapDataset, to_tensor
from say import say


def main():
    uri, kind, method = sys.argv[1:]
    if kind == "map":
        dataset = S3dlioMapDataset(uri, transform=to_tensor)
    else:
        dataset = S3dlioIterableDataset(uri, transform=to_tensor)
    loader = DataLoader(
        dataset, batch_size=4, num_workers=2, multiprocessing_context=method, persistent_workers=True, collate_fn=list
    )
    turn = 0
    while True:
        for _ in loader:
            turn += 1
            if turn == 5:
                say(running=True)


if __name__ == "__main__":
    main()
