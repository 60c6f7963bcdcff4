"""Compare clips of videos through Strata with decord in torch's DataLoader, alternately.

    python benchmarks/video_data_vs_decord.py --folder VIDEOS --torch_python VENV/bin/python

Both give uint8 batches in host memory of clips with random starts, scaled by their shorter side and
cropped at random, from persistent worker processes. The peer scales inside decord, which is given
every file's size, with one decoding thread per worker. Both sides must be able to read every file
in the folder. Prints one JSON row with the ratio of each pair; --packed also measures, on our side
only, the same clips packed by `strata data pack`.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time


def peer(args: argparse.Namespace) -> float:
    """Return clips per second of torch's DataLoader; needs only torch, numpy and decord."""
    import decord
    import numpy as np
    import torch

    class Clips(torch.utils.data.Dataset):
        def __init__(self):
            folder = pathlib.Path(args.folder)
            files = sorted(
                str(path) for path in folder.rglob("*") if path.suffix in (".mp4", ".mkv", ".webm")
            )
            self.files = [(file, *self.scaled(file)) for file in files]

        def scaled(self, file):
            height, width = decord.VideoReader(file, decord.cpu(0))[0].shape[:2]
            scale = args.size / min(height, width)
            return max(args.size, round(height * scale)), max(args.size, round(width * scale))

        def __len__(self):
            return 1 << 30

        def __getitem__(self, index):
            file, height, width = self.files[index % len(self.files)]
            reader = decord.VideoReader(
                file, decord.cpu(0), width=width, height=height, num_threads=1
            )
            draw = np.random.default_rng(index)
            start = draw.integers(len(reader) - args.frames + 1)
            frames = reader.get_batch(range(start, start + args.frames)).asnumpy()
            top, left = draw.integers(height - args.size + 1), draw.integers(width - args.size + 1)
            return torch.from_numpy(
                frames[:, top : top + args.size, left : left + args.size].copy()
            )

    loader = torch.utils.data.DataLoader(
        Clips(), args.batch_size, num_workers=args.workers, persistent_workers=True
    )
    return timed(iter(loader), args)


def ours(args: argparse.Namespace) -> float:
    from pipeline.data.videos.video_data import VideoData

    data = VideoData(
        "clips" if args.side == "packed" else "videos",
        args.packed if args.side == "packed" else args.folder,
        image_size=args.size,
        num_frames=args.frames,
        crop="random",
        eval_fraction=0,
        num_workers=args.workers,
    )
    with data.train(args.batch_size, seed=0) as batches:
        return timed(batches, args)


def timed(batches, args) -> float:
    """Return clips per second, after a warm-up in which the workers start."""
    for _ in range(2 * args.workers):
        next(batches)
    begin = time.perf_counter()
    for _ in range(args.batches):
        next(batches)
    return args.batches * args.batch_size / (time.perf_counter() - begin)


def run(python: str, side: str) -> float:
    done = subprocess.run(
        [python, *sys.argv, "--side", side], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True)
    parser.add_argument("--packed", help="what `strata data pack` made of the folder")
    parser.add_argument(
        "--torch_python", help="python of a virtual environment with torch, numpy and decord"
    )
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batches", type=int, default=30)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument(
        "--side",
        choices=("decord", "strata", "packed"),
        help="measure one side only, in this process",
    )
    args = parser.parse_args()
    if args.side:
        print(json.dumps(peer(args) if args.side == "decord" else ours(args)))
        return
    sides = ["decord", "strata", *(["packed"] if args.packed else [])]
    pythons = {"decord": args.torch_python}
    pairs = [
        {side: round(run(pythons.get(side, sys.executable), side), 2) for side in sides}
        for _ in range(args.pairs)
    ]
    ratios = [round(pair["strata"] / pair["decord"], 2) for pair in pairs]
    print(
        json.dumps(
            {
                "clips_per_s": pairs,
                "strata_over_decord": ratios,
                "median": statistics.median(ratios),
            }
        )
    )


if __name__ == "__main__":
    main()
