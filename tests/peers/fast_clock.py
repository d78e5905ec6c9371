"""A SIP worker whose clock can leap: PJSIP takes no session timer below 90 s, and nobody wants to wait for one.

A library that the worker is started with adds what a file says to `CLOCK_MONOTONIC`. It is compiled here.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from voicebot.carriers import sip_process

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);
static volatile int64_t *ahead_s;

__attribute__((constructor)) static void open_clock(void) {
    const char *path = getenv("PYTHON_FAST_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    void *map = file < 0 ? MAP_FAILED : mmap(0, sizeof *ahead_s, PROT_READ, MAP_SHARED, file, 0);
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (map != MAP_FAILED) ahead_s = map;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(id, now);
    if (status == 0 && ahead_s && id == CLOCK_MONOTONIC) now->tv_sec += *ahead_s;
    return status;
}
"""
needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="needs Linux and a C compiler"
)


def fast_clock(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`leap(seconds)`: the clock of every worker that is started from now on goes forward by that."""
    source, library, clock = folder / "clock.c", folder / "clock.so", folder / "clock"
    source.write_text(SOURCE)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    clock.write_bytes(bytes(8))
    given = sip_process._environment()
    given |= {"LD_PRELOAD": str(library), "PYTHON_FAST_CLOCK": str(clock)}
    monkeypatch.setattr(sip_process, "_environment", lambda: given)

    def leap(seconds: int) -> None:
        with clock.open("r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
            ahead_s: int = struct.unpack("=q", shared[:8])[0]
            shared[:8] = struct.pack("=q", ahead_s + seconds)

    return leap
