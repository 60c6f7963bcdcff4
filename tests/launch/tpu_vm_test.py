"""Tests of launch/tpu_vm/ and launch/xpk/ with fake gcloud and xpk commands."""

import os
import re
import shlex
import signal
import subprocess
import time

import pytest
from launchers import LAUNCH, ROOT, Fakes, run

TPU = ["--name", "t", "--zone", "us-east5-a"]
RUN = ["--config", "configs/quickstart/digits.py", "--workdir", "gs://bucket/run"]


@pytest.fixture
def gcloud(tmp_path) -> Fakes:
    return Fakes(tmp_path, "gcloud", "sleep")


def verbs(fakes: Fakes) -> list[str]:
    """Return the verbs of the calls to the TPU VM, and for ssh the purpose of the command."""
    found = []
    for call in fakes.calls():
        if call["name"] != "gcloud":
            continue
        words = call["arguments"]
        if words[:2] == ["storage", "ls"]:
            continue
        assert words[:3] == ["compute", "tpus", "tpu-vm"] and "--zone=us-east5-a" in words, words
        verb = words[3]
        if verb == "ssh":
            (command,) = [word for word in words if word.startswith("--command=")]
            assert "--worker=all" in words
            verb = next(
                name for name in ("host.sh start", "host.sh code", "pip install") if name in command
            )
        found.append(verb)
    return found


@pytest.mark.parametrize(
    "flags, expected",
    [
        (["--type", "v5p-128"], ["--accelerator-type=v5p-128", "--version=v2-alpha-tpuv5"]),
        (
            ["--type", "v5litepod-16"],
            ["--accelerator-type=v5litepod-16", "--version=v2-alpha-tpuv5-lite"],
        ),
        (
            ["--type", "v6e-64", "--spot"],
            ["--accelerator-type=v6e-64", "--version=v2-alpha-tpuv6e", "--spot"],
        ),
        (
            ["--type", "v4-8", "--version", "v", "--project", "p"],
            ["--project=p", "--accelerator-type=v4-8", "--version=v"],
        ),
        (
            ["--type", "v4-8", "--version", "v", "--service-account", "strata@p.example.com"],
            [
                *["--accelerator-type=v4-8", "--version=v"],
                *["--service-account=strata@p.example.com", "--scopes=cloud-platform"],
            ],
        ),
    ],
)
def test_create(gcloud, flags, expected):
    done = run("tpu_vm/create.sh", *TPU, *flags, **gcloud.environment)
    assert done.returncode == 0, done.stderr
    (call,) = gcloud.calls()
    assert call["arguments"] == [
        "compute",
        "tpus",
        "tpu-vm",
        "create",
        "t",
        "--zone=us-east5-a",
        *expected,
    ]
    shown = run("tpu_vm/create.sh", *TPU, *flags, "--dry-run")
    assert shlex.split(shown.stdout) == ["gcloud", *call["arguments"]]


def test_setup_copies_what_git_tracks_and_installs_it(gcloud, tmp_path):
    gcloud.answer("gcloud", f'[[ $4 != scp ]] || cp "$5" {tmp_path}/copied.tar.gz')
    done = run("tpu_vm/setup.sh", *TPU, **gcloud.environment)
    assert done.returncode == 0, done.stderr
    assert verbs(gcloud) == ["scp", "pip install"]
    copy = gcloud.calls()[0]["arguments"]
    assert copy[5] == "t:strata.tar.gz" and "--worker=all" in copy
    names = subprocess.run(
        ["tar", "tzf", tmp_path / "copied.tar.gz"], capture_output=True, text=True
    ).stdout.split()
    assert {
        "pyproject.toml",
        "constraints.txt",
        "launch/entry.sh",
        "pipeline/core/errors.py",
    } <= set(names)
    assert not [name for name in names if name.startswith((".venv", ".git/"))]
    assert not os.path.exists(copy[4])


def test_run_quotes_for_the_remote_shell(gcloud):
    run(
        "tpu_vm/run.sh",
        *TPU,
        *RUN,
        "--grace",
        "9",
        "--",
        "--config.note=a 'b' $c",
        **gcloud.environment,
    )
    (call,) = gcloud.calls()
    command = call["arguments"][-1].removeprefix("--command=")
    assert shlex.split(command) == [
        *[
            "cd",
            "strata",
            "&&",
            "STRATA_GRACE=9",
            "launch/tpu_vm/host.sh",
            "start",
            "strata",
            "train",
        ],
        *[
            "--config=configs/quickstart/digits.py",
            "--workdir=gs://bucket/run",
            "--config.note=a 'b' $c",
        ],
    ]


def test_logs_and_delete(gcloud):
    run("tpu_vm/logs.sh", *TPU, "--host", "3", "--lines", "7", **gcloud.environment)
    assert gcloud.calls()[-1]["arguments"][-2:] == [
        "--worker=3",
        "--command=tail -n 7 -F strata-run/log",
    ]
    run("tpu_vm/delete.sh", *TPU, **gcloud.environment)
    assert "host.sh stop" in gcloud.calls()[-2]["arguments"][-1]
    assert gcloud.calls()[-1]["arguments"] == [
        *["compute", "tpus", "tpu-vm", "delete", "t", "--zone=us-east5-a", "--quiet"]
    ]
    before = len(gcloud.calls())
    run("tpu_vm/delete.sh", *TPU, "--wait", "0", **gcloud.environment)
    assert len(gcloud.calls()) == before + 1


# A fake gcloud: files `states` and `codes` in $ANSWERS hold one line for each query.
STORY = """
next() {
  head -n 1 "$ANSWERS/$1"
  sed -i 1d "$ANSWERS/$1"
}
case "$4 $*" in
  describe*)
    state=$(next states)
    case $state in
      ABSENT)
        echo "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: no such resource" >&2
        exit 1 ;;
      BROKEN) echo "ERROR: connection reset" >&2; exit 1 ;;
      *) echo "$state" ;;
    esac ;;
  ssh*"host.sh code"*) next codes | tr , '\\n' ;;
  create*)
    if [[ -e $ANSWERS/no_capacity ]]; then
      rm "$ANSWERS/no_capacity"
      echo "no capacity" >&2
      exit 1
    fi ;;
  *"storage ls"*) echo "One or more URLs matched no objects." >&2; exit 1 ;;
esac
"""
UP = ["scp", "pip install", "host.sh start"]


def babysit(fakes: Fakes, states: str, codes: str, *flags: str, story: str = STORY):
    (fakes.answers / "states").write_text("\n".join(states.split()) + "\n")
    (fakes.answers / "codes").write_text("\n".join(codes.split()) + "\n")
    fakes.answer("gcloud", story)
    return run(
        "tpu_vm/babysit.sh",
        *TPU,
        "--type",
        "v5p-16",
        *RUN,
        "--interval",
        "1",
        *flags,
        **fakes.environment,
        STRATA_PYTHON="false",  # nothing but gcloud is installed
    )


def test_babysit_creates_sets_up_runs_and_is_done(gcloud):
    done = babysit(gcloud, "ABSENT CREATING READY READY READY", "none,none running,running 0,0")
    assert done.returncode == 0, done.stderr
    looks = ["describe", "host.sh code"]
    assert verbs(gcloud) == ["describe", "create", "describe", *looks, *UP, *looks, *looks]


def test_babysit_recreates_a_preempted_tpu_and_resumes(gcloud):
    done = babysit(
        gcloud,
        "READY READY PREEMPTED READY READY",
        "running,running running,running none,none 0,0",
        "--spot",
    )
    assert done.returncode == 0, done.stderr
    looks = ["describe", "host.sh code"]
    assert verbs(gcloud) == [*looks, *looks, "describe", "delete", "create", *looks, *UP, *looks]
    (create,) = [call["arguments"] for call in gcloud.calls() if "create" in call["arguments"]]
    assert "--spot" in create and "--accelerator-type=v5p-16" in create


def test_babysit_restarts_after_preemptions_and_a_limited_number_of_crashes(gcloud):
    codes = "none,none running,running 75,75 134,137 70,134 134,none"
    done = babysit(gcloud, "READY " * 6, codes, "--max-restarts", "2")
    assert done.returncode == 137, done.stderr
    assert verbs(gcloud).count("host.sh start") == 4  # the first, after 75, and twice after crashes
    assert "2 restarts in a row brought no checkpoint" in done.stderr


def test_babysit_resets_its_count_at_a_newer_checkpoint(gcloud):
    listing = 'next steps | sed "s,.*,gs://bucket/run/checkpoints/&/manifest.json,"'
    story = re.sub(r'(\*"storage ls"\*\)).*(?= ;;)', rf"\1 {listing}", STORY)
    (gcloud.answers / "steps").write_text("10\n20\n20\n20\n")
    done = babysit(
        gcloud, "READY " * 6, "running 134 134 134 134", "--max-restarts", "2", story=story
    )
    assert done.returncode == 134 and "newer than step 20" in done.stderr, done.stderr
    assert verbs(gcloud).count("host.sh start") == 3


@pytest.mark.parametrize("codes, code", [("65,134", 65), ("2,2", 2), ("134,76", 76)])
def test_babysit_ends_at_failures_that_a_restart_does_not_fix(gcloud, codes, code):
    done = babysit(gcloud, "READY READY", f"running,running {codes}")
    assert done.returncode == code and "not started again" in done.stderr
    assert {"delete", "create", "host.sh start"}.isdisjoint(verbs(gcloud))


def test_babysit_ignores_the_state_of_an_older_run(gcloud):
    done = babysit(gcloud, "READY READY", "65,65 0,0")
    assert done.returncode == 0 and verbs(gcloud).count("host.sh start") == 1


def test_babysit_deletes_nothing_when_gcloud_fails_and_retries_a_create(gcloud):
    (gcloud.answers / "no_capacity").touch()
    done = babysit(gcloud, "BROKEN ABSENT ABSENT READY READY", "none 0")
    assert done.returncode == 0, done.stderr
    assert verbs(gcloud).count("create") == 2 and "delete" not in verbs(gcloud)
    assert "connection reset" in done.stderr and "trying again" in done.stderr


def test_babysit_creates_with_the_service_account(gcloud):
    flags = ["--type", "v5p-16", *RUN, "--service-account", "strata@p.example.com", "--dry-run"]
    done = run("tpu_vm/babysit.sh", *TPU, *flags, **gcloud.environment)
    assert "--service-account=strata@p.example.com" in done.stdout.splitlines()[0]


def test_babysit_dry_run_shows_the_three_steps(gcloud):
    done = run(
        "tpu_vm/babysit.sh", *TPU, "--type", "v5p-16", *RUN, "--dry-run", **gcloud.environment
    )
    steps = [shlex.split(line)[4] for line in done.stdout.splitlines()]
    assert steps == ["create", "scp", "ssh", "ssh"] and gcloud.calls() == []


def test_a_host_runs_one_command_reports_its_code_and_passes_term_on(tmp_path):
    def host(*arguments: str) -> str:
        command = [str(LAUNCH / "tpu_vm" / "host.sh"), *arguments]
        environment = os.environ | {"HOME": str(tmp_path), "STRATA_GRACE": "20"}
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def code_when_it_left() -> str:
        for _ in range(1200):
            if (code := host("code").strip()) != "running":
                return code
            time.sleep(0.1)
        raise TimeoutError

    assert host("code") == "none\n"
    host(
        "start",
        "bash",
        "-c",
        "trap 'echo saved; exit 75' TERM; echo up; while :; do sleep 0.05; done",
    )
    assert host("code") == "running\n"
    assert "is running already" in host("start", "true")
    log = tmp_path / "strata-run" / "log"
    for _ in range(1200):
        if "up" in log.read_text():
            break
        time.sleep(0.1)
    host("stop")
    assert code_when_it_left() == "75" and "saved" in log.read_text()
    host("start", "bash", "-c", "exit 65")
    assert code_when_it_left() == "65"
    # A rebooted host has a stale process id, and no code.
    (tmp_path / "strata-run" / "code").unlink()
    process = subprocess.Popen(["true"])
    process.send_signal(signal.SIGKILL)
    process.wait()
    (tmp_path / "strata-run" / "keeper").write_text(f"{process.pid}\n")
    assert host("code") == "none\n"


XPK = ["--cluster", "c", "--workload", "w", "--image", "registry.example/strata:1", *RUN]


def test_xpk(tmp_path):
    fakes = Fakes(tmp_path, "xpk")
    flags = [
        *XPK,
        "--tpu-type",
        "v5p-128",
        "--slices",
        "2",
        "--grace",
        "60",
        "--zone",
        "us-east5-a",
    ]
    done = run("xpk/submit.sh", *flags, "--", "--config.note=a b", **fakes.environment)
    assert done.returncode == 0, done.stderr
    (call,) = fakes.calls()
    words = call["arguments"]
    assert words[:2] == ["workload", "create"]
    # Flags of `xpk workload create`, in src/xpk/parser/workload.py of AI-Hypercomputer/xpk.
    given = dict(
        word.removeprefix("--").split("=", 1) for word in words[2:] if not word.startswith("--env")
    )
    command = shlex.split(given.pop("command"))
    assert given == {
        "cluster": "c",
        "workload": "w",
        "tpu-type": "v5p-128",
        "num-slices": "2",
        "docker-image": "registry.example/strata:1",
        "zone": "us-east5-a",
        "priority": "medium",
        "max-restarts": "50",
        # xpk itself restarts on 42 and 127 to 255.
        "restart-on-exit-codes": "1,70,75",
        "termination-grace-period-seconds": "90",
    }
    assert "--env=STRATA_GRACE=60" in words
    assert command == [
        *[
            "exec",
            "/strata/launch/entry.sh",
            "strata",
            "train",
            "--config=configs/quickstart/digits.py",
        ],
        *["--workdir=gs://bucket/run", "--config.note=a b"],
    ]
    shown = run("xpk/submit.sh", *flags, "--dry-run", "--", "--config.note=a b")
    assert shlex.split(shown.stdout) == ["xpk", *words]


def test_xpk_on_gpus():
    shown = run("xpk/submit.sh", *XPK, "--device-type", "h100-80gb-8", "--nodes", "4", "--dry-run")
    words = shlex.split(shown.stdout)
    assert "--device-type=h100-80gb-8" in words and "--num-nodes=4" in words
