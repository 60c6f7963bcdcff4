"""Makes Orbax write to and read from buckets directly, through TensorStore's drivers.

Orbax 0.12 knows gs:// but not s3://, and leaves TensorStore's retries at up to a quarter of an hour
per request. These are private functions of Orbax: the tests of this file notice when they move.
"""

import functools
import os
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp
from orbax.checkpoint._src.path import gcs_utils
from orbax.checkpoint._src.serialization import tensorstore_utils
from orbax.checkpoint.options import AtomicityMode

from pipeline.storage.paths import AnyPath, is_remote

_RETRIES = {"max_retries": 6, "initial_delay": "500ms", "max_delay": "16s"}


def context(path: AnyPath) -> ocp.Context:
    """Return a new context of Orbax for a checkpoint at `path`.

    In a bucket, Orbax must not write under another name and rename: that copies every object. On a
    disk, folders are made before anything is written: if Orbax makes them in the background, its
    writers may be first, and it then deletes their folder while they write.
    """
    made = ocp.Context()
    if is_remote(path):
        _install()
        made.atomicity.mode = AtomicityMode.COMMIT_FILE
    else:
        made.async_options.create_directories_asynchronously = False
    return made


def key_value_store(path: AnyPath) -> dict[str, Any]:
    """Return TensorStore's spec of the folder or object at a path in a bucket."""
    scheme, _, rest = os.fspath(path).partition("://")
    bucket, _, key = rest.partition("/")
    if scheme == "gs":
        return {"driver": "gcs", "bucket": bucket, "path": key, "gcs_request_retries": _RETRIES}
    spec: dict[str, Any] = {"driver": "s3", "bucket": bucket, "path": key}
    spec["s3_request_retries"] = _RETRIES
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        spec["endpoint"] = endpoint
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        spec["aws_region"] = region
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        # The default would also look for files, and log each one that is not there.
        spec["aws_credentials"] = {"type": "environment"}
    return spec


@functools.cache
def _install() -> None:
    normalize = tensorstore_utils._normalize_path
    tensorstore_utils._normalize_path = lambda path: (
        path.rstrip("/") if is_remote(path) else normalize(path)
    )
    tensorstore_utils._use_gcs_driver = is_remote  # whether to ask the next function
    gcs_utils.get_kvstore_for_gcs = key_value_store


def name_of_this_start() -> str:
    """Return a name that differs between starts of a run, and is the same on all processes."""
    number = np.frombuffer(os.urandom(4), np.uint32)
    if jax.process_count() > 1:
        number = multihost_utils.broadcast_one_to_all(number)
    return f"start_{int(number[0]):08x}"
