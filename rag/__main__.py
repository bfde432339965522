"""`python -m rag bench`."""

import sys

from rag.bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
