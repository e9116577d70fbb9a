"""BLAS on one thread, across a fork: what the child does not have, it does not wait for."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

# A thread is inside one_thread, and holds its lock, at the moment of the fork.
FORK = textwrap.dedent(
    """
    import os, sys, threading, warnings
    import numpy as np
    from threadpoolctl import threadpool_info
    from nndl import Network
    from nndl.threads import _ONE_THREAD, one_thread

    warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
    net, x = Network([4, 3], rng=1), np.ones((2, 4), np.float32)
    expected = net.predict_proba(x)
    before = [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]
    entered, leave = threading.Event(), threading.Event()

    def other():
        with one_thread(), _ONE_THREAD.lock:
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(10)
    child = os.fork()
    if not child:
        same = np.array_equal(net.predict_proba(x), expected)
        after = [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]
        os._exit(0 if same and after == before else 1)
    _, status = os.waitpid(child, 0)
    leave.set()
    thread.join()
    sys.exit(os.waitstatus_to_exitcode(status))
    """
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_a_forked_child_predicts_though_another_thread_held_the_lock() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
