"""Description of the machine, for benchmark headers."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """Return the processor, the architecture and the number of cores."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()} ({platform.machine()}), {os.cpu_count()} cores"
