"""Settings of all tests."""

from hypothesis import settings

# Machines differ in speed, and no test is a test of it; the same examples each time make a failure one that comes back.
settings.register_profile("multisigma", deadline=None, derandomize=True)
settings.load_profile("multisigma")
