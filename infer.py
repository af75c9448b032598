"""`python infer.py --portrait ... --out video.mp4`: the same program as `actalker infer`."""

import sys

from actalker.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["infer", *sys.argv[1:]]))
