"""One torch thread for every test and the programs that it starts.

The networks here are too small for more, and threads that wait on each other beside another busy program cost minutes.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
