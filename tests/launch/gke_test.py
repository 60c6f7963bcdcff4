"""The manifests of launch/gke/ satisfy Kubernetes' and JobSet's schemas and the flags."""

import subprocess
from typing import Any

import jobset_schema
import jsonschema
import kubernetes_validate
import pytest
import yaml
from launchers import LAUNCH, Fakes, manifest, run

KUBERNETES = ["1.29", kubernetes_validate.latest_version()]
COMMON = [
    "--name",
    "vdvae",
    "--image",
    "registry.example/strata:1",
    "--config",
    "configs/vdvae/imagenet64.py:tiny",
]
COMMON += ["--workdir", "/runs/vdvae"]
TPU = [
    "--kind",
    "tpu",
    *COMMON,
    "--accelerator",
    "tpu-v5p-slice",
    "--topology",
    "4x4x4",
    "--slices",
    "2",
]
GPU = ["--kind", "gpu", *COMMON, "--accelerator", "nvidia-h100-80gb", "--nodes", "4"]
OPTIONS = [
    "--queue",
    "research",
    "--host-network",
    "--spot",
    "--volume",
    "runs:/runs",
    "--service-account",
    "strata",
]
OPTIONS += ["--namespace", "training", "--grace", "600", "--max-restarts", "7"]


def check(jobset: dict[str, Any]) -> None:
    assert jobset.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    jsonschema.validate(jobset["spec"], jobset_schema.SPEC)
    for replicated in jobset["spec"]["replicatedJobs"]:
        job = dict(
            apiVersion="batch/v1", kind="Job", metadata=dict(name="j"), **replicated["template"]
        )
        for version in KUBERNETES:
            kubernetes_validate.validate(job, version, strict=True)


def job_of(jobset: dict[str, Any]) -> dict[str, Any]:
    (replicated,) = jobset["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]


def pod_of(jobset: dict[str, Any]) -> dict[str, Any]:
    return job_of(jobset)["template"]["spec"]


def container_of(jobset: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(jobset)["containers"]
    return container


@pytest.mark.parametrize("options", [[], OPTIONS], ids=["plain", "all options"])
@pytest.mark.parametrize("kind", [TPU, GPU], ids=["tpu", "gpu"])
def test_fields_of_every_jobset(kind, options):
    (jobset,) = manifest(*kind, *options, "--", "--config.batch_size=64")
    check(jobset)
    job, pod, container = job_of(jobset), pod_of(jobset), container_of(jobset)
    assert job["backoffLimit"] == 0 and job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"]
    assert pod["restartPolicy"] == "Never"
    assert container["command"] == [
        *[
            "/strata/launch/entry.sh",
            "strata",
            "train",
            "--config=configs/vdvae/imagenet64.py:tiny",
        ],
        *["--workdir=/runs/vdvae", "--config.batch_size=64"],
    ]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    grace = 600 if options else 300
    assert (
        environment["STRATA_GRACE"] == str(grace)
        and pod["terminationGracePeriodSeconds"] == grace + 30
    )
    assert jobset["spec"]["network"] == dict(enableDNSHostnames=True, publishNotReadyAddresses=True)
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] == (7 if options else 50)


@pytest.mark.parametrize("kind", [TPU, GPU], ids=["tpu", "gpu"])
def test_options(kind):
    (plain,), (full,) = manifest(*kind), manifest(*kind, *OPTIONS)
    assert "labels" not in plain["metadata"] and plain["metadata"]["namespace"] == "default"
    assert full["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "research"}
    assert full["metadata"]["namespace"] == "training"
    pod = pod_of(full)
    assert pod["hostNetwork"] is True and pod["dnsPolicy"] == "ClusterFirstWithHostNet"
    assert pod["serviceAccountName"] == "strata"
    assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert {"key": "cloud.google.com/gke-spot", "operator": "Exists"} in pod["tolerations"]
    assert {"name": "work", "persistentVolumeClaim": {"claimName": "runs"}} in pod["volumes"]
    assert {"name": "work", "mountPath": "/runs"} in container_of(full)["volumeMounts"]
    assert "hostNetwork" not in pod_of(plain) and "serviceAccountName" not in pod_of(plain)


def test_tpu_slices():
    (jobset,) = manifest(*TPU)
    (replicated,) = jobset["spec"]["replicatedJobs"]
    assert (
        replicated["replicas"] == 2 and job_of(jobset)["completions"] == 16
    )  # 64 chips, 4 per host
    assert pod_of(jobset)["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5p-slice",
        "cloud.google.com/gke-tpu-topology": "4x4x4",
    }
    resources = container_of(jobset)["resources"]
    assert resources["limits"] == resources["requests"] == {"google.com/tpu": 4}
    exclusive = jobset["metadata"]["annotations"]["alpha.jobset.sigs.k8s.io/exclusive-topology"]
    assert exclusive == "cloud.google.com/gke-nodepool"
    (single,) = manifest(*TPU, "--topology", "2x4", "--chips-per-host", "8", "--slices", "1")
    assert job_of(single)["completions"] == 1


def test_gpu_nodes_find_process_0_without_the_kubernetes_api():
    (jobset,) = manifest(*GPU)
    assert job_of(jobset)["completions"] == 4
    assert pod_of(jobset)["nodeSelector"] == {
        "cloud.google.com/gke-accelerator": "nvidia-h100-80gb"
    }
    assert container_of(jobset)["resources"]["limits"] == {"nvidia.com/gpu": 8}
    environment = {variable["name"]: variable["value"] for variable in container_of(jobset)["env"]}
    # <JobSet>-<replicated job>-<job>-<pod>.<subdomain>; the subdomain is the JobSet's name.
    (replicated,) = jobset["spec"]["replicatedJobs"]
    assert environment["STRATA_COORDINATOR"] == f"vdvae-{replicated['name']}-0-0.vdvae:8476"
    assert environment["STRATA_NUM_PROCESSES"] == "4"
    done = run("entry.sh", "echo", **environment, JOB_COMPLETION_INDEX="3")
    assert done.stdout.split() == [
        *["--coordinator_address=vdvae-node-0-0.vdvae:8476", "--num_processes=4", "--process_id=3"]
    ]


@pytest.mark.parametrize("kind", [TPU, GPU], ids=["tpu", "gpu"])
def test_the_exit_codes_match_the_verdict(kind):
    (jobset,) = manifest(*kind)
    (rule,) = job_of(jobset)["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob" and rule["onExitCodes"]["operator"] == "In"
    assert rule["onExitCodes"]["containerName"] == container_of(jobset)["name"]
    script = (
        f"source {LAUNCH}/verdict.sh; "
        "for c in {1..255}; do [[ $(verdict $c) != stop ]] || echo $c; done"
    )
    stop = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    assert rule["onExitCodes"]["values"] == [int(code) for code in stop.split()]
    (fatal,) = jobset["spec"]["failurePolicy"]["rules"]
    assert fatal["action"] == "FailJobSet" and fatal["onJobFailureReasons"] == ["PodFailurePolicy"]


def test_rbac():
    account, role, binding = documents = manifest("--kind", "rbac", "--namespace", "training")
    for document in documents:
        assert document["metadata"] == dict(name="strata", namespace="training")
        for version in KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)
    allowed = {
        (resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    # What jax's detection queries: lists of pods and services, and the pod's Job.
    assert {("pods", "list"), ("services", "list"), ("jobs", "get")} <= allowed
    assert not {verb for _, verb in allowed} - {"get", "list"}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [dict(kind="ServiceAccount", **account["metadata"])]


def test_the_schemas_reject_errors():
    (jobset,) = manifest(*GPU)
    job_of(jobset)["template"]["spec"]["gracePeriod"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        check(jobset)
    (jobset,) = manifest(*GPU)
    jobset["spec"]["failurePolicy"]["maxRestart"] = 3
    with pytest.raises(jsonschema.ValidationError):
        check(jobset)


@pytest.mark.parametrize(
    "text",
    ['a"b', "a\\b", "a: b # c", "{a}", "${NAME}", "*a", "a&b", "é", "true", "$1 `x`", "a\nb\tc"],
)
def test_any_text_arrives_unchanged(text):
    (jobset,) = manifest(*GPU, "--", f"--config.note={text}")
    check(jobset)
    assert container_of(jobset)["command"][-1] == f"--config.note={text}"


def test_kubernetes_is_kept_from_replacing_variables():
    (jobset,) = manifest(*GPU, "--", "--config.note=$(HOME)")
    assert container_of(jobset)["command"][-1] == "--config.note=$$(HOME)"


@pytest.mark.parametrize("name", ["true", "null", "on"])
def test_names_stay_text(name):
    (jobset,) = manifest(*GPU, "--name", name, "--namespace", "123")
    assert jobset["metadata"] == dict(name=name, namespace="123")


def test_a_dry_run_shows_what_is_applied(tmp_path):
    fakes = Fakes(tmp_path, "kubectl")
    done = run("gke/submit.sh", *TPU, *OPTIONS, **fakes.environment)
    assert done.returncode == 0, done.stderr
    (call,) = fakes.calls()
    assert call["arguments"] == ["apply", "-f", "-"]
    assert list(yaml.safe_load_all(call["piped"])) == manifest(*TPU, *OPTIONS)


def test_a_dry_run_needs_no_more_than_the_shape():
    (jobset,) = manifest("--kind", "gpu", "--nodes", "4")
    assert job_of(jobset)["completions"] == 4 and jobset["metadata"]["name"] == "NAME"
