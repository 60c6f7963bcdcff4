"""Compare packed images through Strata with JPEG files through torch's DataLoader, alternately.

    python benchmarks/data_vs_torch.py --folder JPEGS --records PACKED \\
        --torch_python VENV/bin/python

JPEGS is a folder of class folders, and PACKED the output of `strata data pack JPEGS --raw --out
PACKED`. The peer is a plain Dataset of files opened with Pillow and flipped at random, with two
persistent workers; both give uint8 batches in host memory. Prints one JSON row with the ratio of
each pair.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time


def peer(folder: str, batch_size: int, num_workers: int, epochs: int) -> dict:
    """Return images per second of torch's DataLoader without the first epoch.

    Needs only torch, numpy and Pillow.
    """
    import numpy as np
    import torch
    from PIL import Image

    class Files(torch.utils.data.Dataset):
        def __init__(self):
            self.files = sorted(pathlib.Path(folder).rglob("*.jpg"))

        def __len__(self):
            return len(self.files)

        def __getitem__(self, index):
            image = torch.from_numpy(np.array(Image.open(self.files[index]).convert("RGB")))
            return image.flip(1) if torch.rand(()) < 0.5 else image

    loader = torch.utils.data.DataLoader(
        Files(),
        batch_size,
        shuffle=True,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )
    rates = []
    for _ in range(epochs + 1):
        begin, count = time.perf_counter(), 0
        for batch in loader:
            count += len(batch)
        rates.append(count / (time.perf_counter() - begin))
    return {"images_per_s": statistics.median(rates[1:])}


def run(command: list[str]) -> float:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])["images_per_s"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True)
    parser.add_argument("--records")
    parser.add_argument(
        "--torch_python", help="python of a virtual environment with torch, numpy and Pillow"
    )
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument(
        "--side",
        choices=("peer", "packed", "folder"),
        help="measure one side only, in this process",
    )
    args = parser.parse_args()
    if args.side == "peer":
        print(json.dumps(peer(args.folder, args.batch_size, num_workers=2, epochs=1)))
        return
    if args.side:
        from pipeline.cli.bench_data import measure

        source, path, batches = (
            ("records", args.records, 1000)
            if args.side == "packed"
            else ("folder", args.folder, 200)
        )
        print(
            json.dumps(
                measure(path, source, batch_size=args.batch_size, num_batches=batches, repeats=1)
            )
        )
        return
    here = [
        __file__,
        "--folder",
        args.folder,
        "--records",
        args.records,
        "--batch_size",
        str(args.batch_size),
    ]
    pairs = [
        {
            "torch": run([args.torch_python, *here, "--side", "peer"]),
            "packed": run([sys.executable, *here, "--side", "packed"]),
            "folder": run([sys.executable, *here, "--side", "folder"]),
        }
        for _ in range(args.pairs)
    ]
    ratios = [pair["packed"] / pair["torch"] for pair in pairs]
    same_files = [pair["folder"] / pair["torch"] for pair in pairs]
    print(
        json.dumps({"pairs": pairs, "packed_over_torch": ratios, "folder_over_torch": same_files})
    )


if __name__ == "__main__":
    main()
