"""`python -m metaicl`, also through `accelerate launch -m` and `torchrun -m`."""

import os
import sys
from pathlib import Path

# `python -m` puts the working folder before everything that is installed, so that an `eval/` or `datasets/` there would
# be imported instead of ours or a library's. It goes last instead: `package.module:Name` still finds modules in it.
try:
    here = os.getcwd()
except FileNotFoundError:
    print("metaicl: the working folder was deleted; change into one that exists (cd)", file=sys.stderr)
    sys.exit(2)
if sys.path[0] in ("", here) and Path(__file__).resolve().parents[1] != Path(here).resolve():
    sys.path.append(sys.path.pop(0))

from metaicl.cli.main import main

if __name__ == "__main__":
    main()
