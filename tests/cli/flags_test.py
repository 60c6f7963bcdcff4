"""Flags: recipes and overrides in any order; one line for each bad flag or recipe."""

import pytest

from pipeline.cli import dispatch, flags
from pipeline.core.errors import ConfigError

QUICKSTART = "configs/quickstart/digits.py"


def parsed(*argv: str):
    values = flags.new()
    flags.define_config(values, list(argv))
    flags.parse(values, list(argv), "doc")
    return flags.config_of(values)


def test_overrides_may_precede_the_recipe_and_keep_their_type():
    config = parsed(
        "--config.batch_size=4", "--config", f"{QUICKSTART}:tiny", "--config.data.flip=false"
    )
    assert config.batch_size == 4 and config.data.flip is False and config.num_steps == 4


def test_a_list_is_overridden_by_a_tuple():
    recipe = "configs/wf_vae/s_4ch.py"
    assert parsed(f"--config={recipe}", "--config.stages=()").stages == ()
    (stage,) = parsed(f"--config={recipe}", '--config.stages=({"num_steps": 5},)').stages
    assert dict(stage) == {"num_steps": 5}


def test_an_override_may_have_any_type_that_its_key_accepts(tmp_path):
    recipe = "--config=configs/wf_vae/s_4ch.py"
    config = parsed(
        recipe,
        "--config.data.fps=23.976",
        "--config.objective.logvar",
        "learned",
        "--config.seed=3",
    )
    assert config.data.fps == 23.976 and config.objective.logvar == "learned" and config.seed == 3
    # An integer stays an integer: a dataset's fingerprint distinguishes 24 from 24.0.
    assert repr(parsed(recipe, "--config.data.fps=24").data.fps) == "24"
    assert parsed(recipe, "--config.data.path=2024").data.path == "2024"
    learned = tmp_path / "learned.py"
    learned.write_text(
        "import ml_collections\n"
        "def get_config(arg=''):\n"
        "    return ml_collections.ConfigDict(\n"
        "        dict(step='adversarial', objective=dict(logvar='learned'))\n"
        "    )\n"
    )
    assert parsed(f"--config={learned}", "--config.objective.logvar=-0.5").objective.logvar == -0.5
    assert parsed(recipe, "--config.watchdog.minutes=0.5").watchdog.minutes == 0.5
    with pytest.raises(ConfigError, match=r"config\.data\.stride=1\.5"):
        parsed(recipe, "--config.data.stride=1.5")


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--config.batch_size=4"], "needs --config FILE"),
        (["--config=nowhere.py"], "no such recipe file"),
        (
            [f"--config={QUICKSTART}", "--config.batchsize=4"],
            "config has no 'batchsize'; did you mean 'batch_size'",
        ),
        (
            [f"--config={QUICKSTART}", "--config.model.widht=4"],
            "config.model has no 'widht'; did you mean 'width'",
        ),
        ([f"--config={QUICKSTART}", "--config.seed.x=4"], "config.seed is a single value"),
        ([f"--config={QUICKSTART}", "--config.batch_size=four"], "config.batch_size=four"),
        ([f"--config={QUICKSTART}", "--config.batch_size"], "--config.batch_size needs a value"),
        ([f"--config={QUICKSTART}", "--config.batch_size=2.5"], "must be an integer"),
        ([f"--config={QUICKSTART}", "--config.checkpoint.folder=None"], "must be text"),
        ([f"--config={QUICKSTART}", "--config.data.flip=maybe"], "must be true or false"),
        ([f"--config={QUICKSTART}", "--config.model=3"], "must be a dict"),
        (["--config"], "--config needs a file"),
        (["--config", "configs"], "Is a directory"),
        (["--config", "a\0b"], "--config a"),
        ([f"--config={QUICKSTART}", "--steps=4"], "steps"),
        ([], "--config FILE is missing"),
    ],
)
def test_bad_flags_are_one_line(argv, message):
    with pytest.raises(ConfigError) as error:
        parsed(*argv)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_flag_file_is_the_command_line(tmp_path):
    inner, file = tmp_path / "inner", tmp_path / "flags"
    inner.write_text("--config.data.flip\n")
    file.write_text(
        f"# a comment\n--config {QUICKSTART}:tiny\n\n--config.batch_size=4\n--flagfile={inner}\n"
    )
    config = parsed(*flags.expanded(["--flagfile", str(file), "--config.seed=5e8"]))
    assert config.batch_size == 4 and config.data.flip is True and config.num_steps == 4
    assert config.seed == 500_000_000 and isinstance(config.seed, int)
    assert flags.expanded(["--", "--flagfile=x"]) == ["--", "--flagfile=x"]
    inner.write_text(f"--flagfile={file}\n")
    for argument, message in [
        (f"--flagfile={file}", "contains itself"),
        ("--flagfile=/nowhere", "--flagfile /nowhere: No such file"),
        ("--flagfile", "--flagfile needs a file"),
    ]:
        with pytest.raises(ConfigError, match=message):
            flags.expanded([argument])


def test_a_switch_takes_no_value_and_other_keys_do():
    config = parsed(
        f"--config={QUICKSTART}", "--config.data.flip", "--config.objective.logvar", "-2"
    )
    assert config.data.flip is True and config.objective.logvar == -2.0
    assert parsed(f"--config={QUICKSTART}", "--config.data.flip", "false").data.flip is False


def test_commands_have_exit_codes_and_suggest_the_nearest_name(capsys):
    assert dispatch([]) == 2 and dispatch(["--help"]) == 0
    capsys.readouterr()
    assert dispatch(["trian"]) == 2
    assert capsys.readouterr().err == (
        "strata trian: 'trian' is not a command: did you mean 'train'?; strata --help lists all\n"
    )
    assert dispatch(["eval", "--stpe", "3"]) == 2
    assert "there is no flag --stpe: did you mean 'step'?; --help" in capsys.readouterr().err
    assert dispatch(["train", "--config", QUICKSTART]) == 2
    assert "--workdir is missing" in capsys.readouterr().err
