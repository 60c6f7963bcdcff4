"""Failures of a bucket or of the network are retried, or reported with their remedy."""

import threading
import time

import pytest
from bucket_servers import BUCKET

from pipeline.core.errors import ConfigError
from pipeline.storage import access, patience
from pipeline.storage.paths import as_path

SCHEMES = ["gs", "s3"]
pytestmark = pytest.mark.usefixtures("short_pauses")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("fault", [429, 500, 503, "reset", 0.5])
def test_a_transient_fault_is_retried(bucket_servers, tmp_path, scheme, fault):
    proxy = bucket_servers.proxies[scheme]
    path = as_path(f"{scheme}://{BUCKET}/{tmp_path.name}/file")
    proxy.faults.append(fault)
    path.write_text("content")
    proxy.faults.append(fault)
    assert path.read_text() == "content"
    proxy.faults.append(fault)
    assert path.exists()
    assert not proxy.faults


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_failure_that_lasts_is_an_error_and_not_an_absent_file(bucket_servers, tmp_path, scheme):
    proxy = bucket_servers.proxies[scheme]
    path = as_path(f"{scheme}://{BUCKET}/{tmp_path.name}/file")
    proxy.down = True
    try:
        with patience.patience(0.5), pytest.raises(patience.BucketError, match=r"503|Service"):
            path.exists()
    finally:
        proxy.down = False


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("write", [False, True])
def test_a_bucket_that_is_not_there_is_named(bucket_servers, scheme, write):
    began = time.monotonic()
    with pytest.raises(ConfigError, match=f"there is no bucket {scheme}://no-such-bucket"):
        access.check(f"{scheme}://no-such-bucket/run", name="--workdir", write=write)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "status, remedy", [(403, "no permission: (grant|allow)"), (401, "no valid")]
)
def test_a_refusal_comes_with_its_remedy(bucket_servers, scheme, status, remedy):
    proxy = bucket_servers.proxies[scheme]
    proxy.faults.extend([status] * 40)
    try:
        with pytest.raises(ConfigError, match=remedy):
            access.check(f"{scheme}://{BUCKET}/run", name="--workdir", write=True)
    finally:
        proxy.faults.clear()


def test_a_server_that_never_answers_is_reported_in_time(monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(access, "DEADLINE_S", 1.0)
    monkeypatch.setattr(access, "_write", lambda probe: ended.wait(600))
    with pytest.raises(ConfigError, match="no answer within 1 s: check the network"):
        access.check(f"gs://{BUCKET}/run", name="--workdir", write=True)
    ended.set()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_bucket_that_is_down_at_the_start_is_reported_in_time(
    bucket_servers, tmp_path, monkeypatch, scheme
):
    proxy = bucket_servers.proxies[scheme]
    assert access.DEADLINE_S <= 20  # Python and JAX need some of the 30 s.
    monkeypatch.setattr(access, "DEADLINE_S", 0.5)
    proxy.down = True
    try:
        with pytest.raises(ConfigError, match=r"^--workdir [^\n]*check the network[^\n]*$"):
            access.check(f"{scheme}://{BUCKET}/{tmp_path.name}", name="--workdir", write=True)
    finally:
        proxy.down = False


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_bucket_that_is_down_for_a_moment_at_the_start_is_awaited(
    bucket_servers, tmp_path, scheme
):
    proxy = bucket_servers.proxies[scheme]
    proxy.faults.extend([503] * 8)  # more than the clients try by themselves
    access.check(f"{scheme}://{BUCKET}/{tmp_path.name}", name="--workdir", write=True)
    assert not proxy.faults


def test_a_good_bucket_and_local_folders_pass(bucket_servers, tmp_path):
    for scheme in SCHEMES:
        access.check(f"{scheme}://{BUCKET}/new", name="--workdir", write=True)
        assert not as_path(f"{scheme}://{BUCKET}/new").exists()
        access.check(f"{scheme}://{BUCKET}/new", name="--workdir")
    access.check(tmp_path / "none", name="--workdir")


def test_a_connection_that_botocore_reports_as_refused_is_transient():
    exceptions = pytest.importorskip("botocore.exceptions")
    error = exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:9")
    said = patience.described(error, "s3://bucket/run").strerror
    assert "check the network" in said and "127.0.0.1:9" in said
