"""`python -m multisigma` is `multisigma`."""

from multisigma.cli import main

raise SystemExit(main())
