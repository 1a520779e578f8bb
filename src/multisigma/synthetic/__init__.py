"""A procedural street generator that writes data sets in the Cityscapes format."""

from multisigma.synthetic.frames import (
    StreetFrame,
    StreetLabels,
    StreetSettings,
    make_frame,
    make_labels,
    make_sequence,
)
from multisigma.synthetic.write import generate

__all__ = ["StreetFrame", "StreetLabels", "StreetSettings", "generate", "make_frame", "make_labels", "make_sequence"]
