"""python -m quantlab.cli"""

import sys

from quantlab.cli import main

sys.exit(main())
