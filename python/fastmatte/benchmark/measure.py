"""Times of cases: whoever takes part alternates within a round, so that all meet the same machine.

A round gives each its turn, some milliseconds of one call after the other. A row's times are
medians over the rounds, its ratio the median of the rounds' ratios. memcpy takes part as well: the
bound is what moving the case's bytes took in those very rounds, or what its operations take at the
rate that this processor reaches on nothing but arithmetic, if that is longer. What more threads can
gain is measured too: as many calls at once, each on one thread and with arrays of its own. They
share no work, so what slows them is the machine, and the threads of one call meet it as well.
Kernels write into an array that is there, as for a video's frames; peers make their results, as
they are mostly called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from statistics import fmean, median
from threading import Barrier
from time import perf_counter
from typing import Any

import numpy as np

from fastmatte import _core, cpu
from fastmatte.arrays import Array
from fastmatte.benchmark import peers
from fastmatte.benchmark.cases import Case
from fastmatte.benchmark.scene import SIZES, Scene

__all__ = ["Row", "difference", "measure"]

#: Of one turn, after the call that brings its data back.
TURN_SECONDS = 0.004
LEAST_ROUNDS = 5

#: What a case must reach it must at this size, with one thread on the strongest instruction set.
JUDGED_SIZE = "1080p"
#: With 2 threads for 1, and for each pixel of a larger frame.
LEAST_SPEED_UP = 1.7
MOST_GROWTH = 1.1
#: Above this many pixels.
MEGAPIXEL = 1_000_000

OURS, AT_ONCE, COPY = "fastmatte", "at once", "memcpy"


@dataclass(frozen=True)
class Row:
    """What came out for one case, size, instruction set and thread count. Times in milliseconds.

    peers:     None for one that is not installed.
    differing: peers whose answer is not ours, and by how many levels: their time tells nothing.
    ratio:     how many times as long the first peer took; None without it.
    at_least:  what the ratio must be, of_bound what the share must be, where the case is judged.
    bound:     the least time that memory or arithmetic allows; bound_by says which of the two.
    share:     the part of our time that the bound is.
    bytes:     how many are read and written.
    copying:   what memcpy took to read and write as many.
    scratch:   the most bytes that the kernel held beside its inputs and its result.
    speed_up:  against the first of several thread counts, in the same rounds.
    at_once:   how many times as much as one call gets done in as many at once as threads, each on
        one of them; where the first thread count is 1.
    growth:    of the time for each pixel of the frame, against the first of several sizes.
    copying_growth: the same of memcpy. What does not fit the caches is slower for anyone.
    """

    kernel: str
    work: str
    size: str
    isa: str
    threads: int
    milliseconds: float
    peers: Mapping[str, float | None]
    differing: Mapping[str, float]
    ratio: float | None
    at_least: float | None
    bound: float
    bound_by: str
    share: float
    of_bound: float | None
    bytes: int
    copying: float
    operations: float
    scratch: int
    speed_up: float | None = None
    at_once: float | None = None
    growth: float | None = None
    copying_growth: float | None = None
    rounds: int = 0

    @property
    def name(self) -> str:
        """The case's."""
        return f"{self.kernel} {self.work}".strip()

    @property
    def missed(self) -> tuple[str, ...]:
        """What the row should have reached and did not, by the names of its fields."""
        many = _area(self.size) > MEGAPIXEL
        limits = {
            "ratio": (self.ratio, self.at_least),
            "share": (self.share, self.of_bound),
            "speed_up": (self.speed_up, LEAST_SPEED_UP if many and self.threads == 2 else None),
            # The smaller the better.
            "growth": (self.growth and -self.growth, -MOST_GROWTH if many else None),
        }
        return tuple(
            name
            for name, (reached, least) in limits.items()
            if reached is not None and least is not None and reached < least
        )


def measure(
    cases: Sequence[Case],
    *,
    sizes: Sequence[str] = ("1080p",),
    isas: Sequence[str] | None = None,
    threads: Sequence[int] = (1,),
    seconds: float = 1.0,
    runs: int = 1,
    advance: Callable[[], object] = lambda: None,
) -> list[Row]:
    """Return the rows of each case, by size, then instruction set, then threads.

    sizes:   names in SIZES.
    isas:    some of cpu.available(), None for the active one.
    threads: the counts that kernels, OpenCV and memcpy may use.
    seconds: the least time for a case's rounds.
    runs:    how often it all runs from the beginning; figures are medians over the runs.
    advance: called whenever a case has run.
    """
    isas = isas or [cpu.active()]
    tables: list[list[Row]] = []
    scenes = {size: Scene(SIZES[size]) for size in sizes}
    for _ in range(runs):
        tables.append([])
        for case in cases:
            first: dict[tuple[str, int], Row] = {}
            for size in sizes:
                for row in _measure_case(case, size, scenes[size], isas, threads, seconds):
                    base = first.setdefault((row.isa, row.threads), row)
                    if base is not row:
                        pixels = _area(size) / _area(base.size)
                        row = replace(
                            row,
                            growth=row.milliseconds / base.milliseconds / pixels,
                            copying_growth=row.copying / base.copying / pixels,
                        )
                    tables[-1].append(row)
            advance()
    return [_median_row(rows) for rows in zip(*tables, strict=True)]


def _area(size: str) -> int:
    height, width = SIZES[size]
    return height * width


def _median_row(rows: Sequence[Row]) -> Row:
    def middle(name: str) -> Any:
        values = [getattr(row, name) for row in rows]
        return None if values[0] is None else median(values)

    names = ["milliseconds", "ratio", "bound", "share", "copying"]
    names += ["speed_up", "at_once", "growth", "copying_growth"]
    times = {
        name: None if time is None else median(row.peers[name] or 0 for row in rows)
        for name, time in rows[0].peers.items()
    }
    figures = {name: middle(name) for name in names}
    return replace(rows[0], peers=times, rounds=sum(row.rounds for row in rows), **figures)


@dataclass(frozen=True)
class _Contender:
    """One that takes turns: a call, or several at once in Python threads of their own."""

    name: str
    isa: str
    threads: int
    calls: Sequence[Callable[[], object]]

    def turn(self) -> float:
        """Return the seconds of a call, the mean of those at once."""
        peers.use_threads(self.threads)
        # For the whole process, so not in each of the threads.
        with cpu.force(self.isa):
            if len(self.calls) == 1:
                return _turn(self.calls[0])
            ready = Barrier(len(self.calls))
            with ThreadPoolExecutor(len(self.calls)) as pool:
                return fmean(pool.map(lambda call: _turn(call, ready.wait), self.calls))


def _turn(call: Callable[[], object], ready: Callable[[], object] = lambda: None) -> float:
    """Return the seconds of a call: the median of those that follow one on the same data.

    The first never counts, however long: it reads what another left in the caches, or its own where
    that other had the same arrays.
    """
    call()
    ready()
    ends = [perf_counter()]
    while len(ends) < 2 or ends[-1] - ends[0] < TURN_SECONDS:
        call()
        ends.append(perf_counter())
    return median(end - begin for begin, end in pairwise(ends))


def _measure_case(
    case: Case,
    size: str,
    scene: Scene,
    isas: Sequence[str],
    threads: Sequence[int],
    seconds: float,
) -> Iterator[Row]:
    inputs, options = case.inputs(scene), case.options(scene)
    out = case.call(*inputs, **options, threads=1)
    call = partial(case.call, *inputs, **options, out=out)
    contenders = [
        _Contender(OURS, isa, count, [partial(call, threads=count)])
        for isa in isas
        for count in threads
    ]
    several = threads[1:] if threads[0] == 1 else ()
    apart = [
        partial(
            case.call,
            *(array.copy() for array in inputs),
            **options,
            out=np.empty_like(out),
            threads=1,
        )
        for _ in range(max(several, default=0))
    ]
    contenders += [
        _Contender(AT_ONCE, isa, count, apart[:count]) for isa in isas for count in several
    ]
    present = [peer for peer in case.peers if peers.installed(peer.needs)]
    differing: dict[str, float] = {}
    moved = sum(array.nbytes for array in inputs) + out.nbytes
    for peer in present:
        levels = difference(case, inputs, out, peer.call(*inputs, **options))
        if not levels <= peer.within:
            differing[peer.name] = levels
    for count in threads:
        for peer in present:
            theirs = partial(peer.call, *inputs, **options)
            contenders.append(_Contender(peer.name, isas[-1], count, [theirs]))
        contenders.append(_Contender(COPY, isas[-1], count, [_copying(moved // 2, count)]))
    times = _race(contenders, seconds)

    def of(name: str, isa: str, count: int) -> Array:
        return times[name, isa, count]

    operations = case.operations * max(_pixels(inputs[0]), _pixels(out))
    for isa in isas:
        for count in threads:
            ours = of(OURS, isa, count)
            judged = size == JUDGED_SIZE and count == 1 and isa == cpu.available()[-1]
            alone = of(OURS, isa, threads[0])
            others = {peer.name: of(peer.name, isas[-1], count) for peer in present}
            reference = others.get(case.peers[0].name) if case.peers else None
            copying = of(COPY, isas[-1], count)
            calculating = operations / (_rate(isa) * count)
            bound = np.maximum(copying, calculating)
            by_memory = bool(np.median(copying) >= calculating)
            yield Row(
                kernel=case.kernel,
                work=case.work,
                size=size,
                isa=isa,
                threads=count,
                milliseconds=_middle(ours * 1e3),
                peers={
                    peer.name: _middle(others[peer.name] * 1e3) if peer in present else None
                    for peer in case.peers
                },
                differing=differing,
                ratio=None if reference is None else _middle(reference / ours),
                at_least=case.at_least if judged else None,
                bound=_middle(bound * 1e3),
                bound_by="memory" if by_memory else "arithmetic",
                share=_middle(bound / ours),
                of_bound=case.of_bound if judged else None,
                bytes=moved,
                copying=_middle(copying * 1e3),
                operations=operations,
                scratch=_scratch(isa, call, count),
                speed_up=None if count == threads[0] else _middle(alone / ours),
                at_once=_middle(count * alone / of(AT_ONCE, isa, count))
                if count in several
                else None,
                rounds=len(ours),
            )


def _middle(values: Array) -> float:
    return float(np.median(values))


def _race(contenders: Sequence[_Contender], seconds: float) -> dict[tuple[str, str, int], Array]:
    """Return the seconds of each one's turns, by name, instruction set and thread count."""
    turns: list[list[float]] = []
    end = perf_counter() + seconds
    while len(turns) < LEAST_ROUNDS or perf_counter() < end:
        turns.append([contender.turn() for contender in contenders])
    columns = np.array(turns).T
    return {
        (contender.name, contender.isa, contender.threads): column
        for contender, column in zip(contenders, columns, strict=True)
    }


def difference(case: Case, inputs: Sequence[Array], ours: Array, theirs: Array) -> float:
    """Return how far a peer's answer is from ours: mean absolute difference in 255ths."""
    apart = np.abs(_levels(ours) - _levels(theirs))
    if case.compared is not None:
        apart = apart[case.compared(*inputs)]
    return float(apart.mean())


def _levels(array: Array) -> Array:
    return array.astype(np.float32) * np.float32(1 if array.dtype == np.uint8 else 255)


def _pixels(array: Array) -> int:
    """Rows times columns, wherever the channels are."""
    if array.ndim == 4:
        return array.size // 3
    height, width = array.shape[:2]
    return int(height * width)


def _copying(count: int, threads: int) -> Callable[[], object]:
    """Return what copies so many bytes with so many threads, by the pool that kernels have."""
    source, target = np.ones((1, count), np.uint8), np.ones((1, count), np.uint8)
    return partial(_core.copy, source, target, threads)


@cache
def _rate(isa: str) -> float:
    """Operations that one thread does in a second on numbers it has at hand: the best of many."""
    best = 0.0
    with cpu.force(isa):
        for _ in range(100):
            begin = perf_counter()
            operations = _core.calculate(100)
            best = max(best, operations / (perf_counter() - begin))
    return best


def _scratch(isa: str, call: Callable[..., object], threads: int) -> int:
    with cpu.force(isa):
        _core.release_stored_blocks()
        _core.take_peak_bytes()
        call(threads=threads)
        return _core.take_peak_bytes()
