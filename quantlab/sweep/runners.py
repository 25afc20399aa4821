"""Where a sweep runs: threads or processes of this machine, or a Dask cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context, parent_process

from quantlab import _validate as check

RUNNERS = ("serial", "threads", "processes")


def one_thread_each() -> AbstractContextManager:
    """BLAS on one thread: cells run side by side, and sum in the same order whichever runner."""
    import scipy.linalg  # noqa: F401 - brings a BLAS of its own, limited only once it is loaded
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


@contextmanager
def open_executor(
    runner: str = "processes", workers: int | None = None, scheduler: str | None = None
) -> Iterator[Executor | None]:
    """Executor for `Sweep.run`, closed at the end of the `with` block.

    Parameters
    ----------
    runner : {"processes", "threads", "serial"}
        Of this machine; "serial" gives None.
    workers : int, optional
        How many at once; by default the processors at hand.
    scheduler : str, optional
        Address of a Dask scheduler, "tcp://host:8786": run there instead (extra `dask`). Its
        workers need quantlab, and the module of the function, installed.

    Raises
    ------
    ValueError
        If the runner is unknown, workers < 1, or the scheduler does not answer.

    Notes
    -----
    Choosing: processes for cells in plain Python or numpy; threads for cells that mostly wait in
    kernels without the GIL, and for functions defined in a notebook; a cluster beyond a machine.

    Examples
    --------
    >>> with open_executor("threads", workers=2) as executor:
    ...     executor.submit(max, 1, 2).result()
    2
    """
    if scheduler is not None:
        with _dask_executor(scheduler) as executor:
            yield executor
        return
    if runner not in RUNNERS:
        raise ValueError(f"runner must be one of {RUNNERS}; got {runner!r}")
    if runner == "serial":
        yield None
        return
    count = check.count(workers, "workers") if workers is not None else _processors()
    pool: Executor
    if runner == "threads":
        pool = ThreadPoolExecutor(count, thread_name_prefix="sweep")
    else:
        # spawned, not forked: a fork copies locks that this process's threads hold
        pool = ProcessPoolExecutor(
            count, mp_context=get_context("spawn"), initializer=_start_worker
        )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _start_worker() -> None:
    from numba import config

    config.NUMBA_NUM_THREADS = 1
    one_thread_each()  # for the process's whole life

    def leave_with_parent() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    # a killed parent cannot tell its pool: without this the workers would wait forever
    threading.Thread(target=leave_with_parent, daemon=True).start()


@contextmanager
def _dask_executor(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
    except ImportError:
        raise ImportError(
            "a Dask scheduler needs the package distributed: pip install -e '.[dask]'"
        ) from None
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"scheduler must be the address of a running Dask scheduler; {address!r}: {error}"
        ) from None
    with client:
        yield client.get_executor(pure=False)
