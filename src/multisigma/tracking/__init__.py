"""Videos: identities of objects that stay, and depth that does not flicker. Needs no torch."""

from multisigma.tracking.steady import DepthSteadier
from multisigma.tracking.tracker import TrackedObject, Tracker

__all__ = ["DepthSteadier", "TrackedObject", "Tracker"]
