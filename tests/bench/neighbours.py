"""How busy others keep the machine while a benchmark runs: a figure that they spoilt should say so."""

import os
import resource

import psutil


def _busy() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def _own() -> float:
    """CPU seconds of this process and of all that it started, the ended ones too."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    spent = ended.ru_utime + ended.ru_stime + own.ru_utime + own.ru_stime
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
        except psutil.Error:
            continue
    return spent


class Neighbours:
    """From its making on: the share of all cores that went to other people's processes."""

    def __init__(self) -> None:
        self._busy, self._own, self._at = _busy(), _own(), os.times().elapsed

    def share(self) -> float:
        available = (os.times().elapsed - self._at) * (os.cpu_count() or 1)
        others = (_busy() - self._busy) - (_own() - self._own)
        return max(0.0, others / available) if available else 0.0
