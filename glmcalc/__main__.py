"""``python -m glmcalc`` is the ``glmcalc`` command."""

import sys

from glmcalc.present.cli import main

if __name__ == "__main__":
    sys.exit(main())
