"""The process in which templates run: `python -m tokenizer_svc.chat.template_worker FD`.

A template is a program of the model's maker. In here it can reach nothing worth having, and the
kernel ends it when it spins: before each rendering a timer of CPU time is set whose signal no
code handles. So a step of the interpreter that nothing in Python can interrupt is ended too, and
a worker whose service was killed ends at the latest then.
"""

import contextlib
import resource
import signal
import socket
import sys
from dataclasses import dataclass, field
from datetime import datetime

from steeple_rpc.errors import InvalidRequest
from tokenizer_svc.chat.frames import Frame, PeerLost, receive_frame, send_frame
from tokenizer_svc.chat.template import ChatTemplate
from tokenizer_svc.chat.template_meter import RenderLimits
from tokenizer_svc.errors import StartupError

KILL_FACTOR = 2.0
"""The kernel's limit of CPU time over the template's own, which tells better what happened."""
EXTRA_MEMORY_BYTES = 256 << 20
"""What a worker may take beyond what it has once it is warm."""


@dataclass(slots=True)
class _Worker:
    """The templates of one worker."""

    templates: dict[int, ChatTemplate] = field(default_factory=dict)

    def answer(self, frame: Frame) -> Frame:
        """What is told back."""
        try:
            if "source" in frame:
                self.templates[frame["template"]] = ChatTemplate(frame["source"], datetime.now)
                return {}
            return {"text": self._rendered(frame)}
        except StartupError as error:
            return {"refused": str(error)}
        except InvalidRequest as error:
            return {"failed": error.message}
        except MemoryError:
            return {"failed": "the model's chat template needs too much memory"}

    def _rendered(self, frame: Frame) -> str:
        limits = RenderLimits(**frame["limits"])
        signal.setitimer(signal.ITIMER_PROF, KILL_FACTOR * limits.max_cpu_s)
        try:
            return self.templates[frame["template"]].render(frame["variables"], limits)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)


_WARM_UPS = (
    "{{ strftime_now('%d %B %Y') }}{{ messages|tojson(indent=2) }}",
    "{{ messages|map(attribute='role')|join(', ')|upper|trim|indent }}",
    "{{ raise_exception('as templates do') }}",
    "{{ 1 / 0 }}",
    "{{ ''.__class__ }}",
    "{% for %}",
)


def _warm_up() -> None:
    """Take each way that a rendering can take: what Python loads lazily must be there already."""
    limits = RenderLimits(max_chars=1 << 20, max_work=1 << 20, max_cpu_s=10.0)
    for source in _WARM_UPS:
        with contextlib.suppress(StartupError, InvalidRequest):
            ChatTemplate(source, datetime.now).render(
                {"messages": [{"role": "user", "content": "Grüße 🦊"}]}, limits
            )


def _confine() -> None:
    """Give up files and memory for good."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - before the door shuts
        num_pages = int(statm.read().split()[0])
    allowed = num_pages * resource.getpagesize() + EXTRA_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # No number is left for a file or a socket.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def main() -> None:
    """Serve one peer until it is gone."""
    # Ctrl-C is for the service; the timer's signal must end the process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    peer = socket.socket(fileno=int(sys.argv[1]))
    _warm_up()
    if sys.platform == "linux":
        _confine()
    worker = _Worker()
    try:
        while True:
            send_frame(peer, worker.answer(receive_frame(peer)))
    except (PeerLost, OSError):
        return


if __name__ == "__main__":
    main()
