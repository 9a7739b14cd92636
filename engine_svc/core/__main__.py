"""The core process: `python -m engine_svc.core FD`, started by the front with a socket."""

import signal
import socket
import sys
import time

from engine_svc.core.build import BuiltCore, build_core
from engine_svc.core.errors import StartupError
from engine_svc.core.guarded_runner import CoreSickError
from engine_svc.core.loop import EngineLoop
from engine_svc.core.messages import CoreConfig, Failed, Loading, Ready, Start
from engine_svc.core.parent_death import end_with_parent
from engine_svc.core.pipe import PeerGone, SocketPipe
from steeple_rpc.telemetry import configure_logging, logger

STARTUP_FAILED = 2
SICK = 3


def main() -> int:
    """Serve the front at the other end of the inherited socket; the exit status."""
    end_with_parent()
    # The front decides when the core ends: a signal to the whole group is the front's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pipe = SocketPipe(socket.socket(fileno=int(sys.argv[1])))
    try:
        return _serve(pipe, _wait_for_config(pipe))
    except PeerGone:
        return 0


def _wait_for_config(pipe: SocketPipe) -> CoreConfig:
    start, *others = pipe.receive(wait=True)
    if not isinstance(start, Start):
        raise TypeError("the first message must be Start")
    if others:
        # Before it was ready, nothing but Stop can follow.
        raise PeerGone
    return start.config


def _serve(pipe: SocketPipe, config: CoreConfig) -> int:
    configure_logging(service="engine-core", level=config.log_level, form=config.log_format)
    try:
        built = _built(pipe, config)
    except StartupError as error:
        pipe.send([Failed(message=str(error))])
        return STARTUP_FAILED
    pipe.send([Ready(info=built.info, longest_step_s=built.longest_step_s)])
    loop = EngineLoop(
        built.scheduler,
        built.runner,
        pipe,
        time.monotonic,
        max_faulty_requests=config.max_faulty_requests,
    )
    try:
        loop.run()
    except CoreSickError as error:
        logger().error("core_sick", why=str(error))
        return SICK
    logger().debug("core_stopped")
    return 0


def _built(pipe: SocketPipe, config: CoreConfig) -> BuiltCore:
    try:
        return build_core(
            config,
            lambda stage, done, total: pipe.send([Loading(stage=stage, done=done, total=total)]),
        )
    except (StartupError, PeerGone):
        raise
    except Exception as error:
        logger().exception("startup_failed")
        raise StartupError(
            "loading the model or its first step failed: the log above has the story"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
