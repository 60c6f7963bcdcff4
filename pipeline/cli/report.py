"""Show runs on one page: figures, samples, reconstructions and clips.

strata report RUN... --out DIR [--title TEXT]

RUN are folders of runs. DIR gets overview.png and index.html, which holds its pictures and clips
and can be sent alone. Shown are the newest evaluation (strata eval), and what strata sample and
strata reconstruct have drawn, if their --json F is a file in the run's folder.

Example:
  strata report runs/digits runs/film --out runs/report
"""

import os

from absl import flags

from pipeline.cli import flags as cli_flags
from pipeline.core.errors import ConfigError

_SHOWN = (".json", ".jsonl", ".png", ".mp4")


def run(argv: list[str]) -> int:
    """Run the command described in the module's docstring; return its exit code."""
    values = cli_flags.new()
    cli_flags.define_path(
        values, "out", "Folder for overview.png and index.html.", written="folder"
    )
    flags.DEFINE_string("title", "Strata", "Title of the page.", flag_values=values)
    rest = cli_flags.parse(values, argv, __doc__)
    if rest is None:
        return 0
    out = cli_flags.required(values, "out")
    if not rest:
        raise ConfigError("name the folders of the runs to show: strata report RUN... --out DIR")
    cli_flags.check_inputs(rest, "RUN")

    from pipeline.core import grids
    from pipeline.reporting import overview, page, sections
    from pipeline.storage import ownership, transfer

    found = [
        sections.read(
            transfer.local_copy(run, name="RUN", wanted=lambda name: name.endswith(_SHOWN))
        )
        for run in rest
    ]
    with ownership.owned(out), transfer.written_folder(out, name="--out") as folder:
        grids.save(os.fspath(folder / "overview.png"), overview.draw(found))
        (folder / "index.html").write_text(page.text(values.title, found))
    print(f"{len(found)} runs: {out}/overview.png and {out}/index.html")
    return 0
