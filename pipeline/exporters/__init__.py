"""Exporters of codecs: one file a format, found by the name that `strata export --to` gives.

A file defines:
  its docstring, whose first line describes it in `strata export --help`.
  FILES: names of the files that it writes into the folder, in this order. A folder that holds the
    first one can be overwritten.
  write(codec, out, *, preview=None): writes a pipeline.Codec into the folder `out`, which may be in
    a bucket (pipeline.storage.transfer.written_folder), and returns the paths of the files.
    `preview` is a picture for people, uint8 [height width 3].
"""
