"""What a core tells of itself once it is built."""

import time

from engine_svc.convert import to_info
from engine_svc.core.build import build_core
from engine_svc.core.messages import CoreConfig
from steeple_demo import model_dir
from steeple_rpc.version import steeple_version
from tests.support.engine_infos import engine_info


def test_a_core_tells_how_long_its_loading_took() -> None:
    """All of it: no less than the warm-up, no more than the whole call."""
    begin = time.monotonic()
    built = build_core(CoreConfig(model_dir=str(model_dir()), runner="fake"), lambda *_: None)
    took_s = time.monotonic() - begin
    assert 0 < built.longest_step_s < built.info.load_s < took_s


def test_the_load_time_and_the_version_travel() -> None:
    told = to_info(
        engine_info(load_s=2.5),
        instance_id="i",
        model="m",
        max_num_waiting=1,
        default_max_tokens=1,
        max_message_bytes=99,
    )
    assert told.max_message_bytes == 99
    assert (told.load_ns, told.version) == (2_500_000_000, steeple_version())
