"""A stand-in for a compiler: what it makes has always the same size, and never takes the same time.

    python3 build.py FILE

`flags` names the level, as a compiler's flags would. Put your own compiler here.
"""

import os
import sys
import zlib
from pathlib import Path

source = Path(sys.argv[1]).read_bytes()
level = int(Path("flags").read_text())
made = b""
for _ in range(200):  # so that there is something to time
    made = zlib.compress(source, level)
with Path(os.environ["EXPCI_METRICS"]).open("a") as metrics:
    metrics.write(f"binary_size={len(made)}\n")
