"""Settings of jax for tests: eight host devices, fast compilation, a persistent program cache."""

import asyncio
import gc
import itertools
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile for minutes and run for milliseconds. Unoptimized code compiles in a third of the
# time, and in a quarter less if LLVM gets a module whole: the workers keep all cores busy anyway.
os.environ["ONE_DEVICE_XLA_FLAGS"] = (  # for subprocesses
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1"
)
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + (
    f" {os.environ['ONE_DEVICE_XLA_FLAGS']} --xla_force_host_platform_device_count=8"
)
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parent.parent / ".jax_cache")
)
# Small programs are cached as well: other workers and subprocesses compile the same ones.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# No test asks a hub on the network; the fixture `hub` is one on 127.0.0.1.
os.environ["HF_HUB_OFFLINE"] = "1"

import jax
import pytest

# Folders whose files take long come first: otherwise one worker idles while another ends with one.
LONG = ("recipes", "training", "cli", "launch", "models", "networks", "codec")
KINDS_OF_BUCKET = ("gs", "s3")
MAPPINGS = pathlib.Path("/proc/self/maps")  # Linux only
MAX_MAPPINGS = 30_000  # Linux allows a process 65,530
# Tracing makes millions of small objects that reference counts free. With Python's threshold of
# 700, looking for cycles among them takes 4% of the time.
gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    """Put the long folders first, which keeps the order within a file, and choose buckets."""
    here = pathlib.Path(__file__).parent

    def folder(item) -> str:
        return item.path.relative_to(here).parts[0]

    items.sort(key=lambda item: LONG.index(folder(item)) if folder(item) in LONG else len(LONG))
    gc.collect()
    gc.freeze()  # imported modules stay: no collection looks at them again
    one_kind_of_bucket([item for item in items if folder(item) != "storage"])


def one_kind_of_bucket(items) -> None:
    """Mark one of a test's two kinds of bucket as slow: a file's first test takes S3, the rest GCS.

    What the clients do differently is tested in tests/storage; the rest sees one interface. A
    request to the S3 on 127.0.0.1 takes several times as long as one to the GCS.
    """
    twins: dict[pathlib.Path, dict[str, dict[str, pytest.Item]]] = {}
    for item in items:
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        values = [value for value in params if isinstance(value, str)]
        for kind in KINDS_OF_BUCKET:
            if kind in values:
                name = item.nodeid.replace(kind, "*")
                twins.setdefault(item.path, {}).setdefault(name, {})[kind] = item
    for found in twins.values():
        pairs = (pair for pair in found.values() if len(pair) == len(KINDS_OF_BUCKET))
        for pair, kind in zip(pairs, itertools.chain(["gs"], itertools.repeat("s3"))):
            pair[kind].add_marker(pytest.mark.slow)


@pytest.fixture(scope="module", autouse=True)
def release_compiled_programs():
    """Drop compiled programs when a process nears the limit of memory mappings.

    A program keeps about four mappings, and XLA crashes in a compilation when none are left.
    """
    yield
    if MAPPINGS.exists() and MAPPINGS.read_text().count("\n") > MAX_MAPPINGS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def bucket_servers():
    """Google Cloud Storage and S3 on 127.0.0.1; see tests/helpers/bucket_servers.py."""
    import bucket_servers as servers

    with servers.running() as running:
        yield running


@pytest.fixture(scope="session")
def hub_of_models():
    """A hub of models on 127.0.0.1; see tests/helpers/hub_server.py."""
    import hub_server

    with hub_server.running() as running:
        yield running


@pytest.fixture
def hub(hub_of_models, tmp_path, monkeypatch):
    """An empty hub that Strata uses, with an empty cache and nobody logged in."""
    from huggingface_hub import constants

    hub_of_models.clear()
    monkeypatch.setenv("HF_ENDPOINT", hub_of_models.address)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    return hub_of_models


@pytest.fixture
def short_pauses(monkeypatch):
    """Let the clients of buckets try again a hundred times sooner than they would."""
    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds, *result: sleep(seconds / 100, *result))


@pytest.fixture(params=KINDS_OF_BUCKET)
def remote(request, bucket_servers, tmp_path, monkeypatch):
    """A new folder in a bucket of each kind; local copies go to the test's own folder."""
    from pipeline.storage import transfer
    from pipeline.storage.paths import as_path

    monkeypatch.setenv(transfer.CACHE, str(tmp_path / "strata-cache"))
    return as_path(f"{request.param}://strata-test/{tmp_path.name}")
