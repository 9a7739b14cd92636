"""What variables of vllm-spyre and sendnn-inference come to."""

import pytest

from engine_svc.old_environment import read_old_environment
from engine_svc.old_variables import BY_NAME, BY_SUFFIX, PREFIXES, Read
from engine_svc.settings import EngineSettings
from steeple_rpc.old_settings import OldSettings
from steeple_rpc.refused import SettingRefused
from steeple_rpc.settings import load_settings

OWN = "STEEPLE_ENGINE_"


def read(**environ: str) -> OldSettings:
    return read_old_environment(environ, OWN)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({"USE_CB": "1"}, {"scheduler": "spyre_continuous"}),
        ({"USE_CB": "1", "USE_CHUNKED_PREFILL": "1"}, {"scheduler": "spyre_chunked"}),
        ({"USE_CB": "0"}, {"scheduler": "static", "warmup_shapes": "64:20:1"}),
        (
            {
                "WARMUP_PROMPT_LENS": "64,128",
                "WARMUP_NEW_TOKENS": "20, 8",
                "WARMUP_BATCH_SIZES": "4,2",
            },
            {"scheduler": "static", "warmup_shapes": "64:20:4,128:8:2"},
        ),
        ({"CP_INTERLEAVE_STEPS": "0"}, {"interleave": False}),
        ({"N_BLOCKS": "2000", "NUM_CPUS": "0"}, {"num_blocks": 2000}),
        ({"NUM_CPUS": "4"}, {"num_threads": 4}),
        ({"USE_CB": ""}, {}),
    ],
)
def test_an_old_variable_becomes_a_setting(
    prefix: str, given: dict[str, str], settings: dict[str, object]
) -> None:
    old = read(**{prefix + name: text for name, text in given.items()})
    assert old.values == settings
    assert {r.facts["setting"] for r in old.remarks} == set(settings)
    assert all(remark.is_warning for remark in old.remarks)


def test_the_engine_obeys_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its own variables and the command line."""
    monkeypatch.setenv("VLLM_SPYRE_USE_CB", "1")
    monkeypatch.setenv("VLLM_DT_MAX_BATCH_TKV_LIMIT", "8192")
    settings = load_settings(EngineSettings, ["--model=/m"])
    assert (settings.scheduler, settings.max_batch_tkv) == ("spyre_continuous", 8192)
    chunked = load_settings(EngineSettings, ["--model=/m", "--scheduler=spyre_chunked"])
    assert chunked.scheduler == "spyre_chunked"


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        (
            {"SENDNN_INFERENCE_USE_CB": "1", "VLLM_SPYRE_USE_CB": "0"},
            "SENDNN_INFERENCE_USE_CB=1 and VLLM_SPYRE_USE_CB=0 contradict each other",
        ),
        (
            {"STEEPLE_ENGINE_SCHEDULER": "continuous", "VLLM_SPYRE_USE_CB": "1"},
            "STEEPLE_ENGINE_SCHEDULER=continuous and VLLM_SPYRE_USE_CB=1 (spyre_continuous)",
        ),
        (
            {"STEEPLE_ENGINE_NUM_BLOCKS": "5", "VLLM_SPYRE_N_BLOCKS": "6"},
            "STEEPLE_ENGINE_NUM_BLOCKS=5 and VLLM_SPYRE_N_BLOCKS=6 (6)",
        ),
        ({"VLLM_SPYRE_USE_CHUNKED_PREFILL": "1"}, "needs VLLM_SPYRE_USE_CB=1"),
        ({"VLLM_SPYRE_USE_CB": "yes"}, "VLLM_SPYRE_USE_CB=yes: it can only be 0 or 1"),
        ({"VLLM_SPYRE_N_BLOCKS": "many"}, "VLLM_SPYRE_N_BLOCKS=many: it must be a whole number"),
        ({"VLLM_SPYRE_N_BLOCKS": "9" * 5000}, "it must be a whole number"),
        ({"VLLM_SPYRE_WARMUP_PROMPT_LENS": "64,128"}, "must be lists of one length"),
    ],
)
def test_what_contradicts_or_cannot_be_read_is_refused(environ: dict[str, str], told: str) -> None:
    with pytest.raises(SettingRefused) as caught:
        read(**environ)
    assert told in str(caught.value)


def test_the_same_said_twice_is_fine() -> None:
    old = read(
        SENDNN_INFERENCE_USE_CB="1",
        VLLM_SPYRE_USE_CB="1",
        VLLM_SPYRE_CP_INTERLEAVE_STEPS="1",
        VLLM_SPYRE_N_BLOCKS="2048",
        STEEPLE_ENGINE_NUM_BLOCKS="2K",
        STEEPLE_ENGINE_SCHEDULER="spyre_continuous",
        STEEPLE_ENGINE_INTERLEAVE="True",
    )
    values = {"scheduler": "spyre_continuous", "interleave": True, "num_blocks": 2048}
    assert old.values == values
    assert old.origins["scheduler"] == ["SENDNN_INFERENCE_USE_CB"]


def test_what_is_not_built_yet_is_warned_of() -> None:
    """Unless the value asks for nothing."""
    old = read(VLLM_SPYRE_DYNAMO_BACKEND="sendnn", VLLM_SPYRE_REQUIRE_KNOWN_CONFIG="0")
    (remark,) = old.remarks
    assert remark.event == "old_variable_without_effect"
    assert remark.facts["variable"] == "VLLM_SPYRE_DYNAMO_BACKEND"
    assert remark.is_warning


def test_what_nothing_needs_is_told_in_one_line() -> None:
    """Shapes, too, where the policy has none."""
    old = read(
        VLLM_USE_V1="1", VLLM_PLUGINS="x", VLLM_SPYRE_USE_CB="1", VLLM_SPYRE_WARMUP_NEW_TOKENS="5"
    )
    (needless,) = [one for one in old.remarks if one.event == "old_variables_needless"]
    assert needless.facts["variables"] == "VLLM_PLUGINS, VLLM_SPYRE_WARMUP_NEW_TOKENS, VLLM_USE_V1"


def test_a_misspelt_old_variable_is_warned_of() -> None:
    (remark,) = read(SENDNN_INFERENCE_N_BLOKS="5").remarks
    assert remark.event == "old_variable_unknown"
    assert "did you mean SENDNN_INFERENCE_N_BLOCKS?" in str(remark.facts["why"])


def test_a_fault_names_the_variable_that_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VLLM_DT_MAX_BATCH_TKV_LIMIT", "8192")
    with pytest.raises(SystemExit):
        load_settings(EngineSettings, ["--model=/m"])
    told = capsys.readouterr().err
    assert told.startswith("error: --max-batch-tkv: the policy continuous does not read it")
    assert told.endswith("(old variables say so: VLLM_DT_MAX_BATCH_TKV_LIMIT)\n")


def test_every_setting_of_the_table_is_one_of_the_engine() -> None:
    for fate in (*BY_SUFFIX.values(), *BY_NAME.values()):
        if isinstance(fate, Read):
            assert fate.setting in EngineSettings.model_fields
