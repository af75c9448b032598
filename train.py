"""`python train.py fit --config configs/tiny.yaml`: the same program as `actalker train`."""

import sys

from actalker.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
