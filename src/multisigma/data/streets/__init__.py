"""A procedural street generator that writes data sets in the Cityscapes format."""

from multisigma.data.streets.frames import StreetFrame, StreetSettings, make_frame
from multisigma.data.streets.write import generate

__all__ = ["StreetFrame", "StreetSettings", "generate", "make_frame"]
