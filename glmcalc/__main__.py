"""``python -m glmcalc`` is the ``glmcalc`` command."""

from glmcalc.present.entry import entry

if __name__ == "__main__":
    entry()
